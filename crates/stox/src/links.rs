//! The XMPP side as the mappings see it: component streams that are up or down, and what became of each stanza.

use crate::config::{Config, LinkId};
use crate::gateway::{Note, Output};
use base::{HashKey, Table, Time};
use std::collections::VecDeque;
use std::time::Duration;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The name of one stanza that we sent, unique in this gateway.
pub type StanzaToken = u64;

/// What is owed for a stanza until the server took it.
#[derive(Debug)]
enum Owed {
    /// A mapping waits for the outcome.
    Outcome,
    /// Nobody waits, but it has to arrive: an answer that the stream lost is sent again. Without its bytes where too many are kept already:
    /// then it is sent once.
    Arrival { link: LinkId, bytes: Option<Vec<u8>> },
}

#[derive(Debug, Default)]
struct Link {
    up: bool,
    parked: VecDeque<Vec<u8>>,
    parked_bytes: usize,
    /// When the parked are tried again, on a stream that is up but had no room.
    retry: Option<Time>,
}

/// How long an answer waits for room on a stream that is up. What fills the stream may be another shard's, so that nothing else would say
/// when there is room again.
const RETRY: Duration = Duration::from_secs(1);

/// The component streams of this gateway.
#[derive(Debug)]
pub(crate) struct Links {
    links: Vec<Link>,
    owed: Table<StanzaToken, Owed>,
    next: StanzaToken,
    parked_limit: usize,
    /// The bytes kept of answers on their way; bounded like those that are parked.
    kept: usize,
}

impl Links {
    pub(crate) fn new(config: &Config, key: HashKey, first_token: StanzaToken) -> Links {
        Links {
            links: config.links.iter().map(|_| Link::default()).collect(),
            owed: Table::new(key),
            next: first_token,
            parked_limit: config.limits.parked_bytes,
            kept: 0,
        }
    }

    /// Whether the stream is up.
    pub(crate) fn is_up(&self, link: LinkId) -> bool {
        self.links.get(link).is_some_and(|l| l.up)
    }

    /// Sends a stanza whose outcome the caller waits for; nothing if the stream is down.
    pub(crate) fn deliver(&mut self, link: LinkId, stanza: &Stanza, out: &mut VecDeque<Output>) -> Option<StanzaToken> {
        if !self.is_up(link) {
            return None;
        }
        let token = self.mint(Owed::Outcome);
        out.push_back(Output::Stanza { link, bytes: stanza.to_bytes(ns::COMPONENT_ACCEPT), token });
        Some(token)
    }

    /// Sends a stanza that nobody waits for, an error or an answer: now, or when the stream is up again.
    pub(crate) fn answer(&mut self, link: LinkId, stanza: &Stanza, out: &mut VecDeque<Output>) {
        let bytes = stanza.to_bytes(ns::COMPONENT_ACCEPT);
        if self.is_up(link) {
            self.send(link, bytes, out);
        } else {
            self.park(link, bytes, out);
        }
    }

    /// The server took the stanza. Returns whether a mapping waits for it.
    pub(crate) fn taken(&mut self, token: StanzaToken, out: &mut VecDeque<Output>) -> bool {
        match self.owed.remove(&token) {
            Some(Owed::Outcome) => true,
            Some(Owed::Arrival { link, bytes }) => {
                self.kept -= bytes.map_or(0, |b| b.len());
                // What did not fit into the stream before may fit now.
                for _ in 0..2 {
                    let Some(bytes) = self.unpark(link) else { break };
                    self.send(link, bytes, out);
                }
                false
            }
            None => false,
        }
    }

    /// The stream ended before the server took the stanza. Returns whether a mapping waits for it.
    pub(crate) fn lost(&mut self, now: Time, token: StanzaToken, out: &mut VecDeque<Output>) -> bool {
        match self.owed.remove(&token) {
            Some(Owed::Outcome) => true,
            Some(Owed::Arrival { link, bytes: Some(bytes) }) => {
                self.kept -= bytes.len();
                self.park(link, bytes, out);
                if let Some(l) = self.links.get_mut(link).filter(|l| l.up) {
                    l.retry = l.retry.or(Some(now + RETRY));
                }
                false
            }
            Some(Owed::Arrival { bytes: None, .. }) => {
                out.push_back(Output::Note(Note::AnswerDropped));
                false
            }
            None => false,
        }
    }

    pub(crate) fn down(&mut self, link: LinkId) {
        if let Some(l) = self.links.get_mut(link) {
            (l.up, l.retry) = (false, None);
        }
    }

    /// Tries the parked again that are due.
    pub(crate) fn timeout(&mut self, now: Time, out: &mut VecDeque<Output>) {
        for link in 0..self.links.len() {
            if self.links[link].retry.is_some_and(|at| at <= now) {
                self.links[link].retry = None;
                while let Some(bytes) = self.unpark(link) {
                    self.send(link, bytes, out);
                }
            }
        }
    }

    /// When [`Links::timeout`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.links.iter().filter_map(|l| l.retry).min()
    }

    pub(crate) fn up(&mut self, link: LinkId, out: &mut VecDeque<Output>) {
        let Some(l) = self.links.get_mut(link) else { return };
        l.up = true;
        while let Some(bytes) = self.unpark(link) {
            self.send(link, bytes, out);
        }
    }

    fn unpark(&mut self, link: LinkId) -> Option<Vec<u8>> {
        let l = self.links.get_mut(link).filter(|l| l.up)?;
        let bytes = l.parked.pop_front()?;
        l.parked_bytes -= bytes.len();
        Some(bytes)
    }

    fn mint(&mut self, owed: Owed) -> StanzaToken {
        let token = self.next;
        self.next += 1;
        self.owed.insert(token, owed);
        token
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>, out: &mut VecDeque<Output>) {
        let keep = self.kept + bytes.len() <= self.parked_limit;
        self.kept += if keep { bytes.len() } else { 0 };
        let token = self.mint(Owed::Arrival { link, bytes: keep.then(|| bytes.clone()) });
        out.push_back(Output::Stanza { link, bytes, token });
    }

    /// Keeps a stanza for a stream that is down. At the bound the oldest goes: its sender has waited longest and has most
    /// likely given up.
    fn park(&mut self, link: LinkId, bytes: Vec<u8>, out: &mut VecDeque<Output>) {
        let Some(l) = self.links.get_mut(link) else { return };
        l.parked_bytes += bytes.len();
        l.parked.push_back(bytes);
        while l.parked_bytes > self.parked_limit {
            let Some(dropped) = l.parked.pop_front() else { break };
            l.parked_bytes -= dropped.len();
            out.push_back(Output::Note(Note::AnswerDropped));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(out: &mut VecDeque<Output>) -> Vec<StanzaToken> {
        out.drain(..).filter_map(|o| if let Output::Stanza { token, .. } = o { Some(token) } else { None }).collect()
    }

    /// A stream that is up and full, with nothing of this shard on it: the answer goes out when there is room, though nobody says so.
    #[test]
    fn an_answer_waits_for_room() {
        let config = Config {
            xmpp_domains: Vec::new(),
            links: vec![crate::config::Link {
                domain: "example.net".into(),
                allow_from: Vec::new(),
                chat: crate::config::Mode::Message,
            }],
            peers: Vec::new(),
            proxy: None,
            phone_domain: None,
            numbers: Default::default(),
            message: crate::message::Options::default(),
            chat: crate::chat::Options::default(),
            room: crate::room::Options::default(),
            msrp: None,
            media: None,
            relay: ng::Config::default(),
            presence: crate::presence::Options::default(),
            subscriptions: sip::subscription::Config::default(),
            allow_networks: Vec::new(),
            contact_is_domain: false,
            limits: crate::config::Limits::default(),
            epoch: 0,
            version: "test".into(),
        };
        let mut links = Links::new(&config, HashKey::new(1, 2), 1);
        let mut out = VecDeque::new();
        let t = Time::from_secs(100);
        links.up(0, &mut out);
        links.answer(0, &Stanza::message().with_id("a"), &mut out);
        links.answer(0, &Stanza::message().with_id("b"), &mut out);
        for token in sent(&mut out) {
            assert!(!links.lost(t, token, &mut out));
        }
        assert_eq!((sent(&mut out), links.deadline()), (vec![], Some(t + RETRY)));
        links.timeout(t, &mut out);
        assert!(sent(&mut out).is_empty());
        links.timeout(t + RETRY, &mut out);
        let again = sent(&mut out);
        assert_eq!((again.len(), links.deadline()), (2, None));
        // Still no room: it is tried again, and once the stream is down it waits for that alone.
        links.lost(t + RETRY, again[0], &mut out);
        assert_eq!(links.deadline(), Some(t + RETRY * 2));
        links.down(0);
        links.lost(t + RETRY, again[1], &mut out);
        assert_eq!(links.deadline(), None);
        links.up(0, &mut out);
        assert_eq!(sent(&mut out).len(), 2);
    }
}
