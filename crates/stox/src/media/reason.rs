//! Why a call ends: the reasons of XEP-0166 §7.4 <-> statuses of SIP and causes of ITU-T Q.850 in Reason (RFC 3326, RFC 6432).
//!
//! The draft has a BYE for session-terminate and says no more (§9); what follows is by what the words mean, and for Q.850 in the sense of RFC 3398 §7.2.6.
//! Before the answer a reason becomes the final response to the INVITE, or the Reason of a CANCEL; after it the Reason of a BYE.

use crate::error::{Refusal, reason_of_text, text_of_reason, to_invite_response};
use base::{Str, ToCompactString};
use sip::header::{self, Headers, Name, Warning};
use sip::invite::Ended;
use sip::{Cause, Response};
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{Condition, Reason, RtpError};

/// Why a call ends because our INVITE came to nothing.
pub fn of_failure(cause: &Cause) -> Reason {
    match cause {
        Cause::Response(response) => of_response(response),
        Cause::Timeout => Condition::Timeout.into(),
        Cause::Transport | Cause::NoWay => Condition::ConnectivityError.into(),
    }
}

/// The same for a final response that is none of success. Its status is the reason, or where that says little (480, 488, 503) a cause of Q.850 beside it.
pub fn of_response(response: &Response) -> Reason {
    let said = of_code(response.code, &response.headers);
    let vague = matches!(response.code, 408 | 480 | 500..=504) || said == Condition::IncompatibleParameters;
    let cause = response.headers.reasons().find_map(|reason| reason.q850_cause()).map(of_cause);
    let cause = cause.filter(|cause| vague && !matches!(cause, Condition::Success | Condition::GeneralError));
    with_words(cause.unwrap_or(said), &response.reason)
}

/// Why a call is over whose dialog is.
pub fn of_end(ended: &Ended) -> Reason {
    match ended {
        Ended::Bye(bye) => of_bye(&bye.headers),
        Ended::Cancelled(reason) if is_elsewhere(reason.as_deref()) => {
            Reason::new(Condition::Cancel).with_text("Answered elsewhere")
        }
        Ended::Cancelled(_) => Condition::Cancel.into(),
        Ended::NotAcknowledged => Condition::Timeout.into(),
        Ended::Expired => Condition::Expired.into(),
        Ended::Gone => Condition::Gone.into(),
        Ended::Ours => Condition::Success.into(),
    }
}

/// Whether a CANCEL with this Reason tells that somebody else has answered (RFC 3326 §3.1): such a call was not missed.
pub fn is_elsewhere(reason: Option<&str>) -> bool {
    reason.is_some_and(|line| header::Reason::all(line).any(|reason| matches!(reason.sip_code(), Some(200..=299))))
}

/// Why a call ends that the gateway itself refuses or gives up.
pub fn of_refusal(refusal: &Refusal) -> Reason {
    let condition = match refusal {
        Refusal::Address(_) | Refusal::NotServed | Refusal::NoDialog | Refusal::UnknownAccount => Condition::Gone,
        Refusal::SipsNotAllowed | Refusal::NoPrivacy => Condition::SecurityError,
        Refusal::Anonymous => Condition::Decline,
        Refusal::NotSupported
        | Refusal::MethodNotAllowed { .. }
        | Refusal::BadEvent
        | Refusal::UnsupportedContent { .. }
        | Refusal::UnsupportedEncoding
        | Refusal::NotAcceptable { .. } => Condition::UnsupportedApplications,
        Refusal::Relay { .. } => Condition::FailedTransport,
        Refusal::NotAcceptableHere { warning, .. } => of_warning(*warning),
        Refusal::TooBig | Refusal::TooLong { .. } => Condition::FailedApplication,
        Refusal::SipTimeout | Refusal::NoAnswer => Condition::Timeout,
        Refusal::SipTransport | Refusal::NoRoute | Refusal::NoContact => Condition::ConnectivityError,
        Refusal::Busy => Condition::Busy,
        Refusal::BadRequest(_)
        | Refusal::BadBody(_)
        | Refusal::Sender(_)
        | Refusal::SenderNotAllowed
        | Refusal::SpoofedDomain
        | Refusal::Groupchat
        | Refusal::Loop
        | Refusal::TooManyHops
        | Refusal::RateExceeded { .. }
        | Refusal::Overload { .. }
        | Refusal::LinkDown { .. }
        | Refusal::Storage { .. }
        | Refusal::Restarted => Condition::GeneralError,
    };
    let mut reason = Reason::new(condition);
    reason.text = refusal.stanza_error().text;
    reason
}

/// The answer to an INVITE that somebody was called with and does not take: a session-terminate or a reject (XEP-0353). Without a reason it is declined.
pub fn to_response(reason: Option<&Reason>) -> Response {
    let Some(reason) = reason else { return Response::new(603, "") };
    let face = face(reason.condition);
    let words = reason.text.as_deref().map(reason_of_text).unwrap_or_default();
    let mut response = Response::new(face.code, &words);
    if let Some(code) = face.warning {
        let text = match reason.rtp_error {
            Some(RtpError::CryptoRequired) => Str::const_new("Encryption is required"),
            Some(RtpError::InvalidCrypto) => Str::const_new("None of the keys can be used"),
            None => Str::from(reason.condition.name().replace('-', " ")),
        };
        response.headers.push(Name::Warning, Warning { code, agent: Str::const_new("gateway"), text });
    }
    // RFC 6432: for the telephone network behind the proxy.
    response.headers.push(Name::Reason, header::Reason::q850(face.cause, ""));
    response
}

/// The answer to an INVITE where a client or its server refuses the session-initiate or the proposal with an error. `full`: it was for a device, which
/// then cannot take calls at this time, whatever it says of Jingle; for a user, what the server says of it counts (RFC 7247 §7.1).
pub fn refused_with(error: &StanzaError, full: bool) -> Response {
    use xmpp::error::Condition::{FeatureNotImplemented, ServiceUnavailable};
    let response = to_invite_response(error, full);
    match error.condition {
        ServiceUnavailable | FeatureNotImplemented if full => Response::new(480, &response.reason),
        _ => response,
    }
}

/// Reason of a BYE or a CANCEL.
pub fn headers(reason: Option<&Reason>) -> Vec<(Name, Str)> {
    let words = reason.and_then(|reason| reason.text.as_deref()).map(text_of_reason).unwrap_or_default();
    let condition = reason.map_or(Condition::Success, |reason| reason.condition);
    let said = |reason: header::Reason| (Name::Reason, reason.to_compact_string());
    match condition {
        // Not SIP;cause=200, which means that somebody else has answered.
        Condition::Success | Condition::Cancel => vec![said(header::Reason::q850(NORMAL, &words))],
        condition => {
            let face = face(condition);
            vec![said(header::Reason::sip(face.code, &words)), said(header::Reason::q850(face.cause, ""))]
        }
    }
}

/// Normal call clearing.
const NORMAL: u8 = 16;

/// What a reason is in SIP.
struct Face {
    code: u16,
    /// The warn-code of RFC 3261 §20.43.
    warning: Option<u16>,
    cause: u8,
}

fn face(condition: Condition) -> Face {
    let (code, warning, cause) = match condition {
        // He talks to this very caller, or would rather.
        Condition::AlternativeSession | Condition::Busy => (486, None, 17),
        // Whoever is called and says one of these does not want the call: nor on any other telephone of theirs.
        Condition::Cancel | Condition::Decline | Condition::Success => (603, None, 21),
        Condition::Gone => (480, None, 20),
        Condition::Expired | Condition::Timeout => (480, None, 19),
        Condition::UnsupportedTransports => (488, Some(302), 65),
        Condition::UnsupportedApplications => (488, Some(304), 65),
        Condition::IncompatibleParameters => (488, Some(305), 88),
        Condition::SecurityError => (488, Some(399), 58),
        Condition::ConnectivityError | Condition::FailedTransport | Condition::MediaError => (488, Some(399), 38),
        Condition::FailedApplication | Condition::GeneralError => (500, None, 41),
    };
    Face { code, warning, cause }
}

fn of_bye(headers: &Headers) -> Reason {
    // SIP says more than Q.850, where it says anything.
    let sip = headers.reasons().find_map(|reason| Some((reason.sip_code()?, reason)));
    let q850 = headers.reasons().find_map(|reason| Some((reason.q850_cause()?, reason)));
    let (condition, reason) = match (sip, q850) {
        (Some((code @ 300.., reason)), _) => (of_code(code, &Headers::new()), reason),
        (_, Some((cause, reason))) => (of_cause(cause), reason),
        (Some((..=299, _)), None) | (None, None) => return Condition::Success.into(),
    };
    match condition {
        // What a switch calls this is nothing to read.
        Condition::Success => condition.into(),
        condition => with_words(condition, &reason.text().unwrap_or_default()),
    }
}

fn with_words(condition: Condition, words: &str) -> Reason {
    let mut reason = Reason::new(condition);
    reason.text = Some(text_of_reason(words)).filter(|text| !text.is_empty());
    reason
}

/// The reason in a status of 300 to 699; the headers may have a Warning beside it.
fn of_code(code: u16, headers: &Headers) -> Condition {
    match code {
        486 | 600 => Condition::Busy,
        // RFC 3398 §7.2.4.1 has 403 for a call that is rejected, RFC 5079 433 for one of nobody.
        403 | 433 | 603 | 607 | 608 => Condition::Decline,
        300..=379 | 381..=399 | 404 | 410 | 416 | 430 | 480 | 481 | 484 | 485 | 604 => Condition::Gone,
        408 | 504 => Condition::Timeout,
        487 => Condition::Cancel,
        488 | 606 => {
            let warnings = headers.elements(Name::Warning).flatten().take(8);
            let mut codes = warnings.filter_map(|text| Warning::parse(text).ok()).map(|warning| warning.code);
            of_warning(codes.find(|code| (300..399).contains(code)).unwrap_or(399))
        }
        405 | 406 | 415 | 501 => Condition::UnsupportedApplications,
        380 | 421 | 580 => Condition::IncompatibleParameters,
        493 | 494 => Condition::SecurityError,
        413 | 513 => Condition::FailedApplication,
        _ => Condition::GeneralError,
    }
}

/// The reason in a warn-code of RFC 3261 §20.43.
fn of_warning(code: u16) -> Condition {
    match code {
        // Network protocol, address formats, transport protocol, multicast and its lack.
        300..=302 | 330 | 331 => Condition::UnsupportedTransports,
        304 => Condition::UnsupportedApplications,
        370 => Condition::FailedTransport,
        _ => Condition::IncompatibleParameters,
    }
}

/// The reason in a cause of Q.850.
fn of_cause(cause: u8) -> Condition {
    match cause {
        16 | 31 => Condition::Success,
        17 => Condition::Busy,
        18 | 19 | 102 => Condition::Timeout,
        21 | 24 | 55 | 57 | 87 => Condition::Decline,
        1..=3 | 20 | 22 | 23 | 26..=28 => Condition::Gone,
        29 | 50 | 63 | 69 | 79 => Condition::UnsupportedApplications,
        65 | 66 | 70 | 88 => Condition::IncompatibleParameters,
        34 | 38 | 42 | 44 => Condition::ConnectivityError,
        58 => Condition::SecurityError,
        _ => Condition::GeneralError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Condition; 17] = [
        Condition::AlternativeSession,
        Condition::Busy,
        Condition::Cancel,
        Condition::ConnectivityError,
        Condition::Decline,
        Condition::Expired,
        Condition::FailedApplication,
        Condition::FailedTransport,
        Condition::GeneralError,
        Condition::Gone,
        Condition::IncompatibleParameters,
        Condition::MediaError,
        Condition::SecurityError,
        Condition::Success,
        Condition::Timeout,
        Condition::UnsupportedApplications,
        Condition::UnsupportedTransports,
    ];

    fn response(code: u16, headers: &[(Name, &str)]) -> Response {
        let mut response = Response::new(code, "");
        headers.iter().for_each(|(name, value)| response.headers.push(*name, value));
        response
    }

    fn bye(reason: &str) -> Reason {
        let mut headers = Headers::new();
        if !reason.is_empty() {
            headers.push(Name::Reason, reason);
        }
        of_bye(&headers)
    }

    /// A call that was refused on one side is refused on the other in the same sense, by way of a second gateway as well.
    #[test]
    fn refusals_there_and_back() {
        for condition in ALL {
            let refused = to_response(Some(&Reason::new(condition).with_text("Not \"now\"")));
            assert!((400..700).contains(&refused.code), "{condition}");
            let back = of_response(&refused);
            let again = of_response(&to_response(Some(&back)));
            assert_eq!(again.condition, back.condition, "{condition}");
            assert_eq!(back.text.as_deref(), Some("Not \"now\""));
            let same = match condition {
                Condition::AlternativeSession => Condition::Busy,
                Condition::Cancel | Condition::Success => Condition::Decline,
                Condition::Expired => Condition::Timeout,
                Condition::FailedApplication => Condition::GeneralError,
                Condition::FailedTransport | Condition::MediaError => Condition::ConnectivityError,
                same => same,
            };
            assert_eq!(back.condition, same, "{condition}");
        }
        assert_eq!(to_response(None).code, 603);
    }

    /// And so is the end of one.
    #[test]
    fn ends_there_and_back() {
        for condition in ALL {
            let reason = Reason::new(condition).with_text("a, b; \"c\"");
            let written = headers(Some(&reason));
            let mut all = Headers::new();
            written.iter().for_each(|(name, value)| all.push(*name, value));
            let back = of_bye(&all);
            assert_eq!(headers(Some(&back)).len(), written.len(), "{condition}");
            assert_eq!(back.text.is_some(), back.condition != Condition::Success, "{condition}");
            assert!(!is_elsewhere(written.first().map(|(_, value)| value.as_str())), "{condition}");
        }
        assert_eq!(headers(None), [(Name::Reason, Str::const_new("Q.850;cause=16"))]);
    }

    #[test]
    fn responses() {
        for (code, condition) in [
            (302, Condition::Gone),
            (380, Condition::IncompatibleParameters),
            (403, Condition::Decline),
            (404, Condition::Gone),
            (408, Condition::Timeout),
            (415, Condition::UnsupportedApplications),
            (433, Condition::Decline),
            (480, Condition::Gone),
            (486, Condition::Busy),
            (487, Condition::Cancel),
            (488, Condition::IncompatibleParameters),
            (494, Condition::SecurityError),
            (500, Condition::GeneralError),
            (503, Condition::GeneralError),
            (580, Condition::IncompatibleParameters),
            (600, Condition::Busy),
            (603, Condition::Decline),
            (604, Condition::Gone),
            (606, Condition::IncompatibleParameters),
        ] {
            assert_eq!(of_response(&response(code, &[])).condition, condition, "{code}");
        }
        let warned = |text| of_response(&response(488, &[(Name::Warning, text)])).condition;
        assert_eq!(warned("302 a.example \"x\""), Condition::UnsupportedTransports);
        assert_eq!(warned("399 a.example \"x\", 304 a.example \"y\""), Condition::UnsupportedApplications);
        assert_eq!(warned("broken"), Condition::IncompatibleParameters);
    }

    /// RFC 6432: a status that says little has a cause beside it; one that says more counts itself.
    #[test]
    fn causes_in_responses() {
        let caused = |code, text| of_response(&response(code, &[(Name::Reason, text)])).condition;
        assert_eq!(caused(480, "Q.850;cause=19;text=\"NO_ANSWER\""), Condition::Timeout);
        assert_eq!(caused(480, "Q.850;cause=17"), Condition::Busy);
        assert_eq!(caused(503, "Q.850;cause=34"), Condition::ConnectivityError);
        assert_eq!(caused(480, "Q.850;cause=16"), Condition::Gone);
        assert_eq!(caused(486, "Q.850;cause=21"), Condition::Busy);
        assert_eq!(caused(500, "X.25;cause=17"), Condition::GeneralError);
    }

    #[test]
    fn byes() {
        for (text, condition) in [
            ("", Condition::Success),
            ("Q.850;cause=16;text=\"NORMAL_CLEARING\"", Condition::Success),
            ("SIP;cause=200;text=\"Call completed elsewhere\"", Condition::Success),
            ("SIP;cause=408;text=\"No RTP\"", Condition::Timeout),
            ("Q.850;cause=16, SIP;cause=488", Condition::IncompatibleParameters),
            ("Q.850;cause=38", Condition::ConnectivityError),
            ("Q.850;cause=127", Condition::GeneralError),
            ("preemption;cause=1", Condition::Success),
            ("broken;=", Condition::Success),
        ] {
            assert_eq!(bye(text).condition, condition, "{text}");
        }
        assert_eq!(bye("SIP;cause=408;text=\"No%20RTP\"").text.as_deref(), Some("No RTP"));
        assert_eq!(bye("Q.850;cause=16;text=\"NORMAL_CLEARING\"").text, None);
    }

    #[test]
    fn cancellations() {
        let cancelled = |reason: Option<&str>| of_end(&Ended::Cancelled(reason.map(Str::from)));
        assert_eq!(cancelled(None), Reason::new(Condition::Cancel));
        assert!(cancelled(Some("SIP;cause=200;text=\"Call completed elsewhere\"")).text.is_some());
        assert!(is_elsewhere(Some("Q.850;cause=26, SIP ;cause=200")));
        assert!(!is_elsewhere(Some("SIP;cause=600")) && !is_elsewhere(Some("Q.850;cause=200")) && !is_elsewhere(None));
    }

    #[test]
    fn errors_of_clients() {
        use xmpp::error::Condition as Error;
        for (condition, full, code) in [
            (Error::ServiceUnavailable, true, 480),
            (Error::ServiceUnavailable, false, 404),
            (Error::FeatureNotImplemented, true, 480),
            (Error::RecipientUnavailable, true, 480),
            (Error::ItemNotFound, false, 604),
            (Error::Forbidden, true, 403),
        ] {
            assert_eq!(refused_with(&StanzaError::new(condition), full).code, code, "{condition}");
        }
    }
}
