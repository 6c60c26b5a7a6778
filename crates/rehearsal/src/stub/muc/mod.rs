//! A MUC service (XEP-0045) without sockets: a stanza in, stanzas out. It does what the services in use do, and what a service may do
//! otherwise is an option. For tests of whoever sits in its rooms; nobody should run it.

mod enter;
mod iq;
mod people;
mod room;
mod rule;
mod settings;
mod talk;
#[cfg(test)]
mod tests;

pub use people::Person;
pub use settings::{Options, Settings};

use base::{HashKey, Str, Time, Tokens, format_compact};
use bodies::Timestamp;
use room::Room;
use std::collections::{BTreeMap, VecDeque};
use xml::Node;
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::ext::muc::{Affiliation, Join, User, status};
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// The date of [`Time::ZERO`] in what the rooms say of the past, in seconds since 1970: as the gateways of scenes and worlds have it.
pub const EPOCH: i64 = 1_000_000_000;

/// How many iqs from occupant to occupant may wait for an answer; those before are forgotten.
const ON_THE_WAY: usize = 10_000;

/// A MUC service: one domain and its rooms.
#[derive(Debug)]
pub struct Service {
    domain: Jid,
    /// What the service does of what it may do.
    pub options: Options,
    rooms: BTreeMap<Str, Room>,
    desk: Desk,
}

/// What all rooms need at hand.
#[derive(Debug)]
struct Desk {
    now: Time,
    tokens: Tokens,
    /// What occupant-ids are made with.
    secret: HashKey,
    /// The date of [`Time::ZERO`].
    epoch: i64,
    /// What is to be sent.
    out: Vec<Stanza>,
    /// iqs that were passed on, by the id that they got: who asked, under which id, and the occupant whom he asked.
    passed_on: BTreeMap<Str, (Jid, Str, Jid)>,
    /// Their ids, the oldest first.
    passed_ids: VecDeque<Str>,
}

impl Service {
    /// A service without rooms. `seed` decides what its ids look like.
    ///
    /// # Panics
    /// `domain` is none.
    pub fn new(domain: &str, seed: u64) -> Service {
        let mut tokens = Tokens::seeded(seed);
        let secret = HashKey::new(tokens.u64(), tokens.u64());
        Service {
            domain: Jid::parse(domain).expect("the domain of a test"),
            options: Options::default(),
            rooms: BTreeMap::new(),
            desk: Desk {
                now: Time::ZERO,
                tokens,
                secret,
                epoch: EPOCH,
                out: Vec::new(),
                passed_on: BTreeMap::new(),
                passed_ids: VecDeque::new(),
            },
        }
    }

    /// Says what date [`Time::ZERO`] is, in seconds since 1970, where it is not [`EPOCH`].
    pub fn set_epoch(&mut self, epoch: i64) {
        self.desk.epoch = epoch;
    }

    /// Its domain.
    pub fn domain(&self) -> &str {
        self.domain.domain()
    }

    /// Whether a stanza is for the service.
    pub fn is_for(&self, stanza: &Stanza) -> bool {
        stanza.to.as_ref().is_some_and(|to| to.domain() == self.domain())
    }

    /// Makes a room that stays, and that nobody owns, or gives one that is there new settings (of which nobody is told).
    ///
    /// # Panics
    /// `name` is no local part.
    pub fn make(&mut self, name: &str, settings: Settings) {
        let jid = Jid::new(Some(name), self.domain(), None).expect("the name of a room of a test");
        let local = Str::from(jid.local().unwrap_or_default());
        self.rooms.entry(local).or_insert_with(|| Room::new(jid)).settings = settings;
    }

    /// Says what somebody is to a room that is there, before he comes. The address is a bare one.
    pub fn affiliate(&mut self, room: &str, jid: &str, affiliation: Affiliation) {
        if let (Some(room), Ok(jid)) = (self.rooms.get_mut(room), Jid::parse(jid)) {
            room.affiliate(jid.bare(), affiliation);
        }
    }

    /// Keeps a nickname in a room for the user with this bare address.
    pub fn reserve(&mut self, room: &str, nick: &str, jid: &str) {
        if let (Some(room), Ok(jid)) = (self.rooms.get_mut(room), Jid::parse(jid)) {
            room.reserved.insert(nick.into(), jid.bare());
        }
    }

    /// Who is in a room, by nickname. Of a room that is not there: nobody.
    pub fn people(&self, room: &str) -> Vec<Person> {
        self.rooms.get(room).map(Room::people).unwrap_or_default()
    }

    /// The names of the rooms that are there.
    pub fn rooms(&self) -> Vec<&str> {
        self.rooms.keys().map(Str::as_str).collect()
    }

    /// What was said in a room, as far as it remembers: from which occupant, and the words.
    pub fn said(&self, room: &str) -> Vec<(Jid, String)> {
        self.rooms.get(room).map(Room::said).unwrap_or_default()
    }

    /// A room's subject; empty where there is none.
    pub fn subject(&self, room: &str) -> String {
        self.rooms.get(room).map(Room::subject).unwrap_or_default()
    }

    /// The process dies and is there again. Nobody is told, nobody is in a room any more; rooms that stay are there still.
    pub fn restart(&mut self) {
        self.desk.passed_on.clear();
        self.desk.passed_ids.clear();
        self.rooms.retain(|_, room| room.forget_people());
    }

    /// The service goes down in good order, and is there again: everybody is told (332).
    pub fn shut_down(&mut self) -> Vec<Stanza> {
        for room in self.rooms.values_mut() {
            room.clear(&mut self.desk, &self.options, &User::default().with_status(status::SHUTDOWN));
        }
        self.restart();
        std::mem::take(&mut self.desk.out)
    }

    /// A stanza for the service, whose sender the server vouches for. Gives back what the service sends, in order.
    pub fn handle(&mut self, now: Time, stanza: Stanza) -> Vec<Stanza> {
        self.desk.now = now;
        if self.is_for(&stanza) && stanza.from.is_some() {
            match stanza.to.as_ref().and_then(Jid::local).map(Str::from) {
                Some(local) => self.for_room(&local, stanza),
                None => self.for_service(&stanza),
            }
        }
        std::mem::take(&mut self.desk.out)
    }

    /// Passes a stanza on, and all that follows from it: to the service what is for the service, all else to `deliver`, which gives back what the
    /// recipient, or the server in his place, says to it at once.
    pub fn relay(&mut self, now: Time, stanza: Stanza, mut deliver: impl FnMut(Stanza) -> Option<Stanza>) {
        let mut rest = VecDeque::from([stanza]);
        while let Some(stanza) = rest.pop_front() {
            if self.is_for(&stanza) {
                rest.extend(self.handle(now, stanza));
            } else {
                rest.extend(deliver(stanza));
            }
        }
    }

    fn for_room(&mut self, local: &str, stanza: Stanza) {
        if !self.rooms.contains_key(local) && !self.found(local, &stanza) {
            return;
        }
        let Some(room) = self.rooms.get_mut(local) else { return };
        match stanza.kind {
            Kind::Presence => room.presence(&mut self.desk, &self.options, stanza),
            Kind::Message => room.message(&mut self.desk, &self.options, stanza),
            Kind::Iq => room.iq(&mut self.desk, &self.options, stanza),
        }
        // §7.14: a room that is not to stay goes with the last of its people; one that is locked, too.
        if room.is_over() {
            self.rooms.remove(local);
        }
    }

    /// Somebody speaks to a room that is not there. Whether it is there now.
    fn found(&mut self, local: &str, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        let joins = Join::of(stanza).is_some() && to.resource().is_some();
        if joins && self.options.create {
            // §10.1: who comes first owns it.
            let mut room = Room::new(to.bare());
            room.settings = Settings { persistent: false, ..Settings::default() };
            room.affiliate(from.bare(), Affiliation::Owner);
            room.founder = Some(from.clone());
            room.locked = self.options.lock;
            self.rooms.insert(local.into(), room);
            return true;
        }
        if joins {
            // §7.2.12: rooms are made by others.
            self.desk.refuse_join(stanza, Condition::NotAllowed);
        } else if stanza.kind != Kind::Presence || stanza.type_.is_none() {
            self.desk.refuse(stanza, Condition::ItemNotFound);
        }
        false
    }
}

impl Desk {
    /// Refuses in the room's name (`by`).
    fn refuse(&mut self, stanza: &Stanza, condition: Condition) {
        let error = StanzaError { by: stanza.to.as_ref().map(Jid::bare), ..StanzaError::new(condition) };
        self.out.extend(stanza.error(&error));
    }

    /// Refuses a join: the error has what was wanted in it.
    fn refuse_join(&mut self, stanza: &Stanza, condition: Condition) {
        let mut error = StanzaError { by: stanza.to.as_ref().map(Jid::bare), ..StanzaError::new(condition) };
        if condition == Condition::ServiceUnavailable {
            // §7.2.9: the room is full.
            error.kind = ErrorType::Wait;
        }
        self.out.extend(stanza.error(&error).map(|mut refused| {
            refused.children.insert(0, Node::Element(Join::default().to_element()));
            refused
        }));
    }

    /// An id that was never used.
    fn id(&mut self) -> Str {
        self.tokens.token(16)
    }

    /// The time, as XEP-0082 writes it.
    fn stamp(&self) -> Str {
        self.stamp_of(self.now.since(Time::ZERO).as_secs())
    }

    /// The time so many seconds after the epoch.
    fn stamp_of(&self, seconds: u64) -> Str {
        let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_unix(self.epoch.checked_add(seconds)?));
        at.map(|at| format_compact!("{at}")).unwrap_or_default()
    }

    /// An iq from one occupant to another goes out under an id of ours.
    fn remember(&mut self, from: Jid, id: Str, occupant: Jid) -> Str {
        if self.passed_ids.len() >= ON_THE_WAY
            && let Some(oldest) = self.passed_ids.pop_front()
        {
            self.passed_on.remove(&oldest);
        }
        let ours = self.id();
        self.passed_on.insert(ours.clone(), (from, id, occupant));
        self.passed_ids.push_back(ours.clone());
        ours
    }
}
