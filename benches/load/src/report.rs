//! What came of a run, as JSON.

use crate::ledger::{ACCEPTED, DELIVERED, Ledger, REFUSED, UNANSWERED};
use crate::options::Way;
use crate::run::Shared;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;

/// What was measured besides the messages.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// From the first message to the last that was settled.
    pub seconds: f64,
    /// Seconds of processor time of the gateway.
    pub gateway_cpu: f64,
    /// Our own.
    pub own_cpu: f64,
    /// The gateway's memory in KiB, before.
    pub memory_before: u64,
    /// The most that was seen.
    pub memory_peak: u64,
    /// When all was settled.
    pub memory_after: u64,
}

/// The report of a run.
pub fn report(shared: &Shared, measured: &Measured) -> Value {
    let options = &shared.options;
    let delivered: usize = options.ways.iter().map(|w| shared.ledger(*w).delivered.load(SeqCst)).sum();
    let per_100k = |seconds: f64| if delivered == 0 { 0.0 } else { seconds * 1e5 / delivered as f64 };
    let mut report = json!({
        "count": options.count, "rate": options.rate, "window": options.window, "users": options.users, "body": options.body,
        "transport": if options.tcp { "tcp" } else { "udp" },
        "seconds": measured.seconds,
        "gateway_cpu_per_100k": per_100k(measured.gateway_cpu),
        "own_cpu_per_100k": per_100k(measured.own_cpu),
        "memory_kib": { "before": measured.memory_before, "peak": measured.memory_peak, "after": measured.memory_after },
    });
    for way in &options.ways {
        let name = match way {
            Way::SipToXmpp => "s2x",
            Way::XmppToSip => "x2s",
        };
        report[name] = one(shared.ledger(*way), *way);
    }
    report
}

fn one(ledger: &Ledger, way: Way) -> Value {
    let sent = ledger.sent.load(SeqCst);
    let (mut refused, mut unanswered, mut lost, mut both) = (0, 0, 0, 0);
    for message in 0..sent {
        let marks = ledger.marks[message].load(SeqCst);
        if marks & DELIVERED != 0 {
            // Told that it failed, and there all the same: its sender will send it again.
            both += usize::from(marks & (REFUSED | UNANSWERED) != 0);
        } else if marks & REFUSED != 0 {
            refused += 1;
        } else if marks & ACCEPTED == 0 && way == Way::SipToXmpp {
            unanswered += 1;
        } else {
            lost += 1;
        }
    }
    let (waits, seconds) = ledger.waits();
    let delivered = waits.len();
    json!({
        "sent": sent, "delivered": delivered, "refused": refused, "unanswered": unanswered, "lost": lost, "delivered_and_failed": both,
        "duplicates": ledger.duplicates.load(SeqCst),
        "wrong_texts": ledger.wrong_texts.load(SeqCst),
        "wrong_addresses": ledger.wrong_addresses.load(SeqCst),
        "retransmissions": ledger.retransmissions.load(SeqCst),
        "refusals": ledger.refusals(),
        "per_second": if seconds > 0.0 { delivered as f64 / seconds } else { 0.0 },
        "ms": {
            "p50": percentile(&waits, 0.5), "p90": percentile(&waits, 0.9), "p99": percentile(&waits, 0.99),
            "max": percentile(&waits, 1.0),
        },
    })
}

/// In milliseconds.
pub(crate) fn percentile(sorted: &[u64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(0.0, |ns| *ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::settling;

    #[test]
    fn percentiles() {
        let sorted: Vec<u64> = (1..=100).map(|n| n * 1_000_000).collect();
        assert_eq!(
            (percentile(&sorted, 0.5), percentile(&sorted, 0.99), percentile(&sorted, 1.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(percentile(&[], 0.99), 0.0);
    }

    #[test]
    fn every_message_is_counted_once() {
        let ledger = Ledger::new(5);
        let way = Way::SipToXmpp;
        for (message, marks) in
            [vec![DELIVERED, ACCEPTED], vec![REFUSED], vec![], vec![ACCEPTED], vec![DELIVERED, REFUSED]]
                .iter()
                .enumerate()
        {
            for mark in marks {
                ledger.mark(message, *mark, 2_000_000, settling(way));
            }
        }
        ledger.sent.store(5, SeqCst);
        let report = one(&ledger, way);
        let counts =
            ["sent", "delivered", "refused", "unanswered", "lost", "delivered_and_failed"].map(|k| report[k].as_u64());
        assert_eq!(counts, [5, 2, 1, 1, 1, 1].map(Some));
    }
}
