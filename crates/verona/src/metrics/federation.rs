//! The meters of the streams with other servers.

use super::{METADATA, Meters, counter, gauge};
use ::metrics::{Counter, Gauge, Key, Label, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;
use std::sync::Arc;
use xmpp::federation::{Counts, Event, Refused, Undelivered};
use xmpp::stream::s2s::{DownReason, Fault, Proof};

/// What became of streams with other servers, and of what was to go over them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FederationMeters {
    meters: Arc<Meters>,
    outgoing: Gauge,
    incoming: Gauge,
    strangers: Gauge,
    domains: Gauge,
    waiting: Gauge,
    waiting_bytes: Gauge,
    unacknowledged: Gauge,
    undelivered: [Counter; Undelivered::ALL.len()],
    targets_failed: Counter,
}

impl FederationMeters {
    /// Shows what there is.
    pub(crate) fn counts(&self, counts: &Counts) {
        self.outgoing.set(counts.outgoing as f64);
        self.incoming.set((counts.incoming - counts.strangers) as f64);
        self.strangers.set(counts.strangers as f64);
        self.domains.set(counts.remotes as f64);
        self.waiting.set(counts.waiting as f64);
        self.waiting_bytes.set(counts.waiting_bytes as f64);
        self.unacknowledged.set(counts.unacknowledged as f64);
    }

    /// Counts what has happened.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Ready { proof, .. } => self.proved("out", *proof),
            Event::Accepts { proof, .. } => self.proved("in", *proof),
            Event::Down { reason, .. } => {
                let (by, reason) = ending(reason);
                self.count("verona_federation_ends_total", [("by", by), ("reason", reason)]);
            }
            Event::TargetFailed { .. } => self.targets_failed.increment(1),
            Event::Unreachable { why, .. } => self.count("verona_federation_unreachable_total", [("why", why.name())]),
            Event::Undelivered(why) => {
                for (meter, of) in self.undelivered.iter().zip(Undelivered::ALL) {
                    if of == *why {
                        meter.increment(1);
                    }
                }
            }
            Event::Fault(_, fault) => self.count("verona_federation_faults_total", [("fault", fault_name(fault))]),
        }
    }

    /// A connection was not taken.
    pub(crate) fn refused(&self, why: Refused) {
        self.count("verona_federation_refused_total", [("reason", why.name())]);
    }

    fn proved(&self, way: &'static str, proof: Proof) {
        let proof = match proof {
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
        };
        self.count("verona_federation_proofs_total", [("way", way), ("proof", proof)]);
    }

    fn count<const N: usize>(&self, name: &'static str, labels: [(&'static str, &'static str); N]) {
        let labels: Vec<Label> = labels.into_iter().map(|(key, value)| Label::new(key, value)).collect();
        self.meters.recorder.register_counter(&Key::from_parts(name, labels), &METADATA).increment(1);
    }
}

/// Who has ended a stream, and why, in words of a closed list.
fn ending(reason: &DownReason) -> (&'static str, &'static str) {
    match reason {
        DownReason::Disconnected => ("network", "disconnected"),
        DownReason::TlsFailed => ("network", "tls-failed"),
        DownReason::NoTls => ("us", "no-tls"),
        DownReason::BadCertificate(_) => ("us", "bad-certificate"),
        DownReason::NotAuthenticated => ("them", "not-authenticated"),
        DownReason::ClosedByPeer => ("them", "closed"),
        DownReason::PeerError(error) => ("them", error.condition.name()),
        DownReason::OurError(error) | DownReason::Unserved(error) => ("us", error.condition.name()),
        DownReason::Closed => ("us", "closed"),
    }
}

fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::BadStanza(_) => "bad-stanza",
        Fault::Oversize(_) => "oversize",
        Fault::UnsolicitedDialback => "unsolicited-dialback",
        Fault::BadDialback => "bad-dialback",
        Fault::DialbackRefused(..) => "dialback-refused",
        Fault::SaslFailure(_) => "sasl-failure",
        Fault::BarriersUnanswered => "barriers-unanswered",
    }
}

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, what: &'static str| recorder.describe_counter(name.into(), None, what.into());
    let gauge = |name: &'static str, what: &'static str| recorder.describe_gauge(name.into(), None, what.into());
    gauge("verona_federation_streams", "Connections with other servers, by kind");
    gauge("verona_federation_domains", "Domains with streams, or with anything waiting");
    gauge("verona_federation_waiting", "Stanzas that wait for a stream");
    gauge("verona_federation_waiting_bytes", "Bytes of those");
    gauge("verona_federation_unacknowledged", "Stanzas that were sent and are not known to be dealt with");
    counter("verona_federation_proofs_total", "Pairs of domains that were proved on a stream");
    counter("verona_federation_ends_total", "Streams that have ended, by who ended them and why");
    counter("verona_federation_undelivered_total", "Stanzas that came back, by reason");
    counter("verona_federation_unreachable_total", "Pairs of domains that were left alone for a while, by reason");
    counter("verona_federation_targets_failed_total", "Targets that were given up for the next");
    counter("verona_federation_faults_total", "What went wrong on streams without ending them");
    counter("verona_federation_refused_total", "Connections that were not taken, by reason");
}

impl Meters {
    /// The meters of the streams with other servers.
    pub(crate) fn federation(self: &Arc<Self>) -> FederationMeters {
        let recorder = &self.recorder;
        let streams = |kind| gauge(recorder, "verona_federation_streams", [("kind", kind)]);
        FederationMeters {
            outgoing: streams("outgoing"),
            incoming: streams("incoming"),
            strangers: streams("stranger"),
            domains: gauge(recorder, "verona_federation_domains", []),
            waiting: gauge(recorder, "verona_federation_waiting", []),
            waiting_bytes: gauge(recorder, "verona_federation_waiting_bytes", []),
            unacknowledged: gauge(recorder, "verona_federation_unacknowledged", []),
            undelivered: Undelivered::ALL
                .map(|why| counter(recorder, "verona_federation_undelivered_total", [("why", why.name())])),
            targets_failed: counter(recorder, "verona_federation_targets_failed_total", []),
            meters: Arc::clone(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xmpp::error::StreamCondition;
    use xmpp::federation::ConnectionId;
    use xmpp::stream::StreamError;
    use xmpp::stream::s2s::Pair;

    #[test]
    fn what_happens_is_counted_by_reason() {
        let all = Arc::new(Meters::new());
        let meters = all.federation();
        let connection = ConnectionId(1);
        let pair = Pair::new("a.example", "b.example");
        let error = DownReason::OurError(StreamError::new(StreamCondition::InvalidFrom));
        meters.counts(&Counts { incoming: 5, strangers: 2, ..Counts::default() });
        meters.event(&Event::Accepts { connection, pair, proof: Proof::Dialback });
        meters.event(&Event::Down { connection, remotes: Vec::new(), proved: true, reason: error });
        meters.event(&Event::Undelivered(Undelivered::NotFound));
        meters.event(&Event::Fault(connection, Fault::UnsolicitedDialback));
        meters.refused(Refused::Strangers);
        let text = all.render();
        for line in [
            "verona_federation_streams{kind=\"incoming\"} 3",
            "verona_federation_proofs_total{way=\"in\",proof=\"dialback\"} 1",
            "verona_federation_ends_total{by=\"us\",reason=\"invalid-from\"} 1",
            "verona_federation_undelivered_total{why=\"not-found\"} 1",
            "verona_federation_faults_total{fault=\"unsolicited-dialback\"} 1",
            "verona_federation_refused_total{reason=\"strangers\"} 1",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in\n{text}");
        }
    }
}
