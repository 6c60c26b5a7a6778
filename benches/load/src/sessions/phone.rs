//! The phones' SIP: INVITEs both ways, and BYE.

use super::msrp::send;
use super::pairs::Kind;
use super::run::{Dialog, Shared};
use crate::bytes::{address, between, find, header};
use crate::ledger::{DELIVERED, settled_from_xmpp};
use crate::sip::respond;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering::SeqCst;

/// Reads datagrams until the run is over.
pub(super) fn read(shared: &Shared, udp: &UdpSocket) {
    let mut buffer = vec![0; 65_535];
    let mut answer = Vec::with_capacity(2048);
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
        if head.starts_with(b"INVITE ") {
            invited(shared, head, &mut answer);
        } else if !head.starts_with(b"ACK ") {
            shared.counts.requests.fetch_add(1, SeqCst);
            respond(head, "", "", &mut answer);
        }
        if !answer.is_empty() {
            let _ = udp.send_to(&answer, from);
        }
    }
}

/// The INVITE of a session that the phone opens.
pub(super) fn invite(shared: &Shared, session: usize, out: &mut Vec<u8>) {
    let (pairs, listen) = (&shared.pairs, shared.options.listen);
    let (sip, xmpp, thread) = (pairs.sip(session), pairs.xmpp(session), pairs.thread(session));
    let body = pairs.description(session, "active");
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "INVITE sip:{xmpp} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{}.i{session};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{sip}>;tag=p{session}\r\nTo: <sip:{xmpp}>\r\nCall-ID: {thread}\r\nCSeq: 1 INVITE\r\nContact: {}\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, UPDATE\r\nSupported: timer\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        pairs.name,
        pairs.contact(session),
        body.len()
    );
}

/// The BYE of a session.
pub(super) fn bye(shared: &Shared, session: usize, out: &mut Vec<u8>) {
    let listen = shared.options.listen;
    let leg = shared.leg(session);
    let Some(Dialog { call_id, local, remote, target }) = &leg.dialog else { return };
    let _ = write!(
        out,
        "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{}.b{session};rport\r\nMax-Forwards: 70\r\n\
         From: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\nCSeq: 3 BYE\r\nContent-Length: 0\r\n\r\n",
        shared.pairs.name
    );
}

/// The gateway opens a session, or asks for it again: it is accepted.
fn invited(shared: &Shared, head: &[u8], answer: &mut Vec<u8>) {
    let value = |long, compact| header(head, long, compact).unwrap_or_default();
    let Some(session) = shared.pairs.session_of_sip(address(value("To", "t"))) else {
        shared.counts.strange.fetch_add(1, SeqCst);
        return;
    };
    let more = format!(
        "Contact: {}\r\nAllow: INVITE, ACK, CANCEL, BYE, UPDATE\r\nContent-Type: application/sdp\r\n",
        shared.pairs.contact(session)
    );
    respond(head, &more, &shared.pairs.description(session, "passive"), answer);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut leg = shared.leg(session);
    if leg.dialog.is_some() {
        shared.counts.requests.fetch_add(1, SeqCst);
        return;
    }
    leg.dialog = Some(Dialog {
        call_id: text(value("Call-ID", "i")),
        local: format!("{};tag=load", text(value("To", "t"))),
        remote: text(value("From", "f")),
        target: target(value("Contact", "m")),
    });
}

fn target(contact: &[u8]) -> String {
    String::from_utf8_lossy(between(contact, b"<", b">").unwrap_or(contact)).into_owned()
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
    let cseq = value("CSeq", "CSeq");
    if code < 200 {
        return None;
    }
    if cseq.ends_with(b"BYE") {
        let branch = value("Via", "v");
        let session = between(branch, b".b", b";").and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok())?;
        let ended = &shared.ended;
        if session < ended.marks.len() {
            ended.mark(session, DELIVERED, shared.now(), settled_from_xmpp);
        }
        return None;
    }
    let session = shared.pairs.session_of_thread(value("Call-ID", "i"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (listen, name, thread) = (shared.options.listen, &shared.pairs.name, shared.pairs.thread(session));
    let (remote, local) = (text(value("To", "t")), text(value("From", "f")));
    // RFC 3261 §17.1.1.3: the ACK of what is no 2xx belongs to its INVITE.
    let (uri, branch) = match code {
        200..300 => (target(value("Contact", "m")), 'a'),
        _ => (format!("sip:{}", shared.pairs.xmpp(session)), 'i'),
    };
    let _ = write!(
        out,
        "ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{name}.{branch}{session};rport\r\nMax-Forwards: 70\r\n\
         From: {local}\r\nTo: {remote}\r\nCall-ID: {thread}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    let _ = udp.send_to(out, shared.options.gateway);
    if code >= 300 {
        shared.refused(Kind::Opening, session, format!("SIP {code}"));
        return None;
    }
    let mut leg = shared.leg(session);
    if leg.dialog.is_some() {
        return None;
    }
    leg.dialog = Some(Dialog { call_id: thread, local, remote, target: uri });
    drop(leg);
    if let Err(e) = connect(shared, session, &String::from_utf8_lossy(between(body, b"a=path:", b"\r\n")?)) {
        shared.refused(Kind::Opening, session, format!("connection: {}", e.kind()));
    }
    None
}

/// The phone has opened a session: it connects to the gateway's path, and says who it is (RFC 4975 §5.4).
pub(super) fn connect(shared: &Shared, session: usize, theirs: &str) -> io::Result<()> {
    let line = match shared.pairs.lent_by(session) {
        Some(other) => shared.leg(other).line.clone().ok_or(io::ErrorKind::NotConnected)?,
        None => shared.lines.connect(shared.pairs.phone(session, false).ip(), place(theirs)?)?,
    };
    let mut leg = shared.leg(session);
    (leg.line, leg.theirs) = (Some(line.clone()), theirs.to_owned());
    drop(leg);
    let mut out = Vec::new();
    send(&shared.pairs.id(Kind::Opening, session), theirs, &shared.pairs.path(session, false), None, &mut out);
    line.write(&out)
}

/// Where a path leads.
fn place(path: &str) -> io::Result<SocketAddr> {
    let place = path.strip_prefix("msrp://").and_then(|rest| rest.split('/').next());
    let place: Option<SocketAddr> = place.and_then(|place| place.parse().ok());
    place.filter(|place| place.ip().is_loopback()).ok_or(io::ErrorKind::InvalidInput.into())
}
