//! An MSRP forwarder that does nothing: it answers each SEND with 200, and sends it on over the connection of the session's other end, with
//! the paths that belong there. No limits, no checks, no reports. What it costs is what MSRP's sockets and frames cost.
//!
//!     nullmsrp PORT
//!
//! A session NAME-a has NAME-b for its other end; each end connects and says a SEND without a body first.

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use verona_load::bytes::find;
use verona_load::sessions::lines::{Line, Lines, Taker};
use verona_load::sessions::msrp::{Frame, answer};

fn main() -> ExitCode {
    let Some(port) = std::env::args().nth(1).and_then(|word| word.parse().ok()) else {
        let _ = writeln!(io::stderr(), "usage: nullmsrp PORT");
        return ExitCode::from(2);
    };
    match Lines::listen(port) {
        Ok(lines) => {
            lines.read(&AtomicBool::new(false), &mut Forwarder::default());
            ExitCode::SUCCESS
        }
        Err(e) => {
            let _ = writeln!(io::stderr(), "nullmsrp: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The ends of the sessions, by name: the connection, and the path that leads there.
#[derive(Default)]
struct Forwarder {
    ends: HashMap<Vec<u8>, (Arc<Line>, Vec<u8>)>,
    /// What goes to one connection, as long as nothing goes to another.
    waiting: Option<Arc<Line>>,
    out: Vec<u8>,
}

impl Taker for Forwarder {
    fn came(&mut self, line: &Arc<Line>, frame: &Frame<'_>, answers: &mut Vec<u8>) {
        if frame.what != b"SEND" {
            return;
        }
        answer(frame, answers);
        let session = frame.session();
        if frame.body.is_none() {
            self.ends.insert(session.to_vec(), (Arc::clone(line), frame.from().to_vec()));
            return;
        }
        let mut other = session.to_vec();
        if let Some(end) = other.last_mut() {
            *end = if *end == b'a' { b'b' } else { b'a' };
        }
        let Some((line, path)) = self.ends.get(&other) else { return };
        let line = Arc::clone(line);
        if self.waiting.as_ref().is_some_and(|waiting| waiting.number != line.number) {
            flush(&mut self.waiting, &mut self.out);
        }
        forward(frame, &other, path, &mut self.out);
        self.waiting = Some(line);
    }

    fn done(&mut self) {
        flush(&mut self.waiting, &mut self.out);
    }

    fn gone(&mut self, line: &Line) {
        self.ends.retain(|_, (end, _)| end.number != line.number);
    }
}

fn flush(waiting: &mut Option<Arc<Line>>, out: &mut Vec<u8>) {
    if let Some(line) = waiting.take() {
        // Whoever has gone hears nothing.
        let _ = line.write(out);
        out.clear();
    }
}

/// Writes the frame again, with other paths: all but the first three lines stays as it is.
fn forward(frame: &Frame<'_>, other: &[u8], path: &[u8], out: &mut Vec<u8>) {
    let own = frame.to();
    let host = &own[..own.len() - frame.session().len() - b";tcp".len()];
    for part in [b"MSRP ", frame.tid, b" SEND\r\nTo-Path: ", path, b"\r\nFrom-Path: ", host, other, b";tcp\r\n"] {
        out.extend_from_slice(part);
    }
    let rest = find(frame.head, b"Message-ID:").map_or(&b""[..], |at| &frame.head[at..]);
    let body = frame.body.unwrap_or_default();
    for part in [rest, b"\r\n\r\n", body, b"\r\n-------", frame.tid, &[frame.flag], b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verona_load::sessions::msrp;

    #[test]
    fn only_the_paths_are_others() {
        let mut sent = Vec::new();
        msrp::send("t1", "msrp://127.0.0.1:1/n-a;tcp", "msrp://127.1.0.1:2/n-a;tcp", Some("hello"), &mut sent);
        let mut out = Vec::new();
        forward(&msrp::frame(&sent).unwrap(), b"n-b", b"msrp://127.2.0.1:3/n-b;tcp", &mut out);
        let mut expected = Vec::new();
        msrp::send("t1", "msrp://127.2.0.1:3/n-b;tcp", "msrp://127.0.0.1:1/n-b;tcp", Some("hello"), &mut expected);
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
    }
}
