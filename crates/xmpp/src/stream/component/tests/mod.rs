//! The component's side, with every output stated.

mod barriers;
mod streams;

use super::*;
use crate::error::StreamCondition;
use base::{Time, Tokens};

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns='jabber:component:accept' from='sip.example.net' id='3BF96D32'>";
const PROOF: &str = "<handshake>ba33290100f616a33656a931798d6c9011cfa840</handshake>";
const MESSAGE: &str =
    "<message from='juliet@example.com/b' to='romeo@sip.example.net' id='m'><body>hi</body></message>";

/// A component and the time.
struct Lab {
    c: Component,
    now: Time,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(Config::new("sip.example.net", "s3cr3t"))
    }

    fn with(config: Config) -> Lab {
        Lab { c: Component::new(config, Tokens::seeded(1), Time::ZERO), now: Time::ZERO }
    }

    /// A stream that is up; the probe behind the handshake is answered, or not.
    fn up(config: Config, answered: bool) -> Lab {
        let mut lab = Lab::with(config);
        lab.reopen();
        if answered {
            lab.answer(0);
            assert_eq!(lab.outputs(), []);
        }
        lab
    }

    /// From the wish to connect to the end of the handshake.
    fn reopen(&mut self) {
        assert_eq!(self.outputs(), [Output::Connect]);
        self.c.connected(self.now);
        self.receive(HEADER);
        self.receive(b"<handshake/>");
        let outputs = self.outputs();
        assert!(matches!(outputs[..], [Output::Bytes(_), Output::Up, Output::Bytes(_)]), "{outputs:?}");
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.c.flushed(self.now);
        std::iter::from_fn(|| self.c.poll()).collect()
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.c.received(self.now, bytes);
    }

    /// Lets the time pass, with every deadline in it, and returns what came of it.
    fn wait(&mut self, secs: f64) -> Vec<Output> {
        let end = self.now + Duration::from_secs_f64(secs);
        let mut all = self.outputs();
        while let Some(at) = self.c.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.c.timeout(at);
            let outputs = self.outputs();
            assert!(!outputs.is_empty() || self.c.deadline() != Some(at), "a deadline that nothing came of");
            all.extend(outputs);
        }
        self.now = end;
        all
    }

    fn send(&mut self, token: u64) -> Result<(), SendError> {
        self.c.send(self.now, format!("<message id='{token}'/>").as_bytes(), Some(token))
    }

    /// The id of the barrier of this number: all share their prefix.
    fn id(&self, number: u64) -> String {
        let prefix = Tokens::seeded(1).token(16);
        format!("{prefix}{number}")
    }

    fn ping(&self, number: u64) -> String {
        let id = self.id(number);
        format!(
            "<iq from='sip.example.net' to='sip.example.net' id='{id}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
    }

    /// The server sends the barrier back.
    fn answer(&mut self, number: u64) {
        let echo = self.ping(number);
        self.receive(echo.as_bytes());
    }
}

fn bytes(text: impl Into<String>) -> Output {
    Output::Bytes(text.into().into_bytes())
}

fn our_error(condition: StreamCondition, text: &str) -> [Output; 3] {
    let error = StreamError::new(condition).with_text(text);
    let ns = "urn:ietf:params:xml:ns:xmpp-streams";
    let sent = format!(
        "<stream:error><{condition} xmlns='{ns}'/><text xmlns='{ns}' xml:lang='en'>{text}</text></stream:error></stream:stream>"
    );
    [bytes(sent), Output::Close, Output::Down(DownReason::OurError(error))]
}

fn stanza_of(text: &str) -> Stanza {
    let text = text.replacen(' ', " xmlns='jabber:client' ", 1);
    let element = xml::Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
    Stanza::from_element(element, crate::ns::CLIENT).expect("a stanza")
}
