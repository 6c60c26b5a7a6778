//! What the MUC service that the gateway plays says: XEP-0045.

use super::people::{Gone, Person};
use super::seat::{End, Occupant};
use crate::content::arrived::Text;
use crate::room::nickname::Nickname;
use base::Str;
use bodies::Timestamp;
use xml::Element;
use xmpp::error::StanzaError;
use xmpp::ext::delay::Delay;
use xmpp::ext::muc::{Actor, Affiliation, Invite, Item, Join, Role, User, status};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

fn presence(seat: &Occupant, nick: &Nickname) -> Stanza {
    Stanza::presence().with_from(seat.address(nick)).with_to(seat.user.clone())
}

fn item(person: &Person) -> Item {
    Item { jid: person.jid.clone(), ..Item::new(person.affiliation, person.role) }
}

fn out() -> Item {
    Item::new(Affiliation::None, Role::None)
}

fn actor(gone: &Gone) -> Option<Actor> {
    gone.by.as_ref().map(|nick| Actor { jid: None, nick: Some(Str::from(nick.as_str())) })
}

/// Somebody is in the room: §7.2.2, with the real address where the room shows it (§7.2.3).
pub(super) fn there(seat: &Occupant, person: &Person) -> Stanza {
    presence(seat, &person.nick).with_child(User::of_item(item(person)).to_element())
}

/// The user is in the room: §7.2.2. `assigned`: not under the nickname that was asked for.
pub(super) fn own(seat: &Occupant, assigned: bool) -> Stanza {
    let mut user = User::of_item(own_item(seat));
    // §7.2.3: to be known before anything is said.
    if seat.people.me().is_some_and(|me| me.jid.is_some()) {
        user = user.with_status(status::NON_ANONYMOUS);
    }
    user = user.with_status(status::SELF_PRESENCE);
    if assigned {
        user = user.with_status(status::NICK_ASSIGNED);
    }
    presence(seat, seat.people.nick()).with_child(user.to_element())
}

fn own_item(seat: &Occupant) -> Item {
    let plain = || Item::new(Affiliation::None, Role::Participant);
    Item { jid: Some(seat.user.clone()), ..seat.people.me().map_or_else(plain, item) }
}

/// Somebody has gone: §7.14, or was thrown out (§8.2).
pub(super) fn left(seat: &Occupant, nick: &Nickname, gone: &Gone) -> Stanza {
    let mut user = User::of_item(Item { actor: actor(gone), reason: gone.reason.clone(), ..out() });
    if gone.kicked {
        user = user.with_status(status::KICKED);
    }
    presence(seat, nick).with_type("unavailable").with_child(user.to_element())
}

/// Somebody has another nickname: the first of the two presences of §7.6.
pub(super) fn renamed(seat: &Occupant, old: &Nickname, person: &Person) -> Stanza {
    let item = Item { nick: Some(Str::from(person.nick.as_str())), ..item(person) };
    let user = User::of_item(item).with_status(status::NICK_CHANGED);
    presence(seat, old).with_type("unavailable").with_child(user.to_element())
}

/// The same for the user, who is not called `old` any more.
pub(super) fn own_renamed(seat: &Occupant, old: &Nickname) -> Stanza {
    let item = Item { nick: Some(Str::from(seat.people.nick().as_str())), ..own_item(seat) };
    let user = User::of_item(item).with_status(status::NICK_CHANGED).with_status(status::SELF_PRESENCE);
    presence(seat, old).with_type("unavailable").with_child(user.to_element())
}

/// The user is out of the room. `None` where the user was never in it: then the join is refused.
pub(super) fn end(seat: &Occupant, end: &End) -> Stanza {
    let mut user = User::of_item(out());
    let mut words = Vec::new();
    match end {
        End::Left(said) => words.clone_from(said),
        End::Refused(error) => return refused(&seat.join, &seat.room, error),
        End::Kicked(gone) => {
            if let Some(item) = user.items.first_mut() {
                item.reason.clone_from(&gone.reason);
                item.actor = actor(gone);
            }
        }
        End::Destroyed(destroy) => user.destroy = Some(destroy.clone()),
        End::Lost | End::Shutdown => {}
    }
    user = user.with_status(status::SELF_PRESENCE);
    match end {
        End::Kicked(_) => user = user.with_status(status::KICKED),
        End::Lost => user = user.with_status(status::TECHNICAL),
        End::Shutdown => user = user.with_status(status::SHUTDOWN),
        End::Left(_) | End::Refused(_) | End::Destroyed(_) => {}
    }
    let mut stanza = presence(seat, seat.people.nick()).with_type("unavailable");
    words.into_iter().for_each(|e| stanza.push(e));
    stanza.with_child(user.to_element())
}

/// Whoever is in no room learns so.
pub(super) fn stranger(occupant: &Jid, user: &Jid) -> Stanza {
    let out = User::of_item(out());
    let out = out.with_status(status::SELF_PRESENCE).with_status(status::TECHNICAL);
    let stanza = Stanza::presence().with_from(occupant.clone()).with_to(user.clone()).with_type("unavailable");
    stanza.with_child(out.to_element())
}

/// A presence to the room is refused: §7.2.8 and the like. The error says who speaks.
pub(super) fn refused(presence: &Stanza, room: &Jid, error: &StanzaError) -> Stanza {
    let error = StanzaError { by: Some(room.clone()), ..error.clone() };
    let mut stanza = presence.error(&error).unwrap_or_else(Stanza::presence);
    stanza.children.insert(0, xml::Node::Element(Join::default().to_element()));
    stanza
}

/// The room's subject: §7.2.15. Who has set it is not known.
pub(super) fn subject(seat: &Occupant, id: &str) -> Stanza {
    let subject = Element::new("subject", ns::CLIENT).with_text(seat.subject.as_deref().unwrap_or_default());
    let stanza = Stanza::message().with_type("groupchat").with_from(seat.room.clone()).with_to(seat.user.clone());
    stanza.with_id(id).with_child(subject)
}

/// What the user has said, as all in the room hear it: RFC 7702 Example 15, with the id that it had. What only the room can vouch for goes.
pub(super) fn reflection(seat: &Occupant, stanza: &Stanza) -> Stanza {
    let mut reflection = stanza.clone();
    (reflection.from, reflection.to) = (Some(seat.own()), Some(seat.user.clone()));
    let forged = |e: &Element| {
        let by_room = || e.attr("by").and_then(|by| Jid::parse(by).ok()).is_some_and(|by| by == seat.room);
        e.is("stanza-id", ns::STANZA_ID) && by_room() || e.is("occupant-id", ns::OCCUPANT_ID) || e.ns == ns::MUC_USER
    };
    reflection.children.retain(|node| node.as_element().is_none_or(|e| !forged(e)));
    reflection
}

/// What somebody in the room says, to all or to the user alone. `from`: none speaks for the room itself. `None` if it says nothing.
pub(super) fn message(
    seat: &Occupant,
    from: Option<&Nickname>,
    text: &Text,
    private: bool,
    past: Option<Timestamp>,
    id: &str,
) -> Option<Stanza> {
    let from = from.map_or_else(|| seat.room.clone(), |nick| seat.address(nick));
    let type_ = if private { "chat" } else { "groupchat" };
    let mut stanza = Stanza::message().with_type(type_).with_from(from).with_to(seat.user.clone()).with_id(id);
    // What a room is about only the focus says: a subject of a message is said.
    let mut text = text.clone();
    text.receipt = None;
    if let Some(subject) = text.subject.take() {
        match text.bodies.first_mut().filter(|(_, body)| !body.is_empty()) {
            Some((_, body)) => body.insert_str(0, &format!("{subject}\n\n")),
            None => text.bodies.push((None, subject)),
        }
        text.html = None;
    }
    if !text.fill(&mut stanza, None, None, None) {
        return None;
    }
    if private {
        // §7.5: so that it is known for what it is.
        stanza.push(User::default().to_element());
    }
    if let Some(past) = past {
        let stamp = base::format_compact!("{past}");
        stanza.push(Delay { stamp, from: Some(seat.room.clone()), reason: None }.to_element());
    }
    Some(stanza)
}

/// An invitation through the room: §7.8.2.
pub(super) fn invitation(room: &Jid, to: &Jid, by: Option<&Jid>, reason: Option<String>, id: &str) -> Stanza {
    let invite = Invite { from: Some(by.unwrap_or(room).clone()), reason, ..Invite::default() };
    let user = User { invites: vec![invite], ..User::default() };
    Stanza::message().with_from(room.clone()).with_to(to.clone()).with_id(id).with_child(user.to_element())
}
