//! Two gateways that watch each other's users and refer them to others, in dialogs of their own and in that of one session, over a network that
//! loses, doubles and reorders, with layers above that decide at will and late, disks that fail and processes that die. Whatever happens:
//! numbers never go back, one NOTIFY of a dialog is under way at a time, every request that comes up is answered once, nothing is sent behind
//! the last NOTIFY, and in the end nothing is left.

use super::*;
use crate::transaction::Intervals;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Weather {
    seed: u64,
    lost: u64,
    doubled: u64,
    /// The longest way in milliseconds.
    slowest: u64,
    /// The longest that the layer above thinks, in milliseconds.
    held: u64,
    /// In a hundred: saves that fail.
    unsaved: u64,
    crashes: bool,
    /// In a hundred: what is said in the session.
    inside: u64,
    steps: u64,
}

/// Something that happens later. `life` is the number of the process that it belongs to.
#[derive(Debug)]
enum Later {
    Packet { to: usize, bytes: Bytes },
    Step,
    Decide { side: usize, life: u32, id: UsageId, server: ServerId, expires: u32 },
    Answer { side: usize, life: u32, id: UsageId, server: ServerId },
    Saved { side: usize, life: u32, id: UsageId, usage: Box<Usage>, until: Time },
}

/// Call-ID and tag of who sends.
type Half = (String, String);

struct Side {
    /// The session with the other side, as long as this process lives.
    session: Option<Dialog>,
    agent: Agent,
    engine: Subscriptions,
    life: u32,
    alive: BTreeSet<UsageId>,
    /// Call-ID and our tag of each usage, to find it on the disk.
    names: BTreeMap<UsageId, Half>,
    disk: BTreeMap<Half, (Usage, Time)>,
    /// Requests of ours that were sent, and those of them that are under way.
    sent: BTreeSet<ClientId>,
    open: BTreeMap<ClientId, (Half, bool)>,
    /// Those that came up and wait, by name.
    waiting: BTreeSet<ServerId>,
    /// The bytes of each answer by branch and number.
    answers: BTreeMap<String, String>,
    ended: BTreeSet<Half>,
}

struct World {
    weather: Weather,
    dice: Tokens,
    now: Time,
    later: BTreeMap<(Time, u64), Later>,
    number: u64,
    sides: [Side; 2],
    numbers: BTreeMap<Half, u32>,
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
        let side = usize::from(target.to_string().contains(NAMES[1]));
        Some(Target::new(Transport::Udp, of(side)).into())
    }
}

const SESSION: &str = "session@b.example.com";

/// The dialog of the session that side 1 began, as either side sees it.
fn part_of_session(side: usize) -> Dialog {
    let mut invite = Request::new(Method::Invite, uri("sip:user@a.example.com"));
    for (name, value) in [
        (Name::From, "<sip:user@b.example.com>;tag=tb"),
        (Name::To, "<sip:user@a.example.com>"),
        (Name::CallId, SESSION),
        (Name::CSeq, "1 INVITE"),
        (Name::Contact, "<sip:user@b.example.com>"),
    ] {
        invite.headers.push(name, value);
    }
    let mut response = Response::to_request(&invite, 200, "", Some("ta"));
    response.headers.push(Name::Contact, "<sip:user@a.example.com>");
    let made = if side == 0 { Dialog::as_uas(&invite, "ta", 0) } else { Dialog::as_uac(&invite, &response) };
    made.expect("a dialog")
}

fn is_of(session: &Dialog, request: &Request) -> bool {
    let headers = &request.headers;
    let tags = (headers.to_tag().unwrap_or_default(), headers.from_tag().unwrap_or_default());
    headers.get(Name::CallId) == Some(SESSION) && tags == (session.local_tag.as_str(), session.remote_tag.as_str())
}

fn bounds() -> Config {
    Config { max_outstanding: 3, reserve: 6, max_expires: 900, min_expires: 5, ..config() }
}

fn node(side: usize, tokens: &mut Tokens) -> (Agent, Subscriptions) {
    let agent = agent::Config {
        intervals: Intervals::default(),
        sent_by: vec![(Transport::Udp, Host::parse(NAMES[side]).expect("a host"), None)],
        allow: vec![Method::Subscribe, Method::Notify, Method::Refer],
        dialogs: true,
        max_client: 4,
        ..agent::Config::default()
    };
    (Agent::new(agent, tokens.fork()), Subscriptions::new(bounds(), tokens))
}

impl World {
    fn new(weather: Weather) -> World {
        let mut dice = Tokens::seeded(weather.seed);
        let sides = [0, 1].map(|side| {
            let (agent, engine) = node(side, &mut dice);
            Side {
                session: Some(part_of_session(side)),
                agent,
                engine,
                life: 0,
                alive: BTreeSet::new(),
                names: BTreeMap::new(),
                disk: BTreeMap::new(),
                sent: BTreeSet::new(),
                open: BTreeMap::new(),
                waiting: BTreeSet::new(),
                answers: BTreeMap::new(),
                ended: BTreeSet::new(),
            }
        });
        let later = BTreeMap::new();
        let now = Time::from_secs(100);
        World { weather, dice, now, later, number: 0, sides, numbers: BTreeMap::new() }
    }

    fn after(&mut self, millis: u64, what: Later) {
        self.number += 1;
        self.later.insert((self.now + Duration::from_millis(millis), self.number), what);
    }

    fn chance(&mut self, in_a_hundred: u64) -> bool {
        self.dice.below(100) < in_a_hundred
    }

    fn act<R>(&mut self, side: usize, act: impl FnOnce(&mut Subscriptions, &mut Ground<'_>) -> R) -> R {
        let Side { agent, engine, .. } = &mut self.sides[side];
        act(engine, &mut Ground { now: self.now, agent, hops: &Map, tokens: &mut self.dice })
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
                match client {
                    Some(client) => self.request_sent(side, client, &text(&bytes)),
                    None => self.answer_sent(side, &text(&bytes)),
                }
                self.carry(usize::from(remote == of(1)), &bytes);
            }
            Output::Request { id, request, flow } => {
                assert!(self.sides[side].waiting.insert(id), "a request comes up once");
                let contact = NameAddr::new(uri(&format!("sip:user@{}", NAMES[side])));
                let session = self.sides[side].session.as_mut();
                let shared = session.filter(|session| is_of(session, &request)).map(Dialog::share);
                self.act(side, |engine, ground| match shared {
                    Some(dialog) => engine.request_in(ground, id, request, flow, &contact, dialog),
                    None => engine.request(ground, id, request, flow, &contact),
                });
            }
            Output::Response { id, response } => {
                if response.code >= 200 {
                    self.sides[side].open.remove(&id);
                }
                self.act(side, |engine, ground| engine.response(ground, id, &response));
            }
            Output::Failed { id, why } => {
                self.sides[side].open.remove(&id);
                self.act(side, |engine, ground| engine.failed(ground, id, why));
            }
            Output::Cancelled { id, .. } => {
                self.sides[side].waiting.remove(&id);
                self.sides[side].engine.cancelled(id);
            }
            Output::Locate { .. } => panic!("nobody is looked for"),
            Output::Ack { .. } => panic!("no INVITE was sent"),
        }
    }

    /// Looks at each request of a side when it goes out first.
    fn request_sent(&mut self, side: usize, client: ClientId, text: &str) {
        let half = (header(text, "Call-ID").to_owned(), tag(text, "From"));
        let side = &mut self.sides[side];
        if !side.sent.insert(client) {
            return;
        }
        let number = header(text, "CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok()).expect("a number");
        let notify = text.starts_with("NOTIFY ");
        // Nothing follows the last request of a dialog, but from a process that died before it knew.
        let last = text.contains("\nExpires: 0\n") || text.contains("\nSubscription-State: terminated");
        let inside = half.0 == SESSION;
        let before = self.numbers.get(&half).copied();
        if !last || inside {
            self.numbers.insert(half.clone(), number);
        }
        assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}: {text}");
        assert!(side.engine.counts().outstanding <= bounds().max_outstanding);
        if inside {
            // Several usages speak at once.
            return;
        }
        assert!(!side.ended.contains(&half), "behind the last NOTIFY: {text}");
        assert!(!side.open.values().any(|open| *open == (half.clone(), notify)), "two at once: {text}");
        side.open.insert(client, (half.clone(), notify));
        if notify && last {
            side.ended.insert(half);
        }
    }

    /// A final answer is the same whenever it goes out.
    fn answer_sent(&mut self, side: usize, text: &str) {
        if text.starts_with("SIP/2.0 1") {
            return;
        }
        let name = format!("{} {}", header(text, "Via"), header(text, "CSeq"));
        let side = &mut self.sides[side];
        let first = side.answers.entry(name).or_insert_with(|| text.to_owned());
        assert_eq!(first, text);
    }

    fn event(&mut self, side: usize, event: &Event) {
        let id = event.id();
        let life = self.sides[side].life;
        let held = self.dice.below(self.weather.held + 1);
        if let &Event::Watch { server, expires, kind, .. } = event {
            let at_once = kind == Kind::Refer && self.chance(50);
            let expires = if at_once { 0 } else { expires / (1 + u32::from(self.chance(20))) };
            self.sides[side].alive.insert(id);
            return self.after(held, Later::Decide { side, life, id, server, expires });
        }
        if let &Event::Notify { server, .. } = event {
            return self.after(held, Later::Answer { side, life, id, server });
        }
        assert!(self.sides[side].alive.contains(&id), "{event:?} of a dead usage");
        if event.is_last() {
            self.dead(side, id);
        }
        match event {
            Event::Save { .. } => self.save(side, id),
            Event::Wanted { .. } if self.chance(3) => self.sides[side].engine.skip(id),
            Event::Wanted { .. } => {
                let state = match self.dice.below(10) {
                    0 => State::Pending,
                    1 => State::terminated(Reason::Rejected),
                    _ => State::Active,
                };
                self.act(side, |engine, ground| engine.notify(ground, id, &state, None));
            }
            Event::RefreshDue { .. } if self.chance(70) => {
                self.act(side, |engine, ground| engine.refresh(ground, id));
            }
            Event::Watch { .. }
            | Event::Notify { .. }
            | Event::WatcherGone { .. }
            | Event::Lapsed { .. }
            | Event::Ended { .. }
            | Event::Accepted { .. }
            | Event::RefreshDue { .. }
            | Event::Refused { .. }
            | Event::Expired { .. } => {}
        }
    }

    fn dead(&mut self, side: usize, id: UsageId) {
        let side = &mut self.sides[side];
        assert!(side.alive.remove(&id), "it dies once");
        if let Some(name) = side.names.remove(&id) {
            side.disk.remove(&name);
        }
    }

    fn save(&mut self, side: usize, id: UsageId) {
        let Some(usage) = self.sides[side].engine.snapshot(self.now, id) else { return };
        if self.chance(self.weather.unsaved) {
            return;
        }
        let until = self.now + usage::seconds(usage.expires_in);
        let (held, life) = (self.dice.below(300), self.sides[side].life);
        self.after(held, Later::Saved { side, life, id, usage: Box::new(usage), until });
    }

    /// Somebody does something.
    fn step(&mut self) {
        let side = usize::from(self.chance(50));
        let alive: Vec<UsageId> = self.sides[side].alive.iter().copied().collect();
        let pick = alive.get(self.dice.below(alive.len() as u64) as usize).copied();
        match (self.dice.below(12), pick) {
            (0..5, _) | (_, None) if self.chance(self.weather.inside) => self.step_inside(side),
            (0..5, _) | (_, None) => {
                let expires = [0, 3, 20, 60, 900][self.dice.below(5) as usize];
                let hop = Target::new(Transport::Udp, of(1 - side)).into();
                let remote = uri(&format!("sip:user@{}", NAMES[1 - side]));
                let contact = NameAddr::new(uri(&format!("sip:user@{}", NAMES[side])));
                let wish = Subscribe { remote, contact, hop, ..self.wish(expires) };
                if let Ok(id) = self.act(side, |engine, ground| engine.subscribe(ground, wish)) {
                    self.sides[side].alive.insert(id);
                }
            }
            (5..8, Some(id)) => self.sides[side].engine.touch(id, Change::Content),
            (8, Some(id)) => self.sides[side].engine.touch(id, Change::State),
            (9, Some(id)) => self.act(side, |engine, ground| engine.unsubscribe(ground, id)),
            (10, Some(id)) => {
                self.sides[side].engine.forget(id);
                self.dead(side, id);
            }
            (_, Some(_)) if self.weather.crashes => self.crash(side),
            (_, Some(_)) => {}
        }
    }

    /// A SUBSCRIBE or a REFER.
    fn wish(&mut self, expires: u32) -> Subscribe {
        if self.chance(70) {
            return wish(expires);
        }
        let quiet = self.chance(30).then_some((Name::ReferSub, Str::const_new("false")));
        let by =
            By::Refer { refer_to: Str::const_new("<sip:nurse@c.example.com>"), headers: quiet.into_iter().collect() };
        Subscribe { package: REFER, by, ..wish(expires) }
    }

    /// Something is said in the session: by itself, or by another usage.
    fn step_inside(&mut self, side: usize) {
        let wish = self.wish(60);
        let package = if wish.package == REFER || self.chance(50) { wish.package } else { "conference" };
        let contact = NameAddr::new(uri(&format!("sip:user@{}", NAMES[side])));
        let itself = self.chance(30);
        let Some(session) = &mut self.sides[side].session else { return };
        if itself {
            // A request that nobody answers has a number as any other.
            return assert!(session.request(Method::Update).is_some());
        }
        let dialog = session.share();
        let wish = Subscribe { package, contact, ..wish };
        if let Ok(id) = self.act(side, |engine, ground| engine.subscribe_in(ground, dialog, wish)) {
            self.sides[side].alive.insert(id);
        }
    }

    /// The process dies, and another one goes on with what is on the disk.
    fn crash(&mut self, at: usize) {
        let (agent, engine) = node(at, &mut self.dice);
        let side = &mut self.sides[at];
        (side.agent, side.engine) = (agent, engine);
        side.life += 1;
        side.session = None;
        side.alive.clear();
        side.names.clear();
        side.open.clear();
        side.waiting.clear();
        side.answers.clear();
        side.ended.clear();
        side.sent.clear();
        for (name, (usage, until)) in side.disk.clone() {
            let id = self.act(at, |engine, ground| engine.restore(ground, usage, until)).expect("sound");
            self.sides[at].alive.insert(id);
            self.sides[at].names.insert(id, name);
        }
    }

    fn settle(&mut self) {
        for side in [0, 1] {
            loop {
                if let Some(output) = self.sides[side].agent.poll() {
                    self.output(side, output);
                } else if let Some(event) = self.sides[side].engine.poll() {
                    self.event(side, &event);
                } else if self.sides[side].engine.deadline().is_some_and(|at| at <= self.now) {
                    self.act(side, Subscriptions::timeout);
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
            Later::Decide { side, life, id, server, expires } if life == self.sides[side].life => {
                let waits = self.sides[side].waiting.remove(&server);
                let new = self.sides[side].engine.state(id) == Some(UsageState::Init);
                if self.chance(15) && waits {
                    self.act(side, |engine, ground| engine.refuse(ground, id, server, Response::new(403, "")));
                    if new {
                        self.dead(side, id);
                    }
                } else {
                    self.act(side, |engine, ground| engine.accept(ground, id, server, expires));
                }
            }
            Later::Answer { side, life, id, server } if life == self.sides[side].life => {
                self.sides[side].waiting.remove(&server);
                let code = [200, 200, 200, 503][self.dice.below(4) as usize];
                let mut answer = Response::new(code, "");
                if code == 503 {
                    answer.headers.push(Name::RetryAfter, 2);
                }
                self.act(side, |engine, ground| engine.answer_notify(ground, id, server, answer));
            }
            Later::Saved { side, life, id, usage, until } if life == self.sides[side].life => {
                let ceiling = usage.dialog.local_cseq();
                if self.sides[side].alive.contains(&id) {
                    let name = (usage.dialog.call_id.to_string(), usage.dialog.local_tag.to_string());
                    self.sides[side].names.insert(id, name.clone());
                    self.sides[side].disk.insert(name, (*usage, until));
                    self.sides[side].engine.confirmed(id, ceiling);
                }
            }
            Later::Decide { .. } | Later::Answer { .. } | Later::Saved { .. } => {}
        }
    }

    fn run(&mut self) {
        let mut at = 0;
        for _ in 0..self.weather.steps {
            self.after(at, Later::Step);
            at += [0, 100, 3000, 40_000][self.dice.below(4) as usize];
        }
        loop {
            let next = self.later.first_key_value().map(|((at, _), _)| *at);
            let own = self.sides.iter().flat_map(|s| [s.agent.deadline(), s.engine.deadline()]);
            let Some(at) = own.chain([next]).flatten().min() else { return };
            self.now = at.max(self.now);
            assert!(self.now < Time::from_secs(100_000), "it ends");
            for side in [0, 1] {
                let now = self.now;
                self.sides[side].agent.timeout(now);
                self.settle();
                self.act(side, Subscriptions::timeout);
            }
            self.settle();
            while let Some(entry) = self.later.first_entry().filter(|e| e.key().0 <= self.now) {
                let what = entry.remove();
                self.happen(what);
                self.settle();
            }
        }
    }
}

fn weather() -> impl Strategy<Value = Weather> {
    let held = prop_oneof![3 => Just(0u64), 3 => 0..1000u64, 1 => 0..40_000u64];
    let lost = prop_oneof![2 => Just(0u64), 2 => 0u64..30, 1 => 0u64..95];
    let inside = prop_oneof![Just(0u64), 20..90u64];
    let unsaved = prop_oneof![Just(0u64), 0..60u64];
    (any::<u32>(), lost, 0u64..60, 0u64..500, held, unsaved, any::<bool>(), inside, 1u64..60).prop_map(
        |(seed, lost, doubled, slowest, held, unsaved, crashes, inside, steps)| Weather {
            seed: u64::from(seed),
            lost,
            doubled,
            slowest,
            held,
            unsaved,
            crashes,
            inside,
            steps,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn whatever_happens_it_ends_well(weather in weather()) {
        let mut world = World::new(weather);
        world.run();
        for side in &world.sides {
            let counts = side.engine.counts();
            prop_assert_eq!((side.engine.len(), counts.outstanding, counts.waiting), (0, 0, 0));
            prop_assert_eq!((counts.subscribers, counts.notifiers), (0, 0));
            prop_assert_eq!(side.engine.deadline(), None);
            prop_assert!(side.engine.dialogs.is_empty() && side.engine.clients.is_empty());
            prop_assert!(side.engine.servers.is_empty() && side.engine.sources.is_empty());
            prop_assert!(side.alive.is_empty() && side.disk.is_empty());
            prop_assert!(side.session.as_ref().is_none_or(|session| session.usages() == 1));
            // What the engine answered by itself never waited for the layer above.
            let agent = side.agent.counts();
            prop_assert_eq!((agent.client_open, agent.server_open), (0, 0));
            if world.weather.held < 31_000 {
                prop_assert_eq!(agent.useless, 0, "a request without an answer");
            }
        }
    }
}
