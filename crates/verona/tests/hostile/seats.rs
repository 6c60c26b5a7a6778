//! Places in rooms, by hand: that of a SIP user in a room of XMPP, and that of an XMPP user in the room of a focus. Both are on a
//! [`Caller`].

use crate::caller::{Call, Caller, Line, ok};
use rehearsal::wire::{SipText, uri_of};
use std::collections::VecDeque;

/// A description of a session in a room, by one who connects; `id` is its name.
pub(crate) fn described(id: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n\
         a=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain\r\na=path:{}\r\na=setup:active\r\n\
         a=chatroom:nickname private-messages\r\n",
        path(id)
    )
}

fn path(id: &str) -> String {
    format!("msrp://127.0.0.1:9/{id};tcp")
}

/// Something that was said in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The wrapper's From and To, and the words.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: String,
}

/// A session in a room, and the connection that it has.
pub(crate) struct Seat {
    pub(crate) call: Call,
    pub(crate) line: Line,
    /// Our own path.
    ours: String,
    /// How many requests were sent over it.
    sent: usize,
    /// What was said before somebody asked for it.
    heard: VecDeque<Heard>,
    /// NICKNAMEs that came, and that nobody has answered yet.
    names: VecDeque<String>,
}

impl Seat {
    /// Enters a room: INVITE, ACK, the connection, and the empty message that says whose it is. Where the room does not let the user
    /// in: its answer.
    pub(crate) async fn enter(caller: &mut Caller, id: &str, room: &str) -> Result<Seat, SipText> {
        let call = caller.open(id, room, &described(id)).await?;
        Ok(Seat::on(call, id).await)
    }

    /// The connection for a session of this name.
    pub(crate) async fn on(call: Call, id: &str) -> Seat {
        let line = call.connect().await;
        let mut seat = Seat { call, line, ours: path(id), sent: 0, heard: VecDeque::new(), names: VecDeque::new() };
        let hello = seat.frame("SEND", "Message-ID: hello\r\nByte-Range: 1-0/0\r\n");
        let id = seat.say(&hello).await;
        assert_eq!(seat.code(&id).await, 200);
        seat
    }

    /// A request without a body.
    pub(crate) fn frame(&mut self, method: &str, headers: &str) -> String {
        self.sent += 1;
        let id = format!("seat{:04}", self.sent);
        let (to, from) = (&self.call.path, &self.ours);
        format!("MSRP {id} {method}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{headers}-------{id}$\r\n")
    }

    /// A message in a wrapper.
    pub(crate) fn message(&mut self, from: &str, to: &str, text: &str) -> String {
        let body = format!("From: <{from}>\r\nTo: <{to}>\r\n\r\nContent-Type: text/plain\r\n\r\n{text}");
        let n = body.len();
        let headers = format!(
            "Message-ID: word{:04}\r\nByte-Range: 1-{n}/{n}\r\nContent-Type: message/cpim\r\n\r\n{body}\r\n",
            self.sent
        );
        self.frame("SEND", &headers)
    }

    /// Sends a frame; its transaction.
    pub(crate) async fn say(&mut self, frame: &str) -> String {
        self.line.say(frame).await;
        frame.split(' ').nth(1).unwrap().to_owned()
    }

    /// Says something, and gives back the code of the answer.
    pub(crate) async fn says(&mut self, from: &str, to: &str, text: &str) -> u16 {
        let frame = self.message(from, to, text);
        let id = self.say(&frame).await;
        self.code(&id).await
    }

    /// Wants another name, and gives back the code of the answer.
    pub(crate) async fn renames(&mut self, name: &str) -> u16 {
        let frame = self.frame("NICKNAME", &format!("Use-Nickname: \"{name}\"\r\n"));
        let id = self.say(&frame).await;
        self.code(&id).await
    }

    /// The code of the answer to the request with this transaction. What is said meanwhile is heard.
    pub(crate) async fn code(&mut self, id: &str) -> u16 {
        let start = format!("MSRP {id} ");
        loop {
            let frame = self.line.next().await.expect("an answer");
            if let Some(code) = frame.strip_prefix(&start).and_then(|rest| rest.get(..3)?.parse().ok()) {
                return code;
            }
            self.take(&frame).await;
        }
    }

    /// What is said next, which is answered 200.
    pub(crate) async fn hears(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let frame = self.line.next().await.expect("a message");
            self.take(&frame).await;
        }
    }

    async fn take(&mut self, frame: &str) {
        if frame.contains(" SEND\r\n") {
            self.line.say(ok(frame)).await;
            self.heard.extend(heard(frame));
        } else if frame.contains(" NICKNAME\r\n") {
            self.names.push_back(frame.to_owned());
        }
    }
}

/// What a frame says, if it is a message with words in it.
pub(crate) fn heard(frame: &str) -> Option<Heard> {
    let (_, body) = frame.split_once("\r\n\r\n")?;
    let (head, rest) = body.split_once("\r\n\r\n")?;
    let (_, text) = rest.split_once("\r\n\r\n")?;
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let text = text[..text.rfind("\r\n-------")?].to_owned();
    Some(Heard { from: header("From: "), to: uri_of(&header("To: ")).to_owned(), text })
}

/// Asks, within a dialog, who is in the room: the code of the answer, and the first document where there is one.
pub(crate) async fn subscribe(caller: &mut Caller, call: &mut Call, expires: u32) -> u16 {
    let mut request = caller.within(call, "SUBSCRIBE");
    request.push("Event", "conference");
    request.push("Expires", expires.to_string());
    caller.send(&request).await;
    caller.answer_to(&request).await.status().unwrap()
}

/// The next document that the room sends in a dialog, which is answered 200.
pub(crate) async fn roster(caller: &mut Caller, call_id: &str) -> SipText {
    let notify = caller.request("NOTIFY", call_id).await;
    caller.reply(&notify, 200, "").await;
    notify
}

/// The place of an XMPP user in the room of a focus, who tells of it as the test says.
pub(crate) struct Granted {
    pub(crate) seat: Seat,
    /// The subscription's dialog.
    pub(crate) watch: Call,
    /// The number of the last document.
    pub(crate) version: u32,
}

/// The next INVITE to the focus, whoever it is from.
pub(crate) async fn knock(focus: &mut Caller) -> SipText {
    focus.expect("an INVITE", |m| m.start.starts_with("INVITE ")).await
}

/// The focus takes a session; up to the connection.
pub(crate) async fn let_in(focus: &mut Caller, invite: &SipText) -> Seat {
    let id: String = invite.header("Call-ID").unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let call = focus.take(invite, &described(&id)).await;
    Seat::on(call, &id).await
}

/// The next nickname that is wanted, which is answered so.
pub(crate) async fn named(seat: &mut Seat, code: u16) -> String {
    loop {
        if let Some(frame) = seat.names.pop_front() {
            seat.line.say(ok(&frame).replace("200 OK", &format!("{code} As Ordered"))).await;
            let name = frame.lines().find_map(|line| line.strip_prefix("Use-Nickname: ")).unwrap();
            return name.trim_matches('"').to_owned();
        }
        let frame = seat.line.next().await.expect("a NICKNAME");
        seat.take(&frame).await;
    }
}

/// The next subscription to the conference, which is granted; its dialog.
pub(crate) async fn watched(focus: &mut Caller) -> Call {
    let begins = |m: &SipText| m.start.starts_with("SUBSCRIBE ") && m.header("Expires") != Some("0");
    let subscribe = focus.expect("a SUBSCRIBE", begins).await;
    let answer = focus.grant(&subscribe, &[("Expires", "3600")]).await;
    focus.invited(&subscribe, &answer)
}

impl Granted {
    /// Lets in whoever comes next, and tells who is there: those of these names.
    pub(crate) async fn next(focus: &mut Caller, room: &str, people: &[&str]) -> Granted {
        let invite = knock(focus).await;
        let mut seat = let_in(focus, &invite).await;
        named(&mut seat, 200).await;
        let watch = watched(focus).await;
        let mut granted = Granted { seat, watch, version: 0 };
        granted.tell(focus, &document(room, "full", 1, people)).await;
        granted
    }

    /// Sends a document, and waits for the answer; its code.
    pub(crate) async fn tell(&mut self, focus: &mut Caller, document: &str) -> u16 {
        let notify = notify(focus, &mut self.watch, document);
        focus.send(&notify).await;
        focus.answer_to(&notify).await.status().unwrap()
    }

    /// Somebody says something in the room; the answer.
    pub(crate) async fn says(&mut self, room: &str, name: &str, text: &str) -> u16 {
        self.seat.says(&format!("{room};gr={name}"), room, text).await
    }
}

/// A NOTIFY with a document.
pub(crate) fn notify(focus: &mut Caller, watch: &mut Call, document: &str) -> SipText {
    let mut notify = focus.within(watch, "NOTIFY");
    notify.push("Event", "conference");
    notify.push("Subscription-State", "active;expires=3600");
    notify.push("Content-Type", "application/conference-info+xml");
    notify.body = document.as_bytes().to_vec();
    notify
}

/// A document that tells of these people; those with a minus in front have gone.
pub(crate) fn document(room: &str, state: &str, version: u32, people: &[&str]) -> String {
    let user = |name: &&str| match name.strip_prefix('-') {
        Some(name) => format!("<user entity='{room};gr={name}' state='deleted'/>"),
        None => format!(
            "<user entity='{room};gr={name}'><display-text>{name}</display-text><roles><entry>participant</entry></roles>\
             <endpoint entity='{room};gr={name}'><status>connected</status></endpoint></user>"
        ),
    };
    let users: String = people.iter().map(user).collect();
    format!(
        "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='{room}' state='{state}' version='{version}'>\
         <users state='{state}'>{users}</users></conference-info>"
    )
}
