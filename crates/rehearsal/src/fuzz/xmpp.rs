//! XML streams, and the component stream on them.

use super::split;
use base::{Time, Tokens};
use std::collections::BTreeSet;
use std::time::Duration;
use xml::{Element, Error, Event, Limits, Reader};
use xmpp::ns;
use xmpp::stanza::Stanza;
use xmpp::stream::component::{Component, Config, Output};

/// Small enough that the limits are met too.
fn limits() -> Limits {
    Limits { stanza_bytes: 2000, depth: 12, elements: 60, attributes: 12, skip_bytes: 4000, ..Limits::default() }
}

fn events(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(limits());
    let mut out = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(event)) => out.push(event),
                Ok(None) => break,
                Err(e) => {
                    assert_eq!(reader.next(), Err(e), "an error stays");
                    return (out, Some(e));
                }
            }
        }
        assert!(reader.buffered() <= limits().skip_bytes + piece.len(), "{} bytes are held", reader.buffered());
    }
    (out, None)
}

/// A stream, in pieces whose length the first byte says: the same events as in one piece, and each stanza prints back as itself.
pub fn xml_stream(data: &[u8]) {
    let (cut, rest) = split(data);
    let whole = events(&mut [rest].into_iter());
    let pieces = events(&mut rest.chunks(usize::from(cut % 32) + 1));
    assert_eq!(whole, pieces);
    for event in &whole.0 {
        if let Event::Stanza(e) = event {
            let document = xml::write_document(e);
            let roomy = Limits { stanza_bytes: 1 << 22, namespaces: 1 << 10, attributes: 1 << 10, ..Limits::default() };
            assert_eq!(Element::parse(&document, &roomy).as_ref(), Ok(e));
            depth(e, limits().depth);
            for namespace in [ns::CLIENT, ns::COMPONENT_ACCEPT] {
                let Ok(stanza) = Stanza::from_element(e.clone(), namespace) else { continue };
                let again =
                    Element::parse(&wrapped(&stanza.to_bytes(namespace), namespace), &roomy).expect("well-formed");
                let again = again.elements().next().cloned().expect("a stanza");
                assert_eq!(Stanza::from_element(again, namespace).ok(), Some(stanza));
            }
        }
    }
}

fn wrapped(stanza: &[u8], namespace: &str) -> Vec<u8> {
    [format!("<s xmlns='{namespace}'>").as_bytes(), stanza, b"</s>"].concat()
}

fn depth(e: &Element, left: usize) {
    assert!(left > 0, "deeper than the limit");
    e.elements().for_each(|child| depth(child, left - 1));
}

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='example.net' id='1'>";

/// A stanza that the gateway sends.
const STANZA: &[u8] = b"<message from='a@example.net' to='b@example.com'><body>x</body></message>";

/// A component stream, as its other end is heard. The first byte says how far the handshake has got before: nothing, the header, all.
/// A byte 1 to 8 in the data is an event: time passes, stanzas are sent, the connection breaks, shutdown.
///
/// What goes out is one well-formed stream for each connection; every stanza that was sent with a token has exactly one answer; no
/// stanza comes up before the stream does, and each has addresses.
pub fn component_stream(data: &[u8]) {
    let (start, rest) = split(data);
    let mut config = Config::new("example.net", "secret");
    config.limits = limits();
    let mut world = Streams {
        component: Component::new(config, Tokens::seeded(u64::from(start)), Time::ZERO),
        now: Time::ZERO,
        reader: None,
        up: false,
        open: BTreeSet::new(),
        sent: 0,
    };
    world.drain();
    if start % 3 > 0 {
        world.hear(HEADER);
    }
    if start % 3 > 1 {
        world.hear(b"<handshake/>");
        assert!(world.up, "the handshake is done");
    }
    for piece in rest.split_inclusive(|b| (1..=8).contains(b)) {
        let (bytes, event) = match piece.split_last() {
            Some((event, bytes)) if (1..=8).contains(event) => (bytes, *event),
            _ => (piece, 0),
        };
        world.hear(bytes);
        world.happen(event);
    }
    world.component.shutdown(world.now);
    world.drain();
    for _ in 0..40 {
        world.happen(2);
    }
    assert!(world.open.is_empty(), "{} stanzas without an answer", world.open.len());
    assert_eq!(world.component.deadline(), None, "it has ended");
}

struct Streams {
    component: Component,
    now: Time,
    /// Of what goes out on the present connection.
    reader: Option<Reader>,
    up: bool,
    open: BTreeSet<u64>,
    sent: u64,
}

impl Streams {
    fn hear(&mut self, bytes: &[u8]) {
        if self.reader.is_some() && !bytes.is_empty() {
            self.component.received(self.now, bytes);
            self.drain();
        }
    }

    fn happen(&mut self, event: u8) {
        match event {
            1 => self.pass(Duration::from_millis(300)),
            2 => self.pass(self.component.deadline().map_or(Duration::ZERO, |at| at.since(self.now))),
            3 | 4 => {
                for _ in 0..event - 2 {
                    self.sent += 1;
                    if self.component.send(self.now, STANZA, Some(self.sent)).is_ok() {
                        assert!(self.up, "nothing is sent before the stream is up");
                        self.open.insert(self.sent);
                    }
                }
            }
            5 if self.reader.take().is_some() => self.component.disconnected(self.now),
            6 => self.hear(HEADER),
            7 => self.hear(b"<handshake/>"),
            8 => self.component.shutdown(self.now),
            _ => {}
        }
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.component.timeout(self.now);
    }

    fn drain(&mut self) {
        self.component.flushed(self.now);
        while let Some(output) = self.component.poll() {
            match output {
                Output::Connect => {
                    self.reader = Some(Reader::new(Limits::default()));
                    self.component.connected(self.now);
                }
                Output::Bytes(bytes) => {
                    let reader = self.reader.as_mut().expect("bytes need a connection");
                    reader.push(&bytes);
                    while reader.next().expect("what goes out is well-formed").is_some() {}
                }
                Output::Close | Output::Abort => {
                    if self.reader.take().is_some() {
                        self.component.disconnected(self.now);
                    }
                }
                Output::Up => self.up = true,
                Output::Down(_) => {
                    assert!(self.open.is_empty(), "a stanza outlived its stream");
                    self.up = false;
                }
                Output::Stanza(stanza) => {
                    assert!(self.up, "a stanza before the stream is up");
                    assert!(stanza.from.is_some() && stanza.to.is_some(), "a stanza without addresses");
                }
                Output::Taken(token) | Output::Lost(token) => {
                    assert!(self.open.remove(&token), "two answers for one stanza");
                }
                Output::Fault(_) => {}
            }
        }
    }
}
