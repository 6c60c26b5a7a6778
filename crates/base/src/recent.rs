//! A bounded memory of what was seen lately.

use crate::{HashKey, Table};
use std::borrow::Borrow;
use std::hash::Hash;

/// A map that forgets the oldest half when it is full: two generations of at most `half` entries each. What is read is
/// not refreshed; what is written is. So a key lives for at least `half` and at most twice as many writes of other keys.
#[derive(Debug)]
pub struct Recent<K, V> {
    key: HashKey,
    half: usize,
    new: Table<K, V>,
    old: Table<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A memory of at most `capacity` entries (at least two).
    pub fn new(key: HashKey, capacity: usize) -> Self {
        Recent { key, half: (capacity / 2).max(1), new: Table::new(key), old: Table::new(key) }
    }

    /// What is remembered of `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.new.get(key).or_else(|| self.old.get(key))
    }

    /// What is remembered of `key`, to change it.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self.new.get_mut(key) {
            Some(v) => Some(v),
            None => self.old.get_mut(key),
        }
    }

    /// Remembers `value` for `key`.
    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.new.len() >= self.half && !self.new.contains(&key) {
            self.old = std::mem::replace(&mut self.new, Table::new(self.key));
        }
        self.new.insert(key, value);
    }

    /// Forgets `key` and returns what was known.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.new.remove(key).or_else(|| self.old.remove(key))
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.new.len() + self.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_the_bound_holds() {
        let mut r = Recent::new(HashKey::new(1, 2), 4);
        for i in 0..100 {
            r.insert(i, i * 10);
            assert!(r.len() <= 4);
            assert_eq!(r.get(&i), Some(&(i * 10)));
        }
        assert_eq!(r.get(&0), None);
        r.insert(98, 5);
        assert_eq!(r.remove(&98), Some(5));
        assert_eq!(r.get(&98), None);
    }
}
