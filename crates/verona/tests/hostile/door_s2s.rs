//! The door between servers: who leads the gateway to itself, comes too fast, or is let in no more.

use crate::identity_s2s::{MIRROR, Net};

/// A domain whose server would be the gateway itself has none: nobody makes it talk to itself, and hold that against its own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_leads_it_to_itself() {
    let mut net = Net::start("").await;
    assert_eq!(net.sends_to(MIRROR).await, Some(504));
    let metrics = net.gateway.metrics();
    assert_eq!(net.gateway.metric("verona_federation_targets_failed_total"), 2.0);
    assert!(!metrics.contains("verona_federation_ends_total{"), "no connection was made: {metrics}");
    net.nothing_but_the_baseline().await;
}
