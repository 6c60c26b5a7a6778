//! The XMPP side: a server whose users are there, and who says nothing to the gateway about them that they have not approved.

use super::run::Shared;
use crate::bytes::{attribute, bare};
use crate::xmpp::{failed, pong};
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;

/// A stanza of the gateway's.
pub(super) fn came(shared: &Shared, stanza: &[u8], answers: &mut Vec<u8>) {
    let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
    let value = |name| attribute(tag, name).unwrap_or_default();
    let (from, to, id) = (value("from"), value("to"), value("id"));
    match (&stanza[1..3], value("type")) {
        (b"iq", b"get" | b"set") => return pong(from, to, id, answers),
        (b"pr", b"probe") => probed(shared, from, to, answers),
        (b"pr", b"error") => failed(&shared.changes, &shared.name, stanza, id, shared.now()),
        (b"me", b"error") => failed(&shared.messages, &shared.name, stanza, id, shared.now()),
        _ => {}
    }
    shared.active.store(shared.now(), SeqCst);
}

/// RFC 6121 §4.3.2: a user whom the contact has approved is told of every resource, all others that they are not approved.
fn probed(shared: &Shared, from: &[u8], to: &[u8], answers: &mut Vec<u8>) {
    let (from, to) = (String::from_utf8_lossy(bare(from)), String::from_utf8_lossy(bare(to)));
    // Writing to a vector cannot fail.
    let _ = if from.contains('@') {
        shared.counts.probes.fetch_add(1, SeqCst);
        write!(
            answers,
            "<presence from='{to}/balcony' to='{from}'><show>away</show><status>I'll be back before morning</status>\
             <priority>5</priority></presence>"
        )
    } else {
        shared.counts.sessions.fetch_add(1, SeqCst);
        write!(answers, "<presence type='unsubscribed' from='{to}' to='{from}'/>")
    };
}
