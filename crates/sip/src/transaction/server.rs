//! The non-INVITE server transaction: RFC 3261 §17.2.2, figure 8, with the 100 and the end of RFC 4320.

use super::{Effect, Step, Timer};

/// The states of figure 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The transaction user has the request and has not answered; retransmissions are absorbed in silence.
    Trying,
    /// A 100 was sent, and is sent again for each retransmission.
    Proceeding,
    /// The final response was sent, and is sent again for each retransmission.
    Completed,
    /// To be destroyed at once.
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request came again.
    Request,
    /// The transaction user answers with a 100. No other 1xx is allowed here (RFC 4320 §4.1).
    Provisional,
    /// The transaction user answers with 200 or more.
    Final,
    /// No more retransmissions are to be expected.
    TimerJ,
    /// A 100 is due (RFC 4320 §4.1).
    TimerTrying,
    /// The other side has given up, and an answer has no use any more (RFC 4320 §4.2).
    TimerUseless,
    /// The transport cannot send the response.
    TransportError,
}

/// The request came for the first time and is passed to the transaction user. The two timers are those of RFC 4320: figure 8 would
/// wait for ever.
pub fn start() -> Step<State> {
    (State::Trying, &[Effect::ToUser, Effect::Start(Timer::Trying), Effect::Start(Timer::Useless)])
}

/// One transition of figure 8. What the figure does not show changes nothing.
pub fn step(state: State, event: Event) -> Step<State> {
    use Effect::{InformTimeout, InformTransport, ResendResponse, SendResponse, SendTrying, Start, Stop};
    match (state, event) {
        (State::Trying | State::Proceeding, Event::Provisional) => {
            (State::Proceeding, &[SendResponse, Stop(Timer::Trying)])
        }
        (State::Trying, Event::TimerTrying) => (State::Proceeding, &[SendTrying]),
        (State::Trying | State::Proceeding, Event::Final) => {
            (State::Completed, &[SendResponse, Stop(Timer::Trying), Stop(Timer::Useless), Start(Timer::J)])
        }
        // RFC 4320 §4.2: no 408 and nothing else; the transaction user may stop as well.
        (State::Trying | State::Proceeding, Event::TimerUseless) => (State::Terminated, &[InformTimeout]),
        (State::Proceeding | State::Completed, Event::Request) => (state, &[ResendResponse]),
        // RFC 6026 §8.8: the state stays, so that a retransmission is not taken for a new request. Figure 8 would end here.
        (State::Proceeding | State::Completed, Event::TransportError) => (state, &[InformTransport]),
        (State::Completed, Event::TimerJ) => (State::Terminated, &[]),
        (State::Trying, Event::Request | Event::TimerJ | Event::TransportError)
        | (State::Proceeding, Event::TimerJ | Event::TimerTrying)
        | (State::Completed, Event::Provisional | Event::Final | Event::TimerTrying | Event::TimerUseless)
        | (State::Terminated, _) => (state, &[]),
    }
}
