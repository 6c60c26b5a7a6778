//! What people say to each other, whichever way it is carried: the words of a SIP body and of a stanza, receipts, identifiers. The mappings of
//! single messages and of sessions share it.

pub mod arrived;
pub mod departing;
pub(crate) mod identifiers;
pub(crate) mod payload;

use base::Str;

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

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A device has it.
    Delivered,
    /// A person has seen it.
    Displayed,
}
