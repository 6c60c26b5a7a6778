//! Stanzas that come.

use super::{NS, Stream};
use crate::error::{Condition, StanzaError, StreamCondition};
use crate::jid::{Jid, domain};
use crate::ns;
use crate::stanza::{Kind, Stanza};
use crate::stream::s2s::{Fault, Output, Pair};
use base::{Str, Time};
use xml::Element;

impl Stream {
    /// A first-level element that is none of the protocol's own.
    pub(super) fn stanza(&mut self, now: Time, e: Element) {
        if let Some((condition, why)) = self.intrusion(&e) {
            return self.fail(now, condition, why);
        }
        self.acks.handle();
        match Stanza::from_element(e, NS) {
            Ok(mut stanza) => {
                // Who is asked whether it is there is not used by that.
                if self.answers_a_barrier(now, &stanza) {
                    return;
                }
                self.used = now;
                self.counts.received += 1;
                stanza.lang = stanza.lang.or_else(|| self.lang.clone());
                self.out.push_back(Output::Stanza(stanza));
            }
            Err((fault, e)) => {
                self.out.push_back(Output::Fault(Fault::BadStanza(fault)));
                self.refuse(&e, &StanzaError::new(Condition::JidMalformed));
            }
        }
    }

    /// A first-level element that broke a limit.
    pub(super) fn skipped(&mut self, now: Time, start: &Element, why: xml::Error) {
        if let Some((condition, why)) = self.intrusion(start) {
            return self.fail(now, condition, why);
        }
        self.acks.handle();
        self.used = now;
        self.out.push_back(Output::Fault(Fault::Oversize(why)));
        self.refuse(start, &StanzaError::new(Condition::PolicyViolation).with_text(why.to_string()));
    }

    /// Why an element may not come on this stream. Whoever sends it is a server that does not keep to what was agreed on, so the stream
    /// ends (RFC 6120 §8.1.1.2, §8.1.2.2).
    fn intrusion(&self, e: &Element) -> Option<(StreamCondition, &'static str)> {
        // §4.9.3.12: nothing before something is proved.
        if !self.pairs.accepts_some(|_| true) {
            return Some((StreamCondition::NotAuthorized, "nobody may send on this stream"));
        }
        if [ns::CLIENT, ns::COMPONENT_ACCEPT].contains(&e.ns.as_str()) {
            return Some((StreamCondition::InvalidNamespace, "not of this stream"));
        }
        if e.ns != NS || Kind::from_name(&e.name).is_none() {
            return Some((StreamCondition::UnsupportedStanzaType, "not a stanza"));
        }
        let (Some(from), Some(to)) = (e.attr("from"), e.attr("to")) else {
            return Some((StreamCondition::ImproperAddressing, "a stanza without from or to"));
        };
        // §8.1.2.2: the sender's domain is one that was proved, whatever else is wrong with the address.
        let Some(remote) = domain_of(from).filter(|remote| self.pairs.accepts_some(|p| p.remote == *remote)) else {
            return Some((StreamCondition::InvalidFrom, "from another domain than was proved"));
        };
        // An address that cannot be read is for somebody here all the same; its sender is told.
        let local = domain_of(to)?;
        if self.pairs.accepts_some(|p| p.local == local && p.remote == remote) {
            None
        } else if self.config.serves(&local) {
            Some((StreamCondition::NotAuthorized, "not for that domain on this stream"))
        } else {
            Some((StreamCondition::HostUnknown, "to a domain that is not served"))
        }
    }

    /// Tells the sender of something that cannot be handled, if that can be told from its start tag.
    fn refuse(&mut self, start: &Element, error: &StanzaError) {
        self.counts.refused += 1;
        let Some(kind) = Kind::from_name(&start.name) else { return };
        let address = |name| start.attr(name).and_then(|a| Jid::parse(a).ok());
        let Some(from) = address("from") else { return };
        // RFC 6120 §8.3.1 rule 2: where its own `to` cannot be used, the answer is from the domain.
        let to = address("to").or_else(|| {
            let pairs = self.pairs.matching(|p, _| p.remote == from.domain());
            pairs.first().and_then(|Pair { local, .. }| Jid::new(None, local, None).ok())
        });
        let stanza = Stanza {
            from: Some(from),
            to,
            id: start.attr("id").map(Str::from),
            type_: start.attr("type").map(Str::from),
            ..Stanza::new(kind)
        };
        if let Some(reply) = stanza.error(error).filter(|r| r.from.is_some()) {
            self.out.push_back(Output::Reply(reply));
        }
    }
}

/// The domain of an address, prepared, even where the rest of it is no good.
fn domain_of(address: &str) -> Option<Str> {
    let bare = address.split_once('/').map_or(address, |(bare, _)| bare);
    let name = bare.split_once('@').map_or(bare, |(_, name)| name);
    domain(name).ok()
}
