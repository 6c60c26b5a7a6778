//! Kamailio: the SIP proxy and registrar between the phones and the gateway.

use super::{Place, Process, Prosody, template, until};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A running Kamailio: users of `example.net` register here, `example.com` lives behind the gateway.
#[derive(Debug)]
pub struct Kamailio {
    process: Process,
    address: SocketAddr,
}

impl Kamailio {
    /// The domain of the phones.
    pub const DOMAIN: &'static str = "example.net";

    /// Starts it at `address`, in front of the gateway at `gateway`. After `patience` (whole seconds) without any
    /// answer from a phone it answers 408 itself.
    #[track_caller]
    pub fn start(place: &Place, address: SocketAddr, gateway: SocketAddr, patience: Duration) -> Kamailio {
        Kamailio::granting(place, address, gateway, patience, 3600)
    }

    /// As [`start`](Kamailio::start); as a presence agent it grants `seconds` at most.
    #[track_caller]
    pub fn granting(
        place: &Place,
        address: SocketAddr,
        gateway: SocketAddr,
        patience: Duration,
        seconds: u32,
    ) -> Kamailio {
        let config = template::fill(
            "kamailio.cfg",
            &[
                ("IP", &address.ip().to_string()),
                ("PORT", &address.port().to_string()),
                ("XMPP_DOMAIN", Prosody::DOMAIN),
                ("SIP_DOMAIN", Kamailio::DOMAIN),
                ("GATEWAY", &gateway.to_string()),
                ("GRANTED", &seconds.to_string()),
                ("PATIENCE", &patience.as_millis().to_string()),
            ],
        );
        let config = place.write("kamailio.cfg", &config);
        let dir = place.dir().to_str().expect("the test's folder is UTF-8");
        let pid = place.dir().join("kamailio.pid");
        let files = [&config, &pid].map(|p| p.to_str().expect("the test's folder is UTF-8"));
        // -DD: stay in the foreground; -E: log to standard error; small memory pools.
        let args = ["-f", files[0], "-DD", "-E", "-m", "16", "-M", "4", "-Y", dir, "-P", files[1]];
        let process = Process::start(place, "kamailio", "kamailio", &args);
        let mut kamailio = Kamailio { process, address };
        until("Kamailio listens", Duration::from_secs(10), || {
            kamailio.process.assert_running();
            TcpStream::connect(address).is_ok()
        });
        kamailio
    }

    /// Where it listens, for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for signals and its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
