//! RFC 4976 §5.1: a path by a relay.

use super::*;
use crate::frame::Flag;

const RELAY: &str = "msrps://relay.example.com:2855;tcp";
const USE: &str = "msrps://relay.example.com:2855/r3lay;tcp";

fn relayed() -> Config {
    let name = Host::Name("relay.example.com".into());
    let tls = Tls { fingerprints: Vec::new(), name: "relay.example.com".into() };
    let hop = Hop { host: name, port: 2855, tls: Some(tls) };
    let (username, password) = ("gw".into(), "secret".into());
    Config { relay: Some(Relay { path: Path::parse(RELAY).unwrap(), hop, username, password }), ..config() }
}

/// A session that has connected to its relay; and the AUTH that it sent.
fn connected(agent: Agent) -> (Desk, Request) {
    let now = Time::from_secs(10);
    let mut desk = Desk { agent, now, id: SessionId(0), own: String::new() };
    desk.id = desk.agent.open(now, true).unwrap();
    let ticket = Ticket(desk.agent.core.last_ticket);
    assert_eq!(desk.drain(), [format!("open {} relay.example.com:2855", ticket.0)]);
    assert_eq!(desk.agent.local_path(desk.id), None);
    desk.agent.opened(now, ticket, Some(WIRE));
    let auth = desk.auth();
    desk.own = auth.from.to_string();
    (desk, auth)
}

impl Desk {
    /// The AUTH that comes out.
    fn auth(&mut self) -> Request {
        loop {
            if let Output::Write { bytes, .. } = self.agent.poll().expect("an AUTH") {
                let mut decoder = Decoder::new(Limits::default());
                decoder.push(&bytes);
                let Some(Ok(Arrival::Frame(Frame::Request(auth)))) = decoder.next() else { panic!("{bytes:?}") };
                assert_eq!((&auth.method, auth.to.as_str(), auth.flag), (&Method::Auth, RELAY, Flag::Last));
                return auth;
            }
        }
    }

    fn relay_says(&mut self, auth: &Request, code: u16, more: &str) {
        let (tid, own) = (&auth.transaction, self.own.clone());
        let text = format!("MSRP {tid} {code} x\r\nTo-Path: {own}\r\nFrom-Path: {RELAY}\r\n{more}-------{tid}$\r\n");
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(text.as_bytes());
        let arrival = decoder.next().unwrap().unwrap();
        self.agent.received(self.now, WIRE, arrival);
    }
}

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=\"n1\"\r\n";

/// The session of a relay that took the second AUTH.
fn ready(expires: &str) -> Desk {
    let (mut desk, auth) = connected(Agent::new(relayed(), Tokens::seeded(1)));
    assert_eq!(auth.header("Authorization"), None);
    desk.relay_says(&auth, 401, CHALLENGE);
    let auth = desk.auth();
    let shown = auth.header("Authorization").unwrap();
    assert!(shown.starts_with("Digest username=\"gw\", realm=\"r\", nonce=\"n1\""), "{shown}");
    let info = "Authentication-Info: nextnonce=\"n2\", qop=auth\r\n";
    desk.relay_says(&auth, 200, &format!("Use-Path: {USE}\r\n{expires}{info}"));
    assert_eq!(desk.drain(), ["ready 1"]);
    desk
}

#[test]
fn the_relay_stands_in_all_paths() {
    let mut desk = ready("");
    let own = desk.own.clone();
    assert_eq!(desk.agent.local_path(desk.id).unwrap().to_string(), format!("{USE} {own}"));
    let (sent, _) = desk.say(message("Hi"));
    desk.agent.begin(desk.now, desk.id, &peer(Way::Active(hop())));
    assert_eq!(desk.drain(), ["up 1", "7: SEND 1-2/2 \"Hi\"$"]);
    let session = desk.agent.sessions.get(&desk.id).unwrap();
    assert_eq!(session.peer.as_ref().unwrap().as_str(), format!("{USE} {PEER}"));
    assert_eq!(desk.answer_all(200), [format!("sent {sent}")]);
    // What comes has passed the relay.
    let direct = desk.send("tida", "m123", "", Some("Hi"), '$');
    assert_eq!(desk.receive(&direct), ["7: tida 481 No Such Session"]);
    let text = direct.replace("From-Path: ", &format!("From-Path: {USE} "));
    assert_eq!(desk.receive(&text), ["message 1 m123 \"Hi\""]);
    assert_eq!(desk.respond(1, 200), ["7: tida 200 OK"]);
    assert_eq!(desk.receive_on(ConnectionId(8), &text), ["8: tida 506 Session In Use"]);
    desk.agent.lost(desk.now, WIRE);
    assert_eq!(desk.drain(), ["closed Lost"]);
}

#[test]
fn the_next_session_begins_with_the_nonce_that_was_given() {
    let desk = ready("");
    let (mut desk, auth) = connected(desk.agent);
    let shown = auth.header("Authorization").unwrap().to_owned();
    assert!(shown.contains("nonce=\"n2\"") && shown.contains("nc=00000001"), "{shown}");
    // Too old by now.
    desk.relay_says(&auth, 401, "WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", nonce=\"n3\"\r\n");
    let auth = desk.auth();
    assert!(auth.header("Authorization").unwrap().contains("nonce=\"n3\""));
    desk.relay_says(&auth, 200, &format!("Use-Path: {USE}\r\n"));
    assert_eq!(desk.drain(), ["ready 2"]);
}

#[test]
fn no_path_no_session() {
    let wrong = "Authentication-Info: rspauth=\"00\", qop=auth\r\n";
    let (mut desk, auth) = connected(Agent::new(relayed(), Tokens::seeded(1)));
    desk.relay_says(&auth, 403, "");
    assert_eq!(desk.drain(), ["release 7", "closed Relay(403)"]);

    for (more, code, why) in [
        (CHALLENGE.to_owned(), 401, 401),
        (format!("Use-Path: {USE}\r\n{wrong}"), 200, 403),
        (String::new(), 200, 400),
        ("Use-Path: nonsense\r\n".to_owned(), 200, 400),
    ] {
        let (mut desk, auth) = connected(Agent::new(relayed(), Tokens::seeded(1)));
        desk.relay_says(&auth, 401, CHALLENGE);
        let auth = desk.auth();
        desk.relay_says(&auth, code, &more);
        assert_eq!(desk.drain(), ["release 7".to_owned(), format!("closed Relay({why})")], "{more}");
        assert_eq!(desk.agent.deadline(), None);
    }
    // A relay that finds every nonce too old is not asked for ever.
    let (mut desk, mut auth) = connected(Agent::new(relayed(), Tokens::seeded(1)));
    let stale = CHALLENGE.replace("nonce", "stale=true, nonce");
    for _ in 0..3 {
        desk.relay_says(&auth, 401, &stale);
        auth = desk.auth();
    }
    desk.relay_says(&auth, 401, &stale);
    assert_eq!(desk.drain(), ["release 7", "closed Relay(401)"]);

    let (mut desk, _) = connected(Agent::new(relayed(), Tokens::seeded(1)));
    assert_eq!(desk.wait(29), [""; 0]);
    assert_eq!(desk.wait(1), ["release 7", "closed Relay(408)"]);
}

#[test]
fn a_path_is_asked_for_again_before_it_ends() {
    let mut desk = ready("Expires: 100\r\n");
    desk.agent.begin(desk.now, desk.id, &peer(Way::Passive));
    assert_eq!(desk.drain(), ["up 1"]);
    assert_eq!(desk.wait(79), [""; 0]);
    desk.now = desk.now + Duration::from_secs(1);
    desk.agent.timeout(desk.now);
    let auth = desk.auth();
    desk.relay_says(&auth, 200, &format!("Use-Path: {USE}\r\nExpires: 100\r\n"));
    assert_eq!(desk.drain(), [""; 0]);
    assert_eq!(desk.wait(79), [""; 0]);
    // Refused now: what is left is left, and then it is over.
    desk.now = desk.now + Duration::from_secs(1);
    desk.agent.timeout(desk.now);
    let auth = desk.auth();
    desk.relay_says(&auth, 500, "");
    let mut out = Vec::new();
    for _ in 0..21 {
        out.extend(desk.wait(1));
    }
    assert_eq!(out, ["7: AUTH$", "release 7", "closed Relay(408)"]);
}
