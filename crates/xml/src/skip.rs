//! Passing over a first-level element without holding it.

use crate::{Element, Error};
use memchr::{memchr, memchr3};

/// An oversized element on its way out. Nothing of it is held but its start tag. Only its end is looked for: where tags,
/// quotes and CDATA sections begin and end is all that decides where that is, so what else is wrong in it is not seen.
#[derive(Debug)]
pub(crate) struct Skip {
    /// The element's start tag.
    pub(crate) start: Element,
    /// Which limit it broke.
    pub(crate) why: Error,
    /// Elements that are open.
    depth: usize,
    /// Bytes that may still be skipped.
    left: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Text,
    /// Behind `<`.
    Less,
    /// In a start tag; the last byte was a slash.
    Start {
        slash: bool,
    },
    /// In an attribute value.
    Quoted(u8),
    End,
    /// Behind `<!` and so many bytes of `[CDATA[`.
    Opening(usize),
    /// In a CDATA section, behind so many `]`, at most two.
    Cdata(u8),
}

impl Skip {
    /// Skips the rest of `start`, which has `depth` open elements, itself included.
    pub(crate) fn new(start: Element, depth: usize, left: usize, why: Error) -> Skip {
        Skip { start, why, depth, left, state: State::Text }
    }

    /// Passes over `bytes` and returns how many belong to the element, and whether it ended.
    ///
    /// # Errors
    /// Markup that RFC 6120 §11.1 forbids, and an element that is too long even to be skipped.
    pub(crate) fn run(&mut self, bytes: &[u8]) -> Result<(usize, bool), Error> {
        let mut at = 0;
        while at < bytes.len() && self.depth > 0 {
            let before = at;
            at = self.advance(bytes, at)?;
            self.left = self.left.checked_sub(at - before).ok_or(self.why)?;
        }
        Ok((at, self.depth == 0))
    }

    fn advance(&mut self, bytes: &[u8], at: usize) -> Result<usize, Error> {
        const CDATA: &[u8] = b"[CDATA[";
        let rest = &bytes[at..];
        let byte = rest[0];
        let (state, taken) = match self.state {
            State::Text => match memchr(b'<', rest) {
                Some(n) => (State::Less, n + 1),
                None => (State::Text, rest.len()),
            },
            State::Less => match byte {
                b'/' => (State::End, 1),
                b'!' => (State::Opening(0), 1),
                b'?' => return Err(Error::Restricted("a processing instruction")),
                b'>' => return Err(Error::NotWellFormed("a < that starts no tag")),
                _ => (State::Start { slash: false }, 1),
            },
            State::Start { slash } => match memchr3(b'>', b'"', b'\'', rest) {
                None => (State::Start { slash: rest.last() == Some(&b'/') }, rest.len()),
                Some(n) if rest[n] == b'>' => {
                    let empty = if n == 0 { slash } else { rest[n - 1] == b'/' };
                    self.depth += usize::from(!empty);
                    (State::Text, n + 1)
                }
                Some(n) => (State::Quoted(rest[n]), n + 1),
            },
            State::Quoted(quote) => match memchr(quote, rest) {
                Some(n) => (State::Start { slash: false }, n + 1),
                None => (State::Quoted(quote), rest.len()),
            },
            State::End => match memchr(b'>', rest) {
                Some(n) => {
                    self.depth -= 1;
                    (State::Text, n + 1)
                }
                None => (State::End, rest.len()),
            },
            State::Opening(n) if byte == CDATA[n] => {
                (if n + 1 == CDATA.len() { State::Cdata(0) } else { State::Opening(n + 1) }, 1)
            }
            State::Opening(_) => return Err(Error::Restricted("a comment or a document type declaration")),
            State::Cdata(0) => match memchr(b']', rest) {
                Some(n) => (State::Cdata(1), n + 1),
                None => (State::Cdata(0), rest.len()),
            },
            State::Cdata(brackets) => match byte {
                b']' => (State::Cdata(2), 1),
                b'>' if brackets == 2 => (State::Text, 1),
                _ => (State::Cdata(0), 1),
            },
        };
        self.state = state;
        Ok(at + taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: Error = Error::TooBig { what: "bytes", limit: 1 };

    fn skip(left: usize) -> Skip {
        Skip::new(Element::new("message", ""), 1, left, WHY)
    }

    #[test]
    fn the_end_is_found_in_any_pieces() {
        let bytes = b"x<a b='</m>' c=\"/>\">y</a><b/><c d='/'><![CDATA[]]</m>]]]>]]</c></m><next/>";
        let len = bytes.len() - b"<next/>".len();
        assert_eq!(skip(1000).run(bytes), Ok((len, true)));
        let mut s = skip(1000);
        for (i, b) in bytes[..len].iter().enumerate() {
            assert_eq!(s.run(&[*b]), Ok((1, i + 1 == len)), "byte {i}");
        }
    }

    #[test]
    fn what_ends_the_stream() {
        assert_eq!(skip(10).run(b"0123456789"), Ok((10, false)));
        assert_eq!(skip(10).run(b"0123456789a"), Err(WHY));
        assert!(matches!(skip(100).run(b"<?pi?>"), Err(Error::Restricted(_))));
        assert!(matches!(skip(100).run(b"<!-- c -->"), Err(Error::Restricted(_))));
        assert!(matches!(skip(100).run(b"<!DOCTYPE"), Err(Error::Restricted(_))));
    }
}
