//! An XMPP user watches a SIP user: RFC 8048 §5.2, §6.3, §7.1.

mod notified;

use super::record::{self, Saved};
use super::session::Session;
use super::{ACCEPT, Due, Name, PACKAGE, Presences, Then};
use crate::address::{self, Scheme};
use crate::config::LinkId;
use crate::error::Refusal;
use crate::gateway::Note;
use crate::mapping::Stage;
use crate::names;
use crate::store::{About, Direction, Key};
use base::{Fingerprint, Str, Time};
use bodies::pidf::Pidf;
use sip::agent::ServerId;
use sip::header::NameAddr;
use sip::subscription::{By, State as Substate, Subscribe, UsageId};
use std::time::Duration;
use xmpp::ext::nick::Nick;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// The first wait before a subscription that failed is tried again; it doubles each time, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(30);

/// The longest such wait.
const LONGEST: Duration = Duration::from_secs(3600);

/// A SUBSCRIBE is not sent again so soon after the last, whatever an XMPP server probes.
const PAUSE: Duration = Duration::from_secs(60);

/// A poll is not translated again so soon after the last of the same pair.
const POLL_PAUSE: Duration = Duration::from_secs(5);

/// Who may wait for the answer to one poll.
const POLLERS: usize = 16;

/// How far the authorization is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// None: somebody polls.
    Polling,
    /// The SIP side has not said yes or no (RFC 3856 §6.7: neutral or pending).
    Asked,
    /// The SIP side has sent an active NOTIFY.
    Granted,
    /// The user wants no more; the dialog is being ended.
    Leaving,
}

/// A pair whose XMPP user watches the SIP user.
#[derive(Debug)]
pub(super) struct Subscription {
    sip: Jid,
    xmpp: Jid,
    state: State,
    /// An active NOTIFY waits for its record to be saved.
    granting: bool,
    /// The user was told of the approval in this life of the gateway: whether in the last one, too, a crash has made uncertain.
    told: bool,
    /// The name that the XMPP user goes by.
    nick: Option<Str>,
    usage: Option<UsageId>,
    /// When the last SUBSCRIBE went out.
    sent: Option<Time>,
    /// What the user was told last; to whoever comes later it is told again.
    last: Vec<Stanza>,
    /// The resources that are available in it.
    online: Vec<Option<Str>>,
    /// When there was a sign of a presence session of the user.
    seen: Time,
    /// The user's session is over: the dialog is not refreshed.
    over: bool,
    /// Failures in a row.
    failures: u32,
    retry: Option<Time>,
    /// The SIP side has asked for no SUBSCRIBE before this (RFC 3261 §20.33), in a dialog that has lived on.
    busy: Option<Time>,
    /// Who polled.
    pollers: Vec<Jid>,
}

/// A NOTIFY that was read, and waits for its answer.
#[derive(Debug)]
pub(super) struct News {
    usage: UsageId,
    server: ServerId,
    state: Substate,
    /// Its document, if it has one.
    pidf: Option<Pidf>,
    /// The value of Content-Language.
    language: Option<Str>,
}

impl Subscription {
    fn new(sip: Jid, xmpp: Jid, state: State, now: Time) -> Subscription {
        Subscription {
            sip,
            xmpp,
            state,
            granting: false,
            told: false,
            nick: None,
            usage: None,
            sent: None,
            last: Vec::new(),
            online: Vec::new(),
            seen: now,
            over: false,
            failures: 0,
            retry: None,
            busy: None,
            pollers: Vec::new(),
        }
    }

    pub(super) fn key(&self) -> Key {
        Key { about: About::Presence(Direction::XmppWatchesSip), sip: self.sip.clone(), xmpp: self.xmpp.clone() }
    }

    /// What is to be saved, if anything is.
    pub(super) fn record(&self, saved: impl FnOnce(UsageId) -> Option<Saved>) -> Option<record::Subscription> {
        (self.state != State::Polling).then(|| record::Subscription {
            granted: self.state == State::Granted || self.granting,
            wanted: !self.over,
            leaving: self.state == State::Leaving,
            dialog: self.usage.and_then(saved),
            online: self.online.iter().map(|name| name.as_deref().unwrap_or("").to_owned()).collect(),
        })
    }

    /// Its dialog, if there is one.
    pub(super) fn usages(&self) -> impl Iterator<Item = UsageId> {
        self.usage.into_iter()
    }

    pub(super) fn is_of(&self, domain: &str) -> bool {
        self.sip.domain() == domain
    }

    /// Whether there is a dialog: then it matters whether the user has a session.
    pub(super) fn is_live(&self) -> bool {
        self.usage.is_some()
    }

    /// Whether the user takes the SIP user for available.
    pub(super) fn is_online(&self) -> bool {
        !self.online.is_empty()
    }

    /// A stanza from the SIP user to the user's bare address.
    fn stanza(&self, type_: &'static str) -> Stanza {
        Stanza::presence().with_from(self.sip.clone()).with_to(self.xmpp.clone()).with_type(Str::const_new(type_))
    }

    /// `unavailable` from all that the user takes for available.
    fn gone(&mut self) -> Vec<Stanza> {
        self.last.clear();
        let online = std::mem::take(&mut self.online);
        let from = |name: Option<Str>| name.and_then(|name| self.sip.with_resource(&name).ok());
        let gone = online.into_iter().map(|name| (self.stanza("unavailable"), from(name)));
        gone.map(|(stanza, from)| from.map_or(stanza.clone(), |from| stanza.with_from(from))).collect()
    }
}

/// The record of a pair.
fn name(pair: Fingerprint) -> Name {
    (Direction::XmppWatchesSip, pair)
}

impl Presences {
    /// §5.2.1: the user asks for an authorization.
    pub(super) fn subscribe(&mut self, stage: &mut Stage<'_>, link: LinkId, pair: Fingerprint, stanza: &Stanza) {
        if let Err(refusal) = self.try_subscribe(stage, link, pair, stanza) {
            stage.refuse_stanza(link, stanza, &refusal);
        }
    }

    fn try_subscribe(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        pair: Fingerprint,
        stanza: &Stanza,
    ) -> Result<(), Refusal> {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return Ok(()) };
        let (sip, xmpp) = (to.bare(), from.bare());
        address::to_uri(&sip, Scheme::Sip).map_err(Refusal::Address)?;
        address::to_uri(&xmpp, Scheme::Sip).map_err(Refusal::Sender)?;
        let nick = stanza.elements().find_map(Nick::parse).and_then(|nick| names::name(&nick.0));
        let retry_after = stage.config.limits.retry_after;
        match self.subscriptions.get_mut(&pair).map(|subscription| (subscription.state, subscription)) {
            Some((State::Granted, subscription)) => {
                // RFC 6121 §3.1.3: who is approved is told so again, and what there is to see.
                stage.answer(link, &subscription.stanza("subscribed"));
                subscription.told = true;
                for presence in subscription.last.clone() {
                    self.tell(stage, link, name(pair), &presence);
                }
                self.seen(stage.now, pair);
                self.wake(stage, pair);
                return Ok(());
            }
            Some((State::Asked, subscription)) => {
                subscription.nick = nick.or(subscription.nick.take());
                self.seen(stage.now, pair);
                self.wake(stage, pair);
                return Ok(());
            }
            Some((State::Polling | State::Leaving, subscription)) => {
                subscription.state = State::Asked;
                subscription.granting = false;
                subscription.nick = nick;
                // The dialog that is there only ends; the new authorization gets its own.
                if let Some(usage) = subscription.usage.take() {
                    self.usages.remove(&usage);
                    stage.events(|events, _| events.forget(usage));
                }
            }
            None => {
                if !self.has_room(&xmpp) {
                    return Err(Refusal::Overload { retry_after });
                }
                self.count(&xmpp, None, true);
                let mut subscription = Subscription::new(sip, xmpp, State::Asked, stage.now);
                subscription.nick = nick;
                self.subscriptions.insert(pair, Box::new(subscription));
            }
        }
        self.seen(stage.now, pair);
        self.save(stage, name(pair), Then::Subscribe { pair, stanza: Box::new(stanza.clone()) });
        Ok(())
    }

    /// The wish is saved, or cannot be.
    pub(super) fn subscribe_saved(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, stanza: &Stanza, saved: bool) {
        let Some(subscription) = self.subscriptions.get(&pair).filter(|s| s.state == State::Asked) else { return };
        if saved {
            return self.start(stage, pair, self.options.refresh);
        }
        if let Some(link) = stage.link_of(subscription.sip.domain()) {
            let refusal = Refusal::Storage { retry_after: stage.config.limits.retry_after };
            stage.refuse_stanza(link, stanza, &refusal);
        }
        self.release(stage, pair);
        self.drop_subscription(pair);
    }

    /// Sends the SUBSCRIBE of a new dialog.
    fn start(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, expires: u32) {
        let Some(subscription) = self.subscriptions.get_mut(&pair).filter(|s| s.usage.is_none()) else { return };
        let voice = stage.voice(&subscription.xmpp, &subscription.sip).ok();
        let uris = voice.zip(address::to_uri(&subscription.sip, Scheme::Sip).ok());
        let way = uris.and_then(|(voice, remote)| {
            let way = stage.route(&subscription.xmpp, &remote).ok()?;
            Some((voice, remote, way))
        });
        let Some((voice, remote, way)) = way else { return self.try_later(stage, pair, None) };
        let mut local = NameAddr::new(voice.from);
        local.display.clone_from(&subscription.nick);
        let subscribe = Subscribe {
            package: PACKAGE,
            event_id: None,
            local,
            remote: remote.into(),
            contact: NameAddr::new(stage.contact(&voice.contact, way.transport)),
            accept: ACCEPT,
            expires,
            route: way.route,
            hop: way.hop,
            call_id: None,
            by: By::Subscribe,
        };
        subscription.sent = Some(stage.now);
        subscription.retry = None;
        match stage.events(|events, ground| events.subscribe(ground, subscribe)) {
            Ok(usage) => {
                subscription.usage = Some(usage);
                self.usages.insert(usage, name(pair));
                if subscription.state != State::Polling {
                    self.live.insert(name(pair));
                }
            }
            Err(_) => self.try_later(stage, pair, None),
        }
    }

    /// Tries again after a while, which grows, as long as the user has a session.
    fn try_later(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, least: Option<u32>) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        if subscription.state == State::Polling {
            return self.drop_subscription(pair);
        }
        let doubled = FIRST.saturating_mul(1 << subscription.failures.min(7)).min(LONGEST);
        subscription.failures = subscription.failures.saturating_add(1);
        let busy = subscription.busy.take().map_or(Duration::ZERO, |until| until.since(stage.now));
        let least = Duration::from_secs(least.unwrap_or(0).into()).max(busy).min(Duration::from_secs(24 * 3600));
        let wait = doubled.max(least);
        let jitter = stage.tokens.below(wait.as_millis() as u64 / 4 + 1);
        let at = stage.now + wait + Duration::from_millis(jitter);
        subscription.retry = Some(at);
        self.timers.set(at, Due::Retry(pair));
    }

    pub(super) fn retry_due(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(subscription) = self.subscriptions.get(&pair) else { return };
        if subscription.retry.is_some_and(|at| at <= stage.now) && !subscription.over {
            self.look(stage, pair);
        }
    }

    /// A sign of a presence session.
    fn seen(&mut self, now: Time, pair: Fingerprint) {
        if let Some(subscription) = self.subscriptions.get_mut(&pair) {
            (subscription.seen, subscription.over) = (now, false);
            let xmpp = subscription.xmpp.clone();
            self.session_begun(&xmpp);
        }
    }

    /// What the other direction knows of the user's sessions.
    pub(super) fn session_seen(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(live) = self.watches.get(&pair).and_then(|watch| watch.session()) else { return };
        match (live, self.subscriptions.get_mut(&pair)) {
            (true, _) => self.seen(stage.now, pair),
            (false, Some(subscription)) => subscription.over = true,
            (false, None) => {}
        }
    }

    /// Begins or refreshes the dialog of a user who has just come, unless that was done a moment ago.
    fn wake(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let recent = |at: Time| stage.now.since(at) < PAUSE;
        match self.subscriptions.get(&pair) {
            Some(subscription) if subscription.usage.is_some() && subscription.sent.is_some_and(recent) => {}
            Some(subscription)
                if subscription.usage.is_none()
                    && subscription.retry.is_some_and(|at| at > stage.now)
                    && subscription.sent.is_some_and(recent) => {}
            Some(_) => self.look(stage, pair),
            None => {}
        }
    }

    /// Asks the user's server first: §8.1.
    fn look(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        if let Some(subscription) = self.subscriptions.get(&pair) {
            let (sip, xmpp) = (subscription.sip.clone(), subscription.xmpp.clone());
            self.ask_session(stage, pair, &sip, &xmpp);
        }
    }

    /// The dialog will expire unless it is refreshed (§5.2.2).
    pub(super) fn refresh_due(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        if self.subscriptions.get(&pair).is_some_and(|subscription| !subscription.over) {
            self.look(stage, pair);
        }
    }

    /// The user's server has answered, or has not.
    pub(super) fn session_is(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, session: Session) {
        let keep = self.options.keep;
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        match session {
            Session::Live => subscription.seen = stage.now,
            Session::Unknown if stage.now.since(subscription.seen) <= keep => {}
            Session::Over | Session::Unknown => {
                subscription.over = true;
                return;
            }
        }
        match (subscription.state, subscription.usage) {
            (State::Asked | State::Granted, None) => self.start(stage, pair, self.options.refresh),
            (State::Asked | State::Granted, Some(usage)) => {
                subscription.sent = Some(stage.now);
                stage.events(|events, ground| events.refresh(ground, usage));
            }
            (State::Polling | State::Leaving, _) => {}
        }
    }

    /// A 2xx to a SUBSCRIBE: the state is neutral (RFC 3856 §6.7).
    pub(super) fn subscription_accepted(&mut self, pair: Fingerprint) {
        if let Some(subscription) = self.subscriptions.get_mut(&pair) {
            subscription.failures = 0;
        }
    }

    /// §7.1: a server asks for its user, who has just come, or somebody polls.
    pub(super) fn probed(&mut self, stage: &mut Stage<'_>, link: LinkId, pair: Fingerprint, stanza: &Stanza) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        match self.subscriptions.get_mut(&pair).map(|subscription| (subscription.state, subscription)) {
            Some((State::Granted, subscription)) => {
                for presence in subscription.last.clone() {
                    self.tell(stage, link, name(pair), &presence.with_to(from.clone()));
                }
                self.seen(stage.now, pair);
                self.wake(stage, pair);
            }
            Some((State::Asked, _)) => {
                self.seen(stage.now, pair);
                self.wake(stage, pair);
            }
            Some((State::Polling, subscription)) => {
                if subscription.pollers.len() < POLLERS && !subscription.pollers.contains(from) {
                    subscription.pollers.push(from.clone());
                }
            }
            Some((State::Leaving, _)) => {}
            None => self.poll(stage, pair, from, to),
        }
    }

    fn poll(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, from: &Jid, to: &Jid) {
        let again = self.polled.get(&pair).is_some_and(|at| stage.now.since(*at) < POLL_PAUSE);
        let (sip, xmpp) = (to.bare(), from.bare());
        let mapped = [&sip, &xmpp].into_iter().all(|jid| address::to_uri(jid, Scheme::Sip).is_ok());
        if again || !mapped || !self.has_room(&xmpp) {
            return stage.note(Note::Ignored { why: "probe" });
        }
        self.polled.insert(pair, stage.now);
        self.count(&xmpp, None, true);
        let mut subscription = Subscription::new(sip, xmpp, State::Polling, stage.now);
        subscription.pollers.push(from.clone());
        self.subscriptions.insert(pair, Box::new(subscription));
        self.start(stage, pair, 0);
    }

    /// §5.2.3: the user wants no more.
    pub(super) fn unsubscribe(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, sip: &Jid, xmpp: &Jid) {
        let Some(subscription) = self.subscriptions.get_mut(&pair).filter(|s| s.state != State::Polling) else {
            // Nothing is known of it: the user's server is told what it wants to hear.
            let stanza = Stanza::presence().with_from(sip.clone()).with_to(xmpp.clone());
            if let Some(link) = stage.link_of(sip.domain()) {
                stage.answer(link, &stanza.with_type(Str::const_new("unsubscribed")));
            }
            return;
        };
        if subscription.state == State::Leaving {
            return;
        }
        subscription.state = State::Leaving;
        let usage = subscription.usage;
        self.save(stage, name(pair), Then::Nothing);
        match usage {
            Some(usage) => stage.events(|events, ground| events.unsubscribe(ground, usage)),
            None => self.left(stage, pair),
        }
    }

    /// The dialog of a user who wants no more has ended, one way or the other.
    fn left(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        self.tell_gone(stage, pair);
        if let Some(subscription) = self.subscriptions.get(&pair)
            && let Some(link) = stage.link_of(subscription.sip.domain())
        {
            stage.answer(link, &subscription.stanza("unsubscribed"));
        }
        self.end_subscription(stage, pair);
    }

    /// Forgets a pair and its record.
    fn end_subscription(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let key = self.subscriptions.get(&pair).map(|subscription| subscription.key());
        self.drop_subscription(pair);
        if let Some(key) = key {
            self.forget(stage, &key);
        }
    }

    fn drop_subscription(&mut self, pair: Fingerprint) {
        if let Some(subscription) = self.subscriptions.remove(&pair) {
            if let Some(usage) = subscription.usage {
                self.usages.remove(&usage);
            }
            self.live.remove(&name(pair));
            self.unsaved.remove(&name(pair));
            self.count(&subscription.xmpp, None, false);
        }
    }

    /// Brings a pair up to date when the stream is up again.
    pub(super) fn resync_subscription(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        let Some(link) = stage.link_of(subscription.sip.domain()) else { return };
        if subscription.state == State::Leaving {
            return match subscription.usage {
                Some(usage) => stage.events(|events, ground| events.unsubscribe(ground, usage)),
                None => self.left(stage, pair),
            };
        }
        if subscription.state == State::Granted && !std::mem::replace(&mut subscription.told, true) {
            // RFC 6121 §3.1.6: a server that knows it already makes nothing of it.
            stage.answer(link, &subscription.stanza("subscribed"));
        }
        if subscription.usage.is_none() && !subscription.online.is_empty() {
            // What the user was told before a crash, and nobody vouches for any more.
            let wanted = !subscription.over;
            self.tell_gone(stage, pair);
            self.save(stage, name(pair), Then::Nothing);
            self.live.remove(&name(pair));
            if wanted {
                self.wake(stage, pair);
            }
        } else if subscription.last.is_empty() {
            self.wake(stage, pair);
        } else {
            for presence in subscription.last.clone() {
                self.tell(stage, link, name(pair), &presence);
            }
        }
    }

    /// A record from the store.
    pub(super) fn restore_subscription(&mut self, stage: &mut Stage<'_>, key: &Key, record: record::Subscription) {
        let pair = self.pair(&key.sip, &key.xmpp);
        let state = match (record.leaving, record.granted) {
            (true, _) => State::Leaving,
            (false, true) => State::Granted,
            (false, false) => State::Asked,
        };
        let mut subscription = Subscription::new(key.sip.clone(), key.xmpp.clone(), state, stage.now);
        let online = record.online.into_iter().map(|name| Some(Str::from(name)).filter(|name| !name.is_empty()));
        subscription.online = online.collect();
        if let Some(saved) = record.dialog
            && let Some(at) = self.epoch.expiry(&saved, stage.now)
            && let Ok(id) = stage.events(|events, ground| events.restore(ground, saved.usage, at))
        {
            self.usages.insert(id, name(pair));
            subscription.usage = Some(id);
        }
        subscription.over = !record.wanted;
        let unfinished = record.wanted || record.leaving || !subscription.online.is_empty();
        if subscription.usage.is_some() || unfinished {
            self.live.insert(name(pair));
        }
        self.count(&subscription.xmpp, None, true);
        if self.subscriptions.insert(pair, Box::new(subscription)).is_some() {
            self.count(&key.xmpp, None, false);
        }
    }
}
