use super::*;
use proptest::prelude::*;

/// RFC 8866 §5.
const EXAMPLE: &str = "v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\ni=SDP Offer #1\r\n\
    u=http://www.jdoe.example.com/home.html\r\ne=Jane Doe <jane@jdoe.example.com>\r\np=+1 617 555-6011\r\n\
    c=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\nm=audio 49180 RTP/AVP 0\r\nm=video 51372 RTP/AVP 99\r\n\
    c=IN IP6 2001:db8::2\r\na=rtpmap:99 h263-1998/90000\r\n";

/// Head of the short ones.
const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n";

fn parse(text: &str) -> Result<Sdp, Error> {
    Sdp::parse(text.as_bytes())
}

fn read(text: &str) -> Sdp {
    parse(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn same(text: &str) {
    assert_eq!(String::from_utf8_lossy(&read(text).to_bytes()), text);
}

#[test]
fn the_rfcs_example_reads_and_prints_back() {
    same(EXAMPLE);
    let sdp = read(EXAMPLE);
    assert_eq!((sdp.origin.id(), sdp.origin.version()), ("3724394400", "3724394405"));
    assert_eq!(sdp.name.as_str(), Some("Call to John Smith"));
    let hosts: Vec<_> = sdp.media.iter().map(|media| sdp.connection(media).unwrap().to_string()).collect();
    assert_eq!(hosts, ["IN IP4 198.51.100.1", "IN IP4 198.51.100.1", "IN IP6 2001:db8::2"]);
    assert_eq!(sdp.media[2].attributes.get("rtpmap").unwrap().value(), Some("99 h263-1998/90000"));
}

#[test]
fn what_is_legal_prints_back() {
    for media in [
        "",
        "m=audio 0 RTP/AVP 0\r\n",
        "m=video 49170/2 RTP/AVP 31\r\nc=IN IP4 233.252.0.1/127/3\r\n",
        "m=video 49170/2 RTP/AVP 31\r\nc=IN IP6 ff00::db8:0:101\r\nc=IN IP6 ff00::db8:0:102\r\n",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\ni=title\r\nb=AS:64\r\nb=X-YZ:18446744073709551616\r\n\
         a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=sendrecv\r\na=mid:0\r\na=empty:\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32\r\n\
         a=candidate:1 1 UDP 2130706431 0b9a2f9c-0000.local 4000 typ host generation 0 network-cost 999\r\n",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n",
        "m=message 2855 TCP/MSRP *\r\na=accept-types:text/plain message/cpim\r\na=path:msrp://192.0.2.10:2855/peer;tcp\r\n",
        "m=audio 49170 RTP/AVP 0\r\nc=TN RFC2543 +1-201-406-4090\r\n",
    ] {
        same(&format!("{HEAD}{media}"));
    }
    same("v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nt=0 0\r\n");
    same(
        "v=0\r\no=- 1 1 IN IP6 2001:DB8::1\r\ns= \r\nt=3724394400 3754123200\r\nr=7d 1h 0 25h\r\nr=604800 3600 0 90000\r\n\
         z=3730928400 -1h 3749680800 0\r\nt=0 0\r\na=tool:x\r\na=recvonly\r\n",
    );
    let latin1 = b"v=0\r\no=\xE9 1 1 IN IP4 h\r\ns=caf\xE9\r\nt=0 0\r\na=charset:ISO-8859-1\r\na=x:\xFF\r\n";
    let sdp = Sdp::parse(latin1).unwrap();
    assert_eq!(sdp.to_bytes(), latin1);
    assert_eq!((sdp.name.as_str(), sdp.name.lossy().as_ref()), (None, "caf\u{FFFD}"));
    let x = sdp.attributes.get("x").unwrap();
    assert_eq!((x.value(), x.raw().unwrap().as_bytes()), (None, b"\xFF".as_slice()));
}

#[test]
fn slips_are_forgiven() {
    let wanted = read(&format!("{HEAD}m=audio 49170 RTP/AVP 0\r\nb=AS:1\r\na=x\r\n"));
    for text in [
        format!("{HEAD}m=audio 49170 RTP/AVP 0\r\nb=AS:1\r\na=x\r\n").replace("\r\n", "\n"),
        format!("{HEAD}m=audio 49170 RTP/AVP 0\r\nb=AS:1\r\na=x"),
        format!("{HEAD}m=audio 49170 RTP/AVP 0\r\nb=AS:1\r\na=x\r\n\r\n"),
        // Out of order, but no line means another thing for it.
        format!("{HEAD}m=audio 49170 RTP/AVP 0\r\na=x\r\nb=AS:1\r\n"),
        "v=0\r\nt=0 0\r\nc=IN IP4 192.0.2.10\r\ns=-\r\no=- 1 1 IN IP4 192.0.2.10\r\nm=audio 49170 RTP/AVP 0\r\n\
         b=AS:1\r\na=x\r\n"
            .to_owned(),
        // §5.12: keys are thrown away.
        format!("{HEAD}k=prompt\r\nm=audio 49170 RTP/AVP 0\r\nb=AS:1\r\nk=clear:x\r\na=x\r\n"),
    ] {
        assert_eq!(read(&text), wanted, "{text}");
    }
}

#[test]
fn what_is_malformed() {
    let audio = "m=audio 49170 RTP/AVP 0\r\n";
    let mut bad = vec![
        String::new(),
        "v=0\r\n".to_owned(),
        HEAD.replace("v=0", "v=1"),
        HEAD.replace("v=0", "V=0"),
        HEAD.replace("v=0\r\n", "\r\nv=0\r\n"),
        HEAD.replace("s=-\r\n", ""),
        HEAD.replace("s=-", "s="),
        HEAD.replace("s=-", "s =-"),
        HEAD.replace("s=-", "s=a\rb"),
        HEAD.replace("s=-", "s=a\0b"),
        HEAD.replace("t=0 0\r\n", ""),
        HEAD.replace("t=0 0", "t=0"),
        HEAD.replace("t=0 0", "t=0 -1"),
        HEAD.replace("t=0 0", "r=1 1\r\nt=0 0"),
        format!("{HEAD}r=1;x\r\n"),
        format!("{HEAD}{audio}v=0\r\n"),
        format!("{HEAD}{audio}t=0 0\r\n"),
        format!("{HEAD}y=1\r\n{audio}"),
        format!("{HEAD}garbage\r\n{audio}"),
        format!("{HEAD}\r\n{audio}"),
        format!("{}{audio}", HEAD.replace("c=IN IP4 192.0.2.10\r\n", "")),
        format!("{HEAD}a=\r\n"),
        format!("{HEAD}a=:x\r\n"),
        format!("{HEAD}a=a b:x\r\n"),
        format!("{HEAD}b=AS\r\n"),
        format!("{HEAD}b=AS:-1\r\n"),
    ];
    // Once only.
    bad.extend(["v=0", "o=- 1 1 IN IP4 h", "s=x", "c=IN IP4 h"].map(|line| format!("{HEAD}{line}\r\n{audio}")));
    bad.extend(["i", "u"].map(|kind| format!("{HEAD}{kind}=x\r\n{kind}=x\r\n")));
    bad.push(format!("{HEAD}{audio}i=x\r\ni=y\r\n"));
    for origin in ["- 1 1", "- 1 1 IN IP4", "- 1 1 IN IP4 h x", "- x 1 IN IP4 h", "- 1 +1 IN IP4 h", " 1 1 IN IP4 h"] {
        bad.push(HEAD.replace("o=- 1 1 IN IP4 192.0.2.10", &format!("o={origin}")));
    }
    for address in [
        "IN IP4 999.1.1.1",
        "IN IP4 2130706433",
        "IN IP4 0177.0.0.1",
        "IN IP4 0x7f.1",
        "IN IP4 0x7f000001",
        "IN IP4 192.0.2.1.",
        "IN IP4 2001:db8::1",
        "IN IP6 192.0.2.1",
        "IN IP6 [2001:db8::1]",
        "IN IP6 fe80::1%eth0",
        "IN IP4 192.0.2.1/127",
        "IN IP4 224.2.1.1/256",
        "IN IP4 224.2.1.1/127/4294967295",
        "IN IP4 224.2.1.1/127/0",
        "IN IP4 -host",
        "IN IP4 ho_st%00",
        "IN IP4",
        "IN IP4 h x",
        "IN  IP4 h",
    ] {
        bad.push(HEAD.replace("c=IN IP4 192.0.2.10", &format!("c={address}")));
    }
    for media in [
        "audio 70000 RTP/AVP 0",
        "audio -1 RTP/AVP 0",
        "audio +1 RTP/AVP 0",
        "audio 1/0 RTP/AVP 0",
        "audio 1/x RTP/AVP 0",
        "audio 1 RTP/AVP 256",
        "audio 1 RTP/AVP 128",
        "audio 1 RTP/AVP -1",
        "audio 1 UDP/TLS/RTP/SAVPF a",
        "audio 1 RTP/AVP",
        "audio 1 RTP/AVP ",
        "audio 1 RTP//AVP 0",
        "audio  1 RTP/AVP 0",
        "audio",
        "a/b 1 RTP/AVP 0",
        &format!("{} 1 RTP/AVP 0", "a".repeat(256)),
    ] {
        bad.push(format!("{HEAD}m={media}\r\n"));
    }
    for text in bad {
        assert!(matches!(parse(&text), Err(Error::Malformed(_))), "{:?} of {text}", parse(&text));
    }
}

#[test]
fn what_is_too_much() {
    let line = "a=x\r\n";
    assert!(parse(&format!("{HEAD}{}", line.repeat(MAX_LINES - 5))).is_ok());
    let media = "m=audio 1 RTP/AVP 0\r\n";
    assert!(parse(&format!("{HEAD}{}", media.repeat(MAX_MEDIA))).is_ok());
    let formats = |n| format!("{HEAD}m=x 1 y{}\r\n", " 1".repeat(n));
    assert!(parse(&formats(MAX_FORMATS)).is_ok());
    for text in [
        format!("{HEAD}{}", line.repeat(MAX_LINES - 4)),
        format!("{HEAD}{}", media.repeat(MAX_MEDIA + 1)),
        formats(MAX_FORMATS + 1),
        format!("{HEAD}a=x:{}", "x".repeat(MAX_BYTES)),
    ] {
        assert!(matches!(parse(&text), Err(Error::TooBig { .. })), "{:?}", parse(&text).map(drop));
    }
}

#[test]
fn what_holds_for_all_media_holds_where_one_is_silent() {
    let sdp = read(&format!(
        "{HEAD}a=sendonly\r\na=setup:active\r\na=fingerprint:sha-1 {0}\r\nm=audio 1 RTP/AVP 0\r\nm=audio 1 RTP/AVP 0\r\n\
         a=setup:passive\r\na=inactive\r\na=fingerprint:SHA-256 {1}\r\na=fingerprint:md5 {2}\r\n",
        pairs(20),
        pairs(32),
        pairs(16),
    ));
    let [first, second] = &sdp.media[..] else { panic!() };
    assert_eq!([first, second].map(|m| sdp.direction(m)), [Direction::SendOnly, Direction::Inactive]);
    assert_eq!([first, second].map(|m| sdp.setup(m)), [Some(Setup::Active), Some(Setup::Passive)]);
    let [first, second] = [first, second].map(|m| sdp.fingerprints(m).unwrap());
    assert_eq!(first.iter().map(Fingerprint::hash).collect::<Vec<_>>(), ["sha-1"]);
    assert_eq!(second.iter().map(|f| (f.hash(), f.is_weak())).collect::<Vec<_>>(), [("sha-256", false), ("md5", true)]);
    let plain = read(&format!("{HEAD}m=audio 1 RTP/AVP 0\r\na=setup:both\r\n"));
    assert_eq!(plain.direction(&plain.media[0]), Direction::SendRecv);
    assert_eq!(plain.setup(&plain.media[0]), None);
    for bad in [pairs(31), "0".to_owned(), "0g".to_owned(), "+1:".to_owned(), String::new(), pairs(1).repeat(32)] {
        let sdp = read(&format!("{HEAD}m=audio 1 RTP/AVP 0\r\na=fingerprint:sha-256 {bad}\r\n"));
        assert!(matches!(sdp.fingerprints(&sdp.media[0]), Err(Error::Malformed(_))), "{bad}");
    }
    let many = format!("{HEAD}m=audio 1 RTP/AVP 0\r\n{}", "a=fingerprint:x 00\r\n".repeat(MAX_FINGERPRINTS + 1));
    assert!(matches!(read(&many).fingerprints(&read(&many).media[0]), Err(Error::TooBig { .. })));
}

fn pairs(n: usize) -> String {
    vec!["AB"; n].join(":")
}

#[test]
fn hosts() {
    let host = |line: &str| read(&HEAD.replace("c=IN IP4 192.0.2.10", &format!("c={line}"))).connection.unwrap().host();
    assert_eq!(host("IN IP4 192.0.2.1"), Some(Host::Ip([192, 0, 2, 1].into())));
    assert_eq!(host("IN IP4 gw.example.com"), Host::name("gw.example.com"));
    assert_eq!(host("IN IP6 gw.example.com"), Host::name("gw.example.com"));
    assert_eq!(host("IN IP4 224.2.1.1/127"), None);
    assert_eq!(host("IN IP6 ff02::1/3"), None);
    assert_eq!(host("IN IP6 ff02::1"), None);
    assert_eq!(host("ATM NSAP 47.0091"), None);
    assert_eq!(host("IN IP5 1"), None);
    let a = |text: &str| text.parse().map(Host::Ip).ok().or_else(|| Host::name(text)).unwrap();
    assert!(a("Example.COM.").same(&a("example.com")) && a("::ffff:192.0.2.1").same(&a("192.0.2.1")));
    assert!(!a("example.com").same(&a("192.0.2.1")) && !a("example.com").same(&a("example.org")));
    for (host, line) in [("192.0.2.1", "IN IP4 192.0.2.1"), ("2001:db8::1", "IN IP6 2001:db8::1"), ("h", "IN IP4 h")] {
        let address = Address::new(&a(host));
        assert_eq!((address.to_string().as_str(), address.host()), (line, Some(a(host))));
    }
    for bad in
        ["", ".", "a..b", "-a", "a-", "a_b", "1", "a.1", "0x1f", "a.0X", "é", "a b", &"a".repeat(64), &"a.".repeat(128)]
    {
        assert_eq!(Host::name(bad), None, "{bad:?}");
    }
}

#[test]
fn nothing_of_ours_brings_in_a_line() {
    let mut sdp = Sdp::new(Origin::new(1, 2, &Host::Name("h\r\na=x".into())));
    sdp.name = Text::new("a\r\nb\0c");
    sdp.info = Some(Text::new(""));
    sdp.bandwidths.push(Bandwidth::new("A\nS", 1));
    sdp.attributes.push(Attribute::new("na me", "x\r\na=y"));
    sdp.connection = Some(Address::new(&Host::Ip([192, 0, 2, 1].into())));
    let mut media = Media::new("mess age", 1, "TCP\r\n/MSRP", &["*\n", ""]);
    media.title = Some(Text::new("\n"));
    sdp.media.push(media);
    assert_eq!(
        String::from_utf8(sdp.to_bytes()).unwrap(),
        "v=0\r\no=- 1 2 IN IP4 h__a=x\r\ns=a  b c\r\ni= \r\nc=IN IP4 192.0.2.1\r\nb=A_S:1\r\nt=0 0\r\na=na_me:x  a=y\r\n\
         m=mess_age 1 TCP__/MSRP *_ _\r\ni= \r\n"
    );
}

#[test]
fn an_origin_names_a_session() {
    let origin = |text: &str| read(&HEAD.replace("o=- 1 1", text)).origin;
    assert!(origin("o=- 1 1").same_session(&origin("o=- 1 2")));
    assert!(!origin("o=- 1 1").same_session(&origin("o=- 2 1")) && !origin("o=- 1 1").same_session(&origin("o=a 1 1")));
    assert_eq!(origin("o=a 1 1").with_version(9), origin("o=a 1 9"));
    assert_eq!(origin("o=- 18446744073709551616 1").id(), "18446744073709551616");
}

proptest! {
    #[test]
    fn any_legal_description_prints_back_and_another_reader_agrees(text in legal()) {
        let sdp = read(&text);
        prop_assert_eq!(String::from_utf8(sdp.to_bytes()).unwrap(), text.clone());
        let other = sdp_types::Session::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&other.origin.sess_id, sdp.origin.id());
        prop_assert_eq!(Some(other.session_name.as_str()), sdp.name.as_str());
        prop_assert_eq!(other.medias.len(), sdp.media.len());
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        for (theirs, ours) in other.medias.iter().zip(&sdp.media) {
            prop_assert_eq!((theirs.media.as_str(), theirs.port), (ours.kind.as_str(), ours.port));
            prop_assert_eq!((&theirs.proto, &theirs.fmt), (&ours.protocol.to_string(), &ours.formats.join(" ")));
            let theirs: Vec<_> = theirs.attributes.iter().map(|a| pair(&a.attribute, a.value.as_deref())).collect();
            let ours: Vec<_> = ours.attributes.iter().map(|a| pair(a.name(), a.value())).collect();
            prop_assert_eq!(theirs, ours);
        }
    }

    #[test]
    fn what_is_read_reads_the_same_again(text in "(v=0\n)?([oscitbamukzrp]=[ -~\r\n\0é]{0,12}\n|o=- 1 1 IN IP4 h\n|s=x\n|t=0 0\n|c=IN IP4 h\n|m=a 1 b c\n){0,12}") {
        if let Ok(sdp) = parse(&text) {
            prop_assert_eq!(Sdp::parse(&sdp.to_bytes()), Ok(sdp));
        }
    }

    #[test]
    fn types_print_back(text in "([a-z]{1,4}/([a-z]{1,4}|\\*)(;[a-z]=([a-z]|\"[a-z ]{0,3}\"))?|\\*)( ([a-z]{1,4}/[a-z]{1,4}|\\*)){0,3}") {
        prop_assert_eq!(Types::parse(&text).unwrap().to_string(), text);
    }
}

/// Descriptions as §9 has them.
fn legal() -> impl Strategy<Value = String> {
    const TOKEN: &str = "[a-zA-Z0-9!#$%&'*+.^_`{|}~-]{1,8}";
    let address =
        "c=IN (IP4 (192\\.0\\.2\\.[1-9]|224\\.2\\.1\\.1/127(/3)?|[a-z]{2,5}\\.example)|IP6 2001:db8::[1-9a-f])\r\n";
    let attribute = format!("a={TOKEN}(:[!-~é ]{{1,20}})?\r\n");
    let attributes = format!("({attribute}){{0,4}}");
    let media = format!(
        "m={TOKEN} (0|[1-9][0-9]{{0,3}})(/2)? ({TOKEN}(/{TOKEN})?( {TOKEN}){{1,3}}|RTP/AVP (0|[1-9][0-9]?|1[01][0-9]|12[0-7]))\r\n(i=[ -~]{{1,9}}\r\n)?{address}(b={TOKEN}:[1-9]{{1,4}}\r\n)?{attributes}"
    );
    let head = format!(
        "v=0\r\no=(-|[!-~]{{1,5}}) [1-9][0-9]{{0,24}} [0-9] IN IP4 h\\.example\r\ns=[ -~é]{{1,9}}\r\n(i=x\r\n)?(u=y\r\n)?(e=a@b\r\n)?(p=\\+1\r\n)?({address})?(b=AS:1\r\n)?t=0 0\r\n(r=1 1 0\r\n)?{attributes}"
    );
    proptest::string::string_regex(&format!("{head}({media}){{0,3}}")).unwrap()
}

mod message;

#[test]
fn the_user_of_an_origin() {
    let origin = |name: &str| {
        let sdp = Sdp::new(Origin::new(7, 1, &Host::Ip([192, 0, 2, 1].into())).with_user(name));
        assert_eq!(Sdp::parse(&sdp.to_bytes()).as_ref(), Ok(&sdp), "{name:?}");
        sdp.origin.user().lossy().into_owned()
    };
    assert_eq!(
        (origin("juliet"), origin(""), origin("d'art\\20agnan")),
        ("juliet".into(), "-".into(), "d'art\\20agnan".into())
    );
    assert_eq!((origin("a b\r\nm=video\u{85}"), origin("žluťoučký")), ("a-b--m=video-".into(), "žluťoučký".into()));
    assert_eq!((origin(&"a".repeat(300)).len(), origin(&"é".repeat(300)).len()), (255, 254));
}
