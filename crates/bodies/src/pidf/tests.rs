use super::*;
use crate::rpid::{self, List, Value};
use proptest::prelude::*;

fn parse(inner: &str) -> Result<Pidf, Error> {
    Pidf::parse(format!("<presence xmlns='{NS}' entity='pres:romeo@example.net'>{inner}</presence>").as_bytes(), None)
}

/// The one tuple with this in it.
fn tuple(inner: &str) -> Tuple {
    parse(&format!("<tuple id='t'>{inner}</tuple>")).unwrap().tuples.remove(0)
}

fn note(lang: &str, text: &str) -> Note {
    Note::new(text::language(lang), text)
}

fn named(names: &[&str]) -> Vec<List> {
    vec![List::of(names)]
}

#[test]
fn a_tuple_with_all_that_it_may_have() {
    let document = "<?xml version='1.0' encoding='UTF-8'?>\n<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' \
        entity=' pres:juliet@example.com '>\n<p:tuple id='ID-chamber'><p:status><p:basic>open</p:basic>\
        <show xmlns='jabber:client'>dnd</show></p:status>\n<x xmlns='urn:x'><p:note>not this</p:note></x>\
        <p:contact priority='0.85'>\n  sip:juliet@example.com;gr=chamber\n</p:contact><p:note xml:lang='en'>Reading &lt;b></p:note>\
        <p:note xml:lang='de'>Ich lese</p:note><p:note/><p:timestamp>2026-11-22T06:00:00+01:00</p:timestamp></p:tuple>\
        <p:note>Back soon</p:note></p:presence>";
    let pidf = Pidf::parse(document.as_bytes(), None).unwrap();
    assert_eq!(
        pidf,
        Pidf {
            entity: "pres:juliet@example.com".into(),
            tuples: vec![Tuple {
                id: "ID-chamber".into(),
                basic: Some(Basic::Open),
                show: Some("dnd".into()),
                rich: Rich::default(),
                relationship: None,
                contact: Some(Contact {
                    uri: "sip:juliet@example.com;gr=chamber".into(),
                    priority: Priority::from_thousandths(850),
                }),
                notes: vec![note("en", "Reading <b>"), note("de", "Ich lese")],
                timestamp: Timestamp::parse("2026-11-22T05:00:00Z"),
            }],
            notes: vec![note("", "Back soon")],
            persons: vec![],
        }
    );
    assert_eq!(
        String::from_utf8(pidf.to_bytes()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:juliet@example.com'>\
         <tuple id='ID-chamber'><status><basic>open</basic><show xmlns='jabber:client'>dnd</show></status>\
         <contact priority='0.85'>sip:juliet@example.com;gr=chamber</contact><note xml:lang='en'>Reading &lt;b&gt;</note>\
         <note xml:lang='de'>Ich lese</note><timestamp>2026-11-22T05:00:00Z</timestamp></tuple><note>Back soon</note></presence>"
    );
}

#[test]
fn a_person_as_the_rfc_has_it() {
    let pidf = parse(
        "<dm:person xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' \
         xmlns:lt='urn:ietf:params:xml:ns:location-type' id='p1' xml:lang='en'>\
         <r:activities from='2026-11-22T05:00:00Z' until='2026-11-22T06:00:00Z'><r:note>Far away</r:note><r:away/>\
         <r:other>reading</r:other><x xmlns='urn:x'/></r:activities><r:class>calendar</r:class>\
         <r:mood><r:angry/><r:other xml:lang='de'>brooding</r:other></r:mood><r:place-type><lt:residence/></r:place-type>\
         <dm:note xml:lang=''>Scoring 120</dm:note><dm:timestamp>2026-11-22T05:00:00.5Z</dm:timestamp></dm:person>\
         <dm:device xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' id='pc'><dm:note>PC</dm:note></dm:device>",
    )
    .unwrap();
    assert_eq!((pidf.tuples.len(), pidf.notes.len(), pidf.persons.len()), (0, 0, 1));
    let person = &pidf.persons[0];
    assert_eq!((person.id.as_str(), &person.notes[..]), ("p1", &[note("", "Scoring 120")][..]));
    assert_eq!(person.timestamp, Timestamp::parse("2026-11-22T05:00:00.5Z"));
    let activities = &person.rich.activities[0];
    assert_eq!(activities.values, [Value::Named("away".into()), Value::Other("reading".into())]);
    assert_eq!(activities.notes, [note("en", "Far away")]);
    let holds = |at: &str| activities.holds(Timestamp::parse(at));
    assert!(holds("2026-11-22T05:00:00Z") && holds("2026-11-22T05:59:59Z") && activities.holds(None));
    assert!(!holds("2026-11-22T04:59:59Z") && !holds("2026-11-22T06:00:00Z"));
    let mood = [Value::Named("angry".into()), Value::Other("brooding".into())];
    assert_eq!((&person.rich.moods[0].values[..], &person.rich.places[..]), (&mood[..], &named(&["residence"])[..]));
    assert_eq!(Pidf::parse(&pidf.to_bytes(), None), Ok(pidf));
}

#[test]
fn what_phones_and_exchanges_send() {
    // Asterisk's chan_sip: names of drafts, a person with a status, the note above the tuples, and Latin-1.
    let asterisk = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \n\
        xmlns:pp=\"urn:ietf:params:xml:ns:pidf:person\"\nxmlns:es=\"urn:ietf:params:xml:ns:pidf:rpid:status:rpid-status\"\n\
        xmlns:ep=\"urn:ietf:params:xml:ns:pidf:rpid:rpid-person\"\nentity=\"sip:6001@192.0.2.7\">\n\
        <pp:person><status>\n<ep:activities><ep:busy/></ep:activities>\n</status></pp:person>\n\
        <note>Am Telefon f\xfcr l\xe4nger</note>\n<tuple id=\"6001\">\n<contact priority=\"1\">sip:6001@192.0.2.7</contact>\n\
        <status><basic>open</basic></status>\n</tuple>\n</presence>\n";
    let pidf = Pidf::parse(asterisk, None).unwrap();
    assert_eq!(pidf.notes, [note("", "Am Telefon für länger")]);
    assert_eq!(pidf.persons[0].rich.activities, named(&["busy"]));
    assert_eq!(pidf.tuples[0].contact.as_ref().unwrap().priority.unwrap().thousandths(), 1000);
    // Asterisk's pjsip: the activity is text with a prefix, the person's namespace is on the root.
    let pidf = parse(
        "<pp:person xmlns:pp='urn:ietf:params:xml:ns:pidf:person' xmlns:ep='urn:ietf:params:xml:ns:pidf:rpid:rpid-person'>\
         <status><ep:activities>ep:away</ep:activities></status></pp:person>",
    );
    assert_eq!(pidf.unwrap().persons[0].rich.activities, named(&["away"]));
    // Linphone of old, in the status of the tuple.
    let old = tuple(
        "<status><basic>open</basic><es:activities xmlns:es='urn:ietf:params:xml:ns:pidf:status:rpid-status'>\
         <es:activity>busy</es:activity></es:activities></status>",
    );
    assert_eq!((old.basic, old.rich.activities), (Some(Basic::Open), named(&["busy"])));
    // A note in the status, one of the data model, capitals, no id.
    let odd = "<tuple><status><basic> Closed\n</basic><note>gone</note></status>\
        <note xmlns='urn:ietf:params:xml:ns:pidf:data-model'>fishing</note></tuple>";
    let odd = parse(odd).unwrap().tuples.remove(0);
    assert_eq!((odd.id.as_str(), odd.basic), ("", Some(Basic::Closed)));
    assert_eq!(odd.notes, [note("", "gone"), note("", "fishing")]);
}

#[test]
fn what_nobody_can_make_sense_of_is_left_out() {
    for basic in [
        "",
        "<basic/>",
        "<basic>open</basic><basic>closed</basic>",
        "<basic>maybe</basic>",
        "<basic xmlns='urn:x'>open</basic>",
    ] {
        assert_eq!(tuple(&format!("<status>{basic}</status>")).basic, None, "{basic}");
    }
    assert_eq!(tuple("<basic>open</basic>").basic, None);
    assert_eq!(tuple("<contact> </contact>").contact, None);
    assert_eq!(tuple("<timestamp>yesterday</timestamp>").timestamp, None);
    assert_eq!(tuple("<status><show xmlns='jabber:client'> </show><show>away</show></status>").show, None);
    // RFC 3863 §4.2.3: what must be understood, and is not, takes the element that it stands in with it.
    let rich =
        |inner: &str| tuple(&format!("<r:activities xmlns:r='{}'><r:away/>{inner}</r:activities>", rpid::NS)).rich;
    assert_eq!(rich("<x xmlns='urn:x'/>").activities, named(&["away"]));
    assert!(rich(&format!("<x xmlns='urn:x' p:mustUnderstand='1' xmlns:p='{NS}'/>")).is_empty());
    assert!(rich("<x xmlns='urn:x' mustUnderstand='true'/>").is_empty());
    // Where somebody is stays with whoever said it.
    let place = tuple(
        "<status><basic>open</basic><g:geopriv xmlns:g='urn:ietf:params:xml:ns:pidf:geopriv10'><g:note>home</g:note></g:geopriv></status>",
    );
    assert!(place.notes.is_empty() && place.rich.is_empty());
}

#[test]
fn whose_service_it_is() {
    let of =
        |inner: &str| tuple(&format!("<r:relationship xmlns:r='{}'>{inner}</r:relationship>", rpid::NS)).relationship;
    assert_eq!(of("<r:note>call her</r:note><r:assistant/><r:family/>").as_deref(), Some("assistant"));
    assert_eq!(of("<r:other>a friend of his</r:other>").as_deref(), Some("other"));
    assert_eq!(of("<x xmlns='urn:x'/>"), None);
}

#[test]
fn comments_and_instructions_are_legal() {
    let open = tuple("<?x y?><!-- c --><status><basic>op<!-- x -->en</basic></status>");
    assert_eq!(open.basic, Some(Basic::Open));
    assert_eq!(parse("").unwrap().tuples, []);
}

#[test]
fn what_is_refused() {
    let refused = |bytes: &[u8]| Pidf::parse(bytes, None).unwrap_err();
    assert_eq!(refused(b"<presence entity='pres:a@b'/>"), Error::Malformed("no PIDF document"));
    assert_eq!(refused(b"<presence xmlns='jabber:client' from='a@b'/>"), Error::Malformed("no PIDF document"));
    let nobody = format!("<presence xmlns='{NS}' entity=' '/>");
    assert_eq!(refused(nobody.as_bytes()), Error::Malformed("PIDF without entity"));
    for bad in ["", "<presence", "<!DOCTYPE p><p/>", "<!DOCTYPE p [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><p>&x;</p>"]
    {
        assert!(matches!(refused(bad.as_bytes()), Error::Malformed(_)), "{bad}");
    }
    assert!(matches!(parse("<note>&a;</note>"), Err(Error::Malformed(_))));
    assert!(matches!(refused(b"<?xml version='1.0' encoding='KOI8-R'?><p/>"), Error::Unsupported { .. }));
}

#[test]
fn limits() {
    let tuples = |n: usize| parse(&"<tuple id='t'/>".repeat(n));
    assert_eq!(tuples(MAX_TUPLES).unwrap().tuples.len(), MAX_TUPLES);
    assert_eq!(tuples(MAX_TUPLES + 1), Err(Error::TooBig { what: "PIDF tuples", limit: MAX_TUPLES }));
    assert!(matches!(tuples(10_000), Err(Error::TooBig { .. })));
    assert!(matches!(parse(&"<a>".repeat(17)), Err(Error::TooBig { limit: 16, .. })));
    assert!(matches!(parse(&"<a xmlns='urn:z'>".repeat(8_000)), Err(Error::TooBig { .. })));
    assert!(matches!(parse(&" ".repeat(MAX_BYTES)), Err(Error::TooBig { limit: MAX_BYTES, .. })));
    assert_eq!(parse(&"<note>x</note>".repeat(1_000)).unwrap().notes.len(), MAX_NOTES);
    let persons = format!("<person xmlns='{DATA_MODEL_NS}'/>").repeat(100);
    assert_eq!(parse(&persons).unwrap().persons.len(), MAX_PERSONS);
    let values = format!("<activities xmlns='{}'>{}</activities>", rpid::NS, "<away/>".repeat(100)).repeat(17);
    let values = tuple(&values).rich.activities;
    assert_eq!((values.len(), values[0].values.len()), (rpid::MAX_VALUES, rpid::MAX_VALUES));
}

#[test]
fn the_charset_of_the_content_type_counts() {
    let declared = |encoding: &str, text: &[u8]| {
        let head = format!("<?xml version='1.0' encoding='{encoding}'?><presence xmlns='{NS}' entity='a:b'><note>");
        [head.as_bytes(), text, b"</note></presence>"].concat()
    };
    let latin1 = declared("ISO-8859-1", b"caf\xe9");
    assert_eq!(Pidf::parse(&latin1, None).unwrap().notes, [note("", "café")]);
    assert_eq!(Pidf::parse(&declared("UTF-8", b"caf\xe9"), Some("iso-8859-1")).unwrap().notes, [note("", "café")]);
    assert_eq!(
        Pidf::parse(&declared("ISO-8859-1", "café".as_bytes()), Some("utf-8")).unwrap().notes,
        [note("", "café")]
    );
    assert!(matches!(Pidf::parse(&latin1, Some("utf-8")), Err(Error::Malformed(_))));
    assert!(matches!(Pidf::parse(&latin1, Some("klingon")), Err(Error::Unsupported { .. })));
}

#[test]
fn priorities() {
    for (text, thousandths) in [
        ("0", Some(0)),
        ("0.021", Some(21)),
        ("0.5", Some(500)),
        ("1.00", Some(1000)),
        ("1", Some(1000)),
        (" .5 ", Some(500)),
        ("1.", Some(1000)),
        ("00.1239", Some(123)),
        ("1.001", None),
        ("2", None),
        ("-0.5", None),
        ("+1", None),
        ("NaN", None),
        ("INF", None),
        ("1e-1", None),
        ("0,5", None),
        (".", None),
        ("", None),
        ("0.5.5", None),
        ("٠.٥", None),
    ] {
        assert_eq!(Priority::parse(text).map(Priority::thousandths), thousandths, "{text:?}");
    }
    for n in 0..=1000 {
        let priority = Priority::from_thousandths(n).unwrap();
        assert_eq!(Priority::parse(&priority.to_string()), Some(priority));
    }
    assert_eq!(Priority::from_thousandths(1001), None);
}

fn words() -> impl Strategy<Value = String> {
    "\\PC{1,12}".prop_map(|text| text.trim().to_owned()).prop_filter("not blank", |text| !text.is_empty())
}

fn a_note() -> impl Strategy<Value = Note> {
    (proptest::option::of("[a-zA-Z]{2,3}(-[A-Z0-9]{2,4})?"), words())
        .prop_map(|(lang, text)| Note { lang: lang.map(Into::into), text })
}

fn moment() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::of(0i64..4_000_000_000).prop_map(|at| at.and_then(Timestamp::from_unix))
}

fn lists() -> impl Strategy<Value = Vec<List>> {
    let value =
        prop_oneof!["[a-mo-z][a-z_-]{0,9}".prop_map(|name| Value::Named(name.into())), words().prop_map(Value::Other)]
            .prop_filter(
                "a name of its own",
                |value| !matches!(value, Value::Named(name) if matches!(name.as_str(), "other" | "activity")),
            );
    let notes = proptest::collection::vec(a_note(), 0..3);
    let list = (moment(), moment(), notes, proptest::collection::vec(value, 1..4))
        .prop_map(|(from, until, notes, values)| List { from, until, notes, values });
    proptest::collection::vec(list, 0..3)
}

fn rich() -> impl Strategy<Value = Rich> {
    (lists(), lists(), lists()).prop_map(|(activities, moods, places)| Rich { activities, moods, places })
}

fn a_tuple() -> impl Strategy<Value = Tuple> {
    let contact = ("[a-z]{2,4}:[!-~]{1,20}", proptest::option::of(0u16..=1000)).prop_map(|(uri, priority)| Contact {
        uri: uri.into(),
        priority: priority.and_then(Priority::from_thousandths),
    });
    let basic = prop_oneof![Just(None), Just(Some(Basic::Open)), Just(Some(Basic::Closed))];
    let notes = proptest::collection::vec(a_note(), 0..4);
    let relationship = proptest::option::of(proptest::sample::select(vec!["self", "assistant", "other"]));
    let rest = (relationship, proptest::option::of(contact), notes, moment());
    (words(), basic, proptest::option::of("[a-z]{1,5}"), rich(), rest).prop_map(
        |(id, basic, show, rich, (relationship, contact, notes, timestamp))| Tuple {
            id: id.into(),
            basic,
            show: show.map(Into::into),
            rich,
            relationship: relationship.map(Into::into),
            contact,
            notes,
            timestamp,
        },
    )
}

fn a_document() -> impl Strategy<Value = Pidf> {
    let notes = || proptest::collection::vec(a_note(), 0..3);
    let person = ("[a-z][a-z0-9]{0,5}", rich(), notes(), moment()).prop_map(|(id, rich, notes, timestamp)| Person {
        id: id.into(),
        rich,
        notes,
        timestamp,
    });
    let tuples = proptest::collection::vec(a_tuple(), 0..4);
    let persons = proptest::collection::vec(person, 0..3);
    (words(), tuples, notes(), persons).prop_map(|(entity, tuples, notes, persons)| Pidf {
        entity: entity.into(),
        tuples,
        notes,
        persons,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_reads_back(pidf in a_document()) {
        prop_assert_eq!(Pidf::parse(&pidf.to_bytes(), None), Ok(pidf.clone()));
        prop_assert_eq!(Pidf::parse(&pidf.to_bytes(), Some("utf-8")), Ok(pidf));
    }

    #[test]
    fn any_bytes_may_come(bytes: Vec<u8>) {
        let _ = Pidf::parse(&bytes, None);
        let _ = Pidf::parse(&bytes, Some("iso-8859-1"));
    }
}
