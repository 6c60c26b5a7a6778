//! The meters of calls.

use super::{Direction, METADATA, Meters, counter, key};
use ::metrics::Recorder as _;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};
use std::time::Duration;

/// Calls ring and last longer than anything else that is measured.
const BUCKETS: [f64; 14] = [0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14_400.0];

/// The bounds of what is measured of calls.
pub(super) fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    builder.set_buckets_for_metric(Matcher::Prefix("verona_call_".to_owned()), &BUCKETS)
}

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, what: &'static str| recorder.describe_counter(name.into(), None, what.into());
    let histogram =
        |name: &'static str, what: &'static str| recorder.describe_histogram(name.into(), None, what.into());
    recorder.describe_gauge("verona_calls".into(), None, "Calls that are there or begin".into());
    counter("verona_calls_total", "Calls by what became of them");
    counter("verona_call_failures_total", "Calls that were not answered, by reason");
    counter("verona_call_ends_total", "Calls that were answered, by why they ended");
    histogram("verona_call_setup_seconds", "From the first word of a call to its answer");
    histogram("verona_call_seconds", "From the answer of a call to its end");
}

impl Meters {
    /// A call was answered, so long after it began.
    pub fn call_answered(&self, direction: Direction, after: Duration) {
        self.call(direction, "answered");
        self.measure("verona_call_setup_seconds", direction, after);
    }

    /// A call was not answered. `reason` is one of XEP-0166's.
    pub fn call_failed(&self, direction: Direction, reason: &'static str) {
        self.call(direction, "failed");
        let labels = [("direction", direction.name()), ("reason", reason)];
        counter(&self.recorder, "verona_call_failures_total", labels).increment(1);
    }

    /// A call is over that was answered, so long after that. `reason` is one of XEP-0166's.
    pub fn call_ended(&self, direction: Direction, reason: &'static str, after: Duration) {
        self.call(direction, "ended");
        let labels = [("direction", direction.name()), ("reason", reason)];
        counter(&self.recorder, "verona_call_ends_total", labels).increment(1);
        self.measure("verona_call_seconds", direction, after);
    }

    fn call(&self, direction: Direction, outcome: &'static str) {
        let labels = [("direction", direction.name()), ("outcome", outcome)];
        counter(&self.recorder, "verona_calls_total", labels).increment(1);
    }

    fn measure(&self, name: &'static str, direction: Direction, time: Duration) {
        let key = key(name, [("direction", direction.name())]);
        self.recorder.register_histogram(&key, &METADATA).record(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted() {
        let meters = Meters::new();
        meters.call_answered(Direction::SipToXmpp, Duration::from_secs(4));
        meters.call_ended(Direction::SipToXmpp, "success", Duration::from_secs(100));
        meters.call_failed(Direction::XmppToSip, "busy");
        meters.shard(1).calls.set(2.0);
        let text = meters.render();
        for line in [
            "verona_calls{shard=\"1\"} 2",
            "verona_calls_total{direction=\"sip_to_xmpp\",outcome=\"answered\"} 1",
            "verona_calls_total{direction=\"sip_to_xmpp\",outcome=\"ended\"} 1",
            "verona_calls_total{direction=\"xmpp_to_sip\",outcome=\"failed\"} 1",
            "verona_call_failures_total{direction=\"xmpp_to_sip\",reason=\"busy\"} 1",
            "verona_call_ends_total{direction=\"sip_to_xmpp\",reason=\"success\"} 1",
            "verona_call_setup_seconds_bucket{direction=\"sip_to_xmpp\",le=\"2\"} 0",
            "verona_call_setup_seconds_bucket{direction=\"sip_to_xmpp\",le=\"5\"} 1",
            "verona_call_seconds_bucket{direction=\"sip_to_xmpp\",le=\"120\"} 1",
            "# TYPE verona_calls_total counter",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
