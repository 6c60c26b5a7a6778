//! The SIP users of a world in rooms: participants of RFC 7701 with a subscription to the conference (RFC 4575), written without the gateway's own
//! agents. Each place has a dialog and an MSRP session; the subscription has a dialog of its own, or that of the session.

use super::lines::LineId;
use super::roster::Roster;
use crate::wire::{MsrpText, SipText, parameter, uri_of};
use base::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const TIMERS: Duration = Duration::from_secs(32);
/// RFC 4975 §7.1.2.
const PATIENCE: Duration = Duration::from_secs(30);
const HOST: &str = "192.0.2.20";

/// What the users ask the world to do.
#[derive(Debug)]
pub(super) enum Act {
    Datagram(Vec<u8>),
    /// Connect to the gateway, for the place of this Call-ID.
    Connect(String),
    Write(LineId, Vec<u8>),
    HangUp(LineId),
}

/// Something that is due: a request that is sent again, by its branch; a SEND without an answer, by Call-ID and transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Request(String),
    Send(String, String),
}

#[derive(Debug)]
struct Client {
    call: String,
    method: String,
    bytes: Vec<u8>,
    interval: Duration,
    end: Time,
    ringing: bool,
}

/// A dialog, of a session or of a subscription.
#[derive(Debug, Default, Clone)]
struct Dialog {
    local: String,
    remote: String,
    target: String,
    sequence: u32,
    /// The highest number of the other side.
    heard: u32,
}

/// A place of a SIP user in a room.
#[derive(Debug, Default)]
pub struct Member {
    /// Whose it is.
    pub user: u64,
    /// The room.
    pub room: String,
    /// The room has let the user in, and the session is not over.
    pub inside: bool,
    /// The user is on the way in.
    pub asking: bool,
    /// Who is there, by the last document; and as it was told.
    pub roster: Roster,
    /// What was said to all, but by the user.
    pub heard: Vec<String>,
    /// What the user has said and was told to be said.
    pub accepted: BTreeSet<String>,
    /// What the user has said and was told to have failed.
    pub failed: BTreeSet<String>,
    /// The answers of those INVITEs that were refused.
    pub refused: Vec<u16>,
    nick: String,
    dialog: Dialog,
    subscription: Dialog,
    /// The Call-ID of the subscription.
    watch: String,
    path: String,
    there: Option<String>,
    line: Option<LineId>,
    flying: BTreeMap<String, String>,
    parts: BTreeMap<String, String>,
    leaving: bool,
}

/// All places, by Call-ID.
#[derive(Debug, Default)]
pub(super) struct Members {
    places: BTreeMap<String, Member>,
    /// The places that are over.
    past: Vec<Member>,
    clients: BTreeMap<String, Client>,
    due: BTreeSet<(Time, Due)>,
    answered: BTreeMap<String, Vec<u8>>,
    acks: BTreeMap<String, Vec<u8>>,
    minted: u64,
    acts: Vec<Act>,
}

impl Members {
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The places that there are, and those that there were.
    pub(super) fn all(&self) -> impl Iterator<Item = &Member> {
        self.past.iter().chain(self.places.values())
    }

    pub(super) fn place(&self, user: u64, room: &str) -> Option<&Member> {
        self.places.values().find(|m| m.user == user && m.room == room && !m.leaving)
    }

    /// What is not over yet: places, requests.
    pub(super) fn open(&self) -> usize {
        self.places.len() + self.clients.len()
    }

    fn mint(&mut self, what: &str) -> String {
        self.minted += 1;
        format!("{what}{}", self.minted)
    }

    fn call_of(&self, user: u64, room: &str) -> Option<String> {
        let found = self.places.iter().find(|(_, m)| m.user == user && m.room == room && !m.leaving);
        found.map(|(call, _)| call.clone())
    }

    /// A user wants into a room.
    pub(super) fn enter(&mut self, now: Time, user: u64, room: &str, nick: &str) {
        let call = self.mint("member");
        let tag = self.mint("tag");
        let path = format!("msrp://{HOST}:{}/{};tcp", 9000 + user, self.mint("seat"));
        let dialog = Dialog {
            local: format!("\"{nick}\" <sip:romeo{user}@example.net>;tag={tag}"),
            remote: format!("<sip:{room}>"),
            target: format!("sip:{room}"),
            ..Dialog::default()
        };
        let member = Member {
            user,
            room: room.to_owned(),
            nick: nick.to_owned(),
            asking: true,
            dialog,
            path,
            ..Member::default()
        };
        self.places.insert(call.clone(), member);
        self.request(now, &call, "INVITE");
    }

    /// A user leaves.
    pub(super) fn leave(&mut self, now: Time, user: u64, room: &str) {
        if let Some(call) = self.call_of(user, room) {
            self.bye(now, &call);
        }
    }

    /// A user says something to all. Whether he can.
    pub(super) fn say(&mut self, now: Time, user: u64, room: &str, words: &str) -> bool {
        let Some(call) = self.call_of(user, room) else { return false };
        let id = self.mint("said");
        let Some(member) = self.places.get_mut(&call) else { return false };
        let (Some(line), Some(there), true) = (member.line, member.there.clone(), member.inside) else { return false };
        let from = format!("\"{}\" <sip:romeo{user}@example.net>", member.nick);
        let body = format!("From: {from}\r\nTo: <sip:{room}>\r\n\r\nContent-Type: text/plain\r\n\r\n{words}");
        let n = body.len();
        let headers = vec![
            ("To-Path".to_owned(), there),
            ("From-Path".to_owned(), member.path.clone()),
            ("Message-ID".to_owned(), format!("m-{id}")),
            ("Byte-Range".to_owned(), format!("1-{n}/{n}")),
            ("Content-Type".to_owned(), "message/cpim".to_owned()),
        ];
        let frame = MsrpText { start: format!("MSRP {id} SEND"), headers, body: Some(body.into_bytes()), flag: '$' };
        member.flying.insert(id.clone(), words.to_owned());
        self.due.insert((now + PATIENCE, Due::Send(call, id)));
        self.acts.push(Act::Write(line, frame.to_bytes()));
        true
    }

    fn request(&mut self, now: Time, call: &str, method: &str) {
        let branch = self.mint("z9hG4bKmember");
        let Some(member) = self.places.get_mut(call) else { return };
        let bytes = member.request(call, method, &branch).to_bytes();
        self.acts.push(Act::Datagram(bytes.clone()));
        let (call, method) = (call.to_owned(), method.to_owned());
        let client = Client { call, method, bytes, interval: T1, end: now + TIMERS, ringing: false };
        self.clients.insert(branch.clone(), client);
        self.due.insert((now + T1, Due::Request(branch)));
    }

    fn bye(&mut self, now: Time, call: &str) {
        let Some(member) = self.places.get_mut(call).filter(|m| !m.leaving) else { return };
        (member.leaving, member.inside) = (true, false);
        member.give_up();
        if member.there.is_some() {
            self.request(now, call, "BYE");
        }
    }

    /// A place is over.
    fn over(&mut self, call: &str) {
        let Some(mut member) = self.places.remove(call) else { return };
        member.give_up();
        (member.inside, member.asking) = (false, false);
        if let Some(line) = member.line {
            self.acts.push(Act::HangUp(line));
        }
        self.past.push(member);
    }

    /// A SIP message came. Whether it is for those in rooms.
    pub(super) fn received(&mut self, now: Time, message: &SipText) -> bool {
        let id = message.header("Call-ID").unwrap_or_default();
        if !id.starts_with("member") && !id.starts_with("watch") {
            return false;
        }
        let mut words = message.header("CSeq").unwrap_or_default().split_whitespace();
        let (Some(sequence), Some(method)) = (words.next().and_then(|n| n.parse().ok()), words.next()) else {
            return true;
        };
        let branch = message.branch().unwrap_or_default().to_owned();
        match message.status() {
            Some(code) => self.answer(now, code, sequence, method, &branch, message),
            None => self.asked(id, sequence, method, &branch, message),
        }
        true
    }

    fn answer(&mut self, now: Time, code: u16, sequence: u32, method: &str, branch: &str, message: &SipText) {
        if code < 200 {
            if let Some(client) = self.clients.get_mut(branch) {
                client.ringing = true;
            }
            return;
        }
        let id = message.header("Call-ID").unwrap_or_default();
        let key = if code < 300 { format!("{id} {sequence}") } else { branch.to_owned() };
        let Some(client) = self.clients.remove(branch) else {
            if let Some(ack) = self.acks.get(&key).filter(|_| method == "INVITE") {
                self.acts.push(Act::Datagram(ack.clone()));
            }
            return;
        };
        let call = client.call;
        let to = message.header("To").unwrap_or_default().to_owned();
        let contact = message.header("Contact").map(|contact| uri_of(contact).to_owned());
        match method {
            "INVITE" => {
                let ack_branch = if code < 300 { self.mint("z9hG4bKack") } else { branch.to_owned() };
                let Some(member) = self.places.get_mut(&call) else { return };
                member.dialog.remote = to;
                if code < 300 {
                    member.dialog.target = contact.unwrap_or_default();
                }
                let ack = member.dialog.request(&call, "ACK", sequence, &ack_branch).to_bytes();
                self.acts.push(Act::Datagram(ack.clone()));
                self.acks.insert(key, ack);
                member.asking = false;
                if code >= 300 {
                    member.refused.push(code);
                    return self.over(&call);
                }
                assert!(message.header("Contact").is_some_and(|c| c.contains("isfocus")), "a focus says so");
                member.there = message.text().lines().find_map(|line| line.strip_prefix("a=path:").map(str::to_owned));
                member.inside = !member.leaving;
                if member.leaving {
                    self.request(now, &call, "BYE");
                } else {
                    self.acts.push(Act::Connect(call));
                }
            }
            "SUBSCRIBE" if code < 300 => {
                if let Some(member) = self.places.get_mut(&call).filter(|m| m.watch != call) {
                    member.subscription.remote = to;
                    member.subscription.target = contact.unwrap_or_default();
                }
            }
            "BYE" => self.over(&call),
            _ => {}
        }
    }

    fn asked(&mut self, id: &str, sequence: u32, method: &str, branch: &str, message: &SipText) {
        if method == "ACK" {
            return;
        }
        let key = format!("{branch} {method}");
        if let Some(answer) = self.answered.get(&key) {
            return self.acts.push(Act::Datagram(answer.clone()));
        }
        let place = self.places.iter_mut().find(|(call, m)| *call == id || m.watch == id);
        let code = match (place, method) {
            (None, _) => 481,
            (Some((call, member)), "NOTIFY") => {
                let dialog = if member.watch == *call { &mut member.dialog } else { &mut member.subscription };
                let fresh = sequence > dialog.heard;
                dialog.heard = dialog.heard.max(sequence);
                // RFC 6665 §4.2.3: one that was overtaken.
                if fresh { member.notified(message) } else { 500 }
            }
            (Some((call, _)), "BYE") => {
                let call = call.clone();
                self.over(&call);
                200
            }
            (Some(_), _) => 200,
        };
        let phrase = if code == 200 { "OK" } else { "No" };
        let bytes = message.response(code, phrase, "world").to_bytes();
        self.acts.push(Act::Datagram(bytes.clone()));
        self.answered.insert(key, bytes);
    }

    /// The connection to the gateway is there: the gateway is to know whose it is, and the user who is in the room.
    pub(super) fn connected(&mut self, now: Time, call: &str, line: LineId) {
        let (id, own) = (self.mint("hello"), self.mint("watch"));
        let tag = self.mint("tag");
        let Some(member) = self.places.get_mut(call).filter(|m| !m.leaving) else {
            return self.acts.push(Act::HangUp(line));
        };
        member.line = Some(line);
        let headers = vec![
            ("To-Path".to_owned(), member.there.clone().unwrap_or_default()),
            ("From-Path".to_owned(), member.path.clone()),
            ("Message-ID".to_owned(), format!("m-{id}")),
            ("Byte-Range".to_owned(), "1-0/0".to_owned()),
        ];
        let hello = MsrpText { start: format!("MSRP {id} SEND"), headers, body: None, flag: '$' };
        self.acts.push(Act::Write(line, hello.to_bytes()));
        // RFC 7702 F38 subscribes in the dialog of the session; RFC 6665 §4.5.1 would rather not.
        if member.user.is_multiple_of(3) {
            member.watch = call.to_owned();
        } else {
            member.watch = own;
            let target =
                if member.user % 3 == 1 { member.dialog.target.clone() } else { format!("sip:{}", member.room) };
            member.subscription = Dialog {
                local: format!("<sip:romeo{}@example.net>;tag={tag}", member.user),
                remote: format!("<sip:{}>", member.room),
                target,
                ..Dialog::default()
            };
        }
        self.request(now, call, "SUBSCRIBE");
    }

    /// Whether a frame is for those in rooms; if it is, it is dealt with.
    pub(super) fn read(&mut self, line: LineId, frame: &MsrpText) -> bool {
        let path = frame.header("To-Path").unwrap_or_default();
        let Some(member) = self.places.values_mut().find(|m| m.path == path) else {
            return path.contains("/seat");
        };
        match (frame.method(), frame.status()) {
            (Some("SEND"), _) => {
                let id = frame.header("Message-ID").unwrap_or_default().to_owned();
                let whole = member.parts.remove(&id).unwrap_or_default() + &frame.text();
                if frame.flag == '+' {
                    member.parts.insert(id, whole);
                } else if let Some((_, words)) = whole.rsplit_once("\r\n\r\n").filter(|_| frame.flag == '$') {
                    member.heard.push(words.to_owned());
                }
                self.acts.push(Act::Write(line, frame.response(200, "OK").to_bytes()));
            }
            (None, Some(code)) => {
                if let Some(words) = member.flying.remove(frame.id()) {
                    if code == 200 {
                        member.accepted.insert(words)
                    } else {
                        member.failed.insert(words)
                    };
                }
            }
            _ => {}
        }
        true
    }

    /// A connection is no more: neither are its places.
    pub(super) fn lost(&mut self, now: Time, line: LineId) {
        let calls = self.places.iter().filter(|(_, m)| m.line == Some(line)).map(|(call, _)| call.clone());
        for call in calls.collect::<Vec<_>>() {
            if let Some(member) = self.places.get_mut(&call) {
                member.line = None;
            }
            self.bye(now, &call);
        }
    }

    pub(super) fn timeout(&mut self, now: Time) {
        while let Some((at, due)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, due.clone()));
            match due {
                Due::Request(branch) => self.request_again(now, &branch),
                Due::Send(call, id) => {
                    let late = self.places.get_mut(&call).and_then(|m| Some((m.flying.remove(&id)?, m)));
                    if let Some((words, member)) = late {
                        member.failed.insert(words);
                        self.bye(now, &call);
                    }
                }
            }
        }
    }

    fn request_again(&mut self, now: Time, branch: &str) {
        let Some(client) = self.clients.get_mut(branch) else { return };
        let invite = client.method == "INVITE";
        // RFC 3261 §17.1.1.2: whoever hears that it rings waits.
        if client.end <= now && !(invite && client.ringing) {
            let (call, method) = (client.call.clone(), client.method.clone());
            self.clients.remove(branch);
            return match method.as_str() {
                "SUBSCRIBE" => self.bye(now, &call),
                _ => self.over(&call),
            };
        }
        if !(invite && client.ringing) {
            self.acts.push(Act::Datagram(client.bytes.clone()));
        }
        client.interval = if invite { client.interval * 2 } else { (client.interval * 2).min(T2) };
        let at = now + client.interval.min(TIMERS);
        self.due.insert((at, Due::Request(branch.to_owned())));
    }
}

impl Member {
    fn request(&mut self, call: &str, method: &str, branch: &str) -> SipText {
        let apart = method == "SUBSCRIBE" && self.watch != call;
        let watch = self.watch.clone();
        let (dialog, id) = if apart { (&mut self.subscription, watch.as_str()) } else { (&mut self.dialog, call) };
        dialog.sequence += 1;
        let mut request = dialog.request(id, method, dialog.sequence, branch);
        if method == "INVITE" || method == "SUBSCRIBE" {
            request.push("Contact", format!("<sip:romeo{}@{HOST}:5060>", self.user));
        }
        if method == "SUBSCRIBE" {
            request.push("Event", "conference");
            request.push("Expires", "3600");
            request.push("Accept", "application/conference-info+xml");
        }
        if method == "INVITE" {
            request.push("Content-Type", "application/sdp");
            let (port, path) = (9000 + self.user, &self.path);
            request.body = format!(
                "v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
                 a=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain\r\na=path:{path}\r\n\
                 a=chatroom:nickname private-messages\r\n"
            )
            .into_bytes();
        }
        request
    }

    /// A NOTIFY has come.
    fn notified(&mut self, message: &SipText) -> u16 {
        let over = message.header("Subscription-State").is_some_and(|state| state.starts_with("terminated"));
        if !message.body.is_empty() && !over {
            self.roster.apply(&message.body);
        }
        200
    }

    /// What has not arrived for certain has failed.
    fn give_up(&mut self) {
        self.failed.extend(std::mem::take(&mut self.flying).into_values());
    }
}

impl Dialog {
    fn request(&self, call: &str, method: &str, sequence: u32, branch: &str) -> SipText {
        let mut request =
            SipText { start: format!("{method} {} SIP/2.0", self.target), headers: Vec::new(), body: Vec::new() };
        for (name, value) in [
            ("Via", format!("SIP/2.0/UDP 192.0.2.10:5060;branch={branch};rport")),
            ("Max-Forwards", "70".into()),
            ("From", self.local.clone()),
            ("To", self.remote.clone()),
            ("Call-ID", call.to_owned()),
            ("CSeq", format!("{sequence} {method}")),
        ] {
            request.push(name, value);
        }
        debug_assert!(parameter(&self.local, "tag").is_some(), "who asks has a tag");
        request
    }
}
