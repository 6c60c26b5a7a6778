//! Single instant messages: RFC 7572, SIP MESSAGE (RFC 3428) <-> `<message/>` (RFC 6121).
//!
//! From SIP: the request is *held* until the XMPP server took the stanza or refused it; that decides the final response.
//! From XMPP: at most one message of each pair is *in flight*; the others wait behind it. A 2xx ends it in silence (or with a
//! receipt, if one was asked for), everything else becomes a stanza error.
//!
//! What it claims: the method MESSAGE outside a dialog, and every message stanza. Of those, groupchat is refused
//! (RFC 6121 §5.2.2: to an entity that is no room, `<service-unavailable/>`); headline is translated like normal, as
//! SIP has no word for it, and its sender is told of failures.

mod peers;
mod queue;
mod receipts;
pub mod s2x;
pub mod x2s;

use crate::choice::Way;
use crate::config::{Config, LinkId, Mode};
use crate::content::arrived::Arrived;
use crate::content::departing::{self, Departing};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::held::Held;
use crate::links::StanzaToken;
use crate::mapping::{Copies, Incoming, Mapping, Outcome, Side, Stage};
use crate::prints;
use base::{Fingerprint, HashKey, Time};
use peers::Peers;
use queue::{Job, Purpose, Queue};
use receipts::Receipts;
use sip::Method;
use sip::agent::{ClientId, ServerId};
use sip::{Request, Response};
use xmpp::error::StanzaError;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// Why a message that is in order goes nowhere: the other side has no word for it, or nobody wants to know.
const NOTHING: &str = "nothing to translate";

/// How single messages are translated.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether HTML and several languages go out as multipart/alternative (with a fall-back to plain text on 415), or only the
    /// plain text of the first body.
    pub rich: bool,
    /// Whether a SIP 200 (not 202) is reported as a receipt (XEP-0184) to a sender who asked for one.
    pub receipts: bool,
    /// Whether chat states (XEP-0085) and is-composing documents (RFC 3994) are translated.
    pub chat_states: bool,
    /// The largest MESSAGE request in bytes that goes out (RFC 3428 §8: 1300).
    pub max_request: usize,
    /// How many SIP users and how many wanted receipts are remembered.
    pub remember: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { rich: true, receipts: true, chat_states: true, max_request: 1300, remember: 20_000 }
    }
}

/// A SIP request that waits for what the XMPP side says.
#[derive(Debug)]
struct Waiting {
    id: ServerId,
    /// Whether the recipient was a full JID: RFC 7247 §7.1 wants other codes then.
    full: bool,
    since: Time,
    /// For the sender's other devices.
    copies: Option<Box<Copies>>,
}

/// The mapping of RFC 7572.
#[derive(Debug)]
pub struct Messages {
    options: Options,
    key: HashKey,
    held: Held<Waiting>,
    queue: Queue,
    peers: Peers,
    receipts: Receipts,
}

impl Messages {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Messages {
        let options = config.message.clone();
        Messages {
            key,
            held: Held::new(key),
            queue: Queue::new(key),
            peers: Peers::new(key, options.remember),
            receipts: Receipts::new(key, options.remember),
            options,
        }
    }

    /// Messages held and messages in flight or waiting.
    pub fn under_way(&self) -> usize {
        self.held.len() + self.queue.len()
    }

    /// Whether something of the same sender to the same recipient is on its way alone.
    pub fn is_busy(&self, stanza: &Stanza) -> bool {
        let pair = stanza.from.as_ref().zip(stanza.to.as_ref());
        pair.is_some_and(|(from, to)| self.queue.is_busy(&prints::pair(&self.key, from, to)))
    }

    /// Messages from XMPP in flight or waiting.
    pub fn under_way_to_sip(&self) -> usize {
        self.queue.len()
    }

    /// The name of a stanza as an error to it will name it: RFC 6120 §8.3.1 swaps from and to and keeps the id. The server may
    /// answer for a full JID from the bare one, and to the bare one or to a resource as it spells it.
    fn stanza_key(&self, id: &str, sender: &Jid, recipient: &Jid) -> Fingerprint {
        prints::said(&self.key, id, sender, recipient)
    }

    /// What came from SIP, on its way to XMPP. `false`: nothing is to be sent, the request is answered 200.
    fn arrive(&mut self, stage: &mut Stage<'_>, incoming: &Incoming) -> Result<bool, Refusal> {
        let limits = &stage.config.limits;
        let (from, to) = (&incoming.from, &incoming.to);
        stage.rate(from)?;
        if !stage.links.is_up(incoming.link) {
            return Err(Refusal::LinkDown { retry_after: limits.retry_after });
        }
        if self.held.len() >= limits.held {
            return Err(Refusal::Overload { retry_after: limits.retry_after });
        }
        let mut arrived = s2x::read(&incoming.request)?;
        if matches!(arrived, Arrived::State(_)) && !self.options.chat_states {
            arrived = Arrived::Nothing;
        }
        self.peers.learn(from, |peer| arrived.teaches(peer));
        // An id of its own for each stanza on its way: a sender that repeats a branch does not confuse its own errors.
        let mut id = s2x::stanza_id(&incoming.request);
        if id.is_empty() || self.held.is_said(&self.stanza_key(&id, from, to)) {
            id.push_str(&stage.tokens.token(8));
        }
        let key = self.stanza_key(&id, from, to);
        let Some(stanza) = s2x::stanza(&incoming.request, &arrived, from, to, &id) else { return Ok(false) };
        if let Arrived::Text(text) = &arrived
            && let Some(wanted) = &text.receipt
        {
            self.receipts.want(&id, to, from, wanted.clone());
        }
        let token =
            stage.deliver(incoming.link, &stanza).ok_or(Refusal::LinkDown { retry_after: limits.retry_after })?;
        let copies = match arrived {
            Arrived::Text(_) => stage.copies_for_owners(incoming.link, from, &stanza),
            Arrived::State(_) | Arrived::Report { .. } | Arrived::Nothing => None,
        };
        let until = stage.now + limits.held_for;
        self.held.hold(token, key, until, Waiting { id: incoming.id, full: !to.is_bare(), since: stage.now, copies });
        Ok(true)
    }

    /// What came from XMPP, on its way to SIP.
    fn depart(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza) -> Result<(), Refusal> {
        let limits = &stage.config.limits;
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return Ok(()) };
        if stanza.type_.as_deref() == Some("groupchat") {
            return Err(Refusal::Groupchat);
        }
        if to.local().is_none() {
            return Err(Refusal::NotSupported);
        }
        stage.rate(from)?;
        let peer = self.peers.get(to);
        let account = stage.account(from, to).map(|account| account.uri.clone()).or_else(|| stage.carried_as(to));
        let account = account.as_ref();
        let (mut draft, purpose) = match departing::read(stanza) {
            Departing::Message(text) => {
                let purpose = Purpose::Message { receipt: text.receipt };
                (x2s::message(stanza, account, &text, peer, &self.options, stage.wall(), stage.tokens)?, purpose)
            }
            Departing::State(state) if peer.composing && self.options.chat_states => {
                (x2s::chat_state(stanza, account, state)?, Purpose::Notice)
            }
            Departing::Receipt { id, disposition } => {
                let Some(wanted) = self.receipts.answer(&id, from, to, disposition) else {
                    stage.note(Note::Ignored { why: NOTHING });
                    return Ok(());
                };
                (x2s::receipt(stanza, account, &wanted, disposition, stage.wall(), stage.tokens)?, Purpose::Notice)
            }
            Departing::State(_) | Departing::Nothing => {
                stage.note(Note::Ignored { why: NOTHING });
                return Ok(());
            }
        };
        let pair = prints::pair(&self.key, from, to);
        if let Some(dialled) = stanza.to.as_ref().and_then(|to| stage.config.numbers.dial(to)) {
            draft.redirect(dialled.uri);
        }
        let job = Job { link, envelope: stanza.envelope(), draft, purpose, since: stage.now, plain: peer.plain_only };
        let refused = if !self.queue.has_room(&job, limits.queued_bytes) {
            Err(Refusal::Overload { retry_after: limits.retry_after })
        } else if self.queue.is_busy(&pair) {
            self.queue
                .wait(pair, job, limits.queue_per_pair, limits.queued)
                .map_err(|_| Refusal::Overload { retry_after: limits.retry_after })
        } else {
            self.launch(stage, pair, job).map_err(|(_, refusal)| refusal)
        };
        match (refused, purpose) {
            (Err(refusal), Purpose::Notice) => {
                stage.note_refused(&refusal, Side::Xmpp, true);
                Ok(())
            }
            (result, _) => result,
        }
    }

    fn may_have_session(stage: &Stage<'_>, stanza: &Stanza) -> bool {
        if stage.given {
            return false;
        }
        let to = stanza.to.as_ref().filter(|to| stage.config.chat_mode(to.domain()) != Mode::Message);
        to.is_some_and(|to| !stage.choice.has_refused(stage.now, to))
    }

    /// Sends a job's request. What is refused comes back with the reason.
    fn launch(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, mut job: Job) -> Result<(), (Box<Job>, Refusal)> {
        let from = job.envelope.from.as_ref().ok_or(Refusal::NoRoute);
        let way = match from.and_then(|from| stage.route(from, job.draft.to())) {
            Ok(way) => way,
            Err(refusal) => return Err((Box::new(job), refusal)),
        };
        let via = stage.sip.via_length(way.transport, job.draft.branch_suffix.as_deref());
        let request = match job.draft.request(job.plain, way.route.as_deref(), via, &self.options, stage.tokens) {
            Ok((request, plain)) => {
                // What goes out is what a 415 refuses, and what asks for a notification or does not.
                job.plain = plain;
                request
            }
            Err(refusal) => return Err((Box::new(job), refusal)),
        };
        match stage.sip.request(stage.now, request, &way.hop, job.draft.branch_suffix.as_deref()) {
            Ok(client) => {
                self.queue.fly(client, pair, job);
                Ok(())
            }
            Err(_) => {
                let refusal = Refusal::Overload { retry_after: stage.config.limits.retry_after };
                Err((Box::new(job), refusal))
            }
        }
    }

    /// The next of a pair whose last message has ended.
    fn launch_next(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        while let Some(mut job) = self.queue.next(&pair) {
            let knows = job.envelope.to.as_ref().map(|to| self.peers.get(to)).unwrap_or_default();
            job.plain |= knows.plain_only;
            match self.launch(stage, pair, job) {
                Ok(()) => return,
                Err((job, refusal)) => Self::refuse(stage, &job, &refusal),
            }
        }
    }

    /// Tells the sender of a message that it did not arrive. Notices fail in silence: nobody wrote them.
    fn fail(&mut self, stage: &mut Stage<'_>, job: &Job, error: &StanzaError, by: Side, code: u16) {
        stage.note(Note::Failed { by, code });
        if !matches!(job.purpose, Purpose::Notice)
            && let Some(answer) = job.envelope.error(error)
        {
            stage.answer(job.link, &answer);
        }
    }

    /// The same for what does not even go out.
    fn refuse(stage: &mut Stage<'_>, job: &Job, refusal: &Refusal) {
        match job.purpose {
            Purpose::Message { .. } => stage.refuse_stanza(job.link, &job.envelope, refusal),
            Purpose::Notice => stage.note_refused(refusal, Side::Xmpp, true),
        }
    }

    /// A response to a message in flight.
    fn landed(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, mut job: Job, response: &Response) {
        let to = job.envelope.to.clone();
        match response.code {
            200..=299 => {
                stage.note(Note::Delivered { to: Side::Sip, micros: stage.now.since(job.since).as_micros() as u64 });
                // RFC 3428 §7: 202 means that somebody keeps it, not that somebody has it.
                let receipt = matches!(job.purpose, Purpose::Message { receipt: true }) && response.code == 200;
                if receipt
                    && self.options.receipts
                    && !job.draft.asks_for_imdn(job.plain)
                    && let Some(received) = receipts::received(&job.envelope)
                {
                    stage.answer(job.link, &received);
                }
            }
            415 if !job.plain && job.draft.is_rich() => {
                if let Some(to) = &to {
                    self.peers.learn(to, |peer| peer.plain_only = true);
                }
                job.plain = true;
                match self.launch(stage, pair, job) {
                    Ok(()) => return,
                    Err((job, refusal)) => Self::refuse(stage, &job, &refusal),
                }
            }
            // The device is not there, or never was a GRUU (a tuple's id is a resource, too: RFC 8048 §6.3): then whoever of the user's
            // devices is there gets it, as RFC 6121 §8.5.3.2.1 has it for a resource that is gone.
            404 | 480 if job.draft.leave_device() => match self.launch(stage, pair, job) {
                Ok(()) => return,
                Err((job, refusal)) => Self::refuse(stage, &job, &refusal),
            },
            code => {
                if let (415, Purpose::Notice, Some(to)) = (code, &job.purpose, &to) {
                    self.peers.learn(to, |peer| (peer.composing, peer.cpim) = (false, false));
                }
                self.fail(stage, &job, &error::from_response(response), Side::Sip, code);
            }
        }
        self.launch_next(stage, pair);
    }

    /// A request that had no answer. The phone is gone: those that wait behind it would each wait as long.
    fn unanswered(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, job: &Job, refusal: &Refusal) {
        let (error, code) = (refusal.stanza_error(), refusal.code());
        self.fail(stage, job, &error, Side::Sip, code);
        while let Some(waiting) = self.queue.next(&pair) {
            self.fail(stage, &waiting, &error, Side::Sip, code);
        }
    }
}

impl Mapping for Messages {
    fn claims_request(&self, request: &Request) -> bool {
        request.method == Method::Message
    }

    fn claims_stanza(&self, stanza: &Stanza, way: Way) -> bool {
        stanza.kind == Kind::Message && way == Way::Message
    }

    fn reconfigure(&mut self, config: &Config) {
        self.options = config.message.clone();
    }

    fn request(&mut self, stage: &mut Stage<'_>, incoming: Incoming) {
        match self.arrive(stage, &incoming) {
            Ok(true) => {}
            Ok(false) => {
                stage.note(Note::Ignored { why: NOTHING });
                stage.sip.respond(stage.now, incoming.id, Response::new(200, ""));
            }
            Err(refusal) => stage.refuse_request(incoming.id, &refusal),
        }
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        match self.depart(stage, link, &stanza) {
            Ok(()) => {}
            // RFC 7572 §6: what is too long to go alone can go in a session, if that is allowed and was not refused.
            Err(Refusal::TooLong { .. }) if Self::may_have_session(stage, &stanza) => {
                stage.send_as(Way::Session, link, stanza);
            }
            Err(refusal) => stage.refuse_stanza(link, &stanza, &refusal),
        }
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        let (Kind::Message, Some(id), Some(from), Some(to)) = (stanza.kind, &stanza.id, &stanza.from, &stanza.to)
        else {
            return false;
        };
        let Some(held) = self.held.refused(&self.stanza_key(id, to, from)) else { return false };
        let mut response = error::to_response(error, held.full);
        if response.code == 405 {
            // RFC 3261 §21.4.6: a 405 without Allow is none.
            response.headers.push(sip::Name::Allow, stage.sip.allow());
        }
        stage.note(Note::Failed { by: Side::Xmpp, code: response.code });
        stage.sip.respond(stage.now, held.id, response);
        true
    }

    fn outcome(&mut self, stage: &mut Stage<'_>, id: ClientId, outcome: Outcome) -> Option<Outcome> {
        let Some((pair, job)) = self.queue.land(id) else { return Some(outcome) };
        match outcome {
            Outcome::Response(response) => self.landed(stage, pair, job, &response),
            Outcome::Failed(refusal) => self.unanswered(stage, pair, &job, &refusal),
        }
        None
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        let Some(held) = self.held.release(token) else { return false };
        if taken {
            stage.note(Note::Delivered { to: Side::Xmpp, micros: stage.now.since(held.since).as_micros() as u64 });
            stage.sip.respond(stage.now, held.id, Response::new(200, ""));
            stage.tell_owners(held.copies);
        } else {
            let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
            stage.refuse_request(held.id, &refusal);
        }
        true
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.give_up() {
            let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
            stage.refuse_request(held.id, &refusal);
        }
        for (pair, job) in self.queue.land_all() {
            self.unanswered(stage, pair, &job, &Refusal::SipTimeout);
        }
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.overdue(stage.now) {
            let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
            stage.refuse_request(held.id, &refusal);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.held.deadline()
    }
}
