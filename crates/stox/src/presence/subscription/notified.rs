//! What the SIP side says to an XMPP user's subscription: NOTIFYs, and how SUBSCRIBEs end (RFC 8048 §5.2, §6.3; RFC 6665 §4.1).

use super::{News, PAUSE, State, name};
use crate::address;
use crate::error::{self, Refusal};
use crate::gateway::Note;
use crate::mapping::{Side, Stage};
use crate::presence::{Presences, Then, s2x};
use base::{Fingerprint, Str};
use sip::agent::ServerId;
use sip::header::Name as Header;
use sip::subscription::{Reason, State as Substate, UsageId};
use sip::{Cause, Dialog, Request, Response};
use std::time::Duration;
use xmpp::agent;
use xmpp::stanza::Stanza;

impl Presences {
    /// A NOTIFY. The first active one of an authorization is answered when that is saved.
    pub(in crate::presence) fn notified(
        &mut self,
        stage: &mut Stage<'_>,
        pair: Fingerprint,
        usage: UsageId,
        server: ServerId,
        request: &Request,
        state: Substate,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        // A body that cannot be read must not be taken for a yes that nobody sees.
        let pidf = match s2x::read(request) {
            Ok(pidf) => pidf,
            Err(refusal) => return answer(stage, usage, server, refusal.response()),
        };
        let language = request.headers.get(Header::ContentLanguage).map(Str::from);
        let news = News { usage, server, state, pidf, language };
        if subscription.state == State::Asked && news.state == Substate::Active {
            subscription.granting = true;
            return self.save(stage, name(pair), Then::Granted { pair, news: Box::new(news) });
        }
        self.news(stage, pair, &news);
    }

    /// The approval is saved, or cannot be.
    pub(in crate::presence) fn granted(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, news: &News, saved: bool) {
        // Its dialog is over meanwhile, or another one has begun.
        let current = self.subscriptions.get_mut(&pair).filter(|s| s.usage == Some(news.usage));
        let Some(subscription) = current else { return answer(stage, news.usage, news.server, Response::new(200, "")) };
        subscription.granting = false;
        match subscription.state {
            State::Polling | State::Leaving => return answer(stage, news.usage, news.server, Response::new(200, "")),
            State::Asked if !saved => {
                // The notifier tries again; until then nothing was promised.
                let refusal = Refusal::Storage { retry_after: stage.config.limits.retry_after };
                return answer(stage, news.usage, news.server, refusal.response());
            }
            State::Asked => {
                (subscription.state, subscription.told) = (State::Granted, true);
                if let Some(link) = stage.link_of(subscription.sip.domain()) {
                    stage.answer(link, &subscription.stanza("subscribed"));
                }
            }
            // Another NOTIFY was faster.
            State::Granted => {}
        }
        self.news(stage, pair, news);
    }

    fn news(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, news: &News) {
        let Some(subscription) = self.subscriptions.get(&pair) else { return };
        answer(stage, news.usage, news.server, Response::new(200, ""));
        let polling = subscription.state == State::Polling;
        let may_tell = match (&news.state, subscription.state) {
            // §5.2.1: nothing of the contact before it has approved.
            (Substate::Pending, _) => false,
            (Substate::Active, State::Granted | State::Polling) => true,
            // The answer to a poll is a terminated one; `rejected` and the like carry nothing for anybody.
            (Substate::Terminated { reason, .. }, State::Granted | State::Polling) => {
                !matches!(reason, Some(Reason::Rejected | Reason::NoResource))
            }
            (Substate::Active | Substate::Terminated { .. }, State::Asked | State::Leaving) => false,
        };
        if let (true, Some(pidf)) = (may_tell, &news.pidf) {
            let target = stage.subscriptions.dialog(news.usage).map(Dialog::remote_target);
            let source = s2x::Source {
                language: news.language.as_deref(),
                target: target.as_deref(),
                addresses: &address::Options { phone_domain: stage.config.phone_domain.clone() },
                now: stage.wall(),
                rich: self.options.rich,
                resources: self.options.resources,
            };
            match s2x::presences(pidf, &source, &subscription.sip, &subscription.xmpp, &subscription.online) {
                None => stage.note(Note::Ignored { why: "presence of somebody else" }),
                Some(presences) => self.tell_user(stage, pair, presences, polling),
            }
        }
        if news.state == Substate::Pending && self.subscriptions.get(&pair).is_some_and(|s| s.is_online()) {
            self.tell_gone(stage, pair);
            self.save(stage, name(pair), Then::Nothing);
        }
        if let Substate::Terminated { reason, retry_after } = &news.state {
            self.terminated(stage, pair, news.usage, reason.as_ref(), *retry_after);
        }
    }

    /// Tells the user, or those who polled.
    fn tell_user(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, presences: s2x::Presences, polling: bool) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        let Some(link) = stage.link_of(subscription.sip.domain()) else { return };
        let mut stanzas = presences.stanzas;
        if let Some(identity) = stage.config.identity(link) {
            let caps = agent::user_caps(&identity);
            for stanza in stanzas.iter_mut().filter(|stanza| stanza.type_.is_none()) {
                stanza.push(caps.to_element());
            }
        }
        for _ in &stanzas {
            stage.note(Note::Presence { to: Side::Xmpp });
        }
        if polling {
            for poller in std::mem::take(&mut subscription.pollers) {
                for stanza in &stanzas {
                    // Lost, it is polled for again.
                    let _ = stage.deliver(link, &stanza.clone().with_to(poller.clone()));
                }
            }
            return;
        }
        // To who comes later, those that went away need not be told.
        let stay = |stanza: &&Stanza| stanza.type_.is_none() || presences.online.is_empty();
        subscription.last = stanzas.iter().filter(stay).cloned().collect();
        let changed = subscription.online != presences.online;
        subscription.online = presences.online;
        for stanza in &stanzas {
            match stanza.type_ {
                // Nobody would say it again.
                Some(_) => stage.answer(link, stanza),
                None => self.tell(stage, link, name(pair), stanza),
            }
        }
        if changed {
            self.save(stage, name(pair), Then::Nothing);
        }
    }

    /// NOTIFY terminated: RFC 6665 §4.1.3 says what each reason means for trying again.
    fn terminated(
        &mut self,
        stage: &mut Stage<'_>,
        pair: Fingerprint,
        usage: UsageId,
        reason: Option<&Reason>,
        retry_after: Option<u32>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&pair).filter(|s| s.usage == Some(usage)) else { return };
        subscription.usage = None;
        self.live.remove(&name(pair));
        match (subscription.state, reason) {
            (State::Polling, reason) => {
                let refused = reason == Some(&Reason::Rejected);
                self.polled_in_vain(stage, pair, refused);
            }
            (State::Leaving, _) => self.left(stage, pair),
            (State::Asked | State::Granted, Some(Reason::Rejected)) => self.refused(stage, pair, None),
            (State::Asked | State::Granted, Some(Reason::NoResource | Reason::Invariant)) => {
                // No use in asking again in this session: the state is gone, or will never change.
                if reason == Some(&Reason::NoResource) {
                    self.tell_gone(stage, pair);
                }
                self.save(stage, name(pair), Then::Nothing);
            }
            (State::Asked | State::Granted, Some(Reason::Deactivated | Reason::Timeout) | None) => {
                self.save(stage, name(pair), Then::Nothing);
                if self.subscriptions.get(&pair).is_some_and(|s| !s.over) {
                    self.again(stage, pair);
                }
            }
            (State::Asked | State::Granted, Some(Reason::Probation | Reason::Giveup | Reason::Other(_))) => {
                self.tell_gone(stage, pair);
                self.save(stage, name(pair), Then::Nothing);
                self.try_later(stage, pair, retry_after);
            }
        }
    }

    /// A new dialog at once, but never in a circle: the second time in a row waits.
    fn again(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        if subscription.sent.is_none_or(|at| stage.now.since(at) >= PAUSE) {
            return self.look(stage, pair);
        }
        // Until it is tried again nobody vouches for what the user was told.
        self.tell_gone(stage, pair);
        self.save(stage, name(pair), Then::Nothing);
        self.try_later(stage, pair, None);
    }

    /// The user is told that nothing is known of the contact any more. The authorization stays.
    pub(super) fn tell_gone(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        let Some(link) = stage.link_of(subscription.sip.domain()) else { return };
        for stanza in subscription.gone() {
            stage.answer(link, &stanza);
        }
    }

    /// The SIP side refused for good (§5.2.2): the user is told, with the words of the SIP side.
    fn refused(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, response: Option<&Response>) {
        self.tell_gone(stage, pair);
        let Some(subscription) = self.subscriptions.get(&pair) else { return };
        let mut stanza = subscription.stanza("unsubscribed");
        if let Some(text) = response.and_then(|response| error::from_response(response).text) {
            stanza.push(xml::Element::new("status", xmpp::ns::CLIENT).with_text(&text));
        }
        if let Some(link) = stage.link_of(subscription.sip.domain()) {
            stage.answer(link, &stanza);
        }
        self.end_subscription(stage, pair);
    }

    /// A SUBSCRIBE of ours failed.
    pub(in crate::presence) fn subscription_refused(
        &mut self,
        stage: &mut Stage<'_>,
        pair: Fingerprint,
        usage: UsageId,
        cause: &Cause,
        gone: bool,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&pair).filter(|s| s.usage == Some(usage)) else { return };
        let response = match cause {
            Cause::Response(response) => Some(response.as_ref()),
            Cause::Timeout | Cause::Transport | Cause::NoWay => None,
        };
        let code = response.map_or(0, |response| response.code);
        if gone {
            subscription.usage = None;
            self.live.remove(&name(pair));
        }
        match subscription.state {
            State::Leaving if gone => self.left(stage, pair),
            State::Leaving => {}
            State::Polling => self.polled_in_vain(stage, pair, ends(code) || cannot(code)),
            State::Asked | State::Granted if ends(code) => {
                self.release(stage, pair);
                self.refused(stage, pair, response);
            }
            State::Asked if cannot(code) => {
                self.release(stage, pair);
                self.refused(stage, pair, response);
            }
            // 481: the dialog is gone there, the authorization is not (§5.2.2).
            State::Asked | State::Granted if gone && code == 481 => {
                self.save(stage, name(pair), Then::Nothing);
                self.again(stage, pair);
            }
            State::Asked | State::Granted if gone => {
                self.tell_gone(stage, pair);
                self.save(stage, name(pair), Then::Nothing);
                let after = response.and_then(error::retry_after);
                self.try_later(stage, pair, after);
            }
            // The dialog lives on until it expires, and the engine tries again.
            State::Asked | State::Granted => {
                let after = response.and_then(error::retry_after).map(|seconds| Duration::from_secs(seconds.into()));
                subscription.busy = after.map(|after| stage.now + after);
            }
        }
    }

    /// Lets go of the dialog of a pair without a word.
    pub(super) fn release(&mut self, stage: &mut Stage<'_>, pair: Fingerprint) {
        if let Some(usage) = self.subscriptions.get_mut(&pair).and_then(|subscription| subscription.usage.take()) {
            self.usages.remove(&usage);
            stage.events(|events, _| events.forget(usage));
        }
        self.live.remove(&name(pair));
    }

    /// The dialog expired, or ended.
    pub(in crate::presence) fn subscription_over(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, usage: UsageId) {
        let Some(subscription) = self.subscriptions.get_mut(&pair).filter(|s| s.usage == Some(usage)) else { return };
        subscription.usage = None;
        self.live.remove(&name(pair));
        match subscription.state {
            State::Polling => self.polled_in_vain(stage, pair, false),
            State::Leaving => self.left(stage, pair),
            State::Asked | State::Granted => {
                // Nobody says any more whether the contact is there.
                self.tell_gone(stage, pair);
                self.save(stage, name(pair), Then::Nothing);
                if self.subscriptions.get(&pair).is_some_and(|s| !s.over) {
                    self.try_later(stage, pair, None);
                }
            }
        }
    }

    /// A poll ended without presence. RFC 6121 §4.3.2: who has no authorization is told so.
    fn polled_in_vain(&mut self, stage: &mut Stage<'_>, pair: Fingerprint, refused: bool) {
        let Some(subscription) = self.subscriptions.get_mut(&pair) else { return };
        let pollers = std::mem::take(&mut subscription.pollers);
        if let (true, Some(link)) = (refused, stage.link_of(subscription.sip.domain())) {
            let stanza = subscription.stanza("unsubscribed");
            pollers.into_iter().for_each(|poller| stage.answer(link, &stanza.clone().with_to(poller.bare())));
        }
        self.release(stage, pair);
        self.drop_subscription(pair);
    }
}

/// RFC 8048 §5.2.2: the authorization is cancelled for good.
fn ends(code: u16) -> bool {
    matches!(code, 403 | 489 | 603)
}

/// What an authorization that was never given cannot come from: there is no such user, or nothing there that can be watched. What was
/// given once outlives these (RFC 8048 §5.2.2).
fn cannot(code: u16) -> bool {
    matches!(code, 404 | 405 | 406 | 410 | 414 | 415 | 416 | 420 | 484 | 485 | 488 | 501 | 505 | 513 | 604 | 606)
}

fn answer(stage: &mut Stage<'_>, usage: UsageId, server: ServerId, response: Response) {
    stage.events(|events, ground| events.answer_notify(ground, usage, server, response));
}
