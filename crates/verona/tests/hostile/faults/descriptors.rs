//! No descriptor is left. Those who have theirs are served, nothing spins or dies, and when there is room again all is as before.

use super::net::{Different, Ground, HOST, metric, metric_becomes};
use super::server::{OURS, Server, body};
use super::sip_line::SipLine;
use crate::world::{Link, PATIENCE, XMPP_DOMAIN, XmppEnd, loopback, message};
use rehearsal::ladder::Ladder;
use rehearsal::peers::{Gateway, Weather};
use rehearsal::stub::Phone;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};

/// Another domain of ours, which a server has as a component.
const COMPONENT: &str = "old.example.net";

/// Where nobody has been yet.
const NEW: &str = "new.example";

/// Longer than a test.
const PATIENT: &str = "half_message = \"120s\"\nconnections_per_address = 1000\n";

/// A gateway with a connection of each kind: a phone's, one to a proxy, a stream with a server, and one as a component.
struct Site {
    gateway: Gateway,
    phone: SipLine,
    proxy: SipLine,
    server: Server,
    link: Link,
    /// Every address where it listens for connections.
    doors: Vec<SocketAddr>,
    rounds: usize,
    ground: Ground,
    _xmpp: XmppEnd,
}

impl Site {
    async fn start(name: &str, descriptors: Option<usize>) -> Site {
        let ground = Ground::new(name);
        let (at, tcp, ws, wss) = (ground.place.free(), ground.place.free(), ground.place.free(), ground.place.free());
        let shown = ground.ca.issue(&ground.place, "proxy", &[&at.ip().to_string()]);
        let proxy = SipLine::proxy(at, &shown).await;
        let xmpp = XmppEnd::start().await;
        let component = format!(
            "[[xmpp.component]]\ndomain = \"{COMPONENT}\"\nserver = \"{}\"\nsecret = \"s3cret\"\n[limits]\n{PATIENT}",
            xmpp.address()
        );
        // The gateway is ready when its stream is up.
        let up = tokio::spawn(async move { (xmpp.up().await, xmpp) });
        let gateway = ground.start(Different {
            proxy: Some(at),
            transport: "tls",
            sockets: vec![format!("tcp:{tcp}"), format!("ws:{ws}"), format!("wss:{wss}")],
            federation: "handshake = \"120s\"",
            more: component,
            descriptors,
            ..Different::default()
        });
        let (link, xmpp) = up.await.unwrap();
        let mut server = Server::start(XMPP_DOMAIN, ground.place.free(), &ground.ca, &ground.server).await;
        ground.lead(XMPP_DOMAIN, server.address());
        server.connect(OURS, ground.s2s_tls).await;
        let phone = SipLine::phone(ground.sips, &ground.ca, HOST).await;
        let doors = vec![gateway.sip(), tcp, ws, wss, ground.sips, ground.s2s, ground.s2s_tls];
        let mut site = Site { gateway, phone, proxy, server, link, doors, rounds: 0, ground, _xmpp: xmpp };
        site.all_goes_on().await;
        site
    }

    /// A message each way over each of the connections that were there from the beginning.
    async fn all_goes_on(&mut self) {
        self.rounds += 1;
        let n = self.rounds;
        self.phone.message(&format!("s{n}"));
        assert_eq!(self.phone.next().await.status(), Some(200));
        assert_eq!(body(&self.server.next().await), format!("s{n}"));
        self.server.message(OURS, &format!("x{n}"));
        assert_eq!(self.proxy.next().await.text(), format!("x{n}"));
        self.link.say(format!(
            "<message from='nurse@{XMPP_DOMAIN}/b' to='peter@{COMPONENT}' type='chat'><body>c{n}</body></message>"
        ));
        assert_eq!(self.proxy.next().await.text(), format!("c{n}"));
        assert_eq!((self.phone.connections(), self.proxy.connections()), ((1, 0), (1, 0)));
        assert_eq!(self.server.streams(), (1, 0));
    }

    /// The processor time that the gateway has taken, in hundredths of a second.
    fn ticks(&mut self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.gateway.process().id())).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum()
    }

    /// The gateway does next to nothing while nobody wants anything.
    async fn does_not_spin(&mut self) {
        const WATCHED: Duration = Duration::from_secs(2);
        let before = self.ticks();
        tokio::time::sleep(WATCHED).await;
        let taken = self.ticks() - before;
        assert!(taken < 50, "{taken} hundredths of a second of {WATCHED:?}");
        self.gateway.process().assert_running();
    }

    /// So many connections at each door, over which nothing is said.
    async fn crowd(&self, each: usize) -> Vec<TcpStream> {
        let sources: Vec<IpAddr> = (0..4).map(|_| loopback()).collect();
        let mut crowd = Vec::new();
        for n in 0..each {
            for door in &self.doors {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::new(sources[n % sources.len()], 0)).unwrap();
                crowd.push(socket.connect(*door).await.unwrap());
            }
        }
        crowd
    }

    /// Somebody of SIP writes to a domain where nobody has been. The status of the answer.
    async fn writes_to_a_new_domain(&self, text: &str) -> u16 {
        let at = SocketAddr::new(self.ground.place.ip().into(), 0);
        let phone = Phone::start(at, Ladder::new(), |_| (200, "OK".to_owned())).await.unwrap();
        let request = message("romeo", &format!("sip:nurse@{NEW}"), &[], text);
        phone.request(self.gateway.sip(), request).await.unwrap().status().unwrap()
    }

    /// The server of that domain.
    async fn new_server(&self) -> Server {
        let shown = self.ground.ca.issue(&self.ground.place, "new", &[NEW]);
        let server = Server::start(NEW, self.ground.place.free(), &self.ground.ca, &shown).await;
        self.ground.lead(NEW, server.address());
        server
    }
}

/// Idle connections take all that connections may have: that leaves enough for everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_leave_room_for_the_rest() {
    const MOST: usize = 500;
    let mut site = Site::start("faults-few", Some(MOST)).await;
    let mut new = site.new_server().await;
    let asks = SipLine::phone(site.ground.sips, &site.ground.ca, HOST).await;
    let crowd = site.crowd(150).await;
    metric_becomes(&site.gateway, "verona_sip_connections_refused_total", PATIENCE, |n| n > 0.0);
    metric_becomes(&site.gateway, "verona_federation_refused_total", PATIENCE, |n| n > 0.0);
    site.all_goes_on().await;
    let open = metric(&site.gateway, "process_open_fds");
    assert!(open > MOST as f64 / 3.0 && open < MOST as f64 - 50.0, "{open} of {MOST}");
    assert_eq!(metric(&site.gateway, "verona_refused_sources_total{reason=\"no-room\"}"), 0.0);
    site.does_not_spin().await;
    // Looked up, connected to, proved: all of that takes some more.
    assert_eq!(site.writes_to_a_new_domain("found").await, 200);
    assert_eq!(body(&new.next().await), "found");
    // Names that nobody answers for take what is theirs, and no more.
    site.ground.names.turn("silent.example", Weather::Silent);
    for n in 0..300 {
        asks.message_to(&format!("n{n}.silent.example"), &format!("silent-{n}"));
    }
    let mut most: f64 = 0.0;
    for _ in 0..20 {
        most = most.max(metric(&site.gateway, "process_open_fds"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(most > open + 20.0 && most < MOST as f64 - 20.0, "{most} of {MOST}, and {open} before");
    assert_eq!(metric(&site.gateway, "verona_refused_sources_total{reason=\"no-room\"}"), 0.0);
    drop(crowd);
    // Who is let in now is served.
    let begun = Instant::now();
    loop {
        if SipLine::try_phone(site.ground.sips, &site.ground.ca, HOST).await.is_some() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody is let in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.all_goes_on().await;
}

/// Not one is left, whoever has taken them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_one_is_left() {
    let mut site = Site::start("faults-none", None).await;
    let mut new = site.new_server().await;
    let pid = Pid::from_raw(site.gateway.process().id().try_into().unwrap());
    let open = metric(&site.gateway, "process_open_fds") as u64;
    // It has inherited ours, and taken all of it. The connection that asks for the metrics is one of those that are open, and ends.
    let all = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(open - 1), ..all }).unwrap();
    let crowd = site.crowd(3).await;
    site.all_goes_on().await;
    site.does_not_spin().await;
    // Nobody can be asked for the name: who writes may try again.
    let code = site.writes_to_a_new_domain("lost").await;
    assert!(matches!(code, 480..=504), "{code}");
    site.all_goes_on().await;

    prlimit(pid, Resource::Nofile, Rlimit { current: all.maximum, ..all }).unwrap();
    metric_becomes(&site.gateway, "verona_refused_sources_total{reason=\"no-room\"}", PATIENCE, |n| n > 0.0);
    // Those who have waited are served now, and so is who comes.
    metric_becomes(&site.gateway, "verona_federation_streams{kind=\"stranger\"}", PATIENCE, |n| n == 6.0);
    drop(crowd);
    let mut phone = SipLine::phone(site.ground.sips, &site.ground.ca, HOST).await;
    phone.message("new");
    assert_eq!(phone.next().await.status(), Some(200));
    assert_eq!(body(&site.server.next().await), "new");
    let begun = Instant::now();
    while site.writes_to_a_new_domain("found").await != 200 {
        assert!(begun.elapsed() < 2 * PATIENCE, "the new domain is not found");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(body(&new.next().await), "found");
    site.all_goes_on().await;
}
