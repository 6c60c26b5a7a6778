//! Where the gateway itself listens: nobody leads it there.

use crate::config::{Config, FederationListen, Host, HostPort, Listen, MsrpListen, Transport};
use std::net::{IpAddr, SocketAddr};
use stox::config::Own;

/// All listeners, with the ports that the system chose: at the addresses that unspecified ones stand for now, and under those that we have told
/// others.
pub(crate) fn own(
    config: &Config,
    sip: &[Listen],
    msrp: Option<&Vec<MsrpListen>>,
    servers: Option<&Vec<FederationListen>>,
) -> Own {
    let mut own = Own::default();
    for listen in sip {
        let list = match listen.transport {
            Transport::Udp => &mut own.datagrams,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => &mut own.connections,
        };
        list.push(listen.address);
        list.extend(literal(&listen.advertise));
    }
    for listen in msrp.into_iter().flatten() {
        own.connections.push(listen.address);
        own.connections.extend(literal(&listen.advertise));
    }
    own.connections.extend(servers.into_iter().flatten().map(|listen| listen.address));
    own.connections.extend(config.admin.listen);
    own.connections.extend(config.acme.as_ref().map(|acme| acme.listen));
    let all = |list: &[SocketAddr]| list.iter().any(|listen| listen.ip().is_unspecified());
    if all(&own.connections) || all(&own.datagrams) {
        let here = here();
        spell_out(&mut own.connections, &here);
        spell_out(&mut own.datagrams, &here);
    }
    own
}

fn literal(advertised: &HostPort) -> Option<SocketAddr> {
    match &advertised.host {
        Host::Address(address) => Some(SocketAddr::new(*address, advertised.port)),
        Host::Name(_) => None,
    }
}

/// The addresses of this machine; none where the system does not say.
fn here() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs();
    let interfaces =
        interfaces.inspect_err(|error| tracing::warn!(%error, "the system does not say which addresses it has"));
    interfaces.unwrap_or_default().iter().map(if_addrs::Interface::ip).collect()
}

/// Adds what the unspecified ones stand for.
fn spell_out(list: &mut Vec<SocketAddr>, here: &[IpAddr]) {
    let unspecified: Vec<SocketAddr> = list.iter().filter(|listen| listen.ip().is_unspecified()).copied().collect();
    for listen in unspecified {
        let same = here.iter().filter(|ip| ip.is_ipv4() == listen.is_ipv4());
        list.extend(same.map(|ip| SocketAddr::new(*ip, listen.port())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_listens_is_known_by_all_its_addresses() {
        let text = "[xmpp.federation]\ndomains = [\"example.com\"]\nlisten = [\"tcp:0.0.0.0:5269\"]\n[sip]\ndomains = [\"example.net\"]\n\
                    listen = [\"udp:0.0.0.0:5060\", \"tcp:203.0.113.77:5060\"]\nadvertise = [\"udp:198.51.100.7:5061\"]\n\
                    [admin]\nlisten = \"127.0.0.1:8480\"\n";
        let config = parse("a test", text, Environment::default()).unwrap().config;
        let servers = config.xmpp.federation.as_ref().map(|federation| &federation.listen);
        let own = own(&config, &config.sip.listen, None, servers);
        for (place, connections, datagrams) in [
            ("203.0.113.77:5060", true, false),
            ("[::ffff:203.0.113.77]:5060", true, false),
            ("203.0.113.77:5061", false, false),
            ("203.0.113.78:5060", false, false),
            // Loopback is what the system has in any case, and what an unspecified address leads to.
            ("127.0.0.1:5060", false, true),
            ("127.0.0.77:5269", true, false),
            ("0.0.0.0:5269", true, false),
            ("198.51.100.7:5061", false, true),
            ("198.51.100.7:5269", false, false),
            ("127.0.0.1:8480", true, false),
        ] {
            let found = (own.takes_connections(at(place)), own.takes_datagrams(at(place)));
            assert_eq!(found, (connections, datagrams), "{place}");
        }
        let here = here();
        assert!(here.iter().any(IpAddr::is_loopback));
        assert!(here.iter().filter(|ip| ip.is_ipv4()).all(|ip| own.takes_connections(SocketAddr::new(*ip, 5269))));
    }
}
