//! XMPP to SIP: RFC 8048 §6.2, Table 1.

use super::table;
pub use super::table::Show;
use crate::address::{self, Form, Scheme};
use base::{Str, format_compact};
use bodies::pidf::{Basic, Contact, Note, Person, Pidf, Tuple};
use bodies::rpid::{List, Rich};
use bodies::text::{self, language};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The most languages of one status; those beyond are left out.
pub(super) const MAX_STATUSES: usize = 4;

/// The most bytes of one status in one language; what is longer is cut. Many clients show a line of it.
pub(super) const MAX_STATUS: usize = 512;

/// The most bytes of all notes of a document; the resources that come behind go without theirs.
const MAX_NOTES: usize = 8_192;

/// The longest contact. A resource in full percent-encoding may be three times that; it goes without.
const MAX_CONTACT: usize = 1_024;

/// What a presence stanza says about its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departing {
    /// A resource is there, and how.
    Available(Resource),
    /// One is not there any more.
    Unavailable {
        /// Which one.
        resource: Option<Str>,
        /// What it said at last.
        statuses: Vec<(Option<Str>, String)>,
    },
    /// Nothing: other types are no notifications (§6.2 note 1), and what belongs to a room is for that room.
    Nothing,
}

/// A resource that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The resource; none for presence of a bare address.
    pub name: Option<Str>,
    /// How available it is.
    pub show: Option<Show>,
    /// What it says about that, each language once.
    pub statuses: Vec<(Option<Str>, String)>,
    /// How much it wants to have messages.
    pub priority: Option<i8>,
    /// The language of the stanza.
    pub lang: Option<Str>,
}

/// Reads a presence stanza that claims to come from an XMPP user.
pub fn read(stanza: &Stanza) -> Departing {
    // XEP-0045 §7.2: to enter a room; §7.2.3: an occupant. Neither is about the user, nor for whom a user's presence is for.
    if stanza.elements().any(|e| e.name == "x" && (e.ns == MUC || e.ns.starts_with(MUC_KIN))) {
        return Departing::Nothing;
    }
    let lang = stanza.lang.as_deref().and_then(language);
    let name = stanza.from.as_ref().and_then(Jid::resource).map(Str::from);
    match stanza.type_.as_deref() {
        None => Departing::Available(Resource {
            name,
            show: stanza.child("show", ns::CLIENT).and_then(|show| Show::parse(&show.text())),
            statuses: statuses(stanza, lang.as_ref()),
            priority: stanza.child("priority", ns::CLIENT).and_then(|e| e.text().trim().parse().ok()),
            lang,
        }),
        Some("unavailable") => Departing::Unavailable { resource: name, statuses: statuses(stanza, lang.as_ref()) },
        Some(_) => Departing::Nothing,
    }
}

/// The namespaces of XEP-0045.
const MUC: &str = "http://jabber.org/protocol/muc";
const MUC_KIN: &str = "http://jabber.org/protocol/muc#";

/// The statuses of a stanza. RFC 6121 §4.7.2.2: one for each language; of two in one the first counts.
fn statuses(stanza: &Stanza, lang: Option<&Str>) -> Vec<(Option<Str>, String)> {
    let mut statuses: Vec<(Option<Str>, String)> = Vec::new();
    for e in stanza.elements().filter(|e| e.is("status", ns::CLIENT)) {
        let lang = e.lang().and_then(language).or_else(|| lang.cloned());
        let text = e.text();
        let text = text.trim();
        if !text.is_empty() && statuses.len() < MAX_STATUSES && statuses.iter().all(|(l, _)| *l != lang) {
            statuses.push((lang, cut(&text::to_lf(text))));
        }
    }
    statuses
}

/// A status that is not too long.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MAX_STATUS {
        return text.to_owned();
    }
    let room = MAX_STATUS - '…'.len_utf8();
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text[..end].trim_end())
}

/// The document about a contact with these resources, and its Content-Language: that of all of them, if they have one.
///
/// Each resource is a tuple (§6.2: a SIP user agent takes them as it takes the tuples of a SIP user), with its GRUU as contact. A contact
/// without resources is [`closed`].
pub fn pidf(contact: &Jid, resources: &[Resource]) -> (Pidf, Option<Str>) {
    let Some(first) = resources.first() else { return closed(contact, None, &[]) };
    let mut room = MAX_NOTES;
    let tuples = resources.iter().map(|resource| {
        let name = resource.name.as_deref();
        let mut tuple = tuple(contact, name, Basic::Open, &resource.statuses, &mut room);
        // Note 7: the element itself is what loses nothing.
        tuple.show = resource.show.map(|show| Str::const_new(show.name()));
        if let Some(contact) = &mut tuple.contact {
            // Note 6.
            contact.priority = resource.priority.and_then(table::priority_to_pidf);
        }
        tuple
    });
    let tuples = tuples.collect();
    let language = first.lang.clone().filter(|_| resources.iter().all(|resource| resource.lang == first.lang));
    (
        Pidf { entity: entity(contact), tuples, notes: Vec::new(), persons: person(resources).into_iter().collect() },
        language,
    )
}

/// The document about a contact who is not there (§6.2 note 5, §5.3.3). The resource is the one that went last, where it is known, with
/// what it said at last.
pub fn closed(contact: &Jid, resource: Option<&str>, statuses: &[(Option<Str>, String)]) -> (Pidf, Option<Str>) {
    let tuple = tuple(contact, resource, Basic::Closed, statuses, &mut { MAX_NOTES });
    let language = statuses.first().and_then(|(lang, _)| lang.clone());
    let language = language.filter(|first| statuses.iter().all(|(lang, _)| lang.as_ref() == Some(first)));
    (Pidf { entity: entity(contact), tuples: vec![tuple], ..Pidf::default() }, language)
}

fn tuple(
    contact: &Jid,
    resource: Option<&str>,
    basic: Basic,
    statuses: &[(Option<Str>, String)],
    room: &mut usize,
) -> Tuple {
    let mut notes = Vec::with_capacity(statuses.len());
    for (lang, text) in statuses {
        match room.checked_sub(text.len()) {
            Some(rest) => *room = rest,
            None => continue,
        }
        notes.push(Note::new(lang.clone(), text.as_str()));
    }
    let full =
        resource.and_then(|resource| contact.bare().with_resource(resource).ok()).unwrap_or_else(|| contact.bare());
    let uri = address::to_uri(&full, Scheme::Sip).ok().map(|uri| format_compact!("{uri}"));
    Tuple {
        id: table::tuple_id(resource),
        basic: Some(basic),
        contact: uri.filter(|uri| uri.len() <= MAX_CONTACT).map(|uri| Contact { uri, priority: None }),
        notes,
        ..Tuple::default()
    }
}

/// RFC 3863 §4.1.1: the `pres:` URI. It needs a user; a domain alone is a `sip:` URI.
fn entity(contact: &Jid) -> Str {
    let bare = contact.bare();
    let pres = address::to_form(&bare, Form::Pres).or_else(|_| address::to_form(&bare, Form::Sip(Scheme::Sip)));
    match pres {
        Ok(uri) => format_compact!("{uri}"),
        // Nobody on the SIP side can have asked for such an address.
        Err(_) => format_compact!("xmpp:{bare}"),
    }
}

/// The activities of the person, for phones that know RPID and not `<show/>`. A person is one, whatever is said of the resources: as
/// available as the most available one (§6.2).
fn person(resources: &[Resource]) -> Option<Person> {
    let rank = |show: Option<Show>| match show {
        None | Some(Show::Chat) => 0,
        Some(Show::Away) => 1,
        Some(Show::Xa) => 2,
        Some(Show::Dnd) => 3,
    };
    let show = resources.iter().map(|resource| resource.show).min_by_key(|show| rank(*show))?;
    let rich = Rich { activities: vec![List::of(&[show?.activity()?])], ..Rich::default() };
    Some(Person { id: Str::const_new("person"), rich, ..Person::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xml::Element;

    fn stanza(text: &str) -> Stanza {
        let text = text.replacen("<presence", &format!("<presence xmlns='{}'", ns::CLIENT), 1);
        let element = Element::parse(text.as_bytes(), &xml::Limits::default()).unwrap();
        Stanza::from_element(element, ns::CLIENT).unwrap()
    }

    fn available(text: &str) -> Resource {
        match read(&stanza(text)) {
            Departing::Available(resource) => resource,
            other => panic!("{other:?}"),
        }
    }

    fn juliet() -> Jid {
        Jid::parse("juliet@example.com").unwrap()
    }

    fn written(pidf: &Pidf) -> String {
        String::from_utf8(pidf.to_bytes()).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let resource = available("<presence from='juliet@example.com/yn0cl4bnw0yr3vym'><show>away</show></presence>");
        let (pidf, language) = pidf(&juliet(), &[resource]);
        assert_eq!(language, None);
        assert_eq!(
            written(&pidf),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='pres:juliet@example.com'>\
             <tuple id='ID-yn0cl4bnw0yr3vym'><status><basic>open</basic><show xmlns='jabber:client'>away</show></status>\
             <contact>sip:juliet@example.com;gr=yn0cl4bnw0yr3vym</contact></tuple>\
             <dm:person id='person'><rpid:activities><rpid:away/></rpid:activities></dm:person></presence>"
        );
        let (pidf, _) = super::pidf(&juliet(), &[]);
        assert_eq!(
            written(&pidf),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:juliet@example.com'>\
             <tuple id='ID-'><status><basic>closed</basic></status><contact>sip:juliet@example.com</contact></tuple></presence>"
        );
    }

    #[test]
    fn everything_in_table_1() {
        let resource = available(
            "<presence from='juliet@example.com/a b' xml:lang='en' id='x'><show>dnd</show><status>Wooing Romeo</status>\
             <status xml:lang='de'> Werbung\r\n</status><status xml:lang='en'>again</status><status xml:lang='fr'/>\
             <priority> 1\n</priority><nick xmlns='http://jabber.org/protocol/nick'>J</nick></presence>",
        );
        let (pidf, language) = pidf(&juliet(), &[resource]);
        assert_eq!(language.as_deref(), Some("en"));
        let tuple = &pidf.tuples[0];
        assert_eq!(
            (tuple.id.as_str(), tuple.basic, tuple.show.as_deref()),
            ("ID-a_x0020_b", Some(Basic::Open), Some("dnd"))
        );
        let contact = tuple.contact.as_ref().unwrap();
        assert_eq!(contact.uri, "sip:juliet@example.com;gr=a%20b");
        assert_eq!(contact.priority.unwrap().to_string(), "0.007");
        let note = |lang: &str, text: &str| Note::new(Some(lang.into()), text);
        assert_eq!(tuple.notes, [note("en", "Wooing Romeo"), note("de", "Werbung")]);
        assert_eq!(pidf.persons[0].rich.activities, [List::of(&["busy"])]);
        assert!(!written(&pidf).contains("nick"));
    }

    #[test]
    fn what_is_no_notification() {
        for type_ in ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error", "", "invisible"] {
            assert_eq!(
                read(&stanza(&format!("<presence from='a@b/c' type='{type_}'/>"))),
                Departing::Nothing,
                "{type_}"
            );
        }
        for ns in ["http://jabber.org/protocol/muc", "http://jabber.org/protocol/muc#user"] {
            for type_ in ["", " type='unavailable'"] {
                let room = format!("<presence from='a@b/c'{type_}><x xmlns='{ns}'/></presence>");
                assert_eq!(read(&stanza(&room)), Departing::Nothing, "{room}");
            }
        }
    }

    #[test]
    fn what_is_odd_says_nothing() {
        let odd = "<presence from='a@b' xml:lang='x y'><show>gone</show><priority>128</priority><status xml:lang='en'> </status>\
                   <show xmlns='urn:x'>dnd</show></presence>";
        assert_eq!(available(odd), Resource::default());
        assert_eq!(available("<presence from='a@b/c'><priority>-128</priority></presence>").priority, Some(-128));
        let negative = Resource { priority: Some(-1), ..Resource::default() };
        assert_eq!(pidf(&juliet(), &[negative]).0.tuples[0].contact.as_ref().unwrap().priority, None);
    }

    #[test]
    fn who_goes_says_why() {
        let gone = stanza(
            "<presence from='juliet@example.com/chamber' type='unavailable'><status xml:lang='en'>Asleep</status></presence>",
        );
        let Departing::Unavailable { resource, statuses } = read(&gone) else { panic!("{gone:?}") };
        let (pidf, language) = closed(&juliet(), resource.as_deref(), &statuses);
        assert_eq!((pidf.tuples.len(), language.as_deref()), (1, Some("en")));
        let tuple = &pidf.tuples[0];
        assert_eq!((tuple.id.as_str(), tuple.basic), ("ID-chamber", Some(Basic::Closed)));
        assert_eq!(tuple.notes, [Note::new(Some("en".into()), "Asleep")]);
    }

    #[test]
    fn many_resources() {
        let one = |name: &str, show, lang: &str| Resource {
            name: Some(name.into()),
            show,
            lang: Some(lang.into()),
            ..Resource::default()
        };
        let of = |shows: &[Option<Show>]| {
            let resources: Vec<_> =
                shows.iter().enumerate().map(|(n, show)| one(&n.to_string(), *show, "en")).collect();
            let (pidf, language) = pidf(&juliet(), &resources);
            assert_eq!((pidf.tuples.len(), language.as_deref()), (shows.len(), Some("en")));
            pidf.persons.first().map(|person| person.rich.activities[0].names().collect::<String>())
        };
        assert_eq!(of(&[Some(Show::Away), None, Some(Show::Dnd)]), None);
        assert_eq!(of(&[Some(Show::Dnd), Some(Show::Chat)]), None);
        assert_eq!(of(&[Some(Show::Dnd), Some(Show::Xa)]).as_deref(), Some("away"));
        assert_eq!(of(&[Some(Show::Dnd), Some(Show::Dnd)]).as_deref(), Some("busy"));
        let (pidf, language) = pidf(&juliet(), &[one("a", None, "en"), one("b", None, "de")]);
        assert_eq!((pidf.tuples.len(), language), (2, None));
    }

    #[test]
    fn a_document_has_a_bound() {
        let long = format!("<presence from='a@b/c'><status>{}</status></presence>", "é".repeat(2_000));
        let statuses = available(&long).statuses;
        assert!(statuses[0].1.len() <= MAX_STATUS && statuses[0].1.ends_with("é…"));
        let many: String = (0..20).map(|n| format!("<status xml:lang='x{n}'>&amp;</status>")).collect();
        assert_eq!(available(&format!("<presence from='a@b/c'>{many}</presence>")).statuses.len(), MAX_STATUSES);
        let resource = |n: usize| Resource {
            name: Some(format_compact!("{n}{}", "%é".repeat(300))),
            statuses: (0..MAX_STATUSES).map(|l| (Some(format_compact!("x{l}")), "&".repeat(MAX_STATUS))).collect(),
            ..Resource::default()
        };
        let resources: Vec<_> = (0..32).map(resource).collect();
        let (pidf, _) = pidf(&juliet(), &resources);
        assert_eq!(pidf.tuples.len(), 32);
        assert_eq!(pidf.tuples.iter().map(|tuple| tuple.notes.len()).sum::<usize>(), MAX_NOTES / MAX_STATUS);
        assert!(pidf.tuples.iter().all(|tuple| tuple.contact.is_none()));
        assert!(pidf.to_bytes().len() < 65_000, "{}", pidf.to_bytes().len());
        assert_eq!(Pidf::parse(&pidf.to_bytes(), None), Ok(pidf));
    }
}
