//! A client in a room, as XEP-0045 has it: it believes what the room says, and is strict about what a room may say.

use std::collections::{BTreeMap, BTreeSet};
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::muc::{self, Affiliation, History, Item, Join, Role, User, status};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// What one sees of somebody.
pub type Standing = (Affiliation, Role);

/// A client of somebody, in one room or on the way there.
#[derive(Debug, Clone)]
pub struct Guest {
    pub user: Jid,
    pub room: Jid,
    /// It has asked to come in, and has no answer yet.
    pub asking: bool,
    pub inside: bool,
    pub nick: String,
    pub people: BTreeMap<String, Standing>,
    pub subject: Option<String>,
    /// What all could hear, since it came in: who, and what.
    pub heard: Vec<(String, String)>,
    /// What it has said itself and heard so, whenever.
    pub spoken: BTreeSet<String>,
    /// What was said to it alone.
    pub private: Vec<(String, String)>,
    /// Why it was not let in, or not given a nickname.
    pub refused: Vec<Condition>,
    /// The status codes with which it was put out, or has left.
    pub out: Vec<Vec<u16>>,
    /// Where the room goes on that was destroyed.
    pub elsewhere: Option<Jid>,
    /// Messages that came back, by id, and why.
    pub failed: Vec<(String, Condition)>,
    /// Rooms that it was invited to, and by whom.
    pub invited: Vec<(Jid, Option<Jid>)>,
    /// What was wrong with what it was told.
    pub faults: Vec<String>,
    minted: u64,
}

impl Guest {
    pub fn new(user: &str, room: &str) -> Guest {
        Guest {
            user: Jid::parse(user).unwrap(),
            room: Jid::parse(room).unwrap(),
            asking: false,
            inside: false,
            nick: String::new(),
            people: BTreeMap::new(),
            subject: None,
            heard: Vec::new(),
            spoken: BTreeSet::new(),
            private: Vec::new(),
            refused: Vec::new(),
            out: Vec::new(),
            elsewhere: None,
            failed: Vec::new(),
            invited: Vec::new(),
            faults: Vec::new(),
            minted: 0,
        }
    }

    fn occupant(&self, nick: &str) -> Jid {
        self.room.with_resource(nick).unwrap()
    }

    fn id(&mut self) -> String {
        self.minted += 1;
        format!("{}-{}", self.user.to_string().replace(['@', '/'], "-"), self.minted)
    }

    pub fn join(&mut self, nick: &str) -> Stanza {
        self.asking = true;
        self.forget();
        let join = Join { history: None::<History>, password: None };
        let wish = Stanza::presence().with_from(self.user.clone()).with_to(self.occupant(nick)).with_id(self.id());
        wish.with_child(join.to_element())
    }

    pub fn rename(&mut self, nick: &str) -> Stanza {
        Stanza::presence().with_from(self.user.clone()).with_to(self.occupant(nick)).with_id(self.id())
    }

    pub fn leave(&self) -> Stanza {
        let own = self.occupant(&self.nick);
        Stanza::presence().with_type("unavailable").with_from(self.user.clone()).with_to(own)
    }

    /// Something for all, and its id.
    pub fn say(&mut self, words: &str) -> Stanza {
        let message = Stanza::message().with_type("groupchat").with_from(self.user.clone()).with_to(self.room.clone());
        message.with_id(self.id()).with_child(Element::new("body", ns::CLIENT).with_text(words))
    }

    /// Something for one.
    pub fn whisper(&mut self, nick: &str, words: &str) -> Stanza {
        let message = Stanza::message().with_type("chat").with_from(self.user.clone()).with_to(self.occupant(nick));
        let message = message.with_id(self.id()).with_child(Element::new("body", ns::CLIENT).with_text(words));
        message.with_child(User::default().to_element())
    }

    pub fn set_subject(&mut self, subject: &str) -> Stanza {
        let message = Stanza::message().with_type("groupchat").with_from(self.user.clone()).with_to(self.room.clone());
        message.with_id(self.id()).with_child(Element::new("subject", ns::CLIENT).with_text(subject))
    }

    /// A moderator's or an admin's wish.
    pub fn administer(&mut self, item: Item) -> Stanza {
        let wish = Stanza::iq("set").with_from(self.user.clone()).with_to(self.room.clone()).with_id(self.id());
        wish.with_child(muc::Admin { items: vec![item] }.to_element())
    }

    pub fn kick(&mut self, nick: &str) -> Stanza {
        self.administer(Item { nick: Some(nick.into()), role: Some(Role::None), ..Item::default() })
    }

    fn forget(&mut self) {
        self.inside = false;
        self.people.clear();
        self.heard.clear();
        self.subject = None;
    }

    fn wrong(&mut self, what: &str, stanza: &Stanza) {
        self.faults.push(format!("{}: {what}: {}", self.user, String::from_utf8_lossy(&stanza.to_bytes(ns::CLIENT))));
    }

    /// Something came for it. Gives back the answer where there is to be one.
    pub fn take(&mut self, stanza: &Stanza) -> Option<Stanza> {
        let from = stanza.from.clone().unwrap_or_else(|| self.room.clone());
        match stanza.kind {
            Kind::Iq => return (stanza.type_.as_deref() == Some("get")).then(|| stanza.result(None)),
            Kind::Presence if !from.same_bare(&self.room) => {}
            Kind::Presence => self.presence(&from, stanza),
            Kind::Message => self.message(&from, stanza),
        }
        None
    }

    fn presence(&mut self, from: &Jid, stanza: &Stanza) {
        if stanza.is_error() {
            let why = StanzaError::from_stanza(stanza).map(|error| error.condition);
            if !self.inside && !self.asking {
                self.wrong("an error to nothing", stanza);
            }
            self.asking = false;
            return self.refused.extend(why);
        }
        let nick = from.resource().unwrap_or_default().to_owned();
        let Some(user) = User::of(stanza).filter(|_| !nick.is_empty()) else {
            return self.wrong("presence that says nothing", stanza);
        };
        let item = user.item().cloned().unwrap_or_default();
        match stanza.type_.as_deref() {
            None if self.inside || self.asking => {
                let standing = (item.affiliation.unwrap_or_default(), item.role.unwrap_or_default());
                self.people.insert(nick.clone(), standing);
                if user.has(status::SELF_PRESENCE) {
                    (self.inside, self.asking, self.nick) = (true, false, nick);
                }
            }
            None => self.wrong("presence for one who is not there", stanza),
            Some("unavailable") => {
                let known = self.people.remove(&nick).is_some();
                if user.has(status::NICK_CHANGED) {
                    if !known || item.nick.is_none() {
                        self.wrong("a new name for nobody", stanza);
                    }
                } else if user.has(status::SELF_PRESENCE) {
                    if !self.inside && !self.asking {
                        // Told twice, or told who knows: harmless, and services do so.
                        return;
                    }
                    (self.inside, self.asking) = (false, false);
                    self.elsewhere = user.destroy.and_then(|destroy| destroy.jid);
                    self.out.push(user.statuses);
                    self.people.clear();
                } else if !known {
                    self.wrong("somebody leaves who is not there", stanza);
                }
            }
            Some(_) => self.wrong("presence of another type", stanza),
        }
    }

    fn message(&mut self, from: &Jid, stanza: &Stanza) {
        if stanza.is_error() {
            let why = StanzaError::from_stanza(stanza).map_or(Condition::UndefinedCondition, |error| error.condition);
            return self.failed.push((stanza.id.as_deref().unwrap_or_default().to_owned(), why));
        }
        let user = User::of(stanza);
        if let Some(invite) = user.as_ref().and_then(|user| user.invites.first()) {
            return self.invited.push((from.clone(), invite.from.clone()));
        }
        let nick = from.resource().unwrap_or_default().to_owned();
        let body = stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned());
        if !muc::is_groupchat(stanza) {
            if let Some(body) = body {
                self.private.push((nick, body));
            }
        } else if !self.inside {
            self.wrong("a message for one who is not there", stanza);
        } else if let Some(subject) = muc::subject(stanza) {
            self.subject = Some(subject);
        } else if let Some(body) = body {
            if nick == self.nick && stanza.child("delay", ns::DELAY).is_none() {
                self.spoken.insert(body.clone());
            }
            self.heard.push((nick, body));
        }
    }
}
