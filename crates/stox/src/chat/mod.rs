//! One-to-one chat sessions: RFC 7573, MSRP (RFC 4975) <-> `<message type='chat'/>` (RFC 6121).

use std::time::Duration;

/// How chat sessions are translated.
#[derive(Debug, Clone)]
pub struct Options {
    /// A session in which nobody has said anything for this long is ended (RFC 7573 §6.1: 10 minutes); zero: never.
    pub idle: Duration,
    /// How long the SIP user may take to answer a session that an XMPP user has opened.
    pub ring: Duration,
    /// How long a SIP user who refused a session gets single messages.
    pub remember: Duration,
    /// Whether the SIP side is asked to tell of failures. RFC 7573 §7 would rather not; but without it nobody knows of a message that is lost.
    pub failure_reports: bool,
    /// Whether receipts are translated.
    pub receipts: bool,
    /// Whether chat states are translated.
    pub chat_states: bool,
    /// Sessions between one XMPP user and one SIP user at one time. Beyond: the last one serves; INVITEs get 486.
    pub sessions_per_pair: usize,
    /// Sessions in one shard. Beyond: `<resource-constraint/>`; INVITEs get 503.
    pub sessions: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            idle: Duration::from_secs(600),
            ring: Duration::from_secs(30),
            remember: Duration::from_secs(3600),
            failure_reports: true,
            receipts: true,
            chat_states: true,
            sessions_per_pair: 8,
            sessions: 50_000,
        }
    }
}
