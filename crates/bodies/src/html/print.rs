//! A clean body as an HTML document. Its tree is shallow, so it is walked by recursion.

use xml::{Element, Node};

pub(super) fn document(body: &Element) -> String {
    let mut out = String::from("<!DOCTYPE html><html");
    if let Some(lang) = body.lang() {
        attribute("lang", lang, &mut out);
    }
    out.push_str("><body");
    attributes(body, &mut out);
    out.push('>');
    children(body, &mut out);
    out.push_str("</body></html>");
    out
}

fn children(e: &Element, out: &mut String) {
    for node in &e.children {
        match node {
            Node::Text(text) => escape(text, false, out),
            Node::Element(e) => element(e, out),
        }
    }
}

fn element(e: &Element, out: &mut String) {
    out.push('<');
    out.push_str(&e.name);
    attributes(e, out);
    out.push('>');
    if e.name == "br" {
        return;
    }
    // A reader drops the first line end there, so it gets one to drop.
    if e.name == "pre" && matches!(e.children.first(), Some(Node::Text(t)) if t.starts_with('\n')) {
        out.push('\n');
    }
    children(e, out);
    out.push_str("</");
    out.push_str(&e.name);
    out.push('>');
}

fn attributes(e: &Element, out: &mut String) {
    for a in e.attrs.iter().filter(|a| a.ns.is_empty()) {
        attribute(&a.name, &a.value, out);
    }
}

fn attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    escape(value, true, out);
    out.push('"');
}

fn escape(text: &str, quoted: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if quoted => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}
