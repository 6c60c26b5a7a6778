//! Two gateways back to back, XMPP -> SIP -> XMPP and SIP -> XMPP -> SIP, keep every field of both tables of RFC 7572.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

mod facing;

use facing::{Mirror, PLACES};
use proptest::prelude::*;
use rehearsal::wire::SipText;
use std::collections::BTreeMap;
use std::time::Duration;
use xml::Element;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

const RECEIPTS: &str = "urn:xmpp:receipts";
/// All that RFC 7572's tables know of a message stanza, and what goes beyond them.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fields {
    from: String,
    to: String,
    id: Option<String>,
    lang: Option<String>,
    /// By language; the stanza's own language is that of a body without one.
    bodies: BTreeMap<Option<String>, String>,
    subject: Option<String>,
    thread: Option<String>,
    html: Option<Element>,
    receipt: bool,
}

impl Fields {
    fn of(stanza: &Stanza) -> Fields {
        let text = |name| stanza.child(name, ns::CLIENT).map(|e| e.text().into_owned());
        let own = |e: &Element| e.lang().map(str::to_owned).or_else(|| stanza.lang.as_ref().map(ToString::to_string));
        let bodies = stanza.elements().filter(|e| e.is("body", ns::CLIENT));
        Fields {
            from: stanza.from.as_ref().unwrap().to_string(),
            to: stanza.to.as_ref().unwrap().to_string(),
            id: stanza.id.as_ref().map(ToString::to_string),
            lang: stanza.lang.as_ref().map(ToString::to_string),
            bodies: bodies.map(|e| (own(e), e.text().into_owned())).collect(),
            subject: text("subject"),
            thread: text("thread"),
            html: stanza.child("html", ns::XHTML_IM).cloned(),
            receipt: stanza.child("request", RECEIPTS).is_some(),
        }
    }

    fn stanza(&self) -> Stanza {
        let jid = |j: &str| Jid::parse(j).unwrap();
        let mut stanza = Stanza::message().with_from(jid(&self.from)).with_to(jid(&self.to));
        stanza.id = self.id.as_deref().map(Into::into);
        stanza.lang = self.lang.as_deref().map(Into::into);
        for (lang, body) in &self.bodies {
            let body = Element::new("body", ns::CLIENT).with_text(body);
            stanza.push(match lang {
                Some(lang) if *lang != self.lang.clone().unwrap_or_default() => body.with_lang(lang.as_str()),
                _ => body,
            });
        }
        for (name, text) in [("subject", &self.subject), ("thread", &self.thread)] {
            if let Some(text) = text {
                stanza.push(Element::new(name, ns::CLIENT).with_text(text));
            }
        }
        if let Some(html) = &self.html {
            stanza.push(html.clone());
        }
        if self.receipt {
            stanza.push(Element::new("request", RECEIPTS));
        }
        stanza
    }
}

/// What comes out at the other end.
fn reflect(mirror: &mut Mirror, fields: &Fields) -> Fields {
    mirror.stanza(0, fields.stanza());
    let got = std::mem::take(&mut mirror.stanzas[1]);
    assert_eq!(got.len(), 1, "one message comes out; towards its sender came {:?}", mirror.stanzas[0]);
    Fields::of(&got[0])
}

fn html(text: &str) -> Element {
    let strong = Element::new("strong", ns::XHTML).with_text(text);
    let p = Element::new("p", ns::XHTML).with_text("before ").with_child(strong).with_text(" after");
    Element::new("html", ns::XHTML_IM).with_child(Element::new("body", ns::XHTML).with_child(p))
}

fn plain() -> Fields {
    Fields {
        from: "juliet@a.example/balcony".into(),
        to: "romeo@b.example".into(),
        id: Some("m1".into()),
        bodies: BTreeMap::from([(None, "Art thou not Romeo,\nand a Montague?".into())]),
        thread: Some("t1".into()),
        ..Fields::default()
    }
}

#[test]
fn a_plain_message_comes_through() {
    assert_eq!(reflect(&mut Mirror::of_xmpp(), &plain()), plain());
}

#[test]
fn everything_at_once_comes_through() {
    let fields = Fields {
        from: r"d\27artagnan@a.example/salle d'armes №5".into(),
        to: r"tschüss\40home@b.example/wall;x=y".into(),
        id: Some("an id with spaces & <signs>".into()),
        lang: Some("en".into()),
        bodies: BTreeMap::from([
            (Some("en".into()), "Good night".into()),
            (Some("cs".into()), "Dobrou noc".into()),
            (Some("de-CH".into()), "Gute Nacht".into()),
        ]),
        subject: Some("Příklad: \"quoted\", <tagged>".into()),
        thread: Some("a thread, with @ and @".into()),
        html: Some(html("night & <day>")),
        receipt: false,
    };
    assert_eq!(reflect(&mut Mirror::of_xmpp(), &fields), fields);
}

#[test]
fn receipts_go_round() {
    let mut mirror = Mirror::of_xmpp();
    // The gateways speak plainly to each other until one has shown that it knows better: no request, and 200 is the receipt.
    let mut fields = Fields { receipt: true, ..plain() };
    assert!(!reflect(&mut mirror, &fields).receipt);
    let receipt = mirror.stanzas[0].pop().unwrap();
    assert_eq!(receipt.child("received", RECEIPTS).unwrap().attr("id"), Some("m1"));
    // Gateway 1 sends CPIM, so gateway 0 asks in its way, and the receipt is the one of the other user's program.
    let cpim =
        "From: <sip:romeo@b.example>\r\nTo: <sip:juliet@a.example>\r\n\r\nContent-Type: text/plain\r\n\r\nI take thee";
    let teach = format!(
        "MESSAGE sip:juliet@a.example SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.3;branch=z9hG4bKteach\r\nMax-Forwards: 70\r\n\
         From: <sip:romeo@b.example>;tag=1\r\nTo: <sip:juliet@a.example>\r\nCall-ID: teach\r\nCSeq: 1 MESSAGE\r\n\
         Content-Type: message/cpim\r\nContent-Length: {}\r\n\r\n{cpim}",
        cpim.len()
    );
    mirror.sip(0, PLACES[2].into(), &teach.into_bytes().into());
    mirror.run(Duration::from_millis(1));
    mirror.stanzas[0].clear();
    fields.id = Some("m2".into());
    let got = reflect(&mut mirror, &fields);
    assert_eq!(got, fields);
    assert!(mirror.stanzas[0].is_empty(), "no receipt before the other program has sent one");
    let received = Element::new("received", RECEIPTS).with_attr("id", got.id.unwrap());
    let jid = |j| Jid::parse(j).unwrap();
    let back = Stanza::message().with_from(jid("romeo@b.example/orchard")).with_to(jid("juliet@a.example/balcony"));
    mirror.stanza(1, back.with_id("r1").with_child(received));
    let receipt = mirror.stanzas[0].pop().unwrap();
    assert_eq!(receipt.child("received", RECEIPTS).unwrap().attr("id"), Some("m2"));
}

/// One field of SIP on the way SIP -> XMPP -> SIP.
fn sip_round(request: &SipText) -> SipText {
    let mut mirror = Mirror::of_sip();
    mirror.sip(1, PLACES[2].into(), &request.to_bytes().into());
    mirror.run(Duration::from_millis(1));
    let requests = mirror.phone.iter().map(|(_, m)| m).filter(|m| m.request().is_some());
    let [out] = requests.collect::<Vec<_>>()[..] else { panic!("one request comes out, not {:?}", mirror.phone) };
    out.clone()
}

fn message(from: &str, to: &str, branch: &str, call_id: &str, extra: &[(&str, &str)], body: &str) -> SipText {
    let mut headers = vec![
        ("Via", format!("SIP/2.0/TCP 192.0.2.3;branch={branch}")),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<{from}>;tag=1")),
        ("To", format!("<{to}>")),
        ("Call-ID", call_id.to_owned()),
        ("CSeq", "1 MESSAGE".to_owned()),
        ("Content-Type", "text/plain;charset=UTF-8".to_owned()),
    ];
    headers.extend(extra.iter().map(|(n, v)| (*n, (*v).to_owned())));
    let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    SipText { start: format!("MESSAGE {to} SIP/2.0"), headers, body: body.as_bytes().to_vec() }
}

#[test]
fn sip_comes_through_xmpp() {
    let extra = [("Subject", "Příklad"), ("Content-Language", "cs")];
    let (from, to) = ("sip:o'malley%26co@a.example;gr=urn:uuid:f81d4fae", "sip:f%C3%BC@b.example;gr=kjh29x97us97d");
    let out = sip_round(&message(from, to, "z9hG4bK776sgdkse", "a84b4c76e66710@pc33.example", &extra, "jedna\r\ndvě"));
    assert_eq!(out.request().unwrap().1, to);
    assert_eq!(rehearsal::wire::uri_of(out.header("To").unwrap()), to);
    assert_eq!(rehearsal::wire::uri_of(out.header("From").unwrap()), "sip:o'malley&co@a.example;gr=urn:uuid:f81d4fae");
    assert_eq!(out.header("Call-ID"), Some("a84b4c76e66710@pc33.example"));
    assert_eq!((out.header("Subject"), out.header("Content-Language")), (Some("Příklad"), Some("cs")));
    assert!(out.branch().unwrap().ends_with("_z9hG4bK776sgdkse"), "the transaction is named within ours");
    assert_eq!(out.text(), "jedna\r\ndvě");
}

/// Text that XML can hold, without CR (whose line ends are made alike) and not blank at its ends (header values are trimmed).
fn line() -> impl Strategy<Value = String> {
    "[\\PC]{1,30}".prop_filter("blank ends", |s| {
        s.trim() == s
            && !s
                .chars()
                .any(|c| c.is_control() || ('\u{FDD0}'..='\u{FDEF}').contains(&c) || (c as u32) & 0xFFFE == 0xFFFE)
    })
}

fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec("[\\PC\t]{0,40}", 1..4)
        .prop_map(|l| l.join("\n"))
        .prop_filter("empty", |s| !s.is_empty() && s.chars().all(xml::is_xml_char))
}

fn lang() -> impl Strategy<Value = String> {
    "[a-z]{2,3}(-[A-Z]{2})?"
}

/// An address that RFC 7622 allows and that SIP can carry.
fn jid(domain: &'static str) -> impl Strategy<Value = String> {
    let local = prop_oneof![
        "[a-z0-9._~!$*()+,;=?{|}^`#%-]{1,12}",
        "[a-zà-öø-ÿα-ω一-十]{1,8}",
        "[a-z]{1,4}\\\\(20|22|26|27|2f|3a|3c|3e|40|5c20)[a-z]{1,4}"
    ];
    let resource = prop::option::of("[\\PC]{1,20}");
    (local, resource).prop_filter_map("no address", move |(local, resource)| {
        let text = match resource {
            Some(r) => format!("{local}@{domain}/{r}"),
            None => format!("{local}@{domain}"),
        };
        let jid = Jid::parse(&text).ok()?;
        stox::address::to_uri(&jid, stox::address::Scheme::Sip).ok()?;
        // Senders that change their name on servers of the older rules are refused, by design.
        jid.is_stringprep_stable().then(|| jid.to_string())
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    let addresses = (jid("a.example"), jid("b.example"));
    // An id that takes more than 64 bytes in a branch is not carried: a MESSAGE has room for 1300.
    let id = prop_oneof!["[\\PC]{1,5}", "[ -~]{1,21}", "[0-9a-f]{8}-[0-9a-f]{27}"];
    let names = (prop::option::of(id), line(), prop::option::of(line()));
    let texts = (
        prop::option::of(lang()),
        lines(),
        prop::collection::btree_map(lang(), lines(), 0..3),
        prop::option::of(line()),
    );
    (addresses, names, texts).prop_map(|((from, to), (id, thread, subject), (lang, body, more, rich))| {
        let mut bodies: BTreeMap<_, _> = more.into_iter().map(|(l, b)| (Some(l), b)).collect();
        bodies.insert(lang.clone(), body);
        // RFC 5646: languages are the same in any case; two that differ in nothing else are one.
        let html = rich.map(|text| html(&text));
        Fields { from, to, id, lang, bodies, subject, thread: Some(thread), html, receipt: false }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_legal_message_comes_through(fields in fields()) {
        let got = reflect(&mut Mirror::of_xmpp(), &fields);
        // A message without an id gets one, as SIP has always a transaction.
        let mut expected = fields.clone();
        if fields.id.is_none() {
            prop_assert!(got.id.is_some());
            expected.id = got.id.clone();
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn any_legal_request_comes_through(
        user in "[a-z0-9_.!~*'()&=+$,;?/-]{1,10}",
        gr in "[a-z0-9_.!~*'():/&+$-]{1,12}",
        branch in "z9hG4bK[a-zA-Z0-9.!%*_+`'~-]{1,16}",
        call_id in "[a-zA-Z0-9.!%*_+`'~()<>:\\\\\"/\\[\\]?{}-]{1,20}(@[a-z0-9.]{1,10})?",
        subject in prop::option::of(line()),
        language in prop::option::of(lang()),
        body in lines(),
    ) {
        let (from, to) = (format!("sip:{user}@a.example;gr={gr}"), format!("sip:{user}@b.example;gr={gr}"));
        let mut extra = Vec::new();
        extra.extend(subject.as_deref().map(|s| ("Subject", s)));
        extra.extend(language.as_deref().map(|l| ("Content-Language", l)));
        let body = body.replace('\n', "\r\n");
        let out = sip_round(&message(&from, &to, &branch, &call_id, &extra, &body));
        prop_assert_eq!(rehearsal::wire::uri_of(out.header("From").unwrap()), &from);
        prop_assert_eq!(out.request().unwrap().1, &to);
        prop_assert_eq!(out.header("Call-ID"), Some(call_id.as_str()));
        prop_assert_eq!(out.header("Subject"), subject.as_deref());
        prop_assert_eq!(out.header("Content-Language"), language.as_deref());
        prop_assert_eq!(out.text(), body);
    }
}
