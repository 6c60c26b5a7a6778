//! What a name server is asked, and what it answers, as values: whoever asks is pure, and whoever looks up is the shell.

use crate::{Str, Syntax};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The most records of an answer that are looked at: whoever has more has chosen badly, or means harm.
pub const MOST_RECORDS: usize = 32;

/// What is asked. Names are as [`name`] makes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The rules for the services of a domain (RFC 3403).
    Naptr(Str),
    /// Where a service is (RFC 2782): `_sip._udp.example.com`.
    Srv(Str),
    /// The addresses of a host, of either family.
    Addresses(Str),
}

impl Question {
    /// The name that is asked for.
    pub fn name(&self) -> &Str {
        match self {
            Question::Naptr(name) | Question::Srv(name) | Question::Addresses(name) => name,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Naptr(name) => write!(f, "NAPTR {name}"),
            Question::Srv(name) => write!(f, "SRV {name}"),
            Question::Addresses(name) => write!(f, "A/AAAA {name}"),
        }
    }
}

/// What came of a question. Every question gets one answer, within a bounded time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The records, or why there are none.
    pub found: Result<Records, Failure>,
    /// How long it holds; nothing for what is not known at all.
    pub ttl: Duration,
}

/// The records of an answer: at least one, at most [`MOST_RECORDS`], as the server had them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Of [`Question::Naptr`].
    Naptr(Arc<[Naptr]>),
    /// Of [`Question::Srv`].
    Srv(Arc<[Srv]>),
    /// Of [`Question::Addresses`].
    Addresses(Arc<[IpAddr]>),
}

/// Why there are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// There is no such name, says whoever has to know (NXDOMAIN), or it can be none.
    NoName,
    /// There is the name, but no record of the kind.
    NoRecords,
    /// No server knew (SERVFAIL, REFUSED), or what it said was no answer: later it may be otherwise.
    Failed,
    /// No server answered in time, or too many questions wait: later it may be otherwise.
    Timeout,
}

impl Failure {
    /// Whether it is known that there is nothing; otherwise nothing is known.
    pub fn is_certain(self) -> bool {
        match self {
            Failure::NoName | Failure::NoRecords => true,
            Failure::Failed | Failure::Timeout => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::NoName => "no such name",
            Failure::NoRecords => "no such record",
            Failure::Failed => "the name server failed",
            Failure::Timeout => "no answer in time",
        })
    }
}

impl std::error::Error for Failure {}

impl Answer {
    /// That there is nothing.
    pub fn none(failure: Failure) -> Answer {
        Answer { found: Err(failure), ttl: Duration::ZERO }
    }

    /// These rules.
    pub fn of_naptr(records: impl IntoIterator<Item = Naptr>, ttl: Duration) -> Answer {
        Answer::of(Records::Naptr, records, ttl)
    }

    /// These places.
    pub fn of_srv(records: impl IntoIterator<Item = Srv>, ttl: Duration) -> Answer {
        Answer::of(Records::Srv, records, ttl)
    }

    /// These addresses.
    pub fn of_addresses(records: impl IntoIterator<Item = IpAddr>, ttl: Duration) -> Answer {
        Answer::of(Records::Addresses, records, ttl)
    }

    fn of<T>(kind: impl Fn(Arc<[T]>) -> Records, records: impl IntoIterator<Item = T>, ttl: Duration) -> Answer {
        let records: Vec<T> = records.into_iter().take(MOST_RECORDS).collect();
        let found = if records.is_empty() { Err(Failure::NoRecords) } else { Ok(kind(records.into())) };
        Answer { found, ttl }
    }

    /// The rules.
    ///
    /// # Errors
    /// There are none; the answer to another kind of question is a failure.
    pub fn naptr(&self) -> Result<&[Naptr], Failure> {
        match &self.found {
            Ok(Records::Naptr(records)) => Ok(records),
            Ok(Records::Srv(_) | Records::Addresses(_)) => Err(Failure::Failed),
            Err(failure) => Err(*failure),
        }
    }

    /// The places.
    ///
    /// # Errors
    /// There are none; the answer to another kind of question is a failure.
    pub fn srv(&self) -> Result<&[Srv], Failure> {
        match &self.found {
            Ok(Records::Srv(records)) => Ok(records),
            Ok(Records::Naptr(_) | Records::Addresses(_)) => Err(Failure::Failed),
            Err(failure) => Err(*failure),
        }
    }

    /// The addresses.
    ///
    /// # Errors
    /// There are none; the answer to another kind of question is a failure.
    pub fn addresses(&self) -> Result<&[IpAddr], Failure> {
        match &self.found {
            Ok(Records::Addresses(records)) => Ok(records),
            Ok(Records::Naptr(_) | Records::Srv(_)) => Err(Failure::Failed),
            Err(failure) => Err(*failure),
        }
    }
}

/// A rule for the services of a domain (RFC 3403 §4.1). Names as [`name`] makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones are to be processed first.
    pub order: u16,
    /// Among those of the same order lower ones are to be preferred.
    pub preference: u16,
    /// What comes next, in lower case: `s` for SRV, `a` for addresses.
    pub flags: Str,
    /// The service, in upper case: `SIP+D2U`.
    pub service: Str,
    /// A substitution; empty where there is a replacement.
    pub regexp: Str,
    /// The next name to ask for; empty for the root, which stands for none.
    pub replacement: Str,
}

/// Where a service is (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones are to be tried first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, as [`name`] makes it; empty for the root, which says that there is decidedly no such service here.
    pub target: Str,
}

impl Srv {
    /// Whether the records say that there is decidedly no such service (RFC 2782: a single target of ".").
    pub fn are_refusal(records: &[Srv]) -> bool {
        matches!(records, [only] if only.target.is_empty())
    }
}

/// A name in the form that is asked for and compared: ASCII in lower case, without the dot at its end. Underscores are for services.
/// Names in other scripts have to be in their A-labels (RFC 5890).
///
/// # Errors
/// It can be no name of a host or a service: empty or too long (RFC 1035 §2.3.4), or with other characters. An IPv4 address is none.
pub fn name(text: &str) -> Result<Str, Syntax> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(of_host);
    if text.len() > 253 || !text.split('.').all(is_label) {
        return Err(Syntax("name of a host"));
    }
    // A number at the end is what some take for an address.
    match text.rsplit('.').next() {
        Some(last) if last.bytes().any(|byte| !byte.is_ascii_digit()) => Ok(Str::from(text.to_ascii_lowercase())),
        _ => Err(Syntax("name of a host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        assert_eq!(name("Example.COM.").as_deref(), Ok("example.com"));
        assert_eq!(name("_sip._udp.example.com").as_deref(), Ok("_sip._udp.example.com"));
        assert_eq!(name("xn--fuball-cta.example").as_deref(), Ok("xn--fuball-cta.example"));
        let (long, longer) = ("a".repeat(63), format!("{}a", "a.".repeat(127)));
        assert!(name(&long).is_ok() && name(&longer[2..]).is_ok());
        for wrong in
            ["", ".", "a..b", ".a", "a b", "a/b", "fußball.example", "127.0.0.1", "1", "::1", "a\0b", "a..", &longer]
        {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
        assert!(name(&format!("{long}a")).is_err());
    }

    #[test]
    fn an_answer_is_bounded_and_of_its_kind() {
        let address: IpAddr = [127, 0, 0, 1].into();
        let many = Answer::of_addresses(std::iter::repeat_n(address, 1000), Duration::from_secs(1));
        assert_eq!(many.addresses().map(<[IpAddr]>::len), Ok(MOST_RECORDS));
        assert_eq!(many.srv(), Err(Failure::Failed));
        assert_eq!(many.naptr(), Err(Failure::Failed));
        assert_eq!(Answer::of_srv([], Duration::ZERO).srv(), Err(Failure::NoRecords));
        assert_eq!(Answer::none(Failure::Timeout).addresses(), Err(Failure::Timeout));
    }

    #[test]
    fn a_lone_root_is_a_refusal() {
        let srv = |target: &str| Srv { priority: 0, weight: 0, port: 1, target: target.into() };
        assert!(Srv::are_refusal(&[srv("")]));
        assert!(!Srv::are_refusal(&[srv(""), srv("a.example")]));
        assert!(!Srv::are_refusal(&[srv("a.example")]) && !Srv::are_refusal(&[]));
    }
}
