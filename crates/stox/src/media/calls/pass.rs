//! What one side says of the media on its way to the other: at once, or through a media relay.

use super::Calls;
use super::call::CallId;
use crate::mapping::{Side, Stage};
use bodies::sdp::Sdp;
use sip::Cause;

/// What is said: RFC 3264 §5 to §8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// The offer that begins the call.
    Offer,
    /// The answer to it.
    Answer,
    /// An offer in a call that stands.
    NextOffer,
    /// The answer to one.
    NextAnswer,
}

/// Something on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passing {
    /// Who says it.
    pub from: Side,
    /// What it is.
    pub what: Said,
}

impl Calls {
    /// Brings it to the other side.
    pub(super) fn pass(&mut self, stage: &mut Stage<'_>, id: CallId, passing: Passing, sdp: &Sdp) {
        self.passed(stage, id, passing, sdp);
    }

    /// It has come there.
    fn passed(&mut self, stage: &mut Stage<'_>, id: CallId, passing: Passing, sdp: &Sdp) {
        match (passing.from, passing.what) {
            (Side::Xmpp, Said::Offer) => self.invite(stage, id, sdp),
            (Side::Sip, Said::Offer) => self.ring(stage, id, sdp),
            (Side::Xmpp, Said::Answer) => self.answer(stage, id, sdp),
            (Side::Sip, Said::Answer) => self.accept(stage, id, sdp),
            (Side::Xmpp, Said::NextOffer) => self.offer(stage, id, sdp),
            (Side::Sip, Said::NextOffer) => self.offered_with(stage, id, sdp),
            (Side::Xmpp, Said::NextAnswer) => self.answer_offer(stage, id, sdp),
            (Side::Sip, Said::NextAnswer) => self.settle(stage, id, sdp),
        }
        self.arm(id);
    }

    /// Tries once more where a phone wants no ICE and no DTLS, but there is who speaks for it. Whether there is.
    #[expect(clippy::unused_self, reason = "there is none yet")]
    pub(super) fn again_through_relay(&mut self, _: &mut Stage<'_>, _: CallId, _: &Cause) -> bool {
        false
    }
}
