//! A SIP user with MSRP whose every byte is the test's: SIP by UDP from one socket, MSRP connections by hand.

use rehearsal::wire::{SipText, parameter, uri_of};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// The path of a caller who only connects.
pub(crate) const OURS: &str = "msrp://127.0.0.1:9/ansp71weztas9wherefore;tcp";

/// A description of a session with this path; `more` are lines of it.
pub(crate) fn description(path: &str, port: u16, more: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message {port} TCP/MSRP *\r\n\
         a=accept-types:text/plain\r\na=path:{path}\r\n{more}"
    )
}

/// One who connects.
pub(crate) fn connects() -> String {
    description(OURS, 9, "a=setup:active\r\n")
}

/// One to whom the gateway is to connect.
pub(crate) fn waits_at(place: SocketAddr) -> String {
    description(&format!("msrp://{place}/ansp71weztas9wherefore;tcp"), place.port(), "a=setup:passive\r\n")
}

/// A SIP user agent.
pub(crate) struct Caller {
    socket: UdpSocket,
    pub(crate) gateway: SocketAddr,
    /// `sip:romeo@example.net`.
    pub(crate) uri: String,
    /// What came and was not asked for yet.
    came: VecDeque<SipText>,
    /// What requests were answered, by branch and method: they may come again.
    answered: BTreeMap<String, Vec<u8>>,
    /// How often something came again.
    pub(crate) doubles: usize,
    branches: u64,
}

/// A dialog, as the caller knows it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The Call-ID.
    pub(crate) id: String,
    /// From and To of the caller's requests.
    pub(crate) local: String,
    pub(crate) remote: String,
    /// The gateway's Contact.
    pub(crate) target: String,
    pub(crate) cseq: u32,
    /// The number of the gateway's last request.
    pub(crate) heard: u32,
    /// The gateway's path.
    pub(crate) path: String,
}

impl Call {
    /// Where the gateway's path leads.
    pub(crate) fn place(&self) -> SocketAddr {
        let place = self.path.split("//").nth(1).and_then(|rest| rest.split('/').next());
        place.and_then(|place| place.parse().ok()).expect("a path with an address")
    }

    /// A connection for the session.
    pub(crate) async fn connect(&self) -> Line {
        Line::to(self.place()).await
    }
}

impl Caller {
    /// One at an address of the system's choice. The gateway may be named later.
    pub(crate) async fn bind(uri: &str, gateway: SocketAddr) -> Caller {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Caller {
            socket,
            gateway,
            uri: uri.to_owned(),
            came: VecDeque::new(),
            answered: BTreeMap::new(),
            doubles: 0,
            branches: 0,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// What its requests have in Contact.
    pub(crate) fn contact(&self) -> String {
        let user = self.uri.trim_start_matches("sip:").split('@').next().unwrap();
        format!("<sip:{user}@{};gr=orchard>", self.address())
    }

    pub(crate) async fn send(&self, message: &SipText) {
        self.socket.send_to(&message.to_bytes(), self.gateway).await.unwrap();
    }

    /// The next message, once each if it is a request; a request that comes again gets its answer again.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<SipText> {
        let until = Instant::now() + patience;
        let mut buffer = vec![0; 65_536];
        loop {
            let received = timeout_at(until, self.socket.recv(&mut buffer)).await.ok()?;
            // An error is an ICMP message about an earlier datagram.
            let Ok(length) = received else { continue };
            let message = SipText::parse(&buffer[..length]).expect("the gateway writes SIP");
            if message.status().is_none() {
                let key = key(&message);
                if let Some(answer) = self.answered.get(&key) {
                    self.doubles += 1;
                    if !answer.is_empty() {
                        self.socket.send_to(answer, self.gateway).await.unwrap();
                    }
                    continue;
                }
                self.answered.insert(key, Vec::new());
            }
            return Some(message);
        }
    }

    /// The first message that fits, of those that came and those to come.
    pub(crate) async fn expect(&mut self, what: &str, fits: impl Fn(&SipText) -> bool) -> SipText {
        if let Some(at) = self.came.iter().position(&fits) {
            return self.came.remove(at).unwrap();
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(message) = self.next(left).await else {
                panic!("{what} does not come; others did: {:?}", self.came);
            };
            if fits(&message) {
                return message;
            }
            self.came.push_back(message);
        }
    }

    /// The next request with this method in this dialog.
    pub(crate) async fn request(&mut self, method: &str, call_id: &str) -> SipText {
        let is = |m: &SipText| m.request().is_some_and(|(m, _)| m == method) && m.header("Call-ID") == Some(call_id);
        self.expect(method, is).await
    }

    /// Forgets what came before.
    pub(crate) async fn forget(&mut self) {
        while self.next(Duration::ZERO).await.is_some() {}
        self.came.clear();
    }

    /// Whether such a message came, or comes within `patience`.
    pub(crate) async fn sees(&mut self, patience: Duration, fits: impl Fn(&SipText) -> bool) -> bool {
        while let Some(message) = self.next(patience).await {
            self.came.push_back(message);
        }
        self.came.iter().any(fits)
    }

    fn compose(&mut self, method: &str, uri: &str, cseq: u32, headers: &[(&str, String)]) -> SipText {
        self.branches += 1;
        let mut request = SipText { start: format!("{method} {uri} SIP/2.0"), headers: vec![], body: vec![] };
        let address = self.address();
        let branch = format!("z9hG4bK{}x{}", address.port(), self.branches);
        request.push("Via", format!("SIP/2.0/UDP {address};branch={branch};rport"));
        request.push("Max-Forwards", "70");
        for (name, value) in headers {
            request.push(name, value.clone());
        }
        request.push("CSeq", format!("{cseq} {method}"));
        request
    }

    /// An INVITE with this offer.
    pub(crate) fn invite(&mut self, id: &str, to: &str, offer: &str) -> SipText {
        let headers = [
            ("From", format!("<{}>;tag={id}", self.uri)),
            ("To", format!("<{to}>")),
            ("Call-ID", id.to_owned()),
            ("Contact", self.contact()),
            ("Content-Type", "application/sdp".to_owned()),
        ];
        let mut invite = self.compose("INVITE", to, 1, &headers);
        invite.body = offer.as_bytes().to_vec();
        invite
    }

    /// The final answer to a request.
    pub(crate) async fn answer_to(&mut self, request: &SipText) -> SipText {
        let (id, cseq) = (request.header("Call-ID"), request.header("CSeq"));
        let fits = |m: &SipText| m.status() >= Some(200) && m.header("Call-ID") == id && m.header("CSeq") == cseq;
        self.expect("an answer", fits).await
    }

    /// What an answer to an INVITE has made.
    pub(crate) fn call(&self, answer: &SipText) -> Call {
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        Call {
            id: header("Call-ID"),
            local: header("From"),
            remote: header("To"),
            target: uri_of(&header("Contact")).to_owned(),
            cseq: 1,
            heard: 0,
            path: path_of(answer),
        }
    }

    /// Opens a session: INVITE and ACK. Where it is refused: the answer.
    pub(crate) async fn open(&mut self, id: &str, to: &str, offer: &str) -> Result<Call, SipText> {
        let invite = self.invite(id, to, offer);
        self.send(&invite).await;
        let answer = self.answer_to(&invite).await;
        let call = self.call(&answer);
        if answer.status() == Some(200) {
            self.acknowledge(&call).await;
            return Ok(call);
        }
        let mut ack = SipText { start: invite.start.replace("INVITE", "ACK"), headers: vec![], body: vec![] };
        for name in ["Via", "Max-Forwards", "From", "Call-ID"] {
            ack.push(name, invite.header(name).unwrap());
        }
        ack.push("To", call.remote);
        ack.push("CSeq", "1 ACK");
        self.send(&ack).await;
        Err(answer)
    }

    /// Takes an INVITE back.
    pub(crate) async fn cancel(&mut self, invite: &SipText) -> u16 {
        let mut cancel = SipText { start: invite.start.replacen("INVITE", "CANCEL", 1), headers: vec![], body: vec![] };
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
            cancel.push(name, invite.header(name).unwrap());
        }
        cancel.push("CSeq", "1 CANCEL");
        self.send(&cancel).await;
        self.answer_to(&cancel).await.status().unwrap()
    }

    /// A request within a dialog.
    pub(crate) fn within(&mut self, call: &mut Call, method: &str) -> SipText {
        if method != "ACK" {
            call.cseq += 1;
        }
        let headers = [
            ("From", call.local.clone()),
            ("To", call.remote.clone()),
            ("Call-ID", call.id.clone()),
            ("Contact", self.contact()),
        ];
        self.compose(method, &call.target.clone(), call.cseq, &headers)
    }

    pub(crate) async fn acknowledge(&mut self, call: &Call) {
        let ack = self.within(&mut call.clone(), "ACK");
        self.send(&ack).await;
    }

    /// Asks within a dialog; the status of the final answer.
    pub(crate) async fn ask(&mut self, call: &mut Call, method: &str) -> u16 {
        let request = self.within(call, method);
        self.send(&request).await;
        self.answer_to(&request).await.status().unwrap()
    }

    /// Answers a request; with a description, if it is not empty.
    pub(crate) async fn reply(&mut self, request: &SipText, code: u16, description: &str) -> SipText {
        let mut answer = request.response(code, "As Ordered", "orchard");
        answer.push("Contact", self.contact());
        if !description.is_empty() {
            answer.push("Content-Type", "application/sdp");
            answer.body = description.as_bytes().to_vec();
        }
        if code >= 200 {
            self.answered.insert(key(request), answer.to_bytes());
        }
        self.send(&answer).await;
        answer
    }

    /// Answers a request 200, with headers of the test's own.
    pub(crate) async fn grant(&mut self, request: &SipText, headers: &[(&str, &str)]) -> SipText {
        let mut answer = request.response(200, "As Ordered", "orchard");
        answer.push("Contact", self.contact());
        headers.iter().for_each(|(name, value)| answer.push(name, *value));
        self.answered.insert(key(request), answer.to_bytes());
        self.send(&answer).await;
        answer
    }

    /// Takes a session that the gateway asks for, up to the ACK.
    pub(crate) async fn take(&mut self, invite: &SipText, description: &str) -> Call {
        let answer = self.reply(invite, 200, description).await;
        let call = self.invited(invite, &answer);
        self.request("ACK", &call.id).await;
        call
    }

    /// What an answer of ours to an INVITE has made.
    pub(crate) fn invited(&self, invite: &SipText, answer: &SipText) -> Call {
        let header = |message: &SipText, name: &str| message.header(name).unwrap_or_default().to_owned();
        Call {
            id: header(invite, "Call-ID"),
            local: header(answer, "To"),
            remote: header(invite, "From"),
            target: uri_of(&header(invite, "Contact")).to_owned(),
            cseq: 1,
            heard: number(invite),
            path: path_of(invite),
        }
    }

    /// The gateway hangs up in this dialog, and is answered.
    pub(crate) async fn hung_up(&mut self, call: &Call) {
        let bye = self.request("BYE", &call.id).await;
        let tag = |value: &str| parameter(value, "tag").map(str::to_owned);
        assert_eq!(tag(bye.header("To").unwrap()), tag(&call.local), "{bye}");
        assert_eq!(tag(bye.header("From").unwrap()), tag(&call.remote), "{bye}");
        assert!(number(&bye) > call.heard, "CSeq goes on: {bye}");
        self.reply(&bye, 200, "").await;
    }
}

/// The number in CSeq.
fn number(message: &SipText) -> u32 {
    message.header("CSeq").unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// What a request is known by when it comes again.
fn key(request: &SipText) -> String {
    format!("{} {}", request.branch().unwrap_or_default(), request.header("CSeq").unwrap_or_default())
}

fn path_of(message: &SipText) -> String {
    let text = message.text();
    text.lines().find_map(|line| line.strip_prefix("a=path:")).unwrap_or_default().to_owned()
}

/// An MSRP connection and what came over it.
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
}

impl Line {
    pub(crate) async fn to(place: SocketAddr) -> Line {
        Line::new(TcpStream::connect(place).await.unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Line {
        stream.set_nodelay(true).unwrap();
        Line { stream, bytes: Vec::new() }
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The same where the other end may have closed.
    pub(crate) async fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.within(PATIENCE).await.expect("a frame, or the end")
    }

    /// The next frame or the end, if either comes within `patience`.
    pub(crate) async fn within(&mut self, patience: Duration) -> Option<Option<String>> {
        let until = Instant::now() + patience;
        loop {
            let text = String::from_utf8_lossy(&self.bytes).into_owned();
            if let Some(id) = text.strip_prefix("MSRP ").and_then(|rest| rest.split(' ').next())
                && let Some(at) = text.find(&format!("-------{id}"))
                && let Some(end) = text[at..].find("\r\n")
            {
                self.bytes.drain(..at + end + 2);
                return Some(Some(text[..at + end + 2].to_owned()));
            }
            match timeout_at(until, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Some(None),
                Err(_) => return None,
            }
        }
    }

    /// The code of the answer to the request with this transaction; 0: the end.
    pub(crate) async fn code(&mut self, id: &str) -> u16 {
        let start = format!("MSRP {id} ");
        while let Some(frame) = self.next().await {
            if let Some(code) = frame.strip_prefix(&start).and_then(|rest| rest.get(..3)?.parse().ok()) {
                return code;
            }
        }
        0
    }

    /// The next text, which is answered 200.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            let frame = self.next().await.expect("a message");
            let Some((_, body)) = frame.split_once("\r\n\r\n").filter(|_| frame.contains(" SEND\r\n")) else {
                if frame.contains(" SEND\r\n") {
                    self.say(ok(&frame)).await;
                }
                continue;
            };
            let text = body[..body.rfind("\r\n-------").unwrap()].to_owned();
            self.say(ok(&frame)).await;
            return text;
        }
    }

    /// Whether the other end closes within `patience`, whatever it says before.
    pub(crate) async fn is_closed(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut buffer = [0; 4096];
        loop {
            match timeout_at(until, self.stream.read(&mut buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// A SEND of a whole text.
pub(crate) fn send(to: &str, from: &str, id: &str, text: &str) -> String {
    chunk(to, from, id, &format!("{id}m"), &format!("1-{0}/{0}", text.len()), text, '$')
}

/// A SEND of part of a message.
pub(crate) fn chunk(to: &str, from: &str, id: &str, message: &str, range: &str, text: &str, flag: char) -> String {
    format!(
        "MSRP {id} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: {message}\r\nByte-Range: {range}\r\nContent-Type: \
         text/plain\r\n\r\n{text}\r\n-------{id}{flag}\r\n"
    )
}

/// The 200 to a request.
pub(crate) fn ok(frame: &str) -> String {
    let id = frame.split(' ').nth(1).unwrap();
    let path = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let (to, from) = (path("From-Path: "), path("To-Path: "));
    format!("MSRP {id} 200 OK\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n-------{id}$\r\n")
}
