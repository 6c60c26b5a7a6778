//! The running gateway: sockets, shards and streams, brought up in order, and down again without losing what is under way.

use crate::config::{self, Config, FederationListen, Listen, MsrpListen, Transport};
use crate::control::Control;
use crate::dispatch::Dispatch;
use crate::guard::{self, Guard};
use crate::io::bounds::{self, Bounds};
use crate::io::clock::Clock;
use crate::io::dns::Dns;
use crate::io::link::{self, Around, Link};
use crate::io::msrp::{self, Live, Pool};
use crate::io::relay::RelaySockets;
use crate::io::s2s;
use crate::io::sip::{self, Connections};
use crate::io::udp::{self, Sockets};
use crate::metrics::Meters;
use crate::own::own;
use crate::setup;
use crate::shard::{Maker, Order, Shard, Ways};
use crate::state::State;
use crate::store::{self, Writer};
use crate::tls::Tls;
use base::{HashKey, Str};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stox::route::Router;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use xmpp::stream::component::Component;
use xmpp::stream::s2s::Secret;

/// A gateway that runs on the current runtime until it is stopped or dropped.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    /// The date of the clock's start, in seconds since 1970.
    epoch: u64,
    shards: Vec<mpsc::Sender<Order>>,
    stop_shards: watch::Sender<bool>,
    stop_links: watch::Sender<bool>,
    tasks: JoinSet<()>,
    links: JoinSet<()>,
    /// Ends when all shards have.
    writer: JoinHandle<()>,
    connections: Connections,
    guard: Guard,
    state: Arc<State>,
    /// What is for this run of the registrar.
    phones: setup::PhoneKeys,
    listens: Vec<Listen>,
    dns: Dns,
    tls: Tls,
    /// None: there are no sessions.
    carrier: Option<Carrier>,
    /// None: there are no domains that we are the XMPP server of.
    federated: Option<Federated>,
}

/// The domains that we are the XMPP server of.
#[derive(Debug)]
struct Federated {
    live: watch::Sender<s2s::Live>,
    /// What dialback keys are made with.
    secret: Secret,
    listens: Vec<FederationListen>,
}

/// What chat sessions travel over.
#[derive(Debug)]
struct Carrier {
    pool: Pool,
    listens: Vec<MsrpListen>,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub struct StartError {
    /// What was being done.
    pub doing: String,
    /// What went wrong.
    pub error: io::Error,
}

impl StartError {
    /// Whether trying again may help without anybody's doing something.
    pub fn may_pass(&self) -> bool {
        let store = self.error.get_ref().and_then(|e| e.downcast_ref::<store::Error>());
        store.is_none_or(store::Error::may_pass)
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.doing, self.error)
    }
}

impl std::error::Error for StartError {}

fn doing<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T, StartError> {
    result.map_err(|error| StartError { doing: what.into(), error })
}

/// The sockets, and where they are bound.
struct Bound {
    udp: Vec<(SocketAddr, Arc<tokio::net::UdpSocket>)>,
    streams: Vec<(Transport, tokio::net::TcpListener)>,
    listens: Vec<Listen>,
}

fn bind(listens: &[Listen]) -> Result<Bound, StartError> {
    let mut bound = Bound { udp: Vec::new(), streams: Vec::new(), listens: listens.to_vec() };
    for listen in &mut bound.listens {
        let what = format!("binding {listen}");
        let address = match listen.transport {
            Transport::Udp => {
                let socket = doing(&what, udp::bind(listen.address))?;
                let address = doing(&what, socket.local_addr())?;
                bound.udp.push((address, Arc::new(socket)));
                address
            }
            transport @ (Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss) => {
                let listener = doing(&what, bounds::bind(listen.address))?;
                let address = doing(&what, listener.local_addr())?;
                bound.streams.push((transport, listener));
                address
            }
        };
        if listen.advertise.port == 0 {
            listen.advertise.port = address.port();
        }
        listen.address = address;
    }
    Ok(bound)
}

/// The sockets for MSRP, and where they are bound.
fn bind_msrp(listens: &[MsrpListen]) -> Result<(Vec<tokio::net::TcpListener>, Vec<MsrpListen>), StartError> {
    let (mut listeners, mut listens) = (Vec::new(), listens.to_vec());
    for listen in &mut listens {
        let what = format!("binding {listen} for MSRP");
        let listener = doing(&what, bounds::bind(listen.address))?;
        listen.address = doing(&what, listener.local_addr())?;
        if listen.advertise.port == 0 {
            listen.advertise.port = listen.address.port();
        }
        listeners.push(listener);
    }
    Ok((listeners, listens))
}

/// The sockets for other XMPP servers, and where they are bound.
fn bind_federation(
    listens: &[FederationListen],
) -> Result<(Vec<tokio::net::TcpListener>, Vec<FederationListen>), StartError> {
    let (mut listeners, mut listens) = (Vec::new(), listens.to_vec());
    for listen in &mut listens {
        let what = format!("binding {listen} for XMPP servers");
        let listener = doing(&what, bounds::bind(listen.address))?;
        listen.address = doing(&what, listener.local_addr())?;
        listeners.push(listener);
    }
    Ok((listeners, listens))
}

/// Whose certificate sessions are to show: what their paths name, over TLS if anywhere.
fn named(listens: &[MsrpListen], config: &Config) -> String {
    let listen = listens.iter().find(|listen| listen.secure).or(listens.first());
    let federated = config.xmpp.federation.iter().flat_map(|federation| &federation.domains).next();
    listen.map(|listen| setup::bare(&listen.advertise.host)).or(federated.cloned()).unwrap_or_default()
}

/// Where we listen for others, as it is configured.
fn own_addresses(config: &Config) -> impl Iterator<Item = SocketAddr> {
    let servers = config.xmpp.federation.iter().flat_map(|federation| &federation.listen);
    let sip = config.sip.listen.iter().map(|listen| listen.address);
    sip.chain(config.msrp.listen.iter().map(|listen| listen.address)).chain(servers.map(|listen| listen.address))
}

impl Daemon {
    /// Brings a gateway up: binds its sockets, opens its store and starts its shards; when they have what was stored for them, starts to
    /// read the sockets and to open the streams. The streams may take longer to come up; `state` says when they have.
    ///
    /// # Errors
    /// A socket that cannot be bound, a store that cannot be opened, a proxy's or a media relay's name without an address, no random numbers.
    pub async fn start(config: &Config, state: Arc<State>, meters: Arc<Meters>) -> Result<Daemon, StartError> {
        let clock = Clock::start();
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut tokens = doing("random numbers", setup::tokens())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // A branch names its shard in one byte, and more than these help nobody.
        let shards = if config.limits.shards == 0 { cores.min(64) } else { config.limits.shards };
        let dns = doing("dns.server", Dns::of(&config.dns))?;
        let mut gateway = doing("looking up names", setup::gateway_config(config, &dns, shards, epoch).await)?;
        let bound = bind(&config.sip.listen)?;
        let (msrp_listeners, msrp_listens) = bind_msrp(&config.msrp.listen)?;
        let federation = config.xmpp.federation.as_ref();
        let (federation_listeners, federation_listens) =
            federation.map(|f| bind_federation(&f.listen)).transpose()?.unzip();
        let acme = match &config.acme {
            Some(acme) => {
                doing("tls.acme.folder", crate::acme::prepare(acme))?;
                Some((acme.clone(), doing("tls.acme.listen", bounds::bind(acme.listen))?))
            }
            None => None,
        };
        let tls = doing("tls.certificates", Tls::new(&config.tls, &named(&msrp_listens, config)))?;
        gateway.msrp = setup::carriage(config, &msrp_listens, &tls.fingerprint());
        let phones = setup::PhoneKeys::new(&mut tokens);
        phones.put_into(&mut gateway);
        gateway.own = own(config, &bound.listens, Some(&msrp_listens), federation_listens.as_ref());
        let gateway = Arc::new(gateway);
        let opening = format!("opening the store {}", config.store.url);
        let url = config.store.url.clone();
        let accounts = &config.xmpp.accounts;
        let key_file = accounts.settings.enabled.then(|| accounts.key_file.clone());
        let open = move || -> Result<Box<dyn store::Engine>, store::Error> {
            let engine = store::open(&url)?;
            let Some(key_file) = key_file else { return Ok(engine) };
            Ok(Box::new(store::seal::Sealing::new(engine, &key_file)?))
        };
        let engine = spawn_blocking(open).await.map_err(io::Error::other);
        let engine = doing(&opening, engine.and_then(|opened| opened.map_err(io::Error::other)))?;

        let router = Router::new(shards, HashKey::new(tokens.u64(), tokens.u64()));
        let (dispatch, inboxes) = Dispatch::new(router);
        let limits = setup::message_limits(config);
        let (bounds, msrp_bounds) =
            Bounds::of(&config.limits, !msrp_listens.is_empty(), config.xmpp.federation.is_some());
        let guard_key = HashKey::new(tokens.u64(), tokens.u64());
        let guard =
            Guard::new(clock, guard_key, &guard::rules(&config.abuse, &gateway, own_addresses(config)), meters.guard());
        let connections = sip::Setup {
            bounds,
            limits,
            tls: tls.clone(),
            keep_alive: config.sip.times.keep_alive,
            answer: setup::intervals(config).patience(),
            guard: guard.clone(),
        };
        let origins = setup::origins(config);
        let connections = Connections::new(connections, origins, dispatch.clone(), Arc::clone(&meters));
        let carrier = (!msrp_listens.is_empty()).then(|| {
            let setup = msrp::Setup {
                bounds: msrp_bounds,
                guard: guard.clone(),
                live: Live { config: Arc::clone(&gateway), max_size: config.msrp.settings.max_size },
                relay: config.msrp.relay.as_ref().map(|r| (setup::msrp_host(&r.server.host), r.server.port)),
                tls: tls.clone(),
                dns: dns.clone(),
            };
            let pool = Pool::new(setup, dispatch.clone(), Arc::clone(&meters));
            Carrier { pool, listens: msrp_listens }
        });
        let sockets = Sockets::new(bound.udp.clone());
        let (queues, outboxes): (Vec<_>, Vec<_>) =
            config.xmpp.components.iter().map(|_| link::outbox(config.limits.write_bytes)).unzip();
        let (federation_queue, federation_outbox) = federation.map(|_| link::outbox(config.limits.write_bytes)).unzip();

        let (stop_shards, stopped_shards) = watch::channel(false);
        let (stop_links, stopped_links) = watch::channel(false);
        let (mut tasks, mut links) = (JoinSet::new(), JoinSet::new());
        let (orders, receivers): (Vec<mpsc::Sender<Order>>, Vec<_>) = inboxes.iter().map(|_| mpsc::channel(16)).unzip();
        let shards_of_store = orders.clone();
        let answers = move |shard: usize, answer| {
            if let Some(shard) = shards_of_store.get(shard) {
                // A shard that has ended wants no answers.
                let _ = shard.blocking_send(Order::Store(answer));
            }
        };
        let (saver, mut writer) = Writer::new(engine, router, Box::new(answers), Arc::clone(&state), meters.store());
        for (number, (inbox, receiver)) in inboxes.into_iter().zip(receivers).enumerate() {
            let agent = setup::agent_config(config, &bound.listens, number, shards);
            let relays = doing("a socket for the media relays", RelaySockets::bind(&gateway.relay.servers))?;
            for reader in relays.readers(number, &dispatch) {
                tasks.spawn(reader);
            }
            let ways = Ways {
                guard: guard.clone(),
                sockets: sockets.clone(),
                connections: connections.clone(),
                msrp: carrier.as_ref().map(|c| c.pool.clone()),
                relays,
                links: queues.clone(),
                federation: federation_queue.clone(),
                dns: dns.clone(),
                dispatch: dispatch.clone(),
                saver: saver.clone(),
            };
            let maker = Maker::new(Arc::clone(&gateway), agent, tokens.fork(), Arc::clone(&meters));
            tasks.spawn(Shard::new(maker, number, clock, ways).run(inbox, receiver, stopped_shards.clone()));
        }
        if let (Some(_), config::Store::Redb(path)) = (&gateway.registrar, &config.store.url) {
            match Control::bind(path) {
                Ok(control) => drop(tasks.spawn(control.serve(saver.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "no control socket: accounts change only while the gateway is stopped");
                }
            }
        }
        drop(saver);
        // Before anything is read: what comes first may belong to what was stored.
        let (restored, is_restored) = oneshot::channel();
        let runtime = Handle::current();
        let writer = spawn_blocking(move || {
            let read = writer.restore_all();
            let works = read.is_ok();
            let _ = restored.send(read);
            if works {
                writer.run(&runtime);
            }
        });
        let read = is_restored.await.map_err(io::Error::other);
        doing(&opening, read.and_then(|read| read.map_err(io::Error::other)))?;

        let around = Around { clock, dns: dns.clone(), dispatch: dispatch.clone(), state: Arc::clone(&state) };
        for (id, (component, outbox)) in config.xmpp.components.iter().zip(outboxes).enumerate() {
            let stream = setup::component_config(config, component);
            let machine = Component::new(stream, tokens.fork(), clock.now());
            let meters = meters.link(&component.domain);
            let link = Link::new(id, component, machine, around.clone(), meters);
            links.spawn(link.run(outbox, stopped_links.clone()));
        }
        let federated = match (federation, federation_outbox, federation_listeners, federation_listens) {
            (Some(settings), Some(outbox), Some(listeners), Some(listens)) => {
                let secret = Secret::new(tokens.token(64).as_bytes());
                let machine = s2s::machine(config, settings, &tls, secret.clone());
                let (live, lives) = watch::channel(s2s::Live { machine, gateway: Arc::clone(&gateway) });
                let parts = s2s::Parts {
                    live: lives.borrow().clone(),
                    tokens: tokens.fork(),
                    tls: tls.clone(),
                    guard: guard.clone(),
                    first: config.xmpp.components.len(),
                    domains: settings.domains.iter().map(Str::from).collect(),
                    meters: meters.federation(),
                };
                let hub = s2s::Hub::new(parts, around);
                for (socket, (listener, listen)) in listeners.into_iter().zip(&listens).enumerate() {
                    tasks.spawn(hub.accept(listener, listen.secure));
                    state.set_federation_bound(socket, true);
                }
                let looks = hub.looks();
                state.set_federation(move || {
                    let looks = looks.clone();
                    Box::pin(async move {
                        let (look, seen) = oneshot::channel();
                        looks.send(look).await.ok()?;
                        seen.await.ok()
                    })
                });
                links.spawn(hub.run(outbox, lives, stopped_links.clone()));
                // It is always up: what has nowhere to go comes back.
                (0..settings.domains.len()).for_each(|at| state.link_up(config.xmpp.components.len() + at));
                Some(Federated { live, secret, listens })
            }
            _ => None,
        };
        for (_, socket) in bound.udp {
            let (dispatch, guard, meters) = (dispatch.clone(), guard.clone(), Arc::clone(&meters));
            tasks.spawn(async move {
                if let Err(error) = udp::read(socket, limits, dispatch, guard, meters).await {
                    tracing::error!(%error, "a UDP socket failed");
                }
            });
        }
        if let Some((acme, listener)) = acme {
            tasks.spawn(crate::acme::run(acme, listener));
        }
        tasks.spawn(connections.clone().end_what_is_shut_out());
        for (transport, listener) in bound.streams {
            tasks.spawn(connections.clone().accept(listener, transport));
        }
        for socket in 0..bound.listens.len() {
            state.set_bound(socket, true);
        }
        if let Some(Carrier { pool, listens, .. }) = &carrier {
            for (socket, (listener, listen)) in msrp_listeners.into_iter().zip(listens).enumerate() {
                tasks.spawn(pool.clone().accept(listener, listen.secure));
                state.set_msrp_bound(socket, true);
            }
        }
        let ask = orders.clone();
        state.set_shards(shards, move |shard| {
            let shard = ask.get(shard).cloned();
            Box::pin(async move { under_way(&shard?).await })
        });
        let ask = orders.clone();
        state.set_sessions(move |shard| {
            let shard = ask.get(shard).cloned();
            Box::pin(async move {
                let (sender, receiver) = oneshot::channel();
                shard?.send(Order::Sessions(sender)).await.ok()?;
                receiver.await.ok()
            })
        });
        let (config, listens) = (config.clone(), bound.listens);
        Ok(Daemon {
            config,
            epoch,
            shards: orders,
            stop_shards,
            stop_links,
            tasks,
            links,
            writer,
            connections,
            guard,
            state,
            phones,
            listens,
            dns,
            tls,
            carrier,
            federated,
        })
    }

    /// The addresses that the gateway listens on, with the ports that the system chose.
    pub fn listening(&self, transport: Transport) -> Vec<SocketAddr> {
        self.listens.iter().filter(|l| l.transport == transport).map(|l| l.address).collect()
    }

    /// The addresses that it listens on for MSRP, over TLS or not, with the ports that the system chose.
    pub fn listening_for_msrp(&self, secure: bool) -> Vec<SocketAddr> {
        let listens = self.carrier.iter().flat_map(|carrier| &carrier.listens);
        listens.filter(|l| l.secure == secure).map(|l| l.address).collect()
    }

    /// The addresses that it listens on for other XMPP servers, with TLS from the beginning or not, with the ports that the system chose.
    pub fn listening_for_servers(&self, secure: bool) -> Vec<SocketAddr> {
        let listens = self.federated.iter().flat_map(|federated| &federated.listens);
        listens.filter(|l| l.secure == secure).map(|l| l.address).collect()
    }

    /// Returns when the files of certificates have changed and connections are made with the new ones: then descriptions have to tell of them,
    /// too, as they do after [`Daemon::reconfigure`].
    pub fn certificates_changed(&self) -> impl Future<Output = ()> + use<> {
        let store = self.tls.clone();
        async move { store.changed().await }
    }

    /// Takes a configuration of which [`crate::config::ReloadPlan::applicable`] is true. What is under way goes on.
    ///
    /// # Errors
    /// The new proxy's name has no address, a media relay's has none any more, or a certificate cannot be used: nothing was changed.
    pub async fn reconfigure(&mut self, config: &Config) -> Result<(), StartError> {
        let dns = doing("dns.server", Dns::of(&config.dns))?;
        let gateway = setup::gateway_config(config, &dns, self.shards.len(), self.epoch).await;
        let mut gateway = doing("looking up names", gateway)?;
        let (store, files) = (self.tls.clone(), config.tls.clone());
        let reloaded = spawn_blocking(move || store.reload(&files)).await.map_err(io::Error::other);
        doing("tls.certificates", reloaded.and_then(|reloaded| reloaded))?;
        // Nothing can fail any more.
        self.dns.become_like(&dns);
        if let Some(Carrier { listens, .. }) = &self.carrier {
            gateway.msrp = setup::carriage(config, listens, &self.tls.fingerprint());
        }
        self.phones.put_into(&mut gateway);
        let msrp = self.carrier.as_ref().map(|carrier| &carrier.listens);
        let servers = self.federated.as_ref().map(|federated| &federated.listens);
        gateway.own = own(config, &self.listens, msrp, servers);
        let gateway = Arc::new(gateway);
        if let Some(Carrier { pool, .. }) = &self.carrier {
            pool.reconfigure(Live { config: Arc::clone(&gateway), max_size: config.msrp.settings.max_size });
        }
        self.guard.reconfigure(&guard::rules(&config.abuse, &gateway, own_addresses(config)));
        if let (Some(federated), Some(settings)) = (&self.federated, &config.xmpp.federation) {
            let machine = s2s::machine(config, settings, &self.tls, federated.secret.clone());
            federated.live.send_replace(s2s::Live { machine, gateway: Arc::clone(&gateway) });
        }
        self.connections.reconfigure(setup::origins(config));
        for shard in &self.shards {
            patiently(shard.send(Order::Reconfigure(Arc::clone(&gateway)))).await;
        }
        self.config = config.clone();
        Ok(())
    }

    /// Returns when a task has ended that should live as long as the gateway: what it did nobody does any more.
    pub async fn broken(&mut self) {
        if self.writer.is_finished() {
            return;
        }
        tokio::select! {
            Some(_) = self.tasks.join_next() => {}
            Some(_) = self.links.join_next() => {}
            _ = &mut self.writer => {}
        }
    }

    /// Ends: nothing new is begun, what is under way has `limits.drain` to end, then the streams are closed. Returns how many
    /// messages were still under way; their senders were told.
    pub async fn stop(mut self) -> usize {
        for shard in &self.shards {
            patiently(shard.send(Order::Drain)).await;
        }
        // Told when it is true.
        self.state.start_draining();
        let until = tokio::time::Instant::now() + self.config.limits.drain;
        let left = loop {
            let mut left = 0;
            for shard in &self.shards {
                left += patiently(under_way(shard)).await.flatten().unwrap_or(0);
            }
            if left == 0 || tokio::time::Instant::now() >= until {
                break left;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        if left > 0 {
            for shard in &self.shards {
                let (done, is_done) = oneshot::channel();
                patiently(async {
                    let _ = shard.send(Order::Abandon(done)).await;
                    let _ = is_done.await;
                })
                .await;
            }
        }
        let _ = self.stop_links.send(true);
        let closed = async { while self.links.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), closed).await;
        let _ = self.stop_shards.send(true);
        self.tasks.shutdown().await;
        let msrp = async {
            if let Some(Carrier { pool, .. }) = &self.carrier {
                pool.finish().await;
            }
        };
        tokio::join!(self.connections.finish(), msrp);
        // Whoever could ask for more is gone: it writes what waits, and closes the file.
        if !self.writer.is_finished() && tokio::time::timeout(Duration::from_secs(3), &mut self.writer).await.is_err() {
            tracing::error!("the store is still writing");
        }
        left
    }
}

/// Waits for a shard, but not for one that hangs: that is the watchdog's business, and the end must come all the same.
async fn patiently<T>(what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(1), what).await.ok()
}

/// Messages under way in a shard; `None` if it has ended.
async fn under_way(shard: &mpsc::Sender<Order>) -> Option<usize> {
    let (sender, receiver) = oneshot::channel();
    shard.send(Order::UnderWay(sender)).await.ok()?;
    receiver.await.ok()
}
