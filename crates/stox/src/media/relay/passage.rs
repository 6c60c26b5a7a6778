//! A call's place in a relay: what is sent through it, and whether it is still there.

use super::admit::{admit, bundle_first, is_bundle};
use super::{Means, Style};
use crate::error::Refusal;
use crate::mapping::{Relayed, Side, Stage};
use base::{Str, Time};
use bodies::sdp::Sdp;
use bodies::sdp::rtp::{Group, Mid, Value as _};
use ng::{AskId, Exchange, Failure, Request};
use std::net::SocketAddr;
use std::time::Duration;

/// How many checks in a row may come to nothing before the relay counts as gone: datagrams get lost, and so do a few seconds.
const MISSED: u32 = 2;

/// How soon a check is made again that came to nothing.
const AGAIN: Duration = Duration::from_secs(8);

/// The characters of a call's name at its relay: who knows the name can end the call there, so it is never said elsewhere.
const NAME: usize = 26;

/// What the relay has said.
#[derive(Debug, PartialEq)]
pub(in crate::media) enum Heard {
    /// The description that was sent has come out, or not.
    Description(Result<Box<Sdp>, Refusal>),
    /// Nothing to act on.
    Nothing,
    /// The relay has lost the call, or is lost itself: nobody hears the other any more.
    Gone,
}

/// A description on its way.
#[derive(Debug)]
struct Waiting {
    id: AskId,
    from: Side,
    offer: bool,
    media: usize,
}

/// A call's place in a relay.
#[derive(Debug)]
pub(in crate::media) struct Passage {
    name: Str,
    style: Style,
    /// Who has it; None before the first offer has come out.
    server: Option<SocketAddr>,
    /// Who has made the offer that is, or was, under way.
    offerer: Side,
    waiting: Option<Waiting>,
    check: Option<AskId>,
    check_at: Option<Time>,
    missed: u32,
    /// The relay does not know it any more.
    gone: bool,
    /// The XMPP user bundles.
    bundles: bool,
    /// The SIP user names media.
    mids: bool,
}

impl Passage {
    /// A place that nobody knows of yet. `began` makes the first offer.
    pub(in crate::media) fn new(stage: &mut Stage<'_>, style: Style, began: Side) -> Passage {
        Passage {
            name: stage.tokens.token(NAME),
            style,
            server: None,
            offerer: began,
            waiting: None,
            check: None,
            check_at: None,
            missed: 0,
            gone: false,
            bundles: true,
            mids: true,
        }
    }

    /// What the relay calls it.
    pub(in crate::media) fn name(&self) -> &Str {
        &self.name
    }

    /// What the SIP user is shown.
    pub(in crate::media) fn style(&self) -> Style {
        self.style
    }

    /// Sends a description through: an offer, or the answer to the one before. What becomes of it [`Passage::relayed`] says.
    ///
    /// # Errors
    /// It has addresses that the relay may not be led to; there is no relay, or it has too much to do.
    pub(in crate::media) fn send(
        &mut self,
        stage: &mut Stage<'_>,
        means: Means<'_>,
        from: Side,
        offer: bool,
        sdp: Sdp,
    ) -> Result<AskId, Refusal> {
        if self.waiting.is_some() {
            return Err(failed(stage, &Failure::Busy));
        }
        match from {
            Side::Xmpp => self.bundles = Group::all(&sdp.attributes).any(|group| is_bundle(&group)),
            Side::Sip => self.mids = sdp.media.iter().any(|media| media.attributes.has(Mid::NAME)),
        }
        let config = stage.config;
        // Where a relay is asked it is not to be led to either: what it sends there it would take for a question of ours. RTCP goes to the next port where
        // nothing else is said (RFC 3550 §11).
        let asked = |port: u16| {
            let doors = [Some(port), port.checked_add(1)];
            port == 0 || config.relay.servers.iter().any(|server| doors.contains(&Some(server.port())))
        };
        let sdp = admit(sdp, |at| config.may_lead_to(at.ip()) && !asked(at.port()))?;
        if offer {
            self.offerer = from;
        }
        let towards = other(from);
        let exchange = Box::new(Exchange {
            call: self.name.clone(),
            from: tag(self.offerer),
            to: Some(tag(other(self.offerer))),
            sdp: sdp.to_bytes(),
            rewriting: self.style.rewriting(towards, means.options.interfaces.as_ref()),
        });
        let request = if offer { Request::Offer(exchange) } else { Request::Answer(exchange) };
        let id = stage.relay.ask(stage.now, &request, self.server).map_err(|why| failed(stage, &why))?;
        self.waiting = Some(Waiting { id, from, offer, media: sdp.media.len() });
        Ok(id)
    }

    /// Something that was asked has ended. None: it was not asked here.
    pub(in crate::media) fn relayed(&mut self, stage: &Stage<'_>, means: Means<'_>, done: &Relayed) -> Option<Heard> {
        if self.check == Some(done.id) {
            self.check = None;
            return Some(self.checked(means, done));
        }
        let waiting = self.waiting.take_if(|waiting| waiting.id == done.id)?;
        let sdp = match &done.result {
            Ok(sdp) => Sdp::parse(sdp).map_err(|_| Failure::Garbled),
            Err(why) => Err(why.clone()),
        };
        // As many media as went in, in their order (RFC 3264 §6).
        let sdp = sdp.and_then(|sdp| if sdp.media.len() == waiting.media { Ok(sdp) } else { Err(Failure::Garbled) });
        Some(Heard::Description(match sdp {
            Ok(mut sdp) => {
                self.server = Some(done.server);
                self.check_at = Some(means.now + means.options.check);
                match waiting.from {
                    Side::Sip if waiting.offer || self.bundles => bundle_first(&mut sdp),
                    // Names that the relay has made up mean nothing to whoever has offered without any.
                    Side::Xmpp if !waiting.offer && !self.mids => {
                        sdp.media.iter_mut().for_each(|media| media.attributes.remove(Mid::NAME));
                    }
                    Side::Sip | Side::Xmpp => {}
                }
                Ok(Box::new(sdp))
            }
            Err(why) => Err(failed(stage, &why)),
        }))
    }

    fn checked(&mut self, means: Means<'_>, done: &Relayed) -> Heard {
        match &done.result {
            Ok(_) => {
                self.missed = 0;
                self.check_at = Some(means.now + means.options.check);
            }
            Err(Failure::Unknown) => {
                self.gone = true;
                return Heard::Gone;
            }
            Err(_) => {
                self.missed += 1;
                if self.missed >= MISSED {
                    return Heard::Gone;
                }
                self.check_at = Some(means.now + AGAIN);
            }
        }
        Heard::Nothing
    }

    /// When [`Passage::timeout`] wants to be called.
    pub(in crate::media) fn deadline(&self) -> Option<Time> {
        self.check_at
    }

    /// Asks the relay whether it still knows of the call, if that is due. It forgets calls that are silent for long, and all of them when it is
    /// started anew; nobody tells the two who wait for each other's voice.
    pub(in crate::media) fn timeout(&mut self, stage: &mut Stage<'_>, means: Means<'_>) -> Option<AskId> {
        if self.check_at.is_none_or(|at| at > stage.now) {
            return None;
        }
        let query = Request::Query { call: self.name.clone() };
        // Where too much is asked already this can wait.
        self.check = self.server.and_then(|server| stage.relay.ask(stage.now, &query, Some(server)).ok());
        self.check_at = if self.check.is_some() { None } else { Some(stage.now + means.options.check) };
        self.check
    }

    /// The call is over: the relay may forget it. What it was asked of the call and is asked no more.
    pub(in crate::media) fn end(self, stage: &mut Stage<'_>) -> Vec<AskId> {
        // One whose first offer is still under way is forgotten when its answer comes.
        let Some(server) = self.server else { return Vec::new() };
        let asked: Vec<AskId> = self.waiting.map(|waiting| waiting.id).into_iter().chain(self.check).collect();
        // Whatever comes to the relay behind the last word would make the call anew.
        asked.iter().for_each(|id| stage.relay.cancel(*id));
        if !self.gone {
            forget(stage, self.name, server);
        }
        asked
    }
}

/// Lets the relay forget a call; what becomes of that nobody needs to know.
pub(in crate::media) fn forget(stage: &mut Stage<'_>, name: Str, server: SocketAddr) {
    let _ = stage.relay.ask(stage.now, &Request::Delete { call: name }, Some(server));
}

/// What the relay knows a side by.
fn tag(side: Side) -> Str {
    Str::const_new(match side {
        Side::Sip => "sip",
        Side::Xmpp => "xmpp",
    })
}

fn other(side: Side) -> Side {
    match side {
        Side::Sip => Side::Xmpp,
        Side::Xmpp => Side::Sip,
    }
}

/// What both sides are told.
fn failed(stage: &Stage<'_>, why: &Failure) -> Refusal {
    let why = match why {
        Failure::None => return super::NEEDED,
        Failure::TooLong => {
            return Refusal::NotAcceptableHere { warning: 399, why: "The description is too long for the media relay" };
        }
        Failure::Refused(_) => {
            return Refusal::NotAcceptableHere { warning: 399, why: "The media relay refuses the description" };
        }
        Failure::Silent => "The media relay does not answer",
        Failure::Full => "The media relay has no room",
        Failure::Garbled => "The media relay makes no sense",
        Failure::Busy => "The media relay is too slow",
        Failure::Unknown => "The media relay has lost the call",
    };
    Refusal::Relay { why, retry_after: stage.config.limits.retry_after }
}
