//! What became of each message of one way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

/// It came out at the other side.
pub const DELIVERED: u8 = 1;
/// Its sender was told that it is taken: a 2xx.
pub const ACCEPTED: u8 = 2;
/// Its sender was told that it failed.
pub const REFUSED: u8 = 4;
/// Another state of the same came out before it could (RFC 6665 §4.2.2 has a NOTIFY tell the state, not each change of it).
pub const SUPERSEDED: u8 = 16;
/// Its sender waited for an answer as long as RFC 3261 has it wait (timer F), and counts it as failed.
pub const UNANSWERED: u8 = 8;

/// The messages of one way. Times are in nanoseconds from the start of the run; 0 is never.
#[derive(Debug)]
pub struct Ledger {
    /// When each was due, or sent.
    pub due: Vec<AtomicU64>,
    /// When each came out.
    pub came: Vec<AtomicU64>,
    /// What is known of each.
    pub marks: Vec<AtomicU8>,
    /// The branch under which it came out as a SIP request.
    pub branch: Vec<AtomicU32>,
    /// How many of them were sent.
    pub sent: AtomicUsize,
    /// How many came out.
    pub delivered: AtomicUsize,
    /// How many have nothing more to wait for.
    pub settled: AtomicUsize,
    /// Came out a second time.
    pub duplicates: AtomicUsize,
    /// Came out with another text.
    pub wrong_texts: AtomicUsize,
    /// Came out from or to another user.
    pub wrong_addresses: AtomicUsize,
    /// SIP requests that were sent again, by us or by the gateway.
    pub retransmissions: AtomicUsize,
    /// When something last happened.
    pub progress: AtomicU64,
    /// All is sent.
    pub all_sent: AtomicBool,
    refusals: Mutex<BTreeMap<String, usize>>,
    sender: Mutex<Option<Thread>>,
}

impl Ledger {
    /// For `count` messages.
    pub fn new(count: usize) -> Ledger {
        let times = || (0..count).map(|_| AtomicU64::new(0)).collect();
        Ledger {
            due: times(),
            came: times(),
            marks: (0..count).map(|_| AtomicU8::new(0)).collect(),
            branch: (0..count).map(|_| AtomicU32::new(0)).collect(),
            sent: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            wrong_texts: AtomicUsize::new(0),
            wrong_addresses: AtomicUsize::new(0),
            retransmissions: AtomicUsize::new(0),
            progress: AtomicU64::new(0),
            all_sent: AtomicBool::new(false),
            refusals: Mutex::new(BTreeMap::new()),
            sender: Mutex::new(None),
        }
    }

    /// How long each waited that came out, the shortest first, and the seconds from the first message to the last that did. In nanoseconds.
    pub fn waits(&self) -> (Vec<u64>, f64) {
        let came = |number: &usize| self.marks[*number].load(SeqCst) & DELIVERED != 0;
        let delivered: Vec<usize> = (0..self.sent.load(SeqCst)).filter(came).collect();
        let moment = |times: &[AtomicU64], number: usize| times[number].load(SeqCst);
        let last = delivered.iter().map(|number| moment(&self.came, *number)).max().unwrap_or(0);
        let wait = |number: usize| moment(&self.came, number).saturating_sub(moment(&self.due, number));
        let mut waits: Vec<u64> = delivered.into_iter().map(wait).collect();
        waits.sort_unstable();
        let first = self.due.first().map_or(0, |due| due.load(SeqCst));
        (waits, last.saturating_sub(first) as f64 / 1e9)
    }

    /// Marks a message; true if it had not been marked so. `settling` says from all its marks whether it has nothing to wait for.
    pub fn mark(&self, message: usize, mark: u8, now: u64, settling: impl Fn(u8) -> bool) -> bool {
        let before = self.marks[message].fetch_or(mark, SeqCst);
        if before & mark != 0 {
            return false;
        }
        self.progress.store(now, SeqCst);
        if mark == DELIVERED {
            self.came[message].store(now, SeqCst);
            self.delivered.fetch_add(1, SeqCst);
        }
        if settling(before | mark) && !settling(before) {
            self.settled.fetch_add(1, SeqCst);
            if let Some(sender) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                sender.unpark();
            }
        }
        true
    }

    /// Counts a refusal by its status or condition.
    pub fn refused(&self, why: String) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    /// The refusals by status or condition.
    pub fn refusals(&self) -> BTreeMap<String, usize> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The thread to wake when there is room in the window; nobody in an open loop.
    pub fn wakes(&self, sender: Option<Thread>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = sender;
    }
}

/// A message from SIP is settled by its final answer, a 2xx together with its delivery.
pub fn settled_from_sip(marks: u8) -> bool {
    marks & (REFUSED | UNANSWERED) != 0 || marks & (DELIVERED | ACCEPTED) == DELIVERED | ACCEPTED
}

/// A message from XMPP is settled by its delivery or by an error.
pub fn settled_from_xmpp(marks: u8) -> bool {
    marks & (DELIVERED | REFUSED) != 0
}

/// A change of presence is settled when it, or a later one, has come out, or by an error.
pub fn settled_change(marks: u8) -> bool {
    marks & (DELIVERED | REFUSED | SUPERSEDED) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_settled_once() {
        let ledger = Ledger::new(2);
        assert!(ledger.mark(0, DELIVERED, 5, settled_from_sip));
        assert_eq!(ledger.settled.load(SeqCst), 0);
        assert!(ledger.mark(0, ACCEPTED, 6, settled_from_sip));
        assert!(!ledger.mark(0, ACCEPTED, 7, settled_from_sip));
        assert!(ledger.mark(0, REFUSED, 8, settled_from_sip));
        assert!(ledger.mark(1, DELIVERED, 9, settled_from_xmpp));
        assert_eq!((ledger.settled.load(SeqCst), ledger.delivered.load(SeqCst)), (2, 2));
        assert_eq!((ledger.came[0].load(SeqCst), ledger.progress.load(SeqCst)), (5, 9));
    }
}
