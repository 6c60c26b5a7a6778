//! A room: its people, its lists, its past, and who is told what.

use super::people::{Occupant, Person};
use super::{Desk, Options, Settings};
use base::{Str, format_compact};
use std::collections::{BTreeMap, VecDeque};
use xml::{Element, Node};
use xmpp::ext::muc::{Affiliation, Item, Role, User, status};
use xmpp::ext::occupant_id::OccupantId;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) jid: Jid,
    pub(super) settings: Settings,
    /// Who made it by entering it: told so (201) when he is in.
    pub(super) founder: Option<Jid>,
    /// Only its owners can enter it.
    pub(super) locked: bool,
    /// By bare address, without those who are nothing in particular.
    pub(super) affiliations: BTreeMap<Jid, Affiliation>,
    /// Nicknames that are kept for somebody.
    pub(super) reserved: BTreeMap<Str, Jid>,
    /// By nickname.
    pub(super) occupants: BTreeMap<Str, Occupant>,
    /// The nickname of each full address in the room.
    pub(super) nicks: BTreeMap<Jid, Str>,
    /// What was said, without `to`, with its id and its delay.
    pub(super) history: VecDeque<Stanza>,
    /// The last change of the subject, likewise.
    pub(super) subject: Option<Stanza>,
    /// It has been destroyed.
    pub(super) destroyed: bool,
}

impl Room {
    pub(super) fn new(jid: Jid) -> Room {
        Room {
            jid,
            settings: Settings::default(),
            founder: None,
            locked: false,
            affiliations: BTreeMap::new(),
            reserved: BTreeMap::new(),
            occupants: BTreeMap::new(),
            nicks: BTreeMap::new(),
            history: VecDeque::new(),
            subject: None,
            destroyed: false,
        }
    }

    /// Whether it is to be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.destroyed || (self.occupants.is_empty() && (self.locked || !self.settings.persistent))
    }

    pub(super) fn affiliate(&mut self, bare: Jid, affiliation: Affiliation) {
        match affiliation {
            Affiliation::None => drop(self.affiliations.remove(&bare)),
            Affiliation::Outcast | Affiliation::Member | Affiliation::Admin | Affiliation::Owner => {
                self.affiliations.insert(bare, affiliation);
            }
        }
    }

    /// What somebody is to the room.
    pub(super) fn affiliation(&self, jid: &Jid) -> Affiliation {
        self.affiliations.get(&jid.bare()).copied().unwrap_or_default()
    }

    /// The role with which one enters (§5.1.1).
    pub(super) fn first_role(&self, jid: &Jid) -> Role {
        match self.affiliation(jid) {
            Affiliation::Owner | Affiliation::Admin => Role::Moderator,
            Affiliation::None if self.settings.moderated => Role::Visitor,
            Affiliation::None | Affiliation::Member => Role::Participant,
            Affiliation::Outcast => Role::None,
        }
    }

    /// Who somebody is in the room, by full address.
    pub(super) fn occupant_of(&self, jid: &Jid) -> Option<(Str, &Occupant)> {
        let nick = self.nicks.get(jid)?;
        Some((nick.clone(), self.occupants.get(nick)?))
    }

    /// The role of somebody, by full address; none if he is not there.
    pub(super) fn role_of(&self, jid: &Jid) -> Role {
        self.occupant_of(jid).map(|(_, occupant)| occupant.role).unwrap_or_default()
    }

    /// An occupant's address. What is in the room is always a resource.
    pub(super) fn address(&self, nick: &str) -> Jid {
        self.jid.with_resource(nick).unwrap_or_else(|_| self.jid.clone())
    }

    pub(super) fn people(&self) -> Vec<Person> {
        let person = |(nick, occupant): (&Str, &Occupant)| Person {
            nick: nick.clone(),
            sessions: occupant.sessions.iter().map(|s| s.jid.clone()).collect(),
            affiliation: self.affiliation(&occupant.bare),
            role: occupant.role,
        };
        self.occupants.iter().map(person).collect()
    }

    pub(super) fn said(&self) -> Vec<(Jid, String)> {
        let body = |message: &Stanza| {
            let body = message.child("body", ns::CLIENT).map(|b| b.text().into_owned());
            Some((message.from.clone()?, body?))
        };
        self.history.iter().filter_map(body).collect()
    }

    pub(super) fn subject(&self) -> String {
        self.subject.as_ref().and_then(xmpp::ext::muc::subject).unwrap_or_default()
    }

    /// Nobody is there any more. Whether the room is.
    pub(super) fn forget_people(&mut self) -> bool {
        self.occupants.clear();
        self.nicks.clear();
        !self.is_over()
    }

    /// Takes somebody out, with all his devices.
    pub(super) fn take_out(&mut self, nick: &str) -> Option<Occupant> {
        let occupant = self.occupants.remove(nick)?;
        for session in &occupant.sessions {
            self.nicks.remove(&session.jid);
        }
        Some(occupant)
    }

    /// Everybody is out; `user` says why.
    pub(super) fn clear(&mut self, desk: &mut Desk, options: &Options, user: &User) {
        let nicks: Vec<Str> = self.occupants.keys().cloned().collect();
        for nick in nicks {
            if let Some(occupant) = self.take_out(&nick) {
                let user = User { items: vec![Item::new(Affiliation::None, Role::None)], ..user.clone() };
                for session in &occupant.sessions {
                    let user = user.clone().with_status(status::SELF_PRESENCE);
                    self.tell(desk, options, (&nick, &occupant), &session.jid, Some("unavailable"), &user, &[]);
                }
            }
        }
    }

    /// What presence says of somebody: affiliation and role, and the address to whom may see it.
    pub(super) fn item(&self, occupant: &Occupant, viewer: &Jid, item: &Item) -> Item {
        let sees = self.settings.non_anonymous || self.role_of(viewer) == Role::Moderator;
        // §7.2.4: the full address; of several devices the last that spoke.
        let jid = occupant.sessions.last().map(|s| s.jid.clone()).filter(|_| sees);
        Item { jid, ..item.clone() }
    }

    /// Presence of `who` for `viewer`, with what `user` says.
    #[expect(clippy::too_many_arguments, reason = "each is one part of the stanza")]
    pub(super) fn tell(
        &self,
        desk: &mut Desk,
        options: &Options,
        who: (&str, &Occupant),
        viewer: &Jid,
        type_: Option<&'static str>,
        user: &User,
        children: &[Node],
    ) {
        let (nick, occupant) = who;
        let items = user.items.iter().map(|item| self.item(occupant, viewer, item)).collect();
        let mut presence = Stanza::presence().with_from(self.address(nick)).with_to(viewer.clone());
        presence.type_ = type_.map(Str::const_new);
        presence.children.extend_from_slice(children);
        self.sign(desk, options, &mut presence, &occupant.bare);
        presence.push(User { items, ..user.clone() }.to_element());
        desk.out.push(presence);
    }

    /// Presence of `who`, who is in the room or was until now, for everybody in it and himself: to his own devices with 110.
    pub(super) fn broadcast(
        &self,
        desk: &mut Desk,
        options: &Options,
        who: (&str, &Occupant),
        type_: Option<&'static str>,
        user: &User,
        children: &[Node],
    ) {
        for (_, other) in self.occupants.iter().filter(|(nick, _)| *nick != who.0) {
            for session in &other.sessions {
                self.tell(desk, options, who, &session.jid, type_, user, children);
            }
        }
        let own = user.clone().with_status(status::SELF_PRESENCE);
        for session in &who.1.sessions {
            self.tell(desk, options, who, &session.jid, type_, &own, children);
        }
    }

    /// Somebody is out: kicked, banned, or for what else `statuses` say.
    pub(super) fn throw_out(&mut self, desk: &mut Desk, options: &Options, nick: &str, item: &Item, statuses: &[u16]) {
        let Some(occupant) = self.take_out(nick) else { return };
        let item = Item {
            affiliation: Some(self.affiliation(&occupant.bare)),
            role: Some(Role::None),
            nick: None,
            jid: None,
            ..item.clone()
        };
        let user = User { statuses: statuses.to_vec(), ..User::of_item(item) };
        self.broadcast(desk, options, (nick, &occupant), Some("unavailable"), &user, &[]);
    }

    /// What the room says of who wrote or shows a stanza (XEP-0421).
    pub(super) fn sign(&self, desk: &Desk, options: &Options, stanza: &mut Stanza, bare: &Jid) {
        if options.occupant_ids {
            let parts = [self.jid.to_string(), bare.to_string()];
            let print = desk.secret.fingerprint(&[parts[0].as_bytes(), parts[1].as_bytes()]);
            stanza.push(OccupantId(format_compact!("{:032x}", print.bits())).to_element());
        }
    }

    /// A message from the room or an occupant to every device.
    pub(super) fn to_all(&self, desk: &mut Desk, message: &Stanza) {
        let all = self.occupants.values().flat_map(|occupant| &occupant.sessions);
        desk.out.extend(all.map(|session| message.clone().with_to(session.jid.clone())));
    }

    /// What a stanza carries, without what only the room itself may say (XEP-0045 §17.3, XEP-0421 §4, XEP-0359 §3).
    pub(super) fn carried(&self, stanza: &Stanza) -> Vec<Node> {
        let of_the_room = |e: &Element| {
            let hers = e.is("stanza-id", ns::STANZA_ID) && e.attr("by") == Some(&self.jid.to_string());
            [ns::MUC, ns::MUC_USER, ns::OCCUPANT_ID, ns::DELAY, ns::HATS].contains(&e.ns.as_str()) || hers
        };
        let keep = |node: &&Node| node.as_element().is_none_or(|e| !of_the_room(e));
        stanza.children.iter().filter(keep).cloned().collect()
    }
}
