//! XEP-0045: Multi-User Chat. What rooms and people say to each other, typed; who may say what is for whoever keeps a room or sits in one.
//! What is unknown is left out; lists end at [`MAX_ITEMS`].

mod admin;
mod join;
pub mod status;
#[cfg(test)]
mod tests;
mod user;

pub use admin::{Admin, Owner};
pub use join::{History, Join};
pub use user::{Actor, Continue, Decline, Destroy, Invite, Item, User};

use crate::ns;
use crate::stanza::{Kind, Stanza};
use std::fmt;

/// The most items, invitations or statuses that are read of one element: a room that tells more tells it in several stanzas.
pub const MAX_ITEMS: usize = 1000;

/// What somebody is to a room, whether he is in it or not (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Affiliation {
    /// Banned.
    Outcast,
    /// Nothing in particular.
    #[default]
    None,
    /// On the list of those who may come to a members-only room.
    Member,
    /// May ban and make members and moderators.
    Admin,
    /// May do all of it, and end the room.
    Owner,
}

impl Affiliation {
    /// All of them.
    pub const ALL: [Affiliation; 5] =
        [Affiliation::Outcast, Affiliation::None, Affiliation::Member, Affiliation::Admin, Affiliation::Owner];

    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::Admin => "admin",
            Affiliation::Owner => "owner",
        }
    }

    /// The affiliation of that name.
    pub fn from_name(name: &str) -> Option<Affiliation> {
        Affiliation::ALL.into_iter().find(|a| a.name() == name)
    }
}

impl fmt::Display for Affiliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an occupant may do as long as he is in the room (§5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// Not in the room (any more).
    #[default]
    None,
    /// May listen.
    Visitor,
    /// May speak.
    Participant,
    /// May kick and give voice.
    Moderator,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::None, Role::Visitor, Role::Participant, Role::Moderator];

    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Visitor => "visitor",
            Role::Participant => "participant",
            Role::Moderator => "moderator",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `message` makes the room's subject (§8.1): it is of type groupchat and has a `<subject/>`, and neither body nor thread. An empty one
/// says that there is none. None if it does not tell of the subject. Of several, in several languages, the first counts.
pub fn subject(message: &Stanza) -> Option<String> {
    let own = |name| message.child(name, ns::CLIENT);
    let subject = own("subject").filter(|_| own("body").is_none() && own("thread").is_none())?;
    (message.kind == Kind::Message && is_groupchat(message)).then(|| subject.text().into_owned())
}

/// Whether it is a message of type groupchat: to all in a room, or from it.
pub fn is_groupchat(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Message && stanza.type_.as_deref() == Some("groupchat")
}
