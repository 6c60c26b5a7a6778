//! Why a request was sent, or refused: Reason (RFC 3326).

use crate::header::{Headers, Name, elements, package, params::Params};
use crate::lex::{self, Syntax};
use base::Str;
use std::borrow::Cow;
use std::fmt;

/// How many values are looked at: one for each protocol is what RFC 3326 §2 allows.
const MAX: usize = 8;

/// One value of Reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    /// The namespace of the cause, as it came: `SIP`, `Q.850`. Compared without regard to case.
    pub protocol: Str,
    /// `cause`, `text` and others.
    pub params: Params,
}

impl Reason {
    /// The status of a SIP response, 100 to 699, with words for a person; the empty text is none.
    pub fn sip(code: u16, text: &str) -> Reason {
        Reason::new("SIP", code, text)
    }

    /// A cause of ITU-T Q.850, 1 to 127, with words for a person; the empty text is none.
    pub fn q850(cause: u8, text: &str) -> Reason {
        Reason::new("Q.850", u16::from(cause), text)
    }

    fn new(protocol: &'static str, cause: u16, text: &str) -> Reason {
        let mut params = Params::new();
        params.set("cause", Some(&base::format_compact!("{cause}")));
        if !text.is_empty() {
            params.set("text", Some(text));
        }
        Reason { protocol: Str::const_new(protocol), params }
    }

    /// Reads one value: `protocol *( SEMI reason-params )`.
    pub fn parse(text: &str) -> Result<Reason, Syntax> {
        let (protocol, params) = package::read(text)?;
        Ok(Reason { protocol, params })
    }

    /// The values of one line, at most 8. Those that cannot be read are left out, as RFC 3326 §2 lets one do.
    pub fn all(line: &str) -> impl Iterator<Item = Reason> {
        elements(line).take(MAX).filter_map(|element| Reason::parse(element.ok()?).ok())
    }

    /// The status of a SIP response, where this is one.
    pub fn sip_code(&self) -> Option<u16> {
        self.cause_of("SIP").filter(|code| (100..700).contains(code))
    }

    /// The cause of ITU-T Q.850, where this is one.
    pub fn q850_cause(&self) -> Option<u8> {
        self.cause_of("Q.850").and_then(|cause| u8::try_from(cause).ok()).filter(|cause| (1..128).contains(cause))
    }

    /// The words for a person, without their quotes.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        self.params.value("text").filter(|text| !text.is_empty())
    }

    fn cause_of(&self, protocol: &str) -> Option<u16> {
        if !self.protocol.eq_ignore_ascii_case(protocol) {
            return None;
        }
        // Some switches quote the number.
        u16::try_from(lex::number(&self.params.value("cause")?, u64::from(u16::MAX))?).ok()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.protocol, self.params)
    }
}

impl Headers {
    /// Every value of Reason that can be read, at most 8: RFC 3326 §2. The first one of a protocol is the one that counts.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.all(Name::Reason).flat_map(Reason::all).take(MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3326 §2.
    #[test]
    fn a_cause_has_a_protocol() {
        let mut headers = Headers::new();
        headers.push(Name::Reason, "SIP ;cause=200 ;text=\"Call completed elsewhere\", broken;=, q.850;cause=\"16\"");
        headers.push(Name::Reason, "X;cause=1");
        let all: Vec<_> = headers.reasons().map(|reason| (reason.sip_code(), reason.q850_cause())).collect();
        assert_eq!(all, [(Some(200), None), (None, Some(16)), (None, None)]);
        assert_eq!(headers.reasons().next().expect("a reason").text().as_deref(), Some("Call completed elsewhere"));
        for text in
            ["SIP", "SIP;cause", "SIP;cause=", "SIP;cause=99", "SIP;cause=700", "SIP;cause=x", "SIP;cause=65736"]
        {
            assert_eq!(Reason::parse(text).ok().and_then(|reason| reason.sip_code()), None, "{text}");
        }
        for text in ["Q.850;cause=0", "Q.850;cause=128", "Q.850;cause=272", "SIP;cause=16"] {
            assert_eq!(Reason::parse(text).ok().and_then(|reason| reason.q850_cause()), None, "{text}");
        }
        for text in ["", ";cause=200", "SIP cause=200", "SIP;cause=200 x", "SIP;text=\"open"] {
            assert!(Reason::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        assert_eq!(Reason::sip(486, "").to_string(), "SIP;cause=486");
        assert_eq!(Reason::q850(17, "User \"busy\"").to_string(), "Q.850;cause=17;text=\"User \\\"busy\\\"\"");
        let text = "a, b;\\ \"c\"";
        let read = Reason::all(&format!("{}, {}", Reason::sip(603, text), Reason::q850(21, text))).collect::<Vec<_>>();
        assert_eq!(read.len(), 2);
        assert!(read.iter().all(|reason| reason.text().as_deref() == Some(text)), "{read:?}");
        assert_eq!((read[0].sip_code(), read[1].q850_cause()), (Some(603), Some(21)));
    }

    #[test]
    fn a_flood_of_causes_is_cut() {
        let mut headers = Headers::new();
        (0..100).for_each(|_| headers.push(Name::Reason, "SIP;cause=200, SIP;cause=486"));
        assert_eq!(headers.reasons().count(), MAX);
    }
}
