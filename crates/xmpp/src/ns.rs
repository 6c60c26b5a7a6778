//! Namespace names.

/// What stanzas and their own children are in, here, whatever content namespace their stream has (RFC 6120 §4.8.3).
pub const CLIENT: &str = "jabber:client";
/// The content namespace of a stream between servers (RFC 6120 §4.8.3).
pub const SERVER: &str = "jabber:server";
/// The content namespace of a stream that a component opened (XEP-0114).
pub const COMPONENT_ACCEPT: &str = "jabber:component:accept";
/// Server dialback (XEP-0220), for streams between servers alone.
pub const DIALBACK: &str = "jabber:server:dialback";
/// A feature: server dialback, with its errors (XEP-0220 §2.4.2).
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// TLS that is begun within a stream (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// Authentication by SASL (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// A stream between servers that is to carry both directions (XEP-0288).
pub const BIDI: &str = "urn:xmpp:bidi";
/// A feature: it can (XEP-0288 §2.1).
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// Acknowledgements of stanzas (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
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
/// Contact lists (RFC 6121 §2).
pub const ROSTER: &str = "jabber:iq:roster";
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
/// Commands for people (XEP-0050).
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// Cards of people (XEP-0054).
pub const VCARD: &str = "vcard-temp";
/// Searches (XEP-0055).
pub const SEARCH: &str = "jabber:iq:search";
/// HTML in messages (XEP-0071).
pub const XHTML_IM: &str = "http://jabber.org/protocol/xhtml-im";
/// HTML itself (XEP-0071 §7).
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Registration (XEP-0077).
pub const REGISTER: &str = "jabber:iq:register";
/// Chat states (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Names of the other side that become addresses (XEP-0100 §6.3).
pub const GATEWAY: &str = "jabber:iq:gateway";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Contacts that are proposed (XEP-0144).
pub const ROSTERX: &str = "http://jabber.org/protocol/rosterx";
/// Nicknames (XEP-0172).
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// Sessions of media (XEP-0166).
pub const JINGLE: &str = "urn:xmpp:jingle:1";
/// What was wrong with a request of Jingle (XEP-0166 §10).
pub const JINGLE_ERRORS: &str = "urn:xmpp:jingle:errors:1";
/// Sound and pictures over RTP (XEP-0167).
pub const RTP: &str = "urn:xmpp:jingle:apps:rtp:1";
/// What is told of a call over RTP (XEP-0167 §8).
pub const RTP_INFO: &str = "urn:xmpp:jingle:apps:rtp:info:1";
/// What was wrong with a call over RTP (XEP-0167 §7.1).
pub const RTP_ERRORS: &str = "urn:xmpp:jingle:apps:rtp:errors:1";
/// A feature: calls with sound (XEP-0167 §11).
pub const RTP_AUDIO: &str = "urn:xmpp:jingle:apps:rtp:audio";
/// A feature: calls with pictures (XEP-0167 §11).
pub const RTP_VIDEO: &str = "urn:xmpp:jingle:apps:rtp:video";
/// Datagrams by ICE (XEP-0176).
pub const ICE_UDP: &str = "urn:xmpp:jingle:transports:ice-udp:1";
/// A feature: who has it would rather have all candidates in the offer and in the answer (XEP-0176 §9.2).
pub const OFFER_ANSWER: &str = "urn:ietf:rfc:3264";
/// Options of ICE as Conversations and its kin write them.
pub const ICE_OPTIONS: &str = "http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option";
/// Datagrams without ICE (XEP-0177).
pub const RAW_UDP: &str = "urn:xmpp:jingle:transports:raw-udp:1";
/// Tones of telephone keys (XEP-0181).
pub const DTMF: &str = "urn:xmpp:jingle:dtmf:0";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Pings (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Headers of other protocols (XEP-0131).
pub const SHIM: &str = "http://jabber.org/protocol/shim";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Invitations to rooms from person to person (XEP-0249).
pub const CONFERENCE: &str = "jabber:x:conference";
/// Calls that are passed on (XEP-0251).
pub const TRANSFER: &str = "urn:xmpp:jingle:transfer:0";
/// Keys of calls agreed on in their media (XEP-0262).
pub const ZRTP: &str = "urn:xmpp:jingle:apps:rtp:zrtp:1";
/// Carbon copies (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// What receivers of RTP tell its senders (XEP-0293).
pub const RTCP_FB: &str = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0";
/// Extensions of RTP's headers (XEP-0294).
pub const RTP_HDREXT: &str = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0";
/// Stanzas that are passed on (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// Calls whose other end is a conference (XEP-0298).
pub const COIN: &str = "urn:xmpp:coin:1";
/// Corrections of the last message (XEP-0308).
pub const MESSAGE_CORRECT: &str = "urn:xmpp:message-correct:0";
/// Titles that occupants of rooms bear (XEP-0317).
pub const HATS: &str = "urn:xmpp:hats:0";
/// Keys of calls proven by fingerprints (XEP-0320).
pub const DTLS: &str = "urn:xmpp:jingle:apps:dtls:0";
/// Chat markers (XEP-0333).
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Contents of a session that belong together (XEP-0338).
pub const GROUPING: &str = "urn:xmpp:jingle:apps:grouping:0";
/// A feature: contents are grouped (XEP-0338 §3).
pub const GROUPING_FEATURE: &str = "urn:ietf:rfc:5888";
/// Sources of RTP and what is said of them (XEP-0339).
pub const SSMA: &str = "urn:xmpp:jingle:apps:rtp:ssma:0";
/// A feature: sources have attributes (XEP-0339 §4).
pub const SSMA_FEATURE: &str = "urn:ietf:rfc:5576";
/// Calls that ring on all devices (XEP-0353).
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// What a server lets a component do in its users' names (XEP-0356).
pub const PRIVILEGE: &str = "urn:xmpp:privilege:2";
/// The same as it was before version 0.3.
pub const PRIVILEGE_1: &str = "urn:xmpp:privilege:1";
/// Names of stanzas that last (XEP-0359).
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Datagrams or streams by ICE (XEP-0371).
pub const ICE: &str = "urn:xmpp:jingle:transports:ice:0";
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
