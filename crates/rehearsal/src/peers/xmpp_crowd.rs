//! Many slixmpp clients in one process, who sit in rooms.

use super::xmpp_server::{DOMAIN, PASSWORD, XmppServer};
use super::{Driver, Place};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a local server may take for anything.
const SOON: Duration = Duration::from_secs(20);

/// Clients that are driven from here by their users' names; see `interop/xmpp_client.py` for the commands and events. What a room
/// does against XEP-0045 ends the test, at the latest when this value is dropped.
#[derive(Debug)]
pub struct XmppCrowd {
    driver: Driver,
    users: Vec<String>,
    count: usize,
}

impl XmppCrowd {
    /// The resource of each that has no other.
    pub const RESOURCE: &'static str = "pda";

    /// Connects these users (`user0`, or `user0/desk` where the resource is to be that one) and waits until the server takes messages for them.
    #[track_caller]
    pub fn online(place: &Place, server: &dyn XmppServer, name: &str, users: &[&str]) -> XmppCrowd {
        let driver = Driver::start(place, name, "xmpp_client.py");
        let users = users.iter().map(|&user| user.to_owned()).collect();
        let mut crowd = XmppCrowd { driver, users, count: 0 };
        crowd.connect(server);
        crowd
    }

    /// Connects all of them, again after the server was gone.
    #[track_caller]
    pub fn connect(&mut self, server: &dyn XmppServer) {
        let at = server.client();
        for user in self.users.clone() {
            let (name, resource) = user.split_once('/').unwrap_or((&user, XmppCrowd::RESOURCE));
            let fields = json!({
                "jid": format!("{name}@{DOMAIN}/{resource}"), "password": PASSWORD,
                "host": at.ip().to_string(), "port": at.port(),
            });
            self.order(&user, "connect", fields);
        }
        for user in self.users.clone() {
            self.wait("online", SOON, &user, |_| true);
        }
    }

    /// The bare address of a user.
    pub fn bare(user: &str) -> String {
        format!("{user}@{DOMAIN}")
    }

    /// Gives the command `what` to `who`.
    #[track_caller]
    pub fn order(&mut self, who: &str, what: &str, mut fields: Value) {
        fields["do"] = json!(what);
        fields["as"] = json!(who);
        self.driver.order(&fields);
    }

    /// The next event of this kind that comes to `who` and fits.
    #[track_caller]
    pub fn wait(&mut self, kind: &str, patience: Duration, who: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.driver.expect(kind, patience, |event: &Value| event["as"] == who && fits(event))
    }

    /// Every event of this kind that has come and was not asked for yet, whoever it came to.
    #[track_caller]
    pub fn take_all(&mut self, kind: &str) -> Vec<Value> {
        self.driver.take_all(kind)
    }

    /// What `who` sees of `room`.
    #[track_caller]
    pub fn look(&mut self, who: &str, room: &str) -> Value {
        self.order(who, "look", json!({"room": room}));
        self.wait("look", SOON, who, |_| true)
    }

    /// Waits until `condition` holds for each of `whom` in `room`; the fields are those of the `await` command. Gives what each sees then, in
    /// order.
    #[track_caller]
    pub fn until(&mut self, patience: Duration, whom: &[&str], room: &str, condition: &Value) -> Vec<Value> {
        self.count += 1;
        let token = self.count;
        for who in whom {
            let mut fields = condition.clone();
            fields["room"] = json!(room);
            fields["token"] = json!(token);
            self.order(who, "await", fields);
        }
        let mut out = Vec::new();
        for who in whom {
            let fits = |event: &Value| event["as"] == *who && event["token"] == token;
            match self.driver.wait("awaited", patience, &fits) {
                Some(event) => out.push(event),
                None => panic!("{who} in {room}: not {condition} within {patience:?}: {:#}", self.look(who, room)),
            }
        }
        out
    }
}

impl Drop for XmppCrowd {
    /// A fault that came while nobody listened fails the test now.
    fn drop(&mut self) {
        if let Some(first) = self.users.first().cloned().filter(|_| !std::thread::panicking()) {
            self.look(&first, "");
        }
    }
}
