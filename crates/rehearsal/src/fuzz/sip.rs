//! The SIP grammar: messages, URIs, header values, streams.

use super::split;
use bytes::Bytes;
use sip::header::{
    Challenge, Contacts, Credentials, Date, Disposition, Event, MediaRange, MediaType, SubscriptionState, Warning,
};
use sip::{
    CSeq, Frame, Limits, Message, Name, NameAddr, Params, Rejected, Response, StreamDecoder, Uri, Via, parse_datagram,
    validate_request, validate_response,
};
use std::fmt::{Debug, Display};

/// Room for what a message grows by when it is written: never the reason why it cannot be read again.
const ROOMY: Limits = Limits {
    message_bytes: 1 << 22,
    head_bytes: 1 << 22,
    start_line_bytes: 1 << 22,
    value_bytes: 1 << 22,
    header_lines: 1 << 20,
    vias: 1 << 20,
};

/// A datagram. What is read prints back as the same message; every answer to it, refusals too, can be read and answers it.
pub fn sip_message(data: &[u8]) {
    match parse_datagram(&Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(message) => {
            let again = reread(&message);
            let values = |m: &Message| {
                let all = m.headers().iter().filter(|(name, _)| *name != Name::ContentLength.into());
                all.map(|(name, value)| (name.as_str().to_owned(), value.to_owned())).collect::<Vec<_>>()
            };
            assert_eq!(values(&again), values(&message));
            for (_, value) in message.headers().iter() {
                assert!(!value.contains(['\r', '\n']), "a value with a line end: {value:?}");
            }
            match &message {
                Message::Request(request) => {
                    let answer = Response::to_request(request, 404, "Nobody", Some("tag"));
                    let answer = reread(&Message::Response(answer));
                    assert_eq!(
                        answer.headers().all(Name::Via).collect::<Vec<_>>(),
                        message.headers().all(Name::Via).collect::<Vec<_>>()
                    );
                    if validate_request(request).is_ok() {
                        let Message::Response(answer) = &answer else { unreachable!("a response is read as one") };
                        assert!(validate_response(answer).is_ok(), "a good request has a good answer");
                        assert_eq!(answer.headers.cseq(), request.headers.cseq());
                        assert!(answer.headers.to_tag().is_some());
                    }
                }
                Message::Response(response) => {
                    let _ = validate_response(response);
                    assert!((100..700).contains(&response.code));
                }
            }
        }
        Err(rejected) => {
            assert!([400, 414, 505, 513].contains(&rejected.code), "{rejected}");
            if let Some(answer) = rejected.response(Some("tag")) {
                let answer = reread(&Message::Response(answer));
                assert!(matches!(&answer, Message::Response(r) if r.code == rejected.code));
                // An answer is no amplifier: it copies, and adds a tag and a reason.
                assert!(answer.to_bytes().len() <= data.len() + 256, "the answer is much longer than the question");
            }
        }
    }
}

/// Writes a message and reads it again: the same body, and the same bytes when written once more.
fn reread(message: &Message) -> Message {
    let written = message.to_bytes();
    let again = parse_datagram(&written, &ROOMY).expect("what we write can be read");
    assert_eq!(again.body(), message.body());
    assert_eq!(again.to_bytes(), written);
    again
}

/// A URI. It prints as what it was read from means, and is equivalent to itself.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = Uri::parse(text) {
        let printed = uri.to_string();
        assert_eq!(Uri::parse(&printed).as_ref(), Ok(&uri), "{printed}");
        assert!(uri.equivalent(&uri), "{printed}");
        assert!(!printed.contains(|c: char| c.is_ascii_control() || c == ' ' || c == '<' || c == '>'), "{printed:?}");
        if let Some(sip) = uri.sip()
            && let Some(octets) = sip.user_octets()
        {
            let same = sip.clone().with_user(&octets);
            assert_eq!(same.user_octets().as_ref(), Some(&octets), "{printed}");
            assert!(sip.equivalent(&sip::SipUri::parse(&printed).expect("it was a SIP URI")), "{printed}");
        }
    }
}

fn prints_back<T: Display + Debug + PartialEq, E: Debug + PartialEq>(text: &str, parse: impl Fn(&str) -> Result<T, E>) {
    if let Ok(value) = parse(text) {
        let printed = value.to_string();
        assert!(!printed.contains(['\r', '\n']), "{printed:?}");
        assert_eq!(parse(&printed).as_ref(), Ok(&value), "{text:?} printed as {printed:?}");
    }
}

/// A header value; the first byte says of which header. What is read prints back.
pub fn header(data: &[u8]) {
    let (kind, rest) = split(data);
    let text = String::from_utf8_lossy(rest);
    // Folding is undone before a value is read, and of the other control characters quotation may hold, what is printed is a space.
    let kind = if text.contains(|c: char| c.is_ascii_control()) { 13 } else { kind };
    match kind % 14 {
        0 => prints_back(&text, Via::parse),
        1 => prints_back(&text, NameAddr::parse),
        2 => prints_back(&text, CSeq::parse),
        3 => prints_back(&text, str::parse::<Params>),
        4 => prints_back(&text, MediaType::parse),
        5 => prints_back(&text, MediaRange::parse),
        6 => prints_back(&text, Event::parse),
        7 => prints_back(&text, SubscriptionState::parse),
        8 => prints_back(&text, Challenge::parse),
        9 => prints_back(&text, Credentials::parse),
        10 => prints_back(&text, Disposition::parse),
        11 => prints_back(&text, Date::parse),
        12 => prints_back(&text, Warning::parse),
        _ => {
            // A value from anywhere, pushed into a message: no other header, no other body comes of it.
            let mut request = sip::Request::new(sip::Method::Message, Uri::parse("sip:a@b.example").expect("a URI"));
            request.headers.push("X-Value", text.as_ref());
            request.headers.push(Name::Contact, text.as_ref());
            request.body = Bytes::from_static(b"body");
            let again = reread(&Message::Request(request.clone()));
            assert_eq!(again.headers().len(), 3, "two and Content-Length");
            if let Ok(Contacts::Some(contacts)) = again.headers().contacts() {
                contacts.iter().for_each(|c| prints_back(&c.to_string(), NameAddr::parse));
            }
        }
    }
}

fn frames(pieces: &mut dyn Iterator<Item = &[u8]>, limits: Limits) -> (Vec<Result<Frame, Rejected>>, usize) {
    let mut decoder = StreamDecoder::new(limits);
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(frame)) => out.push(Ok(frame)),
                Err(rejected) => out.push(Err(rejected)),
            }
        }
        assert!(decoder.buffered() <= limits.message_bytes + piece.len(), "{} bytes are held", decoder.buffered());
    }
    (out, decoder.buffered())
}

/// A stream, in pieces whose length the first byte says: the same frames as in one piece, at most one refusal, and that the last;
/// what is held is bounded.
pub fn framing(data: &[u8]) {
    let (cut, rest) = split(data);
    let limits = Limits { message_bytes: 3000, head_bytes: 2000, ..Limits::default() };
    let whole = frames(&mut [rest].into_iter(), limits);
    let pieces = frames(&mut rest.chunks(usize::from(cut % 64) + 1), limits);
    assert_eq!(whole, pieces);
    let refusal = whole.0.iter().position(Result::is_err);
    assert!(refusal.is_none_or(|at| at + 1 == whole.0.len()), "something came behind a refusal");
    for message in whole.0.iter().flatten() {
        if let Frame::Message(message) = message {
            reread(message);
        }
    }
}
