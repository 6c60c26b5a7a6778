//! Two shards, twenty pairs, both directions at once: each pair's messages in their order, each once.

use crate::rig::{PATIENCE, SILENCE, Settings, World, body, message};
use crate::tcp::{Wire, text};
use std::collections::BTreeMap;

const PAIRS: usize = 20;
const EACH: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_each_way() {
    let settings = Settings { keys: "limits.shards = 2".to_owned(), ..Settings::default() };
    let mut world = World::new("order", &settings).await;
    // From SIP: a connection for each pair, all messages at once, then their answers.
    let mut senders = tokio::task::JoinSet::new();
    for pair in 0..PAIRS {
        let sip = world.sip;
        senders.spawn(async move {
            let mut wire = Wire::new(sip).await;
            let (from, to) = (format!("sip:romeo{pair}@example.net"), format!("sip:juliet{pair}@example.com"));
            let all: Vec<u8> =
                (0..EACH).flat_map(|n| text(&from, &to, &format!("p{pair}n{n}"), &n.to_string())).collect();
            wire.send(&all).await;
            for _ in 0..EACH {
                assert_eq!(wire.message().await.status(), Some(200));
            }
        });
    }
    // From XMPP: in turns.
    for n in 0..EACH {
        for pair in 0..PAIRS {
            let (from, to) = (format!("juliet{pair}@example.com/balcony"), format!("romeo{pair}@example.net"));
            world.server.send(message(&from, &to, &format!("p{pair}n{n}"), &n.to_string()));
        }
    }
    let expected: Vec<String> = (0..EACH).map(|n| n.to_string()).collect();
    let mut at_xmpp: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut at_sip: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..PAIRS * EACH {
        let stanza = world.server.next(PATIENCE).await.unwrap();
        assert!(!stanza.is_error(), "{stanza:?}");
        let (from, to) = (stanza.from.as_ref().unwrap(), stanza.to.as_ref().unwrap());
        at_xmpp.entry(format!("{from} {to}")).or_default().push(body(&stanza));
        let request = world.phone.next(PATIENCE).await.unwrap();
        let from = rehearsal::wire::user_of(request.header("From").unwrap()).unwrap().to_owned();
        at_sip.entry(format!("{from} {}", request.addressee().unwrap())).or_default().push(request.text());
    }
    for pair in 0..PAIRS {
        assert_eq!(at_xmpp[&format!("romeo{pair}@example.net juliet{pair}@example.com")], expected);
        assert_eq!(at_sip[&format!("juliet{pair} romeo{pair}")], expected);
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    assert_eq!((world.server.next(SILENCE).await, world.phone.next(SILENCE).await), (None, None));
}
