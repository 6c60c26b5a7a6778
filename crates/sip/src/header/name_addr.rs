//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, Reply-To, Refer-To (RFC 3261 §20.10, §25.1).

use crate::header::params::{self, Params};
use crate::lex::{self, Cursor, Syntax, TOKEN};
use crate::uri::Uri;
use base::Str;
use std::fmt;

/// An address with an optional display name and header parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name without its quotes and escapes; never empty. It is never an address (THREATS: spoofed names).
    pub display: Option<Str>,
    /// The URI.
    pub uri: Uri,
    /// The header's parameters: `tag`, `expires`, `q`, ... Not those of the URI.
    pub params: Params,
}

impl NameAddr {
    /// An address alone.
    pub fn new(uri: impl Into<Uri>) -> NameAddr {
        NameAddr { display: None, uri: uri.into(), params: Params::new() }
    }

    /// Reads one value. Without `<>` a URI ends at the first `;` and must not hold `,` or `?` (RFC 3261 §20.10). An
    /// unquoted display name may hold characters beyond ASCII: phones send them so.
    pub fn parse(text: &str) -> Result<NameAddr, Syntax> {
        let mut cursor = Cursor::new(text);
        let address = NameAddr::read(&mut cursor, false)?;
        if cursor.is_done() { Ok(address) } else { Err(Syntax("garbage behind an address")) }
    }

    /// Reads one value that must be a `name-addr`: Route and Record-Route.
    pub fn parse_bracketed(text: &str) -> Result<NameAddr, Syntax> {
        let mut cursor = Cursor::new(text);
        let address = NameAddr::read(&mut cursor, true)?;
        if cursor.is_done() { Ok(address) } else { Err(Syntax("garbage behind an address")) }
    }

    fn read(cursor: &mut Cursor<'_>, bracketed: bool) -> Result<NameAddr, Syntax> {
        cursor.skip_ws();
        let display = read_display(cursor)?;
        let uri = if cursor.eat(b'<') {
            let inside = cursor.until(b'>').ok_or(Syntax("address without >"))?;
            cursor.eat(b'>');
            Uri::parse(inside)?
        } else if bracketed || display.is_some() {
            return Err(Syntax("address without <"));
        } else {
            let text = cursor.until_any(b"; \t");
            if text.contains([',', '?']) {
                return Err(Syntax("address needs <>"));
            }
            Uri::parse(text)?
        };
        let params = Params::read(cursor)?;
        Ok(NameAddr { display, uri, params })
    }

    /// The `tag` parameter of From and To.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// Sets the `tag` parameter, which should be a token.
    pub fn set_tag(&mut self, tag: &str) {
        self.params.set("tag", Some(tag));
    }

    /// Whether a Contact has this feature, `isfocus` for one: RFC 3840 §5, §9. A parameter without a value means that it has it; a list of
    /// values, that it may have any of them. Names and values are compared without regard to case.
    pub fn has_feature(&self, name: &str) -> bool {
        self.params.has(name)
            && self.params.value(name).is_none_or(|values| {
                values.split(',').any(|value| {
                    let value = value.trim();
                    value.eq_ignore_ascii_case("TRUE") || value.eq_ignore_ascii_case("!FALSE")
                })
            })
    }

    /// The same address with this feature.
    #[must_use]
    pub fn with_feature(mut self, name: &str) -> NameAddr {
        self.params.set(name, None);
        self
    }

    /// The `expires` parameter of a Contact in seconds. `Err` if it is no number below 2^32.
    pub fn expires(&self) -> Result<Option<u32>, Syntax> {
        match self.params.get("expires") {
            None => Ok(None),
            Some(text) => lex::number(text, u64::from(u32::MAX))
                .and_then(|n| u32::try_from(n).ok())
                .map(Some)
                .ok_or(Syntax("expires parameter")),
        }
    }
}

/// The display name, if a `<` follows; leaves the cursor on the `<` or, for an `addr-spec`, where it was.
fn read_display(cursor: &mut Cursor<'_>) -> Result<Option<Str>, Syntax> {
    match cursor.peek() {
        Some(b'<') => Ok(None),
        Some(b'"') => {
            let inner = cursor.quoted().ok_or(Syntax("unterminated quoted-string"))?;
            cursor.skip_ws();
            if cursor.peek() != Some(b'<') {
                return Err(Syntax("address without <"));
            }
            let name = lex::unescape(inner);
            Ok((!name.is_empty()).then(|| Str::new(name)))
        }
        _ => {
            let start = *cursor;
            while cursor.peek().is_some_and(|b| lex::is(b, TOKEN) || b >= 0x80 || b == b' ' || b == b'\t') {
                cursor.skip(1);
            }
            if cursor.peek() != Some(b'<') {
                *cursor = start;
                return Ok(None);
            }
            let name = cursor.since(start.at()).trim_ascii();
            Ok((!name.is_empty()).then(|| Str::new(name)))
        }
    }
}

/// The parameters of one From or To value, without reading the rest of it: for the paths that want a tag and no more.
/// What it finds in a value that does not parse is of no meaning.
pub(crate) fn raw_params(value: &str) -> &str {
    let mut cursor = Cursor::new(value);
    cursor.skip_ws();
    if cursor.peek() == Some(b'"') && cursor.quoted().is_none() {
        return "";
    }
    let rest = cursor.rest();
    let start = match memchr::memchr2(b'<', b';', rest.as_bytes()) {
        Some(at) if rest.as_bytes()[at] == b'<' => memchr::memchr(b'>', &rest.as_bytes()[at..]).map(|end| at + end + 1),
        other => other,
    };
    start.and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// The tag of one From or To value.
pub(crate) fn raw_tag(value: &str) -> Option<&str> {
    params::find(raw_params(value), "tag")?
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = self.display.as_deref().filter(|display| !display.is_empty()) {
            lex::write_quoted(f, display)?;
            f.write_str(" ")?;
        }
        f.write_str("<")?;
        self.uri.fmt(f)?;
        f.write_str(">")?;
        f.write_str(self.params.as_str())
    }
}

impl std::str::FromStr for NameAddr {
    type Err = Syntax;

    fn from_str(text: &str) -> Result<NameAddr, Syntax> {
        NameAddr::parse(text)
    }
}

/// Contact's values: RFC 3261 §20.10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `*`: every binding, in a REGISTER that removes them.
    All,
    /// Addresses; none if there is no Contact header.
    Some(Vec<NameAddr>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_in_one_form() {
        for (text, printed) in [
            ("sip:a@example.com;tag=1", "<sip:a@example.com>;tag=1"),
            ("<sip:a@example.com;lr>;tag=1", "<sip:a@example.com;lr>;tag=1"),
            ("caller<sip:a@example.com>", "\"caller\" <sip:a@example.com>"),
            ("J. Rosenberg \t <sip:a@example.com> ; tag = 1 ", "\"J. Rosenberg\" <sip:a@example.com>;tag=1"),
            ("\"J \\\\\\\"\" <sip:a@example.com>", "\"J \\\\\\\"\" <sip:a@example.com>"),
            ("\"\" <sip:a@example.com>", "<sip:a@example.com>"),
            (
                "\"<sip:b@example.com>;tag=2\" <sip:a@example.com>;tag=1",
                "\"<sip:b@example.com>;tag=2\" <sip:a@example.com>;tag=1",
            ),
            ("Ren\u{e9} <sip:a@example.com>", "\"Ren\u{e9}\" <sip:a@example.com>"),
            ("tel:+1", "<tel:+1>"),
            ("sip:a@example.com", "<sip:a@example.com>"),
            ("<sip:a@example.com?Route=%3Csip:b%3E>", "<sip:a@example.com?Route=%3Csip:b%3E>"),
        ] {
            let address = NameAddr::parse(text).expect(text);
            assert_eq!(address.to_string(), printed);
            assert_eq!(NameAddr::parse(printed).as_ref(), Ok(&address));
            assert_eq!(raw_tag(text), address.tag(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "<>",
            "\"open <sip:a@example.com>",
            "\"Mr. J. User <sip:a@example.com>",
            "Bell, Alexander <sip:a@example.com>",
            "<sip:a@example.com",
            "< sip:a@example.com >",
            "<sip:a@example.com> x",
            "<sip:a@example.com>;;",
            "sip:a@example.com?Route=x",
            "sip:a@example.com,sip:b@example.com",
            "\"x\" sip:a@example.com",
            "sip:a@example.com x",
            "\"x\"",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
        assert!(NameAddr::parse_bracketed("sip:a@example.com").is_err());
    }

    /// RFC 3840 §9, RFC 4579 §5.2.
    #[test]
    fn features_of_a_contact() {
        let has = |text: &str| NameAddr::parse(text).expect(text).has_feature("isfocus");
        for text in [
            "<sip:a@example.com>;isfocus",
            "<sip:a@example.com>;q=1;IsFocus;audio",
            "<sip:a@example.com>;isfocus=\"TRUE\"",
            "<sip:a@example.com>;isfocus=true",
            "<sip:a@example.com>;isfocus=\"FALSE, TRUE\"",
            "<sip:a@example.com>;isfocus=\"!FALSE\"",
            "sip:a@example.com;isfocus",
        ] {
            assert!(has(text), "{text}");
        }
        for text in [
            "<sip:a@example.com>",
            "<sip:a@example.com;isfocus>",
            "<sip:a@example.com>;isfocus=\"FALSE\"",
            "<sip:a@example.com>;isfocus=\"!TRUE\"",
            "<sip:a@example.com>;isfocus=\"\"",
            "<sip:a@example.com>;isfocus=1",
            "\"isfocus\" <sip:a@example.com>;+isfocus;x=isfocus",
        ] {
            assert!(!has(text), "{text}");
        }
        let address = NameAddr::parse("sip:a@example.com;isfocus=\"FALSE\"").expect("an address");
        assert_eq!(address.with_feature("isfocus").to_string(), "<sip:a@example.com>;isfocus");
    }

    #[test]
    fn no_display_name_breaks_the_line() {
        let mut address = NameAddr::parse("<sip:a@example.com>").expect("an address");
        address.display = Some("x\r\nVia: y\0".into());
        assert_eq!(address.to_string(), "\"x  Via: y \" <sip:a@example.com>");
    }
}
