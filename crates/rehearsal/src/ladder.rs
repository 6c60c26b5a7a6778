//! What went over both wires, as a ladder: XMPP on the left, the gateway in the middle, SIP on the right.

use crate::wire::SipText;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use xml::{Element, Node};

/// The width of a column in characters.
const COLUMN: usize = 58;
/// The most lines of a body that are shown.
const BODY_LINES: usize = 14;
/// And of an MSRP frame, or of XML, which is shown an element to a line.
const LONG_LINES: usize = 40;
/// The headers of a SIP message that are worth reading.
const HEADERS: &[&str] = &[
    "From",
    "To",
    "Call-ID",
    "Subject",
    "Event",
    "Subscription-State",
    "Refer-To",
    "Content-Language",
    "Content-Type",
    "Contact",
    "Retry-After",
    "Accept",
];

/// A side of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The left one.
    Xmpp,
    /// The right one.
    Sip,
}

/// One message as it stands in the ladder.
#[derive(Debug, Clone)]
struct Rung {
    at: Duration,
    side: Side,
    /// Nothing of it crosses the gateway: there is no arrow.
    aside: bool,
    to_gateway: bool,
    lines: Vec<String>,
}

/// A ladder that everybody can write to. A clone is the same ladder.
#[derive(Debug, Clone)]
pub struct Ladder {
    start: Instant,
    rungs: Arc<Mutex<Vec<Rung>>>,
    /// Where each rung goes as soon as it is there.
    watcher: Option<Watcher>,
}

#[derive(Clone)]
struct Watcher(Arc<dyn Fn(&str) + Send + Sync>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Ladder::new()
    }
}

impl Ladder {
    /// An empty ladder; its time begins now.
    pub fn new() -> Ladder {
        Ladder { start: Instant::now(), rungs: Arc::default(), watcher: None }
    }

    /// Tells `watcher` each rung as text as soon as it is there.
    #[must_use]
    pub fn watched(mut self, watcher: impl Fn(&str) + Send + Sync + 'static) -> Ladder {
        self.watcher = Some(Watcher(Arc::new(watcher)));
        self
    }

    /// A SIP message went over the wire.
    pub fn sip(&self, to_gateway: bool, message: &SipText) {
        let mut lines = vec![message.start.clone()];
        for name in HEADERS {
            lines.extend(message.all(name).map(|value| format!("{name}: {value}")));
        }
        if !message.body.is_empty() {
            lines.push(String::new());
            lines.extend(body(message));
        }
        self.push(Side::Sip, to_gateway, lines);
    }

    /// An MSRP frame went over the wire.
    pub fn msrp(&self, to_gateway: bool, frame: &str) {
        self.push(Side::Sip, to_gateway, few(frame.trim_end(), LONG_LINES));
    }

    /// A stanza went over the wire.
    pub fn stanza(&self, to_gateway: bool, stanza: &Element) {
        let mut lines = Vec::new();
        pretty(stanza, &stanza.ns, 0, &mut lines);
        self.push(Side::Xmpp, to_gateway, lines);
    }

    /// Something that is no message.
    pub fn note(&self, side: Side, to_gateway: bool, text: &str) {
        self.push(side, to_gateway, vec![text.to_owned()]);
    }

    /// Something that happens on one side alone.
    pub fn aside(&self, side: Side, text: &str) {
        self.add(Rung { at: self.start.elapsed(), side, aside: true, to_gateway: false, lines: vec![text.to_owned()] });
    }

    fn push(&self, side: Side, to_gateway: bool, lines: Vec<String>) {
        self.add(Rung { at: self.start.elapsed(), side, aside: false, to_gateway, lines });
    }

    fn add(&self, rung: Rung) {
        if let Some(Watcher(tell)) = &self.watcher {
            let mut text = String::new();
            draw(&rung, &mut text);
            tell(&text);
        }
        self.rungs.lock().unwrap_or_else(PoisonError::into_inner).push(rung);
    }

    /// The ladder's head: who is where.
    pub fn head() -> String {
        format!("{:>8}  {:<COLUMN$} {:^8} SIP\n", "seconds", "XMPP", "gateway")
    }

    /// The ladder as text.
    pub fn text(&self) -> String {
        let mut out = Ladder::head();
        for rung in self.rungs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            draw(rung, &mut out);
        }
        out
    }
}

fn draw(rung: &Rung, out: &mut String) {
    let seconds = format!("{:.3}", rung.at.as_secs_f64());
    let shaft = "─".repeat(COLUMN - 2);
    let arrow = match (rung.side, rung.to_gateway) {
        _ if rung.aside => format!("{:COLUMN$}│        │", ""),
        (Side::Xmpp, true) => format!(" {shaft}▶│ verona │"),
        (Side::Xmpp, false) => format!("◀{shaft}─│ verona │"),
        (Side::Sip, true) => format!("{:COLUMN$}│ verona │◀{shaft}", ""),
        (Side::Sip, false) => format!("{:COLUMN$}│ verona │─{}▶", "", "─".repeat(COLUMN - 3)),
    };
    let _ = writeln!(out, "{seconds:>8}  {arrow}");
    for line in rung.lines.iter().flat_map(|l| wrap(&safe(l))) {
        let _ = match rung.side {
            Side::Xmpp => writeln!(out, "{:8}  {line:<COLUMN$}│        │", ""),
            Side::Sip => writeln!(out, "{:8}  {:COLUMN$}│        │ {line}", "", ""),
        };
    }
    let _ = writeln!(out, "{:8}  {:COLUMN$}│        │", "", "");
}

/// A terminal obeys control characters and bidirectional overrides; a ladder only shows what came (threat 30).
fn safe(line: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    line.chars().map(|c| if odd(c) { '\u{FFFD}' } else { c }).collect()
}

fn wrap(line: &str) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    if characters.is_empty() {
        return vec![String::new()];
    }
    // What goes on stands a little further in than what began.
    let indent = characters.iter().take_while(|c| **c == ' ').count().min(COLUMN / 4) + 4;
    let mut lines: Vec<String> = Vec::new();
    let mut rest = &characters[..];
    while !rest.is_empty() {
        let margin = if lines.is_empty() { 0 } else { indent };
        let room = COLUMN - 1 - margin;
        // Between words where there is a place, else in the middle of one.
        let space = rest.iter().take(room + 1).rposition(|c| *c == ' ').filter(|i| *i > COLUMN / 4);
        let end = if rest.len() <= room { rest.len() } else { space.unwrap_or(room) };
        lines.push(" ".repeat(margin) + &rest[..end].iter().collect::<String>());
        rest = &rest[end..];
        rest = rest.strip_prefix(&[' ']).unwrap_or(rest);
    }
    lines
}

/// The body of a SIP message.
fn body(message: &SipText) -> Vec<String> {
    let kind = message.header("Content-Type").unwrap_or_default();
    let xml = kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("+xml"));
    match Element::parse(&message.body, &xml::Limits::default()) {
        Ok(document) if xml => {
            let mut lines = Vec::new();
            pretty(&document, "", 0, &mut lines);
            few(&lines.join("\n"), LONG_LINES)
        }
        Ok(_) | Err(_) => few(&message.text(), BODY_LINES),
    }
}

fn few(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().take(most).map(str::to_owned).collect();
    if text.lines().nth(most).is_some() {
        lines.push("...".to_owned());
    }
    lines
}

/// An element over several lines. Text is shown as text, not as it is escaped.
fn pretty(e: &Element, outer_ns: &str, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let mut open = format!("{indent}<{}", e.name);
    if e.ns != outer_ns {
        let _ = write!(open, " xmlns='{}'", e.ns);
    }
    for attr in &e.attrs {
        let prefix = if attr.ns == xml::XML_NS { "xml:" } else { "" };
        let _ = write!(open, " {prefix}{}='{}'", attr.name, attr.value);
    }
    if e.children.is_empty() {
        lines.push(open + "/>");
        return;
    }
    let only_text = e.children.iter().all(|n| matches!(n, Node::Text(_)));
    if only_text && !e.text().contains('\n') {
        lines.push(format!("{open}>{}</{}>", e.text(), e.name));
        return;
    }
    lines.push(open + ">");
    for child in &e.children {
        match child {
            Node::Element(child) => pretty(child, &e.ns, depth + 1, lines),
            Node::Text(text) => lines.extend(few(text, BODY_LINES).into_iter().map(|l| format!("{indent}  {l}"))),
        }
    }
    lines.push(format!("{indent}</{}>", e.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_shown() {
        let ladder = Ladder::new();
        let body = Element::new("body", "jabber:client").with_text("Art thou not\u{1B}[31m Romeo?");
        ladder.stanza(
            true,
            &Element::new("message", "jabber:client").with_attr("to", "romeo@example.net").with_child(body),
        );
        let sip = b"MESSAGE sip:romeo@example.net SIP/2.0\r\nVia: x\r\nFrom: <sip:juliet@example.com>\r\n\r\nArt thou not Romeo?";
        ladder.sip(false, &SipText::parse(sip).unwrap());
        let text = ladder.text();
        for part in
            ["<message to='romeo@example.net'>", "MESSAGE sip:romeo@example.net SIP/2.0", "not\u{FFFD}[31m Romeo?"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("Via:"), "what is not worth reading is left out");
        let lines: Vec<usize> = text.lines().skip(1).map(|l| l.chars().take_while(|c| *c != '│').count()).collect();
        assert!(lines.iter().all(|n| *n == lines[0]), "the gateway stands upright:\n{text}");
    }

    #[test]
    fn what_crosses_nothing_has_no_arrow() {
        let ladder = Ladder::new();
        ladder.aside(Side::Xmpp, "(Juliet is alone)");
        let text = ladder.text();
        assert!(text.contains("(Juliet is alone)") && !text.contains(['▶', '◀', '─']), "{text}");
        assert!(!text.contains("verona"));
    }

    #[test]
    fn xml_is_shown_an_element_to_a_line() {
        let document = "<a xmlns='urn:a'><b c='1'>text</b><d/></a>";
        let sip = format!("NOTIFY sip:a@b SIP/2.0\r\nContent-Type: application/a+xml\r\n\r\n{document}");
        let message = SipText::parse(sip.as_bytes()).unwrap();
        assert_eq!(body(&message), ["<a xmlns='urn:a'>", "  <b c='1'>text</b>", "  <d/>", "</a>"]);
        let broken = SipText { body: b"<a>\n<b>".to_vec(), ..message };
        assert_eq!(body(&broken), ["<a>", "<b>"]);
    }

    #[test]
    fn long_lines_are_wrapped() {
        assert_eq!(wrap(&"x".repeat(2 * COLUMN)).len(), 3);
        assert_eq!(wrap(""), [""]);
        assert!(wrap(&"word ".repeat(40)).iter().all(|l| l.chars().count() < COLUMN));
    }
}
