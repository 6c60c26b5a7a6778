//! Server dialback (XEP-0220): pairs proved by keys, in both directions; keys verified for others, and by them.

use super::pairs::{Inward, Outward, Question};
use super::{Role, State, Stream};
use crate::error::StreamCondition;
use crate::stream::s2s::element::{Dialback, DialbackKind, Says};
use crate::stream::s2s::{
    Certificate, DialbackCondition, Fault, Output, Pair, Proof, SendError, Verdict, Verification,
};
use base::{Str, Time};
use xml::Element;

/// How many pairs somebody may ask for who has proved none.
const UNPROVEN_PAIRS: usize = 4;

impl Stream {
    /// See [`Stream::prove`].
    pub(super) fn prove_pair(&mut self, now: Time, pair: &Pair) -> Result<(), SendError> {
        if self.state != State::Negotiated || self.id.is_empty() {
            return Err(SendError::Down);
        }
        if self.can_use_certificate(pair) && self.pairs.questions.is_empty() {
            // A stream for keys is to carry stanzas after all.
            self.authenticate(now, pair);
            return Ok(());
        }
        self.prove_by_dialback(now, pair)
    }

    /// The same with a key.
    pub(super) fn prove_by_dialback(&mut self, now: Time, pair: &Pair) -> Result<(), SendError> {
        let may = match self.role {
            Role::Initiating(_) => true,
            // XEP-0288 §2.2: to domains that the other side has proved.
            Role::Receiving => self.bidi && self.pairs.accepts_some(|p| p.remote == pair.remote),
        };
        if !may || !self.config.serves(&pair.local) || !self.config.policy(&pair.remote).allow {
            return Err(SendError::NotProved);
        }
        let entry = self.pairs.enter(pair, self.config.max_pairs).ok_or(SendError::Full)?;
        if entry.outward == Outward::Idle {
            entry.outward = Outward::Judging;
            self.ask(now, pair);
        }
        Ok(())
    }

    /// Sends our key for a pair, once it is known what their certificate is worth for it, if it is worth enough.
    fn ask(&mut self, now: Time, pair: &Pair) {
        let Some(certificate) = self.certificate(&pair.remote) else { return };
        let policy = self.config.policy(&pair.remote);
        // Where both directions are carried, whoever says that we may send could send himself: for other domains than the one that was
        // looked up, that wants a certificate.
        let is_called = !self.bidi || !self.is_initiating() || self.remote.as_ref() == Some(&pair.remote);
        let is_enough = certificate == Certificate::Valid
            || (policy.dialback && !policy.require_certificate && (self.secured || !policy.require_tls) && is_called);
        let Some(entry) = self.pairs.get_mut(pair) else { return };
        if !is_enough {
            entry.outward = Outward::Idle;
            self.forget(pair);
            let verdict = Verdict::Error(DialbackCondition::NotAuthorized);
            return self.out.push_back(Output::Refused { pair: pair.clone(), verdict });
        }
        entry.outward = Outward::Asked { until: now + self.config.dialback_timeout };
        let key = Str::from(self.config.secret.prove(pair, &self.id));
        self.say(now, DialbackKind::Result, pair, None, Says::Key(key));
    }

    /// See [`Stream::verify`].
    pub(super) fn verify_key(&mut self, now: Time, v: &Verification) -> Result<(), SendError> {
        let Role::Initiating(_) = self.role else { return Err(SendError::NotProved) };
        if self.state != State::Negotiated {
            return Err(SendError::Down);
        }
        if self.pairs.questions.len() >= self.config.max_verifications {
            return Err(SendError::Full);
        }
        let until = now + self.config.dialback_timeout;
        self.pairs.questions.push(Question { pair: v.pair.clone(), id: v.id.clone(), until });
        self.say(now, DialbackKind::Verify, &v.pair, Some(v.id.clone()), Says::Key(v.key.clone()));
        Ok(())
    }

    /// An element in [`crate::ns::DIALBACK`].
    pub(super) fn dialback_element(&mut self, now: Time, e: &Element) {
        if !matches!(self.state, State::Negotiated | State::Draining { .. } | State::Closing { .. }) {
            return self.fail(now, StreamCondition::NotAuthorized, "dialback out of turn");
        }
        let Some(Dialback { kind, pair, id, says }) = Dialback::parse(e) else {
            return self.out.push_back(Output::Fault(Fault::BadDialback));
        };
        // XEP-0220 §2.2: requests go in the direction of the stream, unless it has both.
        let may_ask = self.role == Role::Receiving || self.bidi;
        match (kind, says) {
            (DialbackKind::Result | DialbackKind::Verify, Says::Key(_))
                if !may_ask || self.state != State::Negotiated =>
            {
                self.out.push_back(Output::Fault(Fault::UnsolicitedDialback));
            }
            (DialbackKind::Result, Says::Key(key)) => self.asked(now, &pair, key),
            (DialbackKind::Verify, Says::Key(key)) => self.serve(now, &pair, id.unwrap_or_default(), &key),
            (DialbackKind::Result, Says::Verdict(verdict)) => self.told(now, &pair, verdict),
            (DialbackKind::Verify, Says::Verdict(verdict)) => {
                self.question_answered(&pair, &id.unwrap_or_default(), verdict);
            }
        }
    }

    /// They ask to send for a pair (XEP-0220 §2.2.1).
    fn asked(&mut self, now: Time, pair: &Pair, key: Str) {
        if let Some(condition) = self.refusal(pair) {
            return self.refuse_pair(now, pair, Verdict::Error(condition));
        }
        let max = self.config.max_pairs;
        let waiting = |inward: &Inward| matches!(inward, Inward::Judging { .. } | Inward::Verifying { .. });
        let under_way = self.pairs.iter().filter(|(_, e)| waiting(&e.inward)).count();
        let is_known = self.pairs.get(pair).is_some_and(|e| e.inward != Inward::Idle);
        let may = if self.proven { self.config.max_verifications } else { UNPROVEN_PAIRS };
        if under_way >= may && !is_known {
            return self.refuse_pair(now, pair, Verdict::Error(DialbackCondition::ResourceConstraint));
        }
        let Some(entry) = self.pairs.enter(pair, max) else {
            return self.refuse_pair(now, pair, Verdict::Error(DialbackCondition::ResourceConstraint));
        };
        match entry.inward {
            Inward::Idle => {
                entry.inward = Inward::Judging { key };
                self.decide(now, pair);
            }
            Inward::Accepted(_) => self.say(now, DialbackKind::Result, pair, None, Says::Verdict(Verdict::Valid)),
            // The first key counts.
            Inward::Judging { .. } | Inward::Verifying { .. } => {}
        }
    }

    /// Why they may not even try to prove a pair.
    fn refusal(&self, pair: &Pair) -> Option<DialbackCondition> {
        let policy = self.config.policy(&pair.remote);
        if !self.config.serves(&pair.local) {
            Some(DialbackCondition::ItemNotFound)
        } else if self.config.serves(&pair.remote) {
            Some(DialbackCondition::NotAcceptable)
        } else if !policy.allow || (policy.require_tls && !self.secured) {
            Some(DialbackCondition::PolicyViolation)
        } else {
            None
        }
    }

    /// Whether they may send for a pair is by their certificate to say, or by their key.
    fn decide(&mut self, now: Time, pair: &Pair) {
        let Some(certificate) = self.certificate(&pair.remote) else { return };
        let policy = self.config.policy(&pair.remote);
        if certificate == Certificate::Valid {
            self.say(now, DialbackKind::Result, pair, None, Says::Verdict(Verdict::Valid));
            return self.accept(now, pair, Proof::Certificate);
        }
        if policy.require_certificate || !policy.dialback {
            return self.refuse_pair(now, pair, Verdict::Error(DialbackCondition::NotAuthorized));
        }
        let until = now + self.config.dialback_timeout;
        let Some(entry) = self.pairs.get_mut(pair) else { return };
        if let Inward::Judging { key } = std::mem::replace(&mut entry.inward, Inward::Verifying { until }) {
            self.out.push_back(Output::Verify(Verification { pair: pair.clone(), id: self.id.clone(), key }));
        }
    }

    /// It is known what their certificate is worth for a domain.
    pub(super) fn judged_pairs(&mut self, now: Time, domain: &str) {
        let ours = self.pairs.matching(|p, e| p.remote == domain && e.outward == Outward::Judging);
        ours.iter().for_each(|pair| self.ask(now, pair));
        let theirs = self.pairs.matching(|p, e| p.remote == domain && matches!(e.inward, Inward::Judging { .. }));
        theirs.iter().for_each(|pair| self.decide(now, pair));
    }

    /// See [`Stream::verified`].
    pub(super) fn key_verified(&mut self, now: Time, pair: &Pair, verdict: Verdict) {
        if !matches!(self.state, State::Negotiated | State::Draining { .. }) {
            return;
        }
        match self.pairs.get(pair).map(|e| &e.inward) {
            Some(Inward::Verifying { .. }) => {}
            Some(Inward::Idle | Inward::Judging { .. } | Inward::Accepted(_)) | None => return,
        }
        match verdict {
            Verdict::Valid => {
                self.say(now, DialbackKind::Result, pair, None, Says::Verdict(Verdict::Valid));
                self.accept(now, pair, Proof::Dialback);
            }
            // XEP-0220 §2.2.1: who lies about the only pair is shown out; what others have proved is let be.
            Verdict::Invalid if self.proven => {
                self.refuse_pair(now, pair, Verdict::Error(DialbackCondition::Forbidden));
            }
            Verdict::Invalid => {
                self.refuse_pair(now, pair, Verdict::Invalid);
                self.fail(now, StreamCondition::NotAuthorized, "wrong dialback key");
            }
            Verdict::Error(_) => self.refuse_pair(now, pair, verdict),
        }
    }

    /// Forgets a pair that nobody asks for any more, and what is said of the certificate for a domain that is in none: a stranger to
    /// every domain may ask for one after the other.
    fn forget(&mut self, pair: &Pair) {
        self.pairs.tidy(pair);
        let is_wanted =
            self.remote.as_ref() == Some(&pair.remote) || self.pairs.iter().any(|(p, _)| p.remote == pair.remote);
        if !is_wanted {
            self.verdicts.remove(&pair.remote);
        }
    }

    fn refuse_pair(&mut self, now: Time, pair: &Pair, verdict: Verdict) {
        if let Some(entry) = self.pairs.get_mut(pair)
            && !matches!(entry.inward, Inward::Accepted(_))
        {
            entry.inward = Inward::Idle;
        }
        self.forget(pair);
        self.out.push_back(Output::Fault(Fault::DialbackRefused(pair.clone(), verdict.clone())));
        self.say(now, DialbackKind::Result, pair, None, Says::Verdict(verdict));
    }

    /// They verify a key of ours (XEP-0220 §2.2.2). No state is needed: the key says whether we made it.
    fn serve(&mut self, now: Time, pair: &Pair, id: Str, key: &str) {
        let verdict = match self.refusal(pair) {
            Some(condition) => Verdict::Error(condition),
            None if self.config.secret.proves(pair, &id, key) => Verdict::Valid,
            None => Verdict::Invalid,
        };
        self.served += 1;
        self.say(now, DialbackKind::Verify, pair, Some(id), Says::Verdict(verdict));
    }

    /// They say whether we may send for a pair (XEP-0220 §2.1.1), which has to be one that we have asked for here (§3.1).
    fn told(&mut self, now: Time, pair: &Pair, verdict: Verdict) {
        match self.pairs.get_mut(pair) {
            Some(entry) if matches!(entry.outward, Outward::Asked { .. }) => entry.outward = Outward::Idle,
            Some(_) | None => return self.out.push_back(Output::Fault(Fault::UnsolicitedDialback)),
        }
        if verdict == Verdict::Valid {
            return self.ready(now, pair, Proof::Dialback);
        }
        self.forget(pair);
        self.out.push_back(Output::Refused { pair: pair.clone(), verdict });
    }

    /// They say whether a key is theirs, which has to be one that we have asked about here (XEP-0220 §3.1).
    fn question_answered(&mut self, pair: &Pair, id: &str, verdict: Verdict) {
        let Some(at) = self.pairs.questions.iter().position(|q| q.pair == *pair && q.id == id) else {
            return self.out.push_back(Output::Fault(Fault::UnsolicitedDialback));
        };
        let Question { pair, id, .. } = self.pairs.questions.remove(at);
        self.out.push_back(Output::Verified { pair, id, verdict });
    }

    /// Keys that nobody has said anything of for too long.
    pub(super) fn expire_keys(&mut self, now: Time) {
        let silence = || Verdict::Error(DialbackCondition::RemoteServerTimeout);
        while let Some(at) = self.pairs.questions.iter().position(|q| q.until <= now) {
            let Question { pair, id, .. } = self.pairs.questions.remove(at);
            self.out.push_back(Output::Verified { pair, id, verdict: silence() });
        }
        for pair in self.pairs.matching(|_, e| matches!(e.outward, Outward::Asked { until } if until <= now)) {
            if let Some(entry) = self.pairs.get_mut(&pair) {
                entry.outward = Outward::Idle;
            }
            self.forget(&pair);
            self.out.push_back(Output::Refused { pair, verdict: silence() });
        }
        for pair in self.pairs.matching(|_, e| matches!(e.inward, Inward::Verifying { until } if until <= now)) {
            self.refuse_pair(now, &pair, silence());
        }
    }

    /// We may send for a pair; and they, where the stream has both directions (XEP-0288 §2.2), as far as we believe that they are who we called.
    pub(super) fn ready(&mut self, now: Time, pair: &Pair, proof: Proof) {
        let Some(entry) = self.pairs.enter(pair, self.config.max_pairs) else { return };
        if matches!(entry.outward, Outward::Ready(_)) {
            return;
        }
        entry.outward = Outward::Ready(proof);
        self.used = now;
        self.prove_worth();
        self.enable_sm();
        self.out.push_back(Output::Ready { pair: pair.clone(), proof });
        if self.bidi && self.is_initiating() {
            let is_valid = self.certificate(&pair.remote) == Some(Certificate::Valid);
            let policy = self.config.policy(&pair.remote);
            if is_valid || (policy.dialback && !policy.require_certificate) {
                self.accept(now, pair, if is_valid { Proof::Certificate } else { Proof::Dialback });
            }
        }
    }

    /// They may send for a pair; and we, where the stream has both directions.
    pub(super) fn accept(&mut self, now: Time, pair: &Pair, proof: Proof) {
        let Some(entry) = self.pairs.enter(pair, self.config.max_pairs) else { return };
        if matches!(entry.inward, Inward::Accepted(_)) {
            return;
        }
        entry.inward = Inward::Accepted(proof);
        self.used = now;
        self.prove_worth();
        self.out.push_back(Output::Accepts { pair: pair.clone(), proof });
        if self.bidi && !self.is_initiating() {
            self.ready(now, pair, proof);
        }
    }

    fn say(&mut self, now: Time, kind: DialbackKind, pair: &Pair, id: Option<Str>, says: Says) {
        self.used = now;
        let mut bytes = Vec::with_capacity(256);
        Dialback { kind, pair: pair.clone(), id, says }.write(&mut bytes);
        self.bytes(&bytes);
    }
}
