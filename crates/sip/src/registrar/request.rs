//! What a REGISTER asks for: RFC 3261 §10.3 steps 6 and 7, RFC 3327 §5.3, RFC 5626 §6, RFC 5627 §5.1. A function from the contacts that there are to those that there
//! are to be, or to the refusal: all of it is done or nothing.

use super::value::{Binding, Config, Secret, TEMPORARY, is_in};
use crate::agent::{Flow, Transport};
use crate::header::{Contacts, Name, NameAddr};
use crate::lex;
use crate::message::{Request, Response};
use crate::uri::{SipUri, Uri};
use base::{Str, Time, Tokens, format_compact};
use std::time::Duration;

/// The bytes that a contact's URI, the instance, the Call-ID and the path may have: what is kept for long.
const URI: usize = 512;
const INSTANCE: usize = 128;
const CALL_ID: usize = 256;
const PATH: usize = 1024;

/// The longest that a client may have to be told to register for (RFC 3261 §10.3 step 7).
const HOUR: u32 = 3600;

/// A registration that is in order.
#[derive(Debug)]
pub(super) struct Registration {
    /// The contacts that there are to be.
    pub(super) bindings: Vec<Binding>,
    /// Whether anything is to be saved: a REGISTER without contacts only asks.
    pub(super) changes: bool,
    /// Whether Outbound is used (RFC 5626 §6).
    pub(super) outbound: bool,
}

/// Reads a REGISTER of `account`, whose sender is known to be it.
pub(super) fn read(
    config: &Config,
    now: Time,
    tokens: &mut Tokens,
    account: &SipUri,
    before: &[Binding],
    request: &Request,
    flow: Flow,
) -> Result<Registration, Response> {
    let headers = &request.headers;
    let bad = |why: &str| Response::new(400, why);
    let cseq = headers.cseq().map_err(|_| bad("Bad CSeq"))?.number;
    let call_id = headers.call_id().map_err(|_| bad("Bad Call-ID"))?;
    let contacts = headers.contacts().map_err(|_| bad("Bad Contact"))?;
    // RFC 3261 §20.19: what cannot be read is as if it were not there.
    let expires = headers.expires().ok().flatten();
    let alive = || before.iter().filter(|binding| binding.expires_at > now);
    // §10.3 steps 6, 7: of one Call-ID only what is newer counts.
    let is_late = |old: &Binding| old.call_id == call_id && cseq <= old.cseq;
    let late = || Response::new(500, "Out Of Order");
    let contacts = match contacts {
        Contacts::All if expires == Some(0) => {
            if alive().any(is_late) {
                return Err(late());
            }
            return Ok(Registration { bindings: Vec::new(), changes: true, outbound: false });
        }
        Contacts::All => return Err(bad("Contact * Needs Expires 0")),
        Contacts::Some(contacts) => contacts,
    };
    if contacts.len() > config.contacts {
        return Err(Response::new(403, "Too Many Contacts"));
    }
    if call_id.len() > CALL_ID {
        return Err(bad("Call-ID Too Long"));
    }
    let path = path(request)?;
    let outbound = outbound(request, &contacts, flow)?;
    let mut bindings: Vec<Binding> = alive().cloned().collect();
    for contact in &contacts {
        let wanted = contact.expires().ok().flatten().or(expires).unwrap_or(config.default_expires);
        let uri = uri_of(config, account, contact, flow)?;
        let instance = instance(contact);
        let mut binding = Binding {
            reg_id: reg_id(contact).filter(|_| outbound && instance.is_some()),
            contact: uri,
            instance,
            q: q(contact),
            path: path.clone(),
            call_id: Str::from(call_id),
            cseq,
            expires_at: now,
            flow,
            secret: Secret::new(tokens),
        };
        let old = bindings.iter().position(|old| old.is_same(&binding));
        if old.is_some_and(|at| is_late(&bindings[at])) {
            return Err(late());
        }
        let old = old.map(|at| bindings.remove(at));
        if wanted == 0 {
            continue;
        }
        if wanted < config.min_expires && wanted < HOUR {
            let mut refusal = Response::new(423, "Interval Too Brief");
            refusal.headers.push(Name::MinExpires, config.min_expires);
            return Err(refusal);
        }
        binding.expires_at = now + Duration::from_secs(wanted.min(config.max_expires).into());
        keep_gruus(&mut bindings, old.as_ref(), &mut binding);
        bindings.push(binding);
    }
    while bindings.len() > config.contacts {
        let first = bindings.iter().enumerate().min_by_key(|(_, binding)| binding.expires_at).map(|(at, _)| at);
        bindings.remove(first.unwrap_or(0));
    }
    Ok(Registration { bindings, changes: !contacts.is_empty(), outbound })
}

/// RFC 5627 §5.1: the temporary GRUUs of a phone (or of its flow) stay valid for as long as it registers under one Call-ID, and end all together with that.
fn keep_gruus(bindings: &mut [Binding], old: Option<&Binding>, new: &mut Binding) {
    if new.instance.is_none() {
        return;
    }
    let same = |other: &Binding| other.instance == new.instance && other.reg_id == new.reg_id;
    let last = old.filter(|old| same(old)).or(bindings.iter().rev().find(|other| same(other)));
    match last {
        Some(last) if last.call_id == new.call_id => new.secret = last.secret,
        Some(_) => {
            let (secret, instance, reg_id) = (new.secret, new.instance.clone(), new.reg_id);
            let same = |other: &&mut Binding| other.instance == instance && other.reg_id == reg_id;
            bindings.iter_mut().filter(same).for_each(|other| other.secret = secret);
        }
        None => {}
    }
}

/// The URI of a contact, if requests may be made of it.
fn uri_of(config: &Config, account: &SipUri, contact: &NameAddr, flow: Flow) -> Result<SipUri, Response> {
    // RFC 5627 §5.1.
    let Uri::Sip(uri) = &contact.uri else { return Err(Response::new(403, "Contact Is No SIP URI")) };
    // What it says would be what requests here are sent to again and again.
    let is_temporary = uri.user.as_deref().is_some_and(|user| user.starts_with(TEMPORARY)) && uri.host == account.host;
    if is_temporary || uri.host == account.host || is_in(&config.own_domains, &uri.host) {
        return Err(Response::new(403, "Contact Leads Back Here"));
    }
    if uri.headers.is_some() || uri.password.is_some() || uri.to_string().len() > URI {
        return Err(Response::new(400, "Bad Contact"));
    }
    // RFC 5630 §3.2: nothing is sent to a SIPS contact without TLS.
    if uri.secure && !matches!(flow.transport, Transport::Tls | Transport::Wss) {
        return Err(Response::new(400, "SIPS Contact Without TLS"));
    }
    Ok(uri.clone())
}

/// RFC 5626 §4.1: the instance, as the URN that it is. What is none is ignored.
fn instance(contact: &NameAddr) -> Option<Str> {
    let value = contact.params.value("+sip.instance")?;
    let urn = value.strip_prefix('<')?.strip_suffix('>')?;
    let is_urn = urn.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
    let sound =
        is_urn && urn.len() <= INSTANCE && urn.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.+".contains(&b));
    sound.then(|| Str::from(urn))
}

/// 1 to 2^31 - 1.
fn reg_id(contact: &NameAddr) -> Option<u32> {
    let number = lex::number(contact.params.get("reg-id")?, (1 << 31) - 1)?;
    u32::try_from(number).ok().filter(|number| *number > 0)
}

/// RFC 3261 §25.1 `qvalue`, in thousandths. What is none is ignored.
fn q(contact: &NameAddr) -> u16 {
    let read = |text: &str| {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let whole = lex::number(whole, 1)?;
        let digits = rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_digit());
        let rest = lex::number(&format_compact!("{rest:0<3}"), 999).filter(|_| digits)?;
        u16::try_from(whole * 1000 + rest).ok().filter(|q| *q <= 1000)
    };
    contact.params.get("q").and_then(read).unwrap_or(1000)
}

/// RFC 3327 §5.3: the proxies that requests for the contact have to go through. A phone that did not say that it knows of that gets no other treatment: it is
/// the proxies that have to.
fn path(request: &Request) -> Result<Option<Str>, Response> {
    let routes = request.headers.routes(Name::Path).map_err(|_| Response::new(400, "Bad Path"))?;
    let mut path = Str::default();
    for route in &routes {
        let comma = if path.is_empty() { "" } else { ", " };
        path.push_str(&format_compact!("{comma}{route}"));
        if path.len() > PATH {
            return Err(Response::new(400, "Path Too Long"));
        }
    }
    Ok((!path.is_empty()).then_some(path))
}

/// RFC 5626 §6: whether Outbound is used. Not by UDP, where a phone would have to be answered by STUN.
fn outbound(request: &Request, contacts: &[NameAddr], flow: Flow) -> Result<bool, Response> {
    let headers = &request.headers;
    let wanted = |contact: &&NameAddr| {
        reg_id(contact).is_some() && instance(contact).is_some() && contact.expires().ok().flatten() != Some(0)
    };
    if !contacts.iter().any(|contact| wanted(&contact)) {
        return Ok(false);
    }
    let supported = supports(request, "outbound");
    // The first hop is who has put a Via in and nobody beside.
    if headers.elements(Name::Via).count() > 1 {
        let first = headers.routes(Name::Path).ok().and_then(|routes| routes.into_iter().next());
        let first = first.and_then(|route| route.uri.sip().map(|uri| uri.params.has("ob")));
        return match first {
            Some(true) => Ok(supported),
            Some(false) | None if supported => Err(Response::new(439, "First Hop Lacks Outbound Support")),
            Some(false) | None => Ok(false),
        };
    }
    if !supported || flow.connection.is_none() {
        return Ok(false);
    }
    let new = contacts.iter().filter(|contact| contact.expires().ok().flatten() != Some(0)).count();
    if new > 1 { Err(Response::new(400, "One Flow At A Time")) } else { Ok(true) }
}

/// Whether Supported or Require lists an option.
pub(super) fn supports(request: &Request, option: &str) -> bool {
    let lists = [Name::Supported, Name::Require];
    lists.iter().any(|name| request.headers.elements(*name).flatten().any(|listed| listed.eq_ignore_ascii_case(option)))
}
