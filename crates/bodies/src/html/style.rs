//! The style attribute: the ten properties of XEP-0071 §7.6.1, each with values of a shape that is known to do no more
//! than it says. No function but colours, no `url()`, no escapes, no comments, nothing that moves text over other text.

use base::Str;

/// The longest style that is kept, in bytes.
const MAX: usize = 256;

/// What is left of a style, if anything. `before` comes first, so that the document may override it.
pub(super) fn clean(before: &str, style: &str) -> Option<Str> {
    let mut out = Str::from(before);
    for declaration in style.split(';').take(32) {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        let name = name.trim().to_ascii_lowercase();
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let good = value.len() <= 128
            && match name.as_str() {
                "color" | "background-color" => is_colour(&value),
                "font-family" => is_family(&value),
                "font-size" => is_length(&value) || is_words(&value, 1),
                "font-weight" if value.len() == 3 && value.bytes().all(|b| b.is_ascii_digit()) => true,
                "font-style" | "font-weight" | "text-align" => is_words(&value, 1),
                "text-decoration" => is_words(&value, 3),
                "margin-left" | "margin-right" => is_length(&value) || is_words(&value, 1),
                _ => false,
            };
        if good && out.len() + name.len() + value.len() + 4 <= MAX {
            if !out.is_empty() {
                out.push_str("; ");
            }
            out.push_str(&name);
            out.push_str(": ");
            out.push_str(&value);
        }
    }
    Some(out).filter(|s| !s.is_empty())
}

/// A name, `#` and 3, 4, 6 or 8 hexadecimal digits, or numbers in `rgb()` and its kin.
pub(super) fn is_colour(value: &str) -> bool {
    if let Some(hex) = value.strip_prefix('#') {
        return matches!(hex.len(), 3 | 4 | 6 | 8) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let numbers = |args: &str| args.bytes().all(|b| b.is_ascii_digit() || b"., %/".contains(&b));
    match value.split_once('(') {
        None => !value.is_empty() && value.len() <= 32 && value.bytes().all(|b| b.is_ascii_alphabetic()),
        Some((f, args)) => {
            ["rgb", "rgba", "hsl", "hsla"].iter().any(|c| f.eq_ignore_ascii_case(c))
                && args.strip_suffix(')').is_some_and(numbers)
        }
    }
}

/// Names divided by commas, quoted or not.
pub(super) fn is_family(value: &str) -> bool {
    let name = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b" -_".contains(&b));
    value.split(',').map(str::trim).all(|family| {
        let inner = ['"', '\''].iter().find_map(|&q| family.strip_prefix(q).and_then(|f| f.strip_suffix(q)));
        name(inner.unwrap_or(family))
    })
}

/// A small number that is not negative, with a unit; 0 needs none.
fn is_length(value: &str) -> bool {
    let digits = value.bytes().take_while(|&b| b.is_ascii_digit() || b == b'.').count();
    let (number, unit) = value.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let units = ["px", "pt", "em", "rem", "ex", "ch", "pc", "in", "cm", "mm", "%"];
    whole.len() <= 4
        && (1..=4).contains(&fraction.len())
        && !(whole.is_empty() && number.len() < 2)
        && !fraction.contains('.')
        && (units.iter().any(|u| unit.eq_ignore_ascii_case(u)) || (unit.is_empty() && number == "0"))
}

/// So many plain words, such as `bold`, `x-large`.
fn is_words(value: &str, most: usize) -> bool {
    let word = |w: &str| w.len() <= 24 && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    value.split(' ').count() <= most
        && value.split(' ').all(|w| word(w) && w.starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays() {
        for style in [
            "color: red",
            "color: #FF0000",
            "background-color: rgba(1, 2, 3, 0.5)",
            "font-family: 'Times New Roman', \"DejaVu Sans\", serif",
            "font-size: 1.5em",
            "font-size: .5em",
            "font-size: x-large",
            "font-weight: 700",
            "margin-left: 20px",
            "margin-left: 0",
            "text-decoration: underline line-through",
        ] {
            assert_eq!(clean("", style).as_deref(), Some(style));
        }
        assert_eq!(clean("", " COLOR :  Red ;; font-weight:bold;").as_deref(), Some("color: Red; font-weight: bold"));
        assert_eq!(clean("a: b", "color:red").as_deref(), Some("a: b; color: red"));
    }

    #[test]
    fn what_goes() {
        for style in [
            "",
            "color",
            "position: fixed",
            "background: url(http://x/)",
            "background-color: url(http://x/)",
            "background-color: u\\72l(http://x/)",
            "background-image: none",
            "color: expression(alert(1))",
            "color: var(--x)",
            "color: rgb(url(x))",
            "color: #12",
            "color: red /* x */",
            "color: red !important",
            "color: \u{ff52}ed",
            "font-family: x\"y",
            "font-family: 'x",
            "font-family: url(x)",
            "font-size: 99999px",
            "font-size: 1.2.3px",
            "font-size: .px",
            "margin-left: -100px",
            "margin-right: calc(1px)",
            "behavior: url(x)",
            "-moz-binding: url(x)",
            "display: none",
            "width: 1px",
        ] {
            assert_eq!(clean("", style), None, "{style}");
        }
        assert!(clean("", &"color: red;".repeat(1000)).unwrap().len() <= MAX);
    }
}
