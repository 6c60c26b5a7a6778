//! The people in a room as the XMPP user has been told of them: what a conference document (RFC 4575) says of users becomes occupants, RFC 7702
//! Tables 2 and 3, and what has changed becomes news.

use crate::address;
use crate::room::nickname::Nickname;
use base::{Fingerprint, HashKey, Str, Table};
use sip::Uri;
use std::collections::BTreeMap;
use xmpp::ext::muc::{Affiliation, Role};
use xmpp::jid::Jid;

/// How many variants of a nickname are tried for one that is somebody's already.
const VARIANTS: u32 = 10_000;

/// How many nicknames are remembered that the XMPP user may have got.
const DOUBTS: usize = 4;

/// The most addresses under which one user is known to speak.
pub(super) const ADDRESSES: usize = 8;

/// Somebody in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// The nickname.
    pub(super) nick: Nickname,
    /// Whether the document calls it a nickname (RFC 6501); else it is the display text (Table 2), or what the address says.
    pub(super) certain: bool,
    pub(super) affiliation: Affiliation,
    pub(super) role: Role,
    /// The real address, where the room shows it.
    pub(super) jid: Option<Jid>,
    /// The addresses under which that user speaks, as the XMPP side has them.
    pub(super) addresses: Vec<Jid>,
}

impl Person {
    /// Whether the XMPP user sees no difference.
    fn looks_like(&self, other: &Person) -> bool {
        let seen = |person: &Person| (person.affiliation, person.role, person.jid.clone());
        self.nick == other.nick && seen(self) == seen(other)
    }
}

/// How somebody has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// The focus has thrown that user out (RFC 4575 §5.7.5).
    pub(super) kicked: bool,
    /// Something between the focus and that user has failed.
    pub(super) failed: bool,
    /// Why, in words.
    pub(super) reason: Option<String>,
    /// Who has done it, if it was one of those in the room.
    pub(super) by: Option<Nickname>,
}

/// What a user element says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// That user takes part.
    Here(Person),
    /// That user takes part no more, or not yet.
    Gone(Gone),
}

/// What has changed for the XMPP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Somebody came, or is another than before.
    There(Person),
    /// Somebody has another nickname than this one now.
    Renamed(Nickname, Person),
    /// Somebody has gone.
    Left(Nickname, Gone),
    /// The room shows the XMPP user so, who was shown with this nickname before.
    Me(Nickname, Person),
    /// The room does not show the XMPP user any more.
    NotMe(Gone),
}

/// Somebody who was told of.
#[derive(Debug)]
struct Place {
    /// The key of the user element.
    entity: Str,
    /// The nickname in the document, before it was made unique.
    said: Nickname,
    person: Person,
    addresses: Vec<Fingerprint>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct People {
    key: HashKey,
    /// The room.
    room: Jid,
    /// The XMPP user's address and nickname.
    own: Jid,
    nick: Nickname,
    /// Whether the switch has granted the nickname (RFC 7701 §7).
    granted: bool,
    /// In the order of their coming.
    places: BTreeMap<u64, Place>,
    last: u64,
    by_entity: Table<Str, u64>,
    /// By [`Nickname::key`]. The XMPP user is not among them.
    by_nick: Table<Str, u64>,
    /// Who speaks under an address.
    by_address: Table<Fingerprint, u64>,
    /// Which of them is the XMPP user.
    me: Option<u64>,
    /// What the key of the XMPP user was, where the room names its users by their nicknames and that has changed: it may be somebody else's next.
    former: Option<Str>,
    /// As what the XMPP user was shown last, while it is not known who of them that is.
    was: Option<Person>,
    /// Nicknames that the switch was asked for without an answer: the XMPP user may have got them.
    doubt: Vec<Nickname>,
}

impl People {
    /// Nobody yet, but the XMPP user under a nickname; `key` is secret.
    pub(super) fn new(key: HashKey, room: Jid, own: Jid, nick: Nickname) -> People {
        People {
            key,
            room,
            own,
            nick,
            granted: false,
            places: BTreeMap::new(),
            last: 0,
            by_entity: Table::new(key),
            by_nick: Table::new(key),
            by_address: Table::new(key),
            me: None,
            former: None,
            was: None,
            doubt: Vec::new(),
        }
    }

    /// How many there are besides the XMPP user.
    pub(super) fn len(&self) -> usize {
        self.places.len() - usize::from(self.me.is_some())
    }

    /// All of them but the XMPP user, in the order of their coming.
    pub(super) fn others(&self) -> impl Iterator<Item = &Person> {
        self.places.iter().filter(|(at, _)| self.me != Some(**at)).map(|(_, place)| &place.person)
    }

    /// The keys of all of them.
    pub(super) fn entities(&self) -> impl Iterator<Item = &Str> {
        self.places.values().map(|place| &place.entity)
    }

    /// It is not known any more which of them is the XMPP user.
    pub(super) fn lose_me(&mut self) {
        if let Some(me) = self.me.take() {
            self.was = self.remove(me).map(|place| place.person);
        }
    }

    /// The XMPP user as the room shows it.
    pub(super) fn me(&self) -> Option<&Person> {
        let me = self.me.and_then(|me| self.places.get(&me));
        me.map(|place| &place.person).or(self.was.as_ref())
    }

    /// The XMPP user's nickname.
    pub(super) fn nick(&self) -> &Nickname {
        &self.nick
    }

    /// The XMPP user has this nickname now; `granted` by the switch. Who has it in an older document is called otherwise by whoever tells of it
    /// next; so as not to be taken for each other, they are called otherwise at once.
    pub(super) fn call_me(&mut self, nick: Nickname, granted: bool) -> Option<News> {
        if let Some(place) = self.me.and_then(|me| self.places.get_mut(&me)) {
            place.person.nick = nick.clone();
            let named = jid_of(&place.entity).filter(|jid| jid.same_bare(&self.room));
            if named.as_ref().and_then(Jid::resource).is_some_and(|name| name != nick.as_str()) {
                self.former = Some(place.entity.clone());
            }
        }
        if self.former.is_some() {
            self.lose_me();
        }
        if let Some(was) = &mut self.was {
            was.nick = nick.clone();
        }
        (self.nick, self.granted) = (nick, granted);
        let place = self.by_nick.remove(&self.nick.key())?;
        let other = self.places.get(&place)?.person.nick.clone();
        let nick = self.stranger(&other);
        self.by_nick.insert(nick.key(), place);
        let person = &mut self.places.get_mut(&place)?.person;
        person.nick = nick;
        Some(News::Renamed(other, person.clone()))
    }

    /// Whether it is not known which of them is the XMPP user, though it was.
    pub(super) fn is_lost(&self) -> bool {
        self.me.is_none() && self.was.is_some()
    }

    /// The switch has not said whether the XMPP user has this nickname now.
    pub(super) fn doubt(&mut self, nick: Nickname) {
        if self.doubt.len() == DOUBTS {
            self.doubt.remove(0);
        }
        self.doubt.push(nick);
    }

    /// Whose key was the XMPP user's before, once that has another one.
    pub(super) fn take_former(&mut self) -> Option<Str> {
        self.former.take_if(|_| self.me.is_some())
    }

    /// The key of the user who has exactly this nickname: whom a private message is for.
    pub(super) fn entity_of(&self, nick: &str) -> Option<&Str> {
        let wanted = Nickname::parse(nick).ok()?;
        let place = self.places.get(self.by_nick.get(&wanted.key())?)?;
        (place.person.nick.as_str() == nick).then_some(&place.entity)
    }

    /// Who speaks under the address of a CPIM From.
    pub(super) fn speaker(&self, from: &str) -> Option<&Person> {
        self.place_of(from).and_then(|at| self.places.get(&at)).map(|place| &place.person)
    }

    /// Whether that is the XMPP user.
    pub(super) fn is_me(&self, from: &str) -> bool {
        match self.place_of(from) {
            Some(at) => self.me == Some(at),
            None => jid_of(from).is_some_and(|jid| jid.same_bare(&self.own)),
        }
    }

    fn place_of(&self, from: &str) -> Option<u64> {
        if let Some(at) = self.by_entity.get(from) {
            return Some(*at);
        }
        let jid = jid_of(from)?;
        let found = self.by_address.get(&self.print(&jid)).copied();
        // A device of somebody; but an occupant's address is nothing of the room's own.
        let bare = || (!jid.same_bare(&self.room)).then(|| self.by_address.get(&self.print(&jid.bare())).copied());
        found.or_else(|| bare().flatten())
    }

    /// Whether it is taken by somebody else, or by one who would be taken for that.
    pub(super) fn is_taken(&self, nick: &Nickname) -> bool {
        let key = nick.key();
        self.by_nick.contains(&key) || self.nick.key() == key
    }

    /// A nickname for somebody whom the room does not show.
    pub(super) fn stranger(&self, nick: &Nickname) -> Nickname {
        nick.free(VARIANTS, |nick| self.is_taken(nick)).unwrap_or_else(|| nick.clone())
    }

    /// Takes in what a document says of one user after the other, and tells what is new: in their order, what concerns the XMPP user last
    /// (XEP-0045 §7.1).
    pub(super) fn apply(&mut self, said: Vec<(Str, Says)>) -> Vec<News> {
        let (mut news, mut last) = (Vec::new(), None);
        let mut left = None;
        if let Some(me) = self.me.and_then(|me| self.places.get(&me)) {
            left = said.iter().find(|(entity, _)| *entity == me.entity).and_then(|(_, says)| match says {
                Says::Gone(gone) => Some(gone.clone()),
                Says::Here(_) => None,
            });
        }
        let mut before = None;
        if left.is_some()
            && let Some(me) = self.me.take()
        {
            before = self.remove(me);
        }
        let me = match self.me.and_then(|me| self.places.get(&me)) {
            Some(me) => Some(me.entity.clone()),
            None => self.find_me(&said, before.is_some() || self.was.is_some()),
        };
        for (entity, says) in said {
            let at = self.by_entity.get(&entity).copied();
            match says {
                Says::Here(person) if me.as_ref() == Some(&entity) => {
                    // Somebody who had this key, and of whose going nothing was told: the user has it now.
                    let other = at.filter(|at| self.me != Some(*at)).filter(|_| before.is_some() || self.was.is_some());
                    let gone = other.and_then(|at| self.remove(at));
                    let at = at.filter(|_| gone.is_none());
                    news.extend(gone.map(|place| News::Left(place.person.nick, Gone::default())));
                    last = self.me_again(entity, at, person, before.take());
                }
                Says::Here(person) => news.extend(self.here(entity, at, person)),
                Says::Gone(how) => {
                    if let Some(place) = at.and_then(|at| self.remove(at)) {
                        news.push(News::Left(place.person.nick, how));
                    }
                }
            }
        }
        // A change of the key is no going.
        news.extend(last.or_else(|| left.filter(|_| self.me.is_none()).map(News::NotMe)));
        news
    }

    /// Who of those that a document tells of is the XMPP user: the nickname is that user's alone; else the address tells.
    /// `moved`: who was the XMPP user is not there any more.
    fn find_me(&self, said: &[(Str, Says)], moved: bool) -> Option<Str> {
        // Somebody with another address is somebody else, whatever the name.
        let may_be = |person: &Person| person.jid.as_ref().is_none_or(|jid| jid.same_bare(&self.own));
        let here = || {
            said.iter().filter_map(|(entity, says)| match says {
                Says::Here(person) if may_be(person) => Some((entity, person)),
                Says::Here(_) | Says::Gone(_) => None,
            })
        };
        let is_own = |person: &Person| person.addresses.iter().any(|address| address.same_bare(&self.own));
        let named = here().filter(|(_, person)| person.nick == self.nick && (self.granted || is_own(person)));
        let doubtful = here().filter(|(_, person)| moved && self.doubt.contains(&person.nick));
        // After a change of the name an address tells nothing: a document may be older than that, and another device has the same.
        let own = here().filter(|(_, person)| self.former.is_none() && is_own(person));
        // A focus may write it in its own way.
        let like = here().filter(|(_, person)| self.granted && person.nick.resembles(&self.nick));
        named.chain(doubtful).chain(own).chain(like).map(|(entity, _)| entity.clone()).next()
    }

    /// What is said of the XMPP user. Of the nickname the switch has the last word: a document may be older than that.
    fn me_again(&mut self, entity: Str, at: Option<u64>, mut person: Person, before: Option<Place>) -> Option<News> {
        let said = person.nick.clone();
        let before = before.or_else(|| at.and_then(|at| self.remove(at)));
        let same = before.as_ref().is_some_and(|before| before.said == said);
        let doubtful = self.doubt.contains(&said);
        self.doubt.clear();
        if same || self.granted && !person.certain && !doubtful || self.by_nick.contains(&said.key()) {
            person.nick = self.nick.clone();
        }
        let called = std::mem::replace(&mut self.nick, person.nick.clone());
        let shown = before.map(|before| before.person).or(self.was.take());
        let changed = called != person.nick || shown.is_none_or(|shown| !shown.looks_like(&person));
        self.me = Some(self.put(at, entity, said, person.clone(), true));
        changed.then_some(News::Me(called, person))
    }

    fn here(&mut self, entity: Str, at: Option<u64>, mut person: Person) -> Option<News> {
        let said = person.nick.clone();
        let before = at.and_then(|at| self.remove(at));
        if let Some(before) = before.as_ref().filter(|before| before.said == said) {
            person.nick = before.person.nick.clone();
        } else {
            person.nick = self.stranger(&said);
        }
        self.put(at, entity, said, person.clone(), false);
        match before {
            None => Some(News::There(person)),
            Some(before) if before.person.nick != person.nick => Some(News::Renamed(before.person.nick, person)),
            Some(before) => (!before.person.looks_like(&person)).then_some(News::There(person)),
        }
    }

    fn put(&mut self, at: Option<u64>, entity: Str, said: Nickname, person: Person, me: bool) -> u64 {
        let at = at.unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        self.by_entity.insert(entity.clone(), at);
        if !me {
            self.by_nick.insert(person.nick.key(), at);
        }
        let addresses: Vec<Fingerprint> = person.addresses.iter().map(|jid| self.print(jid)).collect();
        for address in &addresses {
            self.by_address.or_insert_with(*address, || at);
        }
        self.places.insert(at, Place { entity, said, person, addresses });
        at
    }

    fn remove(&mut self, at: u64) -> Option<Place> {
        let place = self.places.remove(&at)?;
        self.by_entity.remove(&place.entity);
        let key = place.person.nick.key();
        if self.by_nick.get(&key) == Some(&at) {
            self.by_nick.remove(&key);
        }
        for address in &place.addresses {
            if self.by_address.get(address) == Some(&at) {
                self.by_address.remove(address);
            }
        }
        Some(place)
    }

    fn print(&self, jid: &Jid) -> Fingerprint {
        let parts = [jid.local().unwrap_or(""), jid.domain(), jid.resource().unwrap_or("")];
        self.key.fingerprint(&parts.map(str::as_bytes))
    }
}

/// The address of somebody in a room as the XMPP side has it: `xmpp:` (RFC 5122) as it stands, others as RFC 7247 has them.
pub(super) fn jid_of(uri: &str) -> Option<Jid> {
    let uri = Uri::parse(uri).ok()?;
    match &uri {
        Uri::Other { scheme, rest } if scheme == "xmpp" => {
            let address = rest.split(['?', '#']).next().unwrap_or_default();
            let address = String::from_utf8(sip::uri::percent_decode(address).ok()?).ok()?;
            Jid::parse(&address).ok()
        }
        Uri::Sip(_) | Uri::Other { .. } => address::to_jid(&uri, &address::Options::default()).ok(),
    }
}

#[cfg(test)]
mod tests;
