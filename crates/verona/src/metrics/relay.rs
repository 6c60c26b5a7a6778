//! The meters of the media relays.

use super::{METADATA, Meters};
use ::metrics::{Counter, Gauge, Key, Label, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;
use ng::{Counts, Health};

/// What one shard has asked of the relays.
#[derive(Debug, Clone)]
pub struct RelayMeters {
    up: Gauge,
    counters: [Counter; COUNTERS.len()],
}

impl RelayMeters {
    /// Shows what was counted, and how many relays answer.
    pub fn show(&self, counts: &Counts, health: &[Health]) {
        self.up.set(health.iter().filter(|health| health.up).count() as f64);
        for (counter, (.., count)) in self.counters.iter().zip(COUNTERS) {
            counter.absolute(count(counts));
        }
    }
}

/// A counter: its name, its label, and where it comes from.
type RelayCounter = (&'static str, Option<(&'static str, &'static str)>, fn(&Counts) -> u64);

const COUNTERS: [RelayCounter; 6] = [
    ("verona_relay_requests_total", Some(("outcome", "granted")), |c| c.granted),
    ("verona_relay_requests_total", Some(("outcome", "refused")), |c| c.refused),
    ("verona_relay_requests_total", Some(("outcome", "failed")), |c| c.failed),
    ("verona_relay_repeats_total", None, |c| c.repeated),
    ("verona_relay_moves_total", None, |c| c.moved),
    ("verona_relay_stray_total", None, |c| c.stray),
];

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, what: &'static str| recorder.describe_counter(name.into(), None, what.into());
    recorder.describe_gauge("verona_relays_up".into(), None, "Media relays that answer".into());
    counter("verona_relay_requests_total", "What media relays were asked, by what became of it");
    counter("verona_relay_repeats_total", "Datagrams to media relays that were sent again");
    counter("verona_relay_moves_total", "Requests that went on to another media relay");
    counter("verona_relay_stray_total", "Datagrams that answer nothing that a media relay was asked");
}

impl Meters {
    /// The meters of a shard's relays.
    pub(super) fn relay(&self, shard: usize) -> RelayMeters {
        let labels = |label: Option<(&'static str, &'static str)>| {
            let label = label.map(|(key, value)| Label::new(key, value));
            label.into_iter().chain([Label::new("shard", shard.to_string())]).collect::<Vec<_>>()
        };
        RelayMeters {
            up: self.recorder.register_gauge(&Key::from_parts("verona_relays_up", labels(None)), &METADATA),
            counters: COUNTERS.map(|(name, label, _)| {
                self.recorder.register_counter(&Key::from_parts(name, labels(label)), &METADATA)
            }),
        }
    }
}
