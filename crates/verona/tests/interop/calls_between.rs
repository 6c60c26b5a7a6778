//! Two gateways back to back, SIP between them: two WebRTC stacks call each other, each over an XMPP server of its own. What no telephone here can:
//! ICE that starts anew, pictures that come and go, candidates that come late on both sides.

use crate::line::{DEVICE, PHONE};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, JingleDevice, Place, Prosody, Recording, Settings, Value, json, until};
use std::net::SocketAddr;

/// One side. Whoever goes first is the first to end.
struct Half {
    device: JingleDevice,
    _gateway: Gateway,
    _prosody: Prosody,
    _place: Place,
}

impl Half {
    /// Users of `domain`, who call those of `other` through the gateway at `proxy`.
    fn new(place: Place, at: SocketAddr, (domain, other): (&str, &str), proxy: SocketAddr, policy: Value) -> Half {
        let prosody = Prosody::hosting(&place, domain, &[other], "");
        let mut settings = Settings::new(&prosody, proxy);
        settings.components = vec![other.to_owned()];
        settings.more = "[media]\nenabled = true\n".to_owned();
        let gateway = Gateway::start_at(&place, BINARY, at, &settings);
        let device = JingleDevice::online(&place, &prosody, "juliet", domain, policy);
        Half { device, _gateway: gateway, _prosody: prosody, _place: place }
    }
}

/// Both sides; the first says one tone and the second the other.
fn both(name: &str, policy: &Value) -> (Half, Half) {
    let places = [Place::new(&format!("{name}-com")), Place::new(&format!("{name}-net"))];
    let at = [places[0].free(), places[1].free()];
    let [com, net] = places;
    let policy = |tone: f64| {
        let mut policy = policy.clone();
        policy["tone"] = json!(tone);
        policy
    };
    let com = Half::new(com, at[0], ("example.com", "example.net"), at[1], policy(DEVICE));
    let net = Half::new(net, at[1], ("example.net", "example.com"), at[0], policy(PHONE));
    (com, net)
}

/// Who called whom, and what both hear.
struct Talk {
    /// The call's names: of her who called, and of her who was called.
    calls: [String; 2],
    heard: [Recording; 2],
}

impl Talk {
    /// The first calls the second.
    fn begin(com: &mut Half, net: &mut Half) -> Talk {
        let call = com.device.call("juliet@example.net", &["audio"]);
        let other = net.device.incoming(SOON);
        let heard = [com.device.connected(SOON, &call), net.device.connected(SOON, &other)];
        Talk { calls: [call, other], heard }
    }

    /// Each hears the other, now.
    fn hear(&self) {
        self.heard[0].until_tone(PHONE, SOON);
        self.heard[1].until_tone(DEVICE, SOON);
    }

    /// The one who called hangs up, and nobody has a call.
    fn end(&self, com: &mut Half, net: &mut Half) {
        com.device.tell(&self.calls[0], "hangup", json!({}));
        assert_eq!(net.device.ended(SOON, &self.calls[1])["condition"], "success");
        until("no call is left", SOON, || com.device.calls().is_empty() && net.device.calls().is_empty());
    }
}

#[test]
fn two_devices_call_each_other_through_two_gateways() {
    let (mut com, mut net) = both("between", &json!({}));
    let talk = Talk::begin(&mut com, &mut net);
    talk.hear();
    // Pictures are added by who was called, and are seen by both.
    net.device.tell(&talk.calls[1], "add", json!({"media": "video"}));
    net.device.event("added", SOON, &talk.calls[1]);
    for (half, call) in [(&mut com, &talk.calls[0]), (&mut net, &talk.calls[1])] {
        half.device.event("picture", SOON, call);
    }
    com.device.tell(&talk.calls[0], "hold", json!({}));
    net.device.event("held", SOON, &talk.calls[1]);
    talk.heard[0].until_silent(SOON);
    talk.heard[1].until_silent(SOON);
    com.device.tell(&talk.calls[0], "resume", json!({}));
    net.device.event("resumed", SOON, &talk.calls[1]);
    talk.hear();
    talk.end(&mut com, &mut net);
}

#[test]
fn ice_starts_anew_on_either_side() {
    let (mut com, mut net) = both("between-ice", &json!({}));
    let talk = Talk::begin(&mut com, &mut net);
    talk.hear();
    let name = |half: &mut Half| {
        let calls = half.device.calls();
        let contents = calls[0]["contents"].as_object().expect("a call has contents");
        contents.keys().next().expect("of which one is sound").clone()
    };
    let names = [name(&mut com), name(&mut net)];
    com.device.tell(&talk.calls[0], "restart", json!({"content": names[0]}));
    com.device.event("restarted", SOON, &talk.calls[0]);
    net.device.event("restarted", SOON, &talk.calls[1]);
    talk.hear();
    net.device.tell(&talk.calls[1], "restart", json!({"content": names[1]}));
    com.device.event("restarted", SOON, &talk.calls[0]);
    net.device.event("restarted", SOON, &talk.calls[1]);
    talk.hear();
    talk.end(&mut com, &mut net);
}

/// So late that the offer is on its way without them: they follow in INFO requests (RFC 8840). Nobody would hear anything without.
#[test]
fn candidates_come_late_on_both_sides() {
    for late in [0.0, 4.0] {
        let (mut com, mut net) = both("between-late", &json!({"trickle": true, "late": late}));
        let talk = Talk::begin(&mut com, &mut net);
        talk.hear();
        talk.end(&mut com, &mut net);
    }
}
