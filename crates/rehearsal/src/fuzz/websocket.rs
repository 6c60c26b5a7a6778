//! SIP on WebSockets.

use super::split;
use sip::websocket::{Broken, Event, Outgoing, Role, WebSocketDecoder};
use sip::{Limits, parse_datagram};

/// Bytes that a message may have here.
const MOST: usize = 3000;

fn events(pieces: &mut dyn Iterator<Item = &[u8]>, role: Role) -> (Vec<Result<Event, Broken>>, usize) {
    let mut decoder = WebSocketDecoder::new(role, MOST);
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(event)) => out.push(Ok(event)),
                Err(broken) => out.push(Err(broken)),
            }
        }
        // A message, a control frame and a head.
        assert!(decoder.buffered() <= MOST + 125 + 14, "{} bytes are held", decoder.buffered());
    }
    (out, decoder.buffered())
}

/// What follows a handshake, in pieces whose length the first byte says, as is which end we are: the same events as in one piece, an end at most
/// once and nothing behind it; what is held is bounded; and what we would write for an event can be read at the other end.
pub fn websocket(data: &[u8]) {
    let (cut, rest) = split(data);
    let (role, other) = if cut & 0x80 == 0 { (Role::Server, Role::Client) } else { (Role::Client, Role::Server) };
    let whole = events(&mut [rest].into_iter(), role);
    let pieces = events(&mut rest.chunks(usize::from(cut % 64) + 1), role);
    assert_eq!(whole, pieces);
    let end = whole.0.iter().position(|event| matches!(event, Err(_) | Ok(Event::Close)));
    assert!(end.is_none_or(|at| at + 1 == whole.0.len()), "something came behind the end");
    let key = (role == Role::Client).then_some([cut, 1, 2, 3]);
    for event in whole.0.into_iter().flatten() {
        let mut written = Vec::new();
        match &event {
            Event::Message(message) => {
                assert!(message.len() <= MOST);
                let _ = parse_datagram(message, &Limits::default());
                Outgoing::Message(message).write(&mut written, key);
            }
            Event::Ping(payload) => Outgoing::Pong(payload).write(&mut written, key),
            Event::Pong => Outgoing::Ping.write(&mut written, key),
            Event::Close => Outgoing::Close(1000).write(&mut written, key),
        }
        let (read, left) = events(&mut [&written[..]].into_iter(), other);
        assert_eq!((read.len(), left), (1, 0));
        if let Event::Message(_) = event {
            assert_eq!(read[0], Ok(event));
        }
    }
}
