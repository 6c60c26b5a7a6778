//! Content-Type and Content-Disposition: a value and its parameters (RFC 2045 §5.1, RFC 2183 §2), in MIME parts and in
//! SIP headers (RFC 3261 §20.11, §20.15) alike.

use crate::Error;
use base::Str;
use std::fmt;

/// The most parameters one value may have.
pub const MAX_PARAMS: usize = 16;

/// The longest header value that is read, in bytes.
pub const MAX_VALUE: usize = 2048;

/// A media type. Type, subtype and parameter names are kept in lower case: they compare without case (RFC 2045 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    type_: Str,
    subtype: Str,
    params: Params,
}

impl ContentType {
    /// A media type without parameters. What is no token character becomes `_`: these names are written in our code.
    pub fn new(type_: &str, subtype: &str) -> ContentType {
        ContentType { type_: clean_token(type_), subtype: clean_token(subtype), params: Params::default() }
    }

    /// `text/plain; charset=utf-8`: what we send for text.
    pub fn text_plain() -> ContentType {
        let params = Params(vec![(Str::const_new("charset"), Str::const_new("utf-8"))]);
        ContentType { type_: Str::const_new("text"), subtype: Str::const_new("plain"), params }
    }

    /// The same with one more parameter, or with another value for it. Control characters become spaces.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> ContentType {
        self.params.set(name, value);
        self
    }

    /// The same without that parameter.
    #[must_use]
    pub fn without_param(mut self, name: &str) -> ContentType {
        self.params.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Reads a header value. RFC 822 comments are skipped and not kept.
    ///
    /// # Errors
    /// Malformed, a parameter given twice (two charsets are two readings of one message), more than [`MAX_PARAMS`]
    /// parameters or [`MAX_VALUE`] bytes.
    pub fn parse(value: &str) -> Result<ContentType, Error> {
        let mut scan = Scan::new(value)?;
        let type_ = scan.token().ok_or(Error::Malformed("Content-Type without a type"))?;
        scan.blank()?;
        if !scan.eat(b'/') {
            return Err(Error::Malformed("Content-Type without a subtype"));
        }
        scan.blank()?;
        let subtype = scan.token().ok_or(Error::Malformed("Content-Type without a subtype"))?;
        let params = scan.params()?;
        Ok(ContentType { type_: lower(type_), subtype: lower(subtype), params })
    }

    /// The type, in lower case: `text`.
    pub fn type_(&self) -> &str {
        &self.type_
    }

    /// The subtype, in lower case: `plain`.
    pub fn subtype(&self) -> &str {
        &self.subtype
    }

    /// Whether it is this type, whatever its parameters; the names given in any case.
    pub fn is(&self, type_: &str, subtype: &str) -> bool {
        self.type_.eq_ignore_ascii_case(type_) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// A parameter's value, unquoted.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// All parameters in their order; names in lower case, values unquoted.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter()
    }

    /// The `charset` parameter.
    pub fn charset(&self) -> Option<&str> {
        self.param("charset")
    }

    /// The `boundary` parameter.
    pub fn boundary(&self) -> Option<&str> {
        self.param("boundary")
    }

    /// `type/subtype` alone, as an Accept list names it.
    pub fn essence(&self) -> Str {
        base::format_compact!("{}/{}", self.type_, self.subtype)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.type_, self.subtype, self.params)
    }
}

/// A Content-Disposition: what a body is for (RFC 2183; in SIP RFC 3261 §20.11; `notification` is RFC 5438 §15.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    kind: Str,
    params: Params,
}

impl Disposition {
    /// A disposition without parameters.
    pub fn new(kind: &str) -> Disposition {
        Disposition { kind: clean_token(kind), params: Params::default() }
    }

    /// The same with one more parameter, or with another value for it. Control characters become spaces.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Disposition {
        self.params.set(name, value);
        self
    }

    /// Reads a header value.
    ///
    /// # Errors
    /// As [`ContentType::parse`].
    pub fn parse(value: &str) -> Result<Disposition, Error> {
        let mut scan = Scan::new(value)?;
        let kind = scan.token().ok_or(Error::Malformed("Content-Disposition without a type"))?;
        let params = scan.params()?;
        Ok(Disposition { kind: lower(kind), params })
    }

    /// The type, in lower case: `inline`, `attachment`, `render`, `notification`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// A parameter's value, unquoted.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// RFC 3261 §20.11: `handling=optional` lets us drop a body that we do not understand; without it we must not.
    pub fn is_optional(&self) -> bool {
        self.param("handling").is_some_and(|h| h.eq_ignore_ascii_case("optional"))
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, self.params)
    }
}

/// Parameters in their order, names in lower case, values unquoted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Params(Vec<(Str, Str)>);

impl Params {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    fn set(&mut self, name: &str, value: &str) {
        let name = clean_token(name);
        let value: Str = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(there) => there.1 = value,
            None => self.0.push((name, value)),
        }
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            if !value.is_empty() && value.bytes().all(is_token) {
                write!(f, ";{name}={value}")?;
                continue;
            }
            write!(f, ";{name}=\"")?;
            for c in value.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}

/// RFC 2045 §5.1 `token`: any visible ASCII character but the tspecials.
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b)
}

fn lower(s: &str) -> Str {
    let mut s = Str::from(s);
    s.make_ascii_lowercase();
    s
}

fn clean_token(s: &str) -> Str {
    // As nearly all are.
    if !s.is_empty() && s.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase()) {
        return Str::from(s);
    }
    let s: Str = s.bytes().map(|b| if is_token(b) { b.to_ascii_lowercase() as char } else { '_' }).collect();
    if s.is_empty() { Str::const_new("_") } else { s }
}

/// A cursor over one header value.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Result<Scan<'a>, Error> {
        if text.len() > MAX_VALUE {
            return Err(Error::TooBig { what: "bytes in a header value", limit: MAX_VALUE });
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(Error::Malformed("control character in a header value"));
        }
        let mut scan = Scan { text, at: 0 };
        scan.blank()?;
        Ok(scan)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, b: u8) -> bool {
        let hit = self.peek() == Some(b);
        self.at += usize::from(hit);
        hit
    }

    fn while_(&mut self, take: impl Fn(u8) -> bool) -> &'a str {
        let from = self.at;
        while self.peek().is_some_and(&take) {
            self.at += 1;
        }
        // Callers take whole characters: either ASCII alone or every byte of 0x80 and above.
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn token(&mut self) -> Option<&'a str> {
        Some(self.while_(is_token)).filter(|t| !t.is_empty())
    }

    /// White space and RFC 822 comments, which nest; counted, not recursed into.
    fn blank(&mut self) -> Result<(), Error> {
        let mut open = 0usize;
        while let Some(b) = self.peek() {
            match b {
                b'(' => open += 1,
                b')' if open > 0 => open -= 1,
                b'\\' if open > 0 => self.at += 1,
                b' ' | b'\t' => {}
                _ if open > 0 => {}
                _ => return Ok(()),
            }
            self.at += 1;
        }
        if open > 0 { Err(Error::Malformed("comment without an end")) } else { Ok(()) }
    }

    fn params(&mut self) -> Result<Params, Error> {
        let mut params = Params::default();
        loop {
            self.blank()?;
            if self.peek().is_none() {
                return Ok(params);
            }
            if !self.eat(b';') {
                return Err(Error::Malformed("text behind a header value"));
            }
            self.blank()?;
            // A semicolon at the end is a common slip, and harmless.
            let Some(name) = self.token() else { continue };
            let name = lower(name);
            self.blank()?;
            if !self.eat(b'=') {
                return Err(Error::Malformed("parameter without a value"));
            }
            self.blank()?;
            let value = self.value()?;
            if params.get(&name).is_some() {
                return Err(Error::Malformed("parameter given twice"));
            }
            if params.0.len() == MAX_PARAMS {
                return Err(Error::TooBig { what: "parameters in a header value", limit: MAX_PARAMS });
            }
            params.0.push((name, value));
        }
    }

    fn value(&mut self) -> Result<Str, Error> {
        if !self.eat(b'"') {
            // More than a token: `protocol=application/pkcs7-signature` stands unquoted in RFC 3862's own example.
            let plain = self.while_(|b| !matches!(b, b';' | b' ' | b'\t' | b'"'));
            return if plain.is_empty() { Err(Error::Malformed("empty parameter value")) } else { Ok(plain.into()) };
        }
        let mut out = Str::default();
        loop {
            out.push_str(self.while_(|b| !matches!(b, b'"' | b'\\' | b'\t')));
            match self.peek() {
                Some(b'\t') => {
                    self.at += 1;
                    out.push(' ');
                }
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(_) => {
                    self.at += 1;
                    let escaped = self.text.get(self.at..).and_then(|rest| rest.chars().next());
                    let c = escaped.ok_or(Error::Malformed("quoted string without an end"))?;
                    out.push(c);
                    self.at += c.len_utf8();
                }
                None => return Err(Error::Malformed("quoted string without an end")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
