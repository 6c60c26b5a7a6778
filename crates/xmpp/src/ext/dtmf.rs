//! XEP-0181: tones of telephone keys, told in a session-info.

use super::element;
use crate::error::Condition;
use crate::ns;
use base::format_compact;
use xml::Element;

/// How long a tone is in milliseconds where that is not told.
const DURATION: u32 = 100;
/// The quietest tone: -63 dBm0.
const QUIETEST: u8 = 63;

/// The tone of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dtmf {
    /// The key: a digit, `#`, `*`, or `A` to `D`.
    pub code: char,
    /// How long, in milliseconds. 0: it is better ignored (§2).
    pub duration: u32,
    /// How loud, in dBm0 without the sign, up to 63: the more, the quieter.
    pub volume: Option<u8>,
}

impl Dtmf {
    /// The tone of a key; none if there is no such key.
    pub fn new(code: char) -> Option<Dtmf> {
        let code = code.to_ascii_uppercase();
        matches!(code, '0'..='9' | '#' | '*' | 'A'..='D').then_some(Dtmf { code, duration: DURATION, volume: None })
    }

    /// Sets how long it is, in milliseconds.
    #[must_use]
    pub fn with_duration(self, duration: u32) -> Dtmf {
        Dtmf { duration, ..self }
    }

    /// Whether an element wants to be one.
    pub fn is(e: &Element) -> bool {
        e.is("dtmf", ns::DTMF)
    }

    /// Reads it.
    ///
    /// # Errors
    /// `<feature-not-implemented/>` if there is no such key (§2), `<bad-request/>` if there is none or anything else is wrong.
    pub fn parse(e: &Element) -> Result<Dtmf, Condition> {
        let code = e.attr("code").filter(|_| Dtmf::is(e)).ok_or(Condition::BadRequest)?;
        let mut chars = code.chars();
        let (Some(code), None) = (chars.next(), chars.next()) else { return Err(Condition::FeatureNotImplemented) };
        let tone = Dtmf::new(code).ok_or(Condition::FeatureNotImplemented)?;
        let duration = match e.attr("duration") {
            None => DURATION,
            Some(text) => text.parse().map_err(|_| Condition::BadRequest)?,
        };
        let volume = match e.attr("volume") {
            None => None,
            Some(text) => Some(text.parse().ok().filter(|v| *v <= QUIETEST).ok_or(Condition::BadRequest)?),
        };
        Ok(Dtmf { duration, volume, ..tone })
    }

    /// Writes it.
    pub fn to_element(self) -> Element {
        let e = element("dtmf", ns::DTMF)
            .with_attr("code", format_compact!("{}", self.code))
            .with_attr("duration", format_compact!("{}", self.duration));
        self.volume.iter().fold(e, |e, volume| e.with_attr("volume", format_compact!("{volume}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::over_the_wire;
    use super::*;

    #[test]
    fn there_and_back() {
        for code in "0123456789#*ABCD".chars() {
            for volume in [None, Some(0), Some(63)] {
                let tone = Dtmf { volume, ..Dtmf::new(code).expect("a key").with_duration(400) };
                assert_eq!(Dtmf::parse(&over_the_wire(&tone.to_element())), Ok(tone));
            }
        }
    }

    #[test]
    fn what_is_no_tone() {
        let tone = |code: &str| element("dtmf", ns::DTMF).with_attr("code", code);
        assert_eq!(Dtmf::parse(&tone("7")), Ok(Dtmf { code: '7', duration: 100, volume: None }));
        assert_eq!(Dtmf::parse(&tone("d")).map(|t| t.code), Ok('D'));
        for code in ["", "77", "E", "é", "\u{666}"] {
            assert_eq!(Dtmf::parse(&tone(code)), Err(Condition::FeatureNotImplemented), "{code}");
        }
        for (name, value) in [("duration", "-1"), ("duration", "long"), ("volume", "64"), ("volume", "loud")] {
            assert_eq!(Dtmf::parse(&tone("7").with_attr(name, value)), Err(Condition::BadRequest), "{name} {value}");
        }
        assert_eq!(Dtmf::parse(&element("dtmf", ns::DTMF)), Err(Condition::BadRequest));
    }
}
