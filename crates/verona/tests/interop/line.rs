//! Where calls are tested: Prosody with a Jingle device, the gateway, and a phone behind it; and how it is seen that two hear each other and that
//! nothing of a call is left.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{
    Baresip, Gateway, JingleDevice, Place, Prosody, Recording, Settings, Sound, Value, json, until,
};
use std::net::SocketAddr;
use std::time::Duration;

/// For what takes as long as a timer of theirs.
pub(crate) const LATE: Duration = Duration::from_secs(40);
/// The device's user, as SIP writes it.
pub(crate) const JULIET_URI: &str = "sip:juliet@example.com";
/// The phone's, as XMPP writes it.
pub(crate) const ROMEO: &str = "romeo@example.net";
/// What the device says, in hertz, and what the phone says.
pub(crate) const DEVICE: f64 = 1000.0;
pub(crate) const PHONE: f64 = 440.0;

/// Everybody. Whoever goes first is the first to end.
pub(crate) struct Line {
    pub(crate) phone: Baresip,
    pub(crate) device: JingleDevice,
    pub(crate) gateway: Gateway,
    pub(crate) prosody: Prosody,
    pub(crate) place: Place,
}

impl Line {
    /// With this phone, a device of this policy, and these lines in `[media]`.
    pub(crate) fn new(name: &str, sound: &Sound, policy: Value, media: &str) -> Line {
        Line::at(Place::new(name), sound, policy, media)
    }

    /// As [`new`](Line::new), where something runs already.
    pub(crate) fn at(place: Place, sound: &Sound, policy: Value, media: &str) -> Line {
        Line::with(place, sound, policy, |settings| settings.more = format!("[media]\nenabled = true\n{media}\n"))
    }

    /// As [`at`](Line::at), with other settings.
    pub(crate) fn with(place: Place, sound: &Sound, policy: Value, change: impl FnOnce(&mut Settings)) -> Line {
        let prosody = Prosody::start(&place, &["example.net"]);
        let (phone_at, sip): (SocketAddr, SocketAddr) = (place.free(), place.free());
        let mut settings = Settings::new(&prosody, phone_at);
        change(&mut settings);
        let gateway = Gateway::start_at(&place, BINARY, sip, &settings);
        let phone = Baresip::calling(&place, "romeo", phone_at, sip, sound);
        let knows_proposals = policy["jmi"] != false;
        let mut device = JingleDevice::online(&place, &prosody, "juliet", "balcony", policy);
        if !knows_proposals {
            // Who is not proposed a call is found by presence alone.
            device.order("greet", json!({"to": ROMEO}));
            device.wait("greeted", SOON, |_| true);
        }
        Line { phone, device, gateway, prosody, place }
    }

    /// The device calls the phone, which answers by itself. Gives the call's name and what both hear.
    pub(crate) fn device_calls(&mut self, to: &str, media: &[&str]) -> (String, Ears) {
        let call = self.device.call(to, media);
        self.device.event("ringing", SOON, &call);
        self.device.event("answered", SOON, &call);
        self.phone.call_event("CALL_ESTABLISHED", SOON);
        let device = self.device.connected(SOON, &call);
        let phone = self.phone.heard(SOON);
        (call, Ears { device, phone })
    }

    /// The phone calls the device, which answers by its policy. Gives the call's name and what both hear.
    pub(crate) fn phone_calls(&mut self) -> (String, Ears) {
        self.phone.dial(JULIET_URI);
        let call = self.device.incoming(SOON);
        self.phone.call_event("CALL_ESTABLISHED", SOON);
        let device = self.device.connected(SOON, &call);
        let phone = self.phone.heard(SOON);
        (call, Ears { device, phone })
    }

    /// The device hangs up, and all of it is over.
    pub(crate) fn device_hangs_up(&mut self, call: &str) {
        self.device.tell(call, "hangup", json!({}));
        self.phone.call_event("CALL_CLOSED", SOON);
        self.nothing_is_left(SOON);
    }

    /// The phone hangs up, and all of it is over.
    pub(crate) fn phone_hangs_up(&mut self, call: &str) {
        self.phone.command("hangup", "");
        let end = self.device.ended(SOON, call);
        assert_eq!((end["by"].as_str(), end["condition"].as_str()), (Some("them"), Some("success")), "{end:#}");
        self.nothing_is_left(SOON);
    }

    /// Waits until the phone's call has failed. Gives the code.
    pub(crate) fn phone_is_refused(&mut self, patience: Duration) -> u16 {
        let closed = self.phone.call_event("CALL_CLOSED", patience);
        let why = closed["param"].as_str().unwrap_or_default();
        why.split(' ').next().and_then(|code| code.parse().ok()).expect("what failed has a code")
    }

    /// Nobody has a call: the device, the phone, the gateway.
    pub(crate) fn nothing_is_left(&mut self, patience: Duration) {
        until("no call is left", patience, || {
            let (device, phone, gateway) = (self.device.calls().len(), self.phone.calls(), calls(&self.gateway));
            device == 0 && phone == 0 && gateway == Some(0)
        });
    }
}

/// What both hear.
pub(crate) struct Ears {
    pub(crate) device: Recording,
    pub(crate) phone: Recording,
}

impl Ears {
    /// Each hears the other, now.
    pub(crate) fn both(&self) {
        self.device.until_tone(PHONE, SOON);
        self.phone.until_tone(DEVICE, SOON);
    }

    /// Nobody hears anything, now.
    pub(crate) fn neither(&self) {
        self.device.until_silent(SOON);
        self.phone.until_silent(SOON);
    }
}

/// How many calls the gateway says that it has, in all its shards; None: it does not say.
pub(crate) fn calls(gateway: &Gateway) -> Option<u64> {
    let (_, metrics) = gateway.get("/metrics")?;
    let shards = metrics.lines().filter(|line| line.starts_with("verona_calls{"));
    let counts = shards.map(|line| line.rsplit(' ').next().and_then(|count| count.parse().ok()));
    counts.collect::<Option<Vec<u64>>>().filter(|counts| !counts.is_empty()).map(|counts| counts.iter().sum())
}
