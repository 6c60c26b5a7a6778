//! What a message costs: read one, check it, answer it, so often as the first argument says. For counting instructions:
//! `valgrind --tool=callgrind target/release/examples/cost 1000`.

use bytes::Bytes;
use std::hint::black_box;
use verona_sip::{Essentials, Limits, Message, Response, parse_datagram};

const MESSAGE: &[u8] = b"MESSAGE sip:juliet@xmpp.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds8f7sd6f;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Romeo Montague\" <sip:romeo@sip.example.net>;tag=49583afe12\r\n\
To: <sip:juliet@xmpp.example.com>\r\n\
Call-ID: asd88asd77a-8829@192.0.2.10\r\n\
CSeq: 1 MESSAGE\r\n\
Contact: <sip:romeo@192.0.2.10:5060>\r\n\
User-Agent: Example/1.0\r\n\
Content-Type: text/plain;charset=utf-8\r\n\
Content-Length: 36\r\n\r\n\
Art thou not Romeo, and a Montague? ";

fn main() {
    let times = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let (message, limits) = (Bytes::from_static(MESSAGE), Limits::default());
    for _ in 0..times {
        if let Ok(Message::Request(request)) = parse_datagram(black_box(&message), &limits)
            && let Ok(essentials) = Essentials::of_request(&request)
        {
            black_box(essentials);
            black_box(Response::to_request(&request, 200, "", Some("8f7sd6f")).to_bytes());
        }
    }
}
