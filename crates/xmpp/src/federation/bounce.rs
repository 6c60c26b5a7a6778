//! What could not be delivered comes back.

use crate::error::{Condition, StanzaError};
use crate::ns;
use crate::stanza::Stanza;
use xml::{Element, Limits};

/// Why something was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undelivered {
    /// The rules say that the domain is not spoken to.
    Denied,
    /// It is one of ours.
    Own,
    /// It has no server.
    NotFound,
    /// Name servers do not answer, or nothing of what they have named.
    Unreachable,
    /// What answers does not prove to be its server, or does not take us for ours.
    Unproven,
    /// No stream took it in time.
    TooLate,
    /// It was sent, and the stream ended before it was known to be dealt with.
    Unknown,
    /// Too much waits.
    Full,
}

impl Undelivered {
    /// All of them.
    pub const ALL: [Undelivered; 8] = [
        Undelivered::Denied,
        Undelivered::Own,
        Undelivered::NotFound,
        Undelivered::Unreachable,
        Undelivered::Unproven,
        Undelivered::TooLate,
        Undelivered::Unknown,
        Undelivered::Full,
    ];

    /// A word for the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Undelivered::Denied => "denied",
            Undelivered::Own => "own",
            Undelivered::NotFound => "not-found",
            Undelivered::Unreachable => "unreachable",
            Undelivered::Unproven => "unproven",
            Undelivered::TooLate => "too-late",
            Undelivered::Unknown => "unknown",
            Undelivered::Full => "full",
        }
    }

    /// What its sender is told: RFC 6120 §8.3.3.16 and §8.3.3.17, §10.4.
    pub fn error(self) -> StanzaError {
        let (condition, text) = match self {
            Undelivered::Denied => (Condition::NotAllowed, "This domain is not spoken to"),
            Undelivered::Own => (Condition::ServiceUnavailable, "This domain is served here"),
            Undelivered::NotFound => (Condition::RemoteServerNotFound, "The domain has no server"),
            Undelivered::Unreachable => (Condition::RemoteServerTimeout, "The server cannot be reached"),
            // Whatever is there, it is not the domain's server.
            Undelivered::Unproven => (Condition::RemoteServerNotFound, "The server could not be authenticated"),
            Undelivered::TooLate => (Condition::RemoteServerTimeout, "The server does not answer"),
            Undelivered::Unknown => {
                (Condition::RemoteServerTimeout, "The connection was lost; this may have been delivered")
            }
            Undelivered::Full => (Condition::ResourceConstraint, "Too much waits for this server"),
        };
        StanzaError::new(condition).with_text(text)
    }
}

/// The start tag of a stanza: all that an answer to it needs.
#[derive(Debug)]
pub(super) struct Envelope(Box<[u8]>);

impl Envelope {
    /// That of a stanza as it goes out.
    pub(super) fn of(stanza: &[u8]) -> Envelope {
        // Our writer has no ">" before the end of a tag: it escapes it in attributes.
        let end = stanza.iter().position(|b| *b == b'>').unwrap_or(stanza.len());
        let tag = &stanza[..end];
        Envelope(tag.strip_suffix(b"/").unwrap_or(tag).into())
    }

    /// Whether it is the answer of an iq or an error, which nobody answers (RFC 6120 §8.3.1 rule 8): there is no one to be told what has become of it.
    /// If it were followed by a ping of ours, as what is to be accounted for is, two gateways would go on for ever answering each other's.
    pub(super) fn is_answer(stanza: &[u8]) -> bool {
        let end = stanza.iter().position(|b| *b == b'>').unwrap_or(stanza.len());
        let says = |what: &[u8]| stanza[..end].windows(what.len()).any(|part| part == what);
        // In a value there would be no such quotes.
        says(b" type='error'") || stanza.starts_with(b"<iq ") && says(b" type='result'")
    }

    /// The error that answers it; None: nothing may (RFC 6120 §8.3.1 rule 8).
    pub(super) fn error(&self, why: Undelivered) -> Option<Stanza> {
        let name = self.0.iter().position(|b| *b == b' ').unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(name);
        let whole = [name, b" xmlns='", ns::SERVER.as_bytes(), b"'", rest, b"/>"].concat();
        let element = Element::parse(&whole, &Limits::default()).ok()?;
        Stanza::from_element(element, ns::SERVER).ok()?.error(&why.error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::Jid;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[test]
    fn an_error_names_both_sides_and_nothing_of_the_content() {
        let mut stanza = Stanza::message().with_from(jid("romeo@a.example/x'>y")).with_to(jid("juliet@b.example"));
        stanza = stanza.with_id("1>'<\"").with_child(Element::new("body", ns::CLIENT).with_text("secret"));
        for stanza in [stanza.clone(), stanza.envelope()] {
            let envelope = Envelope::of(&stanza.to_bytes(ns::SERVER));
            for why in Undelivered::ALL {
                let error = envelope.error(why).unwrap();
                assert_eq!(error, stanza.error(&why.error()).unwrap());
            }
        }
    }

    #[test]
    fn nothing_answers_errors_and_results() {
        for stanza in [Stanza::message().with_type("error"), Stanza::iq("result").with_id("1")] {
            let stanza = stanza.with_from(jid("a.example")).with_to(jid("b.example"));
            assert_eq!(Envelope::of(&stanza.to_bytes(ns::SERVER)).error(Undelivered::NotFound), None);
            assert!(Envelope::is_answer(&stanza.to_bytes(ns::SERVER)), "{stanza:?}");
        }
        let asks = Stanza::iq("get").with_id(" type='result' type='error'");
        for stanza in [asks, Stanza::message(), Stanza::message().with_type("result")] {
            assert!(!Envelope::is_answer(&stanza.to_bytes(ns::SERVER)), "{stanza:?}");
        }
        assert_eq!(Envelope::of(b"<nonsense").error(Undelivered::NotFound), None);
    }

    #[test]
    fn each_reason_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Undelivered::ALL.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), Undelivered::ALL.len());
    }
}
