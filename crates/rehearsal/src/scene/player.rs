//! Plays scenes: hands a gateway what the actors send, keeps what it sends until somebody gets it.

use super::pattern::{Captures, fill};
use super::script::{self, Action, sip_block};
use super::settings::Settings;
use super::shows::shows;
use super::stanza;
use crate::wire::{SipText, parameter};
use base::Time;
use bytes::Bytes;
use sip::agent::{Flow, SendTo};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
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

/// A message that waits to be got.
#[derive(Debug)]
enum Pending {
    Sip { to: String, message: SipText },
    Xmpp { to: String, stanza: Element },
}

impl Pending {
    fn is_for(&self, actor: &str, xmpp: bool) -> bool {
        let (to, is_xmpp) = match self {
            Pending::Sip { to, .. } => (to, false),
            Pending::Xmpp { to, .. } => (to, true),
        };
        is_xmpp == xmpp && (actor == "anyone" || actor == to || to.split('@').next() == Some(actor))
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pending::Sip { message, .. } => write!(f, "{message}"),
            Pending::Xmpp { stanza, .. } => {
                let mut out = Vec::new();
                xml::write(stanza, stanza::NS, &mut out);
                writeln!(f, "{}", String::from_utf8_lossy(&out))
            }
        }
    }
}

/// Who sent a message, so that it can be sent again and its answer finds its way.
#[derive(Debug, Clone)]
enum Sent {
    Sip(Bytes),
    Xmpp(Element),
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
    /// Requests that actors got, the last one last, each with how often it came again.
    got: Vec<(String, SipText)>,
    repeats: BTreeMap<Vec<u8>, usize>,
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
        self.got.iter().rev().find(|(who, _)| who == actor).map(|(_, request)| request)
    }

    fn step(&mut self, action: &Action) -> Check {
        match action {
            Action::Sends { actor, block, escaped } if block.starts_with('<') => {
                self.xmpp_sends(actor, block, *escaped)
            }
            Action::Sends { actor, block, escaped } => self.sip_sends(actor, block, *escaped),
            Action::SendsAgain { actor } => self.sends_again(actor),
            Action::Gets { actor, block, .. } if block.starts_with('<') => self.xmpp_gets(actor, block),
            Action::Gets { actor, block, escaped } => self.sip_gets(actor, block, *escaped),
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
            Action::Restart => {
                self.restart();
                Ok(())
            }
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
                Output::Stanza { bytes, token, .. } => {
                    self.outstanding.push_back(token);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let stanza = stanza::read(&text).unwrap_or_else(|e| Element::new(e, "broken").with_text(&text));
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
                Output::Msrp(_) => {}
                Output::Note(note) => self.notes.push(note),
            }
        }
    }

    /// The gateway is killed, and starts anew with what it has saved.
    pub fn restart(&mut self) {
        (self.gateway, self.link_up) = (None, true);
        self.outstanding.clear();
        self.gateway();
        self.drain();
    }

    /// What the gateway has saved.
    pub fn store(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.store
    }

    fn sip_arrives(&mut self, to: &SendTo, bytes: &Bytes) {
        let broken =
            || SipText { start: "what the gateway sent is no SIP".into(), headers: vec![], body: bytes.to_vec() };
        let mut message = SipText::parse(bytes).unwrap_or_else(broken);
        let expected = match to {
            // The proxy, or where a Contact of an actor leads to.
            SendTo::Target(t) => {
                self.settings.config.proxy.as_ref().is_some_and(|p| p.target == *t)
                    || self.settings.config.allow_networks.iter().any(|network| network.contains(t.remote.ip()))
            }
            SendTo::Flow { flow, .. } => flow.local == self.settings.flow().local,
        };
        if !expected {
            message.push("X-Rehearsal", format!("was sent to the wrong place, {to:?}"));
        }
        if message.header("Content-Length") != Some(&message.body.len().to_string()) {
            message.push("X-Rehearsal", "has the wrong Content-Length");
        }
        if message.request().is_some() {
            if let Some(times) = self.repeats.get_mut(bytes.as_ref()) {
                *times += 1;
                return;
            }
            self.repeats.insert(bytes.to_vec(), 0);
        }
        let sender = message.branch().and_then(|b| self.senders.get(b)).filter(|_| message.status().is_some());
        let to = sender.cloned().or_else(|| message.addressee().map(str::to_owned)).unwrap_or_else(|| "nobody".into());
        self.pending.push_back(Pending::Sip { to, message });
    }

    fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    /// A SIP user sends a request, or answers the last one that it got.
    pub fn sip_sends(&mut self, actor: &str, block: &str, escaped: bool) -> Check {
        let (head, body) = sip_block(block, escaped)?;
        let mut lines = head.into_iter();
        let start = fill(&lines.next().unwrap_or_default(), &self.captures)
            .map_err(|name| format!("nothing was captured as ${name}"))?;
        let body = match (body, escaped) {
            (Some(body), true) => body,
            (body, _) => {
                let text = String::from_utf8(body.unwrap_or_default()).map_err(|_| "the body is not UTF-8")?;
                fill(&text, &self.captures).map_err(|name| format!("nothing was captured as ${name}"))?.into_bytes()
            }
        };
        let mut own = Vec::new();
        let mut without = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
            match name.strip_prefix('!') {
                Some(name) => without.push(name.to_ascii_lowercase()),
                None => {
                    let value =
                        fill(value.trim(), &self.captures).map_err(|n| format!("nothing was captured as ${n}"))?;
                    own.push((name.trim().to_owned(), value));
                }
            }
        }
        let mut message = SipText { start, headers: own, body };
        if let Some(length) = message.header("Content-Length").filter(|l| *l != message.body.len().to_string()) {
            return Err(format!("the scene says Content-Length: {length}, its body has {}", message.body.len()));
        }
        if message.status().is_some() {
            message = self.complete_response(actor, message)?;
        } else {
            self.complete_request(actor, &mut message, &without)?;
            if let Some(branch) = message.branch() {
                self.senders.insert(branch.to_owned(), actor.to_owned());
            }
        }
        let bytes = Bytes::from(message.to_bytes());
        self.sent.insert(actor.to_owned(), Sent::Sip(bytes.clone()));
        self.sip_bytes(&bytes);
        Ok(())
    }

    fn sip_bytes(&mut self, bytes: &Bytes) {
        let flow: Flow = self.settings.flow();
        match sip::parse_datagram(bytes, &sip::Limits::default()) {
            Ok(message) => self.input(Input::Sip(message, flow)),
            Err(rejected) => self.input(Input::SipRejected(rejected, flow)),
        }
    }

    fn complete_request(&mut self, actor: &str, message: &mut SipText, without: &[String]) -> Check {
        let (method, uri) = message.request().ok_or_else(|| format!("no request: {}", message.start))?;
        let (method, uri) = (method.to_owned(), uri.to_owned());
        let n = self.mint();
        let mut from = message.headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("From"));
        if let Some((_, from)) = from.find(|(_, value)| parameter(value, "tag").is_none()) {
            from.push_str(&format!(";tag=from{n}"));
        }
        let typed = message.body.is_empty() || message.header("Content-Type").is_some();
        if !typed && !without.contains(&"content-type".to_owned()) {
            message.push("Content-Type", "text/plain");
        }
        let transport = self.settings.transport.as_str();
        let defaults = [
            ("Via", format!("SIP/2.0/{transport} {};branch=z9hG4bKscene{n}", self.settings.source)),
            ("Max-Forwards", "70".to_owned()),
            ("To", format!("<{uri}>")),
            ("From", format!("<sip:{actor}@example.net>;tag=from{n}")),
            ("Call-ID", format!("call{n}@scene")),
            ("CSeq", format!("1 {method}")),
        ];
        for (name, value) in defaults {
            if message.header(name).is_none() && !without.contains(&name.to_ascii_lowercase()) {
                message.push(name, value);
            }
        }
        Ok(())
    }

    fn complete_response(&mut self, actor: &str, own: SipText) -> Result<SipText, String> {
        let call_id = own.header("Call-ID");
        let request = self.got.iter().rev().find(|(who, request)| {
            (who == actor || actor == "anyone") && call_id.is_none_or(|c| request.header("Call-ID") == Some(c))
        });
        let Some((_, request)) = request else { return Err(format!("{actor} got no request to answer")) };
        let status = own.status().unwrap_or(0);
        let mut response = request.response(status, "", &format!("to{}", self.minted));
        response.start = own.start;
        response.body = own.body;
        for (name, value) in own.headers {
            response.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(&name) || name.eq_ignore_ascii_case("Via"));
            response.push(&name, value);
        }
        Ok(response)
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
            None => return Err(format!("{actor} has sent nothing yet")),
        }
        Ok(())
    }

    fn next_for(&mut self, actor: &str, xmpp: bool, block: &str) -> Result<Pending, String> {
        let at = self.pending.iter().position(|p| p.is_for(actor, xmpp));
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
        let pending = self.next_for(actor, true, block)?;
        let Pending::Xmpp { stanza, .. } = &pending else { return Err("that is no stanza".to_owned()) };
        stanza::shows(&pattern, stanza, &mut self.captures)
            .map_err(|why| format!("{why}\nexpected\n{block}\ngot\n{pending}"))
    }

    /// A SIP user gets the next message for it, and it shows what `block` shows.
    pub fn sip_gets(&mut self, actor: &str, block: &str, escaped: bool) -> Check {
        let (head, body) = sip_block(block, escaped)?;
        let pending = self.next_for(actor, false, block)?;
        let Pending::Sip { to, message } = &pending else { return Err("that is no SIP".to_owned()) };
        if message.request().is_some() {
            self.got.push((to.split('@').next().unwrap_or_default().to_owned(), message.clone()));
        }
        shows(&head, body.as_deref(), message, &mut self.captures)
            .map_err(|why| format!("{why}\nexpected\n{block}\ngot\n{pending}"))
    }

    fn gets_again(&mut self, actor: &str, times: usize) -> Check {
        let last = self.got.iter().rev().find(|(who, _)| who == actor);
        let Some((_, last)) = last else { return Err(format!("{actor} got no request yet")) };
        let repeats = self.repeats.iter_mut().find(|(bytes, _)| SipText::parse(bytes).as_ref() == Some(last));
        match repeats {
            Some((_, n)) if *n == times => {
                *n = 0;
                Ok(())
            }
            Some((_, n)) => Err(format!("the last request to {actor} came {n} times again, not {times}")),
            None => Err("the request came from somewhere else".to_owned()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_request_left_unanswered_is_found() {
        let scene = "juliet sends\n    <message from='juliet@example.com/b' to='romeo@example.net' id='1'><body>x</body></message>\n\
            romeo gets\n    MESSAGE sip:romeo@example.net SIP/2.0\n";
        assert_eq!(play(scene), Err(0));
    }
}
