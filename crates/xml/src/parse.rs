//! The parser proper, for streams and documents. It looks at bytes that somebody else holds and remembers how far it is.

use crate::chars::{check, is_space, may_start_name};
use crate::markup::{self, Progress, Special};
use crate::scope::Scope;
use crate::skip::Skip;
use crate::tag::{self, RawAttr};
use crate::{Element, Error, Event, Limits, Node, decl};
use base::Str;

/// What the root element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The stream header: it is told when it opens, and its children are told one by one.
    Stream,
    /// An element like any other, told as a stanza.
    Document,
}

/// Where in the entity the next token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the first byte, where alone an XML declaration may stand.
    Start,
    /// Before the root element.
    Prolog,
    /// In the root element.
    Content,
    /// Behind it.
    After,
}

/// An element whose end has not come.
#[derive(Debug)]
struct Frame {
    element: Element,
    prefix: Str,
    /// Where its namespace declarations start.
    mark: usize,
}

#[derive(Debug)]
pub(crate) struct Parser {
    limits: Limits,
    mode: Mode,
    place: Place,
    /// The first byte that was not read, in the bytes of the caller.
    pub(crate) pos: usize,
    progress: Progress,
    /// The open elements; in a stream without its root.
    frames: Vec<Frame>,
    /// The stream's root as written: prefix, local name.
    root: (Str, Str),
    scope: Scope,
    /// Bytes and elements of the current first-level element so far.
    bytes: usize,
    elements: usize,
    skip: Option<Skip>,
    /// `<stream:stream/>`: the end is to be told next.
    close_due: bool,
    failed: Option<Error>,
    scratch: Vec<RawAttr>,
}

impl Parser {
    pub(crate) fn new(limits: Limits, mode: Mode) -> Parser {
        Parser {
            limits,
            mode,
            place: Place::Start,
            pos: 0,
            progress: Progress::default(),
            frames: Vec::new(),
            root: (Str::default(), Str::default()),
            scope: Scope::default(),
            bytes: 0,
            elements: 0,
            skip: None,
            close_due: false,
            failed: None,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The default namespace of the stream header, empty before it.
    pub(crate) fn content_ns(&self) -> Str {
        // Asked between events, when only the root's declarations are in force.
        self.scope.resolve("").unwrap_or_default()
    }

    /// Bytes of an unfinished first-level element that were read; those not read yet come on top.
    pub(crate) fn held(&self) -> usize {
        if self.frames.is_empty() && self.skip.is_none() { 0 } else { self.bytes }
    }

    pub(crate) fn next(&mut self, buf: &[u8]) -> Result<Option<Event>, Error> {
        if let Some(e) = self.failed {
            return Err(e);
        }
        let result = self.event(buf);
        if let Err(e) = result {
            self.failed = Some(e);
        }
        result
    }

    /// The next event, passing over what is too big where that is allowed.
    fn event(&mut self, buf: &[u8]) -> Result<Option<Event>, Error> {
        loop {
            if let Some(skip) = &mut self.skip {
                let (taken, ended) = skip.run(&buf[self.pos..])?;
                self.pos += taken;
                self.bytes = self.bytes.saturating_add(taken);
                match self.skip.take_if(|_| ended) {
                    Some(skip) => return Ok(Some(Event::Skipped { start: skip.start, why: skip.why })),
                    None => return Ok(None),
                }
            }
            match self.tokens(buf) {
                Err(why @ Error::TooBig { .. }) if self.may_skip() => self.start_skipping(why),
                result => return result,
            }
        }
    }

    /// A stanza whose start tag was read can be passed over: there is somebody to tell.
    fn may_skip(&self) -> bool {
        self.mode == Mode::Stream && self.limits.skip_bytes > 0 && !self.frames.is_empty()
    }

    fn start_skipping(&mut self, why: Error) {
        let depth = self.frames.len();
        let mut frames = std::mem::take(&mut self.frames).into_iter();
        if let Some(stanza) = frames.next() {
            self.scope.leave(stanza.mark);
            let start = Element { children: Vec::new(), ..stanza.element };
            self.skip = Some(Skip::new(start, depth, self.limits.skip_bytes, why));
            self.progress = Progress::default();
        }
    }

    /// Reads tokens until one makes an event. An error leaves `pos` at the token that it is about.
    fn tokens(&mut self, buf: &[u8]) -> Result<Option<Event>, Error> {
        loop {
            if std::mem::take(&mut self.close_due) {
                return Ok(Some(Event::Close));
            }
            if self.frames.is_empty() {
                self.between(buf)?;
            }
            // However the bytes are cut up, nothing is looked at beyond the limit.
            let left = self.limits.stanza_bytes.saturating_sub(self.bytes);
            let rest = &buf[self.pos..];
            let (token, complete) = self.token(&rest[..rest.len().min(left)])?;
            let Some(len) = complete else {
                if rest.len() > left {
                    return Err(Error::TooBig { what: "bytes", limit: self.limits.stanza_bytes });
                }
                return Ok(None);
            };
            let event = self.take(token, &rest[..len])?;
            self.pos += len;
            self.bytes += len;
            self.progress = Progress::default();
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Passes over the white space between first-level elements; nothing else may stand there.
    fn between(&mut self, buf: &[u8]) -> Result<(), Error> {
        let rest = &buf[self.pos..];
        let space = rest.iter().position(|b| !is_space(*b)).unwrap_or(rest.len());
        if space > 0 && self.place == Place::Start {
            self.place = Place::Prolog;
        }
        self.pos += space;
        self.bytes = 0;
        self.elements = 0;
        match (&rest[space..], self.place) {
            // A byte order mark of UTF-16 or UTF-32, or ASCII in either.
            ([0xFE | 0xFF | 0, ..] | [b'<', 0, ..], Place::Start) => Err(Error::UnsupportedEncoding),
            ([b'<', ..] | [], _) => Ok(()),
            _ => Err(Error::NotWellFormed("text outside of an element")),
        }
    }

    /// Which token `rest` starts with, and its length when all of it is there.
    fn token(&mut self, rest: &[u8]) -> Result<(Token, Option<usize>), Error> {
        let progress = &mut self.progress;
        Ok(match rest {
            [] | [b'<'] => (Token::Text, None),
            [b'<', b'/', ..] => (Token::End, markup::end_tag_end(rest, progress)),
            [b'<', b'!' | b'?', ..] => match markup::special(rest)? {
                None => (Token::Text, None),
                Some(special) => self.special(special, rest)?,
            },
            [b'<', b, ..] if may_start_name(*b) => (Token::Start, markup::tag_end(rest, progress)),
            [b'<', ..] => return Err(Error::NotWellFormed("a < that starts no tag")),
            _ => (Token::Text, markup::text_end(rest, progress)),
        })
    }

    fn special(&mut self, special: Special, rest: &[u8]) -> Result<(Token, Option<usize>), Error> {
        let progress = &mut self.progress;
        Ok(match (special, self.mode) {
            (Special::Doctype, _) => return Err(Error::Restricted("a document type declaration")),
            (Special::Cdata, _) if self.frames.is_empty() => {
                return Err(Error::NotWellFormed("text outside of an element"));
            }
            (Special::Cdata, _) => (Token::Cdata, markup::marked_end(rest, 9, b"]]>", progress)),
            (Special::Instruction, _) if self.place == Place::Start => {
                (Token::Declaration, markup::marked_end(rest, 2, b"?>", progress))
            }
            (Special::Comment, Mode::Stream) => return Err(Error::Restricted("a comment")),
            (Special::Instruction, Mode::Stream) => return Err(Error::Restricted("a processing instruction")),
            (Special::Comment, Mode::Document) => (Token::Comment, markup::comment_end(rest, progress)?),
            (Special::Instruction, Mode::Document) => {
                (Token::Instruction, markup::marked_end(rest, 2, b"?>", progress))
            }
        })
    }

    fn take(&mut self, token: Token, bytes: &[u8]) -> Result<Option<Event>, Error> {
        match token {
            Token::Text => self.text(check(bytes)?, false)?,
            Token::Cdata => self.text(check(&bytes[9..bytes.len() - 3])?, true)?,
            Token::Start => return self.start(check(bytes)?),
            Token::End => return self.end(bytes),
            Token::Comment => {
                check(bytes)?;
                self.leave_start();
            }
            Token::Declaration | Token::Instruction => self.instruction(check(bytes)?)?,
        }
        Ok(None)
    }

    fn leave_start(&mut self) {
        if self.place == Place::Start {
            self.place = Place::Prolog;
        }
    }

    fn text(&mut self, raw: &str, cdata: bool) -> Result<(), Error> {
        let frame = self.frames.last_mut().ok_or(Error::NotWellFormed("text outside of an element"))?;
        let plain =
            if cdata { !raw.contains('\r') } else { memchr::memchr3(b'&', b'\r', b'>', raw.as_bytes()).is_none() };
        if plain {
            frame.element.push_text(raw);
            return Ok(());
        }
        let mut out = Str::with_capacity(raw.len());
        if cdata {
            tag::cdata(raw, &mut out);
        } else {
            tag::text(raw, &mut out)?;
        }
        frame.element.push_text(&out);
        Ok(())
    }

    fn instruction(&mut self, raw: &str) -> Result<(), Error> {
        let target = raw[2..].split(|c: char| c == '?' || c.is_ascii_whitespace()).next().unwrap_or_default();
        let declaration = self.place == Place::Start && target == "xml";
        self.leave_start();
        match self.mode {
            _ if declaration => {
                let encoding = decl::encoding(raw)?;
                // A document was decoded before it came here.
                if self.mode == Mode::Stream && encoding.is_some_and(|e| !e.eq_ignore_ascii_case("utf-8")) {
                    return Err(Error::UnsupportedEncoding);
                }
                Ok(())
            }
            Mode::Stream => Err(Error::Restricted("a processing instruction")),
            Mode::Document if !crate::is_name(target) || target.eq_ignore_ascii_case("xml") => {
                Err(Error::NotWellFormed("a processing instruction"))
            }
            Mode::Document => Ok(()),
        }
    }

    fn start(&mut self, raw: &str) -> Result<Option<Event>, Error> {
        if self.place == Place::After {
            return Err(Error::NotWellFormed("a second root element"));
        }
        let is_header = self.mode == Mode::Stream && self.place != Place::Content;
        if self.frames.len() >= self.limits.depth {
            return Err(Error::TooBig { what: "levels of nesting", limit: self.limits.depth });
        }
        if self.elements >= self.limits.elements {
            return Err(Error::TooBig { what: "elements", limit: self.limits.elements });
        }
        let mark = self.scope.mark();
        let start = tag::parse_start(raw, &self.limits, &mut self.scope, mark, &mut self.scratch)?;
        let ns = self.scope.resolve(start.prefix)?;
        let attrs = tag::resolve_attrs(raw, &self.scope, &mut self.scratch)?;
        let element = Element { name: start.local.into(), ns, attrs, children: Vec::new() };
        self.elements += 1;
        self.place = Place::Content;
        if is_header {
            self.root = (start.prefix.into(), start.local.into());
            if start.empty {
                self.place = Place::After;
                self.close_due = true;
            }
            return Ok(Some(Event::Open(element)));
        }
        if start.empty {
            self.scope.leave(mark);
            return Ok(self.finished(element));
        }
        self.frames.push(Frame { element, prefix: start.prefix.into(), mark });
        Ok(None)
    }

    fn end(&mut self, raw: &[u8]) -> Result<Option<Event>, Error> {
        const MISMATCH: Error = Error::NotWellFormed("an end tag without its start tag");
        let Some(frame) = self.frames.last() else {
            if self.mode == Mode::Stream && self.place == Place::Content && tag::ends(raw, &self.root.0, &self.root.1) {
                self.place = Place::After;
                return Ok(Some(Event::Close));
            }
            return Err(MISMATCH);
        };
        if !tag::ends(raw, &frame.prefix, &frame.element.name) {
            return Err(MISMATCH);
        }
        let frame = self.frames.pop().ok_or(MISMATCH)?;
        self.scope.leave(frame.mark);
        Ok(self.finished(frame.element))
    }

    fn finished(&mut self, element: Element) -> Option<Event> {
        match self.frames.last_mut() {
            Some(parent) => {
                parent.element.children.push(Node::Element(element));
                None
            }
            None => {
                if self.mode == Mode::Document {
                    self.place = Place::After;
                }
                Some(Event::Stanza(element))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Text,
    Cdata,
    Start,
    End,
    Comment,
    Declaration,
    Instruction,
}
