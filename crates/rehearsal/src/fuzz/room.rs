//! The whole gateway with rooms of both kinds, among people, rooms and a network that do anything in any order.

mod hall;
mod muc;

use self::hall::Hall;
use self::muc::Muc;
use crate::scene::{Player, Seen, Settings};
use std::time::Duration;
use xml::Element;
use xmpp::stanza::Stanza;

/// Steps are taken up to here.
const STEPS: usize = 160;

/// How long it is silent at the end, in these steps: longer than any subscription lives, and than anything is tried again.
const SILENCE: u32 = 16;
const STEP: Duration = Duration::from_secs(800);

/// The gateway between a room of each side.
struct World {
    player: Player,
    /// A SIP user, and the room of XMPP that he may sit in.
    muc: Muc,
    /// An XMPP user, and the room of SIP that she may sit in.
    hall: Hall,
}

/// A SIP user before a MUC, and an XMPP user before an MSRP room; each byte is something that one of them does, or one of the rooms, or that
/// happens. Most is not possible at that moment, and nothing comes of it.
///
/// What is sent can be read, and goes where it may. What is said in a room is said there once, is heard once by each who sits there, and is
/// answered once. When both have been silent for long enough, and their connections are gone, nobody of this gateway sits in either room, and no
/// session, dialog, subscription, connection, message or record is left.
pub fn room(data: &[u8]) {
    let mut player = Player::new(Settings::default());
    for setting in ["chat session", "muc_domains rooms.example.com", "sip_rooms chat.example.org"] {
        play(&mut player, &format!("set {setting}"));
    }
    let mut world = World { player, muc: Muc::new(), hall: Hall::default() };
    for (n, byte) in data.iter().take(STEPS).enumerate() {
        world.step(usize::from(byte % 32), usize::from(byte / 32), n);
        world.look();
    }
    world.end();
}

fn play(player: &mut Player, step: &str) {
    // What cannot be done now is not done.
    let _ = player.part(step);
}

impl World {
    fn step(&mut self, what: usize, which: usize, n: usize) {
        let player = &mut self.player;
        match what {
            0..=13 => self.muc.step(player, what, which, n),
            14..=27 => self.hall.step(player, what - 14, which, n),
            28 => {
                self.hall.away = true;
                play(player, ["link down", "link up"][which % 2]);
            }
            29 if which < 2 => {
                self.hall.doom();
                player.restart();
            }
            29 | 30 => player.takes(),
            _ => player.wait(Duration::from_secs([0, 1, 3, 6, 20, 31, 65, 700][which])),
        }
    }

    fn look(&mut self) {
        for seen in self.player.see_all() {
            match seen {
                Seen::Sip(message) => {
                    assert_eq!(message.header("X-Rehearsal"), None, "{message}");
                    self.muc.sip(&message);
                    self.hall.sip(&message);
                }
                Seen::Frame(frame) => {
                    assert_eq!(frame.fault(), None, "{frame}");
                    self.muc.frame(&frame);
                    self.hall.frame(&frame);
                }
                Seen::Stanza(element) => {
                    let stanza = stanza(element);
                    self.muc.stanza(&self.player, &stanza);
                    self.hall.stanza(&stanza);
                }
            }
        }
    }

    fn end(&mut self) {
        play(&mut self.player, "link up");
        self.muc.deaf = false;
        for actor in ["romeo", "montague", "juliet"] {
            while self.player.disconnects(actor, None).is_ok() {}
        }
        for n in 0..SILENCE {
            self.player.wait(STEP);
            self.look();
            for actor in ["romeo", "montague", "juliet"] {
                while self.player.refuses_connection(actor, None).is_ok() {}
            }
            self.player.takes();
            if n + 5 > SILENCE {
                // A room notices who is not there any more when it has something to tell him.
                self.muc.anybody(&self.player);
            }
            while self.muc.deliver(&mut self.player) {
                self.look();
            }
        }
        self.hall.judge();
        assert_eq!(self.muc.ours(), [""; 0], "people of this gateway are left in the room");
        let left = self.player.left();
        assert_eq!(left, [0; 5], "messages, chats, dialogs, MSRP sessions, connections of the gateway are left");
        assert_eq!(
            self.player.left_of_rooms(),
            [0; 3],
            "places on either side and subscriptions of the gateway are left"
        );
        assert_eq!(self.player.store().len(), 0, "{:?}", self.player.store());
    }
}

fn stanza(element: Element) -> Stanza {
    Stanza::from_element(element, xmpp::ns::COMPONENT_ACCEPT).expect("the gateway sends stanzas")
}

/// The number of a message, by its text: `sip7.` is number 7 of those that begin with `sip`.
fn number(text: &str, prefix: &str) -> Option<usize> {
    let at = text.find(prefix)? + prefix.len();
    text.get(at..)?.split_once('.')?.0.parse().ok()
}
