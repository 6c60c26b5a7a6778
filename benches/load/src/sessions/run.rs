//! One run: sessions open, nothing happens for a while, messages go through them, and they end.

use super::lines::Lines;
use super::msrp::send;
use super::pairs::{Kind, Pairs};
use super::talk::Phones;
use super::{Plan, phone, xmpp};
use crate::component;
use crate::ledger::{ACCEPTED, DELIVERED, Ledger, REFUSED};
use crate::options::{Options, Way};
use crate::process::{self, Usage};
use crate::report::percentile;
use crate::run::{AFTERMATH, CONNECT, bind, lock, name, wait};
use crate::send::pace;
use crate::xmpp::read as read_stream;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) plan: Plan,
    pub(super) pairs: Pairs,
    pub(super) lines: Lines,
    pub(super) opened: Ledger,
    pub(super) from_phone: Ledger,
    pub(super) to_phone: Ledger,
    pub(super) ended: Ledger,
    pub(super) counts: Counts,
    pub(super) over: AtomicBool,
    legs: Vec<Mutex<Leg>>,
    from_phone_order: Order,
    to_phone_order: Order,
    udp: Option<UdpSocket>,
    component: Option<Mutex<TcpStream>>,
    start: Instant,
}

/// What a phone has of a session.
#[derive(Debug, Default)]
pub(super) struct Leg {
    pub(super) dialog: Option<Dialog>,
    pub(super) line: Option<Arc<super::lines::Line>>,
    /// The other end's path.
    pub(super) theirs: String,
}

/// A dialog, as it is written into requests.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
}

/// The order of the messages of one way.
#[derive(Debug)]
pub(super) struct Order {
    /// For each session the message that came last, plus one.
    pub(super) last: Vec<AtomicUsize>,
    /// How many did not come behind the one before them.
    pub(super) wrong: AtomicUsize,
}

/// What happens beside it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// What is none of ours.
    pub(super) strange: AtomicUsize,
    /// Requests of the gateway's in dialogs, and INVITEs that came again.
    pub(super) requests: AtomicUsize,
    /// XMPP users that were told of an end.
    pub(super) gone: AtomicUsize,
    /// Connections that ended.
    pub(super) lines_gone: AtomicUsize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    FromPhone,
    ToPhone,
    End,
}

impl Shared {
    /// Nanoseconds since the start; never 0.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) | 1
    }

    pub(super) fn leg(&self, session: usize) -> MutexGuard<'_, Leg> {
        lock(&self.legs[session])
    }

    pub(super) fn ledger(&self, kind: Kind) -> &Ledger {
        match kind {
            Kind::Opening => &self.opened,
            Kind::FromPhone => &self.from_phone,
            Kind::ToPhone => &self.to_phone,
        }
    }

    pub(super) fn order(&self, kind: Kind) -> &Order {
        if kind == Kind::FromPhone { &self.from_phone_order } else { &self.to_phone_order }
    }

    fn of_phase(&self, phase: Phase) -> &Ledger {
        match phase {
            Phase::Open => &self.opened,
            Phase::FromPhone => &self.from_phone,
            Phase::ToPhone => &self.to_phone,
            Phase::End => &self.ended,
        }
    }

    /// Sends to the gateway's XMPP side.
    fn send_xmpp(&self, bytes: &[u8]) -> io::Result<()> {
        self.component.as_ref().map_or(Ok(()), |stream| lock(stream).write_all(bytes))
    }

    fn send_sip(&self, bytes: &[u8]) {
        if let Some(udp) = &self.udp {
            let _ = udp.send_to(bytes, self.options.gateway);
        }
    }

    fn write(&self, phase: Phase, numbers: Range<usize>, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut stanzas = Vec::new();
        for number in numbers {
            buffer.clear();
            match phase {
                Phase::Open if self.plan.forwarder => self.bind(number),
                Phase::Open if self.pairs.by_phone(number) => {
                    phone::invite(self, number, buffer);
                    self.send_sip(buffer);
                }
                Phase::Open => xmpp::stanza(self, Kind::Opening, number, &mut stanzas),
                Phase::FromPhone => self.say(number, buffer),
                Phase::ToPhone => xmpp::stanza(self, Kind::ToPhone, number, &mut stanzas),
                Phase::End => {
                    phone::bye(self, number, buffer);
                    self.send_sip(buffer);
                }
            }
        }
        if stanzas.is_empty() { Ok(()) } else { self.send_xmpp(&stanzas) }
    }

    /// A phone says something.
    fn say(&self, number: usize, buffer: &mut Vec<u8>) {
        let session = number % self.pairs.sessions;
        let leg = self.leg(session);
        let Some(line) = leg.line.clone() else {
            drop(leg);
            return self.refused(Kind::FromPhone, number, "no connection".to_owned());
        };
        let (id, text) = (self.pairs.id(Kind::FromPhone, number), self.pairs.text(Kind::FromPhone, number));
        send(&id, &leg.theirs, &self.pairs.path(session, false), Some(&text), buffer);
        drop(leg);
        if line.write(buffer).is_err() {
            self.refused(Kind::FromPhone, number, "no connection".to_owned());
        }
    }

    /// Both ends of a session connect to the forwarder and say who they are.
    fn bind(&self, session: usize) {
        let theirs =
            |other_end| format!("msrp://{}/{};tcp", self.options.gateway, self.pairs.msrp_session(session, other_end));
        let other = self.lines.connect(self.pairs.phone(session, true).ip(), self.options.gateway).and_then(|line| {
            let mut out = Vec::new();
            send("theotherend", &theirs(true), &self.pairs.path(session, true), None, &mut out);
            line.write(&out)
        });
        if let Err(e) = other.and_then(|()| phone::connect(self, session, &theirs(false))) {
            self.refused(Kind::Opening, session, format!("connection: {}", e.kind()));
        }
    }

    fn usage(&self) -> Usage {
        self.options.watch.map(process::usage).unwrap_or_default()
    }

    /// Does all of a phase; what became of it, and the most memory that was seen.
    fn phase(self: &Arc<Self>, phase: Phase) -> (Value, u64) {
        let ledger = self.of_phase(phase);
        if ledger.marks.is_empty() {
            return (Value::Null, 0);
        }
        let (before, own) = (self.usage(), process::cpu(std::process::id()));
        let mut options = self.options.clone();
        if matches!(phase, Phase::Open | Phase::End) {
            options.rate = 0.0;
        }
        let sender = {
            let (shared, options) = (Arc::clone(self), options.clone());
            thread::spawn(move || {
                let (now, mut buffer) = (|| shared.now(), Vec::with_capacity(1 << 16));
                let ledger = shared.of_phase(phase);
                pace(ledger, &options, now, &shared.over, |some| shared.write(phase, some, &mut buffer));
            })
        };
        let peak = wait(&[ledger], &options, || self.now(), before);
        let after = self.usage();
        let own = process::cpu(std::process::id()) - own;
        ledger.wakes(None);
        // It has sent everything, or nothing happens any more.
        drop(sender);
        thread::sleep(AFTERMATH);
        let mut report = report(ledger, phase, after.cpu - before.cpu, own);
        let order = match phase {
            Phase::FromPhone => self.from_phone_order.wrong.load(SeqCst),
            Phase::ToPhone => self.to_phone_order.wrong.load(SeqCst),
            Phase::Open | Phase::End => 0,
        };
        report["out_of_order"] = order.into();
        (report, peak.max(after.memory))
    }
}

/// Plays both sides, and measures.
pub(super) fn run(options: Options, plan: Plan) -> io::Result<Value> {
    let lines = Lines::listen(plan.port)?;
    let (mut udp, mut component, mut stream) = (None, None, None);
    if !plan.forwarder {
        let listener = TcpListener::bind(options.server)?;
        udp = Some(bind(options.listen)?);
        let accepted = component::accept(&listener, &options.secret, CONNECT)?;
        component = Some(Mutex::new(accepted.0.try_clone()?));
        stream = Some(accepted);
        // The gateway has to notice that its stream is up.
        thread::sleep(Duration::from_millis(200));
    }
    let sessions = options.users;
    let count = |way| if options.ways.contains(&way) { options.count } else { 0 };
    let order = || Order { last: (0..sessions).map(|_| AtomicUsize::new(0)).collect(), wrong: AtomicUsize::new(0) };
    let shared = Arc::new(Shared {
        pairs: Pairs::new(&options, name(), plan.lines, plan.opened, plan.port),
        lines,
        opened: Ledger::new(sessions),
        from_phone: Ledger::new(count(Way::SipToXmpp)),
        to_phone: Ledger::new(if plan.forwarder { 0 } else { count(Way::XmppToSip) }),
        ended: Ledger::new(if plan.end && !plan.forwarder { sessions } else { 0 }),
        counts: Counts::default(),
        over: AtomicBool::new(false),
        legs: (0..sessions).map(|_| Mutex::default()).collect(),
        from_phone_order: order(),
        to_phone_order: order(),
        udp: udp.as_ref().map(UdpSocket::try_clone).transpose()?,
        component,
        start: Instant::now(),
        options,
        plan,
    });
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.lines.read(&shared.over, &mut Phones(&shared)));
    }
    if let Some(udp) = udp {
        let shared = Arc::clone(&shared);
        thread::spawn(move || phone::read(&shared, &udp));
    }
    if let Some((stream, first)) = stream {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let came = |stanza: &[u8], answers: &mut Vec<u8>| xmpp::came(&shared, stanza, answers);
            read_stream(stream, first, came, |bytes| shared.send_xmpp(bytes));
        });
    }
    let before = shared.usage();
    let (opened, peak) = shared.phase(Phase::Open);
    let open = shared.usage();
    thread::sleep(shared.plan.settle);
    let settled = shared.usage();
    thread::sleep(shared.plan.idle);
    let idle = shared.usage();
    let (from_phone, peak_of_one) = shared.phase(Phase::FromPhone);
    let (to_phone, peak_of_other) = shared.phase(Phase::ToPhone);
    let lines_gone = shared.counts.lines_gone.load(SeqCst);
    let (ended, _) = shared.phase(Phase::End);
    let after = shared.usage();
    shared.over.store(true, SeqCst);
    let count = |count: &AtomicUsize| count.load(SeqCst);
    let memory = |usage: Usage| json!({ "pss": usage.memory, "rss": usage.resident });
    let counts = &shared.counts;
    Ok(json!({
        "sessions": sessions, "lines": shared.pairs.lines.min(sessions), "rate": shared.options.rate, "window": shared.options.window,
        "opened": opened, "s2x": from_phone, "x2s": to_phone, "ended": ended,
        "idle": { "seconds": shared.plan.idle.as_secs(), "cpu": idle.cpu - settled.cpu, "cpu_while_settling": settled.cpu - open.cpu },
        "memory_kib": {
            "before": memory(before), "open": memory(open), "settled": memory(settled), "idle": memory(idle), "after": memory(after),
            "peak": peak.max(peak_of_one).max(peak_of_other),
        },
        "strange": count(&counts.strange), "requests": count(&counts.requests), "gone": count(&counts.gone),
        "lines_lost": lines_gone,
    }))
}

fn report(ledger: &Ledger, phase: Phase, cpu: f64, own: f64) -> Value {
    let sent = ledger.sent.load(SeqCst);
    let (mut refused, mut unanswered, mut lost) = (0, 0, 0);
    for marks in ledger.marks.iter().take(sent).map(|marks| marks.load(SeqCst)) {
        match marks {
            // Of what a phone says it has to hear, too.
            _ if marks & DELIVERED != 0 => {
                unanswered += usize::from(phase == Phase::FromPhone && marks & (ACCEPTED | REFUSED) == 0);
            }
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
        "refusals": ledger.refusals(),
        "per_second": if seconds > 0.0 { waits.len() as f64 / seconds } else { 0.0 },
        "gateway_cpu_per_100k": per_100k(cpu), "own_cpu_per_100k": per_100k(own),
        "ms": { "p50": percentile(&waits, 0.5), "p99": percentile(&waits, 0.99), "max": percentile(&waits, 1.0) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::settled_from_sip;

    #[test]
    fn what_nobody_answered_is_told() {
        let ledger = Ledger::new(4);
        for (number, marks) in [vec![DELIVERED, ACCEPTED], vec![DELIVERED], vec![REFUSED], vec![]].iter().enumerate() {
            for mark in marks {
                ledger.mark(number, *mark, 2, settled_from_sip);
            }
        }
        ledger.sent.store(4, SeqCst);
        let report = report(&ledger, Phase::FromPhone, 1.0, 1.0);
        let counts = ["sent", "delivered", "refused", "unanswered", "lost"].map(|key| report[key].as_u64());
        assert_eq!(counts, [4, 2, 1, 1, 1].map(Some));
    }
}
