//! What somebody costs who has connected and proved nothing: counted by the allocator, whatever he sends.

use base::{Str, Time, Tokens};
use std::sync::Arc;
use verona_xmpp::stream::s2s::{Certificate, Config, Local, Output, Secret, Stream};

/// Of the 32 KiB that a connection may cost before it is authenticated, those of its stream. The rest is for TLS and the socket.
const MOST: u64 = 16 << 10;

/// The most memory that a stream has at any time while it hears these pieces. What is written is taken away, as the shell does; keys
/// are never verified.
fn cost(pieces: &[String]) -> u64 {
    let config = Config::new([(Str::from("sip.example.net"), Local { certificate: true })], Secret::new(b"secret"));
    let config = Arc::new(config);
    let info = allocation_counter::measure(|| {
        let mut stream = Box::new(Stream::receiving(Arc::clone(&config), Tokens::seeded(1), Time::ZERO, true));
        for piece in pieces {
            stream.received(Time::ZERO, piece.as_bytes());
            stream.flushed(Time::ZERO);
            while let Some(output) = stream.poll() {
                if let Output::Judge(domain) = output {
                    stream.judged(Time::ZERO, &domain, Certificate::Invalid("self-signed".into()));
                }
            }
        }
        assert!(stream.is_unproven());
    });
    info.bytes_max
}

fn header() -> String {
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
     xmlns:db='jabber:server:dialback' from='example.com' to='sip.example.net' version='1.0'>"
        .to_owned()
}

#[test]
fn a_stranger_costs_little() {
    let long = |n: usize| format!("{n}.{}", ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join("."));
    let requests: Vec<String> = (0..200)
        .map(|n| format!("<db:result from='{}' to='sip.example.net'>{}</db:result>", long(n), "k".repeat(250)))
        .collect();
    let attributes: String = (0..15).map(|n| format!(" a{n}='{}'", "v".repeat(200))).collect();
    let namespaces: String = (0..14).map(|n| format!(" xmlns:n{n}='{}'", "u".repeat(240))).collect();
    let cases: [(&str, Vec<String>); 9] = [
        ("silence", vec![]),
        ("a header", vec![header()]),
        ("half a header", vec![format!("{} {}", &header()[..100], "x".repeat(60_000))]),
        ("a header with all that may stand in it", vec![header().replace(" from=", &format!("{namespaces} from="))]),
        ("half an element", vec![header(), format!("<db:result>{}", "k".repeat(4000))]),
        ("elements in one", vec![header(), format!("<x>{}", "<y/>".repeat(31))]),
        ("attributes", vec![header(), format!("<x{attributes}><y")]),
        ("requests", [vec![header()], requests.clone()].concat()),
        ("all at once", vec![format!("{}{}", header(), requests.concat())]),
    ];
    for (what, pieces) in cases {
        let bytes = cost(&pieces);
        assert!(bytes <= MOST, "{what}: {bytes} bytes");
        let byte_by_byte: Vec<String> = pieces.concat().chars().take(6000).map(String::from).collect();
        let bytes = cost(&byte_by_byte);
        assert!(bytes <= MOST, "{what}, byte by byte: {bytes} bytes");
    }
}
