//! Calls as their XMPP end says them (XEP-0166, 0353 and their kin), to a gateway with telephones behind it.

mod steps;

use crate::scene::{GATEWAY, PROXY, Settings};
use crate::wire::{SipText, read_stanza};
use crate::world::telephones::{Habits, Telephones};
use base::{Time, Tokens};
use bodies::sdp::Sdp;
use bytes::Bytes;
use sip::agent::{Flow, Transport};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use stox::media;
use xml::{Element, Limits};
use xmpp::error::StanzaError;
use xmpp::ext::coin::ConferenceInfo;
use xmpp::ext::dtmf::Dtmf;
use xmpp::ext::jingle::{Jingle, Reason};
use xmpp::ext::jmi::Jmi;
use xmpp::ext::transfer::Transfer;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// The XMPP user's devices, and a stranger.
const USERS: [&str; 3] = ["juliet0@example.com/balcony", "juliet0@example.com/orchard", "tybalt@example.com/street"];
/// Whom they call.
const PHONE: &str = "romeo0@example.net";
/// The most things that are done.
const STEPS: usize = 60;

/// A document whose children are stanzas of an XMPP user to a SIP user, and things that the SIP user, time and the stream do: `<ring/>`,
/// `<hang/>`, `<hold/>`, `<video/>`, `<busy/>`, `<wait s='5'/>`, `<down/>`, `<up/>`. What is no document is a step by each byte ([`steps`]).
///
/// What any view reads it writes so that it reads the same again. Each request is answered once. What goes out can be read, descriptions and
/// Jingle too, and nobody's words become a header or a line. Once the telephones have hung up and some time is gone, no call is left.
pub fn jingle(data: &[u8]) {
    let mut line = Line::new();
    if data.first() == Some(&b'<') {
        let Ok(document) = Element::parse(data, &Limits::default()) else { return };
        document.elements().for_each(views);
        document.elements().take(STEPS).enumerate().for_each(|(n, e)| line.step(n, e));
    } else {
        data.iter().take(STEPS).enumerate().for_each(|(n, byte)| line.byte(n, *byte));
    }
    line.end();
}

/// A gateway between an XMPP user and telephones.
struct Line {
    gateway: Gateway,
    now: Time,
    phones: Telephones,
    /// What is on its way to the gateway.
    to_gateway: Vec<Vec<u8>>,
    chance: Tokens,
    up: bool,
    /// The XMPP user's requests by their ids: how often each was answered.
    asked: BTreeMap<String, u32>,
}

impl Line {
    fn new() -> Line {
        let mut settings = Settings::default();
        settings.config.media = Some(media::Options::default());
        let mut gateway = Gateway::new(Arc::new(settings.config), settings.sip, Tokens::seeded(1));
        gateway.handle(Time::from_secs(1), Input::LinkUp(0));
        let mut line = Line {
            gateway,
            now: Time::from_secs(1),
            phones: Telephones::default(),
            to_gateway: Vec::new(),
            chance: Tokens::seeded(2),
            up: true,
            asked: BTreeMap::new(),
        };
        line.phones.habits = Habits { rings_for: Duration::from_secs(1), ..Habits::default() };
        line.run(Duration::from_secs(1));
        line
    }

    fn byte(&mut self, n: usize, byte: u8) {
        let names: Vec<String> = self.phones.talks().keys().cloned().collect();
        let names: Vec<&str> = names.iter().filter_map(|call| call.split('@').next()).collect();
        let text = format!("<s xmlns='jabber:client'>{}</s>", steps::step(byte, &names));
        let document = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
        document.elements().for_each(|e| self.step(n, e));
    }

    fn step(&mut self, n: usize, e: &Element) {
        let calls: Vec<String> = self.phones.talks().keys().cloned().collect();
        match e.name.as_str() {
            "ring" => drop(self.phones.dial(self.now, 0, "juliet0@example.com", &["audio"])),
            "hang" => self.all_hang_up(),
            "hold" => calls.iter().for_each(|call| self.phones.hold(self.now, call, n.is_multiple_of(2))),
            "video" => calls.iter().for_each(|call| self.phones.add(self.now, call, "video")),
            "busy" => self.phones.habits.busy = 1000 - self.phones.habits.busy,
            "down" => self.link(false),
            "up" => self.link(true),
            "wait" => {
                let seconds = e.attr("s").and_then(|s| s.parse::<u8>().ok()).unwrap_or(1);
                self.run(Duration::from_secs(seconds.into()));
            }
            _ => self.says(n, e),
        }
        self.run(Duration::from_millis(50));
    }

    fn all_hang_up(&mut self) {
        let calls: Vec<String> = self.phones.talks().keys().cloned().collect();
        for call in calls {
            self.phones.hang_up(self.now, &call);
        }
    }

    fn link(&mut self, up: bool) {
        if std::mem::replace(&mut self.up, up) != up {
            self.gateway.handle(self.now, if up { Input::LinkUp(0) } else { Input::LinkDown(0) });
        }
    }

    /// The XMPP user, or a stranger, says something.
    fn says(&mut self, n: usize, e: &Element) {
        let Ok(stanza) = Stanza::from_element(e.clone(), ns::CLIENT) else { return };
        if !self.up {
            return;
        }
        let from = stanza.from.clone().map(|from| from.to_string());
        let from = USERS.into_iter().find(|user| from.as_deref() == Some(*user)).unwrap_or(USERS[0]);
        let to = stanza.to.clone().filter(|to| to.domain() == "example.net").unwrap_or_else(|| jid(PHONE));
        let mut stanza = stanza.with_from(jid(from)).with_to(to);
        if stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("get" | "set")) {
            let id = format!("f{n}");
            self.asked.insert(id.clone(), 0);
            stanza = stanza.with_id(id);
        }
        self.gateway.handle(self.now, Input::Stanza(0, stanza));
    }

    /// Time goes by.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let due = [self.gateway.deadline(), self.phones.deadline()];
            let Some(at) = due.into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.gateway.timeout(self.now);
            self.phones.timeout(self.now);
        }
        self.now = end;
    }

    fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(output) = self.gateway.poll() {
                idle = false;
                self.output(output);
            }
            self.to_gateway.extend(self.phones.said());
            for bytes in std::mem::take(&mut self.to_gateway) {
                idle = false;
                let flow =
                    Flow { transport: Transport::Udp, local: GATEWAY.into(), remote: PROXY.into(), connection: None };
                let bytes = Bytes::from(bytes);
                let message = sip::parse_datagram(&bytes, &sip::Limits::default()).expect("telephones speak SIP");
                self.gateway.handle(self.now, Input::Sip(message, flow));
            }
            if idle {
                return;
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Sip { bytes, .. } => {
                let message = SipText::parse(&bytes).expect("the gateway speaks SIP");
                assert_eq!(message.header("X-Rehearsal"), None, "{message}");
                if message.header("Content-Type") == Some("application/sdp") {
                    assert!(Sdp::parse(&message.body).is_ok(), "{message}");
                    let injected = |line: &str| line.contains("X-Rehearsal") && !line.starts_with("a=");
                    assert!(!message.text().lines().any(injected), "{message}");
                }
                self.phones.received(self.now, &message, &mut self.chance);
            }
            Output::Stanza { bytes, token, .. } => {
                self.gateway.handle(self.now, if self.up { Input::Taken(token) } else { Input::Lost(token) });
                let stanza = read_stanza(&bytes);
                if self.up {
                    self.hears(&stanza);
                }
            }
            Output::Save { token, .. } => self.gateway.handle(self.now, Input::Saved(token)),
            Output::Lookup { .. } | Output::Msrp(_) | Output::Relay { .. } | Output::Offence(..) | Output::Note(_) => {}
        }
    }

    /// The XMPP side hears something. What it is asked for it grants.
    fn hears(&mut self, stanza: &Stanza) {
        if let Some(e) = Jingle::of(stanza) {
            let jingle = Jingle::parse(e);
            assert!(jingle.is_ok_and(|jingle| jingle.to_element() == *e), "{stanza:?}");
        }
        match (stanza.kind, stanza.type_.as_deref(), stanza.id.as_deref()) {
            (Kind::Iq, Some("result" | "error"), Some(id)) => {
                if let Some(count) = self.asked.get_mut(id) {
                    *count += 1;
                }
            }
            (Kind::Iq, Some("set"), _) => self.gateway.handle(self.now, Input::Stanza(0, stanza.result(None))),
            (Kind::Iq, Some("get"), _) => {
                let error = stanza.error(&StanzaError::new(xmpp::error::Condition::ServiceUnavailable));
                error.into_iter().for_each(|error| self.gateway.handle(self.now, Input::Stanza(0, error)));
            }
            _ => {}
        }
    }

    /// All hang up.
    fn end(mut self) {
        self.link(true);
        for _ in 0..8 {
            self.all_hang_up();
            self.run(Duration::from_secs(60));
        }
        for (id, count) in &self.asked {
            assert_eq!(*count, 1, "{id} is answered once");
        }
        assert_eq!(self.gateway.call_count(), 0, "a call is left");
        let counts = self.gateway.session_counts();
        assert_eq!(counts.sessions + counts.ending, 0, "a dialog is left");
    }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

/// Reads an element, and all in it, with every view.
fn views(e: &Element) {
    same(e, |e| Jingle::parse(e).ok(), Jingle::to_element);
    same(e, Reason::parse, Reason::to_element);
    same(e, Jmi::parse, Jmi::to_element);
    same(e, |e| Dtmf::parse(e).ok(), |tone: &Dtmf| tone.to_element());
    same(e, Transfer::parse, Transfer::to_element);
    same(e, ConferenceInfo::parse, |info: &ConferenceInfo| info.to_element());
    e.elements().for_each(views);
}

fn same<T: PartialEq + Debug>(e: &Element, parse: impl Fn(&Element) -> Option<T>, write: impl Fn(&T) -> Element) {
    let Some(read) = parse(e) else { return };
    let written = xml::write_document(&write(&read));
    let again = Element::parse(&written, &Limits { stanza_bytes: 1 << 24, elements: 1 << 16, ..Limits::default() });
    assert_eq!(again.ok().as_ref().and_then(parse), Some(read));
}
