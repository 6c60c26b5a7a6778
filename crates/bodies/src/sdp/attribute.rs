//! Attributes (§5.13), and the texts and words that are in them and in other lines.

use base::Str;
use std::borrow::Cow;
use std::fmt;

/// Octets of a line without NUL, CR and LF: most often UTF-8, but `a=charset` may say otherwise (§6.10).
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Box<[u8]>);

impl Text {
    /// A text of ours. NUL, CR and LF become spaces.
    pub fn new(text: &str) -> Text {
        Text(text.bytes().map(|b| if matches!(b, b'\0' | b'\r' | b'\n') { b' ' } else { b }).collect())
    }

    /// Of a line, which was looked through before.
    pub(super) fn of_line(bytes: &[u8]) -> Text {
        Text(bytes.into())
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }

    /// The text with U+FFFD for what is not UTF-8.
    pub fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lossy())
    }
}

/// `a=`: a name, and a value or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    name: Str,
    value: Option<Text>,
}

impl Attribute {
    /// An attribute with a value. NUL, CR and LF in it become spaces.
    pub fn new(name: &str, value: &str) -> Attribute {
        Attribute { name: name.into(), value: Some(Text::new(value)) }
    }

    /// An attribute that says what it says by being there.
    pub fn flag(name: &str) -> Attribute {
        Attribute { name: name.into(), value: None }
    }

    pub(super) fn of_line(name: Str, value: Option<&[u8]>) -> Attribute {
        Attribute { name, value: value.map(Text::of_line) }
    }

    /// The same with its name in lower case.
    pub(super) fn in_lower_case(self) -> Attribute {
        Attribute { name: self.name.chars().map(|c| c.to_ascii_lowercase()).collect(), ..self }
    }

    /// The name; names compare exactly (§5: values are case-significant, and so are names).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value; None where there is none, and for one that is not UTF-8.
    pub fn value(&self) -> Option<&str> {
        self.value.as_ref()?.as_str()
    }

    /// The value, whatever its octets are.
    pub fn raw(&self) -> Option<&Text> {
        self.value.as_ref()
    }
}

/// Attributes in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<Attribute>);

impl Attributes {
    /// One more, behind the others.
    pub fn push(&mut self, attribute: Attribute) {
        self.0.push(attribute);
    }

    /// The first of this name.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    /// Whether there is one of this name, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Attribute> {
        self.0.iter().filter(move |attribute| attribute.name == name)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Attribute> {
        self.0.iter()
    }

    /// Puts this one in the place of the first of its name, or behind all others.
    pub fn set(&mut self, attribute: Attribute) {
        match self.0.iter_mut().find(|there| there.name == attribute.name) {
            Some(there) => *there = attribute,
            None => self.0.push(attribute),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without those of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|attribute| attribute.name != name);
    }
}

impl Extend<Attribute> for Attributes {
    fn extend<T: IntoIterator<Item = Attribute>>(&mut self, attributes: T) {
        self.0.extend(attributes);
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<T: IntoIterator<Item = Attribute>>(attributes: T) -> Attributes {
        Attributes(attributes.into_iter().collect())
    }
}

/// Which way media go, as who wrote the description sees it (§6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// From who wrote it.
    SendOnly,
    /// To who wrote it.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// The direction of that name.
    pub fn from_name(name: &str) -> Option<Direction> {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        [SendRecv, SendOnly, RecvOnly, Inactive].into_iter().find(|direction| direction.name() == name)
    }

    /// The name of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// The same, as the other side sees it: what an answer says (RFC 3264 §6.1).
    #[must_use]
    pub fn reverse(self) -> Direction {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            Direction::SendRecv | Direction::Inactive => self,
        }
    }

    /// Whether who wrote it sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether who wrote it receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// Who opens the connection, as who wrote the description offers (RFC 4145 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Who wrote it does.
    Active,
    /// The other side does.
    Passive,
    /// Either; only in an offer.
    Actpass,
    /// Nobody, for now.
    Holdconn,
}

impl Setup {
    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Setup> {
        use Setup::{Active, Actpass, Holdconn, Passive};
        [Active, Passive, Actpass, Holdconn].into_iter().find(|setup| setup.name() == name)
    }

    /// The name of the role.
    pub fn name(self) -> &'static str {
        match self {
            Setup::Active => "active",
            Setup::Passive => "passive",
            Setup::Actpass => "actpass",
            Setup::Holdconn => "holdconn",
        }
    }
}
