//! A connection that one thread reads and others write, over TLS or not.

use crate::run::lock;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

/// How much is read at once.
const READ: usize = 1 << 17;

/// Where a stream comes from.
pub trait Source {
    /// Adds what comes next to `got`; 0: it has ended.
    fn more(&mut self, got: &mut Vec<u8>) -> io::Result<usize>;
}

impl Source for TcpStream {
    fn more(&mut self, got: &mut Vec<u8>) -> io::Result<usize> {
        let before = got.len();
        got.resize(before + READ, 0);
        let n = self.read(&mut got[before..]);
        got.truncate(before + n.as_ref().copied().unwrap_or(0));
        n
    }
}

impl Source for Line {
    fn more(&mut self, got: &mut Vec<u8>) -> io::Result<usize> {
        self.read(got)
    }
}

/// One connection. Its clones are the same one.
#[derive(Debug, Clone)]
pub struct Line {
    socket: Arc<TcpStream>,
    /// Whoever writes holds it until all is written.
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    Plain,
    Tls(Box<Connection>),
}

impl Line {
    /// One without TLS.
    ///
    /// # Errors
    /// The connection is gone already.
    pub fn plain(socket: TcpStream) -> io::Result<Line> {
        Line::of(socket, State::Plain)
    }

    /// One that somebody has made, who is to begin TLS.
    ///
    /// # Errors
    /// The handshake fails.
    pub fn accepted(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Line> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Line::shaken(socket, connection.into())
    }

    /// One that is made now, to a server of this name.
    ///
    /// # Errors
    /// Nobody is there, or the handshake fails.
    pub fn connected(to: SocketAddr, name: &str, config: Arc<ClientConfig>) -> io::Result<Line> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Line::shaken(TcpStream::connect(to)?, connection.into())
    }

    fn shaken(mut socket: TcpStream, mut connection: Connection) -> io::Result<Line> {
        socket.set_nodelay(true)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        // What is said at the end of the handshake, and nobody waits for.
        while connection.wants_write() {
            connection.write_tls(&mut socket)?;
        }
        Line::of(socket, State::Tls(Box::new(connection)))
    }

    fn of(socket: TcpStream, state: State) -> io::Result<Line> {
        socket.set_nodelay(true)?;
        Ok(Line { socket: Arc::new(socket), state: Arc::new(Mutex::new(state)) })
    }

    /// Adds what comes next to `got`; 0: the other end has closed. One thread reads a line.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn read(&self, got: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = vec![0; READ];
        loop {
            if let State::Tls(connection) = &mut *lock(&self.state) {
                // What came with the handshake, or with what was read before.
                let before = got.len();
                match connection.reader().read_to_end(got) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
                if got.len() > before {
                    return Ok(got.len() - before);
                }
            }
            let n = (&*self.socket).read(&mut buffer)?;
            let mut rest = &buffer[..n];
            match &mut *lock(&self.state) {
                State::Plain => {
                    got.extend_from_slice(rest);
                    return Ok(n);
                }
                State::Tls(_) if n == 0 => return Ok(0),
                State::Tls(connection) => {
                    let before = got.len();
                    while !rest.is_empty() {
                        connection.read_tls(&mut rest)?;
                        connection.process_new_packets().map_err(io::Error::other)?;
                        match connection.reader().read_to_end(got) {
                            Ok(_) => {}
                            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                            Err(e) => return Err(e),
                        }
                    }
                    if got.len() > before {
                        return Ok(got.len() - before);
                    }
                }
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match &mut *lock(&self.state) {
            State::Plain => (&*self.socket).write_all(bytes),
            State::Tls(connection) => {
                for part in bytes.chunks(READ / 4) {
                    connection.writer().write_all(part)?;
                    while connection.wants_write() {
                        connection.write_tls(&mut &*self.socket)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// The end that is ours.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
