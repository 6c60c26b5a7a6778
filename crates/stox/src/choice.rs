//! As what a message goes to SIP: alone (RFC 7572) or in a session (RFC 7573).

use crate::config::{Config, Mode};
use crate::prints;
use base::{Fingerprint, HashKey, Recent, Time};
use std::time::Duration;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// The two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A SIP MESSAGE.
    Message,
    /// An MSRP session.
    Session,
}

/// Whether somebody has written something.
pub(crate) fn has_words(stanza: &Stanza) -> bool {
    stanza.elements().any(|e| e.is("body", xmpp::ns::CLIENT) || e.is("subject", xmpp::ns::CLIENT))
}

/// Which SIP users have refused sessions. Bounded: who is forgotten is asked again.
#[derive(Debug)]
pub(crate) struct Choice {
    key: HashKey,
    refused: Recent<Fingerprint, Time>,
}

impl Choice {
    pub(crate) fn new(key: HashKey, capacity: usize) -> Choice {
        Choice { key, refused: Recent::new(key, capacity) }
    }

    /// The way of what opens a conversation. Only `chat` wants a session (RFC 6121 §5.2.2), and only in words: a state alone opens none.
    pub(crate) fn way(&self, now: Time, config: &Config, stanza: &Stanza) -> Way {
        let Some(to) = stanza.to.as_ref().filter(|_| stanza.kind == Kind::Message) else { return Way::Message };
        let chat = stanza.type_.as_deref() == Some("chat") && to.local().is_some();
        match config.chat_mode(to.domain()) {
            Mode::Message => Way::Message,
            Mode::Session if chat && has_words(stanza) => Way::Session,
            Mode::Auto if chat && has_words(stanza) && !self.has_refused(now, to) => Way::Session,
            Mode::Session | Mode::Auto => Way::Message,
        }
    }

    /// Whether a SIP user has refused a session not long ago.
    pub(crate) fn has_refused(&self, now: Time, user: &Jid) -> bool {
        self.refused.get(&prints::user(&self.key, user)).is_some_and(|until| now < *until)
    }

    /// A SIP user takes no sessions: it is not asked again for this long.
    pub(crate) fn refused(&mut self, now: Time, user: &Jid, for_: Duration) {
        self.refused.insert(prints::user(&self.key, user), now + for_);
    }

    /// A SIP user takes sessions after all.
    pub(crate) fn takes(&mut self, user: &Jid) {
        self.refused.remove(&prints::user(&self.key, user));
    }
}
