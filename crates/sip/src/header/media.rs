//! What bodies and answers are made of: Content-Type, Content-Disposition, Content-Language, Accept and its kin
//! (RFC 3261 §20.1 to §20.3, §20.11 to §20.15).

use crate::header::params::Params;
use crate::lex::{Cursor, Syntax};
use base::Str;
use std::fmt;

/// A Content-Type value. Its parameters are kept; the crate that reads bodies understands them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType {
    /// The type in lower case.
    pub kind: Str,
    /// The subtype in lower case.
    pub subtype: Str,
    /// `charset`, `boundary`, ...: each has a value.
    pub params: Params,
}

impl MediaType {
    /// Reads `m-type SLASH m-subtype *( SEMI m-parameter )`.
    pub fn parse(text: &str) -> Result<MediaType, Syntax> {
        let mut cursor = Cursor::new(text);
        let (kind, subtype) = read_pair(&mut cursor)?;
        let params = Params::read(&mut cursor)?;
        if !cursor.is_done() || params.iter().any(|(_, value)| value.is_none()) {
            return Err(Syntax("media type parameter"));
        }
        Ok(MediaType { kind, subtype, params })
    }

    /// Whether `text` is a value, without making one of it.
    pub(crate) fn check(text: &str) -> Result<(), Syntax> {
        let mut cursor = Cursor::new(text);
        cursor.skip_ws();
        cursor.token().ok_or(Syntax("media type"))?;
        if !cursor.eat_padded(b'/') || cursor.token().is_none() {
            return Err(Syntax("media type"));
        }
        let with_value = |_: &str, value: Option<&str>| value.map(|_| ()).ok_or(Syntax("media type parameter"));
        Params::read_with(&mut cursor, with_value)?;
        if cursor.is_done() { Ok(()) } else { Err(Syntax("media type parameter")) }
    }

    /// Whether it is this type, without regard to parameters and case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

fn read_pair(cursor: &mut Cursor<'_>) -> Result<(Str, Str), Syntax> {
    let lower = |text: &str| {
        let mut text = Str::new(text);
        text.make_ascii_lowercase();
        text
    };
    cursor.skip_ws();
    let kind = cursor.token().ok_or(Syntax("media type"))?;
    if !cursor.eat_padded(b'/') {
        return Err(Syntax("media type"));
    }
    let subtype = cursor.token().ok_or(Syntax("media subtype"))?;
    Ok((lower(kind), lower(subtype)))
}

/// The `q` of a choice in thousandths: 0 to 1000. A value that is no qvalue counts as 1, which is the default.
fn quality(params: &Params) -> u16 {
    let Some(text) = params.get("q") else { return 1000 };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return 1000;
    }
    let thousandths = fraction.bytes().chain(*b"000").take(3).fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => thousandths,
        _ => 1000,
    }
}

/// One value of Accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// The type in lower case, or `*`.
    pub kind: Str,
    /// The subtype in lower case, or `*`.
    pub subtype: Str,
    /// Media parameters and `q`.
    pub params: Params,
}

impl MediaRange {
    /// Reads one value.
    pub fn parse(text: &str) -> Result<MediaRange, Syntax> {
        let mut cursor = Cursor::new(text);
        let (kind, subtype) = read_pair(&mut cursor)?;
        let params = Params::read(&mut cursor)?;
        if !cursor.is_done() || (kind == "*" && subtype != "*") {
            return Err(Syntax("media range"));
        }
        Ok(MediaRange { kind, subtype, params })
    }

    /// Preference in thousandths: 0 (not acceptable) to 1000.
    pub fn quality(&self) -> u16 {
        quality(&self.params)
    }

    /// Whether this type falls in the range, without regard to parameters.
    pub fn covers(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == "*" || self.kind.eq_ignore_ascii_case(kind))
            && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

/// One value of Accept-Encoding: a content-coding or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coding {
    /// The coding in lower case.
    pub name: Str,
    /// `q` and others.
    pub params: Params,
}

impl Coding {
    /// Reads one value.
    pub fn parse(text: &str) -> Result<Coding, Syntax> {
        let (name, params) = read_named(text)?;
        Ok(Coding { name, params })
    }

    /// Preference in thousandths: 0 (not acceptable) to 1000.
    pub fn quality(&self) -> u16 {
        quality(&self.params)
    }
}

/// One value of Accept-Language: a language range of RFC 4647, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageRange {
    /// The range in lower case.
    pub range: Str,
    /// `q` and others.
    pub params: Params,
}

impl LanguageRange {
    /// Reads one value.
    pub fn parse(text: &str) -> Result<LanguageRange, Syntax> {
        let (range, params) = read_named(text)?;
        if range != "*" {
            check_language(&range)?;
        }
        Ok(LanguageRange { range, params })
    }

    /// Preference in thousandths: 0 (not acceptable) to 1000.
    pub fn quality(&self) -> u16 {
        quality(&self.params)
    }
}

/// Whether `text` is a language tag: subtags of one to eight letters or digits (BCP 47; RFC 3261 itself has letters
/// only, but `zh-419` is real).
pub fn check_language(text: &str) -> Result<(), Syntax> {
    let sound = text.split('-').enumerate().all(|(at, subtag)| {
        (1..=8).contains(&subtag.len())
            && subtag.bytes().all(|b| if at == 0 { b.is_ascii_alphabetic() } else { b.is_ascii_alphanumeric() })
    });
    if sound { Ok(()) } else { Err(Syntax("language tag")) }
}

/// A Content-Disposition value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `session`, `render`, `icon`, `alert`, `aib`, ... in lower case.
    pub kind: Str,
    /// `handling` and others.
    pub params: Params,
}

impl Disposition {
    /// Reads a value.
    pub fn parse(text: &str) -> Result<Disposition, Syntax> {
        let (kind, params) = read_named(text)?;
        Ok(Disposition { kind, params })
    }

    /// Whether the body may be ignored by who does not understand it: `handling=optional`. The default is required.
    pub fn is_optional(&self) -> bool {
        self.params.value("handling").is_some_and(|value| value.eq_ignore_ascii_case("optional"))
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, self.params)
    }
}

/// A token in lower case with parameters.
fn read_named(text: &str) -> Result<(Str, Params), Syntax> {
    let mut cursor = Cursor::new(text);
    cursor.skip_ws();
    let mut name = Str::new(cursor.token().ok_or(Syntax("token"))?);
    name.make_ascii_lowercase();
    let params = Params::read(&mut cursor)?;
    if cursor.is_done() { Ok((name, params)) } else { Err(Syntax("garbage behind a token")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_prints_in_one_form() {
        let media = MediaType::parse("Multipart / Mixed ; boundary = \"a;b\"; charset=utf-8").expect("a media type");
        assert_eq!(media.to_string(), "multipart/mixed;boundary=\"a;b\";charset=utf-8");
        assert!(media.is("Multipart", "MIXED"));
        assert_eq!(media.params.value("Boundary").as_deref(), Some("a;b"));
        for text in
            ["", "text", "text/", "/plain", "text/plain;", "text/plain;charset", "text plain", "text/plain x", ";;;///"]
        {
            assert!(MediaType::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn choices_have_a_quality() {
        let range = MediaRange::parse("text/*;q=0.5").expect("a range");
        assert_eq!((range.quality(), range.covers("TEXT", "html"), range.covers("image", "png")), (500, true, false));
        assert!(MediaRange::parse("*/plain").is_err());
        assert_eq!(MediaRange::parse("*/*").expect("a range").quality(), 1000);
        assert_eq!(Coding::parse("gzip;q=0.007").expect("a coding").quality(), 7);
        assert_eq!(Coding::parse("*;q=0").expect("a coding").quality(), 0);
        assert_eq!(Coding::parse("gzip;q=7").expect("a coding").quality(), 1000);
        assert_eq!(LanguageRange::parse("EN-gb;q=1.000").expect("a range").range, "en-gb");
        assert!(LanguageRange::parse("e n").is_err());
        assert!(check_language("zh-419").is_ok());
        assert!(check_language("1-a").is_err());
    }

    #[test]
    fn handling_is_required_unless_said() {
        assert!(Disposition::parse("session;handling=OPTIONAL").expect("a disposition").is_optional());
        let plain = Disposition::parse("Render").expect("a disposition");
        assert_eq!((plain.is_optional(), plain.to_string()), (false, "render".to_owned()));
    }
}
