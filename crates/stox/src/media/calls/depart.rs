//! Calls of XMPP users: draft-ietf-stox-media-07 §3 and §8.

use super::Calls;
use super::call::{Call, CallId, State};
use super::info::INFOS;
use super::pass::{Passing, Said};
use super::transfer;
use crate::address::{self, Scheme};
use crate::config::LinkId;
use crate::content::{described, identifiers};
use crate::error::Refusal;
use crate::mapping::{Side, Stage};
use crate::media::description::Description;
use crate::media::reason;
use crate::numbers::Dialled;
use crate::voice::Voice;
use crate::way::Route;
use base::Str;
use bodies::sdp::{Host, MEDIA_TYPE, Origin, Sdp};
use bytes::Bytes;
use sip::invite::{Body, Invite, SessionId};
use sip::{Cause, Name, NameAddr, Response, Uri};
use xmpp::ext::jingle::{self, Action, Info, Jingle, Reason};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// A body that describes the media.
pub(super) fn body(sdp: &Sdp) -> Body {
    Body { content_type: Str::const_new(MEDIA_TYPE), content: Bytes::from(sdp.to_bytes()) }
}

impl Calls {
    /// session-initiate: XEP-0166 §6.2. It is acknowledged at once; whatever is wrong with what it offers is told by session-terminate (§6.3.2).
    pub(super) fn initiated(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza, jingle: &Jingle) {
        let (Some(from), Some(to)) = (stanza.from.clone(), stanza.to.clone()) else { return };
        if let Some(known) = self.named(&to, &from, &jingle.sid) {
            // Ours, gone round in a circle (draft §9), or theirs once more: two sessions of one name there cannot be.
            let again = self.calls.get(&known).is_some_and(|call| call.began == Side::Xmpp && call.theirs == from);
            let error = if again { jingle::Error::OutOfOrder } else { jingle::Error::TieBreak };
            return self.reply(stage, link, stanza, Err(error.to_stanza_error()));
        }
        let proposal = self.proposals.initiated(&from, &to, &jingle.sid);
        let admitted = if from.resource().is_none() {
            Err(Refusal::BadRequest("A session is begun by a device"))
        } else {
            stage.rate(&from).and_then(|()| self.room(stage, link, &to, &from))
        };
        if let Err(refusal) = admitted.and_then(|()| self.way_out(stage, &from, &to).map(drop)) {
            return stage.refuse_stanza(link, stanza, &refusal);
        }
        self.reply(stage, link, stanza, Ok(()));
        let description = match Description::from_jingle(jingle, origin(stage, &from)) {
            Ok(description) => description,
            Err(unfit) => {
                let reason = super::end::reason_of(&unfit);
                return super::stanzas::terminate(stage, link, &to, &from, &jingle.sid, reason);
            }
        };
        let referred = self.ticket(&from, &to, jingle);
        let mut call = Call::new(Side::Xmpp, link, jingle.sid.clone(), to, from, stage);
        call.proposed = proposal.is_some();
        call.referred = referred;
        call.description = Some(Box::new(description));
        let id = self.enter(call);
        self.save(stage, id);
        self.gather(stage, id);
        self.arm(id);
    }

    /// Waits for the candidates of the XMPP user's device, if it has any to name (draft §4).
    pub(super) fn gather(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let most = stage.now + self.options.gather_most;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.state = State::Gathering { quiet: most, most };
        self.gathers(stage, id);
    }

    /// The device may have named some more of them.
    pub(super) fn gathers(&mut self, stage: &mut Stage<'_>, id: CallId) {
        use crate::media::description::Gathered;
        let quiet_from_now = stage.now + self.options.gather_quiet;
        let relayed = self.goes_through_relay(stage, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (Some(description), State::Gathering { quiet, .. }) = (&call.description, &mut call.state) else { return };
        match description.gathered() {
            Gathered::Nothing | Gathered::Some if relayed => self.gathered(stage, id),
            Gathered::Nothing => {}
            Gathered::Some => *quiet = quiet_from_now,
            Gathered::All => self.gathered(stage, id),
        }
    }

    /// All that there will be of them is there: what the XMPP user says goes to the SIP user.
    pub(super) fn gathered(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(description) = &mut call.description else { return };
        let sdp = description.sdp();
        let what = match call.began {
            Side::Xmpp => {
                call.state = State::Inviting { rings: false, until: stage.now + self.options.ring };
                Said::Offer
            }
            Side::Sip => {
                call.state = State::Accepting;
                Said::Answer
            }
        };
        self.pass(stage, id, Passing { from: Side::Xmpp, what }, &sdp);
    }

    /// Where the INVITE would go, and as who: refused before anything is promised.
    pub(super) fn way_out(&self, stage: &Stage<'_>, from: &Jid, to: &Jid) -> Result<(Voice, Dialled, Route), Refusal> {
        let voice = stage.voice(from, to)?;
        let remote = match stage.config.numbers.dial(to) {
            Some(dialled) => dialled,
            // The resource of somebody who is called is made up: the call is for the user.
            None => Dialled { uri: address::to_uri(&to.bare(), Scheme::Sip).map_err(Refusal::Address)?, caller: None },
        };
        let way = stage.route(from, &remote.uri)?;
        Ok((voice, remote, way))
    }

    /// Sends the INVITE with this offer.
    pub(super) fn invite(&mut self, stage: &mut Stage<'_>, id: CallId, offer: &Sdp) {
        let invited = self.try_invite(stage, id, offer);
        if let Err(refusal) = invited {
            self.over(stage, id, None, &reason::of_refusal(&refusal));
        }
    }

    fn try_invite(&mut self, stage: &mut Stage<'_>, id: CallId, offer: &Sdp) -> Result<(), Refusal> {
        let retry_after = stage.config.limits.retry_after;
        let Some(call) = self.calls.get(&id) else { return Ok(()) };
        let (voice, remote, way) = self.way_out(stage, &call.theirs, &call.ours)?;
        let contact = stage.contact(&voice.contact, way.transport);
        // RFC 3325 §5, RFC 5876 §3.1: whoever is called by telephone gets to see a number.
        let asserted = remote.caller.map(|caller| (Name::PAssertedIdentity, base::format_compact!("<{caller}>")));
        let referred = call.referred.as_deref().map(transfer::headers).unwrap_or_default();
        // Two dialogs at one time have two Call-IDs, whatever the sessions are called.
        let call_id =
            identifiers::call_id_of_thread(&call.sid).filter(|call_id| !self.call_ids.contains(&self.call_id(call_id)));
        let call_id = call_id.unwrap_or_else(|| stage.tokens.token(26));
        let invite = Invite {
            local: NameAddr::new(voice.from),
            remote: Uri::from(remote.uri),
            contact: NameAddr::new(contact),
            hop: way.hop,
            route: way.route,
            call_id: Some(call_id.clone()),
            headers: asserted.into_iter().chain(referred).collect(),
            offer: Some(body(offer)),
            infos: INFOS,
        };
        let session = stage.sessions(|sessions, ground| sessions.invite(ground, invite));
        let session = session.map_err(|_| Refusal::Overload { retry_after })?;
        let print = self.call_id(&call_id);
        self.call_ids.insert(print, ());
        self.by_session.insert(session, id);
        if let Some(call) = self.calls.get_mut(&id) {
            (call.session, call.call_id) = (Some(session), Some(print));
        }
        Ok(())
    }

    /// A phone rings, or says something before it is answered (draft §11): told once. What it says of the media waits for the answer (§8).
    pub(super) fn progress(&mut self, stage: &mut Stage<'_>, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let State::Inviting { rings, .. } = &mut call.state else { return };
        if !std::mem::replace(rings, true) {
            self.say(stage, id, Jingle::info("", Info::Ringing));
        }
    }

    /// A phone has answered.
    pub(super) fn established(&mut self, stage: &mut Stage<'_>, id: CallId, response: &Response, early: Option<&Body>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !matches!(call.state, State::Inviting { .. }) {
            return;
        }
        call.state = State::Accepting;
        match early.map_or_else(|| described::of_response(response), described::of_body) {
            Ok(answer) => self.answered_by_phone(stage, id, &answer),
            Err(_) => self.over_mute(stage, id),
        }
    }

    /// What the phone has answered goes to the XMPP user: they talk.
    pub(super) fn accept(&mut self, stage: &mut Stage<'_>, id: CallId, answer: &Sdp) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(description) = &mut call.description else { return };
        if let Err(unfit) = description.answered(answer) {
            return self.over_unfit(stage, id, &unfit);
        }
        let (contents, groups) = description.contents();
        self.talks(stage, id);
        self.say(stage, id, Jingle { contents, groups, ..Jingle::new(Action::SessionAccept, "") });
        self.change_due(stage, id);
    }

    /// Our INVITE has come to nothing.
    pub(super) fn failed(&mut self, stage: &mut Stage<'_>, id: CallId, session: SessionId, cause: &Cause) {
        self.by_session.remove(&session);
        if let Some(call) = self.calls.get_mut(&id) {
            call.session = None;
            if let Some(print) = call.call_id.take() {
                self.call_ids.remove(&print);
            }
        }
        if !self.again_through_relay(stage, id, cause) {
            self.over(stage, id, Some(Side::Sip), &reason::of_failure(cause));
        }
    }

    /// It has rung for as long as it may.
    pub(super) fn unanswered(&mut self, stage: &mut Stage<'_>, id: CallId) {
        self.over(stage, id, None, &Reason::new(jingle::Condition::Timeout).with_text("No answer"));
    }
}

/// Our `o=` for what an XMPP user says: the draft's table 1 has the user's name there.
pub(super) fn origin(stage: &mut Stage<'_>, user: &Jid) -> Origin {
    // RFC 8866 §5.2 wants a number that no other session has; 63 bits, as some read it with a sign.
    let id = stage.tokens.u64() >> 1;
    use sip::agent::Transport::{Tcp, Tls, Udp, Ws, Wss};
    let host = [Udp, Tcp, Tls, Ws, Wss].into_iter().find_map(|transport| stage.sip.sent_by(transport));
    let host = host.map_or(Host::Name(Str::const_new("invalid")), |(host, _)| described(host));
    Origin::new(id, 1, &host).with_user(user.local().unwrap_or("-"))
}

/// A host, as descriptions have it.
fn described(host: &sip::uri::Host) -> Host {
    match host.ip() {
        Some(address) => Host::Ip(address),
        None => Host::name(&host.to_string()).unwrap_or(Host::Name(Str::const_new("invalid"))),
    }
}
