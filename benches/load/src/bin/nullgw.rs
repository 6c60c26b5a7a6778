//! A gateway that does nothing: it moves the bytes from one side to the other, without checks, state or memory. What it costs is what
//! sockets cost; what it cannot do, the generator or the machine cannot.
//!
//!     nullgw SIP-LISTEN XMPP-SERVER SIP-PROXY [SECRET [DOMAIN]]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use verona_load::bytes::{address, attribute, bare, between, escape, find, header, headers, unescape};
use verona_load::component;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let socket = |n: usize| words.get(n).and_then(|w| w.parse::<SocketAddr>().ok());
    let (Some(listen), Some(server), Some(proxy)) = (socket(0), socket(1), socket(2)) else {
        let _ = writeln!(io::stderr(), "usage: nullgw SIP-LISTEN XMPP-SERVER SIP-PROXY [SECRET [DOMAIN]]");
        return ExitCode::from(2);
    };
    let word = |n: usize, default: &str| words.get(n).cloned().unwrap_or_else(|| default.to_owned());
    match serve(listen, server, proxy, &word(3, "secret"), &word(4, "example.net")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "nullgw: {e}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: SocketAddr, server: SocketAddr, proxy: SocketAddr, secret: &str, domain: &str) -> io::Result<()> {
    let udp = UdpSocket::bind(listen)?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&udp, 64 << 20);
    udp.set_read_timeout(Some(Duration::from_millis(50)))?;
    loop {
        // Whoever measures comes and goes.
        let Ok(stream) = component::connect(server, domain, secret) else {
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let gone = Arc::new(AtomicBool::new(false));
        let (reading, sending, ended) = (stream.try_clone()?, udp.try_clone()?, Arc::clone(&gone));
        let towards_sip = thread::spawn(move || {
            from_xmpp(reading, &sending, listen, proxy);
            ended.store(true, SeqCst);
        });
        from_sip(&udp, stream, &gone);
        let _ = towards_sip.join();
    }
}

fn from_xmpp(mut stream: TcpStream, udp: &UdpSocket, listen: SocketAddr, proxy: SocketAddr) {
    let (mut got, mut buffer, mut out) = (Vec::new(), vec![0; 1 << 17], Vec::new());
    let mut count = 0u64;
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        got.extend_from_slice(&buffer[..n]);
        let mut done = 0;
        while let Some(end) = find(&got[done..], b"</message>") {
            let stanza = &got[done..done + end];
            done += end + 10;
            let parts = (attribute(stanza, "from"), attribute(stanza, "to"), between(stanza, b"<body>", b"</body>"));
            let (Some(from), Some(to), Some(body)) = parts else { continue };
            let (from, to, text) = (String::from_utf8_lossy(bare(from)), String::from_utf8_lossy(to), unescape(body));
            count += 1;
            out.clear();
            // Writing to a vector cannot fail.
            let _ = write!(
                out,
                "MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{count}\r\nMax-Forwards: 70\r\n\
                 From: <sip:{from}>;tag={count}\r\nTo: <sip:{to}>\r\nCall-ID: {count}@null\r\nCSeq: 1 MESSAGE\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            out.extend_from_slice(&text);
            let _ = udp.send_to(&out, proxy);
        }
        got.drain(..done);
    }
}

fn from_sip(udp: &UdpSocket, mut stream: TcpStream, gone: &AtomicBool) {
    let (mut buffer, mut out) = (vec![0; 65_535], Vec::new());
    while !gone.load(SeqCst) {
        let Ok((n, source)) = udp.recv_from(&mut buffer) else { continue };
        let message = &buffer[..n];
        let Some(end) = find(message, b"\r\n\r\n").filter(|_| message.starts_with(b"MESSAGE")) else { continue };
        let head = &message[..end];
        let user =
            |name, compact| String::from_utf8_lossy(header(head, name, compact).map(address).unwrap_or_default());
        out.clear();
        let _ = write!(out, "<message from='{}' to='{}'><body>", user("From", "f"), user("To", "t"));
        escape(&message[end + 4..], &mut out);
        out.extend_from_slice(b"</body></message>");
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
        out.extend_from_slice(b"SIP/2.0 202 Accepted\r\n");
        for (name, value) in headers(head) {
            if matches!(name, b"Via" | b"From" | b"To" | b"Call-ID" | b"CSeq") {
                for part in [name, b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        let _ = udp.send_to(&out, source);
    }
}
