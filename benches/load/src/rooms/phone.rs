//! The phones' SIP: INVITE, SUBSCRIBE and BYE in one dialog, and the NOTIFYs that say who is there.

use super::run::{Asked, Shared};
use crate::bytes::{address, between, find, header};
use crate::ledger::{DELIVERED, settled_from_xmpp};
use crate::sessions::msrp::send;
use crate::sip::respond;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering::SeqCst;

/// The dialog of a place, as it is written into requests.
#[derive(Debug, Clone)]
pub(super) struct Dialog {
    local: String,
    remote: String,
    target: String,
}

/// Reads datagrams until the run is over.
pub(super) fn read(shared: &Shared, udp: &UdpSocket) {
    let mut buffer = vec![0; 65_535];
    let mut answer = Vec::with_capacity(2048);
    while !shared.over.load(SeqCst) {
        let Ok((len, from)) = udp.recv_from(&mut buffer) else { continue };
        let message = &buffer[..len];
        let Some(end) = find(message, b"\r\n\r\n") else { continue };
        let (head, body) = (&message[..end], &message[end + 4..]);
        if let Some(status) = head.strip_prefix(b"SIP/2.0 ") {
            let _ = answered(shared, status, head, body);
            continue;
        }
        if head.starts_with(b"ACK ") {
            continue;
        }
        answer.clear();
        respond(head, "", "", &mut answer);
        let _ = udp.send_to(&answer, from);
        if let Some(place) = head.strip_prefix(b"NOTIFY ").and_then(|rest| shared.cast.place_of(address(rest))) {
            shared.told(place, body);
        } else {
            shared.counts.requests.fetch_add(1, SeqCst);
        }
    }
}

/// A request of a place's, for the first time or once more. Nothing, if there is no dialog for it.
pub(super) fn request(shared: &Shared, place: usize, what: Asked, dialog: Option<&Dialog>, out: &mut Vec<u8>) {
    let (cast, listen) = (&shared.cast, shared.options.listen);
    let (call, contact) = (cast.call(place), cast.contact(place));
    let via = |letter: char| {
        format!("Via: SIP/2.0/UDP {listen};branch=z9hG4bK{}.{letter}{place};rport\r\nMax-Forwards: 70\r\n", cast.name)
    };
    // Writing to a vector cannot fail.
    let _ = match (what, dialog) {
        (Asked::Invite, _) => {
            let (user, room, body) = (cast.user(place), cast.room(place / cast.sip), cast.description(place));
            let nick = cast.nick(place / cast.sip, place % cast.sip);
            write!(
                out,
                "INVITE sip:{room} SIP/2.0\r\n{}From: \"{nick}\" <sip:{user}>;tag=p{place}\r\nTo: <sip:{room}>\r\nCall-ID: {call}\r\n\
                 CSeq: 1 INVITE\r\nContact: {contact}\r\nAllow: INVITE, ACK, CANCEL, BYE, UPDATE, NOTIFY\r\nSupported: timer\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                via('i'),
                body.len()
            )
        }
        (Asked::Subscribe, Some(Dialog { local, remote, target })) => write!(
            out,
            "SUBSCRIBE {target} SIP/2.0\r\n{}From: {local}\r\nTo: {remote}\r\nCall-ID: {call}\r\nCSeq: 2 SUBSCRIBE\r\n\
             Contact: {contact}\r\nEvent: conference\r\nExpires: 3600\r\nAccept: application/conference-info+xml\r\n\
             Content-Length: 0\r\n\r\n",
            via('u')
        ),
        (Asked::Bye, Some(Dialog { local, remote, target })) => write!(
            out,
            "BYE {target} SIP/2.0\r\n{}From: {local}\r\nTo: {remote}\r\nCall-ID: {call}\r\nCSeq: 3 BYE\r\nContent-Length: 0\r\n\r\n",
            via('b')
        ),
        (Asked::Subscribe | Asked::Bye, None) => Ok(()),
    };
}

/// An answer to a request of a phone's.
fn answered(shared: &Shared, status: &[u8], head: &[u8], body: &[u8]) -> Option<()> {
    let code: u16 = std::str::from_utf8(status.get(..3)?).ok()?.parse().ok()?;
    let value = |long, compact| header(head, long, compact).unwrap_or_default();
    let place = shared.cast.place_of_call(value("Call-ID", "i"))?;
    let cseq = value("CSeq", "CSeq");
    let what = match () {
        () if cseq.ends_with(b"INVITE") => Asked::Invite,
        () if cseq.ends_with(b"SUBSCRIBE") => Asked::Subscribe,
        () if cseq.ends_with(b"BYE") => Asked::Bye,
        () => return None,
    };
    // A provisional answer to an INVITE is an answer enough not to ask again.
    if code >= 200 || what == Asked::Invite {
        shared.seat(place).asked.take_if(|(asked, _)| *asked == what);
    }
    match (what, code) {
        (_, ..200) | (Asked::Subscribe, 200..300) => {}
        (Asked::Invite, 200..300) => let_in(shared, place, head, body),
        (Asked::Bye, 200..300) => {
            shared.left.mark(place, DELIVERED, shared.now(), settled_from_xmpp);
        }
        (Asked::Invite, _) => {
            // RFC 3261 §17.1.1.3: the ACK of what is no 2xx belongs to its INVITE.
            let room = shared.cast.room(place / shared.cast.sip);
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let dialog = Dialog {
                local: text(value("From", "f")),
                remote: text(value("To", "t")),
                target: format!("sip:{room}"),
            };
            acknowledge(shared, place, 'i', &dialog);
            shared.not_in(place, format!("SIP {code}"));
        }
        (Asked::Subscribe, _) => shared.not_told(place, format!("SIP {code}")),
        (Asked::Bye, _) => {
            shared.left.refused(format!("SIP {code}"));
        }
    }
    None
}

/// The room has let a user in: he connects, says who he is, and wants to know who is there.
fn let_in(shared: &Shared, place: usize, head: &[u8], body: &[u8]) {
    let value = |long, compact| header(head, long, compact).unwrap_or_default();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let contact = value("Contact", "m");
    let dialog = Dialog {
        local: text(value("From", "f")),
        remote: text(value("To", "t")),
        target: text(between(contact, b"<", b">").unwrap_or(contact)),
    };
    acknowledge(shared, place, 'a', &dialog);
    {
        let mut seat = shared.seat(place);
        if seat.dialog.is_some() {
            return;
        }
        seat.dialog = Some(dialog);
    }
    let path = between(body, b"a=path:", b"\r\n").map(text).unwrap_or_default();
    if let Err(e) = connect(shared, place, &path) {
        shared.not_in(place, format!("connection: {}", e.kind()));
    }
    shared.ask(place, Asked::Subscribe);
}

fn acknowledge(shared: &Shared, place: usize, letter: char, Dialog { local, remote, target }: &Dialog) {
    let (listen, call) = (shared.options.listen, shared.cast.call(place));
    let ack = format!(
        "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {listen};branch=z9hG4bK{}.{letter}{place};rport\r\nMax-Forwards: 70\r\n\
         From: {local}\r\nTo: {remote}\r\nCall-ID: {call}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
        shared.cast.name
    );
    shared.send_sip(ack.as_bytes());
}

/// The phone connects to the gateway's path, and says who it is (RFC 4975 §5.4).
fn connect(shared: &Shared, place: usize, theirs: &str) -> io::Result<()> {
    let to = theirs.strip_prefix("msrp://").and_then(|rest| rest.split('/').next());
    let to: Option<SocketAddr> = to.and_then(|to| to.parse().ok());
    let to = to.filter(|to| to.ip().is_loopback()).ok_or(io::ErrorKind::InvalidInput)?;
    let line = shared.lines.connect(shared.cast.phone(place).ip(), to)?;
    let mut seat = shared.seat(place);
    (seat.line, seat.theirs) = (Some(line.clone()), theirs.to_owned());
    drop(seat);
    let mut out = Vec::new();
    send(&shared.cast.session(place), theirs, &shared.cast.path(place), None, &mut out);
    line.write(&out)
}
