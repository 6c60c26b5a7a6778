//! What these tests stand on: a gateway in this process, an XMPP server's end that says and hears anything, and a phone. All on
//! real sockets, on addresses and ports of their own, so that any number of these worlds may be there at once.

use rehearsal::ladder::Ladder;
use rehearsal::stub::Phone;
use rehearsal::wire::SipText;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use verona::config::{Environment, Transport};
use verona::daemon::{Daemon, StartError};
use verona::metrics::Meters;
use verona::state::State;
use xml::{Element, Event, Limits, Reader};

/// Longer than anything here takes on the slowest machine; reached only when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) const SIP_DOMAIN: &str = "sip.example.net";
pub(crate) const XMPP_DOMAIN: &str = "xmpp.example.com";

/// A loopback address that nobody else has: each test may be a process, and several of them run at once.
pub(crate) fn loopback() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [.., high, low] = (std::process::id() % (190 * 256)).to_be_bytes();
    let [.., last] = (NEXT.fetch_add(1, Ordering::Relaxed) % 250 + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 + high, low, last))
}

/// A socket address of the system's choice.
pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}

/// What the gateway says to the XMPP server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Up,
    Stanza(Element),
    /// A stream error with this condition.
    Error(String),
    Closed,
}

/// How the XMPP server's end treats a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As XEP-0114 wants it; what the component sends to itself comes back to it.
    Polite,
    /// The same, but barriers are swallowed.
    NoBarriers,
    /// Not a word of its own.
    Mute,
}

/// The XMPP server's listening end.
pub(crate) struct XmppEnd {
    listener: TcpListener,
}

/// One connection of the component.
pub(crate) struct Link {
    heard: mpsc::UnboundedReceiver<Heard>,
    say: mpsc::UnboundedSender<Vec<u8>>,
    deaf: Arc<AtomicBool>,
}

impl XmppEnd {
    pub(crate) async fn start() -> XmppEnd {
        XmppEnd { listener: TcpListener::bind(anywhere()).await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection as it is.
    pub(crate) async fn stream(&self) -> TcpStream {
        tokio::time::timeout(PATIENCE, self.listener.accept()).await.expect("the gateway connects").unwrap().0
    }

    pub(crate) async fn accept(&self, manner: Manner) -> Link {
        Link::on(self.stream().await, manner)
    }

    /// The next connection, once the component is authenticated.
    pub(crate) async fn up(&self) -> Link {
        let mut link = self.accept(Manner::Polite).await;
        assert_eq!(link.next().await, Heard::Up);
        link
    }
}

impl Link {
    fn on(stream: TcpStream, manner: Manner) -> Link {
        let (read, mut write) = stream.into_split();
        let (tell, heard) = mpsc::unbounded_channel();
        let (say, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        let deaf = Arc::new(AtomicBool::new(false));
        tokio::spawn(listen(read, tell, say.downgrade(), manner, Arc::clone(&deaf)));
        tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        Link { heard, say, deaf }
    }

    pub(crate) fn say(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.say.send(bytes.into());
    }

    /// From now on nothing is read from the connection, and nothing answered.
    pub(crate) fn stop_reading(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn next(&mut self) -> Heard {
        let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("the gateway says something");
        heard.unwrap_or(Heard::Closed)
    }

    /// What has been said already.
    pub(crate) fn said(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

async fn listen(
    mut read: tokio::net::tcp::OwnedReadHalf,
    tell: mpsc::UnboundedSender<Heard>,
    say: mpsc::WeakUnboundedSender<Vec<u8>>,
    manner: Manner,
    deaf: Arc<AtomicBool>,
) {
    let limits = Limits { stanza_bytes: 1 << 22, ..Limits::default() };
    let mut reader = Reader::new(limits);
    let mut buffer = vec![0; 65_536];
    loop {
        let n = match read.read(&mut buffer).await {
            Ok(n) if n > 0 => n,
            _ => break,
        };
        if deaf.load(Ordering::Relaxed) {
            // The connection stays, as long as the test does.
            return std::future::pending().await;
        }
        reader.push(&buffer[..n]);
        while let Some(event) = reader.next().expect("the gateway writes well-formed XML") {
            // The test has let the connection go.
            let Some(say) = say.upgrade() else { return };
            let answer = |bytes: String| drop(say.send(bytes.into_bytes()));
            match event {
                Event::Open(_) if manner == Manner::Mute => {}
                Event::Open(_) => answer(format!(
                    "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                     xmlns:stream='http://etherx.jabber.org/streams' from='{SIP_DOMAIN}' id='3BF96D32'>"
                )),
                Event::Stanza(e) if e.name == "handshake" => {
                    answer("<handshake/>".to_owned());
                    let _ = tell.send(Heard::Up);
                }
                Event::Stanza(e) if e.is("error", "http://etherx.jabber.org/streams") => {
                    let condition = e.elements().next().map(|c| c.name.to_string()).unwrap_or_default();
                    let _ = tell.send(Heard::Error(condition));
                }
                Event::Stanza(e) if e.name == "iq" && e.attr("to") == Some(SIP_DOMAIN) => {
                    if manner == Manner::Polite {
                        let mut bytes = Vec::new();
                        xml::write(&e, "jabber:component:accept", &mut bytes);
                        let _ = say.send(bytes);
                    }
                }
                Event::Stanza(e) => drop(tell.send(Heard::Stanza(e))),
                Event::Skipped { why, .. } => drop(tell.send(Heard::Error(format!("skipped: {why}")))),
                Event::Close => {}
            }
        }
    }
    let _ = tell.send(Heard::Closed);
}

/// A gateway, in this process or in one of its own.
pub(crate) struct Gateway {
    process: Process,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
}

#[allow(clippy::large_enum_variant, reason = "one for each test")]
enum Process {
    This { daemon: Daemon, meters: Arc<Meters> },
    Own { child: Child, config: PathBuf },
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Process::Own { child, config } = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_file(config);
        }
    }
}

/// A configuration; `more` is TOML for its end.
pub(crate) fn config(server: SocketAddr, sip: SocketAddr, proxy: &str, xmpp_domain: &str, more: &str) -> String {
    format!(
        "[[xmpp.component]]\ndomain = \"{SIP_DOMAIN}\"\nserver = \"{server}\"\nsecret = \"s3cret\"\n\
         [xmpp]\nreconnect_min = \"100ms\"\nreconnect_max = \"1s\"\nhandshake_timeout = \"1s\"\nhalf_stanza = \"1s\"\n\
         ping_timeout = \"1s\"\nbarrier_timeout = \"300ms\"\n\
         [sip]\ndomains = [\"{xmpp_domain}\"]\nlisten = [\"udp:{sip}\", \"tcp:{sip}\"]\n\
         outbound_proxy = \"sip:{proxy};lr\"\n\
         [[sip.peer]]\nsource = \"127.0.0.0/8\"\ndomains = [\"{SIP_DOMAIN}\"]\n[store]\nurl = \"memory:\"\n{more}"
    )
}

impl Gateway {
    pub(crate) async fn start(server: SocketAddr, proxy: &str, xmpp_domain: &str, more: &str) -> Gateway {
        Gateway::with(&config(server, anywhere(), proxy, xmpp_domain, more)).await
    }

    /// A gateway in this process with this configuration.
    pub(crate) async fn with(text: &str) -> Gateway {
        let config = verona::config::parse("test.toml", text, Environment::of([])).unwrap().config;
        let domains: Vec<String> = config.sip_domains().map(str::to_owned).collect();
        let sockets: Vec<String> = config.sip.listen.iter().map(ToString::to_string).collect();
        let state = Arc::new(State::new(&domains, &sockets));
        let meters = Arc::new(Meters::new());
        let daemon = Daemon::start(&config, Arc::clone(&state), Arc::clone(&meters)).await.unwrap();
        let (udp, tcp) = (daemon.listening(Transport::Udp)[0], daemon.listening(Transport::Tcp)[0]);
        Gateway { process: Process::This { daemon, meters }, udp, tcp }
    }

    /// The program, in a process of its own.
    fn spawn(server: SocketAddr, proxy: &str, xmpp_domain: &str, more: &str, edges: &str) -> Gateway {
        // Nobody else has the address, so the port is free.
        let sip = SocketAddr::new(loopback(), 5060);
        let path = std::env::temp_dir().join(format!("verona-hostile-{}-{}.toml", std::process::id(), sip.ip()));
        let both = format!("\"tcp:{sip}\"");
        let all = format!("{both}{}", edges.replace('@', &sip.ip().to_string()));
        std::fs::write(&path, config(server, sip, proxy, xmpp_domain, more).replace(&both, &all)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_verona"));
        let child = command.args([Path::new("run"), Path::new("-c"), &path]).stderr(Stdio::null()).spawn().unwrap();
        Gateway { process: Process::Own { child, config: path }, udp: sip, tcp: sip }
    }

    /// The memory that the process has now, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most memory that the process had at any time so far, in KiB, without the pages of the program itself and of its libraries: those are on
    /// disk, and nobody can make them more.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:") - self.kib("RssFile:")
    }

    fn kib(&self, what: &str) -> u64 {
        let Process::Own { child, .. } = &self.process else { panic!("not a process of its own") };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(what)).expect("Linux has it");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Goes over to another configuration, as after SIGHUP.
    pub(crate) async fn reload(&mut self, text: &str) {
        self.try_reload(text).await.unwrap();
    }

    /// The same where it may not be possible.
    pub(crate) async fn try_reload(&mut self, text: &str) -> Result<(), StartError> {
        let Process::This { daemon, .. } = &mut self.process else { panic!("not in this process") };
        let config = verona::config::parse("test.toml", text, Environment::of([])).unwrap().config;
        daemon.reconfigure(&config).await
    }

    /// All metrics.
    pub(crate) fn metrics(&self) -> String {
        let Process::This { meters, .. } = &self.process else { panic!("not in this process") };
        meters.render()
    }

    /// A number of the metrics. `name` with its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

/// Where a gateway runs.
#[derive(Debug, Clone, Copy)]
enum Home {
    /// In this process.
    Here,
    /// In one of its own.
    Own,
    /// In one of its own, with sockets for TLS and WebSockets.
    Edges,
}

/// A gateway between an XMPP server's end and a phone that accepts everything.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) xmpp: XmppEnd,
    pub(crate) link: Link,
    pub(crate) phone: Phone,
    xmpp_domain: &'static str,
    baselines: u32,
}

impl World {
    /// A world whose stream is up. One shard, so that what comes first is done first.
    pub(crate) async fn start(xmpp_domain: &'static str, limits: &str) -> World {
        World::between(xmpp_domain, limits, Home::Here, None).await
    }

    /// The same with the gateway in a process of its own.
    pub(crate) async fn spawn(xmpp_domain: &'static str, limits: &str) -> World {
        World::between(xmpp_domain, limits, Home::Own, None).await
    }

    /// The same where all that goes to SIP goes to this address.
    pub(crate) async fn spawn_before(proxy: SocketAddr, xmpp_domain: &'static str, limits: &str) -> World {
        World::between(xmpp_domain, limits, Home::Own, Some(proxy)).await
    }

    /// The same with the gateway in a process of its own, which listens for TLS at port 5061, for WebSockets at 8088, and for both at 8443. `limits`
    /// have `[tls]` at their end.
    pub(crate) async fn spawn_with_edges(xmpp_domain: &'static str, limits: &str) -> World {
        World::between(xmpp_domain, limits, Home::Edges, None).await
    }

    async fn between(xmpp_domain: &'static str, limits: &str, home: Home, proxy: Option<SocketAddr>) -> World {
        let xmpp = XmppEnd::start().await;
        let phone =
            Phone::start(SocketAddr::new(loopback(), 0), Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
        let proxy = proxy.unwrap_or(phone.address()).to_string();
        let limits = format!("[limits]\nshards = 1\n{limits}");
        let gateway = match home {
            Home::Here => Gateway::start(xmpp.address(), &proxy, xmpp_domain, &limits).await,
            Home::Own => Gateway::spawn(xmpp.address(), &proxy, xmpp_domain, &limits, ""),
            Home::Edges => {
                let edges = ", \"tls:@:5061\", \"ws:@:8088\", \"wss:@:8443\"";
                Gateway::spawn(xmpp.address(), &proxy, xmpp_domain, &limits, edges)
            }
        };
        let link = xmpp.up().await;
        let mut world = World { gateway, xmpp, link, phone, xmpp_domain, baselines: 0 };
        world.settle().await;
        world
    }

    /// The gateway has made a new stream.
    pub(crate) async fn reconnected(&mut self) {
        self.link = self.xmpp.up().await;
        self.settle().await;
    }

    /// Waits until the shard knows of the stream: what it answers on it, it answers after that.
    async fn settle(&mut self) {
        let from = self.xmpp_domain;
        self.link.say(format!(
            "<iq type='get' id='settle' from='nurse@{from}/b' to='{SIP_DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        loop {
            match self.link.next().await {
                Heard::Stanza(e) if e.attr("id") == Some("settle") => return,
                Heard::Stanza(_) => {}
                heard => unreachable!("{heard:?} before the answer to a ping"),
            }
        }
    }

    fn next_baseline(&mut self) -> String {
        self.baselines += 1;
        format!("baseline {}", self.baselines)
    }

    /// A good message from SIP on a transaction, and if `tcp` a connection, of its own is delivered and answered 200. Gives back
    /// the stanzas that the gateway sent before it.
    pub(crate) async fn baseline_from_sip(&mut self, tcp: bool) -> Vec<Element> {
        let text = self.next_baseline();
        let request = message("romeo", &format!("sip:nurse@{}", self.xmpp_domain), &[], &text);
        let response = match tcp {
            true => self.phone.request_tcp(self.gateway.tcp, request).await.unwrap(),
            false => self.phone.request(self.gateway.udp, request).await.unwrap(),
        };
        assert_eq!(response.status(), Some(200), "the baseline: {response}");
        let mut before = Vec::new();
        loop {
            match self.link.next().await {
                Heard::Stanza(e) if body_of(&e).as_deref() == Some(&text) => return before,
                Heard::Stanza(e) => before.push(e),
                heard => unreachable!("{heard:?} before the baseline"),
            }
        }
    }

    /// The stanza of a good message from XMPP, and its text.
    pub(crate) fn stanza_baseline(&mut self) -> (String, String) {
        let text = self.next_baseline();
        let from = self.xmpp_domain;
        (format!("<message from='nurse@{from}/b' to='peter@{SIP_DOMAIN}'><body>{text}</body></message>"), text)
    }

    /// A good message from XMPP reaches the phone. Gives back the requests that came before it.
    pub(crate) async fn baseline_from_xmpp(&mut self) -> Vec<SipText> {
        let (stanza, text) = self.stanza_baseline();
        self.link.say(stanza);
        let mut before = Vec::new();
        loop {
            let request = self.phone.next(PATIENCE).await.expect("the baseline reaches the phone");
            match request.text() == text {
                true => return before,
                false => before.push(request),
            }
        }
    }
}

/// A MESSAGE with a text to `to`; the phone adds what is missing.
pub(crate) fn message(from: &str, to: &str, headers: &[(&str, &str)], body: &str) -> SipText {
    let mut all = vec![("From".to_owned(), format!("<sip:{from}@{SIP_DOMAIN}>")), ("To".to_owned(), format!("<{to}>"))];
    all.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    if !headers.iter().any(|(n, _)| *n == "Content-Type") {
        all.push(("Content-Type".to_owned(), "text/plain;charset=UTF-8".to_owned()));
    }
    SipText { start: format!("MESSAGE {to} SIP/2.0"), headers: all, body: body.as_bytes().to_vec() }
}

/// The first body of a message stanza.
pub(crate) fn body_of(stanza: &Element) -> Option<String> {
    Some(stanza.child("body", "jabber:component:accept")?.text().into_owned())
}
