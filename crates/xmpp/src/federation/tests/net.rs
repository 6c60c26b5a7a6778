//! A network of several federations: name servers, connections that break, certificates, and clocks that are moved by hand.

use crate::ext::ping::Ping;
use crate::federation::{Config, ConnectionId, Event, Federation, Output, Target, Undelivered, Unlocated};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use crate::stream::s2s::{self, Certificate, Local, Pair, Secret};
use base::{Str, Time, Tokens};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use xml::Element;

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What is at a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// The site of this number.
    Site(usize),
    /// Connections are refused.
    Dead,
    /// Nothing answers at all.
    Hole,
    /// Connections are taken, and nothing is ever said.
    Deaf,
}

/// One federation and what came out of it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) federation: Federation,
    /// The domains that its certificate is valid for.
    pub(super) certificate: BTreeSet<Str>,
    /// Whether it answers pings, as servers do.
    pub(super) answers: bool,
    pub(super) stanzas: Vec<Stanza>,
    pub(super) taken: Vec<u64>,
    pub(super) lost: Vec<u64>,
    pub(super) events: Vec<Event>,
    next: u64,
}

/// One end of a connection; `None`: nobody is there.
type End = Option<(usize, ConnectionId)>;

#[derive(Debug)]
struct Wire {
    ends: [End; 2],
    /// What is on its way to each end.
    bytes: [VecDeque<Vec<u8>>; 2],
    /// Each end has begun TLS.
    tls: [bool; 2],
    secured: bool,
    closing: bool,
}

/// The network.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: Time,
    pub(super) sites: Vec<Site>,
    pub(super) names: BTreeMap<Str, Result<Vec<Target>, Unlocated>>,
    pub(super) places: BTreeMap<Str, Place>,
    wires: Vec<Wire>,
    ends: BTreeMap<(usize, ConnectionId), (usize, usize)>,
    /// The wires with something on them.
    busy: BTreeSet<usize>,
    /// After so many bytes on all wires the one that carries them is cut.
    pub(super) cut_after: Option<usize>,
    pub(super) carried: usize,
    pub(super) connects: usize,
    pub(super) locates: usize,
    /// Where connections come from, if that counts.
    pub(super) source: Option<IpAddr>,
    /// Of those, the ones for keys alone.
    pub(super) keys_only: usize,
    /// Those are not answered by themselves.
    pub(super) holds_keys: bool,
}

pub(super) fn target(host: &str) -> Target {
    Target { host: host.into(), port: 5269, direct_tls: false }
}

/// A message with an id.
pub(super) fn message(from: &str, to: &str, id: &str) -> Stanza {
    let jid = |text: &str| Jid::parse(text).unwrap();
    let body = Element::new("body", ns::CLIENT).with_text("hi");
    Stanza::message().with_from(jid(from)).with_to(jid(to)).with_id(id).with_child(body)
}

impl Net {
    /// Sites that serve these domains each, with certificates for all of them; name servers and hosts by number.
    pub(super) fn new(domains: &[&[&str]], change: impl Fn(usize, &mut Config)) -> Net {
        let mut net = Net {
            now: Time::from_secs(1000),
            sites: Vec::new(),
            names: BTreeMap::new(),
            places: BTreeMap::new(),
            wires: Vec::new(),
            ends: BTreeMap::new(),
            busy: BTreeSet::new(),
            cut_after: None,
            carried: 0,
            connects: 0,
            locates: 0,
            source: None,
            keys_only: 0,
            holds_keys: false,
        };
        for (number, domains) in domains.iter().enumerate() {
            let host = format!("host{number}");
            net.places.insert(host.as_str().into(), Place::Site(number));
            for domain in *domains {
                net.names.insert((*domain).into(), Ok(vec![target(&host)]));
            }
            let local = domains.iter().map(|domain| (Str::from(*domain), Local { certificate: true }));
            let stream = s2s::Config::new(local, Secret::new(host.as_bytes()));
            let mut config = Config::new(Arc::new(stream));
            change(number, &mut config);
            net.sites.push(Site {
                federation: Federation::new(config, Tokens::seeded(number as u64 + 1)),
                certificate: domains.iter().map(|domain| Str::from(*domain)).collect(),
                answers: true,
                stanzas: Vec::new(),
                taken: Vec::new(),
                lost: Vec::new(),
                events: Vec::new(),
                next: 1,
            });
        }
        net
    }

    /// A site sends a stanza; its token.
    pub(super) fn send(&mut self, site: usize, stanza: &Stanza) -> u64 {
        let token = self.queue(site, stanza);
        self.run();
        token
    }

    /// The same before anything else happens.
    pub(super) fn queue(&mut self, site: usize, stanza: &Stanza) -> u64 {
        let pair = Pair::new(stanza.from.as_ref().unwrap().domain(), stanza.to.as_ref().unwrap().domain());
        let token = self.sites[site].next;
        self.sites[site].next += 1;
        self.sites[site].federation.send(self.now, &pair, stanza.to_bytes(ns::SERVER), Some(token));
        token
    }

    /// Does all that can be done now.
    pub(super) fn run(&mut self) {
        loop {
            let mut quiet = true;
            for site in 0..self.sites.len() {
                self.sites[site].federation.flushed(self.now);
                while let Some(output) = self.sites[site].federation.poll() {
                    quiet = false;
                    self.does(site, output);
                }
            }
            if self.deliver() {
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }

    /// Lets time go by, from deadline to deadline.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        while let Some(at) = self.sites.iter().filter_map(|s| s.federation.deadline()).min().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for site in &mut self.sites {
                site.federation.timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    /// The connections that are there.
    pub(super) fn wires(&self) -> usize {
        self.wires.iter().filter(|wire| wire.ends.iter().any(Option::is_some)).count()
    }

    /// Breaks all connections.
    pub(super) fn cut_all(&mut self) {
        for wire in 0..self.wires.len() {
            self.cut(wire);
        }
        self.run();
    }

    /// The connections stay, but nothing of what is on them arrives any more.
    pub(super) fn hang_all(&mut self) {
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                if let Some(known) = self.wires[wire].ends[end] {
                    // Each end speaks to nobody from now on.
                    self.wires.push(Wire {
                        ends: [Some(known), None],
                        bytes: Default::default(),
                        tls: [false; 2],
                        secured: true,
                        closing: false,
                    });
                    self.ends.insert(known, (self.wires.len() - 1, 0));
                }
            }
            self.wires[wire].ends = [None, None];
        }
    }

    /// A site starts anew, and knows of nothing.
    pub(super) fn restart(&mut self, site: usize, seed: u64) {
        let config = self.sites[site].federation.config.clone();
        self.sites[site].federation = Federation::new(config, Tokens::seeded(seed));
        self.ends.retain(|(of, _), _| *of != site);
        for end in self.wires.iter_mut().flat_map(|wire| &mut wire.ends) {
            *end = end.filter(|(of, _)| *of != site);
        }
    }

    /// A bare connection of somebody who is no federation; what it is called, if it is taken.
    pub(super) fn knock(&mut self, site: usize) -> Option<ConnectionId> {
        let id = self.sites[site].federation.accepted(self.now, false, None).ok()?;
        self.wire([None, Some((site, id))]);
        Some(id)
    }

    fn wire(&mut self, ends: [End; 2]) {
        let wire = Wire { ends, bytes: Default::default(), tls: [false; 2], secured: false, closing: false };
        self.wires.push(wire);
        for (n, end) in ends.into_iter().enumerate() {
            if let Some(end) = end {
                self.ends.insert(end, (self.wires.len() - 1, n));
            }
        }
    }

    fn does(&mut self, site: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Locate { domain, keys_only } => {
                self.locates += 1;
                self.keys_only += usize::from(keys_only);
                if keys_only && self.holds_keys {
                    return;
                }
                let found = self.names.get(&domain).cloned().unwrap_or(Err(Unlocated::NotFound));
                self.sites[site].federation.located(now, &domain, found);
            }
            Output::Connect { connection, target, domain, local, keys_only: _ } => {
                self.connects += 1;
                assert_ne!(domain, local);
                match self.places.get(&target.host).copied().unwrap_or(Place::Dead) {
                    Place::Site(other) => {
                        match self.sites[other].federation.accepted(now, target.direct_tls, self.source) {
                            Ok(id) => {
                                self.wire([Some((site, connection)), Some((other, id))]);
                                self.sites[site].federation.connected(now, connection);
                            }
                            Err(_) => self.sites[site].federation.closed(now, connection),
                        }
                    }
                    Place::Dead => self.sites[site].federation.closed(now, connection),
                    Place::Hole => {}
                    Place::Deaf => {
                        self.wire([Some((site, connection)), None]);
                        self.sites[site].federation.connected(now, connection);
                    }
                }
            }
            Output::Bytes { connection, bytes } => {
                if let Some((wire, end)) = self.ends.get(&(site, connection)).copied() {
                    self.wires[wire].bytes[1 - end].push_back(bytes);
                    self.busy.insert(wire);
                }
            }
            Output::StartTls { connection, domain, local } => {
                let Some((wire, end)) = self.ends.get(&(site, connection)).copied() else { return };
                assert_eq!((domain.is_some(), local.is_some()), (end == 0, true));
                self.wires[wire].tls[end] = true;
                self.busy.insert(wire);
            }
            Output::Judge { connection, domain } => {
                let verdict = self.verdict(site, connection, &domain);
                self.sites[site].federation.judged(now, connection, &domain, verdict);
            }
            Output::Close(id) => {
                if let Some((wire, _)) = self.ends.get(&(site, id)).copied() {
                    self.wires[wire].closing = true;
                    self.busy.insert(wire);
                }
            }
            Output::Abort(id) => {
                if let Some((wire, _)) = self.ends.get(&(site, id)).copied() {
                    self.cut(wire);
                }
            }
            Output::Stanza(stanza) => self.stanza(site, stanza),
            Output::Taken(token) => self.sites[site].taken.push(token),
            Output::Lost(token) => self.sites[site].lost.push(token),
            Output::Event(event) => self.sites[site].events.push(event),
        }
    }

    fn verdict(&self, site: usize, connection: ConnectionId, domain: &str) -> Certificate {
        let Some((wire, end)) = self.ends.get(&(site, connection)).copied() else { return Certificate::None };
        let wire = &self.wires[wire];
        assert!(wire.secured, "asked of a connection without TLS");
        match wire.ends[1 - end] {
            Some((other, _)) if self.sites[other].certificate.contains(domain) => Certificate::Valid,
            Some(_) => Certificate::Invalid("self-signed".into()),
            None => Certificate::None,
        }
    }

    /// A site answers pings as a server does; all else is kept.
    fn stanza(&mut self, site: usize, stanza: Stanza) {
        let asked = stanza.kind == Kind::Iq && stanza.type_.as_deref() == Some("get");
        if asked && stanza.elements().any(|e| e.is("ping", ns::PING)) {
            if self.sites[site].answers {
                self.queue(site, &stanza.result(None));
            }
            return;
        }
        self.sites[site].stanzas.push(stanza);
    }

    /// Moves what is on the wires; whether anything was.
    fn deliver(&mut self) -> bool {
        let mut moved = false;
        for wire in std::mem::take(&mut self.busy) {
            for end in 0..2 {
                while let Some(mut bytes) = self.wires[wire].bytes[end].pop_front() {
                    moved = true;
                    let left = self.cut_after.map(|n| n.saturating_sub(self.carried));
                    let cut = left.is_some_and(|left| left < bytes.len());
                    bytes.truncate(left.unwrap_or(usize::MAX));
                    self.carried += bytes.len();
                    if let Some((site, id)) = self.wires[wire].ends[end] {
                        self.sites[site].federation.received(self.now, id, &bytes);
                        self.sites[site].federation.flushed(self.now);
                    }
                    if cut {
                        self.cut_after = None;
                        self.cut(wire);
                    }
                }
            }
            let w = &mut self.wires[wire];
            if w.tls == [true, true] && !w.secured && w.bytes.iter().all(VecDeque::is_empty) {
                moved = true;
                w.secured = true;
                for (site, id) in w.ends.into_iter().flatten() {
                    self.sites[site].federation.secured(self.now, id);
                }
            }
            let w = &self.wires[wire];
            if w.closing && w.bytes.iter().all(VecDeque::is_empty) {
                moved = true;
                self.cut(wire);
            }
        }
        moved
    }

    fn cut(&mut self, wire: usize) {
        let Some(wire) = self.wires.get_mut(wire) else { return };
        wire.closing = false;
        wire.bytes = Default::default();
        for (site, id) in std::mem::take(&mut wire.ends).into_iter().flatten() {
            self.ends.remove(&(site, id));
            self.sites[site].federation.closed(self.now, id);
        }
    }

    /// Whether a site has got the message of this id, and how often.
    pub(super) fn got(&self, site: usize, id: &str) -> usize {
        let is = |s: &&Stanza| !s.is_error() && s.kind == Kind::Message && s.id.as_deref() == Some(id);
        self.sites[site].stanzas.iter().filter(is).count()
    }

    /// The conditions of the errors that came back for the message of this id.
    pub(super) fn refused(&self, site: usize, id: &str) -> Vec<&'static str> {
        let errors = self.sites[site].stanzas.iter().filter(|s| s.is_error() && s.id.as_deref() == Some(id));
        errors.filter_map(crate::error::StanzaError::from_stanza).map(|error| error.condition.name()).collect()
    }

    /// Why things came back at a site, in order.
    pub(super) fn undelivered(&self, site: usize) -> Vec<Undelivered> {
        let events = self.sites[site].events.iter();
        events.filter_map(|e| if let Event::Undelivered(why) = e { Some(*why) } else { None }).collect()
    }

    /// After a long time there is nothing left of anything.
    pub(super) fn ends_empty(&mut self) {
        self.wait(secs(4000));
        for site in &self.sites {
            assert_eq!(site.federation.counts(), Default::default());
            assert!(site.federation.is_empty(), "something is kept for nobody");
        }
        assert_eq!(self.wires(), 0);
    }
}

/// A ping that asks a domain.
pub(super) fn ping(from: &str, to: &str, id: &str) -> Stanza {
    let jid = |text: &str| Jid::parse(text).unwrap();
    Stanza::iq("get").with_from(jid(from)).with_to(jid(to)).with_id(id).with_child(Ping.to_element())
}
