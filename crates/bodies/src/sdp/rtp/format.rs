//! Formats: what a payload type stands for, its parameters, the feedback and the header extensions that are wanted.

use super::super::{Attributes, Direction};
use super::{Value, is_line, line, number, payload_type, visible, word};
use base::Str;
use std::fmt;

/// `a=rtpmap` (RFC 8866 §6.6): `96 opus/48000/2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtpmap {
    /// The payload type, at most 127.
    pub payload_type: u8,
    /// The encoding, a subtype of the medium. Its case means nothing.
    pub encoding: Str,
    /// The clock rate in Hz, never 0.
    pub clock_rate: u32,
    /// The number of channels where it is said; 1 where it is not.
    pub channels: Option<u8>,
}

impl Value for Rtpmap {
    const NAME: &'static str = "rtpmap";

    fn parse(value: &str) -> Option<Rtpmap> {
        let (number_of, format) = value.split_once(' ')?;
        let mut parts = format.trim().splitn(3, '/');
        let encoding = word(parts.next()?)?;
        let clock_rate = number(parts.next()?).filter(|rate| *rate > 0)?;
        let channels = parts.next().map(|channels| number(channels).filter(|channels| *channels > 0));
        let channels = match channels {
            Some(None) => return None,
            Some(channels) => channels,
            None => None,
        };
        Some(Rtpmap { payload_type: payload_type(number_of)?, encoding, clock_rate, channels })
    }
}

impl fmt::Display for Rtpmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.payload_type, self.encoding, self.clock_rate)?;
        self.channels.map_or(Ok(()), |channels| write!(f, "/{channels}"))
    }
}

/// A payload type that RFC 3551 §6 assigns for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Static {
    /// The encoding.
    pub encoding: &'static str,
    /// The clock rate in Hz.
    pub clock_rate: u32,
    /// The number of channels, 1 for video.
    pub channels: u8,
}

impl Static {
    /// What this payload type stands for without an `a=rtpmap`.
    pub fn of(payload_type: u8) -> Option<Static> {
        let (encoding, clock_rate) = match payload_type {
            0 => ("PCMU", 8_000),
            3 => ("GSM", 8_000),
            4 => ("G723", 8_000),
            5 => ("DVI4", 8_000),
            6 => ("DVI4", 16_000),
            7 => ("LPC", 8_000),
            8 => ("PCMA", 8_000),
            9 => ("G722", 8_000),
            10 | 11 => ("L16", 44_100),
            12 => ("QCELP", 8_000),
            13 => ("CN", 8_000),
            14 => ("MPA", 90_000),
            15 => ("G728", 8_000),
            16 => ("DVI4", 11_025),
            17 => ("DVI4", 22_050),
            18 => ("G729", 8_000),
            25 => ("CelB", 90_000),
            26 => ("JPEG", 90_000),
            28 => ("nv", 90_000),
            31 => ("H261", 90_000),
            32 => ("MPV", 90_000),
            33 => ("MP2T", 90_000),
            34 => ("H263", 90_000),
            _ => return None,
        };
        Some(Static { encoding, clock_rate, channels: if payload_type == 10 { 2 } else { 1 } })
    }
}

/// `a=fmtp` (RFC 8866 §6.15): parameters of a format, in whatever form its definition gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fmtp {
    /// The payload type, at most 127.
    pub payload_type: u8,
    /// The parameters as they are written.
    pub parameters: Str,
}

impl Value for Fmtp {
    const NAME: &'static str = "fmtp";

    fn parse(value: &str) -> Option<Fmtp> {
        let (number_of, parameters) = value.split_once(' ')?;
        Some(Fmtp { payload_type: payload_type(number_of)?, parameters: line(parameters.trim_matches(' '))? })
    }
}

impl fmt::Display for Fmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.payload_type, self.parameters)
    }
}

/// `a=rtcp-fb` (RFC 4585 §4.2): feedback that is wanted for a format, or for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The payload type, at most 127; None for all (`*`).
    pub payload_type: Option<u8>,
    /// `ack`, `nack`, `ccm`, `trr-int`...
    pub kind: Str,
    /// What else is said of it, as it is written: `pli`, `rpsi`, a number of milliseconds.
    pub parameters: Option<Str>,
}

impl Value for Feedback {
    const NAME: &'static str = "rtcp-fb";

    fn parse(value: &str) -> Option<Feedback> {
        let (number_of, rest) = value.split_once(' ')?;
        let payload_type = if number_of == "*" { None } else { Some(payload_type(number_of)?) };
        let (kind, parameters) = rest.split_once(' ').map_or((rest, ""), |(kind, rest)| (kind, rest.trim_matches(' ')));
        let parameters = if parameters.is_empty() { None } else { Some(line(parameters)?) };
        Some(Feedback { payload_type, kind: word(kind)?, parameters })
    }
}

impl fmt::Display for Feedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(payload_type) => write!(f, "{payload_type} {}", self.kind)?,
            None => write!(f, "* {}", self.kind)?,
        }
        self.parameters.as_ref().map_or(Ok(()), |parameters| write!(f, " {parameters}"))
    }
}

/// `a=extmap` (RFC 8285 §8): a header extension of RTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extmap {
    /// Its local number: 1 to 255 in packets, 4096 to 4351 in offers that have more than there are numbers.
    pub id: u16,
    /// Which way it is used, as who wrote it sees it; both ways where that is not said.
    pub direction: Option<Direction>,
    /// Which one it is.
    pub uri: Str,
    /// What else is said of it, as it is written.
    pub attributes: Option<Str>,
}

impl Extmap {
    /// Those of a media description, and those of all media.
    pub fn of_media<'a>(media: &'a Attributes, session: &'a Attributes) -> impl Iterator<Item = Extmap> + 'a {
        Extmap::all(media).chain(Extmap::all(session))
    }
}

impl Value for Extmap {
    const NAME: &'static str = "extmap";

    fn parse(value: &str) -> Option<Extmap> {
        let (entry, rest) = value.split_once(' ')?;
        let (id, direction) = match entry.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::from_name(direction)?)),
            None => (entry, None),
        };
        let (uri, attributes) = rest.split_once(' ').map_or((rest, ""), |(uri, rest)| (uri, rest.trim_matches(' ')));
        let attributes = if attributes.is_empty() { None } else { Some(line(attributes)?) };
        let id = number(id).filter(|id| matches!(id, 1..=255 | 4096..=4351))?;
        Some(Extmap { id, direction, uri: visible(uri)?, attributes })
    }
}

impl fmt::Display for Extmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.direction.map_or(Ok(()), |direction| write!(f, "/{}", direction.name()))?;
        write!(f, " {}", self.uri)?;
        self.attributes.as_ref().filter(|text| is_line(text)).map_or(Ok(()), |attributes| write!(f, " {attributes}"))
    }
}
