//! One-to-one chat sessions: RFC 7573, MSRP (RFC 4975) <-> `<message type='chat'/>` (RFC 6121).
//!
//! From XMPP: words that belong to no chat open one, and wait until the SIP user has answered; those of an open chat go into its session. All of a
//! stanza is kept until the SIP side has answered for it. From SIP: an INVITE is accepted for the XMPP user, who knows of no sessions; the answer
//! to a message is held until the XMPP server took the stanza.
//!
//! What it claims: INVITEs that offer MSRP or nothing at all; and of message stanzas those for which [`Way::Session`] is chosen: words of type
//! `chat`, and what belongs to a chat that is there, a state or a receipt.

mod arrive;
mod depart;
mod end;
pub(crate) mod record;
mod s2x;
mod talk;
mod x2s;

use crate::choice::{self, Way};
use crate::config::{Config, LinkId};
use crate::content::departing::{self, Departing};
use crate::error::Refusal;
use crate::gateway::Note;
use crate::held::Held;
use crate::leg::{self, LegId, negotiate};
use crate::links::StanzaToken;
use crate::mapping::{Copies, Invitation, Mapping, Purpose, Side, Stage};
use crate::prints;
use crate::records::{Forgetting, Orphans};
use crate::store::{About, Broken, Key, SaveToken};
use base::{Fingerprint, HashKey, Str, Table, Time};
use sip::Request;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use talk::{Chat, Letter, Phase, States};
use xmpp::error::StanzaError;
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// The longest thread or stanza id that is kept for as long as a session lives, in bytes. A longer thread is none; whoever has a longer id is told
/// of nothing that comes later.
const LONGEST: usize = 1024;

/// How chat sessions are translated.
#[derive(Debug, Clone)]
pub struct Options {
    /// A session in which nobody has said anything for this long is ended (RFC 7573 §6.1: 10 minutes); zero: never.
    pub idle: Duration,
    /// How long the SIP user may take to answer a session that an XMPP user has opened.
    pub ring: Duration,
    /// How long a SIP user who refused a session gets single messages.
    pub remember: Duration,
    /// Whether the SIP side is asked to tell of failures. RFC 7573 §7 would rather not; but without it nobody knows of a message that is lost.
    pub failure_reports: bool,
    /// Whether receipts are translated.
    pub receipts: bool,
    /// Whether chat states are translated.
    pub chat_states: bool,
    /// Sessions between one XMPP user and one SIP user at one time. Beyond: the last one serves; INVITEs get 486.
    pub sessions_per_pair: usize,
    /// Sessions in one shard. Beyond: `<resource-constraint/>`; INVITEs get 503.
    pub sessions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            idle: Duration::from_secs(600),
            ring: Duration::from_secs(30),
            remember: Duration::from_secs(3600),
            failure_reports: true,
            receipts: true,
            chat_states: true,
            sessions_per_pair: 8,
            sessions: 50_000,
        }
    }
}

/// A session, for the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The SIP user, and the device once it is known.
    pub sip: Jid,
    /// The XMPP user, and the resource once one has spoken.
    pub xmpp: Jid,
    /// The thread, which is the Call-ID.
    pub thread: Str,
    /// Who opened it.
    pub opened_by: Side,
    /// Whether messages can go through it.
    pub open: bool,
    /// How old it is.
    pub age: Duration,
    /// How long nobody has said anything.
    pub idle: Duration,
    /// Messages that went through it.
    pub messages: u64,
    /// Messages from XMPP that wait or are on their way.
    pub waiting: usize,
}

/// A message from MSRP that waits for what the XMPP side says.
#[derive(Debug)]
struct Waiting {
    leg: LegId,
    token: msrp::MessageToken,
    since: Time,
    /// For the sender's other devices.
    copies: Option<Box<Copies>>,
}

/// The mapping of RFC 7573.
#[derive(Debug)]
pub struct Chats {
    options: Options,
    key: HashKey,
    chats: Table<LegId, Box<Chat>>,
    /// The chats of an XMPP user with a SIP user.
    pairs: Table<Fingerprint, Vec<LegId>>,
    held: Held<Waiting>,
    /// When each chat is looked at next: one entry for each, whatever is said in it.
    due: BTreeSet<(Time, LegId)>,
    orphans: Orphans<record::Chat>,
    /// Chats that are to be ended, as the gateway is to end.
    leaving: VecDeque<LegId>,
    /// When some more of these are.
    some_at: Option<Time>,
    forgetting: Forgetting,
    /// Messages from XMPP that wait or are on their way, and what they take.
    letters: usize,
    bytes: usize,
    used: u64,
    /// The gateway is to end.
    draining: bool,
}

impl Chats {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Chats {
        Chats {
            options: config.chat.clone(),
            key,
            chats: Table::new(key),
            pairs: Table::new(key),
            held: Held::new(key),
            due: BTreeSet::new(),
            orphans: Orphans::new(),
            leaving: VecDeque::new(),
            some_at: None,
            forgetting: Forgetting::new(key),
            letters: 0,
            bytes: 0,
            used: 0,
            draining: false,
        }
    }

    /// The sessions.
    pub fn len(&self) -> usize {
        self.chats.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages held and messages on their way or waiting.
    pub fn under_way(&self) -> usize {
        self.held.len() + self.letters
    }

    /// Messages from XMPP on their way or waiting.
    pub fn under_way_to_sip(&self) -> usize {
        self.letters
    }

    /// All sessions, the oldest first.
    pub fn sessions(&self, now: Time) -> Vec<Session> {
        let session = |chat: &Chat| Session {
            sip: chat.sip.clone(),
            xmpp: chat.xmpp.clone(),
            thread: chat.thread.clone(),
            opened_by: chat.opened_by,
            open: chat.phase != Phase::Inviting,
            age: now.since(chat.since),
            idle: now.since(chat.last),
            messages: chat.messages,
            waiting: chat.waiting.len() + chat.flying.len(),
        };
        self.chats.keys_sorted().iter().filter_map(|leg| self.chats.get(leg)).map(|chat| session(chat)).collect()
    }

    /// Whether a stanza that opens nothing belongs to a chat that is there: a state, or a receipt for what came through it. Words of its own
    /// thread do, too, whatever is chosen for others now.
    pub fn has(&self, stanza: &Stanza) -> bool {
        let (Kind::Message, Some(from), Some(to)) = (stanza.kind, &stanza.from, &stanza.to) else { return false };
        if stanza.type_.as_deref() == Some("groupchat") || !self.pairs.contains(&prints::pair(&self.key, from, to)) {
            return false;
        }
        let there = || self.find(from, to, thread_of(stanza).as_deref()).is_some();
        if choice::has_words(stanza) {
            return stanza.type_.as_deref() == Some("chat") && there();
        }
        match departing::read(stanza) {
            Departing::Receipt { id, .. } => self.owing(from, to, &id).is_some(),
            Departing::State(_) => there(),
            // A reaction is words, too.
            Departing::Message(_) => stanza.type_.as_deref() == Some("chat") && there(),
            Departing::Nothing => false,
        }
    }

    fn of_pair(&self, from: &Jid, to: &Jid) -> impl DoubleEndedIterator<Item = (LegId, &Chat)> {
        let legs = self.pairs.list(&prints::pair(&self.key, from, to));
        legs.iter().filter_map(|leg| Some((*leg, &**self.chats.get(leg)?)))
    }

    /// The chat that a stanza belongs to: that of its thread; or, if it names none, the last one that this resource has used; or one that the SIP user
    /// has opened and nobody has answered.
    fn find(&self, from: &Jid, to: &Jid, thread: Option<&str>) -> Option<LegId> {
        let all = || self.of_pair(from, to).filter(|(_, chat)| chat.phase.takes_words());
        // Whichever of the SIP user's devices it names: the thread is that of the session.
        if let Some(thread) = thread
            && let Some((leg, _)) = all().find(|(_, chat)| chat.has_thread(thread))
        {
            return Some(leg);
        }
        let there = || all().filter(|(_, chat)| chat.is_with(to));
        let own = || there().filter(|(_, chat)| chat.xmpp == *from).max_by_key(|(_, chat)| chat.used);
        let open = || {
            there()
                .filter(|(_, chat)| chat.opened_by == Side::Sip && chat.xmpp.is_bare())
                .max_by_key(|(_, chat)| chat.used)
        };
        let found = if thread.is_some() { open() } else { own().or_else(open) };
        found.map(|(leg, _)| leg)
    }

    /// The chat in which a message with this stanza id went to `from`, who is to say what became of it.
    fn owing(&self, from: &Jid, to: &Jid, id: &str) -> Option<LegId> {
        self.of_pair(from, to).find(|(_, chat)| chat.owed.iter().any(|owed| owed.stanza_id == id)).map(|(leg, _)| leg)
    }

    fn enter(&mut self, leg: LegId, chat: Chat) {
        self.pairs.list_add(prints::pair(&self.key, &chat.xmpp, &chat.sip), leg);
        self.chats.insert(leg, Box::new(chat));
        self.arm(leg);
    }

    fn leave(&mut self, stage: &mut Stage<'_>, leg: LegId) -> Option<Box<Chat>> {
        let chat = self.chats.remove(&leg)?;
        if let Some(at) = chat.armed {
            self.due.remove(&(at, leg));
        }
        self.pairs.list_remove(&prints::pair(&self.key, &chat.xmpp, &chat.sip), &leg);
        if chat.saved {
            self.forgetting.forget(stage, record_key(&chat).to_bytes());
        }
        Some(chat)
    }

    /// Writes down that the chat is there, and what of it is still to be said.
    fn save(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let record = record::Chat {
            device: chat.sip.resource().map(str::to_owned),
            resource: chat.xmpp.resource().map(str::to_owned),
            thread: chat.spoken_thread().to_owned(),
            dialog: stage.legs(|legs, footing| legs.dialog(footing, leg).filter(|d| !d.remote_tag.is_empty()).cloned()),
            waiting: chat
                .waiting
                .iter()
                .map(|letter| letter.stanza.id.as_ref().filter(|id| id.len() <= LONGEST).map(Str::to_string))
                .collect(),
        };
        chat.saved = true;
        stage.save(record_key(chat).to_bytes(), Some(record.to_bytes()));
    }

    /// Tells the sender of a message that it did not arrive.
    fn fail(stage: &mut Stage<'_>, link: LinkId, letter: &Letter, error: &StanzaError, code: u16) {
        stage.note(Note::Failed { by: Side::Sip, code });
        if let Some(answer) = letter.stanza.error(error) {
            stage.answer(link, &answer);
        }
    }

    fn drop_letter(&mut self, letter: &Letter) {
        self.letters -= 1;
        self.bytes -= letter.weight;
    }
}

fn thread_of(stanza: &Stanza) -> Option<Str> {
    let thread = stanza.elements().find(|e| e.is("thread", ns::CLIENT))?.text();
    (!thread.is_empty() && thread.len() <= LONGEST).then(|| Str::from(thread.as_ref()))
}

fn record_key(chat: &Chat) -> Key {
    Key { about: About::Chat(chat.record.clone()), sip: chat.sip.bare(), xmpp: chat.xmpp.bare() }
}

impl Mapping for Chats {
    fn claims_request(&self, _: &Request) -> bool {
        false
    }

    fn claims_invitation(&self, invitation: &Invitation) -> bool {
        let body = &invitation.request.body;
        matches!(invitation.purpose, Purpose::Chat | Purpose::Unclear) && (body.is_empty() || negotiate::is_ours(body))
    }

    fn claims_stanza(&self, stanza: &Stanza, way: Way) -> bool {
        stanza.kind == Kind::Message && way == Way::Session
    }

    fn reconfigure(&mut self, config: &Config) {
        let before = std::mem::replace(&mut self.options, config.chat.clone());
        if before.idle == self.options.idle {
            return;
        }
        for leg in self.chats.keys_sorted() {
            self.arm(leg);
        }
    }

    fn invited(&mut self, stage: &mut Stage<'_>, invitation: Invitation) {
        if let Err(refusal) = self.accept(stage, &invitation) {
            stage.refuse_invitation(invitation.id, &refusal);
        }
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        match departing::read(&stanza) {
            Departing::Message(text) => self.words(stage, link, stanza, &text),
            Departing::State(state) => self.state(stage, &stanza, state),
            Departing::Receipt { id, disposition } => self.receipt(stage, &stanza, &id, disposition),
            Departing::Nothing => stage.note(Note::Ignored { why: "nothing to translate" }),
        }
    }

    fn leg(&mut self, stage: &mut Stage<'_>, event: leg::Event) -> Option<leg::Event> {
        if !self.chats.contains(&event.leg()) {
            return Some(event);
        }
        match event {
            // Chats are answered at once, and look at what is described when they send.
            leg::Event::Called { .. } | leg::Event::Redescribed { .. } => {}
            leg::Event::Open { leg, response } => self.opened(stage, leg, response.as_deref()),
            leg::Event::Up { leg } => {
                if let Some(chat) = self.chats.get(&leg) {
                    let micros = stage.now.since(chat.since).as_micros() as u64;
                    stage.note(Note::SessionOpened { by: chat.opened_by, micros });
                }
            }
            leg::Event::Ending { leg } => {
                if let Some(chat) = self.chats.get_mut(&leg).filter(|chat| chat.phase == Phase::Open) {
                    chat.phase = Phase::Ending;
                }
            }
            leg::Event::Message { leg, token, message } => self.arrived(stage, leg, token, &message),
            leg::Event::Sent { leg, message } => self.sent(stage, leg, &message),
            leg::Event::Undelivered { leg, message, why } => self.undelivered(stage, leg, &message, why),
            // What is said of rooms, neither side of a chat says.
            leg::Event::Nickname { .. } | leg::Event::Nicknamed { .. } => {}
            leg::Event::Report { leg, message, code } => self.reported(stage, leg, &message, code),
            leg::Event::Failed { leg, why } => self.refused(stage, leg, &why),
            leg::Event::Ended { leg, why } => self.over(stage, leg, &why),
        }
        None
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        let (Kind::Message, Some(id), Some(from), Some(to)) = (stanza.kind, &stanza.id, &stanza.from, &stanza.to)
        else {
            return false;
        };
        let said = prints::said(&self.key, id, to, from);
        match self.held.refused(&said) {
            Some(held) => self.turned_away(stage, &held, error),
            None => return self.turned_away_late(stage, from, to, id, error),
        }
        true
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        let Some(held) = self.held.release(token) else { return false };
        if taken {
            stage.note(Note::Delivered { to: Side::Xmpp, micros: stage.now.since(held.since).as_micros() as u64 });
            stage.legs(|legs, footing| legs.answer(footing, held.token, 200, "OK"));
            stage.tell_owners(held.copies);
            self.released(stage, held.leg);
        } else {
            self.not_taken(stage, &held);
        }
        true
    }

    fn saved(&mut self, stage: &mut Stage<'_>, token: SaveToken, saved: bool) -> bool {
        self.forgetting.saved(stage.now, token, saved)
    }

    fn restore(&mut self, _: &mut Stage<'_>, key: &Key, value: &[u8]) -> Option<Result<(), Broken>> {
        if !matches!(key.about, About::Chat(_)) {
            return None;
        }
        Some(record::Chat::parse(value).map(|record| {
            self.orphans.push(key.clone(), record);
        }))
    }

    fn link_up(&mut self, stage: &mut Stage<'_>, _: LinkId) {
        self.orphans.link_up(stage.now);
        self.bury_some(stage);
    }

    fn drain(&mut self, stage: &mut Stage<'_>) {
        self.draining = true;
        self.leaving = self.chats.keys_sorted().into();
        self.some_at = Some(stage.now);
        self.end_some(stage);
    }

    fn abandon(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.give_up() {
            self.not_taken(stage, &held);
        }
        for leg in self.chats.keys_sorted() {
            let Some(chat) = self.chats.get_mut(&leg) else { continue };
            let link = chat.link;
            let sent = chat.flying.drain(..).map(|(_, letter)| letter);
            let letters: Vec<Letter> = sent.chain(chat.unsent.drain(..)).chain(chat.waiting.drain(..)).collect();
            for letter in letters {
                self.drop_letter(&letter);
                let refusal = Refusal::SipTimeout;
                Self::fail(stage, link, &letter, &refusal.stanza_error(), refusal.code());
            }
            stage.legs(|legs, footing| legs.end(footing, leg));
        }
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some(held) = self.held.overdue(stage.now) {
            self.not_taken(stage, &held);
        }
        while let Some((at, leg)) = self.due.first().copied().filter(|(at, _)| *at <= stage.now) {
            self.due.remove(&(at, leg));
            self.let_pass(stage, leg);
        }
        self.forgetting.timeout(stage);
        self.bury_some(stage);
        self.end_some(stage);
    }

    fn deadline(&self) -> Option<Time> {
        let due = self.due.first().map(|(at, _)| *at);
        let records = [self.forgetting.deadline(), self.orphans.deadline()];
        [self.held.deadline(), due, self.some_at].into_iter().chain(records).flatten().min()
    }
}

impl Chats {
    /// Nobody says anything, or the SIP user does not compose any more.
    fn let_pass(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let idle = self.options.idle;
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        chat.armed = None;
        if chat.composing.is_some_and(|at| at <= stage.now) {
            // RFC 3994 §3.3: whoever does not say so again is not composing any more.
            chat.composing = None;
            if chat.states != States::Unwanted {
                let stanza = s2x::state(chat, ChatState::Active, &stage.tokens.token(12));
                let _ = stage.deliver(chat.link, &stanza);
            }
        }
        if !idle.is_zero() && chat.is_quiet() && chat.last + idle <= stage.now {
            return stage.legs(|legs, footing| legs.end(footing, leg));
        }
        if let Some(at) = chat.due(idle) {
            // What is on its way has its own time.
            let at = at.max(stage.now + Duration::from_secs(1));
            chat.armed = Some(at);
            self.due.insert((at, leg));
        }
    }

    /// Sees to it that a chat is looked at when something is due, or before.
    fn arm(&mut self, leg: LegId) {
        let Some(chat) = self.chats.get_mut(&leg) else { return };
        let Some(at) = chat.due(self.options.idle).filter(|at| chat.armed.is_none_or(|armed| *at < armed)) else {
            return;
        };
        if let Some(before) = chat.armed.replace(at) {
            self.due.remove(&(before, leg));
        }
        self.due.insert((at, leg));
    }
}
