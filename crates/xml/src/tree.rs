//! Elements as values.

use crate::XML_NS;
use base::Str;
use std::borrow::Cow;

/// An element: an expanded name, attributes in their order, children in theirs. Namespace declarations are no
/// attributes; prefixes are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The local name.
    pub name: Str,
    /// The namespace name; empty for none.
    pub ns: Str,
    /// The attributes, each expanded name at most once.
    pub attrs: Vec<Attr>,
    /// Elements and text. What the reader makes has no empty and no adjacent texts.
    pub children: Vec<Node>,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The local name.
    pub name: Str,
    /// The namespace name; empty for an attribute without a prefix.
    pub ns: Str,
    /// The value, references resolved.
    pub value: Str,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, references resolved.
    Text(Str),
}

impl Node {
    /// The element, if this is one.
    pub fn as_element(&self) -> Option<&Element> {
        match self {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        }
    }
}

impl Element {
    /// An element without attributes and children.
    pub fn new(name: impl Into<Str>, ns: impl Into<Str>) -> Element {
        Element { name: name.into(), ns: ns.into(), attrs: Vec::new(), children: Vec::new() }
    }

    /// Sets an attribute without a namespace.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<Str>) -> Element {
        self.set_attr(name, value);
        self
    }

    /// Adds a child.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Element {
        self.children.push(Node::Element(child));
        self
    }

    /// Adds text.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Element {
        self.push_text(text);
        self
    }

    /// Sets `xml:lang`.
    #[must_use]
    pub fn with_lang(mut self, lang: impl Into<Str>) -> Element {
        self.set_attr_ns("lang", XML_NS, lang);
        self
    }

    /// The value of an attribute without a namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns(name, "")
    }

    /// The value of an attribute.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&str> {
        self.attrs.iter().find(|a| a.name == name && a.ns == ns).map(|a| a.value.as_str())
    }

    /// Sets an attribute without a namespace.
    pub fn set_attr(&mut self, name: &str, value: impl Into<Str>) {
        self.set_attr_ns(name, "", value);
    }

    /// Sets an attribute.
    pub fn set_attr_ns(&mut self, name: &str, ns: &str, value: impl Into<Str>) {
        let value = value.into();
        match self.attrs.iter_mut().find(|a| a.name == name && a.ns == ns) {
            Some(a) => a.value = value,
            None => self.attrs.push(Attr { name: name.into(), ns: ns.into(), value }),
        }
    }

    /// The element's own `xml:lang`; what it inherits is the caller's to know.
    pub fn lang(&self) -> Option<&str> {
        self.attr_ns("lang", XML_NS)
    }

    /// Whether this is the expanded name.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The first child element of that name.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.elements().find(|e| e.is(name, ns))
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(Node::as_element)
    }

    /// The element's own text: its text children joined, without that of its child elements.
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.children.iter().filter_map(|n| match n {
            Node::Text(t) => Some(t.as_str()),
            Node::Element(_) => None,
        });
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// About how many bytes it takes in memory, with all that is in it.
    pub fn weight(&self) -> usize {
        let mut bytes = 0;
        let mut rest = vec![self];
        while let Some(element) = rest.pop() {
            bytes += size_of::<Element>() + element.name.len() + element.ns.len();
            bytes += element.attrs.iter().map(|a| size_of::<Attr>() + a.value.len()).sum::<usize>();
            for child in &element.children {
                match child {
                    Node::Element(child) => rest.push(child),
                    Node::Text(text) => bytes += text.len(),
                }
            }
        }
        bytes
    }

    /// Adds a child.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// Adds text, to the last child if that is text. Empty text adds nothing.
    pub fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(t)) => t.push_str(text),
            Some(Node::Element(_)) => self.children.push(Node::Text(text.into())),
            None => {
                // Most elements that hold text hold nothing else.
                self.children.reserve_exact(1);
                self.children.push(Node::Text(text.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_and_asking() {
        let e = Element::new("message", "jabber:client")
            .with_attr("id", "1")
            .with_attr("id", "2")
            .with_lang("de")
            .with_child(Element::new("body", "urn:evil").with_text("bad"))
            .with_text("a")
            .with_text("")
            .with_text("b")
            .with_child(Element::new("body", "jabber:client").with_text("good"))
            .with_text("c");
        assert_eq!(e.attrs.len(), 2);
        assert_eq!(e.attr("id"), Some("2"));
        assert_eq!(e.attr("lang"), None);
        assert_eq!(e.lang(), Some("de"));
        assert_eq!(e.children.len(), 4);
        assert_eq!(e.text(), "abc");
        assert_eq!(e.elements().count(), 2);
        assert_eq!(e.child("body", "jabber:client").map(|b| b.text().into_owned()), Some("good".to_owned()));
        assert_eq!(e.child("body", ""), None);
    }
}
