//! The SIP users of a world in sessions: INVITE dialogs (RFC 3261 §12 to §15) over UDP and MSRP (RFC 4975), written without the gateway's
//! own agents. All of them are behind one address; each session has a path of its own.

use super::letters::Letters;
use super::lines::LineId;
use super::sip_side::{number_of, words_of};
use crate::wire::{MsrpText, SipText, parameter, uri_of};
use base::{Time, Tokens};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// RFC 3261: timers B, F and H.
const TIMERS: Duration = Duration::from_secs(32);
/// RFC 4975 §7.1.2: how long an answer to a SEND may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the users are.
const HOST: &str = "192.0.2.20";

/// What the users ask the world to do.
#[derive(Debug)]
pub(super) enum Act {
    Datagram(Vec<u8>),
    /// Connect to the gateway, for the session of this Call-ID.
    Connect(String),
    Write(LineId, Vec<u8>),
    /// The connection is ours, and of no use any more.
    HangUp(LineId),
}

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A request is sent again, by its branch.
    Request(String),
    /// A 2xx is sent again, by the Call-ID.
    Accepted(String),
    /// The gateway has not connected, by Call-ID.
    Connection(String),
    /// A SEND was not answered, by Call-ID and transaction.
    Send(String, String),
}

/// A request without a final answer.
#[derive(Debug)]
struct Client {
    call: String,
    bytes: Vec<u8>,
    invite: bool,
    interval: Duration,
    end: Time,
    /// A provisional answer came: an INVITE is not sent again.
    ringing: bool,
}

/// A 2xx that waits for its ACK.
#[derive(Debug)]
struct Accepted {
    bytes: Vec<u8>,
    interval: Duration,
    end: Time,
}

#[derive(Debug)]
struct Session {
    user: u64,
    /// The XMPP user's address.
    peer: String,
    local: String,
    remote: String,
    target: String,
    sequence: u32,
    path: String,
    /// The gateway's path, once it is known.
    there: Option<String>,
    /// Whether we connect.
    ours: bool,
    line: Option<LineId>,
    accepted: Option<Accepted>,
    queue: VecDeque<u64>,
    /// Letters by transaction.
    flying: BTreeMap<String, u64>,
    /// What has come of messages in chunks, by Message-ID.
    parts: BTreeMap<String, String>,
    /// We have said BYE, or are to say it as soon as the INVITE is answered.
    leaving: bool,
}

/// All users.
#[derive(Debug, Default)]
pub(super) struct Callers {
    sessions: BTreeMap<String, Session>,
    clients: BTreeMap<String, Client>,
    due: BTreeSet<(Time, Due)>,
    /// Final answers given, by branch and method.
    answered: BTreeMap<String, Vec<u8>>,
    /// The ACKs to final answers, by branch of the INVITE, and to 2xx, by Call-ID and CSeq.
    acks: BTreeMap<String, Vec<u8>>,
    minted: u64,
    acts: Vec<Act>,
    /// How many of a thousand INVITEs are refused.
    pub(super) refusals: u64,
    /// Sessions that came to be, from each side.
    pub(super) opened: [u64; 2],
}

impl Callers {
    /// A user writes to an XMPP user: in the session with it, or in a new one.
    pub(super) fn write(&mut self, now: Time, letter: u64, user: u64, peer: &str, letters: &mut Letters) {
        let there =
            self.sessions.iter().find(|(_, s)| s.user == user && s.peer == peer && !s.leaving).map(|(c, _)| c.clone());
        let call = there.unwrap_or_else(|| self.call(now, user, peer));
        if let Some(session) = self.sessions.get_mut(&call) {
            session.queue.push_back(letter);
        }
        self.pump(now, &call, letters);
    }

    /// What is to be done, in order.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// The sessions that are not over.
    pub(super) fn open(&self) -> usize {
        self.sessions.len() + self.clients.len()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// One of the sessions is ended by its SIP user, if there is one.
    pub(super) fn hang_up_one(&mut self, now: Time, chance: &mut Tokens, letters: &mut Letters) {
        let calls: Vec<String> = self.sessions.iter().filter(|(_, s)| !s.leaving).map(|(c, _)| c.clone()).collect();
        if !calls.is_empty() {
            let call = calls[chance.below(calls.len() as u64) as usize].clone();
            self.bye(now, &call, letters);
        }
    }

    fn mint(&mut self, what: &str) -> String {
        self.minted += 1;
        format!("{what}{}", self.minted)
    }

    fn path(&mut self, user: u64) -> String {
        format!("msrp://{HOST}:{}/{};tcp", 7000 + user, self.mint("session"))
    }

    fn call(&mut self, now: Time, user: u64, peer: &str) -> String {
        let call = format!("{}@world", self.mint("call"));
        let (tag, path) = (self.mint("tag"), self.path(user));
        let session = Session {
            user,
            peer: peer.to_owned(),
            local: format!("<sip:romeo{user}@example.net>;tag={tag}"),
            remote: format!("<sip:{peer}>"),
            target: format!("sip:{peer}"),
            sequence: 0,
            path,
            there: None,
            ours: true,
            line: None,
            accepted: None,
            queue: VecDeque::new(),
            flying: BTreeMap::new(),
            parts: BTreeMap::new(),
            leaving: false,
        };
        self.sessions.insert(call.clone(), session);
        self.request(now, &call, "INVITE");
        call
    }

    /// Sends a request within a session.
    fn request(&mut self, now: Time, call: &str, method: &str) {
        let branch = self.mint("z9hG4bKcaller");
        let Some(session) = self.sessions.get_mut(call) else { return };
        session.sequence += 1;
        let bytes = session.request(call, method, session.sequence, &branch).to_bytes();
        self.acts.push(Act::Datagram(bytes.clone()));
        let client = Client {
            call: call.to_owned(),
            bytes,
            invite: method == "INVITE",
            interval: T1,
            end: now + TIMERS,
            ringing: false,
        };
        self.clients.insert(branch.clone(), client);
        self.due.insert((now + T1, Due::Request(branch)));
    }

    /// A session ends by our wish.
    fn bye(&mut self, now: Time, call: &str, letters: &mut Letters) {
        let Some(session) = self.sessions.get_mut(call).filter(|s| !s.leaving) else { return };
        session.leaving = true;
        session.give_up(letters);
        if session.there.is_some() {
            self.request(now, call, "BYE");
        }
    }

    /// A session is over.
    fn over(&mut self, call: &str, letters: &mut Letters) {
        let Some(mut session) = self.sessions.remove(call) else { return };
        session.give_up(letters);
        if let Some(line) = session.line.filter(|_| session.ours) {
            self.acts.push(Act::HangUp(line));
        }
    }

    /// A SIP message came that belongs to sessions. Whether it does.
    pub(super) fn received(
        &mut self,
        now: Time,
        message: &SipText,
        chance: &mut Tokens,
        letters: &mut Letters,
    ) -> bool {
        let mut words = message.header("CSeq").unwrap_or_default().split_whitespace();
        let (Some(sequence), Some(method)) = (words.next(), words.next()) else { return false };
        if !["INVITE", "ACK", "BYE", "CANCEL", "UPDATE"].contains(&method) {
            return false;
        }
        let call = message.header("Call-ID").unwrap_or_default().to_owned();
        let branch = message.branch().unwrap_or_default().to_owned();
        match message.status() {
            Some(code) => self.answer(now, code, &call, sequence, method, &branch, message, letters),
            None => self.asked(now, &call, method, &branch, message, chance, letters),
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "what a response is made of")]
    fn answer(
        &mut self,
        now: Time,
        code: u16,
        call: &str,
        sequence: &str,
        method: &str,
        branch: &str,
        message: &SipText,
        letters: &mut Letters,
    ) {
        if code < 200 {
            if let Some(client) = self.clients.get_mut(branch) {
                client.ringing = true;
            }
            return;
        }
        let first = self.clients.remove(branch).is_some();
        if method == "BYE" {
            if first {
                self.over(call, letters);
            }
            return;
        }
        let key = if code < 300 { format!("{call} {sequence}") } else { branch.to_owned() };
        if !first {
            // RFC 3261 §13.2.2.4, §17.1.1.2: an ACK for each time that it comes.
            if let Some(ack) = self.acks.get(&key) {
                self.acts.push(Act::Datagram(ack.clone()));
            }
            return;
        }
        let ack_branch = if code < 300 { self.mint("z9hG4bKack") } else { branch.to_owned() };
        let Some(session) = self.sessions.get_mut(call) else { return };
        session.remote = message.header("To").unwrap_or_default().to_owned();
        if let Some(contact) = message.header("Contact").filter(|_| code < 300) {
            session.target = uri_of(contact).to_owned();
        }
        let sequence = sequence.parse().unwrap_or(1);
        let ack = session.request(call, "ACK", sequence, &ack_branch).to_bytes();
        self.acts.push(Act::Datagram(ack.clone()));
        self.acks.insert(key, ack);
        if code >= 300 {
            return self.over(call, letters);
        }
        session.there = path_in(message);
        self.opened[0] += 1;
        if session.leaving {
            self.request(now, call, "BYE");
        } else {
            self.acts.push(Act::Connect(call.to_owned()));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a request is made of")]
    fn asked(
        &mut self,
        now: Time,
        call: &str,
        method: &str,
        branch: &str,
        message: &SipText,
        chance: &mut Tokens,
        letters: &mut Letters,
    ) {
        if method == "ACK" {
            if let Some(session) = self.sessions.get_mut(call) {
                session.accepted = None;
            }
            return self.pump(now, call, letters);
        }
        let key = format!("{branch} {method}");
        if let Some(answer) = self.answered.get(&key) {
            return self.acts.push(Act::Datagram(answer.clone()));
        }
        let in_dialog = parameter(message.header("To").unwrap_or_default(), "tag").is_some();
        let known = self.sessions.contains_key(call);
        let mut answer = match (method, in_dialog, known) {
            // The INVITE was answered at once.
            ("CANCEL", _, _) => message.response(481, "Too Late", ""),
            (_, true, false) => message.response(481, "No Such Dialog", ""),
            ("BYE", _, _) => {
                self.over(call, letters);
                message.response(200, "OK", "")
            }
            ("INVITE", false, _) if chance.below(1000) < self.refusals => {
                let code = [486, 480, 488, 603][chance.below(4) as usize];
                message.response(code, "No", &self.mint("tag"))
            }
            ("INVITE", false, _) => {
                self.accept(call, message);
                message.response(200, "OK", &self.mint("tag"))
            }
            (_, true, true) => message.response(200, "OK", ""),
            (_, false, _) => message.response(481, "No Such Dialog", ""),
        };
        let accepts = method == "INVITE" && answer.status() == Some(200);
        if let Some(session) = self.sessions.get_mut(call).filter(|_| answer.status() == Some(200)) {
            if accepts || !message.body.is_empty() {
                answer.push("Content-Type", "application/sdp");
                answer.body = session.description();
            }
            answer.push("Contact", session.contact());
            if !in_dialog {
                session.local = answer.header("To").unwrap_or_default().to_owned();
            }
        }
        let bytes = answer.to_bytes();
        self.acts.push(Act::Datagram(bytes.clone()));
        if let Some(session) = self.sessions.get_mut(call).filter(|_| accepts) {
            session.accepted = Some(Accepted { bytes: bytes.clone(), interval: T1, end: now + TIMERS });
            self.due.insert((now + T1, Due::Accepted(call.to_owned())));
            self.due.insert((now + TIMERS + PATIENCE, Due::Connection(call.to_owned())));
        }
        self.answered.insert(key, bytes);
    }

    /// An XMPP user's session is taken.
    fn accept(&mut self, call: &str, invite: &SipText) {
        let header = |name| invite.header(name).unwrap_or_default().to_owned();
        let user = invite.addressee().and_then(|user| user.strip_prefix("romeo")?.parse().ok()).unwrap_or(0);
        let path = self.path(user);
        let session = Session {
            user,
            peer: uri_of(&header("From")).strip_prefix("sip:").unwrap_or_default().to_owned(),
            local: header("To"),
            remote: header("From"),
            target: uri_of(&header("Contact")).to_owned(),
            sequence: 0,
            path,
            there: path_in(invite),
            ours: false,
            line: None,
            accepted: None,
            queue: VecDeque::new(),
            flying: BTreeMap::new(),
            parts: BTreeMap::new(),
            leaving: false,
        };
        self.opened[1] += 1;
        self.sessions.insert(call.to_owned(), session);
    }

    /// The connection to the gateway is there.
    pub(super) fn connected(&mut self, now: Time, call: &str, line: LineId, letters: &mut Letters) {
        match self.sessions.get_mut(call).filter(|s| !s.leaving) {
            Some(session) => session.line = Some(line),
            None => return self.acts.push(Act::HangUp(line)),
        }
        if self.sessions.get(call).is_some_and(|s| s.queue.is_empty()) {
            // RFC 4975 §5.4: so that the gateway knows whose the connection is.
            let id = self.mint("hello");
            self.send(call, &id, None);
        }
        self.pump(now, call, letters);
    }

    /// Sends a letter, or nothing.
    fn send(&mut self, call: &str, id: &str, letter: Option<u64>) {
        let Some(session) = self.sessions.get(call) else { return };
        let (Some(line), Some(there)) = (session.line, &session.there) else { return };
        let body = letter.map(|letter| words_of(letter).into_bytes());
        let n = body.as_ref().map_or(0, Vec::len);
        let mut headers = vec![
            ("To-Path".to_owned(), there.clone()),
            ("From-Path".to_owned(), session.path.clone()),
            ("Message-ID".to_owned(), format!("m-{id}")),
            ("Byte-Range".to_owned(), format!("1-{n}/{n}")),
        ];
        if body.is_some() {
            headers.push(("Content-Type".to_owned(), "text/plain".to_owned()));
        }
        let frame = MsrpText { start: format!("MSRP {id} SEND"), headers, body, flag: '$' };
        self.acts.push(Act::Write(line, frame.to_bytes()));
    }

    /// Sends what waits, if there is a connection.
    fn pump(&mut self, now: Time, call: &str, _: &mut Letters) {
        loop {
            let Some(session) = self.sessions.get_mut(call).filter(|s| s.line.is_some() && !s.leaving) else { return };
            let Some(letter) = session.queue.pop_front() else { return };
            let id = self.mint("send");
            if let Some(session) = self.sessions.get_mut(call) {
                session.flying.insert(id.clone(), letter);
            }
            self.due.insert((now + PATIENCE, Due::Send(call.to_owned(), id.clone())));
            self.send(call, &id, Some(letter));
        }
    }

    /// A frame came over a connection.
    pub(super) fn read(&mut self, now: Time, line: LineId, frame: &MsrpText, letters: &mut Letters) {
        let path = frame.header("To-Path").unwrap_or_default();
        let found = self.sessions.iter().find(|(_, s)| s.path == path).map(|(call, _)| call.clone());
        let Some(call) = found else {
            if frame.method() == Some("SEND") && frame.header("Failure-Report") != Some("no") {
                self.acts.push(Act::Write(line, frame.response(481, "No Such Session").to_bytes()));
            }
            return;
        };
        let Some(session) = self.sessions.get_mut(&call) else { return };
        assert_eq!(frame.header("From-Path"), session.there.as_deref(), "only the other end speaks: {frame}");
        session.line.get_or_insert(line);
        match (frame.method(), frame.status()) {
            (Some("SEND"), _) => {
                // The gateway sends the chunks of a message in order.
                let id = frame.header("Message-ID").unwrap_or_default().to_owned();
                let whole = session.parts.remove(&id).unwrap_or_default() + &frame.text();
                match (frame.flag, number_of(&whole)) {
                    ('+', _) => drop(session.parts.insert(id, whole)),
                    ('$', Some(number)) => letters.of(number).delivered += 1,
                    _ => {}
                }
                if frame.header("Failure-Report") != Some("no") {
                    self.acts.push(Act::Write(line, frame.response(200, "OK").to_bytes()));
                }
            }
            (None, Some(code)) => {
                if let Some(letter) = session.flying.remove(frame.id()) {
                    match code {
                        200 => letters.of(letter).accepted = true,
                        _ => letters.of(letter).errors += 1,
                    }
                }
            }
            _ => {}
        }
        self.pump(now, &call, letters);
    }

    /// A connection is no more: neither are its sessions.
    pub(super) fn lost(&mut self, now: Time, line: LineId, letters: &mut Letters) {
        let calls = self.sessions.iter().filter(|(_, s)| s.line == Some(line)).map(|(call, _)| call.clone());
        for call in calls.collect::<Vec<_>>() {
            if let Some(session) = self.sessions.get_mut(&call) {
                session.line = None;
            }
            self.bye(now, &call, letters);
        }
    }

    /// Does what is due.
    pub(super) fn timeout(&mut self, now: Time, letters: &mut Letters) {
        while let Some((at, due)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, due.clone()));
            match due {
                Due::Request(branch) => self.request_again(now, &branch, letters),
                Due::Accepted(call) => self.accepted_again(now, &call, letters),
                Due::Connection(call) => {
                    if self.sessions.get(&call).is_some_and(|session| session.line.is_none()) {
                        self.bye(now, &call, letters);
                    }
                }
                Due::Send(call, id) => {
                    let late = self.sessions.get_mut(&call).and_then(|s| s.flying.remove(&id));
                    if let Some(letter) = late {
                        letters.of(letter).errors += 1;
                        self.bye(now, &call, letters);
                    }
                }
            }
        }
    }

    fn request_again(&mut self, now: Time, branch: &str, letters: &mut Letters) {
        let Some(client) = self.clients.get_mut(branch) else { return };
        if client.end <= now {
            let call = client.call.clone();
            self.clients.remove(branch);
            return self.over(&call, letters);
        }
        if !client.ringing || !client.invite {
            self.acts.push(Act::Datagram(client.bytes.clone()));
        }
        client.interval = if client.invite { client.interval * 2 } else { (client.interval * 2).min(T2) };
        let at = (now + client.interval).min(client.end);
        self.due.insert((at, Due::Request(branch.to_owned())));
    }

    fn accepted_again(&mut self, now: Time, call: &str, letters: &mut Letters) {
        let Some(session) = self.sessions.get_mut(call) else { return };
        let Some(accepted) = &mut session.accepted else { return };
        if accepted.end <= now {
            // RFC 3261 §13.3.1.4: no ACK.
            session.accepted = None;
            return self.bye(now, call, letters);
        }
        self.acts.push(Act::Datagram(accepted.bytes.clone()));
        accepted.interval = (accepted.interval * 2).min(T2);
        let at = (now + accepted.interval).min(accepted.end);
        self.due.insert((at, Due::Accepted(call.to_owned())));
    }
}

impl Session {
    fn contact(&self) -> String {
        format!("<sip:romeo{}@{HOST}:5060>", self.user)
    }

    fn description(&self) -> Vec<u8> {
        let port = 7000 + self.user;
        let path = &self.path;
        format!(
            "v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
             a=accept-types:text/plain\r\na=path:{path}\r\n"
        )
        .into_bytes()
    }

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
        if method == "INVITE" {
            request.push("Contact", self.contact());
            request.push("Content-Type", "application/sdp");
            request.body = self.description();
        }
        request
    }

    /// What has not arrived for certain has failed.
    fn give_up(&mut self, letters: &mut Letters) {
        let flying = std::mem::take(&mut self.flying).into_values();
        for letter in flying.chain(std::mem::take(&mut self.queue)) {
            letters.of(letter).errors += 1;
        }
    }
}

fn path_in(message: &SipText) -> Option<String> {
    message.text().lines().find_map(|line| line.strip_prefix("a=path:").map(str::to_owned))
}
