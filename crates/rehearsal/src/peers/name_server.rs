//! A name server that fails as the test wants it to: dnsmasq only knows or does not know.

use super::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long every record lives, in seconds.
const TTL: u32 = 1;

/// How long its threads wait before they look whether it still lives.
const LOOK: Duration = Duration::from_millis(100);

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const IN: u16 = 1;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;

/// What is said of a domain and all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// What it knows; that there is no such name, where it knows nothing.
    Fair,
    /// SERVFAIL.
    Fails,
    /// Nothing at all.
    Silent,
}

#[derive(Debug, Default)]
struct State {
    /// Types and data, by name in lower case.
    records: BTreeMap<String, Vec<(u16, Vec<u8>)>>,
    weather: BTreeMap<String, Weather>,
    asked: BTreeSet<String>,
}

/// A running name server, over UDP and TCP. Records live for a second. It ends with this value.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl NameServer {
    /// One that knows nothing.
    #[track_caller]
    pub fn start(place: &Place) -> NameServer {
        let address = place.free();
        let state = Arc::new(Mutex::new(State::default()));
        let sockets = || -> io::Result<(UdpSocket, TcpListener)> {
            let (udp, tcp) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
            udp.set_read_timeout(Some(LOOK))?;
            tcp.set_nonblocking(true)?;
            Ok((udp, tcp))
        };
        let (udp, tcp) = sockets().unwrap_or_else(|e| panic!("no name server at {address}: {e}"));
        // Whoever drops the server drops the last of it.
        let (datagrams, streams) = (Arc::downgrade(&state), Arc::downgrade(&state));
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Some(state) = datagrams.upgrade() {
                if let Ok((len, from)) = udp.recv_from(&mut buffer)
                    && let Some(answer) = lock(&state).answer(&buffer[..len])
                {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        thread::spawn(move || {
            // Those that get no answer stay open.
            let mut held = Vec::new();
            while let Some(state) = streams.upgrade() {
                match tcp.accept() {
                    Ok((stream, _)) => held.extend(serve(stream, &state).ok()),
                    Err(_) => thread::sleep(LOOK / 5),
                }
            }
        });
        NameServer { address, state }
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The host has this address, and no other.
    pub fn host(&self, name: &str, address: impl Into<IpAddr>) {
        let record = match address.into() {
            IpAddr::V4(address) => (A, address.octets().to_vec()),
            IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
        };
        lock(&self.state).records.insert(name.to_ascii_lowercase(), vec![record]);
    }

    /// The service is at these hosts and ports, the best first, and nowhere else.
    pub fn srv(&self, service: &str, places: &[(&str, u16)]) {
        let records = (0u16..).zip(places).map(|(priority, (target, port))| {
            let mut data = Vec::new();
            for number in [priority, 0, *port] {
                data.extend_from_slice(&number.to_be_bytes());
            }
            for label in target.split('.') {
                data.push(label.len() as u8);
                data.extend_from_slice(label.as_bytes());
            }
            data.push(0);
            (SRV, data)
        });
        lock(&self.state).records.insert(service.to_ascii_lowercase(), records.collect());
    }

    /// There is no such name any more, and none below it.
    pub fn forget(&self, domain: &str) {
        lock(&self.state).records.retain(|name, _| !is_within(name, domain));
    }

    /// From now on this is said of the domain and all below it.
    pub fn turn(&self, domain: &str, weather: Weather) {
        lock(&self.state).weather.insert(domain.to_owned(), weather);
    }

    /// Whether anybody has asked for the domain, or for something below it, since this was asked last.
    pub fn was_asked(&self, domain: &str) -> bool {
        let mut state = lock(&self.state);
        let before = state.asked.len();
        state.asked.retain(|name| !is_within(name, domain));
        state.asked.len() < before
    }
}

fn lock(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// One question over TCP (RFC 1035 §4.2.2).
fn serve(mut stream: TcpStream, state: &Arc<Mutex<State>>) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(10 * LOOK))?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut question)?;
    if let Some(answer) = lock(state).answer(&question) {
        stream.write_all(&(answer.len() as u16).to_be_bytes())?;
        stream.write_all(&answer)?;
    }
    Ok(stream)
}

impl State {
    /// The answer to a message with one question (RFC 1035 §4.1); none: nothing is said.
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (head, rest) = message.split_at_checked(12)?;
        let mut name = String::new();
        let mut at = 0;
        loop {
            let len = usize::from(*rest.get(at)?);
            let label = rest.get(at + 1..at + 1 + len)?;
            at += 1 + len;
            if len == 0 {
                break;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        let question = rest.get(..at + 4)?;
        let kind = u16::from_be_bytes([question[at], question[at + 1]]);
        self.asked.insert(name.clone());
        let weather = self.weather.iter().find(|(domain, _)| is_within(&name, domain)).map(|(_, weather)| *weather);
        let code = match weather.unwrap_or(Weather::Fair) {
            Weather::Silent => return None,
            Weather::Fails => SERVFAIL,
            Weather::Fair if self.records.keys().any(|known| is_within(known, &name)) => 0,
            Weather::Fair => NXDOMAIN,
        };
        let records = self.records.get(&name).filter(|_| code == 0).into_iter().flatten();
        let records: Vec<&Vec<u8>> = records.filter(|(of, _)| *of == kind).map(|(_, data)| data).collect();
        let mut answer = head[..2].to_vec();
        // An authority's answer, which would ask others, too.
        for number in [0x8580 | code, 1, records.len() as u16, 0, 0] {
            answer.extend_from_slice(&number.to_be_bytes());
        }
        answer.extend_from_slice(question);
        for data in records {
            // The name of the question.
            for number in [0xC00C, kind, IN] {
                answer.extend_from_slice(&number.to_be_bytes());
            }
            answer.extend_from_slice(&TTL.to_be_bytes());
            answer.extend_from_slice(&(data.len() as u16).to_be_bytes());
            answer.extend_from_slice(data);
        }
        Some(answer)
    }
}
