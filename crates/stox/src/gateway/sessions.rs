//! Sessions in the gateway: INVITE dialogs, MSRP, and the legs that are both.

use super::Gateway;
use super::value::{Output, Wire};
use crate::choice::{self, Way};
use crate::config::{Config, LinkId, Mode};
use crate::content::described;
use crate::error::Refusal;
use crate::leg;
use crate::mapping::{Invitation, Mapping, Purpose, Side, Stage};
use crate::media;
use sip::agent::{Flow, ServerId};
use sip::invite;
use sip::{Method, Request};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// Bytes of messages that have come in part, in one shard; beyond: 413.
const PARTIAL_BYTES: usize = 8 << 20;

impl Gateway {
    /// Whether this is a MESSAGE in the dialog of a session (RFC 3428 §2 allows that): it is for whom the session is with, where it names our
    /// Contact. To refuse it as if there were no dialog would end the session (RFC 5057 §5.1).
    pub(super) fn says_aside(&self, request: &mut Request) -> bool {
        if request.method != Method::Message || request.headers.to_tag().is_none() {
            return false;
        }
        let dialog = self.sessions.find(request).and_then(|id| self.sessions.dialog(id));
        let Some(user) = dialog.and_then(|dialog| sip::NameAddr::parse(&dialog.local_uri).ok()) else { return false };
        // With a linked account, it is the Contact that says who the XMPP user is.
        if self.called_by_account(&request.uri).is_none() {
            request.uri = user.uri;
        }
        true
    }

    /// Whether this is an INVITE, or of a dialog that one made, or would be.
    pub(super) fn is_of_sessions(&self, request: &Request) -> bool {
        use Method::{Bye, Info, Invite, Prack, Update};
        matches!(request.method, Invite | Bye | Update | Prack | Info)
            && (self.config.has_sessions() || self.sessions.find(request).is_some())
    }

    /// An INVITE, or what is said within its dialog.
    pub(super) fn request_to_sessions(&mut self, id: ServerId, request: Request, flow: Flow) {
        let checked = if request.headers.to_tag().is_none() && request.method == Method::Invite {
            self.accepting().and_then(|()| self.check_request(&request, flow)).map(drop)
        } else {
            match self.check_peer(&request, flow) {
                Ok((from, _)) if !self.is_party(&request, flow, &from) => Err(Refusal::NoDialog),
                checked => checked.map(drop),
            }
        };
        if let Err(refusal) = checked {
            self.note_sender(&refusal, flow);
            let (mut stage, _) = self.stage();
            stage.note_refused(&refusal, Side::Sip, false);
            // Anybody can send an INVITE in anybody's name (threat 38).
            return stage.sip.refuse_stranger(stage.now, id, refusal.response());
        }
        let (mut stage, _) = self.stage();
        let contact = sip::NameAddr::new(stage.contact(&request.uri, flow.transport));
        stage.sessions(|sessions, ground| sessions.request(ground, id, request, flow, &contact));
    }

    /// As what a message goes to SIP. What would overtake those before it goes behind them.
    pub(super) fn way(&self, stanza: &Stanza) -> Way {
        let auto = || stanza.to.as_ref().is_some_and(|to| self.config.chat_mode(to.domain()) == Mode::Auto);
        if choice::has_words(stanza) && auto() && self.messages.is_busy(stanza) {
            Way::Message
        } else if self.chats.has(stanza) {
            Way::Session
        } else {
            self.choice.way(self.now, &self.config, stanza)
        }
    }

    /// Gives a stanza to the mapping that claims it; back if none does.
    pub(super) fn give(&mut self, way: Way, link: LinkId, stanza: Stanza) -> Option<Stanza> {
        let claims = |mapping: &dyn Mapping, stanza: &Stanza| mapping.claims_stanza(stanza, way);
        self.hand(stanza, claims, |mapping, stage, stanza| mapping.stanza(stage, link, stanza))
    }

    /// Hands something to the mapping that claims it; it comes back if none does.
    pub(super) fn hand<T>(
        &mut self,
        what: T,
        claims: impl Fn(&dyn Mapping, &T) -> bool,
        act: impl FnOnce(&mut dyn Mapping, &mut Stage<'_>, T),
    ) -> Option<T> {
        let (mut stage, mappings) = self.stage();
        match mappings.into_iter().find(|mapping| claims(&**mapping, &what)) {
            Some(mapping) => {
                act(mapping, &mut stage, what);
                None
            }
            None => Some(what),
        }
    }

    pub(super) fn msrp_says(&mut self, output: msrp::Output) {
        let wire = match output {
            msrp::Output::Event(event) => return self.stage().0.legs(|legs, footing| legs.msrp_event(footing, event)),
            msrp::Output::Write { connection, bytes } => Wire::Write { connection, bytes },
            msrp::Output::Open { ticket, hop } => Wire::Open { ticket, hop },
            msrp::Output::Bind { connection } => Wire::Bind(connection),
            msrp::Output::Release { connection } => Wire::Release(connection),
        };
        self.out.push_back(Output::Msrp(wire));
    }

    pub(super) fn session_says(&mut self, event: invite::Event) {
        let event = self.stage().0.legs(|legs, footing| legs.session_event(footing, event));
        match event {
            Some(invite::Event::Invited { id, request, flow }) => self.invited(id, request, flow),
            mut event @ Some(_) => {
                self.each(|mapping, stage| event = event.take().and_then(|event| mapping.session(stage, event)));
            }
            None => {}
        }
    }

    /// To what an INVITE from outside of any dialog invites.
    fn purpose(&self, request: &Request, to: &Jid) -> Purpose {
        let rooms = &self.config.room;
        if is_from_focus(request) {
            Purpose::Conference
        } else if rooms.is_muc(to.domain()) {
            Purpose::Room
        } else if rooms.muc_domains.is_empty() && leg::negotiate::is_chatroom(&request.body) {
            Purpose::Unclear
        } else if self.config.media.is_some() && media::is_call(request) {
            Purpose::Call
        } else {
            Purpose::Chat
        }
    }

    /// An INVITE that would begin a session. It was checked when it came.
    fn invited(&mut self, id: invite::SessionId, request: Box<Request>, flow: Flow) {
        let (from, to, link) = match self.check_request(&request, flow) {
            Ok(checked) => checked,
            Err(refusal) => return self.stage().0.refuse_invitation(id, &refusal),
        };
        let request = match described::alone(request) {
            Ok(request) => request,
            // RFC 3261 §8.2.3.
            Err(refusal) => return self.stage().0.refuse_invitation(id, &refusal),
        };
        self.hear_name(&request, flow, &from, &to);
        let purpose = self.purpose(&request, &to);
        let invitation = Invitation { id, request, flow, from, to, link, purpose };
        self.invite(invitation);
    }

    /// Hands an INVITE to whoever serves its purpose.
    pub(super) fn invite(&mut self, invitation: Invitation) {
        let id = invitation.id;
        let claims = |mapping: &dyn Mapping, invitation: &Invitation| mapping.claims_invitation(invitation);
        if self.hand(invitation, claims, |mapping, stage, claimed| mapping.invited(stage, claimed)).is_some() {
            self.stage().0.refuse_invitation(id, &leg::negotiate::NO_CONVERSATION);
        }
    }
}

/// Whether whoever sent this says that it is a focus (RFC 4353, RFC 3840).
fn is_from_focus(request: &Request) -> bool {
    let contact = request.headers.elements(sip::Name::Contact).next().and_then(Result::ok);
    contact.and_then(|contact| sip::NameAddr::parse(contact).ok()).is_some_and(|contact| contact.params.has("isfocus"))
}

pub(super) fn session_config(config: &Config) -> invite::Config {
    let max_sessions = config.chat.sessions + config.media.as_ref().map_or(0, |media| media.calls);
    invite::Config {
        retry_after: config.limits.retry_after,
        max_sessions,
        // All of them may come by one proxy.
        max_per_source: max_sessions,
        ..invite::Config::default()
    }
}

pub(super) fn msrp_config(config: &Config, shard: u8) -> msrp::Config {
    let defaults = msrp::Config {
        shard,
        max_sessions: config.chat.sessions,
        max_partial_bytes: PARTIAL_BYTES,
        // Where there is no room, the leg refuses it.
        methods: vec![msrp::Method::Nickname],
        ..msrp::Config::default()
    };
    match &config.msrp {
        None => defaults,
        Some(options) => msrp::Config {
            advertise: options.advertise.clone(),
            max_size: options.max_size,
            relay: options.relay.clone(),
            ..defaults
        },
    }
}
