//! Presence: RFC 8048, SIP SUBSCRIBE and NOTIFY (RFC 6665, 3856) <-> `<presence/>` (RFC 6121).
//!
//! XMPP has *authorizations*, which last; SIP has *notification dialogs*, which must be refreshed. A [`watch::Watch`] is a SIP user's
//! authorization to see an XMPP user with all dialogs that ask for it (§5.3); a [`subscription::Subscription`] is an XMPP user's to see a SIP
//! user, with the one dialog that the gateway keeps for it (§5.2). Each pair has at most one of either.
//!
//! What it claims: the methods SUBSCRIBE and NOTIFY, and every presence stanza. Left alone: presence to a resource of ours (directed, a
//! room's or a chat's), and whatever nobody of ours asked for.

mod link;
pub mod record;
pub mod s2x;
mod service;
mod session;
mod subscription;
mod table;
mod watch;
pub mod x2s;

use crate::address::{self, Scheme};
use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::error::Refusal;
use crate::gateway::Note;
use crate::links::StanzaToken;
use crate::mapping::{Incoming, Mapping, Outcome, Stage};
use crate::prints;
use crate::store::{About, Broken, Direction, Key, SaveToken};
use base::{Fingerprint, HashKey, Recent, Table, Time, Timers};
use link::Resync;
use record::{Epoch, Saved};
use sip::agent::{ClientId, ServerId};
use sip::subscription::{Event, UsageId};
use sip::{Method, Request, Uri};
use std::collections::BTreeSet;
use std::time::Duration;
use subscription::Subscription;
use watch::Watch;
use watch::publish::Publishing;
use xmpp::error::StanzaError;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// The event package: RFC 3856.
pub const PACKAGE: &str = "presence";

/// What a NOTIFY may carry.
pub const ACCEPT: &str = "application/pidf+xml";

/// How presence is translated, and the bounds of what is kept for it. The bounds are those of one shard.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether presence is translated at all. If not, a subscription is refused on either side.
    pub enabled: bool,
    /// The Expires of our SUBSCRIBEs and PUBLISHes, in seconds.
    pub refresh: u32,
    /// Whether RPID data beyond activities are shown to XMPP users, in words.
    pub rich: bool,
    /// Whether the presence of XMPP users who let the gateway itself see it is published to the outbound proxy (RFC 3903).
    pub publish: bool,
    /// How long the NOTIFY of a fetch, or the refresh of a dialog, waits for the XMPP server's answer to the probe.
    pub probe_wait: Duration,
    /// How long the dialog of an XMPP user is refreshed without a sign of a presence session. A server that will not tell the gateway whether
    /// there is one (it answers its probe `unsubscribed`) would otherwise have it refreshed for ever.
    pub keep: Duration,
    /// Notification dialogs of one SIP user with one XMPP user; beyond: 503 with Retry-After.
    pub dialogs_per_pair: usize,
    /// SIP users who watch one XMPP user; beyond: 503 with Retry-After.
    pub watchers_per_contact: usize,
    /// Resources of an XMPP user that a SIP user sees at one time; beyond, the newest are left out.
    pub resources: usize,
    /// Authorizations in both directions; beyond: 503 or `<resource-constraint/>`.
    pub authorizations: usize,
    /// Those of one user who watches; beyond, the same.
    pub authorizations_per_user: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            enabled: true,
            refresh: 3600,
            rich: false,
            publish: false,
            probe_wait: Duration::from_secs(2),
            keep: Duration::from_secs(7 * 24 * 3600),
            dialogs_per_pair: 8,
            watchers_per_contact: 1000,
            resources: 32,
            authorizations: 2_000_000,
            authorizations_per_user: 1000,
        }
    }
}

/// What waits for a record to be on disk.
#[derive(Debug)]
enum Then {
    /// A SUBSCRIBE, new or a refresh, for its 200.
    Accept { pair: Fingerprint, usage: UsageId, server: ServerId },
    /// The watchers, for the news that they may see the contact.
    Tell { pair: Fingerprint },
    /// The SUBSCRIBE for a new authorization.
    Subscribe { pair: Fingerprint, stanza: Box<Stanza> },
    /// The first active NOTIFY, for its 200, and what follows from it.
    Granted { pair: Fingerprint, news: Box<subscription::News> },
    /// Nothing.
    Nothing,
}

/// A wish to save, until the shell says what became of it.
#[derive(Debug)]
struct Saving {
    then: Then,
    name: Name,
    key: Vec<u8>,
    /// Whether the disk has a record that must not stay there, should this fail: it is to be forgotten, or was to be before.
    forgets: bool,
    /// The CSeqs that the record reserves.
    ceilings: Vec<(UsageId, u32)>,
}

/// Names a record: who watches, and the pair.
type Name = (Direction, Fingerprint);

/// Something to look after later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A fetch has waited long enough for the probe.
    Fetch(Fingerprint),
    /// The XMPP server has not said whether a user has a presence session.
    Session(Fingerprint),
    /// A subscription that failed is tried again.
    Retry(Fingerprint),
    /// More of what has to be brought up to date.
    Resync,
    /// What a stream has lost for want of room is told again.
    Untold,
    /// The XMPP server has said nothing of a contact since the stream is back.
    Silence(Fingerprint),
    /// What could not be saved is tried again.
    Save,
}

/// How long until what could not be saved is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// The most records saved again at one time.
const SAVE_BATCH: usize = 256;

/// The mapping of RFC 8048.
#[derive(Debug)]
pub struct Presences {
    options: Options,
    epoch: Epoch,
    key: HashKey,
    watches: Table<Fingerprint, Box<Watch>>,
    subscriptions: Table<Fingerprint, Box<Subscription>>,
    /// How many authorizations each user has who watches.
    per_user: Table<Fingerprint, usize>,
    /// How many SIP users watch each XMPP user.
    per_contact: Table<Fingerprint, usize>,
    usages: Table<UsageId, Name>,
    /// The pairs with a dialog, in an order that does not depend on the table's.
    live: BTreeSet<Name>,
    /// The SUBSCRIBE outside of a dialog that the engine is looking at, with whom it is about.
    arriving: Option<Incoming>,
    saving: Table<SaveToken, Saving>,
    /// Records that are not on disk as they are in memory.
    unsaved: BTreeSet<Name>,
    /// Records to be forgotten that are still on disk, by their keys.
    unforgotten: BTreeSet<Vec<u8>>,
    forgetting: Table<SaveToken, Vec<u8>>,
    /// Whether [`Due::Save`] is set.
    save_again: bool,
    /// `subscribe` stanzas on their way.
    asking: Table<StanzaToken, Fingerprint>,
    /// Presence on its way.
    telling: Table<StanzaToken, Name>,
    sessions: session::Sessions,
    publishing: Publishing,
    resync: Resync,
    /// When a pair was polled last.
    polled: Recent<Fingerprint, Time>,
    timers: Timers<Due>,
}

impl Presences {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Presences {
        Presences {
            options: config.presence.clone(),
            epoch: Epoch(config.epoch),
            key,
            watches: Table::new(key),
            subscriptions: Table::new(key),
            per_user: Table::new(key),
            per_contact: Table::new(key),
            usages: Table::new(key),
            live: BTreeSet::new(),
            arriving: None,
            saving: Table::new(key),
            unsaved: BTreeSet::new(),
            unforgotten: BTreeSet::new(),
            forgetting: Table::new(key),
            save_again: false,
            asking: Table::new(key),
            telling: Table::new(key),
            sessions: session::Sessions::new(key),
            publishing: Publishing::new(config.presence.authorizations, key),
            resync: Resync::default(),
            polled: Recent::new(key, 65_536),
            timers: Timers::new(),
        }
    }

    /// The authorizations in both directions.
    pub fn authorizations(&self) -> usize {
        self.watches.len() + self.subscriptions.len()
    }

    fn pair(&self, sip: &Jid, xmpp: &Jid) -> Fingerprint {
        prints::pair(&self.key, sip, xmpp)
    }

    fn user(&self, jid: &Jid) -> Fingerprint {
        prints::user(&self.key, jid)
    }

    /// Whether `user` may have one authorization more.
    fn has_room(&self, user: &Jid) -> bool {
        let own = self.per_user.count(&self.user(user));
        self.authorizations() < self.options.authorizations && own < self.options.authorizations_per_user
    }

    /// Counts an authorization of `user`, who watches `contact` if that is of interest.
    fn count(&mut self, user: &Jid, contact: Option<&Jid>, up: bool) {
        let (user, contact) = (self.user(user), contact.map(|contact| self.user(contact)));
        let counts = [Some((&mut self.per_user, user)), contact.map(|contact| (&mut self.per_contact, contact))];
        for (table, key) in counts.into_iter().flatten() {
            if up {
                table.count_up(key);
            } else {
                table.count_down(&key);
            }
        }
    }

    /// Saves the record of `name` as it is now, or forgets it where there is nothing to keep; `then` goes on when that is done.
    fn save(&mut self, stage: &mut Stage<'_>, name: Name, then: Then) {
        let mut ceilings = Vec::new();
        let mut saved = |id: UsageId| {
            let usage = stage.subscriptions.snapshot(stage.now, id)?;
            let expires = self.epoch.seconds(stage.now + Duration::from_secs(usage.expires_in.into()));
            ceilings.push((id, usage.dialog.local_cseq()));
            Some(Saved { usage, expires })
        };
        let (key, value) = match name.0 {
            Direction::SipWatchesXmpp => match self.watches.get(&name.1) {
                Some(watch) => {
                    let record = watch.record(&mut saved);
                    if record.is_none() {
                        // No later process will know these dialogs, so their numbers are free.
                        watch.usages().for_each(|id| drop(saved(id)));
                    }
                    (watch.key(), record.map(|record| record.to_bytes()))
                }
                None => return,
            },
            Direction::XmppWatchesSip => match self.subscriptions.get(&name.1) {
                Some(subscription) => {
                    let record = subscription.record(&mut saved);
                    if record.is_none() {
                        subscription.usages().for_each(|id| drop(saved(id)));
                    }
                    (subscription.key(), record.map(|record| record.to_bytes()))
                }
                None => return,
            },
        };
        self.unsaved.remove(&name);
        let key = key.to_bytes();
        let forgets = self.unforgotten.remove(&key) || value.is_none();
        let token = stage.save(key.clone(), value);
        self.saving.insert(token, Saving { then, name, key, forgets, ceilings });
    }

    /// Forgets the record of a pair that is no more.
    fn forget(&mut self, stage: &mut Stage<'_>, key: &Key) {
        let key = key.to_bytes();
        self.unforgotten.insert(key.clone());
        let token = stage.save(key.clone(), None);
        self.forgetting.insert(token, key);
    }

    /// The shell has saved a record, or could not.
    fn settled(&mut self, stage: &mut Stage<'_>, saving: Saving, saved: bool) {
        if saved {
            for (usage, ceiling) in saving.ceilings {
                stage.events(|events, _| events.confirmed(usage, ceiling));
            }
        } else {
            if saving.forgets {
                self.unforgotten.insert(saving.key);
            }
            // Nothing, if the pair is no more.
            self.unsaved.insert(saving.name);
            self.save_later(stage.now);
        }
        match saving.then {
            Then::Nothing => {}
            Then::Accept { pair, usage, server } => self.accept(stage, pair, usage, server, saved),
            // The contact has approved, whatever the disk says; its own server remembers it.
            Then::Tell { pair } => self.tell_watchers(stage, pair),
            Then::Subscribe { pair, stanza } => self.subscribe_saved(stage, pair, &stanza, saved),
            Then::Granted { pair, news } => self.granted(stage, pair, &news, saved),
        }
    }

    fn save_later(&mut self, now: Time) {
        if !std::mem::replace(&mut self.save_again, true) {
            self.timers.set(now + SAVE_AGAIN, Due::Save);
        }
    }

    /// Tries again what could not be saved.
    fn save_unsaved(&mut self, stage: &mut Stage<'_>) {
        self.save_again = false;
        let names: Vec<Name> = self.unsaved.iter().take(SAVE_BATCH).copied().collect();
        for name in names {
            self.unsaved.remove(&name);
            self.save(stage, name, Then::Nothing);
        }
        let keys: Vec<Vec<u8>> = self.unforgotten.iter().take(SAVE_BATCH).cloned().collect();
        for key in keys {
            let token = stage.save(key.clone(), None);
            self.forgetting.insert(token, key);
        }
        if !self.unsaved.is_empty() || !self.unforgotten.is_empty() {
            self.save_later(stage.now);
        }
    }

    fn event_of_watch(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, event: &Event) {
        match *event {
            Event::Watch { id, server, kind, .. } => self.watch_again(stage, pair, id, server, kind),
            Event::Wanted { id, .. } => self.watch_wanted(stage, pair, id),
            Event::Lapsed { id, .. } => self.watch_lapsed(pair, id),
            Event::WatcherGone { id, .. } | Event::Ended { id, .. } => self.watch_ended(stage, pair, id),
            Event::Save { .. } => self.save(stage, (Direction::SipWatchesXmpp, pair), Then::Nothing),
            Event::Accepted { .. }
            | Event::Notify { .. }
            | Event::RefreshDue { .. }
            | Event::Refused { .. }
            | Event::Expired { .. } => {}
        }
    }

    fn event_of_subscription(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, event: Event) {
        match event {
            Event::Accepted { .. } => self.subscription_accepted(pair),
            Event::Notify { id, server, request, state, .. } => {
                self.notified(stage, pair, id, server, &request, state);
            }
            Event::RefreshDue { .. } => self.refresh_due(stage, pair),
            Event::Refused { id, cause, gone, .. } => self.subscription_refused(stage, pair, id, &cause, gone),
            Event::Expired { id, .. } | Event::Ended { id, .. } => self.subscription_over(stage, pair, id),
            Event::Save { .. } => self.save(stage, (Direction::XmppWatchesSip, pair), Then::Nothing),
            Event::Watch { .. } | Event::Wanted { .. } | Event::Lapsed { .. } | Event::WatcherGone { .. } => {}
        }
    }
}

impl Mapping for Presences {
    fn claims_request(&self, request: &Request) -> bool {
        self.options.enabled && matches!(request.method, Method::Subscribe | Method::Notify)
    }

    fn claims_stanza(&self, stanza: &Stanza, _: Way) -> bool {
        self.options.enabled && stanza.kind == Kind::Presence
    }

    fn reconfigure(&mut self, config: &Config) {
        self.options = config.presence.clone();
    }

    /// A SUBSCRIBE outside of a dialog; those within one go to the engine at once, which knows the dialog.
    fn request(&mut self, stage: &mut Stage<'_>, incoming: Incoming) {
        // A Contact is a SIP URI, whatever the Request-URI is (`pres:`, `tel:`).
        let uri = address::to_uri(&incoming.to, Scheme::Sip).map_or_else(|_| incoming.request.uri.clone(), Uri::Sip);
        let contact = sip::NameAddr::new(stage.contact(&uri, incoming.flow.transport));
        let (id, request, flow) = (incoming.id, incoming.request.clone(), incoming.flow);
        self.arriving = Some(incoming);
        stage.events(|events, ground| events.request(ground, id, request, flow, &contact));
    }

    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza) {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return };
        if to.local().is_none() {
            return self.gateway_presence(stage, link, &stanza);
        }
        let (sip, xmpp) = (to.bare(), from.bare());
        let pair = self.pair(&sip, &xmpp);
        match (stanza.type_.as_deref(), to.is_bare()) {
            // RFC 6121 §3.1.2 has a server make the addresses of these bare.
            (Some("subscribe"), _) => self.subscribe(stage, link, pair, &stanza),
            (Some("unsubscribe"), _) => self.unsubscribe(stage, pair, &sip, &xmpp),
            (Some("subscribed"), _) => self.contact_approved(stage, pair),
            (Some("unsubscribed"), _) => self.contact_refused(stage, pair),
            (Some("probe"), _) => self.probed(stage, link, pair, &stanza),
            (None | Some("unavailable"), true) => self.contact_presence(stage, pair, &stanza),
            // Directed at what its sender takes for a room or a chat.
            (None | Some("unavailable"), false) => stage.note(Note::Ignored { why: "presence to a resource" }),
            (Some(_), _) => stage.note(Note::Ignored { why: "presence of an unknown type" }),
        }
    }

    fn overheard(&mut self, stage: &mut Stage<'_>, stanza: &Stanza) {
        if let (Kind::Presence, None | Some("unavailable" | "unsubscribed")) = (stanza.kind, stanza.type_.as_deref()) {
            self.session_answer(stage, stanza);
        }
    }

    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool {
        let (Kind::Presence, Some(from), Some(to)) = (stanza.kind, &stanza.from, &stanza.to) else { return false };
        let pair = self.pair(&to.bare(), &from.bare());
        if to.local().is_none() && self.session_error(stage, from, error) {
            return true;
        }
        self.asking_failed(stage, pair, stanza.id.as_deref(), error)
    }

    /// Of a PUBLISH; the other requests are the engine's.
    fn outcome(&mut self, stage: &mut Stage<'_>, id: ClientId, outcome: Outcome) -> Option<Outcome> {
        self.publication_outcome(stage, id, outcome)
    }

    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool {
        if let Some(pair) = self.asking.remove(&token) {
            self.asked(pair, taken);
            return true;
        }
        let Some(name) = self.telling.remove(&token) else { return false };
        if !taken {
            self.untold(stage.now, name);
        }
        true
    }

    fn event(&mut self, stage: &mut Stage<'_>, event: Event) -> Option<Event> {
        let id = event.id();
        if event.package() != PACKAGE {
            return Some(event);
        }
        let dead = event.is_last();
        match (self.usages.get(&id).copied(), event) {
            (Some((Direction::SipWatchesXmpp, pair)), event) => self.event_of_watch(stage, pair, &event),
            (Some((Direction::XmppWatchesSip, pair)), event) => self.event_of_subscription(stage, pair, event),
            (None, Event::Watch { id, server, kind, .. }) => match self.arriving.take() {
                Some(incoming) if incoming.id == server => self.watch(stage, &incoming, id, kind),
                Some(_) | None => stage.refuse_watch(id, server, &Refusal::BadRequest("Unexpected SUBSCRIBE")),
            },
            // A fetch that ended, or what is dead here already.
            (None, Event::Wanted { id, .. }) => stage.events(|events, _| events.skip(id)),
            (None, Event::Notify { id, server, .. }) => {
                let refusal = Refusal::NoDialog.response();
                stage.events(|events, ground| events.answer_notify(ground, id, server, refusal));
            }
            (None, _) => {}
        }
        if dead {
            self.usages.remove(&id);
        }
        None
    }

    fn saved(&mut self, stage: &mut Stage<'_>, token: SaveToken, saved: bool) -> bool {
        if let Some(saving) = self.saving.remove(&token) {
            self.settled(stage, saving, saved);
            return true;
        }
        let Some(key) = self.forgetting.remove(&token) else { return false };
        if saved {
            self.unforgotten.remove(&key);
        } else {
            self.save_later(stage.now);
        }
        true
    }

    fn restore(&mut self, stage: &mut Stage<'_>, key: &Key, value: &[u8]) -> Option<Result<(), Broken>> {
        Some(match key.about {
            About::Chat(_) | About::Participant(_) | About::Occupant(_) | About::Call(_) => return None,
            About::Linked | About::Account | About::Contacts | About::Trunk(_) => return None,
            About::Presence(Direction::SipWatchesXmpp) => {
                record::Watch::parse(value).map(|record| self.restore_watch(stage, key, &record))
            }
            About::Presence(Direction::XmppWatchesSip) => {
                record::Subscription::parse(value).map(|record| self.restore_subscription(stage, key, record))
            }
        })
    }

    fn link_up(&mut self, stage: &mut Stage<'_>, link: LinkId) {
        self.resync_link(stage, link);
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        while let Some((_, due)) = self.timers.pop(stage.now) {
            match due {
                Due::Fetch(pair) => self.fetch_due(stage, pair),
                Due::Session(user) => self.session_due(stage, user),
                Due::Retry(pair) => self.retry_due(stage, pair),
                Due::Resync => self.resync_some(stage),
                Due::Untold => self.tell_untold(stage),
                Due::Silence(pair) => self.silence_due(stage, pair),
                Due::Save => self.save_unsaved(stage),
            }
        }
        self.publications_due(stage);
    }

    fn deadline(&self) -> Option<Time> {
        [self.timers.next(), self.publishing.deadline()].into_iter().flatten().min()
    }
}
