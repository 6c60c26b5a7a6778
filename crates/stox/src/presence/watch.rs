//! A SIP user watches an XMPP user: RFC 8048 §5.3, §6.2, §7.2.

mod contact;
pub(super) mod publish;

use super::record::{self, Saved};
use super::x2s::{self, Resource};
use super::{ACCEPT, Due, Name, Presences, Then};
use crate::error::Refusal;
use crate::gateway::Note;
use crate::mapping::{Incoming, Side, Stage};
use crate::names;
use crate::store::{About, Direction, Key};
use base::{Fingerprint, Str, Time};
use bodies::pidf::Pidf;
use sip::Request;
use sip::agent::ServerId;
use sip::header::Name as Header;
use sip::subscription::{Body, Kind, Reason, State as Substate, UsageId};
use std::time::Duration;
use xmpp::ext::nick::Nick;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long a poll waits for more resources when the first has come: each comes in a stanza of its own.
const REST_OF_ANSWER: Duration = Duration::from_millis(100);

/// How long the server has to say something of a contact when the stream is back. It has much to say then.
const SILENCE: Duration = Duration::from_secs(10);

/// How far the authorization is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// None, and none was asked for: somebody polls.
    Neutral,
    /// The contact was asked, or will be as soon as its server is there.
    Asked,
    /// The contact has approved.
    Granted,
}

/// A notification dialog of the watcher's.
#[derive(Debug)]
struct Watcher {
    usage: UsageId,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its SUBSCRIBE waits for the record to be saved.
    Saving,
    /// It is told of all that happens.
    Live,
    /// It polled, and is told once.
    Polled,
    /// Its last NOTIFY is to be sent, or on its way.
    Ending(End),
}

/// Why a dialog ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The watcher ended it, or did not refresh it.
    Timeout,
    /// The contact does not want to be watched.
    Rejected,
    /// There is no such contact.
    NoResource,
}

/// A poll that waits for the XMPP server's answer.
#[derive(Debug)]
struct Fetch {
    usage: UsageId,
    server: ServerId,
    until: Time,
}

/// What is known of the contact's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// What was true when the stream was this often up: what the server says next replaces it.
    Since(u32),
    /// The server was asked and said nothing.
    Silent,
}

/// A pair whose SIP user watches the XMPP user.
#[derive(Debug)]
pub(super) struct Watch {
    sip: Jid,
    xmpp: Jid,
    state: State,
    /// The contact has approved, and that is not saved yet: until then nobody hears of it.
    untold: bool,
    /// When the contact's server got the request: when the stream was this often up. A server keeps one request of each sender (RFC 6121
    /// §3.1.3), but what the contact said while the stream was down came to nobody: it is asked again then, and who has approved is not.
    asked: Option<u32>,
    /// A probe was sent when there was no authorization: `unsubscribed` is the server's answer to that (RFC 6121 §4.3.2).
    polled: bool,
    /// The id of the last request, by which an error to it is known.
    request: Str,
    /// The name that the SIP user goes by.
    nick: Option<Str>,
    watchers: Vec<Watcher>,
    fetches: Vec<Fetch>,
    known: Known,
    /// When the server was asked for all of it: when the stream was this often up.
    whole: Option<u32>,
    resources: Vec<Resource>,
    /// The resource that went last, and what it said then.
    gone: Option<Box<Gone>>,
}

/// What a resource said when it went.
#[derive(Debug, Default)]
struct Gone {
    resource: Option<Str>,
    statuses: Vec<(Option<Str>, String)>,
}

impl Watch {
    fn new(sip: Jid, xmpp: Jid) -> Watch {
        Watch {
            sip,
            xmpp,
            state: State::Neutral,
            untold: false,
            asked: None,
            polled: false,
            request: Str::default(),
            nick: None,
            watchers: Vec::new(),
            fetches: Vec::new(),
            known: Known::Nothing,
            whole: None,
            resources: Vec::new(),
            gone: None,
        }
    }

    pub(super) fn key(&self) -> Key {
        Key { about: About::Presence(Direction::SipWatchesXmpp), sip: self.sip.clone(), xmpp: self.xmpp.clone() }
    }

    /// What is to be saved, if anything is.
    pub(super) fn record(&self, mut saved: impl FnMut(UsageId) -> Option<Saved>) -> Option<record::Watch> {
        let kept = |watcher: &&Watcher| !matches!(watcher.phase, Phase::Ending(_));
        (self.state != State::Neutral).then(|| record::Watch {
            granted: self.state == State::Granted,
            dialogs: self.watchers.iter().filter(kept).filter_map(|watcher| saved(watcher.usage)).collect(),
        })
    }

    /// Its dialogs.
    pub(super) fn usages(&self) -> impl Iterator<Item = UsageId> {
        self.watchers.iter().map(|watcher| watcher.usage)
    }

    pub(super) fn is_of(&self, domain: &str) -> bool {
        self.sip.domain() == domain
    }

    fn is_known(&self) -> bool {
        self.known != Known::Nothing
    }

    /// The document of what is known.
    fn document(&self) -> (Pidf, Option<Str>) {
        match &self.gone {
            Some(gone) if self.resources.is_empty() => {
                x2s::closed(&self.xmpp, gone.resource.as_deref(), &gone.statuses)
            }
            Some(_) | None => x2s::pidf(&self.xmpp, &self.resources),
        }
    }

    /// Lets go of what is known.
    fn forget(&mut self) {
        (self.known, self.whole, self.resources, self.gone) = (Known::Nothing, None, Vec::new(), None);
    }

    fn watcher(&mut self, usage: UsageId) -> Option<&mut Watcher> {
        self.watchers.iter_mut().find(|watcher| watcher.usage == usage)
    }

    /// Whether the contact has a presence session; `None` if that is not known.
    pub(super) fn session(&self) -> Option<bool> {
        match (self.state == State::Granted && matches!(self.known, Known::Since(_)), self.resources.is_empty()) {
            (true, false) => Some(true),
            // What was heard by chance is not all there is.
            (true, true) => self.whole.is_some_and(|times| self.known == Known::Since(times)).then_some(false),
            (false, _) => None,
        }
    }

    /// A stanza from the SIP user to the contact.
    fn stanza(&self, type_: &'static str) -> Stanza {
        Stanza::presence().with_from(self.sip.clone()).with_to(self.xmpp.clone()).with_type(Str::const_new(type_))
    }
}

/// The record of a pair.
fn name(pair: Fingerprint) -> Name {
    (Direction::SipWatchesXmpp, pair)
}

impl Presences {
    /// A SUBSCRIBE outside of a dialog.
    pub(super) fn watch(&mut self, stage: &mut Stage<'_>, incoming: &Incoming, id: UsageId, kind: Kind) {
        if let Err(refusal) = self.try_watch(stage, incoming, id, kind) {
            stage.refuse_watch(id, incoming.id, &refusal);
        }
    }

    fn try_watch(
        &mut self,
        stage: &mut Stage<'_>,
        incoming: &Incoming,
        id: UsageId,
        kind: Kind,
    ) -> Result<(), Refusal> {
        let retry_after = stage.config.limits.retry_after;
        if !takes_pidf(&incoming.request) {
            return Err(Refusal::NotAcceptable { accept: ACCEPT });
        }
        if incoming.to.local().is_none() {
            return Err(Refusal::NotSupported);
        }
        if !stage.links.is_up(incoming.link) {
            return Err(Refusal::LinkDown { retry_after });
        }
        let (sip, xmpp) = (incoming.from.bare(), incoming.to.bare());
        let pair = self.pair(&sip, &xmpp);
        let overload = Refusal::Overload { retry_after };
        match self.watches.get(&pair) {
            Some(watch) if watch.watchers.len() + watch.fetches.len() >= self.options.dialogs_per_pair => {
                return Err(overload);
            }
            Some(_) => {}
            None => {
                let watchers = self.per_contact.count(&self.user(&xmpp));
                if !self.has_room(&sip) || watchers >= self.options.watchers_per_contact {
                    return Err(overload);
                }
                self.count(&sip, Some(&xmpp), true);
                self.watches.insert(pair, Box::new(Watch::new(sip, xmpp)));
            }
        }
        let Some(watch) = self.watches.get_mut(&pair) else { return Err(overload) };
        self.usages.insert(id, name(pair));
        match kind {
            // A REFER is of another package.
            Kind::Fetch | Kind::End | Kind::Refer => {
                let until = stage.now + self.options.probe_wait;
                watch.fetches.push(Fetch { usage: id, server: incoming.id, until });
                self.fetch(stage, pair);
            }
            Kind::New | Kind::Refresh => {
                if watch.state == State::Neutral {
                    watch.state = State::Asked;
                    watch.asked = None;
                }
                let display = incoming.request.headers.from().ok().and_then(|from| from.display);
                watch.nick = display.as_deref().and_then(names::name).or(watch.nick.take());
                watch.watchers.push(Watcher { usage: id, phase: Phase::Saving });
                self.live.insert(name(pair));
                self.save(stage, name(pair), Then::Accept { pair, usage: id, server: incoming.id });
            }
        }
        Ok(())
    }

    /// A SUBSCRIBE within a dialog: it goes on, or it ends.
    pub(super) fn watch_again(
        &mut self,
        stage: &mut Stage<'_>,
        pair: Fingerprint,
        id: UsageId,
        server: ServerId,
        kind: Kind,
    ) {
        let Some(watcher) = self.watches.get_mut(&pair).and_then(|watch| watch.watcher(id)) else {
            return stage.refuse_watch(id, server, &Refusal::NoDialog);
        };
        match kind {
            Kind::New | Kind::Refresh => self.save(stage, name(pair), Then::Accept { pair, usage: id, server }),
            // A REFER is of another package.
            Kind::Fetch | Kind::End | Kind::Refer => {
                watcher.phase = Phase::Ending(End::Timeout);
                // Nothing is promised: should this be forgotten, the dialog ends at the first NOTIFY or with its time.
                stage.events(|events, ground| events.accept(ground, id, server, 0));
                self.save(stage, name(pair), Then::Nothing);
            }
        }
    }

    /// The record is saved, or not: the SUBSCRIBE gets its answer.
    pub(super) fn accept(
        &mut self,
        stage: &mut Stage<'_>,
        pair: Fingerprint,
        usage: UsageId,
        server: ServerId,
        saved: bool,
    ) {
        let Some(watch) = self.watches.get_mut(&pair) else {
            return stage.refuse_watch(usage, server, &Refusal::NoDialog);
        };
        let Some(watcher) = watch.watcher(usage) else {
            return stage.refuse_watch(usage, server, &Refusal::NoDialog);
        };
        let new = watcher.phase == Phase::Saving;
        if !saved {
            stage.refuse_watch(usage, server, &Refusal::Storage { retry_after: stage.config.limits.retry_after });
            if new {
                self.usages.remove(&usage);
                watch.watchers.retain(|watcher| watcher.usage != usage);
                if watch.state == State::Asked && watch.asked.is_none() && watch.watchers.is_empty() {
                    // It was refused, so nothing of it is kept.
                    watch.state = State::Neutral;
                }
                if self.watches.get(&pair).is_some_and(|watch| watch.watchers.is_empty()) {
                    self.live.remove(&name(pair));
                }
                self.tidy_watch(pair);
            }
            return;
        }
        if new {
            watcher.phase = Phase::Live;
        }
        // The engine cuts it to what was asked for.
        stage.events(|events, ground| events.accept(ground, usage, server, u32::MAX));
        match watch.state {
            State::Granted => {
                if !self.is_fresh(stage, pair) {
                    self.probe(stage, pair);
                }
            }
            State::Asked => self.ask(stage, pair),
            // The contact refused while the record was on its way: this watcher asks anew.
            State::Neutral if new => {
                (watch.state, watch.asked) = (State::Asked, None);
                self.save(stage, name(pair), Then::Nothing);
                self.ask(stage, pair);
            }
            State::Neutral => {}
        }
    }

    /// Asks the contact, if its server does not have the request yet (§5.3.1).
    fn ask(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let times = Some(self.times(stage, pair));
        let Some(watch) = self.watches.get_mut(&pair).filter(|watch| watch.asked != times) else { return };
        let Some(link) = stage.link_of(watch.sip.domain()) else { return };
        watch.request = stage.tokens.token(16);
        let mut stanza = watch.stanza("subscribe").with_id(watch.request.clone());
        if let Some(nick) = &watch.nick {
            stanza.push(Nick(nick.to_string()).to_element());
        }
        if let Some(token) = stage.deliver(link, &stanza) {
            // Until the server says otherwise, so that a second dialog does not ask again.
            watch.asked = times;
            self.asking.insert(token, pair);
        }
    }

    /// The server has the request, or will never have it.
    pub(super) fn asked(&mut self, pair: Fingerprint, taken: bool) {
        if !taken && let Some(watch) = self.watches.get_mut(&pair).filter(|watch| watch.state == State::Asked) {
            // Asked again when the stream is back.
            watch.asked = None;
        }
    }

    /// How often the stream of a pair came up.
    fn times(&self, stage: &Stage<'_>, pair: Fingerprint) -> u32 {
        self.resync.times(self.watches.get(&pair).and_then(|watch| stage.link_of(watch.sip.domain())))
    }

    /// Whether what is known of a contact is of now.
    fn is_fresh(&self, stage: &Stage<'_>, pair: Fingerprint) -> bool {
        let times = self.times(stage, pair);
        self.watches.get(&pair).is_some_and(|watch| watch.known == Known::Since(times))
    }

    fn probe(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let times = self.times(stage, pair);
        let Some(watch) = self.watches.get_mut(&pair) else { return };
        watch.whole = Some(times);
        if let Some(link) = stage.link_of(watch.sip.domain()) {
            let probe = watch.stanza("probe");
            self.tell(stage, link, name(pair), &probe);
        }
    }

    /// §7.2: a poll is answered from what is known, or the server is asked.
    fn fetch(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(watch) = self.watches.get(&pair) else { return };
        match watch.state {
            // Whom the contact has not approved learns nothing, and a probe now would be taken for the contact's refusal.
            State::Asked => self.fetched(stage, pair),
            State::Granted if self.is_fresh(stage, pair) => self.fetched(stage, pair),
            State::Granted | State::Neutral => {
                self.timers.set(stage.now + self.options.probe_wait, Due::Fetch(pair));
                if let Some(watch) = self.watches.get_mut(&pair) {
                    watch.polled = watch.state == State::Neutral;
                }
                self.probe(stage, pair);
            }
        }
    }

    pub(super) fn fetch_due(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(watch) = self.watches.get_mut(&pair) else { return };
        if watch.fetches.iter().any(|fetch| fetch.until <= stage.now) {
            watch.polled = false;
            self.fetched(stage, pair);
        }
    }

    /// Answers all polls that wait. The engine asks for the state at once: [`Presences::watch_wanted`].
    fn fetched(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(watch) = self.watches.get_mut(&pair) else { return };
        let fetches = std::mem::take(&mut watch.fetches);
        for fetch in fetches {
            watch.watchers.push(Watcher { usage: fetch.usage, phase: Phase::Polled });
            stage.events(|events, ground| events.accept(ground, fetch.usage, fetch.server, 0));
        }
    }

    /// The engine wants to tell a watcher the state as it is now.
    pub(super) fn watch_wanted(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, id: UsageId) {
        let state = self.watches.get(&pair).and_then(|watch| {
            let watcher = watch.watchers.iter().find(|watcher| watcher.usage == id)?;
            let reason = |reason| Substate::Terminated { reason: Some(reason), retry_after: None };
            // Whoever was not approved gets a state and nothing else (RFC 3856 §6.4, THREATS 43).
            let may_see =
                watch.state == State::Granted && !watch.untold || watch.state == State::Neutral && watch.is_known();
            let state = match (watcher.phase, watch.state) {
                (Phase::Saving, _) => return None,
                (Phase::Live, State::Granted) if watch.untold => Substate::Pending,
                (Phase::Live, State::Granted) => Substate::Active,
                (Phase::Live, State::Asked | State::Neutral) => Substate::Pending,
                (Phase::Polled | Phase::Ending(End::Timeout), _) => reason(Reason::Timeout),
                (Phase::Ending(End::Rejected), _) => reason(Reason::Rejected),
                (Phase::Ending(End::NoResource), _) => reason(Reason::NoResource),
            };
            let shows = match watcher.phase {
                Phase::Live | Phase::Polled if may_see && watch.is_known() => Some(watch.document()),
                // §5.3.3: who ends the dialog is told that the contact is closed.
                Phase::Ending(End::Timeout) if may_see => Some(x2s::closed(&watch.xmpp, None, &[])),
                Phase::Live | Phase::Polled | Phase::Saving | Phase::Ending(_) => None,
            };
            Some((state, shows))
        });
        let Some((state, document)) = state else { return stage.events(|events, _| events.skip(id)) };
        let body = document.as_ref().map(|(pidf, language)| Body {
            content_type: ACCEPT,
            language: language.as_deref(),
            content: pidf.to_bytes().into(),
        });
        let told = body.is_some();
        if stage.events(|events, ground| events.notify(ground, id, &state, body)) && told {
            stage.note(Note::Presence { to: Side::Sip });
        }
    }

    /// A dialog was not refreshed.
    pub(super) fn watch_lapsed(&mut self, pair: Fingerprint, id: UsageId) {
        if let Some(watcher) = self.watches.get_mut(&pair).and_then(|watch| watch.watcher(id))
            && !matches!(watcher.phase, Phase::Ending(_))
        {
            watcher.phase = Phase::Ending(End::Timeout);
        }
    }

    /// A dialog is no more.
    pub(super) fn watch_ended(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, id: UsageId) {
        let Some(watch) = self.watches.get_mut(&pair) else { return };
        watch.fetches.retain(|fetch| fetch.usage != id);
        let ended = watch.watchers.iter().position(|watcher| watcher.usage == id);
        let polled = ended.is_none_or(|at| watch.watchers.swap_remove(at).phase == Phase::Polled);
        if !polled {
            if watch.watchers.iter().all(|watcher| watcher.phase == Phase::Polled) {
                self.live.remove(&name(pair));
                if watch.state == State::Granted {
                    // §5.3.3: the contact sees that nobody watches any more, unless it watches the SIP user itself and sees that it is there.
                    // What it says until somebody watches again is not kept.
                    let seen = self.subscriptions.get(&pair).is_some_and(|subscription| subscription.is_online());
                    if let (false, Some(link)) = (seen, stage.link_of(watch.sip.domain())) {
                        stage.answer(link, &watch.stanza("unavailable"));
                    }
                    self.unwatch(pair);
                } else if watch.state == State::Asked {
                    // Nobody waits for the answer. Should it still be a yes, the contact's server says so to the next request by itself
                    // (RFC 6121 §3.1.3).
                    watch.state = State::Neutral;
                }
            }
            self.save(stage, name(pair), Then::Nothing);
        }
        self.tidy_watch(pair);
    }

    /// Lets go of what is known of a contact, unless its sessions are of interest to the other direction.
    fn unwatch(&mut self, pair: Fingerprint) {
        let kept = self.subscriptions.get(&pair).is_some_and(|subscription| subscription.is_live());
        if let Some(watch) = self.watches.get_mut(&pair).filter(|_| !kept) {
            watch.forget();
        }
    }

    /// Forgets a pair for which nothing is left to be remembered.
    fn tidy_watch(&mut self, pair: Fingerprint) {
        let empty = self.watches.get(&pair).is_some_and(|watch| {
            watch.state == State::Neutral && watch.watchers.is_empty() && watch.fetches.is_empty()
        });
        if empty && let Some(watch) = self.watches.remove(&pair) {
            self.live.remove(&name(pair));
            self.unsaved.remove(&name(pair));
            self.count(&watch.sip, Some(&watch.xmpp), false);
        }
    }

    /// Brings a pair up to date when the stream is up again.
    pub(super) fn resync_watch(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        match self.watches.get(&pair).map(|watch| watch.state) {
            Some(State::Granted) => {
                self.timers.set(stage.now + SILENCE, Due::Silence(pair));
                self.probe(stage, pair);
            }
            Some(State::Asked) => {
                self.ask(stage, pair);
                // Its first NOTIFY may have died with the process before (RFC 6665 §4.2.1.2).
                if self.times(stage, pair) == 1 {
                    self.tell_watchers(stage, pair);
                }
            }
            Some(State::Neutral) | None => {}
        }
    }

    /// A record from the store.
    pub(super) fn restore_watch(&mut self, stage: &mut Stage<'_>, key: &Key, record: &record::Watch) {
        let pair = self.pair(&key.sip, &key.xmpp);
        let mut watch = Watch::new(key.sip.clone(), key.xmpp.clone());
        watch.state = if record.granted { State::Granted } else { State::Asked };
        for saved in &record.dialogs {
            let Some(at) = self.epoch.expiry(saved, stage.now) else { continue };
            let usage = saved.usage.clone();
            if let Ok(id) = stage.events(|events, ground| events.restore(ground, usage, at)) {
                self.usages.insert(id, name(pair));
                self.live.insert(name(pair));
                watch.watchers.push(Watcher { usage: id, phase: Phase::Live });
            }
        }
        if watch.is_published() && self.options.publish {
            self.begin_publishing(pair, self.user(&key.xmpp));
        }
        self.count(&key.sip, Some(&key.xmpp), true);
        if self.watches.insert(pair, Box::new(watch)).is_some() {
            self.count(&key.sip, Some(&key.xmpp), false);
        }
    }
}

/// RFC 3856 §6.7: who says what it takes must take PIDF; who says nothing does.
fn takes_pidf(request: &Request) -> bool {
    let Some(accept) = request.headers.get(Header::Accept) else { return true };
    accept.trim().is_empty()
        || request.headers.elements(Header::Accept).flatten().any(|element| {
            let range = element.split(';').next().unwrap_or("").trim();
            [ACCEPT, "application/*", "*/*"].iter().any(|taken| range.eq_ignore_ascii_case(taken))
        })
}
