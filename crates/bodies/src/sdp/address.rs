//! Addresses: `c=` (§5.7), and the end of `o=` (§5.2).

use super::MAX_WORD;
use crate::Error;
use base::{Str, format_compact};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network address, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) network: Str,
    pub(super) family: Str,
    pub(super) text: Str,
}

/// A host on the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A domain name, as it is written.
    Name(Str),
}

impl Address {
    /// The address of a host. A name is put under IP4, as most readers look at the family only for addresses.
    pub fn new(host: &Host) -> Address {
        let family = match host {
            Host::Ip(IpAddr::V4(_)) | Host::Name(_) => "IP4",
            Host::Ip(IpAddr::V6(_)) => "IP6",
        };
        Address { network: Str::const_new("IN"), family: Str::const_new(family), text: format_compact!("{host}") }
    }

    /// The host; None for multicast, and for a network or a family of addresses that is not known here.
    pub fn host(&self) -> Option<Host> {
        let address: Option<IpAddr> = match self.family()? {
            Family::Ip4 => self.text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Family::Ip6 => self.text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        };
        match address {
            Some(address) => Some(Host::Ip(address)).filter(|_| !address.is_multicast()),
            None => Host::name(&self.text),
        }
    }

    /// Whether it is a group of hosts.
    pub fn is_multicast(&self) -> bool {
        let (base, _) = self.parts();
        base.parse::<IpAddr>().is_ok_and(|address| address.is_multicast())
    }

    /// Whether the text is what network and family say. Of networks that are not known here nothing can be said.
    pub(super) fn check(&self) -> Result<(), Error> {
        const BAD: Error = Error::Malformed("bad address in c=");
        let Some(family) = self.family() else { return Ok(()) };
        let (base, suffix) = self.parts();
        let ip: Option<IpAddr> = match family {
            Family::Ip4 => base.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Family::Ip6 => base.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        };
        match (ip, suffix) {
            (None, None) => Host::name(base).map(drop).ok_or(BAD),
            (Some(_), None) => Ok(()),
            (Some(IpAddr::V4(first)), Some(suffix)) if first.is_multicast() => {
                let (ttl, count) = suffix.split_once('/').map_or((suffix, None), |(ttl, count)| (ttl, Some(count)));
                let ttl: Option<u8> = number(ttl);
                let count: Option<u32> = count.map_or(Some(1), number);
                // The last of them must be an address, too.
                let last = count.and_then(|count| first.to_bits().checked_add(count.checked_sub(1)?));
                let fits = last.is_some_and(|last| Ipv4Addr::from_bits(last).is_multicast());
                if ttl.is_some() && fits { Ok(()) } else { Err(BAD) }
            }
            (Some(IpAddr::V6(first)), Some(count)) if first.is_multicast() => {
                number::<u32>(count).filter(|count| *count > 0).map(drop).ok_or(BAD)
            }
            (None | Some(_), Some(_)) => Err(BAD),
        }
    }

    fn family(&self) -> Option<Family> {
        match (self.network.as_str(), self.family.as_str()) {
            ("IN", "IP4") => Some(Family::Ip4),
            ("IN", "IP6") => Some(Family::Ip6),
            _ => None,
        }
    }

    fn parts(&self) -> (&str, Option<&str>) {
        self.text.split_once('/').map_or((&self.text, None), |(base, suffix)| (base, Some(suffix)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.network, self.family, self.text)
    }
}

enum Family {
    Ip4,
    Ip6,
}

impl Host {
    /// A domain name: letters, digits and hyphens in labels, of which the last is no number, for what looks like an address to one
    /// reader (`2130706433`, `0x7f.1`, `0177.0.0.1`) shall not be a name to the next.
    pub fn name(name: &str) -> Option<Host> {
        let labels = name.strip_suffix('.').unwrap_or(name);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let last = labels.rsplit('.').next().unwrap_or_default();
        let hex = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        let number =
            last.bytes().all(|b| b.is_ascii_digit()) || hex && last.bytes().skip(2).all(|b| b.is_ascii_hexdigit());
        (name.len() <= MAX_WORD && labels.split('.').all(label) && !number).then(|| Host::Name(name.into()))
    }

    /// Whether both are the same as they are written, names without case. What a name stands for is not looked up.
    pub fn same(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Ip(a), Host::Ip(b)) => a.to_canonical() == b.to_canonical(),
            (Host::Name(a), Host::Name(b)) => {
                let [a, b] = [a, b].map(|name| name.strip_suffix('.').unwrap_or(name));
                a.eq_ignore_ascii_case(b)
            }
            (Host::Ip(_), Host::Name(_)) | (Host::Name(_), Host::Ip(_)) => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(address) => address.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// Digits and nothing else, as `parse` takes a plus sign too.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok())
}
