//! The XMPP side as the mappings see it: links that are up or down, and what became of each stanza. A link is a component stream, or what we
//! have to do with all other XMPP servers on behalf of one SIP domain.

use crate::config::{Config, LinkId, LinkKind};
use crate::gateway::{Note, Output};
use base::{HashKey, Str, Table, Time};
use std::collections::VecDeque;
use std::time::Duration;
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
    Arrival { link: LinkId, letter: Option<Letter> },
}

/// A stanza as it goes out, and where to on a link that leads to many servers.
#[derive(Debug, Clone)]
struct Letter {
    domain: Option<Str>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Link {
    kind: LinkKind,
    up: bool,
    parked: VecDeque<Letter>,
    parked_bytes: usize,
    /// When the parked are tried again, on a stream that is up but had no room.
    retry: Option<Time>,
}

/// How long an answer waits for room on a stream that is up. What fills the stream may be another shard's, so that nothing else would say
/// when there is room again.
const RETRY: Duration = Duration::from_secs(1);

impl Link {
    fn new(kind: LinkKind) -> Link {
        Link { kind, up: false, parked: VecDeque::new(), parked_bytes: 0, retry: None }
    }
}

/// The links of this gateway.
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
            links: config.links.iter().map(|link| Link::new(link.kind)).collect(),
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
        let Letter { domain, bytes } = self.letter(link, stanza)?;
        let token = self.mint(Owed::Outcome);
        out.push_back(Output::Stanza { link, domain, bytes, token });
        Some(token)
    }

    /// Sends a stanza that nobody waits for, an error or an answer: now, or when the stream is up again.
    pub(crate) fn answer(&mut self, link: LinkId, stanza: &Stanza, out: &mut VecDeque<Output>) {
        let Some(letter) = self.letter(link, stanza) else { return };
        if self.is_up(link) {
            self.send(link, letter, out);
        } else {
            self.park(link, letter, out);
        }
    }

    /// The server took the stanza. Returns whether a mapping waits for it.
    pub(crate) fn taken(&mut self, token: StanzaToken, out: &mut VecDeque<Output>) -> bool {
        match self.owed.remove(&token) {
            Some(Owed::Outcome) => true,
            Some(Owed::Arrival { link, letter }) => {
                self.kept -= letter.map_or(0, |letter| letter.bytes.len());
                // What did not fit into the stream before may fit now.
                for _ in 0..2 {
                    let Some(letter) = self.unpark(link) else { break };
                    self.send(link, letter, out);
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
            Some(Owed::Arrival { link, letter: Some(letter) }) => {
                self.kept -= letter.bytes.len();
                self.park(link, letter, out);
                if let Some(l) = self.links.get_mut(link).filter(|l| l.up) {
                    l.retry = l.retry.or(Some(now + RETRY));
                }
                false
            }
            Some(Owed::Arrival { letter: None, .. }) => {
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
                while let Some(letter) = self.unpark(link) {
                    self.send(link, letter, out);
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
        while let Some(letter) = self.unpark(link) {
            self.send(link, letter, out);
        }
    }

    /// The stanza as this link writes it.
    fn letter(&self, link: LinkId, stanza: &Stanza) -> Option<Letter> {
        let kind = self.links.get(link)?.kind;
        let domain = match kind {
            LinkKind::Component => None,
            LinkKind::Federation => Some(Str::from(stanza.to.as_ref()?.domain())),
        };
        Some(Letter { domain, bytes: stanza.to_bytes(kind.namespace()) })
    }

    fn unpark(&mut self, link: LinkId) -> Option<Letter> {
        let l = self.links.get_mut(link).filter(|l| l.up)?;
        let letter = l.parked.pop_front()?;
        l.parked_bytes -= letter.bytes.len();
        Some(letter)
    }

    fn mint(&mut self, owed: Owed) -> StanzaToken {
        let token = self.next;
        self.next += 1;
        self.owed.insert(token, owed);
        token
    }

    fn send(&mut self, link: LinkId, letter: Letter, out: &mut VecDeque<Output>) {
        let keep = self.kept + letter.bytes.len() <= self.parked_limit;
        self.kept += if keep { letter.bytes.len() } else { 0 };
        let token = self.mint(Owed::Arrival { link, letter: keep.then(|| letter.clone()) });
        let Letter { domain, bytes } = letter;
        out.push_back(Output::Stanza { link, domain, bytes, token });
    }

    /// Keeps a stanza for a stream that is down. At the bound the oldest goes: its sender has waited longest and has most
    /// likely given up.
    fn park(&mut self, link: LinkId, letter: Letter, out: &mut VecDeque<Output>) {
        let Some(l) = self.links.get_mut(link) else { return };
        l.parked_bytes += letter.bytes.len();
        l.parked.push_back(letter);
        while l.parked_bytes > self.parked_limit {
            let Some(dropped) = l.parked.pop_front() else { break };
            l.parked_bytes -= dropped.bytes.len();
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
            any_xmpp_domain: false,
            links: vec![crate::config::Link {
                kind: LinkKind::Component,
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
            registrar: None,
            presence: crate::presence::Options::default(),
            accounts: None,
            subscriptions: sip::subscription::Config::default(),
            trunks: Vec::new(),
            allow_networks: Vec::new(),
            own: Default::default(),
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
