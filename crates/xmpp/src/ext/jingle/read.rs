//! How attributes are read: whoever writes them into SDP can rely on there being no line end in any of them.

use super::{MAX_NAME, MAX_VALUE};
use base::Syntax;
use std::str::FromStr;
use xml::Element;

pub(super) use base::Str;

pub(super) type Read<T> = Result<T, Syntax>;

/// A value: none if it is not there, refused if it is too long or has control characters in it.
pub(super) fn value(e: &Element, name: &str) -> Read<Option<Str>> {
    e.attr(name).map(checked).transpose()
}

/// The name of a session or of a content.
pub(in crate::ext) fn name(text: &str) -> Read<Str> {
    if text.is_empty() || text.len() > MAX_NAME {
        return Err(Syntax("a name that is empty or too long"));
    }
    checked(text)
}

/// A value that is one word: none if it is not there or empty, refused if there is white space in it.
pub(super) fn word(e: &Element, name: &str) -> Read<Option<Str>> {
    let Some(word) = value(e, name)?.filter(|v| !v.is_empty()) else { return Ok(None) };
    if word.contains(char::is_whitespace) { Err(Syntax("white space in a word")) } else { Ok(Some(word)) }
}

/// A number without a sign.
pub(super) fn number<T: FromStr>(e: &Element, name: &str) -> Read<Option<T>> {
    let Some(text) = e.attr(name).filter(|v| !v.is_empty()) else { return Ok(None) };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(n) if digits => Ok(Some(n)),
        Ok(_) | Err(_) => Err(Syntax("not a number, or one out of its range")),
    }
}

/// A boolean; what is none is as good as not there.
pub(super) fn flag(e: &Element, name: &str) -> Option<bool> {
    match e.attr(name)? {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// The text of an element, without the white space around it.
pub(super) fn text(e: &Element) -> Read<Str> {
    checked(e.text().trim())
}

/// What must be there.
pub(super) fn required<T>(value: Option<T>, what: &'static str) -> Read<T> {
    value.ok_or(Syntax(what))
}

/// Adds to a list that has a bound.
pub(super) fn add<T>(list: &mut Vec<T>, item: T, most: usize) -> Read<()> {
    if list.len() >= most {
        return Err(Syntax("too many elements of one kind"));
    }
    list.push(item);
    Ok(())
}

/// Keeps what is not understood, up to [`super::MAX_OTHER`] elements of it.
pub(super) fn keep(list: &mut Vec<Element>, e: &Element) {
    if list.len() < super::MAX_OTHER {
        list.push(e.clone());
    }
}

fn checked(value: &str) -> Read<Str> {
    if value.len() > MAX_VALUE {
        return Err(Syntax("a value that is too long"));
    }
    if value.contains(char::is_control) {
        return Err(Syntax("control characters in a value"));
    }
    Ok(value.into())
}
