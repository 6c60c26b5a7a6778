//! The XMPP server of a world: the accepting ends of component streams, and the users behind them.

use super::letters::Letters;
use super::sip_side::{number_of, words_of};
use crate::stub::muc::Service;
use base::{Time, Tokens};
use xml::{Element, Limits};
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};
use xmpp::stream::component::{Secret, Server, ServerOutput};

/// One connection as the server has it.
#[derive(Debug)]
struct Connection {
    /// Which connection it is: bytes of an older one never mix with those of a newer.
    generation: u64,
    machine: Server,
    /// What the kernel holds for the server to read.
    inbox: Vec<u8>,
    /// The other end is still there.
    alive: bool,
    up: bool,
}

#[derive(Debug, Default)]
pub(super) struct XmppSide {
    connections: Vec<Connection>,
    /// The process lives but does not read.
    pub(super) stalled: bool,
    /// The process is not there.
    pub(super) gone: bool,
    /// How many bytes it reads in a turn, if that is bounded.
    pub(super) pace: Option<usize>,
    pub(super) errors: u64,
    /// The rooms that it has.
    pub(super) rooms: Option<Service>,
    /// What its users got, if somebody wants to know.
    pub(super) arrived: Option<Vec<Stanza>>,
}

impl XmppSide {
    /// The gateway connects. Whether somebody listens.
    pub(super) fn accept(
        &mut self,
        generation: u64,
        domain: &str,
        secret: &str,
        tokens: &mut Tokens,
        now: Time,
    ) -> bool {
        if !self.gone {
            let machine = Server::new(domain, Secret::new(secret), Limits::default(), tokens, now);
            self.connections.push(Connection { generation, machine, inbox: Vec::new(), alive: true, up: false });
        }
        !self.gone
    }

    /// The gateway's end of a connection is gone; a server that does not read still has what it was sent.
    pub(super) fn hung_up(&mut self, generation: u64) {
        for connection in self.connections.iter_mut().filter(|c| c.generation == generation) {
            connection.alive = false;
        }
    }

    /// The process ends; what it had not read is lost.
    pub(super) fn die(&mut self) {
        self.connections.clear();
        self.gone = true;
    }

    pub(super) fn received(&mut self, generation: u64, bytes: &[u8]) {
        for connection in self.connections.iter_mut().filter(|c| c.generation == generation) {
            connection.inbox.extend_from_slice(bytes);
        }
    }

    /// How many bytes of a connection wait to be read.
    pub(super) fn waiting(&self, generation: u64) -> usize {
        self.connections.iter().filter(|c| c.generation == generation).map(|c| c.inbox.len()).sum()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.stalled && self.connections.iter().any(|c| !c.inbox.is_empty())
    }

    /// Reads what is there and deals with it. Gives back what goes to the gateway, by connection.
    pub(super) fn work(&mut self, now: Time, domain: &str, letters: &mut Letters) -> Vec<(u64, Vec<u8>)> {
        let mut sent = Vec::new();
        if self.stalled {
            return sent;
        }
        let mut room = self.pace.unwrap_or(usize::MAX);
        for connection in &mut self.connections {
            let n = connection.inbox.len().min(room);
            room -= n;
            let bytes: Vec<u8> = connection.inbox.drain(..n).collect();
            connection.machine.received(&bytes);
            while let Some(output) = connection.machine.poll() {
                match output {
                    ServerOutput::Bytes(bytes) if connection.alive => sent.push((connection.generation, bytes)),
                    ServerOutput::Bytes(_) => {}
                    ServerOutput::Up => connection.up = true,
                    ServerOutput::Close(_) => connection.alive = false,
                    ServerOutput::Stanza(stanza) => {
                        let to_users = (&mut *letters, &mut self.errors, &mut self.arrived);
                        relay(now, self.rooms.as_mut(), stanza, domain, Some(connection), to_users);
                    }
                }
            }
        }
        self.connections.retain(|c| c.alive || !c.inbox.is_empty());
        sent
    }

    /// A user of the server writes to a SIP user. If the component is not there, the server itself refuses; else gives back bytes.
    pub(super) fn write(
        &mut self,
        letter: u64,
        from: &str,
        to: &str,
        chat: bool,
        letters: &mut Letters,
    ) -> Option<(u64, Vec<u8>)> {
        let connection = self.connections.iter_mut().rev().find(|c| c.alive && c.up);
        let (Some(connection), Ok(from), Ok(to)) = (connection, Jid::parse(from), Jid::parse(to)) else {
            letters.of(letter).errors += 1;
            return None;
        };
        let words = if chat { words_of(letter) } else { format!("letter {letter}") };
        let body = Element::new("body", ns::CLIENT).with_text(&words);
        let mut stanza = Stanza::message().with_from(from).with_to(to).with_id(format!("L{letter}")).with_child(body);
        if chat {
            stanza = stanza.with_type("chat");
        }
        Some(connection.say(&stanza))
    }

    /// A user of the server sends a stanza, to a room or to somebody behind the component. Gives back what goes to the gateway.
    pub(super) fn user_sends(
        &mut self,
        now: Time,
        stanza: Stanza,
        domain: &str,
        letters: &mut Letters,
    ) -> Option<(u64, Vec<u8>)> {
        let mut connection = self.connections.iter_mut().rev().find(|c| c.alive && c.up);
        let to_users = (letters, &mut self.errors, &mut self.arrived);
        relay(now, self.rooms.as_mut(), stanza, domain, connection.as_deref_mut(), to_users);
        connection.map(Connection::pending)
    }

    /// The rooms' process goes down, in good order or not, and is there again. Gives back what goes to the gateway.
    pub(super) fn rooms_restart(
        &mut self,
        now: Time,
        in_order: bool,
        domain: &str,
        letters: &mut Letters,
    ) -> Option<(u64, Vec<u8>)> {
        let rooms = self.rooms.as_mut()?;
        let mut said = Vec::new();
        if in_order {
            said = rooms.shut_down();
        } else {
            rooms.restart();
        }
        let mut connection = self.connections.iter_mut().rev().find(|c| c.alive && c.up);
        for stanza in said {
            let to_users = (&mut *letters, &mut self.errors, &mut self.arrived);
            relay(now, self.rooms.as_mut(), stanza, domain, connection.as_deref_mut(), to_users);
        }
        connection.map(Connection::pending)
    }

    /// A user of the server is gone from a conversation (XEP-0085).
    pub(super) fn leave(&mut self, from: &str, to: &str) -> Option<(u64, Vec<u8>)> {
        let connection = self.connections.iter_mut().rev().find(|c| c.alive && c.up)?;
        let (from, to) = (Jid::parse(from).ok()?, Jid::parse(to).ok()?);
        let stanza = Stanza::message().with_from(from).with_to(to).with_type("chat");
        Some(connection.say(&stanza.with_child(ChatState::Gone.to_element())))
    }
}

impl Connection {
    /// What goes to the gateway with this stanza.
    fn say(&mut self, stanza: &Stanza) -> (u64, Vec<u8>) {
        self.machine.send(stanza);
        self.pending()
    }

    /// What goes to the gateway.
    fn pending(&mut self) -> (u64, Vec<u8>) {
        let mut bytes = Vec::new();
        while let Some(ServerOutput::Bytes(more)) = self.machine.poll() {
            bytes.extend_from_slice(&more);
        }
        (self.generation, bytes)
    }
}

/// A stanza of anybody, and all that follows from it: to the rooms, to the component, to users.
fn relay(
    now: Time,
    rooms: Option<&mut Service>,
    stanza: Stanza,
    domain: &str,
    mut connection: Option<&mut Connection>,
    (letters, errors, arrived): (&mut Letters, &mut u64, &mut Option<Vec<Stanza>>),
) {
    let mut deliver = |stanza: Stanza| {
        if stanza.to.as_ref().is_none_or(|to| to.domain() != domain) {
            return route(&stanza, letters, errors, arrived);
        }
        match connection.as_deref_mut().filter(|c| c.alive) {
            Some(connection) => connection.machine.send(&stanza),
            None => {
                let error = StanzaError::new(Condition::ServiceUnavailable);
                return stanza.error(&StanzaError { kind: ErrorType::Wait, ..error });
            }
        }
        None
    };
    match rooms {
        Some(rooms) => rooms.relay(now, stanza, deliver),
        None => {
            let mut next = Some(stanza);
            while let Some(stanza) = next {
                next = deliver(stanza);
            }
        }
    }
}

/// What a server does with a stanza for somebody who is its user: delivers it, or returns it.
fn route(
    stanza: &Stanza,
    letters: &mut Letters,
    errors: &mut u64,
    arrived: &mut Option<Vec<Stanza>>,
) -> Option<Stanza> {
    if let Some(arrived) = arrived {
        arrived.push(stanza.clone());
    }
    if stanza.is_error() {
        *errors += 1;
        let number = stanza.id.as_deref().and_then(|id| id.strip_prefix('L')?.parse().ok());
        if let Some(number) = number {
            letters.of(number).errors += 1;
        }
        return None;
    }
    let text = stanza.child("body", ns::CLIENT).map(|b| b.text().into_owned());
    let number = text.as_deref().and_then(number_of).filter(|_| stanza.kind == Kind::Message)?;
    if stanza.to.as_ref().and_then(Jid::local) == Some("nobody") {
        return stanza.error(&StanzaError::new(Condition::ItemNotFound));
    }
    letters.of(number).delivered += 1;
    None
}
