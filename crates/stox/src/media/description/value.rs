//! What [`Description`](super::Description) gives and takes.

use crate::error::Refusal;
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{self, Condition, Jingle};

/// Something was said that the two cannot agree on, or that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Why, with the status for a SIP request.
    pub refusal: Refusal,
    /// The reason to end a Jingle session with.
    pub condition: Condition,
    /// What Jingle adds to the answer to an iq.
    pub error: Option<jingle::Error>,
}

impl Unfit {
    pub(super) fn new(refusal: Refusal, condition: Condition) -> Unfit {
        Unfit { refusal, condition, error: None }
    }

    /// Nothing can be agreed on: 488, with a warning.
    pub(super) fn not_here(warning: u16, why: &'static str, condition: Condition) -> Unfit {
        Unfit::new(Refusal::NotAcceptableHere { warning, why }, condition)
    }

    /// A request that makes no sense.
    pub(super) fn bad(why: &'static str) -> Unfit {
        Unfit::new(Refusal::BadRequest(why), Condition::GeneralError)
    }

    /// A request that makes no sense now.
    pub(super) fn with(error: jingle::Error, why: &'static str) -> Unfit {
        Unfit { error: Some(error), ..Unfit::bad(why) }
    }

    /// The answer to an iq.
    pub fn stanza_error(&self) -> StanzaError {
        self.error.map_or_else(|| self.refusal.stanza_error(), jingle::Error::to_stanza_error)
    }
}

/// How much is known of where the XMPP side can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// Of some streams nothing.
    Nothing,
    /// Something of each; there may be more.
    Some,
    /// All.
    All,
}

/// What follows from something that the XMPP side has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is said to it, in this order; each wants its addresses, its session and an id.
    pub say: Vec<Jingle>,
    /// What is done on the SIP side.
    pub sip: Due,
}

impl Change {
    pub(super) fn only(sip: Due) -> Change {
        Change { say: Vec::new(), sip }
    }
}

/// What is to be done on the SIP side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// An offer, as soon as [`due`](super::Description::due) says so.
    Offer,
    /// The answer that it waits for is there.
    Answer,
    /// There is news of where the XMPP side can be reached: an INFO with [`trickle`](super::Description::trickle) if the SIP side takes it
    /// (RFC 8840), else nothing.
    Trickle,
    /// What it offers is refused: 488.
    Refuse,
    /// What it offers crosses an offer of the XMPP side that counts: 491.
    Glare,
    /// Nothing is left: the call is over.
    Over,
}

/// What becomes of an offer of the SIP side's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is said to the XMPP side, in this order.
    pub say: Vec<Jingle>,
    /// Whether the answer has to wait for what that says: until [`Due::Answer`], [`Due::Refuse`] or [`Due::Glare`] comes, or
    /// [`give_up`](super::Description::give_up) is called. If not, [`answer`](super::Description::answer) has it.
    pub waits: bool,
}
