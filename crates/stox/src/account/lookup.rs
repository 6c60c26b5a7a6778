//! From what people write, a telephone number or a SIP address, to an address in a domain of ours.

use crate::address;
use crate::config::Config;
use crate::numbers;
use base::Str;
use sip::Uri;
use std::fmt;
use xmpp::jid::{Jid, escape};

/// The longest text that is looked at, in bytes.
const MOST: usize = 512;

/// Why there is no address for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// It is no number and no address.
    Nonsense,
    /// It is somewhere where this gateway does not lead to.
    Elsewhere,
    /// Nobody calls numbers through this gateway.
    NoNumbers,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotFound::Nonsense => "This is no telephone number and no SIP address.",
            NotFound::Elsewhere => "This gateway does not lead there.",
            NotFound::NoNumbers => "Telephone numbers cannot be reached here: a SIP address is wanted.",
        })
    }
}

/// The address of whoever is meant by `text`, written at the domain of ours `domain`: a number as people write it, `tel:` and `sip:` URIs, an address without a
/// scheme, or the name of a user there.
///
/// # Errors
/// [`NotFound`].
pub fn find(config: &Config, domain: &str, text: &str) -> Result<Jid, NotFound> {
    let text = text.trim();
    if text.is_empty() || text.len() > MOST || text.contains(char::is_control) {
        return Err(NotFound::Nonsense);
    }
    match number(text.strip_prefix("tel:").unwrap_or(text)) {
        Some(number) => return of_number(config, domain, &number),
        None if text.starts_with("tel:") => return Err(NotFound::Nonsense),
        None => {}
    }
    let options = address::Options { phone_domain: config.phone_domain.clone() };
    let found = match text.split_once(':') {
        Some(("sip" | "sips" | "im" | "pres", _)) => {
            let uri = Uri::parse(text).map_err(|_| NotFound::Nonsense)?;
            address::to_jid(&uri, &options).map_err(|_| NotFound::Nonsense)?.bare()
        }
        _ => {
            // A name may have anything in it, a domain no `@`.
            let (user, host) = text.rsplit_once('@').unwrap_or((text, domain));
            let local = escape::escape_any_case(user).map_err(|_| NotFound::Nonsense)?;
            Jid::new(Some(&local), host, None).map_err(|_| NotFound::Nonsense)?
        }
    };
    if found.local().is_none() || address::to_uri(&found, address::Scheme::Sip).is_err() {
        return Err(NotFound::Nonsense);
    }
    // As it would be if it called: rules for numbers may know it otherwise.
    let found = config.numbers.caller(&found).unwrap_or(found);
    if config.links.iter().any(|link| link.domain == found.domain()) { Ok(found) } else { Err(NotFound::Elsewhere) }
}

/// The digits of a number as people write it, after a plus sign perhaps: with spaces, hyphens, dots, slashes and brackets, and a zero in brackets that is only
/// dialled within the country.
pub(super) fn number(text: &str) -> Option<Str> {
    let text = text.trim();
    let (plus, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest.replacen("(0)", "", 1)),
        None => (false, text.to_owned()),
    };
    let mut number = Str::default();
    if plus {
        number.push('+');
    }
    for c in rest.chars() {
        match c {
            '0'..='9' => number.push(c),
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{2011}' | '\u{202f}' => {}
            _ => return None,
        }
    }
    numbers::is_number(&number).then_some(number)
}

/// The address of a number: by the operator's rules where it is written as they have it outside, else as it is.
fn of_number(config: &Config, domain: &str, number: &str) -> Result<Jid, NotFound> {
    let at = |host: &str| Jid::new(Some(number), host, None).ok();
    let rules = || config.numbers.rules.iter().take(numbers::MAX_RULES);
    // The domain that was asked first; of rules that go to another host, those.
    let home = config.phone_domain.as_deref().filter(|phones| number.starts_with('+') && *phones != domain);
    let own = [Some(domain), home].into_iter().flatten();
    for host in own.clone().filter(|_| number.starts_with('+')) {
        if let Some(known) = at(host).filter(|known| config.numbers.dial(known).is_some()) {
            return Ok(known);
        }
    }
    for rule in rules().filter(|rule| rule.domain == domain) {
        let outside = at(rule.trunk.as_deref().unwrap_or(domain));
        if let Some(known) = outside.and_then(|outside| config.numbers.caller(&outside)) {
            return Ok(known);
        }
    }
    // No rule: the SIP side may know what an extension is, and numbers of all the world where they are at home.
    let known = if number.starts_with('+') { home.unwrap_or(domain) } else { domain };
    let phones = config.phone_domain.as_deref() == Some(known) || !number.starts_with('+');
    if phones { at(known).ok_or(NotFound::Nonsense) } else { Err(NotFound::NoNumbers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (text, digits) in [
            ("+49 (0)30 / 12 34-56", Some("+4930123456")),
            ("+49\u{a0}30\u{202f}123", Some("+4930123")),
            ("030.1234", Some("0301234")),
            ("(555) 010-9999", Some("5550109999")),
            ("112", Some("112")),
            ("1", None),
            ("+", None),
            ("49+30", None),
            ("romeo", None),
            ("12a", None),
            ("", None),
        ] {
            assert_eq!(number(text).as_deref(), digits, "{text}");
        }
    }
}
