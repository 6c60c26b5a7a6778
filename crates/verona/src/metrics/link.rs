//! The meters of component streams.

use super::{METADATA, Meters};
use ::metrics::{Counter, Gauge, Key, Label, Recorder as _};

/// The meters of one component stream.
#[derive(Debug, Clone)]
pub struct LinkMeters {
    /// 1 while the stream is authenticated.
    pub up: Gauge,
    /// Streams that got so far.
    pub connects: Counter,
    /// Streams that ended after that.
    pub losses: Counter,
    /// Stanzas that counted as taken because the server answers no barriers.
    pub barrier_timeouts: Counter,
    /// Inputs whose handling broke an invariant.
    pub panics: Counter,
}

impl Meters {
    /// The meters of a component stream.
    pub fn link(&self, domain: &str) -> LinkMeters {
        let key = |name: &'static str| Key::from_parts(name, vec![Label::new("domain", domain.to_owned())]);
        let counter = |name| self.recorder.register_counter(&key(name), &METADATA);
        let up = self.recorder.register_gauge(&key("verona_xmpp_link_up"), &METADATA);
        up.set(0.0);
        LinkMeters {
            up,
            connects: counter("verona_xmpp_connects_total"),
            losses: counter("verona_xmpp_losses_total"),
            barrier_timeouts: counter("verona_xmpp_barrier_timeouts_total"),
            panics: self.panics.clone(),
        }
    }
}
