//! `pidf`: each as the body of a NOTIFY in a subscription of Juliet's to Romeo.

use crate::table::{Outcome, cases, corpus};
use crate::world::{Heard, PATIENCE, SIP_DOMAIN, World, XMPP_DOMAIN};
use rehearsal::wire::SipText;
use xml::Element;

/// What must become of each: the status of the NOTIFY, and of each presence that comes of it the resource and what else matters.
const CASES: &[(&str, u16, &[&str])] = &[
    ("ok-open", 200, &["/t1 available"]),
    ("ok-closed", 200, &["/t1 unavailable"]),
    ("ok-show", 200, &["/t1 available away x"]),
    ("ok-two-tuples", 200, &["/a available", "/b unavailable"]),
    // No tuple says nothing of anybody; what was available before would be gone.
    ("ok-no-tuple", 200, &[]),
    ("ok-unknown-ns", 200, &["/t available"]),
    ("spoof-entity", 200, &[]),
    ("ns-missing", 400, &[]),
    ("ns-wrong", 400, &[]),
    ("empty", 200, &[]),
    ("doctype", 400, &[]),
    ("billion", 400, &[]),
    ("xxe", 400, &[]),
    ("comment", 200, &["/t available"]),
    ("pi", 200, &["/t available"]),
    // It is read, and has no tuple.
    ("latin1", 200, &[]),
    ("basic-two", 200, &[]),
    ("basic-empty", 200, &[]),
    ("tuple-id-dup", 200, &["/t available"]),
    ("tuple-id-odd", 200, &["/761988257087c974 available"]),
    ("tuple-id-2000", 200, &["/4b97630b55e9baea available"]),
    ("prio-nan", 200, &["/t available"]),
    ("note-xml", 200, &["/t available </status><x/>"]),
    // Longer than a SIP message may be.
    ("deep", 513, &[]),
    ("rpid-leak", 200, &["/t available"]),
];

/// A subscription that Romeo has approved: its dialog, as far as a NOTIFY must know it.
struct Watched {
    contact: String,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
}

impl Watched {
    /// Juliet subscribes, and Romeo's first NOTIFY is an empty one.
    async fn begin(world: &mut World, n: usize) -> Watched {
        let (juliet, romeo) = (format!("juliet{n}@{XMPP_DOMAIN}"), format!("romeo@{SIP_DOMAIN}"));
        world.link.say(format!("<presence type='subscribe' from='{juliet}' to='{romeo}'/>"));
        let subscribe = world.phone.next(PATIENCE).await.expect("a SUBSCRIBE");
        assert!(subscribe.start.starts_with("SUBSCRIBE "), "{subscribe}");
        let header = |name| subscribe.header(name).unwrap_or_else(|| panic!("no {name}: {subscribe}")).to_owned();
        let contact = header("Contact").trim_matches(['<', '>']).to_owned();
        let from = format!("{};tag=romeo", header("To"));
        let mut watched = Watched { contact, from, to: header("From"), call_id: header("Call-ID"), cseq: 0 };
        let response = watched.notify(world, b"").await;
        assert_eq!(response.status(), Some(200), "{response}");
        watched
    }

    async fn notify(&mut self, world: &World, body: &[u8]) -> SipText {
        self.cseq += 1;
        let mut headers = vec![
            ("From", self.from.clone()),
            ("To", self.to.clone()),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{} NOTIFY", self.cseq)),
            ("Event", "presence".to_owned()),
            ("Subscription-State", "active;expires=3600".to_owned()),
            ("Contact", format!("<sip:romeo@{}>", world.phone.address())),
        ];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/pidf+xml".to_owned()));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let notify = SipText { start: format!("NOTIFY {} SIP/2.0", self.contact), headers, body: body.to_vec() };
        let answer = match body.len() {
            ..60_000 => world.phone.request(world.gateway.udp, notify).await,
            _ => world.phone.request_tcp(world.gateway.tcp, notify).await,
        };
        answer.expect("an answer")
    }
}

/// A presence stanza in a line.
fn line(stanza: &Element) -> String {
    let child = |name: &str| stanza.child(name, "jabber:component:accept").map(|e| format!(" {}", e.text()));
    let from = stanza.attr("from").unwrap_or_default();
    let resource = from.strip_prefix(&format!("romeo@{SIP_DOMAIN}")).unwrap_or(from);
    let type_ = stanza.attr("type").unwrap_or("available");
    format!("{resource} {type_}{}{}", child("show").unwrap_or_default(), child("status").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_documents_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut world = World::start(XMPP_DOMAIN, "").await;
    let mut problems = Vec::new();
    for (n, case) in cases(&corpus.join("pidf")).iter().enumerate() {
        let mut watched = Watched::begin(&mut world, n).await;
        let subscribed = world.link.next().await;
        assert!(matches!(&subscribed, Heard::Stanza(e) if e.attr("type") == Some("subscribed")), "{subscribed:?}");
        let response = watched.notify(&world, &case.bytes).await;
        let seen = Outcome::Code(response.status().unwrap());
        let stanzas = world.baseline_from_sip(false).await;
        let lines: Vec<String> = stanzas.iter().map(line).collect();
        match CASES.iter().find(|(name, ..)| *name == case.name) {
            Some((_, code, wanted)) if Outcome::Code(*code) == seen && lines == *wanted => {}
            _ => problems.push(format!("{}: {seen} {lines:?}; expect: {}", case.name, case.row.get("expect"))),
        }
        for stanza in &stanzas {
            let to = stanza.attr("to").unwrap_or_default();
            let from = stanza.attr("from").unwrap_or_default();
            let resource = from.split_once('/').map_or("", |(_, resource)| resource);
            if to != format!("juliet{n}@{XMPP_DOMAIN}") || resource.len() > 1023 || resource.contains(char::is_control)
            {
                problems.push(format!("{}: {stanza:?}", case.name));
            }
        }
        world.baseline_from_xmpp().await.iter().for_each(|r| problems.push(format!("{}: to SIP: {r}", case.name)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
