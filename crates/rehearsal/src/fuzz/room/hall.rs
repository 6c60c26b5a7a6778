//! An XMPP user in a room of SIP: the focus, the switch and the ways to both are anything.

use super::{muc::answer, number, play};
use crate::scene::Player;
use crate::wire::{MsrpText, SipText, uri_of};
use std::collections::BTreeMap;
use xmpp::ext::muc::User;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

const ROOM: &str = "montague@chat.example.org";

/// What becomes of a message of the XMPP user.
#[derive(Debug, Default)]
struct Fate {
    /// How often it went to the room.
    sent: u32,
    /// How often she was shown it, and how often it came back.
    shown: u32,
    errors: u32,
    /// The gateway was killed since it was written.
    doomed: bool,
}

/// A subscription to the conference.
#[derive(Debug, Clone)]
struct Watch {
    call_id: String,
    from: String,
    target: String,
    sequence: u32,
    version: u32,
}

/// The room, and what was said in it.
#[derive(Debug, Default)]
pub(super) struct Hall {
    watches: Vec<Watch>,
    fates: BTreeMap<usize, Fate>,
    /// How often each device of the user was shown each message of the room.
    heard: BTreeMap<(String, usize), u32>,
    /// The stream was away: what it may have lost is said again.
    pub(super) away: bool,
}

impl Hall {
    pub(super) fn step(&mut self, player: &mut Player, what: usize, which: usize, n: usize) {
        let device = ["balcony", "chamber"][which % 2];
        let nick = ["JuliC", "JuliC", "Romeo", "Ben", "Nurse"][which % 5];
        let of_her = |kind: &str, to: &str, attributes: &str, content: &str| {
            format!(
                "juliet sends\n    <{kind} from='juliet@example.com/{device}' to='{ROOM}{to}' id='j{n}' {attributes}>{content}</{kind}>"
            )
        };
        let step = match what {
            0 => of_her("presence", &format!("/{nick}"), "", "<x xmlns='http://jabber.org/protocol/muc'/>"),
            1 if which < 2 => of_her("presence", "/JuliC", "type='unavailable'", "<status>bye</status>"),
            1 | 2 => {
                self.fates.insert(n, Fate::default());
                let long = if which == 7 { "z".repeat(5000) } else { String::new() };
                of_her("message", "", "type='groupchat'", &format!("<body>jul{n}.{long}</body>"))
            }
            3 if which < 4 => {
                of_her("message", &format!("/{nick}"), "type='chat'", &format!("<body>whisper{n}.</body>"))
            }
            3 => of_her("presence", &format!("/{nick}"), "", ""),
            4 => {
                let content = [
                    "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='nurse@example.com'/></x>",
                    "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='romeo@example.net'/></x>",
                    "<x xmlns='http://jabber.org/protocol/muc#user'><decline to='romeo@example.net'/></x>",
                    "<subject>x</subject>",
                ][which % 4];
                of_her("message", "", if which % 4 == 3 { "type='groupchat'" } else { "" }, content)
            }
            5..=7 => return self.takes(player, which, n),
            8 => match which {
                0 => "montague refuses connection".to_owned(),
                1 => "montague disconnects".to_owned(),
                2 => "montague connects".to_owned(),
                3 => "montague sends\n    BYE * SIP/2.0".to_owned(),
                4 => format!(
                    "montague sends\n    INVITE sip:juliet@example.com SIP/2.0\n    Call-ID: hall{n}\n    From: <sip:{ROOM}>\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    Content-Type: application/sdp\n\n{}",
                    description(n)
                ),
                5 => "montague sends\n    CANCEL * SIP/2.0".to_owned(),
                6 => "montague sends\n    ACK * SIP/2.0".to_owned(),
                _ => "montague sends\n    CANCEL * SIP/2.0".to_owned(),
            },
            9 => return answer(player, "montague", which),
            10 | 11 => return self.notifies(player, which, n),
            12 => {
                let from = [";gr=Romeo", ";gr=Ben", "", ";gr=Nobody"][which % 4];
                let to = [ROOM, "juliet@example.com"][which / 4];
                let cpim = format!(
                    "From: <sip:{ROOM}{from}>\n    To: <sip:{to}>\n\n    Content-Type: text/plain\n\n    hall{n}."
                );
                format!(
                    "montague sends\n    MSRP heard{n:03} SEND\n    Content-Type: message/cpim\n\n    {cpim}\n    -------heard{n:03}$"
                )
            }
            _ => {
                let code = [100, 200, 202, 403, 481, 503, 200, 603][which];
                format!(
                    "montague sends\n    NOTIFY * SIP/2.0\n    Event: refer\n    Subscription-State: {}\n    Content-Type: \
                     message/sipfrag\n\n    SIP/2.0 {code} Fate",
                    ["active;expires=60", "terminated;reason=noresource"][which / 4]
                )
            }
        };
        play(player, &step);
    }

    /// The focus answers the last request that it got, or takes the connection.
    fn takes(&mut self, player: &mut Player, which: usize, n: usize) {
        if which > 5 {
            return play(player, "montague accepts");
        }
        let Some(request) = player.last_request("montague") else { return };
        let call_id = request.header("Call-ID").unwrap_or_default().to_owned();
        let head = format!("montague sends\n    SIP/2.0 %\n    Call-ID: {call_id}\n");
        let step = match (request.request().map(|(method, _)| method), which) {
            (_, 0) => head.replace('%', &format!("{} No", [404, 480, 486, 488, 500, 403, 603, 481][n % 8])),
            (Some("INVITE"), 1) => head.replace('%', "180 Ringing"),
            (Some("INVITE"), _) => {
                let head = head.replace('%', "200 OK");
                format!(
                    "{head}    Contact: <sip:montague@192.0.2.20>;isfocus\n    Content-Type: application/sdp\n\n{}",
                    description(n)
                )
            }
            (Some("SUBSCRIBE"), _) => {
                let head = head.replace('%', "200 OK");
                format!(
                    "{head}    To: <sip:{ROOM}>;tag=conf\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    Expires: 3600\n"
                )
            }
            _ => head.replace('%', "200 OK"),
        };
        play(player, step.trim_end());
    }

    /// The focus tells who is there, or something else.
    fn notifies(&mut self, player: &mut Player, which: usize, n: usize) {
        let Some(watch) = self.watches.last_mut() else { return };
        watch.sequence += 1;
        // Now and then one is lost.
        watch.version += [1, 1, 1, 1, 1, 2, 1, 0][which];
        let everybody = ["JuliC", "Romeo", "Ben"];
        let there = match which {
            0..=2 => &everybody[..],
            3 => &everybody[1..],
            4 => &everybody[..1],
            _ => &[["Romeo", "Ben", "Nurse", "JuliC", "Romeo (2)"][n % 5]][..],
        };
        let whole = which < 5;
        let user = |name: &&str| {
            let state = if whole || n.is_multiple_of(2) { "full" } else { "deleted" };
            let entity = format!("sip:{ROOM};gr={}", name.replace(' ', "%20").replace(['(', ')'], ""));
            format!(
                "<user entity='{entity}' state='{state}'><display-text>{name}</display-text><endpoint entity='{entity}'><status>connected\
                 </status></endpoint></user>"
            )
        };
        let users: String = there.iter().map(user).collect();
        let state =
            if which == 6 && n.is_multiple_of(4) { "terminated;reason=deactivated" } else { "active;expires=3600" };
        let whole = if whole { "full" } else { "partial" };
        let Watch { call_id, from, target, sequence, version } = watch;
        let step = format!(
            "montague sends\n    NOTIFY {target} SIP/2.0\n    From: <sip:{ROOM}>;tag=conf\n    To: {from}\n    Call-ID: {call_id}\n    CSeq: \
             {sequence} NOTIFY\n    Event: conference\n    Subscription-State: {state}\n    Contact: <sip:montague@192.0.2.20>;isfocus\n    \
             Content-Type: application/conference-info+xml\n\n    <conference-info xmlns='urn:ietf:params:xml:ns:conference-info' \
             version='{version}' state='{whole}' entity='sip:{ROOM}'><conference-description><subject>{n}</subject></conference-description>\
             <users state='{whole}'>{users}</users></conference-info>"
        );
        play(player, &step);
    }

    /// The process was killed: nobody knows of what it had.
    pub(super) fn doom(&mut self) {
        self.fates.values_mut().for_each(|fate| fate.doomed = true);
        self.away = true;
    }

    /// A SIP user gets a message.
    pub(super) fn sip(&mut self, message: &SipText) {
        let header = |name: &str| message.header(name).unwrap_or_default().to_owned();
        let call_id = header("Call-ID");
        let is_new = self.watches.iter().all(|watch| watch.call_id != call_id);
        if message.request().is_some_and(|(method, _)| method == "SUBSCRIBE") && is_new {
            let target = uri_of(&header("Contact")).to_owned();
            self.watches.push(Watch { call_id, from: header("From"), target, sequence: 0, version: 0 });
        }
    }

    /// A SIP user gets a frame.
    pub(super) fn frame(&mut self, frame: &MsrpText) {
        let number = number(&frame.text(), "jul").filter(|_| frame.method() == Some("SEND"));
        if let Some(fate) = number.and_then(|n| self.fates.get_mut(&n)) {
            fate.sent += 1;
        }
    }

    /// An XMPP user gets a stanza.
    pub(super) fn stanza(&mut self, stanza: &Stanza) {
        if stanza.kind == Kind::Presence && stanza.type_.is_none() {
            assert!(stanza.child("x", ns::MUC_USER).is_none_or(|_| User::of(stanza).is_some()), "{stanza:?}");
        }
        let text = stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned()).unwrap_or_default();
        let id = stanza.id.as_ref().and_then(|id| id.strip_prefix('j')?.parse().ok());
        if let (true, Some(fate)) = (stanza.is_error(), id.and_then(|id: usize| self.fates.get_mut(&id))) {
            fate.errors += 1;
        } else if let Some(fate) = number(&text, "jul").and_then(|n| self.fates.get_mut(&n)) {
            fate.shown += 1;
        }
        if let Some(n) = number(&text, "hall").filter(|_| !stanza.is_error()) {
            let to = stanza.to.as_ref().map(ToString::to_string).unwrap_or_default();
            let heard = self.heard.entry((to, n)).or_default();
            *heard += 1;
            assert!(*heard == 1 || self.away, "shown twice: {stanza:?}");
        }
    }

    /// What has become of all that was said.
    pub(super) fn judge(&self) {
        for (n, fate) in &self.fates {
            assert!(fate.sent <= 1 && (fate.errors + fate.shown <= 1 || self.away), "message {n}: {fate:?}");
            assert!(fate.errors + fate.shown > 0 || fate.doomed, "message {n} is lost: {fate:?}");
        }
    }
}

fn description(n: usize) -> String {
    let lines = [
        "v=0".to_owned(),
        "o=- 1 1 IN IP4 192.0.2.20".to_owned(),
        "s=-".to_owned(),
        "c=IN IP4 192.0.2.20".to_owned(),
        "t=0 0".to_owned(),
        "m=message 12763 TCP/MSRP *".to_owned(),
        "a=accept-types:message/cpim".to_owned(),
        "a=accept-wrapped-types:text/plain".to_owned(),
        format!("a=path:msrp://192.0.2.20:12763/hall{n};tcp"),
        ["a=chatroom:nickname private-messages", "a=chatroom"][usize::from(n % 5 == 4)].to_owned(),
    ];
    lines.map(|line| format!("    {line}")).join("\n")
}
