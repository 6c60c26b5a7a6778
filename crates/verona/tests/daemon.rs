//! The running program and its operator: readiness, reload, the pid file, the end.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use rehearsal::peers::Place;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

struct Daemon {
    child: Child,
    manager: UnixDatagram,
    admin: SocketAddr,
    sip: SocketAddr,
    xmpp: TcpListener,
    /// Last, as it outlives the program.
    place: Place,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone when the test went well.
        let _ = self.child.kill();
    }
}

impl Daemon {
    fn start(name: &str) -> Daemon {
        let place = Place::new(name);
        let folder = place.dir();
        let manager = UnixDatagram::bind(folder.join("notify")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let xmpp = TcpListener::bind((place.ip(), 0)).unwrap();
        let (sip, admin) = (place.free(), place.free());
        let config = text(&xmpp, sip, admin, "");
        std::fs::write(folder.join("verona.toml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_verona"))
            .arg("run")
            .args([Path::new("-c"), &folder.join("verona.toml"), Path::new("--pid-file"), &folder.join("pid")])
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Daemon { child, manager, admin, sip, xmpp, place }
    }

    /// The next thing that the service manager is told.
    fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let n = self.manager.recv(&mut buffer).expect("the service manager is told something");
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    /// Skips what is told besides until this comes.
    fn wait_for(&self, state: &str) {
        while !self.told().lines().any(|line| line == state) {}
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn reconfigure(&self, more: &str) {
        let config = text(&self.xmpp, self.sip, self.admin, more);
        std::fs::write(self.place.dir().join("verona.toml"), config).unwrap();
        self.signal("-HUP");
        self.wait_for("RELOADING=1");
        self.wait_for("READY=1");
    }

    fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer[9..12].parse().unwrap(), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Waits for the end; the exit status and the log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

fn text(xmpp: &TcpListener, sip: SocketAddr, admin: SocketAddr, more: &str) -> String {
    let xmpp = xmpp.local_addr().unwrap();
    format!(
        "[[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{xmpp}\"\nsecret = \"s3cret\"\n[sip]\n\
         domains = [\"example.com\"]\nlisten = [\"udp:{sip}\"]\noutbound_proxy = \"sip:127.0.0.1:5080;lr\"\n\
         [admin]\nlisten = \"{admin}\"\n[store]\nurl = \"memory:\"\n{more}"
    )
}

#[test]
fn it_starts_reloads_and_ends_as_it_is_told() {
    let daemon = Daemon::start("life");
    daemon.wait_for("READY=1");
    let pid = std::fs::read_to_string(daemon.place.dir().join("pid")).unwrap();
    assert_eq!(pid, format!("{}\n", daemon.child.id()));

    // Alive, but not ready: the XMPP server has not accepted the component.
    let (code, body) = daemon.ask("/health");
    assert_eq!(code, 200, "{body}");
    let (code, body) = daemon.ask("/ready");
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("\"domain\":\"example.net\"") && body.contains("\"up\":false"), "{body}");
    assert!(body.contains(&format!("\"bound\":true,\"socket\":\"udp:{}\"", daemon.sip)), "{body}");

    // A key that can change, a mistake, and a key that needs a restart.
    daemon.reconfigure("[log]\nlevel = \"debug\"\n");
    daemon.reconfigure("[log]\nlevel = \"loud\"\n");
    daemon.reconfigure("[log]\nlevel = \"debug\"\n[limits]\nheld = 99\n");
    let (_, metrics) = daemon.ask("/metrics");
    assert!(metrics.contains("verona_reloads_total{result=\"applied\"} 1"), "{metrics}");
    assert!(metrics.contains("verona_reloads_total{result=\"refused\"} 2"), "{metrics}");
    assert!(metrics.contains("verona_xmpp_link_up{domain=\"example.net\"} 0"), "{metrics}");

    daemon.signal("-TERM");
    daemon.wait_for("STOPPING=1");
    let pid_file = daemon.place.dir().join("pid");
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!pid_file.exists(), "the pid file is gone");
    assert!(log.contains("reload refused: ") && log.contains("log.level = \"loud\""), "{log}");
    assert!(log.contains("these keys need a restart") && log.contains("limits.held"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn a_socket_that_is_taken_ends_it_with_a_word() {
    let first = Daemon::start("first");
    first.wait_for("READY=1");
    let out = Command::new(env!("CARGO_BIN_EXE_verona"))
        .args(["run", "-c"])
        .arg(first.place.dir().join("verona.toml"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("in use"), "{}", String::from_utf8_lossy(&out.stderr));
    first.signal("-INT");
    assert_eq!(first.end().0, Some(0));
}
