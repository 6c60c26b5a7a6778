//! What is known of the servers.

use super::{Config, Health, MAX_SERVERS};
use base::Time;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    up: bool,
    round_trip: Option<Duration>,
    full_until: Time,
    /// When it is pinged next; None while a ping is out.
    ping_at: Option<Time>,
}

impl Server {
    fn new(address: SocketAddr) -> Server {
        // Nobody is down before it was asked. The first ping goes out at once.
        Server { address, up: true, round_trip: None, full_until: Time::ZERO, ping_at: Some(Time::ZERO) }
    }
}

#[derive(Debug)]
pub(super) struct Servers(Vec<Server>);

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr]) -> Servers {
        let mut servers = Servers(Vec::new());
        servers.replace(addresses);
        servers
    }

    pub(super) fn replace(&mut self, addresses: &[SocketAddr]) {
        let mut known = std::mem::take(&mut self.0);
        for address in addresses {
            if self.0.len() < MAX_SERVERS && self.0.iter().all(|server| server.address != *address) {
                let place = known.iter().position(|server| server.address == *address);
                self.0.push(place.map_or_else(|| Server::new(*address), |place| known.swap_remove(place)));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of those that were not tried: that is up and has room, that is up, or any.
    pub(super) fn best(&self, now: Time, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let left = || self.0.iter().filter(|server| !tried.contains(&server.address));
        let has_room = |server: &&Server| server.up && server.full_until <= now;
        left()
            .find(has_room)
            .or_else(|| left().find(|server| server.up))
            .or_else(|| left().next())
            .map(|server| server.address)
    }

    fn get(&mut self, address: SocketAddr) -> Option<&mut Server> {
        self.0.iter_mut().find(|server| server.address == address)
    }

    /// It has said something; `sense` says whether that was an answer. Whoever speaks need not be pinged for a while.
    pub(super) fn answered(&mut self, now: Time, address: SocketAddr, after: Duration, sense: bool, config: &Config) {
        let Some(server) = self.get(address) else { return };
        server.up = sense;
        server.round_trip = Some(after);
        server.ping_at = Some(now + if sense { config.ping } else { config.ping_down });
    }

    pub(super) fn silent(&mut self, now: Time, address: SocketAddr, config: &Config) {
        let Some(server) = self.get(address) else { return };
        server.up = false;
        server.ping_at = Some(now + config.ping_down);
    }

    pub(super) fn full(&mut self, until: Time, address: SocketAddr) {
        if let Some(server) = self.get(address) {
            server.full_until = until;
        }
    }

    /// One that is to be pinged now.
    pub(super) fn next_ping(&mut self, now: Time) -> Option<SocketAddr> {
        let server = self.0.iter_mut().find(|server| server.ping_at.is_some_and(|at| at <= now))?;
        server.ping_at = None;
        Some(server.address)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.iter().filter_map(|server| server.ping_at).min()
    }

    pub(super) fn health(&self) -> Vec<Health> {
        let health = |server: &Server| Health { server: server.address, up: server.up, round_trip: server.round_trip };
        self.0.iter().map(health).collect()
    }
}
