//! The XMPP side: a server with a MUC service (XEP-0045), as far as places need one. Its XMPP users sit in the rooms from the start.

use super::cast::Cast;
use super::run::Shared;
use crate::bytes::{attribute, between, escape, hash, unescape};

use crate::options::Way;
use crate::run::lock;
use crate::xmpp::pong;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;

/// The rooms.
#[derive(Debug)]
pub(super) struct Rooms(Vec<Mutex<Room>>);

/// What a room knows of the SIP users that may come.
#[derive(Debug)]
struct Room {
    /// Their full addresses, as long as they are here.
    devices: Vec<Option<String>>,
    /// How many texts were multiplied.
    turn: u32,
}

impl Rooms {
    pub(super) fn new(cast: &Cast) -> Rooms {
        let room = || Mutex::new(Room { devices: vec![None; cast.sip], turn: 0 });
        Rooms((0..cast.rooms).map(|_| room()).collect())
    }
}

/// A stanza of the gateway's.
pub(super) fn came(shared: &Shared, stanza: &[u8], answers: &mut Vec<u8>) {
    let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
    let value = |name| attribute(tag, name).unwrap_or_default();
    let (from, to, id) = (value("from"), value("to"), value("id"));
    match (&stanza[1..3], value("type")) {
        (b"iq", b"get" | b"set") => pong(from, to, id, answers),
        (b"pr", b"") => entered(shared, from, to, answers),
        (b"pr", b"unavailable") => left(shared, from, to, answers),
        (b"me", b"groupchat") => said(shared, stanza, tag, (from, to), answers),
        (b"me", b"error") => {
            let place = shared.cast.place_of(from);
            if let (Some(place), Some((phase, text))) = (place, shared.cast.of_id(id)) {
                shared.refused_copy(phase, text, place, crate::xmpp::condition(stanza));
            }
        }
        _ => drop(shared.counts.strange.fetch_add(1, SeqCst)),
    }
}

/// The room, the user's place and who he is there.
fn place(shared: &Shared, from: &[u8], to: &[u8]) -> Option<(usize, usize)> {
    let (room, place) = (shared.cast.room_of(to)?, shared.cast.place_of(from)?);
    (place / shared.cast.sip == room).then_some((room, place % shared.cast.sip))
}

/// Somebody enters: he is shown who is there, himself at last, and the subject; and he is shown to the others (§7.2).
fn entered(shared: &Shared, from: &[u8], to: &[u8], out: &mut Vec<u8>) {
    let cast = &shared.cast;
    let Some((number, who)) = place(shared, from, to) else {
        shared.counts.strange.fetch_add(1, SeqCst);
        return;
    };
    let device = String::from_utf8_lossy(from).into_owned();
    let mut room = lock(&shared.rooms.0[number]);
    for other in (0..cast.people()).filter(|other| *other != who) {
        if room.devices.get(other).is_none_or(Option::is_some) {
            presence(cast, number, other, &device, "", out);
        }
    }
    presence(cast, number, who, &device, "<status code='110'/>", out);
    let name = cast.room(number);
    // Writing to a vector cannot fail.
    let _ = write!(out, "<message from='{name}' to='{device}' type='groupchat'><subject/></message>");
    for other in room.devices.iter().flatten().filter(|other| **other != device) {
        presence(cast, number, who, other, "", out);
    }
    room.devices[who] = Some(device);
}

/// Somebody leaves (§7.14).
fn left(shared: &Shared, from: &[u8], to: &[u8], out: &mut Vec<u8>) {
    let Some((number, who)) = place(shared, from, to) else { return };
    let mut room = lock(&shared.rooms.0[number]);
    let Some(device) = room.devices[who].take() else { return };
    let (name, nick) = (shared.cast.room(number), shared.cast.nick(number, who));
    for to in std::iter::once(&device).chain(room.devices.iter().flatten()) {
        let own = if *to == device { "<status code='110'/>" } else { "" };
        let _ = write!(
            out,
            "<presence from='{name}/{nick}' to='{to}' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>\
             <item affiliation='none' role='none'/>{own}</x></presence>"
        );
    }
}

fn presence(cast: &Cast, room: usize, who: usize, to: &str, status: &str, out: &mut Vec<u8>) {
    let (name, nick) = (cast.room(room), cast.nick(room, who));
    let occupant = occupant_id(&nick);
    let _ = write!(
        out,
        "<presence from='{name}/{nick}' to='{to}'><x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='none' role='participant'/>{status}</x><occupant-id xmlns='urn:xmpp:occupant-id:0' id='{occupant}'/></presence>"
    );
}

/// A SIP user has said something: it has come to the room, which shows it to all SIP users, the speaker among them.
fn said(shared: &Shared, stanza: &[u8], tag: &[u8], (from, to): (&[u8], &[u8]), out: &mut Vec<u8>) {
    let words = between(stanza, b"<body>", b"</body>").map(unescape).unwrap_or_default();
    let (Some((phase, text)), Some((number, who))) = (shared.cast.of_text(&words), place(shared, from, to)) else {
        shared.counts.strange.fetch_add(1, SeqCst);
        return;
    };
    let Some(talk) = shared.talk(phase) else { return };
    let wrong = talk.way != Way::SipToXmpp || shared.cast.speaker(talk.way, text) != (number, who);
    talk.delivered(shared, talk.first(shared, text), text, &words, wrong);
    let inner = &stanza[tag.len() + 1..stanza.len() - "</message>".len()];
    let id = String::from_utf8_lossy(attribute(tag, "id").unwrap_or_default()).into_owned();
    multiply(shared, &talk, text, (number, who), (&id, inner), out);
}

/// An XMPP user says something.
pub(super) fn speak(shared: &Shared, talk: &super::talk::Talk, text: usize, out: &mut Vec<u8>) {
    let speaker = shared.cast.speaker(talk.way, text);
    let mut inner = Vec::with_capacity(128);
    inner.extend_from_slice(b"<body>");
    escape(shared.cast.text(talk.phase, text).as_bytes(), &mut inner);
    inner.extend_from_slice(b"</body>");
    multiply(shared, talk, text, speaker, (&shared.cast.id(talk.phase, text), &inner), out);
}

/// A copy for each SIP user, one behind the other as a service writes them. What the XMPP users get does not concern the gateway.
fn multiply(
    shared: &Shared,
    talk: &super::talk::Talk,
    text: usize,
    (number, who): (usize, usize),
    (id, inner): (&str, &[u8]),
    out: &mut Vec<u8>,
) {
    let (name, nick) = (shared.cast.room(number), shared.cast.nick(number, who));
    let occupant = occupant_id(&nick);
    let mut room = lock(&shared.rooms.0[number]);
    room.turn += 1;
    talk.turn[text].store(room.turn, SeqCst);
    for device in room.devices.iter().flatten() {
        let _ = write!(out, "<message from='{name}/{nick}' to='{device}' type='groupchat' id='{id}'>");
        out.extend_from_slice(inner);
        let _ = write!(
            out,
            "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{occupant}'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='{id}.{}' by='{name}'/></message>",
            room.turn
        );
    }
}

/// As long as those of the services in use (XEP-0421).
fn occupant_id(nick: &str) -> String {
    format!("{:08x}", hash(nick.as_bytes())).repeat(5)
}
