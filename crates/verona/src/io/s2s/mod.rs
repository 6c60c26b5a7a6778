//! The streams with other XMPP servers: one task holds the machine that knows all of them ([`xmpp::federation`]), one task for each connection
//! reads and writes.
//!
//! The machine's task never waits for a connection, nor for a name: what it wants done goes to their tasks, and what they have to say comes
//! back through one bounded queue, so that whoever is slow holds up nobody else. What the shards do not take yet waits here, and then
//! nothing more is heard from outside.

mod line;
mod locate;
mod settings;

pub(crate) use locate::locate;
pub(crate) use settings::machine;

use crate::dispatch::{Dispatch, READ_OVERHEAD};
use crate::guard::{Guard, Offence, Stranger};
use crate::io::bounds;
use crate::io::clock::{Clock, Grace};
use crate::io::dns::Dns;
use crate::io::link::{Around, JAM, LOOK_AGAIN, Outgoing, Waiting, shard_of, sleep};
use crate::metrics::FederationMeters;
use crate::state::State;
use crate::tls::{ALPN_XMPP_SERVER, Fault, Tls, Verdict};
use base::{Str, Tokens};
use line::{Command, Handshake, Line, Way};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use stox::config::{self as gateway, LinkId};
use stox::gateway::Input;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use xmpp::error::StreamCondition;
use xmpp::federation::{Config, ConnectionId, Event as Happened, Federation, Output, Seen, Target, Unlocated};
use xmpp::stream::StreamError;
use xmpp::stream::s2s::{Certificate, DownReason, Pair};

/// What connections may have to say before they wait.
const EVENTS: usize = 256;

/// How often certificates that were valid are looked at again (RFC 6120 §13.7.2.3): they end by themselves.
const JUDGE_AGAIN: Duration = Duration::from_secs(3600);

/// Of these, how many are heard at once: then others have their turn, and it is seen whether too much is on its way to SIP.
const AT_ONCE: usize = 64;

/// Bytes that are heard at once.
const BYTES_AT_ONCE: usize = 64 << 10;

/// Bytes that may wait to be written to one connection; whoever reads more slowly is cut off.
const UNWRITTEN: usize = 16 << 20;

/// Domains that are shown to people.
const SEEN: usize = 1000;

/// The way of the answer to somebody who wants to know what there is with other servers.
pub(crate) type Look = oneshot::Sender<Vec<Seen>>;

/// What happens outside.
enum Event {
    /// Something happened to a connection.
    Line(ConnectionId, Told),
    /// Somebody has connected.
    Arrived { stream: TcpStream, remote: SocketAddr, stranger: Stranger, secure: bool },
    /// A domain's server was looked for.
    Located(Str, Result<Vec<Target>, Unlocated>),
}

/// What happened to a connection.
enum Told {
    /// It stands; with whom.
    Connected(IpAddr),
    Received(Vec<u8>),
    /// What the certificate is worth that was shown in its handshake.
    Judged(Box<Verdict>),
    /// The same when it was looked at again.
    JudgedAgain(Box<Verdict>),
    /// TLS stands that was asked for.
    Secured,
    Closed,
}

/// What a running gateway may be told anew.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) machine: Config,
    /// Which addresses are open to what peers say.
    pub(crate) gateway: Arc<gateway::Config>,
}

/// All streams with other servers, and their connections.
pub(crate) struct Hub {
    machine: Federation,
    live: Live,
    tokens: Tokens,
    clock: Clock,
    dns: Dns,
    dispatch: Dispatch,
    state: Arc<State>,
    tls: Tls,
    guard: Guard,
    /// The first of our domains' links; the others follow in the order of `domains`.
    first: LinkId,
    domains: Vec<Str>,
    meters: FederationMeters,
    lines: HashMap<ConnectionId, Connection>,
    events: mpsc::Receiver<Event>,
    say: mpsc::Sender<Event>,
    looks: mpsc::Receiver<Look>,
    look: mpsc::Sender<Look>,
    /// Connections that have something to do since the last batch.
    busy: Vec<ConnectionId>,
    /// What the shards have not had room for.
    inbound: VecDeque<(usize, Vec<Input>, usize)>,
    /// Bytes read since the last batch.
    read: usize,
    grace: Grace,
    /// Since when nothing is heard because too much is on its way to SIP.
    jammed: Option<tokio::time::Instant>,
}

/// Our end of a connection's task, which ends with it.
struct Connection {
    commands: mpsc::UnboundedSender<Vec<Command>>,
    batch: Vec<Command>,
    waiting: Arc<AtomicUsize>,
    remote: Option<IpAddr>,
    /// Whether the other end has connected.
    accepted: bool,
    /// Whoever has come and not yet proved anything.
    stranger: Option<Stranger>,
    verdict: Verdict,
    task: Option<AbortHandle>,
}

impl Connection {
    /// Whether it came, and whoever came has proved something: what its users lead it to is not its own doing.
    fn is_proved(&self) -> bool {
        self.accepted && self.stranger.is_none()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What the hub is made of, beside what all links have.
pub(crate) struct Parts {
    pub(crate) live: Live,
    pub(crate) tokens: Tokens,
    pub(crate) tls: Tls,
    pub(crate) guard: Guard,
    /// The link of the first of our domains.
    pub(crate) first: LinkId,
    pub(crate) domains: Vec<Str>,
    pub(crate) meters: FederationMeters,
}

impl Hub {
    /// No connections yet.
    pub(crate) fn new(parts: Parts, around: Around) -> Hub {
        let Parts { live, mut tokens, tls, guard, first, domains, meters } = parts;
        let Around { clock, dns, dispatch, state } = around;
        let (say, events) = mpsc::channel(EVENTS);
        let (look, looks) = mpsc::channel(1);
        Hub {
            machine: Federation::new(live.machine.clone(), tokens.fork()),
            live,
            tokens,
            clock,
            dns,
            dispatch,
            state,
            tls,
            guard,
            first,
            domains,
            meters,
            lines: HashMap::new(),
            events,
            say,
            looks,
            look,
            busy: Vec::new(),
            inbound: VecDeque::new(),
            read: 0,
            grace: Grace::default(),
            jammed: None,
        }
    }

    /// Takes connections from a listener for ever, with TLS from their beginning or not.
    pub(crate) fn accept(&self, listener: TcpListener, secure: bool) -> impl Future<Output = ()> + use<> {
        let (say, guard) = (self.say.clone(), self.guard.clone());
        async move {
            bounds::accept(listener, &guard, |stream, remote, stranger| {
                // Where so much happens already, whoever comes may come again.
                let _ = say.try_send(Event::Arrived { stream, remote, stranger, secure });
            })
            .await;
        }
    }

    /// Where to ask what there is with other servers.
    pub(crate) fn looks(&self) -> mpsc::Sender<Look> {
        self.look.clone()
    }

    /// Runs until `stop` becomes true and all streams are closed.
    pub(crate) async fn run(
        mut self,
        mut waiting: Waiting,
        mut live: watch::Receiver<Live>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut batch = Vec::with_capacity(256);
        let (mut stopping, mut news) = (false, self.guard.news());
        let mut again = tokio::time::interval_at(tokio::time::Instant::now() + JUDGE_AGAIN, JUDGE_AGAIN);
        // There is nothing to wait for: whoever is to be found is looked for when there is something to say.
        for at in 0..self.domains.len() {
            self.state.link_up(self.first + at);
        }
        loop {
            self.drain();
            if stopping && self.machine.is_over() {
                for (shard, inputs, bytes) in std::mem::take(&mut self.inbound) {
                    self.dispatch.send(shard, inputs, bytes).await;
                }
                return;
            }
            let jammed = self.is_jammed(&waiting);
            let deadline = self.machine.deadline().map(|at| self.clock.instant(self.grace.after(at)));
            let (dispatch, first) = (self.dispatch.clone(), self.inbound.front().map(|(shard, ..)| *shard));
            tokio::select! {
                () = dispatch.room(first.unwrap_or(0)), if first.is_some() => {
                    if let Some((shard, inputs, bytes)) = self.inbound.pop_front() {
                        self.dispatch.send(shard, inputs, bytes).await;
                    }
                }
                Some(event) = self.events.recv(), if first.is_none() && !jammed => {
                    let mut next = Some(event);
                    let (mut left, most) = (AT_ONCE, self.read + BYTES_AT_ONCE);
                    while let Some(event) = next {
                        self.hear(event);
                        left -= 1;
                        next = if left > 0 && self.read < most { self.events.try_recv().ok() } else { None };
                    }
                }
                () = tokio::time::sleep(LOOK_AGAIN), if jammed => {}
                n = waiting.take(&mut batch), if !stopping => {
                    for outgoing in batch.drain(..) {
                        self.send(outgoing);
                    }
                    if n == 0 {
                        // All shards have ended.
                        stopping = true;
                        self.machine.shutdown(self.clock.now());
                    }
                }
                () = sleep(deadline), if deadline.is_some() => {
                    let now = self.clock.now();
                    if self.machine.deadline().is_some_and(|due| self.grace.is_over(now, due)) {
                        self.machine.timeout(now);
                    }
                }
                Some(look) = self.looks.recv() => {
                    let _ = look.send(self.machine.seen(self.clock.now(), SEEN));
                }
                () = news.next() => self.end_what_is_shut_out(),
                Ok(()) = live.changed() => {
                    self.live = live.borrow_and_update().clone();
                    self.machine.reconfigure(self.clock.now(), self.live.machine.clone());
                    self.judge_again();
                }
                _ = again.tick() => self.judge_again(),
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    self.machine.shutdown(self.clock.now());
                }
            }
        }
    }

    /// Whether so much is on its way to SIP that nothing more should be heard; one dead phone does not hold up all others for long.
    fn is_jammed(&mut self, waiting: &Waiting) -> bool {
        if !waiting.is_crowded() {
            self.jammed = None;
            return false;
        }
        self.jammed.get_or_insert_with(tokio::time::Instant::now).elapsed() < JAM
    }

    fn send(&mut self, outgoing: Outgoing) {
        let Outgoing { link, domain, bytes, token } = outgoing;
        let local = link.checked_sub(self.first).and_then(|at| self.domains.get(at));
        match (local, domain) {
            (Some(local), Some(remote)) => {
                let pair = Pair { local: local.clone(), remote };
                self.machine.send(self.clock.now(), &pair, bytes, Some(token));
            }
            _ => self.inbound.push_back((shard_of(token, self.dispatch.shards()), vec![Input::Lost(token)], 0)),
        }
    }

    fn hear(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Line(id, told) => {
                let Some(connection) = self.lines.get_mut(&id) else { return };
                match told {
                    Told::Connected(remote) => {
                        connection.remote = Some(remote);
                        self.machine.connected(now, id);
                    }
                    Told::Received(bytes) => {
                        self.read += bytes.len();
                        let stanzas = self.machine.received(now, id, &bytes);
                        let heard = connection.remote.is_none_or(|remote| self.guard.hears_all(remote, stanzas));
                        if !heard {
                            self.machine.refuse(now, id, refusal("Too many stanzas, or not wanted at all"));
                        }
                    }
                    Told::Judged(verdict) => connection.verdict = *verdict,
                    Told::JudgedAgain(verdict) => {
                        connection.verdict = *verdict;
                        let verdict = &connection.verdict;
                        self.machine.judged_again(now, id, |domain| verdict.for_xmpp(domain).is_ok());
                    }
                    Told::Secured => self.machine.secured(now, id),
                    Told::Closed => {
                        self.lines.remove(&id);
                        self.machine.closed(now, id);
                    }
                }
            }
            Event::Arrived { stream, remote, stranger, secure } => {
                let handshake = match secure {
                    true => match self.tls.server(None, &[ALPN_XMPP_SERVER]) {
                        Ok(config) => Some(Handshake::Server(config)),
                        Err(_) => return,
                    },
                    false => None,
                };
                let source = self.guard.source(remote.ip());
                match self.machine.accepted(now, secure, source) {
                    Ok(id) => {
                        let (line, mut connection) = self.line(id);
                        connection.task = Some(tokio::spawn(line.accepted(stream, handshake)).abort_handle());
                        (connection.remote, connection.stranger) = (Some(remote.ip()), Some(stranger));
                        connection.accepted = true;
                        self.lines.insert(id, connection);
                    }
                    Err(refused) => {
                        self.meters.refused(refused);
                        tracing::debug!(reason = refused.name(), "a server is not let in");
                    }
                }
            }
            Event::Located(domain, targets) => self.machine.located(now, &domain, targets),
        }
    }

    /// Ends the streams of those who have come, and would not be let in now.
    fn end_what_is_shut_out(&mut self) {
        let now = self.clock.now();
        for (id, connection) in &self.lines {
            if connection.accepted && connection.remote.is_some_and(|remote| self.guard.is_out(remote)) {
                self.machine.refuse(now, *id, refusal("Shut out"));
            }
        }
    }

    /// Has all certificates looked at again that were valid: whom we trust may have changed, and time has passed.
    fn judge_again(&mut self) {
        let valid = self.lines.iter().filter(|(_, line)| matches!(line.verdict, Verdict::Valid(_)));
        for id in valid.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.command(id, Command::Judge);
        }
    }

    /// A connection without its task, which has yet to be spawned.
    fn line(&self, id: ConnectionId) -> (Line, Connection) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let line = Line {
            id,
            commands: receiver,
            events: self.say.clone(),
            waiting: Arc::clone(&waiting),
            tls: self.tls.clone(),
            shown_by: None,
        };
        let connection = Connection {
            commands,
            batch: Vec::new(),
            waiting,
            remote: None,
            accepted: false,
            stranger: None,
            verdict: Verdict::None,
            task: None,
        };
        (line, connection)
    }

    /// Does what the machine asks for, until it asks for nothing.
    fn drain(&mut self) {
        let mut stanzas: Vec<(Vec<Input>, usize)> = (0..self.dispatch.shards()).map(|_| (Vec::new(), 0)).collect();
        loop {
            self.machine.flushed(self.clock.now());
            let Some(output) = self.machine.poll() else { break };
            self.act(output, &mut stanzas);
            while let Some(output) = self.machine.poll() {
                self.act(output, &mut stanzas);
            }
        }
        self.meters.counts(&self.machine.counts());
        for id in std::mem::take(&mut self.busy) {
            let Some(connection) = self.lines.get_mut(&id) else { continue };
            // In one piece: nothing may be read between what goes before TLS and its beginning.
            let _ = connection.commands.send(std::mem::take(&mut connection.batch));
        }
        let mut read = if stanzas.iter().any(|(_, bytes)| *bytes > 0) { std::mem::take(&mut self.read) } else { 0 };
        for (shard, (inputs, bytes)) in stanzas.into_iter().enumerate().filter(|(_, (inputs, _))| !inputs.is_empty()) {
            self.inbound.push_back((shard, inputs, bytes + std::mem::take(&mut read)));
        }
    }

    fn act(&mut self, output: Output, stanzas: &mut [(Vec<Input>, usize)]) {
        let shards = self.dispatch.shards();
        match output {
            Output::Locate { domain, keys_only } => {
                let (dns, say, tokens) = (self.dns_for(keys_only), self.say.clone(), self.tokens.fork());
                tokio::spawn(async move {
                    let targets = locate(&dns, &domain, tokens).await;
                    let _ = say.send(Event::Located(domain, targets)).await;
                });
            }
            Output::Connect { connection: id, target, domain, local, keys_only } => {
                self.connect(id, target, &domain, &local, keys_only);
            }
            Output::StartTls { connection: id, domain, local } => {
                let handshake = match (domain, local) {
                    (Some(domain), Some(local)) => line::client(&self.tls, &domain, &local, &[]),
                    (Some(_), None) => None,
                    (None, local) => self.tls.server(local.as_deref(), &[]).ok().map(Handshake::Server),
                };
                match handshake {
                    Some(handshake) => self.command(id, Command::StartTls(handshake)),
                    None => self.machine.closed(self.clock.now(), id),
                }
            }
            Output::Judge { connection: id, domain } => {
                let verdict = self.lines.get(&id).map_or(Err(Fault::Missing), |c| c.verdict.for_xmpp(&domain));
                let certificate = match verdict {
                    Ok(()) => Certificate::Valid,
                    Err(Fault::Missing) => Certificate::None,
                    Err(fault) => Certificate::Invalid(base::format_compact!("{fault}")),
                };
                self.machine.judged(self.clock.now(), id, &domain, certificate);
            }
            Output::Bytes { connection: id, bytes } => {
                let Some(connection) = self.lines.get(&id) else { return };
                let len = bytes.len();
                if connection.waiting.fetch_add(len, Relaxed) + len > UNWRITTEN {
                    self.lines.remove(&id);
                    return self.machine.closed(self.clock.now(), id);
                }
                self.command(id, Command::Bytes(bytes));
            }
            Output::Close(id) => self.command(id, Command::Close),
            Output::Abort(id) => drop(self.lines.remove(&id)),
            Output::Stanza(stanza) => {
                let local = stanza.to.as_ref().and_then(|to| self.domains.iter().position(|d| d == to.domain()));
                let Some(at) = local else { return };
                for (shard, input) in self.dispatch.router.inputs(self.first + at, stanza) {
                    let (inputs, bytes) = &mut stanzas[shard];
                    *bytes += READ_OVERHEAD;
                    inputs.push(input);
                }
            }
            Output::Taken(token) => stanzas[shard_of(token, shards)].0.push(Input::Taken(token)),
            Output::Lost(token) => stanzas[shard_of(token, shards)].0.push(Input::Lost(token)),
            Output::Event(happened) => self.tell(&happened),
        }
    }

    /// Who is asked for names; `keys_only`: anybody may have made us.
    fn dns_for(&self, keys_only: bool) -> Dns {
        if keys_only { self.dns.for_strangers() } else { self.dns.clone() }
    }

    fn connect(&mut self, id: ConnectionId, target: Target, domain: &Str, local: &Str, keys_only: bool) {
        let handshake = target.direct_tls.then(|| line::client(&self.tls, domain, local, &[ALPN_XMPP_SERVER]));
        let handshake = match handshake {
            Some(None) => return self.machine.closed(self.clock.now(), id),
            Some(handshake) => handshake,
            None => None,
        };
        let way = Way {
            target,
            handshake,
            dns: self.dns_for(keys_only),
            gateway: Arc::clone(&self.live.gateway),
            patience: self.live.machine.connect_timeout,
        };
        let (line, mut connection) = self.line(id);
        connection.task = Some(tokio::spawn(line.connecting(way)).abort_handle());
        self.lines.insert(id, connection);
    }

    fn command(&mut self, id: ConnectionId, command: Command) {
        let Some(connection) = self.lines.get_mut(&id) else { return };
        if connection.batch.is_empty() {
            self.busy.push(id);
        }
        connection.batch.push(command);
    }

    /// For logs and the door.
    fn tell(&mut self, happened: &Happened) {
        self.meters.event(happened);
        match happened {
            Happened::Ready { connection, pair, proof } => {
                tracing::info!(local = %pair.local, remote = %pair.remote, ?proof, "stanzas go to a server");
                self.known(*connection);
            }
            Happened::Accepts { connection, pair, proof } => {
                tracing::info!(local = %pair.local, remote = %pair.remote, ?proof, "stanzas come from a server");
                self.known(*connection);
            }
            Happened::Down { connection, remotes, proved, reason } => {
                if *proved {
                    tracing::info!(remotes = remotes.join(" "), %reason, "a stream with a server has ended");
                } else {
                    // Anybody can make such streams, and fill the log.
                    tracing::debug!(remotes = remotes.join(" "), %reason, "a stream has ended on which nothing was proved");
                }
                // Whoever wants nothing but keys verified, goes by itself, or was led here for a domain that is not ours, does no harm.
                let harm = !proved && matches!(reason, DownReason::OurError(_));
                let line = self.lines.get(connection).filter(|line| harm && line.stranger.is_some());
                if let Some(remote) = line.and_then(|line| line.remote)
                    && !self.lines.values().any(|line| line.remote == Some(remote) && line.is_proved())
                {
                    self.guard.offence(remote, Offence::Handshake);
                }
            }
            Happened::TargetFailed { domain, target } => {
                tracing::debug!(%domain, %target, "a server does not answer there");
            }
            Happened::Unreachable { pair, why, wait } => {
                tracing::warn!(local = %pair.local, remote = %pair.remote, ?why, ?wait, "no way to a server");
            }
            Happened::Undelivered(why) => tracing::debug!(?why, "a stanza was given back"),
            Happened::Fault(connection, fault) => tracing::debug!(?connection, ?fault, "a stream with a server"),
        }
    }

    /// Whoever has come is no stranger any more.
    fn known(&mut self, id: ConnectionId) {
        if let Some(connection) = self.lines.get_mut(&id) {
            connection.stranger = None;
        }
    }
}

/// What ends the stream of somebody who is not heard any more.
fn refusal(why: &str) -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation).with_text(why)
}
