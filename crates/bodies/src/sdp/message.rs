//! What a description of MSRP says (RFC 4975 §8), with who connects (RFC 6135), middleboxes (RFC 6714), TLS (RFC 8122), files (RFC 5547)
//! and rooms (RFC 7701).

use super::{Address, Attribute, Direction, Fingerprint, Host, Media, Sdp, Setup, Types};
use crate::Error;
use base::{Str, format_compact};

/// The kind of medium.
pub const KIND: &str = "message";

/// MSRP over TCP (§8.1).
pub const TCP: &str = "TCP/MSRP";

/// MSRP over TLS.
pub const TLS: &str = "TCP/TLS/MSRP";

/// A description of MSRP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The port of the `m=` line. By §8.1 it is that of the path, by RFC 6714 that of a middlebox.
    pub port: u16,
    /// The host of the `c=` line, likewise.
    pub host: Host,
    /// Whether it is MSRP over TLS.
    pub secure: bool,
    /// `a=path`: the URIs, as they are written.
    pub path: Str,
    /// `a=accept-types`: what may be sent as it is.
    pub accept_types: Types,
    /// `a=accept-wrapped-types`: what may be sent within one of those only.
    pub accept_wrapped_types: Types,
    /// `a=max-size`: the bytes that a message should not exceed.
    pub max_size: Option<u64>,
    /// `a=setup`: who connects. `a=connection` means nothing here (RFC 6135 §4.4).
    pub setup: Option<Setup>,
    /// `a=msrp-cema`: whether host and port are those to connect to.
    pub cema: bool,
    /// What the certificate must match, weak ones included.
    pub fingerprints: Vec<Fingerprint>,
    /// Which way messages go, as who wrote this sees it (§8.9).
    pub direction: Direction,
    /// `a=chatroom`: that it is one, and what it can do (RFC 7701 §8).
    pub chatroom: Option<Vec<Str>>,
    /// `a=file-selector`: whether a file is meant and not a conversation (RFC 5547 §6).
    pub file: bool,
}

impl Message {
    /// Reads a media description of the kind `message` that is not refused.
    ///
    /// # Errors
    /// Malformed: no path, no types, two of one of them or of another that may be there once, or a fingerprint that is none. Unsupported:
    /// a protocol that is not MSRP; no host, as for multicast.
    pub fn read(sdp: &Sdp, media: &Media) -> Result<Message, Error> {
        let secure = match media.protocol.as_str() {
            _ if media.kind != KIND => return Err(Error::unsupported("medium", &media.kind)),
            protocol if protocol.eq_ignore_ascii_case(TCP) => false,
            protocol if protocol.eq_ignore_ascii_case(TLS) => true,
            protocol => return Err(Error::unsupported("transport", protocol)),
        };
        let address = sdp.connection(media).ok_or(Error::Malformed("SDP without c="))?;
        let host = address.host().ok_or_else(|| Error::unsupported("address", &address.to_string()))?;
        let path = once(media, "path")?.ok_or(Error::Malformed("MSRP without a=path"))?;
        let types = once(media, "accept-types")?.ok_or(Error::Malformed("MSRP without a=accept-types"))?;
        let wrapped = once(media, "accept-wrapped-types")?.map(Types::parse).transpose()?;
        let chatroom = media.attributes.get("chatroom").map(|attribute| {
            let tokens = attribute.value().unwrap_or_default().split(' ');
            tokens.filter(|token| !token.is_empty()).take(16).map(Str::from).collect()
        });
        Ok(Message {
            port: media.port,
            host,
            secure,
            path: path.into(),
            accept_types: Types::parse(types)?,
            accept_wrapped_types: wrapped.unwrap_or_default(),
            max_size: once(media, "max-size")?.and_then(max_size),
            setup: sdp.setup(media),
            cema: media.attributes.has("msrp-cema"),
            fingerprints: sdp.fingerprints(media)?,
            direction: sdp.direction(media),
            chatroom,
            file: media.attributes.has("file-selector"),
        })
    }

    /// The media description, with a `c=` line of its own.
    pub fn to_media(&self) -> Media {
        let mut media = Media::new(KIND, self.port, if self.secure { TLS } else { TCP }, &["*"]);
        media.connections.push(Address::new(&self.host));
        let mut push = |name: &str, value: &str| media.attributes.push(Attribute::new(name, value));
        push("accept-types", &format_compact!("{}", self.accept_types));
        if !self.accept_wrapped_types.is_empty() {
            push("accept-wrapped-types", &format_compact!("{}", self.accept_wrapped_types));
        }
        if let Some(max_size) = self.max_size {
            push("max-size", &format_compact!("{max_size}"));
        }
        push("path", &self.path);
        if let Some(setup) = self.setup {
            push("setup", setup.name());
        }
        self.fingerprints.iter().for_each(|fingerprint| push("fingerprint", &format_compact!("{fingerprint}")));
        match self.chatroom.as_deref() {
            None => {}
            Some([]) => media.attributes.push(Attribute::flag("chatroom")),
            Some(tokens) => media.attributes.push(Attribute::new("chatroom", &tokens.join(" "))),
        }
        // What is not said is both ways.
        if self.direction != Direction::SendRecv {
            media.attributes.push(Attribute::flag(self.direction.name()));
        }
        if self.cema {
            media.attributes.push(Attribute::flag("msrp-cema"));
        }
        media
    }
}

/// The value of an attribute that may be there once.
fn once<'a>(media: &'a Media, name: &'static str) -> Result<Option<&'a str>, Error> {
    let mut all = media.attributes.all(name);
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(attribute), None) => attribute.value().map(Some).ok_or(Error::Malformed("SDP attribute without a value")),
        // Two readers would take different ones.
        (Some(_), Some(_)) => Err(Error::Malformed("SDP attribute given twice")),
    }
}

/// A number of bytes; one that is too long for a number is as good as none, and so is one that is no number, for it is a hint only (§8.6).
fn max_size(value: &str) -> Option<u64> {
    super::address::number(value)
}
