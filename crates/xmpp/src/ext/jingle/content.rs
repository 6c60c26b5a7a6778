//! `<content/>`: one stream of a session, what it carries and how.

use super::read::{self, Read, Str};
use super::{Ice, MAX_CONTENTS, RawUdp, Rtp};
use crate::error::conditions;
use crate::ext::element;
use crate::ns;
use base::Syntax;
use std::fmt;
use xml::Element;

conditions! {
    /// Which side of the session made a content (XEP-0166 §7.3).
    Creator {
        /// Who began the session.
        Initiator = "initiator",
        /// Who was called.
        Responder = "responder",
    }
}

conditions! {
    /// Who sends in a content (XEP-0166 §7.3).
    Senders {
        /// Both: what it means not to say anything.
        Both = "both",
        /// Only who began the session.
        Initiator = "initiator",
        /// Only who was called.
        Responder = "responder",
        /// Nobody.
        None = "none",
    }
}

/// One stream of a session, or what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Who made it: with the name it is the content's whole name.
    pub creator: Creator,
    /// Its name, 1 to [`super::MAX_NAME`] bytes of anything but control characters.
    pub name: Str,
    /// Who sends. Not there in a content-modify is as good as [`Senders::Both`], in other changes it says nothing.
    pub senders: Option<Senders>,
    /// How it is to be understood; not there: as part of the session.
    pub disposition: Option<Str>,
    /// What it carries.
    pub description: Option<Description>,
    /// How.
    pub transport: Option<Transport>,
    /// What else is said of it, such as `<security/>`.
    pub other: Vec<Element>,
}

/// What a content carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// RTP (XEP-0167).
    Rtp(Box<Rtp>),
    /// Something else: files, data channels.
    Other(Element),
}

/// How a content is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// ICE (XEP-0176 and XEP-0371).
    Ice(Box<Ice>),
    /// UDP without ICE (XEP-0177).
    RawUdp(RawUdp),
    /// Something else.
    Other(Element),
}

/// Contents that belong together (XEP-0338).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In which sense: `BUNDLE`, `LS`.
    pub semantics: Str,
    /// The names of the contents, at most [`MAX_CONTENTS`].
    pub contents: Vec<Str>,
}

impl Content {
    /// A content of which nothing is said.
    pub fn new(creator: Creator, name: impl Into<Str>) -> Content {
        Content {
            creator,
            name: name.into(),
            senders: None,
            disposition: None,
            description: None,
            transport: None,
            other: Vec::new(),
        }
    }

    /// Sets who sends.
    #[must_use]
    pub fn with_senders(mut self, senders: Senders) -> Content {
        self.senders = Some(senders);
        self
    }

    /// Sets what it carries.
    #[must_use]
    pub fn with_description(mut self, description: Description) -> Content {
        self.description = Some(description);
        self
    }

    /// Sets how.
    #[must_use]
    pub fn with_transport(mut self, transport: Transport) -> Content {
        self.transport = Some(transport);
        self
    }

    /// The RTP that it carries, if it carries RTP.
    pub fn rtp(&self) -> Option<&Rtp> {
        match self.description.as_ref()? {
            Description::Rtp(rtp) => Some(rtp),
            Description::Other(_) => None,
        }
    }

    /// The ICE that carries it, if ICE does.
    pub fn ice(&self) -> Option<&Ice> {
        match self.transport.as_ref()? {
            Transport::Ice(ice) => Some(ice),
            Transport::RawUdp(_) | Transport::Other(_) => None,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(e: &Element) -> Read<Content> {
        let name = read::name(e.attr("name").ok_or(Syntax("a content without a name"))?)?;
        // The specification wants a creator, and programs are older than it.
        let creator = match e.attr("creator") {
            None => Creator::Initiator,
            Some(creator) => Creator::from_name(creator).ok_or(Syntax("an unknown creator"))?,
        };
        let senders = match e.attr("senders") {
            None | Some("") => None,
            Some(senders) => Some(Senders::from_name(senders).ok_or(Syntax("unknown senders"))?),
        };
        let mut content =
            Content { senders, disposition: read::word(e, "disposition")?, ..Content::new(creator, name) };
        for child in e.elements() {
            match child.name.as_str() {
                "description" if content.description.is_none() => {
                    content.description = Some(Description::parse(child)?);
                }
                "transport" if content.transport.is_none() => content.transport = Some(Transport::parse(child)?),
                "description" | "transport" => return Err(Syntax("two descriptions or transports in a content")),
                _ => read::keep(&mut content.other, child),
            }
        }
        Ok(content)
    }

    pub(super) fn to_element(&self) -> Element {
        let mut e = element("content", ns::JINGLE);
        e.set_attr("creator", Str::const_new(self.creator.name()));
        if let Some(disposition) = &self.disposition {
            e.set_attr("disposition", disposition.clone());
        }
        e.set_attr("name", self.name.clone());
        if let Some(senders) = self.senders {
            e.set_attr("senders", Str::const_new(senders.name()));
        }
        self.description.iter().for_each(|description| e.push(description.to_element()));
        self.transport.iter().for_each(|transport| e.push(transport.to_element()));
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }
}

impl Description {
    fn parse(e: &Element) -> Read<Description> {
        Ok(match e.ns.as_str() {
            ns::RTP => Description::Rtp(Box::new(Rtp::parse(e)?)),
            _ => Description::Other(e.clone()),
        })
    }

    fn to_element(&self) -> Element {
        match self {
            Description::Rtp(rtp) => rtp.to_element(),
            Description::Other(e) => e.clone(),
        }
    }
}

impl Transport {
    fn parse(e: &Element) -> Read<Transport> {
        Ok(match e.ns.as_str() {
            ns::ICE_UDP | ns::ICE => Transport::Ice(Box::new(Ice::parse(e)?)),
            ns::RAW_UDP => Transport::RawUdp(RawUdp::parse(e)?),
            _ => Transport::Other(e.clone()),
        })
    }

    fn to_element(&self) -> Element {
        match self {
            Transport::Ice(ice) => ice.to_element(),
            Transport::RawUdp(raw) => raw.to_element(),
            Transport::Other(e) => e.clone(),
        }
    }
}

impl Group {
    pub(super) fn parse(e: &Element) -> Read<Group> {
        let semantics = read::required(read::word(e, "semantics")?, "a group without semantics")?;
        let mut contents = Vec::new();
        // Some write the contents in the namespace of Jingle.
        for child in e.elements().filter(|c| c.name == "content") {
            let name = child.attr("name").ok_or(Syntax("a content of a group without a name"))?;
            read::add(&mut contents, read::name(name)?, MAX_CONTENTS)?;
        }
        Ok(Group { semantics, contents })
    }

    pub(super) fn to_element(&self) -> Element {
        let e = element("group", ns::GROUPING).with_attr("semantics", self.semantics.clone());
        self.contents
            .iter()
            .fold(e, |e, name| e.with_child(element("content", ns::GROUPING).with_attr("name", name.clone())))
    }
}
