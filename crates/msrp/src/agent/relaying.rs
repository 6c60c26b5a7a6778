//! A session gets its path from a relay (RFC 4976 §5.1), and keeps it.

use super::Core;
use super::session::{Session, State, Verdict};
use super::value::{End, Event};
use crate::frame::{Flag, Method, Request, Response};
use crate::lex;
use crate::relay::{Asked, Challenge, param};
use crate::uri::Path;
use base::Time;

/// AUTHs in a row, of which the last may be answered 401: one without credentials, one with those of a nonce that is too old, one more.
const ATTEMPTS: u8 = 4;

/// Sends an AUTH, with credentials if it is known what the relay wants to see.
pub(super) fn ask(session: &mut Session, core: &mut Core, now: Time) {
    let (Some(login), Some(connection)) = (&mut session.login, session.connection) else { return };
    let Some(relay) = &core.config.relay else { return };
    let (transaction, cnonce) = (core.tokens.token(13), core.tokens.token(16));
    let mut request = Request::new(&transaction, Method::Auth, relay.path.clone(), session.own.clone());
    request.flag = Flag::Last;
    // RFC 4976 §9.1: the URI of the digest is the last one of the To-Path.
    let uri = relay.path.last();
    let rspauth = core.challenge.as_mut().map(|challenge| {
        let (credentials, rspauth) = challenge.answer(&relay.username, &relay.password, "AUTH", uri.as_str(), &cnonce);
        request.headers.push(("Authorization".into(), credentials.into()));
        rspauth
    });
    login.attempts += 1;
    let patience = now + core.config.patience;
    let until = login.expires.filter(|at| *at > now).map_or(patience, |at| at.min(patience));
    login.asked = Some(Asked { transaction, rspauth, until });
    request.encode(core.write(connection, 1024));
}

/// The relay has answered.
pub(super) fn answered(session: &mut Session, core: &mut Core, now: Time, response: &Response) -> Verdict {
    let asked = session.login.as_mut().and_then(|login| login.asked.take())?;
    match response.code {
        200 => granted(session, core, now, response, &asked),
        401 => {
            let values = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate"));
            let challenge = Challenge::best(values.map(|(_, value)| value.as_str()));
            let attempts = session.login.as_ref().map_or(ATTEMPTS, |login| login.attempts);
            match challenge {
                // Credentials for a nonce that this very relay has just given were wrong: they will not become right.
                Some(challenge) if asked.rspauth.is_none() || challenge.stale || attempts < 2 => {
                    core.challenge = Some(challenge);
                    if attempts >= ATTEMPTS {
                        return failed(session, now, 401);
                    }
                    ask(session, core, now);
                    None
                }
                Some(_) | None => {
                    core.challenge = None;
                    failed(session, now, 401)
                }
            }
        }
        code => failed(session, now, code),
    }
}

fn granted(session: &mut Session, core: &mut Core, now: Time, response: &Response, asked: &Asked) -> Verdict {
    let info = response.header("Authentication-Info").unwrap_or_default();
    // RFC 4976 §9.1: who knows our password shows it, too.
    let shown = param(info, "rspauth");
    if let (Some(wanted), Some(shown)) = (&asked.rspauth, &shown)
        && !wanted.is(shown)
    {
        return failed(session, now, 403);
    }
    if let Some(challenge) = &mut core.challenge {
        challenge.renew(info);
    }
    let Some(Ok(path)) = response.header("Use-Path").map(Path::parse) else { return failed(session, now, 400) };
    let expires = response.header("Expires").and_then(lex::number);
    if let Some(login) = &mut session.login {
        login.granted(now, &path, expires);
    }
    if matches!(session.state, State::Authorizing) {
        session.state = State::Ready;
        core.tell(Event::Ready { id: session.id });
    }
    None
}

/// No path, or none for longer. A session that has one lives as long as that.
fn failed(session: &mut Session, now: Time, code: u16) -> Verdict {
    let goes_on = session.login.as_mut().is_some_and(|login| login.postpone(now));
    (!goes_on).then_some(End::Relay(code))
}

/// The relay has not answered in time, or is to be asked again.
pub(super) fn due(session: &mut Session, core: &mut Core, now: Time) -> Verdict {
    let login = session.login.as_mut()?;
    if login.asked.take().is_some() || login.expires.is_some_and(|at| at <= now) {
        return failed(session, now, 408);
    }
    ask(session, core, now);
    None
}
