//! Fragments of descriptions, `application/trickle-ice-sdpfrag` (RFC 8840 §9): what an INFO brings while candidates are still gathered.

use super::rtp::{Mid, Value};
use super::{Attribute, Attributes, Media, read, write};
use crate::Error;

/// The media type of a fragment.
pub const MEDIA_TYPE: &str = "application/trickle-ice-sdpfrag";

/// A fragment of a description. Its media descriptions only say which one of the description is meant, by `a=mid`; what else is in their
/// `m=` line means nothing (§4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    /// `a=` of all media.
    pub attributes: Attributes,
    /// `m=` and what follows it.
    pub media: Vec<Media>,
}

impl Fragment {
    /// Reads a fragment. The names of attributes come out in lower case (§9.2); lines of other types are passed over.
    ///
    /// # Errors
    /// As [`Sdp::parse`](super::Sdp::parse), as far as there are such lines.
    pub fn parse(bytes: &[u8]) -> Result<Fragment, Error> {
        read::fragment(bytes)
    }

    /// Writes the fragment.
    pub fn to_bytes(&self) -> Vec<u8> {
        write::fragment(self)
    }

    /// A media description that says no more than which one it is (§4.4), for [`Fragment::media`]; None where the name is no token.
    pub fn section(mid: &str) -> Option<Media> {
        let mut media = Media::new("audio", 9, "RTP/AVP", &["0"]);
        media.attributes.push(Mid(mid.into()).attribute()?);
        Some(media)
    }

    /// An attribute of a media description; one of all media stands in where it has none of that name.
    pub fn attribute<'a>(&'a self, media: &'a Media, name: &str) -> Option<&'a Attribute> {
        media.attributes.get(name).or_else(|| self.attributes.get(name))
    }
}
