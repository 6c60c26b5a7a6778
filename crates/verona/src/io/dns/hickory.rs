//! Name servers of the network, by hickory-resolver.

use super::{Coming, Lookup};
use crate::io::bounds;
use base::Str;
use base::dns::{Answer, Failure, MOST_RECORDS, Naptr, Question, Srv, name};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup as Found;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A name server on this machine.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// How long one server may take before it, or the next one, is asked again.
const TRY: Duration = Duration::from_millis(2500);

/// How often a server is asked in all.
const TRIES: usize = 3;

/// Asks name servers of the network.
#[derive(Debug)]
pub(crate) struct Hickory {
    resolver: TokioResolver,
    /// Sockets for questions. Who finds none waits.
    sockets: Arc<Semaphore>,
    search: Vec<Str>,
}

impl std::fmt::Debug for super::Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl Hickory {
    /// Asks `server`, or those of the system (`/etc/resolv.conf`) where there is none. Names in the system's hosts file are not asked for.
    ///
    /// # Errors
    /// The resolver cannot be made.
    pub(crate) fn new(server: Option<SocketAddr>) -> io::Result<Hickory> {
        let (config, mut options) = match server {
            Some(server) => (ResolverConfig::from_name_servers(vec![at(server)]), ResolverOpts::default()),
            // Where it names none, there may be one on this machine, as every resolver takes it.
            None => system_conf::read_system_conf()
                .unwrap_or_else(|_| (ResolverConfig::from_name_servers(vec![at(LOCAL)]), ResolverOpts::default())),
        };
        let search = config.search().iter().chain(config.domain());
        let search = search.filter_map(|domain| name(&domain.to_ascii()).ok()).collect();
        let config = ResolverConfig::from_name_servers(config.name_servers().to_vec());
        options.timeout = options.timeout.min(TRY);
        options.attempts = options.attempts.clamp(1, TRIES);
        options.use_hosts_file = ResolveHosts::Always;
        // What is kept is kept for all servers alike, and forgotten with them.
        options.cache_size = 0;
        options.max_active_requests = 256;
        options.try_tcp_on_error = true;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let sockets = Arc::new(Semaphore::new(bounds::look_ups()));
        Ok(Hickory { resolver: builder.build().map_err(io::Error::other)?, sockets, search })
    }
}

fn at(server: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    NameServerConfig::new(server.ip(), true, connections)
}

impl Lookup for Hickory {
    fn look_up(&self, question: Question) -> Coming {
        let (resolver, sockets) = (self.resolver.clone(), Arc::clone(&self.sockets));
        Box::pin(async move {
            let look_up = async |name: Name, kind: RecordType| {
                // They are never closed.
                let _socket = sockets.acquire().await;
                resolver.lookup(name, kind).await
            };
            let Ok(mut name) = Name::from_ascii(question.name()) else { return Answer::none(Failure::NoName) };
            // Nothing is put behind it: what a peer names is whole.
            name.set_fqdn(true);
            match question {
                Question::Naptr(_) => records(look_up(name, RecordType::NAPTR).await, naptr, Answer::of_naptr),
                Question::Srv(_) => records(look_up(name, RecordType::SRV).await, srv, Answer::of_srv),
                Question::Addresses(_) => {
                    let (v6, v4) = tokio::join!(look_up(name.clone(), RecordType::AAAA), look_up(name, RecordType::A));
                    let (v6, v4) =
                        (records(v6, address, Answer::of_addresses), records(v4, address, Answer::of_addresses));
                    both(&v6, &v4)
                }
            }
        })
    }

    fn search(&self) -> Vec<Str> {
        self.search.clone()
    }
}

/// The addresses of both families, those of the sixth version first (RFC 6724 §10.3 has it so where nothing else is known).
fn both(v6: &Answer, v4: &Answer) -> Answer {
    match (v6.addresses(), v4.addresses()) {
        (Ok(_), Err(_)) => v6.clone(),
        (Err(_), Ok(_)) => v4.clone(),
        (Ok(six), Ok(four)) => {
            let six = six.iter().take(MOST_RECORDS / 2);
            Answer::of_addresses(six.chain(four).copied(), v6.ttl.min(v4.ttl))
        }
        (Err(six), Err(four)) => match (six.is_certain(), four.is_certain()) {
            (true, true) if six == Failure::NoRecords || four == Failure::NoRecords => {
                Answer { found: Err(Failure::NoRecords), ttl: v6.ttl.min(v4.ttl) }
            }
            (false, _) => v6.clone(),
            (true, _) => v4.clone(),
        },
    }
}

fn records<T>(
    found: Result<Found, NetError>,
    read: impl Fn(&RData) -> Option<T>,
    answer: impl Fn(Vec<T>, Duration) -> Answer,
) -> Answer {
    match found {
        Ok(found) => {
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            // The names on the way there (CNAME) are in it, too.
            answer(found.answers().iter().filter_map(|record| read(&record.data)).take(MOST_RECORDS).collect(), ttl)
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let ttl = Duration::from_secs(u64::from(nothing.negative_ttl.unwrap_or(0)));
            let failure = match nothing.response_code {
                ResponseCode::NXDomain => Failure::NoName,
                ResponseCode::NoError => Failure::NoRecords,
                _ => return Answer::none(Failure::Failed),
            };
            Answer { found: Err(failure), ttl }
        }
        Err(NetError::Timeout) => Answer::none(Failure::Timeout),
        Err(_) => Answer::none(Failure::Failed),
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr()
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(srv) = data else { return None };
    Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: next(&srv.target)? })
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(naptr) = data else { return None };
    let text = |octets: &[u8]| std::str::from_utf8(octets).ok().map(Str::from);
    let (mut flags, mut service) = (text(&naptr.flags)?, text(&naptr.services)?);
    flags.make_ascii_lowercase();
    service.make_ascii_uppercase();
    Some(Naptr {
        order: naptr.order,
        preference: naptr.preference,
        flags,
        service,
        regexp: text(&naptr.regexp)?,
        replacement: next(&naptr.replacement)?,
    })
}

/// A name that an answer leads to; empty for the root. `None`: nobody can be asked for it.
fn next(to: &Name) -> Option<Str> {
    if to.is_root() { Some(Str::default()) } else { name(&to.to_ascii()).ok() }
}
