//! Who is in the room: its presence (XEP-0045 §7.2 to §7.14), as the SIP user's place keeps it. RFC 7702 §6.2.

use super::Participants;
use super::place::{Gone, Person, Phase};
use super::watch::Out;
use crate::leg::LegId;
use crate::mapping::Stage;
use crate::room::nickname::Nickname;
use base::Str;
use sip::subscription::Change;
use xmpp::ext::muc::{Destroy, Item, User};
use xmpp::ext::occupant_id::OccupantId;
use xmpp::stanza::Stanza;

/// The status codes of XEP-0045 §15.6 that matter here.
mod status {
    /// The presence is the user's own.
    pub(super) const OWN: u16 = 110;
    /// The room was made by entering it.
    pub(super) const MADE: u16 = 201;
    /// The room has changed the nickname.
    pub(super) const RENAMED: u16 = 210;
    /// Banned.
    pub(super) const BANNED: u16 = 301;
    /// The nickname changes.
    pub(super) const NEW_NICK: u16 = 303;
    /// Kicked.
    pub(super) const KICKED: u16 = 307;
    /// Out, as the affiliation has changed.
    pub(super) const AFFILIATION: u16 = 321;
    /// Out, as the room is for members only now.
    pub(super) const MEMBERS_ONLY: u16 = 322;
    /// Out, as the service ends.
    pub(super) const SHUTDOWN: u16 = 332;
    /// Out, for a technical problem.
    pub(super) const TECHNICAL: u16 = 333;
}

/// Why the room puts somebody out.
const OUT: [u16; 6] =
    [status::BANNED, status::KICKED, status::AFFILIATION, status::MEMBERS_ONLY, status::SHUTDOWN, status::TECHNICAL];

impl Participants {
    /// Presence from the room.
    pub(super) fn presence(&mut self, stage: &mut Stage<'_>, leg: LegId, stanza: &Stanza) {
        let Some(nick) = stanza.from.as_ref().and_then(|from| from.resource()) else { return };
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if place.phase == Phase::Called || place.phase == Phase::Leaving {
            return;
        }
        place.stir(stage.now);
        let user = User::of(stanza).unwrap_or_default();
        match stanza.type_.as_deref() {
            None => self.came(stage, leg, nick, &user, stanza),
            Some("unavailable") => self.went(stage, leg, nick, &user),
            Some(_) => {}
        }
    }

    fn came(&mut self, stage: &mut Stage<'_>, leg: LegId, nick: &str, user: &User, stanza: &Stanza) {
        let most = self.options.roster;
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let item = user.item().cloned().unwrap_or_default();
        // Rooms of old do not mark what is the user's own.
        let own = user.has(status::OWN)
            || user.statuses.is_empty() && place.nick == nick && {
                place.phase != Phase::Inside || item.jid.as_ref() == Some(&place.user)
            };
        // 64 bits under a secret key: nobody can make two that are one.
        let id = OccupantId::of(stanza).map(|id| self.key.fingerprint(&[id.0.as_bytes()]).bits() as u64);
        let news = place.show(nick, Person::of(&item, id), most);
        if !own {
            if news {
                self.changed(leg, nick);
                self.tell_inside(stage, leg);
            }
            return;
        }
        // The room may grant a nickname in another form than it was asked for.
        let asked = place.renaming.take_if(|renaming| renaming.to.as_str() == nick || place.nick != nick);
        if let Some(own) = place.people.get_mut(nick) {
            own.known = true;
        }
        if place.nick != nick {
            // The room's word counts (status 210), or it has granted what was asked for.
            place.nick = Str::from(nick);
            if let (false, Ok(granted)) = (user.has(status::RENAMED), Nickname::parse(nick)) {
                place.wanted = granted;
            }
            self.save(stage, leg);
        }
        if let Some(asked) = asked {
            let granted = Nickname::parse(nick).is_ok_and(|nick| nick.resembles(&asked.to));
            let code = if granted { 200 } else { 425 };
            stage.legs(|legs, footing| legs.answer(footing, asked.token, code, ""));
            self.leave_if_quiet(stage, leg);
        }
        if news {
            self.changed(leg, nick);
        }
        match self.seats.get(&leg).map(|place| place.phase) {
            Some(Phase::Entering | Phase::Returning) => {
                self.inside(stage, leg, user.has(status::MADE));
            }
            Some(Phase::Inside) if news => self.tell_inside(stage, leg),
            Some(Phase::Called | Phase::Inside | Phase::Leaving) | None => {}
        }
    }

    fn went(&mut self, stage: &mut Stage<'_>, leg: LegId, nick: &str, user: &User) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let own = user.has(status::OWN) || place.nick == nick && place.phase == Phase::Inside;
        let item = user.item().cloned().unwrap_or_default();
        if user.has(status::NEW_NICK) {
            // What he is called now, the presence says that follows.
            return self.gone(stage, leg, nick, Gone::Departed);
        }
        if own {
            let cause = user.destroy.is_some() || OUT.iter().any(|code| user.has(*code));
            if place.phase == Phase::Entering && !cause {
                // Of an earlier stay.
                return;
            }
            return self.put_out(stage, leg, user, &item);
        }
        let how = match () {
            () if user.has(status::TECHNICAL) || user.has(status::SHUTDOWN) => Gone::Failed,
            () if [status::BANNED, status::KICKED, status::AFFILIATION, status::MEMBERS_ONLY]
                .iter()
                .any(|code| user.has(*code)) =>
            {
                Gone::Booted
            }
            () => Gone::Departed,
        };
        self.gone(stage, leg, nick, how);
    }

    /// Somebody is not there any more.
    pub(super) fn gone(&mut self, stage: &mut Stage<'_>, leg: LegId, nick: &str, how: Gone) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        let Some(person) = place.people.remove(nick) else { return };
        place.shown -= usize::from(person.shown);
        for watcher in &mut place.watchers {
            watcher.gone(nick, how, person.known);
        }
        self.tell_inside(stage, leg);
    }

    /// People are told of when all of them were shown.
    fn tell_inside(&mut self, stage: &mut Stage<'_>, leg: LegId) {
        if self.seats.get(&leg).is_some_and(|place| place.phase == Phase::Inside) {
            self.tell(stage, leg, Change::Content);
        }
    }

    /// The room has put the user out, or is no more.
    fn put_out(&mut self, stage: &mut Stage<'_>, leg: LegId, user: &User, item: &Item) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        if let (true, None) = (user.has(status::SHUTDOWN) || user.has(status::TECHNICAL), &user.destroy) {
            return self.lose_room(stage, leg);
        }
        if place.phase == Phase::Inside {
            // It need not be told.
            place.phase = Phase::Leaving;
        }
        self.last_words(stage, leg, if user.destroy.is_some() { Out::Destroyed } else { Out::Thrown });
        let (code, what) = match &user.destroy {
            Some(destroy) => (410, destroyed(destroy)),
            None if user.has(status::BANNED) => (403, by("Banned", item)),
            None if user.has(status::KICKED) => (403, by("Kicked", item)),
            None if user.has(status::AFFILIATION) => (403, by("Not a member any more", item)),
            None if user.has(status::MEMBERS_ONLY) => (403, "The room is for members only now".to_owned()),
            None => (480, "Out of the room".to_owned()),
        };
        self.end(stage, leg, code, &what);
    }

    /// One of the people is to be told of.
    fn changed(&mut self, leg: LegId, nick: &str) {
        let Some(place) = self.seats.get_mut(&leg) else { return };
        for watcher in &mut place.watchers {
            watcher.changed(nick);
        }
    }
}

/// What was done, by whom and why, in words.
fn by(what: &str, item: &Item) -> String {
    let mut words = what.to_owned();
    let actor = item.actor.as_ref();
    if let Some(actor) =
        actor.and_then(|actor| actor.nick.clone().or_else(|| Some(Str::from(actor.jid.as_ref()?.local()?))))
    {
        words.push_str(" by ");
        words.push_str(&actor);
    }
    if let Some(reason) = &item.reason {
        words.push_str(": ");
        words.push_str(reason);
    }
    words
}

/// That a room is no more, why, and where it goes on.
fn destroyed(destroy: &Destroy) -> String {
    let mut words = "The room is closed".to_owned();
    if let Some(reason) = &destroy.reason {
        words.push_str(": ");
        words.push_str(reason);
    }
    let there = destroy.jid.as_ref().and_then(|jid| crate::address::to_uri(jid, crate::address::Scheme::Sip).ok());
    if let Some(there) = there {
        words.push_str("; it goes on at ");
        words.push_str(&there.to_string());
    }
    words
}
