//! What a mapping is, and what it acts with.

use crate::account::linked::Linked;
use crate::address;
use crate::choice::{Choice, Way};
use crate::config::{Config, LinkId};
use crate::error::Refusal;
use crate::gateway::{Note, Output};
use crate::leg::{self, Footing, Legs};
use crate::links::{Links, StanzaToken};
use crate::phones::Phones;
use crate::rate::Rates;
use crate::store::{Broken, Key, SaveToken};
use crate::trunk::Trunks;
use crate::voice;
use crate::way::{self, Hops, Route};
use crate::whereabouts::Whereabouts;
use base::{Fingerprint, Str, Table, Time, Tokens};
use sip::agent::{Agent, ClientId, Flow, ServerId, Transport};
use sip::invite::{self, Sessions};
use sip::register::{self, Registrations};
use sip::subscription::{self, Subscriptions, UsageId};
use sip::{Floor, Ground, Headers, Name, NameAddr, Request, Response, SipUri, Uri};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// The way that it came.
    pub flow: Flow,
    /// The sender as the XMPP side sees it.
    pub from: Jid,
    /// The recipient.
    pub to: Jid,
    /// The stream that speaks for the sender's domain.
    pub link: LinkId,
}

/// Copies of a message for other devices of its sender, which wait until it has arrived.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) link: LinkId,
    pub(crate) messages: Vec<Stanza>,
    /// Counts those that there are.
    #[expect(dead_code, reason = "it is counted")]
    pub(crate) room: Arc<()>,
}

/// An INVITE that passed the same checks, outside of any dialog.
#[derive(Debug)]
pub struct Invitation {
    /// The session that it wants to begin: accept or refuse it.
    pub id: invite::SessionId,
    /// The INVITE.
    pub request: Box<Request>,
    /// The way that it came.
    pub flow: Flow,
    /// The sender as the XMPP side sees it.
    pub from: Jid,
    /// The recipient.
    pub to: Jid,
    /// The stream that speaks for the sender's domain.
    pub link: LinkId,
    /// To what it invites.
    pub purpose: Purpose,
}

/// To what an INVITE invites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To a session of two.
    Chat,
    /// Into the room that it is for: its domain is a MUC service.
    Room,
    /// To one or the other: its description says `a=chatroom` (RFC 7701 §8), as a program may to anybody whom it does not know.
    Unclear,
    /// Into the room that it comes from: whoever sent it is a focus (RFC 4579 §5.4).
    Conference,
    /// To a call: to talk and to be seen (draft-ietf-stox-media).
    Call,
}

/// One RFC's way of translating. The gateway asks the mappings in turn, and who claims a thing first has it: rooms, which know who sits in them,
/// before those that take whatever comes from anybody. Whatever a mapping started comes back to it: each handler of an outcome says whether the thing was its own.
pub trait Mapping {
    /// Whether this request opens something that the mapping understands, by what it says.
    fn claims_request(&self, request: &Request) -> bool;

    /// Whether this INVITE does.
    fn claims_invitation(&self, _: &Invitation) -> bool {
        false
    }

    /// Whether this stanza does; `way` is chosen for messages.
    fn claims_stanza(&self, stanza: &Stanza, way: Way) -> bool;

    /// Takes a new configuration. What is under way goes on as it began.
    fn reconfigure(&mut self, config: &Config);

    /// A request that was claimed, from outside of any dialog.
    fn request(&mut self, _: &mut Stage<'_>, _: Incoming) {}

    /// An INVITE that was claimed.
    fn invited(&mut self, _: &mut Stage<'_>, _: Invitation) {}

    /// A stanza that was claimed, and that came by `link`.
    fn stanza(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: Stanza);

    /// A stanza that another shard takes, but that may answer what this one has asked.
    fn overheard(&mut self, _: &mut Stage<'_>, _: &Stanza) {}

    /// An error stanza, which nobody claims: does it end something of this mapping?
    fn error(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, error: &StanzaError) -> bool;

    /// A final response to a request of this mapping, or why there was none.
    fn outcome(&mut self, _: &mut Stage<'_>, _: ClientId, outcome: Outcome) -> Option<Outcome> {
        Some(outcome)
    }

    /// Something happened to a session that is no leg's. What is another mapping's comes back.
    fn session(&mut self, _: &mut Stage<'_>, event: invite::Event) -> Option<invite::Event> {
        Some(event)
    }

    /// Something happened to a leg. What is another mapping's comes back.
    fn leg(&mut self, _: &mut Stage<'_>, event: leg::Event) -> Option<leg::Event> {
        Some(event)
    }

    /// The XMPP server took a stanza, or (`taken` false) the stream ended before.
    fn stanza_outcome(&mut self, stage: &mut Stage<'_>, token: StanzaToken, taken: bool) -> bool;

    /// The media relay has answered, or nobody has.
    fn relayed(&mut self, _: &mut Stage<'_>, _: &Relayed) -> bool {
        false
    }

    /// Something happened to a subscription. What is of another package comes back.
    fn event(&mut self, _: &mut Stage<'_>, event: subscription::Event) -> Option<subscription::Event> {
        Some(event)
    }

    /// Something happened to a registration with another registrar. What is another mapping's comes back.
    fn registration(&mut self, _: &mut Stage<'_>, event: register::Event) -> Option<register::Event> {
        Some(event)
    }

    /// A record was saved, or (`saved` false) could not be.
    fn saved(&mut self, _: &mut Stage<'_>, _: SaveToken, _saved: bool) -> bool {
        false
    }

    /// A record of this mapping from the store, before anything else happens. `None`: it is another's.
    fn restore(&mut self, _: &mut Stage<'_>, _: &Key, _value: &[u8]) -> Option<Result<(), Broken>> {
        None
    }

    /// A record of this mapping that is for all shards and belongs to another one is so from now on, or (no `value`) is no more. Whether it is this mapping's, and
    /// can be read.
    fn changed(&mut self, _: &mut Stage<'_>, _: &Key, _value: Option<&[u8]>) -> bool {
        false
    }

    /// The gateway is to end: nothing new comes any more, and what does not end by itself is to be ended in order.
    fn drain(&mut self, _: &mut Stage<'_>) {}

    /// Gives up what is under way and tells each sender.
    fn abandon(&mut self, _: &mut Stage<'_>) {}

    /// A component stream is up.
    fn link_up(&mut self, _: &mut Stage<'_>, _: LinkId) {}

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

/// How something that a media relay was asked has ended.
#[derive(Debug)]
pub struct Relayed {
    /// What was asked.
    pub id: ng::AskId,
    /// Who has answered, or was the last that did not.
    pub server: SocketAddr,
    /// The description that came back, nothing where none was sent, or why there is none.
    pub result: Result<Vec<u8>, ng::Failure>,
}

/// What a mapping gives to another one.
#[derive(Debug)]
pub(crate) enum Handed {
    /// A message, to be carried in this way.
    Message(Way, LinkId, Stanza),
    /// An INVITE, for what it turned out to be.
    Invitation(Invitation),
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
    /// Its subscriptions: [`Stage::events`] acts on them.
    pub subscriptions: &'a mut Subscriptions,
    /// Its sessions: [`Stage::sessions`] acts on them.
    pub sessions: &'a mut Sessions,
    /// What carries their messages.
    pub msrp: &'a mut msrp::Agent,
    /// The phones that register here.
    pub(crate) phones: &'a Phones,
    pub(crate) trunks: &'a Trunks,
    /// The media relays.
    pub relay: &'a mut ng::Client,
    /// Both together: [`Stage::legs`] acts on them.
    pub legs: &'a mut Legs,
    /// As what messages go to SIP.
    pub(crate) choice: &'a mut Choice,
    /// What mappings have given to each other.
    pub(crate) handed: &'a mut VecDeque<Handed>,
    /// The XMPP side.
    pub(crate) links: &'a mut Links,
    /// Unguessable tokens.
    pub tokens: &'a mut Tokens,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) next_save: &'a mut SaveToken,
    pub(crate) rates: &'a mut Rates,
    /// The SIP accounts that XMPP users have linked.
    pub(crate) linked: &'a mut Linked,
    /// The registrations with other registrars.
    pub(crate) registrations: &'a mut Registrations,
    /// The SIP domains that the other ends of connections have proved to be.
    pub(crate) secured: &'a Table<u64, Arc<[Str]>>,
    /// On which devices XMPP users are to be found.
    pub(crate) whereabouts: &'a mut Whereabouts,
    /// What is handled was given on by another mapping: it was counted, and is not given back.
    pub(crate) given: bool,
}

impl Stage<'_> {
    /// The date and time of the input, for people to read.
    pub fn wall(&self) -> Option<bodies::Timestamp> {
        let seconds = self.config.epoch.checked_add(self.now.since(Time::ZERO).as_secs())?;
        bodies::Timestamp::from_unix(i64::try_from(seconds).ok()?)
    }

    /// Counts a message of `sender`, and says whether it may send it.
    ///
    /// # Errors
    /// [`Refusal::RateExceeded`].
    pub fn rate(&mut self, sender: &Jid) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let (rate, burst) = (limits.domain_rate, limits.domain_burst);
        if self.given
            || self.rates.allows(self.now, sender, limits.rate, limits.burst)
                && self.rates.allows_domain(self.now, sender.domain(), rate, burst)
        {
            Ok(())
        } else {
            Err(Refusal::RateExceeded { retry_after: limits.retry_after })
        }
    }

    /// Counts a message of whoever `print` stands for, who has no address of their own.
    ///
    /// # Errors
    /// [`Refusal::RateExceeded`].
    pub(crate) fn rate_as(&mut self, print: Fingerprint) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        if self.rates.allows_as(self.now, print, limits.rate, limits.burst) {
            Ok(())
        } else {
            Err(Refusal::RateExceeded { retry_after: limits.retry_after })
        }
    }

    /// Where a request from an XMPP user goes that begins something with `to`.
    ///
    /// # Errors
    /// [`Refusal::NoRoute`]: nowhere.
    pub fn route(&self, from: &Jid, to: &SipUri) -> Result<Route, Refusal> {
        // Nobody but its phones stands for somebody who registers here.
        if let Some(registered) = self.phones.route(self.now, to) {
            return registered;
        }
        let mut way = way::route(self.config, self.trunks, self.sip, to)?;
        let domain = xmpp::jid::domain(&to.host.to_string()).ok();
        // Who has an account there answers challenges with it.
        if let Some(account) = domain.and_then(|domain| self.linked.credentials(from, &domain)) {
            way.hop = voice::with_account(way.hop, account);
        }
        Ok(way)
    }

    /// Acts on the subscriptions.
    pub fn events<R>(&mut self, act: impl FnOnce(&mut Subscriptions, &mut Ground<'_>) -> R) -> R {
        let hops = Hops { now: self.now, config: self.config, linked: self.linked, phones: self.phones };
        let mut ground = Ground { now: self.now, agent: self.sip, hops: &hops, tokens: self.tokens };
        act(self.subscriptions, &mut ground)
    }

    /// Acts on the sessions.
    pub fn sessions<R>(&mut self, act: impl FnOnce(&mut Sessions, &mut Ground<'_>) -> R) -> R {
        let hops = Hops { now: self.now, config: self.config, linked: self.linked, phones: self.phones };
        let mut ground = Ground { now: self.now, agent: self.sip, hops: &hops, tokens: self.tokens };
        act(self.sessions, &mut ground)
    }

    /// Acts on the registrations.
    pub(crate) fn registering<R>(&mut self, act: impl FnOnce(&mut Registrations, &mut Floor<'_>) -> R) -> R {
        let mut ground = Floor { now: self.now, agent: self.sip, tokens: self.tokens };
        act(self.registrations, &mut ground)
    }

    /// Acts on the legs.
    pub fn legs<R>(&mut self, act: impl FnOnce(&mut Legs, &mut Footing<'_>) -> R) -> R {
        let hops = Hops { now: self.now, config: self.config, linked: self.linked, phones: self.phones };
        let mut footing = Footing {
            now: self.now,
            config: self.config,
            agent: self.sip,
            sessions: self.sessions,
            msrp: self.msrp,
            hops: &hops,
            tokens: self.tokens,
        };
        act(self.legs, &mut footing)
    }

    /// Gives a message to the mapping that carries it in another way.
    pub fn send_as(&mut self, way: Way, link: LinkId, stanza: Stanza) {
        self.handed.push_back(Handed::Message(way, link, stanza));
    }

    /// Gives an INVITE to the mapping that serves its purpose.
    pub fn invite_as(&mut self, invitation: Invitation) {
        self.handed.push_back(Handed::Invitation(invitation));
    }

    /// Refuses an INVITE.
    pub fn refuse_invitation(&mut self, id: invite::SessionId, refusal: &Refusal) {
        self.note_refused(refusal, Side::Sip, false);
        self.sessions(|sessions, ground| sessions.refuse(ground, id, refusal.response()));
    }

    /// Refuses a SUBSCRIBE.
    pub fn refuse_watch(&mut self, id: UsageId, server: ServerId, refusal: &Refusal) {
        self.note_refused(refusal, Side::Sip, false);
        self.events(|events, ground| events.refuse(ground, id, server, refusal.response()));
    }

    /// Asks for a record to be saved, or forgotten where there is no value; [`Mapping::saved`] says what became of it.
    pub fn save(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> SaveToken {
        let token = *self.next_save;
        *self.next_save += 1;
        self.out.push_back(Output::Save { token, key, value });
        token
    }

    /// The stream that speaks for a SIP domain.
    pub fn link_of(&self, domain: &str) -> Option<LinkId> {
        self.config.links.iter().position(|link| link.domain == domain)
    }

    /// Our Contact in a dialog of the user that `uri` is about (RFC 3261 §8.1.1.8): requests within the dialog come to it. It keeps the user,
    /// by which they find their shard.
    pub fn contact(&self, uri: &Uri, transport: Transport) -> Uri {
        let Some(user) = uri.sip() else { return uri.clone() };
        let mut contact = user.clone();
        if let (false, Some((host, port))) = (self.config.contact_is_domain, self.sip.sent_by(transport)) {
            (contact.host, contact.port) = (host.clone(), port);
        }
        contact.params.remove("transport");
        // RFC 7118 §5.2 has one name for WebSockets with TLS and without: who uses them has the connection, and needs no more.
        let name: Option<&[u8]> = match transport {
            Transport::Udp => None,
            Transport::Tcp => Some(b"tcp"),
            Transport::Tls => Some(b"tls"),
            Transport::Ws | Transport::Wss => Some(b"ws"),
        };
        if name.is_some() {
            contact.params.set("transport", name);
        }
        contact.into()
    }

    /// A SIP user as the device that a Contact names by a GRUU (RFC 5627), where it does: RFC 7247 §6.5 step 8.
    pub(crate) fn with_device(&self, user: &Jid, headers: &Headers) -> Jid {
        let contact = headers.elements(Name::Contact).next().and_then(Result::ok);
        let uri = contact.and_then(|contact| NameAddr::parse(contact).ok()).map(|contact| contact.uri);
        let options = address::Options { phone_domain: self.config.phone_domain.clone() };
        let device = uri.and_then(|uri| address::to_jid(&uri, &options).ok());
        let resource = device.as_ref().and_then(Jid::resource);
        let device = resource.and_then(|resource| user.bare().with_resource(resource).ok());
        device.unwrap_or_else(|| user.clone())
    }

    /// Sends a stanza whose outcome comes back as [`Mapping::stanza_outcome`]; `None` if the stream is down. Of a stanza that is worth nothing
    /// later the outcome may be left to nobody.
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
