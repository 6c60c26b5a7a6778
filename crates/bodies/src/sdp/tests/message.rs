//! [`super::super::message`].

use super::*;
use crate::sdp::message::Message;

const PLAIN: &str =
    "m=message 2855 TCP/MSRP *\r\na=accept-types:text/plain message/cpim\r\na=path:msrp://192.0.2.10:2855/peer;tcp\r\n";

fn read_message(media: &str) -> Result<Message, Error> {
    let sdp = read(&format!("{HEAD}{media}"));
    Message::read(&sdp, &sdp.media[0])
}

#[test]
fn a_plain_one() {
    let message = read_message(PLAIN).unwrap();
    assert_eq!((message.port, message.secure, message.cema, message.file), (2855, false, false, false));
    assert_eq!((message.setup, message.max_size, message.chatroom), (None, None, None));
    assert_eq!(message.host, Host::Ip([192, 0, 2, 10].into()));
    assert_eq!(message.path, "msrp://192.0.2.10:2855/peer;tcp");
    assert!(message.accept_types.takes("TEXT", "Plain") && message.accept_types.takes("message", "cpim"));
    assert!(!message.accept_types.takes("text", "html") && message.accept_wrapped_types.is_empty());
    assert_eq!(message.direction, Direction::SendRecv);
}

#[test]
fn all_of_it_prints_back() {
    let text = format!(
        "m=message 9 TCP/TLS/MSRP *\r\nc=IN IP4 gw.example.com\r\na=accept-types:message/cpim text/*\r\n\
         a=accept-wrapped-types:*\r\na=max-size:10000\r\na=path:msrps://a.example:1/x;tcp msrps://b.example:2/y;tcp\r\n\
         a=setup:actpass\r\na=fingerprint:sha-256 {}\r\na=chatroom:nickname private-messages\r\na=sendonly\r\n\
         a=msrp-cema\r\n",
        pairs(32)
    );
    let message = read_message(&text).unwrap();
    assert!(message.secure && message.cema && message.accept_types.takes("text", "html"));
    assert!(message.accept_wrapped_types.takes("image", "png") && !message.accept_types.takes("image", "png"));
    assert_eq!((message.setup, message.max_size), (Some(Setup::Actpass), Some(10_000)));
    assert_eq!(message.chatroom.as_deref().unwrap(), ["nickname", "private-messages"]);
    let mut sdp = read(HEAD);
    sdp.media.push(message.to_media());
    assert_eq!(String::from_utf8(sdp.to_bytes()).unwrap(), format!("{HEAD}{text}"));
    assert!(read_message(&format!("{PLAIN}a=file-selector:name:\"x\" size:1\r\n")).unwrap().file);
    assert_eq!(read_message(&format!("{PLAIN}a=chatroom\r\n")).unwrap().chatroom, Some(vec![]));
}

#[test]
fn what_is_missing_or_double() {
    for (from, to) in [
        ("a=path:", "a=pathos:"),
        ("a=accept-types:", "a=accept-kinds:"),
        ("a=accept-types:text/plain message/cpim", "a=accept-types:plain"),
        ("a=accept-types:text/plain message/cpim", "a=accept-types"),
        ("a=path:", "a=path:msrp://x:1/y;tcp\r\na=path:"),
        ("a=path:", "a=max-size:1\r\na=max-size:2\r\na=path:"),
        ("a=path:", "a=fingerprint:x\r\na=path:"),
    ] {
        let text = PLAIN.replace(from, to);
        assert!(matches!(read_message(&text), Err(Error::Malformed(_))), "{:?} of {text}", read_message(&text));
    }
    for (from, to) in [
        ("TCP/MSRP", "UDP/MSRP"),
        ("TCP/MSRP", "TCP/TLS/MSRPS"),
        ("m=message", "m=text"),
        ("a=path:", "c=IN IP4 224.2.1.1/127\r\na=path:"),
        ("a=path:", "c=ATM NSAP x\r\na=path:"),
    ] {
        let text = PLAIN.replacen(from, to, 1);
        assert!(matches!(read_message(&text), Err(Error::Unsupported { .. })), "{:?} of {text}", read_message(&text));
    }
    let many = format!("a=accept-types:{}\r\n", vec!["a/b"; MAX_TYPES + 1].join(" "));
    let text = PLAIN.replace("a=accept-types:text/plain message/cpim\r\n", &many);
    assert!(matches!(read_message(&text), Err(Error::TooBig { .. })));
}

#[test]
fn sizes_that_are_none_are_no_bound() {
    for (value, size) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("-1", None),
        ("1k", None),
    ] {
        assert_eq!(read_message(&format!("{PLAIN}a=max-size:{value}\r\n")).unwrap().max_size, size, "{value}");
    }
}

#[test]
fn types() {
    let types = Types::parse("Text/Plain;charset=\"a b\" nonsense */x text/*x  message/cpim *;a=b */* /y x/").unwrap();
    assert_eq!(types.to_string(), "text/plain;charset=\"a b\" message/cpim * *");
    assert!(types.takes("any", "thing"));
    assert_eq!(types.iter().map(|t| (t.type_(), t.subtype())).last(), Some(("*", "*")));
    assert_eq!(Types::of(&["text/plain", "b ad"]).to_string(), "text/plain");
    assert!(matches!(Types::parse(" "), Err(Error::Malformed(_))));
    assert!(!Types::default().takes("text", "plain"));
}
