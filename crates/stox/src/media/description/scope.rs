//! What both mappings of one media description know besides it.

use base::{Str, format_compact};
use bodies::sdp::Direction;
use bodies::sdp::rtp::Candidate;
use xmpp::ext::jingle::{Creator, Form, Senders};

/// The most foundations of candidates of one content that are told apart, for Jingle's numbers are bytes.
pub const MAX_FOUNDATIONS: usize = 255;

/// The most candidates of one generation that are remembered. None is told beyond, so that there are never more foundations than numbers.
pub const MAX_SAID: usize = MAX_FOUNDATIONS;

/// One content of a Jingle session, which is one media description of the SDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which of both the XMPP user is.
    pub xmpp: Creator,
    /// Who made the content.
    pub creator: Creator,
    /// The name of the content.
    pub name: Str,
    /// The name of the media description, `a=mid`, where it has one.
    pub mid: Option<Str>,
    /// The transport of the `m=` line once it stands, which an answer must repeat (RFC 3264 §6).
    pub protocol: Option<Str>,
    /// Whether what is translated now is an answer: whoever answers has one role in DTLS.
    pub answer: bool,
    /// The SIP side's half of ICE, as it was said to the XMPP side.
    pub ice: IceScope,
}

/// What was said of the SIP side's half of ICE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IceScope {
    /// Its user name fragment; empty before the first.
    pub ufrag: Str,
    /// Its password.
    pub pwd: Str,
    /// How often ICE was started anew: draft §5.4, counted up whenever one of the two changes.
    pub generation: u8,
    /// The foundations: what Jingle has as a number is the place in this list (draft §5.4). At most [`MAX_FOUNDATIONS`].
    pub foundations: Vec<Str>,
    /// The number of the next candidate, for its id.
    pub next_id: u32,
    /// In which text's terms the XMPP side speaks of ICE.
    pub form: Form,
    /// The candidates that were told, at most [`MAX_SAID`]: fragments repeat them (RFC 8840 §4.4).
    pub said: Vec<Said>,
}

/// What RFC 8840 §4.4 compares candidates by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    component: u16,
    transport: Str,
    address: Str,
    port: u16,
}

impl Said {
    /// Of this candidate.
    pub fn of(candidate: &Candidate) -> Said {
        let address = candidate.ip().map_or(candidate.address.clone(), |ip| format_compact!("{ip}"));
        let transport = candidate.transport.to_ascii_lowercase();
        Said { component: candidate.component, transport, address, port: candidate.port }
    }
}

impl Scope {
    /// A content of which nothing is said.
    pub fn new(xmpp: Creator, creator: Creator, name: Str) -> Scope {
        Scope { xmpp, creator, name, mid: None, protocol: None, answer: false, ice: IceScope::default() }
    }

    /// The direction, as the XMPP side sees it, of those who send: XEP-0167 §6, draft §5.1.
    pub fn direction(&self, senders: Senders) -> Direction {
        let sends = |who: Creator| match senders {
            Senders::Both => true,
            Senders::Initiator => who == Creator::Initiator,
            Senders::Responder => who == Creator::Responder,
            Senders::None => false,
        };
        direction(sends(self.xmpp), sends(other(self.xmpp)))
    }

    /// Who sends, of a direction as the XMPP side sees it.
    pub fn senders(&self, direction: Direction) -> Senders {
        let only = |who: Creator| match who {
            Creator::Initiator => Senders::Initiator,
            Creator::Responder => Senders::Responder,
        };
        match direction {
            Direction::SendRecv => Senders::Both,
            Direction::SendOnly => only(self.xmpp),
            Direction::RecvOnly => only(other(self.xmpp)),
            Direction::Inactive => Senders::None,
        }
    }
}

impl IceScope {
    /// Takes note of the half of ICE that the SIP side has now: a change of one of both starts anew (RFC 8839 §4.4.3.1.1).
    pub fn hear(&mut self, ufrag: &str, pwd: &str) {
        if self.ufrag == ufrag && self.pwd == pwd {
            return;
        }
        if !self.ufrag.is_empty() {
            self.generation = self.generation.wrapping_add(1);
        }
        (self.ufrag, self.pwd) = (ufrag.into(), pwd.into());
        self.foundations.clear();
        self.said.clear();
    }

    /// Takes note of a candidate that is told; false where no more are remembered.
    pub fn say(&mut self, said: Said) -> bool {
        let room = self.said.len() < MAX_SAID;
        if room {
            self.said.push(said);
        }
        room
    }

    /// A name for a candidate that no other one of this content has.
    pub fn id(&mut self) -> Str {
        self.next_id = self.next_id.wrapping_add(1);
        format_compact!("c{}", self.next_id)
    }

    /// The number of a foundation, the same for the same.
    pub fn foundation(&mut self, foundation: &str) -> usize {
        match self.foundations.iter().position(|known| known == foundation) {
            Some(place) => place + 1,
            None if self.foundations.len() < MAX_FOUNDATIONS => {
                self.foundations.push(foundation.into());
                self.foundations.len()
            }
            None => MAX_FOUNDATIONS,
        }
    }
}

/// The direction in which who looks sends or not, and receives or not.
pub(super) fn direction(sends: bool, receives: bool) -> Direction {
    match (sends, receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// The other one of both.
pub(super) fn other(who: Creator) -> Creator {
    match who {
        Creator::Initiator => Creator::Responder,
        Creator::Responder => Creator::Initiator,
    }
}
