//! Stream headers (RFC 6120 §4.7), as far as both roles have them in common.

use super::{NS, Stream};
use crate::error::StreamCondition;
use crate::ns;
use crate::stream::write_header;
use base::Str;
use xml::Element;

impl Stream {
    /// Opens the stream: from us to them.
    pub(super) fn open(&mut self) {
        let mut header = Vec::with_capacity(256);
        let names = [("from", self.local.as_deref()), ("to", self.remote.as_deref())];
        write(names, None, &mut header);
        self.header_out = true;
        self.bytes(&header);
    }

    /// Answers the header of the other side, under a new id that nobody can guess (RFC 6120 §4.7.3).
    pub(super) fn answer_header(&mut self) {
        self.id = self.tokens.token(32);
        let mut header = Vec::with_capacity(256);
        // §4.7.1: from whoever we are, if not whom they asked for.
        let local = self.local.as_deref().or_else(|| self.config.local.keys().next().map(Str::as_str));
        write([("from", local), ("to", self.remote.as_deref())], Some(&self.id), &mut header);
        self.header_out = true;
        self.bytes(&header);
    }

    /// §4.7.4: what they write in, as long as it is the name of a language.
    pub(super) fn note_language(&mut self, header: &Element) {
        let is_name = |lang: &&str| {
            (1..=35).contains(&lang.len()) && lang.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        self.lang = header.lang().filter(is_name).map(Str::from);
    }

    /// What is wrong with the other side's header, whoever sent it: its namespaces (§4.8.1, §4.8.2) or its version (§4.7.5). Streams without
    /// a version have no features, and so neither TLS nor SASL.
    pub(super) fn header_fault(&self, header: &Element) -> Option<(StreamCondition, &'static str)> {
        if !header.is("stream", ns::STREAM) {
            return Some((StreamCondition::InvalidNamespace, "not a stream"));
        }
        if self.reader.content_ns() != NS {
            return Some((StreamCondition::InvalidNamespace, "not a stream between servers"));
        }
        let version = header.attr("version").and_then(|v| v.split_once('.'));
        match version.map(|(major, minor)| (major.parse::<u16>(), minor.parse::<u16>())) {
            Some((Ok(1..), Ok(_))) => None,
            _ => Some((StreamCondition::UnsupportedVersion, "version 1.0 is wanted")),
        }
    }
}

fn write(names: [(&str, Option<&str>); 2], id: Option<&str>, out: &mut Vec<u8>) {
    let mut attrs = vec![("xmlns:db", ns::DIALBACK)];
    attrs.extend(names.into_iter().filter_map(|(name, value)| Some((name, value?))));
    attrs.extend(id.map(|id| ("id", id)));
    attrs.extend([("version", "1.0"), ("xml:lang", "en")]);
    write_header(NS, &attrs, out);
}
