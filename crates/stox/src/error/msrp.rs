//! What a message from MSRP is answered with, where it does not arrive: RFC 4975 §10 has fewer words than SIP.

use super::{Refusal, one_line};
use base::Str;
use xmpp::error::{Condition, StanzaError};

/// The answer to a message that the gateway itself refuses: a status and a comment.
pub fn to_msrp(refusal: &Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::BadRequest(_) | Refusal::BadBody(_) | Refusal::Address(_) => (400, "Bad Message"),
        Refusal::UnsupportedContent { .. }
        | Refusal::NotAcceptable { .. }
        | Refusal::NotAcceptableHere { .. }
        | Refusal::UnsupportedEncoding => (415, "Unsupported Content"),
        Refusal::TooBig | Refusal::TooLong { .. } => (413, "Too Long"),
        Refusal::RateExceeded { .. } => (413, "Too Many Messages"),
        Refusal::NoDialog => (481, "No Such Session"),
        // What may go better another time: §10.4 has no other word for it.
        Refusal::Overload { .. }
        | Refusal::LinkDown { .. }
        | Refusal::Storage { .. }
        | Refusal::Relay { .. }
        | Refusal::SipTimeout
        | Refusal::SipTransport
        | Refusal::NoAnswer
        | Refusal::NoContact
        | Refusal::Busy
        | Refusal::Restarted => (408, "Not Taken In Time"),
        Refusal::Sender(_)
        | Refusal::NotServed
        | Refusal::SenderNotAllowed
        | Refusal::SpoofedDomain
        | Refusal::Anonymous
        | Refusal::NoPrivacy
        | Refusal::SipsNotAllowed
        | Refusal::NotSupported
        | Refusal::MethodNotAllowed { .. }
        | Refusal::BadEvent
        | Refusal::Groupchat
        | Refusal::Loop
        | Refusal::TooManyHops
        | Refusal::NoRoute
        | Refusal::UnknownAccount => (403, "Not Allowed"),
    }
}

/// The answer to a message that the XMPP side has refused.
pub fn stanza_to_msrp(error: &StanzaError) -> (u16, Str) {
    let code = match error.condition {
        Condition::BadRequest | Condition::JidMalformed => 400,
        Condition::PolicyViolation => 413,
        Condition::NotAcceptable | Condition::FeatureNotImplemented => 415,
        Condition::RemoteServerTimeout | Condition::ResourceConstraint | Condition::InternalServerError => 408,
        _ => 403,
    };
    let text: String = one_line(error.text.as_deref().unwrap_or_default()).take(100).collect();
    (code, if text.trim().is_empty() { Str::const_new(error.condition.name()) } else { Str::from(text.trim()) })
}

/// Whether an error says that there is nobody at the address, and will not be.
pub fn is_for_good(error: &StanzaError) -> bool {
    matches!(error.condition, Condition::Gone | Condition::ItemNotFound | Condition::RemoteServerNotFound)
}

/// What it means that a message of ours was not taken.
pub fn undelivered(why: ::msrp::Failure) -> Refusal {
    match why {
        ::msrp::Failure::Code(413) => Refusal::TooBig,
        ::msrp::Failure::Code(415) => Refusal::UnsupportedContent { accept: "text/plain" },
        ::msrp::Failure::Code(403) => Refusal::NotSupported,
        ::msrp::Failure::Code(408) | ::msrp::Failure::Timeout => Refusal::SipTimeout,
        ::msrp::Failure::Code(_) | ::msrp::Failure::Lost | ::msrp::Failure::NeverSent => Refusal::SipTransport,
    }
}
