//! The gateway as the XMPP server of example.net: Prosody and ejabberd find it by DNS, and it finds them, over TLS with certificates or by
//! calling back (XEP-0220) alone.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{
    Certificate, Credentials, Dnsmasq, Ejabberd, Gateway, Place, Prosody, Servers, Settings, SipPhone, TestCa,
    XmppClient, XmppServer, Zone, json,
};
use std::net::{IpAddr, SocketAddr};

/// How servers convince each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// TLS, and SASL EXTERNAL with certificates.
    Certificates,
    /// No TLS; keys are called back for.
    Dialback,
}

/// Which other server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prosody,
    Ejabberd,
}

/// What both servers of a test stand on.
pub(crate) struct Ground {
    pub(crate) ca: TestCa,
    pub(crate) dns: Dnsmasq,
    /// Where the other server listens for servers, and the gateway.
    pub(crate) theirs: SocketAddr,
    pub(crate) ours: SocketAddr,
    pub(crate) gateway: Credentials,
    pub(crate) server: Credentials,
}

/// Where everything is: SRV records for each domain, the addresses of the hosts, and nothing else.
pub(crate) fn zone(theirs: SocketAddr, ours: SocketAddr) -> Zone {
    Zone::new()
        .srv("_xmpp-server._tcp.example.com", "xmpp.example.com", theirs.port(), 10, 0)
        .srv("_xmpp-server._tcp.rooms.example.com", "xmpp.example.com", theirs.port(), 10, 0)
        .host("xmpp.example.com", theirs.ip())
        .srv("_xmpp-server._tcp.example.net", "gateway.example.net", ours.port(), 10, 0)
        .host("gateway.example.net", ours.ip())
        // ejabberd asks the C library for hosts, and that asks nobody for what reads as an address.
        .srv("_xmpp-server._tcp.example.net", &ours.ip().to_string(), ours.port(), 20, 0)
}

impl Ground {
    pub(crate) fn new(place: &Place, theirs: SocketAddr, ours: SocketAddr) -> Ground {
        let ca = TestCa::new(place);
        let gateway = ca.issue(place, "gateway", &["example.net"]);
        let server = ca.sign(place, "server", &Certificate::of(&["example.com", "rooms.example.com"]));
        let dns = Dnsmasq::start(place, &zone(theirs, ours));
        Ground { ca, dns, theirs, ours, gateway, server }
    }

    /// What the gateway is told.
    pub(crate) fn toml(&self, proof: Proof) -> String {
        let (policy, tls) = match proof {
            Proof::Certificates => {
                ("require_certificate = true\n", format!("certificates = [{}]\n", self.gateway.toml()))
            }
            Proof::Dialback => ("require_tls = false\n", String::new()),
        };
        format!(
            "[xmpp.federation]\ndomains = [\"example.net\"]\nlisten = [\"tcp:{}\"]\nretry_min = \"100ms\"\nretry_max = \"1s\"\n\
             {policy}\n[tls]\n{tls}trust = [{:?}]\n\n[dns]\nserver = \"{}\"\n\n",
            self.ours,
            self.ca.root().display().to_string(),
            self.dns.address()
        )
    }

    pub(crate) fn server(&self, place: &Place, kind: Kind, proof: Proof) -> Box<dyn XmppServer> {
        let servers = Servers {
            listen: self.theirs,
            dns: self.dns.address(),
            ca: self.ca.root(),
            credentials: (proof == Proof::Certificates).then_some(&self.server),
        };
        match kind {
            Kind::Prosody => Box::new(Prosody::federated(place, &servers)),
            Kind::Ejabberd => Box::new(Ejabberd::federated(place, &servers)),
        }
    }
}

/// The gateway, federated with another server, and a phone behind it. The place goes last: it shows the logs of those that went before.
pub(crate) struct Federated {
    pub(crate) gateway: Gateway,
    pub(crate) server: Box<dyn XmppServer>,
    pub(crate) phone: SipPhone,
    pub(crate) ground: Ground,
    pub(crate) place: Place,
}

impl Federated {
    pub(crate) fn new(name: &str, kind: Kind, proof: Proof) -> Federated {
        let place = Place::new(name);
        let (theirs, ours) = (place.free(), place.free());
        Federated::at(place, theirs, ours, kind, proof, "127.0.0.0/8")
    }

    pub(crate) fn at(
        place: Place,
        theirs: SocketAddr,
        ours: SocketAddr,
        kind: Kind,
        proof: Proof,
        open: &str,
    ) -> Federated {
        let ground = Ground::new(&place, theirs, ours);
        let server = ground.server(&place, kind, proof);
        let phone = SipPhone::listen(&place, "romeo", place.free());
        let mut settings = Settings::new(server.as_ref(), phone.address());
        settings.domains = vec!["example.com".to_owned(), "rooms.example.com".to_owned()];
        settings.federation = Some(ground.toml(proof));
        settings.open = vec![open.to_owned()];
        let gateway = Gateway::start(&place, BINARY, &settings);
        Federated { gateway, server, phone, ground, place }
    }

    pub(crate) fn client(&self, user: &str) -> XmppClient {
        XmppClient::online(&self.place, self.server.as_ref(), user, "balcony")
    }

    /// A text each way, with errors where nobody is.
    pub(crate) fn exchange(&mut self, juliet: &mut XmppClient) {
        juliet.send(json!({"to": "romeo@example.net", "body": "Art thou not Romeo?"}));
        let got = self.phone.request(SOON, |r| r.method.as_deref() == Some("MESSAGE"));
        assert_eq!(got.body.as_deref(), Some("Art thou not Romeo?"));
        assert_eq!(self.say("Neither, fair saint"), 200);
        assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("Neither, fair saint"));
    }

    /// Has the phone send a text to juliet. Gives the status.
    pub(crate) fn say(&mut self, text: &str) -> u16 {
        let order = json!({"uri": "sip:juliet@example.com", "body": text});
        let token = self.phone.send(self.gateway.sip(), order);
        self.phone.response(std::time::Duration::from_secs(35), token).code
    }
}

fn texts(name: &str, kind: Kind, proof: Proof) {
    let mut world = Federated::new(name, kind, proof);
    let mut juliet = world.client("juliet");
    world.exchange(&mut juliet);
    // From both ends first, and once more over what stands.
    world.exchange(&mut juliet);
    // The operator sees with whom, and how that was proved.
    let (_, page) = world.gateway.get("/sessions").expect("a page");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let (seen, how) = (&page["federation"][0], if proof == Proof::Certificates { "certificate" } else { "dialback" });
    let streams = seen["streams"].as_array().expect("streams");
    let some = |what: &str| streams.iter().any(|stream| stream[what] == how);
    assert!(seen["domain"] == "example.com" && some("sends") && some("takes"), "{page}");
    // Somebody whom nobody knows, at a server that is there.
    if kind == Kind::Prosody {
        let order = json!({"uri": "sip:nobody@example.com", "body": "Who is there?"});
        let token = world.phone.send(world.gateway.sip(), order);
        let code = world.phone.response(SOON, token).code;
        assert!(matches!(code, 404 | 480), "{code}");
    }
}

#[test]
fn prosody_with_certificates() {
    texts("federation-prosody", Kind::Prosody, Proof::Certificates);
}

#[test]
fn prosody_by_calling_back() {
    texts("federation-prosody-db", Kind::Prosody, Proof::Dialback);
}

#[test]
fn ejabberd_with_certificates() {
    texts("federation-ejabberd", Kind::Ejabberd, Proof::Certificates);
}

#[test]
fn ejabberd_by_calling_back() {
    texts("federation-ejabberd-db", Kind::Ejabberd, Proof::Dialback);
}

/// The phone speaks first: the gateway has to find the server before anybody has come.
#[test]
fn the_gateway_comes_first() {
    for (name, proof) in [("federation-first", Proof::Certificates), ("federation-first-db", Proof::Dialback)] {
        let mut world = Federated::new(name, Kind::Prosody, proof);
        let mut juliet = world.client("juliet");
        assert_eq!(world.say("I take thee at thy word"), 200);
        assert_eq!(juliet.message(SOON, |_| true).body.as_deref(), Some("I take thee at thy word"));
    }
}

#[test]
fn over_ipv6_alone() {
    let place = Place::new("federation-v6");
    let (theirs, ours) = (place.free_v6(), place.free_v6());
    assert!(matches!(ours.ip(), IpAddr::V6(_)));
    let mut world = Federated::at(place, theirs, ours, Kind::Prosody, Proof::Certificates, "::1");
    let mut juliet = world.client("juliet");
    world.exchange(&mut juliet);
}

/// What passes over a component stream passes here, too: who is there (RFC 7248).
#[test]
fn presence_is_asked_for_and_told() {
    let mut world = Federated::new("federation-presence", Kind::Prosody, Proof::Certificates);
    let mut juliet = world.client("juliet");
    juliet.send_raw("<presence to='romeo@example.net' type='subscribe'/>");
    let asked = world.phone.request(SOON, |r| r.method.as_deref() == Some("SUBSCRIBE"));
    assert_eq!(asked.uri.as_deref(), Some("sip:romeo@example.net"));
    assert!(asked.header("From").contains("sip:juliet@example.com"), "{}", asked.raw);
}
