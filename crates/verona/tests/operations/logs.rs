//! What the log says of people: nothing at info, their addresses at debug, and what they say never.

use crate::rig::{Place, Settings, World, condition, message};
use crate::tcp::Wire;
use rehearsal::wire::SipText;
use std::net::UdpSocket;
use xml::Element;
use xmpp::ns;

/// In each body, subject and secret.
const BODY: &str = "Bodyword";
const SUBJECT: &str = "Subjectword";
/// At the start of what pretends to be a line of the log.
const FORGED: &str = "2001-01-01T00:00:00Z ERROR verona: Forgedword";

/// Requests that are none, each with a text.
fn malformed() -> Vec<Vec<u8>> {
    let head = "MESSAGE sip:julietname@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKbad\r\n";
    let from = "From: <sip:romeoname@example.net>;tag=1\r\nTo: <sip:julietname@example.com>\r\n";
    let rest = format!("Call-ID: Threadword\r\nCSeq: 1 MESSAGE\r\nSubject: {SUBJECT}\r\n");
    let texts = [
        format!("{head}{from}{rest}Content-Length: 999\r\n\r\n{BODY}"),
        format!("{head}From: \"\x1b[2J\x1b]0;{BODY}\x07\n{FORGED}\" <sip:romeoname@example.net>\r\n{rest}\r\n{BODY}"),
        format!("{head}{from}{rest}Max-Forwards: {BODY}\r\n\r\n{BODY}"),
        format!("MESSAGE sip:julietname@example.com;{BODY}=\u{202e}\r{FORGED}\n SIP/2.0\r\n\r\n{BODY}"),
        format!("{BODY} {SUBJECT}\r\n{FORGED}\r\n\r\n"),
        format!("SIP/2.0 200 {BODY}\r\n{FORGED}\r\n\r\n"),
    ];
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    all.push([head.as_bytes(), b"From: \xff\xfe\x00\xc0\x80", BODY.as_bytes(), b"\r\n\r\n"].concat());
    all
}

fn request(from: &str, to: &str, headers: &[(&str, &str)], text: &str) -> SipText {
    let mut request =
        SipText { start: format!("MESSAGE {to} SIP/2.0"), headers: vec![], body: text.as_bytes().to_vec() };
    request.push("From", format!("\"Romeoname\" <{from}>"));
    request.push("To", format!("<{to}>"));
    request.push("Subject", SUBJECT);
    for (name, value) in headers {
        request.push(name, *value);
    }
    if request.header("Content-Type").is_none() {
        request.push("Content-Type", "text/plain;charset=UTF-8");
    }
    request
}

/// Everything that can be said about a message, in a program with these settings; its log.
async fn log_of(name: &str, keys: &str) -> (String, Place) {
    let keys = format!("{keys}\nlimits.stanza_bytes = 10000");
    let mut world = World::new(name, &Settings { keys, ..Settings::default() }).await;
    let good = std::fs::read_to_string(world.place.file()).unwrap();
    let (romeo, juliet) = ("sip:romeoname@example.net", "sip:julietname@example.com");
    let hostile = format!("{BODY}\r\n{FORGED}\r\n\u{1b}[2J\u{202e}\u{2028}{FORGED}");
    let cpim = [("Content-Type", "message/cpim")];
    let bad = [("Content-Type", "text/plain;charset=nonsense")];
    for (request, status) in [
        (request(romeo, juliet, &[("Call-ID", "Threadword")], &hostile), 200),
        (request(romeo, "sip:nobody@example.com", &[], &hostile), 604),
        (request(romeo, "sip:julietname@example.org", &[], &hostile), 404),
        (request("sip:nursename@example.com", juliet, &[], &hostile), 403),
        (request("sip:nursename@example.info", juliet, &[], &hostile), 403),
        (request(romeo, juliet, &cpim, &hostile), 400),
        (request(romeo, juliet, &bad, &hostile), 415),
        (request(romeo, "sip:%00@example.com", &[], &hostile), 0),
        (request(romeo, "sips:julietname@example.com", &[], &hostile), 480),
    ] {
        let answer = world.phone.request(world.sip, request.clone()).await.unwrap();
        assert!(answer.status() == Some(status) || status == 0, "{request}\n{answer}");
    }
    let socket = UdpSocket::bind((world.place.phone, 0)).unwrap();
    for bytes in malformed() {
        socket.send_to(&bytes, world.sip).unwrap();
        Wire::new(world.sip).await.send(&bytes).await;
    }

    let from = "julietname@example.com/balcony";
    let child = |name: &str, text: &str| Element::new(name, ns::CLIENT).with_text(text);
    let html = Element::new("body", "http://www.w3.org/1999/xhtml")
        .with_child(Element::new("p", "http://www.w3.org/1999/xhtml").with_text(BODY));
    let html = Element::new("html", "http://jabber.org/protocol/xhtml-im").with_child(html);
    let full = message(from, "romeoname@example.net", FORGED, &hostile)
        .with_child(child("subject", SUBJECT))
        .with_child(child("thread", "Threadword"))
        .with_child(html);
    world.server.send(full);
    for (id, to, type_, text) in [
        (format!("x\n{FORGED}"), "rosaline@example.net", "chat", hostile.as_str()),
        ("group".to_owned(), "romeoname@example.net", "groupchat", &hostile),
        ("odd".to_owned(), "rosaline@example.net", &format!("\n{FORGED}"), &hostile),
        ("long".to_owned(), "romeoname@example.net", "chat", &BODY.repeat(200)),
        ("longer".to_owned(), "romeoname@example.net", "chat", &BODY.repeat(2000)),
    ] {
        world.server.send(message(from, to, &id, text).with_type(type_));
        // Those that SIP refuses pass by here, too, but nobody has to look at them.
        loop {
            let stanza = world.at_juliet().await;
            if condition(&stanza).is_some() && stanza.id.as_deref() == Some(id.as_str()) {
                break;
            }
        }
    }
    world.server.send(message(from, "romeoname@example.net", "lost", &hostile).with_type("error"));

    for (from, to) in [
        ("\"s3cret\"", "\"s3cret"),
        ("\"s3cret\"", "\"s3cret\\nmore\""),
        ("\"s3cret\"", "{ s3cret = 1 }"),
        ("secret = \"s3cret\"", "secret = \"s3cret\" # s3cret\nsecret_file = \"/nowhere\""),
        ("\"s3cret\"", "\"other-s3cret\""),
    ] {
        std::fs::write(world.place.file(), good.replacen(from, to, 1)).unwrap();
        world.hang_up();
    }
    // A stream that goes and comes, and the end.
    world.server.cut();
    world.program.wait_until("/metrics", |_, page| page.contains("verona_xmpp_losses_total{domain=\"example.net\"} 1"));
    world.program.wait_ready();
    assert_eq!(world.program.metric("verona_panics_total"), 0.0);
    world.program.signal("-TERM");
    let World { program, place, .. } = world;
    let (code, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    for never in [BODY, SUBJECT, "s3cret"] {
        assert!(!log.contains(never), "{never} in\n{log}");
    }
    assert!(log.contains("reload refused") && log.contains("component stream is down"), "{log}");
    assert!(log.chars().all(|c| c == '\n' || !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c)), "{log:?}");
    (log, place)
}

/// Each line is a line of ours: it starts with a date of this century's reality.
fn assert_lines_are_ours(log: &str) {
    for line in log.lines() {
        let (date, rest) = line.split_once(' ').unwrap();
        assert!(
            date.len() == 27 && date.starts_with("20") && date.ends_with('Z') && !date.starts_with("2001"),
            "{line}"
        );
        let level = rest.split_whitespace().next().unwrap();
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line}");
    }
}

fn assert_nobody_is_named(log: &str, place: &Place) {
    for word in
        ["romeoname", "Romeoname", "julietname", "nursename", "rosaline", "nobody", "@", "Threadword", "Forgedword"]
    {
        assert!(!log.contains(word), "{word} in\n{log}");
    }
    assert!(!log.contains(&place.phone.to_string()), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_info_nobody_is_named() {
    let (log, place) = log_of("info", "log.level = \"info\"").await;
    assert_lines_are_ours(&log);
    assert_nobody_is_named(&log, &place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_info_in_json_each_line_is_an_object() {
    let (log, place) = log_of("json", "log.level = \"info\"\nlog.format = \"json\"").await;
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            event["timestamp"].is_string() && event["target"].is_string() && event["message"].is_string(),
            "{line}"
        );
        assert!(["ERROR", "WARN", "INFO"].contains(&event["level"].as_str().unwrap()), "{line}");
    }
    assert_nobody_is_named(&log, &place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_debug_there_are_addresses_and_no_words() {
    let (log, _) = log_of("debug", "log.level = \"debug\"").await;
    assert_lines_are_ours(&log);
    assert!(log.contains("julietname@example.com/balcony") && log.contains("sip:romeoname@example.net"), "{log}");
    assert!(log.contains("Threadword") && log.contains("Forgedword"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_trace_there_are_no_words_either_and_json_stays_json() {
    let (log, _) = log_of("trace", "log.level = \"trace\"\nlog.format = \"json\"").await;
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|event| event.is_object()), "{line}");
    }
    assert!(log.contains("julietname@example.com/balcony"), "{log}");
}
