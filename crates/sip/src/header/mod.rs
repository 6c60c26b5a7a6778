//! Header fields: their names, the list of them in a message, and one file for each family of values.

mod auth;
mod cseq;
mod date;
mod identity;
mod list;
mod media;
mod name;
mod name_addr;
mod package;
mod params;
mod reason;
mod typed;
mod value;
mod via;

pub use auth::{Challenge, Credentials};
pub use cseq::{CSeq, check_call_id};
pub use date::Date;
pub use identity::{Identity, Privacy};
pub use list::{Elements, elements};
pub use media::{Coding, Disposition, LanguageRange, MediaRange, MediaType, check_language};
pub use name::{HeaderName, Name};
pub(crate) use name_addr::raw_tag;
pub use name_addr::{Contacts, NameAddr};
pub use package::{Event, SubscriptionState};
pub use params::Params;
pub(crate) use params::unquote;
pub use reason::Reason;
pub use value::{RetryAfter, Timestamp, Warning, parse_delta_seconds};
pub use via::Via;

use crate::lex;
use std::fmt::{self, Write as _};

/// Why a header cannot be used. Its text is fit for a Reason-Phrase: ASCII, and nothing of the peer's in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderError {
    /// Which header.
    pub name: Name,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is mandatory and not there.
    Missing,
    /// It is there more than once, in two lines or two values.
    Repeated,
    /// It does not follow its grammar; a few words about where.
    Malformed(&'static str),
    /// It is a number beyond its range.
    OutOfRange,
}

impl HeaderError {
    pub(crate) fn new(name: Name, fault: Fault) -> HeaderError {
        HeaderError { name, fault }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_str();
        match self.fault {
            Fault::Missing => write!(f, "Missing {name}"),
            Fault::Repeated => write!(f, "Repeated {name}"),
            Fault::Malformed(what) => write!(f, "Malformed {name}: {what}"),
            Fault::OutOfRange => write!(f, "{name} Out Of Range"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// A piece of `Headers::text`.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// A text beyond 4 GiB, which no limit admits, gives a span that reads as the empty text.
    fn new(start: usize, end: usize) -> Span {
        let narrow = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: narrow(start), end: narrow(end) }
    }
}

#[derive(Clone, Copy)]
struct Line {
    /// `None` for a name this crate does not know: its text is at `name_at`.
    name: Option<Name>,
    name_at: Span,
    value: Span,
}

/// The header fields of a message in their order, known ones and unknown ones, with their values as they came: unfolded
/// and without white space at the ends.
///
/// All texts stand in one string, and each line is four offsets into it; so reading a message costs two allocations for
/// all its headers, and a value is looked at only when somebody asks for it. Values that are replaced leave their old
/// text behind until the message is gone.
///
/// Nothing puts a CR, an LF or another control character into a value (THREATS: header injection): what is pushed has
/// them replaced by spaces. Values that came from the network hold none either but in the quoted-pairs of RFC 3261
/// §25.1, never CR or LF.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    lines: Vec<Line>,
}

impl Headers {
    /// No headers.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// No headers yet, but room for `text` bytes of them.
    pub(crate) fn with_capacity(text: usize, lines: usize) -> Headers {
        Headers { text: String::with_capacity(text), lines: Vec::with_capacity(lines) }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every line in its order.
    pub fn iter(&self) -> impl Iterator<Item = (HeaderName<'_>, &str)> {
        self.lines.iter().map(|line| (self.name_of(line), self.at(line.value)))
    }

    /// The value of the first line of this name.
    pub fn get<'n>(&self, name: impl Into<HeaderName<'n>>) -> Option<&str> {
        let line = match name.into() {
            HeaderName::Known(name) => self.lines.iter().find(|line| line.name == Some(name))?,
            name => self.lines.iter().find(|line| self.is_named(line, name))?,
        };
        Some(self.at(line.value))
    }

    /// The value of each line of this name, in their order. A line of a comma list holds several values: see `elements`.
    pub fn all<'a>(&'a self, name: impl Into<HeaderName<'a>>) -> impl Iterator<Item = &'a str> {
        let name = name.into();
        self.lines.iter().filter(move |line| self.is_named(line, name)).map(|line| self.at(line.value))
    }

    /// Whether there is a line of this name.
    pub fn contains<'n>(&self, name: impl Into<HeaderName<'n>>) -> bool {
        self.get(name).is_some()
    }

    /// Adds a line at the end.
    ///
    /// The one way in for every value we write: control characters become spaces, white space at the ends goes. An
    /// unknown name that is no token has its other characters replaced by `-`.
    pub fn push<'n>(&mut self, name: impl Into<HeaderName<'n>>, value: impl fmt::Display) {
        let line = self.make(name.into(), value);
        self.lines.push(line);
    }

    /// Adds a line before all others: where a Via of our own goes.
    pub fn push_front<'n>(&mut self, name: impl Into<HeaderName<'n>>, value: impl fmt::Display) {
        let line = self.make(name.into(), value);
        self.lines.insert(0, line);
    }

    /// Makes this value the only one of its name: in the place of the first line of it, or at the end.
    pub fn set<'n>(&mut self, name: impl Into<HeaderName<'n>>, value: impl fmt::Display) {
        let name = name.into();
        match self.lines.iter().position(|line| self.is_named(line, name)) {
            None => self.push(name, value),
            Some(at) => {
                let line = self.make(name, value);
                self.lines[at] = line;
                self.retain_from(at + 1, name);
            }
        }
    }

    /// Removes all lines of this name.
    pub fn remove<'n>(&mut self, name: impl Into<HeaderName<'n>>) {
        self.retain_from(0, name.into());
    }

    /// Removes the first line of this name.
    pub fn remove_first<'n>(&mut self, name: impl Into<HeaderName<'n>>) {
        let name = name.into();
        if let Some(at) = self.lines.iter().position(|line| self.is_named(line, name)) {
            self.lines.remove(at);
        }
    }

    /// Adds all lines of this name that `other` has, as they came.
    pub fn copy<'n>(&mut self, other: &Headers, name: impl Into<HeaderName<'n>>) {
        let name = name.into();
        for line in &other.lines {
            if other.is_named(line, name) {
                self.push_clean(other.name_of(line), other.at(line.value), "");
            }
        }
    }

    /// Adds a line with `value` and `tail`, which are known to be free of control characters that would break a line.
    pub(crate) fn push_clean(&mut self, name: HeaderName<'_>, value: &str, tail: &str) {
        debug_assert!(!value.contains(['\r', '\n']) && !tail.contains(['\r', '\n']), "a clean value is one line");
        let (name, name_at) = self.make_name(name);
        let start = self.text.len();
        self.text.push_str(value);
        self.text.push_str(tail);
        self.lines.push(Line { name, name_at, value: Span::new(start, self.text.len()) });
    }

    /// Lengthens the last line by a token.
    pub(crate) fn extend_last(&mut self, token: &str) {
        debug_assert!(lex::all(token, lex::TOKEN), "a token is clean");
        if let Some(line) = self.lines.last_mut()
            && line.value.end as usize == self.text.len()
        {
            self.text.push_str(token);
            line.value = Span::new(line.value.start as usize, self.text.len());
        }
    }

    /// About how many bytes the lines take on the wire: an upper bound.
    pub(crate) fn written_length(&self) -> usize {
        self.text.len() + self.lines.len() * 24 + 32
    }

    fn make(&mut self, name: HeaderName<'_>, value: impl fmt::Display) -> Line {
        let (name, name_at) = self.make_name(name);
        let start = self.text.len();
        // Writing to a string cannot fail; a Display that fails for its own reasons leaves what it has written.
        let _ = write!(self.text, "{value}");
        if lex::controls(&self.text.as_bytes()[start..]) > 0 {
            let clean = self.text[start..].replace(|c: char| c.is_ascii() && lex::is_control(c as u8), " ");
            self.text.truncate(start);
            self.text.push_str(&clean);
        }
        let written = &self.text[start..];
        let end = start + written.trim_ascii_end().len();
        let start = end - self.text[start..end].trim_ascii_start().len();
        Line { name, name_at, value: Span::new(start, end) }
    }

    fn make_name(&mut self, name: HeaderName<'_>) -> (Option<Name>, Span) {
        match name {
            HeaderName::Known(name) => (Some(name), Span { start: 0, end: 0 }),
            HeaderName::Other(text) => {
                let start = self.text.len();
                self.text
                    .extend(text.chars().map(|c| if c.is_ascii() && lex::is(c as u8, lex::TOKEN) { c } else { '-' }));
                if text.is_empty() {
                    self.text.push('-');
                }
                (None, Span::new(start, self.text.len()))
            }
        }
    }

    fn retain_from(&mut self, from: usize, name: HeaderName<'_>) {
        let mut at = 0;
        let text = &self.text;
        self.lines.retain(|line| {
            at += 1;
            at <= from || !is_named(text, line, name)
        });
    }

    fn at(&self, span: Span) -> &str {
        at(&self.text, span)
    }

    fn name_of(&self, line: &Line) -> HeaderName<'_> {
        match line.name {
            Some(name) => HeaderName::Known(name),
            None => HeaderName::Other(self.at(line.name_at)),
        }
    }

    fn is_named(&self, line: &Line, name: HeaderName<'_>) -> bool {
        is_named(&self.text, line, name)
    }

    /// The reader's way in: the head of a message becomes the text, and lines point into it.
    pub(crate) fn adopt(&mut self, head: &str) {
        debug_assert!(self.text.is_empty(), "offsets into the head must stay what they are");
        self.text.push_str(head);
    }

    /// Adds a line whose name and value stand in the adopted head.
    pub(crate) fn push_adopted(&mut self, name: Option<Name>, name_at: (usize, usize), value: (usize, usize)) {
        let line = Line { name, name_at: Span::new(name_at.0, name_at.1), value: Span::new(value.0, value.1) };
        self.lines.push(line);
    }

    /// Adds a line whose name stands in the adopted head, but whose value was folded and comes unfolded.
    pub(crate) fn push_unfolded(&mut self, name: Option<Name>, name_at: (usize, usize), value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.push_adopted(name, name_at, (start, start + value.len()));
    }

    /// Replaces the first value of the first line of this name, which may be a comma list; adds it if there is none.
    pub(crate) fn set_first_element(&mut self, name: Name, value: impl fmt::Display) {
        match self.lines.iter().position(|line| line.name == Some(name)) {
            None => self.push(name, value),
            Some(at) => {
                let old = self.lines[at].value;
                let text = self.at(old);
                let first = list::first_length(text);
                let line = if first == text.len() {
                    self.make(HeaderName::Known(name), value)
                } else {
                    let rest = text[first..].to_owned();
                    self.make(HeaderName::Known(name), format_args!("{value}{rest}"))
                };
                self.lines[at] = line;
            }
        }
    }
}

fn at(text: &str, span: Span) -> &str {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}

fn is_named(text: &str, line: &Line, name: HeaderName<'_>) -> bool {
    match (line.name, name) {
        (Some(a), HeaderName::Known(b)) => a == b,
        (None, HeaderName::Other(b)) => at(text, line.name_at).eq_ignore_ascii_case(b),
        (Some(_), HeaderName::Other(_)) | (None, HeaderName::Known(_)) => false,
    }
}

impl PartialEq for Headers {
    /// The same names with the same values in the same order.
    fn eq(&self, other: &Headers) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name.as_str(), value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_and_names_have_one_form() {
        let mut headers = Headers::new();
        headers.push("v", "SIP/2.0/UDP a.example");
        headers.push("X-Foo", "1");
        headers.push(Name::Subject, "  two ");
        headers.push("x-foo", "3");
        headers.push_front(Name::Via, "SIP/2.0/UDP b.example");
        assert_eq!(headers.all(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/UDP b.example", "SIP/2.0/UDP a.example"]);
        assert_eq!(headers.get("s"), Some("two"));
        assert_eq!(headers.all("X-FOO").collect::<Vec<_>>(), ["1", "3"]);
        headers.set("X-Foo", 4);
        assert_eq!(
            headers.iter().map(|(n, v)| format!("{}: {v}", n.as_str())).collect::<Vec<_>>(),
            ["Via: SIP/2.0/UDP b.example", "Via: SIP/2.0/UDP a.example", "X-Foo: 4", "Subject: two"]
        );
        headers.remove_first(Name::Via);
        headers.remove("X-Foo");
        assert_eq!(headers.len(), 2);
        assert!(!headers.contains("X-Foo"));
    }

    #[test]
    fn nothing_breaks_a_line() {
        let mut headers = Headers::new();
        headers.push(Name::Subject, "x\r\nVia: y\0\u{7f}z\t\u{e9}");
        headers.push("Bad Name:\r\n", "\r\n");
        headers.push("", "v");
        assert_eq!(
            headers.iter().map(|(n, v)| (n.as_str(), v)).collect::<Vec<_>>(),
            [("Subject", "x  Via: y  z\t\u{e9}"), ("Bad-Name---", ""), ("-", "v")]
        );
    }

    #[test]
    fn the_top_via_is_replaced_in_its_list() {
        let mut headers = Headers::new();
        headers.push(Name::Via, "SIP/2.0/UDP a.example;x=\"a,b\" , SIP/2.0/UDP b.example");
        headers.set_first_element(Name::Via, "new");
        assert_eq!(headers.get(Name::Via), Some("new , SIP/2.0/UDP b.example"));
    }
}
