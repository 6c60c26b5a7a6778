//! Sessions in a world: what the users do in them, and what the gateway keeps.

use super::callers::Act;
use super::lines::LineId;
use super::{Event, World};
use crate::wire::{MsrpText, SipText};
use bytes::Bytes;
use std::time::Duration;
use stox::gateway::Gateway;

impl World {
    /// A SIP user writes to an XMPP user in a session, `after` from now. Both by number.
    pub fn sip_chats(&mut self, after: Duration, from: u64, to: u64) -> u64 {
        let letter = self.letters.write(true);
        self.at(after, Event::SipChats { letter, from, to: format!("juliet{to}@example.com") });
        letter
    }

    /// An XMPP user writes a chat message to a SIP user, `after` from now. Both by number.
    pub fn xmpp_chats(&mut self, after: Duration, from: u64, to: u64) -> u64 {
        let letter = self.letters.write(false);
        let (from, to) = (format!("juliet{from}@example.com/balcony"), format!("romeo{to}@example.net"));
        self.at(after, Event::XmppWrites { letter, from, to, chat: true });
        letter
    }

    /// A SIP user writes in a session to an address that the XMPP server knows nobody by.
    pub fn sip_chats_to_nobody(&mut self, after: Duration, from: u64) -> u64 {
        let letter = self.letters.write(true);
        self.at(after, Event::SipChats { letter, from, to: "nobody@example.com".to_owned() });
        letter
    }

    /// An XMPP user leaves the conversation with a SIP user, if there is one.
    pub fn xmpp_leaves(&mut self, from: u64, to: u64) {
        let (from, to) = (format!("juliet{from}@example.com/balcony"), format!("romeo{to}@example.net"));
        if let Some((generation, bytes)) = self.server.leave(&from, &to) {
            self.server_sends(generation, &bytes);
        }
    }

    /// So many of a thousand INVITEs of the gateway are refused.
    pub fn refuse_sessions(&mut self, of_a_thousand: u64) {
        self.callers.refusals = of_a_thousand;
    }

    /// A SIP user ends a session, if there is one.
    pub fn hang_up_one(&mut self) {
        self.callers.hang_up_one(self.now, &mut self.chance, &mut self.letters);
        self.callers_act();
        self.drain();
    }

    /// The sessions that are not over: as the SIP users have them; the gateway's chats, dialogs and MSRP sessions.
    pub fn sessions(&self) -> [usize; 4] {
        [
            self.callers.open(),
            self.shards.iter().map(Gateway::chat_count).sum(),
            self.shards
                .iter()
                .map(|shard| {
                    let counts = shard.session_counts();
                    counts.sessions + counts.ending
                })
                .sum(),
            self.shards.iter().map(|shard| shard.msrp_counts().sessions).sum(),
        ]
    }

    /// Sessions that the SIP users have opened so far, and those that they have taken.
    pub fn sessions_opened(&self) -> [u64; 2] {
        self.callers.opened
    }

    /// Whether a datagram is for those who have sessions.
    pub(super) fn callers_hear(&mut self, bytes: &Bytes) -> bool {
        if self.phones.gone {
            return false;
        }
        let Some(message) = SipText::parse(bytes) else { return false };
        if self.members.received(self.now, &message) {
            self.members_act();
            return true;
        }
        if self.telephones.received(self.now, &message, &mut self.chance) {
            self.telephones_act();
            return true;
        }
        let theirs = self.callers.received(self.now, &message, &mut self.chance, &mut self.letters);
        self.callers_act();
        theirs
    }

    pub(super) fn phones_read(&mut self, line: LineId, frame: &MsrpText) {
        if self.members.read(line, frame) {
            return self.members_act();
        }
        self.callers.read(self.now, line, frame, &mut self.letters);
        self.callers_act();
    }

    pub(super) fn phones_lose(&mut self, line: LineId) {
        self.callers.lost(self.now, line, &mut self.letters);
        self.callers_act();
        self.members.lost(self.now, line);
        self.members_act();
    }

    /// Does what the SIP users ask for.
    pub(super) fn callers_act(&mut self) {
        for act in self.callers.acts() {
            match act {
                Act::Datagram(bytes) => self.phones_send(bytes),
                Act::Connect(call) => {
                    let after = Duration::from_millis(1 + self.chance.below(50));
                    self.at(after, Event::PhoneConnects(call));
                }
                Act::Write(line, bytes) => self.line_sends(line, true, &bytes),
                Act::HangUp(line) => self.line_closed_by_phone(line),
            }
        }
    }
}
