//! What is said by INFO in a call: keys of the telephone (XEP-0181, RFC 6086 §2), and candidates ([`trickle`]).
//!
//! Whoever presses a key waits for the other side: an iq until the INFO has its answer, an INFO until the iq has.

use super::Calls;
use super::call::{Asked, CallId, State};
use super::trickle;
use crate::error;
use crate::mapping::Stage;
use crate::media::dtmf;
use sip::invite::{Info, InfoId, Infos, NotSent};
use sip::{Cause, Request, Response};
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::dtmf::Dtmf;
use xmpp::ext::jingle::{self, Action, Jingle};
use xmpp::stanza::Stanza;

/// What calls take by INFO.
pub(super) const INFOS: Infos = Infos { packages: &[trickle::PACKAGE], types: &dtmf::TYPES };

/// What one of our INFOs says, for when it is answered.
#[derive(Debug)]
pub(super) enum Told {
    /// A key, which this iq told of: without what was in it.
    Key(Box<Stanza>),
    /// Where the XMPP user can be reached.
    Candidates,
}

/// The first thing of some kind that a session-info tells of.
pub(super) fn told_of(jingle: &Jingle, is: impl Fn(&Element) -> bool) -> Option<&Element> {
    let mut others = jingle.infos.iter().filter_map(|info| match info {
        jingle::Info::Other(e) => Some(e),
        _ => None,
    });
    others.find(|e| is(e)).filter(|_| jingle.action == Action::SessionInfo)
}

/// The key that a session-info tells of, if it does.
pub(super) fn key(jingle: &Jingle) -> Option<Result<Dtmf, Condition>> {
    told_of(jingle, Dtmf::is).map(Dtmf::parse)
}

impl Calls {
    /// The XMPP user has pressed a key.
    pub(super) fn pressed(&mut self, stage: &mut Stage<'_>, id: CallId, stanza: &Stanza, key: Result<Dtmf, Condition>) {
        let Some(call) = self.calls.get(&id) else { return };
        let link = call.link;
        let answer = match key {
            Err(condition) => Err(StanzaError::new(condition)),
            Ok(_) if !matches!(call.state, State::Active) => Err(jingle::Error::OutOfOrder.to_stanza_error()),
            Ok(key) => match dtmf::info(key) {
                // XEP-0181 §2: a tone of no length is none.
                None => Ok(()),
                Some(info) => match self.tell(stage, id, info, Told::Key(Box::new(stanza.envelope()))) {
                    Ok(()) => return,
                    Err(NotSent::Full) => Err(StanzaError::new(Condition::ResourceConstraint)),
                    Err(NotSent::Over | NotSent::NotTaken) => Err(jingle::Error::UnknownSession.to_stanza_error()),
                },
            },
        };
        self.reply(stage, link, stanza, answer);
    }

    /// Sends an INFO behind those before it.
    pub(super) fn tell(&mut self, stage: &mut Stage<'_>, id: CallId, info: Info, told: Told) -> Result<(), NotSent> {
        let call = self.calls.get_mut(&id).ok_or(NotSent::Over)?;
        let session = call.session.ok_or(NotSent::Over)?;
        stage.sessions(|sessions, ground| sessions.info(ground, session, info))?;
        call.told.push_back(told);
        Ok(())
    }

    /// The first of our INFOs has its answer.
    pub(super) fn info_ended(&mut self, stage: &mut Stage<'_>, id: CallId, cause: Option<&Cause>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let link = call.link;
        match call.told.pop_front() {
            Some(Told::Key(iq)) => {
                let answer = match cause {
                    None => Ok(()),
                    Some(cause) => Err(refused(cause)),
                };
                self.reply(stage, link, &iq, answer);
            }
            Some(Told::Candidates) => self.trickled(stage, id),
            None => {}
        }
    }

    /// An INFO of the SIP user's.
    pub(super) fn info(&mut self, stage: &mut Stage<'_>, id: CallId, info: InfoId, request: &Request) {
        if request.headers.info_package().ok().flatten() == Some(trickle::PACKAGE) {
            return self.trickles_in(stage, id, info, request);
        }
        let Some(call) = self.calls.get(&id) else { return };
        match dtmf::tone(&request.headers, &request.body) {
            Some(_) if !matches!(call.state, State::Active) => {
                self.answer_info(stage, id, info, Response::new(480, ""));
            }
            Some(key) => {
                let device = call.theirs.clone();
                let said = Jingle::info("", jingle::Info::Other(key.to_element()));
                self.ask_jingle(stage, id, device, Asked::Key(info), said);
            }
            // A flash of the hook among them, which no key of XMPP's is.
            None => self.answer_info(stage, id, info, Response::new(415, "")),
        }
    }

    /// The XMPP user's device has said what it makes of a key.
    pub(super) fn key_heard(&mut self, stage: &mut Stage<'_>, id: CallId, info: InfoId, error: Option<&StanzaError>) {
        use Condition::{FeatureNotImplemented, NotAcceptable, ServiceUnavailable};
        let response = match error {
            None => Response::new(200, ""),
            // It knows no keys, or has them in the media (XEP-0181 §2).
            Some(error) if matches!(error.condition, FeatureNotImplemented | NotAcceptable | ServiceUnavailable) => {
                Response::new(415, "")
            }
            Some(error) => error::to_response(error, true),
        };
        self.answer_info(stage, id, info, response);
    }

    pub(super) fn answer_info(&mut self, stage: &mut Stage<'_>, id: CallId, info: InfoId, response: Response) {
        if let Some(session) = self.calls.get(&id).and_then(|call| call.session) {
            stage.sessions(|sessions, ground| sessions.answer_info(ground, session, info, response));
        }
    }
}

/// Why a key has not arrived.
fn refused(cause: &Cause) -> StanzaError {
    match cause {
        // The phone has no such keys: XEP-0181 §2 has this for whoever wants them in the media.
        Cause::Response(response) if matches!(response.code, 405 | 415 | 469 | 488 | 501) => {
            StanzaError::new(Condition::NotAcceptable)
        }
        Cause::Response(response) => error::from_response(response),
        Cause::Timeout | Cause::Transport | Cause::NoWay => StanzaError::new(Condition::RemoteServerTimeout),
    }
}
