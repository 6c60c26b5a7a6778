//! What a registrar has told the one shard that registers a trunk's account, for all shards: a record of the store.

use super::{Entry, Trunk, Trunks, Yard};
use crate::store::{About, Broken, Key, SaveToken};
use base::{Str, Time, format_compact};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use xmpp::jid::Jid;

/// After what time it is tried again to save what was learnt.
const AGAIN: Duration = Duration::from_secs(10);

/// What is kept of one trunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Learnt {
    /// The registrar and the user whom it holds for.
    registrar: String,
    user: String,
    /// The realms that the account is for: the registrar, or somebody on the way to it, has asked for these and has taken what they were answered with.
    realms: Vec<Str>,
    /// What requests of the account go through: RFC 3608.
    #[serde(default)]
    routes: Vec<Str>,
}

/// What is known of all of them, by the names of the records.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    learnt: BTreeMap<Vec<u8>, Learnt>,
    /// What is on its way to the other shards, and when it is tried again that has not got there.
    saving: BTreeMap<SaveToken, Vec<u8>>,
    unsaved: BTreeMap<Vec<u8>, Time>,
}

impl Learnt {
    /// Whether it holds for the trunk as it is now.
    fn is_of(&self, trunk: &Trunk) -> bool {
        trunk.register.is_some() && whom(trunk) == (self.registrar.clone(), self.user.clone())
    }

    /// Strings always have a JSON form.
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Notebook {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.unsaved.values().min().copied()
    }

    fn of(&self, entry: &Entry) -> Option<&Learnt> {
        self.learnt.get(&entry.key).filter(|learnt| learnt.is_of(&entry.trunk))
    }
}

impl Trunks {
    /// A record says what a registrar has told, or that this is not known any more. None: it is about something else.
    pub(crate) fn record(
        &mut self,
        yard: &mut Yard<'_>,
        key: &Key,
        value: Option<&[u8]>,
    ) -> Option<Result<(), Broken>> {
        let About::Trunk(_) = key.about else { return None };
        let all = &mut self.notebook.learnt;
        match value.map(read).transpose() {
            Ok(Some(learnt)) => drop(all.insert(key.to_bytes(), learnt)),
            Ok(None) => drop(all.remove(&key.to_bytes())),
            Err(broken) => return Some(Err(broken)),
        }
        self.recall(yard);
        Some(Ok(()))
    }

    /// A record is saved, or could not be. Whether it was one of these.
    pub(crate) fn saved(&mut self, yard: &Yard<'_>, token: SaveToken, saved: bool) -> bool {
        let Some(key) = self.notebook.saving.remove(&token) else { return false };
        if !saved {
            self.notebook.unsaved.insert(key, yard.now + AGAIN);
        }
        true
    }

    /// The Route that leads a request into a trunk: the way to its place, where that wants to be named, and what its registrar has said that requests of
    /// the account go through (RFC 3608 §6.1). The place is the next hop all the same, as an outbound proxy is.
    pub(crate) fn route(&self, trunk: &Trunk) -> Option<Str> {
        let entry = self.entries.iter().find(|entry| entry.trunk.name == trunk.name);
        let learnt = entry.and_then(|entry| self.notebook.of(entry)).into_iter();
        let all = trunk.route.iter().chain(learnt.flat_map(|learnt| &learnt.routes));
        all.fold(None, |before: Option<Str>, route| match before {
            Some(before) => Some(format_compact!("{before}, {route}")),
            None => Some(route.clone()),
        })
    }

    /// Tells the wallet what the records say, where this shard does not hear it from the registrars themselves; where it does, records of trunks that there are no
    /// more are let go.
    pub(super) fn recall(&mut self, yard: &mut Yard<'_>) {
        for entry in &self.entries {
            let (id, learnt) = (entry.trunk.account_id(), self.notebook.of(entry));
            let heard = self.registers && !yard.agent.wallet().homes(id).is_empty();
            if !heard {
                yard.agent.wallet_mut().learn(id, learnt.map_or(&[], |learnt| &learnt.realms));
            }
        }
        if self.registers && !self.entries.is_empty() {
            let known = |key: &Vec<u8>| self.entries.iter().any(|entry| entry.key == *key);
            for (key, _) in self.notebook.learnt.extract_if(.., |key, _| !known(key)) {
                yard.save(key, None);
            }
        }
    }

    /// Takes note of what the registrars have said, and has it told to the other shards.
    pub(super) fn learn(&mut self, yard: &mut Yard<'_>) {
        let Trunks { entries, registrations, notebook, .. } = self;
        notebook.unsaved.retain(|key, _| entries.iter().any(|entry| entry.key == *key));
        for Entry { trunk, key, registration, .. } in entries.iter() {
            let due = notebook.unsaved.get(key).is_some_and(|at| *at <= yard.now);
            let status = registration.as_ref().and_then(|(_, own)| registrations.status((*own)?));
            let Some(status) = status.filter(|status| status.until.is_some_and(|until| until > yard.now)) else {
                if due {
                    notebook.unsaved.remove(key);
                }
                continue;
            };
            let (registrar, user) = whom(trunk);
            let realms = yard.agent.wallet().homes(trunk.account_id()).to_vec();
            let learnt = Learnt { registrar, user, realms, routes: status.granted.service_route.clone() };
            if due || notebook.learnt.get(key) != Some(&learnt) {
                notebook.unsaved.remove(key);
                notebook.saving.insert(yard.save(key.clone(), Some(learnt.to_bytes())), key.clone());
                notebook.learnt.insert(key.clone(), learnt);
            }
        }
    }
}

/// Reads a record without using it.
///
/// # Errors
/// [`Broken::Value`].
pub(crate) fn check(value: &[u8]) -> Result<(), Broken> {
    read(value).map(drop)
}

fn read(value: &[u8]) -> Result<Learnt, Broken> {
    serde_json::from_slice(value).map_err(|e| Broken::Value(e.to_string()))
}

fn whom(trunk: &Trunk) -> (String, String) {
    let registrar = trunk.register.as_ref().map(|register| register.registrar.to_string());
    let user = trunk.account.as_ref().map(|account| account.username.to_string());
    (registrar.unwrap_or_default(), user.unwrap_or_default())
}

/// The key of a trunk's record.
pub(super) fn key(trunk: &Trunk) -> Vec<u8> {
    let about = About::Trunk(format_compact!("{:016x}", trunk.account_id().0));
    // The configuration has no other domains than those that are addresses.
    let domain = trunk.domains.first().and_then(|domain| Jid::new(None, domain, None).ok());
    domain.map(|domain| Key { about, sip: domain.clone(), xmpp: domain }.to_bytes()).unwrap_or_default()
}
