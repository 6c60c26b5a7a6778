//! XMPP users in the rooms of focuses that are broken, or mean harm: documents beyond all measure, floods, names that mean something
//! elsewhere, and INVITEs of rooms that nobody wants to be in. After each a good room is served.

use crate::caller::Caller;
use crate::chats::limits;
use crate::seats::{Granted, Seat, document, knock, notify};
use crate::world::{Heard, SIP_DOMAIN, World, XMPP_DOMAIN};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use xml::Element;

/// The most memory that the gateway may have at any time.
const MOST_KIB: u64 = 128 * 1024;

/// What a flood may add to it: what may wait for whoever is slow, and what is on its way between the threads, several times as large once it is read.
const GROWTH_KIB: u64 = 64 * 1024;

const NS: &str = "jabber:component:accept";
const USER: &str = "http://jabber.org/protocol/muc#user";

/// A focus, and a world in which all that goes to SIP goes to it.
async fn world(more: &str) -> (World, Caller) {
    let mut focus = Caller::bind(&format!("sip:hall@{SIP_DOMAIN}"), ([127, 0, 0, 1], 9).into()).await;
    let allow = "[security]\nallow_networks = [\"127.0.0.0/8\"]";
    let world = World::spawn_before(focus.address(), XMPP_DOMAIN, &limits(more, "", allow)).await;
    focus.gateway = world.gateway.udp;
    (world, focus)
}

fn uri(room: &str) -> String {
    format!("sip:{room}@{SIP_DOMAIN}")
}

async fn stanza(world: &mut World, is_it: impl Fn(&Element) -> bool) -> Element {
    loop {
        match world.link.next().await {
            Heard::Stanza(stanza) if is_it(&stanza) => return stanza,
            Heard::Stanza(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn is_own(stanza: &Element) -> bool {
    let statuses = |x: &Element| x.elements().any(|e| e.name == "status" && e.attr("code") == Some("110"));
    stanza.name == "presence" && stanza.child("x", USER).is_some_and(statuses)
}

fn joins(world: &World, room: &str, device: &str) {
    world.link.say(format!(
        "<presence from='nurse@{XMPP_DOMAIN}/{device}' to='{room}@{SIP_DOMAIN}/Nurse'><x xmlns='http://jabber.org/protocol/muc'/>\
         </presence>"
    ));
}

/// The nurse is in a room of the focus, with Ben.
async fn inside(world: &mut World, focus: &mut Caller, room: &str) -> Granted {
    joins(world, room, "b");
    let granted = Granted::next(focus, &uri(room), &["Ben", "Nurse"]).await;
    stanza(world, is_own).await;
    granted
}

/// What is said goes both ways, and nothing else was said before.
async fn goes_on(world: &mut World, granted: &mut Granted, room: &str, n: usize) {
    let (hers, his) = (format!("hers {n}"), format!("his {n}"));
    let is_word = |s: &Element| s.name == "message" && s.child("body", NS).is_some();
    assert_eq!(granted.says(&uri(room), "Ben", &his).await, 200);
    assert_eq!(stanza(world, is_word).await.child("body", NS).unwrap().text(), his);
    world.link.say(format!(
        "<message type='groupchat' id='w{n}' from='nurse@{XMPP_DOMAIN}/b' to='{room}@{SIP_DOMAIN}'><body>{hers}</body></message>"
    ));
    assert_eq!(granted.seat.hears().await.text, hers);
    assert_eq!(stanza(world, is_word).await.child("body", NS).unwrap().text(), hers);
}

async fn leaves(world: &mut World, focus: &mut Caller, granted: &Granted, room: &str) {
    world
        .link
        .say(format!("<presence type='unavailable' from='nurse@{XMPP_DOMAIN}/b' to='{room}@{SIP_DOMAIN}/Nurse'/>"));
    stanza(world, |s| is_own(s) && s.attr("type") == Some("unavailable")).await;
    focus.hung_up(&granted.seat.call).await;
}

/// A good room, from the first to the last.
async fn baseline(world: &mut World, focus: &mut Caller, room: &str) {
    let mut granted = inside(world, focus, room).await;
    goes_on(world, &mut granted, room, 1).await;
    leaves(world, focus, &granted, room).await;
}

/// Documents that are no documents, or are bombs: refused, and who is in the room is who was in it before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_are_none() {
    let (mut world, mut focus) = world("").await;
    let mut granted = inside(&mut world, &mut focus, "hall").await;
    let hall = uri("hall");
    let good = |n: u32| document(&hall, "partial", n, &["Ben"]);
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]>";
    let deep = format!("{}{}", "<x>".repeat(5000), "</x>".repeat(5000));
    for (n, bad) in [
        format!("{bomb}{}", good(2)),
        good(2).replace("<users", &format!("{deep}<users")),
        good(2).replace("</users>", ""),
        good(2).replace("version='2'", "version='-1'"),
        good(2).replace("version='2'", "version='99999999999'"),
        good(2).replace("entity=", "n:entity="),
        good(2).replace("Ben", "&#0;"),
        good(2).replace("Ben", "&unknown;"),
        "\u{0}".repeat(1000),
        "{}".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let code = granted.tell(&mut focus, &bad).await;
        assert!(matches!(code, 400 | 413 | 415 | 488 | 513), "document {n}: {code}");
    }
    let mut other = notify(&mut focus, &mut granted.watch, "x");
    other.headers.retain(|(name, _)| name != "Content-Type");
    other.push("Content-Type", "application/pidf+xml");
    focus.send(&other).await;
    assert_eq!(focus.answer_to(&other).await.status(), Some(415));
    goes_on(&mut world, &mut granted, "hall", 1).await;
    leaves(&mut world, &mut focus, &granted, "hall").await;
    baseline(&mut world, &mut focus, "nave").await;
}

/// People without end: as many are shown as may be, and memory is what these take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_without_end() {
    const EACH: usize = 150;
    let (mut world, mut focus) = world("").await;
    let mut granted = inside(&mut world, &mut focus, "hall").await;
    let idle = world.gateway.peak_kib();
    let hall = uri("hall");
    let mut shown = BTreeSet::new();
    for n in 0..100_u32 {
        let names: Vec<String> = (0..EACH).map(|i| format!("Citizen{}", n as usize * EACH + i)).collect();
        let people: Vec<&str> = names.iter().map(String::as_str).collect();
        let code = granted.tell(&mut focus, &document(&hall, "partial", n + 2, &people)).await;
        assert_eq!(code, 200, "document {n}");
        for heard in world.link.said() {
            if let Heard::Stanza(stanza) = heard {
                shown.extend(stanza.attr("from").map(str::to_owned));
            }
        }
    }
    goes_on(&mut world, &mut granted, "hall", 1).await;
    assert!(shown.len() <= 10_001, "{} are shown", shown.len());
    assert!(shown.len() > 5_000, "{} are shown", shown.len());
    // All of them go, and others come, over and over.
    for n in 0..20_u32 {
        let names: Vec<String> = (0..EACH).map(|i| format!("Guest{}", n as usize * EACH + i)).collect();
        let people: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(granted.tell(&mut focus, &document(&hall, "full", 200 + n, &people)).await, 200);
        world.link.said();
    }
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
    leaves(&mut world, &mut focus, &granted, "hall").await;
    baseline(&mut world, &mut focus, "nave").await;
}

/// Documents of which one is always missing: all of it is asked for, but not each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_without_end() {
    const MANY: u32 = 1000;
    let (mut world, mut focus) = world("").await;
    let mut granted = inside(&mut world, &mut focus, "hall").await;
    let hall = uri("hall");
    for n in 0..MANY {
        let code = granted.tell(&mut focus, &document(&hall, "partial", n * 7 + 100, &["Ben", "Nurse", "Peter"])).await;
        assert_eq!(code, 200);
    }
    let mut asked = 0;
    let again = |m: &rehearsal::wire::SipText| m.start.starts_with("SUBSCRIBE ");
    while focus.sees(Duration::from_millis(100), again).await {
        let request = focus.expect("a SUBSCRIBE", again).await;
        focus.grant(&request, &[("Expires", "3600")]).await;
        asked += 1;
    }
    assert!((1..=MANY / 10).contains(&asked), "asked for {asked} times");
    assert_eq!(granted.tell(&mut focus, &document(&hall, "full", MANY * 7 + 200, &["Ben", "Nurse"])).await, 200);
    goes_on(&mut world, &mut granted, "hall", 1).await;
    leaves(&mut world, &mut focus, &granted, "hall").await;
    baseline(&mut world, &mut focus, "nave").await;
}

/// Somebody in the room says more than is allowed: the rest is refused, and the stream gets no more than the rate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupant_floods_the_room() {
    const MANY: usize = 3000;
    let (mut world, mut focus) = world("rate_per_sender = 20\nburst_per_sender = 30").await;
    let mut granted = inside(&mut world, &mut focus, "hall").await;
    let hall = uri("hall");
    let begun = Instant::now();
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for n in 0..MANY {
        let frame = granted.seat.message(&format!("{hall};gr=Ben"), &hall, "once more");
        granted.seat.line.say(frame).await;
        while codes.values().sum::<usize>() + 100 <= n || n + 1 == MANY && codes.values().sum::<usize>() < MANY {
            let frame = granted.seat.line.next().await.expect("an answer");
            let code = frame.split(' ').nth(2).and_then(|code| code.parse().ok());
            *codes.entry(code.unwrap_or_else(|| panic!("{frame}"))).or_default() += 1;
        }
    }
    let most = 30 + 20 * (begun.elapsed().as_secs() as usize + 1);
    assert!(codes.keys().all(|code| matches!(code, 200 | 413)) && codes[&200] <= most, "{codes:?}, {most} may be");
    let said =
        world.link.said().iter().filter(|heard| matches!(heard, Heard::Stanza(s) if s.name == "message")).count();
    assert!(said <= most, "{said} stanzas");
    // Another one has a rate of his own.
    let code = granted.tell(&mut focus, &document(&hall, "partial", 2, &["Peter"])).await;
    assert_eq!((code, granted.says(&hall, "Peter", "at last").await), (200, 200));
    stanza(&mut world, |s| s.child("body", NS).is_some_and(|body| body.text() == "at last")).await;
    leaves(&mut world, &mut focus, &granted, "hall").await;
    baseline(&mut world, &mut focus, "nave").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// One who joins and says over and over, in more rooms than there are: bounded, each is answered, and others are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_floods_rooms() {
    const MANY: usize = 2000;
    let (mut world, mut focus) = world("rate_per_sender = 20\nburst_per_sender = 30").await;
    let idle = world.gateway.peak_kib();
    for n in 0..MANY {
        world.link.say(format!(
            "<presence id='j{n}' from='mallory@{XMPP_DOMAIN}/d{n}' to='hall{}@{SIP_DOMAIN}/Mallory'><x \
             xmlns='http://jabber.org/protocol/muc'/></presence>",
            n % 50
        ));
    }
    // Those that were asked for are refused, all others are errors at once.
    let mut errors = BTreeSet::new();
    let begun = Instant::now();
    while errors.len() < MANY {
        assert!(begun.elapsed() < Duration::from_secs(40), "{} of {MANY} were answered", errors.len());
        while let Some(request) = focus.next(Duration::from_micros(200)).await {
            if request.start.starts_with("INVITE ") {
                focus.reply(&request, 486, "").await;
            }
        }
        for heard in world.link.said() {
            if let Heard::Stanza(stanza) = heard {
                assert_eq!(stanza.attr("type"), Some("error"), "{stanza:?}");
                assert!(errors.insert(stanza.attr("id").unwrap().to_owned()), "twice: {stanza:?}");
            }
        }
    }
    baseline(&mut world, &mut focus, "nave").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + GROWTH_KIB, "{peak} KiB, {idle} when idle");
}

/// Focuses that call users who want to be nowhere: she is asked once for each room and no more often than that, and it rings out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn focuses_call_without_end() {
    const MANY: usize = 1000;
    let (mut world, mut focus) = world("rate_per_sender = 20\nburst_per_sender = 30").await;
    let idle = world.gateway.peak_kib();
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    for n in 0..MANY {
        let mut invite =
            focus.invite(&format!("calls{n}"), &format!("sip:nurse@{XMPP_DOMAIN}"), &crate::seats::described("calls"));
        for (name, value) in &mut invite.headers {
            if name == "Contact" {
                value.push_str(";isfocus");
            }
            if name == "From" {
                *value = format!("<{}>;tag=calls{n}", uri(&format!("hall{}", n % 20)));
            }
        }
        focus.send(&invite).await;
        while let Some(answer) = focus.next(Duration::from_micros(300)).await {
            *codes.entry(answer.status().unwrap_or(0)).or_default() += 1;
        }
    }
    let begun = Instant::now();
    while let Some(answer) = focus.next(Duration::from_millis(300)).await {
        *codes.entry(answer.status().unwrap_or(0)).or_default() += 1;
        if begun.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    let invited =
        world.link.said().iter().filter(|heard| matches!(heard, Heard::Stanza(s) if s.name == "message")).count();
    assert!((1..=100).contains(&invited), "{invited} invitations, {codes:?}");
    assert!(codes.keys().all(|code| matches!(code, 100 | 180 | 403 | 480 | 486 | 503)), "{codes:?}");
    focus.forget().await;
    baseline(&mut world, &mut focus, "nave").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + GROWTH_KIB, "{peak} KiB, {idle} when idle");
}

/// Names that mean something in XML, or are none: whoever has one is shown under one that a room may have, and what he says is his.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_with_markup() {
    let (mut world, mut focus) = world("").await;
    let mut granted = inside(&mut world, &mut focus, "hall").await;
    let hall = uri("hall");
    let names = [
        "&lt;b>",
        "&quot;",
        "a/b",
        "&amp;amp;",
        "\u{202e}neB",
        "\u{200b}",
        "Nurse",
        "",
        " ",
        "\u{fdd0}",
        "a@b",
        "&#x1f600;",
        "nurse",
    ];
    let users: String = names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            format!(
                "<user entity='{hall};gr=e{n}'><display-text>{name}</display-text><endpoint entity='{hall};gr=e{n}'><status>connected\
                 </status></endpoint></user>"
            )
        })
        .collect();
    let text = document(&hall, "partial", 2, &[]).replace("</users>", &format!("{users}</users>"));
    assert_eq!(granted.tell(&mut focus, &text).await, 200);
    let mut shown = BTreeMap::new();
    for (n, name) in names.iter().enumerate() {
        let said = format!("I am number {n}");
        assert_eq!(granted.says(&hall, &format!("e{n}"), &said).await, 200);
        let heard = stanza(&mut world, |s| s.child("body", NS).is_some_and(|body| body.text() == said)).await;
        let from = heard.attr("from").unwrap().to_owned();
        assert!(from.starts_with(&format!("hall@{SIP_DOMAIN}/")), "{name:?}: {from}");
        assert!(shown.insert(from.clone(), n).is_none(), "{from} is two people");
        assert!(!from.ends_with("/Nurse"), "nobody is she: {from}");
    }
    leaves(&mut world, &mut focus, &granted, "hall").await;
    baseline(&mut world, &mut focus, "nave").await;
}

/// A focus that does things in no order: what fits nothing is refused, and nobody is in a room because of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_nothing() {
    let (mut world, mut focus) = world("").await;
    joins(&world, "hall", "b");
    let invite = knock(&mut focus).await;
    // Who is there, before anybody has asked; of another conference; in the session's dialog.
    let call = focus.invited(&invite, &invite.response(200, "OK", "early"));
    for package in ["conference", "presence", "refer", "nothing"] {
        let mut early = notify(&mut focus, &mut call.clone(), &document(&uri("hall"), "full", 1, &["Nurse"]));
        early.headers.iter_mut().filter(|(name, _)| name == "Event").for_each(|(_, value)| package.clone_into(value));
        focus.send(&early).await;
        let code = focus.answer_to(&early).await.status();
        assert!(matches!(code, Some(481 | 489)), "{package}: {code:?}");
    }
    focus.reply(&invite, 486, "").await;
    let refused = stanza(&mut world, |s| s.name == "presence").await;
    assert_eq!(refused.attr("type"), Some("error"), "{refused:?}");
    // Words before the name, twice the same name, and an answer that nobody has asked for.
    joins(&world, "hall", "b");
    let invite = knock(&mut focus).await;
    let mut seat: Seat = crate::seats::let_in(&mut focus, &invite).await;
    let (hall, path) = (uri("hall"), seat.call.path.clone());
    seat.line.say(format!("MSRP nobody 200 OK\r\nTo-Path: {path}\r\nFrom-Path: {path}\r\n-------nobody$\r\n")).await;
    let early = seat.message(&format!("{hall};gr=Ben"), &hall, "before anybody is there");
    let id = seat.say(&early).await;
    crate::seats::named(&mut seat, 200).await;
    let watch = crate::seats::watched(&mut focus).await;
    let mut granted = Granted { seat, watch, version: 0 };
    assert_eq!(granted.tell(&mut focus, &document(&hall, "full", 1, &["Ben", "Nurse"])).await, 200);
    let heard = stanza(&mut world, |s| s.name == "message" && s.child("body", NS).is_some()).await;
    assert_eq!(heard.child("body", NS).unwrap().text(), "before anybody is there");
    assert_eq!(granted.seat.code(&id).await, 200);
    goes_on(&mut world, &mut granted, "hall", 1).await;
    leaves(&mut world, &mut focus, &granted, "hall").await;
    baseline(&mut world, &mut focus, "nave").await;
}
