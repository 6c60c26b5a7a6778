//! Extensions: one file per XEP, each a typed view of its elements: `parse` reads one, `to_element` writes it.

pub mod caps;
pub mod carbons;
pub mod chatstates;
pub mod coin;
pub mod commands;
pub mod delay;
pub mod disco;
pub mod dtmf;
pub mod forms;
pub mod gateway;
pub mod hats;
pub mod hints;
pub mod invitation;
pub mod jingle;
pub mod jmi;
pub mod markers;
pub mod moderation;
pub mod muc;
pub mod nick;
pub mod occupant_id;
pub mod ping;
pub mod privilege;
pub mod receipts;
pub mod register;
pub mod roster;
pub mod search;
pub mod self_ping;
pub mod shim;
pub mod stanza_id;
pub mod transfer;
pub mod vcard;
pub mod version;
pub mod xhtml_im;

use crate::jid::Jid;
use base::Str;
use xml::Element;

/// An element of ours: names and namespaces are constants and cost nothing to copy.
pub(crate) fn element(name: &'static str, ns: &'static str) -> Element {
    Element::new(Str::const_new(name), Str::const_new(ns))
}

/// A text for people: without the white space around it, None if that is all there is.
fn words(text: &str) -> Option<String> {
    Some(text.trim()).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// An address in an attribute. One that is none is as good as not there.
fn address(e: &Element, attr: &str) -> Option<Jid> {
    e.attr(attr).and_then(|jid| Jid::parse(jid).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an element and reads it back, as the other side of a stream would.
    pub(super) fn over_the_wire(e: &Element) -> Element {
        Element::parse(&xml::write_document(e), &xml::Limits::default()).expect("the writer writes well-formed XML")
    }
    /// An element as text, without the declaration of a document.
    pub(super) fn text(e: &Element) -> String {
        let whole = String::from_utf8(xml::write_document(e)).expect("UTF-8");
        whole.split_once("?>").map_or(whole.clone(), |(_, text)| text.to_owned())
    }
}
