//! What a media relay answers.

use crate::scene::{GATEWAY, PROXY, Settings, relay as address};
use crate::wire::read_stanza;
use base::{Time, Tokens};
use bytes::Bytes;
use ng::bencode::Value;
use ng::{Client, Config, Exchange, Output as Asked, Request, Rewriting};
use sip::agent::{Flow, Transport};
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};

/// A document, as the answer to each thing that is asked: it prints back as it was read; what was asked ends once; and a gateway that gets it for the description of a
/// telephone that calls says nothing that cannot be read, and has forgotten the call when nobody answers.
pub fn relay(data: &[u8]) {
    let document = Value::parse(data);
    if let Ok(value) = &document {
        assert_eq!(value.to_bytes(), data, "there is one way to write it");
    }
    let exchange = || {
        let sdp = b"v=0".to_vec();
        let (call, from, to) = ("c".into(), "a".into(), Some("b".into()));
        Box::new(Exchange { call, from, to, sdp, rewriting: Rewriting::default() })
    };
    let call = || "c".into();
    for request in [
        Request::Offer(exchange()),
        Request::Answer(exchange()),
        Request::Query { call: call() },
        Request::Delete { call: call() },
    ] {
        ends_once(&request, data);
    }
    // What is no document is the same to a call whatever it is.
    if document.is_ok() {
        calls(data);
    }
}

fn ends_once(request: &Request, document: &[u8]) {
    let config = Config { servers: vec![address(0), address(1)], ..Config::default() };
    let mut client = Client::new(config, Tokens::seeded(1));
    let id = client.ask(Time::ZERO, request, None).expect("there is a relay");
    let mut ended = 0;
    let mut now = Time::ZERO;
    for _ in 0..100 {
        while let Some(output) = client.poll() {
            match output {
                Asked::Send { to, bytes } => client.received(now, to, &answer(&bytes, document)),
                Asked::Done { id: done, result, .. } => {
                    assert_eq!(done, id);
                    assert!(result.is_ok_and(|sdp| sdp.len() <= document.len()) || ended == 0);
                    ended += 1;
                }
            }
        }
        now = now + Duration::from_millis(300);
        client.timeout(now);
    }
    assert_eq!(ended, 1);
}

/// The same cookie, and the document.
fn answer(question: &[u8], document: &[u8]) -> Vec<u8> {
    let cookie = question.split(|b| *b == b' ').next().unwrap_or_default();
    [cookie, b" ", document].concat()
}

const INVITE: &str = "INVITE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKfuzz\r\nMax-Forwards: 70\r\n\
    From: <sip:romeo@example.net>;tag=r\r\nTo: <sip:juliet@example.com>\r\nCall-ID: 0123456789abcdefghij\r\nCSeq: 1 INVITE\r\n\
    Contact: <sip:romeo@192.0.2.20;gr=phone>\r\nContent-Type: application/sdp\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

fn calls(document: &[u8]) {
    let mut settings = Settings::default();
    for (key, value) in [("calls", "true"), ("relays", "1")] {
        settings.set(key, value).expect("a setting");
    }
    let mut gateway = settings.gateway(1);
    let mut now = Time::from_secs(10);
    let ping = |question: &[u8]| question.ends_with(b"d7:command4:pinge");
    gateway.handle(now, Input::LinkUp(0));
    gateway.handle(now, Input::LinkUp(1));
    let bytes = Bytes::from_static(INVITE.as_bytes());
    let message = sip::parse_datagram(&bytes, &sip::Limits::default()).expect("an INVITE");
    let flow = Flow { transport: Transport::Udp, local: GATEWAY.into(), remote: PROXY.into(), connection: None };
    gateway.handle(now, Input::Sip(message, flow));
    for _ in 0..3 {
        drain(&mut gateway, now, |question| {
            answer(question, if ping(question) { b"d6:result4:ponge" } else { document })
        });
        now = now + Duration::from_secs(100);
        gateway.timeout(now);
    }
    drain(&mut gateway, now, |question| answer(question, b"d6:result2:oke"));
    assert_eq!(gateway.session_counts().sessions, 0, "nobody has answered");
}

fn drain(gateway: &mut Gateway, now: Time, answer: impl Fn(&[u8]) -> Vec<u8>) {
    while let Some(output) = gateway.poll() {
        match output {
            Output::Sip { bytes, .. } => {
                sip::parse_datagram(&bytes, &sip::Limits::default()).expect("SIP that can be read");
            }
            Output::Stanza { bytes, token, .. } => {
                read_stanza(&bytes);
                gateway.handle(now, Input::Taken(token));
            }
            Output::Relay { to, bytes } => gateway.handle(now, Input::Relay { from: to, bytes: answer(&bytes).into() }),
            Output::Save { token, .. } => gateway.handle(now, Input::Saved(token)),
            Output::Lookup { .. } | Output::Msrp(_) | Output::Offence(..) | Output::Note(_) => {}
        }
    }
}
