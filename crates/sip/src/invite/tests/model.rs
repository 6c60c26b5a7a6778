//! Two gateways that call each other's users, over a network that loses, doubles and reorders, with layers above that decide at will and late,
//! and processes that die. Whatever happens: numbers never go back, a session has one last event and nothing behind it, nobody says BYE before
//! the ACK he waits for, an offer has one answer, INFOs come in their order and end in it. When the network is sound again both ends agree on which sessions there are and on
//! the last answer in each, and when all have said BYE nothing is left.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Weather {
    seed: u64,
    lost: u64,
    doubled: u64,
    /// The longest way in milliseconds.
    slowest: u64,
    /// The longest that the layer above thinks, in milliseconds.
    held: u64,
    crashes: bool,
    /// Whether either side knows UPDATE.
    updates: [bool; 2],
    steps: u64,
}

/// Something that happens later. `life` is the number of the process that it belongs to.
#[derive(Debug)]
enum Later {
    Packet { to: usize, bytes: Bytes },
    Step,
    Decide { side: usize, life: u32, id: SessionId },
    Answer { side: usize, life: u32, id: SessionId, offer: bool },
    Ack { side: usize, life: u32, id: SessionId },
    AnswerInfo { side: usize, life: u32, id: SessionId, info: InfoId },
}

/// What either side takes by INFO.
const TAKES: Infos = Infos { packages: &["count"], types: &[] };

/// Call-ID and tag of who sends.
type Half = (String, String);

struct Side {
    agent: Agent,
    engine: Sessions,
    life: u32,
    alive: BTreeSet<SessionId>,
    /// The last answer in each session, ours or theirs.
    agreed: BTreeMap<SessionId, String>,
    /// Offers of ours without an answer.
    offers: BTreeMap<SessionId, u32>,
    disk: BTreeMap<SessionId, Dialog>,
    /// INFOs of ours that have not ended, and the last one of theirs, in each session.
    infos: BTreeMap<SessionId, u32>,
    heard: BTreeMap<SessionId, u64>,
    sent: BTreeSet<ClientId>,
}

struct World {
    weather: Weather,
    dice: Tokens,
    now: Time,
    later: BTreeMap<(Time, u64), Later>,
    number: u64,
    sides: [Side; 2],
    /// By who sends, and the other tag: each fork is a dialog.
    numbers: BTreeMap<(Half, String), u32>,
    /// The 2xx to INVITEs with the number 1, by who sent them and the other tag, as long as no ACK has come.
    unacknowledged: BTreeMap<(usize, Half, String), Time>,
}

const NAMES: [&str; 2] = ["a.example.com", "b.example.com"];

fn of(side: usize) -> SocketAddr {
    address(["192.0.2.1:5060", "192.0.2.2:5060"][side])
}

/// The way to either side.
struct Map;

impl NextHop for Map {
    fn next_hop(&self, dialog: &Dialog) -> Option<Hop> {
        let target = dialog.target()?;
        let host = target.sip()?.host.to_string();
        let side = NAMES.iter().position(|name| *name == host)?;
        Some(Target::new(Transport::Udp, of(side)).into())
    }
}

fn node(side: usize, weather: &Weather, dice: &mut Tokens) -> (Agent, Sessions) {
    let mut config = below();
    config.sent_by = vec![(Transport::Udp, Host::parse(NAMES[side]).expect("a host"), None)];
    if !weather.updates[side] {
        config.allow.retain(|method| *method != Method::Update);
    }
    config.max_client = 40;
    let bounds = Config {
        max_sessions: 60,
        ring_for: Duration::from_secs(50),
        answer_within: Duration::from_secs(40),
        session_expires: 100,
        max_byes: 3,
        ..Config::default()
    };
    (Agent::new(config, dice.fork()), Sessions::new(bounds, dice))
}

impl World {
    fn new(weather: Weather) -> World {
        let mut dice = Tokens::seeded(weather.seed);
        let sides = [0, 1].map(|side| {
            let (agent, engine) = node(side, &weather, &mut dice);
            Side {
                agent,
                engine,
                life: 0,
                alive: BTreeSet::new(),
                agreed: BTreeMap::new(),
                offers: BTreeMap::new(),
                disk: BTreeMap::new(),
                infos: BTreeMap::new(),
                heard: BTreeMap::new(),
                sent: BTreeSet::new(),
            }
        });
        World {
            weather,
            dice,
            now: Time::from_secs(100),
            later: BTreeMap::new(),
            number: 0,
            sides,
            numbers: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
        }
    }

    fn after(&mut self, millis: u64, what: Later) {
        self.number += 1;
        self.later.insert((self.now + Duration::from_millis(millis), self.number), what);
    }

    fn chance(&mut self, in_a_hundred: u64) -> bool {
        self.dice.below(100) < in_a_hundred
    }

    fn act<R>(&mut self, side: usize, act: impl FnOnce(&mut Sessions, &mut Ground<'_>) -> R) -> R {
        let Side { agent, engine, .. } = &mut self.sides[side];
        act(engine, &mut Ground { now: self.now, agent, hops: &Map, tokens: &mut self.dice })
    }

    fn fresh(&mut self, kind: &str) -> Body {
        self.number += 1;
        body(&format!("{kind}{}", self.number)).expect("a body")
    }

    /// One packet: perhaps none, perhaps two.
    fn carry(&mut self, to: usize, bytes: &Bytes) {
        let copies = if self.chance(self.weather.lost) { 0 } else { 1 + u64::from(self.chance(self.weather.doubled)) };
        for _ in 0..copies {
            let delay = self.dice.below(self.weather.slowest + 1);
            self.after(delay, Later::Packet { to, bytes: bytes.clone() });
        }
    }

    fn output(&mut self, side: usize, output: Output) {
        match output {
            Output::Send { to, bytes, client } => {
                let remote = match to {
                    SendTo::Target(target) => target.remote,
                    SendTo::Flow { flow, .. } => flow.remote,
                };
                self.look(side, client, &text(&bytes));
                self.carry(usize::from(remote == of(1)), &bytes);
            }
            Output::Request { id, request, flow } => {
                let contact = NameAddr::new(uri(&format!("sip:user@{}", NAMES[side])));
                self.act(side, |engine, ground| engine.request(ground, id, request, flow, &contact));
            }
            Output::Response { id, response } => {
                self.act(side, |engine, ground| engine.response(ground, id, &response));
            }
            Output::Failed { id, why } => {
                self.act(side, |engine, ground| engine.failed(ground, id, why));
            }
            Output::Cancelled { id, reason } => {
                self.act(side, |engine, ground| engine.cancelled(ground, id, reason));
            }
            Output::Locate { .. } => panic!("nobody is looked for"),
            Output::Ack { id, request, .. } => {
                let headers = &request.headers;
                let half = (headers.get(Name::CallId).unwrap_or_default(), headers.to_tag().unwrap_or_default());
                let theirs = headers.from_tag().unwrap_or_default().to_owned();
                self.unacknowledged.remove(&(side, (half.0.to_owned(), half.1.to_owned()), theirs));
                self.act(side, |engine, ground| engine.acked(ground, id, request));
            }
        }
    }

    /// Looks at what a side sends.
    fn look(&mut self, side: usize, client: Option<ClientId>, text: &str) {
        if text.starts_with("SIP/2.0 200") && header(text, "CSeq").ends_with("INVITE") && client.is_none() {
            let half = (header(text, "Call-ID").to_owned(), tag(text, "To"));
            if header(text, "CSeq") == "1 INVITE" {
                let now = self.now;
                self.unacknowledged.entry((side, half, tag(text, "From"))).or_insert(now);
            }
            return;
        }
        if client.is_none_or(|client| !self.sides[side].sent.insert(client)) {
            return;
        }
        if text.starts_with("ACK ") || text.starts_with("CANCEL ") {
            return;
        }
        let half = (header(text, "Call-ID").to_owned(), tag(text, "From"));
        if text.starts_with("BYE ") {
            let since = self.unacknowledged.get(&(side, half.clone(), tag(text, "To"))).copied();
            assert!(since.is_none_or(|at| self.now >= at + Duration::from_secs(32)), "before the ACK: {text}");
        }
        let to = header(text, "To").split(";tag=").nth(1).unwrap_or_default().to_owned();
        let number = header(text, "CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok()).expect("a number");
        let before = self.numbers.insert((half, to), number);
        assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}: {text}");
    }

    fn event(&mut self, side: usize, event: Event) {
        let id = event.id();
        let life = self.sides[side].life;
        let held = self.dice.below(self.weather.held + 1);
        if let Event::Invited { .. } = event {
            assert!(self.sides[side].alive.insert(id), "it begins once");
            self.sides[side].engine.take_infos(id, TAKES);
            return self.after(held, Later::Decide { side, life, id });
        }
        assert!(self.sides[side].alive.contains(&id), "{event:?} behind the last one");
        if event.is_last() {
            let side = &mut self.sides[side];
            side.alive.remove(&id);
            side.agreed.remove(&id);
            side.offers.remove(&id);
            side.disk.remove(&id);
            side.infos.remove(&id);
            side.heard.remove(&id);
            return;
        }
        let content =
            |body: &Option<Body>| body.as_ref().map(|body| String::from_utf8_lossy(&body.content).into_owned());
        match event {
            Event::Progress { .. } => {}
            Event::Established { response, early, .. } => {
                self.store(side, id);
                let body = early.map_or(response.body.clone(), |early| early.content);
                let body = String::from_utf8_lossy(&body).into_owned();
                if body.starts_with("offer") {
                    return self.after(held.min(20_000), Later::Ack { side, life, id });
                }
                if !body.is_empty() {
                    self.sides[side].agreed.insert(id, body);
                }
            }
            Event::Confirmed { body, .. } => {
                self.store(side, id);
                if let Some(body) = content(&body) {
                    self.sides[side].agreed.insert(id, body);
                }
            }
            Event::Offered { body, .. } => {
                self.after(held, Later::Answer { side, life, id, offer: body.is_none() });
            }
            Event::Answered { body, .. } => {
                if let Some(open) = self.sides[side].offers.get_mut(&id) {
                    *open = open.saturating_sub(1);
                }
                let body = content(&body).expect("an answer");
                self.sides[side].agreed.insert(id, body);
            }
            Event::OfferWithdrawn { .. } => {}
            Event::OfferRefused { .. } => {
                let open = self.sides[side].offers.get_mut(&id).expect("an offer");
                *open = open.saturating_sub(1);
            }
            Event::Info { info, request, .. } => {
                let number = String::from_utf8_lossy(&request.body).parse().expect("a number");
                let before = self.sides[side].heard.insert(id, number);
                assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}");
                self.after(held, Later::AnswerInfo { side, life, id, info });
            }
            Event::InfoEnded { .. } => {
                let open = self.sides[side].infos.get_mut(&id).expect("an INFO");
                *open = open.checked_sub(1).expect("an INFO ends once");
            }
            Event::Invited { .. } | Event::Failed { .. } | Event::Ended { .. } => {}
        }
    }

    fn store(&mut self, side: usize, id: SessionId) {
        if let Some(dialog) = self.sides[side].engine.dialog(id).cloned() {
            self.sides[side].disk.insert(id, dialog);
        }
    }

    /// The layer above decides on an INVITE, perhaps in steps.
    fn decide(&mut self, side: usize, id: SessionId) {
        let life = self.sides[side].life;
        let theirs = |world: &World| {
            let entry = world.sides[side].engine.entries.get(&id)?;
            let theirs = entry.theirs.as_ref().filter(|theirs| !theirs.is_accepted() && !entry.over)?;
            let described = theirs.reliable.as_ref().is_some_and(|reliable| reliable.described);
            Some((theirs.offered, described, theirs.is_required()))
        };
        let Some((offered, described, required)) = theirs(self) else { return };
        let kind = if offered { "answer" } else { "offer" };
        match self.dice.below(10) {
            0 => {
                let mut response = Response::new([486, 302, 603][self.dice.below(3) as usize], "");
                if response.code == 302 {
                    let users = format!("<sip:x{}@{}>;q=0.5, <sip:y@nowhere.example>", self.dice.below(3), NAMES[side]);
                    response.headers.push(Name::Contact, users);
                }
                self.act(side, |engine, ground| engine.refuse(ground, id, response));
            }
            1 | 2 => {
                let body = (required && !described && self.chance(50)).then(|| self.fresh(kind));
                if offered && let Some(body) = &body {
                    let text = String::from_utf8_lossy(&body.content).into_owned();
                    self.sides[side].agreed.insert(id, text);
                }
                self.act(side, |engine, ground| engine.ring(ground, id, 183, Vec::new(), body));
                self.after(200, Later::Decide { side, life, id });
            }
            3 => {}
            _ => {
                let body = (!described).then(|| self.fresh(kind));
                if offered && let Some(body) = &body {
                    let text = String::from_utf8_lossy(&body.content).into_owned();
                    self.sides[side].agreed.insert(id, text);
                }
                self.act(side, |engine, ground| engine.accept(ground, id, Vec::new(), body));
            }
        }
    }

    /// It answers an offer.
    fn answer(&mut self, side: usize, id: SessionId, offer: bool) {
        let waits = self.sides[side].engine.entries.get(&id).is_some_and(|entry| {
            let theirs = entry.theirs.as_ref().is_some_and(|theirs| !theirs.first && !theirs.is_accepted());
            !entry.over && (theirs || entry.asked.is_some())
        });
        if !waits {
            return;
        }
        if self.chance(15) && self.sides[side].engine.entries.get(&id).is_some_and(|entry| entry.asked.is_none()) {
            return self.act(side, |engine, ground| engine.reject(ground, id, Response::new(488, "")));
        }
        let body = self.fresh(if offer { "offer" } else { "answer" });
        if !offer {
            self.sides[side].agreed.insert(id, String::from_utf8_lossy(&body.content).into_owned());
        }
        self.act(side, |engine, ground| engine.answer(ground, id, body));
    }

    /// Somebody does something.
    fn step(&mut self) {
        let side = usize::from(self.chance(50));
        let alive: Vec<SessionId> = self.sides[side].alive.iter().copied().collect();
        let pick = alive.get(self.dice.below(alive.len() as u64) as usize).copied();
        match (self.dice.below(15), pick) {
            (0..5, _) | (_, None) => {
                let offer = self.chance(75).then(|| self.fresh("offer"));
                let required = self.chance(30);
                let invite = Invite {
                    remote: uri(&format!("sip:user@{}", NAMES[1 - side])),
                    contact: NameAddr::new(uri(&format!("sip:user@{}", NAMES[side]))),
                    hop: Target::new(Transport::Udp, of(1 - side)).into(),
                    headers: if required { vec![(Name::Require, "100rel".into())] } else { Vec::new() },
                    offer,
                    infos: TAKES,
                    ..wish("")
                };
                if let Ok(id) = self.act(side, |engine, ground| engine.invite(ground, invite)) {
                    self.sides[side].alive.insert(id);
                }
            }
            (5..9, Some(id)) => {
                let body = self.fresh("offer");
                *self.sides[side].offers.entry(id).or_default() += 1;
                self.act(side, |engine, ground| engine.offer(ground, id, body));
            }
            (9 | 10, Some(id)) => self.act(side, |engine, ground| engine.bye(ground, id, Vec::new())),
            (12..15, Some(id)) => {
                self.number += 1;
                let body = body(&self.number.to_string()).expect("a body");
                let info = Info { package: Some("count"), body };
                if self.act(side, |engine, ground| engine.info(ground, id, info)).is_ok() {
                    *self.sides[side].infos.entry(id).or_default() += 1;
                }
            }
            (_, Some(_)) if self.weather.crashes => self.crash(side),
            (_, Some(_)) => {}
        }
    }

    /// The process dies, and another one ends what is on the disk.
    fn crash(&mut self, at: usize) {
        let (agent, engine) = node(at, &self.weather.clone(), &mut self.dice);
        let side = &mut self.sides[at];
        (side.agent, side.engine) = (agent, engine);
        side.life += 1;
        side.alive.clear();
        side.agreed.clear();
        side.offers.clear();
        side.infos.clear();
        side.heard.clear();
        side.sent.clear();
        // Who does not know what he has accepted does not wait for the ACK.
        self.unacknowledged.retain(|(side, ..), _| *side != at);
        let side = &mut self.sides[at];
        for dialog in std::mem::take(&mut side.disk).into_values() {
            assert!(self.act(at, |engine, ground| engine.end_restored(ground, dialog)));
        }
    }

    fn settle(&mut self) {
        for side in [0, 1] {
            loop {
                if let Some(output) = self.sides[side].agent.poll() {
                    self.output(side, output);
                } else if let Some(event) = self.sides[side].engine.poll() {
                    self.event(side, event);
                } else {
                    break;
                }
            }
        }
    }

    fn happen(&mut self, what: Later) {
        match what {
            Later::Packet { to, bytes } => {
                let message = parse_datagram(&bytes, &Limits::default()).expect("a message");
                let flow = Flow { transport: Transport::Udp, local: of(to), remote: of(1 - to), connection: None };
                self.sides[to].agent.received(self.now, message, flow);
            }
            Later::Step => self.step(),
            Later::Decide { side, life, id } if life == self.sides[side].life => self.decide(side, id),
            Later::Answer { side, life, id, offer } if life == self.sides[side].life => self.answer(side, id, offer),
            Later::Ack { side, life, id } if life == self.sides[side].life => {
                let waits = self.sides[side].engine.entries.get(&id).is_some_and(|e| e.unacknowledged.is_some());
                if waits {
                    let body = self.fresh("answer");
                    self.sides[side].agreed.insert(id, String::from_utf8_lossy(&body.content).into_owned());
                    self.act(side, |engine, ground| engine.ack(ground, id, body));
                }
            }
            Later::AnswerInfo { side, life, id, info } if life == self.sides[side].life => {
                self.act(side, |engine, ground| engine.answer_info(ground, id, info, Response::new(200, "")));
            }
            Later::Decide { .. } | Later::Answer { .. } | Later::Ack { .. } | Later::AnswerInfo { .. } => {}
        }
    }

    /// Goes on until nothing is due before that time.
    fn run(&mut self, end: Time) {
        loop {
            let next = self.later.first_key_value().map(|((at, _), _)| *at);
            let own = self.sides.iter().flat_map(|s| [s.agent.deadline(), s.engine.deadline()]);
            let Some(at) = own.chain([next]).flatten().min().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            for side in [0, 1] {
                let now = self.now;
                self.sides[side].agent.timeout(now);
                self.settle();
                self.act(side, Sessions::timeout);
            }
            self.settle();
            while let Some(entry) = self.later.first_entry().filter(|e| e.key().0 <= self.now) {
                let what = entry.remove();
                self.happen(what);
                self.settle();
            }
        }
        self.now = end.max(self.now);
    }

    /// Whether no exchange is under way.
    fn is_quiet(&self) -> bool {
        let quiet = |side: &Side| {
            side.alive
                .iter()
                .filter_map(|id| side.engine.entries.get(id))
                .all(|entry| entry.change.is_none() && entry.theirs.is_none() && entry.asked.is_none())
        };
        self.later.is_empty() && self.sides.iter().all(quiet)
    }

    /// The sessions of a side as both can name them, with the last answer in each.
    fn view(&self, side: usize) -> BTreeMap<(String, BTreeSet<String>), Option<String>> {
        let side = &self.sides[side];
        let name = |id: &SessionId| {
            let dialog = side.engine.dialog(*id).expect("a session");
            let tags = [dialog.local_tag.to_string(), dialog.remote_tag.to_string()];
            (dialog.call_id.to_string(), BTreeSet::from(tags))
        };
        side.alive.iter().map(|id| (name(id), side.agreed.get(id).cloned())).collect()
    }
}

fn weather() -> impl Strategy<Value = Weather> {
    let held = prop_oneof![3 => Just(0u64), 3 => 0..1000u64, 1 => 0..60_000u64];
    let lost = prop_oneof![2 => Just(0u64), 2 => 0u64..30, 1 => 0u64..95];
    let slowest = prop_oneof![3 => 0u64..500, 1 => 0u64..4000];
    (any::<u32>(), lost, 0u64..60, slowest, held, any::<bool>(), any::<[bool; 2]>(), 1u64..60).prop_map(
        |(seed, lost, doubled, slowest, held, crashes, updates, steps)| Weather {
            seed: u64::from(seed),
            lost,
            doubled,
            slowest,
            held,
            crashes,
            updates,
            steps,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn whatever_happens_it_ends_well(weather in weather()) {
        let mut world = World::new(weather);
        let mut at = 0;
        for _ in 0..world.weather.steps {
            world.after(at, Later::Step);
            at += [0, 100, 3000, 40_000][world.dice.below(4) as usize];
        }
        world.run(world.now + Duration::from_millis(at));
        // Silence, by a sound network.
        (world.weather.lost, world.weather.doubled, world.weather.held, world.weather.slowest) = (0, 0, 0, 50);
        world.run(world.now + Duration::from_secs(500));
        for _ in 0..1000 {
            if world.is_quiet() {
                break;
            }
            world.run(world.now + Duration::from_millis(100));
        }
        prop_assert_eq!(world.view(0), world.view(1));
        prop_assert!(world.sides.iter().all(|side| side.infos.values().all(|open| *open == 0)), "an INFO has no end");
        for side in [0, 1] {
            let counts = world.sides[side].engine.counts();
            prop_assert_eq!((counts.ending, counts.sessions), (0, world.sides[side].alive.len()));
            prop_assert!(world.sides[side].engine.servers.is_empty() && world.sides[side].engine.line.is_empty());
        }
        // All say BYE.
        for side in [0, 1] {
            for id in world.sides[side].alive.clone() {
                world.act(side, |engine, ground| engine.bye(ground, id, Vec::new()));
            }
        }
        world.run(world.now + Duration::from_secs(100));
        for side in &world.sides {
            let counts = side.engine.counts();
            prop_assert_eq!((counts.sessions, counts.ending, counts.byes), (0, 0, 0));
            prop_assert_eq!(side.engine.deadline(), None);
            prop_assert!(side.engine.dialogs.is_empty() && side.engine.clients.is_empty());
            prop_assert!(side.engine.servers.is_empty() && side.engine.sources.is_empty());
            prop_assert!(side.engine.tails.is_empty() && side.engine.line.is_empty());
            prop_assert!(side.alive.is_empty() && side.disk.is_empty());
            let agent = side.agent.counts();
            prop_assert_eq!((agent.client_open, agent.server_open), (0, 0));
        }
    }
}
