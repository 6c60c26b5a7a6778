//! Telephone numbers as the XMPP side has them (`+49301234@sip.example`) <-> as the SIP side wants them (`0301234` at a trunk): the operator's rules, beside RFC
//! 7247 §6; and callers who do not say who they are (RFC 3323).
//!
//! A rule goes both ways: what it makes of a number that is called, it undoes for one that calls; so the ways of writing one number become one XMPP user. It
//! changes how a number begins and leaves its last two digits alone, by which the shard of a pair is found ([`shard_key`]), so that rules may change while calls are under way.

use crate::address::{self, AddressError, Scheme};
use base::Str;
use sip::Request;
use sip::uri::{Host, SipUri, Uri};
use xmpp::jid::Jid;

/// The most rules that are looked at.
pub const MAX_RULES: usize = 256;
/// The digits at the end of a number that no rule touches.
const TAIL: usize = 2;
/// The local part of a caller who does not say who it is (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "anonymous";

/// What the operator has said of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The rules, at most [`MAX_RULES`]. Of those that fit, the one whose beginning is the longest counts, and of those the first.
    pub rules: Vec<Rule>,
    /// Whether calls of callers who do not say who they are are let in.
    pub anonymous: bool,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The SIP domain whose numbers it is about.
    pub domain: Str,
    /// How they begin as the XMPP side has them: `+49`; empty: all numbers.
    pub prefix: Str,
    /// How many characters of that the SIP side does not want: no more than the prefix has.
    pub strip: usize,
    /// What it wants in their place.
    pub prepend: Str,
    /// The domain that it has for them, where that is another one.
    pub trunk: Option<Str>,
    /// The number that is shown to those who are called, whoever of the XMPP users calls (P-Asserted-Identity, RFC 3325).
    pub caller: Option<Str>,
}

/// What a number is for the SIP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// Its address.
    pub uri: SipUri,
    /// The number that calls, if the rule names one: an address of the same domain.
    pub caller: Option<SipUri>,
}

impl Rule {
    /// How a number begins as the SIP side has it, in two parts.
    fn outer(&self) -> (&str, &str) {
        (&self.prepend, self.prefix.get(self.strip..).unwrap_or_default())
    }

    /// What follows that in a number of the SIP side.
    fn rest<'a>(&self, number: &'a str) -> Option<&'a str> {
        let (first, second) = self.outer();
        number.strip_prefix(first)?.strip_prefix(second).filter(|rest| is_tail(rest))
    }

    fn host(&self) -> &str {
        self.trunk.as_deref().unwrap_or(&self.domain)
    }
}

impl Numbers {
    /// What the SIP side has for a number; none where the address is no number, or no rule is about it.
    pub fn dial(&self, to: &Jid) -> Option<Dialled> {
        let number = to.local().filter(|local| is_number(local))?;
        let (rule, rest) = self.find(number, to.domain())?;
        let (first, second) = rule.outer();
        let uri = at(&base::format_compact!("{first}{second}{rest}"), rule.host())?;
        let caller = rule.caller.as_deref().and_then(|caller| at(caller, rule.host()));
        Some(Dialled { uri, caller })
    }

    /// The SIP address of whoever is called or written to: by the rules if it is a number that they are about, else by RFC 7247 §6.5.
    ///
    /// # Errors
    /// It has none.
    pub fn to_uri(&self, to: &Jid) -> Result<SipUri, AddressError> {
        self.dial(to).map_or_else(|| address::to_uri(to, Scheme::Sip), |dialled| Ok(dialled.uri))
    }

    /// The XMPP address of a caller, if it is a number that a rule is about: one that is written as the rule has it, or as XMPP users have it. Only
    /// what would be dialled at the very domain that it comes from is taken: nobody else speaks for it.
    pub fn caller(&self, caller: &Jid) -> Option<Jid> {
        let (number, host) = (caller.local().filter(|local| is_number(local))?, caller.domain());
        let fit = || self.rules().filter(|rule| rule.host() == host);
        let longest =
            fit().filter_map(|rule| Some((rule.rest(number)?, rule))).rev().min_by_key(|(rest, _)| rest.len());
        let inner = longest.map(|(rest, rule)| (base::format_compact!("{}{rest}", rule.prefix), &rule.domain));
        let as_is = fit().map(|rule| (Str::from(number), &rule.domain));
        let mut ways = inner.into_iter().chain(as_is);
        let (inner, domain) =
            ways.find(|(inner, domain)| self.find(inner, domain).is_some_and(|(rule, _)| rule.host() == host))?;
        Jid::new(Some(&inner), domain, None).ok()
    }

    /// The domain on the SIP side of those numbers that a rule has at another one.
    pub fn is_trunk(&self, domain: &str) -> bool {
        self.rules().any(|rule| rule.trunk.as_deref() == Some(domain))
    }

    fn find<'a>(&self, number: &'a str, domain: &str) -> Option<(&Rule, &'a str)> {
        let fit = self.rules().filter(|rule| rule.domain == domain);
        let fit = fit.filter_map(|rule| Some((rule, number.strip_prefix(rule.prefix.as_str())?)));
        // Of several that are as long, the first.
        fit.filter(|(_, rest)| is_tail(rest)).rev().max_by_key(|(rule, _)| rule.prefix.len())
    }

    fn rules(&self) -> impl DoubleEndedIterator<Item = &Rule> {
        self.rules.iter().take(MAX_RULES)
    }
}

/// The name of a caller, for people to read: what From says of it, or else somebody who `is_trusted`. None where the caller does not want it shown.
pub(crate) fn name(request: &Request, is_trusted: bool) -> Option<Str> {
    let privacy = request.headers.privacy();
    let from = request.headers.from().ok()?;
    if privacy.user || is_anonymous(&from.uri) {
        return None;
    }
    from.display.or_else(|| {
        let asserted = (is_trusted && !privacy.id).then(|| request.headers.asserted_identity())?;
        asserted.display().map(Str::from)
    })
}

/// Whether a request must not be served as it is: it asks for more privacy than there is, and rather not to be served than to go without. Who calls and
/// where the media come from is not hidden by the gateway; all other things are (RFC 3323 §5).
pub(crate) fn wants_privacy(request: &Request) -> bool {
    let privacy = request.headers.privacy();
    let named = request.headers.from().is_ok_and(|from| !is_anonymous(&from.uri));
    privacy.critical && !privacy.none && (privacy.user && named || privacy.session)
}

/// Whether a URI is that of a caller who does not say who it is: RFC 3323 §4.1.1.3, and `anonymous` at any other host as many have it.
pub fn is_anonymous(uri: &Uri) -> bool {
    let user = uri.sip().and_then(|uri| uri.user.as_deref());
    user.is_some_and(|user| user.eq_ignore_ascii_case(ANONYMOUS))
}

/// The XMPP address of such callers.
pub(crate) fn anonymous(domain: &str) -> Option<Jid> {
    Jid::new(Some(ANONYMOUS), domain, None).ok()
}

/// What counts of a local part where the shard of a pair is chosen: of a number, the last digits.
pub(crate) fn shard_key(local: &str) -> &str {
    if is_number(local) { local.get(local.len() - TAIL..).unwrap_or(local) } else { local }
}

/// Whether a local part is a telephone number: digits, the first of them after a plus sign perhaps, and at least two.
pub fn is_number(local: &str) -> bool {
    is_tail(local.strip_prefix('+').unwrap_or(local))
}

/// What is left of a number behind its beginning.
fn is_tail(rest: &str) -> bool {
    rest.len() >= TAIL && rest.bytes().all(|b| b.is_ascii_digit())
}

fn at(number: &str, host: &str) -> Option<SipUri> {
    let mut uri = SipUri::new(Host::parse(host).ok()?).with_user(number.as_bytes());
    uri.params.set("user", Some(b"phone"));
    Some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("an address")
    }

    fn rule(prefix: &str, strip: usize, prepend: &str, trunk: Option<&str>) -> Rule {
        Rule {
            domain: Str::const_new("sip.example"),
            prefix: prefix.into(),
            strip,
            prepend: prepend.into(),
            trunk: trunk.map(Str::from),
            caller: None,
        }
    }

    /// A German exchange: its own numbers by extension, the country's with 0, the world's with 00, by a carrier.
    fn exchange() -> Numbers {
        let carrier = Some("carrier.example");
        let rules = vec![
            rule("+", 1, "00", carrier),
            rule("+49", 3, "0", carrier),
            rule("+4930123", 8, "", None),
            Rule { caller: Some("+49301230".into()), ..rule("+800", 0, "", carrier) },
        ];
        Numbers { rules, ..Numbers::default() }
    }

    #[test]
    fn numbers_there_and_back() {
        let numbers = exchange();
        for (inner, outer) in [
            ("+493012345@sip.example", "sip:45@sip.example;user=phone"),
            ("+49409876@sip.example", "sip:0409876@carrier.example;user=phone"),
            ("+33123456@sip.example", "sip:0033123456@carrier.example;user=phone"),
            ("+80012345@sip.example", "sip:+80012345@carrier.example;user=phone"),
        ] {
            let dialled = numbers.dial(&jid(inner)).expect(inner);
            assert_eq!(dialled.uri.to_string(), outer);
            let back = address::to_jid(&Uri::parse(outer).expect(outer), &address::Options::default()).expect(outer);
            assert_eq!(numbers.caller(&back), Some(jid(inner)), "{outer}");
            assert_eq!(shard_key(jid(inner).local().expect("a local part")), shard_key(back.local().expect("one")));
        }
        let shown = numbers.dial(&jid("+80012345@sip.example")).and_then(|dialled| dialled.caller);
        assert_eq!(shown.map(|uri| uri.to_string()).as_deref(), Some("sip:+49301230@carrier.example;user=phone"));
        // A resource is ours and nothing to a telephone.
        let device = numbers.to_uri(&jid("+493012345@sip.example/gr-1")).expect("an address");
        assert_eq!(device.to_string(), "sip:45@sip.example;user=phone");
    }

    #[test]
    fn what_no_rule_is_about() {
        let numbers = exchange();
        for other in ["romeo@sip.example", "112@sip.example", "+49301@other.example", "+1@sip.example", "sip.example"] {
            assert_eq!(numbers.dial(&jid(other)), None, "{other}");
        }
        assert_eq!(
            numbers.to_uri(&jid("romeo@sip.example")).map(|uri| uri.to_string()).as_deref(),
            Ok("sip:romeo@sip.example")
        );
        // An extension of one digit, a carrier's word, a number of the carrier's at the exchange.
        for other in ["5@sip.example", "service@carrier.example", "0409876@other.example"] {
            assert_eq!(numbers.caller(&jid(other)), None, "{other}");
        }
        // One number, written otherwise.
        for other in ["+49409876@carrier.example", "0049409876@carrier.example"] {
            assert_eq!(numbers.caller(&jid(other)), Some(jid("+49409876@sip.example")), "{other}");
        }
        // Who is 45 here is nobody that the carrier may speak for.
        for other in ["+493012345@carrier.example", "003012345@carrier.example"] {
            assert_ne!(numbers.caller(&jid(other)), Some(jid("+493012345@sip.example")), "{other}");
        }
        assert_eq!(numbers.caller(&jid("+493012345@carrier.example")), None);
        assert!(numbers.is_trunk("carrier.example") && !numbers.is_trunk("sip.example"));
    }

    #[test]
    fn nobody() {
        let uri = |text| Uri::parse(text).expect("a URI");
        assert!(is_anonymous(&uri("sip:Anonymous@anonymous.invalid")) && is_anonymous(&uri("sip:anonymous@192.0.2.1")));
        assert!(!is_anonymous(&uri("sip:romeo@anonymous.invalid")) && !is_anonymous(&uri("tel:+49301234")));
        assert_eq!(anonymous("sip.example"), Some(jid("anonymous@sip.example")));
    }

    /// RFC 3325 §5, §9.3: somebody's word for a caller counts from those who are trusted, and where the caller does not mind.
    #[test]
    fn names_of_callers() {
        let (friend, stranger) = (true, false);
        let called = |from: &str, privacy: &str, is_trusted| {
            let mut request = Request::new(sip::Method::Invite, Uri::parse("sip:juliet@example.com").expect("a URI"));
            request.headers.push(sip::Name::From, from);
            request.headers.push(sip::Name::PAssertedIdentity, "\"Montague\" <sip:romeo@sip.example>, <tel:+49301234>");
            request.headers.push(sip::Name::Privacy, privacy);
            (name(&request, is_trusted).map(String::from), wants_privacy(&request))
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(called("\"Romeo\" <sip:r@sip.example>", "", friend), (named("Romeo"), false));
        assert_eq!(called("<sip:r@sip.example>", "none", friend), (named("Montague"), false));
        assert_eq!(called("<sip:r@sip.example>", "", stranger), (None, false));
        assert_eq!(called("<sip:r@sip.example>", "id", friend), (None, false));
        assert_eq!(called("\"Romeo\" <sip:r@sip.example>", "user", friend), (None, false));
        assert_eq!(called("\"Anonymous\" <sip:anonymous@anonymous.invalid>", "", friend), (None, false));
        assert_eq!(called("<sip:r@sip.example>", "user;critical", friend), (None, true));
        assert_eq!(called("<sip:r@sip.example>", "session;critical", stranger), (None, true));
        assert_eq!(called("<sip:anonymous@anonymous.invalid>", "user;id;critical", friend), (None, false));
    }

    proptest! {
        /// Who is called back is at the domain that the call has come from, and in the same shard.
        #[test]
        fn a_caller_is_who_is_called(
            rules in proptest::collection::vec(("\\+?[0-9]{0,4}", 0usize..4, "\\+?[0-9]{0,3}", any::<bool>()), 0..5),
            local in "\\+?[0-9]{1,9}",
            host in prop_oneof![Just("sip.example"), Just("carrier.example")],
        ) {
            let make = |(prefix, strip, prepend, trunk): (String, usize, String, bool)| {
                // A plus sign stands at the beginning only.
                let least = usize::from(prefix.starts_with('+') && !prepend.is_empty());
                rule(&prefix, strip.max(least).min(prefix.len()), &prepend, trunk.then_some("carrier.example"))
            };
            let numbers = Numbers { rules: rules.into_iter().map(make).collect(), ..Numbers::default() };
            let caller = jid(&format!("{local}@{host}"));
            if let Some(inner) = numbers.caller(&caller) {
                let dialled = numbers.dial(&inner).expect("a way back");
                let back = address::to_jid(&Uri::Sip(dialled.uri), &address::Options::default()).expect("an address");
                prop_assert_eq!(back.domain(), caller.domain());
                prop_assert_eq!(numbers.caller(&back).map(|again| numbers.dial(&again).is_some()), Some(true));
                prop_assert_eq!(shard_key(inner.local().unwrap_or_default()), shard_key(&local));
            }
        }
    }
}
