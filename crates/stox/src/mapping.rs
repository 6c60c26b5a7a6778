//! What a mapping is, and what it acts with.

use crate::config::{Config, LinkId};
use crate::error::Refusal;
use crate::gateway::{Note, Output};
use crate::links::{Links, StanzaToken};
use base::{Time, Tokens};
use sip::agent::{Agent, ClientId, ServerId};
use sip::{Request, Response};
use std::collections::VecDeque;
use xmpp::error::StanzaError;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// A SIP request that passed the gateway's checks: who speaks may speak, and whom it is for is served here.
#[derive(Debug)]
pub struct Incoming {
    /// The server transaction that waits for the answer.
    pub id: ServerId,
    /// The request.
    pub request: Request,
    /// The sender as the XMPP side sees it.
    pub from: Jid,
    /// The recipient.
    pub to: Jid,
    /// The stream that speaks for the sender's domain.
    pub link: LinkId,
}

/// One RFC's way of translating. The gateway asks the mappings in turn; their claims are disjoint. Whatever a mapping started
/// comes back to it: each handler of an outcome says whether the thing was its own.
pub trait Mapping {
    /// Whether this request opens something that the mapping understands, by its method and headers alone.
    fn claims_request(&self, request: &Request) -> bool;

    /// Whether this stanza does.
    fn claims_stanza(&self, stanza: &Stanza) -> bool;

    /// A request that was claimed.
    fn request(&mut self, stage: &mut Stage<'_>, incoming: Incoming);

    /// A stanza that was claimed, and that came by `link`.
    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza);

    /// An error stanza, which nobody claims: does it end something of this mapping?
    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool;

    /// A final response to a request of this mapping, or why there was none.
    fn outcome(&mut self, stage: &mut Stage<'_>, id: ClientId, outcome: Outcome) -> bool;

    /// The XMPP server took a stanza, or (`taken` false) the stream ended before.
    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool);

    /// Something may be due.
    fn timeout(&mut self, stage: &mut Stage<'_>);

    /// When [`Mapping::timeout`] wants to be called.
    fn deadline(&self) -> Option<Time>;
}

/// How a request of ours ended.
#[derive(Debug)]
pub enum Outcome {
    /// With this final response.
    Response(Response),
    /// Without one: a timeout or a transport that failed.
    Failed(Refusal),
}

/// What a mapping acts with while it handles one input.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The time of the input.
    pub now: Time,
    /// What the gateway was told.
    pub config: &'a Config,
    /// The SIP side.
    pub sip: &'a mut Agent,
    /// The XMPP side.
    pub(crate) links: &'a mut Links,
    /// Unguessable tokens.
    pub tokens: &'a mut Tokens,
    pub(crate) out: &'a mut VecDeque<Output>,
}

impl Stage<'_> {
    /// The date and time of the input, for people to read.
    pub fn wall(&self) -> Option<bodies::Timestamp> {
        let seconds = self.config.epoch.checked_add(self.now.since(Time::ZERO).as_secs())?;
        bodies::Timestamp::from_unix(i64::try_from(seconds).ok()?)
    }

    /// Sends a stanza whose outcome comes back as [`Mapping::stanza_outcome`]; `None` if the stream is down.
    pub fn deliver(&mut self, link: LinkId, stanza: &Stanza) -> Option<StanzaToken> {
        self.links.deliver(link, stanza, self.out)
    }

    /// Sends a stanza that nobody waits for; it waits itself if the stream is down.
    pub fn answer(&mut self, link: LinkId, stanza: &Stanza) {
        self.links.answer(link, stanza, self.out);
    }

    /// Refuses a stanza, unless it is one that may not be answered.
    pub fn refuse_stanza(&mut self, link: LinkId, stanza: &Stanza, refusal: &Refusal) {
        self.note_refused(refusal, Side::Xmpp, stanza.kind == Kind::Message);
        if let Some(error) = stanza.error(&refusal.stanza_error()) {
            self.answer(link, &error);
        }
    }

    /// Refuses a message that came as a request.
    pub fn refuse_request(&mut self, id: ServerId, refusal: &Refusal) {
        self.note_refused(refusal, Side::Sip, true);
        self.sip.respond(self.now, id, refusal.response());
    }

    /// Tells the shell of a refusal, of a message or of something else.
    pub(crate) fn note_refused(&mut self, refusal: &Refusal, towards: Side, message: bool) {
        self.note(Note::Refused { refusal: refusal.name(), towards, message });
    }

    /// Tells the shell of something worth counting.
    pub fn note(&mut self, note: Note) {
        self.out.push_back(Output::Note(note));
    }
}

/// A side of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// SIP.
    Sip,
    /// XMPP.
    Xmpp,
}
