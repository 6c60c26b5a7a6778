//! The gateway as a machine: one input, drain all outputs, next input.

mod access;
mod counts;
mod events;
mod phones;
mod records;
mod sessions;
mod stanzas;
mod unclaimed;
mod value;

pub use value::{Input, Note, Offence, Output, Wire};

use crate::account::Accounts;
use crate::account::linked::Linked;
use crate::address;
use crate::chat::Chats;
use crate::choice::Choice;
use crate::config::Config;
use crate::error::Refusal;
use crate::leg::Legs;
use crate::links::{Links, StanzaToken};
use crate::mapping::{Handed, Incoming, Mapping, Outcome, Relayed, Side, Stage};
use crate::media::Calls;
use crate::message::Messages;
use crate::names::Names;
use crate::phones::Phones;
use crate::presence::Presences;
use crate::rate::Rates;
use crate::room;
use crate::room::invitations::Invitations;
use crate::room::occupants::Occupants;
use crate::room::participants::Participants;
use crate::store::SaveToken;
use crate::trunk::{Trunks, Yard};
use crate::whereabouts::Whereabouts;
use base::{HashKey, Str, Table, Time, Tokens};
use sip::agent::{self, Agent, ClientId, Failure, Flow, SendTo, ServerId};
use sip::invite::{self, Sessions};
use sip::register::{self, Registrations};
use sip::subscription::{self, Subscriptions};
use sip::{Method, Request};
use std::collections::VecDeque;
use std::sync::Arc;

/// The gateway: one shard of it, and all of it in tests.
#[derive(Debug)]
pub struct Gateway {
    config: Arc<Config>,
    sip: Agent,
    /// Whom the certificates of SIP connections name.
    secured: Table<u64, Arc<[Str]>>,
    subscriptions: Subscriptions,
    sessions: Sessions,
    msrp: msrp::Agent,
    relay: ng::Client,
    legs: Legs,
    choice: Choice,
    handed: VecDeque<Handed>,
    /// What is handled now was one of those.
    given: bool,
    links: Links,
    tokens: Tokens,
    messages: Messages,
    chats: Chats,
    presences: Presences,
    participants: Participants,
    occupants: Occupants,
    invitations: Invitations,
    calls: Calls,
    accounts: Accounts,
    linked: Linked,
    registrations: Registrations,
    names: Names,
    trunks: Trunks,
    /// They have yet to be told what they are.
    trunks_due: bool,
    phones: Phones,
    whereabouts: Whereabouts,
    next_save: SaveToken,
    rates: Rates,
    addresses: address::Options,
    out: VecDeque<Output>,
    now: Time,
    draining: bool,
    /// What the subscriptions had counted when their refusals were last told.
    told: subscription::Counts,
}

impl Gateway {
    /// A gateway. `shard` names it in what it mints; `tokens` is its own source.
    pub fn new(config: Arc<Config>, mut sip: agent::Config, mut tokens: Tokens) -> Gateway {
        let shard = sip.shard;
        let key = HashKey::new(tokens.u64(), tokens.u64());
        // A gateway that takes another one's place must not take that one's outcomes for its own.
        let first_token = u64::from(shard) << 56 | key.fingerprint(&[b"stanza tokens"]).bits() as u64 >> 9;
        let links = Links::new(&config, key, first_token);
        let messages = Messages::new(&config, key);
        let chats = Chats::new(&config, key);
        let presences = Presences::new(&config, key);
        let participants = Participants::new(&config, key);
        let occupants = Occupants::new(&config, key);
        let invitations = Invitations::new(&config, key);
        let calls = Calls::new(&config, key);
        let accounts = Accounts::new(&config, key);
        let names = Names::new(key);
        let no_trunks = config.trunks.is_empty();
        let phones = Phones::new(&config, key);
        let mut bounds = config.subscriptions.clone();
        // What belongs to no dialog of ours is refused here, as only the gateway knows them all.
        sip.dialogs = true;
        if config.registrar.is_some() {
            sip.allow.push(Method::Register);
        }
        if config.presence.enabled {
            bounds.packages.push(crate::presence::PACKAGE);
        }
        if config.has_sessions() {
            bounds.packages.extend([room::CONFERENCE, room::REFER]);
            sip.surfaced.retain(|method| *method != Method::Refer);
            sip.allow.push(Method::Refer);
            sip.invites = true;
            sip.surfaced.retain(|method| *method != Method::Invite);
            sip.allow.extend([Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Update, Method::Prack]);
            if config.media.is_some() {
                sip.allow.push(Method::Info);
            }
            sip.supported.extend(invite::SUPPORTED.iter().copied().map(Str::const_new));
        }
        if !bounds.packages.is_empty() {
            sip.surfaced.retain(|method| *method != Method::Subscribe);
            sip.allow.extend([Method::Subscribe, Method::Notify]);
        }
        let subscriptions = Subscriptions::new(bounds, &mut tokens);
        let sessions = Sessions::new(sessions::session_config(&config), &mut tokens);
        let msrp = msrp::Agent::new(sessions::msrp_config(&config, sip.shard), tokens.fork());
        let relay = ng::Client::new(config.relay.clone(), tokens.fork());
        let mut sip = Agent::new(sip, tokens.fork());
        sip.set_fence(Arc::<Config>::clone(&config));
        let addresses = address_options(&config);
        Gateway {
            config,
            sip,
            secured: Table::new(key),
            subscriptions,
            sessions,
            msrp,
            relay,
            legs: Legs::new(key),
            choice: Choice::new(key, CHOICES),
            handed: VecDeque::new(),
            given: false,
            links,
            tokens,
            messages,
            chats,
            presences,
            participants,
            occupants,
            invitations,
            calls,
            accounts,
            linked: Linked::new(key),
            registrations: Registrations::new(register::Config::default(), key),
            names,
            trunks: Trunks::new(shard == 0, key),
            trunks_due: !no_trunks,
            phones,
            whereabouts: Whereabouts::new(key),
            next_save: first_token,
            rates: Rates::new(key),
            addresses,
            out: VecDeque::new(),
            now: Time::ZERO,
            draining: false,
            told: subscription::Counts::default(),
        }
    }

    /// The shard that minted a stanza token.
    pub fn shard_of_token(token: StanzaToken) -> usize {
        (token >> 56) as usize
    }

    /// Takes a new configuration. What is under way goes on as it began. The streams must be the same as before: a change of
    /// [`Config::links`] needs a new gateway.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.each(|mapping, _| mapping.reconfigure(&config));
        self.sip.set_retry_after(config.limits.retry_after);
        self.sip.set_fence(Arc::<Config>::clone(&config));
        self.subscriptions.reconfigure(&config.subscriptions);
        self.sessions.reconfigure(&sessions::session_config(&config));
        self.msrp.reconfigure(sessions::msrp_config(&config, 0));
        self.relay.reconfigure(config.relay.clone());
        self.addresses = address_options(&config);
        self.phones.reconfigure(&config);
        self.config = config;
        self.trunks_due = true;
    }

    /// Lets the trunks act.
    fn trunks<R>(&mut self, act: impl FnOnce(&mut Trunks, &mut Yard<'_>) -> R) -> R {
        let Gateway { now, sip, tokens, out, trunks, next_save, .. } = self;
        act(trunks, &mut Yard { now: *now, agent: sip, tokens, out, next_save })
    }

    /// From now on nothing new is begun: it is refused as in overload. What is under way goes on; sessions are ended when nothing is on its way in
    /// them.
    pub fn drain(&mut self) {
        self.draining = true;
        self.each(|mapping, stage| mapping.drain(stage));
        self.trunks(Trunks::drain);
        self.settle();
    }

    /// Gives up what is under way and tells each sender: a SIP sender 503, an XMPP sender that no answer came. For an end that cannot
    /// wait any longer.
    pub fn abandon(&mut self, now: Time) {
        self.now = now;
        self.each(|mapping, stage| mapping.abandon(stage));
        self.settle();
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        match input {
            Input::Sip(message, flow) => self.sip.received(now, message, flow),
            Input::SipRejected(rejected, flow) => self.sip.rejected(now, rejected, flow),
            Input::SipSendFailed(id) => self.sip.send_failed(now, id),
            Input::SipConnectionLost(target, unsent) => {
                self.sip.connection_failed(now, &target, unsent);
                self.trunks(|trunks, yard| trunks.flow_lost(yard, &target));
            }
            Input::SipSecured { connection, names } => drop(self.secured.insert(connection, names)),
            Input::SipClosed(connection) => {
                self.phones.closed(connection);
                self.secured.remove(&connection);
                self.sip.flow_failed(now, connection);
            }
            Input::Looked { id, answer } => {
                if !self.trunks(|trunks, yard| trunks.looked(yard, id, &answer)) {
                    self.sip.located(now, id, &answer);
                }
            }
            Input::Stanza(link, stanza) => self.stanza(link, stanza),
            Input::Overheard(link, stanza) => self.overheard(link, &stanza),
            Input::LinkUp(link) => {
                self.links.up(link, &mut self.out);
                self.each(|mapping, stage| mapping.link_up(stage, link));
            }
            Input::LinkDown(link) => self.links.down(link),
            Input::Taken(token) => {
                if self.links.taken(token, &mut self.out) {
                    self.stanza_outcome(token, true);
                }
            }
            Input::Lost(token) => {
                if self.links.lost(now, token, &mut self.out) {
                    self.stanza_outcome(token, false);
                }
            }
            Input::Msrp(connection, arrival) => self.msrp.received(now, connection, arrival),
            Input::MsrpOpened(ticket, connection) => self.msrp.opened(now, ticket, connection),
            Input::MsrpSecured(connection, certificate) => self.msrp.secured(connection, certificate),
            Input::MsrpLost(connection) => self.msrp.lost(now, connection),
            Input::Relay { from, bytes } => self.relay.received(now, from, &bytes),
            Input::Restore { key, value } => self.restore(&key, &value),
            Input::Changed { key, value } => self.changed(&key, value.as_deref()),
            Input::Saved(token) => self.saved(token, true),
            Input::NotSaved(token) => self.saved(token, false),
        }
        self.settle();
    }

    /// Lets pass what is due at `now`.
    pub fn timeout(&mut self, now: Time) {
        self.now = now;
        self.sip.timeout(now);
        self.links.timeout(now, &mut self.out);
        self.msrp.timeout(now);
        self.relay.timeout(now);
        if self.trunks_due {
            self.trunks_due = false;
            let config = Arc::clone(&self.config);
            self.trunks(|trunks, yard| trunks.configure(yard, &config.trunks));
        }
        self.trunks(Trunks::timeout);
        self.phones.timeout(now);
        let (mut stage, _) = self.stage();
        stage.registering(Registrations::timeout);
        stage.events(Subscriptions::timeout);
        stage.sessions(Sessions::timeout);
        stage.legs(Legs::timeout);
        self.each(|mapping, stage| mapping.timeout(stage));
        self.settle();
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Gateway::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        let deadlines = [
            self.sip.deadline(),
            self.links.deadline(),
            self.subscriptions.deadline(),
            self.sessions.deadline(),
            self.msrp.deadline(),
            self.relay.deadline(),
            self.phones.deadline(),
            self.legs.deadline(),
            self.messages.deadline(),
            self.chats.deadline(),
            self.presences.deadline(),
            self.participants.deadline(),
            self.occupants.deadline(),
            self.invitations.deadline(),
            self.calls.deadline(),
            self.accounts.deadline(),
            self.registrations.deadline(),
            self.trunks.deadline(),
            // At once.
            self.trunks_due.then_some(Time::ZERO),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Brings what the SIP agent and the subscriptions have to say to whom it concerns, until nobody has anything left to say.
    fn settle(&mut self) {
        loop {
            if let Some(output) = self.sip.poll() {
                self.sip_says(output);
            } else if let Some(output) = self.msrp.poll() {
                self.msrp_says(output);
            } else if let Some(output) = self.relay.poll() {
                self.relay_says(output);
            } else if let Some(event) = self.sessions.poll() {
                self.session_says(event);
            } else if let Some(event) = self.legs.poll() {
                let mut event = Some(event);
                self.each(|mapping, stage| event = event.take().and_then(|event| mapping.leg(stage, event)));
            } else if let Some(handed) = self.handed.pop_front() {
                self.handed_over(handed);
            } else if let Some(event) = self.subscriptions.poll() {
                self.subscription_says(event);
            } else if let Some(event) = self.registrations.poll() {
                let mut event = Some(event);
                self.each(|mapping, stage| event = event.take().and_then(|event| mapping.registration(stage, event)));
            } else if !self.save_contacts() {
                return self.note_refusals();
            }
        }
    }

    fn handed_over(&mut self, handed: Handed) {
        match handed {
            Handed::Message(way, link, stanza) => {
                // Messages are always somebody's.
                self.given = true;
                drop(self.give(way, link, stanza));
                self.given = false;
            }
            Handed::Invitation(invitation) => self.invite(invitation),
        }
    }

    fn sip_says(&mut self, output: agent::Output) {
        match output {
            agent::Output::Send { to, bytes, client } => {
                if let (Some(client), SendTo::Target(target)) = (client, &to) {
                    self.trunks.sent(client, target);
                }
                self.out.push_back(Output::Sip { to, bytes, client });
            }
            agent::Output::Locate { id, question } => self.out.push_back(Output::Lookup { id, question }),
            agent::Output::Request { id, request, flow } => self.request(id, request, flow),
            agent::Output::Response { id, response } => {
                let trunk = self.trunks(|trunks, yard| trunks.response(yard, id, &response));
                let (mut stage, _) = self.stage();
                let taken = trunk
                    || stage.registering(|all, ground| all.response(ground, id, &response))
                    || stage.events(|events, ground| events.response(ground, id, &response))
                    || stage.sessions(|sessions, ground| sessions.response(ground, id, &response));
                // Of all that is asked, only INVITEs and their like have an interest in provisional responses.
                if !taken && response.code >= 200 {
                    self.outcome(id, Outcome::Response(response));
                }
            }
            agent::Output::Failed { id, why } => {
                let trunk = self.trunks(|trunks, yard| trunks.failed(yard, id, why));
                let (mut stage, _) = self.stage();
                let taken = trunk
                    || stage.registering(|all, ground| all.failed(ground, id, why))
                    || stage.events(|events, ground| events.failed(ground, id, why))
                    || stage.sessions(|sessions, ground| sessions.failed(ground, id, why));
                if !taken {
                    let refusal = match why {
                        Failure::Timeout => Refusal::SipTimeout,
                        Failure::Transport | Failure::Unknown => Refusal::SipTransport,
                        Failure::Nowhere => Refusal::NoRoute,
                    };
                    self.outcome(id, Outcome::Failed(refusal));
                }
            }
            // A held message is let go before its sender gives up.
            agent::Output::Cancelled { id, reason } => {
                if !self.subscriptions.cancelled(id) {
                    self.stage().0.sessions(|sessions, ground| sessions.cancelled(ground, id, reason));
                }
            }
            agent::Output::Ack { id, request, flow } => {
                // What an ACK answers is as good as its sender.
                let party = self.check_peer(&request, flow).is_ok_and(|(from, _)| self.is_party(&request, flow, &from));
                if party {
                    self.stage().0.sessions(|sessions, ground| sessions.acked(ground, id, request));
                }
            }
        }
    }

    fn relay_says(&mut self, output: ng::Output) {
        match output {
            ng::Output::Send { to, bytes } => self.out.push_back(Output::Relay { to, bytes }),
            ng::Output::Done { id, server, result } => {
                let relayed = Relayed { id, server, result };
                self.any(|mapping, stage| mapping.relayed(stage, &relayed));
            }
        }
    }

    fn outcome(&mut self, id: ClientId, outcome: Outcome) {
        let mut outcome = Some(outcome);
        self.each(|mapping, stage| outcome = outcome.take().and_then(|outcome| mapping.outcome(stage, id, outcome)));
    }

    fn stanza_outcome(&mut self, token: StanzaToken, taken: bool) {
        self.any(|mapping, stage| mapping.stanza_outcome(stage, token, taken));
    }

    /// What a mapping acts with, and the list of the mappings.
    fn stage(&mut self) -> (Stage<'_>, [&mut dyn Mapping; 8]) {
        let stage = Stage {
            now: self.now,
            config: &self.config,
            sip: &mut self.sip,
            subscriptions: &mut self.subscriptions,
            sessions: &mut self.sessions,
            msrp: &mut self.msrp,
            relay: &mut self.relay,
            phones: &self.phones,
            trunks: &self.trunks,
            legs: &mut self.legs,
            choice: &mut self.choice,
            handed: &mut self.handed,
            links: &mut self.links,
            tokens: &mut self.tokens,
            out: &mut self.out,
            next_save: &mut self.next_save,
            rates: &mut self.rates,
            linked: &mut self.linked,
            registrations: &mut self.registrations,
            whereabouts: &mut self.whereabouts,
            secured: &self.secured,
            given: self.given,
        };
        let rooms: [&mut dyn Mapping; 3] = [&mut self.participants, &mut self.occupants, &mut self.invitations];
        let [participants, occupants, invitations] = rooms;
        let (messages, chats) = (&mut self.messages, &mut self.chats);
        (
            stage,
            [
                &mut self.accounts,
                participants,
                occupants,
                &mut self.calls,
                invitations,
                messages,
                chats,
                &mut self.presences,
            ],
        )
    }

    /// Lets each mapping act.
    fn each(&mut self, mut act: impl FnMut(&mut dyn Mapping, &mut Stage<'_>)) {
        let (mut stage, mappings) = self.stage();
        mappings.into_iter().for_each(|mapping| act(mapping, &mut stage));
    }

    /// Lets the mappings act until one says that it was concerned; whether one did.
    fn any(&mut self, mut act: impl FnMut(&mut dyn Mapping, &mut Stage<'_>) -> bool) -> bool {
        let (mut stage, mappings) = self.stage();
        mappings.into_iter().any(|mapping| act(mapping, &mut stage))
    }

    /// A request that the SIP agent found in order.
    fn request(&mut self, id: ServerId, mut request: Request, flow: Flow) {
        if !self.proves_itself(id, &request, flow) {
            return;
        }
        if request.method == Method::Register {
            return self.register(id, request, flow);
        }
        let events = self.is_of_events(&request);
        if request.method == Method::Options && self.sessions.find(&request).is_some() {
            // Some ask so whether a session is still there.
            return self.unclaimed_request(id, &request);
        }
        let aside = self.says_aside(&mut request);
        self.call_room_by_name(&mut request);
        if !self.is_of_sessions(&request)
            && !aside
            && (request.headers.to_tag().is_some() || request.method == Method::Notify && events)
        {
            return self.request_in_dialog(id, request, flow, events);
        }
        if self.is_of_sessions(&request) {
            return self.request_to_sessions(id, request, flow);
        }
        let message = self.messages.claims_request(&request);
        if !message && !events {
            return self.unclaimed_request(id, &request);
        }
        if message {
            self.out.push_back(Output::Note(Note::Received { from: Side::Sip }));
        }
        match self.accepting().and_then(|()| self.check_request(&request, flow)) {
            Ok((from, ..)) if aside && !self.is_party(&request, flow, &from) => {
                self.refuse_request(id, &Refusal::NoDialog, message);
            }
            Ok((from, to, link)) => {
                self.hear_name(&request, flow, &from, &to);
                let incoming = Incoming { id, request, flow, from, to, link };
                let claims = |mapping: &dyn Mapping, incoming: &Incoming| mapping.claims_request(&incoming.request);
                let act = |mapping: &mut dyn Mapping, stage: &mut Stage<'_>, claimed| mapping.request(stage, claimed);
                if let Some(unclaimed) = self.hand(incoming, claims, act) {
                    self.unclaimed_request(unclaimed.id, &unclaimed.request);
                }
            }
            Err(refusal) => {
                self.note_sender(&refusal, flow);
                self.refuse_request(id, &refusal, message);
            }
        }
    }

    /// A request was refused by who sent it. By UDP anybody may have; and what a server passes on it has not made up.
    pub(super) fn note_sender(&mut self, refusal: &Refusal, flow: Flow) {
        let spoofed = matches!(refusal, Refusal::SpoofedDomain | Refusal::SenderNotAllowed);
        if spoofed && flow.transport.reliable() && !self.passes_on(flow) {
            self.out.push_back(Output::Offence(flow, Offence::Spoof));
        }
    }

    fn refuse_request(&mut self, id: ServerId, refusal: &Refusal, message: bool) {
        let (mut stage, _) = self.stage();
        stage.note_refused(refusal, Side::Sip, message);
        stage.sip.respond(stage.now, id, refusal.response());
    }

    fn accepting(&self) -> Result<(), Refusal> {
        if self.draining { Err(Refusal::Overload { retry_after: self.config.limits.retry_after }) } else { Ok(()) }
    }
}

fn address_options(config: &Config) -> address::Options {
    address::Options { phone_domain: config.phone_domain.clone() }
}

/// How many SIP users are remembered who refuse sessions.
const CHOICES: usize = 20_000;
