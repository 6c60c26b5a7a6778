//! What is said in and about rooms (XEP-0045 and its kin), and the stub service that keeps them.

use crate::stub::muc::{Service, Settings};
use base::Time;
use std::collections::BTreeSet;
use std::fmt::Debug;
use stox::room::nickname::Nickname;
use xml::{Element, Limits};
use xmpp::ext::moderation::{Moderate, Retraction, Version};
use xmpp::ext::muc::{Admin, Affiliation, Join, Owner, User};
use xmpp::ext::{hats, invitation::Invitation, occupant_id::OccupantId, self_ping, stanza_id};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// Who sends: an owner, users with one device and with two, a stranger.
const USERS: [&str; 5] =
    ["otto@example.com/x", "romeo@example.com/x", "romeo@example.com/y", "juliet@example.net/x", "who@example.org/x"];

/// A document whose children are stanzas to a room, each from the next user, who may be in the room already; or any text, as a nickname.
///
/// What any view reads it writes so that it reads the same again; a nickname stays one. The service answers each in its own name, never to
/// nobody, and never an error to an error; no device is in a room twice, and no name is nobody's.
pub fn muc(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        name(text);
    }
    let Ok(document) = Element::parse(data, &Limits::default()) else { return };
    document.elements().for_each(views);
    let mut service = Service::new("muc.example.com", 1);
    service.make("den", Settings::default());
    service.affiliate("den", "otto@example.com", Affiliation::Owner);
    for (user, nick) in [(0, "Boss"), (1, "Romeo"), (2, "Romeo")] {
        let to = jid(&format!("den@muc.example.com/{nick}"));
        let join = Stanza::presence().with_to(to).with_child(Join::default().to_element());
        service.handle(Time::ZERO, join.with_from(jid(USERS[user])));
    }
    for (n, e) in document.elements().enumerate() {
        let Ok(stanza) = Stanza::from_element(e.clone(), ns::CLIENT) else { continue };
        self_ping::standing(&stanza);
        let to = stanza.to.clone().filter(|to| to.domain() == service.domain());
        let to = to.unwrap_or_else(|| jid("den@muc.example.com"));
        let stanza = stanza.with_from(jid(USERS[n % USERS.len()])).with_to(to);
        let refusable = !stanza.is_error();
        for out in service.handle(Time::from_secs(n as u64), stanza) {
            assert_eq!(out.from.as_ref().map(Jid::domain), Some("muc.example.com"), "in its own name");
            assert!(out.to.is_some(), "to somebody");
            assert!(refusable || !refuses(&out), "an error never answers an error");
            let bytes = [b"<s xmlns='jabber:client'>", out.to_bytes(ns::CLIENT).as_slice(), b"</s>"].concat();
            assert!(Element::parse(&bytes, &Limits::default()).is_ok(), "what goes out is well-formed");
        }
        for room in service.rooms() {
            let people = service.people(room);
            let sessions: Vec<&Jid> = people.iter().flat_map(|p| &p.sessions).collect();
            assert_eq!(sessions.iter().collect::<BTreeSet<_>>().len(), sessions.len(), "in a room once");
            assert!(people.iter().all(|p| !p.sessions.is_empty()), "a name is somebody's");
        }
    }
}

/// Whether a stanza is a refusal of the service's own; what it passes on may be an error of somebody else's.
fn refuses(stanza: &Stanza) -> bool {
    let own = |e: &Element| e.attr("by").is_some_and(|by| by.ends_with("muc.example.com"));
    stanza.is_error() && stanza.child("error", ns::CLIENT).is_some_and(own)
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

fn name(text: &str) {
    let Ok(nick) = Nickname::parse(text) else { return };
    assert_eq!(Nickname::parse(nick.as_str()).as_ref(), Ok(&nick));
    assert!(nick.resembles(&nick) && !nick.as_str().is_empty());
    let room = jid("den@muc.example.com");
    let occupant = room.with_resource(nick.as_str()).expect("a nickname is a resource");
    assert_eq!(occupant.resource(), Some(nick.as_str()));
    for n in [2, 9, 4_000_000_000] {
        let variant = nick.variant(n);
        assert_ne!(variant.as_str(), "", "{nick}");
        assert_eq!(Nickname::parse(variant.as_str()), Ok(variant));
    }
}

/// Reads an element, and all in it, with every view.
fn views(e: &Element) {
    same(e, Join::parse, Join::to_element);
    same(e, User::parse, User::to_element);
    same(e, Admin::parse, Admin::to_element);
    same(e, Owner::parse, Owner::to_element);
    same(e, Invitation::parse, Invitation::to_element);
    same(e, OccupantId::parse, OccupantId::to_element);
    same(e, stanza_id::StanzaId::parse, stanza_id::StanzaId::to_element);
    same(e, stanza_id::OriginId::parse, stanza_id::OriginId::to_element);
    same(e, Retraction::parse, |r: &Retraction| r.to_element(Version::One));
    // The older form has no place for why somebody takes back what is his own.
    let older = |e: &Element| Retraction::parse(e).filter(|r| r.moderated.is_some() || r.reason.is_none());
    same(e, older, |r: &Retraction| r.to_element(Version::Zero));
    for version in [Version::Zero, Version::One] {
        same(e, |e| Moderate::parse(e).map(|(m, _)| m), |m: &Moderate| m.to_element(version));
    }
    assert!(hats::parse(e).is_none_or(|hats| hats.len() <= hats::MAX_HATS));
    e.elements().for_each(views);
}

fn same<T: PartialEq + Debug>(e: &Element, parse: impl Fn(&Element) -> Option<T>, write: impl Fn(&T) -> Element) {
    let Some(read) = parse(e) else { return };
    let written = xml::write_document(&write(&read));
    let again = Element::parse(&written, &Limits { stanza_bytes: 1 << 24, ..Limits::default() });
    assert_eq!(again.ok().as_ref().and_then(parse), Some(read));
}
