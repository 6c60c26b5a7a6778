//! Client and server against each other, and each against what others send.

use super::server::Config;
use super::*;
use crate::header::Credentials;
use crate::message::{Request, Response};
use crate::method::Method;
use crate::uri::Uri;
use base::{HashKey, Str, Time, Tokens};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const REALM: &str = "sip.example";
const ID: AccountId = AccountId(7);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

struct World {
    server: Server,
    wallet: Wallet,
    tokens: Tokens,
    now: Time,
}

fn world(algorithms: &[Algorithm]) -> World {
    let config = Config { realm: REALM.into(), algorithms: algorithms.to_vec(), ..Config::default() };
    let mut wallet = Wallet::new(HashKey::new(1, 2));
    wallet.set(ID, account("alice", "secret"));
    let server = Server::new(config, [7; 32], HashKey::new(3, 4));
    World { server, wallet, tokens: Tokens::seeded(1), now: Time::from_secs(1000) }
}

fn account(username: &str, password: &str) -> Account {
    Account::new(username, password)
}

fn request(method: Method) -> Request {
    Request::new(method, Uri::parse("sip:bob@sip.example").unwrap())
}

/// Only alice is known here.
fn alice(user: User<'_>, algorithm: Algorithm) -> Option<(&'static str, Secret)> {
    let is = match user {
        User::Named(name) => name == "alice",
        User::Hashed(digits) => algorithm.userhash("alice", REALM).is(digits),
    };
    is.then(|| ("alice", Secret::new(algorithm, "alice", REALM, "secret")))
}

impl World {
    fn check(&mut self, request: &Request) -> Verdict<&'static str> {
        self.server.check(self.now, SOURCE, request, alice)
    }

    fn refuse(&mut self, request: &Request, stale: bool) -> Response {
        self.server.challenge(self.now, SOURCE, &mut self.tokens, request, stale)
    }

    /// A request with credentials for a challenge of its own.
    fn authorized(&mut self, method: Method) -> Request {
        let mut request = request(method);
        let refusal = self.refuse(&request, false);
        assert!(self.wallet.challenged(ID, &request, &refusal));
        self.wallet.authorize(ID, &mut request, &mut self.tokens);
        request
    }
}

fn changed(request: &Request, name: &'static str, value: &str) -> Request {
    let mut request = request.clone();
    let mut credentials = Credentials::parse(request.headers.get(Name::Authorization).unwrap()).unwrap();
    credentials.set(name, value, true);
    request.headers.set(Name::Authorization, credentials);
    request
}

fn is_valid(verdict: &Verdict<&'static str>) -> bool {
    matches!(verdict, Verdict::Valid { who: "alice", .. })
}

#[test]
fn each_hash_is_asked_for_and_given() {
    for algorithm in Algorithm::ALL {
        let mut world = world(&[algorithm]);
        assert_eq!(world.check(&request(Method::Message)), Verdict::Missing);
        let request = world.authorized(Method::Message);
        let given = request.headers.get(Name::Authorization).unwrap().to_owned();
        assert!(given.contains(&format!("algorithm={algorithm}, qop=auth, nc=00000001")), "{given}");
        let Verdict::Valid { who: "alice", info } = world.check(&request) else { panic!("{given}") };
        assert!(info.starts_with("qop=auth, rspauth=\""), "{info}");
    }
}

/// RFC 8760 §2.3, §2.4: the server's order, and MD5 never where there is another one.
#[test]
fn several_challenges_stand_in_order_and_the_first_is_answered() {
    let mut world = world(&Algorithm::ALL);
    let refusal = world.refuse(&request(Method::Message), false);
    let lines: Vec<&str> = refusal.headers.all(Name::WwwAuthenticate).collect();
    let order: Vec<bool> =
        lines.iter().zip(Algorithm::ALL).map(|(line, a)| line.contains(&format!("algorithm={a},"))).collect();
    assert_eq!(order, [true; 3], "{lines:?}");
    assert!(world.authorized(Method::Message).headers.get(Name::Authorization).unwrap().contains("algorithm=SHA-256"));
    world = self::world(&[Algorithm::Md5, Algorithm::Sha512Part256, Algorithm::Sha256]);
    let given = world.authorized(Method::Message);
    assert!(given.headers.get(Name::Authorization).unwrap().contains("algorithm=SHA-512-256"));
}

#[test]
fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let mut world = world(&Algorithm::ALL);
    for wrong in [account("alice", "guess"), account("nobody", "secret"), account("nobody", "guess")] {
        world.wallet.set(ID, wrong);
        let mut request = world.authorized(Method::Register);
        assert_eq!(world.check(&request), Verdict::Wrong);
        let refusal = world.refuse(&request, false);
        assert!(!refusal.to_bytes().windows(5).any(|w| w == b"stale"));
        assert!(!world.wallet.challenged(ID, &request, &refusal), "a fresh nonce was refused");
        assert_eq!(world.wallet.fault(ID), Some(Fault::Refused));
        world.wallet.authorize(ID, &mut request, &mut world.tokens);
        assert!(!request.headers.contains(Name::Authorization), "refused credentials are not sent again");
    }
    assert_eq!(world.server.open(), 0, "strangers leave nothing behind");
}

#[test]
fn requests_after_the_first_have_their_credentials_at_once() {
    let mut world = world(&Algorithm::ALL);
    let first = world.authorized(Method::Register);
    assert!(is_valid(&world.check(&first)));
    for n in 2..40u32 {
        let mut next = request(Method::Message);
        world.wallet.authorize(ID, &mut next, &mut world.tokens);
        assert!(next.headers.get(Name::Authorization).unwrap().contains(&format!("nc={n:08x}")));
        assert!(is_valid(&world.check(&next)));
    }
    assert_eq!(world.server.open(), 1);
}

#[test]
fn a_replay_is_stale_and_so_is_an_old_nonce_or_one_of_another_process() {
    let mut world = world(&Algorithm::ALL);
    let request = world.authorized(Method::Message);
    assert!(is_valid(&world.check(&request)));
    assert_eq!(world.check(&request), Verdict::Stale { replayed: true });
    let refusal = world.refuse(&request, true);
    assert!(world.wallet.challenged(ID, &request, &refusal), "stale is no refusal");
    let mut again = request.clone();
    world.wallet.authorize(ID, &mut again, &mut world.tokens);
    assert!(is_valid(&world.check(&again)));
    let late = world.authorized(Method::Message);
    world.now = world.now + Duration::from_secs(301);
    assert_eq!(world.check(&late), Verdict::Stale { replayed: false });
    assert_eq!(world.server.open(), 0, "what is too old is forgotten");
    let request = world.authorized(Method::Message);
    world.server = Server::new(Config { realm: REALM.into(), ..Config::default() }, [8; 32], HashKey::new(3, 4));
    assert_eq!(world.check(&request), Verdict::Stale { replayed: false });
    world.now = Time::from_secs(1);
    let early = world.authorized(Method::Message);
    world.now = Time::ZERO;
    assert_eq!(world.check(&early), Verdict::Stale { replayed: false }, "from the future");
}

/// Two servers with one key, as the shards of a process are.
#[test]
fn servers_with_one_key_know_each_others_nonces() {
    let mut world = world(&Algorithm::ALL);
    let request = world.authorized(Method::Message);
    world.server = Server::new(Config { realm: REALM.into(), ..Config::default() }, [7; 32], HashKey::new(5, 6));
    assert!(is_valid(&world.check(&request)));
    let elsewhere = Config { realm: "other".into(), ..Config::default() };
    world.server.configure(elsewhere);
    assert_eq!(world.check(&request), Verdict::Missing, "credentials for another realm are none");
}

#[test]
fn counts_may_overtake_each_other_and_none_counts_twice() {
    let mut world = world(&Algorithm::ALL);
    let first = world.authorized(Method::Message);
    assert!(is_valid(&world.check(&first)));
    let mut all: Vec<Request> = Vec::new();
    for _ in 0..80 {
        let mut next = request(Method::Message);
        world.wallet.authorize(ID, &mut next, &mut world.tokens);
        all.push(next);
    }
    for index in [5, 3, 4, 70] {
        assert!(is_valid(&world.check(&all[index])), "{index}");
        assert_eq!(world.check(&all[index]), Verdict::Stale { replayed: true }, "{index}");
    }
    assert!(is_valid(&world.check(&all[7])), "63 behind");
    assert_eq!(world.check(&all[6]), Verdict::Stale { replayed: true }, "too far behind to be told apart");
}

#[test]
fn when_there_is_no_room_the_oldest_nonces_end() {
    let mut world = world(&Algorithm::ALL);
    world.server.configure(Config { realm: REALM.into(), max_nonces: 2, ..Config::default() });
    let mut all = Vec::new();
    for _ in 0..3 {
        world.now = world.now + Duration::from_secs(1);
        let request = world.authorized(Method::Message);
        assert!(is_valid(&world.check(&request)));
        all.push(request);
    }
    assert_eq!(world.server.open(), 2);
    assert_eq!(world.check(&all[0]), Verdict::Stale { replayed: false }, "forgotten, but not to be used again");
    assert_eq!(world.check(&all[2]), Verdict::Stale { replayed: true });
}

#[test]
fn credentials_are_for_their_method_and_uri() {
    let mut world = world(&Algorithm::ALL);
    let good = world.authorized(Method::Message);
    let mut other = good.clone();
    other.method = Method::Invite;
    assert_eq!(world.check(&other), Verdict::Wrong);
    other = good.clone();
    other.uri = Uri::parse("sip:carol@sip.example").unwrap();
    assert_eq!(world.check(&other), Verdict::Malformed("Digest for another URI"));
    other.uri = Uri::parse("sip:bob@SIP.example:5070;transport=tcp").unwrap();
    assert!(is_valid(&world.check(&other)), "the same user by another way");
}

#[test]
fn what_follows_no_grammar_is_refused() {
    let mut world = world(&Algorithm::ALL);
    let good = world.authorized(Method::Message);
    for (name, value) in [
        ("nc", "00000000"),
        ("nc", "1"),
        ("nc", "0000000g"),
        ("nc", "+0000001"),
        ("qop", "auth-int"),
        ("uri", "bob"),
        ("uri", ""),
        ("response", ""),
        ("username", ""),
        ("cnonce", ""),
        ("username*", "UTF-8''alice"),
    ] {
        let verdict = world.check(&changed(&good, name, value));
        assert!(matches!(verdict, Verdict::Malformed(_)), "{name}={value}: {verdict:?}");
    }
    assert!(matches!(world.check(&changed(&good, "opaque", &"x".repeat(2000))), Verdict::Malformed(_)));
    let mut twice = good.clone();
    let line = format!("{}, nonce=\"x\"", good.headers.get(Name::Authorization).unwrap());
    twice.headers.set(Name::Authorization, line);
    assert!(matches!(world.check(&twice), Verdict::Malformed(_)));
    twice.headers.set(Name::Authorization, "Basic YWxpY2U6c2VjcmV0");
    assert!(matches!(world.check(&twice), Verdict::Malformed(_)));
    for (name, value) in [("response", "0"), ("cnonce", "x"), ("nc", "00000002"), ("username", "ALICE")] {
        assert_eq!(world.check(&changed(&good, name, value)), Verdict::Wrong, "{name}={value}");
    }
    assert_eq!(world.check(&changed(&good, "algorithm", "SHA-256-sess")), Verdict::Missing);
    assert!(is_valid(&world.check(&good)), "none of these has used it up");
}

/// RFC 2617 §3.2.2: a client that knows no qop, which has each nonce once.
#[test]
fn a_client_without_quality_of_protection() {
    let mut world = world(&[Algorithm::Md5]);
    let mut request = request(Method::Register);
    let refusal = world.refuse(&request, false);
    let mut challenge = refusal.headers.get(Name::WwwAuthenticate).unwrap().to_owned();
    challenge = challenge.replace(", qop=\"auth\"", "").replace(", algorithm=MD5", "");
    let mut old = Response::new(401, "Unauthorized");
    old.headers.push(Name::WwwAuthenticate, challenge);
    assert!(world.wallet.challenged(ID, &request, &old));
    world.wallet.authorize(ID, &mut request, &mut world.tokens);
    let given = request.headers.get(Name::Authorization).unwrap();
    assert!(!given.contains("qop") && !given.contains("nc=") && !given.contains("algorithm"), "{given}");
    assert!(is_valid(&world.check(&request)));
    assert_eq!(world.check(&request), Verdict::Stale { replayed: true });
    let mut next = self::request(Method::Register);
    world.wallet.authorize(ID, &mut next, &mut world.tokens);
    assert!(!next.headers.contains(Name::Authorization), "such a nonce serves once");
}

#[test]
fn a_user_may_hide_the_name() {
    let mut world = world(&[Algorithm::Sha256]);
    let config =
        Config { realm: REALM.into(), algorithms: vec![Algorithm::Sha256], userhash: true, ..Config::default() };
    world.server.configure(config);
    let request = world.authorized(Method::Message);
    let given = request.headers.get(Name::Authorization).unwrap();
    assert!(!given.contains("alice") && given.contains("userhash=true"), "{given}");
    assert!(is_valid(&world.check(&request)));
}

/// RFC 5987 §3.2: names beyond ASCII in the extended notation, as RFC 7616 §3.4 has it.
#[test]
fn a_name_in_the_extended_notation() {
    let mut world = world(&[Algorithm::Sha256]);
    world.wallet.set(ID, account("J\u{e4}s\u{f8}n", "secret"));
    let mut request = world.authorized(Method::Message);
    let line = request.headers.get(Name::Authorization).unwrap().to_owned();
    let line = line.replace("username=\"J\u{e4}s\u{f8}n\"", "username*=UTF-8''J%C3%A4s%C3%B8n");
    request.headers.set(Name::Authorization, line);
    let verdict = world.server.check(world.now, SOURCE, &request, |user, algorithm| {
        assert_eq!(user, User::Named("J\u{e4}s\u{f8}n"));
        Some(((), Secret::new(algorithm, "J\u{e4}s\u{f8}n", REALM, "secret")))
    });
    assert!(matches!(verdict, Verdict::Valid { .. }), "{verdict:?}");
}

/// Who guesses passwords has to show a nonce that was given to that very address: of any other one nothing is learnt.
#[test]
fn of_a_nonce_that_is_not_good_nobody_learns_whether_the_password_is() {
    let mut world = world(&Algorithm::ALL);
    let good = world.authorized(Method::Register);
    world.wallet.set(ID, account("alice", "guess"));
    let wrong = world.authorized(Method::Register);
    for request in [&good, &wrong] {
        let verdict = world.server.check(world.now, "192.0.2.8".parse().unwrap(), request, alice);
        assert_eq!(verdict, Verdict::Stale { replayed: false }, "another address");
        assert_eq!(world.check(&changed(request, "nonce", &"5".repeat(64))), Verdict::Stale { replayed: false });
    }
    assert_eq!(world.check(&wrong), Verdict::Wrong);
    world.now = world.now + Duration::from_secs(301);
    for request in [&good, &wrong] {
        assert_eq!(world.check(request), Verdict::Stale { replayed: false }, "too old");
    }
}

/// Who has a nonce at one address has shown nothing of another one, which anybody may write into a datagram.
#[test]
fn a_nonce_serves_where_it_was_given() {
    let mut world = world(&Algorithm::ALL);
    let good = world.authorized(Method::Register);
    for elsewhere in ["192.0.2.8", "2001:db8::7", "::192.0.2.7"] {
        let verdict = world.server.check(world.now, elsewhere.parse().unwrap(), &good, alice);
        assert_eq!(verdict, Verdict::Stale { replayed: false }, "{elsewhere}");
    }
    assert!(is_valid(&world.server.check(world.now, "::ffff:192.0.2.7".parse().unwrap(), &good, alice)));
    assert_eq!(world.check(&good), Verdict::Stale { replayed: true });
}

fn refusal(code: u16, challenges: &[&str]) -> Response {
    let mut response = Response::new(code, "No");
    for challenge in challenges {
        response.headers.push(Side::of(code).unwrap().challenge(), challenge);
    }
    response
}

#[test]
fn what_cannot_be_answered_is_not() {
    let mut world = world(&Algorithm::ALL);
    let request = request(Method::Register);
    let mut fault = |challenges: &[&str]| {
        let answered = world.wallet.challenged(ID, &request, &refusal(401, challenges));
        (answered, world.wallet.fault(ID))
    };
    for unknown in [
        "Basic realm=\"x\"",
        "Digest realm=\"x\"",
        "Digest nonce=\"x\"",
        "Digest realm=\"x\", nonce=\"y\", algorithm=MD5-sess",
        "Digest realm=\"x\", nonce=\"y\", algorithm=AKAv1-MD5",
        "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
        "Digest",
        "",
    ] {
        assert_eq!(fault(&[unknown]), (false, Some(Fault::Unknown)), "{unknown}");
    }
    let long = format!("Digest realm=\"x\", nonce=\"{}\"", "y".repeat(1100));
    assert_eq!(fault(&[&long]), (false, Some(Fault::Unknown)));
    assert_eq!(fault(&[]), (false, Some(Fault::Unknown)));
    assert_eq!(fault(&["Basic realm=\"x\"", "Digest realm=\"x\", nonce=\"y\""]), (true, None));
    assert!(!world.wallet.challenged(AccountId(8), &request, &refusal(401, &["Digest realm=\"x\", nonce=\"y\""])));
    assert!(!world.wallet.challenged(ID, &request, &Response::new(403, "Forbidden")));
}

#[test]
fn a_hash_is_not_made_weaker() {
    let mut world = world(&Algorithm::ALL);
    let request = request(Method::Register);
    let sha = "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-512-256, qop=\"auth\"";
    let md5 = "Digest realm=\"x\", nonce=\"z\", algorithm=MD5, qop=\"auth\"";
    assert!(world.wallet.challenged(ID, &request, &refusal(401, &[md5])));
    assert!(world.wallet.challenged(ID, &request, &refusal(401, &[sha])));
    assert!(!world.wallet.challenged(ID, &request, &refusal(401, &[md5])));
    assert_eq!(world.wallet.fault(ID), Some(Fault::Weak));
    assert!(world.wallet.challenged(ID, &request, &refusal(407, &[md5])), "another one, who never knew better");
    world.wallet.set(ID, Account { weakest: Algorithm::Sha512Part256, ..account("alice", "secret") });
    assert!(!world.wallet.challenged(ID, &request, &refusal(401, &[md5])));
    assert!(world.wallet.challenged(ID, &request, &refusal(401, &[md5, sha])));
}

#[test]
fn strangers_get_no_credentials() {
    let mut world = world(&Algorithm::ALL);
    let mut register = world.authorized(Method::Register);
    world.wallet.accepted(ID, &register, &Response::new(200, "OK"));
    let stranger = "Digest realm=\"callee.example\", nonce=\"y\"";
    assert!(!world.wallet.challenged(ID, &request(Method::Invite), &refusal(401, &[stranger])));
    assert_eq!(world.wallet.fault(ID), Some(Fault::Realm));
    assert!(!world.wallet.challenged(ID, &request(Method::Invite), &refusal(407, &[stranger])), "nor a proxy");
    world.wallet.authorize(ID, &mut register, &mut world.tokens);
    let lines = |name| register.headers.all(name).count();
    assert_eq!((lines(Name::Authorization), lines(Name::ProxyAuthorization)), (1, 0));
    // The registrar itself may call itself otherwise one day.
    assert!(world.wallet.challenged(ID, &request(Method::Register), &refusal(401, &[stranger])));
    world.wallet.set(ID, Account { realm: Some("home".into()), ..account("alice", "secret") });
    assert!(!world.wallet.challenged(ID, &request(Method::Invite), &refusal(407, &[stranger])));
    let many: Vec<String> = (0..9).map(|n| format!("Digest realm=\"{n}\", nonce=\"y\", qop=\"auth\"")).collect();
    world.wallet.set(ID, account("alice", "secret"));
    for challenge in &many {
        assert!(world.wallet.challenged(ID, &request(Method::Invite), &refusal(407, &[challenge])));
    }
    world.wallet.authorize(ID, &mut register, &mut world.tokens);
    assert_eq!(register.headers.all(Name::ProxyAuthorization).count(), 4, "realms are bounded");
}

#[test]
fn who_registers_is_for_the_realms_of_the_registrar() {
    let mut world = world(&Algorithm::ALL);
    world.wallet.set(ID, Account { registers: true, ..account("alice", "secret") });
    let home = format!("Digest realm=\"{REALM}\", nonce=\"y\", algorithm=SHA-512-256, qop=\"auth\"");
    let asks =
        |world: &mut World, code| world.wallet.challenged(ID, &request(Method::Invite), &refusal(code, &[&home]));
    assert!(!asks(&mut world, 401) && !asks(&mut world, 407), "nobody knows yet who may ask");
    assert_eq!(world.wallet.fault(ID), Some(Fault::Realm));
    // Somebody else has registered it, and tells.
    world.wallet.learn(ID, &[REALM.into()]);
    assert!(asks(&mut world, 401) && asks(&mut world, 407));
    world.wallet.learn(ID, &[]);
    assert!(!asks(&mut world, 401));
    // Or it is registered here: those that have asked and were satisfied.
    let register = world.authorized(Method::Register);
    assert!(world.wallet.homes(ID).is_empty());
    world.wallet.accepted(ID, &register, &Response::new(200, "OK"));
    assert_eq!(world.wallet.homes(ID), [Str::from(REALM)]);
    assert!(asks(&mut world, 401) && asks(&mut world, 407));
    world.wallet.accepted(ID, &request(Method::Register), &Response::new(200, "OK"));
    assert_eq!(world.wallet.homes(ID).len(), 1, "one that was not asked says nothing");
}

#[test]
fn within_a_dialog_it_may_be_for_proxies_alone() {
    let mut world = world(&Algorithm::ALL);
    world.wallet.set(ID, Account { proxies: true, ..account("alice", "secret") });
    let challenge = "Digest realm=\"x\", nonce=\"y\", qop=\"auth\"";
    let outside = request(Method::Invite);
    let mut inside = request(Method::Invite);
    inside.headers.push(Name::To, "<sip:bob@sip.example>;tag=1");
    for code in [401, 407] {
        assert!(world.wallet.challenged(ID, &outside, &refusal(code, &[challenge])));
    }
    let mut given = |request: &Request| {
        let mut request = request.clone();
        world.wallet.authorize(ID, &mut request, &mut world.tokens);
        let count = |name| request.headers.all(name).count();
        (count(Name::Authorization), count(Name::ProxyAuthorization))
    };
    assert_eq!((given(&outside), given(&inside)), ((1, 1), (0, 1)));
    assert!(!world.wallet.challenged(ID, &inside, &refusal(401, &[challenge])), "the other side has asked");
    assert!(world.wallet.challenged(ID, &inside, &refusal(407, &[challenge])));
}

#[test]
fn the_next_nonce_is_taken() {
    let mut world = world(&Algorithm::ALL);
    let mut request = world.authorized(Method::Register);
    let mut response = Response::new(200, "OK");
    response.headers.push(Name::AuthenticationInfo, "qop=auth, nextnonce=\"new\\\"er\", nc=00000001");
    world.wallet.accepted(ID, &request, &response);
    world.wallet.authorize(ID, &mut request, &mut world.tokens);
    let given = Credentials::parse(request.headers.get(Name::Authorization).unwrap()).unwrap();
    assert_eq!((given.get("nonce"), given.get("nc")), (Some("new\"er"), Some("00000001")));
}

#[test]
fn an_account_is_not_shown() {
    let account = account("alice", "secret");
    assert_eq!(format!("{account:?}"), "Account { username: \"alice\", realm: None, .. }");
    let world = world(&Algorithm::ALL);
    assert!(!format!("{:?}{:?}", world.server, world.wallet).contains("secret\""));
}

proptest! {
    /// Whatever names and passwords have in them, both sides make the same of it.
    #[test]
    fn any_names_and_passwords(username in "[^:\\p{C}]{1,20}", password in "\\PC{0,20}", realm in "\\PC{0,20}", hide: bool) {
        let username = Str::from(username);
        let mut world = world(&Algorithm::ALL);
        world.server.configure(Config { realm: Str::from(realm.as_str()), userhash: hide, ..Config::default() });
        world.wallet.set(ID, account(&username, &password));
        let request = world.authorized(Method::Message);
        let verdict = world.server.check(world.now, SOURCE, &request, |_, algorithm| {
            Some(((), Secret::new(algorithm, &username, &realm, &password)))
        });
        prop_assert!(matches!(verdict, Verdict::Valid { .. }), "{verdict:?}");
    }

    /// A model: a set of all uses. What was used is never taken again; what was not is taken unless it is far behind.
    #[test]
    fn the_window_is_a_set(counts in prop::collection::vec(1..200u32, 1..200)) {
        let mut world = world(&[Algorithm::Md5]);
        let good = world.authorized(Method::Message);
        let nonce = Credentials::parse(good.headers.get(Name::Authorization).unwrap()).unwrap();
        let nonce = nonce.get("nonce").unwrap();
        let mut used = std::collections::BTreeSet::new();
        for count in counts {
            let mut request = request(Method::Message);
            let proof = base::digest::Proof { nonce, count: Some((count, "c")) };
            let digest = Secret::new(Algorithm::Md5, "alice", REALM, "secret").request_digest("MESSAGE", "sip:bob@sip.example", &proof);
            request.headers.push(Name::Authorization, format_args!(
                "Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"sip:bob@sip.example\", qop=auth, nc={count:08x}, \
                 cnonce=\"c\", response=\"{}\"", digest.as_str()));
            let far = used.last().is_some_and(|last: &u32| last.saturating_sub(count) >= 64);
            let fresh = !far && used.insert(count);
            prop_assert_eq!(is_valid(&world.check(&request)), fresh, "{}", count);
        }
    }
}
