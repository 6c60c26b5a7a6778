//! Kamailio at an edge: TLS and WebSockets towards the gateway.

use super::kamailio::run;
use super::{Credentials, Kamailio, Place, Process, Prosody, TestCa, template};
use std::net::SocketAddr;

/// How the gateway and the proxy talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Each connects to the other, and both show certificates.
    Tls,
    /// The gateway connects; the proxy uses its connection.
    Ws,
    /// The same over TLS.
    Wss,
}

impl Edge {
    /// As `transport=` has it.
    pub fn name(self) -> &'static str {
        match self {
            Edge::Tls => "tls",
            Edge::Ws => "ws",
            Edge::Wss => "wss",
        }
    }
}

/// A running Kamailio: users of `example.net` register here by UDP and TCP, `example.com` lives behind the gateway.
#[derive(Debug)]
pub struct KamailioEdge {
    process: Process,
    phones: SocketAddr,
    gateway_comes_to: SocketAddr,
}

impl KamailioEdge {
    /// The name in its certificate, besides its address.
    pub const NAME: &'static str = "proxy.example.net";

    /// Starts it. `gateway` is where the gateway listens for TLS, `name` what it takes it for there.
    #[track_caller]
    pub fn start(
        place: &Place,
        edge: Edge,
        (authority, shown): (&TestCa, &Credentials),
        (gateway, name): (SocketAddr, &str),
    ) -> KamailioEdge {
        let places = [(); 4].map(|()| place.free());
        KamailioEdge::start_at(place, places, edge, (authority, shown), (gateway, name))
    }

    /// As [`start`](KamailioEdge::start), listening at these addresses: for phones, TLS, WebSockets and secure ones.
    #[track_caller]
    pub fn start_at(
        place: &Place,
        [phones, tls, ws, wss]: [SocketAddr; 4],
        edge: Edge,
        (authority, shown): (&TestCa, &Credentials),
        (gateway, name): (SocketAddr, &str),
    ) -> KamailioEdge {
        let path = |path: &std::path::Path| path.display().to_string();
        let secure = template::fill(
            "kamailio_tls.cfg",
            &[
                ("CHAIN", &path(&shown.chain)),
                ("KEY", &path(&shown.key)),
                ("AUTHORITY", &path(authority.root())),
                ("GATEWAY_NAME", name),
            ],
        );
        let secure = place.write("kamailio_tls.cfg", &secure);
        let config = template::fill(
            "kamailio_edges.cfg",
            &[
                ("PHONES", &phones.to_string()),
                ("TLS", &tls.to_string()),
                ("WS", &ws.to_string()),
                ("WSS", &wss.to_string()),
                ("TLS_CONFIG", &path(&secure)),
                ("TRANSPORT", edge.name()),
                ("GATEWAY", &gateway.to_string()),
                ("XMPP_DOMAIN", Prosody::DOMAIN),
                ("SIP_DOMAIN", Kamailio::DOMAIN),
            ],
        );
        let process = run(place, "kamailio-edge", &config, phones);
        let gateway_comes_to = match edge {
            Edge::Tls => tls,
            Edge::Ws => ws,
            Edge::Wss => wss,
        };
        KamailioEdge { process, phones, gateway_comes_to }
    }

    /// Where phones come to, by UDP and TCP.
    pub fn phones(&self) -> SocketAddr {
        self.phones
    }

    /// Where the gateway comes to.
    pub fn gateway_comes_to(&self) -> SocketAddr {
        self.gateway_comes_to
    }

    /// The process, for signals and its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
