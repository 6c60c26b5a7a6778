//! The one XML reader and writer of the house: strict, bounded, and the same for streams (RFC 6120 §11) and for the
//! documents that SIP and MSRP carry (PIDF, is-composing, IMDN and their kin).
//!
//! Three things decide its shape. Nothing is resolved, fetched or expanded: no DTD, no entity but the five that XML
//! itself names. Every limit of [`Limits`] is checked before memory is taken for what it limits. And no byte is looked
//! at twice because the rest of it was late: an unfinished token remembers how far it was searched.
//!
//! Trees are as deep as [`Limits::depth`] allows, so writing, comparing and dropping them may recurse.

mod chars;
mod decl;
mod document;
mod error;
mod limits;
mod markup;
mod parse;
mod reader;
mod scope;
mod skip;
mod tag;
mod tree;
mod write;

pub use chars::{is_name, is_xml_char};
pub use error::Error;
pub use limits::Limits;
pub use reader::{Event, Reader};
pub use tree::{Attr, Element, Node};
pub use write::{escape_attr, escape_text, write, write_document, write_document_prefixed, write_rescoped};

/// The namespace that the prefix `xml` is bound to: `xml:lang` lives here (Namespaces in XML §3).
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";

/// The namespace of namespace declarations; nothing may be bound to it (Namespaces in XML §3).
pub(crate) const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";
