//! Calls with sound through rtpengine: a WebRTC stack on one side, phones without ICE and without encryption, or with keys in their descriptions, on
//! the other.

use crate::line::{DEVICE, JULIET_URI, LATE, Line, PHONE, ROMEO};
use crate::world::SOON;
use rehearsal::peers::{Media, Place, Rtpengine, Sound, json, until};

/// baresip with this media that takes every call.
fn phone(media: Media) -> Sound {
    Sound { media, account: ";answermode=auto".to_owned(), ..Sound::default() }
}

/// Everybody with a relay.
fn line(name: &str, sound: &Sound) -> (Line, Rtpengine) {
    let place = Place::new(name);
    let relay = Rtpengine::start(&place);
    let media = format!("relay = \"ng:{}\"\nrelay_check = \"5s\"", relay.control());
    (Line::at(place, sound, json!({"tone": DEVICE}), &media), relay)
}

/// The relay has forgotten everything.
fn relay_is_idle(relay: &Rtpengine) {
    until("the relay has no call", SOON, || relay.calls() == 0);
}

#[test]
fn a_plain_phone_is_called_and_calls() {
    let (mut line, relay) = line("relay-plain", &phone(Media::Plain));
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    assert_eq!(relay.calls(), 1);
    line.device_hangs_up(&call);
    let (call, ears) = line.phone_calls();
    ears.both();
    line.phone_hangs_up(&call);
    relay_is_idle(&relay);
}

#[test]
fn a_phone_with_keys_in_its_description_is_called_and_calls() {
    let (mut line, relay) = line("relay-sdes", &phone(Media::Sdes));
    let (call, ears) = line.phone_calls();
    ears.both();
    line.phone_hangs_up(&call);
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.device_hangs_up(&call);
    relay_is_idle(&relay);
}

#[test]
fn a_plain_phone_is_held_and_holds() {
    let (mut line, relay) = line("relay-hold", &phone(Media::Plain));
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.phone.forget();
    line.device.tell(&call, "hold", json!({}));
    line.phone.call_event("CALL_REMOTE_SDP", SOON);
    ears.neither();
    line.device.tell(&call, "resume", json!({}));
    line.phone.call_event("CALL_REMOTE_SDP", SOON);
    ears.both();
    line.phone.command("hold", "");
    line.device.event("held", SOON, &call);
    ears.neither();
    line.phone.command("resume", "");
    line.device.event("resumed", SOON, &call);
    ears.both();
    line.phone_hangs_up(&call);
    relay_is_idle(&relay);
}

#[test]
fn calls_to_plain_phones_that_come_to_nothing_leave_nothing() {
    let (mut line, relay) = line("relay-nothing", &Sound { account: String::new(), ..phone(Media::Plain) });
    let call = line.device.call(ROMEO, &["audio"]);
    line.device.event("ringing", SOON, &call);
    line.phone.call_event("CALL_INCOMING", SOON);
    // The offer with ICE, which it refused, was a call to it as well.
    line.phone.forget();
    line.device.tell(&call, "hangup", json!({}));
    line.phone.call_event("CALL_CLOSED", SOON);
    line.device.policy(json!({"answer": "reject", "reason": "busy"}));
    line.phone.dial(JULIET_URI);
    assert_eq!(line.phone_is_refused(SOON), 486);
    line.nothing_is_left(SOON);
    relay_is_idle(&relay);
}

/// A device adds video to a call with a plain phone that has it.
#[test]
fn video_is_added_through_the_relay() {
    let sound = Sound { codecs: vec!["g711", "vp8"], ..phone(Media::Plain) };
    let (mut line, _relay) = line("relay-video", &sound);
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.device.tell(&call, "add", json!({"media": "video"}));
    line.device.event("added", SOON, &call);
    line.device.event("picture", LATE, &call);
    ears.both();
    line.phone_hangs_up(&call);
}

/// Without a relay such a call cannot be, and both sides are told why.
#[test]
fn a_plain_phone_without_a_relay() {
    let mut line = Line::new("relay-none", &phone(Media::Plain), json!({"tone": DEVICE}), "");
    line.phone.dial(JULIET_URI);
    assert_eq!(line.phone_is_refused(SOON), 488);
    let call = line.device.call(ROMEO, &["audio"]);
    let end = line.device.ended(SOON, &call);
    let told = end["condition"].as_str().unwrap_or_default();
    assert!(
        matches!(told, "incompatible-parameters" | "failed-application" | "unsupported-transports" | "media-error"),
        "{end:#}"
    );
    line.nothing_is_left(SOON);
}

#[test]
fn the_relay_dies_before_a_call() {
    let (mut line, mut relay) = line("relay-dead", &phone(Media::Plain));
    relay.kill();
    line.phone.dial(JULIET_URI);
    line.phone.call_event("CALL_CLOSED", LATE);
    let call = line.device.call(ROMEO, &["audio"]);
    line.device.ended(LATE, &call);
    line.nothing_is_left(SOON);
    // And when it is back, calls are, too.
    relay.restart(&line.place);
    let mut call = None;
    until("the gateway has seen that the relay is back", LATE, || {
        line.phone.forget();
        line.phone.dial(JULIET_URI);
        until("the call is answered or refused", LATE, || {
            call = line.device.take_all("incoming").pop();
            call.is_some() || line.phone.has("CALL_CLOSED")
        });
        call.is_some()
    });
    let call = call.and_then(|event| event["call"].as_str().map(str::to_owned)).expect("until() saw it");
    line.device.connected(SOON, &call).until_tone(PHONE, SOON);
    line.phone_hangs_up(&call);
}

/// Nobody hears anything any more: the call ends on both sides, and the next one is well.
#[test]
fn the_relay_dies_in_a_call() {
    let (mut line, mut relay) = line("relay-dies", &phone(Media::Plain));
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    relay.kill();
    line.device.ended(LATE, &call);
    line.phone.call_event("CALL_CLOSED", SOON);
    line.nothing_is_left(SOON);
    relay.restart(&line.place);
}
