//! Names to places, without ever holding up who asks: every question gets its answer within [`PATIENCE`].
//!
//! Answers are kept as long as they say, those that there is nothing, too; that nobody knows is remembered for a moment, so that names
//! that nobody answers for cost little. Who asks what is being asked already waits for the same answer. All of it is bounded: names come
//! from the network.

mod hickory;
#[cfg(test)]
mod tests;

pub(crate) use hickory::Hickory;

use crate::config::{self, Host, HostPort};
use crate::setup;
use base::dns::{Answer, Failure, Question, name};
use base::{HashKey, Recent, Str, Table};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

/// How long a question may wait for its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// How many answers are kept.
const KEPT: usize = 8192;

/// How many questions may be under way; the next ones get no answer.
const UNDER_WAY: usize = 1024;

/// Of those, the ones that strangers have us ask ([`Dns::for_strangers`]); the next ones wait for a place.
const FOR_STRANGERS: usize = 128;

/// The longest that an answer is kept, whatever it says.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The longest that it is kept that there is nothing (RFC 2308 §5 recommends one to three hours).
const LONGEST_NOTHING: Duration = Duration::from_secs(3600);

/// How long it is remembered that nobody knew (RFC 2308 §7.1: at most five minutes).
const FAILED: Duration = Duration::from_secs(5);

/// How long it is remembered at least that there is nothing, where nobody says how long that holds.
const BRIEFLY: Duration = Duration::from_secs(1);

/// An answer that comes.
pub(crate) type Coming = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Whoever can be asked.
pub(crate) trait Lookup: Send + Sync {
    /// Asks. Who asked bounds how long it waits.
    fn look_up(&self, question: Question) -> Coming;

    /// The domains in which the names of hosts that the operator has written are looked for, too.
    fn search(&self) -> Vec<Str> {
        Vec::new()
    }
}

/// The one who is asked by all. Clones are the same.
#[derive(Clone)]
pub(crate) struct Dns {
    inner: Arc<Inner>,
    for_strangers: bool,
}

struct Inner {
    source: RwLock<Arc<dyn Lookup>>,
    memory: Mutex<Memory>,
    /// Places for what strangers want to know.
    places: Arc<Semaphore>,
}

struct Memory {
    kept: Recent<Question, (Answer, Instant)>,
    under_way: Table<Question, watch::Receiver<Option<Answer>>>,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

impl Dns {
    /// Asks `source`. `key` keeps strangers from choosing names that collide.
    pub(crate) fn new(source: impl Lookup + 'static, key: HashKey) -> Dns {
        let memory = Memory { kept: Recent::new(key, KEPT), under_way: Table::new(key) };
        let places = Arc::new(Semaphore::new(FOR_STRANGERS));
        let inner = Inner { source: RwLock::new(Arc::new(source)), memory: Mutex::new(memory), places };
        Dns { inner: Arc::new(inner), for_strangers: false }
    }

    /// The same, for what somebody wants to know who may be anybody: of all that is under way a part only, so that whoever has us ask for names that
    /// nobody answers for holds up others like him, and nobody else. A place is waited for, for [`PATIENCE`] at most.
    pub(crate) fn for_strangers(&self) -> Dns {
        Dns { inner: Arc::clone(&self.inner), for_strangers: true }
    }

    /// Asks whom the operator has chosen.
    ///
    /// # Errors
    /// There are no random numbers, or the system's choice cannot be understood.
    pub(crate) fn of(config: &config::Dns) -> io::Result<Dns> {
        Ok(Dns::new(Hickory::new(config.server)?, key()?))
    }

    /// Asks nobody: there are no names.
    pub(crate) fn of_nothing() -> Dns {
        Dns::new(Nobody, HashKey::new(0, 0))
    }

    /// Asks from now on whom the other one asks, and knows what that one has been told, instead of what it knew before.
    pub(crate) fn become_like(&self, other: &Dns) {
        let source = Arc::clone(&other.inner.source.read().unwrap_or_else(PoisonError::into_inner));
        *self.inner.source.write().unwrap_or_else(PoisonError::into_inner) = source;
        if !Arc::ptr_eq(&self.inner, &other.inner) {
            let mut theirs = other.memory();
            std::mem::swap(&mut self.memory().kept, &mut theirs.kept);
        }
    }

    /// The answer, if it is known.
    pub(crate) fn known(&self, question: &Question) -> Option<Answer> {
        let memory = self.memory();
        let (answer, until) = memory.kept.get(question)?;
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(Answer { found: answer.found.clone(), ttl: left.min(answer.ttl) })
    }

    /// The answer, within [`PATIENCE`], for strangers within twice as long. It may be dropped; the answer is kept all the same.
    pub(crate) async fn ask(&self, question: &Question) -> Answer {
        if let Some(answer) = self.known(question) {
            return answer;
        }
        let coming = match self.for_strangers && self.memory().under_way.get(question).is_none() {
            true => match timeout(PATIENCE, Arc::clone(&self.inner.places).acquire_owned()).await {
                Ok(Ok(place)) => self.begin(question, Some(place)),
                Ok(Err(_)) | Err(_) => None,
            },
            false => self.begin(question, None),
        };
        let Some(mut coming) = coming else { return Answer::none(Failure::Timeout) };
        let answer = match coming.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            // Whoever looked it up is gone.
            Err(_) => None,
        };
        answer.unwrap_or(Answer::none(Failure::Failed))
    }

    /// Joins those who wait for this answer, or is the first of them; `place` is given back when it is there. `None`: too much is under way.
    fn begin(
        &self,
        question: &Question,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<watch::Receiver<Option<Answer>>> {
        let mut memory = self.memory();
        if let Some(coming) = memory.under_way.get(question) {
            return Some(coming.clone());
        }
        if memory.under_way.len() >= UNDER_WAY {
            return None;
        }
        let (sender, coming) = watch::channel(None);
        memory.under_way.insert(question.clone(), coming.clone());
        drop(memory);
        let (dns, question) = (self.clone(), question.clone());
        let source = Arc::clone(&self.inner.source.read().unwrap_or_else(PoisonError::into_inner));
        tokio::spawn(async move {
            let under_way = UnderWay { dns: dns.clone(), question: question.clone(), _place: place };
            let answer = timeout(PATIENCE, source.look_up(question.clone())).await;
            let answer = answer.unwrap_or(Answer::none(Failure::Timeout));
            dns.keep(question, &answer);
            drop(under_way);
            let _ = sender.send(Some(answer));
        });
        Some(coming)
    }

    fn keep(&self, question: Question, answer: &Answer) {
        let long = match answer.found {
            Ok(_) => answer.ttl.min(LONGEST),
            Err(failure) if failure.is_certain() => answer.ttl.min(LONGEST_NOTHING),
            Err(_) => FAILED,
        }
        .max(if answer.found.is_ok() { Duration::ZERO } else { BRIEFLY });
        if !long.is_zero() {
            self.memory().kept.insert(question, (answer.clone(), Instant::now() + long));
        }
    }

    /// The addresses of a host that a peer has named, the best first. `name` may have U-labels or be a literal address.
    ///
    /// # Errors
    /// There are none.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let ascii = xmpp::jid::domain_to_ascii(host).map_err(|_| Failure::NoName)?;
        let name = name(&ascii).map_err(|_| Failure::NoName)?;
        self.ask(&Question::Addresses(name)).await.addresses().map(<[IpAddr]>::to_vec)
    }

    /// The addresses of a host that the operator has written, the best first, with this port: in the domains that the system searches,
    /// too.
    ///
    /// # Errors
    /// There are none.
    pub(crate) async fn host(&self, host: &Host, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let name = match host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
            Host::Name(name) => name,
        };
        let mut found = self.addresses(name).await;
        if found.as_ref().is_err_and(|failure| failure.is_certain()) && !name.ends_with('.') {
            let search = self.inner.source.read().unwrap_or_else(PoisonError::into_inner).search();
            for domain in search {
                if let Ok(addresses) = self.addresses(&format!("{name}.{domain}")).await {
                    found = Ok(addresses);
                    break;
                }
            }
        }
        Ok(found?.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// A connection to a host that the operator has written: to the first of its addresses that takes one. Who asks bounds how long it waits.
    ///
    /// # Errors
    /// It has no address, or the last one does not take a connection.
    pub(crate) async fn connect(&self, server: &HostPort) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.host(&server.host, server.port).await.map_err(io::Error::other)? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key() -> io::Result<HashKey> {
    let mut tokens = setup::tokens()?;
    Ok(HashKey::new(tokens.u64(), tokens.u64()))
}

/// Whoever knows no names.
struct Nobody;

impl Lookup for Nobody {
    fn look_up(&self, _question: Question) -> Coming {
        Box::pin(async { Answer::none(Failure::NoName) })
    }
}

/// A question that is being asked. However that ends, it is not any more when this is dropped.
struct UnderWay {
    dns: Dns,
    question: Question,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.dns.memory().under_way.remove(&self.question);
    }
}
