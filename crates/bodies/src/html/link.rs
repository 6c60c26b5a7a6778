//! The targets of links.

use base::Str;

/// The longest link that is kept, in bytes.
const MAX: usize = 2_048;

/// Schemes that lead to a page, a mailbox or a person. No `javascript`, no `data`, no `file`; nothing without a scheme,
/// since the receiver's base is not the sender's.
const SCHEMES: [&str; 7] = ["http", "https", "mailto", "xmpp", "sip", "sips", "tel"];

/// The link as a browser would read it, if it is one that we pass on: line ends and tabs are gone, blanks and what
/// would end the link in a text are percent-encoded.
pub(super) fn clean(href: &str) -> Option<Str> {
    if href.len() > MAX {
        return None;
    }
    let kept: String = href.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let kept = kept.trim_matches(|c: char| c <= ' ');
    let (scheme, rest) = kept.split_once(':')?;
    if !SCHEMES.iter().any(|s| scheme.eq_ignore_ascii_case(s)) || rest.is_empty() {
        return None;
    }
    if scheme.to_ascii_lowercase().starts_with("http") && (!rest.starts_with("//") || rest.len() < 3) {
        return None;
    }
    let mut out = Str::from(scheme.to_ascii_lowercase());
    out.push(':');
    for c in rest.chars() {
        match c {
            ' ' => out.push_str("%20"),
            '"' => out.push_str("%22"),
            '<' => out.push_str("%3C"),
            '>' => out.push_str("%3E"),
            '`' => out.push_str("%60"),
            // What cannot be seen, or turns the text around it, has one use in a link: to look like another.
            c if c.is_control() || c.is_whitespace() || is_invisible(c) => return None,
            c => out.push(c),
        }
    }
    Some(out).filter(|o| o.len() <= MAX)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays() {
        for (href, kept) in [
            ("http://example.com/?a=1&b=2#c", "http://example.com/?a=1&b=2#c"),
            (" HTTPS://Example.com/a b\n", "https://Example.com/a%20b"),
            ("ht\ntp://x/", "http://x/"),
            ("mailto:a@b", "mailto:a@b"),
            ("xmpp:a@b?message", "xmpp:a@b?message"),
            ("sip:a@b", "sip:a@b"),
            ("sips:a@b", "sips:a@b"),
            ("tel:+1-201-555-0123", "tel:+1-201-555-0123"),
            ("https://x/\"><script>`", "https://x/%22%3E%3Cscript%3E%60"),
            ("https://bücher.example/ä", "https://bücher.example/ä"),
        ] {
            assert_eq!(clean(href).as_deref(), Some(kept));
        }
    }

    #[test]
    fn what_goes() {
        for href in [
            "",
            "#top",
            "/path",
            "//example.com/",
            "example.com",
            "javascript:alert(1)",
            "JaVa\tScript:alert(1)",
            "\u{1}javascript:alert(1)",
            "java\0script:x",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:x",
            "http:",
            "http:x",
            "http://",
            "https:/x",
            "cid:x",
            "http\u{200b}://x",
            "https://x/\u{202e}gpj",
            "https://x\u{0}y",
            "https://x\u{a0}y",
            "view-source:http://x",
            "intent://x",
            "mailto:",
        ] {
            assert_eq!(clean(href), None, "{href:?}");
        }
        assert_eq!(clean(&format!("http://{}", "x".repeat(MAX))), None);
    }
}
