//! Phones that register here: accounts, who has proved to be one (RFC 3261 §22, RFC 8760), and where they are (`sip::registrar`).
//!
//! Every shard knows all accounts and all contacts, as anybody may write to any of them. The shard of an account takes its REGISTERs and saves what becomes of
//! them; the others hear of it when it is saved, as of every record that is for all.

mod record;

#[cfg(test)]
mod tests;

pub use record::{Account, check_bindings, user_of};

use crate::address::{self, Scheme};
use crate::config::Config;
use crate::error::Refusal;
use crate::store::{About, Broken, Key, SaveToken};
use crate::way::Route;
use base::digest::Algorithm;
use base::{HashKey, Str, Table, Time, Tokens};
use record::Run;
use sip::agent::{Branch, Flow, Hop, Next, ServerId, Target, Transport};
use sip::digest::{self, Server, User, Verdict};
use sip::header::Date;
use sip::registrar::{self, Binding, Counts, Registrar};
use sip::{Dialog, Floor, NameAddr, Request, Response, SipUri, Uri};
use std::net::IpAddr;
use std::time::Duration;
use xmpp::jid::{Jid, domain_to_ascii};

/// What the registrar is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The SIP domains whose users register here. What says to come from one of them has to prove it, wherever it comes from.
    pub domains: Vec<Str>,
    /// What passwords are for; none: each domain is its own.
    pub realm: Option<Str>,
    /// The hashes that are asked for, the most preferred first.
    pub algorithms: Vec<Algorithm>,
    /// How long a challenge may be answered.
    pub nonce_lifetime: Duration,
    /// The bounds of what is registered.
    pub bounds: registrar::Config,
    /// What challenges are made with. One for all shards, as a phone answers to one what another one has asked.
    pub secret: [u8; 32],
    /// Names this run of the gateway: connections that another one had are gone.
    pub run: u64,
}

/// The phones.
#[derive(Debug)]
pub(crate) struct Phones {
    /// What the records of contacts are read and written by. It stays when phones do not register here any more: what is under way comes to its end, and what is
    /// registered expires.
    run: Option<Run>,
    epoch: u64,
    key: HashKey,
    accounts: Table<Str, Account>,
    /// Who asks for passwords, one for each domain.
    servers: Vec<(Str, Server)>,
    registrar: Registrar,
    /// The accounts whose contacts are being saved.
    saving: Table<SaveToken, Str>,
}

/// What is said to somebody who has not proved to be who it says.
#[derive(Debug)]
pub(crate) enum Unproved {
    /// Prove it.
    Challenge(Box<Response>, &'static str),
    /// It is somebody else, or nothing that can be read.
    Refuse(Refusal),
}

/// What is noted of a password that is not the account's.
pub(crate) const WRONG: &str = "wrong-credentials";

impl Phones {
    pub(crate) fn new(config: &Config, key: HashKey) -> Phones {
        let bounds = config.registrar.as_ref().map(|options| options.bounds.clone()).unwrap_or_default();
        let mut phones = Phones {
            run: None,
            epoch: config.epoch,
            key,
            accounts: Table::new(key),
            servers: Vec::new(),
            registrar: Registrar::new(bounds, key),
            saving: Table::new(key),
        };
        phones.reconfigure(config);
        phones
    }

    pub(crate) fn reconfigure(&mut self, config: &Config) {
        let Some(options) = &config.registrar else { return self.servers.clear() };
        self.run = Some(Run { epoch: self.epoch, number: options.run, longest: options.bounds.max_expires });
        self.registrar.reconfigure(options.bounds.clone());
        self.servers.retain(|(domain, _)| options.domains.contains(domain));
        for domain in &options.domains {
            let config = digest::server::Config {
                realm: options.realm.clone().unwrap_or_else(|| realm_of(domain)),
                algorithms: options.algorithms.clone(),
                lifetime: options.nonce_lifetime,
                userhash: false,
                ..digest::server::Config::default()
            };
            match self.servers.iter_mut().find(|(known, _)| known == domain) {
                Some((_, server)) => server.configure(config),
                None => self.servers.push((domain.clone(), Server::new(config, options.secret, self.key))),
            }
        }
    }

    /// Whether the users of a SIP domain register here.
    pub(crate) fn serves(&self, domain: &str) -> bool {
        self.servers.iter().any(|(served, _)| served == domain)
    }

    /// Whether this is an account.
    pub(crate) fn is_account(&self, user: &Jid) -> bool {
        self.accounts.contains(user.bare().to_string().as_str())
    }

    pub(crate) fn counts(&self) -> Counts {
        self.registrar.counts()
    }

    /// How many accounts there are.
    pub(crate) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Whether a request that says to be from `from`, in a domain that is served, and that came from `source`, is. Shown once for each request.
    pub(crate) fn prove(
        &mut self,
        now: Time,
        tokens: &mut Tokens,
        request: &Request,
        source: IpAddr,
        from: &Jid,
    ) -> Result<(), Unproved> {
        let Phones { accounts, servers, .. } = self;
        let Some((domain, server)) = servers.iter_mut().find(|(domain, _)| domain == from.domain()) else {
            return Err(Unproved::Refuse(Refusal::SenderNotAllowed));
        };
        let realm = Str::from(server.realm());
        let verdict = server.check(now, source, request, |user, algorithm| {
            let account = match user {
                User::Named(name) => account_of(name, domain)?,
                // Of a name that is hidden there is only the one who it says to be.
                User::Hashed(_) => from.bare(),
            };
            let known = accounts.get(account.to_string().as_str())?;
            let is = match user {
                User::Named(name) => known.user() == name,
                User::Hashed(hash) => algorithm.userhash(known.user(), &realm).is(hash),
            };
            let secret = known.secret(algorithm).filter(|_| is && known.realm() == realm)?;
            Some((account, secret))
        });
        let (stale, why) = match verdict {
            // RFC 3261 §22.1, RFC 7616 §3.8: a password is for one user, and says nothing about others.
            Verdict::Valid { who, .. } if who.same_bare(from) => return Ok(()),
            Verdict::Valid { .. } => return Err(Unproved::Refuse(Refusal::SenderNotAllowed)),
            Verdict::Malformed(why) => return Err(Unproved::Refuse(Refusal::BadRequest(why))),
            Verdict::Missing => (false, "no-credentials"),
            Verdict::Stale { replayed: true } => (true, "replayed"),
            Verdict::Stale { replayed: false } => (true, "stale"),
            Verdict::Wrong => (false, WRONG),
        };
        Err(Unproved::Challenge(Box::new(server.challenge(now, source, tokens, request, stale)), why))
    }

    /// A REGISTER of an account that has proved to be it. It is answered when it is saved.
    pub(crate) fn register(
        &mut self,
        ground: &mut Floor<'_>,
        from: &Jid,
        server: ServerId,
        request: Request,
        flow: Flow,
    ) -> Result<(), (Refusal, ServerId)> {
        let Ok(account) = account_uri(from) else { return Err((Refusal::UnknownAccount, server)) };
        let seconds = self.epoch.saturating_add(ground.now.since(Time::ZERO).as_secs());
        let date = Date(i64::try_from(seconds).unwrap_or(i64::MAX));
        self.registrar.register(ground, &account, server, request, flow, date);
        Ok(())
    }

    /// What bucket of REGISTERs an account draws from.
    pub(crate) fn print(&self, account: &Jid) -> base::Fingerprint {
        self.key.fingerprint(&[b"register", account.bare().to_string().as_bytes()])
    }

    /// What is to be saved next: its key and value.
    pub(crate) fn poll(&mut self, token: SaveToken) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let run = self.run?;
        loop {
            let save = self.registrar.poll()?;
            let Some(jid) = jid_of(&save.account) else { continue };
            self.saving.insert(token, save.account);
            let key = Key { about: About::Contacts, sip: jid.clone(), xmpp: jid };
            return Some((key.to_bytes(), record::of_bindings(&save.bindings, run)));
        }
    }

    /// Whether a wish was one of these.
    pub(crate) fn saved(&mut self, ground: &mut Floor<'_>, token: SaveToken, saved: bool) -> bool {
        let Some(account) = self.saving.remove(&token) else { return false };
        self.registrar.saved(ground, &account, saved);
        true
    }

    /// A record is so, or no more. `own`: its account belongs to this shard. None: it is about something else.
    pub(crate) fn changed(
        &mut self,
        ground: &mut Floor<'_>,
        key: &Key,
        value: Option<&[u8]>,
        own: bool,
    ) -> Option<Result<(), Broken>> {
        match key.about {
            About::Account => Some(self.account_changed(ground, &key.sip, value)),
            About::Contacts => Some(self.contacts_changed(ground.now, &key.sip, value, own)),
            _ => None,
        }
    }

    fn account_changed(&mut self, ground: &mut Floor<'_>, account: &Jid, value: Option<&[u8]>) -> Result<(), Broken> {
        let name = Str::from(account.bare().to_string());
        let new = value.map(Account::parse).transpose()?;
        let before = match &new {
            Some(new) => self.accounts.insert(name, new.clone()),
            None => self.accounts.remove(&name),
        };
        // Who has lost the old password may have lost a phone with it.
        if before.is_some()
            && before != new
            && let Ok(account) = account_uri(account)
        {
            self.registrar.remove(ground, &account);
        }
        Ok(())
    }

    fn contacts_changed(&mut self, now: Time, account: &Jid, value: Option<&[u8]>, own: bool) -> Result<(), Broken> {
        // Where nobody registers, the records wait for what will be.
        let Some(run) = self.run else { return Ok(()) };
        let bindings = value.map(|value| record::bindings(value, now, run)).transpose()?.unwrap_or_default();
        if let Ok(account) = account_uri(account) {
            self.registrar.adopt(&account, &bindings, own);
        }
        Ok(())
    }

    pub(crate) fn closed(&mut self, connection: u64) {
        self.registrar.closed(connection);
    }

    pub(crate) fn timeout(&mut self, now: Time) {
        self.registrar.timeout(now);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.registrar.deadline()
    }

    /// Where a request for a user goes whose domain is served here: to its phones. None: the domain is not.
    pub(crate) fn route(&self, now: Time, to: &SipUri) -> Option<Result<Route, Refusal>> {
        let jid = address::to_jid(&Uri::Sip(to.clone()), &address::Options::default()).ok()?;
        if !self.serves(jid.domain()) {
            return None;
        }
        if !self.is_account(&jid) {
            return Some(Err(Refusal::UnknownAccount));
        }
        let Ok(account) = account_uri(&jid) else { return Some(Err(Refusal::UnknownAccount)) };
        let found = self.registrar.contacts(now, &account, to);
        let branches: Vec<Branch> =
            found.into_iter().filter_map(|binding| branch(binding, binding.contact.clone().into())).collect();
        let transport = branches.first().and_then(|branch| match &branch.next {
            Next::Target(target) => Some(target.transport),
            Next::Place(_) => None,
        });
        let route = transport.map(|transport| Route { hop: Hop::Fork(branches), route: None, transport });
        Some(route.ok_or(Refusal::NoContact))
    }

    /// The way of what is said in a dialog with an account: by the flow of the contact that it is with, which is looked for among the account's own. None: it
    /// is none of theirs.
    pub(crate) fn next_hop(&self, now: Time, dialog: &Dialog) -> Option<Hop> {
        if self.servers.is_empty() || !dialog.route_set.is_empty() {
            return None;
        }
        let remote = NameAddr::parse(&dialog.remote_uri).ok()?;
        let jid = address::to_jid(&remote.uri, &address::Options::default()).ok()?;
        if !self.serves(jid.domain()) {
            return None;
        }
        let account = account_uri(&jid).ok()?;
        let Uri::Sip(target) = Uri::parse(&dialog.remote_target()).ok()? else { return None };
        let binding = self.registrar.contact_at(now, &account, &target)?;
        // RFC 5627 §6.1: a GRUU leads to the contact, and stays here. A contact's own parameters are the phone's.
        let uri = if target.gr().is_some() { binding.contact.clone() } else { target };
        Some(Hop::Fork(vec![branch(binding, uri.into())?]))
    }
}

/// What the passwords of a domain's users are for, where nothing else is said: the domain as SIP writes it, which every phone can show and hash.
pub fn realm_of(domain: &str) -> Str {
    domain_to_ascii(domain).unwrap_or_else(|_| Str::from(domain))
}

/// The way to a contact.
fn branch(binding: &Binding, uri: Uri) -> Option<Branch> {
    let (transport, remote, flow) = binding.place()?;
    // What is behind a NAT is reached from where it has sent to.
    let local = (transport == Transport::Udp && binding.flow.transport == Transport::Udp).then_some(binding.flow.local);
    let target = Target { flow, local, ..Target::new(transport, remote) };
    Some(Branch { uri, route: binding.path.clone(), q: binding.q, next: Next::Target(target) })
}

/// An account's address as the registrar knows it.
fn account_uri(account: &Jid) -> Result<Str, address::AddressError> {
    Ok(Str::from(address::to_uri(&account.bare(), Scheme::Sip)?.to_string()))
}

/// The account of a SIP address.
fn jid_of(account: &str) -> Option<Jid> {
    address::to_jid(&Uri::parse(account).ok()?, &address::Options::default()).ok()
}

/// The account that somebody logs in to by this name.
fn account_of(name: &str, domain: &str) -> Option<Jid> {
    let domain = domain_to_ascii(domain).ok()?;
    let uri = SipUri::new(sip::Host::parse(&domain).ok()?).with_user(name.as_bytes());
    address::to_jid(&uri.into(), &address::Options::default()).ok()
}
