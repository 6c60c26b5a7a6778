//! The timers of RFC 3261 appendix A (table 4), RFC 6026 §8.11 and RFC 4320 §4.1.

use std::time::Duration;

/// A timer, by its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// INVITE request retransmission, unreliable transports only.
    A,
    /// INVITE client transaction timeout.
    B,
    /// How long a client absorbs retransmitted refusals of an INVITE.
    D,
    /// Non-INVITE request retransmission, unreliable transports only.
    E,
    /// Non-INVITE client transaction timeout.
    F,
    /// Retransmission of a refusal of an INVITE, unreliable transports only.
    G,
    /// How long a server waits for the ACK.
    H,
    /// How long a server absorbs retransmitted ACKs.
    I,
    /// How long a server answers retransmissions of a non-INVITE request.
    J,
    /// How long a client absorbs retransmitted responses to a non-INVITE request.
    K,
    /// How long a server absorbs retransmissions of an INVITE it accepted (RFC 6026).
    L,
    /// How long a client takes further 2xx responses to an INVITE (RFC 6026).
    M,
    /// When a 100 is due although the transaction user has not answered: 200 ms for an INVITE (RFC 3261 §17.2.1).
    InviteTrying,
    /// The same for all else: when the other side's timer E reaches T2, not before and not after (RFC 4320 §4.1).
    Trying,
    /// When the other side's timer F has ended a non-INVITE transaction, so that an answer has become useless and a 408 is
    /// forbidden (RFC 4320 §4.2).
    Useless,
}

/// T1, T2 and T4 (RFC 3261 §17.1.1.1), and the intervals that follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// The estimate of the round-trip time.
    pub t1: Duration,
    /// The longest interval between retransmissions other than those of an INVITE request.
    pub t2: Duration,
    /// How long the network keeps a message.
    pub t4: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Intervals { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Intervals {
    /// 64 T1: how long either side tries.
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// The first interval of `timer`. Zero means that the timer fires at once; the timers that only retransmit are never
    /// started on a reliable transport.
    pub fn first(&self, timer: Timer, reliable: bool) -> Duration {
        match timer {
            Timer::A | Timer::E | Timer::G => self.t1,
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M | Timer::Useless => self.patience(),
            Timer::D | Timer::I | Timer::J | Timer::K if reliable => Duration::ZERO,
            // The other side's T1 is not known: 32 s at least (RFC 3261 §17.1.1.2).
            Timer::D => self.patience().max(Duration::from_secs(32)),
            Timer::I | Timer::K => self.t4,
            Timer::J => self.patience(),
            Timer::InviteTrying => Duration::from_millis(200),
            Timer::Trying => self.until_t2(),
        }
    }

    /// The interval of `timer` that follows `last`.
    pub fn next(&self, timer: Timer, last: Duration) -> Duration {
        match timer {
            Timer::A => last * 2,
            Timer::E | Timer::G => (last * 2).min(self.t2),
            // None of these is ever set again.
            Timer::B
            | Timer::D
            | Timer::F
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::K
            | Timer::L
            | Timer::M
            | Timer::InviteTrying
            | Timer::Trying
            | Timer::Useless => last,
        }
    }

    /// The time a client's timer E takes until it is set to T2: the sum of the intervals before (RFC 4320 §4.1). 3.5 s by default.
    fn until_t2(&self) -> Duration {
        let (mut sum, mut interval) = (Duration::ZERO, self.t1);
        // A T1 of zero would never get there.
        while !interval.is_zero() && interval < self.t2 {
            sum += interval;
            interval *= 2;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn first_intervals_are_those_of_the_table() {
        let i = Intervals::default();
        let table = [
            (Timer::A, 500, 500),
            (Timer::B, 32_000, 32_000),
            (Timer::D, 32_000, 0),
            (Timer::E, 500, 500),
            (Timer::F, 32_000, 32_000),
            (Timer::G, 500, 500),
            (Timer::H, 32_000, 32_000),
            (Timer::I, 5_000, 0),
            (Timer::J, 32_000, 0),
            (Timer::K, 5_000, 0),
            (Timer::L, 32_000, 32_000),
            (Timer::M, 32_000, 32_000),
            (Timer::InviteTrying, 200, 200),
            (Timer::Trying, 3_500, 3_500),
            (Timer::Useless, 32_000, 32_000),
        ];
        for (timer, unreliable, reliable) in table {
            assert_eq!(i.first(timer, false), ms(unreliable), "{timer:?}");
            assert_eq!(i.first(timer, true), ms(reliable), "{timer:?}");
        }
    }

    #[test]
    fn retransmissions_back_off() {
        let i = Intervals::default();
        let series = |timer| {
            let intervals = std::iter::successors(Some(i.first(timer, false)), |&last| Some(i.next(timer, last)));
            intervals.take(7).map(|d| d.as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(series(Timer::A), [500, 1000, 2000, 4000, 8000, 16_000, 32_000]);
        assert_eq!(series(Timer::E), [500, 1000, 2000, 4000, 4000, 4000, 4000]);
        assert_eq!(series(Timer::G), [500, 1000, 2000, 4000, 4000, 4000, 4000]);
    }

    #[test]
    fn odd_intervals_end() {
        let zero = Intervals { t1: ms(0), t2: ms(4000), t4: ms(0) };
        assert_eq!(zero.first(Timer::Trying, false), ms(0));
        let slow = Intervals { t1: ms(5000), t2: ms(4000), t4: ms(5000) };
        assert_eq!(slow.first(Timer::Trying, false), ms(0));
        assert_eq!(slow.first(Timer::D, false), ms(320_000));
        assert_eq!(Intervals { t1: ms(100), ..slow }.first(Timer::D, false), ms(32_000));
    }
}
