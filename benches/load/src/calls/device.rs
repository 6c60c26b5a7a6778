//! The XMPP side: a server whose users have one device each, which calls and takes calls by proposals (XEP-0353) and Jingle.

use super::cast::Said;
use super::run::Shared;
use super::said::Voice;
use crate::bytes::{attribute, find};
use crate::ledger::{ACCEPTED, DELIVERED, settled_from_sip};
use crate::xmpp::{condition, pong};
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;

/// A stanza of the gateway's.
pub(super) fn came(shared: &Shared, stanza: &[u8], answers: &mut Vec<u8>) {
    let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
    let value = |name| attribute(tag, name).unwrap_or_default();
    let (from, to, id) = (value("from"), value("to"), value("id"));
    match (&stanza[1..3], value("type")) {
        (b"iq", b"set") => {
            pong(from, to, id, answers);
            requested(shared, stanza, from, to, answers);
        }
        (b"iq", b"get") => pong(from, to, id, answers),
        (b"iq", b"result") => {
            if let Some((Said::Terminate, call)) = shared.cast.of_id(id) {
                shared.mark(&shared.ended, call, ACCEPTED);
            }
        }
        (_, b"error") => {
            if let Some((said, call)) = shared.cast.of_id(id) {
                let ledger = if said == Said::Terminate { &shared.ended } else { &shared.begun };
                shared.refused(ledger, call, condition(stanza));
            }
        }
        (b"me", _) => proposed(shared, stanza, from, to, answers),
        _ => {}
    }
}

/// The element of that name: its call, by the attribute that names the session.
fn call_of<'a>(shared: &Shared, stanza: &'a [u8], element: &[u8], name: &str) -> Option<(usize, &'a [u8])> {
    let rest = &stanza[find(stanza, element)?..];
    let tag = &rest[..memchr::memchr(b'>', rest)?];
    Some((shared.cast.of_sid(attribute(tag, name)?)?, tag))
}

/// A message: of a proposal.
fn proposed(shared: &Shared, stanza: &[u8], from: &[u8], to: &[u8], answers: &mut Vec<u8>) {
    let from = String::from_utf8_lossy(from);
    if let Some((call, _)) = call_of(shared, stanza, b"<propose ", "id") {
        if to != shared.cast.xmpp(call).as_bytes() {
            shared.begun.wrong_addresses.fetch_add(1, SeqCst);
        }
        let (device, sid) = (shared.cast.device(call), shared.cast.sid(call));
        for said in ["ringing", "proceed"] {
            // Writing to a vector cannot fail.
            let _ = write!(
                answers,
                "<message from='{device}' to='{from}' type='chat' id='{sid}-{said}'><{said} xmlns='urn:xmpp:jingle-message:0' id='{sid}'/>\
                 <store xmlns='urn:xmpp:hints'/></message>"
            );
        }
    } else if let Some((call, _)) = call_of(shared, stanza, b"<proceed ", "id") {
        let (device, sid) = (shared.cast.device(call), shared.cast.sid(call));
        shared.leg(call).peer = from.clone().into_owned();
        let content = shared.voice(call, false).content("0");
        let id = shared.cast.id(Said::Initiate, call);
        let _ = write!(
            answers,
            "<iq from='{device}' to='{from}' id='{id}' type='set'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' \
             initiator='{device}' sid='{sid}'>{content}</jingle></iq>"
        );
    } else if find(stanza, b"<finish").is_some() {
        shared.counts.finished.fetch_add(1, SeqCst);
    } else if let Some((call, _)) =
        ["<reject ", "<retract "].iter().find_map(|e| call_of(shared, stanza, e.as_bytes(), "id"))
    {
        shared.refused(&shared.begun, call, "rejected".to_owned());
    }
}

/// A request of Jingle's, which is acknowledged already.
fn requested(shared: &Shared, stanza: &[u8], from: &[u8], to: &[u8], answers: &mut Vec<u8>) {
    let Some((call, tag)) = call_of(shared, stanza, b"<jingle ", "sid") else {
        shared.counts.strange.fetch_add(1, SeqCst);
        return;
    };
    let compare = |voice: Voice| {
        if find(stanza, voice.mark().as_bytes()).is_none() {
            shared.begun.wrong_texts.fetch_add(1, SeqCst);
        }
        if to != shared.cast.device(call).as_bytes() || shared.cast.of_sip(from) != Some(call) {
            shared.begun.wrong_addresses.fetch_add(1, SeqCst);
        }
    };
    match attribute(tag, "action").unwrap_or_default() {
        b"session-initiate" => {
            compare(shared.voice(call, false));
            let (device, sid) = (shared.cast.device(call), shared.cast.sid(call));
            let name = find(stanza, b"<content ").and_then(|at| attribute(&stanza[at..], "name")).unwrap_or_default();
            let content = shared.voice(call, true).content(&String::from_utf8_lossy(name));
            let (from, id) = (String::from_utf8_lossy(from), shared.cast.id(Said::Accept, call));
            shared.leg(call).peer = from.clone().into_owned();
            let _ = write!(
                answers,
                "<iq from='{device}' to='{from}' id='{id}' type='set'><jingle xmlns='urn:xmpp:jingle:1' action='session-accept' \
                 responder='{device}' sid='{sid}'>{content}</jingle></iq>"
            );
        }
        b"session-accept" => {
            compare(shared.voice(call, true));
            if !shared.mark(&shared.begun, call, DELIVERED) {
                shared.begun.duplicates.fetch_add(1, SeqCst);
            }
        }
        b"session-terminate" if shared.begun.marks[call].load(SeqCst) & DELIVERED == 0 => {
            shared.refused(&shared.begun, call, condition_of_end(stanza));
        }
        b"session-terminate" if shared.hangs_up(call, true) => drop(shared.mark(&shared.ended, call, DELIVERED)),
        b"session-info" if find(stanza, b"<ringing").is_some() => drop(shared.counts.rung.fetch_add(1, SeqCst)),
        // Whether we still know of the session.
        b"session-info" => {}
        _ => drop(shared.counts.strange.fetch_add(1, SeqCst)),
    }
}

/// The reason of a session-terminate.
fn condition_of_end(stanza: &[u8]) -> String {
    let rest = find(stanza, b"<reason>").map_or(&b""[..], |at| &stanza[at + 9..]);
    let end = rest.iter().position(|b| !b.is_ascii_lowercase() && *b != b'-').unwrap_or(0);
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

/// An XMPP user wants to call.
pub(super) fn propose(shared: &Shared, call: usize, out: &mut Vec<u8>) {
    let cast = &shared.cast;
    let (device, sip, sid, id) = (cast.device(call), cast.sip(call), cast.sid(call), cast.id(Said::Propose, call));
    let _ = write!(
        out,
        "<message from='{device}' to='{sip}' type='chat' id='{id}'><propose xmlns='urn:xmpp:jingle-message:0' id='{sid}'>\
         <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose><store xmlns='urn:xmpp:hints'/></message>"
    );
}

/// An XMPP user hangs up.
pub(super) fn terminate(shared: &Shared, call: usize, out: &mut Vec<u8>) {
    let cast = &shared.cast;
    let (device, peer, sid, id) =
        (cast.device(call), shared.leg(call).peer.clone(), cast.sid(call), cast.id(Said::Terminate, call));
    let _ = write!(
        out,
        "<iq from='{device}' to='{peer}' id='{id}' type='set'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='{sid}'>\
         <reason><success/></reason></jingle></iq>"
    );
}

/// A call is there, or over, when both ends know.
pub(super) const SETTLING: fn(u8) -> bool = settled_from_sip;
