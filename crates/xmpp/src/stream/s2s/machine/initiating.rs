//! Streams that we open: from their header to the proof of the pair they are for.

use super::pairs::Outward;
use super::{Role, State, Stream};
use crate::error::StreamCondition;
use crate::ns;
use crate::stream::s2s::element::Features;
use crate::stream::s2s::{Certificate, DownReason, Fault, Initiate, Output, Pair, Policy, Proof, Purpose};
use base::{Str, Time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use xml::Element;

impl Stream {
    /// Their header. It may name another domain than we have called (RFC 6120 §4.7.1): what counts is what they can prove.
    pub(super) fn answered_header(&mut self, now: Time, header: &Element) {
        if let Some((condition, why)) = self.header_fault(header) {
            return self.fail(now, condition, why);
        }
        let Some(id) = header.attr("id").filter(|id| !id.is_empty()) else {
            return self.fail(now, StreamCondition::BadFormat, "the stream has no id");
        };
        self.id = id.into();
        self.note_language(header);
        self.state = State::Features;
        if self.secured
            && let Some(remote) = self.remote.clone()
        {
            self.certificate(&remote);
        }
    }

    /// Their features.
    pub(super) fn offered(&mut self, now: Time, features: Features) {
        if self.state != State::Features || self.features.is_some() {
            return self.fail(now, StreamCondition::UnsupportedStanzaType, "features out of turn");
        }
        self.features = Some(features);
        self.choose(now);
    }

    /// Goes on with what they offer, once that is known and what their certificate is worth.
    pub(super) fn choose(&mut self, now: Time) {
        let Role::Initiating(Initiate { pair, purpose, .. }) = self.role.clone() else { return };
        let (State::Features, Some(features)) = (self.state, self.features) else { return };
        let policy = self.config.policy(&pair.remote);
        if !self.secured {
            if features.starttls {
                self.state = State::StartTls;
                return self.element(&Element::new("starttls", ns::TLS));
            }
            if policy.require_tls || policy.require_certificate {
                return self.give_up(now, DownReason::NoTls);
            }
        }
        let Some(certificate) = self.certificate(&pair.remote) else { return };
        if let Some(why) = unacceptable(policy, &certificate) {
            return self.give_up(now, DownReason::BadCertificate(why));
        }
        self.state = State::Negotiated;
        if self.authenticated.is_some() {
            self.handshake_until = None;
            self.ready(now, &pair, Proof::Certificate);
            return self.out.push_back(Output::CanVerify);
        }
        match purpose {
            Purpose::Verification => {
                self.handshake_until = None;
                self.out.push_back(Output::CanVerify);
            }
            Purpose::Stanzas => self.authenticate(now, &pair),
        }
    }

    /// Proves the pair that the stream is for: with our certificate if they take it, by dialback else.
    pub(super) fn authenticate(&mut self, now: Time, pair: &Pair) {
        let features = self.features.unwrap_or_default();
        let external = self.can_use_certificate(pair);
        if self.config.bidi && features.bidi && !self.bidi {
            // XEP-0288 §2.2: before anything is proved.
            self.bidi = true;
            self.element(&Element::new("bidi", ns::BIDI));
        }
        if external {
            // XEP-0178 §3 step 10: the name is not needed, but older servers want it.
            let auth = Element::new("auth", ns::SASL).with_attr("mechanism", "EXTERNAL");
            self.element(&auth.with_text(&BASE64.encode(pair.local.as_bytes())));
            self.handshake_until = Some(now + self.config.handshake_timeout);
            self.state = State::Authenticating;
        } else {
            self.state = State::Negotiated;
            self.authenticate_by_dialback(now, pair);
        }
    }

    /// Whether SASL EXTERNAL is there to prove the pair.
    pub(super) fn can_use_certificate(&self, pair: &Pair) -> bool {
        let Role::Initiating(initiate) = &self.role else { return false };
        initiate.external
            && initiate.pair == *pair
            && self.secured
            && self.features.is_some_and(|f| f.external)
            && self.config.local.get(&pair.local).is_some_and(|l| l.certificate)
            && self.authenticated.is_none()
            && self.sasl_failures == 0
            && self.pairs.iter().all(|(_, e)| e.outward == Outward::Idle)
    }

    fn authenticate_by_dialback(&mut self, now: Time, pair: &Pair) {
        let features = self.features.unwrap_or_default();
        // Who offers SASL and no dialback does not take it; who offers neither is from before the feature (XEP-0220 §2.4.1).
        let taken = features.dialback || !features.sasl;
        if !taken || self.prove_by_dialback(now, pair).is_err() {
            return self.give_up(now, DownReason::NotAuthenticated);
        }
        self.handshake_until = None;
        self.out.push_back(Output::CanVerify);
    }

    /// RFC 6120 §5.4.2: what they say to `<starttls/>`.
    pub(super) fn tls_answer(&mut self, now: Time, e: &Element, alone: bool) {
        match (self.state, e.name.as_str()) {
            (State::StartTls, "proceed") if !alone => {
                self.fail(now, StreamCondition::PolicyViolation, "plain text where TLS begins");
            }
            (State::StartTls, "proceed") => {
                self.state = State::Securing;
                self.out.push_back(Output::StartTls);
            }
            (State::StartTls, "failure") => self.give_up(now, DownReason::NoTls),
            _ => self.fail(now, StreamCondition::UnsupportedStanzaType, "TLS out of turn"),
        }
    }

    /// RFC 6120 §6.4: what they say to `<auth/>`.
    pub(super) fn sasl_answer(&mut self, now: Time, e: &Element, alone: bool) {
        let Role::Initiating(Initiate { pair, .. }) = self.role.clone() else { return };
        match (self.state, e.name.as_str()) {
            (State::Authenticating, "success") if !alone => {
                self.fail(now, StreamCondition::PolicyViolation, "something between success and the new stream");
            }
            (State::Authenticating, "success") => {
                self.authenticated = Some(pair);
                self.restart();
                self.open();
            }
            (State::Authenticating, "failure") => {
                let condition = e.elements().find(|c| c.ns == ns::SASL && c.name != "text");
                let name = condition.map_or(Str::const_new("undefined"), |c| c.name.clone());
                self.out.push_back(Output::Fault(Fault::SaslFailure(name)));
                self.sasl_failures += 1;
                self.state = State::Negotiated;
                self.authenticate_by_dialback(now, &pair);
            }
            _ => self.fail(now, StreamCondition::UnsupportedStanzaType, "SASL out of turn"),
        }
    }
}

/// Why the policy does not let us speak to somebody with that certificate.
fn unacceptable(policy: Policy, certificate: &Certificate) -> Option<Str> {
    match certificate {
        Certificate::Valid => None,
        _ if policy.dialback && !policy.require_certificate => None,
        Certificate::None => Some(Str::const_new("there is none")),
        Certificate::Invalid(why) => Some(why.clone()),
    }
}
