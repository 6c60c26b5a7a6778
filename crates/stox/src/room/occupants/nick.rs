//! What users in rooms say of themselves: RFC 7702 §5.6, XEP-0045 §7.6, §7.7.

use super::enter::{name_error, refuse};
use super::people::News;
use super::seat::{Phase, SeatId, Wish};
use super::{Occupants, s2x};
use crate::config::LinkId;
use crate::mapping::Stage;
use crate::room::nickname::Nickname;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::Join;
use xmpp::stanza::Stanza;

/// How many changes of nicknames may wait for the switch.
const WISHES: usize = 4;

impl Occupants {
    /// Presence of somebody who is in the room, or on the way: another nickname, or the same.
    pub(super) fn shown(&mut self, stage: &mut Stage<'_>, link: LinkId, id: SeatId, stanza: &Stanza) {
        let Some(seat) = self.seats.get(&id) else { return };
        let nick = stanza.to.as_ref().and_then(|to| to.resource());
        let nick =
            nick.ok_or(Condition::JidMalformed).and_then(|n| Nickname::parse(n).map_err(|_| Condition::NotAcceptable));
        let room = seat.room.clone();
        let changed = match nick {
            Ok(nick) => self.change(stage, id, stanza, nick, false),
            Err(condition) => Err(Box::new(StanzaError::new(condition))),
        };
        if let Err(error) = changed {
            refuse(stage, link, stanza, &room, &error);
        }
    }

    /// Another nickname, which the switch is asked for (Example 19); or the same, and then the user is told anew of all, or of itself.
    pub(super) fn change(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        stanza: &Stanza,
        nick: Nickname,
        anew: bool,
    ) -> Result<(), Box<StanzaError>> {
        let Some(seat) = self.seats.get_mut(&id) else { return Ok(()) };
        if seat.phase != Phase::Inside {
            // Not yet, or not quite now.
            let waits = || StanzaError::new(Condition::UnexpectedRequest).with_text("Not in the room yet");
            return if *seat.people.nick() == nick { Ok(()) } else { Err(Box::new(waits())) };
        }
        stage.rate(&seat.user).map_err(|refusal| refusal.stanza_error())?;
        if *seat.people.nick() == nick && seat.wishes.is_empty() {
            if anew {
                self.tell_anew(stage, id);
            } else {
                // SIP has no place for what it says; but the service reflects it (XEP-0045 §7.7).
                let mut own = s2x::own(seat, false);
                let said = stanza.elements().filter(|e| Join::parse(e).is_none() && e.ns != xmpp::ns::MUC_USER);
                own.children.splice(0..0, said.cloned().map(xml::Node::Element));
                own.id.clone_from(&stanza.id);
                stage.answer(seat.link, &own);
            }
            return Ok(());
        }
        if seat.wishes.len() >= WISHES {
            return Err(Box::new(
                StanzaError::new(Condition::ResourceConstraint).with_text("Too many changes of nicknames"),
            ));
        }
        let leg = seat.leg.ok_or(StanzaError::new(Condition::RemoteServerTimeout))?;
        let asked = stage.legs(|legs, footing| {
            let knows = legs.chatroom(leg).is_some_and(|chatroom| chatroom.nickname);
            knows && legs.nickname(footing, leg, nick.as_str()).is_ok()
        });
        if !asked {
            // XEP-0045 §7.6: nicknames are locked down.
            return Err(Box::new(
                StanzaError::new(Condition::NotAcceptable).with_text("This room lets nobody choose a nickname"),
            ));
        }
        seat.wishes.push_back(Wish { nick, stanza: Some(stanza.envelope()), anew });
        Ok(())
    }

    /// What the switch says to a nickname: Examples 6 and 20.
    pub(super) fn named(&mut self, stage: &mut Stage<'_>, id: SeatId, code: u16) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(wish) = seat.wishes.pop_front() else { return };
        let Some(stanza) = &wish.stanza else {
            if seat.phase == Phase::Naming {
                self.named_first(stage, id, wish, code);
            }
            return;
        };
        if seat.phase == Phase::Leaving {
            return;
        }
        if !(200..300).contains(&code) {
            // Example 21. The old one stays in effect (RFC 7701 §7.2).
            let (link, room) = (seat.link, seat.room.clone());
            if code == 408 {
                seat.people.doubt(wish.nick.clone());
            }
            return refuse(stage, link, stanza, &room, &name_error(code));
        }
        let old = seat.people.nick().clone();
        let moved = seat.people.call_me(wish.nick.clone(), true);
        seat.asked = wish.nick.as_str().into();
        seat.shown = wish.nick.clone();
        // One that has not forgotten, but says the same with each name, is not to see itself twice.
        if old != wish.nick {
            stage.answer(seat.link, &s2x::own_renamed(seat, &old));
        }
        let moved: Vec<News> = moved.into_iter().collect();
        self.tell(stage, id, &moved);
        let Some(seat) = self.seats.get(&id) else { return };
        if wish.anew {
            self.tell_anew(stage, id);
        } else if old != wish.nick {
            stage.answer(seat.link, &s2x::own(seat, false));
        }
        self.save(stage, id);
    }
}
