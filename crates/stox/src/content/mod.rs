//! What people say to each other, whichever way it is carried: the words of a SIP body and of a stanza, receipts, identifiers. The mappings of
//! single messages and of sessions share it.

pub mod arrived;
pub mod departing;
pub(crate) mod described;
pub(crate) mod identifiers;
pub(crate) mod payload;

use base::Str;
use xml::Element;
use xmpp::ext::{markers, receipts};

/// What a SIP sender asked to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The imdn.Message-ID of its message.
    pub message_id: Str,
    /// The DateTime of its message, to be given back as it was (RFC 5438 §7.2.1.1).
    pub date_time: Option<Str>,
    /// It wants to know of the delivery.
    pub delivery: bool,
    /// It wants to know of the display.
    pub display: bool,
}

impl Wanted {
    /// Whether this was asked for; each is told once.
    pub(crate) fn take(&mut self, what: Disposition) -> bool {
        what.of(&mut self.delivery, &mut self.display)
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A device has it.
    Delivered,
    /// A person has seen it.
    Displayed,
}

impl Disposition {
    /// Takes the wish to be told this, of the two that there are.
    pub(crate) fn of(self, delivery: &mut bool, display: &mut bool) -> bool {
        std::mem::take(match self {
            Disposition::Delivered => delivery,
            Disposition::Displayed => display,
        })
    }

    /// What says so of the stanza with this id: a receipt (XEP-0184) or a marker (XEP-0333).
    pub(crate) fn to_element(self, id: Str) -> Element {
        match self {
            Disposition::Delivered => receipts::Receipt::Received { id }.to_element(),
            Disposition::Displayed => markers::Marker::Displayed { id }.to_element(),
        }
    }
}
