//! What a contact, or its server, says to the SIP users who watch it: RFC 8048 §5.3.1, §6.2.

use super::{End, Gone, Known, Phase, REST_OF_ANSWER, State, name};
use crate::gateway::Note;
use crate::mapping::Stage;
use crate::presence::x2s::{self, Departing};
use crate::presence::{Due, Presences, Then};
use base::Fingerprint;
use sip::subscription::Change;
use xmpp::error::{Condition, StanzaError};
use xmpp::stanza::Stanza;

impl Presences {
    /// The contact has approved (§5.3.1, F31).
    pub(in crate::presence) fn contact_approved(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        match self.watches.get_mut(&pair) {
            Some(watch) if watch.state == State::Asked => {
                (watch.state, watch.untold) = (State::Granted, true);
                let watched = !watch.watchers.is_empty();
                self.save(stage, name(pair), Then::Tell { pair });
                if watched {
                    self.probe(stage, pair);
                }
            }
            // Nobody asked (THREATS 45), or it is known.
            Some(_) | None => stage.note(Note::Ignored { why: "subscribed without a request" }),
        }
    }

    /// All watchers are told what the state of their subscription is now.
    pub(in crate::presence) fn tell_watchers(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(watch) = self.watches.get_mut(&pair) else { return };
        watch.untold = false;
        for watcher in &watch.watchers {
            stage.events(|events, _| events.touch(watcher.usage, Change::State));
        }
    }

    /// The contact does not approve, or not any more (§5.3.1, example 15). The server says the same to a probe.
    pub(in crate::presence) fn contact_refused(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        if let Some(watch) = self.watches.get_mut(&pair)
            && std::mem::take(&mut watch.polled)
            && watch.state == State::Asked
        {
            return self.fetched(stage, pair);
        }
        self.end_watch(stage, pair, End::Rejected);
    }

    fn end_watch(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, end: End) {
        let Some(watch) = self.watches.get_mut(&pair) else {
            return stage.note(Note::Ignored { why: "unsubscribed without a request" });
        };
        let authorized = watch.state != State::Neutral;
        watch.state = State::Neutral;
        watch.forget();
        for watcher in watch.watchers.iter_mut().filter(|watcher| watcher.phase == Phase::Live) {
            watcher.phase = Phase::Ending(end);
            stage.events(|events, _| events.close(watcher.usage));
        }
        let key = watch.key();
        if authorized {
            self.unsaved.remove(&name(pair));
            self.forget(stage, &key);
        }
        self.tell_watchers(stage, pair);
        self.fetched(stage, pair);
        self.publish(stage, pair);
        self.tidy_watch(pair);
    }

    /// An error came back for a request: whether it was ours. What can never succeed ends it, all else leaves it pending.
    pub(in crate::presence) fn asking_failed(
        &mut self,
        stage: &mut Stage<'_>,
        pair: Fingerprint,
        id: Option<&str>,
        error: &StanzaError,
    ) -> bool {
        let Some(watch) = self.watches.get_mut(&pair) else { return false };
        if watch.state != State::Asked || id != Some(watch.request.as_str()) {
            return false;
        }
        match error.condition {
            Condition::ItemNotFound | Condition::Gone | Condition::RemoteServerNotFound | Condition::JidMalformed => {
                self.end_watch(stage, pair, End::NoResource);
            }
            Condition::Forbidden | Condition::NotAllowed | Condition::PolicyViolation => {
                self.end_watch(stage, pair, End::Rejected);
            }
            // With the next SUBSCRIBE it is tried again.
            _ => watch.asked = None,
        }
        true
    }

    /// Presence of the contact: §6.2.
    pub(in crate::presence) fn contact_presence(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, stanza: &Stanza) {
        let times = self.times(stage, pair);
        let of_interest = self.subscriptions.get(&pair).is_some_and(|subscription| subscription.is_live());
        let published = self.options.publish;
        let known = self.watches.get_mut(&pair).filter(|watch| match watch.state {
            State::Granted => {
                of_interest
                    || published && watch.is_published()
                    || !watch.watchers.is_empty()
                    || !watch.fetches.is_empty()
            }
            State::Neutral => !watch.fetches.is_empty(),
            State::Asked => false,
        });
        let Some(watch) = known else {
            if let Some(watch) = self.watches.get_mut(&pair) {
                watch.forget();
            }
            return stage.note(Note::Ignored { why: "presence that nobody watches" });
        };
        let departing = x2s::read(stanza);
        if departing == Departing::Nothing {
            return stage.note(Note::Ignored { why: "presence of a room" });
        }
        let mut changed = watch.known != Known::Since(times);
        if changed {
            watch.known = Known::Since(times);
            watch.resources.clear();
            watch.gone = None;
        }
        let room = watch.resources.len() < self.options.resources;
        match departing {
            Departing::Available(resource) => {
                match watch.resources.iter_mut().find(|known| known.name == resource.name) {
                    Some(known) if *known == resource => {}
                    Some(known) => {
                        *known = resource;
                        changed = true;
                    }
                    None if room => {
                        watch.resources.push(resource);
                        changed = true;
                    }
                    None => stage.note(Note::Ignored { why: "too many resources" }),
                }
            }
            Departing::Unavailable { resource, statuses } => {
                let before = watch.resources.len();
                // From the bare address it speaks for all of them.
                watch.resources.retain(|known| resource.is_some() && known.name != resource);
                changed |= watch.resources.len() != before;
                watch.gone = Some(Box::new(Gone { resource, statuses }));
            }
            Departing::Nothing => {}
        }
        if changed && !watch.untold {
            for watcher in watch.watchers.iter().filter(|watcher| watcher.phase == Phase::Live) {
                stage.events(|events, _| events.touch(watcher.usage, Change::Content));
            }
        }
        let soon = stage.now + REST_OF_ANSWER;
        let waits = watch.fetches.iter_mut().filter(|fetch| fetch.until > soon);
        if waits.map(|fetch| fetch.until = soon).count() > 0 {
            self.timers.set(soon, Due::Fetch(pair));
        }
        if changed {
            self.publish(stage, pair);
        }
        self.session_seen(stage, pair);
    }

    /// The server has said nothing of a contact since it is back. So does Prosody 0.12 of a contact who took the approval back while the stream
    /// was down, and every server of one who blocks the watcher (XEP-0191 §3.4): what was true before must not be shown for ever.
    pub(in crate::presence) fn silence_due(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        if self.is_fresh(stage, pair) {
            return;
        }
        let Some(watch) = self.watches.get_mut(&pair).filter(|watch| watch.state == State::Granted) else { return };
        if !stage.link_of(watch.sip.domain()).is_some_and(|link| stage.links.is_up(link)) {
            return;
        }
        watch.forget();
        watch.known = Known::Silent;
        for watcher in watch.watchers.iter().filter(|watcher| watcher.phase == Phase::Live) {
            stage.events(|events, _| events.touch(watcher.usage, Change::Content));
        }
        self.publish(stage, pair);
    }
}
