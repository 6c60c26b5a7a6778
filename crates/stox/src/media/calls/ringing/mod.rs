//! A call from SIP that rings at the devices of an XMPP user, until one of them has it or nobody (XEP-0353; draft-ietf-stox-media-07 §11).
//!
//! It is proposed to the user, whose server brings that to all devices and keeps it for those that are not there. Devices that are known, and know nothing of
//! proposals, are rung beside it: the best of them get a session-initiate, and when they turn out not to be there the next. Which of them can be called
//! they are asked, for a moment. Whoever answers first has the call, and the others are told.
//!
//! A machine without stanzas: [`Event`]s go in, [`Action`]s come out.

pub(crate) mod stanzas;
mod value;

pub(crate) use value::{Action, Event, Failure, Why};

use crate::whereabouts::{self, Abilities};
use base::{Str, Time};
use std::collections::VecDeque;
use std::time::Duration;
use xmpp::error::StanzaError;
use xmpp::ext::jingle::{self, Condition, Info, Jingle};
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;

/// How much is kept of what a device says before it answers; what comes beyond is lost, and ICE can do without.
const MAX_EARLY: usize = 64;

/// How long a device rings without saying so before who calls hears that it does: some never say.
const RINGS_UNSAID: Duration = Duration::from_secs(2);

/// How long no device may have been heard of: nobody is there then, and a proxy of the SIP side would not wait longer for a sign of ringing either. Devices that
/// are woken by a push are there after some seconds.
const UNHEARD: Duration = Duration::from_secs(45);

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For devices to say what they can do.
    pub look: Duration,
    /// For a device to take a session-initiate.
    pub respond: Duration,
    /// For the session-accept of a device where somebody has answered.
    pub accept: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { look: Duration::from_secs(2), respond: Duration::from_secs(15), accept: Duration::from_secs(30) }
    }
}

/// What is called for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

/// How far a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is asked what it can do.
    Asked,
    /// It could be rung.
    Able,
    /// It has a session-initiate on its way.
    Offered {
        /// When it must have come there.
        until: Time,
    },
    /// It has got it.
    Pending,
    /// It is of no use for this call, or knows of it by the proposal.
    Out,
}

#[derive(Debug)]
struct Device {
    jid: Jid,
    /// How many are better than it is.
    rank: usize,
    stage: Stage,
    /// It rings when a call is proposed.
    rings_by_itself: bool,
    early: Vec<Jingle>,
}

impl Device {
    fn has_session(&self) -> bool {
        matches!(self.stage, Stage::Offered { .. } | Stage::Pending)
    }
}

/// What has become of the proposal.
#[derive(Debug)]
enum Proposal {
    /// It is out.
    Open,
    /// It has come back.
    Bounced(StanzaError),
}

#[derive(Debug)]
enum State {
    /// It rings, or will.
    Ringing,
    /// Somebody has answered on this device, which has yet to accept the session.
    Proceeding { device: Jid, until: Time },
    /// One has it, or nobody.
    Over,
}

/// A call that rings.
#[derive(Debug)]
pub(crate) struct Ringing {
    id: Str,
    wants: Wants,
    patience: Patience,
    state: State,
    proposal: Proposal,
    /// The best first, those behind that answered by the proposal.
    devices: Vec<Device>,
    /// Until when devices may say what they can do before the best of them is chosen.
    look: Option<Time>,
    /// When a device counts as ringing that has not said so.
    unsaid: Option<Time>,
    /// Until when a device must have been heard of.
    unheard: Option<Time>,
    rung: bool,
    /// A device has answered the proposal in some way.
    jmi: bool,
    /// How the last device has failed that could have taken it.
    failure: Option<Failure>,
    actions: VecDeque<Action>,
}

impl Ringing {
    /// A call begins to ring. `id` names it in XEP-0353 and in Jingle; `known` are devices that may be rung, the best first.
    pub(crate) fn new(
        now: Time,
        id: &str,
        wants: Wants,
        known: Vec<whereabouts::Device>,
        patience: Patience,
    ) -> Ringing {
        let device = |known: whereabouts::Device| {
            let stage = known.abilities.map_or(Stage::Asked, |abilities| stage(abilities, wants));
            let rings_by_itself = known.abilities.is_some_and(|abilities| rings_by_itself(abilities, wants));
            Device { jid: known.jid, rank: known.rank, stage, rings_by_itself, early: Vec::new() }
        };
        let mut ringing = Ringing {
            id: id.into(),
            wants,
            patience,
            state: State::Ringing,
            proposal: Proposal::Open,
            devices: known.into_iter().map(device).collect(),
            look: Some(now + patience.look),
            unsaid: None,
            unheard: Some(now + UNHEARD),
            rung: false,
            jmi: false,
            failure: None,
            actions: VecDeque::new(),
        };
        ringing.actions.push_back(Action::Propose);
        let asked = ringing.devices.iter().filter(|device| device.stage == Stage::Asked);
        ringing.actions.extend(asked.map(|device| Action::Ask(device.jid.clone())));
        if ringing.devices.iter().any(|device| device.rings_by_itself) {
            ringing.unsaid = Some(now + RINGS_UNSAID);
        }
        ringing.choose(now);
        ringing
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether this device has our session-initiate, and may speak in the session.
    pub(crate) fn has(&self, device: &Jid) -> bool {
        self.devices.iter().any(|known| known.jid == *device && known.has_session())
    }

    /// Whether any device has answered by XEP-0353, so that an end should be told by it, too.
    pub(crate) fn by_jmi(&self) -> bool {
        self.jmi
    }

    /// Whether nothing more comes of it but what [`Ringing::poll`] still gives.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Something has happened.
    pub(crate) fn hear(&mut self, now: Time, event: Event<'_>) {
        if self.is_over() {
            return;
        }
        match event {
            Event::Jmi { from, said } => self.answered(now, from, said),
            // Another place has it, and rings or did: this one was away (XEP-0198).
            Event::Bounced(_) if self.jmi => {}
            Event::Bounced(error) => {
                self.proposal = Proposal::Bounced(error);
                self.give_up_if_alone(now);
            }
            Event::Lost => self.fail(Failure::Lost, Why::Failed),
            Event::Info { device, abilities } => self.learned(now, device, abilities),
            Event::Took(device) => {
                let rung = self.rung;
                if let Some(known) = self.device(device).filter(|known| matches!(known.stage, Stage::Offered { .. })) {
                    known.stage = Stage::Pending;
                    if !rung {
                        self.unsaid = Some(now + RINGS_UNSAID);
                    }
                }
            }
            Event::Refused { device, error } => self.dropped(now, device, Failure::Refused(error)),
            Event::Jingle { device, jingle } => self.said(now, device, jingle),
            Event::GivenUp(why) => self.end(why),
        }
    }

    /// XEP-0353 §4.1: the user who is called calls meanwhile whoever calls. `id` is that of the other proposal, and `lower` whether the address of who made it
    /// sorts before that of who made this one. Whether this one goes on, so that the other is to be rejected; else it is over, and the other goes on as any.
    pub(crate) fn crossed(&mut self, id: &str, lower: bool) -> Option<bool> {
        if !matches!((&self.state, &self.proposal), (State::Ringing, Proposal::Open)) {
            return None;
        }
        // i;octet: the lower one goes on.
        let won = match self.id.as_bytes().cmp(id.as_bytes()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => !lower,
            std::cmp::Ordering::Greater => false,
        };
        if !won {
            self.fail(Failure::Glare, Why::TieBreak);
        }
        Some(won)
    }

    /// Lets pass what is due.
    pub(crate) fn timeout(&mut self, now: Time) {
        let due = |at: Time| at <= now;
        if self.is_over() {
            return;
        }
        if self.unsaid.is_some_and(due) {
            self.unsaid = None;
            if matches!(self.proposal, Proposal::Open) || self.devices.iter().any(Device::has_session) {
                self.ring();
            }
        }
        if let State::Proceeding { device, until } = &self.state
            && due(*until)
        {
            let device = device.clone();
            return self.silent(now, &device);
        }
        let late = |device: &&Device| matches!(device.stage, Stage::Offered { until } if due(until));
        if let Some(device) = self.devices.iter().find(late).map(|device| device.jid.clone()) {
            return self.silent(now, &device);
        }
        if self.look.is_some_and(due) {
            self.look = None;
            self.choose(now);
            self.give_up_if_alone(now);
        }
        if self.unheard.is_some_and(due) {
            self.unheard = None;
            if !self.is_over() && !self.devices.iter().any(Device::has_session) {
                let failure = self.failure.take().unwrap_or(Failure::Silent);
                self.fail(failure, Why::Expired);
            }
        }
    }

    /// When [`Ringing::timeout`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let accept = match &self.state {
            State::Over => return None,
            State::Ringing => None,
            State::Proceeding { until, .. } => Some(*until),
        };
        let offered = self.devices.iter().filter_map(|device| match device.stage {
            Stage::Offered { until } => Some(until),
            Stage::Asked | Stage::Able | Stage::Pending | Stage::Out => None,
        });
        offered.chain(accept).chain(self.look).chain(self.unsaid).chain(self.unheard).min()
    }

    fn device(&mut self, jid: &Jid) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.jid == *jid)
    }

    /// What a device says to the proposal.
    fn answered(&mut self, now: Time, from: &Jid, said: &Jmi) {
        match said {
            Jmi::Ringing { .. } => {
                self.jmi = true;
                if matches!(self.state, State::Ringing) {
                    self.ring();
                }
            }
            // Versions 0.4 and 0.5 know no `proceed`, and before them `accept` was for one's own devices, which are served by both.
            Jmi::Proceed { .. } | Jmi::Accept { .. } if from.resource().is_some() => {
                self.jmi = true;
                self.proceed(now, from);
            }
            Jmi::Reject { reason, tie_break, .. } => {
                self.jmi = true;
                match &self.state {
                    State::Ringing if *tie_break => self.fail_told(Failure::Glare, Why::TieBreak),
                    // XEP-0353 §3.5: who rejects does so for all devices, which hear of it by themselves.
                    State::Ringing => self.fail_told(Failure::Said(reason.clone()), Why::Declined),
                    State::Proceeding { device, .. } if device == from => {
                        self.fail_told(Failure::Said(reason.clone()), Why::Declined);
                    }
                    // It was too late.
                    State::Proceeding { .. } | State::Over => {}
                }
            }
            // XEP-0353 §3.7: it has answered, and does not go on.
            Jmi::Finish { reason, .. } => {
                if matches!(&self.state, State::Proceeding { device, .. } if device == from) {
                    self.fail_told(Failure::Said(reason.clone()), Why::Failed);
                }
            }
            Jmi::Proceed { .. } | Jmi::Accept { .. } | Jmi::Propose { .. } | Jmi::Retract { .. } => {}
        }
    }

    /// XEP-0353 §3.4: somebody answers on this device. The others hear of it by themselves.
    fn proceed(&mut self, now: Time, from: &Jid) {
        match &self.state {
            State::Ringing => {}
            State::Proceeding { device, .. } if device == from => return,
            State::Proceeding { .. } => {
                let device = Some(from.clone());
                return self.actions.push_back(Action::Retract { device, why: Why::Elsewhere });
            }
            State::Over => return,
        }
        self.state = State::Proceeding { device: from.clone(), until: now + self.patience.accept };
        (self.look, self.unsaid, self.unheard) = (None, None, None);
        self.end_sessions(Some(from), Why::Elsewhere);
        // A device that was rung by itself, too, has the session already.
        if !self.has(from) {
            self.devices.retain(|device| device.jid != *from);
            self.devices.push(Device {
                jid: from.clone(),
                rank: 0,
                stage: Stage::Out,
                rings_by_itself: true,
                early: Vec::new(),
            });
            self.initiate(now, self.devices.len() - 1);
        }
    }

    /// What a device says in the session that it was offered.
    fn said(&mut self, now: Time, from: &Jid, jingle: Box<Jingle>) {
        if !self.has(from) {
            return;
        }
        match jingle.action {
            jingle::Action::SessionAccept => self.accepted(from, jingle),
            jingle::Action::SessionTerminate => {
                let reason = jingle.reason;
                let declined = matches!(&reason, Some(reason) if reason.condition == Condition::Decline);
                if declined {
                    self.drop_session(from);
                    self.fail(Failure::Said(reason), Why::Declined);
                } else {
                    self.dropped(now, from, Failure::Said(reason));
                }
            }
            jingle::Action::SessionInfo if matches!(jingle.infos[..], [Info::Ringing]) => self.ring(),
            _ => {
                let device = self.device(from).filter(|device| device.early.len() < MAX_EARLY);
                if let Some(device) = device {
                    device.early.push(*jingle);
                }
            }
        }
    }

    /// This device has the call.
    fn accepted(&mut self, from: &Jid, accept: Box<Jingle>) {
        let Some(at) = self.devices.iter().position(|device| device.jid == *from) else { return };
        let early = std::mem::take(&mut self.devices[at].early);
        self.end_sessions(Some(from), Why::Elsewhere);
        // Those that know of it by the proposal have heard of a `proceed`; of this they have not.
        if matches!(self.state, State::Ringing) {
            self.retract(Why::Elsewhere);
        }
        self.state = State::Over;
        self.actions.push_back(Action::Answered { device: from.clone(), accept, early });
    }

    /// What a device can do, or that it is not there.
    fn learned(&mut self, now: Time, jid: &Jid, abilities: Option<Abilities>) {
        let wants = self.wants;
        let Some(device) = self.device(jid).filter(|device| device.stage == Stage::Asked) else { return };
        device.stage = abilities.map_or(Stage::Out, |abilities| stage(abilities, wants));
        device.rings_by_itself = abilities.is_some_and(|abilities| rings_by_itself(abilities, wants));
        if device.rings_by_itself && !self.rung && matches!(self.state, State::Ringing) {
            self.unsaid = self.unsaid.or(Some(now + RINGS_UNSAID));
        }
        self.choose(now);
        self.give_up_if_alone(now);
    }

    /// Rings the best of those that know nothing of proposals, if none of them rings: all that are equally good, as their user may be at any of them.
    fn choose(&mut self, now: Time) {
        let asked = self.devices.iter().any(|device| device.stage == Stage::Asked);
        if !asked {
            self.look = None;
        }
        let waits = self.look.is_some() || !matches!(self.state, State::Ringing);
        if waits || self.devices.iter().any(Device::has_session) {
            return;
        }
        let able = |device: &&Device| device.stage == Stage::Able;
        let Some(best) = self.devices.iter().filter(able).map(|device| device.rank).min() else { return };
        for at in 0..self.devices.len() {
            if self.devices[at].stage == Stage::Able && self.devices[at].rank == best {
                self.initiate(now, at);
            }
        }
    }

    fn initiate(&mut self, now: Time, at: usize) {
        let device = &mut self.devices[at];
        device.stage = Stage::Offered { until: now + self.patience.respond };
        self.actions.push_back(Action::Initiate(device.jid.clone()));
    }

    fn ring(&mut self) {
        (self.unsaid, self.unheard) = (None, None);
        if !std::mem::replace(&mut self.rung, true) {
            self.actions.push_back(Action::Ring);
        }
    }

    /// A device says nothing to what it was told.
    fn silent(&mut self, now: Time, device: &Jid) {
        self.actions.push_back(Action::Terminate { device: device.clone(), why: Why::Silent });
        self.dropped(now, device, Failure::Silent);
    }

    /// A device does not take the call: another one may.
    fn dropped(&mut self, now: Time, from: &Jid, failure: Failure) {
        if !self.has(from) {
            return;
        }
        self.drop_session(from);
        if matches!(&self.state, State::Proceeding { device, .. } if device == from) {
            return self.fail(failure, Why::Failed);
        }
        let gone = matches!(failure, Failure::Refused(_) | Failure::Silent);
        self.failure = Some(failure);
        self.choose(now);
        // A device that is not there says nothing of its user, who may come by another one.
        if !gone && !self.rings() && !self.may_answer() {
            let failure = self.failure.take().unwrap_or(Failure::Silent);
            return self.fail(failure, Why::Unanswered);
        }
        self.give_up_if_alone(now);
    }

    fn drop_session(&mut self, from: &Jid) {
        if let Some(device) = self.device(from) {
            device.stage = Stage::Out;
            device.early = Vec::new();
        }
    }

    /// Whether a device is rung by itself, or will be.
    fn rings(&self) -> bool {
        let able = self.devices.iter().any(|device| device.has_session() || device.stage == Stage::Able);
        able || self.look.is_some()
    }

    /// Whether a device is known that has the proposal.
    fn may_answer(&self) -> bool {
        matches!(self.proposal, Proposal::Open)
            && (self.jmi || self.devices.iter().any(|device| device.rings_by_itself))
    }

    /// Where the proposal has come back, only devices that are rung by themselves are left.
    fn give_up_if_alone(&mut self, now: Time) {
        let Proposal::Bounced(error) = &self.proposal else { return };
        if !matches!(self.state, State::Ringing) {
            return;
        }
        let error = error.clone();
        self.choose(now);
        if !self.rings() {
            let failure = self.failure.take().unwrap_or(Failure::Bounced(error));
            self.fail(failure, Why::Unanswered);
        }
    }

    /// Ends all sessions but that with one device.
    fn end_sessions(&mut self, but: Option<&Jid>, why: Why) {
        for device in &mut self.devices {
            if device.has_session() && but != Some(&device.jid) {
                device.stage = Stage::Out;
                self.actions.push_back(Action::Terminate { device: device.jid.clone(), why });
            }
        }
    }

    /// XEP-0353 §3.3. A proposal that came back nobody has.
    fn retract(&mut self, why: Why) {
        if matches!(self.proposal, Proposal::Open) {
            self.actions.push_back(Action::Retract { device: None, why });
        }
    }

    /// It rings no longer, and all devices are told.
    fn end(&mut self, why: Why) {
        self.end_sessions(None, why);
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ringing => self.retract(why),
            // XEP-0353 §3.7: what was accepted is no longer taken back, it ends.
            State::Proceeding { device, .. } => self.actions.push_back(Action::Finish { device, why }),
            State::Over => {}
        }
    }

    fn fail(&mut self, failure: Failure, why: Why) {
        self.end(why);
        self.actions.push_back(Action::Failed(failure));
    }

    /// Likewise, where those that know of it by the proposal know of the end, too.
    fn fail_told(&mut self, failure: Failure, why: Why) {
        self.end_sessions(None, why);
        self.state = State::Over;
        self.actions.push_back(Action::Failed(failure));
    }
}

/// Whether a device that can do so much rings when a call is proposed.
fn rings_by_itself(abilities: Abilities, wants: Wants) -> bool {
    abilities.jmi && abilities.takes(wants.audio, wants.video)
}

/// What is to be done with a device that can do so much.
fn stage(abilities: Abilities, wants: Wants) -> Stage {
    let rings = !abilities.jmi && abilities.takes(wants.audio, wants.video);
    if rings { Stage::Able } else { Stage::Out }
}

#[cfg(test)]
mod tests;
