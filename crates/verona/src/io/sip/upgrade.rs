//! The handshake of WebSockets (RFC 6455 §4, RFC 7118 §4.1), of either end: one request of HTTP and one answer, of a bounded size.

use super::shake::{WENT_AWAY, has_gone};
use crate::io::stream::Stream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut as _;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::{client, derive_accept_key, server};
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};

/// Bytes of a request or an answer. Browsers send whole kilobytes of cookies.
const HEAD: usize = 8 << 10;

/// How much is read at once.
const STEP: usize = 1 << 10;

/// The protocol that is spoken behind the handshake (RFC 7118 §4.1).
const PROTOCOL: &str = "sip";

/// The web pages that may connect. Programs that are no browsers say no origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// Any page may.
    pub(crate) any: bool,
    /// These may, as browsers write them.
    pub(crate) these: Vec<String>,
}

impl Origins {
    /// Whether a request with these headers comes from a page that may connect, or from no page.
    fn allow(&self, headers: &HeaderMap) -> bool {
        let mut said = headers.get_all("origin").iter();
        match (said.next(), said.next()) {
            (None, _) => true,
            (Some(one), None) => {
                let one = one.to_str().unwrap_or_default();
                self.any || self.these.iter().any(|origin| origin.eq_ignore_ascii_case(one))
            }
            (Some(_), Some(_)) => false,
        }
    }
}

/// Answers whoever has connected. Returns what came behind the request.
///
/// # Errors
/// What it was not, for the meters. Who has asked by HTTP has an answer.
pub(super) async fn accept(stream: &mut Stream, origins: &Origins) -> Result<Vec<u8>, &'static str> {
    let (head, rest) = read_head(stream, b"GET ").await.map_err(|error| match has_gone(&error) {
        true => WENT_AWAY,
        false => "not WebSocket",
    })?;
    let (status, why, more) = match server::Request::try_parse(&head) {
        Ok(Some((_, request))) => match judge(&request, origins) {
            Ok(accept) => {
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
                );
                return match write(stream, answer.as_bytes()).await {
                    Ok(()) => Ok(rest),
                    Err(_) => Err(WENT_AWAY),
                };
            }
            Err(refused) => refused,
        },
        Ok(None) | Err(_) => (StatusCode::BAD_REQUEST, "not WebSocket", ""),
    };
    let answer = format!("HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Length: 0\r\n\r\n");
    let _ = write(stream, answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    Err(why)
}

/// The value of Sec-WebSocket-Accept, or the status of the refusal, its name in the meters and what it says besides.
fn judge(request: &server::Request, origins: &Origins) -> Result<String, (StatusCode, &'static str, &'static str)> {
    let headers = request.headers();
    let version = headers.get("sec-websocket-version").map(|version| version == "13");
    if version == Some(false) {
        return Err((StatusCode::UPGRADE_REQUIRED, "not WebSocket", "Sec-WebSocket-Version: 13\r\n"));
    }
    let response = server::create_response(request).map_err(|_| (StatusCode::BAD_REQUEST, "not WebSocket", ""))?;
    if !origins.allow(headers) {
        return Err((StatusCode::FORBIDDEN, "origin not allowed", ""));
    }
    if !names_protocol(headers) {
        return Err((StatusCode::BAD_REQUEST, "not the sip protocol", ""));
    }
    let accept = response.headers().get("sec-websocket-accept").and_then(|accept| accept.to_str().ok());
    accept.map(str::to_owned).ok_or((StatusCode::BAD_REQUEST, "not WebSocket", ""))
}

/// Whether SIP is among the protocols that these headers name.
fn names_protocol(headers: &HeaderMap) -> bool {
    let lists = headers.get_all("sec-websocket-protocol").iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case(PROTOCOL))
}

/// Asks whom we have connected to. `host` is whom we take that for, with its port. Returns what came behind the answer.
///
/// # Errors
/// What it was not, for the meters.
pub(super) async fn ask(stream: &mut Stream, host: &str) -> Result<Vec<u8>, &'static str> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|_| "no random numbers")?;
    let key = STANDARD.encode(key);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    );
    write(stream, request.as_bytes()).await.map_err(|_| "broken in the handshake")?;
    let (head, rest) = read_head(stream, b"HTTP").await.map_err(|_| "not WebSocket")?;
    let answer = client::Response::try_parse(&head).ok().flatten().map(|(_, answer)| answer).ok_or("not WebSocket")?;
    let headers = answer.headers();
    let says = |name: &str, wanted: &str| {
        let mut said = headers.get_all(name).iter();
        said.next().and_then(|value| value.to_str().ok()).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
            && said.next().is_none()
    };
    // RFC 6455 §4.1; of what was asked for there is one protocol and no extension.
    let accepted = answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && says("upgrade", "websocket")
        && says("connection", "upgrade")
        && headers.get("sec-websocket-accept").is_some_and(|accept| accept == &derive_accept_key(key.as_bytes()))
        && !headers.contains_key("sec-websocket-extensions");
    match (accepted, says("sec-websocket-protocol", PROTOCOL)) {
        (true, true) => Ok(rest),
        (true, false) => Err("not the sip protocol"),
        (false, _) => Err("not WebSocket"),
    }
}

/// Reads up to an empty line; what has come behind it is the second. What does not begin as it must is not read any further.
async fn read_head(stream: &mut Stream, begin: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::with_capacity(STEP);
    loop {
        let from = head.len();
        if from >= HEAD {
            return Err(io::Error::other("too long a head"));
        }
        head.reserve(STEP);
        if stream.read_buf(&mut (&mut head).limit(STEP)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let both = head.len().min(begin.len());
        if head[..both] != begin[..both] {
            return Err(io::Error::other("not HTTP"));
        }
        let seen = from.saturating_sub(3);
        if let Some(end) = head[seen..].windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = head.split_off(seen + end + 4);
            return Ok((head, rest));
        }
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
