//! The gateway as a machine: one input, drain all outputs, next input.

use crate::address;
use crate::config::{Config, LinkId};
use crate::error::Refusal;
use crate::links::{Links, StanzaToken};
use crate::mapping::{Incoming, Mapping, Outcome, Side, Stage};
use crate::message::Messages;
use base::{HashKey, Time, Tokens};
use sip::agent::{self, Agent, ClientId, Failure, Flow, SendTo, ServerId, Target};
use sip::{Message, Method, Rejected, Request, Response, Uri};
use std::collections::VecDeque;
use std::sync::Arc;
use xmpp::error::StanzaError;
use xmpp::stanza::{Kind, Stanza};

/// What the shell hands in.
#[derive(Debug)]
pub enum Input {
    /// A SIP message and where it came from.
    Sip(Message, Flow),
    /// Bytes that came as a SIP message and are none.
    SipRejected(Rejected, Flow),
    /// A request of ours could not be sent.
    SipSendFailed(ClientId),
    /// A connection for requests to this target has ended: what was sent over it has no answer any more.
    SipConnectionLost(Target),
    /// A stanza from a component stream.
    Stanza(LinkId, Stanza),
    /// A component stream is authenticated.
    LinkUp(LinkId),
    /// A component stream ended.
    LinkDown(LinkId),
    /// The server took a stanza.
    Taken(StanzaToken),
    /// The stream ended, or refused to carry more, before the server took a stanza.
    Lost(StanzaToken),
}

/// What the shell is asked to do.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message. If that fails for a request, the shell says [`Input::SipSendFailed`].
    Sip {
        /// Where to.
        to: SendTo,
        /// The message.
        bytes: bytes::Bytes,
        /// The request it belongs to, if it is one of ours.
        client: Option<ClientId>,
    },
    /// Send a stanza and say what became of it, [`Input::Taken`] or [`Input::Lost`].
    Stanza {
        /// The stream.
        link: LinkId,
        /// The stanza in the namespace of component streams.
        bytes: Vec<u8>,
        /// Its name.
        token: StanzaToken,
    },
    /// Count something.
    Note(Note),
}

/// Something worth counting or logging. No note carries a body; none carries an address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note {
    /// A message arrived on one side.
    Received {
        /// The side it came from.
        from: Side,
    },
    /// A message was handed over to the other side.
    Delivered {
        /// The side it went to.
        to: Side,
        /// How long the gateway had it, in microseconds.
        micros: u64,
    },
    /// The other side refused a message: the SIP status that its sender got or that was translated.
    Failed {
        /// The side that refused.
        by: Side,
        /// The SIP status of the refusal.
        code: u16,
    },
    /// The gateway itself refused something.
    Refused {
        /// The refusal's name.
        refusal: &'static str,
        /// The side that sent what was refused.
        towards: Side,
        /// Whether it was a message, of which a [`Note::Received`] told.
        message: bool,
    },
    /// A stanza that may not be answered was dropped.
    Ignored {
        /// Why.
        why: &'static str,
    },
    /// An answer was dropped because a stream was down for too long.
    AnswerDropped,
}

/// The gateway: one shard of it, and all of it in tests.
#[derive(Debug)]
pub struct Gateway {
    config: Arc<Config>,
    sip: Agent,
    links: Links,
    tokens: Tokens,
    messages: Messages,
    addresses: address::Options,
    out: VecDeque<Output>,
    now: Time,
    draining: bool,
}

impl Gateway {
    /// A gateway. `shard` names it in what it mints; `tokens` is its own source.
    pub fn new(config: Arc<Config>, sip: agent::Config, mut tokens: Tokens) -> Gateway {
        let shard = sip.shard;
        let key = HashKey::new(tokens.u64(), tokens.u64());
        // A gateway that takes another one's place must not take that one's outcomes for its own.
        let first_token = u64::from(shard) << 56 | key.fingerprint(&[b"stanza tokens"]).bits() as u64 >> 9;
        let links = Links::new(&config, key, first_token);
        let messages = Messages::new(&config, key);
        let sip = Agent::new(sip, tokens.fork());
        let addresses = address_options(&config);
        Gateway {
            config,
            sip,
            links,
            tokens,
            messages,
            addresses,
            out: VecDeque::new(),
            now: Time::ZERO,
            draining: false,
        }
    }

    /// The shard that minted a stanza token.
    pub fn shard_of_token(token: StanzaToken) -> usize {
        (token >> 56) as usize
    }

    /// Takes a new configuration. What is under way goes on as it began. The streams must be the same as before: a change of
    /// [`Config::links`] needs a new gateway.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.messages.reconfigure(&config);
        self.sip.set_retry_after(config.limits.retry_after);
        self.addresses = address_options(&config);
        self.config = config;
    }

    /// From now on nothing new is begun: it is refused as in overload. What is under way goes on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Gives up what is under way and tells each sender: a SIP sender 503, an XMPP sender that no answer came. For an end that cannot
    /// wait any longer.
    pub fn abandon(&mut self, now: Time) {
        self.now = now;
        self.act(Messages::abandon);
        self.settle();
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        match input {
            Input::Sip(message, flow) => self.sip.received(now, message, flow),
            Input::SipRejected(rejected, flow) => self.sip.rejected(now, rejected, flow),
            Input::SipSendFailed(id) => self.sip.send_failed(now, id),
            Input::SipConnectionLost(target) => self.sip.connection_failed(now, target),
            Input::Stanza(link, stanza) => self.stanza(link, stanza),
            Input::LinkUp(link) => self.links.up(link, &mut self.out),
            Input::LinkDown(link) => self.links.down(link),
            Input::Taken(token) => {
                if self.links.taken(token, &mut self.out) {
                    self.act(|messages, stage| messages.stanza_outcome(stage, token, true));
                }
            }
            Input::Lost(token) => {
                if self.links.lost(now, token, &mut self.out) {
                    self.act(|messages, stage| messages.stanza_outcome(stage, token, false));
                }
            }
        }
        self.settle();
    }

    /// Lets pass what is due at `now`.
    pub fn timeout(&mut self, now: Time) {
        self.now = now;
        self.sip.timeout(now);
        self.links.timeout(now, &mut self.out);
        self.act(Mapping::timeout);
        self.settle();
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Gateway::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        [self.sip.deadline(), self.links.deadline(), self.messages.deadline()].into_iter().flatten().min()
    }

    /// The SIP side's counts, for metrics.
    pub fn sip_counts(&self) -> agent::Counts {
        self.sip.counts()
    }

    /// The messages under way in both directions, for metrics and for an orderly end.
    pub fn under_way(&self) -> usize {
        self.messages.under_way()
    }

    /// The messages from XMPP under way: where they are many, it is better not to read any more than to refuse them.
    pub fn under_way_to_sip(&self) -> usize {
        self.messages.under_way_to_sip()
    }

    /// Brings what the SIP agent has to say to whom it concerns, until nobody has anything left to say.
    fn settle(&mut self) {
        while let Some(output) = self.sip.poll() {
            match output {
                agent::Output::Send { to, bytes, client } => self.out.push_back(Output::Sip { to, bytes, client }),
                agent::Output::Request { id, request, flow } => self.request(id, request, flow),
                agent::Output::Response { id, response } => self.response(id, response),
                agent::Output::Failed { id, why } => {
                    let refusal = match why {
                        Failure::Timeout => Refusal::SipTimeout,
                        Failure::Transport => Refusal::SipTransport,
                    };
                    self.act(|messages, stage| messages.outcome(stage, id, Outcome::Failed(refusal)));
                }
                // A held request is let go before its sender gives up, and INVITEs are never accepted yet.
                agent::Output::Cancelled { .. } | agent::Output::Ack { .. } => {}
            }
        }
    }

    fn response(&mut self, id: ClientId, response: Response) {
        if response.code >= 200 {
            self.act(|messages, stage| messages.outcome(stage, id, Outcome::Response(response)));
        }
    }

    /// Lets the mapping act. With one mapping, this is where the list is.
    fn act<R>(&mut self, f: impl FnOnce(&mut Messages, &mut Stage<'_>) -> R) -> R {
        let mut stage = Stage {
            now: self.now,
            config: &self.config,
            sip: &mut self.sip,
            links: &mut self.links,
            tokens: &mut self.tokens,
            out: &mut self.out,
        };
        f(&mut self.messages, &mut stage)
    }

    /// A request that the SIP agent found in order.
    fn request(&mut self, id: ServerId, request: Request, flow: Flow) {
        if !self.messages.claims_request(&request) {
            return self.unclaimed_request(id, &request);
        }
        self.out.push_back(Output::Note(Note::Received { from: Side::Sip }));
        match self.accepting().and_then(|()| self.check_request(&request, flow)) {
            Ok((from, to, link)) => {
                let incoming = Incoming { id, request, from, to, link };
                self.act(|messages, stage| messages.request(stage, incoming));
            }
            Err(refusal) => self.act(|_, stage| stage.refuse_request(id, &refusal)),
        }
    }

    /// What is no mapping's business: OPTIONS is answered truthfully, all else is refused by name.
    fn unclaimed_request(&mut self, id: ServerId, request: &Request) {
        match request.method {
            Method::Options => {
                // RFC 3261 §11: an answer about a user is the answer an INVITE would get; about the gateway it is its own.
                let answer = self.sip.options_answer(request, crate::message::ACCEPT);
                self.sip.respond(self.now, id, answer);
            }
            _ => {
                let refusal = match request.method {
                    Method::Subscribe | Method::Publish => Refusal::BadEvent,
                    _ => Refusal::MethodNotAllowed { allow: self.sip.allow() },
                };
                self.act(|_, stage| {
                    stage.note_refused(&refusal, Side::Sip, false);
                    stage.sip.respond(stage.now, id, refusal.response());
                });
            }
        }
    }

    fn accepting(&self) -> Result<(), Refusal> {
        if self.draining { Err(Refusal::Overload { retry_after: self.config.limits.retry_after }) } else { Ok(()) }
    }

    /// Who may speak, and to whom: RFC 7247 §8, and no open relay.
    fn check_request(
        &self,
        request: &Request,
        flow: Flow,
    ) -> Result<(xmpp::jid::Jid, xmpp::jid::Jid, LinkId), Refusal> {
        let to_header = request.headers.to().map_err(|_| Refusal::BadRequest("Bad To"))?;
        if [&request.uri, &to_header.uri].into_iter().any(is_sips) {
            return Err(Refusal::SipsNotAllowed);
        }
        let from_header = request.headers.from().map_err(|_| Refusal::BadRequest("Bad From"))?;
        let from = address::to_jid(&from_header.uri, &self.addresses).map_err(Refusal::Sender)?;
        if self.config.xmpp_domains.iter().any(|d| d == from.domain()) {
            return Err(Refusal::SpoofedDomain);
        }
        let source = flow.remote.ip();
        let allowed =
            self.config.peers.iter().any(|p| p.source.contains(source) && p.domains.iter().any(|d| d == from.domain()));
        let link = self.config.links.iter().position(|l| l.domain == from.domain());
        let (true, Some(link)) = (allowed, link) else { return Err(Refusal::SenderNotAllowed) };
        if from.local().is_none() {
            return Err(Refusal::SenderNotAllowed);
        }
        // Most XMPP servers still apply stringprep, which would make another user of this one.
        address::keeps_its_name(&from).map_err(Refusal::Sender)?;
        let to = address::to_jid(&request.uri, &self.addresses).map_err(Refusal::Address)?;
        if !self.config.xmpp_domains.iter().any(|d| d == to.domain()) {
            return Err(Refusal::NotServed);
        }
        // The gateway ends the SIP path and begins an XMPP one: the request is forwarded in all but name (RFC 5393, RFC 7247 §8).
        if request.headers.max_forwards().ok().flatten() == Some(0) {
            return Err(Refusal::TooManyHops);
        }
        Ok((from, to, link))
    }

    /// A stanza from a component stream, whose server vouches for its `from`.
    fn stanza(&mut self, link: LinkId, stanza: Stanza) {
        if stanza.is_error() {
            return self.error_stanza(&stanza);
        }
        // An answer would have to come from an address that is not ours, for which servers end the stream (invalid-from).
        let ours = self.config.links.get(link).zip(stanza.to.as_ref()).is_some_and(|(l, to)| to.domain() == l.domain);
        if !ours {
            return self.out.push_back(Output::Note(Note::Ignored { why: "stanza to a foreign domain" }));
        }
        if self.messages.claims_stanza(&stanza) {
            self.out.push_back(Output::Note(Note::Received { from: Side::Xmpp }));
        }
        if let Err(refusal) = self.check_stanza(link, &stanza) {
            return self.act(|_, stage| stage.refuse_stanza(link, &stanza, &refusal));
        }
        if stanza.kind == Kind::Iq {
            let identity =
                xmpp::agent::Identity { domain: &self.config.links[link].domain, version: &self.config.version };
            if let Some(answer) = xmpp::agent::answer(&identity, &stanza) {
                self.links.answer(link, &answer, &mut self.out);
            }
            return;
        }
        if let Err(refusal) = self.accepting() {
            return self.act(|_, stage| stage.refuse_stanza(link, &stanza, &refusal));
        }
        if self.messages.claims_stanza(&stanza) {
            self.act(|messages, stage| messages.stanza(stage, link, stanza));
        } else {
            self.unclaimed_stanza(link, &stanza);
        }
    }

    fn error_stanza(&mut self, stanza: &Stanza) {
        let Some(error) = StanzaError::from_stanza(stanza) else { return };
        if !self.act(|messages, stage| messages.error(stage, stanza, &error)) {
            self.out.push_back(Output::Note(Note::Ignored { why: "error to nothing of ours" }));
        }
    }

    /// Presence has no mapping: a subscription is refused, all else means nothing to anybody here (RFC 6121 §3.1.3, §4).
    fn unclaimed_stanza(&mut self, link: LinkId, stanza: &Stanza) {
        let refusable = stanza.kind == Kind::Message || stanza.type_.as_deref() == Some("subscribe");
        if refusable {
            self.act(|_, stage| stage.refuse_stanza(link, stanza, &Refusal::NotSupported));
        } else {
            self.out.push_back(Output::Note(Note::Ignored { why: "presence" }));
        }
    }

    fn check_stanza(&self, link: LinkId, stanza: &Stanza) -> Result<(), Refusal> {
        let Some(l) = self.config.links.get(link) else { return Err(Refusal::NotServed) };
        let Some(from) = &stanza.from else { return Err(Refusal::BadRequest("from is missing")) };
        // A stanza from a SIP domain of ours has come round a loop, or lies.
        if self.config.links.iter().any(|l| l.domain == from.domain()) {
            return Err(Refusal::SpoofedDomain);
        }
        if !l.allow_from.is_empty() && !l.allow_from.iter().any(|d| d == from.domain()) {
            return Err(Refusal::SenderNotAllowed);
        }
        Ok(())
    }
}

/// RFC 7247 §8: a SIPS To or Request-URI asks for TLS on all hops, which XMPP cannot promise.
fn is_sips(uri: &Uri) -> bool {
    uri.scheme() == "sips"
}

fn address_options(config: &Config) -> address::Options {
    address::Options { phone_domain: config.phone_domain.clone() }
}
