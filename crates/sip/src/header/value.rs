//! Small values: seconds, Retry-After, Timestamp, Warning (RFC 3261 §20.19, §20.33, §20.38, §20.43).

use crate::header::params::{self, Params};
use crate::lex::{self, Cursor, Syntax};
use crate::uri::{Host, read_port};
use base::Str;
use std::fmt;

/// `delta-seconds` below 2^32: Expires, Min-Expires.
pub fn parse_delta_seconds(text: &str) -> Result<u32, Syntax> {
    lex::number(text, u64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok()).ok_or(Syntax("seconds"))
}

/// A Retry-After value; its comment is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Seconds to wait.
    pub seconds: u32,
    /// `duration` and others.
    pub params: Params,
}

impl RetryAfter {
    /// Reads `delta-seconds [ comment ] *( SEMI retry-param )`.
    pub fn parse(text: &str) -> Result<RetryAfter, Syntax> {
        let mut cursor = Cursor::new(text);
        let seconds = parse_delta_seconds(cursor.digits())?;
        cursor.skip_ws();
        if cursor.peek() == Some(b'(') {
            skip_comment(&mut cursor)?;
        }
        let params = Params::read(&mut cursor)?;
        if cursor.is_done() { Ok(RetryAfter { seconds, params }) } else { Err(Syntax("garbage behind seconds")) }
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.seconds, self.params)
    }
}

/// A comment in parentheses, which may hold others: counted, not recursed into.
fn skip_comment(cursor: &mut Cursor<'_>) -> Result<(), Syntax> {
    let mut depth = 0usize;
    loop {
        match cursor.peek().ok_or(Syntax("unterminated comment"))? {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'\\' => cursor.skip(1),
            _ => {}
        }
        cursor.skip(1);
        if depth == 0 {
            return Ok(());
        }
    }
}

/// A Timestamp value, as it came: it is echoed and never computed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// When the request was sent: digits with an optional fraction.
    pub sent: Str,
    /// How long the answer was held, in seconds.
    pub delay: Option<Str>,
}

impl Timestamp {
    /// Reads `1*DIGIT [ "." *DIGIT ] [ LWS delay ]`.
    pub fn parse(text: &str) -> Result<Timestamp, Syntax> {
        let mut parts = text.split_ascii_whitespace();
        let sent =
            parts.next().filter(|sent| sent.starts_with(|c: char| c.is_ascii_digit())).ok_or(Syntax("timestamp"))?;
        let delay = parts.next();
        if parts.next().is_some() || !is_decimal(sent) || !delay.is_none_or(is_decimal) {
            return Err(Syntax("timestamp"));
        }
        Ok(Timestamp { sent: Str::new(sent), delay: delay.map(Str::new) })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sent)?;
        match &self.delay {
            Some(delay) => write!(f, " {delay}"),
            None => Ok(()),
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
}

/// One value of Warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Three digits: 3xx in SIP.
    pub code: u16,
    /// Who warns: a host with an optional port, or a pseudonym.
    pub agent: Str,
    /// The text without its quotes.
    pub text: Str,
}

impl Warning {
    /// Reads `3DIGIT SP warn-agent SP quoted-string`.
    pub fn parse(text: &str) -> Result<Warning, Syntax> {
        let mut cursor = Cursor::new(text);
        let digits = cursor.digits();
        let code = lex::number(digits, 999).filter(|_| digits.len() == 3).ok_or(Syntax("warn-code"))?;
        cursor.skip_ws();
        let start = cursor;
        let agent = if cursor.token().is_some() && matches!(cursor.peek(), Some(b' ' | b'\t')) {
            cursor.since(start.at())
        } else {
            cursor = start;
            Host::read(&mut cursor)?;
            if cursor.eat(b':') {
                read_port(&mut cursor)?;
            }
            cursor.since(start.at())
        };
        cursor.skip_ws();
        let start = cursor.at();
        cursor.quoted().ok_or(Syntax("warn-text"))?;
        let quoted = cursor.since(start);
        if !cursor.is_done() {
            return Err(Syntax("garbage behind a warning"));
        }
        let code = u16::try_from(code).map_err(|_| Syntax("warn-code"))?;
        Ok(Warning { code, agent: Str::new(agent), text: Str::new(params::unquote(quoted)) })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} ", self.code, self.agent)?;
        lex::write_quoted(f, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_has_seconds_a_comment_and_parameters() {
        let value = RetryAfter::parse("18000 (in (a) \\) meeting) ;duration=3600").expect("a value");
        assert_eq!(value.to_string(), "18000;duration=3600");
        for text in ["", "x", "949302838503028349304023988", "5 (open", "5 x", "5;"] {
            assert!(RetryAfter::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timestamp_is_decimal() {
        assert_eq!(Timestamp::parse("54.5  .3").expect("a value").to_string(), "54.5 .3");
        for text in ["", ".5", "a", "1 2 3", "1.2.3"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_warning_has_a_code_an_agent_and_a_text() {
        for text in ["307 isi.edu \"Session \\\"x\\\"\"", "399 [2001:db8::1]:5060 \"\"", "399 a.example:5060 \"x\""] {
            assert_eq!(Warning::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "1812 overture \"In Progress\"", "30 a \"b\"", "399 a b", "399 \"b\"", "399 a \"b\" c"] {
            assert!(Warning::parse(text).is_err(), "{text}");
        }
    }
}
