//! Delivery receipts (XEP-0184), displayed markers (XEP-0333) and their SIP face, IMDN (RFC 5438), in page mode.

use crate::content::{Disposition, Wanted};
use crate::prints;
use base::{Fingerprint, HashKey, Recent};
use xmpp::ext::hints;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// A bounded memory of what SIP senders asked to be told.
#[derive(Debug)]
pub(super) struct Receipts {
    key: HashKey,
    wanted: Recent<Fingerprint, Wanted>,
}

impl Receipts {
    pub(super) fn new(key: HashKey, capacity: usize) -> Receipts {
        Receipts { key, wanted: Recent::new(key, capacity) }
    }

    /// The message with stanza id `id` from `sender` (SIP) to `recipient` (XMPP) wants to be answered.
    pub(super) fn want(&mut self, id: &str, recipient: &Jid, sender: &Jid, wanted: Wanted) {
        let print = self.print(id, recipient, sender);
        self.wanted.insert(print, wanted);
    }

    /// What `sender` wanted to know of its message `id` to `recipient`, if it wanted this; each is told once.
    pub(super) fn answer(&mut self, id: &str, recipient: &Jid, sender: &Jid, what: Disposition) -> Option<Wanted> {
        let print = self.print(id, recipient, sender);
        let wanted = self.wanted.get_mut(&print)?;
        let answer = wanted.take(what).then(|| wanted.clone());
        if !wanted.delivery && !wanted.display {
            self.wanted.remove(&print);
        }
        answer
    }

    fn print(&self, id: &str, recipient: &Jid, sender: &Jid) -> Fingerprint {
        prints::said(&self.key, id, recipient, sender)
    }
}

/// The receipt for a message from XMPP that a SIP user agent answered with 200. Nothing without an id (XEP-0184 §5.5: the
/// receipt names the message by it).
pub(super) fn received(envelope: &Stanza) -> Option<Stanza> {
    let (id, from, to) = (envelope.id.as_ref()?, envelope.from.as_ref()?, envelope.to.as_ref()?);
    let mut stanza = Stanza::message();
    stanza.from = Some(to.bare());
    stanza.to = Some(from.clone());
    stanza.id = Some(base::format_compact!("{id}-received"));
    stanza.type_ = envelope.type_.clone();
    stanza.push(Disposition::Delivered.to_element(id.clone()));
    stanza.push(hints::store());
    Some(stanza)
}
