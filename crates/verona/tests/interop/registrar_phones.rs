//! Phones that register at the gateway itself: no proxy, no registrar, nothing but Prosody and them.

use crate::presence::send;
use crate::world::{BINARY, SOON};
use rehearsal::peers::{
    Baresip, Gateway, Place, Prosody, Settings, SipMessage, SipPhone, Value, XmppClient, json, until,
};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) const ROMEO: &str = "romeo@example.net";

/// baresip 1 gives up when it is offered an algorithm that it does not know, even beside one that it does.
pub(crate) const MD5: &str = "algorithms = [\"MD5\"]\n";

/// Prosody, and the gateway with the account romeo, whose password is "rose".
pub(crate) struct Home {
    pub(crate) gateway: Gateway,
    pub(crate) prosody: Prosody,
    pub(crate) place: Place,
}

impl Home {
    #[track_caller]
    pub(crate) fn new(name: &str, more: &str) -> Home {
        Home::with(Place::new(name), more, |_| {})
    }

    /// As [`new`](Home::new), with other settings. `more` is more of `[sip.registrar]`.
    #[track_caller]
    pub(crate) fn with(place: Place, more: &str, change: impl FnOnce(&mut Settings)) -> Home {
        let prosody = Prosody::start(&place, &["example.net"]);
        let mut settings = Settings::new(&prosody, place.free());
        settings.proxied = false;
        settings.store = "redb:verona.redb";
        settings.more_sip = format!("[sip.registrar]\ndomains = [\"example.net\"]\n{more}");
        change(&mut settings);
        let gateway = Gateway::start(&place, BINARY, &settings);
        let home = Home { gateway, prosody, place };
        assert_eq!(home.account(&["add", ROMEO], "rose\n"), (true, format!("{ROMEO} is an account\n")));
        home
    }

    /// `verona account`, with the rest of its arguments and what it reads. Whether it worked, and what it said.
    #[track_caller]
    fn account(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let (what, rest) = arguments.split_first().expect("a command");
        let mut command = Command::new(BINARY);
        command.args(["account", what, "-c"]).arg(self.gateway.config()).args(rest);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is there");
        // What it does not read is no fault.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    pub(crate) fn juliet(&self) -> XmppClient {
        XmppClient::online(&self.place, &self.prosody, "juliet", "balcony")
    }

    /// baresip as romeo.
    fn baresip(&self, at: SocketAddr, password: &str) -> Baresip {
        let account = format!(
            "<sip:{ROMEO};transport=udp>;auth_pass={password};regint=60;outbound=\"sip:{};transport=udp\"",
            self.gateway.sip()
        );
        Baresip::watching(&self.place, at, &account, "sip:juliet@example.com")
    }

    /// How many contacts romeo has.
    #[track_caller]
    pub(crate) fn contacts(&self) -> u64 {
        let (good, said) = self.account(&["list", "--json"], "");
        assert!(good, "{said}");
        let listed: Value = serde_json::from_str(said.lines().next().unwrap_or_default()).expect("a line of JSON");
        assert_eq!(listed["account"], ROMEO);
        listed["contacts"].as_u64().expect("a number")
    }

    /// A request of a phone that is romeo, with its credentials when it is asked for them.
    #[track_caller]
    fn ask(&self, phone: &mut SipPhone, password: &str, mut fields: Value) -> SipMessage {
        fields["auth"] = json!(["romeo", password]);
        let token = phone.send(self.gateway.sip(), fields);
        phone.response(SOON, token)
    }

    #[track_caller]
    fn register(&self, phone: &mut SipPhone, password: &str, expires: u32) -> SipMessage {
        let contact = format!("<sip:romeo@{}>;expires={expires}", phone.address());
        let headers =
            json!([["From", format!("<sip:{ROMEO}>;tag=r")], ["To", format!("<sip:{ROMEO}>")], ["Contact", contact]]);
        self.ask(phone, password, json!({"method": "REGISTER", "uri": "sip:example.net", "headers": headers}))
    }
}

/// Acceptance 2 of "at home on both networks": digest, chat both ways, presence both ways, with nothing else installed.
#[test]
fn baresip_registers_and_chats_and_sees_presence() {
    let home = Home::new("registrar-baresip", MD5);
    let mut juliet = home.juliet();
    let mut romeo = home.baresip(home.place.free(), "rose");
    romeo.wait_registered();
    assert_eq!(home.contacts(), 1);

    juliet.presence(SOON, "subscribe", ROMEO);
    send(&mut juliet, "subscribed");
    romeo.wait_contact("Online", SOON);
    send(&mut juliet, "subscribe");
    juliet.presence(SOON, "subscribed", ROMEO);
    // It says nothing of itself before it is told to. Each NOTIFY of its proves who it is.
    romeo.command("presence_online", "");
    juliet.presence_of(SOON, "", ROMEO);

    for text in ["art thou not Romeo?", "<>&\"'", "\u{1f339}"] {
        romeo.send(text);
        let got = juliet.message(SOON, |_| true);
        assert_eq!((got.from.as_str(), got.body.as_deref()), (ROMEO, Some(text)));
        let text = format!("back: {text}");
        juliet.send(json!({"to": ROMEO, "body": text, "thread": got.thread}));
        romeo.wait_shown(&format!("sip:juliet@example.com;gr=balcony: \"{text}\""), SOON);
    }
    assert!(juliet.messages().is_empty(), "no errors");
    // The end of the phone takes its contact away.
    romeo.command("quit", "");
    until("the phone is not registered any more", SOON, || home.contacts() == 0);
    let id = juliet.send(json!({"to": ROMEO, "body": "still there?"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
}

#[test]
fn a_wrong_password_gets_nobody_in() {
    let home = Home::new("registrar-wrong", MD5);
    let mut juliet = home.juliet();
    let at = home.place.free();
    let mut thief = home.baresip(at, "guess");
    until("baresip is refused", SOON, || thief.log().contains("401 "));
    thief.send("it is me");
    let mut phone = SipPhone::listen(&home.place, "thief", home.place.free());
    assert_eq!(home.register(&mut phone, "guess", 60).code, 401);
    let message = json!({"uri": "sip:juliet@example.com", "body": "it is me"});
    assert_eq!(home.ask(&mut phone, "guess", message.clone()).code, 401);
    juliet.no_message(Duration::from_millis(500), |_| true);
    assert_eq!(home.contacts(), 0);
    let id = juliet.send(json!({"to": ROMEO, "body": "Romeo?"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
    let id = juliet.send(json!({"to": "rosaline@example.net", "body": "Rosaline?"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "item-not-found");
    // The same phone with the right one, as another user: no.
    let forged = json!([["From", "<sip:tybalt@example.net>;tag=t"]]);
    let message = json!({"uri": "sip:juliet@example.com", "body": "it is Tybalt", "headers": forged});
    assert_eq!(home.ask(&mut phone, "rose", message).code, 403);
}

/// A registration that is not refreshed, a gateway that is killed, and accounts that change while it runs and while it does not.
#[test]
fn contacts_expire_and_outlive_the_process() {
    let mut home = Home::new("registrar-time", "min_expires = \"1s\"\n");
    let mut juliet = home.juliet();
    let mut phone = SipPhone::listen(&home.place, "romeo", home.place.free());
    let answer = home.register(&mut phone, "rose", 300);
    assert_eq!((answer.code, answer.list("Contact").len()), (200, 1), "{}", answer.raw);
    home.gateway.kill();
    home.gateway.restart(&home.place);
    juliet.send(json!({"to": ROMEO, "body": "after the fall"}));
    let got = phone.request(SOON, |r| r.body.as_deref() == Some("after the fall"));
    assert_eq!(got.uri, Some(format!("sip:romeo@{}", phone.address())));
    // Two seconds.
    assert_eq!(home.register(&mut phone, "rose", 2).code, 200);
    // What the gateway itself knows; the store has whole seconds.
    let none = |(_, page): (u16, String)| page.contains("\nverona_phone_contacts 0\n");
    until("it expires", SOON, || home.gateway.get("/metrics").is_some_and(none));
    let id = juliet.send(json!({"to": ROMEO, "body": "too late"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
    // Another password, while the gateway runs.
    assert_eq!(home.register(&mut phone, "rose", 300).code, 200);
    let (good, said) = home.account(&["add", ROMEO], "thorn\n");
    assert!(good && said.contains("another password"), "{said}");
    until("its contact is gone", SOON, || home.contacts() == 0);
    assert_eq!(home.register(&mut phone, "rose", 300).code, 401);
    assert_eq!(home.register(&mut phone, "thorn", 300).code, 200);
    // Removed while it is stopped.
    assert!(home.gateway.stop().success());
    let (good, said) = home.account(&["remove", ROMEO], "");
    assert!(good, "{said}");
    assert_eq!(home.account(&["list"], ""), (true, String::new()));
    home.gateway.restart(&home.place);
    assert_eq!(home.register(&mut phone, "thorn", 300).code, 401);
    let id = juliet.send(json!({"to": ROMEO, "body": "gone"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "item-not-found");
}

/// RFC 3261 §16.6: all phones of an account are asked at once, and the first that takes it has it.
#[test]
fn two_phones_of_one_account() {
    let home = Home::new("registrar-two", "");
    let mut juliet = home.juliet();
    let mut desk = SipPhone::listen(&home.place, "desk", home.place.free());
    let mut pocket = SipPhone::listen(&home.place, "pocket", home.place.free());
    for phone in [&mut desk, &mut pocket] {
        assert_eq!(home.register(phone, "rose", 300).code, 200);
    }
    assert_eq!(home.contacts(), 2);
    desk.answer(486, "Busy Here");
    juliet.send(json!({"to": ROMEO, "body": "to whom it concerns"}));
    for phone in [&mut desk, &mut pocket] {
        phone.request(SOON, |r| r.body.as_deref() == Some("to whom it concerns"));
    }
    // One refused, one took it.
    juliet.no_message(Duration::from_secs(1), |_| true);
    pocket.answer(486, "Busy Here");
    let id = juliet.send(json!({"to": ROMEO, "body": "nobody"}));
    assert_eq!(juliet.error(SOON, &id).condition(), "recipient-unavailable");
}
