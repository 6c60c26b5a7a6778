//! The tree: from tags and text in any order to elements in the places where XHTML has them.

use super::rules::{ITEM, Kind, LIST, PARAGRAPH, Role, Rule, role};
use super::{MAX_DEPTH, MAX_ELEMENTS, XHTML_NS, link, style};
use crate::mime::ContentType;
use crate::text::xml_safe;
use base::Str;
use xml::{Attr, Element, Node};

/// The most bytes of attributes in one document. Inlines that go on in the next block are written again there, and
/// their attributes with them.
const MAX_ATTR_BYTES: usize = 65_536;

/// Takes tags and text, keeps what the rules allow, and puts each block, line and item where it may stand. The stack
/// holds what is open, the body first; inlines are only ever above the blocks.
pub(super) struct Builder {
    stack: Vec<Open>,
    elements: usize,
    attr_bytes: usize,
    /// White space would follow white space, or begin a line.
    space: bool,
    /// Within `pre`: white space stays.
    pre: usize,
    /// Whether the tags are those of HTML: it drops a line end right behind `<pre>`, and XML does not.
    html: bool,
    /// Right behind `<pre>`.
    at_pre: bool,
    /// Within an element that goes with its content: its name, and how often it is open.
    skip: Option<(Str, usize)>,
}

struct Open {
    rule: &'static Rule,
    element: Element,
}

static BODY: Rule = Rule { source: "body", target: "body", kind: Kind::Blocks, styled: true, style: "" };

impl Builder {
    pub(super) fn new(html: bool) -> Builder {
        let body = Open { rule: &BODY, element: Element::new("body", XHTML_NS) };
        Builder { stack: vec![body], elements: 0, attr_bytes: 0, space: true, pre: 0, html, at_pre: false, skip: None }
    }

    /// A start tag. `empty`: it closes itself, which HTML heeds only in SVG and MathML.
    pub(super) fn start(&mut self, name: &str, attr: &dyn Fn(&str) -> Option<String>, empty: bool) {
        self.at_pre = false;
        if let Some((skipped, depth)) = &mut self.skip {
            *depth += usize::from(skipped == name && !empty);
            return;
        }
        match role(name) {
            Role::Keep(rule) => self.open(rule, attr),
            Role::Body => {
                let style = attr("style").and_then(|s| style::clean("", &s));
                if let (Some(style), Some(body)) = (style, self.stack.first_mut()) {
                    body.element.set_attr("style", style);
                }
            }
            Role::Break => {
                self.line();
                if self.elements < MAX_ELEMENTS {
                    self.elements += 1;
                    self.top().element.push(Element::new("br", XHTML_NS));
                    self.space = true;
                } else {
                    self.text(" ");
                }
            }
            Role::Image => self.text(&attr("alt").unwrap_or_default()),
            Role::Cell => self.text(" "),
            Role::Skip if empty && matches!(name, "svg" | "math") => {}
            Role::Skip => self.skip = Some((name.into(), 1)),
            Role::Open => {}
        }
    }

    /// An end tag; one that closes nothing is ignored.
    pub(super) fn end(&mut self, name: &str) {
        self.at_pre = false;
        if let Some((skipped, depth)) = &mut self.skip {
            *depth -= usize::from(skipped == name);
            if *depth == 0 {
                self.skip = None;
            }
            return;
        }
        // Once nothing new may be opened, what is open stays so: there must be a place for the text.
        let Role::Keep(rule) = role(name) else { return };
        if self.elements >= MAX_ELEMENTS {
            return;
        }
        let inline = rule.kind == Kind::Inline;
        let mut open = self.stack.iter().rposition(|o| o.rule.source == name);
        if inline {
            let lowest = self.stack.iter().rposition(|o| o.rule.kind != Kind::Inline);
            open = open.filter(|at| Some(*at) > lowest);
        }
        let Some(at) = open.filter(|&at| at > 0) else { return };
        // Inlines that overlap: `<b><i>x</b>y</i>` leaves the i open for y.
        let again = if inline { self.copies(at + 1) } else { Vec::new() };
        self.close_to(at);
        self.reopen(again);
    }

    /// Text, entities resolved.
    pub(super) fn text(&mut self, text: &str) {
        if self.skip.is_some() || text.is_empty() {
            return;
        }
        let text = if std::mem::take(&mut self.at_pre) { text.strip_prefix('\n').unwrap_or(text) } else { text };
        if self.pre > 0 {
            let text = crate::text::to_lf(text);
            self.top().element.push_text(&xml_safe(&text));
            self.space = text.ends_with('\n');
            return;
        }
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{C}');
        if text.contains(|c| !blank(c)) {
            self.line();
        } else if matches!(self.kind(), Kind::Blocks | Kind::List) {
            return;
        }
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if !blank(c) {
                out.push(c);
            } else if !self.space {
                out.push(' ');
            }
            self.space = blank(c);
        }
        self.top().element.push_text(&xml_safe(&out));
    }

    /// The body.
    pub(super) fn finish(mut self) -> Element {
        self.close_to(1);
        let body = self.stack.pop().map(|o| o.element);
        body.unwrap_or_else(|| Element::new("body", XHTML_NS))
    }

    fn top(&mut self) -> &mut Open {
        self.stack.last_mut().expect("the body is never closed before the end")
    }

    fn kind(&self) -> Kind {
        self.stack.last().map_or(Kind::Blocks, |o| o.rule.kind)
    }

    fn open(&mut self, rule: &'static Rule, attr: &dyn Fn(&str) -> Option<String>) {
        // Neither deeper nor more than the bounds: the text goes where we are.
        if self.elements >= MAX_ELEMENTS || self.stack.len() > MAX_DEPTH {
            if rule.kind != Kind::Inline {
                self.text(" ");
            }
            return;
        }
        let attrs = attributes(rule, attr);
        match rule.kind {
            Kind::Inline => {
                if rule.source == "a" {
                    self.end("a");
                    if attrs.is_empty() {
                        return;
                    }
                }
                if rule.source == "font" && attrs.is_empty() {
                    return;
                }
                self.line();
                self.push(rule, attrs);
            }
            Kind::Item => {
                let again = self.copies(self.above_blocks());
                let list = self.stack.iter().rposition(|o| matches!(o.rule.kind, Kind::List | Kind::Blocks));
                self.close_to(list.unwrap_or_default() + 1);
                if self.kind() != Kind::List {
                    self.push(&LIST, Vec::new());
                }
                self.push(rule, attrs);
                self.reopen(again);
            }
            Kind::Line | Kind::Flow | Kind::Blocks | Kind::List => {
                // A row ends where the next begins.
                let row = self.stack.iter().rposition(|o| matches!(o.rule.source, "tr" | "table"));
                if let Some(at) = row.filter(|&at| rule.source == "tr" && self.stack[at].rule.source == "tr") {
                    self.close_to(at);
                }
                let again = self.copies(self.above_blocks());
                let holder = self.stack.iter().rposition(|o| !matches!(o.rule.kind, Kind::Inline | Kind::Line));
                self.close_to(holder.unwrap_or_default() + 1);
                if self.kind() == Kind::List {
                    self.push(&ITEM, Vec::new());
                }
                self.push(rule, attrs);
                self.at_pre = self.html && rule.target == "pre";
                if rule.kind != Kind::List {
                    self.reopen(again);
                }
            }
        }
    }

    /// Makes sure that text may stand here.
    fn line(&mut self) {
        match self.kind() {
            Kind::Blocks => self.push(&PARAGRAPH, Vec::new()),
            Kind::List => self.push(&ITEM, Vec::new()),
            Kind::Inline | Kind::Line | Kind::Flow | Kind::Item => {}
        }
    }

    fn push(&mut self, rule: &'static Rule, mut attrs: Vec<Attr>) {
        self.elements += 1;
        let bytes: usize = attrs.iter().map(|a| a.value.len()).sum();
        if self.attr_bytes + bytes > MAX_ATTR_BYTES {
            attrs.clear();
        } else {
            self.attr_bytes += bytes;
        }
        self.space |= rule.kind != Kind::Inline;
        self.pre += usize::from(rule.target == "pre");
        let mut element = Element::new(rule.target, XHTML_NS);
        element.attrs = attrs;
        self.stack.push(Open { rule, element });
    }

    /// Closes all from there on; the body stays. What is empty vanishes.
    fn close_to(&mut self, at: usize) {
        while self.stack.len() > at.max(1) {
            let Some(Open { rule, mut element }) = self.stack.pop() else { return };
            self.pre -= usize::from(rule.target == "pre");
            if rule.kind != Kind::Inline {
                self.space = true;
                trim_end(&mut element);
            }
            if !element.children.is_empty() {
                self.top().element.push(element);
            }
        }
    }

    /// Where the open inlines begin.
    fn above_blocks(&self) -> usize {
        self.stack.iter().rposition(|o| o.rule.kind != Kind::Inline).unwrap_or_default() + 1
    }

    /// The inlines from there on, to be opened again elsewhere.
    fn copies(&self, from: usize) -> Vec<(&'static Rule, Vec<Attr>)> {
        self.stack.iter().skip(from).map(|o| (o.rule, o.element.attrs.clone())).collect()
    }

    fn reopen(&mut self, inlines: Vec<(&'static Rule, Vec<Attr>)>) {
        for (rule, attrs) in inlines {
            if self.elements < MAX_ELEMENTS && self.stack.len() <= MAX_DEPTH {
                self.line();
                self.push(rule, attrs);
            }
        }
    }
}

/// The white space at the end of a block is none.
fn trim_end(element: &mut Element) {
    if element.name == "pre" {
        return;
    }
    if let Some(Node::Text(text)) = element.children.last_mut() {
        text.truncate(text.trim_end_matches(' ').len());
        if text.is_empty() {
            element.children.pop();
        }
    }
}

/// The attributes of XEP-0071 §7.8.
fn attributes(rule: &Rule, attr: &dyn Fn(&str) -> Option<String>) -> Vec<Attr> {
    let mut out = Vec::new();
    let mut add = |name: &str, value: Str| out.push(Attr { name: name.into(), ns: Str::default(), value });
    if rule.source == "a" {
        // Without a target there is no link.
        let Some(href) = attr("href").and_then(|h| link::clean(&h)) else { return out };
        add("href", href);
        if let Some(type_) = attr("type").and_then(|t| ContentType::parse(&t).ok()) {
            add("type", type_.essence());
        }
    }
    if rule.styled {
        let mut before = rule.style.to_owned();
        if rule.source == "font" {
            let colour = attr("color").filter(|c| style::is_colour(c)).map(|c| format!("color: {c}"));
            let face =
                attr("face").filter(|f| f.len() <= 64 && style::is_family(f)).map(|f| format!("font-family: {f}"));
            before = [colour, face].into_iter().flatten().collect::<Vec<_>>().join("; ");
        }
        if let Some(style) = style::clean(&before, &attr("style").unwrap_or_default()) {
            add("style", style);
        }
    }
    out
}
