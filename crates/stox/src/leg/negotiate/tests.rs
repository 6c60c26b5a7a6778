use super::*;
use msrp::{Hop, Host, Path, Tls, Way};

mod both;
mod rooms;

const TYPES: &[&str] = &["message/cpim", "text/plain"];
const WRAPPED: &[&str] = &["text/html"];

/// One end.
struct End {
    path: Path,
    host: Host,
    port: u16,
    fingerprint: msrp::Fingerprint,
}

impl End {
    /// One that listens at `host`, with what is before it on its path.
    fn new(relay: &str, secure: bool, host: &str, port: u16) -> End {
        let host = host.parse().map_or_else(|_| Host::Name(host.into()), Host::Ip);
        let own = Path::of_session(secure, &host, port, "s1").unwrap();
        let path = if relay.is_empty() { own } else { Path::parse(relay).unwrap().then(&own) };
        let fingerprint = msrp::Fingerprint {
            algorithm: "sha-256".into(),
            digest: Bytes::from(vec![u8::try_from(port % 256).unwrap(); 32]),
        };
        End { path, host, port, fingerprint }
    }

    fn ours(&self) -> Ours<'_> {
        Ours {
            path: &self.path,
            host: &self.host,
            port: self.port,
            secure: self.path.first().is_secure(),
            fingerprint: Some(&self.fingerprint),
            accept_types: TYPES,
            accept_wrapped_types: WRAPPED,
            max_size: 10_000,
            session_id: 7,
            version: 1,
            cema: true,
            chatroom: None,
        }
    }
}

fn gateway() -> End {
    End::new("", false, "192.0.2.1", 2855)
}

/// A description with one conversation, as phones write it.
fn theirs(attributes: &str) -> String {
    described("192.0.2.10", 7394, "msrp://192.0.2.10:7394/peer;tcp", attributes)
}

fn described(host: &str, port: u16, path: &str, attributes: &str) -> String {
    let family = if host.contains(':') { "IP6" } else { "IP4" };
    let protocol = if path.starts_with("msrps") { "TCP/TLS/MSRP" } else { "TCP/MSRP" };
    format!(
        "v=0\r\no=- 5 6 IN IP4 h.example\r\ns= \r\nc=IN {family} {host}\r\nt=0 0\r\nm=message {port} {protocol} *\r\n\
         a=accept-types:text/plain\r\na=path:{path}\r\n{attributes}"
    )
}

fn anywhere(_: IpAddr) -> bool {
    true
}

fn outside(address: IpAddr) -> bool {
    !address.is_loopback()
}

fn answered(offer: &str) -> Result<(Agreed, String), Refusal> {
    let (agreed, bytes) = answer(&gateway().ours(), offer.as_bytes(), &outside)?;
    Ok((agreed, String::from_utf8(bytes.to_vec()).unwrap()))
}

fn read(answer: &str) -> Result<Agreed, Refusal> {
    read_answer(&gateway().ours(), answer.as_bytes(), &outside)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (u16, u16) {
    match result {
        Err(refusal @ Refusal::NotAcceptableHere { warning, .. }) => (refusal.code(), warning),
        Err(refusal) => (refusal.code(), 0),
        Ok(agreed) => panic!("{agreed:?}"),
    }
}

fn active(host: &str, port: u16) -> Way {
    let host = host.parse().map_or_else(|_| Host::Name(host.into()), Host::Ip);
    Way::Active(Hop { host, port, tls: None })
}

#[test]
fn our_offer() {
    let text = |end: &End, cema| String::from_utf8(offer(&Ours { cema, ..end.ours() }).to_vec()).unwrap();
    assert_eq!(
        text(&gateway(), true),
        "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
         a=accept-types:message/cpim text/plain\r\na=accept-wrapped-types:text/html\r\na=max-size:10000\r\n\
         a=path:msrp://192.0.2.1:2855/s1;tcp\r\na=setup:actpass\r\na=msrp-cema\r\n"
    );
    let relayed = End::new("msrps://relay.example:2855/r;tcp", true, "2001:db8::1", 9999);
    assert_eq!(
        text(&relayed, false),
        format!(
            "v=0\r\no=- 7 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP4 relay.example\r\nt=0 0\r\nm=message 2855 TCP/TLS/MSRP *\r\n\
             a=accept-types:message/cpim text/plain\r\na=accept-wrapped-types:text/html\r\na=max-size:10000\r\n\
             a=path:msrps://relay.example:2855/r;tcp msrps://[2001:db8::1]:9999/s1;tcp\r\na=setup:actpass\r\n\
             a=fingerprint:sha-256 {}\r\n",
            vec!["0F"; 32].join(":")
        )
    );
}

#[test]
fn our_answer() {
    let (agreed, text) = answered(&theirs("a=max-size:77\r\n")).unwrap();
    assert_eq!(
        text,
        "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=message 2855 TCP/MSRP *\r\n\
         a=accept-types:message/cpim text/plain\r\na=accept-wrapped-types:text/html\r\na=max-size:10000\r\n\
         a=path:msrp://192.0.2.1:2855/s1;tcp\r\na=setup:passive\r\na=msrp-cema\r\n"
    );
    assert_eq!(agreed.path, Path::parse("msrp://192.0.2.10:7394/peer;tcp").unwrap());
    assert_eq!((agreed.way, agreed.max_size, agreed.cema), (Way::Passive, Some(77), false));
    assert!(agreed.sends && agreed.receives && !agreed.offer_again && agreed.fingerprints.is_empty());
    assert_eq!(answered(&theirs("a=max-size:0\r\n")).unwrap().0.max_size, None);
}

#[test]
fn who_connects() {
    let there = || active("192.0.2.10", 7394);
    for (offered, way, says) in [
        ("", Way::Passive, "passive"),
        ("a=setup:actpass\r\n", Way::Passive, "passive"),
        ("a=setup:active\r\n", Way::Passive, "passive"),
        ("a=setup:holdconn\r\n", Way::Passive, "passive"),
        ("a=setup:nonsense\r\n", Way::Passive, "passive"),
        ("a=setup:actpass\r\na=connection:existing\r\n", Way::Passive, "passive"),
        // No offer may say so.
        ("a=setup:passive\r\n", there(), "active"),
    ] {
        let (agreed, text) = answered(&theirs(offered)).unwrap();
        assert_eq!(agreed.way, way, "{offered}");
        assert!(text.contains(&format!("a=setup:{says}\r\n")) && !text.contains("a=connection"), "{offered}: {text}");
    }
    for (answered, way) in [
        ("", there()),
        ("a=setup:passive\r\n", there()),
        ("a=setup:holdconn\r\n", there()),
        // No answer may say so.
        ("a=setup:actpass\r\n", there()),
        ("a=setup:active\r\n", Way::Passive),
    ] {
        assert_eq!(read(&theirs(answered)).unwrap().way, way, "{answered}");
    }
}

#[test]
fn directions() {
    for (theirs_says, sends, receives, ours_says) in [
        ("a=sendrecv\r\n", true, true, None),
        ("", true, true, None),
        ("a=sendonly\r\n", true, false, Some("recvonly")),
        ("a=recvonly\r\n", false, true, Some("sendonly")),
        ("a=inactive\r\n", false, false, Some("inactive")),
    ] {
        let (agreed, text) = answered(&theirs(theirs_says)).unwrap();
        assert_eq!((agreed.sends, agreed.receives), (sends, receives), "{theirs_says}");
        let said =
            ["sendrecv", "sendonly", "recvonly", "inactive"].into_iter().find(|d| text.contains(&format!("a={d}\r\n")));
        assert_eq!(said, ours_says);
        let agreed = read(&theirs(theirs_says)).unwrap();
        assert_eq!((agreed.sends, agreed.receives), (sends, receives), "{theirs_says}");
    }
}

#[test]
fn all_else_in_an_offer_is_refused_in_its_place() {
    let message =
        "m=message 7394 TCP/MSRP *\r\na=accept-types:text/plain\r\na=path:msrp://192.0.2.10:7394/peer;tcp\r\n";
    let (_, text) = answered(&format!(
        "v=0\r\no=- 5 6 IN IP4 h\r\ns=x\r\nc=IN IP4 192.0.2.10\r\nt=3724394400 3754123200\r\nr=7d 1h 0\r\na=group:BUNDLE 0 1\r\n\
         m=audio 49170 RTP/AVP 0 8\r\na=mid:0\r\nm=message 0 TCP/MSRP *\r\nm=message 9 TCP/TLS/MSRP *\r\na=accept-types:*\r\n\
         a=path:msrps://192.0.2.10:9/x;tcp\r\n{message}{message}m=video 1 RTP/AVP 31\r\n"
    ))
    .unwrap();
    let lines: Vec<&str> =
        text.lines().filter(|line| ["t=", "r=", "m="].iter().any(|kind| line.starts_with(kind))).collect();
    assert_eq!(
        lines,
        [
            "t=3724394400 3754123200",
            "r=7d 1h 0",
            "m=audio 0 RTP/AVP 0 8",
            "m=message 0 TCP/MSRP *",
            "m=message 0 TCP/TLS/MSRP *",
            "m=message 2855 TCP/MSRP *",
            "m=message 0 TCP/MSRP *",
            "m=video 0 RTP/AVP 31",
        ]
    );
    assert!(!text.contains("a=mid") && !text.contains("a=group"), "{text}");
}

#[test]
fn what_is_no_conversation() {
    let head = "v=0\r\no=- 5 6 IN IP4 h\r\ns=x\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n";
    for media in ["", "m=audio 49170 RTP/AVP 0\r\n", "m=message 0 TCP/MSRP *\r\n"] {
        assert_eq!(refused(answered(&format!("{head}{media}"))), (488, 304), "{media}");
    }
    assert_eq!(refused(read(&format!("{head}m=message 0 TCP/MSRP *\r\n"))), (488, 304));
    assert_eq!(refused(read(head)), (488, 304));
    // What was not offered is not there to be taken, or refused for all we care.
    assert_eq!(refused(read(&format!("{head}m=audio 1 RTP/AVP 0\r\n"))), (400, 0));
    assert_eq!(refused(read(&format!("{}m=audio 1 RTP/AVP 0\r\n", theirs("")))), (400, 0));
    assert!(read(&format!("{}m=audio 0 RTP/AVP 0\r\n", theirs(""))).is_ok());
    for (from, to, wanted) in [
        ("v=0", "v=1", (400, 0)),
        ("a=path", "a=pathos", (400, 0)),
        ("a=accept-types", "a=accept-kinds", (400, 0)),
        (":7394/peer;tcp", "/peer;tcp", (400, 0)),
        ("/peer;tcp", "/peer;sctp", (400, 0)),
        ("/peer;tcp", ";tcp", (400, 0)),
        ("/peer;tcp", "/peer%0d%0aX:1;tcp", (400, 0)),
        ("msrp:", "http:", (400, 0)),
        ("TCP/MSRP", "TCP/SIP", (488, 302)),
        ("TCP/MSRP", "TCP/TLS/MSRP", (488, 302)),
        ("msrp:", "msrps:", (488, 302)),
        ("text/plain", "text/html", (488, 305)),
        ("text/plain", "message/cpim", (488, 305)),
        ("c=IN IP4 192.0.2.10", "c=IN IP4 224.2.1.1/127", (488, 330)),
        ("c=IN IP4 192.0.2.10", "c=ATM NSAP 47", (488, 301)),
        ("a=path", "a=file-selector:size:1\r\na=path", (488, 304)),
    ] {
        let text = theirs("").replacen(from, to, 1);
        assert_eq!(refused(answered(&text)), wanted, "{text}");
        assert_eq!(refused(read(&text)), wanted, "{text}");
    }
    let long = theirs(&format!("a=x:{}\r\n", "x".repeat(70_000)));
    assert_eq!((refused(answered(&long)), refused(read(&long))), ((413, 0), (413, 0)));
}

#[test]
fn a_path_leads_to_no_inner_door() {
    let at = |place: &str, setup: &str| {
        let (host, port) = place.rsplit_once(':').unwrap();
        let line = match host.trim_matches(['[', ']']) {
            // Not legal there in the first place.
            "2130706433" | "0177.0.0.1" | "0x7f.1" | "127.1" | "127.0.0.1." | "a_b" | "%31" => "h.example",
            line => line,
        };
        described(line, port.parse().unwrap(), &format!("msrp://{place}/peer;tcp"), setup)
    };
    // Whoever connects.
    for place in [
        "0.0.0.0:5347",
        "0.1.2.3:5347",
        "255.255.255.255:5347",
        "2130706433:5347",
        "0177.0.0.1:5347",
        "0x7f.1:5347",
        "127.1:5347",
        "127.0.0.1.:5347",
        "[::ffff:127.0.0.1]:5347",
        "[::ffff:192.0.2.10]:5347",
        "[::127.0.0.1]:5347",
        "[::]:5347",
        "a_b:5347",
        "%31:5347",
        // Ourselves.
        "192.0.2.1:2855",
    ] {
        for setup in ["", "a=setup:active\r\n", "a=setup:passive\r\n"] {
            assert_eq!(refused(answered(&at(place, setup))), (488, 399), "{place} {setup}");
            assert_eq!(refused(read(&at(place, setup))), (488, 399), "{place} {setup}");
        }
    }
    for place in ["224.0.0.1:5347", "[ff02::1]:5347"] {
        assert_eq!(refused(answered(&at(place, ""))), (488, 330), "{place}");
    }
    // Where we are to connect.
    for place in ["127.0.0.1:5347", "[::1]:5347", "192.0.2.10:22", "192.0.2.10:1023", "h.example:1023"] {
        assert_eq!(refused(answered(&at(place, "a=setup:passive\r\n"))), (488, 399), "{place}");
        assert_eq!(refused(read(&at(place, ""))), (488, 399), "{place}");
        // Who connects to us may be where it likes.
        assert_eq!(answered(&at(place, "a=setup:active\r\n")).unwrap().0.way, Way::Passive, "{place}");
        assert_eq!(read(&at(place, "a=setup:active\r\n")).unwrap().way, Way::Passive, "{place}");
    }
    for place in ["192.0.2.1:2856", "192.0.2.10:2855", "[2001:db8::1]:1024"] {
        let (host, port) = place.rsplit_once(':').unwrap();
        let way = active(host.trim_matches(['[', ']']), port.parse().unwrap());
        assert_eq!(read(&at(place, "")).unwrap().way, way, "{place}");
    }
    // A name is looked up by who connects, and checked then; here it is only a name.
    assert_eq!(read(&at("LocalHost:2855", "")).unwrap().way, active("localhost", 2855));
    let own = End::new("", false, "gw.example.com", 2855);
    let text = at("GW.example.com.:2855", "");
    assert_eq!(refused(answer(&own.ours(), text.as_bytes(), &anywhere)), (488, 399));
    // The place that a middlebox may name is no better.
    let moved = described("127.0.0.1", 5347, "msrp://192.0.2.10:7394/peer;tcp", "a=msrp-cema\r\n");
    assert_eq!(refused(read(&moved)), (488, 399));
    let moved = described("192.0.2.1", 2855, "msrp://192.0.2.10:7394/peer;tcp", "a=msrp-cema\r\n");
    assert_eq!(refused(read(&moved)), (488, 399));
}

#[test]
fn tls_is_not_given_up() {
    let end = End::new("", true, "192.0.2.1", 2856);
    let secure = |path: &str, attributes: &str| {
        described("192.0.2.10", 7394, path, attributes).replace("/MSRP", "/TLS/MSRP").replace("/TLS/TLS", "/TLS")
    };
    let path = "msrps://192.0.2.10:7394/peer;tcp";
    let read = |text: &str| read_answer(&end.ours(), text.as_bytes(), &outside);
    let pairs = |n: usize| vec!["AB"; n].join(":");
    // TLS without TLS, and none where it was offered.
    assert_eq!(refused(read(&secure("msrp://192.0.2.10:7394/peer;tcp", ""))), (488, 302));
    assert_eq!(refused(read(&theirs(""))), (488, 302));
    assert_eq!(refused(answer(&end.ours(), theirs("").as_bytes(), &outside)), (488, 302));
    for weak in ["md5", "md2", "sha-1", "whirlpool"] {
        let length = if weak == "sha-1" { 20 } else { 16 };
        let text = secure(path, &format!("a=fingerprint:{weak} {}\r\n", pairs(length)));
        assert_eq!(refused(read(&text)), (488, 306), "{weak}");
        assert_eq!(refused(answer(&end.ours(), text.as_bytes(), &outside)), (488, 306), "{weak}");
    }
    assert_eq!(refused(read(&secure(path, "a=fingerprint:sha-256 AB\r\n"))), (400, 0));
    let text = secure(path, &format!("a=fingerprint:md5 {}\r\na=fingerprint:SHA-256 {}\r\n", pairs(16), pairs(32)));
    let fingerprints = vec![msrp::Fingerprint { algorithm: "sha-256".into(), digest: Bytes::from(vec![0xab; 32]) }];
    let tls = Tls { fingerprints: fingerprints.clone(), name: "192.0.2.10".into() };
    let agreed = read(&text).unwrap();
    assert_eq!(agreed.way, Way::Active(Hop { host: Host::Ip([192, 0, 2, 10].into()), port: 7394, tls: Some(tls) }));
    let (agreed, bytes) = answer(&end.ours(), text.as_bytes(), &outside).unwrap();
    assert_eq!((agreed.way, agreed.fingerprints), (Way::Passive, fingerprints));
    assert!(String::from_utf8(bytes.to_vec()).unwrap().contains("a=fingerprint:sha-256 28:28:"), "{bytes:?}");
    // Without one the certificate has to be for the name.
    let named = described("peer.example", 7394, "msrps://Peer.example:7394/peer;tcp", "");
    let Way::Active(hop) = read(&named).unwrap().way else { panic!() };
    assert_eq!(hop.tls, Some(Tls { fingerprints: vec![], name: "peer.example".into() }));
    // RFC 6714 §7.4: also past a middlebox.
    let moved = described("192.0.2.99", 5000, "msrps://peer.example:7394/peer;tcp", "a=msrp-cema\r\n");
    let Way::Active(hop) = read(&moved).unwrap().way else { panic!() };
    assert_eq!((hop.host, hop.port), (Host::Ip([192, 0, 2, 99].into()), 5000));
    assert_eq!(hop.tls.unwrap().name, "peer.example");
}

#[test]
fn whether_tls_is_wanted() {
    let tls = described("h", 1, "msrps://h:1/x;tcp", "");
    assert!(wants_tls(tls.as_bytes()) && !wants_tls(theirs("").as_bytes()) && !wants_tls(b"v=0"));
    assert!(!wants_tls(tls.replace("m=message 1 ", "m=message 0 ").as_bytes()));
    // Both offered: ours decides.
    let both = format!(
        "{}{}",
        tls,
        theirs("").split_once("t=0 0\r\n").unwrap().1.replace(" 7394 ", " 1 ").replace("192.0.2.10:7394", "h:1")
    );
    assert!(wants_tls(both.as_bytes()));
    let (agreed, text) = answered(&both).unwrap();
    assert_eq!(agreed.path.as_str(), "msrp://h:1/peer;tcp");
    assert!(text.contains("m=message 0 TCP/TLS/MSRP *\r\nm=message 2855 TCP/MSRP *\r\n"), "{text}");
}

#[test]
fn a_refresh_says_the_same_again() {
    let offered = offer(&gateway().ours());
    let (_, answered) = answer(&gateway().ours(), theirs("a=setup:active\r\n").as_bytes(), &anywhere).unwrap();
    assert_eq!(again(&offered, Part::Offer, 9), offered);
    assert_eq!(again(&answered, Part::Answer, 9), answered);
    // Another part, another version.
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let other = |bytes: &Bytes, from, to| text(bytes).replace("o=- 7 1 ", "o=- 7 9 ").replace(from, to);
    assert_eq!(text(&again(&answered, Part::Offer, 9)), other(&answered, "a=setup:passive", "a=setup:actpass"));
    assert_eq!(text(&again(&offered, Part::Answer, 9)), other(&offered, "a=setup:actpass", "a=setup:passive"));
    let (_, active) = answer(&gateway().ours(), theirs("a=setup:passive\r\n").as_bytes(), &anywhere).unwrap();
    assert_eq!(again(&active, Part::Answer, 9), active);
    let nonsense = Bytes::from_static(b"v=1");
    assert_eq!(again(&nonsense, Part::Offer, 9), nonsense);
}

#[test]
fn numbers_have_room_to_grow() {
    let gateway = gateway();
    let most = Ours { session_id: u64::MAX, version: u64::MAX - 1, ..gateway.ours() };
    let text = String::from_utf8(offer(&most).to_vec()).unwrap();
    assert!(text.contains("o=- 4611686018427387903 4611686018427387902 IN"), "{text}");
}

#[test]
fn what_is_taken() {
    let accept = |types: &str, wrapped: &str| {
        let wrapped = if wrapped.is_empty() { String::new() } else { format!("a=accept-wrapped-types:{wrapped}\r\n") };
        answered(&(theirs("").replace("text/plain", types) + &wrapped)).map(|(agreed, _)| agreed.accept)
    };
    let plain = accept("text/plain;charset=utf-8", "").unwrap();
    assert!(plain.takes("Text/Plain; charset=utf-8") && !plain.takes("message/cpim") && !plain.takes("text"));
    assert!(!plain.cpim_only() && plain.names("text/plain"));
    let cpim = accept("message/cpim", "text/plain text/html").unwrap();
    assert!(cpim.cpim_only() && cpim.takes("message/cpim") && !cpim.takes("text/plain") && cpim.wraps("text/html"));
    let any = accept("*", "").unwrap();
    assert!(any.takes("image/png") && any.wraps("image/png") && !any.names("message/cpim") && !any.cpim_only());
    assert!(accept("text/*", "").unwrap().takes("text/html"));
    for (types, wrapped) in
        [("message/cpim", ""), ("message/cpim", "text/html"), ("text/html", "text/plain"), ("image/*", "*")]
    {
        assert_eq!(refused(accept(types, wrapped)), (488, 305), "{types} {wrapped}");
    }
}
