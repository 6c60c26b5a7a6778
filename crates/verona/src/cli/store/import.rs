//! `verona store import`: records from another engine, or from another machine.

use super::{failed, place};
use crate::cli::{Exit, complain, say};
use crate::config::Store;
use crate::store::{self, Write};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;
use std::io::{self, BufRead};
use std::path::Path;
use stox::store::{About, Direction, Key, is_sealed};
use xmpp::jid::Jid;

/// The records of one transaction.
const BATCH: usize = 4096;

/// Bytes of a line. A record with all the dialogs that a pair may have takes a few KiB.
const MAX_LINE: usize = 1 << 20;

/// Takes what `export` prints from standard input, into the store that the configuration names; makes it where there is none. A record
/// that is there already is replaced.
pub(in crate::cli) fn import(config: &Path) -> Exit {
    let path = match place(config) {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let name = path.display();
    let mut store = match store::open(&Store::Redb(path.clone())) {
        Ok(store) => store,
        Err(e) => return failed(&path, &e),
    };
    let mut lines = Lines { input: io::stdin().lock(), number: 0 };
    let mut imported = 0;
    loop {
        let batch = match lines.batch() {
            Ok(batch) => batch,
            Err(why) => {
                complain(&format!("line {}: {why}", lines.number));
                complain(&format!("{name}: {imported} records are imported, and nothing from there on"));
                return Exit::Failed;
            }
        };
        if batch.is_empty() {
            say(&format!("{name}: {imported} records are imported"));
            return Exit::Good;
        }
        if let Err(e) = store.commit(&batch) {
            complain(&format!("{name}: {imported} records are imported, and nothing from there on"));
            return failed(&path, &e);
        }
        imported += batch.len();
    }
}

struct Lines<R> {
    input: R,
    /// How many there were.
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// The records of the next lines; none at the end. If one is wrong, there are none at all.
    fn batch(&mut self) -> Result<Vec<Write>, String> {
        let (mut batch, mut line) = (Vec::new(), Vec::new());
        while batch.len() < BATCH {
            line.clear();
            let mut bounded = io::Read::take(&mut self.input, MAX_LINE as u64 + 1);
            self.number += 1;
            if bounded.read_until(b'\n', &mut line).map_err(|e| format!("standard input: {e}"))? == 0 {
                break;
            }
            if line.len() > MAX_LINE {
                return Err(format!("longer than {MAX_LINE} bytes"));
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                batch.push(read(line)?);
            }
        }
        Ok(batch)
    }
}

/// The record of a line, if the gateway would take it.
fn read(line: &[u8]) -> Result<Write, String> {
    let line: Value = serde_json::from_slice(line).map_err(|e| format!("no JSON, seen at column {}", e.column()))?;
    if line.get("broken").is_some() {
        return Err("this record could not be read where it was exported: leave the line out".to_owned());
    }
    let text = |name: &str| line[name].as_str().ok_or_else(|| format!("{name} is missing, or no string"));
    let about = match text("kind")? {
        "presence" => About::Presence(match text("watcher")? {
            "sip" => Direction::SipWatchesXmpp,
            "xmpp" => Direction::XmppWatchesSip,
            other => return Err(format!("watcher is {other:?}, not \"sip\" or \"xmpp\"")),
        }),
        "chat" => About::Chat(text("id")?.into()),
        "linked" => About::Linked,
        "account" => About::Account,
        "contacts" => About::Contacts,
        "trunk" => About::Trunk(text("id")?.into()),
        kind => {
            let known =
                "this version knows \"presence\", \"chat\", \"linked\", \"account\", \"contacts\" and \"trunk\"";
            return Err(format!("kind is {kind:?}: {known}"));
        }
    };
    let jid = |name: &str| {
        let jid = Jid::parse(text(name)?).map_err(|e| format!("{name}: {e}"))?;
        if jid.is_bare() { Ok(jid) } else { Err(format!("{name}: an address with a resource")) }
    };
    let key = Key { about, sip: jid("sip")?, xmpp: jid("xmpp")? }.to_bytes();
    let value = match &line["record"] {
        Value::Object(record) if is_sealed(&key) => {
            let sealed = record.get("sealed").and_then(Value::as_str).ok_or("sealed is missing, or no string")?;
            BASE64.decode(sealed).map_err(|e| format!("sealed: {e}"))?
        }
        record @ Value::Object(_) => record.to_string().into_bytes(),
        _ => return Err("record is missing, or no object".to_owned()),
    };
    stox::store::check(&key, &value).map_err(|why| why.to_string())?;
    Ok(Write { key, value: Some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_export_writes_is_read() {
        let value = br#"{"dialog":null,"granted":true,"online":["","orchard"]}"#;
        let key = b"pxromeo@example.net\0juliet@example.com";
        let write = read(super::super::line(key, value).to_string().as_bytes()).unwrap();
        assert_eq!(write, Write { key: key.to_vec(), value: Some(value.to_vec()) });
    }

    #[test]
    fn what_is_sealed_stays_so() {
        let (key, value) = (b"lexample.net\0juliet@example.com", b"sealed1:\x00\xff\x80");
        let line = super::super::line(key, value).to_string();
        let write = read(line.as_bytes()).unwrap();
        assert_eq!(write, Write { key: key.to_vec(), value: Some(value.to_vec()) });
        assert!(super::super::line(key, b"{}").get("broken").is_some(), "nothing that was not sealed by somebody");
    }

    #[test]
    fn lines_have_a_length() {
        let long = "x".repeat(MAX_LINE);
        let text = format!("\n  \n{long}\n");
        let mut lines = Lines { input: text.as_bytes(), number: 0 };
        assert_eq!(lines.batch().unwrap_err(), format!("longer than {MAX_LINE} bytes"));
        assert_eq!(lines.number, 3);
    }
}
