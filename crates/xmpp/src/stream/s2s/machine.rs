//! One stream.

use super::{Certificate, Config, Counts, DownReason, Initiate, Output, Pair, Proof, SendError, Verdict, Verification};
use crate::stanza::Stanza;
use crate::stream::{CLOSE, StreamError};
use base::{Time, Tokens};
use std::collections::VecDeque;
use std::sync::Arc;

/// A stream between servers, of either role. Sans I/O: tell it what happens, then [`Stream::flushed`], then [`Stream::poll`] until there
/// is nothing more, then wait for the next event or [`Stream::deadline`]. After [`Output::Down`] it wants no more but
/// [`Stream::timeout`] and [`Stream::closed`], and serves no other connection.
#[derive(Debug)]
pub struct Stream {
    config: Arc<Config>,
    used: Time,
    over: bool,
    out: VecDeque<Output>,
}

impl Stream {
    /// A stream over a connection that we have made. Our header goes out at once.
    pub fn initiating(config: Arc<Config>, _tokens: Tokens, now: Time, _initiate: Initiate) -> Stream {
        Stream { config, used: now, over: false, out: VecDeque::new() }
    }

    /// A stream over a connection that was made to us, with TLS from its beginning or not. The other side begins.
    pub fn receiving(config: Arc<Config>, _tokens: Tokens, now: Time, _direct_tls: bool) -> Stream {
        Stream { config, used: now, over: false, out: VecDeque::new() }
    }

    /// The configuration has changed. It holds for what comes; pairs that would not be proved any more are the caller's to end.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    /// Bytes have come: those of TLS decrypted, once it was begun.
    pub fn received(&mut self, now: Time, _bytes: &[u8]) {
        self.used = now;
    }

    /// TLS stands (after [`Output::StartTls`]).
    pub fn secured(&mut self, now: Time) {
        self.used = now;
    }

    /// The answer to [`Output::Judge`]. One that was not asked for is ignored.
    pub fn judged(&mut self, _now: Time, _domain: &str, _certificate: Certificate) {}

    /// The connection is gone, by either side's doing.
    pub fn closed(&mut self, _now: Time) {
        if !std::mem::replace(&mut self.over, true) {
            self.out.push_back(Output::Down(DownReason::Disconnected));
        }
    }

    /// Sends a stanza, written in [`crate::ns::SERVER`], from an address in `pair.local` to one in `pair.remote`. With a token, what became of it
    /// will be told.
    ///
    /// # Errors
    /// The pair is not [`Output::Ready`], or too much is on its way. Nothing was sent then, and nothing will be told of the token.
    pub fn send(&mut self, _now: Time, pair: &Pair, _stanza: &[u8], _token: Option<u64>) -> Result<(), SendError> {
        Err(if self.sends(pair) { SendError::Full } else { SendError::NotProved })
    }

    /// Asks for one more pair to be sent for on this stream (XEP-0220 §2.6): comes to [`Output::Ready`] or [`Output::Refused`]. On streams that
    /// the other side has opened only if both directions are carried. What was asked for or is ready already is not asked for again.
    ///
    /// # Errors
    /// Not on this stream: it is not there yet or over, dialback is not possible, or too many pairs are on it.
    pub fn prove(&mut self, _now: Time, _pair: &Pair) -> Result<(), SendError> {
        Err(SendError::Down)
    }

    /// Has the other side, which is authoritative for `verification.pair.remote`, verify a key (XEP-0220 §2.1.2): comes to
    /// [`Output::Verified`]. After [`Output::CanVerify`] only.
    ///
    /// # Errors
    /// Not on this stream, or too many are under way.
    pub fn verify(&mut self, _now: Time, _verification: &Verification) -> Result<(), SendError> {
        Err(SendError::Down)
    }

    /// What the authoritative server says of a key ([`Output::Verify`]). What comes too late, or was not asked for, is ignored.
    pub fn verified(&mut self, _now: Time, _pair: &Pair, _verdict: Verdict) {}

    /// A stanza has come by whatever stream that may answer a barrier of this one. Whether it does; it is for nobody else then.
    pub fn answered(&mut self, _now: Time, _stanza: &Stanza) -> bool {
        false
    }

    /// The batch is complete: a barrier, or a request to acknowledge, goes out behind it. Call it after every event and before the
    /// last [`Stream::poll`].
    pub fn flushed(&mut self, _now: Time) {}

    /// Closes the stream in good order, once what was sent is settled, or with an error at once: in two times
    /// [`Config::close_timeout`] at the latest.
    pub fn close(&mut self, _now: Time, error: Option<StreamError>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut bytes = Vec::new();
        if let Some(error) = &error {
            error.write(&mut bytes);
        }
        bytes.extend_from_slice(CLOSE);
        let reason = error.map_or(DownReason::Closed, DownReason::OurError);
        self.out.extend([Output::Bytes(bytes), Output::Down(reason), Output::Close]);
    }

    /// The moment of [`Stream::deadline`] has come. Earlier calls do no harm.
    pub fn timeout(&mut self, _now: Time) {}

    /// When [`Stream::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The id of the stream, which whoever opened it was given; none before there is one.
    pub fn id(&self) -> Option<&str> {
        None
    }

    /// Whether we opened it.
    pub fn is_initiating(&self) -> bool {
        false
    }

    /// Whether there is TLS.
    pub fn is_secured(&self) -> bool {
        false
    }

    /// Whether it carries both directions (XEP-0288).
    pub fn is_bidirectional(&self) -> bool {
        false
    }

    /// Whether the other side says that it handles errors of dialback, without which a stream should serve one domain of theirs only
    /// (XEP-0220 §2.6.2).
    pub fn has_dialback_errors(&self) -> bool {
        false
    }

    /// Whether nothing was proved on it, by either side.
    pub fn is_unproven(&self) -> bool {
        true
    }

    /// Whether stanzas can be sent for the pair.
    pub fn sends(&self, _pair: &Pair) -> bool {
        false
    }

    /// Whether stanzas are taken for the pair.
    pub fn accepts(&self, _pair: &Pair) -> bool {
        false
    }

    /// The pairs that are proved for at least one direction: for sending, for taking.
    pub fn pairs(&self) -> impl Iterator<Item = (&Pair, Option<Proof>, Option<Proof>)> {
        std::iter::empty()
    }

    /// Whether the other server has answered a barrier of this stream ([`Initiate::expects_barriers`]).
    pub fn answers_barriers(&self) -> bool {
        false
    }

    /// When a stanza or something of dialback last went either way: an idle stream is the caller's to close.
    pub fn used(&self) -> Time {
        self.used
    }

    /// Numbers for the metrics.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
