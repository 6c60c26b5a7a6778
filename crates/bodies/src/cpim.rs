//! Message/CPIM (RFC 3862): headers of its own strict syntax around one MIME entity.

mod escape;
mod header;

pub use header::{Address, Header, Namespace};

use crate::{Error, Limits, Part, Timestamp};
use base::Str;
use memchr::memmem;
use std::fmt::Write as _;

/// The most headers one message may have. Long lists of recipients are legal; whom to deliver to is not their say.
pub const MAX_HEADERS: usize = 2_048;

/// The most bytes the headers of one message may have.
pub const MAX_HEADER_BYTES: usize = 131_072;

/// The most namespace declarations in one message.
pub const MAX_NAMESPACES: usize = 32;

/// A message. The headers print as they were read: RFC 3862 §2.2 has them kept octet by octet and in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    from: Address,
    headers: Vec<Header>,
    /// What the message wraps.
    pub content: Part,
}

impl Message {
    /// A message with its From header.
    pub fn new(from: Address, content: Part) -> Message {
        let header = Header::new(Namespace::Core, "", "From", None, from.to_string());
        Message { from, headers: vec![header], content }
    }

    /// Adds a To header (§4.2).
    #[must_use]
    pub fn with_to(self, to: &Address) -> Message {
        self.with_core("To", None, to.to_string())
    }

    /// Adds the DateTime header (§4.4), in UTC.
    #[must_use]
    pub fn with_date_time(self, at: Timestamp) -> Message {
        self.with_core("DateTime", None, at.to_string())
    }

    /// Adds a Subject header (§4.5). What is no language tag is left out.
    #[must_use]
    pub fn with_subject(self, lang: Option<&str>, subject: &str) -> Message {
        self.with_core("Subject", lang, escape::escape(subject))
    }

    /// Declares a namespace for the headers added after it (§4.6). What is no URI, or longer than 256 bytes, is left out.
    #[must_use]
    pub fn with_namespace(self, prefix: &str, uri: &str) -> Message {
        if header::is_uri(uri) && uri.len() <= header::MAX_NS {
            let value =
                if prefix.is_empty() { format!("<{uri}>") } else { format!("{} <{uri}>", header::clean(prefix)) };
            return self.with_core("NS", None, value);
        }
        self
    }

    /// Adds any header; its value is plain text, escaped here. The prefix is declared before, or empty.
    #[must_use]
    pub fn with_header(mut self, prefix: &str, name: &str, value: &str) -> Message {
        let mut scope = Scope::default();
        self.headers.iter().for_each(|h| drop(scope.declare(h)));
        let prefix = if prefix.is_empty() { Str::default() } else { header::clean(prefix) };
        self.headers.push(Header::new(scope.resolve(&prefix), &prefix, name, None, escape::escape(value)));
        self
    }

    fn with_core(mut self, name: &str, lang: Option<&str>, value: String) -> Message {
        self.headers.push(Header::new(Namespace::Core, "", name, lang, value));
        self
    }

    /// Reads a message.
    ///
    /// Stricter than RFC 3862 where identity hangs on it: there is exactly one From, with an absolute URI. A missing To
    /// is taken, as the message came to somebody. Unknown headers are kept and ignored, those of an undeclared prefix too.
    ///
    /// # Errors
    /// Malformed: folding, a bare CR or LF or another control character, bad UTF-8, no single space behind the colon, no
    /// or a second or a bad From, a bad To or NS, no content, no Content-Type, a bad transfer encoding. Unsupported: a
    /// Require header names what we do not know (§4.7). TooBig: a bound of this module or of `limits`.
    pub fn parse(data: &[u8], limits: &Limits) -> Result<Message, Error> {
        if data.len() > limits.bytes {
            return Err(Error::TooBig { what: "bytes in a CPIM message", limit: limits.bytes });
        }
        let end = memmem::find(data, b"\r\n\r\n").ok_or(Error::Malformed("CPIM without content"))?;
        let (head, content) = (&data[..end], &data[end + 4..]);
        if head.len() > MAX_HEADER_BYTES {
            return Err(Error::TooBig { what: "bytes in CPIM headers", limit: MAX_HEADER_BYTES });
        }
        let head = std::str::from_utf8(head).map_err(|_| Error::Malformed("CPIM header is not UTF-8"))?;
        let mut scope = Scope::default();
        let mut headers = Vec::new();
        let mut from = None;
        for line in head.split("\r\n") {
            if headers.len() == MAX_HEADERS {
                return Err(Error::TooBig { what: "CPIM headers", limit: MAX_HEADERS });
            }
            let header = Header::parse(line, |prefix| scope.resolve(prefix))?;
            if header.ns() == &Namespace::Core {
                match header.name() {
                    "From" => {
                        let address = Address::parse(header.raw()).ok_or(Error::Malformed("bad CPIM From"))?;
                        if from.replace(address).is_some() {
                            return Err(Error::Malformed("CPIM with a second From"));
                        }
                    }
                    "To" => drop(Address::parse(header.raw()).ok_or(Error::Malformed("bad CPIM To"))?),
                    "NS" => scope.declare(&header)?,
                    "Require" => require(header.raw(), &scope)?,
                    _ => {}
                }
            }
            headers.push(header);
        }
        let from = from.ok_or(Error::Malformed("CPIM without From"))?;
        Ok(Message { from, headers, content: Part::parse(content, limits)? })
    }

    /// Writes the message. The boundary serves where the content is a multipart; only there can the answer be None, for
    /// the reasons of [`crate::multipart::write`].
    pub fn to_bytes(&self, boundary: &str) -> Option<Vec<u8>> {
        let mut head = String::with_capacity(512);
        for header in &self.headers {
            // Writing to a string cannot fail.
            let _ = write!(head, "{header}");
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut out = head.into_bytes();
        self.content.write(boundary, Limits::default().depth, &mut out)?;
        Some(out)
    }

    /// Who says to have sent it (§4.1). Only a claim: whoever handed the message over may be somebody else.
    pub fn from(&self) -> &Address {
        &self.from
    }

    /// To whom it says to be sent (§4.2).
    pub fn to(&self) -> impl Iterator<Item = Address> {
        self.all(Namespace::Core, "To").filter_map(|h| Address::parse(h.raw()))
    }

    /// Who says to have a copy (§4.3).
    pub fn cc(&self) -> impl Iterator<Item = Address> {
        self.all(Namespace::Core, "cc").filter_map(|h| Address::parse(h.raw()))
    }

    /// When it was sent (§4.4); None also for what is no moment.
    pub fn date_time(&self) -> Option<Timestamp> {
        self.all(Namespace::Core, "DateTime").next().and_then(|h| Timestamp::parse(h.raw()))
    }

    /// The subjects with their languages (§4.5), unescaped and without control characters.
    pub fn subjects(&self) -> impl Iterator<Item = (Option<&str>, String)> {
        self.all(Namespace::Core, "Subject").map(|h| (h.lang(), h.text()))
    }

    /// The value of the first header of that name, unescaped and without control characters.
    pub fn header(&self, ns: Namespace, name: &str) -> Option<String> {
        self.all(ns, name).next().map(Header::text)
    }

    /// All headers, in their order.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    fn all(&self, ns: Namespace, name: &str) -> impl Iterator<Item = &Header> {
        self.headers.iter().filter(move |h| h.ns() == &ns && h.name() == name)
    }
}

/// RFC 3862 §4.7: each name in a Require header is a header or a feature that we must know, or else refuse the message.
fn require(value: &str, scope: &Scope) -> Result<(), Error> {
    for name in value.split(',').map(str::trim) {
        let (prefix, local) = name.split_once('.').unwrap_or(("", name));
        let known: &[&str] = match scope.resolve(prefix) {
            Namespace::Core => &["From", "To", "cc", "DateTime", "Subject", "NS", "Require"],
            // Not the route headers of RFC 5438 §6.5: we send no notification by way of others.
            Namespace::Imdn => &["Message-ID", "Disposition-Notification", "Original-To"],
            Namespace::Other(_) | Namespace::Unbound => &[],
        };
        if !known.contains(&local) {
            return Err(Error::unsupported("required CPIM feature", name));
        }
    }
    Ok(())
}

/// The namespaces declared so far (RFC 3862 §3.4): a declaration holds from the next header on.
#[derive(Default)]
struct Scope(Vec<(Str, Namespace)>);

impl Scope {
    fn resolve(&self, prefix: &str) -> Namespace {
        match self.0.iter().find(|(p, _)| p == prefix) {
            Some((_, ns)) => ns.clone(),
            None if prefix.is_empty() => Namespace::Core,
            None => Namespace::Unbound,
        }
    }

    fn declare(&mut self, header: &Header) -> Result<(), Error> {
        if header.ns() != &Namespace::Core || header.name() != "NS" {
            return Ok(());
        }
        let (prefix, uri) = header::namespace(header.raw()).ok_or(Error::Malformed("bad CPIM NS"))?;
        if uri.len() > header::MAX_NS {
            return Err(Error::TooBig { what: "bytes in a CPIM namespace", limit: header::MAX_NS });
        }
        let full = self.0.len() == MAX_NAMESPACES;
        match self.0.iter_mut().find(|(p, _)| p == prefix) {
            Some(there) => there.1 = Namespace::of(uri),
            None if full => {
                return Err(Error::TooBig { what: "CPIM namespaces", limit: MAX_NAMESPACES });
            }
            None => self.0.push((prefix.into(), Namespace::of(uri))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
