//! XMPP users in SIP conferences: RFC 7702 §5. The gateway is the MUC service (XEP-0045) of each of them, and takes part in the conference in
//! their place.

use crate::choice::Way;
use crate::config::{Config, LinkId};
use crate::leg::{self, LegId};
use crate::links::StanzaToken;
use crate::mapping::{Invitation, Mapping, Purpose, Stage};
use crate::room::{Options, Seat};
use base::{HashKey, Table, Time};
use sip::Request;
use xmpp::error::StanzaError;
use xmpp::stanza::Stanza;

/// The mapping of RFC 7702 §5.
#[derive(Debug)]
pub struct Occupants {
    options: Options,
    seats: Table<LegId, Box<Seat>>,
}

impl Occupants {
    /// The mapping; `key` is secret.
    pub fn new(config: &Config, key: HashKey) -> Occupants {
        Occupants { options: config.room.clone(), seats: Table::new(key) }
    }

    /// The places.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages held, on their way or waiting.
    pub fn under_way(&self) -> usize {
        0
    }

    /// All places, the oldest first.
    pub fn seats(&self, _: Time) -> Vec<Seat> {
        self.seats.keys_sorted().iter().filter_map(|leg| self.seats.get(leg)).map(|seat| (**seat).clone()).collect()
    }
}

impl Mapping for Occupants {
    fn claims_request(&self, _: &Request) -> bool {
        false
    }

    fn claims_invitation(&self, invitation: &Invitation) -> bool {
        invitation.purpose == Purpose::Conference && self.options.seats == 0
    }

    fn claims_stanza(&self, _: &Stanza, _: Way) -> bool {
        false
    }

    fn reconfigure(&mut self, config: &Config) {
        self.options = config.room.clone();
    }

    fn stanza(&mut self, _: &mut Stage<'_>, _: LinkId, _: Stanza) {}

    fn error(&mut self, _: &mut Stage<'_>, _: &Stanza, _: &StanzaError) -> bool {
        false
    }

    fn leg(&mut self, _: &mut Stage<'_>, event: leg::Event) -> Option<leg::Event> {
        Some(event)
    }

    fn stanza_outcome(&mut self, _: &mut Stage<'_>, _: StanzaToken, _: bool) -> bool {
        false
    }

    fn timeout(&mut self, _: &mut Stage<'_>) {}

    fn deadline(&self) -> Option<Time> {
        None
    }
}
