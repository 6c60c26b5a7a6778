//! REFER: RFC 3515 with RFC 4488 and RFC 7647, as what makes a subscription of the package `refer`.

use super::notifier::Arrival;
use super::usage::{Made, Wish};
use super::value::{Event, Kind, UsageId};
use super::{REFER, Subscriptions};
use crate::dialog;
use crate::ground::{Ground, respond};
use crate::header::{Fault, HeaderError, Name};
use crate::message::Response;
use base::ToCompactString;

impl Subscriptions {
    /// A REFER of ours has gone out, and has its number.
    pub(super) fn refer_sent(&mut self, id: UsageId) {
        self.rename(id, |entry| {
            let first = match entry.made {
                Made::ByRefer(None) => entry.dialog.first_refer(true),
                // It goes out again, as the other side has not taken the one before.
                Made::ByRefer(Some(_)) | Made::BySubscribe => entry.event_id.is_none(),
            };
            // RFC 3515 §2.4.6: as the other side will call it.
            entry.event_id = (!first).then(|| entry.number.to_compact_string());
            entry.made = Made::ByRefer(Some(entry.number));
        });
    }

    /// A REFER: RFC 3515 §2.4.2.
    pub(super) fn refer_came(&mut self, ground: &mut Ground<'_>, mut arrival: Arrival<'_>) {
        self.counts.refers_in += 1;
        let server = arrival.server;
        let headers = &arrival.request.headers;
        let Ok(number) = headers.cseq().map(|cseq| cseq.number) else { return self.refuse_stray(ground, server) };
        if let Some(dialog) = &mut arrival.shared {
            if !dialog.take_cseq(number) {
                return self.refuse_disorder(ground, server);
            }
        } else if headers.to_tag().is_some() {
            // RFC 6665 §4.5.2: what a subscription has for itself it does not share.
            let known = self.find(&arrival.request).and_then(|id| self.usages.get_mut(&id));
            return match known.map(|entry| entry.dialog.take_cseq(number)) {
                None => self.refuse_stray(ground, server),
                Some(false) => self.refuse_disorder(ground, server),
                Some(true) => self.refuse_sharing(ground, server),
            };
        }
        let missing = HeaderError::new(Name::ReferTo, Fault::Missing);
        let refer_to = headers.refer_to().and_then(|refer_to| refer_to.ok_or(missing));
        let read = refer_to.and_then(|_| Ok((dialog::contact(headers)?, headers.refer_sub()?)));
        let (target, refer_sub) = match read {
            Ok(read) => read,
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
        };
        let expires = self.config.default_expires.min(self.config.max_expires);
        let Some(id) = self.begin(ground, &mut arrival, REFER, None, Made::ByRefer(Some(number))) else { return };
        if let Some(entry) = self.usages.get_mut(&id) {
            // RFC 3515 §2.4.6: from the second one in a dialog on the number tells them apart.
            entry.event_id = (!entry.dialog.first_refer(false)).then(|| number.to_compact_string());
        }
        let kind = Kind::Refer;
        self.wait_for_answer(id, server, Wish::Watch { kind, expires, target, quiet: refer_sub == Some(false) });
        let (request, flow) = (Box::new(arrival.request), arrival.flow);
        self.events.push_back(Event::Watch { id, package: REFER, server, request, flow, kind, expires });
    }
}
