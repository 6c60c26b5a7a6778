//! Streams that others open: from their header to SASL.

use super::{State, Stream};
use crate::error::StreamCondition;
use crate::jid;
use crate::ns;
use crate::stream::StreamError;
use crate::stream::s2s::element::Features;
use crate::stream::s2s::{Certificate, DownReason, Fault, Output, Pair, Proof};
use base::{Str, Time};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use xml::Element;

/// How often SASL may fail on one stream (RFC 6120 §6.4.5).
const MAX_SASL_FAILURES: u32 = 2;

/// Base 64 as others write it: with its padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Stream {
    /// Their header. Ours goes out whatever is wrong with theirs, so that the error has a stream to stand in (RFC 6120 §4.9.1.2).
    pub(super) fn greeted(&mut self, now: Time, header: &Element) {
        let domain = |name| header.attr(name).map(jid::domain);
        let (to, from) = (domain("to"), domain("from"));
        self.local = to.clone().and_then(Result::ok).filter(|to| self.config.serves(to));
        self.remote = from.clone().and_then(Result::ok);
        self.note_language(header);
        self.answer_header();
        if let Some((condition, why)) = self.header_fault(header) {
            return self.fail(now, condition, why);
        }
        if self.local.is_none() {
            return match to {
                None => self.fail(now, StreamCondition::ImproperAddressing, "to which domain?"),
                Some(_) => self.turn_away(now, StreamCondition::HostUnknown, "not served here"),
            };
        }
        if from.is_some() && self.remote.is_none() {
            return self.fail(now, StreamCondition::InvalidFrom, "from is no domain");
        }
        if let Some(remote) = &self.remote {
            if self.config.serves(remote) {
                return self.fail(now, StreamCondition::InvalidFrom, "from a domain of ours");
            }
            if !self.config.policy(remote).allow {
                return self.turn_away(now, StreamCondition::PolicyViolation, "not spoken to");
            }
        }
        match self.authenticated.clone() {
            // RFC 6120 §6.3.5: what was proved is not forgotten, and nothing else was.
            Some(pair) if self.remote.as_deref() != Some(pair.remote.as_str()) => {
                self.fail(now, StreamCondition::InvalidFrom, "another domain than was proved");
            }
            Some(pair) if self.local.as_deref() != Some(pair.local.as_str()) => {
                self.fail(now, StreamCondition::NotAuthorized, "proved to another domain");
            }
            Some(_) | None => {
                self.state = State::Features;
                self.offer(now);
            }
        }
    }

    /// Our features, once it is known what their certificate is worth.
    pub(super) fn offer(&mut self, now: Time) {
        let remote = self.remote.clone();
        let certificate = match &remote {
            Some(remote) => self.certificate(remote),
            None => Some(Certificate::None),
        };
        let Some(certificate) = certificate else { return };
        let policy = remote.as_deref().map_or(self.config.rules.policy, |remote| self.config.policy(remote));
        let tls_required = self.wants_tls();
        let proved = self.authenticated.clone();
        let dialback = (policy.dialback && !policy.require_certificate) || certificate == Certificate::Valid;
        let open = !tls_required && proved.is_none();
        let features = Features {
            starttls: !self.secured && self.has_certificate(),
            sasl: open && certificate == Certificate::Valid,
            external: open && certificate == Certificate::Valid,
            dialback: !tls_required && dialback,
            dialback_errors: !tls_required && dialback,
            bidi: open && self.config.bidi,
            // XEP-0198 §2: where stanzas may come next. Dialback opens no other stream to offer it on.
            sm: self.config.sm && !tls_required,
        };
        let mut bytes = Vec::with_capacity(256);
        features.write(tls_required, &mut bytes);
        self.bytes(&bytes);
        self.state = State::Negotiated;
        if let Some(pair) = proved {
            self.accept(now, &pair, Proof::Certificate);
        }
    }

    /// Whether nothing is to be had of us before TLS.
    pub(super) fn wants_tls(&self) -> bool {
        let policy = self.remote.as_deref().map_or(self.config.rules.policy, |remote| self.config.policy(remote));
        !self.secured && (policy.require_tls || policy.require_certificate)
    }

    fn has_certificate(&self) -> bool {
        self.local.as_ref().and_then(|local| self.config.local.get(local)).is_some_and(|l| l.certificate)
    }

    /// `<starttls/>` (RFC 6120 §5.4.2).
    pub(super) fn tls_request(&mut self, now: Time, e: &Element, alone: bool) {
        if e.name != "starttls" || self.state != State::Negotiated {
            return self.fail(now, StreamCondition::UnsupportedStanzaType, "TLS out of turn");
        }
        if !alone {
            return self.fail(now, StreamCondition::PolicyViolation, "plain text where TLS begins");
        }
        if self.secured || self.proven || !self.has_certificate() {
            // §5.4.2.2: the stream ends behind it.
            self.element(&Element::new("failure", ns::TLS));
            let error = StreamError::new(StreamCondition::PolicyViolation).with_text("no TLS to begin here");
            return self.give_up(now, DownReason::OurError(error));
        }
        self.element(&Element::new("proceed", ns::TLS));
        self.state = State::Securing;
        self.out.push_back(Output::StartTls);
    }

    /// `<auth/>` (RFC 6120 §6.4.2, XEP-0178 §3).
    pub(super) fn sasl_request(&mut self, now: Time, e: &Element, alone: bool) {
        if self.authenticated.is_some() || self.proven {
            return self.fail(now, StreamCondition::PolicyViolation, "authenticated already");
        }
        if !alone {
            return self.fail(now, StreamCondition::PolicyViolation, "something between auth and its answer");
        }
        match self.check_auth(e) {
            Ok(pair) => {
                self.authenticated = Some(pair);
                self.element(&Element::new("success", ns::SASL));
                self.restart();
                (self.local, self.remote) = (None, None);
            }
            Err(condition) => {
                let failure = Element::new("failure", ns::SASL).with_child(Element::new(condition, ns::SASL));
                self.element(&failure);
                self.out.push_back(Output::Fault(Fault::SaslFailure(Str::const_new(condition))));
                self.sasl_failures += 1;
                if self.sasl_failures > MAX_SASL_FAILURES {
                    self.fail(now, StreamCondition::PolicyViolation, "too many attempts");
                }
            }
        }
    }

    /// The pair that `<auth/>` proves, or the condition of its failure (RFC 6120 §6.5).
    fn check_auth(&mut self, e: &Element) -> Result<Pair, &'static str> {
        if e.name == "abort" {
            return Err("aborted");
        }
        if e.name != "auth" || self.state != State::Negotiated {
            return Err("malformed-request");
        }
        if e.attr("mechanism") != Some("EXTERNAL") {
            return Err("invalid-mechanism");
        }
        if !self.secured {
            return Err("encryption-required");
        }
        let (Some(local), Some(remote)) = (self.local.clone(), self.remote.clone()) else {
            return Err("not-authorized");
        };
        if self.certificate(&remote) != Some(Certificate::Valid) {
            return Err("not-authorized");
        }
        let text = e.text();
        let text = text.trim();
        if !matches!(text, "" | "=") {
            let name = BASE64.decode(text).map_err(|_| "incorrect-encoding")?;
            let name = str::from_utf8(&name).map_err(|_| "invalid-authzid")?;
            // XEP-0178 §3 step 11: the stream's `from` is what counts; a name that is given has to be that.
            if jid::domain(name).ok().as_deref() != Some(remote.as_str()) {
                return Err("invalid-authzid");
            }
        }
        Ok(Pair { local, remote })
    }
}
