//! Whether an XMPP user has a presence session: RFC 8048 §8.1.
//!
//! Before the gateway refreshes a user's notification dialogs, it sends a probe from its own address to the user. A server that lets the
//! gateway see the user says whether there is a session. One that does not (it answers `unsubscribed`, as RFC 6121 §4.3.2 has it for
//! everybody whom the user has not approved) has at least had the work: then the dialogs are refreshed as long as the last sign of a session
//! is not older than [`super::Options::keep`]. No answer counts the same, and is the rule: Prosody 0.12 means to say `unsubscribed`, but its own
//! roster stops the stanza. So the wait for it is short ([`super::Options::probe_wait`]), or a dialog of a minute would lapse in it.

use super::{Due, Presences};
use crate::mapping::Stage;
use base::{Fingerprint, HashKey, Recent, Str, Table, Time};
use std::time::Duration;
use xmpp::error::{Condition, StanzaError};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long an answer is true for all pairs of the user.
const FRESH: Duration = Duration::from_secs(30);

/// How many users' answers are remembered.
const USERS: usize = 16_384;

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// There is a session.
    Live,
    /// There is none.
    Over,
    /// It does not say.
    Unknown,
}

#[derive(Debug)]
struct Asked {
    pairs: Vec<Fingerprint>,
    until: Time,
}

/// The users whose servers were asked.
#[derive(Debug)]
pub(super) struct Sessions {
    asked: Table<Fingerprint, Asked>,
    answers: Recent<Fingerprint, (Time, Session)>,
}

impl Sessions {
    pub(super) fn new(key: HashKey) -> Sessions {
        Sessions { asked: Table::new(key), answers: Recent::new(key, USERS) }
    }
}

impl Presences {
    /// Asks whether the XMPP user of a pair has a session; [`Presences::session_is`] goes on, perhaps at once.
    pub(super) fn ask_session(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, sip: &Jid, xmpp: &Jid) {
        // What the SIP user of the pair is allowed to see is the best answer; but that there is no session, the server is asked: the user
        // may be coming back this moment.
        if self.watches.get(&pair).and_then(|watch| watch.session()) == Some(true) {
            return self.session_is(stage, pair, Session::Live);
        }
        let user = self.user(xmpp);
        if let Some((at, answer)) = self.sessions.answers.get(&user).copied()
            && stage.now.since(at) < FRESH
        {
            return self.session_is(stage, pair, answer);
        }
        if let Some(asked) = self.sessions.asked.get_mut(&user) {
            if !asked.pairs.contains(&pair) {
                asked.pairs.push(pair);
            }
            return;
        }
        let (Some(link), Ok(gateway)) = (stage.link_of(sip.domain()), Jid::new(None, sip.domain(), None)) else {
            return;
        };
        let until = stage.now + self.options.probe_wait;
        self.sessions.asked.insert(user, Asked { pairs: vec![pair], until });
        self.timers.set(until, Due::Session(user));
        let probe = Stanza::presence().with_from(gateway).with_to(xmpp.bare()).with_type(Str::const_new("probe"));
        // If it is lost, the wait for the answer ends all the same.
        let _ = stage.deliver(link, &probe);
    }

    /// There was a sign of a session: what the server said before, that there is none, is not true any more.
    pub(super) fn session_begun(&mut self, xmpp: &Jid) {
        let user = self.user(xmpp);
        if matches!(self.sessions.answers.get(&user), Some((_, Session::Over))) {
            self.sessions.answers.remove(&user);
        }
    }

    fn answered(&mut self, stage: &mut Stage<'_>, user: Fingerprint, session: Session) {
        let Some(asked) = self.sessions.asked.remove(&user) else { return };
        self.sessions.answers.insert(user, (stage.now, session));
        for pair in asked.pairs {
            self.session_is(stage, pair, session);
        }
    }

    /// What a server says to the gateway itself about one of its users.
    pub(super) fn session_answer(&mut self, stage: &mut Stage<'_>, stanza: &Stanza) {
        let Some(from) = &stanza.from else { return };
        let session = match stanza.type_.as_deref() {
            None => Session::Live,
            Some("unavailable") => Session::Over,
            Some(_) => Session::Unknown,
        };
        let user = self.user(from);
        self.answered(stage, user, session);
    }

    /// The same, where it is an error.
    pub(super) fn session_error(&mut self, stage: &mut Stage<'_>, from: &Jid, error: &StanzaError) -> bool {
        let user = self.user(from);
        if !self.sessions.asked.contains(&user) {
            return false;
        }
        let session = match error.condition {
            Condition::ItemNotFound | Condition::Gone | Condition::RemoteServerNotFound | Condition::JidMalformed => {
                Session::Over
            }
            _ => Session::Unknown,
        };
        self.answered(stage, user, session);
        true
    }

    /// No answer came.
    pub(super) fn session_due(&mut self, stage: &mut Stage<'_>, user: Fingerprint) {
        if self.sessions.asked.get(&user).is_some_and(|asked| asked.until <= stage.now) {
            self.answered(stage, user, Session::Unknown);
        }
    }
}
