//! What the service manager is told (sd_notify). Without one every function does nothing.

use crate::state::State;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;

/// The gateway runs: its sockets are bound. Component streams may still be on their way up.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => tracing::warn!(error = %e, "no monotonic clock for the service manager"),
    }
}

/// What it may take besides to tell senders, close streams and write what waits.
const REST: Duration = Duration::from_secs(8);

/// The gateway is ending, which may take as long as `limits.drain` and a little longer.
pub fn stopping(drain: Duration) {
    let most = u32::try_from((drain + REST).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(most)]);
}

/// A line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(&crate::log::escape(line))]);
}

/// Tells the watchdog that all is well, for as long as every shard answers, twice in the time that it allows. Ends at once where
/// nobody watches.
pub async fn watch(state: Arc<State>) {
    let Some(allowed) = sd_notify::watchdog_enabled() else { return };
    let mut every = tokio::time::interval(allowed / 2);
    loop {
        every.tick().await;
        match state.silent_shards().await.as_slice() {
            [] => tell(&[NotifyState::Watchdog]),
            silent => tracing::error!(?silent, "shards do not answer: the watchdog is not told that all is well"),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!(error = %e, "the service manager cannot be told");
    }
}
