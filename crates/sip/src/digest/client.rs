//! The side that gives credentials: RFC 3261 §22.2, §22.3, RFC 8760 §2.4.
//!
//! A [`Wallet`] has accounts, and of each what it was asked for last: so a request has its credentials at once, with the nonce's next count, and
//! only the first one, or the first one after a nonce has ended, goes twice. Whether a request goes with an account is said by whoever sends it;
//! nothing is given to those who are merely on the way to somebody else:
//!
//! * An account that names its realm answers no other one. One that does not learns those of its registrar when that takes a REGISTER, and answers
//!   no others from then on but to a REGISTER: they come from whoever is called, or from somebody on the way there. One that registers
//!   ([`Account::registers`]) answers nothing else before.
//! * Within a dialog it may be for proxies alone ([`Account::proxies`]).
//! * Who has asked with a good hash is not answered with a worse one afterwards, nor is any below [`Account::weakest`].
//! * A nonce that was given for a request and refused with it is not tried again: the password is wrong.

use crate::digest::{LONGEST, MOST_LINES, SCHEME, Side};
use crate::header::{Challenge, Credentials, unquote};
use crate::message::{Request, Response};
use crate::method::Method;
use base::digest::{Algorithm, Nonce, Proof, Secret};
use base::{HashKey, Str, Table, Tokens, format_compact};
use std::fmt;

/// How many realms an account is remembered to have been asked for.
const MOST_SESSIONS: usize = 4;
/// The characters of a cnonce: 80 random bits.
const CNONCE: usize = 16;

/// Names an account: whose credentials a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

/// An account with somebody else. Its Debug form does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub username: Str,
    /// The password.
    pub password: Str,
    /// The only realm that it is for, if that is known.
    pub realm: Option<Str>,
    /// The weakest hash that it is given with.
    pub weakest: Algorithm,
    /// Whether it is registered, here or elsewhere ([`Wallet::learn`]): then the registrar says which realms it is for, and until then it is for none.
    pub registers: bool,
    /// Whether within a dialog it is for proxies alone (407). A server that asks there (401) is the other side, or one of its own; and a proxy passes on what
    /// is for servers (RFC 3261 §22.3), with a Request-URI that the other side has chosen.
    pub proxies: bool,
}

impl Account {
    /// An account that is given to whoever asks on the way that it is for.
    pub fn new(username: &str, password: &str) -> Account {
        Account {
            username: Str::from(username),
            password: Str::from(password),
            realm: None,
            weakest: Algorithm::Md5,
            registers: false,
            proxies: false,
        }
    }

    /// Whether what a server has asked for is given with this request.
    fn is_for_servers(&self, request: &Request) -> bool {
        !self.proxies || request.headers.to_tag().is_none()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("username", &self.username).field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// Why an account gave no credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They were refused: the name or the password is wrong.
    Refused,
    /// There was no challenge that could be answered: another scheme than Digest, another hash, or not even readable.
    Unknown,
    /// The only challenges were for realms that the account is not for.
    Realm,
    /// The only challenges were for a hash that is too weak, or weaker than before.
    Weak,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Refused => "wrong user name or password",
            Fault::Unknown => "no challenge that can be answered",
            Fault::Realm => "a challenge for another realm",
            Fault::Weak => "a challenge for a hash that is too weak",
        })
    }
}

/// What a challenge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    realm: Str,
    nonce: Str,
    opaque: Option<Str>,
    algorithm: Algorithm,
    /// Whether the algorithm was written.
    named: bool,
    /// Whether there was a qop. RFC 8760 §2.6, 8 wants one sent in any case; those who ask without one are older, and RFC 2617 §3.2.2 forbids it.
    qop: bool,
    stale: bool,
    userhash: bool,
}

impl Asked {
    /// `None` for what cannot be answered here.
    fn read(line: &str) -> Option<Asked> {
        let challenge = Challenge::parse(line).ok().filter(|c| c.scheme().eq_ignore_ascii_case(SCHEME))?;
        if challenge.iter().any(|(_, value)| value.len() > LONGEST) {
            return None;
        }
        let get = |name: &'static str| challenge.get(name);
        let is = |name: &'static str| get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let algorithm = get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::named)?;
        if get("qop").is_some_and(|qop| !qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"))) {
            return None;
        }
        Some(Asked {
            realm: get("realm")?.into(),
            nonce: get("nonce")?.into(),
            opaque: get("opaque").map(Str::from),
            algorithm,
            named: get("algorithm").is_some(),
            qop: get("qop").is_some(),
            stale: is("stale"),
            userhash: is("userhash"),
        })
    }
}

/// What is used for the next request.
#[derive(Debug)]
struct Session {
    side: Side,
    asked: Asked,
    nonce: Nonce,
}

/// An account and what it was asked for.
#[derive(Debug)]
struct Kept {
    account: Account,
    /// What the registrar and those before it ask for, the registrar first: learnt.
    homes: Vec<Str>,
    sessions: Vec<Session>,
    fault: Option<Fault>,
}

/// Accounts.
#[derive(Debug)]
pub struct Wallet {
    accounts: Table<AccountId, Box<Kept>>,
}

impl Wallet {
    /// One without accounts; `key` is secret.
    pub fn new(key: HashKey) -> Wallet {
        Wallet { accounts: Table::new(key) }
    }

    /// An account is there, or is another one than before. What is the same stays as it was.
    pub fn set(&mut self, id: AccountId, account: Account) {
        if self.accounts.get(&id).is_none_or(|kept| kept.account != account) {
            self.accounts.insert(id, Box::new(Kept { account, homes: Vec::new(), sessions: Vec::new(), fault: None }));
        }
    }

    /// An account is no more.
    pub fn remove(&mut self, id: AccountId) {
        self.accounts.remove(&id);
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Why the last challenge was not answered, if it was not.
    pub fn fault(&self, id: AccountId) -> Option<Fault> {
        self.accounts.get(&id)?.fault
    }

    /// The realms that an account has proved to be for: a REGISTER was accepted that had answers for these. That of the registrar is the first.
    pub fn homes(&self, id: AccountId) -> &[Str] {
        self.accounts.get(&id).map_or(&[], |kept| &kept.homes)
    }

    /// The same, learnt by somebody else; none: they are not known any more.
    pub fn learn(&mut self, id: AccountId, realms: &[Str]) {
        if let Some(kept) = self.accounts.get_mut(&id) {
            kept.homes = realms.iter().take(MOST_SESSIONS).cloned().collect();
        }
    }

    /// Gives a request the credentials that it will be asked for, as far as that is known, in place of those that it has.
    pub fn authorize(&mut self, id: AccountId, request: &mut Request, tokens: &mut Tokens) {
        for side in [Side::Server, Side::Proxy] {
            request.headers.remove(side.credentials());
        }
        let Some(kept) = self.accounts.get_mut(&id) else { return };
        let (method, uri) = (request.method.clone(), format_compact!("{}", request.uri));
        // What is not counted serves once (RFC 2617 has no other way to tell a replay).
        kept.sessions.retain(|session| session.asked.qop || session.nonce.is_new());
        let servers = kept.account.is_for_servers(request);
        for session in kept.sessions.iter_mut().filter(|session| servers || session.side == Side::Proxy) {
            let value = session.credentials(&kept.account, method.as_str(), &uri, tokens);
            request.headers.push(session.side.credentials(), value);
        }
    }

    /// Gives a request the credentials of another that was to be the same and has never gone out.
    pub(crate) fn repeat(unseen: &Request, request: &mut Request) {
        for name in [Side::Server, Side::Proxy].map(Side::credentials) {
            request.headers.remove(name);
            unseen.headers.all(name).for_each(|line| request.headers.push(name, line));
        }
    }

    /// A request that went with this account got a 401 or a 407. `true` if there are other credentials to be tried now:
    /// [`Wallet::authorize`] has them.
    pub fn challenged(&mut self, id: AccountId, request: &Request, response: &Response) -> bool {
        let (Some(kept), Some(side)) = (self.accounts.get_mut(&id), Side::of(response.code)) else { return false };
        match kept.answer(side, request, response) {
            Ok(()) => {
                kept.fault = None;
                true
            }
            Err(fault) => {
                kept.fault = Some(fault);
                false
            }
        }
    }

    /// A request that went with this account was accepted.
    pub fn accepted(&mut self, id: AccountId, request: &Request, response: &Response) {
        let Some(kept) = self.accounts.get_mut(&id) else { return };
        kept.fault = None;
        if request.method == Method::Register {
            let asked = [Side::Server, Side::Proxy].into_iter().flat_map(|side| realms(side, request));
            let mut homes: Vec<Str> = Vec::new();
            for realm in asked.take(MOST_SESSIONS) {
                if !homes.contains(&realm) {
                    homes.push(realm);
                }
            }
            // Who was not asked has learnt nothing.
            if !homes.is_empty() {
                kept.homes = homes;
            }
        }
        // RFC 7616 §3.5. It names no realm, so it is for the only one there is.
        if let Some(nonce) = response.headers.get(crate::header::Name::AuthenticationInfo).and_then(next_nonce) {
            let mut sessions = kept.sessions.iter_mut().filter(|session| session.side == Side::Server);
            if let (Some(session), None) = (sessions.next(), sessions.next()) {
                session.nonce = Nonce::new(&nonce);
                session.asked.nonce = nonce;
            }
        }
    }
}

impl Kept {
    fn answer(&mut self, side: Side, request: &Request, response: &Response) -> Result<(), Fault> {
        let mut fault = Fault::Unknown;
        let mut best: Vec<Asked> = Vec::new();
        if side == Side::Server && !self.account.is_for_servers(request) {
            return Err(Fault::Realm);
        }
        for asked in response.headers.all(side.challenge()).take(MOST_LINES).filter_map(Asked::read) {
            if !self.is_for(request, &asked.realm) {
                fault = Fault::Realm;
                continue;
            }
            if asked.algorithm < self.least(side, &asked.realm) {
                fault = Fault::Weak;
                continue;
            }
            // RFC 8760 §2.4: the topmost one of each realm, as long as it is not the one that is there for the oldest.
            match best.iter_mut().find(|known| known.realm == asked.realm) {
                Some(known) if known.algorithm == Algorithm::Md5 && asked.algorithm != Algorithm::Md5 => *known = asked,
                Some(_) => {}
                None => best.push(asked),
            }
        }
        let mut answered = false;
        for asked in best {
            if !asked.stale && was_refused(side, request, &asked.realm) {
                self.sessions.retain(|session| session.side != side || session.asked.realm != asked.realm);
                return Err(Fault::Refused);
            }
            self.begin(side, asked);
            answered = true;
        }
        if answered { Ok(()) } else { Err(fault) }
    }

    fn is_for(&self, request: &Request, realm: &str) -> bool {
        let known = !self.homes.is_empty();
        match &self.account.realm {
            Some(only) => only == realm,
            // Nobody but the operator has said where that goes, and what its Request-URI is.
            None if request.method == Method::Register => true,
            None if known => self.homes.iter().any(|home| home == realm),
            None => !self.account.registers,
        }
    }

    /// The weakest hash that is answered with.
    fn least(&self, side: Side, realm: &str) -> Algorithm {
        let before = self.sessions.iter().find(|session| session.side == side && session.asked.realm == realm);
        // The two that are good are as good as each other.
        let before = before.map_or(Algorithm::Md5, |session| session.asked.algorithm.min(Algorithm::Sha512Part256));
        before.max(self.account.weakest)
    }

    fn begin(&mut self, side: Side, asked: Asked) {
        let session = Session { side, nonce: Nonce::new(&asked.nonce), asked };
        let known = self.sessions.iter().position(|s| s.side == side && s.asked.realm == session.asked.realm);
        match known {
            Some(at) => self.sessions[at] = session,
            None => {
                if self.sessions.len() >= MOST_SESSIONS {
                    self.sessions.remove(0);
                }
                self.sessions.push(session);
            }
        }
    }
}

impl Session {
    fn credentials(&mut self, account: &Account, method: &str, uri: &str, tokens: &mut Tokens) -> Credentials {
        let Asked { realm, opaque, algorithm, named, qop, userhash, .. } = &self.asked;
        let secret = Secret::new(*algorithm, &account.username, realm, &account.password);
        let (count, cnonce) = (self.nonce.count_up(), tokens.token(CNONCE));
        let nonce = self.nonce.as_str();
        let proof = Proof { nonce, count: qop.then_some((count, &cnonce)) };
        let response = secret.request_digest(method, uri, &proof);
        let mut out = Credentials::new(SCHEME);
        if *userhash {
            out.set("username", algorithm.userhash(&account.username, realm).as_str(), true);
        } else {
            out.set("username", &account.username, true);
        }
        out.set("realm", realm, true);
        out.set("nonce", nonce, true);
        out.set("uri", uri, true);
        out.set("response", response.as_str(), true);
        if *named {
            out.set("algorithm", algorithm.name(), false);
        }
        if *qop {
            out.set("qop", "auth", false);
            out.set("nc", &format_compact!("{count:08x}"), false);
            out.set("cnonce", &cnonce, true);
        }
        if let Some(opaque) = opaque {
            out.set("opaque", opaque, true);
        }
        if *userhash {
            out.set("userhash", "true", false);
        }
        out
    }
}

/// The realms that a request has credentials for.
fn realms(side: Side, request: &Request) -> impl Iterator<Item = Str> {
    let given = request.headers.all(side.credentials()).filter_map(|line| Credentials::parse(line).ok());
    given.filter_map(|given| given.get("realm").map(Str::from))
}

/// Whether the request had credentials for this realm that were the first with their nonce: which was given for it, so that nothing but the name
/// or the password can be wrong. Of others the nonce may have ended without the server's saying so.
fn was_refused(side: Side, request: &Request, realm: &str) -> bool {
    request.headers.all(side.credentials()).filter_map(|line| Credentials::parse(line).ok()).any(|given| {
        given.get("realm") == Some(realm) && given.get("nc").is_none_or(|nc| u32::from_str_radix(nc, 16) == Ok(1))
    })
}

/// The `nextnonce` of an Authentication-Info: `name=value` with commas between.
fn next_nonce(info: &str) -> Option<Str> {
    let params = crate::header::elements(info).take(16).filter_map(Result::ok);
    let mut values = params.filter_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("nextnonce").then(|| Str::from(unquote(value.trim())))
    });
    values.next().filter(|nonce| !nonce.is_empty() && nonce.len() <= LONGEST)
}
