//! All streams together: several federations against each other in a simulated network.

mod net;

mod bounds;
mod proofs;
mod weather;

use net::{Net, Place, message, secs, target};

const A: &str = "a.example";
const B: &str = "b.example";

/// Two sites, of one domain each.
fn two(change: impl Fn(usize, &mut super::Config)) -> Net {
    Net::new(&[&[A], &[B]], change)
}

fn stream(config: &mut super::Config) -> &mut crate::stream::s2s::Config {
    std::sync::Arc::make_mut(&mut config.stream)
}
