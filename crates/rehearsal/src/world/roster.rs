//! What a subscriber makes of conference documents, by the letter of RFC 4575 §4.4 to §4.6, and without the gateway's own reader of them.

use std::collections::BTreeMap;
use xml::{Element, Limits};

const NS: &str = "urn:ietf:params:xml:ns:conference-info";

/// Who takes part, as it was told.
#[derive(Debug, Default)]
pub struct Roster {
    /// The number of the last document.
    version: Option<u32>,
    /// Names of those who are connected, by key; of those who are not, nothing.
    users: BTreeMap<String, Option<String>>,
    /// What the room is about.
    subject: Option<String>,
}

impl Roster {
    /// A document has come.
    ///
    /// # Panics
    /// It is none, or does not follow the one before: in this order none may be missing.
    pub fn apply(&mut self, document: &[u8]) {
        let limits = Limits { stanza_bytes: 1 << 22, elements: 1 << 18, ..Limits::default() };
        let text = std::str::from_utf8(document).expect("text");
        let text = text.split_once("?>").map_or(text, |(_, rest)| rest);
        let info = Element::parse(text.as_bytes(), &limits).expect("XML");
        assert!(info.is("conference-info", NS));
        let version: u32 = info.attr("version").expect("a version").parse().expect("a number");
        let whole = info.attr("state").unwrap_or("full") == "full";
        assert!(self.version.is_none_or(|before| version == before + 1), "{version} after {:?}", self.version);
        assert!(whole || self.version.is_some(), "the first is a whole one");
        self.version = Some(version);
        if let Some(description) = info.child("conference-description", NS) {
            self.subject = description.child("subject", NS).map(|e| e.text().into_owned());
        }
        let Some(users) = info.child("users", NS) else { return };
        if whole && users.attr("state").unwrap_or("full") == "full" {
            self.users.clear();
        }
        let mut seen = Vec::new();
        for user in users.elements().filter(|e| e.is("user", NS)) {
            let key = user.attr("entity").expect("a key").to_owned();
            match user.attr("state").unwrap_or("full") {
                "deleted" => {
                    assert!(self.users.remove(&key).is_some(), "{key} goes who was not there");
                }
                _ => {
                    let name = user.child("display-text", NS).map(|e| e.text().into_owned()).unwrap_or_default();
                    let status = user.child("endpoint", NS).and_then(|e| e.child("status", NS));
                    let here = status.is_none_or(|e| e.text() == "connected");
                    self.users.insert(key.clone(), here.then_some(name));
                }
            }
            seen.push(key);
        }
        seen.sort();
        let all = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), all, "each once");
    }

    /// What the room is about.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The names of those who are there.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.users.values().flatten().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}
