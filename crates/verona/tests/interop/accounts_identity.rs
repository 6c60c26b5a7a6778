//! Accounts in the wrong hands: another user's account, and records that were moved on disk.

use crate::accounts_linking::{GATEWAY, PASSWORD, link, run, settings, strict, write_to_jules};
use crate::world::{BINARY, SOON};
use rehearsal::peers::{Gateway, Kamailio, Place, Prosody, SipPhone, XmppClient, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The nurse knows neither the password nor more than before, and Juliet's account is hers still.
#[test]
fn another_users_account() {
    let place = Place::new("accounts-another");
    let prosody = Prosody::start(&place, &[GATEWAY]);
    let (sip, proxy) = (place.free(), place.free());
    let kamailio = Kamailio::with_password(&place, proxy, sip, PASSWORD);
    let _gateway = Gateway::start_at(&place, BINARY, sip, &strict(&prosody, proxy));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut nurse = XmppClient::online(&place, &prosody, "nurse", "chamber");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);
    assert!(link(&mut juliet, PASSWORD).contains("The account is linked."));

    // What she hears is what she would hear of an account that nobody has linked.
    let refused = link(&mut nurse, "guess");
    assert!(refused.contains("The registrar refuses this name or password."), "{refused}");
    assert!(!refused.contains("juliet"), "{refused}");
    assert!(run(&mut nurse, "status", &[]).contains("You have linked no account."));
    assert!(run(&mut nurse, "unlink", &[]).contains("You have linked no account."));
    nurse.send(json!({"to": "romeo@example.net", "body": "I am she"}));
    let got = romeo.request(SOON, |r| r.body.as_deref() == Some("I am she"));
    assert!(got.header("From").starts_with("<sip:nurse@example.com"), "{}", got.raw);
    assert_eq!(write_to_jules(&mut romeo, proxy, "to Juliet alone"), 200);
    juliet.message(SOON, |m| m.body.as_deref() == Some("to Juliet alone"));
    nurse.no_message(std::time::Duration::from_millis(300), |_| true);
    // No more than ten guesses in an hour.
    let guesses = (0..12).map(|n| link(&mut nurse, &format!("guess {n}")));
    assert!(guesses.last().is_some_and(|last| last.contains("There were too many attempts.")));
    assert!(run(&mut juliet, "status", &[]).contains("Registered."));
}

/// Whoever can write to the disk does not make Juliet's account the nurse's: what was sealed for one does not open for another, and is said to be broken.
#[test]
fn a_sealed_record_that_was_moved() {
    let place = Place::new("accounts-moved");
    let prosody = Prosody::start(&place, &[GATEWAY]);
    let (sip, proxy) = (place.free(), place.free());
    let _kamailio = Kamailio::start(&place, proxy, sip, std::time::Duration::from_secs(2));
    let mut gateway = Gateway::start_at(&place, BINARY, sip, &settings(&prosody, proxy));
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut nurse = XmppClient::online(&place, &prosody, "nurse", "chamber");
    assert!(link(&mut juliet, PASSWORD).contains("The account is linked."));
    gateway.kill();

    let config = gateway.config().clone();
    let verona = |what: &str| {
        let mut command = Command::new(BINARY);
        command.args(["store", what, "-c"]).arg(&config).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    let exported = verona("export").output().expect("verona store export").stdout;
    let exported = String::from_utf8(exported).expect("text");
    assert!(exported.contains("\"sealed\"") && !exported.contains(PASSWORD), "{exported}");
    std::fs::remove_file(place.dir().join("verona.redb")).expect("the store");
    let moved = exported.replace("juliet@example.com", "nurse@example.com");
    let mut import = verona("import").spawn().expect("verona store import");
    import.stdin.take().expect("a pipe").write_all(moved.as_bytes()).expect("written");
    assert!(import.wait().expect("it ends").success());

    gateway.restart(&place);
    assert!(gateway.process().log().contains("do not open"), "the operator is told");
    for user in [&mut juliet, &mut nurse] {
        assert!(run(user, "status", &[]).contains("You have linked no account."));
    }
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(proxy, "romeo", Kamailio::DOMAIN);
    nurse.send(json!({"to": "romeo@example.net", "body": "good morrow"}));
    let got = romeo.request(SOON, |r| r.body.as_deref() == Some("good morrow"));
    assert!(got.header("From").starts_with("<sip:nurse@example.com"), "{}", got.raw);
}
