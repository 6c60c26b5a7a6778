//! MSRP connections of a world: reliable byte pipes that take their time, and break at any byte. The gateway's end is as the daemon's shell.

use super::{Event, World};
use crate::wire::MsrpText;
use base::Time;
use bytes::Bytes;
use msrp::{ConnectionId, Decoder, Hop, Limits, Ticket};
use std::collections::BTreeMap;
use std::time::Duration;
use stox::gateway::{Input, Wire};

/// A connection, by its place among all.
pub(super) type LineId = usize;

#[derive(Debug)]
pub(super) struct Line {
    /// Whether the gateway's end is open, and the phone's.
    gateway: bool,
    phone: bool,
    /// Where it leads to, if the gateway has asked for it.
    hop: Option<Hop>,
    /// How many sessions of each shard use it.
    bound: BTreeMap<usize, usize>,
    decoder: Decoder,
    /// What the phone has read of a frame.
    read: Vec<u8>,
    /// When what was sent last arrives, at the gateway and at the phone.
    last: [Time; 2],
}

impl World {
    /// A phone connects to the gateway.
    pub(super) fn line(&mut self, hop: Option<Hop>) -> LineId {
        let decoder = Decoder::new(Limits::default());
        let last = [self.now; 2];
        self.lines.push(Line {
            gateway: true,
            phone: true,
            hop,
            bound: BTreeMap::new(),
            decoder,
            read: Vec::new(),
            last,
        });
        self.lines.len() - 1
    }

    /// The gateway wants something done.
    pub(super) fn wire(&mut self, shard: usize, wire: Wire) {
        match wire {
            Wire::Write { connection, bytes } => self.line_sends(connection.0 as LineId, false, &bytes),
            Wire::Open { ticket, hop } => {
                let after = Duration::from_millis(1 + self.chance.below(50));
                self.at(after, Event::LineOpens { shard, ticket, hop });
            }
            Wire::Bind(id) => *self.lines[id.0 as LineId].bound.entry(shard).or_default() += 1,
            Wire::Release(id) => {
                let line = &mut self.lines[id.0 as LineId];
                let bound = line.bound.get_mut(&shard).expect("it was bound");
                *bound -= 1;
                if *bound == 0 {
                    line.bound.remove(&shard);
                }
                self.line_unused(id.0 as LineId);
            }
        }
    }

    /// What the gateway has asked for is there: where there is a connection to the same place, that one.
    pub(super) fn line_opens(&mut self, shard: usize, ticket: Ticket, hop: Hop) {
        let refused = self.phones.gone || self.chance.below(1000) < self.line_refusals;
        let id = (!refused).then(|| {
            let same = self.lines.iter().position(|line| line.gateway && line.hop.as_ref() == Some(&hop));
            same.unwrap_or_else(|| self.line(Some(hop)))
        });
        self.shards[shard].handle(self.now, Input::MsrpOpened(ticket, id.map(|id| ConnectionId(id as u64))));
        self.drain();
        if let Some(id) = id {
            self.line_unused(id);
        }
    }

    /// What nobody uses is closed, once it was in use or was asked for.
    fn line_unused(&mut self, id: LineId) {
        let line = &mut self.lines[id];
        if line.gateway && line.bound.is_empty() {
            line.gateway = false;
            let at = line.last[1].max(self.now);
            self.at(at.since(self.now), Event::LineEnds(id));
        }
    }

    /// Bytes on their way, in pieces, in order.
    pub(super) fn line_sends(&mut self, id: LineId, to_gateway: bool, bytes: &[u8]) {
        let side = usize::from(!to_gateway);
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = 1 + self.chance.below(rest.len().min(1400) as u64) as usize;
            let (piece, after) = rest.split_at(n);
            rest = after;
            let late = Duration::from_micros(200 + self.chance.below(5000));
            let at = self.lines[id].last[side].max(self.now + late);
            self.lines[id].last[side] = at;
            let bytes = Bytes::copy_from_slice(piece);
            self.at(at.since(self.now), Event::Line { id, to_gateway, bytes });
        }
    }

    /// Bytes have arrived.
    pub(super) fn line_brings(&mut self, id: LineId, to_gateway: bool, bytes: &Bytes) {
        if to_gateway {
            if !self.lines[id].gateway {
                return;
            }
            self.lines[id].decoder.push(bytes);
            while let Some(arrival) = self.lines[id].decoder.next() {
                let arrival = arrival.expect("phones write MSRP");
                let shard = msrp::shard_of(&arrival).map_or(0, usize::from) % self.shards.len();
                self.shards[shard].handle(self.now, Input::Msrp(ConnectionId(id as u64), arrival));
            }
            return;
        }
        if !self.lines[id].phone {
            return;
        }
        self.lines[id].read.extend_from_slice(bytes);
        while let Some(frame) = MsrpText::take(&mut self.lines[id].read).expect("the gateway writes MSRP") {
            assert_eq!(frame.fault(), None, "{frame}");
            self.phones_read(id, &frame);
        }
    }

    /// The phone sees the end of a connection.
    pub(super) fn line_ends(&mut self, id: LineId) {
        if std::mem::take(&mut self.lines[id].phone) {
            self.phones_lose(id);
        }
    }

    /// The gateway sees the end of a connection.
    pub(super) fn line_lost(&mut self, id: LineId) {
        if std::mem::take(&mut self.lines[id].gateway) {
            for shard in std::mem::take(&mut self.lines[id].bound).into_keys() {
                self.shards[shard].handle(self.now, Input::MsrpLost(ConnectionId(id as u64)));
            }
        }
    }

    /// The gateway's process is gone: the phones see it.
    pub(super) fn lines_die(&mut self) {
        for id in 0..self.lines.len() {
            if std::mem::take(&mut self.lines[id].gateway) {
                self.lines[id].bound.clear();
                let at = self.lines[id].last[1].max(self.now);
                self.at(at.since(self.now), Event::LineEnds(id));
            }
        }
    }

    /// A connection breaks; of what was on its way some arrives.
    pub(super) fn line_breaks(&mut self, id: LineId) {
        if !self.lines[id].gateway && !self.lines[id].phone {
            return;
        }
        let mut open = [true, true];
        for event in self.events.values_mut() {
            let Event::Line { id: on, to_gateway, bytes } = event else { continue };
            if *on != id {
                continue;
            }
            let open = &mut open[usize::from(*to_gateway)];
            if !*open {
                bytes.clear();
            } else if self.chance.below(4) == 0 {
                bytes.truncate(self.chance.below(bytes.len() as u64 + 1) as usize);
                *open = false;
            }
        }
        let (gateway, phone) = (self.lines[id].last[0].max(self.now), self.lines[id].last[1].max(self.now));
        self.at(gateway.since(self.now), Event::LineLost(id));
        self.at(phone.since(self.now), Event::LineEnds(id));
    }

    /// The phone closes a connection; what it has written before still arrives.
    pub(super) fn line_closed_by_phone(&mut self, id: LineId) {
        if std::mem::take(&mut self.lines[id].phone) {
            let at = self.lines[id].last[0].max(self.now);
            self.at(at.since(self.now), Event::LineLost(id));
        }
    }

    /// One of the connections breaks, if there is one: rather one with something on its way.
    pub fn break_a_line(&mut self) {
        let busy = |event: &Event| match event {
            Event::Line { id, bytes, .. } if !bytes.is_empty() => Some(*id),
            _ => None,
        };
        let mut lines: Vec<LineId> = self.events.values().filter_map(busy).collect();
        if lines.is_empty() {
            lines = (0..self.lines.len()).collect();
        }
        lines.retain(|id| self.lines[*id].gateway && self.lines[*id].phone);
        if !lines.is_empty() {
            let id = lines[self.chance.below(lines.len() as u64) as usize];
            self.line_breaks(id);
        }
    }

    /// The connections that are open at either end.
    pub fn open_lines(&self) -> usize {
        self.lines.iter().filter(|line| line.gateway || line.phone).count()
    }
}
