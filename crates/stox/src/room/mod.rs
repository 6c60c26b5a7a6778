//! Multi-user chat: RFC 7702, MSRP chat rooms (RFC 7701, RFC 4575) <-> Multi-User Chat (XEP-0045).
//!
//! Two mappings that know nothing of each other. In [`participants`] the gateway is the focus of a conference that a SIP user takes part in,
//! and an occupant of a MUC; in [`occupants`] it is the MUC service of an XMPP user, and a participant of a SIP conference. What is below both is
//! here.

pub(crate) mod content;
pub mod invitations;
pub mod nickname;
pub mod occupants;
pub mod participants;
pub(crate) mod record;

use base::Str;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use xmpp::jid::Jid;

/// The event package of conferences (RFC 4575).
pub const CONFERENCE: &str = "conference";

/// The event package of what became of a REFER (RFC 3515).
pub const REFER: &str = "refer";

/// What the address of a room says besides, where somebody brings a password (RFC 7702 has no word for it).
const PASSWORD: &str = "password";

/// How rooms are translated.
#[derive(Debug, Clone)]
pub struct Options {
    /// XMPP domains that are MUC services: an INVITE to an address there is to a room, and no other. Empty: of an INVITE that says `a=chatroom`
    /// the domain is asked what it is (XEP-0030).
    pub muc_domains: Vec<Str>,
    /// SIP domains that are conference services: an address there is a room, whoever sits in it.
    pub sip_domains: Vec<Str>,
    /// How many messages of the past a SIP user is shown at most (XEP-0045 §7.2.13).
    pub history: u32,
    /// The passwords of rooms for SIP users who bring none.
    pub passwords: BTreeMap<Jid, Password>,
    /// Whether a SIP user makes a room that is not there by entering it.
    pub create: bool,
    /// How long entering a room may take.
    pub join: Duration,
    /// People in one room; with more a room cannot be entered, and who comes then is not shown.
    pub roster: usize,
    /// Bytes of messages that wait for one SIP user who does not take them; beyond, that user is out of the room.
    pub backlog: usize,
    /// Places in rooms in one shard, for each direction; beyond: 503, `<resource-constraint/>`.
    pub seats: usize,
    /// Places of one user in one room. Beyond: 486, `<resource-constraint/>`.
    pub seats_per_pair: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            muc_domains: Vec::new(),
            sip_domains: Vec::new(),
            history: 20,
            passwords: BTreeMap::new(),
            create: true,
            join: Duration::from_secs(30),
            roster: 10_000,
            backlog: 1 << 20,
            seats: 50_000,
            seats_per_pair: 8,
        }
    }
}

impl Options {
    /// Whether this XMPP domain is known to be a MUC service.
    pub fn is_muc(&self, domain: &str) -> bool {
        self.muc_domains.iter().any(|d| d == domain)
    }

    /// Whether this SIP domain is known to be a conference service.
    pub fn is_conference(&self, domain: &str) -> bool {
        self.sip_domains.iter().any(|d| d == domain)
    }
}

/// What opens a room. It is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Str);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// A place in a room, for the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// Whose place it is, with the device.
    pub user: Jid,
    /// The room.
    pub room: Jid,
    /// Under which name.
    pub nick: Str,
    /// Whether the user is in the room.
    pub inside: bool,
    /// How long there has been a place.
    pub age: Duration,
    /// People in the room.
    pub people: usize,
    /// Messages that went from the user to the room.
    pub said: u64,
    /// Messages that went from the room to the user.
    pub heard: u64,
    /// Messages that wait or are on their way to SIP.
    pub waiting: usize,
}
