//! Whatever happens, what everybody in a room has been told of it is how it is.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use xmpp::ext::muc::Role;

/// What one device has seen.
#[derive(Debug, Default)]
struct View {
    /// Who is there, with affiliation and role.
    people: BTreeMap<String, (Affiliation, Role)>,
    /// Under which name it is in itself.
    own: Option<String>,
    heard: Vec<String>,
}

impl View {
    fn sees(&mut self, stanza: &Stanza) {
        if stanza.kind == Kind::Message {
            let body = stanza.child("body", ns::CLIENT).map(|b| b.text().into_owned());
            return self.heard.extend(body);
        }
        if stanza.kind != Kind::Presence || stanza.is_error() {
            return;
        }
        let nick = stanza.from.as_ref().and_then(Jid::resource).expect("an occupant").to_owned();
        let user = User::of(stanza).expect("what a room says");
        let item = user.item().expect("an item");
        let own = user.has(status::SELF_PRESENCE);
        if stanza.type_.is_none() {
            let standing = (item.affiliation.expect("an affiliation"), item.role.expect("a role"));
            self.people.insert(nick.clone(), standing);
            if own {
                self.own = Some(nick);
            }
        } else if own && !user.has(status::NICK_CHANGED) {
            *self = View { heard: std::mem::take(&mut self.heard), ..View::default() };
        } else {
            self.people.remove(&nick);
        }
    }
}

fn action() -> impl Strategy<Value = (usize, usize, u32)> {
    (0usize..14, 0usize..6, 0u32..5)
}

/// Two users with two devices each, an owner, and a stranger.
const USERS: [&str; 6] = ["otto", "romeo", "romeo@example.com/phone", "juliet", "juliet@example.com/phone", "paris"];
const NICKS: [&str; 5] = ["A", "B", "C", "D", "E"];

proptest! {
    #[test]
    fn everybody_sees_what_is(several in any::<bool>(), actions in prop::collection::vec(action(), 1..60)) {
        let mut s = service();
        s.options.several_sessions = several;
        let mut views: BTreeMap<Jid, View> = BTreeMap::new();
        let mut said = 0;
        for (what, who, n) in actions {
            let (user, nick) = (USERS[who], NICKS[n as usize]);
            let at = format!("den/{nick}");
            let items = |item: &str| format!("<iq type='set' id='1'><query xmlns='{}'>{item}</query></iq>", ns::MUC_ADMIN);
            let bare = ["otto", "romeo", "juliet", "paris", "romeo"][n as usize];
            let affiliation = |a: &str| items(&format!("<item jid='{bare}@example.com' affiliation='{a}'/>"));
            let (to, text) = match what {
                0..=3 => (at, JOIN.to_owned()),
                4 => (at, "<presence><show>away</show></presence>".to_owned()),
                5 => (at, "<presence type='unavailable'/>".to_owned()),
                6 => {
                    said += 1;
                    ("den".to_owned(), format!("<message type='groupchat'><body>{said}</body></message>"))
                }
                7 => ("den".to_owned(), items(&format!("<item nick='{nick}' role='none'/>"))),
                8 => ("den".to_owned(), items(&format!("<item nick='{nick}' role='visitor'/>"))),
                9 => ("den".to_owned(), items(&format!("<item nick='{nick}' role='moderator'/>"))),
                10 => ("den".to_owned(), affiliation("admin")),
                11 => ("den".to_owned(), affiliation("outcast")),
                12 => ("den".to_owned(), affiliation("none")),
                _ => (at, "<message type='error'/>".to_owned().replace("/>", "><error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")),
            };
            let before: Vec<usize> = views.values().map(|v| v.heard.len()).collect();
            let inside: Vec<Jid> = s.rooms["den"].nicks.keys().cloned().collect();
            let out = answers(&mut s, user, &to, &text);
            for stanza in &out {
                let to = stanza.to.clone().expect("a recipient");
                if stanza.kind != Kind::Iq && !stanza.is_error() {
                    views.entry(to).or_default().sees(stanza);
                }
            }
            // Whoever is inside knows who is, and what they are; whoever is not, knows that.
            let people: BTreeMap<String, (Affiliation, Role)> =
                s.people("den").into_iter().map(|p| (p.nick.to_string(), (p.affiliation, p.role))).collect();
            let sessions: BTreeMap<Jid, Str> = s.rooms["den"].nicks.clone();
            for (jid, nick) in &sessions {
                let view = views.get(jid).expect("who is inside has been told");
                prop_assert_eq!(view.own.as_deref(), Some(nick.as_str()), "{}", jid);
                prop_assert_eq!(&view.people, &people, "{}", jid);
            }
            for (jid, view) in views.iter().filter(|(jid, _)| !sessions.contains_key(*jid)) {
                prop_assert_eq!(&view.people, &BTreeMap::new(), "{}", jid);
            }
            // The maps agree with each other.
            let listed: usize = s.people("den").iter().map(|p| p.sessions.len()).sum();
            prop_assert_eq!(listed, sessions.len());
            // A message is heard by all inside, once, or by nobody.
            let heard: Vec<usize> = views.values().map(|v| v.heard.len()).collect();
            if what == 6 && before.len() == heard.len() && before != heard {
                for (jid, view) in &views {
                    let last = view.heard.last().map(String::as_str) == Some(said.to_string().as_str());
                    prop_assert_eq!(last, inside.contains(jid));
                }
            }
        }
    }
}
