//! One registration: the REGISTER that it sends, and what the answer grants.

use super::value::{Binding, Granted, Why};
use crate::agent::{ClientId, Target};
use crate::ground::{CALL_ID, TAG};
use crate::header::{CSeq, Name, NameAddr};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time, Tokens};

/// The greatest sequence number there is (RFC 3261 §8.1.1.5).
const LAST_CSEQ: u32 = (1 << 31) - 1;
/// How many contacts of an answer are looked at, how many routes are taken, and how long one may be.
const MOST_CONTACTS: usize = 64;
const MOST_ROUTES: usize = 8;
const LONGEST_ROUTE: usize = 512;
/// How much of the words of a refusal is kept.
const LONGEST_WORDS: usize = 80;

/// What a REGISTER of ours does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 3261 §10.2.1: registers or refreshes.
    Register,
    /// §10.2.2: takes it back.
    Leave,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) binding: Binding,
    call_id: Str,
    tag: Str,
    pub(super) cseq: u32,
    /// The Expires to ask for, and whether a 423 has made it longer since the last success.
    pub(super) expires: u32,
    pub(super) lengthened: bool,
    /// Whether RFC 5626 is asked for.
    pub(super) outbound: bool,
    /// The target of the last request, where that is how requests come (RFC 5626), and since when it is registered over the connection that leads there.
    pub(super) flow: Option<Target>,
    pub(super) flow_since: Option<Time>,
    /// That connection is gone: nothing comes, whatever the registrar has.
    pub(super) adrift: bool,
    /// How many such connections in a row were gone soon.
    pub(super) brief: u32,
    pub(super) leaving: bool,
    pub(super) until: Option<Time>,
    pub(super) granted: Granted,
    pub(super) trouble: Option<Why>,
    pub(super) failures: u32,
    /// It was accepted once: nothing is wrong with the account.
    pub(super) proven: bool,
    pub(super) client: Option<(ClientId, Form)>,
    /// When the next attempt is made.
    pub(super) next: Option<Time>,
    /// Its place in the queue of deadlines.
    pub(super) due: Option<Time>,
}

impl Entry {
    pub(super) fn new(binding: Binding, max_expires: u32, tokens: &mut Tokens) -> Entry {
        Entry {
            call_id: tokens.token(CALL_ID),
            tag: tokens.token(TAG),
            cseq: 0,
            expires: binding.expires.clamp(1, max_expires.max(1)),
            lengthened: false,
            outbound: binding.outbound.is_some(),
            binding,
            flow: None,
            flow_since: None,
            adrift: false,
            brief: 0,
            leaving: false,
            until: None,
            granted: Granted::default(),
            trouble: None,
            failures: 0,
            proven: false,
            client: None,
            next: None,
            due: None,
        }
    }

    /// RFC 3261 §10.2: all have one Call-ID, and numbers that rise.
    pub(super) fn request(&mut self, tokens: &mut Tokens, form: Form) -> Request {
        if self.cseq >= LAST_CSEQ {
            (self.cseq, self.call_id) = (0, tokens.token(CALL_ID));
        }
        self.cseq += 1;
        let binding = &self.binding;
        let mut request = Request::new(Method::Register, binding.registrar.clone());
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, 70);
        if let Some(route) = &binding.route {
            headers.push(Name::Route, route);
        }
        headers.push(Name::From, format_args!("<{}>;tag={}", binding.address, self.tag));
        headers.push(Name::To, format_args!("<{}>", binding.address));
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, CSeq { number: self.cseq, method: Method::Register });
        let mut contact = NameAddr::new(binding.contact.clone());
        let mut supported = String::from("path");
        if let Some(outbound) = binding.outbound.as_ref().filter(|_| self.outbound) {
            // Both are values that `set` leaves as they are: a quoted string and a number.
            contact.params.set("reg-id", Some(&base::format_compact!("{}", outbound.reg_id)));
            contact.params.set("+sip.instance", Some(&base::format_compact!("<{}>", outbound.instance)));
            supported.push_str(", outbound");
        }
        headers.push(Name::Contact, contact);
        headers.push(Name::Expires, if form == Form::Leave { 0 } else { self.expires });
        headers.push(Name::Supported, supported);
        request
    }

    /// What a 2xx grants, and for how many seconds. `None`: nothing.
    pub(super) fn read(&self, response: &Response) -> Option<(u32, Granted)> {
        let headers = &response.headers;
        let contacts: Vec<NameAddr> = headers
            .elements(Name::Contact)
            .take(MOST_CONTACTS)
            .filter_map(|element| NameAddr::parse(element.ok()?).ok())
            .collect();
        let own = contacts.iter().find(|contact| self.is_own(contact));
        // Some change our contact on its way, and the only one there is ours all the same; some list none.
        let own = own.or(contacts.first().filter(|_| contacts.len() == 1));
        if own.is_none() && !contacts.is_empty() {
            return None;
        }
        let said = own.and_then(|contact| contact.expires().ok().flatten());
        let said = said.or_else(|| headers.expires().ok().flatten()).unwrap_or(self.expires);
        let seconds = said.min(self.expires);
        (seconds > 0).then(|| (seconds, Granted { service_route: service_route(response) }))
    }

    fn is_own(&self, contact: &NameAddr) -> bool {
        let instance = self.binding.outbound.as_ref().filter(|_| self.outbound).is_some_and(|outbound| {
            contact.params.value("+sip.instance").is_some_and(|value| {
                value.trim_start_matches('<').trim_end_matches('>').eq_ignore_ascii_case(&outbound.instance)
            }) && contact.params.get("reg-id").is_none_or(|id| id.parse() == Ok(outbound.reg_id))
        });
        instance || contact.uri.equivalent(&self.binding.contact)
    }
}

/// The values of Service-Route, each a name-addr; none at all if they are too many or cannot be read.
fn service_route(response: &Response) -> Vec<Str> {
    let mut routes = Vec::new();
    for element in response.headers.elements(Name::ServiceRoute) {
        let route = element.ok().filter(|element| element.len() <= LONGEST_ROUTE);
        let Some(route) = route.filter(|route| NameAddr::parse_bracketed(route).is_ok()) else { return Vec::new() };
        if routes.len() >= MOST_ROUTES {
            return Vec::new();
        }
        routes.push(Str::from(route));
    }
    routes
}

/// Somebody else's words, so that they can stand in a log or on a page.
pub(super) fn words(text: &str) -> Str {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect()
}
