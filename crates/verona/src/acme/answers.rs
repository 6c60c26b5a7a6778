//! What the authority asks back: a file at a place of its choice, over HTTP (`http-01`, RFC 8555 §8.3).

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

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
        let router = Router::new().route("/.well-known/acme-challenge/{token}", get(answer)).with_state(self);
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the authority's questions are not answered any more");
        }
    }
}

async fn answer(State(answers): State<Answers>, Path(token): Path<String>) -> impl IntoResponse {
    match answers.of(&token) {
        Some(answer) => Ok(([(header::CONTENT_TYPE, "application/octet-stream")], answer)),
        None => Err(StatusCode::NOT_FOUND),
    }
}
