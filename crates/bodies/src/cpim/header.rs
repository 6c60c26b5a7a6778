//! One header line (RFC 3862 §3.6), and the address that some of them hold.

use super::escape::{escape, unescape};
use crate::Error;
use base::Str;
use std::borrow::Cow;
use std::fmt;

/// The longest namespace URI: each header of the namespace holds a copy.
pub(super) const MAX_NS: usize = 256;

/// The most parameters of one header.
const MAX_PARAMS: usize = 16;

/// The namespace a header is in (§3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// `urn:ietf:params:cpim-headers:`, the default one.
    Core,
    /// `urn:ietf:params:imdn` (RFC 5438).
    Imdn,
    /// Any other that was declared.
    Other(Str),
    /// The header's prefix was never declared: it means nothing, and is kept.
    Unbound,
}

impl Namespace {
    pub(super) fn of(uri: &str) -> Namespace {
        match uri {
            // The second is how §6 spells it.
            "urn:ietf:params:cpim-headers:" | "urn:ietf:params-cpim-headers:" => Namespace::Core,
            "urn:ietf:params:imdn" => Namespace::Imdn,
            other => Namespace::Other(other.into()),
        }
    }
}

/// One header, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    ns: Namespace,
    prefix: Str,
    name: Str,
    params: Vec<(Str, Str)>,
    value: Str,
}

impl Header {
    pub(super) fn new(ns: Namespace, prefix: &str, name: &str, lang: Option<&str>, value: String) -> Header {
        let params = lang.filter(|l| is_language(l)).map(|l| ("lang".into(), l.into()));
        Header {
            ns,
            prefix: prefix.into(),
            name: clean(name),
            params: params.into_iter().collect(),
            value: value.into(),
        }
    }

    /// Reads one line, its end taken off.
    pub(super) fn parse(line: &str, resolve: impl Fn(&str) -> Namespace) -> Result<Header, Error> {
        if line.bytes().any(|b| b.is_ascii_control()) {
            return Err(Error::Malformed("control character in a CPIM header"));
        }
        let (full, mut rest) = line.split_once(':').ok_or(Error::Malformed("CPIM header without a colon"))?;
        let (prefix, name) = match full.split_once('.') {
            Some((prefix, name)) if is_name(prefix) => (prefix, name),
            Some(_) => return Err(Error::Malformed("bad name of a CPIM header")),
            None => ("", full),
        };
        // A line that begins with a space, a folded one, fails here too.
        if !is_name(name) {
            return Err(Error::Malformed("bad name of a CPIM header"));
        }
        let mut params = Vec::new();
        while let Some(param) = rest.strip_prefix(';') {
            const BAD: Error = Error::Malformed("bad parameter of a CPIM header");
            let (name, value) = param.split_once('=').ok_or(BAD)?;
            let end = match value.starts_with('"') {
                true => quoted(value).ok_or(BAD)?,
                false => value.find([';', ' ', '"']).unwrap_or(value.len()),
            };
            if !is_name(name) || end == 0 {
                return Err(BAD);
            }
            if params.len() == MAX_PARAMS {
                return Err(Error::TooBig { what: "parameters of a CPIM header", limit: MAX_PARAMS });
            }
            params.push((name.into(), value[..end].into()));
            rest = &value[end..];
        }
        let value = rest.strip_prefix(' ').ok_or(Error::Malformed("CPIM header without a space behind its colon"))?;
        Ok(Header { ns: resolve(prefix), prefix: prefix.into(), name: name.into(), params, value: value.into() })
    }

    /// The namespace that its prefix meant where it stood.
    pub fn ns(&self) -> &Namespace {
        &self.ns
    }

    /// The name without its prefix; names compare exactly (§2.2).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value as written, with its escapes.
    pub fn raw(&self) -> &str {
        &self.value
    }

    /// The value without its escapes and without control characters.
    pub fn text(&self) -> String {
        unescape(&self.value)
    }

    /// The language of the value (§3.3), if it is a language tag.
    pub fn lang(&self) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == "lang").map(|(_, v)| v.as_str()).filter(|v| is_language(v))
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            f.write_str(&self.prefix)?;
            f.write_str(".")?;
        }
        f.write_str(&self.name)?;
        f.write_str(":")?;
        for (name, value) in &self.params {
            write!(f, ";{name}={value}")?;
        }
        f.write_str(" ")?;
        f.write_str(&self.value)
    }
}

/// `[ Formal-name ] "<" URI ">"`: From, To and cc (§4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    name: Option<Str>,
    uri: Str,
}

impl Address {
    /// An address; None if that is no absolute URI. An empty name is none.
    pub fn new(name: Option<&str>, uri: &str) -> Option<Address> {
        let name = name.map(|name| match name.trim() {
            name if name.contains(char::is_control) => name.replace(char::is_control, " ").into(),
            name => Str::from(name),
        });
        is_uri(uri).then(|| Address { name: name.filter(|n: &Str| !n.is_empty()), uri: uri.into() })
    }

    /// Reads the value of a header, its escapes undone. Any text is taken as the name, and a `gr` behind the bracket as one of the URI: there
    /// RFC 7702 has it, where nothing may be (§4.1).
    pub fn parse(raw: &str) -> Option<Address> {
        let raw = raw.trim();
        let open = if raw.starts_with('"') { quoted(raw)? } else { 0 };
        let open = open + raw.get(open..)?.find('<')?;
        let (uri, behind) = raw.get(open + 1..)?.split_once('>')?;
        let instance = behind.strip_prefix(";gr=").filter(|gr| !gr.is_empty() && !gr.contains([';', '?', '&']));
        let uri = match instance {
            None if behind.is_empty() => Cow::Borrowed(uri),
            Some(_) if !uri.contains(['?', '&']) && !uri.contains(";gr") => Cow::Owned(format!("{uri}{behind}")),
            Some(_) | None => return None,
        };
        let name = raw.get(..open)?.trim();
        let name = match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
            Some(inner) if quoted(name) == Some(name.len()) => inner,
            Some(_) => return None,
            None if name.starts_with('"') => return None,
            None => name,
        };
        Address::new(Some(&unescape(name)), &uri)
    }

    /// The name of the person, without control characters. Nothing says that it is true.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The URI: visible ASCII with a scheme.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            if name.split(' ').all(|token| !token.is_empty() && token.chars().all(is_token_char)) {
                f.write_str(name)?;
                f.write_str(" ")?;
            } else {
                write!(f, "\"{}\" ", escape(name).replace('"', "\\\""))?;
            }
        }
        f.write_str("<")?;
        f.write_str(&self.uri)?;
        f.write_str(">")
    }
}

/// The prefix and the URI of an NS header (§4.6).
pub(super) fn namespace(raw: &str) -> Option<(&str, &str)> {
    let (prefix, uri) = raw.trim().split_once('<')?;
    let (prefix, uri) = (prefix.trim_end(), uri.strip_suffix('>')?);
    ((prefix.is_empty() || is_name(prefix)) && is_uri(uri)).then_some((prefix, uri))
}

/// An absolute URI as far as we look: a scheme, then visible ASCII without brackets, quotes and backslashes.
pub(super) fn is_uri(s: &str) -> bool {
    let Some((scheme, rest)) = s.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\".contains(&b))
}

/// The length of the quoted string that `s` begins with, quotes and all.
fn quoted(s: &str) -> Option<usize> {
    let mut escaped = false;
    let close = s.bytes().skip(1).position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })?;
    Some(close + 2)
}

/// RFC 3066: groups of up to eight letters or digits. It may become an xml:lang.
fn is_language(s: &str) -> bool {
    let group = |g: &str| (1..=8).contains(&g.len()) && g.bytes().all(|b| b.is_ascii_alphanumeric());
    s.len() <= 64 && s.starts_with(|c: char| c.is_ascii_alphabetic()) && s.split('-').all(group)
}

/// §3.6 `Name`.
fn is_name(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(is_name_char)
}

fn is_name_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, 0x21 | 0x23..=0x27 | 0x2A | 0x2B | 0x2D | 0x5E..=0x60 | 0x7C | 0x7E)
}

/// §3.6 `TOKENCHAR`.
fn is_token_char(c: char) -> bool {
    u8::try_from(c).is_ok_and(|b| b.is_ascii() && (is_name_char(b) || b == b'.')) || !c.is_ascii()
}

/// A name that we write: what may not stand in it becomes `_`.
pub(super) fn clean(s: &str) -> Str {
    // As nearly all are.
    if is_name(s) {
        return Str::from(s);
    }
    let s: Str = s.bytes().map(|b| if is_name_char(b) { b as char } else { '_' }).collect();
    if s.is_empty() { Str::const_new("_") } else { s }
}
