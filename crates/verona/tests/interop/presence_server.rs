//! Presence and what the servers remember: users who go offline and come back, what Prosody says to the gateway's own probes, and the
//! gateway after `kill -9`.

use crate::presence::{A_WHILE, ROMEO, Tuple, asked, befriend, open, pidf, quick, roster, send};
use crate::presence_watched::{self, has};
use crate::world::{SOON, World};
use rehearsal::peers::{SipPhone, json, until};
use std::time::Duration;

/// The phone grants so many seconds at a time.
fn grant(phone: &mut SipPhone, seconds: &str) {
    phone.order_answer(json!({"code": 200, "reason": "OK", "headers": [["Expires", seconds]], "method": "SUBSCRIBE"}));
}

/// RFC 8048 §8.1 has the gateway ask the user's server before it refreshes. It can only ask as itself, whom the user has not approved, and RFC
/// 6121 §4.3.2 has a server answer `unsubscribed` to that; Prosody does. That says nothing of the user and must end nothing: the
/// subscription is refreshed, until the user was not seen for `[presence] keep`.
#[test]
fn prosody_will_not_tell_the_gateway_of_its_users() {
    let (mut world, mut romeo) = World::with("presence-probe", quick);
    let mut juliet = world.client("juliet", "balcony");
    grant(&mut romeo, "3");
    let mut dialog = befriend(&mut juliet, &mut romeo, 3, &pidf(&[open("ID-orchard")]));
    let probed = |world: &mut World| {
        world
            .prosody
            .process()
            .log()
            .matches("outbound presence unsubscribed from juliet@example.com for example.net")
            .count()
    };
    let refresh = asked(&mut romeo);
    assert!(dialog.has(&refresh, "SUBSCRIBE"), "{}", refresh.raw);
    until("Prosody answers the probe", SOON, || probed(&mut world) == 1);
    // Its silence about a user who has gone is the same.
    juliet.disconnect();
    let refresh = asked(&mut romeo);
    assert!(dialog.has(&refresh, "SUBSCRIBE") && refresh.header("Expires") == "3600", "{}", refresh.raw);
    let state = pidf(&[Tuple { show: "dnd", ..open("ID-orchard") }]);
    assert_eq!(dialog.notify(&mut romeo, "active;expires=3", Some(&state)).code, 200);
    // She is back; her server's probe is answered from what is known.
    juliet.connect(&world.prosody);
    let got = juliet.presence(SOON, "", "romeo@example.net/orchard");
    assert_eq!(got.show.as_deref().or(Some("dnd")), Some("dnd"), "{}", got.raw);
    assert_eq!(roster(&mut juliet), "to");
    juliet.no_presence(A_WHILE, |p| p.kind.as_deref() == Some("unsubscribed"));
}

/// RFC 8048 §5.2.2: whose session is known to be over is not refreshed for; the new session brings a new SUBSCRIBE, and everybody sees
/// everybody again.
#[test]
fn a_user_goes_and_comes_back() {
    let (world, mut romeo) = World::with("presence-offline", quick);
    let mut juliet = world.client("juliet", "balcony");
    grant(&mut romeo, "3");
    // He watches her, so that the gateway knows whether she is there.
    let watch = presence_watched::befriend(&world, &mut romeo, &mut juliet, 600);
    let mut dialog = befriend(&mut juliet, &mut romeo, 3, &pidf(&[open("ID-orchard")]));
    juliet.presence(SOON, "", "romeo@example.net/orchard");
    assert_eq!(roster(&mut juliet), "both");
    juliet.disconnect();
    watch.told(&mut romeo, SOON, "active", |body| !body.contains(">open<"));
    romeo.requests();
    romeo.no_request(Duration::from_secs(4), |r| r.method.as_deref() == Some("SUBSCRIBE"));
    assert_eq!(dialog.notify(&mut romeo, "active;expires=3", Some(&pidf(&[open("ID-orchard")]))).code, 481);

    juliet.connect(&world.prosody);
    watch.told(&mut romeo, SOON, "active", |body| has(body, "balcony") && body.contains(">open<"));
    let again = asked(&mut romeo);
    assert!(!dialog.has(&again, "SUBSCRIBE") && again.header("Expires") == "3600", "{}", again.raw);
    let mut dialog = rehearsal::peers::SipDialog::taken(&romeo, &again);
    let state = pidf(&[Tuple { show: "xa", ..open("ID-cell") }]);
    assert_eq!(dialog.notify(&mut romeo, "active;expires=3", Some(&state)).code, 200);
    assert_eq!(juliet.presence(SOON, "", "romeo@example.net/cell").show.as_deref(), Some("xa"));
    assert_eq!(roster(&mut juliet), "both");
}

/// The XMPP server dies and comes back: dialogs with SIP go on, and both sides learn what they missed.
#[test]
fn prosody_dies_and_rosters_come_right() {
    let (mut world, mut romeo) = World::with("presence-prosody-dies", quick);
    let mut juliet = world.client("juliet", "balcony");
    let mut watch = presence_watched::befriend(&world, &mut romeo, &mut juliet, 600);
    let mut dialog = befriend(&mut juliet, &mut romeo, 3600, &pidf(&[open("ID-orchard")]));
    juliet.presence(SOON, "", "romeo@example.net/orchard");
    world.prosody.kill();
    juliet.wait_offline();
    until("the gateway has seen it", SOON, || !world.gateway.is_ready());
    // What he says meanwhile is not lost, whatever the answer is now.
    let state = pidf(&[Tuple { show: "dnd", ..open("ID-cell") }]);
    let told = dialog.notify(&mut romeo, "active;expires=3000", Some(&state)).code;
    assert_eq!(told, 200);
    let (place, prosody) = (&world.place, &mut world.prosody);
    prosody.restart(place);
    world.gateway.wait_ready(Duration::from_secs(30));
    // Nobody is there yet.
    watch.told(&mut romeo, SOON, "active", |body| !body.contains(">open<"));
    juliet.connect(&world.prosody);
    assert_eq!(juliet.presence(SOON, "", "romeo@example.net/cell").show.as_deref(), Some("dnd"));
    watch.told(&mut romeo, SOON, "active", |body| has(body, "balcony") && body.contains(">open<"));
    juliet.send_raw("<presence><show>away</show></presence>");
    watch.told(&mut romeo, SOON, "active", |body| body.contains(">away<"));
    assert_eq!(watch.subscribe(&mut romeo, 600).code, 200);
    assert_eq!(roster(&mut juliet), "both");
    let asks = |p: &rehearsal::peers::XmppPresence| matches!(p.kind.as_deref(), Some("subscribe" | "unsubscribed"));
    juliet.no_presence(A_WHILE, asks);
    romeo.requests();
    send(&mut juliet, "unsubscribe");
    let end = asked(&mut romeo);
    assert!(dialog.has(&end, "SUBSCRIBE") && end.header("Expires") == "0", "{}", end.raw);
}

/// The store: `kill -9`, and nobody is asked again. Dialogs go on with their tags, and no number in CSeq comes twice.
#[test]
fn the_gateway_is_killed_and_its_dialogs_go_on() {
    let (mut world, mut romeo) = World::with("presence-killed", |settings| {
        quick(settings);
        settings.store = "redb:verona.redb";
    });
    let mut juliet = world.client("juliet", "balcony");
    let mut watch = presence_watched::befriend(&world, &mut romeo, &mut juliet, 600);
    let mut dialog = befriend(&mut juliet, &mut romeo, 3600, &pidf(&[open("ID-orchard")]));
    juliet.presence(SOON, "", "romeo@example.net/orchard");
    juliet.send_raw("<presence><status>before</status></presence>");
    let before = watch.told(&mut romeo, SOON, "active", |body| body.contains("before")).cseq();

    world.gateway.kill();
    juliet.send_raw("<presence><status>meanwhile</status></presence>");
    world.gateway.restart(&world.place);
    // His dialog: the tags and the target are those of before (`told` compares them), CSeq goes up, and what he missed comes by itself.
    let after = watch.told(&mut romeo, SOON, "active", |body| has(body, "balcony") && body.contains("meanwhile"));
    assert!(after.cseq() > before, "{} after {before}", after.cseq());
    assert_eq!(watch.subscribe(&mut romeo, 500).code, 200);
    // Hers.
    let state = pidf(&[Tuple { show: "away", ..open("ID-cell") }]);
    assert_eq!(dialog.notify(&mut romeo, "active;expires=3000", Some(&state)).code, 200);
    assert_eq!(juliet.presence(SOON, "", "romeo@example.net/cell").show.as_deref(), Some("away"));
    juliet.presence(SOON, "unavailable", "romeo@example.net/orchard");
    // It asked for the state that it did not keep.
    let refresh = asked(&mut romeo);
    assert!(dialog.has(&refresh, "SUBSCRIBE") && refresh.cseq() > 1, "{}", refresh.raw);
    let asks = |p: &rehearsal::peers::XmppPresence| {
        p.from == ROMEO && matches!(p.kind.as_deref(), Some("subscribe" | "unsubscribed"))
    };
    juliet.no_presence(A_WHILE, asks);
    assert_eq!(roster(&mut juliet), "both");
    send(&mut juliet, "unsubscribe");
    let end = asked(&mut romeo);
    assert!(dialog.has(&end, "SUBSCRIBE") && end.header("Expires") == "0", "{}", end.raw);
    assert!(end.cseq() > refresh.cseq(), "{}", end.raw);
}

/// Prosody tells nobody that an approval was taken back while the gateway was away, and answers no probe after that. What the phone was shown
/// before must not stay with it.
#[test]
fn an_approval_is_taken_back_while_the_gateway_is_dead() {
    let (mut world, mut romeo) = World::with("presence-taken-back", |settings| {
        quick(settings);
        settings.store = "redb:verona.redb";
    });
    let mut juliet = world.client("juliet", "balcony");
    let watch = presence_watched::befriend(&world, &mut romeo, &mut juliet, 600);
    world.gateway.kill();
    send(&mut juliet, "unsubscribed");
    until("Prosody has forgotten him", SOON, || roster(&mut juliet) != "from");
    juliet.send_raw("<presence><status>secret</status></presence>");
    world.gateway.restart(&world.place);
    let last = watch.told(&mut romeo, Duration::from_secs(20), "active", |body| !body.contains(">open<"));
    assert!(last.raw.contains(">closed<"), "{}", last.raw);
    romeo.no_request(A_WHILE, |_| true);
}
