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
/// Carbon copies (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Stanzas that are passed on (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// Corrections of the last message (XEP-0308).
pub const MESSAGE_CORRECT: &str = "urn:xmpp:message-correct:0";
/// Chat markers (XEP-0333).
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Reactions to messages (XEP-0444).
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
