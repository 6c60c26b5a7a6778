//! Who is in a room.

use base::Str;
use xmpp::ext::muc::{Affiliation, Role};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// Somebody in a room, for tests to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The nickname.
    pub nick: Str,
    /// The full addresses of the devices, in the order in which they came.
    pub sessions: Vec<Jid>,
    /// What he is to the room.
    pub affiliation: Affiliation,
    /// What he may do.
    pub role: Role,
}

/// Somebody in a room.
#[derive(Clone, Debug)]
pub(super) struct Occupant {
    /// His bare address.
    pub(super) bare: Jid,
    pub(super) role: Role,
    /// His devices, at least one.
    pub(super) sessions: Vec<Session>,
}

/// A device of somebody in a room.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) jid: Jid,
    /// What it last said of itself.
    pub(super) presence: Stanza,
}
