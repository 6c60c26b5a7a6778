//! XEP-0421: Anonymous unique occupant identifiers for MUCs. It counts only where the room says that it gives them (disco feature
//! [`ns::OCCUPANT_ID`]): else an occupant may have written it (§4).

use super::element;
use crate::ns;
use crate::stanza::Stanza;
use base::Str;
use xml::Element;

/// The most characters of one (§4.1).
pub const MAX_CHARS: usize = 128;

/// What a room calls a user, whatever nickname he goes by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OccupantId(pub Str);

impl OccupantId {
    /// Reads it. An empty one and one that is too long are none.
    pub fn parse(e: &Element) -> Option<OccupantId> {
        if !e.is("occupant-id", ns::OCCUPANT_ID) {
            return None;
        }
        let id = e.attr("id").filter(|id| !id.is_empty() && id.chars().nth(MAX_CHARS).is_none())?;
        Some(OccupantId(id.into()))
    }

    /// The one in a stanza: None where there are several (§4).
    pub fn of(stanza: &Stanza) -> Option<OccupantId> {
        let mut all = stanza.elements().filter(|e| e.is("occupant-id", ns::OCCUPANT_ID));
        match (all.next(), all.next()) {
            (Some(e), None) => OccupantId::parse(e),
            (_, _) => None,
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        element("occupant-id", ns::OCCUPANT_ID).with_attr("id", self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let id = OccupantId("dd72603deec90a38ba552f7c68cbcc61bca202cd".into());
        assert_eq!(OccupantId::parse(&id.to_element()), Some(id.clone()));
        let once = Stanza::presence().with_child(id.to_element());
        assert_eq!(OccupantId::of(&once), Some(id.clone()));
        assert_eq!(OccupantId::of(&once.with_child(id.to_element())), None);
        assert_eq!(OccupantId::of(&Stanza::presence()), None);
        assert_eq!(OccupantId::parse(&element("occupant-id", ns::OCCUPANT_ID)), None);
        assert_eq!(OccupantId::parse(&OccupantId(Str::default()).to_element()), None);
        let of = |n| OccupantId("é".repeat(n).into());
        assert_eq!(OccupantId::parse(&of(128).to_element()), Some(of(128)));
        assert_eq!(OccupantId::parse(&of(129).to_element()), None);
    }
}
