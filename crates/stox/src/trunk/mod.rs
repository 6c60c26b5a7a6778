//! Trunks: providers and telephone systems where the gateway has an account, and what goes and comes through them.
//!
//! What goes to the numbers or users of a trunk's domains is sent to its place, as the account, and challenges are answered with its password
//! ([`Trunk::of`], [`crate::way`]). What comes from its addresses, or over TLS in its name, may speak for its domains, and what is for the account
//! goes to one XMPP user ([`Trunks::behind`]). The first shard registers the accounts, and what the registrars say it tells the others by a record
//! ([`learnt`]); all shards look up where the places are.

mod learnt;
mod sources;
#[cfg(test)]
mod tests;

use crate::gateway::Output;
use crate::network::Network;
use crate::store::SaveToken;
use base::dns::{Answer, Question};
use base::{HashKey, Str, Time, Tokens};
use learnt::Notebook;
pub(crate) use learnt::check as check_record;
use sip::agent::{AccountId, Agent, ClientId, Failure, Place, Target, Transport};
use sip::digest::Account;
use sip::register::{self, Binding, Event, Outbound, RegistrationId, Registrations};
use sip::uri::{Host, SipUri, Uri};
use sip::{Floor, Request, Response};
use sources::Sources;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;
use xmpp::jid::Jid;

/// How much of what has changed waits for somebody to ask; what comes then is not told.
const MOST_NEWS: usize = 256;
/// What the names of our look-ups have that those of the SIP agent have not.
const LOOKUPS: u64 = 1 << 63;

/// Somebody who carries what goes to some SIP domains, and where the gateway has an account, perhaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// What the operator calls it.
    pub name: Str,
    /// The SIP domains that it carries, as the SIP side has them ([`crate::numbers`]); at least one. Of callers that it sends it may say that
    /// they are in these, and numbers that it says to be elsewhere are taken to be in the first.
    pub domains: Vec<Str>,
    /// How the numbers begin that it carries; none: it carries all users of these domains.
    pub numbers: Vec<Str>,
    /// Where requests go. Its account is ours to set.
    pub place: Place,
    /// The Route value, where the place is a loose router.
    pub route: Option<Str>,
    /// The credentials, if there are some.
    pub account: Option<Account>,
    /// Who the gateway is there.
    pub address: SipUri,
    /// Whether all XMPP users speak as [`Trunk::address`], and not each as himself.
    pub speaks: bool,
    /// Which XMPP user gets what is for the account.
    pub user: Option<Jid>,
    /// How the account is registered, if it is.
    pub register: Option<Register>,
    /// Networks that it sends from besides the addresses that its place has.
    pub sources: Vec<Network>,
}

/// How an account is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The Request-URI.
    pub registrar: Uri,
    /// For how long, in seconds.
    pub expires: u32,
    /// How long after a first failure it is tried again.
    pub retry: Duration,
    /// The name of this gateway (a URN), where RFC 5626 is asked for.
    pub instance: Option<Str>,
}

impl Trunk {
    /// The one that carries what is for this address: of several the one whose beginning of the number is the longest, and of those the first.
    pub fn of<'a>(trunks: &'a [Trunk], to: &SipUri) -> Option<&'a Trunk> {
        let host = xmpp::jid::domain(&to.host.to_string()).ok()?;
        let user = to.user_octets().unwrap_or_default();
        let fit = |trunk: &Trunk| {
            let known = trunk.domains.contains(&host);
            let begins = |number: &&Str| user.starts_with(number.as_bytes());
            match trunk.numbers.is_empty() {
                true => known.then_some(0),
                false => trunk.numbers.iter().filter(begins).map(|number| number.len() + 1).max().filter(|_| known),
            }
        };
        let fit = trunks.iter().filter_map(|trunk| Some((trunk, fit(trunk)?)));
        fit.rev().max_by_key(|(_, length)| *length).map(|(trunk, _)| trunk)
    }

    /// Its place, with the account that answers challenges.
    pub fn place(&self) -> Place {
        Place { account: self.account.as_ref().map(|_| self.account_id()), foreign: false, ..self.place.clone() }
    }

    /// The name of its account in the wallet: its own name's hash, so that it stays the same when others come and go. Those of linked users have
    /// the highest bit.
    pub fn account_id(&self) -> AccountId {
        AccountId(HashKey::new(0x7472_756e, 0x6b73).fingerprint(&[self.name.as_bytes()]).bits() as u64 & !LOOKUPS)
    }

    /// The transport that is used there, as far as that is known before it is looked up.
    pub fn transport(&self) -> Transport {
        self.place.transport.unwrap_or(if self.place.secure { Transport::Tls } else { Transport::Udp })
    }
}

/// How a trunk stands, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The trunk.
    pub name: Str,
    /// For how long it is registered yet; none: it is not.
    pub registered: Option<Duration>,
    /// Why it is not, or why the last refresh failed: the words of a refusal among it, which somebody else has chosen.
    pub trouble: Option<Str>,
    /// When it is tried again.
    pub again: Option<Duration>,
}

/// A trunk of one shard.
#[derive(Debug)]
struct Entry {
    trunk: Trunk,
    /// What its record is called.
    key: Vec<u8>,
    /// What was asked for, and what became of it; only where this shard registers.
    registration: Option<(Binding, Option<RegistrationId>)>,
    sources: Sources,
}

/// All trunks of a shard.
#[derive(Debug)]
pub(crate) struct Trunks {
    entries: Vec<Entry>,
    registrations: Registrations,
    /// Whether this shard registers accounts.
    registers: bool,
    /// No trunk is registered any more.
    draining: bool,
    /// What the registrars have said.
    notebook: Notebook,
    now: Time,
    /// What has changed since somebody asked.
    news: VecDeque<Seen>,
}

/// What the trunks act with.
#[derive(Debug)]
pub(crate) struct Yard<'a> {
    pub(crate) now: Time,
    pub(crate) agent: &'a mut Agent,
    pub(crate) tokens: &'a mut Tokens,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) next_save: &'a mut SaveToken,
}

impl Yard<'_> {
    fn save(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> SaveToken {
        let token = *self.next_save;
        *self.next_save += 1;
        self.out.push_back(Output::Save { token, key, value });
        token
    }

    fn ground(&mut self) -> Floor<'_> {
        Floor { now: self.now, agent: self.agent, tokens: self.tokens }
    }
}

impl Trunks {
    pub(crate) fn new(registers: bool, key: HashKey) -> Trunks {
        let registrations = Registrations::new(register::Config::default(), key);
        Trunks {
            entries: Vec::new(),
            registrations,
            registers,
            draining: false,
            notebook: Notebook::default(),
            now: Time::ZERO,
            news: VecDeque::new(),
        }
    }

    /// These are the trunks from now on. What is the same goes on as it is; the others' accounts are taken back, and registered anew.
    pub(crate) fn configure(&mut self, yard: &mut Yard<'_>, trunks: &[Trunk]) {
        self.now = yard.now;
        let mut old = std::mem::take(&mut self.entries);
        for trunk in trunks {
            let known = old.iter().position(|entry| entry.trunk.name == trunk.name).map(|at| old.swap_remove(at));
            let changed = known.as_ref().is_none_or(|entry| entry.trunk.account != trunk.account);
            let id = trunk.account_id();
            if let Some(account) = &trunk.account {
                let account = Account { registers: trunk.register.is_some(), ..account.clone() };
                yard.agent.wallet_mut().set(id, account);
            } else {
                yard.agent.wallet_mut().remove(id);
            }
            let binding = self.binding(yard, trunk);
            let (mut sources, mut registration) = match known {
                Some(entry) => (entry.sources, entry.registration),
                None => (Sources::default(), None),
            };
            sources.of(&trunk.place, yard.now);
            match (&mut registration, binding) {
                (Some((before, id)), Some(after)) if *before == after => {
                    if let (true, Some(id)) = (changed, *id) {
                        self.registrations.retry(&mut yard.ground(), id);
                    }
                }
                (registration, binding) => {
                    if let Some((_, Some(id))) = registration.take() {
                        self.registrations.close(&mut yard.ground(), id);
                    }
                    *registration = binding.map(|binding| {
                        let id = self.registrations.open(&mut yard.ground(), binding.clone());
                        (binding, id)
                    });
                }
            }
            let key = learnt::key(trunk);
            self.entries.push(Entry { trunk: trunk.clone(), key, registration, sources });
        }
        self.recall(yard);
        for entry in old {
            if let Some((_, Some(id))) = entry.registration {
                self.registrations.close(&mut yard.ground(), id);
            }
            // A last word may have to be said with the account: it stays in the wallet, of no use to others.
        }
        self.settle(yard);
    }

    /// What is registered for a trunk; none where nothing is, or another shard does it.
    fn binding(&self, yard: &Yard<'_>, trunk: &Trunk) -> Option<Binding> {
        let register = trunk.register.as_ref().filter(|_| self.registers && !self.draining)?;
        let transport = trunk.transport();
        let (host, port) = yard.agent.sent_by(transport)?;
        let mut contact = SipUri::new(host.clone());
        contact.port = port;
        let user = trunk.user.as_ref().and_then(|user| crate::address::to_uri(user, crate::address::Scheme::Sip).ok());
        contact.user = user.and_then(|user| user.user).or_else(|| trunk.address.user.clone());
        if transport != Transport::Udp {
            contact.params.set("transport", Some(transport.as_str().to_ascii_lowercase().as_bytes()));
        }
        Some(Binding {
            registrar: register.registrar.clone(),
            address: trunk.address.clone().into(),
            contact: contact.into(),
            hop: trunk.place().into(),
            route: trunk.route.clone(),
            expires: register.expires,
            retry: register.retry,
            outbound: register.instance.clone().map(|instance| Outbound { instance, reg_id: 1 }),
        })
    }

    /// The process ends: the registrars are told.
    pub(crate) fn drain(&mut self, yard: &mut Yard<'_>) {
        self.draining = true;
        for entry in &mut self.entries {
            if let Some((_, Some(id))) = entry.registration.take() {
                self.registrations.close(&mut yard.ground(), id);
            }
        }
        self.settle(yard);
    }

    /// A final response came. Whether it was to a request of ours.
    pub(crate) fn response(&mut self, yard: &mut Yard<'_>, client: ClientId, response: &Response) -> bool {
        let own = self.registrations.response(&mut yard.ground(), client, response);
        if own {
            self.learn(yard);
            self.settle(yard);
        }
        own
    }

    /// A request ended without one. Whether it was ours.
    pub(crate) fn failed(&mut self, yard: &mut Yard<'_>, client: ClientId, why: Failure) -> bool {
        let own = self.registrations.failed(&mut yard.ground(), client, why);
        if own {
            self.settle(yard);
        }
        own
    }

    /// A request goes out to this target.
    pub(crate) fn sent(&mut self, client: ClientId, target: &Target) {
        self.registrations.sent(client, target);
    }

    /// The connection that leads to this target is gone.
    pub(crate) fn flow_lost(&mut self, yard: &mut Yard<'_>, target: &Target) {
        self.registrations.flow_lost(&mut yard.ground(), target);
        self.settle(yard);
    }

    /// Something was looked up. Whether it was for us.
    pub(crate) fn looked(&mut self, yard: &mut Yard<'_>, id: u64, answer: &Answer) -> bool {
        let place = usize::try_from((id & !LOOKUPS) >> 16).unwrap_or(usize::MAX);
        let Some(entry) = self.entries.get_mut(place).filter(|_| id & LOOKUPS != 0) else { return false };
        entry.sources.learn(yard.now, id as u16, answer);
        self.settle(yard);
        true
    }

    pub(crate) fn timeout(&mut self, yard: &mut Yard<'_>) {
        self.registrations.timeout(&mut yard.ground());
        if self.notebook.deadline().is_some_and(|at| at <= yard.now) {
            self.learn(yard);
        }
        self.settle(yard);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let sources = self.entries.iter().filter_map(|entry| entry.sources.due());
        sources.chain(self.registrations.deadline()).chain(self.notebook.deadline()).min()
    }

    /// What has changed since this was asked last.
    pub(crate) fn news(&mut self) -> Option<Seen> {
        self.news.pop_front()
    }

    /// How many have yet to take their leave.
    pub(crate) fn leaving(&self) -> usize {
        if self.draining { self.registrations.counts().open } else { 0 }
    }

    /// How each stands that is to be registered here.
    pub(crate) fn seen(&self, now: Time) -> Vec<Seen> {
        self.entries.iter().filter_map(|entry| self.seen_of(now, entry)).collect()
    }

    fn seen_of(&self, now: Time, entry: &Entry) -> Option<Seen> {
        let (_, id) = entry.registration.as_ref()?;
        let status = id.and_then(|id| self.registrations.status(id))?;
        let trouble = status.trouble.map(|(why, _)| base::format_compact!("{why}"));
        Some(Seen {
            name: entry.trunk.name.clone(),
            registered: status.until.filter(|until| *until > now).map(|until| until - now),
            again: status.trouble.and_then(|(_, again)| again).map(|again| again.since(now)),
            trouble,
        })
    }

    /// The trunks that something comes from, several where they are accounts with one provider: by its address, or by the names of the certificate that its connection has shown.
    pub(crate) fn behind<'a>(&'a self, remote: IpAddr, names: &'a [Str]) -> impl Iterator<Item = &'a Trunk> + Clone {
        let is = move |entry: &&Entry| {
            let name = match &entry.trunk.place.host {
                Host::Name(name) => names.iter().any(|shown| shown.eq_ignore_ascii_case(name)),
                Host::V4(_) | Host::V6(_) => false,
            };
            let listed = entry.trunk.sources.iter().any(|network| network.contains(remote));
            name || listed || entry.sources.contain(self.now, remote)
        };
        self.entries.iter().filter(is).map(|entry| &entry.trunk)
    }

    /// Asks and tells what there is to be asked and told.
    fn settle(&mut self, yard: &mut Yard<'_>) {
        self.now = yard.now;
        while let Some(event) = self.registrations.poll() {
            let id = match &event {
                Event::Registered { id } | Event::Failed { id, .. } => *id,
                Event::Ended { .. } => continue,
            };
            let of = |entry: &&Entry| entry.registration.as_ref().is_some_and(|(_, own)| *own == Some(id));
            let seen = self.entries.iter().find(of).and_then(|entry| self.seen_of(yard.now, entry));
            self.news.extend(seen);
            self.news.truncate(MOST_NEWS);
        }
        for (place, entry) in self.entries.iter_mut().enumerate() {
            for (number, question) in entry.sources.ask(yard.now) {
                let id = LOOKUPS | (place as u64) << 16 | u64::from(number);
                yard.out.push_back(Output::Lookup { id, question });
            }
        }
    }
}

/// Whom a request from a trunk is for that is for nobody by name: it has the user of the Contact that was registered.
pub(crate) fn user_of<'a>(trunk: &'a Trunk, request: &Request) -> Option<&'a Jid> {
    let octets = request.uri.sip()?.user_octets();
    let user = trunk.user.as_ref()?;
    let own = crate::address::to_uri(user, crate::address::Scheme::Sip).ok()?.user_octets();
    (own.is_some() && own == octets).then_some(user)
}

/// A number that trunks say to be elsewhere (at their own address, at somebody whom they carry for) is one of the first's own.
pub(crate) fn number_at<'a>(trunks: impl Iterator<Item = &'a Trunk> + Clone, said: &Jid) -> Option<Jid> {
    let number = said.local().filter(|local| crate::numbers::is_number(local))?;
    let mut domains = trunks.clone().flat_map(|trunk| &trunk.domains);
    let elsewhere = !domains.any(|domain| domain == said.domain());
    let first = trunks.flat_map(|trunk| &trunk.domains).next().filter(|_| elsewhere)?;
    Jid::new(Some(number), first, None).ok()
}

/// A question to a name server, as [`Sources`] numbers it.
pub(crate) type Asked = (u16, Question);
