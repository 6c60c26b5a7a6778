//! Plays scenes: hands a gateway what the actors send, keeps what it sends until somebody gets it.

mod dialog;
mod look;
mod msrp;
mod pending;
mod sip;

use self::dialog::Dialogs;
use self::msrp::Connections;
pub use self::pending::Seen;
use self::pending::{Kind, Pending};
use super::pattern::Captures;
use super::script::{self, Action};
use super::settings::{self, Settings};
use super::stanza;
use crate::stub::{Mood, Relay};
use crate::wire::SipText;
use ::base::dns::Answer;
use base::Time;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::config::LinkId;
use stox::gateway::{Gateway, Input, Note, Output};
use xml::Element;
use xmpp::stanza::Stanza;

/// Where and why a scene failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The scene.
    pub scene: String,
    /// The line of the step, from 1; 0 for what came after the last one.
    pub line: usize,
    /// What was expected and what was there.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.scene, self.line, self.what)
    }
}

impl std::error::Error for Failure {}

/// Who sent a message, so that it can be sent again and its answer finds its way.
#[derive(Debug, Clone)]
enum Sent {
    Sip(Bytes),
    Xmpp(Element),
    /// On a connection.
    Msrp(usize, Vec<u8>),
}

/// A stage with one gateway on it. `Player` is also for tests that are written in Rust: each step is a method.
#[derive(Debug)]
pub struct Player {
    settings: Settings,
    gateway: Option<Gateway>,
    now: Time,
    captures: Captures,
    pending: VecDeque<Pending>,
    /// Stanzas that the server has not yet taken.
    outstanding: VecDeque<u64>,
    link_up: bool,
    sent: BTreeMap<String, Sent>,
    /// Who sent the request with this branch.
    senders: BTreeMap<String, String>,
    /// Requests that actors got, and 2xx to their INVITEs, the last one last.
    got: Vec<(String, SipText)>,
    repeats: BTreeMap<Vec<u8>, usize>,
    dialogs: Dialogs,
    connections: Connections,
    relays: BTreeMap<SocketAddr, Relay>,
    /// What the gateway has saved.
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How often it was started.
    starts: u64,
    minted: u64,
    /// What the gateway found worth counting, in order.
    pub notes: Vec<Note>,
}

/// What a scene's step can fail with, before it is known where.
pub type Check = Result<(), String>;

impl Player {
    /// An empty stage: the component streams are up as soon as the first thing happens.
    pub fn new(settings: Settings) -> Player {
        Player {
            settings,
            gateway: None,
            now: Time::from_secs(1000),
            captures: Captures::new(),
            pending: VecDeque::new(),
            outstanding: VecDeque::new(),
            link_up: true,
            sent: BTreeMap::new(),
            senders: BTreeMap::new(),
            got: Vec::new(),
            repeats: BTreeMap::new(),
            dialogs: Dialogs::default(),
            connections: Connections::default(),
            relays: BTreeMap::new(),
            store: BTreeMap::new(),
            starts: 0,
            minted: 0,
            notes: Vec::new(),
        }
    }

    /// Plays a scene to its end.
    pub fn play(&mut self, scene: &str, text: &str) -> Result<(), Failure> {
        let fail = |line| move |what| Failure { scene: scene.to_owned(), line, what };
        let steps = script::read(text).map_err(|(line, what)| fail(line)(what))?;
        for step in steps {
            self.step(&step.action).map_err(fail(step.line))?;
        }
        self.end().map_err(fail(0))
    }

    /// Plays a part of a scene, without its end.
    pub fn part(&mut self, text: &str) -> Check {
        let steps = script::read(text).map_err(|(line, what)| format!("{line}: {what}"))?;
        for step in steps {
            self.step(&step.action).map_err(|what| format!("{}: {what}", step.line))?;
        }
        Ok(())
    }

    /// What was captured under `name`.
    pub fn captured(&self, name: &str) -> Option<&str> {
        self.captures.get(name).map(String::as_str)
    }

    /// Gives `name` a value, as if it had been captured.
    pub fn capture(&mut self, name: &str, value: &str) {
        self.captures.insert(name.to_owned(), value.to_owned());
    }

    /// The last request that `actor` got.
    pub fn last_request(&self, actor: &str) -> Option<&SipText> {
        let mut of = self.got.iter().rev().filter(|(who, message)| who == actor && message.request().is_some());
        of.next().map(|(_, request)| request)
    }

    /// Whatever is there, everybody gets it. Wishes for connections stay.
    pub fn see_all(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        for pending in pending {
            match pending {
                Pending::Sip { to, message } => {
                    self.sip_got(&to, &message);
                    all.push(Seen::Sip(message));
                }
                Pending::Xmpp { stanza, .. } => all.push(Seen::Stanza(stanza)),
                Pending::Msrp { connection, frame, .. } => {
                    self.connections.got(connection, &frame);
                    all.push(Seen::Frame(frame));
                }
                Pending::Open { .. } => self.pending.push_back(pending),
                Pending::Closed { .. } => {}
            }
        }
        all
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Whether the component streams are up.
    pub fn is_up(&self) -> bool {
        self.link_up
    }

    /// Somebody on the XMPP side has sent a stanza that arrives.
    pub fn arrives(&mut self, stanza: Stanza) {
        let link = self.link_of(&stanza);
        self.input(Input::Stanza(link, stanza));
    }

    fn step(&mut self, action: &Action) -> Check {
        match action {
            Action::Sends { actor, block, escaped, on } => match notation(block, on.as_deref())? {
                Notation::Xml => self.xmpp_sends(actor, block, *escaped),
                Notation::Sip => self.sip_sends(actor, block, *escaped),
                Notation::Msrp => self.msrp_sends(actor, block, *escaped, on.as_deref()),
            },
            Action::SendsBytes { actor, block, on } => self.msrp_sends_bytes(actor, block, on.as_deref()),
            Action::Connects { actor, name } => {
                self.connects(actor, name.as_deref());
                Ok(())
            }
            Action::Accepts { actor, name, hop } => self.accepts(actor, name.as_deref(), hop.as_deref()),
            Action::RefusesConnection { actor, hop } => self.refuses_connection(actor, hop.as_deref()),
            Action::Disconnects { actor, name } => self.disconnects(actor, name.as_deref()),
            Action::GetsDisconnected { actor, name } => self.gets_disconnected(actor, name.as_deref()),
            Action::SendsAgain { actor } => self.sends_again(actor),
            Action::Gets { actor, block, escaped, on } => match notation(block, on.as_deref())? {
                Notation::Xml => self.xmpp_gets(actor, block),
                Notation::Sip => self.sip_gets(actor, block, *escaped),
                Notation::Msrp => self.msrp_gets(actor, block, *escaped, on.as_deref()),
            },
            Action::GetsAgain { actor, times } => self.gets_again(actor, *times),
            Action::Takes => {
                self.takes();
                Ok(())
            }
            Action::Silence => self.silence(),
            Action::Wait(time) => {
                self.wait(*time);
                Ok(())
            }
            Action::WaitAtMost(time) => self.wait_at_most(*time),
            Action::Link(up) => {
                self.link(*up);
                Ok(())
            }
            Action::Drain => {
                self.gateway().drain();
                self.drain();
                Ok(())
            }
            Action::Restart => {
                self.restart();
                Ok(())
            }
            Action::Set { key, value } if key == "relay" => self.relay_is(value),
            Action::Set { key, value } => {
                self.settings.set(key, value)?;
                if let Some(gateway) = &mut self.gateway {
                    gateway.reconfigure(Arc::new(self.settings.config.clone()));
                }
                Ok(())
            }
        }
    }

    fn gateway(&mut self) -> &mut Gateway {
        let (settings, now, store, starts) = (&self.settings, self.now, &self.store, &mut self.starts);
        self.gateway.get_or_insert_with(|| {
            *starts += 1;
            let mut gateway = settings.gateway(*starts);
            for (key, value) in store {
                gateway.handle(now, Input::Restore { key: key.clone(), value: value.clone() });
            }
            for link in 0..settings.config.links.len() {
                gateway.handle(now, Input::LinkUp(link));
            }
            gateway
        })
    }

    fn input(&mut self, input: Input) {
        let now = self.now;
        self.gateway().handle(now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.gateway().poll() {
            match output {
                Output::Sip { to, bytes, .. } => self.sip_arrives(&to, &bytes),
                Output::Stanza { link, domain, bytes, token } => {
                    self.outstanding.push_back(token);
                    let stanza = stanza::goes_out(self.settings.config.links[link].kind, domain.as_ref(), &bytes);
                    let to = stanza.attr("to").unwrap_or("nobody").split('/').next().unwrap_or_default().to_owned();
                    self.pending.push_back(Pending::Xmpp { to, stanza });
                }
                Output::Save { token, key, value } => {
                    let saved = if self.settings.store { Input::Saved(token) } else { Input::NotSaved(token) };
                    if self.settings.store {
                        match value {
                            Some(value) => drop(self.store.insert(key, value)),
                            None => drop(self.store.remove(&key)),
                        }
                    }
                    let now = self.now;
                    self.gateway().handle(now, saved);
                }
                Output::Msrp(wire) => self.wire(wire),
                Output::Relay { to, bytes } => {
                    if let Some(answer) = self.relay(to).received(&bytes) {
                        let (now, bytes) = (self.now, answer.into());
                        self.gateway().handle(now, Input::Relay { from: to, bytes });
                    }
                }
                Output::Offence(..) => {}
                Output::Lookup { id, .. } => {
                    let (now, answer) = (self.now, Answer::none(::base::dns::Failure::NoName));
                    self.gateway().handle(now, Input::Looked { id, answer });
                }
                Output::Note(note) => self.notes.push(note),
            }
        }
    }

    /// A media relay.
    pub fn relay(&mut self, address: SocketAddr) -> &mut Relay {
        self.relays.entry(address).or_insert_with(|| Relay::new(address.ip()))
    }

    /// `set relay MOOD [NUMBER]`: how a media relay is from now on. `set relay anew`: it was killed, and is there again.
    fn relay_is(&mut self, value: &str) -> Check {
        let (mood, number) = value.split_once(' ').unwrap_or((value, "0"));
        let relay = self.relay(settings::relay(number.parse().map_err(|_| "relays have numbers")?));
        match (mood, Mood::from_name(mood)) {
            ("anew", _) => relay.forget(),
            (_, Some(mood)) => relay.become_(mood),
            (_, None) => return Err(format!("a relay is never {mood}")),
        }
        Ok(())
    }

    /// The gateway is killed, and starts anew with what it has saved.
    pub fn restart(&mut self) {
        (self.gateway, self.link_up) = (None, true);
        self.outstanding.clear();
        self.connections_die();
        self.gateway();
        self.drain();
    }

    /// What the gateway has saved.
    pub fn store(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.store
    }

    fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    /// An XMPP user sends a stanza.
    pub fn xmpp_sends(&mut self, actor: &str, block: &str, escaped: bool) -> Check {
        if escaped {
            return Err("a stanza has no escapes".to_owned());
        }
        let mut element = stanza::read_template(block)?;
        stanza::fill_element(&mut element, &self.captures)
            .map_err(|name| format!("nothing was captured as ${name}"))?;
        self.sent.insert(actor.to_owned(), Sent::Xmpp(element.clone()));
        self.stanza(element)
    }

    fn stanza(&mut self, element: Element) -> Check {
        let stanza = Stanza::from_element(element, stanza::NS).map_err(|(fault, _)| {
            format!("the stream itself would refuse this ({fault:?}); a scene begins behind it")
        })?;
        let link = self.link_of(&stanza);
        self.input(Input::Stanza(link, stanza));
        Ok(())
    }

    fn link_of(&self, stanza: &Stanza) -> LinkId {
        let domain = stanza.to.as_ref().map(xmpp::jid::Jid::domain);
        self.settings.config.links.iter().position(|l| Some(l.domain.as_str()) == domain).unwrap_or(0)
    }

    fn sends_again(&mut self, actor: &str) -> Check {
        match self.sent.get(actor).cloned() {
            Some(Sent::Sip(bytes)) => self.sip_bytes(&bytes),
            Some(Sent::Xmpp(element)) => self.stanza(element)?,
            Some(Sent::Msrp(connection, bytes)) => self.msrp_bytes(connection, &[&bytes])?,
            None => return Err(format!("{actor} has sent nothing yet")),
        }
        Ok(())
    }

    fn next_for(&mut self, actor: &str, kind: Kind, block: &str) -> Result<Pending, String> {
        let at = self.pending.iter().position(|p| p.is_for(actor, kind));
        at.and_then(|at| self.pending.remove(at)).ok_or_else(|| {
            let there = if self.pending.is_empty() { "nothing at all".to_owned() } else { self.all_pending() };
            format!("nothing is there for {actor}, who should get\n{block}\nthere is\n{there}")
        })
    }

    fn all_pending(&self) -> String {
        self.pending.iter().map(|p| format!("{p}\n")).collect()
    }

    /// An XMPP user gets the next stanza for it, and it shows what `block` shows.
    pub fn xmpp_gets(&mut self, actor: &str, block: &str) -> Check {
        let pattern = stanza::read_template(block)?;
        let pending = self.next_for(actor, Kind::Xmpp, block)?;
        let Pending::Xmpp { stanza, .. } = &pending else { return Err("that is no stanza".to_owned()) };
        stanza::shows(&pattern, stanza, &mut self.captures)
            .map_err(|why| format!("{why}\nexpected\n{block}\ngot\n{pending}"))
    }

    /// The server proves to have processed all stanzas so far.
    pub fn takes(&mut self) {
        while let Some(token) = self.outstanding.pop_front() {
            self.input(Input::Taken(token));
        }
    }

    /// Nothing is there for anybody.
    pub fn silence(&self) -> Check {
        if self.pending.is_empty() { Ok(()) } else { Err(format!("there is no silence:\n{}", self.all_pending())) }
    }

    /// Lets time go by, from deadline to deadline.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.gateway().deadline().filter(|d| *d <= end) {
            self.now = self.now.max(due);
            let now = self.now;
            self.gateway().timeout(now);
            self.drain();
        }
        self.now = end;
    }

    /// Lets time go by until somebody gets something.
    pub fn wait_at_most(&mut self, time: Duration) -> Check {
        let end = self.now + time;
        while self.pending.is_empty() {
            let due = self.gateway().deadline().filter(|due| *due <= end);
            let due = due.ok_or_else(|| format!("nothing came in {time:?}"))?;
            self.wait(due.since(self.now));
        }
        Ok(())
    }

    /// The component streams come up or end; what the server has not taken is lost then.
    pub fn link(&mut self, up: bool) {
        self.gateway();
        self.link_up = up;
        let links = self.settings.config.links.len();
        if !up {
            while let Some(token) = self.outstanding.pop_front() {
                self.input(Input::Lost(token));
            }
        }
        for link in 0..links {
            self.input(if up { Input::LinkUp(link) } else { Input::LinkDown(link) });
        }
    }

    /// The end: the server takes all, a minute goes by, and nothing more may come or be under way.
    pub fn end(&mut self) -> Check {
        self.silence()?;
        self.takes();
        self.wait(Duration::from_secs(60));
        self.silence().map_err(|e| format!("after the end: {e}"))?;
        match self.gateway().under_way() {
            0 => Ok(()),
            n => Err(format!("{n} messages are still under way after the end")),
        }
    }
}

/// What a block is written in.
enum Notation {
    Xml,
    Sip,
    Msrp,
}

fn notation(block: &str, on: Option<&str>) -> Result<Notation, String> {
    match (block.starts_with('<'), block.starts_with("MSRP "), on) {
        (_, true, _) => Ok(Notation::Msrp),
        (_, _, Some(name)) => Err(format!("what goes over {name} is MSRP")),
        (true, _, None) => Ok(Notation::Xml),
        (false, _, None) => Ok(Notation::Sip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parameter;

    fn play(scene: &str) -> Result<(), usize> {
        Player::new(Settings::default()).play("test", scene).map_err(|f| f.line)
    }

    const ASK: &str = "romeo sends\n    MESSAGE sip:juliet@example.com SIP/2.0\n\n    hi\n";

    #[test]
    fn a_scene_that_is_right_passes() {
        let rest =
            "juliet gets\n    <message><body>hi</body></message>\njuliet takes\nromeo gets\n    SIP/2.0 200 OK\n";
        assert_eq!(play(&format!("{ASK}{rest}")), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_found() {
        let wrong = [
            ("", 0, "a stanza that nobody got"),
            ("silence\n", 5, "no silence"),
            ("juliet gets\n    <message><body>ho</body></message>\n", 5, "another text"),
            ("juliet gets\n    <message/>\n", 0, "an answer that nobody got"),
            ("juliet gets\n    <message/>\njuliet takes\nromeo gets\n    SIP/2.0 202 *\n", 8, "another status"),
            (
                "juliet gets\n    <message/>\njuliet takes\nromeo gets\n    SIP/2.0 200 OK\n    Subject: x\n",
                8,
                "no such header",
            ),
            (
                "juliet gets\n    <message/>\njuliet takes\nromeo gets\n    SIP/2.0 200 OK\n    !CSeq:\n",
                8,
                "a header too many",
            ),
            ("tybalt gets\n    <message/>\n", 5, "not for him"),
            ("romeo sends\n    SIP/2.0 200 OK\n", 5, "nothing to answer"),
            ("set nothing 1\n", 5, "no such setting"),
            ("tybalt sends\n    MESSAGE $uri SIP/2.0\n", 5, "nothing captured"),
        ];
        for (rest, line, why) in wrong {
            assert_eq!(play(&format!("{ASK}{rest}")), Err(line), "{why}");
        }
    }

    /// What `actor` sent last.
    fn sent(player: &Player, actor: &str) -> SipText {
        match &player.sent[actor] {
            Sent::Sip(bytes) => SipText::parse(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_dialog_knows_is_filled_in() {
        let mut player = Player::new(Settings::default());
        // Nobody makes calls yet.
        let invite =
            "romeo sends\n    INVITE sip:juliet@example.com SIP/2.0\n    Call-ID: c\nromeo gets\n    SIP/2.0 405 *\n";
        player.part(invite).unwrap();
        let first = sent(&player, "romeo");
        player.part("romeo sends\n    ACK * SIP/2.0\n").unwrap();
        let ack = sent(&player, "romeo");
        assert_eq!((ack.request(), ack.header("CSeq")), (Some(("ACK", "sip:juliet@example.com")), Some("1 ACK")));
        assert_eq!(ack.branch(), first.branch(), "what is refused is acknowledged in the same transaction");
        assert_eq!((ack.header("From"), ack.header("Call-ID")), (first.header("From"), Some("c")));
        assert!(parameter(ack.header("To").unwrap(), "tag").is_some());
        player.part("romeo sends\n    CANCEL * SIP/2.0\n").unwrap();
        let cancel = sent(&player, "romeo");
        assert_eq!((cancel.branch(), cancel.header("To")), (first.branch(), first.header("To")));
        assert!(player.part("tybalt sends\n    BYE * SIP/2.0\n").is_err(), "he has no dialog");
    }

    #[test]
    fn connections_that_nobody_wants() {
        let rest = |steps: &str| format!("romeo connects one\n{steps}");
        assert_eq!(play(&rest("romeo disconnects one\n")), Ok(()));
        assert_eq!(play(&rest("romeo disconnects two\n")), Err(2), "there is no such connection");
        assert_eq!(play(&rest("romeo accepts\n")), Err(2), "nobody has asked for one");
        assert_eq!(play(&rest("romeo gets disconnected\n")), Err(2), "it is open");
        assert_eq!(play(&rest("romeo sends bytes\n    GET / HTTP/1.1\\r\\n\\r\\n\nromeo gets disconnected\n")), Ok(()));
        let nowhere = "romeo sends\n    MSRP abcd SEND\n    -------abcd$\n";
        assert_eq!(play(&rest(nowhere)), Err(2), "nothing says what its paths are");
        let end = "romeo sends\n    MSRP abcd SEND\n    To-Path: msrp://a:1/b;tcp\n    From-Path: msrp://b:1/c;tcp\n    -------abce$\n";
        assert_eq!(play(&rest(end)), Err(2), "that is another end");
    }

    #[test]
    fn a_request_left_unanswered_is_found() {
        let scene = "juliet sends\n    <message from='juliet@example.com/b' to='romeo@example.net' id='1'><body>x</body></message>\n\
            romeo gets\n    MESSAGE sip:romeo@example.net SIP/2.0\n";
        assert_eq!(play(scene), Err(0));
    }
}
