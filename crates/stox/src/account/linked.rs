//! The SIP accounts that XMPP users have linked, as all shards know them.

use super::privileged::Granted;
use super::record::Record;
use crate::address::{self, Scheme};
use crate::prints;
use base::{Fingerprint, HashKey, Str, Table};
use sip::agent::AccountId;
use sip::uri::SipUri;
use std::fmt;
use std::sync::Arc;
use xmpp::jid::Jid;

/// The parameter of a Contact that names the domain of the XMPP user: a registrar gives it back in each Request-URI (RFC 3261 §10.3, §16.5).
pub(crate) const FOR: &str = "for";

/// A password. It has no way to be printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(Str);

impl Password {
    /// From its text.
    pub(crate) fn new(text: impl Into<Str>) -> Password {
        Password(text.into())
    }

    /// The text, for the one place that proves knowledge of it and the one that keeps it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(not shown)")
    }
}

/// A SIP account of an XMPP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Whose it is: a bare address.
    pub(crate) user: Jid,
    /// The account's address as the XMPP side sees it: bare, in the domain of ours that it was linked at.
    pub(crate) address: Jid,
    /// The same as the SIP side has it: From of all that the user sends into that domain.
    pub(crate) uri: SipUri,
    /// The name that its registrar knows it by (RFC 3261 §22), which need not be the address's.
    pub(crate) name: Str,
    /// The password.
    pub(crate) password: Password,
    /// The realm that the registrar asks for: nobody else is given an answer for it (RFC 3261 §22.1). None: it was not asked yet.
    pub(crate) realm: Option<Str>,
}

impl Account {
    /// An account of `user` at the domain of ours `domain`; none where the address is no address there.
    pub(crate) fn new(user: &Jid, address: Jid, name: Str, password: Password) -> Option<Account> {
        let uri = address::to_uri(&address, Scheme::Sip).ok()?;
        let whole = address.local().is_some() && address.is_bare() && user.local().is_some();
        whole.then(|| Account { user: user.bare(), address, uri, name, password, realm: None })
    }

    /// What is kept of it.
    pub(crate) fn record(&self) -> Record {
        Record {
            address: self.address.to_string(),
            name: self.name.to_string(),
            password: self.password.reveal().to_owned(),
            realm: self.realm.as_ref().map(ToString::to_string),
        }
    }

    /// What was kept of it under a key.
    pub(crate) fn of_record(domain: &Jid, user: &Jid, record: &Record) -> Option<Account> {
        let address = Jid::parse(&record.address).ok().filter(|address| address.domain() == domain.domain())?;
        let (name, password) = (Str::from(record.name.as_str()), Password::new(record.password.as_str()));
        let realm = record.realm.as_deref().map(Str::from);
        Some(Account { realm, ..Account::new(user, address, name, password)? })
    }
}

/// All of them. A user has at most one at each domain of ours.
#[derive(Debug)]
pub(crate) struct Linked {
    key: HashKey,
    accounts: Table<Fingerprint, (Arc<Account>, AccountId)>,
    /// Who has linked an account, by its address: it may be several users.
    owners: Table<Fingerprint, Vec<Fingerprint>>,
    /// How many each user has.
    users: Table<Fingerprint, usize>,
    /// What servers let the gateway do.
    pub(super) granted: Granted,
}

impl Linked {
    pub(crate) fn new(key: HashKey) -> Linked {
        Linked {
            key,
            accounts: Table::new(key),
            owners: Table::new(key),
            users: Table::new(key),
            granted: Granted::default(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// The account of an XMPP user at a domain of ours.
    pub(crate) fn of(&self, user: &Jid, domain: &str) -> Option<&Arc<Account>> {
        self.entry(user, domain).map(|(account, _)| account)
    }

    /// The name of its credentials in this shard's wallet.
    pub(crate) fn credentials(&self, user: &Jid, domain: &str) -> Option<AccountId> {
        self.entry(user, domain).map(|(_, id)| *id)
    }

    /// The name of the credentials of the account with this address, whoever has linked it: of several those that came last, as their password is the one that
    /// the registrar has taken last.
    pub(crate) fn credentials_of(&self, address: &Jid) -> Option<AccountId> {
        self.entries(address).last().map(|(_, id)| *id)
    }

    fn entry(&self, user: &Jid, domain: &str) -> Option<&(Arc<Account>, AccountId)> {
        // Nobody pays for what nobody uses.
        if self.accounts.is_empty() { None } else { self.accounts.get(&self.print(user, domain)) }
    }

    /// The XMPP users who have linked the account of this address.
    pub(crate) fn owners(&self, address: &Jid) -> impl Iterator<Item = &Arc<Account>> {
        self.entries(address).map(|(account, _)| account)
    }

    fn entries(&self, address: &Jid) -> impl Iterator<Item = &(Arc<Account>, AccountId)> {
        let owners =
            if self.accounts.is_empty() { &[][..] } else { self.owners.list(&prints::user(&self.key, address)) };
        owners.iter().filter_map(|print| self.accounts.get(print))
    }

    /// The XMPP user whom a registrar means by the Contact that it was given, if this is one.
    pub(crate) fn called(&self, uri: &SipUri) -> Option<Jid> {
        if self.accounts.is_empty() {
            return None;
        }
        let domain = uri.params.get(FOR)?;
        let named = address::to_jid(&uri.clone().into(), &address::Options::default()).ok()?;
        let user = Jid::new(named.local(), domain, None).ok()?;
        // Of whom nobody has an account there is no such Contact.
        self.users.contains(&prints::user(&self.key, &user)).then_some(user)
    }

    /// An account is there from now on, with credentials of this name, in place of what its user has had at that domain. What comes back is the name of
    /// credentials that nothing needs any more.
    pub(crate) fn insert(&mut self, account: Arc<Account>, id: AccountId) -> Option<AccountId> {
        let print = self.print(&account.user, account.address.domain());
        let old = self.take(print);
        self.owners.list_add(prints::user(&self.key, &account.address), print);
        self.users.count_up(prints::user(&self.key, &account.user));
        self.accounts.insert(print, (account, id));
        old
    }

    /// An account is no more; likewise.
    pub(crate) fn remove(&mut self, user: &Jid, domain: &str) -> Option<AccountId> {
        self.take(self.print(user, domain))
    }

    fn take(&mut self, print: Fingerprint) -> Option<AccountId> {
        let (account, id) = self.accounts.remove(&print)?;
        self.owners.list_remove(&prints::user(&self.key, &account.address), &print);
        self.users.count_down(&prints::user(&self.key, &account.user));
        Some(id)
    }

    fn print(&self, user: &Jid, domain: &str) -> Fingerprint {
        self.key.fingerprint(&[
            user.local().unwrap_or_default().as_bytes(),
            user.domain().as_bytes(),
            domain.as_bytes(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("an address")
    }

    fn account(user: &str, address: &str) -> Arc<Account> {
        Arc::new(Account::new(&jid(user), jid(address), "x".into(), Password::new("s3cret")).expect("an account"))
    }

    fn uri(text: &str) -> SipUri {
        sip::Uri::parse(text).expect("a URI").sip().expect("a SIP URI").clone()
    }

    #[test]
    fn who_has_which() {
        let mut linked = Linked::new(HashKey::new(1, 2));
        assert!(linked.of(&jid("juliet@example.com"), "example.net").is_none());
        linked.insert(account("juliet@example.com/balcony", "jules@example.net"), AccountId(0));
        linked.insert(account("nurse@example.com", "jules@example.net"), AccountId(0));
        linked.insert(account("juliet@example.com", "other@example.org"), AccountId(0));
        let of = |linked: &Linked, user, domain| linked.of(&jid(user), domain).map(|a| a.address.to_string());
        assert_eq!(of(&linked, "juliet@example.com/x", "example.net").as_deref(), Some("jules@example.net"));
        assert_eq!(of(&linked, "juliet@example.com", "example.org").as_deref(), Some("other@example.org"));
        assert_eq!(of(&linked, "juliet@example.org", "example.net"), None);
        let owners =
            |linked: &Linked| linked.owners(&jid("jules@example.net")).map(|a| a.user.to_string()).collect::<Vec<_>>();
        assert_eq!(owners(&linked), ["juliet@example.com", "nurse@example.com"]);
        // The last password that the registrar has taken is the account's, whoever has given it.
        let last = |linked: &Linked| linked.credentials_of(&jid("jules@example.net"));
        linked.insert(account("nurse@example.com", "jules@example.net"), AccountId(5));
        assert_eq!(last(&linked), Some(AccountId(5)));
        linked.insert(account("juliet@example.com", "jules@example.net"), AccountId(6));
        assert_eq!(last(&linked), Some(AccountId(6)));
        linked.insert(account("nurse@example.com", "jules@example.net"), AccountId(0));
        // Another one in its place.
        linked.insert(account("juliet@example.com", "jul@example.net"), AccountId(0));
        assert_eq!((owners(&linked), linked.len()), (vec!["nurse@example.com".to_owned()], 3));
        assert!(linked.remove(&jid("nurse@example.com"), "example.net").is_some());
        assert!(linked.remove(&jid("nurse@example.com"), "example.net").is_none());
        assert!(owners(&linked).is_empty());
    }

    #[test]
    fn whom_a_contact_means() {
        let mut linked = Linked::new(HashKey::new(1, 2));
        let contact = uri("sip:o%27malley@192.0.2.1:5060;for=example.com");
        assert_eq!(linked.called(&contact), None);
        linked.insert(account("o\\27malley@example.com", "om@example.net"), AccountId(0));
        assert_eq!(linked.called(&contact), Some(jid("o\\27malley@example.com")));
        for other in [
            "sip:juliet@192.0.2.1;for=example.com",
            "sip:o%27malley@192.0.2.1",
            "sip:o%27malley@192.0.2.1;for=%40",
            "sip:192.0.2.1;for=example.com",
        ] {
            assert_eq!(linked.called(&uri(other)), None, "{other}");
        }
        linked.remove(&jid("o\\27malley@example.com"), "example.net");
        assert_eq!(linked.called(&contact), None);
    }

    #[test]
    fn no_password_is_shown() {
        let account = account("juliet@example.com", "jules@example.net");
        assert!(!format!("{account:?}").contains("s3cret") && !format!("{:?}", account.record()).contains("s3cret"));
        assert_eq!(Account::of_record(&jid("example.net"), &account.user, &account.record()).as_ref(), Some(&*account));
        assert_eq!(
            Account::of_record(&jid("example.org"), &account.user, &account.record()),
            None,
            "at another domain"
        );
    }
}
