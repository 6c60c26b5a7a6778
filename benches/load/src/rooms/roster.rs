//! What a phone makes of conference documents (RFC 4575 §4): who is there.

use super::cast::Cast;
use crate::bytes::{attribute, between, find};

/// What one place has been told.
#[derive(Debug, Default)]
pub(super) struct Roster {
    there: Vec<bool>,
    /// How many of them.
    pub(super) count: usize,
    version: Option<u32>,
    /// Documents that did not follow upon the one before.
    pub(super) gaps: usize,
    /// People who are none.
    pub(super) strangers: usize,
}

impl Roster {
    /// Takes a document.
    pub(super) fn apply(&mut self, cast: &Cast, room: usize, document: &[u8]) {
        let Some(start) = find(document, b"<conference-info") else { return };
        let root = &document[start..start + memchr::memchr(b'>', &document[start..]).unwrap_or(0)];
        let version = attribute(root, "version").and_then(|v| std::str::from_utf8(v).ok()?.parse::<u32>().ok());
        let full = attribute(root, "state").is_none_or(|state| state == b"full");
        if full {
            (self.there, self.count) = (vec![false; cast.people()], 0);
        } else if version <= self.version {
            // It was sent again.
            return;
        } else if version != self.version.map(|version| version + 1) {
            self.gaps += 1;
        }
        self.version = version;
        let mut rest = &document[start..];
        while let Some(at) = find(rest, b"<user ") {
            rest = &rest[at..];
            let tag = &rest[..memchr::memchr(b'>', rest).unwrap_or(rest.len())];
            rest = &rest[tag.len()..];
            let gone = attribute(tag, "state") == Some(b"deleted");
            let body = if tag.ends_with(b"/") { &b""[..] } else { &rest[..find(rest, b"</user>").unwrap_or(0)] };
            let here = !gone && between(body, b"<status>", b"</status>") == Some(b"connected");
            let nick = attribute(tag, "entity").and_then(|entity| Some(&entity[find(entity, b";gr=")? + 4..]));
            match nick.and_then(|nick| cast.who(room, nick)).and_then(|who| self.there.get_mut(who)) {
                Some(there) => {
                    self.count = self.count + usize::from(here) - usize::from(*there);
                    *there = here;
                }
                None => self.strangers += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn documents_are_merged() {
        let options = Options::parse(std::iter::empty()).unwrap();
        let cast = Cast::new(&options, "n1".to_owned(), (1, 2, 2), 1);
        let user = |nick: &str| {
            format!(
                "<user entity='sip:room000000@rooms.example.com;gr={nick}' state='full'><endpoint entity='a'>\
                 <status>connected</status></endpoint></user>"
            )
        };
        let document = |state: &str, version: u32, users: &str| {
            format!(
                "<?xml version='1.0'?><conference-info entity='r' state='{state}' version='{version}'><users>{users}</users></conference-info>"
            )
        };
        let mut roster = Roster::default();
        roster.apply(&cast, 0, document("full", 0, &(user("s000000") + &user("x000001"))).as_bytes());
        assert_eq!((roster.count, roster.gaps), (2, 0));
        roster.apply(&cast, 0, document("partial", 1, &(user("s000001") + &user("x000001"))).as_bytes());
        assert_eq!((roster.count, roster.gaps), (3, 0));
        let gone = "<user entity='sip:room000000@rooms.example.com;gr=s000001' state='deleted'/>";
        roster.apply(&cast, 0, document("partial", 3, gone).as_bytes());
        assert_eq!((roster.count, roster.gaps, roster.strangers), (2, 1, 0));
        roster.apply(&cast, 0, document("full", 4, &user("x000009")).as_bytes());
        assert_eq!((roster.count, roster.gaps, roster.strangers), (0, 1, 1));
    }
}
