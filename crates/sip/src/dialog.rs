//! Dialogs: RFC 3261 §12. What two user agents share so that each finds the other again, as a value that can be kept and restored.

use crate::header::{CSeq, Fault, HeaderError, Headers, Name, NameAddr};
use crate::lex::Syntax;
use crate::message::{Request, Response};
use crate::method::Method;
use crate::uri::Uri;
use base::{HashKey, Str, ToCompactString};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// The greatest sequence number there is (RFC 3261 §8.1.1.5).
const LAST_CSEQ: u32 = (1 << 31) - 1;

/// The state of a dialog: RFC 3261 §12. Addresses and routes are text, as they are stored far more often than they are looked into.
///
/// A dialog may have several usages (RFC 5057 §3): each has a `Dialog` of its own, and what changes in one of them changes in all of them: see
/// [`Dialog::share`]. A clone shares nothing with what it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
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
    pub remote_tag: Str,
    /// The proxies on the way there in the order in which a request passes them, each a name-addr with its parameters.
    pub route_set: Vec<Str>,
    pub(crate) moving: Moving,
}

/// What changes as requests come and go: RFC 5057 §3 has all usages of a dialog share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moves {
    local_cseq: u32,
    remote_cseq: Option<u32>,
    remote_target: Str,
}

/// Whose that is.
#[derive(Debug)]
pub(crate) enum Moving {
    /// The one usage's. It takes no more room than the values themselves.
    Own(Moves),
    /// That of several usages. They all live in one thread, so nobody ever waits for the lock.
    Shared(Arc<Mutex<Common>>),
}

/// What the usages of one dialog have in common.
#[derive(Debug)]
pub(crate) struct Common {
    moves: Moves,
    /// Whether a REFER has been sent in it.
    referred: bool,
    /// Whether one has come.
    refers: bool,
}

impl Moving {
    fn read<R>(&self, read: impl FnOnce(&Moves) -> R) -> R {
        match self {
            Moving::Own(moves) => read(moves),
            Moving::Shared(common) => read(&common.lock().unwrap_or_else(PoisonError::into_inner).moves),
        }
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Moves) -> R) -> R {
        match self {
            Moving::Own(moves) => change(moves),
            Moving::Shared(common) => change(&mut common.lock().unwrap_or_else(PoisonError::into_inner).moves),
        }
    }
}

impl Clone for Moving {
    fn clone(&self) -> Moving {
        Moving::Own(self.read(Moves::clone))
    }
}

impl PartialEq for Moving {
    fn eq(&self, other: &Moving) -> bool {
        let theirs = other.read(Moves::clone);
        self.read(|ours| *ours == theirs)
    }
}

impl Eq for Moving {}

/// A dialog as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    call_id: Str,
    local_uri: Str,
    local_tag: Str,
    remote_uri: Str,
    #[serde(default)]
    remote_tag: Str,
    remote_target: Str,
    #[serde(default)]
    route_set: Vec<Str>,
    #[serde(default)]
    local_cseq: u32,
    #[serde(default)]
    remote_cseq: Option<u32>,
}

impl From<Stored> for Dialog {
    fn from(stored: Stored) -> Dialog {
        let Stored { call_id, local_uri, local_tag, remote_uri, remote_tag, route_set, .. } = stored;
        let Stored { remote_target, local_cseq, remote_cseq, .. } = stored;
        let moving = Moving::Own(Moves { local_cseq, remote_cseq, remote_target });
        Dialog { call_id, local_uri, local_tag, remote_uri, remote_tag, route_set, moving }
    }
}

impl From<Dialog> for Stored {
    fn from(dialog: Dialog) -> Stored {
        let Moves { local_cseq, remote_cseq, remote_target } = dialog.moving.read(Moves::clone);
        let Dialog { call_id, local_uri, local_tag, remote_uri, remote_tag, route_set, .. } = dialog;
        Stored {
            call_id,
            local_uri,
            local_tag,
            remote_uri,
            remote_tag,
            remote_target,
            route_set,
            local_cseq,
            remote_cseq,
        }
    }
}

/// What a request of ours outside of any dialog says of the dialog that it may make.
pub(crate) struct Opening {
    pub(crate) call_id: Str,
    pub(crate) local_tag: Str,
    /// From; its parameters are left out.
    pub(crate) local: NameAddr,
    /// To.
    pub(crate) remote: Uri,
    /// The Request-URI.
    pub(crate) target: Str,
    /// A proxy on the way.
    pub(crate) route: Option<Str>,
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
        let moves = Moves {
            local_cseq: ours.cseq()?.number,
            remote_cseq: None,
            remote_target: contact(theirs)?.ok_or(HeaderError::new(Name::Contact, Fault::Missing))?,
        };
        Ok(Dialog {
            call_id: tight(ours.call_id()?),
            local_uri: bare(&ours.from()?),
            local_tag: tight(ours.from_tag().unwrap_or_default()),
            remote_uri: bare(&theirs.to()?),
            remote_tag: tight(theirs.to_tag().unwrap_or_default()),
            route_set,
            moving: Moving::Own(moves),
        })
    }

    /// RFC 3261 §12.1.1: the dialog that this request makes when it is accepted with our tag. So does a NOTIFY that comes before the
    /// answer to our SUBSCRIBE (RFC 6665 §4.4.1); there our numbers begin behind the SUBSCRIBE's.
    ///
    /// # Errors
    /// What the request lacks.
    pub fn as_uas(request: &Request, local_tag: &str, local_cseq: u32) -> Result<Dialog, HeaderError> {
        let headers = &request.headers;
        let moves = Moves {
            local_cseq,
            remote_cseq: Some(headers.cseq()?.number),
            remote_target: contact(headers)?.ok_or(HeaderError::new(Name::Contact, Fault::Missing))?,
        };
        Ok(Dialog {
            call_id: tight(headers.call_id()?),
            local_uri: bare(&headers.to()?),
            local_tag: tight(local_tag),
            remote_uri: bare(&headers.from()?),
            remote_tag: tight(headers.from_tag().unwrap_or_default()),
            route_set: routes(headers)?,
            moving: Moving::Own(moves),
        })
    }

    /// What a request of ours begins: the answer makes the dialog.
    pub(crate) fn opening(opening: Opening) -> Dialog {
        let moves = Moves { local_cseq: 0, remote_cseq: None, remote_target: opening.target };
        Dialog {
            call_id: opening.call_id,
            local_uri: bare(&opening.local),
            local_tag: opening.local_tag,
            remote_uri: NameAddr::new(opening.remote).to_compact_string(),
            remote_tag: Str::default(),
            route_set: opening.route.into_iter().collect(),
            moving: Moving::Own(moves),
        }
    }

    /// RFC 5057 §3: another usage of the same dialog. From now on both draw the numbers of their requests from one count, check those that
    /// come against one count, and have one remote target.
    #[must_use]
    pub fn share(&mut self) -> Dialog {
        let common = match &self.moving {
            Moving::Shared(common) => Arc::clone(common),
            Moving::Own(moves) => Arc::new(Mutex::new(Common { moves: moves.clone(), referred: false, refers: false })),
        };
        self.moving = Moving::Shared(Arc::clone(&common));
        Dialog { moving: Moving::Shared(common), ..self.clone() }
    }

    /// How many usages share it, or did when the last of the others ended; 1 if it was never shared.
    pub(crate) fn usages(&self) -> usize {
        match &self.moving {
            Moving::Own(_) => 1,
            Moving::Shared(common) => Arc::strong_count(common),
        }
    }

    /// Whether it is the dialog of other usages, too, or was.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.moving, Moving::Shared(_))
    }

    /// RFC 3515 §2.4.6: takes note of a REFER, ours or theirs. Whether it is the first one in the dialog.
    pub(crate) fn first_refer(&self, ours: bool) -> bool {
        match &self.moving {
            Moving::Own(_) => true,
            Moving::Shared(common) => {
                let mut common = common.lock().unwrap_or_else(PoisonError::into_inner);
                let before = if ours { &mut common.referred } else { &mut common.refers };
                !std::mem::replace(before, true)
            }
        }
    }

    /// The number of the last request that we sent; 0 before the first.
    pub fn local_cseq(&self) -> u32 {
        self.moving.read(|moves| moves.local_cseq)
    }

    /// The number of the last request that came, if one has.
    pub fn remote_cseq(&self) -> Option<u32> {
        self.moving.read(|moves| moves.remote_cseq)
    }

    /// The URI that requests go to: the other side's Contact, with all its parameters (a GRUU's `gr` makes it reach that one device:
    /// RFC 5627 §4.4).
    pub fn remote_target(&self) -> Str {
        self.moving.read(|moves| moves.remote_target.clone())
    }

    /// That URI; `None` if what was restored is none.
    pub(crate) fn target(&self) -> Option<Uri> {
        self.moving.read(|moves| Uri::parse(&moves.remote_target).ok())
    }

    /// A dialog like this one, of which the last number was another.
    pub(crate) fn at(&self, local_cseq: u32) -> Dialog {
        let mut other = self.clone();
        other.set_local_cseq(local_cseq);
        other
    }

    /// The last number was this one.
    pub(crate) fn set_local_cseq(&mut self, number: u32) {
        self.moving.change(|moves| moves.local_cseq = number);
    }

    /// The request that was made last was not sent after all.
    pub(crate) fn take_back(&mut self) {
        self.moving.change(|moves| moves.local_cseq = moves.local_cseq.saturating_sub(1));
    }

    /// RFC 3261 §12.2.1.1: the next request in this dialog, with everything that the dialog says of it; Via, Contact and the rest are the
    /// caller's. `None` if there is no number left, or if what was restored is no URI.
    pub fn request(&mut self, method: Method) -> Option<Request> {
        let number = self.local_cseq().checked_add(1).filter(|n| *n <= LAST_CSEQ)?;
        let target = self.target()?;
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
            headers.push(Name::Route, format_args!("<{}>", self.remote_target()));
        }
        headers.push(Name::From, format_args!("{};tag={}", self.local_uri, self.local_tag));
        if self.remote_tag.is_empty() {
            headers.push(Name::To, &self.remote_uri);
        } else {
            headers.push(Name::To, format_args!("{};tag={}", self.remote_uri, self.remote_tag));
        }
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, cseq);
        self.set_local_cseq(number);
        Some(request)
    }

    /// RFC 3261 §12.2.2: takes note of the number of a request that came. `false` if it is not above the last one: then the request is
    /// out of order and gets 500 (a retransmission never comes this far).
    pub fn take_cseq(&mut self, number: u32) -> bool {
        self.moving.change(|moves| {
            let in_order = moves.remote_cseq.is_none_or(|last| number > last);
            if in_order {
                moves.remote_cseq = Some(number);
            }
            in_order
        })
    }

    /// RFC 3261 §12.2: a new Contact in a request or a 2xx moves the target. Tells whether it did. The route set never changes.
    pub fn refresh_target(&mut self, target: Str) -> bool {
        self.moving.change(|moves| std::mem::replace(&mut moves.remote_target, target) != moves.remote_target)
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
        assert_eq!(dialog.remote_cseq(), Some(7));
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
        assert_eq!(dialog.local_cseq(), LAST_CSEQ);
        assert!(!dialog.refresh_target(dialog.remote_target()));
        assert!(dialog.refresh_target("sip:elsewhere.example".into()));
        assert!(dialog.refresh_target("no URI".into()));
        dialog.set_local_cseq(1);
        assert!(dialog.request(Method::Notify).is_none());
    }

    /// RFC 5057 §3: usages of one dialog have one count of numbers in each direction and one target; a clone has its own.
    #[test]
    fn usages_of_one_dialog() {
        let mut session = Dialog::as_uas(&subscribe(CONTACT), "j", 4).expect("a dialog");
        let (apart, before) = (session.clone(), size_of::<Dialog>());
        let mut events = session.share();
        let mut again = events.share();
        assert_eq!((session.usages(), events.is_shared(), apart.is_shared(), before), (3, true, false, 184));
        assert_eq!(session, apart);
        let number = |dialog: &mut Dialog| {
            dialog.request(Method::Notify).expect("a request").headers.get(Name::CSeq).map(str::to_owned)
        };
        assert_eq!(number(&mut events).as_deref(), Some("5 NOTIFY"));
        assert_eq!(number(&mut session).as_deref(), Some("6 NOTIFY"));
        assert_eq!(number(&mut again).as_deref(), Some("7 NOTIFY"));
        events.take_back();
        assert_eq!((session.local_cseq(), apart.local_cseq()), (6, 4));
        assert!(again.take_cseq(9));
        assert!(!session.take_cseq(9) && !events.take_cseq(8) && session.take_cseq(10));
        assert_eq!((events.remote_cseq(), apart.remote_cseq()), (Some(10), Some(7)));
        assert!(session.refresh_target("sip:moved@192.0.2.9".into()));
        assert_eq!(events.request(Method::Notify).expect("a request").uri.to_string(), "sip:moved@192.0.2.9");
        // RFC 3515 §2.4.6: the first REFER in either direction.
        assert!(events.first_refer(true) && !again.first_refer(true));
        assert!(session.first_refer(false) && !events.first_refer(false));
        assert!(apart.first_refer(true) && apart.first_refer(true));
        drop((again, events));
        assert_eq!((session.usages(), session.is_shared()), (1, true));
    }

    /// What is stored is the form that it always was, shared or not.
    #[test]
    fn the_stored_form() {
        let mut dialog = Dialog::as_uas(&subscribe(CONTACT), "j", 4).expect("a dialog");
        let text = r#"{"call_id":"c@example.net","local_uri":"<sip:juliet@example.com>","local_tag":"j","remote_uri":"\"Romeo\" <sip:romeo@example.net>","remote_tag":"r","remote_target":"sip:romeo@example.net;gr=hdg7777ad7aflzig8sf7","route_set":[],"local_cseq":4,"remote_cseq":7}"#;
        assert_eq!(serde_json::to_string(&dialog).expect("JSON"), text);
        let _other = dialog.share();
        assert_eq!(serde_json::to_string(&dialog).expect("JSON"), text);
        let read: Dialog = serde_json::from_str(text).expect("a dialog");
        assert_eq!((&read, read.is_shared()), (&dialog, false));
        let short = r#"{"call_id":"c","local_uri":"<sip:a@b.example>","local_tag":"j","remote_uri":"<sip:c@d.example>","remote_target":"sip:x"}"#;
        let read: Dialog = serde_json::from_str(short).expect("a dialog");
        assert_eq!((read.local_cseq(), read.remote_cseq(), read.remote_tag.as_str()), (0, None, ""));
    }
}
