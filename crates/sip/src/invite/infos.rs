//! INFO in the dialog of a session: RFC 6086, with the legacy usages that it leaves alone (§3). One of ours is under way at a time, as the
//! order of several would be the network's (§4.4).

use super::Sessions;
use super::entry::{Entry, Purpose, Sent, State, attach, send};
use super::exchange::{PAUSE, destroys};
use super::value::{Body, Event, InfoId, Infos, NotSent, SessionId};
use crate::agent::{ClientId, Failure, ServerId};
use crate::ground::{Cause, Ground, respond};
use crate::header::{Headers, MediaType, Name};
use crate::message::{Request, Response};
use crate::method::Method;
use base::{Str, Time, ToCompactString};
use std::collections::VecDeque;
use std::time::Duration;

/// How many INFOs of ours may wait in one session, the one under way included.
const MAX_WAITING: usize = 32;
/// How many of theirs may wait for the layer above.
const MAX_ASKED: usize = 8;
/// How many packages of the other side's are remembered, and how long their names may be.
const MAX_PACKAGES: usize = 16;
const MAX_NAME: usize = 64;

/// What a session has to do with INFO; most have nothing.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// What we take, where the layer above has said so.
    pub(super) takes: Infos,
    /// The packages that the other side takes. None if it has never said so: then it does not know of packages (RFC 6086 §5.2.2).
    peer: Option<Vec<Str>>,
    /// What a request of theirs says of that, which holds once it is accepted (§5.2.4).
    offered: Option<Vec<Str>>,
    /// Those of ours, in their order.
    waiting: VecDeque<Info>,
    /// The transaction of the first one, and its number.
    client: Option<(ClientId, u32)>,
    /// The agent was full, or another usage of the dialog has overtaken it: not before this.
    at: Option<Time>,
    /// Those of theirs that wait for the layer above.
    asked: Vec<ServerId>,
}

/// An INFO of ours.
#[derive(Debug, Clone)]
pub struct Info {
    /// The Info Package, or none for a legacy usage (RFC 6086 §4.2.1).
    pub package: Option<&'static str>,
    /// What it says.
    pub body: Body,
}

impl Exchanges {
    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.at
    }

    /// No request of theirs waits any more, and none of ours will be sent. Gives theirs.
    pub(super) fn close(&mut self) -> Vec<ServerId> {
        self.waiting.clear();
        self.at = None;
        std::mem::take(&mut self.asked)
    }
}

impl Entry {
    /// Takes note of what the other side takes, as a message that made or confirmed the dialog says it.
    pub(super) fn heard_infos(&mut self, headers: &Headers) {
        let said = recv_info(headers);
        if said.is_some() || self.infos.is_some() {
            self.infos.get_or_insert_default().peer = said;
        }
    }

    /// The same of a request that may yet be refused (RFC 6086 §5.2.4).
    pub(super) fn hear_infos(&mut self, headers: &Headers) {
        let said = recv_info(headers);
        if said.is_some() || self.infos.is_some() {
            self.infos.get_or_insert_default().offered = said;
        }
    }

    /// That request is accepted: what it says holds, and the answer says the same of us (RFC 6086 §5.2.3).
    pub(super) fn take_infos(&mut self, headers: &mut Headers) {
        let Some(infos) = &mut self.infos else { return };
        if let Some(offered) = infos.offered.take() {
            infos.peer = Some(offered);
            self.say_infos(headers);
        }
    }

    /// That request is refused.
    pub(super) fn drop_infos(&mut self) {
        if let Some(infos) = &mut self.infos {
            infos.offered = None;
        }
    }

    /// Recv-Info in an answer to the INVITE that began the session, if that had one (RFC 6086 §5.2.3).
    pub(super) fn answer_infos(&self, headers: &mut Headers) {
        if self.infos.as_ref().is_some_and(|infos| infos.peer.is_some()) {
            self.say_infos(headers);
        }
    }

    /// Recv-Info: what we take. Nothing where the layer above knows nothing of INFO.
    pub(super) fn say_infos(&self, headers: &mut Headers) {
        if let Some(infos) = self.infos.as_ref().filter(|infos| infos.takes != Infos::default()) {
            headers.push(Name::RecvInfo, infos.takes.packages.join(", "));
        }
    }
}

impl Sessions {
    /// Says what a session takes by INFO from now on: [`Event::Info`]. An INVITE of theirs is best answered after this, as the answer says it;
    /// for one of ours there is [`Invite::infos`](super::Invite::infos). What is not taken is answered 469 or 415.
    pub fn take_infos(&mut self, id: SessionId, takes: Infos) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) {
            entry.infos.get_or_insert_default().takes = takes;
        }
    }

    /// Whether the other side takes INFOs of this package: RFC 6086 §5.2.2. Of an INVITE of ours that is known from its 2xx on.
    pub fn peer_takes(&self, id: SessionId, package: &str) -> bool {
        let infos = self.entries.get(&id).and_then(|entry| entry.infos.as_ref());
        infos.is_some_and(|infos| infos.has_peer(package))
    }

    /// Sends an INFO in the dialog, behind those that wait, and no sooner than the other side knows the dialog for certain: after the 2xx to an
    /// INVITE of ours, and after the ACK or the first PRACK for one of theirs. [`Event::InfoEnded`] follows for each in their order, unless
    /// the session ends.
    ///
    /// # Errors
    /// [`NotSent`]; then nothing follows.
    pub fn info(&mut self, ground: &mut Ground<'_>, id: SessionId, info: Info) -> Result<(), NotSent> {
        self.now = ground.now;
        let entry = self.entries.get_mut(&id).filter(|entry| !entry.over).ok_or(NotSent::Over)?;
        let settled = entry.state != State::Calling;
        let infos = entry.infos.get_or_insert_default();
        if settled && info.package.is_some_and(|package| !infos.has_peer(package)) {
            return Err(NotSent::NotTaken);
        }
        if infos.waiting.len() >= MAX_WAITING {
            return Err(NotSent::Full);
        }
        infos.waiting.push_back(info);
        self.try_info(ground, id);
        self.settle(id);
        self.pump(ground);
        Ok(())
    }

    /// Answers [`Event::Info`]: 200, or why not; a provisional one becomes 200. Nothing if nobody waits for it any more.
    pub fn answer_info(&mut self, ground: &mut Ground<'_>, id: SessionId, info: InfoId, mut response: Response) {
        self.now = ground.now;
        let infos = self.entries.get_mut(&id).and_then(|entry| entry.infos.as_mut());
        let Some(infos) = infos.filter(|infos| infos.asked.contains(&info.0)) else { return };
        infos.asked.retain(|server| *server != info.0);
        self.servers.remove(&info.0);
        if response.is_provisional() {
            response = Response::new(200, "");
        }
        respond(ground, info.0, response, &[]);
    }

    /// An INFO: RFC 6086 §4.2.2.
    pub(super) fn info_came(&mut self, ground: &mut Ground<'_>, id: SessionId, server: ServerId, request: Request) {
        self.counts.infos_in += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let takes = entry.infos.as_ref().map_or(Infos::default(), |infos| infos.takes);
        match request.headers.info_package() {
            Err(fault) => return respond(ground, server, Response::new(400, &fault.to_compact_string()), &[]),
            Ok(Some(package)) if !takes.packages.contains(&package) => {
                let packages = takes.packages.join(", ");
                return respond(ground, server, Response::new(469, "Bad Info Package"), &[(Name::RecvInfo, &packages)]);
            }
            Ok(Some(_)) => {}
            // One that says nothing asks whether we are there, as Asterisk and others do.
            Ok(None) if request.body.is_empty() => return respond(ground, server, Response::new(200, ""), &[]),
            Ok(None) => {
                let known = |kind: MediaType| {
                    let name = base::format_compact!("{}/{}", kind.kind, kind.subtype);
                    takes.types.iter().any(|known| known.eq_ignore_ascii_case(&name))
                };
                if !request.headers.content_type().ok().flatten().is_some_and(known) {
                    let types = takes.types.join(", ");
                    return respond(ground, server, Response::new(415, ""), &[(Name::Accept, &types)]);
                }
            }
        }
        let infos = entry.infos.get_or_insert_default();
        if infos.asked.len() >= MAX_ASKED {
            return self.refuse_busy(ground, server);
        }
        infos.asked.push(server);
        self.servers.insert(server, id);
        self.events.push_back(Event::Info { id, info: InfoId(server), request: Box::new(request) });
    }

    /// Nobody waits for the answer to this one any more.
    pub(super) fn info_cancelled(&mut self, id: SessionId, server: ServerId) {
        if let Some(infos) = self.entries.get_mut(&id).and_then(|entry| entry.infos.as_mut()) {
            infos.asked.retain(|asked| *asked != server);
        }
    }

    /// Sends the one whose turn it is.
    pub(super) fn try_info(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        let stands = match entry.state {
            State::Confirmed | State::Answered => true,
            State::Proceeding => entry.theirs.as_ref().is_some_and(|theirs| theirs.is_early()),
            State::Calling | State::Accepted => false,
        };
        let Some(infos) = entry.infos.as_mut().filter(|infos| stands && infos.client.is_none()) else { return };
        if infos.at.is_some_and(|at| at > ground.now) {
            return;
        }
        infos.at = None;
        while let Some(info) = infos.waiting.front() {
            if info.package.is_some_and(|package| !infos.has_peer(package)) {
                infos.end(&mut self.events, id, Some(Cause::NoWay));
                continue;
            }
            let info = info.clone();
            let sent = send(ground, &mut entry.dialog, Method::Info, |request| {
                if let Some(package) = info.package {
                    request.headers.push(Name::InfoPackage, package);
                    request.headers.push(Name::ContentDisposition, "Info-Package");
                }
                attach(request, Some(info.body));
            });
            match sent {
                Sent::Now(client) => {
                    self.counts.infos_out += 1;
                    self.clients.insert(client, (id, Purpose::Info));
                    infos.client = Some((client, entry.dialog.local_cseq()));
                    return;
                }
                Sent::Full => {
                    let jitter = Duration::from_micros(ground.tokens.below(PAUSE.as_micros() as u64));
                    infos.at = Some(ground.now + PAUSE + jitter);
                    return;
                }
                Sent::NoWay => infos.end(&mut self.events, id, Some(Cause::NoWay)),
            }
        }
    }

    /// A pause is over.
    pub(super) fn info_due(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let infos = self.entries.get(&id).and_then(|entry| entry.infos.as_ref());
        if infos.is_some_and(|infos| infos.at.is_some_and(|at| at <= ground.now)) {
            self.try_info(ground, id);
        }
    }

    /// The answer to one of ours.
    pub(super) fn info_answered(
        &mut self,
        ground: &mut Ground<'_>,
        id: SessionId,
        client: ClientId,
        response: &Response,
    ) {
        if response.is_provisional() {
            return;
        }
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        let Some(infos) = entry.infos.as_mut() else { return };
        let Some((_, number)) = infos.client.take_if(|(own, _)| *own == client) else { return };
        if entry.dialog.overtook(number, response) {
            return self.try_info(ground, id);
        }
        if destroys(response.code) {
            return self.gone(ground, id);
        }
        let refused = (!response.is_success()).then(|| Cause::Response(Box::new(response.clone())));
        infos.end(&mut self.events, id, refused);
        self.try_info(ground, id);
    }

    /// One of ours has no answer.
    pub(super) fn info_failed(&mut self, ground: &mut Ground<'_>, id: SessionId, client: ClientId, why: Failure) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.over) else { return };
        let Some(infos) = entry.infos.as_mut() else { return };
        if infos.client.take_if(|(own, _)| *own == client).is_none() {
            return;
        }
        match why {
            // RFC 3261 §12.2.1.2: no answer at all is a 408.
            Failure::Timeout => self.gone(ground, id),
            Failure::Transport | Failure::Nowhere | Failure::Unknown => {
                infos.end(&mut self.events, id, Some(why.into()));
                self.try_info(ground, id);
            }
        }
    }

    /// Answers those of theirs that wait, at the end of a session.
    pub(super) fn drop_infos(&mut self, ground: &mut Ground<'_>, id: SessionId) {
        let infos = self.entries.get_mut(&id).and_then(|entry| entry.infos.as_mut());
        for server in infos.map(|infos| infos.close()).unwrap_or_default() {
            self.servers.remove(&server);
            respond(ground, server, Response::new(487, ""), &[]);
        }
    }
}

impl Exchanges {
    /// Names of packages are compared octet by octet: RFC 6086 §7.2.
    fn has_peer(&self, package: &str) -> bool {
        self.peer.iter().flatten().any(|known| known == package)
    }

    /// The first one is over.
    fn end(&mut self, events: &mut VecDeque<Event>, id: SessionId, cause: Option<Cause>) {
        if self.waiting.pop_front().is_some() {
            events.push_back(Event::InfoEnded { id, cause });
        }
    }
}

/// Recv-Info: RFC 6086 §7.3. Parameters are of no meaning to us, and what is no list of tokens names no package.
fn recv_info(headers: &Headers) -> Option<Vec<Str>> {
    headers.contains(Name::RecvInfo).then(|| {
        let names = headers.elements(Name::RecvInfo).flatten();
        let names = names.map(|element| element.split(';').next().unwrap_or_default().trim());
        names.filter(|name| name.len() <= MAX_NAME).take(MAX_PACKAGES).map(Str::new).collect()
    })
}
