//! XEP-0167: RTP, with its feedback (XEP-0293), the extensions of its headers (XEP-0294), its sources (XEP-0339) and its keys (XEP-0262).

mod encryption;
mod payload;
mod source;

pub use encryption::{Crypto, Encryption, ZrtpHash};
pub use payload::{Feedback, Parameter, Payload};
pub use source::{Source, SourceGroup};

use super::read::{self, Read, Str};
use super::{MAX_LIST, MAX_SOURCES, Senders};
use crate::ext::element;
use crate::ns;
use base::{Syntax, format_compact};
use payload::{Parameters, interval, parameters, write_interval};
use xml::Element;

/// What one side says of an RTP stream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rtp {
    /// What can be heard or seen: `audio`, `video`.
    pub media: Str,
    /// The source that is going to send, if that is told in the old way.
    pub ssrc: Option<Str>,
    /// What it can be encoded in, best first; no number twice, so at most 128.
    pub payloads: Vec<Payload>,
    /// How it is encrypted, where that is agreed on here.
    pub encryption: Option<Encryption>,
    /// How much it may take.
    pub bandwidths: Vec<Bandwidth>,
    /// RTP and RTCP can share a port.
    pub rtcp_mux: bool,
    /// What its receiver tells, whatever the payload.
    pub rtcp_fb: Vec<Feedback>,
    /// The shortest time between two full reports in milliseconds, whatever the payload.
    pub trr_int: Option<u32>,
    /// Extensions of its headers.
    pub extensions: Vec<Extension>,
    /// Extensions with short and with long headers can be mixed (RFC 8285 §6).
    pub extmap_allow_mixed: bool,
    /// Its sources, at most [`MAX_SOURCES`].
    pub sources: Vec<Source>,
    /// Which of them belong together.
    pub source_groups: Vec<SourceGroup>,
    /// What else is said of it.
    pub other: Vec<Element>,
}

/// How much a stream may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of what: `AS`, `TIAS`.
    pub kind: Str,
    /// How much, in the unit of its kind.
    pub value: Str,
}

/// An extension of RTP's headers (XEP-0294).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The number that stands for it: 1 to 255, or 4096 to 4351 for one that may still get another.
    pub id: u16,
    /// Which.
    pub uri: Str,
    /// Who sends it; not there: both.
    pub senders: Option<Senders>,
    /// How.
    pub parameters: Vec<Parameter>,
}

impl Rtp {
    /// A stream of that kind of which nothing is said.
    pub fn new(media: impl Into<Str>) -> Rtp {
        Rtp { media: media.into(), ..Rtp::default() }
    }

    /// The payload of that number.
    pub fn payload(&self, id: u8) -> Option<&Payload> {
        self.payloads.iter().find(|p| p.id == id)
    }

    pub(in crate::ext) fn parse(e: &Element) -> Read<Rtp> {
        let mut rtp = Rtp {
            ssrc: read::word(e, "ssrc")?,
            ..Rtp::new(read::required(read::word(e, "media")?, "a description without media")?)
        };
        for child in e.elements() {
            rtp.read(child)?;
        }
        Ok(rtp)
    }

    fn read(&mut self, e: &Element) -> Read<()> {
        match (e.name.as_str(), e.ns.as_str()) {
            ("payload-type", ns::RTP) => {
                let payload = Payload::parse(e)?;
                if self.payload(payload.id).is_some() {
                    return Err(Syntax("two payload types of one number"));
                }
                // A number has seven bits: there cannot be too many.
                self.payloads.push(payload);
            }
            ("encryption", ns::RTP) => {
                if self.encryption.is_some() {
                    return Err(Syntax("two encryptions"));
                }
                self.encryption = Some(Encryption::parse(e)?);
            }
            ("bandwidth", ns::RTP) => read::add(&mut self.bandwidths, Bandwidth::parse(e)?, MAX_LIST)?,
            ("rtcp-mux", ns::RTP) => self.rtcp_mux = true,
            ("rtcp-fb", ns::RTCP_FB) => read::add(&mut self.rtcp_fb, Feedback::parse(e)?, MAX_LIST)?,
            ("rtcp-fb-trr-int", ns::RTCP_FB) => self.trr_int = interval(e)?,
            ("rtp-hdrext", ns::RTP_HDREXT) => self.read_extension(e)?,
            ("extmap-allow-mixed", ns::RTP_HDREXT) => self.extmap_allow_mixed = true,
            ("source", ns::SSMA) => read::add(&mut self.sources, Source::parse(e)?, MAX_SOURCES)?,
            ("ssrc-group", ns::SSMA) => read::add(&mut self.source_groups, SourceGroup::parse(e)?, MAX_LIST)?,
            _ => read::keep(&mut self.other, e),
        }
        Ok(())
    }

    fn read_extension(&mut self, e: &Element) -> Read<()> {
        let extension = Extension::parse(e)?;
        if self.extensions.iter().any(|other| other.id == extension.id) {
            return Err(Syntax("two extensions of one number"));
        }
        read::add(&mut self.extensions, extension, MAX_LIST)
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("description", ns::RTP).with_attr("media", self.media.clone());
        if let Some(ssrc) = &self.ssrc {
            e.set_attr("ssrc", ssrc.clone());
        }
        self.payloads.iter().for_each(|payload| e.push(payload.to_element()));
        self.encryption.iter().for_each(|encryption| e.push(encryption.to_element()));
        self.bandwidths.iter().for_each(|bandwidth| e.push(bandwidth.to_element()));
        if self.rtcp_mux {
            e.push(element("rtcp-mux", ns::RTP));
        }
        self.rtcp_fb.iter().for_each(|feedback| e.push(feedback.to_element()));
        write_interval(&mut e, self.trr_int);
        self.extensions.iter().for_each(|extension| e.push(extension.to_element()));
        if self.extmap_allow_mixed {
            e.push(element("extmap-allow-mixed", ns::RTP_HDREXT));
        }
        self.sources.iter().for_each(|source| e.push(source.to_element()));
        self.source_groups.iter().for_each(|group| e.push(group.to_element()));
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl Bandwidth {
    fn parse(e: &Element) -> Read<Bandwidth> {
        let value = read::text(e)?;
        if value.is_empty() || value.bytes().any(|b| !b.is_ascii_digit()) {
            return Err(Syntax("not a bandwidth"));
        }
        Ok(Bandwidth { kind: read::required(read::word(e, "type")?, "a bandwidth without its type")?, value })
    }

    fn to_element(&self) -> Element {
        element("bandwidth", ns::RTP).with_attr("type", self.kind.clone()).with_text(&self.value)
    }
}

impl Extension {
    fn parse(e: &Element) -> Read<Extension> {
        let id = read::number(e, "id")?.filter(|id| *id > 0);
        let senders = match read::word(e, "senders")? {
            None => None,
            Some(senders) => Some(Senders::from_name(&senders).ok_or(Syntax("unknown senders of an extension"))?),
        };
        Ok(Extension {
            id: read::required(id, "an extension without its number")?,
            uri: read::required(read::word(e, "uri")?, "an extension without its name")?,
            senders,
            parameters: parameters(e, Parameters::Anywhere)?,
        })
    }

    fn to_element(&self) -> Element {
        let mut e = element("rtp-hdrext", ns::RTP_HDREXT)
            .with_attr("id", format_compact!("{}", self.id))
            .with_attr("uri", self.uri.clone());
        if let Some(senders) = self.senders {
            e.set_attr("senders", Str::const_new(senders.name()));
        }
        self.parameters.iter().for_each(|parameter| e.push(parameter.to_element(ns::RTP_HDREXT)));
        e
    }
}
