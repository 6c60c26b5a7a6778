//! A Jingle device: XMPP, ICE, DTLS-SRTP and codecs of other people's, driven from here.

use super::xmpp_server::{PASSWORD, XmppServer};
use super::{Driver, Place, Recording};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a local server may take for anything.
const SOON: Duration = Duration::from_secs(10);

/// A device that is driven from here; see `interop/jingle_device.py` for the commands, policies and events. Whatever the other side does
/// against an XEP ends the test.
#[derive(Debug)]
pub struct JingleDevice {
    driver: Driver,
    jid: String,
    ip: String,
    folder: String,
}

impl JingleDevice {
    /// Connects `user` with `resource`, with these fields of its `policy`, and waits until the server takes stanzas for it.
    #[track_caller]
    pub fn online(place: &Place, server: &dyn XmppServer, user: &str, resource: &str, policy: Value) -> JingleDevice {
        let driver = Driver::start(place, &format!("{user}-{resource}"), "jingle_device.py");
        let jid = format!("{user}@{}/{resource}", server.domain());
        let folder = place.dir().to_str().expect("the test's folder is UTF-8").to_owned();
        let mut device = JingleDevice { driver, jid, ip: place.ip().to_string(), folder };
        device.policy(policy);
        device.connect(server);
        device
    }

    /// Connects again, after the server was gone: its calls go on.
    #[track_caller]
    pub fn connect(&mut self, server: &dyn XmppServer) {
        let at = server.client();
        let fields = json!({
            "jid": self.jid, "password": PASSWORD, "host": at.ip().to_string(), "port": at.port(),
            "address": self.ip, "folder": self.folder,
        });
        self.order("connect", fields);
        self.wait("online", SOON, |_| true);
    }

    /// The full JID.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// Gives the command `what` with these fields.
    #[track_caller]
    pub fn order(&mut self, what: &str, mut fields: Value) {
        fields["do"] = json!(what);
        self.driver.order(&fields);
    }

    /// How it behaves from now on: fields of the `policy` command.
    #[track_caller]
    pub fn policy(&mut self, fields: Value) {
        self.order("policy", fields);
        self.wait("noted", SOON, |_| true);
    }

    /// From now on, what contains this text is no fault.
    #[track_caller]
    pub fn allow(&mut self, fault: &str) {
        self.order("allow", json!({"fault": fault}));
        self.wait("noted", SOON, |_| true);
    }

    /// Calls `to` with these media. Gives the call's name.
    #[track_caller]
    pub fn call(&mut self, to: &str, media: &[&str]) -> String {
        self.order("call", json!({"to": to, "media": media}));
        name(&self.wait("calling", SOON, |_| true))
    }

    /// Waits for a call with JMI. Gives its name.
    #[track_caller]
    pub fn proposed(&mut self, patience: Duration) -> String {
        name(&self.wait("proposed", patience, |_| true))
    }

    /// Waits for a session. Gives its name.
    #[track_caller]
    pub fn incoming(&mut self, patience: Duration) -> String {
        name(&self.wait("incoming", patience, |_| true))
    }

    /// Gives the command `what` for `call`.
    #[track_caller]
    pub fn tell(&mut self, call: &str, what: &str, mut fields: Value) {
        fields["call"] = json!(call);
        self.order(what, fields);
    }

    /// The next event of this kind in `call`.
    #[track_caller]
    pub fn event(&mut self, kind: &str, patience: Duration, call: &str) -> Value {
        self.wait(kind, patience, |event| event["call"] == call)
    }

    /// The next event of this kind that fits.
    #[track_caller]
    pub fn wait(&mut self, kind: &str, patience: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        self.driver.expect(kind, patience, fits)
    }

    /// Fails the test if an event of this kind comes within `patience`.
    #[track_caller]
    pub fn none(&mut self, kind: &str, patience: Duration) {
        self.driver.expect_none(kind, patience, |_: &Value| true);
    }

    /// Every event of this kind that has come and was not asked for yet.
    #[track_caller]
    pub fn take_all(&mut self, kind: &str) -> Vec<Value> {
        self.driver.take_all(kind)
    }

    /// Waits until the media of `call` are there: ICE and DTLS are through. Gives what it records.
    #[track_caller]
    pub fn connected(&mut self, patience: Duration, call: &str) -> Recording {
        self.event("connected", patience, call);
        let recording = self.event("recording", SOON, call);
        Recording::at(recording["path"].as_str().expect("the path is a text"))
    }

    /// Waits until `call` is over. Gives the event: `by` and `condition`.
    #[track_caller]
    pub fn ended(&mut self, patience: Duration, call: &str) -> Value {
        self.event("ended", patience, call)
    }

    /// All of its calls that are not over.
    #[track_caller]
    pub fn calls(&mut self) -> Vec<Value> {
        let calls = self.look()["calls"].as_array().cloned().unwrap_or_default();
        calls.into_iter().filter(|call| call["ended"].is_null()).collect()
    }

    /// What it knows of its calls.
    #[track_caller]
    pub fn look(&mut self) -> Value {
        self.order("look", json!({}));
        self.wait("look", SOON, |_| true)
    }

    /// SIGKILL: nothing is said to anybody.
    pub fn kill(&mut self) {
        self.driver.kill();
    }

    /// Waits until it has noticed that its stream is gone.
    #[track_caller]
    pub fn wait_offline(&mut self) {
        self.wait("offline", SOON, |_| true);
    }
}

/// The call that an event is of.
fn name(event: &Value) -> String {
    event["call"].as_str().expect("every call has a name").to_owned()
}
