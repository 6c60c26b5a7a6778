//! A stream between servers (RFC 6120) over direct TLS, proved by certificates (XEP-0178), from either side.

use crate::bytes::{attribute, find};
use crate::line::Line;
use std::io;

const OPEN: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'";
const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:features:bidi'/>";

/// What is left of what came behind the last thing that was waited for.
pub type Rest = Vec<u8>;

/// Takes on a server that has connected and shown a certificate; with `bidi` the stream is for both directions, if it likes. Returns the domain that it came for.
///
/// # Errors
/// It says something else, or goes.
pub fn accept(line: &Line, bidi: bool) -> io::Result<(String, Rest)> {
    let mut got = Vec::new();
    let domain = opened(line, &mut got)?;
    answer(line, &domain, &format!("{EXTERNAL}{}", if bidi { BIDI } else { "" }))?;
    // Both directions on this stream, if the other side wants it so (XEP-0288).
    let mut tag = until(line, &mut got, b"<", b">")?;
    if tag.starts_with(b"<bidi") {
        tag = until(line, &mut got, b"<auth", b">")?;
    }
    if !tag.ends_with(b"/>") {
        until(line, &mut got, b"</auth", b">")?;
    }
    line.write(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")?;
    let domain = opened(line, &mut got)?;
    answer(line, &domain, "")?;
    Ok((domain, got))
}

/// Begins a stream from one domain to another.
///
/// # Errors
/// The other side does not want it.
pub fn connect(line: &Line, from: &str, to: &str) -> io::Result<Rest> {
    let mut got = Vec::new();
    line.write(format!("{OPEN} from='{from}' to='{to}'>").as_bytes())?;
    until(line, &mut got, b"</stream:features", b">")?;
    line.write(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")?;
    let success = until(line, &mut got, b"<", b">")?;
    if !success.starts_with(b"<success") {
        return Err(io::Error::other(String::from_utf8_lossy(&success).into_owned()));
    }
    line.write(format!("{OPEN} from='{from}' to='{to}'>").as_bytes())?;
    until(line, &mut got, b"<stream:features", b">")?;
    Ok(got)
}

/// Reads the header of a stream: the domain that it is for.
fn opened(line: &Line, got: &mut Vec<u8>) -> io::Result<String> {
    let header = until(line, got, b"<stream:stream", b">")?;
    Ok(String::from_utf8_lossy(attribute(&header, "to").unwrap_or_default()).into_owned())
}

fn answer(line: &Line, domain: &str, features: &str) -> io::Result<()> {
    let features = format!("<stream:features>{features}</stream:features>");
    line.write(format!("{OPEN} id='load' from='{domain}'>{features}").as_bytes())
}

/// Reads until there is a tag that begins with `start` and ends with `end`; returns it, and takes all up to it away.
fn until(line: &Line, got: &mut Vec<u8>, start: &[u8], end: &[u8]) -> io::Result<Vec<u8>> {
    loop {
        let from = find(got, start).filter(|from| got[*from..].len() > 1 && got.get(*from + 1) != Some(&b'?'));
        if let Some(from) = from
            && let Some(to) = find(&got[from..], end)
        {
            let tag = got[from..from + to + end.len()].to_vec();
            got.drain(..from + to + end.len());
            return Ok(tag);
        }
        if line.read(got)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
