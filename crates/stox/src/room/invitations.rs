//! Invitations to rooms that go from person to person: a REFER outside of any dialog (RFC 3515, RFC 4579 §5.6) <-> a direct invitation (XEP-0249); and
//! those that a MUC sends to SIP users (XEP-0045 §7.8.2), of which RFC 7702 §5.7 has the other half.
//!
//! What it claims: REFERs that belong to no session; messages to SIP users with an invitation in them. A SIP user whose program knows no REFER
//! is told of the room in words.

use super::REFER;
use crate::address::{self, Scheme};
use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::held::Held;
use crate::links::StanzaToken;
use crate::mapping::{Incoming, Mapping, Side, Stage};
use crate::prints;
use base::{HashKey, Str, Table, Time};
use bodies::sipfrag::{self, StatusLine};
use sip::agent::ServerId;
use sip::header::NameAddr;
use sip::subscription::{self, Body, By, Event, Reason, State, Subscribe, UsageId};
use sip::{Cause, Method, Name, Request, Response, Uri};
use xml::Element;
use xmpp::error::StanzaError;
use xmpp::ext::invitation::Invitation;
use xmpp::ext::muc::{Decline, User};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// How long we want to hear what has become of a REFER, in seconds: as long as a telephone may ring.
const EXPIRES: u32 = 180;

/// The codes by which a SIP user's program says that it cannot be referred like this, so that words are tried.
const NO_REFER: [u16; 11] = [405, 406, 415, 420, 421, 481, 488, 489, 493, 501, 606];

/// A REFER that waits for the XMPP server.
#[derive(Debug)]
struct Waiting {
    usage: UsageId,
    server: ServerId,
    since: Time,
}

/// An invitation of an XMPP user, or of a MUC, on its way.
#[derive(Debug)]
struct Sent {
    link: LinkId,
    /// The message, without its content.
    envelope: Stanza,
    asks: Asks,
    /// Whoever asked knows what became of it.
    told: bool,
}

/// To what somebody is asked.
#[derive(Debug)]
struct Asks {
    room: Jid,
    /// What lets one in.
    password: Option<Str>,
    reason: Option<String>,
    /// Who asks, where it is the room that says so.
    by: Option<Jid>,
}

/// The mapping of XEP-0249.
#[derive(Debug)]
pub struct Invitations {
    key: HashKey,
    addresses: address::Options,
    /// The REFER that the engine was given last.
    arriving: Option<Incoming>,
    held: Held<Waiting>,
    /// REFERs of which the last word is still to be said.
    taken: Table<UsageId, ()>,
    sent: Table<UsageId, Box<Sent>>,
}

impl Invitations {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Invitations {
        let addresses = address::Options { phone_domain: config.phone_domain.clone() };
        let (taken, sent) = (Table::new(key), Table::new(key));
        Invitations { key, addresses, arriving: None, held: Held::new(key), taken, sent }
    }

    /// Those on their way to XMPP.
    pub fn under_way(&self) -> usize {
        self.held.len()
    }

    /// A REFER that is nobody's else: it becomes an invitation, and is answered when the XMPP server has taken that.
    fn referred(&mut self, stage: &mut Stage<'_>, usage: UsageId, server: ServerId, request: &Request) {
        if let Err(refusal) = self.try_refer(stage, usage, server, request) {
            stage.refuse_watch(usage, server, &refusal);
        }
    }

    fn try_refer(
        &mut self,
        stage: &mut Stage<'_>,
        usage: UsageId,
        server: ServerId,
        request: &Request,
    ) -> Result<(), Refusal> {
        let (from, to, link) = self.parties(stage, server, request)?;
        let target = request.headers.refer_to().ok().flatten().ok_or(Refusal::BadRequest("Bad Refer-To"))?;
        let method = target.uri.sip().and_then(|uri| uri.params.get("method")).unwrap_or("INVITE").to_owned();
        let room = address::to_jid(&target.uri, &self.addresses).map_err(Refusal::Address)?.bare();
        let rooms = &stage.config.room;
        // A MUC is no person; and where the gateway serves nothing there is no room that could be entered from here.
        let known = stage.link_of(room.domain()).is_some()
            || rooms.is_muc(room.domain())
            || stage.config.is_xmpp(room.domain());
        if rooms.is_muc(to.domain()) || !known || !method.eq_ignore_ascii_case("INVITE") || room.local().is_none() {
            return Err(Refusal::NotSupported);
        }
        stage.rate(&from)?;
        let limits = &stage.config.limits;
        if self.held.len() >= limits.held {
            return Err(Refusal::Overload { retry_after: limits.retry_after });
        }
        let reason = request.headers.get(Name::Subject).map(error::text_of_reason).filter(|reason| !reason.is_empty());
        let id = stage.tokens.token(16);
        let invitation = Invitation { reason, ..Invitation::to(room) };
        let stanza = Stanza::message().with_from(from.clone()).with_to(to.clone()).with_id(id.clone());
        let stanza = stanza.with_child(invitation.to_element());
        let taken = stage.deliver(link, &stanza).ok_or(Refusal::LinkDown { retry_after: limits.retry_after })?;
        let said = prints::said(&self.key, &id, &from, &to);
        self.held.hold(taken, said, stage.now + limits.held_for, Waiting { usage, server, since: stage.now });
        Ok(())
    }

    /// Who is referred by whom: outside of any dialog as the gateway has found, else as the dialog says.
    fn parties(
        &mut self,
        stage: &Stage<'_>,
        server: ServerId,
        request: &Request,
    ) -> Result<(Jid, Jid, LinkId), Refusal> {
        if let Some(incoming) = self.arriving.take_if(|incoming| incoming.id == server) {
            return Ok((incoming.from, incoming.to, incoming.link));
        }
        let dialog = stage.sessions.find(request).and_then(|session| stage.sessions.dialog(session));
        let dialog = dialog.ok_or(Refusal::NoDialog)?;
        let jid = |text: &str| {
            let uri = NameAddr::parse(text).map_err(|_| Refusal::NoDialog)?.uri;
            address::to_jid(&uri, &self.addresses).map_err(Refusal::Address)
        };
        let (from, to) = (jid(&dialog.remote_uri)?, jid(&dialog.local_uri)?);
        let link = stage.link_of(from.domain()).ok_or(Refusal::NotServed)?;
        Ok((from, to, link))
    }

    /// The XMPP side has the invitation, or has not.
    fn settled(&mut self, stage: &mut Stage<'_>, waiting: &Waiting, answer: Result<(), Response>) {
        match answer {
            Ok(()) => {
                self.taken.insert(waiting.usage, ());
                stage.events(|events, ground| events.accept(ground, waiting.usage, waiting.server, 0));
            }
            Err(response) => {
                stage.note(Note::Failed { by: Side::Xmpp, code: response.code });
                stage.events(|events, ground| events.refuse(ground, waiting.usage, waiting.server, response));
            }
        }
    }

    /// An invitation to a SIP user.
    fn invite(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, asks: Asks) -> Result<(), Refusal> {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return Ok(()) };
        stage.rate(from)?;
        let mut room = address::to_uri(&asks.room.bare(), Scheme::Sip).map_err(Refusal::Address)?;
        let rooms = &stage.config.room;
        let domain = asks.room.domain();
        let may_be_muc = || rooms.muc_domains.is_empty() && stage.config.is_xmpp(domain);
        let is_muc = rooms.is_muc(domain) || may_be_muc();
        if asks.room.local().is_none() || !is_muc && !rooms.is_conference(domain) {
            // SIP does not lead there, and the user may know another way; or it may be no room: some telephones call whatever they are referred to.
            say(stage, link, stanza, &asks);
            return Ok(());
        }
        if let Some(password) = asks.password.as_ref().filter(|_| is_muc) {
            // As it is read where somebody calls the room.
            room.params.set(super::PASSWORD, Some(password.as_bytes()));
        }
        let voice = stage.voice(from, to)?;
        let remote = address::to_uri(to, Scheme::Sip).map_err(Refusal::Address)?;
        let way = stage.route(from, &remote)?;
        let contact = stage.contact(&voice.contact, way.transport);
        let speaker = voice.from;
        // A service speaks for its own users, and not for those of others.
        let by = asks.by.as_ref().filter(|by| by.domain() == from.domain());
        let by = by.and_then(|by| address::to_uri(&by.bare(), Scheme::Sip).ok());
        let by = by.unwrap_or_else(|| speaker.clone());
        let mut headers = vec![(Name::ReferredBy, base::format_compact!("<{by}>"))];
        if let Some(reason) = asks.reason.as_deref().map(error::reason_of_text).filter(|reason| !reason.is_empty()) {
            headers.push((Name::Subject, reason));
        }
        let subscribe = Subscribe {
            package: REFER,
            event_id: None,
            local: NameAddr::new(speaker),
            remote: Uri::from(remote),
            contact: NameAddr::new(contact),
            accept: "message/sipfrag",
            expires: EXPIRES,
            route: way.route,
            hop: way.hop,
            call_id: None,
            by: By::Refer { refer_to: base::format_compact!("<{room}>"), headers },
        };
        let usage = stage.events(|events, ground| events.subscribe(ground, subscribe));
        let usage = match usage {
            Ok(usage) => usage,
            // Without sessions there are no REFERs.
            Err(subscription::Refused::Package) => {
                say(stage, link, stanza, &asks);
                return Ok(());
            }
            Err(_) => return Err(Refusal::Overload { retry_after: stage.config.limits.retry_after }),
        };
        let envelope = stanza.envelope();
        self.sent.insert(usage, Box::new(Sent { link, envelope, asks, told: false }));
        Ok(())
    }

    /// Something happened to an invitation of an XMPP user or of a MUC.
    fn sent_event(&mut self, stage: &mut Stage<'_>, event: Event) {
        let (id, last) = (event.id(), event.is_last());
        let failed = match event {
            Event::Notify { server, request, .. } => {
                stage.events(|events, ground| events.answer_notify(ground, id, server, Response::new(200, "")));
                let said = StatusLine::parse(&request.body).ok().filter(|said| said.code >= 300);
                said.map(|said| Failed::Response(Response::new(said.code, &said.phrase)))
            }
            Event::Refused { cause: Cause::Response(response), .. } if NO_REFER.contains(&response.code) => {
                Some(Failed::Unable)
            }
            Event::Refused { cause: Cause::Response(response), .. } => Some(Failed::Response(*response)),
            Event::Refused { cause: Cause::Timeout, .. } => Some(Failed::Own(Refusal::SipTimeout)),
            Event::Refused { cause: Cause::Transport, .. } => Some(Failed::Own(Refusal::SipTransport)),
            Event::Refused { cause: Cause::NoWay, .. } => Some(Failed::Own(Refusal::NoRoute)),
            // What has become of it nobody will say.
            Event::Expired { .. }
            | Event::Ended { .. }
            | Event::Save { .. }
            | Event::Accepted { .. }
            | Event::RefreshDue { .. }
            | Event::Watch { .. }
            | Event::Wanted { .. }
            | Event::WatcherGone { .. }
            | Event::Lapsed { .. } => None,
        };
        let Some(sent) = self.sent.get_mut(&id) else { return };
        if let Some(failed) = failed.filter(|_| !std::mem::replace(&mut sent.told, true)) {
            tell(stage, sent, failed);
        }
        if last {
            self.sent.remove(&id);
        }
    }
}

/// How a REFER has failed.
enum Failed {
    /// The SIP user's program cannot be referred.
    Unable,
    Response(Response),
    Own(Refusal),
}

/// Tells whoever has invited that it was in vain; a SIP user who only cannot be referred gets words instead.
fn tell(stage: &mut Stage<'_>, sent: &Sent, failed: Failed) {
    let (error, code) = match failed {
        Failed::Unable => return say(stage, sent.link, &sent.envelope, &sent.asks),
        Failed::Response(response) => (error::from_response(&response), response.code),
        Failed::Own(refusal) => (refusal.stanza_error(), refusal.code()),
    };
    stage.note(Note::Failed { by: Side::Sip, code });
    let Some(by) = &sent.asks.by else {
        if let Some(error) = sent.envelope.error(&error) {
            stage.answer(sent.link, &error);
        }
        return;
    };
    // XEP-0045 §7.8.2: the room passes it on to who has asked.
    let decline = Decline { to: Some(by.clone()), reason: error.text, ..Decline::default() };
    let user = User { decline: Some(decline), ..User::default() };
    let mut stanza = Stanza::message().with_id(stage.tokens.token(12)).with_child(user.to_element());
    (stanza.from, stanza.to) = (sent.envelope.to.clone(), Some(sent.asks.room.clone()));
    stage.answer(sent.link, &stanza);
}

/// The same in words.
fn say(stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, asks: &Asks) {
    let mut words = match &asks.by {
        Some(by) => format!("{} invites you to the room {}", by.bare(), asks.room),
        None => format!("You are invited to the room {}", asks.room),
    };
    if let Ok(uri) = address::to_uri(&asks.room, Scheme::Sip) {
        words.push_str(&format!(" ({uri})"));
    }
    if let Some(reason) = &asks.reason {
        words.push_str(&format!(": {reason}"));
    }
    let mut said = stanza.envelope();
    said.type_ = None;
    said.push(Element::new("body", ns::CLIENT).with_text(&words));
    stage.send_as(Way::Message, link, said);
}

/// The invitation in a message to a person: one from a person, or one of a room.
fn asks(stanza: &Stanza) -> Option<Asks> {
    let to = stanza.to.as_ref()?;
    let type_ = stanza.type_.as_deref();
    if stanza.kind != Kind::Message || to.local().is_none() || matches!(type_, Some("groupchat" | "error")) {
        return None;
    }
    // A room says it in both ways, for old clients.
    let room = || stanza.from.as_ref().filter(|from| from.is_bare() && from.local().is_some()).cloned();
    let mediated = User::of(stanza).and_then(|user| {
        let invite = user.invites.into_iter().find(|invite| invite.from.is_some())?;
        Some((invite, user.password))
    });
    if let Some(((invite, password), room)) = mediated.zip(room()) {
        return Some(Asks { room, password, reason: invite.reason, by: invite.from });
    }
    let direct = stanza.elements().find_map(Invitation::parse)?;
    // What a person says beside it is the reason, if there is no other.
    let body = || stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned()).filter(|body| !body.is_empty());
    Some(Asks { room: direct.room, password: direct.password, reason: direct.reason.or_else(body), by: None })
}

impl Mapping for Invitations {
    fn claims_request(&self, request: &Request) -> bool {
        request.method == Method::Refer
    }

    fn claims_stanza(&self, stanza: &Stanza, _: Way) -> bool {
        asks(stanza).is_some()
    }

    fn reconfigure(&mut self, config: &Config) {
        self.addresses = address::Options { phone_domain: config.phone_domain.clone() };
    }

    fn request(&mut self, stage: &mut Stage<'_>, incoming: Incoming) {
        let uri = address::to_uri(&incoming.to, Scheme::Sip).map_or_else(|_| incoming.request.uri.clone(), Uri::Sip);
        let contact = NameAddr::new(stage.contact(&uri, incoming.flow.transport));
        let (id, request, flow) = (incoming.id, incoming.request.clone(), incoming.flow);
        self.arriving = Some(incoming);
        stage.events(|events, ground| events.request(ground, id, request, flow, &contact));
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        let Some(asks) = asks(&stanza) else { return };
        let (room, by) = (asks.room.clone(), asks.by.clone());
        let Err(refusal) = self.invite(stage, link, &stanza, asks) else { return };
        if by.is_none() {
            return stage.refuse_stanza(link, &stanza, &refusal);
        }
        stage.note_refused(&refusal, Side::Xmpp, true);
        let sent = Sent {
            link,
            envelope: stanza.envelope(),
            asks: Asks { room, password: None, reason: None, by },
            told: true,
        };
        tell(stage, &sent, Failed::Own(refusal));
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        let (Kind::Message, Some(id), Some(from), Some(to)) = (stanza.kind, &stanza.id, &stanza.from, &stanza.to)
        else {
            return false;
        };
        let Some(waiting) = self.held.refused(&prints::said(&self.key, id, to, from)) else { return false };
        self.settled(stage, &waiting, Err(error::to_response(error, !from.is_bare())));
        true
    }

    fn event(&mut self, stage: &mut Stage<'_>, event: Event) -> Option<Event> {
        let id = event.id();
        if event.package() != REFER {
            return Some(event);
        }
        match event {
            _ if self.sent.contains(&id) => self.sent_event(stage, event),
            Event::Watch { server, request, .. } => self.referred(stage, id, server, &request),
            Event::Wanted { .. } if self.taken.remove(&id).is_some() => told(stage, id),
            event @ (Event::Notify { .. } | Event::Refused { .. } | Event::Expired { .. } | Event::Accepted { .. }) => {
                return Some(event);
            }
            Event::Wanted { .. }
            | Event::WatcherGone { .. }
            | Event::Lapsed { .. }
            | Event::Ended { .. }
            | Event::RefreshDue { .. }
            | Event::Save { .. } => {
                self.taken.remove(&id);
            }
        }
        None
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        let Some(waiting) = self.held.release(token) else { return false };
        if taken {
            stage.note(Note::Delivered { to: Side::Xmpp, micros: stage.now.since(waiting.since).as_micros() as u64 });
            self.settled(stage, &waiting, Ok(()));
        } else {
            self.not_taken(stage, &waiting);
        }
        true
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        while let Some(waiting) = self.held.give_up() {
            self.not_taken(stage, &waiting);
        }
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some(waiting) = self.held.overdue(stage.now) {
            self.not_taken(stage, &waiting);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.held.deadline()
    }
}

impl Invitations {
    fn not_taken(&mut self, stage: &mut Stage<'_>, waiting: &Waiting) {
        let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
        self.settled(stage, waiting, Err(refusal.response()));
    }
}

/// The last word on a REFER that became an invitation: whether a person follows it the gateway does not learn (RFC 3515 §2.4.5).
fn told(stage: &mut Stage<'_>, usage: UsageId) {
    let content = StatusLine::new(100, "Trying").map(|line| line.to_bytes()).unwrap_or_default();
    let body = Body { content_type: sipfrag::MEDIA_TYPE, language: None, content: content.into() };
    let state = State::terminated(Reason::NoResource);
    stage.events(|events, ground| events.notify(ground, usage, &state, Some(body)));
}
