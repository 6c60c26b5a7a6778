//! The gateways that are measured, each a process of its own for each run.

use super::federation::Secure;
use super::generator::{Generator, Offer, Outcome};
use super::kamailio;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where everybody listens: not the usual ports, so that a gateway in use is not in the way.
pub(crate) const SIP: &str = "127.0.0.1:25060";
pub(crate) const PHONE: &str = "127.0.0.1:25080";
pub(crate) const SERVER: &str = "127.0.0.1:25347";

/// Which gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that does nothing.
    Null,
    /// Ours.
    Verona,
    /// Kamailio with its xmpp module.
    Kamailio,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Verona => "verona",
            Kind::Kamailio => "kamailio",
        }
    }
}

/// A gateway that can be started.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) kind: Kind,
    pub(crate) programs: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) null: PathBuf,
    /// Over TLS on both sides, as a server that federates.
    pub(crate) secure: Option<Secure>,
}

/// A gateway that runs; it ends with this.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Running> {
        command.spawn().map(Running)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        // Kamailio's children end with it if it is asked kindly.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            if self.ended().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

impl Gateway {
    /// Starts the gateway, offers it messages, and ends it.
    pub(crate) fn run(&self, generator: &Generator, offer: &Offer) -> Result<Outcome, String> {
        let mut running = self.start()?;
        thread::sleep(Duration::from_millis(if self.kind == Kind::Kamailio { 1500 } else { 300 }));
        if let Some(status) = running.ended() {
            return Err(format!("{} ended at once: {status}", self.kind.name()));
        }
        generator.offer(offer, running.id())
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Result<Running, String> {
        let mut command = match self.kind {
            Kind::Null => {
                let mut command = Command::new(&self.null);
                command.args([SIP, SERVER, PHONE]).args(self.secure.iter().flat_map(Secure::null));
                command
            }
            Kind::Verona => {
                let file = self.scratch.join("verona.toml");
                std::fs::write(&file, self.secure.as_ref().map_or_else(verona_config, Secure::config))
                    .map_err(|e| format!("{}: {e}", file.display()))?;
                let mut command = Command::new(self.programs.join("verona"));
                command.args(["run", "-c"]).arg(file);
                command
            }
            Kind::Kamailio => kamailio::command(&self.scratch)?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(&mut command).map_err(|e| format!("{}: {e}", self.kind.name()))
    }
}

/// The limits are the defaults; the stream is tried again at once, as the generator's runs follow each other.
fn verona_config() -> String {
    format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{SERVER}\"\nsecret = \"secret\"\n\
         [sip]\ndomains = [\"example.com\"]\nlisten = [\"udp:{SIP}\"]\n\
         outbound_proxy = \"sip:{PHONE};transport=udp;lr\"\n[store]\nurl = \"memory:\"\n\
         [xmpp]\nreconnect_max = \"1s\"\n[security]\nallow_networks = [\"127.0.0.0/8\"]\n[log]\nlevel = \"error\"\n"
    )
}
