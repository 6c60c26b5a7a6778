//! What every message must have before anybody acts on it: RFC 3261 §8.1.1, §8.2, §18.1.2, §20.
//!
//! One pass over the lines. Each header that a user agent server goes by is read once, whether it will be used or not.

use crate::header::{
    CSeq, Credentials, Event, Fault, HeaderError, HeaderName, Headers, MediaType, Name, NameAddr, SubscriptionState,
    Via, check_call_id, elements, parse_delta_seconds,
};
use crate::lex::{self, Syntax};
use crate::message::{Request, Response};
use crate::method::Method;

/// Checks a request: each mandatory header is there once, and everything a user agent server goes by has its grammar
/// and its range. A failure is a 400 whose Reason-Phrase is the error's text.
///
/// The strict profile: a From without a tag, as RFC 2543 had it, is refused; so is a branch that is the magic cookie and
/// nothing behind it (RFC 4475 §3.2.1). A missing Max-Forwards is not: RFC 3261 §16.3 lets it pass.
///
/// Not checked here, because the answer is not 400: the method, schemes, Require, Max-Forwards 0, who the sender is.
///
/// # Errors
/// The first header that is wrong.
pub fn validate_request(request: &Request) -> Result<(), HeaderError> {
    check(&request.headers, Some(&request.method))
}

/// Checks a response. A failure means that it is dropped: RFC 3261 §18.1.2.
///
/// # Errors
/// The first header that is wrong.
pub fn validate_response(response: &Response) -> Result<(), HeaderError> {
    check(&response.headers, None)
}

const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

fn check(headers: &Headers, request: Option<&Method>) -> Result<(), HeaderError> {
    let (mut seen, mut star) = (0u128, false);
    for (name, value) in headers.iter() {
        let HeaderName::Known(name) = name else { continue };
        if seen & name.bit() != 0 && name.is_single() {
            return Err(HeaderError::new(name, Fault::Repeated));
        }
        let first = seen & name.bit() == 0;
        seen |= name.bit();
        let result = match name {
            Name::Via => check_vias(value, first && request.is_some()),
            Name::From => check_address(value, request.is_some()),
            Name::To | Name::ReplyTo | Name::ReferTo | Name::ReferredBy => check_address(value, false),
            Name::CallId => check_call_id(value),
            Name::CSeq => {
                check_cseq(headers, request)?;
                Ok(())
            }
            Name::MaxForwards if request.is_some() => {
                headers.max_forwards()?;
                Ok(())
            }
            Name::Contact => check_contacts(value, first, &mut star)?,
            Name::ContentType => MediaType::check(value),
            Name::Route | Name::RecordRoute => {
                elements(value).try_for_each(|element| NameAddr::parse_bracketed(element?).map(|_| ()))
            }
            Name::Expires => {
                headers.expires()?;
                Ok(())
            }
            Name::MinExpires => parse_delta_seconds(value).map(|_| ()),
            Name::Event => Event::parse(value).map(|_| ()),
            Name::SubscriptionState => SubscriptionState::parse(value).map(|_| ()),
            Name::Authorization | Name::ProxyAuthorization => Credentials::parse(value).map(|_| ()),
            _ => Ok(()),
        };
        result.map_err(|syntax| malformed(name, syntax))?;
    }
    match MANDATORY.into_iter().find(|name| seen & name.bit() == 0) {
        Some(missing) => Err(HeaderError::new(missing, Fault::Missing)),
        None => Ok(()),
    }
}

fn check_vias(line: &str, top: bool) -> Result<(), Syntax> {
    let mut values = 0;
    for value in elements(line) {
        let via = Via::parse(value?)?;
        if top && values == 0 && via.branch() == Some("z9hG4bK") {
            return Err(Syntax("branch"));
        }
        values += 1;
    }
    if values == 0 { Err(Syntax("empty")) } else { Ok(()) }
}

/// A tag is a token of at least one character: without a value, or quoted, it would be compared in two ways.
fn check_address(value: &str, tag_needed: bool) -> Result<(), Syntax> {
    let address = NameAddr::parse(value)?;
    match address.tag() {
        Some(tag) if lex::all(tag, lex::TOKEN) => Ok(()),
        None if !address.params.has("tag") => {
            if tag_needed {
                Err(Syntax("no tag"))
            } else {
                Ok(())
            }
        }
        _ => Err(Syntax("tag")),
    }
}

fn check_cseq(headers: &Headers, request: Option<&Method>) -> Result<(), HeaderError> {
    let CSeq { method, .. } = headers.cseq()?;
    match request {
        Some(asked) if *asked != method => Err(malformed(Name::CSeq, Syntax("not the method of the request"))),
        _ => Ok(()),
    }
}

/// The line's syntax, or a fault of another kind. `star` remembers a `*`, which stands alone or not at all.
fn check_contacts(line: &str, first: bool, star: &mut bool) -> Result<Result<(), Syntax>, HeaderError> {
    let mut alone = first;
    for element in elements(line) {
        let checked = element.and_then(|element| match element {
            "*" if alone => {
                *star = true;
                Ok(None)
            }
            _ if *star || element == "*" => Err(Syntax("* beside others")),
            element => NameAddr::parse(element).map(Some),
        });
        match checked {
            Err(syntax) => return Ok(Err(syntax)),
            Ok(None) => {}
            Ok(Some(contact)) => {
                contact.expires().map_err(|_| HeaderError::new(Name::Contact, Fault::OutOfRange))?;
            }
        }
        alone = false;
    }
    Ok(Ok(()))
}

fn malformed(name: Name, syntax: Syntax) -> HeaderError {
    HeaderError::new(name, Fault::Malformed(syntax.0))
}
