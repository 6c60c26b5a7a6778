//! What the gateway has learned of the SIP users: what they take and what they sent.

use crate::prints;
use base::{Fingerprint, HashKey, Recent};
use xmpp::jid::Jid;

/// What is known of one SIP user (address of record), by what it sent and refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// It refused (415) something richer than plain text.
    pub(crate) plain_only: bool,
    /// It sent message/cpim, so it reads that.
    pub(crate) cpim: bool,
    /// It sent is-composing documents, so it reads them (RFC 3994 §3.1: not to those who do not).
    pub(crate) composing: bool,
}

/// A bounded memory of SIP users.
#[derive(Debug)]
pub(crate) struct Peers {
    key: HashKey,
    known: Recent<Fingerprint, Peer>,
}

impl Peers {
    pub(crate) fn new(key: HashKey, capacity: usize) -> Peers {
        Peers { key, known: Recent::new(key, capacity) }
    }

    /// What is known of `user`.
    pub(crate) fn get(&self, user: &Jid) -> Peer {
        self.known.get(&self.print(user)).copied().unwrap_or_default()
    }

    /// Learns something of `user`.
    pub(crate) fn learn(&mut self, user: &Jid, change: impl FnOnce(&mut Peer)) {
        let print = self.print(user);
        let mut peer = self.known.get(&print).copied().unwrap_or_default();
        let before = peer;
        change(&mut peer);
        if peer != before {
            self.known.insert(print, peer);
        }
    }

    fn print(&self, user: &Jid) -> Fingerprint {
        prints::user(&self.key, user)
    }
}
