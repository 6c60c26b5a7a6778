//! Records: what the store says to the mapping whose they are.

use super::Gateway;
use super::value::{Note, Output};
use crate::store::{Broken, Key, SaveToken};

impl Gateway {
    /// What has become of a wish to save.
    pub(super) fn saved(&mut self, token: SaveToken, saved: bool) {
        if !self.contacts_saved(token, saved) && !self.trunks(|trunks, yard| trunks.saved(yard, token, saved)) {
            self.any(|mapping, stage| mapping.saved(stage, token, saved));
        }
    }

    /// A record that was there at the start.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) {
        let restored = Key::parse(key).and_then(|key| {
            if let Some(restored) = self.phone_record(&key, Some(value), true) {
                return restored;
            }
            if let Some(restored) = self.trunks(|trunks, yard| trunks.record(yard, &key, Some(value))) {
                return restored;
            }
            let mut restored = None;
            self.any(|mapping, stage| {
                restored = mapping.restore(stage, &key, value);
                restored.is_some()
            });
            restored.unwrap_or(Err(Broken::Key))
        });
        if restored.is_err() {
            self.out.push_back(Output::Note(Note::RecordBroken));
        }
    }

    /// A record that belongs to another shard, and is for all of them.
    pub(super) fn changed(&mut self, key: &[u8], value: Option<&[u8]>) {
        let known = Key::parse(key).is_ok_and(|key| {
            let read = self.phone_record(&key, value, false);
            match read.or_else(|| self.trunks(|trunks, yard| trunks.record(yard, &key, value))) {
                Some(read) => read.is_ok(),
                None => self.any(|mapping, stage| mapping.changed(stage, &key, value)),
            }
        });
        if !known {
            self.out.push_back(Output::Note(Note::RecordBroken));
        }
    }
}
