//! Passwords at the door (acceptance 3): credentials that were overheard, made up, bent or somebody else's, at a gateway in a process of its own.
//! Each is refused with what RFC 7616 and RFC 3261 §22 want, and leaves nothing behind: no contact, no message.

use crate::world::{Heard, Link, PATIENCE, SIP_DOMAIN, XMPP_DOMAIN, XmppEnd};
use base::digest::{Algorithm, Proof, Secret};
use rehearsal::peers::{Gateway, Place, Settings};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_verona");
const REGISTRAR: &str = "sip:sip.example.net";
const NURSE: &str = "sip:nurse@xmpp.example.com";

/// A gateway where romeo (password "rose") and tybalt ("cat") register, and a socket that says anything.
struct Site {
    gateway: Gateway,
    link: Link,
    xmpp: XmppEnd,
    socket: UdpSocket,
    count: u32,
    place: Place,
}

/// A final response.
struct Answer {
    code: u16,
    text: String,
}

impl Answer {
    fn stale(&self) -> bool {
        self.text.contains("stale=true")
    }

    /// The nonce of its challenge.
    fn nonce(&self) -> String {
        let (_, rest) = self.text.split_once("nonce=\"").expect("a challenge");
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// What somebody says of himself.
#[derive(Clone)]
struct Claim {
    algorithm: Algorithm,
    user: &'static str,
    password: &'static str,
    realm: &'static str,
    nonce: String,
    /// None: as RFC 2069 had it.
    nc: Option<u32>,
    cnonce: &'static str,
}

impl Claim {
    fn romeo(nonce: &str, nc: u32) -> Claim {
        let algorithm = Algorithm::Sha256;
        let nonce = nonce.to_owned();
        Claim { algorithm, user: "romeo", password: "rose", realm: SIP_DOMAIN, nonce, nc: Some(nc), cnonce: "0a4f" }
    }

    /// The Authorization that proves it for this method and URI.
    fn proof(&self, method: &str, uri: &str) -> String {
        let Claim { algorithm, user, password, realm, nonce, nc, cnonce } = self;
        let proof = Proof { nonce, count: nc.map(|nc| (nc, *cnonce)) };
        let response = Secret::new(*algorithm, user, realm, password).request_digest(method, uri, &proof);
        let count = nc.map(|nc| format!(", qop=auth, nc={nc:08x}, cnonce=\"{cnonce}\"")).unwrap_or_default();
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={}, response=\"{}\"{count}",
            algorithm.name(),
            response.as_str()
        )
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Register,
    Message,
}

impl Kind {
    fn method(self) -> &'static str {
        match self {
            Kind::Register => "REGISTER",
            Kind::Message => "MESSAGE",
        }
    }

    fn uri(self) -> &'static str {
        match self {
            Kind::Register => REGISTRAR,
            Kind::Message => NURSE,
        }
    }

    fn other(self) -> Kind {
        match self {
            Kind::Register => Kind::Message,
            Kind::Message => Kind::Register,
        }
    }
}

/// Where a request has its branch.
const BRANCH: &str = "@BRANCH@";

impl Site {
    async fn start(name: &str, more: &str) -> Site {
        let (place, xmpp) = (Place::new(name), XmppEnd::start().await);
        let settings = Settings {
            domains: vec![XMPP_DOMAIN.to_owned()],
            components: vec![SIP_DOMAIN.to_owned()],
            server: xmpp.address(),
            proxy: place.free(),
            dns: None,
            proxied: false,
            transport: "udp",
            sockets: Vec::new(),
            peer: "source = \"127.0.0.0/8\"".to_owned(),
            store: "redb:verona.redb",
            open: vec!["127.0.0.0/8".to_owned()],
            federation: None,
            more_sip: format!("[sip.registrar]\ndomains = [\"{SIP_DOMAIN}\"]\nmin_expires = \"1s\"\n{more}"),
            more: String::new(),
        };
        // It is ready when its stream is, so both begin at once.
        let start = tokio::task::spawn_blocking(move || {
            let gateway = Gateway::start(&place, BINARY, &settings);
            (gateway, place)
        });
        let link = xmpp.up().await;
        let (gateway, place) = start.await.expect("the gateway starts");
        let socket = UdpSocket::bind(place.free()).await.expect("the place has the address");
        let site = Site { gateway, link, xmpp, socket, count: 0, place };
        for (user, password) in [("romeo", "rose\n"), ("tybalt", "cat\n")] {
            let said = site.account(&["add", &format!("{user}@{SIP_DOMAIN}")], password);
            assert!(said.contains("is an account"), "{said}");
        }
        site
    }

    /// `verona account`, while the gateway runs.
    fn account(&self, arguments: &[&str], input: &str) -> String {
        let (what, rest) = arguments.split_first().expect("a command");
        let mut command = Command::new(BINARY);
        command.args(["account", what, "-c"]).arg(self.gateway.config()).args(rest);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program is there");
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned()
    }

    /// A request from `from` as bytes, but for its branch.
    fn request(&mut self, kind: Kind, uri: &str, from: &str, authorization: Option<&str>) -> String {
        self.count += 1;
        let (method, at, n) = (kind.method(), self.socket.local_addr().expect("it is bound"), self.count);
        let from = format!("sip:{from}@{SIP_DOMAIN}");
        let to = if kind == Kind::Register { from.as_str() } else { NURSE };
        let contact = match kind {
            Kind::Register => format!("Contact: <sip:romeo@{at}>;expires=600\r\n"),
            Kind::Message => "Content-Type: text/plain\r\n".to_owned(),
        };
        let authorization = authorization.map(|text| format!("Authorization: {text}\r\n")).unwrap_or_default();
        let body = if kind == Kind::Message { format!("forged {n}") } else { String::new() };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch={BRANCH}\r\nMax-Forwards: 70\r\nFrom: <{from}>;tag=f{n}\r\n\
             To: <{to}>\r\nCall-ID: digest-{n}\r\nCSeq: {n} {method}\r\n{contact}{authorization}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// romeo's, with this proof.
    fn claimed(&mut self, kind: Kind, claim: &Claim) -> String {
        let proof = claim.proof(kind.method(), kind.uri());
        self.request(kind, kind.uri(), "romeo", Some(&proof))
    }

    /// Sends a request on a transaction of its own.
    async fn send(&mut self, request: &str) -> Answer {
        let at = self.socket.local_addr().expect("it is bound");
        let socket = std::mem::replace(&mut self.socket, UdpSocket::bind((at.ip(), 0)).await.expect("a socket"));
        let answer = self.send_from(&socket, request).await;
        self.socket = socket;
        answer
    }

    async fn send_from(&mut self, socket: &UdpSocket, request: &str) -> Answer {
        self.count += 1;
        let branch = format!("z9hG4bKdigest{}", self.count);
        let bytes = request.replace(BRANCH, &branch);
        socket.send_to(bytes.as_bytes(), self.gateway.sip()).await.expect("it goes out");
        let mut buffer = vec![0; 65_536];
        loop {
            let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").expect("a datagram");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
            if text.contains(&format!("branch={branch}")) && code >= 200 {
                return Answer { code, text };
            }
        }
    }

    /// As [`send`](Site::send), over a connection of its own.
    async fn send_tcp(&mut self, request: &str) -> Answer {
        self.count += 1;
        let bytes = request.replace("/UDP ", "/TCP ").replace(BRANCH, &format!("z9hG4bKdigest{}", self.count));
        // The same address as ever: a challenge is good nowhere else.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(self.place.ip().into(), 0)).expect("the place has the address");
        let mut stream = socket.connect(self.gateway.sip()).await.expect("it listens");
        stream.write_all(bytes.as_bytes()).await.expect("it goes out");
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer").expect("no end before it"));
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { code, text }
    }

    /// A nonce that nobody has used.
    async fn nonce(&mut self) -> String {
        let bare = self.request(Kind::Message, NURSE, "romeo", None);
        let answer = self.send(&bare).await;
        assert!(answer.code == 401 && !answer.stale(), "{}", answer.text);
        answer.nonce()
    }

    /// A request that is all right, with the first use of a nonce, and what comes of it undone: this is what somebody has overheard.
    async fn overheard(&mut self, kind: Kind, nonce: &str) -> String {
        let request = self.claimed(kind, &Claim::romeo(nonce, 1));
        let answer = self.send(&request).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        match kind {
            Kind::Message => self.hears(&request).await,
            Kind::Register => {
                assert!(answer.text.contains("Contact: <sip:romeo@"), "{}", answer.text);
                self.forget(nonce, 2).await;
            }
        }
        request
    }

    /// romeo takes his contact away.
    async fn forget(&mut self, nonce: &str, nc: u32) {
        let gone = self.claimed(Kind::Register, &Claim::romeo(nonce, nc)).replace("expires=600", "expires=0");
        let answer = self.send(&gone).await;
        assert!(answer.code == 200 && !answer.text.contains("Contact: "), "{}", answer.text);
    }

    /// The next that XMPP hears is this message.
    async fn hears(&mut self, request: &str) {
        let text = request.rsplit("\r\n\r\n").next().unwrap_or_default();
        let Heard::Stanza(stanza) = self.link.next().await else { panic!("no stanza for {text}") };
        assert_eq!(crate::world::body_of(&stanza).as_deref(), Some(text));
    }

    /// Nothing has come of what was refused: the next that XMPP hears is what is said now, and no contact is there.
    async fn nothing_is_left(&mut self, why: &str) {
        let nonce = self.nonce().await;
        let good = self.claimed(Kind::Message, &Claim::romeo(&nonce, 1));
        let answer = self.send(&good).await;
        assert_eq!(answer.code, 200, "{why}: {}", answer.text);
        self.hears(&good).await;
        let (_, page) = self.gateway.get("/metrics").expect("the metrics");
        assert!(page.contains("\nverona_phone_contacts 0\n"), "{why}: {page}");
    }

    /// What the operator sees of romeo.
    fn listed(&self) -> serde_json::Value {
        let said = self.account(&["list", "--json"], "");
        let mut lines = said.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        let is_romeo = |account: &serde_json::Value| account["account"] == format!("romeo@{SIP_DOMAIN}");
        lines.find(is_romeo).expect("romeo is listed")
    }
}

/// What a refusal says: its code, and of a 401 whether it was the nonce alone.
fn expect(why: &str, answer: &Answer, code: u16, stale: bool) {
    assert_eq!((answer.code, answer.stale()), (code, stale), "{why}: {}", answer.text);
    assert_eq!(answer.text.contains("WWW-Authenticate: "), code == 401, "{why}: {}", answer.text);
    assert!(!answer.text.contains("Authentication-Info"), "{why}: {}", answer.text);
    assert!(code != 401 || answer.nonce().len() == 64, "{why}: {}", answer.text);
}

async fn used_again(kind: Kind) {
    let mut site = Site::start(&format!("digest-again-{}", kind.method()), "").await;
    let nonce = site.nonce().await;
    let overheard = site.overheard(kind, &nonce).await;
    // Byte by byte on another transaction: as long as the first one is remembered it is a request that has come by two ways (RFC 3261 §8.2.2.2).
    let answer = site.send(&overheard).await;
    expect("the same bytes", &answer, 482, false);
    site.nothing_is_left("the same bytes").await;
    let elsewhere = UdpSocket::bind(site.place.free()).await.expect("a socket");
    let answer = site.send_from(&elsewhere, &overheard).await;
    expect("the same bytes from elsewhere", &answer, 482, false);
    site.nothing_is_left("the same bytes from elsewhere").await;
    // What digest does not cover is changed.
    let bent =
        overheard.replace("tag=f", "tag=g").replace("Call-ID: digest-", "Call-ID: bent-").replace("forged", "forge!");
    let answer = site.send(&bent).await;
    expect("another Call-ID and body", &answer, 401, true);
    site.nothing_is_left("another Call-ID and body").await;
    let bent = bent.replace("Call-ID: bent-", "Call-ID: turned-");
    let answer = site.send_from(&elsewhere, &bent).await;
    expect("another Call-ID from elsewhere", &answer, 401, true);
    site.nothing_is_left("another Call-ID from elsewhere").await;
    let answer = site.send_tcp(&bent.replace("Call-ID: turned-", "Call-ID: tcp-")).await;
    expect("another Call-ID over TCP", &answer, 401, true);
    site.nothing_is_left("another Call-ID over TCP").await;
    // As well over TCP.
    let first = site.claimed(kind, &Claim::romeo(&nonce, 3));
    assert_eq!(site.send_tcp(&first).await.code, 200);
    match kind {
        Kind::Message => site.hears(&first).await,
        Kind::Register => site.forget(&nonce, 4).await,
    }
    let answer = site.send_tcp(&first).await;
    expect("the same bytes over TCP", &answer, 482, false);
    site.nothing_is_left("the same bytes over TCP").await;
    // Who has read a challenge that somebody else was given, and knows the password, is not there where it was sent: nothing will be sent to him.
    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let strange = site.claimed(kind, &Claim::romeo(&nonce, 5));
    let answer = site.send_from(&elsewhere, &strange).await;
    expect("a challenge of another address", &answer, 401, true);
    site.nothing_is_left("a challenge of another address").await;
    // Its owner counts wrongly.
    let again = site.claimed(kind, &Claim { cnonce: "beef", ..Claim::romeo(&nonce, 1) });
    let answer = site.send(&again).await;
    expect("the same count for something else", &answer, 401, true);
    site.nothing_is_left("the same count for something else").await;
    let far = site.claimed(Kind::Message, &Claim::romeo(&nonce, 200));
    assert_eq!(site.send(&far).await.code, 200);
    site.hears(&far).await;
    let behind = site.claimed(Kind::Message, &Claim::romeo(&nonce, 120));
    let answer = site.send(&behind).await;
    expect("a count far behind", &answer, 401, true);
    site.nothing_is_left("a count far behind").await;
    // Whoever does not count has a nonce once (RFC 7616 §3.4.3 wants a count of all; older phones have none).
    let nonce = site.nonce().await;
    let once = site.claimed(Kind::Message, &Claim { nc: None, ..Claim::romeo(&nonce, 1) });
    assert_eq!(site.send(&once).await.code, 200);
    site.hears(&once).await;
    let answer = site.send(&once.replace("Call-ID: digest-", "Call-ID: once-")).await;
    expect("without a count", &answer, 401, true);
    site.nothing_is_left("without a count").await;
    let late = site.claimed(Kind::Message, &Claim::romeo(&nonce, 7));
    let answer = site.send(&late).await;
    expect("a count after none", &answer, 401, true);
    site.nothing_is_left("a count after none").await;
    assert_eq!(site.listed()["contacts"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_was_overheard_serves_nobody() {
    used_again(Kind::Register).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_overheard_is_not_said_again() {
    used_again(Kind::Message).await;
}

/// A key that a process has made dies with it: what was overheard before is worth nothing after, although nobody remembers the counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_overheard_before_a_restart_serves_nobody() {
    let mut site = Site::start("digest-restart", "").await;
    let nonce = site.nonce().await;
    let (register, message) =
        (site.overheard(Kind::Register, &nonce).await, site.claimed(Kind::Message, &Claim::romeo(&nonce, 9)));
    let Site { mut gateway, link, xmpp, socket, count, place } = site;
    drop(link);
    let restart = tokio::task::spawn_blocking(move || {
        gateway.restart(&place);
        (gateway, place)
    });
    let link = xmpp.up().await;
    let (gateway, place) = restart.await.expect("it starts again");
    let mut site = Site { gateway, link, xmpp, socket, count, place };
    for (why, request) in [("a registration", register), ("a message that was never sent", message)] {
        let answer = site.send(&request).await;
        expect(why, &answer, 401, true);
        site.nothing_is_left(why).await;
    }
}

async fn made_up(kind: Kind) {
    let mut site = Site::start(&format!("digest-made-{}", kind.method()), "").await;
    let nonce = site.nonce().await;
    let (method, uri) = (kind.method(), kind.uri());
    let claim = Claim::romeo(&nonce, 1);
    let good = claim.proof(method, uri);
    let swapped = |digit: &str| if digit == "0" { "1" } else { "0" };
    let bent = |at: usize| format!("{}{}{}", &nonce[..at], swapped(&nonce[at..=at]), &nonce[at + 1..]);
    let of = |claim: Claim| claim.proof(method, uri);
    let cases: Vec<(&str, Option<String>, u16, bool)> = vec![
        ("nothing", None, 401, false),
        ("a nonce out of the air", Some(of(Claim { nonce: "5".repeat(64), ..claim.clone() })), 401, true),
        ("a nonce that is no number", Some(of(Claim { nonce: "x".repeat(64), ..claim.clone() })), 401, true),
        ("a short nonce", Some(of(Claim { nonce: nonce[..32].to_owned(), ..claim.clone() })), 401, true),
        ("a nonce of another moment", Some(of(Claim { nonce: bent(15), ..claim.clone() })), 401, true),
        ("a nonce with another code", Some(of(Claim { nonce: bent(63), ..claim.clone() })), 401, true),
        ("another password", Some(of(Claim { password: "thorn", ..claim.clone() })), 401, false),
        ("an empty password", Some(of(Claim { password: "", ..claim.clone() })), 401, false),
        ("nobody's name", Some(of(Claim { user: "rosaline", ..claim.clone() })), 401, false),
        ("another realm", Some(of(Claim { realm: "elsewhere.example", ..claim.clone() })), 401, false),
        (
            "a hash that nobody has asked for",
            Some(of(Claim { algorithm: Algorithm::Sha512Part256, ..claim.clone() })),
            401,
            false,
        ),
        (
            "another account",
            Some(of(Claim { user: "tybalt", password: "cat", nc: Some(9), ..claim.clone() })),
            403,
            false,
        ),
        ("for another method", Some(claim.proof(kind.other().method(), uri)), 401, false),
        ("for another user", Some(claim.proof(method, "sip:tybalt@xmpp.example.com")), 400, false),
        ("for another domain", Some(claim.proof(method, "sip:elsewhere.example")), 400, false),
        ("no count at all", Some(good.replace("nc=00000001", "nc=00000000")), 400, false),
        ("a count that is none", Some(good.replace("nc=00000001", "nc=1")), 400, false),
        ("another count than was signed", Some(good.replace("nc=00000001", "nc=00000002")), 401, false),
        ("another quality", Some(good.replace("qop=auth", "qop=auth-int")), 400, false),
        ("no quality, as if it had been taken away", Some(good.replace("qop=auth, ", "")), 401, false),
        ("one parameter twice", Some(format!("{good}, username=\"tybalt\"")), 400, false),
        ("no response", Some(good.replace("response=", "respond=")), 400, false),
        ("another hash than was signed", Some(good.replace("SHA-256", "MD5")), 401, false),
        ("another scheme", Some("Bearer token=\"cm9tZW86cm9zZQ\"".to_owned()), 401, false),
        ("what SIP has no grammar for", Some("Basic cm9tZW86cm9zZQ==".to_owned()), 400, false),
        ("no grammar", Some("Digest ,,=,\"".to_owned()), 400, false),
    ];
    for (why, authorization, code, stale) in cases {
        let request = site.request(kind, uri, "romeo", authorization.as_deref());
        let answer = site.send(&request).await;
        expect(why, &answer, code, stale);
        site.nothing_is_left(why).await;
    }
    // For all that, the nonce is as good as it was: only tybalt has used it, once.
    site.overheard(kind, &nonce).await;
    assert_eq!(site.listed()["contacts"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_registers_with_what_is_made_up() {
    made_up(Kind::Register).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_with_what_is_made_up() {
    made_up(Kind::Message).await;
}

/// Registering is for oneself (RFC 3261 §10.3), whatever password one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_for_its_owner_alone() {
    let mut site = Site::start("digest-owner", "").await;
    let nonce = site.nonce().await;
    let mut count = 0;
    for (why, from, change, code) in [
        ("as somebody else", "tybalt", None, 403),
        ("for somebody else", "romeo", Some(("To: <sip:romeo@", "To: <sip:tybalt@")), 403),
        ("for nobody", "romeo", Some(("To: <sip:romeo@", "To: <sip:rosaline@")), 403),
        (
            "for a user of another domain",
            "romeo",
            Some(("To: <sip:romeo@sip.example.net>", "To: <sip:romeo@xmpp.example.com>")),
            403,
        ),
    ] {
        count += 1;
        let proof = Claim::romeo(&nonce, count).proof("REGISTER", REGISTRAR);
        let mut request = site.request(Kind::Register, REGISTRAR, from, Some(&proof));
        if let Some((old, new)) = change {
            assert!(request.contains(old));
            request = request.replace(old, new);
        }
        let answer = site.send(&request).await;
        expect(why, &answer, code, false);
        site.nothing_is_left(why).await;
    }
}

/// RFC 7616 §3.3: a nonce that is too old is said to be, and the right answer to the new one is taken without another question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_challenge_is_answered_in_vain() {
    let mut site = Site::start("digest-old", "nonce_lifetime = \"5s\"\n").await;
    let idle = site.nonce().await;
    let used = site.nonce().await;
    let (mut count, end) = (0, Instant::now() + PATIENCE);
    let refused = loop {
        count += 1;
        let request = site.claimed(Kind::Message, &Claim::romeo(&used, count));
        let answer = site.send(&request).await;
        if answer.code != 200 {
            break answer;
        }
        site.hears(&request).await;
        assert!(Instant::now() < end, "it grows old");
        sleep(Duration::from_millis(250)).await;
    };
    expect("a nonce that was used", &refused, 401, true);
    assert!(count > 1, "it was good once");
    for kind in [Kind::Register, Kind::Message] {
        let request = site.claimed(kind, &Claim::romeo(&idle, 1));
        let answer = site.send(&request).await;
        expect("a nonce that nobody has used", &answer, 401, true);
        let nonce = answer.nonce();
        site.nothing_is_left("a nonce that nobody has used").await;
        site.overheard(kind, &nonce).await;
    }
}
