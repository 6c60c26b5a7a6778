//! The gateway's side of a component stream.

use super::barrier::Barriers;
use super::{Config, Counts, DownReason, Fault, Output, SendError};
use crate::error::{Condition, StanzaError, StreamCondition};
use crate::ext::ping::Ping;
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Kind, Stanza, StanzaFault};
use crate::stream::backoff::Backoff;
use crate::stream::{CLOSE, StreamError, write_header};
use base::{Str, Time, Tokens};
use std::collections::VecDeque;
use xml::{Element, Event, Reader};

/// The content namespace of the stream.
const NS: &str = ns::COMPONENT_ACCEPT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection until then.
    Waiting { until: Time },
    /// The shell is at it.
    Connecting,
    /// Our header is out.
    Opening { until: Time },
    /// Our proof is out.
    Authenticating { until: Time },
    /// Stanzas go both ways; since when.
    Up { since: Time },
    /// We are to end: as soon as all is settled, at the latest then.
    Draining { until: Time },
    /// Our end of the stream is closed; the server's is waited for.
    Closing { until: Time },
    /// The shell is to close the connection.
    Ending { until: Time },
    /// There will be no other stream.
    Stopped,
}

/// A component stream that is made again whenever it ends. Sans I/O: tell it what happens, then [`Component::flushed`],
/// then [`Component::poll`] until there is nothing more, then wait for the next event or [`Component::deadline`].
#[derive(Debug)]
pub struct Component {
    config: Config,
    own: Option<Jid>,
    tokens: Tokens,
    state: State,
    reader: Reader,
    backoff: Backoff,
    barriers: Barriers,
    /// [`Fault::BarriersUnanswered`] was told for this stream.
    unanswered_told: bool,
    /// When bytes last came.
    heard: Time,
    /// When something was last sent only to be heard.
    tried: Time,
    /// Since when a stanza is unfinished.
    half_since: Option<Time>,
    /// No other stream is wanted.
    stopping: bool,
    counts: Counts,
    out: VecDeque<Output>,
}

impl Component {
    /// A component without a stream, which wants to connect at once.
    pub fn new(config: Config, mut tokens: Tokens, now: Time) -> Component {
        Component {
            own: Jid::new(None, &config.domain, None).ok(),
            state: State::Connecting,
            reader: Reader::new(config.limits.clone()),
            backoff: Backoff::new(config.backoff_min, config.backoff_max),
            barriers: Barriers::new(tokens.token(16)),
            unanswered_told: false,
            heard: now,
            tried: now,
            half_since: None,
            stopping: false,
            counts: Counts::default(),
            out: VecDeque::from([Output::Connect]),
            config,
            tokens,
        }
    }

    /// The shell has connected: the stream is opened.
    pub fn connected(&mut self, now: Time) {
        match self.state {
            State::Connecting => {}
            // Too late: nobody wants it any more.
            State::Stopped => return self.out.push_back(Output::Close),
            _ => return,
        }
        self.reader = Reader::new(self.config.limits.clone());
        self.half_since = None;
        self.unanswered_told = false;
        self.state = State::Opening { until: now + self.config.handshake_timeout };
        let mut header = Vec::with_capacity(160);
        write_header(NS, &[("to", &self.config.domain)], &mut header);
        self.bytes(&header);
    }

    /// The shell could not connect.
    pub fn connect_failed(&mut self, now: Time) {
        if self.state == State::Connecting {
            self.out.push_back(Output::Down(DownReason::ConnectFailed));
            self.wait(now);
        }
    }

    /// The connection is gone, by either side's doing.
    pub fn disconnected(&mut self, now: Time) {
        match self.state {
            State::Waiting { .. } | State::Connecting | State::Stopped => {}
            State::Ending { .. } => self.wait(now),
            State::Closing { .. } => {
                self.down(now, DownReason::Shutdown);
                self.wait(now);
            }
            State::Opening { .. } | State::Authenticating { .. } | State::Up { .. } | State::Draining { .. } => {
                self.down(now, DownReason::Disconnected);
                self.wait(now);
            }
        }
    }

    /// Bytes have come.
    pub fn received(&mut self, now: Time, bytes: &[u8]) {
        if !self.listens() {
            return;
        }
        self.heard = now;
        self.reader.push(bytes);
        let mut finished = false;
        // Each event may be the last that is listened to.
        while self.listens() {
            match self.reader.next() {
                Ok(Some(event)) => {
                    finished = true;
                    self.event(now, event);
                }
                Ok(None) => break,
                Err(e) => return self.fail(now, e.into(), &e.to_string()),
            }
        }
        self.half_since = match self.half_since {
            _ if self.reader.buffered() == 0 => None,
            Some(since) if !finished => Some(since),
            _ => Some(now),
        };
    }

    /// Sends a stanza, written in [`ns::COMPONENT_ACCEPT`]. With a token, what became of it will be told.
    ///
    /// # Errors
    /// There is no stream, or too much is on its way. Nothing was sent then, and nothing will be told of the token.
    pub fn send(&mut self, _now: Time, stanza: &[u8], token: Option<u64>) -> Result<(), SendError> {
        if !matches!(self.state, State::Up { .. }) {
            return Err(SendError::Down);
        }
        let (stanzas, bytes) = self.barriers.unsettled();
        if stanzas >= self.config.max_unacknowledged || bytes + stanza.len() > self.config.max_unacknowledged_bytes {
            return Err(SendError::Full);
        }
        self.barriers.sent(stanza.len(), token);
        self.bytes(stanza);
        Ok(())
    }

    /// The batch is complete: a barrier goes out behind it. Call it after every event and before the last
    /// [`Component::poll`].
    pub fn flushed(&mut self, now: Time) {
        if matches!(self.state, State::Up { .. } | State::Draining { .. })
            && self.barriers.is_due(self.config.max_barriers)
        {
            self.raise(now);
        }
        self.drained(now);
    }

    /// Closes the stream in good order, once what was sent is settled: in two times [`Config::close_timeout`] at the
    /// latest. No other stream is made.
    pub fn shutdown(&mut self, now: Time) {
        self.stopping = true;
        let until = now + self.config.close_timeout;
        match self.state {
            State::Waiting { .. } => self.state = State::Stopped,
            State::Connecting => {
                // The shell may not have been told yet.
                self.out.retain(|o| *o != Output::Connect);
                self.state = State::Stopped;
            }
            State::Opening { .. } | State::Authenticating { .. } => {
                self.bytes(CLOSE);
                self.end(now, DownReason::Shutdown);
            }
            State::Up { .. } => {
                self.state = State::Draining { until };
                self.flushed(now);
            }
            State::Draining { .. } | State::Closing { .. } | State::Ending { .. } | State::Stopped => {}
        }
    }

    /// The moment of [`Component::deadline`] has come. Earlier calls do no harm.
    pub fn timeout(&mut self, now: Time) {
        match self.state {
            State::Waiting { until } if until <= now => {
                self.state = State::Connecting;
                self.out.push_back(Output::Connect);
            }
            State::Opening { until } | State::Authenticating { until } if until <= now => {
                self.fail(now, StreamCondition::ConnectionTimeout, "no end of the handshake");
            }
            State::Up { .. } => self.look_after(now),
            State::Draining { until } => {
                self.expire_barriers(now);
                if until <= now { self.close(now) } else { self.drained(now) }
            }
            State::Closing { until } if until <= now => self.end(now, DownReason::Shutdown),
            State::Ending { until } if until <= now => {
                self.out.push_back(Output::Abort);
                self.wait(now);
            }
            State::Waiting { .. }
            | State::Connecting
            | State::Opening { .. }
            | State::Authenticating { .. }
            | State::Closing { .. }
            | State::Ending { .. }
            | State::Stopped => {}
        }
    }

    /// What the shell is to do next.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if self.out.is_empty() && self.out.capacity() > 1024 {
            self.out.shrink_to(64);
        }
        output
    }

    /// When [`Component::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Connecting | State::Stopped => None,
            State::Waiting { until }
            | State::Opening { until }
            | State::Authenticating { until }
            | State::Closing { until }
            | State::Ending { until } => Some(until),
            State::Draining { until } => self.barrier_deadline().into_iter().chain([until]).min(),
            State::Up { .. } => {
                let half = self.half_since.map(|since| since + self.config.half_stanza_timeout);
                [half, self.barrier_deadline(), self.ping_due()].into_iter().flatten().min()
            }
        }
    }

    /// Whether stanzas can be sent.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Numbers for the metrics.
    pub fn counts(&self) -> Counts {
        let (unacknowledged, unacknowledged_bytes) = self.barriers.unsettled();
        Counts { unacknowledged, unacknowledged_bytes, ..self.counts }
    }

    /// Whether what comes is still for us.
    fn listens(&self) -> bool {
        match self.state {
            State::Opening { .. }
            | State::Authenticating { .. }
            | State::Up { .. }
            | State::Draining { .. }
            | State::Closing { .. } => true,
            State::Waiting { .. } | State::Connecting | State::Ending { .. } | State::Stopped => false,
        }
    }

    fn event(&mut self, now: Time, event: Event) {
        match event {
            Event::Open(header) => self.opened(now, &header),
            Event::Stanza(e) if e.ns == ns::STREAM => self.stream_element(now, &e),
            Event::Stanza(e) if e.is("handshake", NS) => self.handshake(now),
            Event::Stanza(e) if e.ns == ns::DIALBACK => self.out.push_back(Output::Fault(Fault::StrayDialback)),
            Event::Stanza(_) | Event::Skipped { .. } if self.is_before_handshake() => {
                self.fail(now, StreamCondition::NotAuthorized, "a stanza before the handshake");
            }
            Event::Stanza(e) => self.stanza(now, e),
            Event::Skipped { start, why } => {
                self.out.push_back(Output::Fault(Fault::Oversize(why)));
                let error = StanzaError::new(Condition::PolicyViolation).with_text(why.to_string());
                self.refuse(&start, &error);
            }
            Event::Close => {
                if !matches!(self.state, State::Closing { .. }) {
                    self.bytes(CLOSE);
                }
                let reason = if self.stopping { DownReason::Shutdown } else { DownReason::ClosedByServer };
                self.end(now, reason);
            }
        }
    }

    fn is_before_handshake(&self) -> bool {
        matches!(self.state, State::Opening { .. } | State::Authenticating { .. })
    }

    /// RFC 6120 §4.8.1, XEP-0114 §3: the server's header names the namespaces and the stream.
    fn opened(&mut self, now: Time, header: &Element) {
        let State::Opening { until } = self.state else { return };
        if !header.is("stream", ns::STREAM) || self.reader.content_ns() != NS {
            return self.fail(now, StreamCondition::InvalidNamespace, "not a component stream");
        }
        let Some(id) = header.attr("id").filter(|id| !id.is_empty()) else {
            return self.fail(now, StreamCondition::BadFormat, "the stream has no id");
        };
        let proof = Element::new("handshake", NS).with_text(&self.config.secret.proof(id));
        let mut bytes = Vec::new();
        xml::write(&proof, NS, &mut bytes);
        self.bytes(&bytes);
        self.state = State::Authenticating { until };
    }

    fn handshake(&mut self, now: Time) {
        match self.state {
            State::Authenticating { .. } => {
                self.state = State::Up { since: now };
                self.out.push_back(Output::Up);
                // Whether this server answers barriers is best known before anything depends on it.
                self.raise(now);
            }
            State::Opening { .. } => self.fail(now, StreamCondition::NotAuthorized, "a handshake before ours"),
            _ => self.out.push_back(Output::Fault(Fault::SecondHandshake)),
        }
    }

    fn stream_element(&mut self, now: Time, e: &Element) {
        if let Some(error) = StreamError::parse(e) {
            if !matches!(self.state, State::Closing { .. }) {
                self.bytes(CLOSE);
            }
            return self.end(now, DownReason::ServerError(error));
        }
        // Some servers offer features on every stream; there is none that a component could use.
        if e.name != "features" {
            self.fail(now, StreamCondition::UnsupportedStanzaType, "an unknown stream element");
        }
    }

    fn stanza(&mut self, now: Time, e: Element) {
        // RFC 6120 §4.9.3.24: a first-level element that is no stanza comes from the server itself, not from a user.
        if Kind::from_name(&e.name).is_none() || e.ns != NS {
            return self.fail(now, StreamCondition::UnsupportedStanzaType, "not a stanza");
        }
        if e.name == "iq"
            && let Some(tokens) = e.attr("id").and_then(|id| self.barriers.answer(id))
        {
            return self.taken(tokens);
        }
        match Stanza::from_element(e, NS) {
            Ok(stanza) if stanza.from.is_some() && stanza.to.is_some() => {
                let draining = matches!(self.state, State::Draining { .. });
                if draining && !stanza.is_error() && stanza.kind != Kind::Presence {
                    // Those above could no longer answer it, and nobody else would.
                    let error =
                        StanzaError::new(Condition::ResourceConstraint).with_text("The gateway is shutting down");
                    return self.refuse_stanza(stanza, &error);
                }
                self.out.push_back(Output::Stanza(stanza));
            }
            Ok(stanza) => {
                self.out.push_back(Output::Fault(Fault::Unaddressed));
                self.refuse_stanza(stanza, &StanzaError::new(Condition::BadRequest));
            }
            Err((fault, e)) => {
                let condition = match fault {
                    StanzaFault::From(_) | StanzaFault::To(_) => Condition::JidMalformed,
                    StanzaFault::NotAStanza => Condition::BadRequest,
                };
                self.out.push_back(Output::Fault(Fault::BadStanza(fault)));
                self.refuse(&e, &StanzaError::new(condition));
            }
        }
    }

    /// Tells the sender of something that cannot be handled, if that can be told from its start tag.
    fn refuse(&mut self, start: &Element, error: &StanzaError) {
        let Some(kind) = Kind::from_name(&start.name).filter(|_| start.ns == NS) else { return };
        let address = |name| start.attr(name).and_then(|a| Jid::parse(a).ok());
        let stanza = Stanza {
            from: address("from"),
            to: address("to"),
            id: start.attr("id").map(Str::from),
            type_: start.attr("type").map(Str::from),
            ..Stanza::new(kind)
        };
        self.refuse_stanza(stanza, error);
    }

    /// RFC 6120 §8.3.1 rule 2: where the stanza's own `to` cannot be used, the answer is from the domain. What was for another domain is
    /// not answered: servers end the stream of a component that speaks for others.
    fn refuse_stanza(&mut self, mut stanza: Stanza, error: &StanzaError) {
        self.counts.refused += 1;
        stanza.to = stanza.to.or_else(|| self.own.clone());
        if stanza.to.as_ref().is_some_and(|to| to.domain() != self.config.domain) {
            return;
        }
        let Some(reply) = stanza.error(error).filter(|r| r.to.is_some()) else { return };
        let bytes = reply.to_bytes(NS);
        let (stanzas, held) = self.barriers.unsettled();
        if stanzas >= self.config.max_unacknowledged || held + bytes.len() > self.config.max_unacknowledged_bytes {
            return self.out.push_back(Output::Fault(Fault::ReplyDropped));
        }
        // After our end of the stream is closed nothing may be sent.
        if matches!(self.state, State::Up { .. } | State::Draining { .. }) {
            self.barriers.sent(bytes.len(), None);
            self.bytes(&bytes);
        }
    }

    /// Sends a barrier.
    fn raise(&mut self, now: Time) {
        let id = self.barriers.raise(now);
        let ping = Stanza { from: self.own.clone(), to: self.own.clone(), ..Stanza::iq("get") };
        let bytes = ping.with_id(id).with_child(Ping.to_element()).to_bytes(NS);
        self.tried = now;
        self.bytes(&bytes);
    }

    fn taken(&mut self, tokens: Vec<u64>) {
        self.out.extend(tokens.into_iter().map(Output::Taken));
    }

    /// Barriers that are not answered where none was answered on this stream or the one before.
    fn expire_barriers(&mut self, now: Time) {
        if self.barriers.answered() || self.barriers.oldest().is_none_or(|at| at + self.config.barrier_timeout > now) {
            return;
        }
        let tokens = self.barriers.expire(now, self.config.barrier_timeout);
        self.counts.taken_by_wait += tokens.len() as u64;
        if !std::mem::replace(&mut self.unanswered_told, true) {
            self.out.push_back(Output::Fault(Fault::BarriersUnanswered));
        }
        self.taken(tokens);
    }

    /// When [`Component::expire_barriers`] or [`Component::is_dead`] next has something to find.
    fn barrier_deadline(&self) -> Option<Time> {
        let oldest = self.barriers.oldest()?;
        if !self.barriers.answered() {
            return Some(oldest + self.config.barrier_timeout);
        }
        let silent = oldest.max(self.heard) + self.config.ping_timeout;
        Some(silent.min(oldest + self.config.ping_timeout * 3))
    }

    /// The server used to answer barriers, and no longer does: either nothing comes from it, or everything but that.
    fn is_dead(&self, now: Time) -> bool {
        self.barriers.answered() && self.barrier_deadline().is_some_and(|at| at <= now)
    }

    /// When the silence is to be broken. A barrier that is under way does that already.
    fn ping_due(&self) -> Option<Time> {
        self.barriers.oldest().is_none().then(|| self.heard.max(self.tried) + self.config.ping_interval)
    }

    fn look_after(&mut self, now: Time) {
        if self.half_since.is_some_and(|since| since + self.config.half_stanza_timeout <= now) {
            return self.fail(now, StreamCondition::ConnectionTimeout, "half a stanza");
        }
        if self.is_dead(now) {
            self.barriers.unanswered();
            return self.fail(now, StreamCondition::ConnectionTimeout, "no answer to a ping");
        }
        self.expire_barriers(now);
        if self.barriers.is_due(self.config.max_barriers) {
            // One had no room before.
            self.raise(now);
        }
        if self.ping_due().is_some_and(|at| at <= now) {
            if self.barriers.answered() {
                self.raise(now);
            } else {
                // RFC 6120 §4.6.1: white space at least shows whether the connection is alive.
                self.tried = now;
                self.bytes(b" ");
            }
        }
    }

    /// Ends a stream that is to end, when everything is settled.
    fn drained(&mut self, now: Time) {
        if matches!(self.state, State::Draining { .. }) && self.barriers.is_settled() {
            self.close(now);
        }
    }

    /// Closes our end; the server closes its own when it has dealt with everything (RFC 6120 §4.4).
    fn close(&mut self, now: Time) {
        self.bytes(CLOSE);
        self.state = State::Closing { until: now + self.config.close_timeout };
    }

    /// Ends the stream with an error of ours.
    fn fail(&mut self, now: Time, condition: StreamCondition, why: &str) {
        let error = StreamError::new(condition).with_text(why);
        if !matches!(self.state, State::Closing { .. }) {
            let mut bytes = Vec::new();
            error.write(&mut bytes);
            bytes.extend_from_slice(CLOSE);
            self.bytes(&bytes);
        }
        self.end(now, DownReason::OurError(error));
    }

    /// Both ends are closed, or no longer matter.
    fn end(&mut self, now: Time, reason: DownReason) {
        self.out.push_back(Output::Close);
        self.down(now, reason);
        self.state = State::Ending { until: now + self.config.close_timeout };
    }

    /// Answers every token and tells that the stream is over.
    fn down(&mut self, now: Time, reason: DownReason) {
        if let State::Up { since } = self.state
            && since + self.config.backoff_max <= now
        {
            self.backoff.reset();
        }
        self.half_since = None;
        self.reader = Reader::new(self.config.limits.clone());
        self.out.extend(self.barriers.end().into_iter().map(Output::Lost));
        self.out.push_back(Output::Down(reason));
    }

    /// Waits for the next attempt, if there is to be one.
    fn wait(&mut self, now: Time) {
        self.state = if self.stopping {
            State::Stopped
        } else {
            State::Waiting { until: now + self.backoff.next(&mut self.tokens) }
        };
    }

    /// Adds to what goes out.
    fn bytes(&mut self, bytes: &[u8]) {
        match self.out.back_mut() {
            Some(Output::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.out.push_back(Output::Bytes(bytes.to_vec())),
        }
    }
}
