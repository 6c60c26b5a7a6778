//! `xmpp`: stanzas and streams, said by the XMPP server's end to the gateway.

use crate::table::{Case, cases, corpus};
use crate::world::{Heard, Link, Manner, PATIENCE, World, body_of};
use rehearsal::wire::SipText;
use xml::Element;

const DOMAIN: &str = "example.com";

/// What became of a case.
#[derive(Default)]
struct Played {
    /// The stream was closed; with this error, if there was one.
    closed: Option<Option<String>>,
    /// The conditions of the stanza errors.
    errors: Vec<String>,
    /// Stanzas that are no errors.
    stanzas: Vec<Element>,
    to_sip: Vec<SipText>,
}

impl Played {
    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Stanza(e) if e.attr("type") == Some("error") => {
                let error = e.child("error", "jabber:component:accept").expect("an error has an error");
                self.errors.push(error.elements().next().map(|c| c.name.to_string()).unwrap_or_default());
            }
            Heard::Stanza(e) => self.stanzas.push(e),
            Heard::Error(condition) => self.closed = Some(Some(condition)),
            Heard::Closed => {
                self.closed.get_or_insert(None);
            }
            Heard::Up => {}
        }
    }

    /// Until the connection is closed.
    async fn play_out(&mut self, link: &mut Link) {
        loop {
            let heard = link.next().await;
            self.heard(heard.clone());
            if heard == Heard::Closed {
                return;
            }
        }
    }
}

/// Says the case on a stream that is up, and a good message behind it; waits for the message or the end.
async fn play_stanza(world: &mut World, case: &Case) -> Played {
    let mut played = Played::default();
    let hang = case.row.get("ctx") == "hang";
    world.link.say(case.bytes.clone());
    let (stanza, text) = world.stanza_baseline();
    if !hang {
        world.link.say(stanza);
    }
    loop {
        tokio::select! {
            heard = world.link.next() => {
                played.heard(heard.clone());
                if heard == Heard::Closed {
                    break;
                }
            }
            request = world.phone.next(PATIENCE) => {
                let request = request.expect("the baseline or the end");
                if request.text() == text {
                    break;
                }
                played.to_sip.push(request);
            }
        }
    }
    if played.closed.is_some() {
        world.reconnected().await;
    }
    // What the gateway has to say of the case it says before this.
    let before = world.baseline_from_sip(false).await;
    before.into_iter().for_each(|e| played.heard(Heard::Stanza(e)));
    played.to_sip.extend(world.baseline_from_xmpp().await);
    played
}

/// Says the case in place of the server's stream header, on a connection that the gateway has just made.
async fn play_raw(world: &mut World, case: &Case) -> Played {
    // The connection that is there ends, so that the gateway makes another.
    let closed = world.xmpp.accept(Manner::Mute);
    world.link.say("</stream:stream>");
    let mut link = closed.await;
    let mut played = Played::default();
    // The raw cases were written for a server's stream; as a component's they are about the same.
    let bytes = match case.name.as_str() {
        "enc-utf16" | "open-client-ns" => case.bytes.clone(),
        "open-then-stanza-unauth" => {
            // Without an id it would not be the stanza that ends the stream.
            replace(
                &replace(&case.bytes, b"'jabber:server'", b"'jabber:component:accept'"),
                b" version='1.0'>",
                b" id='1'>",
            )
        }
        _ => replace(&case.bytes, b"'jabber:server'", b"'jabber:component:accept'"),
    };
    link.say(bytes);
    played.play_out(&mut link).await;
    world.reconnected().await;
    let before = world.baseline_from_sip(false).await;
    before.into_iter().for_each(|e| played.heard(Heard::Stanza(e)));
    played.to_sip = world.baseline_from_xmpp().await;
    played
}

fn replace(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    match bytes.windows(what.len()).position(|w| w == what) {
        Some(at) => [&bytes[..at], with, &bytes[at + what.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// Where the gateway does otherwise than the table says, and why: what was seen in the words of [`verdict`].
const KNOWN: &[(&str, &str, &str)] = &[(
    "top-nested-stream",
    "connection-timeout; ; 0",
    "an element that is not finished like any other: half_stanza ends the stream, and what is behind it is inside it",
)];

/// What was seen, in one line: `open` or the stream error, the stanza errors, the number of messages to SIP.
fn verdict(played: &Played) -> String {
    let stream = match &played.closed {
        None => "open".to_owned(),
        Some(None) => "closed".to_owned(),
        Some(Some(condition)) => condition.clone(),
    };
    format!("{stream}; {}; {}", played.errors.join(" "), played.to_sip.len())
}

/// What the table says against what was seen.
fn disagreements(case: &Case, played: &Played) -> Vec<String> {
    let row = &case.row;
    let mut problems = Vec::new();
    let allows = |column: &str, seen: &str| row.get(column).split('|').any(|w| w == seen);
    let verdict = row.get("verdict");
    let hang = row.get("ctx").ends_with("hang") || verdict.contains("hang");
    match &played.closed {
        None => {
            if verdict == "fatal" || verdict == "close" {
                problems.push("the stream stays open".to_owned());
            }
        }
        Some(condition) => {
            let may_close =
                verdict.contains("fatal") || ["close", "either"].contains(&verdict) || verdict.contains("hang");
            if !may_close {
                problems.push("the stream was closed".to_owned());
            }
            let condition = condition.as_deref().unwrap_or("-");
            // After a half, the timer's word is as good as the table's.
            let timed_out = hang && condition == "connection-timeout";
            if !allows("stream_error", condition) && !timed_out {
                problems.push(format!("stream error {condition}"));
            }
        }
    }
    let errors = if played.errors.is_empty() { vec!["-"] } else { played.errors.iter().map(String::as_str).collect() };
    let fatal = played.closed.is_some();
    if errors.len() > 1 || !(allows("stanza_error", errors[0]) || fatal && errors == ["-"]) {
        problems.push(format!("stanza errors {errors:?}"));
    }
    let (sip_out, out) = (row.get("sip_out"), played.to_sip.len());
    let fits = match sip_out {
        // Over MSRP there is no session yet.
        _ if sip_out.starts_with("none") => out == 0,
        "-" | "-|MESSAGE" | "MESSAGE or none" => out <= 1,
        _ if errors != ["-"] => out == 0,
        _ => out == 1,
    };
    if !fits {
        problems.push(format!("{out} messages to SIP in place of {sip_out}"));
    }
    problems
}

/// What the table says in words.
fn particulars(case: &Case, played: &Played) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(request) = played.to_sip.first() else { return problems };
    let mut check = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("{what}: {request}"));
        }
    };
    check(request.all("Via").count() == 1, "one Via");
    check(
        request.header("Evil").is_none() && request.header("Route").is_none_or(|r| r.contains("127.")),
        "no header of theirs",
    );
    check(request.header("Content-Length") == Some(&request.body.len().to_string()), "the right length");
    check(request.header("To").is_some_and(|t| !t.contains(";tag=")), "outside any dialog");
    let text = request.text();
    match case.name.as_str() {
        "ok-message" => check(text == "Art thou not Romeo?", "the text"),
        "ok-charref" => check(text == "a <b> & \"c\" 'd' \u{1F600} A", "the text"),
        "ok-cdata" => check(text == "a <b> & c", "the text"),
        "ns-body-two" => check(text == "good", "the text"),
        "inj-stanza-forwarded" => check(text == "x", "the text"),
        "inj-body-sip" => check(text == "x\r\n\r\nINVITE sip:boss@sip.example.net SIP/2.0\r\n", "the text"),
        "inj-xhtml" => check(!text.contains("script") && !text.contains("javascript"), "nothing active"),
        "rx-xinclude" => check(!text.contains("root:"), "nothing included"),
        "addr-percent" => check(request.start == "MESSAGE sip:a%252f%2500b@sip.example.net SIP/2.0", "escaped"),
        "addr-question" => check(request.start == "MESSAGE sip:romeo?route=x@sip.example.net SIP/2.0", "one user"),
        _ => {}
    }
    problems
}

/// Plays cases one after the other.
async fn play(cases: Vec<Case>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut world = World::start(DOMAIN, "").await;
    for case in &cases {
        let raw = case.row.get("ctx").starts_with("raw");
        let played = if raw { play_raw(&mut world, case).await } else { play_stanza(&mut world, case).await };
        let found: Vec<String> = disagreements(case, &played).into_iter().chain(particulars(case, &played)).collect();
        let known = KNOWN.iter().find(|(name, ..)| *name == case.name);
        if found.is_empty() == known.is_some() || known.is_some_and(|(_, seen, _)| *seen != verdict(&played)) {
            let (reason, why) = (case.row.get("reason"), known.map_or("", |(.., why)| why));
            problems.push(format!("{} ({reason}): {}; {}; {why}", case.name, found.join("; "), verdict(&played)));
        }
        let bodies: Vec<_> = played.stanzas.iter().filter_map(body_of).collect();
        if !bodies.is_empty() {
            problems.push(format!("{}: messages to XMPP: {bodies:?}", case.name));
        }
        if played.closed.is_some() {
            // Each stream that ends early makes the gateway wait longer before the next; a new gateway does not wait.
            world = World::start(DOMAIN, "").await;
        }
    }
    problems
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stanzas_and_streams_if_the_corpus_is_there() {
    let Some(corpus) = corpus() else { return };
    let cases = cases(&corpus.join("xmpp"));
    assert!(cases.len() > 90, "the corpus is whole");
    // Most of the time is spent waiting for streams to end and to come back.
    let mut hands: Vec<Vec<Case>> = (0..6).map(|_| Vec::new()).collect();
    cases.into_iter().enumerate().for_each(|(i, case)| hands[i % 6].push(case));
    let mut tasks = tokio::task::JoinSet::new();
    for hand in hands {
        tasks.spawn(play(hand));
    }
    let mut problems = Vec::new();
    while let Some(found) = tasks.join_next().await {
        problems.extend(found.unwrap());
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
