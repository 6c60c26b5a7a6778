//! `cpim`: each as the body of a MESSAGE.

use crate::table::{Outcome, cases, corpus};
use crate::world::{World, XMPP_DOMAIN, body_of, message};

/// What must become of each: the status, and the body of the one stanza or no stanza.
const CASES: &[(&str, u16, Option<&str>)] = &[
    ("ok", 200, Some("Hi")),
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
        let want = wanted.map(|(_, code, body)| (Outcome::Code(*code), body.iter().map(|b| (*b).to_owned()).collect::<Vec<_>>()));
        if want.as_ref().is_none_or(|(code, body)| (*code, body) != (seen, &bodies)) {
            problems.push(format!("{}: {seen} {bodies:?}; expect: {}", case.name, case.row.get("expect")));
        }
        for stanza in &stanzas {
            if stanza.attr("from") != Some("romeo@sip.example.net") || stanza.attr("to") != Some("juliet@xmpp.example.com") {
                problems.push(format!("{}: {stanza:?}", case.name));
            }
        }
        if !to_sip.is_empty() || stanzas.len() > 1 {
            problems.push(format!("{}: {to_sip:?} {stanzas:?}", case.name));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
