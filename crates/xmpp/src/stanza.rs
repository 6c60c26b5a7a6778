//! Stanzas (RFC 6120 §8).

use crate::error::StanzaError;
use crate::jid::{Jid, JidError};
use crate::ns;
use base::Str;
use std::fmt;
use xml::{Attr, Element, Node, XML_NS};

/// The three kinds of stanzas (RFC 6120 §8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `<message/>`: pushed, wants no answer.
    Message,
    /// `<presence/>`.
    Presence,
    /// `<iq/>`: asked and answered.
    Iq,
}

impl Kind {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Presence => "presence",
            Kind::Iq => "iq",
        }
    }

    /// The kind that the element name `name` stands for.
    pub fn from_name(name: &str) -> Option<Kind> {
        [Kind::Message, Kind::Presence, Kind::Iq].into_iter().find(|k| k.name() == name)
    }
}

/// A stanza. Its own children that are in its stream's content namespace (`body`, `show`, `error`...) are kept in
/// [`ns::CLIENT`] whatever that is, and written in the content namespace of the stream they go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// Message, presence or iq.
    pub kind: Kind,
    /// Who sent it.
    pub from: Option<Jid>,
    /// Whom it is for.
    pub to: Option<Jid>,
    /// The sender's name for it. It may be empty.
    pub id: Option<Str>,
    /// The type, as it came: what is allowed depends on the kind (RFC 6120 §8.2, RFC 6121 §4.7.1, §5.2.2).
    pub type_: Option<Str>,
    /// The language of the text in it (`xml:lang`).
    pub lang: Option<Str>,
    /// All other attributes.
    pub attrs: Vec<Attr>,
    /// What it carries.
    pub children: Vec<Node>,
}

/// Why an element is no stanza that can be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StanzaFault {
    /// Not one of the three names in the stream's content namespace.
    NotAStanza,
    /// `from` is no address.
    From(JidError),
    /// `to` is no address.
    To(JidError),
}

impl fmt::Display for StanzaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StanzaFault::NotAStanza => f.write_str("not a stanza"),
            StanzaFault::From(e) => write!(f, "from: {e}"),
            StanzaFault::To(e) => write!(f, "to: {e}"),
        }
    }
}

impl std::error::Error for StanzaFault {}

impl Stanza {
    /// An empty stanza.
    pub fn new(kind: Kind) -> Stanza {
        Stanza {
            kind,
            from: None,
            to: None,
            id: None,
            type_: None,
            lang: None,
            attrs: Vec::new(),
            children: Vec::new(),
        }
    }

    /// An empty message; without a type it is a "normal" one (RFC 6121 §5.2.2).
    pub fn message() -> Stanza {
        Stanza::new(Kind::Message)
    }

    /// An empty presence; without a type it says "available" (RFC 6121 §4.7.1).
    pub fn presence() -> Stanza {
        Stanza::new(Kind::Presence)
    }

    /// An iq of type get, set, result or error. It wants an id (RFC 6120 §8.2.3).
    pub fn iq(type_: impl Into<Str>) -> Stanza {
        Stanza { type_: Some(type_.into()), ..Stanza::new(Kind::Iq) }
    }

    /// Sets `from`.
    #[must_use]
    pub fn with_from(mut self, from: Jid) -> Stanza {
        self.from = Some(from);
        self
    }

    /// Sets `to`.
    #[must_use]
    pub fn with_to(mut self, to: Jid) -> Stanza {
        self.to = Some(to);
        self
    }

    /// Sets `id`.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Str>) -> Stanza {
        self.id = Some(id.into());
        self
    }

    /// Sets `type`.
    #[must_use]
    pub fn with_type(mut self, type_: impl Into<Str>) -> Stanza {
        self.type_ = Some(type_.into());
        self
    }

    /// Adds a child.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Stanza {
        self.push(child);
        self
    }

    /// Adds a child.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// The first child of that name; of the stanza's own vocabulary with [`ns::CLIENT`].
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.elements().find(|e| e.is(name, ns))
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(Node::as_element)
    }

    /// The stanza without its content: what an answer to it needs.
    #[must_use]
    pub fn envelope(&self) -> Stanza {
        Stanza {
            kind: self.kind,
            from: self.from.clone(),
            to: self.to.clone(),
            id: self.id.clone(),
            type_: self.type_.clone(),
            lang: self.lang.clone(),
            attrs: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Whether it tells of an error (RFC 6120 §8.3).
    pub fn is_error(&self) -> bool {
        self.type_.as_deref() == Some("error")
    }

    /// The stanza that refuses this one: same kind and id, addresses swapped, nothing of what it carried. None when
    /// this is an error itself, or the result of an iq: nothing answers those (RFC 6120 §8.3.1 rule 8, §8.2.3).
    pub fn error(&self, error: &StanzaError) -> Option<Stanza> {
        if self.is_error() || (self.kind == Kind::Iq && self.type_.as_deref() == Some("result")) {
            return None;
        }
        let id = match self.kind {
            // Rule 3: an iq's error always has one, if only an empty one.
            Kind::Iq => Some(self.id.clone().unwrap_or_default()),
            Kind::Message | Kind::Presence => self.id.clone(),
        };
        let reply = Stanza { from: self.to.clone(), to: self.from.clone(), id, ..Stanza::new(self.kind) };
        Some(reply.with_type("error").with_child(error.to_element()))
    }

    /// The result of this iq, with addresses swapped and the same id.
    pub fn result(&self, payload: Option<Element>) -> Stanza {
        let mut reply = Stanza {
            from: self.to.clone(),
            to: self.from.clone(),
            id: Some(self.id.clone().unwrap_or_default()),
            ..Stanza::iq("result")
        };
        reply.children.extend(payload.map(Node::Element));
        reply
    }

    /// Reads a first-level element of a stream whose content namespace is `stream_ns`.
    ///
    /// # Errors
    /// The element back, and what is wrong with it. Missing addresses are not wrong here: streams differ in that.
    pub fn from_element(element: Element, stream_ns: &str) -> Result<Stanza, (StanzaFault, Box<Element>)> {
        let Some(kind) = Kind::from_name(&element.name).filter(|_| element.ns == stream_ns) else {
            return Err((StanzaFault::NotAStanza, Box::new(element)));
        };
        let address = |name| element.attr(name).map(Jid::parse).transpose();
        let (from, to) = match (address("from"), address("to")) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(e), _) => return Err((StanzaFault::From(e), Box::new(element))),
            (_, Err(e)) => return Err((StanzaFault::To(e), Box::new(element))),
        };
        let mut stanza = Stanza { from, to, ..Stanza::new(kind) };
        for attr in element.attrs {
            match (attr.ns.as_str(), attr.name.as_str()) {
                ("", "from" | "to") => {}
                ("", "id") => stanza.id = Some(attr.value),
                ("", "type") => stanza.type_ = Some(attr.value),
                (XML_NS, "lang") => stanza.lang = Some(attr.value),
                _ => stanza.attrs.push(attr),
            }
        }
        stanza.children = element.children;
        if stream_ns != ns::CLIENT {
            rescope(&mut stanza.children, stream_ns);
        }
        Ok(stanza)
    }

    /// The stanza's element without its children, in [`ns::CLIENT`].
    fn shell(&self) -> Element {
        let mut e = Element::new(self.kind.name(), ns::CLIENT);
        let addresses = [("from", &self.from), ("to", &self.to)];
        e.attrs.reserve_exact(5 + self.attrs.len());
        for (name, jid) in addresses {
            if let Some(jid) = jid {
                e.attrs.push(Attr { name: name.into(), ns: Str::default(), value: base::format_compact!("{jid}") });
            }
        }
        for (name, value) in [("id", &self.id), ("type", &self.type_)] {
            if let Some(value) = value {
                e.attrs.push(Attr { name: name.into(), ns: Str::default(), value: value.clone() });
            }
        }
        if let Some(lang) = &self.lang {
            e.attrs.push(Attr { name: "lang".into(), ns: Str::const_new(XML_NS), value: lang.clone() });
        }
        e.attrs.extend(self.attrs.iter().cloned());
        e
    }

    /// The stanza as an element, all in [`ns::CLIENT`].
    pub fn to_element(&self) -> Element {
        Element { children: self.children.clone(), ..self.shell() }
    }

    /// Appends the stanza as it goes out on a stream whose content namespace, the default one, is `stream_ns`.
    pub fn write(&self, stream_ns: &str, out: &mut Vec<u8>) {
        // The start tag alone; the children need not be copied to be written.
        xml::write_rescoped(&self.shell(), ns::CLIENT, stream_ns, out);
        if self.children.is_empty() {
            return;
        }
        out.truncate(out.len() - b"/>".len());
        out.push(b'>');
        for child in &self.children {
            match child {
                Node::Element(e) => xml::write_rescoped(e, ns::CLIENT, stream_ns, out),
                Node::Text(text) => xml::escape_text(text, out),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'>');
    }

    /// The stanza as it goes out on a stream whose content namespace is `stream_ns`.
    pub fn to_bytes(&self, stream_ns: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write(stream_ns, &mut out);
        out
    }
}

/// Moves elements from the stream's content namespace to [`ns::CLIENT`].
fn rescope(nodes: &mut [Node], stream_ns: &str) {
    for node in nodes {
        if let Node::Element(e) = node {
            if e.ns == stream_ns {
                e.ns = Str::const_new(ns::CLIENT);
            }
            rescope(&mut e.children, stream_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Condition;
    use xml::Limits;

    const NS: &str = ns::COMPONENT_ACCEPT;

    fn parse(text: &str) -> Result<Stanza, StanzaFault> {
        let text = text.replacen(' ', &format!(" xmlns='{NS}' "), 1);
        let element = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
        Stanza::from_element(element, NS).map_err(|(fault, _)| fault)
    }

    fn text(stanza: &Stanza) -> String {
        String::from_utf8(stanza.to_bytes(NS)).expect("UTF-8")
    }

    #[test]
    fn a_message_there_and_back() {
        let whole = "<message from='juliet@example.com/balcony' to='romeo@sip.example.net' id='1' type='chat' \
             xml:lang='en' n5:x='y'><body>Art thou &lt;not> Romeo?</body> <x xmlns='urn:x'><body/></x></message>"
            .replace("n5:x", "xmlns:n5='urn:n' n5:x");
        let stanza = parse(&whole).expect("a stanza");
        assert_eq!(stanza.kind, Kind::Message);
        assert_eq!(stanza.from.as_ref().and_then(Jid::resource), Some("balcony"));
        assert_eq!(stanza.to.as_ref().map(ToString::to_string).as_deref(), Some("romeo@sip.example.net"));
        assert_eq!(
            (stanza.id.as_deref(), stanza.type_.as_deref(), stanza.lang.as_deref()),
            (Some("1"), Some("chat"), Some("en"))
        );
        assert_eq!(stanza.attrs.len(), 1);
        assert_eq!(
            stanza.child("body", ns::CLIENT).map(|b| b.text().into_owned()).as_deref(),
            Some("Art thou <not> Romeo?")
        );
        assert_eq!(stanza.elements().count(), 2);
        assert_eq!(text(&stanza), whole.replace("not>", "not&gt;"));
        assert_eq!(Stanza::from_element(stanza.to_element(), ns::CLIENT), Ok(stanza));
    }

    #[test]
    fn no_stanzas() {
        for (bad, fault) in [
            ("<message to=''/>", StanzaFault::To(Jid::parse("").expect_err("no address"))),
            ("<presence from='@x'/>", StanzaFault::From(Jid::parse("@x").expect_err("no address"))),
            ("<iq to='a b@x'/>", StanzaFault::To(Jid::parse("a b@x").expect_err("no address"))),
            ("<handshake />", StanzaFault::NotAStanza),
        ] {
            assert_eq!(parse(bad), Err(fault), "{bad}");
        }
        let foreign = Element::new("message", "urn:evil");
        assert_eq!(Stanza::from_element(foreign.clone(), NS), Err((StanzaFault::NotAStanza, Box::new(foreign))));
        assert_eq!(parse("<message />"), Ok(Stanza::message()));
    }

    #[test]
    fn what_is_wrapped_keeps_its_namespace() {
        let inner = Element::new("message", ns::CLIENT).with_child(Element::new("body", ns::CLIENT));
        let stanza = Stanza::message().with_child(Element::new("forwarded", ns::FORWARD).with_child(inner));
        assert_eq!(
            text(&stanza),
            "<message><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body/></message></forwarded></message>"
        );
        assert_eq!(parse(&text(&stanza).replacen("<message>", "<message >", 1)), Ok(stanza));
    }

    #[test]
    fn errors_and_results() {
        let error = StanzaError::new(Condition::ServiceUnavailable);
        let refused = |s: &str| parse(s).expect("a stanza").error(&error).map(|e| text(&e));
        let payload = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        assert_eq!(
            refused("<message from='a@b/c' to='d@e' id='1' type='chat' xml:lang='en'><body>secret</body></message>"),
            Some(format!("<message from='d@e' to='a@b/c' id='1' type='error'>{payload}</message>"))
        );
        assert_eq!(
            refused("<presence from='a@b' to='c'/>"),
            Some(format!("<presence from='c' to='a@b' type='error'>{payload}</presence>"))
        );
        assert_eq!(
            refused("<iq from='a@b' to='c' type='get'/>"),
            Some(format!("<iq from='c' to='a@b' id='' type='error'>{payload}</iq>"))
        );
        assert_eq!(refused("<message from='a@b' to='c' type='error'/>"), None);
        assert_eq!(refused("<iq from='a@b' to='c' id='1' type='result'/>"), None);
        let asked = parse("<iq from='a@b' to='c' id='1' type='get'/>").expect("a stanza");
        assert_eq!(text(&asked.result(None)), "<iq from='c' to='a@b' id='1' type='result'/>");
        assert_eq!(
            text(&asked.result(Some(Element::new("q", "urn:q")))),
            "<iq from='c' to='a@b' id='1' type='result'><q xmlns='urn:q'/></iq>"
        );
    }

    #[test]
    fn nothing_in_a_value_can_leave_it() {
        let mut stanza = Stanza::message().with_id("'/><message to='x").with_type("\u{0}\r\n");
        stanza.children.push(Node::Text("</message>".into()));
        assert_eq!(
            text(&stanza),
            "<message id='&apos;/&gt;&lt;message to=&apos;x' type='\u{FFFD}&#13;&#10;'>&lt;/message&gt;</message>"
        );
    }
}
