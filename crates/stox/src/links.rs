//! The XMPP side as the mappings see it: component streams that are up or down, and what became of each stanza.

use crate::config::{Config, LinkId};
use crate::gateway::{Note, Output};
use base::{HashKey, Table};
use std::collections::VecDeque;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The name of one stanza that we sent, unique in this gateway.
pub type StanzaToken = u64;

/// What is owed for a stanza until the server took it.
#[derive(Debug)]
enum Owed {
    /// A mapping waits for the outcome.
    Outcome,
    /// Nobody waits, but it has to arrive: an answer that the stream lost is sent again.
    Arrival { link: LinkId, bytes: Vec<u8> },
}

#[derive(Debug, Default)]
struct Link {
    up: bool,
    parked: VecDeque<Vec<u8>>,
    parked_bytes: usize,
}

/// The component streams of this gateway.
#[derive(Debug)]
pub(crate) struct Links {
    links: Vec<Link>,
    owed: Table<StanzaToken, Owed>,
    next: StanzaToken,
    parked_limit: usize,
}

impl Links {
    pub(crate) fn new(config: &Config, key: HashKey, first_token: StanzaToken) -> Links {
        Links {
            links: config.links.iter().map(|_| Link::default()).collect(),
            owed: Table::new(key),
            next: first_token,
            parked_limit: config.limits.parked_bytes,
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
            Some(Owed::Arrival { link, .. }) => {
                // What did not fit into the stream before may fit now.
                if let Some(bytes) = self.unpark(link) {
                    self.send(link, bytes, out);
                }
                false
            }
            None => false,
        }
    }

    /// The stream ended before the server took the stanza. Returns whether a mapping waits for it.
    pub(crate) fn lost(&mut self, token: StanzaToken, out: &mut VecDeque<Output>) -> bool {
        match self.owed.remove(&token) {
            Some(Owed::Outcome) => true,
            Some(Owed::Arrival { link, bytes }) => {
                self.park(link, bytes, out);
                false
            }
            None => false,
        }
    }

    pub(crate) fn down(&mut self, link: LinkId) {
        if let Some(l) = self.links.get_mut(link) {
            l.up = false;
        }
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
        let token = self.mint(Owed::Arrival { link, bytes: bytes.clone() });
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
