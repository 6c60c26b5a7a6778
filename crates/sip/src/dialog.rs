//! Dialogs: RFC 3261 §12. What two user agents share so that each finds the other again, as a value that can be kept and restored.

use crate::header::{CSeq, Fault, HeaderError, Headers, Name, NameAddr};
use crate::lex::Syntax;
use crate::message::{Request, Response};
use crate::method::Method;
use crate::uri::Uri;
use base::{HashKey, Str};
use serde::{Deserialize, Serialize};

/// The greatest sequence number there is (RFC 3261 §8.1.1.5).
const LAST_CSEQ: u32 = (1 << 31) - 1;

/// The state of a dialog: RFC 3261 §12. Addresses and routes are text, as they are stored far more often than they are looked into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Str,
    /// Our address as a name-addr: display name and URI, no tag.
    pub local_uri: Str,
    /// Our tag.
    pub local_tag: Str,
    /// The other side's address, as ours.
    pub remote_uri: Str,
    /// The other side's tag; empty as long as it is not known.
    #[serde(default)]
    pub remote_tag: Str,
    /// The URI that requests go to: the other side's Contact, with all its parameters (a GRUU's `gr` makes it reach that one device:
    /// RFC 5627 §4.4).
    pub remote_target: Str,
    /// The proxies on the way there in the order in which a request passes them, each a name-addr with its parameters.
    #[serde(default)]
    pub route_set: Vec<Str>,
    /// The number of the last request that we sent; 0 before the first.
    #[serde(default)]
    pub local_cseq: u32,
    /// The number of the last request that came, if one has.
    #[serde(default)]
    pub remote_cseq: Option<u32>,
}

impl Dialog {
    /// RFC 3261 §12.1.2: the dialog that a 2xx to this request of ours makes. The proxies stand in the other order in what comes back.
    ///
    /// # Errors
    /// What either message lacks.
    pub fn as_uac(request: &Request, response: &Response) -> Result<Dialog, HeaderError> {
        let (ours, theirs) = (&request.headers, &response.headers);
        let mut route_set = routes(theirs)?;
        route_set.reverse();
        Ok(Dialog {
            call_id: tight(ours.call_id()?),
            local_uri: bare(&ours.from()?),
            local_tag: tight(ours.from_tag().unwrap_or_default()),
            remote_uri: bare(&theirs.to()?),
            remote_tag: tight(theirs.to_tag().unwrap_or_default()),
            remote_target: contact(theirs)?.ok_or(HeaderError::new(Name::Contact, Fault::Missing))?,
            route_set,
            local_cseq: ours.cseq()?.number,
            remote_cseq: None,
        })
    }

    /// RFC 3261 §12.1.1: the dialog that this request makes when it is accepted with our tag. So does a NOTIFY that comes before the
    /// answer to our SUBSCRIBE (RFC 6665 §4.4.1); there our numbers begin behind the SUBSCRIBE's.
    ///
    /// # Errors
    /// What the request lacks.
    pub fn as_uas(request: &Request, local_tag: &str, local_cseq: u32) -> Result<Dialog, HeaderError> {
        let headers = &request.headers;
        Ok(Dialog {
            call_id: tight(headers.call_id()?),
            local_uri: bare(&headers.to()?),
            local_tag: tight(local_tag),
            remote_uri: bare(&headers.from()?),
            remote_tag: tight(headers.from_tag().unwrap_or_default()),
            remote_target: contact(headers)?.ok_or(HeaderError::new(Name::Contact, Fault::Missing))?,
            route_set: routes(headers)?,
            local_cseq,
            remote_cseq: Some(headers.cseq()?.number),
        })
    }

    /// RFC 3261 §12.2.1.1: the next request in this dialog, with everything that the dialog says of it; Via, Contact and the rest are the
    /// caller's. `None` if there is no number left, or if what was restored is no URI.
    pub fn request(&mut self, method: Method) -> Option<Request> {
        let number = self.local_cseq.checked_add(1).filter(|n| *n <= LAST_CSEQ)?;
        let target = Uri::parse(&self.remote_target).ok()?;
        let first = self.route_set.first().map(|first| NameAddr::parse_bracketed(first)).transpose().ok()?;
        let strict = first.filter(|first| !first.uri.sip().is_some_and(|uri| uri.params.has("lr")));
        let cseq = CSeq { number, method: method.clone() };
        let mut request = Request::new(method, strict.as_ref().map_or(target, |first| plain(first.uri.clone())));
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, 70);
        // A strict router takes the Request-URI for itself and finds the next one in Route, so the target goes to the end.
        for route in &self.route_set[usize::from(strict.is_some())..] {
            headers.push(Name::Route, route);
        }
        if strict.is_some() {
            headers.push(Name::Route, format_args!("<{}>", self.remote_target));
        }
        headers.push(Name::From, format_args!("{};tag={}", self.local_uri, self.local_tag));
        if self.remote_tag.is_empty() {
            headers.push(Name::To, &self.remote_uri);
        } else {
            headers.push(Name::To, format_args!("{};tag={}", self.remote_uri, self.remote_tag));
        }
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, cseq);
        self.local_cseq = number;
        Some(request)
    }

    /// RFC 3261 §12.2.2: takes note of the number of a request that came. `false` if it is not above the last one: then the request is
    /// out of order and gets 500 (a retransmission never comes this far).
    pub fn take_cseq(&mut self, number: u32) -> bool {
        let in_order = self.remote_cseq.is_none_or(|last| number > last);
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// RFC 3261 §12.2: a new Contact in a request or a 2xx moves the target. Tells whether it did. The route set never changes.
    pub fn refresh_target(&mut self, target: Str) -> bool {
        let moved = self.remote_target != target;
        if moved {
            self.remote_target = target;
        }
        moved
    }
}

/// The URI of the one Contact, as it came but for what no Request-URI may have (RFC 3261 §19.1.1, table 1). `None` without a Contact.
///
/// # Errors
/// A Contact that is no SIP URI, `*`, or more than one: no request could go there.
pub(crate) fn contact(headers: &Headers) -> Result<Option<Str>, HeaderError> {
    let mut elements = headers.elements(Name::Contact);
    let Some(first) = elements.next() else { return Ok(None) };
    let malformed = |syntax: Syntax| HeaderError::new(Name::Contact, Fault::Malformed(syntax.0));
    let uri = NameAddr::parse(first?).map_err(malformed)?.uri;
    if uri.sip().is_none() {
        return Err(malformed(Syntax("not a SIP URI")));
    }
    if elements.next().is_some() {
        return Err(HeaderError::new(Name::Contact, Fault::Repeated));
    }
    Ok(Some(tight(&plain(uri).to_string())))
}

/// A URI without what no Request-URI may have.
pub(crate) fn plain(uri: Uri) -> Uri {
    match uri {
        Uri::Sip(mut uri) => {
            uri.headers = None;
            uri.params.remove("method");
            Uri::Sip(uri)
        }
        other => other,
    }
}

/// Record-Route from the top, each value as it came.
fn routes(headers: &Headers) -> Result<Vec<Str>, HeaderError> {
    let mut routes = Vec::new();
    for element in headers.elements(Name::RecordRoute) {
        let element = element?;
        NameAddr::parse_bracketed(element)
            .map_err(|syntax| HeaderError::new(Name::RecordRoute, Fault::Malformed(syntax.0)))?;
        routes.push(tight(element));
    }
    routes.shrink_to_fit();
    Ok(routes)
}

/// An address without its header parameters.
fn bare(address: &NameAddr) -> Str {
    let address = NameAddr { params: crate::header::Params::new(), ..address.clone() };
    tight(&address.to_string())
}

/// A text in no more room than it takes: dialogs live for days.
fn tight(text: &str) -> Str {
    Str::new(text)
}

/// The name of a dialog, also of one whose other tag is not known yet.
pub(crate) fn name(key: &HashKey, dialog: &Dialog) -> u128 {
    name_of(key, &dialog.call_id, &dialog.local_tag, &dialog.remote_tag)
}

/// The same from its parts.
pub(crate) fn name_of(key: &HashKey, call_id: &str, local_tag: &str, remote_tag: &str) -> u128 {
    key.fingerprint(&[call_id.as_bytes(), local_tag.as_bytes(), remote_tag.as_bytes()]).bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::message::Message;
    use crate::parse::parse_datagram;
    use bytes::Bytes;

    fn message(text: &str) -> Message {
        let text = text.replace('\n', "\r\n");
        parse_datagram(&Bytes::from(text), &Limits::default()).expect("a message")
    }

    fn subscribe(extra: &str) -> Request {
        let text = format!(
            "SUBSCRIBE sip:juliet@example.com SIP/2.0\nVia: SIP/2.0/UDP a.example.net;branch=z9hG4bKa\n{extra}\
             From: \"Romeo\" <sip:romeo@example.net>;tag=r;x=y\nTo: sip:juliet@example.com\nCall-ID: c@example.net\n\
             CSeq: 7 SUBSCRIBE\nEvent: presence\nContent-Length: 0\n\n"
        );
        match message(&text) {
            Message::Request(request) => request,
            Message::Response(_) => panic!("not a request"),
        }
    }

    const CONTACT: &str =
        "Contact: \"R\" <sip:romeo@Example.NET;gr=hdg7777ad7aflzig8sf7;method=INVITE?X=y>;expires=3\n";

    fn lines(request: &Request) -> Vec<String> {
        let text = String::from_utf8(request.to_bytes().to_vec()).expect("UTF-8");
        text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
    }

    /// RFC 3261 §12.1.1, §12.2.1.1 with loose routers; RFC 5627 §4.4: the GRUU goes into the Request-URI.
    #[test]
    fn the_side_that_was_asked() {
        let routes = "Record-Route: <sip:p2.example.net;lr>, <sip:p1.example.net;lr;x=\"y\">\nRecord-Route: <sip:p0.example.net;lr>\n";
        let request = subscribe(&format!("{CONTACT}{}", routes.replace("\"y\"", "y")));
        let mut dialog = Dialog::as_uas(&request, "j", 0).expect("a dialog");
        assert_eq!(dialog.remote_cseq, Some(7));
        let notify = dialog.request(Method::Notify).expect("a request");
        assert_eq!(
            lines(&notify),
            [
                "NOTIFY sip:romeo@example.net;gr=hdg7777ad7aflzig8sf7 SIP/2.0",
                "Max-Forwards: 70",
                "Route: <sip:p2.example.net;lr>",
                "Route: <sip:p1.example.net;lr;x=y>",
                "Route: <sip:p0.example.net;lr>",
                "From: <sip:juliet@example.com>;tag=j",
                "To: \"Romeo\" <sip:romeo@example.net>;tag=r",
                "Call-ID: c@example.net",
                "CSeq: 1 NOTIFY",
                "Content-Length: 0",
            ]
        );
        assert_eq!(dialog.request(Method::Notify).expect("a request").headers.get(Name::CSeq), Some("2 NOTIFY"));
    }

    /// RFC 3261 §12.1.2: the same proxies from the other end, of which the first is a strict router.
    #[test]
    fn the_side_that_asked() {
        let request = subscribe("");
        let mut response = Response::to_request(&request, 200, "", Some("j"));
        response.headers.push(Name::RecordRoute, "<sip:p2.example.net;lr>");
        response.headers.push(Name::RecordRoute, "<sip:p1.example.net;method=X>");
        response.headers.push(Name::Contact, "<sip:juliet@gw.example.com>");
        let mut dialog = Dialog::as_uac(&request, &response).expect("a dialog");
        let refresh = dialog.request(Method::Subscribe).expect("a request");
        assert_eq!(
            lines(&refresh)[..7],
            [
                "SUBSCRIBE sip:p1.example.net SIP/2.0",
                "Max-Forwards: 70",
                "Route: <sip:p2.example.net;lr>",
                "Route: <sip:juliet@gw.example.com>",
                "From: \"Romeo\" <sip:romeo@example.net>;tag=r",
                "To: <sip:juliet@example.com>;tag=j",
                "Call-ID: c@example.net",
            ]
        );
        assert_eq!(refresh.headers.get(Name::CSeq), Some("8 SUBSCRIBE"));
    }

    #[test]
    fn what_makes_no_dialog() {
        let fault = |extra: &str| Dialog::as_uas(&subscribe(extra), "j", 0).map_err(|e| e.to_string());
        assert_eq!(fault(""), Err("Missing Contact".to_owned()));
        assert_eq!(fault("Contact: <tel:+1>\n"), Err("Malformed Contact: not a SIP URI".to_owned()));
        assert_eq!(fault("Contact: <sip:a@b.example>, <sip:c@d.example>\n"), Err("Repeated Contact".to_owned()));
        assert!(fault("Contact: *\n").is_err());
        assert!(fault("Contact: <sip:a@b.example>\nRecord-Route: sip:p.example\n").is_err());
    }

    /// RFC 3261 §12.2.2.
    #[test]
    fn numbers_only_grow_and_end() {
        let mut dialog = Dialog::as_uas(&subscribe(CONTACT), "j", LAST_CSEQ - 1).expect("a dialog");
        for (number, taken) in [(7, false), (6, false), (8, true), (8, false), (100, true), (99, false)] {
            assert_eq!(dialog.take_cseq(number), taken, "{number}");
        }
        assert!(dialog.request(Method::Notify).is_some());
        assert!(dialog.request(Method::Notify).is_none());
        assert_eq!(dialog.local_cseq, LAST_CSEQ);
        assert!(!dialog.refresh_target(dialog.remote_target.clone()));
        assert!(dialog.refresh_target("sip:elsewhere.example".into()));
        dialog.remote_target = "no URI".into();
        dialog.local_cseq = 1;
        assert!(dialog.request(Method::Notify).is_none());
    }
}
