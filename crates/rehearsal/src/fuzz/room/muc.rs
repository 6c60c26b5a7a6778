//! A SIP user in a room of XMPP: the room is what services in use are, its people and the ways to it are anything.

use super::{number, play};
use crate::scene::Player;
use crate::stub::muc::{Service, Settings};
use crate::wire::{MsrpText, SipText};
use std::collections::{BTreeMap, VecDeque};
use xml::Element;
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::ext::muc::{Admin, Affiliation, Destroy, Item, Join, Owner, Role};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

const ROOM: &str = "capulet@rooms.example.com";
const TYBALT: &str = "tybalt@example.com/sword";

/// The room and its service.
pub(super) struct Muc {
    service: Service,
    /// What it has said to people of this gateway and has not arrived yet.
    letters: VecDeque<Stanza>,
    /// Whatever is sent to it is lost.
    pub(super) deaf: bool,
    /// How often the room got each message of the SIP user, and how often it was answered.
    said: BTreeMap<usize, u32>,
    answered: BTreeMap<String, u32>,
    /// How often each session got each message of the room.
    heard: BTreeMap<(String, usize), u32>,
    /// Both ends of the last session that the gateway has granted.
    paths: Option<(String, String)>,
}

impl Muc {
    pub(super) fn new() -> Muc {
        let mut service = Service::new("rooms.example.com", 1);
        service.make("capulet", Settings { history: 5, ..Settings::default() });
        service.affiliate("capulet", "tybalt@example.com", Affiliation::Owner);
        Muc {
            service,
            letters: VecDeque::new(),
            deaf: false,
            said: BTreeMap::new(),
            answered: BTreeMap::new(),
            heard: BTreeMap::new(),
            paths: None,
        }
    }

    pub(super) fn step(&mut self, player: &mut Player, what: usize, which: usize, n: usize) {
        let step = match what {
            0 => {
                let name = ["Romeo", "Tybalt", "", "Montague"][which % 4];
                let sdp = description(n, which);
                format!(
                    "romeo sends\n    INVITE sip:{ROOM} SIP/2.0\n    Call-ID: romeo{n}\n    From: \"{name}\" <sip:romeo@example.net>\n    \
                     Content-Type: application/sdp\n\n{sdp}"
                )
            }
            1 => "romeo sends\n    ACK * SIP/2.0".to_owned(),
            2 => match which {
                0 => "romeo sends\n    CANCEL * SIP/2.0".to_owned(),
                1 => "romeo sends\n    BYE * SIP/2.0".to_owned(),
                _ => format!("romeo sends\n    SIP/2.0 {} Answer", [200, 200, 200, 481, 500, 408][which - 2]),
            },
            3 => {
                let Some((gateway, own)) = &self.paths else { return };
                play(player, "romeo connects");
                frame("SEND", "bind", &format!("    To-Path: {gateway}\n    From-Path: {own}\n"), "")
            }
            4 if which == 7 => "romeo disconnects".to_owned(),
            4 => return answer(player, "romeo", which),
            5 | 6 => {
                self.said.insert(n, 0);
                let from =
                    ["romeo@example.net", "romeo@example.net", "capulet@rooms.example.com;gr=Romeo", "ben@x.example"];
                let to = ["", "", "", ";gr=Tybalt", ";gr=Nobody"][which % 5];
                let cpim = format!(
                    "From: <sip:{}>\n    To: <sip:{ROOM}{to}>\n\n    Content-Type: text/plain\n\n    sip{n}.",
                    from[which % 4]
                );
                frame("SEND", &format!("said{n:03}"), "    Content-Type: message/cpim\n", &cpim)
            }
            7 => frame("NICKNAME", &format!("name{n:03}"), &format!("    Use-Nickname: \"{}\"\n", name(which)), ""),
            8 => {
                let expires = ["600", "600", "0", "60"][which % 4];
                let to = if which > 5 { format!("sip:{ROOM}") } else { "*".to_owned() };
                format!(
                    "romeo sends\n    SUBSCRIBE {to} SIP/2.0\n    Event: conference\n    Expires: {expires}\n    Contact: <sip:romeo@192.0.2.20:5060>"
                )
            }
            9 => {
                let tybalt = format!("sip:{ROOM};gr=Tybalt");
                let whom = ["sip:benvolio@example.com", "sip:romeo@example.net", &tybalt, "im:nobody"];
                let method = ["", ";method=BYE"][which / 4];
                format!(
                    "romeo sends\n    REFER * SIP/2.0\n    Refer-To: <{}{method}>\n    Contact: <sip:romeo@192.0.2.20:5060>",
                    whom[which % 4]
                )
            }
            10 => {
                for _ in 0..[1, 1, 2, 3, 10, 10, 20, 20][which] {
                    self.deliver(player);
                }
                return;
            }
            11 => return self.tybalt(player, which, n),
            12 => return self.fate(player, which),
            _ => return self.forged(player, which, n),
        };
        play(player, &step);
    }

    /// The other one in the room does something.
    fn tybalt(&mut self, player: &Player, which: usize, n: usize) {
        let of_him = |stanza: Stanza, to: &str| stanza.with_from(jid(TYBALT)).with_to(jid(to)).with_id(format!("t{n}"));
        let admin = |item| {
            let wish = of_him(Stanza::iq("set"), ROOM);
            wish.with_child(Admin { items: vec![item] }.to_element())
        };
        let words = |text: String| Element::new("body", ns::CLIENT).with_text(&text);
        let nick = || self.service.people("capulet").iter().find(|p| is_ours(&p.sessions)).map(|p| p.nick.clone());
        let stanza = match which {
            0 => of_him(Stanza::presence(), &format!("{ROOM}/{}", ["Tybalt", "Romeo", "Prince"][n % 3]))
                .with_child(Join::default().to_element()),
            1 if n.is_multiple_of(4) => of_him(Stanza::presence().with_type("unavailable"), &format!("{ROOM}/Tybalt")),
            1..=3 => of_him(Stanza::message().with_type("groupchat"), ROOM).with_child(words(format!("muc{n}."))),
            4 => {
                let Some(nick) = nick() else { return };
                let Ok(to) = jid(ROOM).with_resource(&nick) else { return };
                let private = Stanza::message().with_type("chat").with_from(jid(TYBALT)).with_to(to);
                private.with_id(format!("t{n}")).with_child(words(format!("muc{n}.")))
            }
            5 => of_him(Stanza::message().with_type("groupchat"), ROOM)
                .with_child(Element::new("subject", ns::CLIENT).with_text(&format!("subject {n}"))),
            6 => {
                let Some(nick) = nick() else { return };
                admin(Item { nick: Some(nick), role: Some(Role::None), ..Item::default() })
            }
            _ if n.is_multiple_of(5) => {
                of_him(Stanza::iq("set"), ROOM).with_child(Owner::Destroy(Destroy::default()).to_element())
            }
            _ => of_him(Stanza::presence(), &format!("{ROOM}/Mercutio{n}")),
        };
        self.handle(player, stanza);
    }

    /// Something happens to the service, or to what is on its way.
    fn fate(&mut self, player: &mut Player, which: usize) {
        match which {
            0 => {
                self.service.restart();
            }
            1 => {
                let said = self.service.shut_down();
                self.send(said);
            }
            2 => self.deaf = !self.deaf,
            3 => drop(self.letters.pop_front()),
            4 => self.service.make("capulet", Settings { members_only: true, ..Settings::default() }),
            5 => self.service.make("capulet", Settings { password: Some("x".into()), ..Settings::default() }),
            6 => self.service.make("capulet", Settings { max_users: Some(1), ..Settings::default() }),
            _ => {
                self.service.make("capulet", Settings { history: 5, ..Settings::default() });
                self.deliver(player);
            }
        }
    }

    /// Somebody who is no room, or the room itself, says what nobody would.
    fn forged(&mut self, player: &mut Player, which: usize, n: usize) {
        let from = ["capulet@rooms.example.com/Romeo", "capulet@rooms.example.com", "mallory@example.com/x"][n % 3];
        let content = [
            "<x xmlns='http://jabber.org/protocol/muc#user'><item role='none' affiliation='outcast'/><status code='110'/></x>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><item role='participant'/><status code='110'/><status code='303'/></x>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/><status code='332'/></x>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><destroy jid='none@nowhere.example'/></x>",
            "<body>forged</body>",
            "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            "<x xmlns='http://jabber.org/protocol/muc'/>",
            "",
        ][which];
        let kind = ["presence", "message"][n / 3 % 2];
        let type_ = match (which, kind) {
            (5, _) => "type='error'",
            (4, _) | (_, "message") => "type='groupchat'",
            (0 | 3, _) => "type='unavailable'",
            _ => "",
        };
        let to = self
            .service
            .people("capulet")
            .into_iter()
            .flat_map(|p| p.sessions)
            .find(|jid| jid.domain() == "example.net");
        let to = to.map_or_else(|| "romeo@example.net/none".to_owned(), |jid| jid.to_string());
        let kind = if type_ == "type='groupchat'" { "message" } else { kind };
        play(
            player,
            &format!("tybalt sends\n    <{kind} from='{from}' to='{to}' id='forged{n}' {type_}>{content}</{kind}>"),
        );
    }

    /// Tybalt comes under a name that nobody has, and says something: to everybody, whoever is there or only seems to be.
    pub(super) fn anybody(&mut self, player: &Player) {
        self.service.make("capulet", Settings::default());
        self.service.affiliate("capulet", "tybalt@example.com", Affiliation::Owner);
        let comes = Stanza::presence().with_from(jid(TYBALT)).with_to(jid(&format!("{ROOM}/Last")));
        self.handle(player, comes.with_child(Join::default().to_element()));
        self.tybalt(player, 2, 1000);
    }

    /// The people of this gateway in the room.
    pub(super) fn ours(&self) -> Vec<String> {
        let people = self.service.people("capulet").into_iter().flat_map(|person| person.sessions);
        people.filter(|jid| jid.domain() == "example.net").map(|jid| jid.to_string()).collect()
    }

    /// The next of what the room has said arrives, or comes back to it. Whether there was any.
    pub(super) fn deliver(&mut self, player: &mut Player) -> bool {
        let Some(stanza) = self.letters.pop_front() else { return false };
        if player.is_up() {
            player.arrives(stanza);
        } else {
            let error = StanzaError { kind: ErrorType::Wait, ..StanzaError::new(Condition::ServiceUnavailable) };
            if let Some(error) = stanza.error(&error) {
                self.handle(player, error);
            }
        }
        true
    }

    fn handle(&mut self, player: &Player, stanza: Stanza) {
        let said = self.service.handle(player.now(), stanza);
        self.send(said);
    }

    fn send(&mut self, said: Vec<Stanza>) {
        let ours = |stanza: &Stanza| stanza.to.as_ref().is_some_and(|to| to.domain() == "example.net");
        self.letters.extend(said.into_iter().filter(ours));
    }

    /// The gateway says something to somebody.
    pub(super) fn stanza(&mut self, player: &Player, stanza: &Stanza) {
        if !self.service.is_for(stanza) {
            return;
        }
        let text = stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned()).unwrap_or_default();
        if let Some(said) = number(&text, "sip").filter(|_| !stanza.is_error()).and_then(|n| self.said.get_mut(&n)) {
            *said += 1;
            assert_eq!(*said, 1, "said twice: {stanza:?}");
        }
        if !self.deaf {
            self.handle(player, stanza.clone());
        }
    }

    /// A SIP user gets a message.
    pub(super) fn sip(&mut self, message: &SipText) {
        let id = message.header("Call-ID").unwrap_or_default();
        let path = message.text().lines().find_map(|line| line.strip_prefix("a=path:").map(str::to_owned));
        if let (Some(200), Some(path), true) = (message.status(), path, id.starts_with("romeo")) {
            self.paths = Some((path, format!("msrp://192.0.2.20:7313/{id};tcp")));
        }
    }

    /// The SIP user gets a frame.
    pub(super) fn frame(&mut self, frame: &MsrpText) {
        // What the other room says may be said twice.
        if frame.status().is_some() && (frame.id().starts_with("said") || frame.id().starts_with("name")) {
            let answered = self.answered.entry(frame.id().to_owned()).or_default();
            *answered += 1;
            assert_eq!(*answered, 1, "answered twice: {frame}");
        }
        if let (Some("SEND"), Some(n)) = (frame.method(), number(&frame.text(), "muc")) {
            let path = frame.header("To-Path").unwrap_or_default().to_owned();
            let heard = self.heard.entry((path, n)).or_default();
            *heard += 1;
            // The last ones are all of one number.
            assert!(*heard == 1 || n == 1000, "heard twice: {frame}");
        }
    }
}

/// The oldest request on the connections of `actor` gets an answer.
pub(super) fn answer(player: &mut Player, actor: &str, which: usize) {
    if let Some(id) = player.unanswered_of(actor) {
        let code = [200, 200, 200, 200, 425, 413, 481, 408][which];
        play(player, &format!("{actor} sends\n    MSRP {id} {code} Answer"));
    }
}

fn frame(method: &str, id: &str, headers: &str, body: &str) -> String {
    let body = if body.is_empty() { String::new() } else { format!("\n    {body}\n") };
    format!("romeo sends\n    MSRP {id} {method}\n{headers}{body}    -------{id}$")
}

fn name(which: usize) -> &'static str {
    ["Montecchi", "Tybalt", "Romeo", "", "\u{202e}x", "Mercutio1", "a b", "R\u{f6}meo"][which]
}

fn is_ours(sessions: &[Jid]) -> bool {
    sessions.iter().any(|jid| jid.domain() == "example.net")
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address of the target's own")
}

fn description(n: usize, which: usize) -> String {
    let lines = [
        "v=0".to_owned(),
        "o=- 1 1 IN IP4 192.0.2.20".to_owned(),
        "s=-".to_owned(),
        "c=IN IP4 192.0.2.20".to_owned(),
        "t=0 0".to_owned(),
        "m=message 7313 TCP/MSRP *".to_owned(),
        "a=accept-types:message/cpim text/plain".to_owned(),
        "a=accept-wrapped-types:text/plain".to_owned(),
        format!("a=path:msrp://192.0.2.20:7313/romeo{n};tcp"),
        ["a=chatroom:nickname private-messages", "a=chatroom:nickname", "a=chatroom", "a=setup:passive"][which / 2]
            .to_owned(),
    ];
    lines.map(|line| format!("    {line}")).join("\n")
}
