//! Calls through a trunk, with sipp as the provider: it asks for credentials for each call, for each change in it and for its end, and looks at them.

use crate::line::{DEVICE, calls};
use crate::trunk_sipp::trunk;
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, JingleDevice, Place, Prosody, Rtpengine, Settings, SipPhone, Sipp, json, until};
use std::net::SocketAddr;
use std::time::Duration;

const NUMBER: &str = "+4955512345@example.net";

/// The provider goes on and off; the rest stays.
struct Site {
    provider: SocketAddr,
    device: JingleDevice,
    gateway: Gateway,
    _prosody: Prosody,
    place: Place,
}

impl Site {
    /// The gateway is registered, and juliet's device is there, which speaks what every telephone speaks.
    fn new(name: &str) -> Site {
        Site::at(Place::new(name), "")
    }

    /// The same, with these lines in `[media]`.
    fn at(place: Place, media: &str) -> Site {
        let prosody = Prosody::start(&place, &["example.net"]);
        let provider = place.free();
        let mut settings = Settings::new(&prosody, place.free());
        settings.more = format!("{}[media]\nenabled = true\n{media}\n", trunk(provider, "secret", "retry = \"1s\""));
        let values = [("PASSWORD", "secret"), ("EXPIRES", "3600")];
        let mut registrar = Sipp::playing(&place, provider, None, "trunk_registrar", &values);
        let gateway = Gateway::start(&place, BINARY, &settings);
        registrar.finish(SOON);
        let policy = json!({"codecs": ["PCMU"], "tone": DEVICE});
        let device = JingleDevice::online(&place, &prosody, "juliet", "balcony", policy);
        Site { provider, device, gateway, _prosody: prosody, place }
    }

    /// The provider plays this; `to` is whom it calls.
    fn provider(&self, scenario: &str, to: bool, values: &[(&str, &str)]) -> Sipp {
        let to = to.then(|| self.gateway.sip());
        Sipp::playing(&self.place, self.provider, to, scenario, values)
    }

    /// The Contact that the gateway has registered.
    fn contact(&self) -> String {
        format!("sip:juliet@{}", self.gateway.sip())
    }

    #[track_caller]
    fn nothing_is_left(&mut self) {
        until("no call is left", SOON, || self.device.calls().is_empty() && calls(&self.gateway) == Some(0));
    }
}

/// How many requests of this method came, and how many of them answer the challenge with this nonce.
fn asked(log: &str, method: &str, nonce: &str) -> (usize, usize) {
    let came = log.split("message received").skip(1);
    let came: Vec<_> =
        came.filter_map(|message| message.split("\n-----").next()?.split_once(&format!("\n{method} "))).collect();
    let answers = came.iter().filter(|(_, rest)| rest.contains(&format!("nonce=\"{nonce}\", uri="))).count();
    (came.len(), answers)
}

#[test]
fn an_xmpp_user_calls_a_number_and_proves_each_step() {
    let mut site = Site::new("trunk-callee");
    let mut provider = site.provider("trunk_callee", false, &[]);
    let call = site.device.call(NUMBER, &["audio"]);
    site.device.event("ringing", SOON, &call);
    site.device.event("answered", SOON, &call);
    site.device.tell(&call, "hold", json!({}));
    until("the change is proved and done", SOON, || {
        let log = provider.messages();
        asked(&log, "INVITE", "hold0b1c2d").1 == 1 && asked(&log, "ACK", "").0 == 4
    });
    site.device.tell(&call, "hangup", json!({}));
    let log = provider.finish(SOON);
    assert!(log.contains("INVITE sip:+4955512345@example.net"), "{log}");
    // Each is tried with what is known, and then with what was asked for.
    assert_eq!(asked(&log, "INVITE", "call0b1c2d"), (4, 2), "{log}");
    assert_eq!(asked(&log, "INVITE", "hold0b1c2d"), (4, 1), "{log}");
    assert_eq!(asked(&log, "BYE", "gone0b1c2d"), (2, 1), "{log}");
    site.nothing_is_left();
}

/// As providers are: plain RTP, which the relay makes of what the device says, and of it what the device hears.
#[test]
fn a_number_is_called_with_sound_through_the_relay() {
    let place = Place::new("trunk-sound");
    let relay = Rtpengine::start(&place);
    let mut site = Site::at(place, &format!("relay = \"ng:{}\"\nplain = [\"example.net\"]", relay.control()));
    let mut provider = Sipp::echoing(&site.place, site.provider, "trunk_echo", &[]);
    let call = site.device.call(NUMBER, &["audio"]);
    site.device.event("answered", SOON, &call);
    site.device.connected(SOON, &call).until_tone(DEVICE, SOON);
    site.device.tell(&call, "hangup", json!({}));
    let log = provider.finish(SOON);
    assert!(asked(&log, "INVITE", "call0b1c2d").1 == 1, "{log}");
    site.nothing_is_left();
    until("the relay has no call", SOON, || relay.calls() == 0);
}

#[test]
fn a_number_that_was_called_hangs_up() {
    let mut site = Site::new("trunk-hangup");
    let mut provider = site.provider("trunk_callee_hangs_up", false, &[("HOLD", "300")]);
    let call = site.device.call(NUMBER, &["audio"]);
    site.device.event("answered", SOON, &call);
    let end = site.device.ended(SOON, &call);
    assert_eq!((end["by"].as_str(), end["condition"].as_str()), (Some("them"), Some("success")), "{end:#}");
    provider.finish(SOON);
    site.nothing_is_left();
}

/// RFC 3261 §9.1: what is cancelled is the second INVITE, with its number and branch, and not the one that was challenged.
#[test]
fn a_call_with_credentials_is_given_up() {
    let mut site = Site::new("trunk-given-up");
    let mut provider = site.provider("trunk_given_up", false, &[]);
    let call = site.device.call(NUMBER, &["audio"]);
    site.device.event("ringing", SOON, &call);
    site.device.tell(&call, "hangup", json!({}));
    let log = provider.finish(SOON);
    let branch = |message: &str| Some(message.split_once("branch=")?.1.split([';', '\r', '\n']).next()?.to_owned());
    let branches = |method: &str| {
        let came = log.split("message received").filter(|message| message.contains(&format!("\n{method} ")));
        came.filter_map(branch).collect::<Vec<_>>()
    };
    let (asked, cancelled) = (branches("INVITE"), branches("CANCEL"));
    assert_eq!((asked.len(), cancelled.len()), (2, 1), "{log}");
    assert_eq!(asked[1], cancelled[0], "{log}");
    site.nothing_is_left();
}

/// A provider that takes no credentials is asked twice, and the caller hears that it cannot be.
#[test]
fn a_provider_that_refuses_is_not_asked_for_ever() {
    let mut site = Site::new("trunk-refused");
    let mut provider = SipPhone::listen(&site.place, "provider", site.provider);
    let challenge = "Digest realm=\"carrier.example\", nonce=\"never\", algorithm=MD5, qop=\"auth\"";
    let headers = json!([["WWW-Authenticate", challenge]]);
    provider.order_answer(json!({"code": 401, "reason": "Unauthorized", "headers": headers}));
    let call = site.device.call(NUMBER, &["audio"]);
    let end = site.device.ended(SOON, &call);
    assert_eq!(end["by"], "them", "{end:#}");
    site.nothing_is_left();
    provider.no_request(Duration::from_secs(1), |r| r.method.as_deref() == Some("INVITE") && r.cseq() > 2);
    let asked = provider.requests().into_iter().filter(|r| r.method.as_deref() == Some("INVITE"));
    let proofs: Vec<bool> = asked.map(|r| r.header("Authorization").contains("nonce=\"never\"")).collect();
    assert_eq!(proofs, [false, true]);
}

#[test]
fn a_number_calls_the_account_and_hangs_up() {
    let mut site = Site::new("trunk-caller");
    let contact = site.contact();
    let mut provider = site.provider("trunk_caller_hangs_up", true, &[("TO", &contact), ("HOLD", "300")]);
    let call = site.device.proposed(SOON);
    let answered = site.device.event("answered", SOON, &call);
    assert_eq!(answered["call"], call.as_str());
    let peer = site.device.look()["calls"][0]["peer"].as_str().unwrap_or_default().to_owned();
    assert!(peer.starts_with(NUMBER), "{peer}");
    let end = site.device.ended(SOON, &call);
    assert_eq!((end["by"].as_str(), end["condition"].as_str()), (Some("them"), Some("success")), "{end:#}");
    provider.finish(SOON);
    site.nothing_is_left();
}

/// What the gateway asks in a call that came from the provider, it proves as well.
#[test]
fn a_number_that_called_has_each_step_proved() {
    let mut site = Site::new("trunk-caller-asks");
    let contact = site.contact();
    let mut provider = site.provider("trunk_caller", true, &[("TO", &contact)]);
    let call = site.device.proposed(SOON);
    site.device.event("answered", SOON, &call);
    // What she does before the answer is on its way is in it.
    until("the provider has the answer", SOON, || provider.messages().contains("\nACK "));
    site.device.tell(&call, "hold", json!({}));
    until("the change is proved and done", SOON, || {
        let log = provider.messages();
        asked(&log, "INVITE", "hold0b1c2d").1 == 1 && asked(&log, "ACK", "").0 == 2
    });
    site.device.tell(&call, "hangup", json!({}));
    let log = provider.finish(SOON);
    assert_eq!(asked(&log, "INVITE", "hold0b1c2d"), (2, 1), "{log}");
    assert_eq!(asked(&log, "BYE", "gone0b1c2d"), (2, 1), "{log}");
    site.nothing_is_left();
}
