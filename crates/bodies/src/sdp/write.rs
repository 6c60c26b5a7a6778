//! The writer: the lines of §9 in their order.

use super::attribute::Attributes;
use super::fragment::Fragment;
use super::{Address, Bandwidth, Media, Sdp, Text};

pub(super) fn bytes(sdp: &Sdp) -> Vec<u8> {
    let mut out = Lines(Vec::with_capacity(512));
    out.line(b'v', |out| out.text(b"0"));
    out.line(b'o', |out| {
        let origin = &sdp.origin;
        out.word_of(origin.user.as_bytes());
        out.words(&[&origin.id, &origin.version]);
        out.text(b" ");
        out.address(&origin.address);
    });
    out.line_of(b's', &sdp.name);
    sdp.info.iter().for_each(|info| out.line_of(b'i', info));
    sdp.uri.iter().for_each(|uri| out.line_of(b'u', uri));
    sdp.emails.iter().for_each(|email| out.line_of(b'e', email));
    sdp.phones.iter().for_each(|phone| out.line_of(b'p', phone));
    sdp.connection.iter().for_each(|address| out.line(b'c', |out| out.address(address)));
    out.bandwidths(&sdp.bandwidths);
    for time in &sdp.times {
        out.line(b't', |out| {
            out.word_of(time.start.as_bytes());
            out.words(&[&time.stop]);
        });
        time.repeats.iter().for_each(|repeat| out.line(b'r', |out| out.text(repeat.as_bytes())));
        time.zone.iter().for_each(|zone| out.line(b'z', |out| out.text(zone.as_bytes())));
    }
    out.attributes(&sdp.attributes);
    sdp.media.iter().for_each(|media| out.media(media));
    out.0
}

/// A fragment: no more than attributes, and `m=` lines with attributes.
pub(super) fn fragment(fragment: &Fragment) -> Vec<u8> {
    let mut out = Lines(Vec::with_capacity(512));
    out.attributes(&fragment.attributes);
    for media in &fragment.media {
        out.media_line(media);
        out.attributes(&media.attributes);
    }
    out.0
}

struct Lines(Vec<u8>);

impl Lines {
    fn line(&mut self, kind: u8, value: impl FnOnce(&mut Lines)) {
        self.0.extend([kind, b'=']);
        value(self);
        self.0.extend(b"\r\n");
    }

    /// §9: a text has at least one octet.
    fn line_of(&mut self, kind: u8, text: &Text) {
        let text = text.as_bytes();
        self.line(kind, |out| out.text(if text.is_empty() { b" " } else { text }));
    }

    /// Octets of a [`Text`], or others that end no line.
    fn text(&mut self, text: &[u8]) {
        self.0.extend(text);
    }

    /// One word, whatever is in it: white space and control characters become `_`, and so does nothing at all.
    fn word_of(&mut self, word: &[u8]) {
        let octet = |b: &u8| if b.is_ascii_control() || *b == b' ' { b'_' } else { *b };
        self.0.extend(word.iter().map(octet));
        if word.is_empty() {
            self.0.push(b'_');
        }
    }

    /// More words, a space before each.
    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.0.push(b' ');
            self.word_of(word.as_bytes());
        }
    }

    fn address(&mut self, address: &Address) {
        self.word_of(address.network.as_bytes());
        self.words(&[&address.family, &address.text]);
    }

    fn bandwidths(&mut self, bandwidths: &[Bandwidth]) {
        for bandwidth in bandwidths {
            self.line(b'b', |out| {
                out.word_of(bandwidth.kind.as_bytes());
                out.text(b":");
                out.word_of(bandwidth.value.as_bytes());
            });
        }
    }

    fn attributes(&mut self, attributes: &Attributes) {
        for attribute in attributes.iter() {
            self.line(b'a', |out| {
                out.word_of(attribute.name().as_bytes());
                if let Some(value) = attribute.raw() {
                    out.text(b":");
                    out.text(value.as_bytes());
                }
            });
        }
    }

    fn media(&mut self, media: &Media) {
        self.media_line(media);
        media.title.iter().for_each(|title| self.line_of(b'i', title));
        media.connections.iter().for_each(|address| self.line(b'c', |out| out.address(address)));
        self.bandwidths(&media.bandwidths);
        self.attributes(&media.attributes);
    }

    fn media_line(&mut self, media: &Media) {
        self.line(b'm', |out| {
            out.word_of(media.kind.as_bytes());
            out.words(&[&base::format_compact!("{}", media.port)]);
            if let Some(ports) = media.ports {
                out.text(base::format_compact!("/{ports}").as_bytes());
            }
            out.words(&[&media.protocol]);
            out.words(&media.formats.iter().map(base::Str::as_str).collect::<Vec<_>>());
        });
    }
}
