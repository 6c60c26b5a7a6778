//! XEP-0317: Hats. Only read: who wears which is the room's to say.

use super::words;
use crate::ns;
use base::Str;
use xml::Element;

/// The most hats that anybody is seen to wear.
pub const MAX_HATS: usize = 16;

/// A title that an occupant bears, apart from role and affiliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hat {
    /// What it is.
    pub uri: Str,
    /// What it is called.
    pub title: String,
}

/// The hats in a `<hats/>` of a presence, at most [`MAX_HATS`]; None if `e` is something else. What lacks a URI or a title is left out.
/// Only what the room itself says counts: whoever reads must know that it takes the element away from what occupants send
/// (disco feature [`ns::HATS`]).
pub fn parse(e: &Element) -> Option<Vec<Hat>> {
    if !e.is("hats", ns::HATS) {
        return None;
    }
    let hat = |e: &Element| Some(Hat { uri: e.attr("uri")?.into(), title: words(e.attr("title")?)? });
    Some(e.elements().filter(|e| e.is("hat", ns::HATS)).filter_map(hat).take(MAX_HATS).collect())
}

#[cfg(test)]
mod tests {
    use super::super::element;
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        // §3.1, in short.
        let text = "<hats xmlns='urn:xmpp:hats:0'><hat title='Host' uri='http://schemas.example.com/hats#host' xml:lang='en-us'>\
                    <badge xmlns='urn:example:badges' level='3'/></hat><hat title=' ' uri='x'/><hat title='y'/>\
                    <hat title='Presenter' uri='http://schemas.example.com/hats#presenter'/></hats>";
        let e = Element::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed");
        let hat = |uri: &str, title: &str| Hat { uri: uri.into(), title: title.into() };
        let (host, presenter) = ("http://schemas.example.com/hats#host", "http://schemas.example.com/hats#presenter");
        assert_eq!(parse(&e), Some(vec![hat(host, "Host"), hat(presenter, "Presenter")]));
        assert_eq!(parse(&element("hats", ns::CLIENT)), None);
    }

    #[test]
    fn nobody_wears_too_many() {
        let hat = || element("hat", ns::HATS).with_attr("uri", "u").with_attr("title", "t");
        let all = (0..100).fold(element("hats", ns::HATS), |e, _| e.with_child(hat()));
        assert_eq!(parse(&all).map(|hats| hats.len()), Some(MAX_HATS));
    }
}
