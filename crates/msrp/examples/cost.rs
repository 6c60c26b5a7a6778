//! What a message costs: read a SEND, take it up and answer it, send one back and read its answer; so often as the first argument says. For
//! counting instructions: `valgrind --tool=callgrind target/release/examples/cost 1000`.

use base::{Time, Tokens};
use bytes::{Bytes, BytesMut};
use msrp::{
    Advertised, Agent, Config, ConnectionId, Decoder, Event, FailureReport, Host, Limits, Outgoing, Output, Path, Peer,
    Way,
};
use std::hint::black_box;

const PEER: &str = "msrp://192.0.2.10:2855/s8hzc7w9dj3m;tcp";

fn main() {
    let times: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let host = Host::Name("gw.example.com".into());
    let config = Config { advertise: vec![Advertised { secure: false, host, port: 2855 }], ..Config::default() };
    let mut agent = Agent::new(config, Tokens::seeded(1));
    let (now, wire) = (Time::ZERO, ConnectionId(1));
    let Ok(id) = agent.open(now, false) else { return };
    let Ok(path) = Path::parse(PEER) else { return };
    let own = agent.local_path(id).map(|path| path.to_string()).unwrap_or_default();
    agent.begin(now, id, &Peer { path, way: Way::Passive, max_size: None });
    let mut decoder = Decoder::new(Limits::default());
    let mut answers = BytesMut::new();
    for n in 0..times {
        let text = format!(
            "MSRP d93kswow SEND\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\nMessage-ID: 12339sdqwer{n}\r\n\
             Byte-Range: 1-36/36\r\nContent-Type: text/plain\r\n\r\nArt thou not Romeo, and a Montague? \r\n-------d93kswow$\r\n"
        );
        read(&mut agent, &mut decoder, now, wire, text.as_bytes());
        let outgoing = Outgoing {
            message_id: None,
            content_type: "text/plain".into(),
            headers: Vec::new(),
            body: Bytes::from_static(b"Neither, fair saint, if either thee dislike."),
            success_report: false,
            failure_report: FailureReport::Yes,
        };
        let _ = black_box(agent.send(now, id, outgoing));
        answers.clear();
        while let Some(output) = agent.poll() {
            match output {
                Output::Event(Event::Message { token, .. }) => agent.answer(now, token, 200, ""),
                Output::Write { bytes, .. } => {
                    let Some(at) = bytes.windows(5).position(|w| w == b" SEND") else { continue };
                    let tid = String::from_utf8_lossy(bytes.get(at - 16..at).unwrap_or_default()).into_owned();
                    let text = format!("MSRP {tid} 200 OK\r\nTo-Path: {own}\r\nFrom-Path: {PEER}\r\n-------{tid}$\r\n");
                    answers.extend_from_slice(text.as_bytes());
                }
                other => drop(black_box(other)),
            }
        }
        read(&mut agent, &mut decoder, now, wire, &answers);
        while let Some(output) = agent.poll() {
            black_box(output);
        }
    }
    assert_eq!(agent.counts().messages_out, u64::from(times), "each was answered");
}

fn read(agent: &mut Agent, decoder: &mut Decoder, now: Time, wire: ConnectionId, bytes: &[u8]) {
    decoder.push(bytes);
    while let Some(Ok(arrival)) = decoder.next() {
        agent.received(now, wire, arrival);
    }
}
