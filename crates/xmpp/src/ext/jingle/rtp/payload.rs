//! Payload types, their parameters, and what receivers of RTP tell of them.

use super::super::MAX_LIST;
use super::super::read::{self, Read, Str};
use crate::ext::element;
use crate::ns;
use base::{Syntax, format_compact};
use xml::Element;

/// The highest number of a payload type: RTP has seven bits for it.
const MAX_PAYLOAD: u8 = 127;

/// Something that a stream can be encoded in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Payload {
    /// Its number, 0 to 127.
    pub id: u8,
    /// Its name; it can be missing where the number says it all (RFC 3551).
    pub name: Option<Str>,
    /// Its clock in Hertz, never 0.
    pub clockrate: Option<u32>,
    /// Its channels, never 0; not there: one.
    pub channels: Option<u8>,
    /// How much a packet holds in milliseconds.
    pub ptime: Option<Str>,
    /// How much at most.
    pub maxptime: Option<Str>,
    /// What else the encoding wants to know.
    pub parameters: Vec<Parameter>,
    /// What its receiver tells.
    pub rtcp_fb: Vec<Feedback>,
    /// The shortest time between two full reports in milliseconds.
    pub trr_int: Option<u32>,
    /// What else is said of it.
    pub other: Vec<Element>,
}

/// A parameter. Of one that is not of the form `name=value` either half can be empty: programs differ in which.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Parameter {
    /// Which.
    pub name: Str,
    /// Its value.
    pub value: Str,
}

/// What a receiver of RTP tells its sender (XEP-0293).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Of what kind: `nack`, `ccm`, `transport-cc`.
    pub kind: Str,
    /// What of that kind: `pli`, `fir`.
    pub subtype: Option<Str>,
    /// What else is said of it.
    pub parameters: Vec<Parameter>,
}

/// In which namespace parameters stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameters {
    /// In that of descriptions.
    OfRtp,
    /// In whichever the writer took.
    Anywhere,
}

impl Payload {
    /// A payload type of which no more is said.
    pub fn new(id: u8, name: impl Into<Str>, clockrate: u32) -> Payload {
        Payload { id, name: Some(name.into()), clockrate: Some(clockrate), ..Payload::default() }
    }

    pub(super) fn parse(e: &Element) -> Read<Payload> {
        let id: u8 = read::required(read::number(e, "id")?, "a payload type without its number")?;
        if id > MAX_PAYLOAD {
            return Err(Syntax("no number of a payload type"));
        }
        let clockrate = read::number(e, "clockrate")?;
        if clockrate == Some(0) {
            return Err(Syntax("a clock that stands still"));
        }
        let mut payload = Payload {
            id,
            name: read::word(e, "name")?,
            clockrate,
            channels: read::number(e, "channels")?.filter(|n| *n > 0),
            ptime: read::word(e, "ptime")?,
            maxptime: read::word(e, "maxptime")?,
            parameters: parameters(e, Parameters::OfRtp)?,
            ..Payload::default()
        };
        for child in e.elements() {
            match (child.name.as_str(), child.ns.as_str()) {
                ("parameter", ns::RTP) => {}
                ("rtcp-fb", ns::RTCP_FB) => read::add(&mut payload.rtcp_fb, Feedback::parse(child)?, MAX_LIST)?,
                ("rtcp-fb-trr-int", ns::RTCP_FB) => payload.trr_int = interval(child)?,
                _ => read::keep(&mut payload.other, child),
            }
        }
        Ok(payload)
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("payload-type", ns::RTP);
        if let Some(channels) = self.channels {
            e.set_attr("channels", format_compact!("{channels}"));
        }
        if let Some(clockrate) = self.clockrate {
            e.set_attr("clockrate", format_compact!("{clockrate}"));
        }
        e.set_attr("id", format_compact!("{}", self.id));
        for (name, value) in [("maxptime", &self.maxptime), ("name", &self.name), ("ptime", &self.ptime)] {
            if let Some(value) = value {
                e.set_attr(name, value.clone());
            }
        }
        self.parameters.iter().for_each(|parameter| e.push(parameter.to_element(ns::RTP)));
        self.rtcp_fb.iter().for_each(|feedback| e.push(feedback.to_element()));
        write_interval(&mut e, self.trr_int);
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl Parameter {
    /// A parameter.
    pub fn new(name: impl Into<Str>, value: impl Into<Str>) -> Parameter {
        Parameter { name: name.into(), value: value.into() }
    }

    fn parse(e: &Element) -> Read<Parameter> {
        let name = read::word(e, "name")?.unwrap_or_default();
        let value = read::value(e, "value")?.unwrap_or_default();
        if name.is_empty() && value.is_empty() {
            return Err(Syntax("a parameter that is none"));
        }
        Ok(Parameter { name, value })
    }

    pub(super) fn to_element(&self, ns: &'static str) -> Element {
        element("parameter", ns).with_attr("name", self.name.clone()).with_attr("value", self.value.clone())
    }
}

impl Feedback {
    /// A kind of feedback, and what of that kind.
    pub fn new(kind: impl Into<Str>, subtype: Option<&str>) -> Feedback {
        Feedback { kind: kind.into(), subtype: subtype.map(Str::from), parameters: Vec::new() }
    }

    pub(super) fn parse(e: &Element) -> Read<Feedback> {
        Ok(Feedback {
            kind: read::required(read::word(e, "type")?, "feedback without its type")?,
            subtype: read::word(e, "subtype")?,
            parameters: parameters(e, Parameters::Anywhere)?,
        })
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("rtcp-fb", ns::RTCP_FB).with_attr("type", self.kind.clone());
        if let Some(subtype) = &self.subtype {
            e.set_attr("subtype", subtype.clone());
        }
        self.parameters.iter().for_each(|parameter| e.push(parameter.to_element(ns::RTCP_FB)));
        e
    }
}

/// The parameters among the children of an element.
pub(super) fn parameters(e: &Element, of: Parameters) -> Read<Vec<Parameter>> {
    let mut parameters = Vec::new();
    for child in e.elements().filter(|c| c.name == "parameter" && (of == Parameters::Anywhere || c.ns == ns::RTP)) {
        read::add(&mut parameters, Parameter::parse(child)?, MAX_LIST)?;
    }
    Ok(parameters)
}

/// `<rtcp-fb-trr-int/>`: what it does not say is 0 (XEP-0293 §3).
pub(super) fn interval(e: &Element) -> Read<Option<u32>> {
    Ok(Some(read::number(e, "value")?.unwrap_or(0)))
}

/// Adds it, where there is one.
pub(super) fn write_interval(e: &mut Element, interval: Option<u32>) {
    if let Some(interval) = interval {
        e.push(element("rtcp-fb-trr-int", ns::RTCP_FB).with_attr("value", format_compact!("{interval}")));
    }
}
