//! Two agents and a network that loses, doubles and reorders: fault 12. Whatever it does, each request comes up at most once, and exactly
//! once if it arrived; each request ends exactly once, and if with a response then with the one that was given.

use super::client::ours;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Weather {
    seed: u64,
    lost: u64,
    doubled: u64,
    /// The longest way in milliseconds: less than T1, so that timer J (64 T1 after the answer) outlives the last copy of a request.
    slowest: u64,
    /// The longest that the user holds a request in milliseconds.
    held: u64,
    requests: u64,
    transport: Transport,
}

/// What became of one request.
#[derive(Debug, Default)]
struct Fate {
    invite: bool,
    arrived: bool,
    surfaced: u32,
    given: Option<u16>,
    answers: Vec<Bytes>,
    ended: Vec<Result<u16, Failure>>,
}

enum Event {
    ToServer(Bytes),
    ToClient(Bytes),
    Answer(ServerId, String),
    GiveUp(ClientId),
}

struct World {
    weather: Weather,
    dice: Tokens,
    client: Agent,
    server: Agent,
    now: Time,
    events: BTreeMap<(Time, u64), Event>,
    number: u64,
    fates: BTreeMap<String, Fate>,
    ids: BTreeMap<ClientId, String>,
}

fn call_id(text: &str) -> String {
    text.lines().find_map(|l| l.strip_prefix("Call-ID: ")).expect("a Call-ID").to_owned()
}

impl World {
    fn new(weather: Weather) -> World {
        // Two gateways of different names, or each would find the other's requests to be its own come back.
        let named = |name: &str| {
            let sent_by =
                config().sent_by.into_iter().map(|(t, _, port)| (t, Host::parse(name).expect("a host"), port));
            Config { sent_by: sent_by.collect(), ..config() }
        };
        let agent = |name, seed| Agent::new(named(name), Tokens::seeded(seed));
        World {
            dice: Tokens::seeded(weather.seed),
            client: agent("a.example.com", weather.seed + 1),
            server: agent("b.example.com", weather.seed + 2),
            weather,
            now: Time::from_secs(1),
            events: BTreeMap::new(),
            number: 0,
            fates: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    fn later(&mut self, millis: u64, event: Event) {
        self.number += 1;
        self.events.insert((self.now + Duration::from_millis(millis), self.number), event);
    }

    /// One packet: perhaps none, perhaps two. A connection loses, doubles and reorders nothing.
    fn carry(&mut self, event: impl Fn() -> Event) {
        if self.weather.transport.reliable() {
            return self.later(1, event());
        }
        let copies = if self.dice.below(100) < self.weather.lost {
            0
        } else {
            1 + u64::from(self.dice.below(100) < self.weather.doubled)
        };
        for _ in 0..copies {
            let delay = self.dice.below(self.weather.slowest + 1);
            self.later(delay, event());
        }
    }

    fn begin(&mut self, n: u64) {
        let mut request = ours(if n.is_multiple_of(3) { Method::Invite } else { Method::Message });
        let call_id = format!("call{n}");
        request.headers.set(Name::CallId, &call_id);
        let target = Target::new(self.weather.transport, address("192.0.2.2:5060"));
        let id = self.client.request(self.now, request, &target.into(), None).expect("sent");
        self.fates.insert(call_id.clone(), Fate { invite: n.is_multiple_of(3), ..Fate::default() });
        self.ids.insert(id, call_id);
        // An INVITE that is Proceeding waits for ever (RFC 3261 §17.1.1.2), unless its user loses patience. A 2xx is sent again by a user too,
        // and here there is none who does.
        self.later(120_000, Event::GiveUp(id));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Send { bytes, .. } => self.carry(|| Event::ToServer(bytes.clone())),
                Output::Response { id, response } if response.code >= 200 => self.end(id, Ok(response.code)),
                Output::Response { .. } => {}
                Output::Failed { id, why } => self.end(id, Err(why)),
                other => panic!("{other:?} from a client"),
            }
        }
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send { bytes, .. } => {
                    let text = text(&bytes);
                    if !text.starts_with("SIP/2.0 1") && !text.contains(" CANCEL\r\n") {
                        self.fates.get_mut(&call_id(&text)).expect("known").answers.push(bytes.clone());
                    }
                    self.carry(|| Event::ToClient(bytes.clone()));
                }
                Output::Request { id, request, .. } => {
                    let call_id = request.headers.get(Name::CallId).expect("a Call-ID").to_owned();
                    self.fates.get_mut(&call_id).expect("known").surfaced += 1;
                    let held = self.dice.below(self.weather.held + 1);
                    self.later(held, Event::Answer(id, call_id));
                }
                Output::Cancelled { .. } | Output::Ack { .. } => {}
                other => panic!("{other:?} from a server"),
            }
        }
    }

    fn end(&mut self, id: ClientId, how: Result<u16, Failure>) {
        let call_id = &self.ids[&id];
        let fate = self.fates.get_mut(call_id).expect("known");
        // RFC 6026 §7.2: every 2xx to an INVITE is passed on, also the copies that the network makes.
        let further = how.is_ok_and(|code| code < 300) && fate.invite && fate.ended == [how];
        if !further {
            fate.ended.push(how);
        }
    }

    fn happen(&mut self, event: Event) {
        let flow = flow(self.weather.transport, "192.0.2.1:5070");
        match event {
            Event::ToServer(bytes) => {
                self.fates.get_mut(&call_id(&text(&bytes))).expect("known").arrived = true;
                let message = parse_datagram(&bytes, &Limits::default()).expect("a request");
                self.server.received(self.now, message, flow);
            }
            Event::ToClient(bytes) => {
                let message = parse_datagram(&bytes, &Limits::default()).expect("a response");
                self.client.received(self.now, message, flow);
            }
            Event::GiveUp(id) => self.client.cancel(self.now, id, &[]),
            Event::Answer(id, call_id) => {
                let mut answer = Response::new([200, 404, 486, 500, 603][self.dice.below(5) as usize], "");
                if self.dice.below(4) == 0 {
                    answer.reason = "In Words Of Its Own".into();
                    answer.body = Bytes::from_static(b"and a body");
                }
                let fate = self.fates.get_mut(&call_id).expect("known");
                fate.given = Some(answer.code);
                self.server.respond(self.now, id, answer);
            }
        }
        self.settle();
    }

    fn run(&mut self) {
        loop {
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            let deadlines = [self.client.deadline(), self.server.deadline(), next];
            let Some(at) = deadlines.into_iter().flatten().min() else { return };
            self.now = at.max(self.now);
            self.client.timeout(self.now);
            self.server.timeout(self.now);
            self.settle();
            while let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
                let event = entry.remove();
                self.happen(event);
            }
        }
    }
}

fn weather() -> impl Strategy<Value = Weather> {
    let transport = prop_oneof![4 => Just(Transport::Udp), 1 => Just(Transport::Tcp)];
    (
        any::<u32>(),
        0u64..95,
        0u64..100,
        0u64..500,
        prop_oneof![Just(0u64), 0..1000u64, 0..40_000u64],
        1u64..20,
        transport,
    )
        .prop_map(|(seed, lost, doubled, slowest, held, requests, transport)| Weather {
            seed: u64::from(seed),
            lost,
            doubled,
            slowest,
            held,
            requests,
            transport,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_request_comes_up_once_and_ends_once(weather in weather()) {
        let mut world = World::new(weather);
        for n in 0..world.weather.requests {
            world.begin(n);
        }
        world.run();
        for (call, fate) in &world.fates {
            prop_assert_eq!(fate.surfaced, u32::from(fate.arrived), "{} {:?}", call, fate);
            prop_assert_eq!(fate.ended.len(), 1, "{} {:?}", call, fate);
            if let Ok(code) = fate.ended[0] {
                prop_assert_eq!(Some(code), fate.given, "{} {:?}", call, fate);
            }
            prop_assert!(fate.answers.windows(2).all(|two| two[0] == two[1]), "{} {:?}", call, fate);
            if world.weather.transport.reliable() && world.weather.held < 31_000 {
                prop_assert!(fate.ended[0].is_ok());
            }
        }
        for agent in [&world.client, &world.server] {
            let counts = agent.counts();
            prop_assert_eq!((counts.client_open, counts.server_open, counts.remembered), (0, 0, 0));
            prop_assert_eq!(agent.deadline(), None);
        }
    }

    /// Bytes from anybody: nothing panics, and nothing is answered that is none of a request.
    #[test]
    fn mutated_messages_do_no_harm(seed: u64, cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let mut desk = Desk::new();
        let originals = [message(), request("INVITE", "a;branch=z9hG4bKi"), request("CANCEL", "a;branch=z9hG4bKi"), request("ACK", "a;branch=z9hG4bKi")];
        let mut dice = Tokens::seeded(seed);
        for _ in 0..8 {
            let mut bytes = originals[dice.below(4) as usize].replace('\n', "\r\n").into_bytes();
            for (at, byte) in &cuts {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            match parse_datagram(&Bytes::from(bytes), &Limits::default()) {
                Ok(message) => desk.agent.received(desk.now, message, desk.flow),
                Err(rejected) => desk.agent.rejected(desk.now, rejected, desk.flow),
            }
            for output in desk.drain() {
                if let Output::Request { id, .. } = output {
                    desk.answer(id, 200);
                }
            }
            desk.wait(dice.below(5000));
        }
    }
}
