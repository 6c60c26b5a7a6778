//! The SIP side's presence agent as one more watcher of an XMPP user, which is told by PUBLISH (RFC 3903) in place of NOTIFY.
//!
//! Two must want it: the operator ([`crate::presence::Options::publish`]), and the user, who subscribes to the presence of the gateway itself
//! and then lets the gateway see its own. That authorization is a [`super::Watch`] like others, of the gateway's bare domain, with a record
//! like others: after a crash nobody is asked again, and what is true then is published anew while the old publication expires.
//!
//! Nothing of this is ever told to the user: whether there is a presence agent, and what it says, is between the operators.

use super::{State, Watch, name};
use crate::address::{self, Scheme};
use crate::mapping::{Outcome, Stage};
use crate::presence::{ACCEPT, PACKAGE, Presences, Then};
use base::{Fingerprint, HashKey, Str, Table, Time};
use sip::Uri;
use sip::agent::ClientId;
use sip::agent::Hop;
use sip::publication::{self, Event, Ground, PublicationId, Publications, Way};
use sip::subscription::Body;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// A user whose presence is published, or will be when it has agreed. A user who sees the gateway by several of its domains is published
/// by the first.
#[derive(Debug)]
struct Published {
    pair: Fingerprint,
    /// There is none while the user has no presence session.
    publication: Option<PublicationId>,
}

/// All publications.
#[derive(Debug)]
pub(in crate::presence) struct Publishing {
    engine: Publications,
    users: Table<Fingerprint, Published>,
    /// The user of each publication. One that is being removed may be of a user who has a new one.
    publications: Table<PublicationId, Fingerprint>,
}

impl Publishing {
    /// None yet, and so many at most; `key` is secret.
    pub(in crate::presence) fn new(max: usize, key: HashKey) -> Publishing {
        Publishing {
            engine: Publications::new(publication::Config { max, ..publication::Config::default() }, key),
            users: Table::new(key),
            publications: Table::new(key),
        }
    }

    pub(in crate::presence) fn deadline(&self) -> Option<Time> {
        self.engine.deadline()
    }
}

impl Watch {
    /// Whether it is the gateway itself that watches.
    pub(in crate::presence) fn is_published(&self) -> bool {
        self.sip.local().is_none()
    }
}

impl Presences {
    /// The publications' counts.
    pub(crate) fn publication_counts(&self) -> publication::Counts {
        self.publishing.engine.counts()
    }

    /// A user sees the gateway's presence from now on: it is asked for its own.
    pub(in crate::presence) fn ask_to_publish(&mut self, stage: &mut Stage<'_>, gateway: &Jid, user: &Jid) {
        let (pair, known) = (self.pair(gateway, user), self.user(user));
        // The presence agent is that of the users whom SIP reaches here.
        let ours = user.local().is_some() && stage.config.xmpp_domains.iter().any(|domain| domain == user.domain());
        if !self.options.publish || !ours || address::to_uri(&user.bare(), Scheme::Sip).is_err() {
            return;
        }
        if !self.publishing.users.contains(&known) {
            if self.authorizations() >= self.options.authorizations {
                return;
            }
            let mut watch = Watch::new(gateway.clone(), user.bare());
            watch.state = State::Asked;
            self.count(gateway, Some(user), true);
            self.watches.insert(pair, Box::new(watch));
            self.begin_publishing(pair, known);
            self.save(stage, name(pair), Then::Nothing);
        }
        if self.watches.get(&pair).is_some_and(|watch| watch.state == State::Asked) {
            self.ask(stage, pair);
        }
    }

    /// A pair of the gateway's own, new or from the store.
    pub(super) fn begin_publishing(&mut self, pair: Fingerprint, user: Fingerprint) {
        self.publishing.users.insert(user, Published { pair, publication: None });
        self.live.insert(name(pair));
    }

    /// A user does not want to see the gateway's presence any more: neither is its own seen then.
    pub(in crate::presence) fn stop_publishing(&mut self, stage: &mut Stage<'_>, gateway: &Jid, user: &Jid) {
        let pair = self.pair(gateway, user);
        let Some(watch) = self.watches.get(&pair) else { return };
        if let Some(link) = stage.link_of(gateway.domain()) {
            stage.answer(link, &watch.stanza("unsubscribe"));
        }
        self.contact_refused(stage, pair);
    }

    /// What a user, or its server, says to the gateway itself, which any shard may have asked; this one owns the pair.
    pub(in crate::presence) fn user_says(&mut self, stage: &mut Stage<'_>, gateway: &Jid, stanza: &Stanza) {
        let Some(user) = &stanza.from else { return };
        let pair = self.pair(gateway, user);
        let Some(state) = self.watches.get(&pair).map(|watch| watch.state) else { return };
        match stanza.type_.as_deref() {
            Some("subscribed") => {
                self.live.insert(name(pair));
                self.contact_approved(stage, pair);
            }
            Some("unsubscribed") if state == State::Asked => self.doubt(stage, pair),
            Some("unsubscribed") => self.contact_refused(stage, pair),
            None | Some("unavailable") if state == State::Granted => self.contact_presence(stage, pair, stanza),
            Some(_) | None => {}
        }
    }

    /// The user has refused, or its server has answered a probe of another shard's, of whoever the user has not approved yet (RFC 6121
    /// §4.3.2). The user is not asked again, and may still approve.
    fn doubt(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(watch) = self.watches.get_mut(&pair) else { return };
        watch.asked = None;
        let key = watch.key();
        self.live.remove(&name(pair));
        self.unsaved.remove(&name(pair));
        self.forget(stage, &key);
    }

    /// What is known of a contact has changed, or may not be known any more.
    pub(super) fn publish(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(watch) = self.watches.get(&pair).filter(|watch| watch.is_published()) else { return };
        let user = self.user(&watch.xmpp);
        let (over, there) = (watch.state == State::Neutral, !watch.resources.is_empty());
        let address = address::to_uri(&watch.xmpp, Scheme::Sip).ok();
        let Some(published) = self.publishing.users.get_mut(&user).filter(|published| published.pair == pair) else {
            return;
        };
        let mut ground = ground(stage);
        match (published.publication, there, address) {
            (Some(id), true, _) => self.publishing.engine.touch(&mut ground, id),
            (Some(id), false, _) => {
                published.publication = None;
                self.publishing.engine.close(&mut ground, id);
            }
            (None, true, Some(address)) => {
                let engine = &mut self.publishing.engine;
                let opened = engine.open(&mut ground, PACKAGE, Uri::Sip(address), self.options.refresh);
                if let Some(id) = opened {
                    published.publication = opened;
                    self.publishing.publications.insert(id, user);
                    self.publishing.engine.touch(&mut ground, id);
                }
            }
            (None, ..) => {}
        }
        if over {
            self.publishing.users.remove(&user);
        }
        self.publications_say(stage);
    }

    /// Lets pass what is due.
    pub(in crate::presence) fn publications_due(&mut self, stage: &mut Stage<'_>) {
        self.publishing.engine.timeout(&mut ground(stage));
        self.publications_say(stage);
    }

    /// How a request ended. What is none of the publications' comes back.
    pub(in crate::presence) fn publication_outcome(
        &mut self,
        stage: &mut Stage<'_>,
        id: ClientId,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let engine = &mut self.publishing.engine;
        let ours = match &outcome {
            Outcome::Response(response) => engine.response(&mut ground(stage), id, response),
            Outcome::Failed(_) => engine.failed(&mut ground(stage), id),
        };
        self.publications_say(stage);
        (!ours).then_some(outcome)
    }

    fn publications_say(&mut self, stage: &mut Stage<'_>) {
        while let Some(event) = self.publishing.engine.poll() {
            match event {
                Event::Wanted { id } => match self.document_of(stage, id) {
                    Some((document, language)) => {
                        let body = Body {
                            content_type: ACCEPT,
                            language: language.as_deref(),
                            content: document.to_bytes().into(),
                        };
                        self.publishing.engine.publish(&mut ground(stage), id, body);
                    }
                    None => self.publishing.engine.skip(&mut ground(stage), id),
                },
                Event::RefreshDue { id } => {
                    if self.document_of(stage, id).is_some() {
                        self.publishing.engine.refresh(&mut ground(stage), id);
                    }
                }
                Event::Ended { id } => drop(self.publishing.publications.remove(&id)),
            }
        }
    }

    /// What is true of a user now; nothing while the stream is down, or the server has not said again what is true since it is back: what
    /// nobody vouches for expires.
    fn document_of(&self, stage: &Stage<'_>, id: PublicationId) -> Option<(bodies::pidf::Pidf, Option<Str>)> {
        let user = self.publishing.publications.get(&id)?;
        let published = self.publishing.users.get(user).filter(|published| published.publication == Some(id))?;
        let watch = self.watches.get(&published.pair)?;
        let up = stage.link_of(watch.sip.domain()).is_some_and(|link| stage.links.is_up(link));
        (up && self.is_fresh(stage, published.pair)).then(|| watch.document())
    }
}

/// What the engine acts with: everything goes to the outbound proxy.
fn ground<'a>(stage: &'a mut Stage<'_>) -> Ground<'a> {
    let way = stage.config.proxy.as_ref();
    let way = way.map(|proxy| Way { hop: Hop::Target(proxy.target.clone()), route: proxy.route.clone() });
    Ground { now: stage.now, agent: stage.sip, way, tokens: stage.tokens }
}
