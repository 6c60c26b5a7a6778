//! MSRP connections of those who have no business in a session, and frames that are none. After each a chat is served.

use crate::caller::{Line, OURS, chunk, connects, ok, send, waits_at};
use crate::chats::{NURSE, baseline, caller, goes_on, limits, next_text, opened, texts};
use crate::world::{Heard, PATIENCE, SIP_DOMAIN, World, XMPP_DOMAIN};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The most memory that the gateway may have at any time.
const MOST_KIB: u64 = 64 * 1024;

/// A listener of a test, which says nothing, and how many have connected to it.
pub(crate) async fn counting(at: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let (place, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let came = Arc::clone(&count);
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok(stream) = listener.accept().await {
            streams.push(stream);
            came.fetch_add(1, Ordering::Relaxed);
        }
    });
    (place, count)
}

/// RFC 4975 §14.1, THREATS 47 and 48: who guesses, who listens in, who comes second, who wants to be passed on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_into_anybodys_session() {
    let mut world = World::start(XMPP_DOMAIN, &limits("", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    // Before the session has its connection: who knows our path alone does not become it.
    let call = romeo.open("hijack", NURSE, &connects()).await.expect("a session");
    let mut thief = call.connect().await;
    let foreign = "msrp://127.0.0.1:9/somebodyelse00000000;tcp";
    thief.say(send(&call.path, foreign, "early0thief", "stolen")).await;
    assert_eq!(thief.code("early0thief").await, 481);
    let mut line = call.connect().await;
    line.say(send(&call.path, OURS, "first0word", "hail")).await;
    assert_eq!((next_text(&mut world).await.0.as_str(), line.code("first0word").await), ("hail", 200));

    let (at, id) = call.path.rsplit_once('/').unwrap();
    let id = id.strip_suffix(";tcp").unwrap();
    let with = |id: &str| format!("{at}/{id};tcp");
    let mut other = id.to_owned();
    let last = if other.pop() == Some('a') { 'b' } else { 'a' };
    other.push(last);
    let (elsewhere, knocks) = counting(([127, 0, 0, 1], 0).into()).await;
    let beyond = format!("msrp://{elsewhere}/beyond00000000000000;tcp");
    for (name, to, from, code) in [
        ("comes second", call.path.clone(), OURS, 506),
        ("has another path", call.path.clone(), foreign, 481),
        ("is off by one", with(&other), OURS, 481),
        ("stops early", with(&id[..id.len() - 1]), OURS, 481),
        ("goes on", with(&format!("{id}a")), OURS, 481),
        ("shouts", with(&id.to_ascii_uppercase()), OURS, 481),
        ("asks another shard", with(&format!("07{}", &id[2..])), OURS, 481),
        ("asks no shard", with(&format!("zz{}", &id[2..])), OURS, 481),
        ("wants to be passed on", format!("{} {beyond}", call.path), OURS, 481),
        ("wants to come from elsewhere", format!("{beyond} {}", call.path), OURS, 481),
        ("names it twice", format!("{0} {0}", call.path), OURS, 481),
        ("comes by a relay", call.path.clone(), "msrp://127.0.0.1:9/relay;tcp msrp://127.0.0.1:9/x;tcp", 481),
        ("names another host", call.path.replace("127.0.0.1", "localhost"), OURS, 481),
        ("speaks msrps", call.path.replace("msrp:", "msrps:"), OURS, 481),
        ("speaks websockets", call.path.replace(";tcp", ";ws"), OURS, 481),
    ] {
        let mut thief = call.connect().await;
        thief.say(send(&to, from, "thief0word", "stolen")).await;
        let told = thief.code("thief0word").await;
        // What is no path at all is a bad request.
        assert!(told == code || code == 481 && matches!(told, 400 | 403), "{name}: {told}");
        // The session's own connection is no better a place to speak for others.
        if code == 481 {
            line.say(send(&to, from, "inner0word", "stolen")).await;
            let told = line.code("inner0word").await;
            assert!(matches!(told, 400 | 403 | 481), "{name}, within: {told}");
        }
    }

    // What is no path cannot be answered.
    let mut thief = call.connect().await;
    thief.say(send(&with(""), OURS, "thief0word", "stolen")).await;
    assert!(matches!(thief.code("thief0word").await, 0 | 400 | 481));

    // Answers and reports from elsewhere are nobody's.
    world.link.say(format!(
        "<message type='chat' id='n1' from='nurse@{XMPP_DOMAIN}/b' to='romeo@{SIP_DOMAIN}'><body>Anon!</body><thread>hijack</thread>\
         <request xmlns='urn:xmpp:receipts'/></message>"
    ));
    let frame = loop {
        let frame = line.next().await.unwrap();
        if frame.contains("Anon!") {
            break frame;
        }
        line.say(ok(&frame)).await;
    };
    let message = frame.lines().find_map(|l| l.strip_prefix("Message-ID: ")).unwrap().to_owned();
    let report = |id: &str| {
        format!(
            "MSRP {id} REPORT\r\nTo-Path: {}\r\nFrom-Path: {OURS}\r\nMessage-ID: {message}\r\nByte-Range: 1-5/5\r\n\
             Status: 000 200 OK\r\n-------{id}$\r\n",
            call.path
        )
    };
    let mut thief = call.connect().await;
    thief.say(ok(&frame).replace("200 OK", "413 Stop")).await;
    thief.say(report("thief0report")).await;
    thief.say(send(&call.path, OURS, "thief0end", "stolen")).await;
    assert_eq!(thief.code("thief0end").await, 506);
    line.say(ok(&frame)).await;
    line.say(report("romeo0report")).await;
    goes_on(&mut world, &call, &mut line).await;
    assert_eq!(knocks.load(Ordering::Relaxed), 0, "nothing is passed on");

    // Many guesses: each is answered, none is right.
    let mut thief = call.connect().await;
    for n in 0..5000_u32 {
        let guess = format!("{}{:022x}{}", &id[..2], u64::from(n) * 0x9e37_79b9, &id[..2]);
        thief.say(send(&with(&guess), OURS, &format!("guess0{n}"), "x")).await;
        // Who does not read is cut, and that is another test.
        if n % 500 == 499 {
            for n in n - 499..=n {
                assert_eq!(thief.code(&format!("guess0{n}")).await, 481);
            }
        }
    }
    goes_on(&mut world, &call, &mut line).await;
    baseline(&mut world, "after-thieves").await;
    assert_eq!(texts(&mut world), Vec::<String>::new(), "nobody was told anything stolen, nor of an error");
}

/// Ranges that lie: of gigabytes, with holes, over each other, backwards. Nothing is kept for what is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_lie() {
    let mut world = World::spawn(XMPP_DOMAIN, &limits("", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    let (call, mut line) = opened(&mut world, &mut romeo, "ranges").await;
    let idle = world.gateway.peak_kib();
    for (n, (range, flag)) in [
        ("1-2147483648/2147483648", '+'),
        ("1-2147483648/2147483648", '$'),
        ("1-*/2147483648", '+'),
        ("2147483648-2147483648/2147483648", '$'),
        ("2147483648-2147483648/*", '+'),
        ("4294967297-4294967297/4294967297", '+'),
        ("18446744073709551615-18446744073709551615/18446744073709551615", '+'),
        ("18446744073709551616-18446744073709551616/*", '+'),
        ("99999999999999999999999999999999999999-*/*", '+'),
        ("65537-65537/65537", '+'),
        ("0-1/1", '$'),
        ("0-0/0", '+'),
        ("5-1/10", '+'),
        ("1-1/0", '+'),
        ("-1-1/1", '+'),
        ("1-x/1", '+'),
        ("2-2/1", '$'),
    ]
    .into_iter()
    .enumerate()
    {
        // Most of them many times, each a message of its own.
        for m in 0..50 {
            let id = format!("range{n}x{m}");
            if !line.try_say(chunk(&call.path, OURS, &id, &id, range, "x", flag)).await {
                panic!("{range}{flag} ends the connection");
            }
            let code = line.code(&id).await;
            // A small piece with no end of it in sight may be one of a message that ends soon.
            assert!(
                matches!(code, 400 | 413) || code == 200 && flag == '+' && range.starts_with("1-"),
                "{range}{flag}: {code}"
            );
        }
    }
    assert_eq!(texts(&mut world), Vec::<String>::new());
    goes_on(&mut world, &call, &mut line).await;

    // Holes: every other byte of messages that never become whole.
    let mut refused = 0;
    for message in 0..12 {
        for n in 0..400 {
            let (id, at) = (format!("hole{message}x{n}"), 1 + 2 * n);
            line.say(chunk(&call.path, OURS, &id, &format!("hole{message}"), &format!("{at}-{at}/60000"), "x", '+'))
                .await;
            match line.code(&id).await {
                200 => {}
                413 | 400 => refused += 1,
                code => panic!("{code}"),
            }
        }
    }
    assert!(refused >= 400, "there is a bound on messages that are not whole: {refused}");
    goes_on(&mut world, &call, &mut line).await;

    let (call, mut line) = opened(&mut world, &mut romeo, "overlaps").await;
    // Over each other: whatever comes of it is the same each time, and either refused or exactly as long as was said.
    let mut outcomes = Vec::new();
    for n in 0..3 {
        let mut codes = Vec::new();
        for (m, (range, text, flag)) in
            [("1-10/30", "aaaaaaaaaa", '+'), ("6-20/30", "bbbbbbbbbbbbbbb", '+'), ("16-30/30", "ccccccccccccccc", '$')]
                .into_iter()
                .enumerate()
        {
            let id = format!("over{n}x{m}");
            line.say(chunk(&call.path, OURS, &id, &format!("over{n}"), range, text, flag)).await;
            codes.push(line.code(&id).await);
        }
        let text = if codes[2] == 200 { next_text(&mut world).await.0 } else { String::new() };
        assert!(text.is_empty() || text.len() == 30, "{text}");
        outcomes.push((codes, text));
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
    assert_eq!(outcomes[0].0[0], 200);
    // Totals that contradict each other; a last chunk that lies before what came.
    for (n, second) in [("5-5/9", '$'), ("5-5/5", '$'), ("2-2/2", '$'), ("4-8/8", '+')].into_iter().enumerate() {
        let message = format!("contra{n}");
        line.say(chunk(&call.path, OURS, &format!("{message}a"), &message, "1-4/8", "xxxx", '+')).await;
        assert_eq!(line.code(&format!("{message}a")).await, 200);
        let text = if second.0.starts_with("4-") { "yyyyy" } else { "y" };
        line.say(chunk(&call.path, OURS, &format!("{message}b"), &message, second.0, text, second.1)).await;
        let code = line.code(&format!("{message}b")).await;
        assert!(matches!(code, 200 | 400 | 413), "{second:?}: {code}");
    }
    // The end is where the last chunk ends, whatever was said before it.
    world.link.said().iter().for_each(|heard| assert!(!matches!(heard, Heard::Closed)));
    goes_on(&mut world, &call, &mut line).await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + 16 * 1024, "{peak} KiB, {idle} when idle");
    baseline(&mut world, "after-ranges").await;
}

/// What is no MSRP, and what never becomes a frame: the connection is closed in time, and nobody else's is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_msrp_is_closed() {
    let tls = "listen = [\"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]";
    let more = limits("half_message = \"1s\"", "", "").replace("listen = [\"tcp:127.0.0.1:0\"]", tls);
    let mut world = World::spawn(XMPP_DOMAIN, &more).await;
    let mut romeo = caller(&world, "romeo").await;
    let (call, mut line) = opened(&mut world, &mut romeo, "garbage").await;
    let secure = description_of_tls(&mut romeo).await;
    let idle = world.gateway.peak_kib();
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x5a; 501]].concat();
    let head = format!("MSRP endless00 SEND\r\nTo-Path: {}\r\nFrom-Path: {OURS}\r\n", call.path);
    let begun = chunk(&call.path, OURS, "half0frame", "half", "1-60000/60000", &"x".repeat(500), '$');
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        (
            "HTTP, a body with a frame in it",
            format!("POST / HTTP/1.1\r\n\r\n{}", send(&call.path, OURS, "http0frame", "stolen")).into_bytes(),
        ),
        ("SIP", b"OPTIONS sip:x@xmpp.example.com SIP/2.0\r\nCall-ID: 1\r\n\r\n".to_vec()),
        ("XMPP", b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept'>".to_vec()),
        ("TLS", hello.clone()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("noise", (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()),
        ("a line without end", [b"MSRP ", &[b'x'; 200_000][..]].concat()),
        ("a header without end", [head.as_bytes(), b"X-Long: ", &[b'x'; 1 << 20]].concat()),
        ("headers without end", [head.as_bytes(), "X-More: more and more\r\n".repeat(50_000).as_bytes()].concat()),
        (
            "a path without end",
            format!("MSRP paths000 SEND\r\nTo-Path: {}", format!("{} ", call.path).repeat(20_000)).into_bytes(),
        ),
        ("half a head", head.into_bytes()),
        ("half a frame", begun.as_bytes()[..begun.len() - 20].to_vec()),
        ("a frame of another end", begun.replace("-------half0frame", "-------half1frame").into_bytes()),
        ("bare line feeds", begun.replace("\r\n", "\n").into_bytes()),
    ];
    for (name, bytes) in &cases {
        for place in [call.place(), secure] {
            let begun = Instant::now();
            let mut stream = Line::to(place).await;
            stream.try_say(bytes).await;
            assert!(
                stream.is_closed(Duration::from_secs(8)).await,
                "{name} at {place}: still open after {:?}",
                begun.elapsed()
            );
        }
    }
    goes_on(&mut world, &call, &mut line).await;

    // One that goes on and on, a byte now and then.
    let mut slow = Line::to(call.place()).await;
    let until = Instant::now() + Duration::from_secs(10);
    let mut said = 0;
    for byte in begun.as_bytes() {
        if !slow.try_say([*byte]).await {
            break;
        }
        said += 1;
        assert!(Instant::now() < until, "it may go on for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(said < begun.len());

    // Many that say nothing.
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(Line::to(call.place()).await);
    }
    let begun = Instant::now();
    goes_on(&mut world, &call, &mut line).await;
    baseline(&mut world, "among-the-silent").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for stream in &mut silent {
        assert!(stream.is_closed(PATIENCE).await, "a silent one stays");
    }
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
    goes_on(&mut world, &call, &mut line).await;
    baseline(&mut world, "after-garbage").await;
    assert_eq!(texts(&mut world), Vec::<String>::new());
}

/// Where the gateway listens with TLS.
async fn description_of_tls(romeo: &mut crate::caller::Caller) -> SocketAddr {
    let offer = connects().replace("TCP/MSRP", "TCP/TLS/MSRP").replace("path:msrp:", "path:msrps:");
    romeo.open("tls-place", NURSE, &offer).await.expect("a session").place()
}

/// A SIP user who opens a session and does not read: what waits is bounded, the session ends, its words come back, and others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_not_waited_for() {
    let mut world = World::spawn(XMPP_DOMAIN, &limits("", "", "[chat]\nmode = \"session\"\n")).await;
    let mut romeo = caller(&world, "romeo").await;
    let mut peter = caller(&world, "peter").await;
    let (good, mut line) = opened(&mut world, &mut peter, "reads").await;
    let mut deaf = Vec::new();
    for n in 0..8 {
        let id = format!("deaf{n}");
        deaf.push((opened(&mut world, &mut romeo, &id).await, id));
    }
    let idle = world.gateway.peak_kib();
    // A message that a stanza can carry, a hundred times in each of eight sessions: 48 MB.
    let text = "x".repeat(60_000);
    let (mut sent, mut errors) = (0, 0);
    for n in 0..100 {
        for (_, thread) in &deaf {
            world.link.say(format!(
                "<message type='chat' id='{thread}-{n}' from='nurse@{XMPP_DOMAIN}/b' to='romeo@{SIP_DOMAIN}'><body>{text}</body>\
                 <thread>{thread}</thread></message>"
            ));
            sent += 1;
        }
        if n % 10 == 0 {
            let begun = Instant::now();
            line.say(send(&good.path, OURS, &format!("good0{n}"), "hail")).await;
            assert_eq!(line.code(&format!("good0{n}")).await, 200);
            assert!(begun.elapsed() < Duration::from_secs(3), "others wait {:?}", begun.elapsed());
        }
    }
    // Each comes back in the end, once.
    let begun = Instant::now();
    while errors < sent {
        assert!(begun.elapsed() < Duration::from_secs(60), "{errors} of {sent} came back");
        let heard = tokio::time::timeout(Duration::from_secs(1), world.link.next()).await;
        let Ok(Heard::Stanza(e)) = heard else { continue };
        errors += usize::from(e.attr("type") == Some("error"));
    }
    let mut ended = BTreeSet::new();
    while let Some(request) = world.phone.next(Duration::from_secs(1)).await {
        // What never left is tried in one session more of the same thread, which the phone takes without a word of MSRP.
        if request.start.starts_with("BYE ") {
            ended.extend(request.header("Call-ID").map(str::to_owned));
        }
    }
    assert!(deaf.iter().all(|(_, id)| ended.contains(id)), "each session was ended: {ended:?}");
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
    goes_on(&mut world, &good, &mut line).await;
    baseline(&mut world, "after-the-deaf").await;
}

/// A connection on which answers are asked for and never read is cut; a peer that is connected to and says nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_does_not_read_is_cut() {
    let mut world =
        World::spawn(XMPP_DOMAIN, &limits("", "", "[security]\nallow_networks = [\"127.0.0.0/8\"]\n")).await;
    let mut romeo = caller(&world, "romeo").await;
    let (call, _line) = opened(&mut world, &mut romeo, "asks").await;
    let idle = world.gateway.peak_kib();
    let mut stream = Line::to(call.place()).await;
    let ask = send(&call.path, OURS, "asks0much", "x").repeat(100);
    let flood = tokio::spawn(async move {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(40) {
            match tokio::time::timeout(Duration::from_secs(30), stream.try_say(&ask)).await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
        false
    });
    while !flood.is_finished() {
        world.baseline_from_sip(false).await;
    }
    assert!(flood.await.unwrap(), "it is served for ever");
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
    // Connected to, and not a word: who says something there hears that it did not arrive, and the session ends.
    let (there, knocks) = counting(([127, 0, 0, 1], 0).into()).await;
    let mute = romeo.open("mute", NURSE, &waits_at(there)).await.expect("a session");
    world.link.say(format!(
        "<message type='chat' id='unheard' from='nurse@{XMPP_DOMAIN}/b' to='romeo@{SIP_DOMAIN}'><body>Hear me?</body>\
         <thread>mute</thread></message>"
    ));
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(50), "nobody says that it did not arrive");
        let heard = tokio::time::timeout(Duration::from_secs(1), world.link.next()).await;
        if matches!(heard, Ok(Heard::Stanza(e)) if e.attr("type") == Some("error") && e.attr("id") == Some("unheard")) {
            break;
        }
    }
    romeo.hung_up(&mute).await;
    assert_eq!(knocks.load(Ordering::Relaxed), 1);
    baseline(&mut world, "after-the-mute").await;
}
