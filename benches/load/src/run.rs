//! One run: what all threads share, and its course.

use crate::ledger::{Ledger, settled_from_sip, settled_from_xmpp};
use crate::line::Line;
use crate::options::{Options, Way};
use crate::process::{self, Usage};
use crate::report::Measured;
use crate::trust::Trust;
use crate::{bytes, component, federation, names, send, sip, xmpp};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a gateway has to connect to our XMPP side.
pub(crate) const CONNECT: Duration = Duration::from_secs(40);

/// How long we listen on when all is settled, for what comes twice.
pub(crate) const AFTERMATH: Duration = Duration::from_millis(300);

/// What the kernel is to keep for us, in bytes: nothing is to be lost at our end.
const KERNEL_BUFFER: usize = 64 << 20;

/// What the threads share.
#[derive(Debug)]
pub struct Shared {
    /// The command line.
    pub options: Options,
    /// A name that no other run has.
    pub name: String,
    /// From SIP to XMPP.
    pub from_sip: Ledger,
    /// From XMPP to SIP.
    pub from_xmpp: Ledger,
    /// The run is over.
    pub over: AtomicBool,
    /// The SIP socket over UDP.
    pub(crate) udp: Option<UdpSocket>,
    /// The SIP connection to the gateway over TCP or TLS.
    pub(crate) tcp: Option<Line>,
    /// What lines over TLS are made with.
    pub(crate) trust: Option<Trust>,
    /// The stream to the gateway.
    xmpp: Line,
    start: Instant,
}

/// A message that came out.
pub(crate) struct Arrival<'a> {
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) text: &'a [u8],
}

impl Shared {
    /// Nanoseconds since the start; never 0.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) | 1
    }

    /// The messages of one way.
    pub fn ledger(&self, way: Way) -> &Ledger {
        match way {
            Way::SipToXmpp => &self.from_sip,
            Way::XmppToSip => &self.from_xmpp,
        }
    }

    /// The text of a message: the run, its number, and as much filler as it takes.
    pub fn text(&self, message: usize) -> String {
        const FILLER: &str = "Art thou not Romeo, and a Montague? <Neither>, fair maid & if either thee dislike. ";
        let mut text = format!("{} {message} ", self.name);
        while text.len() < self.options.body {
            let part = FILLER.len().min(self.options.body - text.len());
            text.push_str(&FILLER[..part]);
        }
        text
    }

    /// The number of a message from its text.
    pub(crate) fn number(&self, text: &[u8], ledger: &Ledger) -> Option<usize> {
        let rest = text.strip_prefix(self.name.as_bytes())?.strip_prefix(b" ")?;
        let end = memchr::memchr(b' ', rest)?;
        let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        (number < ledger.marks.len()).then_some(number)
    }

    /// The SIP user and the XMPP user of a message: all pairs come up, sooner or later.
    pub fn users(&self, message: usize) -> (usize, usize) {
        let n = self.options.users;
        (message % n, (message / n + message) % n)
    }

    /// The SIP user's and the XMPP user's address.
    pub fn addresses(&self, message: usize) -> (String, String) {
        let (sip, xmpp) = self.users(message);
        let Options { sip_domain, xmpp_domain, domains, .. } = &self.options;
        match domains {
            1 => (format!("s{sip}@{sip_domain}"), format!("x{xmpp}@{xmpp_domain}")),
            _ => (format!("s{sip}@{sip_domain}"), format!("x{xmpp}@d{}.{xmpp_domain}", xmpp % domains)),
        }
    }

    /// Compares what came with what was sent.
    pub(crate) fn compare(&self, ledger: &Ledger, message: usize, came: &Arrival<'_>, from_sip: bool) {
        if came.text != self.text(message).as_bytes() {
            ledger.wrong_texts.fetch_add(1, SeqCst);
        }
        let (sip, xmpp) = self.addresses(message);
        let (from, to) = if from_sip { (sip, xmpp) } else { (xmpp, sip) };
        if came.from != from.as_bytes() || came.to != to.as_bytes() {
            ledger.wrong_addresses.fetch_add(1, SeqCst);
        }
    }

    /// Sends to the gateway's XMPP side.
    pub(crate) fn send_xmpp(&self, bytes: &[u8]) -> io::Result<()> {
        self.xmpp.write(bytes)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs, and measures.
///
/// # Errors
/// A socket that cannot be had, or a gateway that does not come.
pub fn run(options: Options) -> io::Result<(Arc<Shared>, Measured)> {
    let listener = TcpListener::bind(options.server)?;
    let udp = if options.tcp { None } else { Some(bind(options.listen)?) };
    let accepting = if options.tcp { Some(TcpListener::bind(options.listen)?) } else { None };
    let trust = options.tls.as_ref().map(|folder| Trust::read(folder, "load")).transpose()?;
    let (xmpp, first) = match (options.federation, &trust) {
        (Some(gateway), Some(trust)) => federate(&options, gateway, trust)?,
        (Some(_), None) => return Err(io::Error::other("--federation needs --tls")),
        (None, _) => {
            let (stream, first) = component::accept(&listener, &options.secret, CONNECT)?;
            (Line::plain(stream)?, first)
        }
    };
    // The gateway has to notice that its stream is up.
    thread::sleep(Duration::from_millis(200));
    let tcp = match &trust {
        Some(trust) => Some(Line::connected(options.gateway, &options.sip_domain, Arc::clone(&trust.client))?),
        None if options.tcp => Some(Line::plain(TcpStream::connect(options.gateway)?)?),
        None => None,
    };
    let count = |way| if options.ways.contains(&way) { options.count } else { 0 };
    let shared = Arc::new(Shared {
        name: name(),
        from_sip: Ledger::new(count(Way::SipToXmpp)),
        from_xmpp: Ledger::new(count(Way::XmppToSip)),
        over: AtomicBool::new(false),
        tcp: tcp.clone(),
        udp,
        trust,
        xmpp: xmpp.clone(),
        start: Instant::now(),
        options,
    });
    let spawn = |work: fn(&Arc<Shared>)| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || work(&shared))
    };
    {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let came = |stanza: &[u8], answers: &mut Vec<u8>| xmpp::came(&shared, stanza, answers);
            xmpp::read(xmpp, first, came, |bytes| shared.send_xmpp(bytes));
        });
    }
    if shared.options.federation.is_some() {
        let shared = Arc::clone(&shared);
        thread::spawn(move || take_streams(&shared, &listener));
    }
    match (tcp, accepting) {
        (Some(tcp), Some(accepting)) => {
            let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
            thread::spawn(move || sip::read_line(&one, &tcp));
            thread::spawn(move || sip::accept(&other, &accepting));
        }
        _ => {
            spawn(sip::read_udp);
            spawn(sip::retransmit);
        }
    }
    let watch = |shared: &Shared| shared.options.watch.map(process::usage).unwrap_or_default();
    let (before, own, began) = (watch(&shared), process::cpu(std::process::id()), Instant::now());
    for way in shared.options.ways.clone() {
        let shared = Arc::clone(&shared);
        thread::spawn(move || send::send(&shared, way));
    }
    let ledgers: Vec<&Ledger> = shared.options.ways.iter().map(|way| shared.ledger(*way)).collect();
    let peak = wait(&ledgers, &shared.options, || shared.now(), before);
    let after = watch(&shared);
    let measured = Measured {
        seconds: began.elapsed().as_secs_f64(),
        gateway_cpu: after.cpu - before.cpu,
        own_cpu: process::cpu(std::process::id()) - own,
        memory_before: before.memory,
        memory_peak: peak.max(after.memory),
        memory_after: after.memory,
    };
    thread::sleep(AFTERMATH);
    shared.over.store(true, SeqCst);
    Ok((shared, measured))
}

/// Becomes a server that the gateway federates with, as soon as it is there.
fn federate(options: &Options, gateway: SocketAddr, trust: &Trust) -> io::Result<(Line, Vec<u8>)> {
    names::serve(options.names, options.server.port())?;
    let until = Instant::now() + CONNECT;
    loop {
        let line = Line::connected(gateway, &options.sip_domain, Arc::clone(&trust.client));
        match line.and_then(|line| Ok((federation::connect(&line, &options.xmpp_domain, &options.sip_domain)?, line))) {
            Ok((first, line)) => return Ok((line, first)),
            Err(e) if Instant::now() > until => return Err(e),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Takes the streams that the gateway makes.
fn take_streams(shared: &Arc<Shared>, listener: &TcpListener) {
    let Some(trust) = &shared.trust else { return };
    let _ = listener.set_nonblocking(false);
    for socket in listener.incoming().flatten() {
        let (shared, config) = (Arc::clone(shared), Arc::clone(&trust.server));
        // Thousands of them, each with little to do.
        let thread = thread::Builder::new().stack_size(256 << 10).spawn(move || {
            let Ok(line) = Line::accepted(socket, config) else { return };
            // Of many domains each answers on its own stream; of one it is ours to the gateway.
            let bidi = shared.options.domains > 1;
            let Ok((_, first)) = federation::accept(&line, bidi) else { return };
            let came = |stanza: &[u8], answers: &mut Vec<u8>| xmpp::came(&shared, stanza, answers);
            let back = line.clone();
            xmpp::read(line, first, came, |bytes| if bidi { back.write(bytes) } else { shared.send_xmpp(bytes) });
        });
        if thread.is_err() {
            return;
        }
    }
}

/// The UDP socket of the SIP side.
pub(crate) fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let udp = UdpSocket::bind(listen)?;
    // Without the privilege the system's limit has to do.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&udp, KERNEL_BUFFER)
        .or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&udp, KERNEL_BUFFER));
    udp.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(udp)
}

/// A name that no other run has.
pub(crate) fn name() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("n{:08x}", bytes::hash(&nanos.to_be_bytes()))
}

/// Waits until everything is settled, or until nothing has happened for too long; returns the most memory that was seen.
pub(crate) fn wait(ledgers: &[&Ledger], options: &Options, now: impl Fn() -> u64, before: Usage) -> u64 {
    let patience = u64::try_from(options.patience.as_nanos()).unwrap_or(u64::MAX);
    let mut peak = before.memory;
    let mut looked = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(5));
        if looked.elapsed() > Duration::from_secs(1) {
            looked = Instant::now();
            peak = peak.max(options.watch.map_or(0, |pid| process::usage(pid).memory));
        }
        let done =
            |ledger: &&Ledger| ledger.all_sent.load(SeqCst) && ledger.settled.load(SeqCst) >= ledger.sent.load(SeqCst);
        let last = ledgers.iter().map(|ledger| ledger.progress.load(SeqCst)).max().unwrap_or(0);
        if ledgers.iter().all(done) || now().saturating_sub(last) > patience {
            return peak;
        }
    }
}

/// Whether a message of this way has nothing more to wait for.
pub fn settling(way: Way) -> fn(u8) -> bool {
    match way {
        Way::SipToXmpp => settled_from_sip,
        Way::XmppToSip => settled_from_xmpp,
    }
}
