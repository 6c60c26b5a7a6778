//! What became of what was sent: acknowledgements (XEP-0198) and barriers.

use super::pairs::Outward;
use super::{NS, State, Stream};
use crate::error::{Condition, StreamCondition};
use crate::ext::ping::Ping;
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use crate::stream::StreamError;
use crate::stream::s2s::barrier::{Load, Mark, Patience, Settled};
use crate::stream::s2s::{Fault, Output, Pair};
use base::{Str, Time, format_compact};
use xml::Element;

/// Whether stanzas are counted and acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sm {
    #[default]
    Off,
    /// `<enable/>` is out: what we send counts already (XEP-0198 §4).
    Asked,
    On,
}

/// The accounts of one stream.
#[derive(Debug, Default)]
pub(super) struct Acks {
    sm: Sm,
    /// Stanzas that were sent since it began, and how many of them the other side has.
    sent: u64,
    acked: u64,
    /// Stanzas of theirs that we have.
    handled: u32,
    /// Since when an acknowledgement is asked for.
    requested: Option<Time>,
    /// What our pings' ids start with. Random, and known to nobody but us and the other server: whoever knew it could make us believe
    /// that a stanza was taken.
    prefix: Str,
    pings: u64,
    answered: bool,
    expected: bool,
    unanswered_told: bool,
    load: Load,
}

impl Acks {
    pub(super) fn expect(&mut self, expected: bool) {
        self.expected = expected;
    }

    pub(super) fn answered(&self) -> bool {
        self.answered
    }

    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// A stanza goes out.
    pub(super) fn sent(&mut self, bytes: usize, is_tracked: bool) {
        self.load.stanzas += usize::from(is_tracked);
        self.load.bytes += bytes;
        self.count();
    }

    /// A stanza of theirs has come.
    pub(super) fn handle(&mut self) {
        // XEP-0198 §4: it starts again at zero.
        self.handled = self.handled.wrapping_add(1);
    }

    pub(super) fn is_on(&self) -> bool {
        self.sm == Sm::On
    }

    fn count(&mut self) {
        if self.sm != Sm::Off {
            self.sent += 1;
        }
    }
}

impl Stream {
    /// XEP-0198 §3: asked for once something is proved, by the side that has opened the stream.
    pub(super) fn enable_sm(&mut self) {
        let offered = self.is_initiating() && self.features.is_some_and(|f| f.sm);
        if offered && self.config.sm && self.acks.sm == Sm::Off && self.acks.sent == 0 {
            self.acks.sm = Sm::Asked;
            self.element(&Element::new("enable", ns::SM));
        }
    }

    /// An element in [`ns::SM`].
    pub(super) fn sm_element(&mut self, now: Time, e: &Element) {
        match (e.name.as_str(), self.acks.sm) {
            ("enable", Sm::Off) if !self.is_initiating() && self.proven && self.config.sm => {
                self.acks.sm = Sm::On;
                self.acks.handled = 0;
                self.element(&Element::new("enabled", ns::SM));
            }
            // §3: not before something is proved. §5: nothing is kept that could be resumed.
            ("enable", Sm::Off) if !self.is_initiating() => self.sm_failed(Condition::UnexpectedRequest),
            ("resume", Sm::Off) if !self.is_initiating() => self.sm_failed(Condition::FeatureNotImplemented),
            ("enable" | "resume", _) => {
                self.fail(now, StreamCondition::PolicyViolation, "stream management is there already");
            }
            ("enabled", Sm::Asked) => {
                self.acks.sm = Sm::On;
                self.acks.handled = 0;
                self.request_ack(now);
            }
            ("failed", Sm::Asked) => self.acks.sm = Sm::Off,
            ("r", Sm::On) => self.acknowledge(),
            ("a", Sm::On) => self.acknowledged(now, e),
            _ => self.fail(now, StreamCondition::UnsupportedStanzaType, "stream management out of turn"),
        }
    }

    fn sm_failed(&mut self, condition: Condition) {
        let condition = Element::new(condition.name(), ns::STANZA_ERRORS);
        self.element(&Element::new("failed", ns::SM).with_child(condition));
    }

    /// Says how many stanzas have come.
    pub(super) fn acknowledge(&mut self) {
        let h = format_compact!("{}", self.acks.handled);
        self.element(&Element::new("a", ns::SM).with_attr("h", h));
    }

    /// They say how many have come. The number has 32 bits; ours has more.
    fn acknowledged(&mut self, now: Time, e: &Element) {
        let Some(h) = e.attr("h").and_then(|h| h.parse::<u32>().ok()) else {
            return self.fail(now, StreamCondition::BadFormat, "an acknowledgement of nothing");
        };
        let low = |n: u64| (n & u64::from(u32::MAX)) as u32;
        let more = u64::from(h.wrapping_sub(low(self.acks.acked)));
        if more > self.acks.sent - self.acks.acked {
            let too_high = Element::new("handled-count-too-high", ns::SM)
                .with_attr("h", format_compact!("{h}"))
                .with_attr("send-count", format_compact!("{}", low(self.acks.sent)));
            let error = StreamError::new(StreamCondition::UndefinedCondition).with_text("more than was sent");
            return self.fail_with(now, error, Some(&too_high));
        }
        self.acks.acked += more;
        self.acks.requested = None;
        let acked = self.acks.acked;
        let settled = self.pairs.settle(|b, settled| b.acked(now, acked, settled));
        self.settled(settled);
    }

    fn request_ack(&mut self, now: Time) {
        if self.acks.is_on() && self.acks.requested.is_none() {
            self.acks.requested = Some(now);
            self.tried = now;
            self.element(&Element::new("r", ns::SM));
        }
    }

    /// Barriers behind all that wait for one.
    pub(super) fn raise_due(&mut self, now: Time) {
        let max = self.config.max_barriers;
        let crowded = self.acks.load().bytes * 2 >= self.config.max_unacknowledged_bytes;
        let due = self.pairs.matching(|_, e| e.barriers.is_due(max, crowded));
        due.iter().for_each(|pair| self.raise(now, pair));
        if !due.is_empty() || self.acks.acked < self.acks.sent && self.is_awaited() {
            self.request_ack(now);
        }
    }

    /// Whether an acknowledgement would tell anybody something.
    fn is_awaited(&self) -> bool {
        self.pairs.iter().any(|(_, e)| !e.barriers.is_settled())
    }

    /// Sends a barrier for a pair.
    fn raise(&mut self, now: Time, pair: &Pair) {
        // On a connection for both directions errors come in front of the acknowledgement.
        let mark = if self.bidi && self.acks.is_on() {
            Mark::Ack
        } else {
            let number = self.acks.pings;
            self.acks.pings += 1;
            if self.acks.prefix.is_empty() {
                self.acks.prefix = self.tokens.token(16);
            }
            let id = format_compact!("{}{number}", self.acks.prefix);
            let domain = |name: &str| Jid::new(None, name, None).ok();
            let ping = Stanza { from: domain(&pair.local), to: domain(&pair.remote), ..Stanza::iq("get") };
            self.bytes(&ping.with_id(id).with_child(Ping.to_element()).to_bytes(NS));
            self.acks.count();
            self.tried = now;
            Mark::Ping(number)
        };
        let count = (self.acks.sm != Sm::Off).then_some(self.acks.sent);
        if let Some(entry) = self.pairs.get_mut(pair) {
            entry.barriers.raised(now, mark, count);
        }
    }

    /// See [`Stream::answered`].
    pub(super) fn answers_a_barrier(&mut self, now: Time, stanza: &Stanza) -> bool {
        let (Some(from), Some(to), Some(id)) = (&stanza.from, &stanza.to, &stanza.id) else { return false };
        let is_answer = stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("result" | "error"));
        if !is_answer || self.acks.prefix.is_empty() || from.local().is_some() || to.local().is_some() {
            return false;
        }
        let number = id.strip_prefix(self.acks.prefix.as_str()).and_then(|n| n.parse::<u64>().ok());
        let Some(number) = number.filter(|n| *n < self.acks.pings) else { return false };
        let Some(entry) = self.pairs.get_mut(&Pair::new(to.domain(), from.domain())) else { return false };
        if self.state == State::Over {
            return true;
        }
        let mut settled = Settled::default();
        entry.barriers.answered(number, &mut settled);
        self.heard = now;
        self.acks.answered = true;
        self.settled(settled);
        true
    }

    fn settled(&mut self, settled: Settled) {
        self.acks.load.stanzas -= settled.load.stanzas;
        self.acks.load.bytes -= settled.load.bytes;
        self.out.extend(settled.tokens.into_iter().map(Output::Taken));
    }

    /// Barriers are answered by this server, as far as is known.
    fn expects_answers(&self) -> bool {
        self.acks.answered || self.acks.expected
    }

    fn patience(&self) -> Patience {
        let (acked, silent) = if self.expects_answers() {
            (self.config.ping_timeout, None)
        } else {
            let wait = self.config.barrier_timeout;
            (wait, (!self.acks.is_on()).then_some(wait))
        };
        Patience { acked, silent }
    }

    /// Barriers that have been waited for long enough.
    pub(super) fn expire_barriers(&mut self, now: Time) {
        let patience = self.patience();
        let mut by_wait = false;
        let settled = self.pairs.settle(|b, settled| by_wait |= b.expire(now, patience, settled));
        if by_wait {
            self.counts.taken_by_wait += settled.tokens.len() as u64;
            if !std::mem::replace(&mut self.acks.unanswered_told, true) {
                self.out.push_back(Output::Fault(Fault::BarriersUnanswered));
            }
        }
        self.settled(settled);
    }

    /// When the stream is dead if nothing is heard until then.
    fn death(&self) -> Option<Time> {
        let oldest = self.pairs.iter().filter_map(|(_, e)| e.barriers.oldest_ping()).min();
        let awaited = oldest.filter(|_| self.expects_answers()).into_iter().chain(self.acks.requested).min()?;
        let wait = self.config.ping_timeout;
        Some((awaited.max(self.heard) + wait).min(awaited + wait * 3))
    }

    /// When [`Stream::check_life`] or [`Stream::expire_barriers`] next has something to find.
    pub(super) fn life_deadline(&self) -> Option<Time> {
        let patience = self.patience();
        let expires = self.pairs.iter().filter_map(|(_, e)| e.barriers.expires(patience)).min();
        expires.into_iter().chain(self.death()).chain(self.ping_due()).min()
    }

    /// When the silence is to be broken. What is asked already does that.
    fn ping_due(&self) -> Option<Time> {
        let quiet = self.heard.max(self.tried).max(self.used);
        (self.state == State::Negotiated && self.death().is_none()).then(|| quiet + self.config.ping_interval)
    }

    /// Finds out whether the other side still lives.
    pub(super) fn check_life(&mut self, now: Time) {
        if self.death().is_some_and(|at| at <= now) {
            return self.fail(now, StreamCondition::ConnectionTimeout, "no answer");
        }
        self.expire_barriers(now);
        self.raise_due(now);
        if self.ping_due().is_some_and(|at| at <= now) {
            self.tried = now;
            let ready = self.pairs.matching(|_, e| matches!(e.outward, Outward::Ready(_)));
            if self.acks.is_on() {
                self.request_ack(now);
            } else if let Some(pair) = ready.first().filter(|_| self.bidi && self.expects_answers()) {
                self.raise(now, pair);
            } else {
                // RFC 6120 §4.6.1: white space at least shows whether the connection is alive.
                self.bytes(b" ");
            }
        }
    }

    /// The stream is over: what became of each token, as far as is known.
    pub(super) fn end_acks(&mut self) {
        for (_, entry) in self.pairs.iter_mut() {
            let (taken, lost) = entry.barriers.end();
            self.out.extend(taken.into_iter().map(Output::Taken));
            self.out.extend(lost.into_iter().map(Output::Lost));
        }
        self.acks.load = Load::default();
    }

    /// Whether nobody waits for what was sent.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_awaited()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::s2s::{Config, Secret};
    use base::Tokens;
    use std::sync::Arc;

    /// XEP-0198 §4: after 2^32 - 1 comes 0, on both sides.
    #[test]
    fn numbers_start_again() {
        let mut acks = Acks { handled: u32::MAX, ..Acks::default() };
        acks.handle();
        assert_eq!(acks.handled, 0);
        let config = Arc::new(Config::new([], Secret::new(b"")));
        let mut stream = Stream::receiving(config, Tokens::seeded(1), Time::ZERO, true);
        let most = u64::from(u32::MAX);
        stream.acks = Acks { sm: Sm::On, sent: most + 3, acked: most, ..Acks::default() };
        let mut hear = |h: &str| {
            stream.acknowledged(Time::ZERO, &Element::new("a", ns::SM).with_attr("h", h));
            stream.acks.acked
        };
        assert_eq!(hear("4294967295"), most);
        assert_eq!(hear("1"), most + 2);
        assert_eq!(hear("3"), most + 2, "more than was sent");
    }
}
