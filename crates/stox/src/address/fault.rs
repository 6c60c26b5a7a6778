//! What can be wrong with an address, and what each side is told.

use base::Str;
use std::fmt;
use xmpp::error::Condition;
use xmpp::jid::escape::EscapeError;
use xmpp::jid::{JidError, Part};

/// Why an address has no counterpart on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// No address of this scheme has one; or none here, as `tel` without a phone domain.
    Scheme(Str),
    /// The URI has a password, which must not reach XMPP.
    Password,
    /// What is percent-encoded in the user part is not: the encoding or its UTF-8 is broken.
    Encoding(&'static str),
    /// A control character in the user part.
    Control(char),
    /// A space first or last in the user part: its escape `\20` may not stand there (XEP-0106 §3.2).
    EdgeSpace,
    /// The user part is longer than 1023 octets once escaped.
    TooLong,
    /// The user part has an escape that normalization would take apart, so that it would come back as another user.
    LostEscape,
    /// No such user can exist in XMPP.
    User(JidError),
    /// The host is no domain of XMPP's.
    Host(JidError),
    /// The domain is no host of SIP's.
    NoSipHost(Str),
    /// The local part is no escaped form of any user, though it has what looks like escapes.
    NoEscape,
    /// The address has no user, and the form needs one.
    NoUser,
    /// No telephone number; why.
    Phone(&'static str),
    /// Servers that apply stringprep would take the user for another one.
    Unstable,
}

impl AddressError {
    /// The status of a response to a request with such an address.
    ///
    /// 400 where the URI is broken; 404 where it is sound but can name nobody on the XMPP side (RFC 3261 §21.4.5);
    /// 414, 416 and 484 for what they were made for.
    pub fn code(&self) -> u16 {
        match self {
            AddressError::Scheme(_) => 416,
            AddressError::Password | AddressError::Encoding(_) | AddressError::Control(_) => 400,
            AddressError::TooLong => 414,
            AddressError::Phone(_) => 484,
            AddressError::EdgeSpace
            | AddressError::LostEscape
            | AddressError::User(_)
            | AddressError::Host(_)
            | AddressError::NoSipHost(_)
            | AddressError::NoEscape
            | AddressError::NoUser
            | AddressError::Unstable => 404,
        }
    }

    /// The condition of an error to a stanza with such an address.
    pub fn condition(&self) -> Condition {
        match self {
            AddressError::EdgeSpace
            | AddressError::LostEscape
            | AddressError::User(_)
            | AddressError::Host(_)
            | AddressError::NoSipHost(_)
            | AddressError::NoUser
            | AddressError::Phone(_) => Condition::ItemNotFound,
            AddressError::Scheme(_)
            | AddressError::Password
            | AddressError::Encoding(_)
            | AddressError::Control(_)
            | AddressError::TooLong
            | AddressError::NoEscape
            | AddressError::Unstable => Condition::JidMalformed,
        }
    }

    /// A Reason-Phrase: one for each kind of fault, without the details that [`fmt::Display`] has.
    pub fn phrase(&self) -> &'static str {
        match self {
            AddressError::Scheme(_) => "Unsupported URI Scheme",
            AddressError::Password => "Password In Address",
            AddressError::Encoding(_) => "Bad Encoding In Address",
            AddressError::Control(_) => "Control Character In Address",
            AddressError::TooLong => "Address Too Long For XMPP",
            AddressError::EdgeSpace | AddressError::LostEscape | AddressError::User(_) | AddressError::Unstable => {
                "No Such XMPP User"
            }
            AddressError::Host(_) => "No XMPP Domain",
            AddressError::NoSipHost(_) => "No SIP Domain",
            AddressError::NoEscape => "No Such SIP User",
            AddressError::NoUser => "Address Without A User",
            AddressError::Phone(_) => "No Telephone Number",
        }
    }
}

impl From<JidError> for AddressError {
    fn from(error: JidError) -> AddressError {
        match error {
            JidError::TooLong(Part::Local) => AddressError::TooLong,
            JidError::Forbidden(Part::Local, c) if c.is_control() => AddressError::Control(c),
            JidError::BadDomain(_)
            | JidError::Empty(Part::Domain)
            | JidError::TooLong(Part::Domain)
            | JidError::Forbidden(Part::Domain, _)
            | JidError::Directionality(Part::Domain)
            | JidError::Unstable(Part::Domain) => AddressError::Host(error),
            JidError::Empty(_)
            | JidError::TooLong(_)
            | JidError::Forbidden(..)
            | JidError::Directionality(_)
            | JidError::Unstable(_) => AddressError::User(error),
        }
    }
}

impl From<EscapeError> for AddressError {
    fn from(error: EscapeError) -> AddressError {
        match error {
            EscapeError::Empty => AddressError::User(JidError::Empty(Part::Local)),
            EscapeError::EdgeSpace => AddressError::EdgeSpace,
            EscapeError::NoEscape(c) => AddressError::Control(c),
            EscapeError::TooLong => AddressError::TooLong,
        }
    }
}

/// What went wrong without the address itself: it goes to peers, as a Reason-Phrase and as the text of an error.
impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Scheme(scheme) => write!(f, "Unsupported URI scheme {scheme}"),
            AddressError::Password => f.write_str("Password in address"),
            AddressError::Encoding(what) => write!(f, "Bad {what} in address"),
            AddressError::Control(c) => write!(f, "Control character U+{:04X} in address", u32::from(*c)),
            AddressError::EdgeSpace => f.write_str("User begins or ends with a space"),
            AddressError::TooLong => f.write_str("Address too long for XMPP"),
            AddressError::LostEscape => f.write_str("User has no stable XMPP form"),
            AddressError::User(why) => write!(f, "No XMPP user: {why}"),
            AddressError::Host(why) => write!(f, "No XMPP domain: {why}"),
            AddressError::NoSipHost(_) => f.write_str("Domain is no SIP host"),
            AddressError::NoEscape => f.write_str("Address has escapes that stand for no user"),
            AddressError::NoUser => f.write_str("Address without a user"),
            AddressError::Phone(why) => write!(f, "No telephone number: {why}"),
            AddressError::Unstable => f.write_str("User is another one where stringprep is applied"),
        }
    }
}

impl std::error::Error for AddressError {}
