//! What is said in the Jingle sessions, and how the answers are known again.

use super::Calls;
use super::call::{Asked, CallId, Waiting};
use crate::config::LinkId;
use crate::mapping::Stage;
use base::Str;
use xmpp::ext::disco;
use xmpp::ext::jingle::{Action, Info, Jingle, Reason};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How many answers one call waits for. Beyond that the oldest of them on which nothing depends is not waited for any longer: a
/// client that answers nothing is found out by the others.
const MAX_ASKED: usize = 32;

/// What an iq of a call is called. The call's own token keeps an answer to the process before this one apart.
fn iq_id(id: CallId, number: u32, record: &str) -> Str {
    base::format_compact!("call.{}.{number}.{record}", id.0)
}

/// The call, the number and the token of an answer.
pub(super) fn read_id(iq: &str) -> Option<(CallId, u32, &str)> {
    let (id, rest) = iq.strip_prefix("call.")?.split_once('.')?;
    let (number, record) = rest.split_once('.')?;
    Some((CallId(id.parse().ok()?), number.parse().ok()?, record))
}

impl Calls {
    /// Asks `to`, and waits for the answer.
    fn ask(&mut self, stage: &mut Stage<'_>, id: CallId, what: Asked, to: Jid, iq: Stanza) {
        let until = stage.now + self.options.respond_within;
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.next_iq += 1;
        let iq = iq.with_id(iq_id(id, call.next_iq, &call.record)).with_from(call.ours.clone()).with_to(to.clone());
        let idle = |asked: &Waiting| matches!(asked.what, Asked::Tell | Asked::Change(_));
        if call.asked.len() >= MAX_ASKED
            && let Some(place) = call.asked.iter().position(idle)
        {
            call.asked.remove(place);
        }
        call.asked.push(Waiting { number: call.next_iq, what, to, until });
        stage.answer(call.link, &iq);
    }

    /// Says something in the session with this device.
    pub(super) fn say_to(&mut self, stage: &mut Stage<'_>, id: CallId, device: Jid, jingle: Jingle) {
        let Some(call) = self.calls.get(&id) else { return };
        let jingle = Jingle { sid: call.sid.clone(), ..jingle };
        let (what, jingle) = match jingle.action {
            Action::SessionInitiate => (Asked::Initiate, jingle.with_initiator(call.ours.clone())),
            Action::SessionAccept => (Asked::Accept, jingle.with_responder(call.ours.clone())),
            Action::SessionInfo if jingle.infos.is_empty() => (Asked::Ping, jingle),
            // Who does not know it is told in another way.
            action @ Action::SessionInfo if jingle.infos.contains(&Info::Hold) => (Asked::Change(action), jingle),
            Action::SessionInfo | Action::SessionTerminate => (Asked::Tell, jingle),
            action => (Asked::Change(action), jingle),
        };
        self.ask(stage, id, what, device, jingle.to_iq());
    }

    /// Says something of which somebody waits to hear what becomes of it.
    pub(super) fn ask_jingle(&mut self, stage: &mut Stage<'_>, id: CallId, device: Jid, what: Asked, jingle: Jingle) {
        if let Some(call) = self.calls.get(&id) {
            let jingle = Jingle { sid: call.sid.clone(), ..jingle };
            self.ask(stage, id, what, device, jingle.to_iq());
        }
    }

    /// Says something in the session.
    pub(super) fn say(&mut self, stage: &mut Stage<'_>, id: CallId, jingle: Jingle) {
        if let Some(call) = self.calls.get(&id) {
            let device = call.theirs.clone();
            self.say_to(stage, id, device, jingle);
        }
    }

    /// Asks a device what it can do.
    pub(super) fn ask_abilities(&mut self, stage: &mut Stage<'_>, id: CallId, device: Jid) {
        let iq = Stanza::iq("get").with_child(disco::Info::default().to_element());
        self.ask(stage, id, Asked::Disco, device, iq);
    }

    /// The request of ours that an answer is to, if there is one.
    pub(super) fn asked(&mut self, stanza: &Stanza) -> Option<(CallId, Asked, Jid)> {
        let (from, iq) = (stanza.from.as_ref()?, stanza.id.as_deref()?);
        let (id, number, record) = read_id(iq)?;
        let call = self.calls.get_mut(&id).filter(|call| call.record == record)?;
        let place = call.asked.iter().position(|asked| asked.number == number && asked.to == *from)?;
        let asked = call.asked.remove(place);
        Some((id, asked.what, asked.to))
    }
}

/// Ends a Jingle session that no call has any more. Nobody waits for the answer.
pub(super) fn terminate(stage: &mut Stage<'_>, link: LinkId, ours: &Jid, theirs: &Jid, sid: &str, reason: Reason) {
    let id = stage.tokens.token(12);
    let iq = Jingle::terminate(sid, reason).to_iq().with_id(id).with_from(ours.clone()).with_to(theirs.clone());
    stage.answer(link, &iq);
}
