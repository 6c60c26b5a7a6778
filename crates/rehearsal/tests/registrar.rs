//! Phones that register at a gateway of two shards: who is let in, who is reached, and what is left behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use base::{HashKey, Str, Time, Tokens};
use rehearsal::scene::Settings;
use sip::agent::{Flow, SendTo, Transport};
use sip::digest::{self, AccountId, Algorithm, Wallet};
use sip::header::CSeq;
use sip::{Message, Method, Name, Request, Response, Uri};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use stox::phones::{Account, Options};
use stox::route::Router;
use stox::store::{About, Key, is_shared};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

const SHARDS: usize = 2;

/// A gateway of two shards, with a store that works.
struct Town {
    shards: Vec<Gateway>,
    router: Router,
    settings: Settings,
    now: Time,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What went to SIP: where to, and what.
    sip: Vec<(SendTo, Message)>,
    /// What went to XMPP.
    stanzas: Vec<String>,
    notes: Vec<String>,
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// A way from somewhere that no peer is.
fn udp(port: u16) -> Flow {
    let remote = SocketAddr::new(address("198.51.100.7:1").ip(), port);
    Flow { transport: Transport::Udp, local: address("192.0.2.1:5060"), remote, connection: None }
}

fn tcp(connection: u64) -> Flow {
    Flow { transport: Transport::Tcp, connection: Some(connection), ..udp(40_000) }
}

impl Town {
    /// A town with the accounts romeo (password "rose") and tybalt ("cat") of example.net.
    fn new() -> Town {
        let mut settings = Settings::default();
        settings.config.registrar = Some(Options {
            domains: vec!["example.net".into()],
            realm: None,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime: Duration::from_secs(300),
            bounds: sip::registrar::Config {
                own_domains: vec!["example.com".into(), "example.net".into()],
                ..sip::registrar::Config::default()
            },
            secret: [7; 32],
            run: 1,
        });
        settings.config.proxy = None;
        let mut town = Town {
            shards: Vec::new(),
            router: Router::new(SHARDS, HashKey::new(1, 2)),
            settings,
            now: Time::from_secs(10),
            store: BTreeMap::new(),
            sip: Vec::new(),
            stanzas: Vec::new(),
            notes: Vec::new(),
        };
        for (user, password) in [("romeo", "rose"), ("tybalt", "cat")] {
            let account = Account::new(user, "example.net", password, &[Algorithm::Sha256, Algorithm::Md5]).unwrap();
            town.store.insert(account_key(user), account.to_bytes());
        }
        town.begin();
        town
    }

    /// The process begins, with what is in the store.
    fn begin(&mut self) {
        self.shards = (0..SHARDS)
            .map(|shard| {
                let agent = sip::agent::Config { shard: shard as u8, ..self.settings.sip.clone() };
                Gateway::new(Arc::new(self.settings.config.clone()), agent, Tokens::seeded(shard as u64))
            })
            .collect();
        for (key, value) in self.store.clone() {
            let own = self.router.record(&key);
            for shard in (0..SHARDS).filter(|shard| *shard == own || is_shared(&key)) {
                let (key, value) = (key.clone(), value.clone());
                let input = match shard == own {
                    true => Input::Restore { key, value },
                    false => Input::Changed { key, value: Some(value) },
                };
                self.give(shard, input);
            }
        }
        for shard in 0..SHARDS {
            self.give(shard, Input::LinkUp(0));
        }
        assert!(self.sip.is_empty() && self.stanzas.is_empty());
    }

    fn give(&mut self, shard: usize, input: Input) {
        self.shards[shard].handle(self.now, input);
        self.drain(shard);
    }

    fn drain(&mut self, shard: usize) {
        while let Some(output) = self.shards[shard].poll() {
            match output {
                Output::Sip { to, bytes, .. } => {
                    let message = sip::parse_datagram(&bytes, &sip::Limits::default()).unwrap();
                    self.sip.push((to, message));
                }
                Output::Stanza { bytes, token, .. } => {
                    self.stanzas.push(String::from_utf8(bytes).unwrap());
                    self.shards[shard].handle(self.now, Input::Taken(token));
                }
                Output::Save { token, key, value } => {
                    match &value {
                        Some(value) => self.store.insert(key.clone(), value.clone()),
                        None => self.store.remove(&key),
                    };
                    self.shards[shard].handle(self.now, Input::Saved(token));
                    if is_shared(&key) {
                        assert_eq!(self.router.record(&key), shard, "the account's own shard saves");
                        self.change(&key, value.as_deref(), Some(shard));
                    }
                }
                Output::Note(note) => self.notes.push(format!("{note:?}")),
                _ => {}
            }
        }
    }

    fn change(&mut self, key: &[u8], value: Option<&[u8]>, but: Option<usize>) {
        for other in (0..SHARDS).filter(|other| Some(*other) != but) {
            self.give(other, Input::Changed { key: key.to_vec(), value: value.map(<[u8]>::to_vec) });
        }
    }

    /// As `verona account` does it.
    fn set_account(&mut self, user: &str, password: Option<&str>) {
        let account =
            password.map(|password| Account::new(user, "example.net", password, &[Algorithm::Sha256]).unwrap());
        let (key, value) = (account_key(user), account.map(|account| account.to_bytes()));
        match &value {
            Some(value) => self.store.insert(key.clone(), value.clone()),
            None => self.store.remove(&key),
        };
        self.change(&key, value.as_deref(), None);
    }

    /// A request comes from a phone.
    fn comes(&mut self, request: &Request, flow: Flow) {
        let shard = self.router.sip(&Message::Request(request.clone()));
        self.give(shard, Input::Sip(Message::Request(request.clone()), flow));
    }

    /// An XMPP user writes.
    fn writes(&mut self, to: &str, text: &str) {
        let body = xml::Element::new("body", xmpp::ns::CLIENT).with_text(text);
        let stanza = Stanza::message().with_from(jid("juliet@example.com/balcony")).with_to(jid(to)).with_id("m1");
        let stanza = stanza.with_child(body);
        let shard = self.router.stanza(&stanza);
        self.give(shard, Input::Stanza(0, stanza));
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        for shard in 0..SHARDS {
            self.shards[shard].timeout(self.now);
            self.drain(shard);
        }
    }

    /// The only answer that went out.
    fn answer(&mut self) -> Response {
        let mut sent: Vec<_> = self.sip.drain(..).collect();
        assert_eq!(sent.len(), 1, "{sent:?}");
        match sent.remove(0) {
            (_, Message::Response(response)) => response,
            (_, other) => panic!("{other:?}"),
        }
    }

    /// The requests that went out: Request-URI, and where to.
    fn asked(&mut self) -> Vec<(String, SocketAddr, Option<u64>)> {
        let requests = self.sip.drain(..).filter_map(|(to, message)| match (to, message) {
            (SendTo::Target(target), Message::Request(r)) => Some((r.uri.to_string(), target.remote, target.flow)),
            _ => None,
        });
        let mut asked: Vec<_> = requests.collect();
        asked.sort();
        asked
    }

    fn stanza(&mut self) -> String {
        assert_eq!(self.stanzas.len(), 1, "{:?}", self.stanzas);
        self.stanzas.remove(0)
    }
}

fn account_key(user: &str) -> Vec<u8> {
    let jid = jid(&format!("{user}@example.net"));
    Key { about: About::Account, sip: jid.clone(), xmpp: jid }.to_bytes()
}

/// A phone.
struct Phone {
    wallet: Wallet,
    tokens: Tokens,
    user: &'static str,
    flow: Flow,
    contact: String,
    cseq: u32,
}

const ME: AccountId = AccountId(1);

impl Phone {
    fn new(user: &'static str, password: &str, flow: Flow) -> Phone {
        let mut wallet = Wallet::new(HashKey::new(3, 4));
        wallet.set(ME, digest::Account::new(user, password));
        let contact = format!("sip:{user}-x@10.0.0.2:{}", flow.remote.port());
        // What two phones make up is not the same.
        let seed = password.bytes().map(u64::from).sum::<u64>() << 16 | u64::from(flow.remote.port());
        Phone { wallet, tokens: Tokens::seeded(seed), user, flow, contact, cseq: 0 }
    }

    fn request(&mut self, method: Method, uri: &str, to: &str) -> Request {
        self.cseq += 1;
        let mut request = Request::new(method.clone(), Uri::parse(uri).unwrap());
        let headers = &mut request.headers;
        let branch = self.tokens.token(12);
        headers.push(Name::Via, format_args!("SIP/2.0/UDP 10.0.0.2;rport;branch=z9hG4bKp{branch}"));
        headers.push(Name::MaxForwards, 70);
        headers.push(Name::From, format_args!("<sip:{}@example.net>;tag={branch}", self.user));
        headers.push(Name::To, format_args!("<{to}>"));
        headers.push(Name::CallId, format_args!("{}-{}", self.user, self.flow.remote.port()));
        headers.push(Name::CSeq, CSeq { number: self.cseq, method });
        request
    }

    fn register(&mut self) -> Request {
        let to = format!("sip:{}@example.net", self.user);
        let mut request = self.request(Method::Register, "sip:example.net", &to);
        request.headers.push(Name::Contact, format_args!("<{}>", self.contact));
        request
    }

    fn message(&mut self, to: &str) -> Request {
        let mut request = self.request(Method::Message, to, to);
        request.headers.push(Name::ContentType, "text/plain");
        request.body = bytes::Bytes::from_static(b"hi");
        request
    }

    /// The same once more, with what the challenge asks for.
    fn again(&mut self, request: &Request, challenge: &Response) -> Option<Request> {
        let mut request = request.clone();
        if !self.wallet.challenged(ME, &request, challenge) {
            return None;
        }
        self.renew(&mut request);
        Some(request)
    }

    fn renew(&mut self, request: &mut Request) {
        self.cseq += 1;
        let branch = self.tokens.token(12);
        request.headers.set(Name::Via, format_args!("SIP/2.0/UDP 10.0.0.2;rport;branch=z9hG4bKp{branch}"));
        request.headers.set(Name::CSeq, CSeq { number: self.cseq, method: request.method.clone() });
        self.wallet.authorize(ME, request, &mut self.tokens);
    }

    /// Sends it, and again when it is challenged. The final answer.
    fn ask(&mut self, town: &mut Town, mut request: Request) -> Response {
        self.wallet.authorize(ME, &mut request, &mut self.tokens);
        town.comes(&request, self.flow);
        let answer = town.answer();
        match self.again(&request, &answer) {
            None => answer,
            Some(again) => {
                town.comes(&again, self.flow);
                town.answer()
            }
        }
    }

    #[track_caller]
    fn registers(&mut self, town: &mut Town) {
        let request = self.register();
        let answer = self.ask(town, request);
        assert_eq!(answer.code, 200, "{answer:?}");
        assert!(answer.headers.all(Name::Contact).any(|contact| contact.contains(&self.contact)), "{answer:?}");
    }
}

/// RFC 8760: challenged once, with the best first; then it is where it came from, and its Contact is the Request-URI.
#[test]
fn a_phone_registers_and_is_reached() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    let first = romeo.register();
    town.comes(&first, romeo.flow);
    let challenge = town.answer();
    let algorithms: Vec<bool> =
        challenge.headers.all(Name::WwwAuthenticate).map(|challenge| challenge.contains("algorithm=SHA-256")).collect();
    assert_eq!((challenge.code, algorithms), (401, vec![true, false]));
    romeo.registers(&mut town);
    // It writes, and is written to, whichever shard that is.
    for (user, n) in [("juliet", 0), ("nurse", 1), ("mercutio", 2), ("benvolio", 3)] {
        let message = romeo.message(&format!("sip:{user}@example.com"));
        assert_eq!(romeo.ask(&mut town, message).code, 200, "{user}");
        assert!(town.stanza().contains("from='romeo@example.net'"), "{n}");
    }
    town.writes("romeo@example.net", "art thou not Romeo?");
    assert_eq!(town.asked(), [("sip:romeo-x@10.0.0.2:5070".to_owned(), romeo.flow.remote, None)]);
}

/// Whoever says to be somebody who registers here has to prove it, whatever network it comes from.
#[test]
fn nobody_speaks_for_an_account_without_its_password() {
    let mut town = Town::new();
    let mut thief = Phone::new("romeo", "guess", udp(5070));
    let mut nobody = Phone::new("rosaline", "rose", udp(5071));
    // The network of a peer that may speak for example.net.
    let inside = Flow { remote: address("192.0.2.10:5060"), ..udp(5060) };
    for phone in [&mut thief, &mut nobody] {
        for flow in [phone.flow, inside, tcp(1)] {
            phone.flow = flow;
            for request in
                [phone.register(), phone.message("sip:juliet@example.com"), phone.message("sip:nurse@example.com")]
            {
                let answer = phone.ask(&mut town, request);
                assert_eq!(answer.code, 401, "{answer:?}");
                assert!(!answer.headers.get(Name::WwwAuthenticate).unwrap().contains("stale"));
            }
            for method in
                [Method::Invite, Method::Subscribe, Method::Bye, Method::Options, Method::Publish, Method::Notify]
            {
                let request = phone.request(method, "sip:juliet@example.com", "sip:juliet@example.com;tag=x");
                town.comes(&request, flow);
                // What is not served at all is refused before anybody is asked who they are.
                assert!(matches!(town.answer().code, 401 | 405));
            }
        }
    }
    assert!(town.stanzas.is_empty());
    assert!(town.notes.iter().any(|note| note.contains("wrong-credentials")));
    let counts = town.shards.iter().map(|shard| shard.phone_counts().1.bindings).sum::<usize>();
    assert_eq!((counts, town.store.len()), (0, 2), "nothing is left behind");
}

/// RFC 3261 §22.1: a password is for one user.
#[test]
fn an_account_speaks_for_itself_alone() {
    let mut town = Town::new();
    let mut tybalt = Phone::new("tybalt", "cat", udp(5070));
    tybalt.registers(&mut town);
    for request in [tybalt.message("sip:juliet@example.com"), tybalt.register()] {
        let mut forged = request.clone();
        forged.headers.set(Name::From, "<sip:romeo@example.net>;tag=x");
        let answer = tybalt.ask(&mut town, forged);
        assert_eq!(answer.code, 403, "{answer:?}");
    }
    // Its own From, another's To: RFC 3261 §10.2 allows others to register for somebody; here nobody may.
    let mut forged = tybalt.register();
    forged.headers.set(Name::To, "<sip:romeo@example.net>");
    assert_eq!(tybalt.ask(&mut town, forged).code, 403);
    // From one of the other side.
    let mut forged = tybalt.message("sip:juliet@example.com");
    forged.headers.set(Name::From, "<sip:juliet@example.com>;tag=x");
    town.comes(&forged, tybalt.flow);
    assert_eq!(town.answer().code, 403);
    assert!(town.stanzas.is_empty());
    town.writes("romeo@example.net", "who is there?");
    assert!(town.stanza().contains("recipient-unavailable"));
}

/// RFC 7616 §5.12: what was used once is used.
#[test]
fn what_was_seen_on_the_wire_cannot_be_used_again() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    romeo.registers(&mut town);
    let mut message = romeo.message("sip:juliet@example.com");
    romeo.renew(&mut message);
    town.comes(&message, romeo.flow);
    assert_eq!(town.answer().code, 200);
    assert!(town.stanza().contains("<body>hi</body>"));
    // The same credentials in another request: somebody has listened.
    let mut replay = message.clone();
    replay.headers.set(Name::Via, "SIP/2.0/UDP 203.0.113.6;rport;branch=z9hG4bKreplay");
    replay.headers.set(Name::CallId, "replay");
    replay.body = bytes::Bytes::from_static(b"I love thee not");
    let thief = Flow { remote: address("203.0.113.6:5060"), ..udp(5060) };
    town.comes(&replay, thief);
    let answer = town.answer();
    assert_eq!(answer.code, 401);
    assert!(answer.headers.get(Name::WwwAuthenticate).unwrap().contains("stale=true"));
    // For somebody else.
    replay.uri = Uri::parse("sip:nurse@example.com").unwrap();
    replay.headers.set(Name::CallId, "replay2");
    town.comes(&replay, thief);
    assert!(matches!(town.answer().code, 400 | 401));
    assert!(town.stanzas.is_empty());
    // Too old.
    town.pass(301);
    let mut late = romeo.message("sip:juliet@example.com");
    romeo.renew(&mut late);
    town.comes(&late, romeo.flow);
    let answer = town.answer();
    assert!(answer.headers.get(Name::WwwAuthenticate).unwrap().contains("stale=true"), "{answer:?}");
    let again = romeo.again(&late, &answer).expect("a stale nonce is no wrong password");
    town.comes(&again, romeo.flow);
    assert_eq!(town.answer().code, 200);
}

#[test]
fn who_is_not_there_is_said_not_to_be() {
    let mut town = Town::new();
    town.writes("romeo@example.net", "hello?");
    let error = town.stanza();
    assert!(error.contains("type='error'") && error.contains("<recipient-unavailable"), "{error}");
    town.writes("rosaline@example.net", "hello?");
    assert!(town.stanza().contains("<item-not-found"));
    assert!(town.asked().is_empty());
    // A REGISTER for what is served nowhere.
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    let wrong = romeo.request(Method::Register, "sip:sip.example", "sip:romeo@example.net");
    assert_eq!(romeo.ask(&mut town, wrong).code, 404);
}

/// Two phones, one of which cannot be reached any more.
#[test]
fn all_phones_of_an_account_are_asked() {
    let mut town = Town::new();
    let mut desk = Phone::new("romeo", "rose", udp(5070));
    let mut pocket = Phone::new("romeo", "rose", tcp(7));
    desk.registers(&mut town);
    pocket.registers(&mut town);
    town.writes("romeo@example.net", "anybody?");
    let both = [
        ("sip:romeo-x@10.0.0.2:40000".to_owned(), pocket.flow.remote, Some(7)),
        ("sip:romeo-x@10.0.0.2:5070".to_owned(), desk.flow.remote, None),
    ];
    assert_eq!(town.asked(), both);
    for shard in 0..SHARDS {
        town.give(shard, Input::SipClosed(7));
    }
    town.pass(40);
    town.sip.clear();
    town.stanzas.clear();
    town.writes("romeo@example.net", "and now?");
    assert_eq!(town.asked(), both[1..]);
    // Not refreshed.
    town.pass(3600);
    town.sip.clear();
    town.stanzas.clear();
    town.writes("romeo@example.net", "and now?");
    assert!(town.stanza().contains("<recipient-unavailable"));
    assert_eq!(town.store.len(), 2, "{:?}", town.store.keys());
}

/// What was promised is kept; connections end with the process.
#[test]
fn a_restart_keeps_contacts() {
    let mut town = Town::new();
    let mut desk = Phone::new("romeo", "rose", udp(5070));
    let mut pocket = Phone::new("romeo", "rose", tcp(7));
    desk.registers(&mut town);
    pocket.registers(&mut town);
    // Ten minutes, as the wall clock has it.
    town.settings.config.epoch += 610;
    town.settings.config.registrar.as_mut().unwrap().run = 2;
    town.now = Time::from_secs(0);
    town.begin();
    town.writes("romeo@example.net", "anybody?");
    assert_eq!(town.asked(), [("sip:romeo-x@10.0.0.2:5070".to_owned(), desk.flow.remote, None)]);
    // 3600 s after it was registered it is over.
    town.pass(3000);
    town.sip.clear();
    town.stanzas.clear();
    town.writes("romeo@example.net", "and now?");
    assert!(town.stanza().contains("<recipient-unavailable"));
}

/// An account that is taken away is gone from all shards at once, and one with another password has to register again.
#[test]
fn an_account_that_is_taken_away_is_gone() {
    for password in [None, Some("thorn")] {
        let mut town = Town::new();
        let mut romeo = Phone::new("romeo", "rose", udp(5070));
        romeo.registers(&mut town);
        town.set_account("romeo", password);
        town.writes("romeo@example.net", "hello?");
        let error = if password.is_some() { "<recipient-unavailable" } else { "<item-not-found" };
        assert!(town.stanza().contains(error));
        let message = romeo.message("sip:juliet@example.com");
        assert_eq!(romeo.ask(&mut town, message).code, 401);
        assert!(town.stanzas.is_empty());
        assert_eq!(town.store.len(), if password.is_some() { 2 } else { 1 });
        let mut romeo = Phone::new("romeo", "thorn", udp(5070));
        match password {
            Some(_) => romeo.registers(&mut town),
            None => {
                let request = romeo.register();
                assert_eq!(romeo.ask(&mut town, request).code, 401);
            }
        }
    }
}

/// What is not proved costs no memory, and who has proved who it is has its bounds.
#[test]
fn floods_of_registers_are_bounded() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    for _ in 0..5000 {
        let request = romeo.register();
        town.comes(&request, udp(5071));
        assert_eq!(town.answer().code, 401);
    }
    for shard in &town.shards {
        let counts = shard.sip_counts();
        assert_eq!((counts.remembered, counts.server_open), (0, 0));
    }
    let mut codes = BTreeMap::new();
    for _ in 0..100 {
        let request = romeo.register();
        *codes.entry(romeo.ask(&mut town, request).code).or_insert(0) += 1;
    }
    assert_eq!(codes, BTreeMap::from([(200, 20), (480, 80)]));
    town.pass(60);
    romeo.registers(&mut town);
}

/// A watcher behind a connection: the NOTIFYs go over it, and not where the Contact points. A Contact of somebody else's has no part in it.
#[test]
fn what_is_in_a_dialog_goes_by_the_contacts_flow() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", tcp(7));
    let mut tybalt = Phone::new("tybalt", "cat", tcp(8));
    tybalt.contact = romeo.contact.clone();
    romeo.registers(&mut town);
    tybalt.registers(&mut town);
    let mut subscribe = romeo.request(Method::Subscribe, "sip:juliet@example.com", "sip:juliet@example.com");
    subscribe.headers.push(Name::Contact, format_args!("<{};ob>", romeo.contact));
    subscribe.headers.push(Name::Event, "presence");
    subscribe.headers.push(Name::Accept, "application/pidf+xml");
    romeo.renew(&mut subscribe);
    town.comes(&subscribe, romeo.flow);
    let mut notifies = Vec::new();
    for (to, message) in town.sip.drain(..) {
        if let (SendTo::Target(target), Message::Request(request)) = (to, message) {
            notifies.push((request.method.clone(), request.uri.to_string(), target.flow));
        }
    }
    assert_eq!(notifies, [(Method::Notify, format!("{};ob", romeo.contact), Some(7))]);
}

/// The names that stand in keys.
#[test]
fn registers_and_records_of_an_account_meet_in_one_shard() {
    let router = Router::new(16, HashKey::new(5, 6));
    for n in 0..64 {
        let user: Str = format!("romeo{n}").into();
        let mut request = Request::new(Method::Register, Uri::parse("sip:example.net").unwrap());
        request.headers.push(Name::From, format_args!("<sip:{user}@example.net>;tag=1"));
        let shard = router.sip(&Message::Request(request));
        assert_eq!(router.record(&account_key(&user)), shard);
    }
}
