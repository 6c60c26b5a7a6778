//! What the focus tells of the conference: RFC 7702 §5.3, §5.4, RFC 4575, as subscriber of RFC 6665.

use super::people::{ADDRESSES, Gone, News, Person, Says, jid_of};
use super::seat::{End, Occupant, Phase, SeatId};
use super::{Occupants, end, s2x};
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::mapping::{Side, Stage};
use crate::room::nickname::Nickname;
use base::Str;
use bodies::conference::{Change, Changes, Disconnection, Info, MEDIA_TYPE, User};
use sip::agent::ServerId;
use sip::subscription::{Event, Reason, State, UsageId};
use sip::{Cause, Name, Request, Response};
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::muc::{Affiliation, Role};
use xmpp::jid::Jid;

/// How long nothing private goes to a nickname that has passed to somebody else, and how many of these are remembered.
const VACATED: Duration = Duration::from_secs(5);
const VACANCIES: usize = 64;

/// The most bytes that are kept of who is in all the rooms of a shard. Whose room goes beyond is out of it.
const WEIGHT: usize = 512 << 20;

/// The first wait before a subscription that was lost is tried again; it doubles, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);

impl Occupants {
    /// Something happened to the subscription of a place.
    pub(super) fn conference_event(&mut self, stage: &mut Stage<'_>, id: SeatId, event: Event) {
        match event {
            Event::Notify { id: usage, server, request, state, .. } => {
                self.notified(stage, id, usage, server, &request, state);
            }
            Event::RefreshDue { id: usage, .. } => stage.events(|events, ground| events.refresh(ground, usage)),
            Event::Refused { id: usage, cause, gone, .. } => {
                if gone && self.is_current(id, usage) {
                    let error = match &cause {
                        // Not every focus tells who is there: then the room is entered without that.
                        Cause::Response(response) if is_unable(response) => None,
                        Cause::Response(response) => Some(error::from_response(response)),
                        Cause::Timeout => Some(Refusal::SipTimeout.stanza_error()),
                        Cause::Transport => Some(Refusal::SipTransport.stanza_error()),
                        Cause::NoWay => Some(Refusal::NoRoute.stanza_error()),
                    };
                    self.unsubscribed(stage, id, error);
                }
            }
            Event::Expired { id: usage, .. } | Event::Ended { id: usage, .. } => {
                if self.is_current(id, usage) {
                    self.unsubscribed(stage, id, Some(Refusal::SipTimeout.stanza_error()));
                }
            }
            // Nothing of it is stored: it is no use to who has no session.
            Event::Save { id: usage, .. } => stage.events(|events, _| events.confirmed(usage, u32::MAX)),
            Event::Accepted { .. }
            | Event::Watch { .. }
            | Event::Wanted { .. }
            | Event::WatcherGone { .. }
            | Event::Lapsed { .. } => {}
        }
    }

    fn is_current(&self, id: SeatId, usage: UsageId) -> bool {
        self.seats.get(&id).is_some_and(|seat| seat.usage == Some(usage))
    }

    fn notified(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        usage: UsageId,
        server: ServerId,
        request: &Request,
        state: State,
    ) {
        let document = read(request, self.options.roster);
        let response = document.as_ref().map_or_else(Refusal::response, |_| Response::new(200, ""));
        stage.events(|events, ground| events.answer_notify(ground, usage, server, response));
        if !self.is_current(id, usage) {
            return;
        }
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.failures = 0;
        if let Ok(Some(info)) = document {
            let entity = info.entity.clone();
            match seat.conference.apply(info) {
                Ok(changes) => {
                    seat.entity = Some(entity);
                    let before = std::mem::replace(&mut seat.weight, seat.conference.weight());
                    self.weight = self.weight - before + seat.weight;
                    if self.weight > WEIGHT {
                        // Somebody has made up people: what is kept of all rooms together is bounded, too.
                        let error = Refusal::Overload { retry_after: stage.config.limits.retry_after };
                        return self.give_up(stage, id, End::Refused(error.stanza_error()));
                    }
                    self.changed(stage, id, &changes);
                }
                // RFC 4575 §4.6: something is missing, so that all of it is asked for. Once: a focus may answer so each time.
                Err(gap) if !gap.again => stage.events(|events, ground| events.refresh(ground, usage)),
                Err(_) => {}
            }
        }
        if let State::Terminated { reason, retry_after } = state {
            self.terminated(stage, id, usage, reason.as_ref(), retry_after);
        }
    }

    /// The focus has told something new.
    fn changed(&mut self, stage: &mut Stage<'_>, id: SeatId, changes: &Changes) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if changes.over {
            return self.learnt(stage, id, end::destroyed());
        }
        let said: Vec<(Str, Says)> = if std::mem::take(&mut seat.fresh) || seat.people.is_lost() {
            let there = seat.conference.users().map(|user| (user.entity.clone(), says_of(seat, user)));
            let gone = seat.people.entities().filter(|entity| seat.conference.user(entity).is_none());
            gone.map(|entity| (entity.clone(), Says::Gone(Gone::default()))).chain(there).collect()
        } else {
            changes.users.iter().filter_map(|change| says(seat, change)).collect()
        };
        let mut news = seat.people.apply(said);
        if let Some(former) = seat.people.take_former()
            && let Some(user) = seat.conference.user(&former)
        {
            let says = says_of(seat, user);
            news.extend(seat.people.apply(vec![(former, says)]));
        }
        let subject = seat.conference.subject().map(Str::from);
        let resubject = std::mem::replace(&mut seat.subject, subject) != seat.subject && seat.entered;
        if seat.phase == Phase::Subscribing {
            self.enter(stage, id, &news);
        } else if seat.entered {
            self.tell(stage, id, &news);
        }
        let Some(seat) = self.seats.get(&id) else { return };
        if resubject && seat.phase != Phase::Leaving {
            let subject = s2x::subject(seat, &stage.tokens.token(12));
            stage.answer(seat.link, &subject);
        }
    }

    /// Tells the user what is new of the others and of itself: Table 3, XEP-0045 §7.2.2, §7.6, §7.14.
    pub(super) fn tell(&mut self, stage: &mut Stage<'_>, id: SeatId, news: &[News]) {
        let mut out = None;
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.vacated.retain(|(_, until)| *until > stage.now);
        for item in news {
            if let News::Left(nick, _) | News::Renamed(nick, _) = item {
                if seat.vacated.len() == VACANCIES {
                    seat.vacated.pop_front();
                }
                seat.vacated.push_back((nick.clone(), stage.now + VACATED));
            }
            if let News::Me(..) = item {
                // Whoever is shown again was not thrown out.
                seat.why.take_if(|why| matches!(why, End::Kicked(_)));
            }
            let told = match item {
                News::There(person) => vec![s2x::there(seat, person)],
                News::Renamed(old, person) => vec![s2x::renamed(seat, old, person), s2x::there(seat, person)],
                News::Left(nick, gone) => vec![s2x::left(seat, nick, gone)],
                News::Me(old, person) if *old != person.nick => {
                    seat.shown = person.nick.clone();
                    vec![s2x::own_renamed(seat, old), s2x::own(seat, true)]
                }
                News::Me(..) => vec![s2x::own(seat, false)],
                News::NotMe(gone) => {
                    out = Some(if gone.failed { End::Lost } else { End::Kicked(gone.clone()) });
                    continue;
                }
            };
            for stanza in &told {
                stage.note(Note::Presence { to: Side::Xmpp });
                stage.answer(seat.link, stanza);
            }
        }
        if let Some(end) = out {
            self.learnt(stage, id, end);
        }
    }

    /// The focus has ended the subscription: RFC 6665 §4.1.3.
    fn terminated(
        &mut self,
        stage: &mut Stage<'_>,
        id: SeatId,
        usage: UsageId,
        reason: Option<&Reason>,
        retry_after: Option<u32>,
    ) {
        if !self.is_current(id, usage) {
            return;
        }
        if let Some(Reason::NoResource) = reason {
            let Some(seat) = self.seats.get_mut(&id) else { return };
            seat.usage = None;
            // Of a session that was lost the focus has no more to tell; and what it has told in a document holds.
            if seat.torn || seat.why.is_some() {
                return;
            }
            // The end of a conference is a document that says so (RFC 4575 §4.6); this may be the end of the user's part in it, too.
            return self.learnt(stage, id, End::Lost);
        }
        let error = match reason {
            Some(Reason::Rejected) => None,
            _ => Some(Refusal::SipTimeout.stanza_error()),
        };
        self.unsubscribed(stage, id, error);
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.phase == Phase::Inside) else { return };
        seat.retry = match (reason, retry_after) {
            (Some(Reason::Rejected | Reason::Invariant), _) => None,
            (Some(Reason::Deactivated), _) => Some(stage.now),
            (_, Some(seconds)) => Some(stage.now + Duration::from_secs(seconds.into()).clamp(FIRST, LONGEST)),
            (_, None) => seat.retry,
        };
        self.arm(id);
    }

    /// There is no subscription any more, or there never was. Who is on the way in comes in without it where there is no `error`; who is in the
    /// room stays, and it is tried again.
    pub(super) fn unsubscribed(&mut self, stage: &mut Stage<'_>, id: SeatId, error: Option<StanzaError>) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.usage = None;
        match (seat.phase, error) {
            (Phase::Subscribing, None) => self.enter(stage, id, &[]),
            (Phase::Subscribing, Some(error)) => self.give_up(stage, id, End::Refused(error)),
            // It is waited for all the same.
            (Phase::Parting, Some(_)) if seat.torn => {}
            // What is on its way may still be answered.
            (Phase::Parting, _) if seat.leg.is_some() => {
                seat.why.get_or_insert(End::Kicked(Gone::default()));
            }
            (Phase::Parting, _) => {
                let end = seat.why.take().unwrap_or(End::Kicked(Gone::default()));
                self.give_up(stage, id, end);
            }
            (Phase::Inside, Some(_)) => {
                // Numbers begin anew, and what is known holds until then.
                seat.conference.restart();
                seat.fresh = true;
                let wait = (FIRST * 2_u32.saturating_pow(seat.failures.min(16))).min(LONGEST);
                seat.failures += 1;
                seat.retry = Some(stage.now + wait);
                self.arm(id);
            }
            (Phase::Inside, None) | (Phase::Inviting | Phase::Connecting | Phase::Naming | Phase::Leaving, _) => {}
        }
    }
}

/// The conference document in a NOTIFY, if it has one.
fn read(request: &Request, most: usize) -> Result<Option<Info>, Refusal> {
    if request.body.is_empty() {
        return Ok(None);
    }
    if request.headers.get(Name::ContentEncoding).is_some() {
        return Err(Refusal::UnsupportedEncoding);
    }
    let unsupported = Refusal::UnsupportedContent { accept: MEDIA_TYPE };
    let is_ours = |value: &str| value.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case(MEDIA_TYPE));
    if !request.headers.get(Name::ContentType).is_some_and(is_ours) {
        return Err(unsupported);
    }
    Info::parse(&request.body, most).map(Some).map_err(|why| match why {
        bodies::Error::Malformed(why) => Refusal::BadBody(why),
        bodies::Error::TooBig { .. } => Refusal::TooBig,
        bodies::Error::Unsupported { .. } => unsupported,
    })
}

/// What a change says of a user.
fn says(seat: &Occupant, change: &Change) -> Option<(Str, Says)> {
    let now = |entity: &Str| seat.conference.user(entity).map(|user| (entity.clone(), says_of(seat, user)));
    match change {
        Change::Joined(entity) => now(entity),
        Change::Changed(before) => now(&before.entity),
        Change::Left(before) => Some((before.entity.clone(), Says::Gone(gone(seat, before)))),
    }
}

fn says_of(seat: &Occupant, user: &User) -> Says {
    if user.is_present() { Says::Here(person(&seat.room, user)) } else { Says::Gone(gone(seat, user)) }
}

fn gone(seat: &Occupant, user: &User) -> Gone {
    let how = user.disconnection();
    let kicked = how.is_some_and(|(how, _)| how == Disconnection::Booted);
    let reason = how.and_then(|(_, info)| info?.reason.as_deref());
    let reason = reason.map(|reason| error::text_of_reason(words(reason))).filter(|reason| !reason.is_empty());
    let by = how.and_then(|(_, info)| info?.by.as_deref()).and_then(|by| seat.people.speaker(by));
    let failed = how.is_some_and(|(how, _)| how == Disconnection::Failed);
    Gone { kicked, failed, reason: reason.filter(|_| kicked), by: by.filter(|_| kicked).map(|by| by.nick.clone()) }
}

/// The words of a reason, which is best one of RFC 3326: `SIP;cause=480;text="..."`.
fn words(reason: &str) -> &str {
    let text = reason.split_once("text=\"").and_then(|(_, rest)| rest.split_once('"'));
    text.map_or(reason, |(text, _)| text)
}

/// Tables 2 and 3.
fn person(room: &Jid, user: &User) -> Person {
    let own = jid_of(&user.entity);
    let aors = || user.aors.iter().take(ADDRESSES).filter_map(|aor| jid_of(aor));
    // RFC 7702 names the room's users by the room's address and their nicknames: that is nobody's real one.
    let real = |jid: &Jid| !jid.same_bare(room);
    let jid = aors().find(real).or_else(|| own.clone().filter(real));
    let resource = own.as_ref().filter(|jid| jid.same_bare(room)).and_then(Jid::resource);
    let local = jid.as_ref().or(own.as_ref()).and_then(Jid::local);
    let nickname = user.nickname.as_deref().and_then(|nick| Nickname::parse(nick).ok());
    let certain = nickname.is_some();
    let shown = || user.display_text.as_deref().and_then(|text| Nickname::parse(text).ok());
    let nick =
        nickname.or_else(shown).unwrap_or_else(|| Nickname::of_user(None, resource.or(local).unwrap_or(&user.entity)));
    let (affiliation, role) = role(&user.roles);
    let mut addresses: Vec<Jid> = own.into_iter().collect();
    for aor in aors() {
        addresses.push(aor.bare());
        addresses.push(aor);
    }
    // The addresses of its devices, which may speak under them.
    addresses.extend(user.endpoints.iter().take(ADDRESSES).filter_map(|endpoint| jid_of(&endpoint.entity)));
    addresses.sort();
    addresses.dedup();
    Person { nick, certain, affiliation, role, jid, addresses }
}

/// Table 3 knows participants only; RFC 4575 §5.6.3 has any words there.
fn role(roles: &[Str]) -> (Affiliation, Role) {
    let is = |names: &[&str]| roles.iter().any(|role| names.iter().any(|name| role.eq_ignore_ascii_case(name)));
    let affiliation = if is(&["owner"]) {
        Affiliation::Owner
    } else if is(&["admin", "administrator"]) {
        Affiliation::Admin
    } else if is(&["member"]) {
        Affiliation::Member
    } else {
        Affiliation::None
    };
    let role = if is(&["moderator", "chair", "chairman", "chairperson", "host"]) || affiliation >= Affiliation::Admin {
        Role::Moderator
    } else if is(&["visitor", "observer", "listener", "audience"]) {
        Role::Visitor
    } else {
        Role::Participant
    };
    (affiliation, role)
}

/// Whether a focus says that it tells nothing of its conferences, or not to this user.
fn is_unable(response: &Response) -> bool {
    matches!(response.code, 403 | 405 | 406 | 481 | 489 | 501 | 603)
}
