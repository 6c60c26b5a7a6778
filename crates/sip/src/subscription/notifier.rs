//! The notifier: RFC 6665 §4.2.

use super::usage::{Entry, MAX_UNANSWERED, Made, Pace, Part as EntryPart, Role, UsageState, Wish, seconds, stronger};
use super::value::{Body, Change, Config, Event, Kind, Reason, State, UsageId};
use super::{MAX_SHARING, REFER, Subscriptions, destroys};
use crate::agent::{Failure, Flow, Refused as NotSent, ServerId};
use crate::dialog::{self, Dialog};
use crate::ground::{Cause, Ground, respond, retry_after};
use crate::header::{self, Name, NameAddr};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time, ToCompactString};
use std::net::IpAddr;
use std::time::Duration;

/// RFC 6665 §4.2.1.1: no interval of an hour or more is too brief.
const NEVER_TOO_BRIEF: u32 = 3600;
/// A NOTIFY that the transport lost is sent once more, after this and as much again by chance: a proxy that is started anew takes
/// all connections with it, and should not take all watchers.
const TRANSPORT_PAUSE: Duration = Duration::from_secs(2);

/// What only a notifier's usage has.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) source: Option<IpAddr>,
    /// What is to be told.
    wants: Option<Change>,
    pace: Pace,
    /// The NOTIFY that is under way is the last one.
    last: bool,
    /// The transport lost the last NOTIFY, or a later request overtook it.
    lost: bool,
    /// What the last NOTIFY told has yet to be told.
    again: bool,
}

impl Part {
    pub(super) fn new(source: Option<IpAddr>) -> Part {
        Part { source, wants: None, pace: Pace::default(), last: false, lost: false, again: false }
    }

    /// From when on a NOTIFY may go out, if there is one to send.
    pub(super) fn wants_from(&self, entry: &Entry, config: &Config) -> Option<Time> {
        match (entry.state, self.wants?) {
            (UsageState::Init | UsageState::Terminated, _) => None,
            _ if entry.ending => Some(Time::ZERO),
            (_, Change::State) => Some(entry.hold_until),
            (_, Change::Content) => Some(entry.hold_until.max(self.pace.free_from(config))),
        }
    }
}

/// A request that came, and what a usage that it makes begins with.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) server: ServerId,
    pub(super) request: Request,
    pub(super) flow: Flow,
    pub(super) contact: &'a NameAddr,
    /// The dialog of the session that it came in.
    pub(super) shared: Option<Dialog>,
}

/// What a SUBSCRIBE is refused with.
enum Fault {
    Stray,
    OutOfOrder,
    Shared,
    Forbidden,
}

impl Subscriptions {
    /// A SUBSCRIBE: RFC 6665 §4.2.1.
    pub(super) fn subscribe_came(&mut self, ground: &mut Ground<'_>, mut arrival: Arrival<'_>) {
        self.counts.subscribes_in += 1;
        let server = arrival.server;
        // RFC 6665 §4.2.3: neither PINT nor anything else is meant by a SUBSCRIBE without Event.
        let event = arrival.request.headers.event().ok().flatten();
        let Some((event, package)) = event.and_then(|event| self.package(&event.package).map(|p| (event, p))) else {
            return self.refuse_event(ground, server);
        };
        let known = match self.known(&mut arrival, &event) {
            Ok(known) => known,
            Err(Fault::Stray) => return self.refuse_stray(ground, server),
            Err(Fault::OutOfOrder) => return self.refuse_disorder(ground, server),
            Err(Fault::Shared) => return self.refuse_sharing(ground, server),
            Err(Fault::Forbidden) => return respond(ground, server, Response::new(403, ""), &[]),
        };
        let headers = &arrival.request.headers;
        let asked = headers.expires().ok().flatten().unwrap_or(self.config.default_expires);
        if asked > 0 && asked < self.config.min_expires && asked < NEVER_TOO_BRIEF {
            self.counts.too_brief += 1;
            let least = self.config.min_expires.min(NEVER_TOO_BRIEF).to_compact_string();
            return respond(ground, server, Response::new(423, ""), &[(Name::MinExpires, &least)]);
        }
        let expires = asked.min(self.config.max_expires);
        let target = match dialog::contact(headers) {
            Ok(target) => target,
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
        };
        let (id, kind) = match known {
            Some(id) if expires == 0 => (id, Kind::End),
            Some(id) => (id, Kind::Refresh),
            None => {
                let made = Made::BySubscribe;
                let Some(id) = self.begin(ground, &mut arrival, package, event.id(), made) else { return };
                (id, if expires == 0 { Kind::Fetch } else { Kind::New })
            }
        };
        if self.usages.get(&id).is_some_and(|entry| entry.unanswered.len() >= MAX_UNANSWERED) {
            return self.refuse_full(ground, server);
        }
        self.wait_for_answer(id, server, Wish::Watch { kind, expires, target, quiet: false });
        let (request, flow) = (Box::new(arrival.request), arrival.flow);
        self.events.push_back(Event::Watch { id, package, server, request, flow, kind, expires });
    }

    /// The usage that a SUBSCRIBE belongs to; its number is taken note of. `None` if it would make one.
    fn known(&mut self, arrival: &mut Arrival<'_>, event: &header::Event) -> Result<Option<UsageId>, Fault> {
        let request = &arrival.request;
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let inside = request.headers.to_tag().is_some();
        let found = if inside { self.usage_of(request, Role::Notifier, Some(event)) } else { None };
        let Some((id, entry)) = found.and_then(|id| self.usages.get_mut(&id).map(|entry| (id, entry))) else {
            return match arrival.shared.as_mut().map(|dialog| dialog.take_cseq(number)) {
                Some(false) => Err(Fault::OutOfOrder),
                None if inside => Err(Fault::Stray),
                // RFC 3515 §2.4.4: only a REFER makes one.
                Some(true) | None if event.package == REFER => Err(Fault::Forbidden),
                Some(true) | None => Ok(None),
            };
        };
        if !entry.dialog.take_cseq(number) {
            return Err(Fault::OutOfOrder);
        }
        match (&entry.part, entry.state) {
            (EntryPart::Subscriber(_), _) => Err(Fault::Shared),
            (EntryPart::Notifier(_), _) if !entry.is_about(event) => Err(Fault::Shared),
            (EntryPart::Notifier(_), UsageState::Init | UsageState::Terminated) => Err(Fault::Stray),
            (EntryPart::Notifier(_), _) if entry.ending => Err(Fault::Stray),
            (EntryPart::Notifier(_), _) => Ok(Some(id)),
        }
    }

    /// Makes a usage, in the session's dialog or one of its own, or refuses the request.
    pub(super) fn begin(
        &mut self,
        ground: &mut Ground<'_>,
        arrival: &mut Arrival<'_>,
        package: &'static str,
        event_id: Option<&str>,
        made: Made,
    ) -> Option<UsageId> {
        let server = arrival.server;
        let source = arrival.flow.remote.ip().to_canonical();
        let same = self.sources.count(&source);
        let sharing = arrival.shared.as_ref().map_or(0, Dialog::usages);
        if self.usages.len() >= self.config.max_usages || same >= self.config.max_per_source || sharing > MAX_SHARING {
            self.refuse_full(ground, server);
            return None;
        }
        let dialog = match arrival.shared.take() {
            Some(shared) => Ok(shared),
            None => Dialog::as_uas(&arrival.request, ground.agent.local_tag(server)?, 0),
        };
        let dialog = match dialog {
            Ok(dialog) => dialog,
            Err(fault) => {
                respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]);
                return None;
            }
        };
        let part = EntryPart::Notifier(Part::new(Some(source)));
        let (event_id, contact) = (event_id.map(Str::from), arrival.contact.to_compact_string());
        let entry = Entry::new(package, event_id, made, contact, dialog, part, &self.config);
        if self.is_known(&entry) {
            // The tag follows from the request, so this one was here before.
            respond(ground, server, Response::new(482, ""), &[]);
            return None;
        }
        Some(self.insert(entry))
    }

    /// Accepts a SUBSCRIBE or REFER for `expires` seconds; more than it gets at most is cut. A NOTIFY is wanted at once (RFC 6665 §4.2.1.2); for 0
    /// seconds it is the last one, which a REFER whose outcome is known needs no more than (RFC 3515 §2.4.4). One that wants no NOTIFY (RFC 4488)
    /// ends here. One that belongs to nothing any more gets 481.
    pub fn accept(&mut self, ground: &mut Ground<'_>, id: UsageId, server: ServerId, expires: u32) {
        self.now = ground.now;
        self.servers.remove(&server);
        let wish = self.usages.get_mut(&id).and_then(|entry| entry.take(server).map(|wish| (entry, wish)));
        let Some((entry, Wish::Watch { kind, expires: most, target, quiet })) = wish else {
            return self.refuse_stray(ground, server);
        };
        if entry.ending || entry.state == UsageState::Terminated {
            return self.refuse_stray(ground, server);
        }
        let granted = expires.min(most);
        let mut response = Response::new(200, "");
        let headers = &mut response.headers;
        match kind {
            Kind::New | Kind::Fetch | Kind::Refresh | Kind::End => headers.push(Name::Expires, granted),
            // RFC 3515 §2.4.4: its first NOTIFY says so.
            Kind::Refer => {}
        }
        headers.push(Name::Contact, &entry.contact);
        match kind {
            Kind::New | Kind::Fetch | Kind::Refer => {
                // RFC 3261 §12.1.1: where there is no dialog yet.
                for route in entry.dialog.route_set.iter().filter(|_| !entry.dialog.is_shared()) {
                    headers.push(Name::RecordRoute, route);
                }
                entry.state = UsageState::RespWait;
            }
            Kind::Refresh | Kind::End => {}
        }
        if let Some(target) = target {
            entry.dialog.refresh_target(target);
        }
        if quiet {
            headers.push(Name::ReferSub, "false");
            let package = entry.package;
            ground.agent.respond(ground.now, server, response);
            self.end(id, Event::Ended { id, package });
            return self.pump(ground);
        }
        entry.expires = granted;
        entry.ending = granted == 0;
        entry.expires_at = (granted > 0).then(|| ground.now + seconds(granted));
        let lives = granted > 0;
        if let EntryPart::Notifier(part) = &mut entry.part {
            part.wants = Some(Change::State);
        }
        ground.agent.respond(ground.now, server, response);
        if lives {
            self.save(id);
        }
        self.settle(id);
        self.pump(ground);
    }

    /// Refuses a SUBSCRIBE or REFER. One that would have made a usage makes none; one within a usage leaves it as it was.
    pub fn refuse(&mut self, ground: &mut Ground<'_>, id: UsageId, server: ServerId, response: Response) {
        self.now = ground.now;
        self.servers.remove(&server);
        if let Some(entry) = self.usages.get_mut(&id)
            && let Some(Wish::Watch { kind: Kind::New | Kind::Fetch | Kind::Refer, .. }) = entry.take(server)
        {
            self.remove(id);
        }
        ground.agent.respond(ground.now, server, response);
        self.pump(ground);
    }

    /// Something changed: a NOTIFY is wanted, and [`Event::Wanted`] comes when it can go out.
    pub fn touch(&mut self, id: UsageId, change: Change) {
        if let Some(entry) = self.usages.get_mut(&id)
            && let EntryPart::Notifier(part) = &mut entry.part
        {
            part.wants = stronger(part.wants, change);
            self.settle(id);
        }
    }

    /// The next NOTIFY is the last one: no refresh is taken any more, and no number is missing for it.
    pub fn close(&mut self, id: UsageId) {
        if let Some(entry) = self.usages.get_mut(&id)
            && let EntryPart::Notifier(part) = &mut entry.part
        {
            entry.ending = true;
            part.wants = Some(Change::State);
            self.settle(id);
        }
    }

    /// There is room for a NOTIFY of this usage.
    pub(super) fn offer(&mut self, id: UsageId) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        entry.holds = true;
        self.outstanding += 1;
        let again = matches!(&entry.part, EntryPart::Notifier(part) if part.again);
        self.events.push_back(Event::Wanted { id, package: entry.package, last: entry.ending, again });
    }

    /// The answer to [`Event::Wanted`] where there is nothing to say after all. The last NOTIFY is never skipped but by the end of the
    /// usage, which is then silent.
    pub fn skip(&mut self, id: UsageId) {
        let Some(entry) = self.usages.get_mut(&id).filter(|entry| entry.holds && entry.client.is_none()) else {
            return;
        };
        let package = entry.package;
        if entry.ending {
            return self.end(id, Event::Ended { id, package });
        }
        if let EntryPart::Notifier(part) = &mut entry.part {
            part.wants = None;
        }
        self.finish(id);
        self.settle(id);
    }

    /// The answer to [`Event::Wanted`]: RFC 6665 §4.2.2. A state other than `terminated` where the usage has come to its end becomes
    /// `terminated;reason=timeout`; `terminated` where it has not ends it. `false` if no NOTIFY was sent: none was wanted, or the agent is full, and
    /// then it is wanted again.
    pub fn notify(&mut self, ground: &mut Ground<'_>, id: UsageId, state: &State, body: Option<Body<'_>>) -> bool {
        self.now = ground.now;
        let Some(entry) = self.usages.get_mut(&id).filter(|entry| entry.holds && entry.client.is_none()) else {
            return false;
        };
        let (event, left) = (entry.event(), entry.left(ground.now));
        let EntryPart::Notifier(part) = &mut entry.part else { return false };
        let timeout = State::terminated(Reason::Timeout);
        let state = match state {
            State::Terminated { .. } => state,
            State::Pending | State::Active if entry.ending => &timeout,
            State::Pending | State::Active => state,
        };
        let after = match state {
            State::Pending => UsageState::Pending,
            State::Active => UsageState::Active,
            State::Terminated { .. } => UsageState::Terminated,
        };
        let changed = after != entry.state;
        let last = after == UsageState::Terminated;
        let hop = ground.hops.next_hop(&entry.dialog);
        let sent = hop.and_then(|hop| {
            let mut request = entry.dialog.request(Method::Notify)?;
            let headers = &mut request.headers;
            headers.push(Name::Contact, &entry.contact);
            headers.push(Name::Event, event);
            headers.push(Name::SubscriptionState, state.with_left(left));
            if let Some(body) = body {
                headers.push(Name::ContentType, body.content_type);
                if let Some(language) = body.language {
                    headers.push(Name::ContentLanguage, language);
                }
                request.body = body.content;
            }
            match ground.agent.request(ground.now, request, &hop, None) {
                Err(NotSent::NoTransport | NotSent::Method) => None,
                sent => Some(sent),
            }
        });
        match sent {
            None => {
                let package = entry.package;
                self.counts.watchers_gone += 1;
                self.end(id, Event::WatcherGone { id, package, cause: Cause::NoWay });
                self.pump(ground);
                false
            }
            Some(Err(_)) => {
                entry.dialog.take_back();
                part.wants = stronger(part.wants, if changed { Change::State } else { Change::Content });
                self.finish(id);
                self.stall(id);
                false
            }
            Some(Ok(client)) => {
                self.counts.notifies_out += 1;
                (part.wants, part.again) = (None, false);
                part.last = last;
                part.pace.count(ground.now, &self.config);
                entry.client = Some(client);
                entry.number = entry.dialog.local_cseq();
                entry.state = after;
                entry.ending |= last;
                if last {
                    entry.expires_at = None;
                }
                self.clients.insert(client, id);
                self.settle(id);
                true
            }
        }
    }

    /// A final answer to a NOTIFY.
    pub(super) fn notify_answered(&mut self, ground: &mut Ground<'_>, id: UsageId, response: &Response) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let (package, overtaken) = (entry.package, entry.dialog.overtook(entry.number, response));
        let EntryPart::Notifier(part) = &mut entry.part else { return };
        if overtaken && !part.lost && !part.last {
            (part.lost, part.again) = (true, true);
            part.wants = Some(Change::State);
            return self.settle(id);
        }
        if response.is_success() {
            if part.last {
                return self.end(id, Event::Ended { id, package });
            }
            part.lost = false;
            // RFC 6665 §4.4.1: NOTIFY moves targets, so its 2xx does as well.
            let moved = match dialog::contact(&response.headers) {
                Ok(Some(target)) => entry.dialog.refresh_target(target),
                Ok(None) | Err(_) => false,
            };
            if moved {
                self.save(id);
            }
            return self.settle(id);
        }
        // RFC 6665 §4.2.2 with RFC 5057 §5.1: a refusal that says when to come again is about this one NOTIFY.
        match retry_after(response).filter(|_| !part.last && !destroys(response.code) && response.code != 408) {
            Some(pause) => {
                entry.hold_until = ground.now + seconds(pause).max(self.config.notify_interval);
                part.again = true;
                part.wants = Some(Change::State);
                self.settle(id);
            }
            None => self.gone(id, Cause::Response(Box::new(response.clone()))),
        }
    }

    /// A NOTIFY without an answer. The one that nobody answers is the last one (RFC 6665 §4.2.2), or we would go on shooting at whomever a
    /// Contact names.
    pub(super) fn notify_failed(&mut self, ground: &mut Ground<'_>, id: UsageId, why: Failure) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let EntryPart::Notifier(part) = &mut entry.part else { return };
        if matches!(why, Failure::Transport | Failure::Unknown) && !part.lost && !part.last {
            let jitter = Duration::from_micros(ground.tokens.below(TRANSPORT_PAUSE.as_micros() as u64));
            (part.lost, part.again) = (true, true);
            part.wants = Some(Change::State);
            entry.hold_until = ground.now + TRANSPORT_PAUSE + jitter;
            return self.settle(id);
        }
        self.gone(id, Cause::from(why));
    }

    fn gone(&mut self, id: UsageId, cause: Cause) {
        let Some(entry) = self.usages.get(&id) else { return };
        let package = entry.package;
        self.counts.watchers_gone += 1;
        self.end(id, Event::WatcherGone { id, package, cause });
    }

    /// RFC 6665 §4.2.1.4: what is not refreshed is told so, and ends.
    pub(super) fn notifier_due(&mut self, id: UsageId) {
        let now = self.now;
        let Some(entry) = self.usages.get_mut(&id).filter(|e| e.expires_at.is_some_and(|at| at <= now)) else { return };
        entry.expires_at = None;
        entry.ending = true;
        if let EntryPart::Notifier(part) = &mut entry.part {
            part.wants = Some(Change::State);
        }
        self.counts.lapsed += 1;
        self.events.push_back(Event::Lapsed { id, package: entry.package });
    }
}
