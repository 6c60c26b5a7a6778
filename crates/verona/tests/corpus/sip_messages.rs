//! `sip` (RFC 4475, RFC 5118) and `sip-own`: one message each, by UDP or TCP, and a good one behind each.

use crate::table::{Case, Deviation, Outcome, cases, corpus, disagreement};
use crate::world::{Heard, PATIENCE, SIP_DOMAIN, World, XMPP_DOMAIN, body_of, loopback};
use rehearsal::wire::SipText;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use xml::Element;

/// What became of one case.
struct Played {
    outcome: Outcome,
    answers: Vec<SipText>,
    /// Bytes of all answers, for amplification.
    answered_bytes: usize,
    stanzas: Vec<Element>,
}

/// Every port that a message names: a response without rport goes to one of them (RFC 3261 §18.2.2).
fn ports(message: &[u8]) -> BTreeSet<u16> {
    let text = String::from_utf8_lossy(&message[..message.len().min(4000)]).into_owned();
    let number =
        |after: &str| after.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let named = text.split(':').skip(1).filter_map(number).filter(|port| *port != 0);
    named.chain([5060]).collect()
}

async fn sockets(address: IpAddr, message: &[u8]) -> Vec<UdpSocket> {
    let mut sockets = Vec::new();
    for port in ports(message) {
        // A low port may need a privilege that this test has not.
        if let Ok(socket) = UdpSocket::bind(SocketAddr::new(address, port)).await {
            sockets.push(socket);
        }
    }
    sockets
}

fn final_responses(datagrams: &[Vec<u8>]) -> Vec<SipText> {
    let read = |d: &Vec<u8>| SipText::parse(d).expect("the gateway sends SIP");
    datagrams.iter().map(read).filter(|m| m.status().is_none_or(|code| code >= 200)).collect()
}

async fn play_udp(world: &mut World, bytes: &[u8]) -> Played {
    let sockets = sockets(loopback(), bytes).await;
    sockets.last().unwrap().send_to(bytes, world.gateway.udp).await.unwrap();
    // One shard does one thing after the other: when the baseline is answered, the case is done with.
    let stanzas = world.baseline_from_sip(false).await;
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 65_536];
    if bytes.starts_with(b"SUBSCRIBE ") {
        // But a SUBSCRIBE is saved before it is answered, and that takes its time.
        let _ = tokio::time::timeout(PATIENCE, sockets.last().unwrap().readable()).await;
    }
    for socket in &sockets {
        while let Ok(n) = socket.try_recv(&mut buffer) {
            datagrams.push(buffer[..n].to_vec());
        }
    }
    let answers = final_responses(&datagrams);
    let outcome = answers.first().map_or(Outcome::Silence, |a| Outcome::Code(a.status().expect("an answer")));
    let answered_bytes = datagrams.iter().map(Vec::len).sum();
    Played { outcome, answers, answered_bytes, stanzas }
}

async fn play_tcp(world: &mut World, bytes: &[u8]) -> Played {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(loopback(), 0)).unwrap();
    let (mut read, mut write) = socket.connect(world.gateway.tcp).await.unwrap().into_split();
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&bytes).await;
        write
    });
    let mut answer = Vec::new();
    let mut buffer = vec![0; 65_536];
    let read_all = async {
        while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
            match read.read(&mut buffer).await {
                Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
    };
    let timely = tokio::time::timeout(Duration::from_secs(8), read_all).await.is_ok();
    let answers = final_responses(if answer.is_empty() { &[] } else { std::slice::from_ref(&answer) });
    let outcome = match answers.first() {
        Some(a) => Outcome::Code(a.status().expect("an answer")),
        None if timely => Outcome::Closed,
        None => Outcome::Silence,
    };
    drop(writing.await);
    let stanzas = world.baseline_from_sip(true).await;
    Played { outcome, answered_bytes: answer.len(), answers, stanzas }
}

/// What the refusals of RFC 3261 §21.4 must carry.
fn complete(answer: &SipText) -> bool {
    let has = |name| answer.header(name).is_some();
    match answer.status() {
        Some(405) => has("Allow"),
        Some(415) => has("Accept") || has("Accept-Encoding"),
        Some(420) => has("Unsupported"),
        Some(503) => has("Retry-After"),
        _ => true,
    }
}

/// The text of the stanza that a message with an accepted text/plain body must become.
fn text_of(message: &[u8]) -> Option<String> {
    let sip = SipText::parse(message)?;
    let kind = sip.header("Content-Type").unwrap_or("text/plain").to_ascii_lowercase();
    if !kind.starts_with("text/plain") || kind.contains("iso-8859-1") || sip.header("Content-Encoding").is_some() {
        return None;
    }
    let length = sip.header("Content-Length").and_then(|l| l.parse().ok()).unwrap_or(sip.body.len());
    let text = String::from_utf8(sip.body.get(..length)?.to_vec()).ok()?.replace("\r\n", "\n");
    Some(text.chars().map(|c| if xml::is_xml_char(c) { c } else { '\u{FFFD}' }).collect())
}

/// What holds for every case whatever the answer is.
fn invariants(case: &Case, played: &Played, problems: &mut Vec<String>) {
    let mut check = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("{}: {what}", case.name));
        }
    };
    // A SUBSCRIBE that is taken asks the contact.
    let is_message = case.bytes.starts_with(b"MESSAGE ") || case.bytes.starts_with(b"SUBSCRIBE ");
    let accepted = matches!(played.outcome, Outcome::Code(200..=299));
    let stanzas = usize::from(is_message && accepted);
    check(played.stanzas.len() == stanzas, &format!("{} stanzas in place of {stanzas}", played.stanzas.len()));
    let codes: BTreeSet<_> = played.answers.iter().map(|a| a.start.clone()).collect();
    check(codes.len() <= 1, &format!("several answers: {codes:?}"));
    check(played.answers.iter().all(complete), &format!("an incomplete answer: {:?}", played.answers));
    if let Some(stanza) = played.stanzas.first() {
        let from = stanza.attr("from").unwrap_or_default();
        check(from.starts_with(&format!("romeo@{SIP_DOMAIN}")), &format!("from is {from}"));
        if case.bytes.starts_with(b"SUBSCRIBE ") {
            return check(stanza.attr("type") == Some("subscribe"), &format!("{stanza:?}"));
        }
        if let Some(text) = text_of(&case.bytes) {
            let body = body_of(stanza).unwrap_or_default();
            check(body == text, &format!("the body is {body:?} in place of {text:?}"));
        }
        check(stanza.elements().filter(|e| e.name == "body").count() == 1, "not one body");
    }
}

/// What the tables say of single cases.
fn particulars(case: &Case, played: &Played, problems: &mut Vec<String>) {
    let stanza = played.stanzas.first();
    let attr = |name: &str| stanza.and_then(|s| s.attr(name)).unwrap_or_default().to_owned();
    let body = stanza.and_then(body_of).unwrap_or_default();
    let answer = |name: &str| played.answers.first().and_then(|a| a.header(name)).unwrap_or_default().to_owned();
    let mut check = |seen: String, wanted: &str| {
        if seen != wanted {
            problems.push(format!("{}: {seen:?} in place of {wanted:?}", case.name));
        }
    };
    match case.name.as_str() {
        "ok-message" => {
            check(attr("from"), "romeo@sip.example.net");
            check(body, "Hello");
        }
        "ok-lang" => check(stanza.and_then(Element::lang).unwrap_or_default().to_owned(), "cs"),
        "ruri-upper" => check(attr("to"), "juliet@xmpp.example.com"),
        "ruri-backslash-27" => check(attr("to"), "a\\5c27b@xmpp.example.com"),
        "gr-slash" => check(attr("from"), "romeo@sip.example.net/a/b@c"),
        "gr-nul" => check(attr("from"), "romeo@sip.example.net"),
        "body-latin1" => check(body, "café"),
        "branch-quote" => check(attr("id"), "z9hG4bK'q`~!"),
        "body-xml-inject" => check(stanza.map_or(0, |s| s.elements().count()).to_string(), "2"),
        "spoof-display-jid" => check(attr("from"), "romeo@sip.example.net"),
        "spoof-cpim-from" => check(attr("from"), "romeo@sip.example.net"),
        "require-unknown" => check(answer("Unsupported"), "teleport"),
        "bext01" => check(answer("Unsupported"), "nothingSupportsThis, nothingSupportsThisEither"),
        "ce-gzip" => check(answer("Accept-Encoding"), "identity"),
        "html-script" => {
            let mut bytes = Vec::new();
            stanza.iter().for_each(|s| xml::write(s, "jabber:component:accept", &mut bytes));
            let text = String::from_utf8(bytes).unwrap();
            for bad in ["<script", "onerror", "onclick", "javascript:", "<iframe", "<img"] {
                if text.contains(bad) {
                    problems.push(format!("html-script: {bad} in {text}"));
                }
            }
        }
        // THREATS: an unverified source gets no more bytes than it sent, but for what RFC 3261 and RFC 3581 add.
        "via-maddr-victim" | "via-sentby-victim" if played.answered_bytes > case.bytes.len() + 64 => {
            problems.push(format!("{}: {} bytes for {}", case.name, played.answered_bytes, case.bytes.len()));
        }
        _ => {}
    }
}

async fn play(folder: &str, known: &[Deviation]) {
    let Some(corpus) = corpus() else { return };
    let mut world = World::start(XMPP_DOMAIN, LIMITS).await;
    let mut problems = Vec::new();
    let cases = cases(&corpus.join(folder));
    for case in &cases {
        let tcp = case.row.get("transport") == "tcp";
        if case.name.ends_with("-clfixed") {
            // The repaired form of another case is the same transaction to the gateway that has just answered that one.
            world = World::start(XMPP_DOMAIN, LIMITS).await;
        }
        let mut played = match tcp {
            true => play_tcp(&mut world, &case.bytes).await,
            false => play_udp(&mut world, &case.bytes).await,
        };
        // A SUBSCRIBE is saved before anything comes of it, and that takes its time.
        let taken = case.bytes.starts_with(b"SUBSCRIBE ") && matches!(played.outcome, Outcome::Code(200..=299));
        if taken && played.stanzas.is_empty() {
            let heard = world.link.next().await;
            played.stanzas.extend(if let Heard::Stanza(stanza) = heard { Some(stanza) } else { None });
        }
        problems.extend(disagreement(case, played.outcome, known));
        invariants(case, &played, &mut problems);
        particulars(case, &played, &mut problems);
        // Every answer reached nobody but the source. To an address where the gateway may not be led to, a NOTIFY goes by the proxy.
        let notified = |r: &SipText| case.name == "sub-contact-victim" && r.start.starts_with("NOTIFY ");
        let others = world.baseline_from_xmpp().await.into_iter().filter(|r| !notified(r));
        others.for_each(|r| problems.push(format!("{}: to SIP: {r}", case.name)));
    }
    for stale in known.iter().filter(|d| !cases.iter().any(|c| c.name == d.case)) {
        problems.push(format!("{} is no case", stale.case));
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
    assert_eq!(world.gateway.metric("verona_panics_total"), 0.0);
    assert!(cases.len() > 60, "the corpus is whole");
}

/// What ends an unfinished message soon.
const LIMITS: &str = "half_message = \"1s\"\n";

const NO_SESSIONS: &str =
    "INVITE is not served yet: 405 with Allow, before anything else is looked at (RFC 3261 §8.2.1)";
const NO_DIALOGS: &str = "BYE is not served yet, nor can there be a dialog: 405 with Allow (RFC 3261 §8.2.1)";
const NO_DIGEST: &str =
    "a peer is known by its source, credentials are not looked at: the sender is what its source allows";

const fn deviation(case: &'static str, code: u16, why: &'static str) -> Deviation {
    Deviation { case, seen: Outcome::Code(code), why }
}

const RFC_CASES: &[Deviation] = &[
    deviation("wsinv", 405, NO_SESSIONS),
    deviation("esc01", 405, NO_SESSIONS),
    deviation("longreq", 405, NO_SESSIONS),
    deviation("baddate", 405, NO_SESSIONS),
    deviation("invut", 405, NO_SESSIONS),
    deviation("sdp01", 405, NO_SESSIONS),
    deviation("v6-ipv6-in-sdp", 405, NO_SESSIONS),
    deviation("v6-ipv6-in-sdp-clfixed", 405, NO_SESSIONS),
    deviation("v6-mult-ip-in-sdp", 405, NO_SESSIONS),
    deviation("v6-mult-ip-in-sdp-clfixed", 405, NO_SESSIONS),
    deviation("v6-ipv4-mapped-ipv6", 405, NO_SESSIONS),
    deviation("v6-ipv4-mapped-ipv6-clfixed", 405, NO_SESSIONS),
    deviation("v6-via-received-param-with-delim", 405, NO_DIALOGS),
    deviation("v6-mult-ip-in-header", 405, NO_DIALOGS),
    deviation("mpart01", 403, "its From is in a domain that this source may not send for"),
];

const OWN_CASES: &[Deviation] =
    &[deviation("auth-empty-nonce", 200, NO_DIGEST), deviation("auth-uri-mismatch", 200, NO_DIGEST)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_messages_of_the_rfcs_if_the_corpus_is_there() {
    play("sip", RFC_CASES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_messages_for_a_gateway_if_the_corpus_is_there() {
    play("sip-own", OWN_CASES).await;
}

/// What breaks the framing of a stream: 400 if it can be answered, and the connection is closed in any case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_framing_closes_the_connection_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let mut world = World::start(XMPP_DOMAIN, LIMITS).await;
    let all: Vec<Case> = cases(&corpus.join("sip")).into_iter().chain(cases(&corpus.join("sip-own"))).collect();
    for name in ["clerr", "ncl", "mcl01", "cl-hex", "cl-two-equal", "cl-list", "cl-2p32", "cl-missing-tcp", "http-get"]
    {
        let case = all.iter().find(|c| c.name == name).expect(name);
        let mut stream = tokio::net::TcpStream::connect(world.gateway.tcp).await.unwrap();
        stream.write_all(&case.bytes).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{name}: the connection stays open");
        let status = SipText::parse(&answer).and_then(|a| a.status());
        assert!(matches!(status, None | Some(400 | 413 | 513)), "{name}: {status:?}");
        assert_eq!(status.is_none(), ["clerr", "http-get"].contains(&name), "{name}: {status:?}");
        assert_eq!(world.baseline_from_sip(true).await, [], "{name}");
    }
}
