//! From the operator's configuration to what the machine is told.

use crate::config::{self, Config};
use crate::io::bounds;
use crate::tls::Tls;
use base::Str;
use std::sync::Arc;
use xmpp::federation;
use xmpp::stream::s2s::{self, Local, Secret};

/// What all streams with other servers are told; `secret` is what dialback keys are made with.
pub(crate) fn machine(config: &Config, settings: &config::Federation, tls: &Tls, secret: Secret) -> federation::Config {
    let local = |domain: &String| (Str::from(domain), Local { certificate: tls.has_name(domain) });
    let mut stream = s2s::Config::new(settings.domains.iter().map(local), secret);
    stream.rules = settings.rules.clone();
    stream.limits.stanza_bytes = config.limits.stanza_bytes;
    let times = &settings.settings;
    stream.handshake_timeout = times.handshake;
    stream.dialback_timeout = times.handshake;
    stream.barrier_timeout = config.xmpp.times.barrier_timeout;
    stream.ping_interval = times.ping_interval;
    stream.ping_timeout = config.xmpp.times.ping_timeout;
    stream.half_stanza_timeout = config.xmpp.times.half_stanza;
    stream.max_unacknowledged = times.queue;
    let mut machine = federation::Config::new(Arc::new(stream));
    machine.connect_timeout = times.connect;
    machine.wait = times.wait;
    machine.idle = times.idle;
    machine.retry_min = times.retry_min;
    machine.retry_max = times.retry_max;
    machine.max_streams = bounds::streams(times.streams);
    machine.max_streams_per_pair = times.streams_per_pair;
    // Whoever never says who he is leaves room for those who do, and for our own.
    machine.max_strangers = times.strangers.min(machine.max_streams / 2);
    machine.max_waiting = times.queue;
    machine.max_waiting_bytes = times.queue_bytes;
    machine.max_waiting_bytes_in_all = times.queued_bytes;
    machine
}
