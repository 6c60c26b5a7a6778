//! SIP to XMPP: RFC 8048 §6.3, Table 2.

use super::ACCEPT;
use super::table::{self, Show};
use super::x2s::{MAX_STATUSES, cut};
use crate::address;
use crate::error::Refusal;
use base::Str;
use bodies::mime::ContentType;
use bodies::pidf::{Basic, Note, Person, Pidf, Tuple};
use bodies::rpid::{List, Rich, Value};
use bodies::text::{self, language};
use bodies::{Error, Timestamp};
use sip::uri::{Host, SipUri, Uri};
use sip::{Name, Request};
use xml::Element;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// What is known of a document besides what it says.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The value of Content-Language.
    pub language: Option<&'a str>,
    /// The remote target of the notification dialog.
    pub target: Option<&'a str>,
    /// How telephone numbers map.
    pub addresses: &'a address::Options,
    /// What the time is, if the gateway knows.
    pub now: Option<Timestamp>,
    /// Whether rich presence beyond activities is shown, in words, to where there are no others.
    pub rich: bool,
    /// The most resources that are told of; those beyond are left out, as if the document did not have them.
    pub resources: usize,
}

/// What the XMPP user is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presences {
    /// The stanzas, in the order in which they are sent: who comes before who goes, so that nobody seems to be gone in between.
    pub stanzas: Vec<Stanza>,
    /// The resources that are available now, for the next time; none stands for the bare address.
    pub online: Vec<Option<Str>>,
}

/// Reads the body of a NOTIFY; `None` without one, which tells nothing (RFC 8048 §5.2.1: unknown).
///
/// # Errors
/// The refusal that the notifier gets.
pub fn read(request: &Request) -> Result<Option<Pidf>, Refusal> {
    if request.body.is_empty() {
        return Ok(None);
    }
    // Nothing is unpacked: a compressed body is a bomb until shown otherwise.
    let encoding = request.headers.get(Name::ContentEncoding);
    if encoding.is_some_and(|e| !e.trim().eq_ignore_ascii_case("identity")) {
        return Err(Refusal::UnsupportedEncoding);
    }
    let content_type = request.headers.get(Name::ContentType).ok_or(Refusal::BadBody("Content-Type is missing"))?;
    let content_type = ContentType::parse(content_type).map_err(|e| refusal(&e))?;
    if !content_type.is("application", "pidf+xml") {
        return Err(Refusal::UnsupportedContent { accept: ACCEPT });
    }
    Pidf::parse(&request.body, content_type.charset()).map(Some).map_err(|e| refusal(&e))
}

fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Malformed(why) => Refusal::BadBody(why),
        Error::TooBig { .. } => Refusal::TooBig,
        Error::Unsupported { .. } => Refusal::UnsupportedContent { accept: ACCEPT },
    }
}

/// The stanzas from `from`, a bare address, to `to`, who was told before that the resources `online` are available. `None` for a document
/// about somebody else: then none of it is for this XMPP user (§8.2, threat 6).
///
/// Each tuple is a resource. One that is told open twice is what the first says; open counts before closed, for one of its services can be
/// reached then. What was available and is not in the document is gone.
pub fn presences(pidf: &Pidf, source: &Source<'_>, from: &Jid, to: &Jid, online: &[Option<Str>]) -> Option<Presences> {
    if !is_about(&pidf.entity, from, source) {
        return None;
    }
    let mut told: Vec<Stanza> = Vec::new();
    for basic in [Basic::Open, Basic::Closed] {
        for tuple in pidf.tuples.iter().filter(|tuple| tuple.basic == Some(basic) && is_own(tuple)) {
            let from = resource(tuple, from, source);
            if told.len() < source.resources && told.iter().all(|known| known.from.as_ref() != Some(&from)) {
                told.push(stanza(pidf, tuple, basic, from, source));
            }
        }
    }
    for name in online {
        let from = name.as_deref().and_then(|name| from.with_resource(name).ok()).unwrap_or_else(|| from.bare());
        if told.iter().all(|known| known.from.as_ref() != Some(&from)) {
            told.push(Stanza::presence().with_type("unavailable").with_from(from));
        }
    }
    let available = told.iter().filter(|stanza| stanza.type_.is_none());
    let online = available.map(|stanza| stanza.from.as_ref().and_then(Jid::resource).map(Str::from)).collect();
    Some(Presences { stanzas: told.into_iter().map(|stanza| stanza.with_to(to.clone())).collect(), online })
}

/// Whether `entity` names the user that the dialog is with: by the same user part, at the user's domain, at the host that the dialog is
/// with, or at an address without a name. Phones and exchanges put their own there.
fn is_about(entity: &str, user: &Jid, source: &Source<'_>) -> bool {
    let uri = Uri::parse(entity).or_else(|_| SipUri::parse(&format!("sip:{entity}")).map(Uri::Sip));
    let Ok(uri) = uri else { return false };
    let Ok(jid) = address::to_jid(&uri, source.addresses) else { return false };
    if jid.local() != user.local() {
        return false;
    }
    if jid.domain() == user.domain() {
        return true;
    }
    let host = match uri {
        Uri::Sip(uri) => Some(uri.host),
        Uri::Other { .. } => Host::parse(jid.domain()).ok(),
    };
    host.is_some_and(|host| match host {
        Host::V4(_) | Host::V6(_) => true,
        Host::Name(_) => source.target.and_then(|uri| SipUri::parse(uri).ok()).is_some_and(|uri| uri.host == host),
    })
}

/// RFC 4480 §3.9: whom a tuple reaches. That an assistant is there does not make the user available.
fn is_own(tuple: &Tuple) -> bool {
    tuple.relationship.as_deref().is_none_or(|relationship| matches!(relationship, "self" | "unknown"))
}

/// The resource that a tuple stands for: the `gr` of its contact if that is the user's GRUU, else what its id names.
fn resource(tuple: &Tuple, user: &Jid, source: &Source<'_>) -> Jid {
    let contact = tuple.contact.as_ref().and_then(|contact| Uri::parse(&contact.uri).ok());
    let gruu = contact.and_then(|uri| address::to_jid(&uri, source.addresses).ok());
    if let Some(gruu) = gruu.filter(|gruu| !gruu.is_bare() && gruu.same_bare(user)) {
        return gruu;
    }
    let name = table::resource_of(&tuple.id);
    // The id that the gateway itself gives to presence of a bare address.
    if name.is_empty() && !tuple.id.is_empty() {
        return user.bare();
    }
    let named = user.with_resource(&name).or_else(|_| user.with_resource(&table::token(&tuple.id)));
    named.unwrap_or_else(|_| user.bare())
}

fn stanza(pidf: &Pidf, tuple: &Tuple, basic: Basic, from: Jid, source: &Source<'_>) -> Stanza {
    let mut stanza = Stanza::presence().with_from(from);
    // Table 2 note 1.
    stanza.type_ = match basic {
        Basic::Open => None,
        Basic::Closed => Some(Str::const_new("unavailable")),
    };
    // XMPP has one language where Content-Language has a list.
    stanza.lang = source.language.and_then(|list| language(list.split(',').next().unwrap_or(list)));
    if basic == Basic::Open
        && let Some(show) = show(pidf, tuple, source.now)
    {
        stanza.push(Element::new(Str::const_new("show"), Str::const_new(ns::CLIENT)).with_text(show.name()));
    }
    let words = if source.rich { words(pidf, tuple, source.now) } else { None };
    let mut said: Vec<Option<Str>> = Vec::new();
    for note in notes(pidf, tuple, source.now).into_iter().chain(words.as_ref()) {
        // RFC 6121 §4.7.2.2: no two statuses in one language.
        let speaks = note.lang.as_ref().or(stanza.lang.as_ref()).cloned();
        if said.contains(&speaks) || said.len() == MAX_STATUSES {
            continue;
        }
        said.push(speaks);
        let status = Element::new(Str::const_new("status"), Str::const_new(ns::CLIENT))
            .with_text(&cut(&text::to_lf(&note.text)));
        stanza.push(match &note.lang {
            Some(lang) if stanza.lang.as_ref() != Some(lang) => status.with_lang(lang.clone()),
            _ => status,
        });
    }
    if basic == Basic::Open
        && let Some(priority) = tuple.contact.as_ref().and_then(|contact| contact.priority)
    {
        let priority = table::priority_from_pidf(priority).to_string();
        stanza.push(Element::new(Str::const_new("priority"), Str::const_new(ns::CLIENT)).with_text(&priority));
    }
    stanza
}

/// Table 2 note 3, and what stands in for `<show/>` where a phone does not know it: the activities of the tuple, those of the person, or
/// a note that only machines write.
fn show(pidf: &Pidf, tuple: &Tuple, now: Option<Timestamp>) -> Option<Show> {
    let activities = |rich: &Rich| {
        let lists: Vec<&List> = holding(&rich.activities, now).collect();
        (!lists.is_empty()).then(|| Show::of_activities(lists.into_iter().flat_map(List::names)))
    };
    let own = tuple.show.as_deref().and_then(Show::parse);
    own.or_else(|| {
        let person = || pidf.persons.iter().find_map(|person| activities(&person.rich));
        let noted = || notes(pidf, tuple, now).into_iter().find_map(|note| Show::of_note(&note.text));
        activities(&tuple.rich).or_else(person).unwrap_or_else(noted)
    })
}

fn holding(lists: &[List], now: Option<Timestamp>) -> impl Iterator<Item = &List> {
    lists.iter().filter(move |list| list.holds(now))
}

/// The notes that say most about a tuple: its own, else those on what the person is doing, else the person's, else the document's.
fn notes<'a>(pidf: &'a Pidf, tuple: &'a Tuple, now: Option<Timestamp>) -> Vec<&'a Note> {
    let doing = |rich: &'a Rich| holding(&rich.activities, now).flat_map(|list| &list.notes);
    let persons = || pidf.persons.iter();
    let mut kinds: [Vec<&Note>; 4] = [
        tuple.notes.iter().chain(doing(&tuple.rich)).collect(),
        persons().flat_map(|person| doing(&person.rich)).collect(),
        persons().flat_map(|person| &person.notes).collect(),
        pidf.notes.iter().collect(),
    ];
    let first = kinds.iter().position(|notes| !notes.is_empty()).unwrap_or_default();
    std::mem::take(&mut kinds[first])
}

/// Rich presence in words, where there are none: `meeting, lunch; mood: happy; place: airport`.
fn words(pidf: &Pidf, tuple: &Tuple, now: Option<Timestamp>) -> Option<Note> {
    if !notes(pidf, tuple, now).is_empty() {
        return None;
    }
    let riches = || [&tuple.rich].into_iter().chain(pidf.persons.iter().map(|person: &Person| &person.rich));
    let mut words = String::new();
    for (label, lists) in [
        ("", riches().flat_map(|rich| &rich.activities).collect::<Vec<_>>()),
        ("mood: ", riches().flat_map(|rich| &rich.moods).collect()),
        ("place: ", riches().flat_map(|rich| &rich.places).collect()),
    ] {
        let values = lists.into_iter().filter(|list| list.holds(now)).flat_map(|list| &list.values);
        let values = values.map(|value| match value {
            Value::Named(name) => name.replace(['-', '_'], " "),
            Value::Other(text) => text.clone(),
        });
        // What `<show/>` has said already, and what says nothing.
        let values: Vec<String> =
            values.filter(|value| !matches!(value.as_str(), "away" | "busy" | "unknown")).collect();
        if !values.is_empty() {
            words.push_str(if words.is_empty() { "" } else { "; " });
            words.push_str(label);
            words.push_str(&values.join(", "));
        }
    }
    (!words.is_empty()).then(|| Note::new(Some(Str::const_new("en")), words))
}

#[cfg(test)]
mod tests;
