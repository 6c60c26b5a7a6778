//! The real programs of the interop tests against each other, without the gateway: what they do is known before it is
//! used to judge something else.
#![cfg(feature = "peers")]

use rehearsal::peers::{
    Answer, Baresip, Ejabberd, Kamailio, MsrpPeer, MsrpRelay, Place, Process, Prosody, SipPhone, Sipp, SippMessage,
    XmppClient, XmppCrowd, XmppServer, json, until,
};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn two_clients_talk_through_prosody() {
    let place = Place::new("clients");
    let mut prosody = Prosody::start(&place, &["example.net"]);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    let mut nurse = XmppClient::online(&place, &prosody, "nurse", "kitchen");
    let body = "<>&\"' \u{1f339}\u{202e}\u{5d0}\n]]>";
    juliet.send(json!({
        "to": "nurse@example.com", "id": "one", "type": "chat", "lang": "en", "body": body, "subject": "Peter?",
        "thread": "t1", "parent": "t0", "receipt": true, "state": "active", "xhtml": "<p>yes</p>",
    }));
    let got = nurse.message(SOON, |m| m.body.is_some());
    assert_eq!(got.from, "juliet@example.com/balcony");
    assert_eq!(got.to.as_deref(), Some("nurse@example.com"));
    assert_eq!(got.id.as_deref(), Some("one"));
    assert_eq!(got.kind.as_deref(), Some("chat"));
    assert_eq!(got.lang.as_deref(), Some("en"));
    assert_eq!(got.body.as_deref(), Some(body));
    assert_eq!(got.subject.as_deref(), Some("Peter?"));
    assert_eq!((got.thread.as_deref(), got.parent.as_deref()), (Some("t1"), Some("t0")));
    assert_eq!(got.state.as_deref(), Some("active"));
    assert!(got.receipt);
    assert!(got.xhtml.is_some_and(|x| x.contains(">yes<")));

    let pong = juliet.iq("get", "example.com", "<ping xmlns='urn:xmpp:ping'/>");
    assert_eq!(pong.kind, "result", "{}", pong.raw);

    prosody.kill();
    juliet.wait_offline();
    prosody.restart(&place);
    juliet.connect(&prosody);
    let id = juliet.send(json!({"to": "nurse@example.com", "body": "gone"}));
    juliet.error(SOON, &id);
}

/// What the gateway will see when the user is unknown, known but away, or when it is itself away. RFC 6121 §8.5.1 and
/// §8.5.2.2 allow the same `service-unavailable` for the first two, and Prosody makes no difference between them.
#[test]
fn prosody_says_why_a_message_cannot_be_delivered() {
    let place = Place::new("unknown");
    let prosody = Prosody::start(&place, &["example.net"]);
    let mut juliet = XmppClient::online(&place, &prosody, "juliet", "balcony");
    for (to, condition, kind) in [
        ("nobody@example.com", "service-unavailable", "cancel"),
        ("nobody@example.com/nowhere", "service-unavailable", "cancel"),
        ("nurse@example.com", "service-unavailable", "cancel"),
        ("romeo@example.net", "remote-server-timeout", "wait"),
        ("romeo@elsewhere.example", "not-allowed", "cancel"),
    ] {
        let id = juliet.send(json!({"to": to, "body": "hello"}));
        let error = juliet.error(SOON, &id);
        assert_eq!(error.condition(), condition, "{to}: {}", error.raw);
        assert_eq!(error.error.and_then(|e| e.kind).as_deref(), Some(kind), "{to}: {}", error.raw);
    }
}

#[test]
fn a_phone_speaks_to_a_phone_over_udp_and_tcp() {
    let place = Place::new("phones");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    let mut paris = SipPhone::listen(&place, "paris", place.free());
    for transport in ["udp", "tcp"] {
        let order = json!({
            "uri": "sip:paris@example.net", "body": "é\r\n", "transport": transport,
            "headers": [["Subject", "ça va"], ["Content-Language", "fr"]],
        });
        let token = romeo.send(paris.address(), order);
        let request = paris.request(SOON, |_| true);
        assert_eq!((request.method.as_deref(), request.body.as_deref()), (Some("MESSAGE"), Some("é\r\n")));
        assert_eq!(request.header("subject"), "ça va");
        assert_eq!(request.transport, transport);
        assert_eq!(romeo.response(SOON, token).code, 200);
    }
    paris.answer(486, "Busy Here");
    let token = romeo.send(paris.address(), json!({"uri": "sip:paris@example.net"}));
    let response = romeo.response(SOON, token);
    assert_eq!((response.code, response.reason.as_deref()), (486, Some("Busy Here")));
    assert_eq!(paris.retransmissions(), 0);
}

#[test]
fn a_phone_is_strict() {
    let place = Place::new("strict");
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    let mut paris = SipPhone::listen(&place, "paris", place.free());
    paris.answer(0, "");
    let good = "MESSAGE sip:paris@example.net SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
         From: \"R \\\" m\" <sip:romeo@example.net;gr=a%20b>;tag=1\r\nTo: sip:paris@example.net\r\n\
         Call-ID: a@b\r\nCSeq: 1 MESSAGE\r\nSubject: \u{e7}a va\r\nContent-Language: cs, es-419\r\n\
         Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 2\r\n\r\nhi";
    for (number, (from, to, fault)) in [
        ("Max-Forwards: 70\r\n", "", "no max-forwards"),
        ("\r\nCall-ID", "\nCall-ID", "a bare CR or LF"),
        ("gr=a%20b", "gr=a%2 b", "From: "),
        ("<sip:romeo@example.net;gr=a%20b>", "sip:romeo@example.net;gr=a?b", "From: "),
        ("Length: 2", "Length: 3", "Content-Length 3, body of 2 bytes"),
        ("z9hG4bK1", "old", "branch without the magic cookie"),
        ("CSeq: 1 MESSAGE", "CSeq: 1 INFO", "CSeq names another method"),
        ("tag=1", "tag=", "From: "),
        ("es-419", "", "Content-Language: "),
        ("ça va", "a\u{1}b", "a character that no header may hold"),
        ("example.net;gr", "example.net;lr;gr", "a URI that may not stand there"),
        ("hi", "", "Content-Length 2, body of 0 bytes"),
        ("Max-Forwards", "Contact: <sip:a@b>\r\nMax-Forwards", "MESSAGE with a Contact"),
        ("sip:paris@example.net SIP", "<sip:paris@example.net> SIP", "start line"),
        ("Call-ID: a@b", "Call-ID: a@b\r\ni: c", "call-id more than once"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1).replacen("z9hG4bK1", &format!("z9hG4bK1{number}"), 1);
        romeo.send_raw(paris.address(), "udp", bad.as_bytes());
        until(&format!("{fault} is seen"), SOON, || {
            let found = paris.requests();
            found.iter().for_each(|r| assert!(r.faults.iter().any(|f| f.contains(fault)), "{fault}: {:?}", r.faults));
            !found.is_empty()
        });
    }
    romeo.send_raw(paris.address(), "udp", good.as_bytes());
    paris.request(SOON, |_| true);
}

#[test]
fn an_msrp_peer_is_strict() {
    let place = Place::new("msrp-strict");
    let names = ["test_talks", "test_sizes", "test_signalling", "test_attacks", "test_breaches", "test_rules"];
    let mut test = MsrpPeer::self_test(&place, &names);
    let status = test.wait(Duration::from_secs(100));
    assert!(status.success() && test.log().contains("test_rules passed"), "{status}\n{}", test.log());
}

#[test]
fn an_msrp_room_is_strict() {
    let place = Place::new("msrp-room-strict");
    let names = ["test_rooms", "test_nicknames", "test_gaps", "test_refusals", "test_invitations", "test_room_rules"];
    let mut test = MsrpPeer::self_test(&place, &names);
    let status = test.wait(Duration::from_secs(100));
    assert!(status.success() && test.log().contains("test_room_rules passed"), "{status}\n{}", test.log());
}

/// What the gateway will meet: rooms of two services, with everything that happens in one.
#[test]
fn rooms_of_prosody() {
    let place = Place::new("rooms-prosody");
    let prosody = Prosody::start_with_rooms(&place, &["example.net"]);
    rooms_of(&place, &prosody);
}

#[test]
fn rooms_of_ejabberd() {
    let place = Place::new("rooms-ejabberd");
    let mut ejabberd = Ejabberd::start(&place, &["example.net"]);
    rooms_of(&place, &ejabberd);
    ejabberd.kill();
    ejabberd.restart(&place);
    XmppCrowd::online(&place, &ejabberd, "again", &["user0"]);
}

fn rooms_of(place: &Place, server: &dyn XmppServer) {
    let users = ["user0", "user1", "user2", "user3"];
    let nicks = ["N0", "N1", "N2", "N3"];
    let room = "capulet@rooms.example.com";
    let mut crowd = XmppCrowd::online(place, server, "crowd", &users);
    crowd.order("user0", "join", json!({"room": room, "nick": "N0"}));
    crowd.wait("joined", SOON, "user0", |e| e["roster"] == json!(["N0"]));
    crowd.order("user0", "subject", json!({"room": room, "subject": "Today in Verona"}));
    crowd.wait("subject", SOON, "user0", |e| e["subject"] == "Today in Verona");
    for (user, nick) in users.into_iter().zip(nicks).skip(1) {
        crowd.order(user, "join", json!({"room": room, "nick": nick}));
    }
    crowd.until(SOON, &users, room, &json!({"roster": nicks, "subject": "Today in Verona"}));
    for number in 0..5 {
        for user in users {
            crowd.order(user, "say", json!({"room": room, "body": format!("{user} {number}")}));
        }
    }
    let seen = crowd.until(SOON, &users, room, &json!({"heard": 20}));
    for look in &seen {
        assert_eq!((&look["heard"], &look["unreflected"]), (&seen[0]["heard"], &json!([])));
    }
    crowd.order("user1", "nick", json!({"room": room, "nick": "N2"}));
    assert_eq!(crowd.wait("refused", SOON, "user1", |_| true)["condition"], "conflict");
    crowd.order("user1", "nick", json!({"room": room, "nick": "M"}));
    crowd.wait("changed", SOON, "user1", |e| e["nick"] == "M");
    crowd.order("user1", "whisper", json!({"room": room, "nick": "N2", "body": "psst"}));
    crowd.wait("whispered", SOON, "user2", |e| e["nick"] == "M" && e["body"] == "psst");
    crowd.order("user3", "leave", json!({"room": room}));
    crowd.wait("left", SOON, "user3", |_| true);
    for direct in [false, true] {
        let to = XmppCrowd::bare("user3");
        crowd.order("user1", "ask", json!({"room": room, "to": to, "reason": "come", "direct": direct}));
        crowd.wait("asked_in", SOON, "user3", |e| e["room"] == room && e["direct"] == direct && e["reason"] == "come");
    }
    crowd.order("user3", "decline", json!({"room": room, "to": XmppCrowd::bare("user1"), "reason": "no"}));
    crowd.wait("declined", SOON, "user1", |e| e["reason"] == "no");
    crowd.order("user0", "role", json!({"room": room, "nick": "M", "role": "none", "reason": "peace"}));
    let left = crowd.wait("left", SOON, "user1", |_| true);
    assert!(
        left["statuses"].as_array().is_some_and(|s| s.contains(&json!(307))) && left["reason"] == "peace",
        "{left:#}"
    );
    crowd.order("user1", "selfping", json!({"room": room}));
    assert_eq!(crowd.wait("done", SOON, "user1", |_| true)["condition"], "not-acceptable");
    let ban = json!({"room": room, "jid": XmppCrowd::bare("user2"), "affiliation": "outcast"});
    crowd.order("user0", "affiliation", ban);
    crowd.wait("left", SOON, "user2", |e| e["statuses"].as_array().is_some_and(|s| s.contains(&json!(301))));
    crowd.order("user2", "join", json!({"room": room, "nick": "N2"}));
    assert_eq!(crowd.wait("refused", SOON, "user2", |_| true)["condition"], "forbidden");
    crowd.order("user1", "join", json!({"room": room, "nick": "N1"}));
    crowd.until(SOON, &["user0", "user1"], room, &json!({"roster": ["N0", "N1"], "subject": "Today in Verona"}));
    crowd.order("user0", "destroy", json!({"room": room, "reason": "over", "jid": "garden@rooms.example.com"}));
    let left = crowd.wait("left", SOON, "user1", |_| true);
    assert_eq!(left["destroyed"], json!({"jid": "garden@rooms.example.com", "reason": "over"}));
}

#[test]
fn an_msrp_peer_talks_to_another() {
    let place = Place::new("msrp-peers");
    let mut romeo = MsrpPeer::listen_tls(&place, "romeo", place.free());
    let mut paris = MsrpPeer::listen_tls(&place, "paris", place.free());
    for fields in [json!({}), json!({"tls": true, "transport": "tcp"})] {
        let call = romeo.call(paris.address(), "sip:paris@example.net", fields);
        let theirs = paris.wait("confirmed", SOON, |_| true);
        let theirs = theirs["s"].as_str().expect("a call has a name");
        romeo.send(&call, "<&> \u{1f339}", json!({"success": "yes"}));
        assert_eq!(paris.message(SOON, theirs).text.as_deref(), Some("<&> \u{1f339}"));
        assert_eq!(romeo.event("report", SOON, &call)["code"], 200);
        let id = paris.send(theirs, "back", json!({"cpim": true, "imdn": ["positive-delivery"]}));
        let got = romeo.message(SOON, &call);
        let cpim = got.cpim.expect("it is wrapped");
        assert_eq!((got.text.as_deref(), cpim.header("imdn.Message-ID")), (Some("back"), id.as_str()));
        romeo.bye(&call);
        paris.event("ended", SOON, theirs);
    }
}

#[test]
fn sipp_speaks_to_sipp_and_to_a_phone() {
    let place = Place::new("sipp");
    let message = SippMessage {
        uri: "sip:paris@example.net",
        sender: "sip:romeo@example.net",
        subject: "ça [va]",
        language: "fr",
        text: "<>&\"' [x] \u{1f339} ]]>",
        expect: 603,
    };
    let at = place.free();
    let mut uas = Sipp::answering(&place, at, Answer::Code(603, "Decline"), 1);
    let mut uac = Sipp::sending(&place, place.free(), at, "u1", &message);
    uac.finish(SOON);
    let log = uas.finish(SOON);
    assert!(log.contains(message.text) && log.contains("Subject: ça [va]\r\n"), "{log}");

    let mut phone = SipPhone::listen(&place, "paris", place.free());
    for transport in ["u1", "t1"] {
        phone.answer(603, "Decline");
        let mut uac = Sipp::sending(&place, place.free(), phone.address(), transport, &message);
        assert_eq!(phone.request(SOON, |_| true).body.as_deref(), Some(message.text));
        uac.finish(SOON);
    }
}

#[test]
fn baresip_speaks_to_a_phone() {
    let place = Place::new("baresip");
    let mut paris = SipPhone::listen(&place, "paris", place.free());
    let at = place.free();
    let account = format!("<sip:romeo@example.net;transport=udp>;regint=0;outbound=\"sip:{}\"", paris.address());
    let mut romeo = Baresip::start(&place, at, &account, "sip:juliet@example.com");
    romeo.send("<>&\"' \u{1f339} \u{5d0}");
    let request = paris.request(SOON, |_| true);
    assert_eq!(request.uri.as_deref(), Some("sip:juliet@example.com"));
    assert_eq!(request.body.as_deref(), Some("<>&\"' \u{1f339} \u{5d0}"));
    let token = paris.send(
        at,
        json!({"uri": format!("sip:romeo@{at}"), "body": "one\r\n<two>", "headers": [["To", "<sip:romeo@example.net>"]]}),
    );
    assert_eq!(paris.response(SOON, token).code, 200);
    romeo.wait_shown("sip:romeo@example.net: \"one\r\n<two>\"", SOON);
    paris.answer(404, "Not Found");
    romeo.send("anybody?");
    romeo.wait_refused(404, SOON);
}

#[test]
fn baresip_calls_and_is_told_that_there_is_no_audio() {
    let place = Place::new("baresip-call");
    let mut juliet = MsrpPeer::listen_with(&place, "juliet", place.free(), json!({"user": "juliet"}));
    // In To, and before there is a dialog (RFC 3261 §19.1.1, table 1).
    juliet.allow("sip:juliet@example.com;transport=udp");
    let account = format!("<sip:romeo@example.net;transport=udp>;regint=0;outbound=\"sip:{}\"", juliet.address());
    let mut romeo = Baresip::start(&place, place.free(), &account, "sip:juliet@example.com");
    romeo.dial("sip:juliet@example.com");
    let invited = juliet.wait("invited", SOON, |_| true);
    assert!(invited["sdp"].as_str().is_some_and(|sdp| sdp.contains("m=audio")), "{invited:#}");
    romeo.wait_closed(488);
}

#[test]
fn kamailio_finds_registered_phones_and_the_gateway() {
    let place = Place::new("kamailio");
    let mut gateway = SipPhone::listen(&place, "gateway", place.free());
    let kamailio = Kamailio::start(&place, place.free(), gateway.address(), Duration::from_secs(1));
    let mut romeo = SipPhone::listen(&place, "romeo", place.free());
    romeo.register(kamailio.address(), "romeo", Kamailio::DOMAIN);
    let at = place.free();
    let account = format!("<sip:mercutio@example.net;transport=udp>;regint=60;outbound=\"sip:{}\"", kamailio.address());
    let mut mercutio = Baresip::start(&place, at, &account, "sip:juliet@example.com");
    mercutio.wait_registered();

    let token = romeo.send(kamailio.address(), json!({"uri": "sip:juliet@example.com", "body": "up"}));
    assert_eq!(gateway.request(SOON, |_| true).body.as_deref(), Some("up"));
    assert_eq!(romeo.response(SOON, token).code, 200);
    mercutio.send("from mercutio");
    assert_eq!(gateway.request(SOON, |_| true).body.as_deref(), Some("from mercutio"));

    let route = format!("<sip:{};transport=udp;lr>", kamailio.address());
    let mut ask = |user: &str| {
        let headers = json!([["Route", route], ["From", "<sip:juliet@example.com>;tag=1"]]);
        let order = json!({"uri": format!("sip:{user}@example.net"), "body": "down", "headers": headers});
        let token = gateway.send(kamailio.address(), order);
        gateway.response(SOON, token).code
    };
    assert_eq!(ask("romeo"), 200);
    assert_eq!(ask("mercutio"), 200);
    assert_eq!(ask("nobody"), 404);
    assert_eq!(romeo.request(SOON, |_| true).body.as_deref(), Some("down"));
    mercutio.wait_shown("sip:juliet@example.com: \"down\"", SOON);
    romeo.answer(0, "");
    assert_eq!(ask("romeo"), 408);
}

/// sipp's scenarios of sessions, with the strict endpoint at the other end.
#[test]
fn sipp_keeps_dialogs() {
    let place = Place::new("sipp-dialogs");
    let mut juliet = MsrpPeer::listen_with(&place, "juliet", place.free(), json!({"user": "juliet"}));
    for scenario in ["inviter", "inviter_cancels", "inviter_offers"] {
        let hold = [("HOLD", "100")];
        let hold: &[(&str, &str)] = if scenario == "inviter" { &hold } else { &[] };
        let mut romeo = Sipp::playing(&place, place.free(), Some(juliet.address()), scenario, hold);
        let call = juliet.wait("invited", SOON, |_| true)["s"].clone();
        juliet.event("ended", SOON, call.as_str().expect("a call has a name"));
        romeo.finish(SOON);
    }
    for (scenario, values, last, code) in [
        ("invitee", &[("HOLD", "100")][..], "ended", 0),
        ("invitee_rings", &[], "failed", 487),
        ("invitee_refuses", &[("CODE", "486"), ("REASON", "Busy Here"), ("HEADER", "Retry-After: 60")], "failed", 486),
    ] {
        let at = place.free();
        let mut romeo = Sipp::playing(&place, at, None, scenario, values);
        let call = juliet.invite(at, "sip:romeo@example.net", json!({"call_id": scenario}));
        if scenario == "invitee_rings" {
            juliet.event("progress", SOON, &call);
            juliet.order("cancel", json!({"s": call}));
        }
        assert_eq!(juliet.event(last, SOON, &call)["code"], code, "{scenario}");
        if scenario == "invitee" {
            let again = juliet.invite(at, "sip:romeo@example.net", json!({"call_id": scenario}));
            assert_eq!(juliet.event("failed", SOON, &again)["code"], 486);
        }
        romeo.finish(SOON);
    }
}

/// INVITE, its dialog and its CANCEL through the proxy, from both sides.
#[test]
fn kamailio_carries_sessions() {
    let place = Place::new("kamailio-sessions");
    let listen = |user: &str| MsrpPeer::listen_with(&place, user, place.free(), json!({"user": user}));
    let (mut gateway, mut romeo) = (listen("juliet"), listen("romeo"));
    let kamailio = Kamailio::start(&place, place.free(), gateway.address(), Duration::from_secs(5));
    romeo.register(kamailio.address());
    let pass = |from: &mut MsrpPeer, to: &mut MsrpPeer, uri: &str, transport: &str| {
        let call = from.call(kamailio.address(), uri, json!({"transport": transport}));
        let theirs = to.wait("confirmed", SOON, |_| true)["s"].clone();
        let theirs = theirs.as_str().expect("a call has a name");
        from.send(&call, "there", json!({}));
        assert_eq!(to.message(SOON, theirs).text.as_deref(), Some("there"));
        to.order("offer", json!({"s": theirs, "method": "UPDATE"}));
        assert_eq!(to.event("response", SOON, theirs)["code"], 200);
        to.bye(theirs);
        from.event("ended", SOON, &call);
        to.policy(json!({"code": 0, "ring": true}));
        let call = from.invite(kamailio.address(), uri, json!({}));
        from.event("progress", SOON, &call);
        from.order("cancel", json!({"s": call}));
        assert_eq!(from.event("failed", SOON, &call)["code"], 487);
        to.wait("ended", SOON, |_| true);
        to.policy(json!({"code": 200}));
    };
    pass(&mut romeo, &mut gateway, "sip:juliet@example.com", "udp");
    pass(&mut gateway, &mut romeo, "sip:romeo@example.net", "tcp");
}

#[test]
fn kamailio_relays_msrp() {
    let place = Place::new("kamailio-msrp");
    let relay = MsrpRelay::start(&place, place.free(), 900);
    let mut romeo = MsrpPeer::listen(&place, "romeo", place.free());
    let mut paris = MsrpPeer::listen(&place, "paris", place.free());
    // It answers with one header more than RFC 4975 §7.2 has.
    romeo.allow("a response with Message-ID");
    paris.allow("a response with Message-ID");
    for setup in ["passive", "active"] {
        paris.policy(json!({"code": 200, "setup": setup}));
        romeo.join(setup, &relay);
        let call = romeo.call(paris.address(), "sip:paris@example.net", json!({"relay": setup}));
        let theirs = paris.wait("confirmed", SOON, |_| true)["s"].clone();
        let theirs = theirs.as_str().expect("a call has a name");
        romeo.send(&call, "out", json!({"success": "yes"}));
        assert_eq!(paris.message(SOON, theirs).text.as_deref(), Some("out"));
        assert_eq!(romeo.event("report", SOON, &call)["code"], 200);
        paris.send(theirs, "", json!({"size": 10_000, "success": "yes"}));
        assert_eq!(romeo.message(SOON, &call).size, 10_000);
        assert_eq!(paris.event("report", SOON, theirs)["total"], 10_000);
        paris.bye(theirs);
        romeo.event("ended", SOON, &call);
    }
}

#[test]
fn a_program_ends_with_its_value() {
    let place = Place::new("process");
    let script = "(trap '' TERM; exec sleep 1000) & exec sleep 1000";
    let mut sleep = Process::start(&place, "sleep", "sh", &["-c", script]);
    let group = sleep.id().to_string();
    // Running, sleeping or waiting for a disk: whoever is dead and not yet collected does not count.
    let living = || std::process::Command::new("pgrep").args(["--runstates", "RSD", "-g", &group]).output();
    let count = || living().expect("pgrep runs").stdout.iter().filter(|b| **b == b'\n').count();
    until("both sleep", SOON, || count() == 2);
    assert!(sleep.is_running());
    drop(sleep);
    assert_eq!(count(), 0, "its group still lives");
}
