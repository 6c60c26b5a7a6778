//! RFC 7247 §7: error conditions <-> status codes, and what the gateway itself refuses.
//!
//! [`table2`] and [`table3`] are the RFC's tables and nothing else; [`to_response`] and [`from_response`] put words and
//! addresses to them. A [`Refusal`] is the gateway's own, with a face for each side.

mod moved;
mod msrp;
mod phrase;
mod refusal;
mod tables;

use base::Str;
use sip::Response;
use sip::header::{Name, RetryAfter};
use std::fmt::Write as _;
use xmpp::error::{Condition, ErrorType, StanzaError};

pub use self::msrp::{is_for_good, stanza_to_msrp, to_msrp, undelivered};
pub(crate) use phrase::one_line;
pub use phrase::{reason_of_text, text_of_reason};
pub use refusal::Refusal;
pub use tables::{table2, table3};

/// The answer to a request that is no INVITE, for an error stanza: RFC 7247 §7.1.
///
/// `full` says whether the error relates to a full JID (a device) rather than a bare one (a user). Two rows of the table
/// are not for such requests: RFC 4320 §4.2 forbids 408, so that an agent drops it and the sender would wait in vain,
/// and 504 says the same; 491 is for requests that collide within a dialog, and the table's other choice is 400.
pub fn to_response(error: &StanzaError, full: bool) -> Response {
    let response = to_invite_response(error, full);
    match response.code {
        408 => Response::new(504, &reason(error)),
        491 => Response::new(400, &reason(error)),
        _ => response,
    }
}

/// The answer to an INVITE, for an error stanza: RFC 7247 §7.1 to the letter.
pub fn to_invite_response(error: &StanzaError, full: bool) -> Response {
    let contact = error.address.as_deref().and_then(moved::contact_of_address);
    let code = table2(error.condition, full, contact.is_some());
    let mut response = Response::new(code, &reason(error));
    // Note 3: 301 carries the new address and 410 never does.
    if let (301 | 302, Some(contact)) = (code, contact) {
        response.headers.push(Name::Contact, contact);
    }
    response
}

/// The error for a response of 300 to 699: RFC 7247 §7.2.
pub fn from_response(response: &Response) -> StanzaError {
    let mut error = StanzaError::new(table3(response.code));
    // Note 1: 301 carries the new address and 410 never does. What a 305 names is a proxy, not the recipient's address.
    if let 300..=304 | 306..=379 | 381..=399 = response.code {
        error.address = moved::address_of_contacts(&response.headers);
    }
    let mut text = text_of_reason(&response.reason);
    if let Some(seconds) = retry_after(response) {
        // XMPP has no field for it, but an error type that says as much.
        error.kind = match error.kind {
            ErrorType::Cancel | ErrorType::Wait | ErrorType::Continue => ErrorType::Wait,
            kind @ (ErrorType::Auth | ErrorType::Modify) => kind,
        };
        let gap = if text.is_empty() { "" } else { "; " };
        // Writing to a String never fails.
        let _ = write!(text, "{gap}try again after {seconds} s");
    }
    error.text = Some(text).filter(|text| !text.is_empty());
    error
}

/// The words of an error as a phrase; empty if it has none, which stands for the default one.
fn reason(error: &StanzaError) -> Str {
    error.text.as_deref().map(reason_of_text).unwrap_or_default()
}

/// The seconds of a Retry-After; a broken one is none.
pub(crate) fn retry_after(response: &Response) -> Option<u32> {
    let header = response.headers.get(Name::RetryAfter)?;
    RetryAfter::parse(header).ok().map(|retry| retry.seconds).filter(|seconds| *seconds > 0)
}

/// A stanza error with words of ours.
fn stanza_error(condition: Condition, kind: ErrorType, text: &str) -> StanzaError {
    let mut error = StanzaError::new(condition).with_text(text);
    error.kind = kind;
    error
}

#[cfg(test)]
mod tests;
