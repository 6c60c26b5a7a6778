//! Nicknames (RFC 7701 §7): what stands in Use-Nickname.

use crate::frame::Request;
use crate::lex::{self, Syntax};
use base::Str;

/// The header.
pub const USE_NICKNAME: &str = "Use-Nickname";

/// Octets of the longest nickname (§7.1), its quotes and escapes not counted.
pub const MAX_NICKNAME: usize = 1023;

impl Request {
    /// The nickname that a NICKNAME wants, empty where there is to be none any more (RFC 7701 §7.3). `None`: there is no Use-Nickname.
    ///
    /// # Errors
    /// It is no `quoted-string`, is longer than [`MAX_NICKNAME`], or there are two of them: 424 is the answer (§7.1).
    pub fn nickname(&self) -> Option<Result<Str, Syntax>> {
        let mut all = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(USE_NICKNAME));
        let (_, value) = all.next()?;
        Some(if all.next().is_some() { Err(Syntax("two nicknames")) } else { unquote(value) })
    }
}

/// A nickname as Use-Nickname has it. `None`: it is longer than [`MAX_NICKNAME`], or has control characters, which nothing can stand for.
pub fn quote(nickname: &str) -> Option<Str> {
    if nickname.len() > MAX_NICKNAME || lex::controls(nickname.as_bytes()) > 0 {
        return None;
    }
    let mut quoted = Str::with_capacity(nickname.len() + 2);
    quoted.push('"');
    for c in nickname.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Some(quoted)
}

/// The nickname in the value of Use-Nickname.
///
/// # Errors
/// It is no `quoted-string` of RFC 4975 §9, of which only quotes and backslashes can be escaped, or is longer than [`MAX_NICKNAME`].
pub fn unquote(value: &str) -> Result<Str, Syntax> {
    const BAD: Syntax = Syntax("bad nickname");
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(BAD)?;
    if inner.len() > 2 * MAX_NICKNAME || lex::controls(inner.as_bytes()) > 0 {
        return Err(BAD);
    }
    let mut nickname = Str::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        nickname.push(match c {
            '"' => return Err(BAD),
            '\\' => rest.next().filter(|escaped| matches!(escaped, '"' | '\\')).ok_or(BAD)?,
            other => other,
        });
    }
    if nickname.len() > MAX_NICKNAME { Err(BAD) } else { Ok(nickname) }
}

#[cfg(test)]
mod tests;
