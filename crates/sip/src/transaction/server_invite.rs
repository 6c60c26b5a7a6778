//! The INVITE server transaction: RFC 3261 §17.2.1 with figure 7 as RFC 6026 §8.6 replaced it.

use super::{Effect, Step, Timer};

/// The states of figure 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The transaction user has the INVITE and has given no final answer.
    Proceeding,
    /// It refused; the refusal is sent until it is acknowledged.
    Completed,
    /// The refusal was acknowledged; further ACKs are absorbed.
    Confirmed,
    /// It accepted; it sends the 2xx again itself and gets the ACK (RFC 6026).
    Accepted,
    /// To be destroyed at once.
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The INVITE came again.
    Invite,
    /// An ACK came.
    Ack,
    /// The transaction user answers with 1xx.
    Provisional,
    /// The transaction user answers with 2xx.
    Success,
    /// The transaction user answers with 300 or more.
    Failure,
    /// Time to send the refusal again.
    TimerG,
    /// The ACK has not come.
    TimerH,
    /// No more ACKs are to be expected.
    TimerI,
    /// No more retransmissions of an accepted INVITE are to be expected.
    TimerL,
    /// A 100 is due.
    TimerTrying,
    /// The transport cannot send the response.
    TransportError,
}

/// The INVITE came for the first time and is passed to the transaction user.
pub fn start() -> Step<State> {
    (State::Proceeding, &[Effect::ToUser, Effect::Start(Timer::InviteTrying)])
}

/// One transition of figure 7. What the figure does not show changes nothing.
pub fn step(state: State, event: Event, reliable: bool) -> Step<State> {
    use Effect::{
        Again, InformTimeout, InformTransport, ResendResponse, SendResponse, SendTrying, Start, Stop, ToUser,
    };
    match (state, event) {
        (State::Proceeding | State::Completed, Event::Invite) => (state, &[ResendResponse]),
        (State::Proceeding, Event::TimerTrying) => (State::Proceeding, &[SendTrying]),
        (State::Proceeding, Event::Provisional) => (State::Proceeding, &[SendResponse, Stop(Timer::InviteTrying)]),
        (State::Proceeding, Event::Success) => {
            (State::Accepted, &[SendResponse, Stop(Timer::InviteTrying), Start(Timer::L)])
        }
        (State::Proceeding, Event::Failure) if reliable => {
            (State::Completed, &[SendResponse, Stop(Timer::InviteTrying), Start(Timer::H)])
        }
        (State::Proceeding, Event::Failure) => {
            (State::Completed, &[SendResponse, Stop(Timer::InviteTrying), Start(Timer::G), Start(Timer::H)])
        }
        (State::Completed, Event::TimerG) => (State::Completed, &[ResendResponse, Again(Timer::G)]),
        (State::Completed, Event::TimerH) => (State::Terminated, &[InformTimeout]),
        (State::Completed, Event::Ack) => (State::Confirmed, &[Stop(Timer::G), Stop(Timer::H), Start(Timer::I)]),
        (State::Confirmed, Event::TimerI) => (State::Terminated, &[]),
        (State::Accepted, Event::Success) => (State::Accepted, &[SendResponse]),
        (State::Accepted, Event::Ack) => (State::Accepted, &[ToUser]),
        (State::Accepted, Event::TimerL) => (State::Terminated, &[]),
        // RFC 6026 §7.1: the state stays, so that retransmissions of the INVITE are not taken for a new one.
        (State::Proceeding | State::Completed | State::Accepted, Event::TransportError) => (state, &[InformTransport]),
        (State::Proceeding, Event::Ack | Event::TimerG | Event::TimerH | Event::TimerI | Event::TimerL)
        | (
            State::Completed,
            Event::Provisional | Event::Success | Event::Failure | Event::TimerI | Event::TimerL | Event::TimerTrying,
        )
        | (
            State::Confirmed,
            Event::Invite
            | Event::Ack
            | Event::Provisional
            | Event::Success
            | Event::Failure
            | Event::TimerG
            | Event::TimerH
            | Event::TimerL
            | Event::TimerTrying
            | Event::TransportError,
        )
        | (
            State::Accepted,
            Event::Invite
            | Event::Provisional
            | Event::Failure
            | Event::TimerG
            | Event::TimerH
            | Event::TimerI
            | Event::TimerTrying,
        )
        | (State::Terminated, _) => (state, &[]),
    }
}
