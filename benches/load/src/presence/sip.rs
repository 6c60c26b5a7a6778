//! The SIP side: phones that are told, and phones that tell.

use super::run::{Shared, settling, supersede};
use crate::bytes::{address, between, find, header, unescape};
use crate::ledger::Ledger;
use crate::sip::{came_first, respond};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Reads datagrams until the run is over.
pub(super) fn read(shared: &Arc<Shared>) {
    let mut buffer = vec![0; 65_535];
    let mut answer = Vec::with_capacity(2048);
    while !shared.over.load(SeqCst) {
        let Ok((len, from)) = shared.udp.recv_from(&mut buffer) else { continue };
        let message = &buffer[..len];
        let Some(end) = find(message, b"\r\n\r\n") else { continue };
        let (head, body) = (&message[..end], &message[end + 4..]);
        shared.active.store(shared.now(), SeqCst);
        answer.clear();
        if head.starts_with(b"NOTIFY ") || head.starts_with(b"MESSAGE ") {
            respond(head, "", "", &mut answer);
            let _ = shared.udp.send_to(&answer, from);
            if head.starts_with(b"N") {
                told(shared, head, body);
            } else {
                came(shared, &shared.messages, false, head, body, "");
            }
        } else if head.starts_with(b"SUBSCRIBE ") {
            shared.counts.subscribes.fetch_add(1, SeqCst);
            let contact = format!("Expires: 14400\r\nContact: <sip:phone@{}>\r\n", shared.options.listen);
            respond(head, &contact, "", &mut answer);
            let _ = shared.udp.send_to(&answer, from);
            answer.clear();
            if notify(shared, head, &mut answer).is_some() {
                let _ = shared.udp.send_to(&answer, from);
            }
        } else if let Some(status) = head.strip_prefix(b"SIP/2.0 ") {
            let counts = &shared.counts;
            (if status.starts_with(b"2") { &counts.taken } else { &counts.refused }).fetch_add(1, SeqCst);
        }
    }
}

/// A NOTIFY: which change it tells of, and whether it tells the truth.
fn told(shared: &Shared, head: &[u8], body: &[u8]) {
    let note = content(body, b"<note", b"</note>").map(unescape).unwrap_or_default();
    let show = content(body, b"<show", b"</show>").unwrap_or_default();
    let show = std::str::from_utf8(show).unwrap_or("?");
    match came(shared, &shared.changes, true, head, &note, show) {
        Some((number, true)) => {
            shared.told[shared.dialog(number)].store(number + 1, SeqCst);
            supersede(&shared.changes, number, shared.told.len(), shared.now());
        }
        Some((_, false)) => {}
        None => {
            shared.counts.notifies.fetch_add(1, SeqCst);
        }
    }
}

/// A change or a message has come out: its number, and whether it is the first time. None if it is none of this run's.
fn came(
    shared: &Shared,
    ledger: &Ledger,
    changes: bool,
    head: &[u8],
    text: &[u8],
    show: &str,
) -> Option<(usize, bool)> {
    let number = shared.number(text, ledger)?;
    if !came_first(ledger, number, head, shared.now(), settling(changes)) {
        return Some((number, false));
    }
    let expected = shared.expected(number);
    if text != expected.text.as_bytes() || changes && show != expected.show {
        ledger.wrong_texts.fetch_add(1, SeqCst);
    }
    let value = |long, compact| header(head, long, compact).map(address).unwrap_or_default();
    if value("From", "f") != expected.xmpp.as_bytes() || value("To", "t") != expected.sip.as_bytes() {
        ledger.wrong_addresses.fetch_add(1, SeqCst);
    }
    Some((number, true))
}

/// What stands in an element, whatever attributes it has.
fn content<'a>(text: &'a [u8], start: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    let element = between(text, start, end)?;
    Some(&element[memchr::memchr(b'>', element)? + 1..])
}

/// The NOTIFY that a SUBSCRIBE in a dialog is followed by.
fn notify(shared: &Shared, head: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = |bytes| String::from_utf8_lossy(bytes);
    let value = |long, compact| header(head, long, compact).map(text);
    let (from, to, call_id) = (value("From", "f")?, value("To", "t")?, value("Call-ID", "i")?);
    let target = value("Contact", "m")?;
    let target = target.trim_start_matches('<').split('>').next()?;
    let entity = text(address(to.as_bytes())).into_owned();
    let (listen, cseq) = (shared.options.listen, shared.cseq.fetch_add(1, SeqCst));
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{entity}'>\
         <tuple id='ID-orchard'><status><basic>open</basic></status><note>Under the balcony</note></tuple></presence>"
    );
    write!(
        out,
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{}.{cseq}\r\nMax-Forwards: 70\r\nFrom: {to}\r\nTo: {from}\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:phone@{listen}>\r\nEvent: presence\r\n\
         Subscription-State: active;expires=14400\r\nContent-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
        shared.name,
        body.len()
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_may_have_attributes() {
        let text = b"<tuple><note xml:lang='it'>ciao</note><note>x</note></tuple>";
        assert_eq!(content(text, b"<note", b"</note>"), Some(&b"ciao"[..]));
        assert_eq!(content(text, b"<show", b"</show>"), None);
    }
}
