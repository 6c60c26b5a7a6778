//! The SIP side of chat sessions with programs that were not made for them: sipp as a judge of dialogs, baresip, and Kamailio between the
//! gateway and its peers, as proxy and as a relay for MSRP.

use crate::chat::{JULIET, Site, chat};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{
    Baresip, Gateway, Kamailio, MsrpPeer, MsrpRelay, Place, Prosody, Settings, Sipp, XmppClient, json,
};
use std::time::Duration;

#[test]
fn sipp_opens_sessions() {
    let site = Site::new("chat-sipp-in");
    for (scenario, values) in [("inviter", &[("HOLD", "500")][..]), ("inviter_cancels", &[]), ("inviter_offers", &[])] {
        let mut romeo = Sipp::playing(&site.place, site.place.free(), Some(site.gateway.sip()), scenario, values);
        romeo.finish(SOON);
    }
}

#[test]
fn sipp_is_asked_for_sessions() {
    let place = Place::new("chat-sipp-out");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let mut settings = Settings::new(&prosody, at);
    settings.more =
        format!("[msrp]\nlisten = [\"tcp:{}\"]\n\n[chat]\nmode = \"session\"\nring = \"2s\"\n", place.free());
    let _gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    for (scenario, values) in [
        ("invitee", &[("HOLD", "500")][..]),
        ("invitee_rings", &[]),
        ("invitee_refuses", &[("CODE", "486"), ("REASON", "Busy Here"), ("HEADER", "Retry-After: 60")]),
        ("invitee_timer", &[]),
    ] {
        let mut romeo = Sipp::playing(&place, at, None, scenario, values);
        let id = juliet.send(chat("never said", scenario));
        romeo.finish(SOON);
        // Nobody connected to hear it: it comes back.
        assert!(juliet.error(SOON, &id).error.is_some(), "{scenario}");
    }
}

#[test]
fn baresip_is_told_that_there_is_no_audio() {
    let site = Site::new("chat-baresip");
    let account =
        format!("<sip:romeo@example.net;transport=udp>;regint=0;outbound=\"sip:{};transport=udp\"", site.gateway.sip());
    let mut romeo = Baresip::start(&site.place, site.place.free(), &account, JULIET);
    romeo.dial(JULIET);
    romeo.wait_closed(488);
}

/// Kamailio stays on the way of every dialog (Record-Route); MSRP goes past it.
#[test]
fn sessions_go_through_a_proxy() {
    for transport in ["udp", "tcp"] {
        let place = Place::new(&format!("chat-proxy-{transport}"));
        let prosody = Prosody::start(&place, &["example.net"]);
        let (sip, proxy) = (place.free(), place.free());
        let _kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
        let mut romeo = MsrpPeer::listen(&place, "romeo", place.free());
        // The proxy's own: what comes over TCP goes on over UDP, with two headers more.
        romeo.allow("over UDP (RFC 3261 §18.1.1)");
        romeo.register(proxy);
        let mut settings = Settings::new(&prosody, proxy);
        settings.transport = transport;
        settings.more = format!("[msrp]\nlisten = [\"tcp:{}\"]\n\n[chat]\nmode = \"session\"\n", place.free());
        let _gateway = Gateway::start_at(&place, BINARY, sip, &settings);
        let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");

        let call = romeo.call(proxy, JULIET, json!({}));
        romeo.send(&call, "hail", json!({}));
        let got = juliet.message(SOON, |m| m.body.is_some());
        romeo.order("offer", json!({"s": call, "method": "UPDATE"}));
        assert_eq!(romeo.event("response", SOON, &call)["code"], 200);
        juliet.send(json!({"to": got.from, "type": "chat", "state": "gone", "thread": got.thread}));
        assert_eq!(romeo.event("ended", SOON, &call)["by"], "them");

        juliet.send(chat("and hail", "t1"));
        let call = romeo.wait("confirmed", SOON, |_| true)["s"].clone();
        let call = call.as_str().expect("a call has a name");
        assert_eq!(romeo.message(SOON, call).text.as_deref(), Some("and hail"));
        romeo.bye(call);
        juliet.message(SOON, |m| m.state.as_deref() == Some("gone"));
        assert!(juliet.messages().is_empty(), "no errors");
        drop(romeo);
    }
}

/// RFC 4976: the gateway is reached through its relay, and goes through it.
#[test]
fn sessions_go_through_a_relay() {
    let place = Place::new("chat-relay");
    let prosody = Prosody::start(&place, &["example.net"]);
    let at = place.free();
    let mut relay = MsrpRelay::start(&place, at, 900);
    let mut romeo = MsrpPeer::listen(&place, "romeo", place.free());
    // The relay's own: one header more in its responses than RFC 4975 §7.2 has.
    romeo.allow("a response with Message-ID");
    let mut settings = Settings::new(&prosody, romeo.address());
    settings.more = format!(
        "[msrp]\nlisten = [\"tcp:{}\"]\nrelay = \"msrp://{}@{at}\"\nrelay_password = \"{}\"\n\n[chat]\nmode = \"session\"\n",
        place.free(),
        MsrpRelay::USER,
        MsrpRelay::PASSWORD,
    );
    let gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");

    juliet.send(chat("out", "t1"));
    let invited = romeo.wait("invited", SOON, |_| true);
    let path = format!("a=path:msrp://{at}/");
    assert!(invited["sdp"].as_str().is_some_and(|sdp| sdp.contains(&path)), "{invited:#}");
    let call = invited["s"].as_str().expect("a call has a name");
    assert_eq!(romeo.message(SOON, call).text.as_deref(), Some("out"));
    romeo.send(call, "", json!({"size": 10_000}));
    juliet.message(SOON, |m| m.body.is_some());
    romeo.bye(call);
    juliet.message(SOON, |m| m.state.as_deref() == Some("gone"));

    let call = romeo.call(gateway.sip(), JULIET, json!({}));
    romeo.send(&call, "in", json!({"success": "yes"}));
    let got = juliet.message(SOON, |m| m.body.is_some());
    juliet.send(json!({"to": got.from, "type": "chat", "body": "back", "thread": got.thread}));
    assert_eq!(romeo.message(SOON, &call).text.as_deref(), Some("back"));
    romeo.bye(&call);
    assert!(relay.process().log().matches("AUTH").count() >= 3, "one for each session, and a challenge");
}
