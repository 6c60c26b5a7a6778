//! Telephone numbers in URIs: RFC 3966, and the user part of RFC 3261 §19.1.6.

use super::AddressError;
use base::Str;

/// Whether a number that is not global needs a `phone-context`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// RFC 3966 §5.1.5: without one the number is nobody's.
    Required,
    /// In a SIP URI the host can stand for it, as on any private exchange.
    Optional,
}

/// The one spelling of all that RFC 3966 §4 holds equal: no visual separators, lower case, parameters in their order.
///
/// Of the parameters, `isub`, `ext` and `phone-context` say whose number it is, so that they stay: two extensions of one
/// number are two users. Every other (`noifc`, carrier and trunk routing, number portability) says how to call, and goes.
pub(super) fn canonical(subscriber: &str, context: Context) -> Result<Str, AddressError> {
    let bad = |why| Err(AddressError::Phone(why));
    let mut parts = subscriber.split(';');
    let number = digits(parts.next().unwrap_or_default())?;
    let (mut isub, mut ext, mut phone_context) = (None, None, None);
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.to_ascii_lowercase();
        let (slot, value) = match name.as_str() {
            "isub" => (&mut isub, subaddress(value)?),
            "ext" => (&mut ext, separated(value, |b| b.is_ascii_digit()).ok_or(AddressError::Phone("extension"))?),
            "phone-context" => (&mut phone_context, descriptor(value)?),
            "" => return bad("empty parameter"),
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return bad("parameter twice");
        }
    }
    if !number.starts_with('+') && phone_context.is_none() && context == Context::Required {
        return bad("local number without phone-context");
    }
    if number.starts_with('+') && phone_context.is_some() {
        return bad("global number with phone-context");
    }
    let mut out = number;
    for (name, value) in [(";isub=", isub), (";ext=", ext), (";phone-context=", phone_context)] {
        if let Some(value) = value {
            out.push_str(name);
            out.push_str(&value);
        }
    }
    Ok(out)
}

/// Percent-encodes the one character of a canonical number that a URI cannot hold.
pub(super) fn encode(number: &str) -> Str {
    Str::from(number.replace('#', "%23"))
}

/// `global-number-digits` or `local-number-digits`. The letters A to F, which RFC 3966 §5.1.3 leaves without a meaning, are
/// not taken: a user `dead.beef` is more often a word.
fn digits(text: &str) -> Result<Str, AddressError> {
    let bad = AddressError::Phone("digits");
    match text.strip_prefix('+') {
        Some(rest) => separated(rest, |b| b.is_ascii_digit()).map(|d| base::format_compact!("+{d}")).ok_or(bad),
        None => separated(&text.replace("%23", "#"), |b| b.is_ascii_digit() || b == b'*' || b == b'#')
            .map(|d| encode(&d))
            .ok_or(bad),
    }
}

/// At least one of the allowed digits, without the visual separators between them.
fn separated(text: &str, allowed: impl Fn(u8) -> bool) -> Option<Str> {
    let mut out = Str::default();
    for byte in text.bytes() {
        if allowed(byte) {
            out.push(char::from(byte));
        } else if !matches!(byte, b'-' | b'.' | b'(' | b')') {
            return None;
        }
    }
    (!out.is_empty()).then_some(out)
}

fn subaddress(value: &str) -> Result<Str, AddressError> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
        return Err(AddressError::Phone("subaddress"));
    }
    Ok(Str::from(value.to_ascii_lowercase()))
}

/// A domain, or the first digits of global numbers.
fn descriptor(value: &str) -> Result<Str, AddressError> {
    let bad = || AddressError::Phone("phone-context");
    match value.strip_prefix('+') {
        Some(_) => digits(value),
        None => {
            let domain = xmpp::jid::domain(value).map_err(|_| bad())?;
            // The domain is only a name here; its ASCII form is what a URI carries.
            xmpp::jid::domain_to_ascii(&domain).ok().filter(|d| !d.starts_with('[')).ok_or_else(bad)
        }
    }
}
