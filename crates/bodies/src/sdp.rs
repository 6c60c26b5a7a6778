//! Session descriptions: `application/sdp` (RFC 8866), in offers and answers (RFC 3264).
//!
//! Lines are read strictly, their order within a section leniently: no type of line means another thing in another place, and phones
//! differ. What is legal prints back byte for byte, attributes that nobody here knows included; only `k=` is thrown away, as §5.12 wants.
//! [`message`] is the typed view of a description of MSRP, [`rtp`] that of the attributes of RTP; a [`fragment`] is what of a description
//! an INFO brings when candidates come one by one.

mod address;
mod attribute;
mod fingerprint;
pub mod fragment;
pub mod message;
mod read;
pub mod rtp;
mod types;
mod write;

use crate::Error;
use base::{Str, format_compact};

pub use address::{Address, Host};
pub use attribute::{Attribute, Attributes, Direction, Setup, Text};
pub use fingerprint::{Fingerprint, MAX_FINGERPRINTS};
pub use types::{MAX_TYPES, Type, Types};

/// The media type of a description.
pub const MEDIA_TYPE: &str = "application/sdp";

/// The most bytes of a description.
pub const MAX_BYTES: usize = 65_536;

/// The most lines of a description.
pub const MAX_LINES: usize = 2_048;

/// The most media descriptions in one; each offered one is answered, be it with a refusal.
pub const MAX_MEDIA: usize = 32;

/// The most formats of one media description.
pub const MAX_FORMATS: usize = 128;

/// The most bytes of a word: a media type, a protocol, a number, the name of an attribute.
pub const MAX_WORD: usize = 255;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    /// `o=`: whose it is, and which version of it.
    pub origin: Origin,
    /// `s=`: its name, `-` for none.
    pub name: Text,
    /// `i=`: what it is about, in words.
    pub info: Option<Text>,
    /// `u=`: where more is to be read. Never fetched.
    pub uri: Option<Text>,
    /// `e=`: whom to write to.
    pub emails: Vec<Text>,
    /// `p=`: whom to call.
    pub phones: Vec<Text>,
    /// `c=`: the address of the media that have none of their own.
    pub connection: Option<Address>,
    /// `b=`: bounds of all media together.
    pub bandwidths: Vec<Bandwidth>,
    /// `t=` with its `r=` and `z=`: when; at least one. In offers and answers `0 0`.
    pub times: Vec<Time>,
    /// `a=` of all media.
    pub attributes: Attributes,
    /// `m=`: the media. An answer has those of the offer, in their order (RFC 3264 §6).
    pub media: Vec<Media>,
}

/// `o=` (§5.2). All but the version together name the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    user: Text,
    id: Str,
    version: Str,
    address: Address,
}

/// `t=` and the lines that belong to it (§5.9 to §5.11), as they stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    start: Str,
    stop: Str,
    repeats: Vec<Str>,
    zone: Option<Str>,
}

/// `b=` (§5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    kind: Str,
    value: Str,
}

/// A media description (§5.14): `m=` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What: `audio`, `video`, `message`...
    pub kind: Str,
    /// Where to send to; 0 for a stream that is refused or at its end (RFC 3264 §6, §8.2).
    pub port: u16,
    /// How many ports, where that is said.
    pub ports: Option<u16>,
    /// The transport: `RTP/AVP`, `TCP/MSRP`...
    pub protocol: Str,
    /// The formats, the best first; at least one.
    pub formats: Vec<Str>,
    /// `i=`: a title.
    pub title: Option<Text>,
    /// `c=`: the addresses; more than one only for layers of multicast.
    pub connections: Vec<Address>,
    /// `b=`.
    pub bandwidths: Vec<Bandwidth>,
    /// `a=`.
    pub attributes: Attributes,
}

impl Sdp {
    /// A description without media, of a session that begins now and has no end.
    pub fn new(origin: Origin) -> Sdp {
        Sdp {
            origin,
            name: Text::new("-"),
            info: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: None,
            bandwidths: Vec::new(),
            times: vec![Time::always()],
            attributes: Attributes::default(),
            media: Vec::new(),
        }
    }

    /// Reads a description. Lines may end with LF alone, the last with nothing (§5).
    ///
    /// # Errors
    /// Malformed: a line that is none or that says twice what may be said once; a type of line that §9 does not know; no `v=0` at the
    /// beginning; no `o=`, `s=` or `t=`; media without a `c=`; an IP address, a port or an RTP payload type that is none; NUL, or CR that
    /// ends no line. TooBig: more than [`MAX_BYTES`], [`MAX_LINES`], [`MAX_MEDIA`] or [`MAX_FORMATS`].
    pub fn parse(bytes: &[u8]) -> Result<Sdp, Error> {
        read::parse(bytes)
    }

    /// Writes the description, its lines in the order of §9. What would end a line or a word too soon is replaced, so that no value can
    /// bring in a line of its own.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::bytes(self)
    }

    /// The address of a media description: its own, or that of all.
    pub fn connection<'a>(&'a self, media: &'a Media) -> Option<&'a Address> {
        media.connections.first().or(self.connection.as_ref())
    }

    /// An attribute of a media description; one for all media stands in where it has none of that name.
    pub fn attribute<'a>(&'a self, media: &'a Media, name: &str) -> Option<&'a Attribute> {
        media.attributes.get(name).or_else(|| self.attributes.get(name))
    }

    /// Which way a media description goes, as who wrote it sees it; both ways where it does not say (RFC 3264 §5.1).
    pub fn direction(&self, media: &Media) -> Direction {
        let of = |attributes: &Attributes| attributes.iter().find_map(|a| Direction::from_name(a.name()));
        of(&media.attributes).or_else(|| of(&self.attributes)).unwrap_or(Direction::SendRecv)
    }

    /// Who connects (RFC 4145 §4, RFC 5763 §5); None where that is not said, or in a word that nobody knows.
    pub fn setup(&self, media: &Media) -> Option<Setup> {
        Setup::from_name(self.attribute(media, "setup")?.value()?)
    }

    /// What the certificate of this media description must match: any of these. Those of the media go before those of all (RFC 8122 §5).
    ///
    /// # Errors
    /// Malformed: one that is none. TooBig: more than [`MAX_FINGERPRINTS`].
    pub fn fingerprints(&self, media: &Media) -> Result<Vec<Fingerprint>, Error> {
        let own = media.attributes.all("fingerprint").count() > 0;
        let attributes = if own { &media.attributes } else { &self.attributes };
        if attributes.all("fingerprint").count() > MAX_FINGERPRINTS {
            return Err(Error::TooBig { what: "fingerprints", limit: MAX_FINGERPRINTS });
        }
        attributes.all("fingerprint").map(|a| Fingerprint::parse(a.value().unwrap_or_default())).collect()
    }
}

impl Origin {
    /// An origin of ours, without the name of a user. `id` names the session, `version` grows with each change of the description.
    pub fn new(id: u64, version: u64, host: &Host) -> Origin {
        Origin {
            user: Text::new("-"),
            id: format_compact!("{id}"),
            version: format_compact!("{version}"),
            address: Address::new(host),
        }
    }

    /// The same session, of the user with this name: white space and control characters in it become `-`, and so does no name at all; what
    /// is longer than [`MAX_WORD`] bytes is cut.
    #[must_use]
    pub fn with_user(self, name: &str) -> Origin {
        let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_WORD).last();
        let name = &name[..end.unwrap_or_default()];
        let name = name.replace(|c: char| c.is_whitespace() || c.is_control(), "-");
        Origin { user: Text::new(if name.is_empty() { "-" } else { &name }), ..self }
    }

    /// The name of the user; `-` for none.
    pub fn user(&self) -> &Text {
        &self.user
    }

    /// The number that names the session. It may be of any length, and only its digits count.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The number of the version, likewise.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same session in another version.
    #[must_use]
    pub fn with_version(self, version: u64) -> Origin {
        Origin { version: format_compact!("{version}"), ..self }
    }

    /// Where the session was made. Only a name, and not always a true one.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it is the same session, in whatever version.
    pub fn same_session(&self, other: &Origin) -> bool {
        (&self.user, &self.id, &self.address) == (&other.user, &other.id, &other.address)
    }
}

impl Time {
    /// From now on, without an end: `0 0` (RFC 3264 §5).
    pub fn always() -> Time {
        Time { start: Str::const_new("0"), stop: Str::const_new("0"), repeats: Vec::new(), zone: None }
    }
}

impl Bandwidth {
    /// A bound; of the type `AS` in kilobits per second (§5.8), of `TIAS` in bits per second (RFC 3890).
    pub fn new(kind: &str, value: u64) -> Bandwidth {
        Bandwidth { kind: kind.into(), value: format_compact!("{value}") }
    }

    /// What it bounds: `AS`, `CT`, `TIAS`...
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The bound; None for one that no number of 64 bits holds.
    pub fn value(&self) -> Option<u64> {
        self.value.parse().ok()
    }
}

impl Media {
    /// A media description without attributes.
    pub fn new(kind: &str, port: u16, protocol: &str, formats: &[&str]) -> Media {
        Media {
            kind: kind.into(),
            port,
            ports: None,
            protocol: protocol.into(),
            formats: formats.iter().map(|format| Str::from(*format)).collect(),
            title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            attributes: Attributes::default(),
        }
    }

    /// What an answer has in the place of this one to refuse it: the same with port 0, and nothing more (RFC 3264 §6).
    #[must_use]
    pub fn refused(&self) -> Media {
        let formats = self.formats.clone();
        Media { formats, ..Media::new(&self.kind, 0, &self.protocol, &[]) }
    }
}

#[cfg(test)]
mod tests;
