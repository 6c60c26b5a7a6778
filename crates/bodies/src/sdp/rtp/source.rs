//! Sources: what is said of one sender of RTP within a media description (RFC 5576).

use super::super::address::number;
use super::{Value, is_line, word};
use base::Str;
use std::fmt;

/// The most sources of one group.
const MAX_SOURCES: usize = 64;

/// `a=ssrc` (RFC 5576 §4.1): one thing that is said of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssrc {
    /// The source.
    pub id: u32,
    /// What is said: `cname`, `msid`...
    pub attribute: Str,
    /// With what value, if with one.
    pub value: Option<Str>,
}

impl Value for Ssrc {
    const NAME: &'static str = "ssrc";

    fn parse(value: &str) -> Option<Ssrc> {
        let (id, rest) = value.split_once(' ')?;
        let (attribute, value) = rest.split_once(':').map_or((rest, None), |(name, value)| (name, Some(value)));
        let value = match value {
            Some(value) if !is_line(value) => return None,
            value => value.map(Str::from),
        };
        Some(Ssrc { id: number(id)?, attribute: word(attribute)?, value })
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.attribute)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, ":{value}"))
    }
}

/// `a=ssrc-group` (RFC 5576 §4.2): sources that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// Why: `FID`, `SIM`, `FEC-FR`...
    pub semantics: Str,
    /// Which, at most 64.
    pub sources: Vec<u32>,
}

impl Value for SsrcGroup {
    const NAME: &'static str = "ssrc-group";

    fn parse(value: &str) -> Option<SsrcGroup> {
        let mut words = value.trim_end_matches(' ').split(' ');
        let semantics = word(words.next()?)?;
        let sources: Vec<u32> = words.take(MAX_SOURCES + 1).map(number).collect::<Option<_>>()?;
        (sources.len() <= MAX_SOURCES).then_some(SsrcGroup { semantics, sources })
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.sources.iter().try_for_each(|source| write!(f, " {source}"))
    }
}
