//! Where a piece of markup ends. Each search can be taken up again where it ran out of bytes.

use crate::Error;
use memchr::{memchr, memchr3, memmem};

/// How far the current token was searched.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of the token that need no second look.
    scanned: usize,
    /// The quotation mark that the search is inside of, in a tag.
    quote: Option<u8>,
}

/// The length of the text at the start of `rest`: up to the next `<`.
pub(crate) fn text_end(rest: &[u8], progress: &mut Progress) -> Option<usize> {
    let end = memchr(b'<', &rest[progress.scanned..]).map(|at| progress.scanned + at);
    progress.scanned = rest.len();
    end
}

/// The length of the start tag at the start of `rest`: behind its `>`, which is none if it stands in quotes.
pub(crate) fn tag_end(rest: &[u8], progress: &mut Progress) -> Option<usize> {
    let mut at = progress.scanned.max(1);
    loop {
        let found = match progress.quote {
            None => memchr3(b'>', b'"', b'\'', rest.get(at..)?),
            Some(quote) => memchr(quote, rest.get(at..)?),
        };
        let Some(found) = found else {
            progress.scanned = rest.len();
            return None;
        };
        at += found + 1;
        match (progress.quote, rest[at - 1]) {
            (None, b'>') => return Some(at),
            (None, quote) => progress.quote = Some(quote),
            (Some(_), _) => progress.quote = None,
        }
    }
}

/// The length of the end tag at the start of `rest`.
pub(crate) fn end_tag_end(rest: &[u8], progress: &mut Progress) -> Option<usize> {
    let end = memchr(b'>', &rest[progress.scanned..]).map(|at| progress.scanned + at + 1);
    progress.scanned = rest.len();
    end
}

/// The length of something that ends with `mark`, behind it, when the first `opening` bytes cannot be part of the mark.
pub(crate) fn marked_end(rest: &[u8], opening: usize, mark: &[u8], progress: &mut Progress) -> Option<usize> {
    let from = progress.scanned.max(opening);
    let end = memmem::find(rest.get(from..)?, mark).map(|at| from + at + mark.len());
    // The mark's first bytes may be here already.
    progress.scanned = rest.len().saturating_sub(mark.len() - 1).max(opening);
    end
}

/// The length of the comment at the start of `rest` (XML 1.0 §2.5: `--` ends it, so it must be followed by `>`).
pub(crate) fn comment_end(rest: &[u8], progress: &mut Progress) -> Result<Option<usize>, Error> {
    let Some(dashes) = marked_end(rest, 4, b"--", progress) else { return Ok(None) };
    match rest.get(dashes) {
        Some(b'>') => Ok(Some(dashes + 1)),
        Some(_) => Err(Error::NotWellFormed("-- in a comment")),
        None => {
            progress.scanned = dashes - 2;
            Ok(None)
        }
    }
}

/// What `<!` and `<?` can introduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Cdata,
    Comment,
    Doctype,
    /// `<?`: a processing instruction or the XML declaration.
    Instruction,
}

/// What `rest` introduces, once enough of it is there to tell.
pub(crate) fn special(rest: &[u8]) -> Result<Option<Special>, Error> {
    for (opening, kind) in
        [(&b"<![CDATA["[..], Special::Cdata), (b"<!--", Special::Comment), (b"<!DOCTYPE", Special::Doctype)]
    {
        // The third byte tells which it must be.
        if rest.len() < 3 && opening.starts_with(rest) {
            return Ok(None);
        }
        if rest.starts_with(&opening[..3]) {
            let seen = rest.len().min(opening.len());
            return match (rest[..seen] == opening[..seen], seen == opening.len()) {
                (true, true) => Ok(Some(kind)),
                (true, false) => Ok(None),
                (false, _) => Err(Error::NotWellFormed("a <! that starts nothing")),
            };
        }
    }
    if rest.starts_with(b"<?") {
        return Ok(Some(Special::Instruction));
    }
    Err(Error::NotWellFormed("a <! that starts nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `whole` byte by byte and returns the first answer, with how many bytes it took.
    fn by_bytes(whole: &[u8], search: impl Fn(&[u8], &mut Progress) -> Option<usize>) -> Option<(usize, usize)> {
        let mut progress = Progress::default();
        (1..=whole.len()).find_map(|n| search(&whole[..n], &mut progress).map(|end| (end, n)))
    }

    #[test]
    fn ends_are_found_at_once_and_bytewise() {
        let tag = b"<a b='>' c=\">'>\">x";
        assert_eq!(tag_end(tag, &mut Progress::default()), Some(17));
        assert_eq!(by_bytes(tag, tag_end), Some((17, 17)));
        assert_eq!(by_bytes(b"abc<d", text_end), Some((3, 4)));
        assert_eq!(by_bytes(b"</a>x", end_tag_end), Some((4, 4)));
        let cdata = |r: &[u8], p: &mut Progress| marked_end(r, 9, b"]]>", p);
        assert_eq!(by_bytes(b"<![CDATA[]]]>x", cdata), Some((13, 13)));
        assert_eq!(by_bytes(b"<![CDATA[]]>", cdata), Some((12, 12)));
        let comment = |r: &[u8], p: &mut Progress| comment_end(r, p).expect("well-formed");
        assert_eq!(by_bytes(b"<!-- a - b -->x", comment), Some((14, 14)));
        assert!(comment_end(b"<!-- a -- b -->", &mut Progress::default()).is_err());
        assert!(comment_end(b"<!-- a --->", &mut Progress::default()).is_err());
    }

    #[test]
    fn specials() {
        assert_eq!(special(b"<!"), Ok(None));
        assert_eq!(special(b"<!["), Ok(None));
        assert_eq!(special(b"<![CDATA"), Ok(None));
        assert_eq!(special(b"<![CDATA[x"), Ok(Some(Special::Cdata)));
        assert_eq!(special(b"<!-"), Ok(None));
        assert_eq!(special(b"<!--"), Ok(Some(Special::Comment)));
        assert_eq!(special(b"<!DOCTYPE x"), Ok(Some(Special::Doctype)));
        assert_eq!(special(b"<?x"), Ok(Some(Special::Instruction)));
        for bad in [&b"<!x"[..], b"<!-x", b"<![x", b"<![cdata[", b"<!ENTITY"] {
            assert!(special(bad).is_err());
        }
    }
}
