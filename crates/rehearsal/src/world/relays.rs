//! Media relays, behind the same weather as the phones.

use super::{Event, World};
use crate::stub::Relay;
use bytes::Bytes;
use std::net::SocketAddr;

impl World {
    /// A media relay, of those that the gateway was told of.
    pub fn relay(&mut self, address: SocketAddr) -> &mut Relay {
        self.relays.entry(address).or_insert_with(|| Relay::new(address.ip()))
    }

    pub(super) fn relay_asked(&mut self, shard: usize, to: SocketAddr, bytes: &[u8]) {
        if let Some(answer) = self.relay(to).received(bytes) {
            let event = |bytes: &Bytes| Event::FromRelay { shard, from: to, bytes: bytes.clone() };
            self.through_the_weather(event, &answer.into());
        }
    }
}
