//! What is asked, what is kept, and what it costs; and a name server of our own for what comes over the network.

use super::*;
use base::dns::Srv;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;
use tokio::time::{advance, pause, sleep};

/// Says always the same, after a while, and counts.
#[derive(Clone)]
struct Says {
    answer: Answer,
    after: Duration,
    asked: Arc<AtomicUsize>,
}

impl Says {
    fn new(answer: Answer, after: Duration) -> Says {
        Says { answer, after, asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Lookup for Says {
    fn look_up(&self, _question: Question) -> Coming {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, after) = (self.answer.clone(), self.after);
        Box::pin(async move {
            sleep(after).await;
            answer
        })
    }

    fn search(&self) -> Vec<Str> {
        vec!["inside.example".into()]
    }
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const KEY: fn() -> HashKey = || HashKey::new(1, 2);

fn question(name: &str) -> Question {
    Question::Addresses(name.into())
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_it_says() {
    pause();
    let says = Says::new(Answer::of_addresses([ADDRESS], seconds(60)), Duration::ZERO);
    let dns = Dns::new(says.clone(), KEY());
    let asked = question("a.example");
    assert_eq!(dns.known(&asked), None);
    assert_eq!(dns.ask(&asked).await.addresses(), Ok(&[ADDRESS][..]));
    advance(seconds(59)).await;
    assert!(dns.known(&asked).is_some_and(|answer| answer.ttl <= seconds(1)), "what is left of its time");
    dns.ask(&asked).await;
    assert_eq!(says.asked(), 1);
    advance(seconds(1)).await;
    assert_eq!(dns.known(&asked), None);
    dns.ask(&asked).await;
    dns.ask(&question("b.example")).await;
    dns.ask(&Question::Srv("a.example".into())).await;
    assert_eq!(says.asked(), 4);
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_too_and_that_nobody_knows_for_a_moment() {
    pause();
    let cases = [
        (Answer { found: Err(Failure::NoName), ttl: seconds(300) }, 300),
        (Answer { found: Err(Failure::NoRecords), ttl: seconds(300) }, 300),
        (Answer { found: Err(Failure::NoName), ttl: seconds(1_000_000) }, 3600),
        (Answer::none(Failure::NoName), 1),
        (Answer::none(Failure::Failed), 5),
        (Answer::of_addresses([ADDRESS], seconds(10_000_000)), 86_400),
        (Answer::of_addresses([ADDRESS], Duration::ZERO), 0),
    ];
    for (answer, kept) in cases {
        let says = Says::new(answer.clone(), Duration::ZERO);
        let dns = Dns::new(says.clone(), KEY());
        let asked = question("a.example");
        assert_eq!(dns.ask(&asked).await, answer);
        if kept > 0 {
            advance(seconds(kept) - Duration::from_millis(1)).await;
            assert_eq!(dns.ask(&asked).await.found, answer.found);
            assert_eq!(says.asked(), 1, "{answer:?}");
            advance(Duration::from_millis(1)).await;
        }
        dns.ask(&asked).await;
        assert_eq!(says.asked(), 2, "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_the_patience_and_one_question_serves_all_who_ask() {
    pause();
    let says = Says::new(Answer::of_addresses([ADDRESS], seconds(60)), seconds(1000));
    let dns = Dns::new(says.clone(), KEY());
    let begun = Instant::now();
    let asked = question("slow.example");
    let (one, two) = tokio::join!(dns.ask(&asked), dns.ask(&asked));
    assert_eq!((one.addresses(), two.addresses()), (Err(Failure::Timeout), Err(Failure::Timeout)));
    assert_eq!((begun.elapsed().as_secs(), says.asked()), (PATIENCE.as_secs(), 1));
    assert!(dns.memory().under_way.is_empty());
}

/// Who asks and goes away leaves nothing behind, and the answer is there for the next one.
#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_kept_all_the_same() {
    pause();
    let says = Says::new(Answer::of_addresses([ADDRESS], seconds(60)), seconds(2));
    let dns = Dns::new(says.clone(), KEY());
    let asked = question("a.example");
    assert!(timeout(seconds(1), dns.ask(&asked)).await.is_err());
    assert_eq!(dns.ask(&asked).await.addresses(), Ok(&[ADDRESS][..]));
    assert_eq!(says.asked(), 1);
}

#[tokio::test]
async fn a_flood_of_questions_is_bounded_and_known_names_go_on() {
    pause();
    let says = Says::new(Answer::of_addresses([ADDRESS], seconds(60)), seconds(2));
    let dns = Dns::new(says.clone(), KEY());
    dns.ask(&question("known.example")).await;
    let flood: Vec<_> = (0..5000).map(|n| question(&format!("n{n}.example"))).collect();
    let waiting: Vec<_> = flood.iter().filter_map(|asked| dns.begin(asked, None)).collect();
    assert_eq!(waiting.len(), UNDER_WAY);
    assert_eq!(dns.ask(&question("one-more.example")).await.addresses(), Err(Failure::Timeout));
    assert!(dns.ask(&question("known.example")).await.addresses().is_ok());
    sleep(seconds(3)).await;
    assert!(dns.memory().under_way.is_empty());
    assert_eq!(says.asked(), 1 + UNDER_WAY);
    assert!(dns.memory().kept.len() <= KEPT);
}

/// Answers at once for names that begin with "good", and for the others never.
struct Partly;

impl Lookup for Partly {
    fn look_up(&self, question: Question) -> Coming {
        let good = matches!(&question, Question::Addresses(name) if name.starts_with("good"));
        Box::pin(async move {
            if !good {
                std::future::pending::<()>().await;
            }
            Answer::of_addresses([ADDRESS], seconds(60))
        })
    }
}

#[tokio::test]
async fn what_strangers_want_to_know_holds_up_nobody_else() {
    pause();
    let dns = Dns::new(Partly, KEY());
    let strangers = dns.for_strangers();
    let ask = async |dns: &Dns, name: &str| dns.ask(&question(name)).await.addresses().is_ok();
    let asked: Vec<_> = (0..3000).map(|n| (strangers.clone(), question(&format!("n{n}.example")))).collect();
    let flood: Vec<_> =
        asked.into_iter().map(|(dns, asked)| tokio::spawn(async move { dns.ask(&asked).await })).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(dns.memory().under_way.len(), FOR_STRANGERS);
    assert!(ask(&dns, "good-one.example").await, "there is room for what we want to know");
    assert!(ask(&strangers, "good-one.example").await, "what is known is known to all");
    let begun = Instant::now();
    // Others like them have to wait, but nobody for ever.
    assert!(timeout(PATIENCE / 2, strangers.ask(&question("good-two.example"))).await.is_err());
    for one in flood {
        assert_eq!(one.await.unwrap().addresses(), Err(Failure::Timeout));
    }
    assert!(begun.elapsed() <= 2 * PATIENCE + seconds(1) && dns.memory().under_way.is_empty());
    assert!(ask(&strangers, "good-two.example").await);
}

#[tokio::test]
async fn strangers_who_come_all_at_once_have_their_turns() {
    pause();
    let says = Says::new(Answer::of_addresses([ADDRESS], seconds(60)), seconds(2));
    let strangers = Dns::new(says.clone(), KEY()).for_strangers();
    let asked: Vec<_> =
        (0..3 * FOR_STRANGERS).map(|n| (strangers.clone(), question(&format!("n{n}.example")))).collect();
    let all: Vec<_> =
        asked.into_iter().map(|(dns, asked)| tokio::spawn(async move { dns.ask(&asked).await })).collect();
    for one in all {
        assert!(one.await.unwrap().addresses().is_ok());
    }
    // Who asks for the same waits for the same answer, and needs no place.
    assert_eq!(says.asked(), 3 * FOR_STRANGERS);
}

#[tokio::test]
async fn hosts_are_literal_or_asked_for_in_ascii() {
    pause();
    let says = Says::new(Answer::of_addresses([ADDRESS], seconds(60)), Duration::ZERO);
    let dns = Dns::new(says.clone(), KEY());
    assert_eq!(dns.addresses("192.0.2.1").await, Ok(vec![[192, 0, 2, 1].into()]));
    assert_eq!(dns.addresses("[2001:db8::1]").await, Ok(vec!["2001:db8::1".parse().unwrap()]));
    assert_eq!(says.asked(), 0);
    assert_eq!(dns.addresses("fußball.example").await, Ok(vec![ADDRESS]));
    assert!(dns.known(&question("xn--fuball-cta.example")).is_some());
    for none in ["", ".", "a b", "a..b", "1.2.3"] {
        assert_eq!(dns.addresses(none).await, Err(Failure::NoName), "{none:?}");
    }
    assert_eq!(says.asked(), 1);
}

/// What the operator has written may be short; what a peer names is whole.
#[tokio::test]
async fn names_of_the_operator_are_looked_for_where_the_system_does() {
    pause();
    struct Inside;
    impl Lookup for Inside {
        fn look_up(&self, question: Question) -> Coming {
            let is_there = question.name() == "db.inside.example";
            let answer = Answer::of_addresses(is_there.then_some(ADDRESS), seconds(9));
            Box::pin(async { answer })
        }

        fn search(&self) -> Vec<Str> {
            vec!["outside.example".into(), "inside.example".into()]
        }
    }
    let dns = Dns::new(Inside, KEY());
    let db = Host::Name("db".to_owned());
    assert_eq!(dns.host(&db, 7).await, Ok(vec![SocketAddr::new(ADDRESS, 7)]));
    assert_eq!(dns.addresses("db").await, Err(Failure::NoRecords));
    assert!(dns.host(&Host::Name("db.".to_owned()), 7).await.is_err());
    assert_eq!(dns.host(&Host::Address(ADDRESS), 7).await, Ok(vec![SocketAddr::new(ADDRESS, 7)]));
}

/// What a name server of ours does with a question: the octets of the answer behind its header, and its flags.
type Behaviour = fn(&[u8]) -> Option<(u16, u16, Vec<u8>)>;

/// A name server on loopback; its answers begin with the question.
async fn server(behaves: Behaviour) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            let end = 12 + buffer[12..len].iter().position(|octet| *octet == 0).unwrap() + 5;
            let Some((flags, count, records)) = behaves(&buffer[12..end]) else { continue };
            let mut answer = buffer[..end].to_vec();
            answer[2..4].copy_from_slice(&flags.to_be_bytes());
            answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
            answer[6..8].copy_from_slice(&count.to_be_bytes());
            answer.extend(records);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

/// A record of the name that was asked for, which lives 60 s.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap();
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &len.to_be_bytes(), data].concat()
}

fn of_network(server: SocketAddr) -> Dns {
    Dns::new(Hickory::new(Some(server)).unwrap(), KEY())
}

/// The kind that is asked for.
fn kind(question: &[u8]) -> u16 {
    u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]])
}

#[tokio::test]
async fn records_come_as_they_are() {
    const OK: u16 = 0x8180;
    let address = server(|question| {
        let target = b"\x02PX\x07example\x00";
        let (count, records) = match kind(question) {
            1 => (1, record(1, &[192, 0, 2, 1])),
            28 => (1, record(28, &[0x20, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
            // One that leads to a place, one that leads to none, and one that leads to what is no name.
            33 => {
                let srv = |target: &[u8]| record(33, &[&[0, 1, 0, 2, 0x14, 0x95][..], target].concat());
                (3, [srv(target), srv(b"\0"), srv(b"\x01 \0")].concat())
            }
            35 => (1, record(35, &[&b"\0\x0a\0\x14\x01S\x07sip+d2t\0"[..], target].concat())),
            _ => return None,
        };
        Some((OK, count, records))
    })
    .await;
    let dns = of_network(address);
    let both = dns.addresses("a.example").await.unwrap();
    assert_eq!(both, ["2001:db8::1".parse::<IpAddr>().unwrap(), [192, 0, 2, 1].into()]);
    let srv = dns.ask(&Question::Srv("_sip._tcp.a.example".into())).await;
    let place = |target: &str| Srv { priority: 1, weight: 2, port: 5269, target: target.into() };
    assert_eq!(srv.srv(), Ok(&[place("px.example"), place("")][..]));
    assert!((50..=60).contains(&srv.ttl.as_secs()), "{srv:?}");
    let naptr = dns.ask(&Question::Naptr("a.example".into())).await;
    let rule = &naptr.naptr().unwrap()[0];
    assert_eq!((rule.order, rule.preference, rule.regexp.as_str()), (10, 20, ""));
    assert_eq!((rule.flags.as_str(), rule.service.as_str(), rule.replacement.as_str()), ("s", "SIP+D2T", "px.example"));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let asked = question("a.example");
    for (behaves, failure) in [
        ((|_| Some((0x8183, 0, vec![]))) as Behaviour, Failure::NoName),
        (|_| Some((0x8180, 0, vec![])), Failure::NoRecords),
        (|_| Some((0x8182, 0, vec![])), Failure::Failed),
        (|_| Some((0x8185, 0, vec![])), Failure::Failed),
        // One family only, and the other one fails.
        (|question| Some((if kind(question) == 28 { 0x8182 } else { 0x8180 }, 0, vec![])), Failure::Failed),
    ] {
        let dns = of_network(server(behaves).await);
        assert_eq!(dns.ask(&asked).await.addresses(), Err(failure));
    }
    let one = server(|question| match kind(question) {
        1 => Some((0x8180, 1, record(1, &[192, 0, 2, 1]))),
        _ => Some((0x8182, 0, vec![])),
    });
    assert_eq!(of_network(one.await).addresses("a.example").await, Ok(vec![[192, 0, 2, 1].into()]));
}

#[tokio::test]
async fn the_hosts_file_is_known_and_a_server_that_is_not_there_is_no_reason_to_hang() {
    let begun = std::time::Instant::now();
    let dns = of_network(([127, 0, 0, 1], 9).into());
    let found = dns.host(&Host::Name("localhost".to_owned()), 7).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
    assert!(dns.addresses("a.example").await.is_err());
    assert!(begun.elapsed() < PATIENCE + seconds(1));
}
