//! MSRP connections between two gateways, as their shells have them: reliable, in order, and breakable at any byte.

use bytes::Bytes;
use msrp::{Arrival, ConnectionId, Decoder, Hop, Limits};

/// One end of a connection. The other end's number differs in the last bit.
struct End {
    gateway: usize,
    open: bool,
    /// How many sessions use it.
    bound: usize,
    hop: Hop,
    decoder: Decoder,
}

#[derive(Default)]
pub struct Pipes {
    ends: Vec<End>,
    /// So many bytes still go over a connection before it breaks.
    pub left: Option<usize>,
    /// How many bytes went over connections.
    pub bytes: usize,
}

/// What comes out at the other end, of which gateway.
pub struct Come {
    pub gateway: usize,
    pub id: ConnectionId,
    pub arrivals: Vec<Arrival>,
}

impl Pipes {
    /// A connection of `from`, to where `hop` leads: one that is there, or a new one.
    pub fn open(&mut self, from: usize, hop: &Hop) -> ConnectionId {
        let same = self.ends.iter().position(|end| end.open && end.gateway == from && end.hop == *hop);
        let at = same.unwrap_or_else(|| {
            let end = |gateway| {
                let decoder = Decoder::new(Limits::default());
                End { gateway, open: true, bound: 0, hop: hop.clone(), decoder }
            };
            self.ends.extend([end(from), end(1 - from)]);
            self.ends.len() - 2
        });
        ConnectionId(at as u64)
    }

    pub fn bind(&mut self, id: ConnectionId) {
        self.ends[id.0 as usize].bound += 1;
    }

    /// Whether nothing uses the connection now: then it is to be closed.
    pub fn release(&mut self, id: ConnectionId) -> bool {
        let end = &mut self.ends[id.0 as usize];
        end.bound = end.bound.saturating_sub(1);
        self.is_unused(id)
    }

    pub fn is_unused(&self, id: ConnectionId) -> bool {
        let end = &self.ends[id.0 as usize];
        end.open && end.bound == 0
    }

    /// Closes a connection. Gives back the ends whose gateways have lost something by it.
    pub fn close(&mut self, id: ConnectionId) -> Vec<(usize, ConnectionId)> {
        let ends = [id.0, id.0 ^ 1].map(|at| {
            let end = &mut self.ends[at as usize];
            let lost = std::mem::take(&mut end.open) && std::mem::take(&mut end.bound) > 0;
            lost.then_some((end.gateway, ConnectionId(at)))
        });
        ends.into_iter().flatten().collect()
    }

    /// Closes all connections. Gives back the ends whose gateways have lost something by it.
    pub fn close_all(&mut self) -> Vec<(usize, ConnectionId)> {
        (0..self.ends.len() as u64).step_by(2).flat_map(|id| self.close(ConnectionId(id))).collect()
    }

    /// Bytes go over a connection. Gives back what comes of them, and whether the connection breaks then.
    pub fn write(&mut self, id: ConnectionId, bytes: &Bytes) -> (Come, bool) {
        let goes = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        self.left = self.left.map(|left| left - goes);
        self.bytes += goes;
        let other = ConnectionId(id.0 ^ 1);
        let end = &mut self.ends[other.0 as usize];
        let mut arrivals = Vec::new();
        if end.open {
            end.decoder.push(&bytes[..goes]);
            while let Some(arrival) = end.decoder.next() {
                arrivals.push(arrival.expect("a gateway writes what another can read"));
            }
        }
        let broken = goes < bytes.len();
        if broken {
            self.left = None;
        }
        (Come { gateway: end.gateway, id: other, arrivals }, broken)
    }

    /// How many connections are open.
    pub fn open_ones(&self) -> usize {
        self.ends.iter().filter(|end| end.open).count() / 2
    }
}
