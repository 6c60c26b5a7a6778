//! Why something was done (XEP-0166 §7.4).

use crate::error::conditions;
use crate::ext::{element, words};
use crate::ns;
use base::Str;
use std::fmt;
use xml::Element;

conditions! {
    /// Why something was done to a session (XEP-0166 §7.4).
    Condition {
        /// There is another session that is to be used.
        AlternativeSession = "alternative-session",
        /// Nobody can answer, as he is busy.
        Busy = "busy",
        /// Whoever began it does not want it any more.
        Cancel = "cancel",
        /// The media cannot flow.
        ConnectivityError = "connectivity-error",
        /// Whoever was called does not want it.
        Decline = "decline",
        /// It has lasted too long.
        Expired = "expired",
        /// What carries the media was not set up.
        FailedApplication = "failed-application",
        /// What transports the media was not set up.
        FailedTransport = "failed-transport",
        /// Anything else.
        GeneralError = "general-error",
        /// One side is not there any more.
        Gone = "gone",
        /// The application is known, what is wanted of it is not.
        IncompatibleParameters = "incompatible-parameters",
        /// The media cannot be understood.
        MediaError = "media-error",
        /// Security is not as it has to be.
        SecurityError = "security-error",
        /// It is over, as all is said.
        Success = "success",
        /// Something took too long.
        Timeout = "timeout",
        /// None of the applications is known.
        UnsupportedApplications = "unsupported-applications",
        /// None of the transports is known.
        UnsupportedTransports = "unsupported-transports",
    }
}

conditions! {
    /// What was wrong with the security of a call (XEP-0167 §7.1).
    RtpError {
        /// It has to be encrypted.
        CryptoRequired = "crypto-required",
        /// None of the keys can be used.
        InvalidCrypto = "invalid-crypto",
    }
}

/// Why something was done to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The reason.
    pub condition: Condition,
    /// With [`Condition::AlternativeSession`] the session to be used, if it is named.
    pub alternative: Option<Str>,
    /// The same in words.
    pub text: Option<String>,
    /// More of it, of calls.
    pub rtp_error: Option<RtpError>,
    /// More of it, of whatever it may be.
    pub other: Vec<Element>,
}

impl Reason {
    /// A reason without further words.
    pub fn new(condition: Condition) -> Reason {
        Reason { condition, alternative: None, text: None, rtp_error: None, other: Vec::new() }
    }

    /// Says it in words.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Reason {
        self.text = Some(text.into());
        self
    }

    /// Reads it. What gives no reason that is known is [`Condition::GeneralError`], for the end of a session must never be lost over a detail.
    pub fn parse(e: &Element) -> Option<Reason> {
        if !e.is("reason", ns::JINGLE) {
            return None;
        }
        let mut reason = Reason::new(Condition::GeneralError);
        let mut known = false;
        for child in e.elements() {
            match child.ns.as_str() {
                ns::JINGLE if child.name == "text" => reason.text = words(&child.text()),
                ns::JINGLE if !known => {
                    let Some(condition) = Condition::from_name(&child.name) else { continue };
                    (known, reason.condition) = (true, condition);
                    if condition == Condition::AlternativeSession {
                        let sid = child.child("sid", ns::JINGLE).map(Element::text);
                        reason.alternative = sid.and_then(|sid| super::name(sid.trim()).ok());
                    }
                }
                ns::JINGLE => {}
                ns::RTP_ERRORS if reason.rtp_error.is_none() => reason.rtp_error = RtpError::from_name(&child.name),
                _ => super::read::keep(&mut reason.other, child),
            }
        }
        Some(reason)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut condition = element(self.condition.name(), ns::JINGLE);
        if let (Condition::AlternativeSession, Some(sid)) = (self.condition, &self.alternative) {
            condition.push(element("sid", ns::JINGLE).with_text(sid));
        }
        let mut e = element("reason", ns::JINGLE).with_child(condition);
        if let Some(text) = &self.text {
            e.push(element("text", ns::JINGLE).with_text(text));
        }
        self.rtp_error.iter().for_each(|error| e.push(element(error.name(), ns::RTP_ERRORS)));
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl From<Condition> for Reason {
    fn from(condition: Condition) -> Reason {
        Reason::new(condition)
    }
}
