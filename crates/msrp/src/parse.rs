//! A head: the start line and the headers of a frame, without its end-line.

use crate::frame::{ByteRange, FailureReport, Flag, Head, Method, Request, Response, Status};
use crate::lex::{self, TOKEN};
use crate::uri::Path;
use base::Str;
use memchr::{memchr, memchr_iter};

/// What a head is.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "taken apart at once")]
pub(crate) enum Parsed {
    /// A request; its body, if any, is still to come.
    Request(Request),
    /// A response.
    Response(Response),
    /// A frame that breaks the rules, and what an answer to it needs, if it wants one.
    Malformed(Option<Head>, &'static str),
    /// A request that can neither be understood nor answered.
    Hopeless(&'static str),
}

/// What stands behind the transaction id in the first line.
enum Start<'a> {
    Request(&'a str),
    Response(u16, &'a str),
    /// A method that is none.
    BadMethod(&'a str),
    /// A response of no known kind.
    BadCode,
}

/// Looks at the rest of a first line.
///
/// # Errors
/// Where nothing stands there.
fn start(rest: &str) -> Option<Start<'_>> {
    let (word, comment) = rest.split_once(' ').unwrap_or((rest, ""));
    if word.is_empty() {
        return None;
    }
    if word.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        let code = lex::three_digits(word).filter(|code| (100..700).contains(code));
        return Some(code.map_or(Start::BadCode, |code| Start::Response(code, comment)));
    }
    let sound = rest.len() == word.len() && word.len() <= 32 && word.bytes().all(|b| b.is_ascii_uppercase());
    Some(if sound { Start::Request(word) } else { Start::BadMethod(word) })
}

/// What was read of the headers so far.
#[derive(Default)]
struct Fields {
    to: Option<Path>,
    from: Option<Path>,
    message_id: Option<Str>,
    range: Option<ByteRange>,
    success: Option<bool>,
    failure: Option<FailureReport>,
    status: Option<Status>,
    content_type: Option<Str>,
    headers: Vec<(Str, Str)>,
}

/// Reads a head: `first` is the first line behind the transaction id, `lines` are the others, each with its CRLF.
pub(crate) fn head(transaction: &str, first: &[u8], lines: &[u8]) -> Parsed {
    let first = std::str::from_utf8(first).ok().filter(|line| !line.bytes().any(lex::is_control));
    let Some(start) = first.and_then(start) else { return Parsed::Hopeless("no start line") };
    let mut fields = Fields::default();
    let fault = match std::str::from_utf8(lines) {
        Ok(lines) => read(lines, &mut fields).err(),
        // The paths may still be good enough for an answer.
        Err(e) => {
            let (good, _) = lines.split_at(e.valid_up_to());
            let whole = good.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let _ = std::str::from_utf8(&good[..whole]).map(|lines| read(lines, &mut fields));
            Some("no UTF-8")
        }
    };
    finish(transaction, &start, fields, fault)
}

fn finish(transaction: &str, start: &Start<'_>, fields: Fields, fault: Option<&'static str>) -> Parsed {
    let transaction = Str::from(transaction);
    let (to, from) = match (fields.to, fields.from) {
        (Some(to), Some(from)) => (to, from),
        (None, _) | (_, None) => {
            let why = fault.unwrap_or("no path");
            return match start {
                Start::Request("REPORT") | Start::Response(..) | Start::BadCode => Parsed::Malformed(None, why),
                Start::Request(_) | Start::BadMethod(_) => Parsed::Hopeless(why),
            };
        }
    };
    let method = match start {
        Start::Response(code, comment) => {
            return match fault {
                Some(why) => Parsed::Malformed(None, why),
                None => {
                    let (code, comment) = (*code, Str::from(*comment));
                    Parsed::Response(Response { transaction, code, comment, to, from, headers: fields.headers })
                }
            };
        }
        Start::BadCode => return Parsed::Malformed(None, "bad status code"),
        Start::BadMethod(name) => {
            let method = Method::Other(Str::from(*name));
            let wanted = fields.failure.unwrap_or_default().wants(400);
            let head = wanted.then_some(Head { transaction, method, to, from });
            return Parsed::Malformed(head, "bad method");
        }
        Start::Request(name) => Method::new(name),
    };
    let failure_report = fields.failure.unwrap_or_default();
    let missing = method == Method::Report && (fields.status.is_none() || fields.message_id.is_none());
    if let Some(why) = fault.or(missing.then_some("an incomplete REPORT")) {
        // A REPORT is never answered (RFC 4975 §7.1.2), and who wants no failures gets none.
        let wanted = method != Method::Report && failure_report.wants(400);
        return Parsed::Malformed(wanted.then_some(Head { transaction, method, to, from }), why);
    }
    Parsed::Request(Request {
        transaction,
        method,
        to,
        from,
        message_id: fields.message_id,
        range: fields.range,
        success_report: fields.success.unwrap_or(false),
        failure_report,
        status: fields.status,
        headers: fields.headers,
        content_type: fields.content_type,
        body: None,
        flag: Flag::More,
    })
}

/// Reads all lines, and stops at none: an answer needs the paths, wherever the fault is.
fn read(lines: &str, fields: &mut Fields) -> Result<(), &'static str> {
    let mut fault = None;
    // Every line ends with CRLF; if these are all control characters that there are, no line need be searched for others.
    let ends = memchr_iter(b'\n', lines.as_bytes()).count();
    if lex::controls(lines.as_bytes()) != 2 * ends {
        fault = Some("a control character");
    }
    let mut rest = lines;
    while let Some(end) = memchr(b'\n', rest.as_bytes()) {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let read = line.strip_suffix("\r\n").ok_or("a control character").and_then(|line| one(line, fields));
        if let Err(why) = read {
            fault.get_or_insert(why);
        }
    }
    fault.map_or(Ok(()), Err)
}

fn one(line: &str, fields: &mut Fields) -> Result<(), &'static str> {
    let colon = memchr(b':', line.as_bytes()).ok_or("no header")?;
    let name = &line[..colon];
    let value = line[colon + 1..].trim_matches([' ', '\t']);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        7 if is("To-Path") => return once(&mut fields.to, Path::parse(value).map_err(|e| e.0)?),
        9 if is("From-Path") => return once(&mut fields.from, Path::parse(value).map_err(|e| e.0)?),
        10 if is("Message-ID") => {
            let sound = lex::is_ident(value.as_bytes());
            return once(&mut fields.message_id, sound.then(|| Str::from(value)).ok_or("bad Message-ID")?);
        }
        10 if is("Byte-Range") => return once(&mut fields.range, ByteRange::parse(value).map_err(|e| e.0)?),
        14 if is("Success-Report") => {
            return once(&mut fields.success, yes_or_no(value).ok_or("bad Success-Report")?);
        }
        14 if is("Failure-Report") => {
            let value = match yes_or_no(value) {
                Some(true) => FailureReport::Yes,
                Some(false) => FailureReport::No,
                None if value.eq_ignore_ascii_case("partial") => FailureReport::Partial,
                None => return Err("bad Failure-Report"),
            };
            return once(&mut fields.failure, value);
        }
        6 if is("Status") => return once(&mut fields.status, Status::parse(value).map_err(|e| e.0)?),
        12 if is("Content-Type") => {
            let sound = value.contains('/');
            return once(&mut fields.content_type, sound.then(|| Str::from(value)).ok_or("bad Content-Type")?);
        }
        _ => {}
    }
    // There is no folding: a line that begins with a space has no name.
    if !name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) || !lex::all(name, TOKEN) {
        return Err("bad header name");
    }
    fields.headers.push((Str::from(name), Str::from(value)));
    Ok(())
}

fn yes_or_no(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("yes") {
        Some(true)
    } else if value.eq_ignore_ascii_case("no") {
        Some(false)
    } else {
        None
    }
}

/// A second header of a kind that there is one of would leave it open which one holds. The first one stays.
fn once<T>(field: &mut Option<T>, value: T) -> Result<(), &'static str> {
    if field.is_some() {
        return Err("a header twice");
    }
    *field = Some(value);
    Ok(())
}
