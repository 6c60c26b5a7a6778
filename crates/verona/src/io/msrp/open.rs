//! Connections that we make.

use super::line::Way;
use super::serve::{Serving, prepare};
use super::{Place, Pool};
use crate::config;
use crate::io::bounds::CONNECT;
use crate::io::stream::{Metered, Stream};
use crate::tls::Tls;
use base::dns::Failure;
use msrp::{ConnectionId, Hop, Host, Ticket};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use stox::gateway::Input;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

/// The most addresses of a name that are tried.
const ADDRESSES: u32 = 4;

/// Where somebody wants to be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    host: Host,
    port: u16,
    identity: Option<String>,
}

/// Makes a connection for a ticket, or finds one. In the end the shard that holds it is told, once.
pub(super) fn open(pool: &Pool, ticket: Ticket, hop: Hop) {
    let destination = Destination { host: hop.host.clone(), port: hop.port, identity: identity(&hop) };
    let mut tables = pool.tables();
    if let Some(waiting) = tables.opening.get_mut(&destination) {
        return waiting.push(ticket);
    }
    tables.opening.insert(destination.clone(), vec![ticket]);
    drop(tables);
    tokio::spawn(Attempt { pool: pool.clone(), destination, hop, told: AtomicBool::new(false) }.run());
}

/// Whom a hop is to be, so that two that must be the same may share a connection.
fn identity(hop: &Hop) -> Option<String> {
    let tls = hop.tls.as_ref()?;
    if tls.fingerprints.is_empty() {
        return Some(tls.name.to_string());
    }
    let mut all: Vec<String> = tls
        .fingerprints
        .iter()
        .map(|fingerprint| {
            let mut text = format!("{} ", fingerprint.algorithm);
            for byte in &fingerprint.digest {
                let _ = write!(text, "{byte:02x}");
            }
            text
        })
        .collect();
    all.sort_unstable();
    Some(all.join(" "))
}

/// Somebody's wish, and of all who wish the same meanwhile. However it ends, they are told.
struct Attempt {
    pool: Pool,
    destination: Destination,
    hop: Hop,
    /// They were told: whoever waits for the same destination now has a wish of his own.
    told: AtomicBool,
}

impl Attempt {
    async fn run(self) {
        match timeout(CONNECT, self.reach()).await {
            // A task of its own: what making the connection took is free again.
            Ok(Ok(Some((serving, stream)))) => drop(tokio::spawn(serving.run(stream))),
            Ok(Ok(None)) => {}
            Ok(Err(why)) => self.pool.inner.meters.msrp_failed(why),
            Err(_) => self.pool.inner.meters.msrp_failed("connect timeout"),
        }
    }

    /// A new connection; `None` where there was one already.
    async fn reach(&self) -> Result<Option<(Serving, Stream)>, &'static str> {
        let addresses = self.addresses().await?;
        let mut why = "no address";
        for remote in &addresses {
            if !self.may_lead_to(*remote) {
                why = "address not allowed";
                continue;
            }
            let way = Way { remote: *remote, identity: self.destination.identity.clone() };
            if self.share(&way) {
                return Ok(None);
            }
            let Some(place) = self.pool.place(*remote) else { return Err("too many connections") };
            let patience = CONNECT / u32::try_from(addresses.len()).unwrap_or(ADDRESSES);
            match timeout(patience, self.connect(*remote)).await {
                Ok(Ok(stream)) => return Ok(Some(self.begin(place, stream, way))),
                Ok(Err(reason)) => why = reason,
                Err(_) => why = "connect timeout",
            }
        }
        Err(why)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, &'static str> {
        let Destination { host, port, .. } = &self.destination;
        match host {
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, *port)]),
            Host::Name(name) => {
                let _turn = self.pool.inner.lookups.acquire().await;
                let dns = &self.pool.inner.setup.dns;
                let is_relay = self.is_relay();
                let found = match is_relay {
                    // As the operator has written it.
                    true => dns.host(&config::Host::Name(name.to_string()), *port).await,
                    false => dns.addresses(name).await.map(|found| {
                        found.into_iter().map(|address| SocketAddr::new(address, *port)).collect::<Vec<_>>()
                    }),
                };
                let mut found = found.map_err(|failure| match failure {
                    Failure::NoRecords => "no address",
                    Failure::NoName | Failure::Failed | Failure::Timeout => "name not found",
                })?;
                found.truncate(ADDRESSES as usize);
                Ok(found)
            }
        }
    }

    /// Whether it is the relay that the operator has named.
    fn is_relay(&self) -> bool {
        let Destination { host, port, .. } = &self.destination;
        self.pool.inner.setup.relay.as_ref().is_some_and(|(h, p)| h == host && p == port)
    }

    /// Whether we may connect to this address: it is where the operator said, or open to what peers say, and not ourselves.
    fn may_lead_to(&self, remote: SocketAddr) -> bool {
        let config = self.pool.live().config;
        !config.own.takes_connections(remote) && (self.is_relay() || config.may_lead_to(remote.ip()))
    }

    /// Promises a connection of ours that leads this way, if there is one, to all who wait.
    fn share(&self, way: &Way) -> bool {
        let mut tables = self.pool.tables();
        let Some(line) = tables.ours.get(way).and_then(|id| tables.lines.get(id)).cloned() else { return false };
        if !line.promise() {
            return false;
        }
        let tickets = tables.opening.remove(&self.destination).unwrap_or_default();
        self.told.store(true, Ordering::Relaxed);
        for _ in tickets.iter().skip(1) {
            line.promise();
        }
        drop(tables);
        self.pool.inner.meters.msrp_opens_reused.increment(tickets.len() as u64);
        self.tell(&tickets, Some(ConnectionId(line.id)));
        true
    }

    async fn connect(&self, remote: SocketAddr) -> Result<Stream, &'static str> {
        let stream = TcpStream::connect(remote).await.map_err(|_| "unreachable")?;
        prepare(&stream);
        let Some(wanted) = &self.hop.tls else { return Ok(Stream::Plain(stream)) };
        let config = self.pool.inner.setup.tls.session_client(wanted).map_err(|_| "tls")?;
        let name = Tls::name(wanted, remote.ip()).ok_or("tls")?;
        match TlsConnector::from(config).connect(name, Metered::outward(stream)).await {
            Ok(stream) => Ok(Stream::secured(TlsStream::Client(stream))),
            Err(_) => Err("tls"),
        }
    }

    fn begin(&self, place: Place, stream: Stream, way: Way) -> (Serving, Stream) {
        let (serving, tickets) = Serving::new(place, &stream, Some((way, &self.destination)));
        self.told.store(true, Ordering::Relaxed);
        self.pool.inner.meters.msrp_opens_made.increment(1);
        self.tell(&tickets, Some(serving.connection()));
        (serving, stream)
    }

    fn tell(&self, tickets: &[Ticket], connection: Option<ConnectionId>) {
        for ticket in tickets {
            self.pool.inner.dispatch.post(usize::from(ticket.shard()), Input::MsrpOpened(*ticket, connection));
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.told.load(Ordering::Relaxed) {
            let left = self.pool.tables().opening.remove(&self.destination);
            self.tell(&left.unwrap_or_default(), None);
        }
    }
}
