//! The SIP side: it takes requests and answers, and repeats its own requests until they are answered (RFC 3261 §17.1.2, timers E and F).

use crate::bytes::{address, find, hash, header, headers};
use crate::ledger::{ACCEPTED, DELIVERED, Ledger, REFUSED, UNANSWERED};
use crate::line::Line;
use crate::options::Way;
use crate::run::{Arrival, Shared, settling};
use crate::send::request;
use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

/// Timer E starts at T1 and doubles up to T2; timer F ends it. In nanoseconds.
const T1: u64 = 500_000_000;
const T2: u64 = 4_000_000_000;
const F: u64 = 64 * T1;

/// Reads datagrams until the run is over.
pub(crate) fn read_udp(shared: &Arc<Shared>) {
    let Some(udp) = &shared.udp else { return };
    let mut buffer = vec![0; 65_535];
    let mut answer = Vec::with_capacity(1024);
    while !shared.over.load(SeqCst) {
        let Ok((len, from)) = udp.recv_from(&mut buffer) else { continue };
        answer.clear();
        came(shared, &buffer[..len], &mut answer);
        if !answer.is_empty() {
            let _ = udp.send_to(&answer, from);
        }
    }
}

/// Takes connections.
pub(crate) fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let line = match &shared.trust {
                Some(trust) => Line::accepted(stream, Arc::clone(&trust.server)),
                None => Line::plain(stream),
            };
            line.map(|line| read_line(&shared, &line))
        });
    }
}

/// Reads a connection until it ends.
pub(crate) fn read_line(shared: &Arc<Shared>, line: &Line) {
    let (mut got, mut answers) = (Vec::new(), Vec::new());
    while let Ok(1..) = line.read(&mut got) {
        let mut done = 0;
        while let Some(len) = frame(&got[done..]) {
            came(shared, &got[done..done + len], &mut answers);
            done += len;
        }
        got.drain(..done);
        if !answers.is_empty() && line.write(&answers).is_err() {
            return;
        }
        answers.clear();
    }
}

/// The length of the first message, if it is complete.
fn frame(bytes: &[u8]) -> Option<usize> {
    let skipped = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let head = find(&bytes[skipped..], b"\r\n\r\n")?;
    let length = header(&bytes[skipped..skipped + head], "Content-Length", "l")
        .and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
    let end = skipped + head + 4 + length.unwrap_or(0);
    (end <= bytes.len()).then_some(end)
}

fn came(shared: &Shared, message: &[u8], answer: &mut Vec<u8>) {
    let message = message.trim_ascii_start();
    let Some(end) = find(message, b"\r\n\r\n") else { return };
    let (head, text) = (&message[..end], &message[end + 4..]);
    match head.strip_prefix(b"SIP/2.0 ") {
        Some(rest) => answered(shared, rest, head),
        None if head.starts_with(b"MESSAGE ") => {
            respond(head, "", "", answer);
            delivered(shared, head, text);
        }
        None => {}
    }
}

/// 200, at once: what is measured is the gateway. `more` are headers, each with its line's end.
pub(crate) fn respond(head: &[u8], more: &str, body: &str, answer: &mut Vec<u8>) {
    answer.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for (name, value) in headers(head) {
        let (name, tag) = match name {
            b"Via" | b"v" => ("Via", ""),
            b"From" | b"f" => ("From", ""),
            b"To" | b"t" => ("To", if find(value, b";tag=").is_some() { "" } else { ";tag=load" }),
            b"Call-ID" | b"i" => ("Call-ID", ""),
            b"CSeq" => ("CSeq", ""),
            _ => continue,
        };
        for part in [name.as_bytes(), b": ", value, tag.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(more.as_bytes());
    // Writing to a vector cannot fail.
    let _ = write!(answer, "Content-Length: {}\r\n\r\n{body}", body.len());
}

/// A request that the gateway made of a stanza.
fn delivered(shared: &Shared, head: &[u8], text: &[u8]) {
    let ledger = &shared.from_xmpp;
    let Some(message) = shared.number(text, ledger) else { return };
    if came_first(ledger, message, head, shared.now(), settling(Way::XmppToSip)) {
        let value = |long, compact| header(head, long, compact).map(address).unwrap_or_default();
        let arrival = Arrival { from: value("From", "f"), to: value("To", "t"), text };
        shared.compare(ledger, message, &arrival, false);
    }
}

/// Whether a message comes out for the first time. If not, it is counted by whether it is the same request.
pub(crate) fn came_first(
    ledger: &Ledger,
    message: usize,
    head: &[u8],
    now: u64,
    settling: impl Fn(u8) -> bool,
) -> bool {
    let branch = header(head, "Via", "v").and_then(|v| Some(hash(&v[find(v, b"branch=")?..]))).unwrap_or(0);
    if ledger.mark(message, DELIVERED, now, settling) {
        ledger.branch[message].store(branch, SeqCst);
        return true;
    }
    let again = ledger.branch[message].load(SeqCst) == branch;
    (if again { &ledger.retransmissions } else { &ledger.duplicates }).fetch_add(1, SeqCst);
    false
}

/// An answer to a request of ours.
fn answered(shared: &Shared, status: &[u8], head: &[u8]) {
    let ledger = &shared.from_sip;
    let Some(code) = status.get(..3).and_then(|c| std::str::from_utf8(c).ok()?.parse::<u16>().ok()) else { return };
    let number = header(head, "Call-ID", "i").and_then(|id| {
        let rest = id.strip_prefix(shared.name.as_bytes())?.strip_prefix(b"-")?;
        std::str::from_utf8(rest.strip_suffix(b"@load")?).ok()?.parse::<usize>().ok()
    });
    let Some(message) = number.filter(|n| *n < ledger.marks.len()) else { return };
    match code {
        ..200 => {}
        200..300 => {
            ledger.mark(message, ACCEPTED, shared.now(), settling(Way::SipToXmpp));
        }
        _ => {
            if ledger.mark(message, REFUSED, shared.now(), settling(Way::SipToXmpp)) {
                ledger.refused(code.to_string());
            }
        }
    }
}

/// Sends again what is not answered. One queue for each repetition: each is in the order of its times.
pub(crate) fn retransmit(shared: &Arc<Shared>) {
    let (Some(udp), ledger) = (&shared.udp, &shared.from_sip) else { return };
    let mut queues: Vec<VecDeque<(u64, usize)>> = vec![VecDeque::new()];
    let mut known = 0;
    let mut buffer = Vec::new();
    while !shared.over.load(SeqCst) {
        thread::sleep(Duration::from_millis(20));
        let sent = ledger.sent.load(SeqCst);
        // The clock of a message starts when it leaves, which in overload is later than when it was due.
        let now = shared.now();
        queues[0].extend((known..sent).map(|m| (now + T1, m)));
        known = sent;
        let mut step = 0;
        while step < queues.len() {
            while let Some((_, message)) = queues[step].pop_front_if(|(at, _)| *at <= now) {
                if ledger.marks[message].load(SeqCst) & (ACCEPTED | REFUSED) != 0 {
                    continue;
                }
                let waited: u64 = (0..=step as u32).map(interval).sum();
                if waited >= F {
                    ledger.mark(message, UNANSWERED, now, settling(Way::SipToXmpp));
                    continue;
                }
                buffer.clear();
                request(shared, message, &mut buffer);
                let _ = udp.send_to(&buffer, shared.options.gateway);
                ledger.retransmissions.fetch_add(1, SeqCst);
                if queues.len() == step + 1 {
                    queues.push(VecDeque::new());
                }
                queues[step + 1].push_back((now + interval(step as u32 + 1), message));
            }
            step += 1;
        }
    }
}

/// The time before the repetition after `step` others.
fn interval(step: u32) -> u64 {
    (T1 << step.min(3)).min(T2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_the_length_says() {
        let two = b"\r\nMESSAGE a SIP/2.0\r\nContent-Length: 3\r\n\r\nabcSIP/2.0 200 OK\r\nl: 0\r\n\r\n";
        let first = frame(two).unwrap();
        assert!(two[..first].ends_with(b"\r\n\r\nabc"));
        assert_eq!(frame(&two[first..]), Some(two.len() - first));
        assert_eq!(frame(&two[..first - 1]), None);
    }

    #[test]
    fn an_answer_repeats_its_request() {
        let mut answer = Vec::new();
        respond(
            b"MESSAGE sip:a@b SIP/2.0\r\nVia: x\r\nTo: <sip:a@b>\r\nSubject: s\r\nCSeq: 1 MESSAGE",
            "",
            "",
            &mut answer,
        );
        let text = "SIP/2.0 200 OK\r\nVia: x\r\nTo: <sip:a@b>;tag=load\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(answer).unwrap(), text);
        let mut answer = Vec::new();
        respond(b"SUBSCRIBE sip:a@b SIP/2.0\r\nt: <sip:a@b>;tag=1", "Expires: 60\r\n", "", &mut answer);
        let text = "SIP/2.0 200 OK\r\nTo: <sip:a@b>;tag=1\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(answer).unwrap(), text);
    }

    #[test]
    fn timer_e_doubles_up_to_t2() {
        assert_eq!([0, 1, 2, 3, 4, 9].map(interval), [T1, 2 * T1, 4 * T1, T2, T2, T2]);
    }
}
