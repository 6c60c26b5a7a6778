//! Presence of the gateway itself: whoever asks may know that it is there. It keeps no list of who did.

use super::Presences;
use crate::config::LinkId;
use crate::gateway::Note;
use crate::mapping::Stage;
use base::Str;
use xmpp::agent;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

impl Presences {
    /// A presence stanza to the gateway's own address.
    pub(super) fn gateway_presence(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza) {
        let (Some(from), Some(identity)) = (&stanza.from, stage.config.identity(link)) else { return };
        let Ok(gateway) = Jid::new(None, identity.domain, None) else { return };
        let answer = |to: Jid| Stanza::presence().with_from(gateway.clone()).with_to(to);
        let here = |to: Jid| answer(to).with_child(agent::caps(&identity).to_element());
        match stanza.type_.as_deref() {
            Some("subscribe") => {
                stage.answer(link, &answer(from.bare()).with_type(Str::const_new("subscribed")));
                stage.answer(link, &here(from.bare()));
                self.ask_to_publish(stage, &gateway, from);
            }
            Some("unsubscribe") => {
                stage.answer(link, &answer(from.bare()).with_type(Str::const_new("unsubscribed")));
                self.stop_publishing(stage, &gateway, from);
            }
            Some("probe") => stage.answer(link, &here(from.clone())),
            None | Some("unavailable" | "unsubscribed") => {
                self.session_answer(stage, stanza);
                self.user_says(stage, &gateway, stanza);
            }
            Some("subscribed") => self.user_says(stage, &gateway, stanza),
            Some(_) => stage.note(Note::Ignored { why: "presence to the gateway" }),
        }
    }
}
