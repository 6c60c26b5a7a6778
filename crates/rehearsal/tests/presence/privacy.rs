//! Nobody learns what nobody has approved: acceptance 5 of presence, THREATS 43 to 45.

use crate::town::{Policy, Town, jid, ms, secs};
use base::Time;
use rehearsal::scene::Settings;
use rehearsal::wire::SipText;
use xml::Element;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// What is the same whoever is asked about: addresses and tokens are taken out.
fn plain(start: Time, at: Time, message: &SipText, contact: &str) -> String {
    let mut out = format!("{} {}\n", at.since(start).as_millis() / 10, message.start);
    for (name, value) in &message.headers {
        let value = match name.as_str() {
            "Via" => value.split(";branch").next().unwrap(),
            "From" | "To" => value.split(";tag").next().unwrap(),
            _ => value.as_str(),
        };
        out.push_str(&format!("{name}: {value}\n"));
    }
    out.push_str(&message.text());
    out.replace(contact, "CONTACT")
}

fn options(town: &mut Town, contact: &str) {
    town.raw(&format!(
        "OPTIONS sip:{contact}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKoptions\r\nMax-Forwards: 70\r\n\
         From: <sip:tybalt@example.net>;tag=o\r\nTo: <sip:{contact}@example.com>\r\nCall-ID: options\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ));
    town.run(secs(1));
}

/// Romeo's dialog with Juliet, who has approved him, taken over by Tybalt; with and without Romeo's name.
fn into_the_dialog_of(town: &mut Town, who: usize, method: &str, from: &str) {
    let w = town.watchers[who].clone();
    let target = w.target.as_deref().unwrap();
    town.raw(&format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKinto{method}{}\r\nMax-Forwards: 70\r\n\
         From: <sip:{from}>;tag={}\r\nTo: <sip:{}>;tag={}\r\nCall-ID: {}\r\nCSeq: 900 {method}\r\nEvent: presence\r\n\
         Contact: <sip:tybalt@192.0.2.66>\r\nExpires: 3600\r\nSubscription-State: active\r\nContent-Length: 0\r\n\r\n",
        from.replace('@', "."),
        w.tag,
        w.contact,
        w.to_tag.as_deref().unwrap(),
        w.call_id
    ));
    town.run(secs(1));
}

/// All ways in which Tybalt tries to learn something of a contact. What he sees.
fn tybalt_tries(contact: &str) -> Vec<String> {
    let mut town = Town::new(21, 3, |_| {});
    let bare = format!("{contact}@example.com");
    for (name, there) in [("online0", true), ("offline", false)] {
        let bare = format!("{name}@example.com");
        town.account(&bare, Policy::Leave);
        // Romeo is approved by both, and Tybalt never.
        town.user(&bare).subscribers.insert("romeo@example.net".into());
        if there {
            town.comes(&bare, "balcony", "a secret");
        }
    }
    let romeo = town.watch("romeo", "online0@example.com", 3600);
    town.run(secs(5));
    assert!(town.watchers[romeo].is_active());
    let (start, _) = (town.now, town.log = Some(Vec::new()));
    // A poll out of nowhere, and another at once.
    for _ in 0..2 {
        town.watch("tybalt", &bare, 0);
        town.run(secs(10));
    }
    // A subscription, polls and refreshes while it waits.
    let who = town.watch("tybalt", &bare, 600);
    town.run(secs(2));
    town.watch("tybalt", &bare, 0);
    town.run(secs(10));
    town.again(who, 600);
    town.run(secs(2));
    // What a contact says to him without having approved.
    if contact == "online0" {
        let stanza =
            Stanza::presence().with_from(jid("online0@example.com/balcony")).with_to(jid("tybalt@example.net"));
        town.says(stanza.with_child(Element::new("status", ns::CLIENT).with_text("a secret")));
    }
    town.run(secs(2));
    town.watch("tybalt", &bare, 0);
    options(&mut town, contact);
    // After a restart, and after the stream was down.
    town.kill();
    town.run(secs(2));
    town.again(who, 600);
    town.run(secs(2));
    town.link_down();
    town.run(secs(1));
    town.link_up();
    town.run(secs(10));
    town.again(who, 0);
    town.run(secs(10));
    // A refusal, and again after it.
    let who = town.watch("tybalt", &bare, 600);
    town.run(secs(2));
    town.presence(&bare, "tybalt@example.net", "unsubscribed");
    town.run(secs(2));
    assert!(town.watchers[who].state.starts_with("terminated;reason=rejected"));
    town.watch("tybalt", &bare, 0);
    town.run(secs(10));
    town.watch("tybalt", &bare, 600);
    town.run(secs(700));
    town.no_faults();
    let log = town.log.take().unwrap();
    let of_tybalt = log.iter().filter(|(_, message)| message.headers.iter().any(|(_, value)| value.contains("tybalt")));
    let seen: Vec<String> = of_tybalt.map(|(at, message)| plain(start, *at, message, contact)).collect();
    assert!(seen.iter().all(|message| !message.contains("pidf+xml\n\n<")
        && !message.contains("secret")
        && !message.contains("<presence")));
    assert!(seen.len() > 25, "{}", seen.len());
    seen
}

#[test]
fn a_contact_that_is_there_or_not_or_does_not_exist_looks_the_same() {
    let online = tybalt_tries("online0");
    for contact in ["offline", "nobody0"] {
        let other = tybalt_tries(contact);
        for (one, other) in online.iter().zip(&other) {
            assert_eq!(one, other, "{contact}");
        }
        assert_eq!(online.len(), other.len(), "{contact}");
    }
}

#[test]
fn the_dialog_of_somebody_else_is_closed() {
    let mut town = Town::new(22, 1, |_| {});
    town.account("juliet@example.com", Policy::Approve);
    town.comes("juliet@example.com", "balcony", "a secret");
    let romeo = town.watch("romeo", "juliet@example.com", 3600);
    town.run(secs(5));
    let before = town.watchers[romeo].notifies.len();
    town.log = Some(Vec::new());
    into_the_dialog_of(&mut town, romeo, "SUBSCRIBE", "tybalt@example.net");
    into_the_dialog_of(&mut town, romeo, "NOTIFY", "tybalt@example.net");
    into_the_dialog_of(&mut town, romeo, "SUBSCRIBE", "romeo@elsewhere.example");
    let log = town.log.take().unwrap();
    let starts: Vec<&str> = log.iter().map(|(_, message)| message.start.get(8..11).unwrap()).collect();
    assert_eq!(starts, ["481", "481", "403"]);
    assert!(log.iter().all(|(_, message)| message.body.is_empty()));
    assert_eq!(town.watchers[romeo].notifies.len(), before);
    town.comes("juliet@example.com", "balcony", "another secret");
    town.run(secs(5));
    assert_eq!(town.watchers[romeo].sees(), Some((true, vec!["another secret".to_owned()])), "Romeo's target is his");
    town.no_faults();
}

/// Who was approved once sees no more than who never was, from the moment on at which it ends.
#[test]
fn what_was_approved_and_is_not_any_more() {
    for asleep in [false, true] {
        let mut town = Town::new(23, 2, |_| {});
        town.account("juliet@example.com", Policy::Approve);
        town.comes("juliet@example.com", "balcony", "known");
        let romeo = town.watch("romeo", "juliet@example.com", 3600);
        town.run(secs(5));
        town.user("juliet@example.com").policy = Policy::Leave;
        if asleep {
            // It is revoked while the stream is down, and then the gateway dies: its record says what is not true any more.
            town.link_down();
            town.revokes("juliet@example.com", "romeo@example.net");
            town.user("juliet@example.com").resources.insert("balcony".into(), "a secret".into());
            town.up = true;
            town.log = Some(Vec::new());
            town.kill();
            town.watch("romeo", "juliet@example.com", 0);
        } else {
            town.log = Some(Vec::new());
            town.revokes("juliet@example.com", "romeo@example.net");
            town.user("juliet@example.com").resources.insert("balcony".into(), "a secret".into());
        }
        town.run(secs(10));
        assert!(town.watchers[romeo].state.starts_with("terminated;reason=rejected"), "{}", town.watchers[romeo].state);
        town.watch("romeo", "juliet@example.com", 0);
        town.watch("romeo", "juliet@example.com", 600);
        town.comes("juliet@example.com", "balcony", "a secret");
        town.run(secs(30));
        let log = town.log.take().unwrap();
        assert!(log.iter().all(|(_, message)| message.body.is_empty()), "asleep {asleep}: {log:?}");
        assert_eq!(town.disk.values().filter(|r| String::from_utf8_lossy(r).contains("\"granted\":true")).count(), 0);
        town.no_faults();
    }
}

fn romeo(tuples: &[(&str, &str)], change: impl FnOnce(&mut Settings)) -> Town {
    let mut town = Town::new(24, 2, change);
    town.account("juliet@example.com", Policy::Approve);
    town.watchable("romeo", tuples);
    town.comes("juliet@example.com", "balcony", "");
    town
}

/// RFC 8048 §5.2.1: pending is not approved, whatever body comes with it; and so are a refusal and a first NOTIFY that ends at once.
#[test]
fn an_xmpp_user_sees_nothing_before_the_sip_side_has_approved() {
    for state in [
        "pending",
        "terminated;reason=rejected",
        "terminated;reason=noresource",
        "terminated;reason=timeout",
        "waiting",
    ] {
        let mut town = romeo(&[("desk", "a secret")], |_| {});
        town.of("romeo").state = state.into();
        town.adds("juliet@example.com", "romeo@example.net");
        town.run(secs(5));
        town.presence("juliet@example.com/balcony", "romeo@example.net", "probe");
        town.run(secs(5));
        let entry = town.roster("juliet@example.com", "romeo@example.net");
        assert!(entry.online.is_empty() && entry.yes == 0, "{state}: {entry:?}");
        town.no_faults();
    }
}

#[test]
fn presence_of_somebody_else_is_dropped_and_rich_presence_is_opt_in() {
    let document = |entity: &str, rich: &str| {
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' \
             xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' entity='{entity}'><tuple id='desk'><status><basic>open</basic></status></tuple>\
             <d:person id='p'><r:activities><r:busy/></r:activities>{rich}</d:person></presence>"
        )
    };
    let mood = "<r:mood><r:guilty/></r:mood><r:place-type><r:other>a tomb</r:other></r:place-type>";
    for entity in [
        "pres:tybalt@example.net",
        "pres:romeo@example.org",
        "pres:romeo2@example.net",
        "pres:juliet@example.com",
        "romeo",
    ] {
        let mut town = romeo(&[], |_| {});
        town.of("romeo").body = Some(document(entity, mood));
        town.adds("juliet@example.com", "romeo@example.net");
        town.run(secs(5));
        let entry = town.roster("juliet@example.com", "romeo@example.net");
        assert!(entry.online.is_empty(), "{entity}: {entry:?}");
        town.no_faults();
    }
    for (rich, status) in [(false, ""), (true, "mood: guilty; place: a tomb")] {
        let mut town = romeo(&[], |s| s.config.presence.rich = rich);
        town.of("romeo").body = Some(document("pres:romeo@example.net", mood));
        town.adds("juliet@example.com", "romeo@example.net");
        town.run(ms(500));
        let online = &town.roster("juliet@example.com", "romeo@example.net").online;
        assert_eq!(online.iter().map(|(r, s)| (r.as_str(), s.as_str())).collect::<Vec<_>>(), [("desk", status)]);
        town.no_faults();
    }
}
