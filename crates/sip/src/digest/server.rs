//! The side that asks for credentials: RFC 3261 §22.4, RFC 8760 §2.3.
//!
//! A nonce is a moment, 64 random bits and an authentication code over both, the realm and the address that it was given to, so nothing is kept of
//! the challenges that are given out. It serves for requests from that address alone: whoever has got it gets what is sent there. What is kept, in a bounded table, is which of them were used with right credentials, and how often: the counts of the last 64 uses of
//! each, so that requests may overtake each other on their way and none counts twice.

use crate::digest::{LONGEST, MOST_LINES, SCHEME, Side};
use crate::header::{Challenge, Credentials};
use crate::message::{Request, Response};
use crate::uri::{Uri, percent_decode};
use base::digest::{Algorithm, Proof, Secret};
use base::{HashKey, Str, Table, Time, Tokens, format_compact};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// The bytes of a nonce before its code: the moment in microseconds, and the random ones.
const PLAIN: usize = 16;
/// The bytes of a nonce: 128 bits of the code are enough (RFC 2104 §5).
const NONCE: usize = 32;
/// How many counts of a nonce behind the greatest are still told apart.
const WINDOW: u32 = 64;

/// What the server is told about its surroundings.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the credentials are for.
    pub realm: Str,
    /// The hashes that are asked for, the most preferred first (RFC 8760 §2.3). Others are not taken.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce serves.
    pub lifetime: Duration,
    /// How many nonces that are in use are known. When they are more, the oldest ones count as too old.
    pub max_nonces: usize,
    /// Whether clients are asked to hide their names (RFC 7616 §3.4.4).
    pub userhash: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            realm: Str::const_new("verona"),
            algorithms: Algorithm::ALL.to_vec(),
            lifetime: Duration::from_secs(300),
            max_nonces: 65_536,
            userhash: false,
        }
    }
}

/// Who somebody says to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User<'a> {
    /// The name.
    Named(&'a str),
    /// [`Algorithm::userhash`] of the name, in hexadecimal digits of either case.
    Hashed(&'a str),
}

/// What credentials are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// They are right.
    Valid {
        /// Who it is.
        who: T,
        /// What the response may say in Authentication-Info (RFC 7616 §3.5): that we know the secret as well.
        info: Str,
    },
    /// There are none for this realm: challenge.
    Missing,
    /// Their nonce is too old, is none of ours or was given to another address, whatever else they are: there is nothing to be learnt from a nonce that one
    /// has made up. Or they are right, and this use of the nonce is one too many. Challenge, with `stale`.
    Stale {
        /// Whether this very use was seen before: a replay, or a client that counts wrongly.
        replayed: bool,
    },
    /// There is no such user, or the password is another one. Neither the answer nor the time that it takes says which. Whoever sent it has heard an
    /// answer of ours where it says to be, and not long ago, as the nonce shows.
    Wrong,
    /// 400: what stands there follows no grammar, or is for another request.
    Malformed(&'static str),
}

/// How often a nonce was used.
#[derive(Debug)]
struct Uses {
    greatest: u32,
    /// Bit n: the count `greatest - n` was seen.
    seen: u64,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    key: Key,
    /// Stands in for the secrets of users who do not exist.
    nobody: [Secret; 3],
    uses: Table<u128, Uses>,
    /// The same nonces, the oldest first, as the moment stands in their highest bits.
    oldest: BTreeSet<u128>,
    /// Nonces that are not newer and not in the table were forgotten for want of room.
    floor: u64,
}

/// The key of the codes, not shown.
struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// What stands in an Authorization, as far as it is looked at.
struct Given {
    username: Str,
    hashed: bool,
    algorithm: Algorithm,
    nonce: Str,
    uri: Str,
    response: Str,
    count: Option<(u32, Str)>,
}

impl Server {
    /// A server. `key` makes the nonces: servers with one key and one clock know each other's, each with a table of its own. `table_key` is
    /// secret, too.
    pub fn new(config: Config, key: [u8; 32], table_key: HashKey) -> Server {
        let nobody = Algorithm::ALL.map(|algorithm| {
            let digits = algorithm.hash(&[&key, b"nobody"]);
            Secret::new(algorithm, "", "", digits.as_str())
        });
        Server { config, key: Key(key), nobody, uses: Table::new(table_key), oldest: BTreeSet::new(), floor: 0 }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.config.realm
    }

    /// Other settings from now on; nonces that were given out serve on.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// How many nonces are in use.
    pub fn open(&self) -> usize {
        self.uses.len()
    }

    /// The challenges of a 401 to `source`, in the order in which we would have them answered (RFC 8760 §2.3).
    pub fn challenges(
        &self,
        now: Time,
        source: IpAddr,
        tokens: &mut Tokens,
        stale: bool,
    ) -> impl Iterator<Item = Challenge> {
        let nonce = self.nonce(now, source, tokens.u64());
        let Config { realm, algorithms, userhash, .. } = &self.config;
        algorithms.iter().map(move |algorithm| {
            let mut challenge = Challenge::new(SCHEME);
            challenge.set("realm", realm, true);
            challenge.set("nonce", &nonce, true);
            challenge.set("algorithm", algorithm.name(), false);
            challenge.set("qop", "auth", true);
            if stale {
                challenge.set("stale", "true", false);
            }
            // Those who know nothing but MD5 may stumble over what is newer.
            if *algorithm != Algorithm::Md5 {
                challenge.set("charset", "UTF-8", false);
                if *userhash {
                    challenge.set("userhash", "true", false);
                }
            }
            challenge
        })
    }

    /// A 401 to this request, which came from `source`, with [`Server::challenges`].
    pub fn challenge(
        &self,
        now: Time,
        source: IpAddr,
        tokens: &mut Tokens,
        request: &Request,
        stale: bool,
    ) -> Response {
        let mut response = Response::to_request(request, 401, "Unauthorized", None);
        for challenge in self.challenges(now, source, tokens, stale) {
            response.headers.push(Side::Server.challenge(), challenge);
        }
        response
    }

    /// What the credentials of a request from `source` are worth. `secret` looks up a user: who that is, and the secret for this hash; it is asked at most
    /// once. Right ones are counted, so each request is shown once.
    pub fn check<T>(
        &mut self,
        now: Time,
        source: IpAddr,
        request: &Request,
        secret: impl FnOnce(User<'_>, Algorithm) -> Option<(T, Secret)>,
    ) -> Verdict<T> {
        let given = match self.read(request) {
            Ok(Some(given)) => given,
            Ok(None) => return Verdict::Missing,
            Err(what) => return Verdict::Malformed(what),
        };
        if self.minted(now, source, &given.nonce).is_none() {
            return Verdict::Stale { replayed: false };
        }
        let user = if given.hashed { User::Hashed(&given.username) } else { User::Named(&given.username) };
        // A secret for another hash than the one that was asked for is none.
        let (who, secret) =
            match secret(user, given.algorithm).filter(|(_, secret)| secret.algorithm() == given.algorithm) {
                Some((who, secret)) => (Some(who), secret),
                None => (None, self.nobody(given.algorithm)),
            };
        let proof =
            Proof { nonce: &given.nonce, count: given.count.as_ref().map(|(count, cnonce)| (*count, cnonce.as_str())) };
        let right = secret.request_digest(request.method.as_str(), &given.uri, &proof).is(&given.response);
        let (true, Some(who)) = (right, who) else { return Verdict::Wrong };
        let count = given.count.as_ref().map(|(count, _)| *count);
        match self.use_nonce(now, source, &given.nonce, count) {
            Ok(()) => {
                let digest = secret.response_digest(&given.uri, &proof);
                let info = match &given.count {
                    Some((count, cnonce)) => {
                        let cnonce = cnonce.replace('\\', "\\\\").replace('"', "\\\"");
                        format_compact!(
                            "qop=auth, rspauth=\"{}\", cnonce=\"{cnonce}\", nc={count:08x}",
                            digest.as_str()
                        )
                    }
                    None => format_compact!("rspauth=\"{}\"", digest.as_str()),
                };
                Verdict::Valid { who, info }
            }
            Err(replayed) => Verdict::Stale { replayed },
        }
    }

    fn nobody(&self, algorithm: Algorithm) -> Secret {
        let [first, others @ ..] = &self.nobody;
        others.iter().find(|secret| secret.algorithm() == algorithm).unwrap_or(first).clone()
    }

    /// The credentials for our realm with a hash that is asked for. `None` if there are none.
    fn read(&self, request: &Request) -> Result<Option<Given>, &'static str> {
        for line in request.headers.all(Side::Server.credentials()).take(MOST_LINES) {
            let Ok(credentials) = Credentials::parse(line) else { return Err("Authorization") };
            let ours = credentials.get("realm") == Some(&self.config.realm);
            if !credentials.scheme().eq_ignore_ascii_case(SCHEME) || !ours {
                continue;
            }
            let algorithm = credentials.get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::named);
            // Whoever answers what was not asked for has answered somebody else.
            let Some(algorithm) = algorithm.filter(|algorithm| self.config.algorithms.contains(algorithm)) else {
                continue;
            };
            return given(&credentials, algorithm, request).map(Some);
        }
        Ok(None)
    }

    /// The nonce of a moment.
    fn nonce(&self, now: Time, source: IpAddr, random: u64) -> Str {
        let plain = u128::from(now.as_micros()) << 64 | u128::from(random);
        let code = self.code(source, &plain.to_be_bytes());
        plain.to_be_bytes().iter().chain(&code).fold(Str::with_capacity(2 * NONCE), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
    }

    fn code(&self, source: IpAddr, plain: &[u8]) -> [u8; NONCE - PLAIN] {
        let mut code = [0; NONCE - PLAIN];
        // A key of any length will do.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key.0) {
            mac.update(plain);
            match source.to_canonical() {
                IpAddr::V4(ip) => mac.update(&ip.octets()),
                IpAddr::V6(ip) => mac.update(&ip.octets()),
            }
            mac.update(self.config.realm.as_bytes());
            let all = mac.finalize().into_bytes();
            code.copy_from_slice(&all[..NONCE - PLAIN]);
        }
        code
    }

    /// What stands before the code of a nonce that was given to `source`.
    fn plain(&self, source: IpAddr, nonce: &str) -> Option<u128> {
        let mut bytes = [0u8; NONCE];
        if nonce.len() != 2 * NONCE {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(nonce.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        let (plain, code) = bytes.split_at(PLAIN);
        let ours: bool = self.code(source, plain).ct_eq(code).into();
        plain.try_into().ok().filter(|_| ours).map(u128::from_be_bytes)
    }

    /// Likewise, of a nonce that is not too old.
    fn minted(&mut self, now: Time, source: IpAddr, nonce: &str) -> Option<u128> {
        self.forget(now);
        let name = self.plain(source, nonce)?;
        let age = now.as_micros().checked_sub((name >> 64) as u64)?;
        (u128::from(age) <= self.config.lifetime.as_micros()).then_some(name)
    }

    /// A nonce is used, for the `count`th time if it counts. `Err` if it may not be: `true` if this use was seen before.
    fn use_nonce(&mut self, now: Time, source: IpAddr, nonce: &str, count: Option<u32>) -> Result<(), bool> {
        let name = self.minted(now, source, nonce).ok_or(false)?;
        let minted = (name >> 64) as u64;
        // Without a count a nonce serves once: as if that were all of them.
        let count = count.unwrap_or(u32::MAX);
        let Some(uses) = self.uses.get_mut(&name) else {
            if minted <= self.floor {
                return Err(false);
            }
            self.uses.insert(name, Uses { greatest: count, seen: if count == u32::MAX { u64::MAX } else { 1 } });
            self.oldest.insert(name);
            while self.uses.len() > self.config.max_nonces.max(1)
                && let Some(oldest) = self.oldest.pop_first()
            {
                self.uses.remove(&oldest);
                self.floor = (oldest >> 64) as u64;
            }
            return Ok(());
        };
        if let Some(ahead) = count.checked_sub(uses.greatest).filter(|ahead| *ahead > 0) {
            uses.seen = if ahead < WINDOW { uses.seen << ahead | 1 } else { 1 };
            uses.greatest = count;
            if count == u32::MAX {
                uses.seen = u64::MAX;
            }
            return Ok(());
        }
        let behind = uses.greatest - count;
        if behind >= WINDOW || uses.seen & 1 << behind != 0 {
            return Err(true);
        }
        uses.seen |= 1 << behind;
        Ok(())
    }

    /// Forgets nonces that are too old.
    fn forget(&mut self, now: Time) {
        let lifetime = u64::try_from(self.config.lifetime.as_micros()).unwrap_or(u64::MAX);
        while let Some(oldest) = self.oldest.first().copied() {
            let minted = (oldest >> 64) as u64;
            if now.as_micros().saturating_sub(minted) <= lifetime {
                return;
            }
            self.oldest.remove(&oldest);
            self.uses.remove(&oldest);
        }
    }
}

/// RFC 7616 §3.4.
fn given(credentials: &Credentials, algorithm: Algorithm, request: &Request) -> Result<Given, &'static str> {
    const ONCE: [&str; 11] =
        ["username", "username*", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "nc", "qop", "userhash"];
    if ONCE.iter().any(|name| credentials.iter().filter(|(n, _)| n == name).nth(1).is_some()) {
        return Err("Repeated digest parameter");
    }
    if credentials.iter().any(|(_, value)| value.len() > LONGEST) {
        return Err("Digest parameter too long");
    }
    let get = |name: &'static str| credentials.get(name).filter(|value| !value.is_empty());
    let hashed = get("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let username = match (get("username"), get("username*")) {
        (Some(name), None) => Str::from(name),
        (None, Some(name)) if !hashed => extended(name).ok_or("Malformed username*")?,
        _ => return Err("Digest without a user name"),
    };
    let (Some(nonce), Some(uri), Some(response)) = (get("nonce"), get("uri"), get("response")) else {
        return Err("Incomplete digest");
    };
    if !Uri::parse(uri).is_ok_and(|uri| same_resource(&uri, &request.uri)) {
        return Err("Digest for another URI");
    }
    let count = match (get("qop"), get("nc"), get("cnonce")) {
        (Some(qop), Some(nc), Some(cnonce)) if qop.eq_ignore_ascii_case("auth") => {
            let nc = Some(nc).filter(|nc| nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit()));
            let nc = nc.and_then(|nc| u32::from_str_radix(nc, 16).ok()).filter(|nc| *nc > 0);
            Some((nc.ok_or("Malformed nc")?, Str::from(cnonce)))
        }
        // RFC 2617 §3.2.2: without a quality there is no count.
        (None, _, _) => None,
        (Some(_), _, _) => return Err("Unknown qop"),
    };
    Ok(Given { username, hashed, algorithm, nonce: nonce.into(), uri: uri.into(), response: response.into(), count })
}

/// RFC 5987 §3.2.1: `UTF-8''name`, percent-encoded.
fn extended(text: &str) -> Option<Str> {
    let (charset, rest) = text.split_once('\'')?;
    let (_language, value) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("UTF-8") {
        return None;
    }
    String::from_utf8(percent_decode(value).ok()?).ok().map(Str::from)
}

/// Whether two URIs mean one user at one host (RFC 8760 §2.6, 6): ports and parameters change on the way.
fn same_resource(a: &Uri, b: &Uri) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => a.host == b.host && a.user_octets() == b.user_octets(),
        (a, b) => a == b,
    }
}
