//! A trunk of a gateway of two shards, one of which registers: what the registrar has told that one, the other one knows; and for whom the account is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use base::{HashKey, Str, Time, Tokens};
use rehearsal::scene::Settings;
use sip::agent::{Flow, Place, SendTo, Transport};
use sip::digest::Account;
use sip::{Message, Method, Name, Request, Response, SipUri, Uri};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::config::Mode;
use stox::gateway::{Gateway, Input, Output};
use stox::route::Router;
use stox::store::{About, Key, is_shared};
use stox::trunk::{Register, Trunk};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

const SHARDS: usize = 2;
const USERS: [&str; 6] = ["juliet", "nurse", "mercutio", "benvolio", "rosaline", "tybalt"];
const CARRIER: &str = "198.51.100.1:5060";

/// A gateway of two shards, with a store.
struct Town {
    shards: Vec<Gateway>,
    router: Router,
    settings: Settings,
    now: Time,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether it works.
    keeps: bool,
    /// What went to SIP: from which shard, where to, and what.
    sip: Vec<(usize, SocketAddr, Request)>,
    stanzas: Vec<String>,
}

fn uri(text: &str) -> SipUri {
    SipUri::parse(text).unwrap()
}

fn flow() -> Flow {
    let local = "192.0.2.1:5060".parse().unwrap();
    Flow { transport: Transport::Udp, local, remote: CARRIER.parse().unwrap(), connection: None }
}

/// One that carries the numbers of a country, and registers.
fn carrier() -> Trunk {
    Trunk {
        name: "carrier".into(),
        domains: vec!["sip.example".into()],
        numbers: vec!["+49".into()],
        place: Place::of(&uri("sip:198.51.100.1;transport=udp")).unwrap(),
        route: None,
        account: Some(Account::new("4930123", "secret")),
        address: uri("sip:4930123@carrier.example"),
        speaks: true,
        user: None,
        register: Some(Register {
            registrar: Uri::parse("sip:carrier.example").unwrap(),
            expires: 600,
            retry: Duration::from_secs(30),
            instance: None,
        }),
        sources: Vec::new(),
    }
}

impl Town {
    fn new() -> Town {
        let mut settings = Settings::default();
        settings.config.trunks = vec![carrier()];
        let mut town = Town {
            shards: Vec::new(),
            router: Router::new(SHARDS, HashKey::new(1, 2)),
            settings,
            now: Time::from_secs(10),
            store: BTreeMap::new(),
            keeps: true,
            sip: Vec::new(),
            stanzas: Vec::new(),
        };
        town.begin();
        town
    }

    /// The process begins, with what is in the store.
    fn begin(&mut self) {
        let config = Arc::new(self.settings.config.clone());
        let gateway = |shard: usize| {
            let agent = sip::agent::Config { shard: shard as u8, ..self.settings.sip.clone() };
            Gateway::new(Arc::clone(&config), agent, Tokens::seeded(shard as u64))
        };
        self.shards = (0..SHARDS).map(gateway).collect();
        for (key, value) in self.store.clone() {
            let own = self.router.record(&key);
            for shard in (0..SHARDS).filter(|shard| *shard == own || is_shared(&key)) {
                let (key, value) = (key.clone(), value.clone());
                self.give(
                    shard,
                    if shard == own {
                        Input::Restore { key, value }
                    } else {
                        Input::Changed { key, value: Some(value) }
                    },
                );
            }
        }
        for shard in 0..SHARDS {
            (0..self.settings.config.links.len()).for_each(|link| self.give(shard, Input::LinkUp(link)));
        }
        self.pass(0);
    }

    fn give(&mut self, shard: usize, input: Input) {
        self.shards[shard].handle(self.now, input);
        self.drain(shard);
    }

    fn drain(&mut self, shard: usize) {
        while let Some(output) = self.shards[shard].poll() {
            match output {
                Output::Sip { to: SendTo::Target(target), bytes, .. } => {
                    let Message::Request(request) = sip::parse_datagram(&bytes, &sip::Limits::default()).unwrap()
                    else {
                        panic!("a response to nobody")
                    };
                    if request.method != Method::Ack {
                        self.sip.push((shard, target.remote, request));
                    }
                }
                Output::Stanza { bytes, token, .. } => {
                    self.stanzas.push(String::from_utf8(bytes).unwrap());
                    self.shards[shard].handle(self.now, Input::Taken(token));
                }
                Output::Save { token, .. } if !self.keeps => {
                    self.shards[shard].handle(self.now, Input::NotSaved(token));
                }
                Output::Save { token, key, value } => {
                    match &value {
                        Some(value) => drop(self.store.insert(key.clone(), value.clone())),
                        None => drop(self.store.remove(&key)),
                    }
                    self.shards[shard].handle(self.now, Input::Saved(token));
                    for other in (0..SHARDS).filter(|other| *other != shard && is_shared(&key)) {
                        self.give(other, Input::Changed { key: key.clone(), value: value.clone() });
                    }
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        for shard in 0..SHARDS {
            self.shards[shard].timeout(self.now);
            self.drain(shard);
        }
    }

    /// The one request that went out; the requests of all other shards have come to nothing.
    #[track_caller]
    fn asked(&mut self) -> (usize, Request) {
        self.asked_at(CARRIER.parse().unwrap())
    }

    #[track_caller]
    fn asked_at(&mut self, place: SocketAddr) -> (usize, Request) {
        assert_eq!(self.sip.len(), 1, "{:?}", self.sip);
        let (shard, to, request) = self.sip.remove(0);
        assert_eq!(to, place);
        (shard, request)
    }

    /// The carrier, or somebody behind it, answers.
    fn answers(&mut self, (shard, request): &(usize, Request), code: u16, headers: &[&str]) {
        let mut response = Response::to_request(request, code, "Because", Some("theirs"));
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            response.headers.push(name, value);
        }
        self.give(*shard, Input::Sip(Message::Response(response), flow()));
    }

    /// Who was subscribed to says that this is so.
    fn notifies(&mut self, subscribe: &Request) {
        let theirs = &subscribe.headers;
        let contact = theirs.contact().unwrap().unwrap();
        let mut notify = Request::new(Method::Notify, contact.uri);
        let headers = &mut notify.headers;
        headers.push(Name::Via, "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKn1");
        headers.push(Name::MaxForwards, 70);
        headers.push(Name::From, format_args!("{};tag=theirs", theirs.get(Name::To).unwrap()));
        headers.push(Name::To, theirs.get(Name::From).unwrap());
        headers.push(Name::CallId, theirs.get(Name::CallId).unwrap());
        headers.push(Name::CSeq, "1 NOTIFY");
        headers.push(Name::Contact, "<sip:romeo@192.0.2.10:5060>");
        headers.push(Name::Event, "presence");
        headers.push(Name::SubscriptionState, "active;expires=3600");
        let notify = Message::Request(notify);
        let shard = self.router.sip(&notify);
        self.give(shard, Input::Sip(notify, Flow { remote: rehearsal::scene::PROXY.into(), ..flow() }));
    }

    /// The registrar asks who it is, and takes the answer.
    fn registers(&mut self, granted: &[&str]) {
        let first = self.asked();
        assert_eq!((first.0, &first.1.method), (0, &Method::Register));
        self.answers(&first, 401, &[&challenge("WWW-Authenticate", "carrier.example")]);
        let second = self.asked();
        assert!(second.1.headers.contains(Name::Authorization));
        self.answers(&second, 200, &[&["Expires: 600"], granted].concat());
    }

    /// A user of this shard writes to a number. What goes out for it.
    fn writes(&mut self, shard: usize) -> (usize, Request) {
        self.writes_by(shard, CARRIER.parse().unwrap())
    }

    fn writes_by(&mut self, shard: usize, place: SocketAddr) -> (usize, Request) {
        let stanza = USERS.iter().find_map(|user| {
            let body = xml::Element::new("body", xmpp::ns::CLIENT).with_text("Wherefore art thou?");
            let from = Jid::parse(&format!("{user}@example.com/balcony")).unwrap();
            let stanza = Stanza::message().with_from(from).with_to(Jid::parse("+4930999@sip.example").unwrap());
            let stanza = stanza.with_id("m1").with_type("chat").with_child(body);
            (self.router.stanza(&stanza) == shard).then_some(stanza)
        });
        self.give(shard, Input::Stanza(1, stanza.expect("a user of each shard")));
        self.asked_at(place)
    }

    /// Whether what a user of this shard writes is said again with the account, when somebody asks for this realm.
    fn gives(&mut self, shard: usize, code: u16, realm: &str) -> bool {
        let first = self.writes(shard);
        let header = if code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        self.answers(&first, code, &[&challenge(header, realm)]);
        if self.sip.is_empty() {
            let error = self.stanzas.pop().expect("an error");
            assert!(error.contains("type='error'") && self.stanzas.is_empty(), "{error}");
            return false;
        }
        let again = self.asked();
        assert!(again.1.headers.contains(if code == 401 { Name::Authorization } else { Name::ProxyAuthorization }));
        self.answers(&again, 200, &[]);
        true
    }
}

fn challenge(header: &str, realm: &str) -> String {
    format!("{header}: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"")
}

/// Both shards answer the realm that the registrar has asked the first one for, and no other one; before it is known, none.
#[test]
fn the_account_is_for_the_registrars_realm_in_every_shard() {
    let mut town = Town::new();
    let register = town.asked();
    for shard in 0..SHARDS {
        for code in [401, 407] {
            assert!(!town.gives(shard, code, "carrier.example"), "shard {shard}, {code}: nobody has registered yet");
        }
    }
    town.sip.push((register.0, CARRIER.parse().unwrap(), register.1));
    town.registers(&[]);
    assert_eq!(town.store.len(), 1);
    for shard in 0..SHARDS {
        for code in [401, 407] {
            assert!(!town.gives(shard, code, "callee.example"), "shard {shard}, {code}");
        }
        assert!(town.gives(shard, 401, "carrier.example"), "shard {shard}");
    }
    // What is on disk is known before the registrar is asked again.
    town.begin();
    let register = town.asked();
    assert!(town.gives(1, 407, "carrier.example") && town.gives(0, 401, "carrier.example"));
    assert!(!town.gives(1, 401, "callee.example"));
    // Where the account is another one, it is not known.
    drop(register);
    town.settings.config.trunks[0].account = Some(Account::new("4930124", "secret"));
    town.begin();
    town.asked();
    assert!(!town.gives(1, 401, "carrier.example"));
}

/// What the other shards could not be told they are told later; what is known of a trunk that is no more is forgotten.
#[test]
fn what_is_learnt_is_kept_as_soon_as_that_is_possible() {
    let mut town = Town::new();
    town.keeps = false;
    town.registers(&[]);
    assert!(!town.gives(1, 401, "carrier.example"));
    town.pass(11);
    assert!(!town.gives(1, 401, "carrier.example"));
    town.keeps = true;
    town.pass(11);
    assert!(town.gives(1, 401, "carrier.example"));
    assert_eq!(town.store.len(), 1);
    town.settings.config.trunks[0].name = "other".into();
    town.begin();
    assert!(town.store.is_empty());
}

/// RFC 3608 §6.1: requests go through what the registrar has said, to the trunk's own place.
#[test]
fn requests_go_by_the_service_route() {
    let mut town = Town::new();
    let routes = ["Service-Route: <sip:orig@s1.carrier.example;lr>, <sip:s2.carrier.example;lr>"];
    town.registers(&routes);
    for shard in 0..SHARDS {
        let written = town.writes(shard);
        let route: Vec<&str> = written.1.headers.elements(Name::Route).map(Result::unwrap).collect();
        assert_eq!(route, ["<sip:orig@s1.carrier.example;lr>", "<sip:s2.carrier.example;lr>"]);
        town.answers(&written, 200, &[]);
    }
    // A session's dialog has them one by one.
    for link in &mut town.settings.config.links {
        link.chat = Mode::Session;
    }
    town.settings.config.trunks[0].route = Some(Str::const_new("<sip:198.51.100.1;lr>"));
    town.begin();
    town.registers(&routes);
    let invite = town.writes(1);
    assert_eq!(invite.1.method, Method::Invite);
    assert_eq!(invite.1.headers.elements(Name::Route).count(), 3);
    town.answers(&invite, 486, &[]);
    // And no more when it is not said any more.
    let mut town = Town::new();
    town.registers(&routes);
    town.pass(550);
    let refresh = town.asked();
    assert!(!refresh.1.headers.contains(Name::Route), "a registrar is reached as before");
    town.answers(&refresh, 200, &["Expires: 600"]);
    let written = town.writes(1);
    assert!(!written.1.headers.contains(Name::Route));
}

/// A gateway whose users have linked accounts at sip.example, behind the operator's proxy.
fn town_of_linked_accounts() -> Town {
    let mut town = Town::new();
    town.settings.config.trunks.clear();
    town.settings.config.accounts =
        Some(stox::account::Options { domains: vec!["example.com".into()], ..stox::account::Options::default() });
    for link in &mut town.settings.config.links {
        link.chat = Mode::Session;
    }
    let at = Jid::parse("sip.example").unwrap();
    for user in USERS {
        let key =
            Key { about: About::Linked, sip: at.clone(), xmpp: Jid::parse(&format!("{user}@example.com")).unwrap() };
        let account = format!(
            "{{\"address\":\"{user}@sip.example\",\"name\":\"{user}\",\"password\":\"x\",\"realm\":\"sip.example\"}}"
        );
        town.store.insert(key.to_bytes(), account.into_bytes());
    }
    town.sip.clear();
    town.begin();
    town
}

/// In a dialog the operator's proxy may ask who it is; the other side, and whoever else is behind the proxy, gets nothing that is made of the password.
#[test]
fn in_a_dialog_a_linked_account_is_for_the_proxy_alone() {
    let mut town = town_of_linked_accounts();
    let proxy = rehearsal::scene::PROXY.into();
    let subscribe = Stanza::presence().with_type("subscribe").with_from(Jid::parse("juliet@example.com").unwrap());
    let subscribe = subscribe.with_to(Jid::parse("romeo@sip.example").unwrap());
    let shard = town.router.stanza(&subscribe);
    town.sip.clear();
    town.give(shard, Input::Stanza(1, subscribe));
    let first = town.asked_at(proxy);
    assert_eq!(first.1.method, Method::Subscribe);
    town.answers(&first, 401, &[&challenge("WWW-Authenticate", "sip.example")]);
    let again = town.asked_at(proxy);
    assert!(
        again.1.headers.contains(Name::Authorization),
        "a server that is asked for a dialog may be one that knows the account"
    );
    let contact = ["Contact: <sip:romeo@192.0.2.10:5060>", "Expires: 3600"];
    town.answers(&again, 200, &contact);
    town.notifies(&again.1);
    for (code, header, given) in
        [(401, "WWW-Authenticate", Name::Authorization), (407, "Proxy-Authenticate", Name::ProxyAuthorization)]
    {
        let refresh = loop {
            town.pass(60);
            let at = town.sip.iter().position(|(_, _, request)| request.method == Method::Subscribe);
            let found = at.map(|at| town.sip.remove(at));
            town.sip.clear();
            if let Some((shard, to, request)) = found {
                assert_eq!(to, proxy);
                break (shard, request);
            }
        };
        assert!(refresh.1.headers.to_tag().is_some() && !refresh.1.headers.contains(Name::Authorization));
        town.answers(&refresh, code, &[&challenge(header, "sip.example")]);
        if code == 401 {
            assert!(town.sip.iter().all(|(_, _, request)| !request.headers.contains(given)), "{:?}", town.sip);
            continue;
        }
        let proved = town.asked_at(proxy);
        assert!(proved.1.headers.contains(given) && !proved.1.headers.contains(Name::Authorization));
    }
}

/// The same of an account that an XMPP user has linked: for what the user has called, and for nothing else.
#[test]
fn a_call_that_is_sent_on_is_not_at_the_users_cost() {
    let mut town = town_of_linked_accounts();
    let proxy = rehearsal::scene::PROXY.into();
    for shard in 0..SHARDS {
        town.sip.clear();
        let mut invite = town.writes_by(shard, proxy);
        assert_eq!(invite.1.method, Method::Invite);
        town.answers(&invite, 407, &[&challenge("Proxy-Authenticate", "sip.example")]);
        invite = town.asked_at(proxy);
        assert!(invite.1.headers.contains(Name::ProxyAuthorization));
        town.answers(&invite, 302, &["Contact: <sip:900123@sip.example>"]);
        let onward = town.asked_at(proxy);
        assert_eq!(onward.1.uri.to_string(), "sip:900123@sip.example");
        assert!(!onward.1.headers.contains(Name::ProxyAuthorization), "nobody has asked the user");
        town.answers(&onward, 407, &[&challenge("Proxy-Authenticate", "sip.example")]);
        assert!(town.sip.is_empty(), "{:?}", town.sip);
    }
}

/// Who is called may send the call on; at the account's cost only to where the trunk leads anyway.
#[test]
fn a_call_that_is_sent_on_is_not_paid_for_wherever_it_goes() {
    let contacts = [
        ("<sip:+4930111@sip.example>", true),
        ("<sip:+900123@sip.example;maddr=198.51.100.1>", false),
        ("<sip:+900123@198.51.100.1;transport=udp>", false),
    ];
    for (contact, paid) in contacts {
        let mut town = Town::new();
        for link in &mut town.settings.config.links {
            link.chat = Mode::Session;
        }
        town.settings.config.allow_networks.push(stox::network::Network::of([198, 51, 100, 1].into()));
        town.begin();
        town.sip.drain(..1);
        town.registers(&[]);
        let invite = town.writes(1);
        assert_eq!(invite.1.method, Method::Invite);
        town.answers(&invite, 302, &[&format!("Contact: {contact}")]);
        let onward = town.asked();
        assert!(onward.1.uri.to_string().contains(contact.trim_matches(['<', '>'])), "{}", onward.1.uri);
        town.answers(&onward, 401, &[&challenge("WWW-Authenticate", "carrier.example")]);
        assert_eq!(town.sip.len(), usize::from(paid), "{contact}: {:?}", town.sip);
    }
}

/// What the gateway asks within what came from the trunk is proved to it; but nobody else gets that who says that he is where the trunk is.
#[test]
fn the_account_is_for_what_came_from_the_trunk() {
    for (from, source, proved) in [
        // A number at a host of the carrier's, for which nobody but the trunk may speak.
        ("sip:+4955512345@carrier.example", CARRIER, true),
        ("sip:+4955512345@198.51.100.1", CARRIER, true),
        ("sip:romeo@sip.example", "192.0.2.10:5060", false),
    ] {
        let mut town = Town::new();
        town.settings.config.allow_networks.push(stox::network::Network::of([198, 51, 100, 1].into()));
        town.begin();
        town.sip.drain(..1);
        town.registers(&[]);
        for user in USERS {
            let mut request = Request::new(Method::Subscribe, Uri::parse(&format!("sip:{user}@example.com")).unwrap());
            for (name, value) in [
                ("Via", format!("SIP/2.0/UDP {source};branch=z9hG4bK{user}")),
                ("Max-Forwards", "70".to_owned()),
                ("From", format!("<{from}>;tag=t")),
                ("To", format!("<sip:{user}@example.com>")),
                ("Call-ID", user.to_owned()),
                ("CSeq", "1 SUBSCRIBE".to_owned()),
                ("Contact", "<sip:900123@198.51.100.1;transport=udp>".to_owned()),
                ("Event", "presence".to_owned()),
                ("Expires", "600".to_owned()),
            ] {
                request.headers.push(name, value);
            }
            let flow = Flow {
                transport: Transport::Udp,
                local: "192.0.2.1:5060".parse().unwrap(),
                remote: source.to_string().parse().unwrap(),
                connection: None,
            };
            let message = Message::Request(request);
            let shard = town.router.sip(&message);
            town.give(shard, Input::Sip(message, flow));
            let notify = town.asked();
            assert_eq!((notify.0, &notify.1.method), (shard, &Method::Notify), "{from}");
            assert!(proved || !notify.1.headers.contains(Name::Authorization), "{from}");
            town.answers(&notify, 401, &[&challenge("WWW-Authenticate", "carrier.example").replace("\"n\"", "\"m\"")]);
            assert_eq!(town.sip.len(), usize::from(proved), "{from}: {:?}", town.sip);
            if proved {
                let again = town.asked();
                assert!(again.1.headers.get(Name::Authorization).unwrap().contains("nonce=\"m\""), "{from}");
                town.answers(&again, 200, &[]);
            }
        }
    }
}

/// RFC 5626 §4.5: what was registered over a connection is registered anew when that is gone.
#[test]
fn a_connection_that_is_lost_is_registered_over_anew() {
    let mut town = Town::new();
    town.asked();
    let before = carrier();
    let instance = Some("urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e".into());
    town.settings.config.trunks = vec![Trunk {
        name: "flowing".into(),
        place: Place::of(&uri("sip:198.51.100.1;transport=tcp")).unwrap(),
        register: before.register.clone().map(|register| Register { instance, ..register }),
        ..before
    }];
    town.settings.sip.sent_by.push((Transport::Tcp, town.settings.sip.sent_by[0].1.clone(), None));
    town.begin();
    town.registers(&[]);
    town.pass(200);
    assert!(town.sip.is_empty(), "it is registered");
    let lost = sip::agent::Target::new(Transport::Tcp, CARRIER.parse().unwrap());
    (0..SHARDS).for_each(|shard| town.give(shard, Input::SipConnectionLost(lost.clone(), vec![])));
    town.pass(2);
    let (shard, again) = town.asked();
    assert_eq!((shard, &again.method), (0, &Method::Register));
    assert!(again.headers.get(Name::Contact).unwrap().contains("reg-id=1"), "{again:?}");
}
