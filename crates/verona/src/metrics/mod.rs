//! What the gateway counts, for Prometheus: base units, `_total` for what only grows.
//!
//! | name | labels | what |
//! |---|---|---|
//! | `verona_messages_total` | `direction`, `outcome` | messages: received, then delivered, failed (the other side refused it) or refused (by the gateway) |
//! | `verona_message_seconds` | `direction` | histogram: from a message's arrival to the other side's taking it |
//! | `verona_failures_total` | `by`, `code` | refusals of the other side, by SIP status |
//! | `verona_refusals_total` | `towards`, `refusal` | refusals of the gateway's own |
//! | `verona_ignored_total` | `why` | what goes nowhere without a refusal: presence, errors to nothing of ours, messages with nothing to translate |
//! | `verona_answers_dropped_total` | | answers dropped because a stream was down too long |
//! | `verona_sip_transactions` | `side`, `shard` | open SIP transactions |
//! | `verona_messages_waiting` | `shard` | messages under way |
//! | `verona_presence_total` | `direction` | presence told to the other side: a NOTIFY with a document, a presence stanza |
//! | `verona_authorizations` | `shard` | presence authorizations, of both directions |
//! | `verona_accounts` | `state`, `shard` | SIP accounts that XMPP users have linked: all of them, and those that are registered |
//! | `verona_subscriptions` | `role`, `shard` | live notification dialogs: as notifier (SIP users watch), as subscriber (XMPP users watch) |
//! | `verona_subscriptions_waiting` | `shard` | dialogs with something to send that wait for their turn |
//! | `verona_phone_accounts` | | accounts of phones that may register (RFC 3261 §10) |
//! | `verona_phone_contacts` | | contacts that are registered |
//! | `verona_phone_registrations_total` | `shard`, `outcome` | REGISTERs: `registered`, `asked`, `refused`; and contacts that `expired` |
//! | `verona_publications` | `shard` | users whose presence is published (RFC 3903) |
//! | `verona_publish_failures_total` | `shard` | PUBLISH requests that were refused or had no answer |
//! | `verona_sip_connections` | `transport` | open SIP connections: tcp, tls, ws, wss |
//! | `verona_sip_failures_total` | `transport`, `reason` | SIP connections that could not be made, were refused in a handshake, or ended for a reason |
//! | `verona_sip_failovers_total` | `shard` | SIP requests that went on to another target because one had failed (RFC 3263 §4.3) |
//! | `verona_sip_quarantined` | `shard` | SIP targets that are left alone for a while because they have failed, when the shard last did something |
//! | `verona_sip_connections_refused_total` | | SIP connections closed because there were too many |
//! | `verona_sessions` | `shard` | chat sessions, open or being opened |
//! | `verona_sessions_total` | `direction`, `outcome` | chat sessions: opened, failed, then ended (properly) or lost |
//! | `verona_session_failures_total` | `direction`, `code` | chat sessions that did not come to be, by SIP status |
//! | `verona_session_setup_seconds` | `direction` | histogram: from the wish for a session to its connection |
//! | `verona_room_seats` | `side`, `shard` | places in rooms: of SIP users in MUCs, of XMPP users in SIP conferences |
//! | `verona_msrp_sessions` | `shard` | MSRP sessions that have a connection |
//! | `verona_msrp_messages_total`, `verona_msrp_bytes_total`, `verona_msrp_chunks_total`, `verona_msrp_reports_total` | `way`, `shard` | what MSRP carried: in (from SIP), out |
//! | `verona_msrp_refused_total` | `why`, `shard` | requests refused by the MSRP side itself; frames that meant nothing (stray), messages that came twice, messages of ours that failed |
//! | `verona_msrp_connections` | | open MSRP connections |
//! | `verona_msrp_connections_refused_total` | | MSRP connections closed because there were too many |
//! | `verona_msrp_opens_total` | `outcome` | connections that sessions asked for: made, reused |
//! | `verona_msrp_failures_total` | `reason` | MSRP connections that could not be made, or ended for a reason |
//! | `verona_calls` | `shard` | calls that are there or begin |
//! | `verona_calls_total` | `direction`, `outcome` | calls: answered or failed, and then ended |
//! | `verona_call_failures_total`, `verona_call_ends_total` | `direction`, `reason` | calls that were not answered; calls that were, by why they ended: the reasons of XEP-0166 |
//! | `verona_call_setup_seconds` | `direction` | histogram: from the first word of a call to its answer |
//! | `verona_call_seconds` | `direction` | histogram: from the answer to the end |
//! | `verona_relays_up` | `shard` | media relays that answer |
//! | `verona_relay_requests_total` | `outcome`, `shard` | what media relays were asked: granted, refused, failed (no answer that makes sense) |
//! | `verona_relay_repeats_total`, `verona_relay_moves_total` | `shard` | datagrams sent again; requests that went on to another relay |
//! | `verona_relay_stray_total` | `shard` | datagrams that answer nothing that was asked |
//! | `verona_refused_sources_total` | `reason` | connections and messages that were not let in: denied, banned, connection-rate, message-rate, strangers; that waited as there was no descriptor for them: no-room |
//! | `verona_offences_total` | `offence` | what sources have done that decent ones do not: handshake, unreadable, credentials, spoof |
//! | `verona_bans_total`, `verona_banned` | | sources that were shut out; those that were when the last one was |
//! | `verona_sip_rejected_total` | | bytes that came as a SIP message and are none |
//! | `verona_xmpp_link_up` | `domain` | 1 while the component stream is authenticated |
//! | `verona_xmpp_connects_total`, `verona_xmpp_losses_total` | `domain` | streams opened, streams lost |
//! | `verona_xmpp_barrier_timeouts_total` | `domain` | stanzas that counted as taken because the server answers no barriers |
//! | `verona_federation_streams` | `kind` | connections with other servers: outgoing, incoming, those of strangers |
//! | `verona_federation_domains` | | domains with streams, or with anything waiting |
//! | `verona_federation_waiting`, `verona_federation_waiting_bytes`, `verona_federation_unacknowledged` | | stanzas that wait for a stream; those that were sent and are not known to be dealt with |
//! | `verona_federation_proofs_total` | `way`, `proof` | pairs of domains that were proved on a stream: by certificate, by dialback |
//! | `verona_federation_ends_total` | `by`, `reason` | streams that have ended: by us, them or the network; the names of RFC 6120 §4.9.3 and a few more |
//! | `verona_federation_undelivered_total`, `verona_federation_unreachable_total` | `why` | stanzas that came back; pairs that were left alone for a while |
//! | `verona_federation_targets_failed_total` | | targets that were given up for the next |
//! | `verona_federation_faults_total` | `fault` | what went wrong on streams without ending them |
//! | `verona_federation_refused_total` | `reason` | connections that were not taken: streams, strangers, stopping |
//! | `verona_trunk_registered` | `trunk` | 1 while the gateway is registered there |
//! | `verona_trunk_failures_total` | `trunk` | registrations that were refused or had no answer |
//! | `verona_store_commits_total` | | transactions of the store that are on disk |
//! | `verona_store_commit_seconds` | | histogram: how long each took |
//! | `verona_store_failures_total` | | changes of records that were refused because the store was broken or behind |
//! | `verona_store_queue` | | changes that wait to be written |
//! | `verona_store_records` | | records in the store |
//! | `verona_panics_total` | | inputs whose handling broke an invariant; the shard that it hit began anew |
//! | `verona_reloads_total` | `result` | SIGHUP: applied, refused |
//! | `verona_build_info` | `version` | always 1 |
//! | `process_*` | | memory, processor time, descriptors, start |

mod calls;
mod federation;
mod guard;
mod link;
mod msrp;
mod phones;
mod process;
mod relay;
mod sip;
mod store;

pub(crate) use federation::FederationMeters;
pub(crate) use guard::GuardMeters;
pub use link::LinkMeters;
pub use relay::RelayMeters;
pub use store::StoreMeters;

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From SIP to XMPP.
    SipToXmpp,
    /// From XMPP to SIP.
    XmppToSip,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::SipToXmpp => "sip_to_xmpp",
            Direction::XmppToSip => "xmpp_to_sip",
        }
    }

    /// The side where the message comes from, and the side that it goes to.
    fn sides(self) -> (&'static str, &'static str) {
        match self {
            Direction::SipToXmpp => ("sip", "xmpp"),
            Direction::XmppToSip => ("xmpp", "sip"),
        }
    }
}

/// The meters of one direction.
struct Way {
    received: Counter,
    delivered: Counter,
    failed: Counter,
    refused: Counter,
    seconds: Histogram,
    presence: Counter,
    sessions_opened: Counter,
    sessions_ended: Counter,
    sessions_lost: Counter,
    setup_seconds: Histogram,
}

/// The meters of one shard; set by the shard, from what its gateway says.
#[derive(Debug, Clone)]
pub struct ShardMeters {
    /// SIP requests of ours that wait for their final answer.
    pub client_transactions: Gauge,
    /// SIP requests to us that wait for our final answer.
    pub server_transactions: Gauge,
    /// Messages under way.
    pub waiting: Gauge,
    /// Presence authorizations.
    pub authorizations: Gauge,
    /// SIP accounts that XMPP users have linked.
    pub accounts: Gauge,
    /// Those of them that are registered.
    pub accounts_registered: Gauge,
    /// Dialogs in which SIP users watch.
    pub notifiers: Gauge,
    /// Dialogs in which XMPP users watch.
    pub subscribers: Gauge,
    /// Dialogs that wait for their turn to send.
    pub subscriptions_waiting: Gauge,
    /// Users whose presence is published.
    pub publications: Gauge,
    /// Accounts of phones: the same for all shards.
    pub phone_accounts: Gauge,
    /// Contacts that are registered: the same for all shards.
    pub phone_contacts: Gauge,
    /// REGISTERs that changed something, only asked, were refused; contacts that expired.
    pub phone_registrations: [Counter; 4],
    /// PUBLISH requests that failed.
    pub publish_failures: Counter,
    routes: sip::RouteMeters,
    /// Chat sessions, open or being opened.
    pub sessions: Gauge,
    /// Places of SIP users in MUCs.
    pub participants: Gauge,
    /// Places of XMPP users in SIP conferences.
    pub occupants: Gauge,
    /// MSRP sessions that have a connection.
    pub msrp_sessions: Gauge,
    /// Calls that are there or begin.
    pub calls: Gauge,
    /// What the media relays were asked.
    pub relay: RelayMeters,
    /// What MSRP has carried and refused, in the order of [`ShardMeters::msrp_counters`].
    msrp: [Counter; msrp::MSRP.len()],
}

/// All meters of a gateway.
pub struct Meters {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    sip_to_xmpp: Way,
    xmpp_to_sip: Way,
    answers_dropped: Counter,
    panics: Counter,
    /// Open SIP connections, by transport.
    sip: sip::SipMeters,
    /// SIP connections closed because there were too many.
    pub sip_connections_refused: Counter,
    /// Bytes that came as a SIP message and are none.
    pub sip_rejected: Counter,
    /// Open MSRP connections.
    pub msrp_connections: Gauge,
    /// MSRP connections closed because there were too many.
    pub msrp_connections_refused: Counter,
    /// MSRP connections that we have made.
    pub msrp_opens_made: Counter,
    /// Sessions that found one that was there already.
    pub msrp_opens_reused: Counter,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

/// The bounds of the histograms' buckets, in seconds: a message that waits for nobody takes a few milliseconds, one whose
/// phone does not answer 32 seconds.
const BUCKETS: [f64; 16] =
    [0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 32.0];

impl Default for Meters {
    fn default() -> Self {
        Meters::new()
    }
}

impl Meters {
    /// The meters of this process, which the macros of the `metrics` crate count into, too.
    pub fn global() -> Arc<Meters> {
        static GLOBAL: OnceLock<Arc<Meters>> = OnceLock::new();
        let meters = GLOBAL.get_or_init(|| {
            let meters = Meters::new();
            // Fails where another library was faster; then the macros count into that.
            let _ = ::metrics::set_global_recorder(Arc::clone(&meters.recorder));
            Arc::new(meters)
        });
        Arc::clone(meters)
    }

    /// Meters of their own, for tests.
    pub fn new() -> Meters {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &BUCKETS).and_then(calls::with_buckets);
        let recorder = Arc::new(builder.expect("the lists of buckets are not empty").build_recorder());
        let describe_counter = |name: &'static str, what: &'static str| {
            recorder.describe_counter(name.into(), None, what.into());
        };
        let describe_gauge =
            |name: &'static str, what: &'static str| recorder.describe_gauge(name.into(), None, what.into());
        describe_counter("verona_messages_total", "Messages by what became of them");
        recorder.describe_histogram(
            "verona_message_seconds".into(),
            None,
            "From a message's arrival to the other side's taking it".into(),
        );
        describe_counter("verona_failures_total", "Refusals of the other side by SIP status");
        describe_counter("verona_refusals_total", "Refusals of the gateway itself");
        describe_counter("verona_ignored_total", "What goes nowhere without a refusal");
        describe_counter("verona_answers_dropped_total", "Answers dropped because a stream was down too long");
        describe_gauge("verona_sip_transactions", "Open SIP transactions");
        describe_gauge("verona_messages_waiting", "Messages under way");
        describe_counter("verona_presence_total", "Presence told to the other side");
        describe_gauge("verona_authorizations", "Presence authorizations");
        describe_gauge("verona_accounts", "SIP accounts that XMPP users have linked");
        describe_gauge("verona_subscriptions", "Live notification dialogs");
        describe_gauge("verona_subscriptions_waiting", "Notification dialogs that wait for their turn to send");
        describe_gauge("verona_phone_accounts", "Accounts of phones");
        describe_gauge("verona_phone_contacts", "Contacts that are registered");
        describe_counter("verona_phone_registrations_total", "REGISTERs, and contacts that expired");
        describe_gauge("verona_publications", "Users whose presence is published");
        describe_counter("verona_publish_failures_total", "PUBLISH requests that were refused or had no answer");
        describe_counter("verona_sip_connections_refused_total", "SIP connections beyond the limits");
        describe_counter("verona_sip_rejected_total", "Bytes that came as a SIP message and are none");
        sip::describe(&recorder);
        msrp::describe(&recorder);
        calls::describe(&recorder);
        relay::describe(&recorder);
        guard::describe(&recorder);
        federation::describe(&recorder);
        describe_gauge("verona_xmpp_link_up", "1 while the component stream is authenticated");
        describe_counter("verona_xmpp_connects_total", "Component streams opened");
        describe_counter("verona_xmpp_losses_total", "Component streams lost");
        describe_counter(
            "verona_xmpp_barrier_timeouts_total",
            "Stanzas that counted as taken because the server answers no barriers",
        );
        describe_gauge("verona_trunk_registered", "1 while the gateway is registered at the trunk");
        describe_counter("verona_trunk_failures_total", "Registrations at the trunk that failed");
        describe_counter("verona_store_commits_total", "Transactions of the store that are on disk");
        recorder.describe_histogram(
            "verona_store_commit_seconds".into(),
            None,
            "How long a transaction of the store took".into(),
        );
        describe_counter("verona_store_failures_total", "Changes of records that were refused");
        describe_gauge("verona_store_queue", "Changes of records that wait to be written");
        describe_gauge("verona_store_records", "Records in the store");
        describe_counter("verona_panics_total", "Inputs whose handling broke an invariant");
        describe_counter("verona_reloads_total", "Reloads of the configuration");
        describe_gauge("verona_build_info", "The version that runs");

        let handle = recorder.handle();
        let sessions = |direction: Direction, outcome| {
            counter(&recorder, "verona_sessions_total", [("direction", direction.name()), ("outcome", outcome)])
        };
        let way = |direction: Direction| {
            let count = |outcome| {
                counter(&recorder, "verona_messages_total", [("direction", direction.name()), ("outcome", outcome)])
            };
            Way {
                received: count("received"),
                delivered: count("delivered"),
                failed: count("failed"),
                refused: count("refused"),
                seconds: recorder
                    .register_histogram(&key("verona_message_seconds", [("direction", direction.name())]), &METADATA),
                presence: counter(&recorder, "verona_presence_total", [("direction", direction.name())]),
                sessions_opened: sessions(direction, "opened"),
                sessions_ended: sessions(direction, "ended"),
                sessions_lost: sessions(direction, "lost"),
                setup_seconds: recorder.register_histogram(
                    &key("verona_session_setup_seconds", [("direction", direction.name())]),
                    &METADATA,
                ),
            }
        };
        gauge(&recorder, "verona_build_info", [("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        Meters {
            sip_to_xmpp: way(Direction::SipToXmpp),
            xmpp_to_sip: way(Direction::XmppToSip),
            panics: counter(&recorder, "verona_panics_total", []),
            answers_dropped: counter(&recorder, "verona_answers_dropped_total", []),
            sip: sip::SipMeters::new(&recorder),
            sip_connections_refused: counter(&recorder, "verona_sip_connections_refused_total", []),
            sip_rejected: counter(&recorder, "verona_sip_rejected_total", []),
            msrp_connections: gauge(&recorder, "verona_msrp_connections", []),
            msrp_connections_refused: counter(&recorder, "verona_msrp_connections_refused_total", []),
            msrp_opens_made: counter(&recorder, "verona_msrp_opens_total", [("outcome", "made")]),
            msrp_opens_reused: counter(&recorder, "verona_msrp_opens_total", [("outcome", "reused")]),
            handle,
            recorder,
        }
    }

    /// A message arrived.
    pub fn received(&self, direction: Direction) {
        self.way(direction).received.increment(1);
    }

    /// A message was handed over to the other side, so long after its arrival.
    pub fn delivered(&self, direction: Direction, after: Duration) {
        self.way(direction).delivered.increment(1);
        self.way(direction).seconds.record(after.as_secs_f64());
    }

    /// The other side refused a message with this SIP status, or with what became this status.
    pub fn failed(&self, direction: Direction, code: u16) {
        self.way(direction).failed.increment(1);
        let code = if (300..=699).contains(&code) { code.to_string() } else { "other".to_owned() };
        let key = Key::from_parts(
            "verona_failures_total",
            vec![Label::new("by", direction.sides().1), Label::new("code", code)],
        );
        self.recorder.register_counter(&key, &METADATA).increment(1);
    }

    /// The gateway itself refused something, mostly a `message`. `refusal` is one of a closed list.
    pub fn refused(&self, direction: Direction, refusal: &'static str, message: bool) {
        if message {
            self.way(direction).refused.increment(1);
        }
        let labels = [("towards", direction.sides().0), ("refusal", refusal)];
        counter(&self.recorder, "verona_refusals_total", labels).increment(1);
    }

    /// Presence was told to the other side.
    pub fn presence(&self, direction: Direction) {
        self.way(direction).presence.increment(1);
    }

    /// Something that may not be answered was dropped. `why` is one of a closed list.
    pub fn ignored(&self, why: &'static str) {
        counter(&self.recorder, "verona_ignored_total", [("why", why)]).increment(1);
    }

    /// An answer was dropped because its stream was down for too long.
    pub fn answer_dropped(&self) {
        self.answers_dropped.increment(1);
    }

    /// The handling of an input broke an invariant, and the shard that it hit began anew.
    pub fn panicked(&self) {
        self.panics.increment(1);
    }

    /// A reload of the configuration was applied or refused.
    pub fn reloaded(&self, applied: bool) {
        let result = if applied { "applied" } else { "refused" };
        counter(&self.recorder, "verona_reloads_total", [("result", result)]).increment(1);
    }

    /// The meters of a shard.
    pub fn shard(&self, shard: usize) -> ShardMeters {
        let gauge = |name: &'static str, label: Option<(&'static str, &'static str)>| {
            let mut labels: Vec<Label> = label.map(|(key, value)| Label::new(key, value)).into_iter().collect();
            labels.push(Label::new("shard", shard.to_string()));
            self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
        };
        let msrp = msrp::MSRP.map(|(name, (label, value), _)| {
            let labels = vec![Label::new(label, value), Label::new("shard", shard.to_string())];
            self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
        });
        // All shards know them all, and say the same.
        let gauge_of_all = |name: &'static str| self.recorder.register_gauge(&Key::from_name(name), &METADATA);
        ShardMeters {
            sessions: gauge("verona_sessions", None),
            participants: gauge("verona_room_seats", Some(("side", "sip"))),
            occupants: gauge("verona_room_seats", Some(("side", "xmpp"))),
            msrp_sessions: gauge("verona_msrp_sessions", None),
            calls: gauge("verona_calls", None),
            msrp,
            relay: self.relay(shard),
            routes: sip::RouteMeters::new(&self.recorder, shard),
            client_transactions: gauge("verona_sip_transactions", Some(("side", "client"))),
            server_transactions: gauge("verona_sip_transactions", Some(("side", "server"))),
            waiting: gauge("verona_messages_waiting", None),
            authorizations: gauge("verona_authorizations", None),
            accounts: gauge("verona_accounts", Some(("state", "linked"))),
            accounts_registered: gauge("verona_accounts", Some(("state", "registered"))),
            notifiers: gauge("verona_subscriptions", Some(("role", "notifier"))),
            subscribers: gauge("verona_subscriptions", Some(("role", "subscriber"))),
            subscriptions_waiting: gauge("verona_subscriptions_waiting", None),
            phone_accounts: gauge_of_all("verona_phone_accounts"),
            phone_contacts: gauge_of_all("verona_phone_contacts"),
            phone_registrations: ["registered", "asked", "refused", "expired"].map(|outcome| {
                let labels = vec![Label::new("outcome", outcome), Label::new("shard", shard.to_string())];
                self.recorder.register_counter(&Key::from_parts("verona_phone_registrations_total", labels), &METADATA)
            }),
            publications: gauge("verona_publications", None),
            publish_failures: self.recorder.register_counter(
                &Key::from_parts("verona_publish_failures_total", vec![Label::new("shard", shard.to_string())]),
                &METADATA,
            ),
        }
    }

    /// How a trunk stands.
    pub fn trunk(&self, seen: &stox::trunk::Seen) {
        let key = |name: &'static str| Key::from_parts(name, vec![Label::new("trunk", seen.name.to_string())]);
        let registered = self.recorder.register_gauge(&key("verona_trunk_registered"), &METADATA);
        registered.set(if seen.registered.is_some() { 1.0 } else { 0.0 });
        let failures = self.recorder.register_counter(&key("verona_trunk_failures_total"), &METADATA);
        failures.increment(u64::from(seen.trouble.is_some()));
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> String {
        self.handle.render() + &process::render()
    }

    /// Folds what the histograms collected into their buckets, once a second, for ever: what is not folded is kept whole, and
    /// nobody may be looking.
    pub async fn keep_up(self: Arc<Self>) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.handle.run_upkeep();
        }
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::SipToXmpp => &self.sip_to_xmpp,
            Direction::XmppToSip => &self.xmpp_to_sip,
        }
    }
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

fn key<const N: usize>(name: &'static str, labels: [(&'static str, &'static str); N]) -> Key {
    Key::from_parts(name, labels.map(|(k, v)| Label::from_static_parts(k, v)).to_vec())
}

fn counter<const N: usize>(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: [(&'static str, &'static str); N],
) -> Counter {
    recorder.register_counter(&key(name, labels), &METADATA)
}

fn gauge<const N: usize>(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: [(&'static str, &'static str); N],
) -> Gauge {
    recorder.register_gauge(&key(name, labels), &METADATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let meters = Meters::new();
        meters.received(Direction::SipToXmpp);
        meters.delivered(Direction::SipToXmpp, Duration::from_millis(4));
        meters.failed(Direction::XmppToSip, 404);
        meters.failed(Direction::XmppToSip, 7);
        meters.refused(Direction::SipToXmpp, "not-allowed", true);
        meters.refused(Direction::SipToXmpp, "bad-event", false);
        meters.ignored("presence");
        meters.answer_dropped();
        meters.presence(Direction::XmppToSip);
        meters.session_opened(Direction::XmppToSip, Duration::from_millis(15));
        meters.session_ended(Direction::XmppToSip, true);
        meters.session_failed(Direction::SipToXmpp, 488);
        meters.session_failed(Direction::SipToXmpp, 0);
        meters.msrp_failed("tls");
        let counts = ::msrp::Counts { messages_in: 3, bytes_out: 999, failed: 1, ..Default::default() };
        for (meter, count) in meters.shard(1).msrp_counters(&counts) {
            meter.absolute(count);
        }
        meters.shard(1).notifiers.set(2.0);
        meters.shard(1).occupants.set(3.0);
        meters.reloaded(false);
        meters.shard(3).waiting.set(5.0);
        meters.link("example.net").up.set(1.0);
        let text = meters.render();
        for line in [
            "verona_messages_total{direction=\"sip_to_xmpp\",outcome=\"received\"} 1",
            "verona_messages_total{direction=\"sip_to_xmpp\",outcome=\"delivered\"} 1",
            "verona_messages_total{direction=\"sip_to_xmpp\",outcome=\"refused\"} 1",
            "verona_messages_total{direction=\"xmpp_to_sip\",outcome=\"failed\"} 2",
            "verona_messages_total{direction=\"xmpp_to_sip\",outcome=\"delivered\"} 0",
            "verona_message_seconds_bucket{direction=\"sip_to_xmpp\",le=\"0.003\"} 0",
            "verona_message_seconds_bucket{direction=\"sip_to_xmpp\",le=\"0.005\"} 1",
            "verona_message_seconds_count{direction=\"sip_to_xmpp\"} 1",
            "verona_failures_total{by=\"sip\",code=\"404\"} 1",
            "verona_failures_total{by=\"sip\",code=\"other\"} 1",
            "verona_refusals_total{towards=\"sip\",refusal=\"not-allowed\"} 1",
            "verona_refusals_total{towards=\"sip\",refusal=\"bad-event\"} 1",
            "verona_ignored_total{why=\"presence\"} 1",
            "verona_answers_dropped_total 1",
            "verona_presence_total{direction=\"xmpp_to_sip\"} 1",
            "verona_sessions_total{direction=\"xmpp_to_sip\",outcome=\"opened\"} 1",
            "verona_sessions_total{direction=\"xmpp_to_sip\",outcome=\"lost\"} 1",
            "verona_sessions_total{direction=\"sip_to_xmpp\",outcome=\"failed\"} 2",
            "verona_session_failures_total{direction=\"sip_to_xmpp\",code=\"488\"} 1",
            "verona_session_failures_total{direction=\"sip_to_xmpp\",code=\"other\"} 1",
            "verona_session_setup_seconds_bucket{direction=\"xmpp_to_sip\",le=\"0.02\"} 1",
            "verona_msrp_failures_total{reason=\"tls\"} 1",
            "verona_msrp_messages_total{way=\"in\",shard=\"1\"} 3",
            "verona_msrp_bytes_total{way=\"out\",shard=\"1\"} 999",
            "verona_msrp_refused_total{why=\"failed\",shard=\"1\"} 1",
            "verona_subscriptions{role=\"notifier\",shard=\"1\"} 2",
            "verona_room_seats{side=\"xmpp\",shard=\"1\"} 3",
            "verona_reloads_total{result=\"refused\"} 1",
            "verona_messages_waiting{shard=\"3\"} 5",
            "verona_xmpp_link_up{domain=\"example.net\"} 1",
            "verona_sip_connections{transport=\"wss\"} 0",
            concat!("verona_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# TYPE verona_messages_total counter",
            "# HELP verona_message_seconds From a message's arrival to the other side's taking it",
            "# TYPE verona_message_seconds histogram",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_name_ends_as_prometheus_wants_it() {
        let meters = Meters::new();
        let text = meters.render();
        for line in text.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(name.starts_with("verona_") || name.starts_with("process_"), "{line}");
        }
    }
}
