//! The whole gateway with presence, under SIP users, XMPP users, a server, a disk and a network that do anything in any order.

use crate::scene::{GATEWAY, Settings};
use crate::wire::read_stanza;
use crate::wire::{SipText, parameter, uri_of, user_of};
use base::Time;
use bytes::Bytes;
use sip::agent::{Flow, Transport};
use sip::{Limits, Message, parse_datagram};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use xml::Element;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The bytes of one event.
const STEP: usize = 4;
/// The most events.
const STEPS: usize = 256;
/// Who there is of each side.
const PEOPLE: u8 = 2;

/// The bounds that everything is looked at against.
const USAGES: usize = 6;
const AUTHORIZATIONS: usize = 5;
const OUTSTANDING: usize = 3;

const CODES: [u16; 16] = [200, 200, 200, 202, 204, 302, 403, 404, 408, 423, 481, 489, 500, 503, 603, 100];
const STATES: [&str; 8] = [
    "active",
    "active;expires=100",
    "pending",
    "terminated;reason=timeout",
    "terminated;reason=rejected",
    "terminated;reason=deactivated",
    "terminated;reason=noresource;retry-after=1",
    "terminated",
];
const EXPIRES: [u32; 8] = [3600, 600, 60, 0, 0, 10, 86_400, 4_294_967_295];
const TIMES: [u64; 8] = [0, 1, 100, 500, 5_000, 33_000, 600_000, 5_000_000];

/// A SIP user and an XMPP user.
type Pair = (u8, u8);

/// A dialog as the SIP side knows it.
#[derive(Debug, Clone, Default)]
struct Half {
    call_id: String,
    ours: String,
    theirs: String,
    target: String,
    cseq: u32,
}

struct World {
    settings: Settings,
    gateway: Gateway,
    now: Time,
    number: u64,
    up: bool,
    /// The dialogs that SIP users made, and those that were made with them.
    watching: BTreeMap<Pair, Half>,
    watched: BTreeMap<Pair, Half>,
    /// Final answers to each request of ours.
    answers: BTreeMap<String, usize>,
    /// Those whose transaction is over before the disk has answered.
    late: BTreeSet<String>,
    /// Requests of the gateway's that wait for an answer, and all there were.
    open: VecDeque<SipText>,
    seen: BTreeSet<String>,
    saves: VecDeque<(u64, Vec<u8>, Option<Vec<u8>>)>,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    stanzas: VecDeque<u64>,
    /// The contact has approved; or its server has shown the contact to somebody.
    granted: BTreeSet<Pair>,
    shown: BTreeSet<Pair>,
    /// The SIP side has shown its user.
    told: BTreeSet<Pair>,
    errors: usize,
}

fn romeo(n: u8) -> String {
    format!("romeo{n}@example.net")
}

fn juliet(n: u8) -> String {
    format!("juliet{n}@example.com")
}

/// The number at the end of a user's name.
fn number(address: &str) -> u8 {
    address.bytes().find(u8::is_ascii_digit).map_or(0, |digit| digit - b'0')
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.config.links.truncate(1);
    settings.config.subscriptions.max_usages = USAGES;
    settings.config.subscriptions.max_outstanding = OUTSTANDING;
    settings.config.subscriptions.reserve = 4;
    settings.config.subscriptions.max_expires = 4000;
    settings.config.presence.authorizations = AUTHORIZATIONS;
    settings.config.presence.resources = 3;
    settings
}

/// Any sequence of events.
///
/// All that is sent can be read. A request has at most one final answer, and exactly one once the disk has answered. No document goes to a
/// watcher whom the contact has not approved, and no presence to an XMPP user whom the SIP side has not. No table is beyond its
/// bound, and when everybody has gone and time has passed nothing is under way.
pub fn presence(data: &[u8]) {
    let settings = settings();
    let mut world = World {
        gateway: settings.gateway(1),
        settings,
        now: Time::from_secs(1000),
        number: 0,
        up: true,
        watching: BTreeMap::new(),
        watched: BTreeMap::new(),
        answers: BTreeMap::new(),
        late: BTreeSet::new(),
        open: VecDeque::new(),
        seen: BTreeSet::new(),
        saves: VecDeque::new(),
        disk: BTreeMap::new(),
        stanzas: VecDeque::new(),
        granted: BTreeSet::new(),
        shown: BTreeSet::new(),
        told: BTreeSet::new(),
        errors: 0,
    };
    world.input(Input::LinkUp(0));
    for step in data.chunks_exact(STEP).take(STEPS) {
        world.step(step[0], (step[1] % PEOPLE, step[1] / PEOPLE % PEOPLE), step[2], step[3]);
    }
    world.end();
}

impl World {
    fn input(&mut self, input: Input) {
        self.gateway.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.gateway.poll() {
            match output {
                Output::Sip { bytes, .. } => self.sip_came(&bytes),
                Output::Stanza { bytes, token, .. } => {
                    self.stanza_came(&bytes);
                    self.stanzas.push_back(token);
                }
                Output::Save { token, key, value } => self.saves.push_back((token, key, value)),
                Output::Lookup { .. }
                | Output::Msrp(_)
                | Output::Relay { .. }
                | Output::Offence(..)
                | Output::Note(_) => {}
            }
        }
        let counts = self.gateway.subscription_counts();
        assert!(counts.notifiers + counts.subscribers <= USAGES, "{counts:?}");
        assert!(counts.outstanding <= OUTSTANDING, "{counts:?}");
        assert!(self.gateway.authorizations() <= AUTHORIZATIONS);
    }

    fn step(&mut self, kind: u8, pair: Pair, a: u8, b: u8) {
        match kind % 12 {
            0 => self.subscribe(pair, EXPIRES[usize::from(a % 8)], true, b),
            1 => self.subscribe(pair, EXPIRES[usize::from(a % 8)], false, b),
            2 | 3 => self.answer(CODES[usize::from(a % 16)], b),
            4 => self.notify(pair, STATES[usize::from(a % 8)], b),
            5 | 6 => self.stanza(pair, a, b),
            7 => self.server(pair, a),
            8 => self.settle(!a.is_multiple_of(4)),
            9 => self.wait(Duration::from_millis(TIMES[usize::from(a % 8)])),
            10 if a.is_multiple_of(4) => self.restart(),
            10 if self.up => {
                self.up = false;
                while let Some(token) = self.stanzas.pop_front() {
                    self.input(Input::Lost(token));
                }
                self.input(Input::LinkDown(0));
            }
            10 => {
                self.up = true;
                self.input(Input::LinkUp(0));
            }
            _ => {
                if let Some(token) = self.stanzas.pop_front() {
                    self.input(if !a.is_multiple_of(4) { Input::Taken(token) } else { Input::Lost(token) });
                }
            }
        }
    }

    fn mint(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn send(&mut self, text: &str) {
        let remote = self.settings.source;
        let flow = Flow { transport: Transport::Udp, local: GATEWAY.into(), remote, connection: None };
        if let Ok(message) = parse_datagram(&Bytes::from(text.to_owned()), &Limits::default()) {
            if matches!(message, Message::Request(_)) {
                self.answers.insert(format!("z9hG4bKfuzz{}", self.number), 0);
            }
            self.input(Input::Sip(message, flow));
        }
    }

    fn subscribe(&mut self, pair: Pair, expires: u32, new: bool, odd: u8) {
        let n = self.mint();
        if new || !self.watching.contains_key(&pair) {
            let half = Half { call_id: format!("w{n}"), ours: format!("t{n}"), ..Half::default() };
            self.watching.insert(pair, half);
        }
        let Some(half) = self.watching.get_mut(&pair) else { return };
        if odd & 1 == 0 {
            half.cseq += 1;
        }
        let (romeo, juliet) = (romeo(if odd & 2 == 0 { pair.0 } else { 1 - pair.0 }), juliet(pair.1));
        let to_tag = if half.theirs.is_empty() { String::new() } else { format!(";tag={}", half.theirs) };
        let target = if half.target.is_empty() { format!("sip:{juliet}") } else { half.target.clone() };
        let event = if odd & 4 == 0 { "presence" } else { "conference" };
        let text = format!(
            "SUBSCRIBE {target} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKfuzz{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:{romeo}>;tag={}\r\nTo: <sip:{juliet}>{to_tag}\r\nCall-ID: {}\r\nCSeq: {} SUBSCRIBE\r\n\
             Contact: <sip:{romeo}>\r\nEvent: {event}\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n",
            half.ours,
            half.call_id,
            half.cseq.max(1)
        );
        self.send(&text);
    }

    /// Somebody on the SIP side answers a request of the gateway's.
    fn answer(&mut self, code: u16, odd: u8) {
        let at = usize::from(odd) % self.open.len().max(1);
        let Some(request) = self.open.get(at).cloned() else { return };
        if code >= 200 {
            self.open.remove(at);
        }
        let mut response = request.response(code, "", "theirs");
        for (name, value) in [
            ("Contact", "<sip:romeo@192.0.2.20>"),
            ("Expires", ["3600", "60", "0"][usize::from(odd % 3)]),
            ("Min-Expires", "7200"),
            ("Retry-After", "3"),
        ] {
            response.push(name, value);
        }
        self.send(&String::from_utf8_lossy(&response.to_bytes()));
    }

    fn notify(&mut self, pair: Pair, state: &str, odd: u8) {
        let n = self.mint();
        let Some(half) = self.watched.get_mut(&pair) else { return };
        if odd & 1 == 0 {
            half.cseq += 1;
        }
        let tag = if odd & 2 == 0 { "theirs" } else { "fork" };
        let user = romeo(if odd & 4 == 0 { pair.0 } else { 1 - pair.0 });
        let body = match odd / 8 % 4 {
            0 => String::new(),
            1 => "<presence".to_owned(),
            _ => format!(
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:{user}'><tuple id='t{n}'><status><basic>open</basic>\
                 </status></tuple></presence>"
            ),
        };
        if !state.starts_with("pending") && user == romeo(pair.0) && body.ends_with("</presence>") {
            self.told.insert(pair);
        }
        let (romeo, juliet) = (romeo(pair.0), juliet(pair.1));
        let text = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKfuzz{n}\r\nMax-Forwards: 70\r\nFrom: <sip:{romeo}>;tag={tag}\r\n\
             To: <sip:{juliet}>;tag={}\r\nCall-ID: {}\r\nCSeq: {} NOTIFY\r\nContact: <sip:{romeo}>\r\nEvent: presence\r\n\
             Subscription-State: {state}\r\nContent-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            half.target,
            half.theirs,
            half.call_id,
            half.cseq.max(1),
            body.len()
        );
        self.send(&text);
    }

    /// An XMPP user, or its server, says something to a SIP user.
    fn stanza(&mut self, pair: Pair, type_: u8, odd: u8) {
        if !self.up {
            return;
        }
        let types = ["", "", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"];
        let type_ = types[usize::from(type_) % types.len()];
        let from = format!("{}/r{}", juliet(pair.1), odd % 4);
        let to = if odd & 16 == 0 { romeo(pair.0) } else { format!("{}/x", romeo(pair.0)) };
        let (Ok(from), Ok(to)) = (Jid::parse(&from), Jid::parse(&to)) else { return };
        let from = if odd & 32 == 0 { from } else { from.bare() };
        let mut stanza = Stanza::presence().with_from(from).with_to(to);
        match type_ {
            "" => {
                stanza.push(Element::new("status", ns::CLIENT).with_text(["a", "b", "c"][usize::from(odd % 3)]));
                self.shown.insert(pair);
            }
            "unavailable" => drop(self.shown.insert(pair)),
            "subscribed" => drop(self.granted.insert(pair)),
            "unsubscribed" => {
                self.granted.remove(&pair);
                self.shown.remove(&pair);
            }
            _ => {}
        }
        if !type_.is_empty() {
            stanza = stanza.with_type(type_);
        }
        let before = self.errors;
        self.input(Input::Stanza(0, stanza));
        assert!(type_ != "error" || self.errors == before, "an error is never answered");
    }

    /// The server says to the gateway itself whether a user is there.
    fn server(&mut self, pair: Pair, a: u8) {
        let (Ok(from), Ok(to)) = (Jid::parse(&juliet(pair.1)), Jid::parse("example.net")) else { return };
        let stanza = Stanza::presence().with_from(from).with_to(to);
        let types = ["", "unavailable", "unsubscribed", "error", "probe", "subscribe", "unsubscribe"];
        let type_ = types[usize::from(a) % types.len()];
        if self.up {
            self.input(Input::Stanza(0, if type_.is_empty() { stanza } else { stanza.with_type(type_) }));
        }
    }

    fn settle(&mut self, saved: bool) {
        let Some((token, key, value)) = self.saves.pop_front() else { return };
        if saved {
            match value {
                Some(value) => drop(self.disk.insert(key, value)),
                None => drop(self.disk.remove(&key)),
            }
        }
        self.input(if saved { Input::Saved(token) } else { Input::NotSaved(token) });
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        if !self.saves.is_empty() && time > Duration::from_secs(1) {
            let unanswered = self.answers.iter().filter(|(_, answers)| **answers == 0);
            self.late.extend(unanswered.map(|(branch, _)| branch.clone()));
        }
        while let Some(due) = self.gateway.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.gateway.timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// The process dies, and starts anew from the disk. Nobody answers what it was asked before.
    fn restart(&mut self) {
        let seed = self.mint();
        self.gateway = self.settings.gateway(seed);
        (self.saves, self.stanzas, self.open) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        self.answers.clear();
        for (key, value) in self.disk.clone() {
            // What was taken back and is not yet forgotten is known only when the server is asked.
            if value.windows(14).any(|w| w == b"\"granted\":true") && key.starts_with(b"ps") {
                let text = String::from_utf8_lossy(&key).into_owned();
                let (sip, xmpp) = text.split_once('\0').expect("a key has two addresses");
                self.granted.insert((number(sip), number(xmpp)));
            }
            self.input(Input::Restore { key, value });
        }
        if self.up {
            self.input(Input::LinkUp(0));
        }
    }

    fn sip_came(&mut self, bytes: &Bytes) {
        let parsed = parse_datagram(bytes, &Limits::default()).expect("what we send can be read");
        let message = SipText::parse(bytes).expect("what we send can be read");
        let branch = message.branch().unwrap_or_default().to_owned();
        let Message::Request(request) = parsed else { return self.answer_came(&branch, &message) };
        assert!(sip::validate_request(&request).is_ok(), "our requests are good ones");
        if !self.seen.insert(branch) {
            return;
        }
        let pair =
            (number(message.header("To").unwrap_or_default()), number(message.header("From").unwrap_or_default()));
        let (from, to) = (message.header("From").unwrap_or_default(), message.header("To").unwrap_or_default());
        assert!(user_of(from).is_some_and(|user| user.starts_with("juliet")), "{from}");
        let state = message.header("Subscription-State").unwrap_or_default();
        match message.request() {
            Some(("NOTIFY", _)) => {
                let may = match state.split(';').next() {
                    Some("active") => self.granted.contains(&pair),
                    Some("terminated") => self.granted.contains(&pair) || self.shown.contains(&pair),
                    _ => false,
                };
                assert!(may || message.body.is_empty(), "nobody has approved this: {message}");
            }
            Some(("SUBSCRIBE", _)) => {
                let call_id = message.header("Call-ID").unwrap_or_default().to_owned();
                let half = self.watched.entry(pair).or_default();
                if half.call_id != call_id {
                    *half = Half { call_id, ..Half::default() };
                }
                half.theirs = parameter(from, "tag").unwrap_or_default().to_owned();
                half.target = uri_of(message.header("Contact").unwrap_or_default()).to_owned();
            }
            _ => unreachable!("{message} to {to}"),
        }
        self.open.push_back(message);
    }

    fn answer_came(&mut self, branch: &str, message: &SipText) {
        let code = message.status().unwrap_or_default();
        if let Some(answers) = self.answers.get_mut(branch) {
            *answers += usize::from(code >= 200);
            assert!(*answers <= 1, "{message}");
        }
        if code == 200
            && let Some(half) =
                self.watching.values_mut().find(|h| Some(h.call_id.as_str()) == message.header("Call-ID"))
        {
            half.theirs = parameter(message.header("To").unwrap_or_default(), "tag").unwrap_or_default().to_owned();
            half.target = uri_of(message.header("Contact").unwrap_or_default()).to_owned();
        }
    }

    fn stanza_came(&mut self, bytes: &[u8]) {
        let stanza = read_stanza(bytes);
        let (from, to) = (stanza.from.as_ref().expect("from"), stanza.to.as_ref().expect("to"));
        assert_eq!((from.domain(), to.domain()), ("example.net", "example.com"));
        let pair = (number(&from.to_string()), number(&to.to_string()));
        self.errors += usize::from(stanza.is_error());
        let shows = stanza.type_.is_none() && from.local().is_some();
        assert!(!shows || self.told.contains(&pair), "the SIP side has not shown this: {stanza:?}");
    }

    /// Everybody has gone: the disk works, nobody answers, and time passes.
    fn end(&mut self) {
        for _ in 0..2 {
            while !self.saves.is_empty() {
                self.settle(true);
            }
            self.wait(Duration::from_secs(2_500));
        }
        while !self.saves.is_empty() {
            self.settle(true);
        }
        let unanswered = self.answers.iter().filter(|(branch, answers)| **answers == 0 && !self.late.contains(*branch));
        assert_eq!(unanswered.map(|(branch, _)| branch).collect::<Vec<_>>(), Vec::<&String>::new());
        let counts = self.gateway.subscription_counts();
        assert_eq!((counts.notifiers, self.gateway.sip_counts().server_open), (0, 0), "{counts:?}");
    }
}
