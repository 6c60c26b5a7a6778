//! The networks between the gateway and the others: datagrams may get lost, doubled and late; the stream's bytes come in pieces.

use super::{Event, World};
use crate::scene::{GATEWAY, PROXY};
use bytes::Bytes;
use sip::agent::{Flow, Transport};
use std::time::Duration;
use stox::gateway::Input;

/// What the UDP network does to datagrams.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// How many of a thousand are lost.
    pub lost: u64,
    /// How many of a thousand come twice.
    pub doubled: u64,
    /// The longest way takes so much longer than the shortest of 1 ms: whatever is sent within that time changes order.
    pub jitter: Duration,
    /// How often each datagram of the SIP users is sent, over five seconds.
    pub storm: u64,
}

impl Weather {
    /// Nothing is lost, doubled or late.
    pub const FAIR: Weather = Weather { lost: 0, doubled: 0, jitter: Duration::ZERO, storm: 1 };
}

impl World {
    /// Bytes of the server on their way, in pieces as a network makes them, in order.
    pub(super) fn server_sends(&mut self, generation: u64, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = 1 + self.chance.below(rest.len().min(1400) as u64) as usize;
            let (piece, after) = rest.split_at(n);
            rest = after;
            let at = self.last_to_component.max(self.now + Duration::from_micros(200));
            self.last_to_component = at;
            self.at(at.since(self.now), Event::ToComponent(generation, piece.to_vec()));
        }
    }

    pub(super) fn phones_send(&mut self, bytes: Vec<u8>) {
        for _ in 1..self.weather.storm {
            let after = Duration::from_micros(self.chance.below(5_000_000));
            self.datagram_event(after, Event::ToGateway(bytes.clone().into()));
        }
        self.phones_say(bytes);
    }

    pub(super) fn phones_say(&mut self, bytes: Vec<u8>) {
        if !self.phones.gone {
            let bytes = Bytes::from(bytes);
            self.through_the_weather(|bytes| Event::ToGateway(bytes.clone()), &bytes);
        }
    }

    pub(super) fn through_the_weather(&mut self, event: impl Fn(&Bytes) -> Event, bytes: &Bytes) {
        if self.chance.below(1000) < self.weather.lost {
            return;
        }
        let copies = if self.chance.below(1000) < self.weather.doubled { 2 } else { 1 };
        for _ in 0..copies {
            self.datagram_event(Duration::ZERO, event(bytes));
        }
    }

    fn datagram_event(&mut self, after: Duration, event: Event) {
        let jitter = self.chance.below(self.weather.jitter.as_micros() as u64 + 1);
        self.at(after + Duration::from_micros(1000 + jitter), event);
    }

    pub(super) fn datagram(&mut self, bytes: &Bytes) {
        let flow = Flow { transport: Transport::Udp, local: GATEWAY.into(), remote: PROXY.into(), connection: None };
        match sip::parse_datagram(bytes, &sip::Limits::default()) {
            Ok(message) => {
                let shard = self.router.sip(&message);
                self.shards[shard].handle(self.now, Input::Sip(message, flow));
            }
            Err(rejected) => self.shards[0].handle(self.now, Input::SipRejected(rejected, flow)),
        }
    }
}
