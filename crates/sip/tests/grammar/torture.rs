//! Each message of the corpus gets its verdict, and what is sound prints back.

use crate::corpus::{CASES, Case, Verdict};
use bytes::Bytes;
use verona_sip::header::Contacts;
use verona_sip::{
    Frame, Host, Limits, Message, Method, Name, Rejected, Request, StreamDecoder, Uri, parse_datagram,
    validate_request, validate_response,
};

fn verdict(read: &Result<Message, Rejected>) -> Result<(), (u16, String, bool)> {
    match read {
        Err(rejected) => Err((rejected.code, rejected.reason.to_owned(), rejected.response(Some("tag")).is_some())),
        Ok(Message::Request(request)) => validate_request(request).map_err(|e| (0, e.to_string(), true)),
        Ok(Message::Response(response)) => validate_response(response).map_err(|e| (0, e.to_string(), false)),
    }
}

fn find(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a case of this name")
}

fn request(name: &str) -> Request {
    match parse_datagram(&find(name).bytes(), &Limits::default()) {
        Ok(Message::Request(request)) => Some(request),
        _ => None,
    }
    .expect("a request")
}

#[test]
fn every_message_gets_its_verdict() {
    for case in CASES {
        let seen = verdict(&parse_datagram(&case.bytes(), &Limits::default()));
        match case.verdict {
            Verdict::Sound => assert_eq!(seen, Ok(()), "{}", case.name),
            Verdict::Invalid(reason) => {
                assert_eq!(seen.map_err(|(code, text, _)| (code, text)), Err((0, reason.to_owned())), "{}", case.name);
            }
            Verdict::Rejected(code, answered) => {
                assert_eq!(seen.map_err(|(c, _, a)| (c, a)), Err((code, answered)), "{}", case.name);
            }
        }
    }
}

#[test]
fn what_is_read_prints_back() {
    for case in CASES {
        let Ok(message) = parse_datagram(&case.bytes(), &Limits::default()) else { continue };
        let written = message.to_bytes();
        let again = parse_datagram(&written, &Limits::default()).expect(case.name);
        assert_eq!(again.body(), message.body(), "{}", case.name);
        let values = |message: &Message| {
            message
                .headers()
                .iter()
                .filter(|(name, _)| *name != Name::ContentLength.into())
                .map(|(name, value)| (name.as_str().to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&again), values(&message), "{}", case.name);
        assert_eq!(again.headers().content_length(), Ok(u32::try_from(message.body().len()).ok()), "{}", case.name);
        assert_eq!(again.to_bytes(), written, "{}", case.name);
    }
}

#[test]
fn every_answer_can_be_read() {
    for case in CASES {
        let read = parse_datagram(&case.bytes(), &Limits::default());
        let answer = match &read {
            Ok(Message::Request(request)) => {
                Some(verona_sip::Response::to_request(request, 400, "Because", Some("our-tag")))
            }
            Ok(Message::Response(_)) => None,
            Err(rejected) => rejected.response(Some("our-tag")),
        };
        let Some(answer) = answer else { continue };
        let again = parse_datagram(&answer.to_bytes(), &Limits::default()).expect(case.name);
        assert!(matches!(&again, Message::Response(response) if response.code == answer.code), "{}", case.name);
        assert!(again.headers().all(Name::To).count() <= 1, "{}", case.name);
    }
}

#[test]
fn an_answer_copies_what_it_must() {
    let request = request("folded everywhere");
    let answer = verona_sip::Response::to_request(&request, 404, "", Some("n2"));
    assert_eq!(
        String::from_utf8_lossy(&answer.to_bytes()),
        "SIP/2.0 404 Not Found\r\n\
         Via: SIP / 2.0 / TCP host.example:5060 ;branch = z9hG4bKfold ,SIP/2.0/UDP [2001:db8::7] ;received=2001:db8::8\r\n\
         To: \"Nurse, of Juliet\" <sip:nurse@verona.example> ; tag = t1\r\n\
         From: Peter <sip:peter@capulet.example>;tag=p1\r\n\
         Call-ID: folded@host.example\r\n\
         CSeq: 0000000000000000000000042 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let tagged = verona_sip::Response::to_request(&super::torture::request("compact"), 200, "Fine", Some("n2"));
    assert_eq!(tagged.headers.get(Name::To), Some("<sip:nurse@verona.example>;tag=n2"));
    let trying = verona_sip::Response::to_request(&super::torture::request("compact"), 100, "", Some("n2"));
    assert_eq!(trying.headers.get(Name::To), Some("<sip:nurse@verona.example>"));
}

#[test]
fn folded_values_are_one_line_and_typed() {
    let request = request("folded everywhere");
    assert_eq!(request.method, Method::Options);
    let vias: Vec<_> = request.headers.vias().collect::<Result<_, _>>().expect("Via");
    assert_eq!(vias.len(), 2);
    assert_eq!((vias[0].transport.as_str(), vias[0].port, vias[0].branch()), ("TCP", Some(5060), Some("z9hG4bKfold")));
    assert_eq!(vias[1].host, Host::parse("[2001:db8::7]").expect("a host"));
    assert_eq!(vias[1].received(), "2001:db8::8".parse().ok());
    let to = request.headers.to().expect("To");
    assert_eq!((to.display.as_deref(), to.tag()), (Some("Nurse, of Juliet"), Some("t1")));
    assert_eq!(request.headers.cseq().expect("CSeq").number, 42);
    assert_eq!(request.headers.max_forwards(), Ok(Some(255)));
    assert_eq!(request.headers.subject(), None);
    assert_eq!(request.headers.get("x-long"), Some("a b c"));
}

#[test]
fn escapes_stay_until_they_are_asked_for() {
    let request = request("escapes in a user part");
    let Uri::Sip(uri) = &request.uri else { unreachable!("a SIP URI") };
    assert_eq!(uri.user.as_deref(), Some("a%3b%40%00;b=c&d=e,f/g?h"));
    assert_eq!(uri.user_octets().as_deref(), Some(&b"a;@\0;b=c&d=e,f/g?h"[..]));
    assert_eq!(uri.params.decoded("gr").as_deref(), Some("\u{1F339}".as_bytes()));
    let from = request.headers.from().expect("From");
    assert_eq!(from.uri.sip().and_then(verona_sip::SipUri::user_octets).as_deref(), Some(&b"%zy"[..]));
}

#[test]
fn a_display_name_is_no_address() {
    let from = request("quoted pairs").headers.from().expect("From");
    assert_eq!(from.display.as_deref(), Some("\\\"<sip:tybalt@x.example>;tag=no\0"));
    assert_eq!((from.uri.to_string(), from.tag()), ("sip:peter@capulet.example".to_owned(), Some("p1")));
    assert_eq!(request("quoted pairs").headers.from_tag(), Some("p1"));
    assert_eq!(request("quoted pairs").headers.to().expect("To").display, None);
}

#[test]
fn unknown_headers_are_kept_in_order() {
    let request = request("token methods and unknown headers");
    let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Via", "From", "To", "Call-ID", "CSeq", "%54o", "X-"]);
    assert_eq!(request.headers.contacts(), Ok(Contacts::Some(Vec::new())));
}

#[test]
fn octets_that_are_no_utf8_are_replaced_where_text_is_free_and_refused_elsewhere() {
    let with = |line: &[u8]| {
        let mut bytes = b"MESSAGE sip:nurse@verona.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\r\nFrom: <sip:peter@capulet.example>;tag=p1\r\nTo: <sip:nurse@verona.example>\r\nCSeq: 1 MESSAGE\r\n".to_vec();
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n\r\n");
        parse_datagram(&Bytes::from(bytes), &Limits::default())
    };
    let latin = with(b"Call-ID: x\r\nSubject: caf\xe9").expect("a message");
    assert_eq!(verdict(&Ok(latin.clone())), Ok(()));
    assert_eq!(latin.headers().subject(), Some("caf\u{fffd}"));
    let call = verdict(&with(b"Call-ID: x\xe9"));
    assert_eq!(call, Err((0, "Malformed Call-ID: no word".to_owned(), true)));
    assert_eq!(verdict(&with(b"Call-ID: x\r\nSub\xe9ct: x")).map_err(|e| e.0), Err(400));
}

#[test]
fn limits_are_bounds() {
    let limits = Limits {
        message_bytes: 1000,
        head_bytes: 600,
        start_line_bytes: 60,
        value_bytes: 100,
        header_lines: 8,
        vias: 3,
    };
    let message = |uri: &str, extra: &str, body: &str| {
        Bytes::from(format!(
            "MESSAGE sip:{uri} SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\r\nFrom: <sip:a@b.example>;tag=p\r\nTo: <sip:c@d.example>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n{extra}\r\n{body}"
        ))
    };
    let code = |bytes: &Bytes| parse_datagram(bytes, &limits).map_err(|r| (r.code, r.response(Some("t")).is_some()));
    assert!(code(&message("d.example", "", "")).is_ok());
    assert_eq!(code(&message(&"d".repeat(60), "", "")), Err((414, true)));
    assert!(code(&message("d.example", &format!("Subject:{}\r\n", "x".repeat(100)), "")).is_ok());
    assert_eq!(code(&message("d.example", &format!("Subject:{}\r\n", "x".repeat(101)), "")), Err((513, true)));
    assert!(code(&message("d.example", "A: 1\r\nB: 2\r\nC: 3\r\n", "")).is_ok());
    assert_eq!(code(&message("d.example", "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n", "")), Err((513, true)));
    assert!(code(&message("d.example", "v: a,b\r\n", "")).is_ok());
    assert_eq!(code(&message("d.example", "v: a,b,c\r\n", "")), Err((513, true)));
    assert_eq!(
        code(&message("d.example", &format!("A: {0}\r\nB: {0}\r\nC: {0}\r\nD: {0}\r\n", "x".repeat(99)), "")),
        Err((513, true))
    );
    assert_eq!(code(&message("d.example", "", &"x".repeat(1000))), Err((513, true)));
}

#[test]
fn time_is_linear_in_what_is_sent() {
    // Not a measurement: quadratic work on these would take minutes, and the test would not end.
    let limits = Limits {
        message_bytes: 1 << 22,
        head_bytes: 1 << 22,
        value_bytes: 1 << 22,
        header_lines: 1 << 20,
        vias: 1 << 20,
        ..Limits::default()
    };
    let head = "MESSAGE sip:nurse@verona.example SIP/2.0\r\nFrom: <sip:a@b.example>;tag=p\r\nTo: <sip:c@d.example>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n";
    let via = "SIP/2.0/UDP a.example;branch=z9hG4bKx";
    let lists = [
        format!("{head}Via: {}\r\n\r\n", vec![via; 20_000].join(",")),
        format!("{head}{}\r\n", format!("Via: {via}\r\n").repeat(20_000)),
        format!("{head}Via: {via}\r\n{}\r\n", "Q: y\r\n".repeat(200_000)),
        format!("{head}Via: {via}\r\nSubject: x\r\n{}\r\n", " y\r\n".repeat(200_000)),
        format!("{head}Via: {via}\r\nContact: {}\r\n\r\n", vec!["\"a\\\"<\" <sip:a@b.example>"; 20_000].join(",")),
        format!("{head}Via: {via}{}\r\n\r\n", ";a=b".repeat(100_000)),
        format!("{head}Via: {via}\r\nRoute: <sip:a.example{}>\r\n\r\n", ";a=b".repeat(100_000)),
    ];
    for text in lists {
        let read = parse_datagram(&Bytes::from(text), &limits);
        assert_eq!(verdict(&read), Ok(()));
    }
}

#[test]
fn a_stream_is_cut_into_messages() {
    let mut stream = StreamDecoder::new(Limits::default());
    let one = request("plain");
    let two = request("compact");
    let mut bytes = b"\r\n\r\n".to_vec();
    one.write(&mut bytes);
    two.write(&mut bytes);
    bytes.extend_from_slice(b"\r\nOPT");
    stream.push(&bytes);
    let mut frames = Vec::new();
    while let Some(frame) = stream.next().expect("frames") {
        frames.push(frame);
    }
    assert_eq!(frames.len(), 5);
    assert_eq!(frames[..2], [Frame::Pong, Frame::Ping]);
    assert!(matches!(&frames[2], Frame::Message(Message::Request(r)) if r.body == one.body && r.uri == one.uri));
    assert!(
        matches!(&frames[3], Frame::Message(Message::Request(r)) if r.headers.get(Name::CallId) == Some("compact"))
    );
    assert_eq!(frames[4], Frame::Pong);
    assert_eq!((stream.buffered(), stream.is_inside_message()), (3, true));
}

#[test]
fn a_stream_refuses_what_has_no_end_and_what_is_not_sip() {
    let head = "MESSAGE sip:nurse@verona.example SIP/2.0\r\nVia: SIP/2.0/TCP a.example;branch=z9hG4bKx\r\n";
    for (text, code, reason, answered) in [
        (format!("{head}\r\n"), 400, "Missing Content-Length", true),
        (format!("{head}l: 1\r\nl: 1\r\n\r\nx"), 400, "Repeated Content-Length", true),
        (format!("{head}l: -1\r\n\r\n"), 400, "Malformed Content-Length", true),
        (format!("{head}l: 1, 1\r\n\r\n"), 400, "Malformed Content-Length", true),
        (format!("{head}l: 4294967301\r\n\r\n"), 513, "Message Too Large", true),
        (format!("{head}l: 99999999999999999999999999\r\n\r\n"), 513, "Message Too Large", true),
        (format!("{head}X: {}", "y".repeat(40_000)), 513, "Message Too Large", true),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400, "Not SIP", false),
        ("<stream:stream".to_owned(), 400, "Not SIP", false),
        ("\u{16}\u{3}\u{1}".to_owned(), 400, "Not SIP", false),
        ("\r\r\n".to_owned(), 400, "Not SIP", false),
        ("x".repeat(100), 400, "Not SIP", false),
    ] {
        let mut stream = StreamDecoder::new(Limits::default());
        stream.push(text.as_bytes());
        let rejected = stream.next().expect_err(reason);
        assert_eq!((rejected.code, rejected.reason, rejected.response(Some("t")).is_some()), (code, reason, answered));
        stream.push(b"OPTIONS");
        assert_eq!(stream.next(), Ok(None));
        assert_eq!((stream.buffered(), stream.is_inside_message()), (0, false));
    }
}
