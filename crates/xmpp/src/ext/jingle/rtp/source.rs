//! XEP-0339: sources of RTP.

use super::super::read::{self, Read, Str};
use super::super::{MAX_LIST, MAX_SOURCES};
use crate::ext::element;
use crate::ns;
use xml::Element;

/// A source of RTP and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its number, in digits as it was written.
    pub ssrc: Str,
    /// Its attributes, with a value or without one: `cname`, `msid`.
    pub parameters: Vec<(Str, Option<Str>)>,
}

/// Sources that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceGroup {
    /// In which sense: `FID`, `SIM`.
    pub semantics: Str,
    /// Their numbers, at most [`MAX_SOURCES`].
    pub sources: Vec<Str>,
}

impl Source {
    pub(super) fn parse(e: &Element) -> Read<Source> {
        let mut source = Source { ssrc: ssrc(e)?, parameters: Vec::new() };
        for child in e.elements().filter(|c| c.name == "parameter") {
            let name = read::required(read::word(child, "name")?, "an attribute of a source without its name")?;
            read::add(&mut source.parameters, (name, read::value(child, "value")?), MAX_LIST)?;
        }
        Ok(source)
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("source", ns::SSMA).with_attr("ssrc", self.ssrc.clone());
        for (name, value) in &self.parameters {
            let parameter = element("parameter", ns::SSMA).with_attr("name", name.clone());
            e.push(value.iter().fold(parameter, |e, value| e.with_attr("value", value.clone())));
        }
        e
    }
}

impl SourceGroup {
    pub(super) fn parse(e: &Element) -> Read<SourceGroup> {
        let semantics = read::required(read::word(e, "semantics")?, "a group without semantics")?;
        let mut sources = Vec::new();
        for child in e.elements().filter(|c| c.name == "source") {
            read::add(&mut sources, ssrc(child)?, MAX_SOURCES)?;
        }
        Ok(SourceGroup { semantics, sources })
    }

    pub(super) fn to_element(&self) -> Element {
        let e = element("ssrc-group", ns::SSMA).with_attr("semantics", self.semantics.clone());
        self.sources.iter().fold(e, |e, ssrc| e.with_child(element("source", ns::SSMA).with_attr("ssrc", ssrc.clone())))
    }
}

fn ssrc(e: &Element) -> Read<Str> {
    let digits = read::word(e, "ssrc")?.filter(|ssrc| ssrc.bytes().all(|b| b.is_ascii_digit()));
    read::required(digits, "a source without its number")
}
