//! How media descriptions are named and grouped (RFC 5888), and how long their packets are (RFC 8866 §6.4, §6.5).

use super::{Value, word};
use base::Str;
use std::fmt;

/// The most media descriptions of one group.
const MAX_MIDS: usize = 64;

/// `a=group` (RFC 5888 §5): media descriptions that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Why: `BUNDLE` (RFC 9143), `LS`...
    pub semantics: Str,
    /// Which, by their `a=mid`; at most 64.
    pub mids: Vec<Str>,
}

impl Value for Group {
    const NAME: &'static str = "group";

    fn parse(value: &str) -> Option<Group> {
        let mut words = value.trim_end_matches(' ').split(' ');
        let semantics = word(words.next()?)?;
        let mids: Vec<Str> = words.take(MAX_MIDS + 1).map(word).collect::<Option<_>>()?;
        (mids.len() <= MAX_MIDS).then_some(Group { semantics, mids })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.mids.iter().try_for_each(|mid| write!(f, " {mid}"))
    }
}

/// `a=mid` (RFC 5888 §4): the name of a media description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mid(
    /// The name, a token.
    pub Str,
);

impl Value for Mid {
    const NAME: &'static str = "mid";

    fn parse(value: &str) -> Option<Mid> {
        word(value.trim_matches(' ')).map(Mid)
    }
}

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of `a=ptime` and `a=maxptime`: milliseconds, with a fraction or without, and more than none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketTime(Str);

impl PacketTime {
    /// The name of the other attribute.
    pub const MAX: &'static str = "maxptime";

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for PacketTime {
    const NAME: &'static str = "ptime";

    fn parse(value: &str) -> Option<PacketTime> {
        let value = value.trim_matches(' ');
        let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
        let digits = |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let more_than_none = value.bytes().any(|b| matches!(b, b'1'..=b'9'));
        (digits(whole) && digits(fraction) && more_than_none).then(|| PacketTime(value.into()))
    }
}

impl fmt::Display for PacketTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
