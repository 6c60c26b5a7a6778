//! The parameters of a SIP URI: RFC 3261 §19.1.1.

use crate::lex::{self, Cursor, PARAM, Syntax};
use crate::uri::escape;
use base::Str;
use std::fmt;

/// The parameters behind a SIP URI's host, in their order, still percent-encoded. Names are compared without regard to
/// case; of two with one name the first counts.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UriParams(Str);

impl UriParams {
    /// No parameters.
    pub const fn new() -> UriParams {
        UriParams(Str::const_new(""))
    }

    /// Reads `*( ";" uri-parameter )` up to the end of the URI or its `?`.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<UriParams, Syntax> {
        let start = cursor.at();
        while cursor.eat(b';') {
            let name = cursor.at();
            cursor.take_escaped(PARAM)?;
            if cursor.at() == name {
                return Err(Syntax("empty URI parameter"));
            }
            if cursor.eat(b'=') {
                let value = cursor.at();
                cursor.take_escaped(PARAM)?;
                if cursor.at() == value {
                    return Err(Syntax("empty URI parameter"));
                }
            }
        }
        Ok(UriParams(Str::new(cursor.since(start))))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each parameter with its value, both still percent-encoded.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.split(';').skip(1).map(|param| match param.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        })
    }

    /// Whether there is such a parameter, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The value of a parameter, still percent-encoded. `None` if it is absent or has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?.1
    }

    /// The decoded value of a parameter. `None` if it is absent or has no value.
    pub fn decoded(&self, name: &str) -> Option<Vec<u8>> {
        escape::percent_decode(self.get(name)?).ok()
    }

    /// Sets a parameter in its place, or at the end. Name and value come in unencoded; what the grammar does not allow
    /// in them is percent-encoded. An empty value is none: the grammar has no empty values.
    pub fn set(&mut self, name: &str, value: Option<&[u8]>) {
        let name = escape::encode_param(name.as_bytes());
        let value = value.map(escape::encode_param).filter(|v| !v.is_empty());
        if name.is_empty() {
            return;
        }
        let mut text = Str::default();
        let mut written = false;
        let write = |text: &mut Str, name: &str, value: Option<&str>| {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        };
        for (n, v) in self.iter() {
            if !n.eq_ignore_ascii_case(&name) {
                write(&mut text, n, v);
            } else if !written {
                write(&mut text, &name, value.as_deref());
                written = true;
            }
        }
        if !written {
            write(&mut text, &name, value.as_deref());
        }
        self.0 = text;
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        if !self.has(name) {
            return;
        }
        let mut kept = UriParams::new();
        for param in self.0.split(';').skip(1) {
            if !param.split('=').next().is_some_and(|n| n.eq_ignore_ascii_case(name)) {
                kept.0.push(';');
                kept.0.push_str(param);
            }
        }
        *self = kept;
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 3261 §19.1.4: a parameter in both must match; `user`, `ttl`, `method` and `maddr` must not be in one only; any
/// other in one only is ignored. `transport` too matches only itself (the section's own example).
pub(crate) fn equivalent(a: &UriParams, b: &UriParams) -> bool {
    if a.0 == b.0 {
        return true;
    }
    let one_way = |a: &UriParams, b: &UriParams| {
        a.iter().all(|(name, value)| match b.iter().find(|(n, _)| escape::same(n, name, true)) {
            Some((_, other)) => match (value, other) {
                (Some(x), Some(y)) => escape::same(x, y, true),
                (x, y) => x.is_none() && y.is_none(),
            },
            None => !["user", "ttl", "method", "maddr", "transport"].iter().any(|n| n.eq_ignore_ascii_case(name)),
        })
    };
    one_way(a, b) && one_way(b, a)
}

impl fmt::Display for UriParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UriParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for UriParams {
    type Err = Syntax;

    /// Reads parameters with their leading `;`.
    fn from_str(text: &str) -> Result<UriParams, Syntax> {
        let mut cursor = Cursor::new(text);
        let params = UriParams::read(&mut cursor)?;
        if cursor.is_done() { Ok(params) } else { Err(Syntax("URI parameters")) }
    }
}

/// `headers` of a SIP URI, without the `?`.
pub(crate) fn check_headers(text: &str) -> Result<(), Syntax> {
    let sound = text.split('&').all(|header| {
        header.split_once('=').is_some_and(|(name, value)| {
            !name.is_empty() && lex::escaped(name, lex::HNV) && lex::escaped(value, lex::HNV)
        })
    });
    if sound { Ok(()) } else { Err(Syntax("URI headers")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_in_place_and_encoded() {
        let mut params: UriParams = ";transport=tcp;lr;Gr=a".parse().expect("parameters");
        assert_eq!(params.get("gr"), Some("a"));
        assert_eq!(params.get("lr"), None);
        assert!(params.has("LR"));
        params.set("gr", Some("a/b@c d".as_bytes()));
        params.set("ob", None);
        assert_eq!(params.to_string(), ";transport=tcp;lr;gr=a/b%40c%20d;ob");
        assert_eq!(params.decoded("gr").as_deref(), Some("a/b@c d".as_bytes()));
        params.remove("TRANSPORT");
        params.remove("absent");
        assert_eq!(params.to_string(), ";lr;gr=a/b%40c%20d;ob");
    }

    #[test]
    fn a_parameter_has_a_name_and_no_empty_value() {
        for text in [";", ";;a", ";a=", ";=a", ";a b", ";a=%4", "a=b", ";a=\"b\"", ";a=b=c"] {
            assert!(text.parse::<UriParams>().is_err(), "{text}");
        }
    }
}
