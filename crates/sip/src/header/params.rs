//! `generic-param`: what stands behind the semicolons of a header value (RFC 3261 §25.1).

use crate::lex::{self, Cursor, Syntax, TOKEN};
use base::Str;
use std::borrow::Cow;
use std::fmt;

/// The parameters of a header value in their order. Names are compared without regard to case; of two with one name the
/// first counts. The white space around `;` and `=` is gone, quoted values keep their quotes.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Params(Str);

impl Params {
    /// No parameters.
    pub const fn new() -> Params {
        Params(Str::const_new(""))
    }

    /// Reads `*( SEMI generic-param )` and the white space behind it.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Params, Syntax> {
        Params::read_with(cursor, |_, _| Ok(()))
    }

    /// The same, and shows each parameter to `visit`, which may refuse it.
    pub(crate) fn read_with(
        cursor: &mut Cursor<'_>,
        visit: impl FnMut(&str, Option<&str>) -> Result<(), Syntax>,
    ) -> Result<Params, Syntax> {
        let start = cursor.at();
        let spaced = walk(cursor, visit)?;
        let text = cursor.since(start).trim_ascii_end();
        cursor.skip_ws();
        Ok(Params(if spaced { compact(text) } else { Str::new(text) }))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each parameter with its value; quoted-strings still quoted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        Compact(&self.0)
    }

    /// Whether there is such a parameter, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The value of a parameter, a quoted-string still quoted. `None` if it is absent or has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?.1
    }

    /// The value of a parameter without its quotes. `None` if it is absent or has no value.
    pub fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(unquote)
    }

    /// Sets a parameter in its place, or at the end. A value that is no token and no host is quoted. A name that is no
    /// token is not set.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        if !lex::all(name, TOKEN) {
            return;
        }
        let mut text = Str::with_capacity(self.0.len() + name.len() + value.map_or(0, str::len) + 4);
        let mut written = false;
        for (n, v) in self.iter() {
            if !n.eq_ignore_ascii_case(name) {
                append_raw(&mut text, n, v);
            } else if !written {
                append(&mut text, name, value);
                written = true;
            }
        }
        if !written {
            append(&mut text, name, value);
        }
        self.0 = text;
    }

    /// Adds a parameter that is not there yet.
    pub(crate) fn append(&mut self, name: &'static str, value: &str) {
        self.0.reserve(name.len() + value.len() + 4);
        append(&mut self.0, name, Some(value));
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        if !self.has(name) {
            return;
        }
        let mut text = Str::default();
        for (n, v) in self.iter().filter(|(n, _)| !n.eq_ignore_ascii_case(name)) {
            append_raw(&mut text, n, v);
        }
        self.0 = text;
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value without its quotes, if it has any.
pub(crate) fn unquote(value: &str) -> Cow<'_, str> {
    match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        Some(inner) => lex::unescape(inner),
        None => Cow::Borrowed(value),
    }
}

/// The parameters of a text without white space around its separators: what `Params` holds.
struct Compact<'a>(&'a str);

impl<'a> Iterator for Compact<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.strip_prefix(';')?;
        let end = text.bytes().position(|b| matches!(b, b';' | b'=')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let Some(value) = rest.strip_prefix('=') else {
            self.0 = rest;
            return Some((name, None));
        };
        let length = if value.starts_with('"') {
            let mut cursor = Cursor::new(value);
            cursor.quoted()?;
            cursor.at()
        } else {
            value.bytes().position(|b| b == b';').unwrap_or(value.len())
        };
        let (value, rest) = value.split_at(length);
        self.0 = rest;
        Some((name, Some(value)))
    }
}

/// The first parameter of this name in a text as it came.
pub(crate) fn find<'a>(text: &'a str, name: &str) -> Option<Option<&'a str>> {
    let mut cursor = Cursor::new(text);
    while cursor.eat_padded(b';') {
        let found = cursor.token()?.eq_ignore_ascii_case(name);
        let value = if cursor.eat_padded(b'=') { Some(read_value(&mut cursor).ok()?) } else { None };
        if found {
            return Some(value);
        }
    }
    None
}

/// Walks over the parameters that come next and shows each to `visit`. Tells whether white space stood among them.
fn walk<'a>(
    cursor: &mut Cursor<'a>,
    mut visit: impl FnMut(&'a str, Option<&'a str>) -> Result<(), Syntax>,
) -> Result<bool, Syntax> {
    let mut spaced = false;
    loop {
        let before = cursor.at();
        if !cursor.eat_padded(b';') {
            return Ok(spaced);
        }
        spaced |= cursor.at() - before > 1;
        let name = cursor.token().ok_or(Syntax("parameter without a name"))?;
        let before = cursor.at();
        let value = if cursor.eat_padded(b'=') {
            spaced |= cursor.at() - before > 1;
            Some(read_value(cursor)?)
        } else {
            None
        };
        visit(name, value)?;
    }
}

/// `gen-value`: a token, a host (IPv6 with or without brackets: RFC 5118 §4.5) or a quoted-string. Real peers put what
/// is none of them there too (`+sip.instance` without quotes, URIs): a slash, colon, `@` and brackets are taken.
fn read_value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Syntax> {
    let start = cursor.at();
    if cursor.peek() == Some(b'"') {
        cursor.quoted().ok_or(Syntax("unterminated quoted-string"))?;
        return Ok(cursor.since(start));
    }
    let value = cursor.take_value();
    if value.is_empty() { Err(Syntax("parameter without a value")) } else { Ok(value) }
}

fn append(text: &mut Str, name: &str, value: Option<&str>) {
    match value {
        Some(value) if value.is_empty() || !value.bytes().all(lex::is_value) => {
            append_raw(text, name, None);
            text.push('=');
            // Writing to a string cannot fail.
            let _ = lex::write_quoted(text, value);
        }
        value => append_raw(text, name, value),
    }
}

fn append_raw(text: &mut Str, name: &str, value: Option<&str>) {
    text.push(';');
    text.push_str(name);
    if let Some(value) = value {
        text.push('=');
        text.push_str(value);
    }
}

fn compact(text: &str) -> Str {
    let mut out = Str::with_capacity(text.len());
    // The text has been walked over before.
    let _ = walk(&mut Cursor::new(text), |name, value| {
        append_raw(&mut out, name, value);
        Ok(())
    });
    out
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for Params {
    type Err = Syntax;

    /// Reads parameters with their leading `;`.
    fn from_str(text: &str) -> Result<Params, Syntax> {
        let mut cursor = Cursor::new(text);
        let params = Params::read(&mut cursor)?;
        if cursor.is_done() { Ok(params) } else { Err(Syntax("parameters")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_lose_their_white_space_and_keep_their_quotes() {
        let params: Params = " ; a = \"x;y=\\\"z\" ;B;c= [2001:db8::1] ; d=2001:db8::2".parse().expect("parameters");
        assert_eq!(params.to_string(), ";a=\"x;y=\\\"z\";B;c=[2001:db8::1];d=2001:db8::2");
        assert_eq!(params.value("A").as_deref(), Some("x;y=\"z"));
        assert_eq!(params.get("b"), None);
        assert!(params.has("b"));
        assert_eq!(params.get("d"), Some("2001:db8::2"));
    }

    #[test]
    fn parameters_are_set_in_place_and_quoted_where_needed() {
        let mut params: Params = ";tag=1;x=y;X=z".parse().expect("parameters");
        params.set("X", Some("two words\r\n\"q\""));
        params.set("lr", None);
        params.set("no name", Some("x"));
        params.set("e", Some(""));
        assert_eq!(params.to_string(), ";tag=1;X=\"two words  \\\"q\\\"\";lr;e=\"\"");
        assert_eq!(params.to_string().parse(), Ok(params.clone()));
        params.remove("x");
        assert_eq!(params.to_string(), ";tag=1;lr;e=\"\"");
    }

    #[test]
    fn what_are_no_parameters() {
        for text in [";", ";;a", ";a=", ";=b", ";a=\"b", ";a b", "a", ";a=\"b\"c", ";a,b"] {
            assert!(text.parse::<Params>().is_err(), "{text}");
        }
    }
}
