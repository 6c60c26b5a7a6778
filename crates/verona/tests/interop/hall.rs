//! Where rooms are tested: an XMPP server with clients in it, the gateway, and MSRP endpoints; and how it is checked that all of them see the
//! same.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{Ejabberd, Gateway, MsrpPeer, Place, Prosody, Settings, Value, XmppCrowd, XmppServer, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Where many do something at once on a machine that others use as well; and a notifier may wait five seconds (RFC 4575 §3.9).
pub(crate) const LATE: Duration = Duration::from_secs(40);
/// A room of the XMPP server's, and as SIP has it.
pub(crate) const MUC: &str = "capulet@rooms.example.com";
pub(crate) const MUC_URI: &str = "sip:capulet@rooms.example.com";
/// A room of the MSRP endpoint's.
pub(crate) const CHAT: &str = "montague@chat.example.net";
pub(crate) const CHAT_URI: &str = "sip:montague@chat.example.net";
/// What participants say of themselves.
const ABLE: &str = "nickname private-messages";

/// Which XMPP server it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Prosody,
    Ejabberd,
}

/// An XMPP server with rooms and clients, the gateway, and two MSRP endpoints: `phones` are the people of example.net, `focus` keeps the
/// rooms of chat.example.net and is the proxy of both domains in one. Whoever goes first is the first to end.
pub(crate) struct Hall {
    pub(crate) phones: MsrpPeer,
    pub(crate) crowd: XmppCrowd,
    pub(crate) gateway: Gateway,
    pub(crate) server: Box<dyn XmppServer>,
    pub(crate) place: Place,
}

impl Hall {
    /// With these clients online, and more lines in `[rooms]`.
    pub(crate) fn new(name: &str, kind: Kind, users: &[&str], rooms: &str) -> Hall {
        Hall::with(name, kind, users, rooms, |_| {})
    }

    /// As [`new`](Hall::new), with other settings.
    pub(crate) fn with(
        name: &str,
        kind: Kind,
        users: &[&str],
        rooms: &str,
        change: impl FnOnce(&mut Settings),
    ) -> Hall {
        let place = Place::new(name);
        let components = ["example.net", "chat.example.net"];
        let server: Box<dyn XmppServer> = match kind {
            Kind::Prosody => Box::new(Prosody::start_with_rooms(&place, &components)),
            Kind::Ejabberd => Box::new(Ejabberd::start(&place, &components)),
        };
        let mut phones = MsrpPeer::listen_tls(&place, "phones", place.free());
        // Whoever comes over UDP gets everything over UDP.
        phones.allow("over UDP (RFC 3261 §18.1.1)");
        let mut settings = Settings::new(server.as_ref(), phones.address());
        settings.components = components.map(str::to_owned).to_vec();
        settings.domains.push(Prosody::ROOMS.to_owned());
        settings.more = format!(
            "[msrp]\nlisten = [\"tcp:{}\", \"tls:{}\"]\n\n[rooms]\nmuc_domains = [\"{}\"]\nsip_domains = [\"chat.example.net\"]\n{rooms}\n",
            place.free(),
            place.free(),
            Prosody::ROOMS
        );
        change(&mut settings);
        let gateway = Gateway::start(&place, BINARY, &settings);
        let crowd = XmppCrowd::online(&place, server.as_ref(), "crowd", users);
        Hall { phones, crowd, gateway, server, place }
    }

    /// Has `user` make the room with a subject, and leave nothing locked.
    pub(crate) fn open(&mut self, user: &str, nick: &str) {
        self.crowd.order(user, "join", json!({"room": MUC, "nick": nick}));
        self.crowd.wait("joined", SOON, user, |e| e["room"] == MUC);
        self.crowd.order(user, "configure", json!({"room": MUC}));
        self.crowd.wait("done", SOON, user, |e| e["what"] == "configure" && e["condition"].is_null());
        self.crowd.order(user, "subject", json!({"room": MUC, "subject": "Today in Verona"}));
        self.crowd.wait("subject", SOON, user, |e| e["subject"] == "Today in Verona");
    }

    /// Has clients join.
    pub(crate) fn join(&mut self, room: &str, users: &[&str], nicks: &[&str]) {
        for (user, nick) in users.iter().zip(nicks) {
            self.crowd.order(user, "join", json!({"room": room, "nick": nick}));
        }
        for (user, nick) in users.iter().zip(nicks) {
            self.crowd.wait("joined", LATE, user, |e| e["nick"] == *nick);
        }
    }

    /// Has a SIP user ask to be let in to the MUC, through the gateway. Gives the call's name.
    pub(crate) fn dial(&mut self, user: &str, nick: &str, fields: Value) -> String {
        let at = self.gateway.sip();
        dial(&mut self.phones, at, MUC_URI, user, nick, fields)
    }

    /// As [`dial`](Hall::dial), and waits until he is in and has subscribed.
    pub(crate) fn enter(&mut self, user: &str, nick: &str) -> String {
        let call = self.dial(user, nick, json!({}));
        seated(&mut self.phones, &call);
        call
    }

    /// No call is left in the gateway and nobody of example.net in the room: `users` alone are.
    pub(crate) fn no_ghosts(&mut self, users: &[&str], nicks: &[&str]) {
        self.crowd.until(LATE, users, MUC, &json!({"roster": nicks}));
    }
}

/// Has a SIP user of `phones` ask for a room at `to`. Gives the call's name.
pub(crate) fn dial(
    phones: &mut MsrpPeer,
    to: SocketAddr,
    uri: &str,
    user: &str,
    nick: &str,
    mut fields: Value,
) -> String {
    fields["from"] = json!(format!("\"{nick}\" <sip:{user}@example.net>"));
    fields["chatroom"] = json!(ABLE);
    if fields.get("transport").is_none() {
        fields["transport"] = json!("tcp");
    }
    phones.invite(to, uri, fields)
}

/// Waits until the room has let `call` in, and subscribes to it.
pub(crate) fn seated(phones: &mut MsrpPeer, call: &str) {
    phones.event("established", LATE, call);
    phones.order("subscribe", json!({"s": call}));
    let answer = phones.wait("response", SOON, |r| r["s"] == call && r["method"] == "SUBSCRIBE");
    assert_eq!(answer["code"], 200, "{answer:#}");
}

/// What was said to all, by its sender and in its order: `heard` of a `look`.
pub(crate) fn by_sender(look: &Value) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for heard in look["heard"].as_array().into_iter().flatten().filter(|h| h[2] == false && h[3] != true) {
        let text = |at: usize| heard[at].as_str().unwrap_or_default().to_owned();
        out.entry(text(0)).or_default().push(text(1));
    }
    out
}

/// What everybody is to hear of each sender: `nicks` say `count` texts each.
pub(crate) fn speeches(nicks: &[&str], count: usize) -> BTreeMap<String, Vec<String>> {
    nicks.iter().map(|nick| ((*nick).to_owned(), (0..count).map(|n| speech(nick, n)).collect())).collect()
}

/// A text that nobody else says.
pub(crate) fn speech(nick: &str, number: usize) -> String {
    format!("{nick} says {number}: <b>&amp; \u{1f339}")
}

/// Both kinds of people speak at once, `count` texts each; everybody hears of each sender the same in the same order, no doubles, none missing.
/// `calls` and `seats` are the MSRP users' calls and nicks, `users` and `nicks` the clients'.
pub(crate) fn all_speak(
    crowd: &mut XmppCrowd,
    phones: &mut MsrpPeer,
    room: &str,
    (users, nicks): (&[&str], &[&str]),
    (calls, seats): (&[&str], &[&str]),
    count: usize,
) {
    for number in 0..count {
        for (user, nick) in users.iter().zip(nicks) {
            crowd.order(user, "say", json!({"room": room, "body": speech(nick, number)}));
        }
        for (call, seat) in calls.iter().zip(seats) {
            phones.order("say", json!({"s": call, "text": speech(seat, number)}));
        }
    }
    let everybody: Vec<&str> = nicks.iter().chain(seats).copied().collect();
    let all = everybody.len() * count;
    let seen = crowd.until(LATE, users, room, &json!({"heard": all}));
    for (look, nick) in seen.iter().zip(nicks) {
        assert_eq!(by_sender(look), speeches(&everybody, count), "{nick}");
        assert_eq!(look["unreflected"], json!([]), "{nick}");
    }
    let known = phones.until(LATE, calls, &json!({"heard": all - count}));
    for (look, seat) in known.iter().zip(seats) {
        let others: Vec<&str> = everybody.iter().copied().filter(|nick| nick != seat).collect();
        assert_eq!(by_sender(look), speeches(&others, count), "{seat}");
    }
}
