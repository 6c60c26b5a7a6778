//! The messages of a world, and what became of each.

use std::collections::BTreeMap;

/// What is known of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// It was written by a SIP user.
    pub from_sip: bool,
    /// The gateway has read it. One that an XMPP server had sent into a connection that then broke never arrives, and no gateway can know.
    pub reached_gateway: bool,
    /// How often its recipient got it.
    pub delivered: u32,
    /// How often its sender was told that it failed.
    pub errors: u32,
    /// Its sender was told that it succeeded (SIP only: XMPP has no such thing).
    pub accepted: bool,
    /// The gateway was killed while it had it.
    pub doomed: bool,
}

/// All messages, by number.
#[derive(Debug, Default)]
pub struct Letters(BTreeMap<u64, Letter>);

/// The count at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages written.
    pub written: usize,
    /// Delivered, and the sender heard of no failure.
    pub delivered: usize,
    /// Not delivered, and the sender knows.
    pub failed: usize,
    /// Delivered, though the sender was told that it might not be: an answer was lost.
    pub both: usize,
    /// Lost before the gateway could read them.
    pub never_seen: usize,
    /// Lost with the gateway's process, which was killed.
    pub doomed: usize,
    /// What must not be: neither delivered nor reported, delivered twice, or promised and not kept.
    pub wrong: Vec<(u64, Letter)>,
}

impl Letters {
    pub(super) fn write(&mut self, from_sip: bool) -> u64 {
        let number = self.0.len() as u64;
        self.0.insert(number, Letter { from_sip, ..Letter::default() });
        number
    }

    pub(super) fn of(&mut self, number: u64) -> &mut Letter {
        self.0.entry(number).or_default()
    }

    /// The gateway's process dies: XMPP knows of no second try.
    pub(super) fn doom(&mut self) {
        let had = |letter: &&mut Letter| !letter.from_sip && letter.reached_gateway;
        self.0.values_mut().filter(had).filter(|l| (l.delivered, l.errors) == (0, 0)).for_each(|l| l.doomed = true);
    }

    /// What became of them.
    pub fn report(&self) -> Report {
        let mut report = Report { written: self.0.len(), ..Report::default() };
        for (number, letter) in &self.0 {
            let broken_promise = letter.accepted && letter.delivered != 1;
            // An answer to a SIP request is given once; an error stanza that the stream may have lost is sent again.
            let told_twice = letter.from_sip && letter.errors > 1;
            match (letter.delivered, letter.errors) {
                _ if broken_promise || told_twice => report.wrong.push((*number, letter.clone())),
                (1, 0) => report.delivered += 1,
                (0, 1..) => report.failed += 1,
                (1, 1..) => report.both += 1,
                (0, 0) if letter.doomed => report.doomed += 1,
                (0, 0) if !letter.reached_gateway && !letter.from_sip => report.never_seen += 1,
                _ => report.wrong.push((*number, letter.clone())),
            }
        }
        report
    }
}
