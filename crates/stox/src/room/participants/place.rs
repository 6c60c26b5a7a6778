//! One place: a SIP user's device in a MUC, who is there with it, and what is on its way to it.

use crate::config::LinkId;
use crate::links::StanzaToken;
use crate::room::nickname::Nickname;
use base::{Fingerprint, Str, Time};
use bytes::Bytes;
use msrp::{MessageId, MessageToken};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use xmpp::ext::muc::{Affiliation, Item, Role};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

use super::enclosed::Enclosed;
use super::watch::Watcher;

/// How many messages from the room are remembered, by which those that a second entering shows again are known.
const REMEMBERED: usize = 32;

/// How many subjects may be under way.
const SUBJECTS: usize = 4;

/// How many readers of one message the user is told of.
const READERS: u32 = 20;

/// What a letter takes besides its words.
const ENVELOPE: usize = 512;

/// A room that says nothing for this long is asked whether the user is still in it (XEP-0410).
const SILENCE: Duration = Duration::from_secs(600);

/// Where a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The INVITE is there; whether it can be answered is not known yet.
    Called,
    /// The room was asked to let the user in.
    Entering,
    /// The user is in the room.
    Inside,
    /// The room, or the way to it, was away: the room is asked, or is to be asked, to let the user in once more.
    Returning,
    /// The user is to leave, or has left: the leg has yet to end.
    Leaving,
}

/// Somebody in the room. Each place has its own list of all, so that a thousand places in a room of two thousand have two million of these: they are
/// small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) affiliation: Affiliation,
    pub(super) role: Role,
    /// Where the room shows it.
    pub(super) jid: Option<Box<Jid>>,
    /// What stands for the occupant-id (XEP-0421): by it somebody who comes back under the same name is known.
    pub(super) occupant_id: Option<u64>,
    /// The SIP user was told that it is he who has this name: only then a private message to the name is for him.
    pub(super) known: bool,
    /// Shown since the room was last entered.
    pub(super) shown: bool,
}

impl Person {
    pub(super) fn of(item: &Item, occupant_id: Option<u64>) -> Person {
        Person {
            affiliation: item.affiliation.unwrap_or_default(),
            role: item.role.unwrap_or(Role::Participant),
            jid: item.jid.clone().map(Box::new),
            occupant_id,
            known: false,
            shown: true,
        }
    }

    /// Whether the two may be the same human being, as far as the room tells.
    fn is(&self, other: &Person) -> bool {
        match (&self.occupant_id, &other.occupant_id) {
            (Some(a), Some(b)) => a == b,
            _ => self.jid.as_deref().map(Jid::bare) == other.jid.as_deref().map(Jid::bare),
        }
    }

    /// Whether the two are the same human being: the room says so.
    fn is_surely(&self, other: &Person) -> bool {
        (self.occupant_id.is_some() || self.jid.is_some()) && self.is(other)
    }

    /// Whether there is a difference that the SIP user could be told.
    fn looks_like(&self, other: &Person) -> bool {
        (self.affiliation, self.role, &self.jid) == (other.affiliation, other.role, &other.jid)
    }
}

/// How somebody left, in the words of RFC 4575 §5.7.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// By himself.
    Departed,
    /// He was made to.
    Booted,
    /// His connection was lost.
    Failed,
}

/// What the SIP user is to be sent.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) content_type: Str,
    pub(super) body: Bytes,
    pub(super) since: Time,
    /// Of a private message, whose sender is told if it does not arrive.
    pub(super) envelope: Option<Box<Stanza>>,
}

impl Letter {
    pub(super) fn new(enclosed: Enclosed, since: Time, envelope: Option<Stanza>) -> Letter {
        let Enclosed { content_type, body } = enclosed;
        Letter { content_type, body, since, envelope: envelope.map(Box::new) }
    }

    pub(super) fn weight(&self) -> usize {
        ENVELOPE + self.body.len()
    }
}

/// Whether the room was told that the user has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It need not be.
    None,
    /// It was, if the server takes this stanza.
    Sent(StanzaToken),
    /// There was no stream to tell it by.
    Owed,
}

/// A change of the nickname that the room has yet to grant.
#[derive(Debug)]
pub(super) struct Renaming {
    pub(super) token: MessageToken,
    pub(super) to: Nickname,
    pub(super) until: Time,
}

/// A place.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) link: LinkId,
    /// The SIP user; the resource stands for the device.
    pub(super) user: Jid,
    /// The room.
    pub(super) room: Jid,
    /// The nickname: as the room has it, to the octet, or as it was last asked for.
    pub(super) nick: Str,
    /// The nickname that the user would have, of which others are variants, and which of them was asked for last.
    pub(super) wanted: Nickname,
    pub(super) variant: u32,
    pub(super) password: Option<Str>,
    pub(super) phase: Phase,
    pub(super) since: Time,
    /// The record's id.
    pub(super) record: Str,
    pub(super) saved: bool,
    /// When it is tried again to save it.
    pub(super) save_at: Option<Time>,
    pub(super) farewell: Farewell,
    pub(super) people: BTreeMap<Str, Person>,
    /// How many of them were shown since the room was last entered, and whether there were more than there may be.
    pub(super) shown: usize,
    pub(super) crowded: bool,
    pub(super) subject: Option<String>,
    /// The room has said what the subject is: from now on there is something new in it.
    pub(super) has_subject: bool,
    /// The subscriptions of this place.
    pub(super) watchers: Vec<Watcher>,
    pub(super) waiting: VecDeque<Letter>,
    pub(super) flying: VecDeque<(MessageId, Letter)>,
    /// Bytes of both.
    pub(super) bytes: usize,
    /// Messages of the user that wait for the room.
    pub(super) held: usize,
    /// The id of the presence that the room was last asked by: to let the user in, or to change the name.
    pub(super) asked_by: Option<Str>,
    pub(super) renaming: Option<Renaming>,
    /// Private messages that were answered for, and to whom they were: a room elsewhere may refuse them yet.
    pub(super) privates: VecDeque<(Fingerprint, Str)>,
    /// Subjects that the user has asked for.
    pub(super) subjects: VecDeque<(Fingerprint, String)>,
    /// Messages of the user that he wants to know the readers of, the last ones, and how many have read each.
    pub(super) asked: VecDeque<(Fingerprint, u32)>,
    /// What the room has said last, each as what it is known by.
    pub(super) heard: VecDeque<Fingerprint>,
    /// When the room has said anything last while the user was inside: what came later, he has missed.
    pub(super) last_heard: Time,
    /// When it was last heard or asked.
    pub(super) quiet_since: Time,
    /// The room has to have let the user in by then.
    pub(super) enter_by: Option<Time>,
    /// When it is asked to, once more.
    pub(super) return_at: Option<Time>,
    /// What the room has said before the session was there.
    pub(super) early: VecDeque<Stanza>,
    /// Messages can be sent.
    pub(super) open: bool,
    /// Since when the user is inside.
    pub(super) inside_since: Time,
    /// How often it was tried since the user was last inside for a while.
    pub(super) tries: u32,
    /// Whether the room was asked if the user is still in it, since it last said something.
    pub(super) pinged: bool,
    pub(super) said: u64,
    pub(super) received: u64,
    /// When the place is looked at next.
    pub(super) armed: Option<Time>,
}

impl Participant {
    pub(super) fn new(link: LinkId, user: Jid, room: Jid, nick: Nickname, record: Str, now: Time) -> Participant {
        Participant {
            link,
            user,
            room,
            nick: Str::from(nick.as_str()),
            wanted: nick,
            variant: 1,
            password: None,
            phase: Phase::Called,
            since: now,
            record,
            saved: false,
            save_at: None,
            farewell: Farewell::None,
            people: BTreeMap::new(),
            shown: 0,
            crowded: false,
            subject: None,
            has_subject: false,
            watchers: Vec::new(),
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            bytes: 0,
            held: 0,
            asked_by: None,
            renaming: None,
            privates: VecDeque::new(),
            subjects: VecDeque::new(),
            asked: VecDeque::new(),
            heard: VecDeque::new(),
            last_heard: now,
            quiet_since: now,
            enter_by: None,
            return_at: None,
            early: VecDeque::new(),
            open: false,
            inside_since: now,
            tries: 0,
            pinged: false,
            said: 0,
            received: 0,
            armed: None,
        }
    }

    /// The occupant's address of whoever has this nickname.
    pub(super) fn occupant(&self, nick: &str) -> Option<Jid> {
        self.room.with_resource(nick).ok()
    }

    /// The user's own.
    pub(super) fn own(&self) -> Option<Jid> {
        self.occupant(&self.nick)
    }

    /// Somebody came, or has changed. At most `most` are kept; whether it is worth telling.
    pub(super) fn show(&mut self, nick: &str, mut person: Person, most: usize) -> bool {
        if let Some(before) = self.people.get_mut(nick) {
            let stayed = before.is(&person) && (before.shown || before.is_surely(&person));
            person.known = before.known && stayed;
            self.shown += usize::from(!before.shown);
            if before.known && !stayed {
                // It may be somebody else under the same name.
                self.watchers.iter_mut().for_each(|watcher| watcher.gone(nick, Gone::Departed, true));
            }
            let news = !person.known || !before.looks_like(&person);
            *before = person;
            return news;
        }
        if self.shown >= most {
            self.crowded = true;
            return false;
        }
        self.shown += 1;
        self.people.insert(Str::from(nick), person);
        true
    }

    /// The room has said something.
    pub(super) fn stir(&mut self, now: Time) {
        (self.quiet_since, self.pinged) = (now, false);
        if self.phase == Phase::Inside {
            self.last_heard = now;
        }
    }

    /// Somebody has spoken under this name: the user knows him by it, if he was not told of another one.
    pub(super) fn know(&mut self, nick: &str) {
        let another = self.watchers.iter().any(|watcher| watcher.has_yet_to_lose(nick));
        if let (Some(person), false) = (self.people.get_mut(nick), another) {
            person.known = true;
        }
    }

    /// Takes note of what the room has said. `false` if it has said so before.
    pub(super) fn hear(&mut self, message: Fingerprint) -> bool {
        if self.heard.contains(&message) {
            return false;
        }
        if self.heard.len() == REMEMBERED {
            self.heard.pop_front();
        }
        self.heard.push_back(message);
        true
    }

    /// The user has said something to somebody alone.
    pub(super) fn tell_alone(&mut self, said: Fingerprint, nick: &str) {
        if self.privates.len() == REMEMBERED {
            self.privates.pop_front();
        }
        self.privates.push_back((said, Str::from(nick)));
    }

    /// The user wants this to be the subject.
    pub(super) fn set_subject(&mut self, said: Fingerprint, subject: &str) {
        if self.subjects.len() == SUBJECTS {
            self.subjects.pop_front();
        }
        self.subjects.push_back((said, subject.to_owned()));
    }

    /// The user wants to know who reads this message of his.
    pub(super) fn ask(&mut self, said: Fingerprint) {
        if self.asked.len() == REMEMBERED {
            self.asked.pop_front();
        }
        self.asked.push_back((said, 0));
    }

    /// Somebody has read a message; whether the user is to be told.
    pub(super) fn read(&mut self, said: Fingerprint) -> bool {
        let Some((_, readers)) = self.asked.iter_mut().find(|(asked, _)| *asked == said) else { return false };
        *readers += 1;
        *readers <= READERS
    }

    /// When something is due: the end of the patience with the room, or the question whether it is still there.
    pub(super) fn due(&self) -> Option<Time> {
        let asks = (self.phase == Phase::Inside).then(|| self.quiet_since + SILENCE);
        let renaming = self.renaming.as_ref().map(|renaming| renaming.until);
        [self.enter_by, self.return_at, self.save_at, renaming, asks].into_iter().flatten().min()
    }

    /// Whether the room has been silent for so long that it is to be asked.
    pub(super) fn is_silent(&self, now: Time) -> bool {
        self.phase == Phase::Inside && self.quiet_since + SILENCE <= now
    }
}
