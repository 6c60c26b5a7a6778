//! Stanza errors (RFC 6120 §8.3) and the conditions of stream errors (§4.9.3).

use crate::jid::Jid;
use crate::ns;
use crate::stanza::Stanza;
use base::Str;
use std::fmt;
use xml::Element;

/// Declares an enum of conditions with their names in the protocol.
macro_rules! conditions {
    ($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $enum {
            /// All of them.
            pub const ALL: &[$enum] = &[$($enum::$variant,)*];

            /// Its name in the protocol.
            pub fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)*
                }
            }

            /// The one of that name.
            pub fn from_name(name: &str) -> Option<$enum> {
                $enum::ALL.iter().copied().find(|c| c.name() == name)
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use conditions;

conditions! {
    /// Why a stanza was refused (RFC 6120 §8.3.3).
    Condition {
        /// The stanza breaks its schema, or cannot be processed.
        BadRequest = "bad-request",
        /// Something of that name or address is there already.
        Conflict = "conflict",
        /// Understood, but not implemented.
        FeatureNotImplemented = "feature-not-implemented",
        /// The sender may not do that.
        Forbidden = "forbidden",
        /// The recipient is no longer there, for good; a new address may come with it.
        Gone = "gone",
        /// The other side's own fault.
        InternalServerError = "internal-server-error",
        /// No such address or item.
        ItemNotFound = "item-not-found",
        /// No address at all.
        JidMalformed = "jid-malformed",
        /// Understood, but it does not meet the recipient's criteria.
        NotAcceptable = "not-acceptable",
        /// Nobody may do that.
        NotAllowed = "not-allowed",
        /// The sender has to prove who it is first.
        NotAuthorized = "not-authorized",
        /// Against a local policy, such as a limit of size.
        PolicyViolation = "policy-violation",
        /// The recipient is not there for now.
        RecipientUnavailable = "recipient-unavailable",
        /// The recipient is elsewhere for now; the other address comes with it.
        Redirect = "redirect",
        /// The sender has to register first.
        RegistrationRequired = "registration-required",
        /// The recipient's server does not exist or cannot be resolved.
        RemoteServerNotFound = "remote-server-not-found",
        /// The recipient's server does not answer.
        RemoteServerTimeout = "remote-server-timeout",
        /// The other side is out of something.
        ResourceConstraint = "resource-constraint",
        /// No such service here, or none that the sender may know of.
        ServiceUnavailable = "service-unavailable",
        /// The sender has to subscribe first.
        SubscriptionRequired = "subscription-required",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
        /// Understood, but not now or not in this order.
        UnexpectedRequest = "unexpected-request",
    }
}

conditions! {
    /// Why a stream ended (RFC 6120 §4.9.3).
    StreamCondition {
        /// XML that cannot be processed.
        BadFormat = "bad-format",
        /// A prefix that is unbound or not accepted.
        BadNamespacePrefix = "bad-namespace-prefix",
        /// Another stream took its place, or is there already.
        Conflict = "conflict",
        /// The other side is not there any more, as far as can be told.
        ConnectionTimeout = "connection-timeout",
        /// The domain was served once.
        HostGone = "host-gone",
        /// The domain is not served.
        HostUnknown = "host-unknown",
        /// A stanza without an address that it needs.
        ImproperAddressing = "improper-addressing",
        /// The other side's own fault.
        InternalServerError = "internal-server-error",
        /// An address that does not belong to the stream.
        InvalidFrom = "invalid-from",
        /// A stream or content namespace that is not supported.
        InvalidNamespace = "invalid-namespace",
        /// Against a schema that is enforced.
        InvalidXml = "invalid-xml",
        /// Something that only an authenticated stream may bring, or wrong credentials.
        NotAuthorized = "not-authorized",
        /// Not well-formed XML.
        NotWellFormed = "not-well-formed",
        /// Against a local policy, such as a limit of size.
        PolicyViolation = "policy-violation",
        /// A server behind it cannot be reached.
        RemoteConnectionFailed = "remote-connection-failed",
        /// It must be negotiated anew.
        Reset = "reset",
        /// The other side is out of something.
        ResourceConstraint = "resource-constraint",
        /// XML that XMPP forbids (§11.1).
        RestrictedXml = "restricted-xml",
        /// Another host is to be used.
        SeeOtherHost = "see-other-host",
        /// The other side goes down.
        SystemShutdown = "system-shutdown",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
        /// Not UTF-8.
        UnsupportedEncoding = "unsupported-encoding",
        /// A mandatory feature is missing.
        UnsupportedFeature = "unsupported-feature",
        /// A first-level element that is no stanza.
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// A version of XMPP that is not supported.
        UnsupportedVersion = "unsupported-version",
    }
}

impl From<xml::Error> for StreamCondition {
    fn from(e: xml::Error) -> StreamCondition {
        match e {
            // §11.6 asks for unsupported-encoding only where another encoding is used; broken UTF-8 is broken XML.
            xml::Error::NotWellFormed(_) | xml::Error::BadEncoding => StreamCondition::NotWellFormed,
            xml::Error::Restricted(_) => StreamCondition::RestrictedXml,
            xml::Error::UnsupportedEncoding => StreamCondition::UnsupportedEncoding,
            xml::Error::UnboundPrefix => StreamCondition::BadNamespacePrefix,
            xml::Error::TooBig { .. } => StreamCondition::PolicyViolation,
        }
    }
}

/// What a sender can do about an error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorType {
    /// Try again with credentials.
    Auth,
    /// Do not try again.
    Cancel,
    /// Go on; it was a warning.
    Continue,
    /// Try again with other data.
    Modify,
    /// Try again later.
    Wait,
}

impl ErrorType {
    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<ErrorType> {
        use ErrorType::{Auth, Cancel, Continue, Modify, Wait};
        [Auth, Cancel, Continue, Modify, Wait].into_iter().find(|t| t.name() == name)
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 recommends; where it names two or none, the one that invites no retry storm.
    pub fn default_type(self) -> ErrorType {
        match self {
            Condition::Forbidden
            | Condition::NotAuthorized
            | Condition::RegistrationRequired
            | Condition::SubscriptionRequired => ErrorType::Auth,
            Condition::Conflict
            | Condition::FeatureNotImplemented
            | Condition::Gone
            | Condition::InternalServerError
            | Condition::ItemNotFound
            | Condition::NotAllowed
            | Condition::RemoteServerNotFound
            | Condition::ServiceUnavailable
            | Condition::UndefinedCondition => ErrorType::Cancel,
            Condition::BadRequest
            | Condition::JidMalformed
            | Condition::NotAcceptable
            | Condition::PolicyViolation
            | Condition::Redirect
            | Condition::UnexpectedRequest => ErrorType::Modify,
            Condition::RecipientUnavailable | Condition::RemoteServerTimeout | Condition::ResourceConstraint => {
                ErrorType::Wait
            }
        }
    }
}

/// What an error stanza says (RFC 6120 §8.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender can do.
    pub kind: ErrorType,
    /// What went wrong.
    pub condition: Condition,
    /// The same in words, for a log or as an addition to what the user is told.
    pub text: Option<String>,
    /// The language of the words.
    pub text_lang: Option<Str>,
    /// Who found it.
    pub by: Option<Jid>,
    /// Where to turn instead, a URI: with [`Condition::Gone`] and [`Condition::Redirect`].
    pub address: Option<String>,
    /// What is said in terms of an application (§8.3.4).
    pub app: Vec<Element>,
}

impl StanzaError {
    /// An error with its recommended type and no more.
    pub fn new(condition: Condition) -> StanzaError {
        StanzaError {
            kind: condition.default_type(),
            condition,
            text: None,
            text_lang: None,
            by: None,
            address: None,
            app: Vec::new(),
        }
    }

    /// Says it in words, in English.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> StanzaError {
        self.text = Some(text.into());
        self.text_lang = Some(Str::const_new("en"));
        self
    }

    /// What an error stanza says; none if it is no error stanza. Lenient, for an error must never be lost over a detail:
    /// what is missing or unknown is [`Condition::UndefinedCondition`] (§8.3.2) and its recommended type.
    pub fn from_stanza(stanza: &Stanza) -> Option<StanzaError> {
        if !stanza.is_error() {
            return None;
        }
        let Some(e) = stanza.child("error", ns::CLIENT) else {
            return Some(StanzaError::new(Condition::UndefinedCondition));
        };
        let own = |child: &&Element| child.ns == ns::STANZA_ERRORS;
        let named = e.elements().filter(own).find_map(|c| Some((Condition::from_name(&c.name)?, c)));
        let condition = named.map_or(Condition::UndefinedCondition, |(condition, _)| condition);
        let mut error = StanzaError::new(condition);
        if let Some(kind) = e.attr("type").and_then(ErrorType::from_name) {
            error.kind = kind;
        }
        if let (Condition::Gone | Condition::Redirect, Some((_, c))) = (condition, named) {
            error.address = Some(c.text().trim().to_owned()).filter(|a| !a.is_empty());
        }
        if let Some(text) = e.child("text", ns::STANZA_ERRORS) {
            error.text = Some(text.text().into_owned());
            error.text_lang = text.lang().map(Str::from);
        }
        error.by = e.attr("by").and_then(|by| Jid::parse(by).ok());
        error.app = e.elements().filter(|c| c.ns != ns::STANZA_ERRORS).cloned().collect();
        Some(error)
    }

    /// The `<error/>` element, in [`ns::CLIENT`].
    pub fn to_element(&self) -> Element {
        let mut e = Element::new("error", ns::CLIENT);
        if let Some(by) = &self.by {
            e.set_attr("by", by.to_string());
        }
        e.set_attr("type", self.kind.name());
        let mut condition = Element::new(self.condition.name(), Str::const_new(ns::STANZA_ERRORS));
        condition.push_text(self.address.as_deref().unwrap_or_default());
        e.push(condition);
        if let Some(text) = &self.text {
            let mut t = Element::new("text", Str::const_new(ns::STANZA_ERRORS)).with_text(text);
            if let Some(lang) = &self.text_lang {
                t = t.with_lang(lang.clone());
            }
            e.push(t);
        }
        for app in &self.app {
            e.push(app.clone());
        }
        e
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_the_rfcs() {
        assert_eq!(Condition::ALL.len(), 22);
        assert_eq!(StreamCondition::ALL.len(), 25);
        for c in Condition::ALL {
            assert_eq!(Condition::from_name(c.name()), Some(*c));
            assert_eq!(ErrorType::from_name(c.default_type().name()), Some(c.default_type()));
        }
        assert_eq!(Condition::from_name("payment-required"), None);
        assert_eq!(StreamCondition::from_name("see-other-host"), Some(StreamCondition::SeeOtherHost));
        let condition = |e| StreamCondition::from(e).name();
        assert_eq!(condition(xml::Error::NotWellFormed("")), "not-well-formed");
        assert_eq!(condition(xml::Error::BadEncoding), "not-well-formed");
        assert_eq!(condition(xml::Error::Restricted("")), "restricted-xml");
        assert_eq!(condition(xml::Error::UnboundPrefix), "bad-namespace-prefix");
        assert_eq!(condition(xml::Error::UnsupportedEncoding), "unsupported-encoding");
        assert_eq!(condition(xml::Error::TooBig { what: "", limit: 0 }), "policy-violation");
    }

    #[test]
    fn errors_there_and_back() {
        let mut full = StanzaError::new(Condition::Gone).with_text("moved");
        full.by = Some(Jid::parse("example.net").expect("an address"));
        full.address = Some("xmpp:romeo@afterlife.example.net".to_owned());
        full.app = vec![Element::new("x", "urn:app")];
        full.kind = ErrorType::Modify;
        for error in [full, StanzaError::new(Condition::RemoteServerTimeout), StanzaError::new(Condition::Redirect)] {
            let stanza = Stanza::message().with_type("error").with_child(error.to_element());
            assert_eq!(StanzaError::from_stanza(&stanza), Some(error));
        }
    }

    #[test]
    fn errors_are_read_leniently() {
        let read = |e: Option<Element>| {
            let mut stanza = Stanza::presence().with_type("error");
            e.into_iter().for_each(|e| stanza.push(e));
            StanzaError::from_stanza(&stanza).expect("an error stanza")
        };
        let error = || Element::new("error", ns::CLIENT);
        let condition = |name: &str| Element::new(name, ns::STANZA_ERRORS);
        let undefined = StanzaError::new(Condition::UndefinedCondition);
        assert_eq!(read(None), undefined);
        assert_eq!(read(Some(error().with_attr("type", "strange").with_attr("by", "@"))), undefined);
        let unknown = error().with_attr("type", "wait").with_child(condition("new-condition"));
        assert_eq!(read(Some(unknown)), StanzaError { kind: ErrorType::Wait, ..undefined.clone() });
        let text_first = error().with_child(condition("text").with_text("x")).with_child(condition("forbidden"));
        let forbidden = StanzaError::new(Condition::Forbidden);
        assert_eq!(read(Some(text_first)), StanzaError { text: Some("x".to_owned()), ..forbidden });
        let spaced = error().with_child(condition("gone").with_text("\n  "));
        assert_eq!(read(Some(spaced)).address, None);
        assert_eq!(StanzaError::from_stanza(&Stanza::message().with_child(error())), None);
    }
}
