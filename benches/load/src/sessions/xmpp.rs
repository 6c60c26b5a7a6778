//! The XMPP side: a server whose users talk.

use super::pairs::Kind;
use super::run::Shared;
use crate::bytes::{attribute, bare, between, escape, find, unescape};
use crate::xmpp::{condition, pong};
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;

/// A stanza of the gateway's.
pub(super) fn came(shared: &Shared, stanza: &[u8], answers: &mut Vec<u8>) {
    let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
    let value = |name| attribute(tag, name).unwrap_or_default();
    let (from, to, id) = (value("from"), value("to"), value("id"));
    match (&stanza[1..3], value("type")) {
        (b"iq", b"get" | b"set") => pong(from, to, id, answers),
        (b"me", b"error") => {
            if let Some((kind, number)) = shared.pairs.of_id(id) {
                shared.refused(kind, number, condition(stanza));
            }
        }
        (b"me", _) => match between(stanza, b"<body>", b"</body>").map(unescape) {
            Some(text) => {
                let Some((kind, number)) = shared.pairs.of_text(&text) else { return };
                let session = number % shared.pairs.sessions;
                let wrong = kind != Kind::FromPhone
                    || bare(from) != shared.pairs.sip(session).as_bytes()
                    || bare(to) != shared.pairs.xmpp(session).as_bytes();
                shared.delivered(kind, number, &text, wrong);
            }
            None if find(stanza, b"<gone").is_some() => drop(shared.counts.gone.fetch_add(1, SeqCst)),
            None => {}
        },
        _ => {}
    }
}

/// The stanza of a text in a session.
pub(super) fn stanza(shared: &Shared, kind: Kind, number: usize, out: &mut Vec<u8>) {
    let pairs = &shared.pairs;
    let session = number % pairs.sessions;
    let (xmpp, sip, id, thread) =
        (pairs.xmpp(session), pairs.sip(session), pairs.id(kind, number), pairs.thread(session));
    // Writing to a vector cannot fail.
    let _ =
        write!(out, "<message from='{xmpp}/balcony' to='{sip}' type='chat' id='{id}'><thread>{thread}</thread><body>");
    escape(pairs.text(kind, number).as_bytes(), out);
    out.extend_from_slice(b"</body></message>");
}
