//! Legs that the other side opens: an INVITE, answered at once or held.

use super::negotiate::{self, Agreed};
use super::{Chatroom, Event, Failed, Footing, Leg, LegId, Legs, State, body};
use crate::error::Refusal;
use base::Str;
use bytes::Bytes;
use sip::invite;
use sip::{Name, Request, Response};

/// The event package of conferences (RFC 4575).
const CONFERENCE: &str = "conference";

impl Legs {
    /// Takes an INVITE, whose offer is answered; or refused, and then [`Event::Failed`] follows. `chatroom` is what we say of rooms.
    ///
    /// # Errors
    /// [`Refusal::Overload`], [`Refusal::NotSupported`]: the INVITE is still to be refused.
    pub fn accept(
        &mut self,
        footing: &mut Footing<'_>,
        session: invite::SessionId,
        request: &Request,
        chatroom: Option<Chatroom>,
    ) -> Result<LegId, Refusal> {
        self.called(footing, session, request, chatroom, false)
    }

    /// Takes an INVITE without answering it yet: [`Event::Called`] follows, or, if its offer cannot be answered, [`Event::Failed`]; then
    /// [`Legs::pick_up`] or [`Legs::refuse`].
    ///
    /// # Errors
    /// As of [`Legs::accept`].
    pub fn hold(
        &mut self,
        footing: &mut Footing<'_>,
        session: invite::SessionId,
        request: &Request,
        chatroom: Option<Chatroom>,
    ) -> Result<LegId, Refusal> {
        self.called(footing, session, request, chatroom, true)
    }

    fn called(
        &mut self,
        footing: &mut Footing<'_>,
        session: invite::SessionId,
        request: &Request,
        chatroom: Option<Chatroom>,
        held: bool,
    ) -> Result<LegId, Refusal> {
        let options = footing.config.msrp.as_ref().ok_or(Refusal::NotSupported)?;
        let offer = request.body.clone();
        let secure = if offer.is_empty() { options.offers_tls() } else { negotiate::wants_tls(&offer) };
        if options.place(secure).is_none() {
            return Err(Refusal::NotSupported);
        }
        self.begin(footing, secure, chatroom, State::Called { offer, held }, Some(session))
    }

    /// Tells the caller of a held INVITE that somebody is asked: 180.
    pub fn ring(&mut self, footing: &mut Footing<'_>, id: LegId) {
        if let Some(session) = self.waiting_session(id) {
            footing.sessions(|sessions, ground| sessions.ring(ground, session, 180, Vec::new(), None));
        }
    }

    /// Answers a held INVITE: [`Event::Open`] follows.
    pub fn pick_up(&mut self, footing: &mut Footing<'_>, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match std::mem::replace(&mut leg.state, State::Inviting) {
            State::Called { offer, .. } => leg.state = State::Called { offer, held: false },
            State::Held(answer) => self.answer_call(footing, id, answer.map(|answer| *answer)),
            state @ (State::Calling(_) | State::Inviting | State::Open { .. }) => leg.state = state,
        }
    }

    /// Refuses a held INVITE: [`Event::Failed`] follows.
    pub fn refuse(&mut self, footing: &mut Footing<'_>, id: LegId, response: Response) {
        let Some(session) = self.waiting_session(id) else { return };
        footing.sessions(|sessions, ground| sessions.refuse(ground, session, response));
        self.failed(footing, id, Failed::GivenUp);
    }

    /// The session of an INVITE that has no final answer yet.
    fn waiting_session(&self, id: LegId) -> Option<invite::SessionId> {
        let leg = self.legs.get(&id)?;
        leg.session.filter(|_| matches!(leg.state, State::Called { .. } | State::Held(_)))
    }

    /// Finds an answer to the INVITE, and gives it if it is not held.
    pub(super) fn take(&mut self, footing: &mut Footing<'_>, id: LegId, offer: &Bytes, held: bool) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        let mut answer = None;
        if !offer.is_empty() {
            let may = |address| footing.config.may_lead_to(address);
            match leg.describe(footing, |ours| negotiate::answer(ours, offer, &may)) {
                Some(Ok(agreed)) => {
                    leg.heard = Some(self.key.fingerprint(&[offer]));
                    answer = Some(agreed);
                }
                Some(Err(refusal)) => {
                    let response = refusal.response();
                    footing.sessions(|sessions, ground| sessions.refuse(ground, session, response));
                    return self.failed(footing, id, Failed::Session(refusal));
                }
                None => return self.failed(footing, id, Failed::Session(Refusal::NotSupported)),
            }
        }
        if held {
            leg.state = State::Held(answer.map(Box::new));
            self.events.push_back(Event::Called { leg: id });
        } else {
            self.answer_call(footing, id, answer);
        }
    }

    /// Answers the INVITE: with the answer to its offer, or with an offer of ours.
    fn answer_call(&mut self, footing: &mut Footing<'_>, id: LegId, answer: Option<(Agreed, Bytes)>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        if let Some((agreed, said)) = answer {
            leg.said = said;
            let (said, again) = leg.answer();
            let headers = leg.focus_headers();
            footing.sessions(|sessions, ground| {
                sessions.accept(ground, session, headers, Some(said));
                sessions.refresh_with(session, again);
            });
            return self.open(footing, id, agreed, None);
        }
        // RFC 3261 §13.2.1: the offer is ours, and the ACK has the answer.
        if let Some(said) = leg.describe(footing, negotiate::offer) {
            leg.said = said.clone();
            let headers = leg.focus_headers();
            footing.sessions(|sessions, ground| sessions.accept(ground, session, headers, Some(body(said))));
        }
    }
}

impl Leg {
    /// RFC 4579 §3.1: a focus says that it tells who is there. Whoever takes a call as a room is one.
    fn focus_headers(&self) -> Vec<(Name, Str)> {
        let events = self.chatroom.map(|_| (Name::AllowEvents, Str::const_new(CONFERENCE)));
        events.into_iter().collect()
    }
}
