//! Stanzas in the gateway: whose they are, and what is nobody's.

use super::Gateway;
use super::value::{Note, Output};
use crate::choice::Way;
use crate::config::LinkId;
use crate::error::Refusal;
use crate::mapping::{Mapping, Side};
use xmpp::agent::Asked;
use xmpp::error::StanzaError;
use xmpp::stanza::{Kind, Stanza};

impl Gateway {
    /// A stanza that came by a link, whose server, or stream, vouches for its `from`.
    pub(super) fn stanza(&mut self, link: LinkId, stanza: Stanza) {
        if stanza.is_error() {
            return self.error_stanza(&stanza);
        }
        // An answer would have to come from an address that is not ours, for which servers end the stream (invalid-from).
        let ours = self.config.links.get(link).zip(stanza.to.as_ref()).is_some_and(|(l, to)| to.domain() == l.domain);
        if !ours {
            return self.out.push_back(Output::Note(Note::Ignored { why: "stanza to a foreign domain" }));
        }
        // What is said of calls by messages (XEP-0353) is no message to anybody, and calls that are there are to be ended in order.
        let of_call = stanza.kind == Kind::Message && self.calls.claims_stanza(&stanza, Way::Message);
        if stanza.kind == Kind::Message && !of_call {
            self.out.push_back(Output::Note(Note::Received { from: Side::Xmpp }));
        }
        if let Err(refusal) = self.check_stanza(link, &stanza) {
            return self.refuse_stanza(link, &stanza, &refusal);
        }
        if self.config.media.is_some() {
            self.whereabouts.heard(self.now, &stanza);
            self.calls.heard(self.now, &stanza);
        }
        if stanza.kind == Kind::Iq {
            // Of what is asked, and of answers, rooms take what is theirs.
            let Some(stanza) = self.give(Way::Message, link, stanza) else { return };
            let Some(identity) = self.config.identity(link) else { return };
            let pair = stanza.to.as_ref().zip(stanza.from.as_ref());
            let asked = Asked::of(stanza.to.as_ref(), pair.and_then(|(to, from)| self.names.of(to, from)));
            if let Some(answer) = xmpp::agent::answer(&identity, &stanza, asked) {
                self.links.answer(link, &answer, &mut self.out);
            }
            return;
        }
        // Presence goes on to the end: nobody waits for an answer to it. What a room says may be the answer that somebody waits for.
        if let (Kind::Message, Err(refusal)) = (stanza.kind, self.accepting())
            && !of_call
            && !self.participants.claims_stanza(&stanza, Way::Message)
        {
            return self.refuse_stanza(link, &stanza, &refusal);
        }
        let way = self.way(&stanza);
        if let Some(stanza) = self.give(way, link, stanza) {
            self.unclaimed_stanza(link, &stanza);
        }
    }

    /// What is wrong with it, the shard finds that takes it.
    pub(super) fn overheard(&mut self, link: LinkId, stanza: &Stanza) {
        if self.check_stanza(link, stanza).is_err() {
            return;
        }
        match StanzaError::from_stanza(stanza) {
            Some(error) => drop(self.any(|mapping, stage| mapping.error(stage, stanza, &error))),
            None => self.each(|mapping, stage| mapping.overheard(stage, stanza)),
        }
    }

    fn refuse_stanza(&mut self, link: LinkId, stanza: &Stanza, refusal: &Refusal) {
        // RFC 6121 §4: of presence only a request waits for an answer; what is told may not be answered with errors.
        if stanza.kind == Kind::Presence && stanza.type_.as_deref() != Some("subscribe") {
            return self.out.push_back(Output::Note(Note::Ignored { why: "presence" }));
        }
        self.stage().0.refuse_stanza(link, stanza, refusal);
    }

    fn error_stanza(&mut self, stanza: &Stanza) {
        let Some(error) = StanzaError::from_stanza(stanza) else { return };
        if !self.any(|mapping, stage| mapping.error(stage, stanza, &error)) {
            self.out.push_back(Output::Note(Note::Ignored { why: "error to nothing of ours" }));
        }
    }

    /// Presence where it is not translated: a subscription is refused, all else means nothing to anybody here (RFC 6121 §3.1.3, §4).
    fn unclaimed_stanza(&mut self, link: LinkId, stanza: &Stanza) {
        self.refuse_stanza(link, stanza, &Refusal::NotSupported);
    }
}
