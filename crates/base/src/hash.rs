//! Keyed hashing: tables that an attacker cannot fill with collisions and nobody can iterate.

use hashbrown::HashMap;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13_128};
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

/// A secret key for hashes (SipHash-1-3). Whoever does not know it cannot make keys collide.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey(u64, u64);

impl HashKey {
    /// A key from 128 random bits.
    pub fn new(a: u64, b: u64) -> HashKey {
        HashKey(a, b)
    }

    /// 128 bits that stand for `parts`, in this order and with their bounds: ("ab","c") and ("a","bc") differ.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut h = SipHasher13_128::new_with_keys(self.0, self.1);
        for p in parts {
            h.write_usize(p.len());
            h.write(p);
        }
        Fingerprint(h.finish128().into())
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

impl BuildHasher for HashKey {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

/// 128 bits of a keyed hash, to stand for a longer key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The bits.
    pub fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A hash table under a secret key, without iteration: what depends on an order keeps that order itself.
pub struct Table<K, V> {
    map: HashMap<K, V, HashKey>,
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// An empty table.
    pub fn new(key: HashKey) -> Self {
        Table { map: HashMap::with_hasher(key) }
    }

    /// The value of `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.map.get(key)
    }

    /// The value of `key`, to change it.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.map.get_mut(key)
    }

    /// Whether `key` has a value.
    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.map.contains_key(key)
    }

    /// Sets the value of `key` and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.map.insert(key, value)
    }

    /// The value of `key`, made by `make` if there is none.
    pub fn or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.map.entry(key).or_insert_with(make)
    }

    /// Takes `key` out. Memory that a burst needed is given back.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let value = self.map.remove(key);
        if self.map.capacity() > 4096 && self.map.len() < self.map.capacity() / 8 {
            self.map.shrink_to(self.map.capacity() / 2);
        }
        value
    }

    /// Takes everything out, in the order of the keys.
    pub fn take_sorted(&mut self) -> Vec<(K, V)>
    where
        K: Ord,
    {
        let mut all: Vec<(K, V)> = self.map.drain().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// All keys, in their order.
    pub fn keys_sorted(&self) -> Vec<K>
    where
        K: Ord + Clone,
    {
        let mut all: Vec<K> = self.map.keys().cloned().collect();
        all.sort();
        all
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

/// A table of counts: whoever has none has no entry.
impl<K: Eq + Hash> Table<K, usize> {
    /// How many `key` has.
    pub fn count(&self, key: &K) -> usize {
        self.get(key).copied().unwrap_or(0)
    }

    /// One more for `key`.
    pub fn count_up(&mut self, key: K) {
        *self.or_insert_with(key, || 0) += 1;
    }

    /// One less for `key`, if it has any.
    pub fn count_down(&mut self, key: &K) {
        let Some(count) = self.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            self.remove(key);
        }
    }
}

/// A table of lists: whoever has an empty one has no entry.
impl<K: Eq + Hash, V: PartialEq> Table<K, Vec<V>> {
    /// The list of `key`, as it was added to.
    pub fn list(&self, key: &K) -> &[V] {
        self.get(key).map_or(&[], Vec::as_slice)
    }

    /// Adds to the list of `key`.
    pub fn list_add(&mut self, key: K, value: V) {
        self.or_insert_with(key, Vec::new).push(value);
    }

    /// Takes `value` off the list of `key`, if it is there.
    pub fn list_remove(&mut self, key: &K, value: &V) {
        let Some(list) = self.get_mut(key) else { return };
        list.retain(|known| known != value);
        if list.is_empty() {
            self.remove(key);
        }
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table of {}", self.map.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_keep_bounds_and_the_key() {
        let k = HashKey::new(1, 2);
        assert_eq!(k.fingerprint(&[b"ab", b"c"]), k.fingerprint(&[b"ab", b"c"]));
        assert_ne!(k.fingerprint(&[b"ab", b"c"]), k.fingerprint(&[b"a", b"bc"]));
        assert_ne!(k.fingerprint(&[b"ab"]), HashKey::new(1, 3).fingerprint(&[b"ab"]));
        assert_eq!(format!("{k:?}"), "HashKey(secret)");
    }

    #[test]
    fn all_of_a_table_comes_in_order() {
        let mut t = Table::new(HashKey::new(1, 2));
        for i in [3, 1, 2] {
            t.insert(i, i * 10);
        }
        assert_eq!(t.take_sorted(), [(1, 10), (2, 20), (3, 30)]);
        assert!(t.is_empty());
    }

    #[test]
    fn a_table_gives_memory_back() {
        let mut t = Table::new(HashKey::new(1, 2));
        for i in 0..100_000u32 {
            t.insert(i, i);
        }
        for i in 0..100_000u32 {
            assert_eq!(t.remove(&i), Some(i));
        }
        assert!(t.is_empty());
        assert!(t.map.capacity() <= 8192);
    }

    /// Neither a count nor a list stays that is empty, nor does what was never there go below nothing.
    #[test]
    fn counts_and_lists_come_and_go() {
        let mut counts: Table<u8, usize> = Table::new(HashKey::new(1, 2));
        counts.count_up(7);
        counts.count_up(7);
        counts.count_down(&7);
        counts.count_down(&8);
        assert_eq!((counts.count(&7), counts.count(&8), counts.len()), (1, 0, 1));
        counts.count_down(&7);
        assert!(counts.is_empty());
        let mut lists: Table<u8, Vec<char>> = Table::new(HashKey::new(1, 2));
        lists.list_add(7, 'a');
        lists.list_add(7, 'b');
        lists.list_remove(&7, &'a');
        lists.list_remove(&8, &'b');
        assert_eq!((lists.list(&7), lists.list(&8), lists.len()), (&['b'][..], &[][..], 1));
        lists.list_remove(&7, &'b');
        assert!(lists.is_empty());
    }
}
