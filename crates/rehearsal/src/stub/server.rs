//! An XMPP server's end of a component stream, with the server's users as actors.

use super::muc::Service;
use crate::ladder::{Ladder, Side};
use base::{Time, Tokens};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use xml::Limits;
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};
use xmpp::stream::component::{self, Secret, ServerOutput};

/// What becomes of a stanza of the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A user has it.
    Delivered,
    /// It is returned with this error.
    Refused(StanzaError),
}

/// What the server expects.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where it listens; port 0: anywhere.
    pub listen: SocketAddr,
    /// The component's domain.
    pub component: String,
    /// The component's secret.
    pub secret: String,
}

/// Rooms that a server has beside its users: the test may look into them and change them while the server runs.
pub type Rooms = Arc<Mutex<Service>>;

type Policy = Arc<dyn Fn(&Stanza) -> Verdict + Send + Sync>;

/// A server's end on a real socket, for one component at a time. It stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    send: mpsc::UnboundedSender<Order>,
    arrivals: mpsc::UnboundedReceiver<Stanza>,
    up: watch::Receiver<bool>,
    hold: watch::Sender<bool>,
    held: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Send(Box<Stanza>),
    Cut,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// A server that deals with the component's messages as `policy` says. What it refuses is returned; what the component sends to its
    /// own domain comes back to it, as a server routes it; messages and answers are drawn into `ladder`.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start(
        settings: ServerSettings,
        ladder: Ladder,
        policy: impl Fn(&Stanza) -> Verdict + Send + Sync + 'static,
    ) -> io::Result<Server> {
        Server::start_with_rooms(settings, ladder, None, policy).await
    }

    /// A server that also has rooms. What they say to users arrives as what the component says does ([`Server::next`]); what they say to the
    /// component while it is not there comes back to them.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start_with_rooms(
        settings: ServerSettings,
        ladder: Ladder,
        rooms: Option<Rooms>,
        policy: impl Fn(&Stanza) -> Verdict + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let (send, orders) = mpsc::unbounded_channel();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let (tell_up, up) = watch::channel(false);
        let (tell_held, held) = watch::channel(0);
        let (hold, holds) = watch::channel(false);
        let start = Instant::now();
        if let (Some(rooms), Ok(now)) = (&rooms, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)) {
            let epoch = i64::try_from(now.as_secs()).unwrap_or_default();
            rooms.lock().unwrap_or_else(PoisonError::into_inner).set_epoch(epoch);
        }
        let end = End {
            settings,
            ladder,
            rooms,
            policy: Arc::new(policy),
            arrived,
            up: tell_up,
            hold: holds,
            held: tell_held,
            start,
        };
        let task = tokio::spawn(end.run(listener, orders));
        Ok(Server { address, send, arrivals, up, hold, held, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the component to be connected and authenticated; `false` if it is not within `patience`.
    pub async fn wait_up(&mut self, patience: Duration) -> bool {
        timeout(patience, self.up.wait_for(|up| *up)).await.is_ok_and(|r| r.is_ok())
    }

    /// A user of the server, or the server itself, sends this to the component, or to a room. What is sent while no component is there is lost, but
    /// not to the rooms.
    pub fn send(&self, stanza: Stanza) {
        let _ = self.send.send(Order::Send(Box::new(stanza)));
    }

    /// Ends the connection without a word; the component may come back.
    pub fn cut(&self) {
        let _ = self.send.send(Order::Cut);
    }

    /// From now on the server reads what the component sends and does nothing with it, until it is told to go on; then it does it all,
    /// in order. What it has not done when the connection ends is never done.
    pub fn hold(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    /// Waits until so many messages of the component are held; `false` if it is not so within `patience`.
    pub async fn wait_held(&mut self, messages: usize, patience: Duration) -> bool {
        timeout(patience, self.held.wait_for(|held| *held >= messages)).await.is_ok_and(|r| r.is_ok())
    }

    /// The next stanza of the component for somebody else than itself, refused ones too. Nothing within `patience`: `None`.
    pub async fn next(&mut self, patience: Duration) -> Option<Stanza> {
        timeout(patience, self.arrivals.recv()).await.ok().flatten()
    }
}

struct End {
    settings: ServerSettings,
    ladder: Ladder,
    rooms: Option<Rooms>,
    policy: Policy,
    arrived: mpsc::UnboundedSender<Stanza>,
    up: watch::Sender<bool>,
    hold: watch::Receiver<bool>,
    held: watch::Sender<usize>,
    start: Instant,
}

impl End {
    async fn run(mut self, listener: TcpListener, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut tokens = Tokens::seeded(std::process::id().into());
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // What the component did not live to see.
            while let Ok(order) = orders.try_recv() {
                if let Order::Send(stanza) = order
                    && self.is_for_rooms(&stanza)
                {
                    self.stanza(None, *stanza);
                }
            }
            let secret = Secret::new(&self.settings.secret);
            let now = self.now();
            let machine = component::Server::new(&self.settings.component, secret, Limits::default(), &mut tokens, now);
            let _ = self.connection(stream, machine, &mut orders).await;
            self.held.send_replace(0);
            if self.up.send_replace(false) {
                self.ladder.note(Side::Xmpp, true, &format!("(component {} is gone)", self.settings.component));
            }
        }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// One connection, to its end.
    async fn connection(
        &mut self,
        mut stream: TcpStream,
        mut machine: component::Server,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> io::Result<()> {
        let _ = stream.set_nodelay(true);
        let mut buffer = vec![0; 65_536];
        let mut waiting = VecDeque::new();
        loop {
            let hold = *self.hold.borrow_and_update();
            while let Some(stanza) = waiting.pop_front_if(|_| !hold) {
                self.stanza(Some(&mut machine), stanza);
            }
            while let Some(output) = machine.poll() {
                match output {
                    ServerOutput::Bytes(bytes) => stream.write_all(&bytes).await?,
                    ServerOutput::Up => {
                        self.up.send_replace(true);
                        self.ladder.note(
                            Side::Xmpp,
                            false,
                            &format!("(component {} is here)", self.settings.component),
                        );
                    }
                    ServerOutput::Stanza(stanza) if hold => waiting.push_back(stanza),
                    ServerOutput::Stanza(stanza) => self.stanza(Some(&mut machine), stanza),
                    ServerOutput::Close(_) => return stream.shutdown().await,
                }
            }
            self.held.send_replace(waiting.iter().filter(|s| s.kind == Kind::Message).count());
            let left = machine.deadline().map_or(Duration::from_secs(3600), |at| at.since(self.now()));
            tokio::select! {
                read = stream.read(&mut buffer) => match read? {
                    0 => return Ok(()),
                    n => machine.received(&buffer[..n]),
                },
                order = orders.recv() => match order {
                    Some(Order::Send(stanza)) if self.is_for_rooms(&stanza) => self.stanza(Some(&mut machine), *stanza),
                    Some(Order::Send(stanza)) => {
                        self.ladder.stanza(true, &stanza.to_element());
                        machine.send(&stanza);
                    }
                    Some(Order::Cut) => return Ok(()),
                    None => return stream.shutdown().await,
                },
                _ = self.hold.changed() => {}
                () = tokio::time::sleep(left) => machine.timeout(self.now()),
            }
        }
    }

    fn is_for_rooms(&self, stanza: &Stanza) -> bool {
        self.rooms.as_ref().is_some_and(|rooms| rooms.lock().unwrap_or_else(PoisonError::into_inner).is_for(stanza))
    }

    /// A stanza of anybody, and all that follows from it.
    fn stanza(&self, mut machine: Option<&mut component::Server>, stanza: Stanza) {
        if self.is_ours(stanza.from.as_ref()) && !self.is_ours(stanza.to.as_ref()) {
            self.ladder.stanza(false, &stanza.to_element());
        }
        let deliver = |stanza| self.deliver(machine.as_deref_mut(), stanza);
        match &self.rooms {
            Some(rooms) => rooms.lock().unwrap_or_else(PoisonError::into_inner).relay(self.now(), stanza, deliver),
            None => {
                let mut deliver = deliver;
                let mut next = Some(stanza);
                while let Some(stanza) = next {
                    next = deliver(stanza);
                }
            }
        }
    }

    /// Whether somebody is the component, or behind it.
    fn is_ours(&self, jid: Option<&Jid>) -> bool {
        jid.is_some_and(|jid| jid.domain() == self.settings.component)
    }

    /// A stanza for the component or for a user. Gives back the error, if it comes back.
    fn deliver(&self, machine: Option<&mut component::Server>, stanza: Stanza) -> Option<Stanza> {
        // A server routes what is for the component to the component, barriers among it.
        if self.is_ours(stanza.to.as_ref()) {
            let Some(machine) = machine else {
                let error = StanzaError::new(Condition::ServiceUnavailable);
                return stanza.error(&StanzaError { kind: ErrorType::Wait, ..error });
            };
            if !self.is_ours(stanza.from.as_ref()) {
                self.ladder.stanza(true, &stanza.to_element());
            }
            machine.send(&stanza);
            return None;
        }
        let answer = match (self.policy)(&stanza) {
            Verdict::Delivered => None,
            Verdict::Refused(error) => stanza.error(&error),
        };
        let _ = self.arrived.send(stanza);
        answer
    }
}
