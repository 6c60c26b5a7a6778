//! XEP-0071: XHTML-IM. Only where it is; what it says and which of it may pass is for whoever reads bodies.

use super::element;
use crate::ns;
use xml::Element;

/// The XHTML bodies in an `<html/>` element, one for each language (§5); none if `e` is no such element.
pub fn bodies(e: &Element) -> impl Iterator<Item = &Element> {
    e.elements().filter(|b| e.is("html", ns::XHTML_IM) && b.is("body", ns::XHTML))
}

/// The `<html/>` element around XHTML bodies.
pub fn html(bodies: impl IntoIterator<Item = Element>) -> Element {
    bodies.into_iter().fold(element("html", ns::XHTML_IM), Element::with_child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let body = element("body", ns::XHTML).with_child(element("p", ns::XHTML).with_text("hi"));
        let html = html([body.clone()]).with_child(element("body", ns::CLIENT));
        assert!(bodies(&html).eq([&body]));
        assert_eq!(bodies(&element("html", ns::XHTML).with_child(body)).count(), 0);
    }
}
