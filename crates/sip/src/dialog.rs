//! Dialogs: RFC 3261 §12. What two user agents share so that each finds the other again, as a value that can be kept and restored.

use crate::header::{CSeq, Fault, HeaderError, Headers, Name, NameAddr, elements};
use crate::lex::Syntax;
use crate::message::{Request, Response};
use crate::method::Method;
use crate::uri::Uri;
use base::{HashKey, Str, ToCompactString};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(test)]
mod tests;

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
    /// The proxies on the way, as a Route says it.
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
        let route_set = opening.route.as_deref().map(elements).into_iter().flatten();
        let moves = Moves { local_cseq: 0, remote_cseq: None, remote_target: opening.target };
        Dialog {
            call_id: opening.call_id,
            local_uri: bare(&opening.local),
            local_tag: opening.local_tag,
            remote_uri: NameAddr::new(opening.remote).to_compact_string(),
            remote_tag: Str::default(),
            route_set: route_set.filter_map(Result::ok).map(tight).collect(),
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

    /// RFC 3261 §12.2.2: whether this answer to our request of this number may mean that a later one, of another usage, was faster.
    pub(crate) fn overtook(&self, number: u32, response: &Response) -> bool {
        response.code == 500 && self.is_shared() && self.local_cseq() > number
    }

    /// An answer to a request of ours says under which number it was accepted: with credentials that is one after the number that we gave it (RFC 3261
    /// §22.2). The number.
    pub(crate) fn follow(&mut self, response: &Response) -> Option<u32> {
        let number = response.headers.cseq().ok()?.number;
        if number > self.local_cseq() && number <= LAST_CSEQ {
            self.set_local_cseq(number);
        }
        Some(number)
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
