//! What holds for any input.

use crate::corpus::CASES;
use bytes::Bytes;
use proptest::prelude::*;
use verona_sip::header::{Challenge, Credentials, Date, Event, MediaType, Warning};
use verona_sip::{
    Frame, Headers, Limits, Message, Method, Name, NameAddr, Params, Rejected, Request, SipUri, StreamDecoder, Uri,
    Via, parse_datagram, validate_request, validate_response,
};

/// Small enough that the limits are met too.
const LIMITS: Limits = Limits {
    message_bytes: 3000,
    head_bytes: 2000,
    start_line_bytes: 300,
    value_bytes: 500,
    header_lines: 12,
    vias: 4,
};

/// Everything a caller may ask of a message.
fn read_all(message: &Message) {
    let headers = message.headers();
    let _ = (headers.via(), headers.vias().count(), headers.from(), headers.to(), headers.call_id(), headers.cseq());
    let _ = (headers.max_forwards(), headers.expires(), headers.content_type(), headers.contacts(), headers.event());
    let _ = (headers.routes(Name::Route), headers.tokens(Name::Require), headers.allow(), headers.from_tag());
    match message {
        Message::Request(request) => {
            let _ = validate_request(request);
        }
        Message::Response(response) => {
            let _ = validate_response(response);
        }
    }
}

fn drain(stream: &mut StreamDecoder, out: &mut Vec<Result<Frame, Rejected>>) {
    loop {
        match stream.next() {
            Ok(None) => return,
            Ok(Some(frame)) => out.push(Ok(frame)),
            Err(rejected) => out.push(Err(rejected)),
        }
    }
}

/// Bytes that look like SIP here and there.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n ",
        b"OPTIONS sip:a@b.example SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"v: SIP/2.0/UDP a.example;branch=z9hG4bKx",
        b"f: \"x\" <sip:a@b.example>;tag=1",
        b"To: <sip:c@d.example>",
        b"i: x",
        b"CSeq: 1 OPTIONS",
        b"l: 3",
        b"m: *",
        b"\"",
        b"\\",
        b"<",
        b">",
        b",",
        b";",
        b"=",
        b": ",
        b"%4",
        b"\xc3\xa9",
        b"\xff",
        b"[::1]",
        b"\0",
    ];
    let piece = prop::sample::select(PIECES);
    prop::collection::vec(
        prop_oneof![4 => piece.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..6)],
        0..40,
    )
    .prop_map(|pieces| pieces.concat())
}

/// A message of the corpus with a few bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (0..CASES.len(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(
        |(case, changes)| {
            let mut bytes = CASES[case].bytes().to_vec();
            for (at, byte) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        },
    )
}

fn uri() -> impl Strategy<Value = Uri> {
    let sip = "sips?:(([a-z0-9!$&;=?/]|%[0-9A-F]{2}){1,9}(:[a-z0-9$&=+]{0,4})?@)?([a-z]([a-z0-9-]{0,5}[a-z0-9])?\\.){0,2}[a-z]{1,5}(:[1-9][0-9]{0,3})?(;[a-z]{1,4}(=[a-z0-9%]{0}[a-z0-9/:]{1,5})?){0,3}(\\?[a-z]{1,3}=[a-z0-9]{0,3})?";
    let other = "(tel|im|pres|urn):[a-z0-9+;=@.:-]{1,12}";
    prop_oneof![4 => sip, 1 => other].prop_map(|text| Uri::parse(&text).expect("the generator follows the grammar"))
}

fn params() -> impl Strategy<Value = Params> {
    prop::collection::vec(("[a-zA-Z][a-zA-Z0-9.!%*_+`'~-]{0,6}", prop::option::of("[ -~\u{e9}\u{1F339}]{0,8}")), 0..4)
        .prop_map(|all| {
            let mut params = Params::new();
            for (name, value) in all {
                params.set(&name, value.as_deref());
            }
            params
        })
}

fn name_addr() -> impl Strategy<Value = NameAddr> {
    (prop::option::of("[ -~\u{e9}\u{4e2d}]{1,10}"), uri(), params()).prop_map(|(display, uri, params)| NameAddr {
        display: display.map(Into::into),
        uri,
        params,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop_oneof![soup(), damaged(), prop::collection::vec(any::<u8>(), 0..300)]) {
        match parse_datagram(&Bytes::from(bytes.clone()), &LIMITS) {
            Ok(message) => read_all(&message),
            Err(rejected) => drop(rejected.response(Some("t")).map(|r| r.to_bytes())),
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = (Uri::parse(&text), NameAddr::parse(&text), Via::parse(&text), text.parse::<Params>());
        let _ = (MediaType::parse(&text), Event::parse(&text), Warning::parse(&text), Date::parse(&text));
        let _ = (Challenge::parse(&text), Credentials::parse(&text), verona_sip::CSeq::parse(&text));
    }

    #[test]
    fn pieces_are_the_whole(
        parts in prop::collection::vec(prop_oneof![soup(), damaged()], 1..4),
        cuts in prop::collection::vec(1usize..60, 1..80),
    ) {
        let bytes = parts.concat();
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        let mut stream = StreamDecoder::new(LIMITS);
        stream.push(&bytes);
        drain(&mut stream, &mut whole);
        let left = stream.buffered();
        let mut stream = StreamDecoder::new(LIMITS);
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            stream.push(now);
            drain(&mut stream, &mut pieces);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(left, stream.buffered());
    }

    #[test]
    fn what_parses_prints_back(bytes in prop_oneof![soup(), damaged()]) {
        if let Ok(message) = parse_datagram(&Bytes::from(bytes), &Limits::default()) {
            let written = message.to_bytes();
            let again = parse_datagram(&written, &Limits::default()).expect("what we write can be read");
            prop_assert_eq!(again.to_bytes(), written);
            prop_assert_eq!(again.body(), message.body());
        }
    }

    #[test]
    fn a_value_prints_and_parses_to_itself(address in name_addr(), params in params(), port in prop::option::of(1u16..)) {
        let text = address.to_string();
        prop_assert_eq!(NameAddr::parse(&text), Ok(address.clone()), "{}", text);
        prop_assert_eq!(address.uri.to_string().parse(), Ok(address.uri.clone()));
        prop_assert!(address.uri.equivalent(&address.uri));
        prop_assert_eq!(params.to_string().parse(), Ok(params));
        if let Uri::Sip(SipUri { host, .. }) = &address.uri {
            let mut via = Via::new("TCP", host.clone(), port, "z9hG4bKx");
            via.stamp([192, 0, 2, 7].into(), 4711);
            prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
        }
    }

    #[test]
    fn no_value_breaks_a_message(values in prop::collection::vec((".{0,6}", "(?s).{0,12}"), 0..6), body in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut request = Request::new(Method::Message, Uri::parse("sip:a@b.example").expect("a URI"));
        let mut known = 0;
        for (name, value) in &values {
            known += usize::from(verona_sip::HeaderName::from(name.as_str()) == Name::ContentLength.into());
            request.headers.push(name.as_str(), value);
        }
        request.body = Bytes::from(body.clone());
        let again = parse_datagram(&request.to_bytes(), &Limits::default()).expect("what we write can be read");
        prop_assert_eq!(again.body(), &request.body);
        prop_assert_eq!(again.headers().len(), values.len() - known + 1);
        let values: Vec<_> = request.headers.iter().filter(|(n, _)| *n != Name::ContentLength.into()).map(|(_, v)| v).collect();
        let read: Vec<_> = again.headers().iter().filter(|(n, _)| *n != Name::ContentLength.into()).map(|(_, v)| v).collect();
        prop_assert_eq!(values, read);
        let _: &Headers = again.headers();
    }

    #[test]
    fn every_date_prints_and_parses_to_itself(seconds in -62_167_219_200i64..253_402_300_800) {
        prop_assert_eq!(Date::parse(&Date(seconds).to_string()), Ok(Date(seconds)));
    }
}
