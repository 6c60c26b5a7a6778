//! A B2BUA that does nothing: each call has two dialogs, whose messages it carries from one to the other, without checks, timers or a look at the
//! descriptions. What it costs is what sockets and lines of text cost.
//!
//!     nullb2bua LISTEN CALLEE

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use verona_load::bytes::{between, find, header, headers};

/// How a Call-ID of ours begins: the rest is the caller's.
const OURS: &[u8] = b"null-";

/// A call.
#[derive(Debug, Default)]
struct Call {
    caller: Option<SocketAddr>,
    /// Where the two want what comes within the dialog.
    caller_contact: Vec<u8>,
    callee_contact: Vec<u8>,
    /// The Via lines of the requests that wait for answers, by their CSeq.
    vias: Vec<(Vec<u8>, Vec<u8>)>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let socket = |n: usize| words.get(n).and_then(|w| w.parse::<SocketAddr>().ok());
    let (Some(listen), Some(callee)) = (socket(0), socket(1)) else {
        let _ = writeln!(io::stderr(), "usage: nullb2bua LISTEN CALLEE");
        return ExitCode::from(2);
    };
    match serve(listen, callee) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "nullb2bua: {e}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: SocketAddr, callee: SocketAddr) -> io::Result<()> {
    let udp = UdpSocket::bind(listen)?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&udp, 64 << 20);
    let (mut calls, mut buffer, mut out, mut count) = (HashMap::new(), vec![0; 65_535], Vec::new(), 0_u64);
    loop {
        let (n, source) = udp.recv_from(&mut buffer)?;
        out.clear();
        count += 1;
        if let Some(to) = carried(&mut calls, &buffer[..n], source, (listen, callee), count, &mut out) {
            let _ = udp.send_to(&out, to);
        }
    }
}

/// Writes a message for the other dialog; where it goes.
fn carried(
    calls: &mut HashMap<Vec<u8>, Call>,
    message: &[u8],
    source: SocketAddr,
    (listen, callee): (SocketAddr, SocketAddr),
    count: u64,
    out: &mut Vec<u8>,
) -> Option<SocketAddr> {
    let end = find(message, b"\r\n\r\n")?;
    let (head, body) = (&message[..end], &message[end..]);
    let from_callee = source == callee;
    let (line, call_id, cseq) =
        (&head[..find(head, b"\r\n")?], header(head, "Call-ID", "i")?, header(head, "CSeq", "CSeq")?);
    let name = if from_callee { call_id.strip_prefix(OURS)? } else { call_id };
    let response = line.starts_with(b"SIP/2.0 ");
    if line.starts_with(b"INVITE ") && !calls.contains_key(name) {
        calls.insert(name.to_vec(), Call { caller: Some(source), ..Call::default() });
    }
    let call = calls.get_mut(name)?;
    if let Some(contact) = header(head, "Contact", "m").and_then(|contact| between(contact, b"<", b">")) {
        let theirs = if from_callee { &mut call.callee_contact } else { &mut call.caller_contact };
        contact.clone_into(theirs);
    }
    let mut ended = false;
    if response {
        let place = call.vias.iter().position(|(request, _)| request == cseq)?;
        out.extend_from_slice(line);
        out.extend_from_slice(&call.vias[place].1);
        let provisional = line.get(8) == Some(&b'1');
        if !provisional {
            call.vias.swap_remove(place);
            ended = cseq.ends_with(b"BYE");
        }
    } else {
        let target = if from_callee { &call.caller_contact } else { &call.callee_contact };
        let method = &line[..memchr::memchr(b' ', line)?];
        match target.is_empty() {
            true => out.extend_from_slice(line),
            false => [method, b" ", target, b" SIP/2.0"].iter().for_each(|part| out.extend_from_slice(part)),
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, "\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{count}");
        if method != b"ACK" {
            let mut vias = Vec::new();
            for (_, value) in headers(head).filter(|(name, _)| matches!(*name, b"Via" | b"v")) {
                [b"\r\nVia: ", value].iter().for_each(|part| vias.extend_from_slice(part));
            }
            call.vias.retain(|(request, _)| request != cseq);
            call.vias.push((cseq.to_vec(), vias));
        }
    }
    for (name, value) in headers(head) {
        match name {
            b"Via" | b"v" | b"Call-ID" | b"i" => continue,
            b"Contact" | b"m" => drop(write!(out, "\r\nContact: <sip:{listen}>")),
            _ => [b"\r\n", name, b": ", value].iter().for_each(|part| out.extend_from_slice(part)),
        }
    }
    out.extend_from_slice(b"\r\nCall-ID: ");
    if !from_callee {
        out.extend_from_slice(OURS);
    }
    out.extend_from_slice(name);
    out.extend_from_slice(body);
    let to = if from_callee { call.caller } else { Some(callee) };
    if ended {
        calls.remove(name);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_two_dialogs() {
        let [caller, listen, callee] = [1, 2, 3].map(|n| SocketAddr::from(([127, 0, 0, 1], n)));
        let mut calls = HashMap::new();
        let mut carry = |text: &str, from| {
            let mut out = Vec::new();
            let to = carried(&mut calls, text.as_bytes(), from, (listen, callee), 7, &mut out);
            (to, String::from_utf8(out).unwrap())
        };
        let invite =
            "INVITE sip:b@x SIP/2.0\r\nVia: A\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@1>\r\n\r\nsdp";
        let there = "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:2;branch=z9hG4bK7\r\nCSeq: 1 INVITE\r\n\
                     Contact: <sip:127.0.0.1:2>\r\nCall-ID: null-c\r\n\r\nsdp";
        assert_eq!(carry(invite, caller), (Some(callee), there.to_owned()));
        let ok = "SIP/2.0 200 OK\r\nVia: Z\r\nCall-ID: null-c\r\nCSeq: 1 INVITE\r\nContact: <sip:b@3>\r\n\r\n";
        let back = "SIP/2.0 200 OK\r\nVia: A\r\nCSeq: 1 INVITE\r\nContact: <sip:127.0.0.1:2>\r\nCall-ID: c\r\n\r\n";
        assert_eq!(carry(ok, callee), (Some(caller), back.to_owned()));
        let bye = "BYE sip:127.0.0.1:2 SIP/2.0\r\nVia: B\r\nCall-ID: c\r\nCSeq: 2 BYE\r\n\r\n";
        assert!(carry(bye, caller).1.starts_with("BYE sip:b@3 SIP/2.0\r\n"));
        let ok = "SIP/2.0 200 OK\r\nVia: Z\r\nCall-ID: null-c\r\nCSeq: 2 BYE\r\n\r\n";
        assert!(carry(ok, callee).1.contains("Via: B\r\n"));
        assert_eq!(carry(bye, caller).0, None);
    }
}
