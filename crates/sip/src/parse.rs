//! Reading a message: RFC 3261 §7, §18.3. One pass over the head; header values stay unread until they are asked for.
//!
//! Octets that are not UTF-8 become U+FFFD in the head. Where text is free (Subject, display names, Reason-Phrase) that
//! is the kindest reading of a Latin-1 phone; where a grammar rules (URIs, tags, branches, Call-ID) U+FFFD is not in it
//! and the message is refused, so no two identifiers become one.

use crate::header::{Headers, Name};
use crate::lex::{self, TOKEN};
use crate::limits::Limits;
use crate::message::{Message, Request, Response};
use crate::method::Method;
use crate::uri::Uri;
use base::Str;
use bytes::Bytes;
use memchr::{memchr, memmem};
use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

/// A message that is not read any further, and all that an answer to it needs.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejected {
    /// 400, 414, 505 or 513.
    pub code: u16,
    /// Why, in words that fit a Reason-Phrase and hold nothing of the peer's.
    pub reason: &'static str,
    /// Whether it was a response, or nothing of SIP: neither is ever answered.
    pub is_request: bool,
    /// The method as it came, if the start line had one.
    pub method: Option<Method>,
    /// What an answer copies: Via, From, To, Call-ID and CSeq, as far as they were there. None of it is validated.
    pub headers: Headers,
}

impl Rejected {
    pub(crate) fn new(fault: Fault) -> Rejected {
        Rejected { code: fault.code, reason: fault.reason, is_request: false, method: None, headers: Headers::new() }
    }

    /// The answer. `None` if there is nothing to answer: a response, an ACK, no Via, or no SIP at all.
    pub fn response(&self, to_tag: Option<&str>) -> Option<Response> {
        let answerable = self.is_request && self.method != Some(Method::Ack) && self.headers.contains(Name::Via);
        answerable.then(|| Response::to_headers(&self.headers, self.code, self.reason, to_tag))
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("code", &self.code).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

impl std::error::Error for Rejected {}

/// What is wrong, before it is known whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

pub(crate) const fn fault(code: u16, reason: &'static str) -> Fault {
    Fault { code, reason }
}

pub(crate) const TOO_LARGE: Fault = fault(513, "Message Too Large");
const NOT_SIP: Fault = fault(400, "Not SIP");

/// Reads one datagram: RFC 3261 §18.3.
///
/// The body is what Content-Length says; octets behind it are dropped (RFC 4475 §3.1.1.8), fewer are an error. Without
/// Content-Length the body runs to the end of the datagram.
///
/// # Errors
/// `Rejected`, with what an answer needs. A keep-alive (no message, only line ends) is rejected too, without an answer.
pub fn parse_datagram(datagram: &Bytes, limits: &Limits) -> Result<Message, Rejected> {
    let skipped = leading_line_ends(datagram);
    let datagram = datagram.slice(skipped..);
    let (head, body) = match HEAD_END.find(&datagram) {
        Some(end) => (&datagram[..end + 2], datagram.slice(end + 4..)),
        None => return Err(unfinished(&datagram, limits, fault(400, "Missing Empty Line"))),
    };
    if datagram.len() > limits.message_bytes || head.len() > limits.head_bytes {
        return Err(unfinished(head, limits, TOO_LARGE));
    }
    let head = Head::parse(head, limits).finish()?;
    match head.length {
        None => Ok(head.into_message(body)),
        Some(length) if length <= body.len() => Ok(head.into_message(body.slice(..length))),
        Some(_) => Err(head.reject(fault(400, "Content-Length Beyond The Datagram"))),
    }
}

/// The end of a head, for one search after the other: making a searcher costs as much as a search.
pub(crate) static HEAD_END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));

/// Line ends before a start line are skipped: RFC 3261 §7.5.
fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2
}

/// Rejects a message whose head is too long or has no end, after reading as many whole lines as the limits admit.
pub(crate) fn unfinished(bytes: &[u8], limits: &Limits, fault: Fault) -> Rejected {
    let bytes = &bytes[..bytes.len().min(limits.head_bytes)];
    let Some(end) = memmem::rfind(bytes, b"\r\n") else { return Rejected::new(fault) };
    let head = Head::parse(&bytes[..end + 2], limits);
    // What is no SIP is that first of all; a version we do not speak may have its own rules for all the rest.
    let fault =
        if head.fault.is_some_and(|f| f == NOT_SIP || f.code == 505) { head.fault.unwrap_or(fault) } else { fault };
    head.reject(fault)
}

/// A start line that was read.
enum Start {
    Request(Method, Uri),
    Response(u16, Str),
}

/// A head that was read as far as it can be, with the first thing that is wrong with it.
pub(crate) struct Head {
    start: Option<Start>,
    /// Whether it looks like a request, and which.
    is_request: bool,
    method: Option<Method>,
    headers: Headers,
    fault: Option<Fault>,
    length: Option<usize>,
}

impl Head {
    /// Reads start line and headers. `head` ends with the line end of its last line.
    pub(crate) fn parse(head: &[u8], limits: &Limits) -> Head {
        let text = match std::str::from_utf8(head) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(head),
        };
        let mut reader = Reader::new(&text, limits);
        let StartLine { start, is_request, method, fault } = StartLine::read(reader.start_line(), limits);
        if fault != Some(NOT_SIP) {
            reader.headers();
        }
        let fault = fault.or(reader.fault);
        let mut head = Head { start, is_request, method, headers: reader.headers, fault, length: None };
        match head.read_length() {
            Ok(length) => head.length = length,
            Err(fault) => head.fault = head.fault.or(Some(fault)),
        }
        head
    }

    /// RFC 3261 §20.14: digits, once. Two lengths are refused even if they are equal (THREATS: smuggled bodies).
    fn read_length(&self) -> Result<Option<usize>, Fault> {
        let mut values = self.headers.all(Name::ContentLength);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(fault(400, "Repeated Content-Length"));
        }
        // A length beyond any address space is as good as the largest: it is beyond every limit.
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let length = lex::number(value, u64::MAX).unwrap_or(u64::MAX);
        if digits {
            Ok(Some(usize::try_from(length).unwrap_or(usize::MAX)))
        } else {
            Err(fault(400, "Malformed Content-Length"))
        }
    }

    /// The head, if nothing is wrong with it.
    pub(crate) fn finish(self) -> Result<Sound, Rejected> {
        match (self.fault, self.start) {
            (None, Some(start)) => Ok(Sound { start, headers: self.headers, length: self.length }),
            (fault, _) => Err(reject(fault.unwrap_or(NOT_SIP), self.is_request, self.method, &self.headers)),
        }
    }

    fn reject(self, fault: Fault) -> Rejected {
        reject(fault, self.is_request, self.method, &self.headers)
    }
}

fn reject(fault: Fault, is_request: bool, method: Option<Method>, of: &Headers) -> Rejected {
    let mut headers = Headers::new();
    if is_request {
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            // What is rejected may hold a bare CR or LF: pushed, not copied, so that none gets into the answer.
            of.all(name).for_each(|value| headers.push(name, value));
        }
    }
    Rejected { code: fault.code, reason: fault.reason, is_request, method, headers }
}

/// A head that waits for its body.
pub(crate) struct Sound {
    start: Start,
    headers: Headers,
    /// Content-Length, if it was stated.
    pub(crate) length: Option<usize>,
}

impl Sound {
    pub(crate) fn into_message(self, body: Bytes) -> Message {
        let headers = self.headers;
        match self.start {
            Start::Response(code, reason) => Message::Response(Response { code, reason, headers, body }),
            Start::Request(method, uri) => Message::Request(Request { method, uri, headers, body }),
        }
    }

    pub(crate) fn reject(self, fault: Fault) -> Rejected {
        match self.start {
            Start::Response(..) => reject(fault, false, None, &self.headers),
            Start::Request(method, _) => reject(fault, true, Some(method), &self.headers),
        }
    }
}

/// What a start line was found to be.
struct StartLine {
    start: Option<Start>,
    is_request: bool,
    method: Option<Method>,
    fault: Option<Fault>,
}

impl StartLine {
    fn refused(is_request: bool, method: Option<Method>, fault: Fault) -> StartLine {
        StartLine { start: None, is_request, method, fault: Some(fault) }
    }

    fn read(line: &str, limits: &Limits) -> StartLine {
        if starts_with_sip(line) {
            return match read_status(line) {
                Ok(start) => StartLine { start: Some(start), is_request: false, method: None, fault: None },
                Err(fault) => StartLine::refused(false, None, fault),
            };
        }
        let Some((method, rest)) = line.split_once(' ') else { return StartLine::refused(false, None, NOT_SIP) };
        let Some(method) = Method::parse(method) else { return StartLine::refused(false, None, NOT_SIP) };
        let Some((uri, version)) = rest.rsplit_once(' ') else {
            return StartLine::refused(true, Some(method), fault(400, "Malformed Request-Line"));
        };
        let wrong = if line.len() > limits.start_line_bytes {
            Some(fault(414, "Request-URI Too Long"))
        } else if version.eq_ignore_ascii_case("SIP/2.0") {
            None
        } else if is_version(version) {
            Some(fault(505, "Version Not Supported"))
        } else if starts_with(version, b"HTTP/") {
            return StartLine::refused(false, None, NOT_SIP);
        } else {
            Some(fault(400, "Malformed Request-Line"))
        };
        if let Some(wrong) = wrong {
            return StartLine::refused(true, Some(method), wrong);
        }
        match Uri::parse(uri) {
            Err(_) => StartLine::refused(true, Some(method), fault(400, "Malformed Request-URI")),
            // RFC 3261 §19.1.1, table 1: not in a Request-URI. They never become headers of anything (RFC 4475 §3.1.2.11).
            Ok(Uri::Sip(uri)) if uri.headers.is_some() => {
                StartLine::refused(true, Some(method), fault(400, "Headers In The Request-URI"))
            }
            Ok(uri) => {
                let start = Start::Request(method.clone(), uri);
                StartLine { start: Some(start), is_request: true, method: Some(method), fault: None }
            }
        }
    }
}

fn starts_with(text: &str, prefix: &[u8]) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn starts_with_sip(line: &str) -> bool {
    starts_with(line, b"SIP/")
}

/// `SIP-Version`: "SIP" "/" 1*DIGIT "." 1*DIGIT.
fn is_version(text: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    starts_with_sip(text) && text[4..].split_once('.').is_some_and(|(major, minor)| number(major) && number(minor))
}

/// `Status-Line`. The SP before an empty Reason-Phrase may be missing: some send it so.
fn read_status(line: &str) -> Result<Start, Fault> {
    let malformed = fault(400, "Malformed Status-Line");
    let (version, rest) = line.split_once(' ').ok_or(malformed)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(if is_version(version) { fault(505, "Version Not Supported") } else { malformed });
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = lex::number(code, 699).filter(|number| code.len() == 3 && *number >= 100).ok_or(malformed)?;
    let code = u16::try_from(code).map_err(|_| malformed)?;
    if reason.bytes().any(lex::is_control) {
        return Err(malformed);
    }
    Ok(Start::Response(code, Str::new(reason)))
}

/// Goes through the lines of a head.
struct Reader<'a> {
    text: &'a str,
    limits: &'a Limits,
    at: usize,
    line_ends: usize,
    vias: usize,
    headers: Headers,
    fault: Option<Fault>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Reader<'a> {
        // The room behind the head is for what is added to a request that was read: `received`, unfolded values.
        let mut headers = Headers::with_capacity(text.len() + 128, 16);
        headers.adopt(text);
        Reader { text, limits, at: 0, line_ends: 0, vias: 0, headers, fault: None }
    }

    /// The end of the line that starts at `from`: where its CRLF stands. The head ends with a CRLF, so there is one.
    fn line_end(&mut self, from: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = from;
        while let Some(found) = memchr(b'\r', &bytes[at..]) {
            at += found;
            if bytes.get(at + 1) == Some(&b'\n') {
                self.line_ends += 1;
                return at;
            }
            at += 1;
        }
        bytes.len()
    }

    fn start_line(&mut self) -> &'a str {
        let end = self.line_end(0);
        self.at = end + 2;
        &self.text[..end]
    }

    fn headers(&mut self) {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            if self.headers.len() == self.limits.header_lines {
                self.blame(TOO_LARGE);
                return;
            }
            let start = self.at;
            let mut end = self.line_end(start);
            let mut folded = false;
            while matches!(bytes.get(end + 2), Some(b' ' | b'\t')) {
                folded = true;
                end = self.line_end(end + 2);
            }
            self.at = end + 2;
            self.header(start, end, folded);
        }
        // Line ends are the only control characters of an ordinary head: whether there are others is seen by counting.
        if lex::controls(bytes) != self.line_ends * 2
            && !self.headers.iter().all(|(_, value)| are_controls_quoted(value))
        {
            self.blame(fault(400, "Control Character In A Header"));
        }
    }

    /// `message-header`, which ends before `end`.
    fn header(&mut self, start: usize, end: usize, folded: bool) {
        let bytes = self.text.as_bytes();
        let line = &bytes[start..end];
        let mut at = start + line.iter().position(|b| !lex::is(*b, TOKEN)).unwrap_or(line.len());
        let name_at = (start, at);
        while matches!(bytes.get(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        if name_at.1 == start || bytes.get(at) != Some(&b':') || at >= end {
            self.blame(fault(400, "Malformed Header Line"));
            return;
        }
        let value = at + 1;
        if end - value > self.limits.value_bytes {
            self.blame(TOO_LARGE);
            return;
        }
        let name = Name::find(&bytes[start..name_at.1]);
        if name == Some(Name::Via) {
            self.vias += 1 + memchr::memchr_iter(b',', &bytes[value..end]).count();
            if self.vias > self.limits.vias {
                self.blame(fault(513, "Too Many Via"));
            }
        }
        if folded {
            self.headers.push_unfolded(name, name_at, &unfold(&self.text[value..end]));
            return;
        }
        let is_space = |at: usize| matches!(bytes[at], b' ' | b'\t');
        let (mut value, mut end) = (value, end);
        while value < end && is_space(value) {
            value += 1;
        }
        while end > value && is_space(end - 1) {
            end -= 1;
        }
        self.headers.push_adopted(name, name_at, (value, end));
    }

    /// The first fault counts.
    fn blame(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
    }
}

/// RFC 3261 §7.3.1: each line end with the white space around it is one space.
fn unfold(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for piece in value.split("\r\n") {
        let piece = piece.trim_matches([' ', '\t']);
        if !piece.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(piece);
        }
    }
    out
}

/// RFC 3261 §25.1: a control character other than CR and LF may stand behind a backslash in a quoted-string, and nowhere
/// else.
fn are_controls_quoted(value: &str) -> bool {
    let mut quoted = false;
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                if matches!(bytes.next(), Some(b'\r' | b'\n')) {
                    return false;
                }
            }
            byte if lex::is_control(byte) => return false,
            _ => {}
        }
    }
    true
}
