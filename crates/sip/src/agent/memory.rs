//! What was answered, in little room.
//!
//! RFC 3261 §17.2.2 keeps the final answer to a request for timer J, 32 s, so that a retransmission gets the same bytes. At 30,000
//! requests a second that is a million answers. But an answer is a function of the request and the status, as long as it says nothing
//! else, and a retransmission brings the request along: so the memory keeps a keyed fingerprint of the transaction and the status, 16
//! bytes, in tables that are four fifths full. An answer that says more keeps its bytes, in a store of its own.

use base::{Table, Time};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Which transaction a request belongs to, as two keyed hashes. A retransmission has both; a request that came by two ways (RFC 3261
/// §8.2.2.2) has the same `request` and another `path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Stands for what makes two requests the same request.
    pub(super) request: u128,
    /// Stands for the way that it came.
    pub(super) path: u64,
}

/// The bits of a slot that name the request.
const REQUEST_BITS: u32 = 72;
/// The bits that name the path.
const PATH_BITS: u32 = 40;
/// The bits that hold the status.
const CODE_BITS: u32 = 16;

const _: () = assert!(REQUEST_BITS + PATH_BITS + CODE_BITS == 128);

impl Key {
    /// The request's part of a slot. Zero means that a slot is empty, so no key may be zero.
    fn request_bits(self) -> u128 {
        (self.request >> (128 - REQUEST_BITS)).max(1)
    }

    fn path_bits(self) -> u128 {
        u128::from(self.path) & ((1 << PATH_BITS) - 1)
    }

    fn slot(self, code: u16) -> u128 {
        self.request_bits() << (PATH_BITS + CODE_BITS) | self.path_bits() << CODE_BITS | u128::from(code)
    }
}

/// What the memory knows of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is new.
    New,
    /// It was answered with this status and nothing beyond what the request and the status give; 0 means that it was never answered
    /// and never will be.
    Answered(u16),
    /// It was answered with these bytes.
    Bytes(Bytes),
    /// It was answered when it came by another way.
    OtherPath,
}

/// The answers of one span of time: slots in the order of their keys, each as near as can be to the place that its key would have
/// if all keys were spread evenly. A search begins there and ends at the first slot with a greater key or none; growing is one pass.
#[derive(Debug, Default)]
struct Generation {
    slots: Vec<u128>,
    /// How many places the keys are spread over; the slots behind them take what is pushed over the end.
    places: usize,
    used: usize,
}

/// The slots beyond the last place; more are added if ever they are needed.
const OVERHANG: usize = 64;
/// The places of the smallest table.
const SMALLEST: usize = 256;

impl Generation {
    fn place(&self, slot: u128) -> usize {
        // The upper half of the product of a 64-bit fraction and the number of places is below that number.
        let fraction = (slot >> 64) as u64;
        ((u128::from(fraction) * self.places as u128) >> 64) as usize
    }

    /// The slots whose request is `key`'s: more than one if copies that came by other ways were answered too.
    fn find(&self, key: Key) -> impl Iterator<Item = u128> + '_ {
        let wanted = key.request_bits();
        let start = if self.used == 0 { self.slots.len() } else { self.place(key.slot(0)) };
        let request = |slot: &u128| slot >> (PATH_BITS + CODE_BITS);
        self.slots[start..]
            .iter()
            .copied()
            .take_while(|slot| *slot != 0)
            .skip_while(move |slot| request(slot) < wanted)
            .take_while(move |slot| request(slot) == wanted)
    }

    fn insert(&mut self, slot: u128) {
        // Four fifths at most: then a search that finds nothing looks at three slots or so.
        if (self.used + 1) * 5 > self.places * 4 {
            self.grow();
        }
        let mut at = self.place(slot);
        while self.slots.get(at).is_some_and(|s| *s != 0 && *s <= slot) {
            at += 1;
        }
        // The greater ones behind it move up, as far as the next empty slot.
        let free = match self.slots[at..].iter().position(|s| *s == 0) {
            Some(after) => at + after,
            None => {
                self.slots.push(0);
                self.slots.len() - 1
            }
        };
        self.slots.copy_within(at..free, at + 1);
        self.slots[at] = slot;
        self.used += 1;
    }

    fn grow(&mut self) {
        let places = (self.places + self.places / 4).max(SMALLEST);
        let mut bigger = Generation { slots: Vec::with_capacity(places + OVERHANG), places, used: self.used };
        bigger.slots.resize(places + OVERHANG, 0);
        let mut next = 0;
        for &slot in self.slots.iter().filter(|s| **s != 0) {
            let at = bigger.place(slot).max(next);
            if at == bigger.slots.len() {
                bigger.slots.push(0);
            }
            bigger.slots[at] = slot;
            next = at + 1;
        }
        *self = bigger;
    }
}

/// The bounds of the memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How many answers are remembered at most.
    pub(super) entries: usize,
    /// How many of them keep their bytes.
    pub(super) stored: usize,
    /// How many bytes those have together.
    pub(super) stored_bytes: usize,
    /// How long each is remembered at least.
    pub(super) keep: Duration,
}

/// How many generations an answer lives through.
const GENERATIONS: u32 = 8;

/// The answers of the last 32 s.
#[derive(Debug)]
pub(super) struct Memory {
    bounds: Bounds,
    /// Newest first; never empty.
    generations: VecDeque<Generation>,
    /// When the newest one began.
    began: Time,
    entries: usize,
    stored: Table<Key, Bytes>,
    /// The keys of `stored` in the order of their coming, which is that of their going.
    order: VecDeque<(Time, Key)>,
    stored_bytes: usize,
}

impl Memory {
    pub(super) fn new(bounds: Bounds, key: base::HashKey) -> Memory {
        Memory {
            bounds,
            generations: VecDeque::from([Generation::default()]),
            began: Time::ZERO,
            entries: 0,
            stored: Table::new(key),
            order: VecDeque::new(),
            stored_bytes: 0,
        }
    }

    /// What is known of a request.
    pub(super) fn recall(&self, key: Key) -> Known {
        let mut other_path = false;
        for slot in self.generations.iter().flat_map(|g| g.find(key)) {
            if slot >> CODE_BITS == key.slot(0) >> CODE_BITS {
                let code = (slot & ((1 << CODE_BITS) - 1)) as u16;
                return self.stored.get(&key).map_or(Known::Answered(code), |b| Known::Bytes(b.clone()));
            }
            other_path = true;
        }
        if other_path { Known::OtherPath } else { Known::New }
    }

    /// Remembers an answer; `bytes` if it says more than its request and its status. The caller has asked [`Memory::has_room`]
    /// before it took the request on, and reserves one entry for each that it took.
    pub(super) fn remember(&mut self, now: Time, key: Key, code: u16, bytes: Option<&Bytes>) {
        self.forget(now);
        if let Some(newest) = self.generations.front_mut() {
            newest.insert(key.slot(code));
            self.entries += 1;
        }
        if let Some(bytes) = bytes {
            self.store(now, key, bytes.clone());
        }
    }

    /// Where the store is full its oldest bytes go: a retransmission of that request then gets the bare status.
    fn store(&mut self, now: Time, key: Key, bytes: Bytes) {
        if bytes.len() > self.bounds.stored_bytes {
            return;
        }
        while self.order.len() >= self.bounds.stored.max(1)
            || self.stored_bytes + bytes.len() > self.bounds.stored_bytes
        {
            self.drop_oldest();
        }
        self.stored_bytes += bytes.len();
        self.order.push_back((now, key));
        if let Some(before) = self.stored.insert(key, bytes) {
            self.stored_bytes -= before.len();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front()
            && let Some(bytes) = self.stored.remove(&key)
        {
            self.stored_bytes -= bytes.len();
        }
    }

    /// Drops what is older than it must be. Each generation takes an eighth of the time and goes as a whole, so an answer is kept
    /// for up to an eighth longer.
    pub(super) fn forget(&mut self, now: Time) {
        let span = self.bounds.keep / GENERATIONS;
        let turns = (now - self.began).as_micros().checked_div(span.as_micros()).unwrap_or(u128::MAX);
        if turns > u128::from(GENERATIONS) {
            self.generations.clear();
            self.generations.push_front(Generation::default());
            self.began = now;
            self.entries = 0;
        } else {
            for _ in 0..turns {
                self.generations.push_front(Generation::default());
                self.began = self.began + span;
                while self.generations.len() > GENERATIONS as usize + 1 {
                    self.entries -= self.generations.pop_back().map_or(0, |g| g.used);
                }
            }
        }
        while self.order.front().is_some_and(|(at, _)| now - *at >= self.bounds.keep) {
            self.drop_oldest();
        }
    }

    /// When something will have been kept long enough, so that a memory nobody asks gives its room back.
    pub(super) fn deadline(&self) -> Option<Time> {
        (self.entries > 0).then(|| self.began + self.bounds.keep / GENERATIONS)
    }

    /// Whether `reserved` more answers find room.
    pub(super) fn has_room(&self, reserved: usize) -> bool {
        self.entries + reserved < self.bounds.entries
    }

    /// How many answers are remembered.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.generations.iter().map(|g| g.slots.capacity()).sum();
        slots * size_of::<u128>() + self.stored_bytes + self.order.capacity() * size_of::<(Time, Key)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::HashKey;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { entries: 1_500_000, stored: 4, stored_bytes: 1000, keep: Duration::from_secs(32) };

    fn memory(bounds: Bounds) -> Memory {
        Memory::new(bounds, HashKey::new(1, 2))
    }

    fn key(n: u64) -> Key {
        let bits = HashKey::new(3, 4).fingerprint(&[&n.to_be_bytes()]).bits();
        Key { request: bits, path: bits as u64 }
    }

    fn ms(n: u64) -> Time {
        Time::from_micros(n * 1000)
    }

    #[test]
    fn an_answer_is_known_for_32_seconds_and_gone_after_36() {
        for start in [0, 1, 3999, 4000, 100_000, 135_999] {
            let (mut m, k) = (memory(BOUNDS), key(start));
            m.forget(ms(start));
            assert_eq!(m.recall(k), Known::New);
            m.remember(ms(start), k, 200, None);
            m.forget(ms(start + 32_000));
            assert_eq!(m.recall(k), Known::Answered(200), "{start}");
            m.forget(ms(start + 36_000));
            assert_eq!(m.recall(k), Known::New, "{start}");
            assert_eq!(m.len(), 0);
        }
    }

    #[test]
    fn a_long_pause_forgets_everything() {
        let mut m = memory(BOUNDS);
        m.remember(ms(0), key(1), 200, None);
        m.forget(Time::from_secs(86_400 * 365));
        assert_eq!((m.recall(key(1)), m.len()), (Known::New, 0));
        m.remember(Time::from_secs(86_400 * 365), key(1), 404, None);
        assert_eq!(m.recall(key(1)), Known::Answered(404));
    }

    #[test]
    fn another_path_is_told_from_a_retransmission() {
        let mut m = memory(BOUNDS);
        let first = key(1);
        let second = Key { path: first.path ^ 1, ..first };
        m.remember(ms(0), first, 200, None);
        assert_eq!(m.recall(second), Known::OtherPath);
        m.remember(ms(0), second, 482, None);
        assert_eq!(m.recall(first), Known::Answered(200));
        assert_eq!(m.recall(second), Known::Answered(482));
        assert_eq!(m.recall(Key { path: first.path ^ 2, ..first }), Known::OtherPath);
    }

    #[test]
    fn the_store_is_bounded_in_number_and_bytes() {
        let mut m = memory(BOUNDS);
        let bytes = |n: usize| Bytes::from(vec![b'x'; n]);
        for n in 0..5 {
            m.remember(ms(n), key(n), 403, Some(&bytes(100)));
        }
        // Four at most: the oldest fell back to its status.
        assert_eq!(m.recall(key(0)), Known::Answered(403));
        assert_eq!(m.recall(key(1)), Known::Bytes(bytes(100)));
        m.remember(ms(5), key(5), 403, Some(&bytes(900)));
        assert_eq!(m.recall(key(3)), Known::Answered(403));
        assert_eq!(m.recall(key(4)), Known::Bytes(bytes(100)));
        assert_eq!(m.recall(key(5)), Known::Bytes(bytes(900)));
        m.remember(ms(6), key(6), 403, Some(&bytes(1001)));
        assert_eq!(m.recall(key(6)), Known::Answered(403));
        assert_eq!(m.recall(key(5)), Known::Bytes(bytes(900)));
        m.forget(ms(40_000));
        assert_eq!((m.stored.len(), m.stored_bytes, m.order.len()), (0, 0, 0));
    }

    #[test]
    fn a_bound_of_nothing_is_a_bound() {
        let mut m = memory(Bounds { entries: 0, stored: 0, stored_bytes: 0, keep: Duration::ZERO });
        assert!(!m.has_room(0));
        m.remember(ms(1), key(1), 200, Some(&Bytes::from_static(b"x")));
        m.forget(ms(2));
        assert_eq!(m.recall(key(1)), Known::New);
    }

    /// 10,000 answers a second for 40 s: what a gateway under load remembers, and what that costs.
    #[test]
    fn an_answer_takes_about_20_bytes() {
        let mut m = memory(BOUNDS);
        let rate = 10_000;
        let mut most = 0;
        for n in 0..rate * 40 {
            assert!(m.has_room(1));
            m.remember(Time::from_micros(n * 1_000_000 / rate), key(n), 200, None);
            if n % rate == 0 {
                most = most.max(m.bytes());
            }
        }
        assert!(m.len() as u64 >= rate * 32 && m.len() as u64 <= rate * 36, "{}", m.len());
        let each = m.bytes() as f64 / m.len() as f64;
        assert!((18.0..25.0).contains(&each), "{each} bytes each");
        assert!(most < 9 << 20, "{most} bytes");
        // All of the last 32 s are known, nothing else is.
        for n in (rate * 8..rate * 40).step_by(7) {
            assert_eq!(m.recall(key(n)), Known::Answered(200));
        }
        for n in (rate * 40..rate * 41).step_by(7) {
            assert_eq!(m.recall(key(n)), Known::New);
        }
    }

    proptest! {
        /// A generation knows what a map knows, whatever the keys: neighbours, the extremes, many of one request.
        #[test]
        fn a_generation_is_a_map(keys in prop::collection::vec((prop_oneof![
            any::<u128>(), 0u128..4, (0u128..600).prop_map(|n| u128::MAX - (n << 56)), (0u128..600).prop_map(|n| n << 56)
        ], 0u64..3), 0..900)) {
            let mut g = Generation::default();
            let mut model = std::collections::BTreeMap::new();
            for (request, path) in keys {
                let key = Key { request, path };
                if model.insert((key.request_bits(), path), ()).is_none() {
                    g.insert(key.slot(200));
                }
            }
            prop_assert_eq!(g.used, model.len());
            prop_assert_eq!(g.slots.iter().filter(|s| **s != 0).count(), model.len());
            for (request, path) in model.keys() {
                let key = Key { request: request << (128 - REQUEST_BITS), path: *path };
                prop_assert_eq!(g.find(key).filter(|s| *s == key.slot(200)).count(), 1);
                let siblings = model.keys().filter(|(r, _)| r == request).count();
                prop_assert_eq!(g.find(key).count(), siblings);
            }
        }
    }
}
