//! The non-INVITE client transaction: RFC 3261 §17.1.2, figure 6.

use super::{Effect, Step, Timer};

/// The states of figure 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing has come back.
    Trying,
    /// A provisional response has.
    Proceeding,
    /// A final response has; what follows is absorbed.
    Completed,
    /// To be destroyed at once.
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A response of the 1xx class.
    Provisional,
    /// A response of 200 or more.
    Final,
    /// Time to retransmit.
    TimerE,
    /// The transaction has taken too long.
    TimerF,
    /// No more retransmitted responses are to be expected.
    TimerK,
    /// The transport cannot send the request.
    TransportError,
}

/// The transaction begins.
pub fn start(reliable: bool) -> Step<State> {
    use Effect::{SendRequest, Start};
    let effects: &[Effect] =
        if reliable { &[SendRequest, Start(Timer::F)] } else { &[SendRequest, Start(Timer::E), Start(Timer::F)] };
    (State::Trying, effects)
}

/// One transition of figure 6. What the figure does not show changes nothing.
pub fn step(state: State, event: Event) -> Step<State> {
    use Effect::{Again, InformTimeout, InformTransport, SendRequest, Slow, Start, Stop, ToUser};
    match (state, event) {
        (State::Trying | State::Proceeding, Event::Provisional) => (State::Proceeding, &[ToUser]),
        (State::Trying | State::Proceeding, Event::Final) => {
            (State::Completed, &[ToUser, Stop(Timer::E), Stop(Timer::F), Start(Timer::K)])
        }
        (State::Trying, Event::TimerE) => (State::Trying, &[SendRequest, Again(Timer::E)]),
        (State::Proceeding, Event::TimerE) => (State::Proceeding, &[SendRequest, Slow(Timer::E)]),
        (State::Trying | State::Proceeding, Event::TimerF) => (State::Terminated, &[InformTimeout]),
        (State::Trying | State::Proceeding, Event::TransportError) => (State::Terminated, &[InformTransport]),
        (State::Completed, Event::TimerK) => (State::Terminated, &[]),
        (State::Trying | State::Proceeding, Event::TimerK)
        | (
            State::Completed,
            Event::Provisional | Event::Final | Event::TimerE | Event::TimerF | Event::TransportError,
        )
        | (State::Terminated, _) => (state, &[]),
    }
}
