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

/// Bytes of the longest answer: some 200,000 sessions and places in rooms.
const LONGEST: u64 = 64 << 20;

/// Where the admin interface is.
pub(super) enum Whose<'a> {
    /// At this address.
    Address(SocketAddr),
    /// Where this configuration has it.
    Config(&'a Path),
}

/// Lists the chat sessions of a gateway that runs, and who sits in which room.
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

/// The answer as lines for people: one for each session, and then one for each place in a room and for each call, if there are any, aligned.
fn table(answer: &str) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let mut rows =
        vec![["SIP", "XMPP", "OPENED BY", "STATE", "AGE", "IDLE", "MESSAGES", "WAITING", "THREAD"].map(str::to_owned)];
    for session in answer.get("sessions")?.as_array()? {
        let session = Row(session);
        let state = if session.flag("open")? { "open" } else { "opening" };
        rows.push([
            session.text("sip")?,
            session.text("xmpp")?,
            session.text("opened_by")?,
            state.to_owned(),
            session.time("age")?,
            session.time("idle")?,
            session.number("messages")?,
            session.number("waiting")?,
            session.text("thread")?,
        ]);
    }
    let mut lines = aligned(&rows);
    lines.extend(rooms(answer.get("rooms")?.as_array()?)?);
    // A gateway of before there were calls does not tell of any.
    let calls = answer.get("calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.extend(called(calls)?);
    let federation = answer.get("federation").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.extend(federated(federation)?);
    lines.extend(linked(answer.get("accounts"))?);
    Some(lines)
}

/// A line for each place in a room, below an empty one.
fn rooms(seats: &[Value]) -> Option<Vec<String>> {
    if seats.is_empty() {
        return Some(Vec::new());
    }
    let mut rows = vec![
        ["USER", "ROOM", "NICKNAME", "SIDE", "STATE", "AGE", "PEOPLE", "SAID", "HEARD", "WAITING"].map(str::to_owned),
    ];
    for seat in seats {
        let seat = Row(seat);
        let state = if seat.flag("inside")? { "inside" } else { "entering" };
        rows.push([
            seat.text("user")?,
            seat.text("room")?,
            seat.text("nick")?,
            seat.text("side")?,
            state.to_owned(),
            seat.time("age")?,
            seat.number("people")?,
            seat.number("said")?,
            seat.number("heard")?,
            seat.number("waiting")?,
        ]);
    }
    Some([vec![String::new()], aligned(&rows)].concat())
}

/// A line for each call, below an empty one.
fn called(calls: &[Value]) -> Option<Vec<String>> {
    if calls.is_empty() {
        return Some(Vec::new());
    }
    let mut rows = vec![["SIP", "XMPP", "CALLED BY", "STATE", "AGE", "TALKING", "SESSION"].map(str::to_owned)];
    for call in calls {
        let call = Row(call);
        rows.push([
            call.text("sip")?,
            call.text("xmpp")?,
            call.text("called_by")?,
            call.text("state")?,
            call.time("age")?,
            call.time("talking").unwrap_or_else(|| "-".to_owned()),
            call.text("sid")?,
        ]);
    }
    Some([vec![String::new()], aligned(&rows)].concat())
}

/// A line for each stream with another server, or for its domain where there is none, below an empty one.
fn federated(domains: &[Value]) -> Option<Vec<String>> {
    if domains.is_empty() {
        return Some(Vec::new());
    }
    let mut rows = vec![["DOMAIN", "MADE BY", "TLS", "SENDS", "TAKES", "AGE", "WAITING"].map(str::to_owned)];
    let none = || "-".to_owned();
    for domain in domains {
        let streams = domain.get("streams")?.as_array()?;
        let domain = Row(domain);
        for stream in streams {
            let stream = Row(stream);
            rows.push([
                domain.text("domain")?,
                stream.text("made_by")?,
                if stream.flag("tls")? { "yes" } else { "no" }.to_owned(),
                stream.text("sends").unwrap_or_else(none),
                stream.text("takes").unwrap_or_else(none),
                stream.time("age")?,
                domain.number("waiting")?,
            ]);
        }
        if streams.is_empty() {
            let state = if domain.flag("seeking")? { "sought" } else { "-" };
            let [made, tls, sends, takes, age] = [state, "-", "-", "-", "-"].map(str::to_owned);
            rows.push([domain.text("domain")?, made, tls, sends, takes, age, domain.number("waiting")?]);
        }
    }
    Some([vec![String::new()], aligned(&rows)].concat())
}

/// How many accounts are linked, below an empty line; nothing where none is.
fn linked(accounts: Option<&Value>) -> Option<Vec<String>> {
    let Some(accounts) = accounts.map(Row) else { return Some(Vec::new()) };
    let (linked, registered) = (accounts.number("linked")?, accounts.number("registered")?);
    if linked == "0" {
        return Some(Vec::new());
    }
    Some(vec![String::new(), format!("Linked SIP accounts: {linked}, registered: {registered}")])
}

/// A session or a place in a room, as the gateway has told it.
struct Row<'a>(&'a Value);

impl Row<'_> {
    /// Whatever a name or thread holds, it does nothing to a terminal.
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(|t| t.escape_debug().to_string())
    }

    fn number(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_u64).map(|n| n.to_string())
    }

    fn time(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_u64).map(|seconds| show_duration(Duration::from_secs(seconds)))
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }
}

/// Each row as a line, with its columns under each other.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_lines_that_do_nothing_to_a_terminal() {
        let answer = r#"{"sessions":[{"sip":"romeo@example.net/x","xmpp":"juliet@example.com","opened_by":"sip","open":true,
            "age":3600,"idle":2,"messages":4,"waiting":1,"thread":"a\u001b[31m"},{"sip":"r@e.net","xmpp":"j@e.com",
            "opened_by":"xmpp","open":false,"age":0,"idle":0,"messages":0,"waiting":10,"thread":"t"}],"rooms":[]}"#;
        assert_eq!(
            table(answer).unwrap(),
            [
                "SIP                  XMPP                OPENED BY  STATE    AGE  IDLE  MESSAGES  WAITING  THREAD",
                "romeo@example.net/x  juliet@example.com  sip        open     1h   2s    4         1        a\\u{1b}[31m",
                "r@e.net              j@e.com             xmpp       opening  0s   0s    0         10       t",
            ]
        );
        assert_eq!(table(r#"{"sessions":[],"rooms":[]}"#).unwrap().len(), 1);
        for other in [
            "",
            "{}",
            "[]",
            r#"{"sessions":[]}"#,
            r#"{"sessions":[],"rooms":[{}]}"#,
            r#"{"sessions":[{}]}"#,
            r#"{"sessions":3}"#,
        ] {
            assert_eq!(table(other), None, "{other}");
        }
    }

    #[test]
    fn calls_come_last() {
        let answer = r#"{"sessions":[],"rooms":[],"calls":[{"sip":"romeo@example.net/x","xmpp":"juliet@example.com","sid":"a\u001b",
            "called_by":"sip","state":"ringing","age":3,"talking":null},{"sip":"+49301234@e.net","xmpp":"j@e.com/b","sid":"s",
            "called_by":"xmpp","state":"active","age":70,"talking":60}]}"#;
        assert_eq!(
            table(answer).unwrap()[1..],
            [
                "",
                "SIP                  XMPP                CALLED BY  STATE    AGE  TALKING  SESSION",
                "romeo@example.net/x  juliet@example.com  sip        ringing  3s   -        a\\u{1b}",
                "+49301234@e.net      j@e.com/b           xmpp       active   70s  1m       s",
            ]
        );
    }

    #[test]
    fn streams_with_other_servers_and_accounts() {
        let answer = r#"{"sessions":[],"rooms":[],"federation":[{"domain":"a.example","waiting":0,"seeking":false,"streams":[
            {"made_by":"us","tls":true,"sends":"certificate","takes":null,"age":60},
            {"made_by":"them","tls":false,"sends":null,"takes":"dialback","age":3}]},
            {"domain":"b\u001b.example","waiting":12,"seeking":true,"streams":[]}],"accounts":{"linked":3,"registered":2}}"#;
        assert_eq!(
            table(answer).unwrap()[1..],
            [
                "",
                "DOMAIN           MADE BY  TLS  SENDS        TAKES     AGE  WAITING",
                "a.example        us       yes  certificate  -         1m   0",
                "a.example        them     no   -            dialback  3s   0",
                "b\\u{1b}.example  sought   -    -            -         -    12",
                "",
                "Linked SIP accounts: 3, registered: 2",
            ]
        );
    }

    #[test]
    fn places_in_rooms_come_below() {
        let answer = r#"{"sessions":[],"rooms":[{"user":"romeo@example.net/x","room":"den@muc.example.com","nick":"R\u001b","side":"sip",
            "inside":true,"age":60,"people":12,"said":3,"heard":40,"waiting":0},{"user":"j@e.com/b","room":"v@chat.e.net","nick":"J",
            "side":"xmpp","inside":false,"age":1,"people":0,"said":0,"heard":0,"waiting":1}]}"#;
        assert_eq!(
            table(answer).unwrap()[1..],
            [
                "",
                "USER                 ROOM                 NICKNAME  SIDE  STATE     AGE  PEOPLE  SAID  HEARD  WAITING",
                "romeo@example.net/x  den@muc.example.com  R\\u{1b}   sip   inside    1m   12      3     40     0",
                "j@e.com/b            v@chat.e.net         J         xmpp  entering  1s   0       0     0      1",
            ]
        );
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
