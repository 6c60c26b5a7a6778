//! A SIP user agent with MSRP in another language, written from the RFCs alone and strict about every byte.

use super::{Driver, MsrpRelay, Place, Process, template};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
const SCRIPT: &str = "msrp_peer.py";

/// A message that came in whole.
#[derive(Debug, Clone, Deserialize)]
pub struct MsrpMessage {
    /// The call's name.
    #[serde(rename = "s")]
    pub call: String,
    /// Its Message-ID.
    pub message_id: String,
    /// Content-Type as it was written, the wrapper's where there is one.
    pub content_type: String,
    /// The media type of the content, in lower case and without parameters; within CPIM that of what is wrapped.
    #[serde(rename = "type")]
    pub kind: String,
    /// The content, without its wrapper, if it has at most 64 KiB.
    pub text: Option<String>,
    /// Bytes of the whole message.
    pub size: usize,
    /// SHA-256 of the whole message, in hexadecimal.
    pub sha256: String,
    /// SENDs that it came in.
    pub chunks: usize,
    /// Success-Report, `no` where there was none.
    pub success: String,
    /// Failure-Report, `yes` where there was none.
    pub failure: String,
    /// The CPIM wrapper.
    pub cpim: Option<MsrpWrapper>,
}

/// What a CPIM wrapper says.
#[derive(Debug, Clone, Deserialize)]
pub struct MsrpWrapper {
    /// The message's headers; those of IMDN are named `imdn.…`, whatever prefix they came with.
    pub headers: Vec<(String, String)>,
    /// The content's headers.
    pub mime: Vec<(String, String)>,
}

impl MsrpWrapper {
    /// The first header of this name; "" if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// An endpoint that is driven from here; see `interop/msrp_peer.py` for the commands and events. Whatever the other side
/// does against an RFC ends the test, at the latest when this value is dropped.
#[derive(Debug)]
pub struct MsrpPeer {
    driver: Driver,
    address: SocketAddr,
    msrp: u16,
    msrps: Option<u16>,
    count: u64,
}

impl MsrpPeer {
    /// Is `sip:romeo@example.net` at `address`, over UDP and TCP, and takes every session.
    #[track_caller]
    pub fn listen(place: &Place, name: &str, address: SocketAddr) -> MsrpPeer {
        MsrpPeer::listen_with(place, name, address, json!({}))
    }

    /// As [`listen`](MsrpPeer::listen), for `msrps` too, with a certificate of its own.
    #[track_caller]
    pub fn listen_tls(place: &Place, name: &str, address: SocketAddr) -> MsrpPeer {
        let folder = place.dir().to_str().expect("the test's folder is UTF-8");
        MsrpPeer::listen_with(place, name, address, json!({"tls_port": 0, "folder": folder}))
    }

    /// As [`listen`](MsrpPeer::listen), with more fields of the `listen` command.
    #[track_caller]
    pub fn listen_with(place: &Place, name: &str, address: SocketAddr, mut fields: Value) -> MsrpPeer {
        #[derive(Deserialize)]
        struct Listening {
            msrp: u16,
            msrps: Option<u16>,
        }
        let mut driver = Driver::start(place, name, SCRIPT);
        fields["do"] = json!("listen");
        fields["host"] = json!(address.ip().to_string());
        fields["port"] = json!(address.port());
        driver.order(&fields);
        let Listening { msrp, msrps } = driver.expect("listening", SOON, |_| true);
        MsrpPeer { driver, address, msrp, msrps, count: 0 }
    }

    /// Lets two of them talk to each other, and each of their rules be broken once: the tests of this name in its own words.
    pub fn self_test(place: &Place, tests: &[&str]) -> Process {
        let script = template::path("msrp_self_test.py");
        let script = script.to_str().expect("the project's path is UTF-8");
        let args: Vec<&str> = ["-u", script].into_iter().chain(tests.iter().copied()).collect();
        Process::start(place, "msrp-self-test", "/usr/bin/python3", &args)
    }

    /// Where it listens for SIP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for MSRP over TCP.
    pub fn msrp(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.msrp)
    }

    /// Where it listens for MSRP over TLS.
    pub fn msrps(&self) -> Option<SocketAddr> {
        self.msrps.map(|port| SocketAddr::new(self.address.ip(), port))
    }

    /// Gives the command `what` with these fields.
    #[track_caller]
    pub fn order(&mut self, what: &str, mut fields: Value) {
        fields["do"] = json!(what);
        self.driver.order(&fields);
    }

    /// As [`order`](MsrpPeer::order), for a command that holds from now on: nothing that comes after this call may be
    /// met as before it.
    #[track_caller]
    pub fn note(&mut self, what: &str, fields: Value) {
        self.order(what, fields);
        self.driver.expect::<Value>("noted", SOON, |_| true);
    }

    /// How INVITEs are answered from now on: the fields of the `policy` command.
    #[track_caller]
    pub fn policy(&mut self, fields: Value) {
        self.note("policy", fields);
    }

    /// From now on, what contains this text is no fault.
    #[track_caller]
    pub fn allow(&mut self, fault: &str) {
        self.note("allow", json!({"fault": fault}));
    }

    /// Registers at `registrar` and waits for its 200.
    #[track_caller]
    pub fn register(&mut self, registrar: SocketAddr) {
        self.order("register", json!({"host": registrar.ip().to_string(), "port": registrar.port()}));
        let answer = self.wait("response", SOON, |r| r["method"] == "REGISTER");
        assert_eq!(answer["code"], 200, "{answer:#}");
    }

    /// Gets a path at a relay (RFC 4976), called `name` from now on.
    #[track_caller]
    pub fn join(&mut self, name: &str, relay: &MsrpRelay) {
        let (user, password) = (MsrpRelay::USER, MsrpRelay::PASSWORD);
        self.order("relay", json!({"name": name, "uri": relay.uri(), "user": user, "password": password}));
        let answer = self.wait("relayed", SOON, |r| r["name"] == name);
        assert_eq!(answer["code"], 200, "{answer:#}");
    }

    /// Sends an INVITE for `uri` to `to`; `fields` are those of the `invite` command. Gives the call's name.
    #[track_caller]
    pub fn invite(&mut self, to: SocketAddr, uri: &str, mut fields: Value) -> String {
        self.count += 1;
        let name = format!("o{}", self.count);
        fields["s"] = json!(name);
        fields["uri"] = json!(uri);
        fields["host"] = json!(to.ip().to_string());
        fields["port"] = json!(to.port());
        self.order("invite", fields);
        name
    }

    /// As [`invite`](MsrpPeer::invite), and waits until the session is there.
    #[track_caller]
    pub fn call(&mut self, to: SocketAddr, uri: &str, fields: Value) -> String {
        let name = self.invite(to, uri, fields);
        self.event("established", SOON, &name);
        name
    }

    /// Sends a text in `call`; `fields` are more of the `send` command. Gives its Message-ID.
    #[track_caller]
    pub fn send(&mut self, call: &str, text: &str, mut fields: Value) -> String {
        self.count += 1;
        let id = format!("m{:x}-{}", std::process::id(), self.count);
        fields["s"] = json!(call);
        fields["message_id"] = json!(id);
        if fields.get("size").is_none() {
            fields["text"] = json!(text);
        }
        self.order("send", fields);
        id
    }

    /// Ends `call` and waits for the answer.
    #[track_caller]
    pub fn bye(&mut self, call: &str) {
        self.order("bye", json!({"s": call}));
        let answer = self.event("response", SOON, call);
        assert_eq!(answer["code"], 200, "{answer:#}");
    }

    /// The next event of this kind in `call`.
    #[track_caller]
    pub fn event(&mut self, kind: &str, patience: Duration, call: &str) -> Value {
        self.wait(kind, patience, |event| event["s"] == call)
    }

    /// The next event of this kind that fits.
    #[track_caller]
    pub fn wait(&mut self, kind: &str, patience: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        self.driver.expect(kind, patience, fits)
    }

    /// Fails the test if an event of this kind that fits comes within `patience`.
    #[track_caller]
    pub fn none(&mut self, kind: &str, patience: Duration, fits: impl Fn(&Value) -> bool) {
        self.driver.expect_none(kind, patience, fits);
    }

    /// Every event of this kind that has come and was not asked for yet.
    #[track_caller]
    pub fn take_all(&mut self, kind: &str) -> Vec<Value> {
        self.driver.take_all(kind)
    }

    /// Waits until `condition` holds for each of `calls` in its room; the fields are those of the `await` command. Gives what each knows then,
    /// in order.
    #[track_caller]
    pub fn until(&mut self, patience: Duration, calls: &[&str], condition: &Value) -> Vec<Value> {
        self.count += 1;
        let token = self.count;
        for call in calls {
            let mut fields = condition.clone();
            fields["s"] = json!(call);
            fields["token"] = json!(token);
            self.order("await", fields);
        }
        let mut out = Vec::new();
        for call in calls {
            let fits = |event: &Value| event["s"] == *call && event["token"] == token;
            match self.driver.wait("awaited", patience, &fits) {
                Some(event) => out.push(event),
                None => panic!("{call}: not {condition} within {patience:?}: {:#}", self.look(call)),
            }
        }
        out
    }

    /// What `call` knows of its room.
    #[track_caller]
    pub fn look(&mut self, call: &str) -> Value {
        self.order("look", json!({"s": call}));
        self.event("look", SOON, call)
    }

    /// As [`until`](MsrpPeer::until), for a room of this peer's own: the fields of `room_await`.
    #[track_caller]
    pub fn room_until(&mut self, patience: Duration, room: &str, condition: &Value) -> Value {
        self.count += 1;
        let token = self.count;
        let mut fields = condition.clone();
        fields["room"] = json!(room);
        fields["token"] = json!(token);
        self.order("room_await", fields);
        let fits = |event: &Value| event["room"] == room && event["token"] == token;
        if let Some(event) = self.driver.wait("awaited", patience, &fits) {
            return event;
        }
        self.order("room_look", json!({"room": room}));
        let seen = self.wait("room", SOON, |_| true);
        panic!("{room}: not {condition} within {patience:?}: {seen:#}")
    }

    /// The next message in `call` that is for people: no is-composing, no IMDN.
    #[track_caller]
    pub fn message(&mut self, patience: Duration, call: &str) -> MsrpMessage {
        self.driver.expect("message", patience, |m: &MsrpMessage| m.call == call)
    }
}

impl Drop for MsrpPeer {
    /// A fault that came while nobody listened fails the test now.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.order("faults", json!({}));
            self.driver.expect::<Value>("faults", SOON, |_| true);
        }
    }
}
