//! Programs that die in calls, and people who do two things at once. However it goes: the call goes on for both sides or ends for both, and nobody
//! is left with a ghost.

use crate::line::{DEVICE, JULIET_URI, LATE, Line, ROMEO};
use crate::world::SOON;
use rehearsal::peers::{Media, Place, Sound, json, until};
use std::time::Duration;

/// How long a ghost may walk.
const MINUTE: Duration = Duration::from_secs(60);

/// baresip with ICE and DTLS-SRTP that takes every call.
fn secure() -> Sound {
    Sound { media: Media::Secure, account: ";answermode=auto".to_owned(), ..Sound::default() }
}

#[test]
fn the_xmpp_server_restarts_in_a_call() {
    let mut line = Line::new("calls-prosody", &secure(), json!({"tone": DEVICE}), "");
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.prosody.kill();
    line.device.wait_offline();
    let place = &line.place;
    line.prosody.restart(place);
    line.device.connect(&line.prosody);
    line.gateway.wait_ready(LATE);
    if line.device.calls().is_empty() || line.phone.calls() == 0 {
        line.nothing_is_left(MINUTE);
    } else {
        // Their media never went through the server.
        ears.both();
        line.phone.command("hangup", "");
        line.device.ended(MINUTE, &call);
        line.nothing_is_left(MINUTE);
    }
    let (call, ears) = line.phone_calls();
    ears.both();
    line.device_hangs_up(&call);
}

/// With a store the gateway knows whom it had in which call: both sides hear that it is over.
#[test]
fn the_gateway_is_killed_in_a_call() {
    let change = |settings: &mut rehearsal::peers::Settings| {
        settings.store = "redb:verona.redb";
        settings.more = "[media]\nenabled = true\n".to_owned();
    };
    let mut line = Line::with(Place::new("calls-killed"), &secure(), json!({"tone": DEVICE}), change);
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    let records = |line: &Line| {
        let (_, metrics) = line.gateway.get("/metrics").unwrap_or_default();
        metrics.lines().any(|l| l.starts_with("verona_store_records ") && !l.ends_with(" 0"))
    };
    until("the store has it", SOON, || records(&line));
    line.gateway.kill();
    line.gateway.restart(&line.place);
    let end = line.device.ended(LATE, &call);
    assert_eq!(end["by"], "them", "{end:#}");
    line.phone.call_event("CALL_CLOSED", LATE);
    line.nothing_is_left(MINUTE);
    let (call, ears) = line.phone_calls();
    ears.both();
    line.phone_hangs_up(&call);
}

/// A device that refuses the session-initiate, and one that takes it and never says so. Another one may still take the proposal, so it rings on; the
/// phone hears a final response in time.
#[test]
fn a_device_says_nothing_or_refuses_the_request() {
    let policy = json!({"tone": DEVICE, "jmi": false, "answer": "error", "condition": "not-acceptable"});
    let mut line = Line::new("calls-deaf", &secure(), policy, "ring = \"5s\"");
    for answer in ["error", "deaf"] {
        line.device.policy(json!({"answer": answer}));
        line.phone.dial(JULIET_URI);
        let code = line.phone_is_refused(LATE);
        assert!(matches!(code, 408 | 480), "{answer}: {code}");
        line.nothing_is_left(SOON);
    }
    // What it can do it can do still.
    line.device.policy(json!({"answer": "accept"}));
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.phone_hangs_up(&call);
}

/// A device that is gone cannot say so: whoever asks now and then finds out.
#[test]
fn a_device_dies_in_a_call() {
    let mut line = Line::new("calls-gone", &secure(), json!({"tone": DEVICE}), "check = \"2s\"");
    let (_, ears) = line.phone_calls();
    ears.both();
    line.device.kill();
    line.phone.call_event("CALL_CLOSED", MINUTE);
    until("the gateway has no call", SOON, || crate::line::calls(&line.gateway) == Some(0));
}

#[test]
fn both_hang_up_at_once() {
    let mut line = Line::new("calls-race", &secure(), json!({"tone": DEVICE}), "");
    for _ in 0..3 {
        let (call, _) = line.device_calls(ROMEO, &["audio"]);
        line.device.tell(&call, "hangup", json!({}));
        line.phone.command("hangup", "");
        line.device.ended(SOON, &call);
        line.nothing_is_left(SOON);
    }
}

/// Re-INVITE and content-modify cross: in the end both have said that they go on, and hear each other.
#[test]
fn both_hold_at_once_and_go_on_at_once() {
    let mut line = Line::new("calls-glare", &secure(), json!({"tone": DEVICE}), "");
    let (call, ears) = line.device_calls(ROMEO, &["audio"]);
    ears.both();
    line.device.tell(&call, "hold", json!({"manner": "both"}));
    line.phone.command("hold", "");
    ears.neither();
    line.device.event("held", SOON, &call);
    line.device.tell(&call, "resume", json!({"manner": "both"}));
    line.phone.command("resume", "");
    line.device.event("resumed", SOON, &call);
    ears.both();
    line.device_hangs_up(&call);
}

/// CANCEL and the answer cross: either there is a call or there is none, for all.
#[test]
fn an_answer_and_a_cancel_cross() {
    let mut line = Line::new("calls-cross", &secure(), json!({"tone": DEVICE, "answer": "ring"}), "");
    for _ in 0..3 {
        line.phone.dial(JULIET_URI);
        let call = line.device.proposed(SOON);
        line.phone.call_event("CALL_RINGING", SOON);
        line.device.tell(&call, "accept", json!({}));
        line.phone.command("hangup", "");
        line.nothing_is_left(LATE);
        line.phone.forget();
    }
}
