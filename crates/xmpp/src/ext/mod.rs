//! Extensions: one file per XEP, each a typed view of its elements: `parse` reads one, `to_element` writes it.

pub mod caps;
pub mod carbons;
pub mod chatstates;
pub mod delay;
pub mod disco;
pub mod hints;
pub mod markers;
pub mod nick;
pub mod ping;
pub mod receipts;
pub mod vcard;
pub mod version;
pub mod xhtml_im;

use base::Str;
use xml::Element;

/// An element of ours: names and namespaces are constants and cost nothing to copy.
fn element(name: &'static str, ns: &'static str) -> Element {
    Element::new(Str::const_new(name), Str::const_new(ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an element and reads it back, as the other side of a stream would.
    pub(super) fn over_the_wire(e: &Element) -> Element {
        Element::parse(&xml::write_document(e), &xml::Limits::default()).expect("the writer writes well-formed XML")
    }
}
