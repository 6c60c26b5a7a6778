//! Streams (RFC 6120 §4), without sockets: bytes and moments go in, outputs come out.

pub(crate) mod backoff;
pub mod component;
mod hidden;
pub mod s2s;

use crate::error::StreamCondition;
use crate::ns;
use std::fmt;
use xml::Element;

/// A stream error (RFC 6120 §4.9): it ends the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// What went wrong.
    pub condition: StreamCondition,
    /// The same in words.
    pub text: Option<String>,
}

impl StreamError {
    /// An error without words.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError { condition, text: None }
    }

    /// Says it in words.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> StreamError {
        self.text = Some(text.into());
        self
    }

    /// Reads `<stream:error/>`; a condition that is missing or unknown is undefined-condition (§4.9.2).
    pub fn parse(e: &Element) -> Option<StreamError> {
        if !e.is("error", ns::STREAM) {
            return None;
        }
        let own = |c: &&Element| c.ns == ns::STREAM_ERRORS;
        let condition = e.elements().filter(own).find_map(|c| StreamCondition::from_name(&c.name));
        let text = e.child("text", ns::STREAM_ERRORS).map(|t| t.text().into_owned());
        Some(StreamError { condition: condition.unwrap_or(StreamCondition::UndefinedCondition), text })
    }

    /// Appends it as it goes out on a stream that binds the prefix `stream`.
    fn write(&self, out: &mut Vec<u8>) {
        self.write_with(None, out);
    }

    /// The same with a condition of the application's (§4.9.4).
    fn write_with(&self, app: Option<&Element>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:error>");
        xml::write(&Element::new(self.condition.name(), ns::STREAM_ERRORS), "", out);
        if let Some(text) = &self.text {
            xml::write(&Element::new("text", ns::STREAM_ERRORS).with_lang("en").with_text(text), "", out);
        }
        if let Some(app) = app {
            xml::write(app, "", out);
        }
        out.extend_from_slice(b"</stream:error>");
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{} ({text:?})", self.condition),
            None => write!(f, "{}", self.condition),
        }
    }
}

/// The end of a stream.
const CLOSE: &[u8] = b"</stream:stream>";

/// Appends a stream header: the content namespace is the default one, attributes in their order.
fn write_header(content_ns: &str, attrs: &[(&str, &str)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
    for (name, value) in [("xmlns", content_ns), ("xmlns:stream", ns::STREAM)].iter().chain(attrs) {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"='");
        xml::escape_attr(value, out);
        out.push(b'\'');
    }
    out.push(b'>');
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::{Event, Limits, Reader};

    #[test]
    fn errors_there_and_back() {
        for error in [
            StreamError::new(StreamCondition::Conflict),
            StreamError::new(StreamCondition::NotWellFormed).with_text("<not> well"),
        ] {
            let mut bytes = Vec::new();
            write_header("c", &[("to", "a'b")], &mut bytes);
            error.write(&mut bytes);
            bytes.extend_from_slice(CLOSE);
            let mut reader = Reader::new(Limits::default());
            reader.push(&bytes);
            let header = Element::new("stream", ns::STREAM).with_attr("to", "a'b");
            assert_eq!(reader.next(), Ok(Some(Event::Open(header))));
            assert_eq!(reader.content_ns(), "c");
            let Ok(Some(Event::Stanza(e))) = reader.next() else { panic!("an error") };
            assert_eq!(StreamError::parse(&e), Some(error));
            assert_eq!(reader.next(), Ok(Some(Event::Close)));
        }
        let unknown = Element::new("error", ns::STREAM).with_child(Element::new("new", ns::STREAM_ERRORS));
        assert_eq!(StreamError::parse(&unknown), Some(StreamError::new(StreamCondition::UndefinedCondition)));
        assert_eq!(StreamError::parse(&Element::new("error", ns::CLIENT)), None);
    }
}
