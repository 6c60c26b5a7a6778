//! What the registrar knows, is told and tells.

use crate::agent::{Flow, Transport};
use crate::header::NameAddr;
use crate::uri::{Host, SipUri, Uri};
use base::{HashKey, Str, Time, Tokens, format_compact};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The bounds of a registrar. All times are in seconds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The shortest registration; one that asks for less gets 423 (RFC 3261 §10.3 step 7). At most an hour: what asks for more than that is never
    /// too brief.
    pub min_expires: u32,
    /// How long a registration is that does not say how long it is to be.
    pub default_expires: u32,
    /// The longest; what asks for more gets this.
    pub max_expires: u32,
    /// The contacts of one account. One more takes the place of the one that would expire first.
    pub contacts: usize,
    /// The contacts of all accounts together; beyond: 503 with Retry-After.
    pub bindings: usize,
    /// The REGISTERs of one account that wait until the one before them is saved; beyond: 503 with Retry-After.
    pub waiting: usize,
    /// What Flow-Timer says (RFC 5626 §10): how long a phone may leave a connection without a sign of life.
    pub flow_timer: u32,
    /// What Retry-After says.
    pub retry_after: u32,
    /// Domains that no contact may be in: those that requests for contacts come from, or lead back to here.
    pub own_domains: Vec<Str>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            min_expires: 60,
            default_expires: 3600,
            max_expires: 3600,
            contacts: 10,
            bindings: 100_000,
            waiting: 8,
            flow_timer: 120,
            retry_after: 5,
            own_domains: Vec::new(),
        }
    }
}

/// All contacts of an account, the one that was refreshed last at the end.
pub type Bindings = Arc<[Binding]>;

/// A contact of an account: RFC 3261 §10, with what RFC 3327, RFC 5626 and RFC 5627 add.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Where the phone says that it is.
    pub contact: SipUri,
    /// Which phone it is (RFC 5626 §4.1), without the angle brackets.
    pub instance: Option<Str>,
    /// Which of its flows, where Outbound is used.
    pub reg_id: Option<u32>,
    /// What is preferred, 0 to 1000.
    pub q: u16,
    /// The proxies on the way (RFC 3327), as the value of a Route header.
    pub path: Option<Str>,
    /// The Call-ID of the REGISTER that made or last refreshed it.
    pub call_id: Str,
    /// Its CSeq.
    pub cseq: u32,
    /// When it is over.
    pub expires_at: Time,
    /// The way that the REGISTER came. Without a connection where that is gone.
    pub flow: Flow,
    /// What its temporary GRUUs are made with: each is valid for as long as this is.
    pub secret: Secret,
}

/// 128 random bits that nobody is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub(super) u64, pub(super) u64);

impl Secret {
    /// A new one.
    pub(super) fn new(tokens: &mut Tokens) -> Secret {
        Secret(tokens.u64(), tokens.u64())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Binding {
    /// Where requests for this contact go, and over which connection alone if there is one; nothing where there is no way any more.
    ///
    /// They go to where the REGISTER came from, whose sender has proved who it is and that it gets what is sent there: a Contact that names somebody
    /// else makes nobody else ring, and one behind a NAT is reached. Only where the Contact names the very host that the REGISTER came from is its
    /// port obeyed, and its transport where no connection is left: such a phone registers by one socket and listens on another.
    pub fn place(&self) -> Option<(Transport, SocketAddr, Option<u64>)> {
        let Flow { transport, remote, connection, .. } = self.flow;
        let same_host = self.path.is_none() && self.contact.host.ip() == Some(remote.ip().to_canonical());
        match transport {
            Transport::Udp | Transport::Tcp if connection.is_none() => {
                let named = self.contact.params.get("transport");
                let tcp = named.map_or(transport == Transport::Tcp, |named| named.eq_ignore_ascii_case("tcp"));
                let named = if tcp { Transport::Tcp } else { Transport::Udp };
                let port = self.contact.port.unwrap_or(named.default_port());
                match transport {
                    _ if same_host && self.reg_id.is_none() && port != 0 => {
                        Some((named, SocketAddr::new(remote.ip(), port), None))
                    }
                    Transport::Udp => Some((transport, remote, None)),
                    _ => None,
                }
            }
            // A connection that is gone was the only way to a phone behind a NAT, and there is no name that a new one could be made for.
            Transport::Udp | Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                connection.map(|connection| (transport, remote, Some(connection)))
            }
        }
    }

    /// Whether there is a way to it, and it is not over.
    pub fn is_alive(&self, now: Time) -> bool {
        self.expires_at > now && self.place().is_some()
    }

    /// How many seconds it lasts from now on, rounded up.
    pub fn left(&self, now: Time) -> u32 {
        u32::try_from(self.expires_at.since(now).as_micros().div_ceil(1_000_000)).unwrap_or(u32::MAX)
    }

    /// Whether a remote target in a dialog is this contact: the same user at the same host and port. Phones add parameters to it.
    pub fn is_at(&self, target: &SipUri) -> bool {
        let (a, b) = (&self.contact, target);
        a.user == b.user && a.host == b.host && a.port == b.port
    }

    /// RFC 5627 §5.4: the account's address with the instance as its `gr`. Nothing of it need be remembered.
    pub fn public_gruu(&self, account: &SipUri) -> Option<SipUri> {
        let mut gruu = account.clone();
        gruu.params.set("gr", Some(self.instance.as_ref()?.as_bytes()));
        Some(gruu)
    }

    /// RFC 5627 §5.4: an address that tells neither the account nor the phone, and cannot be told to be of the same as another one: `serial`, which
    /// must be random, and what the binding's secret makes of it. All that were ever made are valid, and none is remembered.
    pub fn temporary_gruu(&self, account: &SipUri, serial: &str) -> Option<SipUri> {
        self.instance.as_ref()?;
        let mut gruu = SipUri::new(account.host.clone());
        gruu.user = Some(format_compact!("{TEMPORARY}{serial}.{}", self.proof(serial)));
        gruu.port = account.port;
        gruu.params.set("gr", None);
        Some(gruu)
    }

    /// Whether a temporary GRUU was made here.
    pub fn made(&self, gruu: &SipUri) -> bool {
        let user = gruu.user.as_deref().and_then(|user| user.strip_prefix(TEMPORARY));
        let parts = user.and_then(|user| user.split_once('.')).filter(|_| self.instance.is_some());
        parts.is_some_and(|(serial, proof)| self.proof(serial) == proof)
    }

    fn proof(&self, serial: &str) -> Str {
        format_compact!("{:032x}", HashKey::new(self.secret.0, self.secret.1).fingerprint(&[serial.as_bytes()]).bits())
    }

    /// Whether the two are one binding: RFC 3261 §10.3 step 7, RFC 5626 §6.
    pub(super) fn is_same(&self, other: &Binding) -> bool {
        match (&self.reg_id, &other.reg_id) {
            (Some(a), Some(b)) => a == b && self.instance == other.instance,
            (None, None) => self.contact.equivalent(&other.contact),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The Contact of an answer.
    pub(super) fn to_contact(&self, now: Time) -> NameAddr {
        let mut contact = NameAddr::new(Uri::Sip(self.contact.clone()));
        if self.q < 1000 {
            contact.params.set("q", Some(&format_compact!("0.{:03}", self.q)));
        }
        contact.params.set("expires", Some(&format_compact!("{}", self.left(now))));
        if let Some(instance) = &self.instance {
            contact.params.set("+sip.instance", Some(&format_compact!("<{instance}>")));
        }
        if let Some(reg_id) = self.reg_id {
            contact.params.set("reg-id", Some(&format_compact!("{reg_id}")));
        }
        contact
    }
}

/// What begins the user part of a temporary GRUU.
pub(super) const TEMPORARY: &str = "tgruu.";

/// Whether a URI looks like a temporary GRUU of ours.
pub(super) fn is_temporary(uri: &SipUri) -> bool {
    uri.gr() == Some("") && uri.user.as_deref().is_some_and(|user| user.starts_with(TEMPORARY))
}

/// Whether a host is one of these domains.
pub(super) fn is_in(domains: &[Str], host: &Host) -> bool {
    matches!(host, Host::Name(name) if domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)))
}

/// These are to be the contacts of an account, none of them if it has no more: save that, and say [`Registrar::saved`](super::Registrar::saved).
#[derive(Debug)]
pub struct Save {
    /// The account.
    pub account: Str,
    /// Its contacts.
    pub bindings: Bindings,
}

/// Counts since the start, and at the end what there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// REGISTERs that made, refreshed or removed contacts.
    pub registered: u64,
    /// REGISTERs that only asked.
    pub asked: u64,
    /// REGISTERs that were refused.
    pub refused: u64,
    /// Contacts that were not refreshed in time.
    pub expired: u64,
    /// Contacts.
    pub bindings: usize,
}
