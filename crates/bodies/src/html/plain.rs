//! A clean body as plain text. Its tree is shallow, so it is walked by recursion.

use xml::{Element, Node};

/// How many quotations and lists show their marks: the marks of all would stand before every line.
const MAX_MARKS: usize = 6;

pub(super) fn render(body: &Element) -> String {
    let mut out = Out { text: String::new(), gap: 0, breaks: 0, marks: Vec::new(), going_on: 0 };
    children(body, &mut out, false);
    out.text
}

struct Out {
    text: String,
    /// The line ends that a block asks for before the next text.
    gap: usize,
    /// The line ends that were written out.
    breaks: usize,
    /// What stands at the beginning of each line. An item's mark becomes blanks once it was shown.
    marks: Vec<(String, Option<String>)>,
    /// How many of them go on from the last line of text: those lead the empty lines behind it.
    going_on: usize,
}

impl Out {
    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let ends = self.gap.max(self.breaks);
        let first = self.text.is_empty();
        if !first {
            for end in 1..=ends {
                self.text.truncate(self.text.trim_end_matches(' ').len());
                self.text.push('\n');
                if end < ends {
                    let quotes = self.marks.iter().take(self.going_on).filter(|(mark, _)| mark.starts_with('>'));
                    quotes.for_each(|(mark, _)| self.text.push_str(mark));
                }
            }
        }
        if first || ends > 0 {
            for (mark, then) in &mut self.marks {
                match then.take() {
                    Some(then) => self.text.push_str(&std::mem::replace(mark, then)),
                    None => self.text.push_str(mark),
                }
            }
        }
        (self.gap, self.breaks, self.going_on) = (0, 0, self.marks.len());
        self.text.push_str(text);
    }
}

fn children(e: &Element, out: &mut Out, pre: bool) {
    let mut number = 0;
    for node in &e.children {
        match node {
            Node::Text(text) if pre => {
                for (i, line) in text.split('\n').enumerate() {
                    out.breaks += usize::from(i > 0);
                    out.write(line);
                }
            }
            Node::Text(text) => out.write(text),
            Node::Element(child) => {
                number += 1;
                element(e, child, number, out, pre);
            }
        }
    }
}

fn element(parent: &Element, e: &Element, number: usize, out: &mut Out, pre: bool) {
    let block = match e.name.as_str() {
        "br" => {
            out.breaks += 1;
            return;
        }
        "a" => return anchor(e, out, pre),
        "q" => {
            out.write("\u{201C}");
            children(e, out, pre);
            return out.write("\u{201D}");
        }
        "p" | "pre" | "blockquote" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => 2,
        "div" | "ul" | "ol" | "li" | "address" => 1,
        _ => return children(e, out, pre),
    };
    // Between two blocks the smaller wish counts where one ends and the other begins, as long as both get a line.
    out.gap = if out.gap == 0 { 1 } else { out.gap.min(block) };
    let mark = match (e.name.as_str(), parent.name.as_str()) {
        _ if out.marks.len() >= MAX_MARKS => None,
        ("blockquote", _) => Some(("> ".to_owned(), None)),
        ("li", "ol") => {
            let mark = format!("{number}. ");
            let blanks = " ".repeat(mark.len());
            Some((mark, Some(blanks)))
        }
        ("li", _) => Some(("- ".to_owned(), Some("  ".to_owned()))),
        _ => None,
    };
    let marked = mark.is_some();
    out.marks.extend(mark);
    children(e, out, pre || e.name == "pre");
    if marked {
        out.marks.pop();
        out.going_on = out.going_on.min(out.marks.len());
    }
    out.gap = out.gap.max(block);
    out.breaks = 0;
}

/// The text, and the target behind it unless that is what the text says.
fn anchor(e: &Element, out: &mut Out, pre: bool) {
    children(e, out, pre);
    let Some(href) = e.attr("href") else { return };
    let mut shown = String::new();
    collect(e, &mut shown);
    let shown = shown.trim().trim_end_matches('/');
    let bare = href.split_once(':').map_or(href, |(_, rest)| rest).trim_start_matches('/');
    if ![href, bare].iter().any(|same| shown == same.trim_end_matches('/')) {
        out.write(&format!(" <{href}>"));
    }
}

fn collect(e: &Element, into: &mut String) {
    for node in &e.children {
        match node {
            Node::Text(text) => into.push_str(text),
            Node::Element(e) => collect(e, into),
        }
    }
}
