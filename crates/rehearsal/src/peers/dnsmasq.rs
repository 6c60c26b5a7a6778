//! dnsmasq: a name server that knows what the test tells it, and that there is nothing else.

use super::{Place, Process, until};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

const START: Duration = Duration::from_secs(10);

/// What a name server is to know. Every record lives for one second, so that a test need not wait for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    lines: String,
}

impl Zone {
    /// Nothing.
    pub fn new() -> Zone {
        Zone::default()
    }

    /// The address of a host, of either family; one more where it has some.
    #[must_use]
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>) -> Zone {
        let _ = writeln!(self.lines, "host-record={name},{}", address.into());
        self
    }

    /// Where a service is: `_xmpp-server._tcp.example.com`. A target of "." says that it is nowhere.
    #[must_use]
    pub fn srv(mut self, service: &str, target: &str, port: u16, priority: u16, weight: u16) -> Zone {
        // Without a target it is the root.
        let _ = match target {
            "." => writeln!(self.lines, "srv-host={service}"),
            _ => writeln!(self.lines, "srv-host={service},{target},{port},{priority},{weight}"),
        };
        self
    }

    /// A rule for the services of a domain: `SIP+D2T` by SRV records at `replacement`.
    #[must_use]
    pub fn naptr(mut self, domain: &str, order: u16, preference: u16, service: &str, replacement: &str) -> Zone {
        let _ = writeln!(self.lines, "naptr-record={domain},{order},{preference},s,{service},,{replacement}");
        self
    }
}

/// A running dnsmasq.
#[derive(Debug)]
pub struct Dnsmasq {
    process: Process,
    address: SocketAddr,
}

impl Dnsmasq {
    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(place: &Place, zone: &Zone) -> Dnsmasq {
        let address = place.free();
        let mut dnsmasq = Dnsmasq { process: run(place, address, zone), address };
        dnsmasq.wait_until_up();
        dnsmasq
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for signals: stopped, it answers nobody.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Knows this from now on, and nothing of before.
    #[track_caller]
    pub fn change(&mut self, place: &Place, zone: &Zone) {
        self.process.stop();
        self.process = run(place, self.address, zone);
        self.wait_until_up();
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        // The root's name servers, which it does not know: any answer will do.
        const QUESTION: [u8; 17] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
        until("dnsmasq answers", START, || {
            self.process.assert_running();
            let socket = UdpSocket::bind((self.address.ip(), 0)).and_then(|socket| {
                socket.set_read_timeout(Some(Duration::from_millis(200)))?;
                socket.connect(self.address)?;
                socket.send(&QUESTION).map(|_| socket)
            });
            socket.is_ok_and(|socket| socket.recv(&mut [0; 512]).is_ok())
        });
    }
}

#[track_caller]
fn run(place: &Place, address: SocketAddr, zone: &Zone) -> Process {
    let options = format!(
        "port={}\nlisten-address={}\nbind-interfaces\nno-resolv\nno-hosts\nno-poll\nlocal=/#/\nlocal-ttl=1\nneg-ttl=1\n\
         cache-size=0\nuser=\nlog-queries\nlog-facility=-\npid-file=\n{}",
        address.port(),
        address.ip(),
        zone.lines
    );
    let config = place.write("dnsmasq.conf", &options);
    let config = format!("--conf-file={}", config.display());
    Process::start(place, "dnsmasq", "dnsmasq", &["--keep-in-foreground", &config])
}
