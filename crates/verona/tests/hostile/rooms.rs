//! SIP users in rooms of XMPP, where either of them is many, or floods the other. After each a good room is served.

use crate::caller::Caller;
use crate::chats::{caller, limits};
use crate::seats::{Seat, roster, subscribe};
use crate::world::{Heard, Link, World, XMPP_DOMAIN};
use bodies::conference::{Bounds, Conference, Info};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use xml::Element;

/// The most memory that the gateway may have at any time.
const MOST_KIB: u64 = 160 * 1024;

/// What a flood may add to it: what may wait for whoever is slow, and what is on its way between the threads, several times as large once it is read.
const GROWTH_KIB: u64 = 96 * 1024;

pub(super) const MUC: &str = "http://jabber.org/protocol/muc";
pub(super) const NS: &str = "jabber:component:accept";

/// A world in which every XMPP address is a room. Sessions may lead to this machine, so that what is for a caller comes to him.
pub(super) async fn world(rooms: &str, more: &str) -> World {
    let rooms =
        format!("[rooms]\nmuc_domains = [\"{XMPP_DOMAIN}\"]\n{rooms}\n[security]\nallow_networks = [\"127.0.0.0/8\"]");
    World::spawn(XMPP_DOMAIN, &limits(more, "", &rooms)).await
}

/// A SIP user's place in a room whose every word is the test's.
pub(super) struct Place {
    pub(super) seat: Seat,
    /// The user, as the room knows him, and his address in the room.
    pub(super) user: String,
    pub(super) own: String,
    pub(super) room: String,
}

impl Place {
    /// The room's SIP address.
    pub(super) fn uri(&self) -> String {
        format!("sip:{}", self.room)
    }

    pub(super) fn sip_user(&self) -> String {
        format!("sip:{}", self.user.split('/').next().unwrap())
    }

    pub(super) fn presence(&self, nick: &str, type_: &str, statuses: &[u16]) -> String {
        presence(&self.room, nick, &self.user, type_, statuses)
    }

    pub(super) fn groupchat(&self, nick: &str, id: &str, text: &str) -> String {
        let (room, user, nick, text) = (&self.room, &self.user, escaped(nick), escaped(text));
        format!("<message type='groupchat' from='{room}/{nick}' to='{user}' id='{id}'><body>{text}</body></message>")
    }
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}

fn presence(room: &str, nick: &str, user: &str, type_: &str, statuses: &[u16]) -> String {
    let codes: String = statuses.iter().map(|code| format!("<status code='{code}'/>")).collect();
    let (nick, type_) = (escaped(nick), if type_.is_empty() { String::new() } else { format!(" type='{type_}'") });
    format!(
        "<presence from='{room}/{nick}' to='{user}'{type_}><x xmlns='{MUC}#user'><item affiliation='none' role='participant'/>{codes}</x>\
         </presence>"
    )
}

pub(super) async fn stanza(link: &mut Link, is_it: impl Fn(&Element) -> bool) -> Element {
    loop {
        match link.next().await {
            Heard::Stanza(stanza) if is_it(&stanza) => return stanza,
            Heard::Stanza(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn is(name: &'static str, type_: Option<&'static str>) -> impl Fn(&Element) -> bool {
    move |stanza: &Element| stanza.name == name && stanza.attr("type") == type_
}

/// Somebody enters a room in which these are.
pub(super) async fn enter(world: &mut World, guest: &mut Caller, id: &str, room: &str, people: &[String]) -> Place {
    let uri = format!("sip:{room}@{XMPP_DOMAIN}");
    let link = &mut world.link;
    let lets_in = async {
        let join = stanza(link, |s| s.name == "presence" && s.child("x", MUC).is_some()).await;
        let (user, own) = (join.attr("from").unwrap().to_owned(), join.attr("to").unwrap().to_owned());
        let (room, nick) = own.split_once('/').unwrap();
        for other in people {
            link.say(presence(room, other, &user, "", &[]));
        }
        link.say(presence(room, nick, &user, "", &[110]));
        link.say(format!("<message type='groupchat' from='{room}' to='{user}'><subject/></message>"));
        (user, own.clone(), room.to_owned())
    };
    let (seat, (user, own, room)) = tokio::join!(Seat::enter(guest, id, &uri), lets_in);
    Place { seat: seat.expect("a place"), user, own, room }
}

/// The room says to all what it is told, and grants no names, as long as something else goes on.
pub(super) async fn among<T>(link: &mut Link, what: impl Future<Output = T>) -> T {
    let reflects = async {
        loop {
            let said = stanza(link, |s| !matches!(s.attr("type"), Some("error" | "unavailable"))).await;
            let (from, to) = (said.attr("from").unwrap(), said.attr("to").unwrap());
            let id = said.attr("id").unwrap_or_default();
            match (&*said.name, said.attr("type")) {
                ("message", Some("groupchat")) => {
                    let nick = from.split('@').next().unwrap();
                    let text = said.child("body", NS).map(|body| body.text().into_owned()).unwrap_or_default();
                    let text = escaped(&text);
                    link.say(format!("<message type='groupchat' from='{to}/{nick}' to='{from}' id='{id}'><body>{text}</body></message>"));
                }
                ("presence", None) => link.say(format!(
                    "<presence type='error' from='{to}' to='{from}' id='{id}'><error type='cancel'><conflict \
                     xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
                )),
                _ => {}
            }
        }
    };
    tokio::select! {
        done = what => done,
        () = reflects => unreachable!("it goes on for ever"),
    }
}

/// What is said in a room goes both ways, and nothing else was said before.
pub(super) async fn goes_on(world: &mut World, place: &mut Place, n: usize) {
    let (hers, his) = (format!("hers {n}"), format!("his {n}"));
    world.link.say(place.groupchat("Ben", &format!("goes{n}"), &hers));
    assert_eq!(place.seat.hears().await.text, hers);
    let (user, room) = (place.sip_user(), place.uri());
    assert_eq!(among(&mut world.link, place.seat.says(&user, &room, &his)).await, 200);
}

/// A good room, from the first to the last: the place is taken, words go both ways, and it is left.
pub(super) async fn baseline(world: &mut World, id: &str) {
    let mut peter = caller(world, "peter").await;
    let mut place = enter(world, &mut peter, id, "nave", &["Ben".to_owned()]).await;
    goes_on(world, &mut place, 1).await;
    assert_eq!(peter.ask(&mut place.seat.call, "BYE").await, 200);
    let own = place.own.clone();
    stanza(&mut world.link, |s| is("presence", Some("unavailable"))(s) && s.attr("to") == Some(&own)).await;
}

/// An occupant who says more than anybody can take: who takes it hears it all in order; who does not is out of the room before much of it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupant_floods_the_room() {
    const MANY: usize = 60_000;
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "patient", "square", &["Ben".to_owned()]).await;
    for n in 0..1000 {
        world.link.say(place.groupchat("Ben", &format!("f{n}"), &format!("word {n}")));
    }
    for n in 0..1000 {
        assert_eq!(place.seat.hears().await.text, format!("word {n}"));
    }
    let idle = world.gateway.peak_kib();
    let text = "x".repeat(1000);
    for n in 0..MANY {
        world.link.say(place.groupchat("Ben", &format!("g{n}"), &text));
    }
    let out = stanza(&mut world.link, is("presence", Some("unavailable"))).await;
    assert_eq!(out.attr("to"), Some(&*place.own));
    romeo.hung_up(&place.seat.call).await;
    baseline(&mut world, "after-the-flood").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + GROWTH_KIB, "{peak} KiB, {idle} when idle");
}

/// A SIP user who says more than is allowed: the room gets no more than the rate, and each word has its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_floods_the_room() {
    const MANY: usize = 3000;
    let mut world = world("", "rate_per_sender = 20\nburst_per_sender = 30").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "flood", "square", &["Ben".to_owned()]).await;
    let (user, uri) = (place.sip_user(), place.uri());
    let begun = Instant::now();
    let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
    let floods = async {
        for n in 0..MANY {
            let frame = match n % 3 {
                2 => place.seat.frame("NICKNAME", &format!("Use-Nickname: \"Name {n}\"\r\n")),
                _ => place.seat.message(&user, &uri, "once more"),
            };
            place.seat.line.say(frame).await;
            while codes.values().sum::<usize>() + 100 <= n || n + 1 == MANY && codes.values().sum::<usize>() < MANY {
                let frame = place.seat.line.next().await.expect("an answer");
                let code = frame.split(' ').nth(2).and_then(|code| code.parse().ok());
                *codes.entry(code.unwrap_or_else(|| panic!("{frame}"))).or_default() += 1;
            }
        }
    };
    among(&mut world.link, floods).await;
    let most = 30 + 20 * (begun.elapsed().as_secs() as usize + 1);
    // 425: granted by nobody; 408: another name is asked for; 403: too many.
    assert!(codes.keys().all(|code| matches!(code, 200 | 403 | 408 | 413 | 425)), "{codes:?}");
    let asked = codes.get(&200).unwrap_or(&0) + codes.get(&425).unwrap_or(&0);
    assert!(asked > 0 && asked <= most, "{codes:?}, {most} may be");
    // Others have their own rate.
    baseline(&mut world, "beside-the-flood").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

/// The room of all Verona: as many as may be are let in upon and told of; one more, and it cannot be entered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_people() {
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let people: Vec<String> = (0..9_999).map(|n| format!("Citizen {n:05}")).collect();
    let idle = world.gateway.peak_kib();
    let mut place = enter(&mut world, &mut romeo, "verona", "verona", &people).await;
    assert_eq!(subscribe(&mut romeo, &mut place.seat.call, 3600).await, 200);
    let mut conference = Conference::new(base::HashKey::new(1, 2), Bounds { users: 20_000, bytes: 64 << 20 });
    while conference.users().count() < 10_000 {
        let notify = roster(&mut romeo, "verona").await;
        let info = Info::parse(&notify.body, 20_000).expect("a document");
        conference.apply(info).expect("no gap");
    }
    let nicks: BTreeSet<_> = conference.users().filter_map(|user| user.nickname.clone()).collect();
    assert!(people.iter().all(|nick| nicks.contains(nick.as_str())));
    goes_on(&mut world, &mut place, 1).await;
    assert_eq!(romeo.ask(&mut place.seat.call, "BYE").await, 200);

    let uri = format!("sip:crowd@{XMPP_DOMAIN}");
    let link = &mut world.link;
    let shows = async {
        let join = stanza(link, |s| s.name == "presence" && s.child("x", MUC).is_some()).await;
        let (user, own) = (join.attr("from").unwrap(), join.attr("to").unwrap());
        let (room, nick) = own.split_once('/').unwrap();
        for n in 0..15_000 {
            link.say(presence(room, &format!("Citizen {n}"), user, "", &[]));
        }
        link.say(presence(room, nick, user, "", &[110]));
        stanza(link, is("presence", Some("unavailable"))).await
    };
    let (refused, _) = tokio::join!(Seat::enter(&mut romeo, "crowd", &uri), shows);
    assert_eq!(refused.err().and_then(|refused| refused.status()), Some(486));
    baseline(&mut world, "after-verona").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB, "{peak} KiB, {idle} when idle");
}

/// One who is called something else all the time: the subscriber is told at the pace that he takes, and of the truth in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_change_all_the_time() {
    const MANY: usize = 10_000;
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "churn", "square", &["Name 0".to_owned(), "Ben".to_owned()]).await;
    assert_eq!(subscribe(&mut romeo, &mut place.seat.call, 3600).await, 200);
    let mut conference = Conference::new(base::HashKey::new(1, 2), Bounds { users: 20_000, bytes: 64 << 20 });
    let first = roster(&mut romeo, "churn").await;
    conference.apply(Info::parse(&first.body, 100).expect("a document")).expect("the first");
    let idle = world.gateway.peak_kib();
    for n in 0..MANY {
        let (room, user) = (&place.room, &place.user);
        world.link.say(format!(
            "<presence from='{room}/Name {n}' to='{user}' type='unavailable'><x xmlns='{MUC}#user'><item affiliation='none' \
             role='participant' nick='Name {}'/><status code='303'/></x></presence>",
            n + 1
        ));
        world.link.say(place.presence(&format!("Name {}", n + 1), "", &[]));
    }
    // Behind all of it.
    goes_on(&mut world, &mut place, 1).await;
    let wanted = BTreeSet::from(["Ben".to_owned(), format!("Name {MANY}"), "romeo".to_owned()]);
    let nicks = |conference: &Conference| -> BTreeSet<String> {
        conference
            .users()
            .filter(|user| user.is_present())
            .filter_map(|user| Some(user.nickname.as_ref()?.to_string()))
            .collect()
    };
    let mut told = 0;
    while nicks(&conference) != wanted {
        let notify = roster(&mut romeo, "churn").await;
        conference.apply(Info::parse(&notify.body, 20_000).expect("a document")).expect("no gap");
        told += 1;
        assert!(told < MANY / 10, "{told} documents, and still {:?}", nicks(&conference));
    }
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + GROWTH_KIB, "{peak} KiB, {idle} when idle");
    baseline(&mut world, "after-names").await;
}

/// REFERs and SUBSCRIBEs without end, within the session and beside it: each is answered, few are done, and the room goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_refers_and_subscriptions() {
    const MANY: usize = 2000;
    let mut world = world("", "rate_per_sender = 20\nburst_per_sender = 30").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "asks", "square", &["Ben".to_owned()]).await;
    let idle = world.gateway.peak_kib();
    let begun = Instant::now();
    let mut codes: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    let count = |codes: &mut BTreeMap<(&'static str, u16), usize>, answer: &rehearsal::wire::SipText| {
        let method =
            ["REFER", "SUBSCRIBE"].into_iter().find(|m| answer.header("CSeq").is_some_and(|cseq| cseq.ends_with(m)));
        if let (Some(method), Some(code)) = (method, answer.status()) {
            *codes.entry((method, code)).or_default() += 1;
        }
    };
    for n in 0..MANY {
        let mut request = match n % 4 {
            0 | 1 => {
                let mut refer = romeo.within(&mut place.seat.call, "REFER");
                refer.push("Refer-To", format!("<sip:u{n}@{XMPP_DOMAIN}>"));
                refer
            }
            2 => romeo.within(&mut place.seat.call, "SUBSCRIBE"),
            _ => {
                // A dialog of its own.
                let mut call = place.seat.call.clone();
                (call.id, call.cseq) = (format!("asks{n}"), 0);
                call.remote = format!("<{}>", place.uri());
                call.target = place.uri();
                romeo.within(&mut call, "SUBSCRIBE")
            }
        };
        if n % 4 > 1 {
            request.push("Event", if n % 8 < 4 { "conference".to_owned() } else { format!("conference;id={n}") });
            request.push("Expires", "3600");
        }
        romeo.send(&request).await;
        while let Some(message) = romeo.next(Duration::from_micros(500)).await {
            count(&mut codes, &message);
            if message.status().is_none() {
                romeo.reply(&message, 200, "").await;
            }
        }
    }
    while let Some(message) = romeo.next(Duration::from_millis(300)).await {
        count(&mut codes, &message);
        if message.status().is_none() {
            romeo.reply(&message, 200, "").await;
        }
    }
    let most = 30 + 20 * (begun.elapsed().as_secs() as usize + 1);
    let of = |method, code| codes.get(&(method, code)).copied().unwrap_or(0);
    // One that is asked for again under the same name is one.
    let subscribed = of("SUBSCRIBE", 200);
    assert!(subscribed > 0 && subscribed <= MANY / 8 + 4, "{codes:?}");
    assert!(of("REFER", 200) + of("REFER", 202) <= most, "{codes:?} in {:?}", begun.elapsed());
    let asked =
        world.link.said().iter().filter(|heard| matches!(heard, Heard::Stanza(s) if s.name == "message")).count();
    assert!(asked > 0 && asked <= most, "{asked} invitations");
    goes_on(&mut world, &mut place, 1).await;
    baseline(&mut world, "after-asking").await;
    let peak = world.gateway.peak_kib();
    assert!(peak < MOST_KIB && peak < idle + 24 * 1024, "{peak} KiB, {idle} when idle");
}
