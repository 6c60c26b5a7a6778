//! Header names: one canonical name for each, whatever its case and whether it came in its compact form.

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident $text:literal),* $(,)?) => {
        /// A header field that this crate knows by name (RFC 3261 §20 and the IANA registry). Others are named by text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is its header's name without the hyphens")]
        pub enum Name { $($(#[$doc])* $name),* }

        const ALL: &[Name] = &[$(Name::$name),*];
        const TEXTS: &[&str] = &[$($text),*];
    };
}

names! {
    Accept "Accept",
    AcceptContact "Accept-Contact",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID",
    CallInfo "Call-Info",
    Contact "Contact",
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length",
    ContentType "Content-Type",
    CSeq "CSeq",
    Date "Date",
    ErrorInfo "Error-Info",
    Event "Event",
    Expires "Expires",
    From "From",
    HistoryInfo "History-Info",
    Identity "Identity",
    IdentityInfo "Identity-Info",
    InfoPackage "Info-Package",
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxBreadth "Max-Breadth",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To",
    ReferredBy "Referred-By",
    RejectContact "Reject-Contact",
    Replaces "Replaces",
    RemotePartyId "Remote-Party-ID",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition",
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires",
    SipETag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject",
    SubscriptionState "Subscription-State",
    Supported "Supported",
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To",
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    Via "Via",
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

const LONGEST: usize = 20;
const COUNT: usize = ALL.len();

/// `ORDER[START[n]..START[n + 1]]` are the names of n bytes.
static ORDER: [Name; COUNT] = by_length().0;
static START: [u8; LONGEST + 2] = by_length().1;

const fn by_length() -> ([Name; COUNT], [u8; LONGEST + 2]) {
    let mut order = [Name::Accept; COUNT];
    let mut start = [0u8; LONGEST + 2];
    let mut filled = 0;
    let mut length = 0;
    while length <= LONGEST {
        start[length] = filled as u8;
        let mut at = 0;
        while at < COUNT {
            if TEXTS[at].len() == length {
                order[filled] = ALL[at];
                filled += 1;
            }
            at += 1;
        }
        length += 1;
    }
    start[length] = filled as u8;
    assert!(filled == COUNT, "LONGEST is too short");
    (order, start)
}

impl Name {
    /// The canonical name, always the long one: this is what we write.
    pub fn as_str(self) -> &'static str {
        TEXTS[self as usize]
    }

    /// The name without regard to case, long or compact. `None` for a header this crate does not know.
    pub fn parse(text: &str) -> Option<Name> {
        Name::find(text.as_bytes())
    }

    pub(crate) fn find(text: &[u8]) -> Option<Name> {
        if let [letter] = text {
            return Name::compact(*letter);
        }
        let (&start, &end) = (START.get(text.len())?, START.get(text.len() + 1)?);
        let same_length = &ORDER[usize::from(start)..usize::from(end)];
        let first = *text.first()?;
        // Nearly every name comes in its canonical case, and comparing that is one comparison of memory.
        for name in same_length {
            let known = name.as_str().as_bytes();
            if known[0] == first && known == text {
                return Some(*name);
            }
        }
        same_length.iter().copied().find(|name| name.as_str().as_bytes().eq_ignore_ascii_case(text))
    }

    /// The compact forms of the IANA registry.
    fn compact(letter: u8) -> Option<Name> {
        Some(match letter.to_ascii_lowercase() {
            b'a' => Name::AcceptContact,
            b'b' => Name::ReferredBy,
            b'c' => Name::ContentType,
            b'd' => Name::RequestDisposition,
            b'e' => Name::ContentEncoding,
            b'f' => Name::From,
            b'i' => Name::CallId,
            b'j' => Name::RejectContact,
            b'k' => Name::Supported,
            b'l' => Name::ContentLength,
            b'm' => Name::Contact,
            b'n' => Name::IdentityInfo,
            b'o' => Name::Event,
            b'r' => Name::ReferTo,
            b's' => Name::Subject,
            b't' => Name::To,
            b'u' => Name::AllowEvents,
            b'v' => Name::Via,
            b'x' => Name::SessionExpires,
            b'y' => Name::Identity,
            _ => return None,
        })
    }

    /// Whether a message may hold this header once only, in one line and with one value.
    pub(crate) fn is_single(self) -> bool {
        matches!(
            self,
            Name::CallId
                | Name::ContentDisposition
                | Name::ContentLength
                | Name::ContentType
                | Name::CSeq
                | Name::Date
                | Name::Event
                | Name::Expires
                | Name::From
                | Name::InfoPackage
                | Name::MaxBreadth
                | Name::MaxForwards
                | Name::MimeVersion
                | Name::MinExpires
                | Name::MinSe
                | Name::RAck
                | Name::ReferTo
                | Name::ReferredBy
                | Name::Replaces
                | Name::ReplyTo
                | Name::RSeq
                | Name::SessionExpires
                | Name::SipETag
                | Name::SipIfMatch
                | Name::Subject
                | Name::SubscriptionState
                | Name::TargetDialog
                | Name::Timestamp
                | Name::To
        )
    }

    /// One bit for each name, for sets of names.
    pub(crate) fn bit(self) -> u128 {
        1 << (self as u8)
    }
}

/// A header's name as callers give it: `Name::Subject`, `"subject"`, `"s"` and `"X-Anything"` will all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderName<'a> {
    /// One that this crate knows.
    Known(Name),
    /// Any other, as it was written; compared without regard to case.
    Other(&'a str),
}

impl<'a> HeaderName<'a> {
    /// The name in its canonical form, or as it was written.
    pub fn as_str(&self) -> &'a str {
        match self {
            HeaderName::Known(name) => name.as_str(),
            HeaderName::Other(text) => text,
        }
    }
}

impl From<Name> for HeaderName<'_> {
    fn from(name: Name) -> Self {
        HeaderName::Known(name)
    }
}

impl<'a> From<&'a str> for HeaderName<'a> {
    fn from(text: &'a str) -> Self {
        match Name::parse(text) {
            Some(name) => HeaderName::Known(name),
            None => HeaderName::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_its_text_in_any_case() {
        for name in ALL {
            assert_eq!(Name::parse(name.as_str()), Some(*name));
            assert_eq!(Name::parse(&name.as_str().to_uppercase()), Some(*name));
            assert_eq!(Name::parse(&name.as_str().to_lowercase()), Some(*name));
        }
        assert!(ALL.len() <= 128, "Name::bit");
    }

    #[test]
    fn compact_forms_are_the_long_ones() {
        assert_eq!(Name::parse("v"), Some(Name::Via));
        assert_eq!(Name::parse("I"), Some(Name::CallId));
        assert_eq!(HeaderName::from("l"), HeaderName::Known(Name::ContentLength));
    }

    #[test]
    fn an_unknown_name_is_kept() {
        for text in ["C%6Fntact", "X-Foo", "z", "", "Content-Lengths", "An-Extension-Header-Of-Great-Length"] {
            assert_eq!(HeaderName::from(text), HeaderName::Other(text));
        }
    }
}
