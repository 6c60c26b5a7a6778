//! Sending: by the clock, or as much as the window lets.

use crate::bytes::escape;
use crate::ledger::Ledger;
use crate::options::{Options, Way};
use crate::run::Shared;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// How many messages go into one write where the transport is a stream.
const BATCH: usize = 64;

/// Sends all messages of one way.
pub(crate) fn send(shared: &Arc<Shared>, way: Way) {
    let ledger = shared.ledger(way);
    let mut buffer = Vec::with_capacity(1 << 16);
    let now = || shared.now();
    pace(ledger, &shared.options, now, &shared.over, |some| write(shared, way, ledger, some, &mut buffer));
}

/// Has everything in a ledger written when it is due.
pub(crate) fn pace(
    ledger: &Ledger,
    options: &Options,
    now: impl Fn() -> u64,
    over: &AtomicBool,
    write: impl FnMut(Range<usize>) -> std::io::Result<()>,
) {
    pace_groups(ledger, options, 1, now, over, write);
}

/// The same, but so many at a time are one thing: they are due together, and written together. In a closed loop a group goes out when all of it has
/// room in the window, or when nothing is under way.
pub(crate) fn pace_groups(
    ledger: &Ledger,
    options: &Options,
    group: usize,
    now: impl Fn() -> u64,
    over: &AtomicBool,
    mut write: impl FnMut(Range<usize>) -> std::io::Result<()>,
) {
    let (rate, start) = (options.rate, now());
    ledger.progress.store(start, SeqCst);
    if rate <= 0.0 {
        ledger.wakes(Some(thread::current()));
    }
    let total = ledger.marks.len();
    let mut next = 0;
    while next < total && !over.load(SeqCst) {
        let due = |n: usize| start + ((n / group * group) as f64 * 1e9 / rate) as u64;
        let until = if rate > 0.0 {
            ((now() - start) as f64 / 1e9 * rate) as usize + group
        } else {
            let settled = ledger.settled.load(SeqCst);
            let window = usize::try_from(options.window).unwrap_or(usize::MAX);
            settled.saturating_add(window).max(if settled >= next { next + group } else { 0 })
        };
        let until = until.min(total).min(next + BATCH.max(group)) / group * group;
        if until <= next {
            if rate > 0.0 {
                let wait = due(next).saturating_sub(now()).clamp(50_000, 1_000_000);
                thread::sleep(Duration::from_nanos(wait));
            } else {
                thread::park_timeout(Duration::from_millis(50));
            }
            continue;
        }
        let sent = now();
        for message in next..until {
            ledger.due[message].store(if rate > 0.0 { due(message) } else { sent }, SeqCst);
        }
        // Before the bytes leave: an answer may be faster than the next line.
        ledger.sent.store(until, SeqCst);
        if write(next..until).is_err() {
            break;
        }
        next = until;
    }
    ledger.all_sent.store(true, SeqCst);
}

fn write(
    shared: &Shared,
    way: Way,
    ledger: &Ledger,
    messages: Range<usize>,
    buffer: &mut Vec<u8>,
) -> std::io::Result<()> {
    buffer.clear();
    match (way, &shared.udp, &shared.tcp) {
        (Way::XmppToSip, ..) => {
            messages.for_each(|m| stanza(shared, m, buffer));
            shared.send_xmpp(buffer)
        }
        (Way::SipToXmpp, Some(udp), _) => {
            for message in messages {
                if shared.options.rate <= 0.0 {
                    ledger.due[message].store(shared.now(), SeqCst);
                }
                buffer.clear();
                request(shared, message, buffer);
                // A full buffer is a lost datagram: SIP sends it again.
                let _ = udp.send_to(buffer, shared.options.gateway);
            }
            Ok(())
        }
        (Way::SipToXmpp, None, Some(tcp)) => {
            messages.for_each(|m| request(shared, m, buffer));
            tcp.write(buffer)
        }
        (Way::SipToXmpp, None, None) => Ok(()),
    }
}

/// The SIP request of a message.
pub(crate) fn request(shared: &Shared, message: usize, out: &mut Vec<u8>) {
    let (sip, xmpp) = shared.addresses(message);
    let (text, name, listen) = (shared.text(message), &shared.name, shared.options.listen);
    let transport = match (&shared.options.tls, shared.options.tcp) {
        (Some(_), _) => "TLS",
        (None, true) => "TCP",
        (None, false) => "UDP",
    };
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "MESSAGE sip:{xmpp} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {listen};branch=z9hG4bK{name}.{message};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{sip}>;tag={message}\r\n\
         To: <sip:{xmpp}>\r\n\
         Call-ID: {name}-{message}@load\r\n\
         CSeq: 1 MESSAGE\r\n\
         Content-Type: text/plain;charset=UTF-8\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    );
}

/// The stanza of a message.
fn stanza(shared: &Shared, message: usize, out: &mut Vec<u8>) {
    let (sip, xmpp) = shared.addresses(message);
    let name = &shared.name;
    let _ = write!(out, "<message from='{xmpp}/r' to='{sip}' type='chat' id='{name}.{message}'><body>");
    escape(shared.text(message).as_bytes(), out);
    out.extend_from_slice(b"</body></message>");
}
