//! The session description of a SIP body: alone (RFC 3261 §13.2.1), or one part of several (RFC 5621), as carriers send it with what their telephone networks say.

use crate::error::Refusal;
use bodies::mime::ContentType;
use bodies::sdp::{MEDIA_TYPE, Sdp};
use bodies::{Content, Limits, Part, multipart};
use sip::invite::Body;
use sip::{Name, Request, Response};
use std::borrow::Cow;

/// What is taken of a body of several parts.
const LIMITS: Limits = Limits { bytes: 65_536, parts: 8, depth: 2, headers: 16, header_bytes: 4_096 };

/// The description of a body of this type.
///
/// # Errors
/// Without a type, or of one that holds no description; or with a part beside it that must be understood and is not (RFC 5621 §3.1: one that does not say
/// `handling=optional`).
pub(crate) fn description<'a>(content_type: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
    const UNSUPPORTED: Refusal = Refusal::UnsupportedContent { accept: MEDIA_TYPE };
    let content_type = ContentType::parse(content_type).map_err(|_| UNSUPPORTED)?;
    if content_type.is("application", "sdp") {
        return Ok(Cow::Borrowed(body));
    }
    if content_type.type_() != "multipart" {
        return Err(UNSUPPORTED);
    }
    let parts = multipart::parse(&content_type, body, &LIMITS).map_err(|_| Refusal::BadBody("Bad multipart body"))?;
    // RFC 2046 §5.1.4: of alternatives one is enough, and the last that is understood is the best.
    let described = |part: &&Part| part.content_type.is("application", "sdp");
    let Some(description) = parts.iter().rev().find(described) else { return Err(UNSUPPORTED) };
    let optional = |part: &Part| {
        let handling = part.disposition.as_ref().and_then(|disposition| disposition.param("handling"));
        handling.is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
    };
    if content_type.is("multipart", "mixed") && !parts.iter().filter(|part| !described(part)).all(optional) {
        return Err(UNSUPPORTED);
    }
    match &description.content {
        Content::Bytes(bytes) => Ok(Cow::Owned(bytes.clone())),
        Content::Parts(_) => Err(UNSUPPORTED),
    }
}

/// The description of a body.
///
/// # Errors
/// As [`description`], or it is no description.
pub(crate) fn of_body(body: &Body) -> Result<Sdp, Refusal> {
    Sdp::parse(&description(&body.content_type, &body.content)?)
        .map_err(|_| Refusal::BadBody("Bad session description"))
}

/// The description of a response.
///
/// # Errors
/// Likewise.
pub(crate) fn of_response(response: &Response) -> Result<Sdp, Refusal> {
    let content_type = response.headers.get(Name::ContentType).unwrap_or_default();
    let description = description(content_type, &response.body)?;
    Sdp::parse(&description).map_err(|_| Refusal::BadBody("Bad session description"))
}

/// An INVITE with nothing but its description, if it has any body.
///
/// # Errors
/// As [`description`].
pub(crate) fn alone(mut request: Box<Request>) -> Result<Box<Request>, Refusal> {
    if request.body.is_empty() {
        return Ok(request);
    }
    let content_type = request.headers.get(Name::ContentType).unwrap_or_default();
    if let Cow::Owned(bytes) = description(content_type, &request.body)? {
        request.body = bytes.into();
        request.headers.set(Name::ContentType, MEDIA_TYPE);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";

    fn parts(subtype: &str, disposition: &str) -> (String, String) {
        let body = format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b\r\nContent-Type: application/isup;version=itu-t92+\r\n\
             Content-Disposition: {disposition}\r\n\r\nIAM\r\n--b--\r\n"
        );
        (format!("multipart/{subtype};boundary=b"), body)
    }

    fn found(subtype: &str, disposition: &str) -> Result<String, Refusal> {
        let (content_type, body) = parts(subtype, disposition);
        description(&content_type, body.as_bytes()).map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
    }

    #[test]
    fn alone_or_beside_what_need_not_be_understood() {
        assert_eq!(description("application/SDP; x=y", b"v=0").unwrap(), Cow::Borrowed(b"v=0"));
        assert_eq!(found("mixed", "signal;handling=optional").unwrap(), SDP);
        assert_eq!(found("alternative", "signal").unwrap(), SDP);
    }

    #[test]
    fn not_beside_what_must_be() {
        assert!(matches!(found("mixed", "signal"), Err(Refusal::UnsupportedContent { .. })));
        assert!(matches!(found("mixed", "signal;handling=required"), Err(Refusal::UnsupportedContent { .. })));
    }

    #[test]
    fn nothing_else_is_a_description() {
        for content_type in ["", "text/plain", "application/sdpx", "sdp"] {
            assert!(
                matches!(description(content_type, b"v=0"), Err(Refusal::UnsupportedContent { .. })),
                "{content_type}"
            );
        }
        assert!(matches!(description("multipart/mixed;boundary=b", b"--b"), Err(Refusal::BadBody(_))));
        let none = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n";
        assert!(matches!(description("multipart/mixed;boundary=b", none), Err(Refusal::UnsupportedContent { .. })));
    }
}
