//! What is known of one call.

use super::info::Told;
use super::pass::Passing;
use super::ringing::Ringing;
use super::trickle::Trickle;
use crate::config::LinkId;
use crate::mapping::{Side, Stage};
use crate::media::description::Description;
use crate::media::record;
use crate::media::relay::{Passage, Way};
use crate::store::{About, Key};
use base::{Fingerprint, Str, Time};
use bodies::sdp::fragment::Fragment;
use sip::Dialog;
use sip::agent::ServerId;
use sip::invite::{InfoId, SessionId};
use sip::subscription::UsageId;
use std::collections::VecDeque;
use std::time::Duration;
use xml::Element;
use xmpp::ext::jingle::Action;
use xmpp::ext::transfer::Transfer;
use xmpp::jid::Jid;

/// Names a call. Never used twice by one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// Where a call is: XEP-0166 §5 has pending, active and ended; of those the first is told apart by what is waited for.
#[derive(Debug)]
pub(super) enum State {
    /// The SIP user has begun, and what it offers is looked at.
    Arriving,
    /// The XMPP user has said what it wants, and may name more candidates: then the INVITE, or the answer to one, goes out.
    Gathering {
        /// When no more are expected if none has come.
        quiet: Time,
        /// When they are not waited for any longer.
        most: Time,
    },
    /// Our INVITE is out.
    Inviting {
        /// The XMPP user knows that it rings.
        rings: bool,
        /// How long it may ring.
        until: Time,
    },
    /// The SIP user has begun, and the XMPP user's devices ring.
    Ringing {
        /// What is said to them.
        ringing: Box<Ringing>,
        /// How long it may ring.
        until: Time,
    },
    /// Somebody has accepted; what was said is on its way to the other side, or the ACK for it is on its way back.
    Accepting,
    /// They talk.
    Active,
}

impl State {
    /// What the operator sees.
    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Arriving => "arriving",
            State::Gathering { .. } => "gathering",
            State::Inviting { .. } => "inviting",
            State::Ringing { .. } => "ringing",
            State::Accepting => "accepting",
            State::Active => "active",
        }
    }
}

/// What an iq of ours says, for when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// session-initiate.
    Initiate,
    /// session-accept.
    Accept,
    /// Whether the session is still known.
    Ping,
    /// disco#info.
    Disco,
    /// Something that changes the session.
    Change(Action),
    /// session-info: whatever the answer is, nothing follows.
    Tell,
    /// A key of the telephone, of which this INFO has told.
    Key(InfoId),
    /// Whom to call instead, which this REFER has told.
    Transfer(UsageId, ServerId),
}

/// An iq of ours that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) number: u32,
    pub(super) what: Asked,
    pub(super) to: Jid,
    pub(super) until: Time,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    /// Who has begun.
    pub(super) began: Side,
    pub(super) link: LinkId,
    /// The name of the Jingle session.
    pub(super) sid: Str,
    /// The SIP user, as who we speak in the Jingle session: with a resource.
    pub(super) ours: Jid,
    /// The XMPP user: with a resource once it is known on which device.
    pub(super) theirs: Jid,
    /// It was proposed by JMI (XEP-0353).
    pub(super) proposed: bool,
    pub(super) state: State,
    /// What both have said of the media; none before the SIP user's offer has been looked at.
    pub(super) description: Option<Box<Description>>,
    /// Its place in a media relay; none: the media go from end to end.
    pub(super) passage: Option<Box<Passage>>,
    /// What is in the relay just now.
    pub(super) passing: Option<Passing>,
    /// The SIP user has called without an offer.
    pub(super) offerless: bool,
    /// The dialog.
    pub(super) session: Option<SessionId>,
    /// Who has told whoever began it to call.
    pub(super) referred: Option<Box<Transfer>>,
    /// Who others say that the SIP user is, for devices that ring.
    pub(super) identity: Option<Box<Element>>,
    /// Our INFOs in it that have no answer yet.
    pub(super) told: VecDeque<Told>,
    /// The Call-ID of our INVITE.
    pub(super) call_id: Option<Fingerprint>,
    /// Our answer to a re-INVITE that waits for the XMPP user is due then.
    pub(super) owes_answer: Option<Time>,
    /// An offer of ours is on its way to the SIP user.
    pub(super) changing: bool,
    /// Candidates of the XMPP user of which the SIP user is told by the way.
    pub(super) trickle: Trickle,
    /// What the SIP user has said last of where it can be reached, while devices ring.
    pub(super) early: Option<Box<Fragment>>,
    /// What is to be said to the SIP user waits for candidates of the XMPP user: until when if none come, and until when at all.
    pub(super) gathering: Option<(Time, Time)>,
    /// It is the answer to what the SIP user offers.
    pub(super) answering: bool,
    /// The SIP user has asked for an offer of ours in a call that stands, and has not answered it.
    pub(super) was_asked: bool,
    /// How often the client has not said whether it still knows of the call.
    pub(super) misses: u8,
    pub(super) asked: Vec<Waiting>,
    pub(super) next_iq: u32,
    /// When the client is asked next whether it still knows of the call.
    pub(super) check_at: Option<Time>,
    pub(super) since: Time,
    pub(super) answered: Option<Time>,
    /// What its record is called.
    pub(super) record: Str,
    pub(super) saved: bool,
}

impl Call {
    /// A call that has just begun.
    pub(super) fn new(began: Side, link: LinkId, sid: Str, ours: Jid, theirs: Jid, stage: &mut Stage<'_>) -> Call {
        Call {
            began,
            link,
            sid,
            ours,
            theirs,
            proposed: false,
            state: State::Arriving,
            description: None,
            passage: None,
            passing: None,
            offerless: false,
            session: None,
            referred: None,
            identity: None,
            told: VecDeque::new(),
            call_id: None,
            owes_answer: None,
            changing: false,
            trickle: Trickle::Idle,
            early: None,
            gathering: None,
            answering: false,
            was_asked: false,
            misses: 0,
            asked: Vec::new(),
            next_iq: 0,
            check_at: None,
            since: stage.now,
            answered: None,
            record: stage.tokens.token(12),
            saved: false,
        }
    }

    /// They talk from now on.
    pub(super) fn talks(&mut self, now: Time, check: Duration) {
        self.state = State::Active;
        self.answered = Some(now);
        self.check_at = (!check.is_zero()).then(|| now + check);
    }

    /// Which way its media go.
    pub(super) fn way(&self) -> Way {
        self.passage.as_ref().map_or(Way::Direct, |passage| Way::Relayed(passage.style()))
    }

    /// Whether one device of the XMPP user has the session, and would not be able to say so if it were gone.
    pub(super) fn stands(&self) -> bool {
        self.has_device() && matches!(self.state, State::Inviting { .. } | State::Accepting | State::Active)
    }

    /// Whether the XMPP user's device has the session: it was offered it, or has offered it.
    pub(super) fn has_device(&self) -> bool {
        self.theirs.resource().is_some()
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        let state = match &self.state {
            State::Gathering { quiet, most } => Some(*quiet.min(most)),
            State::Ringing { ringing, until } => Some(ringing.deadline().map_or(*until, |at| at.min(*until))),
            State::Inviting { until, .. } => Some(*until),
            State::Arriving | State::Accepting | State::Active => None,
        };
        let asked = self.asked.iter().map(|asked| asked.until).min();
        let relay = self.passage.as_ref().and_then(|passage| passage.deadline());
        let gathering = self.gathering.map(|(quiet, most)| quiet.min(most));
        [state, asked, self.owes_answer, gathering, self.check_at, relay].into_iter().flatten().min()
    }

    /// The name of its record.
    pub(super) fn key(&self) -> Key {
        Key { about: About::Call(self.record.clone()), sip: self.ours.bare(), xmpp: self.theirs.bare() }
    }

    /// Its record.
    pub(super) fn to_record(&self, dialog: Option<Dialog>) -> record::Call {
        record::Call {
            device: self.ours.resource().map(str::to_owned),
            resource: self.theirs.resource().map(str::to_owned),
            sid: self.sid.to_string(),
            from_sip: self.began == Side::Sip,
            proposed: self.proposed,
            dialog,
        }
    }
}
