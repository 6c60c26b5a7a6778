//! XMPP users in rooms of SIP when sessions break, focuses say nothing or the wrong thing, and processes die: everybody is there who
//! should be, nobody else, and nothing is said twice.

use crate::caller::{Caller, Line};
use crate::chat_faults::{nothing_is_left, records, settings};
use crate::rig::{PATIENCE, SILENCE, World, body, condition};
use crate::seats::{Granted, Seat, described, document, knock, let_in, named, notify, watched};
use rehearsal::wire::SipText;
use std::time::{Duration, Instant};
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::{Join, User};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

const HALL: &str = "sip:montague@example.net";
const JULIET: &str = "juliet@example.com/balcony";

/// A world with a focus.
struct Stage {
    world: World,
    focus: Caller,
    said: usize,
}

fn of_juliet(stanza: Stanza, nick: Option<&str>) -> Stanza {
    let to = Jid::new(Some("montague"), "example.net", nick).unwrap();
    stanza.with_from(Jid::parse(JULIET).unwrap()).with_to(to)
}

/// The codes of a presence, if it says that somebody is not there any more.
fn codes_of_end(stanza: &Stanza) -> Option<Vec<u16>> {
    let user = User::of(stanza).filter(|_| stanza.type_.as_deref() == Some("unavailable"))?;
    Some(user.statuses)
}

impl Stage {
    async fn new(name: &str, keys: &str) -> Stage {
        let mut focus = Caller::bind(HALL, ([127, 0, 0, 1], 9).into()).await;
        let world = World::new(name, &settings(&focus, keys)).await;
        focus.gateway = world.sip;
        Stage { world, focus, said: 0 }
    }

    fn juliet_joins(&self) {
        self.world.server.send(of_juliet(Stanza::presence(), Some("JuliC")).with_child(Join::default().to_element()));
    }

    fn juliet_says(&self, id: &str, text: &str) {
        let words = Element::new("body", ns::CLIENT).with_text(text);
        self.world.server.send(of_juliet(Stanza::message().with_type("groupchat"), None).with_id(id).with_child(words));
    }

    /// Juliet is in the room, with Romeo.
    async fn inside(&mut self) -> Granted {
        self.juliet_joins();
        let granted = Granted::next(&mut self.focus, HALL, &["Romeo", "JuliC"]).await;
        let (romeo, own) = (self.world.at_juliet().await, self.world.at_juliet().await);
        assert_eq!((nick(&romeo).as_deref(), nick(&own).as_deref()), (Some("Romeo"), Some("JuliC")));
        assert!(User::of(&own).unwrap().has(110), "{own:?}");
        assert!(self.world.at_juliet().await.child("subject", ns::CLIENT).is_some());
        granted
    }

    /// What is said goes both ways, once, and nothing came before.
    async fn goes_on(&mut self, granted: &mut Granted) {
        self.said += 1;
        let (hers, his) = (format!("hers {}", self.said), format!("his {}", self.said));
        assert_eq!(granted.says(HALL, "Romeo", &his).await, 200);
        let heard = self.world.at_juliet().await;
        assert_eq!((nick(&heard).as_deref(), body(&heard)), (Some("Romeo"), his));
        self.juliet_says(&hers, &hers);
        assert_eq!(granted.seat.hears().await.text, hers);
        let reflected = self.world.at_juliet().await;
        assert_eq!((nick(&reflected).as_deref(), body(&reflected)), (Some("JuliC"), hers));
    }

    /// Juliet leaves, the focus gets BYE, and nothing is left.
    async fn leaves(&mut self, granted: &mut Granted) {
        let bye = of_juliet(Stanza::presence().with_type("unavailable"), Some("JuliC"));
        self.world.server.send(bye);
        assert_eq!(codes_of_end(&self.world.at_juliet().await), Some(vec![110]));
        self.focus.hung_up(&granted.seat.call).await;
        self.unsubscribed(granted).await;
        self.is_over().await;
    }

    /// The gateway wants to hear no more of who is there.
    async fn unsubscribed(&mut self, granted: &mut Granted) {
        let ours = granted.watch.id.clone();
        let ends = |m: &SipText| m.header("Call-ID") == Some(&ours) && m.header("Expires") == Some("0");
        let end = self.focus.expect("the end of the subscription", ends).await;
        self.focus.grant(&end, &[("Expires", "0")]).await;
        let mut last = notify(&mut self.focus, &mut granted.watch, "");
        last.headers.retain(|(name, _)| name != "Content-Type" && name != "Subscription-State");
        last.push("Subscription-State", "terminated;reason=timeout");
        self.focus.send(&last).await;
        let code = self.focus.answer_to(&last).await.status();
        assert!(matches!(code, Some(200 | 481)), "{code:?}");
    }

    async fn is_over(&mut self) {
        nothing_is_left(&self.world).await;
        self.world
            .program
            .wait_until("/metrics", |_, page| !page.contains("verona_room_seats{side=\"xmpp\",shard=\"0\"} 1"));
        assert_eq!(self.world.server.next(SILENCE).await, None);
        assert!(!self.focus.sees(Duration::ZERO, |m| m.start.starts_with("INVITE ")).await);
    }
}

fn nick(stanza: &Stanza) -> Option<String> {
    stanza.from.as_ref()?.resource().map(str::to_owned)
}

/// A session that is lost is made anew, and Juliet knows nothing of it but that the word on its way did not arrive; one that is lost again at once is
/// the end of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_is_lost() {
    let mut stage = Stage::new("hall-lost", "").await;
    let mut first = stage.inside().await;
    stage.goes_on(&mut first).await;
    stage.juliet_says("lost", "into the void");
    let frame = first.seat.line.next().await.unwrap();
    assert!(frame.contains("into the void"), "{frame}");
    let Granted { seat: Seat { call, line, .. }, .. } = first;
    drop(line);
    stage.focus.hung_up(&call).await;
    let mut second = Granted::next(&mut stage.focus, HALL, &["Romeo", "JuliC"]).await;
    let back = stage.world.at_juliet().await;
    assert!(condition(&back).is_some() && back.id.as_deref() == Some("lost"), "{back:?}");
    stage.goes_on(&mut second).await;
    // While it was away somebody has come and somebody has gone.
    let Granted { seat: Seat { call, line, .. }, .. } = second;
    drop(line);
    stage.focus.hung_up(&call).await;
    assert_eq!(codes_of_end(&stage.world.at_juliet().await), Some(vec![110, 333]));
    nothing_is_left(&stage.world).await;
    // And she may come in again at once.
    stage.focus.forget().await;
    let mut third = stage.inside().await;
    stage.goes_on(&mut third).await;
    stage.leaves(&mut third).await;
}

/// Nobody takes the session, makes the connection, grants the name or tells who is there: the join fails in time, once, and the focus is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_never_ends() {
    let mut stage = Stage::new("hall-for-ever", "rooms.join = \"1s\"\nsip.t1 = \"50ms\"").await;
    for step in ["ring", "take", "connect", "name", "watch"] {
        let begun = Instant::now();
        stage.juliet_joins();
        let invite = knock(&mut stage.focus).await;
        let call_id = invite.header("Call-ID").unwrap().to_owned();
        let mut lines: Vec<Line> = Vec::new();
        if step == "ring" {
            stage.focus.reply(&invite, 180, "").await;
        } else if step == "take" {
            stage.focus.take(&invite, &described("takes")).await;
        } else {
            let mut seat = let_in(&mut stage.focus, &invite).await;
            if step != "connect" {
                named(&mut seat, 200).await;
            }
            if step == "watch" {
                watched(&mut stage.focus).await;
            }
            lines.push(seat.line);
        }
        let refused = stage.world.at_juliet().await;
        assert!(condition(&refused).is_some(), "{step}: {refused:?}");
        assert_eq!(refused.kind, Kind::Presence, "{step}");
        assert!(begun.elapsed() >= Duration::from_millis(900), "{step}: {:?}", begun.elapsed());
        let method = if step == "ring" { "CANCEL" } else { "BYE" };
        let end = stage.focus.request(method, &call_id).await;
        stage.focus.reply(&end, 200, "").await;
        if step == "ring" {
            stage.focus.reply(&invite, 487, "").await;
        }
        nothing_is_left(&stage.world).await;
        stage.focus.forget().await;
        assert_eq!(stage.world.server.next(SILENCE).await, None, "{step}: once");
    }
    let mut granted = stage.inside().await;
    stage.goes_on(&mut granted).await;
    stage.leaves(&mut granted).await;
}

/// NOTIFYs that are lost, late, or come twice: all of it is asked for again, and Juliet sees who is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_lost_and_out_of_order() {
    let mut stage = Stage::new("hall-notify", "").await;
    let mut granted = stage.inside().await;
    let partial = |version: u32, people: &[&str]| document(HALL, "partial", version, people);
    let mut there = vec!["JuliC".to_owned(), "Romeo".to_owned()];
    let asked_anew = async |stage: &mut Stage, granted: &mut Granted, version: u32, people: &[&str]| {
        let refresh = stage.focus.request("SUBSCRIBE", &granted.watch.id).await;
        assert_ne!(refresh.header("Expires"), Some("0"), "{refresh}");
        stage.focus.grant(&refresh, &[("Expires", "3600")]).await;
        assert_eq!(granted.tell(&mut stage.focus, &document(HALL, "full", version, people)).await, 200);
    };
    // Version 2 is lost.
    assert_eq!(granted.tell(&mut stage.focus, &partial(3, &["Ben"])).await, 200);
    asked_anew(&mut stage, &mut granted, 4, &["JuliC", "Romeo", "Nurse", "Ben"]).await;
    // Twice the same, and an old one: nothing new.
    assert_eq!(granted.tell(&mut stage.focus, &partial(5, &["-Romeo"])).await, 200);
    assert_eq!(granted.tell(&mut stage.focus, &partial(5, &["-Romeo"])).await, 200);
    // In the other order, as the network has it: the later CSeq first. Whatever is made of that, she sees the same in the end.
    let first = notify(&mut stage.focus, &mut granted.watch, &partial(6, &["Peter"]));
    let second = notify(&mut stage.focus, &mut granted.watch, &partial(7, &["-Peter", "Sampson"]));
    stage.focus.send(&second).await;
    assert_eq!(stage.focus.answer_to(&second).await.status(), Some(200));
    stage.focus.send(&first).await;
    assert_eq!(stage.focus.answer_to(&first).await.status(), Some(500), "RFC 3261 §12.2.2");
    asked_anew(&mut stage, &mut granted, 8, &["JuliC", "Nurse", "Ben", "Sampson"]).await;
    assert_eq!(granted.says(HALL, "Nurse", "that is all").await, 200);
    loop {
        let stanza = stage.world.at_juliet().await;
        let (Some(name), Kind::Presence) = (nick(&stanza), stanza.kind) else {
            assert_eq!(body(&stanza), "that is all", "{stanza:?}");
            break;
        };
        match stanza.type_.as_deref() {
            None => {
                assert!(name == "JuliC" || !there.contains(&name), "{name} comes twice");
                there.push(name);
            }
            Some(_) => {
                let at = there.iter().position(|person| *person == name).unwrap_or_else(|| panic!("{name} goes twice"));
                there.remove(at);
            }
        }
    }
    there.sort();
    there.dedup();
    assert_eq!(there, ["Ben", "JuliC", "Nurse", "Sampson"]);
    stage.goes_on(&mut granted).await;
    stage.leaves(&mut granted).await;
}

/// The stream breaks: Juliet's program is asked whether it is there still; if it is, all goes on, and if it is not, the focus is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_lost() {
    let mut stage = Stage::new("hall-stream", "").await;
    let mut granted = stage.inside().await;
    for n in 0..4 {
        stage.goes_on(&mut granted).await;
        stage.world.server.cut();
        let ping = stage.world.at_juliet().await;
        assert_eq!((ping.kind, ping.type_.as_deref()), (Kind::Iq, Some("get")), "{ping:?}");
        let answer = match n {
            3 => ping.error(&StanzaError::new(Condition::ServiceUnavailable)).unwrap(),
            _ => ping.result(None),
        };
        stage.world.server.send(answer);
    }
    assert_eq!(codes_of_end(&stage.world.at_juliet().await), Some(vec![110, 333]));
    stage.focus.hung_up(&granted.seat.call).await;
    stage.unsubscribed(&mut granted).await;
    stage.is_over().await;

    // What is said while there is no stream is not said twice, and if she has missed it she knows that she has missed something.
    let mut granted = stage.inside().await;
    stage.world.server.hold(true);
    let frame = granted.seat.message(&format!("{HALL};gr=Romeo"), HALL, "in the meantime");
    let id = granted.seat.say(&frame).await;
    assert!(stage.world.server.wait_held(1, PATIENCE).await);
    stage.world.server.cut();
    assert_eq!(granted.seat.code(&id).await, 408);
    stage.world.server.hold(false);
    assert_eq!(codes_of_end(&stage.world.at_juliet().await), Some(vec![110, 333]));
    stage.focus.hung_up(&granted.seat.call).await;
    stage.unsubscribed(&mut granted).await;
    stage.is_over().await;
}

/// Hung up by the focus, which may tell why: she is out, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_focus_goes() {
    let mut stage = Stage::new("hall-focus", "").await;
    let mut granted = stage.inside().await;
    assert_eq!(stage.focus.ask(&mut granted.seat.call, "BYE").await, 200);
    assert_eq!(codes_of_end(&stage.world.at_juliet().await), Some(vec![110, 307]));
    stage.unsubscribed(&mut granted).await;
    stage.is_over().await;

    // It dies: the session is lost, and there is none to be had.
    let granted = stage.inside().await;
    let Granted { seat: Seat { call, line, .. }, .. } = granted;
    drop(line);
    stage.focus.hung_up(&call).await;
    let again = knock(&mut stage.focus).await;
    stage.focus.reply(&again, 503, "").await;
    assert_eq!(codes_of_end(&stage.world.at_juliet().await), Some(vec![110, 333]));
    nothing_is_left(&stage.world).await;
    stage.juliet_says("out", "is anybody there?");
    let refused = stage.world.at_juliet().await;
    assert!(condition(&refused).is_some() && refused.id.as_deref() == Some("out"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_places() {
    let mut stage = Stage::new("hall-kill", "").await;
    let mut granted = stage.inside().await;
    // Another device of hers is on the way in.
    let chamber = Jid::parse("juliet@example.com/chamber").unwrap();
    let join = of_juliet(Stanza::presence(), Some("Nurse")).with_from(chamber).with_child(Join::default().to_element());
    stage.world.server.send(join);
    let invite = knock(&mut stage.focus).await;
    stage.focus.reply(&invite, 180, "").await;
    stage.world.program.wait_until("/metrics", |_, page| page.contains("\nverona_store_records 2\n"));
    stage.world.program.kill();
    assert!(granted.seat.line.is_closed(PATIENCE).await);
    assert_eq!(records(&stage.world.place), 2);
    stage.focus.forget().await;
    stage.world.restart();
    let mut told = [stage.world.at_juliet().await, stage.world.at_juliet().await];
    told.sort_by_key(nick);
    assert_eq!(told.iter().map(codes_of_end).collect::<Vec<_>>(), [Some(vec![110, 332]), Some(vec![110, 332])]);
    assert_eq!(told.iter().map(nick).collect::<Vec<_>>(), [Some("JuliC".to_owned()), Some("Nurse".to_owned())]);
    stage.focus.hung_up(&granted.seat.call).await;
    stage.is_over().await;
    // What the focus still says of it is answered so.
    assert_eq!(granted.tell(&mut stage.focus, &document(HALL, "partial", 2, &["Ben"])).await, 481);
    assert_eq!(stage.focus.ask(&mut granted.seat.call, "BYE").await, 481);
    let mut granted = stage.inside().await;
    stage.goes_on(&mut granted).await;
    stage.leaves(&mut granted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_places() {
    let mut stage = Stage::new("hall-term", "").await;
    let mut granted = stage.inside().await;
    stage.world.program.signal("-TERM");
    assert_eq!(codes_of_end(&stage.world.at_juliet().await), Some(vec![110, 332]));
    stage.focus.hung_up(&granted.seat.call).await;
    stage.unsubscribed(&mut granted).await;
    let World { program, place, .. } = stage.world;
    let (code, log) = program.end();
    assert_eq!((code, records(&place)), (Some(0), 0), "{log}");
}
