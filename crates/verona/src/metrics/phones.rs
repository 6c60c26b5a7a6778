//! The meters of accounts: those of phones that register here, and those that XMPP users have linked.

use super::ShardMeters;
use sip::registrar;
use stox::account;

impl ShardMeters {
    /// Shows the accounts that XMPP users have linked.
    pub fn show_accounts(&self, counts: &account::Counts) {
        self.accounts.set(counts.linked as f64);
        self.accounts_registered.set(counts.registered as f64);
    }

    /// Shows how many accounts of phones there are, and what became of their REGISTERs.
    pub fn show_phones(&self, (accounts, counts): (usize, registrar::Counts)) {
        self.phone_accounts.set(accounts as f64);
        self.phone_contacts.set(counts.bindings as f64);
        let registrations = [counts.registered, counts.asked, counts.refused, counts.expired];
        self.phone_registrations.iter().zip(registrations).for_each(|(meter, count)| meter.absolute(count));
    }
}
