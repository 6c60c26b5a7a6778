//! A registrar: which contacts an account has. RFC 3261 §10.3, with paths (RFC 3327), flows (RFC 5626) and GRUUs (RFC 5627).
//!
//! It knows nothing of passwords: who hands in a REGISTER says whose it is. An account is a SIP URI in one form (`sip:romeo@example.net`), of which the layer above says
//! which there are. What a REGISTER is answered 200 for is to be saved before ([`Save`], [`Registrar::saved`]); the next one of this account waits for that.
//!
//! Several registrars may share the work: one of them takes the REGISTERs of an account and lets its contacts expire, the others are told what they are
//! ([`Registrar::adopt`]).

mod request;
mod stored;
mod value;

#[cfg(test)]
mod tests;

pub use stored::Stored;
pub use value::{Binding, Bindings, Config, Counts, Save, Secret};

use crate::agent::{Flow, ServerId};
use crate::ground::Floor;
use crate::header::{Date, Name};
use crate::message::{Request, Response};
use crate::uri::{SipUri, Uri};
use base::{HashKey, Str, Table, Time, Tokens};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The characters of a temporary GRUU that are its own: 80 random bits.
const SERIAL: usize = 16;

/// The contacts of the accounts.
#[derive(Debug)]
pub struct Registrar {
    config: Config,
    accounts: Table<Str, Box<Account>>,
    /// When the first contact of an account is over, of those whose REGISTERs come here.
    due: BTreeSet<(Time, Str)>,
    /// The accounts that have contacts by a connection.
    by_connection: BTreeSet<(u64, Str)>,
    saves: VecDeque<Save>,
    counts: Counts,
}

#[derive(Debug)]
struct Account {
    bindings: Bindings,
    /// REGISTERs of it come here.
    own: bool,
    /// What is being saved.
    pending: Option<Pending>,
    waiting: VecDeque<Waiting>,
}

/// A change that is being saved.
#[derive(Debug)]
struct Pending {
    bindings: Bindings,
    /// Whose answer waits for it; none where contacts have expired, or were removed otherwise.
    answer: Option<(ServerId, Response)>,
}

/// A REGISTER that came while another one was being saved.
#[derive(Debug)]
struct Waiting {
    server: ServerId,
    request: Box<Request>,
    flow: Flow,
    date: Date,
}

impl Registrar {
    /// A registrar. `key` is for its tables.
    pub fn new(config: Config, key: HashKey) -> Registrar {
        Registrar {
            config,
            accounts: Table::new(key),
            due: BTreeSet::new(),
            by_connection: BTreeSet::new(),
            saves: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes new bounds. Contacts stay as they are.
    pub fn reconfigure(&mut self, config: Config) {
        self.config = config;
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A REGISTER of `account`, for `account`, whose sender has proved to be it. `date` is the moment as an answer says it. It is answered here,
    /// when what it asks for is saved.
    pub fn register(
        &mut self,
        ground: &mut Floor<'_>,
        account: &Str,
        server: ServerId,
        request: Request,
        flow: Flow,
        date: Date,
    ) {
        let entry = self.accounts.or_insert_with(account.clone(), Account::new);
        entry.own = true;
        let waiting = Waiting { server, request: Box::new(request), flow, date };
        if entry.pending.is_none() {
            self.take(ground, account, waiting);
        } else if entry.waiting.len() < self.config.waiting {
            entry.waiting.push_back(waiting);
        } else {
            self.refuse(ground, server, overload(&self.config));
        }
        self.tidy(account);
    }

    /// What was asked by [`Save`] is saved, or (`saved` false) cannot be.
    pub fn saved(&mut self, ground: &mut Floor<'_>, account: &str, saved: bool) {
        let Some(entry) = self.accounts.get_mut(account) else { return };
        let Some(pending) = entry.pending.take() else { return };
        if saved {
            self.set(account, &pending.bindings);
        }
        match pending.answer {
            Some((server, response)) if saved => {
                self.counts.registered += 1;
                ground.agent.respond(ground.now, server, response);
            }
            Some((server, ..)) => self.refuse(ground, server, overload(&self.config)),
            // What has expired is not shown to anybody anyway. It is tried again with the next change.
            None => {}
        }
        while let Some(entry) = self.accounts.get_mut(account).filter(|entry| entry.pending.is_none()) {
            let Some(waiting) = entry.waiting.pop_front() else { break };
            self.take(ground, account, waiting);
        }
        self.tidy(account);
    }

    /// These are the contacts of an account, as the store or another registrar says. `own`: its REGISTERs come here.
    pub fn adopt(&mut self, account: &str, bindings: &Bindings, own: bool) {
        let entry = self.accounts.or_insert_with(Str::from(account), Account::new);
        entry.own |= own;
        self.set(account, bindings);
        self.tidy(account);
    }

    /// An account is no more, or its password is another one: so are its contacts. REGISTERs that wait for the disk are refused.
    pub fn remove(&mut self, ground: &mut Floor<'_>, account: &str) {
        let Some(entry) = self.accounts.get_mut(account) else { return };
        let (pending, waiting) = (entry.pending.take(), std::mem::take(&mut entry.waiting));
        let answers = pending.and_then(|pending| pending.answer).map(|(server, ..)| server);
        for server in answers.into_iter().chain(waiting.into_iter().map(|waiting| waiting.server)) {
            self.refuse(ground, server, Response::new(403, ""));
        }
        if self.accounts.get(account).is_some_and(|entry| entry.own) {
            self.change(account, Vec::new(), None);
        }
        self.set(account, &Bindings::from([]));
        self.tidy(account);
    }

    /// A connection is no more: nothing comes over it.
    pub fn closed(&mut self, connection: u64) {
        let from = (connection, Str::const_new(""));
        let accounts: Vec<Str> =
            self.by_connection.range(from..).take_while(|(id, _)| *id == connection).map(|(_, a)| a.clone()).collect();
        for account in accounts {
            let Some(entry) = self.accounts.get_mut(&account) else { continue };
            let without = |mut binding: Binding| {
                binding.flow.connection = binding.flow.connection.filter(|id| *id != connection);
                binding
            };
            let bindings: Bindings = entry.bindings.iter().cloned().map(without).collect();
            if let Some(pending) = &mut entry.pending {
                pending.bindings = pending.bindings.iter().cloned().map(without).collect();
            }
            self.set(&account, &bindings);
        }
    }

    /// All contacts of an account, those that are over or cannot be reached among them.
    pub fn bindings(&self, account: &str) -> &[Binding] {
        self.accounts.get(account).map_or(&[], |entry| &entry.bindings)
    }

    /// Where a request goes that is for `to`: an account, or a GRUU that has its name in it. RFC 3261 §16.5, RFC 5626 §7, RFC 5627 §6.1: of each phone one
    /// contact at a time, the last that it has refreshed and that can be reached; the best first. None: nobody is there.
    pub fn contacts(&self, now: Time, account: &str, to: &SipUri) -> Vec<&Binding> {
        let bindings = self.bindings(account);
        let wanted = self.instance_of(bindings, to);
        let mut found: Vec<&Binding> = Vec::new();
        for binding in bindings.iter().rev().filter(|binding| binding.is_alive(now)) {
            let of_it = match &wanted {
                Wanted::Any => true,
                Wanted::Instance(instance) => binding.instance.as_ref() == Some(instance),
                Wanted::Nobody => false,
            };
            let again = binding.instance.is_some() && found.iter().any(|other| other.instance == binding.instance);
            if of_it && !again {
                found.push(binding);
            }
        }
        found.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        found
    }

    /// The contact that is the remote target of a dialog with this account, by name or by GRUU: what is in the dialog goes to it, by its flow.
    pub fn contact_at(&self, now: Time, account: &str, target: &SipUri) -> Option<&Binding> {
        let bindings = self.bindings(account);
        let alive = |binding: &&Binding| binding.is_alive(now);
        if target.gr().is_some() {
            return self.contacts(now, account, target).into_iter().next();
        }
        bindings.iter().rev().filter(alive).find(|binding| binding.is_at(target))
    }

    /// Lets pass what is due: contacts that were not refreshed in time.
    pub fn timeout(&mut self, now: Time) {
        while let Some(first) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.due.remove(&first);
            let account = first.1;
            let Some(entry) = self.accounts.get(&account) else { continue };
            let left: Vec<Binding> = entry.bindings.iter().filter(|b| b.expires_at > now).cloned().collect();
            self.counts.expired += (entry.bindings.len() - left.len()) as u64;
            let busy = entry.pending.is_some();
            self.set(&account, &left.clone().into());
            // What is being saved will have let them go as well.
            if !busy {
                self.change(&account, left, None);
            }
            self.tidy(&account);
        }
    }

    /// When [`Registrar::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is to be saved next.
    pub fn poll(&mut self) -> Option<Save> {
        self.saves.pop_front()
    }

    /// Does what a REGISTER asks for, as nothing else of its account is under way.
    fn take(&mut self, ground: &mut Floor<'_>, account: &str, waiting: Waiting) {
        let Waiting { server, request, flow, date } = waiting;
        let uri = match Uri::parse(account) {
            Ok(Uri::Sip(uri)) => uri,
            Ok(Uri::Other { .. }) | Err(_) => return self.refuse(ground, server, Response::new(404, "")),
        };
        let before = self.bindings(account);
        let had = before.len();
        let read = request::read(&self.config, ground.now, ground.tokens, &uri, before, &request, flow);
        let registration = match read {
            Ok(registration) => registration,
            Err(refusal) => return self.refuse(ground, server, refusal),
        };
        if registration.bindings.len() > had && self.counts.bindings + 1 > self.config.bindings {
            return self.refuse(ground, server, overload(&self.config));
        }
        let made = answer(ground.now, ground.tokens, &self.config, &uri, &registration, &request, date);
        if registration.changes {
            self.change(account, registration.bindings, Some((server, made)));
        } else {
            self.counts.asked += 1;
            ground.agent.respond(ground.now, server, made);
        }
    }

    fn change(&mut self, account: &str, bindings: Vec<Binding>, answer: Option<(ServerId, Response)>) {
        let Some(entry) = self.accounts.get_mut(account) else { return };
        let bindings: Bindings = bindings.into();
        entry.pending = Some(Pending { bindings: Arc::clone(&bindings), answer });
        self.saves.push_back(Save { account: Str::from(account), bindings });
    }

    fn refuse(&mut self, ground: &mut Floor<'_>, server: ServerId, response: Response) {
        self.counts.refused += 1;
        ground.agent.respond(ground.now, server, response);
    }

    /// Sets what an account has, in all tables.
    fn set(&mut self, account: &str, bindings: &Bindings) {
        let Some(entry) = self.accounts.get_mut(account) else { return };
        let own = entry.own;
        let before = std::mem::replace(&mut entry.bindings, Arc::clone(bindings));
        self.counts.bindings = self.counts.bindings + bindings.len() - before.len();
        for (at, connection) in before.iter().map(marks) {
            self.due.remove(&(at, Str::from(account)));
            if let Some(connection) = connection {
                self.by_connection.remove(&(connection, Str::from(account)));
            }
        }
        let first = bindings.iter().map(|binding| binding.expires_at).min().filter(|_| own);
        self.due.extend(first.map(|at| (at, Str::from(account))));
        let connections = bindings.iter().filter_map(|binding| binding.flow.connection);
        self.by_connection.extend(connections.map(|connection| (connection, Str::from(account))));
    }

    /// An account without contacts, of which nothing is under way, takes no room.
    fn tidy(&mut self, account: &str) {
        let empty = |entry: &Account| entry.bindings.is_empty() && entry.pending.is_none() && entry.waiting.is_empty();
        if self.accounts.get(account).is_some_and(|entry| empty(entry)) {
            self.accounts.remove(account);
        }
    }

    /// Which phone of an account a request is for.
    fn instance_of(&self, bindings: &[Binding], to: &SipUri) -> Wanted {
        match to.gr() {
            None => Wanted::Any,
            Some("") if value::is_temporary(to) => {
                let maker = bindings.iter().find(|binding| binding.made(to));
                maker.and_then(|binding| binding.instance.clone()).map_or(Wanted::Nobody, Wanted::Instance)
            }
            Some("") => Wanted::Nobody,
            Some(gr) => {
                let text = crate::uri::percent_decode(gr).ok().and_then(|octets| String::from_utf8(octets).ok());
                text.map_or(Wanted::Nobody, |text| Wanted::Instance(Str::from(text)))
            }
        }
    }
}

/// Which of the phones of an account.
enum Wanted {
    Any,
    Instance(Str),
    Nobody,
}

impl Account {
    fn new() -> Box<Account> {
        Box::new(Account { bindings: Arc::new([]), own: false, pending: None, waiting: VecDeque::new() })
    }
}

/// Under what a binding stands in the tables.
fn marks(binding: &Binding) -> (Time, Option<u64>) {
    (binding.expires_at, binding.flow.connection)
}

fn overload(config: &Config) -> Response {
    let mut response = Response::new(503, "");
    response.headers.push(Name::RetryAfter, config.retry_after);
    response
}

/// RFC 3261 §10.3 step 8, RFC 3327 §5.3, RFC 5626 §6, RFC 5627 §5.2: the 200.
fn answer(
    now: Time,
    tokens: &mut Tokens,
    config: &Config,
    account: &SipUri,
    registration: &request::Registration,
    request: &Request,
    date: Date,
) -> Response {
    let mut response = Response::new(200, "");
    let headers = &mut response.headers;
    let gruus = request::supports(request, "gruu");
    for binding in &registration.bindings {
        let mut contact = binding.to_contact(now);
        if gruus && let Some(public) = binding.public_gruu(account) {
            contact.params.set("pub-gruu", Some(&public.to_string()));
        }
        if gruus && let Some(temporary) = binding.temporary_gruu(account, &tokens.token(SERIAL)) {
            contact.params.set("temp-gruu", Some(&temporary.to_string()));
        }
        headers.push(Name::Contact, contact);
    }
    headers.copy(&request.headers, Name::Path);
    if registration.outbound {
        headers.push(Name::Require, "outbound");
        headers.push("Flow-Timer", config.flow_timer);
    }
    headers.push(Name::Date, date);
    response
}
