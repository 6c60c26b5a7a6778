//! The text of a scene, read into steps.

use std::time::Duration;

/// One step of a scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// What is to happen.
    pub action: Action,
}

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// `ACTOR sends` and a block; with `escaped`, `\r`, `\n` and `\xHH` in the body stand for bytes.
    Sends {
        /// Who.
        actor: String,
        /// What.
        block: String,
        /// Whether the body has escapes.
        escaped: bool,
        /// The connection, of MSRP.
        on: Option<String>,
    },
    /// `ACTOR sends bytes` and a block with escapes: they go over the connection as they are.
    SendsBytes {
        /// Who.
        actor: String,
        /// What.
        block: String,
        /// The connection.
        on: Option<String>,
    },
    /// `ACTOR connects`: the actor opens a connection to the gateway.
    Connects {
        /// Who.
        actor: String,
        /// What the connection is called.
        name: Option<String>,
    },
    /// `ACTOR accepts`: the gateway has asked for a connection and gets it.
    Accepts {
        /// Who.
        actor: String,
        /// What the connection is called.
        name: Option<String>,
        /// Where the gateway must have asked for it.
        hop: Option<String>,
    },
    /// `ACTOR refuses connection`: the gateway has asked for one and does not get it.
    RefusesConnection {
        /// Who.
        actor: String,
        /// Where the gateway must have asked for it.
        hop: Option<String>,
    },
    /// `ACTOR disconnects`: the connection breaks.
    Disconnects {
        /// Who.
        actor: String,
        /// The connection.
        name: Option<String>,
    },
    /// `ACTOR gets disconnected`: the gateway has closed the connection.
    GetsDisconnected {
        /// Who.
        actor: String,
        /// The connection.
        name: Option<String>,
    },
    /// `ACTOR sends again`: the same bytes as the last time.
    SendsAgain {
        /// Who.
        actor: String,
    },
    /// `ACTOR gets` and a block.
    Gets {
        /// Who.
        actor: String,
        /// What the message must show.
        block: String,
        /// Whether the body has escapes.
        escaped: bool,
        /// The connection, of MSRP.
        on: Option<String>,
    },
    /// `ACTOR gets again N`: the last request to it has come that many times more since.
    GetsAgain {
        /// Who.
        actor: String,
        /// How many times.
        times: usize,
    },
    /// `ACTOR takes`: the XMPP server has processed all it was sent.
    Takes,
    /// `silence`: nothing is there for anybody.
    Silence,
    /// `wait 31s`: time goes by.
    Wait(Duration),
    /// `wait at most 31s`: time goes by until somebody gets something.
    WaitAtMost(Duration),
    /// `link up` and `link down`.
    Link(bool),
    /// `restart`: the gateway is killed and starts anew.
    Restart,
    /// `drain`: the gateway is to end in order.
    Drain,
    /// `set KEY VALUE`.
    Set {
        /// The setting's name.
        key: String,
        /// Its value.
        value: String,
    },
}

/// Reads a scene. The error says the line and what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Step>, (usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (line, number) = (lines[at], at + 1);
        at += 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            return Err((number, "a block must follow `sends` or `gets`".to_owned()));
        }
        let (block, after) = block(&lines, at);
        let action = action(line, block.as_deref()).map_err(|e| (number, e))?;
        at = after;
        steps.push(Step { line: number, action });
    }
    Ok(steps)
}

/// The indented lines from `at` on without their indentation, and the line behind them. Empty lines belong to a block if it goes on.
fn block(lines: &[&str], at: usize) -> (Option<String>, usize) {
    let indented = |line: &str| line.starts_with("    ");
    let more = lines[at..].iter().take_while(|l| indented(l) || l.trim().is_empty()).count();
    let block = &lines[at..at + more];
    let Some(last) = block.iter().rposition(|l| indented(l)) else { return (None, at) };
    let text = block[..=last].iter().map(|l| l.get(4..).unwrap_or("")).collect::<Vec<_>>().join("\n");
    (Some(text), at + last + 1)
}

fn action(line: &str, block: Option<&str>) -> Result<Action, String> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    // A label: the frame's number in the RFC.
    let is_label = |w: &str| w.strip_prefix('F').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
    if words.first().is_some_and(|w| is_label(w)) {
        words.remove(0);
    }
    let no_block = |action| if block.is_none() { Ok(action) } else { Err("no block belongs here".to_owned()) };
    let need_block =
        || block.map(str::to_owned).ok_or_else(|| "a block must follow, indented by four spaces".to_owned());
    let name = |at: usize| words.get(at).map(|name| (*name).to_owned());
    let hop = block.map(str::to_owned);
    match words[..] {
        ["silence"] => no_block(Action::Silence),
        ["wait", "at", "most", d] => {
            no_block(Action::WaitAtMost(duration(d).ok_or("wait takes a time such as 500ms, 31s, 1h")?))
        }
        ["wait", d] => no_block(Action::Wait(duration(d).ok_or("wait takes a time such as 500ms, 31s, 1h")?)),
        ["restart"] => no_block(Action::Restart),
        ["drain"] => no_block(Action::Drain),
        ["link", "up"] => no_block(Action::Link(true)),
        ["link", "down"] => no_block(Action::Link(false)),
        ["set", key, ..] => {
            let value = words[2..].join(" ");
            no_block(Action::Set { key: key.to_owned(), value })
        }
        [_, "takes"] => no_block(Action::Takes),
        [actor, "sends", "again"] => no_block(Action::SendsAgain { actor: actor.to_owned() }),
        [actor, "gets", "again", times] => {
            let times = times.parse().map_err(|_| "gets again takes a number")?;
            no_block(Action::GetsAgain { actor: actor.to_owned(), times })
        }
        [actor, "connects", ..] | [actor, "disconnects", ..] if words.len() > 3 => {
            Err(format!("{actor} can name one connection"))
        }
        [actor, "connects", ..] => no_block(Action::Connects { actor: actor.to_owned(), name: name(2) }),
        [actor, "disconnects", ..] => no_block(Action::Disconnects { actor: actor.to_owned(), name: name(2) }),
        [actor, "gets", "disconnected", ..] => {
            no_block(Action::GetsDisconnected { actor: actor.to_owned(), name: name(3) })
        }
        [actor, "accepts", ..] => Ok(Action::Accepts { actor: actor.to_owned(), name: name(2), hop }),
        [actor, "refuses", "connection"] => Ok(Action::RefusesConnection { actor: actor.to_owned(), hop }),
        [actor, "sends", "bytes"] => Ok(Action::SendsBytes { actor: actor.to_owned(), block: need_block()?, on: None }),
        [actor, "sends", "bytes", "on", name] => {
            Ok(Action::SendsBytes { actor: actor.to_owned(), block: need_block()?, on: Some(name.to_owned()) })
        }
        [actor, verb @ ("sends" | "gets"), ..] => {
            let (escaped, on) = match words[2..] {
                [] => (false, None),
                ["escaped"] => (true, None),
                ["on", name] => (false, Some(name.to_owned())),
                ["escaped", "on", name] => (true, Some(name.to_owned())),
                _ => return Err(format!("not understood: {line}")),
            };
            let (actor, block) = (actor.to_owned(), need_block()?);
            Ok(if verb == "sends" {
                Action::Sends { actor, block, escaped, on }
            } else {
                Action::Gets { actor, block, escaped, on }
            })
        }
        _ => Err(format!("not understood: {line}")),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let n: u64 = text[..unit].parse().ok()?;
    match &text[unit..] {
        "ms" => Some(Duration::from_millis(n)),
        "s" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_secs(n * 60)),
        "h" => Some(Duration::from_secs(n * 3600)),
        "d" => Some(Duration::from_secs(n * 24 * 3600)),
        _ => None,
    }
}

/// A block of SIP: the lines of its head, and its body with CRLF between lines. Nothing where the body is not shown.
pub(super) fn sip_block(block: &str, escaped: bool) -> Result<(Vec<String>, Option<Vec<u8>>), String> {
    let (head, body) = match block.split_once("\n\n") {
        Some((head, body)) => (head, Some(body)),
        None => (block, None),
    };
    let body = body.map(|b| b.split('\n').collect::<Vec<_>>().join("\r\n"));
    let body = match (body, escaped) {
        (Some(body), true) => Some(unescape(&body)?),
        (body, _) => body.map(String::into_bytes),
    };
    Ok((head.lines().map(str::to_owned).collect(), body))
}

/// A block of MSRP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The start line and the headers.
    pub head: Vec<String>,
    /// The body, with CRLF between lines.
    pub body: Option<Vec<u8>>,
    /// The end-line.
    pub end: String,
}

/// Reads a block of MSRP. The line break before the end-line is no part of the body: an empty body is two empty lines. What has no body
/// needs no end-line.
pub(super) fn frame_block(block: &str, escaped: bool) -> Result<Frame, String> {
    let (rest, end) = match block.rsplit_once('\n') {
        Some((rest, end)) if end.starts_with("-------") => (rest, end.to_owned()),
        _ if block.contains("\n\n") => return Err("a frame with a body ends with its end-line".to_owned()),
        _ => (block, format!("-------{}$", block.split_whitespace().nth(1).unwrap_or_default())),
    };
    let (head, body) = sip_block(rest, escaped)?;
    if body.is_none() && rest.ends_with('\n') {
        return Err(
            "between a body and the end-line there is a line break: an empty body is two empty lines".to_owned()
        );
    }
    Ok(Frame { head, body, end })
}

/// The bytes that a block with escapes stands for, with CRLF between its lines.
pub(super) fn raw_block(block: &str) -> Result<Vec<u8>, String> {
    unescape(&block.split('\n').collect::<Vec<_>>().join("\r\n"))
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next() {
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b'\\') => out.push(b'\\'),
            Some(b'x') => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err("\\x takes two digits".to_owned()) };
                out.push((high * 16 + low) as u8);
            }
            _ => return Err("an escape is \\r, \\n, \\\\ or \\xHH".to_owned()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_blocks() {
        let steps = read(
            "# a comment\nset rich false\nF1 romeo sends\n    MESSAGE sip:x SIP/2.0\n\n      two\n    lines\n\nwait 31s\n",
        )
        .unwrap();
        let block = "MESSAGE sip:x SIP/2.0\n\n  two\nlines".to_owned();
        assert_eq!(sip_block(&block, false).unwrap().1.unwrap(), b"  two\r\nlines");
        assert_eq!(
            steps,
            [
                Step { line: 2, action: Action::Set { key: "rich".into(), value: "false".into() } },
                Step { line: 3, action: Action::Sends { actor: "romeo".into(), block, escaped: false, on: None } },
                Step { line: 9, action: Action::Wait(Duration::from_secs(31)) },
            ]
        );
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(read("silence\nwait long").unwrap_err().0, 2);
        assert_eq!(read("romeo sends\nsilence").unwrap_err().0, 1);
        assert_eq!(read("silence\n    x").unwrap_err().0, 1);
        assert_eq!(read("    x").unwrap_err().0, 1);
    }

    #[test]
    fn connections_and_frames() {
        let of = |line: &str, block: Option<&str>| action(line, block);
        let romeo = || "romeo".to_owned();
        assert_eq!(of("romeo connects", None), Ok(Action::Connects { actor: romeo(), name: None }));
        assert_eq!(
            of("romeo accepts two", None),
            Ok(Action::Accepts { actor: romeo(), name: Some("two".into()), hop: None })
        );
        assert_eq!(
            of("romeo gets disconnected two", None),
            Ok(Action::GetsDisconnected { actor: romeo(), name: Some("two".into()) })
        );
        let sends = Action::Sends { actor: romeo(), block: "x".into(), escaped: true, on: Some("two".into()) };
        assert_eq!(of("F3 romeo sends escaped on two", Some("x")), Ok(sends));
        for wrong in ["romeo sends to two", "romeo connects one two", "romeo refuses", "romeo sends on two"] {
            assert!(of(wrong, None).is_err(), "{wrong}");
        }
        let frame = frame_block("MSRP abcd SEND\nTo-Path: x\n\none\n\ntwo\n-------abcd$", false).unwrap();
        assert_eq!(
            (frame.head.len(), frame.body.as_deref(), frame.end.as_str()),
            (2, Some(&b"one\r\n\r\ntwo"[..]), "-------abcd$")
        );
        assert_eq!(frame_block("MSRP abcd SEND\nTo-Path: x\n-------abcd$", false).unwrap().body, None);
        assert_eq!(frame_block("MSRP abcd SEND\nTo-Path: x\n\n\n-------abcd$", false).unwrap().body, Some(vec![]));
        assert!(frame_block("MSRP abcd SEND\nTo-Path: x\n\n-------abcd$", false).is_err());
        assert!(frame_block("MSRP abcd SEND\nTo-Path: x\n\ntext", false).is_err());
        assert_eq!(frame_block("MSRP $tid 200 OK", false).unwrap().end, "-------$tid$");
        assert_eq!(raw_block("a\\x00\nb\\r\\n").unwrap(), b"a\0\r\nb\r\n");
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a\\r\\n\\xe9\\\\").unwrap(), b"a\r\n\xe9\\");
        assert!(unescape("\\q").is_err());
    }
}
