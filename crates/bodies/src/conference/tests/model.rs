//! Any documents: what is written is read the same, and what is kept is what a list without cleverness would keep.

use super::*;
use base::HashKey;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { users: 5, bytes: 1 << 20 };

fn text() -> impl Strategy<Value = Str> {
    prop_oneof!["[a-c]?", "[a-z<>&'\"é ]{0,12}", Just("x".repeat(40))].prop_map(|text| Str::from(text.trim()))
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![2 => Just(State::Full), 3 => Just(State::Partial), 1 => Just(State::Deleted)]
}

fn of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(proptest::sample::select(all))
}

fn execution() -> impl Strategy<Value = Option<Box<Execution>>> {
    let when = proptest::option::of((0..4_000_000_000i64).prop_map(|at| Timestamp::from_unix(at).unwrap()));
    let one = (when, proptest::option::of(text()), proptest::option::of(text()));
    proptest::option::of(one.prop_map(|(when, reason, by)| Box::new(Execution { when, reason, by })))
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let directions = &[Direction::SendRecv, Direction::RecvOnly, Direction::Inactive];
    let media = (text(), proptest::option::of(text()), of(directions)).prop_map(|(id, kind, status)| Media {
        id,
        kind,
        status,
    });
    let methods = (of(&Status::ALL), of(&Joining::ALL), of(&Disconnection::ALL));
    let infos = (execution(), execution(), execution());
    let media = proptest::collection::vec(media, 0..3);
    ("[p-r]?", state(), proptest::option::of(text()), methods, infos, media).prop_map(
        |(entity, state, display_text, methods, (referred, joining_info, disconnection_info), media)| {
            let (status, joining_method, disconnection_method) = methods;
            let entity = entity.into();
            match state {
                State::Deleted => Endpoint { entity, state, ..Endpoint::default() },
                State::Full | State::Partial => Endpoint {
                    entity,
                    state,
                    display_text,
                    referred,
                    status,
                    joining_method,
                    joining_info,
                    disconnection_method,
                    disconnection_info,
                    media,
                },
            }
        },
    )
}

fn user() -> impl Strategy<Value = User> {
    let names = (proptest::option::of(text()), proptest::option::of(text().prop_filter("empty", |t| !t.is_empty())));
    let some = |least: usize| proptest::collection::vec(text().prop_filter("empty", |t| !t.is_empty()), least..3);
    ("[a-h]", state(), names, some(0), some(0), proptest::collection::vec(endpoint(), 0..4)).prop_map(
        |(entity, state, (display_text, nickname), aors, roles, endpoints)| {
            let entity = entity.into();
            match state {
                State::Deleted => User { entity, state, ..User::default() },
                State::Full | State::Partial => User { entity, state, display_text, nickname, aors, roles, endpoints },
            }
        },
    )
}

fn info() -> impl Strategy<Value = Info> {
    let words = (proptest::option::of(text()), proptest::option::of(text()), proptest::option::of(text()));
    let uri = text().prop_filter("empty", |t| !t.is_empty());
    let uri = (uri, proptest::option::of(text()), proptest::option::of(text()));
    let uri = uri.prop_map(|(uri, display_text, purpose)| ConfUri { uri, display_text, purpose });
    let uris = (proptest::collection::vec(uri, 0..3), proptest::option::of(any::<u32>()));
    let description =
        (words, uris).prop_map(|((display_text, subject, free_text), (conf_uris, maximum_user_count))| Description {
            display_text,
            subject,
            free_text,
            conf_uris,
            maximum_user_count,
        });
    let conference_state = proptest::option::of(any::<(Option<u32>, Option<bool>, Option<bool>)>());
    let users = (state(), proptest::collection::vec(user(), 0..7)).prop_map(|(state, users)| match state {
        State::Deleted => Users { state, users: Vec::new() },
        State::Full | State::Partial => Users { state, users },
    });
    (state(), 0..6u32, proptest::option::of(description), conference_state, proptest::option::of(users)).prop_map(
        |(state, version, description, conference_state, users)| {
            let info = Info { entity: "sip:room@example.com".into(), state, version, ..Info::default() };
            let of = |(user_count, active, locked)| ConferenceState { user_count, active, locked };
            match state {
                State::Deleted => info,
                State::Full => Info {
                    description: Some(description.unwrap_or_default()),
                    conference_state: conference_state.map(of),
                    users: Some(users.unwrap_or_default()),
                    ..info
                },
                State::Partial => Info { description, conference_state: conference_state.map(of), users, ..info },
            }
        },
    )
}

/// The same without tables: a list of users, and what §4.6 says, word for word.
#[derive(Default)]
struct List {
    version: Option<u32>,
    missed: bool,
    subject: Option<Str>,
    users: Vec<User>,
}

impl List {
    fn apply(&mut self, info: &Info) -> bool {
        let partial = info.state == State::Partial;
        if !self.missed && self.version == Some(info.version) {
            return true;
        }
        let next = self.version.is_some_and(|last| info.version == last + 1);
        let later = self.version.is_none_or(|last| info.version > last);
        if partial && (!next || self.missed) || !later && !self.missed {
            self.missed = true;
            return false;
        }
        (self.version, self.missed) = (Some(info.version), false);
        if info.description.is_some() || !partial {
            self.subject = info.description.as_ref().and_then(|d| d.subject.clone());
        }
        let Some(Users { state, users }) = info.users.as_ref().filter(|_| info.state != State::Deleted) else {
            if !partial {
                self.users.clear();
            }
            return true;
        };
        if !partial || *state != State::Partial {
            self.users.clear();
        }
        for user in users {
            let place = self.users.iter().position(|u| u.entity == user.entity);
            match (place, user.state) {
                (Some(place), State::Deleted) => drop(self.users.remove(place)),
                (None, State::Deleted) => {}
                (Some(place), State::Full) => self.users[place] = List::whole(user),
                (Some(place), State::Partial) => List::update(&mut self.users[place], user),
                (None, State::Full | State::Partial) if self.users.len() == BOUNDS.users => {}
                (None, State::Full | State::Partial) => self.users.push(List::whole(user)),
            }
        }
        true
    }

    fn whole(user: &User) -> User {
        let mut whole = User { endpoints: Vec::new(), state: State::Full, ..user.clone() };
        List::endpoints(&mut whole, user);
        whole
    }

    fn update(old: &mut User, part: &User) {
        old.display_text = part.display_text.clone().or(old.display_text.take());
        old.nickname = part.nickname.clone().or(old.nickname.take());
        for (old, new) in [(&mut old.aors, &part.aors), (&mut old.roles, &part.roles)] {
            if !new.is_empty() {
                old.clone_from(new);
            }
        }
        List::endpoints(old, part);
    }

    fn endpoints(old: &mut User, part: &User) {
        for endpoint in &part.endpoints {
            let new = Endpoint { state: State::Full, media: Vec::new(), ..endpoint.clone() };
            let place = old.endpoints.iter().position(|e| e.entity == endpoint.entity);
            match (place, endpoint.state) {
                (Some(place), State::Deleted) => drop(old.endpoints.remove(place)),
                (None, State::Deleted) => {}
                (Some(place), State::Full) => old.endpoints[place] = new,
                (None, State::Full | State::Partial) => old.endpoints.push(new),
                (Some(place), State::Partial) => {
                    let before = old.endpoints[place].clone();
                    old.endpoints[place] = Endpoint {
                        display_text: new.display_text.or(before.display_text),
                        referred: new.referred.or(before.referred),
                        status: new.status.or(before.status),
                        joining_method: new.joining_method.or(before.joining_method),
                        joining_info: new.joining_info.or(before.joining_info),
                        disconnection_method: new.disconnection_method.or(before.disconnection_method),
                        disconnection_info: new.disconnection_info.or(before.disconnection_info),
                        ..before
                    };
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(info in info()) {
        let written = info.to_document();
        prop_assert_eq!(Info::parse(&written, 100), Ok(info));
    }

    #[test]
    fn what_is_kept_is_what_a_list_would_keep(documents in proptest::collection::vec(info(), 1..12), restart in 0..20usize) {
        let mut conference = Conference::new(HashKey::new(1, 2), BOUNDS);
        let mut list = List::default();
        for (n, info) in documents.into_iter().enumerate() {
            if n == restart {
                conference.restart();
                (list.version, list.missed) = (None, false);
            }
            let before: Vec<User> = conference.users().cloned().collect();
            let subject = conference.subject().map(Str::from);
            let taken = list.apply(&info);
            let changes = conference.apply(info);
            prop_assert_eq!(taken, changes.is_ok());
            prop_assert_eq!(conference.version(), list.version);
            prop_assert_eq!(conference.subject(), list.subject.as_deref());
            prop_assert_eq!(conference.users().collect::<Vec<_>>(), list.users.iter().collect::<Vec<_>>());
            prop_assert!(conference.users().all(|user| conference.user(&user.entity) == Some(user)));
            prop_assert_eq!(conference.weight(), conference.users().map(User::weight).sum::<usize>());
            // The changes make of what was what is, and say nothing twice.
            let changes = changes.unwrap_or_default();
            prop_assert_eq!(changes.subject, subject.as_deref() != conference.subject());
            let find = |users: &[User], entity: &str| users.iter().find(|user| user.entity == entity).cloned();
            let mut seen = std::collections::BTreeSet::new();
            for change in &changes.users {
                let (entity, old) = match change {
                    Change::Joined(entity) => (entity, None),
                    Change::Changed(old) | Change::Left(old) => (&old.entity, Some((**old).clone())),
                };
                prop_assert!(seen.insert(entity.clone()));
                prop_assert_eq!(find(&before, entity), old.clone());
                let now = conference.user(entity);
                prop_assert_eq!(now.is_some(), !matches!(change, Change::Left(_)));
                prop_assert!(now != old.as_ref());
            }
            for user in &before {
                prop_assert!(seen.contains(&user.entity) || conference.user(&user.entity) == Some(user));
            }
            for user in conference.users() {
                prop_assert!(seen.contains(&user.entity) || find(&before, &user.entity).is_some());
            }
        }
    }
}
