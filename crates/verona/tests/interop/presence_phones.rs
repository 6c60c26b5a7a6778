//! Presence with phones that people use: baresip and linphonec, as the one who watches and as the one who is watched.

use crate::presence::{A_WHILE, ROMEO, quick, roster, send};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Baresip, Gateway, Linphone, Place, Prosody, Settings, XmppClient};

#[test]
fn baresip_watches_and_is_watched() {
    let place = Place::new("presence-baresip");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let mut settings = Settings::new(&prosody, at);
    quick(&mut settings);
    let gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let account =
        format!("<sip:romeo@example.net;transport=udp>;regint=0;outbound=\"sip:{};transport=udp\"", gateway.sip());
    let mut romeo = Baresip::watching(&place, at, &account, "sip:juliet@example.com");

    // It asks as soon as it is there, and knows nothing before she says yes.
    juliet.presence(SOON, "subscribe", ROMEO);
    romeo.wait_contact("Unknown", SOON);
    send(&mut juliet, "subscribed");
    romeo.wait_contact("Online", SOON);
    juliet.send_raw("<presence type='unavailable'/>");
    romeo.wait_contact("Offline", SOON);
    juliet.send_raw("<presence><show>dnd</show></presence>");
    romeo.wait_contact("Busy", SOON);
    juliet.send_raw("<presence/>");
    romeo.wait_contact("Online", SOON);

    // She asks; it says yes to everybody.
    send(&mut juliet, "subscribe");
    juliet.presence(SOON, "subscribed", ROMEO);
    assert_eq!(roster(&mut juliet), "both");
    juliet.presences();
    for _ in 0..2 {
        romeo.command("presence_offline", "");
        juliet.presence_of(SOON, "unavailable", ROMEO);
        romeo.command("presence_online", "");
        juliet.presence_of(SOON, "", ROMEO);
    }
    send(&mut juliet, "unsubscribe");
    juliet.presence_of(SOON, "unavailable", ROMEO);
    juliet.presences();
    romeo.command("presence_offline", "");
    romeo.command("presence_online", "");
    juliet.no_presence(A_WHILE, |p| p.kind.is_none() && p.from.starts_with(ROMEO));

    // She does not want to be seen any more.
    send(&mut juliet, "unsubscribed");
    romeo.wait_contact("Unknown", SOON);
    assert_eq!(roster(&mut juliet), "none");
}

#[test]
fn linphone_watches_and_is_watched() {
    let place = Place::new("presence-linphone");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let mut settings = Settings::new(&prosody, at);
    quick(&mut settings);
    let gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = Linphone::start(&place, at, gateway.sip(), "sip:juliet@example.com");
    juliet.presence(SOON, "subscribe", ROMEO);
    send(&mut juliet, "subscribed");
    romeo.wait_shown("is Online", 1, SOON);
    juliet.send_raw("<presence><show>dnd</show><status>not now</status></presence>");
    romeo.wait_shown("is Busy", 1, SOON);
    juliet.send_raw("<presence type='unavailable'/>");
    romeo.wait_shown("is Offline", 2, SOON);
    juliet.send_raw("<presence/>");
    romeo.wait_shown("is Online", 2, SOON);

    send(&mut juliet, "subscribe");
    juliet.presence(SOON, "subscribed", ROMEO);
    juliet.presence_of(SOON, "", ROMEO);
    assert_eq!(roster(&mut juliet), "both");
    // It says that it goes, as its last word.
    romeo.order("quit");
    juliet.presence_of(SOON, "unavailable", ROMEO);
}
