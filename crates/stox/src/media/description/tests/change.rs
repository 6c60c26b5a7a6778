//! What changes in a call that stands.

use super::first::{browser, called, calling, candidate, does, names, text, webrtc};
use super::sdp;
use crate::media::description::{Change, Description, Due};
use bodies::sdp::Sdp;
use xmpp::ext::jingle::{Action, Info, Jingle, Senders};

fn actions(said: &[Jingle]) -> Vec<Action> {
    said.iter().map(|jingle| jingle.action).collect()
}

fn hold(info: &str) -> Jingle {
    does("session-info", &format!("<{info} xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"))
}

fn modify(senders: &str) -> Jingle {
    does("content-modify", &format!("<content creator='initiator' name='0' senders='{senders}'/>"))
}

/// The SIP side's audio.
fn audio(setup: &str, direction: &str) -> String {
    browser("audio", "0", "sipp", setup, direction, "192.0.2.3 6000")
}

fn nothing() -> Change {
    Change { say: Vec::new(), sip: Due::Nothing }
}

/// The direction of the first media description.
fn direction(sdp: &Sdp) -> &'static str {
    sdp.direction(&sdp.media[0]).name()
}

#[test]
fn the_xmpp_user_holds_and_resumes() {
    for description in [called(), calling()] {
        let mut description: Description = description;
        for (info, offered, answer) in [("hold", "sendonly", "recvonly"), ("active", "sendrecv", "sendrecv")] {
            let change = description.heard(&hold(info)).expect("heard");
            assert_eq!(change, Change { say: Vec::new(), sip: Due::Offer });
            assert!(description.due());
            assert_eq!(direction(&description.offer()), offered);
            assert!(!description.due());
            assert_eq!(description.settled(&sdp(&audio("passive", answer))).expect("an answer"), [], "{info}");
            assert_eq!(description.heard(&hold(info)).expect("heard"), nothing(), "it is as it was");
        }
    }
}

#[test]
fn the_sip_user_holds_and_resumes() {
    for (spelling, answer) in [("sendonly", "recvonly"), ("inactive", "inactive")] {
        for description in [called(), calling()] {
            let mut description: Description = description;
            let asked = description.offered(&sdp(&audio("actpass", spelling))).expect("an offer");
            assert!(!asked.waits);
            let info = asked.say.last().expect("something is said");
            assert_eq!(info.infos, [Info::Hold]);
            // Who sends is only said where it is the SIP user's own affair.
            assert_eq!(asked.say.len(), if spelling == "inactive" { 2 } else { 1 });
            assert_eq!(direction(&description.answer()), answer);
            let asked = description.offered(&sdp(&audio("actpass", "sendrecv"))).expect("an offer");
            assert_eq!(asked.say.last().map(|said| said.infos.clone()), Some(vec![Info::Unhold]));
            assert_eq!(direction(&description.answer()), "sendrecv");
        }
    }
}

#[test]
fn who_does_not_know_hold_is_told_who_sends() {
    let mut description = called();
    description.offered(&sdp(&audio("actpass", "sendonly"))).expect("an offer");
    description.answer();
    let error = xmpp::ext::jingle::Error::UnsupportedInfo.to_stanza_error();
    let change = description.replied(Action::SessionInfo, Some(&error));
    assert_eq!(actions(&change.say), [Action::ContentModify]);
    assert_eq!(change.say[0].contents[0].senders, Some(Senders::Responder));
    assert_eq!(description.replied(Action::SessionInfo, Some(&error)), nothing());
    let asked = description.offered(&sdp(&audio("actpass", "sendrecv"))).expect("an offer");
    assert_eq!(actions(&asked.say), [Action::ContentModify]);
    assert_eq!(asked.say[0].contents[0].senders, Some(Senders::Both));
}

#[test]
fn a_content_modify_is_an_offer() {
    let mut description = called();
    assert_eq!(description.heard(&modify("initiator")).expect("heard").sip, Due::Offer);
    assert_eq!(direction(&description.offer()), "sendonly");
    assert_eq!(description.settled(&sdp(&audio("active", "recvonly"))).expect("an answer"), []);
    assert_eq!(description.heard(&modify("both")).expect("heard").sip, Due::Offer);
    assert_eq!(direction(&description.offer()), "sendrecv");
    // The SIP user has put the call on hold meanwhile.
    let said = description.settled(&sdp(&audio("active", "inactive"))).expect("an answer");
    assert_eq!(actions(&said), [Action::ContentModify, Action::SessionInfo]);
    assert_eq!(said[0].contents[0].senders, Some(Senders::Initiator));
}

#[test]
fn the_xmpp_user_adds_video() {
    let mut description = called();
    let add = does(
        "content-add",
        &webrtc("1", "video", "vide", "actpass", &candidate("192.0.2.2", 5002), "creator='initiator'"),
    );
    assert_eq!(description.heard(&add).expect("heard").sip, Due::Offer);
    let offer = description.offer();
    assert_eq!((offer.media.len(), offer.media[1].port), (2, 5002), "{}", text(&offer));
    let answer = format!(
        "{}{}",
        audio("active", "sendrecv"),
        browser("video", "1", "sipv", "active", "recvonly", "192.0.2.3 6002")
    );
    let said = description.settled(&sdp(&answer)).expect("an answer");
    // What is accepted has to be what was added, so that it is said before what it is.
    assert_eq!(actions(&said), [Action::ContentModify, Action::ContentAccept]);
    assert_eq!(said[1].contents[0].senders, Some(Senders::Initiator));
    let remove = does("content-remove", "<content creator='initiator' name='1'/>");
    assert_eq!(description.heard(&remove).expect("heard").sip, Due::Offer);
    assert_eq!(description.offer().media[1].port, 0);
    let answer = format!("{}m=video 0 UDP/TLS/RTP/SAVPF 96\n", audio("active", "sendrecv"));
    assert_eq!(description.settled(&sdp(&answer)).expect("an answer"), []);
    // The place is used again.
    assert_eq!(description.heard(&add).expect("heard").sip, Due::Offer);
    assert_eq!(description.offer().media.len(), 2);
    let said = description.settled(&sdp(&answer)).expect("an answer");
    assert_eq!(actions(&said), [Action::ContentReject]);
    assert_eq!(names(&said[0].contents), ["1"]);
    assert_eq!(
        description.heard(&does("content-remove", "<content creator='initiator' name='0'/>")).expect("heard").sip,
        Due::Over
    );
}
