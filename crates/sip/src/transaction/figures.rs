//! Every arrow of figures 5 to 8, and that there is no other: each table lists the transitions that do something, and all pairs of
//! state and event that it does not list must change nothing.

use super::Effect::{self, *};
use super::Timer::*;
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
    use client_invite::{Event as On, State as S};
    let states = [S::Calling, S::Proceeding, S::Completed, S::Accepted, S::Terminated];
    let events =
        [On::Provisional, On::Success, On::Failure, On::TimerA, On::TimerB, On::TimerD, On::TimerM, On::TransportError];
    assert_eq!(client_invite::start(false), (S::Calling, &[SendRequest, Start(A), Start(B)][..]));
    assert_eq!(client_invite::start(true), (S::Calling, &[SendRequest, Start(B)][..]));
    check(
        &states,
        &events,
        client_invite::step,
        &[
            (S::Calling, On::TimerA, S::Calling, &[SendRequest, Again(A)]),
            (S::Calling, On::TimerB, S::Terminated, &[InformTimeout]),
            (S::Calling, On::TransportError, S::Terminated, &[InformTransport]),
            (S::Calling, On::Provisional, S::Proceeding, &[ToUser, Stop(A), Stop(B)]),
            (S::Calling, On::Success, S::Accepted, &[ToUser, Stop(A), Stop(B), Start(M)]),
            (S::Calling, On::Failure, S::Completed, &[SendAck, ToUser, Stop(A), Stop(B), Start(D)]),
            (S::Proceeding, On::Provisional, S::Proceeding, &[ToUser]),
            (S::Proceeding, On::Success, S::Accepted, &[ToUser, Stop(A), Stop(B), Start(M)]),
            (S::Proceeding, On::Failure, S::Completed, &[SendAck, ToUser, Stop(A), Stop(B), Start(D)]),
            (S::Proceeding, On::TransportError, S::Terminated, &[InformTransport]),
            (S::Completed, On::Failure, S::Completed, &[SendAck]),
            (S::Completed, On::TransportError, S::Terminated, &[InformTransport]),
            (S::Completed, On::TimerD, S::Terminated, &[]),
            (S::Accepted, On::Success, S::Accepted, &[ToUser]),
            (S::Accepted, On::TimerM, S::Terminated, &[]),
        ],
    );
}

#[test]
fn figure_6_client() {
    use client::{Event as On, State as S};
    let states = [S::Trying, S::Proceeding, S::Completed, S::Terminated];
    let events = [On::Provisional, On::Final, On::TimerE, On::TimerF, On::TimerK, On::TransportError];
    assert_eq!(client::start(false), (S::Trying, &[SendRequest, Start(E), Start(F)][..]));
    assert_eq!(client::start(true), (S::Trying, &[SendRequest, Start(F)][..]));
    let done: &[Effect] = &[ToUser, Stop(E), Stop(F), Start(K)];
    check(
        &states,
        &events,
        client::step,
        &[
            (S::Trying, On::TimerE, S::Trying, &[SendRequest, Again(E)]),
            (S::Trying, On::TimerF, S::Terminated, &[InformTimeout]),
            (S::Trying, On::TransportError, S::Terminated, &[InformTransport]),
            (S::Trying, On::Provisional, S::Proceeding, &[ToUser]),
            (S::Trying, On::Final, S::Completed, done),
            (S::Proceeding, On::TimerE, S::Proceeding, &[SendRequest, Slow(E)]),
            (S::Proceeding, On::TimerF, S::Terminated, &[InformTimeout]),
            (S::Proceeding, On::TransportError, S::Terminated, &[InformTransport]),
            (S::Proceeding, On::Provisional, S::Proceeding, &[ToUser]),
            (S::Proceeding, On::Final, S::Completed, done),
            (S::Completed, On::TimerK, S::Terminated, &[]),
        ],
    );
}

#[test]
fn figure_7_invite_server() {
    use server_invite::{Event as On, State as S};
    let states = [S::Proceeding, S::Completed, S::Confirmed, S::Accepted, S::Terminated];
    let events = [
        On::Invite,
        On::Ack,
        On::Provisional,
        On::Success,
        On::Failure,
        On::TimerG,
        On::TimerH,
        On::TimerI,
        On::TimerL,
        On::TimerTrying,
        On::TransportError,
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
                (S::Proceeding, On::Invite, S::Proceeding, &[ResendResponse]),
                (S::Proceeding, On::TimerTrying, S::Proceeding, &[SendTrying]),
                (S::Proceeding, On::Provisional, S::Proceeding, &[SendResponse, Stop(InviteTrying)]),
                (S::Proceeding, On::Success, S::Accepted, &[SendResponse, Stop(InviteTrying), Start(L)]),
                (S::Proceeding, On::Failure, S::Completed, refuse),
                (S::Proceeding, On::TransportError, S::Proceeding, &[InformTransport]),
                (S::Completed, On::Invite, S::Completed, &[ResendResponse]),
                (S::Completed, On::TimerG, S::Completed, &[ResendResponse, Again(G)]),
                (S::Completed, On::TimerH, S::Terminated, &[InformTimeout]),
                (S::Completed, On::Ack, S::Confirmed, &[Stop(G), Stop(H), Start(I)]),
                (S::Completed, On::TransportError, S::Completed, &[InformTransport]),
                (S::Confirmed, On::TimerI, S::Terminated, &[]),
                (S::Accepted, On::Success, S::Accepted, &[SendResponse]),
                (S::Accepted, On::Ack, S::Accepted, &[ToUser]),
                (S::Accepted, On::TimerL, S::Terminated, &[]),
                (S::Accepted, On::TransportError, S::Accepted, &[InformTransport]),
            ],
        );
    }
}

#[test]
fn figure_8_server() {
    use server::{Event as On, State as S};
    let states = [S::Trying, S::Proceeding, S::Completed, S::Terminated];
    let events =
        [On::Request, On::Provisional, On::Final, On::TimerJ, On::TimerTrying, On::TimerUseless, On::TransportError];
    assert_eq!(server::start(), (S::Trying, &[ToUser, Start(Trying), Start(Useless)][..]));
    let answer: &[Effect] = &[SendResponse, Stop(Trying), Stop(Useless), Start(J)];
    check(
        &states,
        &events,
        server::step,
        &[
            (S::Trying, On::Provisional, S::Proceeding, &[SendResponse, Stop(Trying)]),
            (S::Trying, On::TimerTrying, S::Proceeding, &[SendTrying]),
            (S::Trying, On::Final, S::Completed, answer),
            (S::Trying, On::TimerUseless, S::Terminated, &[InformTimeout]),
            (S::Proceeding, On::Request, S::Proceeding, &[ResendResponse]),
            (S::Proceeding, On::Provisional, S::Proceeding, &[SendResponse, Stop(Trying)]),
            (S::Proceeding, On::Final, S::Completed, answer),
            (S::Proceeding, On::TimerUseless, S::Terminated, &[InformTimeout]),
            (S::Proceeding, On::TransportError, S::Proceeding, &[InformTransport]),
            (S::Completed, On::Request, S::Completed, &[ResendResponse]),
            (S::Completed, On::TimerJ, S::Terminated, &[]),
            (S::Completed, On::TransportError, S::Completed, &[InformTransport]),
        ],
    );
}
