//! A server's side of a component stream: enough of one for tests to stand in for a server.

use super::Secret;
use crate::error::{Condition, StanzaError, StreamCondition};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Stanza, StanzaFault};
use crate::stream::{CLOSE, StreamError, write_header};
use base::{Str, Time, Tokens};
use std::collections::VecDeque;
use std::time::Duration;
use xml::{Element, Event, Limits, Reader};

/// The content namespace of the stream.
const NS: &str = ns::COMPONENT_ACCEPT;

/// From the connection to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a test is to do, or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are stanzas, moved from one queue to the next")]
pub enum ServerOutput {
    /// Write this to the connection.
    Bytes(Vec<u8>),
    /// The component has proved itself.
    Up,
    /// A stanza of the component, with addresses, from its own domain.
    Stanza(Stanza),
    /// The stream is over; with the error of whichever side ended it with one. Write what came before, then close.
    Close(Option<StreamError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Authenticating,
    Up,
    Closed,
}

/// One accepted connection of a component, as its server sees it.
#[derive(Debug)]
pub struct Server {
    domain: Str,
    secret: Secret,
    id: Str,
    reader: Reader,
    state: State,
    until: Time,
    out: VecDeque<ServerOutput>,
}

impl Server {
    /// A connection was accepted; the component `domain` with `secret` is expected on it.
    pub fn new(domain: &str, secret: Secret, limits: Limits, tokens: &mut Tokens, now: Time) -> Server {
        Server {
            domain: domain.into(),
            secret,
            id: tokens.token(16),
            reader: Reader::new(limits),
            state: State::Opening,
            until: now + HANDSHAKE,
            out: VecDeque::new(),
        }
    }

    /// Bytes have come.
    pub fn received(&mut self, bytes: &[u8]) {
        if self.state != State::Closed {
            self.reader.push(bytes);
        }
        while self.state != State::Closed {
            match self.reader.next() {
                Ok(Some(event)) => self.event(event),
                Ok(None) => break,
                Err(e) => self.fail(StreamError::new(e.into()).with_text(e.to_string())),
            }
        }
    }

    /// Sends a stanza; nothing happens unless the stream is up.
    pub fn send(&mut self, stanza: &Stanza) {
        if self.state == State::Up {
            self.bytes(&stanza.to_bytes(NS));
        }
    }

    /// Sends bytes as they are, to see what the component makes of them.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if self.state != State::Closed {
            self.bytes(bytes);
        }
    }

    /// Closes the stream, with an error or without.
    pub fn close(&mut self, error: Option<StreamError>) {
        match error {
            Some(error) => self.fail(error),
            None if self.state != State::Closed => {
                self.bytes(CLOSE);
                self.end(None);
            }
            None => {}
        }
    }

    /// The moment of [`Server::deadline`] has come.
    pub fn timeout(&mut self, now: Time) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.fail(StreamError::new(StreamCondition::ConnectionTimeout));
        }
    }

    /// When [`Server::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        matches!(self.state, State::Opening | State::Authenticating).then_some(self.until)
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<ServerOutput> {
        self.out.pop_front()
    }

    fn event(&mut self, event: Event) {
        match (self.state, event) {
            (State::Opening, Event::Open(header)) => self.opened(&header),
            (State::Authenticating, Event::Stanza(e)) if e.is("handshake", NS) => {
                if self.secret.proves(&self.id, &e.text()) {
                    self.state = State::Up;
                    self.bytes(b"<handshake/>");
                    self.out.push_back(ServerOutput::Up);
                } else {
                    self.fail(StreamError::new(StreamCondition::NotAuthorized));
                }
            }
            (_, Event::Stanza(e)) if let Some(error) = StreamError::parse(&e) => {
                self.bytes(CLOSE);
                self.end(Some(error));
            }
            (State::Up, Event::Stanza(e)) => self.stanza(e),
            (_, Event::Close) => {
                self.bytes(CLOSE);
                self.end(None);
            }
            (_, Event::Skipped { why, .. }) => self.fail(StreamError::new(why.into())),
            (_, Event::Open(_) | Event::Stanza(_)) => self.fail(StreamError::new(StreamCondition::NotAuthorized)),
        }
    }

    /// XEP-0114 §3: the header names the component; the answer names it again and the stream.
    fn opened(&mut self, header: &Element) {
        let mut answer = Vec::new();
        write_header(NS, &[("from", &self.domain), ("id", &self.id)], &mut answer);
        self.bytes(&answer);
        if !header.is("stream", ns::STREAM) || self.reader.content_ns() != NS {
            self.fail(StreamError::new(StreamCondition::InvalidNamespace));
        } else if header.attr("to") != Some(self.domain.as_str()) {
            self.fail(StreamError::new(StreamCondition::HostUnknown));
        } else {
            self.state = State::Authenticating;
        }
    }

    fn stanza(&mut self, e: Element) {
        match Stanza::from_element(e, NS) {
            Ok(Stanza { from: Some(from), .. }) if from.domain() != self.domain => {
                self.fail(StreamError::new(StreamCondition::InvalidFrom));
            }
            Ok(stanza) if stanza.from.is_some() && stanza.to.is_some() => {
                self.out.push_back(ServerOutput::Stanza(stanza));
            }
            Ok(_) => self.fail(StreamError::new(StreamCondition::ImproperAddressing)),
            Err((StanzaFault::From(_), _)) => self.fail(StreamError::new(StreamCondition::InvalidFrom)),
            Err((StanzaFault::NotAStanza, _)) => {
                self.fail(StreamError::new(StreamCondition::UnsupportedStanzaType));
            }
            Err((StanzaFault::To(_), mut e)) => {
                // What is addressed to nobody is answered for nobody.
                e.attrs.retain(|a| a.name != "to");
                if let Ok(mut stanza) = Stanza::from_element(*e, NS) {
                    stanza.to = Jid::new(None, &self.domain, None).ok();
                    if let Some(reply) = stanza.error(&StanzaError::new(Condition::JidMalformed)) {
                        self.send(&reply);
                    }
                }
            }
        }
    }

    fn fail(&mut self, error: StreamError) {
        if self.state == State::Closed {
            return;
        }
        let mut bytes = Vec::new();
        error.write(&mut bytes);
        bytes.extend_from_slice(CLOSE);
        self.bytes(&bytes);
        self.end(Some(error));
    }

    fn end(&mut self, error: Option<StreamError>) {
        self.state = State::Closed;
        self.out.push_back(ServerOutput::Close(error));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.out.back_mut() {
            Some(ServerOutput::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.out.push_back(ServerOutput::Bytes(bytes.to_vec())),
        }
    }
}
