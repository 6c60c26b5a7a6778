//! What becomes of each element.
//!
//! Kept are the elements of the integration set (XEP-0071 §6) but for definition lists, which §7.4 would have us not
//! send. What HTML has beside them becomes the nearest of these. What is not named here goes, and leaves its content.

/// Where an element may stand, and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text and inlines, within a line.
    Inline,
    /// A block of text and inlines: a paragraph.
    Line,
    /// A block of anything: `div`.
    Flow,
    /// A block of blocks: the body, quotations.
    Blocks,
    /// A block of items.
    List,
    /// Anything, within a list.
    Item,
}

/// An element to keep.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its name in HTML.
    pub(super) source: &'static str,
    /// The name it gets.
    pub(super) target: &'static str,
    pub(super) kind: Kind,
    /// Whether it keeps its style: XEP-0071 §7.8 has none for `em` and `strong`.
    pub(super) styled: bool,
    /// The style that says what the name no longer does.
    pub(super) style: &'static str,
}

/// What to do with an element.
pub(super) enum Role {
    Keep(&'static Rule),
    /// The body, or the document: its style is taken.
    Body,
    /// The end of a line.
    Break,
    /// An image: its alternative text.
    Image,
    /// A cell of a table: a gap before it.
    Cell,
    /// Gone with all that it holds.
    Skip,
    /// Gone, and leaves what it holds.
    Open,
}

pub(super) fn role(name: &str) -> Role {
    if let Some(rule) = RULES.iter().find(|r| r.source == name) {
        return Role::Keep(rule);
    }
    match name {
        "html" | "body" => Role::Body,
        "br" | "hr" => Role::Break,
        "img" => Role::Image,
        "td" | "th" => Role::Cell,
        "script" | "style" | "title" | "iframe" | "noembed" | "noframes" | "template" | "svg" | "math" | "object"
        | "applet" | "audio" | "video" | "canvas" | "select" | "datalist" => Role::Skip,
        _ => Role::Open,
    }
}

const fn rule(source: &'static str, target: &'static str, kind: Kind, styled: bool, style: &'static str) -> Rule {
    Rule { source, target, kind, styled, style }
}

const fn same(name: &'static str, kind: Kind) -> Rule {
    rule(name, name, kind, true, "")
}

/// For what a document leaves out: the paragraph around bare text, the list around an item.
pub(super) static PARAGRAPH: Rule = same("p", Kind::Line);
pub(super) static LIST: Rule = same("ul", Kind::List);
pub(super) static ITEM: Rule = same("li", Kind::Item);

static RULES: [Rule; 56] = [
    same("p", Kind::Line),
    same("span", Kind::Inline),
    same("div", Kind::Flow),
    same("a", Kind::Inline),
    rule("b", "strong", Kind::Inline, false, ""),
    rule("strong", "strong", Kind::Inline, false, ""),
    rule("i", "em", Kind::Inline, false, ""),
    rule("em", "em", Kind::Inline, false, ""),
    rule("u", "span", Kind::Inline, true, "text-decoration: underline"),
    rule("ins", "span", Kind::Inline, true, "text-decoration: underline"),
    rule("s", "span", Kind::Inline, true, "text-decoration: line-through"),
    rule("strike", "span", Kind::Inline, true, "text-decoration: line-through"),
    rule("del", "span", Kind::Inline, true, "text-decoration: line-through"),
    rule("small", "span", Kind::Inline, true, "font-size: smaller"),
    rule("big", "span", Kind::Inline, true, "font-size: larger"),
    rule("font", "span", Kind::Inline, true, ""),
    same("ul", Kind::List),
    same("ol", Kind::List),
    same("li", Kind::Item),
    rule("menu", "ul", Kind::List, true, ""),
    rule("dir", "ul", Kind::List, true, ""),
    rule("dl", "ul", Kind::List, true, ""),
    rule("dt", "li", Kind::Item, true, ""),
    rule("dd", "li", Kind::Item, true, ""),
    same("blockquote", Kind::Blocks),
    same("pre", Kind::Line),
    rule("listing", "pre", Kind::Line, true, ""),
    same("code", Kind::Inline),
    rule("tt", "code", Kind::Inline, true, ""),
    same("kbd", Kind::Inline),
    same("samp", Kind::Inline),
    same("var", Kind::Inline),
    same("dfn", Kind::Inline),
    same("cite", Kind::Inline),
    same("q", Kind::Inline),
    same("abbr", Kind::Inline),
    same("acronym", Kind::Inline),
    same("h1", Kind::Line),
    same("h2", Kind::Line),
    same("h3", Kind::Line),
    same("h4", Kind::Line),
    same("h5", Kind::Line),
    same("h6", Kind::Line),
    same("address", Kind::Line),
    rule("center", "div", Kind::Flow, true, "text-align: center"),
    rule("article", "div", Kind::Flow, true, ""),
    rule("section", "div", Kind::Flow, true, ""),
    rule("header", "div", Kind::Flow, true, ""),
    rule("footer", "div", Kind::Flow, true, ""),
    rule("main", "div", Kind::Flow, true, ""),
    rule("aside", "div", Kind::Flow, true, ""),
    rule("figure", "div", Kind::Flow, true, ""),
    rule("figcaption", "div", Kind::Flow, true, ""),
    rule("table", "div", Kind::Flow, true, ""),
    rule("caption", "div", Kind::Flow, true, ""),
    rule("tr", "div", Kind::Flow, true, ""),
];
