//! How other domains are dealt with.

use crate::jid::{self, JidError};
use base::Str;
use std::fmt;

/// Some domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Written `*`.
    Any,
    /// This one.
    Exactly(Str),
    /// Written `*.example.com`: those below this one, at any depth.
    Below(Str),
}

impl Pattern {
    /// Reads one; domains are prepared as those in addresses are (RFC 7622 §3.2).
    ///
    /// # Errors
    /// What stands there, or behind `*.`, is no domain.
    pub fn parse(text: &str) -> Result<Pattern, JidError> {
        match text.strip_prefix("*.") {
            _ if text == "*" => Ok(Pattern::Any),
            Some(parent) => jid::domain(parent).map(Pattern::Below),
            None => jid::domain(text).map(Pattern::Exactly),
        }
    }

    /// Whether `domain`, which is prepared, is one of them.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exactly(this) => this == domain,
            Pattern::Below(parent) => domain.strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.')),
        }
    }

    /// How much it says: of two that match, the greater counts.
    fn weight(&self) -> usize {
        match self {
            Pattern::Any => 0,
            Pattern::Below(parent) => 1 + parent.len(),
            Pattern::Exactly(_) => usize::MAX,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Any => f.write_str("*"),
            Pattern::Exactly(domain) => f.write_str(domain),
            Pattern::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// How another domain is dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is spoken to at all.
    pub allow: bool,
    /// Nothing but its name is said and heard before TLS (RFC 7590 §3).
    pub require_tls: bool,
    /// A domain is proved by a valid certificate and by nothing else. Wants TLS.
    pub require_certificate: bool,
    /// Whether dialback proves it.
    pub dialback: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { allow: true, require_tls: true, require_certificate: false, dialback: true }
    }
}

/// How all other domains are dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whom we speak with. None: with nobody.
    pub allow: Vec<Pattern>,
    /// Whom we do not speak with all the same.
    pub deny: Vec<Pattern>,
    /// What holds for most.
    pub policy: Policy,
    /// What holds for these; where several match, the one that says most.
    pub exceptions: Vec<(Pattern, Policy)>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { allow: vec![Pattern::Any], deny: Vec::new(), policy: Policy::default(), exceptions: Vec::new() }
    }
}

impl Rules {
    /// How `domain`, which is prepared, is dealt with. A domain that is denied is denied whatever else holds.
    pub fn policy(&self, domain: &str) -> Policy {
        let listed = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(domain));
        let own = self.exceptions.iter().filter(|(pattern, _)| pattern.matches(domain));
        let policy = own.max_by_key(|(pattern, _)| pattern.weight()).map_or(self.policy, |(_, policy)| *policy);
        Policy { allow: policy.allow && listed(&self.allow) && !listed(&self.deny), ..policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_are_of_whole_labels() {
        for (text, yes, no) in [
            ("*", "example.com", ""),
            ("Example.COM", "example.com", "a.example.com"),
            ("*.example.com", "a.b.example.com", "example.com"),
            ("*.example.com", "a.example.com", "evilexample.com"),
        ] {
            assert!(pattern(text).matches(yes), "{text} {yes}");
            assert!(no.is_empty() || !pattern(text).matches(no), "{text} {no}");
            assert_eq!(pattern(&pattern(text).to_string()), pattern(text));
        }
        for wrong in ["", "*.", "a@b", "*.a/b"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_says_most_counts() {
        let weak = Policy { require_tls: false, ..Policy::default() };
        let strict = Policy { dialback: false, require_certificate: true, ..Policy::default() };
        let rules = Rules {
            allow: vec![pattern("*.example"), pattern("b.test")],
            deny: vec![pattern("bad.example")],
            policy: Policy::default(),
            exceptions: vec![
                (pattern("a.b.example"), Policy::default()),
                (pattern("*.example"), weak),
                (pattern("*.b.example"), strict),
            ],
        };
        let may = |domain| rules.policy(domain).allow;
        assert!(may("a.example") && may("b.test") && may("x.bad.example"));
        assert!(!may("bad.example") && !may("c.test") && !may("example"));
        assert_eq!(rules.policy("x.example"), weak);
        assert_eq!(rules.policy("c.b.example"), strict);
        assert_eq!(rules.policy("a.b.example"), Policy::default());
        assert_eq!(rules.policy("b.test"), Policy::default());
        assert!(Rules::default().policy("anybody.example").allow);
    }
}
