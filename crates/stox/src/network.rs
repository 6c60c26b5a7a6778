//! Networks, as access lists name them.

use std::fmt;
use std::net::IpAddr;

/// A network in CIDR notation; a single address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The network's address; the bits beyond the prefix are zero.
    pub address: IpAddr,
    /// How many bits count: 0 to 32, or to 128.
    pub prefix: u8,
}

impl Network {
    /// The network that `address` lies in; its bits beyond `prefix` are cut off. `None` for a prefix longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Network> {
        (prefix <= width(address)).then(|| Network { address: masked(address, prefix), prefix })
    }

    /// A network of one address.
    pub fn of(address: IpAddr) -> Network {
        let address = address.to_canonical();
        Network { address, prefix: width(address) }
    }

    /// Whether the address lies in the network. An IPv4 address mapped into IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && masked(address, self.prefix) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => IpAddr::V4((a.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into()),
        IpAddr::V6(a) => IpAddr::V6((a.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        let net = |network: &str, prefix| Network::new(network.parse().unwrap(), prefix).unwrap();
        let ip = |a: &str| a.parse::<IpAddr>().unwrap();
        assert!(net("127.0.0.0", 8).contains(ip("127.9.9.9")));
        assert!(net("127.0.0.0", 8).contains(ip("::ffff:127.0.0.1")), "mapped addresses are what they map");
        assert!(!net("127.0.0.0", 8).contains(ip("128.0.0.1")));
        assert!(!net("127.0.0.0", 8).contains(ip("::1")));
        assert!(net("2001:db8::", 32).contains(ip("2001:db8:1::1")));
        assert!(!net("2001:db8::", 32).contains(ip("2001:db9::1")));
        assert!(net("192.0.2.7", 32).contains(ip("192.0.2.7")));
        assert!(!net("192.0.2.7", 32).contains(ip("192.0.2.6")));
        assert!(net("0.0.0.0", 0).contains(ip("8.8.8.8")));
        assert!(!net("0.0.0.0", 0).contains(ip("2001:db8::1")));
        assert!(Network::of(ip("::ffff:192.0.2.7")).contains(ip("192.0.2.7")));
        assert_eq!(Network::new(ip("192.0.2.7"), 33), None);
        assert_eq!(net("192.0.2.7", 24).to_string(), "192.0.2.0/24");
    }
}
