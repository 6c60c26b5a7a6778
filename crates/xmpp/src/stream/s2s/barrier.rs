//! What was sent for one pair and is not known to be dealt with.

use base::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// A batch without tokens wants no barrier before it is as large as this: nobody asks, but nothing may grow without bound.
const SILENT_BYTES: usize = 64 << 10;

/// Stanzas between two barriers.
#[derive(Debug, Default)]
struct Batch {
    stanzas: usize,
    bytes: usize,
    tokens: Vec<u64>,
}

/// What proves that a batch was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// An answer to the ping of this number.
    Ping(u64),
    /// An acknowledgement alone: it comes on the same connection, behind the errors.
    Ack,
}

/// A barrier that is under way, with the batch before it.
#[derive(Debug)]
struct Barrier {
    mark: Mark,
    sent: Time,
    /// How many stanzas the stream had counted with it (XEP-0198); none where it counts nothing.
    count: Option<u64>,
    acked: Option<Time>,
    batch: Batch,
}

/// How long barriers are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// After the acknowledgement of one that should be answered.
    pub(super) acked: Duration,
    /// After one that nothing has acknowledged, if it is not to be waited for as long as the stream lasts.
    pub(super) silent: Option<Duration>,
}

/// What a stream is not rid of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Those that somebody asks for.
    pub(super) stanzas: usize,
    pub(super) bytes: usize,
}

/// The barriers of one pair.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    under_way: VecDeque<Barrier>,
    /// What was sent since the last barrier.
    open: Batch,
}

impl Barriers {
    /// Whether nobody waits for anything.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.is_empty() && self.open.tokens.is_empty()
    }

    /// When the oldest barrier under way was sent, if it is a ping.
    pub(super) fn oldest_ping(&self) -> Option<Time> {
        self.under_way.front().filter(|b| b.mark != Mark::Ack).map(|b| b.sent)
    }

    /// Whether a batch waits for a barrier, and one may be sent. Where the stream is `crowded`, whatever is on it is to be rid of.
    pub(super) fn is_due(&self, max: usize, crowded: bool) -> bool {
        let silent = self.open.bytes >= SILENT_BYTES || crowded && self.open.bytes > 0;
        let wanted = !self.open.tokens.is_empty() || silent;
        wanted && self.under_way.len() < max.max(1)
    }

    /// A stanza was sent.
    pub(super) fn sent(&mut self, bytes: usize, token: Option<u64>) {
        self.open.stanzas += usize::from(token.is_some());
        self.open.bytes += bytes;
        self.open.tokens.extend(token);
    }

    /// A barrier has gone out behind what was sent.
    pub(super) fn raised(&mut self, now: Time, mark: Mark, count: Option<u64>) {
        let batch = std::mem::take(&mut self.open);
        self.under_way.push_back(Barrier { mark, sent: now, count, acked: None, batch });
    }

    /// A ping was answered: everything before it is settled.
    pub(super) fn answered(&mut self, number: u64, settled: &mut Settled) {
        let known = self.under_way.iter().rposition(|b| b.mark == Mark::Ping(number));
        for _ in 0..known.map_or(0, |at| at + 1) {
            self.settle(settled);
        }
    }

    /// The other side has `count` of our stanzas.
    pub(super) fn acked(&mut self, now: Time, count: u64, settled: &mut Settled) {
        for b in &mut self.under_way {
            if b.acked.is_none() && b.count.is_some_and(|c| c <= count) {
                b.acked = Some(now);
            }
        }
        while self.under_way.front().is_some_and(|b| b.mark == Mark::Ack && b.acked.is_some()) {
            self.settle(settled);
        }
    }

    /// Settles the barriers that have been waited for long enough. Whether there were some that nothing had acknowledged.
    pub(super) fn expire(&mut self, now: Time, patience: Patience, settled: &mut Settled) -> bool {
        let mut by_wait = false;
        while let Some(front) = self.under_way.front()
            && front.expires(patience).is_some_and(|at| at <= now)
        {
            by_wait |= front.acked.is_none();
            self.settle(settled);
        }
        by_wait
    }

    /// When [`Barriers::expire`] next has something to find.
    pub(super) fn expires(&self, patience: Patience) -> Option<Time> {
        self.under_way.front().and_then(|b| b.expires(patience))
    }

    /// The stream is over: what the other side has, and what is lost.
    pub(super) fn end(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (mut taken, mut lost) = (Vec::new(), Vec::new());
        for barrier in std::mem::take(&mut self.under_way) {
            if barrier.acked.is_some() { &mut taken } else { &mut lost }.extend(barrier.batch.tokens);
        }
        lost.append(&mut std::mem::take(&mut self.open).tokens);
        (taken, lost)
    }

    fn settle(&mut self, settled: &mut Settled) {
        if let Some(barrier) = self.under_way.pop_front() {
            settled.load.stanzas += barrier.batch.stanzas;
            settled.load.bytes += barrier.batch.bytes;
            settled.tokens.extend(barrier.batch.tokens);
        }
    }
}

impl Barrier {
    fn expires(&self, patience: Patience) -> Option<Time> {
        match (self.mark, self.acked) {
            (Mark::Ping(_), Some(acked)) => Some(acked + patience.acked),
            // Where stanzas are counted, what is not acknowledged is not there.
            (Mark::Ping(_), None) => patience.silent.map(|wait| self.sent + wait),
            (Mark::Ack, _) => None,
        }
    }
}

/// What one event has settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) tokens: Vec<u64>,
    pub(super) load: Load,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { acked: Duration::from_secs(5), silent: Some(Duration::from_secs(5)) };

    fn tokens(f: impl FnOnce(&mut Settled)) -> Vec<u64> {
        let mut settled = Settled::default();
        f(&mut settled);
        settled.tokens
    }

    #[test]
    fn an_answer_settles_what_is_before_it() {
        let mut b = Barriers::default();
        assert!(b.is_settled() && !b.is_due(8, false));
        b.sent(10, None);
        assert!(b.is_settled() && !b.is_due(8, false), "nobody asks");
        assert!(b.is_due(8, true), "but there is no room for more");
        b.sent(10, Some(1));
        assert!(b.is_due(8, false));
        b.raised(Time::from_secs(1), Mark::Ping(7), None);
        b.sent(10, Some(2));
        assert_eq!((b.is_due(1, false), b.is_due(2, false)), (false, true));
        b.raised(Time::from_secs(2), Mark::Ping(9), None);
        b.sent(10, Some(3));
        assert_eq!(b.oldest_ping(), Some(Time::from_secs(1)));
        for other in [0, 8, 10] {
            assert_eq!(tokens(|s| b.answered(other, s)), []);
        }
        let mut settled = Settled::default();
        b.answered(9, &mut settled);
        assert_eq!((settled.tokens, settled.load), (vec![1, 2], Load { stanzas: 2, bytes: 30 }));
        assert_eq!(tokens(|s| b.answered(7, s)), []);
        assert_eq!(b.end(), (vec![], vec![3]));
        assert!(b.is_settled());
        b.sent(SILENT_BYTES, None);
        assert!(b.is_due(8, false), "but not without bound");
    }

    #[test]
    fn acknowledgements() {
        let mut b = Barriers::default();
        for i in 0..4 {
            b.sent(1, Some(i));
            let mark = if i < 2 { Mark::Ack } else { Mark::Ping(i) };
            b.raised(Time::from_secs(i), mark, Some(i + 1));
        }
        b.sent(1, Some(4));
        let now = Time::from_secs(10);
        assert_eq!(tokens(|s| b.acked(now, 1, s)), [0]);
        assert_eq!(tokens(|s| b.acked(now, 3, s)), [1], "a ping is waited for");
        assert_eq!(b.expires(PATIENCE), Some(Time::from_secs(15)));
        assert_eq!(tokens(|s| assert!(!b.expire(Time::from_secs(14), PATIENCE, s))), []);
        assert_eq!(b.end(), (vec![2], vec![3, 4]), "the other side has it");
    }

    #[test]
    fn waits() {
        let mut b = Barriers::default();
        for i in 0..2 {
            b.sent(1, Some(i));
            b.raised(Time::from_secs(i), Mark::Ping(i), None);
        }
        let waiting = Patience { silent: None, ..PATIENCE };
        assert_eq!((b.expires(PATIENCE), b.expires(waiting)), (Some(Time::from_secs(5)), None));
        assert_eq!(tokens(|s| assert!(b.expire(Time::from_secs(5), PATIENCE, s))), [0]);
        assert_eq!(tokens(|s| assert!(!b.expire(Time::from_secs(99), waiting, s))), []);
    }
}
