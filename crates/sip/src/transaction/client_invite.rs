//! The INVITE client transaction: RFC 3261 §17.1.1 with figure 5 as RFC 6026 §8.4 replaced it.

use super::{Effect, Step, Timer};

/// The states of figure 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing has come back.
    Calling,
    /// A provisional response has.
    Proceeding,
    /// A refusal has, and is acknowledged whenever it comes again.
    Completed,
    /// A 2xx has; further ones are passed on (RFC 6026).
    Accepted,
    /// To be destroyed at once.
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A response of the 1xx class.
    Provisional,
    /// A response of the 2xx class.
    Success,
    /// A response of 300 or more.
    Failure,
    /// Time to retransmit.
    TimerA,
    /// The transaction has taken too long.
    TimerB,
    /// No more retransmitted refusals are to be expected.
    TimerD,
    /// No more 2xx are to be expected.
    TimerM,
    /// The transport cannot send the INVITE or the ACK.
    TransportError,
}

/// The transaction begins.
pub fn start(reliable: bool) -> Step<State> {
    use Effect::{SendRequest, Start};
    let effects: &[Effect] =
        if reliable { &[SendRequest, Start(Timer::B)] } else { &[SendRequest, Start(Timer::A), Start(Timer::B)] };
    (State::Calling, effects)
}

/// One transition of figure 5. What the figure does not show changes nothing.
pub fn step(state: State, event: Event) -> Step<State> {
    use Effect::{Again, InformTimeout, InformTransport, SendAck, SendRequest, Start, Stop, ToUser};
    match (state, event) {
        (State::Calling, Event::TimerA) => (State::Calling, &[SendRequest, Again(Timer::A)]),
        (State::Calling, Event::TimerB) => (State::Terminated, &[InformTimeout]),
        // A request that is Proceeding has arrived, so no send of ours can fail any more: the figure shows no such arrow. We
        // take one, because the connection that the answer should come on may break, and the user wants to know.
        (State::Calling | State::Proceeding | State::Completed, Event::TransportError) => {
            (State::Terminated, &[InformTransport])
        }
        (State::Calling, Event::Provisional) => (State::Proceeding, &[ToUser, Stop(Timer::A), Stop(Timer::B)]),
        (State::Proceeding, Event::Provisional) => (State::Proceeding, &[ToUser]),
        (State::Calling | State::Proceeding, Event::Failure) => {
            (State::Completed, &[SendAck, ToUser, Stop(Timer::A), Stop(Timer::B), Start(Timer::D)])
        }
        (State::Calling | State::Proceeding, Event::Success) => {
            (State::Accepted, &[ToUser, Stop(Timer::A), Stop(Timer::B), Start(Timer::M)])
        }
        (State::Completed, Event::Failure) => (State::Completed, &[SendAck]),
        (State::Completed, Event::TimerD) => (State::Terminated, &[]),
        (State::Accepted, Event::Success) => (State::Accepted, &[ToUser]),
        (State::Accepted, Event::TimerM) => (State::Terminated, &[]),
        (State::Calling, Event::TimerD | Event::TimerM)
        | (State::Proceeding, Event::TimerA | Event::TimerB | Event::TimerD | Event::TimerM)
        | (State::Completed, Event::Provisional | Event::Success | Event::TimerA | Event::TimerB | Event::TimerM)
        | (
            State::Accepted,
            Event::Provisional | Event::Failure | Event::TimerA | Event::TimerB | Event::TimerD | Event::TransportError,
        )
        | (State::Terminated, _) => (state, &[]),
    }
}
