//! Every arrow of figures 5 to 8, and that there is no other: each table lists the transitions that do something, and all pairs of
//! state and event that it does not list must change nothing.

use super::Effect::{self, *};
use super::Timer::{self, *};
use super::{client, client_invite, server, server_invite};
use std::fmt::Debug;

fn check<S: Copy + PartialEq + Debug, E: Copy + PartialEq + Debug>(
    states: &[S],
    events: &[E],
    step: impl Fn(S, E) -> (S, &'static [Effect]),
    arrows: &[(S, E, S, &[Effect])],
) {
    for &s in states {
        for &e in events {
            let mut listed = arrows.iter().filter(|(from, on, _, _)| (*from, *on) == (s, e));
            let wanted = listed.next().map_or((s, &[][..]), |(_, _, to, effects)| (*to, *effects));
            assert_eq!(step(s, e), wanted, "{s:?} on {e:?}");
            assert!(listed.next().is_none(), "{s:?} on {e:?} is listed twice");
        }
    }
}

#[test]
fn figure_5_invite_client() {
    use client_invite::{Event as E, State as S};
    let states = [S::Calling, S::Proceeding, S::Completed, S::Accepted, S::Terminated];
    let events =
        [E::Provisional, E::Success, E::Failure, E::TimerA, E::TimerB, E::TimerD, E::TimerM, E::TransportError];
    assert_eq!(client_invite::start(false), (S::Calling, &[SendRequest, Start(A), Start(B)][..]));
    assert_eq!(client_invite::start(true), (S::Calling, &[SendRequest, Start(B)][..]));
    check(
        &states,
        &events,
        client_invite::step,
        &[
            (S::Calling, E::TimerA, S::Calling, &[SendRequest, Again(A)]),
            (S::Calling, E::TimerB, S::Terminated, &[InformTimeout]),
            (S::Calling, E::TransportError, S::Terminated, &[InformTransport]),
            (S::Calling, E::Provisional, S::Proceeding, &[ToUser, Stop(A), Stop(B)]),
            (S::Calling, E::Success, S::Accepted, &[ToUser, Stop(A), Stop(B), Start(M)]),
            (S::Calling, E::Failure, S::Completed, &[SendAck, ToUser, Stop(A), Stop(B), Start(D)]),
            (S::Proceeding, E::Provisional, S::Proceeding, &[ToUser]),
            (S::Proceeding, E::Success, S::Accepted, &[ToUser, Stop(A), Stop(B), Start(M)]),
            (S::Proceeding, E::Failure, S::Completed, &[SendAck, ToUser, Stop(A), Stop(B), Start(D)]),
            (S::Proceeding, E::TransportError, S::Terminated, &[InformTransport]),
            (S::Completed, E::Failure, S::Completed, &[SendAck]),
            (S::Completed, E::TransportError, S::Terminated, &[InformTransport]),
            (S::Completed, E::TimerD, S::Terminated, &[]),
            (S::Accepted, E::Success, S::Accepted, &[ToUser]),
            (S::Accepted, E::TimerM, S::Terminated, &[]),
        ],
    );
}

#[test]
fn figure_6_client() {
    use client::{Event as E, State as S};
    let states = [S::Trying, S::Proceeding, S::Completed, S::Terminated];
    let events = [E::Provisional, E::Final, E::TimerE, E::TimerF, E::TimerK, E::TransportError];
    assert_eq!(client::start(false), (S::Trying, &[SendRequest, Start(Timer::E), Start(F)][..]));
    assert_eq!(client::start(true), (S::Trying, &[SendRequest, Start(F)][..]));
    let done: &[Effect] = &[ToUser, Stop(Timer::E), Stop(F), Start(K)];
    check(
        &states,
        &events,
        client::step,
        &[
            (S::Trying, E::TimerE, S::Trying, &[SendRequest, Again(Timer::E)]),
            (S::Trying, E::TimerF, S::Terminated, &[InformTimeout]),
            (S::Trying, E::TransportError, S::Terminated, &[InformTransport]),
            (S::Trying, E::Provisional, S::Proceeding, &[ToUser]),
            (S::Trying, E::Final, S::Completed, done),
            (S::Proceeding, E::TimerE, S::Proceeding, &[SendRequest, Slow(Timer::E)]),
            (S::Proceeding, E::TimerF, S::Terminated, &[InformTimeout]),
            (S::Proceeding, E::TransportError, S::Terminated, &[InformTransport]),
            (S::Proceeding, E::Provisional, S::Proceeding, &[ToUser]),
            (S::Proceeding, E::Final, S::Completed, done),
            (S::Completed, E::TimerK, S::Terminated, &[]),
        ],
    );
}

#[test]
fn figure_7_invite_server() {
    use server_invite::{Event as E, State as S};
    let states = [S::Proceeding, S::Completed, S::Confirmed, S::Accepted, S::Terminated];
    let events = [
        E::Invite,
        E::Ack,
        E::Provisional,
        E::Success,
        E::Failure,
        E::TimerG,
        E::TimerH,
        E::TimerI,
        E::TimerL,
        E::TimerTrying,
        E::TransportError,
    ];
    assert_eq!(server_invite::start(), (S::Proceeding, &[ToUser, Start(InviteTrying)][..]));
    for reliable in [false, true] {
        let refuse: &[Effect] = if reliable {
            &[SendResponse, Stop(InviteTrying), Start(H)]
        } else {
            &[SendResponse, Stop(InviteTrying), Start(G), Start(H)]
        };
        check(
            &states,
            &events,
            |s, e| server_invite::step(s, e, reliable),
            &[
                (S::Proceeding, E::Invite, S::Proceeding, &[ResendResponse]),
                (S::Proceeding, E::TimerTrying, S::Proceeding, &[SendTrying]),
                (S::Proceeding, E::Provisional, S::Proceeding, &[SendResponse, Stop(InviteTrying)]),
                (S::Proceeding, E::Success, S::Accepted, &[SendResponse, Stop(InviteTrying), Start(L)]),
                (S::Proceeding, E::Failure, S::Completed, refuse),
                (S::Proceeding, E::TransportError, S::Proceeding, &[InformTransport]),
                (S::Completed, E::Invite, S::Completed, &[ResendResponse]),
                (S::Completed, E::TimerG, S::Completed, &[ResendResponse, Again(G)]),
                (S::Completed, E::TimerH, S::Terminated, &[InformTimeout]),
                (S::Completed, E::Ack, S::Confirmed, &[Stop(G), Stop(H), Start(I)]),
                (S::Completed, E::TransportError, S::Completed, &[InformTransport]),
                (S::Confirmed, E::TimerI, S::Terminated, &[]),
                (S::Accepted, E::Success, S::Accepted, &[SendResponse]),
                (S::Accepted, E::Ack, S::Accepted, &[ToUser]),
                (S::Accepted, E::TimerL, S::Terminated, &[]),
                (S::Accepted, E::TransportError, S::Accepted, &[InformTransport]),
            ],
        );
    }
}

#[test]
fn figure_8_server() {
    use server::{Event as E, State as S};
    let states = [S::Trying, S::Proceeding, S::Completed, S::Terminated];
    let events = [E::Request, E::Provisional, E::Final, E::TimerJ, E::TimerTrying, E::TimerUseless, E::TransportError];
    assert_eq!(server::start(), (S::Trying, &[ToUser, Start(Trying), Start(Useless)][..]));
    let answer: &[Effect] = &[SendResponse, Stop(Trying), Stop(Useless), Start(J)];
    check(
        &states,
        &events,
        server::step,
        &[
            (S::Trying, E::Provisional, S::Proceeding, &[SendResponse, Stop(Trying)]),
            (S::Trying, E::TimerTrying, S::Proceeding, &[SendTrying]),
            (S::Trying, E::Final, S::Completed, answer),
            (S::Trying, E::TimerUseless, S::Terminated, &[InformTimeout]),
            (S::Proceeding, E::Request, S::Proceeding, &[ResendResponse]),
            (S::Proceeding, E::Provisional, S::Proceeding, &[SendResponse, Stop(Trying)]),
            (S::Proceeding, E::Final, S::Completed, answer),
            (S::Proceeding, E::TimerUseless, S::Terminated, &[InformTimeout]),
            (S::Proceeding, E::TransportError, S::Proceeding, &[InformTransport]),
            (S::Completed, E::Request, S::Completed, &[ResendResponse]),
            (S::Completed, E::TimerJ, S::Terminated, &[]),
            (S::Completed, E::TransportError, S::Completed, &[InformTransport]),
        ],
    );
}
