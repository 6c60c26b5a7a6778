//! What the outside is to the gateway: where others find its domains, and whether the proxy is who it should be.

use crate::config::{Config, Transport};
use crate::io::dns::Dns;
use crate::io::s2s;
use crate::setup;
use crate::tls::{End, Tls, server_name};
use base::Str;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use xmpp::federation::Unlocated;

/// How long each try may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was tried, and what came of it.
pub(super) type Tried = (String, Result<String, String>);

/// Looks for our federated domains as other servers do, and connects to the proxy as the gateway would.
pub(super) fn try_out(config: &Config) -> Vec<Tried> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(tries(config)),
        Err(e) => vec![("a runtime".to_owned(), Err(e.to_string()))],
    }
}

async fn tries(config: &Config) -> Vec<Tried> {
    let mut tried = Vec::new();
    let dns = match Dns::of(&config.dns) {
        Ok(dns) => dns,
        Err(e) => return vec![("dns.server".to_owned(), Err(e.to_string()))],
    };
    for domain in config.xmpp.federation.iter().flat_map(|federation| &federation.domains) {
        tried.push((format!("xmpp federation {domain}"), found(&dns, domain).await));
    }
    if let Some(proxy) = &config.sip.outbound_proxy
        && proxy.transport != Transport::Udp
    {
        let reached = match timeout(PATIENCE, reach(config, &dns)).await {
            Ok(reached) => reached.map_err(|e| e.to_string()),
            Err(_) => Err("no answer".to_owned()),
        };
        tried.push((format!("sip proxy {proxy}"), reached.map(|()| "can be reached".to_owned())));
    }
    tried
}

/// Where other servers look for a domain of ours.
async fn found(dns: &Dns, domain: &str) -> Result<String, String> {
    let tokens = setup::tokens().map_err(|e| e.to_string())?;
    match s2s::locate(dns, domain, tokens).await {
        Ok(targets) => {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            Ok(format!("is looked for at {}", targets.join(", ")))
        }
        Err(Unlocated::NotFound) => Err("nobody finds it: neither SRV records nor an address".to_owned()),
        Err(Unlocated::Failed) => Err("the name servers do not answer".to_owned()),
    }
}

/// A connection to the proxy; over TLS it has to be the one that was named.
async fn reach(config: &Config, dns: &Dns) -> io::Result<()> {
    let gateway = setup::gateway_config(config, dns, 1, 0).await?;
    let Some(proxy) = gateway.proxy else { return Ok(()) };
    let (remote, name) = (proxy.target.remote, proxy.target.name.clone());
    let stream = TcpStream::connect(remote).await?;
    if proxy.target.transport.secure() { shake(config, stream, remote, name).await } else { Ok(()) }
}

async fn shake(config: &Config, stream: TcpStream, remote: SocketAddr, name: Option<Str>) -> io::Result<()> {
    let tls = Tls::new(&config.tls, "")?;
    let host = name.unwrap_or_else(|| base::format_compact!("{}", remote.ip().to_canonical()));
    let asked = server_name(&host).ok_or_else(|| io::Error::other("no name that a certificate could have"))?;
    let stream = TlsConnector::from(tls.client(None, &[])?).connect(asked, stream).await?;
    let verdict = tls.judge(stream.get_ref().1.peer_certificates(), End::Server);
    verdict.for_sip(&host).map_err(io::Error::other)
}
