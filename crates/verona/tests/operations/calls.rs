//! Calls when processes die and streams break: both sides know that it is over, or it goes on; nobody rings for ever, and nothing stays in the store.

use crate::caller::{Call, Caller};
use crate::chat_faults::{JULIET, records};
use crate::rig::{PATIENCE, Settings, World};
use base::{Time, Tokens};
use rehearsal::stub::jingle::{self, Answer, Device, Manners};
use rehearsal::wire::SipText;
use std::time::{Duration, Instant};
use xmpp::ext::jingle::Condition;
use xmpp::jid::Jid;
use xmpp::stanza::Kind;

/// What a browser's phone says; without trickling, so that all is said at once.
const PHONE: &str = "v=0\r\no=romeo 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 49170 UDP/TLS/RTP/SAVPF 111 0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtcp-mux\r\n\
    a=ice-ufrag:romU\r\na=ice-pwd:romeosPasswordIsLong24xy\r\na=candidate:1 1 UDP 2130706431 192.0.2.20 49170 typ host\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n";

fn offer() -> String {
    format!("{PHONE}a=setup:actpass\r\n")
}

fn answer() -> String {
    format!("{PHONE}a=setup:active\r\n")
}

/// Juliet with a device, Romeo with a telephone, and a gateway between them.
struct Stage {
    world: World,
    romeo: Caller,
    juliet: Device,
    start: Instant,
}

impl Stage {
    async fn new(name: &str, keys: &str) -> Stage {
        let mut romeo = Caller::bind("sip:romeo@example.net", ([127, 0, 0, 1], 9).into()).await;
        let settings = Stage::settings(&romeo, keys);
        let world = World::new(name, &settings).await;
        romeo.gateway = world.sip;
        let manners = Manners { rings_for: Duration::ZERO, trickle: None, ..Manners::default() };
        let jid = Jid::parse("juliet@example.com/balcony").unwrap();
        let juliet = Device::new(jid, manners, Tokens::seeded(7));
        Stage { world, romeo, juliet, start: Instant::now() }
    }

    fn settings(romeo: &Caller, keys: &str) -> Settings {
        let drain = if keys.contains("limits.drain") { "" } else { "limits.drain = \"3s\"\n" };
        let keys = format!("media.enabled = true\nmedia.gather_quiet = \"50ms\"\n{drain}{keys}");
        Settings { keys, proxy: Some(romeo.address()), ..Settings::default() }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap())
    }

    /// The device hears and says something, or a moment goes by.
    async fn turn(&mut self) {
        let now = self.now();
        if self.juliet.deadline().is_some_and(|at| at <= now) {
            self.juliet.timeout(now);
        }
        while let Some(stanza) = self.juliet.poll() {
            self.world.server.send(stanza);
        }
        if let Some(stanza) = self.world.server.next(Duration::from_millis(20)).await {
            // The proposals are for all her devices.
            let hers = stanza.kind != Kind::Presence;
            if hers {
                let now = self.now();
                self.juliet.received(now, &stanza);
            }
        }
        while let Some(stanza) = self.juliet.poll() {
            self.world.server.send(stanza);
        }
    }

    /// Lets the device live until it has what is wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Device) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(&self.juliet) {
            assert!(Instant::now() < until, "{what} does not come: {:?}", self.juliet.calls());
            self.turn().await;
        }
    }

    /// Lets the device live while something else is waited for.
    async fn meanwhile<T>(&mut self, act: impl AsyncFnOnce(&mut Caller) -> T) -> T {
        let address = self.romeo.gateway;
        let romeo = std::mem::replace(&mut self.romeo, Caller::bind("sip:nobody@example.net", address).await);
        let mut romeo = Box::new(romeo);
        let done = {
            let act = act(&mut romeo);
            let mut act = std::pin::pin!(act);
            loop {
                tokio::select! {
                    biased;
                    done = &mut act => break done,
                    () = self.turn() => {}
                }
            }
        };
        self.romeo = *romeo;
        done
    }

    /// Juliet calls, and Romeo's telephone has the INVITE.
    async fn juliet_dials(&mut self) -> (String, SipText) {
        let now = self.now();
        let sid = self.juliet.dial(now, &Jid::parse("romeo@example.net").unwrap(), &["audio"]).to_string();
        let id = sid.clone();
        let invite = self.meanwhile(async move |romeo| romeo.request("INVITE", &id).await).await;
        (sid, invite)
    }

    /// They talk, as Juliet has called.
    async fn juliet_calls(&mut self) -> (String, Call) {
        let (sid, invite) = self.juliet_dials().await;
        let call = self.meanwhile(async move |romeo| romeo.take(&invite, &answer()).await).await;
        let id = sid.clone();
        self.until("the session-accept", |juliet| juliet.call(&id).is_some_and(jingle::Call::is_active)).await;
        (sid, call)
    }

    /// They talk, as Romeo has called.
    async fn romeo_calls(&mut self, id: &str) -> (String, Call) {
        let name = id.to_owned();
        let call = self.meanwhile(async move |romeo| romeo.open(&name, JULIET, &offer()).await).await.expect("a call");
        (id.to_owned(), call)
    }

    /// It is over for the device, for this reason.
    async fn is_over(&mut self, sid: &str, why: Condition) {
        self.until("the end", |juliet| juliet.call(sid).is_none_or(jingle::Call::is_over)).await;
        assert_eq!(self.juliet.call(sid).and_then(|call| call.why), Some(why), "{sid}");
    }

    /// Romeo hangs up, and that is all right.
    async fn ends(&mut self, sid: &str, call: &mut Call) {
        let mut same = call.clone();
        assert_eq!(self.meanwhile(async move |romeo| romeo.ask(&mut same, "BYE").await).await, 200);
        self.is_over(sid, Condition::Success).await;
    }

    /// The gateway holds nothing any more.
    fn nothing_is_left(&self) {
        self.world.program.wait_until("/metrics", |_, page| {
            page.contains("\nverona_store_records 0\n") && page.contains("\nverona_store_queue 0\n")
        });
    }
}

/// Both ways, and hung up by either side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_begin_and_end() {
    let mut stage = Stage::new("calls", "").await;
    let (sid, mut call) = stage.juliet_calls().await;
    stage.ends(&sid, &mut call).await;
    let (sid, call) = stage.romeo_calls("romeo-calls-juliet-1").await;
    let now = stage.now();
    stage.juliet.hang_up(now, &sid, Condition::Success);
    stage.meanwhile(async move |romeo| romeo.hung_up(&call).await).await;
    stage.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_calls() {
    let mut stage = Stage::new("kill-calls", "").await;
    let (one, mut first) = stage.juliet_calls().await;
    let (two, second) = stage.romeo_calls("romeo-calls-juliet-2").await;
    // And one that rings.
    stage.juliet.manners.answer = Answer::Ring;
    let rings = stage.romeo.invite("romeo-calls-juliet-4", JULIET, &offer());
    stage.romeo.send(&rings).await;
    stage.until("the proposal", |juliet| juliet.call("romeo-calls-juliet-4").is_some()).await;
    stage.world.program.wait_until("/metrics", |_, page| page.contains("\nverona_store_records 3\n"));
    stage.world.program.kill();
    assert_eq!(records(&stage.world.place), 3);
    stage.romeo.forget().await;
    stage.world.restart();
    for call in [&first, &second] {
        let call = call.clone();
        stage.meanwhile(async move |romeo| romeo.hung_up(&call).await).await;
    }
    for sid in [&one, &two, "romeo-calls-juliet-4"] {
        stage.is_over(sid, Condition::Gone).await;
    }
    stage.nothing_is_left();
    // Whoever still speaks is told.
    assert_eq!(stage.meanwhile(async move |romeo| romeo.ask(&mut first, "BYE").await).await, 481);
    // And then all is as ever.
    stage.juliet.manners.answer = Answer::Take;
    let (sid, mut call) = stage.juliet_calls().await;
    stage.ends(&sid, &mut call).await;
    stage.nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_a_telephone_rings() {
    let mut stage = Stage::new("kill-ringing", "").await;
    let (sid, invite) = stage.juliet_dials().await;
    stage.world.program.wait_until("/metrics", |_, page| page.contains("\nverona_store_records 1\n"));
    stage.world.program.kill();
    stage.world.restart();
    stage.is_over(&sid, Condition::Gone).await;
    stage.nothing_is_left();
    // Whoever answers now is not answered.
    stage.romeo.reply(&invite, 200, &answer()).await;
    let (sid, mut call) = stage.romeo_calls("and-all-is-as-ever-1").await;
    stage.ends(&sid, &mut call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_calls() {
    let mut stage = Stage::new("term-calls", "").await;
    let (one, first) = stage.juliet_calls().await;
    let (two, second) = stage.romeo_calls("romeo-calls-juliet-3").await;
    stage.world.program.signal("-TERM");
    for call in [first, second] {
        stage.meanwhile(async move |romeo| romeo.hung_up(&call).await).await;
    }
    for sid in [&one, &two] {
        stage.is_over(sid, Condition::Gone).await;
    }
    let World { program, place, .. } = stage.world;
    let (code, log) = program.end();
    assert_eq!((code, records(&place)), (Some(0), 0), "{log}");
}

/// Another configuration, and whoever talks talks still; what is changed holds from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_in_a_call() {
    let mut stage = Stage::new("hup-calls", "").await;
    let (sid, mut call) = stage.juliet_calls().await;
    stage.world.write(&Stage::settings(&stage.romeo, "media.calls_per_pair = 1"));
    stage.world.hang_up();
    let refused = stage.meanwhile(async |romeo| romeo.open("one-too-many-of-them", JULIET, &offer()).await).await;
    assert_eq!(refused.err().and_then(|answer| answer.status()), Some(486));
    stage.ends(&sid, &mut call).await;
    let (sid, mut call) = stage.romeo_calls("now-there-is-room-again").await;
    stage.ends(&sid, &mut call).await;
    stage.nothing_is_left();
}

/// The stream breaks in a call: it goes on, if the device still knows of it when the stream is back (XEP-0166 §6.8), and ends on both sides if not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_breaks_in_a_call() {
    let mut stage = Stage::new("cut-calls", "").await;
    let (sid, mut call) = stage.juliet_calls().await;
    let (other, lost) = stage.romeo_calls("this-one-will-be-lost").await;
    stage.world.server.cut();
    assert!(stage.world.server.wait_up(PATIENCE).await);
    // Of one of them she knows nothing any more.
    let now = stage.now();
    stage.juliet.hang_up(now, &other, Condition::Gone);
    while stage.juliet.poll().is_some() {}
    stage.juliet.forget();
    stage.meanwhile(async move |romeo| romeo.hung_up(&lost).await).await;
    assert!(stage.juliet.call(&sid).is_some_and(jingle::Call::is_active));
    stage.ends(&sid, &mut call).await;
    stage.nothing_is_left();
}

/// What is said while the stream is away is said when it is back: no ghosts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telephone_hangs_up_while_the_stream_is_away() {
    let mut stage = Stage::new("away-calls", "").await;
    let (sid, mut call) = stage.juliet_calls().await;
    stage.world.server.cut();
    assert_eq!(stage.romeo.ask(&mut call, "BYE").await, 200);
    stage.is_over(&sid, Condition::Success).await;
    stage.nothing_is_left();
}
