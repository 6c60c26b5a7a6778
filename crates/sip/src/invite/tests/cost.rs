//! What a session takes.

use super::*;

/// The bytes of a text that do not stand in the text's own place.
fn heap(text: &Str) -> usize {
    if text.is_heap_allocated() { text.capacity() } else { 0 }
}

/// What a session takes, with its part of the tables (at seven eighths, the least that they are ever filled to being half of that) and of
/// the queue.
fn weight(engine: &Sessions, id: SessionId) -> usize {
    let entry = engine.entries.get(&id).expect("a session");
    assert!(entry.call.is_none() && entry.theirs.is_none() && entry.change.is_none() && entry.farewell.is_none());
    let dialog = &entry.dialog;
    let texts = [
        &entry.contact,
        &dialog.call_id,
        &dialog.local_uri,
        &dialog.local_tag,
        &dialog.remote_uri,
        &dialog.remote_tag,
        &dialog.remote_target(),
    ];
    let routes: usize = dialog.route_set.iter().map(|route| size_of::<Str>() + heap(route)).sum();
    let own = entry.own.as_ref().map_or(0, |own| size_of::<Body>() + own.content.len() + heap(&own.content_type));
    let slot = size_of::<(SessionId, Box<Entry>)>() + size_of::<(u128, SessionId)>() + 2;
    let queue = 2 * size_of::<(Time, Due)>();
    size_of::<Entry>() + texts.into_iter().map(heap).sum::<usize>() + routes + own + slot * 16 / 7 + queue
}

/// A live session takes well under 2.5 KiB, whoever began it, and with a description of 800 bytes to repeat.
#[test]
fn a_session_is_small() {
    let mut desk = Desk::new();
    let description = "x".repeat(800);
    let long = |text: &str| {
        text.replace(
            "<sip:romeo@example.net>;tag=r",
            "\"Romeo Montague of Verona\" <sip:romeo.montague@sip.example.net>;tag=49583afe12",
        )
        .replace("c@example.net", "NzMwYzU4ZGQ4OGJkYTI3ZjQzNzY1MzQ4ZDk4@192.0.2.1")
        .replace(
            "romeo@192.0.2.1:5070>",
            "romeo@192.0.2.1:5070;transport=tcp;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>",
        )
    };
    let routes = "Record-Route: <sip:192.0.2.7;lr;ftag=49583afe12>, <sip:edge.example.net;transport=tcp;lr>\n";
    let theirs = desk.receive(&long(&romeo("INVITE", "", 1, routes, "offer"))).id();
    let ok = desk.act(|engine, ground| engine.accept(ground, theirs, Vec::new(), body(&description)));
    let tag = tag(&ok.one("SIP/2.0 200"), "To");
    assert_eq!(desk.receive(&long(&romeo("ACK", &tag, 1, "", ""))).summary(), ["confirmed"]);
    let (ours, invite) = desk.calling(&description);
    let ok = long(&answer(&invite, 200, "49583afe12", &format!("{ABLE}{routes}"), "answer")).replace("UPDATE, ", "");
    assert_eq!(desk.receive(&ok).summary(), ["ACK", "established answer"]);
    desk.wait(40.0);
    let weights = (weight(&desk.engine, theirs), weight(&desk.engine, ours));
    assert!(desk.engine.tails.is_empty() && desk.engine.servers.is_empty() && desk.engine.clients.is_empty());
    assert!(weights.0 < 2300 && weights.1 < 2300, "{weights:?} bytes");
}
