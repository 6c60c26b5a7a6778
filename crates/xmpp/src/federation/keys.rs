//! Dialback's third party (XEP-0220 §2.1): keys that came by one stream are shown to the domain's own server over another one.

use super::machine::Federation;
use super::remote::{Key, Remote};
use super::{ConnectionId, Undelivered};
use crate::stream::s2s::{DialbackCondition, Pair, Verdict, Verification};
use base::{Str, Time};

/// Keys that wait for the server of one domain.
const MOST_KEYS: usize = 64;

impl Federation {
    /// A key has come: it is shown over a stream that is there, or one is looked for.
    pub(super) fn verify(&mut self, now: Time, asker: ConnectionId, verification: Verification) {
        let pair = verification.pair.clone();
        let key = Key { verification, asker };
        let known = self.remotes.get(&pair.remote);
        let many = known.is_none() && self.remotes.len() >= self.config.max_remotes;
        if many || known.is_some_and(|remote| remote.keys.len() >= MOST_KEYS) || self.stopping {
            return self.tell(now, &key, Verdict::Error(DialbackCondition::ResourceConstraint));
        }
        // Whoever speaks may well be there, but nobody makes us knock at a door all the time by naming it.
        let failing = self.failing.get(&pair).filter(|failing| failing.since + self.config.retry_min > now);
        if let Some(failing) = failing {
            let verdict = Verdict::Error(condition(failing.why));
            return self.tell(now, &key, verdict);
        }
        self.remotes.or_insert_with(pair.remote.clone(), Remote::default).keys.push_back(key);
        self.keys_again(now, &pair.remote);
    }

    /// Keys can be shown on a stream.
    pub(super) fn can_verify(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.can_verify = true;
        let super::connection::Origin::Ours { pair, .. } = &connection.origin else { return };
        let (domain, keys_only) = (pair.remote.clone(), connection.keys_only);
        self.register(id, &domain);
        // A stream that is for keys alone is as far as it gets; one for stanzas is still to be proved.
        if keys_only
            && self.is_searched_by(&domain, id)
            && let Some(remote) = self.remotes.get_mut(&domain)
        {
            remote.search = None;
        }
        self.look_again(now, &domain);
    }

    /// Shows the keys that wait for a domain's server, or looks for it.
    pub(super) fn keys_again(&mut self, now: Time, domain: &str) {
        loop {
            let Some(remote) = self.remotes.get_mut(domain) else { return };
            let Some(key) = remote.keys.pop_front() else { return };
            // Whoever has asked may have gone.
            if self.connections.get(&key.asker).is_none_or(|asker| asker.down) {
                continue;
            }
            let can = |id: &ConnectionId| self.connections.get(id).is_some_and(|c| c.can_verify && !c.down);
            let able: Vec<ConnectionId> = remote.streams.iter().filter(|id| can(id)).copied().collect();
            if able.is_empty() {
                let pair = key.verification.pair.clone();
                remote.keys.push_front(key);
                return self.search(&pair);
            }
            let shown = able.into_iter().any(|id| {
                self.use_now(now, id);
                self.on(id, |stream| stream.verify(now, &key.verification)).is_some_and(|shown| shown.is_ok())
            });
            if !shown {
                // Too many are under way, or the stream is about something else: it says so when it goes on.
                if let Some(remote) = self.remotes.get_mut(domain) {
                    remote.keys.push_front(key);
                }
                return;
            }
            let Verification { pair, id, .. } = key.verification;
            self.askers.insert((id, pair), key.asker);
        }
    }

    /// What the domain's own server says of a key.
    pub(super) fn verified(&mut self, now: Time, stream: Str, pair: Pair, verdict: Verdict) {
        let question = (stream, pair);
        let asker = self.askers.remove(&question);
        let (_, pair) = question;
        if let Some(asker) = asker {
            let verdict = match verdict {
                Verdict::Valid if !self.has_room_for(asker, &pair.remote) => {
                    Verdict::Error(DialbackCondition::ResourceConstraint)
                }
                other => other,
            };
            self.on(asker, |stream| stream.verified(now, &pair, verdict));
        }
        self.keys_again(now, &pair.remote);
    }

    /// There is nobody to show the keys to that wait for a domain.
    pub(super) fn no_verdict(&mut self, now: Time, domain: &str, why: Undelivered) {
        let keys = self.remotes.get_mut(domain).map(|remote| std::mem::take(&mut remote.keys));
        for key in keys.into_iter().flatten() {
            self.tell(now, &key, Verdict::Error(condition(why)));
        }
    }

    fn tell(&mut self, now: Time, key: &Key, verdict: Verdict) {
        self.on(key.asker, |stream| stream.verified(now, &key.verification.pair, verdict));
    }
}

/// What the one who has sent a key is told of those to whom it could not be shown (XEP-0220 §2.5).
fn condition(why: Undelivered) -> DialbackCondition {
    match why {
        Undelivered::Denied => DialbackCondition::PolicyViolation,
        Undelivered::Own | Undelivered::NotFound => DialbackCondition::RemoteServerNotFound,
        Undelivered::Unreachable => DialbackCondition::RemoteConnectionFailed,
        Undelivered::Unproven => DialbackCondition::NotAcceptable,
        Undelivered::TooLate | Undelivered::Unknown => DialbackCondition::RemoteServerTimeout,
        Undelivered::Full => DialbackCondition::ResourceConstraint,
    }
}
