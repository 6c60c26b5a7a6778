use super::*;
use proptest::prelude::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn decoded(role: Role, most: usize, pieces: &[&[u8]]) -> (Vec<Event>, Option<Broken>) {
    let mut decoder = WebSocketDecoder::new(role, most);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(event)) => events.push(event),
                Err(broken) => {
                    assert_eq!(decoder.next(), Ok(None), "nothing comes behind an error");
                    assert_eq!(decoder.buffered(), 0);
                    return (events, Some(broken));
                }
            }
        }
        assert!(decoder.buffered() <= most.max(LONGEST_CONTROL) + LONGEST_HEAD);
    }
    (events, None)
}

/// A frame of a client's, with whatever head.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, 0x80 | u8::try_from(payload.len()).expect("a short one")];
    out.extend_from_slice(&KEY);
    let from = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[from..], KEY, 0);
    out
}

fn message(text: &'static str) -> Event {
    Event::Message(Bytes::from_static(text.as_bytes()))
}

#[test]
fn the_examples_of_rfc_6455() {
    let hello = vec![message("Hello")];
    assert_eq!(decoded(Role::Client, 100, &[b"\x81\x05Hello"]), (hello.clone(), None));
    assert_eq!(decoded(Role::Server, 100, &[b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"]), (hello.clone(), None));
    assert_eq!(decoded(Role::Client, 100, &[b"\x01\x03Hel", b"\x80\x02lo"]), (hello.clone(), None));
    assert_eq!(
        decoded(Role::Client, 100, &[b"\x89\x05Hello"]),
        (vec![Event::Ping(Bytes::from_static(b"Hello"))], None)
    );
    assert_eq!(
        decoded(Role::Server, 100, &[b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"]),
        (vec![Event::Pong], None)
    );
    let mut written = Vec::new();
    Outgoing::Message(b"Hello").write(&mut written, Some(KEY));
    assert_eq!(written, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

#[test]
fn a_ping_may_come_between_the_frames_of_a_message() {
    let stream = [frame(0x01, b"Hel"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"lo")].concat();
    let events = vec![Event::Ping(Bytes::from_static(b"?")), message("Hello")];
    assert_eq!(decoded(Role::Server, 100, &[&stream]), (events.clone(), None));
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decoded(Role::Server, 100, &bytes), (events, None));
}

#[test]
fn what_breaks_a_connection() {
    use Broken::{NotText, Protocol, TooBig};
    for (what, stream, broken) in [
        ("not masked", b"\x81\x05Hello".to_vec(), Protocol),
        ("a reserved bit", frame(0xc1, b"x"), Protocol),
        ("an opcode that nobody knows", frame(0x83, b"x"), Protocol),
        ("a control frame that nobody knows", frame(0x8b, b"x"), Protocol),
        ("a control frame in pieces", frame(0x09, b"x"), Protocol),
        ("a control frame that is long", [&[0x89, 0xfe, 0, 126][..], &KEY, &[0; 126]].concat(), Protocol),
        ("the rest of nothing", frame(0x80, b"x"), Protocol),
        ("a message in a message", [frame(0x01, b"x"), frame(0x81, b"x")].concat(), Protocol),
        ("a text of other octets", frame(0x81, b"\xff"), NotText),
        ("longer than a message may be", frame(0x82, &[0; 101]), TooBig),
        ("longer in pieces", [frame(0x02, &[0; 60]), frame(0x80, &[0; 41])].concat(), TooBig),
        ("the longest of all", [&[0x82, 0xff][..], &[0xff; 8], &KEY].concat(), TooBig),
        ("an empty frame, again and again", [frame(0x02, b""), frame(0x00, b"").repeat(MOST_FRAMES)].concat(), TooBig),
        ("a request of HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Protocol),
        ("a request of SIP", b"OPTIONS sip:a@b SIP/2.0\r\n\r\n".to_vec(), Protocol),
    ] {
        assert_eq!(decoded(Role::Server, 100, &[&stream]), (vec![], Some(broken)), "{what}");
    }
    assert_eq!(decoded(Role::Client, 100, &[&frame(0x81, b"x")]), (vec![], Some(Protocol)), "masked by a server");
}

#[test]
fn an_announced_length_takes_no_memory_and_a_silent_connection_none_at_all() {
    let mut decoder = WebSocketDecoder::new(Role::Server, 1 << 20);
    decoder.push(&[&[0x82, 0xff][..], &(1u64 << 20).to_be_bytes(), &KEY].concat());
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.is_inside_message());
    assert_eq!((decoder.message.capacity(), decoder.buffer.capacity()), (0, 0));
    let mut decoder = WebSocketDecoder::new(Role::Server, 1 << 20);
    for _ in 0..3 {
        decoder.push(&frame(0x81, b"Hello"));
        assert_eq!(decoder.next(), Ok(Some(message("Hello"))));
        assert_eq!(decoder.next(), Ok(None));
        assert!(!decoder.is_inside_message());
        let held = [&decoder.buffer, &decoder.message, &decoder.control].map(BytesMut::capacity);
        assert_eq!(held, [0; 3]);
    }
}

#[test]
fn nothing_comes_behind_a_close() {
    let stream = [frame(0x88, b"\x03\xe8bye"), frame(0x81, b"more")].concat();
    assert_eq!(decoded(Role::Server, 100, &[&stream]), (vec![Event::Close], None));
    let mut written = Vec::new();
    Outgoing::Close(1001).write(&mut written, None);
    assert_eq!(written, [0x88, 2, 0x03, 0xe9]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 1..4),
        key in prop::option::of(any::<[u8; 4]>()),
        cut in 1usize..5000,
    ) {
        let mut stream = Vec::new();
        for payload in &payloads {
            Outgoing::Message(payload).write(&mut stream, key);
            Outgoing::Pong(payload).write(&mut stream, key);
        }
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
        let (events, broken) = decoded(role, 70_000, &pieces);
        prop_assert_eq!(broken, None);
        let messages: Vec<Vec<u8>> =
            events.iter().filter_map(|e| if let Event::Message(m) = e { Some(m.to_vec()) } else { None }).collect();
        prop_assert_eq!(messages, payloads);
    }

    #[test]
    fn any_bytes_in_any_pieces_say_the_same(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..40) {
        let whole = decoded(Role::Server, 200, &[&bytes]);
        let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
        prop_assert_eq!(decoded(Role::Server, 200, &pieces), whole);
    }
}
