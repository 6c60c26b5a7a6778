//! `cpim`: each as the body of a MESSAGE.

use crate::table::{Outcome, cases, corpus};
use crate::world::{World, XMPP_DOMAIN, body_of, message};

/// What must become of each: the status, and the body of the one stanza or no stanza.
const CASES: &[(&str, u16, Option<&str>)] = &[
    ("ok", 200, Some("Hi")),
    // RFC 3862 §4.5: what Require names must be understood.
    ("ok-ns", 415, None),
    ("ok-lang", 200, Some("Hi")),
    ("ok-utf8", 200, Some("café 😀")),
    // Whatever From and To say inside: the stanza is from the SIP sender, to the SIP recipient.
    ("spoof-from", 200, Some("Hi")),
    ("spoof-room-nick", 200, Some("Hi")),
    ("no-to", 200, Some("Hi")),
    ("to-list-1000", 200, Some("Hi")),
    ("cc", 200, Some("Hi")),
    ("empty", 400, None),
    ("hdr-fold", 400, None),
    ("hdr-bare-cr", 400, None),
    ("hdr-escape-bad", 200, Some("Hi")),
    ("hdr-escape-u", 200, Some("Hi")),
    ("ns-unbound", 200, Some("Hi")),
    ("ns-rebind", 400, None),
    ("datetime-bad", 200, Some("Hi")),
    ("ct-missing", 400, None),
    ("cte-base64", 200, Some("Hi")),
    ("cte-bad", 400, None),
    ("imdn-stray", 200, Some("Hi")),
    // A report about a message that nobody sent: nothing to tell anybody.
    ("imdn-loop", 200, None),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpim_bodies_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut world = World::start(XMPP_DOMAIN, "").await;
    let mut problems = Vec::new();
    for case in cases(&corpus.join("cpim")) {
        let mut request = message("romeo", "sip:juliet@xmpp.example.com", &[("Content-Type", "message/cpim")], "");
        request.body.clone_from(&case.bytes);
        let response = world.phone.request(world.gateway.udp, request).await.unwrap();
        let seen = Outcome::Code(response.status().unwrap());
        let stanzas = world.baseline_from_sip(false).await;
        let to_sip = world.baseline_from_xmpp().await;
        let wanted = CASES.iter().find(|(name, ..)| *name == case.name);
        let bodies: Vec<_> = stanzas.iter().filter_map(body_of).collect();
        let want = wanted
            .map(|(_, code, body)| (Outcome::Code(*code), body.iter().map(|b| (*b).to_owned()).collect::<Vec<_>>()));
        if want.as_ref().is_none_or(|(code, body)| (*code, body) != (seen, &bodies)) {
            problems.push(format!("{}: {seen} {bodies:?}; expect: {}", case.name, case.row.get("expect")));
        }
        for stanza in &stanzas {
            let subject =
                stanza.child("subject", "jabber:component:accept").map(|s| s.text().into_owned()).unwrap_or_default();
            if subject.contains(['\0', '\r', '\n']) || stanza.elements().any(|e| e.name == "delay") {
                problems.push(format!("{}: {stanza:?}", case.name));
            }
            if stanza.attr("from") != Some("romeo@sip.example.net")
                || stanza.attr("to") != Some("juliet@xmpp.example.com")
            {
                problems.push(format!("{}: {stanza:?}", case.name));
            }
        }
        if !to_sip.is_empty() || stanzas.len() > 1 {
            problems.push(format!("{}: {to_sip:?} {stanzas:?}", case.name));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
