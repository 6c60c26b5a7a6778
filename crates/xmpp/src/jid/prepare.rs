//! The preparation of local parts and resources: PRECIS (RFC 8264, RFC 8265) with a short way for ASCII.

use super::{JidError, MAX_PART, Part};
use base::Str;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::Rules;
use precis_profiles::precis_core::stringclasses::StringClass;
use precis_profiles::precis_core::{self, DerivedPropertyValue, FreeformClass, IdentifierClass};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use std::borrow::Cow;

/// Mapping shrinks text at most threefold (a full-width letter of three octets becomes one), so that what is longer
/// than this can never fit. It bounds the work that an address can ask for.
const MAX_RAW: usize = 3 * MAX_PART;

/// How many characters a part may have whose place decides whether they may stand there: joiners, Arabic digits and the
/// like. Each has its neighbours looked at, which takes time for as many as fit.
const MAX_IN_CONTEXT: usize = 128;

/// The local part by UsernameCaseMapped (RFC 8265 §3.3) without the characters of RFC 7622 §3.3.1.
pub(super) fn local(text: &str) -> Result<Str, JidError> {
    const PART: Part = Part::Local;
    if text.is_ascii() {
        check_length(PART, text, MAX_PART)?;
        if let Some(bad) = text.bytes().find(|&b| !b.is_ascii_graphic() || is_excluded(b)) {
            return Err(JidError::Forbidden(PART, char::from(bad)));
        }
        let mut out = Str::from(text);
        out.make_ascii_lowercase();
        return Ok(out);
    }
    check_length(PART, text, MAX_RAW)?;
    let out = settle(PART, text, username)?;
    if let Some(bad) = out.bytes().find(|&b| is_excluded(b)) {
        return Err(JidError::Forbidden(PART, char::from(bad)));
    }
    check_length(PART, &out, MAX_PART)?;
    Ok(Str::from(out))
}

/// The resource by OpaqueString (RFC 8265 §4.2). Spaces may stand anywhere, also first and last: the profile allows it
/// and so do servers, though RFC 7622 table 2 lists a leading space among its errors.
pub(super) fn resource(text: &str) -> Result<Str, JidError> {
    const PART: Part = Part::Resource;
    if text.is_ascii() {
        check_length(PART, text, MAX_PART)?;
        if let Some(bad) = text.bytes().find(u8::is_ascii_control) {
            return Err(JidError::Forbidden(PART, char::from(bad)));
        }
        return Ok(Str::from(text));
    }
    check_length(PART, text, MAX_RAW)?;
    let out = settle(PART, text, opaque)?;
    check_length(PART, &out, MAX_PART)?;
    Ok(Str::from(out))
}

/// RFC 7622 §3.3.1: what a local part may not have though its string class allows it.
fn is_excluded(byte: u8) -> bool {
    matches!(byte, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@')
}

fn check_length(part: Part, text: &str, max: usize) -> Result<(), JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        n if n > max => Err(JidError::TooLong(part)),
        _ => Ok(()),
    }
}

/// Applies `rules` until nothing changes any more, at most three times over (RFC 8264 §7). Once is not always enough:
/// `=` and a combining stroke are allowed apart but compose to a symbol that is not.
fn settle<'a>(
    part: Part,
    text: &'a str,
    rules: fn(Part, Cow<'a, str>) -> Result<Cow<'a, str>, JidError>,
) -> Result<Cow<'a, str>, JidError> {
    let mut now = rules(part, Cow::Borrowed(text))?;
    for _ in 0..3 {
        let next = rules(part, now.clone())?;
        if next == now {
            return Ok(now);
        }
        now = next;
    }
    Err(JidError::Unstable(part))
}

fn username(part: Part, text: Cow<'_, str>) -> Result<Cow<'_, str>, JidError> {
    let profile = UsernameCaseMapped::new();
    let fail = |e| failed(part, &e);
    let text = profile.width_mapping_rule(text).map_err(fail)?;
    in_class(part, &IdentifierClass::default(), &text)?;
    let text = profile.case_mapping_rule(text).map_err(fail)?;
    let text = profile.normalization_rule(text).map_err(fail)?;
    profile.directionality_rule(text).map_err(|_| JidError::Directionality(part))
}

fn opaque(part: Part, text: Cow<'_, str>) -> Result<Cow<'_, str>, JidError> {
    let profile = OpaqueString::new();
    let fail = |e| failed(part, &e);
    in_class(part, &FreeformClass::default(), &text)?;
    let text = profile.additional_mapping_rule(text).map_err(fail)?;
    profile.normalization_rule(text).map_err(fail)
}

fn failed(part: Part, error: &precis_core::Error) -> JidError {
    match error {
        precis_core::Error::BadCodepoint(info) => {
            JidError::Forbidden(part, char::from_u32(info.cp).unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        precis_core::Error::Invalid | precis_core::Error::Unexpected(_) => JidError::Unstable(part),
    }
}

/// Full-width and half-width letters as the plain ones that a local part has in their place (RFC 8265 §3.3.1 rule 1).
pub fn width_map(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    // The rule fails for no text; if it did, the text would be refused later.
    UsernameCaseMapped::new().width_mapping_rule(text).unwrap_or(Cow::Borrowed(text))
}

/// What the preparation of a local part makes of `text` by width, case and normalization mapping, without asking
/// whether a local part may have it. Two user names of another protocol that are equal after this are one user here.
pub fn username_fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let profile = UsernameCaseMapped::new();
    let once = |text: &str| {
        let text = width_map(text).into_owned();
        let text = profile.case_mapping_rule(text).unwrap_or_default();
        profile.normalization_rule(text).unwrap_or_default().into_owned()
    };
    // As often as the preparation itself does it.
    (0..4).fold(text.to_owned(), |text, _| once(&text))
}

/// Whether each character of `text` belongs to the string class.
///
/// The class tables are those of Unicode 6.3, the last version that IANA registered for PRECIS. What they call
/// unassigned may be a letter or an emoji of today, and a room's occupants do use those as their names: RFC 8264 §9
/// derives the classes for any version of Unicode, so newer tables decide there (see [`assigned_since`]).
fn in_class<C: StringClass>(part: Part, class: &C, text: &str) -> Result<(), JidError> {
    let mut in_context = None;
    let mut count = 0;
    for c in text.chars() {
        let allowed = match class.get_value_from_char(c) {
            DerivedPropertyValue::PValid | DerivedPropertyValue::SpecClassPval => true,
            DerivedPropertyValue::SpecClassDis | DerivedPropertyValue::Disallowed => false,
            DerivedPropertyValue::Unassigned => match part {
                Part::Local => c.is_alphanumeric() && assigned_since(c),
                Part::Domain | Part::Resource => assigned_since(c),
            },
            DerivedPropertyValue::ContextJ | DerivedPropertyValue::ContextO => {
                in_context = Some(c);
                count += 1;
                count <= MAX_IN_CONTEXT
            }
        };
        if !allowed {
            return Err(JidError::Forbidden(part, c));
        }
    }
    let Some(last) = in_context else { return Ok(()) };
    // These look at what stands around them. What the class tables do not know is no context for any of them.
    let known = |c: char| class.get_value_from_char(c) != DerivedPropertyValue::Unassigned;
    for run in text.split(|c| !known(c)).filter(|run| !run.is_empty()) {
        class.allows(run).map_err(|e| match failed(part, &e) {
            JidError::Unstable(part) => JidError::Forbidden(part, last),
            e => e,
        })?;
    }
    Ok(())
}

/// Whether today's Unicode, as IDNA's mapping table (UTS #46) knows it, has `c` and maps at most its case.
fn assigned_since(c: char) -> bool {
    let name = Uts46::new();
    // Alone, for what writes from right to left; behind a letter, for what may not begin a name.
    [String::from(c), format!("a{c}")].iter().any(|label| {
        name.to_ascii(label.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore).is_ok()
            && name.to_unicode(label.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow).0.to_lowercase()
                == label.to_lowercase()
    })
}

/// Whether Nodeprep or Nameprep (RFC 3491, RFC 6122 appendix A) turns `c`, which the rules here keep, into something
/// else: the letters that RFC 3454 table B.2 folds to several, and the joiners that table B.1 takes away.
pub(super) fn folds_in_stringprep(c: char) -> bool {
    matches!(c,
        'ß' | '\u{345}' | 'ς'
        | '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}'
        | '\u{1fb2}'..='\u{1fb4}' | '\u{1fb7}' | '\u{1fc2}'..='\u{1fc4}' | '\u{1fc7}'
        | '\u{1ff2}'..='\u{1ff4}' | '\u{1ff7}'
        | '\u{200c}' | '\u{200d}')
}
