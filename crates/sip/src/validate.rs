//! What every message must have before anybody acts on it: RFC 3261 §8.1.1, §8.2, §18.1.2, §20.

use crate::header::{
    Contacts, Credentials, Fault, HeaderError, Headers, MediaType, Name, NameAddr, Via, check_call_id, elements,
};
use crate::lex::Syntax;
use crate::message::{Request, Response};

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
    let headers = &request.headers;
    check_common(headers)?;
    let from_tag = headers.from_tag();
    if from_tag.is_none() {
        return Err(malformed(Name::From, Syntax("no tag")));
    }
    if headers.cseq()?.method != request.method {
        return Err(malformed(Name::CSeq, Syntax("not the method of the request")));
    }
    headers.max_forwards()?;
    Ok(())
}

/// Checks a response. A failure means that it is dropped: RFC 3261 §18.1.2.
///
/// # Errors
/// The first header that is wrong.
pub fn validate_response(response: &Response) -> Result<(), HeaderError> {
    check_common(&response.headers)?;
    response.headers.cseq()?;
    Ok(())
}

const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

fn check_common(headers: &Headers) -> Result<(), HeaderError> {
    let (once, more) = headers.census();
    if let Some(missing) = MANDATORY.into_iter().find(|name| once & name.bit() == 0) {
        return Err(HeaderError::new(missing, Fault::Missing));
    }
    let mut top = true;
    for (name, value) in headers.iter() {
        let crate::header::HeaderName::Known(name) = name else { continue };
        if more & name.bit() != 0 && name.is_single() {
            return Err(HeaderError::new(name, Fault::Repeated));
        }
        let result = match name {
            Name::Via => check_vias(value, &mut top),
            Name::From | Name::To | Name::ReplyTo | Name::ReferTo | Name::ReferredBy => {
                NameAddr::parse(value).and_then(|address| check_tag(&address))
            }
            Name::CallId => check_call_id(value),
            Name::ContentType => MediaType::parse(value).map(|_| ()),
            Name::Route | Name::RecordRoute => {
                elements(value).try_for_each(|element| NameAddr::parse_bracketed(element?).map(|_| ()))
            }
            Name::Authorization | Name::ProxyAuthorization => Credentials::parse(value).map(|_| ()),
            _ => Ok(()),
        };
        result.map_err(|syntax| malformed(name, syntax))?;
    }
    // The few that are numbers or lists across lines, and only if they are there.
    if once & Name::Contact.bit() != 0
        && let Contacts::Some(contacts) = headers.contacts()?
    {
        for contact in &contacts {
            contact.expires().map_err(|_| HeaderError::new(Name::Contact, Fault::OutOfRange))?;
        }
    }
    if once & Name::Expires.bit() != 0 {
        headers.expires()?;
    }
    if once & Name::MinExpires.bit() != 0 {
        headers.min_expires()?;
    }
    if once & Name::SubscriptionState.bit() != 0 {
        headers.subscription_state()?;
    }
    if once & Name::Event.bit() != 0 {
        headers.event()?;
    }
    Ok(())
}

fn check_vias(line: &str, top: &mut bool) -> Result<(), Syntax> {
    let mut values = elements(line).peekable();
    if values.peek().is_none() {
        return Err(Syntax("empty"));
    }
    for value in values {
        let via = Via::parse(value?)?;
        if std::mem::take(top) && via.branch() == Some("z9hG4bK") {
            return Err(Syntax("branch"));
        }
    }
    Ok(())
}

/// A tag is a token of at least one character: without a value, or quoted, it would be compared in two ways.
fn check_tag(address: &NameAddr) -> Result<(), Syntax> {
    let sound = !address.params.has("tag") || address.tag().is_some_and(|tag| crate::lex::all(tag, crate::lex::TOKEN));
    if sound { Ok(()) } else { Err(Syntax("tag")) }
}

fn malformed(name: Name, syntax: Syntax) -> HeaderError {
    HeaderError::new(name, Fault::Malformed(syntax.0))
}
