//! As whom XMPP users speak on the SIP side: by their own addresses, or with the accounts that they have linked.

use crate::account::linked::{Account, FOR};
use crate::address::{self, AddressError, Scheme};
use crate::error::Refusal;
use crate::mapping::Stage;
use crate::trunk::Trunk;
use crate::way;
use base::Str;
use sip::agent::{AccountId, Hop, Place, Target};
use sip::register::{Binding, RegistrationId};
use sip::uri::{Host, SipUri};
use sip::{Uri, digest};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use xmpp::jid::Jid;

/// As whom an XMPP user speaks to somebody.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    /// From: the account's address, or the user's own; without a device.
    pub(crate) from: SipUri,
    /// What a Contact is made of ([`Stage::contact`]): always the user's own, with the device where there is one.
    pub(crate) contact: Uri,
}

impl Stage<'_> {
    /// As whom an XMPP user speaks to `to`, an address in a SIP domain of ours.
    ///
    /// # Errors
    /// [`Refusal::Sender`]: the user's address has no form in SIP.
    pub(crate) fn voice(&self, user: &Jid, to: &Jid) -> Result<Voice, Refusal> {
        let mut own = address::to_uri(user, Scheme::Sip).map_err(Refusal::Sender)?;
        match self.linked.of(user, to.domain()) {
            Some(account) => {
                let from = account.uri.clone();
                // Of the account's dialogs, too, requests come to the XMPP user.
                own.params.set(FOR, Some(ascii(user).as_bytes()));
                Ok(Voice { from, contact: own.into() })
            }
            None => {
                let contact = Uri::from(own.clone());
                own.params.remove("gr");
                Ok(Voice { from: self.carried_as(to).unwrap_or(own), contact })
            }
        }
    }

    /// The account that an XMPP user has linked at the domain of `to`.
    pub(crate) fn account(&self, user: &Jid, to: &Jid) -> Option<&Arc<Account>> {
        self.linked.of(user, to.domain())
    }

    /// The address that an XMPP user goes by towards `to`: that of the account, or the user's own with the device.
    ///
    /// # Errors
    /// The user's own has no form in SIP.
    pub(crate) fn known_as(&self, user: &Jid, to: &Jid) -> Result<SipUri, AddressError> {
        match self.linked.of(user, to.domain()) {
            Some(account) => Ok(account.uri.clone()),
            None => self.carried_as(to).map_or_else(|| address::to_uri(user, Scheme::Sip), Ok),
        }
    }

    /// The account that all speak as whom a trunk carries to `to`.
    pub(crate) fn carried_as(&self, to: &Jid) -> Option<SipUri> {
        let uri = self.config.numbers.to_uri(&to.bare()).ok()?;
        let trunk = Trunk::of(&self.config.trunks, &uri).filter(|trunk| trunk.speaks)?;
        Some(trunk.address.clone())
    }

    /// An account is linked from now on: what its user sends goes out with it.
    pub(crate) fn link_account(&mut self, account: Arc<Account>) {
        // What a user sends comes to many, and each of them could ask who it is: only the registrar's realm is answered.
        let realm = account.realm.clone().unwrap_or_else(|| ascii(&account.address));
        let id = self.take_credentials(&account, Some(realm));
        if let Some(old) = self.linked.insert(account, id) {
            self.sip.wallet_mut().remove(old);
        }
    }

    /// It is so no more.
    pub(crate) fn unlink_account(&mut self, user: &Jid, domain: &str) {
        if let Some(old) = self.linked.remove(user, domain) {
            self.sip.wallet_mut().remove(old);
        }
    }

    /// Begins to register an account with its registrar; what becomes of it are events of the registration. None: there is no way, or no room. The
    /// credentials are the registration's own.
    pub(crate) fn register_account(
        &mut self,
        account: &Account,
        registrar: Uri,
        expires: u32,
    ) -> Option<(RegistrationId, AccountId)> {
        let place = registrar.sip()?;
        let way = way::route(self.config, self.trunks, self.sip, place).ok()?;
        let mut own = address::to_uri(&account.user, Scheme::Sip).ok()?;
        own.params.set(FOR, Some(ascii(&account.user).as_bytes()));
        let id = self.take_credentials(account, None);
        let binding = Binding {
            registrar,
            address: account.uri.clone().into(),
            contact: self.contact(&own.into(), way.transport),
            hop: with_account(way.hop, id),
            route: way.route,
            expires,
            retry: RETRY,
            outbound: None,
        };
        let registration = self.registering(|all, ground| all.open(ground, binding));
        if registration.is_none() {
            self.sip.wallet_mut().remove(id);
        }
        Some((registration?, id))
    }

    /// Puts credentials into the wallet, under a name of their own; `realm` is the only one that they are for.
    fn take_credentials(&mut self, account: &Account, realm: Option<Str>) -> AccountId {
        let id = AccountId(self.tokens.u64() | OURS);
        let credentials = digest::Account {
            username: account.name.clone(),
            password: Str::from(account.password.reveal()),
            realm,
            weakest: digest::Algorithm::Md5,
            registers: false,
            // Whom a user calls need not see what the password makes of an address that the other side has chosen.
            proxies: true,
        };
        self.sip.wallet_mut().set(id, credentials);
        id
    }
}

/// What the names of our credentials have that those of trunks have not.
const OURS: u64 = 1 << 63;

/// How long after a failure a registration is tried again; then twice as long, and so on.
const RETRY: Duration = Duration::from_secs(30);

/// The same way, on which challenges are answered with these credentials. A server that has to have a name (TLS) is found by it; one connection of its own
/// (RFC 5626) has its own credentials.
pub(crate) fn with_account(hop: Hop, account: AccountId) -> Hop {
    let address = |target: &Target| match target.remote.ip() {
        IpAddr::V4(ip) => Host::V4(ip),
        IpAddr::V6(ip) => Host::V6(ip),
    };
    let named = |target: &Target| target.name.as_deref().and_then(|name| Host::parse(name).ok());
    let of = |target: Target| Place {
        host: named(&target).unwrap_or_else(|| address(&target)),
        port: Some(target.remote.port()),
        transport: Some(target.transport),
        secure: false,
        account: Some(account),
        foreign: false,
    };
    match hop {
        Hop::Place(place) => Hop::Place(Place { account: Some(account), ..place }),
        Hop::Target(target) if target.flow.is_none() => Hop::Place(of(target)),
        other @ (Hop::Target(_) | Hop::Fork(_)) => other,
    }
}

/// The domain of an address as SIP writes it.
fn ascii(user: &Jid) -> Str {
    xmpp::jid::domain_to_ascii(user.domain()).unwrap_or_else(|_| Str::from(user.domain()))
}
