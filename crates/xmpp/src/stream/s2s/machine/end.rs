//! Moments, and the end of a stream.

use super::pairs::Question;
use super::{State, Stream};
use crate::error::StreamCondition;
use crate::stream::s2s::{DialbackCondition, DownReason, Output, Verdict};
use crate::stream::{CLOSE, StreamError};
use base::Time;
use xml::Element;

impl Stream {
    /// See [`Stream::close`].
    pub(super) fn close_or_fail(&mut self, now: Time, error: Option<StreamError>) {
        match (self.state, error) {
            (State::Ending { .. } | State::Over, _) => {}
            (_, Some(error)) => self.fail_with(now, error, None),
            (State::Negotiated, None) => {
                self.state = State::Draining { until: now + self.config.close_timeout };
                self.flushed(now);
            }
            (State::Draining { .. } | State::Closing { .. }, None) => {}
            (State::Opening | State::Features | State::StartTls | State::Securing | State::Authenticating, None) => {
                self.give_up(now, DownReason::Closed);
            }
        }
    }

    /// Ends a stream that is to end, when everything is settled.
    pub(super) fn drained(&mut self, now: Time) {
        if matches!(self.state, State::Draining { .. }) && self.is_settled() {
            self.close_our_end(now);
        }
    }

    /// Closes our end; the other side closes its own when it has dealt with everything (RFC 6120 §4.4).
    fn close_our_end(&mut self, now: Time) {
        if self.acks.is_on() {
            // XEP-0198 §4: so that nothing is sent twice.
            self.acknowledge();
        }
        self.bytes(CLOSE);
        self.state = State::Closing { until: now + self.config.close_timeout };
    }

    /// See [`Stream::timeout`].
    pub(super) fn look_after(&mut self, now: Time) {
        match self.state {
            State::Opening | State::Features | State::StartTls | State::Securing | State::Authenticating => {
                self.check_handshake(now);
            }
            State::Negotiated => {
                self.check_handshake(now);
                let half = self.half_since.map(|since| since + self.config.half_stanza_timeout);
                if self.state == State::Negotiated && half.is_some_and(|at| at <= now) {
                    self.fail(now, StreamCondition::ConnectionTimeout, "half a stanza");
                }
                if self.state == State::Negotiated {
                    self.expire_keys(now);
                    self.check_life(now);
                }
            }
            State::Draining { until } => {
                self.expire_keys(now);
                self.expire_barriers(now);
                if until <= now { self.close_our_end(now) } else { self.drained(now) }
            }
            State::Closing { until } if until <= now => self.end(now, DownReason::Closed),
            State::Ending { until } if until <= now => {
                self.out.push_back(Output::Abort);
                self.state = State::Over;
            }
            State::Closing { .. } | State::Ending { .. } | State::Over => {}
        }
    }

    fn check_handshake(&mut self, now: Time) {
        if self.handshake_until.is_none_or(|at| at > now) {
            return;
        }
        if self.served > 0 {
            // Somebody who wanted nothing but keys verified.
            return self.give_up(now, DownReason::Closed);
        }
        self.fail(now, StreamCondition::ConnectionTimeout, "no end of the handshake");
    }

    /// See [`Stream::deadline`].
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self.state {
            State::Opening | State::Features | State::StartTls | State::Securing | State::Authenticating => {
                self.handshake_until
            }
            State::Negotiated => {
                let half = self.half_since.map(|since| since + self.config.half_stanza_timeout);
                [self.handshake_until, half, self.pairs.deadline(), self.life_deadline()].into_iter().flatten().min()
            }
            State::Draining { until } => {
                self.pairs.deadline().into_iter().chain(self.life_deadline()).chain([until]).min()
            }
            State::Closing { until } | State::Ending { until } => Some(until),
            State::Over => None,
        }
    }

    /// They have closed their end.
    pub(super) fn closed_by_peer(&mut self, now: Time) {
        match self.state {
            State::Closing { .. } => self.end(now, DownReason::Closed),
            _ => self.give_up(now, DownReason::ClosedByPeer),
        }
    }

    /// They have ended it with an error.
    pub(super) fn failed_by_peer(&mut self, now: Time, error: StreamError) {
        self.give_up(now, DownReason::PeerError(error));
    }

    /// Ends the stream with an error of ours.
    pub(super) fn fail(&mut self, now: Time, condition: StreamCondition, why: &str) {
        self.fail_with(now, StreamError::new(condition).with_text(why), None);
    }

    /// The same, where nothing is wrong but one of the domains.
    pub(super) fn turn_away(&mut self, now: Time, condition: StreamCondition, why: &str) {
        let error = StreamError::new(condition).with_text(why);
        self.say_error(&error, None);
        self.give_up(now, DownReason::Unserved(error));
    }

    /// The same, with a condition that is the application's (RFC 6120 §4.9.4).
    pub(super) fn fail_with(&mut self, now: Time, error: StreamError, app: Option<&Element>) {
        self.say_error(&error, app);
        self.give_up(now, DownReason::OurError(error));
    }

    fn say_error(&mut self, error: &StreamError, app: Option<&Element>) {
        // RFC 6120 §4.9.1.2: an error stands in a stream, whatever the other side has begun with.
        if !self.header_out && self.state == State::Opening {
            self.answer_header();
        }
        if self.may_write() {
            let mut bytes = Vec::with_capacity(256);
            error.write_with(app, &mut bytes);
            self.bytes(&bytes);
        }
    }

    /// Ends the stream without an error to tell.
    pub(super) fn give_up(&mut self, now: Time, reason: DownReason) {
        if self.may_write() && self.header_out {
            self.bytes(CLOSE);
        }
        self.end(now, reason);
    }

    /// Nothing is written behind our own end of the stream, nor between the lines where TLS begins.
    fn may_write(&self) -> bool {
        !matches!(self.state, State::Closing { .. } | State::Securing | State::Ending { .. } | State::Over)
    }

    /// Both ends are closed, or no longer matter.
    fn end(&mut self, now: Time, reason: DownReason) {
        if matches!(self.state, State::Ending { .. } | State::Over) {
            return;
        }
        let is_between = self.state == State::Securing;
        self.down(reason);
        self.state = State::Ending { until: now + self.config.close_timeout };
        if is_between {
            self.out.push_back(Output::Abort);
            self.state = State::Over;
        } else {
            self.out.push_back(Output::Close);
        }
    }

    /// The connection is gone.
    pub(super) fn gone(&mut self) {
        match self.state {
            State::Ending { .. } | State::Over => {}
            State::Closing { .. } => self.down(DownReason::Closed),
            State::Securing => self.down(DownReason::TlsFailed),
            State::Opening
            | State::Features
            | State::StartTls
            | State::Authenticating
            | State::Negotiated
            | State::Draining { .. } => self.down(DownReason::Disconnected),
        }
        self.state = State::Over;
    }

    /// Answers every token and every question, and tells that the stream is over.
    fn down(&mut self, reason: DownReason) {
        self.half_since = None;
        self.reader = xml::Reader::new(self.config.unproven_limits.clone());
        self.end_acks();
        for Question { pair, id, .. } in std::mem::take(&mut self.pairs.questions) {
            // XEP-0220 §2.1.2: as an error.
            let verdict = Verdict::Error(DialbackCondition::RemoteServerTimeout);
            self.out.push_back(Output::Verified { pair, id, verdict });
        }
        self.out.push_back(Output::Down(reason));
    }
}
