//! Candidates that are found while the call is set up or stands: transport-info (XEP-0176 §5.8) <-> INFO (RFC 8840). A SIP user who does not take such
//! INFOs gets what is known with the next offer, which is made for it if it knows of none.

use super::Calls;
use super::call::{CallId, State};
use super::info::Told;
use crate::mapping::Stage;
use base::Str;
use bodies::sdp::fragment::{Fragment, MEDIA_TYPE};
use bytes::Bytes;
use sip::invite::{Body, Info, InfoId};
use sip::{Name, Request, Response};

/// The Info Package (RFC 8840 §10.1).
pub(super) const PACKAGE: &str = "trickle-ice";

/// Where the telling of candidates is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Trickle {
    /// Nothing is to be told.
    #[default]
    Idle,
    /// There is something, for when there is a dialog.
    Due,
    /// An INFO is on its way.
    Told,
    /// And there is more since.
    More,
}

impl Calls {
    /// The XMPP user has named more candidates.
    pub(super) fn trickles(&mut self, stage: &mut Stage<'_>, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.trickle = match call.trickle {
                Trickle::Idle | Trickle::Due => Trickle::Due,
                Trickle::Told | Trickle::More => Trickle::More,
            };
            self.trickle(stage, id);
            self.change_due(stage, id);
        }
    }

    /// Tells the SIP user of them, if it takes that: all that there are, as RFC 8840 §4.4 wants it, so one INFO at a time is enough.
    pub(super) fn trickle(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let stands = matches!(call.state, State::Accepting | State::Active);
        let (Trickle::Due, Some(session), true) = (call.trickle, call.session, stands) else { return };
        call.trickle = Trickle::Idle;
        // The relay is where the SIP user looks.
        if call.passage.is_some() {
            return;
        }
        if !stage.sessions.peer_takes(session, PACKAGE) {
            call.description.iter_mut().for_each(|description| description.late());
            return;
        }
        let Some(fragment) = call.description.as_ref().and_then(|description| description.trickle()) else { return };
        let body = Body { content_type: Str::const_new(MEDIA_TYPE), content: Bytes::from(fragment.to_bytes()) };
        let info = Info { package: Some(PACKAGE), body };
        if self.tell(stage, id, info, Told::Candidates).is_ok()
            && let Some(call) = self.calls.get_mut(&id)
        {
            call.trickle = Trickle::Told;
        }
    }

    /// It has heard them.
    pub(super) fn trickled(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.trickle = match call.trickle {
            Trickle::More => Trickle::Due,
            Trickle::Told | Trickle::Idle | Trickle::Due => Trickle::Idle,
        };
        self.trickle(stage, id);
    }

    /// Tells the XMPP user's device of them; once one has the call. The last fragment has all that were in those before.
    fn trickle_in(&mut self, stage: &mut Stage<'_>, id: CallId, fragment: Fragment) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.passage.is_none()) else { return };
        match call.state {
            State::Arriving | State::Ringing { .. } | State::Inviting { .. } => call.early = Some(Box::new(fragment)),
            State::Gathering { .. } | State::Accepting | State::Active => {
                let description = call.description.as_mut();
                if let Some(said) = description.and_then(|description| description.fragment(&fragment)) {
                    self.say(stage, id, said);
                }
            }
        }
    }

    /// A device has the call: it hears of the candidates that have come before.
    pub(super) fn trickle_early(&mut self, stage: &mut Stage<'_>, id: CallId) {
        if let Some(fragment) = self.calls.get_mut(&id).and_then(|call| call.early.take()) {
            self.trickle_in(stage, id, *fragment);
        }
    }

    /// The SIP user has named more candidates.
    pub(super) fn trickles_in(&mut self, stage: &mut Stage<'_>, id: CallId, info: InfoId, request: &Request) {
        let type_ = request.headers.get(Name::ContentType).unwrap_or_default();
        let type_ = type_.split(';').next().unwrap_or_default().trim();
        let response = match Fragment::parse(&request.body) {
            _ if !type_.eq_ignore_ascii_case(MEDIA_TYPE) => Response::new(415, ""),
            Err(_) => Response::new(400, "Bad Fragment"),
            Ok(fragment) => {
                self.trickle_in(stage, id, fragment);
                Response::new(200, "")
            }
        };
        self.answer_info(stage, id, info, response);
    }
}
