//! What these tests stand on: the program as a child process, a server and phones, each at an address of its own.

use rehearsal::ladder::Ladder;
use rehearsal::stub::{Phone, PhoneAnswer, Rooms, Server, ServerSettings, Verdict};
use rehearsal::wire::SipText;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// The page of sessions where nothing is open.
pub(crate) const NOTHING_OPEN: &str = "{\"accounts\":{\"linked\":0,\"registered\":0},\"calls\":[],\"federation\":[],\"rooms\":[],\"sessions\":[],\"trunks\":[]}\n";

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// For what must not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// A place of a test's own: a folder, and three addresses on the loopback network.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) phone: Ipv4Addr,
}

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("verona-operations-{pid}-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let at = |last: u8| {
            // Thirty-two tests of one process, and many processes.
            let [.., high, low] = (pid % 1800 * 32 + number % 32 + 5000).to_be_bytes();
            Ipv4Addr::new(127, high, low, last)
        };
        Place { folder, gateway: at(11), server: at(22), phone: at(33) }
    }

    /// The file of the configuration.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("verona.toml")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What differs from test to test in the configuration.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Keys with their sections: `limits.drain = "1s"`. `@GATEWAY@` is the gateway's address.
    pub(crate) keys: String,
    pub(crate) domains: &'static str,
    /// `udp` or `tcp`: how the gateway speaks to the phone.
    pub(crate) transport: &'static str,
    /// Lines behind all others, such as a `[[sip.peer]]`.
    pub(crate) end: String,
    /// The gateway's next hop, where that is not the phone.
    pub(crate) proxy: Option<SocketAddr>,
    /// Rooms that the XMPP server has.
    pub(crate) rooms: Option<Rooms>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            keys: String::new(),
            domains: "\"example.com\"",
            transport: "udp",
            end: String::new(),
            proxy: None,
            rooms: None,
        }
    }
}

/// The running program. It ends with this.
pub(crate) struct Program {
    child: Child,
    manager: UnixDatagram,
    log: PathBuf,
    pub(crate) admin: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does it again while the address is taken: between the fork and the exec of another test's program, that holds what this one closed.
async fn insist<T, F: Future<Output = std::io::Result<T>>>(mut bind: impl FnMut() -> F) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match bind().await {
            Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < until => tokio::task::yield_now().await,
            bound => return bound.unwrap(),
        }
    }
}

impl Program {
    fn start(place: &Place, admin: SocketAddr, number: u32) -> Program {
        let notify = place.folder.join(format!("notify{number}"));
        let manager = UnixDatagram::bind(&notify).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = place.folder.join(format!("log{number}"));
        let child = Command::new(env!("CARGO_BIN_EXE_verona"))
            .args(["run".as_ref(), "-c".as_ref(), place.file().as_os_str()])
            .args(["--pid-file".as_ref(), place.folder.join("pid").as_os_str()])
            .env("NOTIFY_SOCKET", notify)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let program = Program { child, manager, log, admin };
        program.wait_for("READY=1");
        program
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Skips what the service manager is told besides until this comes.
    pub(crate) fn wait_for(&self, state: &str) {
        let mut buffer = [0; 4096];
        loop {
            let n = self.manager.recv(&mut buffer);
            assert!(n.is_ok(), "{state}: {n:?}\n{}", self.log());
            let n = n.unwrap();
            if String::from_utf8_lossy(&buffer[..n]).lines().any(|line| line == state) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8(std::fs::read(&self.log).unwrap()).unwrap()
    }

    /// Status and body of an answer of the admin interface.
    pub(crate) fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer[9..12].parse().unwrap(), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Asks until the answer is as wanted. Nobody tells when the state changes, so this asks again and again.
    pub(crate) fn wait_until(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let (code, body) = self.ask(path);
            if wanted(code, &body) {
                return body;
            }
            assert!(Instant::now() < until, "{path}: {code} {body}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn wait_ready(&self) {
        self.wait_until("/ready", |code, _| code == 200);
    }

    /// The value of a metric, by its name with its labels; 0 where there is none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        metric(&self.ask("/metrics").1, name)
    }

    /// Waits for the end; the exit status and the log.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        (status.code(), self.log())
    }

    /// No word, no chance: SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The value of a metric in a page of them.
pub(crate) fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// A program between a server and a phone.
pub(crate) struct World {
    pub(crate) program: Program,
    pub(crate) server: Server,
    /// The gateway's next hop.
    pub(crate) phone: Phone,
    pub(crate) sip: SocketAddr,
    pub(crate) place: Place,
    started: u32,
}

/// Juliet is there, nobody else.
pub(crate) fn users(stanza: &Stanza) -> Verdict {
    match stanza.to.as_ref().and_then(Jid::local) {
        Some("nobody") => Verdict::Refused(StanzaError::new(Condition::ItemNotFound).with_text("Nobody of that name")),
        _ => Verdict::Delivered,
    }
}

/// Romeo is there, nobody else.
pub(crate) fn phones(request: &SipText) -> PhoneAnswer {
    match request.addressee() {
        Some("rosaline") => (404, "Not Found".to_owned()),
        _ => (200, "OK".to_owned()),
    }
}

impl World {
    pub(crate) async fn new(name: &str, settings: &Settings) -> World {
        World::with(name, settings, phones).await
    }

    /// With a phone that answers as `policy` says.
    pub(crate) async fn with(
        name: &str,
        settings: &Settings,
        policy: impl Fn(&SipText) -> PhoneAnswer + Send + Sync + 'static,
    ) -> World {
        let place = Place::new(name);
        let listen = SocketAddrV4::new(place.server, 0).into();
        let mut server = World::serve_rooms(listen, settings.rooms.clone()).await;
        let phone = World::phone(SocketAddrV4::new(place.phone, 0).into(), policy).await;
        let sip = SocketAddrV4::new(place.gateway, 5060).into();
        let admin = SocketAddrV4::new(place.gateway, 8480).into();
        write(&place, settings, sip, admin, server.address(), phone.address());
        let program = Program::start(&place, admin, 0);
        assert!(server.wait_up(PATIENCE).await);
        program.wait_ready();
        World { program, server, phone, sip, place, started: 0 }
    }

    /// A server at this address.
    pub(crate) async fn serve(listen: SocketAddr) -> Server {
        World::serve_rooms(listen, None).await
    }

    /// A server with rooms.
    pub(crate) async fn serve_rooms(listen: SocketAddr, rooms: Option<Rooms>) -> Server {
        let settings = ServerSettings { listen, component: "example.net".to_owned(), secret: "s3cret".to_owned() };
        insist(|| Server::start_with_rooms(settings.clone(), Ladder::new(), rooms.clone(), users)).await
    }

    /// A phone at this address.
    pub(crate) async fn phone(
        address: SocketAddr,
        policy: impl Fn(&SipText) -> PhoneAnswer + Send + Sync + 'static,
    ) -> Phone {
        let policy = Arc::new(policy);
        let same = || {
            let policy = Arc::clone(&policy);
            move |request: &SipText| policy(request)
        };
        insist(|| Phone::start(address, Ladder::new(), same())).await
    }

    /// Writes another configuration.
    pub(crate) fn write(&self, settings: &Settings) {
        write(&self.place, settings, self.sip, self.program.admin, self.server.address(), self.phone.address());
    }

    /// Has the program read its configuration again, and waits until it has.
    pub(crate) fn hang_up(&self) {
        self.program.signal("-HUP");
        self.program.wait_for("RELOADING=1");
        self.program.wait_for("READY=1");
    }

    /// A new process in the place of the old one, which has ended.
    pub(crate) fn restart(&mut self) {
        self.started += 1;
        self.program = Program::start(&self.place, self.program.admin, self.started);
    }

    /// Another phone, which only sends.
    pub(crate) async fn another_phone(&self) -> Phone {
        World::phone(SocketAddrV4::new(self.place.phone, 0).into(), phones).await
    }

    /// Romeo says something by UDP; the final response.
    pub(crate) async fn romeo_says(&self, to: &str, text: &str) -> SipText {
        self.phone.message(self.sip, "sip:romeo@example.net", to, &[], text).await.unwrap()
    }

    /// Juliet says something.
    pub(crate) fn juliet_says(&self, to: &str, id: &str, text: &str) {
        self.server.send(message("juliet@example.com/balcony", to, id, text));
    }

    /// The next message that the XMPP side gets.
    pub(crate) async fn at_juliet(&mut self) -> Stanza {
        self.server.next(PATIENCE).await.expect("a stanza for the XMPP side")
    }

    /// The next request that the SIP side gets.
    pub(crate) async fn at_romeo(&mut self) -> SipText {
        self.phone.next(PATIENCE).await.expect("a request for the SIP side")
    }
}

pub(crate) fn message(from: &str, to: &str, id: &str, text: &str) -> Stanza {
    let body = Element::new("body", ns::CLIENT).with_text(text);
    let stanza = Stanza::message().with_from(Jid::parse(from).unwrap()).with_to(Jid::parse(to).unwrap());
    stanza.with_id(id).with_child(body)
}

pub(crate) fn body(stanza: &Stanza) -> String {
    stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned()).unwrap_or_default()
}

/// The condition of an error stanza.
pub(crate) fn condition(stanza: &Stanza) -> Option<Condition> {
    StanzaError::from_stanza(stanza).map(|error| error.condition)
}

fn write(
    place: &Place,
    settings: &Settings,
    sip: SocketAddr,
    admin: SocketAddr,
    server: SocketAddr,
    phone: SocketAddr,
) {
    let Settings { keys, domains, transport, end, proxy, rooms: _ } = settings;
    let keys = keys.replace("@GATEWAY@", &place.gateway.to_string());
    let phone = proxy.unwrap_or(phone);
    // Those of `[sip]` go where it is.
    let (sip_keys, keys): (Vec<&str>, Vec<&str>) = keys.lines().partition(|line| line.starts_with("sip."));
    let sip_keys = sip_keys.join("\n").replace("sip.", "");
    let keys = keys.join("\n");
    let text = format!(
        "admin.listen = \"{admin}\"\nxmpp.reconnect_min = \"100ms\"\n{keys}\n\
         [[xmpp.component]]\ndomain = \"example.net\"\nserver = \"{server}\"\nsecret = \"s3cret\"\n\
         [sip]\ndomains = [{domains}]\nlisten = [\"udp:{sip}\", \"tcp:{sip}\"]\n\
         outbound_proxy = \"sip:{phone};transport={transport};lr\"\n{sip_keys}\n{end}\n"
    );
    std::fs::write(place.file(), text).unwrap();
}

/// The program with its own standard input and output, for `verona demo`.
pub(crate) fn demo(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_verona"))
        .arg("demo")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
