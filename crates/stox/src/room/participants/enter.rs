//! Entering a MUC for a SIP user: RFC 7702 §6.1, XEP-0045 §7.2.

use super::Participants;
use super::ask::{Ask, Said};
use super::place::{Participant, Phase};
use crate::address;
use crate::error::{self, Refusal};
use crate::leg::{Chatroom, LegId};
use crate::mapping::{Invitation, Purpose, Stage};
use crate::room::PASSWORD;
use crate::room::nickname::Nickname;
use base::Str;
use sip::header::Name;
use sip::{NameAddr, Response};
use std::time::Duration;
use xmpp::error::{Condition, ErrorType, StanzaError};
use xmpp::ext::disco::Info;
use xmpp::ext::muc::{History, Join, Owner};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// How long an address has to say what it is; one that says nothing is no room.
const ASKING: Duration = Duration::from_secs(5);

/// How long that is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How many nicknames are tried where others have those before.
const VARIANTS: u32 = 10;

/// How long after a room was lost it is entered anew, and how often that is tried.
pub(super) const RETURN_AFTER: Duration = Duration::from_secs(5);
pub(super) const RETURNS: u32 = 6;

/// Whoever was inside for this long has come back for good.
const SETTLED: Duration = Duration::from_secs(60);

impl Participants {
    /// An INVITE to a room, or to what may be one.
    pub(super) fn called(&mut self, stage: &mut Stage<'_>, invitation: Invitation) {
        if invitation.purpose == Purpose::Unclear {
            match self.services.get(invitation.to.domain()) {
                Some((true, until)) if *until > stage.now => {}
                Some((false, until)) if *until > stage.now => return chat(stage, invitation),
                Some(_) | None => return self.ask(stage, invitation),
            }
        }
        if let Err(refusal) = self.sit_down(stage, &invitation) {
            stage.refuse_invitation(invitation.id, &refusal);
        }
    }

    /// Asks an address whether it is a room (XEP-0045 §6.4).
    fn ask(&mut self, stage: &mut Stage<'_>, invitation: Invitation) {
        let id = stage.tokens.token(16);
        let mut question =
            Stanza::iq("get").with_from(invitation.from.bare()).with_to(invitation.to.bare()).with_id(id.clone());
        question.push(Info::default().to_element());
        if self.asks.len() >= stage.config.limits.held || stage.deliver(invitation.link, &question).is_none() {
            let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
            return stage.refuse_invitation(invitation.id, &refusal);
        }
        self.expect(id, stage.now + ASKING, Ask::Service(Box::new(invitation)));
    }

    /// What an address is, as far as it has said so.
    pub(super) fn told_service(&mut self, stage: &mut Stage<'_>, invitation: Box<Invitation>, answer: Said<'_>) {
        if stage.sessions.dialog(invitation.id).is_none() {
            // Its sender has thought better of it.
            return;
        }
        let is_room = |info: &Info| info.has(ns::MUC) || info.identities.iter().any(|i| i.category == "conference");
        let known = match answer {
            Said::Answer(answer) => answer.elements().find_map(Info::parse).map(|info| is_room(&info)),
            Said::Error(_) | Said::Nothing => None,
        };
        if let Some(known) = known {
            // Rooms have domains of their own. Those that are served here are few, and listed.
            self.services.insert(Str::from(invitation.to.domain()), (known, stage.now + REMEMBERED));
        }
        let room = match (known, answer) {
            (Some(known), _) => known,
            // A room that is not there is one all the same: users who are not there are out of service (RFC 6121 §8.5.1).
            (None, Said::Error(error)) if error.condition == Condition::ItemNotFound => true,
            // Whoever cannot be asked now may be either.
            (None, Said::Error(error)) if may_pass(error) && error.condition != Condition::ServiceUnavailable => {
                return stage.refuse_invitation(invitation.id, &Refusal::NoAnswer);
            }
            (None, Said::Nothing) => return stage.refuse_invitation(invitation.id, &Refusal::NoAnswer),
            (None, Said::Answer(_) | Said::Error(_)) => false,
        };
        if !room {
            return chat(stage, *invitation);
        }
        if let Err(refusal) = self.sit_down(stage, &invitation) {
            stage.refuse_invitation(invitation.id, &refusal);
        }
    }

    /// A place for the device that calls. The room is asked when it is known that the INVITE can be answered.
    fn sit_down(&mut self, stage: &mut Stage<'_>, invitation: &Invitation) -> Result<(), Refusal> {
        let Invitation { id, request, flow, from, to, link, .. } = invitation;
        stage.rate(from)?;
        let retry_after = stage.config.limits.retry_after;
        if self.draining || self.seats.len() >= self.options.seats {
            return Err(Refusal::Overload { retry_after });
        }
        if !stage.links.is_up(*link) {
            return Err(Refusal::LinkDown { retry_after });
        }
        if to.resource().is_some() || to.local().is_none() {
            // Somebody in a room is spoken to through a session with the room; a service is no room.
            return Err(Refusal::Groupchat);
        }
        let room = to.bare();
        if self.of_pair(from, &room).count() >= self.options.seats_per_pair {
            return Err(Refusal::Busy);
        }
        let user = self.device(stage, from, &room, &request.headers);
        let caller = request.headers.from().ok();
        let display = caller.as_ref().and_then(|caller| caller.display.as_deref());
        let nick = Nickname::of_user(display, &unescaped(from));
        let chatroom = Chatroom { nickname: true, private_messages: true };
        let leg = stage.legs(|legs, footing| legs.hold(footing, *id, request, Some(chatroom)))?;
        let mut contact = NameAddr::new(stage.contact(&plain(&request.uri), flow.transport));
        // RFC 4579 §5.1: a focus says so in each of its Contacts.
        contact.params.set("isfocus", None);
        stage.sessions.set_contact(*id, &contact);
        let mut place = Participant::new(*link, user, room, nick, stage.tokens.token(12), stage.now);
        let brought = request.uri.sip().and_then(|uri| uri.params.get(PASSWORD));
        let brought = brought.and_then(|p| String::from_utf8(sip::uri::percent_decode(p).ok()?).ok());
        // RFC 7701 §7.2: one nickname is not given to two sessions of one user unasked.
        let own: Vec<Str> = self.of_pair(from, &place.room).map(|(_, place)| place.nick.clone()).collect();
        while own.contains(&place.nick) && place.variant < VARIANTS {
            place.variant += 1;
            place.nick = Str::from(place.wanted.variant(place.variant).as_str());
        }
        place.password = match brought {
            Some(password) => Some(Str::from(password)),
            None => self.options.passwords.get(&place.room).map(|password| password.0.clone()),
        };
        self.take_place(leg, place);
        Ok(())
    }

    /// The SIP user as the room is to see it: with the device that its Contact names (RFC 5627), or with a name of our own where that sits
    /// there already.
    fn device(&self, stage: &mut Stage<'_>, user: &Jid, room: &Jid, headers: &sip::Headers) -> Jid {
        let contact = headers.elements(Name::Contact).next().and_then(Result::ok);
        let uri = contact.and_then(|contact| NameAddr::parse(contact).ok()).map(|contact| contact.uri);
        let options = address::Options { phone_domain: stage.config.phone_domain.clone() };
        let device = uri.and_then(|uri| address::to_jid(&uri, &options).ok());
        let full =
            device.as_ref().and_then(Jid::resource).and_then(|resource| user.bare().with_resource(resource).ok());
        // What the room may still say of an earlier stay must not be taken for this one's.
        let lingers = |full: &Jid| {
            let at = self.left.get(&super::device(&self.key, full, room));
            at.is_some_and(|at| *at + super::LEAVING > stage.now)
        };
        let free = full.filter(|full| self.of_pair(user, room).all(|(_, place)| place.user != *full) && !lingers(full));
        free.unwrap_or_else(|| user.bare().with_resource(&stage.tokens.token(12)).unwrap_or_else(|_| user.clone()))
    }

    /// The INVITE can be answered: the room is asked.
    pub(super) fn knock(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg).filter(|place| place.phase == Phase::Called) else { return };
        place.phase = Phase::Entering;
        // What the room knows of us is to be undone should the process die.
        self.save(stage, leg);
        self.enter(stage, leg);
    }

    /// Asks the room to let the user in: XEP-0045 §7.2.1, RFC 7702 example 30.
    pub(super) fn enter(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let join = self.options.join;
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if place.phase == Phase::Returning && !stage.links.is_up(place.link) {
            // When the stream is there again, all of its rooms are entered.
            (place.enter_by, place.return_at) = (None, None);
            return;
        }
        let history = match place.phase {
            Phase::Returning => {
                let away = stage.now.since(place.last_heard).as_secs() + 1;
                History { seconds: u32::try_from(away).ok(), ..History::default() }
            }
            Phase::Called | Phase::Entering | Phase::Inside | Phase::Leaving => History::stanzas(self.options.history),
        };
        place.people.values_mut().for_each(|person| person.shown = false);
        place.shown = 0;
        place.crowded = false;
        place.enter_by = Some(stage.now + join);
        let Some(own) = place.own() else { return };
        let wish = Join { password: place.password.clone(), history: Some(history) };
        let id = stage.tokens.token(16);
        place.asked_by = Some(id.clone());
        let mut stanza = Stanza::presence().with_from(place.user.clone()).with_to(own).with_id(id);
        stanza.push(wish.to_element());
        let sent = stage.deliver(place.link, &stanza).is_some();
        self.arm(leg);
        if !sent {
            let refusal = Refusal::LinkDown { retry_after: stage.config.limits.retry_after };
            self.not_let_in(stage, leg, refusal.response());
        }
    }

    /// The user is in the room, and everybody in it was shown before (XEP-0045 §7.2.2).
    pub(super) fn inside(&mut self, stage: &mut Stage<'_>, leg: LegId, made: bool) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let first = place.phase == Phase::Entering;
        if first && place.crowded {
            return self.not_let_in(stage, leg, Response::new(486, "More people than can be shown"));
        }
        if made && !self.options.create {
            return self.unmake(stage, leg);
        }
        let Some(place) = self.seats.get_mut(&leg) else { return };
        place.phase = Phase::Inside;
        (place.enter_by, place.return_at, place.inside_since) = (None, None, stage.now);
        if first {
            stage.legs(|legs, footing| legs.pick_up(footing, leg));
        } else {
            let gone: Vec<Str> = place.people.iter().filter(|(_, p)| !p.shown).map(|(nick, _)| nick.clone()).collect();
            for nick in gone {
                self.gone(stage, leg, &nick, super::place::Gone::Departed);
            }
        }
        if made {
            self.unlock(stage, leg);
        }
        self.tell(stage, leg, sip::subscription::Change::State);
        self.arm(leg);
    }

    /// A room that was made by entering it is locked until its owner is content with it (XEP-0045 §10.1.2).
    fn unlock(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get(&leg) else { return };
        let id = stage.tokens.token(16);
        let mut wish = Stanza::iq("set").with_from(place.user.clone()).with_to(place.room.clone()).with_id(id);
        wish.push(Owner::instant().to_element());
        stage.answer(place.link, &wish);
    }

    /// A room that was not there, and that may not be made: it goes again.
    fn unmake(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get(&leg) else { return };
        let id = stage.tokens.token(16);
        let mut wish = Stanza::iq("set").with_from(place.user.clone()).with_to(place.room.clone()).with_id(id);
        wish.push(Owner::Destroy(xmpp::ext::muc::Destroy::default()).to_element());
        stage.answer(place.link, &wish);
        self.not_let_in(stage, leg, Response::new(404, "No such room"));
    }

    /// The room does not let the user in, or does not let him have this nickname.
    pub(super) fn turned_away(&mut self, stage: &mut Stage<'_>, leg: LegId, error: &StanzaError) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        match place.phase {
            Phase::Entering | Phase::Returning => {}
            Phase::Inside => return self.not_renamed(stage, leg, error),
            Phase::Called | Phase::Leaving => return,
        }
        if error.condition == Condition::Conflict && place.variant < VARIANTS {
            place.variant += 1;
            place.nick = match place.variant {
                n if n < VARIANTS - 1 => Str::from(place.wanted.variant(n).as_str()),
                // All of these were taken on purpose, perhaps.
                n => {
                    let own = if n == VARIANTS { stage.tokens.token(4) } else { unescaped(&place.user) };
                    base::format_compact!("{} ({own})", place.wanted)
                }
            };
            return self.enter(stage, leg);
        }
        if place.phase == Phase::Returning && may_pass(error) {
            return self.lose_room(stage, leg);
        }
        if place.phase == Phase::Entering && !may_pass(error) {
            // It need not be told that nobody comes.
            place.phase = Phase::Called;
        }
        self.not_let_in(stage, leg, answer(error));
    }

    /// Nobody knows whether the room has let the user in, or it has not: the INVITE is refused, or the session is at its end.
    pub(super) fn not_let_in(&mut self, stage: &mut Stage<'_>, leg: LegId, response: Response) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        place.enter_by = None;
        match place.phase {
            Phase::Called | Phase::Entering => {
                self.leave_room(stage, leg, None);
                stage.legs(|legs, footing| legs.refuse(footing, leg, response));
            }
            Phase::Returning => self.end(stage, leg, response.code, &response.reason),
            Phase::Inside | Phase::Leaving => {}
        }
    }

    /// The room is not there any more, for now: it is entered anew, a few times.
    pub(super) fn lose_room(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if !matches!(place.phase, Phase::Inside | Phase::Returning) {
            return;
        }
        if place.phase == Phase::Inside && stage.now.since(place.inside_since) > SETTLED {
            place.tries = 0;
        }
        place.phase = Phase::Returning;
        place.tries += u32::from(stage.links.is_up(place.link));
        if place.tries > RETURNS {
            return self.end(stage, leg, 480, "The room is not there any more");
        }
        place.enter_by = None;
        place.return_at = Some(stage.now + RETURN_AFTER);
        self.arm(leg);
    }

    /// The stream of this place is there again: what it has missed is asked for.
    pub(super) fn come_back(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        match place.phase {
            Phase::Inside | Phase::Returning => {
                place.phase = Phase::Returning;
                place.return_at = None;
                self.enter(stage, leg);
            }
            Phase::Entering => self.enter(stage, leg),
            Phase::Called | Phase::Leaving => {}
        }
    }
}

/// Whether a room, or its service, may only be away.
fn may_pass(error: &StanzaError) -> bool {
    error.kind == ErrorType::Wait
        || matches!(
            error.condition,
            Condition::RemoteServerNotFound
                | Condition::RemoteServerTimeout
                | Condition::ServiceUnavailable
                | Condition::RecipientUnavailable
                | Condition::InternalServerError
        )
}

/// The address without what only opens it.
fn plain(uri: &sip::Uri) -> sip::Uri {
    match uri.sip() {
        Some(uri) => {
            let mut plain = uri.clone();
            [PASSWORD, "gr", "method"].iter().for_each(|name| plain.params.remove(name));
            plain.into()
        }
        None => uri.clone(),
    }
}

/// The user part as people write it.
fn unescaped(user: &Jid) -> Str {
    Str::from(xmpp::jid::escape::unescape(user.local().unwrap_or_default()))
}

/// It is to a session of two after all.
fn chat(stage: &mut Stage<'_>, invitation: Invitation) {
    stage.invite_as(Invitation { purpose: Purpose::Chat, ..invitation });
}

/// The answer to an INVITE for what a room says to those whom it does not let in (XEP-0045 §7.2). A challenge that would go with 401 or 407 nobody
/// has: what is missing is a password of the room.
fn answer(error: &StanzaError) -> Response {
    let words = |default: &str| error.text.as_deref().map_or_else(|| Str::from(default), error::reason_of_text);
    match error.condition {
        Condition::NotAuthorized => Response::new(403, &words("A password is needed")),
        Condition::RegistrationRequired => Response::new(403, &words("Members only")),
        Condition::Forbidden => Response::new(403, &words("Banned")),
        Condition::NotAllowed => Response::new(403, &words("Rooms may not be made here")),
        // §7.2.9: the room is full.
        Condition::ServiceUnavailable | Condition::ResourceConstraint => Response::new(486, &words("The room is full")),
        Condition::Conflict => Response::new(486, &words("The nickname is taken")),
        Condition::ItemNotFound => Response::new(404, &words("No such room")),
        Condition::NotAcceptable => Response::new(403, &words("Not under this nickname")),
        _ => error::to_invite_response(error, true),
    }
}
