//! A trunk with sipp as the provider: it takes the right credentials and no others.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, Place, Prosody, Settings, SipPhone, Sipp, SippMessage, XmppClient, json, until};
use std::net::SocketAddr;
use std::time::Duration;

/// The provider goes on and off; the gateway and the server stay.
struct Site {
    provider: SocketAddr,
    gateway: Gateway,
    prosody: Prosody,
    place: Place,
}

/// A trunk at `provider`; `more` is more of its table.
pub(crate) fn trunk(provider: SocketAddr, password: &str, more: &str) -> String {
    format!(
        "[[sip.trunk]]\nname = \"carrier\"\ndomains = [\"example.net\"]\nnumbers = [\"+\"]\nserver = \"sip:{provider}\"\n\
         registrar = \"carrier.example\"\nusername = \"4930123\"\npassword = \"{password}\"\nuser = \"juliet@example.com\"\n{more}\n"
    )
}

impl Site {
    fn new(name: &str, password: &str, more: &str) -> Site {
        let place = Place::new(name);
        let prosody = Prosody::start(&place, &["example.net"]);
        let provider = place.free();
        let mut settings = Settings::new(&prosody, place.free());
        settings.more = trunk(provider, password, more);
        let gateway = Gateway::start(&place, BINARY, &settings);
        Site { provider, gateway, prosody, place }
    }

    fn registrar(&self, password: &str, expires: &str) -> Sipp {
        let values = [("PASSWORD", password), ("EXPIRES", expires)];
        Sipp::playing(&self.place, self.provider, None, "trunk_registrar", &values)
    }

    /// How the gateway says that the trunk stands.
    fn standing(&self) -> String {
        let (_, page) = self.gateway.get("/sessions").expect("the page");
        page.split_once("\"trunks\":").map(|(_, trunks)| trunks.to_owned()).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&self, what: &str) {
        until(what, SOON, || self.standing().contains(what));
    }

    /// For how many seconds it is registered yet.
    fn registered(&self) -> Option<u64> {
        let standing = self.standing();
        let (_, number) = standing.split_once("\"registered\":")?;
        number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    fn metric(&self, line: &str) -> bool {
        self.gateway.get("/metrics").is_some_and(|(_, text)| text.lines().any(|l| l == line))
    }
}

/// Registration, then what it is for: a message of an XMPP user's goes out with the credentials, and one to the account comes to its user.
#[test]
fn a_trunk_is_registered_and_carries_messages_both_ways() {
    let mut site = Site::new("trunk-messages", "secret", "retry = \"1s\"");
    let mut provider = site.registrar("secret", "3600");
    let log = provider.finish(SOON);
    assert!(log.contains("REGISTER sip:carrier.example SIP/2.0"), "{log}");
    assert!(log.contains("From: <sip:4930123@carrier.example>"), "{log}");
    assert!(log.contains("Contact: <sip:juliet@"), "{log}");
    drop(provider);
    until("it is registered", SOON, || site.registered() > Some(3500));
    assert!(site.metric("verona_trunk_registered{trunk=\"carrier\"} 1"));

    let mut juliet = XmppClient::online(&site.place, &site.prosody, "juliet", "balcony");
    let mut provider = Sipp::playing(&site.place, site.provider, None, "trunk_carrier", &[]);
    juliet.send(json!({"to": "+4955512345@example.net", "body": "Wherefore art thou?"}));
    let log = provider.finish(SOON);
    assert!(log.contains("MESSAGE sip:+4955512345@example.net"), "{log}");
    assert!(juliet.messages().is_empty(), "no errors");
    drop(provider);

    // A provider says its own address of the caller, and the account's of whom it is for.
    let contact = format!("sip:juliet@{}", site.gateway.sip());
    let message = SippMessage {
        uri: &contact,
        sender: "sip:+4955512345@carrier.example",
        subject: "x",
        language: "en",
        text: "By a name I know not how to tell thee",
        expect: 200,
    };
    let mut provider = Sipp::sending(&site.place, site.provider, site.gateway.sip(), "u1", &message);
    let got = juliet.message(SOON, |_| true);
    assert_eq!((got.from.as_str(), got.body.as_deref()), ("+4955512345@example.net", Some(message.text)));
    provider.finish(SOON);
    drop(provider);

    // The end of the gateway is told to the provider.
    let mut provider =
        Sipp::playing(&site.place, site.provider, None, "trunk_registrar", &[("PASSWORD", "secret"), ("EXPIRES", "0")]);
    assert!(site.gateway.stop().success());
    let log = provider.finish(SOON);
    assert!(log.contains("Expires: 0"), "{log}");
}

/// Wrong credentials are tried once and never again; the right ones after a reload.
#[test]
fn a_wrong_password_is_said_and_not_tried_again() {
    let mut site = Site::new("trunk-wrong", "guess", "retry = \"1s\"");
    let mut provider = site.registrar("secret", "3600");
    provider.finish(SOON);
    drop(provider);
    site.wait_for("\"trouble\":\"403 Forbidden\"");
    assert!(site.standing().contains("\"again\":null"), "{}", site.standing());
    let mut quiet = SipPhone::listen(&site.place, "nobody", site.provider);
    quiet.no_request(Duration::from_secs(3), |_| true);
    drop(quiet);
    let mut provider = site.registrar("secret", "3600");
    let config = std::fs::read_to_string(site.gateway.config()).expect("the configuration");
    std::fs::write(site.gateway.config(), config.replace("\"guess\"", "\"secret\"")).expect("written");
    site.gateway.process().signal("HUP");
    provider.finish(SOON);
    until("it is registered", SOON, || site.registered() > Some(3500));
}

/// A provider that has forgotten everything has the gateway back when the time is up.
#[test]
fn a_provider_that_restarts_has_the_gateway_back() {
    let site = Site::new("trunk-restart", "secret", "retry = \"1s\"\nexpires = \"60s\"");
    let mut provider = site.registrar("secret", "4");
    provider.finish(SOON);
    drop(provider);
    until("it is registered", SOON, || site.registered().is_some());
    // Four seconds later there is another one, that knows nothing of before: the refresh comes with the old nonce, and is challenged anew.
    let mut provider = site.registrar("secret", "60");
    let log = provider.finish(Duration::from_secs(15));
    assert!(log.contains("nc=00000002") && log.contains("nc=00000001"), "{log}");
    until("it is registered again", SOON, || site.registered() > Some(10));
}
