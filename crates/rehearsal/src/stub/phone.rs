//! A phone: it sends MESSAGE requests and answers those that come, over UDP and TCP on one port.

use crate::ladder::Ladder;
use crate::wire::{SipText, parameter};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// RFC 3261 §17.1.2.2: T1, T2 and timer F.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const TIMER_F: Duration = Duration::from_secs(32);

/// How many answers are kept for requests that come again.
const REMEMBERED: usize = 10_000;

/// What a phone says to a request: the status and its words. Status 0: nothing, as if the request had not come.
pub type PhoneAnswer = (u16, String);

type Policy = Box<dyn Fn(&SipText) -> PhoneAnswer + Send + Sync>;

struct Inner {
    udp: UdpSocket,
    address: SocketAddr,
    policy: Policy,
    ladder: Ladder,
    /// Who waits for the final response to the request with this branch.
    waiting: Mutex<BTreeMap<String, mpsc::UnboundedSender<SipText>>>,
    answered: Mutex<Answered>,
    arrived: mpsc::UnboundedSender<SipText>,
    minted: Mutex<u64>,
    salt: u64,
}

/// The answers that were given, by branch and method, oldest first.
#[derive(Default)]
struct Answered {
    answers: BTreeMap<String, Vec<u8>>,
    order: VecDeque<String>,
}

impl Answered {
    fn insert(&mut self, key: String, answer: Vec<u8>) {
        self.order.push_back(key.clone());
        self.answers.insert(key, answer);
        while self.order.len() > REMEMBERED {
            let oldest = self.order.pop_front();
            oldest.and_then(|key| self.answers.remove(&key));
        }
    }
}

/// A phone on real sockets. It stops when it is dropped.
pub struct Phone {
    inner: Arc<Inner>,
    arrivals: mpsc::UnboundedReceiver<SipText>,
    tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phone").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Phone {
    /// A phone at `address` (port 0: any), which answers requests as `policy` says and draws all it sends and gets into `ladder`.
    ///
    /// # Errors
    /// The address cannot be had for both UDP and TCP.
    pub async fn start(
        address: SocketAddr,
        ladder: Ladder,
        policy: impl Fn(&SipText) -> PhoneAnswer + Send + Sync + 'static,
    ) -> io::Result<Phone> {
        let (udp, tcp) = bind(address).await?;
        let address = udp.local_addr()?;
        let (arrived, arrivals) = mpsc::unbounded_channel();
        // The branches of two runs must differ: the gateway remembers what it answered.
        let salt =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let inner = Arc::new(Inner {
            udp,
            address,
            policy: Box::new(policy),
            ladder,
            waiting: Mutex::default(),
            answered: Mutex::default(),
            arrived,
            minted: Mutex::default(),
            salt,
        });
        let tasks = vec![tokio::spawn(Arc::clone(&inner).receive()), tokio::spawn(Arc::clone(&inner).accept(tcp))];
        Ok(Phone { inner, arrivals, tasks })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The next request that came, once each; it is already answered. Nothing within `patience`: `None`.
    pub async fn next(&mut self, patience: Duration) -> Option<SipText> {
        timeout(patience, self.arrivals.recv()).await.ok().flatten()
    }

    /// Sends a request by UDP and waits for its final response, repeating itself as RFC 3261 §17.1 says: an INVITE not once it is heard of. Via, Max-Forwards, Call-ID
    /// and CSeq are added where they are missing.
    ///
    /// # Errors
    /// No final response within 32 s, or the socket's own.
    pub async fn request(&self, gateway: SocketAddr, mut request: SipText) -> io::Result<SipText> {
        let (branch, mut responses) = self.prepare(&mut request, "UDP");
        let bytes = request.to_bytes();
        self.inner.ladder.sip(true, &request);
        let end = Instant::now() + TIMER_F;
        let invite = request.request().is_some_and(|(method, _)| method == "INVITE");
        let (mut interval, mut until) = (T1, Instant::now());
        let result = loop {
            let now = Instant::now();
            if now >= end {
                break Err(io::ErrorKind::TimedOut.into());
            }
            if now >= until {
                self.inner.udp.send_to(&bytes, gateway).await?;
                until = (now + interval).min(end);
                interval = (interval * 2).min(T2);
            }
            match tokio::time::timeout_at(until, responses.recv()).await.ok().flatten() {
                Some(response) if response.status().is_some_and(|code| code >= 200) => break Ok(response),
                Some(_) if invite => until = end,
                Some(_) | None => {}
            }
        };
        self.forget(&branch);
        result
    }

    /// Sends an ACK by UDP, to which there is no response.
    ///
    /// # Errors
    /// The socket's own.
    pub async fn acknowledge(&self, gateway: SocketAddr, mut ack: SipText) -> io::Result<()> {
        let (branch, _) = self.prepare(&mut ack, "UDP");
        self.forget(&branch);
        self.inner.ladder.sip(true, &ack);
        self.inner.udp.send_to(&ack.to_bytes(), gateway).await.map(drop)
    }

    /// Where all that it sends and gets is drawn.
    pub(super) fn ladder(&self) -> &Ladder {
        &self.inner.ladder
    }

    /// The same by TCP, on a connection of its own.
    ///
    /// # Errors
    /// No connection, no final response within 32 s, or the socket's own.
    pub async fn request_tcp(&self, gateway: SocketAddr, mut request: SipText) -> io::Result<SipText> {
        let (branch, mut responses) = self.prepare(&mut request, "TCP");
        let stream = TcpStream::connect(gateway).await?;
        let (send, queue) = mpsc::unbounded_channel();
        let connection = tokio::spawn(Arc::clone(&self.inner).connection(stream, send.clone(), queue));
        self.inner.ladder.sip(true, &request);
        let _ = send.send(request.to_bytes());
        let response = final_response(&mut responses, Instant::now() + TIMER_F).await;
        self.forget(&branch);
        connection.abort();
        response.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Sends a text as MESSAGE by UDP. `headers` are added, and go before those that are filled in.
    ///
    /// # Errors
    /// See [`Phone::request`].
    pub async fn message(
        &self,
        gateway: SocketAddr,
        from: &str,
        to: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<SipText> {
        self.request(gateway, message(from, to, headers, body)).await
    }

    fn prepare(&self, request: &mut SipText, transport: &str) -> (String, mpsc::UnboundedReceiver<SipText>) {
        let n = {
            let mut minted = self.inner.minted.lock().unwrap_or_else(PoisonError::into_inner);
            *minted += 1;
            *minted
        };
        let (salt, address) = (self.inner.salt, self.inner.address);
        let method = request.request().map_or("MESSAGE", |(method, _)| method).to_owned();
        let via = format!("SIP/2.0/{transport} {address};branch=z9hG4bK{salt:x}.{n};rport");
        for (name, value) in [
            ("Via", via),
            ("Max-Forwards", "70".to_owned()),
            ("Call-ID", format!("{salt:x}.{n}@{}", address.ip())),
            ("CSeq", format!("1 {method}")),
        ] {
            if request.header(name).is_none() {
                request.headers.insert(0, (name.to_owned(), value));
            }
        }
        let mut from = request.headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("From"));
        if let Some((_, from)) = from.find(|(_, value)| parameter(value, "tag").is_none()) {
            from.push_str(&format!(";tag={salt:x}.{n}"));
        }
        let branch = request.branch().unwrap_or_default().to_owned();
        let (tell, responses) = mpsc::unbounded_channel();
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(branch.clone(), tell);
        (branch, responses)
    }

    fn forget(&self, branch: &str) {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(branch);
    }
}

/// Both sockets. Where any port will do, one that is free for UDP may not be for TCP, and another one is tried.
async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    const TRIES: usize = 32;
    let mut left = if address.port() == 0 { TRIES } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await?;
        left -= 1;
        match TcpListener::bind(udp.local_addr()?).await {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && left > 0 => {}
            tcp => return Ok((udp, tcp?)),
        }
    }
}

/// A MESSAGE with a text; what [`Phone::request`] adds is missing.
pub(crate) fn message(from: &str, to: &str, headers: &[(&str, &str)], body: &str) -> SipText {
    let mut all = vec![("From".to_owned(), format!("<{from}>")), ("To".to_owned(), format!("<{to}>"))];
    all.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("Content-Type")) {
        all.push(("Content-Type".to_owned(), "text/plain;charset=UTF-8".to_owned()));
    }
    SipText { start: format!("MESSAGE {to} SIP/2.0"), headers: all, body: body.as_bytes().to_vec() }
}

async fn final_response(responses: &mut mpsc::UnboundedReceiver<SipText>, until: Instant) -> Option<SipText> {
    loop {
        let response = tokio::time::timeout_at(until, responses.recv()).await.ok().flatten()?;
        if response.status().is_some_and(|code| code >= 200) {
            return Some(response);
        }
    }
}

impl Inner {
    async fn receive(self: Arc<Self>) {
        let mut buffer = vec![0; 65_536];
        loop {
            // An error here is an ICMP message about an earlier datagram: the socket is as good as before.
            let Ok((n, source)) = self.udp.recv_from(&mut buffer).await else { continue };
            if let Some(answer) = self.incoming(&buffer[..n]) {
                let _ = self.udp.send_to(&answer, source).await;
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (send, queue) = mpsc::unbounded_channel();
                    connections.spawn(Arc::clone(&self).connection(stream, send, queue));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// One TCP connection: what comes is handled, what is queued goes out.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        send: mpsc::UnboundedSender<Vec<u8>>,
        mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        let (mut read, mut write) = stream.into_split();
        let reader = async move {
            let mut bytes = Vec::new();
            let mut buffer = vec![0; 16_384];
            while let Ok(n @ 1..) = read.read(&mut buffer).await {
                bytes.extend_from_slice(&buffer[..n]);
                while let Some(length) = framed(&bytes) {
                    let message: Vec<u8> = bytes.drain(..length).collect();
                    if let Some(answer) = self.incoming(&message) {
                        let _ = send.send(answer);
                    }
                }
            }
        };
        let writer = async move {
            while let Some(bytes) = queue.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = reader => {}
            () = writer => {}
        }
    }

    /// A message came; gives back what is to be answered.
    fn incoming(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let message = SipText::parse(bytes)?;
        let branch = message.branch()?.to_owned();
        if message.status().is_some() {
            self.ladder.sip(false, &message);
            if let Some(tell) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&branch) {
                let _ = tell.send(message);
            }
            return None;
        }
        let key = format!("{branch} {}", message.request()?.0);
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answered.answers.get(&key) {
            return Some(answer.clone());
        }
        let (code, reason) = (self.policy)(&message);
        if code == 0 {
            return None;
        }
        self.ladder.sip(false, &message);
        let answer = message.response(code, &reason, &format!("{:x}", self.salt));
        self.ladder.sip(true, &answer);
        let bytes = answer.to_bytes();
        answered.insert(key, bytes.clone());
        let _ = self.arrived.send(message);
        Some(bytes)
    }
}

/// The length of the first message in `bytes`, once it is there as a whole. Keep-alives before it count with it.
fn framed(bytes: &[u8]) -> Option<usize> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let head = start + bytes[start..].windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let message = SipText::parse(&bytes[start..head]);
    let length = message.and_then(|m| m.header("Content-Length")?.parse::<usize>().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_phones_talk() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let policy = |request: &SipText| match request.addressee() {
            Some("romeo") => (200, "OK".to_owned()),
            _ => (404, "Not Found".to_owned()),
        };
        let a = Phone::start(any, Ladder::new(), policy).await.unwrap();
        let mut b = Phone::start(any, Ladder::new(), policy).await.unwrap();
        let to = b.address();
        let ok = a.message(to, "sip:juliet@x", "sip:romeo@y", &[("Subject", "s")], "hi").await.unwrap();
        assert_eq!(ok.status(), Some(200));
        let got = b.next(Duration::from_secs(5)).await.unwrap();
        assert_eq!((got.text().as_str(), got.header("Subject")), ("hi", Some("s")));
        let no = a.request_tcp(to, message("sip:juliet@x", "sip:paris@y", &[], "hi")).await.unwrap();
        assert_eq!(no.status(), Some(404));
        assert_eq!(b.next(Duration::from_secs(5)).await.unwrap().addressee(), Some("paris"));
    }
}
