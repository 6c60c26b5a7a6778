//! Where a test happens: a folder and a loopback address that no other test has.

use super::process::tail;
use std::cell::RefCell;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// A folder and a loopback address of the test's own. Keep it until every program in it has ended, so declare it first;
/// when the test fails it shows the end of each log and keeps the folder.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    ip: Ipv4Addr,
    /// Bound as long as the place lives: whoever else draws the same address sees that it is taken.
    _claim: UdpSocket,
    /// The ports that were given out.
    given: RefCell<Vec<u16>>,
    logs: RefCell<Vec<PathBuf>>,
}

/// Bound on every address that a test took.
const CLAIM_PORT: u16 = 7;

impl Place {
    /// A new place; `name` is for people who look into the folder.
    pub fn new(name: &str) -> Place {
        let (ip, claim, lot) = claim();
        let dir = std::env::temp_dir().join(format!("verona-{name}-{}-{lot:08x}", std::process::id()));
        fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        Place { dir, ip, _claim: claim, given: RefCell::default(), logs: RefCell::default() }
    }

    /// The address that every program of this test binds.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The folder; it is removed when the test passes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// An address and port that is free for UDP and TCP, now and later: nobody else uses this address.
    pub fn free(&self) -> SocketAddr {
        for _ in 0..100 {
            let Ok(tcp) = TcpListener::bind((self.ip, 0)) else { continue };
            let Ok(address) = tcp.local_addr() else { continue };
            // The system may give the same one twice before anybody has bound it.
            if UdpSocket::bind(address).is_ok() && !self.given.borrow().contains(&address.port()) {
                self.given.borrow_mut().push(address.port());
                return address;
            }
        }
        panic!("no free port on {}", self.ip)
    }

    /// As [`free`](Place::free), of IPv6: there is one loopback address for all, so it is only free now.
    pub fn free_v6(&self) -> SocketAddr {
        let free = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        free.unwrap_or_else(|e| panic!("no free port of IPv6: {e}"))
    }

    /// The file `name` in the folder, shown when the test fails.
    pub fn log(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        let mut logs = self.logs.borrow_mut();
        if !logs.contains(&path) {
            logs.push(path.clone());
        }
        path
    }

    /// Writes the file `name` into the folder.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

/// Draws loopback addresses until one is nobody's.
fn claim() -> (Ipv4Addr, UdpSocket, u32) {
    for _ in 0..100 {
        let lot = RandomState::new().hash_one(std::process::id());
        let [a, b, c, d, ..] = lot.to_le_bytes();
        // 127.0.0.x stays with people and their servers.
        let ip = Ipv4Addr::new(127, a % 250 + 1, b, c % 250 + 1);
        if let Ok(claim) = UdpSocket::bind((ip, CLAIM_PORT)).or_else(|_| UdpSocket::bind((ip, CLAIM_PORT + 40_000))) {
            return (ip, claim, u32::from_le_bytes([a, b, c, d]));
        }
    }
    panic!("no loopback address to be had")
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
            return;
        }
        let mut err = std::io::stderr();
        let _ = writeln!(err, "\nThe test's folder stays: {}", self.dir.display());
        for log in self.logs.borrow().iter() {
            let _ = writeln!(err, "---- {} (its end)\n{}", log.display(), tail(log, 60));
        }
    }
}
