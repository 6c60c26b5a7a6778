//! RFC 7247 §6: SIP, IM, presence and telephone URIs <-> XMPP addresses.
//!
//! Three promises hold for whatever comes in, and the tests say so:
//! - An XMPP address that maps to a URI is the address that this URI maps to.
//! - Two SIP users never become one XMPP user, except those that differ by no more than case, the composition of
//!   their characters (NFC) or their width, as XMPP makes no such differences ([`xmpp::jid::username_fold`]): the SIP
//!   users `Juliet` and `juliet` share an address, and an answer goes to the latter.
//! - Nothing panics, and what cannot be mapped is an [`AddressError`] that says why.
//!
//! What a URI says beyond who it is about is left out: port, transport and other parameters, headers. A `gr` is the
//! exception (§6.3), it names a device as an XMPP resource does.

mod explain;
mod fault;
mod local;
mod phone;

use base::Str;
use explain::Trace;
use sip::uri::{Host, SipUri, Uri, percent_decode};
use std::borrow::Cow;
use xmpp::jid::{Jid, domain_to_ascii};

pub use explain::{Explanation, Step, explain_jid, explain_uri};
pub use fault::AddressError;

/// What the mapping from SIP is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The domain that `tel:` numbers belong to, prepared by [`xmpp::jid::domain`]. Without one no `tel:` URI maps:
    /// telephone numbers are out of RFC 7247's scope, and a number alone is nobody's XMPP address.
    pub phone_domain: Option<Str>,
}

/// The scheme of a SIP URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`, where every hop must use TLS (RFC 5630): the caller's policy.
    Sips,
}

/// A form that an XMPP address can take outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A SIP URI, with `gr` for a resource.
    Sip(Scheme),
    /// `im:` (RFC 3860). It has no place for a resource, which is left out.
    Im,
    /// `pres:` (RFC 3859). It has no place for a resource, which is left out.
    Pres,
    /// `tel:` (RFC 3966), for local parts that are telephone numbers. The domain is left out: the caller knows that it
    /// is [`Options::phone_domain`].
    Tel,
}

/// The XMPP address of a URI: RFC 7247 §6.4.
///
/// A `gr` value becomes the resource if it can be one (OpaqueString, 1023 octets); else, and for the temporary GRUUs of
/// a `gr` without value (§6.3), the address is bare.
pub fn to_jid(uri: &Uri, options: &Options) -> Result<Jid, AddressError> {
    jid_of_uri(uri, options, &mut ())
}

/// The SIP URI of an XMPP address: RFC 7247 §6.5. The resource, where there is one, becomes `gr`.
pub fn to_uri(jid: &Jid, scheme: Scheme) -> Result<SipUri, AddressError> {
    sip_of_jid(jid, scheme, &mut ())
}

/// The URI of an XMPP address in any form: RFC 7247 §6.5.
pub fn to_form(jid: &Jid, form: Form) -> Result<Uri, AddressError> {
    uri_of_jid(jid, form, &mut ())
}

/// Whether the user keeps its name on servers that still apply stringprep, as most do. If not, what it sends may reach
/// others under another user's name (`fußball` under `fussball`): refuse such senders unless the server is known to
/// apply RFC 7622. Addresses of XMPP users need no such question, their own server decided it.
pub fn keeps_its_name(jid: &Jid) -> Result<(), AddressError> {
    if jid.is_stringprep_stable() { Ok(()) } else { Err(AddressError::Unstable) }
}

fn jid_of_uri(uri: &Uri, options: &Options, trace: &mut impl Trace) -> Result<Jid, AddressError> {
    match uri {
        Uri::Sip(uri) => jid_of_sip(uri, trace),
        Uri::Other { scheme, rest } => match (scheme.as_str(), &options.phone_domain) {
            ("im" | "pres", _) => jid_of_im(uri, rest, trace),
            ("tel", Some(domain)) => jid_of_tel(uri, rest, domain, trace),
            _ => Err(AddressError::Scheme(scheme.clone())),
        },
    }
}

fn jid_of_sip(uri: &SipUri, trace: &mut impl Trace) -> Result<Jid, AddressError> {
    // RFC 3261 §19.1.1 warns of passwords in URIs; XMPP has no place for one, and `a:b` must not become `a\3ab`.
    if uri.password.is_some() {
        return Err(AddressError::Password);
    }
    let user = uri.user.as_deref();
    trace.step("6.4 step 1", "remove the scheme", || {
        (uri.to_string(), uri.to_string().split_once(':').map(|(_, rest)| rest.to_owned()).unwrap_or_default())
    });
    let user = match user {
        // RFC 3261 §19.1.6: the user part is a telephone number with parameters of its own.
        Some(user) if uri.params.get("user").is_some_and(|v| v.eq_ignore_ascii_case("phone")) => {
            let canonical = phone::canonical(user, phone::Context::Optional);
            if let Ok(number) = &canonical {
                trace.step("RFC 3966 §4", "reduce the telephone number", || (user.to_owned(), number.to_string()));
            }
            Some(canonical.map_or(Cow::Borrowed(user), |number| Cow::Owned(number.into_string())))
        }
        user => user.map(Cow::Borrowed),
    };
    let host = match &uri.host {
        Host::Name(name) => Cow::Borrowed(name.as_str()),
        address @ (Host::V4(_) | Host::V6(_)) => Cow::Owned(address.to_string()),
    };
    let bare = combine(user.as_deref(), &host, trace)?;
    Ok(match uri.gr() {
        None => bare,
        Some(gr) => {
            let full = resource_of_gr(gr).and_then(|resource| bare.with_resource(&resource).ok());
            let what = match (&full, gr) {
                (Some(_), _) => "append a slash and the gr value",
                (None, "") => "leave out the gr of a temporary GRUU (§6.3)",
                (None, _) => "leave out a gr that can be no resource",
            };
            let jid = full.unwrap_or_else(|| bare.clone());
            trace.step("6.4 step 8", what, || (format!("{bare} with gr={gr}"), jid.to_string()));
            jid
        }
    })
}

/// The resource that a `gr` value names, if it is text.
fn resource_of_gr(gr: &str) -> Option<String> {
    String::from_utf8(percent_decode(gr).ok()?).ok()
}

fn jid_of_im(uri: &Uri, rest: &str, trace: &mut impl Trace) -> Result<Jid, AddressError> {
    // RFC 3860 §3: `im:mailbox?headers`.
    let mailbox = rest.split('?').next().unwrap_or_default();
    trace.step("6.4 step 1", "remove the scheme", || (uri.to_string(), mailbox.to_owned()));
    let (user, host) = mailbox.split_once('@').ok_or(AddressError::NoUser)?;
    combine(Some(user), host, trace)
}

fn jid_of_tel(uri: &Uri, rest: &str, domain: &str, trace: &mut impl Trace) -> Result<Jid, AddressError> {
    let number = phone::canonical(rest, phone::Context::Required)?;
    trace.step("RFC 3966 §4", "reduce the telephone number", || (uri.to_string(), number.to_string()));
    combine(Some(&number), domain, trace)
}

/// §6.4 steps 2 to 7.
fn combine(user: Option<&str>, host: &str, trace: &mut impl Trace) -> Result<Jid, AddressError> {
    trace.step("6.4 step 2", "split at the first @", || match user {
        Some(user) => (format!("{user}@{host}"), format!("{user} | {host}")),
        None => (host.to_owned(), format!("no user | {host}")),
    });
    let jid = match user {
        Some(user) => local::jid_of_user(user, host, trace)?,
        None => Jid::new(None, host, None)?,
    };
    trace.step("6.4 step 7", "recombine with the domain as XMPP writes it", || (host.to_owned(), jid.to_string()));
    Ok(jid)
}

fn uri_of_jid(jid: &Jid, form: Form, trace: &mut impl Trace) -> Result<Uri, AddressError> {
    match form {
        Form::Sip(scheme) => sip_of_jid(jid, scheme, trace).map(Uri::Sip),
        Form::Im => im_of_jid(jid, "im", trace),
        Form::Pres => im_of_jid(jid, "pres", trace),
        Form::Tel => {
            let user = local::user_of_jid(jid, trace)?.ok_or(AddressError::NoUser)?;
            let number = phone::canonical(&phone::encode(&user), phone::Context::Required)?;
            if number != phone::encode(&user) {
                return Err(AddressError::Phone("not in its shortest form"));
            }
            Ok(Uri::Other { scheme: Str::const_new("tel"), rest: number })
        }
    }
}

fn sip_of_jid(jid: &Jid, scheme: Scheme, trace: &mut impl Trace) -> Result<SipUri, AddressError> {
    let user = local::user_of_jid(jid, trace)?;
    let host = host_of_jid(jid, trace)?;
    let mut uri = SipUri::new(host);
    uri.secure = scheme == Scheme::Sips;
    if let Some(user) = &user {
        uri = uri.with_user(user.as_bytes());
        trace.step("6.5 step 5", "percent-encode what a SIP user part may not have", || {
            (user.to_string(), uri.user.as_deref().unwrap_or_default().to_owned())
        });
    }
    trace.step("6.5 steps 6, 7", "combine with the host and prepend the scheme", || {
        (uri.host.to_string(), uri.to_string())
    });
    if let Some(resource) = jid.resource() {
        uri.params.set("gr", Some(resource.as_bytes()));
        trace.step("6.5 step 8", "append the resource as gr, percent-encoded", || {
            let before = SipUri { params: Default::default(), ..uri.clone() };
            (before.to_string(), uri.to_string())
        });
    }
    Ok(uri)
}

fn im_of_jid(jid: &Jid, scheme: &'static str, trace: &mut impl Trace) -> Result<Uri, AddressError> {
    let user = local::user_of_jid(jid, trace)?.ok_or(AddressError::NoUser)?;
    let encoded = local::encode_dot_atom(&user);
    trace.step("6.5 step 5", "percent-encode what a mailbox name in a URI may not have", || {
        (user.to_string(), encoded.to_string())
    });
    let host = host_of_jid(jid, trace)?;
    let uri = Uri::Other { scheme: Str::const_new(scheme), rest: base::format_compact!("{encoded}@{host}") };
    trace
        .step("6.5 steps 6, 7", "combine with the host and prepend the scheme", || (host.to_string(), uri.to_string()));
    Ok(uri)
}

fn host_of_jid(jid: &Jid, trace: &mut impl Trace) -> Result<Host, AddressError> {
    let ascii = domain_to_ascii(jid.domain())?;
    if ascii != jid.domain() {
        trace.step("6.1", "write the domain in A-labels, as SIP has no others", || {
            (jid.domain().to_owned(), ascii.to_string())
        });
    }
    // SIP wants the last label to begin with a letter (RFC 3261 §25.1, toplabel); XMPP does not.
    Host::parse(&ascii).map_err(|_| AddressError::NoSipHost(ascii))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
