//! The whole gateway with an XMPP user who sits in an MSRP chat room with two of her clients, and a focus that does anything in any order.

use crate::scene::{Player, Seen, Settings};
use crate::wire::{MsrpText, SipText, parameter, uri_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use xml::Element;

/// Steps are taken up to here.
const STEPS: usize = 160;

const ROOM: &str = "montague@chat.example.org";
const CLIENTS: [&str; 2] = ["balcony", "chamber"];
const NAMES: [&str; 4] = ["JuliC", "Capulet", "Romeo", "Ben"];
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// What becomes of a message of hers.
#[derive(Debug, Default)]
struct Fate {
    reflections: u32,
    errors: u32,
    client: usize,
    /// The gateway was killed since it was written, or it was private, and nothing comes back of it.
    quiet: bool,
}

/// Something that the focus has yet to do.
#[derive(Debug)]
enum Task {
    Sip(Box<SipText>),
    Frame(MsrpText),
}

/// A session of one of her clients, as the focus has it.
#[derive(Debug, Default)]
struct Session {
    nick: Option<String>,
}

/// A subscription, as the focus has it.
#[derive(Debug)]
struct Subscription {
    call_id: String,
    tag: String,
    from: String,
    contact: String,
    number: u32,
    version: u32,
}

/// What one of her clients believes.
#[derive(Debug, Default)]
struct View {
    inside: bool,
    people: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Stage {
    tasks: VecDeque<Task>,
    /// By Call-ID; the number stands in the path.
    sessions: BTreeMap<String, Session>,
    paths: BTreeMap<usize, String>,
    subscriptions: Vec<Subscription>,
    /// The others in the room: their keys and names.
    others: BTreeMap<usize, String>,
    views: BTreeMap<String, View>,
    fates: BTreeMap<usize, Fate>,
    /// What others have said, and how often each client has heard it.
    heard: BTreeMap<(String, String), u32>,
    /// The id and the addressee of what she got last, and from whom.
    last: Option<(String, String, String)>,
    away: bool,
    /// The focus has lied about who is there, or has not told.
    lied: bool,
}

/// Each byte is something that somebody does, or that happens. Most is not possible at that moment, and nothing comes of it.
///
/// What is sent can be read, and goes where it may. A message to the room is reflected once, or comes back once; nothing is heard twice. When the
/// focus tells all, each client knows who is there; when her clients have gone, nothing of the room is left.
pub fn occupants(data: &[u8]) {
    let mut player = Player::new(Settings::default());
    let mut stage = Stage::default();
    play(&mut player, "set sip_rooms chat.example.org");
    for (n, byte) in data.iter().take(STEPS).enumerate() {
        stage.step(&mut player, *byte, n);
        stage.look(&mut player);
    }
    play(&mut player, "link up");
    player.takes();
    stage.settle(&mut player, 4);
    stage.check_views(&mut player);
    for client in CLIENTS {
        let nick = "x";
        play(&mut player, &presence(client, nick, " type='unavailable'", ""));
        stage.look(&mut player);
    }
    stage.settle(&mut player, 10);
    for (n, fate) in &stage.fates {
        assert!(fate.reflections + fate.errors <= 1 || stage.away, "message {n}: {fate:?}");
        assert!(fate.reflections + fate.errors > 0 || fate.quiet, "message {n} is lost");
    }
    for (what, times) in &stage.heard {
        assert!(*times <= 1, "{what:?} was heard {times} times");
    }
    for (client, view) in &stage.views {
        // What waits for the stream dies with the process; then the first thing that she says there comes back.
        assert!(!view.inside || stage.away, "{client} believes to be in the room");
    }
    assert_eq!(player.left(), [0; 5], "messages, chats, dialogs, MSRP sessions, connections of the gateway are left");
    assert_eq!(player.left_of_rooms()[..2], [0, 0], "ghosts");
}

fn play(player: &mut Player, step: &str) {
    // What cannot be done now is not done.
    let _ = player.part(step);
}

fn presence(client: &str, nick: &str, attributes: &str, content: &str) -> String {
    format!(
        "juliet sends\n    <presence from='juliet@example.com/{client}' to='{ROOM}/{nick}'{attributes}>{content}</presence>"
    )
}

fn cseq(message: &SipText) -> (&str, &str) {
    message.header("CSeq").unwrap_or_default().split_once(' ').unwrap_or_default()
}

impl Stage {
    fn step(&mut self, player: &mut Player, byte: u8, n: usize) {
        let (what, which) = (byte % 32, usize::from(byte / 32));
        let client = CLIENTS[which % 2];
        let name = NAMES[which / 2];
        let says = |to: &str, attributes: &str, content: &str| {
            format!(
                "juliet sends\n    <message from='juliet@example.com/{client}' to='{to}' {attributes}>{content}</message>"
            )
        };
        let step = match what {
            0..=9 => return self.work(player, true, which),
            10 => return self.work(player, false, which),
            // It never answers.
            11 => return drop(self.tasks.pop_front()),
            12 | 13 => presence(client, name, "", "<x xmlns='http://jabber.org/protocol/muc'/>"),
            14 => presence(client, name, "", "<show>away</show>"),
            15 => {
                // Nobody tells who has left what has become of it.
                let own = self.fates.values_mut().filter(|fate| fate.client == which % 2);
                own.for_each(|fate| fate.quiet = true);
                presence(client, name, " type='unavailable'", "")
            }
            16 | 17 => {
                self.fates.insert(n, Fate { client: which % 2, ..Fate::default() });
                says(ROOM, &format!("type='groupchat' id='f{n}'"), "<body>Word</body>")
            }
            18 => {
                self.fates.insert(n, Fate { quiet: true, ..Fate::default() });
                says(&format!("{ROOM}/{name}"), &format!("type='chat' id='f{n}'"), "<body>Word</body>")
            }
            19 => says(
                ROOM,
                "id='invite'",
                &format!("<x xmlns='{MUC_USER}'><invite to='nurse@example.com'/><decline/></x>"),
            ),
            20 => self.frame(n, which),
            21 => return self.roster(player, which),
            22 => return self.notify(player, which == 7, "active;expires=3600"),
            23 => {
                let state = ["deactivated", "rejected", "noresource", "timeout"][which % 4];
                return self.notify(player, which > 5, &format!("terminated;reason={state}"));
            }
            24 => {
                let call = self.sessions.keys().nth(which % 2).cloned().unwrap_or_default();
                self.sessions.remove(&call);
                format!("montague sends\n    BYE * SIP/2.0\n    Call-ID: {call}")
            }
            25 => "montague disconnects".to_owned(),
            26 => return player.takes(),
            27 => {
                self.away = true;
                ["link down", "link up"][which % 2].to_owned()
            }
            28 if which == 0 => {
                self.fates.values_mut().for_each(|fate| fate.quiet = true);
                (self.lied, self.away) = (true, true);
                "restart".to_owned()
            }
            29 => return self.bounce(player),
            30 if which == 1 => return self.called(player, n),
            _ => return player.wait(Duration::from_secs([0, 1, 3, 10, 31, 65, 700, 3700][which])),
        };
        play(player, &step);
    }

    /// The focus does the oldest thing that it has to do, or refuses to.
    fn work(&mut self, player: &mut Player, willing: bool, which: usize) {
        play(player, "montague accepts");
        let Some(task) = self.tasks.pop_front() else { return };
        match task {
            Task::Frame(frame) => self.answer_frame(player, &frame, willing, which),
            Task::Sip(request) => self.answer(player, &request, willing, which),
        }
    }

    fn answer_frame(&mut self, player: &mut Player, frame: &MsrpText, willing: bool, which: usize) {
        let number =
            frame.header("To-Path").and_then(|path| path.split("/room").nth(1)?.split(';').next()?.parse().ok());
        let call = number.and_then(|number: usize| self.paths.get(&number)).cloned().unwrap_or_default();
        let mut code = if willing { 200 } else { [400, 403, 404, 408, 413, 425, 428, 481][which] };
        if frame.method() == Some("NICKNAME") {
            let nick = frame.header("Use-Nickname").unwrap_or_default().trim_matches('"').to_owned();
            let own = |session: &Session| session.nick.as_ref() == Some(&nick);
            let taken = self.others.values().any(|other| *other == nick)
                || self.sessions.iter().any(|(c, session)| *c != call && own(session));
            if taken && code == 200 {
                code = 425;
            }
            // Then the room calls her as it likes, which this one does not.
            self.lied |= code == 403;
            if let (200, Some(session)) = (code, self.sessions.get_mut(&call)) {
                session.nick = Some(nick);
            }
        }
        play(player, &format!("montague sends\n    MSRP {} {code} Answer", frame.id()));
    }

    fn answer(&mut self, player: &mut Player, request: &SipText, willing: bool, which: usize) {
        let call_id = request.header("Call-ID").unwrap_or_default().to_owned();
        let (number, method) = cseq(request);
        let head = format!("    Call-ID: {call_id}\n    CSeq: {number} {method}");
        let respond = |status: &str, more: &str| format!("montague sends\n    SIP/2.0 {status}\n{head}{more}");
        let in_dialog = parameter(request.header("To").unwrap_or_default(), "tag").is_some();
        match (method, willing) {
            ("ACK", _) => {}
            ("INVITE", true) if !in_dialog => {
                let at = self.paths.len();
                self.paths.insert(at, call_id.clone());
                self.sessions.insert(call_id, Session::default());
                let contact = "\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    Content-Type: application/sdp\n\n";
                play(player, &respond("200 OK", &format!("{contact}{}", description(at, which))));
            }
            ("CANCEL" | "BYE", _) => {
                self.sessions.remove(&call_id);
                play(player, &respond("200 OK", ""));
                if method == "CANCEL" {
                    play(
                        player,
                        &format!(
                            "montague sends\n    SIP/2.0 487 Gone\n    Call-ID: {call_id}\n    CSeq: {number} INVITE"
                        ),
                    );
                }
            }
            ("SUBSCRIBE", true) => {
                let expires = request.header("Expires").unwrap_or("0");
                let contact = "\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    To: <sip:montague@chat.example.org>;tag=conf";
                play(player, &respond("200 OK", &format!("{contact}\n    Expires: {expires}")));
                let from = request.header("From").unwrap_or_default();
                if !in_dialog {
                    self.subscriptions.push(Subscription {
                        call_id: call_id.clone(),
                        tag: parameter(from, "tag").unwrap_or_default().to_owned(),
                        from: uri_of(from).to_owned(),
                        contact: uri_of(request.header("Contact").unwrap_or_default()).to_owned(),
                        number: 0,
                        version: 0,
                    });
                }
                if expires == "0" {
                    self.tell(player, &call_id, true, "terminated;reason=timeout");
                    self.subscriptions.retain(|subscription| subscription.call_id != call_id);
                } else {
                    self.tell(player, &call_id, true, "active;expires=3600");
                }
            }
            ("REFER", true) => {
                let contact = "\n    Contact: <sip:montague@192.0.2.20>;isfocus";
                let quiet = if which.is_multiple_of(2) { "\n    Refer-Sub: false" } else { "" };
                play(player, &respond("202 Accepted", &format!("{contact}{quiet}")));
            }
            (_, true) => play(player, &respond("200 OK", "")),
            (_, false) => {
                // Who is there it does not tell.
                self.lied |= method == "SUBSCRIBE";
                let code = [403, 404, 408, 481, 486, 489, 500, 503][which];
                play(player, &respond(&format!("{code} No"), ""));
            }
        }
    }

    /// Somebody in the room speaks, to all or to her, or the switch repeats what she has said.
    fn frame(&self, n: usize, which: usize) -> String {
        let from = ["gr=Romeo", "gr=Ben", "gr=Stranger", "gr=JuliC"][which % 4];
        let to = if which > 5 { "sip:juliet@example.com" } else { "sip:montague@chat.example.org" };
        let date = if which == 3 { "\n    DateTime: 2001-01-01T00:00:00Z" } else { "" };
        format!(
            "montague sends\n    MSRP heard{n} SEND\n    Content-Type: message/cpim\n\n    From: <sip:montague@chat.example.org;{from}>\n    To: <{to}>{date}\n\n    Content-Type: text/plain\n\n    Word\n    -------heard{n}$"
        )
    }

    /// Somebody comes, goes, or is called otherwise; the focus tells it, or not.
    fn roster(&mut self, player: &mut Player, which: usize) {
        let who = which % 3;
        match which {
            0..=4 => drop(self.others.insert(who, NAMES[2 + who % 2].to_owned() + ["", "", "s"][who])),
            5 => drop(self.others.remove(&0)),
            6 => drop(self.others.remove(&1)),
            _ => drop(self.others.insert(2, "Nurse".to_owned())),
        }
        if which != 4 {
            self.notify(player, false, "active;expires=3600");
        }
    }

    fn notify(&mut self, player: &mut Player, skips: bool, state: &str) {
        let calls: Vec<String> = self.subscriptions.iter().map(|subscription| subscription.call_id.clone()).collect();
        for call_id in calls {
            if skips && let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.call_id == call_id) {
                subscription.version += 1;
            }
            self.tell(player, &call_id, !skips, state);
            if state.starts_with("terminated") {
                self.subscriptions.retain(|subscription| subscription.call_id != call_id);
            }
        }
        self.lied |= state.starts_with("terminated");
    }

    /// A NOTIFY with all, or with a part that is no part.
    fn tell(&mut self, player: &mut Player, call_id: &str, full: bool, state: &str) {
        let own = self.sessions.values().filter_map(|session| session.nick.as_ref());
        let user = |entity: &str, name: &str| {
            format!("<user entity='{entity}' state='full'><display-text>{name}</display-text></user>")
        };
        let others = self.others.iter().map(|(who, name)| user(&format!("sip:{who}@example.org"), name));
        let own = own.map(|nick| user(&format!("sip:montague@chat.example.org;gr={nick}"), nick));
        let users: String = others.chain(own).collect();
        let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.call_id == call_id) else { return };
        subscription.number += 1;
        subscription.version += 1;
        let Subscription { tag, from, contact, number, version, .. } = subscription;
        let kind = if full { "full" } else { "partial" };
        let document = format!(
            "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' version='{version}' state='{kind}' entity='sip:montague@chat.example.org'><conference-description/><users state='{kind}'>{users}</users></conference-info>"
        );
        play(
            player,
            &format!(
                "montague sends\n    NOTIFY {contact} SIP/2.0\n    From: <sip:montague@chat.example.org>;tag=conf\n    To: <{from}>;tag={tag}\n    Call-ID: {call_id}\n    CSeq: {number} NOTIFY\n    Event: conference\n    Subscription-State: {state}\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    Content-Type: application/conference-info+xml\n\n    {document}"
            ),
        );
    }

    /// The focus calls her.
    fn called(&mut self, player: &mut Player, n: usize) {
        // Whether she takes the call this focus does not keep.
        self.lied = true;
        let contact = "    Contact: <sip:montague@192.0.2.20>;isfocus\n    Content-Type: application/sdp\n\n";
        play(
            player,
            &format!(
                "montague sends\n    INVITE sip:juliet@example.com SIP/2.0\n    From: <sip:montague@chat.example.org>;tag=call{n}\n    Call-ID: called{n}\n{contact}{}",
                description(1000 + n, 0)
            ),
        );
        if n.is_multiple_of(2) {
            play(player, "montague sends\n    CANCEL * SIP/2.0");
        }
    }

    /// Her server gives back what she got last.
    fn bounce(&mut self, player: &mut Player) {
        let Some((id, to, from)) = &self.last else { return };
        // A client that is gone is told of nothing.
        let own = self.fates.values_mut().filter(|fate| to.ends_with(CLIENTS[fate.client]));
        own.for_each(|fate| fate.quiet = true);
        let error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        play(
            player,
            &format!("juliet sends\n    <message from='{to}' to='{from}' id='{id}' type='error'>{error}</message>"),
        );
    }

    fn look(&mut self, player: &mut Player) {
        for seen in player.see_all() {
            match seen {
                Seen::Sip(message) => {
                    assert_eq!(message.header("X-Rehearsal"), None, "{message}");
                    let acks = cseq(&message).1 == "INVITE" && message.status().is_some_and(|code| code >= 200);
                    if message.request().is_some() {
                        self.tasks.push_back(Task::Sip(Box::new(message)));
                    } else if acks {
                        play(player, "montague sends\n    ACK * SIP/2.0");
                    }
                }
                Seen::Frame(frame) => {
                    assert_eq!(frame.fault(), None, "{frame}");
                    if frame.method().is_some() {
                        self.tasks.push_back(Task::Frame(frame));
                    }
                }
                Seen::Stanza(stanza) => self.got(&stanza),
            }
        }
    }

    /// One of her clients gets this.
    fn got(&mut self, stanza: &Element) {
        let attr = |name| stanza.attr(name).unwrap_or_default();
        let client = attr("to").split_once('/').map_or("", |(_, client)| client).to_owned();
        let nick = attr("from").split_once('/').map(|(_, nick)| nick.to_owned());
        let own = attr("id").strip_prefix('f').and_then(|id| id.parse::<usize>().ok());
        match (stanza.name.as_str(), stanza.attr("type")) {
            ("presence", type_ @ (None | Some("unavailable"))) => {
                let x = stanza.child("x", MUC_USER);
                let has = |code: &str| x.is_some_and(|x| x.elements().any(|e| e.attr("code") == Some(code)));
                let view = self.views.entry(client).or_default();
                let nick = nick.unwrap_or_default();
                if type_.is_none() {
                    view.people.insert(nick);
                    view.inside |= has("110");
                } else {
                    view.people.remove(&nick);
                    if has("110") && !has("303") {
                        *view = View::default();
                    }
                }
            }
            ("message", type_) => {
                if let Some(fate) = own.and_then(|own| self.fates.get_mut(&own)) {
                    match type_ {
                        Some("error") => fate.errors += 1,
                        _ => fate.reflections += 1,
                    }
                } else if attr("id").starts_with("heard") {
                    *self.heard.entry((client, attr("id").to_owned())).or_default() += 1;
                    self.last = Some((attr("id").to_owned(), attr("to").to_owned(), attr("from").to_owned()));
                }
            }
            _ => {}
        }
    }

    /// The focus does all that it has to do, and time goes by.
    fn settle(&mut self, player: &mut Player, rounds: usize) {
        // It answers at once, whenever something comes, or soon.
        for _ in 0..20 * rounds {
            self.work_all(player);
            if player.wait_at_most(Duration::from_secs(100)).is_err() {
                player.wait(Duration::from_secs(10));
            }
        }
        self.work_all(player);
    }

    fn work_all(&mut self, player: &mut Player) {
        for _ in 0..200 {
            self.look(player);
            play(player, "montague accepts");
            if self.tasks.is_empty() {
                break;
            }
            self.work(player, true, 0);
        }
        player.takes();
    }

    /// The focus tells all: then everybody who is in the room knows who is there.
    fn check_views(&mut self, player: &mut Player) {
        if self.lied || self.away {
            return;
        }
        for subscription in &mut self.subscriptions {
            subscription.version += 10;
        }
        self.notify(player, false, "active;expires=3600");
        self.settle(player, 1);
        let mut truth: BTreeSet<String> = self.others.values().cloned().collect();
        truth.extend(self.sessions.values().filter_map(|session| session.nick.as_deref().map(stem).map(str::to_owned)));
        for (client, view) in self.views.iter().filter(|(_, view)| view.inside) {
            // Who would have the name of somebody else is told apart from him.
            let seen: BTreeSet<String> = view.people.iter().map(|name| stem(name).to_owned()).collect();
            assert_eq!(seen, truth, "what {client} sees");
        }
    }
}

fn stem(name: &str) -> &str {
    name.split_once(" (").map_or(name, |(stem, _)| stem)
}

fn description(n: usize, which: usize) -> String {
    let chatroom = ["a=chatroom:nickname private-messages", "a=chatroom:nickname"][which % 2];
    let lines = [
        "v=0".to_owned(),
        "o=- 1 1 IN IP4 192.0.2.20".to_owned(),
        "s=-".to_owned(),
        "c=IN IP4 192.0.2.20".to_owned(),
        "t=0 0".to_owned(),
        format!("m=message {} TCP/MSRP *", 7000 + n % 3),
        "a=accept-types:message/cpim".to_owned(),
        "a=accept-wrapped-types:*".to_owned(),
        format!("a=path:msrp://192.0.2.20:{}/room{n};tcp", 7000 + n % 3),
        chatroom.to_owned(),
    ];
    lines.map(|line| format!("    {line}")).join("\n")
}
