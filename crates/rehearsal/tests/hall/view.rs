//! What a user in a room has been told of it.

use std::collections::BTreeMap;
use xmpp::error::StanzaError;
use xmpp::ext::delay::Delay;
use xmpp::ext::muc::{self, User, status};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// One user's view of one room.
#[derive(Debug, Default, Clone)]
pub struct View {
    /// Who is there, by nickname, with what the room says of each.
    pub people: BTreeMap<String, Standing>,
    /// Under which name the user is in it.
    pub own: Option<String>,
    /// What was said to all since the user came, with who said it.
    pub heard: Vec<(String, String)>,
    /// What was said before.
    pub history: Vec<(String, String)>,
    /// What was said to the user alone.
    pub private: Vec<(String, String)>,
    pub subject: Option<String>,
    /// The statuses with which the user was put out, the last time.
    pub out: Option<Vec<u16>>,
    /// What else came.
    pub errors: Vec<String>,
}

/// What the room says of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub affiliation: Option<muc::Affiliation>,
    pub role: Option<muc::Role>,
}

impl View {
    pub fn sees(&mut self, stanza: &Stanza) {
        if let Some(error) = StanzaError::from_stanza(stanza) {
            return self.errors.push(error.condition.to_string());
        }
        let nick = stanza.from.as_ref().and_then(Jid::resource).unwrap_or_default().to_owned();
        match stanza.kind {
            Kind::Message => self.message(nick, stanza),
            Kind::Presence => self.presence(nick, stanza),
            Kind::Iq => {}
        }
    }

    fn message(&mut self, nick: String, stanza: &Stanza) {
        if let Some(subject) = muc::subject(stanza) {
            self.subject = Some(subject);
            return;
        }
        let Some(body) = stanza.child("body", ns::CLIENT).map(|b| b.text().into_owned()) else { return };
        let late = stanza.elements().any(|e| Delay::parse(e).is_some());
        match (muc::is_groupchat(stanza), late) {
            (true, false) => self.heard.push((nick, body)),
            (true, true) => self.history.push((nick, body)),
            (false, _) => self.private.push((nick, body)),
        }
    }

    fn presence(&mut self, nick: String, stanza: &Stanza) {
        let user = User::of(stanza).unwrap_or_default();
        let own = user.has(status::SELF_PRESENCE);
        if stanza.type_.is_none() {
            let item = user.item().cloned().unwrap_or_default();
            self.people.insert(nick.clone(), Standing { affiliation: item.affiliation, role: item.role });
            if own {
                self.own = Some(nick);
                self.out = None;
            }
        } else if own && !user.has(status::NICK_CHANGED) {
            self.people.clear();
            self.own = None;
            self.out = Some(user.statuses);
        } else {
            self.people.remove(&nick);
        }
    }
}
