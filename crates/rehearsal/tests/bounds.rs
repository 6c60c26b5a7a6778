//! What sessions may take and keep, and who hears of their end when there are very many.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "helpers of tests are tests")]

use rehearsal::scene::{Player, Settings};
use stox::config::Mode;

const SDP: &str = "    v=0
    o=- 2890844526 2890844526 IN IP4 192.0.2.20
    s=-
    c=IN IP4 192.0.2.20
    t=0 0
    m=message 7000 TCP/MSRP *
    a=accept-types:text/plain message/cpim application/im-iscomposing+xml
    a=path:msrp://192.0.2.20:7000/romeo;tcp
";

/// config::Mode::Message: "INVITEs to chat are refused".
#[test]
fn a_domain_without_sessions_beside_one_with() {
    let mut settings = Settings::default();
    settings.config.links[1].chat = Mode::Session; // sip.example
    let mut player = Player::new(settings);
    player
        .part(&format!(
            "romeo sends
    INVITE sip:juliet@example.com SIP/2.0
    Call-ID: c1
    Content-Type: application/sdp

{SDP}romeo gets
    SIP/2.0 4*
"
        ))
        .unwrap();
}

/// A scene in which Romeo has opened a session with Juliet.
fn with_session() -> Player {
    let mut settings = Settings::default();
    settings.config.links[0].chat = Mode::Session;
    let mut player = Player::new(settings);
    let opening = format!(
        "romeo sends
    INVITE sip:juliet@example.com SIP/2.0
    Call-ID: c1
    Content-Type: application/sdp

{SDP}romeo gets
    SIP/2.0 200 OK
    Content-Type: application/sdp

    a=path:$gateway
romeo sends
    ACK * SIP/2.0
romeo connects
"
    );
    player.part(&opening).unwrap();
    player
}

/// One entry in the queue of what is due for each session, however often it is said that somebody is composing.
#[test]
fn composing_takes_no_memory() {
    let mut player = with_session();
    let say = |player: &mut Player, n: usize| {
        player
            .part(&format!(
                "romeo sends
    MSRP stat{n} SEND
    To-Path: $gateway
    From-Path: msrp://192.0.2.20:7000/romeo;tcp
    Failure-Report: no
    Content-Type: application/im-iscomposing+xml

    <isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state><refresh>3600</refresh></isComposing>
    -------stat{n}$
"
            ))
            .unwrap();
    };
    say(&mut player, 0);
    let count = |player: &Player| format!("{player:?}").matches("LegId(").count();
    let before = count(&player);
    for n in 1..1000 {
        say(&mut player, n);
    }
    let after = count(&player);
    assert!(after < before + 10, "{before} -> {after}");
}

/// kill -9 with 20,000 sessions: each XMPP user hears of it. The stream is the shell's: 16,384 stanzas and `MOST` bytes wait, what is more is lost at once.
#[test]
fn after_a_restart_everybody_is_told() {
    use base::Time;
    use std::collections::{BTreeSet, VecDeque};
    use std::time::Duration;
    use stox::gateway::{Input, Output};
    const MOST: usize = 1 << 20;
    let mut settings = Settings::default();
    settings.config.links[0].chat = Mode::Session;
    let mut gateway = settings.gateway(1);
    let mut now = Time::from_secs(100);
    for n in 0..20_000 {
        let key = format!("cid{n}\0romeo{n}@example.net\0juliet{n}@example.com");
        let dialog = format!(
            r#""dialog":{{"call_id":"c{n}","local_uri":"<sip:juliet{n}@example.com>","local_tag":"a{n}","remote_uri":"<sip:romeo{n}@example.net>","remote_tag":"b{n}","remote_target":"sip:romeo{n}@192.0.2.10:5060","route_set":[],"local_cseq":1,"remote_cseq":null}}"#
        );
        let value = format!(r#"{{"resource":"balcony","thread":"t{n}",{dialog},"waiting":[]}}"#);
        gateway.handle(now, Input::Restore { key: key.into_bytes(), value: value.into_bytes() });
    }
    gateway.handle(now, Input::LinkUp(0));
    let (mut told, mut dropped, mut byes) = (BTreeSet::new(), 0, 0);
    let (mut waiting, mut bytes_waiting) = (VecDeque::new(), 0);
    for _ in 0..60_000 {
        while let Some(output) = gateway.poll() {
            match output {
                Output::Stanza { bytes, token, .. } => {
                    if waiting.len() < 16_384 && bytes_waiting + bytes.len() <= MOST {
                        bytes_waiting += bytes.len();
                        let text = String::from_utf8(bytes.clone()).unwrap();
                        waiting.push_back((token, bytes.len(), text));
                    } else {
                        gateway.handle(now, Input::Lost(token));
                    }
                }
                Output::Sip { bytes, .. } => byes += usize::from(bytes.starts_with(b"BYE")),
                Output::Note(note) if format!("{note:?}").contains("AnswerDropped") => dropped += 1,
                _ => {}
            }
        }
        // A millisecond goes by; the server takes 100 stanzas.
        now = now + Duration::from_millis(1);
        for _ in 0..100 {
            let Some((token, len, text)) = waiting.pop_front() else { break };
            bytes_waiting -= len;
            told.insert(text.split("to='").nth(1).or(text.split("to=\"").nth(1)).unwrap()[..20].to_owned());
            gateway.handle(now, Input::Taken(token));
        }
        if gateway.deadline().is_some_and(|at| at <= now) {
            gateway.timeout(now);
        }
    }
    assert_eq!((told.len(), dropped), (20_000, 0));
    assert!(byes >= 20_000, "{byes}");
}

/// A shard that begins anew after a panic takes no connection for its own that the one before has asked for.
#[test]
fn tickets_are_not_used_twice() {
    let ticket = |seed| {
        let advertise =
            vec![msrp::Advertised { secure: false, host: msrp::Host::Ip([192, 0, 2, 1].into()), port: 2855 }];
        let config = msrp::Config { advertise, ..msrp::Config::default() };
        let mut agent = msrp::Agent::new(config, base::Tokens::seeded(seed));
        let now = base::Time::from_secs(1);
        let id = agent.open(now, false).unwrap();
        let path = msrp::Path::parse(&format!("msrp://192.0.2.{seed}:7000/x{seed};tcp")).unwrap();
        let hop = msrp::Hop { host: msrp::Host::Ip([192, 0, 2, seed as u8].into()), port: 7000, tls: None };
        agent.begin(now, id, &msrp::Peer { path, way: msrp::Way::Active(hop), max_size: None });
        std::iter::from_fn(|| agent.poll())
            .find_map(|output| if let msrp::Output::Open { ticket, .. } = output { Some(ticket) } else { None })
            .unwrap()
    };
    assert_ne!(ticket(20), ticket(21));
}

/// Requests within a dialog (their From, our Contact) find the shard of the pair.
#[test]
fn requests_within_dialogs_find_their_shard() {
    use stox::address::{self, Scheme};
    use xmpp::jid::Jid;
    use xmpp::stanza::Stanza;
    let router = stox::route::Router::new(16, base::HashKey::new(1, 2));
    let users = [
        "juliet",
        "o\\27malley",
        "+358-555-1234567",
        "+3585551234567",
        "jos\u{e9}",
        "fu\u{df}ball",
        "a\\2fb",
        "two\\20words",
        "*31",
        "1234",
        "x%zy",
        "a\\5cb",
        "a\\3ab",
        "a\\40b",
        "tel;phone-context=x",
        "\u{130}x",
        "a+b",
        "a=b",
        "a,b",
        "(x)",
        "~t~",
        "\\5c20x",
        "\u{ac00}",
    ];
    let mut bad = Vec::new();
    for (n, sip) in users.iter().enumerate() {
        for xmpp in users.iter().skip(n % 3).map(|u| format!("{u}@example.com")).chain(["bot.example.com".to_owned()]) {
            let (Ok(romeo), Ok(juliet)) = (Jid::parse(&format!("{sip}@example.net")), Jid::parse(&format!("{xmpp}/r")))
            else {
                continue;
            };
            let mut stanza = Stanza::message();
            (stanza.from, stanza.to) = (Some(juliet.clone()), Some(romeo.clone()));
            let (Ok(from), Ok(mut contact)) =
                (address::to_uri(&romeo, Scheme::Sip), address::to_uri(&juliet, Scheme::Sip))
            else {
                continue;
            };
            for host in ["192.0.2.1", "[2001:db8::1]", "example.com"] {
                contact.host = sip::uri::Host::parse(host).unwrap();
                contact.port = Some(5060);
                for contact in [contact.to_string(), format!("{contact};transport=tcp")] {
                    let mut request = sip::Request::new(sip::Method::Bye, sip::Uri::parse(&contact).unwrap());
                    request.headers.push(sip::Name::From, format!("<{from}>;tag=1"));
                    request.headers.push(sip::Name::To, "<sip:x@example.com>;tag=2".to_owned());
                    if router.sip(&sip::Message::Request(request)) != router.stanza(&stanza) {
                        bad.push(format!("{romeo} {juliet}: {from} {contact}"));
                    }
                }
            }
        }
    }
    assert!(bad.is_empty(), "{} {:#?}", bad.len(), &bad[..bad.len().min(12)]);
}

/// What a client names a thread is kept as long as the session; it is as long as a stanza may be.
#[test]
fn a_long_thread_is_not_kept() {
    let mut player = with_session();
    player
        .part(
            "romeo sends
    MSRP hello1 SEND
    To-Path: $gateway
    From-Path: msrp://192.0.2.20:7000/romeo;tcp
    Failure-Report: no
    Content-Type: text/plain

    hello
    -------hello1$
juliet gets
    <message to='juliet@example.com' id='hello1'/>
juliet takes
",
        )
        .unwrap();
    let thread = "x".repeat(200_000);
    player
        .part(&format!(
            "juliet sends
    <message from='juliet@example.com/balcony' to='romeo@example.net' id='m1' type='chat'><thread>{thread}</thread><body>one</body></message>
romeo gets
    MSRP $tid SEND
    Content-Type: *

    *
    -------$tid$
romeo sends
    MSRP $tid 200 OK
"
        ))
        .unwrap();
    // What the player itself keeps of the last stanza goes with the next.
    player
        .part("juliet sends\n    <message from='juliet@example.com/balcony' to='romeo@example.net' type='headline'/>\n")
        .unwrap();
    let kept = format!("{player:?}").matches(&thread).count();
    assert_eq!(kept, 0);
}
