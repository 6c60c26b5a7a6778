//! The phones: INVITEs both ways, and BYE.

use super::run::{Dialog, Shared};
use crate::bytes::{address, between, find, header, headers};
use crate::ledger::{ACCEPTED, DELIVERED};
use std::io::Write;
use std::net::UdpSocket;
use std::sync::atomic::Ordering::SeqCst;

/// Reads datagrams until the run is over. `calls` says whose socket it is where phones call phones: that of those who call.
pub(super) fn read(shared: &Shared, udp: &UdpSocket, calls: bool) {
    let mut buffer = vec![0; 65_535];
    let mut answer = Vec::with_capacity(4096);
    while !shared.over.load(SeqCst) {
        let Ok((len, from)) = udp.recv_from(&mut buffer) else { continue };
        let message = &buffer[..len];
        let Some(end) = find(message, b"\r\n\r\n") else { continue };
        let (head, body) = (&message[..end], &message[end + 4..]);
        answer.clear();
        if let Some(status) = head.strip_prefix(b"SIP/2.0 ") {
            let _ = answered(shared, udp, status, head, body, &mut answer);
            continue;
        }
        let method = &head[..memchr::memchr(b' ', head).unwrap_or(head.len())];
        match method {
            b"INVITE" => {
                let Some(ringing) = invited(shared, head, body, &mut answer) else { continue };
                let _ = udp.send_to(&ringing, from);
            }
            b"ACK" => {
                if let Some(call) = call_of(shared, head) {
                    shared.mark(&shared.begun, call, ACCEPTED);
                }
                continue;
            }
            _ => {
                respond(head, "200 OK", "", "", &mut answer);
                if method == b"BYE" {
                    bye_came(shared, head, calls);
                }
            }
        }
        let _ = udp.send_to(&answer, from);
    }
}

fn bye_came(shared: &Shared, head: &[u8], calls: bool) {
    match call_of(shared, head) {
        Some(call) if !calls && shared.hangs_up(call, false) => {
            if !shared.mark(&shared.ended, call, DELIVERED) {
                shared.ended.retransmissions.fetch_add(1, SeqCst);
            }
        }
        _ => drop(shared.counts.strange.fetch_add(1, SeqCst)),
    }
}

/// The call of a request, by the SIP user that is called, or by that of the caller's dialog: a B2BUA has Call-IDs of its own.
fn call_of(shared: &Shared, head: &[u8]) -> Option<usize> {
    let value = |long, compact| header(head, long, compact).map(address).unwrap_or_default();
    shared.cast.of_sip(value("To", "t")).or_else(|| shared.cast.of_sip(value("From", "f")))
}

/// Answers a request.
fn respond(head: &[u8], status: &str, more: &str, body: &str, answer: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(answer, "SIP/2.0 {status}\r\n");
    for (name, value) in headers(head) {
        let (name, tag) = match name {
            b"Via" | b"v" => ("Via", ""),
            b"From" | b"f" => ("From", ""),
            b"To" | b"t" => ("To", if find(value, b";tag=").is_some() { "" } else { ";tag=load" }),
            b"Call-ID" | b"i" => ("Call-ID", ""),
            b"CSeq" => ("CSeq", ""),
            b"Record-Route" => ("Record-Route", ""),
            _ => continue,
        };
        for part in [name.as_bytes(), b": ", value, tag.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    let _ = write!(answer, "{more}Content-Length: {}\r\n\r\n{body}", body.len());
}

/// The INVITE of a call that a phone begins.
pub(super) fn invite(shared: &Shared, call: usize, out: &mut Vec<u8>) {
    let (cast, listen) = (&shared.cast, shared.calling);
    let (sip, callee, sid, body) =
        (cast.sip(call), shared.callee(call), cast.sid(call), shared.voice(call, false).sdp());
    let _ = write!(
        out,
        "INVITE sip:{callee} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{}.i{call};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{sip}>;tag=p{call}\r\nTo: <sip:{callee}>\r\nCall-ID: {sid}\r\nCSeq: 1 INVITE\r\nContact: {}\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, UPDATE\r\nSupported: timer\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        cast.name,
        cast.contact(call, listen),
        body.len()
    );
}

/// The BYE of a call.
pub(super) fn bye(shared: &Shared, call: usize, out: &mut Vec<u8>) {
    let listen = shared.calling;
    let leg = shared.leg(call);
    let Some(Dialog { local, remote, target, route }) = &leg.dialog else { return };
    let _ = write!(
        out,
        "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{}.b{call};rport\r\nMax-Forwards: 70\r\n{route}\
         From: {local}\r\nTo: {remote}\r\nCall-ID: {}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
        shared.cast.name,
        shared.cast.sid(call)
    );
}

/// A phone is called: it rings (that is returned), and is answered at once.
fn invited(shared: &Shared, head: &[u8], body: &[u8], answer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let Some(call) = call_of(shared, head) else {
        shared.counts.strange.fetch_add(1, SeqCst);
        return None;
    };
    if find(body, shared.voice(call, false).mark().as_bytes()).is_none() {
        shared.begun.wrong_texts.fetch_add(1, SeqCst);
    }
    let contact = format!("Contact: {}\r\n", shared.cast.contact(call, shared.options.listen));
    let mut ringing = Vec::with_capacity(1024);
    respond(head, "180 Ringing", &contact, "", &mut ringing);
    let more = format!("{contact}Allow: INVITE, ACK, CANCEL, BYE, UPDATE\r\nContent-Type: application/sdp\r\n");
    respond(head, "200 OK", &more, &shared.voice(call, true).sdp(), answer);
    if std::mem::replace(&mut shared.leg(call).called, true) {
        shared.begun.retransmissions.fetch_add(1, SeqCst);
    }
    Some(ringing)
}

/// An answer to a request of a phone's.
fn answered(
    shared: &Shared,
    udp: &UdpSocket,
    status: &[u8],
    head: &[u8],
    body: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let code: u16 = std::str::from_utf8(status.get(..3)?).ok()?.parse().ok()?;
    let value = |long, compact| header(head, long, compact).unwrap_or_default();
    let call = shared.cast.of_sid(value("Call-ID", "i"))?;
    let bye = value("CSeq", "CSeq").ends_with(b"BYE");
    match code {
        ..200 => {
            shared.counts.rung.fetch_add(usize::from(code == 180), SeqCst);
            return None;
        }
        200..300 if bye => {
            shared.mark(&shared.ended, call, ACCEPTED);
            return None;
        }
        _ if bye => {
            shared.refused(&shared.ended, call, format!("SIP {code}"));
            return None;
        }
        _ => {}
    }
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (listen, name, sid) = (shared.calling, &shared.cast.name, shared.cast.sid(call));
    let (remote, local) = (text(value("To", "t")), text(value("From", "f")));
    let contact = value("Contact", "m");
    // RFC 3261 §17.1.1.3: the ACK of what is no 2xx belongs to its INVITE.
    let (target, branch, routes) = match code {
        200..300 => (text(between(contact, b"<", b">").unwrap_or(contact)), 'a', route(head)),
        _ => (format!("sip:{}", shared.callee(call)), 'i', String::new()),
    };
    let _ = write!(
        out,
        "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{name}.{branch}{call};rport\r\nMax-Forwards: 70\r\n{routes}\
         From: {local}\r\nTo: {remote}\r\nCall-ID: {sid}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    let _ = udp.send_to(out, shared.options.gateway);
    if code >= 300 {
        shared.refused(&shared.begun, call, format!("SIP {code}"));
        return None;
    }
    let mut leg = shared.leg(call);
    if leg.dialog.is_some() {
        shared.begun.retransmissions.fetch_add(1, SeqCst);
        return None;
    }
    leg.dialog = Some(Dialog { local, remote, target, route: routes });
    drop(leg);
    if find(body, shared.voice(call, true).mark().as_bytes()).is_none() {
        shared.begun.wrong_texts.fetch_add(1, SeqCst);
    }
    shared.mark(&shared.begun, call, DELIVERED);
    if !shared.plan.forwarder {
        // Nobody but us sees our ACK.
        shared.mark(&shared.begun, call, ACCEPTED);
    }
    None
}

/// The way of what follows in a dialog of ours: RFC 3261 §12.1.2.
fn route(head: &[u8]) -> String {
    let mut values: Vec<_> =
        headers(head).filter(|(name, _)| *name == b"Record-Route").map(|(_, value)| value).collect();
    values.reverse();
    values.iter().map(|value| format!("Route: {}\r\n", String::from_utf8_lossy(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_the_way_there_reversed() {
        let head = b"SIP/2.0 200 OK\r\nRecord-Route: <sip:2;lr>\r\nTo: <sip:a@b>\r\nRecord-Route: <sip:1;lr>";
        assert_eq!(route(head), "Route: <sip:1;lr>\r\nRoute: <sip:2;lr>\r\n");
        let mut answer = Vec::new();
        respond(
            b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\nRecord-Route: <sip:1;lr>\r\nt: <sip:a@b>",
            "180 Ringing",
            "",
            "",
            &mut answer,
        );
        let text = "SIP/2.0 180 Ringing\r\nVia: x\r\nRecord-Route: <sip:1;lr>\r\nTo: <sip:a@b>;tag=load\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(answer).unwrap(), text);
    }
}
