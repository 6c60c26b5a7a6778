//! `verona store`: what survives a restart, shown, checked and moved while the gateway is stopped.

mod import;

pub(super) use import::import;

use super::{Exit, complain, say};
use crate::config::{self, Environment, Store};
use crate::store::redb::{Redb, SCHEMA};
use crate::store::{Engine as _, Error};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use stox::store::{About, Direction, Key};

/// Broken records that are named one by one.
const NAMED: usize = 20;

/// Prints every record as a line of JSON.
pub(super) fn export(config: &Path) -> Exit {
    let (path, mut store) = match open(config) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut broken, mut written) = (0_usize, Ok(()));
    let loaded = store.load(&mut |key, value| {
        let line = line(key, value);
        broken += usize::from(line.get("broken").is_some());
        written = writeln!(out, "{line}");
        written.is_ok()
    });
    let written = written.and_then(|()| out.flush());
    match (loaded, written) {
        (Err(e), _) => failed(&path, &e),
        // Whoever read it has seen enough.
        (Ok(()), Err(e)) if e.kind() == ErrorKind::BrokenPipe => Exit::Good,
        (Ok(()), Err(e)) => {
            complain(&format!("standard output: {e}"));
            Exit::Failed
        }
        (Ok(()), Ok(())) if broken > 0 => {
            complain(&format!("{}: {broken} records cannot be read", path.display()));
            Exit::Failed
        }
        (Ok(()), Ok(())) => Exit::Good,
    }
}

/// Reads everything that is there, as the gateway would, and says what it is.
pub(super) fn check(config: &Path) -> Exit {
    let (path, mut store) = match open(config) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let name = path.display();
    match store.examine() {
        Ok(true) => say(&format!("{name}: schema {}, undamaged", SCHEMA.last())),
        Ok(false) => say(&format!("{name}: schema {}, was damaged and has been mended", SCHEMA.last())),
        Err(e) => return failed(&path, &e),
    }
    let (mut from_sip, mut from_xmpp, mut chats, mut seats) = (0_usize, 0_usize, 0_usize, 0_usize);
    let (mut calls, mut linked, mut accounts, mut registered) = (0_usize, 0_usize, 0_usize, 0_usize);
    let (mut trunks, mut broken) = (0_usize, 0_usize);
    let loaded = store.load(&mut |key, value| {
        match stox::store::check(key, value) {
            Ok(Key { about: About::Presence(Direction::SipWatchesXmpp), .. }) => from_sip += 1,
            Ok(Key { about: About::Presence(Direction::XmppWatchesSip), .. }) => from_xmpp += 1,
            Ok(Key { about: About::Chat(_), .. }) => chats += 1,
            Ok(Key { about: About::Participant(_) | About::Occupant(_), .. }) => seats += 1,
            Ok(Key { about: About::Call(_), .. }) => calls += 1,
            Ok(Key { about: About::Linked, .. }) => linked += 1,
            Ok(Key { about: About::Account, .. }) => accounts += 1,
            Ok(Key { about: About::Contacts, .. }) => registered += 1,
            Ok(Key { about: About::Trunk(_), .. }) => trunks += 1,
            Err(why) => {
                broken += 1;
                if broken <= NAMED {
                    complain(&format!("{name}: the record {:?}: {why}", String::from_utf8_lossy(key)));
                }
            }
        }
        true
    });
    if let Err(e) = loaded {
        return failed(&path, &e);
    }
    say(&format!("presence, SIP users watching XMPP users: {from_sip}"));
    say(&format!("presence, XMPP users watching SIP users: {from_xmpp}"));
    if chats > 0 {
        say(&format!("chats to be ended, as their connections are gone: {chats}"));
    }
    if seats > 0 {
        say(&format!("places in rooms to be given up, as their connections are gone: {seats}"));
    }
    if calls > 0 {
        say(&format!("calls to be ended, as the gateway that held them was stopped: {calls}"));
    }
    if linked > 0 {
        say(&format!("SIP accounts that XMPP users have linked, sealed with a key that is not in the store: {linked}"));
    }
    if accounts > 0 {
        say(&format!("accounts of phones: {accounts}, {registered} of them registered"));
    }
    if trunks > 0 {
        say(&format!("trunks whose registrars have said what they ask for: {trunks}"));
    }
    match broken {
        0 => Exit::Good,
        _ => {
            complain(&format!("{name}: {broken} records cannot be read; the gateway leaves them out"));
            Exit::Failed
        }
    }
}

/// Opens the store that the configuration names. It is not made.
fn open(config: &Path) -> Result<(PathBuf, Redb), Exit> {
    let path = place(config)?;
    match Redb::existing(&path) {
        Ok(store) => Ok((path, store)),
        Err(Error::Io(e)) if e.kind() == ErrorKind::NotFound => {
            complain(&format!(
                "{}: there is no store: the gateway has not run with this configuration yet",
                path.display()
            ));
            Err(Exit::Failed)
        }
        Err(e) => Err(failed(&path, &e)),
    }
}

/// Where the store of a configuration is.
fn place(config: &Path) -> Result<PathBuf, Exit> {
    let loaded = config::load(config, Environment::of_process()).map_err(|mistakes| {
        complain(&mistakes.to_string());
        Exit::Config
    })?;
    match loaded.config.store.url {
        Store::Redb(path) => Ok(path),
        Store::Memory => {
            complain("store.url is \"memory:\": nothing of it is on disk");
            Err(Exit::Failed)
        }
    }
}

fn failed(path: &Path, error: &Error) -> Exit {
    let hint = if matches!(error, Error::Held) { ": stop the gateway first" } else { "" };
    complain(&format!("{}: {error}{hint}", path.display()));
    if error.may_pass() { Exit::Failed } else { Exit::Config }
}

/// A record for people and programs. One that cannot be read is shown as it is, with the reason.
fn line(key: &[u8], value: &[u8]) -> Value {
    let read = stox::store::check(key, value).map_err(|why| why.to_string());
    // What is sealed stays so: it can be opened where its key is.
    let value_of = |key: Key| match key.about {
        About::Linked => Ok((key, json!({ "sealed": BASE64.encode(value) }))),
        _ => serde_json::from_slice::<Value>(value).map(|v| (key, v)).map_err(|e| e.to_string()),
    };
    let read = read.and_then(value_of);
    match read {
        Ok((Key { about, sip, xmpp }, record)) => {
            let (kind, name, value) = match &about {
                About::Presence(Direction::SipWatchesXmpp) => ("presence", "watcher", "sip"),
                About::Presence(Direction::XmppWatchesSip) => ("presence", "watcher", "xmpp"),
                About::Chat(id) => ("chat", "id", id.as_str()),
                About::Participant(id) => ("participant", "id", id.as_str()),
                About::Occupant(id) => ("occupant", "id", id.as_str()),
                About::Call(id) => ("call", "id", id.as_str()),
                About::Linked => ("linked", "at", "gateway"),
                About::Account => ("account", "of", "phones"),
                About::Contacts => ("contacts", "of", "phones"),
                About::Trunk(id) => ("trunk", "id", id.as_str()),
            };
            json!({
                "kind": kind,
                name: value,
                "sip": sip.to_string(),
                "xmpp": xmpp.to_string(),
                "record": record
            })
        }
        Err(why) => json!({
            "key": String::from_utf8_lossy(key),
            "value": String::from_utf8_lossy(value),
            "broken": why
        }),
    }
}
