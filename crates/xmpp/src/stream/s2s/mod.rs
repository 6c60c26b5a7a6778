//! Streams between servers (RFC 6120), one at a time and in both roles: [`Stream`] is the machine of one connection, which the
//! shell has made ([`Stream::initiating`]) or taken ([`Stream::receiving`]). Which streams there are, whom they are for and what waits
//! for them is not its business.
//!
//! # Who may say what
//!
//! A stream carries stanzas for *pairs* of domains ([`Pair`]), and each pair is proved for each direction by itself: by the certificate
//! and SASL EXTERNAL (XEP-0178), or by dialback (XEP-0220). [`Output::Ready`] says that stanzas may be sent for a pair, [`Output::Accepts`]
//! that stanzas are taken for one. What comes for another pair ends the stream. Only where both sides have agreed on it (XEP-0288) does
//! one connection carry both directions.
//!
//! # What became of a stanza
//!
//! What was sent with a token gets one answer: [`Output::Taken`] once the other server has dealt with it, [`Output::Lost`] when the stream
//! ended before that was known. Behind each batch goes a ping from our domain to theirs, the *barrier*; whatever answers it came behind
//! the errors for what was before it. The answer mostly comes by another connection: [`Stream::answered`] is told. Where both have XEP-0198,
//! an acknowledgement says that the other server has the stanzas: on a connection for both directions that is enough, and else it is when
//! no barrier is answered within [`Config::barrier_timeout`]. Where there is neither, that wait stands in for an answer.

mod barrier;
mod config;
mod element;
mod key;
mod machine;
mod output;
mod pair;
mod rules;

#[cfg(test)]
mod tests;

pub use config::{Config, Initiate, Local, Purpose};
pub use key::Secret;
pub use machine::Stream;
pub use output::{Counts, DownReason, Fault, Output, SendError};
pub use pair::{Certificate, DialbackCondition, Pair, Proof, Verdict, Verification};
pub use rules::{Pattern, Policy, Rules};
