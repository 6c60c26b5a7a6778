//! What a device does of its own accord, and when.

use super::{Answer, Call, Manners, State, media};
use base::{Str, Time, Tokens};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use xmpp::ext::caps::Caps;
use xmpp::ext::dtmf::Dtmf;
use xmpp::ext::hints::Hint;
use xmpp::ext::jingle::{Action, Condition, Content, Creator, Group, Info, Jingle, Reason, Senders};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long an answer to a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long somebody is called.
const RING: Duration = Duration::from_secs(90);

/// A request of ours that has no answer.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) sid: Str,
    pub(super) action: Action,
}

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// It has rung long enough.
    Answer(Str),
    /// The next candidate is there.
    Trickle(Str),
    /// A request was not answered, by its id.
    Asked(Str),
    /// Nobody has taken the call, or it has been taken and there is no session.
    GiveUp(Str),
}

/// A device of an XMPP user. What it has to say is polled for; what is for it is given to [`Device::received`].
#[derive(Debug)]
pub struct Device {
    pub(super) jid: Jid,
    /// How it behaves from now on.
    pub manners: Manners,
    pub(super) calls: BTreeMap<Str, Call>,
    pub(super) asked: BTreeMap<Str, Asked>,
    pub(super) due: BTreeSet<(Time, Due)>,
    pub(super) out: VecDeque<Stanza>,
    tokens: Tokens,
    minted: u64,
}

impl Device {
    /// A device with a full address.
    pub fn new(jid: Jid, manners: Manners, tokens: Tokens) -> Device {
        Device {
            jid,
            manners,
            calls: BTreeMap::new(),
            asked: BTreeMap::new(),
            due: BTreeSet::new(),
            out: VecDeque::new(),
            tokens,
            minted: 0,
        }
    }

    /// Its address.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// Its calls by their names, those that are over too.
    pub fn calls(&self) -> &BTreeMap<Str, Call> {
        &self.calls
    }

    /// The call of that name.
    pub fn call(&self, sid: &str) -> Option<&Call> {
        self.calls.get(sid)
    }

    /// Forgets the calls that are over.
    pub fn forget(&mut self) {
        self.calls.retain(|_, call| !call.is_over());
    }

    /// What it says next.
    pub fn poll(&mut self) -> Option<Stanza> {
        self.out.pop_front()
    }

    /// When it wants to be told that time has gone by.
    pub fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Tells somebody that it is there, and what it can do: whoever wants to call a device that knows no XEP-0353 has to know its address.
    pub fn appear(&mut self, to: &Jid) {
        let caps = Caps::of(&self.abilities(), "https://jingle.example");
        let presence = Stanza::presence().with_from(self.jid.clone()).with_to(to.clone());
        self.out.push_back(presence.with_child(caps.to_element()));
    }

    /// Calls somebody, with these kinds of media. Gives back the call's name.
    pub fn dial(&mut self, now: Time, to: &Jid, media: &[&str]) -> Str {
        let sid = self.tokens.token(20);
        let mut call = Call::new(to.clone(), true, State::Proposed, self.manners.jmi);
        call.media = media.iter().map(|media| Str::from(*media)).collect();
        self.calls.insert(sid.clone(), call);
        self.due.insert((now + RING, Due::GiveUp(sid.clone())));
        if self.manners.jmi {
            self.tell(&to.bare(), &Jmi::propose(sid.clone(), media));
        } else {
            self.initiate(now, &sid);
        }
        sid
    }

    /// Ends a call, whatever it is at. Whether there is one to end.
    pub fn hang_up(&mut self, now: Time, sid: &str, why: Condition) -> bool {
        let Some(call) = self.calls.get(sid).filter(|call| !call.is_over()) else { return false };
        let (peer, state, by_jmi) = (call.peer.clone(), call.state, call.by_jmi);
        let (id, reason) = (Str::from(sid), Some(Reason::new(why)));
        match state {
            State::Proposed => self.tell(&peer.bare(), &Jmi::Retract { id, reason, tie_break: false }),
            State::Asked => self.tell(&peer, &Jmi::Reject { id, reason, tie_break: false }),
            State::Proceeding => self.tell(&peer, &Jmi::Finish { id, reason, migrated: None }),
            State::Initiated | State::Offered | State::Active => {
                self.request(now, sid, &Jingle::terminate(id.clone(), Reason::new(why)));
                if by_jmi {
                    self.tell(&peer, &Jmi::Finish { id, reason, migrated: None });
                }
            }
            State::Ended => {}
        }
        self.over(sid, Some(why));
        true
    }

    /// Listens no more, or again.
    pub fn hold(&mut self, now: Time, sid: &str, hold: bool) {
        self.request(now, sid, &Jingle::info(sid, if hold { Info::Hold } else { Info::Unhold }));
    }

    /// Changes who sends in a stream.
    pub fn modify(&mut self, now: Time, sid: &str, media: &str, senders: Senders) {
        let Some(stream) = self.calls.get_mut(sid).and_then(|call| call.streams.iter_mut().find(|s| s.media == media))
        else {
            return;
        };
        stream.senders = senders;
        let content = Content::new(stream.creator, stream.name.clone()).with_senders(senders);
        self.request(now, sid, &Jingle::new(Action::ContentModify, sid).with_content(content));
    }

    /// Wants one more stream.
    pub fn add(&mut self, now: Time, sid: &str, kind: &str) {
        let Some(call) = self.calls.get_mut(sid) else { return };
        let creator = if call.ours { Creator::Initiator } else { Creator::Responder };
        let content = media::offer(&self.jid, sid, creator, kind, kind, media::CANDIDATES);
        call.streams.push(super::Stream::of(kind, content.clone()));
        self.request(now, sid, &Jingle::new(Action::ContentAdd, sid).with_content(content));
    }

    /// Presses a key.
    pub fn press(&mut self, now: Time, sid: &str, key: char) {
        if let Some(tone) = Dtmf::new(key) {
            self.request(now, sid, &Jingle::info(sid, Info::Other(tone.to_element())));
        }
    }

    /// Asks whether the other side still knows of a call (XEP-0166 §6.8).
    pub fn ping(&mut self, now: Time, sid: &str) {
        self.request(now, sid, &Jingle::new(Action::SessionInfo, sid));
    }

    /// Another device of the same user has said this of a call: then it is no longer for us.
    pub fn overhear(&mut self, said: &Jmi) {
        let takes = matches!(said, Jmi::Proceed { .. } | Jmi::Accept { .. } | Jmi::Reject { .. });
        if takes && self.calls.get(said.id()).is_some_and(|call| call.state == State::Asked) {
            self.over(&said.id().clone(), None);
        }
    }

    /// Time has gone by.
    pub fn timeout(&mut self, now: Time) {
        while self.deadline().is_some_and(|at| at <= now)
            && let Some((_, due)) = self.due.pop_first()
        {
            match due {
                Due::Answer(sid) => self.answer(now, &sid),
                Due::Trickle(sid) => self.trickle(now, &sid),
                Due::Asked(id) => {
                    let asked = self.asked.remove(&id);
                    let begins =
                        |asked: &Asked| matches!(asked.action, Action::SessionInitiate | Action::SessionAccept);
                    if let Some(asked) = asked.filter(begins) {
                        self.hang_up(now, &asked.sid, Condition::Timeout);
                    }
                }
                Due::GiveUp(sid) => {
                    let waits = |call: &&Call| !matches!(call.state, State::Active | State::Ended);
                    if self.calls.get(&sid).is_some_and(|call| call.state == State::Asked) {
                        // Nobody has come; that it was called it remembers.
                        self.over(&sid, None);
                    } else if let Some(call) = self.calls.get(&sid).filter(waits) {
                        let why = if call.ours { Condition::Cancel } else { Condition::Timeout };
                        self.hang_up(now, &sid, why);
                    }
                }
            }
        }
    }

    /// The user has decided, or nobody comes.
    fn answer(&mut self, now: Time, sid: &str) {
        let Some(call) = self.calls.get_mut(sid) else { return };
        match (call.state, self.manners.answer) {
            (State::Asked, Answer::Take) => {
                call.state = State::Proceeding;
                let peer = call.peer.clone();
                self.tell(&peer, &Jmi::Proceed { id: sid.into() });
                self.due.insert((now + PATIENCE, Due::GiveUp(sid.into())));
            }
            (State::Offered, Answer::Take) => self.accept(now, sid),
            (State::Asked | State::Offered, Answer::Refuse(why)) => drop(self.hang_up(now, sid, why)),
            (State::Asked | State::Offered, Answer::Ring | Answer::Nothing)
            | (
                State::Proposed | State::Proceeding | State::Initiated | State::Active | State::Ended,
                Answer::Take | Answer::Refuse(_) | Answer::Ring | Answer::Nothing,
            ) => {}
        }
    }

    /// Sends the session-initiate.
    pub(super) fn initiate(&mut self, now: Time, sid: &str) {
        let candidates = self.candidates();
        let Some(call) = self.calls.get_mut(sid) else { return };
        call.state = State::Initiated;
        let mut jingle = Jingle::new(Action::SessionInitiate, sid).with_initiator(self.jid.clone());
        for kind in &call.media {
            let content = media::offer(&self.jid, sid, Creator::Initiator, kind, kind, candidates);
            call.streams.push(super::Stream::of(kind, content.clone()));
            jingle = jingle.with_content(content);
        }
        if call.media.len() > 1 {
            jingle.groups.push(Group { semantics: "BUNDLE".into(), contents: call.media.clone() });
        }
        self.request(now, sid, &jingle);
        self.begin_to_trickle(now, sid);
    }

    /// Sends the session-accept.
    pub(super) fn accept(&mut self, now: Time, sid: &str) {
        let Some(call) = self.calls.get_mut(sid) else { return };
        call.state = State::Active;
        let mut jingle = Jingle::new(Action::SessionAccept, sid).with_responder(self.jid.clone());
        jingle.contents =
            call.streams.iter().filter(|stream| stream.accepted).map(|stream| stream.said.clone()).collect();
        self.request(now, sid, &jingle);
        self.begin_to_trickle(now, sid);
    }

    /// How many candidates go with a description.
    pub(super) fn candidates(&self) -> u8 {
        if self.manners.trickle.is_some() { 0 } else { media::CANDIDATES }
    }

    fn begin_to_trickle(&mut self, now: Time, sid: &str) {
        if let (Some(pace), Some(call)) = (self.manners.trickle, self.calls.get_mut(sid)) {
            call.untold = media::CANDIDATES;
            self.due.insert((now + pace, Due::Trickle(sid.into())));
        }
    }

    fn trickle(&mut self, now: Time, sid: &str) {
        let Some(call) = self.calls.get_mut(sid).filter(|call| !call.is_over() && call.untold > 0) else { return };
        let next = media::CANDIDATES - call.untold;
        call.untold -= 1;
        let mut jingle = Jingle::new(Action::TransportInfo, sid);
        jingle.contents = call.streams.iter().map(|stream| media::more(&self.jid, sid, stream, next)).collect();
        let left = call.untold;
        self.request(now, sid, &jingle);
        if let Some(pace) = self.manners.trickle.filter(|_| left > 0) {
            self.due.insert((now + pace, Due::Trickle(sid.into())));
        }
    }

    /// A call is over.
    pub(super) fn over(&mut self, sid: &str, why: Option<Condition>) {
        if let Some(call) = self.calls.get_mut(sid) {
            call.state = State::Ended;
            call.why = why;
        }
    }

    /// Asks the other side for something.
    pub(super) fn request(&mut self, now: Time, sid: &str, jingle: &Jingle) {
        let Some(call) = self.calls.get(sid) else { return };
        self.minted += 1;
        let id = base::format_compact!("{sid}-{}", self.minted);
        let action = jingle.action;
        let iq = jingle.to_iq().with_from(self.jid.clone()).with_to(call.peer.clone()).with_id(id.clone());
        self.out.push_back(iq);
        self.asked.insert(id.clone(), Asked { sid: sid.into(), action });
        self.due.insert((now + PATIENCE, Due::Asked(id)));
    }

    /// Tells of a call (XEP-0353).
    pub(super) fn tell(&mut self, to: &Jid, said: &Jmi) {
        self.minted += 1;
        let id = match said {
            Jmi::Propose { id, .. } => base::format_compact!("jm-propose-{id}"),
            Jmi::Ringing { id }
            | Jmi::Proceed { id }
            | Jmi::Accept { id }
            | Jmi::Reject { id, .. }
            | Jmi::Retract { id, .. }
            | Jmi::Finish { id, .. } => base::format_compact!("jm-{}-{}-{id}", said.name(), self.minted),
        };
        let message = Stanza::message().with_type("chat").with_from(self.jid.clone()).with_to(to.clone()).with_id(id);
        self.out.push_back(message.with_child(said.to_element()).with_child(Hint::Store.to_element()));
    }

    /// It rings from now on, for as long as it likes: whoever called may not live to take that back.
    pub(super) fn ring(&mut self, now: Time, sid: &str) {
        self.due.insert((now + RING + PATIENCE, Due::GiveUp(sid.into())));
        self.due.insert((now + self.manners.rings_for, Due::Answer(sid.into())));
    }
}

impl Call {
    pub(super) fn new(peer: Jid, ours: bool, state: State, by_jmi: bool) -> Call {
        Call {
            peer,
            ours,
            state,
            by_jmi,
            streams: Vec::new(),
            held: false,
            rings: false,
            told: Vec::new(),
            why: None,
            refusals: 0,
            media: Vec::new(),
            untold: 0,
        }
    }
}
