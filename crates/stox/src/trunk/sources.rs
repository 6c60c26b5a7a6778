//! Where a trunk sends from: the addresses that its place has, by RFC 3263 in short: the targets of its SRV records, and those of the name itself where
//! there are none, or a port is written.

use super::Asked;
use base::dns::{Answer, Question};
use base::{Str, Time, format_compact};
use sip::agent::Place;
use sip::uri::Host;
use std::net::IpAddr;
use std::time::Duration;

/// The services that are looked at.
const SERVICES: [&str; 3] = ["_sip._udp", "_sip._tcp", "_sips._tcp"];
/// How often it is looked up again.
const AGAIN: Duration = Duration::from_secs(60);
/// For how long an address counts that was not seen any more: names that stand for several show some at a time.
const KEPT: Duration = Duration::from_secs(3600);
/// How many addresses and names are kept.
const MOST_ADDRESSES: usize = 64;
const MOST_NAMES: usize = 16;

/// The number of the question for the addresses of the place's own name.
const OWN: u16 = SERVICES.len() as u16;

/// The addresses of one place.
#[derive(Debug, Default)]
pub(super) struct Sources {
    host: Option<Host>,
    /// Whether its own name's addresses are its own, whatever SRV records say.
    has_port: bool,
    /// When SRV records led elsewhere last, and when to the name itself.
    elsewhere: Option<Time>,
    here: Option<Time>,
    /// The names whose addresses are asked for: the place's own, and those that its SRV records lead to.
    names: Vec<Str>,
    /// Each with the moment at which it was last seen, and whether it is the name's own.
    seen: Vec<(IpAddr, Time, bool)>,
    /// When it is asked again.
    due: Option<Time>,
    /// The targets that came since it was asked.
    found: Vec<Str>,
}

impl Sources {
    /// These are the addresses of this place from now on.
    pub(super) fn of(&mut self, place: &Place, now: Time) {
        self.has_port = place.port.is_some();
        if self.host.as_ref() == Some(&place.host) {
            return;
        }
        let names = match &place.host {
            Host::Name(name) => vec![name.clone()],
            Host::V4(_) | Host::V6(_) => Vec::new(),
        };
        let due = (!names.is_empty()).then_some(now);
        let (host, has_port) = (Some(place.host.clone()), self.has_port);
        *self = Sources { host, has_port, names, due, ..Sources::default() };
    }

    pub(super) fn contain(&self, now: Time, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.host.as_ref().and_then(Host::ip).is_some_and(|own| own.to_canonical() == address)
            || self.seen.iter().any(|(known, at, own)| {
                *known == address && now.since(*at) <= KEPT && (!own || self.is_at_its_name(now))
            })
    }

    /// Whether RFC 3263 leads to the addresses of the name itself: who runs another service there need not be the trunk.
    fn is_at_its_name(&self, now: Time) -> bool {
        let lately = |at: Option<Time>| at.is_some_and(|at| now.since(at) <= KEPT);
        self.has_port || lately(self.here) || !lately(self.elsewhere)
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// What is to be asked now.
    pub(super) fn ask(&mut self, now: Time) -> Vec<Asked> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = Some(now + AGAIN);
        let Some(own) = self.names.first().cloned() else { return Vec::new() };
        // What the last round has found is asked for in this one.
        let found = std::mem::take(&mut self.found);
        if !found.is_empty() {
            self.names.truncate(1);
            self.names.extend(found);
        }
        let services = SERVICES.iter().map(|service| Question::Srv(format_compact!("{service}.{own}")));
        let addresses = self.names.iter().cloned().map(Question::Addresses);
        (0..).zip(services.chain(addresses)).collect()
    }

    /// What was found out by the question of this number.
    pub(super) fn learn(&mut self, now: Time, number: u16, answer: &Answer) {
        if let Ok(records) = answer.srv() {
            for record in records {
                let target = record.target.clone();
                if self.names.first().is_some_and(|own| own.eq_ignore_ascii_case(&target)) {
                    self.here = Some(now);
                    continue;
                }
                if target.is_empty() {
                    continue;
                }
                self.elsewhere = Some(now);
                let known = self.found.contains(&target);
                if !known && self.found.len() < MOST_NAMES {
                    // A name that is new is not waited for: it is asked in the next second.
                    if !self.names.contains(&target) {
                        self.due = self.due.map(|due| due.min(now + Duration::from_secs(1)));
                    }
                    self.found.push(target);
                }
            }
        }
        for address in answer.addresses().unwrap_or_default() {
            let address = address.to_canonical();
            let own = number == OWN;
            match self.seen.iter_mut().find(|(known, _, as_own)| *known == address && *as_own == own) {
                Some(known) => known.1 = now,
                None => {
                    if self.seen.len() >= MOST_ADDRESSES
                        && let Some(oldest) = (0..self.seen.len()).min_by_key(|at| self.seen[*at].1)
                    {
                        self.seen.swap_remove(oldest);
                    }
                    self.seen.push((address, now, own));
                }
            }
        }
    }
}
