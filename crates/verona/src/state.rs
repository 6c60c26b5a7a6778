//! What the gateway knows of itself, for those who ask: load balancers, the service manager, the operator.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A shard's answer to "how much do you have under way?": `None` when it is gone.
pub type Answer = Pin<Box<dyn Future<Output = Option<usize>> + Send>>;

/// What people have open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Open {
    /// Chat sessions.
    pub chats: Vec<stox::chat::Session>,
    /// Places of SIP users in MUCs.
    pub participants: Vec<stox::room::Seat>,
    /// Places of XMPP users in SIP conferences.
    pub occupants: Vec<stox::room::Seat>,
    /// Calls that are there or begin.
    pub calls: Vec<stox::media::calls::Seen>,
    /// Trunks where the gateway is to be registered.
    pub trunks: Vec<stox::trunk::Seen>,
    /// The SIP accounts that XMPP users have linked.
    pub accounts: stox::account::Counts,
    /// Domains that there are streams with, or that are looked for.
    pub federation: Vec<xmpp::federation::Seen>,
}

/// A shard's answer to "what is open?": `None` when it is gone.
pub type Sessions = Pin<Box<dyn Future<Output = Option<Open>> + Send>>;

/// What there is with other servers: `None` when nobody knows any more.
pub type Federated = Pin<Box<dyn Future<Output = Option<Vec<xmpp::federation::Seen>>> + Send>>;

/// How long a shard may take to answer. One batch of messages takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state. Shared by everybody who changes or reads it.
pub struct State {
    links: Vec<Link>,
    sockets: Vec<Socket>,
    msrp: Vec<Socket>,
    federation: Vec<Socket>,
    draining: AtomicBool,
    /// Why the store does not work; none while it does.
    store: Mutex<Option<String>>,
    shards: Mutex<Shards>,
}

struct Shards {
    count: usize,
    ask: Arc<dyn Fn(usize) -> Answer + Send + Sync>,
    sessions: Arc<dyn Fn(usize) -> Sessions + Send + Sync>,
    federation: Arc<dyn Fn() -> Federated + Send + Sync>,
}

/// A component stream, or a federated domain.
#[derive(Debug)]
pub struct Link {
    /// The domain it stands for.
    pub domain: String,
    up: AtomicBool,
    why: Mutex<String>,
}

/// A socket for SIP or MSRP.
#[derive(Debug)]
pub struct Socket {
    /// Such as `udp:127.0.0.1:5060`.
    pub name: String,
    bound: AtomicBool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("links", &self.links).field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl State {
    /// The state of a gateway that has nothing of it yet: these streams, by domain, and these sockets.
    pub fn new(domains: &[String], sockets: &[String]) -> State {
        let link = |domain: &String| Link {
            domain: domain.clone(),
            up: AtomicBool::new(false),
            why: Mutex::new("not connected yet".to_owned()),
        };
        let socket = |name: &String| Socket { name: name.clone(), bound: AtomicBool::new(false) };
        State {
            links: domains.iter().map(link).collect(),
            sockets: sockets.iter().map(socket).collect(),
            msrp: vec![],
            federation: vec![],
            draining: AtomicBool::new(false),
            store: Mutex::new(Some("not open yet".to_owned())),
            shards: Mutex::new(Shards {
                count: 0,
                ask: Arc::new(|_| Box::pin(async { None })),
                sessions: Arc::new(|_| Box::pin(async { None })),
                federation: Arc::new(|| Box::pin(async { None })),
            }),
        }
    }

    /// The same with these sockets for MSRP.
    #[must_use]
    pub fn with_msrp(mut self, sockets: &[String]) -> State {
        let socket = |name: &String| Socket { name: name.clone(), bound: AtomicBool::new(false) };
        self.msrp = sockets.iter().map(socket).collect();
        self
    }

    /// The same with these sockets for other XMPP servers.
    #[must_use]
    pub fn with_federation(mut self, sockets: &[String]) -> State {
        let socket = |name: &String| Socket { name: name.clone(), bound: AtomicBool::new(false) };
        self.federation = sockets.iter().map(socket).collect();
        self
    }

    /// How to ask a shard whether it lives.
    pub fn set_shards(&self, count: usize, ask: impl Fn(usize) -> Answer + Send + Sync + 'static) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        (shards.count, shards.ask) = (count, Arc::new(ask));
    }

    /// How to ask a shard for what is open.
    pub fn set_sessions(&self, ask: impl Fn(usize) -> Sessions + Send + Sync + 'static) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).sessions = Arc::new(ask);
    }

    /// How to ask what there is with other servers.
    pub fn set_federation(&self, ask: impl Fn() -> Federated + Send + Sync + 'static) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).federation = Arc::new(ask);
    }

    /// The stream is authenticated.
    pub fn link_up(&self, link: usize) {
        if let Some(link) = self.links.get(link) {
            link.up.store(true, Relaxed);
        }
    }

    /// The stream is not there, and why.
    pub fn link_down(&self, link: usize, why: &str) {
        if let Some(link) = self.links.get(link) {
            why.clone_into(&mut link.why.lock().unwrap_or_else(PoisonError::into_inner));
            link.up.store(false, Relaxed);
        }
    }

    /// The socket is bound, or no longer.
    pub fn set_bound(&self, socket: usize, bound: bool) {
        if let Some(socket) = self.sockets.get(socket) {
            socket.bound.store(bound, Relaxed);
        }
    }

    /// The same of a socket for MSRP.
    pub fn set_msrp_bound(&self, socket: usize, bound: bool) {
        if let Some(socket) = self.msrp.get(socket) {
            socket.bound.store(bound, Relaxed);
        }
    }

    /// The same of a socket for other XMPP servers.
    pub fn set_federation_bound(&self, socket: usize, bound: bool) {
        if let Some(socket) = self.federation.get(socket) {
            socket.bound.store(bound, Relaxed);
        }
    }

    /// The store works.
    pub fn store_up(&self) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The store does not work, and why.
    pub fn store_down(&self, why: &str) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    /// Why the store does not work; none while it does. That is no reason to send the traffic somewhere else: what does not have to be
    /// remembered goes on.
    pub fn store_trouble(&self) -> Option<String> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing new is taken any more.
    pub fn start_draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// The streams.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The sockets for SIP.
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    /// Those for MSRP.
    pub fn msrp_sockets(&self) -> &[Socket] {
        &self.msrp
    }

    /// Those for other XMPP servers.
    pub fn federation_sockets(&self) -> &[Socket] {
        &self.federation
    }

    /// Whether the gateway is ending.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Whether messages get through, both ways, on all streams and sockets.
    pub fn is_ready(&self) -> bool {
        let sockets = self.sockets.iter().chain(&self.msrp).chain(&self.federation);
        !self.is_draining() && self.links.iter().all(Link::is_up) && sockets.into_iter().all(Socket::is_bound)
    }

    /// Asks every shard, all at once; the places of those that do not answer in time, in order.
    pub async fn silent_shards(&self) -> Vec<usize> {
        let (count, ask) = {
            let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
            (shards.count, Arc::clone(&shards.ask))
        };
        let asked: Vec<_> = (0..count).map(|shard| tokio::spawn(tokio::time::timeout(PATIENCE, ask(shard)))).collect();
        let mut silent = vec![];
        for (shard, answer) in asked.into_iter().enumerate() {
            if !matches!(answer.await, Ok(Ok(Some(_)))) {
                silent.push(shard);
            }
        }
        silent
    }

    /// What is open in every shard that answers in time, of each kind the oldest first.
    pub async fn sessions(&self) -> Open {
        let (count, ask, federation) = {
            let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
            (shards.count, Arc::clone(&shards.sessions), Arc::clone(&shards.federation))
        };
        let federation = tokio::spawn(tokio::time::timeout(PATIENCE, federation()));
        let asked: Vec<_> = (0..count).map(|shard| tokio::spawn(tokio::time::timeout(PATIENCE, ask(shard)))).collect();
        let mut open = Open::default();
        for answer in asked {
            if let Ok(Ok(Some(of_shard))) = answer.await {
                open.chats.extend(of_shard.chats);
                open.participants.extend(of_shard.participants);
                open.occupants.extend(of_shard.occupants);
                open.calls.extend(of_shard.calls);
                open.trunks.extend(of_shard.trunks);
                open.accounts.linked += of_shard.accounts.linked;
                open.accounts.registered += of_shard.accounts.registered;
            }
        }
        if let Ok(Ok(Some(seen))) = federation.await {
            open.federation = seen;
        }
        open.chats.sort_by_key(|session| std::cmp::Reverse(session.age));
        open.calls.sort_by_key(|call| std::cmp::Reverse(call.age));
        for seats in [&mut open.participants, &mut open.occupants] {
            seats.sort_by_key(|seat| std::cmp::Reverse(seat.age));
        }
        open
    }
}

impl Link {
    /// Whether the stream is authenticated.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// Why it was down the last time.
    pub fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Socket {
    /// Whether it is bound.
    pub fn is_bound(&self) -> bool {
        self.bound.load(Relaxed)
    }
}
