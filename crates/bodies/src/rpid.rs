//! Rich presence: what a person is doing, feels and where that is (RPID, RFC 4480), as far as a gateway has use for it.
//!
//! Read with lenience, for the drafts of RPID went into phones and exchanges long before the RFC: any namespace that begins like PIDF's
//! own, the lists in a tuple or in a `<status>` as well as in a person, a value as text (`<activities>ep:busy</activities>`) or as
//! `<activity>busy</activity>`. Written as the RFC has it.

use crate::Timestamp;
use crate::pidf::{self, Note};
use base::Str;
use xml::Element;

/// The namespace (§3.1).
pub const NS: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// The namespace of the types of places (RFC 4589).
pub const PLACES_NS: &str = "urn:ietf:params:xml:ns:location-type";

/// The most values of one list, and the most lists of one kind about one thing; what is beyond is passed over.
pub const MAX_VALUES: usize = 16;

/// What is known of a person, or of one of a person's services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rich {
    /// What the person is doing (§3.2).
    pub activities: Vec<List>,
    /// How the person feels (§3.5).
    pub moods: Vec<List>,
    /// What kind of place the person is at (§3.7).
    pub places: Vec<List>,
}

/// A list of values that hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// From when on it holds (§3.1).
    pub from: Option<Timestamp>,
    /// Until when it holds.
    pub until: Option<Timestamp>,
    /// What is said about it in words.
    pub notes: Vec<Note>,
    /// The values, in their order.
    pub values: Vec<Value>,
}

/// A value of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One that has a name: `away`, `happy`, `airport`. The sets of names are open (§6).
    Named(Str),
    /// Words for what has no name (`<other/>`).
    Other(String),
}

impl List {
    /// A list that holds always, of named values.
    pub fn of(names: &[&str]) -> List {
        List { values: names.iter().map(|name| Value::Named(Str::from(*name))).collect(), ..List::default() }
    }

    /// Whether it holds at that moment (§3.1). Who does not know the time takes it to.
    pub fn holds(&self, now: Option<Timestamp>) -> bool {
        now.is_none_or(|now| self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until))
    }

    /// The names among the values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter_map(|value| match value {
            Value::Named(name) => Some(name.as_str()),
            Value::Other(_) => None,
        })
    }

    /// Reads a list; None for one that says nothing, and for one that must not be read in part (RFC 3863 §4.2.3).
    fn read(e: &Element, lang: Option<&str>) -> Option<List> {
        let lang = pidf::lang(e, lang);
        let moment = |name| e.attr(name).and_then(|text| Timestamp::parse(text.trim()));
        let mut list = List { from: moment("from"), until: moment("until"), ..List::default() };
        for child in e.elements() {
            let known = pidf::is_kin(&child.ns) || child.ns == PLACES_NS;
            let text = child.text();
            let text = text.trim();
            let value = match child.name.as_str() {
                _ if !known => {
                    let must = child.attr_ns("mustUnderstand", pidf::NS).or_else(|| child.attr("mustUnderstand"));
                    if must.is_some_and(|must| matches!(must, "1" | "true")) {
                        return None;
                    }
                    continue;
                }
                "note" => {
                    pidf::push_note(&mut list.notes, child, lang.as_deref());
                    continue;
                }
                "other" => Some(text).filter(|text| !text.is_empty()).map(|text| Value::Other(text.to_owned())),
                "activity" => named(text),
                name => Some(Value::Named(name.into())),
            };
            if list.values.len() < MAX_VALUES {
                list.values.extend(value);
            }
        }
        if list.values.is_empty() {
            list.values.extend(named(e.text().trim()));
        }
        (!list.values.is_empty() || !list.notes.is_empty()).then_some(list)
    }

    fn to_element(&self, name: &'static str, ns: &'static str) -> Element {
        let mut e = Element::new(Str::const_new(name), Str::const_new(NS));
        for (name, at) in [("from", self.from), ("until", self.until)] {
            if let Some(at) = at {
                e.set_attr(name, at.to_string());
            }
        }
        self.notes.iter().for_each(|note| e.push(note.to_element(NS)));
        for value in &self.values {
            e.push(match value {
                Value::Named(name) => Element::new(name.clone(), Str::const_new(ns)),
                Value::Other(text) => Element::new(Str::const_new("other"), Str::const_new(NS)).with_text(text),
            });
        }
        e
    }
}

/// A value that is written as text, with the prefix that its writer thought it had.
fn named(text: &str) -> Option<Value> {
    let name = text.rsplit(':').next().unwrap_or_default();
    // What would read as something else in a list is no name of a value.
    let fits = xml::is_name(name) && !matches!(name, "note" | "other" | "activity");
    fits.then(|| Value::Named(name.into()))
}

impl Rich {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.activities.is_empty() && self.moods.is_empty() && self.places.is_empty()
    }

    /// Takes in an element of a person or tuple, if it is one of the lists.
    pub(crate) fn take(&mut self, e: &Element, lang: Option<&str>) {
        if !pidf::is_kin(&e.ns) {
            return;
        }
        let lists = match e.name.as_str() {
            "activities" => &mut self.activities,
            "mood" => &mut self.moods,
            "place-type" => &mut self.places,
            _ => return,
        };
        if lists.len() < MAX_VALUES {
            lists.extend(List::read(e, lang));
        }
    }

    /// The lists as elements.
    pub(crate) fn write(&self, into: &mut Element) {
        let kinds =
            [("activities", &self.activities, NS), ("mood", &self.moods, NS), ("place-type", &self.places, PLACES_NS)];
        for (name, lists, ns) in kinds {
            lists.iter().for_each(|list| into.push(list.to_element(name, ns)));
        }
    }
}
