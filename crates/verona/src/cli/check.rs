//! `verona check`.

use super::{Exit, certificates, complain, outside, say};
use crate::config::{self, Component, Config, Environment, HostPort, Listen, Store, Transport};
use crate::io::clock::Clock;
use crate::{setup, store};
use base::Time;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::time::Duration;
use xmpp::stream::component::{self, Output};

/// Explains a configuration, and tries it out if asked to.
pub(super) fn check(path: &Path, connect: bool) -> Exit {
    let loaded = match config::load(path, Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            complain(&mistakes.to_string());
            return Exit::Config;
        }
    };
    for warning in &loaded.warnings {
        complain(&warning.to_string());
    }
    if let Store::Redb(file) = &loaded.config.store.url
        && let Err(e) = writable(file)
    {
        // This may be another user than the gateway's.
        complain(&format!("warning: store.url: {}: {e}", file.display()));
    }
    certificates::explain(&loaded.config);
    say(&format!("{}: right", path.display()));
    if connect { try_out(&loaded.config) } else { Exit::Good }
}

/// Whether the store could be opened, or made, as far as that can be told without doing it.
fn writable(file: &Path) -> Result<(), String> {
    use rustix::fs::{Access, access};
    if file.exists() {
        return match file.is_file() {
            true => access(file, Access::READ_OK | Access::WRITE_OK).map_err(|e| format!("cannot be written: {e}")),
            false => Err("not a file".to_owned()),
        };
    }
    let folders = file.ancestors().skip(1).map(|f| if f.as_os_str().is_empty() { Path::new(".") } else { f });
    match folders.into_iter().find(|f| f.exists()) {
        Some(folder) if folder.is_dir() => access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|e| format!("cannot be made in {}: {e}", folder.display())),
        Some(other) => Err(format!("cannot be made: {} is not a folder", other.display())),
        None => Err("cannot be made: no folder on the way is there".to_owned()),
    }
}

fn try_out(config: &Config) -> Exit {
    let mut exit = Exit::Good;
    let mut tell = |what: String, done: Result<String, String>| match done {
        Ok(good) => say(&format!("{what}: {good}")),
        Err(e) => {
            complain(&format!("{what}: {e}"));
            exit = Exit::Failed;
        }
    };
    let url = &config.store.url;
    let opened = store::open(url).map(|store| format!("works, {} records", store.records()));
    tell(format!("store {url}"), opened.map_err(|e| e.to_string()));
    for listen in &config.sip.listen {
        tell(
            format!("sip {listen}"),
            bind(listen).map(|()| "can be bound".to_owned()).map_err(|e| format!("cannot be bound: {e}")),
        );
    }
    for listen in &config.msrp.listen {
        let bound = TcpListener::bind(listen.address);
        tell(
            format!("msrp {listen}"),
            bound.map(|_| "can be bound".to_owned()).map_err(|e| format!("cannot be bound: {e}")),
        );
    }
    let servers = config.xmpp.federation.iter().flat_map(|federation| &federation.listen);
    let servers = servers.map(|listen| (format!("xmpp federation {listen}"), listen.address));
    let acme = config.acme.iter().map(|acme| (format!("tls.acme {}", acme.listen), acme.listen));
    for (what, address) in servers.chain(acme) {
        let bound = TcpListener::bind(address);
        tell(what, bound.map(|_| "can be bound".to_owned()).map_err(|e| format!("cannot be bound: {e}")));
    }
    for (what, done) in outside::try_out(config) {
        tell(what, done);
    }
    if let Some(relay) = &config.msrp.relay {
        let patience = Duration::from_secs(10);
        let reached = connect(&relay.server, patience).map(|_| "can be reached".to_owned()).map_err(|e| e.to_string());
        tell(format!("msrp relay {relay}"), reached);
    }
    for relay in &config.media.relay {
        tell(format!("media relay ng:{relay}"), ping(relay, config.media.settings.relay_silence));
    }
    for component in &config.xmpp.components {
        let done = handshake(config, component).map(|()| "the component is accepted".to_owned());
        tell(format!("xmpp {} at {}", component.domain, component.server), done);
    }
    exit
}

/// Asks a media relay whether it is there, as the gateway would.
fn ping(relay: &HostPort, patience: Duration) -> Result<String, String> {
    let said = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => e.to_string(),
    };
    let address = addresses(relay).map_err(said)?.next().ok_or("the name has no address")?;
    let own: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own, 0)).and_then(|s| s.connect(address).map(|()| s)).map_err(said)?;
    let cookie = setup::tokens().map_err(|e| e.to_string())?.token(20);
    let question = [cookie.as_bytes(), b" ", &ng::Request::Ping.to_value().to_bytes()].concat();
    socket.set_read_timeout(Some(patience)).and_then(|()| socket.send(&question)).map_err(said)?;
    let mut buffer = [0; 4096];
    let len = socket.recv(&mut buffer).map_err(said)?;
    let answer = buffer[..len].strip_prefix(cookie.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
    match answer.map(ng::Reply::parse) {
        Some(Ok(ng::Reply::Pong)) => Ok("answers".to_owned()),
        Some(_) | None => Err("what answers there is no media relay".to_owned()),
    }
}

fn bind(listen: &Listen) -> io::Result<()> {
    match listen.transport {
        Transport::Udp => UdpSocket::bind(listen.address).map(drop),
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => TcpListener::bind(listen.address).map(drop),
    }
}

/// Opens the stream as the gateway would, and closes it.
fn handshake(config: &Config, component: &Component) -> Result<(), String> {
    let patience = config.xmpp.times.handshake_timeout;
    let clock = Clock::start();
    let tokens = setup::tokens().map_err(|e| e.to_string())?;
    let mut machine = component::Component::new(setup::component_config(config, component), tokens, clock.now());
    let mut stream: Option<TcpStream> = None;
    let mut accepted = false;
    let mut buffer = [0; 4096];
    loop {
        while let Some(output) = machine.poll() {
            match output {
                Output::Connect => {
                    stream = Some(connect(&component.server, patience).map_err(|e| e.to_string())?);
                    machine.connected(clock.now());
                }
                Output::Bytes(bytes) => {
                    let written = stream.as_mut().map_or(Ok(()), |s| s.write_all(&bytes));
                    written.map_err(|e| e.to_string())?;
                }
                Output::Up => {
                    accepted = true;
                    machine.shutdown(clock.now());
                }
                Output::Close | Output::Abort => {
                    stream = None;
                    machine.disconnected(clock.now());
                }
                Output::Down(reason) => return if accepted { Ok(()) } else { Err(reason.to_string()) },
                Output::Stanza(_) | Output::Taken(_) | Output::Lost(_) | Output::Fault(_) => {}
            }
        }
        let Some(open) = stream.as_mut() else { return Err("no connection".to_owned()) };
        let wait = machine.deadline().map_or(patience, |at| until(clock.now(), at));
        open.set_read_timeout(Some(wait)).map_err(|e| e.to_string())?;
        match open.read(&mut buffer) {
            Ok(0) => machine.disconnected(clock.now()),
            Ok(n) => machine.received(clock.now(), &buffer[..n]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                machine.timeout(clock.now());
            }
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// The time to a deadline; never nothing, which a socket would take for ever.
fn until(now: Time, at: Time) -> Duration {
    at.since(now).max(Duration::from_millis(1))
}

/// A connection to the first address that takes one.
fn connect(server: &HostPort, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(server)? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn addresses(server: &HostPort) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let host = match &server.host {
        config::Host::Address(address) => address.to_string(),
        config::Host::Name(name) => name.clone(),
    };
    (host.as_str(), server.port).to_socket_addrs()
}
