//! Presence: entering, being somebody else, leaving.

use super::people::{Occupant, Session};
use super::room::Room;
use super::{Desk, Options};
use base::{Str, Time};
use xml::Node;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::delay::Delay;
use xmpp::ext::muc::{Affiliation, History, Item, Join, Role, User, status};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

impl Room {
    pub(super) fn presence(&mut self, desk: &mut Desk, options: &Options, stanza: Stanza) {
        let Some((from, to)) = stanza.from.clone().zip(stanza.to.clone()) else { return };
        match (stanza.type_.as_deref(), to.resource()) {
            (None, Some(nick)) => self.available(desk, options, &from, nick, stanza),
            (None, None) => desk.refuse(&stanza, Condition::JidMalformed),
            (Some("unavailable"), _) => self.leave(desk, options, &from, &self.carried(&stanza)),
            // What was for him did not reach him: he is gone.
            (Some("error"), _) => self.lost(desk, options, &from, &stanza),
            (Some(_), _) => {}
        }
    }

    fn available(&mut self, desk: &mut Desk, options: &Options, from: &Jid, nick: &str, stanza: Stanza) {
        let join = Join::of(&stanza);
        let Some(old) = self.nicks.get(from).cloned() else {
            return match join {
                Some(join) => self.enter(desk, options, from, nick, &join, stanza),
                // Somebody who thinks that he is in the room: it does not make him an occupant unawares.
                None => desk.refuse(&stanza, Condition::ItemNotFound),
            };
        };
        if nick != old {
            return self.rename(desk, options, from, &old, nick, stanza);
        }
        self.update(from, nick, stanza);
        let Some(occupant) = self.occupants.get(nick) else { return };
        // §7.2.1: who joins again has lost his view of the room.
        match join {
            Some(join) => self.welcome(desk, options, from, nick, &join, &[]),
            None => {
                let user = User::of_item(self.standing(occupant));
                let children = shown(occupant);
                self.broadcast(desk, options, (nick, occupant), None, &user, &children);
            }
        }
    }

    /// What a device says of itself now; it is the last that spoke.
    fn update(&mut self, from: &Jid, nick: &str, stanza: Stanza) {
        let children = self.carried(&stanza);
        if let Some(occupant) = self.occupants.get_mut(nick) {
            occupant.sessions.retain(|s| s.jid != *from);
            occupant.sessions.push(Session { jid: from.clone(), presence: Stanza { children, ..stanza } });
        }
    }

    fn enter(&mut self, desk: &mut Desk, options: &Options, from: &Jid, nick: &str, join: &Join, stanza: Stanza) {
        let affiliation = self.affiliation(from);
        let shared = self.occupants.get(nick).is_some_and(|o| o.bare == from.bare() && options.several_sessions);
        if let Err(condition) = self.may_enter(from, nick, affiliation, join, shared) {
            desk.refuse_join(&stanza, condition);
            return;
        }
        self.nicks.insert(from.clone(), nick.into());
        let role = self.first_role(from);
        let newcomer = Occupant { bare: from.bare(), role, sessions: Vec::new() };
        self.occupants.entry(nick.into()).or_insert(newcomer);
        self.update(from, nick, stanza);
        let Some(occupant) = self.occupants.get(nick) else { return };
        let mut statuses = Vec::new();
        if self.founder.take_if(|founder| founder == from).is_some() {
            statuses.push(status::CREATED);
        }
        if !shared {
            // The others are told; he himself is after he has seen them (§7.1).
            let user = User::of_item(self.standing(occupant));
            let children = shown(occupant);
            for other in self.occupants.iter().filter(|(other, _)| *other != nick).map(|(_, other)| other) {
                for session in &other.sessions {
                    self.tell(desk, options, (nick, occupant), &session.jid, None, &user, &children);
                }
            }
        }
        self.welcome(desk, options, from, nick, join, &statuses);
    }

    /// Whether somebody may come in, and if not, why not.
    fn may_enter(
        &self,
        from: &Jid,
        nick: &str,
        affiliation: Affiliation,
        join: &Join,
        shared: bool,
    ) -> Result<(), Condition> {
        let ours = affiliation >= Affiliation::Admin;
        if self.locked && affiliation != Affiliation::Owner {
            return Err(Condition::ItemNotFound);
        }
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden);
        }
        if self.settings.members_only && affiliation < Affiliation::Member {
            return Err(Condition::RegistrationRequired);
        }
        if self.settings.password.is_some()
            && self.settings.password != join.password
            && affiliation != Affiliation::Owner
        {
            return Err(Condition::NotAuthorized);
        }
        if self.settings.max_users.is_some_and(|most| self.occupants.len() >= most) && !shared && !ours {
            return Err(Condition::ServiceUnavailable);
        }
        let kept = self.reserved.get(nick).is_some_and(|whose| *whose != from.bare());
        if kept || (self.occupants.contains_key(nick) && !shared) {
            return Err(Condition::Conflict);
        }
        Ok(())
    }

    /// What one is shown on entering, in the order of §7.1.
    fn welcome(&self, desk: &mut Desk, options: &Options, to: &Jid, nick: &str, join: &Join, statuses: &[u16]) {
        for (other, occupant) in self.occupants.iter().filter(|(other, _)| *other != nick) {
            let user = User::of_item(self.standing(occupant));
            self.tell(desk, options, (other, occupant), to, None, &user, &shown(occupant));
        }
        let Some(occupant) = self.occupants.get(nick) else { return };
        let mut own = User::of_item(self.standing(occupant));
        if self.settings.non_anonymous {
            own = own.with_status(status::NON_ANONYMOUS);
        }
        own = own.with_status(status::SELF_PRESENCE);
        if self.settings.logged {
            own = own.with_status(status::LOGGED);
        }
        own.statuses.extend_from_slice(statuses);
        self.tell(desk, options, (nick, occupant), to, None, &own, &shown(occupant));
        self.show_history(desk, to, join.history.as_ref());
        let nothing = || Stanza::message().with_from(self.jid.clone()).with_child(subject(""));
        let subject = self.subject.clone().unwrap_or_else(nothing);
        desk.out.push(subject.with_to(to.clone()).with_type("groupchat"));
    }

    /// §7.2.14: of the past as much as is wanted.
    fn show_history(&self, desk: &mut Desk, to: &Jid, wanted: Option<&History>) {
        let wanted = wanted.cloned().unwrap_or_default();
        let ago = |stanza: &Stanza| stanza.elements().find_map(Delay::parse).map(|d| d.stamp).unwrap_or_default();
        let earliest = wanted
            .seconds
            .map(|seconds| desk.stamp_of(desk.now.since(Time::ZERO).as_secs().saturating_sub(seconds.into())));
        // Stamps of one form and one time zone are ordered as their letters are.
        let since = earliest.into_iter().chain(wanted.since).max();
        let late = |stanza: &&Stanza| since.as_ref().is_none_or(|since| ago(stanza) >= *since);
        let all: Vec<&Stanza> = self.history.iter().filter(late).collect();
        let most = wanted.maxstanzas.map_or(usize::MAX, |n| n as usize);
        let mut chars = wanted.maxchars.map_or(usize::MAX, |n| n as usize);
        let mut shown = Vec::new();
        for message in all.into_iter().rev().take(most) {
            let message = message.clone().with_to(to.clone());
            let Some(left) = chars.checked_sub(message.to_bytes(xmpp::ns::CLIENT).len()) else { break };
            chars = left;
            shown.push(message);
        }
        desk.out.extend(shown.into_iter().rev());
    }

    /// §7.6: another nickname.
    fn rename(&mut self, desk: &mut Desk, options: &Options, from: &Jid, old: &Str, new: &str, stanza: Stanza) {
        let kept = self.reserved.get(new).is_some_and(|whose| *whose != from.bare());
        if kept || self.occupants.contains_key(new) {
            return desk.refuse(&stanza, Condition::Conflict);
        }
        let Some(occupant) = self.occupants.get_mut(old) else { return };
        let mut moved = occupant.clone();
        moved.sessions.retain(|s| s.jid == *from);
        occupant.sessions.retain(|s| s.jid != *from);
        let gone = occupant.sessions.is_empty();
        let user = |room: &Room, nick: Option<&str>| {
            User::of_item(Item { nick: nick.map(Str::from), ..room.standing(&moved) })
        };
        let left = user(self, Some(new)).with_status(status::NICK_CHANGED);
        if gone {
            self.occupants.remove(old);
            self.broadcast(desk, options, (old, &moved), Some("unavailable"), &left, &[]);
        } else {
            // The others under the old name stay; this device goes on alone.
            let own = left.with_status(status::SELF_PRESENCE);
            self.tell(desk, options, (old, &moved), from, Some("unavailable"), &own, &[]);
            if let Some(rest) = self.occupants.get(old) {
                self.tell(desk, options, (old, rest), from, None, &User::of_item(self.standing(rest)), &shown(rest));
            }
        }
        self.nicks.insert(from.clone(), new.into());
        self.occupants.insert(new.into(), moved.clone());
        self.update(from, new, stanza);
        let Some(occupant) = self.occupants.get(new) else { return };
        let children = shown(occupant);
        self.broadcast(desk, options, (new, occupant), None, &user(self, None), &children);
    }

    fn leave(&mut self, desk: &mut Desk, options: &Options, from: &Jid, children: &[Node]) {
        let Some(nick) = self.nicks.remove(from) else { return };
        let Some(occupant) = self.occupants.get_mut(&nick) else { return };
        let mut leaving = occupant.clone();
        leaving.sessions.retain(|s| s.jid == *from);
        occupant.sessions.retain(|s| s.jid != *from);
        let last = occupant.sessions.is_empty();
        let item = Item { role: Some(Role::None), ..self.standing(&leaving) };
        let user = User::of_item(item);
        if last {
            self.occupants.remove(&nick);
            self.broadcast(desk, options, (&nick, &leaving), Some("unavailable"), &user, children);
        } else {
            let own = user.with_status(status::SELF_PRESENCE);
            self.tell(desk, options, (&nick, &leaving), from, Some("unavailable"), &own, children);
        }
    }

    /// §11.1: something for `from` came back.
    pub(super) fn lost(&mut self, desk: &mut Desk, options: &Options, from: &Jid, stanza: &Stanza) {
        let why = StanzaError::from_stanza(stanza).map(|e| e.condition);
        let Some(nick) = self.nicks.get(from).cloned() else { return };
        let Some(occupant) = self.occupants.get_mut(&nick) else { return };
        if occupant.sessions.len() > 1 {
            return self.leave(desk, options, from, &[]);
        }
        let reason = why.map(|condition| format!("Kicked: {condition}"));
        let item = Item { reason, ..Item::default() };
        self.throw_out(desk, options, &nick, &item, &[status::KICKED, status::TECHNICAL]);
    }

    /// Affiliation and role of somebody.
    pub(super) fn standing(&self, occupant: &Occupant) -> Item {
        Item::new(self.affiliation(&occupant.bare), occupant.role)
    }
}

/// What somebody says of himself, by the last of his devices that spoke.
pub(super) fn shown(occupant: &Occupant) -> Vec<Node> {
    occupant.sessions.last().map(|s| s.presence.children.clone()).unwrap_or_default()
}

pub(super) fn subject(text: &str) -> xml::Element {
    xml::Element::new("subject", xmpp::ns::CLIENT).with_text(text)
}
