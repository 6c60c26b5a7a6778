//! SIP users in rooms of XMPP when services are started anew, streams and connections break, and processes die: everybody is there who
//! should be, nobody else, and nothing is said twice.

use crate::caller::Caller;
use crate::chat_faults::{nothing_is_left, records, settings};
use crate::rig::{PATIENCE, SILENCE, Settings, World, body};
use crate::seats::{Seat, described, roster, subscribe};
use rehearsal::stub::Rooms;
use rehearsal::stub::muc::{self, Service};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use xml::Element;
use xmpp::ext::muc::Join;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

const ROOM: &str = "sip:capulet@rooms.example.com";
const ROMEO: &str = "sip:romeo@example.net";
const KEYS: &str = "rooms.muc_domains = [\"rooms.example.com\"]";

/// A world with a room in which Juliet sits as JuliC.
struct Stage {
    world: World,
    rooms: Rooms,
    romeo: Caller,
    /// How much was said.
    said: usize,
}

fn changed(stage: &Stage, keys: &str) -> Settings {
    with_rooms(&stage.romeo, keys, &stage.rooms)
}

fn with_rooms(romeo: &Caller, keys: &str, rooms: &Rooms) -> Settings {
    Settings {
        domains: "\"example.com\", \"rooms.example.com\"",
        rooms: Some(Arc::clone(rooms)),
        ..settings(romeo, &format!("{KEYS}\n{keys}"))
    }
}

fn of_juliet(stanza: Stanza, nick: Option<&str>) -> Stanza {
    let to = Jid::new(Some("capulet"), "rooms.example.com", nick).unwrap();
    stanza.with_from(Jid::parse("juliet@example.com/balcony").unwrap()).with_to(to)
}

impl Stage {
    async fn new(name: &str, keys: &str) -> Stage {
        let mut service = Service::new("rooms.example.com", 1);
        service.make("capulet", muc::Settings::default());
        let rooms = Arc::new(Mutex::new(service));
        let mut romeo = Caller::bind(ROMEO, ([127, 0, 0, 1], 9).into()).await;
        let world = World::new(name, &with_rooms(&romeo, keys, &rooms)).await;
        romeo.gateway = world.sip;
        let mut stage = Stage { world, rooms, romeo, said: 0 };
        stage.juliet_enters().await;
        stage
    }

    async fn juliet_enters(&mut self) {
        self.world.server.send(of_juliet(Stanza::presence(), Some("JuliC")).with_child(Join::default().to_element()));
        self.juliet_sees(|s| s.kind == Kind::Message && s.child("subject", ns::CLIENT).is_some()).await;
    }

    /// Juliet says something to all.
    fn juliet_says(&self, text: &str) {
        let words = Element::new("body", ns::CLIENT).with_text(text);
        self.world.server.send(of_juliet(Stanza::message().with_type("groupchat"), None).with_child(words));
    }

    /// The next stanza of this kind that an XMPP user gets.
    async fn juliet_sees(&mut self, is_it: impl Fn(&Stanza) -> bool) -> Stanza {
        loop {
            let stanza = self.world.at_juliet().await;
            if is_it(&stanza) {
                return stanza;
            }
        }
    }

    /// The next words that Juliet hears.
    async fn juliet_hears(&mut self) -> String {
        body(&self.juliet_sees(|s| s.child("body", ns::CLIENT).is_some()).await)
    }

    /// The nicknames of all devices in the room.
    fn people(&self) -> Vec<String> {
        let people = self.service().people("capulet");
        people.iter().flat_map(|person| person.sessions.iter().map(|_| person.nick.to_string())).collect()
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until these sit in the room, and nobody else. Nobody tells when, so this asks again and again.
    async fn sit_there(&self, people: &[&str]) {
        let until = Instant::now() + PATIENCE;
        while self.people() != people {
            assert!(
                Instant::now() < until,
                "{:?} are there, not {people:?}\n{}",
                self.people(),
                self.world.program.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is said goes both ways, once, and nothing else was said before.
    async fn goes_on(&mut self, seat: &mut Seat) {
        self.said += 1;
        let (hers, his) = (format!("hers {}", self.said), format!("his {}", self.said));
        self.juliet_says(&hers);
        assert_eq!(self.juliet_hears().await, hers);
        assert_eq!(seat.hears().await.text, hers);
        assert_eq!(seat.says(ROMEO, ROOM, &his).await, 200);
        assert_eq!(self.juliet_hears().await, his);
    }

    /// Nobody behind the gateway sits in the room, and the gateway has nothing any more.
    async fn is_over(&mut self) {
        self.sit_there(&["JuliC"]).await;
        nothing_is_left(&self.world).await;
    }

    /// SIP users enter; the first of them is called romeo.
    async fn enter(&mut self, id: &str) -> Seat {
        Seat::enter(&mut self.romeo, id, ROOM).await.expect("a place in the room")
    }
}

/// The service goes down and comes up: with a word to all, and without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_started_anew() {
    let mut stage = Stage::new("service-anew", "").await;
    let mut seat = stage.enter("service-anew").await;
    stage.goes_on(&mut seat).await;

    let told = stage.service().shut_down();
    let ours = |stanza: &Stanza| stanza.to.as_ref().is_some_and(|to| to.domain() == "example.net");
    for stanza in told.into_iter().filter(ours) {
        stage.world.server.send(stanza);
    }
    stage.juliet_enters().await;
    stage.sit_there(&["JuliC", "romeo"]).await;
    stage.goes_on(&mut seat).await;

    // Nobody is told: the first word shows it.
    stage.service().restart();
    stage.juliet_enters().await;
    stage.juliet_says("alone");
    assert_eq!(stage.juliet_hears().await, "alone");
    let code = seat.says(ROMEO, ROOM, "is anybody there?").await;
    assert!(matches!(code, 403 | 408), "{code}");
    stage.sit_there(&["JuliC", "romeo"]).await;
    assert_eq!(seat.hears().await.text, "alone", "what was missed is heard once");
    stage.goes_on(&mut seat).await;

    assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    stage.is_over().await;
}

/// The stream breaks: the room throws him out, as it cannot reach him, and he is in it again when the stream is; of what was said meanwhile he hears once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_lost() {
    let mut stage = Stage::new("room-stream", "").await;
    let mut seat = stage.enter("room-stream").await;
    assert_eq!(subscribe(&mut stage.romeo, &mut seat.call, 600).await, 200);
    assert!(roster(&mut stage.romeo, "room-stream").await.text().contains("gr=JuliC"));
    for n in 0..3 {
        stage.goes_on(&mut seat).await;
        let missed = format!("missed {n}");
        // What comes behind the cut is done when nobody is there, and before anybody is there again.
        stage.world.server.cut();
        stage.juliet_says(&missed);
        assert_eq!(stage.juliet_hears().await, missed);
        stage.sit_there(&["JuliC", "romeo"]).await;
        assert_eq!(seat.hears().await.text, missed);
    }
    // He speaks while it is away: that comes back, or is said; once.
    stage.world.server.hold(true);
    let frame = seat.message(ROMEO, ROOM, "into the void");
    let id = seat.say(&frame).await;
    assert!(stage.world.server.wait_held(1, PATIENCE).await);
    stage.world.server.cut();
    assert_eq!(seat.code(&id).await, 408, "nobody knows whether it was said");
    stage.world.server.hold(false);
    stage.sit_there(&["JuliC", "romeo"]).await;
    stage.goes_on(&mut seat).await;
    assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    stage.is_over().await;
}

/// A session fails with its connection: the room hears that he is gone, and what was said to him alone comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_is_lost() {
    let mut stage = Stage::new("room-connection", "").await;
    let mut seat = stage.enter("room-connection").await;
    stage.goes_on(&mut seat).await;
    stage.juliet_says(&"a long story ".repeat(5000));
    let frame = seat.line.next().await.unwrap();
    assert!(frame.contains(" SEND\r\n"), "{frame}");
    // In the middle of what he says himself.
    let half = seat.message(ROMEO, ROOM, &"and mine ".repeat(100));
    seat.line.say(&half[..half.len() / 2]).await;
    let Seat { call, line, .. } = seat;
    drop(line);
    stage.romeo.hung_up(&call).await;
    let out = |s: &Stanza| {
        s.type_.as_deref() == Some("unavailable") && s.from.as_ref().and_then(Jid::resource) == Some("romeo")
    };
    stage.juliet_sees(out).await;
    stage.is_over().await;

    // He comes again, under his name.
    let mut seat = stage.enter("and-again").await;
    let story = seat.hears().await;
    assert!(story.text.starts_with("hers 1"), "the room remembers: {story:?}");
    while !seat.hears().await.text.starts_with("a long story") {}
    stage.goes_on(&mut seat).await;
    assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    stage.is_over().await;
}

/// Some who sit there, and one who is only on the way in when the service has stopped answering.
async fn crowd(stage: &mut Stage) -> Vec<Seat> {
    let mut seats = Vec::new();
    for n in 0..3 {
        let mut seat = stage.enter(&format!("crowd-{n}")).await;
        assert_eq!(subscribe(&mut stage.romeo, &mut seat.call, 600).await, 200);
        roster(&mut stage.romeo, &format!("crowd-{n}")).await;
        seats.push(seat);
    }
    stage.sit_there(&["JuliC", "romeo", "romeo (2)", "romeo (3)"]).await;
    seats
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_places() {
    let mut stage = Stage::new("kill-places", "").await;
    let mut seats = crowd(&mut stage).await;
    let invite = stage.romeo.invite("on-the-way", ROOM, &described("onway"));
    stage.world.server.hold(true);
    stage.romeo.send(&invite).await;
    stage.world.program.wait_until("/metrics", |_, page| page.contains("\nverona_store_records 4\n"));
    stage.world.program.kill();
    for seat in &mut seats {
        assert!(seat.line.is_closed(PATIENCE).await);
    }
    assert_eq!(records(&stage.world.place), 4);
    stage.romeo.forget().await;
    stage.world.server.hold(false);
    stage.world.restart();
    for seat in &seats {
        stage.romeo.hung_up(&seat.call).await;
    }
    stage.is_over().await;
    // Whatever he still says is answered so.
    let mut call = seats.pop().unwrap().call;
    for method in ["BYE", "INVITE"] {
        assert_eq!(stage.romeo.ask(&mut call, method).await, 481, "{method}");
    }
    // And then all is as ever. The room has not kept his name for a ghost.
    let mut seat = stage.enter("as-ever").await;
    stage.sit_there(&["JuliC", "romeo"]).await;
    assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    stage.is_over().await;
}

/// What a room still says to one whom the gateway does not know is answered so that the room forgets him.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_goes() {
    let mut stage = Stage::new("ghost", "").await;
    let ghost = Jid::parse("paris@example.net/none").unwrap();
    let to = Jid::new(Some("capulet"), "rooms.example.com", Some("Paris")).unwrap();
    // As if the store had been lost with the process.
    stage.world.server.send(Stanza::presence().with_from(ghost).with_to(to).with_child(Join::default().to_element()));
    stage.is_over().await;
    let mut seat = stage.enter("beside-a-ghost").await;
    stage.goes_on(&mut seat).await;
    assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    stage.is_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_places() {
    let mut stage = Stage::new("term-places", "").await;
    let mut seats = crowd(&mut stage).await;
    // A word on its way is said before he goes.
    stage.world.server.hold(true);
    let last = seats[0].message(ROMEO, ROOM, "my last words");
    let id = seats[0].say(&last).await;
    assert!(stage.world.server.wait_held(1, PATIENCE).await);
    stage.world.program.signal("-TERM");
    stage.world.program.wait_until("/ready", |code, _| code != 200);
    stage.world.server.hold(false);
    assert_eq!(seats[0].code(&id).await, 200);
    assert_eq!(stage.juliet_hears().await, "my last words");
    for seat in &mut seats {
        stage.romeo.hung_up(&seat.call).await;
        assert!(seat.line.is_closed(PATIENCE).await);
    }
    stage.sit_there(&["JuliC"]).await;
    let World { program, place, .. } = stage.world;
    let (code, log) = program.end();
    assert_eq!((code, records(&place)), (Some(0), 0), "{log}");
}

/// Another configuration, and whoever sits in a room sits there still; what is changed of `[rooms]` holds from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_under_places() {
    let mut stage = Stage::new("hup-places", "").await;
    let mut seat = stage.enter("hup").await;
    stage.goes_on(&mut seat).await;
    stage.world.write(&changed(&stage, "rooms.seats_per_pair = 1\nrooms.history = 0"));
    stage.world.hang_up();
    stage.goes_on(&mut seat).await;
    let refused = Seat::enter(&mut stage.romeo, "one-too-many", ROOM).await.err().expect("one place of a pair");
    assert_eq!(refused.status(), Some(486), "{refused}");
    // The passwords of rooms, too: the room has one now.
    let locked = muc::Settings { password: Some("mellon".into()), ..muc::Settings::default() };
    stage.service().make("capulet", locked);
    stage.world.write(&changed(&stage, ""));
    stage.world.hang_up();
    let refused = Seat::enter(&mut stage.romeo, "no-password", ROOM).await.err().expect("a password is needed");
    assert_eq!(refused.status(), Some(403), "{refused}");
    let open = Settings {
        end: "[[rooms.password]]\nroom = \"capulet@rooms.example.com\"\npassword = \"mellon\"".to_owned(),
        ..changed(&stage, "rooms.history = 0")
    };
    stage.world.write(&open);
    stage.world.hang_up();
    let mut second = stage.enter("password").await;
    stage.sit_there(&["JuliC", "romeo", "romeo (2)"]).await;
    stage.juliet_says("to both");
    assert_eq!((seat.hears().await.text, second.hears().await.text), ("to both".to_owned(), "to both".to_owned()));
    assert_eq!(stage.juliet_hears().await, "to both");
    for seat in [&mut seat, &mut second] {
        assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    }
    stage.is_over().await;
}

/// The service takes what it is sent and says nothing: the INVITE is answered in time, and should the room let him in after all, he is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_never_ends() {
    let mut stage = Stage::new("join-for-ever", "rooms.join = \"1s\"").await;
    stage.world.server.hold(true);
    let begun = Instant::now();
    let refused = Seat::enter(&mut stage.romeo, "for-ever", ROOM).await.err().expect("no place");
    assert_eq!(refused.status(), Some(504), "{refused}");
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    // Its caller has lost patience before.
    let invite = stage.romeo.invite("cancelled", ROOM, &described("cancelled"));
    stage.romeo.send(&invite).await;
    stage.world.program.wait_until("/sessions", |_, page| page.contains("\"capulet@rooms.example.com"));
    stage.romeo.cancel(&invite).await;
    assert_eq!(stage.romeo.answer_to(&invite).await.status(), Some(487));
    assert_eq!(stage.people(), ["JuliC"]);
    stage.world.server.hold(false);
    // Who comes then comes behind all that.
    let mut seat = stage.enter("at-last").await;
    stage.sit_there(&["JuliC", "romeo"]).await;
    stage.goes_on(&mut seat).await;
    assert_eq!(stage.romeo.ask(&mut seat.call, "BYE").await, 200);
    stage.is_over().await;
    assert!(!stage.romeo.sees(SILENCE, |m| m.start.starts_with("BYE ") || m.start.starts_with("INVITE ")).await);
}
