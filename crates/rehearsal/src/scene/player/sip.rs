//! SIP in scenes.

use super::dialog::cseq;
use super::{Check, Pending, Player, Sent};
use crate::scene::pattern::fill;
use crate::scene::script::sip_block;
use crate::scene::shows::shows;
use crate::wire::{SipText, parameter};
use bytes::Bytes;
use sip::agent::{Flow, SendTo, Transport};
use stox::gateway::Input;

impl Player {
    /// A SIP user sends a request, or answers one that it got: the last one, or that of the Call-ID and CSeq that the block shows.
    pub fn sip_sends(&mut self, actor: &str, block: &str, escaped: bool) -> Check {
        let (head, body) = sip_block(block, escaped)?;
        let mut lines = head.into_iter();
        let start = self.filled(&lines.next().unwrap_or_default())?;
        let body = match (body, escaped) {
            (Some(body), true) => body,
            (body, _) => {
                let text = String::from_utf8(body.unwrap_or_default()).map_err(|_| "the body is not UTF-8")?;
                self.filled(&text)?.into_bytes()
            }
        };
        let mut own = Vec::new();
        let mut without = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
            match name.strip_prefix('!') {
                Some(name) => without.push(name.to_ascii_lowercase()),
                None => own.push((name.trim().to_owned(), self.filled(value.trim())?)),
            }
        }
        let mut message = SipText { start, headers: own, body };
        // RFC 8866 §5: each line of a description ends with CRLF.
        if message.header("Content-Type") == Some("application/sdp") && !escaped {
            message.body.extend_from_slice(b"\r\n");
        }
        if let Some(length) = message.header("Content-Length").filter(|l| *l != message.body.len().to_string()) {
            return Err(format!("the scene says Content-Length: {length}, its body has {}", message.body.len()));
        }
        if message.status().is_some() {
            message = self.complete_response(actor, message)?;
        } else {
            self.complete_request(actor, &mut message, &without)?;
            if let Some(branch) = message.branch() {
                self.senders.insert(branch.to_owned(), actor.to_owned());
            }
        }
        let contact = cseq(&message).1 == "INVITE" && message.status().is_none_or(|code| (101..300).contains(&code));
        if contact && message.header("Contact").is_none() && !without.contains(&"contact".to_owned()) {
            message.push("Contact", format!("<sip:{actor}@{}>", self.settings.source));
        }
        self.dialogs.sent(actor, &message);
        self.paths_of(actor, &message);
        let bytes = Bytes::from(message.to_bytes());
        self.sent.insert(actor.to_owned(), Sent::Sip(bytes.clone()));
        self.sip_bytes(&bytes);
        Ok(())
    }

    /// `template` with its holes filled.
    pub(super) fn filled(&self, template: &str) -> Result<String, String> {
        fill(template, &self.captures).map_err(|name| format!("nothing was captured as ${name}"))
    }

    pub(super) fn sip_bytes(&mut self, bytes: &Bytes) {
        let flow: Flow = self.settings.flow();
        match sip::parse_datagram(bytes, &sip::Limits::default()) {
            Ok(message) => self.input(Input::Sip(message, flow)),
            Err(rejected) => self.input(Input::SipRejected(rejected, flow)),
        }
    }

    fn complete_request(&mut self, actor: &str, message: &mut SipText, without: &[String]) -> Check {
        let (method, uri) = message.request().ok_or_else(|| format!("no request: {}", message.start))?;
        let (method, mut uri) = (method.to_owned(), uri.to_owned());
        if uri == "*" {
            self.dialogs.complete(actor, &method, message)?;
            uri = message.request().map(|(_, uri)| uri.to_owned()).unwrap_or_default();
        }
        let n = self.mint();
        let mut from = message.headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("From"));
        if let Some((_, from)) = from.find(|(_, value)| parameter(value, "tag").is_none()) {
            from.push_str(&format!(";tag=from{n}"));
        }
        let typed = message.body.is_empty() || message.header("Content-Type").is_some();
        if !typed && !without.contains(&"content-type".to_owned()) {
            message.push("Content-Type", "text/plain");
        }
        let transport = self.settings.transport.as_str();
        let defaults = [
            ("Via", format!("SIP/2.0/{transport} {};branch=z9hG4bKscene{n}", self.settings.source)),
            ("Max-Forwards", "70".to_owned()),
            ("To", format!("<{uri}>")),
            ("From", format!("<sip:{actor}@example.net>;tag=from{n}")),
            ("Call-ID", format!("call{n}@scene")),
            ("CSeq", format!("1 {method}")),
        ];
        for (name, value) in defaults {
            if message.header(name).is_none() && !without.contains(&name.to_ascii_lowercase()) {
                message.push(name, value);
            }
        }
        Ok(())
    }

    fn complete_response(&mut self, actor: &str, own: SipText) -> Result<SipText, String> {
        let same = |request: &SipText, name| own.header(name).is_none_or(|own| request.header(name) == Some(own));
        let request = self.got.iter().rev().find(|(who, request)| {
            let answered = request.request().is_some_and(|(method, _)| method != "ACK");
            answered && (who == actor || actor == "anyone") && same(request, "Call-ID") && same(request, "CSeq")
        });
        let Some((_, request)) = request else { return Err(format!("{actor} got no request to answer")) };
        let status = own.status().unwrap_or(0);
        let tag = self.dialogs.tag(actor, request).unwrap_or_else(|| format!("to{}", self.minted));
        let mut response = request.response(status, "", &tag);
        response.start = own.start;
        response.body = own.body;
        for (name, value) in own.headers {
            response.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(&name) || name.eq_ignore_ascii_case("Via"));
            response.push(&name, value);
        }
        Ok(response)
    }

    /// A SIP user gets the next message for it, and it shows what `block` shows.
    pub fn sip_gets(&mut self, actor: &str, block: &str, escaped: bool) -> Check {
        let (head, body) = sip_block(block, escaped)?;
        let pending = self.next_for(actor, super::Kind::Sip, block)?;
        let Pending::Sip { to, message } = &pending else { return Err("that is no SIP".to_owned()) };
        let (to, message) = (to.clone(), message.clone());
        self.sip_got(&to, &message);
        shows(&head, body.as_deref(), &message, &mut self.captures)
            .map_err(|why| format!("{why}\nexpected\n{block}\ngot\n{pending}"))
    }

    /// Remembers that somebody has got this.
    pub(super) fn sip_got(&mut self, to: &str, message: &SipText) {
        let who = to.split('@').next().unwrap_or_default();
        self.dialogs.got(who, message);
        if message.request().is_some() || accepts_invite(message) {
            self.got.push((who.to_owned(), message.clone()));
        }
    }

    pub(super) fn sip_arrives(&mut self, to: &SendTo, bytes: &Bytes) {
        let broken =
            || SipText { start: "what the gateway sent is no SIP".into(), headers: vec![], body: bytes.to_vec() };
        let mut message = SipText::parse(bytes).unwrap_or_else(broken);
        let expected = match to {
            // The proxy, or where a Contact of an actor leads to.
            SendTo::Target(t) => {
                let proxy = self.settings.config.proxy.as_ref();
                // What is large goes there by TCP (RFC 3261 §18.1.1).
                proxy.is_some_and(|p| p.target.remote == t.remote && (p.target == *t || t.transport == Transport::Tcp))
                    || self.settings.config.allow_networks.iter().any(|network| network.contains(t.remote.ip()))
            }
            SendTo::Flow { flow, .. } => flow.local == self.settings.flow().local,
        };
        if !expected {
            message.push("X-Rehearsal", format!("was sent to the wrong place, {to:?}"));
        }
        if message.header("Content-Length") != Some(&message.body.len().to_string()) {
            message.push("X-Rehearsal", "has the wrong Content-Length");
        }
        if message.request().is_some() || accepts_invite(&message) {
            if let Some(times) = self.repeats.get_mut(bytes.as_ref()) {
                *times += 1;
                return;
            }
            self.repeats.insert(bytes.to_vec(), 0);
        }
        let sender = message.branch().and_then(|b| self.senders.get(b)).filter(|_| message.status().is_some());
        let to = sender.cloned().or_else(|| message.addressee().map(str::to_owned)).unwrap_or_else(|| "nobody".into());
        self.pending.push_back(Pending::Sip { to, message });
    }

    pub(super) fn gets_again(&mut self, actor: &str, times: usize) -> Check {
        let last = self.got.iter().rev().find(|(who, _)| who == actor);
        let Some((_, last)) = last else { return Err(format!("{actor} has got nothing yet")) };
        let repeats = self.repeats.iter_mut().find(|(bytes, _)| SipText::parse(bytes).as_ref() == Some(last));
        match repeats {
            Some((_, n)) if *n == times => {
                *n = 0;
                Ok(())
            }
            Some((_, n)) => Err(format!("what {actor} got last came {n} times again, not {times}")),
            None => Err("it came from somewhere else".to_owned()),
        }
    }
}

/// Whether it is a 2xx to an INVITE: RFC 3261 §13.3.1.4 has it sent again and again until the ACK comes.
fn accepts_invite(message: &SipText) -> bool {
    message.status().is_some_and(|code| code / 100 == 2) && cseq(message).1 == "INVITE"
}
