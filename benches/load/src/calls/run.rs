//! One run: calls are set up, people talk for a while, and hang up.

use super::cast::Cast;
use super::device::SETTLING;
use super::said::Voice;
use super::{Plan, device, phone};
use crate::component;
use crate::ledger::{DELIVERED, Ledger, REFUSED};
use crate::options::Options;
use crate::process::{self, Usage};
use crate::report::percentile;
use crate::run::{AFTERMATH, CONNECT, bind, lock, name, wait};
use crate::send::pace;
use crate::xmpp::read as read_stream;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
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
    pub(super) cast: Cast,
    pub(super) begun: Ledger,
    pub(super) ended: Ledger,
    pub(super) counts: Counts,
    pub(super) over: AtomicBool,
    /// The address of the phones that call.
    pub(super) calling: SocketAddr,
    legs: Vec<Mutex<Leg>>,
    udp: UdpSocket,
    component: Option<Mutex<TcpStream>>,
    start: Instant,
}

/// What the ends have of a call.
#[derive(Debug, Default)]
pub(super) struct Leg {
    /// Of a phone that has called.
    pub(super) dialog: Option<Dialog>,
    /// A phone has been called.
    pub(super) called: bool,
    /// As who the SIP user speaks in XMPP.
    pub(super) peer: String,
}

/// A dialog, as it is written into requests.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) route: String,
}

/// What happens beside it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// What is none of ours.
    pub(super) strange: AtomicUsize,
    /// Callers who were told that it rings.
    pub(super) rung: AtomicUsize,
    /// XMPP users who were told that a proposal is over.
    pub(super) finished: AtomicUsize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begin,
    End,
}

impl Shared {
    /// Nanoseconds since the start; never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) | 1
    }

    pub(super) fn leg(&self, call: usize) -> MutexGuard<'_, Leg> {
        lock(&self.legs[call])
    }

    /// What one end says of the media.
    pub(super) fn voice(&self, call: usize, answers: bool) -> Voice {
        Voice { call, media: self.cast.media(call), answers }
    }

    /// Who is called by a phone.
    pub(super) fn callee(&self, call: usize) -> String {
        if self.plan.forwarder { self.cast.sip(call) } else { self.cast.xmpp(call) }
    }

    /// Whether the other end of a call hangs up, as this one is told.
    pub(super) fn hangs_up(&self, call: usize, in_xmpp: bool) -> bool {
        let begun_there = self.plan.forwarder || self.cast.by_phone(call) == in_xmpp;
        begun_there && call < self.ended.sent.load(SeqCst)
    }

    /// Marks a call; true if it had not been marked so.
    pub(super) fn mark(&self, ledger: &Ledger, call: usize, mark: u8) -> bool {
        call >= ledger.marks.len() || ledger.mark(call, mark, self.now(), SETTLING)
    }

    /// It came to nothing.
    pub(super) fn refused(&self, ledger: &Ledger, call: usize, why: String) {
        if self.mark(ledger, call, REFUSED) {
            ledger.refused(why);
        }
    }

    /// Sends to the gateway's XMPP side.
    fn send_xmpp(&self, bytes: &[u8]) -> io::Result<()> {
        self.component.as_ref().map_or(Ok(()), |stream| lock(stream).write_all(bytes))
    }

    fn write(&self, phase: Phase, calls: Range<usize>, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut stanzas = Vec::new();
        for call in calls {
            buffer.clear();
            match (phase, self.cast.by_phone(call)) {
                (Phase::Begin, true) => phone::invite(self, call, buffer),
                (Phase::End, true) => phone::bye(self, call, buffer),
                (Phase::Begin, false) => device::propose(self, call, &mut stanzas),
                (Phase::End, false) => device::terminate(self, call, &mut stanzas),
            }
            if !buffer.is_empty() {
                let _ = self.udp.send_to(buffer, self.options.gateway);
            }
        }
        if stanzas.is_empty() { Ok(()) } else { self.send_xmpp(&stanzas) }
    }

    fn usage(&self) -> Usage {
        self.options.watch.map(process::usage).unwrap_or_default()
    }

    /// Does all of a phase; what became of it, and the most memory that was seen.
    fn phase(self: &Arc<Self>, phase: Phase) -> (Value, u64) {
        let ledger = self.ledger(phase);
        if ledger.marks.is_empty() {
            return (Value::Null, 0);
        }
        let (before, own) = (self.usage(), process::cpu(std::process::id()));
        let sender = {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let (now, mut buffer) = (|| shared.now(), Vec::with_capacity(1 << 16));
                let ledger = shared.ledger(phase);
                pace(ledger, &shared.options, now, &shared.over, |some| shared.write(phase, some, &mut buffer));
            })
        };
        let peak = wait(&[ledger], &self.options, || self.now(), before);
        let after = self.usage();
        let own = process::cpu(std::process::id()) - own;
        ledger.wakes(None);
        // It has sent everything, or nothing happens any more.
        drop(sender);
        thread::sleep(AFTERMATH);
        (report(ledger, after.cpu - before.cpu, own), peak.max(after.memory))
    }

    fn ledger(&self, phase: Phase) -> &Ledger {
        match phase {
            Phase::Begin => &self.begun,
            Phase::End => &self.ended,
        }
    }
}

/// Plays both sides, and measures.
pub(super) fn run(options: Options, plan: Plan) -> io::Result<Value> {
    let called = bind(options.listen)?;
    let (mut component, mut stream, mut caller) = (None, None, called.try_clone()?);
    if plan.forwarder {
        caller = bind(SocketAddr::new(options.listen.ip(), options.listen.port() + 1))?;
    } else {
        let listener = TcpListener::bind(options.server)?;
        let accepted = component::accept(&listener, &options.secret, CONNECT)?;
        component = Some(Mutex::new(accepted.0.try_clone()?));
        stream = Some(accepted);
        // The gateway has to notice that its stream is up.
        thread::sleep(Duration::from_millis(200));
    }
    let calls = options.users;
    let shared = Arc::new(Shared {
        cast: Cast::new(&options, name(), plan.began, plan.media),
        begun: Ledger::new(calls),
        ended: Ledger::new(if plan.end { calls } else { 0 }),
        counts: Counts::default(),
        over: AtomicBool::new(false),
        calling: caller.local_addr()?,
        legs: (0..calls).map(|_| Mutex::default()).collect(),
        udp: caller.try_clone()?,
        component,
        start: Instant::now(),
        options,
        plan,
    });
    for (socket, calls) in
        [Some((called, false)), shared.plan.forwarder.then_some((caller, true))].into_iter().flatten()
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || phone::read(&shared, &socket, calls));
    }
    if let Some((stream, first)) = stream {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let came = |stanza: &[u8], answers: &mut Vec<u8>| device::came(&shared, stanza, answers);
            read_stream(stream, first, came, |bytes| shared.send_xmpp(bytes));
        });
    }
    let before = shared.usage();
    let (begun, peak) = shared.phase(Phase::Begin);
    let open = shared.usage();
    thread::sleep(shared.plan.settle);
    let settled = shared.usage();
    thread::sleep(shared.plan.idle);
    let idle = shared.usage();
    let (ended, _) = shared.phase(Phase::End);
    let after = shared.usage();
    shared.over.store(true, SeqCst);
    let count = |count: &AtomicUsize| count.load(SeqCst);
    let memory = |usage: Usage| json!({ "pss": usage.memory, "rss": usage.resident });
    let counts = &shared.counts;
    Ok(json!({
        "calls": calls, "rate": shared.options.rate, "window": shared.options.window, "begun": begun, "ended": ended,
        "idle": { "seconds": shared.plan.idle.as_secs(), "cpu": idle.cpu - settled.cpu, "cpu_while_settling": settled.cpu - open.cpu },
        "memory_kib": {
            "before": memory(before), "open": memory(open), "settled": memory(settled), "idle": memory(idle), "after": memory(after),
            "peak": peak,
        },
        "strange": count(&counts.strange), "rung": count(&counts.rung), "finished": count(&counts.finished),
    }))
}

fn report(ledger: &Ledger, cpu: f64, own: f64) -> Value {
    let sent = ledger.sent.load(SeqCst);
    let (mut refused, mut unanswered, mut lost) = (0, 0, 0);
    for marks in ledger.marks.iter().take(sent).map(|marks| marks.load(SeqCst)) {
        match marks {
            _ if marks & REFUSED != 0 => refused += 1,
            // One end knows, and the other does not.
            _ if marks & DELIVERED != 0 => unanswered += usize::from(!SETTLING(marks)),
            _ => lost += 1,
        }
    }
    let (waits, seconds) = ledger.waits();
    let each = |seconds: f64| if waits.is_empty() { 0.0 } else { seconds * 1e6 / waits.len() as f64 };
    json!({
        "sent": sent, "done": waits.len(), "refused": refused, "unanswered": unanswered, "lost": lost,
        "duplicates": ledger.duplicates.load(SeqCst), "retransmissions": ledger.retransmissions.load(SeqCst),
        "wrong_texts": ledger.wrong_texts.load(SeqCst), "wrong_addresses": ledger.wrong_addresses.load(SeqCst),
        "refusals": ledger.refusals(),
        "per_second": if seconds > 0.0 { waits.len() as f64 / seconds } else { 0.0 },
        "gateway_us": each(cpu), "own_us": each(own),
        "ms": { "p50": percentile(&waits, 0.5), "p99": percentile(&waits, 0.99), "max": percentile(&waits, 1.0) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::ACCEPTED;

    #[test]
    fn what_one_end_does_not_know_is_told() {
        let ledger = Ledger::new(5);
        let marks = [vec![DELIVERED, ACCEPTED], vec![DELIVERED], vec![REFUSED], vec![], vec![ACCEPTED]];
        for (number, marks) in marks.iter().enumerate() {
            for mark in marks {
                ledger.mark(number, *mark, 2, SETTLING);
            }
        }
        ledger.sent.store(5, SeqCst);
        let report = report(&ledger, 1.0, 1.0);
        let counts = ["sent", "done", "refused", "unanswered", "lost"].map(|key| report[key].as_u64());
        assert_eq!(counts, [5, 2, 1, 1, 2].map(Some));
        assert_eq!(report["gateway_us"].as_f64(), Some(500_000.0));
    }
}
