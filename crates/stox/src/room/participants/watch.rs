//! Who is in the room, told to the SIP user: the gateway as notifier of the conference event package (RFC 4575). RFC 7702 §6.2.

use super::Participants;
use super::place::{Gone, Participant, Person, Phase};
use crate::address::{self, Scheme};
use crate::error::Refusal;
use crate::gateway::Note;
use crate::leg::LegId;
use crate::mapping::{Incoming, Side, Stage};
use crate::room::{CONFERENCE, REFER};
use base::Str;
use bodies::conference::{
    self, ConfUri, ConferenceState, Description, Disconnection, Endpoint, Media, State, Status, User, UserList, Writer,
};
use sip::agent::ServerId;
use sip::header::Name;
use sip::subscription::{self, Body, Change, Event, Reason, UsageId};
use sip::{NameAddr, Request, SipUri};
use std::collections::{BTreeMap, BTreeSet};
use xmpp::ext::muc::Affiliation;
use xmpp::jid::Jid;

/// Bytes of one document, as far as it is people that it has: more of them come in the next ones.
const DOCUMENT: usize = 40 << 10;

/// The same of a last one, which there is nothing behind: a NOTIFY by UDP has room for 64 KiB.
const DATAGRAM: usize = 56 << 10;

/// Bytes of a subject in a document.
const SUBJECT: usize = 4 << 10;

/// People who have gone and of whom a subscription has yet to be told.
const MANY: usize = 1_000;

/// Subscriptions of one place.
const WATCHERS: usize = 4;

/// What a participant's one device is called, and its one medium.
const MEDIUM: &str = "1";

/// A subscription of a place, and what it has yet to be told.
#[derive(Debug)]
pub(super) struct Watcher {
    usage: UsageId,
    /// The number of the next document; none was sent before the first.
    version: u32,
    /// It is to be told everything; and first that nobody is there.
    full: bool,
    wipe: bool,
    /// It is being told everything, of which some is left.
    filling: bool,
    /// Who has come or changed.
    changed: BTreeSet<Str>,
    /// Who has gone, of those whom it was told of. Whoever has come under the same name is told of later, so that the two are not taken for one.
    gone: BTreeMap<Str, Gone>,
    /// There is another subject.
    subject: bool,
}

/// How a user is out of a room that he has not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// The room has put him out.
    Thrown,
    /// There is no such room any more.
    Destroyed,
    /// Something on the way has failed.
    Failed,
}

/// What a subscription is told last: why it ends, and what there is to say of it.
#[derive(Debug)]
pub(super) struct LastWord {
    reason: Reason,
    document: Option<Vec<u8>>,
}

impl Watcher {
    fn new(usage: UsageId) -> Watcher {
        let (changed, gone) = (BTreeSet::new(), BTreeMap::new());
        Watcher { usage, version: 0, full: true, wipe: false, filling: false, changed, gone, subject: false }
    }

    /// Somebody came, or has changed.
    pub(super) fn changed(&mut self, nick: &str) {
        if self.version > 0 {
            self.changed.insert(Str::from(nick));
        }
    }

    /// Somebody has gone; `known`: the user may have been told of him.
    pub(super) fn gone(&mut self, nick: &str, how: Gone, known: bool) {
        self.changed.remove(nick);
        if self.version == 0 || !known || self.wipe {
            return;
        }
        if self.gone.len() >= MANY {
            // More names than are worth telling one by one: nobody is there, and then those who are.
            self.gone.clear();
            (self.full, self.wipe) = (true, true);
            return;
        }
        self.gone.entry(Str::from(nick)).or_insert(how);
    }

    /// Whether the user takes somebody else for who has this name.
    pub(super) fn has_yet_to_lose(&self, nick: &str) -> bool {
        self.wipe || self.gone.contains_key(nick)
    }

    /// The subject has changed.
    pub(super) fn subject(&mut self) {
        self.subject = true;
    }

    fn has_news(&self) -> bool {
        self.full || self.subject || !self.changed.is_empty() || !self.gone.is_empty()
    }
}

impl Participants {
    /// A SUBSCRIBE to a room outside of any dialog.
    pub(super) fn subscribe(&mut self, stage: &mut Stage<'_>, incoming: Incoming) {
        let contact =
            NameAddr::new(stage.contact(&incoming.request.uri, incoming.flow.transport)).with_feature("isfocus");
        let (id, request, flow) = (incoming.id, incoming.request.clone(), incoming.flow);
        self.arriving = Some(incoming);
        stage.events(|events, ground| events.request(ground, id, request, flow, &contact));
    }

    /// Whether a request is to a room from somebody who sits in it.
    pub(super) fn is_from_inside(&self, request: &Request) -> bool {
        let jid = |uri: &sip::Uri| address::to_jid(uri, &self.addresses).ok();
        let from = request.headers.from().ok().and_then(|from| jid(&from.uri));
        let (Some(from), Some(to)) = (from, jid(&request.uri)) else { return false };
        self.of_pair(&from, &to).next().is_some()
    }

    /// Something happened to a subscription of a place, or to what may become one.
    pub(super) fn conference_event(&mut self, stage: &mut Stage<'_>, event: Event) -> Option<Event> {
        let id = event.id();
        let package = event.package();
        if package != CONFERENCE && package != REFER {
            return Some(event);
        }
        let known = self.usages.get(&id).copied();
        match event {
            Event::Watch { server, ref request, .. } if known.is_none() => {
                let Some(leg) = self.place_of(stage, server, request) else {
                    return self.stranger(stage, package, event);
                };
                match package {
                    CONFERENCE => self.watch(stage, leg, event),
                    _ => self.referred(stage, leg, id, server, request),
                }
            }
            Event::Watch { server, expires, .. } => {
                // RFC 4575 §3.3: after each SUBSCRIBE everything is told.
                if let Some(watcher) = known.and_then(|leg| self.watcher(leg, id)) {
                    // But who is still being told of a large room is told of the rest of it, not of the beginning again.
                    watcher.full |= !watcher.filling;
                }
                stage.events(|events, ground| events.accept(ground, id, server, expires));
            }
            Event::Wanted { last, again, .. } => match (known, self.referrals.remove(&id)) {
                (_, Some(code)) => super::refer::notify(stage, id, code),
                (Some(leg), None) => {
                    // What the last one told did not arrive.
                    if let Some(watcher) = self.watcher(leg, id).filter(|_| again) {
                        watcher.full = true;
                    }
                    self.notify(stage, leg, id, last);
                }
                (None, None) if package == CONFERENCE => over(stage, id, self.last_words.remove(&id)),
                (None, None) => return Some(event),
            },
            Event::WatcherGone { .. } | Event::Ended { .. } if self.referrals.remove(&id).is_some() => {}
            Event::WatcherGone { .. } | Event::Ended { .. } if self.last_words.remove(&id).is_some() => {}
            Event::WatcherGone { .. } | Event::Ended { .. } if known.is_some() => self.unwatch(id),
            Event::Lapsed { .. } | Event::Save { .. } if known.is_some() => {}
            // A subscription of our own.
            event => return Some(event),
        }
        None
    }

    /// Whose place a SUBSCRIBE or REFER is about: that of the session in whose dialog it came, or one of its sender in the room.
    fn place_of(&mut self, stage: &Stage<'_>, server: ServerId, request: &Request) -> Option<LegId> {
        if let Some(session) = stage.sessions.find(request) {
            return stage.legs.of_session(session).filter(|leg| self.seats.contains(leg));
        }
        let incoming = self.arriving.take_if(|incoming| incoming.id == server)?;
        let contact = request.headers.elements(Name::Contact).next().and_then(Result::ok);
        let contact = contact.and_then(|contact| NameAddr::parse(contact).ok());
        let device = contact.and_then(|contact| address::to_jid(&contact.uri, &self.addresses).ok());
        let device = device.as_ref().and_then(Jid::resource);
        let places = || self.of_pair(&incoming.from, &incoming.to).filter(|(_, place)| place.phase != Phase::Leaving);
        let same = places().find(|(_, place)| device.is_some() && place.user.resource() == device);
        same.or_else(|| places().last()).map(|(leg, _)| leg)
    }

    /// A SUBSCRIBE or REFER of somebody who has no place here.
    fn stranger(&self, stage: &mut Stage<'_>, package: &str, event: Event) -> Option<Event> {
        match event {
            Event::Watch { id, server, .. } if package == CONFERENCE => {
                // Who is in a room, those in it may know.
                stage.refuse_watch(id, server, &Refusal::SenderNotAllowed);
                None
            }
            event => Some(event),
        }
    }

    fn watch(&mut self, stage: &mut Stage<'_>, leg: LegId, event: Event) {
        let Event::Watch { id, server, request, expires, .. } = event else { return };
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if !accepts(&request) {
            let refusal = Refusal::NotAcceptable { accept: conference::MEDIA_TYPE };
            return stage.refuse_watch(id, server, &refusal);
        }
        if place.watchers.len() >= WATCHERS {
            let refusal = Refusal::Overload { retry_after: stage.config.limits.retry_after };
            return stage.refuse_watch(id, server, &refusal);
        }
        place.watchers.push(Watcher::new(id));
        self.usages.insert(id, leg);
        stage.events(|events, ground| {
            // It dies with the process, as the place does.
            events.confirmed(id, u32::MAX);
            events.accept(ground, id, server, expires);
        });
    }

    fn watcher(&mut self, leg: LegId, id: UsageId) -> Option<&mut Watcher> {
        self.seats.get_mut(&leg)?.watchers.iter_mut().find(|watcher| watcher.usage == id)
    }

    fn unwatch(&mut self, id: UsageId) {
        let Some(leg) = self.usages.remove(&id) else { return };
        if let Some(place) = self.seats.get_mut(&leg) {
            place.watchers.retain(|watcher| watcher.usage != id);
        }
    }

    /// There is something to tell.
    pub(super) fn tell(&mut self, stage: &mut Stage<'_>, leg: LegId, change: Change) {
        let Some(place) = self.seats.get(&leg) else { return };
        let news = |watcher: &&Watcher| change == Change::State || watcher.has_news();
        let usages: Vec<UsageId> = place.watchers.iter().filter(news).map(|watcher| watcher.usage).collect();
        stage.events(|events, _| usages.iter().for_each(|usage| events.touch(*usage, change)));
    }

    /// The user is out, and has not left: each subscription is told so at its end, as a BYE says nothing that programs understand. Whoever was
    /// thrown out is not to come back (RFC 6665 §4.1.3: `rejected`); of a room that is no more its document says so (RFC 4575 §5.1).
    pub(super) fn last_words(&mut self, stage: &Stage<'_>, leg: LegId, out: Out) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let how = match out {
            Out::Thrown => Gone::Booted,
            Out::Destroyed | Out::Failed => Gone::Failed,
        };
        let nick = place.nick.clone();
        place.people.remove(&nick);
        for watcher in &mut place.watchers {
            watcher.gone(&nick, how, true);
        }
        let local = |domain: &str| stage.link_of(domain).is_some();
        let usages: Vec<UsageId> = place.watchers.iter().map(|watcher| watcher.usage).collect();
        for usage in usages {
            let (reason, document) = match out {
                Out::Thrown => (Reason::Rejected, place.document(usage, false, &local)),
                Out::Destroyed => (Reason::NoResource, place.obituary(usage)),
                Out::Failed => (Reason::NoResource, place.document(usage, false, &local)),
            };
            self.last_words.insert(usage, LastWord { reason, document });
        }
    }

    /// The place is at its end: each subscription is told so, last.
    pub(super) fn close_watchers(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        for watcher in std::mem::take(&mut place.watchers) {
            self.usages.remove(&watcher.usage);
            stage.events(|events, _| events.close(watcher.usage));
        }
    }

    /// A NOTIFY can go out.
    fn notify(&mut self, stage: &mut Stage<'_>, leg: LegId, id: UsageId, last: bool) {
        let Some(place) = self.seats.get_mut(&leg) else { return over(stage, id, None) };
        let entering = matches!(place.phase, Phase::Called | Phase::Entering);
        if entering || place.phase == Phase::Leaving {
            let state = if entering { subscription::State::Pending } else { no_resource() };
            stage.events(|events, ground| events.notify(ground, id, &state, None));
            return;
        }
        let local = |domain: &str| stage.link_of(domain).is_some();
        let Some(document) = place.document(id, last, &local) else {
            return stage.events(|events, _| events.skip(id));
        };
        let body = Body { content_type: conference::MEDIA_TYPE, language: None, content: document.into() };
        let state = subscription::State::Active;
        let sent = stage.events(|events, ground| events.notify(ground, id, &state, Some(body)));
        if sent {
            stage.note(Note::Presence { to: Side::Sip });
        } else if let Some(watcher) = self.watcher(leg, id) {
            // What was not told is told as a whole.
            watcher.full = true;
        }
        if self.watcher(leg, id).is_some_and(|watcher| watcher.has_news()) {
            // What had no room in the document goes at once: the pace is for what changes.
            stage.events(|events, _| events.touch(id, Change::State));
        }
    }
}

/// The last word on a place that is no more.
fn over(stage: &mut Stage<'_>, id: UsageId, word: Option<LastWord>) {
    let (state, document) = match word {
        Some(word) => (subscription::State::terminated(word.reason), word.document),
        None => (no_resource(), None),
    };
    let content_type = conference::MEDIA_TYPE;
    let body = document.map(|document| Body { content_type, language: None, content: document.into() });
    stage.events(|events, ground| events.notify(ground, id, &state, body));
}

fn no_resource() -> subscription::State {
    subscription::State::terminated(Reason::NoResource)
}

/// Whether a subscriber takes conference documents; one that does not say what it takes does (RFC 4575 §3.4).
fn accepts(request: &Request) -> bool {
    let mut elements = request.headers.elements(Name::Accept).peekable();
    if elements.peek().is_none() {
        return true;
    }
    elements.flatten().any(|range| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        [conference::MEDIA_TYPE, "application/*", "*/*"].iter().any(|taken| essence.eq_ignore_ascii_case(taken))
    })
}

impl Participant {
    /// That there is no such room any more.
    fn obituary(&self, id: UsageId) -> Option<Vec<u8>> {
        let room = address::to_uri(&self.room, Scheme::Sip).ok()?.to_string();
        let watcher = self.watchers.iter().find(|watcher| watcher.usage == id)?;
        Some(Writer::new(&room, State::Deleted, watcher.version).finish())
    }

    /// What a subscription is to be told; `None` if there is nothing. The names in it are known from now on. `local` tells SIP domains.
    fn document(&mut self, id: UsageId, last: bool, local: &dyn Fn(&str) -> bool) -> Option<Vec<u8>> {
        let uri = address::to_uri(&self.room, Scheme::Sip).ok()?;
        let (room, mut entities) = (uri.to_string(), Entities(uri));
        let watcher = self.watchers.iter_mut().find(|watcher| watcher.usage == id)?;
        if !watcher.has_news() && !last {
            return None;
        }
        let full = watcher.full;
        let state = if full { State::Full } else { State::Partial };
        let mut writer = Writer::new(&room, state, watcher.version);
        watcher.version = watcher.version.wrapping_add(1);
        // Whoever has a name that was somebody else's is told of when that one has gone.
        let mut later = BTreeSet::new();
        if full {
            watcher.changed = self.people.keys().cloned().collect();
            let gone = std::mem::take(&mut watcher.gone);
            if std::mem::take(&mut watcher.wipe) {
                later = std::mem::take(&mut watcher.changed);
            } else {
                later.extend(gone.into_keys().filter_map(|nick| watcher.changed.take(&nick)));
            }
            watcher.changed.extend(later.take(self.nick.as_str()));
            watcher.full = false;
        }
        if full || watcher.subject {
            watcher.subject = false;
            writer.description(&Description {
                subject: self.subject.as_deref().map(|subject| cut(subject, SUBJECT)),
                conf_uris: vec![ConfUri { uri: Str::from(&room), ..ConfUri::default() }],
                ..Description::default()
            });
        }
        let count = u32::try_from(self.people.len()).ok();
        writer.conference_state(ConferenceState { user_count: count, ..ConferenceState::default() });
        let most = if last { DATAGRAM } else { DOCUMENT }.saturating_sub(writer.weight());
        // The user himself has his name now.
        if self.people.contains_key(&self.nick) {
            watcher.gone.remove(&self.nick);
        }
        let mut list = UserList::default();
        let mut told = BTreeSet::new();
        // Those who were put out are shown so first, and are not there any more then.
        while let Some(nick) = watcher.gone.keys().find(|nick| !told.contains(*nick)).cloned() {
            let how = watcher.gone.get(&nick).copied().unwrap_or(Gone::Departed);
            if !list.push(&departed(entities.of(&nick), &nick, how), most) {
                break;
            }
            match how {
                Gone::Departed => drop(watcher.gone.remove(&nick)),
                Gone::Booted | Gone::Failed => drop(watcher.gone.insert(nick.clone(), Gone::Departed)),
            }
            told.insert(nick);
        }
        while let Some(nick) = watcher.changed.pop_first() {
            // But for the user himself, who knows his name, and would be gone where nobody has it.
            let own = nick.as_str() == self.nick.as_str();
            if !own && (watcher.gone.contains_key(&nick) || told.contains(&nick)) {
                later.insert(nick);
                continue;
            }
            let Some(person) = self.people.get_mut(&nick) else { continue };
            if !list.push(&present(entities.of(&nick), &nick, person, local), most) {
                later.insert(nick);
                break;
            }
            person.known = true;
        }
        // RFC 4575 §4.4: what is in a full document is full; whoever has no room in it comes next.
        writer.users_from(state, &list);
        watcher.changed.append(&mut later);
        watcher.filling = (full || watcher.filling) && !watcher.changed.is_empty();
        Some(writer.finish())
    }
}

/// As much of a text as there is room for.
fn cut(text: &str, most: usize) -> Str {
    Str::from(&text[..text.floor_char_boundary(most)])
}

/// The URIs of people in a room (Table 2: the occupants' addresses). That of the room is made once, as there may be thousands of them.
struct Entities(SipUri);

impl Entities {
    /// Of whoever has this name, which the room has given: it is a resource.
    fn of(&mut self, nick: &str) -> Str {
        self.0.params.set("gr", Some(nick.as_bytes()));
        base::format_compact!("{}", self.0)
    }
}

fn present(entity: Str, nick: &str, person: &Person, local: &dyn Fn(&str) -> bool) -> User {
    let endpoint = Endpoint {
        entity: entity.clone(),
        status: Some(Status::Connected),
        media: vec![Media { id: Str::const_new(MEDIUM), kind: Some(Str::const_new("message")), status: None }],
        ..Endpoint::default()
    };
    // The resource of a SIP user may be the gateway's own, and no GRUU.
    let real = person.jid.as_deref().map(|jid| if local(jid.domain()) { jid.bare() } else { jid.clone() });
    let aor = real.and_then(|jid| address::to_uri(&jid, Scheme::Sip).ok());
    let mut roles = vec![Str::const_new(person.role.name())];
    if person.affiliation != Affiliation::None {
        roles.push(Str::const_new(person.affiliation.name()));
    }
    User {
        entity,
        display_text: Some(Str::from(nick)),
        nickname: Some(Str::from(nick)),
        aors: aor.map(|aor| base::format_compact!("{aor}")).into_iter().collect(),
        roles,
        endpoints: vec![endpoint],
        ..User::default()
    }
}

fn departed(entity: Str, nick: &str, how: Gone) -> User {
    let method = match how {
        Gone::Departed => return User { entity, state: State::Deleted, ..User::default() },
        Gone::Booted => Disconnection::Booted,
        Gone::Failed => Disconnection::Failed,
    };
    let endpoint = Endpoint {
        entity: entity.clone(),
        status: Some(Status::Disconnected),
        disconnection_method: Some(method),
        ..Endpoint::default()
    };
    User { entity, display_text: Some(Str::from(nick)), endpoints: vec![endpoint], ..User::default() }
}
