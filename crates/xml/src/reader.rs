//! Reading a stream.

use crate::parse::{Mode, Parser};
use crate::{Element, Error, Limits};
use base::Str;

/// How much memory an empty buffer may keep.
const KEEP: usize = 64 << 10;

/// What a stream brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream header, an element without children. See also [`Reader::content_ns`].
    Open(Element),
    /// A whole first-level element.
    Stanza(Element),
    /// A first-level element that broke a limit and was passed over. The stream goes on behind it.
    Skipped {
        /// Its start tag: the element without its children.
        start: Element,
        /// The limit: always [`Error::TooBig`].
        why: Error,
    },
    /// The end of the stream; after it only white space may come.
    Close,
}

/// Reads an XML stream (RFC 6120 §4 and §11) as its bytes come, in whatever pieces. White space between stanzas is not
/// held, however much comes.
#[derive(Debug)]
pub struct Reader {
    parser: Parser,
    buf: Vec<u8>,
}

impl Reader {
    /// A reader at the first byte of a stream. A stream that starts anew (RFC 6120 §4.3.3) wants a new reader.
    pub fn new(limits: Limits) -> Reader {
        Reader { parser: Parser::new(limits, Mode::Stream), buf: Vec::new() }
    }

    /// Takes more bytes. They are held until [`Reader::next`] has read them, so call that until it has nothing more before
    /// taking further ones.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.parser.pos > 0 {
            self.buf.drain(..self.parser.pos);
            self.parser.pos = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next event; none when more bytes are needed for it.
    ///
    /// # Errors
    /// What ends the stream. The same error comes again on every later call.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end at the first None")]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        let event = self.parser.next(&self.buf)?;
        if event.is_none() && self.parser.pos == self.buf.len() {
            self.buf.clear();
            self.parser.pos = 0;
            if self.buf.capacity() > KEEP {
                self.buf.shrink_to(KEEP);
            }
        }
        Ok(event)
    }

    /// From here on these are the limits. What was read already is not looked at again: to be called between stanzas.
    pub fn set_limits(&mut self, limits: Limits) {
        self.parser.set_limits(limits);
    }

    /// The bytes that no event was made of: what has come behind the last one, white space included.
    pub fn unread(&self) -> &[u8] {
        &self.buf[self.parser.pos..]
    }

    /// How many bytes of an unfinished first-level element, stream header or declaration have come: 0 between stanzas.
    pub fn buffered(&self) -> usize {
        self.parser.held() + self.buf.len() - self.parser.pos
    }

    /// The default namespace that the stream header declares (RFC 6120 §4.8.2); empty before the header, or if it
    /// declares none.
    pub fn content_ns(&self) -> Str {
        self.parser.content_ns()
    }
}
