//! The subscriber: RFC 6665 §4.1.

use super::usage::{Entry, MAX_UNANSWERED, Made, Part as EntryPart, Role, UsageState, Wish, seconds};
use super::value::{By, Event, Refused, State, Subscribe, UsageId};
use super::{MAX_SHARING, REFER, Subscriptions, destroys};
use crate::agent::{Hop, Refused as NotSent, ServerId};
use crate::dialog::{self, Dialog, Opening};
use crate::ground::{CALL_ID, Cause, Ground, TAG, respond, retry_after};
use crate::header::Name;
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time, ToCompactString};
use std::time::Duration;

/// A refresh that failed is not tried again sooner.
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// Two expiries that differ by less are the same one, seen twice.
const SAME: Duration = Duration::from_secs(5);

/// What a subscriber wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Nothing,
    /// The first SUBSCRIBE or the REFER, or a refresh.
    Subscribe,
    /// A SUBSCRIBE with Expires 0 in the dialog.
    Unsubscribe,
}

/// What only a subscriber's usage has.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) accept: Str,
    /// The next hop of the first request; afterwards the dialog knows the way.
    hop: Option<Hop>,
    wants: Want,
    /// The next request in the dialog is to end it.
    unsubscribe: bool,
    /// What the SUBSCRIBE under way asked for.
    asked: u32,
    /// A 423 was obeyed once, or another request was faster once.
    again: bool,
    /// What the REFER says, until it is answered.
    refer: Option<Box<Reference>>,
    /// A NOTIFY has come: only now there is a subscription.
    established: bool,
    timer_n: Option<Time>,
    refresh_at: Option<Time>,
}

/// What a REFER says.
#[derive(Debug)]
struct Reference {
    refer_to: Str,
    headers: Vec<(Name, Str)>,
}

impl Part {
    fn new(accept: Str, hop: Option<Hop>) -> Part {
        Part {
            accept,
            hop,
            wants: Want::Nothing,
            unsubscribe: false,
            asked: 0,
            again: false,
            refer: None,
            established: false,
            timer_n: None,
            refresh_at: None,
        }
    }

    /// What a stored one goes on with.
    pub(super) fn restored(accept: Str, state: UsageState) -> Part {
        Part { established: state != UsageState::NotifyWait, ..Part::new(accept, None) }
    }

    /// From when on a SUBSCRIBE may go out, if there is one to send.
    pub(super) fn wants_from(&self, entry: &Entry) -> Option<Time> {
        let possible = match (entry.state, self.wants) {
            (UsageState::Terminated, _) | (_, Want::Nothing) => false,
            (_, Want::Subscribe) => true,
            // What has no dialog cannot be ended within it.
            (_, Want::Unsubscribe) => !entry.dialog.remote_tag.is_empty(),
        };
        possible.then_some(entry.hold_until)
    }

    /// RFC 6665 §4.1.2.4: as long as Timer N runs, it alone tells when all is over.
    pub(super) fn deadline(&self, entry: &Entry) -> Option<Time> {
        [self.timer_n.or(entry.expires_at), self.refresh_at].into_iter().flatten().min()
    }

    /// A moment of chance between 70 and 90 % of what is left, so that those who subscribed together do not refresh together.
    pub(super) fn set_refresh(&mut self, ground: &mut Ground<'_>, expires_at: Time) {
        let left = expires_at.since(ground.now);
        let thousandths = u32::try_from(700 + ground.tokens.below(201)).unwrap_or(800);
        self.refresh_at = (!self.unsubscribe && !left.is_zero()).then(|| ground.now + left / 1000 * thousandths);
    }
}

impl Entry {
    /// What is left is known anew. The moment of the refresh stays, unless there is another time to divide, or it would come too late: of a few seconds
    /// one is much. Tells whether there is.
    fn set_expiry(&mut self, ground: &mut Ground<'_>, left: u32) -> bool {
        let at = ground.now + seconds(left);
        let moved = self.expires_at.is_none_or(|old| old.since(at) > SAME || at.since(old) > SAME);
        self.expires_at = Some(at);
        if let EntryPart::Subscriber(part) = &mut self.part
            // The last one is over: a dialog of a few seconds is no longer for that.
            && (moved || part.refresh_at.is_none_or(|refresh| refresh >= at))
            && self.made == Made::BySubscribe
        {
            part.set_refresh(ground, at);
        }
        moved
    }
}

impl Subscriptions {
    /// Subscribes: RFC 6665 §4.1.2.1. The SUBSCRIBE or REFER goes out when there is room.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was begun.
    pub fn subscribe(&mut self, ground: &mut Ground<'_>, subscribe: Subscribe) -> Result<UsageId, Refused> {
        let dialog = Dialog::opening(Opening {
            call_id: subscribe.call_id.clone().unwrap_or_else(|| ground.tokens.token(CALL_ID)),
            local_tag: ground.tokens.token(TAG),
            local: subscribe.local.clone(),
            remote: subscribe.remote.clone(),
            target: subscribe.remote.to_compact_string(),
            route: subscribe.route.clone(),
        });
        self.subscribe_by(ground, dialog, subscribe)
    }

    /// Subscribes, or refers, in the dialog of a session, which is shared. The dialog says who asks whom and by which way: of `subscribe` only
    /// `package`, `event_id`, `contact`, `accept`, `expires` and `by` count. RFC 6665 §4.5.2 wants it so only where the other side's Contact is no GRUU.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was begun.
    pub fn subscribe_in(
        &mut self,
        ground: &mut Ground<'_>,
        dialog: Dialog,
        subscribe: Subscribe,
    ) -> Result<UsageId, Refused> {
        if dialog.local_tag.is_empty() || dialog.remote_tag.is_empty() || dialog.target().is_none() {
            return Err(Refused::Broken);
        }
        if dialog.usages() > MAX_SHARING {
            return Err(Refused::Full);
        }
        self.subscribe_by(ground, dialog, subscribe)
    }

    fn subscribe_by(
        &mut self,
        ground: &mut Ground<'_>,
        dialog: Dialog,
        subscribe: Subscribe,
    ) -> Result<UsageId, Refused> {
        self.now = ground.now;
        let package = self.package(subscribe.package).ok_or(Refused::Package)?;
        let expires = subscribe.expires.min(self.config.max_expires);
        let mut part = Part::new(Str::const_new(subscribe.accept), Some(subscribe.hop));
        part.wants = Want::Subscribe;
        let (made, expires) = match subscribe.by {
            By::Subscribe => (Made::BySubscribe, expires),
            By::Refer { refer_to, headers } => {
                part.refer = Some(Box::new(Reference { refer_to, headers }));
                (Made::ByRefer(None), if expires == 0 { self.config.default_expires } else { expires })
            }
        };
        // RFC 3515 §2.4.4: a REFER makes this one, and nothing else does.
        if (package == REFER) != (made == Made::ByRefer(None)) {
            return Err(Refused::Package);
        }
        if self.usages.len() >= self.config.max_usages {
            return Err(Refused::Full);
        }
        let contact = subscribe.contact.to_compact_string();
        let part = EntryPart::Subscriber(part);
        let mut entry = Entry::new(package, subscribe.event_id, made, contact, dialog, part, &self.config);
        if self.is_known(&entry) {
            return Err(Refused::Known);
        }
        entry.expires = expires;
        let id = self.insert(entry);
        self.settle(id);
        self.pump(ground);
        Ok(id)
    }

    /// Refreshes: RFC 6665 §4.1.2.2. Nothing if a SUBSCRIBE is under way or the usage is about to end.
    pub fn refresh(&mut self, ground: &mut Ground<'_>, id: UsageId) {
        self.now = ground.now;
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let idle = entry.client.is_none() && !entry.dialog.remote_tag.is_empty();
        if let EntryPart::Subscriber(part) = &mut entry.part
            && idle
            && part.wants == Want::Nothing
            && !part.unsubscribe
        {
            part.wants = Want::Subscribe;
            part.again = false;
            part.refresh_at = None;
            self.settle(id);
            self.pump(ground);
        }
    }

    /// Unsubscribes: RFC 6665 §4.1.2.3. What waits in line for its first SUBSCRIBE, or to ask for longer after a 423 to that, ends at once; what waits
    /// for its first answer ends behind that.
    pub fn unsubscribe(&mut self, ground: &mut Ground<'_>, id: UsageId) {
        self.now = ground.now;
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let (state, busy, package) = (entry.state, entry.client.is_some(), entry.package);
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        if part.unsubscribe || state == UsageState::Terminated {
            return;
        }
        let refused = !busy && part.timer_n.is_none() && entry.dialog.remote_tag.is_empty();
        if state == UsageState::Init || refused {
            return self.end(id, Event::Ended { id, package });
        }
        part.unsubscribe = true;
        entry.ending = true;
        part.refresh_at = None;
        // One that is under way is ended by its answer: see `subscribe_answered`.
        part.wants = if busy { Want::Nothing } else { Want::Unsubscribe };
        self.settle(id);
        self.pump(ground);
    }

    /// Sends the SUBSCRIBE that is wanted. Timer N runs from here: RFC 6665 §4.1.2.2, §4.1.2.4.
    pub(super) fn send_subscribe(&mut self, ground: &mut Ground<'_>, id: UsageId) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let event = entry.event();
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        let end = part.wants == Want::Unsubscribe;
        let expires = if end { 0 } else { entry.expires };
        let hop =
            if entry.dialog.remote_tag.is_empty() { part.hop.clone() } else { ground.hops.next_hop(&entry.dialog) };
        let sent = hop.and_then(|hop| {
            let method = if part.refer.is_some() { Method::Refer } else { Method::Subscribe };
            let mut request = entry.dialog.request(method)?;
            let headers = &mut request.headers;
            headers.push(Name::Contact, &entry.contact);
            if let Some(refer) = part.refer.as_deref() {
                headers.push(Name::ReferTo, &refer.refer_to);
                refer.headers.iter().for_each(|(name, value)| headers.push(*name, value));
            } else {
                headers.push(Name::Event, event);
                headers.push(Name::Expires, expires);
            }
            if !part.accept.is_empty() {
                headers.push(Name::Accept, &part.accept);
            }
            match ground.agent.request(ground.now, request, &hop, None) {
                Err(NotSent::NoTransport | NotSent::Method) => None,
                sent => Some(sent),
            }
        });
        match sent {
            None => {
                part.wants = Want::Nothing;
                self.subscribe_failed(ground, id, Cause::NoWay);
            }
            Some(Err(_)) => {
                entry.dialog.take_back();
                self.stall(id);
            }
            Some(Ok(client)) => {
                let refers = part.refer.is_some();
                let count = if refers { &mut self.counts.refers_out } else { &mut self.counts.subscribes_out };
                *count += 1;
                part.wants = Want::Nothing;
                part.asked = expires;
                part.timer_n = Some(ground.now + ground.agent.patience());
                entry.client = Some(client);
                entry.number = entry.dialog.local_cseq();
                entry.holds = true;
                self.outstanding += 1;
                if entry.state == UsageState::Init {
                    entry.state = UsageState::NotifyWait;
                }
                self.clients.insert(client, id);
                if refers {
                    self.refer_sent(id);
                }
                self.settle(id);
            }
        }
    }

    /// A final answer to a SUBSCRIBE.
    pub(super) fn subscribe_answered(&mut self, ground: &mut Ground<'_>, id: UsageId, response: &Response) {
        if response.is_success() {
            return self.subscribe_accepted(ground, id, response);
        }
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let overtaken = entry.dialog.overtook(entry.number, response);
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        let ends = part.asked == 0 && part.unsubscribe;
        if overtaken && !part.again && (ends || !part.unsubscribe) {
            part.again = true;
            part.wants = if ends { Want::Unsubscribe } else { Want::Subscribe };
            part.timer_n = None;
            return self.settle(id);
        }
        // RFC 3261 §21.4.17: once more, for longer. The number is a new one (§8.1.3.5).
        let least = response.headers.min_expires().ok().flatten().unwrap_or(0);
        let longer = response.code == 423 && least > part.asked && least <= self.config.max_expires;
        if longer && part.asked > 0 && part.refer.is_none() && !part.again && !part.unsubscribe {
            part.again = true;
            part.wants = Want::Subscribe;
            part.timer_n = None;
            entry.expires = least;
            return self.settle(id);
        }
        self.subscribe_failed(ground, id, Cause::Response(Box::new(response.clone())));
    }

    /// A 2xx, of which 202 says no more than 200 does (RFC 6665 §8.3.1).
    fn subscribe_accepted(&mut self, ground: &mut Ground<'_>, id: UsageId, response: &Response) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let package = entry.package;
        let tag = response.headers.to_tag().unwrap_or_default();
        let target = dialog::contact(&response.headers).ok().flatten();
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        let refers = part.refer.take().is_some();
        part.again = false;
        // RFC 4488 §4: what was asked for is done, and no NOTIFY will tell more.
        if refers && !part.established && response.headers.refer_sub() == Ok(Some(false)) {
            return self.end(id, Event::Ended { id, package });
        }
        let asked = part.asked;
        let granted = response.headers.expires().ok().flatten().unwrap_or(asked).min(asked);
        // RFC 6665 §5.4.9: the first that could make the dialog does, if it says where to go. Its route set comes with the NOTIFY (§4.4.1).
        let made = entry.dialog.remote_tag.is_empty() && !tag.is_empty() && target.is_some();
        let same = entry.dialog.remote_tag == tag;
        // RFC 5839: no NOTIFY will come. One that ends has nothing but Timer N to end it then.
        if response.code == 204 && part.established && asked > 0 {
            part.timer_n = None;
        }
        let (unsubscribe, ended) = (part.unsubscribe, asked == 0);
        let mut changed = false;
        if unsubscribe && !ended {
            part.wants = Want::Unsubscribe;
        }
        if made {
            // RFC 3261 §12.1.2; the NOTIFY will say the same.
            let mut routes: Vec<Str> = response.headers.elements(Name::RecordRoute).flatten().map(Str::new).collect();
            routes.reverse();
            self.rename(id, |entry| {
                entry.dialog.remote_tag = Str::new(tag);
                entry.dialog.route_set = routes;
            });
            changed = true;
        }
        let Some(entry) = self.usages.get_mut(&id) else { return };
        if (made || same)
            && let Some(target) = target
        {
            changed |= entry.dialog.refresh_target(target);
        }
        if (made || same) && !ended {
            changed |= entry.set_expiry(ground, granted);
        }
        self.events.push_back(Event::Accepted { id, package, expires: granted });
        if changed && !ended {
            self.save(id);
        }
        self.settle(id);
    }

    /// A SUBSCRIBE was refused, or had no answer. Before the first NOTIFY there was nothing; afterwards the subscription may go on without
    /// the refresh (RFC 6665 §4.1.2.2), unless it was to be ended.
    pub(super) fn subscribe_failed(&mut self, ground: &mut Ground<'_>, id: UsageId, cause: Cause) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let package = entry.package;
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        let (fatal, pause) = match &cause {
            Cause::Response(response) => {
                (destroys(response.code) || response.code == 408, retry_after(response).map(seconds))
            }
            // RFC 3261 §12.2.1.2: no answer at all is a 408. Timer N fires at the same moment.
            Cause::Timeout => (true, None),
            Cause::Transport | Cause::NoWay => (false, None),
        };
        if entry.state == UsageState::Terminated {
            // The last NOTIFY was faster, and it counts.
            return self.settle(id);
        }
        let gone = fatal || !part.established || part.unsubscribe || entry.expires == 0;
        if gone {
            return self.end(id, Event::Refused { id, package, cause, gone });
        }
        // No NOTIFY will come for it.
        part.timer_n = None;
        let left = entry.expires_at.map_or(Duration::ZERO, |at| at.since(ground.now));
        let pause = pause.unwrap_or_default().max(LEAST_PAUSE).max(left / 4);
        part.refresh_at = (pause < left).then(|| ground.now + pause);
        self.events.push_back(Event::Refused { id, package, cause, gone });
        self.settle(id);
    }

    /// A NOTIFY: RFC 6665 §4.1.3, §4.4.1.
    pub(super) fn notify_came(&mut self, ground: &mut Ground<'_>, server: ServerId, request: Request) {
        self.counts.notifies_in += 1;
        let headers = &request.headers;
        let event = headers.event().ok().flatten().filter(|event| self.package(&event.package).is_some());
        let Some(event) = event else { return self.refuse_event(ground, server) };
        let ours = headers.to_tag().unwrap_or_default();
        let found = self.usage_of(&request, Role::Subscriber, Some(&event));
        let Some((id, entry)) = found.and_then(|id| self.usages.get_mut(&id).map(|entry| (id, entry))) else {
            return self.refuse_stray(ground, server);
        };
        let about = entry.is_about(&event);
        let EntryPart::Subscriber(part) = &mut entry.part else { return self.refuse_stray(ground, server) };
        let sent = !matches!(entry.state, UsageState::Init | UsageState::Terminated);
        if !about || !sent {
            return self.refuse_stray(ground, server);
        }
        let Some(value) = headers.subscription_state().ok().flatten() else {
            return respond(ground, server, Response::new(400, "Missing Subscription-State"), &[]);
        };
        let target = match dialog::contact(headers) {
            Ok(target) => target,
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
        };
        if entry.unanswered.len() >= MAX_UNANSWERED {
            return self.refuse_full(ground, server);
        }
        let number = headers.cseq().map_or(0, |cseq| cseq.number);
        let mut changed = false;
        // Whatever its answer will be, the REFER was taken.
        part.refer = None;
        if part.established || entry.dialog.is_shared() {
            if !entry.dialog.take_cseq(number) {
                return self.refuse_disorder(ground, server);
            }
            if let Some(target) = target {
                changed |= entry.dialog.refresh_target(target);
            }
            part.established = true;
        } else {
            // RFC 6665 §4.4.1: it is the NOTIFY that makes the dialog, and its Record-Route is the route set.
            let made = match Dialog::as_uas(&request, ours, entry.dialog.local_cseq()) {
                Ok(made) => made,
                // A 2xx has said where to go.
                Err(_) if !entry.dialog.remote_tag.is_empty() => {
                    let mut made = entry.dialog.clone();
                    made.take_cseq(number);
                    made
                }
                Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
            };
            part.established = true;
            self.rename(id, |entry| {
                let (local_uri, remote_uri) = (entry.dialog.local_uri.clone(), entry.dialog.remote_uri.clone());
                entry.dialog = Dialog { local_uri, remote_uri, ..made };
            });
            changed = true;
        }
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        let state = State::of(&value);
        let ended = part.unsubscribe || entry.expires == 0;
        let after = match state {
            State::Pending => UsageState::Pending,
            State::Active => UsageState::Active,
            State::Terminated { .. } => UsageState::Terminated,
        };
        let last = after == UsageState::Terminated;
        changed |= entry.state != after;
        entry.state = after;
        if last {
            part.timer_n = None;
            part.refresh_at = None;
            part.wants = Want::Nothing;
            entry.expires_at = None;
        } else if !ended {
            part.timer_n = None;
            let limit = self.config.max_expires;
            match (value.expires(), entry.expires_at) {
                (Some(left), _) => changed |= entry.set_expiry(ground, left.min(limit)),
                (None, None) => changed |= entry.set_expiry(ground, entry.expires),
                (None, Some(_)) => {}
            }
        }
        let package = entry.package;
        self.wait_for_answer(id, server, Wish::Notify { last });
        self.events.push_back(Event::Notify { id, package, server, request: Box::new(request), state });
        if changed && !last && !ended {
            self.save(id);
        }
        self.settle(id);
    }

    /// Answers a NOTIFY. Behind the last one the usage is dead.
    pub fn answer_notify(&mut self, ground: &mut Ground<'_>, id: UsageId, server: ServerId, response: Response) {
        self.now = ground.now;
        self.servers.remove(&server);
        ground.agent.respond(ground.now, server, response);
        if let Some(entry) = self.usages.get_mut(&id) {
            let package = entry.package;
            if let Some(Wish::Notify { last: true }) = entry.take(server) {
                self.end(id, Event::Ended { id, package });
            }
        }
        self.pump(ground);
    }

    /// Something of a subscriber's is due.
    pub(super) fn subscriber_due(&mut self, id: UsageId) {
        let now = self.now;
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let (package, expires_at) = (entry.package, entry.expires_at);
        let EntryPart::Subscriber(part) = &mut entry.part else { return };
        if part.timer_n.or(expires_at).is_some_and(|at| at <= now) {
            return self.end(id, Event::Expired { id, package });
        }
        if part.refresh_at.is_some_and(|at| at <= now) {
            part.refresh_at = None;
            self.events.push_back(Event::RefreshDue { id, package });
        }
    }
}
