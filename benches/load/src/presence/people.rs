//! Who watches whom: pairs by number, so that nothing has to be remembered of them.

use crate::options::Options;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// How long a dialog goes on, in seconds: longer than any run.
const EXPIRES: u64 = 4 * 3600;

/// The pairs. Each has its own two users: the most that so many authorizations can cost. In those with an even number the SIP user
/// watches, in the others the XMPP user.
#[derive(Debug)]
pub(super) struct People {
    /// How many pairs there are.
    pub(super) authorizations: usize,
    /// How many of them, from the first on, have a notification dialog.
    pub(super) live: usize,
    sip_domain: String,
    xmpp_domain: String,
    gateway: SocketAddr,
    listen: SocketAddr,
}

// Names of a usual length: longer than what a string may hold in place of its address.
const SIP: &str = "romeo.montague.";
const XMPP: &str = "juliet.capulet.";

impl People {
    pub(super) fn new(options: &Options, live: usize) -> People {
        People {
            authorizations: options.users,
            live: live.min(options.users),
            sip_domain: options.sip_domain.clone(),
            xmpp_domain: options.xmpp_domain.clone(),
            gateway: options.gateway,
            listen: options.listen,
        }
    }

    /// The SIP user of a pair.
    pub(super) fn sip(&self, pair: usize) -> String {
        format!("{SIP}{pair:07}@{}", self.sip_domain)
    }

    /// The XMPP user of a pair.
    pub(super) fn xmpp(&self, pair: usize) -> String {
        format!("{XMPP}{pair:07}@{}", self.xmpp_domain)
    }

    /// How many dialogs there are in which the SIP user watches.
    pub(super) fn watched(&self) -> usize {
        self.live.div_ceil(2)
    }

    /// The pair of such a dialog.
    pub(super) fn pair(dialog: usize) -> usize {
        dialog * 2
    }

    /// The record of a pair as a line for `verona store import`; `now` is the date in seconds since 1970.
    pub(super) fn line(&self, pair: usize, now: u64) -> Value {
        let sip_watches = pair.is_multiple_of(2);
        let dialog = (pair < self.live).then(|| self.dialog(pair, sip_watches, now));
        let record = if sip_watches {
            json!({ "granted": true, "asked": true, "dialogs": dialog.into_iter().collect::<Vec<_>>() })
        } else {
            let online = dialog.iter().map(|_| "orchard").collect::<Vec<_>>();
            json!({ "granted": true, "dialog": dialog, "online": online })
        };
        let watcher = if sip_watches { "sip" } else { "xmpp" };
        json!({
            "kind": "presence", "watcher": watcher, "sip": self.sip(pair), "xmpp": self.xmpp(pair), "record": record
        })
    }

    /// The gateway's side of a dialog, as it would be after a few minutes behind a proxy.
    fn dialog(&self, pair: usize, sip_watches: bool, now: u64) -> Value {
        let (sip, xmpp) = (self.sip(pair), self.xmpp(pair));
        let user = |address: &str| address.split('@').next().unwrap_or_default().to_owned();
        let (role, accept) = if sip_watches { ("notifier", "") } else { ("subscriber", "application/pidf+xml") };
        let source = sip_watches.then(|| self.listen.ip());
        json!({
            "usage": {
                "role": role,
                "dialog": {
                    "call_id": format!("{:032x}", (pair as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                    "local_uri": format!("<sip:{xmpp}>"),
                    "local_tag": format!("gateway{pair:09x}"),
                    "remote_uri": format!("<sip:{sip}>"),
                    "remote_tag": format!("phone{pair:011x}"),
                    "remote_target": format!("sip:{}@{}", user(&sip), self.listen),
                    // A name: the gateway leaves the way there to its proxy, which we are.
                    "route_set": [format!("<sip:edge.{};lr>", self.sip_domain)],
                    "local_cseq": 10_003,
                    "remote_cseq": 3,
                },
                "package": "presence",
                "event_id": null,
                "state": "active",
                "contact": format!("sip:{}@{}", user(&xmpp), self.gateway),
                "accept": accept,
                "expires": EXPIRES,
                "expires_in": EXPIRES,
                "source": source,
            },
            "expires": now + EXPIRES,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_have_a_dialog_and_directions_alternate() {
        let options = Options::parse(["--users".to_owned(), "5".to_owned()].into_iter()).unwrap();
        let people = People::new(&options, 3);
        assert_eq!((people.authorizations, people.live, people.watched()), (5, 3, 2));
        let line = |pair| people.line(pair, 1000);
        assert_eq!((&line(0)["watcher"], &line(1)["watcher"]), (&json!("sip"), &json!("xmpp")));
        assert_eq!(line(2)["record"]["dialogs"][0]["expires"], 1000 + EXPIRES);
        assert_eq!(line(1)["record"]["dialog"]["usage"]["role"], "subscriber");
        assert_eq!(line(4)["record"]["dialogs"], json!([]));
        assert_eq!(line(3)["record"]["dialog"], Value::Null);
        assert_eq!(line(3)["sip"], "romeo.montague.0000003@example.net");
    }
}
