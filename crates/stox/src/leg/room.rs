//! What legs of rooms have besides (RFC 7701).

use super::{Chatroom, Event, Footing, LegId, Legs, State};
use msrp::{MessageToken, Method};

/// What we take where we say that we know rooms: §5.2 has everything in CPIM, and a focus take nothing else.
pub(super) const ACCEPT: &[&str] = &["message/cpim"];

impl Legs {
    /// What the other side says of rooms, last: it may change. `None` where it says nothing, or before the leg is open.
    pub fn chatroom(&self, id: LegId) -> Option<Chatroom> {
        match &self.legs.get(&id)?.state {
            State::Open { chatroom, .. } => *chatroom,
            State::Calling(_) | State::Called { .. } | State::Held(_) | State::Inviting => None,
        }
    }

    /// Asks for a nickname, for none with an empty one (RFC 7701 §7.3); [`Event::Nicknamed`] follows, once. Whether the other side knows
    /// nicknames, [`Legs::chatroom`] says. At most one is on its way, and few wait.
    ///
    /// # Errors
    /// [`msrp::Refused`]: nothing was sent, and nothing follows.
    pub fn nickname(&mut self, footing: &mut Footing<'_>, id: LegId, nick: &str) -> Result<(), msrp::Refused> {
        let leg = self.legs.get(&id).filter(|leg| leg.hung_up.is_none()).ok_or(msrp::Refused::Gone)?;
        footing.msrp.nickname(footing.now, leg.msrp, nick).map(drop)
    }

    /// A request came that is neither message nor report.
    pub(super) fn requested(
        &mut self,
        footing: &mut Footing<'_>,
        id: LegId,
        token: MessageToken,
        request: &msrp::Request,
    ) {
        let ours = self.legs.get(&id).and_then(|leg| leg.chatroom);
        let refusal = match (&request.method, ours) {
            (Method::Nickname, Some(Chatroom { nickname: true, .. })) => match request.nickname() {
                Some(Ok(nick)) => return self.events.push_back(Event::Nickname { leg: id, token, nick }),
                Some(Err(_)) => 424,
                None => 400,
            },
            // RFC 7701 §7.1: there are no nicknames in this room.
            (Method::Nickname, Some(Chatroom { nickname: false, .. })) => 403,
            // RFC 4975 §12: who says nothing of rooms knows of no nicknames.
            (Method::Nickname, None) | (Method::Send | Method::Report | Method::Auth | Method::Other(_), _) => 501,
        };
        footing.msrp.answer(footing.now, token, refusal, "");
    }
}

#[cfg(test)]
mod tests;
