//! XEP-0131: Stanza Headers and Internet Metadata.

use super::element;
use crate::ns;
use base::Str;
use xml::Element;

/// Headers of another protocol, as they stand there: in messages and presence, and in what an iq has for its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shim(pub Vec<(Str, String)>);

impl Shim {
    /// Reads them; what has no name is left out.
    pub fn parse(e: &Element) -> Option<Shim> {
        if !e.is("headers", ns::SHIM) {
            return None;
        }
        let header = |e: &Element| Some((Str::from(e.attr("name")?), e.text().into()));
        Some(Shim(e.elements().filter(|e| e.is("header", ns::SHIM)).filter_map(header).collect()))
    }

    /// Writes them.
    pub fn to_element(&self) -> Element {
        let header = |(name, value): &(Str, String)| {
            element("header", ns::SHIM).with_attr("name", name.clone()).with_text(value)
        };
        self.0.iter().map(header).fold(element("headers", ns::SHIM), Element::with_child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let two = Shim(vec![("Keywords".into(), "shakespeare,<xmpp/>".into()), ("In-Reply-To".into(), String::new())]);
        assert_eq!(Shim::parse(&two.to_element()), Some(two.clone()));
        let odd = two.to_element().with_child(element("header", ns::SHIM)).with_child(element("header", ns::CLIENT));
        assert_eq!(Shim::parse(&odd), Some(two));
        assert_eq!(Shim::parse(&element("headers", ns::CLIENT)), None);
    }
}
