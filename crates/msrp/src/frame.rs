//! What goes over a connection: requests and responses (RFC 4975 §7, §9), and how they are written.

use crate::lex::{self, TOKEN};
use crate::uri::Path;
use base::Str;
use bytes::{Bytes, BytesMut};
use std::fmt;

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a frame is taken apart where it comes out")]
pub enum Frame {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Frame {
    /// Writes the frame behind what is in `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Frame::Request(request) => request.encode(out),
            Frame::Response(response) => response.encode(out),
        }
    }
}

/// What a request is about. Methods are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// RFC 4975: a chunk of a message.
    Send,
    /// RFC 4975: what became of a message. Never answered.
    Report,
    /// RFC 4976: asks a relay for a path.
    Auth,
    /// RFC 7701: asks a room for a nickname.
    Nickname,
    /// Any other.
    Other(Str),
}

impl Method {
    /// The method of this name.
    pub fn new(name: &str) -> Method {
        match name {
            "SEND" => Method::Send,
            "REPORT" => Method::Report,
            "AUTH" => Method::Auth,
            "NICKNAME" => Method::Nickname,
            other => Method::Other(Str::from(other)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Send => "SEND",
            Method::Report => "REPORT",
            Method::Auth => "AUTH",
            Method::Nickname => "NICKNAME",
            Method::Other(name) => name,
        }
    }
}

/// The end of a request says what comes behind it (RFC 4975 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `$`: this is the end of the message.
    Last,
    /// `+`: more chunks follow.
    More,
    /// `#`: the message is abandoned.
    Abort,
}

impl Flag {
    pub(crate) fn of(byte: u8) -> Option<Flag> {
        match byte {
            b'$' => Some(Flag::Last),
            b'+' => Some(Flag::More),
            b'#' => Some(Flag::Abort),
            _ => None,
        }
    }

    pub(crate) fn byte(self) -> u8 {
        match self {
            Flag::Last => b'$',
            Flag::More => b'+',
            Flag::Abort => b'#',
        }
    }
}

/// Which failures the sender of a request wants to hear of (RFC 4975 §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureReport {
    /// Every request is answered, and silence is a failure.
    #[default]
    Yes,
    /// Only failures are answered.
    Partial,
    /// Nothing is answered.
    No,
}

impl FailureReport {
    /// Whether a response with this code is sent (RFC 4975 §7.1.4).
    pub fn wants(self, code: u16) -> bool {
        match self {
            FailureReport::Yes => true,
            FailureReport::Partial => !(200..300).contains(&code),
            FailureReport::No => false,
        }
    }
}

/// Which bytes of a message a chunk is: the first one is number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte, from 1.
    pub start: u64,
    /// The last byte; one below `start` for none. `None`: `*`.
    pub end: Option<u64>,
    /// How many there are in all. `None`: `*`.
    pub total: Option<u64>,
}

impl ByteRange {
    /// Reads `1-39/39`, `1-*/*` and the like.
    ///
    /// # Errors
    /// For what is no range, is beyond 2^64, begins at 0 or contradicts itself.
    pub fn parse(text: &str) -> Result<ByteRange, lex::Syntax> {
        const BAD: lex::Syntax = lex::Syntax("bad Byte-Range");
        let (range, total) = text.split_once('/').ok_or(BAD)?;
        let (start, end) = range.split_once('-').ok_or(BAD)?;
        let open = |text: &str| if text == "*" { Ok(None) } else { lex::number(text).map(Some).ok_or(BAD) };
        let range = ByteRange { start: lex::number(start).ok_or(BAD)?, end: open(end)?, total: open(total)? };
        let first = range.start.checked_sub(1).ok_or(BAD)?;
        let sound = range.end.is_none_or(|end| end >= first)
            && range.total.is_none_or(|total| first <= total && range.end.is_none_or(|end| end <= total));
        if sound { Ok(range) } else { Err(BAD) }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.start)?;
        match self.end {
            Some(end) => write!(f, "{end}/")?,
            None => f.write_str("*/")?,
        }
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

/// What a REPORT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 0: the code is one of MSRP's.
    pub namespace: u16,
    /// Three digits, as in a response.
    pub code: u16,
    /// Words, perhaps none.
    pub comment: Str,
}

impl Status {
    /// Reads `000 200 OK`.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Status, lex::Syntax> {
        const BAD: lex::Syntax = lex::Syntax("bad Status");
        let mut words = text.splitn(3, ' ');
        let mut number = || words.next().and_then(lex::three_digits).ok_or(BAD);
        let (namespace, code) = (number()?, number()?);
        if !(100..700).contains(&code) {
            return Err(BAD);
        }
        Ok(Status { namespace, code, comment: Str::from(words.next().unwrap_or_default()) })
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The transaction id: 4 to 32 characters. It ends the request, too.
    pub transaction: Str,
    /// The method.
    pub method: Method,
    /// To-Path: the way there.
    pub to: Path,
    /// From-Path: the way back.
    pub from: Path,
    /// Message-ID, an `ident`.
    pub message_id: Option<Str>,
    /// Byte-Range.
    pub range: Option<ByteRange>,
    /// Success-Report: `no` where it is absent.
    pub success_report: bool,
    /// Failure-Report: `yes` where it is absent.
    pub failure_report: FailureReport,
    /// Status, of a REPORT.
    pub status: Option<Status>,
    /// All other headers, in their order.
    pub headers: Vec<(Str, Str)>,
    /// Content-Type.
    pub content_type: Option<Str>,
    /// The body. `None` is not the same as an empty one (RFC 4975 §7.1).
    pub body: Option<Bytes>,
    /// What its end-line says.
    pub flag: Flag,
}

impl Request {
    /// A request with nothing but its paths.
    pub fn new(transaction: &str, method: Method, to: Path, from: Path) -> Request {
        Request {
            transaction: Str::from(transaction),
            method,
            to,
            from,
            message_id: None,
            range: None,
            success_report: false,
            failure_report: FailureReport::Yes,
            status: None,
            headers: Vec::new(),
            content_type: None,
            body: None,
            flag: Flag::Last,
        }
    }

    /// The first value of a header that has no field of its own.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Writes the request behind what is in `out`. The caller sees to it that the end-line is not in the body.
    pub fn encode(&self, out: &mut BytesMut) {
        start(out, &self.transaction, self.method.as_str());
        line(out, "To-Path", self.to.as_str());
        line(out, "From-Path", self.from.as_str());
        if let Some(id) = &self.message_id {
            line(out, "Message-ID", id);
        }
        if let Some(range) = &self.range {
            put_range(out, range);
        }
        put_reports(out, self.success_report, self.failure_report);
        if let Some(status) = &self.status {
            put_status(out, status.namespace, status.code, &status.comment);
        }
        put_content(out, &self.headers, self.content_type.as_deref(), self.body.as_deref());
        end(out, &self.transaction, self.flag);
    }

    /// What is needed to answer it.
    pub fn head(&self) -> Head {
        Head {
            transaction: self.transaction.clone(),
            method: self.method.clone(),
            to: self.to.clone(),
            from: self.from.clone(),
        }
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The transaction id of the request.
    pub transaction: Str,
    /// Three digits.
    pub code: u16,
    /// Words, perhaps none.
    pub comment: Str,
    /// To-Path: to whom the request came from.
    pub to: Path,
    /// From-Path: who answers.
    pub from: Path,
    /// All other headers, in their order.
    pub headers: Vec<(Str, Str)>,
}

impl Response {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Writes the response behind what is in `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        put_response_start(out, &self.transaction, self.code, &self.comment);
        line(out, "To-Path", self.to.as_str());
        line(out, "From-Path", self.from.as_str());
        put_content(out, &self.headers, None, None);
        end(out, &self.transaction, Flag::Last);
    }
}

/// What an answer to a request is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The transaction id.
    pub transaction: Str,
    /// The method; [`Method::Other`] for one that is none.
    pub method: Method,
    /// To-Path.
    pub to: Path,
    /// From-Path.
    pub from: Path,
}

impl Head {
    /// The answer (RFC 4975 §7.2): to a SEND it goes to the hop before, to others all the way back.
    pub fn encode_response(&self, out: &mut BytesMut, code: u16, comment: &str) {
        let to = match self.method {
            Method::Send => self.from.first_str(),
            Method::Report | Method::Auth | Method::Nickname | Method::Other(_) => self.from.as_str(),
        };
        put_response(out, &self.transaction, code, comment, to, self.to.first_str());
    }
}

/// What is said beside a code of RFC 4975 §10, RFC 4976 §10.3 and RFC 7701.
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Message Too Large",
        415 => "Unsupported Media Type",
        423 => "Parameter Out Of Bounds",
        424 => "Malformed Nickname",
        425 => "Nickname Usage Failed",
        428 => "Private Messages Not Supported",
        481 => "No Such Session",
        501 => "Not Implemented",
        506 => "Session In Use",
        _ => "",
    }
}

fn header<'a>(headers: &'a [(Str, Str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// `MSRP tid what CRLF`.
pub(crate) fn start(out: &mut BytesMut, transaction: &str, what: &str) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(transaction.as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(what.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A header whose value is known to be sound: a path, an `ident`.
pub(crate) fn sound_line(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A header. Control characters have no place in what we write and become spaces.
pub(crate) fn line(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    text(out, value);
    out.extend_from_slice(b"\r\n");
}

fn text(out: &mut BytesMut, value: &str) {
    if lex::controls(value.as_bytes()) > 0 {
        let clean: Vec<u8> = value.bytes().map(|b| if lex::is_control(b) { b' ' } else { b }).collect();
        out.extend_from_slice(&clean);
    } else {
        out.extend_from_slice(value.as_bytes());
    }
}

/// A number in decimal.
fn number(out: &mut BytesMut, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn put_range(out: &mut BytesMut, range: &ByteRange) {
    let mut open = |before: &[u8], value: Option<u64>| {
        out.extend_from_slice(before);
        match value {
            Some(value) => number(out, value),
            None => out.extend_from_slice(b"*"),
        }
    };
    open(b"Byte-Range: ", Some(range.start));
    open(b"-", range.end);
    open(b"/", range.total);
    out.extend_from_slice(b"\r\n");
}

/// The report headers, where they say something else than their absence.
pub(crate) fn put_reports(out: &mut BytesMut, success: bool, failure: FailureReport) {
    if success {
        out.extend_from_slice(b"Success-Report: yes\r\n");
    }
    match failure {
        FailureReport::Yes => {}
        FailureReport::Partial => out.extend_from_slice(b"Failure-Report: partial\r\n"),
        FailureReport::No => out.extend_from_slice(b"Failure-Report: no\r\n"),
    }
}

pub(crate) fn put_status(out: &mut BytesMut, namespace: u16, code: u16, comment: &str) {
    out.extend_from_slice(b"Status: ");
    three(out, namespace);
    out.extend_from_slice(b" ");
    three(out, code);
    put_comment(out, comment);
    out.extend_from_slice(b"\r\n");
}

fn three(out: &mut BytesMut, code: u16) {
    let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or(0);
    out.extend_from_slice(&[digit(code / 100), digit(code / 10), digit(code)]);
}

fn put_comment(out: &mut BytesMut, comment: &str) {
    if !comment.is_empty() {
        out.extend_from_slice(b" ");
        text(out, comment);
    }
}

fn put_response_start(out: &mut BytesMut, transaction: &str, code: u16, comment: &str) {
    out.extend_from_slice(b"MSRP ");
    out.extend_from_slice(transaction.as_bytes());
    out.extend_from_slice(b" ");
    three(out, code);
    put_comment(out, comment);
    out.extend_from_slice(b"\r\n");
}

/// A whole response without headers of its own. An empty comment becomes the usual one.
pub(crate) fn put_response(out: &mut BytesMut, transaction: &str, code: u16, comment: &str, to: &str, from: &str) {
    out.reserve(64 + to.len() + from.len() + 2 * transaction.len() + comment.len());
    put_response_start(out, transaction, code, if comment.is_empty() { reason_phrase(code) } else { comment });
    sound_line(out, "To-Path", to);
    sound_line(out, "From-Path", from);
    end(out, transaction, Flag::Last);
}

/// The headers that have no field of their own, the Content-Type behind them, and the body (RFC 4975 §7.1). What is no header name is
/// left out.
pub(crate) fn put_content(out: &mut BytesMut, headers: &[(Str, Str)], content_type: Option<&str>, body: Option<&[u8]>) {
    for (name, value) in headers.iter().filter(|(name, _)| lex::all(name, TOKEN)) {
        line(out, name, value);
    }
    if let Some(content_type) = content_type {
        line(out, "Content-Type", content_type);
    }
    if let Some(body) = body {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }
}

/// The end-line.
pub(crate) fn end(out: &mut BytesMut, transaction: &str, flag: Flag) {
    out.extend_from_slice(b"-------");
    out.extend_from_slice(transaction.as_bytes());
    out.extend_from_slice(&[flag.byte(), b'\r', b'\n']);
}
