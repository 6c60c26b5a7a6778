//! `application/im-iscomposing+xml`: who is writing (RFC 3994).

use crate::{Error, Timestamp, document};
use base::Str;
use xml::Element;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/im-iscomposing+xml";

/// The namespace of the document (§6).
pub const NS: &str = "urn:ietf:params:xml:ns:im-iscomposing";

/// How long `active` holds at the receiver when the document does not say, in seconds (§3.3).
pub const DEFAULT_REFRESH: u32 = 120;

/// What the writer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Writing.
    Active,
    /// Not writing. §3.5: whatever is not `active` is this.
    Idle,
}

/// An is-composing document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsComposing {
    /// What the writer is doing.
    pub state: State,
    /// In how many seconds the writer will say so again; at least 1 in a document that was read.
    pub refresh: Option<u32>,
    /// What is being written: a media type, or its first half alone (§3.5).
    pub content_type: Option<Str>,
    /// When the writer last did something.
    pub last_active: Option<Timestamp>,
}

impl IsComposing {
    /// A document that says only the state.
    pub fn new(state: State) -> IsComposing {
        IsComposing { state, refresh: None, content_type: None, last_active: None }
    }

    /// Reads a document. What is optional and malformed is left out; a refresh beyond 32 bits is the largest there is.
    ///
    /// # Errors
    /// Malformed: bad XML, another document, no state. TooBig: more than 64 KiB, 16 levels, 256 elements.
    pub fn parse(bytes: &[u8]) -> Result<IsComposing, Error> {
        let root = document::parse(bytes)?;
        if !root.is("isComposing", NS) {
            return Err(Error::Malformed("no isComposing document"));
        }
        let state = document::child_text(&root, "state", NS).ok_or(Error::Malformed("isComposing without a state"))?;
        let refresh = document::child_text(&root, "refresh", NS).and_then(|text| {
            let digits = text.strip_prefix('+').unwrap_or(&text);
            let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().unwrap_or(u32::MAX));
            number.filter(|&n| n > 0)
        });
        Ok(IsComposing {
            state: if state == "active" { State::Active } else { State::Idle },
            refresh,
            content_type: document::child_text(&root, "contenttype", NS),
            last_active: document::child_text(&root, "lastactive", NS).and_then(|t| Timestamp::parse(&t)),
        })
    }

    /// Writes the document, its elements in the schema's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let state = match self.state {
            State::Active => "active",
            State::Idle => "idle",
        };
        let mut root = Element::new("isComposing", NS);
        let mut add = |name: &str, text: &str| root.push(Element::new(name, NS).with_text(text));
        add("state", state);
        if let Some(at) = self.last_active {
            add("lastactive", &at.to_string());
        }
        if let Some(content_type) = &self.content_type {
            add("contenttype", content_type);
        }
        if let Some(refresh) = self.refresh {
            add("refresh", &refresh.to_string());
        }
        xml::write_document(&root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(inner: &str) -> Result<IsComposing, Error> {
        IsComposing::parse(format!("<isComposing xmlns='{NS}'>{inner}</isComposing>").as_bytes())
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let active = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"\n\
            xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"\nxsi:schemaLocation=\"urn:ietf:params:xml:ns:im-composing\n\
            iscomposing.xsd\">\n  <state>active</state>\n  <contenttype>text/plain</contenttype>\n  <refresh>90</refresh>\n\
            </isComposing>";
        assert_eq!(
            IsComposing::parse(active.as_bytes()).unwrap(),
            IsComposing {
                state: State::Active,
                refresh: Some(90),
                content_type: Some("text/plain".into()),
                last_active: None
            }
        );
        let idle = "<state>idle</state><lastactive>2003-01-27T10:43:00Z</lastactive><contenttype>audio</contenttype>";
        let idle = parse(idle).unwrap();
        assert_eq!((idle.state, idle.last_active.unwrap().unix()), (State::Idle, 1_043_664_180));
    }

    #[test]
    fn what_is_unknown_is_idle_and_what_is_odd_is_dropped() {
        let odd = "<x xmlns='urn:y'><state>active</state></x><state> gone\n</state><refresh>-1</refresh><lastactive>now</lastactive>";
        assert_eq!(parse(odd).unwrap(), IsComposing::new(State::Idle));
        for (refresh, seconds) in
            [("0", None), ("+60", Some(60)), ("", None), ("99999999999999", Some(u32::MAX)), ("1.5", None)]
        {
            assert_eq!(parse(&format!("<state>active</state><refresh>{refresh}</refresh>")).unwrap().refresh, seconds);
        }
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(parse(""), Err(Error::Malformed("isComposing without a state")));
        assert_eq!(parse("<state xmlns=''>active</state>"), Err(Error::Malformed("isComposing without a state")));
        assert_eq!(IsComposing::parse(b"<isComposing/>"), Err(Error::Malformed("no isComposing document")));
        assert!(IsComposing::parse(b"").is_err());
        assert!(IsComposing::parse(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>").is_err());
        assert!(matches!(parse(&"<a>".repeat(20)), Err(Error::TooBig { limit: 16, .. })));
    }

    proptest! {
        #[test]
        fn what_prints_parses_back(
            active: bool, refresh in proptest::option::of(1u32..), content_type in proptest::option::of("[a-z]{1,9}(/[a-z+<&>]{1,9})?"),
            at in proptest::option::of(0i64..4_000_000_000),
        ) {
            let state = if active { State::Active } else { State::Idle };
            let last_active = at.and_then(Timestamp::from_unix);
            let doc = IsComposing { state, refresh, content_type: content_type.map(Into::into), last_active };
            prop_assert_eq!(IsComposing::parse(&doc.to_bytes()).unwrap(), doc);
        }

        #[test]
        fn any_bytes_may_come(bytes: Vec<u8>) {
            let _ = IsComposing::parse(&bytes);
        }
    }
}
