//! Whether a SIP message or an MSRP frame shows what a scene wants to see.

use super::pattern::{Captures, fits, squeeze};
use super::player::Check;
use super::script::Frame;
use super::stanza;
use crate::wire::{MsrpText, SipText, long_name};

/// Whether a SIP message shows what a block shows.
pub(super) fn shows(head: &[String], body: Option<&[u8]>, actual: &SipText, captures: &mut Captures) -> Check {
    if let Some(fault) = actual.header("X-Rehearsal") {
        return Err(format!("the message {fault}"));
    }
    let (start, headers) = head.split_first().ok_or("an empty block")?;
    start_shows(start, &actual.start, captures)?;
    headers_show(headers, &actual.headers, captures)?;
    match body {
        None => Ok(()),
        Some(wanted) => body_shows(wanted, actual.header("Content-Type"), &actual.body, captures),
    }
}

/// Whether an MSRP frame shows what a block shows. What has no body in the block has none.
pub(super) fn frame_shows(wanted: &Frame, actual: &MsrpText, captures: &mut Captures) -> Check {
    if let Some(fault) = actual.fault() {
        return Err(format!("the frame {fault}"));
    }
    let (start, headers) = wanted.head.split_first().ok_or("an empty block")?;
    start_shows(start, &actual.start, captures)?;
    headers_show(headers, &actual.headers, captures)?;
    match (&wanted.body, &actual.body) {
        (None, None) => {}
        (Some(wanted), Some(body)) => body_shows(wanted, actual.header("Content-Type"), body, captures)?,
        (None, Some(_)) => return Err(format!("it has a body: {:?}", actual.text())),
        (Some(_), None) => return Err("it has no body".to_owned()),
    }
    let end = format!("-------{}{}", actual.id(), actual.flag);
    if fits(&wanted.end, &end, false, captures) {
        Ok(())
    } else {
        Err(format!("it ends with {end}, not {}", wanted.end))
    }
}

fn start_shows(wanted: &str, actual: &str, captures: &mut Captures) -> Check {
    if fits(&squeeze(wanted), &squeeze(actual), true, captures) {
        Ok(())
    } else {
        Err(format!("it begins with {actual}, not {wanted}"))
    }
}

fn headers_show(wanted: &[String], actual: &[(String, String)], captures: &mut Captures) -> Check {
    let mut used = vec![false; actual.len()];
    for line in wanted {
        let (name, wanted) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
        let (name, wanted) = (name.trim(), squeeze(wanted));
        if let Some(name) = name.strip_prefix('!') {
            match actual.iter().find(|(n, _)| n.eq_ignore_ascii_case(long_name(name))) {
                Some((_, value)) => return Err(format!("{name}: {value} is there")),
                None => continue,
            }
        }
        let mut found = false;
        for (i, (n, value)) in actual.iter().enumerate() {
            let same = n.eq_ignore_ascii_case(name) && !used[i];
            if same && fits(&wanted, &squeeze(value), true, captures) {
                (used[i], found) = (true, true);
                break;
            }
        }
        if !found {
            let same = actual.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
            let there: Vec<&str> = same.map(|(_, value)| value.as_str()).collect();
            return Err(format!("{name} is {there:?}, not {wanted:?}"));
        }
    }
    Ok(())
}

fn body_shows(wanted: &[u8], content_type: Option<&str>, actual: &[u8], captures: &mut Captures) -> Check {
    let text = String::from_utf8_lossy(actual);
    match wanted {
        b"*" => Ok(()),
        _ if wanted.starts_with(b"<") && content_type.is_some_and(|t| t.ends_with("+xml")) => {
            let document = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                let text = text.trim_start();
                let root =
                    if text.starts_with("<?xml") { text.split_once("?>").map_or("", |(_, root)| root) } else { text };
                stanza::read_template(root)
            };
            stanza::shows(&document(wanted)?, &document(actual)?, captures)
                .map_err(|why| format!("{why}; the body is {text}"))
        }
        _ if content_type == Some(SDP) || content_type == Some(FRAGMENT) => {
            let wanted = String::from_utf8_lossy(wanted).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            description_shows(&wanted, &lines, captures).map_err(|why| format!("{why}\nthe description is\n{text}"))
        }
        _ => {
            let same = match std::str::from_utf8(wanted) {
                Ok(wanted) => fits(wanted, &text, false, captures),
                Err(_) => wanted == actual,
            };
            if same { Ok(()) } else { Err(format!("the body is {text:?}, not {:?}", String::from_utf8_lossy(wanted))) }
        }
    }
}

/// The type of session descriptions.
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Whether a session description has the lines that are wanted in their order, with others between them, and none of those that begin
/// with `!` in what is wanted.
fn description_shows(wanted: &str, lines: &[&str], captures: &mut Captures) -> Check {
    let (absent, present): (Vec<&str>, Vec<&str>) = wanted.lines().partition(|line| line.starts_with('!'));
    let mut rest = lines;
    for wanted in present {
        let at = rest.iter().position(|line| fits(wanted, line, true, captures));
        let at = at.ok_or_else(|| format!("there is no {wanted} where it should be"))?;
        rest = &rest[at + 1..];
    }
    for absent in absent {
        if let Some(line) = lines.iter().find(|line| fits(&absent[1..], line, true, &mut captures.clone())) {
            return Err(format!("there is {line}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions() {
        let there =
            ["v=0", "m=message 2855 TCP/MSRP *", "a=accept-types:message/cpim text/plain", "a=path:msrp://x;tcp"];
        let check = |wanted: &str| {
            let mut captures = Captures::new();
            description_shows(wanted, &there, &mut captures).map(|()| captures)
        };
        assert_eq!(check("v=0\na=path:$path").unwrap()["path"], "msrp://x;tcp");
        assert!(check("m=message 2855 TCP/MSRP *\na=accept-types:*text/plain*\n!a=chatroom*").is_ok());
        assert!(check("a=path:*\nv=0").is_err(), "in this order");
        assert!(check("a=max-size:*").is_err());
        assert!(check("!a=path:*").is_err());
    }
}
