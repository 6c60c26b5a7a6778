//! Chunks become a message again (RFC 4975 §7.3.1): in any order, doubled, overlapping or with holes, which take no memory.

use base::Str;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// The most pieces of a message that wait for what is before them.
const PIECES: usize = 64;

/// Why a chunk was not taken. The message is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It contradicts what was said before.
    Contradiction,
    /// Too many pieces, or larger than may be.
    TooLarge,
}

/// A message of which not all is there.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// Message-ID.
    pub(crate) message_id: Str,
    /// Of the chunk that came first.
    pub(crate) content_type: Str,
    /// Of the chunk that came first.
    pub(crate) headers: Vec<(Str, Str)>,
    /// The first bytes of the message without a hole.
    front: BytesMut,
    /// What lies behind a hole, by the number of bytes before it. No two overlap.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// How many bytes there are in all, once that is known.
    total: Option<usize>,
    /// Whether the chunk that ends the message was there.
    ended: bool,
    /// Bytes that are here.
    held: usize,
}

impl Assembly {
    pub(crate) fn new(message_id: Str, content_type: Str, headers: Vec<(Str, Str)>) -> Assembly {
        let (front, pieces) = (BytesMut::new(), BTreeMap::new());
        Assembly { message_id, content_type, headers, front, pieces, total: None, ended: false, held: 0 }
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The end of what is held without a hole: what a report can be about.
    pub(crate) fn front(&self) -> usize {
        self.front.len()
    }

    /// Adds the bytes behind the first `at`. `total` is what the chunk says of the whole; `last` if the message ends with it. Where
    /// chunks overlap, the one that came last holds (RFC 4975 §7.3.1).
    ///
    /// # Errors
    /// [`Misfit`]; then the message is of no use any more.
    pub(crate) fn add(&mut self, at: usize, bytes: &[u8], total: Option<usize>, last: bool) -> Result<(), Misfit> {
        let end = at.checked_add(bytes.len()).ok_or(Misfit::TooLarge)?;
        // RFC 4975 §7.3.1: the chunk that ends with $ says how long the message is, whatever was said before.
        let total = match (self.total, total) {
            _ if last => Some(end),
            (known, _) if self.ended => known,
            (Some(known), Some(total)) if known != total => return Err(Misfit::Contradiction),
            (known, total) => known.or(total),
        };
        let reached = self.pieces.last_key_value().map_or(self.front.len(), |(at, piece)| at + piece.len());
        if total.is_some_and(|total| total < end.max(reached)) {
            return Err(Misfit::Contradiction);
        }
        self.total = total;
        self.ended |= last;
        self.place(at, bytes)
    }

    /// Puts bytes where they belong: over what is there, and into pieces of their own where nothing is. Nothing that is held is moved, but
    /// once, when it becomes part of the front.
    fn place(&mut self, mut at: usize, mut bytes: &[u8]) -> Result<(), Misfit> {
        while !bytes.is_empty() {
            let gap = self.pieces.range(at + 1..).next().map_or(usize::MAX, |(next, _)| next - at);
            let fits = gap.min(bytes.len());
            let done = if let Some(room) = self.front.get_mut(at..).filter(|room| !room.is_empty()) {
                write_over(room, bytes)
            } else if let Some((start, piece)) = self.pieces.range_mut(..=at).next_back()
                && let Some(room) = piece.get_mut(at - start..)
            {
                if room.is_empty() {
                    piece.extend_from_slice(&bytes[..fits]);
                    self.held += fits;
                    fits
                } else {
                    write_over(room, bytes)
                }
            } else if at == self.front.len() {
                self.front.extend_from_slice(&bytes[..fits]);
                self.held += fits;
                fits
            } else if self.pieces.len() < PIECES {
                self.pieces.insert(at, bytes[..fits].to_vec());
                self.held += fits;
                fits
            } else {
                return Err(Misfit::TooLarge);
            };
            at += done;
            bytes = &bytes[done..];
        }
        while let Some(piece) = self.pieces.remove(&self.front.len()) {
            self.front.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// The message, if all of it is there.
    pub(crate) fn whole(&mut self) -> Option<Bytes> {
        (self.ended && self.total == Some(self.front.len())).then(|| std::mem::take(&mut self.front).freeze())
    }
}

/// Writes as much as there is room for, and says how much.
fn write_over(room: &mut [u8], bytes: &[u8]) -> usize {
    let length = room.len().min(bytes.len());
    room[..length].copy_from_slice(&bytes[..length]);
    length
}

/// Which bytes of a message were reported on.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// The first bytes without a hole.
    front: u64,
    /// Others: their last, by their first.
    others: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the bytes from `start` to `end`, the first one being 1. Whether that is news. At most so many ranges are kept apart as pieces of
    /// a message: what comes behind those is forgotten.
    pub(crate) fn add(&mut self, start: u64, end: u64) -> bool {
        if end <= self.front || start > end {
            return false;
        }
        let before = self.others.range(..=start).next_back();
        if before.is_some_and(|(_, known)| *known >= end) {
            return false;
        }
        if start > self.front.saturating_add(1) {
            if self.others.len() >= PIECES {
                return false;
            }
            let known = self.others.entry(start).or_insert(end);
            *known = end.max(*known);
            return true;
        }
        self.front = end;
        while let Some((first, last)) = self.others.first_key_value().map(|(first, last)| (*first, *last)) {
            if first > self.front.saturating_add(1) {
                break;
            }
            self.front = self.front.max(last);
            self.others.remove(&first);
        }
        true
    }

    /// Whether all bytes up to `total` were reported on.
    pub(crate) fn covers(&self, total: u64) -> bool {
        self.front >= total
    }
}

#[cfg(test)]
mod tests;
