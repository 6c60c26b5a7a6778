//! Session timers: RFC 4028, as the one who refreshes and as the one who waits for it.

use super::Sessions;
use super::entry::State;
use super::value::{Config, Ended, Event, MIN_SE, SessionId};
use crate::agent::ServerId;
use crate::ground::{Ground, respond};
use crate::header::{Headers, Name};
use crate::message::Response;
use base::{Str, Time, ToCompactString};
use std::time::Duration;

/// How long a refresh waits for what is in its way.
const PAUSE: Duration = Duration::from_secs(5);

/// The timer of one session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SessionTimer {
    /// Seconds; 0 without a timer.
    pub(super) interval: u32,
    /// Whether we refresh.
    pub(super) ours: bool,
    refresh_at: Option<Time>,
    expires_at: Option<Time>,
}

/// What a request says of the timer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ask {
    supported: bool,
    interval: Option<u32>,
    min: u32,
    /// Whether the other side is to refresh; it may not care.
    by_sender: Option<bool>,
}

impl SessionTimer {
    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        [self.refresh_at, self.expires_at].into_iter().flatten().min()
    }

    /// Begins anew: RFC 4028 §10. Refreshes go out after half of the time, or up to a tenth of that sooner, so that those which began
    /// together are not refreshed together. The end comes a third of the time, or 32 s, before the whole time has passed.
    fn set(&mut self, ground: &mut Ground<'_>, interval: u32, ours: bool) {
        let whole = seconds(interval);
        let jitter = ground.tokens.below(u64::from(interval) * 50_000 + 1);
        *self = SessionTimer {
            interval,
            ours,
            refresh_at: ours.then(|| ground.now + (whole / 2).saturating_sub(Duration::from_micros(jitter))),
            expires_at: Some(ground.now + whole.saturating_sub((whole / 3).min(Duration::from_secs(32)))),
        };
    }

    /// A refresh came to nothing: once more after half of what is left.
    pub(super) fn again(&mut self, now: Time) {
        if let Some(at) = self.expires_at.filter(|_| self.ours) {
            self.refresh_at = Some(now + (at.since(now) / 2).max(PAUSE));
        }
    }

    /// A refresh is in somebody's way.
    fn put_off(&mut self, now: Time) {
        self.refresh_at = Some(now + PAUSE);
    }

    /// A 2xx to a request of ours that asked for `asked`: RFC 4028 §7.2. Without Session-Expires there is no timer.
    pub(super) fn granted(&mut self, ground: &mut Ground<'_>, headers: &Headers, asked: u32) {
        match session_expires(headers) {
            None => *self = SessionTimer::default(),
            Some((interval, refresher)) => {
                // It may be less than what was asked for, and never more.
                let most = if asked == 0 { u32::MAX / 4 } else { asked };
                self.set(ground, interval.min(most).max(MIN_SE), refresher.as_deref() != Some("uas"));
            }
        }
    }
}

impl Ask {
    /// What a request says.
    pub(super) fn of(headers: &Headers) -> Ask {
        let has = |name| headers.elements(name).flatten().any(|tag| tag.eq_ignore_ascii_case("timer"));
        let (interval, refresher) = session_expires(headers).unzip();
        Ask {
            supported: has(Name::Supported) || has(Name::Require),
            interval,
            min: min_se(headers).unwrap_or(0),
            by_sender: match refresher.flatten().as_deref() {
                Some("uac") => Some(true),
                Some("uas") => Some(false),
                Some(_) | None => None,
            },
        }
    }

    /// Whether it is for less than the least: RFC 4028 §9. Who knows no session timers is not refused for what a proxy put in.
    fn is_brief(&self, config: &Config) -> bool {
        self.supported && self.interval.is_some_and(|interval| interval < config.min_se)
    }

    /// What our 2xx says, and whether we refresh: RFC 4028 §9, table 2.
    fn grant(&self, config: &Config) -> Option<(u32, bool)> {
        let own = if config.session_expires == 0 { None } else { Some(config.session_expires.max(self.min)) };
        let interval = match (self.interval, own) {
            (Some(asked), Some(own)) => asked.min(own).max(MIN_SE),
            (Some(asked), None) => asked.clamp(MIN_SE, u32::MAX / 4),
            (None, own) => own?,
        };
        Some((interval, !self.by_sender.filter(|_| self.supported).unwrap_or(self.supported)))
    }
}

impl Sessions {
    /// 422, if a request asks for too short a timer.
    pub(super) fn refuse_brief(&mut self, ground: &mut Ground<'_>, server: ServerId, ask: Ask) -> bool {
        let brief = ask.is_brief(&self.config);
        if brief {
            self.counts.too_brief += 1;
            let least = self.config.min_se.to_compact_string();
            respond(ground, server, Response::new(422, ""), &[(Name::MinSe, &least)]);
        }
        brief
    }

    /// Sets the timer as a 2xx of ours says, and says it.
    pub(super) fn grant(&mut self, ground: &mut Ground<'_>, id: SessionId, ask: Ask, headers: &mut Headers) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some((interval, ours)) = ask.grant(&self.config) else {
            entry.timer = SessionTimer::default();
            return;
        };
        let refresher = if ours { "uas" } else { "uac" };
        headers.push(Name::SessionExpires, format_args!("{interval};refresher={refresher}"));
        if ask.supported {
            headers.push(Name::Require, "timer");
        }
        if !entry.over {
            entry.timer.set(ground, interval, ours);
        }
    }

    /// A refresh is due, or the end.
    pub(super) fn timer_due(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        if entry.timer.expires_at.is_some_and(|at| at <= ground.now) {
            self.counts.expired += 1;
            self.end(ground, id, Event::Ended { id, why: Ended::Expired });
            return self.part(ground, id, Vec::new());
        }
        if entry.timer.refresh_at.is_some_and(|at| at <= ground.now) {
            // What is under way refreshes as well.
            let busy = entry.change.is_some() || entry.is_inviting() || entry.asked.is_some();
            if busy || entry.state != State::Confirmed {
                return entry.timer.put_off(ground.now);
            }
            entry.timer.refresh_at = None;
            self.refresh(ground, id);
        }
    }
}

/// What an INVITE or UPDATE of ours asks for: the timer that runs, with its roles, or a new one. Gives the seconds; 0 for none.
pub(super) fn ask(config: &Config, timer: SessionTimer, least: u32, headers: &mut Headers) -> u32 {
    let interval = if timer.interval == 0 { config.session_expires } else { timer.interval };
    if interval == 0 && least == 0 {
        return 0;
    }
    let interval = interval.max(least);
    match (timer.interval, timer.ours) {
        (0, _) => headers.push(Name::SessionExpires, interval),
        (_, true) => headers.push(Name::SessionExpires, format_args!("{interval};refresher=uac")),
        (_, false) => headers.push(Name::SessionExpires, format_args!("{interval};refresher=uas")),
    }
    if config.min_se.max(least) > MIN_SE {
        headers.push(Name::MinSe, config.min_se.max(least));
    }
    interval
}

/// Session-Expires: the seconds, and who refreshes.
fn session_expires(headers: &Headers) -> Option<(u32, Option<Str>)> {
    let value = headers.get(Name::SessionExpires)?;
    let (number, rest) = value.split_once(';').unwrap_or((value, ""));
    let interval = crate::header::parse_delta_seconds(number.trim()).ok()?;
    let params = rest.split(';').find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("refresher").then(|| Str::new(value.trim().to_ascii_lowercase()))
    });
    Some((interval, params))
}

/// Min-SE: the seconds.
pub(super) fn min_se(headers: &Headers) -> Option<u32> {
    let value = headers.get(Name::MinSe)?;
    crate::header::parse_delta_seconds(value.split(';').next().unwrap_or_default().trim()).ok()
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}
