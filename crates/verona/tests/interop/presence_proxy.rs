//! Presence at the usual site: Kamailio as presence agent for SIP users who publish to it, and as the proxy of those who answer for
//! themselves.

use crate::presence::{A_WHILE, ROMEO, Tuple, asked, open, pidf, quick, roster, send};
use crate::presence_watched::has;
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, Kamailio, Place, Prosody, Settings, SipDialog, SipPhone, XmppClient, until};
use std::net::SocketAddr;
use std::time::Duration;

struct Site {
    proxy: SocketAddr,
    kamailio: Kamailio,
    _gateway: Gateway,
    prosody: Prosody,
    place: Place,
}

/// Kamailio between the gateway and the phones; as a presence agent it grants `seconds`.
fn site(name: &str, transport: &'static str, seconds: u32) -> Site {
    let place = Place::new(name);
    let prosody = Prosody::start(&place, &["example.net"]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::granting(&place, proxy, sip, Duration::from_secs(2), seconds);
    let mut settings = Settings::new(&prosody, proxy);
    quick(&mut settings);
    settings.transport = transport;
    let gateway = Gateway::start_at(&place, BINARY, sip, &settings);
    Site { proxy, kamailio, _gateway: gateway, prosody, place }
}

/// A client watches a user whose phone publishes: what Kamailio sends as presence agent arrives, the dialog with it is refreshed, and ends.
#[test]
fn a_client_watches_who_publishes_to_kamailio() {
    for transport in ["udp", "tcp"] {
        let mut site = site(&format!("presence-agent-{transport}"), transport, 4);
        let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
        let mut romeo = SipPhone::listen(&site.place, "romeo", site.place.free());
        let uri = "sip:romeo@example.net";
        let away = Tuple { show: "away", priority: "0.503", note: "Wherefore?", ..open("ID-orchard") };
        let etag = romeo.publish(site.proxy, uri, None, 600, &pidf(&[away]));
        send(&mut juliet, "subscribe");
        juliet.presence(SOON, "subscribed", ROMEO);
        let got = juliet.presence(SOON, "", "romeo@example.net/orchard");
        assert_eq!((got.show.as_deref(), got.priority.as_deref()), (Some("away"), Some("64")), "{}", got.raw);
        assert!(got.raw.contains("Wherefore?"), "{}", got.raw);
        assert_eq!(roster(&mut juliet), "to");
        // Updates; a refresh in between is answered with the state that there is.
        let dnd = Tuple { show: "dnd", ..open("ID-orchard") };
        let etag = romeo.publish(site.proxy, uri, Some(&etag), 600, &pidf(&[dnd, open("ID-cell")]));
        assert_eq!(juliet.presence(SOON, "", "romeo@example.net/orchard").show.as_deref(), Some("dnd"));
        juliet.presence(SOON, "", "romeo@example.net/cell");
        let subscribes = |site: &mut Site| site.kamailio.process().log().matches("SUBSCRIBE sip:").count();
        until("the gateway refreshes", SOON, || subscribes(&mut site) >= 3);
        juliet.presences();
        let etag = romeo.publish(site.proxy, uri, Some(&etag), 600, &pidf(&[open("ID-orchard")]));
        juliet.presence(SOON, "unavailable", "romeo@example.net/cell");
        // The publication is taken back: nothing is left to be seen.
        romeo.publish(site.proxy, uri, Some(&etag), 0, "");
        juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
        assert_eq!(roster(&mut juliet), "to");
        send(&mut juliet, "unsubscribe");
        until("Kamailio has ended it", SOON, || {
            let log = site.kamailio.process().log();
            log.split("expires 0").nth(2).is_some_and(|after| after.contains("NOTIFY sip:juliet@example.com"))
        });
        assert_eq!(roster(&mut juliet), "none");
        juliet.presences();
        romeo.publish(site.proxy, uri, None, 600, &pidf(&[open("ID-orchard")]));
        juliet.no_presence(A_WHILE, |p| p.kind.is_none() && p.from.starts_with(ROMEO));
    }
}

/// Phones that answer for themselves, behind a proxy that stays on the way (Record-Route), in both directions.
#[test]
fn dialogs_through_kamailio_keep_their_route() {
    let site = site("presence-route", "udp", 3600);
    let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&site.place, "romeo", site.place.free());
    romeo.register(site.proxy, "romeo", Kamailio::DOMAIN);

    // He watches her.
    let (mut watch, _) =
        SipDialog::granted(&mut romeo, site.proxy, "sip:romeo@example.net", "sip:juliet@example.com", 600);
    assert!(watch.route().len() == 1 && watch.route()[0].contains(&site.proxy.to_string()), "{:?}", watch.route());
    juliet.presence(SOON, "subscribe", ROMEO);
    send(&mut juliet, "subscribed");
    let got = watch.told(&mut romeo, SOON, "active", |body| has(body, "balcony"));
    // The gateway's and the proxy's: a NOTIFY without the Route would have got 404 from it.
    assert_eq!(got.list("Via").len(), 2, "{}", got.raw);
    assert_eq!(watch.subscribe(&mut romeo, 300).code, 200);
    watch.told(&mut romeo, SOON, "active", |body| has(body, "balcony"));

    // She watches him.
    send(&mut juliet, "subscribe");
    let subscribe = asked(&mut romeo);
    assert_eq!(subscribe.list("Record-Route").len(), 1, "{}", subscribe.raw);
    let mut dialog = SipDialog::taken(&romeo, &subscribe);
    let state = pidf(&[open("ID-orchard")]);
    assert_eq!(dialog.notify(&mut romeo, "active;expires=3600", Some(&state)).code, 200);
    juliet.presence(SOON, "subscribed", ROMEO);
    juliet.presence(SOON, "", "romeo@example.net/orchard");
    send(&mut juliet, "unsubscribe");
    let end = asked(&mut romeo);
    assert!(dialog.has(&end, "SUBSCRIBE") && end.header("Expires") == "0", "{}", end.raw);
    assert_eq!(end.list("Via").len(), 2, "{}", end.raw);
    assert_eq!(dialog.notify(&mut romeo, "terminated;reason=timeout", None).code, 200);
    juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");

    assert_eq!(watch.subscribe(&mut romeo, 0).code, 200);
    watch.told(&mut romeo, SOON, "terminated", |_| true);
    juliet.presence(SOON, "unavailable", ROMEO);
}
