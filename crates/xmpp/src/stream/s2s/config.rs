//! How streams behave.

use super::{Pair, Policy, Rules, Secret};
use base::Str;
use std::collections::BTreeMap;
use std::time::Duration;
use xml::Limits;

/// What is common to all streams of a process. Streams share one in an `Arc`; see [`super::Stream::reconfigure`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Our domains, prepared.
    pub local: BTreeMap<Str, Local>,
    /// How other domains are dealt with.
    pub rules: Rules,
    /// What dialback keys are made with (XEP-0185). The same for all processes that speak for our domains.
    pub secret: Secret,
    /// Whether connections that carry both directions are offered and asked for (XEP-0288).
    pub bidi: bool,
    /// Whether acknowledgements are offered and asked for (XEP-0198).
    pub sm: bool,
    /// What the other side may make us hold once it has proved a pair.
    pub limits: Limits,
    /// What it may make us hold before. Nothing is skipped then, whatever this says.
    pub unproven_limits: Limits,
    /// How many bytes it may send before, of whatever kind.
    pub unproven_bytes: usize,
    /// From the beginning of a stream to its first proved pair. A stream on which nothing but keys are shown lasts as long.
    pub handshake_timeout: Duration,
    /// From a dialback key of ours, or one of theirs, to what is said of it.
    pub dialback_timeout: Duration,
    /// After so long a silence of both sides the connection is tried.
    pub ping_interval: Duration,
    /// So long without an answer, where one is due, and the stream is given up.
    pub ping_timeout: Duration,
    /// How long an unanswered barrier holds its tokens where barriers are not answered.
    pub barrier_timeout: Duration,
    /// From the first byte of a stanza to its last.
    pub half_stanza_timeout: Duration,
    /// From our end of the stream to that of the other side, and the same again for the connection.
    pub close_timeout: Duration,
    /// Pairs that one stream may carry or be asked to carry, in each direction.
    pub max_pairs: usize,
    /// Keys that may be under verification on one stream, in each direction.
    pub max_verifications: usize,
    /// Barriers that may be under way; batches beyond share the next one.
    pub max_barriers: usize,
    /// Stanzas with tokens that may have been sent and not be known to be dealt with.
    pub max_unacknowledged: usize,
    /// Bytes of all stanzas that may have been.
    pub max_unacknowledged_bytes: usize,
}

/// One of our domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Whether there is a certificate to show for it: without, no STARTTLS is offered and SASL EXTERNAL is not used.
    pub certificate: bool,
}

impl Config {
    /// The usual behaviour, for these domains of ours.
    pub fn new(local: impl IntoIterator<Item = (Str, Local)>, secret: Secret) -> Config {
        Config {
            local: local.into_iter().collect(),
            rules: Rules::default(),
            secret,
            bidi: true,
            sm: true,
            limits: Limits::default(),
            unproven_limits: Limits {
                stanza_bytes: 4096,
                depth: 8,
                elements: 32,
                attributes: 16,
                name_bytes: 256,
                namespaces: 16,
                skip_bytes: 0,
            },
            unproven_bytes: 64 << 10,
            handshake_timeout: Duration::from_secs(30),
            dialback_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(30),
            barrier_timeout: Duration::from_secs(5),
            half_stanza_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            max_pairs: 64,
            max_verifications: 32,
            max_barriers: 8,
            max_unacknowledged: 8192,
            max_unacknowledged_bytes: 8 << 20,
        }
    }

    /// How `remote`, prepared, is dealt with.
    pub fn policy(&self, remote: &str) -> Policy {
        self.rules.policy(remote)
    }

    /// Whether the domain, prepared, is one of ours.
    pub fn serves(&self, domain: &str) -> bool {
        self.local.contains_key(domain)
    }
}

/// What a stream that we open is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initiate {
    /// Our domain and the one that was looked up.
    pub pair: Pair,
    /// The connection began with TLS (XEP-0368).
    pub direct_tls: bool,
    /// What it is to do first.
    pub purpose: Purpose,
    /// Whether SASL EXTERNAL may be tried. Some servers end the stream when they do not like our certificate: then the next attempt
    /// goes without.
    pub external: bool,
    /// The other server has answered barriers before ([`super::Stream::answers_barriers`]), and so is expected to.
    pub expects_barriers: bool,
}

impl Initiate {
    /// A stream for the stanzas of a pair, over a connection without TLS.
    pub fn new(pair: Pair) -> Initiate {
        Initiate { pair, direct_tls: false, purpose: Purpose::Stanzas, external: true, expects_barriers: false }
    }
}

/// What a stream that we open is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Stanzas: the pair is proved at once. Keys can be verified on it all the same.
    Stanzas,
    /// To have keys verified. Nothing is proved on it before [`super::Stream::prove`].
    Verification,
}
