//! Subscriptions in the gateway: RFC 6665, of whichever package, in dialogs of their own or in those of sessions.

use super::Gateway;
use super::value::{Note, Output};
use crate::address::{self, Scheme};
use crate::error::Refusal;
use crate::mapping::Side;
use sip::agent::{Flow, ServerId};
use sip::subscription::Event;
use sip::{Method, NameAddr, Request};

impl Gateway {
    /// A SUBSCRIBE or REFER outside of any dialog may be for a room by our Contact, as RFC 4579 §4.2 has it: it is for the one of this name that
    /// its sender sits in.
    pub(super) fn call_room_by_name(&self, request: &mut Request) {
        if !matches!(request.method, Method::Subscribe | Method::Refer) || request.headers.to_tag().is_some() {
            return;
        }
        let jid = |uri: &sip::Uri| address::to_jid(uri, &self.addresses).ok();
        let from = request.headers.from().ok().and_then(|from| jid(&from.uri));
        let (Some(from), Some(to)) = (from, jid(&request.uri)) else { return };
        if self.config.is_xmpp(to.domain()) {
            return;
        }
        let room = to.local().and_then(|local| self.participants.room_called(&from, local));
        if let Some(uri) = room.and_then(|room| address::to_uri(room, Scheme::Sip).ok()) {
            request.uri = uri.into();
        }
    }

    /// The Contact of the focus that a request is for, if it is for one: RFC 4579 §4.2 has it in answers to OPTIONS.
    pub(super) fn focus(&mut self, request: &Request) -> Option<NameAddr> {
        let contact = self.sessions.find(request).and_then(|session| self.sessions.contact(session));
        if let Some(contact) = contact {
            return Some(contact).filter(|contact| contact.has_feature("isfocus"));
        }
        let to = address::to_jid(&request.uri, &self.addresses).ok()?;
        let room = to.local().is_some() && self.config.room.is_muc(to.domain());
        room.then(|| NameAddr::new(request.uri.clone()).with_feature("isfocus"))
    }

    /// Whether this is of a subscription, or would make one, as a REFER does (RFC 3515 §2.4.4).
    pub(super) fn is_of_events(&self, request: &Request) -> bool {
        match request.method {
            Method::Subscribe | Method::Notify => self.config.presence.enabled || self.config.has_sessions(),
            Method::Refer => self.config.has_sessions(),
            _ => false,
        }
    }

    /// A request within a dialog, as far as its sender knows: of a subscription, for those of sessions are elsewhere.
    pub(super) fn request_in_dialog(&mut self, id: ServerId, request: Request, flow: Flow, events: bool) {
        if !events {
            return self.refuse_request(id, &Refusal::NoDialog, false);
        }
        match self.check_peer(&request, flow) {
            Err(refusal) => return self.refuse_request(id, &refusal, false),
            // Whoever has seen a dialog of somebody else's must not get into it (THREATS 43).
            Ok((from, _)) if !self.is_party(&request, flow, &from) => {
                return self.refuse_request(id, &Refusal::NoDialog, false);
            }
            Ok((from, _)) => self.hear_in_dialog(&request, flow, &from),
        }
        // A session's dialog may have other usages (RFC 5057): RFC 7702 subscribes and refers in it.
        let session = if self.subscriptions.find(&request).is_none() { self.sessions.find(&request) } else { None };
        let shared = session.and_then(|id| Some((self.sessions.contact(id)?, self.sessions.share(id)?)));
        let (mut stage, _) = self.stage();
        match shared {
            Some((contact, dialog)) => stage.events(|events, ground| {
                events.request_in(ground, id, request, flow, &contact, dialog);
            }),
            None => {
                let contact = NameAddr::new(stage.contact(&request.uri, flow.transport));
                stage.events(|events, ground| events.request(ground, id, request, flow, &contact));
            }
        }
    }

    /// Brings what the engine has to say to the mapping whose it is.
    pub(super) fn subscription_says(&mut self, event: Event) {
        let mut event = Some(event);
        self.each(|mapping, stage| event = event.take().and_then(|event| mapping.event(stage, event)));
        match event {
            Some(Event::Watch { id, server, .. }) => self.stage().0.refuse_watch(id, server, &Refusal::NotSupported),
            Some(Event::Wanted { id, .. }) => self.subscriptions.skip(id),
            Some(Event::Notify { id, server, .. }) => {
                let refusal = Refusal::NoDialog.response();
                self.stage().0.events(|events, ground| events.answer_notify(ground, id, server, refusal));
            }
            Some(_) | None => {}
        }
    }

    /// Tells of what the subscriptions have refused by themselves.
    pub(super) fn note_refusals(&mut self) {
        let now = self.subscriptions.counts();
        let before = std::mem::replace(&mut self.told, now);
        let refused = [
            (Refusal::BadEvent.name(), now.bad_event - before.bad_event),
            (Refusal::NoDialog.name(), now.stray - before.stray),
            (Refusal::Overload { retry_after: 0 }.name(), now.overload - before.overload),
            ("out-of-order", now.out_of_order - before.out_of_order),
            ("too-brief", now.too_brief - before.too_brief),
        ];
        for (refusal, times) in refused {
            for _ in 0..times {
                self.out.push_back(Output::Note(Note::Refused { refusal, towards: Side::Sip, message: false }));
            }
        }
    }
}
