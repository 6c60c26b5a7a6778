use super::super::x2s::{self, Resource};
use super::*;
use bodies::pidf::{Contact, Priority};
use proptest::prelude::*;

const NS: &str = "urn:ietf:params:xml:ns:pidf";

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn source(addresses: &address::Options) -> Source<'_> {
    Source { language: None, target: None, addresses, now: None, rich: false, resources: 32 }
}

fn document(entity: &str, inner: &str) -> Pidf {
    Pidf::parse(format!("<presence xmlns='{NS}' entity='{entity}'>{inner}</presence>").as_bytes(), None).unwrap()
}

/// What Juliet is told of Romeo, as text.
struct Told {
    presences: Option<Presences>,
}

impl Told {
    fn of(pidf: &Pidf, change: impl FnOnce(&mut Source<'_>)) -> Told {
        Told::after(pidf, &[], change)
    }

    fn after(pidf: &Pidf, online: &[Option<Str>], change: impl FnOnce(&mut Source<'_>)) -> Told {
        let addresses = address::Options::default();
        let mut source = source(&addresses);
        change(&mut source);
        Told { presences: presences(pidf, &source, &jid("romeo@example.net"), &jid("juliet@example.com"), online) }
    }

    fn stanzas(&self) -> Vec<String> {
        let stanzas = &self.presences.as_ref().expect("it is about Romeo").stanzas;
        let text = |stanza: &Stanza| String::from_utf8(stanza.to_bytes(ns::CLIENT)).unwrap();
        stanzas.iter().map(|stanza| text(stanza).replace(" to='juliet@example.com'", "")).collect()
    }

    fn online(&self) -> Vec<&str> {
        self.presences.as_ref().unwrap().online.iter().map(|name| name.as_deref().unwrap_or("")).collect()
    }
}

/// The stanzas for a document of Romeo's.
fn told(inner: &str) -> Vec<String> {
    Told::of(&document("pres:romeo@example.net", inner), |_| {}).stanzas()
}

fn open(id: &str) -> String {
    format!("<tuple id='{id}'><status><basic>open</basic></status></tuple>")
}

#[test]
fn the_examples_of_the_rfc() {
    let away = "<tuple id='ID-dr4hcr0st3lup4c'><status><basic>open</basic><show xmlns='jabber:client'>away</show></status></tuple>";
    assert_eq!(told(away), ["<presence from='romeo@example.net/dr4hcr0st3lup4c'><show>away</show></presence>"]);
    let closed = "<tuple id='ID-dr4hcr0st3lup4c'><status><basic>closed</basic></status></tuple>";
    assert_eq!(told(closed), ["<presence from='romeo@example.net/dr4hcr0st3lup4c' type='unavailable'/>"]);
}

#[test]
fn everything_in_table_2() {
    let pidf = document(
        "sip:romeo@example.net",
        "<tuple id='t'><status><basic>open</basic><show xmlns='jabber:client'>dnd</show></status>\
         <contact priority='0.015'>sip:romeo@example.net;gr=or%20chard</contact><note xml:lang='en'>Wooing &lt;/status></note>\
         <note>Verliebt\r\nsehr</note><note xml:lang='fr'>Amoureux</note><note xml:lang='en'>again</note></tuple>",
    );
    let stanzas = Told::of(&pidf, |source| source.language = Some("de, en")).stanzas();
    assert_eq!(
        stanzas,
        [
            "<presence from='romeo@example.net/or chard' xml:lang='de'><show>dnd</show><status xml:lang='en'>Wooing &lt;/status&gt;</status>\
          <status>Verliebt\nsehr</status><status xml:lang='fr'>Amoureux</status><priority>2</priority></presence>"
        ]
    );
}

#[test]
fn resources() {
    let from = |tuple: &str| told(tuple)[0].split('\'').nth(1).unwrap().to_owned();
    let with = |id: &str, contact: &str| {
        from(&format!("<tuple id='{id}'><status><basic>open</basic></status><contact>{contact}</contact></tuple>"))
    };
    assert_eq!(with("t", "sip:romeo@example.net;gr=urn:uuid:f81d4fae"), "romeo@example.net/urn:uuid:f81d4fae");
    // A contact of somebody else, a temporary GRUU, one without a gr: the id counts.
    assert_eq!(with("ID-a_x0020_b", "sip:paris@example.net;gr=x"), "romeo@example.net/a b");
    assert_eq!(with("t", "sip:romeo@example.net;gr"), "romeo@example.net/t");
    assert_eq!(with("t", "sip:romeo@192.0.2.1:5062"), "romeo@example.net/t");
    assert_eq!(with("t", "mailto:romeo@example.net"), "romeo@example.net/t");
    assert_eq!(from(&open("ID-")), "romeo@example.net");
    // What can be no resource gets a name that says nothing, always the same.
    let odd = from(&open("a/b@c &#10;d"));
    assert_eq!((odd.len(), odd.clone()), ("romeo@example.net/".len() + 16, from(&open("a/b@c &#10;d"))));
    assert_ne!(odd, from(&open("a/b@c &#10;e")));
    let long = from(&open(&"t".repeat(2000)));
    assert_eq!(long.len(), "romeo@example.net/".len() + 16);
    assert_eq!(from(&open("")).len(), "romeo@example.net/".len() + 16);
}

#[test]
fn one_resource_is_told_once() {
    let twice = "<tuple id='t'><status><basic>closed</basic></status></tuple>\
        <tuple id='t'><status><basic>open</basic></status><note>first</note></tuple>\
        <tuple id='ID-t'><status><basic>open</basic></status><note>second</note></tuple>";
    assert_eq!(told(twice), ["<presence from='romeo@example.net/t'><status>first</status></presence>"]);
}

#[test]
fn the_assistant_is_somebody_else() {
    let with = |whose: &str| {
        format!(
            "<tuple id='{whose}'><status><basic>open</basic></status><relationship xmlns='{NS}:rpid'><{whose}/></relationship></tuple>"
        )
    };
    let all: String = ["assistant", "self", "family", "unknown"].map(with).concat();
    assert_eq!(
        told(&all),
        ["<presence from='romeo@example.net/self'/>", "<presence from='romeo@example.net/unknown'/>"]
    );
}

#[test]
fn who_was_there_and_is_not_is_gone() {
    let before = [Some("phone".into()), Some("desk".into()), None];
    let pidf = document("pres:romeo@example.net", &(open("desk") + &open("new") + "<tuple id='phone'/>"));
    let told = Told::after(&pidf, &before, |_| {});
    assert_eq!(
        told.stanzas(),
        [
            "<presence from='romeo@example.net/desk'/>",
            "<presence from='romeo@example.net/new'/>",
            "<presence from='romeo@example.net/phone' type='unavailable'/>",
            "<presence from='romeo@example.net' type='unavailable'/>",
        ]
    );
    assert_eq!(told.online(), ["desk", "new"]);
    // Without tuples nobody is there; who was not there before needs no word.
    let none = document("pres:romeo@example.net", "<note>On holiday</note>");
    let told = Told::after(&none, &before[..1], |_| {});
    assert_eq!(told.stanzas(), ["<presence from='romeo@example.net/phone' type='unavailable'/>"]);
    assert!(Told::of(&none, |_| {}).stanzas().is_empty());
    // A closed tuple is told, and is told as gone once.
    let closed = document(
        "pres:romeo@example.net",
        "<tuple id='phone'><status><basic>closed</basic></status><note>Asleep</note></tuple>",
    );
    let told = Told::after(&closed, &before[..1], |_| {});
    assert_eq!(
        told.stanzas(),
        ["<presence from='romeo@example.net/phone' type='unavailable'><status>Asleep</status></presence>"]
    );
    assert!(told.online().is_empty());
}

#[test]
fn a_document_about_somebody_else_is_dropped() {
    let addresses = address::Options::default();
    let about = |entity: &str, target: Option<&str>| {
        let source = Source { target, rich: true, ..source(&addresses) };
        let told = presences(
            &document(entity, &open("t")),
            &source,
            &jid("romeo@example.net"),
            &jid("juliet@example.com"),
            &[],
        );
        told.is_some()
    };
    for own in [
        "pres:romeo@example.net",
        "sip:romeo@example.net",
        "sips:Romeo@EXAMPLE.net:5061;transport=tls",
        "romeo@example.net",
        "romeo@example.net:5060",
        "sip:romeo@192.0.2.7:5060",
        "pres:romeo@192.0.2.7",
        "sip:romeo@[2001:db8::7]",
        "im:r%6Fmeo@example.net",
    ] {
        assert!(about(own, None), "{own}");
    }
    assert!(about("sip:romeo@pbx.example.org", Some("sip:romeo@pbx.example.org:5070")));
    for other in [
        "pres:juliet@example.com",
        "pres:juliet@example.net",
        "sip:paris@192.0.2.7",
        "sip:192.0.2.7",
        "sip:example.net",
        "sip:romeo@evil.example",
        "sip:romeo@sub.example.net",
        "sip:romeo:secret@example.net",
        "tel:+39055",
        "mailto:romeo@example.net",
        "&lt;sip:romeo@example.net>",
        "romeo",
        "urn:uuid:f81d4fae",
    ] {
        assert!(!about(other, Some("sip:romeo@pbx.example.org")), "{other}");
    }
}

#[test]
fn what_phones_say_when_they_are_busy() {
    let show = |tuple: &str, rest: &str| {
        let inner = format!("<tuple id='t'><status><basic>open</basic></status>{tuple}</tuple>{rest}");
        let stanza = told(&inner).remove(0);
        stanza.split_once("<show>").map(|(_, rest)| rest.split('<').next().unwrap().to_owned())
    };
    let activities = |what: &str| format!("<activities xmlns='{NS}:rpid'>{what}</activities>");
    let person = |what: &str| format!("<person xmlns='{NS}:data-model' id='p'>{}</person>", activities(what));
    assert_eq!(show("", "").as_deref(), None);
    assert_eq!(show("", &person("<busy/>")).as_deref(), Some("dnd"));
    assert_eq!(show("", &person("<on-the-phone/>")).as_deref(), Some("dnd"));
    assert_eq!(show("", &person("<away/>")).as_deref(), Some("away"));
    assert_eq!(show("", &person("<permanent-absence/>")).as_deref(), Some("xa"));
    assert_eq!(show("", &person("<unknown/>")).as_deref(), None);
    assert_eq!(show("", "<note>On the phone</note>").as_deref(), Some("dnd"));
    assert_eq!(show("<note>On The Phone</note>", "").as_deref(), Some("dnd"));
    assert_eq!(show("<note>on the phone with Paris</note>", "").as_deref(), None);
    // The tuple's own activities count before the person's, and the element before both.
    assert_eq!(show(&activities("<lunch/>"), &person("<busy/>")).as_deref(), Some("away"));
    assert_eq!(show("<show xmlns='jabber:client'>chat</show>", &person("<busy/>")).as_deref(), Some("chat"));
    assert_eq!(show("<show xmlns='jabber:client'>gone</show>", &person("<busy/>")).as_deref(), Some("dnd"));
    // Whoever is not there is not busy either.
    let closed = format!("<tuple id='t'><status><basic>closed</basic></status></tuple>{}", person("<busy/>"));
    assert_eq!(told(&closed), ["<presence from='romeo@example.net/t' type='unavailable'/>"]);
}

#[test]
fn what_was_or_will_be_does_not_count() {
    let pidf = document(
        "pres:romeo@example.net",
        &format!(
            "{}<person xmlns='{NS}:data-model' id='p'><activities xmlns='{NS}:rpid' from='2026-11-22T12:00:00Z' \
             until='2026-11-22T13:00:00Z'><note>Eating</note><lunch/></activities></person>",
            open("t")
        ),
    );
    let at = |now: &str| Told::of(&pidf, |source| source.now = Timestamp::parse(now)).stanzas();
    let eating = ["<presence from='romeo@example.net/t'><show>away</show><status>Eating</status></presence>"];
    assert_eq!(at("2026-11-22T12:30:00Z"), eating);
    assert_eq!(Told::of(&pidf, |_| {}).stanzas(), eating);
    for other in ["2026-11-22T11:59:59Z", "2026-11-22T13:00:00Z"] {
        assert_eq!(at(other), ["<presence from='romeo@example.net/t'/>"]);
    }
}

#[test]
fn rich_presence_needs_leave() {
    let rich = "<person xmlns='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' \
        xmlns:lt='urn:ietf:params:xml:ns:location-type' id='p'><r:activities><r:looking-for-work/><r:busy/></r:activities>\
        <r:mood><r:in_love/><r:other>brooding</r:other></r:mood><r:place-type><lt:airport/></r:place-type>NOTE</person>\
        <g:place xmlns:g='urn:g'>home</g:place>";
    let pidf = |note: &str| document("pres:romeo@example.net", &(open("t") + &rich.replace("NOTE", note)));
    let silent = ["<presence from='romeo@example.net/t'><show>dnd</show></presence>"];
    assert_eq!(Told::of(&pidf(""), |_| {}).stanzas(), silent);
    assert_eq!(
        Told::of(&pidf(""), |source| source.rich = true).stanzas(),
        [
            "<presence from='romeo@example.net/t'><show>dnd</show><status xml:lang='en'>looking for work; mood: in love, brooding; place: airport</status></presence>"
        ]
    );
    assert_eq!(
        Told::of(&pidf("<note>Verona</note>"), |source| source.rich = true).stanzas(),
        ["<presence from='romeo@example.net/t'><show>dnd</show><status>Verona</status></presence>"]
    );
}

#[test]
fn a_document_has_a_bound() {
    let tuples: String = (0..100).map(|n| open(&format!("t{n}"))).collect();
    let pidf = document("pres:romeo@example.net", &(tuples + &format!("<note>{}</note>", "é".repeat(20_000))));
    let told = Told::of(&pidf, |_| {});
    assert_eq!((told.stanzas().len(), told.online().len()), (32, 32));
    assert!(told.stanzas().iter().all(|stanza| stanza.len() < 1_000));
}

#[test]
fn bodies() {
    let notify = |headers: &str, body: &str| {
        let head = "NOTIFY sip:juliet@x SIP/2.0\r\nVia: SIP/2.0/UDP y;branch=z9hG4bKa\r\nMax-Forwards: 70\r\nFrom: <sip:romeo@y>;tag=1\r\n\
            To: <sip:juliet@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 NOTIFY\r\nEvent: presence\r\n";
        let text = format!("{head}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        match sip::parse_datagram(&text.into(), &sip::Limits { message_bytes: 1 << 20, ..sip::Limits::default() })
            .expect("a message")
        {
            sip::Message::Request(request) => read(&request),
            sip::Message::Response(_) => panic!("a request"),
        }
    };
    let body = format!("<presence xmlns='{NS}' entity='pres:romeo@y'/>");
    assert_eq!(notify("", ""), Ok(None));
    assert_eq!(notify("Content-Type: application/pidf+xml\r\n", ""), Ok(None));
    assert!(matches!(notify("Content-Type: Application/PIDF+xml;charset=\"utf-8\"\r\n", &body), Ok(Some(_))));
    assert!(matches!(notify("", &body), Err(Refusal::BadBody(_))));
    assert!(matches!(notify("Content-Type: application/pidf+xml\r\n", "<presence/>"), Err(Refusal::BadBody(_))));
    assert_eq!(notify("Content-Type: text/plain\r\n", "hi"), Err(Refusal::UnsupportedContent { accept: ACCEPT }));
    assert_eq!(
        notify("Content-Type: application/pidf+xml;charset=klingon\r\n", &body),
        Err(Refusal::UnsupportedContent { accept: ACCEPT })
    );
    assert_eq!(
        notify("Content-Type: application/pidf+xml\r\nContent-Encoding: deflate\r\n", &body),
        Err(Refusal::UnsupportedEncoding)
    );
    assert_eq!(notify("Content-Type: application/pidf+xml\r\n", &body.repeat(5_000)), Err(Refusal::TooBig));
}

#[test]
fn the_lowest_priority_is_a_priority() {
    let contact = Contact { uri: "sip:romeo@example.net".into(), priority: Priority::from_thousandths(0) };
    let tuple = Tuple { id: "t".into(), basic: Some(Basic::Open), contact: Some(contact), ..Tuple::default() };
    let pidf = Pidf { entity: "pres:romeo@example.net".into(), tuples: vec![tuple], ..Pidf::default() };
    assert_eq!(
        Told::of(&pidf, |_| {}).stanzas(),
        ["<presence from='romeo@example.net/t'><priority>0</priority></presence>"]
    );
}

fn a_resource() -> impl Strategy<Value = Resource> {
    let show = proptest::option::of(proptest::sample::select(vec![Show::Away, Show::Chat, Show::Dnd, Show::Xa]));
    let lang = || proptest::option::of(proptest::sample::select(vec!["de", "en", "fr-CH"]).prop_map(Str::from));
    let text = "[ -~é☎]{0,40}".prop_map(|text| format!("x{}", text.trim_end()));
    let statuses = proptest::collection::vec((lang(), text), 0..4);
    ("[ -~é☎]{1,20}", show, statuses, proptest::option::of(any::<i8>()), lang()).prop_map(
        |(name, show, statuses, priority, lang)| {
            let mut once: Vec<(Option<Str>, String)> = Vec::new();
            for (tag, text) in statuses {
                let tag = tag.or_else(|| lang.clone());
                if once.iter().all(|(known, _)| *known != tag) {
                    once.push((tag, text));
                }
            }
            Resource { name: Some(name.into()), show, statuses: once, priority, lang }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Both tables, one behind the other: whatever RFC 8048 maps comes back as it was.
    #[test]
    fn presence_comes_back(resource in a_resource()) {
        let juliet = jid("juliet@example.com");
        let (pidf, language) = x2s::pidf(&juliet, std::slice::from_ref(&resource));
        let pidf = Pidf::parse(&pidf.to_bytes(), None).expect("what we write can be read");
        let romeo = jid("romeo@example.net");
        let addresses = address::Options::default();
        let source = Source { language: language.as_deref(), ..source(&addresses) };
        let stanzas = presences(&pidf, &source, &juliet, &romeo, &[]).expect("it is about Juliet").stanzas;
        prop_assert_eq!(stanzas.len(), 1);
        let back = x2s::read(&stanzas[0]);
        let mapped = Resource { priority: resource.priority.filter(|p| *p >= 0), ..resource };
        prop_assert_eq!(back, x2s::Departing::Available(mapped));
    }
}
