//! One shard: a task that owns one [`Gateway`] and does what it asks for.

mod notes;

use crate::dispatch::{Batch, Dispatch};
use crate::guard::Guard;
use crate::io::clock::{Clock, Grace};
use crate::io::dns::Dns;
use crate::io::link::{Outbox, Outgoing};
use crate::io::msrp::Pool;
use crate::io::relay::RelaySockets;
use crate::io::sip::Connections;
use crate::io::udp::Sockets;
use crate::metrics::{Meters, ShardMeters};
use crate::state::Open;
use crate::store::{Answer, Saver, Write};
use crate::trace;
use base::{Time, Tokens};
use notes::{note_to, tell_of_trunk};
use sip::agent::{self, SendTo, Transport};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use stox::config::{Config, LinkId, LinkKind};
use stox::gateway::{Gateway, Input, Output, Wire};
use tokio::sync::{mpsc, oneshot, watch};

/// What the shell wants of a shard besides the traffic.
#[derive(Debug)]
pub(crate) enum Order {
    /// Take this configuration.
    Reconfigure(Arc<Config>),
    /// Begin nothing new.
    Drain,
    /// Say how many messages are under way: also the proof that the shard lives.
    UnderWay(oneshot::Sender<usize>),
    /// Say what is open.
    Sessions(oneshot::Sender<Open>),
    /// Take what the store has to say.
    Store(Answer),
    /// Give up what is under way, tell each sender, and say when that is done.
    Abandon(oneshot::Sender<()>),
}

/// A shard's way out.
pub(crate) struct Ways {
    pub(crate) guard: Guard,
    pub(crate) sockets: Sockets,
    pub(crate) connections: Connections,
    /// None: there are no sessions.
    pub(crate) msrp: Option<Pool>,
    pub(crate) relays: RelaySockets,
    /// Those of the component streams.
    pub(crate) links: Vec<Outbox>,
    /// That of all federated domains, whose links come behind those; none where there are none.
    pub(crate) federation: Option<Outbox>,
    pub(crate) saver: Saver,
    /// Who is asked for names, and the way of the answers.
    pub(crate) dns: Dns,
    pub(crate) dispatch: Dispatch,
}

impl Ways {
    fn outbox(&self, link: LinkId) -> Option<&Outbox> {
        self.links.get(link).or(self.federation.as_ref())
    }
}

/// Makes a shard's gateway: at the start, and again should it ever panic.
pub(crate) struct Maker {
    config: Arc<Config>,
    agent: agent::Config,
    tokens: Tokens,
    meters: Arc<Meters>,
    /// The streams that are up, as far as the shard was told.
    up: BTreeSet<LinkId>,
    draining: bool,
}

impl Maker {
    pub(crate) fn new(config: Arc<Config>, agent: agent::Config, tokens: Tokens, meters: Arc<Meters>) -> Maker {
        // What is federated is always up: what has nowhere to go comes back.
        let federated = config.links.iter().enumerate().filter(|(_, link)| link.kind == LinkKind::Federation);
        let up = federated.map(|(link, _)| link).collect();
        Maker { config, agent, tokens, meters, up, draining: false }
    }

    /// A gateway that has no records yet and knows of no streams.
    fn make(&mut self) -> Gateway {
        let mut gateway = Gateway::new(Arc::clone(&self.config), self.agent.clone(), self.tokens.fork());
        if self.draining {
            gateway.drain();
        }
        gateway
    }
}

/// One shard.
pub(crate) struct Shard {
    gateway: Gateway,
    maker: Maker,
    number: usize,
    clock: Clock,
    ways: Ways,
    meters: ShardMeters,
    grace: Grace,
    /// The messages from XMPP under way, as the streams were told.
    told: usize,
    /// The media relays that were last seen not to answer.
    relays_down: Vec<SocketAddr>,
    /// Whether it has had all its records. Until then it hears of nothing else: what comes may belong to one of them.
    restored: bool,
}

impl Shard {
    pub(crate) fn new(mut maker: Maker, number: usize, clock: Clock, ways: Ways) -> Shard {
        let meters = maker.meters.shard(number);
        let (gateway, grace) = (maker.make(), Grace::default());
        Shard { gateway, maker, number, clock, ways, meters, grace, told: 0, relays_down: Vec::new(), restored: false }
    }

    /// Runs until `stop` becomes true.
    pub(crate) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Batch>,
        mut orders: mpsc::Receiver<Order>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let deadline = self.gateway.deadline().map(|at| self.clock.instant(self.grace.after(at)));
            tokio::select! {
                biased;
                Some(order) = orders.recv() => self.order(order),
                batch = inputs.recv(), if self.restored => match batch {
                    Some(batch) => self.batch(batch),
                    None => return,
                },
                () = sleep(deadline), if deadline.is_some() => self.guarded(|shard| shard.let_pass(shard.clock.now())),
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.guarded(Shard::drain);
            self.guarded(Shard::count);
            if !inputs.is_empty() {
                // What was queued for connections and streams is written before more is.
                tokio::task::yield_now().await;
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Reconfigure(config) => {
                self.maker.config = Arc::clone(&config);
                self.guarded(|shard| shard.gateway.reconfigure(config));
            }
            Order::Drain => {
                self.maker.draining = true;
                self.gateway.drain();
            }
            Order::UnderWay(answer) => {
                let _ = answer.send(self.gateway.under_way());
            }
            Order::Sessions(answer) => {
                let _ = answer.send(Open {
                    chats: self.gateway.chats(),
                    participants: self.gateway.participants(),
                    occupants: self.gateway.occupants(),
                    calls: self.gateway.calls(),
                    trunks: self.gateway.trunks_seen(),
                    accounts: self.gateway.account_counts(),
                    federation: Vec::new(),
                });
            }
            Order::Store(Answer::Inputs(inputs)) => {
                for input in inputs {
                    self.guarded(|shard| shard.input(input));
                }
            }
            Order::Store(Answer::Restored) => {
                self.restored = true;
                self.guarded(Shard::lift);
            }
            Order::Abandon(done) => {
                self.guarded(|shard| shard.gateway.abandon(shard.clock.now()));
                self.guarded(Shard::drain);
                let _ = done.send(());
            }
        }
    }

    /// Runs a step. A panic is a fault of ours: it is counted, the senders of what was under way are told as far as that still
    /// works, and the shard begins anew. The rest of the batch and the other shards do not notice.
    fn guarded(&mut self, step: impl FnOnce(&mut Shard)) {
        if catch_unwind(AssertUnwindSafe(|| step(self))).is_ok() {
            return;
        }
        let lost = self.gateway.under_way();
        let tell = AssertUnwindSafe(|| {
            self.gateway.abandon(self.clock.now());
            self.drain();
        });
        let told = catch_unwind(tell).is_ok();
        self.maker.meters.panicked();
        tracing::error!(lost, told, "a shard panicked and begins anew");
        let secured = self.gateway.take_secured();
        self.gateway = self.maker.make();
        // Who is at the other end of a connection is said once.
        for (connection, names) in secured {
            self.gateway.handle(self.clock.now(), Input::SipSecured { connection, names });
        }
        if let Some(pool) = &self.ways.msrp {
            pool.forget(self.number);
        }
        // A record that cannot be taken is not asked for again: the shard would never come to an end.
        if std::mem::take(&mut self.restored) {
            self.ways.saver.restore(self.number);
        }
    }

    /// Tells the gateway of the streams that are up: none at the start, but some when it began anew.
    fn lift(&mut self) {
        for link in &self.maker.up {
            self.gateway.handle(self.clock.now(), Input::LinkUp(*link));
        }
        self.drain();
    }

    fn batch(&mut self, batch: Batch) {
        for input in batch.inputs {
            self.guarded(|shard| shard.input(input));
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.clock.now();
        // Under load the timers would starve behind the traffic.
        self.let_pass(now);
        if trace::on() {
            trace::input(&input);
        }
        match &input {
            Input::SipRejected(..) => self.maker.meters.sip_rejected.increment(1),
            Input::LinkUp(link) => drop(self.maker.up.insert(*link)),
            Input::LinkDown(link) => drop(self.maker.up.remove(link)),
            Input::SipConnectionLost(target, _) => self.ways.connections.told(self.number, target),
            _ => {}
        }
        self.gateway.handle(now, input);
        self.drain();
    }

    fn let_pass(&mut self, now: Time) {
        if self.gateway.deadline().is_some_and(|due| self.grace.is_over(now, due)) {
            self.gateway.timeout(now);
        }
    }

    /// Does what the gateway asks for, until it asks for nothing.
    fn drain(&mut self) {
        while let Some(output) = self.gateway.poll() {
            if trace::on() {
                trace::output(&output);
            }
            match output {
                Output::Sip { to, bytes, client: id } => {
                    let client = id.map(|id| (self.number, id));
                    let sent = match to {
                        SendTo::Flow { flow, fallback } => match flow.connection {
                            Some(id) => match fallback {
                                _ if self.ways.connections.is_open(id) => self.ways.connections.send(id, bytes, client),
                                Some(target) => self.ways.connections.send_to(&target, bytes, client),
                                None => false,
                            },
                            None => self.ways.sockets.send(Some(flow.local), flow.remote, &bytes),
                        },
                        SendTo::Target(target) => match target.transport {
                            Transport::Udp => self.ways.sockets.send(target.local, target.remote, &bytes),
                            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                                self.ways.connections.send_to(&target, bytes, client)
                            }
                        },
                    };
                    if let (false, Some(id)) = (sent, id) {
                        self.gateway.handle(self.clock.now(), Input::SipSendFailed(id));
                    }
                }
                Output::Lookup { id, question } => match self.ways.dns.known(&question) {
                    Some(answer) => self.gateway.handle(self.clock.now(), Input::Looked { id, answer }),
                    None => {
                        let (dns, dispatch, number) = (self.ways.dns.clone(), self.ways.dispatch.clone(), self.number);
                        tokio::spawn(async move {
                            let answer = dns.ask(&question).await;
                            dispatch.post(number, Input::Looked { id, answer });
                        });
                    }
                },
                Output::Stanza { link, domain, bytes, token } => {
                    let outgoing = Outgoing { link, domain, bytes, token };
                    let sent = self.ways.outbox(link).is_some_and(|way| way.send(outgoing));
                    if !sent {
                        self.gateway.handle(self.clock.now(), Input::Lost(token));
                    }
                }
                Output::Save { token, key, value } => {
                    if !self.ways.saver.save(self.number, token, Write { key, value }) {
                        self.gateway.handle(self.clock.now(), Input::NotSaved(token));
                    }
                }
                Output::Msrp(wire) => self.wire(wire),
                Output::Relay { to, bytes } => self.ways.relays.send(to, &bytes),
                Output::Offence(flow, offence) => self.ways.guard.offence(flow.remote.ip(), offence.into()),
                Output::Note(note) => note_to(&self.maker.meters, note),
            }
        }
        while let Some(seen) = self.gateway.trunk_news() {
            self.maker.meters.trunk(&seen);
            tell_of_trunk(&seen);
        }
        let to_sip = self.gateway.under_way_to_sip();
        if to_sip.abs_diff(self.told) >= 64 || to_sip == 0 && self.told > 0 {
            for link in self.ways.links.iter().chain(&self.ways.federation) {
                link.tell_under_way(self.told, to_sip);
            }
            self.told = to_sip;
        }
    }

    /// Tells the meters what there is: once for all that came together, as it costs as much as a good part of a message.
    fn count(&mut self) {
        let counts = self.gateway.sip_counts();
        self.meters.client_transactions.set(counts.client_open as f64);
        self.meters.show_routes(&counts, self.gateway.quarantined());
        self.meters.server_transactions.set(counts.server_open as f64);
        self.meters.waiting.set(self.gateway.under_way() as f64);
        let subscriptions = self.gateway.subscription_counts();
        self.meters.authorizations.set(self.gateway.authorizations() as f64);
        self.meters.show_accounts(&self.gateway.account_counts());
        self.meters.notifiers.set(subscriptions.notifiers as f64);
        self.meters.subscribers.set(subscriptions.subscribers as f64);
        self.meters.subscriptions_waiting.set(subscriptions.waiting as f64);
        let publications = self.gateway.publication_counts();
        self.meters.publications.set(publications.open as f64);
        self.meters.publish_failures.absolute(publications.failures);
        self.meters.show_phones(self.gateway.phone_counts());
        let relays = self.gateway.relays();
        self.meters.relay.show(&self.gateway.relay_counts(), &relays);
        self.tell_of_relays(&relays);
        let msrp = self.gateway.msrp_counts();
        self.meters.sessions.set(self.gateway.chat_count() as f64);
        self.meters.msrp_sessions.set(msrp.bound as f64);
        self.meters.calls.set(self.gateway.call_count() as f64);
        let (participants, occupants) = self.gateway.seat_counts();
        self.meters.participants.set(participants as f64);
        self.meters.occupants.set(occupants as f64);
        for (meter, count) in self.meters.msrp_counters(&msrp) {
            meter.absolute(count);
        }
    }

    /// Logs what has become of the media relays. One shard does: all of them see the same.
    fn tell_of_relays(&mut self, relays: &[ng::Health]) {
        if self.number != 0 {
            return;
        }
        let down: Vec<SocketAddr> = relays.iter().filter(|relay| !relay.up).map(|relay| relay.server).collect();
        if down == self.relays_down {
            return;
        }
        for server in down.iter().filter(|server| !self.relays_down.contains(server)) {
            tracing::warn!(%server, "a media relay does not answer");
        }
        for server in self.relays_down.iter().filter(|server| !down.contains(server)) {
            tracing::info!(%server, "a media relay answers again");
        }
        self.relays_down = down;
    }

    fn wire(&mut self, wire: Wire) {
        let Some(pool) = &self.ways.msrp else {
            if let Wire::Open { ticket, .. } = wire {
                self.gateway.handle(self.clock.now(), Input::MsrpOpened(ticket, None));
            }
            return;
        };
        match wire {
            Wire::Write { connection, bytes } => pool.write(connection, bytes),
            Wire::Open { ticket, hop } => pool.open(ticket, hop),
            Wire::Bind(connection) => pool.bind(self.number, connection),
            Wire::Release(connection) => pool.release(self.number, connection),
        }
    }
}

async fn sleep(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};
    use crate::dispatch::Dispatch;
    use crate::io::bounds::Bounds;
    use crate::io::link::{self, Waiting};
    use crate::io::sip;
    use crate::setup;
    use crate::state::State;
    use crate::store::{Writer, memory::Memory};
    use crate::tls::Tls;
    use ::sip::agent::Flow;
    use base::HashKey;
    use bytes::Bytes;
    use std::time::Duration;
    use stox::route::Router;
    use tokio::net::UdpSocket;
    use xmpp::jid::Jid;
    use xmpp::stanza::Stanza;

    /// A shard whose phone and whose stream the test holds.
    struct Bench {
        shard: Shard,
        dispatch: Dispatch,
        inbox: mpsc::Receiver<Batch>,
        phone: UdpSocket,
        link: Waiting,
        _writer: Writer,
        meters: Arc<Meters>,
        local: SocketAddr,
    }

    impl Bench {
        async fn new() -> Bench {
            let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            let local = socket.local_addr().unwrap();
            // The runtime knows that only when it has asked; until then nothing goes out.
            socket.writable().await.unwrap();
            let text = format!(
                "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"127.0.0.1:1\"\nsecret = \"s\"\n[sip]\n\
                 domains = [\"example.com\"]\nlisten = [\"udp:{local}\"]\noutbound_proxy = \"sip:{};lr\"\n",
                phone.local_addr().unwrap()
            );
            let config = config::parse("a test", &text, Environment::default()).unwrap().config;
            let gateway = Arc::new(setup::gateway_config(&config, &Dns::of_nothing(), 1, 0).await.unwrap());
            let agent = setup::agent_config(&config, &config.sip.listen, 0, 1);
            let meters = Arc::new(Meters::new());
            let (dispatch, mut inboxes) = Dispatch::new(Router::new(1, HashKey::new(1, 2)));
            let limits = setup::message_limits(&config);
            let (bounds, _) = Bounds::of(&config.limits, false, false);
            let tls = Tls::new(&config.tls, "").unwrap();
            let (keep_alive, answer) = (config.sip.times.keep_alive, setup::intervals(&config).patience());
            let connections = sip::Setup { bounds, limits, tls, keep_alive, answer, guard: Guard::open() };
            let origins = setup::origins(&config);
            let connections = Connections::new(connections, origins, dispatch.clone(), Arc::clone(&meters));
            let (queue, link) = link::outbox(1 << 20);
            let (saver, writer) = Writer::new(
                Box::new(Memory::default()),
                dispatch.router,
                Box::new(|_, _| {}),
                Arc::new(State::new(&[], &[])),
                meters.store(),
            );
            let sockets = Sockets::new(vec![(local, socket)]);
            let ways = Ways {
                guard: Guard::open(),
                sockets,
                connections,
                msrp: None,
                relays: RelaySockets::default(),
                links: vec![queue],
                federation: None,
                dns: Dns::of_nothing(),
                dispatch: dispatch.clone(),
                saver,
            };
            let maker = Maker::new(gateway, agent, Tokens::seeded(7), Arc::clone(&meters));
            let mut shard = Shard::new(maker, 0, Clock::start(), ways);
            shard.order(Order::Store(Answer::Restored));
            shard.input(Input::LinkUp(0));
            Bench { shard, dispatch, inbox: inboxes.remove(0), phone, link, _writer: writer, meters, local }
        }

        fn request(&self, name: &str) -> Input {
            let remote = self.phone.local_addr().unwrap();
            let text = format!(
                "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch=z9hG4bK{name}\r\nMax-Forwards: 70\r\n\
                 From: <sip:romeo@example.net>;tag={name}\r\nTo: <sip:juliet@example.com>\r\nCall-ID: {name}\r\n\
                 CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
            );
            let message = ::sip::parse_datagram(&Bytes::from(text), &::sip::Limits::default()).unwrap();
            Input::Sip(message, Flow { transport: Transport::Udp, local: self.local, remote, connection: None })
        }

        async fn batch(&mut self, inputs: Vec<Input>) {
            self.dispatch.send(0, inputs, 0).await;
            let batch = self.inbox.recv().await.unwrap();
            self.shard.batch(batch);
        }

        /// A fault of ours, as far as the shard can tell, and what the store answers to it. The panic hook has nothing to say about it.
        fn fault(&mut self) {
            self.shard.guarded(|_| std::panic::resume_unwind(Box::new("a fault")));
            self.shard.guarded(Shard::drain);
            assert!(!self.shard.restored);
            self.shard.order(Order::Store(Answer::Restored));
        }

        /// Start line and Call-ID of the next message at the phone.
        async fn at_phone(&self) -> (String, String) {
            let mut buffer = [0; 4096];
            let received = tokio::time::timeout(Duration::from_secs(30), self.phone.recv(&mut buffer));
            let n = received.await.expect("a message for the phone").unwrap();
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            let call_id = text.lines().find_map(|l| l.strip_prefix("Call-ID: ")).unwrap_or_default();
            (text.lines().next().unwrap().to_owned(), call_id.to_owned())
        }

        fn at_link(&mut self) -> (String, u64) {
            let Outgoing { bytes, token, .. } = self.link.next().unwrap();
            (String::from_utf8(bytes).unwrap(), token)
        }
    }

    #[tokio::test]
    async fn after_a_panic_the_senders_are_told_and_the_shard_begins_anew() {
        let mut bench = Bench::new().await;
        // One held, one in flight, and one that waits behind it.
        bench.batch(vec![bench.request("before")]).await;
        let (stanza, before) = bench.at_link();
        assert!(stanza.contains("<body>hi</body>"), "{stanza}");
        let jid = |jid| Jid::parse(jid).unwrap();
        let stanza = Stanza::message().with_from(jid("juliet@example.com/b")).with_to(jid("romeo@example.net"));
        let body = || xml::Element::new("body", xmpp::ns::CLIENT).with_text("ho");
        let messages = ["one", "two"].map(|id| Input::Stanza(0, stanza.clone().with_id(id).with_child(body())));
        bench.batch(messages.into()).await;
        assert_eq!(bench.at_phone().await.0, "MESSAGE sip:romeo@example.net SIP/2.0");

        let secured = || Input::SipSecured { connection: 7, names: [base::Str::from("proxy.example")].into() };
        bench.batch(vec![secured()]).await;
        bench.fault();
        assert_eq!(bench.shard.gateway.take_secured(), [(7, [base::Str::from("proxy.example")].into())]);
        assert_eq!(bench.at_phone().await, ("SIP/2.0 503 Service Unavailable".to_owned(), "before".to_owned()));
        for id in ["one", "two"] {
            let (error, _) = bench.at_link();
            assert!(error.contains(&format!("id='{id}'")) && error.contains("<remote-server-timeout"), "{error}");
        }
        assert!(bench.meters.render().contains("\nverona_panics_total 1\n"));
        assert_eq!(bench.shard.gateway.under_way(), 0);

        // The new one knows that its stream is up, and does not take an outcome of the old one for its own.
        bench.batch(vec![bench.request("after")]).await;
        let (_, after) = bench.at_link();
        assert_ne!(before, after);
        bench.batch(vec![Input::Taken(before), Input::Lost(before), bench.request("third"), Input::Taken(after)]).await;
        assert_eq!(bench.at_phone().await, ("SIP/2.0 200 OK".to_owned(), "after".to_owned()));
        assert_eq!(bench.shard.gateway.under_way(), 1);
    }

    #[tokio::test]
    async fn a_shard_that_was_to_begin_nothing_new_still_does_not_after_a_panic() {
        let mut bench = Bench::new().await;
        bench.shard.order(Order::Drain);
        bench.fault();
        bench.batch(vec![bench.request("late")]).await;
        assert_eq!(bench.at_phone().await.0, "SIP/2.0 503 Service Unavailable");
        assert!(bench.link.next().is_none());
    }
}
