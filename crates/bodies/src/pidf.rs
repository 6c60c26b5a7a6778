//! Presence documents: `application/pidf+xml` (RFC 3863), with the persons of the data model (RFC 4479), their rich presence
//! ([`crate::rpid`]) and XMPP's `<show/>` as RFC 8048 §6.2 note 7 puts it there.
//!
//! XML is read strictly, presence leniently: what phones and exchanges misplace is looked for where they put it, and what nobody can
//! make sense of is left out. What is not named here is ignored, as §4.2.3 wants; location (RFC 4119) is never even kept.

use crate::rpid::{self, Rich};
use crate::{Error, Timestamp, charset, document, text};
use base::Str;
use std::fmt;
use xml::Element;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/pidf+xml";

/// The namespace of the document (§4.1.1).
pub const NS: &str = "urn:ietf:params:xml:ns:pidf";

/// The namespace of persons and devices (RFC 4479 §5.1).
pub const DATA_MODEL_NS: &str = "urn:ietf:params:xml:ns:pidf:data-model";

/// The namespace of `<show/>` (RFC 6121 §4.7.2.1).
pub const SHOW_NS: &str = "jabber:client";

/// The most bytes of a document. One that fits into a datagram has half of it.
pub const MAX_BYTES: usize = 131_072;

/// The most tuples. A document with more is refused as a whole: a part of it would say of the rest that it is gone.
pub const MAX_TUPLES: usize = 100;

/// The most notes of one thing; those beyond are passed over.
pub const MAX_NOTES: usize = 16;

/// The most persons; those beyond are passed over. RFC 4479 §3.5: there may be more than one where it is not clear what holds.
pub const MAX_PERSONS: usize = 8;

/// A presence document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pidf {
    /// Whose presence this says to be: a `pres:` URI by the RFC, often a SIP URI (§4.1.1). Only a claim.
    pub entity: Str,
    /// The ways to reach the presentity, and their state.
    pub tuples: Vec<Tuple>,
    /// What is said about the presentity in words.
    pub notes: Vec<Note>,
    /// What is known of the person.
    pub persons: Vec<Person>,
}

/// A way to reach the presentity (§4.1.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Its name within the presentity; empty where the document has none.
    pub id: Str,
    /// Whether it can be reached so. None if the document does not say, or says it twice.
    pub basic: Option<Basic>,
    /// The text of the `<show/>` of RFC 8048.
    pub show: Option<Str>,
    /// Rich presence. By RFC 4480 it belongs to the person, not all know.
    pub rich: Rich,
    /// Who is reached so, where it may be somebody else than the presentity (RFC 4480 §3.9): `assistant`, `family`...
    pub relationship: Option<Str>,
    /// The address.
    pub contact: Option<Contact>,
    /// What is said about it in words.
    pub notes: Vec<Note>,
    /// When this changed.
    pub timestamp: Option<Timestamp>,
}

/// §4.1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basic {
    /// Ready for messages.
    Open,
    /// Not.
    Closed,
}

/// §4.1.5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The address, as it stands there.
    pub uri: Str,
    /// How it is preferred over the others. None is the lowest, and stands for a value out of range too.
    pub priority: Option<Priority>,
}

/// A decimal number from 0 to 1 with at most three digits behind the point (§4.1.5), in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u16);

/// Something in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The language, also where an element around it has said it.
    pub lang: Option<Str>,
    /// The words, without blanks around.
    pub text: String,
}

/// The person behind the presentity (RFC 4479 §3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// Its name within the document.
    pub id: Str,
    /// Rich presence.
    pub rich: Rich,
    /// What is said about the person in words.
    pub notes: Vec<Note>,
    /// When this changed.
    pub timestamp: Option<Timestamp>,
}

impl Pidf {
    /// Reads a document. The charset is that of its Content-Type, which goes before the one that the document itself declares (§4.1).
    ///
    /// # Errors
    /// Malformed: bad XML, any DTD, another document, no entity. Unsupported: another charset than we can read. TooBig: more than
    /// [`MAX_BYTES`], [`MAX_TUPLES`], 16 levels or 2,048 elements.
    pub fn parse(bytes: &[u8], charset: Option<&str>) -> Result<Pidf, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooBig { what: "bytes", limit: MAX_BYTES });
        }
        let decoded = charset.map(|charset| charset::decode(bytes, Some(charset))).transpose()?;
        let bytes = decoded.as_deref().map_or(bytes, |text| document::without_declaration(text).as_bytes());
        let limits = xml::Limits { stanza_bytes: MAX_BYTES, depth: 16, elements: 2_048, ..xml::Limits::default() };
        let root = document::parse_within(bytes, &limits)?;
        if !root.is("presence", NS) {
            return Err(Error::Malformed("no PIDF document"));
        }
        let entity = root.attr("entity").map(str::trim).filter(|entity| !entity.is_empty());
        let mut pidf =
            Pidf { entity: entity.ok_or(Error::Malformed("PIDF without entity"))?.into(), ..Pidf::default() };
        let lang = lang(&root, None);
        for e in root.elements().filter(|e| is_kin(&e.ns)) {
            match e.name.as_str() {
                "tuple" if e.ns == NS && pidf.tuples.len() == MAX_TUPLES => {
                    return Err(Error::TooBig { what: "PIDF tuples", limit: MAX_TUPLES });
                }
                "tuple" if e.ns == NS => pidf.tuples.push(Tuple::read(e, lang.as_deref())),
                "note" => push_note(&mut pidf.notes, e, lang.as_deref()),
                "person" if pidf.persons.len() < MAX_PERSONS => pidf.persons.push(Person::read(e, lang.as_deref())),
                _ => {}
            }
        }
        Ok(pidf)
    }

    /// Writes the document, its elements in the schema's order. Without tuples there must be a note or a person for it to say anything.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut root = element("presence").with_attr("entity", self.entity.clone());
        self.tuples.iter().for_each(|tuple| root.push(tuple.to_element()));
        self.notes.iter().for_each(|note| root.push(note.to_element(NS)));
        self.persons.iter().for_each(|person| root.push(person.to_element()));
        let rich = |rich: &Rich| !rich.is_empty();
        let extended =
            !self.persons.is_empty() || self.tuples.iter().any(|t| rich(&t.rich) || t.relationship.is_some());
        // Phones look for `<rpid:busy/>` as it stands there, whatever namespaces are.
        let prefixes: &[(&str, &str)] = if extended { &[("dm", DATA_MODEL_NS), ("rpid", rpid::NS)] } else { &[] };
        xml::write_document_prefixed(&root, prefixes)
    }
}

impl Tuple {
    fn read(e: &Element, outer: Option<&str>) -> Tuple {
        let lang = lang(e, outer);
        let lang = lang.as_deref();
        let mut tuple = Tuple { id: e.attr("id").unwrap_or_default().trim().into(), ..Tuple::default() };
        let mut basics = 0;
        for child in e.elements() {
            match (child.name.as_str(), child.ns.as_str()) {
                ("status", NS) => {
                    for value in child.elements() {
                        if value.is("basic", NS) {
                            basics += 1;
                            tuple.basic = Basic::parse(&value.text());
                        } else {
                            tuple.extend(value, lang);
                        }
                    }
                }
                ("contact", NS) if tuple.contact.is_none() => tuple.contact = Contact::read(child),
                ("timestamp", NS) => tuple.timestamp = Timestamp::parse(child.text().trim()),
                _ => tuple.extend(child, lang),
            }
        }
        // Of two that may contradict each other neither is the truth.
        tuple.basic = tuple.basic.filter(|_| basics == 1);
        tuple
    }

    /// What may stand in the tuple or in its status.
    fn extend(&mut self, e: &Element, lang: Option<&str>) {
        if e.is("show", SHOW_NS) {
            let show = Some(e.text().trim().into()).filter(|show: &Str| !show.is_empty());
            self.show = self.show.take().or(show);
        } else if e.name == "note" && is_kin(&e.ns) {
            push_note(&mut self.notes, e, lang);
        } else if e.name == "relationship" && is_kin(&e.ns) {
            let names = e.elements().filter(|child| is_kin(&child.ns) && child.name != "note");
            self.relationship = self.relationship.take().or(names.map(|child| child.name.clone()).next());
        } else {
            self.rich.take(e, lang);
        }
    }

    fn to_element(&self) -> Element {
        let mut status = element("status");
        if let Some(basic) = self.basic {
            status.push(element("basic").with_text(basic.name()));
        }
        if let Some(show) = &self.show {
            status.push(Element::new(Str::const_new("show"), Str::const_new(SHOW_NS)).with_text(show));
        }
        let mut e = element("tuple").with_attr("id", self.id.clone()).with_child(status);
        self.rich.write(&mut e);
        if let Some(name) = &self.relationship {
            let rpid = |name| Element::new(name, Str::const_new(rpid::NS));
            e.push(rpid(Str::const_new("relationship")).with_child(rpid(name.clone())));
        }
        if let Some(contact) = &self.contact {
            let mut child = element("contact").with_text(&contact.uri);
            if let Some(priority) = contact.priority {
                child.set_attr("priority", priority.to_string());
            }
            e.push(child);
        }
        self.notes.iter().for_each(|note| e.push(note.to_element(NS)));
        if let Some(at) = self.timestamp {
            e.push(element("timestamp").with_text(&at.to_string()));
        }
        e
    }
}

impl Basic {
    fn parse(text: &str) -> Option<Basic> {
        let text = text.trim();
        [Basic::Open, Basic::Closed].into_iter().find(|basic| text.eq_ignore_ascii_case(basic.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Basic::Open => "open",
            Basic::Closed => "closed",
        }
    }
}

impl Contact {
    fn read(e: &Element) -> Option<Contact> {
        let uri = Str::from(e.text().trim());
        let priority = e.attr("priority").and_then(Priority::parse);
        (!uri.is_empty()).then_some(Contact { uri, priority })
    }
}

impl Priority {
    /// So many thousandths; None for more than 1000.
    pub fn from_thousandths(thousandths: u16) -> Option<Priority> {
        (thousandths <= 1000).then_some(Priority(thousandths))
    }

    /// In thousandths.
    pub fn thousandths(self) -> u16 {
        self.0
    }

    /// Reads one. Digits behind the third are cut off; None for whatever is no decimal number from 0 to 1 (§4.1.5: as if it were not
    /// there).
    pub fn parse(text: &str) -> Option<Priority> {
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let thousandths = fraction.bytes().chain(*b"000").take(3).fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        match whole.trim_start_matches('0') {
            "" => Some(Priority(thousandths)),
            "1" if fraction.bytes().all(|d| d == b'0') => Some(Priority(1000)),
            _ => None,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            1000 => f.write_str("1"),
            n => f.write_str(format!("0.{n:03}").trim_end_matches('0')),
        }
    }
}

impl Note {
    /// Words in a language.
    pub fn new(lang: Option<Str>, text: impl Into<String>) -> Note {
        Note { lang, text: text.into() }
    }

    pub(crate) fn to_element(&self, ns: &'static str) -> Element {
        let e = Element::new(Str::const_new("note"), Str::const_new(ns)).with_text(&self.text);
        match &self.lang {
            Some(lang) => e.with_lang(lang.clone()),
            None => e,
        }
    }
}

impl Person {
    fn read(e: &Element, outer: Option<&str>) -> Person {
        let lang = lang(e, outer);
        let lang = lang.as_deref();
        let mut person = Person { id: e.attr("id").unwrap_or_default().trim().into(), ..Person::default() };
        for child in e.elements().filter(|child| is_kin(&child.ns)) {
            match child.name.as_str() {
                "note" => push_note(&mut person.notes, child, lang),
                "timestamp" => person.timestamp = Timestamp::parse(child.text().trim()),
                // Asterisk writes persons as if they were tuples.
                "status" => child.elements().for_each(|value| person.rich.take(value, lang)),
                _ => person.rich.take(child, lang),
            }
        }
        person
    }

    fn to_element(&self) -> Element {
        let dm = |name| Element::new(Str::const_new(name), Str::const_new(DATA_MODEL_NS));
        let mut e = dm("person").with_attr("id", self.id.clone());
        self.rich.write(&mut e);
        self.notes.iter().for_each(|note| e.push(note.to_element(DATA_MODEL_NS)));
        if let Some(at) = self.timestamp {
            e.push(dm("timestamp").with_text(&at.to_string()));
        }
        e
    }
}

/// Whether this is PIDF's namespace or the name of one of its extensions, in whatever draft.
pub(crate) fn is_kin(ns: &str) -> bool {
    ns.strip_prefix(NS).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The language of what is in `e`, which stands where `outer` is spoken.
pub(crate) fn lang(e: &Element, outer: Option<&str>) -> Option<Str> {
    match e.lang() {
        Some(tag) => text::language(tag),
        None => outer.map(Into::into),
    }
}

/// Adds a note that says something.
pub(crate) fn push_note(notes: &mut Vec<Note>, e: &Element, outer: Option<&str>) {
    let words = e.text();
    let words = words.trim();
    if notes.len() < MAX_NOTES && !words.is_empty() {
        notes.push(Note { lang: lang(e, outer), text: words.to_owned() });
    }
}

fn element(name: &'static str) -> Element {
    Element::new(Str::const_new(name), Str::const_new(NS))
}

#[cfg(test)]
mod tests;
