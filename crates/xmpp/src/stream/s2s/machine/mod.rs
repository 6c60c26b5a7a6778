//! One stream: what it is told and asked. The rest is in the modules below, by what it is about.

mod dialback;
mod end;
mod header;
mod initiating;
mod pairs;
mod receiving;
mod sm;
mod traffic;

use super::element::Features;
use super::{Certificate, Config, Counts, Initiate, Output, Pair, Proof, SendError, Verdict, Verification};
use crate::error::StreamCondition;
use crate::ns;
use crate::stanza::Stanza;
use crate::stream::StreamError;
use base::{Str, Time, Tokens};
use pairs::{Inward, Outward, Pairs};
use sm::Acks;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use xml::{Element, Event, Reader};

/// The content namespace of the stream.
const NS: &str = ns::SERVER;

/// How much is read at once of a side that has proved nothing, so that no more of it is held.
const UNPROVEN_SLICE: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The other side's header is waited for; if we opened the stream, ours is out.
    Opening,
    /// Headers are exchanged. We opened it: their features are waited for, and what is said of their certificate. They did: the latter
    /// alone, as our features depend on it.
    Features,
    /// `<starttls/>` is out.
    StartTls,
    /// The shell begins TLS.
    Securing,
    /// `<auth/>` is out.
    Authenticating,
    /// Pairs can be proved, keys verified, and stanzas go for what is proved.
    Negotiated,
    /// We are to end: as soon as all is settled, at the latest then.
    Draining { until: Time },
    /// Our end of the stream is closed; theirs is waited for.
    Closing { until: Time },
    /// The shell is to close the connection.
    Ending { until: Time },
    /// Nothing more comes of it.
    Over,
}

/// Who opened the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    /// We did.
    Initiating(Initiate),
    /// They did.
    Receiving,
}

/// A stream between servers, of either role. Sans I/O: tell it what happens, then [`Stream::flushed`], then [`Stream::poll`] until there
/// is nothing more, then wait for the next event or [`Stream::deadline`]. After [`Output::Down`] it wants no more but
/// [`Stream::timeout`] and [`Stream::closed`], and serves no other connection.
#[derive(Debug)]
pub struct Stream {
    config: Arc<Config>,
    tokens: Tokens,
    role: Role,
    state: State,
    reader: Reader,
    secured: bool,
    /// Our header is out on the present stream of the connection.
    header_out: bool,
    /// The language of their stanzas where these do not say it themselves (RFC 6120 §4.7.4).
    lang: Option<Str>,
    /// The id that the receiving side has given to the present stream.
    id: Str,
    /// Whom the header of the side that opened the stream names: us, and them. Prepared; of streams that we opened from the beginning.
    local: Option<Str>,
    remote: Option<Str>,
    /// What the other side offers, once it has, and while we have opened the stream.
    features: Option<Features>,
    /// What is said of its certificate for each domain that was asked about; none yet where that is waited for.
    verdicts: BTreeMap<Str, Option<Certificate>>,
    /// SASL has proved this one.
    authenticated: Option<Pair>,
    /// How often SASL has failed.
    sasl_failures: u32,
    bidi: bool,
    pairs: Pairs,
    acks: Acks,
    /// By when there must be something proved; for a stream that we open: by when it must be negotiated.
    handshake_until: Option<Time>,
    /// Something is proved: the other side has its full limits.
    proven: bool,
    /// Bytes that have come before.
    unproven_bytes: usize,
    /// Keys that were verified for the other side.
    served: u64,
    /// When bytes last came.
    heard: Time,
    /// When something was last sent only to be heard.
    tried: Time,
    used: Time,
    /// Since when a stanza is unfinished.
    half_since: Option<Time>,
    counts: Counts,
    out: VecDeque<Output>,
}

impl Stream {
    /// A stream over a connection that we have made. Our header goes out at once.
    pub fn initiating(config: Arc<Config>, tokens: Tokens, now: Time, initiate: Initiate) -> Stream {
        let Initiate { pair: Pair { local, remote }, direct_tls, expects_barriers, .. } = initiate.clone();
        let mut stream = Stream::new(config, tokens, now, Role::Initiating(initiate), direct_tls);
        (stream.local, stream.remote) = (Some(local), Some(remote));
        stream.acks.expect(expects_barriers);
        stream.open();
        stream
    }

    /// A stream over a connection that was made to us, with TLS from its beginning or not. The other side begins.
    pub fn receiving(config: Arc<Config>, tokens: Tokens, now: Time, direct_tls: bool) -> Stream {
        Stream::new(config, tokens, now, Role::Receiving, direct_tls)
    }

    fn new(config: Arc<Config>, tokens: Tokens, now: Time, role: Role, secured: bool) -> Stream {
        Stream {
            role,
            state: State::Opening,
            reader: Reader::new(config.unproven_limits.clone()),
            secured,
            header_out: false,
            lang: None,
            id: Str::default(),
            local: None,
            remote: None,
            features: None,
            verdicts: BTreeMap::new(),
            authenticated: None,
            sasl_failures: 0,
            bidi: false,
            pairs: Pairs::default(),
            acks: Acks::default(),
            handshake_until: Some(now + config.handshake_timeout),
            proven: false,
            unproven_bytes: 0,
            served: 0,
            heard: now,
            tried: now,
            used: now,
            half_since: None,
            counts: Counts::default(),
            out: VecDeque::new(),
            config,
            tokens,
        }
    }

    /// The configuration has changed. It holds for what comes; pairs that would not be proved any more are the caller's to end.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// Bytes have come: those of TLS decrypted, once it was begun.
    pub fn received(&mut self, now: Time, bytes: &[u8]) {
        if !self.listens() {
            return;
        }
        if self.state == State::Securing {
            return self.fail(now, StreamCondition::PolicyViolation, "plain text where TLS begins");
        }
        self.heard = now;
        let mut finished = false;
        let mut rest = bytes;
        // White space between elements says nothing; before a stream that starts anew it would be in the way.
        while self.listens() && !(rest.is_empty() || self.reader.buffered() == 0 && is_space(rest)) {
            let (slice, behind) = rest.split_at(if self.proven { rest.len() } else { rest.len().min(UNPROVEN_SLICE) });
            rest = behind;
            if !self.proven && self.role == Role::Receiving {
                self.unproven_bytes += slice.len();
                if self.unproven_bytes > self.config.unproven_bytes {
                    return self.fail(now, StreamCondition::PolicyViolation, "too much before authentication");
                }
            }
            self.reader.push(slice);
            // Each event may be the last that is listened to.
            while self.listens() {
                match self.reader.next() {
                    Ok(Some(event)) => {
                        finished = true;
                        self.event(now, event, rest);
                    }
                    Ok(None) => break,
                    Err(e) => return self.fail(now, e.into(), &e.to_string()),
                }
            }
        }
        self.half_since = match self.half_since {
            _ if self.reader.buffered() == 0 => None,
            Some(since) if !finished => Some(since),
            _ => Some(now),
        };
    }

    /// TLS stands (after [`Output::StartTls`]). What was said before counts for nothing (RFC 6120 §5.4.3.3).
    pub fn secured(&mut self, now: Time) {
        if self.state != State::Securing {
            return;
        }
        self.heard = now;
        self.secured = true;
        self.pairs = Pairs::default();
        self.bidi = false;
        self.features = None;
        self.verdicts.clear();
        self.restart();
        match &self.role {
            Role::Initiating(_) => self.open(),
            Role::Receiving => (self.local, self.remote) = (None, None),
        }
    }

    /// The answer to [`Output::Judge`]. One that was not asked for is ignored.
    pub fn judged(&mut self, now: Time, domain: &str, certificate: Certificate) {
        if !self.listens() {
            return;
        }
        match self.verdicts.get_mut(domain) {
            Some(verdict @ None) => *verdict = Some(certificate),
            Some(Some(_)) | None => return,
        }
        if self.state == State::Features && self.remote.as_deref() == Some(domain) {
            match self.role {
                Role::Initiating(_) => self.choose(now),
                Role::Receiving => self.offer(now),
            }
        }
        self.judged_pairs(now, domain);
    }

    /// The connection is gone, by either side's doing.
    pub fn closed(&mut self, _now: Time) {
        self.gone();
    }

    /// Sends a stanza, written in [`crate::ns::SERVER`], from an address in `pair.local` to one in `pair.remote`. With a token, what became of it
    /// will be told.
    ///
    /// # Errors
    /// The pair is not [`Output::Ready`], or too much is on its way. Nothing was sent then, and nothing will be told of the token.
    pub fn send(&mut self, now: Time, pair: &Pair, stanza: &[u8], token: Option<u64>) -> Result<(), SendError> {
        if self.state != State::Negotiated {
            return Err(SendError::Down);
        }
        let entry = self.pairs.get_mut(pair).filter(|e| matches!(e.outward, Outward::Ready(_)));
        let Some(entry) = entry else { return Err(SendError::NotProved) };
        let load = self.acks.load();
        if token.is_some() && load.stanzas >= self.config.max_unacknowledged
            || load.bytes + stanza.len() > self.config.max_unacknowledged_bytes
        {
            return Err(SendError::Full);
        }
        entry.barriers.sent(stanza.len(), token);
        self.acks.sent(stanza.len(), token.is_some());
        self.counts.sent += 1;
        self.used = now;
        self.bytes(stanza);
        Ok(())
    }

    /// Asks for one more pair to be sent for on this stream (XEP-0220 §2.6): comes to [`Output::Ready`] or [`Output::Refused`]. On streams that
    /// the other side has opened only if both directions are carried, and for domains that it has proved. What was asked for or is ready
    /// already is not asked for again.
    ///
    /// # Errors
    /// Not on this stream: it is not there yet or over, dialback is not possible, or too many pairs are on it.
    pub fn prove(&mut self, now: Time, pair: &Pair) -> Result<(), SendError> {
        self.prove_pair(now, pair)
    }

    /// Has the other side, which is authoritative for `verification.pair.remote`, verify a key (XEP-0220 §2.1.2): comes to
    /// [`Output::Verified`]. After [`Output::CanVerify`] only.
    ///
    /// # Errors
    /// Not on this stream, or too many are under way.
    pub fn verify(&mut self, now: Time, verification: &Verification) -> Result<(), SendError> {
        self.verify_key(now, verification)
    }

    /// What the authoritative server says of a key ([`Output::Verify`]). What comes too late, or was not asked for, is ignored.
    pub fn verified(&mut self, now: Time, pair: &Pair, verdict: Verdict) {
        self.key_verified(now, pair, verdict);
    }

    /// A stanza has come by whatever stream that may answer a barrier of this one. Whether it does; it is for nobody else then.
    pub fn answered(&mut self, now: Time, stanza: &Stanza) -> bool {
        self.answers_a_barrier(now, stanza)
    }

    /// The batch is complete: a barrier, or a request to acknowledge, goes out behind it. Call it after every event and before the
    /// last [`Stream::poll`].
    pub fn flushed(&mut self, now: Time) {
        if matches!(self.state, State::Negotiated | State::Draining { .. }) {
            self.raise_due(now);
        }
        self.drained(now);
    }

    /// Closes the stream in good order, once what was sent is settled, or with an error at once: in two times
    /// [`Config::close_timeout`] at the latest.
    pub fn close(&mut self, now: Time, error: Option<StreamError>) {
        self.close_or_fail(now, error);
    }

    /// The moment of [`Stream::deadline`] has come. Earlier calls do no harm.
    pub fn timeout(&mut self, now: Time) {
        self.look_after(now);
    }

    /// When [`Stream::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.next_deadline()
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if self.out.is_empty() && self.out.capacity() > 64 {
            self.out.shrink_to(4);
        }
        output
    }

    /// The id of the stream, which whoever opened it was given; none before there is one.
    pub fn id(&self) -> Option<&str> {
        Some(self.id.as_str()).filter(|id| !id.is_empty())
    }

    /// Our domain that it was opened from or to, once that is known; where the other side has named one that is not ours, none.
    pub fn local(&self) -> Option<&Str> {
        self.local.as_ref()
    }

    /// Whether we opened it.
    pub fn is_initiating(&self) -> bool {
        matches!(self.role, Role::Initiating(_))
    }

    /// Whether there is TLS.
    pub fn is_secured(&self) -> bool {
        self.secured
    }

    /// Whether it carries both directions (XEP-0288).
    pub fn is_bidirectional(&self) -> bool {
        self.bidi
    }

    /// Whether the other side says that it handles errors of dialback, without which a stream should serve one domain of theirs only
    /// (XEP-0220 §2.6.2).
    pub fn has_dialback_errors(&self) -> bool {
        // XEP-0288 §2.2: who asks for both directions has to handle them.
        self.features.map_or(self.bidi, |f| f.dialback_errors)
    }

    /// Whether nothing was proved on it, by either side.
    pub fn is_unproven(&self) -> bool {
        !self.proven
    }

    /// Whether stanzas can be sent for the pair.
    pub fn sends(&self, pair: &Pair) -> bool {
        self.state == State::Negotiated && self.pairs.get(pair).is_some_and(|e| matches!(e.outward, Outward::Ready(_)))
    }

    /// Whether stanzas are taken for the pair.
    pub fn accepts(&self, pair: &Pair) -> bool {
        self.pairs.get(pair).is_some_and(|e| matches!(e.inward, Inward::Accepted(_)))
    }

    /// The pairs that are proved for at least one direction: for sending, for taking.
    pub fn pairs(&self) -> impl Iterator<Item = (&Pair, Option<Proof>, Option<Proof>)> {
        self.pairs.proofs()
    }

    /// Whether the other server has answered a barrier of this stream ([`Initiate::expects_barriers`]).
    pub fn answers_barriers(&self) -> bool {
        self.acks.answered()
    }

    /// When a stanza or something of dialback last went either way: an idle stream is the caller's to close.
    pub fn used(&self) -> Time {
        self.used
    }

    /// Numbers for the metrics.
    pub fn counts(&self) -> Counts {
        let load = self.acks.load();
        Counts { unacknowledged: load.stanzas, unacknowledged_bytes: load.bytes, ..self.counts }
    }

    /// Whether what comes is still for us.
    fn listens(&self) -> bool {
        match self.state {
            State::Opening
            | State::Features
            | State::StartTls
            | State::Securing
            | State::Authenticating
            | State::Negotiated
            | State::Draining { .. }
            | State::Closing { .. } => true,
            State::Ending { .. } | State::Over => false,
        }
    }

    /// `rest`: what came behind in the same piece and was not pushed yet.
    fn event(&mut self, now: Time, event: Event, rest: &[u8]) {
        match event {
            Event::Open(header) => match self.role {
                Role::Initiating(_) => self.answered_header(now, &header),
                Role::Receiving => self.greeted(now, &header),
            },
            Event::Close => self.closed_by_peer(now),
            Event::Skipped { start, why } => self.skipped(now, &start, why),
            Event::Stanza(e) => match e.ns.as_str() {
                ns::STREAM => self.stream_element(now, &e),
                ns::TLS => {
                    let alone = self.is_alone(rest);
                    self.tls_element(now, &e, alone);
                }
                ns::SASL => {
                    let alone = self.is_alone(rest);
                    self.sasl_element(now, &e, alone);
                }
                ns::BIDI => self.bidi_element(now, &e),
                ns::SM => self.sm_element(now, &e),
                ns::DIALBACK => self.dialback_element(now, &e),
                _ => self.stanza(now, e),
            },
        }
    }

    /// Whether nothing but white space has come behind the element that was just read. Where the stream starts anew behind an element, what
    /// comes before that is nobody's: with TLS, somebody in between may have put it there (RFC 6120 §5.4.3.3).
    fn is_alone(&self, rest: &[u8]) -> bool {
        is_space(self.reader.unread()) && is_space(rest)
    }

    fn stream_element(&mut self, now: Time, e: &Element) {
        if let Some(error) = StreamError::parse(e) {
            return self.failed_by_peer(now, error);
        }
        match (e.name.as_str(), &self.role) {
            ("features", Role::Initiating(_)) => self.offered(now, Features::parse(e)),
            _ => self.fail(now, StreamCondition::UnsupportedStanzaType, "an unknown stream element"),
        }
    }

    fn tls_element(&mut self, now: Time, e: &Element, alone: bool) {
        match self.role {
            Role::Initiating(_) => self.tls_answer(now, e, alone),
            Role::Receiving => self.tls_request(now, e, alone),
        }
    }

    fn sasl_element(&mut self, now: Time, e: &Element, alone: bool) {
        match self.role {
            Role::Initiating(_) => self.sasl_answer(now, e, alone),
            Role::Receiving => self.sasl_request(now, e, alone),
        }
    }

    /// XEP-0288 §2.2: before anything is proved, and after TLS.
    fn bidi_element(&mut self, now: Time, e: &Element) {
        let may = self.role == Role::Receiving
            && self.state == State::Negotiated
            && self.config.bidi
            && !self.proven
            && !self.wants_tls();
        if may && e.name == "bidi" {
            self.bidi = true;
        } else {
            self.fail(now, StreamCondition::PolicyViolation, "no bidirectional stream here");
        }
    }

    /// The stream starts anew (RFC 6120 §4.3.3).
    fn restart(&mut self) {
        let limits = if self.authenticated.is_some() { &self.config.limits } else { &self.config.unproven_limits };
        self.reader = Reader::new(limits.clone());
        self.half_since = None;
        self.header_out = false;
        self.lang = None;
        self.id = Str::default();
        self.features = None;
        self.state = State::Opening;
    }

    /// What is said of the other side's certificate for `domain`; none if that is still to be heard. Asks once.
    fn certificate(&mut self, domain: &str) -> Option<Certificate> {
        if !self.secured {
            return Some(Certificate::None);
        }
        if let Some(verdict) = self.verdicts.get(domain) {
            return verdict.clone();
        }
        self.verdicts.insert(domain.into(), None);
        self.out.push_back(Output::Judge(domain.into()));
        None
    }

    /// The first pair is proved: the other side is no stranger any more.
    fn prove_worth(&mut self) {
        self.handshake_until = None;
        if !std::mem::replace(&mut self.proven, true) {
            self.reader.set_limits(self.config.limits.clone());
        }
    }

    /// Adds to what goes out.
    fn bytes(&mut self, bytes: &[u8]) {
        match self.out.back_mut() {
            Some(Output::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.out.push_back(Output::Bytes(bytes.to_vec())),
        }
    }

    /// Adds an element to what goes out.
    fn element(&mut self, e: &Element) {
        let mut bytes = Vec::with_capacity(128);
        xml::write(e, NS, &mut bytes);
        self.bytes(&bytes);
    }
}

fn is_space(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}
