//! What a subscriber keeps of a conference, and how documents change it (§4.6).

use super::{ConferenceState, Description, Info, State, User, Users};
use base::{HashKey, Str, Table};
use std::collections::BTreeMap;

/// How much of a conference is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Users. Who comes beyond them is not kept.
    pub users: usize,
    /// Bytes of all users. Who would take more is not kept; who is there stays as before.
    pub bytes: usize,
}

/// A conference as its subscriber knows it.
#[derive(Debug)]
pub struct Conference {
    key: HashKey,
    bounds: Bounds,
    /// The number of the last document; none before the first full one.
    version: Option<u32>,
    /// Something was missed: the next full document counts whatever its number is.
    missed: bool,
    over: bool,
    description: Option<Description>,
    state: ConferenceState,
    /// Where whom is, by what stands for the entity.
    places: Table<u128, u64>,
    /// In the order in which they came.
    users: BTreeMap<u64, User>,
    next: u64,
    bytes: usize,
}

/// What a document has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Each user once: those who left first where the document was a full one, else as the document has them.
    pub users: Vec<Change>,
    /// The subject is another one, or there is none any more.
    pub subject: bool,
    /// Something else of what the conference is, or of how it is.
    pub conference: bool,
    /// The conference is over (§4.6): nobody is in it, and the subscription is to be ended.
    pub over: bool,
    /// Users whom the document named, and for whom there is no room.
    pub passed_over: usize,
}

/// What became of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is a new one, with this entity.
    Joined(Str),
    /// This one is not as before, which was so.
    Changed(Box<User>),
    /// This one is there no more.
    Left(Box<User>),
}

/// A document cannot be used, as something before it is missing or its number is one of the past: a refresh of the subscription brings a full one
/// (§4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// It was told already, and there was no full document since.
    pub again: bool,
}

impl Conference {
    /// One of which nothing is known yet.
    pub fn new(key: HashKey, bounds: Bounds) -> Conference {
        Conference {
            key,
            bounds,
            version: None,
            missed: false,
            over: false,
            description: None,
            state: ConferenceState::default(),
            places: Table::new(key),
            users: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// Takes a document. One that says nothing new changes nothing.
    ///
    /// # Errors
    /// [`Gap`]: nothing is changed. A number lower than the last one is a gap, too: in a dialog nothing overtakes, so whoever sends it has begun to
    /// count anew; and the next full document is taken then, whatever its number.
    pub fn apply(&mut self, info: Info) -> Result<Changes, Gap> {
        let partial = info.state == State::Partial;
        let usable = match self.version {
            _ if self.missed => !partial,
            None => !partial,
            Some(last) if info.version == last => return Ok(Changes::default()),
            Some(last) => info.version > last && (!partial || info.version - last == 1),
        };
        if !usable {
            return Err(Gap { again: std::mem::replace(&mut self.missed, true) });
        }
        self.missed = false;
        self.version = Some(info.version);
        self.over = info.state == State::Deleted;
        let Info { entity: _, state, version: _, description, conference_state, users } = info;
        let mut changes = Changes { over: self.over, ..Changes::default() };
        match state {
            State::Full | State::Deleted => {
                self.describe(description, &mut changes);
                self.be(conference_state.unwrap_or_default(), &mut changes);
                self.replace(users.map(|users| users.users).unwrap_or_default(), &mut changes);
            }
            State::Partial => {
                if description.is_some() {
                    self.describe(description, &mut changes);
                }
                if let Some(state) = conference_state {
                    self.be(state, &mut changes);
                }
                match users {
                    Some(Users { state: State::Partial, users }) => self.update(users, &mut changes),
                    Some(Users { state: State::Full | State::Deleted, users }) => self.replace(users, &mut changes),
                    None => {}
                }
            }
        }
        Ok(changes)
    }

    /// The subscription is a new one, of which the first document has to be a full one: numbers begin anew. What is known stays until then.
    pub fn restart(&mut self) {
        (self.version, self.missed) = (None, false);
    }

    /// The number of the last document.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// Whether it was said to be over.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What it is.
    pub fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// Its subject.
    pub fn subject(&self) -> Option<&str> {
        self.description.as_ref()?.subject.as_deref()
    }

    /// How it is.
    pub fn state(&self) -> ConferenceState {
        self.state
    }

    /// The user with this entity: always whole, and without media.
    pub fn user(&self, entity: &str) -> Option<&User> {
        self.users.get(self.places.get(&self.name_of(entity))?)
    }

    /// All users, in the order in which they came.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// How many users are kept.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody is known to be in it.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// About how many bytes the users take.
    pub fn weight(&self) -> usize {
        self.bytes
    }

    fn describe(&mut self, description: Option<Description>, changes: &mut Changes) {
        let split = |description: Option<Description>| {
            description
                .map_or((None, None), |mut d| (d.subject.take(), Some(d).filter(|d| *d != Description::default())))
        };
        let ((old_subject, old), (subject, rest)) = (split(self.description.take()), split(description.clone()));
        changes.subject = old_subject != subject;
        changes.conference |= old != rest;
        self.description = description;
    }

    fn be(&mut self, state: ConferenceState, changes: &mut Changes) {
        changes.conference |= std::mem::replace(&mut self.state, state) != state;
    }

    /// §4.6: these are all.
    fn replace(&mut self, users: Vec<User>, changes: &mut Changes) {
        let old = std::mem::take(&mut self.users);
        self.places = Table::new(self.key);
        self.bytes = 0;
        for user in users {
            let name = self.name_of(&user.entity);
            match user.state {
                // §4.4: what is full has nothing in it but what is full.
                State::Full | State::Partial => self.put(name, user, changes),
                State::Deleted => drop(self.take(name)),
            }
        }
        let mut before = Table::new(self.key);
        for user in old.into_values() {
            let name = self.name_of(&user.entity);
            if self.places.contains(&name) {
                before.insert(name, user);
            } else {
                changes.users.push(Change::Left(Box::new(user)));
            }
        }
        for user in self.users.values() {
            match before.remove(&self.name_of(&user.entity)) {
                None => changes.users.push(Change::Joined(user.entity.clone())),
                Some(old) if old != *user => changes.users.push(Change::Changed(Box::new(old))),
                Some(_) => {}
            }
        }
    }

    /// §4.6 step 3: these have changed.
    fn update(&mut self, users: Vec<User>, changes: &mut Changes) {
        let mut touched = Vec::new();
        let mut before: Table<u128, Option<User>> = Table::new(self.key);
        for user in users {
            let name = self.name_of(&user.entity);
            if !before.contains(&name) {
                touched.push((name, user.entity.clone()));
                before.insert(name, self.user(&user.entity).cloned());
            }
            match user.state {
                State::Full | State::Partial => self.put(name, user, changes),
                State::Deleted => drop(self.take(name)),
            }
        }
        for (name, entity) in touched {
            let now = self.places.get(&name).and_then(|place| self.users.get(place));
            match (before.remove(&name).flatten(), now) {
                (None, Some(_)) => changes.users.push(Change::Joined(entity)),
                (Some(old), Some(now)) if old != *now => changes.users.push(Change::Changed(Box::new(old))),
                (Some(old), None) => changes.users.push(Change::Left(Box::new(old))),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }

    /// Puts a user in its place, or in a new one, as far as there is room.
    fn put(&mut self, name: u128, user: User, changes: &mut Changes) {
        let place = self.places.get(&name).copied();
        let old = place.and_then(|place| self.users.get(&place));
        let old_weight = old.map_or(0, User::weight);
        let known = match (old, user.state) {
            (Some(old), State::Partial) => old.clone(),
            _ => User { entity: user.entity.clone(), ..User::default() },
        };
        let user = known.with(user);
        let bytes = self.bytes - old_weight + user.weight();
        if bytes > self.bounds.bytes || place.is_none() && self.users.len() >= self.bounds.users {
            changes.passed_over += 1;
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.next += 1;
            self.places.insert(name, self.next);
            self.next
        });
        self.users.insert(place, user);
        self.bytes = bytes;
    }

    fn take(&mut self, name: u128) -> Option<User> {
        let user = self.users.remove(&self.places.remove(&name)?)?;
        self.bytes -= user.weight();
        Some(user)
    }

    /// What stands for an entity (§4.5: each byte of it counts).
    fn name_of(&self, entity: &str) -> u128 {
        self.key.fingerprint(&[entity.as_bytes()]).bits()
    }
}
