//! Requests that no mapping wants.

use super::Gateway;
use crate::error::Refusal;
use crate::room;
use sip::agent::ServerId;
use sip::{Method, Request};

impl Gateway {
    /// What is no mapping's business: OPTIONS is answered truthfully, all else is refused by name.
    pub(super) fn unclaimed_request(&mut self, id: ServerId, request: &Request) {
        match request.method {
            Method::Options => {
                // RFC 3261 §11: an answer about a user is the answer an INVITE would get; about the gateway it is its own.
                let mut accept = crate::content::arrived::ACCEPT.to_owned();
                if self.config.presence.enabled {
                    accept = format!("{accept}, {}", crate::presence::ACCEPT);
                }
                if self.config.has_sessions() {
                    accept = format!("{accept}, {}", bodies::sdp::MEDIA_TYPE);
                }
                let mut answer = self.sip.options_answer(request, &accept);
                let mut events = Vec::new();
                if self.config.presence.enabled {
                    events.push(crate::presence::PACKAGE);
                }
                if self.config.has_sessions() {
                    events.extend([room::CONFERENCE, room::REFER]);
                }
                if !events.is_empty() {
                    answer.headers.push(sip::Name::AllowEvents, events.join(", "));
                }
                if let Some(contact) = self.focus(request) {
                    answer.headers.push(sip::Name::Contact, contact);
                }
                self.sip.respond(self.now, id, answer);
            }
            _ => {
                let refusal = match request.method {
                    Method::Subscribe | Method::Publish => Refusal::BadEvent,
                    _ => Refusal::MethodNotAllowed { allow: self.sip.allow() },
                };
                self.refuse_request(id, &refusal, false);
            }
        }
    }
}
