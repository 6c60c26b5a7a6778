//! Calls with sound, without a relay: ICE and DTLS-SRTP between a WebRTC stack and baresip, the gateway between them for the signalling alone.

use crate::line::{DEVICE, JULIET_URI, Line, ROMEO};
use crate::world::SOON;
use rehearsal::peers::{Media, Sound, json};

/// baresip with ICE and DTLS-SRTP that takes every call.
fn secure() -> Sound {
    Sound { media: Media::Secure, account: ";answermode=auto".to_owned(), ..Sound::default() }
}

/// One that rings until it is told.
fn manual() -> Sound {
    Sound { account: String::new(), ..secure() }
}

#[test]
fn a_device_calls_a_phone_and_hangs_up() {
    let mut line = Line::new("calls-out", &secure(), json!({"tone": DEVICE}), "");
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.device_hangs_up(&call);
    // Once more; the phone hangs up.
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.phone_hangs_up(&call);
    line.device.event("finished", SOON, &call);
}

#[test]
fn a_phone_calls_a_device_and_hangs_up() {
    let mut line = Line::new("calls-in", &secure(), json!({"tone": DEVICE}), "");
    let (call, ears) = line.phone_calls();
    ears.both();
    line.phone_hangs_up(&call);
    line.device.event("finished", SOON, &call);
    let (call, ears) = line.phone_calls();
    ears.both();
    line.device_hangs_up(&call);
}

/// Devices that know no XEP-0353, say their candidates one by one and speak G.711: still the same calls.
#[test]
fn a_device_without_proposals_that_trickles() {
    let policy = json!({"tone": DEVICE, "jmi": false, "trickle": true, "codecs": ["PCMU"]});
    let mut line = Line::new("calls-plain", &secure(), policy, "");
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.phone_hangs_up(&call);
    let (call, ears) = line.phone_calls();
    ears.both();
    assert_eq!(line.device.calls()[0]["contents"]["audio"]["codec"], "PCMU");
    line.device_hangs_up(&call);
}

#[test]
fn a_device_holds_and_goes_on() {
    for manner in ["info", "modify", "both"] {
        let mut line = Line::new("calls-hold", &secure(), json!({"tone": DEVICE}), "");
        let (call, ears) = line.device_calls(ROMEO, &["audio"]);
        ears.both();
        line.phone.forget();
        line.device.tell(&call, "hold", json!({"manner": manner}));
        line.phone.call_event("CALL_REMOTE_SDP", SOON);
        ears.neither();
        line.device.tell(&call, "resume", json!({"manner": manner}));
        line.phone.call_event("CALL_REMOTE_SDP", SOON);
        ears.both();
        line.device_hangs_up(&call);
    }
}

#[test]
fn a_phone_holds_and_goes_on() {
    let mut line = Line::new("calls-held", &secure(), json!({"tone": DEVICE}), "");
    let (call, ears) = line.phone_calls();
    ears.both();
    line.phone.command("hold", "");
    line.device.event("held", SOON, &call);
    ears.neither();
    line.phone.command("resume", "");
    line.device.event("resumed", SOON, &call);
    ears.both();
    line.phone_hangs_up(&call);
}

#[test]
fn whoever_calls_gives_up_while_it_rings() {
    let policy = json!({"tone": DEVICE, "answer": "ring"});
    let mut line = Line::new("calls-cancel", &manual(), policy, "");
    let call = line.device.call(ROMEO, &["audio"]);
    line.device.event("ringing", SOON, &call);
    line.phone.call_event("CALL_INCOMING", SOON);
    line.device.tell(&call, "hangup", json!({}));
    line.phone.call_event("CALL_CLOSED", SOON);
    line.nothing_is_left(SOON);

    line.phone.dial(JULIET_URI);
    let call = line.device.proposed(SOON);
    line.phone.call_event("CALL_RINGING", SOON);
    line.phone.command("hangup", "");
    line.device.event("missed", SOON, &call);
    line.nothing_is_left(SOON);
}

#[test]
fn whoever_is_called_is_busy_or_declines() {
    for jmi in [true, false] {
        let policy = json!({"tone": DEVICE, "jmi": jmi, "answer": "reject", "reason": "busy"});
        let mut line = Line::new("calls-refuse", &manual(), policy, "");
        line.phone.dial(JULIET_URI);
        assert_eq!(line.phone_is_refused(SOON), 486);
        let _ = if jmi { line.device.proposed(SOON) } else { line.device.incoming(SOON) };
        line.device.policy(json!({"answer": "ring"}));
        line.phone.dial(JULIET_URI);
        let call = if jmi { line.device.proposed(SOON) } else { line.device.incoming(SOON) };
        line.phone.call_event("CALL_RINGING", SOON);
        line.device.tell(&call, "reject", json!({"reason": "decline"}));
        assert_eq!(line.phone_is_refused(SOON), 603);
        // baresip declines with 486.
        line.phone.forget();
        let call = line.device.call(ROMEO, &["audio"]);
        line.device.event("ringing", SOON, &call);
        line.phone.call_event("CALL_INCOMING", SOON);
        line.phone.command("hangup", "");
        assert_eq!(line.device.ended(SOON, &call)["condition"], "busy");
        line.nothing_is_left(SOON);
    }
}

#[test]
fn nobody_answers() {
    let sound = Sound { ring: 5, ..manual() };
    let mut line = Line::new("calls-ring", &sound, json!({"tone": DEVICE, "answer": "ring"}), "ring = \"5s\"");
    line.phone.dial(JULIET_URI);
    let call = line.device.proposed(SOON);
    line.phone.call_event("CALL_RINGING", SOON);
    let told = line.device.event("missed", SOON, &call);
    assert!(matches!(told["condition"].as_str(), Some("timeout" | "expired")), "{told:#}");
    line.phone.call_event("CALL_CLOSED", SOON);

    let call = line.device.call(ROMEO, &["audio"]);
    line.device.event("ringing", SOON, &call);
    let end = line.device.ended(SOON, &call);
    assert!(matches!(end["condition"].as_str(), Some("timeout" | "busy" | "gone" | "expired")), "{end:#}");
    line.nothing_is_left(SOON);
}

/// The first of two devices to answer has the call; the other hears that it is taken.
#[test]
fn two_devices_ring_and_one_answers() {
    let mut line = Line::new("calls-two", &secure(), json!({"tone": DEVICE, "answer": "ring"}), "");
    let place = &line.place;
    let ring = json!({"tone": DEVICE, "answer": "ring"});
    let mut other = rehearsal::peers::JingleDevice::online(place, &line.prosody, "juliet", "chamber", ring);
    line.phone.dial(JULIET_URI);
    let call = line.device.proposed(SOON);
    assert_eq!(other.proposed(SOON), call);
    line.phone.call_event("CALL_RINGING", SOON);
    other.tell(&call, "accept", json!({}));
    line.device.event("elsewhere", SOON, &call);
    other.connected(SOON, &call).until_tone(crate::line::PHONE, SOON);
    line.phone.heard(SOON).until_tone(DEVICE, SOON);
    other.tell(&call, "hangup", json!({}));
    line.phone.call_event("CALL_CLOSED", SOON);
    line.nothing_is_left(SOON);
    assert!(line.device.take_all("incoming").is_empty());
}

/// baresip starts no ICE for what is added, so no picture comes; the call goes on with the sound that it had. With pictures: see `calls_between`.
#[test]
fn a_device_adds_video_to_a_call_with_a_phone() {
    let sound = Sound { codecs: vec!["opus", "g711", "vp8"], ..secure() };
    let mut line = Line::new("calls-video", &sound, json!({"tone": DEVICE}), "");
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.device.tell(&call, "add", json!({"media": "video"}));
    line.device.event("added", SOON, &call);
    ears.both();
    line.device.tell(&call, "remove", json!({"content": "video"}));
    ears.both();
    line.phone_hangs_up(&call);
}

#[test]
fn a_phone_calls_with_video() {
    let sound = Sound { codecs: vec!["opus", "g711", "vp8"], ..secure() };
    let mut line = Line::new("calls-seen", &sound, json!({"tone": DEVICE}), "");
    let (call, ears) = line.phone_calls();
    line.device.event("picture", SOON, &call);
    ears.both();
    line.device_hangs_up(&call);
}

/// A call to one full address, as a client without JMI makes it, and to the bare one.
#[test]
fn a_device_calls_the_bare_address_without_a_proposal() {
    let mut line = Line::new("calls-bare", &secure(), json!({"tone": DEVICE, "jmi": false}), "");
    for to in [ROMEO.to_owned(), format!("{ROMEO}/anything")] {
        let (call, ears) = line.device_calls(&to, &["audio"]);
        ears.both();
        line.device_hangs_up(&call);
    }
}
