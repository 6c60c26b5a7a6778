//! The handshake of a component stream (XEP-0114), from either side.

use crate::bytes::{attribute, find};
use sha1::{Digest, Sha1};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const OPEN: &str = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'";

/// Waits for a component and takes it on. What it sent behind its handshake is returned with the stream.
///
/// # Errors
/// Nobody came in time, or with a proof that is none.
pub fn accept(listener: &TcpListener, secret: &str, within: Duration) -> io::Result<(TcpStream, Vec<u8>)> {
    let until = Instant::now() + within;
    listener.set_nonblocking(true)?;
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(e) => return Err(e),
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(within))?;
    let mut got = Vec::new();
    let opened = read_until(&stream, &mut got, |b| after_tag(b, b"<stream:stream"))?;
    let domain = attribute(&got[..opened], "to").unwrap_or_default().to_vec();
    let id = "load-1";
    write!(&stream, "<?xml version='1.0'?>{OPEN} id='{id}' from='{}'>", String::from_utf8_lossy(&domain))?;
    got.drain(..opened);
    let end = read_until(&stream, &mut got, |b| find(b, b"</handshake>").map(|at| at + 12))?;
    if find(&got[..end], proof(id.as_bytes(), secret).as_bytes()).is_none() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the component has another secret"));
    }
    got.drain(..end);
    write!(&stream, "<handshake/>")?;
    stream.set_read_timeout(None)?;
    Ok((stream, got))
}

/// Becomes a component of a server.
///
/// # Errors
/// The server is not there, or does not want us.
pub fn connect(server: SocketAddr, domain: &str, secret: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    write!(&stream, "{OPEN} to='{domain}'>")?;
    let mut got = Vec::new();
    let opened = read_until(&stream, &mut got, |b| after_tag(b, b"<stream:stream"))?;
    let id = attribute(&got[..opened], "id").unwrap_or_default().to_vec();
    write!(&stream, "<handshake>{}</handshake>", proof(&id, secret))?;
    got.drain(..opened);
    read_until(&stream, &mut got, |b| after_tag(b, b"<handshake"))?;
    Ok(stream)
}

fn after_tag(bytes: &[u8], start: &[u8]) -> Option<usize> {
    let at = find(bytes, start)?;
    Some(at + memchr::memchr(b'>', &bytes[at..])? + 1)
}

fn read_until(mut stream: &TcpStream, got: &mut Vec<u8>, end: impl Fn(&[u8]) -> Option<usize>) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = end(got) {
            return Ok(at);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => got.extend_from_slice(&buffer[..n]),
        }
    }
}

fn proof(id: &[u8], secret: &str) -> String {
    let digest = Sha1::new().chain_update(id).chain_update(secret).finalize();
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_if_the_secret_does() {
        for (secret, good) in [("secret", true), ("other", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let server = listener.local_addr().unwrap();
            let secret = secret.to_owned();
            let client = std::thread::spawn(move || connect(server, "example.net", &secret).is_ok());
            assert_eq!(accept(&listener, "secret", Duration::from_secs(10)).is_ok(), good);
            drop(listener);
            assert_eq!(client.join().unwrap(), good);
        }
    }
}
