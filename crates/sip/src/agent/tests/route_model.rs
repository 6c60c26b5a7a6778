//! A domain of several servers, some of which are dead, busy or break, behind a network that loses: whatever they do, each request ends once, with the
//! answer of a server that has one to give wherever there is one in reach, and nothing is left behind.

use super::client::{ours, response};
use super::*;
use base::dns::{Answer, Question, Srv};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// It takes everything and says nothing.
    Mute,
    /// It cannot be reached.
    Gone,
    /// 503.
    Busy,
    /// It answers.
    Lives,
}

#[derive(Debug, Clone)]
struct Domain {
    seed: u64,
    moods: Vec<Mood>,
    transport: Transport,
    /// Of a hundred packets.
    lost: u64,
    requests: u64,
}

#[derive(Debug)]
enum Event {
    Come { server: usize, text: String },
    Back(String),
    Fail(ClientId),
    Looked(u64, Question),
    GiveUp(ClientId),
}

struct World {
    domain: Domain,
    dice: Tokens,
    agent: Agent,
    now: Time,
    events: BTreeMap<(Time, u64), Event>,
    number: u64,
    /// What the layer above has heard of each.
    ended: BTreeMap<ClientId, Vec<Result<u16, Failure>>>,
}

impl World {
    fn new(domain: Domain) -> World {
        let agent = Agent::new(config(), Tokens::seeded(domain.seed + 1));
        let dice = Tokens::seeded(domain.seed);
        World {
            domain,
            dice,
            agent,
            now: Time::from_secs(1),
            events: BTreeMap::new(),
            number: 0,
            ended: BTreeMap::new(),
        }
    }

    fn later(&mut self, millis: u64, event: Event) {
        self.number += 1;
        self.events.insert((self.now + Duration::from_millis(millis), self.number), event);
    }

    fn carry(&mut self, event: Event) {
        let lost = !self.domain.transport.reliable() && self.dice.below(100) < self.domain.lost;
        if !lost {
            let delay = 1 + self.dice.below(200);
            self.later(delay, event);
        }
    }

    fn begin(&mut self, n: u64) {
        let host = Host::parse("example.net").expect("a host");
        let transport = Some(self.domain.transport);
        let place = Place { host, port: None, transport, secure: false, account: None, foreign: true };
        let mut request = ours(if n.is_multiple_of(3) { Method::Invite } else { Method::Message });
        request.headers.set(Name::CallId, format!("call{n}"));
        let id = self.agent.request(self.now, request, &place.into(), None).expect("begun");
        self.ended.insert(id, Vec::new());
        if n.is_multiple_of(7) {
            let after = self.dice.below(60_000);
            self.later(after, Event::GiveUp(id));
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Locate { id, question } => {
                    let after = self.dice.below(500);
                    self.later(after, Event::Looked(id, question));
                }
                Output::Send { to: SendTo::Target(target), bytes, client } => {
                    let IpAddr::V4(ip) = target.remote.ip() else { panic!("{target:?}") };
                    let server = usize::from(ip.octets()[3]) - 1;
                    match (self.domain.moods[server], client) {
                        (Mood::Gone, Some(client)) => self.later(3, Event::Fail(client)),
                        _ => self.carry(Event::Come { server, text: text(&bytes) }),
                    }
                }
                Output::Response { id, response } if response.code >= 200 => self.end(id, Ok(response.code)),
                Output::Response { .. } => {}
                Output::Failed { id, why } => self.end(id, Err(why)),
                other => panic!("{other:?} from a client"),
            }
        }
    }

    fn end(&mut self, id: ClientId, how: Result<u16, Failure>) {
        let ended = self.ended.get_mut(&id).expect("a request of ours");
        // RFC 6026 §7.2: every 2xx to an INVITE is passed on.
        if !(how == Ok(200) && ended.as_slice() == [Ok(200)]) {
            ended.push(how);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Come { server, text } => {
                let code = match self.domain.moods[server] {
                    Mood::Mute | Mood::Gone => return,
                    Mood::Busy => 503,
                    Mood::Lives => 200,
                };
                if text.starts_with("INVITE") || text.starts_with("MESSAGE") {
                    self.carry(Event::Back(response(&text, code)));
                } else if text.starts_with("CANCEL") {
                    self.carry(Event::Back(response(&text, 200)));
                }
            }
            Event::Back(text) => {
                let bytes = Bytes::from(text.replace('\r', "").replace('\n', "\r\n"));
                let message = parse_datagram(&bytes, &Limits::default()).expect("a response");
                self.agent.received(self.now, message, flow(self.domain.transport, "192.0.2.1:5060"));
            }
            Event::Fail(client) => self.agent.send_failed(self.now, client),
            Event::GiveUp(id) => self.agent.cancel(self.now, id, &[]),
            Event::Looked(id, question) => {
                let ttl = Duration::from_secs(1);
                let answer = match question {
                    Question::Srv(_) => Answer::of_srv(
                        (0u16..).zip(&self.domain.moods).map(|(n, _)| Srv {
                            priority: n,
                            weight: 0,
                            port: 5060,
                            target: base::format_compact!("s{}", n + 1),
                        }),
                        ttl,
                    ),
                    Question::Addresses(name) => {
                        let last = name[1..].parse().expect("a number");
                        Answer::of_addresses([IpAddr::from([192, 0, 2, last])], ttl)
                    }
                    Question::Naptr(_) => panic!("the transport is said"),
                };
                self.agent.located(self.now, id, &answer);
            }
        }
        self.settle();
    }

    fn run(&mut self) {
        loop {
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = [self.agent.deadline(), next].into_iter().flatten().min() else { return };
            self.now = at.max(self.now);
            self.agent.timeout(self.now);
            self.settle();
            while let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
                let event = entry.remove();
                self.happen(event);
            }
        }
    }
}

fn domain() -> impl Strategy<Value = Domain> {
    let mood = prop_oneof![1 => Just(Mood::Mute), 1 => Just(Mood::Gone), 1 => Just(Mood::Busy), 2 => Just(Mood::Lives)];
    let transport = prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)];
    (any::<u32>(), prop::collection::vec(mood, 1..5), transport, 0u64..50, 1u64..12).prop_map(
        |(seed, moods, transport, lost, requests)| Domain { seed: u64::from(seed), moods, transport, lost, requests },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn each_request_finds_a_server_that_answers(domain in domain()) {
        let mut world = World::new(domain);
        for n in 0..world.domain.requests {
            world.begin(n);
        }
        world.run();
        // Silence takes 32 s, and after 64 s nobody else is tried.
        let lives = world.domain.moods.iter().position(|mood| *mood == Mood::Lives);
        let mute = |until: usize| world.domain.moods[..until].iter().filter(|mood| **mood == Mood::Mute).count();
        let sure = lives.is_some_and(|at| mute(at) < 2) && world.domain.transport.reliable();
        let cancelled = |n: usize| n.is_multiple_of(21);
        for (n, ended) in world.ended.values().enumerate() {
            prop_assert_eq!(ended.len(), 1, "{:?} {:?}", &world.domain, ended);
            if sure && world.domain.requests == 1 && !cancelled(n) {
                prop_assert_eq!(ended[0], Ok(200), "{:?}", &world.domain);
            }
            if lives.is_none() {
                prop_assert_ne!(ended[0], Ok(200));
            }
        }
        let counts = world.agent.counts();
        prop_assert_eq!((counts.client_open, world.agent.contexts.len(), world.agent.asked.len()), (0, 0, 0));
        prop_assert_eq!(world.agent.deadline(), None);
        // Whoever is dead is known to be: the next request goes to one that lives at once.
        if sure {
            world.ended.clear();
            world.begin(1);
            let begun = world.now;
            world.run();
            let ended: Vec<_> = world.ended.values().flatten().collect();
            prop_assert_eq!(ended, [&Ok(200)]);
            prop_assert!(world.now.since(begun) < Duration::from_secs(120));
        }
    }
}
