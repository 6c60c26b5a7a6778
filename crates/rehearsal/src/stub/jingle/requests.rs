//! What a device makes of what it hears.

use super::device::{Asked, Due};
use super::{Answer, Call, Device, State, Stream, media};
use base::{Str, Time};
use std::time::Duration;
use xmpp::error::{Condition as Error, StanzaError};
use xmpp::ext::disco::{Identity, Info as Disco};
use xmpp::ext::dtmf::Dtmf;
use xmpp::ext::jingle::{self, Action, Condition, Content, Info, Jingle, Senders};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// Why a request is refused.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Jingle(jingle::Error),
    Other(Error),
}

/// How long a session may let itself be waited for once the call is taken.
const ACCEPTED: Duration = Duration::from_secs(30);

impl Device {
    /// A stanza for it has come.
    pub fn received(&mut self, now: Time, stanza: &Stanza) {
        match (stanza.kind, stanza.type_.as_deref()) {
            (Kind::Message, Some("error")) => self.bounced(stanza),
            (Kind::Message, _) => {
                if let (Some(from), Some(said), true) = (&stanza.from, Jmi::of(stanza), self.manners.jmi) {
                    self.told(now, from, &said);
                }
            }
            (Kind::Iq, Some("set" | "get")) => self.asked_for(now, stanza),
            (Kind::Iq, _) => {
                let asked = stanza.id.as_ref().and_then(|id| self.asked.remove(id));
                if let Some(asked) = asked {
                    self.granted(&asked, StanzaError::from_stanza(stanza));
                }
            }
            (Kind::Presence, _) => {}
        }
    }

    /// A message of ours has come back.
    fn bounced(&mut self, message: &Stanza) {
        let proposal = message.id.as_deref().and_then(|id| id.strip_prefix("jm-propose-")).map(Str::from);
        if let Some(sid) = proposal.filter(|sid| self.call(sid).is_some_and(|call| call.state == State::Proposed)) {
            self.over(&sid, None);
        }
    }

    /// XEP-0353.
    fn told(&mut self, now: Time, from: &Jid, said: &Jmi) {
        let sid = said.id().clone();
        if let Jmi::Propose { .. } = said {
            return self.proposed(now, from, said);
        }
        let Some(call) = self.calls.get_mut(&sid).filter(|call| call.peer.same_bare(from)) else { return };
        match (said, call.state) {
            (Jmi::Ringing { .. }, State::Proposed) => call.rings = true,
            (Jmi::Proceed { .. }, State::Proposed) => {
                call.peer = from.clone();
                self.initiate(now, &sid);
            }
            (Jmi::Reject { reason, .. }, State::Proposed)
            | (Jmi::Retract { reason, .. }, State::Asked | State::Proceeding) => {
                let why = reason.as_ref().map(|reason| reason.condition);
                self.over(&sid, why);
            }
            (Jmi::Finish { reason, .. }, _) if !call.is_over() => {
                let why = reason.as_ref().map(|reason| reason.condition);
                self.over(&sid, why);
            }
            (
                Jmi::Propose { .. }
                | Jmi::Ringing { .. }
                | Jmi::Proceed { .. }
                | Jmi::Accept { .. }
                | Jmi::Reject { .. }
                | Jmi::Retract { .. }
                | Jmi::Finish { .. },
                _,
            ) => {}
        }
    }

    fn proposed(&mut self, now: Time, from: &Jid, said: &Jmi) {
        let sid = said.id();
        if !self.manners.jmi || self.manners.answer == Answer::Nothing || self.calls.contains_key(sid) {
            return;
        }
        let mut call = Call::new(from.clone(), false, State::Asked, true);
        call.media = said.media().map(Str::from).collect();
        self.calls.insert(sid.clone(), call);
        self.tell(from, &Jmi::Ringing { id: sid.clone() });
        self.ring(now, sid);
    }

    /// A request: it is answered, and then comes what follows from it.
    fn asked_for(&mut self, now: Time, iq: &Stanza) {
        if self.manners.answer == Answer::Nothing {
            return;
        }
        let before = self.out.len();
        let answer = match Jingle::of(iq).map(Jingle::parse) {
            Some(Ok(jingle)) => self.requested(now, iq, jingle).map(|()| None),
            Some(Err(_)) => Err(Fault::Other(Error::BadRequest)),
            None => match iq.elements().find_map(Disco::parse) {
                Some(query) => Ok(Some(Disco { node: query.node, ..self.abilities() }.to_element())),
                None => Err(Fault::Other(Error::ServiceUnavailable)),
            },
        };
        let answer = match answer {
            Ok(payload) => Some(iq.result(payload)),
            Err(Fault::Jingle(error)) => iq.error(&error.to_stanza_error()),
            Err(Fault::Other(condition)) => iq.error(&StanzaError::new(condition)),
        };
        if let Some(answer) = answer {
            self.out.insert(before, answer);
        }
    }

    /// What it says that it can do.
    pub(super) fn abilities(&self) -> Disco {
        let mut features =
            vec![ns::DISCO_INFO, ns::JINGLE, ns::RTP, ns::RTP_AUDIO, ns::ICE_UDP, ns::DTLS, ns::GROUPING];
        features.extend(self.manners.jmi.then_some(ns::JINGLE_MESSAGE));
        features.extend(self.manners.video.then_some(ns::RTP_VIDEO));
        let features = features.into_iter().map(Str::const_new).collect();
        Disco { node: None, identities: vec![Identity::new("client", "phone")], features }
    }

    fn requested(&mut self, now: Time, iq: &Stanza, jingle: Jingle) -> Result<(), Fault> {
        let unknown = || Fault::Jingle(jingle::Error::UnknownSession);
        let from = iq.from.as_ref().ok_or_else(unknown)?;
        let sid = jingle.sid.clone();
        if jingle.action == Action::SessionInitiate {
            return self.offered(now, from, &jingle);
        }
        let call = self.calls.get_mut(&sid).filter(|call| call.peer == *from && !call.is_over()).ok_or_else(unknown)?;
        let out_of_order = || Err(Fault::Jingle(jingle::Error::OutOfOrder));
        match (jingle.action, call.state) {
            (_, State::Proposed | State::Asked | State::Proceeding | State::Ended) => return Err(unknown()),
            (Action::SessionTerminate, _) => {
                let why = jingle.reason.as_ref().map(|reason| reason.condition);
                let finish =
                    call.by_jmi.then(|| Jmi::Finish { id: sid.clone(), reason: jingle.reason, migrated: None });
                self.over(&sid, why);
                finish.iter().for_each(|finish| self.tell(from, finish));
            }
            (Action::SessionAccept, State::Initiated) => {
                call.state = State::Active;
                call.streams.iter_mut().for_each(|stream| stream.is_answered(&jingle.contents));
            }
            (Action::SessionAccept | Action::SessionInitiate, _) => return out_of_order(),
            (Action::SessionInfo, _) => return call.hears(&jingle.infos),
            (Action::TransportInfo, _) => {
                for content in &jingle.contents {
                    call.of(content)?.learns(content);
                }
            }
            (Action::ContentModify, _) => {
                for content in &jingle.contents {
                    call.of(content)?.senders = content.senders.unwrap_or(Senders::Both);
                }
            }
            (Action::ContentAdd, State::Active) => self.more_wanted(now, &sid, &jingle.contents),
            (Action::ContentAccept, State::Active) => {
                call.streams.iter_mut().filter(|stream| !stream.accepted).for_each(|s| s.is_answered(&jingle.contents));
            }
            (Action::ContentReject | Action::ContentRemove, _) => {
                for content in &jingle.contents {
                    let gone = call.of(content)?;
                    (gone.accepted, gone.senders) = (false, Senders::None);
                }
                call.refusals += u32::from(jingle.action == Action::ContentReject);
                if call.is_active() && !call.streams.iter().any(|stream| stream.accepted) {
                    self.hang_up(now, &sid, Condition::Success);
                }
            }
            (Action::ContentAdd | Action::ContentAccept, _) => return out_of_order(),
            (Action::DescriptionInfo | Action::SecurityInfo, _) => {}
            // This one has one kind of transport.
            (Action::TransportReplace | Action::TransportAccept | Action::TransportReject, _) => {
                return Err(Fault::Other(Error::FeatureNotImplemented));
            }
        }
        Ok(())
    }

    /// A session-initiate.
    fn offered(&mut self, now: Time, from: &Jid, jingle: &Jingle) -> Result<(), Fault> {
        let sid = &jingle.sid;
        let taken = match self.calls.get_mut(sid) {
            // Whom we have told that we take the call.
            Some(call) if call.state == State::Proceeding && call.peer.same_bare(from) => {
                call.peer = from.clone();
                true
            }
            Some(_) => return Err(Fault::Jingle(jingle::Error::OutOfOrder)),
            None => {
                self.calls.insert(sid.clone(), Call::new(from.clone(), false, State::Offered, false));
                false
            }
        };
        let candidates = self.candidates();
        let (us, video) = (self.jid.clone(), self.manners.video);
        let Some(call) = self.calls.get_mut(sid) else { return Ok(()) };
        for content in &jingle.contents {
            if let Some(said) = media::answer(&us, sid, content, video, candidates) {
                let mut stream = Stream::of(&said.rtp().map(|rtp| rtp.media.clone()).unwrap_or_default(), said);
                stream.accepted = true;
                stream.learns(content);
                call.streams.push(stream);
            }
        }
        if call.streams.is_empty() {
            self.hang_up(now, sid, Condition::UnsupportedApplications);
        } else if taken {
            self.due.insert((now + ACCEPTED, Due::GiveUp(sid.clone())));
            self.accept(now, sid);
        } else {
            self.request(now, sid, &Jingle::info(sid.clone(), Info::Ringing));
            self.ring(now, sid);
        }
        Ok(())
    }

    /// A content-add.
    fn more_wanted(&mut self, now: Time, sid: &str, contents: &[Content]) {
        for content in contents {
            let said = media::answer(&self.jid, sid, content, self.manners.video, media::CANDIDATES);
            let Some(said) = said else {
                // Clients find what was rejected by all that was said of it.
                self.request(now, sid, &Jingle::new(Action::ContentReject, sid).with_content(content.clone()));
                continue;
            };
            let mut stream = Stream::of(&said.rtp().map(|rtp| rtp.media.clone()).unwrap_or_default(), said.clone());
            stream.accepted = true;
            stream.learns(content);
            if let Some(call) = self.calls.get_mut(sid) {
                call.streams.push(stream);
            }
            self.request(now, sid, &Jingle::new(Action::ContentAccept, sid).with_content(said));
        }
    }

    /// The answer to a request of ours.
    fn granted(&mut self, asked: &Asked, error: Option<StanzaError>) {
        let Some(call) = self.calls.get_mut(&asked.sid).filter(|call| !call.is_over()) else { return };
        let Some(error) = error else { return };
        call.refusals += 1;
        let begins = matches!(asked.action, Action::SessionInitiate | Action::SessionAccept);
        // The server that says it cannot reach the other side may be wrong about a call that stands.
        let gone = jingle::Error::of(&error) == Some(jingle::Error::UnknownSession);
        if begins || gone {
            if call.by_jmi {
                let (peer, id) = (call.peer.clone(), asked.sid.clone());
                self.tell(
                    &peer,
                    &Jmi::Finish { id, reason: Some(Condition::ConnectivityError.into()), migrated: None },
                );
            }
            self.over(&asked.sid, Some(Condition::ConnectivityError));
        }
    }
}

impl Call {
    /// The stream that a content is about.
    fn of(&mut self, content: &Content) -> Result<&mut Stream, Fault> {
        let ours = |stream: &&mut Stream| stream.creator == content.creator && stream.name == content.name;
        self.streams.iter_mut().find(ours).ok_or(Fault::Other(Error::BadRequest))
    }

    fn hears(&mut self, infos: &[Info]) -> Result<(), Fault> {
        for info in infos {
            match info {
                Info::Ringing => self.rings = true,
                Info::Hold => self.held = true,
                Info::Unhold | Info::Active => self.held = false,
                Info::Mute { .. } | Info::Unmute { .. } => {}
                Info::Other(e) if Dtmf::is(e) => {}
                Info::Other(_) => return Err(Fault::Jingle(jingle::Error::UnsupportedInfo)),
            }
            self.told.push(info.clone());
        }
        Ok(())
    }
}

impl Stream {
    /// One of which we say this.
    pub(super) fn of(media: &str, said: Content) -> Stream {
        Stream {
            creator: said.creator,
            name: said.name.clone(),
            media: media.into(),
            senders: said.senders.unwrap_or(Senders::Both),
            fingerprint: None,
            candidates: 0,
            accepted: false,
            said,
        }
    }

    /// What the other side says of it.
    fn learns(&mut self, content: &Content) {
        if let Some(ice) = content.ice() {
            self.candidates += ice.candidates.len();
            // The first one counts: a later one may be anybody's.
            if let (None, Some(print)) = (&self.fingerprint, ice.fingerprints.first()) {
                self.fingerprint = Some(print.value.clone());
            }
        }
    }

    /// It is accepted, if it is in there.
    fn is_answered(&mut self, contents: &[Content]) {
        let answer = contents.iter().find(|c| c.creator == self.creator && c.name == self.name);
        if let Some(answer) = answer {
            self.accepted = true;
            self.senders = answer.senders.unwrap_or(Senders::Both);
            self.learns(answer);
        }
    }
}
