//! What the gateway says of itself, for metrics, for the operator and for an orderly end.

use super::Gateway;
use crate::room::Seat;
use crate::trunk::Seen;
use crate::{account, chat, media};
use sip::{agent, invite, subscription};

impl Gateway {
    /// The SIP side's counts, for metrics.
    pub fn sip_counts(&self) -> agent::Counts {
        self.sip.counts()
    }

    /// How many SIP targets this shard leaves alone now because they have failed (RFC 3263 §4.3).
    pub fn quarantined(&mut self) -> usize {
        self.sip.quarantined(self.now)
    }

    /// The subscriptions' counts, for metrics.
    pub fn subscription_counts(&self) -> subscription::Counts {
        self.subscriptions.counts()
    }

    /// The SIP sessions' counts, for metrics.
    pub fn session_counts(&self) -> invite::Counts {
        self.sessions.counts()
    }

    /// The MSRP side's counts, for metrics.
    pub fn msrp_counts(&self) -> msrp::Counts {
        self.msrp.counts()
    }

    /// What the media relays were asked, for metrics.
    pub fn relay_counts(&self) -> ng::Counts {
        self.relay.counts()
    }

    /// How the media relays are, as this shard sees them.
    pub fn relays(&self) -> Vec<ng::Health> {
        self.relay.health()
    }

    /// The chat sessions that are open or to be opened.
    pub fn chats(&self) -> Vec<chat::Session> {
        self.chats.sessions(self.now)
    }

    /// How many those are.
    pub fn chat_count(&self) -> usize {
        self.chats.len()
    }

    /// The places of SIP users in MUCs.
    pub fn participants(&self) -> Vec<Seat> {
        self.participants.seats(self.now)
    }

    /// The places of XMPP users in SIP conferences.
    pub fn occupants(&self) -> Vec<Seat> {
        self.occupants.seats(self.now)
    }

    /// How many places of each kind there are: of SIP users, of XMPP users.
    pub fn seat_counts(&self) -> (usize, usize) {
        (self.participants.len(), self.occupants.len())
    }

    /// The calls that are there, or begin.
    pub fn calls(&self) -> Vec<media::calls::Seen> {
        self.calls.seen(self.now)
    }

    /// How many those are.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// The SIP accounts that XMPP users have linked, as far as this shard acts on them.
    pub fn account_counts(&self) -> account::Counts {
        self.accounts.counts()
    }

    /// The publications' counts, for metrics.
    pub fn publication_counts(&self) -> sip::publication::Counts {
        self.presences.publication_counts()
    }

    /// The presence authorizations in both directions, for metrics.
    pub fn authorizations(&self) -> usize {
        self.presences.authorizations()
    }

    /// The messages under way in both directions, for metrics and an orderly end; and then the sessions that have yet to be ended.
    pub fn under_way(&self) -> usize {
        let seats = self.participants.len() + self.occupants.len();
        let ending =
            if self.draining { self.chats.len() + self.calls.len() + seats + self.sessions.counts().ending } else { 0 };
        self.messages.under_way()
            + self.accounts.under_way()
            + self.chats.under_way()
            + self.rooms_under_way()
            + ending
            + self.trunks.leaving()
    }

    /// How the trunks stand that this shard registers.
    pub fn trunks_seen(&self) -> Vec<Seen> {
        self.trunks.seen(self.now)
    }

    /// What has changed of that since this was asked last; none: nothing, or nothing any more.
    pub fn trunk_news(&mut self) -> Option<Seen> {
        self.trunks.news()
    }

    /// The messages from XMPP under way: where they are many, it is better not to read any more than to refuse them.
    pub fn under_way_to_sip(&self) -> usize {
        self.messages.under_way_to_sip() + self.chats.under_way_to_sip() + self.occupants.under_way()
    }

    fn rooms_under_way(&self) -> usize {
        self.participants.under_way() + self.occupants.under_way() + self.invitations.under_way()
    }
}
