//! A slixmpp client: what it is told to send and what it reads.

use super::xmpp_server::{DOMAIN, PASSWORD, XmppServer};
use super::{Driver, Place};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a local server may take for anything.
const SOON: Duration = Duration::from_secs(10);

/// A message stanza as it was read.
#[derive(Debug, Clone, Deserialize)]
pub struct XmppMessage {
    /// The sender's full JID, as the server wrote it.
    pub from: String,
    /// The stanza's `to`.
    pub to: Option<String>,
    /// The stanza's `id`.
    pub id: Option<String>,
    /// The stanza's `type`, None if it had none.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The stanza's own `xml:lang`.
    pub lang: Option<String>,
    /// The first body.
    pub body: Option<String>,
    /// All bodies by their own `xml:lang`; "" is the one without.
    pub bodies: BTreeMap<String, String>,
    /// The first subject.
    pub subject: Option<String>,
    /// All subjects by their own `xml:lang`.
    pub subjects: BTreeMap<String, String>,
    /// The thread.
    pub thread: Option<String>,
    /// The thread's parent.
    pub parent: Option<String>,
    /// The chat state (XEP-0085).
    pub state: Option<String>,
    /// Whether a receipt is asked for (XEP-0184).
    pub receipt: bool,
    /// The id that this message confirms.
    pub received: Option<String>,
    /// The XHTML-IM part, serialised.
    pub xhtml: Option<String>,
    /// The names of all children, `{namespace}name`.
    pub children: Vec<String>,
    /// What the error says, if it is one.
    pub error: Option<XmppError>,
    /// The whole stanza, serialised again.
    pub raw: String,
}

impl XmppMessage {
    /// The stanza error's condition; "" if there is no error.
    pub fn condition(&self) -> &str {
        self.error.as_ref().and_then(|e| e.condition.as_deref()).unwrap_or_default()
    }
}

/// A presence stanza as it was read.
#[derive(Debug, Clone, Deserialize)]
pub struct XmppPresence {
    /// The sender's JID, as the server wrote it.
    pub from: String,
    /// The stanza's `to`.
    pub to: Option<String>,
    /// The stanza's `type`, None if it had none.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The stanza's own `xml:lang`.
    pub lang: Option<String>,
    /// `<show/>`.
    pub show: Option<String>,
    /// `<priority/>`.
    pub priority: Option<String>,
    /// All statuses by their own `xml:lang`; "" is the one without.
    pub statuses: BTreeMap<String, String>,
    /// The names of all children, `{namespace}name`.
    pub children: Vec<String>,
    /// What the error says, if it is one.
    pub error: Option<XmppError>,
    /// The whole stanza, serialised again.
    pub raw: String,
}

impl XmppPresence {
    /// Whether it has this `type` ("" for none) and comes from `from`.
    pub fn is(&self, kind: &str, from: &str) -> bool {
        self.kind.as_deref().unwrap_or_default() == kind && self.from == from
    }
}

/// A stanza error as it was read.
#[derive(Debug, Clone, Deserialize)]
pub struct XmppError {
    /// The error's type (auth, cancel, continue, modify, wait).
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The defined condition.
    pub condition: Option<String>,
    /// All defined conditions: exactly one is legal.
    pub conditions: Vec<String>,
    /// The descriptive text.
    pub text: Option<String>,
    /// The character data of `gone` or `redirect`.
    pub address: Option<String>,
    /// Who raised it.
    pub by: Option<String>,
}

/// The answer to an iq.
#[derive(Debug, Clone, Deserialize)]
pub struct IqAnswer {
    /// Who answers.
    pub from: Option<String>,
    /// The iq's id.
    pub id: Option<String>,
    /// `result` or `error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the error says, if it is one.
    pub error: Option<XmppError>,
    /// The whole stanza, serialised again.
    pub raw: String,
}

/// A client that is driven from here; see `interop/xmpp_client.py` for the commands.
#[derive(Debug)]
pub struct XmppClient {
    driver: Driver,
    jid: String,
    /// The last id given out.
    count: usize,
}

impl XmppClient {
    /// Connects `user` with `resource` and waits until the server takes messages for it.
    #[track_caller]
    pub fn online(place: &Place, server: &dyn XmppServer, user: &str, resource: &str) -> XmppClient {
        let driver = Driver::start(place, &format!("{user}-{resource}"), "xmpp_client.py");
        let jid = format!("{user}@{DOMAIN}/{resource}");
        let mut client = XmppClient { driver, jid, count: 0 };
        client.connect(server);
        client
    }

    /// Connects again, after the server was gone.
    #[track_caller]
    pub fn connect(&mut self, server: &dyn XmppServer) {
        let at = server.client();
        let (host, port) = (at.ip().to_string(), at.port());
        self.driver.order(&json!({"do": "connect", "jid": self.jid, "password": PASSWORD, "host": host, "port": port}));
        self.driver.expect::<Value>("online", SOON, |_| true);
    }

    /// Waits until the client has noticed that its stream is gone.
    #[track_caller]
    pub fn wait_offline(&mut self) {
        self.driver.expect::<Value>("offline", SOON, |_| true);
    }

    /// The full JID.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// Sends a message; `fields` are those of the `message` command. Gives the stanza's id, a fresh one if `fields` has
    /// none.
    #[track_caller]
    pub fn send(&mut self, mut fields: Value) -> String {
        self.count += 1;
        if fields.get("id").is_none() {
            fields["id"] = json!(format!("m{}", self.count));
        }
        fields["do"] = json!("message");
        self.driver.order(&fields);
        fields["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, xml: &str) {
        self.driver.order(&json!({"do": "raw", "xml": xml}));
    }

    /// The next message that fits.
    #[track_caller]
    pub fn message(&mut self, patience: Duration, fits: impl Fn(&XmppMessage) -> bool) -> XmppMessage {
        self.driver.expect("message", patience, fits)
    }

    /// The error that answers the message `id`.
    #[track_caller]
    pub fn error(&mut self, patience: Duration, id: &str) -> XmppMessage {
        self.message(patience, |m| m.error.is_some() && m.id.as_deref() == Some(id))
    }

    /// Fails the test if a message that fits comes within `patience`.
    #[track_caller]
    pub fn no_message(&mut self, patience: Duration, fits: impl Fn(&XmppMessage) -> bool) {
        self.driver.expect_none("message", patience, fits);
    }

    /// Every message that has come and was not asked for yet.
    #[track_caller]
    pub fn messages(&mut self) -> Vec<XmppMessage> {
        self.driver.take_all("message")
    }

    /// The next presence of this `type` ("" for none) from `from`.
    #[track_caller]
    pub fn presence(&mut self, patience: Duration, kind: &str, from: &str) -> XmppPresence {
        self.driver.expect("presence", patience, |p: &XmppPresence| p.is(kind, from))
    }

    /// As [`presence`](XmppClient::presence), from any resource of `user`.
    #[track_caller]
    pub fn presence_of(&mut self, patience: Duration, kind: &str, user: &str) -> XmppPresence {
        let bare = |p: &XmppPresence| p.from.split('/').next().unwrap_or_default().to_owned();
        self.driver.expect("presence", patience, |p: &XmppPresence| bare(p) == user && p.is(kind, &p.from))
    }

    /// Fails the test if presence that fits comes within `patience`.
    #[track_caller]
    pub fn no_presence(&mut self, patience: Duration, fits: impl Fn(&XmppPresence) -> bool) {
        self.driver.expect_none("presence", patience, fits);
    }

    /// All presence that has come and was not asked for yet.
    #[track_caller]
    pub fn presences(&mut self) -> Vec<XmppPresence> {
        self.driver.take_all("presence")
    }

    /// Ends the stream as a client that is closed does, and waits until it is.
    #[track_caller]
    pub fn disconnect(&mut self) {
        self.driver.order(&json!({"do": "disconnect"}));
        self.wait_offline();
    }

    /// Sends an iq and waits for its answer.
    #[track_caller]
    pub fn iq(&mut self, kind: &str, to: &str, payload: &str) -> IqAnswer {
        self.count += 1;
        let id = format!("q{}", self.count);
        self.driver.order(&json!({"do": "iq", "type": kind, "to": to, "id": id, "payload": payload}));
        self.driver.expect("iq", SOON, |a: &IqAnswer| a.id.as_deref() == Some(&id))
    }
}
