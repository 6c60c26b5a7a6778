//! Which stanzas the server has not been heard of yet.

use base::{Str, Time, format_compact};
use std::collections::VecDeque;
use std::time::Duration;

/// Stanzas between two barriers.
#[derive(Debug, Default)]
struct Batch {
    stanzas: usize,
    bytes: usize,
    tokens: Vec<u64>,
}

/// A barrier that is under way, with the batch before it.
#[derive(Debug)]
struct Barrier {
    number: u64,
    sent: Time,
    batch: Batch,
}

/// The barriers of one stream after another.
#[derive(Debug)]
pub(super) struct Barriers {
    /// What our pings' ids start with. Random, and known to nobody but us and the server: whoever knew it could make us
    /// believe that a stanza was taken.
    prefix: Str,
    next: u64,
    under_way: VecDeque<Barrier>,
    /// What was sent since the last barrier.
    open: Batch,
    /// The server has answered one on this stream.
    answered: bool,
    /// It did on the stream before, and so is expected to on this one.
    expected: bool,
    stanzas: usize,
    bytes: usize,
}

impl Barriers {
    pub(super) fn new(prefix: Str) -> Barriers {
        Barriers {
            prefix,
            next: 0,
            under_way: VecDeque::new(),
            open: Batch::default(),
            answered: false,
            expected: false,
            stanzas: 0,
            bytes: 0,
        }
    }

    /// Stanzas and bytes that were sent and not settled.
    pub(super) fn unsettled(&self) -> (usize, usize) {
        (self.stanzas, self.bytes)
    }

    /// Whether the server is known to answer them: it has on this stream, or on the one before.
    pub(super) fn answered(&self) -> bool {
        self.answered || self.expected
    }

    /// A whole stream was given up because none was answered. If none was on it at all, the next one expects nothing.
    pub(super) fn unanswered(&mut self) {
        self.expected = false;
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.is_empty() && self.open.stanzas == 0
    }

    /// When the oldest barrier under way was sent.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.under_way.front().map(|b| b.sent)
    }

    /// Whether a batch waits for a barrier, and one may be sent.
    pub(super) fn is_due(&self, max: usize) -> bool {
        self.open.stanzas > 0 && self.under_way.len() < max.max(1)
    }

    /// A stanza was sent.
    pub(super) fn sent(&mut self, bytes: usize, token: Option<u64>) {
        self.open.stanzas += 1;
        self.open.bytes += bytes;
        self.open.tokens.extend(token);
        self.stanzas += 1;
        self.bytes += bytes;
    }

    /// A barrier goes out behind what was sent: the id of its ping.
    pub(super) fn raise(&mut self, now: Time) -> Str {
        let number = self.next;
        self.next += 1;
        self.under_way.push_back(Barrier { number, sent: now, batch: std::mem::take(&mut self.open) });
        format_compact!("{}{number}", self.prefix)
    }

    /// An iq with this id has come. If it answers a barrier, everything before that is settled: its tokens, in order.
    pub(super) fn answer(&mut self, id: &str) -> Option<Vec<u64>> {
        let number: u64 = id.strip_prefix(self.prefix.as_str())?.parse().ok()?;
        if number >= self.next {
            return None;
        }
        self.answered = true;
        Some(self.settle(|b| b.number <= number))
    }

    /// Settles the barriers that have waited for `wait`.
    pub(super) fn expire(&mut self, now: Time, wait: Duration) -> Vec<u64> {
        self.settle(|b| b.sent + wait <= now)
    }

    /// The stream is over: the tokens that are not settled, in order.
    pub(super) fn end(&mut self) -> Vec<u64> {
        let mut tokens = self.settle(|_| true);
        tokens.append(&mut std::mem::take(&mut self.open).tokens);
        self.expected |= std::mem::take(&mut self.answered);
        (self.stanzas, self.bytes) = (0, 0);
        tokens
    }

    fn settle(&mut self, is_past: impl Fn(&Barrier) -> bool) -> Vec<u64> {
        let mut tokens = Vec::new();
        while let Some(barrier) = self.under_way.pop_front_if(|b| is_past(b)) {
            tokens.extend(barrier.batch.tokens);
            self.stanzas -= barrier.batch.stanzas;
            self.bytes -= barrier.batch.bytes;
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_settles_what_is_before_it() {
        let mut b = Barriers::new("p-".into());
        assert!(b.is_settled() && !b.is_due(8));
        b.sent(10, Some(1));
        b.sent(10, None);
        assert!(b.is_due(8));
        assert_eq!(b.raise(Time::from_secs(1)), "p-0");
        b.sent(10, Some(2));
        assert_eq!((b.is_due(1), b.is_due(2)), (false, true));
        assert_eq!(b.raise(Time::from_secs(2)), "p-1");
        b.sent(10, Some(3));
        assert_eq!((b.unsettled(), b.oldest(), b.answered()), ((4, 40), Some(Time::from_secs(1)), false));
        for other in ["p-2", "p-", "p-x", "q-0", ""] {
            assert_eq!(b.answer(other), None, "{other}");
        }
        assert_eq!(b.answer("p-1"), Some(vec![1, 2]));
        assert_eq!(b.answer("p-0"), Some(vec![]), "late, and nothing new");
        assert_eq!((b.unsettled(), b.oldest(), b.answered()), ((1, 10), None, true));
        assert_eq!(b.raise(Time::from_secs(3)), "p-2");
        b.sent(5, Some(4));
        assert_eq!(b.end(), [3, 4]);
        assert!(b.is_settled() && b.answered(), "what it did once it is expected to do again");
        assert_eq!(b.unsettled(), (0, 0));
        b.unanswered();
        b.end();
        assert!(!b.answered(), "but not for ever");
    }

    #[test]
    fn waits_expire_one_by_one() {
        let mut b = Barriers::new("p".into());
        for i in 0..3 {
            b.sent(1, Some(i));
            b.raise(Time::from_secs(i));
        }
        let wait = Duration::from_secs(2);
        assert_eq!(b.expire(Time::from_secs(1), wait), []);
        assert_eq!(b.expire(Time::from_secs(3), wait), [0, 1]);
        assert_eq!(b.expire(Time::from_secs(4), wait), [2]);
        assert!(b.is_settled());
    }
}
