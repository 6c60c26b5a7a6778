//! What a stream wants done and has to tell.

use super::{Pair, Proof, Verdict, Verification};
use crate::stanza::{Stanza, StanzaFault};
use crate::stream::StreamError;
use base::Str;
use std::fmt;

/// What the shell, or who keeps the streams, is to do or to know. In the order it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this to the connection.
    Bytes(Vec<u8>),
    /// Once all is written, begin TLS: as the client if we opened the stream, naming [`Pair::remote`] of what it was opened for, as the
    /// server else. Then tell [`super::Stream::secured`]; if it comes to nothing, [`super::Stream::closed`]. Bytes that were
    /// read and not given to the stream belong to TLS.
    StartTls,
    /// Say whether the certificate that the other side has shown is valid for this domain, by [`super::Stream::judged`]. Asked once for
    /// each domain that matters, on connections with TLS only.
    Judge(Str),
    /// Close the connection once all is written, then tell [`super::Stream::closed`].
    Close,
    /// Close the connection at once: it takes too long. Then tell [`super::Stream::closed`], if that is still to be told.
    Abort,
    /// Stanzas from `local` to `remote` can be sent on this stream.
    Ready {
        /// For whom.
        pair: Pair,
        /// What convinced the other side.
        proof: Proof,
    },
    /// The other side does not take stanzas from `local` to `remote` on this stream. It goes on for other pairs, if there are any.
    Refused {
        /// For whom.
        pair: Pair,
        /// What dialback said; never [`Verdict::Valid`].
        verdict: Verdict,
    },
    /// Stanzas from `remote` to `local` are taken on this stream from now on.
    Accepts {
        /// For whom.
        pair: Pair,
        /// What convinced us.
        proof: Proof,
    },
    /// The other side asks to speak for `remote`: have the key verified by that domain's own server, over another connection, then tell
    /// [`super::Stream::verified`].
    Verify(Verification),
    /// Keys can be verified over this stream ([`super::Stream::verify`]).
    CanVerify,
    /// What the other side says of a key that was to be verified. The key is left out of it.
    Verified {
        /// What was to be proved.
        pair: Pair,
        /// The id of the stream that the key came on.
        id: Str,
        /// Whether it is.
        verdict: Verdict,
    },
    /// A stanza. It has `from` and `to`, and their domains are a pair that is accepted.
    Stanza(Stanza),
    /// An error for the sender of something that could not be handled, to be sent from `local` to `remote` by whatever stream there is.
    Reply(Stanza),
    /// The other server has dealt with the stanza of this token; if it refused it, the error came before.
    Taken(u64),
    /// The stream ended before that was known.
    Lost(u64),
    /// The stream is over. All tokens and verifications were answered before. The connection is closed next, unless it is gone already.
    Down(DownReason),
    /// Something for the log.
    Fault(Fault),
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The connection ended without the stream being closed.
    Disconnected,
    /// TLS could not be begun; the connection has ended.
    TlsFailed,
    /// The other side offers no TLS, or would not begin it, where the policy wants it: stripped, perhaps.
    NoTls,
    /// The other side's certificate is not valid where the policy wants it to be; why.
    BadCertificate(Str),
    /// The other side takes neither SASL EXTERNAL nor dialback from us, or has refused them.
    NotAuthenticated,
    /// The other side closed the stream.
    ClosedByPeer,
    /// The other side ended it with an error.
    PeerError(StreamError),
    /// We ended it with an error.
    OurError(StreamError),
    /// The same, and all that was wrong is that one of the domains is not served, or not spoken to: which the other side may have been led to.
    Unserved(StreamError),
    /// We closed it because we were asked to.
    Closed,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DownReason::Disconnected => f.write_str("connection lost"),
            DownReason::TlsFailed => f.write_str("no TLS handshake"),
            DownReason::NoTls => f.write_str("TLS is required and not to be had"),
            DownReason::BadCertificate(why) => write!(f, "certificate refused: {why}"),
            DownReason::NotAuthenticated => f.write_str("not authenticated"),
            DownReason::ClosedByPeer => f.write_str("closed by the other side"),
            DownReason::PeerError(e) => write!(f, "the other side says {e}"),
            DownReason::OurError(e) | DownReason::Unserved(e) => write!(f, "given up: {e}"),
            DownReason::Closed => f.write_str("closed"),
        }
    }
}

/// Something that went wrong without ending the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A stanza with an address that is none. Its sender was told, if it could be.
    BadStanza(StanzaFault),
    /// A stanza broke a limit and was passed over. Its sender was told.
    Oversize(xml::Error),
    /// An answer of dialback that nobody asked for, or a request where none may come (XEP-0220 §3.1); ignored.
    UnsolicitedDialback,
    /// A dialback element that makes no sense; ignored.
    BadDialback,
    /// A request to speak for a domain was refused; what the other side was told.
    DialbackRefused(Pair, Verdict),
    /// SASL failed: the other side's with us, or ours with it; the name of the condition.
    SaslFailure(Str),
    /// The other side answers no barriers: tokens are taken after a while, whatever happened.
    BarriersUnanswered,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::BadStanza(e) => write!(f, "bad stanza: {e}"),
            Fault::Oversize(e) => write!(f, "stanza passed over: {e}"),
            Fault::UnsolicitedDialback => f.write_str("unsolicited dialback"),
            Fault::BadDialback => f.write_str("bad dialback element"),
            Fault::DialbackRefused(pair, verdict) => write!(f, "dialback refused for {pair}: {verdict:?}"),
            Fault::SaslFailure(condition) => write!(f, "SASL failure: {condition}"),
            Fault::BarriersUnanswered => f.write_str("the other server does not answer pings"),
        }
    }
}

/// Why a stanza, a key or a question cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The stream is not there yet, or no more.
    Down,
    /// The pair is not proved on it, or cannot be.
    NotProved,
    /// Too much is on its way.
    Full,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Down => "no stream",
            SendError::NotProved => "the pair is not proved on this stream",
            SendError::Full => "the stream is full",
        })
    }
}

impl std::error::Error for SendError {}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stanzas sent that are not known to be dealt with.
    pub unacknowledged: usize,
    /// Bytes of those.
    pub unacknowledged_bytes: usize,
    /// Tokens that were taken because nobody answered.
    pub taken_by_wait: u64,
    /// Stanzas that were sent.
    pub sent: u64,
    /// Stanzas that came and were passed on.
    pub received: u64,
    /// Stanzas that came and were refused here.
    pub refused: u64,
}
