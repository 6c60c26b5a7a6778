//! INVITEs of those who want the gateway to knock on inner doors, to keep more than it can, or to do more than it should. After each a
//! chat is served.

use crate::caller::{Call, Caller, Line, OURS, connects, description, send, waits_at};
use crate::chats::{NURSE, baseline, caller, goes_on, limits, opened, texts};
use crate::msrp::counting;
use crate::world::{Heard, PATIENCE, SIP_DOMAIN, World, XMPP_DOMAIN, loopback};
use rehearsal::wire::SipText;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// The most memory that the gateway may have at any time.
const MOST_KIB: u64 = 56 * 1024;

/// What jammed messages may add to it.
const GROWTH_KIB: u64 = 40 * 1024;

/// Offers a session that leads to `host`, by its path and by its lines; the status of the answer. Where it is 200, the gateway has hung up when
/// this comes back.
async fn leads_to(world: &mut World, romeo: &mut Caller, id: &str, host: &str, port: u16, cema: bool) -> u16 {
    let line = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => format!("IN IP6 {address}"),
        None => format!("IN IP4 {host}"),
    };
    // RFC 6714: it is the line that counts then.
    let path = if cema { "msrp://198.51.100.7:2855".to_owned() } else { format!("msrp://{host}:{port}") };
    let more = if cema { "a=setup:passive\r\na=msrp-cema\r\n" } else { "a=setup:passive\r\n" };
    let offer = description(&format!("{path}/ansp71weztas9wherefore;tcp"), port, more);
    let offer = offer.replace("c=IN IP4 127.0.0.1", &format!("c={line}"));
    match romeo.open(id, NURSE, &offer).await {
        Err(refused) => refused.status().unwrap(),
        Ok(call) => {
            assert!(hung_up(world, romeo, &call).await, "{host}:{port} has a session");
            200
        }
    }
}

/// Whether the gateway hangs up: by the proxy, or where sessions may lead to this machine, directly.
async fn hung_up(world: &mut World, romeo: &mut Caller, call: &Call) -> bool {
    let by_proxy = async {
        while let Some(request) = world.phone.next(PATIENCE).await {
            if request.start.starts_with("BYE ") && request.header("Call-ID") == Some(&call.id) {
                return true;
            }
        }
        false
    };
    tokio::select! {
        told = by_proxy => told,
        () = romeo.hung_up(call) => true,
    }
}

/// THREATS 46: no form of an inner address leads anywhere, in the path or in the lines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_lead_inward_are_not_followed() {
    let mut world = World::start(XMPP_DOMAIN, &limits("", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    let (here, knocks) = counting(([127, 0, 0, 1], 0).into()).await;
    let six = counting((Ipv6Addr::LOCALHOST, here.port()).into()).await.1;
    for (n, host) in [
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "localhost",
        "localhost.",
        "LocalHost",
        "ip6-localhost",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[::1%lo]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "%31%32%37.0.0.1",
        "127.0.0.1@198.51.100.7",
        "user@127.0.0.1",
    ]
    .into_iter()
    .enumerate()
    {
        for cema in [false, true] {
            let begun = Instant::now();
            let code = leads_to(&mut world, &mut romeo, &format!("in{n}{cema}"), host, here.port(), cema).await;
            // A name is only known for what it is when it was looked up: that session is accepted, and ended at once.
            let name = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
                && host.bytes().any(|b| b.is_ascii_alphabetic())
                && !host.starts_with("0x");
            assert!(matches!(code, 400 | 488) || name && code == 200, "{host}, cema {cema}: {code}");
            assert!(begun.elapsed() < Duration::from_secs(8), "{host}: {:?}", begun.elapsed());
        }
    }
    assert_eq!((knocks.load(Ordering::Relaxed), six.load(Ordering::Relaxed)), (0, 0), "nobody was connected to");
    assert_eq!(world.gateway.metric("verona_msrp_opens_total{outcome=\"made\"}"), 0.0);
    baseline(&mut world, "after-inward").await;
    assert_eq!(texts(&mut world), Vec::<String>::new());
}

/// The same where the operator lets sessions lead to this machine: what stands for it otherwise, the system's services and the gateway's own
/// listeners stay closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_allowed_is_allowed_by_its_own_name_alone() {
    let more = "[security]\nallow_networks = [\"127.0.0.0/8\", \"::1\"]\n";
    let mut world = World::start(XMPP_DOMAIN, &limits("", "", more)).await;
    let mut romeo = caller(&world, "romeo").await;
    let (good, mut line) = opened(&mut world, &mut romeo, "own").await;
    let (here, knocks) = counting(([127, 0, 0, 1], 0).into()).await;
    romeo.open("allowed", NURSE, &waits_at(here)).await.expect("a session");
    let until = Instant::now() + PATIENCE;
    while knocks.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < until, "nobody connects where it is allowed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (n, host) in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::]",
        "[::127.0.0.1]",
    ]
    .into_iter()
    .enumerate()
    {
        let code = leads_to(&mut world, &mut romeo, &format!("form{n}"), host, here.port(), false).await;
        assert!(matches!(code, 400 | 488), "{host}: {code}");
    }
    assert_eq!(knocks.load(Ordering::Relaxed), 1);
    // Ports of the system, were somebody there or not.
    let ssh = SocketAddr::new(loopback(), 22);
    let (ssh, knocks) = counting(ssh).await;
    for (n, port) in [22, 25, 80, 443, 1023, 0].into_iter().enumerate() {
        let code = leads_to(&mut world, &mut romeo, &format!("port{n}"), &ssh.ip().to_string(), port, false).await;
        assert!(matches!(code, 400 | 488), "port {port}: {code}");
    }
    assert_eq!(knocks.load(Ordering::Relaxed), 0);
    // The gateway's own listeners, as they are and by a name.
    let made = world.gateway.metric("verona_msrp_opens_total{outcome=\"made\"}");
    let (msrp, sip) = (good.place().port(), world.gateway.tcp.port());
    for (n, (host, port)) in
        [("127.0.0.1", msrp), ("localhost", msrp), ("127.0.0.1", sip), ("localhost", sip)].into_iter().enumerate()
    {
        let code = leads_to(&mut world, &mut romeo, &format!("own{n}"), host, port, false).await;
        assert!(matches!(code, 200 | 400 | 488), "{host}:{port}: {code}");
    }
    assert_eq!(world.gateway.metric("verona_msrp_opens_total{outcome=\"made\"}"), made, "it does not call itself");
    goes_on(&mut world, &good, &mut line).await;
    baseline(&mut world, "after-own").await;
}

/// Sessions without end: bounded in number for a pair and in all, and memory with them; who is refused is told when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_invites() {
    const MANY: usize = 5000;
    let mut world = World::spawn(XMPP_DOMAIN, &limits("sessions = 500", "", "")).await;
    let mut good = caller(&world, "peter").await;
    let (call, mut line) = opened(&mut world, &mut good, "before").await;
    let idle = world.gateway.peak_kib();
    let mut romeo = caller(&world, "romeo").await;
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    let mut told = true;
    let mut count = |answer: &SipText| {
        let code = answer.status().unwrap();
        told &= code != 503 || answer.header("Retry-After").is_some();
        if code >= 200 && answer.header("CSeq") == Some("1 INVITE") {
            *codes.entry(code).or_default() += 1;
        }
    };
    let begun = Instant::now();
    for n in 0..MANY {
        // Half of them to one user, half to as many users; none is acknowledged.
        let to = if n % 2 == 0 { NURSE.to_owned() } else { format!("sip:u{n}@{XMPP_DOMAIN}") };
        let invite = romeo.invite(&format!("flood{n}"), &to, &connects());
        romeo.send(&invite).await;
        if n % 50 == 49 {
            while let Some(answer) = romeo.next(Duration::from_millis(2)).await {
                count(&answer);
            }
        }
        if n % 1000 == 999 {
            goes_on(&mut world, &call, &mut line).await;
        }
    }
    while let Some(answer) = romeo.next(Duration::from_millis(300)).await {
        count(&answer);
        if begun.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    let peak = world.gateway.peak_kib();
    // Answers come again until they are acknowledged: there are more of them than sessions.
    assert!(
        codes.get(&486) >= Some(&100) && codes.get(&503) >= Some(&100) && codes.get(&200) >= Some(&100),
        "{codes:?}"
    );
    assert!(told, "503 says when to come again");
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle, {codes:?}");
    goes_on(&mut world, &call, &mut line).await;
    // Nobody acknowledges: in 64*T1 all of them have ended, and others are served.
    let mut other = caller(&world, "gregory").await;
    let until = Instant::now() + Duration::from_secs(60);
    for n in 0.. {
        match other.open(&format!("again{n}"), NURSE, &connects()).await {
            Ok(_) => break,
            Err(refused) => assert_eq!(refused.status(), Some(503), "{refused}"),
        }
        assert!(Instant::now() < until, "its sessions stay for ever");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    baseline(&mut world, "after-invites").await;
}

/// One who changes the session over and over, waits for no answer, and acknowledges nothing: the session serves on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_changes() {
    let mut world = World::spawn(XMPP_DOMAIN, &limits("", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    let (mut call, mut line) = opened(&mut world, &mut romeo, "changes").await;
    let idle = world.gateway.peak_kib();
    let begun = Instant::now();
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for n in 0..3000 {
        let method = if n % 3 == 2 { "UPDATE" } else { "INVITE" };
        let mut request = romeo.within(&mut call, method);
        request.push("Content-Type", "application/sdp");
        request.body = connects().replace("1 1 IN", &format!("1 {} IN", n + 2)).into_bytes();
        romeo.send(&request).await;
        while let Some(answer) = romeo.next(Duration::ZERO).await {
            *codes.entry(answer.status().unwrap_or(0)).or_default() += 1;
        }
    }
    while let Some(answer) = romeo.next(Duration::from_millis(300)).await {
        *codes.entry(answer.status().unwrap_or(0)).or_default() += 1;
        if begun.elapsed() > Duration::from_secs(10) {
            break;
        }
    }
    assert!(codes.keys().all(|code| matches!(code, 100 | 200 | 491 | 500 | 503 | 481)), "{codes:?}");
    goes_on(&mut world, &call, &mut line).await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + 24 * 1024, "{peak} KiB, {idle} when idle");
    assert_eq!(romeo.ask(&mut call, "BYE").await, 200);
    baseline(&mut world, "after-changes").await;
}

/// Words, states and notifications beyond the rate: 413, each answered, none delivered, and the session stays; the stream gets no more than
/// the rate of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_messages() {
    const MANY: usize = 4000;
    let mut world = World::spawn(XMPP_DOMAIN, &limits("rate_per_sender = 20\nburst_per_sender = 30", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    let (call, mut line) = opened(&mut world, &mut romeo, "messages").await;
    let idle = world.gateway.peak_kib();
    let composing = |n: usize| {
        let state = if n % 4 == 1 { "active" } else { "idle" };
        format!(
            "<?xml version='1.0'?><isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>{state}</state><refresh>{}</refresh>\
             </isComposing>",
            60 + n % 3000
        )
    };
    let begun = Instant::now();
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for n in 0..MANY {
        let id = format!("flood0{n}");
        let frame = match n % 2 {
            0 => send(&call.path, OURS, &id, &format!("word {n}")),
            _ => send(&call.path, OURS, &id, &composing(n)).replace("text/plain", "application/im-iscomposing+xml"),
        };
        line.say(frame).await;
        // The answers to words wait for the XMPP server, others do not: they come in any order.
        while codes.values().sum::<usize>() + 100 <= n {
            let frame = line.next().await.expect("an answer");
            let code = frame.split(' ').nth(2).and_then(|code| code.parse().ok());
            *codes.entry(code.expect("a code")).or_default() += 1;
        }
    }
    while codes.values().sum::<usize>() < MANY {
        let frame = line.next().await.expect("an answer");
        *codes.entry(frame.split(' ').nth(2).and_then(|code| code.parse().ok()).expect("a code")).or_default() += 1;
    }
    let seconds = begun.elapsed().as_secs() as usize + 1;
    let most = 30 + 20 * seconds;
    let stanzas = world.link.said().iter().filter(|heard| matches!(heard, Heard::Stanza(_))).count();
    assert_eq!(codes.values().sum::<usize>(), MANY, "{codes:?}");
    assert_eq!(codes.keys().copied().collect::<Vec<_>>(), [200, 413], "{codes:?}");
    assert!(codes[&200] <= most, "{codes:?} in {seconds} s");
    assert!(stanzas <= most, "{stanzas} stanzas in {seconds} s");
    // Others have their own rate; and so has this one again.
    baseline(&mut world, "beside-the-flood").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    goes_on(&mut world, &call, &mut line).await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + 16 * 1024, "{peak} KiB, {idle} when idle");
}

/// Descriptions of which each line is legal, and all of them are too much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_beyond_all_measure() {
    let mut world = World::spawn(XMPP_DOMAIN, &limits("", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    let idle = world.gateway.peak_kib();
    let plain = connects();
    let types = |count: usize| (0..count).map(|n| format!(" x-t{n}/x-s{n}")).collect::<String>();
    let accept = |more: String| plain.replace("accept-types:text/plain", &format!("accept-types:text/plain{more}"));
    let cases = [
        ("many types", accept(types(3000))),
        ("many wrapped types", format!("{plain}a=accept-wrapped-types:{}\r\n", types(3000).trim())),
        ("one long type", accept(format!(" text/{}", "x".repeat(50_000)))),
        ("many attributes", format!("{plain}{}", "a=x:y\r\n".repeat(7000))),
        ("many media", format!("{plain}{}", "m=audio 0 RTP/AVP 0\r\n".repeat(2000))),
        ("many conversations", format!("{plain}{}", plain[plain.find("m=").unwrap()..].repeat(300))),
        ("a long path", plain.replace("path:", &format!("path:{}", "msrp://198.51.100.7:2855/x;tcp ".repeat(1500)))),
        (
            "many fingerprints",
            format!("{plain}{}", format!("a=fingerprint:sha-256 {}\r\n", ["AB"; 32].join(":")).repeat(400)),
        ),
        ("a long line", format!("{plain}a={}\r\n", "x".repeat(55_000))),
        ("max-size beyond numbers", format!("{plain}a=max-size:{}\r\n", "9".repeat(1000))),
        ("no more than a name", "v=0\r\n".to_owned()),
    ];
    for (n, (name, offer)) in cases.iter().enumerate() {
        for m in 0..8 {
            let begun = Instant::now();
            match timeout(PATIENCE, romeo.open(&format!("big{n}x{m}"), &format!("sip:u{n}@{XMPP_DOMAIN}"), offer)).await
            {
                Ok(Ok(_)) => {}
                Ok(Err(refused)) => {
                    let code = refused.status().unwrap();
                    assert!(matches!(code, 400 | 413 | 415 | 486 | 488 | 513), "{name}: {code}");
                }
                Err(_) => panic!("{name}: no answer"),
            }
            assert!(begun.elapsed() < Duration::from_secs(3), "{name}: {:?}", begun.elapsed());
        }
    }
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + 24 * 1024, "{peak} KiB, {idle} when idle");
    // What is sent to one who takes so much goes as ever.
    let call = romeo.open("wide", NURSE, &accept(types(3000))).await;
    if let Ok(call) = call {
        let mut line = Line::to(call.place()).await;
        line.say(send(&call.path, OURS, "wide0word", "hail")).await;
        assert_eq!(line.code("wide0word").await, 200);
        goes_on(&mut world, &call, &mut line).await;
    }
    baseline(&mut world, "after-descriptions").await;
}

/// Who is no party of a dialog changes nothing in it, whatever is guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ends_anybodys_dialog() {
    let mut world = World::start(XMPP_DOMAIN, &limits("", "", "")).await;
    let mut romeo = caller(&world, "romeo").await;
    let (call, mut line) = opened(&mut world, &mut romeo, "dialogs").await;
    let mut thief = caller(&world, "tybalt").await;
    let own = |from: &str| format!("<sip:{from}@{SIP_DOMAIN}>;tag=dialogs");
    let tag = call.remote.split(";tag=").nth(1).unwrap();
    for (name, local, remote) in [
        ("another user with all tags", own("tybalt"), call.remote.clone()),
        ("no tag", format!("<sip:romeo@{SIP_DOMAIN}>"), call.remote.clone()),
        ("another tag", format!("<sip:romeo@{SIP_DOMAIN}>;tag=guess"), call.remote.clone()),
        ("no tag of ours", own("romeo"), format!("<{NURSE}>")),
        ("half a tag of ours", own("romeo"), format!("<{NURSE}>;tag={}", &tag[..tag.len() / 2])),
        ("the tags in the other order", format!("<{NURSE}>;tag={tag}"), own("romeo")),
    ] {
        for method in ["BYE", "UPDATE", "PRACK", "INVITE", "CANCEL"] {
            // An INVITE without a tag of ours would be one of its own.
            if matches!(method, "INVITE" | "CANCEL") && !remote.contains("tag=") {
                continue;
            }
            let mut forged = Call { local: local.clone(), remote: remote.clone(), cseq: 50, ..call.clone() };
            let code = thief.ask(&mut forged, method).await;
            assert!(matches!(code, 400 | 403 | 404 | 481), "{name}: {method} is answered {code}");
        }
    }
    goes_on(&mut world, &call, &mut line).await;
    baseline(&mut world, "after-forgers").await;
}

/// The other direction: an XMPP user who writes to thousands of SIP users, each of whom would need a session. The phone takes them all with
/// a 200 that describes none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_first_words() {
    const MANY: usize = 3000;
    let mut world = World::spawn(XMPP_DOMAIN, &limits("sessions = 1000", "", "[chat]\nmode = \"session\"\n")).await;
    let mut good = caller(&world, "peter").await;
    let (call, mut line) = opened(&mut world, &mut good, "before").await;
    let idle = world.gateway.peak_kib();
    let text = "x".repeat(2000);
    let mut errors = BTreeSet::new();
    for n in 0..MANY {
        world.link.say(format!(
            "<message type='chat' id='f{n}' from='nurse@{XMPP_DOMAIN}/b' to='p{n}@{SIP_DOMAIN}'><body>{text}</body></message>"
        ));
    }
    // Each comes back, once.
    let begun = Instant::now();
    while errors.len() < MANY {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} came back", errors.len());
        match world.link.next().await {
            Heard::Stanza(e) if e.attr("type") == Some("error") => {
                assert!(errors.insert(e.attr("id").unwrap().to_owned()), "twice: {e:?}");
            }
            heard => panic!("{heard:?}"),
        }
    }
    // By their Call-IDs, as what the phone's socket has lost comes again, and that after half a second at the earliest.
    let (mut asked, mut ended) = (BTreeSet::new(), BTreeSet::new());
    while let Some(request) = world.phone.next(Duration::from_secs(if asked == ended { 1 } else { 30 })).await {
        let call_id = || request.header("Call-ID").unwrap().to_owned();
        match request.request() {
            Some(("INVITE", _)) => asked.insert(call_id()),
            Some(("BYE", _)) => ended.insert(call_id()),
            _ => false,
        };
    }
    assert_eq!(asked, ended, "each session that was taken was ended");
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
    goes_on(&mut world, &call, &mut line).await;
    baseline(&mut world, "after-first-words").await;
}

/// Long messages in many sessions while the XMPP server takes nothing: what waits is bounded, and who wrote is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded_while_the_server_takes_nothing() {
    const SESSIONS: usize = 16;
    let mut world = World::spawn(XMPP_DOMAIN, &limits("", "", "[chat]\nsessions_per_pair = 100\n")).await;
    let mut romeo = caller(&world, "romeo").await;
    let mut sessions = Vec::new();
    for n in 0..SESSIONS {
        sessions.push(opened(&mut world, &mut romeo, &format!("jammed{n}")).await);
    }
    world.link.stop_reading();
    let idle = world.gateway.peak_kib();
    let text = "x".repeat(60_000);
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < Duration::from_millis(1500) {
        for (call, line) in &mut sessions {
            // A connection that takes no more is not waited for.
            let frame = send(&call.path, OURS, &format!("jam0{sent}"), &text);
            if let Ok(true) = timeout(Duration::from_millis(100), line.try_say(frame)).await {
                sent += 1;
            }
        }
    }
    let peak = world.gateway.peak_kib();
    assert!(peak < idle + GROWTH_KIB, "{peak} KiB after {sent} messages, {idle} when idle");
    world.reconnected().await;
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for (_, line) in &mut sessions {
        while let Some(Some(frame)) = line.within(Duration::from_millis(200)).await {
            let code = frame.split(' ').nth(2).and_then(|code| code.parse().ok());
            *codes.entry(code.unwrap_or(0)).or_default() += 1;
        }
    }
    assert!(
        codes.contains_key(&408) && codes.keys().all(|code| matches!(code, 200 | 408 | 413)),
        "{sent} sent, {codes:?}"
    );
    let peak = world.gateway.peak_kib();
    assert!(peak < idle + GROWTH_KIB, "{peak} KiB after {sent} messages, {idle} when idle, {codes:?}");
    baseline(&mut world, "after-the-jam").await;
}
