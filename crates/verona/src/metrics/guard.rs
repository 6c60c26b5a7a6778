//! The meters of the door: who was not let in, and why.

use super::{Meters, counter, gauge};
use crate::guard::{Offence, Reason};
use ::metrics::{Counter, Gauge, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;

/// What happened at the door.
#[derive(Debug, Clone)]
pub(crate) struct GuardMeters {
    refused: [Counter; Reason::ALL.len()],
    offences: [Counter; Offence::ALL.len()],
    /// Sources that were shut out.
    pub(crate) bans: Counter,
    /// Sources that are, as of the last ban.
    pub(crate) banned: Gauge,
}

impl GuardMeters {
    /// Meters that nobody looks at.
    #[cfg(test)]
    pub(crate) fn unseen() -> GuardMeters {
        Meters::new().guard()
    }

    /// Somebody was not let in.
    pub(crate) fn refused(&self, reason: Reason) {
        for (meter, of) in self.refused.iter().zip(Reason::ALL) {
            if of == reason {
                meter.increment(1);
            }
        }
    }

    /// A source has done something.
    pub(crate) fn offence(&self, offence: Offence) {
        for (meter, of) in self.offences.iter().zip(Offence::ALL) {
            if of == offence {
                meter.increment(1);
            }
        }
    }
}

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let counter = |name: &'static str, what: &'static str| recorder.describe_counter(name.into(), None, what.into());
    counter("verona_refused_sources_total", "Connections and messages that were not let in, by reason");
    counter("verona_offences_total", "What sources have done that decent ones do not, by kind");
    counter("verona_bans_total", "Sources that were shut out");
    recorder.describe_gauge("verona_banned".into(), None, "Sources that were shut out when the last one was".into());
}

impl Meters {
    /// The meters of the door.
    pub(crate) fn guard(&self) -> GuardMeters {
        let recorder = &self.recorder;
        GuardMeters {
            refused: Reason::ALL.map(|r| counter(recorder, "verona_refused_sources_total", [("reason", r.name())])),
            offences: Offence::ALL.map(|o| counter(recorder, "verona_offences_total", [("offence", o.name())])),
            bans: counter(recorder, "verona_bans_total", []),
            banned: gauge(recorder, "verona_banned", []),
        }
    }
}
