//! A gateway that does nothing: it moves the bytes from one side to the other, without checks, state or memory. What it costs is what
//! sockets cost; what it cannot do, the generator or the machine cannot.
//!
//!     nullgw SIP-LISTEN XMPP-SERVER SIP-PROXY [SECRET [DOMAIN [FOLDER STREAMS-LISTEN REMOTE-DOMAIN]]]
//!
//! With the last three it does so over TLS on both sides, and is no component but a server that federates.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use verona_load::bytes::{address, attribute, bare, between, escape, find, header, headers, unescape};
use verona_load::line::{Line, Source};
use verona_load::trust::Trust;
use verona_load::{component, federation};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let socket = |n: usize| words.get(n).and_then(|w| w.parse::<SocketAddr>().ok());
    let (Some(listen), Some(server), Some(proxy)) = (socket(0), socket(1), socket(2)) else {
        let _ = writeln!(
            io::stderr(),
            "usage: nullgw SIP-LISTEN XMPP-SERVER SIP-PROXY [SECRET [DOMAIN [FOLDER STREAMS-LISTEN REMOTE-DOMAIN]]]"
        );
        return ExitCode::from(2);
    };
    let word = |n: usize, default: &str| words.get(n).cloned().unwrap_or_else(|| default.to_owned());
    let domain = word(4, "example.net");
    let served = match words.get(5..).filter(|more| !more.is_empty()) {
        Some(more) => serve_securely(listen, server, proxy, &domain, more),
        None => serve(listen, server, proxy, &word(3, "secret"), &domain),
    };
    match served {
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
            from_xmpp(reading, listen, "UDP", |bytes| sending.send_to(bytes, proxy).map(drop));
            ended.store(true, SeqCst);
        });
        from_sip(&udp, stream, &gone);
        let _ = towards_sip.join();
    }
}

/// The same over TLS on both sides, as one server of XMPP to another.
fn serve_securely(
    listen: SocketAddr,
    server: SocketAddr,
    proxy: SocketAddr,
    domain: &str,
    words: &[String],
) -> io::Result<()> {
    let [folder, streams, remote] = words else {
        return Err(io::Error::other("FOLDER, STREAMS-LISTEN and REMOTE-DOMAIN"));
    };
    let trust = Trust::read(Path::new(folder), "gateway")?;
    let streams = TcpListener::bind(streams)?;
    let phones = TcpListener::bind(listen)?;
    loop {
        // The generator makes its stream and its connection first, and takes ours then.
        let from = Line::accepted(streams.accept()?.0, Arc::clone(&trust.server))?;
        federation::accept(&from, false)?;
        let phone = Line::accepted(phones.accept()?.0, Arc::clone(&trust.server))?;
        let to = Line::connected(server, remote, Arc::clone(&trust.client))?;
        federation::connect(&to, domain, remote)?;
        let proxied = Line::connected(proxy, "127.0.0.1", Arc::clone(&trust.client))?;
        let quiet = proxied.clone();
        let reading = [
            thread::spawn(move || from_xmpp(from, listen, "TLS", |bytes| proxied.write(bytes))),
            // What the phones answer nobody needs.
            thread::spawn(move || drain(&quiet)),
        ];
        let (mut got, mut out, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        while let Ok(1..) = phone.read(&mut got) {
            let mut done = 0;
            while let Some(end) = find(&got[done..], b"\r\n\r\n") {
                let head = &got[done..done + end];
                let length =
                    header(head, "Content-Length", "l").and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
                let whole = end + 4 + length.unwrap_or(0);
                let Some(message) = got.get(done..done + whole) else { break };
                translate(message, &mut out, &mut answers);
                done += whole;
            }
            got.drain(..done);
            if to.write(&out).is_err() || phone.write(&answers).is_err() {
                break;
            }
            out.clear();
            answers.clear();
        }
        drop((to, phone));
        for thread in reading {
            let _ = thread.join();
        }
    }
}

fn drain(line: &Line) {
    let mut got = Vec::new();
    while let Ok(1..) = line.read(&mut got) {
        got.clear();
    }
}

fn from_xmpp(
    mut stream: impl Source,
    listen: SocketAddr,
    transport: &str,
    mut send: impl FnMut(&[u8]) -> io::Result<()>,
) {
    let (mut got, mut out) = (Vec::new(), Vec::new());
    let mut count = 0u64;
    while let Ok(1..) = stream.more(&mut got) {
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
                "MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/{transport} {listen};branch=z9hG4bK{count}\r\nMax-Forwards: 70\r\n\
                 From: <sip:{from}>;tag={count}\r\nTo: <sip:{to}>\r\nCall-ID: {count}@null\r\nCSeq: 1 MESSAGE\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            out.extend_from_slice(&text);
            let _ = send(&out);
        }
        got.drain(..done);
    }
}

fn from_sip(udp: &UdpSocket, mut stream: TcpStream, gone: &AtomicBool) {
    let (mut buffer, mut out, mut answer) = (vec![0; 65_535], Vec::new(), Vec::new());
    while !gone.load(SeqCst) {
        let Ok((n, source)) = udp.recv_from(&mut buffer) else { continue };
        out.clear();
        answer.clear();
        translate(&buffer[..n], &mut out, &mut answer);
        if answer.is_empty() {
            continue;
        }
        if stream.write_all(&out).is_err() {
            return;
        }
        let _ = udp.send_to(&answer, source);
    }
}

/// Adds the stanza that a request becomes, and its answer.
fn translate(message: &[u8], out: &mut Vec<u8>, answer: &mut Vec<u8>) {
    let Some(end) = find(message, b"\r\n\r\n").filter(|_| message.starts_with(b"MESSAGE")) else { return };
    let head = &message[..end];
    let user = |name, compact| String::from_utf8_lossy(header(head, name, compact).map(address).unwrap_or_default());
    // Writing to a vector cannot fail.
    let _ = write!(out, "<message from='{}' to='{}'><body>", user("From", "f"), user("To", "t"));
    escape(&message[end + 4..], out);
    out.extend_from_slice(b"</body></message>");
    answer.extend_from_slice(b"SIP/2.0 202 Accepted\r\n");
    for (name, value) in headers(head) {
        if matches!(name, b"Via" | b"From" | b"To" | b"Call-ID" | b"CSeq") {
            for part in [name, b": ", value, b"\r\n"] {
                answer.extend_from_slice(part);
            }
        }
    }
    answer.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}
