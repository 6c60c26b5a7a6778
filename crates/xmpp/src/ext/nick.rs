//! XEP-0172: User Nickname.

use super::element;
use crate::ns;
use xml::Element;

/// The name that a person goes by. It proves nothing: whoever shows it keeps it apart from the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nick(pub String);

impl Nick {
    /// Reads it; white space around it and an empty one say nothing.
    pub fn parse(e: &Element) -> Option<Nick> {
        if !e.is("nick", ns::NICK) {
            return None;
        }
        Some(e.text().trim().to_owned()).filter(|n| !n.is_empty()).map(Nick)
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        element("nick", ns::NICK).with_text(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let nick = Nick("Ishmael".to_owned());
        assert_eq!(Nick::parse(&nick.to_element()), Some(nick.clone()));
        assert_eq!(Nick::parse(&element("nick", ns::NICK).with_text("\n Ishmael ")), Some(nick));
        assert_eq!(Nick::parse(&element("nick", ns::NICK).with_text(" ")), None);
        assert_eq!(Nick::parse(&element("nick", ns::CLIENT).with_text("x")), None);
    }
}
