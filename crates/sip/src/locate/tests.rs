//! Searches against a zone: each test states what is asked, in order, and where it leads.

use super::*;
use base::dns::Records;
use std::time::Duration;

const ALL: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
const PLAIN: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// Lines of `NAME TYPE DATA`; `!` for no answer in time, `?` for SERVFAIL.
fn answer(zone: &str, question: &Question) -> Answer {
    let (name, kind) = match question {
        Question::Naptr(name) => (name, "NAPTR"),
        Question::Srv(name) => (name, "SRV"),
        Question::Addresses(name) => (name, "A"),
    };
    let lines = zone.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_it: Vec<Vec<&str>> = lines.filter(|l| l.len() > 2 && l[0] == name.as_str() && l[1] == kind).collect();
    let ttl = Duration::from_secs(60);
    match (of_it.first().map(|line| line[2]), kind) {
        (None, _) => Answer::none(Failure::NoRecords),
        (Some("!"), _) => Answer::none(Failure::Timeout),
        (Some("?"), _) => Answer::none(Failure::Failed),
        (Some(_), "A") => Answer::of_addresses(of_it.iter().map(|l| l[2].parse().expect("an address")), ttl),
        (Some(_), "SRV") => Answer::of_srv(
            of_it.iter().map(|l| Srv {
                priority: l[2].parse().expect("a priority"),
                weight: l[3].parse().expect("a weight"),
                port: l[4].parse().expect("a port"),
                target: l[5].trim_end_matches('.').into(),
            }),
            ttl,
        ),
        (Some(_), _) => Answer::of_naptr(
            of_it.iter().map(|l| Naptr {
                order: l[2].parse().expect("an order"),
                preference: l[3].parse().expect("a preference"),
                flags: l[4].into(),
                service: l[5].into(),
                regexp: l.get(7).copied().unwrap_or_default().into(),
                replacement: l[6].trim_end_matches('.').into(),
            }),
            ttl,
        ),
    }
}

/// Everything that a search for a URI says until it ends.
fn all(zone: &str, uri: &str, means: &[Transport], large: bool) -> Vec<String> {
    let uri = crate::Uri::parse(uri).expect("a URI");
    let place = Place::of(uri.sip().expect("a SIP URI")).expect("a place");
    let mut search = Search::new(&place, means, large);
    let mut tokens = Tokens::seeded(1);
    let mut said = Vec::new();
    loop {
        match search.step() {
            Step::Ask(question) => {
                assert_eq!(search.step(), Step::Ask(question.clone()), "the same question until it is answered");
                said.push(question.to_string());
                search.answered(&answer(zone, &question), &mut tokens);
            }
            Step::Try(target) => {
                let name = target.name.map(|name| format!(" as {name}")).unwrap_or_default();
                said.push(format!("{} {}{name}", target.transport.as_str(), target.remote));
            }
            Step::End(fault) => {
                said.push(format!("{fault:?}"));
                return said;
            }
        }
        assert!(said.len() < 100, "{said:?}");
    }
}

/// RFC 3263 §4.1, §4.2: addresses and ports.
#[test]
fn what_is_said_is_not_looked_up() {
    let zone = "host.example.com A 192.0.2.7\nhost.example.com A 2001:db8::7";
    assert_eq!(all(zone, "sip:192.0.2.1", &ALL, false), ["UDP 192.0.2.1:5060", "Nothing"]);
    assert_eq!(all(zone, "sip:[2001:db8::1]:5070;transport=tcp", &ALL, false), ["TCP [2001:db8::1]:5070", "Nothing"]);
    assert_eq!(all(zone, "sips:192.0.2.1", &ALL, false), ["TLS 192.0.2.1:5061 as 192.0.2.1", "Nothing"]);
    assert_eq!(all(zone, "sips:192.0.2.1", &PLAIN, false), ["NoTransport"], "never less than sips");
    assert_eq!(
        all(zone, "sip:host.example.com:5070", &ALL, false),
        ["A/AAAA host.example.com", "UDP 192.0.2.7:5070", "UDP [2001:db8::7]:5070", "Nothing"],
        "RFC 3263 §4.2: a port means no SRV"
    );
    assert_eq!(
        all(zone, "sip:elsewhere.example;maddr=192.0.2.9", &ALL, false),
        ["UDP 192.0.2.9:5060", "Nothing"],
        "RFC 3263 §4: maddr is the TARGET"
    );
}

/// The example of RFC 3263 §4.1.
#[test]
fn the_example_of_the_text() {
    let zone = "example.com NAPTR 100 50 s SIP+D2U _sip._udp.example.com
        example.com NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com
        example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com
        example.com NAPTR 10 50 u E2U+sip . !^.*$!sip:x@example.com!
        _sip._tcp.example.com SRV 0 1 5060 server1.example.com
        _sip._tcp.example.com SRV 1 2 5060 server2.example.com
        _sips._tcp.example.com SRV 0 0 5061 server1.example.com
        server1.example.com A 192.0.2.1
        server2.example.com A 192.0.2.2";
    assert_eq!(
        all(zone, "sip:user@example.com", &PLAIN, false),
        [
            "NAPTR example.com",
            "SRV _sip._tcp.example.com",
            "A/AAAA server1.example.com",
            "TCP 192.0.2.1:5060",
            "A/AAAA server2.example.com",
            "TCP 192.0.2.2:5060",
            "SRV _sip._udp.example.com",
            "Nothing"
        ]
    );
    // With TLS: that alone, as it is preferred; the name is the one that was asked for.
    let tls = ["NAPTR example.com", "SRV _sips._tcp.example.com", "A/AAAA server1.example.com"];
    for uri in ["sip:user@example.com", "sips:user@example.com"] {
        let mut said = tls.map(str::to_owned).to_vec();
        said.extend(["TLS 192.0.2.1:5061 as example.com".to_owned(), "Nothing".to_owned()]);
        assert_eq!(all(zone, uri, &ALL, false), said);
    }
    assert_eq!(all(zone, "sips:user@example.com", &PLAIN, false), ["NAPTR example.com", "NoTransport"]);
}

/// RFC 3263 §4.1: without NAPTR the services are asked for, without those the addresses.
#[test]
fn without_rules_services_without_services_addresses() {
    let zone = "_sip._tcp.example.com SRV 0 0 5070 a.example.com\na.example.com A 192.0.2.1";
    assert_eq!(
        all(zone, "sip:example.com", &ALL, false),
        [
            "NAPTR example.com",
            "SRV _sips._tcp.example.com",
            "SRV _sip._udp.example.com",
            "SRV _sip._tcp.example.com",
            "A/AAAA a.example.com",
            "TCP 192.0.2.1:5070",
            "Nothing"
        ]
    );
    let bare = "example.com A 192.0.2.1";
    let asked = ["NAPTR example.com", "SRV _sip._udp.example.com", "SRV _sip._tcp.example.com"];
    let mut said = asked.map(str::to_owned).to_vec();
    said.extend(["A/AAAA example.com".to_owned(), "UDP 192.0.2.1:5060".to_owned(), "Nothing".to_owned()]);
    assert_eq!(all(bare, "sip:example.com", &PLAIN, false), said);
    assert_eq!(
        all(bare, "sip:example.com;transport=tcp", &PLAIN, false),
        ["SRV _sip._tcp.example.com", "A/AAAA example.com", "TCP 192.0.2.1:5060", "Nothing"]
    );
    assert_eq!(
        all(bare, "sips:example.com", &ALL, false),
        [
            "NAPTR example.com",
            "SRV _sips._tcp.example.com",
            "A/AAAA example.com",
            "TLS 192.0.2.1:5061 as example.com",
            "Nothing"
        ]
    );
    assert_eq!(
        all("", "sip:example.com;transport=wss", &ALL, false),
        ["SRV _sips._ws.example.com", "A/AAAA example.com", "Nothing"]
    );
}

/// RFC 2782: a lone root says that there is none; priorities are kept.
#[test]
fn a_service_that_is_refused_has_no_other_place() {
    let zone = "_sip._udp.example.com SRV 0 0 0 .\nexample.com A 192.0.2.1";
    assert_eq!(all(zone, "sip:example.com;transport=udp", &PLAIN, false), ["SRV _sip._udp.example.com", "Nothing"]);
    let zone = "_sip._udp.example.com SRV 20 0 5060 b.example.com\n_sip._udp.example.com SRV 10 0 5062 a.example.com\n\
                a.example.com A 192.0.2.1\nb.example.com A 192.0.2.2";
    assert_eq!(
        all(zone, "sip:example.com;transport=udp", &PLAIN, false)[2..],
        ["UDP 192.0.2.1:5062", "A/AAAA b.example.com", "UDP 192.0.2.2:5060", "Nothing"]
    );
}

/// RFC 3261 §18.1.1: what is large prefers TCP where there is a choice.
#[test]
fn large_requests_prefer_tcp() {
    let zone = "example.com NAPTR 10 50 s SIP+D2U _sip._udp.example.com
        example.com NAPTR 20 50 s SIP+D2T _sip._tcp.example.com
        _sip._udp.example.com SRV 0 0 5060 a.example.com
        _sip._tcp.example.com SRV 0 0 5060 a.example.com
        a.example.com A 192.0.2.1";
    let targets = |large| {
        let said = all(zone, "sip:example.com", &PLAIN, large);
        said.into_iter().filter(|line| line.ends_with(":5060")).collect::<Vec<_>>()
    };
    assert_eq!(targets(false), ["UDP 192.0.2.1:5060", "TCP 192.0.2.1:5060"]);
    assert_eq!(targets(true), ["TCP 192.0.2.1:5060", "UDP 192.0.2.1:5060"]);
}

/// What is not known is not the same as what is not there.
#[test]
fn servers_that_fail_say_nothing() {
    assert_eq!(all("example.com NAPTR !", "sip:example.com", &PLAIN, false), ["NAPTR example.com", "Unknown"]);
    let srv = "_sip._udp.example.com SRV ?\nexample.com A 192.0.2.1";
    assert_eq!(
        all(srv, "sip:example.com;transport=udp", &PLAIN, false),
        ["SRV _sip._udp.example.com", "Unknown"],
        "the domain's own addresses may be those of its web server"
    );
    let naptr = "example.com NAPTR ?\n_sip._udp.example.com SRV 0 0 5060 a.example.com\na.example.com A 192.0.2.1";
    assert_eq!(
        all(naptr, "sip:example.com", &PLAIN, false)[..4],
        ["NAPTR example.com", "SRV _sip._udp.example.com", "A/AAAA a.example.com", "UDP 192.0.2.1:5060"]
    );
    assert_eq!(all("host.example A ?", "sip:host.example:5060", &PLAIN, false), ["A/AAAA host.example", "Unknown"]);
}

/// Whatever a domain says, a search is short.
#[test]
fn a_search_is_bounded() {
    let mut zone = String::new();
    for n in 0..100 {
        zone.push_str(&format!("example.com NAPTR {n} 0 s SIP+D2U _{n}.example.com\n"));
        for m in 0..100 {
            zone.push_str(&format!("_{n}.example.com SRV {m} 0 5060 h{m}.example.com\n"));
        }
    }
    for n in 0..100 {
        for m in 0..100 {
            zone.push_str(&format!("h{n}.example.com A 192.0.{n}.{m}\n"));
        }
    }
    let uri = crate::Uri::parse("sip:example.com").expect("a URI");
    let place = Place::of(uri.sip().expect("a SIP URI")).expect("a place");
    let (mut search, mut tokens) = (Search::new(&place, &PLAIN, false), Tokens::seeded(1));
    let (mut asked, mut tried) = (0, 0);
    loop {
        match search.step() {
            Step::Ask(question) => {
                asked += 1;
                search.answered(&answer(&zone, &question), &mut tokens);
            }
            Step::Try(_) => tried += 1,
            Step::End(_) => break,
        }
    }
    assert_eq!((asked, tried), (MOST_QUESTIONS, 14 * MOST_ADDRESSES));
}

#[test]
fn a_place_is_what_a_uri_names() {
    let place = |text: &str| {
        let uri = crate::Uri::parse(text).expect("a URI");
        Place::of(uri.sip().expect("a SIP URI")).map(|place| (place.transport, place.secure))
    };
    assert_eq!(place("sip:a.example"), Some((None, false)));
    assert_eq!(place("sip:a.example;transport=TLS"), Some((Some(Transport::Tls), false)));
    assert_eq!(place("sips:a.example;transport=tcp"), Some((Some(Transport::Tls), true)));
    assert_eq!(place("sips:a.example;transport=ws"), Some((Some(Transport::Wss), true)));
    assert_eq!(place("sips:a.example;transport=udp"), None);
    assert_eq!(place("sip:a.example;transport=sctp"), None);
    let other = Answer { found: Ok(Records::Addresses([].into())), ttl: Duration::ZERO };
    assert_eq!(other.srv(), Err(Failure::Failed), "an answer to another question is none");
}
