//! Calls of phones that register at the gateway itself: no proxy, no other registrar, nothing but Prosody, a Jingle device and them.

use crate::line::{DEVICE, JULIET_URI, PHONE, calls};
use crate::registrar_phones::{Home, MD5, ROMEO};
use crate::world::SOON;
use rehearsal::peers::{Baresip, JingleDevice, Media, Place, Sound, Value, json, until};

/// Whoever goes first is the first to end.
struct House {
    desk: Baresip,
    pocket: Baresip,
    device: JingleDevice,
    home: Home,
}

impl House {
    /// Two phones of romeo's that ring until they are told, and juliet's device.
    fn new(name: &str, policy: Value) -> House {
        let home = Home::with(Place::new(name), MD5, |settings| settings.more = "[media]\nenabled = true\n".to_owned());
        let phone = |name: &str| {
            let sound = Sound { media: Media::Secure, ..Sound::default() };
            let mut phone =
                Baresip::registering(&home.place, name, home.place.free(), (home.gateway.sip(), "rose"), &sound);
            phone.wait_registered();
            phone
        };
        let (desk, pocket) = (phone("desk"), phone("pocket"));
        assert_eq!(home.contacts(), 2);
        let device = JingleDevice::online(&home.place, &home.prosody, "juliet", "balcony", policy);
        House { desk, pocket, device, home }
    }

    /// juliet calls the account, and both phones ring. Gives the call's name.
    fn rings(&mut self) -> String {
        let call = self.device.call(ROMEO, &["audio"]);
        self.device.event("ringing", SOON, &call);
        for phone in [&mut self.desk, &mut self.pocket] {
            phone.call_event("CALL_INCOMING", SOON);
        }
        call
    }

    /// Nobody has a call: the device, the phones, the gateway.
    fn nothing_is_left(&mut self) {
        until("no call is left", SOON, || {
            let phones = self.desk.calls() + self.pocket.calls();
            phones == 0 && self.device.calls().is_empty() && calls(&self.home.gateway) == Some(0)
        });
    }
}

/// RFC 3261 §16.7: all ring, the first to answer has the call, and the others are cancelled.
#[test]
fn both_phones_of_an_account_ring_and_one_answers() {
    let mut house = House::new("registrar-calls", json!({"tone": DEVICE}));
    // The one answers, and juliet hangs up; then the other answers, and hangs up itself.
    for pocket in [false, true] {
        let call = house.rings();
        let House { desk, pocket: other, device, .. } = &mut house;
        let (answers, rings) = if pocket { (other, desk) } else { (desk, other) };
        answers.command("accept", "");
        device.event("answered", SOON, &call);
        answers.call_event("CALL_ESTABLISHED", SOON);
        rings.call_event("CALL_CLOSED", SOON);
        assert_eq!((answers.calls(), rings.calls()), (1, 0));
        device.connected(SOON, &call).until_tone(PHONE, SOON);
        answers.heard(SOON).until_tone(DEVICE, SOON);
        match pocket {
            false => device.tell(&call, "hangup", json!({})),
            true => drop(answers.command("hangup", "")),
        }
        answers.call_event("CALL_CLOSED", SOON);
        house.nothing_is_left();
    }
}

#[test]
fn phones_that_are_called_decline_or_are_given_up() {
    let mut house = House::new("registrar-decline", json!({"tone": DEVICE}));
    // One declines, which is nobody's business as long as the other rings.
    let call = house.rings();
    house.desk.command("hangup", "");
    house.pocket.command("accept", "");
    house.device.event("answered", SOON, &call);
    house.pocket.call_event("CALL_ESTABLISHED", SOON);
    house.device.tell(&call, "hangup", json!({}));
    house.nothing_is_left();
    for phone in [&mut house.desk, &mut house.pocket] {
        phone.forget();
    }
    // Both decline.
    let call = house.rings();
    house.desk.command("hangup", "");
    house.pocket.command("hangup", "");
    assert_eq!(house.device.ended(SOON, &call)["condition"], "busy");
    house.nothing_is_left();
    for phone in [&mut house.desk, &mut house.pocket] {
        phone.forget();
    }
    // She gives up, and both are told.
    let call = house.rings();
    house.device.tell(&call, "hangup", json!({}));
    for phone in [&mut house.desk, &mut house.pocket] {
        phone.call_event("CALL_CLOSED", SOON);
    }
    house.nothing_is_left();
}

/// The phone is asked who it is for each request of its own: the INVITE, the changes, the end.
#[test]
fn a_registered_phone_calls_an_xmpp_user() {
    let mut house = House::new("registrar-dials", json!({"tone": DEVICE}));
    house.desk.dial(JULIET_URI);
    let call = house.device.incoming(SOON);
    house.desk.call_event("CALL_ESTABLISHED", SOON);
    let ears = [house.device.connected(SOON, &call), house.desk.heard(SOON)];
    ears[0].until_tone(PHONE, SOON);
    ears[1].until_tone(DEVICE, SOON);
    let peer = house.device.look()["calls"][0]["peer"].as_str().unwrap_or_default().to_owned();
    assert!(peer.starts_with(ROMEO), "{peer}");
    house.desk.command("hold", "");
    house.device.event("held", SOON, &call);
    house.desk.command("resume", "");
    house.device.event("resumed", SOON, &call);
    ears[0].until_tone(PHONE, SOON);
    house.desk.command("hangup", "");
    let end = house.device.ended(SOON, &call);
    assert_eq!((end["by"].as_str(), end["condition"].as_str()), (Some("them"), Some("success")), "{end:#}");
    assert!(!house.pocket.has("CALL_INCOMING"), "nobody has called the other phone");
    house.nothing_is_left();
    assert!(house.desk.log().contains("401 Unauthorized"), "nobody has asked who it is");
}

/// Without the password nobody is called, and nobody is called back.
#[test]
fn a_phone_that_is_not_who_it_says_calls_nobody() {
    let mut house = House::new("registrar-thief", json!({"tone": DEVICE}));
    let home = &house.home;
    let sound = Sound { media: Media::Secure, ..Sound::default() };
    let at = home.place.free();
    let mut thief = Baresip::registering(&home.place, "thief", at, (home.gateway.sip(), "guess"), &sound);
    until("it is refused", SOON, || thief.log().contains("401 "));
    thief.dial(JULIET_URI);
    thief.call_event("CALL_CLOSED", SOON);
    assert_eq!(house.home.contacts(), 2);
    let call = house.rings();
    assert!(!thief.has("CALL_INCOMING"));
    house.device.tell(&call, "hangup", json!({}));
    house.nothing_is_left();
    assert!(house.device.take_all("incoming").is_empty() && house.device.take_all("proposed").is_empty());
}
