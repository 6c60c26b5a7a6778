//! What SIP and MSRP carry, read and written: MIME types, character sets, multipart, CPIM, is-composing, disposition
//! notifications, presence, conferences, fragments of SIP, session descriptions and HTML. Everything here is a function from bytes to values
//! and back; a body is hostile until it is parsed, so each reader states its bounds and runs in time linear to its input.

pub mod charset;
pub mod conference;
pub mod cpim;
mod document;
mod error;
pub mod html;
pub mod imdn;
pub mod iscomposing;
pub mod mime;
pub mod multipart;
mod part;
pub mod pidf;
pub mod rpid;
pub mod sdp;
pub mod sipfrag;
pub mod text;
pub mod timestamp;
mod transfer;

pub use error::Error;
pub use part::{Content, Limits, Part};
pub use timestamp::Timestamp;
