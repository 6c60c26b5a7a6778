//! What happens in a call (XEP-0167 §8).

use super::Creator;
use super::read::{self, Read, Str};
use crate::ext::element;
use crate::ns;
use base::Syntax;
use xml::Element;

/// What a session-info tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info {
    /// The call goes on; nobody is muted any more, nor the call on hold.
    Active,
    /// The sender does not listen: the call is on hold.
    Hold,
    /// He listens again.
    Unhold,
    /// The sender sends nothing, though he listens.
    Mute {
        /// Who made the content.
        creator: Creator,
        /// Which content; not there: all of that creator.
        name: Option<Str>,
    },
    /// He sends again.
    Unmute {
        /// Who made the content.
        creator: Creator,
        /// Which content; not there: all of that creator.
        name: Option<Str>,
    },
    /// A device rings.
    Ringing,
    /// Something that is none of these: tones ([`crate::ext::dtmf`]), a transfer ([`crate::ext::transfer`]), a conference ([`crate::ext::coin`]).
    Other(Element),
}

impl Info {
    /// Reads what XEP-0167 knows; none if it is something else.
    pub(super) fn parse(e: &Element) -> Read<Option<Info>> {
        if e.ns != ns::RTP_INFO {
            return Ok(None);
        }
        Ok(Some(match e.name.as_str() {
            "active" => Info::Active,
            "hold" => Info::Hold,
            "unhold" => Info::Unhold,
            "ringing" => Info::Ringing,
            "mute" | "unmute" => {
                let creator = match e.attr("creator") {
                    None => Creator::Initiator,
                    Some(creator) => Creator::from_name(creator).ok_or(Syntax("an unknown creator"))?,
                };
                let name = e.attr("name").filter(|n| !n.is_empty()).map(read::name).transpose()?;
                if e.name == "mute" { Info::Mute { creator, name } } else { Info::Unmute { creator, name } }
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn to_element(&self) -> Element {
        let empty = |name| element(name, ns::RTP_INFO);
        let of_content = |of, creator: &Creator, name: &Option<Str>| {
            let e = empty(of).with_attr("creator", Str::const_new(creator.name()));
            name.iter().fold(e, |e, name| e.with_attr("name", name.clone()))
        };
        match self {
            Info::Active => empty("active"),
            Info::Hold => empty("hold"),
            Info::Unhold => empty("unhold"),
            Info::Mute { creator, name } => of_content("mute", creator, name),
            Info::Unmute { creator, name } => of_content("unmute", creator, name),
            Info::Ringing => empty("ringing"),
            Info::Other(e) => e.clone(),
        }
    }
}
