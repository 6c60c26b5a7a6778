//! XMPP users with SIP accounts of their own: clients on Prosody and ejabberd, Kamailio as the registrar.

use crate::world::{BINARY, SOON};
use rehearsal::peers::{
    Ejabberd, Gateway, Kamailio, Place, Prosody, Settings, SipPhone, XmppClient, XmppMessage, XmppServer, json, until,
};
use std::net::SocketAddr;
use std::time::Duration;

/// The gateway's own address.
pub(crate) const GATEWAY: &str = "example.net";
/// The password of the account that is linked.
pub(crate) const PASSWORD: &str = "wherefore-art-thou";

/// What the gateway is told: accounts, kept on disk, at a registrar that does not ask for the password.
pub(crate) fn settings(server: &dyn XmppServer, proxy: SocketAddr) -> Settings {
    let mut settings = strict(server, proxy);
    settings.more += "unproved = true\n";
    settings
}

/// The same at one that does.
pub(crate) fn strict(server: &dyn XmppServer, proxy: SocketAddr) -> Settings {
    let mut settings = Settings::new(server, proxy);
    settings.store = "redb:verona.redb";
    settings.more = "[xmpp.accounts]\nenabled = true\nkey_file = \"keys/accounts.key\"\n".to_owned();
    settings
}

/// The value of an attribute in what came.
fn attribute(raw: &str, name: &str) -> String {
    let at = raw.find(&format!("{name}=\"")).expect("the attribute");
    raw[at + name.len() + 2..].split('"').next().unwrap_or_default().to_owned()
}

/// Runs a command with these fields, and gives the answer.
pub(crate) fn run(client: &mut XmppClient, node: &str, fields: &[(&str, &str)]) -> String {
    const NS: &str = "http://jabber.org/protocol/commands";
    let first = client.iq("set", GATEWAY, &format!("<command xmlns='{NS}' node='{node}' action='execute'/>")).raw;
    if !first.contains("executing") {
        return first;
    }
    let session = attribute(&first, "sessionid");
    let field = |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    let form = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
    let command =
        format!("<command xmlns='{NS}' node='{node}' sessionid='{session}' action='complete'>{form}</command>");
    client.iq("set", GATEWAY, &command).raw
}

pub(crate) fn link(client: &mut XmppClient, password: &str) -> String {
    run(client, "link", &[("username", "jules"), ("password", password)])
}

/// A MESSAGE from the phone to the account. Gives the status.
pub(crate) fn write_to_jules(phone: &mut SipPhone, proxy: SocketAddr, text: &str) -> u16 {
    let token = phone.send(proxy, json!({"uri": "sip:jules@example.net", "body": text}));
    phone.response(SOON, token).code
}

/// Linked, spoken with, found again after a crash, and unlinked.
#[test]
fn an_account_at_kamailio() {
    let place = Place::new("accounts");
    let prosody = Prosody::start(&place, &[GATEWAY]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
    let mut gateway = Gateway::start_at(&place, BINARY, sip, &settings(&prosody, proxy));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);

    assert!(
        juliet
            .iq("get", GATEWAY, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
            .raw
            .contains("jabber:iq:register")
    );
    assert_eq!(write_to_jules(&mut romeo, proxy, "nobody there"), 404);
    let linked = link(&mut juliet, PASSWORD);
    assert!(linked.contains("The account is linked."), "{linked}");

    // It is reached by its own address, and speaks by it.
    assert_eq!(write_to_jules(&mut romeo, proxy, "she speaks"), 200);
    let got = juliet.message(SOON, |m| m.body.as_deref() == Some("she speaks"));
    assert_eq!(got.from, "romeo@example.net");
    juliet.send(json!({"to": "romeo@example.net", "body": "ay me"}));
    let got = romeo.request(SOON, |r| r.body.as_deref() == Some("ay me"));
    assert!(got.header("From").starts_with("<sip:jules@example.net>"), "{}", got.raw);
    // Neither on disk nor in a log is the password, nor in what the operator sees.
    let said = |gateway: &mut Gateway| {
        let pages = ["/metrics", "/status", "/sessions"]
            .map(|page| gateway.get(page).map(|(_, text)| text).unwrap_or_default());
        gateway.process().log() + &pages.concat()
    };
    assert!(!said(&mut gateway).contains(PASSWORD));

    // Killed and started again, it registers anew: the registrar has lost nothing, and has a fresh binding.
    gateway.kill();
    let store = std::fs::read(place.dir().join("verona.redb")).expect("the store");
    assert!(!store.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
    let key = std::fs::metadata(place.dir().join("keys/accounts.key")).expect("the key");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    gateway.restart(&place);
    until("the account is registered again", SOON, || run(&mut juliet, "status", &[]).contains("Registered."));
    assert_eq!(write_to_jules(&mut romeo, proxy, "and again"), 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("and again"));

    let unlinked = run(&mut juliet, "unlink", &[]);
    assert!(unlinked.contains("not linked any more"), "{unlinked}");
    until("the binding is gone", SOON, || write_to_jules(&mut romeo, proxy, "farewell") == 404);
    juliet.send(json!({"to": "romeo@example.net", "body": "myself"}));
    let got = romeo.request(SOON, |r| r.body.as_deref() == Some("myself"));
    assert!(got.header("From").starts_with("<sip:juliet@example.com"), "{}", got.raw);
    assert!(!said(&mut gateway).contains(PASSWORD));
}

/// A registrar that asks who it is: a wrong password is told, and leaves nothing; with the right one all that she sends is proved by it.
#[test]
fn a_registrar_that_asks_for_the_password() {
    let place = Place::new("accounts-digest");
    let prosody = Prosody::start(&place, &[GATEWAY]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::with_password(&place, proxy, sip, PASSWORD);
    let _gateway = Gateway::start_at(&place, BINARY, sip, &strict(&prosody, proxy));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);

    let refused = link(&mut juliet, "wrong");
    assert!(refused.contains("The registrar refuses this name or password."), "{refused}");
    assert!(run(&mut juliet, "status", &[]).contains("You have linked no account."));
    assert_eq!(write_to_jules(&mut romeo, proxy, "nobody there"), 404);

    let linked = link(&mut juliet, PASSWORD);
    assert!(linked.contains("The account is linked."), "{linked}");
    for text in ["one", "two"] {
        juliet.send(json!({"to": "romeo@example.net", "body": text}));
        let got = romeo.request(SOON, |r| r.body.as_deref() == Some(text));
        assert!(got.header("From").starts_with("<sip:jules@example.net>"), "{}", got.raw);
        assert_eq!(got.header("Proxy-Authorization"), "", "what the proxy was shown goes no further");
    }
    // Whoever only says to be jules is not.
    let token = romeo.send(proxy, json!({"uri": "sip:romeo@example.net", "body": "I am she", "headers": [["From", "<sip:jules@example.net>;tag=1"]]}));
    assert_eq!(romeo.response(SOON, token).code, 407);
}

/// ejabberd lets the gateway do things in its users' names: a contact that was found is in the roster, and what her telephone sends is shown
/// on her other devices.
#[test]
fn a_server_that_trusts_the_gateway() {
    let place = Place::new("accounts-privileges");
    let ejabberd = Ejabberd::trusting(&place, &[GATEWAY]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::start(&place, proxy, sip, Duration::from_secs(2));
    let _gateway = Gateway::start_at(&place, BINARY, sip, &settings(&ejabberd, proxy));
    let mut juliet = XmppClient::online(&place, &ejabberd, "juliet", "balcony");
    let mut nurse = XmppClient::online(&place, &ejabberd, "nurse", "chamber");
    let mut jules = SipPhone::listen(&place, "jules", place.free());
    jules.register(kamailio.address(), "jules", Kamailio::DOMAIN);
    let linked = link(&mut juliet, PASSWORD);
    assert!(linked.contains("The account is linked."), "{linked}");

    let found = run(&mut juliet, "find", &[("number", "romeo"), ("add", "1")]);
    assert!(found.contains("romeo@example.net") && found.contains("Your server was asked"), "{found}");
    let roster =
        |juliet: &mut XmppClient| juliet.iq("get", "juliet@example.com", "<query xmlns='jabber:iq:roster'/>").raw;
    // ejabberd 23.01 grants it, and fails when it is asked: then her program is.
    until("the contact is in the roster, or proposed", SOON, || {
        let proposed = |m: &XmppMessage| m.raw.contains("http://jabber.org/protocol/rosterx");
        roster(&mut juliet).contains("romeo@example.net") || juliet.messages().iter().any(proposed)
    });

    let token = jules.send(proxy, json!({"uri": "sip:nurse@example.com", "body": "where is my lady?", "headers": [["From", "<sip:jules@example.net>;tag=1"]]}));
    assert_eq!(jules.response(SOON, token).code, 200);
    assert_eq!(nurse.message(SOON, |m| m.body.as_deref() == Some("where is my lady?")).from, "jules@example.net");
    let copy = juliet.message(SOON, |m| m.raw.contains("urn:xmpp:carbons:2"));
    assert_eq!(copy.from, "juliet@example.com");
    assert!(
        copy.raw.contains("sent") && copy.raw.contains("nurse@example.com") && copy.raw.contains("where is my lady?"),
        "{}",
        copy.raw
    );
}

/// Prosody grants nothing: what a client would have to do itself it is asked to.
#[test]
fn a_server_that_grants_nothing() {
    let place = Place::new("accounts-plain");
    let prosody = Prosody::start(&place, &[GATEWAY]);
    let proxy = place.free();
    let mut settings = settings(&prosody, proxy);
    settings.more_sip = "phone_domain = \"example.net\"".to_owned();
    let _gateway = Gateway::start(&place, BINARY, &settings);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let prompt = |juliet: &mut XmppClient, text: &str| {
        juliet.iq("set", GATEWAY, &format!("<query xmlns='jabber:iq:gateway'><prompt>{text}</prompt></query>")).raw
    };
    assert!(prompt(&mut juliet, "+49 (0)30 123-456").contains("+4930123456@example.net"));
    assert!(prompt(&mut juliet, "sip:O'Malley@example.net").contains("o\\27malley@example.net"));
    assert!(prompt(&mut juliet, "romeo@elsewhere.example").contains("item-not-found"));
    let search = "<query xmlns='jabber:iq:search'><x xmlns='jabber:x:data' type='submit'><field var='number'><value>+49 30 1234</value></field></x></query>";
    assert!(juliet.iq("set", GATEWAY, search).raw.contains("+49301234@example.net"));
    let found = run(&mut juliet, "find", &[("number", "+49 30 1234"), ("add", "1")]);
    assert!(found.contains("was proposed to your program"), "{found}");
    juliet.message(SOON, |m| m.from == GATEWAY && m.raw.contains("http://jabber.org/protocol/rosterx"));
}
