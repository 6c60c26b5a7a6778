//! The header fields of digests, on both sides.

use super::split;
use base::{HashKey, Time, Tokens};
use sip::digest::{Account, AccountId, Algorithm, Secret, Server, User, Verdict, Wallet, server};
use sip::header::Credentials;
use sip::{Method, Name, Request, Response, Uri};
use std::net::{IpAddr, Ipv4Addr};

const ACCOUNT: AccountId = AccountId(1);
const REALM: &str = "sip.example";

/// The first byte says what the rest is: challenges to a client, one in each line; credentials for a server, in which `NONCE` stands for one of
/// its own; or a change to credentials that are right. A client answers in what a server can read, with nothing of its password, and never with less
/// than it was told to. Nobody gets in with what is made up, and nobody twice with one thing.
pub fn digest(data: &[u8]) {
    let (kind, rest) = split(data);
    let text = String::from_utf8_lossy(rest);
    match kind % 3 {
        0 => challenges(&text, kind / 3),
        1 => made_up(&text),
        _ => changed(rest),
    }
}

/// Where all of it comes from.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn request() -> Request {
    Request::new(Method::Message, Uri::parse("sip:bob@sip.example").expect("a URI"))
}

fn server() -> Server {
    let config = server::Config { realm: REALM.into(), ..server::Config::default() };
    Server::new(config, [7; 32], HashKey::new(1, 2))
}

fn wallet(weakest: Algorithm) -> Wallet {
    let mut wallet = Wallet::new(HashKey::new(3, 4));
    wallet.set(ACCOUNT, Account { weakest, ..Account::new("alice", "pass-word") });
    wallet
}

fn alice(user: User<'_>, algorithm: Algorithm) -> Option<((), Secret)> {
    (user == User::Named("alice")).then(|| ((), Secret::new(algorithm, "alice", REALM, "pass-word")))
}

fn challenges(text: &str, weakest: u8) {
    let weakest = Algorithm::ALL[usize::from(weakest) % 3];
    let (mut wallet, mut tokens) = (wallet(weakest), Tokens::seeded(1));
    let mut request = request();
    let mut response = Response::new(401, "Unauthorized");
    for line in text.lines() {
        response.headers.push(Name::WwwAuthenticate, line);
    }
    let answers = wallet.challenged(ACCOUNT, &request, &response);
    wallet.authorize(ACCOUNT, &mut request, &mut tokens);
    let lines: Vec<&str> = request.headers.all(Name::Authorization).collect();
    assert_eq!(lines.is_empty(), !answers, "{lines:?}");
    assert_eq!(wallet.fault(ACCOUNT).is_none(), answers);
    for line in lines {
        let given = Credentials::parse(line).expect("what we write can be read");
        assert!(!line.contains("pass-word"), "{line}");
        let algorithm = Algorithm::named(given.get("algorithm").unwrap_or("MD5")).expect("one that we know");
        assert!(algorithm >= weakest, "{line}");
        assert_eq!(given.get("response").map(str::len), Some(algorithm.digits()));
    }
}

fn made_up(text: &str) {
    let (mut server, mut tokens) = (server(), Tokens::seeded(1));
    let nonce = server
        .challenges(Time::ZERO, SOURCE, &mut tokens, false)
        .next()
        .and_then(|c| c.get("nonce").map(str::to_owned));
    let mut request = request();
    for line in text.replace("NONCE", &nonce.expect("a nonce")).lines() {
        request.headers.push(Name::Authorization, line);
    }
    let verdict = server.check(Time::ZERO, SOURCE, &request, alice);
    assert!(!matches!(verdict, Verdict::Valid { .. } | Verdict::Stale { replayed: true }), "{verdict:?}");
    assert_eq!(server.open(), 0);
}

fn changed(data: &[u8]) {
    let (mut server, mut wallet, mut tokens) = (server(), wallet(Algorithm::Md5), Tokens::seeded(1));
    let mut request = request();
    let refusal = server.challenge(Time::ZERO, SOURCE, &mut tokens, &request, false);
    assert!(wallet.challenged(ACCOUNT, &request, &refusal));
    wallet.authorize(ACCOUNT, &mut request, &mut tokens);
    let mut line = request.headers.get(Name::Authorization).expect("credentials").as_bytes().to_vec();
    // Three bytes say where, and how much of what follows stands there instead.
    for change in data.chunks(8) {
        let at = usize::from(change[0]) * 2 % line.len();
        let end = line.len().min(at + usize::from(change.get(1).copied().unwrap_or(0) % 16));
        line.splice(at..end, change.iter().skip(2).copied());
        if line.is_empty() {
            return;
        }
    }
    request.headers.set(Name::Authorization, String::from_utf8_lossy(&line));
    if let Verdict::Valid { .. } = server.check(Time::ZERO, SOURCE, &request, alice) {
        assert_eq!(server.check(Time::ZERO, SOURCE, &request, alice), Verdict::Stale { replayed: true });
    }
}
