//! What a storm asks for, and what a subscription takes.

use super::*;

/// Ten thousand watchers refresh within one second: all are granted and notified, and the agent remembers every answer by its form. A
/// SUBSCRIBE that comes again gets the very same answer.
#[test]
fn ten_thousand_refreshes_in_a_second() {
    const WATCHERS: u32 = 10_000;
    let mut desk = Desk::on(8192, Config { max_per_source: 100_000, ..config() });
    let name = |text: String, n: u32| {
        let text = text
            .replace("juliet@", &format!("contact{}@", n % 700))
            .replace("c@example.net", &format!("c{n}@example.net"));
        text.replace("bKs", &format!("bK{n}s")).replace("Event:", "Record-Route: <sip:192.0.2.7;lr>\nEvent:")
    };
    let mut tags = Vec::new();
    let answered = |desk: &mut Desk, told: &Told| desk.receive(&response(&told.notify(), 200, "", ""));
    for n in 0..WATCHERS {
        let (id, server) = desk.receive(&name(subscribe("", 1, 3600), n)).watch();
        let told = desk.act(|engine, ground| engine.accept(ground, id, server, 3600));
        tags.push(tag(&told.notify(), "From"));
        answered(&mut desk, &told);
    }
    let start = desk.now;
    let mut answers = Vec::new();
    let mut open = Vec::new();
    for n in 0..WATCHERS {
        desk.now = start + Duration::from_micros(u64::from(n) * 100);
        let text = name(subscribe(&tags[n as usize], 2, 1800 + n % 1000), n);
        // A second copy comes before the answer, and is absorbed.
        let (id, server) = desk.receive(&text).watch();
        assert_eq!(desk.receive(&text).summary(), [""; 0]);
        let told = desk.act(|engine, ground| engine.accept(ground, id, server, 3600));
        if n % 97 == 0 {
            answers.push((text, told.response()));
        }
        open.push(told);
        // The answers to the NOTIFYs take a tenth of a second.
        if n >= 1000 {
            let told = open.remove(0);
            answered(&mut desk, &told);
        }
    }
    for told in std::mem::take(&mut open) {
        answered(&mut desk, &told);
    }
    let after = desk.agent.counts();
    assert_eq!((after.overload, desk.engine.counts().overload, desk.engine.counts().outstanding), (0, 0, 0));
    assert_eq!(desk.engine.counts().notifies_out, 2 * u64::from(WATCHERS));
    let each = after.remembered_bytes as f64 / f64::from(2 * WATCHERS);
    assert!(each < 40.0, "{each} bytes for each answer");
    for (text, answer) in answers {
        assert_eq!(desk.receive(&text).response(), answer);
    }
}

/// The bytes of a text that do not stand in the text's own place.
fn heap(text: &Str) -> usize {
    if text.is_heap_allocated() { text.capacity() } else { 0 }
}

/// What a usage takes, with its part of the tables (at seven eighths, the least that they are ever filled to being half of that) and of
/// the queue. The example `usages` measures the same from outside.
fn weight(engine: &Subscriptions, id: UsageId) -> usize {
    let entry = engine.usages.get(&id).expect("a usage");
    let dialog = &entry.dialog;
    let target = dialog.remote_target();
    let texts = [
        &entry.contact,
        &dialog.call_id,
        &dialog.local_uri,
        &dialog.local_tag,
        &dialog.remote_uri,
        &dialog.remote_tag,
        &target,
    ];
    let routes: usize = dialog.route_set.iter().map(|route| size_of::<Str>() + heap(route)).sum();
    let slot = size_of::<(UsageId, Box<Entry>)>() + size_of::<(u128, UsageId)>() + 2;
    let queue = 2 * size_of::<(Time, UsageId)>();
    size_of::<Entry>() + texts.into_iter().map(heap).sum::<usize>() + routes + slot * 16 / 7 + queue
}

/// A live subscription takes well under 2.5 KiB, in either role.
#[test]
fn a_usage_is_small() {
    let mut desk = Desk::new();
    let text = subscribe("", 1, 3600)
        .replace(
            "<sip:romeo@example.net>;tag=r",
            "\"Romeo Montague of Verona\" <sip:romeo.montague@sip.example.net>;tag=49583afe12",
        )
        .replace("c@example.net", "NzMwYzU4ZGQ4OGJkYTI3ZjQzNzY1MzQ4ZDk4@192.0.2.1")
        .replace(
            "romeo@192.0.2.1:5070",
            "romeo@192.0.2.1:5070;transport=tcp;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        )
        .replace(
            "Event:",
            "Record-Route: <sip:192.0.2.7;lr;ftag=49583afe12>, <sip:edge.example.net;transport=tcp;lr>\nEvent:",
        );
    let (id, server) = desk.receive(&text).watch();
    let notify = desk.act(|engine, ground| engine.accept(ground, id, server, 3600)).notify();
    desk.receive(&response(&notify, 200, "", ""));
    let notifier = weight(&desk.engine, id);
    let mut id = None;
    let sent = desk.act(|engine, ground| id = engine.subscribe(ground, wish(3600)).ok()).subscribe();
    desk.receive(&notify_for(&sent, "p", 1, "active;expires=3600"));
    let subscriber = weight(&desk.engine, id.expect("a usage"));
    assert!(notifier < 1500 && subscriber < 1300, "{notifier} and {subscriber} bytes");
}
