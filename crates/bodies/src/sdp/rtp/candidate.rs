//! ICE in descriptions (RFC 8839 §5), with TCP (RFC 6544) and what trickles (RFC 8840); and the port of RTCP (RFC 3605).

use super::super::{Address, Host};
use super::{Value, is_visible, number, visible, word};
use base::Str;
use std::fmt;
use std::net::IpAddr;

/// The most extensions of one candidate.
const MAX_EXTENSIONS: usize = 16;

/// The most components that `a=remote-candidates` names.
const MAX_COMPONENTS: usize = 8;

/// `a=candidate` (§5.1): where its author might be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What candidates of the same kind and origin share: 1 to 32 letters, digits, `+` and `/`.
    pub foundation: Str,
    /// 1 for RTP, 2 for RTCP; at most 256.
    pub component: u16,
    /// `UDP` or `TCP`, in any case.
    pub transport: Str,
    /// The higher the better. By the RFC 1 to 2^31-1; larger ones are in the field.
    pub priority: u32,
    /// An IP address, or a name: of those `.local` alone means something to somebody (mDNS).
    pub address: Str,
    /// The port; 9 for TCP candidates that only connect.
    pub port: u16,
    /// `host`, `srflx`, `prflx`, `relay`.
    pub kind: Str,
    /// The address that it was derived from.
    pub related_address: Option<Str>,
    /// The port of that.
    pub related_port: Option<u16>,
    /// What else is said, as name and value: `tcptype` (RFC 6544 §4.5), `generation`, `network-cost`... At most 16.
    pub extensions: Vec<(Str, Str)>,
}

impl Candidate {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// The value of an extension.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether both stand for the same place: what RFC 8840 §4.4 compares candidates by that are said again.
    pub fn same(&self, other: &Candidate) -> bool {
        (self.component, self.port) == (other.component, other.port)
            && self.transport.eq_ignore_ascii_case(&other.transport)
            && (self.address == other.address || self.ip().is_some_and(|ip| other.ip() == Some(ip)))
    }
}

impl Value for Candidate {
    const NAME: &'static str = "candidate";

    fn parse(value: &str) -> Option<Candidate> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let mut next = || words.next();
        let foundation = next().filter(|foundation| foundation.len() <= 32 && is_ice(foundation))?.into();
        let component = number(next()?).filter(|component| (1..=256).contains(component))?;
        let transport = word(next()?)?;
        let priority = number(next()?).filter(|priority| *priority > 0)?;
        let (address, port) = (host(next()?)?, number(next()?)?);
        let kind = next().filter(|typ| typ.eq_ignore_ascii_case("typ")).and_then(|_| next()).and_then(word)?;
        let mut candidate = Candidate {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind,
            related_address: None,
            related_port: None,
            extensions: Vec::new(),
        };
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            match name {
                "raddr" => candidate.related_address = Some(host(value)?),
                "rport" => candidate.related_port = Some(number(value)?),
                name if candidate.extensions.len() < MAX_EXTENSIONS => {
                    candidate.extensions.push((word(name)?, visible(value)?));
                }
                // Nobody needs to understand them.
                _ => {}
            }
        }
        Some(candidate)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { foundation, component, transport, priority, address, port, kind, .. } = self;
        write!(f, "{foundation} {component} {transport} {priority} {address} {port} typ {kind}")?;
        self.related_address.as_ref().map_or(Ok(()), |address| write!(f, " raddr {address}"))?;
        self.related_port.map_or(Ok(()), |port| write!(f, " rport {port}"))?;
        self.extensions.iter().try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

/// `a=remote-candidates` (§5.2): what its author has chosen of the other side's, each as component, address and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCandidates(
    /// At most 8.
    pub Vec<(u16, Str, u16)>,
);

impl Value for RemoteCandidates {
    const NAME: &'static str = "remote-candidates";

    fn parse(value: &str) -> Option<RemoteCandidates> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let mut all = Vec::new();
        while let Some(component) = words.next() {
            let component = number(component).filter(|component| (1..=256).contains(component))?;
            if all.len() == MAX_COMPONENTS {
                return None;
            }
            all.push((component, host(words.next()?)?, number(words.next()?)?));
        }
        (!all.is_empty()).then_some(RemoteCandidates(all))
    }
}

impl fmt::Display for RemoteCandidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, (component, address, port))| {
            let gap = if n == 0 { "" } else { " " };
            write!(f, "{gap}{component} {address} {port}")
        })
    }
}

/// `a=ice-options` (§5.6): what its author can do beyond the core: `ice2`, `trickle` (RFC 8840 §3.1)...
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IceOptions(
    /// The options, at most 16.
    pub Vec<Str>,
);

impl IceOptions {
    /// Whether this one is there.
    pub fn has(&self, option: &str) -> bool {
        self.0.iter().any(|there| there == option)
    }
}

impl Value for IceOptions {
    const NAME: &'static str = "ice-options";

    fn parse(value: &str) -> Option<IceOptions> {
        let mut options = Vec::new();
        for option in value.split(' ').filter(|option| !option.is_empty()).take(MAX_EXTENSIONS) {
            // By the grammar it has the letters of ICE alone; `google-ice` is in the field.
            options.push(word(option)?);
        }
        (!options.is_empty()).then_some(IceOptions(options))
    }
}

impl fmt::Display for IceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Whether it is the name of an ICE agent in its checks, `a=ice-ufrag` (§5.4).
pub fn is_ufrag(text: &str) -> bool {
    (4..=256).contains(&text.len()) && is_ice(text)
}

/// Whether it is its password, `a=ice-pwd` (§5.4).
pub fn is_password(text: &str) -> bool {
    (22..=256).contains(&text.len()) && is_ice(text)
}

/// `a=rtcp` (RFC 3605 §2.1): where RTCP goes, if not to the next port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtcp {
    /// The port.
    pub port: u16,
    /// The address, if it is another one.
    pub address: Option<Address>,
}

impl Value for Rtcp {
    const NAME: &'static str = "rtcp";

    fn parse(value: &str) -> Option<Rtcp> {
        let mut words = value.trim_matches(' ').splitn(4, ' ');
        let port = number(words.next()?)?;
        let address = match words.next() {
            None => None,
            Some(network) => {
                let (network, family, text) = (word(network)?, word(words.next()?)?, visible(words.next()?)?);
                let address = Address { network, family, text };
                address.host().is_some().then_some(Some(address))?
            }
        };
        Some(Rtcp { port, address })
    }
}

impl fmt::Display for Rtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        self.address.as_ref().map_or(Ok(()), |address| write!(f, " {address}"))
    }
}

/// The letters of ICE (§5.1): those of base 64.
fn is_ice(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// An IP address or a name that cannot be taken for one.
fn host(text: &str) -> Option<Str> {
    let fits = is_visible(text) && (text.parse::<IpAddr>().is_ok() || Host::name(text).is_some());
    fits.then(|| text.into())
}
