//! The operator's HTTP interface: `/health` says whether the process is alive, `/ready` whether messages get through,
//! `/metrics` what was counted, `/sessions` which chat sessions are open, who sits in which room and who calls whom. There is no password: it belongs on loopback. Each connection is for one request and ends within
//! [`VISIT`], and no more than [`VISITS`] are there at once: who connects and says nothing takes no descriptors from the traffic.

use crate::metrics::Meters;
use crate::state::{Socket, State};
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use serde_json::json;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use stox::mapping::Side;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use xmpp::federation::{Seen, SeenStream};
use xmpp::stream::s2s::Proof;

/// Connections at once; the next ones wait in the kernel.
const VISITS: usize = 32;

/// How long one of them may take in all.
const VISIT: Duration = Duration::from_secs(10);

/// What the answers are made of.
#[derive(Debug, Clone)]
struct About {
    state: Arc<State>,
    meters: Arc<Meters>,
}

/// The interface, bound to its socket and not served yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    about: About,
}

impl Admin {
    /// Binds the socket.
    pub async fn bind(address: SocketAddr, state: Arc<State>, meters: Arc<Meters>) -> io::Result<Admin> {
        Ok(Admin { listener: TcpListener::bind(address).await?, about: About { state, meters } })
    }

    /// The address that it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is done.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let router = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/sessions", get(sessions))
            .layer(map_response(last))
            .with_state(self.about);
        let door = Door { listener: self.listener, places: Arc::new(Semaphore::new(VISITS)) };
        axum::serve(door, router).with_graceful_shutdown(stop).await
    }
}

/// Says that the connection ends behind the answer.
async fn last(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The listener with its bounds.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let end = Box::pin(tokio::time::sleep_until(Instant::now() + VISIT));
        (Visit { stream, end, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends.
struct Visit {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Visit {
    /// The stream, while there is time.
    fn stream(self: Pin<&mut Self>, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        let visit = self.get_mut();
        match visit.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut visit.stream)),
        }
    }
}

impl AsyncRead for Visit {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(cx)?.poll_shutdown(cx)
    }
}

async fn health(Shared(about): Shared<About>) -> Response {
    let silent = about.state.silent_shards().await;
    let healthy = silent.is_empty();
    let body = json!({
        "healthy": healthy,
        "silent_shards": silent,
        "store": store(&about.state),
        "version": env!("CARGO_PKG_VERSION")
    });
    answer(healthy, &body)
}

/// The store does not decide on readiness or health: without it the gateway goes on with what it has, and it is opened again.
fn store(state: &State) -> serde_json::Value {
    match state.store_trouble() {
        None => json!({ "works": true }),
        Some(why) => json!({ "works": false, "why": why }),
    }
}

async fn ready(Shared(about): Shared<About>) -> Response {
    let state = &about.state;
    let links: Vec<_> = state
        .links()
        .iter()
        .map(|link| match link.is_up() {
            true => json!({ "domain": link.domain, "up": true }),
            false => json!({ "domain": link.domain, "up": false, "why": link.why() }),
        })
        .collect();
    let sockets = |sockets: &[Socket]| -> Vec<_> {
        sockets.iter().map(|s| json!({ "socket": s.name, "bound": s.is_bound() })).collect()
    };
    // Asked once: the two could differ if it were asked again.
    let ready = state.is_ready();
    let body = json!({
        "ready": ready,
        "draining": state.is_draining(),
        "store": store(state),
        "xmpp": links,
        "sip": sockets(state.sockets()),
        "msrp": sockets(state.msrp_sockets()),
        "federation": sockets(state.federation_sockets())
    });
    answer(ready, &body)
}

/// The one place that shows who speaks with whom, to whoever may ask.
async fn sessions(Shared(about): Shared<About>) -> Response {
    let side = |side| match side {
        Side::Sip => "sip",
        Side::Xmpp => "xmpp",
    };
    let open = about.state.sessions().await;
    let chat = |s: &stox::chat::Session| {
        json!({
            "sip": s.sip.to_string(),
            "xmpp": s.xmpp.to_string(),
            "thread": s.thread.as_str(),
            "opened_by": side(s.opened_by),
            "open": s.open,
            "age": s.age.as_secs(),
            "idle": s.idle.as_secs(),
            "messages": s.messages,
            "waiting": s.waiting
        })
    };
    let seat = |whose| {
        move |s: &stox::room::Seat| {
            json!({
                "side": side(whose),
                "user": s.user.to_string(),
                "room": s.room.to_string(),
                "nick": s.nick.as_str(),
                "inside": s.inside,
                "age": s.age.as_secs(),
                "people": s.people,
                "said": s.said,
                "heard": s.heard,
                "waiting": s.waiting
            })
        }
    };
    let call = |c: &stox::media::calls::Seen| {
        json!({
            "sip": c.sip.to_string(),
            "xmpp": c.xmpp.to_string(),
            "sid": c.sid.as_str(),
            "called_by": side(c.began),
            "state": c.state,
            "age": c.age.as_secs(),
            "talking": c.talking.map(|talking| talking.as_secs())
        })
    };
    let sessions: Vec<_> = open.chats.iter().map(chat).collect();
    let participants = open.participants.iter().map(seat(Side::Sip));
    let rooms: Vec<_> = participants.chain(open.occupants.iter().map(seat(Side::Xmpp))).collect();
    let calls: Vec<_> = open.calls.iter().map(call).collect();
    let trunk = |t: &stox::trunk::Seen| {
        json!({
            "name": t.name.as_str(),
            "registered": t.registered.map(|time| time.as_secs()),
            "trouble": t.trouble.as_deref(),
            "again": t.again.map(|time| time.as_secs())
        })
    };
    let trunks: Vec<_> = open.trunks.iter().map(trunk).collect();
    let federation: Vec<_> = open.federation.iter().map(federated).collect();
    let accounts = json!({ "linked": open.accounts.linked, "registered": open.accounts.registered });
    let body = json!({
        "sessions": sessions,
        "rooms": rooms,
        "calls": calls,
        "trunks": trunks,
        "accounts": accounts,
        "federation": federation
    });
    answer(true, &body)
}

/// A domain of another server, and the streams with it.
fn federated(seen: &Seen) -> serde_json::Value {
    let proof = |proof: Option<Proof>| {
        proof.map(|proof| match proof {
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
        })
    };
    let stream = |stream: &SeenStream| {
        json!({
            "made_by": if stream.ours { "us" } else { "them" },
            "tls": stream.secured,
            "sends": proof(stream.sends),
            "takes": proof(stream.takes),
            "age": stream.age.as_secs()
        })
    };
    json!({
        "domain": seen.domain.as_str(),
        "streams": seen.streams.iter().map(stream).collect::<Vec<_>>(),
        "waiting": seen.waiting,
        "seeking": seen.seeking
    })
}

async fn metrics(Shared(about): Shared<About>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], about.meters.render()).into_response()
}

fn answer(good: bool, body: &serde_json::Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Open;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    async fn json(address: SocketAddr, path: &str) -> (u16, Value) {
        let (code, head, body) = ask(address, &format!("GET {path} HTTP/1.1")).await;
        assert!(head.contains("content-type: application/json"), "{head}");
        (code, serde_json::from_str(&body).unwrap())
    }

    #[tokio::test]
    async fn the_interface_tells_the_truth() {
        let state = Arc::new(State::new(&["a.example".into(), "b.example".into()], &["udp:127.0.0.1:5060".into()]));
        let meters = Arc::new(Meters::new());
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), Arc::clone(&state), Arc::clone(&meters)).await.unwrap();
        let address = admin.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(admin.serve(async { drop(stopped.await) }));

        // Nothing is up yet.
        let (code, body) = json(address, "/ready").await;
        assert_eq!(code, 503);
        assert_eq!(body["ready"], false);
        assert_eq!(body["xmpp"][1], json!({ "domain": "b.example", "up": false, "why": "not connected yet" }));
        assert_eq!(body["sip"][0], json!({ "socket": "udp:127.0.0.1:5060", "bound": false }));

        state.set_bound(0, true);
        state.link_up(0);
        state.link_down(1, "connection \"refused\"");
        let (code, body) = json(address, "/ready").await;
        assert_eq!((code, &body["xmpp"][1]["why"]), (503, &json!("connection \"refused\"")));
        state.link_up(1);
        let (code, body) = json(address, "/ready").await;
        assert_eq!((code, &body["ready"]), (200, &json!(true)));
        assert_eq!(body["store"], json!({ "works": false, "why": "not open yet" }), "the rest goes on without it");
        state.store_up();
        assert_eq!(json(address, "/ready").await.1["store"], json!({ "works": true }));
        state.store_down("No space left on device");
        for path in ["/ready", "/health"] {
            let (code, body) = json(address, path).await;
            assert_eq!((code, &body["store"]), (200, &json!({ "works": false, "why": "No space left on device" })));
        }
        state.start_draining();
        let (code, body) = json(address, "/ready").await;
        assert_eq!((code, &body["draining"], &body["ready"]), (503, &json!(true), &json!(false)));

        // A shard that is gone is found out; readiness says nothing about it, health does.
        state.set_shards(3, |shard| Box::pin(async move { Some(shard) }));
        let (code, body) = json(address, "/health").await;
        assert_eq!((code, &body["healthy"]), (200, &json!(true)));
        state.set_shards(3, |shard| Box::pin(async move { (shard != 1).then_some(0) }));
        let (code, body) = json(address, "/health").await;
        assert_eq!((code, &body["silent_shards"]), (503, &json!([1])));

        // Who speaks with whom; the shard that is gone says nothing.
        assert_eq!(
            json(address, "/sessions").await,
            (
                200,
                json!({
                    "sessions": [], "rooms": [], "calls": [], "trunks": [], "federation": [],
                    "accounts": { "linked": 0, "registered": 0 }
                })
            )
        );
        let session = |age: u64, opened_by| stox::chat::Session {
            sip: xmpp::jid::Jid::parse("romeo@example.net/dr4hcr0st3lup4c").unwrap(),
            xmpp: xmpp::jid::Jid::parse("juliet@example.com").unwrap(),
            thread: base::Str::const_new("711609sa"),
            opened_by,
            open: true,
            age: Duration::from_secs(age),
            idle: Duration::from_secs(2),
            messages: 4,
            waiting: 1,
        };
        let seat = stox::room::Seat {
            user: xmpp::jid::Jid::parse("juliet@example.com/balcony").unwrap(),
            room: xmpp::jid::Jid::parse("verona@chat.example.net").unwrap(),
            nick: base::Str::const_new("JuliC"),
            inside: true,
            age: Duration::from_secs(5),
            people: 3,
            said: 1,
            heard: 2,
            waiting: 0,
        };
        let accounts = stox::account::Counts { linked: 3, registered: 1 };
        state.set_sessions(move |shard| {
            let open = match shard {
                0 => Some(Open { chats: vec![session(3, Side::Sip)], accounts, ..Open::default() }),
                1 => None,
                _ => {
                    let (chats, occupants) = (vec![session(7, Side::Xmpp)], vec![seat.clone()]);
                    Some(Open { chats, occupants, accounts, ..Open::default() })
                }
            };
            Box::pin(async move { open })
        });
        let stream = SeenStream {
            ours: true,
            secured: true,
            sends: Some(Proof::Dialback),
            takes: None,
            age: Duration::from_secs(60),
        };
        let domain = Seen {
            domain: base::Str::const_new("montague.example"),
            sending: 1,
            taking: 0,
            streams: vec![stream],
            waiting: 2,
            seeking: false,
        };
        state.set_federation(move || {
            let domain = domain.clone();
            Box::pin(async move { Some(vec![domain]) })
        });
        let (_, body) = json(address, "/sessions").await;
        assert_eq!(body["accounts"], json!({ "linked": 6, "registered": 2 }), "of all shards that say it");
        assert_eq!(
            body["federation"],
            json!([{
                "domain": "montague.example", "waiting": 2, "seeking": false,
                "streams": [{ "made_by": "us", "tls": true, "sends": "dialback", "takes": null, "age": 60 }]
            }])
        );
        assert_eq!(body["sessions"][0]["opened_by"], "xmpp", "the oldest first");
        assert_eq!(
            body["sessions"][1],
            json!({
                "sip": "romeo@example.net/dr4hcr0st3lup4c", "xmpp": "juliet@example.com", "thread": "711609sa",
                "opened_by": "sip", "open": true, "age": 3, "idle": 2, "messages": 4, "waiting": 1
            })
        );

        assert_eq!(
            body["rooms"],
            json!([{
                "side": "xmpp", "user": "juliet@example.com/balcony", "room": "verona@chat.example.net", "nick": "JuliC",
                "inside": true, "age": 5, "people": 3, "said": 1, "heard": 2, "waiting": 0
            }])
        );

        meters.received(crate::metrics::Direction::SipToXmpp);
        let (code, head, body) = ask(address, "GET /metrics HTTP/1.1").await;
        assert_eq!(code, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("verona_messages_total{direction=\"sip_to_xmpp\",outcome=\"received\"} 1"), "{body}");

        assert_eq!(ask(address, "GET /else HTTP/1.1").await.0, 404);
        assert_eq!(ask(address, "POST /metrics HTTP/1.1").await.0, 405);

        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the socket is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_shown_out() {
        let state = Arc::new(State::new(&[], &[]));
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), state, Arc::new(Meters::new())).await.unwrap();
        let address = admin.address().unwrap();
        tokio::spawn(admin.serve(std::future::pending()));
        let begun = Instant::now();
        let mut silent = Vec::new();
        for i in 0..VISITS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Half a request is no more than none.
            stream.write_all(&b"GET /health HTT"[..i % 15]).await.unwrap();
            silent.push(stream);
        }
        assert_eq!(ask(address, "GET /health HTTP/1.1").await.0, 200);
        assert!(begun.elapsed() >= VISIT, "as soon as there is a place");
        for mut stream in silent {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        // One request for each connection.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        assert!(answers.contains("connection: close"), "{answers}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_hangs_is_silent_after_the_patience_is_over() {
        let state = State::new(&[], &[]);
        assert_eq!(state.silent_shards().await, [0_usize; 0]);
        state.set_shards(2, |shard| {
            Box::pin(async move { if shard == 1 { std::future::pending().await } else { Some(0) } })
        });
        assert_eq!(state.silent_shards().await, [1]);
    }
}
