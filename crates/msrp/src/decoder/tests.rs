//! Streams, whole and in pieces.

use super::*;
use crate::frame::FailureReport;
use proptest::prelude::*;

const HEAD: &str = "To-Path: msrp://gw.example.com:2855/s3ss10n;tcp\r\nFrom-Path: msrp://192.0.2.10:2855/peer;tcp\r\n";

fn send(tid: &str, more: &str, body: &str, flag: char) -> String {
    format!(
        "MSRP {tid} SEND\r\n{HEAD}Message-ID: 87652491\r\n{more}Content-Type: text/plain\r\n\r\n{body}\r\n-------{tid}{flag}\r\n"
    )
}

fn limits() -> Limits {
    Limits { max_head: 600, max_body: 100 }
}

/// All that comes out, the bytes pushed in pieces of this size; what is held stays bounded.
fn read_in(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Result<Arrival, Fatal>> {
    let mut decoder = Decoder::new(limits());
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        rest = later;
        decoder.push(now);
        while let Some(arrival) = decoder.next() {
            out.push(arrival);
        }
        assert!(decoder.pending() <= 600 + now.len(), "{} bytes are held", decoder.pending());
    }
    out
}

fn read(bytes: &[u8]) -> Vec<Result<Arrival, Fatal>> {
    let whole = read_in(bytes, || usize::MAX);
    assert_eq!(read_in(bytes, || 1), whole, "byte by byte");
    whole
}

/// In short: what came out.
fn kinds(text: &str) -> Vec<String> {
    let kind = |arrival: Result<Arrival, Fatal>| match arrival {
        Ok(Arrival::Frame(Frame::Request(r))) => {
            let body = r.body.map(|b| format!(" {:?}", String::from_utf8_lossy(&b))).unwrap_or_default();
            format!("{}{body}{}", r.method.as_str(), char::from(r.flag.byte()))
        }
        Ok(Arrival::Frame(Frame::Response(r))) => format!("{}", r.code),
        Ok(Arrival::TooLarge(r)) => format!("too large {}", r.transaction),
        Ok(Arrival::Malformed { answer, why }) => {
            format!("{}: {why}", answer.map_or("malformed", |_| "400"))
        }
        Err(fatal) => format!("close: {fatal}"),
    };
    read(text.as_bytes()).into_iter().map(kind).collect()
}

#[test]
fn a_frame_is_read_and_prints_back() {
    let text = format!(
        "MSRP d93kswow SEND\r\n{HEAD}Message-ID: 12339sdqwer\r\nByte-Range: 1-16/16\r\nSuccess-Report: yes\r\n\
         Failure-Report: partial\r\nContent-Disposition: inline\r\nContent-Type: text/plain;charset=\"utf-8\"\r\n\r\n\
         Hi, I'm Alice!\r\n\r\n-------d93kswow+\r\n"
    );
    let out = read(text.as_bytes());
    let [Ok(Arrival::Frame(Frame::Request(request)))] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(request.body.as_deref(), Some(&b"Hi, I'm Alice!\r\n"[..]));
    assert_eq!(request.failure_report, FailureReport::Partial);
    assert!(request.success_report);
    assert_eq!(request.header("content-disposition"), Some("inline"));
    let mut again = BytesMut::new();
    request.encode(&mut again);
    assert_eq!(String::from_utf8_lossy(&again), text);

    let text = format!("MSRP d93kswow 200 OK\r\n{HEAD}Use-Path: msrps://r.example.com:1/a;tcp\r\n-------d93kswow$\r\n");
    let out = read(text.as_bytes());
    let [Ok(Arrival::Frame(Frame::Response(response)))] = out.as_slice() else { panic!("{out:?}") };
    let mut again = BytesMut::new();
    response.encode(&mut again);
    assert_eq!(String::from_utf8_lossy(&again), text);
}

#[test]
fn bodies_end_where_their_end_line_is() {
    for (text, wanted) in [
        (send("abcd", "", "Hi", '$'), vec!["SEND \"Hi\"$"]),
        (send("abcd", "", "", '+'), vec!["SEND \"\"+"]),
        // Without a line end of its own.
        (send("abcd", "", "", '$').replace("\r\n\r\n\r\n", "\r\n\r\n"), vec!["SEND \"\"$"]),
        (send("abcd", "", "-------abcd$", '$'), vec!["SEND \"\"$", "close: no MSRP"]),
        (send("abcd", "", "x-------abcd$", '#'), vec!["SEND \"x-------abcd$\"#"]),
        (
            send("abcd", "", "-------abc\r\n-------abcdx\r\n-------abcd\r\n", '$'),
            vec!["SEND \"-------abc\\r\\n-------abcdx\\r\\n-------abcd\\r\\n\"$"],
        ),
        (send("abcd", "", "x\r\n-------abcd$y", '$'), vec!["close: a broken end-line"]),
        // No flag: the body goes on.
        (send("abcd", "", "Hi", '$').replace("abcd$", "abcd"), vec![]),
        (
            format!("MSRP abcd SEND\r\n{HEAD}-------abcd$\r\n{}", send("efgh", "", "x", '$')),
            vec!["SEND$", "SEND \"x\"$"],
        ),
        // RFC 4975 §7.1: a body of another request is smaller.
        (
            send("abcd", "", &"x".repeat(100), '$').replace("SEND", "AUTH"),
            vec![&*format!("AUTH \"{}\"$", "x".repeat(100))],
        ),
    ] {
        assert_eq!(kinds(&text), wanted, "{text}");
    }
}

#[test]
fn what_is_too_large_is_said_at_once_and_skipped() {
    let good = send("good", "", "Hi", '$');
    let hundred = "y".repeat(100);
    assert_eq!(kinds(&send("abcd", "", &hundred, '$')), [format!("SEND \"{hundred}\"$")]);
    for (more, body) in [
        ("", "y".repeat(101)),
        ("", "y\r\n-------abc".repeat(1000)),
        ("Byte-Range: 1-1/101\r\n", "y".to_owned()),
        ("Byte-Range: 102-*/*\r\n", "y".to_owned()),
        ("Byte-Range: 1-2147483648/2147483648\r\n", "y".repeat(5000)),
    ] {
        let text = send("abcd", more, &body, '+') + &good;
        assert_eq!(kinds(&text), ["too large abcd", "SEND \"Hi\"$"], "{more}");
    }
    let broken = send("abcd", "", &format!("{}\r\n-------abcd$x", "y".repeat(101)), '$');
    assert_eq!(kinds(&broken), ["too large abcd", "close: a broken end-line"]);
    let mut decoder = Decoder::new(limits());
    decoder.push(send("abcd", "Byte-Range: 1-*/4294967296\r\n", "y", '+').split_once("\r\n-").unwrap().0.as_bytes());
    assert!(matches!(decoder.next(), Some(Ok(Arrival::TooLarge(_)))), "before its end is there");
    for _ in 0..1000 {
        decoder.push(&[b'y'; 1000]);
        assert_eq!(decoder.next(), None);
        assert!(decoder.pending() < 100, "what is skipped is not held");
    }
}

#[test]
fn what_breaks_the_rules_is_answered_where_that_can_be() {
    let good = send("good", "", "Hi", '$');
    for (was, is, wanted) in [
        ("Message-ID: 87652491", "Message-ID: a", "400: bad Message-ID"),
        ("Message-ID: 87652491", "Message-ID: 87652491\r\nTo-Path: msrp://x:1/y;tcp", "400: a header twice"),
        ("Message-ID: 87652491", "X-A: 1\r\n 2", "400: no header"),
        ("Message-ID: 87652491", "X-A: \u{7}", "400: a control character"),
        ("Message-ID: 87652491", "X-A: 1\nX-B: 2", "400: a control character"),
        ("Message-ID: 87652491", "X-A", "400: no header"),
        ("Message-ID: 87652491", "Byte-Range: 0-2/2", "400: bad Byte-Range"),
        ("Message-ID: 87652491", "Byte-Range: 3-2/1", "400: bad Byte-Range"),
        ("Message-ID: 87652491", "Byte-Range: 1-18446744073709551616/*", "400: bad Byte-Range"),
        ("Message-ID: 87652491", "Failure-Report: maybe", "400: bad Failure-Report"),
        ("Message-ID: 87652491", "Failure-Report: no\r\nByte-Range: x", "malformed: bad Byte-Range"),
        ("Content-Type: text/plain", "X: y", "400: a body without a Content-Type"),
        ("SEND", "send", "400: bad method"),
        ("SEND", "SEND now", "400: bad method"),
        ("SEND", "REPORT", "malformed: an incomplete REPORT"),
        ("SEND", "99999 OK", "malformed: bad status code"),
        ("SEND", "200 OK", "malformed: a response with a body"),
        ("/s3ss10n;tcp", "/s3ss10n", "close: URI without a transport"),
        ("To-Path: msrp://gw.example.com:2855/s3ss10n;tcp\r\n", "", "close: no path"),
        ("SEND", "", "close: no start line"),
        ("MSRP abcd", "MSRP abc", "close: no transaction id"),
        ("MSRP abcd", "MSRP abc$", "close: no transaction id"),
        ("MSRP abcd", "MSRP abcdefghijabcdefghijabcdefghijabc", "close: no transaction id"),
        ("MSRP", "MRSP", "close: no MSRP"),
        ("SEND\r\n", "SEND\n", "close: a bare line end"),
    ] {
        let text = send("abcd", "", "Hi", '$').replacen(was, is, 1) + &good;
        let mut wanted = vec![wanted];
        if !wanted[0].starts_with("close") {
            wanted.push("SEND \"Hi\"$");
        }
        assert_eq!(kinds(&text), wanted, "{is}");
    }
    let long = send("abcd", &format!("X: {}\r\n", "y".repeat(600)), "Hi", '$');
    assert_eq!(kinds(&long), ["close: a head that is too long"]);
    let not_utf8 = [b"MSRP abcd SEND\r\n", HEAD.as_bytes(), b"X: \xff\r\n-------abcd$\r\n"].concat();
    assert!(matches!(read(&not_utf8).as_slice(), [Ok(Arrival::Malformed { answer: Some(_), why: "no UTF-8" })]));
}

/// Every byte is looked at a fixed number of times, however it comes and whatever it nearly is.
#[test]
fn the_work_is_linear() {
    let near = "\r\n-------abc".repeat(3000);
    let nearer = "\r\n-------abcd".repeat(3000);
    for body in ["y".repeat(36_000), near, nearer, "\r\n".repeat(18_000), "\n".repeat(36_000)] {
        for text in
            [send("abcd", "", &body, '$'), send("abcd", &format!("X: {}\r\n", &body.replace('\n', "\r")), "", '$')]
        {
            for piece in [1, 7, 1000, usize::MAX] {
                LOOKED.set(0);
                let mut decoder = Decoder::new(Limits { max_head: 100_000, max_body: 100_000 });
                for piece in text.as_bytes().chunks(piece.min(text.len())) {
                    decoder.push(piece);
                    while decoder.next().is_some() {}
                }
                // One look for each byte, and at most a whole end-line for each piece or near miss.
                let pieces = text.len().div_ceil(piece.min(text.len()));
                let most = 2 * text.len() + 50 * pieces + 20 * 3000;
                assert!(LOOKED.get() <= most, "{} for {} bytes in {pieces} pieces", LOOKED.get(), text.len());
            }
        }
    }
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        "[a-z]{0,20}",
        Just("\r\n-------abcd".to_owned()),
        Just("\r\n-------abcd\r\n-------abcd".to_owned()),
        "(\r\n|-------|abcd|[$+#]|\r|-){0,12}",
        "[a-z\r\n-]{90,110}",
    ];
    let more = prop_oneof![
        Just(String::new()),
        Just("Byte-Range: 1-*/*\r\n".to_owned()),
        Just("Byte-Range: 90-*/120\r\n".to_owned()),
        Just("Failure-Report: no\r\nBad\r\n".to_owned()),
        "X: [a-z]{0,300}\r\n",
    ];
    let frame = (more, body, prop_oneof![Just('$'), Just('+'), Just('#'), Just('x')], 0..8u8).prop_map(
        |(more, body, flag, kind)| match kind {
            0 => format!("MSRP abcd 200 OK\r\n{HEAD}-------abcd$\r\n"),
            1 => format!("MSRP abcd SEND\r\n{HEAD}{more}-------abcd{flag}\r\n"),
            2 => send("abcd", &more, &body, flag).replace("SEND", "REPORT"),
            _ => send("abcd", &more, &body, flag),
        },
    );
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
    (prop::collection::vec(frame, 1..5), prop::collection::vec(change, 0..3)).prop_map(|(frames, changes)| {
        let mut bytes = frames.concat().into_bytes();
        for (place, byte, what) in changes {
            let place = place.index(bytes.len());
            match what {
                0 => bytes[place] = byte,
                1 => drop(bytes.remove(place)),
                2 => bytes.insert(place, byte),
                _ => bytes.truncate(place.max(1)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_pieces_do_not_matter(bytes in streams(), sizes in prop::collection::vec(1usize..40, 1..20)) {
        let whole = read_in(&bytes, || usize::MAX);
        let mut sizes = sizes.into_iter().cycle();
        prop_assert_eq!(read_in(&bytes, || sizes.next().unwrap_or(1)), whole.clone());
        prop_assert_eq!(read_in(&bytes, || 1), whole.clone());
        let fatal = whole.iter().position(Result::is_err);
        prop_assert!(fatal.is_none_or(|at| at + 1 == whole.len()), "something came behind the end");
        for arrival in whole.into_iter().flatten() {
            if let Arrival::Frame(frame) = arrival {
                let mut again = BytesMut::new();
                frame.encode(&mut again);
                prop_assert_eq!(read_in(&again, || usize::MAX), vec![Ok(Arrival::Frame(frame))]);
            }
        }
    }
}
