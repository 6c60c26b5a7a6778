//! One content, which is one media description.

use super::scope::{Scope, direction};
use base::Str;
use bodies::sdp::{Direction, Media, Setup};
use xmpp::ext::jingle::{Content, Creator, Ice, RawUdp, Senders, Transport};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The XMPP side wants it, and the SIP side has not said anything.
    Wanted,
    /// The SIP side wants it, and the XMPP side has not said anything.
    Asked,
    /// Both want it.
    Open,
    /// One does not, or does not any more: a port of 0.
    Closed,
}

/// What the XMPP side has to say before the SIP side's offer can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Whether it wants the content.
    Content,
    /// Its own half of ICE that was started anew.
    Restart,
    /// Whether it takes the other transport.
    Transport,
}

/// Which way media go, as one side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) sends: bool,
    pub(super) receives: bool,
}

impl Flow {
    pub(super) const BOTH: Flow = Flow { sends: true, receives: true };

    pub(super) fn of(direction: Direction) -> Flow {
        Flow { sends: direction.sends(), receives: direction.receives() }
    }

    pub(super) fn direction(self) -> Direction {
        direction(self.sends, self.receives)
    }

    /// As the other side sees it.
    pub(super) fn reversed(self) -> Flow {
        Flow { sends: self.receives, receives: self.sends }
    }

    /// Both at once.
    pub(super) fn and(self, other: Flow) -> Flow {
        Flow { sends: self.sends && other.sends, receives: self.receives && other.receives }
    }

    /// What a side wants, once it has said this where the other one allowed that: what is not allowed cannot be said, and is still wanted.
    pub(super) fn heard(self, said: Flow, allowed: Flow) -> Flow {
        Flow {
            sends: said.sends || !allowed.sends && self.sends,
            receives: said.receives || !allowed.receives && self.receives,
        }
    }
}

/// One content, which is one media description.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) scope: Scope,
    /// `audio`, `video`, or whatever the SIP side has offered and nobody takes.
    pub(super) kind: Str,
    /// A format, for a refusal.
    pub(super) format: Str,
    pub(super) stage: Stage,
    /// Closed, and the SIP side knows: the place can be used again (RFC 3264 §8.1).
    pub(super) free: bool,
    pub(super) awaits: Option<Awaits>,
    /// What the XMPP side has said, with all its candidates.
    pub(super) ours: Option<Box<Content>>,
    /// What the SIP side has said.
    pub(super) theirs: Option<Box<Content>>,
    /// Which way the XMPP side wants it, unless it has put the call on hold.
    pub(super) wish: Flow,
    /// And which way the SIP side was told that it does.
    pub(super) shown: Flow,
    /// The half of ICE that the SIP side was told.
    pub(super) shown_ice: Option<(Option<Str>, Option<Str>)>,
    /// It was told of no place with it.
    pub(super) shown_nowhere: bool,
    /// The XMPP side says that it sends nothing for now (XEP-0167 §8.3).
    pub(super) muted: bool,
    /// Which way the SIP side wants it.
    pub(super) sip: Flow,
    /// Which way it has said last.
    pub(super) said: Flow,
    /// Who sends, as the XMPP side knows.
    pub(super) told: Senders,
    /// Who opens DTLS, as the XMPP side sees it.
    pub(super) role: Option<Setup>,
    /// The transport that was there before the one that the XMPP side would rather have.
    pub(super) replaced: Option<Box<Transport>>,
}

impl Line {
    pub(super) fn new(scope: Scope, kind: Str, format: Str, stage: Stage) -> Line {
        Line {
            scope,
            kind,
            format,
            stage,
            free: false,
            awaits: None,
            ours: None,
            theirs: None,
            wish: Flow::BOTH,
            shown: Flow::BOTH,
            shown_ice: None,
            shown_nowhere: false,
            muted: false,
            sip: Flow::BOTH,
            said: Flow::BOTH,
            told: Senders::Both,
            role: None,
            replaced: None,
        }
    }

    /// Whether it is a content of the Jingle session, or is to be one.
    pub(super) fn is_there(&self) -> bool {
        self.stage != Stage::Closed
    }

    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
        self.free = false;
        self.awaits = None;
        (self.ours, self.theirs, self.replaced) = (None, None, None);
        (self.wish, self.shown, self.sip, self.said) = (Flow::BOTH, Flow::BOTH, Flow::BOTH, Flow::BOTH);
        (self.muted, self.role, self.shown_ice, self.shown_nowhere) = (false, None, None, false);
    }

    /// Which way the XMPP side has it, for an offer.
    pub(super) fn flow(&self, held: bool) -> Flow {
        Flow { sends: self.wish.sends && !self.muted, receives: self.wish.receives && !held }
    }

    /// Takes note of what the XMPP side has said of who sends. What it says as it was says nothing: it may be the SIP side's will.
    pub(super) fn hear_senders(&mut self, senders: Senders) {
        let (said, told) = (Flow::of(self.scope.direction(senders)), Flow::of(self.scope.direction(self.told)));
        if said.sends != told.sends {
            self.wish.sends = said.sends;
        }
        if said.receives != told.receives {
            self.wish.receives = said.receives;
        }
        self.told = senders;
    }

    /// Takes note of which way the SIP side has it.
    pub(super) fn hear_flow(&mut self, said: Flow) {
        self.sip = self.sip.heard(said, self.shown.reversed());
        self.said = said;
    }

    /// Who sends by the will of both.
    pub(super) fn senders(&self) -> Senders {
        self.scope.senders(self.wish.and(self.sip.reversed()).direction())
    }

    /// Who sends, for a change: whether the XMPP side sends is not for others to say (some of its programs end a call for that), so only that
    /// it now may, or with `all` also that nobody listens.
    pub(super) fn changed_senders(&self, all: bool) -> Senders {
        let told = Flow::of(self.scope.direction(self.told));
        let now = self.wish.and(self.sip.reversed());
        let sends = if all || !told.sends { now.sends } else { told.sends };
        self.scope.senders(Flow { sends, receives: now.receives }.direction())
    }

    /// What names the content.
    pub(super) fn name(&self) -> Content {
        Content::new(self.scope.creator, self.scope.name.clone())
    }

    /// A content that says which one it is, and nothing else. Programs want all its parts, be they empty.
    pub(super) fn stub(&self) -> Content {
        use xmpp::ext::jingle::{Description, Rtp};
        let transport = match self.theirs.as_ref().or(self.ours.as_ref()).and_then(|c| c.transport.as_ref()) {
            Some(Transport::RawUdp(_)) => Transport::RawUdp(RawUdp::default()),
            Some(Transport::Ice(ice)) => Transport::Ice(Box::new(Ice { form: ice.form, ..Ice::default() })),
            Some(Transport::Other(_)) | None => Transport::Ice(Box::default()),
        };
        self.name()
            .with_senders(self.told)
            .with_description(Description::Rtp(Box::new(Rtp::new(self.kind.clone()))))
            .with_transport(transport)
    }

    /// What stands in the place of one that nobody takes.
    pub(super) fn refused(&self) -> Media {
        let protocol = self.scope.protocol.as_deref().unwrap_or("RTP/AVP");
        Media::new(&self.kind, 0, protocol, &[&self.format])
    }

    /// Whether the SIP side knows the XMPP side's half of ICE; what it has learned since of where that is, it learns by the way.
    pub(super) fn is_shown(&self) -> bool {
        let half = |ice: &Ice| (ice.ufrag.clone(), ice.pwd.clone());
        self.ice().map(half).is_none_or(|half| self.shown_ice.as_ref() == Some(&half))
    }

    /// The XMPP side's half of ICE.
    pub(super) fn ice(&self) -> Option<&Ice> {
        self.ours.as_ref()?.ice()
    }

    pub(super) fn ice_mut(&mut self) -> Option<&mut Ice> {
        ice_mut(self.ours.as_mut()?)
    }

    /// Whether it is the content of that name.
    pub(super) fn is(&self, creator: Creator, name: &str) -> bool {
        self.is_there() && self.scope.creator == creator && self.scope.name == name
    }
}

/// A content to be kept for as long as they talk: the lists of one that was read have grown by pushing, up to twice or, if short, four times what they hold; those
/// of a copy have not.
pub(super) fn kept(content: &Content) -> Box<Content> {
    Box::new(content.clone())
}

pub(super) fn ice_mut(content: &mut Content) -> Option<&mut Ice> {
    match content.transport.as_mut()? {
        Transport::Ice(ice) => Some(ice),
        Transport::RawUdp(_) | Transport::Other(_) => None,
    }
}
