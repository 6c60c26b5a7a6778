//! SIP accounts of XMPP users: whoever has one at a domain of ours links it, and is reached by it and speaks with it from then on.
//!
//! A user links an account by a command (XEP-0050) or by registration (XEP-0077) at the gateway's address. The gateway registers in the user's place
//! (RFC 3261 §10.2) with the credentials that it was given; only when the registrar has taken them they are kept, sealed on disk. The Contact of the
//! registration is the XMPP user's own address at ours ([`linked::FOR`]), so that what the registrar sends comes to the shard of its pair, like all else.
//!
//! One shard, that of the user and the gateway, acts: it asks the registrar, keeps the record and answers. All shards know the accounts: each gives what its
//! user sends into the account's domain the account's From and its credentials.
//!
//! Beside that users ask here for the addresses of telephone numbers (XEP-0100 §6.3, XEP-0055), and a server that lets the gateway do so (XEP-0356) has
//! contacts put into rosters, and what a user's telephone sends shown on the user's other devices (XEP-0280) when it has arrived.

mod ask;
mod commands;
pub(crate) mod linked;
mod linking;
pub mod lookup;
pub(crate) mod privileged;
pub(crate) mod record;

use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::gateway::Note;
use crate::links::StanzaToken;
use crate::mapping::{Mapping, Side, Stage};
use crate::prints;
use crate::store::{About, Broken, Key, SaveToken};
use base::{Fingerprint, HashKey, Recent, Str, Table, Time};
use linked::Account;
use linking::{Home, Saving, Tie};
use record::Record;
use sip::register::{self, RegistrationId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::{gateway, register as in_band, search};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// How accounts are linked, and the bounds of what is kept for it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The XMPP domains whose users may.
    pub domains: Vec<Str>,
    /// The registrar as a URI, in which `{domain}` stands for the domain of the account's address.
    pub registrar: Str,
    /// The seconds that a registration is asked for; it is refreshed before they have passed.
    pub expires: u32,
    /// All accounts, of all shards; beyond: `<resource-constraint/>`.
    pub accounts: usize,
    /// How often one user may try to link an account in an hour; beyond: `<policy-violation/>`. How often an account may be tried, by however many users, its
    /// registrar says, which alone knows them all and which of them is its owner's.
    pub attempts: u32,
    /// Whether an account may be linked whose registrar does not ask for the password, as it trusts the gateway's address: then any user may link any.
    pub unproved: bool,
    /// Attempts under way at one time in one shard; beyond: `<resource-constraint/>`.
    pub pending: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            domains: Vec::new(),
            registrar: Str::const_new("sip:{domain}"),
            expires: 3600,
            accounts: 10_000,
            attempts: 10,
            unproved: false,
            pending: 64,
        }
    }
}

/// In what time [`Options::attempts`] count.
const HOUR: Duration = Duration::from_secs(3600);

/// How many users are remembered who have tried. Who is forgotten may begin anew.
const TRIED: usize = 16_384;

/// Runs of commands that are remembered; the oldest are forgotten.
const RUNS: usize = 4096;

/// How the accounts of this shard's users are, for whoever operates the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that this shard registers.
    pub linked: usize,
    /// Those of them that are registered now.
    pub registered: usize,
}

/// The mapping of accounts.
#[derive(Debug)]
pub struct Accounts {
    options: Option<Options>,
    key: HashKey,
    /// The accounts that this shard registers, and those that are to be linked, by user and domain.
    homes: Table<Fingerprint, Box<Home>>,
    /// How many of those are linked, and registered.
    counts: Counts,
    /// Attempts that nobody has been answered yet.
    pending: usize,
    /// The gateway ends.
    leaving: bool,
    registrations: Table<RegistrationId, Tie>,
    saving: Table<SaveToken, Saving>,
    /// How often users have tried since when.
    tried: Recent<Fingerprint, (Time, u32)>,
    /// Servers that were asked for something in a user's name, the oldest first.
    asked: VecDeque<privileged::Asked>,
    /// Runs of commands by their names: whose, and which.
    runs: Recent<Str, (Fingerprint, Str, Time)>,
}

impl Accounts {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Accounts {
        Accounts {
            options: config.accounts.clone(),
            key,
            homes: Table::new(key),
            counts: Counts::default(),
            pending: 0,
            leaving: false,
            registrations: Table::new(key),
            saving: Table::new(key),
            tried: Recent::new(key, TRIED),
            asked: VecDeque::new(),
            runs: Recent::new(key, RUNS),
        }
    }

    /// How the accounts are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Attempts that somebody waits for, and at the end the registrations that registrars have yet to be told the end of.
    pub fn under_way(&self) -> usize {
        if self.leaving { self.registrations.len() } else { self.pending }
    }

    /// Whether a user may link accounts.
    fn may(&self, user: &Jid) -> bool {
        let listed = |options: &Options| options.domains.iter().any(|domain| domain == user.domain());
        user.local().is_some() && self.options.as_ref().is_some_and(listed)
    }

    fn home_of(&self, user: &Jid, domain: &str) -> Fingerprint {
        let [local, of] = [user.local().unwrap_or_default(), user.domain()].map(str::as_bytes);
        self.key.fingerprint(&[local, of, domain.as_bytes()])
    }

    /// Counts an attempt; false if there were too many in the last hour.
    fn count_attempt(&mut self, now: Time, print: Fingerprint, most: u32) -> bool {
        let (since, times) =
            self.tried.get(&print).copied().filter(|(since, _)| now.since(*since) < HOUR).unwrap_or((now, 0));
        let allowed = times < most;
        // What was too much is not held against anybody.
        self.tried.insert(print, (since, if allowed { times + 1 } else { times }));
        allowed
    }
}

/// Whether a stanza is for the gateway itself.
fn to_gateway(stanza: &Stanza) -> bool {
    stanza.to.as_ref().is_some_and(|to| to.local().is_none() && to.resource().is_none())
}

/// The one thing that an iq asks.
fn payload(stanza: &Stanza) -> Option<&xml::Element> {
    let mut elements = stanza.elements();
    elements.next().filter(|_| elements.next().is_none())
}

impl Mapping for Accounts {
    fn claims_request(&self, _: &sip::Request) -> bool {
        false
    }

    fn claims_stanza(&self, stanza: &Stanza, _: Way) -> bool {
        if self.options.is_none() || !to_gateway(stanza) {
            return false;
        }
        if stanza.kind == Kind::Iq && stanza.type_.as_deref() == Some("result") {
            return privileged::is_of_ours(stanza);
        }
        let asks = matches!(stanza.type_.as_deref(), Some("get" | "set")) && stanza.id.is_some();
        match stanza.kind {
            Kind::Iq if asks => payload(stanza).is_some_and(|e| {
                in_band::is_query(e)
                    || gateway::is_query(e)
                    || search::is_query(e)
                    || e.ns == ns::COMMANDS
                    || ask::of_commands(e)
            }),
            Kind::Message => privileged::is_grant(stanza),
            Kind::Iq | Kind::Presence => false,
        }
    }

    fn reconfigure(&mut self, config: &Config) {
        // Those that are linked stay so: it is for their users to end that. Nobody new may where it is switched off.
        self.options.clone_from(&config.accounts);
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        if stanza.kind == Kind::Message {
            return self.granted(stage, link, &stanza);
        }
        if stanza.type_.as_deref() == Some("result") {
            return self.server_says(stage, &stanza, true);
        }
        self.answer_iq(stage, link, &stanza);
    }

    fn overheard(&mut self, stage: &mut Stage<'_>, stanza: &Stanza) {
        if stanza.kind == Kind::Message
            && privileged::is_grant(stanza)
            && let Some(link) = stanza.to.as_ref().and_then(|to| stage.link_of(to.domain()))
        {
            self.granted(stage, link, stanza);
        }
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, _: &StanzaError) -> bool {
        let ours = self.options.is_some() && to_gateway(stanza) && privileged::is_of_ours(stanza);
        if ours {
            self.server_says(stage, stanza, false);
        }
        ours
    }

    fn stanza_outcome(&mut self, _: &mut Stage<'_>, _: StanzaToken, _: bool) -> bool {
        false
    }

    fn saved(&mut self, stage: &mut Stage<'_>, token: SaveToken, saved: bool) -> bool {
        let Some(saving) = self.saving.remove(&token) else { return false };
        self.settled(stage, saving, saved);
        true
    }

    fn restore(&mut self, stage: &mut Stage<'_>, key: &Key, value: &[u8]) -> Option<Result<(), Broken>> {
        if key.about != About::Linked {
            return None;
        }
        // Switched off: they wait for it to be switched on again, sealed as they are.
        if self.options.is_none() {
            return Some(Ok(()));
        }
        let account = read(key, value);
        Some(account.map(|account| self.restored(stage, account)))
    }

    fn changed(&mut self, stage: &mut Stage<'_>, key: &Key, value: Option<&[u8]>) -> bool {
        if key.about != About::Linked {
            return false;
        }
        if self.options.is_none() {
            return true;
        }
        match value.map(|value| read(key, value)) {
            Some(Ok(account)) => stage.link_account(account),
            Some(Err(_)) => return false,
            None => stage.unlink_account(&key.xmpp, key.sip.domain()),
        }
        true
    }

    fn registration(&mut self, stage: &mut Stage<'_>, event: register::Event) -> Option<register::Event> {
        self.registration_says(stage, event)
    }

    fn drain(&mut self, stage: &mut Stage<'_>) {
        self.leave_all(stage);
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        self.give_up(stage);
    }

    fn link_up(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        Accounts::forget_granted(stage, link);
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        self.servers_are_silent(stage);
    }

    fn deadline(&self) -> Option<Time> {
        self.patience()
    }
}

fn read(key: &Key, value: &[u8]) -> Result<Arc<Account>, Broken> {
    let record = Record::parse(value)?;
    let account = Account::of_record(&key.sip, &key.xmpp, &record);
    account.map(Arc::new).ok_or_else(|| Broken::Value("no account of this domain".to_owned()))
}

/// Tells the shell of a refusal of what the gateway itself was asked.
fn note_refused(stage: &mut Stage<'_>, why: &'static str) {
    stage.note(Note::Refused { refusal: why, towards: Side::Xmpp, message: false });
}

/// The name of a user in tables.
fn print(key: &HashKey, user: &Jid) -> Fingerprint {
    prints::user(key, user)
}
