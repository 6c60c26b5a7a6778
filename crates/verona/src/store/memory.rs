//! `memory:` keeps records for as long as the process lives: for tests and for trying things out.

use super::{Engine, Error, Write};
use std::collections::BTreeMap;

/// The engine.
#[derive(Debug, Default)]
pub struct Memory {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Engine for Memory {
    fn load(&mut self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        for (key, value) in &self.records {
            if !each(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), Error> {
        for Write { key, value } in writes {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn records(&self) -> u64 {
        self.records.len() as u64
    }
}
