//! Calls of SIP users: draft-ietf-stox-media-07 §3 and §8, XEP-0353.

use super::Calls;
use super::call::{Call, CallId, State};
use super::depart::{body, origin};
use super::info::INFOS;
use super::pass::{Passing, Said};
use super::ringing::stanzas;
use super::ringing::{self, Failure, Ringing, Wants};
use super::stanzas::terminate;
use super::transfer;
use crate::content::described;
use crate::error::Refusal;
use crate::identity;
use crate::mapping::{Invitation, Side, Stage};
use crate::media::description::Description;
use crate::media::reason;
use base::Str;
use bodies::sdp::Sdp;
use sip::Response;
use sip::invite::Ended;
use xml::Element;
use xmpp::ext::jingle::{self, Action, Description as Kind, Jingle};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

impl Calls {
    /// An INVITE for a call: the XMPP user's devices ring.
    ///
    /// # Errors
    /// Why not; then there is nothing of it here.
    pub(super) fn invited_by_sip(&mut self, stage: &mut Stage<'_>, invitation: &Invitation) -> Result<(), Refusal> {
        let (from, to, request) = (&invitation.from, &invitation.to, &invitation.request);
        let call_id = request.headers.call_id().map_err(|_| Refusal::BadRequest("Bad Call-ID"))?;
        if self.call_ids.contains(&self.call_id(call_id)) {
            return Err(Refusal::Loop);
        }
        stage.rate(from)?;
        self.room(stage, invitation.link, from, to)?;
        let offer = offer_of(request)?;
        // One who has no GRUU gets a name for this call, as a device has in XMPP.
        let ours = stage.with_device(from, &request.headers);
        let ours = match ours.resource() {
            Some(_) => ours,
            None => ours.with_resource(&stage.tokens.token(8)).map_err(|_| Refusal::BadRequest("Bad From"))?,
        };
        let sid = sid_of(call_id).filter(|sid| self.named(&ours, to, sid).is_none());
        let sid = sid.unwrap_or_else(|| stage.tokens.token(20));
        let mut call = Call::new(Side::Sip, invitation.link, sid, ours, to.bare(), stage);
        call.session = Some(invitation.id);
        call.referred = transfer::of_invite(stage, request, invitation.flow);
        call.identity = identity::shown(request).map(Box::new);
        let id = self.enter(call);
        self.by_session.insert(invitation.id, id);
        stage.sessions.take_infos(invitation.id, INFOS);
        match offer {
            Some(offer) => self.pass(stage, id, Passing { from: Side::Sip, what: Said::Offer }, &offer),
            None => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.offerless = true;
                }
                let description = Description::without_offer(origin(stage, to));
                self.ring_with(stage, id, description);
            }
        }
        self.arm(id);
        Ok(())
    }

    /// The SIP user's offer is here: it rings.
    pub(super) fn ring(&mut self, stage: &mut Stage<'_>, id: CallId, offer: &Sdp) {
        let Some(call) = self.calls.get(&id) else { return };
        let origin = origin(stage, &call.theirs);
        match Description::from_offer(offer, origin) {
            Ok(description) => self.ring_with(stage, id, description),
            Err(unfit) => self.turn_away(stage, id, unfit.refusal.response()),
        }
    }

    fn ring_with(&mut self, stage: &mut Stage<'_>, id: CallId, description: Description) {
        let (now, until) = (stage.now, stage.now + self.options.ring);
        let patience = self.patience();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let wants = wants(&description);
        let devices = stage.whereabouts.devices(now, &call.ours, &call.theirs);
        let ringing = Ringing::new(now, &call.sid, wants, devices, patience);
        call.description = Some(Box::new(description));
        // What a record says of it that is not so yet will be so at once.
        call.proposed = true;
        call.state = State::Ringing { ringing: Box::new(ringing), until };
        self.save(stage, id);
        self.drain_ringing(stage, id);
        self.arm(id);
    }

    /// Does what the call that rings wants to be done.
    pub(super) fn drain_ringing(&mut self, stage: &mut Stage<'_>, id: CallId) {
        use ringing::Action as Do;
        loop {
            let Some(call) = self.calls.get_mut(&id) else { return };
            let State::Ringing { ringing, .. } = &mut call.state else { return };
            let Some(action) = ringing.poll() else { return };
            let (link, ours, theirs, sid) = (call.link, call.ours.clone(), call.theirs.clone(), call.sid.clone());
            match action {
                Do::Propose => {
                    let wants = call.description.as_ref().map_or(NOTHING, |description| wants(description));
                    let media = [("audio", wants.audio), ("video", wants.video)];
                    let media: Vec<&str> =
                        media.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind)).collect();
                    let mut propose = stanzas::propose(&ours, &theirs, &sid, &media);
                    call.identity.iter().for_each(|identity| propose.push(Element::clone(identity)));
                    match stage.deliver(link, &propose) {
                        Some(token) => drop(self.proposing.insert(token, id)),
                        None => ringing.hear(stage.now, ringing::Event::Lost),
                    }
                }
                Do::Ask(device) => self.ask_abilities(stage, id, device),
                Do::Initiate(device) => {
                    let said = call.description.as_ref().map(|description| description.contents());
                    let (contents, groups) = said.unwrap_or_default();
                    let other = call.referred.iter().map(|transfer| transfer.to_element());
                    let other = other.chain(call.identity.as_deref().cloned()).collect();
                    let initiate = Jingle { contents, groups, other, ..Jingle::new(Action::SessionInitiate, sid) };
                    self.say_to(stage, id, device, initiate);
                }
                Do::Ring => {
                    if let Some(session) = call.session {
                        stage.sessions(|sessions, ground| sessions.ring(ground, session, 180, Vec::new(), None));
                    }
                }
                Do::Answered { device, accept, early } => return self.answered_by(stage, id, device, &accept, &early),
                Do::Retract { device, why } => {
                    stage.answer(link, &stanzas::retract(&ours, device.as_ref().unwrap_or(&theirs), &sid, why));
                }
                Do::Terminate { device, why } => terminate(stage, link, &ours, &device, &sid, why.to_reason()),
                Do::Finish { device, why } => {
                    stage.answer(link, &stanzas::finish(&ours, &device, &sid, &why.to_reason()));
                }
                Do::Failed(failure) => {
                    let response = response_to(stage, &failure);
                    return self.turn_away(stage, id, response);
                }
            }
        }
    }

    /// Refuses the INVITE of a call that has not been answered, and forgets it.
    pub(super) fn turn_away(&mut self, stage: &mut Stage<'_>, id: CallId, response: Response) {
        let Some(call) = self.leave(stage, id, &reason::of_response(&response)) else { return };
        if let Some(session) = call.session {
            stage.sessions(|sessions, ground| sessions.refuse(ground, session, response));
        }
    }

    /// A device has accepted the session.
    fn answered_by(&mut self, stage: &mut Stage<'_>, id: CallId, device: Jid, accept: &Jingle, early: &[Jingle]) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let State::Ringing { ringing, .. } = &call.state {
            call.proposed = ringing.by_jmi();
        }
        call.theirs = device;
        let Some(description) = &mut call.description else { return };
        if let Err(unfit) = description.accepted(accept) {
            return self.over_unfit(stage, id, &unfit);
        }
        // What does not fit is lost: it was acknowledged as it came.
        let said: Vec<Jingle> =
            early.iter().filter_map(|jingle| description.heard(jingle).ok()).flat_map(|change| change.say).collect();
        self.say_all(stage, id, said);
        self.save(stage, id);
        self.gather(stage, id);
        self.trickle_early(stage, id);
    }

    /// What the device says goes to the SIP user, with the 200.
    pub(super) fn answer(&mut self, stage: &mut Stage<'_>, id: CallId, answer: &Sdp) {
        let Some(session) = self.calls.get(&id).and_then(|call| call.session) else { return };
        stage.sessions(|sessions, ground| sessions.accept(ground, session, Vec::new(), Some(body(answer))));
        self.save(stage, id);
    }

    /// The ACK is here: they talk.
    pub(super) fn confirmed(&mut self, stage: &mut Stage<'_>, id: CallId, answer: Option<sip::invite::Body>) {
        let Some(call) = self.calls.get(&id) else { return };
        let owes_answer = call.offerless;
        if !matches!(call.state, State::Active) {
            self.talks(stage, id);
        }
        match answer.map(|body| described::of_body(&body)) {
            // RFC 3261 §13.2.2.4: what the 200 offers has to be answered.
            None if owes_answer => self.over_mute(stage, id),
            None => self.change_due(stage, id),
            Some(Ok(answer)) => self.pass(stage, id, Passing { from: Side::Sip, what: Said::NextAnswer }, &answer),
            Some(Err(_)) => self.over_mute(stage, id),
        }
    }

    fn patience(&self) -> ringing::Patience {
        let options = &self.options;
        ringing::Patience { look: options.look_for, respond: options.respond_within, accept: options.accept_within }
    }

    /// A request in the session of a device that rings.
    pub(super) fn said_ringing(&mut self, stage: &mut Stage<'_>, id: CallId, stanza: &Stanza, jingle: Jingle) {
        let now = stage.now;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let link = call.link;
        let (State::Ringing { ringing, .. }, Some(from)) = (&mut call.state, &stanza.from) else { return };
        let error = match jingle.action {
            _ if !ringing.has(from) => Some(jingle::Error::UnknownSession),
            Action::SessionAccept | Action::SessionTerminate | Action::SessionInfo | Action::TransportInfo => None,
            // XEP-0166 §5: what changes a session has to wait until there is one.
            _ => Some(jingle::Error::OutOfOrder),
        };
        if let Some(error) = error {
            return self.reply(stage, link, stanza, Err(error.to_stanza_error()));
        }
        ringing.hear(now, ringing::Event::Jingle { device: from, jingle: Box::new(jingle) });
        self.reply(stage, link, stanza, Ok(()));
        self.drain_ringing(stage, id);
    }

    /// Tells a call that rings of something.
    pub(super) fn tell_ringing(&mut self, stage: &mut Stage<'_>, id: CallId, event: ringing::Event<'_>) {
        let now = stage.now;
        let Some(State::Ringing { ringing, .. }) = self.calls.get_mut(&id).map(|call| &mut call.state) else { return };
        ringing.hear(now, event);
        self.drain_ringing(stage, id);
    }
}

/// Before anything is known.
const NOTHING: Wants = Wants { audio: false, video: false };

/// What is called for.
fn wants(description: &Description) -> Wants {
    let (contents, _) = description.contents();
    let wanted = |kind: &str| {
        contents.iter().any(|content| matches!(&content.description, Some(Kind::Rtp(rtp)) if rtp.media == kind))
    };
    Wants { audio: wanted("audio"), video: wanted("video") }
}

/// The offer of an INVITE, if it has one.
fn offer_of(request: &sip::Request) -> Result<Option<Sdp>, Refusal> {
    if request.body.is_empty() {
        return Ok(None);
    }
    Sdp::parse(&request.body).map(Some).map_err(|_| Refusal::BadBody("Bad session description"))
}

/// The Jingle session of a SIP user's call is called by its Call-ID without the host (draft table 1), where that is long enough not to be guessed, and not
/// longer than names of sessions and of stanzas should be.
fn sid_of(call_id: &str) -> Option<Str> {
    let sid = call_id.split('@').next().unwrap_or_default();
    (16..=64).contains(&sid.len()).then(|| Str::from(sid))
}

/// What the INVITE is answered because of this.
fn response_to(stage: &Stage<'_>, failure: &Failure) -> Response {
    let retry_after = stage.config.limits.retry_after;
    match failure {
        Failure::Said(reason) => reason::to_response(reason.as_ref()),
        Failure::Bounced(error) => reason::refused_with(error, false),
        Failure::Refused(error) => reason::refused_with(error, true),
        Failure::Lost => Refusal::LinkDown { retry_after }.response(),
        Failure::Silent => Response::new(480, ""),
        Failure::Glare => Response::new(486, "They call each other"),
    }
}

/// Why the SIP user does not wait any longer.
pub(super) fn why(ended: &Ended) -> ringing::Why {
    match ended {
        Ended::Cancelled(said) if reason::is_elsewhere(said.as_deref()) => ringing::Why::Elsewhere,
        Ended::Expired => ringing::Why::Expired,
        Ended::Bye(_) | Ended::Cancelled(_) | Ended::NotAcknowledged | Ended::Gone | Ended::Ours => {
            ringing::Why::Cancelled
        }
    }
}
