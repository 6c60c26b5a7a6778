//! What came from SIP and waits until the XMPP server has taken the stanza that it became, or refused it.

use crate::links::StanzaToken;
use base::{Fingerprint, HashKey, Table, Time};
use std::collections::VecDeque;

/// Things of one kind that wait.
#[derive(Debug)]
pub(crate) struct Held<T> {
    held: Table<StanzaToken, (Fingerprint, T)>,
    /// By [`crate::prints::said`] of the stanza: an error to it names it so.
    by_said: Table<Fingerprint, StanzaToken>,
    /// What is held, oldest first, with the moment it has waited long enough.
    patience: VecDeque<(Time, StanzaToken)>,
}

impl<T> Held<T> {
    pub(crate) fn new(key: HashKey) -> Held<T> {
        Held { held: Table::new(key), by_said: Table::new(key), patience: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether a stanza of this name is on its way.
    pub(crate) fn is_said(&self, said: &Fingerprint) -> bool {
        self.by_said.contains(said)
    }

    /// Holds something. The moments until which things wait never decrease.
    pub(crate) fn hold(&mut self, token: StanzaToken, said: Fingerprint, until: Time, what: T) {
        self.by_said.insert(said, token);
        self.patience.push_back((until, token));
        self.held.insert(token, (said, what));
    }

    /// What is held under a token.
    pub(crate) fn get(&self, token: StanzaToken) -> Option<&T> {
        self.held.get(&token).map(|(_, what)| what)
    }

    /// The server has said something about the stanza.
    pub(crate) fn release(&mut self, token: StanzaToken) -> Option<T> {
        let (said, what) = self.held.remove(&token)?;
        if self.by_said.get(&said) == Some(&token) {
            self.by_said.remove(&said);
        }
        // What is released early leaves its place in the line; those at the front go now, so that the line stays short, and the
        // others when they are most of it: one that waits must not keep all that came behind it.
        while self.patience.front().is_some_and(|(_, t)| !self.held.contains(t)) {
            self.patience.pop_front();
        }
        if self.patience.len() > 2 * self.held.len() + 64 {
            self.patience.retain(|(_, t)| self.held.contains(t));
        }
        Some(what)
    }

    /// An error stanza names the stanza.
    pub(crate) fn refused(&mut self, said: &Fingerprint) -> Option<T> {
        let token = *self.by_said.get(said)?;
        self.release(token)
    }

    /// One that has waited long enough.
    pub(crate) fn overdue(&mut self, now: Time) -> Option<T> {
        let &(_, token) = self.patience.front().filter(|(at, _)| *at <= now)?;
        self.release(token)
    }

    /// One after the other, whatever it waits for.
    pub(crate) fn give_up(&mut self) -> Option<T> {
        let &(_, token) = self.patience.front()?;
        self.release(token)
    }

    /// When [`Held::overdue`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.patience.front().map(|(at, _)| *at)
    }
}
