//! The SIP users of a world on the telephone: INVITE dialogs with audio and video (RFC 3261 §9 and §12 to §15, RFC 3264) over UDP, written without
//! the gateway's own agents. All of them are behind one address.

mod sdp;
mod talk;

pub use sdp::Sdp;
pub use talk::{Stage, Talk};

use super::Tokens;
use crate::wire::{SipText, parameter};
use base::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// RFC 3261: timers B, F and H.
const TIMERS: Duration = Duration::from_secs(32);
/// How long a telephone rings at most: whoever called may not live to cancel it (RFC 3261 §16.6, timer C).
const RING: Duration = Duration::from_secs(180);
/// How long somebody is called.
const PATIENCE: Duration = Duration::from_secs(60);

/// What telephones do with calls that come: how many of a thousand are busy, decline, and ring for nobody; the others are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// 486.
    pub busy: u64,
    /// 603.
    pub declines: u64,
    /// They ring until they are cancelled.
    pub silent: u64,
    /// How long one rings before it is answered.
    pub rings_for: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { busy: 0, declines: 0, silent: 0, rings_for: Duration::from_secs(3) }
    }
}

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A request is sent again, by its branch.
    Request(String),
    /// A 2xx is sent again, by the Call-ID.
    Accepted(String),
    /// Somebody picks up, by the Call-ID.
    PickUp(String),
    /// Nobody has answered, by the Call-ID.
    GiveUp(String),
    /// A change that met another one is tried again, by the Call-ID.
    Change(String),
}

/// A request without a final answer.
#[derive(Debug)]
struct Client {
    call: String,
    method: &'static str,
    bytes: Vec<u8>,
    interval: Duration,
    end: Time,
    ringing: bool,
}

/// A 2xx that waits for its ACK.
#[derive(Debug)]
struct Accepted {
    bytes: Vec<u8>,
    interval: Duration,
    end: Time,
}

/// All telephones.
#[derive(Debug, Default)]
pub(crate) struct Telephones {
    talks: BTreeMap<String, Talk>,
    clients: BTreeMap<String, Client>,
    accepted: BTreeMap<String, Accepted>,
    due: BTreeSet<(Time, Due)>,
    /// Final answers given, by branch and method.
    answered: BTreeMap<String, Vec<u8>>,
    /// The ACKs to final answers, by branch of the INVITE, and to 2xx, by Call-ID and CSeq.
    acks: BTreeMap<String, Vec<u8>>,
    minted: u64,
    said: Vec<Vec<u8>>,
    pub(crate) habits: Habits,
}

impl Telephones {
    /// The datagrams that are to be sent, in order.
    pub(crate) fn said(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.said)
    }

    /// All calls by their Call-IDs, those that are over too.
    pub(crate) fn talks(&self) -> &BTreeMap<String, Talk> {
        &self.talks
    }

    /// Requests without an answer, and answers without an ACK.
    pub(crate) fn open(&self) -> usize {
        self.clients.len() + self.accepted.len()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A user calls an XMPP user. Gives back the Call-ID.
    pub(crate) fn dial(&mut self, now: Time, user: u64, peer: &str, media: &[&str]) -> String {
        let call = format!("{:0>24}@world", self.mint("phone"));
        let tag = self.mint("tag");
        let mut talk = Talk::new(user, peer, true);
        talk.local = format!("<sip:romeo{user}@example.net>;tag={tag}");
        talk.remote = format!("<sip:{peer}>");
        talk.target = format!("sip:{peer}");
        talk.lines = media.iter().map(|kind| sdp::line(kind)).collect();
        self.talks.insert(call.clone(), talk);
        self.request(now, &call, "INVITE");
        self.due.insert((now + PATIENCE, Due::GiveUp(call.clone())));
        call
    }

    /// A user hangs up, or gives up, whatever the call is at. Whether there is one to end.
    pub(crate) fn hang_up(&mut self, now: Time, call: &str) -> bool {
        let Some(talk) = self.talks.get_mut(call).filter(|talk| !talk.is_over() && !talk.leaving) else { return false };
        talk.leaving = true;
        match talk.stage {
            Stage::Calling => self.cancel(now, call),
            Stage::Ringing => {
                if let Some(invite) = talk.invite.take() {
                    talk.stage = Stage::Over;
                    let tag = self.mint("tag");
                    self.answer(&invite, &invite.response(480, "Temporarily Unavailable", &tag));
                }
            }
            // RFC 3261 §15: not before the ACK.
            Stage::Up if self.accepted.contains_key(call) => {}
            Stage::Up => self.request(now, call, "BYE"),
            Stage::Over => {}
        }
        true
    }

    /// A user puts a call on hold, or takes it off.
    pub(crate) fn hold(&mut self, now: Time, call: &str, hold: bool) {
        let Some(talk) = self.talks.get_mut(call).filter(|talk| talk.is_up()) else { return };
        talk.holding = hold;
        self.change(now, call);
    }

    /// A user wants one more line.
    pub(crate) fn add(&mut self, now: Time, call: &str, kind: &str) {
        let Some(talk) = self.talks.get_mut(call).filter(|talk| talk.is_up()) else { return };
        talk.lines.push(sdp::line(kind));
        self.change(now, call);
    }

    /// Sends a re-INVITE, or later, if there is one under way.
    fn change(&mut self, now: Time, call: &str) {
        let busy = self.clients.values().any(|client| client.call == call) || self.accepted.contains_key(call);
        if busy {
            self.due.insert((now + T1, Due::Change(call.to_owned())));
        } else if self.talks.get(call).is_some_and(Talk::is_up) {
            self.request(now, call, "INVITE");
        }
    }

    fn mint(&mut self, what: &str) -> String {
        self.minted += 1;
        format!("{what}{}", self.minted)
    }

    /// Sends a request within a call, or its first one.
    fn request(&mut self, now: Time, call: &str, method: &'static str) {
        let branch = self.mint("z9hG4bKphone");
        let Some(talk) = self.talks.get_mut(call) else { return };
        talk.sequence += 1;
        let mut request = talk.request(call, method, talk.sequence, &branch);
        if method == "INVITE" {
            talk.version += 1;
            talk.branch.clone_from(&branch);
            request.push("Contact", talk.contact());
            request.push("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE, INFO");
            request.push("Content-Type", "application/sdp");
            request.body = talk.offer(call).into_bytes();
        }
        self.send(now, call, method, branch, request.to_bytes());
    }

    fn send(&mut self, now: Time, call: &str, method: &'static str, branch: String, bytes: Vec<u8>) {
        self.said.push(bytes.clone());
        let client = Client { call: call.to_owned(), method, bytes, interval: T1, end: now + TIMERS, ringing: false };
        let key = if method == "CANCEL" { format!("{branch} CANCEL") } else { branch };
        self.clients.insert(key.clone(), client);
        self.due.insert((now + T1, Due::Request(key)));
    }

    /// RFC 3261 §9.1: as soon as there is a provisional answer, else when one comes.
    fn cancel(&mut self, now: Time, call: &str) {
        let Some(talk) = self.talks.get(call) else { return };
        let branch = talk.branch.clone();
        let Some(client) = self.clients.get_mut(&branch).filter(|client| client.ringing) else { return };
        client.end = now + TIMERS * 2;
        self.due.insert((now + TIMERS * 2, Due::Request(branch.clone())));
        let cancel = talk.request(call, "CANCEL", talk.sequence, &branch);
        self.send(now, call, "CANCEL", branch, cancel.to_bytes());
    }

    /// A SIP message came. Whether it is of telephones.
    pub(crate) fn received(&mut self, now: Time, message: &SipText, chance: &mut Tokens) -> bool {
        let mut words = message.header("CSeq").unwrap_or_default().split_whitespace();
        let (Some(sequence), Some(method)) = (words.next(), words.next()) else { return false };
        let sequence: u32 = sequence.parse().unwrap_or_default();
        let call = message.header("Call-ID").unwrap_or_default().to_owned();
        let first = method == "INVITE" && sdp::is_call(&message.text());
        if !first && !self.talks.contains_key(&call) {
            return false;
        }
        match message.status() {
            Some(code) => self.answered(now, code, &call, sequence, method, message),
            None => self.asked(now, &call, sequence, method, message, chance),
        }
        true
    }

    /// Gives a final answer, and remembers it.
    fn answer(&mut self, request: &SipText, answer: &SipText) {
        let method = request.request().map(|(method, _)| method).unwrap_or_default();
        let key = format!("{} {method}", request.branch().unwrap_or_default());
        let bytes = answer.to_bytes();
        self.said.push(bytes.clone());
        self.answered.insert(key, bytes);
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now: Time) {
        while let Some((at, due)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, due.clone()));
            match due {
                Due::Request(branch) => self.request_again(now, &branch),
                Due::Accepted(call) => self.accepted_again(now, &call),
                Due::PickUp(call) => self.pick_up(now, &call),
                Due::GiveUp(call) => {
                    let waits = |talk: &Talk| matches!(talk.stage, Stage::Calling | Stage::Ringing);
                    if self.talks.get(&call).is_some_and(waits) {
                        self.hang_up(now, &call);
                    }
                }
                Due::Change(call) => self.change(now, &call),
            }
        }
    }

    fn request_again(&mut self, now: Time, branch: &str) {
        let Some(client) = self.clients.get_mut(branch) else { return };
        let (call, invite) = (client.call.clone(), client.method == "INVITE");
        // A gateway that is killed between its 100 and its final answer to a re-INVITE gives none; its BYE has ended the call.
        let given_up = self.talks.get(&call).is_some_and(|talk| talk.leaving || talk.is_over());
        if client.end <= now && (!invite || !client.ringing || given_up) {
            let method = client.method;
            self.clients.remove(branch);
            if method != "CANCEL" {
                self.over(&call, 408);
            }
            return;
        }
        if !client.ringing || !invite {
            self.said.push(client.bytes.clone());
        }
        client.interval = if invite { client.interval * 2 } else { (client.interval * 2).min(T2) };
        let at = now + client.interval;
        let at = if client.end > now { at.min(client.end) } else { at };
        self.due.insert((at, Due::Request(branch.to_owned())));
    }

    fn accepted_again(&mut self, now: Time, call: &str) {
        let Some(accepted) = self.accepted.get_mut(call) else { return };
        if accepted.end <= now {
            // RFC 3261 §13.3.1.4: no ACK.
            self.accepted.remove(call);
            self.talks.get_mut(call).iter_mut().for_each(|talk| talk.leaving = false);
            self.hang_up(now, call);
            return;
        }
        self.said.push(accepted.bytes.clone());
        accepted.interval = (accepted.interval * 2).min(T2);
        let at = (now + accepted.interval).min(accepted.end);
        self.due.insert((at, Due::Accepted(call.to_owned())));
    }

    fn over(&mut self, call: &str, code: u16) {
        self.accepted.remove(call);
        if let Some(talk) = self.talks.get_mut(call).filter(|talk| !talk.is_over()) {
            talk.stage = Stage::Over;
            talk.code = Some(code);
        }
    }

    /// A response came.
    fn answered(&mut self, now: Time, code: u16, call: &str, sequence: u32, method: &str, response: &SipText) {
        let branch = response.branch().unwrap_or_default().to_owned();
        let key = if method == "CANCEL" { format!("{branch} CANCEL") } else { branch.clone() };
        if code < 200 {
            let Some(client) = self.clients.get_mut(&key) else { return };
            let first = !std::mem::replace(&mut client.ringing, true);
            if let Some(talk) = self.talks.get_mut(call).filter(|_| code >= 180) {
                talk.rings = true;
            }
            if first && self.talks.get(call).is_some_and(|t| t.stage == Stage::Calling && t.leaving) {
                self.cancel(now, call);
            }
            return;
        }
        let first = self.clients.remove(&key).is_some();
        match method {
            "INVITE" => self.invite_answered(now, code, call, sequence, &branch, response, first),
            "BYE" if first => self.over(call, code),
            _ => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a response is made of")]
    fn invite_answered(
        &mut self,
        now: Time,
        code: u16,
        call: &str,
        sequence: u32,
        branch: &str,
        response: &SipText,
        first: bool,
    ) {
        let key = if code < 300 { format!("{call} {sequence}") } else { branch.to_owned() };
        if let Some(ack) = self.acks.get(&key) {
            // RFC 3261 §13.2.2.4, §17.1.1.2: an ACK for each time that it comes.
            return self.said.push(ack.clone());
        }
        let ack_branch = if code < 300 { self.mint("z9hG4bKack") } else { branch.to_owned() };
        let Some(talk) = self.talks.get_mut(call) else { return };
        let begins = talk.stage == Stage::Calling;
        if begins || code >= 300 {
            talk.remote = response.header("To").unwrap_or_default().to_owned();
        }
        if code < 300 {
            talk.hears(response);
        }
        let ack = talk.request(call, "ACK", sequence, &ack_branch).to_bytes();
        self.said.push(ack.clone());
        self.acks.insert(key, ack);
        match code {
            200..300 if !first && !begins => {}
            200..300 => {
                if begins {
                    talk.stage = Stage::Up;
                }
                talk.answered(&response.text());
                if begins && talk.leaving {
                    self.request(now, call, "BYE");
                }
            }
            // RFC 3261 §14.1: two changes at once. Who began the call waits longer.
            491 if !begins => {
                let wait = if talk.ours { 2500 } else { 1000 };
                self.due.insert((now + Duration::from_millis(wait), Due::Change(call.to_owned())));
            }
            408 | 481 => self.over(call, code),
            _ if begins => self.over(call, code),
            _ => talk.refused(),
        }
    }

    /// A request came.
    fn asked(&mut self, now: Time, call: &str, sequence: u32, method: &str, request: &SipText, chance: &mut Tokens) {
        if method == "ACK" {
            let first = self.accepted.remove(call).is_some();
            if first && self.talks.get(call).is_some_and(|talk| talk.is_up() && talk.leaving) {
                self.request(now, call, "BYE");
            }
            return;
        }
        let key = format!("{} {method}", request.branch().unwrap_or_default());
        if let Some(answer) = self.answered.get(&key) {
            return self.said.push(answer.clone());
        }
        let in_dialog = parameter(request.header("To").unwrap_or_default(), "tag").is_some();
        if method == "INVITE" && !in_dialog {
            return self.rung(now, call, sequence, request, chance);
        }
        if method == "CANCEL" {
            self.answer(request, &request.response(200, "OK", "cancelled"));
            return self.cancelled(call);
        }
        let talk = self.talks.get_mut(call).filter(|talk| talk.is_up());
        let Some(talk) = talk else { return self.answer(request, &request.response(481, "No Such Call", "")) };
        if sequence <= talk.heard {
            return self.answer(request, &request.response(500, "Out Of Order", ""));
        }
        talk.heard = sequence;
        match method {
            "BYE" => {
                self.answer(request, &request.response(200, "OK", ""));
                self.over(call, 200);
            }
            "INVITE" | "UPDATE" => self.changed(now, call, method, request),
            "INFO" => {
                talk.infos.push(request.text());
                self.answer(request, &request.response(200, "OK", ""));
            }
            _ => self.answer(request, &request.response(501, "Not Implemented", "")),
        }
    }

    /// Somebody calls.
    fn rung(&mut self, now: Time, call: &str, sequence: u32, invite: &SipText, chance: &mut Tokens) {
        if self.talks.contains_key(call) {
            return;
        }
        let user = invite.addressee().and_then(|user| user.strip_prefix("romeo")?.parse().ok()).unwrap_or(0);
        let header = |name| invite.header(name).unwrap_or_default().to_owned();
        let mut talk = Talk::new(user, crate::wire::uri_of(&header("From")).trim_start_matches("sip:"), false);
        let tag = self.mint("tag");
        let ringing = invite.response(180, "Ringing", &tag);
        talk.local = ringing.header("To").unwrap_or_default().to_owned();
        talk.remote = header("From");
        talk.heard = sequence;
        talk.hears(invite);
        talk.offered(&invite.text());
        let (busy, declines, silent) = (self.habits.busy, self.habits.declines, self.habits.silent);
        let fate = chance.below(1000);
        if fate < busy + declines {
            let (code, words) = if fate < busy { (486, "Busy Here") } else { (603, "Decline") };
            (talk.stage, talk.code) = (Stage::Over, Some(code));
            self.talks.insert(call.to_owned(), talk);
            return self.answer(invite, &invite.response(code, words, &tag));
        }
        talk.invite = Some(invite.clone());
        self.talks.insert(call.to_owned(), talk);
        self.said.push(ringing.to_bytes());
        self.due.insert((now + RING, Due::GiveUp(call.to_owned())));
        if fate >= busy + declines + silent {
            self.due.insert((now + self.habits.rings_for, Due::PickUp(call.to_owned())));
        }
    }

    fn pick_up(&mut self, now: Time, call: &str) {
        let Some(talk) = self.talks.get_mut(call).filter(|talk| talk.stage == Stage::Ringing) else { return };
        let Some(invite) = talk.invite.take() else { return };
        talk.stage = Stage::Up;
        self.accept(now, call, &invite);
    }

    /// A re-INVITE or an UPDATE.
    fn changed(&mut self, now: Time, call: &str, method: &str, request: &SipText) {
        let ours = self.clients.values().any(|client| client.call == call && client.method == "INVITE");
        if ours || (method == "INVITE" && self.accepted.contains_key(call)) {
            return self.answer(request, &request.response(491, "Request Pending", ""));
        }
        let Some(talk) = self.talks.get_mut(call) else { return };
        talk.hears(request);
        if request.body.is_empty() {
            return match method {
                "UPDATE" => self.answer(request, &request.response(200, "OK", "")),
                _ => self.answer(request, &request.response(488, "An Offer, Please", "")),
            };
        }
        talk.offered(&request.text());
        self.accept(now, call, request);
    }

    /// Answers an offer.
    fn accept(&mut self, now: Time, call: &str, request: &SipText) {
        let Some(talk) = self.talks.get_mut(call) else { return };
        talk.version += 1;
        let tag = parameter(&talk.local, "tag").unwrap_or_default().to_owned();
        let mut ok = request.response(200, "OK", &tag);
        ok.push("Contact", talk.contact());
        ok.push("Content-Type", "application/sdp");
        ok.body = talk.answer(call).into_bytes();
        if request.request().is_some_and(|(method, _)| method == "INVITE") {
            let accepted = Accepted { bytes: ok.to_bytes(), interval: T1, end: now + TIMERS };
            self.accepted.insert(call.to_owned(), accepted);
            self.due.insert((now + T1, Due::Accepted(call.to_owned())));
        }
        self.answer(request, &ok);
    }

    /// Who called gives up.
    fn cancelled(&mut self, call: &str) {
        let Some(talk) = self.talks.get_mut(call).filter(|talk| talk.stage == Stage::Ringing) else { return };
        (talk.stage, talk.code) = (Stage::Over, Some(487));
        if let Some(invite) = talk.invite.take() {
            let tag = parameter(&talk.local, "tag").unwrap_or_default().to_owned();
            self.answer(&invite, &invite.response(487, "Request Terminated", &tag));
        }
    }
}
