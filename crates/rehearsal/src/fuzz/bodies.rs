//! What messages and notifications carry: CPIM, multiparts, HTML, presence.

use super::split;
use bodies::cpim::Message;
use bodies::html::Html;
use bodies::mime::ContentType;
use bodies::pidf::{self, Pidf};
use bodies::{Content, Limits, Part};
use stox::address;
use stox::presence::{s2x, x2s};
use xml::{Element, Node};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// No body of these tests holds it, but for one that was made to.
const BOUNDARY: &str = "fuzz-7d1c9e0a55";

/// A CPIM message. What is read prints back; no text out of it holds a line end or another control character.
pub fn cpim(data: &[u8]) {
    let Ok(message) = Message::parse(data, &Limits::default()) else { return };
    let controls = |text: &str| text.contains(|c: char| c.is_control());
    for (_, subject) in message.subjects() {
        assert!(!controls(&subject), "{subject:?}");
    }
    for header in message.headers() {
        assert!(!controls(&header.text()), "{:?}", header.text());
    }
    let _ = (message.to().count(), message.cc().count(), message.date_time());
    bounded(&message.content, Limits::default().depth);
    // Only a boundary that lies in the content keeps a message from being written.
    let Some(written) = message.to_bytes(BOUNDARY) else { return };
    let again = Message::parse(&written, &Limits { bytes: usize::MAX, ..Limits::default() })
        .expect("what we write can be read");
    assert_eq!(again.from(), message.from());
    assert_eq!(again.headers(), message.headers());
    assert_eq!(again.content, message.content);
}

/// Neither deeper nor with more parts than the limits allow.
fn bounded(part: &Part, depth: usize) {
    if let Content::Parts(parts) = &part.content {
        assert!(depth > 0, "deeper than the limit");
        assert!(parts.len() <= Limits::default().parts, "more parts than the limit");
        parts.iter().for_each(|p| bounded(p, depth - 1));
    }
}

/// A multipart body; its first line is its Content-Type. What is read prints back.
pub fn multipart(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (line, body) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let Ok(content_type) = ContentType::parse(&String::from_utf8_lossy(line)) else { return };
    assert_eq!(ContentType::parse(&content_type.to_string()).as_ref(), Ok(&content_type));
    let limits = Limits::default();
    let Ok(parts) = bodies::multipart::parse(&content_type, body, &limits) else { return };
    assert!(!parts.is_empty() && parts.len() <= limits.parts);
    parts.iter().for_each(|p| bounded(p, limits.depth));
    parts.iter().filter_map(|p| p.text().ok()).for_each(|text| drop(bodies::text::xml_safe(&text)));
    let Some(written) = bodies::multipart::write(&parts, BOUNDARY) else { return };
    let again = bodies::multipart::content_type(content_type.subtype(), BOUNDARY);
    let again = bodies::multipart::parse(&again, &written, &Limits { bytes: usize::MAX, ..limits });
    assert_eq!(again.as_ref(), Ok(&parts));
}

/// HTML from either side; the first byte says from which. What is left is well-formed, of XEP-0071's set, without anything active,
/// the same when it is cleaned again, and a bounded length.
pub fn html_cleaner(data: &[u8]) {
    let (side, rest) = split(data);
    let text = String::from_utf8_lossy(rest);
    let html = if side % 2 == 0 {
        let Ok(html) = Html::parse(&text) else { return };
        html
    } else {
        let Ok(element) = Element::parse(rest, &xml::Limits::default()) else { return };
        let Some(html) = Html::from_xhtml_im(&element) else { return };
        html
    };
    let element = html.to_xhtml_im();
    let depth = tame(&element, 0);
    let mut stream = b"<s xmlns='jabber:client'>".to_vec();
    xml::write(&element, "jabber:client", &mut stream);
    stream.extend_from_slice(b"</s>");
    let roomy = xml::Limits { stanza_bytes: 1 << 24, elements: 1 << 20, ..xml::Limits::default() };
    let read = Element::parse(&stream, &roomy).expect("what we write is well-formed");
    assert_eq!(read.elements().next().map(normal), Some(normal(&element)), "it reads as it was meant");
    // At the bottom a paragraph or item that HTML does without may find no more room the second time.
    if depth + 2 < bodies::html::MAX_DEPTH {
        assert_eq!(Html::from_xhtml_im(&element).as_ref(), Some(&html), "clean is clean");
    }
    let document = html.to_document();
    assert!(document.len() <= rest.len() * 12 + 400, "{} bytes of {}", document.len(), rest.len());
    if let Ok(again) = Html::parse(&document) {
        tame(&again.to_xhtml_im(), 0);
        if depth + 2 < bodies::html::MAX_DEPTH {
            assert_eq!(again.to_text(), html.to_text(), "the document says the same");
        }
    }
    let text = html.to_text();
    assert!(text.chars().all(xml::is_xml_char), "{text:?}");
}

/// A presence document, as what Romeo's phone sends to Juliet. What is read prints back; each stanza out of it is from Romeo, to Juliet,
/// short, one XML element whatever the document held, and the document that is made of it says the same.
pub fn pidf(data: &[u8]) {
    let (charset, rest) = split(data);
    let charset = [None, Some("utf-8"), Some("iso-8859-1"), Some("utf-16")][usize::from(charset % 4)];
    let Ok(pidf) = Pidf::parse(rest, charset) else { return };
    assert!(pidf.tuples.len() <= pidf::MAX_TUPLES && pidf.notes.len() <= pidf::MAX_NOTES);
    assert!(pidf.persons.len() <= pidf::MAX_PERSONS);
    let written = pidf.to_bytes();
    match Pidf::parse(&written, None) {
        Ok(again) => assert_eq!(again, pidf),
        // What says in one place which language all notes are in is shorter than what says it in each.
        Err(e) => assert!(matches!(e, bodies::Error::TooBig { .. }), "{e}: {}", String::from_utf8_lossy(&written)),
    }
    let [romeo, juliet] = ["romeo@example.net", "juliet@example.com"].map(|jid| Jid::parse(jid).expect("an address"));
    let addresses = address::Options::default();
    let source =
        s2x::Source { language: None, target: None, addresses: &addresses, now: None, rich: true, resources: 32 };
    let Some(told) = s2x::presences(&pidf, &source, &romeo, &juliet, &[None]) else { return };
    assert!(told.stanzas.len() <= 33 && told.online.len() <= 32);
    for stanza in &told.stanzas {
        assert!(stanza.from.as_ref().is_some_and(|from| from.same_bare(&romeo)) && stanza.to.as_ref() == Some(&juliet));
        let bytes = stanza.to_bytes(ns::CLIENT);
        assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
        let text = String::from_utf8(bytes).expect("UTF-8").replacen(' ', " xmlns='jabber:client' ", 1);
        let element = Element::parse(text.as_bytes(), &xml::Limits::default()).expect("what we write is well-formed");
        let read = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
        assert_eq!(normal(&read.to_element()), normal(&stanza.to_element()), "it reads as it was meant");
        let x2s::Departing::Available(resource) = x2s::read(stanza) else { continue };
        let (back, language) = x2s::pidf(&romeo, std::slice::from_ref(&resource));
        let source = s2x::Source { language: language.as_deref(), ..source };
        let back = s2x::presences(&back, &source, &romeo, &juliet, &[]).expect("it is about Romeo");
        let back: Vec<_> = back.stanzas.iter().map(x2s::read).collect();
        assert_eq!(back, [x2s::Departing::Available(resource)]);
    }
}

/// Texts beside each other are one text, and empty ones none.
fn normal(e: &Element) -> Element {
    let mut out = Element { children: Vec::new(), ..e.clone() };
    for node in &e.children {
        match node {
            Node::Text(text) => out.push_text(text),
            Node::Element(e) => out.push(normal(e)),
        }
    }
    out
}

/// Nothing but what XEP-0071 lists, and nothing in it that acts. Gives back how deep it goes.
fn tame(e: &Element, depth: usize) -> usize {
    const ELEMENTS: &[&str] = &[
        "html",
        "body",
        "abbr",
        "acronym",
        "address",
        "blockquote",
        "br",
        "cite",
        "code",
        "dfn",
        "div",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "kbd",
        "p",
        "pre",
        "q",
        "samp",
        "span",
        "strong",
        "var",
        "a",
        "dl",
        "dt",
        "dd",
        "ol",
        "ul",
        "li",
        "img",
    ];
    assert!(depth <= bodies::html::MAX_DEPTH + 2, "deeper than the limit");
    assert!(ELEMENTS.contains(&e.name.as_str()), "<{}>", e.name);
    for attr in &e.attrs {
        let known = [
            "href", "src", "alt", "height", "width", "style", "cite", "type", "title", "lang", "class", "id",
            "hreflang", "xml:lang",
        ];
        assert!(known.contains(&attr.name.as_str()), "{}={}", attr.name, attr.value);
        if ["href", "src", "cite"].contains(&attr.name.as_str()) {
            let scheme = attr.value.split(':').next().unwrap_or_default().to_ascii_lowercase();
            assert!(!["javascript", "data", "vbscript", "file", "blob"].contains(&scheme.trim()), "{}", attr.value);
        }
        if attr.name == "style" {
            let lower = attr.value.to_ascii_lowercase();
            assert!(
                !["url(", "expression", "javascript", "@import"].iter().any(|bad| lower.contains(bad)),
                "{}",
                attr.value
            );
        }
    }
    e.elements().map(|child| tame(child, depth + 1)).max().unwrap_or(depth)
}
