//! What the gateway itself refuses, with a face for each side.

use super::{reason_of_text, stanza_error};
use crate::address::AddressError;
use base::{Str, format_compact};
use sip::Response;
use sip::header::Name;
use xmpp::error::{Condition, ErrorType, StanzaError};

/// Why the gateway refuses something, whichever side it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A request or a stanza that breaks its protocol; what is wrong, in words fit for a Reason-Phrase.
    BadRequest(&'static str),
    /// A body that breaks its own format or charset; what is wrong.
    BadBody(&'static str),
    /// The recipient's address has no counterpart.
    Address(AddressError),
    /// The sender's address has none.
    Sender(AddressError),
    /// The recipient's domain is not served here: the gateway is no open relay.
    NotServed,
    /// The sender may not use the gateway, or not from where it speaks.
    SenderNotAllowed,
    /// The sender says that it belongs to a domain of the other side.
    SpoofedDomain,
    /// A caller who does not say who it is (RFC 5079).
    Anonymous,
    /// A request that must not be served without more privacy than there is (RFC 3323 §5).
    NoPrivacy,
    /// A SIPS To or Request-URI, for XMPP cannot promise TLS on all hops (RFC 7247 §8, RFC 5630).
    SipsNotAllowed,
    /// Something that no mapping takes.
    NotSupported,
    /// A method that is not served; those that are, as Allow lists them.
    MethodNotAllowed {
        /// The value of Allow.
        allow: Str,
    },
    /// Within a dialog that nobody knows (RFC 3261 §12.2.2).
    NoDialog,
    /// An event package that is not served (RFC 6665 §8.2.1).
    BadEvent,
    /// A body of a type that is not taken.
    UnsupportedContent {
        /// The value of Accept.
        accept: &'static str,
    },
    /// A subscriber that takes no document that could be sent to it (RFC 3856 §6.7).
    NotAcceptable {
        /// The value of Accept.
        accept: &'static str,
    },
    /// A session description that nothing can be agreed on with (RFC 3261 §21.4.26).
    NotAcceptableHere {
        /// The warn-code of RFC 3261 §20.43: 302 transport, 304 medium, 305 format, 306 attribute, 330 multicast, 399 else.
        warning: u16,
        /// What cannot be agreed on, in words without quotation marks.
        why: &'static str,
    },
    /// A body in a content encoding: none is unpacked.
    UnsupportedEncoding,
    /// A body of too many parts or too deep.
    TooBig,
    /// A message longer than the other side can carry.
    TooLong {
        /// The most bytes of it.
        limit: usize,
    },
    /// A groupchat message to somebody who is no room (RFC 6121 §5.2.2).
    Groupchat,
    /// It has been here before (RFC 3261 §16.3, RFC 5393).
    Loop,
    /// No hop is left (Max-Forwards).
    TooManyHops,
    /// The sender sends too much in too short a time.
    RateExceeded {
        /// Seconds until it may try again.
        retry_after: u32,
    },
    /// The gateway has too much to do.
    Overload {
        /// Seconds until it is worth trying again.
        retry_after: u32,
    },
    /// The stream to the XMPP server is down, or it did not say that it took the stanza.
    LinkDown {
        /// Seconds until it is worth trying again.
        retry_after: u32,
    },
    /// What would have to be kept cannot be saved now.
    Storage {
        /// Seconds until it is worth trying again.
        retry_after: u32,
    },
    /// The media would have to go through a relay, which does not do what it is asked.
    Relay {
        /// What is wrong with it, in words fit for a Reason-Phrase.
        why: &'static str,
        /// Seconds until it is worth trying again.
        retry_after: u32,
    },
    /// The SIP side did not answer (timer B or F).
    SipTimeout,
    /// The SIP side cannot be reached.
    SipTransport,
    /// There is no way to the SIP user: no next hop is configured, and the name servers know of none.
    NoRoute,
    /// The recipient's domain is one whose users register here, and there is no such user.
    UnknownAccount,
    /// None of the recipient's phones is registered, or can be reached.
    NoContact,
    /// Nobody took up the session in the time that there was.
    NoAnswer,
    /// There are as many sessions of these two as there may be.
    Busy,
    /// The gateway was started anew before the message left.
    Restarted,
}

impl Refusal {
    /// A name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Refusal::BadRequest(_) => "bad-request",
            Refusal::BadBody(_) => "bad-body",
            Refusal::Address(_) => "address",
            Refusal::Sender(_) => "sender",
            Refusal::NotServed => "not-served",
            Refusal::SenderNotAllowed => "sender-not-allowed",
            Refusal::SpoofedDomain => "spoofed-domain",
            Refusal::Anonymous => "anonymous",
            Refusal::NoPrivacy => "no-privacy",
            Refusal::SipsNotAllowed => "sips-not-allowed",
            Refusal::NotSupported => "not-supported",
            Refusal::MethodNotAllowed { .. } => "method-not-allowed",
            Refusal::NoDialog => "no-dialog",
            Refusal::BadEvent => "bad-event",
            Refusal::UnsupportedContent { .. } => "unsupported-content",
            Refusal::NotAcceptable { .. } => "not-acceptable",
            Refusal::NotAcceptableHere { .. } => "not-acceptable-here",
            Refusal::UnsupportedEncoding => "unsupported-encoding",
            Refusal::TooBig => "too-big",
            Refusal::TooLong { .. } => "too-long",
            Refusal::Groupchat => "groupchat",
            Refusal::Loop => "loop",
            Refusal::TooManyHops => "too-many-hops",
            Refusal::RateExceeded { .. } => "rate-exceeded",
            Refusal::Overload { .. } => "overload",
            Refusal::LinkDown { .. } => "link-down",
            Refusal::Storage { .. } => "storage",
            Refusal::Relay { .. } => "relay",
            Refusal::SipTimeout => "sip-timeout",
            Refusal::SipTransport => "sip-transport",
            Refusal::NoRoute => "no-route",
            Refusal::UnknownAccount => "unknown-account",
            Refusal::NoContact => "no-contact",
            Refusal::NoAnswer => "no-answer",
            Refusal::Busy => "busy",
            Refusal::Restarted => "restarted",
        }
    }

    /// The SIP status.
    ///
    /// One sender's rate is a 480, as a 503 would make proxies leave the whole gateway alone (RFC 3261 §21.5.4). SIPS is the
    /// 480 of RFC 5630 §4. What went wrong behind the gateway is 502 or 504: RFC 4320 has no 408 for most requests.
    pub fn code(&self) -> u16 {
        match self {
            Refusal::BadRequest(_) | Refusal::BadBody(_) => 400,
            Refusal::Address(error) => error.code(),
            // Whose address is no address is nobody who may speak; a broken one is a broken request.
            Refusal::Sender(error) if error.code() == 400 => 400,
            Refusal::Sender(_) => 403,
            Refusal::NotServed => 404,
            Refusal::SenderNotAllowed | Refusal::SpoofedDomain => 403,
            Refusal::Anonymous => 433,
            Refusal::NoPrivacy => 500,
            Refusal::SipsNotAllowed => 480,
            Refusal::NotSupported | Refusal::Groupchat => 403,
            Refusal::MethodNotAllowed { .. } => 405,
            Refusal::NoDialog => 481,
            Refusal::BadEvent => 489,
            Refusal::UnsupportedContent { .. } | Refusal::UnsupportedEncoding => 415,
            Refusal::NotAcceptable { .. } => 406,
            Refusal::NotAcceptableHere { .. } => 488,
            Refusal::TooBig | Refusal::TooLong { .. } => 413,
            Refusal::Loop => 482,
            Refusal::TooManyHops => 483,
            Refusal::RateExceeded { .. } => 480,
            Refusal::Overload { .. } | Refusal::LinkDown { .. } | Refusal::Storage { .. } | Refusal::Relay { .. } => {
                503
            }
            Refusal::SipTimeout | Refusal::SipTransport => 504,
            Refusal::NoRoute => 502,
            Refusal::UnknownAccount => 404,
            Refusal::NoAnswer | Refusal::NoContact => 480,
            Refusal::Busy => 486,
            Refusal::Restarted => 503,
        }
    }

    /// The answer to a SIP request. What every answer has (Via, From, To, Call-ID, CSeq) is not in it.
    pub fn response(&self) -> Response {
        let reason = match self {
            Refusal::BadRequest(why) | Refusal::BadBody(why) | Refusal::Relay { why, .. } => reason_of_text(why),
            // Without the details: each variant is one phrase, whatever a peer makes up.
            Refusal::Address(error) | Refusal::Sender(error) => Str::const_new(error.phrase()),
            Refusal::NotServed => Str::const_new("Domain Not Served Here"),
            Refusal::SenderNotAllowed => Str::const_new("Sender Not Allowed"),
            Refusal::SpoofedDomain => Str::const_new("Sender Belongs To The Other Side"),
            Refusal::NoPrivacy => Str::const_new("Privacy Not Provided Here"),
            Refusal::SipsNotAllowed => Str::const_new("SIPS Not Allowed"),
            Refusal::RateExceeded { .. } => Str::const_new("Too Many Messages"),
            Refusal::Anonymous
            | Refusal::NotSupported
            | Refusal::MethodNotAllowed { .. }
            | Refusal::NoDialog
            | Refusal::BadEvent
            | Refusal::UnsupportedContent { .. }
            | Refusal::NotAcceptable { .. }
            | Refusal::NotAcceptableHere { .. }
            | Refusal::UnsupportedEncoding
            | Refusal::TooBig
            | Refusal::TooLong { .. }
            | Refusal::Groupchat
            | Refusal::Loop
            | Refusal::TooManyHops
            | Refusal::Overload { .. }
            | Refusal::LinkDown { .. }
            | Refusal::Storage { .. }
            | Refusal::SipTimeout
            | Refusal::SipTransport
            | Refusal::NoRoute
            | Refusal::UnknownAccount
            | Refusal::NoContact
            | Refusal::NoAnswer
            | Refusal::Busy
            | Refusal::Restarted => Str::default(),
        };
        let mut response = Response::new(self.code(), &reason);
        match self {
            Refusal::MethodNotAllowed { allow } => response.headers.push(Name::Allow, allow),
            Refusal::UnsupportedContent { accept } | Refusal::NotAcceptable { accept } => {
                response.headers.push(Name::Accept, accept);
            }
            Refusal::NotAcceptableHere { warning, why } => {
                response.headers.push(Name::Warning, format_compact!("{warning} gateway \"{why}\""));
            }
            Refusal::UnsupportedEncoding => response.headers.push(Name::AcceptEncoding, "identity"),
            // RFC 5630 §4.2: 380 says that trying again with another scheme is not wanted.
            Refusal::SipsNotAllowed => response.headers.push(Name::Warning, "380 gateway \"SIPS Not Allowed\""),
            Refusal::RateExceeded { retry_after }
            | Refusal::Overload { retry_after }
            | Refusal::LinkDown { retry_after }
            | Refusal::Storage { retry_after }
            | Refusal::Relay { retry_after, .. } => response.headers.push(Name::RetryAfter, retry_after),
            Refusal::BadRequest(_)
            | Refusal::BadBody(_)
            | Refusal::Address(_)
            | Refusal::Sender(_)
            | Refusal::NotServed
            | Refusal::SenderNotAllowed
            | Refusal::SpoofedDomain
            | Refusal::Anonymous
            | Refusal::NoPrivacy
            | Refusal::NotSupported
            | Refusal::NoDialog
            | Refusal::BadEvent
            | Refusal::TooBig
            | Refusal::TooLong { .. }
            | Refusal::Groupchat
            | Refusal::Loop
            | Refusal::TooManyHops
            | Refusal::SipTimeout
            | Refusal::SipTransport
            | Refusal::NoRoute
            | Refusal::UnknownAccount
            | Refusal::NoContact
            | Refusal::NoAnswer
            | Refusal::Busy
            | Refusal::Restarted => {}
        }
        response
    }

    /// The answer to a stanza.
    pub fn stanza_error(&self) -> StanzaError {
        use ErrorType::{Auth, Cancel, Modify, Wait};
        let (condition, kind, text): (Condition, ErrorType, Str) = match self {
            Refusal::BadRequest(why) => (Condition::BadRequest, Modify, Str::const_new(why)),
            Refusal::BadBody(why) => (Condition::BadRequest, Modify, Str::const_new(why)),
            Refusal::Address(error) => {
                (error.condition(), error.condition().default_type(), format_compact!("{error}"))
            }
            Refusal::Sender(error) => (Condition::JidMalformed, Modify, format_compact!("Sender: {error}")),
            Refusal::NotServed => {
                (Condition::RemoteServerNotFound, Cancel, Str::const_new("This domain is not served here"))
            }
            Refusal::SenderNotAllowed => (Condition::Forbidden, Auth, Str::const_new("You may not use this gateway")),
            Refusal::SpoofedDomain => {
                (Condition::NotAllowed, Cancel, Str::const_new("The sender belongs to the other side of this gateway"))
            }
            Refusal::Anonymous => (Condition::NotAllowed, Cancel, Str::const_new("Callers have to say who they are")),
            Refusal::NoPrivacy => (Condition::NotAllowed, Cancel, Str::const_new("This privacy is not provided here")),
            Refusal::SipsNotAllowed => {
                (Condition::NotAllowed, Cancel, Str::const_new("XMPP cannot promise TLS on all hops"))
            }
            Refusal::NotSupported => (Condition::ServiceUnavailable, Cancel, Str::const_new("Not supported here")),
            Refusal::MethodNotAllowed { .. } => {
                (Condition::FeatureNotImplemented, Cancel, Str::const_new("Not supported here"))
            }
            Refusal::NoDialog => (Condition::ItemNotFound, Cancel, Str::const_new("There is no such dialog")),
            Refusal::BadEvent => {
                (Condition::FeatureNotImplemented, Cancel, Str::const_new("This event package is not supported"))
            }
            Refusal::UnsupportedContent { .. } => {
                (Condition::NotAcceptable, Modify, Str::const_new("This type of content is not supported"))
            }
            Refusal::NotAcceptable { .. } => {
                (Condition::NotAcceptable, Modify, Str::const_new("Nothing that is wanted can be sent"))
            }
            Refusal::NotAcceptableHere { why, .. } => (Condition::NotAcceptable, Modify, Str::const_new(why)),
            Refusal::UnsupportedEncoding => {
                (Condition::NotAcceptable, Modify, Str::const_new("Encoded content is not supported"))
            }
            Refusal::TooBig => (Condition::PolicyViolation, Modify, Str::const_new("Too many parts")),
            Refusal::TooLong { limit } => (
                Condition::PolicyViolation,
                Modify,
                format_compact!("Too long: with its addresses a message may have {limit} bytes"),
            ),
            Refusal::Groupchat => (Condition::ServiceUnavailable, Cancel, Str::const_new("This is not a room")),
            Refusal::Loop => (Condition::NotAcceptable, Cancel, Str::const_new("The message goes round in a loop")),
            Refusal::TooManyHops => (Condition::NotAcceptable, Cancel, Str::const_new("Too many hops")),
            Refusal::RateExceeded { retry_after } => (
                Condition::ResourceConstraint,
                Wait,
                format_compact!("Too many messages; try again after {retry_after} s"),
            ),
            Refusal::Overload { retry_after } => (
                Condition::ResourceConstraint,
                Wait,
                format_compact!("The gateway is busy; try again after {retry_after} s"),
            ),
            Refusal::LinkDown { retry_after } => (
                Condition::RemoteServerTimeout,
                Wait,
                format_compact!("The XMPP server cannot be reached; try again after {retry_after} s"),
            ),
            Refusal::Storage { retry_after } => (
                Condition::ResourceConstraint,
                Wait,
                format_compact!("The gateway cannot save that now; try again after {retry_after} s"),
            ),
            Refusal::Relay { why, .. } => (Condition::ResourceConstraint, Wait, Str::const_new(why)),
            Refusal::SipTimeout => {
                (Condition::RemoteServerTimeout, Wait, Str::const_new("No answer from the SIP side"))
            }
            Refusal::SipTransport => {
                (Condition::RemoteServerTimeout, Wait, Str::const_new("The SIP side cannot be reached"))
            }
            Refusal::NoRoute => {
                (Condition::RemoteServerNotFound, Cancel, Str::const_new("There is no way to the SIP side"))
            }
            Refusal::UnknownAccount => (Condition::ItemNotFound, Cancel, Str::const_new("There is no such user")),
            Refusal::NoContact => {
                (Condition::RecipientUnavailable, Wait, Str::const_new("None of the user's phones is registered"))
            }
            Refusal::NoAnswer => (Condition::RecipientUnavailable, Wait, Str::const_new("Nobody has answered")),
            Refusal::Busy => (Condition::ResourceConstraint, Wait, Str::const_new("Too many sessions")),
            Refusal::Restarted => (
                Condition::RemoteServerTimeout,
                Wait,
                Str::const_new("The gateway was started anew before the message left"),
            ),
        };
        stanza_error(condition, kind, &text)
    }
}
