//! `text/html` of SIP and XHTML-IM of XMPP (XEP-0071), each cleaned on its way to the other (RFC 7572 §7).
//!
//! Nothing of a document is passed on but what is built here anew, from a list of what is allowed: an element, attribute,
//! style or link that is not on it never enters the tree, whatever the bytes around it look like to somebody else's
//! parser. Nothing is fetched, and nothing is passed on that makes a receiver fetch without being asked: of an image
//! its alternative text remains.
//!
//! The tags come from html5ever's tokenizer; its tree is ours. The tree that the HTML standard builds (and with it the
//! cleaners that stand on it) is not bounded by its input: 26 KB of `<b id=…>` and `</p><p>` took 500 MB and two
//! seconds. Ours is bounded in depth, elements and attributes, and is built in linear time.

mod build;
mod link;
mod plain;
mod print;
mod rules;
mod style;
mod tokens;

use crate::Error;
use build::Builder;
use xml::{Element, Node};

/// The largest document that is read, in bytes. The tokenizer compares each attribute of a tag with those before it.
pub const MAX_BYTES: usize = 65_536;

/// The most elements that are kept; the text of the others is.
pub const MAX_ELEMENTS: usize = 2_000;

/// How deep elements may lie within the body; the text of deeper ones is kept.
pub const MAX_DEPTH: usize = 24;

/// The namespace of the wrapper (XEP-0071 §5).
pub const XHTML_IM_NS: &str = "http://jabber.org/protocol/xhtml-im";

/// The namespace of what it wraps.
pub const XHTML_NS: &str = "http://www.w3.org/1999/xhtml";

/// A clean document: a body with only what XEP-0071 §6 allows and §7 recommends for attributes and styles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Html {
    body: Element,
}

impl Html {
    /// Reads and cleans an HTML document or a piece of one. Any text is HTML.
    ///
    /// # Errors
    /// TooBig: more than [`MAX_BYTES`].
    pub fn parse(html: &str) -> Result<Html, Error> {
        if html.len() > MAX_BYTES {
            return Err(Error::TooBig { what: "bytes of HTML", limit: MAX_BYTES });
        }
        Ok(Html { body: tokens::read(html) })
    }

    /// Cleans the XHTML of a stanza: the wrapper `<html xmlns='http://jabber.org/protocol/xhtml-im'/>`, of which the first
    /// body is taken, or one of its bodies. Elements of other namespaces are dropped with what they hold. None if there is
    /// no body.
    pub fn from_xhtml_im(element: &Element) -> Option<Html> {
        let source = if element.is("html", XHTML_IM_NS) { element.child("body", XHTML_NS)? } else { element };
        if !source.is("body", XHTML_NS) {
            return None;
        }
        let mut builder = Builder::new(false);
        builder.start("body", &|name| source.attr(name).map(str::to_owned), false);
        // No recursion: the element may come from elsewhere than our reader, as deep as it likes.
        let mut open = vec![("body", source.children.iter())];
        while let Some((name, children)) = open.last_mut() {
            match children.next() {
                Some(Node::Text(text)) => builder.text(text),
                Some(Node::Element(e)) if e.ns == XHTML_NS => {
                    builder.start(&e.name, &|name| e.attr(name).map(str::to_owned), false);
                    open.push((&e.name, e.children.iter()));
                }
                Some(Node::Element(_)) => {}
                None => {
                    builder.end(name);
                    open.pop();
                }
            }
        }
        let mut body = builder.finish();
        if let Some(lang) = source.lang().filter(|l| is_language(l)) {
            body = body.with_lang(lang);
        }
        Some(Html { body })
    }

    /// Whether there is nothing to see: then the plain text should go alone.
    pub fn is_empty(&self) -> bool {
        self.body.children.is_empty()
    }

    /// The element for a stanza, beside the plain text (XEP-0071 §8).
    pub fn to_xhtml_im(&self) -> Element {
        Element::new("html", XHTML_IM_NS).with_child(self.body.clone())
    }

    /// What it says, as plain text with LF line ends: blocks on lines of their own, lists with marks, quotations behind
    /// `>`, the targets of links behind their text.
    pub fn to_text(&self) -> String {
        plain::render(&self.body)
    }

    /// A whole HTML document, for a body of type `text/html; charset=utf-8`.
    pub fn to_document(&self) -> String {
        print::document(&self.body)
    }
}

/// XEP-0071 of an HTML document; None where nothing is to be seen in it.
///
/// # Errors
/// As [`Html::parse`].
pub fn to_xhtml_im(html: &str) -> Result<Option<Element>, Error> {
    let html = Html::parse(html)?;
    Ok(if html.is_empty() { None } else { Some(html.to_xhtml_im()) })
}

/// The plain text of an HTML document.
///
/// # Errors
/// As [`Html::parse`].
pub fn to_text(html: &str) -> Result<String, Error> {
    Html::parse(html).map(|html| html.to_text())
}

/// An HTML document of XEP-0071's wrapper element, cleaned again; None where nothing is to be seen in it.
pub fn from_xhtml_im(element: &Element) -> Option<String> {
    Html::from_xhtml_im(element).filter(|html| !html.is_empty()).map(|html| html.to_document())
}

fn is_language(s: &str) -> bool {
    s.len() <= 64 && s.split('-').all(|g| (1..=8).contains(&g.len()) && g.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests;
