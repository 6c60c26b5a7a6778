//! Two gateways back to back keep every field of both tables of RFC 8048 §6: XMPP -> SIP -> XMPP and SIP -> XMPP -> SIP.

use crate::facing::{Mirror, PLACES};
use crate::town::{jid, secs};
use bodies::pidf::{Basic, Contact, Note, Pidf, Priority, Tuple};
use proptest::prelude::*;
use rehearsal::wire::{SipText, uri_of};
use std::collections::BTreeMap;
use xml::Element;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The last NOTIFY that the phone got.
fn last_notify(mirror: &Mirror) -> &SipText {
    let notify = |(_, message): &&(usize, SipText)| message.start.starts_with("NOTIFY");
    &mirror.phone.iter().rev().find(notify).unwrap().1
}

/// What Table 1 knows of a resource, and Table 2 too.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fields {
    resource: String,
    show: Option<&'static str>,
    /// By language; the stanza's own is that of a status without one.
    statuses: BTreeMap<Option<String>, String>,
    priority: Option<i8>,
}

impl Fields {
    fn stanza(&self) -> Stanza {
        let mut stanza = Stanza::presence()
            .with_from(jid(&format!("juliet@b.example/{}", self.resource)))
            .with_to(jid("romeo@a.example"));
        let child = |name: &'static str, text: &str| Element::new(name, ns::CLIENT).with_text(text);
        if let Some(show) = self.show {
            stanza.push(child("show", show));
        }
        for (lang, text) in &self.statuses {
            let status = child("status", text);
            stanza.push(match lang {
                Some(lang) => status.with_lang(lang.as_str()),
                None => status,
            });
        }
        if let Some(priority) = self.priority {
            stanza.push(child("priority", &priority.to_string()));
        }
        stanza
    }

    fn of(stanza: &Stanza) -> Fields {
        let text = |name| stanza.child(name, ns::CLIENT).map(|e| e.text().into_owned());
        let lang = |e: &Element| e.lang().map(str::to_owned).or_else(|| stanza.lang.as_ref().map(ToString::to_string));
        let shows = ["away", "chat", "dnd", "xa"];
        let statuses = stanza.elements().filter(|e| e.is("status", ns::CLIENT));
        Fields {
            resource: stanza.from.as_ref().unwrap().resource().unwrap_or_default().to_owned(),
            show: text("show").map(|show| shows.into_iter().find(|s| *s == show).unwrap()),
            statuses: statuses.map(|e| (lang(e), e.text().into_owned())).collect(),
            priority: text("priority").map(|p| p.parse().unwrap()),
        }
    }
}

/// Romeo at one end watches Juliet at the other, and both speak XMPP.
fn lovers() -> Mirror {
    let mut mirror = Mirror::of_xmpp();
    let presence = |from: &str, to: &str, type_: &'static str| {
        Stanza::presence().with_from(jid(from)).with_to(jid(to)).with_type(type_)
    };
    mirror.stanza(0, presence("romeo@a.example", "juliet@b.example", "subscribe"));
    let types = |stanzas: &[Stanza]| -> Vec<String> {
        stanzas.iter().map(|s| s.type_.as_deref().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(types(&mirror.stanzas[1]), ["subscribe"]);
    assert!(mirror.stanzas[0].is_empty(), "nobody has approved");
    mirror.stanza(1, presence("juliet@b.example", "romeo@a.example", "subscribed"));
    assert_eq!(
        (types(&mirror.stanzas[0]), types(&mirror.stanzas[1])),
        (vec!["subscribed".into()], vec!["subscribe".into(), "probe".into()])
    );
    mirror.stanzas = [Vec::new(), Vec::new()];
    mirror
}

/// What Romeo sees of what Juliet says.
fn reflect(mirror: &mut Mirror, stanza: Stanza) -> Vec<Stanza> {
    mirror.stanza(1, stanza);
    mirror.run(secs(1));
    assert_eq!(mirror.stanzas[1], [], "and nothing comes back to her");
    std::mem::take(&mut mirror.stanzas[0])
}

#[test]
fn xmpp_presence_comes_through_sip() {
    let mut mirror = lovers();
    let fields = Fields {
        resource: "balcony №5, above; the=garden".into(),
        show: Some("xa"),
        statuses: BTreeMap::from([
            (Some("en".into()), "Wooing, <tagged> & \"quoted\"".into()),
            (Some("cs".into()), "Ja dvořím Romeovi".into()),
            (Some("de-CH".into()), "Zwei\nZeilen".into()),
        ]),
        priority: Some(1),
    };
    let got = reflect(&mut mirror, fields.stanza());
    assert_eq!(got.iter().map(Fields::of).collect::<Vec<_>>(), std::slice::from_ref(&fields));
    // A second resource beside it: SIP tells of both.
    let chamber = Fields { resource: "chamber".into(), show: None, statuses: BTreeMap::new(), priority: Some(127) };
    let got = reflect(&mut mirror, chamber.stanza());
    assert_eq!(got.iter().map(Fields::of).collect::<Vec<_>>(), [fields.clone(), chamber]);
    // One goes, then the other, with a last word.
    let gone = |resource: &str| {
        let from = jid(&format!("juliet@b.example/{resource}"));
        Stanza::presence().with_from(from).with_to(jid("romeo@a.example")).with_type("unavailable")
    };
    let got = reflect(&mut mirror, gone("chamber"));
    let seen = |stanza: &Stanza| {
        (
            stanza.from.as_ref().unwrap().resource().unwrap_or("").to_owned(),
            stanza.type_.as_deref() == Some("unavailable"),
        )
    };
    assert_eq!(got.iter().map(seen).collect::<Vec<_>>(), [(fields.resource.clone(), false), ("chamber".into(), true)]);
    let asleep = Element::new("status", ns::CLIENT).with_text("Asleep").with_lang("en");
    let got = reflect(&mut mirror, gone(&fields.resource).with_child(asleep));
    assert_eq!(got.iter().map(seen).collect::<Vec<_>>(), [(fields.resource.clone(), true)]);
    assert_eq!(Fields::of(&got[0]).statuses, BTreeMap::from([(Some("en".into()), "Asleep".into())]));
}

/// RFC 8048 §6.2 note 6.
#[test]
fn each_priority_comes_back_as_it_was() {
    let mut mirror = lovers();
    for priority in -128..=127 {
        let fields = Fields { resource: "r".into(), priority: Some(priority), ..Fields::default() };
        let got = reflect(&mut mirror, fields.stanza());
        let [got] = &got[..] else { panic!("{priority}: {got:?}") };
        assert_eq!(Fields::of(got).priority, (priority >= 0).then_some(priority));
    }
}

fn line() -> impl Strategy<Value = String> {
    "[\\PC]{1,40}"
        .prop_filter("blank ends, or no character of XML", |s| s.trim() == s && s.chars().all(xml::is_xml_char))
}

fn resource() -> impl Strategy<Value = String> {
    "[\\PC]{1,20}".prop_filter_map("no resource", |resource| {
        let jid = xmpp::jid::Jid::parse(&format!("juliet@b.example/{resource}")).ok()?;
        stox::address::to_uri(&jid, stox::address::Scheme::Sip).ok()?;
        Some(jid.resource()?.to_owned())
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    let show = prop::sample::select(vec![None, Some("away"), Some("chat"), Some("dnd"), Some("xa")]);
    let statuses = prop::collection::btree_map(prop::option::of("[a-z]{2}(-[A-Z]{2})?"), line(), 0..4);
    (resource(), show, statuses, prop::option::of(0..=127i8)).prop_map(|(resource, show, statuses, priority)| Fields {
        resource,
        show,
        statuses,
        priority,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_presence_comes_through_sip(fields in fields()) {
        let mut mirror = lovers();
        let got = reflect(&mut mirror, fields.stanza());
        prop_assert_eq!(got.iter().map(Fields::of).collect::<Vec<_>>(), vec![fields]);
    }
}

/// SIP at both ends: Romeo's phone watches Juliet's through two gateways that speak XMPP between them.
struct Phones {
    mirror: Mirror,
    /// What is the same in all of Juliet's NOTIFYs.
    target: String,
    dialog: [String; 3],
    number: u32,
}

fn phones() -> Phones {
    let mut mirror = Mirror::of_sip();
    let subscribe = "SUBSCRIBE sip:juliet@a.example SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.3;branch=z9hG4bKwatch\r\n\
        Max-Forwards: 70\r\nFrom: <sip:romeo@b.example>;tag=r\r\nTo: <sip:juliet@a.example>\r\nCall-ID: watch\r\nCSeq: 1 SUBSCRIBE\r\n\
        Contact: <sip:romeo@192.0.2.3;transport=tcp>\r\nEvent: presence\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n";
    mirror.sip(0, PLACES[2].into(), &subscribe.into());
    mirror.run(secs(1));
    let came = |(at, message): &&(usize, SipText)| *at == 1 && message.start.starts_with("SUBSCRIBE");
    let subscribe = mirror.phone.iter().find(came).unwrap().1.clone();
    assert_eq!(subscribe.request().unwrap().1, "sip:juliet@a.example");
    assert!(last_notify(&mirror).header("Subscription-State").unwrap().starts_with("pending"));
    let mut answer = subscribe.response(200, "OK", "j");
    answer.push("Expires", "3600");
    answer.push("Contact", "<sip:juliet@192.0.2.3;transport=tcp>");
    mirror.sip(1, PLACES[2].into(), &answer.to_bytes().into());
    let header = |name: &str| subscribe.header(name).unwrap().to_owned();
    let dialog = [format!("{};tag=j", header("To")), header("From"), header("Call-ID")];
    Phones { mirror, target: uri_of(&header("Contact")).to_owned(), dialog, number: 0 }
}

impl Phones {
    /// Juliet's phone says this; what Romeo's is told.
    fn reflect(&mut self, pidf: &Pidf) -> Pidf {
        self.number += 1;
        let (number, [from, to, call_id], body) =
            (self.number, &self.dialog, String::from_utf8(pidf.to_bytes()).unwrap());
        let text = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.3;branch=z9hG4bKn{number}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} NOTIFY\r\nContact: <sip:juliet@192.0.2.3;transport=tcp>\r\nEvent: presence\r\n\
             Subscription-State: active;expires=3000\r\nContent-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            self.target,
            body.len()
        );
        self.mirror.sip(1, PLACES[2].into(), &text.into());
        self.mirror.run(secs(1));
        let notify = last_notify(&self.mirror);
        assert!(notify.header("Subscription-State").unwrap().starts_with("active"), "{notify}");
        let mut pidf = Pidf::parse(&notify.body, None).unwrap();
        // The gateway adds an activity for phones that know RPID and not `<show/>`.
        pidf.persons.clear();
        pidf
    }
}

fn tuple(resource: &str, basic: Basic, show: Option<&str>, notes: &[(&str, &str)], priority: Option<u16>) -> Tuple {
    let full = jid(&format!("juliet@a.example/{resource}"));
    let uri = stox::address::to_uri(&full, stox::address::Scheme::Sip).unwrap().to_string();
    Tuple {
        id: format!("ID-{resource}").into(),
        basic: Some(basic),
        show: show.map(Into::into),
        contact: Some(Contact { uri: uri.into(), priority: priority.and_then(Priority::from_thousandths) }),
        notes: notes.iter().map(|(lang, text)| Note::new(Some((*lang).into()), *text)).collect(),
        ..Tuple::default()
    }
}

#[test]
fn sip_presence_comes_through_xmpp() {
    let mut phones = phones();
    let of = |tuples: Vec<Tuple>| Pidf { entity: "pres:juliet@a.example".into(), tuples, ..Pidf::default() };
    let notes = [("en", "Wooing <Romeo> & all"), ("cs", "Ja dvořím Romeovi")];
    let balcony = tuple("balcony", Basic::Open, Some("dnd"), &notes, Some(992));
    let chamber = tuple("chamber.2", Basic::Open, None, &[], Some(7));
    let there = of(vec![balcony.clone(), chamber.clone()]);
    assert_eq!(phones.reflect(&there), there);
    for show in ["away", "chat", "xa"] {
        let there = of(vec![tuple("balcony", Basic::Open, Some(show), &notes, Some(0)), chamber.clone()]);
        assert_eq!(phones.reflect(&there), there, "{show}");
    }
    // One goes, and its tuple with it; then the other, and what is left is that she is not there.
    assert_eq!(phones.reflect(&of(vec![balcony.clone()])), of(vec![balcony]));
    let closed = of(vec![tuple("balcony", Basic::Closed, None, &[("en", "Asleep")], None)]);
    assert_eq!(phones.reflect(&closed), closed);
}
