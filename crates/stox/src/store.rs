//! What must survive a crash, as the gateway sees it: records that it saves before it says what they promise.
//!
//! The gateway asks for a record to be saved ([`crate::gateway::Output::Save`]) and goes on with what depends on it only when it is told
//! that it is ([`crate::gateway::Input::Saved`]). At the start it gets every record back ([`crate::gateway::Input::Restore`]). What keeps
//! them, and where, is the shell's business.

use crate::{chat, media, phones, presence, room, trunk};
use base::Str;
use std::fmt;
use xmpp::jid::Jid;

/// Names one wish to save. Never used twice by one shard; its top byte is the shard.
pub type SaveToken = u64;

/// The shard that minted a token.
pub fn shard_of_token(token: SaveToken) -> usize {
    (token >> 56) as usize
}

/// Who watches whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// A SIP user watches an XMPP user (RFC 8048 §5.3).
    SipWatchesXmpp,
    /// An XMPP user watches a SIP user (RFC 8048 §5.2).
    XmppWatchesSip,
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A presence authorization.
    Presence(Direction),
    /// A chat session, of which a pair may have several: with an id of its own, 1 to 64 letters, digits, `-` and `_`.
    Chat(Str),
    /// A SIP user's place in a MUC, named likewise.
    Participant(Str),
    /// An XMPP user's place in a SIP conference, named likewise.
    Occupant(Str),
    /// A call, named likewise.
    Call(Str),
    /// A SIP account that an XMPP user has linked. The SIP side of the key is the domain of ours that it was linked at.
    Linked,
    /// Somebody whose phones register here: both addresses of the key are that one's.
    Account,
    /// Where such phones are; likewise.
    Contacts,
    /// What the registrar of a trunk has told, named by the trunk likewise: both addresses of the key are its domain.
    Trunk(Str),
}

/// The name of a record: what it is about, and a pair of bare addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is about.
    pub about: About,
    /// The SIP user as the XMPP side sees it.
    pub sip: Jid,
    /// The XMPP user.
    pub xmpp: Jid,
}

/// What begins the key of a presence authorization.
const PRESENCE: u8 = b'p';

/// What begins the key of a chat session.
const CHAT: u8 = b'c';

/// What begins the key of a SIP user's place in a room.
const PARTICIPANT: u8 = b'r';

/// What begins the key of an XMPP user's place in a room.
const OCCUPANT: u8 = b'o';

/// What begins the key of a call.
const CALL: u8 = b'v';

/// What begins the key of a linked account.
const LINKED: u8 = b'l';

/// What begins the value of a sealed record ([`is_sealed`]) as it is on disk. The gateway never sees more of it than this, and only where it
/// could not be opened.
pub const SEALED: &[u8] = b"sealed1:";

/// Whether the record of this key is for all shards: each gets it, the one that it belongs to as [`crate::gateway::Input::Restore`], the others as
/// [`crate::gateway::Input::Changed`], then and whenever it changes.
pub fn is_shared(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(LINKED | ACCOUNT | CONTACTS | TRUNK))) && Key::parse(key).is_ok()
}

/// Whether the record of this key has something in it that nobody may read on disk: whoever keeps it seals it with a key of its own.
pub fn is_sealed(key: &[u8]) -> bool {
    key.first() == Some(&LINKED)
}

/// What begins the key of an account.
const ACCOUNT: u8 = b'a';

/// What begins the key of an account's contacts.
const CONTACTS: u8 = b'b';

/// What begins the key of what was learnt of a trunk.
const TRUNK: u8 = b't';

/// The greatest of the two of phones: in the order of the keys accounts and contacts are the first.
pub const LAST_OF_PHONES: u8 = CONTACTS;

impl Key {
    /// The key as the store has it: kind, direction or id and NUL, the SIP user, NUL, the XMPP user. No address holds a NUL.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (sip, xmpp) = (self.sip.bare().to_string(), self.xmpp.bare().to_string());
        let kind = match &self.about {
            About::Presence(Direction::SipWatchesXmpp) => vec![PRESENCE, b's'],
            About::Presence(Direction::XmppWatchesSip) => vec![PRESENCE, b'x'],
            About::Chat(id) => [&[CHAT], id.as_bytes(), &[0]].concat(),
            About::Participant(id) => [&[PARTICIPANT], id.as_bytes(), &[0]].concat(),
            About::Occupant(id) => [&[OCCUPANT], id.as_bytes(), &[0]].concat(),
            About::Call(id) => [&[CALL], id.as_bytes(), &[0]].concat(),
            About::Linked => vec![LINKED],
            About::Account => vec![ACCOUNT],
            About::Contacts => vec![CONTACTS],
            About::Trunk(id) => [&[TRUNK], id.as_bytes(), &[0]].concat(),
        };
        [&kind, sip.as_bytes(), &[0], xmpp.as_bytes()].concat()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`Broken::Key`].
    pub fn parse(bytes: &[u8]) -> Result<Key, Broken> {
        let (about, rest) = match bytes {
            [PRESENCE, b's', rest @ ..] => (About::Presence(Direction::SipWatchesXmpp), rest),
            [PRESENCE, b'x', rest @ ..] => (About::Presence(Direction::XmppWatchesSip), rest),
            [LINKED, rest @ ..] => (About::Linked, rest),
            [ACCOUNT, rest @ ..] => (About::Account, rest),
            [CONTACTS, rest @ ..] => (About::Contacts, rest),
            [kind @ (CHAT | PARTICIPANT | OCCUPANT | CALL | TRUNK), rest @ ..] => {
                let end = rest.iter().position(|b| *b == 0).filter(|end| (1..=64).contains(end)).ok_or(Broken::Key)?;
                let id = &rest[..end];
                let is_id = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
                let id = std::str::from_utf8(id).ok().filter(|_| id.iter().all(is_id)).ok_or(Broken::Key)?;
                let about = match *kind {
                    CHAT => About::Chat,
                    PARTICIPANT => About::Participant,
                    OCCUPANT => About::Occupant,
                    TRUNK => About::Trunk,
                    _ => About::Call,
                };
                (about(Str::from(id)), &rest[end + 1..])
            }
            _ => return Err(Broken::Key),
        };
        let text = std::str::from_utf8(rest).map_err(|_| Broken::Key)?;
        let (sip, xmpp) = text.split_once('\0').ok_or(Broken::Key)?;
        let jid = |text| Jid::parse(text).ok().filter(Jid::is_bare).ok_or(Broken::Key);
        Ok(Key { about, sip: jid(sip)?, xmpp: jid(xmpp)? })
    }
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The key is none of ours.
    Key,
    /// The value is not what we write; what is wrong.
    Value(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Key => f.write_str("the key names no record"),
            Broken::Value(why) => write!(f, "the value cannot be read: {why}"),
        }
    }
}

impl std::error::Error for Broken {}

/// Reads a record as the gateway would at the start, without using it.
///
/// # Errors
/// What is wrong with it.
pub fn check(key: &[u8], value: &[u8]) -> Result<Key, Broken> {
    let key = Key::parse(key)?;
    match &key.about {
        About::Presence(Direction::SipWatchesXmpp) => presence::record::Watch::parse(value).map(drop)?,
        About::Presence(Direction::XmppWatchesSip) => presence::record::Subscription::parse(value).map(drop)?,
        About::Chat(_) => chat::record::Chat::parse(value).map(drop)?,
        About::Participant(_) | About::Occupant(_) => room::record::Seat::parse(value).map(drop)?,
        About::Call(_) => media::record::Call::parse(value).map(drop)?,
        // Only who has the key can say more.
        About::Linked if value.starts_with(SEALED) => {}
        About::Linked => return Err(Broken::Value("it is not sealed".to_owned())),
        About::Account => phones::Account::parse(value).map(drop)?,
        About::Contacts => phones::check_bindings(value).map(drop)?,
        About::Trunk(_) => trunk::check_record(value)?,
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        let jid = |text| Jid::parse(text).unwrap();
        let presence = [Direction::SipWatchesXmpp, Direction::XmppWatchesSip].map(About::Presence);
        for about in presence.into_iter().chain([
            About::Chat("aB-_9".into()),
            About::Participant("aB-_9".into()),
            About::Occupant("aB-_9".into()),
            About::Call("aB-_9".into()),
            About::Linked,
            About::Account,
            About::Contacts,
            About::Trunk("0f".into()),
        ]) {
            let key = Key { about, sip: jid("romeo@example.net"), xmpp: jid("o\\27malley@example.com") };
            assert_eq!(Key::parse(&key.to_bytes()), Ok(key.clone()));
        }
        for broken in [
            "",
            "p",
            "px",
            "pxromeo@example.net",
            "pz\0",
            "pxa@b\0c@d/e",
            "qxa@b\0c@d",
            "px\0",
            "c",
            "c\0a@b\0c@d",
            "ca.b\0a@b\0c@d",
            "cab\0a@b",
        ] {
            assert_eq!(Key::parse(broken.as_bytes()), Err(Broken::Key), "{broken}");
        }
    }
}
