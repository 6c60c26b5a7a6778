//! What the authority asks back: a file at a place of its choice, over HTTP (`http-01`, RFC 8555 §8.3).
//!
//! The port is open to everybody, so there is no more of HTTP here than that: a request has so many bytes and so much time, one is served on a connection, and
//! a few connections at one time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Where the answers stand (RFC 8555 §8.3).
const PLACE: &str = "/.well-known/acme-challenge/";

/// Connections at one time; beyond, the system lets them wait.
const CONNECTIONS: usize = 64;

/// How long one may take.
const TIME: Duration = Duration::from_secs(5);

/// The largest request.
const REQUEST: usize = 4096;

/// How long accepting rests when the process has no more descriptors.
const REST: Duration = Duration::from_millis(200);

/// The answers to what is asked now, by their tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    known: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Answers {
    /// The authority will ask for this.
    pub(super) fn expect(&self, token: &str, answer: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), answer.to_owned());
    }

    /// It asks for nothing any more.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn of(&self, token: &str) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Answers whoever asks, for ever.
    pub(super) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let answers = self.clone();
                    tokio::spawn(async move {
                        // Whoever is too slow gets nothing.
                        let _ = timeout(TIME, answers.answer(stream)).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = Vec::with_capacity(512);
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            if request.len() >= REQUEST || stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let (status, body) = match asked(&request).and_then(|token| self.of(token)) {
            Some(answer) => ("200 OK", answer),
            None => ("404 Not Found", String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    }
}

/// The token that a request asks for.
fn asked(request: &[u8]) -> Option<&str> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (Some("GET"), Some(path), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    path.strip_prefix(PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_rightly_is_answered() {
        let path = "/.well-known/acme-challenge/a-B_9";
        assert_eq!(asked(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes()), Some("a-B_9"));
        for wrong in
            ["POST {} HTTP/1.1", "GET {}", "GET {} HTTP/2.0", "GET  {} HTTP/1.1", "GET /etc/passwd HTTP/1.1", ""]
        {
            assert_eq!(asked(wrong.replace("{}", path).as_bytes()), None, "{wrong}");
        }
        assert_eq!(asked(&[0xff, 0xfe, b'\r']), None);
    }

    #[tokio::test]
    async fn the_answer_is_there_while_it_is_expected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Answers::default();
        tokio::spawn(answers.clone().serve(listener));
        let ask = async |token: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {PLACE}{token} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut got = String::new();
            stream.read_to_string(&mut got).await.unwrap();
            got
        };
        answers.expect("t", "t.thumb");
        let got = ask("t").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with("\r\n\r\nt.thumb"), "{got}");
        assert!(ask("u").await.starts_with("HTTP/1.1 404 "));
        answers.forget();
        assert!(ask("t").await.starts_with("HTTP/1.1 404 "));
    }
}
