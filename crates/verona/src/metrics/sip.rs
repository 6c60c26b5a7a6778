//! The meters of SIP's connections.

use super::{Meters, counter, gauge};
use ::metrics::{Gauge, Recorder as _};
use ::sip::agent::Transport;
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

/// Says what each is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    recorder.describe_gauge("verona_sip_connections".into(), None, "Open SIP connections".into());
    let what = "SIP connections that could not be made, were refused, or ended for a reason";
    recorder.describe_counter("verona_sip_failures_total".into(), None, what.into());
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
