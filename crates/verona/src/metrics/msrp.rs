//! The meters of chat sessions and rooms, and of what they travel over.

use super::{Direction, METADATA, Meters, ShardMeters, counter};
use ::metrics::{Counter, Key, Label, Recorder as _};
use ::msrp::Counts;
use metrics_exporter_prometheus::PrometheusRecorder;
use std::time::Duration;

impl ShardMeters {
    /// Each counter of MSRP with what it is to show.
    pub fn msrp_counters(&self, counts: &Counts) -> impl Iterator<Item = (&Counter, u64)> + use<'_> {
        self.msrp.iter().zip(MSRP.map(|(.., count)| count(counts)))
    }
}

/// A counter of MSRP: its name, its label, and where it comes from.
pub(super) type MsrpCounter = (&'static str, (&'static str, &'static str), fn(&Counts) -> u64);

pub(super) const MSRP: [MsrpCounter; 12] = [
    ("verona_msrp_messages_total", ("way", "in"), |c| c.messages_in),
    ("verona_msrp_messages_total", ("way", "out"), |c| c.messages_out),
    ("verona_msrp_bytes_total", ("way", "in"), |c| c.bytes_in),
    ("verona_msrp_bytes_total", ("way", "out"), |c| c.bytes_out),
    ("verona_msrp_chunks_total", ("way", "in"), |c| c.chunks_in),
    ("verona_msrp_chunks_total", ("way", "out"), |c| c.chunks_out),
    ("verona_msrp_reports_total", ("way", "in"), |c| c.reports_in),
    ("verona_msrp_reports_total", ("way", "out"), |c| c.reports_out),
    ("verona_msrp_refused_total", ("why", "refused"), |c| c.refused),
    ("verona_msrp_refused_total", ("why", "stray"), |c| c.stray),
    ("verona_msrp_refused_total", ("why", "doubled"), |c| c.doubled),
    ("verona_msrp_refused_total", ("why", "failed"), |c| c.failed),
];

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, what: &'static str| recorder.describe_counter(name.into(), None, what.into());
    let gauge = |name: &'static str, what: &'static str| recorder.describe_gauge(name.into(), None, what.into());
    gauge("verona_sessions", "Chat sessions, open or being opened");
    counter("verona_sessions_total", "Chat sessions by what became of them");
    counter("verona_session_failures_total", "Chat sessions that did not come to be, by SIP status");
    recorder.describe_histogram(
        "verona_session_setup_seconds".into(),
        None,
        "From the wish for a chat session to its connection".into(),
    );
    gauge("verona_room_seats", "Places in rooms, taken or being taken");
    gauge("verona_msrp_sessions", "MSRP sessions that have a connection");
    counter("verona_msrp_messages_total", "Whole messages that MSRP has carried");
    counter("verona_msrp_bytes_total", "Bytes of bodies that MSRP has carried");
    counter("verona_msrp_chunks_total", "Chunks that MSRP has carried");
    counter("verona_msrp_reports_total", "Reports that MSRP has carried");
    counter("verona_msrp_refused_total", "What the MSRP side refused, dropped or could not deliver");
    gauge("verona_msrp_connections", "Open MSRP connections");
    counter("verona_msrp_connections_refused_total", "MSRP connections beyond the limits");
    counter("verona_msrp_opens_total", "MSRP connections that sessions asked for");
    counter("verona_msrp_failures_total", "MSRP connections that could not be made, or ended for a reason");
}

impl Meters {
    /// A chat session has its connection, so long after somebody wanted it.
    pub fn session_opened(&self, direction: Direction, after: Duration) {
        self.way(direction).sessions_opened.increment(1);
        self.way(direction).setup_seconds.record(after.as_secs_f64());
    }

    /// A chat session did not come to be, for this SIP status.
    pub fn session_failed(&self, direction: Direction, code: u16) {
        let labels = [("direction", direction.name()), ("outcome", "failed")];
        counter(&self.recorder, "verona_sessions_total", labels).increment(1);
        let code = if (300..=699).contains(&code) { code.to_string() } else { "other".to_owned() };
        let labels = vec![Label::new("direction", direction.name()), Label::new("code", code)];
        let key = Key::from_parts("verona_session_failures_total", labels);
        self.recorder.register_counter(&key, &METADATA).increment(1);
    }

    /// A chat session that was there is over; lost: its connection was, or nobody answered any more.
    pub fn session_ended(&self, direction: Direction, lost: bool) {
        let way = self.way(direction);
        let counter = if lost { &way.sessions_lost } else { &way.sessions_ended };
        counter.increment(1);
    }

    /// An MSRP connection could not be made, or ended for a reason. `reason` is one of a closed list.
    pub fn msrp_failed(&self, reason: &'static str) {
        counter(&self.recorder, "verona_msrp_failures_total", [("reason", reason)]).increment(1);
    }
}
