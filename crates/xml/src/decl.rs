//! The XML declaration.

use crate::Error;
use crate::chars::is_space;

/// The encoding that the declaration `decl`, from `<?xml` to `?>`, names (XML 1.0 productions 23 to 32).
pub(crate) fn encoding(decl: &str) -> Result<Option<&str>, Error> {
    const BAD: Error = Error::NotWellFormed("the XML declaration");
    let mut rest = decl.strip_prefix("<?xml").and_then(|d| d.strip_suffix("?>")).ok_or(BAD)?;
    let version = pseudo_attr(&mut rest, "version")?.ok_or(BAD)?;
    // XML 1.0 §2.8: a 1.0 processor reads 1.x as 1.0.
    if !version.strip_prefix("1.").is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Error::NotWellFormed("not XML 1.0"));
    }
    let encoding = pseudo_attr(&mut rest, "encoding")?;
    match pseudo_attr(&mut rest, "standalone")? {
        // RFC 6120 §11.5: ignored, there being nothing external that it could speak of.
        None | Some("yes" | "no") => {}
        Some(_) => return Err(BAD),
    }
    if rest.bytes().all(is_space) { Ok(encoding) } else { Err(BAD) }
}

/// Takes `name='value'` with the space before it from the start of `rest`, if it is there.
fn pseudo_attr<'a>(rest: &mut &'a str, name: &str) -> Result<Option<&'a str>, Error> {
    const BAD: Error = Error::NotWellFormed("the XML declaration");
    let trim = |s: &'a str| s.trim_start_matches([' ', '\t', '\r', '\n']);
    let s = trim(rest);
    let Some(after_name) = s.strip_prefix(name) else { return Ok(None) };
    if s.len() == rest.len() {
        return Err(BAD);
    }
    let quoted = trim(trim(after_name).strip_prefix('=').ok_or(BAD)?);
    let quote = quoted.chars().next().filter(|q| matches!(q, '"' | '\'')).ok_or(BAD)?;
    let (value, after) = quoted[1..].split_once(quote).ok_or(BAD)?;
    *rest = after;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations() {
        assert_eq!(encoding("<?xml version='1.0'?>"), Ok(None));
        assert_eq!(encoding("<?xml  version = \"1.0\"\n encoding='UTF-8' standalone=\"no\" ?>"), Ok(Some("UTF-8")));
        for bad in [
            "<?xml?>",
            "<?xmlversion='1.0'?>",
            "<?xml version='2.0'?>",
            "<?xml version='1.'?>",
            "<?xml encoding='UTF-8'?>",
            "<?xml encoding='UTF-8' version='1.0'?>",
            "<?xml version='1.0'encoding='UTF-8'?>",
            "<?xml version='1.0\"?>",
            "<?xml version=1.0?>",
            "<?xml version='1.0' standalone='maybe'?>",
            "<?xml version='1.0' other='x'?>",
        ] {
            assert!(matches!(encoding(bad), Err(Error::NotWellFormed(_))), "{bad}");
        }
    }
}
