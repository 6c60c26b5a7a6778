//! Comma lists: several values in one line (RFC 3261 §7.3.1).

use crate::lex::Syntax;

/// The values of one line, split at the commas that stand outside of quotes and of `<>`.
///
/// An empty value between two commas is an error (RFC 4475 §3.1.2.1); a line that is empty altogether has no values.
pub fn elements(line: &str) -> Elements<'_> {
    Elements { rest: if line.trim_ascii().is_empty() { None } else { Some(line) } }
}

/// What `elements` goes through. Ends behind the first error.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a str, Syntax>;

    fn next(&mut self) -> Option<Result<&'a str, Syntax>> {
        let text = self.rest.take()?;
        let Some(length) = scan(text) else {
            return Some(Err(Syntax("unterminated quoted-string")));
        };
        let element = text[..length].trim_ascii();
        if element.is_empty() {
            return Some(Err(Syntax("empty value in a list")));
        }
        self.rest = text.get(length + 1..);
        Some(Ok(element))
    }
}

/// Where the first comma outside of quotes and `<>` stands, or the length. `None` if a quote or a `<` is left open.
fn scan(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b',', b'"', b'<', &bytes[at..]) {
        at += found;
        match bytes[at] {
            b',' => return Some(at),
            b'<' => at += 1 + memchr::memchr(b'>', &bytes[at + 1..])?,
            _ => {
                at += 1;
                loop {
                    at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
                    if bytes[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
        }
        at += 1;
    }
    Some(text.len())
}

/// The length of the first value of a line, without the white space behind it; all of a line that cannot be split.
pub(crate) fn first_length(text: &str) -> usize {
    let end = scan(text).unwrap_or(text.len());
    text[..end].trim_ascii_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<&str>, Syntax> {
        elements(line).collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        assert_eq!(
            split(r#""a,\",b" <sip:c,d@e.example>;x="," , <sip:f@g.example>"#).as_deref(),
            Ok(&[r#""a,\",b" <sip:c,d@e.example>;x=",""#, "<sip:f@g.example>"][..])
        );
        assert_eq!(split("100rel,replaces").as_deref(), Ok(&["100rel", "replaces"][..]));
        assert_eq!(split("  ").as_deref(), Ok(&[][..]));
    }

    #[test]
    fn what_is_no_list() {
        for line in ["a,,b", ",a", "a,", "a, \"b", "<a", "a\"\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
