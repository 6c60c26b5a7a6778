//! Challenges and credentials: RFC 3261 §20.7, §20.44, §25.1. Grammar alone: nothing here decides who is who.

use crate::header::params::unquote;
use crate::lex::{self, Cursor, Syntax};
use base::Str;
use std::fmt;

/// More parameters than this nobody needs, and looking for one among them takes time.
const MOST_PARAMS: usize = 32;

/// A WWW-Authenticate or Proxy-Authenticate value.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Scheme);

/// An Authorization or Proxy-Authorization value. Its Debug form shows the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Scheme);

/// `auth-scheme LWS auth-param *( COMMA auth-param )`.
#[derive(Clone, PartialEq, Eq)]
struct Scheme {
    scheme: Str,
    /// Names in lower case, values without quotes and whether they had some.
    params: Vec<(Str, Str, bool)>,
}

impl Scheme {
    fn parse(text: &str) -> Result<Scheme, Syntax> {
        let mut cursor = Cursor::new(text);
        cursor.skip_ws();
        let scheme = Str::new(cursor.token().ok_or(Syntax("authentication scheme"))?);
        let before = cursor.at();
        cursor.skip_ws();
        if cursor.at() == before {
            return Err(Syntax("authentication parameter"));
        }
        let mut params = Vec::new();
        loop {
            let mut name = Str::new(cursor.token().ok_or(Syntax("authentication parameter"))?);
            name.make_ascii_lowercase();
            if !cursor.eat_padded(b'=') {
                return Err(Syntax("authentication parameter"));
            }
            let start = cursor.at();
            let quoted = cursor.peek() == Some(b'"');
            let value = if quoted {
                cursor.quoted().ok_or(Syntax("unterminated quoted-string"))?;
                Str::new(unquote(cursor.since(start)))
            } else {
                Str::new(cursor.token().ok_or(Syntax("authentication parameter"))?)
            };
            if params.len() >= MOST_PARAMS {
                return Err(Syntax("too many authentication parameters"));
            }
            params.push((name, value, quoted));
            if !cursor.eat_padded(b',') {
                cursor.skip_ws();
                break;
            }
        }
        if cursor.is_done() { Ok(Scheme { scheme, params }) } else { Err(Syntax("authentication parameter")) }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _, _)| n.eq_ignore_ascii_case(name)).map(|(_, value, _)| value.as_str())
    }

    fn set(&mut self, name: &str, value: &str, quoted: bool) {
        let entry = (Str::new(name), Str::new(value), quoted || !lex::all(value, lex::TOKEN));
        match self.params.iter_mut().find(|(n, _, _)| n.eq_ignore_ascii_case(name)) {
            Some(old) => *old = entry,
            None => self.params.push(entry),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        for (at, (name, value, quoted)) in self.params.iter().enumerate() {
            write!(f, "{}{name}=", if at == 0 { " " } else { ", " })?;
            if *quoted {
                lex::write_quoted(f, value)?;
            } else {
                f.write_str(value)?;
            }
        }
        Ok(())
    }
}

macro_rules! scheme {
    ($type:ident) => {
        impl $type {
            /// A value of this scheme without parameters yet.
            pub fn new(scheme: &str) -> $type {
                $type(Scheme { scheme: Str::new(scheme), params: Vec::new() })
            }

            /// Reads a value.
            pub fn parse(text: &str) -> Result<$type, Syntax> {
                Scheme::parse(text).map($type)
            }

            /// The scheme as it came; schemes have no case.
            pub fn scheme(&self) -> &str {
                &self.0.scheme
            }

            /// The first parameter of this name, without its quotes. Names have no case.
            pub fn get(&self, name: &str) -> Option<&str> {
                self.0.get(name)
            }

            /// Sets a parameter; `quoted` says whether its grammar wants quotes. What is no token gets them anyway.
            pub fn set(&mut self, name: &'static str, value: &str, quoted: bool) {
                self.0.set(name, value, quoted);
            }

            /// Every parameter in its order, with its value unquoted.
            pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
                self.0.params.iter().map(|(name, value, _)| (name.as_str(), value.as_str()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.0.scheme).finish()
            }
        }
    };
}

scheme!(Challenge);
scheme!(Credentials);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_prints_back() {
        let text = "Digest realm=\"a \\\"b\\\"\", nonce=\"x,y\", algorithm=MD5, stale=false";
        let challenge = Challenge::parse(text).expect("a challenge");
        assert_eq!(challenge.to_string(), text);
        assert_eq!(
            (challenge.scheme(), challenge.get("Realm"), challenge.get("nonce")),
            ("Digest", Some("a \"b\""), Some("x,y"))
        );
        assert_eq!(format!("{challenge:?}"), "Challenge(\"Digest\")");
    }

    #[test]
    fn credentials_are_built_quoted() {
        let mut credentials = Credentials::new("Digest");
        credentials.set("username", "a\"b", true);
        credentials.set("nc", "00000001", false);
        credentials.set("nc", "00000002", false);
        credentials.set("x", "two words", false);
        assert_eq!(credentials.to_string(), "Digest username=\"a\\\"b\", nc=00000002, x=\"two words\"");
    }

    #[test]
    fn what_are_no_credentials() {
        for text in [
            "",
            "Digest",
            "Digest ",
            "Digest x",
            "Digest x=",
            "Digest x=\"a",
            "Digest x=\"a\" y=b",
            "Digest x=a,",
            "Digest,x=a",
        ] {
            assert!(Credentials::parse(text).is_err(), "{text}");
        }
    }
}
