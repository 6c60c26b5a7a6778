//! One run: everybody enters, nothing happens for a while, people talk, and everybody leaves.

use super::Plan;
use super::cast::{Cast, SERVICE};
use super::muc::{self, Rooms};
use super::phone::{self, Dialog};
use super::roster::Roster;
use super::talk::{Phones, Talk};
use crate::component;
use crate::ledger::{ACCEPTED, DELIVERED, Ledger, REFUSED, settled_from_xmpp};
use crate::options::{Options, Way};
use crate::process::{self, Usage};
use crate::report::percentile;
use crate::run::{AFTERMATH, CONNECT, bind, lock, name, wait};
use crate::send::pace_groups;
use crate::sessions::lines::{Line, Lines};
use crate::sessions::msrp::send_as;
use crate::xmpp::read as read_stream;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// After so long a phone asks again (RFC 3261 T2 would be longer, T1 shorter: the machine is busy).
const AGAIN: u64 = 2_000_000_000;

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) plan: Plan,
    pub(super) cast: Cast,
    pub(super) lines: Lines,
    pub(super) rooms: Rooms,
    pub(super) counts: Counts,
    pub(super) over: AtomicBool,
    /// Who is in, with a session.
    entered: Ledger,
    /// Who knows of everybody.
    knowing: Ledger,
    pub(super) left: Ledger,
    seats: Vec<Mutex<Seat>>,
    talk: Mutex<Option<Arc<Talk>>>,
    udp: UdpSocket,
    /// What goes to the gateway's XMPP side, in order. A thread of its own writes it, so that whoever reads never waits for the gateway to read.
    stanzas: Sender<Vec<u8>>,
    start: Instant,
}

/// What a phone is asking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Invite,
    Subscribe,
    Bye,
}

/// What a phone has of its place.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) dialog: Option<Dialog>,
    pub(super) line: Option<Arc<Line>>,
    /// The gateway's path.
    pub(super) theirs: String,
    /// What it waits for an answer to, and since when.
    pub(super) asked: Option<(Asked, u64)>,
    roster: Roster,
}

/// What happens beside it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// What nobody has asked for.
    pub(super) strange: AtomicUsize,
    /// Requests of the gateway's other than NOTIFY.
    pub(super) requests: AtomicUsize,
    /// NOTIFYs.
    pub(super) notifies: AtomicUsize,
    /// Requests of ours that were sent again.
    pub(super) again: AtomicUsize,
    /// Connections that ended.
    pub(super) lines_gone: AtomicUsize,
}

impl Shared {
    /// Nanoseconds since the start; never 0.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) | 1
    }

    pub(super) fn seat(&self, place: usize) -> MutexGuard<'_, Seat> {
        lock(&self.seats[place])
    }

    /// What is said now, if it is this phase.
    pub(super) fn talk(&self, phase: usize) -> Option<Arc<Talk>> {
        let talk = lock(&self.talk).clone().filter(|talk| talk.phase == phase);
        if talk.is_none() {
            self.counts.strange.fetch_add(1, SeqCst);
        }
        talk
    }

    pub(super) fn send_xmpp(&self, stanzas: Vec<u8>) {
        // When it is over, nobody reads.
        let _ = self.stanzas.send(stanzas);
    }

    pub(super) fn send_sip(&self, bytes: &[u8]) {
        let _ = self.udp.send_to(bytes, self.options.gateway);
    }

    /// A phone asks, until it has an answer.
    pub(super) fn ask(&self, place: usize, what: Asked) {
        let mut out = Vec::new();
        let mut seat = self.seat(place);
        seat.asked = Some((what, self.now()));
        phone::request(self, place, what, seat.dialog.as_ref(), &mut out);
        drop(seat);
        self.send_sip(&out);
    }

    /// Has those ask again that have no answer.
    fn ask_again(&self) {
        while !self.over.load(SeqCst) {
            thread::sleep(Duration::from_millis(200));
            let since = self.now().saturating_sub(AGAIN);
            for place in 0..self.cast.places() {
                let late = self.seat(place).asked.filter(|(_, at)| *at < since);
                if let Some((what, _)) = late {
                    self.counts.again.fetch_add(1, SeqCst);
                    self.ask(place, what);
                }
            }
        }
    }

    /// A place's session is there, or is not.
    pub(super) fn bound(&self, place: usize, code: u16) {
        if code == 200 {
            self.entered.mark(place, DELIVERED, self.now(), settled_from_xmpp);
        } else {
            self.not_in(place, format!("MSRP {code}"));
        }
    }

    pub(super) fn not_in(&self, place: usize, why: String) {
        if self.entered.mark(place, REFUSED, self.now(), settled_from_xmpp) {
            self.entered.refused(why.clone());
            self.not_told(place, why);
        }
    }

    pub(super) fn not_told(&self, place: usize, why: String) {
        if self.knowing.mark(place, REFUSED, self.now(), settled_from_xmpp) {
            self.knowing.refused(why);
        }
    }

    /// A document has come: when it is the one that completes the roster, the place knows of all.
    pub(super) fn told(&self, place: usize, document: &[u8]) {
        self.counts.notifies.fetch_add(1, SeqCst);
        let mut seat = self.seat(place);
        seat.roster.apply(&self.cast, place / self.cast.sip, document);
        if seat.roster.count == self.cast.people() {
            self.knowing.mark(place, DELIVERED, self.now(), settled_from_xmpp);
        } else {
            // Each document is progress.
            self.knowing.progress.store(self.now(), SeqCst);
        }
    }

    /// A copy of a text could not be delivered.
    pub(super) fn refused_copy(&self, phase: usize, text: usize, place: usize, why: String) {
        let Some(talk) = self.talk(phase) else { return };
        let number = self.cast.delivery(talk.way, text, place % self.cast.sip);
        let known = number < talk.ledger.marks.len();
        if known && talk.ledger.mark(number, REFUSED, self.now(), settled_from_xmpp) {
            talk.ledger.refused(why);
        }
    }

    /// A SIP user says a text.
    fn say(&self, talk: &Talk, text: usize, buffer: &mut Vec<u8>) {
        let cast = &self.cast;
        let (room, who) = cast.speaker(talk.way, text);
        let place = room * cast.sip + who;
        let seat = self.seat(place);
        let (line, theirs) = (seat.line.clone(), seat.theirs.clone());
        drop(seat);
        let words = cast.text(talk.phase, text);
        let cpim = format!(
            "From: <sip:{};gr=orchard>\r\nTo: <sip:{}>\r\n\r\nContent-Type: text/plain;charset=utf-8\r\n\r\n{words}",
            cast.user(place),
            cast.room(room)
        );
        buffer.clear();
        send_as("message/cpim", &cast.id(talk.phase, text), &theirs, &cast.path(place), Some(&cpim), buffer);
        if line.is_none_or(|line| line.write(buffer).is_err()) {
            talk.refused(self, text, "no connection".to_owned());
        }
    }

    fn usage(&self) -> Usage {
        self.options.watch.map(process::usage).unwrap_or_default()
    }

    /// Has a ledger's entries done, so many at a time, and waits until these ledgers are settled.
    fn phase(
        self: &Arc<Self>,
        ledgers: &[&Ledger],
        options: &Options,
        work: impl FnOnce(Arc<Self>, Options) + Send + 'static,
    ) -> Spent {
        let (before, own) = (self.usage(), process::cpu(std::process::id()));
        {
            let (shared, options) = (Arc::clone(self), options.clone());
            thread::spawn(move || work(shared, options));
        }
        let peak = wait(ledgers, options, || self.now(), before);
        let after = self.usage();
        let spent = Spent {
            cpu: after.cpu - before.cpu,
            own: process::cpu(std::process::id()) - own,
            peak: peak.max(after.memory),
        };
        ledgers.iter().for_each(|ledger| ledger.wakes(None));
        thread::sleep(AFTERMATH);
        spent
    }

    /// Everybody enters.
    fn enter(self: &Arc<Self>) -> (Spent, Value, Value) {
        let places = self.cast.places();
        let now = self.now();
        self.knowing.due.iter().for_each(|due| due.store(now, SeqCst));
        self.knowing.sent.store(places, SeqCst);
        self.knowing.all_sent.store(true, SeqCst);
        self.knowing.progress.store(now, SeqCst);
        let options = Options { rate: 0.0, window: self.plan.entering, ..self.options.clone() };
        let spent = self.phase(&[&self.entered, &self.knowing], &options, |shared, options| {
            let now = || shared.now();
            pace_groups(&shared.entered, &options, 1, now, &shared.over, |some| {
                some.for_each(|place| shared.ask(place, Asked::Invite));
                Ok(())
            });
        });
        (spent, report(&self.entered, None, spent), report(&self.knowing, None, spent))
    }

    /// People talk.
    fn converse(self: &Arc<Self>, way: Way, phase: usize, count: usize, rate: f64) -> Value {
        let talk = Arc::new(Talk::new(self, way, phase, count));
        *lock(&self.talk) = Some(Arc::clone(&talk));
        let options = Options { rate, ..self.options.clone() };
        let sip = self.cast.sip;
        let ours = Arc::clone(&talk);
        let spent = self.phase(&[&talk.ledger], &options, move |shared, options| {
            let mut buffer = Vec::with_capacity(1 << 12);
            let now = || shared.now();
            pace_groups(&ours.ledger, &options, sip, now, &shared.over, |some| {
                // What goes out together goes out in one write, as a server has it.
                let mut stanzas = Vec::new();
                for text in some.start / sip..some.end.div_ceil(sip) {
                    match way {
                        Way::SipToXmpp => shared.say(&ours, text, &mut buffer),
                        Way::XmppToSip => muc::speak(&shared, &ours, text, &mut stanzas),
                    }
                }
                if !stanzas.is_empty() {
                    shared.send_xmpp(stanzas);
                }
                Ok(())
            });
        });
        let mut report = report(&talk.ledger, Some(&talk), spent);
        report["offered"] = rate.into();
        report
    }
}

/// What a phase has taken.
#[derive(Debug, Clone, Copy)]
struct Spent {
    cpu: f64,
    own: f64,
    peak: u64,
}

/// Plays both sides, and measures.
pub(super) fn run(options: Options, plan: Plan) -> io::Result<Value> {
    let lines = Lines::listen(plan.port)?;
    let listener = TcpListener::bind(options.server)?;
    let udp = bind(options.listen)?;
    let (stream, first) = component::accept(&listener, &options.secret, CONNECT)?;
    let (stanzas, waiting) = channel::<Vec<u8>>();
    let mut writer = stream.try_clone()?;
    thread::spawn(move || waiting.iter().try_for_each(|bytes| writer.write_all(&bytes)));
    // The gateway has to notice that its stream is up.
    thread::sleep(Duration::from_millis(200));
    let cast = Cast::new(&options, name(), (plan.rooms, plan.sip, plan.xmpp), plan.port);
    let places = cast.places();
    let shared = Arc::new(Shared {
        rooms: Rooms::new(&cast),
        lines,
        counts: Counts::default(),
        over: AtomicBool::new(false),
        entered: Ledger::new(places),
        knowing: Ledger::new(places),
        left: Ledger::new(if plan.end { places } else { 0 }),
        seats: (0..places).map(|_| Mutex::default()).collect(),
        talk: Mutex::default(),
        udp: udp.try_clone()?,
        stanzas,
        start: Instant::now(),
        cast,
        options,
        plan,
    });
    let spawn = |work: fn(&Shared)| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || work(&shared));
    };
    spawn(|shared| shared.lines.read(&shared.over, &mut Phones(shared)));
    spawn(Shared::ask_again);
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || phone::read(&shared, &udp));
    }
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let came = |stanza: &[u8], answers: &mut Vec<u8>| muc::came(&shared, stanza, answers);
            read_stream(stream, first, came, |bytes| {
                shared.send_xmpp(bytes.to_vec());
                Ok(())
            });
        });
    }
    Ok(course(&shared))
}

fn course(shared: &Arc<Shared>) -> Value {
    let plan = &shared.plan;
    let before = shared.usage();
    let (spent, entered, knowing) = shared.enter();
    let open = shared.usage();
    thread::sleep(plan.settle);
    let settled = shared.usage();
    let mut ways = json!({});
    let mut phase = 0;
    for _ in 0..plan.rounds {
        for way in &shared.options.ways {
            phase += 1;
            let round = shared.converse(*way, phase, shared.options.count, 0.0);
            match ways[key(*way)].as_array_mut() {
                Some(rounds) => rounds.push(round),
                None => ways[key(*way)] = json!([round]),
            }
        }
    }
    let mut half = json!({});
    for way in shared.options.ways.iter().filter(|_| plan.half > 0.0) {
        let mut rates: Vec<f64> = ways[key(*way)].as_array().into_iter().flatten().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        let rate = rates.get(rates.len() / 2).copied().unwrap_or(0.0) / 2.0;
        if rate >= 1.0 {
            phase += 1;
            half[key(*way)] = shared.converse(*way, phase, (rate * plan.half) as usize, rate);
        }
    }
    let talked = shared.usage();
    let left = if plan.end {
        let options = Options { rate: 0.0, ..shared.options.clone() };
        let spent = shared.phase(&[&shared.left], &options, |shared, options| {
            let now = || shared.now();
            pace_groups(&shared.left, &options, 1, now, &shared.over, |some| {
                some.for_each(|place| shared.ask(place, Asked::Bye));
                Ok(())
            });
        });
        report(&shared.left, None, spent)
    } else {
        Value::Null
    };
    let after = shared.usage();
    shared.over.store(true, SeqCst);
    let count = |count: &AtomicUsize| count.load(SeqCst);
    let memory = |usage: Usage| json!({ "pss": usage.memory, "rss": usage.resident });
    let of_rosters =
        |of: fn(&Roster) -> usize| (0..shared.cast.places()).map(|p| of(&shared.seat(p).roster)).sum::<usize>();
    let counts = &shared.counts;
    json!({
        "service": SERVICE, "rooms": plan.rooms, "sip": plan.sip, "xmpp": plan.xmpp, "window": shared.options.window,
        "entering": plan.entering, "entered": entered, "knowing": knowing, "s2x": ways["s2x"], "x2s": ways["x2s"],
        "half": half, "left": left,
        "memory_kib": {
            "before": memory(before), "open": memory(open), "settled": memory(settled), "talked": memory(talked), "after": memory(after),
            "peak": spent.peak,
        },
        "strange": count(&counts.strange), "requests": count(&counts.requests), "notifies": count(&counts.notifies),
        "again": count(&counts.again), "lines_lost": if plan.end { 0 } else { count(&counts.lines_gone) },
        "gaps": of_rosters(|roster| roster.gaps), "strangers": of_rosters(|roster| roster.strangers),
    })
}

fn key(way: Way) -> &'static str {
    match way {
        Way::SipToXmpp => "s2x",
        Way::XmppToSip => "x2s",
    }
}

fn rate(report: &Value) -> f64 {
    report["per_second"].as_f64().unwrap_or(0.0)
}

fn report(ledger: &Ledger, talk: Option<&Talk>, spent: Spent) -> Value {
    let sent = ledger.sent.load(SeqCst);
    let (mut refused, mut unanswered, mut lost) = (0, 0, 0);
    for (number, marks) in ledger.marks.iter().take(sent).map(|marks| marks.load(SeqCst)).enumerate() {
        // Of what a SIP user says he has to hear, too.
        let asks = talk.is_some_and(|talk| talk.asks(number));
        match marks {
            _ if marks & DELIVERED != 0 => unanswered += usize::from(asks && marks & (ACCEPTED | REFUSED) == 0),
            _ if marks & REFUSED != 0 => refused += 1,
            _ => lost += 1,
        }
    }
    let (waits, seconds) = ledger.waits();
    let per_100k = |seconds: f64| if waits.is_empty() { 0.0 } else { seconds * 1e5 / waits.len() as f64 };
    json!({
        "sent": sent, "delivered": waits.len(), "refused": refused, "unanswered": unanswered, "lost": lost,
        "duplicates": ledger.duplicates.load(SeqCst),
        "wrong_texts": ledger.wrong_texts.load(SeqCst), "wrong_addresses": ledger.wrong_addresses.load(SeqCst),
        "out_of_order": talk.map_or(0, |talk| talk.out_of_order.load(SeqCst)),
        "refusals": ledger.refusals(), "seconds": seconds, "cpu": spent.cpu, "own_cpu": spent.own,
        "per_second": if seconds > 0.0 { waits.len() as f64 / seconds } else { 0.0 },
        "gateway_cpu_per_100k": per_100k(spent.cpu), "own_cpu_per_100k": per_100k(spent.own),
        "ms": { "p50": percentile(&waits, 0.5), "p99": percentile(&waits, 0.99), "max": percentile(&waits, 1.0) },
    })
}
