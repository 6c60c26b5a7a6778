//! An authority that gives out certificates by itself (RFC 8555).

use super::{Place, Process, until};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const START: Duration = Duration::from_secs(10);

/// A running authority, strict about what a client has to do, which asks for every domain at one address.
#[derive(Debug)]
pub struct AcmeServer {
    process: Process,
    address: SocketAddr,
    folder: PathBuf,
}

impl AcmeServer {
    /// Starts it; it asks back at `asked`, and gives certificates for so many days.
    #[track_caller]
    pub fn start(place: &Place, asked: SocketAddr, days: u32) -> AcmeServer {
        let address = place.free();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/acme_server.py");
        let (ip, port, days) = (address.ip().to_string(), address.port().to_string(), days.to_string());
        let (asked_ip, asked_port) = (asked.ip().to_string(), asked.port().to_string());
        let script = script.to_string_lossy();
        let folder = place.dir().to_string_lossy().into_owned();
        let arguments = [&*script, &ip, &port, &asked_ip, &asked_port, &folder, &days];
        let process = Process::start(place, "acme", "/usr/bin/python3", &arguments);
        let mut server = AcmeServer { process, address, folder: place.dir().to_owned() };
        until("the authority is ready", START, || {
            server.process.assert_running();
            server.has_said("ready")
        });
        server
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/directory", self.address)
    }

    /// The PEM file with its root, for its own server and for what it gives out.
    pub fn root(&self) -> PathBuf {
        self.folder.join("acme-root.pem")
    }

    /// From now on nobody can prove anything to it, or somebody can again.
    #[track_caller]
    pub fn refuse(&self, refuse: bool) {
        let file = self.folder.join("refuse");
        let done = if refuse { std::fs::write(file, "") } else { std::fs::remove_file(file) };
        done.expect("the place's folder is ours");
    }

    /// Whether it has said this line.
    pub fn has_said(&self, line: &str) -> bool {
        self.process.log().lines().any(|said| said == line)
    }

    /// How many of its lines begin so.
    pub fn said(&self, begin: &str) -> usize {
        self.process.log().lines().filter(|said| said.starts_with(begin)).count()
    }
}
