//! Two agents back to back, over connections that come in pieces, stand still and break at any byte. Nothing is lost without a word,
//! nothing comes twice, all comes in order, and in the end nothing is left.

use super::*;
use crate::decoder::Decoder;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// This end sends a message of so many bytes, with these reports.
    Send { end: usize, size: usize, success: bool, failure: FailureReport },
    /// This end asks for a nickname.
    Nickname { end: usize },
    /// So many bytes go over the connection to this end.
    Carry { end: usize, bytes: usize },
    /// This end answers the message that waits longest, or another.
    Answer { end: usize, which: usize, code: u16 },
    /// Time passes.
    Wait(u64),
    /// The connection breaks; each end is told, the one sooner than the other.
    Break { first: usize },
    /// This end closes.
    Close { end: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = 0..2usize;
    let size = prop_oneof![0..40usize, 2040..2060usize, 5000..9000usize];
    let failure = prop_oneof![
        4 => Just(FailureReport::Yes),
        1 => Just(FailureReport::Partial),
        1 => Just(FailureReport::No)
    ];
    let code = prop_oneof![6 => Just(200u16), 1 => Just(413u16), 1 => Just(415u16)];
    let step = prop_oneof![
        8 => (end.clone(), size, any::<bool>(), failure)
            .prop_map(|(end, size, success, failure)| Step::Send { end, size, success, failure }),
        2 => end.clone().prop_map(|end| Step::Nickname { end }),
        16 => (end.clone(), prop_oneof![1..60usize, 200..5000usize]).prop_map(|(end, bytes)| Step::Carry { end, bytes }),
        8 => (end.clone(), 0..3usize, code).prop_map(|(end, which, code)| Step::Answer { end, which, code }),
        2 => (1..40u64).prop_map(Step::Wait),
        1 => end.clone().prop_map(|first| Step::Break { first }),
        1 => end.prop_map(|end| Step::Close { end }),
    ];
    prop::collection::vec(step, 1..120)
}

/// A message as its sender sees it.
#[derive(Debug)]
struct Sent {
    id: Str,
    body: Bytes,
    failure: FailureReport,
    /// What its sender was told in the end.
    end: Option<Result<(), Failure>>,
    /// What the other end answered.
    answered: Option<u16>,
    arrived: usize,
}

/// One end.
struct Party {
    agent: Agent,
    id: SessionId,
    connection: ConnectionId,
    decoder: Decoder,
    /// Bytes on their way here.
    wire: VecDeque<u8>,
    /// Whether what is written goes anywhere.
    connected: bool,
    sent: Vec<Sent>,
    /// What waits for an answer: the token, and the number of the message at the other end.
    open: Vec<(MessageToken, usize)>,
    /// Numbers of the messages that came, in their order.
    came: Vec<usize>,
    /// Nicknames that were asked for here, and not answered.
    asked: VecDeque<(RequestId, u32)>,
    /// How many were asked for.
    names: u32,
    /// The last nickname that came.
    named: u32,
    binds: i32,
    over: bool,
}

struct World {
    now: Time,
    parties: [Party; 2],
}

impl World {
    fn new() -> World {
        let config = Config {
            window: 6000,
            queue_bytes: 20_000,
            max_held: 4,
            max_size: 8500,
            methods: vec![Method::Nickname],
            ..config()
        };
        let party = |seed: u64| {
            let mut agent = Agent::new(config.clone(), Tokens::seeded(seed));
            let id = agent.open(Time::ZERO, false).unwrap();
            Party {
                agent,
                id,
                connection: ConnectionId(seed),
                decoder: Decoder::new(Limits { max_head: 8192, max_body: 8500 }),
                wire: VecDeque::new(),
                connected: true,
                sent: Vec::new(),
                open: Vec::new(),
                came: Vec::new(),
                asked: VecDeque::new(),
                names: 0,
                named: 0,
                binds: 0,
                over: false,
            }
        };
        let mut world = World { now: Time::ZERO, parties: [party(1), party(2)] };
        let paths = [0, 1].map(|end: usize| world.parties[end].agent.local_path(world.parties[end].id).unwrap());
        for (end, way) in [(0, Way::Active(hop())), (1, Way::Passive)] {
            let Party { agent, id, .. } = &mut world.parties[end];
            agent.begin(world.now, *id, &Peer { path: paths[1 - end].clone(), way, max_size: None });
        }
        world.settle();
        world
    }

    /// Does what the agents want, until they want nothing.
    fn settle(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
            for end in 0..2 {
                while let Some(output) = self.parties[end].agent.poll() {
                    again = true;
                    self.output(end, output);
                }
            }
        }
    }

    fn output(&mut self, end: usize, output: Output) {
        let now = self.now;
        let [one, two] = &mut self.parties;
        let (me, other) = if end == 0 { (one, two) } else { (two, one) };
        match output {
            Output::Write { connection, bytes } => {
                assert_eq!(connection, me.connection);
                if me.connected {
                    other.wire.extend(bytes);
                }
            }
            Output::Open { ticket, .. } => me.agent.opened(now, ticket, me.connected.then_some(me.connection)),
            Output::Bind { .. } => me.binds += 1,
            Output::Release { .. } => me.binds -= 1,
            Output::Event(event) => {
                assert!(!me.over, "nothing comes behind the end: {event:?}");
                match event {
                    Event::Message { token, message, .. } => {
                        let number = other.sent.iter().position(|sent| sent.id == message.message_id).expect("sent");
                        assert_eq!(other.sent[number].body, message.body);
                        assert_eq!(other.sent[number].failure, message.failure_report);
                        other.sent[number].arrived += 1;
                        assert_eq!(other.sent[number].arrived, 1, "twice");
                        assert!(me.came.last().is_none_or(|last| *last < number), "out of order");
                        me.came.push(number);
                        me.open.push((token, number));
                    }
                    Event::Sent { message_id, .. } => me.told(&message_id, Ok(())),
                    Event::Failed { message_id, why, .. } => me.told(&message_id, Err(why)),
                    Event::Request { token, request, .. } => {
                        let nickname: u32 = request.nickname().unwrap().unwrap().parse().unwrap();
                        assert!(nickname > me.named, "twice, or out of order");
                        me.named = nickname;
                        me.agent.answer(now, token, 200, "");
                    }
                    Event::Answered { request, code, .. } => {
                        let (asked, nickname) = me.asked.pop_front().expect("each is answered once");
                        assert_eq!(asked, request, "out of order");
                        assert!(matches!(code, 200 | 408 | 413 | 481), "{code}");
                        assert!(code != 200 || other.named >= nickname, "nobody has it");
                    }
                    Event::Closed { .. } => {
                        assert!(me.asked.is_empty());
                        me.over = true;
                    }
                    Event::Ready { .. } | Event::Up { .. } => {}
                    // The rest of a message that its sender has given up did not come.
                    Event::Report { message_id, code, .. } => {
                        let sent = me.sent.iter().find(|sent| sent.id == message_id).expect("sent");
                        assert_eq!((code, sent.end), (413, Some(Err(Failure::Timeout))));
                    }
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Send { end, size, success, failure } => {
                let me = &mut self.parties[end];
                let number = me.sent.len();
                let body: Bytes = (0..size).map(|n| (n + number) as u8).collect();
                let outgoing = Outgoing {
                    body: body.clone(),
                    success_report: success,
                    failure_report: failure,
                    message_id: Some(base::format_compact!("id-{end}-{number}")),
                    ..message("")
                };
                match me.agent.send(now, me.id, outgoing) {
                    Ok(id) => me.sent.push(Sent { id, body, failure, end: None, answered: None, arrived: 0 }),
                    Err(Refused::Gone) => assert!(me.over),
                    Err(Refused::Full) => assert!(!me.over),
                    Err(Refused::TooLarge | Refused::Malformed) => panic!("nobody said how large"),
                }
            }
            Step::Nickname { end } => {
                let me = &mut self.parties[end];
                match me.agent.nickname(now, me.id, &(me.names + 1).to_string()) {
                    Ok(request) => {
                        me.names += 1;
                        me.asked.push_back((request, me.names));
                    }
                    Err(Refused::Gone) => assert!(me.over),
                    Err(Refused::Full) => assert_eq!(me.asked.len(), 8),
                    Err(Refused::TooLarge | Refused::Malformed) => panic!("it is a number"),
                }
            }
            Step::Carry { end, bytes } => self.carry(end, bytes),
            Step::Answer { end, which, code } => {
                let [one, two] = &mut self.parties;
                let (me, other) = if end == 0 { (one, two) } else { (two, one) };
                if let Some((token, number)) = (which < me.open.len()).then(|| me.open.remove(which)) {
                    me.agent.answer(now, token, code, "");
                    other.sent[number].answered = Some(code);
                }
            }
            Step::Wait(seconds) => {
                self.now = now + Duration::from_secs(seconds);
                for party in &mut self.parties {
                    party.agent.timeout(self.now);
                    assert!(party.agent.deadline().is_none_or(|at| at > self.now));
                }
            }
            Step::Break { first } => {
                for end in [first, 1 - first] {
                    let me = &mut self.parties[end];
                    me.connected = false;
                    // Part of what was on its way still comes.
                    let half = me.wire.len() / 2;
                    self.carry(end, half);
                    let me = &mut self.parties[end];
                    me.wire.clear();
                    me.agent.lost(now, me.connection);
                    self.settle();
                }
            }
            Step::Close { end } => {
                let me = &mut self.parties[end];
                if !me.over {
                    me.agent.close(now, me.id);
                    me.over = true;
                    me.asked.clear();
                    // Nobody wants to know any more.
                    me.sent.iter_mut().filter(|sent| sent.end.is_none()).for_each(|sent| sent.end = Some(Ok(())));
                    me.open.clear();
                }
            }
        }
        self.settle();
    }

    fn carry(&mut self, end: usize, bytes: usize) {
        let me = &mut self.parties[end];
        let bytes = bytes.min(me.wire.len());
        let piece: Vec<u8> = me.wire.drain(..bytes).collect();
        me.decoder.push(&piece);
        while let Some(arrival) = me.decoder.next() {
            me.agent.received(self.now, me.connection, arrival.expect("what agents write is MSRP"));
        }
        self.settle();
    }

    /// All that is on its way comes, all is answered, and then there is silence.
    fn finish(&mut self) {
        loop {
            let before: usize = self.parties.iter().map(|party| party.wire.len() + party.open.len()).sum();
            for end in 0..2 {
                self.step(&Step::Carry { end, bytes: usize::MAX });
                self.step(&Step::Answer { end, which: 0, code: 200 });
            }
            let after: usize = self.parties.iter().map(|party| party.wire.len() + party.open.len()).sum();
            if before == 0 && after == 0 {
                break;
            }
        }
        for _ in 0..20 {
            self.step(&Step::Wait(30));
            self.step(&Step::Carry { end: 0, bytes: usize::MAX });
            self.step(&Step::Carry { end: 1, bytes: usize::MAX });
        }
        for party in &mut self.parties {
            assert_eq!(party.agent.deadline(), None);
            let counts = party.agent.counts();
            assert_eq!(counts.partial_bytes, 0);
            assert_eq!(counts.sessions, usize::from(!party.over));
            assert_eq!(counts.bound, usize::from(!party.over));
            assert_eq!(party.agent.core.on.len(), usize::from(!party.over), "nothing stays of what has ended");
            assert!(party.agent.core.due.is_empty() && party.agent.core.tickets.is_empty());
            if party.connected {
                assert_eq!(party.binds, i32::from(!party.over), "each use of the connection was ended");
            }
            assert!(
                party.asked.is_empty() && party.agent.sessions.get(&party.id).is_none_or(|s| s.nicknames.is_none())
            );
            for sent in &party.sent {
                let end = sent.end.expect("each message ends");
                match (end, sent.failure) {
                    // An answer means that it came, and was taken.
                    (Ok(()), FailureReport::Yes) if !party.over => {
                        assert_eq!((sent.arrived, sent.answered), (1, Some(200)), "{sent:?}");
                    }
                    (Ok(()), _) => {}
                    (Err(Failure::NeverSent), _) => assert_eq!(sent.arrived, 0, "{sent:?}"),
                    (Err(Failure::Code(413)), _) => {}
                    (Err(Failure::Code(code)), _) => assert!(sent.answered == Some(code) || code == 481, "{sent:?}"),
                    (Err(Failure::Timeout | Failure::Lost), _) => {}
                }
            }
        }
    }
}

impl Party {
    fn told(&mut self, id: &str, end: Result<(), Failure>) {
        let sent = self.sent.iter_mut().find(|sent| sent.id == id).expect("a message that was sent");
        assert_eq!(sent.end, None, "each message ends once");
        sent.end = Some(end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_message_has_one_end(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        world.finish();
    }
}
