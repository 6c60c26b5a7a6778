//! What a session takes.

use super::*;

/// The bytes of a text that do not stand in the text's own place.
fn heap(text: &str) -> usize {
    if text.len() > 24 { text.len().next_multiple_of(16) } else { 0 }
}

/// What a session takes, with its part of the tables (at seven eighths, the least that they are ever filled to being half of that) and of
/// the sets.
fn weight(agent: &Agent, id: SessionId) -> usize {
    let session = agent.sessions.get(&id).expect("a session");
    let Session { outbox, inbox, early, login, .. } = session.as_ref();
    assert!(early.capacity() == 0 && login.is_none() && inbox.partial.capacity() == 0);
    let slots = size_of::<(SessionId, Box<Session>)>() + size_of::<(u128, SessionId)>() + 2;
    let sets = 2 * (size_of::<(ConnectionId, SessionId)>() + size_of::<(Time, SessionId)>());
    let texts = heap(session.own.as_str()) + heap(session.peer.as_ref().unwrap().as_str());
    let queues = outbox.messages.capacity() * size_of::<session::Outbound>()
        + outbox.transactions.capacity() * size_of::<session::Transaction>()
        + outbox.awaited.capacity() * size_of::<session::Awaited>()
        + inbox.held.capacity() * size_of::<session::Held>()
        + (outbox.told.capacity() + inbox.seen.capacity()) * size_of::<u64>();
    size_of::<Session>() + slots * 16 / 7 + sets + texts + queues
}

/// A session is well under 1.5 KiB, before it has seen a message and after it has seen a thousand.
#[test]
fn an_idle_session_is_small() {
    let mut desk = Desk::up(config());
    let fresh = weight(&desk.agent, desk.id);
    for n in 0..1000u32 {
        let text = desk.send("tida", "m123", "", Some(&format!("message {n}")), '$');
        desk.receive(&text);
        assert_eq!(desk.respond(2 * n + 1, 200).len(), 1);
        let chunked = desk.send("tidb", "m124", "", Some("x"), '+')
            + &desk.send("tidc", "m124", "Byte-Range: 2-*/*\r\n", Some(&format!("yz{n}")), '$');
        desk.receive(&chunked);
        assert_eq!(desk.respond(2 * n + 2, 200).len(), 1);
        let (sent, _) = desk.say(Outgoing { success_report: n % 2 == 0, ..message(&"x".repeat(3000)) });
        desk.answer_all(200);
        desk.report(&sent, "1-3000/3000", "000 200 OK");
    }
    let used = weight(&desk.agent, desk.id);
    assert!(fresh < 900 && used < 1500, "{fresh} and {used} bytes");
    desk.wait(1000);
    assert_eq!(desk.agent.deadline(), None, "an idle session waits for nothing");
}
