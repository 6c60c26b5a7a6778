//! The local part: RFC 7247 §6.2, with XEP-0106 in full where the RFC names three characters.

use super::AddressError;
use super::explain::Trace;
use base::Str;
use sip::uri::percent_decode;
use std::borrow::Cow;
use xmpp::jid::escape::{escape_any_case, unescape_cow};
use xmpp::jid::{Jid, username_fold, width_map};

/// The bare address of a percent-encoded user part at a host: §6.4 steps 3 to 6.
pub(super) fn jid_of_user(user: &str, host: &str, trace: &mut impl Trace) -> Result<Jid, AddressError> {
    let text = decode(user)?;
    trace.step("6.4 steps 3, 4", "percent-decode, once, and read as UTF-8", || (user.to_owned(), text.to_string()));
    // XMPP makes no difference of width, so a full-width backslash is one before escapes are looked for.
    let plain = width_map(&text);
    if plain != text {
        trace.step("6.4 step 6", "make full-width characters plain", || (text.to_string(), plain.to_string()));
    }
    // Case is mapped below, which would make `\2F` an escape that nobody wrote: the backslash is guarded in any case.
    let escaped = escape_any_case(&plain)?;
    trace.step("6.4 step 5", "escape what a local part may not have (XEP-0106)", || {
        (plain.to_string(), escaped.to_string())
    });
    let jid = Jid::new(Some(&escaped), host, None)?;
    let local = jid.local().unwrap_or_default();
    trace.step("6.4 step 6", "prepare the local part (RFC 7622)", || (escaped.to_string(), local.to_owned()));
    // Normalization can eat an escape, or the need for one: in `/` with a dot above, the dot would go to the f of `\2f`, and
    // in `\5c` with a cedilla to the c. The user would come back as another one. Only text beyond ASCII composes.
    if !plain.is_ascii() {
        let back = unescape_cow(local);
        if username_fold(&back) != username_fold(&plain) || escape_any_case(&back).as_deref() != Ok(local) {
            return Err(AddressError::LostEscape);
        }
    }
    Ok(jid)
}

/// The unescaped local part: §6.5 steps 1 to 3.
///
/// A local part that no user escapes to is refused. `a\5cb`, for one, reads as the user `a\b`, whose address is `a\b`: two
/// XMPP users would become one, and answers would go to the other.
pub(super) fn user_of_jid<'a>(jid: &'a Jid, trace: &mut impl Trace) -> Result<Option<Cow<'a, str>>, AddressError> {
    trace.step("6.5 step 1", "split off domain and resource", || {
        let or_none = |part: Option<&str>| part.unwrap_or("none").to_owned();
        (jid.to_string(), format!("{} | {} | {}", or_none(jid.local()), jid.domain(), or_none(jid.resource())))
    });
    let Some(local) = jid.local() else { return Ok(None) };
    let user = unescape_cow(local);
    trace.step("6.5 steps 2, 3", "undo the escapes (XEP-0106) of the prepared local part", || {
        (local.to_owned(), user.to_string())
    });
    // Where nothing was undone there is no backslash that reads as an escape, and nothing to be lost.
    if matches!(user, Cow::Owned(_)) && escape_any_case(&user).as_deref() != Ok(local) {
        return Err(AddressError::NoEscape);
    }
    Ok(Some(user))
}

fn decode(user: &str) -> Result<Cow<'_, str>, AddressError> {
    if !user.contains('%') {
        return Ok(Cow::Borrowed(user));
    }
    let octets = percent_decode(user).map_err(|_| AddressError::Encoding("percent-encoding"))?;
    String::from_utf8(octets).map(Cow::Owned).map_err(|_| AddressError::Encoding("UTF-8"))
}

/// The mailbox name of an `im:` or `pres:` URI: RFC 5322's dot-atom-text as far as a URI can hold it, all else
/// percent-encoded (RFC 3860 §3 by way of RFC 2368). A dot may stand between atoms but not first, last or twice.
pub(super) fn encode_dot_atom(user: &str) -> Str {
    let bytes = user.as_bytes();
    let mut out = Str::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let stands = match byte {
            b'!' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'_' | b'~' => true,
            b'.' => at > 0 && bytes.get(at + 1).is_some_and(|&next| next != b'.'),
            _ => byte.is_ascii_alphanumeric(),
        };
        if stands {
            out.push(char::from(byte));
        } else {
            out.push_str(&base::format_compact!("%{byte:02X}"));
        }
    }
    out
}
