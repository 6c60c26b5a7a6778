//! Text with holes: `$name` captures or repeats what was captured, `*` stands for anything, `$$` is a dollar sign.

use std::collections::BTreeMap;

/// What a scene has captured so far.
pub type Captures = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Any,
    Hole(String),
}

/// Whether `pattern` fits the whole of `actual`. On success what its holes took is in `captures`; on failure nothing changed.
/// `*` means anything only where `stars` says so.
pub fn fits(pattern: &str, actual: &str, stars: bool, captures: &mut Captures) -> bool {
    let pieces = parse(pattern, stars);
    let mut found = captures.clone();
    let fits = walk(&pieces, actual, &mut found);
    if fits {
        *captures = found;
    }
    fits
}

/// `template` with its holes filled. The error is the name of a hole that nothing was captured for.
pub(super) fn fill(template: &str, captures: &Captures) -> Result<String, String> {
    parse(template, false)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => Ok(text),
            Piece::Any => Ok("*".to_owned()),
            Piece::Hole(name) => captures.get(&name).cloned().ok_or(name),
        })
        .collect()
}

/// Runs of spaces, tabs and line ends become one space; none at the ends.
pub(super) fn squeeze(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn parse(pattern: &str, stars: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let piece = match c {
            '*' if stars => Piece::Any,
            '$' if rest.starts_with('$') => {
                rest = &rest[1..];
                text.push('$');
                continue;
            }
            '$' if rest.starts_with(|c: char| c.is_ascii_lowercase()) => {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_');
                let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
                rest = after;
                Piece::Hole(name.to_owned())
            }
            other => {
                text.push(other);
                continue;
            }
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(piece);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

fn walk(pieces: &[Piece], actual: &str, captures: &mut Captures) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return actual.is_empty() };
    match first {
        Piece::Text(text) => actual.strip_prefix(text.as_str()).is_some_and(|after| walk(rest, after, captures)),
        Piece::Any => cuts(actual).any(|(_, after)| walk(rest, after, captures)),
        Piece::Hole(name) => match captures.get(name).cloned() {
            Some(known) => actual.strip_prefix(known.as_str()).is_some_and(|after| walk(rest, after, captures)),
            // A hole takes as little as it can, one character at least.
            None => cuts(actual).skip(1).any(|(taken, after)| {
                captures.insert(name.clone(), taken.to_owned());
                walk(rest, after, captures) || {
                    captures.remove(name);
                    false
                }
            }),
        },
    }
}

/// All ways to cut `text` in two, shortest first part first.
fn cuts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = text.char_indices().map(|(i, _)| i).chain(std::iter::once(text.len()));
    ends.map(|i| text.split_at(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(pattern: &str, actual: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        fits(pattern, actual, true, &mut captures).then_some(captures)
    }

    #[test]
    fn holes_capture_and_repeat() {
        let c = ok("<sip:juliet@example.com>;tag=$tag", "<sip:juliet@example.com>;tag=12345").unwrap();
        assert_eq!(c["tag"], "12345");
        assert!(ok("$a-$a", "x-x").is_some());
        assert!(ok("$a-$a", "x-y").is_none());
        assert!(ok("$a", "").is_none(), "a hole takes at least one character");
        assert_eq!(ok("$a;$b", "x;y;z").unwrap()["b"], "y;z");
    }

    #[test]
    fn stars_and_dollars() {
        assert!(ok("text/plain*", "text/plain;charset=utf-8").is_some());
        assert!(ok("a*c", "abd").is_none());
        assert!(ok("$$5", "$5").is_some());
        assert!(ok("$5", "$5").is_some(), "a dollar before a digit is a dollar");
        assert!(!fits("a*", "ab", false, &mut Captures::new()));
    }

    #[test]
    fn a_template_is_filled() {
        let captures = Captures::from([("tag".to_owned(), "x".to_owned())]);
        assert_eq!(fill("a;tag=$tag*$$", &captures).unwrap(), "a;tag=x*$");
        assert_eq!(fill("$other", &captures), Err("other".to_owned()));
        assert_eq!(squeeze("  a \r\n\tb "), "a b");
    }
}
