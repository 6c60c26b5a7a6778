//! What is asked of rooms and of those in them: XEP-0045 §6, §8 to §10, XEP-0410.

use super::Occupants;
use super::seat::{Phase, SeatId};
use crate::config::LinkId;
use crate::mapping::Stage;
use xmpp::agent::{Asked, RoomInfo, answer};
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::{Admin, Owner, Role};
use xmpp::ext::ping::Ping;
use xmpp::stanza::Stanza;

impl Occupants {
    /// An iq to a room, or to somebody in it. Answers to what we have asked say no more than that they came.
    pub(super) fn asked(&mut self, stage: &mut Stage<'_>, link: LinkId, iq: &Stanza) {
        let asks = matches!(iq.type_.as_deref(), Some("get" | "set"));
        let (true, Some(from), Some(to)) = (asks, &iq.from, &iq.to) else { return };
        let seat = self.find(from, &to.bare());
        let answered = match to.resource() {
            Some(nick) => self.asked_of_occupant(stage, iq, seat, nick),
            None => self.asked_of_room(stage, link, iq, seat),
        };
        match answered {
            Ok(Some(answer)) => stage.answer(link, &answer),
            // The answer comes later.
            Ok(None) => {}
            Err(condition) => {
                if let Some(error) = iq.error(&StanzaError { by: Some(to.bare()), ..StanzaError::new(condition) }) {
                    stage.answer(link, &error);
                }
            }
        }
    }

    /// The program of a SIP user is not asked; the gateway answers in its place.
    fn asked_of_occupant(
        &self,
        stage: &Stage<'_>,
        iq: &Stanza,
        seat: Option<SeatId>,
        nick: &str,
    ) -> Result<Option<Stanza>, Condition> {
        // XEP-0410 §3.3: who is not in the room learns so.
        let seat = seat.and_then(|id| self.seats.get(&id)).filter(|seat| seat.entered);
        let seat = seat.ok_or(Condition::NotAcceptable)?;
        let own = seat.people.nick().as_str() == nick;
        if !own && seat.people.entity_of(nick).is_none() {
            return Err(Condition::ItemNotFound);
        }
        if iq.type_.as_deref() == Some("get") && iq.elements().any(|e| Ping::parse(e).is_some()) {
            return Ok(Some(iq.result(None)));
        }
        let identity = stage.config.identity(seat.link).filter(|_| !own).ok_or(Condition::ServiceUnavailable)?;
        Ok(answer(&identity, iq, Asked::User { name: Some(nick) }))
    }

    fn asked_of_room(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        iq: &Stanza,
        seat: Option<SeatId>,
    ) -> Result<Option<Stanza>, Condition> {
        let payload = iq.elements().next();
        if let Some(admin) = payload.and_then(Admin::parse) {
            return self.administer(stage, iq, seat, &admin).map(|()| None);
        }
        // Nobody owns, from here, what somebody else keeps.
        if payload.and_then(Owner::parse).is_some() {
            return Err(Condition::Forbidden);
        }
        let inside = seat.and_then(|id| self.seats.get(&id)).filter(|seat| seat.entered);
        let info = inside.map_or_else(RoomInfo::default, |seat| {
            let description = seat.conference.description();
            RoomInfo {
                name: description.and_then(|d| d.display_text.clone()),
                description: description.and_then(|d| d.free_text.as_ref().map(|t| t.as_str().to_owned())),
                subject: seat.subject.as_ref().map(|subject| subject.as_str().to_owned()),
                occupants: u32::try_from(seat.people.len() + 1).ok(),
                non_anonymous: seat.people.me().is_some_and(|me| me.jid.is_some()),
                ..RoomInfo::default()
            }
        });
        let identity = stage.config.identity(link).ok_or(Condition::ServiceUnavailable)?;
        Ok(answer(&identity, iq, Asked::Room(&info)))
    }

    /// A moderator's or an admin's wish. To throw somebody out SIP has a word (RFC 4579 §5.11), and the focus decides; for the rest it has none.
    fn administer(
        &mut self,
        stage: &mut Stage<'_>,
        iq: &Stanza,
        seat: Option<SeatId>,
        admin: &Admin,
    ) -> Result<(), Condition> {
        let id = seat.filter(|id| self.seats.get(id).is_some_and(|seat| seat.phase == Phase::Inside));
        let id = id.ok_or(Condition::NotAcceptable)?;
        let [item] = admin.items.as_slice() else {
            return Err(if admin.items.is_empty() { Condition::BadRequest } else { Condition::FeatureNotImplemented });
        };
        let kicks = iq.type_.as_deref() == Some("set") && item.role == Some(Role::None) && item.affiliation.is_none();
        let nick = item.nick.as_deref().filter(|_| kicks).ok_or(Condition::Forbidden)?;
        let seat = self.seats.get(&id).ok_or(Condition::NotAcceptable)?;
        let entity = seat.people.entity_of(nick).cloned().ok_or(Condition::ItemNotFound)?;
        self.kick(stage, id, iq, &entity, item.reason.as_deref())
    }
}
