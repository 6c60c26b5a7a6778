//! Phones that register at a gateway of two shards: who is let in, who is reached, and what is left behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod town;

use base::{HashKey, Str, Time};
use sip::agent::{Flow, SendTo};
use sip::digest::Algorithm;
use sip::{Message, Method, Name, Request, Uri};
use std::collections::BTreeMap;
use stox::gateway::Input;
use stox::phones::Account;
use stox::route::Router;
use stox::store::{About, Key};
use town::{IDN, Phone, SHARDS, Town, account_key, address, jid, tcp, udp};

/// RFC 8760: challenged once, with the best first; then it is where it came from, and its Contact is the Request-URI.
#[test]
fn a_phone_registers_and_is_reached() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    let first = romeo.register();
    town.comes(&first, romeo.flow);
    let challenge = town.answer();
    let algorithms: Vec<bool> =
        challenge.headers.all(Name::WwwAuthenticate).map(|challenge| challenge.contains("algorithm=SHA-256")).collect();
    assert_eq!((challenge.code, algorithms), (401, vec![true, false]));
    romeo.registers(&mut town);
    // It writes, and is written to, whichever shard that is.
    for (user, n) in [("juliet", 0), ("nurse", 1), ("mercutio", 2), ("benvolio", 3)] {
        let message = romeo.message(&format!("sip:{user}@example.com"));
        assert_eq!(romeo.ask(&mut town, message).code, 200, "{user}");
        assert!(town.stanza().contains("from='romeo@example.net'"), "{n}");
    }
    town.writes("romeo@example.net", "art thou not Romeo?");
    assert_eq!(town.asked(), [("sip:romeo-x@10.0.0.2:5070".to_owned(), romeo.flow.remote, None)]);
}

/// Whoever says to be somebody who registers here has to prove it, whatever network it comes from.
#[test]
fn nobody_speaks_for_an_account_without_its_password() {
    let mut town = Town::new();
    let mut thief = Phone::new("romeo", "guess", udp(5070));
    let mut nobody = Phone::new("rosaline", "rose", udp(5071));
    // The network of a peer that may speak for example.net.
    let inside = Flow { remote: address("192.0.2.10:5060"), ..udp(5060) };
    for phone in [&mut thief, &mut nobody] {
        for flow in [phone.flow, inside, tcp(1)] {
            phone.flow = flow;
            for request in
                [phone.register(), phone.message("sip:juliet@example.com"), phone.message("sip:nurse@example.com")]
            {
                let answer = phone.ask(&mut town, request);
                assert_eq!(answer.code, 401, "{answer:?}");
                assert!(!answer.headers.get(Name::WwwAuthenticate).unwrap().contains("stale"));
            }
            for method in
                [Method::Invite, Method::Subscribe, Method::Bye, Method::Options, Method::Publish, Method::Notify]
            {
                let request = phone.request(method, "sip:juliet@example.com", "sip:juliet@example.com;tag=x");
                town.comes(&request, flow);
                // What is not served at all is refused before anybody is asked who they are.
                assert!(matches!(town.answer().code, 401 | 405));
            }
        }
    }
    assert!(town.stanzas.is_empty());
    assert!(town.notes.iter().any(|note| note.contains("wrong-credentials")));
    // The nonce was given to that address: by UDP, too, it is who it says.
    for port in [5070, 5071] {
        let thief = format!("offence Credentials of {}", udp(port).remote);
        assert!(town.notes.contains(&thief), "{thief}: {:?}", town.notes);
    }
    let counts = town.shards.iter().map(|shard| shard.phone_counts().1.bindings).sum::<usize>();
    assert_eq!((counts, town.store.len()), (0, 2), "nothing is left behind");
}

/// RFC 3261 §22.1: a password is for one user.
#[test]
fn an_account_speaks_for_itself_alone() {
    let mut town = Town::new();
    let mut tybalt = Phone::new("tybalt", "cat", udp(5070));
    tybalt.registers(&mut town);
    for request in [tybalt.message("sip:juliet@example.com"), tybalt.register()] {
        let mut forged = request.clone();
        forged.headers.set(Name::From, "<sip:romeo@example.net>;tag=x");
        let answer = tybalt.ask(&mut town, forged);
        assert_eq!(answer.code, 403, "{answer:?}");
    }
    // Its own From, another's To: RFC 3261 §10.2 allows others to register for somebody; here nobody may.
    let mut forged = tybalt.register();
    forged.headers.set(Name::To, "<sip:romeo@example.net>");
    assert_eq!(tybalt.ask(&mut town, forged).code, 403);
    // From one of the other side.
    let mut forged = tybalt.message("sip:juliet@example.com");
    forged.headers.set(Name::From, "<sip:juliet@example.com>;tag=x");
    town.comes(&forged, tybalt.flow);
    assert_eq!(town.answer().code, 403);
    assert!(town.stanzas.is_empty());
    town.writes("romeo@example.net", "who is there?");
    assert!(town.stanza().contains("recipient-unavailable"));
}

/// RFC 7616 §5.12: what was used once is used.
#[test]
fn what_was_seen_on_the_wire_cannot_be_used_again() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    romeo.registers(&mut town);
    let mut message = romeo.message("sip:juliet@example.com");
    romeo.renew(&mut message);
    town.comes(&message, romeo.flow);
    assert_eq!(town.answer().code, 200);
    assert!(town.stanza().contains("<body>hi</body>"));
    // The same credentials in another request: somebody has listened.
    let mut replay = message.clone();
    replay.headers.set(Name::Via, "SIP/2.0/UDP 203.0.113.6;rport;branch=z9hG4bKreplay");
    replay.headers.set(Name::CallId, "replay");
    replay.body = bytes::Bytes::from_static(b"I love thee not");
    let thief = Flow { remote: address("203.0.113.6:5060"), ..udp(5060) };
    town.comes(&replay, thief);
    let answer = town.answer();
    assert_eq!(answer.code, 401);
    assert!(answer.headers.get(Name::WwwAuthenticate).unwrap().contains("stale=true"));
    // For somebody else.
    replay.uri = Uri::parse("sip:nurse@example.com").unwrap();
    replay.headers.set(Name::CallId, "replay2");
    town.comes(&replay, thief);
    assert!(matches!(town.answer().code, 400 | 401));
    assert!(town.stanzas.is_empty());
    // Too old.
    town.pass(301);
    let mut late = romeo.message("sip:juliet@example.com");
    romeo.renew(&mut late);
    town.comes(&late, romeo.flow);
    let answer = town.answer();
    assert!(answer.headers.get(Name::WwwAuthenticate).unwrap().contains("stale=true"), "{answer:?}");
    let again = romeo.again(&late, &answer).expect("a stale nonce is no wrong password");
    town.comes(&again, romeo.flow);
    assert_eq!(town.answer().code, 200);
}

#[test]
fn who_is_not_there_is_said_not_to_be() {
    let mut town = Town::new();
    town.writes("romeo@example.net", "hello?");
    let error = town.stanza();
    assert!(error.contains("type='error'") && error.contains("<recipient-unavailable"), "{error}");
    town.writes("rosaline@example.net", "hello?");
    assert!(town.stanza().contains("<item-not-found"));
    assert!(town.asked().is_empty());
    // A REGISTER for what is served nowhere.
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    let wrong = romeo.request(Method::Register, "sip:sip.example", "sip:romeo@example.net");
    assert_eq!(romeo.ask(&mut town, wrong).code, 404);
}

/// Two phones, one of which cannot be reached any more.
#[test]
fn all_phones_of_an_account_are_asked() {
    let mut town = Town::new();
    let mut desk = Phone::new("romeo", "rose", udp(5070));
    let mut pocket = Phone::new("romeo", "rose", tcp(7));
    desk.registers(&mut town);
    pocket.registers(&mut town);
    town.writes("romeo@example.net", "anybody?");
    let both = [
        ("sip:romeo-x@10.0.0.2:40000".to_owned(), pocket.flow.remote, Some(7)),
        ("sip:romeo-x@10.0.0.2:5070".to_owned(), desk.flow.remote, None),
    ];
    assert_eq!(town.asked(), both);
    for shard in 0..SHARDS {
        town.give(shard, Input::SipClosed(7));
    }
    town.pass(40);
    town.sip.clear();
    town.stanzas.clear();
    town.writes("romeo@example.net", "and now?");
    assert_eq!(town.asked(), both[1..]);
    // Not refreshed.
    town.pass(3600);
    town.sip.clear();
    town.stanzas.clear();
    town.writes("romeo@example.net", "and now?");
    assert!(town.stanza().contains("<recipient-unavailable"));
    assert_eq!(town.store.len(), 2, "{:?}", town.store.keys());
}

/// What was promised is kept; connections end with the process.
#[test]
fn a_restart_keeps_contacts() {
    let mut town = Town::new();
    let mut desk = Phone::new("romeo", "rose", udp(5070));
    let mut pocket = Phone::new("romeo", "rose", tcp(7));
    desk.registers(&mut town);
    pocket.registers(&mut town);
    // Ten minutes, as the wall clock has it.
    town.settings.config.epoch += 610;
    town.settings.config.registrar.as_mut().unwrap().run = 2;
    town.now = Time::from_secs(0);
    town.begin();
    town.writes("romeo@example.net", "anybody?");
    assert_eq!(town.asked(), [("sip:romeo-x@10.0.0.2:5070".to_owned(), desk.flow.remote, None)]);
    // 3600 s after it was registered it is over.
    town.pass(3000);
    town.sip.clear();
    town.stanzas.clear();
    town.writes("romeo@example.net", "and now?");
    assert!(town.stanza().contains("<recipient-unavailable"));
}

/// An account that is taken away is gone from all shards at once, and one with another password has to register again.
#[test]
fn an_account_that_is_taken_away_is_gone() {
    for password in [None, Some("thorn")] {
        let mut town = Town::new();
        let mut romeo = Phone::new("romeo", "rose", udp(5070));
        romeo.registers(&mut town);
        town.set_account("romeo", password);
        town.writes("romeo@example.net", "hello?");
        let error = if password.is_some() { "<recipient-unavailable" } else { "<item-not-found" };
        assert!(town.stanza().contains(error));
        let message = romeo.message("sip:juliet@example.com");
        assert_eq!(romeo.ask(&mut town, message).code, 401);
        assert!(town.stanzas.is_empty());
        assert_eq!(town.store.len(), if password.is_some() { 2 } else { 1 });
        let mut romeo = Phone::new("romeo", "thorn", udp(5070));
        match password {
            Some(_) => romeo.registers(&mut town),
            None => {
                let request = romeo.register();
                assert_eq!(romeo.ask(&mut town, request).code, 401);
            }
        }
    }
}

/// What is not proved costs no memory, and who has proved who it is has its bounds.
#[test]
fn floods_of_registers_are_bounded() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    for _ in 0..5000 {
        let request = romeo.register();
        town.comes(&request, udp(5071));
        assert_eq!(town.answer().code, 401);
    }
    for shard in &town.shards {
        let counts = shard.sip_counts();
        assert_eq!((counts.remembered, counts.server_open), (0, 0));
    }
    let mut codes = BTreeMap::new();
    for _ in 0..100 {
        let request = romeo.register();
        *codes.entry(romeo.ask(&mut town, request).code).or_insert(0) += 1;
    }
    assert_eq!(codes, BTreeMap::from([(200, 20), (480, 80)]));
    town.pass(60);
    romeo.registers(&mut town);
}

/// A watcher behind a connection: the NOTIFYs go over it, and not where the Contact points. A Contact of somebody else's has no part in it.
#[test]
fn what_is_in_a_dialog_goes_by_the_contacts_flow() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", tcp(7));
    let mut tybalt = Phone::new("tybalt", "cat", tcp(8));
    tybalt.contact = romeo.contact.clone();
    romeo.registers(&mut town);
    tybalt.registers(&mut town);
    let mut subscribe = romeo.request(Method::Subscribe, "sip:juliet@example.com", "sip:juliet@example.com");
    subscribe.headers.push(Name::Contact, format_args!("<{};ob>", romeo.contact));
    subscribe.headers.push(Name::Event, "presence");
    subscribe.headers.push(Name::Accept, "application/pidf+xml");
    romeo.renew(&mut subscribe);
    town.comes(&subscribe, romeo.flow);
    let mut notifies = Vec::new();
    for (to, message) in town.sip.drain(..) {
        if let (SendTo::Target(target), Message::Request(request)) = (to, message) {
            notifies.push((request.method.clone(), request.uri.to_string(), target.flow));
        }
    }
    assert_eq!(notifies, [(Method::Notify, format!("{};ob", romeo.contact), Some(7))]);
}

/// The names that stand in keys.
#[test]
fn registers_and_records_of_an_account_meet_in_one_shard() {
    let router = Router::new(16, HashKey::new(5, 6));
    for n in 0..64 {
        let user: Str = format!("romeo{n}").into();
        let mut request = Request::new(Method::Register, Uri::parse("sip:example.net").unwrap());
        request.headers.push(Name::From, format_args!("<sip:{user}@example.net>;tag=1"));
        let shard = router.sip(&Message::Request(request));
        assert_eq!(router.record(&account_key(&user)), shard);
    }
}

/// Who has a password can ask for a challenge at home, and write any address into a datagram: nobody is called who has not been asked there.
#[test]
fn a_contact_is_where_its_challenge_was_heard() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    let first = romeo.register();
    town.comes(&first, romeo.flow);
    let challenge = town.answer();
    let forged = Flow { remote: address("203.0.113.9:5060"), ..romeo.flow };
    let register = romeo.again(&first, &challenge).unwrap();
    town.comes(&register, forged);
    let again = town.answer();
    assert_eq!(again.code, 401);
    assert!(again.headers.get(Name::WwwAuthenticate).is_some_and(|challenge| challenge.contains("stale=true")));
    town.writes("romeo@example.net", "art thou there?");
    assert!(town.sip.is_empty() && town.stanza().contains("type='error'"));
    // What it was asked is good where it was asked, from another port, too.
    let register = romeo.again(&first, &again).unwrap();
    town.comes(&register, udp(5071));
    assert_eq!(town.answer().code, 401, "that was asked of somebody else");
    romeo.registers(&mut town);
}

/// A phone behind a NAT hears what comes from where it has sent to, and nothing else.
#[test]
fn a_phone_is_reached_from_where_it_has_registered() {
    let mut town = Town::new();
    let local = address("192.0.2.1:5080");
    let mut romeo = Phone::new("romeo", "rose", Flow { local, ..udp(5070) });
    let mut tybalt = Phone::new("tybalt", "cat", tcp(7));
    romeo.registers(&mut town);
    tybalt.registers(&mut town);
    for (to, from) in [("romeo@example.net", Some(local)), ("tybalt@example.net", None)] {
        town.writes(to, "hark");
        let sent = town.sip.remove(0).0;
        assert!(matches!(&sent, SendTo::Target(target) if target.local == from), "{sent:?}");
    }
}

/// A domain is written in one way by people and in another one by SIP, and is one domain.
#[test]
fn domains_of_all_languages_have_phones() {
    let mut town = Town::new();
    let address = jid(&format!("romeo@{}", IDN.0));
    let account =
        Account::new("romeo", &stox::phones::realm_of(IDN.0), "rose", &[Algorithm::Sha256, Algorithm::Md5]).unwrap();
    let key = Key { about: About::Account, sip: address.clone(), xmpp: address };
    town.change(&key.to_bytes(), Some(&account.to_bytes()), None);
    let mut romeo = Phone { domain: IDN.1, ..Phone::new("romeo", "rose", udp(5070)) };
    romeo.registers(&mut town);
    let message = romeo.message("sip:juliet@example.com");
    assert_eq!(romeo.ask(&mut town, message).code, 200);
    assert!(town.stanza().contains(&format!("from='romeo@{}'", IDN.0)));
    town.writes_by(2, &format!("romeo@{}", IDN.0), "art thou not Romeo?");
    assert_eq!(town.asked(), [("sip:romeo-x@10.0.0.2:5070".to_owned(), romeo.flow.remote, None)]);
}

/// Where phones do not register any more, what they have asked before is answered, and what is registered expires.
#[test]
fn what_is_under_way_ends_when_the_registrar_is_switched_off() {
    let mut town = Town::new();
    let mut romeo = Phone::new("romeo", "rose", udp(5070));
    let mut other = Phone::new("romeo", "rose", udp(5071));
    let ask = |town: &mut Town, phone: &mut Phone| {
        let first = phone.register();
        town.comes(&first, phone.flow);
        let challenge = town.answer();
        let again = phone.again(&first, &challenge).unwrap();
        town.comes(&again, phone.flow);
        assert!(town.sip.is_empty());
    };
    town.held = Some(Vec::new());
    ask(&mut town, &mut romeo);
    ask(&mut town, &mut other);
    let registrar = town.settings.config.registrar.take();
    town.reload();
    town.release();
    let codes: Vec<u16> =
        town.sip.drain(..).map(|(_, message)| if let Message::Response(r) = message { r.code } else { 0 }).collect();
    assert_eq!(codes, [200, 200]);
    town.pass(4000);
    let contacts = |key: &Vec<u8>| Key::parse(key).is_ok_and(|key| key.about == About::Contacts);
    assert!(!town.store.keys().any(contacts));
    town.settings.config.registrar = registrar;
    town.reload();
    romeo.registers(&mut town);
}
