//! draft-ietf-stox-media-07: calls. Jingle (XEP-0166, 0167) on the XMPP side, INVITE dialogs (RFC 3261) with audio and video on the SIP side.
//!
//! What it claims: INVITEs whose description has audio or video ([`is_call`]); all of Jingle and of Jingle Message Initiation (XEP-0353) for SIP users.
//! One call is one Jingle session and one dialog. What they say of the media goes through a description, and where the two cannot talk to each
//! other directly through a media relay; the gateway itself touches no media.

pub mod calls;
pub mod description;
pub mod dtmf;
pub mod reason;
pub(crate) mod record;
pub mod relay;

pub use calls::Calls;

use base::HashKey;
use bodies::sdp::Sdp;
use sip::{Name, NameAddr, Request};
use std::time::Duration;

/// How calls are translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What makes the tickets of calls that are passed on, the same in all shards; none: each shard knows its own only.
    pub seal: Option<HashKey>,
    /// How many calls there may be in one shard; beyond: 503 or `<resource-constraint/>`.
    pub calls: usize,
    /// How many a SIP user and an XMPP user may have with each other at one time; beyond: 486 or `<busy/>`.
    pub calls_per_pair: usize,
    /// How many one user may have at one time, with all others together; beyond likewise. Else one who calls everybody leaves no room to others.
    pub calls_per_user: usize,
    /// How long a telephone rings.
    pub ring: Duration,
    /// How long a Jingle client must have been quiet for its candidates to be all, where it does not say so (XEP-0176 §5.5). A SIP user who knows no trickle ICE gets
    /// them in one offer or not at all (draft §4).
    pub gather_quiet: Duration,
    /// The longest that they are waited for.
    pub gather_most: Duration,
    /// How long is looked for devices that know no JMI, besides those that do.
    pub look_for: Duration,
    /// How long a client may take to say that it has a request of ours (RFC 6120 §8.2.3).
    pub respond_within: Duration,
    /// How long a device may take to accept the session that it has asked to proceed with.
    pub accept_within: Duration,
    /// How often a client is asked whether it still knows of the call (XEP-0166 §6.8): one that is gone cannot say so. Zero: never.
    pub check: Duration,
    /// When media go through a relay, and how.
    pub relay: relay::Options,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seal: None,
            calls: 10_000,
            calls_per_pair: 4,
            calls_per_user: 64,
            ring: Duration::from_secs(120),
            gather_quiet: Duration::from_millis(500),
            gather_most: Duration::from_secs(3),
            look_for: Duration::from_secs(2),
            respond_within: Duration::from_secs(15),
            accept_within: Duration::from_secs(30),
            check: Duration::from_secs(60),
            relay: relay::Options::default(),
        }
    }
}

/// Whether an INVITE outside of any dialog is a call: its description has audio or video. One without a description is, unless its sender says that it is for
/// messages (RFC 3840 §10.13).
pub(crate) fn is_call(request: &Request) -> bool {
    if request.body.is_empty() {
        let contact = request.headers.elements(Name::Contact).next().and_then(Result::ok);
        let contact = contact.and_then(|contact| NameAddr::parse(contact).ok());
        let has = |feature| contact.as_ref().is_some_and(|contact| contact.has_feature(feature));
        return has("audio") || has("video") || !has("message");
    }
    let sdp = Sdp::parse(&request.body).ok();
    sdp.is_some_and(|sdp| sdp.media.iter().any(|media| matches!(&*media.kind, "audio" | "video")))
}
