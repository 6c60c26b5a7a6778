//! `<x xmlns='http://jabber.org/protocol/muc#user'/>`: what rooms tell people.

use super::super::{address, element, words};
use super::{Affiliation, MAX_ITEMS, Role};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::Stanza;
use base::Str;
use xml::Element;

/// What a room says in presence and messages, and what is said to a room about invitations. An empty one marks a message as private in a
/// room (§7.5).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct User {
    /// Whom a presence is about: one item as a rule, several where one nickname is several people's or sessions'.
    pub items: Vec<Item>,
    /// What is to be known beside ([`super::status`]), in their order.
    pub statuses: Vec<u16>,
    /// Invitations: to the room, with whom to invite, or from it, with who invites.
    pub invites: Vec<Invite>,
    /// An invitation that was declined: to the room, or from it to whom had invited.
    pub decline: Option<Decline>,
    /// The room is no more.
    pub destroy: Option<Destroy>,
    /// The password that comes with an invitation.
    pub password: Option<Str>,
}

impl User {
    /// What a presence says of one occupant.
    pub fn of_item(item: Item) -> User {
        User { items: vec![item], ..User::default() }
    }

    /// Adds a status.
    #[must_use]
    pub fn with_status(mut self, code: u16) -> User {
        self.statuses.push(code);
        self
    }

    /// Whether it has this status.
    pub fn has(&self, code: u16) -> bool {
        self.statuses.contains(&code)
    }

    /// The first item.
    pub fn item(&self) -> Option<&Item> {
        self.items.first()
    }

    /// Reads it.
    pub fn parse(e: &Element) -> Option<User> {
        if !e.is("x", ns::MUC_USER) {
            return None;
        }
        let mut user = User::default();
        for child in e.elements().filter(|c| c.ns == ns::MUC_USER) {
            match child.name.as_str() {
                "item" if user.items.len() < MAX_ITEMS => user.items.push(Item::read(child, ns::MUC_USER)),
                "status" if user.statuses.len() < MAX_ITEMS => {
                    user.statuses.extend(child.attr("code").and_then(|c| c.parse::<u16>().ok()));
                }
                "invite" if user.invites.len() < MAX_ITEMS => user.invites.push(Invite::read(child)),
                "decline" => user.decline = Some(Decline::read(child)),
                "destroy" => user.destroy = Some(Destroy::read(child, ns::MUC_USER)),
                "password" => user.password = Some(child.text().into()),
                _ => {}
            }
        }
        Some(user)
    }

    /// What a stanza says of it.
    pub fn of(stanza: &Stanza) -> Option<User> {
        stanza.elements().find_map(User::parse)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("x", ns::MUC_USER);
        self.invites.iter().for_each(|invite| e.push(invite.to_element()));
        self.decline.iter().for_each(|decline| e.push(decline.to_element()));
        self.items.iter().for_each(|item| e.push(item.to_element(ns::MUC_USER)));
        self.destroy.iter().for_each(|destroy| e.push(destroy.to_element(ns::MUC_USER)));
        if let Some(password) = &self.password {
            e.push(element("password", ns::MUC_USER).with_text(password));
        }
        for code in &self.statuses {
            e.push(element("status", ns::MUC_USER).with_attr("code", base::format_compact!("{code}")));
        }
        e
    }
}

/// Somebody in a room, or on one of its lists. What is not there is not told, or is not to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Item {
    /// His affiliation.
    pub affiliation: Option<Affiliation>,
    /// His role.
    pub role: Option<Role>,
    /// His real address: full in presence, bare in lists.
    pub jid: Option<Jid>,
    /// His nickname: with status 303 the new one; in wishes to change a role, whose. As it came.
    pub nick: Option<Str>,
    /// Who did this to him.
    pub actor: Option<Actor>,
    /// Why, in words.
    pub reason: Option<String>,
    /// In a chat of two that becomes a room: that it does.
    pub continues: Option<Continue>,
}

impl Item {
    /// An occupant.
    pub fn new(affiliation: Affiliation, role: Role) -> Item {
        Item { affiliation: Some(affiliation), role: Some(role), ..Item::default() }
    }

    /// Reads one of a list in `ns`. A value that is unknown is as good as not there.
    pub(super) fn read(e: &Element, ns: &str) -> Item {
        Item {
            affiliation: e.attr("affiliation").and_then(Affiliation::from_name),
            role: e.attr("role").and_then(Role::from_name),
            jid: address(e, "jid"),
            nick: e.attr("nick").map(Str::from),
            actor: e.child("actor", ns).map(Actor::read),
            reason: reason(e, ns),
            continues: e.child("continue", ns).map(Continue::read),
        }
    }

    pub(super) fn to_element(&self, ns: &'static str) -> Element {
        let mut e = element("item", ns);
        if let Some(affiliation) = self.affiliation {
            e.set_attr("affiliation", Str::const_new(affiliation.name()));
        }
        if let Some(role) = self.role {
            e.set_attr("role", Str::const_new(role.name()));
        }
        set_address(&mut e, "jid", self.jid.as_ref());
        if let Some(nick) = &self.nick {
            e.set_attr("nick", nick.clone());
        }
        if let Some(actor) = &self.actor {
            e.push(actor.to_element(ns));
        }
        self.continues.iter().for_each(|c| e.push(c.to_element(ns)));
        push_reason(&mut e, self.reason.as_deref(), ns);
        e
    }
}

/// Who kicked, banned or changed somebody.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Actor {
    /// His real address.
    pub jid: Option<Jid>,
    /// His nickname.
    pub nick: Option<Str>,
}

impl Actor {
    fn read(e: &Element) -> Actor {
        Actor { jid: address(e, "jid"), nick: e.attr("nick").map(Str::from) }
    }

    fn to_element(&self, ns: &'static str) -> Element {
        let mut e = element("actor", ns);
        set_address(&mut e, "jid", self.jid.as_ref());
        if let Some(nick) = &self.nick {
            e.set_attr("nick", nick.clone());
        }
        e
    }
}

/// An invitation through the room (§7.8.2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Invite {
    /// Who invites: in what the room sends on. An occupant's address or a real one.
    pub from: Option<Jid>,
    /// Whom to invite: in what is sent to the room.
    pub to: Option<Jid>,
    /// Why, in words.
    pub reason: Option<String>,
    /// That the room continues a chat of two.
    pub continues: Option<Continue>,
}

impl Invite {
    fn read(e: &Element) -> Invite {
        Invite {
            from: address(e, "from"),
            to: address(e, "to"),
            reason: reason(e, ns::MUC_USER),
            continues: e.child("continue", ns::MUC_USER).map(Continue::read),
        }
    }

    fn to_element(&self) -> Element {
        let mut e = element("invite", ns::MUC_USER);
        set_address(&mut e, "from", self.from.as_ref());
        set_address(&mut e, "to", self.to.as_ref());
        push_reason(&mut e, self.reason.as_deref(), ns::MUC_USER);
        self.continues.iter().for_each(|c| e.push(c.to_element(ns::MUC_USER)));
        e
    }
}

/// An invitation is declined (§7.8.2).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Decline {
    /// Who declines: in what the room sends on.
    pub from: Option<Jid>,
    /// Who had invited: in what is sent to the room.
    pub to: Option<Jid>,
    /// Why, in words.
    pub reason: Option<String>,
}

impl Decline {
    fn read(e: &Element) -> Decline {
        Decline { from: address(e, "from"), to: address(e, "to"), reason: reason(e, ns::MUC_USER) }
    }

    fn to_element(&self) -> Element {
        let mut e = element("decline", ns::MUC_USER);
        set_address(&mut e, "from", self.from.as_ref());
        set_address(&mut e, "to", self.to.as_ref());
        push_reason(&mut e, self.reason.as_deref(), ns::MUC_USER);
        e
    }
}

/// The end of a room (§10.9).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Destroy {
    /// The room that takes its place.
    pub jid: Option<Jid>,
    /// Why, in words.
    pub reason: Option<String>,
    /// The password of the other room.
    pub password: Option<Str>,
}

impl Destroy {
    pub(super) fn read(e: &Element, ns: &str) -> Destroy {
        let password = e.child("password", ns).map(|p| Str::from(p.text()));
        Destroy { jid: address(e, "jid"), reason: reason(e, ns), password }
    }

    pub(super) fn to_element(&self, ns: &'static str) -> Element {
        let mut e = element("destroy", ns);
        set_address(&mut e, "jid", self.jid.as_ref());
        push_reason(&mut e, self.reason.as_deref(), ns);
        if let Some(password) = &self.password {
            e.push(element("password", ns).with_text(password));
        }
        e
    }
}

/// The chat of two that a room continues (§7.9).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Continue {
    /// Its thread.
    pub thread: Option<Str>,
}

impl Continue {
    fn read(e: &Element) -> Continue {
        Continue { thread: e.attr("thread").map(Str::from) }
    }

    fn to_element(&self, ns: &'static str) -> Element {
        self.thread.iter().fold(element("continue", ns), |e, thread| e.with_attr("thread", thread.clone()))
    }
}

fn reason(e: &Element, ns: &str) -> Option<String> {
    e.child("reason", ns).and_then(|r| words(&r.text()))
}

fn push_reason(e: &mut Element, reason: Option<&str>, ns: &'static str) {
    if let Some(reason) = reason {
        e.push(element("reason", ns).with_text(reason));
    }
}

fn set_address(e: &mut Element, name: &str, jid: Option<&Jid>) {
    if let Some(jid) = jid {
        e.set_attr(name, base::format_compact!("{jid}"));
    }
}
