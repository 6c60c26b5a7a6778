//! The four transaction machines of RFC 3261 §17, as RFC 6026 and RFC 4320 corrected them.
//!
//! Each machine is a function from a state and an event to a state and the effects, in the words of the RFC's figures. The
//! machines know neither messages nor the time: whoever runs them keeps the message, sets the timers that an effect names
//! and comes back with an event when one fires.

pub mod client;
pub mod client_invite;
pub mod server;
pub mod server_invite;
mod timer;

#[cfg(test)]
mod figures;

pub use timer::{Intervals, Timer};

/// What a machine asks to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Pass the request to the transport (once more).
    SendRequest,
    /// Build the ACK for the response that just came (RFC 3261 §17.1.1.3) and pass it to the transport.
    SendAck,
    /// Pass the response that just came from the transaction user to the transport; it is now the last one.
    SendResponse,
    /// Pass the last response to the transport once more.
    ResendResponse,
    /// Build a 100 (RFC 3261 §8.2.6.1) and pass it to the transport; it is now the last response.
    SendTrying,
    /// Pass the message that just came to the transaction user.
    ToUser,
    /// Tell the transaction user that the other side did not answer, or did not acknowledge, in time.
    InformTimeout,
    /// Tell the transaction user that the transport failed.
    InformTransport,
    /// Set this timer to its first interval.
    Start(Timer),
    /// Set this timer again, to its next interval: twice the one before, or less where it has a cap.
    Again(Timer),
    /// Set this timer to its longest interval (timer E while Proceeding).
    Slow(Timer),
    /// What this timer does is no longer wanted.
    Stop(Timer),
}

/// What a machine does: its new state and the effects.
pub type Step<S> = (S, &'static [Effect]);
