//! What both sides say of the media of a call: Jingle contents (XEP-0167, 0176, 0177) and SDP (RFC 8866), draft §5 and §10.
//!
//! [`x2s`] and [`s2x`] are plain functions from one content to one media description and back; what concerns one thing stands in one place for
//! both directions: formats and their parameters, the stream, the transport. What the two do not have in common is left out, and never stands in
//! the way of a call: draft §5.4 and the comments here say what that is.

mod fmtp;
mod formats;
pub mod s2x;
pub mod scope;
mod stream;
mod transport;
pub mod x2s;

use crate::error::Refusal;

#[cfg(test)]
mod tests;

/// A session description that nothing can be agreed on with.
fn unfit(warning: u16, why: &'static str) -> Refusal {
    Refusal::NotAcceptableHere { warning, why }
}
