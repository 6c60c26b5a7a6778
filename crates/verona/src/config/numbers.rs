//! `[[numbers]]`: how telephone numbers are written on either side.

use super::mistake::Wrong;
use super::read::Reader;
use super::value;
use stox::numbers::MAX_RULES;

/// How the SIP side writes the numbers of a domain that begin in some way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRule {
    /// The SIP domain, that of a component.
    pub domain: String,
    /// How they begin for XMPP users.
    pub prefix: String,
    /// How many characters of that the SIP side does not want.
    pub strip: usize,
    /// What it wants in their place.
    pub prepend: String,
    /// The domain that it has for them, where that is another one.
    pub trunk: Option<String>,
    /// The number that is shown to those who are called.
    pub caller: Option<String>,
}

impl NumberRule {
    /// How they begin for the SIP side, and at which domain.
    fn outside(&self) -> (String, &str) {
        let kept = self.prefix.get(self.strip..).unwrap_or_default();
        (format!("{}{kept}", self.prepend), self.trunk.as_deref().unwrap_or(&self.domain))
    }
}

/// What of the rest of the configuration the rules have to fit.
pub(super) struct Around<'a> {
    /// `sip.domains`.
    pub(super) xmpp_domains: Vec<&'a str>,
    /// The components' domains.
    pub(super) sip_domains: Vec<&'a str>,
    /// `sip.phone_domain`.
    pub(super) phone_domain: Option<&'a str>,
}

/// Reads `[[numbers]]`.
pub(super) fn numbers(r: &mut Reader<'_>, around: &Around<'_>) -> Vec<NumberRule> {
    let keys = r.tables("numbers");
    if keys.len() > MAX_RULES {
        r.wrong("numbers", Wrong::new("too many", format!("at most {MAX_RULES} of them")));
    }
    let mut rules: Vec<NumberRule> = Vec::new();
    for key in keys {
        let Some(rule) = rule(r, &key, around) else { continue };
        if rules.iter().any(|earlier| (&earlier.domain, &earlier.prefix) == (&rule.domain, &rule.prefix)) {
            r.wrong(&format!("{key}.prefix"), Wrong::new("two rules for the same numbers of one domain", ""));
        } else if rules.iter().any(|earlier| earlier.outside() == rule.outside()) {
            r.warn(
                &key,
                "an earlier rule writes its numbers in the same way: callers are taken for those of one of them",
            );
        }
        rules.push(rule);
    }
    rules
}

fn rule(r: &mut Reader<'_>, key: &str, around: &Around<'_>) -> Option<NumberRule> {
    let at = |name: &str| format!("{key}.{name}");
    let prefix = r.text(&at("prefix"), beginning);
    let wrong = prefix.is_none() && r.has(&at("prefix"));
    let strip = r.number(&at("strip"), &(0..=32)).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let prepend = r.text(&at("prepend"), beginning).unwrap_or_default();
    let trunk = r.text(&at("trunk"), trunk);
    let caller = r.text(&at("caller"), number);
    let domain = domain(r, &at("domain"), around)?;
    if wrong {
        return None;
    }
    let prefix = prefix.unwrap_or_default();
    let Some(kept) = prefix.get(strip..) else {
        let allowed = format!("at most {}: what is stripped is part of the prefix", prefix.len());
        r.wrong(&at("strip"), Wrong::new("more than the prefix has", allowed));
        return None;
    };
    if kept.starts_with('+') && !prepend.is_empty() {
        r.wrong(&at("prepend"), Wrong::new("a plus sign would stand in the middle of a number", "strip = 1, or more"));
    }
    if trunk.as_deref().is_some_and(|trunk| around.xmpp_domains.contains(&trunk)) {
        r.wrong(&at("trunk"), Wrong::new("an XMPP domain in sip.domains: calls would go in a circle", "a SIP domain"));
    }
    let trunk = trunk.filter(|trunk| *trunk != domain);
    Some(NumberRule { domain, prefix, strip, prepend, trunk, caller })
}

/// The domain that is written, or that of telephone numbers, or the only one there is.
fn domain(r: &mut Reader<'_>, key: &str, around: &Around<'_>) -> Option<String> {
    let allowed = around.sip_domains.join(", ");
    if r.has(key) {
        let domain = r.text(key, value::domain)?;
        if !around.sip_domains.contains(&domain.as_str()) {
            r.wrong(key, Wrong::new("no component stands for this domain", allowed));
        }
        return Some(domain);
    }
    r.expect_key(key);
    let only = || Some(around.sip_domains.as_slice()).filter(|domains| domains.len() == 1)?.first().copied();
    let domain = around.phone_domain.or_else(only);
    if domain.is_none() {
        r.missing(key, &format!("{allowed}; or set sip.phone_domain"));
    }
    domain.map(str::to_owned)
}

fn digits(text: &str) -> &str {
    text.strip_prefix('+').unwrap_or(text)
}

/// How a number begins.
pub(super) fn beginning(text: &str) -> Result<String, Wrong> {
    match digits(text).bytes().all(|b| b.is_ascii_digit()) && text.len() <= 32 {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not how a number begins", "digits, perhaps behind a plus sign: \"+49\", \"0\"")),
    }
}

/// A whole number.
fn number(text: &str) -> Result<String, Wrong> {
    match stox::numbers::is_number(text) && text.len() <= 32 {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a telephone number", "digits, perhaps behind a plus sign: \"+49301234\"")),
    }
}

/// A domain, or an address, that stands behind the @ of SIP addresses.
fn trunk(text: &str) -> Result<String, Wrong> {
    let domain = value::domain(text)?;
    match sip::uri::Host::parse(&domain) {
        Ok(_) => Ok(domain),
        Err(_) => Err(Wrong::new("not a host that SIP can write", "a domain or an address: \"carrier.example\"")),
    }
}
