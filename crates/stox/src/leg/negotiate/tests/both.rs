//! Two ends: what one offers and the other answers, both read alike; also with middleboxes and with who knows less.

use super::*;

fn same(text: &str) -> String {
    text.to_owned()
}

/// RFC 6714: a middlebox puts its own place into the lines.
fn moved(text: &str) -> String {
    let line = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        ["c=IN", _, _] => "c=IN IP4 203.0.113.99".to_owned(),
        ["m=message", _, protocol, _] => format!("m=message 5555 {protocol} *"),
        _ => line.to_owned(),
    };
    text.lines().map(|l| line(l) + "\r\n").collect()
}

fn without(text: &str, attribute: &str) -> String {
    text.lines().filter(|line| !line.starts_with(attribute)).map(|line| format!("{line}\r\n")).collect()
}

/// What both ends take from the descriptions of the other.
struct Both {
    offerer: Result<Agreed, Refusal>,
    answerer: Result<Agreed, Refusal>,
}

fn negotiate(
    a: &Ours<'_>,
    b: &Ours<'_>,
    on_offer: impl Fn(&str) -> String,
    on_answer: impl Fn(&str) -> String,
) -> Both {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let offered = on_offer(&text(&offer(a)));
    match answer(b, offered.as_bytes(), &anywhere) {
        Ok((answerer, bytes)) => {
            let answered = on_answer(&text(&bytes));
            Both { offerer: read_answer(a, answered.as_bytes(), &anywhere), answerer: Ok(answerer) }
        }
        Err(refusal) => Both { offerer: Err(refusal.clone()), answerer: Err(refusal) },
    }
}

fn end(n: u8, relayed: bool, secure: bool) -> End {
    let relay = format!("msrp{}://198.51.100.{n}:2855/r{n};tcp", if secure { "s" } else { "" });
    End::new(if relayed { &relay } else { "" }, secure, &format!("192.0.2.{n}"), 4000 + u16::from(n))
}

fn hop_of(way: &Way) -> Option<(Host, u16)> {
    match way {
        Way::Active(hop) => Some((hop.host.clone(), hop.port)),
        Way::Passive => None,
    }
}

fn first(end: &End) -> Option<(Host, u16)> {
    let uri = end.path.first();
    Some((uri.host(), uri.port().unwrap()))
}

const MIDDLEBOX: Option<(Host, u16)> = Some((Host::Ip(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 99))), 5555));

/// All that two ends can be: with a relay or without, over TLS or not, and whether each knows of middleboxes.
fn pairs() -> impl Iterator<Item = (End, End, [bool; 2])> {
    [false, true].into_iter().flat_map(|secure| {
        (0..16u8).map(move |bits| {
            let bit = |n: u8| bits >> n & 1 == 1;
            (end(1, bit(0), secure), end(2, bit(1), secure), [bit(2), bit(3)])
        })
    })
}

#[test]
fn both_ends_agree() {
    for (a, b, cema) in pairs() {
        let [ours, theirs] = [(&a, cema[0]), (&b, cema[1])].map(|(end, cema)| Ours { cema, ..end.ours() });
        for setup in ["", "a=setup:active", "a=setup:passive", "a=setup:actpass", "a=setup:holdconn"] {
            let on_offer = |text: &str| match setup {
                "" => without(text, "a=setup"),
                setup => text.replace("a=setup:actpass", setup),
            };
            // Who knows nothing of a=setup answers without it, and waits.
            let silent = |text: &str| without(text, "a=setup");
            let changes: &[&dyn Fn(&str) -> String] =
                if setup == "a=setup:passive" { &[&same] } else { &[&same, &silent] };
            for on_answer in changes {
                let Both { offerer, answerer } = negotiate(&ours, &theirs, on_offer, on_answer);
                let (offerer, answerer) = (offerer.unwrap(), answerer.unwrap());
                assert_eq!((&offerer.path, &answerer.path), (&b.path, &a.path));
                assert_eq!(offerer.cema, answerer.cema, "{cema:?}");
                assert!(!offerer.cema || cema == [true, true]);
                let ways = (hop_of(&offerer.way), hop_of(&answerer.way));
                match setup {
                    "a=setup:passive" => assert_eq!(ways, (None, first(&a))),
                    _ => assert_eq!(ways, (first(&b), None)),
                }
                assert!(offerer.sends && offerer.receives && answerer.sends && answerer.receives);
                assert_eq!((offerer.max_size, answerer.max_size), (Some(10_000), Some(10_000)));
                assert!(offerer.accept.takes("message/cpim") && answerer.accept.wraps("text/html"));
                assert!(!offerer.offer_again && !answerer.offer_again);
                let secure = a.ours().secure;
                assert_eq!(offerer.fingerprints == [b.fingerprint.clone()], secure);
                assert_eq!(answerer.fingerprints == [a.fingerprint.clone()], secure);
                if let Way::Active(hop) = offerer.way {
                    assert_eq!(hop.tls.map(|tls| tls.fingerprints), secure.then(|| vec![b.fingerprint.clone()]));
                }
            }
        }
    }
}

#[test]
fn both_ends_agree_past_a_middlebox() {
    for (a, b, cema) in pairs() {
        let [ours, theirs] = [(&a, cema[0]), (&b, cema[1])].map(|(end, cema)| Ours { cema, ..end.ours() });
        let relayed = [&a, &b].map(|end| !end.path.is_direct());
        // We offer actpass, and an answer says passive.
        let Both { offerer, answerer } = negotiate(&ours, &theirs, moved, moved);
        match (cema, relayed) {
            // RFC 6714 §4.3: refused, as the offer knows nothing of middleboxes.
            ([false, true], _) => assert_eq!(refused(answerer), (488, 399)),
            // Neither knows of them: the path it is.
            ([false, false], _) => assert_eq!(hop_of(&offerer.unwrap().way), first(&b)),
            // They fall back, and there has to be a new offer: then a middlebox that knows MSRP changes the path, too.
            ([true, true], [true, true]) | ([true, false], [true, _] | [_, true]) => {
                let offerer = offerer.unwrap();
                assert!(offerer.offer_again && !offerer.cema && !answerer.unwrap().cema);
                assert_eq!(hop_of(&offerer.way), first(&b));
                let again = Ours { cema: false, ..ours };
                let Both { offerer, .. } = negotiate(&again, &Ours { cema: false, ..theirs }, same, same);
                assert!(!offerer.unwrap().offer_again);
            }
            ([true, true], [false, _] | [_, false]) => {
                let (offerer, answerer) = (offerer.unwrap(), answerer.unwrap());
                assert!(offerer.cema && answerer.cema && !offerer.offer_again);
                assert_eq!((hop_of(&offerer.way), hop_of(&answerer.way)), (MIDDLEBOX, None));
            }
            // An answerer without a relay that does not know of them is found all the same.
            ([true, false], [false, false]) => assert_eq!(hop_of(&offerer.unwrap().way), MIDDLEBOX),
        }
    }
}

#[test]
fn an_answerer_that_connects_goes_to_the_middlebox() {
    let (a, b) = (end(1, false, false), end(2, false, false));
    let passive = |text: &str| moved(&text.replace("actpass", "passive"));
    let Both { offerer, answerer } = negotiate(&a.ours(), &b.ours(), passive, moved);
    assert_eq!(hop_of(&answerer.unwrap().way), MIDDLEBOX);
    assert_eq!(offerer.unwrap().way, Way::Passive);
    // Without a=msrp-cema in its answer it would miss us.
    let lost = |text: &str| without(&moved(text), "a=msrp-cema");
    assert!(negotiate(&a.ours(), &b.ours(), passive, lost).offerer.unwrap().offer_again);
}

#[test]
fn lines_of_who_only_connects_say_nothing() {
    // RFC 6135 §4.2.2: port 9, and an address that nobody reaches.
    let text = described("10.0.0.7", 9, "msrp://192.168.1.5:2855/peer;tcp", "a=setup:active\r\n");
    assert_eq!(answered(&text).unwrap().0.way, Way::Passive);
    assert_eq!(read(&text).unwrap().way, Way::Passive);
    assert!(!read(&text).unwrap().offer_again);
    // Without it they were changed on the way (RFC 6714 §4.3).
    let text = described("10.0.0.7", 9, "msrp://192.168.1.5:2855/peer;tcp", "a=setup:actpass\r\n");
    assert_eq!(refused(answered(&text)), (488, 399));
    // Of a path of several one has to be the same; a name may be any address.
    let path = "msrp://relay.example:2855/r;tcp msrp://192.0.2.10:7394/peer;tcp";
    for (host, port) in [("relay.example", 2855), ("192.0.2.10", 7394), ("198.51.100.7", 2855)] {
        assert!(answered(&described(host, port, path, "")).is_ok(), "{host}:{port}");
    }
    assert_eq!(refused(answered(&described("192.0.2.10", 7395, path, ""))), (488, 399));
}
