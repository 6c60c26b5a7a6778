//! Kamailio: the SIP proxy and registrar between the phones and the gateway, and a relay for MSRP.

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

    /// As [`start`](Kamailio::start); `jules` has to prove by this password who it is (RFC 3261 §22), as whom it registers and in what the gateway
    /// sends in its name.
    #[track_caller]
    pub fn with_password(place: &Place, address: SocketAddr, gateway: SocketAddr, password: &str) -> Kamailio {
        Kamailio::filled(place, address, gateway, Duration::from_secs(2), 3600, Some(password))
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
        Kamailio::filled(place, address, gateway, patience, seconds, None)
    }

    #[track_caller]
    fn filled(
        place: &Place,
        address: SocketAddr,
        gateway: SocketAddr,
        patience: Duration,
        seconds: u32,
        password: Option<&str>,
    ) -> Kamailio {
        let config = template::fill(
            "kamailio.cfg",
            &[
                ("IP", &address.ip().to_string()),
                ("PORT", &address.port().to_string()),
                ("XMPP_DOMAIN", Prosody::DOMAIN),
                ("SIP_DOMAIN", Kamailio::DOMAIN),
                ("GATEWAY", &gateway.to_string()),
                ("GATEWAY_IP", &gateway.ip().to_string()),
                ("PASSWORDS", if password.is_some() { "#!define PASSWORDS" } else { "" }),
                ("PASSWORD", password.unwrap_or_default()),
                ("GRANTED", &seconds.to_string()),
                ("PATIENCE", &patience.as_millis().to_string()),
            ],
        );
        Kamailio { process: run(place, "kamailio", &config, address), address }
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

/// A running Kamailio that relays MSRP (RFC 4976) for one user, over TCP.
#[derive(Debug)]
pub struct MsrpRelay {
    process: Process,
    address: SocketAddr,
}

impl MsrpRelay {
    /// Whom it serves.
    pub const USER: &'static str = "verona";
    /// What he says.
    pub const PASSWORD: &'static str = "wherefore art thou";

    /// Starts it at `address`. A URI that it gives out is good for `seconds`.
    #[track_caller]
    pub fn start(place: &Place, address: SocketAddr, seconds: u32) -> MsrpRelay {
        let config = template::fill(
            "kamailio_msrp.cfg",
            &[
                ("IP", &address.ip().to_string()),
                ("PORT", &address.port().to_string()),
                ("REALM", "relay.example.net"),
                ("USER", MsrpRelay::USER),
                ("PASSWORD", MsrpRelay::PASSWORD),
                ("EXPIRES", &seconds.to_string()),
            ],
        );
        MsrpRelay { process: run(place, "kamailio-msrp", &config, address), address }
    }

    /// Its URI, for AUTH.
    pub fn uri(&self) -> String {
        format!("msrp://{};tcp", self.address)
    }

    /// The process, for signals and its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

#[track_caller]
pub(super) fn run(place: &Place, name: &str, config: &str, address: SocketAddr) -> Process {
    let config = place.write(&format!("{name}.cfg"), config);
    let dir = place.dir().join(format!("{name}.run"));
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
    let pid = dir.join("pid");
    let files = [&config, &dir, &pid].map(|p| p.to_str().expect("the test's folder is UTF-8"));
    // -DD: stay in the foreground; -E: log to standard error; small memory pools.
    let args = ["-f", files[0], "-DD", "-E", "-m", "64", "-M", "4", "-Y", files[1], "-P", files[2]];
    let mut process = Process::start(place, name, "kamailio", &args);
    until("Kamailio listens", Duration::from_secs(10), || {
        process.assert_running();
        TcpStream::connect(address).is_ok()
    });
    process
}
