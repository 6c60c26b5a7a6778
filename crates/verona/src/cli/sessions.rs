//! `verona sessions`.

use super::{Exit, complain, say};
use crate::config::{self, Environment, show_duration};
use serde_json::Value;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the longest answer: some 200,000 sessions.
const LONGEST: u64 = 64 << 20;

/// Where the admin interface is.
pub(super) enum Whose<'a> {
    /// At this address.
    Address(SocketAddr),
    /// Where this configuration has it.
    Config(&'a Path),
}

/// Lists the chat sessions of a gateway that runs.
pub(super) fn sessions(whose: &Whose<'_>, as_json: bool) -> Exit {
    let address = match whose {
        Whose::Address(address) => *address,
        Whose::Config(path) => match config::load(path, Environment::of_process()) {
            Ok(loaded) => match loaded.config.admin.listen {
                Some(address) => address,
                None => {
                    complain(&format!("{}: admin.listen is not set: there is nobody to ask", path.display()));
                    return Exit::Failed;
                }
            },
            Err(mistakes) => {
                complain(&mistakes.to_string());
                return Exit::Config;
            }
        },
    };
    match ask(reachable(address)) {
        Ok(answer) if as_json => {
            say(answer.trim_end());
            Exit::Good
        }
        Ok(answer) => match table(&answer) {
            Some(lines) => {
                lines.iter().for_each(|line| say(line));
                Exit::Good
            }
            None => {
                complain(&format!("{address}: the answer is not that of this version"));
                Exit::Failed
            }
        },
        Err(e) => {
            complain(&format!("{address}: {e}"));
            Exit::Failed
        }
    }
}

/// Where to connect to for a socket that may listen on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer is in one piece, and ends with the connection.
    write!(stream, "GET /sessions HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("no answer of HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(wrong(head.lines().next().unwrap_or_default())),
    }
}

/// The answer as lines for people: one for each session, aligned.
fn table(answer: &str) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let sessions = answer.get("sessions")?.as_array()?;
    let mut rows =
        vec![["SIP", "XMPP", "OPENED BY", "STATE", "AGE", "IDLE", "MESSAGES", "WAITING", "THREAD"].map(str::to_owned)];
    for session in sessions {
        // Whatever a name or thread holds, it does nothing to a terminal.
        let text = |name: &str| session.get(name).and_then(Value::as_str).map(|t| t.escape_debug().to_string());
        let number = |name: &str| session.get(name).and_then(Value::as_u64);
        let time = |name: &str| number(name).map(|seconds| show_duration(Duration::from_secs(seconds)));
        let state = if session.get("open")?.as_bool()? { "open" } else { "opening" };
        rows.push([
            text("sip")?,
            text("xmpp")?,
            text("opened_by")?,
            state.to_owned(),
            time("age")?,
            time("idle")?,
            number("messages")?.to_string(),
            number("waiting")?.to_string(),
            text("thread")?,
        ]);
    }
    let widths: Vec<usize> =
        (0..9).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_lines_that_do_nothing_to_a_terminal() {
        let answer = r#"{"sessions":[{"sip":"romeo@example.net/x","xmpp":"juliet@example.com","opened_by":"sip","open":true,
            "age":3600,"idle":2,"messages":4,"waiting":1,"thread":"a\u001b[31m"},{"sip":"r@e.net","xmpp":"j@e.com",
            "opened_by":"xmpp","open":false,"age":0,"idle":0,"messages":0,"waiting":10,"thread":"t"}]}"#;
        assert_eq!(
            table(answer).unwrap(),
            [
                "SIP                  XMPP                OPENED BY  STATE    AGE  IDLE  MESSAGES  WAITING  THREAD",
                "romeo@example.net/x  juliet@example.com  sip        open     1h   2s    4         1        a\\u{1b}[31m",
                "r@e.net              j@e.com             xmpp       opening  0s   0s    0         10       t",
            ]
        );
        assert_eq!(table(r#"{"sessions":[]}"#).unwrap().len(), 1);
        for other in ["", "{}", "[]", r#"{"sessions":[{}]}"#, r#"{"sessions":3}"#] {
            assert_eq!(table(other), None, "{other}");
        }
    }

    #[test]
    fn a_socket_on_all_addresses_is_asked_at_this_machine() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(
            (at("0.0.0.0:1"), at("[::]:1"), at("192.0.2.1:1")),
            ("127.0.0.1:1".into(), "[::1]:1".into(), "192.0.2.1:1".into())
        );
    }
}
