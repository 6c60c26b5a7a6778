//! What SIP users call themselves: the display names of the From headers that came (RFC 3261 §20.20), for their cards (XEP-0054).
//!
//! A name is kept for the pair, and told to nobody but the XMPP user to whom it was said: so it does not depend on the number of shards who
//! sees it, and what somebody goes by towards one person another does not learn.

use crate::error::one_line;
use crate::prints;
use base::{Fingerprint, HashKey, Recent, Str};
use xmpp::jid::Jid;

/// How many names one shard remembers; the oldest are forgotten.
const NAMES: usize = 16_384;

/// The longest name, in bytes; what is longer is cut.
const MAX_NAME: usize = 128;

/// A name that can be shown in one line: no control characters, nothing that turns the direction of what follows, and not too long. `None`
/// if nothing is left of it.
pub fn name(text: &str) -> Option<Str> {
    let mut out = Str::default();
    for c in one_line(text) {
        if out.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    (!out.is_empty()).then_some(out)
}

/// The names that are remembered.
#[derive(Debug)]
pub struct Names {
    key: HashKey,
    names: Recent<Fingerprint, Str>,
}

impl Names {
    /// None yet; `key` is secret.
    pub fn new(key: HashKey) -> Names {
        Names { key, names: Recent::new(key, NAMES) }
    }

    /// A SIP user has said something to an XMPP user, with this display name. Without one it says nothing new.
    pub fn heard(&mut self, sip: &Jid, xmpp: &Jid, display: Option<&str>) {
        if let Some(name) = display.and_then(name) {
            let pair = self.pair(sip, xmpp);
            if self.names.get(&pair) != Some(&name) {
                self.names.insert(pair, name);
            }
        }
    }

    /// What the SIP user goes by, as far as the XMPP user was told.
    pub fn of(&self, sip: &Jid, xmpp: &Jid) -> Option<&str> {
        self.names.get(&self.pair(sip, xmpp)).map(Str::as_str)
    }

    fn pair(&self, sip: &Jid, xmpp: &Jid) -> Fingerprint {
        prints::pair(&self.key, sip, xmpp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_and_not_long() {
        for (text, cleaned) in [
            ("Romeo Montague", Some("Romeo Montague")),
            (" Romeo\r\n\tVia: x\0", Some("Romeo Via: x")),
            ("o\u{202e}emoR", Some("o emoR")),
            ("\u{1b}[31mR", Some("[31mR")),
            ("\u{fffe}", Some("\u{fffd}")),
            ("", None),
            (" \r\n\u{200f}", None),
        ] {
            assert_eq!(name(text).as_deref(), cleaned, "{text:?}");
        }
        let long = name(&"é".repeat(1_000)).unwrap();
        assert!(long.len() <= MAX_NAME && long.chars().all(|c| c == 'é'));
    }

    #[test]
    fn the_last_name_counts_and_only_for_whom_it_was_said_to() {
        let jid = |text| Jid::parse(text).unwrap();
        let (romeo, juliet) = (jid("romeo@example.net/gr1"), jid("juliet@example.com"));
        let mut names = Names::new(HashKey::new(1, 2));
        assert_eq!(names.of(&romeo, &juliet), None);
        names.heard(&romeo, &juliet, Some("Romeo"));
        names.heard(&romeo, &juliet, None);
        names.heard(&romeo, &juliet, Some(" "));
        assert_eq!(names.of(&romeo.bare(), &jid("juliet@example.com/balcony")), Some("Romeo"));
        assert_eq!(names.of(&romeo, &jid("mercutio@example.com")), None);
        assert_eq!(names.of(&jid("romeo@sip.example"), &juliet), None);
        names.heard(&romeo, &juliet, Some("Montague"));
        assert_eq!(names.of(&romeo, &juliet), Some("Montague"));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut names = Names::new(HashKey::new(1, 2));
        let juliet = Jid::parse("juliet@example.com").unwrap();
        for n in 0..2 * NAMES {
            let romeo = Jid::parse(&format!("romeo{n}@example.net")).unwrap();
            names.heard(&romeo, &juliet, Some("Romeo"));
        }
        assert!(names.names.len() <= NAMES);
    }
}
