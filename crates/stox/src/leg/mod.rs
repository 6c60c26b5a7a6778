//! Legs: an INVITE dialog (RFC 3261) and the MSRP session (RFC 4975) that its descriptions agreed on, as one thing.
//!
//! A leg is asked for ([`Legs::invite`], [`Legs::accept`]), opens ([`Event::Open`]: from now on it carries messages), and ends, by either side or
//! because one of its halves has gone; the other half is ended then. What it carries is the business of the mapping that has it.

mod called;
mod change;
pub mod negotiate;
mod room;
mod value;

pub use value::{Call, Chatroom, Event, Failed, Footing, LegId, Options, Outgoing, Why};

use crate::error::Refusal;
use base::{Fingerprint, HashKey, Str, Table, Time, Timers};
use bodies::sdp::MEDIA_TYPE;
use bytes::Bytes;
use msrp::{MessageId, MessageToken};
use negotiate::{Accept, Agreed, Ours, Part};
use sip::invite::{self, Body, Ended, Invite};
use sip::{Dialog, Name, Response};
use std::collections::VecDeque;

/// Where a leg is.
#[derive(Debug)]
enum State {
    /// Our path is not known yet; then the INVITE goes out.
    Calling(Box<Call>),
    /// The same, and then the INVITE is answered; where it is held, when whoever has the leg says so.
    Called { offer: Bytes, held: bool },
    /// The INVITE can be answered: with this, or, where it had no offer, with ours.
    Held(Option<Box<(Agreed, Bytes)>>),
    /// Our INVITE is out.
    Inviting,
    /// Both sides have described the session.
    Open { accept: Box<Accept>, max_size: Option<u64>, takes: bool, chatroom: Option<Chatroom> },
}

#[derive(Debug)]
struct Leg {
    state: State,
    session: Option<invite::SessionId>,
    msrp: msrp::SessionId,
    secure: bool,
    /// What we say of rooms.
    chatroom: Option<Chatroom>,
    /// What o= says: the number of the session, which nobody else has (RFC 8866 §5.2), and that of the version.
    origin: u64,
    version: u64,
    /// Our last description, to be said again where the other side asks for no change.
    said: Bytes,
    /// What stands for the other side's last description. Kept itself, it would keep all that it came in.
    heard: Option<Fingerprint>,
    /// What it answered before its 2xx, with its tag.
    early: Option<Box<(Str, Bytes)>>,
    /// Its path, which stays what it is.
    path: Option<msrp::Path>,
    /// Whether middleboxes may move the connection (RFC 6714).
    cema: bool,
    /// Why it ends, where that was our doing.
    ending: Option<Failed>,
    /// Messages of ours that are on their way.
    flying: usize,
    /// The dialog is over.
    hung_up: Option<Why>,
    /// The MSRP session is.
    closed: bool,
}

/// All legs of a shard.
#[derive(Debug)]
pub struct Legs {
    key: HashKey,
    legs: Table<LegId, Box<Leg>>,
    by_session: Table<invite::SessionId, LegId>,
    by_msrp: Table<msrp::SessionId, LegId>,
    due: Timers<LegId>,
    last: u64,
    events: VecDeque<Event>,
}

/// What we take in a session, and within CPIM.
const ACCEPT: &[&str] = &[
    "message/cpim",
    "text/plain",
    "text/html",
    "application/im-iscomposing+xml",
    "message/imdn+xml",
    "multipart/alternative",
    "multipart/mixed",
];
const WRAPPED: &[&str] = &["*"];

/// How long answers are waited for that a BYE may have overtaken.
const OVERTAKEN: std::time::Duration = std::time::Duration::from_secs(2);

impl Legs {
    /// None yet.
    pub fn new(key: HashKey) -> Legs {
        Legs {
            key,
            legs: Table::new(key),
            by_session: Table::new(key),
            by_msrp: Table::new(key),
            due: Timers::new(),
            last: 0,
            events: VecDeque::new(),
        }
    }

    /// Opens a session. [`Event::Open`] or [`Event::Failed`] follows.
    ///
    /// # Errors
    /// [`Refusal::Overload`], [`Refusal::NotSupported`] where the gateway speaks no MSRP.
    pub fn invite(&mut self, footing: &mut Footing<'_>, call: Call) -> Result<LegId, Refusal> {
        let options = footing.config.msrp.as_ref().ok_or(Refusal::NotSupported)?;
        let (secure, chatroom) = (options.offers_tls(), call.chatroom);
        self.begin(footing, secure, chatroom, State::Calling(Box::new(call)), None)
    }

    fn begin(
        &mut self,
        footing: &mut Footing<'_>,
        secure: bool,
        chatroom: Option<Chatroom>,
        state: State,
        session: Option<invite::SessionId>,
    ) -> Result<LegId, Refusal> {
        let retry_after = footing.config.limits.retry_after;
        let msrp = footing.msrp.open(footing.now, secure).map_err(|_| Refusal::Overload { retry_after })?;
        self.last += 1;
        let id = LegId(self.last);
        let leg = Leg {
            state,
            session,
            msrp,
            secure,
            chatroom,
            origin: footing.tokens.u64(),
            version: 1,
            said: Bytes::new(),
            heard: None,
            early: None,
            path: None,
            cema: true,
            ending: None,
            flying: 0,
            hung_up: None,
            closed: false,
        };
        self.legs.insert(id, Box::new(leg));
        self.by_msrp.insert(msrp, id);
        if let Some(session) = session {
            self.by_session.insert(session, id);
        }
        Ok(id)
    }

    /// What the other side takes; `None` before the leg is open.
    pub fn accepts(&self, id: LegId) -> Option<&Accept> {
        match &self.legs.get(&id)?.state {
            State::Open { accept, takes: true, .. } => Some(accept),
            State::Open { takes: false, .. }
            | State::Calling(_)
            | State::Called { .. }
            | State::Held(_)
            | State::Inviting => None,
        }
    }

    /// The longest message that the other side takes, in bytes, if it said.
    pub fn max_size(&self, id: LegId) -> Option<u64> {
        match &self.legs.get(&id)?.state {
            State::Open { max_size, .. } => *max_size,
            State::Calling(_) | State::Called { .. } | State::Held(_) | State::Inviting => None,
        }
    }

    /// The leg of a session.
    pub fn of_session(&self, session: invite::SessionId) -> Option<LegId> {
        self.by_session.get(&session).copied()
    }

    /// The session of a leg, once there is one.
    pub fn session(&self, id: LegId) -> Option<invite::SessionId> {
        self.legs.get(&id)?.session
    }

    /// The dialog, once there is one.
    pub fn dialog<'a>(&self, footing: &'a Footing<'_>, id: LegId) -> Option<&'a Dialog> {
        footing.sessions.dialog(self.legs.get(&id)?.session?)
    }

    /// Sends a message; [`Event::Sent`] or [`Event::Undelivered`] follows.
    ///
    /// # Errors
    /// [`msrp::Refused`]: nothing was sent.
    pub fn send(
        &mut self,
        footing: &mut Footing<'_>,
        id: LegId,
        message: Outgoing,
    ) -> Result<MessageId, msrp::Refused> {
        let leg = self.legs.get_mut(&id).filter(|leg| leg.hung_up.is_none()).ok_or(msrp::Refused::Gone)?;
        let message = msrp::Outgoing {
            message_id: None,
            content_type: message.content_type,
            headers: Vec::new(),
            body: message.body,
            success_report: message.success_report,
            failure_report: message.failure_report,
        };
        let sent = footing.msrp.send(footing.now, leg.msrp, message)?;
        leg.flying += 1;
        Ok(sent)
    }

    /// Answers a message that came.
    pub fn answer(&mut self, footing: &mut Footing<'_>, token: MessageToken, code: u16, comment: &str) {
        footing.msrp.answer(footing.now, token, code, comment);
    }

    /// Reports what became of a message that came.
    pub fn report(&mut self, footing: &mut Footing<'_>, id: LegId, message: &MessageId, total: u64, code: u16) {
        if let Some(leg) = self.legs.get(&id) {
            footing.msrp.report(footing.now, leg.msrp, message, total, code, "");
        }
    }

    /// Ends a leg, whatever state it is in; [`Event::Failed`] or [`Event::Ended`] follows.
    pub fn end(&mut self, footing: &mut Footing<'_>, id: LegId) {
        self.end_with(footing, id, Failed::GivenUp, Vec::new());
    }

    /// The same, and tells the other side why: with a status and words for people (RFC 3326).
    pub fn end_for(&mut self, footing: &mut Footing<'_>, id: LegId, cause: u16, why: &str) {
        // RFC 3261 §25.1: a quoted string.
        let mut text = Str::default();
        for c in crate::error::one_line(why).take(200) {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        let reason = base::format_compact!("SIP;cause={cause};text=\"{text}\"");
        self.end_with(footing, id, Failed::GivenUp, vec![(Name::Reason, reason)]);
    }

    fn end_with(&mut self, footing: &mut Footing<'_>, id: LegId, why: Failed, headers: Vec<(Name, Str)>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.ending.is_none() {
            leg.ending = Some(why);
        }
        match leg.session {
            Some(session) => footing.sessions(|sessions, ground| sessions.bye(ground, session, headers)),
            None => self.hung_up(footing, id, Why::Ours),
        }
    }

    /// Ends a leg whose other side does not answer any more: it is lost.
    pub fn give_up(&mut self, footing: &mut Footing<'_>, id: LegId) {
        self.end_with(footing, id, Failed::Session(Refusal::SipTransport), reason(503));
    }

    /// Something happened to a session. What is no leg's comes back.
    pub fn session_event(&mut self, footing: &mut Footing<'_>, event: invite::Event) -> Option<invite::Event> {
        let Some(&id) = self.by_session.get(&event.id()) else { return Some(event) };
        match event {
            // Rooms and chats do not ring: nobody is told of it.
            invite::Event::Progress { response, .. } => self.progress(id, &response),
            invite::Event::Confirmed { body: None, .. } => {
                // RFC 3261 §13.2.2.4: the answer to our offer was to be in it.
                let unanswered = self.legs.get(&id).is_some_and(|leg| matches!(leg.state, State::Inviting));
                if unanswered {
                    let refusal = Refusal::BadBody("The ACK has no answer");
                    self.end_with(footing, id, Failed::Session(refusal), reason(488));
                }
            }
            invite::Event::Established { response, .. } => self.established(footing, id, response),
            invite::Event::Confirmed { body: Some(body), .. } => self.answered(footing, id, &body.content, None),
            invite::Event::Offered { id: session, body } => self.offered(footing, id, session, body),
            invite::Event::Answered { body, .. } => self.changed(footing, id, body),
            // The session goes on as it was. Nothing is said by INFO in a leg.
            invite::Event::OfferRefused { .. }
            | invite::Event::OfferWithdrawn { .. }
            | invite::Event::Info { .. }
            | invite::Event::InfoEnded { .. } => {}
            invite::Event::Failed { cause, .. } => self.failed(footing, id, Failed::Call(cause)),
            invite::Event::Ended { why, .. } => self.session_ended(footing, id, &why),
            // Nobody has a leg for an INVITE that only comes.
            event @ invite::Event::Invited { .. } => return Some(event),
        }
        None
    }

    /// Something happened to an MSRP session.
    pub fn msrp_event(&mut self, footing: &mut Footing<'_>, event: msrp::Event) {
        let Some(&id) = self.by_msrp.get(&event.id()) else { return };
        match event {
            msrp::Event::Ready { .. } => self.ready(footing, id),
            msrp::Event::Up { .. } => self.events.push_back(Event::Up { leg: id }),
            msrp::Event::Message { token, message, .. } => {
                self.events.push_back(Event::Message { leg: id, token, message });
            }
            msrp::Event::Sent { message_id, .. } => {
                self.events.push_back(Event::Sent { leg: id, message: message_id });
                self.landed(footing, id);
            }
            msrp::Event::Failed { message_id, why, .. } => {
                self.events.push_back(Event::Undelivered { leg: id, message: message_id, why });
                self.landed(footing, id);
            }
            // Of a message in parts the last part's report counts, but for failures.
            msrp::Event::Report { message_id, code, complete, .. } => {
                if complete || code >= 300 {
                    self.events.push_back(Event::Report { leg: id, message: message_id, code });
                }
            }
            msrp::Event::Request { token, request, .. } => self.requested(footing, id, token, &request),
            msrp::Event::Answered { code, .. } => self.events.push_back(Event::Nicknamed { leg: id, code }),
            msrp::Event::Closed { .. } => self.closed(footing, id),
        }
    }

    /// Lets pass what is due.
    pub fn timeout(&mut self, footing: &mut Footing<'_>) {
        while let Some((_, id)) = self.due.pop(footing.now) {
            let rings = self.legs.get(&id).is_some_and(|leg| matches!(leg.state, State::Inviting | State::Calling(_)));
            if rings {
                self.end_with(footing, id, Failed::NoAnswer, Vec::new());
            } else {
                self.give_up_if_over(footing, id);
            }
        }
    }

    /// When [`Legs::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.due.next()
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Our path is known: the INVITE goes out, or is answered.
    fn ready(&mut self, footing: &mut Footing<'_>, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match std::mem::replace(&mut leg.state, State::Inviting) {
            State::Calling(call) => self.call(footing, id, *call),
            State::Called { offer, held } => self.take(footing, id, &offer, held),
            state @ (State::Held(_) | State::Inviting | State::Open { .. }) => leg.state = state,
        }
    }

    fn call(&mut self, footing: &mut Footing<'_>, id: LegId, call: Call) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(offer) = leg.describe(footing, negotiate::offer) else {
            return self.failed(footing, id, Failed::Session(Refusal::NotSupported));
        };
        leg.said = offer.clone();
        let at = footing.now + call.ring;
        let invite = Invite {
            local: call.local,
            remote: call.remote,
            contact: call.contact,
            hop: call.hop,
            route: call.route,
            call_id: call.call_id,
            headers: call.headers,
            offer: Some(body(offer)),
            infos: invite::Infos::default(),
        };
        match footing.sessions(|sessions, ground| sessions.invite(ground, invite)) {
            Ok(session) => {
                leg.session = Some(session);
                self.by_session.insert(session, id);
                self.due.set(at, id);
            }
            Err(_) => {
                let retry_after = footing.config.limits.retry_after;
                self.failed(footing, id, Failed::Session(Refusal::Overload { retry_after }));
            }
        }
    }

    /// The answer to our offer may come before the 2xx, reliably (RFC 3262 §5).
    fn progress(&mut self, id: LegId, response: &Response) {
        let reliable = response.headers.elements(Name::Require).flatten().any(|tag| tag.eq_ignore_ascii_case("100rel"));
        if let (true, Some(leg), Some(tag)) = (reliable, self.legs.get_mut(&id), response.headers.to_tag())
            && !response.body.is_empty()
        {
            leg.early = Some(Box::new((Str::from(tag), Bytes::copy_from_slice(&response.body))));
        }
    }

    fn established(&mut self, footing: &mut Footing<'_>, id: LegId, response: Box<Response>) {
        let early = self.legs.get_mut(&id).and_then(|leg| leg.early.take());
        let early = early.filter(|early| response.headers.to_tag() == Some(&early.0));
        let answer = match early {
            Some(early) if response.body.is_empty() => early.1,
            _ => response.body.clone(),
        };
        self.answered(footing, id, &answer, Some(response));
    }

    /// The other side's answer to our offer.
    fn answered(&mut self, footing: &mut Footing<'_>, id: LegId, answer: &Bytes, response: Option<Box<Response>>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let may = |address| footing.config.may_lead_to(address);
        match leg.describe(footing, |ours| negotiate::read_answer(ours, answer, &may)) {
            Some(Ok(agreed)) => {
                leg.heard = Some(self.key.fingerprint(&[answer]));
                self.open(footing, id, agreed, response);
            }
            // RFC 3261 §13.2.2.4: it is acknowledged already, so it is ended in order.
            Some(Err(refusal)) => self.end_with(footing, id, Failed::Session(refusal), reason(488)),
            None => self.end_with(footing, id, Failed::Session(Refusal::NotSupported), reason(488)),
        }
    }

    fn open(&mut self, footing: &mut Footing<'_>, id: LegId, agreed: Agreed, response: Option<Box<Response>>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Agreed { path, way, accept, max_size, receives, chatroom, offer_again, fingerprints, .. } = agreed;
        leg.agree(accept, max_size, receives, chatroom);
        leg.path = Some(path.clone());
        footing.msrp.expect(leg.msrp, fingerprints);
        footing.msrp.begin(footing.now, leg.msrp, &msrp::Peer { path, way, max_size });
        self.events.push_back(Event::Open { leg: id, response });
        if offer_again {
            self.offer_again(footing, id);
        }
    }

    fn session_ended(&mut self, footing: &mut Footing<'_>, id: LegId, why: &Ended) {
        let why = match why {
            Ended::Bye(_) => Why::Bye,
            Ended::Ours => Why::Ours,
            Ended::Cancelled(_) | Ended::NotAcknowledged | Ended::Expired | Ended::Gone => Why::Lost,
        };
        self.hung_up(footing, id, why);
    }

    /// The MSRP session is over: the other half goes with it.
    fn closed(&mut self, footing: &mut Footing<'_>, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.closed = true;
        if leg.hung_up.is_some() {
            self.over(id);
        } else {
            self.give_up(footing, id);
        }
    }

    fn failed(&mut self, footing: &mut Footing<'_>, id: LegId, why: Failed) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.ending.get_or_insert(why);
        }
        self.hung_up(footing, id, Why::Ours);
    }

    /// The dialog is over: the MSRP session goes with it, and tells what becomes of the messages that are on their way.
    fn hung_up(&mut self, footing: &mut Footing<'_>, id: LegId, why: Why) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let waits = why == Why::Bye && leg.flying > 0 && !leg.closed;
        leg.hung_up.get_or_insert(why);
        if leg.closed {
            self.over(id);
        } else if waits {
            // A BYE by UDP is faster than the answers that were sent before it by TCP.
            self.due.set(footing.now + OVERTAKEN, id);
            self.events.push_back(Event::Ending { leg: id });
        } else {
            footing.msrp.give_up(footing.now, leg.msrp);
        }
    }

    /// A message of ours is on its way no more.
    fn landed(&mut self, footing: &mut Footing<'_>, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.flying = leg.flying.saturating_sub(1);
        if leg.flying == 0 {
            self.give_up_if_over(footing, id);
        }
    }

    fn give_up_if_over(&mut self, footing: &mut Footing<'_>, id: LegId) {
        if let Some(leg) = self.legs.get(&id).filter(|leg| leg.hung_up.is_some() && !leg.closed) {
            footing.msrp.give_up(footing.now, leg.msrp);
        }
    }

    fn over(&mut self, id: LegId) {
        let Some(leg) = self.legs.remove(&id) else { return };
        self.by_msrp.remove(&leg.msrp);
        if let Some(session) = leg.session {
            self.by_session.remove(&session);
        }
        self.events.push_back(match leg.state {
            State::Open { .. } => {
                let lost = matches!(leg.ending, Some(Failed::Session(_)));
                let why = if lost { Why::Lost } else { leg.hung_up.unwrap_or(Why::Lost) };
                Event::Ended { leg: id, why }
            }
            State::Calling(_) | State::Called { .. } | State::Held(_) | State::Inviting => {
                Event::Failed { leg: id, why: leg.ending.unwrap_or(Failed::GivenUp) }
            }
        });
    }
}

impl Leg {
    /// What the other side agreed to holds.
    fn agree(&mut self, accept: Accept, max_size: Option<u64>, receives: bool, chatroom: Option<Chatroom>) {
        self.state = State::Open { accept: Box::new(accept), max_size, takes: receives, chatroom };
    }

    /// Our last description, which is an answer, and what a refresh then offers: no answer does as an offer (RFC 6135 §4.2.2).
    fn answer(&self) -> (Body, Body) {
        (body(self.said.clone()), body(negotiate::again(&self.said, Part::Offer, self.version + 1)))
    }

    /// Acts with our description of the session. `None` if it cannot be made: our path is not known.
    fn describe<R>(&self, footing: &Footing<'_>, act: impl FnOnce(&Ours<'_>) -> R) -> Option<R> {
        let options = footing.config.msrp.as_ref()?;
        let place = options.place(self.secure)?;
        let path = footing.msrp.local_path(self.msrp)?;
        Some(act(&Ours {
            path: &path,
            host: &place.host,
            port: place.port,
            secure: self.secure,
            fingerprint: options.fingerprint.as_ref().filter(|_| self.secure),
            accept_types: if self.chatroom.is_some() { room::ACCEPT } else { ACCEPT },
            accept_wrapped_types: WRAPPED,
            max_size: options.max_size as u64,
            session_id: self.origin,
            version: self.version,
            cema: self.cema,
            chatroom: self.chatroom,
        }))
    }
}

fn body(description: Bytes) -> Body {
    Body { content_type: Str::const_new(MEDIA_TYPE), content: description }
}

/// RFC 3326: why we end it.
fn reason(cause: u16) -> Vec<(Name, Str)> {
    vec![(Name::Reason, base::format_compact!("SIP;cause={cause}"))]
}
