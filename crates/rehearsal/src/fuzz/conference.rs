//! What a focus tells of a conference, document by document.

use ::base::{HashKey, Str};
use ::bodies::Error;
use ::bodies::conference::{Bounds, Change, Conference, Description, Gap, Info, State, User, Users};

/// So small that inputs come up against it.
const USERS: usize = 8;

/// Documents, NUL between them. What is read is written and read the same; what is kept is bounded, and what RFC 4575 §4.6 makes of them; and
/// what has changed is what is not as before.
pub fn conference(data: &[u8]) {
    let mut conference = Conference::new(HashKey::new(1, 2), Bounds { users: USERS, bytes: 1 << 20 });
    let mut model = Model::default();
    for document in data.split(|b| *b == 0) {
        let Ok(info) = Info::parse(document, USERS) else { continue };
        round(&info);
        let before: Vec<User> = conference.users().cloned().collect();
        let wanted = model.apply(&info);
        let changes = conference.apply(info);
        assert_eq!(changes.as_ref().err().copied(), wanted);
        let changes = changes.unwrap_or_default();
        assert_eq!(conference.version(), model.version);
        assert!(conference.weight() <= 1 << 20 && conference.len() <= USERS && conference.is_over() == model.over);
        let kept: Vec<_> = conference.users().map(|user| (user.entity.clone(), name(user))).collect();
        assert_eq!(kept, model.users);
        let find = |entity: &str| before.iter().find(|user| user.entity == entity);
        let mut told: Vec<&str> = Vec::new();
        for change in &changes.users {
            let (entity, old) = match change {
                Change::Joined(entity) => (entity, None),
                Change::Changed(old) | Change::Left(old) => (&old.entity, Some(&**old)),
            };
            let now = conference.user(entity);
            assert!(!told.contains(&entity.as_str()), "told twice");
            assert!(find(entity) == old && now != old && now.is_some() != matches!(change, Change::Left(_)));
            told.push(entity);
        }
        let untold = before.iter().chain(conference.users()).filter(|user| !told.contains(&user.entity.as_str()));
        untold.for_each(|user| assert_eq!(find(&user.entity), conference.user(&user.entity), "nobody was told"));
    }
}

/// What is written says the same.
fn round(info: &Info) {
    let written = info.to_document();
    let mut info = info.clone();
    if info.state == State::Full {
        info.description.get_or_insert_with(Description::default);
        info.users.get_or_insert_with(Users::default);
    }
    match Info::parse(&written, USERS) {
        Ok(again) => assert_eq!(again, info),
        Err(e) => assert!(matches!(e, Error::TooBig { .. }), "{e}: {}", String::from_utf8_lossy(&written)),
    }
}

/// The nickname, and the name to be shown.
type Names = (Option<Str>, Option<Str>);

fn name(user: &User) -> Names {
    (user.nickname.clone(), user.display_text.clone())
}

/// The names alone, in a list.
#[derive(Default)]
struct Model {
    version: Option<u32>,
    missed: bool,
    over: bool,
    users: Vec<(Str, Names)>,
}

impl Model {
    fn apply(&mut self, info: &Info) -> Option<Gap> {
        let partial = info.state == State::Partial;
        let again = self.missed;
        match self.version {
            Some(last) if !again && info.version == last => return None,
            Some(last) if !again && info.version > last && !(partial && info.version > last + 1) => {}
            None if !partial => {}
            Some(_) if again && !partial => {}
            Some(_) | None => {
                self.missed = true;
                return Some(Gap { again });
            }
        }
        (self.version, self.missed, self.over) = (Some(info.version), false, info.state == State::Deleted);
        let flushed = match (&info.users, info.state) {
            (_, State::Full | State::Deleted) => true,
            (Some(users), State::Partial) => users.state != State::Partial,
            (None, State::Partial) => false,
        };
        if flushed {
            self.users.clear();
        }
        for user in info.users.iter().flat_map(|users| &users.users) {
            let place = self.users.iter().position(|(entity, _)| *entity == user.entity);
            let new = name(user);
            match (place, user.state) {
                (Some(place), State::Deleted) => drop(self.users.remove(place)),
                (Some(place), State::Full) => self.users[place].1 = new,
                (Some(place), State::Partial) => {
                    let (nickname, text) = &mut self.users[place].1;
                    *nickname = new.0.or(nickname.take());
                    *text = new.1.or(text.take());
                }
                (None, State::Full | State::Partial) if self.users.len() < USERS => {
                    self.users.push((user.entity.clone(), new));
                }
                (None, State::Full | State::Partial | State::Deleted) => {}
            }
        }
        None
    }
}
