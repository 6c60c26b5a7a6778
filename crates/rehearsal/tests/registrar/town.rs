//! A gateway of two shards, and phones.

use base::{HashKey, Time, Tokens};
use rehearsal::scene::Settings;
use sip::agent::{Flow, SendTo, Transport};
use sip::digest::{self, AccountId, Algorithm, Wallet};
use sip::header::CSeq;
use sip::{Message, Method, Name, Request, Response, Uri};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::config::Link;
use stox::gateway::{Gateway, Input, Output};
use stox::phones::{Account, Options};
use stox::route::Router;
use stox::store::{About, Key, is_shared};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

pub(super) const SHARDS: usize = 2;

/// The name of the wish and who has it, and what is to be saved.
pub(super) type Save = (usize, u64, Vec<u8>, Option<Vec<u8>>);

/// A domain as people write it, and as SIP does.
pub(super) const IDN: (&str, &str) = ("m\u{fc}nchen.example", "xn--mnchen-3ya.example");

/// A gateway of two shards, with a store that works.
pub(super) struct Town {
    pub(super) shards: Vec<Gateway>,
    pub(super) router: Router,
    pub(super) settings: Settings,
    pub(super) now: Time,
    pub(super) store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is to be saved and is not yet, where that takes its time.
    pub(super) held: Option<Vec<Save>>,
    /// What went to SIP: where to, and what.
    pub(super) sip: Vec<(SendTo, Message)>,
    /// What went to XMPP.
    pub(super) stanzas: Vec<String>,
    pub(super) notes: Vec<String>,
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// A way from somewhere that no peer is.
pub(super) fn udp(port: u16) -> Flow {
    let remote = SocketAddr::new(address("198.51.100.7:1").ip(), port);
    Flow { transport: Transport::Udp, local: address("192.0.2.1:5060"), remote, connection: None }
}

pub(super) fn tcp(connection: u64) -> Flow {
    Flow { transport: Transport::Tcp, connection: Some(connection), ..udp(40_000) }
}

impl Town {
    /// A town with the accounts romeo (password "rose") and tybalt ("cat") of example.net.
    pub(super) fn new() -> Town {
        let mut settings = Settings::default();
        settings.config.registrar = Some(Options {
            domains: vec!["example.net".into(), IDN.0.into()],
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
        let idn = Link { domain: IDN.0.into(), ..settings.config.links[0].clone() };
        settings.config.links.push(idn);
        let mut town = Town {
            shards: Vec::new(),
            router: Router::new(SHARDS, HashKey::new(1, 2)),
            settings,
            now: Time::from_secs(10),
            store: BTreeMap::new(),
            held: None,
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
    pub(super) fn begin(&mut self) {
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
            (0..self.settings.config.links.len()).for_each(|link| self.give(shard, Input::LinkUp(link)));
        }
        assert!(self.sip.is_empty() && self.stanzas.is_empty());
    }

    pub(super) fn give(&mut self, shard: usize, input: Input) {
        self.shards[shard].handle(self.now, input);
        self.drain(shard);
    }

    pub(super) fn drain(&mut self, shard: usize) {
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
                Output::Save { token, key, value } => match &mut self.held {
                    Some(held) => held.push((shard, token, key, value)),
                    None => self.save((shard, token, key, value)),
                },
                Output::Note(note) => self.notes.push(format!("{note:?}")),
                Output::Offence(flow, offence) => self.notes.push(format!("offence {offence:?} of {}", flow.remote)),
                _ => {}
            }
        }
    }

    fn save(&mut self, (shard, token, key, value): Save) {
        match &value {
            Some(value) => self.store.insert(key.clone(), value.clone()),
            None => self.store.remove(&key),
        };
        self.give(shard, Input::Saved(token));
        if is_shared(&key) {
            assert_eq!(self.router.record(&key), shard, "the account's own shard saves");
            self.change(&key, value.as_deref(), Some(shard));
        }
    }

    /// The disk has done what it was to do.
    pub(super) fn release(&mut self) {
        for save in self.held.take().unwrap_or_default() {
            self.save(save);
        }
    }

    /// The operator has changed something.
    pub(super) fn reload(&mut self) {
        let config = Arc::new(self.settings.config.clone());
        self.shards.iter_mut().for_each(|shard| shard.reconfigure(Arc::clone(&config)));
        self.pass(0);
    }

    pub(super) fn change(&mut self, key: &[u8], value: Option<&[u8]>, but: Option<usize>) {
        for other in (0..SHARDS).filter(|other| Some(*other) != but) {
            self.give(other, Input::Changed { key: key.to_vec(), value: value.map(<[u8]>::to_vec) });
        }
    }

    /// As `verona account` does it.
    pub(super) fn set_account(&mut self, user: &str, password: Option<&str>) {
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
    pub(super) fn comes(&mut self, request: &Request, flow: Flow) {
        let shard = self.router.sip(&Message::Request(request.clone()));
        self.give(shard, Input::Sip(Message::Request(request.clone()), flow));
    }

    /// An XMPP user writes.
    pub(super) fn writes(&mut self, to: &str, text: &str) {
        self.writes_by(0, to, text);
    }

    /// The same, over another link.
    pub(super) fn writes_by(&mut self, link: usize, to: &str, text: &str) {
        let body = xml::Element::new("body", xmpp::ns::CLIENT).with_text(text);
        let stanza = Stanza::message().with_from(jid("juliet@example.com/balcony")).with_to(jid(to)).with_id("m1");
        let stanza = stanza.with_child(body);
        let shard = self.router.stanza(&stanza);
        self.give(shard, Input::Stanza(link, stanza));
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        for shard in 0..SHARDS {
            self.shards[shard].timeout(self.now);
            self.drain(shard);
        }
    }

    /// The only answer that went out.
    pub(super) fn answer(&mut self) -> Response {
        let mut sent: Vec<_> = self.sip.drain(..).collect();
        assert_eq!(sent.len(), 1, "{sent:?}");
        match sent.remove(0) {
            (_, Message::Response(response)) => response,
            (_, other) => panic!("{other:?}"),
        }
    }

    /// The requests that went out: Request-URI, and where to.
    pub(super) fn asked(&mut self) -> Vec<(String, SocketAddr, Option<u64>)> {
        let requests = self.sip.drain(..).filter_map(|(to, message)| match (to, message) {
            (SendTo::Target(target), Message::Request(r)) => Some((r.uri.to_string(), target.remote, target.flow)),
            _ => None,
        });
        let mut asked: Vec<_> = requests.collect();
        asked.sort();
        asked
    }

    pub(super) fn stanza(&mut self) -> String {
        assert_eq!(self.stanzas.len(), 1, "{:?}", self.stanzas);
        self.stanzas.remove(0)
    }
}

pub(super) fn account_key(user: &str) -> Vec<u8> {
    let jid = jid(&format!("{user}@example.net"));
    Key { about: About::Account, sip: jid.clone(), xmpp: jid }.to_bytes()
}

/// A phone.
pub(super) struct Phone {
    pub(super) wallet: Wallet,
    pub(super) tokens: Tokens,
    pub(super) user: &'static str,
    pub(super) domain: &'static str,
    pub(super) flow: Flow,
    pub(super) contact: String,
    pub(super) cseq: u32,
}

pub(super) const ME: AccountId = AccountId(1);

impl Phone {
    pub(super) fn new(user: &'static str, password: &str, flow: Flow) -> Phone {
        let mut wallet = Wallet::new(HashKey::new(3, 4));
        wallet.set(ME, digest::Account::new(user, password));
        let contact = format!("sip:{user}-x@10.0.0.2:{}", flow.remote.port());
        // What two phones make up is not the same.
        let seed = password.bytes().map(u64::from).sum::<u64>() << 16 | u64::from(flow.remote.port());
        Phone { wallet, tokens: Tokens::seeded(seed), user, domain: "example.net", flow, contact, cseq: 0 }
    }

    pub(super) fn request(&mut self, method: Method, uri: &str, to: &str) -> Request {
        self.cseq += 1;
        let mut request = Request::new(method.clone(), Uri::parse(uri).unwrap());
        let headers = &mut request.headers;
        let branch = self.tokens.token(12);
        headers.push(Name::Via, format_args!("SIP/2.0/UDP 10.0.0.2;rport;branch=z9hG4bKp{branch}"));
        headers.push(Name::MaxForwards, 70);
        headers.push(Name::From, format_args!("<sip:{}@{}>;tag={branch}", self.user, self.domain));
        headers.push(Name::To, format_args!("<{to}>"));
        headers.push(Name::CallId, format_args!("{}-{}", self.user, self.flow.remote.port()));
        headers.push(Name::CSeq, CSeq { number: self.cseq, method });
        request
    }

    pub(super) fn register(&mut self) -> Request {
        let to = format!("sip:{}@{}", self.user, self.domain);
        let mut request = self.request(Method::Register, &format!("sip:{}", self.domain), &to);
        request.headers.push(Name::Contact, format_args!("<{}>", self.contact));
        request
    }

    pub(super) fn message(&mut self, to: &str) -> Request {
        let mut request = self.request(Method::Message, to, to);
        request.headers.push(Name::ContentType, "text/plain");
        request.body = bytes::Bytes::from_static(b"hi");
        request
    }

    /// The same once more, with what the challenge asks for.
    pub(super) fn again(&mut self, request: &Request, challenge: &Response) -> Option<Request> {
        let mut request = request.clone();
        if !self.wallet.challenged(ME, &request, challenge) {
            return None;
        }
        self.renew(&mut request);
        Some(request)
    }

    pub(super) fn renew(&mut self, request: &mut Request) {
        self.cseq += 1;
        let branch = self.tokens.token(12);
        request.headers.set(Name::Via, format_args!("SIP/2.0/UDP 10.0.0.2;rport;branch=z9hG4bKp{branch}"));
        request.headers.set(Name::CSeq, CSeq { number: self.cseq, method: request.method.clone() });
        self.wallet.authorize(ME, request, &mut self.tokens);
    }

    /// Sends it, and again when it is challenged. The final answer.
    pub(super) fn ask(&mut self, town: &mut Town, mut request: Request) -> Response {
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
    pub(super) fn registers(&mut self, town: &mut Town) {
        let request = self.register();
        let answer = self.ask(town, request);
        assert_eq!(answer.code, 200, "{answer:?}");
        assert!(answer.headers.all(Name::Contact).any(|contact| contact.contains(&self.contact)), "{answer:?}");
    }
}
