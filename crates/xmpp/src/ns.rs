//! Namespace names.

/// What stanzas and their own children are in, here, whatever content namespace their stream has (RFC 6120 §4.8.3).
pub const CLIENT: &str = "jabber:client";
/// The content namespace of a stream between servers (RFC 6120 §4.8.3).
pub const SERVER: &str = "jabber:server";
/// The content namespace of a stream that a component opened (XEP-0114).
pub const COMPONENT_ACCEPT: &str = "jabber:component:accept";
/// Server dialback (XEP-0220), which has no business on a component stream.
pub const DIALBACK: &str = "jabber:server:dialback";
/// Stream headers, stream features and stream errors (RFC 6120 §4.8.1).
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// The conditions of stream errors (RFC 6120 §4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// The conditions of stanza errors (RFC 6120 §8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// What an entity is and does (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// What belongs to an entity (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Data forms (XEP-0004).
pub const DATA_FORMS: &str = "jabber:x:data";
/// Rooms: joining one, and what a room says of itself (XEP-0045).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// What rooms tell people (XEP-0045).
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Roles and affiliations, asked for and changed (XEP-0045).
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// A room's configuration and its end (XEP-0045).
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// The room answers whom asks whether he is still in it (XEP-0410).
pub const MUC_SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// Cards of people (XEP-0054).
pub const VCARD: &str = "vcard-temp";
/// HTML in messages (XEP-0071).
pub const XHTML_IM: &str = "http://jabber.org/protocol/xhtml-im";
/// HTML itself (XEP-0071 §7).
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Chat states (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Nicknames (XEP-0172).
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Pings (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Invitations to rooms from person to person (XEP-0249).
pub const CONFERENCE: &str = "jabber:x:conference";
/// Carbon copies (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Stanzas that are passed on (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// Corrections of the last message (XEP-0308).
pub const MESSAGE_CORRECT: &str = "urn:xmpp:message-correct:0";
/// Titles that occupants of rooms bear (XEP-0317).
pub const HATS: &str = "urn:xmpp:hats:0";
/// Chat markers (XEP-0333).
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Names of stanzas that last (XEP-0359).
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Names of rooms' occupants that last (XEP-0421).
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// What is fastened to an earlier message (XEP-0422), as retractions once were.
pub const FASTEN: &str = "urn:xmpp:fasten:0";
/// Messages taken back (XEP-0424), as it was before version 0.4.
pub const RETRACT_0: &str = "urn:xmpp:message-retract:0";
/// Messages taken back (XEP-0424).
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// Messages that a moderator takes back (XEP-0425), as it was before version 0.3.
pub const MODERATE_0: &str = "urn:xmpp:message-moderate:0";
/// Messages that a moderator takes back (XEP-0425).
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// Reactions to messages (XEP-0444).
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
