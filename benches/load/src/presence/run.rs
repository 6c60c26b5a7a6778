//! One run: the gateway brings up to date what it has from its store, then presence changes, then the same number of messages.

use super::people::People;
use super::{sip, xmpp};
use crate::bytes::escape;
use crate::component;
use crate::ledger::{DELIVERED, Ledger, REFUSED, SUPERSEDED, settled_change, settled_from_xmpp};
use crate::options::Options;
use crate::process::{self, Usage};
use crate::report::percentile;
use crate::run::{AFTERMATH, CONNECT, bind, lock, name, wait};
use crate::send::pace;
use crate::xmpp::read as read_stream;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// When nothing has happened for so long, the gateway has nothing more to ask.
const QUIET: u64 = 3_000_000_000;

/// How long it may take until then.
const SETTLE: Duration = Duration::from_secs(600);

/// What the threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) people: People,
    pub(super) name: String,
    pub(super) changes: Ledger,
    pub(super) messages: Ledger,
    /// For each dialog of a SIP watcher the change that it was told last, plus one.
    pub(super) told: Vec<AtomicUsize>,
    pub(super) counts: Counts,
    /// When something last came.
    pub(super) active: AtomicU64,
    /// The CSeq of our NOTIFYs. One for all dialogs grows in each of them.
    pub(super) cseq: AtomicU32,
    pub(super) over: AtomicBool,
    pub(super) udp: UdpSocket,
    component: Mutex<TcpStream>,
    start: Instant,
}

/// What the gateway did by itself.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Contacts that it probed.
    pub(super) probes: AtomicUsize,
    /// Whether a user has a session.
    pub(super) sessions: AtomicUsize,
    pub(super) subscribes: AtomicUsize,
    /// NOTIFYs that tell of no change of ours: what a probe was answered with.
    pub(super) notifies: AtomicUsize,
    /// Our own NOTIFYs that it took.
    pub(super) taken: AtomicUsize,
    /// And those that it refused.
    pub(super) refused: AtomicUsize,
}

/// What comes out is compared with this.
pub(super) struct Expected {
    pub(super) sip: String,
    pub(super) xmpp: String,
    pub(super) text: String,
    pub(super) show: &'static str,
}

impl Shared {
    /// Nanoseconds since the start; never 0.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) | 1
    }

    /// The dialog of a change or a message: each in its turn.
    pub(super) fn dialog(&self, number: usize) -> usize {
        number % self.told.len().max(1)
    }

    pub(super) fn expected(&self, number: usize) -> Expected {
        let pair = People::pair(self.dialog(number));
        // A change of one dialog differs from the one before, whatever number of dialogs there is.
        let show = ["", "away", "dnd", "xa", "chat"][number % 5];
        let text = format!("{} {number} Art thou not Romeo, and a Montague?", self.name);
        Expected { sip: self.people.sip(pair), xmpp: self.people.xmpp(pair), text, show }
    }

    /// The number of a change or a message from its text.
    pub(super) fn number(&self, text: &[u8], ledger: &Ledger) -> Option<usize> {
        let rest = text.strip_prefix(self.name.as_bytes())?.strip_prefix(b" ")?;
        let number = std::str::from_utf8(rest.split(|b| *b == b' ').next()?).ok()?.parse().ok()?;
        (number < ledger.marks.len()).then_some(number)
    }

    /// Sends to the gateway's XMPP side.
    pub(super) fn send_xmpp(&self, bytes: &[u8]) -> io::Result<()> {
        lock(&self.component).write_all(bytes)
    }

    fn write(&self, numbers: Range<usize>, changes: bool, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        for number in numbers {
            let Expected { sip, xmpp, text, show } = self.expected(number);
            let id = format!("{}.{number}", self.name);
            // Writing to a vector cannot fail.
            let _ = match (changes, show) {
                (true, "") => write!(buffer, "<presence from='{xmpp}/balcony' to='{sip}' id='{id}'><status>"),
                (true, show) => {
                    write!(buffer, "<presence from='{xmpp}/balcony' to='{sip}' id='{id}'><show>{show}</show><status>")
                }
                (false, _) => {
                    write!(buffer, "<message from='{xmpp}/balcony' to='{sip}' type='chat' id='{id}'><body>")
                }
            };
            escape(text.as_bytes(), buffer);
            buffer.extend_from_slice(if changes { b"</status></presence>" } else { b"</body></message>" });
        }
        self.send_xmpp(buffer)
    }

    /// The dialogs that were not told what is true in the end.
    fn stale(&self) -> usize {
        let (sent, dialogs) = (self.changes.sent.load(SeqCst), self.told.len());
        let last = |dialog: usize| (dialog < sent).then(|| sent - 1 - (sent - 1 - dialog) % dialogs.max(1));
        let told = |dialog: usize| self.told[dialog].load(SeqCst);
        (0..dialogs).filter(|dialog| last(*dialog).is_some_and(|last| told(*dialog) != last + 1)).count()
    }
}

/// Plays both sides, and measures.
pub(super) fn run(options: Options, people: People, messages: usize) -> io::Result<Value> {
    let listener = TcpListener::bind(options.server)?;
    let udp = bind(options.listen)?;
    let (stream, first) = component::accept(&listener, &options.secret, CONNECT)?;
    let dialogs = people.watched();
    let shared = Arc::new(Shared {
        name: name(),
        changes: Ledger::new(if dialogs > 0 { options.count } else { 0 }),
        messages: Ledger::new(if dialogs > 0 { messages } else { 0 }),
        told: (0..dialogs).map(|_| AtomicUsize::new(0)).collect(),
        counts: Counts::default(),
        active: AtomicU64::new(0),
        cseq: AtomicU32::new(1000),
        over: AtomicBool::new(false),
        udp,
        component: Mutex::new(stream.try_clone()?),
        start: Instant::now(),
        options,
        people,
    });
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || sip::read(&shared));
    }
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let came = |stanza: &[u8], answers: &mut Vec<u8>| xmpp::came(&shared, stanza, answers);
            read_stream(stream, first, came, |bytes| shared.send_xmpp(bytes));
        });
    }
    let begun = shared.usage();
    let settling = shared.settle();
    let settled = shared.usage();
    let (changes, peak_of_changes) = shared.phase(true);
    // What a window lets through is told at once; what is behind the pace is told later.
    thread::sleep(AFTERMATH);
    let stale = shared.stale();
    let (sent, peak_of_messages) = shared.phase(false);
    thread::sleep(AFTERMATH);
    shared.over.store(true, SeqCst);
    let counts = &shared.counts;
    let count = |count: &AtomicUsize| count.load(SeqCst);
    Ok(json!({
        "authorizations": shared.people.authorizations, "live": shared.people.live,
        "rate": shared.options.rate, "window": shared.options.window,
        "settling": {
            "seconds": settling, "cpu": settled.cpu - begun.cpu,
            "probes": count(&counts.probes), "sessions": count(&counts.sessions), "subscribes": count(&counts.subscribes),
            "notifies": count(&counts.notifies), "own_taken": count(&counts.taken), "own_refused": count(&counts.refused),
        },
        "memory_kib": { "settled": settled.memory, "peak": settled.memory.max(peak_of_changes).max(peak_of_messages) },
        "changes": changes,
        "dialogs_told_wrong_at_last": stale,
        "messages": sent,
    }))
}

impl Shared {
    fn usage(&self) -> Usage {
        self.options.watch.map(process::usage).unwrap_or_default()
    }

    /// Waits until the gateway asks nothing more; the seconds until the last that it asked.
    fn settle(&self) -> f64 {
        let until = Instant::now() + SETTLE;
        loop {
            thread::sleep(Duration::from_millis(100));
            let last = self.active.load(SeqCst);
            if self.now().saturating_sub(last) > QUIET || Instant::now() > until {
                return last as f64 / 1e9;
            }
        }
    }

    /// Sends all changes, or all messages; what became of them, and the most memory that was seen.
    fn phase(self: &Arc<Self>, changes: bool) -> (Value, u64) {
        let ledger = if changes { &self.changes } else { &self.messages };
        if ledger.marks.is_empty() {
            return (Value::Null, 0);
        }
        let (before, own) = (self.usage(), process::cpu(std::process::id()));
        let sender = {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                let ledger = if changes { &shared.changes } else { &shared.messages };
                let (now, mut buffer) = (|| shared.now(), Vec::with_capacity(1 << 16));
                pace(ledger, &shared.options, now, &shared.over, |some| shared.write(some, changes, &mut buffer));
            })
        };
        let peak = wait(&[ledger], &self.options, || self.now(), before);
        let after = self.usage();
        ledger.wakes(None);
        let own = process::cpu(std::process::id()) - own;
        // It has sent everything, or nothing happens any more.
        drop(sender);
        (report(ledger, after.cpu - before.cpu, own), peak)
    }
}

fn report(ledger: &Ledger, cpu: f64, own: f64) -> Value {
    let sent = ledger.sent.load(SeqCst);
    let (mut refused, mut superseded, mut lost) = (0, 0, 0);
    for marks in ledger.marks.iter().take(sent).map(|marks| marks.load(SeqCst)) {
        match marks {
            _ if marks & DELIVERED != 0 => {}
            _ if marks & REFUSED != 0 => refused += 1,
            _ if marks & SUPERSEDED != 0 => superseded += 1,
            _ => lost += 1,
        }
    }
    let (waits, seconds) = ledger.waits();
    let per_100k = |seconds: f64| if waits.is_empty() { 0.0 } else { seconds * 1e5 / waits.len() as f64 };
    json!({
        "sent": sent, "delivered": waits.len(), "superseded": superseded, "refused": refused, "lost": lost,
        "duplicates": ledger.duplicates.load(SeqCst),
        "wrong_texts": ledger.wrong_texts.load(SeqCst), "wrong_addresses": ledger.wrong_addresses.load(SeqCst),
        "retransmissions": ledger.retransmissions.load(SeqCst), "refusals": ledger.refusals(),
        "per_second": if seconds > 0.0 { waits.len() as f64 / seconds } else { 0.0 },
        "gateway_cpu_per_100k": per_100k(cpu), "own_cpu_per_100k": per_100k(own),
        "ms": { "p50": percentile(&waits, 0.5), "p99": percentile(&waits, 0.99), "max": percentile(&waits, 1.0) },
    })
}

/// Marks what a dialog will never be told, now that it knows of a later change; the dialog's earlier changes are `dialogs` apart.
pub(super) fn supersede(ledger: &Ledger, number: usize, dialogs: usize, now: u64) {
    let mut earlier = number;
    while let Some(before) = earlier.checked_sub(dialogs.max(1)) {
        if ledger.marks[before].load(SeqCst) != 0 || !ledger.mark(before, SUPERSEDED, now, settled_change) {
            return;
        }
        earlier = before;
    }
}

/// Whether a change or a message has nothing more to wait for.
pub(super) fn settling(changes: bool) -> fn(u8) -> bool {
    if changes { settled_change } else { settled_from_xmpp }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_change_stands_for_those_before_it() {
        let ledger = Ledger::new(10);
        ledger.mark(1, DELIVERED, 1, settled_change);
        ledger.mark(7, DELIVERED, 2, settled_change);
        supersede(&ledger, 7, 2, 2);
        let marks: Vec<u8> = ledger.marks.iter().map(|m| m.load(SeqCst)).collect();
        assert_eq!(marks, [0, DELIVERED, 0, SUPERSEDED, 0, SUPERSEDED, 0, DELIVERED, 0, 0]);
        assert_eq!(ledger.settled.load(SeqCst), 4);
        ledger.sent.store(8, SeqCst);
        let report = report(&ledger, 1.0, 1.0);
        let counts = ["sent", "delivered", "superseded", "lost"].map(|key| report[key].as_u64());
        assert_eq!(counts, [8, 2, 2, 4].map(Some));
    }
}
