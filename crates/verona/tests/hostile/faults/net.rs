//! A gateway in a process of its own that is the XMPP server of its domain, and names that lead where the test says.

use crate::world::{SIP_DOMAIN, XMPP_DOMAIN};
use rehearsal::peers::{Credentials, Gateway, NameServer, Place, Settings, TestCa, until};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The name of the gateway's host.
pub(super) const HOST: &str = "gw.example.net";

/// What a test's gateway stands on, before it is there.
pub(super) struct Ground {
    /// Where it listens for servers, with STARTTLS and with TLS from the first byte, and for SIP over TLS.
    pub(super) s2s: SocketAddr,
    pub(super) s2s_tls: SocketAddr,
    pub(super) sips: SocketAddr,
    pub(super) names: NameServer,
    pub(super) ca: TestCa,
    /// The gateway's certificate.
    pub(super) own: Credentials,
    /// That of the server of [`XMPP_DOMAIN`].
    pub(super) server: Credentials,
    pub(super) place: Place,
}

/// What is different in a test.
#[derive(Default)]
pub(super) struct Different {
    /// More SIP domains of ours.
    pub(super) domains: &'static [&'static str],
    /// The next hop of all SIP; without one it is found by name (RFC 3263).
    pub(super) proxy: Option<SocketAddr>,
    pub(super) transport: &'static str,
    pub(super) federation: &'static str,
    pub(super) sip: &'static str,
    /// More sockets for SIP.
    pub(super) sockets: Vec<String>,
    pub(super) more: String,
    /// The most descriptors that the process may have.
    pub(super) descriptors: Option<usize>,
}

impl Ground {
    pub(super) fn new(name: &str) -> Ground {
        let place = Place::new(name);
        let ca = TestCa::new(&place);
        let own = own(&ca, &place);
        let server = ca.issue(&place, "server", &[XMPP_DOMAIN]);
        let names = NameServer::start(&place);
        let (s2s, s2s_tls, sips) = (place.free(), place.free(), place.free());
        Ground { s2s, s2s_tls, sips, names, ca, own, server, place }
    }

    /// The server of the domain is there from now on, for who asks.
    pub(super) fn lead(&self, domain: &str, to: SocketAddr) {
        let host = format!("host.{domain}");
        self.names.host(&host, to.ip());
        self.names.srv(&format!("_xmpps-server._tcp.{domain}"), &[(&host, to.port())]);
    }

    pub(super) fn start(&self, different: Different) -> Gateway {
        let Different { domains, proxy, transport, federation, sip, mut sockets, more, descriptors } = different;
        sockets.push(format!("tls:{}", self.sips));
        let components: Vec<String> = [SIP_DOMAIN].iter().chain(domains).map(|d| (*d).to_owned()).collect();
        let federation = format!(
            "[xmpp]\nping_timeout = \"1s\"\nbarrier_timeout = \"1s\"\n\
             [xmpp.federation]\ndomains = [@DOMAINS@]\nlisten = [\"tcp:{}\", \"tls:{}\"]\nrequire_certificate = true\n\
             retry_min = \"100ms\"\nretry_max = \"1s\"\n{federation}\n\
             [tls]\ncertificates = [{}]\ntrust = [{:?}]\n[dns]\nserver = \"{}\"\n",
            self.s2s,
            self.s2s_tls,
            self.own.toml(),
            self.ca.root(),
            self.names.address()
        );
        let settings = Settings {
            domains: vec!["*".to_owned()],
            components,
            server: self.s2s,
            proxy: proxy.unwrap_or(self.s2s),
            dns: None,
            proxied: proxy.is_some(),
            transport: if transport.is_empty() { "udp" } else { transport },
            sockets,
            peer: "source = \"127.0.0.0/8\"".to_owned(),
            store: "memory:",
            open: vec!["127.0.0.0/8".to_owned()],
            federation: Some(federation),
            more_sip: sip.to_owned(),
            more,
        };
        let verona = env!("CARGO_BIN_EXE_verona");
        let Some(most) = descriptors else { return Gateway::start(&self.place, verona, &settings) };
        let script = format!("ulimit -n {most}\nexec {verona} \"$@\"\n");
        let script = self.place.write("few.sh", &format!("#!/bin/sh\n{script}"));
        let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, run).unwrap();
        Gateway::start(&self.place, script.to_str().unwrap(), &settings)
    }
}

/// A certificate of the gateway's, in its place.
pub(super) fn own(ca: &TestCa, place: &Place) -> Credentials {
    ca.issue(place, "gateway", &[SIP_DOMAIN, HOST])
}

/// The sum of all values of a metric.
pub(super) fn metric(gateway: &Gateway, name: &str) -> f64 {
    let (code, text) = gateway.get("/metrics").expect("the admin page is there");
    assert_eq!(code, 200);
    let of = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    of.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Waits until a metric has a value that will do.
pub(super) fn metric_becomes(gateway: &Gateway, name: &str, patience: Duration, right: impl Fn(f64) -> bool) {
    let mut last = f64::NAN;
    let begun = Instant::now();
    until(name, patience, || {
        last = metric(gateway, name);
        assert!(right(last) || begun.elapsed() < patience, "{name} is {last}");
        right(last)
    });
}
