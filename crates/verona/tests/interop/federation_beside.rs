//! Components and a federated domain in one gateway: each of our domains has its own way to XMPP, whoever it speaks with.

use crate::federation::{Ground, Kind, Proof};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, Place, Prosody, Settings, SipPhone, XmppClient, json};

const COMPONENTS: [&str; 2] = ["phones.example.org", "lines.example.org"];

#[test]
fn components_and_a_federated_domain_side_by_side() {
    // Two servers that know nothing of each other, with users of the same domain: what one is told the other never hears.
    let (place, inside) = (Place::new("federation-beside"), Place::new("federation-inside"));
    let ground = Ground::new(&place, place.free(), place.free());
    let theirs = ground.server(&place, Kind::Prosody, Proof::Certificates);
    let ours = Prosody::start(&inside, &COMPONENTS);
    let mut phone = SipPhone::listen(&place, "romeo", place.free());
    let mut settings = Settings::new(&ours, phone.address());
    let component = |domain: &str| {
        let (server, secret) = (ours.component(), Prosody::SECRET);
        format!("[[xmpp.component]]\ndomain = \"{domain}\"\nserver = \"{server}\"\nsecret = \"{secret}\"\n\n")
    };
    settings.federation = Some(COMPONENTS.map(component).concat() + &ground.toml(Proof::Certificates));
    settings.components = ["example.net"].into_iter().chain(COMPONENTS).map(str::to_owned).collect();
    let gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, theirs.as_ref(), "juliet", "balcony");
    let mut nurse = XmppClient::online(&inside, &ours, "nurse", "hall");

    for domain in ["example.net", COMPONENTS[0], COMPONENTS[1]] {
        let (client, user) = if domain == "example.net" { (&mut juliet, "juliet") } else { (&mut nurse, "nurse") };
        let romeo = format!("romeo@{domain}");
        client.send(json!({"to": romeo, "body": format!("to {domain}")}));
        let got = phone.request(SOON, |r| r.method.as_deref() == Some("MESSAGE"));
        assert_eq!(got.body, Some(format!("to {domain}")));
        let (uri, from) = (format!("sip:{user}@example.com"), format!("<sip:{romeo}>;tag={user}"));
        let order = json!({"uri": uri, "headers": [["From", from]], "body": format!("from {domain}")});
        let token = phone.send(gateway.sip(), order);
        let heard = client.message(SOON, |_| true);
        assert_eq!((heard.body, heard.from), (Some(format!("from {domain}")), romeo));
        assert_eq!(phone.response(SOON, token).code, 200);
    }
    assert!(gateway.get("/ready").is_some_and(|(status, _)| status == 200));
}
