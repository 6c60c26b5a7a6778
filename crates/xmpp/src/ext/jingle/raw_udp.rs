//! XEP-0177: UDP without ICE.

use super::read::{self, Read, Str};
use super::{Fingerprint, MAX_CANDIDATES, MAX_LIST};
use crate::ext::element;
use crate::ns;
use base::format_compact;
use xml::Element;

/// Datagrams to an address that is simply told.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RawUdp {
    /// The addresses, one for each component, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<RawCandidate>,
    /// Keys that are proven by their fingerprints (XEP-0320).
    pub fingerprints: Vec<Fingerprint>,
    /// What else is said of it.
    pub other: Vec<Element>,
}

/// An address to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawCandidate {
    /// For what: 1 RTP, 2 RTCP.
    pub component: u8,
    /// How often it has changed.
    pub generation: u32,
    /// Its name; empty where it has none.
    pub id: Str,
    /// The address, as it was written: it may be a name.
    pub ip: Str,
    /// The port.
    pub port: u16,
    /// What kind of address, in the words of ICE, if that is told.
    pub kind: Option<Str>,
}

impl RawUdp {
    pub(super) fn parse(e: &Element) -> Read<RawUdp> {
        let mut raw = RawUdp::default();
        for child in e.elements() {
            match (child.name.as_str(), child.ns.as_str()) {
                ("candidate", ns::RAW_UDP) => {
                    let candidate = RawCandidate::parse(child)?;
                    if raw.candidates.len() < MAX_CANDIDATES {
                        raw.candidates.push(candidate);
                    }
                }
                ("fingerprint", ns::DTLS) => {
                    read::add(&mut raw.fingerprints, Fingerprint::parse(child)?, MAX_LIST)?;
                }
                _ => read::keep(&mut raw.other, child),
            }
        }
        Ok(raw)
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("transport", ns::RAW_UDP);
        self.fingerprints.iter().for_each(|fingerprint| e.push(fingerprint.to_element()));
        self.candidates.iter().for_each(|candidate| e.push(candidate.to_element()));
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl RawCandidate {
    fn parse(e: &Element) -> Read<RawCandidate> {
        Ok(RawCandidate {
            component: read::number(e, "component")?.unwrap_or(1),
            generation: read::number(e, "generation")?.unwrap_or(0),
            id: read::word(e, "id")?.unwrap_or_default(),
            ip: read::required(read::word(e, "ip")?, "a candidate without an address")?,
            port: read::required(read::number(e, "port")?, "a candidate without a port")?,
            kind: read::word(e, "type")?,
        })
    }

    fn to_element(&self) -> Element {
        let mut e = element("candidate", ns::RAW_UDP)
            .with_attr("component", format_compact!("{}", self.component))
            .with_attr("generation", format_compact!("{}", self.generation))
            .with_attr("id", self.id.clone())
            .with_attr("ip", self.ip.clone())
            .with_attr("port", format_compact!("{}", self.port));
        if let Some(kind) = &self.kind {
            e.set_attr("type", kind.clone());
        }
        e
    }
}
