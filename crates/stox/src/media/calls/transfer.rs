//! Calls that are passed on: XEP-0251 <-> REFER in the dialog (RFC 3515, RFC 5589), Referred-By (RFC 3892) and Replaces (RFC 3891).
//!
//! A client that is told to call somebody of the SIP side gets a ticket, as the `sid` of the transfer: what a Replaces header is to say, sealed together with
//! who has told whom to call whom. It is nothing that the client would have to understand, and comes back in its session-initiate. So any shard can
//! write Referred-By and Replaces into the INVITE, and nobody can make up either.

use super::Calls;
use super::call::{Asked, CallId, State};
use super::info::told_of;
use crate::address::{self, Scheme};
use crate::config::{Config, LinkId};
use crate::error::{self, Refusal};
use crate::mapping::Stage;
use base::{HashKey, Str};
use bodies::sipfrag::{self, StatusLine};
use sip::agent::{Flow, ServerId};
use sip::subscription::{Body, By, Event, REFER, Reason as Why, State as Told, Subscribe, UsageId};
use sip::uri::{encode_param, percent_decode};
use sip::{Cause, Name, NameAddr, Request, Response, Uri};
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::jingle::{self, Info, Jingle, Reason};
use xmpp::ext::transfer::Transfer;
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How long we want to hear what has become of a REFER of ours, in seconds: as long as a telephone may ring.
const EXPIRES: u32 = 180;
/// The longest Replaces that is passed on, in bytes: with its seal it is as long as the name of a session may be.
const MAX_REPLACES: usize = 200;

/// A call that is being passed on, by the usage of its dialog.
#[derive(Debug)]
pub(super) enum Passed {
    /// The XMPP user of this call does so: the phone was sent a REFER, and this iq waits for its answer.
    ByXmpp(CallId, LinkId, Option<Box<Stanza>>),
    /// The SIP user does so, and the client has heard of it: the one NOTIFY is yet to be said.
    BySip,
}

/// The transfer that a session-info tells of, if it does.
pub(super) fn wish(jingle: &Jingle) -> Option<Option<Transfer>> {
    told_of(jingle, Transfer::is).map(Transfer::parse)
}

/// By whom a SIP user was told to call, as an INVITE says it: somebody for whom whoever has sent it may speak.
pub(super) fn of_invite(stage: &Stage<'_>, request: &Request, flow: Flow) -> Option<Box<Transfer>> {
    let config = stage.config;
    let by = jid(config, &request.headers.referred_by().ok().flatten()?.uri)?.bare();
    let mut peers = config.peers_of(flow, stage.secured);
    let own = config.links.iter().any(|link| link.domain == by.domain());
    let may = own && peers.any(|peer| peer.domains.iter().any(|domain| domain == by.domain()));
    may.then(|| Box::new(Transfer { from: Some(by), ..Transfer::default() }))
}

/// What `by` has told `user` to do, for whoever knows the key: to call `to`, in place of this call.
fn seal(key: HashKey, user: &Jid, to: &Jid, by: &Jid, replaces: &str) -> String {
    let [user, to, by] = [user, to, by].map(|jid| jid.bare().to_string());
    let print = key.fingerprint(&[b"transfer", user.as_bytes(), to.as_bytes(), by.as_bytes(), replaces.as_bytes()]);
    format!("{:032x}", print.bits())
}

/// What the INVITE says of that.
pub(super) fn headers(transfer: &Transfer) -> Vec<(Name, Str)> {
    let by = transfer.from.as_ref().and_then(|by| address::to_uri(&by.bare(), Scheme::Sip).ok());
    let by = by.map(|by| (Name::ReferredBy, base::format_compact!("<{by}>")));
    let replaces = transfer.sid.as_ref().map(|replaces| (Name::Replaces, replaces.clone()));
    by.into_iter().chain(replaces).collect()
}

impl Calls {
    /// By whom a client was told to call, and in place of what, as its session-initiate says it: what a ticket of ours proves.
    pub(super) fn ticket(&self, from: &Jid, to: &Jid, jingle: &Jingle) -> Option<Box<Transfer>> {
        let said = jingle.other.iter().find(|e| Transfer::is(e)).and_then(Transfer::parse)?;
        let (by, sid) = (said.from?.bare(), said.sid?);
        let (proof, replaces) = sid.split_once('~')?;
        let sound =
            (replaces.is_empty() || is_replaces(replaces)) && proof == seal(self.seal(), from, to, &by, replaces);
        let sid = Some(Str::from(replaces)).filter(|replaces| !replaces.is_empty());
        sound.then(|| Box::new(Transfer { from: Some(by), to: None, sid }))
    }

    fn seal(&self) -> HashKey {
        self.options.seal.unwrap_or(self.key)
    }

    /// The XMPP user passes the SIP user on.
    pub(super) fn pass_on(&mut self, stage: &mut Stage<'_>, id: CallId, stanza: &Stanza, wish: Option<Transfer>) {
        let Some(link) = self.calls.get(&id).map(|call| call.link) else { return };
        if let Err(error) = self.try_pass_on(stage, id, stanza, wish) {
            self.reply(stage, link, stanza, Err(*error));
        }
    }

    fn try_pass_on(
        &mut self,
        stage: &mut Stage<'_>,
        id: CallId,
        stanza: &Stanza,
        wish: Option<Transfer>,
    ) -> Result<(), Box<StanzaError>> {
        let own = |refusal: Refusal| Box::new(refusal.stanza_error());
        let condition = |condition| Box::new(StanzaError::new(condition));
        let wish = wish.ok_or_else(|| condition(Condition::BadRequest))?;
        let to = wish.to.ok_or_else(|| condition(Condition::BadRequest))?;
        let Some(call) = self.calls.get(&id) else { return Ok(()) };
        let session = call.session.filter(|_| matches!(call.state, State::Active));
        let session = session.ok_or_else(|| Box::new(jingle::Error::OutOfOrder.to_stanza_error()))?;
        stage.rate(&call.theirs).map_err(own)?;
        if !is_ours(stage.config, &to) {
            return Err(own(Refusal::NotServed));
        }
        // A phone follows a REFER on its owner's account: nobody makes it call the telephone network.
        let dialled = stage.config.numbers.dial(&to);
        let outside = dialled.is_some_and(|dialled| dialled.uri.host.to_string() != to.domain());
        if outside || to.local().is_some_and(|local| local.starts_with('+')) {
            return Err(condition(Condition::NotAllowed));
        }
        let link = call.link;
        let whom = stage.config.numbers.to_uri(&to.bare()).map_err(|e| own(Refusal::Address(e)))?;
        let speaker = stage.voice(&call.theirs.bare(), &call.ours).map_err(own)?.from;
        let remote = stage.config.numbers.to_uri(&call.ours.bare()).map_err(|e| own(Refusal::Address(e)))?;
        // Where this shard has the call that the new one replaces, the phone learns its name; else it just calls.
        let other = wish.sid.as_ref().and_then(|sid| self.named(&to, &call.theirs, sid));
        let other = other.and_then(|id| self.calls.get(&id)).filter(|call| matches!(call.state, State::Active));
        let other = other.and_then(|call| call.session);
        let replaces = other.and_then(|other| stage.sessions.dialog(other)).map(|dialog| {
            let text = format!("{};to-tag={};from-tag={}", dialog.call_id, dialog.remote_tag, dialog.local_tag);
            base::format_compact!("?Replaces={}", encode_param(text.as_bytes()))
        });
        let overload = Refusal::Overload { retry_after: stage.config.limits.retry_after };
        let dialog = stage.sessions.share(session).ok_or_else(|| own(Refusal::NoDialog))?;
        let contact = stage.sessions.contact(session).unwrap_or_else(|| NameAddr::new(speaker.clone()));
        let hop = stage.route(&call.theirs, &remote).map_err(own)?.hop;
        let subscribe = Subscribe {
            package: REFER,
            event_id: None,
            local: NameAddr::new(speaker.clone()),
            remote: Uri::from(remote),
            contact,
            accept: "message/sipfrag",
            expires: EXPIRES,
            route: None,
            hop,
            call_id: None,
            by: By::Refer {
                refer_to: base::format_compact!("<{whom}{}>", replaces.unwrap_or_default()),
                headers: vec![(Name::ReferredBy, base::format_compact!("<{speaker}>"))],
            },
        };
        let usage = stage.events(|events, ground| events.subscribe_in(ground, dialog, subscribe));
        let usage = usage.map_err(|_| own(overload))?;
        self.passed_on.insert(usage, Passed::ByXmpp(id, link, Some(Box::new(stanza.envelope()))));
        Ok(())
    }

    /// Something happened to a REFER in a call. What is none of these comes back.
    pub(super) fn refer_event(&mut self, stage: &mut Stage<'_>, event: Event) -> Option<Event> {
        if event.package() != REFER {
            return Some(event);
        }
        let (usage, last) = (event.id(), event.is_last());
        match event {
            Event::Watch { server, ref request, .. } if !self.passed_on.contains(&usage) => {
                let session = stage.sessions.find(request);
                let Some(&id) = session.and_then(|session| self.by_session.get(&session)) else { return Some(event) };
                if let Err(response) = self.referred(stage, id, usage, server, request) {
                    stage.events(|events, ground| events.refuse(ground, usage, server, response));
                }
                self.arm(id);
                return None;
            }
            event if !self.passed_on.contains(&usage) => return Some(event),
            Event::Wanted { .. } => notify(stage, usage),
            Event::Accepted { .. } => self.passing_on(stage, usage, Ok(())),
            Event::Refused { cause, .. } => self.passing_on(stage, usage, Err(&cause)),
            Event::Notify { server, request, .. } => {
                stage.events(|events, ground| events.answer_notify(ground, usage, server, Response::new(200, "")));
                self.passing_on(stage, usage, Ok(()));
                let said = StatusLine::parse(&request.body).ok();
                if let (Some(said), Some(&Passed::ByXmpp(id, ..))) = (said, self.passed_on.get(&usage))
                    && (200..300).contains(&said.code)
                {
                    // RFC 5589 §6: the phone talks to whom it was passed on to.
                    self.over(stage, id, None, &Reason::new(jingle::Condition::Success).with_text("Passed on"));
                }
            }
            Event::Expired { .. } => self.passing_on(stage, usage, Err(&Cause::Timeout)),
            Event::Ended { .. } => self.passing_on(stage, usage, Ok(())),
            Event::Watch { .. }
            | Event::WatcherGone { .. }
            | Event::Lapsed { .. }
            | Event::RefreshDue { .. }
            | Event::Save { .. } => {}
        }
        if last {
            self.passed_on.remove(&usage);
        }
        None
    }

    /// The phone has taken a REFER of ours, or has not: the XMPP user hears of it once.
    fn passing_on(&mut self, stage: &mut Stage<'_>, usage: UsageId, taken: Result<(), &Cause>) {
        let Some(Passed::ByXmpp(_, link, iq)) = self.passed_on.get_mut(&usage) else { return };
        let (link, Some(iq)) = (*link, iq.take()) else { return };
        let answer = match taken {
            Ok(()) => Ok(()),
            Err(Cause::Response(response)) => Err(error::from_response(response)),
            Err(Cause::Timeout | Cause::Transport | Cause::NoWay) => {
                Err(StanzaError::new(Condition::RemoteServerTimeout))
            }
        };
        self.reply(stage, link, &iq, answer);
    }

    /// The SIP user passes the XMPP user on.
    fn referred(
        &mut self,
        stage: &mut Stage<'_>,
        id: CallId,
        usage: UsageId,
        server: ServerId,
        request: &Request,
    ) -> Result<(), Response> {
        let target = request.headers.refer_to().ok().flatten().ok_or_else(|| Response::new(400, "Bad Refer-To"))?;
        let uri = target.uri.sip();
        let method = uri.and_then(|uri| uri.params.get("method")).unwrap_or("INVITE");
        let to = jid(stage.config, &target.uri).filter(|to| to.local().is_some());
        let to = to.ok_or_else(|| Response::new(404, "Nobody To Call There"))?;
        if !method.eq_ignore_ascii_case("INVITE") || !is_ours(stage.config, &to) {
            return Err(Refusal::NotSupported.response());
        }
        let Some(call) = self.calls.get(&id).filter(|call| matches!(call.state, State::Active)) else {
            return Err(Response::new(480, ""));
        };
        stage.rate(&call.ours).map_err(|refusal| refusal.response())?;
        let replaces = uri.and_then(|uri| uri.headers.as_deref()).and_then(replaces).unwrap_or_default();
        // Whom the client reaches without the gateway has no use for a ticket.
        let by_us = stage.config.links.iter().any(|link| link.domain == to.domain());
        let sid = by_us.then(|| {
            base::format_compact!("{}~{replaces}", seal(self.seal(), &call.theirs, &to, &call.ours, &replaces))
        });
        let transfer = Transfer { to: Some(to), from: None, sid };
        let (device, told) = (call.theirs.clone(), Jingle::info("", Info::Other(transfer.to_element())));
        self.ask_jingle(stage, id, device, Asked::Transfer(usage, server), told);
        Ok(())
    }

    /// The client has said what it makes of that.
    pub(super) fn referral_heard(
        &mut self,
        stage: &mut Stage<'_>,
        usage: UsageId,
        server: ServerId,
        error: Option<&StanzaError>,
    ) {
        use Condition::{FeatureNotImplemented, ServiceUnavailable};
        let response = match error {
            None => {
                self.passed_on.insert(usage, Passed::BySip);
                return stage.events(|events, ground| events.accept(ground, usage, server, 0));
            }
            Some(error) if matches!(error.condition, FeatureNotImplemented | ServiceUnavailable) => {
                Response::new(501, "")
            }
            Some(error) => error::to_response(error, true),
        };
        stage.events(|events, ground| events.refuse(ground, usage, server, response));
    }

    /// A call that is over passes nobody on.
    pub(super) fn forget_referrals(&mut self, stage: &mut Stage<'_>, asked: &[Asked]) {
        for what in asked {
            if let Asked::Transfer(usage, server) = *what {
                stage.events(|events, ground| events.refuse(ground, usage, server, Response::new(481, "")));
            }
        }
    }
}

/// The one NOTIFY: what becomes of it, nobody here knows, as the client calls by itself.
fn notify(stage: &mut Stage<'_>, usage: UsageId) {
    let content = StatusLine::new(100, "Trying").map(|line| line.to_bytes()).unwrap_or_default();
    let body = Body { content_type: sipfrag::MEDIA_TYPE, language: None, content: content.into() };
    let state = Told::terminated(Why::NoResource);
    stage.events(|events, ground| events.notify(ground, usage, &state, Some(body)));
}

/// Who a URI of the SIP side is.
fn jid(config: &Config, uri: &Uri) -> Option<Jid> {
    let options = address::Options { phone_domain: config.phone_domain.clone() };
    let jid = address::to_jid(uri, &options).ok()?;
    Some(config.numbers.caller(&jid).unwrap_or(jid))
}

/// Whether somebody is of a domain of either side: nobody is sent anywhere else (THREATS 46).
fn is_ours(config: &Config, jid: &Jid) -> bool {
    let domain = jid.domain();
    config.is_xmpp(domain) || config.links.iter().any(|link| link.domain == domain)
}

/// Replaces among the headers of a URI.
fn replaces(headers: &str) -> Option<Str> {
    let named = headers.split('&').filter_map(|header| header.split_once('='));
    let value = named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("Replaces"))?.1;
    let text = String::from_utf8(percent_decode(value).ok()?).ok()?;
    Some(Str::from(text)).filter(|text| is_replaces(text))
}

/// Whether a text is what a Replaces header says: a Call-ID and both tags (RFC 3891 §6.1).
fn is_replaces(text: &str) -> bool {
    let mut parts = text.split(';');
    let call_id = parts.next().unwrap_or_default();
    let token =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b));
    let (mut to, mut from) = (false, false);
    for part in parts {
        match part.split_once('=') {
            Some(("to-tag", tag)) if token(tag) => to = true,
            Some(("from-tag", tag)) if token(tag) => from = true,
            None if part == "early-only" => {}
            _ => return false,
        }
    }
    to && from && text.len() <= MAX_REPLACES && sip::header::check_call_id(call_id).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replaces_what() {
        let text = "98732@sip.example;from-tag=r33th4x0r;to-tag=ff87ff";
        let encoded = encode_param(text.as_bytes());
        assert_eq!(replaces(&format!("Subject=x&replaces={encoded}")).as_deref(), Some(text));
        assert!(is_replaces("a;to-tag=1;from-tag=2;early-only"));
        for none in [
            "",
            "a",
            "a;to-tag=1",
            "a;to-tag=1;from-tag=",
            "a;to-tag=1;from-tag=2;x=y",
            "a b;to-tag=1;from-tag=2",
            "a\r\nVia: x;to-tag=1;from-tag=2",
            "a;to-tag=1;from-tag=2\r\nVia: x",
        ] {
            assert!(!is_replaces(none), "{none:?}");
        }
        assert!(!is_replaces(&format!("{};to-tag=1;from-tag=2", "a".repeat(MAX_REPLACES))));
        assert_eq!(replaces("Subject=x"), None);
        assert_eq!(replaces("Replaces=%FF"), None);
    }
}
