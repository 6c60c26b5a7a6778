//! XEP-0092: Software Version.

use super::element;
use crate::ns;
use xml::Element;

/// What software an entity runs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The operating system, where that is told (§6 advises against it).
    pub os: Option<String>,
}

impl Version {
    /// Whether `e` asks for the version.
    pub fn is_query(e: &Element) -> bool {
        e.is("query", ns::VERSION)
    }

    /// Reads an answer.
    pub fn parse(e: &Element) -> Option<Version> {
        let field = |name| e.child(name, ns::VERSION).map(|c| c.text().into_owned());
        if !Version::is_query(e) {
            return None;
        }
        Some(Version { name: field("name")?, version: field("version")?, os: field("os") })
    }

    /// Writes an answer.
    pub fn to_element(&self) -> Element {
        let field = |name, text: &str| element(name, ns::VERSION).with_text(text);
        let e = element("query", ns::VERSION)
            .with_child(field("name", &self.name))
            .with_child(field("version", &self.version));
        match &self.os {
            Some(os) => e.with_child(field("os", os)),
            None => e,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let v = Version { name: "Exodus".into(), version: "0.7.0.4".into(), os: None };
        assert_eq!(Version::parse(&v.to_element()), Some(v.clone()));
        let v = Version { os: Some("Windows-XP".into()), ..v };
        assert_eq!(Version::parse(&v.to_element()), Some(v));
        assert_eq!(Version::parse(&element("query", ns::VERSION)), None);
        assert!(Version::is_query(&element("query", ns::VERSION)));
    }
}
