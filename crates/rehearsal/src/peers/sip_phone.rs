//! A SIP endpoint whose every byte is the test's: what it is told to send and what it reads.

use super::{Driver, Place};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// A request or response as it was read.
#[derive(Debug, Clone, Deserialize)]
pub struct SipMessage {
    /// The method of a request.
    pub method: Option<String>,
    /// The Request-URI.
    pub uri: Option<String>,
    /// The status code of a response, 0 in a request.
    pub code: u16,
    /// The Reason-Phrase.
    pub reason: Option<String>,
    /// All headers in order, names as they were written.
    pub headers: Vec<(String, String)>,
    /// The body, if it is UTF-8.
    pub body: Option<String>,
    /// The body's bytes, in hexadecimal.
    pub body_hex: String,
    /// Bytes on the wire.
    pub size: usize,
    /// In a request: the tag that the phone's answer adds to its To, if it has none.
    #[serde(default)]
    pub tag: String,
    /// The whole message, for people.
    pub raw: String,
    /// Where it came from.
    pub source: (String, u16),
    /// `udp` or `tcp`.
    pub transport: String,
    /// What RFC 3261 has against it; a test wants this empty.
    pub faults: Vec<String>,
}

impl SipMessage {
    /// The first header of this name (long form, any case); "" if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }

    /// The values of all headers of this name, in order; those in one line are taken apart at its commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let lines = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        lines.flat_map(|(_, v)| v.split(',')).map(|v| v.trim().to_owned()).collect()
    }

    /// The number in CSeq.
    pub fn cseq(&self) -> u32 {
        self.header("CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default()
    }

    /// Fails the test if the message breaks a rule.
    #[track_caller]
    pub fn assert_legal(&self) {
        assert!(self.faults.is_empty(), "{:#?} in\n{}", self.faults, self.raw);
    }
}

/// A phone that is driven from here; see `interop/sip_phone.py` for the commands.
#[derive(Debug)]
pub struct SipPhone {
    driver: Driver,
    address: SocketAddr,
    count: u64,
}

impl SipPhone {
    /// Listens on `address` over UDP and TCP and answers every request with 200.
    #[track_caller]
    pub fn listen(place: &Place, name: &str, address: SocketAddr) -> SipPhone {
        let mut driver = Driver::start(place, name, "sip_phone.py");
        driver.order(&json!({"do": "listen", "host": address.ip().to_string(), "port": address.port()}));
        driver.expect::<Value>("listening", SOON, |_| true);
        SipPhone { driver, address, count: 0 }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers every request with `code`; 0 stays silent.
    #[track_caller]
    pub fn answer(&mut self, code: u16, reason: &str) {
        self.order_answer(json!({"code": code, "reason": reason}));
    }

    /// As [`answer`](SipPhone::answer), with all fields of the `answer` command.
    #[track_caller]
    pub fn order_answer(&mut self, mut fields: Value) {
        fields["do"] = json!("answer");
        self.driver.order(&fields);
        // Nothing that is sent after this call may still be answered as before it.
        self.driver.expect::<Value>("noted", SOON, |_| true);
    }

    /// Sends a request to `to`; `fields` are those of the `request` command. Gives the token of its transaction.
    #[track_caller]
    pub fn send(&mut self, to: SocketAddr, mut fields: Value) -> u64 {
        self.count += 1;
        fields["do"] = json!("request");
        fields["token"] = json!(self.count);
        fields["host"] = json!(to.ip().to_string());
        fields["port"] = json!(to.port());
        if fields.get("method").is_none() {
            fields["method"] = json!("MESSAGE");
        }
        self.driver.order(&fields);
        self.count
    }

    /// Sends bytes as they are, over `transport` (`udp` or `tcp`).
    #[track_caller]
    pub fn send_raw(&mut self, to: SocketAddr, transport: &str, bytes: &[u8]) {
        let mut hex = String::with_capacity(bytes.len() * 2);
        for b in bytes {
            let _ = write!(hex, "{b:02x}");
        }
        let (host, port) = (to.ip().to_string(), to.port());
        self.driver.order(&json!({"do": "raw", "bytes_hex": hex, "host": host, "port": port, "transport": transport}));
    }

    /// A number that this phone has not given out yet.
    pub(super) fn fresh(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The final response to the request `token`. Its legality is checked.
    #[track_caller]
    pub fn response(&mut self, patience: Duration, token: u64) -> SipMessage {
        #[derive(Deserialize)]
        struct Tokened {
            token: u64,
            #[serde(flatten)]
            message: SipMessage,
        }
        let found =
            self.driver.expect("response", patience, |r: &Tokened| r.token == token && r.message.code >= 200).message;
        found.assert_legal();
        found
    }

    /// The next request that fits. Its legality is checked.
    #[track_caller]
    pub fn request(&mut self, patience: Duration, fits: impl Fn(&SipMessage) -> bool) -> SipMessage {
        let found = self.driver.expect("request", patience, fits);
        found.assert_legal();
        found
    }

    /// Fails the test if a request that fits comes within `patience`.
    #[track_caller]
    pub fn no_request(&mut self, patience: Duration, fits: impl Fn(&SipMessage) -> bool) {
        self.driver.expect_none("request", patience, fits);
    }

    /// Every request that has come and was not asked for yet.
    #[track_caller]
    pub fn requests(&mut self) -> Vec<SipMessage> {
        self.driver.take_all("request")
    }

    /// How many retransmissions of requests have come since the last call.
    #[track_caller]
    pub fn retransmissions(&mut self) -> usize {
        self.driver.take_all::<Value>("again").len()
    }

    /// What answers nothing that was asked: the replies to [`send_raw`](SipPhone::send_raw), second final responses.
    #[track_caller]
    pub fn stray(&mut self, patience: Duration, fits: impl Fn(&SipMessage) -> bool) -> SipMessage {
        self.driver.expect("stray", patience, fits)
    }

    /// Registers `user@domain` at `registrar` and waits for its 200.
    #[track_caller]
    pub fn register(&mut self, registrar: SocketAddr, user: &str, domain: &str) {
        let aor = format!("<sip:{user}@{domain}>");
        let contact = format!("<sip:{user}@{}>", self.address);
        let headers =
            json!([["To", aor], ["From", format!("{aor};tag=register")], ["Contact", contact], ["Expires", "300"]]);
        let uri = format!("sip:{domain}");
        let token = self.send(registrar, json!({"method": "REGISTER", "uri": uri, "headers": headers}));
        let answer = self.response(SOON, token);
        assert_eq!(answer.code, 200, "{}", answer.raw);
    }

    /// Publishes a PIDF document of `uri` at the presence agent at `agent` (RFC 3903) and gives the entity tag. `last` is the one before; what
    /// it names is replaced.
    #[track_caller]
    pub fn publish(&mut self, agent: SocketAddr, uri: &str, last: Option<&str>, expires: u32, pidf: &str) -> String {
        let mut headers = vec![
            json!(["From", format!("<{uri}>;tag=publish")]),
            json!(["To", format!("<{uri}>")]),
            json!(["Event", "presence"]),
            json!(["Expires", expires.to_string()]),
        ];
        headers.extend(last.map(|etag| json!(["SIP-If-Match", etag])));
        let mut fields = json!({"method": "PUBLISH", "uri": uri});
        if !pidf.is_empty() {
            headers.push(json!(["Content-Type", "application/pidf+xml"]));
            fields["body"] = json!(pidf);
        }
        fields["headers"] = Value::Array(headers);
        let token = self.send(agent, fields);
        let answer = self.response(SOON, token);
        assert_eq!(answer.code, 200, "{}", answer.raw);
        answer.header("SIP-ETag").to_owned()
    }
}
