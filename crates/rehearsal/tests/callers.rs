//! Who calls in the interop tests, against each other and without the gateway: devices over Prosody, phones without a proxy. What they do
//! is known before it is used to judge something else.
#![cfg(feature = "peers")]

use rehearsal::peers::{Baresip, JingleDevice, Media, Place, Prosody, Rtpengine, Sound, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
const DEVICE: f64 = 1000.0;
const PHONE: f64 = 440.0;

#[test]
fn a_device_calls_another_over_prosody() {
    let place = Place::new("devices");
    let prosody = Prosody::start(&place, &["example.net"]);
    let mut juliet = JingleDevice::online(&place, &prosody, "juliet", "balcony", json!({"tone": DEVICE}));
    let mut nurse = JingleDevice::online(&place, &prosody, "nurse", "kitchen", json!({"tone": PHONE}));

    let call = juliet.call("nurse@example.com", &["audio"]);
    assert_eq!(juliet.event("ringing", SOON, &call)["by"], "message");
    assert_eq!(nurse.proposed(SOON), call);
    let (hers, nurses) = (juliet.connected(SOON, &call), nurse.connected(SOON, &call));
    hers.until_tone(PHONE, SOON);
    nurses.until_tone(DEVICE, SOON);

    juliet.tell(&call, "hold", json!({}));
    nurse.event("held", SOON, &call);
    nurse.event("modified", SOON, &call);
    hers.until_silent(SOON);
    nurses.until_silent(SOON);
    juliet.tell(&call, "resume", json!({}));
    nurse.event("resumed", SOON, &call);
    hers.until_tone(PHONE, SOON);
    nurses.until_tone(DEVICE, SOON);

    nurse.tell(&call, "add", json!({"media": "video"}));
    nurse.event("added", SOON, &call);
    juliet.event("picture", SOON, &call);
    nurse.event("picture", SOON, &call);

    nurse.tell(&call, "restart", json!({"content": "audio"}));
    juliet.event("restarted", SOON, &call);
    nurse.event("restarted", SOON, &call);
    hers.until_tone(PHONE, SOON);
    nurses.until_tone(DEVICE, SOON);

    nurse.tell(&call, "hangup", json!({}));
    assert_eq!(juliet.ended(SOON, &call)["condition"], "success");
    juliet.event("finished", SOON, &call);
    nurse.event("finished", SOON, &call);
    assert_eq!((juliet.calls().len(), nurse.calls().len()), (0, 0));
}

#[test]
fn devices_without_proposals_and_calls_that_come_to_nothing() {
    let place = Place::new("devices-no");
    let prosody = Prosody::start(&place, &["example.net"]);
    let plain = json!({"jmi": false, "trickle": true, "tone": DEVICE, "codecs": ["PCMU"]});
    let mut juliet = JingleDevice::online(&place, &prosody, "juliet", "balcony", plain.clone());
    let mut nurse = JingleDevice::online(&place, &prosody, "nurse", "kitchen", plain);
    let to = nurse.jid().to_owned();

    let call = juliet.call(&to, &["audio", "video"]);
    assert_eq!(juliet.event("ringing", SOON, &call)["by"], "session-info");
    juliet.connected(SOON, &call).until_tone(DEVICE, SOON);
    juliet.event("picture", SOON, &call);
    assert_eq!(juliet.calls()[0]["contents"]["audio"]["codec"], "PCMU");
    juliet.tell(&call, "hangup", json!({"reason": "gone", "text": "The nurse calls"}));
    assert_eq!(nurse.ended(SOON, &call)["text"], "The nurse calls");

    nurse.policy(json!({"answer": "reject", "reason": "busy"}));
    let call = juliet.call(&to, &["audio"]);
    assert_eq!(juliet.ended(SOON, &call)["condition"], "busy");
    nurse.policy(json!({"answer": "error", "condition": "service-unavailable"}));
    let call = juliet.call(&to, &["audio"]);
    assert_eq!(juliet.ended(SOON, &call)["condition"], "service-unavailable");

    nurse.policy(json!({"answer": "ring", "jmi": true}));
    juliet.policy(json!({"jmi": true}));
    let call = juliet.call("nurse@example.com", &["audio"]);
    juliet.event("ringing", SOON, &call);
    juliet.tell(&call, "hangup", json!({}));
    assert_eq!(nurse.event("missed", SOON, &call)["condition"], "cancel");
    let call = juliet.call("nurse@example.com", &["audio"]);
    nurse.event("proposed", SOON, &call);
    nurse.tell(&call, "reject", json!({"reason": "decline"}));
    assert_eq!(juliet.ended(SOON, &call)["condition"], "decline");
}

#[test]
fn a_phone_calls_another_with_and_without_encryption() {
    for media in [Media::Plain, Media::Sdes, Media::Secure] {
        let place = Place::new("phones-with-sound");
        let (romeo_at, paris_at) = (place.free(), place.free());
        let sound = Sound { media, ..Sound::default() };
        let auto = Sound { tone: 1000, account: ";answermode=auto".to_owned(), ..sound.clone() };
        let mut romeo = Baresip::calling(&place, "romeo", romeo_at, paris_at, &sound);
        let mut paris = Baresip::calling(&place, "paris", paris_at, romeo_at, &auto);
        romeo.dial("sip:paris@example.net");
        romeo.call_event("CALL_ESTABLISHED", SOON);
        paris.call_event("CALL_ESTABLISHED", SOON);
        let (his, theirs) = (romeo.heard(SOON), paris.heard(SOON));
        his.until_tone(1000.0, SOON);
        theirs.until_tone(PHONE, SOON);
        paris.forget();
        romeo.command("hold", "");
        paris.call_event("CALL_REMOTE_SDP", SOON);
        his.until_silent(SOON);
        theirs.until_silent(SOON);
        romeo.command("resume", "");
        paris.call_event("CALL_REMOTE_SDP", SOON);
        his.until_tone(1000.0, SOON);
        theirs.until_tone(PHONE, SOON);
        assert_eq!(paris.calls(), 1);
        paris.command("hangup", "");
        romeo.call_event("CALL_CLOSED", SOON);
        assert_eq!((romeo.calls(), paris.calls()), (0, 0));
    }
}

#[test]
fn a_phone_is_busy() {
    let place = Place::new("phones-busy");
    let (romeo_at, paris_at) = (place.free(), place.free());
    let mut romeo = Baresip::calling(&place, "romeo", romeo_at, paris_at, &Sound::default());
    let account = ";answermode=auto".to_owned();
    let one = Sound { calls: 1, account, codecs: vec!["g711"], ..Sound::default() };
    let mut paris = Baresip::calling(&place, "paris", paris_at, romeo_at, &one);
    romeo.dial("sip:paris@example.net");
    romeo.call_event("CALL_ESTABLISHED", SOON);
    paris.heard(SOON).until_tone(PHONE, SOON);
    romeo.dial("sip:paris@example.net");
    romeo.wait_closed(486);
    paris.command("hangup", "");
    romeo.call_event("CALL_CLOSED", SOON);
}

#[test]
fn rtpengine_starts_dies_and_comes_back() {
    let place = Place::new("rtpengine");
    let mut relay = Rtpengine::start(&place);
    assert_eq!(relay.calls(), 0);
    relay.kill();
    relay.restart(&place);
    assert_eq!(relay.calls(), 0);
}
