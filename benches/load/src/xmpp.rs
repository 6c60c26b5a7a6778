//! The XMPP side: a server that has one component, whose pings it answers, and whose stanzas it takes.

use crate::bytes::{attribute, bare, between, find, unescape};
use crate::ledger::{DELIVERED, Ledger, REFUSED};
use crate::line::Source;
use crate::options::Way;
use crate::run::{Arrival, Shared, settling};
use memchr::memmem::Finder;
use std::io::{self, Write};

/// Reads the component's stream until it ends. What is written for a stanza by `came` goes to `send`.
pub(crate) fn read(
    mut stream: impl Source,
    mut got: Vec<u8>,
    came: impl Fn(&[u8], &mut Vec<u8>),
    send: impl Fn(&[u8]) -> io::Result<()>,
) {
    let mut answers = Vec::new();
    let ends = [
        ("message", Finder::new("</message>")),
        ("iq", Finder::new("</iq>")),
        ("presence", Finder::new("</presence>")),
    ];
    loop {
        let mut done = 0;
        while let Some(len) = stanza(&got[done..], &ends) {
            came(got[done..done + len].trim_ascii_start(), &mut answers);
            done += len;
        }
        got.drain(..done);
        if !answers.is_empty() && send(&answers).is_err() {
            return;
        }
        answers.clear();
        match stream.more(&mut got) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// The length of the first stanza, with the white space before it, if it is complete.
fn stanza(bytes: &[u8], ends: &[(&str, Finder<'_>)]) -> Option<usize> {
    let start = memchr::memchr(b'<', bytes)?;
    let open = start + memchr::memchr(b'>', &bytes[start..])?;
    if bytes[open - 1] == b'/' {
        return Some(open + 1);
    }
    match ends.iter().find(|(name, _)| bytes[start + 1..].starts_with(name.as_bytes())) {
        Some((_, end)) => Some(open + end.find(&bytes[open..])? + end.needle().len()),
        None => Some(open + 1),
    }
}

pub(crate) fn came(shared: &Shared, stanza: &[u8], answers: &mut Vec<u8>) {
    let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
    let value = |name| attribute(tag, name).unwrap_or_default();
    let (from, to, id) = (value("from"), value("to"), value("id"));
    match (&stanza[1..3], value("type")) {
        (b"iq", b"get" | b"set") => pong(from, to, id, answers),
        (b"me", b"error") => failed(&shared.from_xmpp, &shared.name, stanza, id, shared.now()),
        (b"me", _) => {
            let ledger = &shared.from_sip;
            let body = between(stanza, b"<body>", b"</body>").map(unescape).unwrap_or_default();
            let Some(message) = shared.number(&body, ledger) else { return };
            if ledger.mark(message, DELIVERED, shared.now(), settling(Way::SipToXmpp)) {
                let arrival = Arrival { from: bare(from), to: bare(to), text: &body };
                shared.compare(ledger, message, &arrival, true);
            } else {
                ledger.duplicates.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        _ => {}
    }
}

/// The answer to a question of the gateway's: by it, it knows that all before it was taken.
pub(crate) fn pong(from: &[u8], to: &[u8], id: &[u8], answers: &mut Vec<u8>) {
    let text = |bytes| String::from_utf8_lossy(bytes);
    // Writing to a vector cannot fail.
    let _ = write!(answers, "<iq type='result' from='{}' to='{}' id='{}'/>", text(to), text(from), text(id));
}

/// An error for a stanza of ours, whose id is the run's name and a number.
pub(crate) fn failed(ledger: &Ledger, name: &str, stanza: &[u8], id: &[u8], now: u64) {
    let number = id
        .strip_prefix(name.as_bytes())
        .and_then(|rest| std::str::from_utf8(rest.strip_prefix(b".")?).ok()?.parse::<usize>().ok());
    let Some(message) = number.filter(|n| *n < ledger.marks.len()) else { return };
    if ledger.mark(message, REFUSED, now, settling(Way::XmppToSip)) {
        ledger.refused(condition(stanza));
    }
}

/// The condition of an error.
pub(crate) fn condition(stanza: &[u8]) -> String {
    let error = find(stanza, b"<error").map_or(&b""[..], |at| &stanza[at + 1..]);
    let condition = memchr::memchr(b'<', error).map_or(&b""[..], |at| &error[at + 1..]);
    let end = condition.iter().position(|b| !b.is_ascii_lowercase() && *b != b'-').unwrap_or(0);
    String::from_utf8_lossy(&condition[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_end_where_they_end() {
        let ends = [("message", Finder::new("</message>")), ("iq", Finder::new("</iq>"))];
        let stream = b" <message a='1'><body>x</body></message><iq/><iq><ping/></iq><mess";
        let mut rest = &stream[..];
        let mut lengths = vec![];
        while let Some(len) = stanza(rest, &ends) {
            lengths.push(len);
            rest = &rest[len..];
        }
        assert_eq!((lengths, rest), (vec![40, 5, 16], &b"<mess"[..]));
    }
}
