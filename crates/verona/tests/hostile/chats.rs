//! What the tests of sessions among enemies share: a world with MSRP, and chats that must go on in it.

use crate::caller::{Call, Caller, Line, OURS, connects, send};
use crate::world::{Heard, SIP_DOMAIN, World, XMPP_DOMAIN, body_of};
use std::sync::atomic::{AtomicUsize, Ordering};
use xml::Element;

/// The XMPP user of all these tests.
pub(crate) const NURSE: &str = "sip:nurse@xmpp.example.com";

/// Lines of `[limits]`, then other tables.
pub(crate) fn limits(limits: &str, msrp: &str, more: &str) -> String {
    format!("{limits}\n[msrp]\nlisten = [\"tcp:127.0.0.1:0\"]\n{msrp}\n{more}")
}

/// A SIP user of this name.
pub(crate) async fn caller(world: &World, user: &str) -> Caller {
    Caller::bind(&format!("sip:{user}@{SIP_DOMAIN}"), world.gateway.udp).await
}

/// The next message for people that the XMPP side gets; states and the like are passed over.
pub(crate) async fn next_text(world: &mut World) -> (String, Element) {
    loop {
        match world.link.next().await {
            Heard::Stanza(e) if e.attr("type") != Some("error") => {
                if let Some(body) = body_of(&e) {
                    return (body, e);
                }
            }
            Heard::Stanza(_) => {}
            heard => panic!("{heard:?} before a text"),
        }
    }
}

/// What XMPP users have been told so far, but for chat states.
pub(crate) fn texts(world: &mut World) -> Vec<String> {
    let stanza = |heard| match heard {
        Heard::Stanza(e) => body_of(&e),
        _ => None,
    };
    world.link.said().into_iter().filter_map(stanza).collect()
}

/// A session of `caller`, in which a first word was said.
pub(crate) async fn opened(world: &mut World, caller: &mut Caller, id: &str) -> (Call, Line) {
    let call = caller.open(id, NURSE, &connects()).await.expect("a session");
    let mut line = call.connect().await;
    line.say(send(&call.path, OURS, "first0word", "hail")).await;
    assert_eq!(line.code("first0word").await, 200);
    assert_eq!(next_text(world).await.0, "hail");
    (call, line)
}

/// A chat of a good user from its first word to its last, both ways.
pub(crate) async fn baseline(world: &mut World, id: &str) {
    let mut peter = caller(world, "peter").await;
    let (mut call, mut line) = opened(world, &mut peter, id).await;
    goes_on(world, &call, &mut line).await;
    assert_eq!(peter.ask(&mut call, "BYE").await, 200);
}

/// An open session serves both ways.
pub(crate) async fn goes_on(world: &mut World, call: &Call, line: &mut Line) {
    // What is said twice under one Message-ID is one message.
    static SAID: AtomicUsize = AtomicUsize::new(0);
    let n = SAID.fetch_add(1, Ordering::Relaxed);
    let (id, said) = (format!("goes0on{n}"), format!("And stint thou too {n}"));
    line.say(send(&call.path, OURS, &id, &said)).await;
    assert_eq!(line.code(&id).await, 200, "{}", call.id);
    let (text, stanza) = next_text(world).await;
    assert_eq!(text, said);
    let to = stanza.attr("from").unwrap();
    world.link.say(format!(
        "<message type='chat' from='nurse@{XMPP_DOMAIN}/b' to='{to}'><body>Peace</body><thread>{}</thread></message>",
        call.id
    ));
    assert_eq!(line.hear().await, "Peace", "{}", call.id);
}
