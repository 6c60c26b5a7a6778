//! What a call that rings hears, and what it wants to be done.

use crate::whereabouts::Abilities;
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{Condition, Jingle, Reason};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;

/// What happens to a call that rings. Devices are full addresses of the user who is called; that they are, the caller of this has seen to.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A device has answered the proposal (XEP-0353). What is no answer to one says nothing.
    Jmi {
        /// The device.
        from: &'a Jid,
        /// What it said.
        said: &'a Jmi,
    },
    /// The proposal has come back as an error.
    Bounced(StanzaError),
    /// The proposal has found no stream to go by.
    Lost,
    /// What a device can do; none: it has not said so, but that it does not know.
    Info {
        /// The device.
        device: &'a Jid,
        /// What it can do.
        abilities: Option<Abilities>,
    },
    /// A device has taken the session-initiate: that is to say, it has come there.
    Took(&'a Jid),
    /// A device, or its server, has not.
    Refused {
        /// The device.
        device: &'a Jid,
        /// What it said.
        error: StanzaError,
    },
    /// Something within the session came from a device that [`Ringing::has`](super::Ringing::has) says to have it.
    Jingle {
        /// The device.
        device: &'a Jid,
        /// What it said.
        jingle: Box<Jingle>,
    },
    /// Who calls does not wait any longer, for [`Why::Cancelled`], [`Why::Elsewhere`], [`Why::Expired`] or [`Why::Ended`].
    GivenUp(Why),
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    /// The call is proposed to the user, on all devices.
    Propose,
    /// This device is asked what it can do.
    Ask(Jid),
    /// This device gets the session-initiate.
    Initiate(Jid),
    /// Who calls hears that it rings. Said once.
    Ring,
    /// This device has the call. The last action.
    Answered {
        /// The device.
        device: Jid,
        /// Its session-accept.
        accept: Box<Jingle>,
        /// What it has said before that changes the session, in order.
        early: Vec<Jingle>,
    },
    /// The proposal is taken back.
    Retract {
        /// From one device alone, of which the others are to hear nothing; none: from all.
        device: Option<Jid>,
        /// Why.
        why: Why,
    },
    /// The session with this device is ended.
    Terminate {
        /// The device.
        device: Jid,
        /// Why.
        why: Why,
    },
    /// A call that this device has taken by XEP-0353 is over.
    Finish {
        /// The device.
        device: Jid,
        /// Why.
        why: Why,
    },
    /// Nobody has the call: who calls is told so. The last action.
    Failed(Failure),
}

/// Why a call does not ring any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Who called has hung up.
    Cancelled,
    /// Somebody, or another device of the same user, has the call.
    Elsewhere,
    /// Nobody has answered in time.
    Expired,
    /// Another device of the same user has declined it.
    Declined,
    /// Another device of the same user has the user busy, or all of them have failed.
    Unanswered,
    /// Both sides have called each other, and the other call goes on (XEP-0353 §4).
    TieBreak,
    /// The device has said nothing more.
    Silent,
    /// The device, a stream or a relay that it needs has failed.
    Failed,
    /// The gateway ends it.
    Ended,
}

impl Why {
    /// A condition of XEP-0166 §7.4, with words for people.
    pub(crate) fn to_reason(self) -> Reason {
        let (condition, text) = match self {
            // XEP-0353 §3.3.
            Why::Cancelled => (Condition::Cancel, "Cancelled"),
            // Not `cancel`: nobody has missed the call (RFC 3326 §2 has the code 200 for this).
            Why::Elsewhere => (Condition::Success, "Answered elsewhere"),
            Why::Expired => (Condition::Timeout, "No answer"),
            Why::Declined => (Condition::Decline, "Declined elsewhere"),
            Why::Unanswered => (Condition::Cancel, "Not answered"),
            // XEP-0353 §4.1.
            Why::TieBreak => (Condition::Expired, "Tie-Break"),
            Why::Silent => (Condition::Timeout, "No answer to the session"),
            Why::Failed => (Condition::ConnectivityError, "The call could not be set up"),
            Why::Ended => (Condition::Gone, "The gateway goes out of service"),
        };
        Reason::new(condition).with_text(text)
    }
}

/// Why nobody has the call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The user, or a device of his, does not want or cannot take it; without a reason it was declined.
    Said(Option<Reason>),
    /// There is nobody to whom it could be proposed.
    Bounced(StanzaError),
    /// The device of whoever has answered has not taken the session.
    Refused(StanzaError),
    /// The stream to the XMPP server is down.
    Lost,
    /// Who has answered has said nothing more.
    Silent,
    /// Both sides have called each other, and the other call goes on.
    Glare,
}
