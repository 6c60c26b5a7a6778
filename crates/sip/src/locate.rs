//! Where a place is: RFC 3263, as a search that asks one question after the other and gives one target after the other.
//!
//! What is not needed is not asked: the addresses of the second server when the first one has failed. What the name servers say decides only where to
//! knock; who must answer there is the name that was asked for in the beginning ([`Target::name`]).

use crate::agent::{Place, Target, Transport};
use crate::uri::Host;
use base::dns::{self, Answer, Failure, Naptr, Question, Srv};
use base::{Str, Tokens, format_compact, srv};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

#[cfg(test)]
mod tests;

/// The most questions that one search asks.
const MOST_QUESTIONS: usize = 16;

/// The most addresses of one host that are tried.
const MOST_ADDRESSES: usize = 8;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask this, and give the answer to [`Search::answered`].
    Ask(Question),
    /// Try this. If it fails, the next step is another one.
    Try(Target),
    /// There is nothing else.
    End(Fault),
}

/// Why there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// There is no such domain, or it has no SIP service.
    Nothing,
    /// What there is, we have no transport for.
    NoTransport,
    /// No name server has said what there is.
    Unknown,
}

/// Something that leads to targets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lead {
    /// The domain's transports, by NAPTR.
    Services,
    /// The servers for one transport, by SRV.
    Service { name: Str, transport: Transport },
    /// The addresses of one server.
    Server { host: Str, port: u16, transport: Transport },
    /// An address.
    Address(Target),
}

/// A search.
#[derive(Debug)]
pub struct Search {
    /// The domain in the form that name servers are asked in; the host as it was written where it is an address.
    domain: Str,
    secure: bool,
    /// Whether the request is more than fits into a datagram.
    large: bool,
    means: Vec<Transport>,
    leads: VecDeque<Lead>,
    /// Where the domain has no records for services: its own addresses (RFC 3263 §4.2).
    last: Option<Lead>,
    asked: usize,
    fault: Fault,
}

impl Search {
    /// A search for a place, by one of these transports of ours. `large`: the request should not go by UDP where there is a choice (RFC 3261 §18.1.1).
    pub fn new(place: &Place, means: &[Transport], large: bool) -> Search {
        let mut search = Search {
            domain: Str::default(),
            secure: place.secure,
            large,
            means: means.to_vec(),
            leads: VecDeque::new(),
            last: None,
            asked: 0,
            fault: Fault::Nothing,
        };
        let Some(transport) = wanted(place) else {
            search.fault = Fault::NoTransport;
            return search;
        };
        let domain = match &place.host {
            Host::Name(name) => dns::name(name),
            Host::V4(_) | Host::V6(_) => Ok(Str::from(place.host.to_string().trim_matches(['[', ']']))),
        };
        // What is no name of a host is nowhere.
        let Ok(domain) = domain else { return search };
        search.domain = domain.clone();
        let usual = transport.unwrap_or_else(|| search.usual());
        let port = place.port.unwrap_or(usual.default_port());
        if let Some(ip) = place.host.ip() {
            // RFC 3263 §4.1, §4.2: an address is looked up nowhere.
            let target = search.target(ip, port, usual);
            search.leads.push_back(Lead::Address(target));
        } else if place.port.is_some() {
            // RFC 3263 §4.2: with a port it is the name of a host.
            search.leads.push_back(Lead::Server { host: domain, port, transport: usual });
        } else {
            let lead = transport.map_or(Lead::Services, |transport| service(&domain, transport));
            search.leads.push_back(lead);
            search.last = Some(Lead::Server { host: domain, port, transport: usual });
        }
        search
    }

    /// A search that is over as soon as it has begun.
    pub fn at(target: Target) -> Search {
        Search {
            domain: Str::default(),
            secure: false,
            large: false,
            means: vec![target.transport],
            leads: VecDeque::from([Lead::Address(target)]),
            last: None,
            asked: 0,
            fault: Fault::Nothing,
        }
    }

    /// Whether we have no transport for anything that it could find, before anybody was asked.
    pub(crate) fn is_hopeless(&self) -> bool {
        let fit = |transport| self.means.contains(&transport);
        !self.leads.iter().chain(&self.last).any(|lead| transport_of(lead).is_none_or(fit))
    }

    /// Whether there may be other targets.
    pub(crate) fn has_more(&self) -> bool {
        !self.leads.is_empty() || self.last.is_some()
    }

    /// What comes next. The same question again, until it is answered.
    pub fn step(&mut self) -> Step {
        loop {
            let Some(lead) = self.leads.front() else {
                match self.last.take() {
                    Some(last) => self.leads.push_back(last),
                    None => return Step::End(self.fault),
                }
                continue;
            };
            let (transport, question) = match lead {
                Lead::Services => (None, Some(Question::Naptr(self.domain.clone()))),
                Lead::Service { name, transport } => (Some(*transport), Some(Question::Srv(name.clone()))),
                Lead::Server { host, transport, .. } => (Some(*transport), Some(Question::Addresses(host.clone()))),
                Lead::Address(target) => (Some(target.transport), None),
            };
            if transport.is_some_and(|transport| !self.means.contains(&transport)) {
                self.fault = self.fault.max(Fault::NoTransport);
                self.leads.pop_front();
                continue;
            }
            match question {
                Some(question) if self.asked < MOST_QUESTIONS => return Step::Ask(question),
                Some(_) => drop(self.leads.pop_front()),
                None => {
                    if let Some(Lead::Address(target)) = self.leads.pop_front() {
                        return Step::Try(target);
                    }
                }
            }
        }
    }

    /// The question of the last step is answered.
    pub fn answered(&mut self, answer: &Answer, tokens: &mut Tokens) {
        let Some(lead) = self.leads.pop_front() else { return };
        self.asked += 1;
        match lead {
            Lead::Services => self.services(answer),
            Lead::Service { transport, .. } => self.servers(transport, answer, tokens),
            Lead::Server { port, transport, .. } => match answer.addresses() {
                Ok(addresses) => {
                    for ip in addresses.iter().take(MOST_ADDRESSES).rev() {
                        let target = self.target(*ip, port, transport);
                        self.leads.push_front(Lead::Address(target));
                    }
                }
                Err(failure) => self.failed(failure),
            },
            lead @ Lead::Address(_) => self.leads.push_front(lead),
        }
    }

    /// RFC 3263 §4.1: what the domain prefers, of what we have. Without such records we choose.
    fn services(&mut self, answer: &Answer) {
        let records = match answer.naptr() {
            Ok(records) => records,
            // Nobody there will know the rest.
            Err(Failure::Timeout) => return self.give_up(),
            Err(failure) => {
                // Whoever does not know this kind of record may know the other: only what that leads to counts.
                let before = self.fault;
                self.failed(failure);
                self.fault = before;
                &[]
            }
        };
        let mut rules: Vec<&Naptr> = records.iter().collect();
        rules.sort_by_key(|rule| (rule.order, rule.preference));
        let mut leads: Vec<Lead> = Vec::new();
        for rule in rules {
            if let Some(lead) = self.rule(rule).filter(|lead| !leads.contains(lead)) {
                leads.push(lead);
            }
        }
        if let Some(first) = leads.first().and_then(transport_of) {
            let port = first.default_port();
            self.last = Some(Lead::Server { host: self.domain.clone(), port, transport: first });
        } else {
            let all = [Transport::Tls, Transport::Udp, Transport::Tcp].into_iter();
            let fit = all.filter(|t| self.means.contains(t) && (!self.secure || t.secure()));
            leads = fit.map(|transport| service(&self.domain, transport)).collect();
        }
        if self.large {
            // RFC 3261 §18.1.1 has its word in the choice (RFC 3263 §4.1).
            leads.sort_by_key(|lead| transport_of(lead) == Some(Transport::Udp));
        }
        self.leads = leads.into();
    }

    /// What a rule leads to, if it is one of RFC 3263 and there is a transport of ours for it.
    fn rule(&self, rule: &Naptr) -> Option<Lead> {
        let (transport, secure) = match rule.service.as_str() {
            "SIP+D2U" => (Transport::Udp, false),
            "SIP+D2T" => (Transport::Tcp, false),
            "SIPS+D2T" => (Transport::Tls, true),
            // RFC 7118 §7.2.
            "SIP+D2W" => (Transport::Ws, false),
            "SIPS+D2W" => (Transport::Wss, true),
            _ => return None,
        };
        let fit = self.means.contains(&transport) && (secure || !self.secure);
        if !fit || !rule.regexp.is_empty() || rule.replacement.is_empty() {
            return None;
        }
        let name = rule.replacement.clone();
        match rule.flags.as_str() {
            "s" => Some(Lead::Service { name, transport }),
            "a" => Some(Lead::Server { host: name, port: transport.default_port(), transport }),
            _ => None,
        }
    }

    /// RFC 2782, RFC 3263 §4.2: the servers for one transport.
    fn servers(&mut self, transport: Transport, answer: &Answer, tokens: &mut Tokens) {
        let records = match answer.srv() {
            Ok(records) => records,
            Err(Failure::Timeout) => return self.give_up(),
            Err(failure) => {
                self.failed(failure);
                if !failure.is_certain() {
                    // Perhaps there are some, and then the domain's own addresses are those of something else.
                    self.last = None;
                }
                return;
            }
        };
        self.last = None;
        if Srv::are_refusal(records) {
            return;
        }
        if transport.secure() {
            // Who has TLS is not tried without it: whoever can break the one connection could have the other.
            self.leads.retain(|lead| transport_of(lead).is_none_or(Transport::secure));
        }
        for Srv { port, target, .. } in srv::order(records, tokens).into_iter().rev() {
            self.leads.push_front(Lead::Server { host: target, port, transport });
        }
    }

    fn failed(&mut self, failure: Failure) {
        if !failure.is_certain() {
            self.fault = self.fault.max(Fault::Unknown);
        }
    }

    fn give_up(&mut self) {
        self.leads.clear();
        (self.last, self.fault) = (None, Fault::Unknown);
    }

    /// The transport where nobody says another one: RFC 3263 §4.1.
    fn usual(&self) -> Transport {
        match (self.secure, self.large && self.means.contains(&Transport::Tcp)) {
            (true, _) => Transport::Tls,
            (false, true) => Transport::Tcp,
            (false, false) => Transport::Udp,
        }
    }

    fn target(&self, ip: IpAddr, port: u16, transport: Transport) -> Target {
        // RFC 5922 §7.2, RFC 3263 §4.1: the domain that was asked for, whatever the name servers say.
        let name = transport.secure().then(|| self.domain.clone());
        Target { name, ..Target::new(transport, SocketAddr::new(ip, port)) }
    }
}

/// The transport that the place wants, if it wants one. `None`: it contradicts itself.
fn wanted(place: &Place) -> Option<Option<Transport>> {
    match (place.secure, place.transport) {
        (false, transport) => Some(transport),
        (true, None) => Some(None),
        (true, Some(Transport::Tcp | Transport::Tls)) => Some(Some(Transport::Tls)),
        (true, Some(Transport::Ws | Transport::Wss)) => Some(Some(Transport::Wss)),
        (true, Some(Transport::Udp)) => None,
    }
}

/// Where the servers of a domain for a transport stand: RFC 3263 §4.1, RFC 7118 §7.2.
fn service(domain: &str, transport: Transport) -> Lead {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    Lead::Service { name: format_compact!("{service}.{domain}"), transport }
}

fn transport_of(lead: &Lead) -> Option<Transport> {
    match lead {
        Lead::Services => None,
        Lead::Service { transport, .. } | Lead::Server { transport, .. } => Some(*transport),
        Lead::Address(target) => Some(target.transport),
    }
}
