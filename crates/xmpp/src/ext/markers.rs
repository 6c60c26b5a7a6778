//! XEP-0333: Displayed Markers.

use super::element;
use crate::ns;
use base::Str;
use xml::Element;

/// Asking for markers, and giving them. The specification dropped `received` and `acknowledged`, but clients send them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The message with this in it may be marked.
    Markable,
    /// A device has the message of this id, and all before it.
    Received {
        /// The message's id.
        id: Str,
    },
    /// A person has seen it.
    Displayed {
        /// The message's id.
        id: Str,
    },
    /// A person has dealt with it.
    Acknowledged {
        /// The message's id.
        id: Str,
    },
}

impl Marker {
    /// Reads it. A marker that names no message is none.
    pub fn parse(e: &Element) -> Option<Marker> {
        if e.ns != ns::MARKERS {
            return None;
        }
        if e.name == "markable" {
            return Some(Marker::Markable);
        }
        let id = e.attr("id").filter(|id| !id.is_empty())?.into();
        match e.name.as_str() {
            "received" => Some(Marker::Received { id }),
            "displayed" => Some(Marker::Displayed { id }),
            "acknowledged" => Some(Marker::Acknowledged { id }),
            _ => None,
        }
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let (name, id) = match self {
            Marker::Markable => return element("markable", ns::MARKERS),
            Marker::Received { id } => ("received", id),
            Marker::Displayed { id } => ("displayed", id),
            Marker::Acknowledged { id } => ("acknowledged", id),
        };
        element(name, ns::MARKERS).with_attr("id", id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let id = || Str::from("1");
        let all = [
            Marker::Markable,
            Marker::Received { id: id() },
            Marker::Displayed { id: id() },
            Marker::Acknowledged { id: id() },
        ];
        for m in all {
            assert_eq!(Marker::parse(&m.to_element()), Some(m));
        }
        assert_eq!(Marker::parse(&element("displayed", ns::MARKERS)), None);
        assert_eq!(Marker::parse(&element("seen", ns::MARKERS).with_attr("id", "1")), None);
        assert_eq!(Marker::parse(&element("displayed", ns::RECEIPTS).with_attr("id", "1")), None);
    }
}
