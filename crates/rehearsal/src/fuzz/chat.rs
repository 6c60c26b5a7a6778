//! The whole gateway with chat sessions, between two users who do anything in any order.

use crate::scene::{Player, Seen, Settings};
use std::collections::BTreeMap;
use std::time::Duration;

/// Steps are taken up to here.
const STEPS: usize = 120;

const INVITE: &str = "romeo sends\n    INVITE sip:juliet@example.com SIP/2.0\n    Content-Type: application/sdp\n\n";
const AGAIN: &str = "romeo sends\n    INVITE * SIP/2.0\n    Content-Type: application/sdp\n\n";
const OK: &str = "romeo sends\n    SIP/2.0 200 OK\n    Content-Type: application/sdp\n\n";

/// What becomes of a message of the XMPP user.
#[derive(Debug, Default)]
struct Fate {
    /// How often all of it went out.
    sent: u32,
    errors: u32,
    /// The gateway was killed since it was written.
    doomed: bool,
}

/// What has been so far.
#[derive(Debug, Default)]
struct Past {
    /// By what the XMPP user's messages are called.
    fates: BTreeMap<usize, Fate>,
    /// The id and the addressee of what she got last.
    last: Option<(String, String)>,
    /// The stream was away: what it may have lost is said again.
    away: bool,
}

/// Two users; each byte is something that one of them does, or that happens. Most is not possible at that moment, and nothing comes of it.
///
/// What is sent can be read, and goes where it may. A message of the XMPP user goes out once, or comes back, or both; never neither. When
/// both have been silent for long enough, no session, dialog, connection or message is left.
pub fn chat(data: &[u8]) {
    let mut player = Player::new(Settings::default());
    let mode = ["session", "auto"][usize::from(data.first().copied().unwrap_or(0) & 1)];
    play(&mut player, &format!("set chat {mode}"));
    let mut past = Past::default();
    for (n, byte) in data.iter().skip(1).take(STEPS).enumerate() {
        step(&mut player, *byte, n, &mut past);
        look(&mut player, &mut past);
    }
    play(&mut player, "link up");
    player.takes();
    // Timers of SIP, of MSRP, of idle sessions, of dialogs; each end may begin something that has to end, too.
    for _ in 0..40 {
        player.wait(Duration::from_secs(200));
        look(&mut player, &mut past);
        while player.refuses_connection("romeo", None).is_ok() {}
        player.takes();
    }
    for (n, fate) in &past.fates {
        assert!(fate.sent <= 1 && (fate.errors <= 1 || past.away), "message {n}: {fate:?}");
        assert!(fate.sent + fate.errors > 0 || fate.doomed, "message {n} is lost");
    }
    let left = player.left();
    assert_eq!(left, [0; 5], "messages, chats, dialogs, MSRP sessions, connections of the gateway are left");
}

fn play(player: &mut Player, step: &str) {
    // What cannot be done now is not done.
    let _ = player.part(step);
}

fn step(player: &mut Player, byte: u8, n: usize, past: &mut Past) {
    let (what, which) = (byte % 32, usize::from(byte / 32));
    let thread = ["", "<thread>t1</thread>", "<thread>t2</thread>"][which % 3];
    let from = ["balcony", "chamber"][which % 2];
    let says = |id: &str, content: &str| {
        format!(
            "juliet sends\n    <message from='juliet@example.com/{from}' to='romeo@example.net' id='{id}' type='chat'>{thread}{content}</message>"
        )
    };
    let state = |state: &str| says("s", &format!("<{state} xmlns='http://jabber.org/protocol/chatstates'/>"));
    let frame = |start: &str, rest: &str| format!("romeo sends\n    MSRP {start}\n{rest}");
    let send = |headers: &str, body: &str| {
        frame(
            &format!("tid{n:03} SEND"),
            &format!("{headers}    Content-Type: text/plain\n\n    {body}\n    -------tid{n:03}$"),
        )
    };
    let step = match what {
        0..=4 => {
            past.fates.insert(n, Fate::default());
            let long = if which == 7 { "z".repeat(5000) } else { String::new() };
            says(&format!("f{n}"), &format!("<body>word{n}.{long}</body><request xmlns='urn:xmpp:receipts'/>"))
        }
        5 => state(["active", "composing", "paused"][which % 3]),
        6 => state("gone"),
        7 => format!("{INVITE}{}", description(n)),
        8 => format!("{AGAIN}{}", description(which)),
        9..=11 => format!("{OK}{}", description(n)),
        12 => format!("romeo sends\n    SIP/2.0 {} No", [404, 405, 480, 486, 488, 491, 500, 603][which]),
        13 => "romeo sends\n    SIP/2.0 180 Ringing".to_owned(),
        14 | 15 => "romeo sends\n    ACK * SIP/2.0".to_owned(),
        16 => "romeo sends\n    BYE * SIP/2.0".to_owned(),
        17 => "romeo sends\n    CANCEL * SIP/2.0".to_owned(),
        18 | 19 => "romeo accepts".to_owned(),
        20 => "romeo refuses connection".to_owned(),
        21 => "romeo connects".to_owned(),
        22 => "romeo disconnects".to_owned(),
        23 => send(["", "    Failure-Report: no\n", "    Success-Report: yes\n"][which % 3], "heard"),
        24 | 25 => return answer(player, [200, 200, 200, 400, 403, 413, 481, 408][which]),
        26 => return player.takes(),
        27 => {
            past.away = true;
            ["link down", "link up"][which % 2].to_owned()
        }
        28 if which == 0 => {
            past.fates.values_mut().for_each(|fate| fate.doomed = true);
            "restart".to_owned()
        }
        29 => "romeo sends again".to_owned(),
        30 => return refuse(player, past),
        _ => return player.wait(Duration::from_secs([0, 1, 5, 20, 31, 65, 700, 1000][which])),
    };
    play(player, &step);
}

fn description(n: usize) -> String {
    let lines = [
        "v=0".to_owned(),
        "o=- 1 1 IN IP4 192.0.2.20".to_owned(),
        "s=-".to_owned(),
        "c=IN IP4 192.0.2.20".to_owned(),
        "t=0 0".to_owned(),
        format!("m=message {} TCP/MSRP *", 7000 + n % 3),
        "a=accept-types:text/plain application/im-iscomposing+xml".to_owned(),
        format!("a=path:msrp://192.0.2.20:{}/session{n};tcp", 7000 + n % 3),
    ];
    lines.map(|line| format!("    {line}")).join("\n")
}

/// Romeo answers the oldest SEND that waits for it.
fn answer(player: &mut Player, code: u16) {
    if let Some(id) = player.unanswered() {
        play(player, &format!("romeo sends\n    MSRP {id} {code} Answer"));
    }
}

/// The XMPP server gives back the last message of Romeo.
fn refuse(player: &mut Player, past: &Past) {
    if let Some((id, to)) = &past.last {
        let error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        let stanza = format!("<message from='{to}' to='romeo@example.net' id='{id}' type='error'>{error}</message>");
        play(player, &format!("juliet sends\n    {stanza}"));
    }
}

fn look(player: &mut Player, past: &mut Past) {
    for seen in player.see_all() {
        match seen {
            Seen::Sip(message) => {
                assert_eq!(message.header("X-Rehearsal"), None, "{message}");
                if message.request().is_some_and(|(method, _)| method == "MESSAGE") {
                    went(&mut past.fates, &message.text());
                }
            }
            Seen::Frame(frame) => {
                assert_eq!(frame.fault(), None, "{frame}");
                // The first chunk has the words.
                if frame.method() == Some("SEND") {
                    went(&mut past.fates, &frame.text());
                }
            }
            Seen::Stanza(stanza) => {
                let id = stanza.attr("id").and_then(|id| id.strip_prefix('f')?.parse().ok());
                let error = stanza.attr("type") == Some("error");
                if let (Some(id), Some(to), false) = (stanza.attr("id"), stanza.attr("to"), error) {
                    past.last = Some((id.to_owned(), to.to_owned()));
                }
                if let Some(fate) = id.and_then(|id: usize| past.fates.get_mut(&id)).filter(|_| error) {
                    fate.errors += 1;
                }
            }
        }
    }
}

fn went(fates: &mut BTreeMap<usize, Fate>, text: &str) {
    let number = text.strip_prefix("word").and_then(|rest| rest.split('.').next()?.parse().ok());
    if let Some(fate) = number.and_then(|n: usize| fates.get_mut(&n)) {
        fate.sent += 1;
    }
}
