//! Requests and responses: RFC 3261 §7. Reading is in `parse`, writing is here and nowhere else.

use crate::header::{HeaderName, Headers, Name, raw_tag};
use crate::lex;
use crate::method::Method;
use crate::uri::Uri;
use base::Str;
use bytes::Bytes;
use std::fmt::{self, Write as _};

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It asks.
    Request(Request),
    /// It answers.
    Response(Response),
}

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Whom or what it is about.
    pub uri: Uri,
    /// Every header but Content-Length, which is written by itself and, in a message that was read, holds what came.
    pub headers: Headers,
    /// The body, as long as it is.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// 100 to 699.
    pub code: u16,
    /// The Reason-Phrase, perhaps empty.
    pub reason: Str,
    /// As in a request.
    pub headers: Headers,
    /// As in a request.
    pub body: Bytes,
}

impl Message {
    /// The headers of either.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    /// The headers of either.
    pub fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Message::Request(request) => &mut request.headers,
            Message::Response(response) => &mut response.headers,
        }
    }

    /// The body of either.
    pub fn body(&self) -> &Bytes {
        match self {
            Message::Request(request) => &request.body,
            Message::Response(response) => &response.body,
        }
    }

    /// Writes it as it goes on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Message::Request(request) => request.write(out),
            Message::Response(response) => response.write(out),
        }
    }

    /// The same in bytes of its own.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: impl Into<Uri>) -> Request {
        Request { method, uri: uri.into(), headers: Headers::with_capacity(512, 16), body: Bytes::new() }
    }

    /// Writes it as it goes on the wire, with the right Content-Length.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = Sink(out);
        // A sink never fails.
        let _ = write!(line, "{} {} SIP/2.0", self.method, self.uri);
        write_rest(&self.headers, &self.body, out);
    }

    /// The same in bytes of its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(128 + self.headers.written_length() + self.body.len());
        self.write(&mut out);
        out.into()
    }
}

impl Response {
    /// A response without headers and body. An empty `reason` stands for the phrase of RFC 3261 §21; a code outside of
    /// 100 to 699 becomes 500.
    pub fn new(code: u16, reason: &str) -> Response {
        let code = if (100..700).contains(&code) { code } else { 500 };
        let reason = if reason.is_empty() { Str::const_new(reason_phrase(code)) } else { Str::new(reason) };
        Response { code, reason, headers: Headers::new(), body: Bytes::new() }
    }

    /// RFC 3261 §8.2.6.2: an answer with the request's Via, From, To, Call-ID and CSeq, as they came, and the Timestamp
    /// in a 100. `to_tag` goes to a To that has no tag yet; a 100 gets none.
    pub fn to_request(request: &Request, code: u16, reason: &str, to_tag: Option<&str>) -> Response {
        Response::to_headers(&request.headers, code, reason, to_tag)
    }

    /// The same for a request of which only headers are known.
    pub(crate) fn to_headers(of: &Headers, code: u16, reason: &str, to_tag: Option<&str>) -> Response {
        let mut response = Response::new(code, reason);
        let mut headers = Headers::with_capacity(of.written_length() / 2 + 128, 12);
        // From, To and the like once each: a request that repeats them is answered too (RFC 4475 §3.3.8).
        let mut seen = 0u128;
        for (name, value) in of.iter() {
            let HeaderName::Known(known) = name else { continue };
            match known {
                Name::Via => headers.push_clean(name, value, ""),
                Name::From | Name::CallId | Name::CSeq if seen & known.bit() == 0 => {
                    headers.push_clean(name, value, "");
                }
                Name::Timestamp if response.code == 100 && seen & known.bit() == 0 => {
                    headers.push_clean(name, value, "");
                }
                Name::To if seen & known.bit() == 0 => match to_tag {
                    Some(tag) if response.code > 100 && lex::all(tag, lex::TOKEN) && raw_tag(value).is_none() => {
                        headers.push_clean(name, value, ";tag=");
                        headers.extend_last(tag);
                    }
                    _ => headers.push_clean(name, value, ""),
                },
                _ => {}
            }
            seen |= known.bit();
        }
        response.headers = headers;
        response
    }

    /// Below 200.
    pub fn is_provisional(&self) -> bool {
        self.code < 200
    }

    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Writes it as it goes on the wire, with the right Content-Length.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = Sink(out);
        let _ = write!(line, "SIP/2.0 {:03} {}", self.code, self.reason);
        write_rest(&self.headers, &self.body, out);
    }

    /// The same in bytes of its own.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(64 + self.headers.written_length() + self.body.len());
        self.write(&mut out);
        out.into()
    }
}

/// The end of every message: the line end of the start line, the headers, the length and the body.
fn write_rest(headers: &Headers, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        if name == HeaderName::Known(Name::ContentLength) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let _ = write!(Sink(out), "Content-Length: {}", body.len());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// The way of formatted text into a start line: control characters become spaces, so that no method, URI or phrase made
/// by hand ends the line.
struct Sink<'a>(&'a mut Vec<u8>);

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        for byte in &mut self.0[start..] {
            if lex::is_control(*byte) {
                *byte = b' ';
            }
        }
        Ok(())
    }
}

/// The Reason-Phrase of a status code: RFC 3261 §21 and its extensions. One of the class for a code nobody has named.
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        other => match other / 100 {
            0 | 1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            5 => "Server Error",
            _ => "Global Failure",
        },
    }
}

impl fmt::Debug for Request {
    /// Bodies are never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("uri", &format_args!("{}", self.uri))
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for Response {
    /// Bodies are never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("code", &self.code)
            .field("reason", &self.reason)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Message {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}
