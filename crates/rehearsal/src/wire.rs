//! SIP messages as the people of a rehearsal see them: a start line, headers, a body. This is on purpose not the parser of the
//! gateway, so that a fault there is not made twice. And the stanzas that a gateway writes.

mod frame;

pub use frame::MsrpText;

use std::fmt;
use xml::Element;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// A SIP message, read leniently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipText {
    /// Request-Line or Status-Line.
    pub start: String,
    /// Names in their long form as they came, values with folding undone, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl SipText {
    /// Reads a message. Nothing where there is no start line or a header without a colon.
    pub fn parse(bytes: &[u8]) -> Option<SipText> {
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..split]);
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if let (true, Some((_, value))) = (line.starts_with([' ', '\t']), headers.last_mut()) {
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((long_name(name.trim()).to_owned(), value.trim().to_owned()));
        }
        let valid = start.starts_with("SIP/2.0 ") || start.ends_with(" SIP/2.0");
        valid.then(|| SipText { start, headers, body: bytes[split + 4..].to_vec() })
    }

    /// The method and the Request-URI of a request.
    pub fn request(&self) -> Option<(&str, &str)> {
        let mut words = self.start.strip_suffix(" SIP/2.0")?.splitn(2, ' ');
        Some((words.next()?, words.next()?))
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let wanted = long_name(name);
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.as_str())
    }

    /// All headers of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = long_name(name);
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.as_str())
    }

    /// Puts a header behind the others.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        parameter(self.header("Via")?, "branch")
    }

    /// The user part of the Request-URI of a request, or of the From of a response: whoever gets it.
    pub fn addressee(&self) -> Option<&str> {
        match self.request() {
            Some((_, uri)) => user_of(uri),
            None => user_of(self.header("From")?),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The message as bytes; the Content-Length is always the right one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("Content-Length") {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(&self.body);
        out
    }

    /// The response to this request that RFC 3261 §8.2.6 prescribes, with `tag` in To if it had none.
    pub fn response(&self, code: u16, reason: &str, tag: &str) -> SipText {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            match name.to_ascii_lowercase().as_str() {
                "via" | "from" | "call-id" | "cseq" => headers.push((name.clone(), value.clone())),
                "to" if code > 100 && parameter(value, "tag").is_none() => {
                    headers.push((name.clone(), format!("{value};tag={tag}")));
                }
                "to" => headers.push((name.clone(), value.clone())),
                _ => {}
            }
        }
        SipText { start: format!("SIP/2.0 {code} {reason}"), headers, body: Vec::new() }
    }
}

impl fmt::Display for SipText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.start)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        if !self.body.is_empty() {
            writeln!(f, "\n{}", self.text())?;
        }
        Ok(())
    }
}

/// The value of a parameter of a header value, outside of angle brackets and quotes.
pub fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let outside = value.rfind('>').map_or(value, |i| &value[i + 1..]);
    outside.split(';').skip(1).find_map(|p| {
        let (n, v) = p.split_once('=').unwrap_or((p, ""));
        n.trim().eq_ignore_ascii_case(name).then(|| v.split(',').next().unwrap_or(v).trim())
    })
}

/// The URI of a From or To value.
pub fn uri_of(value: &str) -> &str {
    match (value.find('<'), value.find('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// The user part of a URI or of a From or To value.
pub fn user_of(value: &str) -> Option<&str> {
    let (_, rest) = uri_of(value).split_once(':')?;
    rest.split_once('@').map(|(user, _)| user)
}

/// The long form of a header name (RFC 3261 §7.3.3).
pub fn long_name(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "l" => "Content-Length",
        "c" => "Content-Type",
        "e" => "Content-Encoding",
        "m" => "Contact",
        "s" => "Subject",
        "k" => "Supported",
        _ => name,
    }
}

/// The one stanza that a gateway has written for its component stream.
///
/// # Panics
/// It is none, or not one alone: that is a fault of the gateway's.
pub fn read_stanza(bytes: &[u8]) -> Stanza {
    let wrapped = [b"<s xmlns='jabber:component:accept'>", bytes, b"</s>"].concat();
    let limits = xml::Limits { stanza_bytes: 1 << 22, elements: 1 << 16, ..xml::Limits::default() };
    let wrapped = Element::parse(&wrapped, &limits).expect("every stanza is well-formed");
    assert_eq!(wrapped.children.len(), 1, "one stanza");
    let e = wrapped.elements().next().cloned().expect("a stanza");
    Stanza::from_element(e, ns::COMPONENT_ACCEPT).expect("a stanza with addresses that are some")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "MESSAGE sip:juliet@example.com SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\n\
        f: <sip:romeo@example.net;gr=x>;tag=1\r\nTo: <sip:juliet@example.com>\r\nSubject: a\r\n b\r\n\
        i: c\r\nCSeq: 1 MESSAGE\r\nl: 2\r\n\r\nhi";

    #[test]
    fn a_message_is_read() {
        let m = SipText::parse(MESSAGE.as_bytes()).unwrap();
        assert_eq!(m.request(), Some(("MESSAGE", "sip:juliet@example.com")));
        assert_eq!((m.addressee(), m.branch(), m.header("s")), (Some("juliet"), Some("z9hG4bK1"), Some("a b")));
        assert_eq!(parameter(m.header("From").unwrap(), "tag"), Some("1"));
        assert_eq!(parameter(m.header("From").unwrap(), "gr"), None, "that one belongs to the URI");
        assert_eq!(m.text(), "hi");
        assert!(m.to_bytes().ends_with(b"Content-Length: 2\r\n\r\nhi"));
        assert_eq!(SipText::parse(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_response_copies_what_it_must() {
        let r = SipText::parse(MESSAGE.as_bytes()).unwrap().response(200, "OK", "t");
        assert_eq!(r.status(), Some(200));
        assert_eq!(r.header("To"), Some("<sip:juliet@example.com>;tag=t"));
        assert_eq!((r.header("Subject"), r.addressee()), (None, Some("romeo")));
    }
}
