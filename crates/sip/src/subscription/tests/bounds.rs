//! Everything is bounded, and says what happens at the bound.

use super::*;

fn from(call: u32) -> String {
    subscribe("", 1, 3600)
        .replace("c@example.net", &format!("c{call}@example.net"))
        .replace("bKs1", &format!("bKs{call}"))
}

#[test]
fn more_usages_than_there_may_be() {
    let mut desk = Desk::with(Config { max_usages: 3, max_per_source: 2, ..config() });
    let mut ids = Vec::new();
    for call in 0..2 {
        ids.push(desk.receive(&from(call)).watch());
    }
    // One address has its share.
    let told = desk.receive(&from(2));
    assert!(told.response().starts_with("SIP/2.0 503 ") && told.events.is_empty());
    assert_eq!(header(&told.response(), "Retry-After"), "30");
    desk.from = address("192.0.2.99:5070");
    desk.receive(&from(3)).watch();
    desk.from = address("192.0.2.98:5070");
    desk.engine.reconfigure(&Config { max_usages: 3, max_per_source: 2, retry_after: 60, ..config() });
    let told = desk.receive(&from(4));
    assert_eq!(header(&told.response(), "Retry-After"), "60");
    desk.act(|engine, ground| assert_eq!(engine.subscribe(ground, wish(60)).err(), Some(Refused::Full)));
    assert_eq!(desk.engine.counts().overload, 2);
    // What ends gives its share back.
    let (id, server) = ids[0];
    desk.act(|engine, ground| engine.refuse(ground, id, server, Response::new(403, "")));
    desk.from = address("192.0.2.1:5070");
    desk.receive(&from(5)).watch();
}

#[test]
fn more_unanswered_than_there_may_be() {
    let mut desk = Desk::new();
    let (_, notify) = desk.watched();
    let tag = tag(&notify, "From");
    for cseq in 2..6 {
        desk.receive(&subscribe(&tag, cseq, 600)).watch();
    }
    let told = desk.receive(&subscribe(&tag, 6, 600));
    assert!(told.response().starts_with("SIP/2.0 503 ") && told.events.is_empty());
}

/// Of a thousand that all want to send, so many do at once; the others wait in line, and none is passed over.
#[test]
fn the_window_is_fair() {
    let mut desk = Desk::with(Config { max_outstanding: 3, ..config() });
    let mut order = Vec::new();
    let mut open = Vec::new();
    for call in 0..40 {
        let (id, server) = desk.receive(&from(call)).watch();
        let told = desk.act(|engine, ground| engine.accept(ground, id, server, 3600));
        open.extend(told.sent.iter().map(|(_, text)| text.clone()).filter(|text| text.starts_with("NOTIFY")));
    }
    assert_eq!((desk.engine.counts().outstanding, desk.engine.counts().waiting), (3, 37));
    while let Some(notify) = (!open.is_empty()).then(|| open.remove(0)) {
        order.push(header(&notify, "Call-ID").to_owned());
        let told = desk.receive(&response(&notify, 200, "", ""));
        open.extend(told.sent.iter().map(|(_, text)| text.clone()).filter(|text| text.starts_with("NOTIFY")));
        assert!(open.len() <= 3);
    }
    let all: Vec<String> = (0..40).map(|call| format!("c{call}@example.net")).collect();
    assert_eq!(order, all);
    assert_eq!((desk.engine.counts().outstanding, desk.engine.counts().waiting), (0, 0));
}

/// Both roles share the window; a SUBSCRIBE that finds room late goes out with the next deadline, which is at once.
#[test]
fn a_subscribe_waits_in_line() {
    let mut desk = Desk::with(Config { max_outstanding: 1, ..config() });
    let (id, notify) = desk.watched();
    let told = desk.act(|engine, ground| engine.subscribe(ground, wish(3600)));
    assert_eq!(told.summary(), [""; 0]);
    desk.engine.forget(id);
    assert_eq!(desk.engine.deadline(), Some(desk.now));
    desk.drain().subscribe();
    assert_eq!(desk.engine.counts().outstanding, 1);
    let told = desk.act(|engine, ground| engine.subscribe(ground, wish(3600)));
    assert_eq!(told.summary(), [""; 0]);
    assert!(notify.starts_with("NOTIFY"));
    // What still waits for its first SUBSCRIBE ends without a word.
    let last = UsageId(3);
    assert_eq!(desk.act(|engine, ground| engine.unsubscribe(ground, last)).names(), ["ended"]);
    assert_eq!(desk.engine.counts().waiting, 0);
}

/// The agent has its own bound: whoever runs into it is sent a moment later.
#[test]
fn a_full_agent_is_waited_for() {
    let mut desk = Desk::on(1, config());
    let (_, notify) = desk.watched();
    let (id, server) = desk.receive(&from(7)).watch();
    let told = desk.act(|engine, ground| engine.accept(ground, id, server, 3600));
    assert_eq!(told.summary(), ["SIP/2.0 200 OK", "save"]);
    assert_eq!((desk.engine.counts().outstanding, desk.engine.counts().waiting), (1, 1));
    assert_eq!(desk.wait(1.1).summary(), [""; 0]);
    desk.receive(&response(&notify, 200, "", ""));
    let second = desk.wait(0.5).notify();
    let told = desk.act(|engine, ground| engine.subscribe(ground, wish(3600)));
    assert_eq!(told.summary(), [""; 0]);
    assert_eq!(desk.wait(1.1).summary(), [""; 0]);
    desk.receive(&response(&second, 200, "", ""));
    desk.wait(0.5).subscribe();
}

/// A subscription for a day that ends in a second leaves nothing behind, not even a deadline.
#[test]
fn nothing_is_left() {
    let mut desk = Desk::new();
    for cseq in 1..200 {
        let text = subscribe("", cseq, 86_400);
        let (id, server) = desk.receive(&text).watch();
        let notify = desk.act(|engine, ground| engine.accept(ground, id, server, 86_400)).notify();
        desk.receive(&response(&notify, 481, "", ""));
    }
    assert_eq!((desk.engine.len(), desk.engine.deadline(), desk.engine.due.len()), (0, None, 0));
    assert!(desk.engine.dialogs.is_empty() && desk.engine.clients.is_empty() && desk.engine.servers.is_empty());
    assert!(desk.engine.sources.is_empty() && desk.engine.line.is_empty());
}
