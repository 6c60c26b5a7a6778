//! The meters of SIP's connections.

use super::{METADATA, Meters, ShardMeters, counter, gauge};
use ::metrics::{Counter, Gauge, Key, Label, Recorder as _};
use ::sip::agent::{Counts, Transport};
use metrics_exporter_prometheus::PrometheusRecorder;

/// Open connections by transport.
#[derive(Debug)]
pub(super) struct SipMeters {
    tcp: Gauge,
    tls: Gauge,
    ws: Gauge,
    wss: Gauge,
}

impl SipMeters {
    pub(super) fn new(recorder: &PrometheusRecorder) -> SipMeters {
        let open =
            |transport: Transport| gauge(recorder, "verona_sip_connections", [("transport", transport.in_uri())]);
        SipMeters {
            tcp: open(Transport::Tcp),
            tls: open(Transport::Tls),
            ws: open(Transport::Ws),
            wss: open(Transport::Wss),
        }
    }
}

/// Where requests of one shard went.
#[derive(Debug, Clone)]
pub(super) struct RouteMeters {
    failovers: Counter,
    quarantined: Gauge,
}

impl RouteMeters {
    pub(super) fn new(recorder: &PrometheusRecorder, shard: usize) -> RouteMeters {
        let key = |name: &'static str| Key::from_parts(name, vec![Label::new("shard", shard.to_string())]);
        RouteMeters {
            failovers: recorder.register_counter(&key("verona_sip_failovers_total"), &METADATA),
            quarantined: recorder.register_gauge(&key("verona_sip_quarantined"), &METADATA),
        }
    }
}

impl ShardMeters {
    /// Shows the requests that went on to another target, and how many targets are left alone.
    pub fn show_routes(&self, counts: &Counts, quarantined: usize) {
        self.routes.failovers.absolute(counts.failovers);
        self.routes.quarantined.set(quarantined as f64);
    }
}

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    recorder.describe_gauge("verona_sip_connections".into(), None, "Open SIP connections".into());
    let what = "SIP connections that could not be made, were refused, or ended for a reason";
    recorder.describe_counter("verona_sip_failures_total".into(), None, what.into());
    let what = "SIP requests that went on to another target because one had failed";
    recorder.describe_counter("verona_sip_failovers_total".into(), None, what.into());
    recorder.describe_gauge(
        "verona_sip_quarantined".into(),
        None,
        "SIP targets that are left alone for a while".into(),
    );
}

impl Meters {
    /// Open SIP connections by this transport.
    pub fn sip_connections(&self, transport: Transport) -> &Gauge {
        match transport {
            Transport::Udp | Transport::Tcp => &self.sip.tcp,
            Transport::Tls => &self.sip.tls,
            Transport::Ws => &self.sip.ws,
            Transport::Wss => &self.sip.wss,
        }
    }

    /// A SIP connection could not be made, was refused, or ended for a reason. `reason` is one of a closed list.
    pub fn sip_failed(&self, transport: Transport, reason: &'static str) {
        let labels = [("transport", transport.in_uri()), ("reason", reason)];
        counter(&self.recorder, "verona_sip_failures_total", labels).increment(1);
    }
}
