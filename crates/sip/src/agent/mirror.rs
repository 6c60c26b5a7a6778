//! What the answer to a SUBSCRIBE repeats of it, beyond what all answers repeat.
//!
//! A 2xx to a SUBSCRIBE says Expires, Contact and, where the dialog begins, Record-Route (RFC 3261 §12.1.1, RFC 6665 §8.1), so no two are the same, and
//! ten thousand refreshes in a second would have half a kilobyte each kept for timer J. But a refresh is sent to our Contact, and a
//! first SUBSCRIBE to the same user; the seconds are mostly those that were asked for; the route is the request's own. So these stand in the
//! form of the answer as marks, which the retransmission fills in again.

use crate::header::Name;
use crate::message::Request;
use crate::method::Method;
use base::Str;
use memchr::memmem;
use std::borrow::Cow;

/// Marks are control characters, which no header that we write has.
const USER: u8 = 1;
const EXPIRES: u8 = 2;
const ROUTES: u8 = 3;

/// The parts of a SUBSCRIBE that its answer may repeat.
#[derive(Debug)]
pub(super) struct Mirror {
    /// `Contact: <sip:` and the user of the Request-URI.
    contact: Vec<u8>,
    expires: Str,
    /// The lines of Record-Route, as [`crate::subscription`] writes them.
    routes: Vec<u8>,
}

impl Mirror {
    /// Those of a request; `None` if it is no SUBSCRIBE to a SIP user.
    pub(super) fn of(request: &Request) -> Option<Box<Mirror>> {
        if request.method != Method::Subscribe {
            return None;
        }
        let user = request.uri.sip()?.user.as_ref()?;
        let mut routes = Vec::new();
        for route in request.headers.elements(Name::RecordRoute) {
            routes.extend_from_slice(b"Record-Route: ");
            routes.extend_from_slice(route.ok()?.as_bytes());
            routes.extend_from_slice(b"\r\n");
        }
        let contact = [b"Contact: <sip:", user.as_bytes(), b"@"].concat();
        let expires = Str::new(request.headers.get(Name::Expires).unwrap_or_default());
        Some(Box::new(Mirror { contact, expires, routes }))
    }

    /// The bytes that it holds.
    pub(super) fn weight(&self) -> usize {
        self.contact.len() + self.expires.len() + self.routes.len()
    }

    /// The headers of an answer with marks in them. `None` if it says something of its own that only this request would ever be told.
    pub(super) fn pack(&self, headers: &[u8]) -> Option<Vec<u8>> {
        let mut packed = Vec::with_capacity(headers.len());
        let mut rest = headers;
        while let Some(end) = memmem::find(rest, b"\r\n") {
            if !self.routes.is_empty()
                && let Some(behind) = rest.strip_prefix(&self.routes[..])
            {
                packed.push(ROUTES);
                rest = behind;
                continue;
            }
            let (line, behind) = rest.split_at(end + 2);
            let text = &line[..end];
            if let Some(host) = text.strip_prefix(&self.contact[..]) {
                packed.extend_from_slice(b"Contact: <sip:");
                packed.push(USER);
                packed.push(b'@');
                packed.extend_from_slice(host);
                packed.extend_from_slice(b"\r\n");
                // A GRUU names a device, and there may be any number of these.
                if memmem::find(host, b";gr").is_some() {
                    return None;
                }
            } else if text.starts_with(b"Contact:") || text.starts_with(b"Record-Route:") {
                return None;
            } else if text.strip_prefix(b"Expires: ").is_some_and(|value| value == self.expires.as_bytes()) {
                packed.extend_from_slice(b"Expires: ");
                packed.push(EXPIRES);
                packed.extend_from_slice(b"\r\n");
            } else {
                packed.extend_from_slice(line);
            }
            rest = behind;
        }
        Some(packed)
    }

    /// The headers of an answer again, from their form.
    pub(super) fn unpack<'a>(&self, packed: &'a [u8]) -> Cow<'a, [u8]> {
        if !has_marks(packed) {
            return Cow::Borrowed(packed);
        }
        let mut headers = Vec::with_capacity(packed.len() + self.weight());
        for byte in packed {
            match *byte {
                USER => headers.extend_from_slice(&self.contact[b"Contact: <sip:".len()..self.contact.len() - 1]),
                EXPIRES => headers.extend_from_slice(self.expires.as_bytes()),
                ROUTES => headers.extend_from_slice(&self.routes),
                other => headers.push(other),
            }
        }
        Cow::Owned(headers)
    }
}

/// Whether headers hold what means a mark: a form of theirs would be taken for another.
pub(super) fn has_marks(headers: &[u8]) -> bool {
    memchr::memchr3(USER, EXPIRES, ROUTES, headers).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uri::Uri;

    fn subscribe(uri: &str, expires: u32, routes: &[&str]) -> Box<Mirror> {
        let mut request = Request::new(Method::Subscribe, Uri::parse(uri).expect("a URI"));
        request.headers.push(Name::Expires, expires);
        for route in routes {
            request.headers.push(Name::RecordRoute, route);
        }
        Mirror::of(&request).expect("a SUBSCRIBE")
    }

    #[test]
    fn two_answers_have_one_form() {
        let one = subscribe("sip:juliet@example.com", 3600, &["<sip:a.example;lr>, <sip:b.example;lr>"]);
        let two = subscribe("sip:nurse@gw.example.com:5060", 60, &["<sip:c.example;lr>"]);
        let answer = "Expires: 3600\r\nContact: <sip:juliet@gw.example.com:5060>\r\nRecord-Route: <sip:a.example;lr>\r\n\
                      Record-Route: <sip:b.example;lr>\r\n";
        let form = one.pack(answer.as_bytes()).expect("a form");
        assert_eq!(form, b"Expires: \x02\r\nContact: <sip:\x01@gw.example.com:5060>\r\n\x03");
        assert_eq!(&*one.unpack(&form), answer.as_bytes());
        let other = "Expires: 60\r\nContact: <sip:nurse@gw.example.com:5060>\r\nRecord-Route: <sip:c.example;lr>\r\n";
        assert_eq!(two.pack(other.as_bytes()).as_ref(), Some(&form));
        assert_eq!(&*two.unpack(&form), other.as_bytes());
    }

    #[test]
    fn what_is_told_to_one_alone_has_no_form() {
        let mirror = subscribe("sip:juliet@example.com", 3600, &[]);
        for line in [
            "Contact: <sip:romeo@gw.example.com>\r\n",
            "Contact: <sip:juliet@gw.example.com;gr=balcony>\r\n",
            "Record-Route: <sip:a.example;lr>\r\n",
        ] {
            assert_eq!(mirror.pack(line.as_bytes()), None, "{line}");
        }
        let other = b"Expires: 36000\r\nRetry-After: 3600\r\n";
        assert_eq!(mirror.pack(other).as_deref(), Some(&other[..]));
        assert!(Mirror::of(&Request::new(Method::Message, Uri::parse("sip:a@b.example").expect("a URI"))).is_none());
    }
}
