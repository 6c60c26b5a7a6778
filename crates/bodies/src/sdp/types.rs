//! Lists of media types: `a=accept-types` and `a=accept-wrapped-types` (RFC 4975 §8.6).

use crate::{Error, mime};
use base::Str;
use std::fmt;

/// The most types in one list.
pub const MAX_TYPES: usize = 128;

/// A list of media types, the best first. Empty, it takes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types(Vec<Type>);

/// An entry. Names are kept in lower case, parameters as they are written: to choose they count for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    type_: Str,
    subtype: Str,
    params: Str,
}

impl Types {
    /// A list of ours, from entries such as `text/plain`, `text/*` and `*`. What is no entry is left out.
    pub fn of(entries: &[&str]) -> Types {
        Types(entries.iter().filter_map(|entry| Type::parse(entry)).collect())
    }

    /// Reads the value of the attribute. What is no entry is passed over.
    ///
    /// # Errors
    /// Malformed: not a single entry. TooBig: more than [`MAX_TYPES`].
    pub fn parse(value: &str) -> Result<Types, Error> {
        let mut types = Types::default();
        let mut rest = value;
        while !rest.is_empty() {
            let (entry, behind) = split(rest);
            rest = behind;
            let Some(entry) = Type::parse(entry) else { continue };
            if types.0.len() == MAX_TYPES {
                return Err(Error::TooBig { what: "media types", limit: MAX_TYPES });
            }
            types.0.push(entry);
        }
        if types.0.is_empty() { Err(Error::Malformed("no media types")) } else { Ok(types) }
    }

    /// Whether a body of this type may be sent, its name in any case.
    pub fn takes(&self, type_: &str, subtype: &str) -> bool {
        let is = |name: &str, entry: &str| entry == "*" || entry.eq_ignore_ascii_case(name);
        self.0.iter().any(|entry| is(type_, &entry.type_) && is(subtype, &entry.subtype))
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &Type> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, entry) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { " " };
            write!(f, "{gap}{entry}")?;
        }
        Ok(())
    }
}

impl Type {
    fn parse(entry: &str) -> Option<Type> {
        let end = entry.find(';').unwrap_or(entry.len());
        let (essence, params) = entry.split_at(end);
        // `*` has no parameters; `*/*` is how others write it.
        if matches!(essence, "*" | "*/*") {
            let any = Str::const_new("*");
            return Some(Type { type_: any.clone(), subtype: any, params: Str::default() });
        }
        let (type_, subtype) = essence.split_once('/')?;
        let name =
            |name: &str| (1..=127).contains(&name.len()) && name.bytes().all(mime::is_token) && !name.contains('*');
        let fits = name(type_) && (name(subtype) || subtype == "*") && !params.chars().any(char::is_control);
        let lower = |name: &str| name.chars().map(|c| c.to_ascii_lowercase()).collect();
        fits.then(|| Type { type_: lower(type_), subtype: lower(subtype), params: params.into() })
    }

    /// The type; `*` for any.
    pub fn type_(&self) -> &str {
        &self.type_
    }

    /// The subtype; `*` for any.
    pub fn subtype(&self) -> &str {
        &self.subtype
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.type_.as_str() {
            "*" => f.write_str("*"),
            type_ => write!(f, "{type_}/{}{}", self.subtype, self.params),
        }
    }
}

/// The text up to the next space outside of quotation marks, and what is behind it.
fn split(text: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.bytes().position(|b| {
        let space = b == b' ' && !quoted;
        if b == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = b == b'\\' && quoted && !escaped;
        space
    });
    end.map_or((text, ""), |end| (&text[..end], &text[end + 1..]))
}
