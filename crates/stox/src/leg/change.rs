//! What changes in a leg that is open: re-INVITE and UPDATE from either side.

use super::negotiate::{self, Part};
use super::{Event, Footing, LegId, Legs, State, body};
use sip::Response;
use sip::invite::{self, Body};

impl Legs {
    /// RFC 6714 §4.2: a middlebox on the way needs an offer that does not let it move the connection.
    pub(super) fn offer_again(&mut self, footing: &mut Footing<'_>, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        leg.version += 1;
        leg.cema = false;
        if let Some(said) = leg.describe(footing, negotiate::offer) {
            leg.said = said.clone();
            footing.sessions(|sessions, ground| sessions.offer(ground, session, body(said)));
        }
    }

    /// A re-INVITE or an UPDATE. What changes nothing is agreed to; another path would be another session.
    pub(super) fn offered(
        &mut self,
        footing: &mut Footing<'_>,
        id: LegId,
        session: invite::SessionId,
        offer: Option<Body>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.version += 1;
        let Some(offer) = offer else {
            // It wants an offer of ours: the last description, as one.
            leg.said = negotiate::again(&leg.said, Part::Offer, leg.version);
            let said = body(leg.said.clone());
            return footing.sessions(|sessions, ground| sessions.answer(ground, session, said));
        };
        let print = Some(self.key.fingerprint(&[&offer.content]));
        if print == leg.heard {
            leg.said = negotiate::again(&leg.said, Part::Answer, leg.version);
        } else {
            let may = |address| footing.config.may_lead_to(address);
            match leg.describe(footing, |ours| negotiate::answer(ours, &offer.content, &may)) {
                Some(Ok((agreed, said))) if leg.path.as_ref() == Some(&agreed.path) => {
                    (leg.said, leg.heard) = (said, print);
                    footing.msrp.resize(leg.msrp, agreed.max_size);
                    leg.agree(agreed.accept, agreed.max_size, agreed.receives, agreed.chatroom);
                    self.events.push_back(Event::Redescribed { leg: id });
                }
                refused => {
                    let response = match refused {
                        Some(Err(refusal)) => refusal.response(),
                        Some(Ok(_)) | None => Response::new(488, ""),
                    };
                    return footing.sessions(|sessions, ground| sessions.reject(ground, session, response));
                }
            }
        }
        let (said, again) = leg.answer();
        footing.sessions(|sessions, ground| {
            sessions.answer(ground, session, said);
            sessions.refresh_with(session, again);
        });
    }

    /// The answer to an offer of ours: we refresh with what was said before.
    pub(super) fn changed(&mut self, footing: &mut Footing<'_>, id: LegId, answer: Option<Body>) {
        let leg = self.legs.get_mut(&id).filter(|leg| matches!(leg.state, State::Open { .. }));
        let (Some(leg), Some(answer)) = (leg, answer) else { return };
        let print = Some(self.key.fingerprint(&[&answer.content]));
        if print == leg.heard {
            return;
        }
        let may = |address| footing.config.may_lead_to(address);
        if let Some(Ok(agreed)) = leg.describe(footing, |ours| negotiate::read_answer(ours, &answer.content, &may)) {
            leg.heard = print;
            footing.msrp.resize(leg.msrp, agreed.max_size);
            leg.agree(agreed.accept, agreed.max_size, agreed.receives, agreed.chatroom);
            self.events.push_back(Event::Redescribed { leg: id });
        }
    }
}
