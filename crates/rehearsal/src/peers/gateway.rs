//! The gateway itself, as its users run it: the built program with a configuration file.

use super::xmpp_server::{SECRET, XmppServer};
use super::{Place, Process, until};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

const START: Duration = Duration::from_secs(15);

/// What a test's gateway is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The XMPP domains that it stands for towards SIP.
    pub domains: Vec<String>,
    /// The SIP domains that it stands for at the XMPP server, each a component.
    pub components: Vec<String>,
    /// Where the XMPP server takes components.
    pub server: SocketAddr,
    /// Where everything towards SIP goes, unless it goes where a name server says.
    pub proxy: SocketAddr,
    /// The name server that everything towards SIP is looked up at (RFC 3263); none: it goes to the proxy.
    pub dns: Option<SocketAddr>,
    /// Whether there is a proxy, or a name server, at all.
    pub proxied: bool,
    /// The transport towards the proxy, as in `transport=`.
    pub transport: &'static str,
    /// More sockets for SIP: `tls:ADDRESS:PORT`.
    pub sockets: Vec<String>,
    /// The lines of `[[sip.peer]]` that say who may send.
    pub peer: String,
    /// The URL of its store.
    pub store: &'static str,
    /// Networks that are open to what peers say.
    pub open: Vec<String>,
    /// TOML that makes the gateway the XMPP server of the SIP domains, in place of components.
    pub federation: Option<String>,
    /// More TOML at the end of the `[sip]` table.
    pub more_sip: String,
    /// More TOML at the end of the file.
    pub more: String,
}

impl Settings {
    /// `example.net` behind the proxy at `proxy`, the domain of `xmpp` behind it.
    pub fn new(xmpp: &dyn XmppServer, proxy: SocketAddr) -> Settings {
        Settings {
            domains: vec![xmpp.domain().to_owned()],
            components: vec!["example.net".to_owned()],
            server: xmpp.component(),
            proxy,
            dns: None,
            proxied: true,
            transport: "udp",
            sockets: Vec::new(),
            peer: "source = \"127.0.0.0/8\"".to_owned(),
            store: "memory:",
            open: vec!["127.0.0.0/8".to_owned()],
            federation: xmpp.federation().map(str::to_owned),
            more_sip: String::new(),
            more: String::new(),
        }
    }

    fn toml(&self, sip: SocketAddr, admin: SocketAddr) -> String {
        let mut out = String::new();
        let list = |domains: &[String]| domains.iter().map(|d| format!("\"{d}\"")).collect::<Vec<_>>().join(", ");
        if let Some(federation) = &self.federation {
            out += &federation.replace("@DOMAINS@", &list(&self.components));
        }
        for domain in self.components.iter().filter(|_| self.federation.is_none()) {
            let _ = writeln!(
                out,
                "[[xmpp.component]]\ndomain = \"{domain}\"\nserver = \"{}\"\nsecret = \"{}\"\n",
                self.server, SECRET
            );
        }
        let domains = list(&self.components);
        let (next_hop, dns) = match self.dns {
            None if !self.proxied => (String::new(), String::new()),
            None => (format!("outbound_proxy = \"sip:{};transport={};lr\"", self.proxy, self.transport), String::new()),
            Some(server) => (String::new(), format!("[dns]\nserver = \"{server}\"\n")),
        };
        let _ = write!(
            out,
            "[sip]\n\
             domains = [{xmpp}]\n\
             listen = [\"udp:{sip}\", \"tcp:{sip}\"{sockets}]\n\
             {next_hop}\n\
             {more_sip}\n\
             [[sip.peer]]\n\
             {peer}\n\
             domains = [{domains}]\n\n\
             [security]\n\
             allow_networks = [{open}]\n\n\
             [store]\n\
             url = \"{store}\"\n\n\
             [admin]\n\
             listen = \"{admin}\"\n\n\
             {dns}\n\
             {more}\n",
            open = list(&self.open),
            xmpp = list(&self.domains),
            peer = self.peer,
            sockets = self.sockets.iter().map(|socket| format!(", \"{socket}\"")).collect::<String>(),
            store = self.store,
            more_sip = self.more_sip,
            more = self.more,
        );
        out
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    binary: String,
    config: PathBuf,
    sip: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts `binary` (`env!("CARGO_BIN_EXE_verona")`) and waits until it says that it is ready.
    #[track_caller]
    pub fn start(place: &Place, binary: &str, settings: &Settings) -> Gateway {
        Gateway::start_at(place, binary, place.free(), settings)
    }

    /// As [`start`](Gateway::start), listening for SIP at `sip`, which a proxy had to know before.
    #[track_caller]
    pub fn start_at(place: &Place, binary: &str, sip: SocketAddr, settings: &Settings) -> Gateway {
        let admin = place.free();
        let config = place.write("verona.toml", &settings.toml(sip, admin));
        place.log("verona.toml");
        let process = run(place, binary, &config);
        let mut gateway = Gateway { process, binary: binary.to_owned(), config, sip, admin };
        gateway.wait_ready(START);
        gateway
    }

    /// Where it listens for SIP, over UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// The process, for signals and its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its configuration file.
    pub fn config(&self) -> &PathBuf {
        &self.config
    }

    /// Waits until /ready says yes.
    #[track_caller]
    pub fn wait_ready(&mut self, patience: Duration) {
        until("the gateway is ready", patience, || {
            self.process.assert_running();
            self.is_ready()
        });
    }

    /// Whether /ready says yes now.
    pub fn is_ready(&self) -> bool {
        self.get("/ready").is_some_and(|(code, _)| code == 200)
    }

    /// The status and body of an admin page; None if nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, b)| b).to_owned();
        Some((code, body))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and the status that it ended with.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Starts it again with the same configuration.
    #[track_caller]
    pub fn restart(&mut self, place: &Place) {
        if self.process.is_running() {
            self.process.stop();
        }
        self.process = run(place, &self.binary, &self.config);
        self.wait_ready(START);
    }
}

#[track_caller]
fn run(place: &Place, binary: &str, config: &std::path::Path) -> Process {
    let config = config.to_str().expect("the test's folder is UTF-8");
    Process::start(place, "verona", binary, &["run", "-c", config])
}
