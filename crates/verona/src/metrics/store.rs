//! The meters of the store.

use super::{METADATA, Meters, counter, gauge, key};
use ::metrics::{Counter, Gauge, Histogram, Recorder as _};
use std::fmt;

/// The meters of the store.
#[derive(Clone)]
pub struct StoreMeters {
    /// Transactions that are on disk.
    pub commits: Counter,
    /// How long each took.
    pub seconds: Histogram,
    /// Changes that were refused.
    pub failures: Counter,
    /// Changes that wait.
    pub queue: Gauge,
    /// Records that there are.
    pub records: Gauge,
}

impl fmt::Debug for StoreMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreMeters")
    }
}

impl Meters {
    /// The meters of the store.
    pub fn store(&self) -> StoreMeters {
        StoreMeters {
            commits: counter(&self.recorder, "verona_store_commits_total", []),
            seconds: self.recorder.register_histogram(&key("verona_store_commit_seconds", []), &METADATA),
            failures: counter(&self.recorder, "verona_store_failures_total", []),
            queue: gauge(&self.recorder, "verona_store_queue", []),
            records: gauge(&self.recorder, "verona_store_records", []),
        }
    }
}
