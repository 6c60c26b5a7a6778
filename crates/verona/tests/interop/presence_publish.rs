//! Presence that is published (RFC 3903): from a client's roster at Prosody to Kamailio as presence agent, and to one that is strict about
//! every byte.

use crate::presence::{A_WHILE, quick};
use crate::presence_watched::has;
use crate::world::{BINARY, SOON, World};
use rehearsal::peers::{Gateway, Kamailio, Place, Prosody, Settings, SipDialog, SipPhone, XmppClient, json, until};
use std::net::SocketAddr;
use std::time::Duration;

const GATEWAY: &str = "example.net";

/// The client sees the gateway and lets it see itself.
fn agree(client: &mut XmppClient) {
    client.send_raw(&format!("<presence to='{GATEWAY}' type='subscribe'/>"));
    client.presence(SOON, "subscribed", GATEWAY);
    client.presence(SOON, "subscribe", GATEWAY);
    client.send_raw(&format!("<presence to='{GATEWAY}' type='subscribed'/>"));
}

/// The phone watches juliet at the presence agent.
fn watch(phone: &mut SipPhone, agent: SocketAddr) -> SipDialog {
    let (dialog, answer) = SipDialog::watch(phone, agent, "sip:nurse@example.net", "sip:juliet@example.com", 600);
    dialog.ok_or(answer.raw).expect("the agent takes the SUBSCRIBE")
}

/// What a client says is seen by who watches it at the presence agent, for longer than one publication lives, and until it goes.
#[test]
fn kamailio_shows_what_the_gateway_publishes() {
    let place = Place::new("presence-publish");
    let prosody = Prosody::start(&place, &[GATEWAY]);
    let (sip, proxy) = (place.free(), place.free());
    let mut kamailio = Kamailio::granting(&place, proxy, sip, Duration::from_secs(2), 10);
    let mut settings = Settings::new(&prosody, proxy);
    quick(&mut settings);
    settings.more_sip = "publish = true".to_owned();
    let _gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    agree(&mut juliet);
    let published =
        |kamailio: &mut Kamailio| kamailio.process().log().matches("PUBLISH sip:juliet@example.com").count();
    until("it is published", SOON, || published(&mut kamailio) >= 1);

    let mut nurse = SipPhone::listen(&place, "nurse", place.free());
    let first = watch(&mut nurse, proxy);
    first.told(&mut nurse, SOON, "active", |body| has(body, "balcony"));
    juliet.send_raw("<presence><show>dnd</show><status>Wherefore?</status></presence>");
    first.told(&mut nurse, SOON, "active", |body| body.contains("dnd") && body.contains("Wherefore?"));
    // Kamailio grants 10 s: refreshes keep it there, under one name. (Without a database Kamailio 5.6 keeps the publication at a refresh and
    // loses its document, so what is there is seen by the next change.)
    until("it is refreshed", 3 * SOON, || published(&mut kamailio) >= 4);
    let second = watch(&mut nurse, proxy);
    juliet.send_raw("<presence><show>xa</show></presence>");
    let got = second.told(&mut nurse, SOON, "active", |body| body.contains("xa"));
    let body = got.body.unwrap_or_default();
    assert!(has(&body, "balcony") && body.matches("<tuple").count() == 1, "{body}");
    // She goes: it is taken back, which Kamailio tells by closing what there was.
    juliet.disconnect();
    second.told(&mut nurse, SOON, "active", |body| body.contains("closed") && !body.contains("open"));
    assert!(kamailio.process().log().contains("expires 0"));
}

/// Every byte is legal, and nothing is published of who has not agreed.
#[test]
fn a_publication_is_legal() {
    let (world, mut agent) = World::with("presence-publish-legal", |settings| {
        quick(settings);
        settings.more_sip = "publish = true".to_owned();
    });
    agent.order_answer(json!({"code": 200, "headers": [["SIP-ETag", "a1"], ["Expires", "3600"]]}));
    let mut juliet = world.client("juliet", "balcony");
    juliet.send_raw(&format!("<presence to='{GATEWAY}'/>"));
    agent.no_request(A_WHILE, |_| true);
    agree(&mut juliet);
    let first = agent.request(SOON, |r| r.method.as_deref() == Some("PUBLISH"));
    assert_eq!((first.header("Event"), first.header("SIP-If-Match")), ("presence", ""), "{}", first.raw);
    assert!(has(first.body.as_deref().unwrap_or_default(), "balcony"), "{}", first.raw);
    juliet.disconnect();
    let last = agent.request(SOON, |r| r.method.as_deref() == Some("PUBLISH") && r.header("Expires") == "0");
    assert_eq!((last.header("SIP-If-Match"), last.body.as_deref().unwrap_or_default()), ("a1", ""), "{}", last.raw);
}
