//! REFER from the SIP user: somebody is to be invited into the room, or put out of it. RFC 7702 §6.5, RFC 4579 §5.5, §5.11.

use super::Participants;
use super::ask::Ask;
use crate::address;
use crate::error::{self, Refusal};
use crate::leg::LegId;
use crate::mapping::Stage;
use bodies::sipfrag::{self, StatusLine};
use sip::agent::ServerId;
use sip::header::Name;
use sip::subscription::{Body, Reason, State, UsageId};
use sip::{Request, Response};
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::muc::{Admin, Invite, Item, Role, User};
use xmpp::stanza::Stanza;

/// How long the room has to say something to it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A REFER that waits for the room.
#[derive(Debug)]
pub(super) struct Referral {
    usage: UsageId,
    server: ServerId,
    /// What the NOTIFY says of it when the room has taken it.
    code: u16,
}

impl Participants {
    /// A REFER from whoever sits here.
    pub(super) fn referred(
        &mut self,
        stage: &mut Stage<'_>,
        leg: LegId,
        usage: UsageId,
        server: ServerId,
        request: &Request,
    ) {
        if let Err(response) = self.refer(stage, leg, usage, server, request) {
            stage.events(|events, ground| events.refuse(ground, usage, server, response));
        }
    }

    fn refer(
        &mut self,
        stage: &mut Stage<'_>,
        leg: LegId,
        usage: UsageId,
        server: ServerId,
        request: &Request,
    ) -> Result<(), Response> {
        let refused = |refusal: Refusal| refusal.response();
        let target = request.headers.refer_to().ok().flatten().ok_or_else(|| Response::new(400, "Bad Refer-To"))?;
        let method = target.uri.sip().and_then(|uri| uri.params.get("method")).unwrap_or("INVITE");
        let whom = address::to_jid(&target.uri, &self.addresses).map_err(|e| refused(Refusal::Address(e)))?;
        let place = self.seats.get(&leg).ok_or_else(|| refused(Refusal::NoDialog))?;
        stage.rate(&place.user).map_err(refused)?;
        let retry_after = stage.config.limits.retry_after;
        let id = stage.tokens.token(16);
        let (stanza, code) = if method.eq_ignore_ascii_case("INVITE") {
            if whom.same_bare(&place.room) {
                return Err(Response::new(400, "Somebody is to be invited, not the room"));
            }
            let reason = request.headers.get(Name::Subject).map(error::text_of_reason);
            let invite =
                Invite { to: Some(whom.bare()), reason: reason.filter(|r| !r.is_empty()), ..Invite::default() };
            let user = User { invites: vec![invite], ..User::default() };
            // Nobody knows how it goes on until whoever is invited comes (§6.5).
            (Stanza::message().with_child(user.to_element()), 100)
        } else if method.eq_ignore_ascii_case("BYE") {
            let nick = self.person_of(leg, &whom).ok_or_else(|| Response::new(404, "Nobody of that name"))?;
            let item = Item { nick: Some(nick), role: Some(Role::None), ..Item::default() };
            (Stanza::iq("set").with_child(Admin { items: vec![item] }.to_element()), 200)
        } else {
            return Err(refused(Refusal::NotSupported));
        };
        let place = self.seats.get(&leg).ok_or_else(|| refused(Refusal::NoDialog))?;
        let stanza = stanza.with_from(place.user.clone()).with_to(place.room.clone()).with_id(id.clone());
        let full = self.asks.len() >= stage.config.limits.held;
        let sent = if full { None } else { stage.deliver(place.link, &stanza) };
        let sent = sent.ok_or_else(|| refused(Refusal::LinkDown { retry_after }))?;
        if code == 100 {
            // A message has no answer but an error, which comes before the server has proved to have taken it.
            self.invited.insert(sent, id.clone());
        }
        self.expect(id, stage.now + PATIENCE, Ask::Refer(Referral { usage, server, code }));
        Ok(())
    }

    /// The room has taken it, or has not: an error, or nothing in time.
    pub(super) fn settle_referral(
        &mut self,
        stage: &mut Stage<'_>,
        referral: &Referral,
        answer: Result<(), Option<&StanzaError>>,
    ) {
        let Referral { usage, server, code } = *referral;
        let response = match answer {
            Ok(()) => {
                self.referrals.insert(usage, code);
                return stage.events(|events, ground| events.accept(ground, usage, server, 0));
            }
            Err(Some(error)) => error::to_response(error, true),
            Err(None) => Refusal::LinkDown { retry_after: stage.config.limits.retry_after }.response(),
        };
        stage.events(|events, ground| events.refuse(ground, usage, server, response));
    }
}

/// The one NOTIFY: RFC 7702 example 43.
pub(super) fn notify(stage: &mut Stage<'_>, usage: UsageId, code: u16) {
    let phrase = if code == 100 { "Trying" } else { "OK" };
    let content = StatusLine::new(code, phrase).map(|line| line.to_bytes()).unwrap_or_default();
    let body = Body { content_type: sipfrag::MEDIA_TYPE, language: None, content: content.into() };
    let state = State::terminated(Reason::NoResource);
    stage.events(|events, ground| events.notify(ground, usage, &state, Some(body)));
}
