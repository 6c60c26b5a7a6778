//! Messages: to all, to one, and about invitations.

use super::room::Room;
use super::{Desk, Options};
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::delay::Delay;
use xmpp::ext::invitation::Invitation;
use xmpp::ext::muc::{self, Affiliation, Decline, Invite, Role, User};
use xmpp::ext::stanza_id::StanzaId;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

impl Room {
    pub(super) fn message(&mut self, desk: &mut Desk, options: &Options, stanza: Stanza) {
        let Some((from, to)) = stanza.from.clone().zip(stanza.to.clone()) else { return };
        if stanza.is_error() && kicks(&stanza) {
            return self.lost(desk, options, &from, &stanza);
        }
        match (to.resource(), stanza.type_.as_deref()) {
            (None, Some("error")) => {}
            (None, Some("groupchat")) => self.say_to_all(desk, options, &from, stanza),
            (None, _) => self.about_an_invitation(desk, &from, &stanza),
            // §7.5: to one, nobody speaks as to all.
            (Some(_), Some("groupchat")) => desk.refuse(&stanza, Condition::BadRequest),
            (Some(nick), _) => self.say_to_one(desk, options, &from, nick, stanza),
        }
    }

    /// §7.4, and §8.1 for the subject.
    fn say_to_all(&mut self, desk: &mut Desk, options: &Options, from: &Jid, stanza: Stanza) {
        let Some((nick, occupant)) = self.occupant_of(from) else {
            return desk.refuse(&stanza, Condition::NotAcceptable);
        };
        let subject = muc::subject(&stanza).is_some();
        let may = match occupant.role {
            Role::None | Role::Visitor => false,
            Role::Participant => !subject || self.settings.change_subject,
            Role::Moderator => true,
        };
        if !may {
            return desk.refuse(&stanza, Condition::Forbidden);
        }
        let bare = occupant.bare.clone();
        let children = self.carried(&stanza);
        let id = if options.stable_ids { stanza.id.clone() } else { Some(desk.id()) };
        let mut message = Stanza { from: Some(self.address(&nick)), to: None, id, children, ..stanza };
        self.sign(desk, options, &mut message, &bare);
        if options.stanza_ids {
            message.push(StanzaId { id: desk.id(), by: self.jid.clone() }.to_element());
        }
        self.to_all(desk, &message);
        let delay = Delay { stamp: desk.stamp(), from: Some(self.jid.clone()), reason: None };
        let late = message.with_child(delay.to_element());
        if subject {
            self.subject = Some(late);
        } else if late.child("body", ns::CLIENT).is_some() {
            self.history.push_back(late);
            let over = self.history.len().saturating_sub(self.settings.history);
            self.history.drain(..over);
        }
    }

    /// §7.5.
    fn say_to_one(&mut self, desk: &mut Desk, options: &Options, from: &Jid, nick: &str, stanza: Stanza) {
        let Some((own, sender)) = self.occupant_of(from) else {
            return desk.refuse(&stanza, Condition::NotAcceptable);
        };
        let Some(other) = self.occupants.get(nick) else {
            return desk.refuse(&stanza, Condition::ItemNotFound);
        };
        if !self.settings.private_messages && !stanza.is_error() {
            return desk.refuse(&stanza, Condition::Forbidden);
        }
        let mut message = Stanza { from: Some(self.address(&own)), children: self.carried(&stanza), ..stanza };
        self.sign(desk, options, &mut message, &sender.bare);
        message.push(User::default().to_element());
        for session in &other.sessions {
            desk.out.push(message.clone().with_to(session.jid.clone()));
        }
    }

    /// §7.8.2: an invitation through the room, or that it is declined.
    fn about_an_invitation(&mut self, desk: &mut Desk, from: &Jid, stanza: &Stanza) {
        let user = User::of(stanza).unwrap_or_default();
        if let Some(decline) = &user.decline {
            return self.declined(desk, from, stanza, decline);
        }
        let mut whom = Vec::new();
        for invite in &user.invites {
            whom.extend(invite.to.clone().map(|to| (to, invite)));
        }
        if whom.is_empty() {
            // §7.4: what is for all is of type groupchat.
            return desk.refuse(stanza, Condition::BadRequest);
        }
        let own = self.affiliation(from);
        if self.occupant_of(from).is_none() && own < Affiliation::Member {
            return desk.refuse(stanza, Condition::NotAcceptable);
        }
        if own < Affiliation::Admin && (self.settings.members_only || !self.settings.allow_invites) {
            return desk.refuse(stanza, Condition::Forbidden);
        }
        for (to, invite) in whom {
            if self.settings.members_only && self.affiliation(&to) == Affiliation::None {
                self.affiliate(to.bare(), Affiliation::Member);
            }
            let password = self.settings.password.clone();
            // What services send to clients that know only the one or the other.
            let direct = Invitation {
                password: password.clone(),
                reason: invite.reason.clone(),
                ..Invitation::to(self.jid.clone())
            };
            let invite = Invite { from: Some(from.clone()), to: None, ..invite.clone() };
            let user = User { invites: vec![invite], password, ..User::default() };
            let message = Stanza::message().with_from(self.jid.clone()).with_to(to).with_id(desk.id());
            desk.out.push(message.with_child(user.to_element()).with_child(direct.to_element()));
        }
    }

    fn declined(&self, desk: &mut Desk, from: &Jid, stanza: &Stanza, decline: &Decline) {
        let is_meant = |jid: &Jid, to: &Jid| {
            let nick = self.nicks.get(jid).map(|nick| self.address(nick));
            jid == to || (to.is_bare() && jid.same_bare(to)) || nick.as_ref() == Some(to)
        };
        // Only who is here can have invited anybody.
        let inviter = decline.to.as_ref().and_then(|to| self.nicks.keys().find(|jid| is_meant(jid, to)));
        let Some(inviter) = inviter else { return desk.refuse(stanza, Condition::ItemNotFound) };
        let decline = Decline { from: Some(from.clone()), to: None, ..decline.clone() };
        let user = User { decline: Some(decline), ..User::default() };
        let message = Stanza::message().with_from(self.jid.clone()).with_to(inviter.clone()).with_id(desk.id());
        desk.out.push(message.with_child(user.to_element()));
    }

    /// A message of the room itself to all in it.
    pub(super) fn announce(&self, desk: &mut Desk, what: Element) {
        let message = Stanza::message().with_from(self.jid.clone()).with_id(desk.id()).with_type("groupchat");
        self.to_all(desk, &message.with_child(what));
    }
}

/// Whether an error tells that its sender is not there any more, and not that he did not like one message.
fn kicks(stanza: &Stanza) -> bool {
    let Some(error) = StanzaError::from_stanza(stanza) else { return false };
    match error.condition {
        Condition::Gone
        | Condition::InternalServerError
        | Condition::ItemNotFound
        | Condition::JidMalformed
        | Condition::RecipientUnavailable
        | Condition::Redirect
        | Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::ServiceUnavailable => true,
        Condition::BadRequest
        | Condition::Conflict
        | Condition::FeatureNotImplemented
        | Condition::Forbidden
        | Condition::NotAcceptable
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::PolicyViolation
        | Condition::RegistrationRequired
        | Condition::ResourceConstraint
        | Condition::SubscriptionRequired
        | Condition::UndefinedCondition
        | Condition::UnexpectedRequest => false,
    }
}
