//! What every message must have before anybody acts on it: RFC 3261 §8.1.1, §8.2, §18.1.2, §20.
//!
//! One pass over the lines. Each header that a user agent server goes by is read once, whether it will be used or not.

use crate::header::{
    CSeq, Credentials, Event, Fault, HeaderError, HeaderName, Headers, MediaType, Name, NameAddr, SubscriptionState,
    Via, check_call_id, elements,
};
use crate::lex::{self, Syntax};
use crate::message::{Request, Response};

/// What everybody who handles a request goes by, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Essentials {
    /// The top Via.
    pub via: Via,
    /// From; it has a tag.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// CSeq; its method is that of the request.
    pub cseq: CSeq,
    /// Max-Forwards, if there is one.
    pub max_forwards: Option<u8>,
}

impl Essentials {
    /// Reads and checks a request: each mandatory header is there once, and everything a user agent server goes by has
    /// its grammar and its range. A failure is a 400 whose Reason-Phrase is the error's text.
    ///
    /// The strict profile: a From without a tag, as RFC 2543 had it, is refused; so is a branch that is the magic cookie
    /// and nothing behind it (RFC 4475 §3.2.1). A missing Max-Forwards is not: RFC 3261 §16.3 lets it pass.
    ///
    /// Not checked here, because the answer is not 400: the method, schemes, Require, Max-Forwards 0, who the sender is.
    ///
    /// # Errors
    /// The first header that is wrong.
    pub fn of_request(request: &Request) -> Result<Essentials, HeaderError> {
        let essentials = read(&request.headers)?;
        if essentials.from.tag().is_none() {
            return Err(malformed(Name::From, Syntax("no tag")));
        }
        if essentials.cseq.method != request.method {
            return Err(malformed(Name::CSeq, Syntax("not the method of the request")));
        }
        if essentials.via.branch() == Some("z9hG4bK") {
            return Err(malformed(Name::Via, Syntax("branch")));
        }
        Ok(essentials)
    }

    /// Reads and checks a response. A failure means that it is dropped: RFC 3261 §18.1.2.
    ///
    /// # Errors
    /// The first header that is wrong.
    pub fn of_response(response: &Response) -> Result<Essentials, HeaderError> {
        read(&response.headers)
    }
}

/// `Essentials::of_request` for who needs the verdict only.
///
/// # Errors
/// The first header that is wrong.
pub fn validate_request(request: &Request) -> Result<(), HeaderError> {
    Essentials::of_request(request).map(|_| ())
}

/// `Essentials::of_response` for who needs the verdict only.
///
/// # Errors
/// The first header that is wrong.
pub fn validate_response(response: &Response) -> Result<(), HeaderError> {
    Essentials::of_response(response).map(|_| ())
}

fn read(headers: &Headers) -> Result<Essentials, HeaderError> {
    let (mut seen, mut star) = (0u128, false);
    let (mut via, mut from, mut to, mut cseq, mut max_forwards) = (None, None, None, None, None);
    for (name, value) in headers.iter() {
        let HeaderName::Known(name) = name else { continue };
        let first = seen & name.bit() == 0;
        if !first && name.is_single() {
            return Err(HeaderError::new(name, Fault::Repeated));
        }
        seen |= name.bit();
        let result = match name {
            Name::Via => check_vias(value, &mut via),
            Name::From => read_address(value).map(|address| from = Some(address)),
            Name::To => read_address(value).map(|address| to = Some(address)),
            Name::ReplyTo | Name::ReferTo | Name::ReferredBy => NameAddr::parse(value).map(|_| ()),
            Name::CallId => check_call_id(value),
            Name::CSeq => {
                cseq = Some(headers.cseq()?);
                Ok(())
            }
            Name::MaxForwards => {
                max_forwards = headers.max_forwards()?;
                Ok(())
            }
            Name::Contact => check_contacts(value, first, &mut star)?,
            Name::ContentType => MediaType::check(value),
            Name::Route | Name::RecordRoute => {
                elements(value).try_for_each(|element| NameAddr::parse_bracketed(element?).map(|_| ()))
            }
            Name::Expires => headers.expires().map(|_| Ok(()))?,
            Name::MinExpires => headers.min_expires().map(|_| Ok(()))?,
            Name::Event => Event::parse(value).map(|_| ()),
            Name::SubscriptionState => SubscriptionState::parse(value).map(|_| ()),
            Name::Authorization | Name::ProxyAuthorization => Credentials::parse(value).map(|_| ()),
            _ => Ok(()),
        };
        result.map_err(|syntax| malformed(name, syntax))?;
    }
    let missing = |name| HeaderError::new(name, Fault::Missing);
    if seen & Name::CallId.bit() == 0 {
        return Err(missing(Name::CallId));
    }
    Ok(Essentials {
        via: via.ok_or(missing(Name::Via))?,
        from: from.ok_or(missing(Name::From))?,
        to: to.ok_or(missing(Name::To))?,
        cseq: cseq.ok_or(missing(Name::CSeq))?,
        max_forwards,
    })
}

/// Every Via of a line; the first of all is kept in `top`.
fn check_vias(line: &str, top: &mut Option<Via>) -> Result<(), Syntax> {
    let mut empty = true;
    for value in elements(line) {
        let via = Via::parse(value?)?;
        top.get_or_insert(via);
        empty = false;
    }
    if empty { Err(Syntax("empty")) } else { Ok(()) }
}

/// A tag is a token of at least one character: without a value, or quoted, it would be compared in two ways.
fn read_address(value: &str) -> Result<NameAddr, Syntax> {
    let address = NameAddr::parse(value)?;
    let sound = match address.tag() {
        Some(tag) => lex::all(tag, lex::TOKEN),
        None => !address.params.has("tag"),
    };
    if sound { Ok(address) } else { Err(Syntax("tag")) }
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
