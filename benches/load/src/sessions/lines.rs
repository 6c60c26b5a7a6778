//! MSRP's connections: many, and one thread that reads them all.

use super::msrp::{self, Frame};
use crate::run::lock;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The listener among what is waited for.
const LISTENER: u64 = u64::MAX;

/// How much is read at once.
const BUFFER: usize = 1 << 18;

/// A connection.
#[derive(Debug)]
pub struct Line {
    /// Tells it from the others.
    pub number: usize,
    stream: TcpStream,
    /// What has come of a frame that is not complete.
    begun: Mutex<Vec<u8>>,
    /// Two threads write whole frames.
    writing: Mutex<()>,
}

impl Line {
    /// Writes frames.
    ///
    /// # Errors
    /// The connection has gone.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _turn = lock(&self.writing);
        (&self.stream).write_all(bytes)
    }
}

/// Who takes what comes.
pub trait Taker {
    /// A frame has come. What is put into `answers` goes back.
    fn came(&mut self, line: &Arc<Line>, frame: &Frame<'_>, answers: &mut Vec<u8>);

    /// All that was read at once was handed over.
    fn done(&mut self) {}

    /// A connection has ended.
    fn gone(&mut self, line: &Line);
}

/// All connections.
#[derive(Debug)]
pub struct Lines {
    epoll: OwnedFd,
    listener: TcpListener,
    lines: Mutex<Vec<Option<Arc<Line>>>>,
}

impl Lines {
    /// Listens on this port of all loopback addresses.
    ///
    /// # Errors
    /// The socket cannot be had.
    pub fn listen(port: u16) -> io::Result<Lines> {
        // A socket for each of thousands of addresses would take the descriptors that the connections need.
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        let _ = rustix::net::listen(&listener, 4096);
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Lines { epoll, listener, lines: Mutex::default() })
    }

    /// Connects from one of the machine's own addresses.
    ///
    /// # Errors
    /// Nobody is there, or there is no port left.
    pub fn connect(&self, from: IpAddr, to: SocketAddr) -> io::Result<Arc<Line>> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        // Else the ports would be those that no connection of any address has.
        let _ = sockopt::set_socket_reuseaddr(&socket, true);
        rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
        rustix::net::connect(&socket, &to)?;
        self.add(TcpStream::from(socket))
    }

    fn add(&self, stream: TcpStream) -> io::Result<Arc<Line>> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(false)?;
        let mut lines = lock(&self.lines);
        let number = lines.len();
        let line = Arc::new(Line { number, stream, begun: Mutex::default(), writing: Mutex::default() });
        lines.push(Some(Arc::clone(&line)));
        drop(lines);
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.epoll, &line.stream, data, epoll::EventFlags::IN)?;
        Ok(line)
    }

    /// Reads them all until it is over.
    pub fn read(&self, over: &AtomicBool, taker: &mut impl Taker) {
        let mut events = Vec::with_capacity(1024);
        let (mut buffer, mut answers) = (vec![0; BUFFER], Vec::with_capacity(1 << 16));
        let patience = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !over.load(SeqCst) {
            events.clear();
            if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)).is_err() {
                continue;
            }
            for number in events.iter().map(|event: &epoll::Event| event.data.u64()) {
                if number == LISTENER {
                    self.accept();
                    continue;
                }
                let line = lock(&self.lines).get(number as usize).cloned().flatten();
                let Some(line) = line else { continue };
                match (&line.stream).read(&mut buffer) {
                    Ok(n @ 1..) => take(&line, &buffer[..n], taker, &mut answers),
                    Ok(0) | Err(_) => {
                        let _ = epoll::delete(&self.epoll, &line.stream);
                        lock(&self.lines)[line.number] = None;
                        taker.gone(&line);
                    }
                }
            }
        }
    }

    fn accept(&self) {
        while let Ok((stream, from)) = self.listener.accept() {
            // This is no tool for others to connect to.
            if from.ip().is_loopback() {
                let _ = self.add(stream);
            }
        }
    }
}

fn take(line: &Arc<Line>, read: &[u8], taker: &mut impl Taker, answers: &mut Vec<u8>) {
    let mut begun = lock(&line.begun);
    let joined = !begun.is_empty();
    if joined {
        begun.extend_from_slice(read);
    }
    let mut done = 0;
    let all = if joined { &begun[..] } else { read };
    while let Some(frame) = msrp::frame(&all[done..]) {
        taker.came(line, &frame, answers);
        done += frame.len;
    }
    if joined {
        begun.drain(..done);
    } else {
        begun.extend_from_slice(&read[done..]);
    }
    drop(begun);
    if !answers.is_empty() {
        let _ = line.write(answers);
        answers.clear();
    }
    taker.done();
}
