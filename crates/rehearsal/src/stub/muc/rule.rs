//! What moderators, admins and owners want of a room.

use super::room::Room;
use super::{Desk, Options};
use base::Str;
use xml::Element;
use xmpp::error::Condition;
use xmpp::ext::moderation::{Moderate, Moderated, Retraction};
use xmpp::ext::muc::{Actor, Admin, Affiliation, Destroy, Item, Owner, Role, User, status};
use xmpp::ext::stanza_id::StanzaId;
use xmpp::jid::Jid;
use xmpp::ns;

type Answer = Result<Option<Element>, Condition>;

impl Room {
    /// A list is asked for: of an affiliation or a role (§8, §9).
    pub(super) fn list(&self, from: &Jid, query: &Admin) -> Answer {
        let [item] = query.items.as_slice() else { return Err(Condition::BadRequest) };
        let people = || self.occupants.iter();
        let items: Vec<Item> = match (item.affiliation, item.role) {
            (Some(affiliation), None) => {
                let least = if affiliation > Affiliation::Member { Affiliation::Owner } else { Affiliation::Admin };
                if self.affiliation(from) < least {
                    return Err(Condition::Forbidden);
                }
                let of_it = self.affiliations.iter().filter(|(_, a)| **a == affiliation);
                let item =
                    |jid: &Jid| Item { jid: Some(jid.clone()), affiliation: Some(affiliation), ..Item::default() };
                of_it.map(|(jid, _)| item(jid)).collect()
            }
            (None, Some(role)) => {
                if self.role_of(from) != Role::Moderator {
                    return Err(Condition::Forbidden);
                }
                let item = |(nick, o): (&Str, &super::people::Occupant)| Item {
                    nick: Some(nick.clone()),
                    jid: o.sessions.last().map(|s| s.jid.clone()),
                    ..self.standing(o)
                };
                people().filter(|(_, o)| o.role == role).map(item).collect()
            }
            (Some(_), Some(_)) | (None, None) => return Err(Condition::BadRequest),
        };
        Ok(Some(Admin { items }.to_element()))
    }

    /// Roles and affiliations are to change: all that is asked for, or nothing.
    pub(super) fn change(&mut self, desk: &mut Desk, options: &Options, from: &Jid, query: &Admin) -> Answer {
        for item in &query.items {
            match (item.role, item.affiliation, &item.nick, &item.jid) {
                (Some(role), None, Some(nick), _) => self.may_set_role(from, nick, role)?,
                (None, Some(affiliation), _, Some(jid)) => self.may_affiliate(from, jid, affiliation)?,
                (_, _, _, _) => return Err(Condition::BadRequest),
            }
        }
        let actor = self.nicks.get(from).map(|nick| Actor { jid: None, nick: Some(nick.clone()) });
        for item in &query.items {
            let told = Item { actor: actor.clone(), reason: item.reason.clone(), ..Item::default() };
            match (item.role, item.affiliation, &item.nick, &item.jid) {
                (Some(Role::None), _, Some(nick), _) => {
                    self.throw_out(desk, options, nick, &told, &[status::KICKED]);
                }
                (Some(role), _, Some(nick), _) => self.set_role(desk, options, nick, role, &told),
                (None, Some(affiliation), _, Some(jid)) => {
                    self.set_affiliation(desk, options, &jid.bare(), affiliation, &told);
                }
                (_, _, _, _) => {}
            }
        }
        Ok(None)
    }

    /// §8.2 to §8.5, §9.6, §9.7.
    fn may_set_role(&self, from: &Jid, nick: &str, role: Role) -> Result<(), Condition> {
        let own = self.affiliation(from);
        if self.role_of(from) != Role::Moderator {
            return Err(Condition::Forbidden);
        }
        let other = self.occupants.get(nick).ok_or(Condition::ItemNotFound)?;
        let theirs = self.affiliation(&other.bare);
        match role {
            Role::Moderator if own < Affiliation::Admin => Err(Condition::Forbidden),
            Role::Moderator => Ok(()),
            // Nobody does that to those above him, or to admins at all, whom their affiliation makes moderators.
            Role::None if theirs > own => Err(Condition::NotAllowed),
            Role::None => Ok(()),
            Role::Visitor | Role::Participant if theirs >= Affiliation::Admin => Err(Condition::NotAllowed),
            Role::Visitor | Role::Participant if other.role == Role::Moderator && own < Affiliation::Admin => {
                Err(Condition::NotAllowed)
            }
            Role::Visitor | Role::Participant => Ok(()),
        }
    }

    /// §9.1 to §9.5, §10.3 to §10.8.
    fn may_affiliate(&self, from: &Jid, jid: &Jid, affiliation: Affiliation) -> Result<(), Condition> {
        let own = self.affiliation(from);
        let theirs = self.affiliation(jid);
        if own < Affiliation::Admin {
            return Err(Condition::Forbidden);
        }
        if theirs.max(affiliation) > Affiliation::Member && own < Affiliation::Owner {
            return Err(Condition::NotAllowed);
        }
        let owners = self.affiliations.values().filter(|a| **a == Affiliation::Owner).count();
        if theirs == Affiliation::Owner && affiliation != Affiliation::Owner && owners == 1 {
            // §10.5: a room is somebody's.
            return Err(Condition::Conflict);
        }
        Ok(())
    }

    fn set_role(&mut self, desk: &mut Desk, options: &Options, nick: &str, role: Role, told: &Item) {
        let Some(occupant) = self.occupants.get_mut(nick) else { return };
        occupant.role = role;
        let Some(occupant) = self.occupants.get(nick) else { return };
        let item = Item { actor: told.actor.clone(), reason: told.reason.clone(), ..self.standing(occupant) };
        let children = super::enter::shown(occupant);
        self.broadcast(desk, options, (nick, occupant), None, &User::of_item(item), &children);
    }

    fn set_affiliation(
        &mut self,
        desk: &mut Desk,
        options: &Options,
        bare: &Jid,
        affiliation: Affiliation,
        told: &Item,
    ) {
        let before = self.affiliation(bare);
        self.affiliate(bare.clone(), affiliation);
        let nicks: Vec<Str> =
            self.occupants.iter().filter(|(_, o)| o.bare == *bare).map(|(nick, _)| nick.clone()).collect();
        for nick in nicks {
            if affiliation == Affiliation::Outcast {
                self.throw_out(desk, options, &nick, told, &[status::BANNED]);
            } else if self.settings.members_only && affiliation < Affiliation::Member {
                self.throw_out(desk, options, &nick, told, &[status::AFFILIATION_LOST]);
            } else if affiliation != before {
                self.set_role(desk, options, &nick, self.first_role(bare), told);
            }
        }
    }

    /// §10.2: the form is filled in, or cancelled.
    pub(super) fn configure(&mut self, desk: &mut Desk, options: &Options, form: &Element) -> Answer {
        match form.attr("type") {
            Some("cancel") => {
                self.destroyed = self.locked;
                return Ok(None);
            }
            Some("submit") => {}
            Some(_) | None => return Err(Condition::BadRequest),
        }
        let new = self.settings.filled_in(form);
        let codes = self.settings.changes(&new);
        self.settings = new;
        self.locked = false;
        if self.settings.members_only {
            let strangers: Vec<Str> =
                self.people().into_iter().filter(|p| p.affiliation < Affiliation::Member).map(|p| p.nick).collect();
            for nick in strangers {
                self.throw_out(desk, options, &nick, &Item::default(), &[status::MEMBERS_ONLY]);
            }
        }
        if !codes.is_empty() {
            self.announce(desk, User { statuses: codes, ..User::default() }.to_element());
        }
        Ok(None)
    }

    /// §10.9.
    pub(super) fn destroy(&mut self, desk: &mut Desk, options: &Options, destroy: Destroy) -> Answer {
        self.destroyed = true;
        self.clear(desk, options, &User { destroy: Some(destroy), ..User::default() });
        Ok(None)
    }

    /// What an owner wants.
    pub(super) fn own(&mut self, desk: &mut Desk, options: &Options, from: &Jid, get: bool, query: Owner) -> Answer {
        if self.affiliation(from) != Affiliation::Owner {
            return Err(Condition::Forbidden);
        }
        match query {
            Owner::Ask if get => Ok(Some(self.settings.form().to_element())),
            Owner::Form(form) if !get => self.configure(desk, options, &form),
            Owner::Destroy(wish) if !get => self.destroy(desk, options, wish),
            Owner::Ask | Owner::Form(_) | Owner::Destroy(_) => Err(Condition::BadRequest),
        }
    }

    /// XEP-0425 §3.
    pub(super) fn moderate(&mut self, desk: &mut Desk, payload: &Element, from: &Jid) -> Answer {
        let (wish, version) = Moderate::parse(payload).ok_or(Condition::BadRequest)?;
        let by = match self.occupant_of(from) {
            Some((nick, occupant)) if occupant.role == Role::Moderator => self.address(&nick),
            Some(_) | None => return Err(Condition::Forbidden),
        };
        let is_it =
            |message: &xmpp::stanza::Stanza| StanzaId::of(message, &self.jid).is_some_and(|id| id.id == wish.id);
        let at = self.history.iter().position(is_it).ok_or(Condition::ItemNotFound)?;
        self.history.remove(at);
        let retraction = Retraction { id: wish.id, moderated: Some(Moderated { by: Some(by) }), reason: wish.reason };
        self.announce(desk, retraction.to_element(version));
        Ok(None)
    }

    /// Whether an iq's payload is a moderator's wish.
    pub(super) fn is_moderation(payload: &Element) -> bool {
        payload.is("moderate", ns::MODERATE) || payload.is("apply-to", ns::FASTEN)
    }
}
