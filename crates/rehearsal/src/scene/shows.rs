//! Whether a SIP message shows what a scene wants to see.

use super::pattern::{Captures, fits, squeeze};
use super::player::Check;
use super::stanza;
use crate::wire::SipText;

/// Whether a SIP message shows what a block shows.
pub(super) fn shows(head: &[String], body: Option<&[u8]>, actual: &SipText, captures: &mut Captures) -> Check {
    if let Some(fault) = actual.header("X-Rehearsal") {
        return Err(format!("the message {fault}"));
    }
    let (start, headers) = head.split_first().ok_or("an empty block")?;
    if !fits(&squeeze(start), &squeeze(&actual.start), true, captures) {
        return Err(format!("it begins with {}, not {start}", actual.start));
    }
    let mut used = vec![false; actual.headers.len()];
    for line in headers {
        let (name, wanted) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
        let (name, wanted) = (name.trim(), squeeze(wanted));
        if let Some(name) = name.strip_prefix('!') {
            match actual.header(name) {
                Some(value) => return Err(format!("{name}: {value} is there")),
                None => continue,
            }
        }
        let mut found = false;
        for (i, (n, value)) in actual.headers.iter().enumerate() {
            let same = n.eq_ignore_ascii_case(name) && !used[i];
            if same && fits(&wanted, &squeeze(value), true, captures) {
                (used[i], found) = (true, true);
                break;
            }
        }
        if !found {
            let there: Vec<&str> = actual.all(name).collect();
            return Err(format!("{name} is {there:?}, not {wanted:?}"));
        }
    }
    match body {
        None | Some(b"*") => Ok(()),
        Some(wanted) if is_xml(wanted, actual) => {
            let document = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                let text = text.trim_start();
                let root =
                    if text.starts_with("<?xml") { text.split_once("?>").map_or("", |(_, root)| root) } else { text };
                stanza::read_template(root)
            };
            stanza::shows(&document(wanted)?, &document(&actual.body)?, captures)
                .map_err(|why| format!("{why}; the body is {}", actual.text()))
        }
        Some(wanted) => {
            let same = match std::str::from_utf8(wanted) {
                Ok(text) => fits(text, &actual.text(), false, captures),
                Err(_) => wanted == actual.body,
            };
            if same {
                Ok(())
            } else {
                Err(format!("the body is {:?}, not {:?}", actual.text(), String::from_utf8_lossy(wanted)))
            }
        }
    }
}

/// Whether a body is compared as XML: it shows what is wanted, and may show more.
fn is_xml(wanted: &[u8], actual: &SipText) -> bool {
    wanted.starts_with(b"<") && actual.header("Content-Type").is_some_and(|t| t.ends_with("+xml"))
}
