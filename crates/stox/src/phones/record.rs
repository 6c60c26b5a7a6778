//! What is kept of an account and of its contacts.

use crate::store::Broken;
use base::digest::{Algorithm, Secret};
use base::{Str, Time};
use serde::{Deserialize, Serialize};
use sip::registrar::{Binding, Bindings, Stored};
use std::collections::BTreeMap;

/// The longest user name and realm of an account, in bytes.
const LONGEST: usize = 256;

/// An account: who may register, and what proves that it is them. Never the password itself; but who has these hashes can log in with them (RFC 7616 §5.10).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name that the phone logs in with: the user part of its address, decoded.
    user: String,
    /// The realm that the hashes are for.
    realm: String,
    /// By the algorithm's name: the hash of user name, realm and password (RFC 7616 §3.4.2, without a session).
    secrets: BTreeMap<String, String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl Account {
    /// The account of a user, with hashes for these algorithms. The password is not kept.
    ///
    /// # Errors
    /// What is wrong with the user name, the realm or the password, in words.
    pub fn new(user: &str, realm: &str, password: &str, algorithms: &[Algorithm]) -> Result<Account, &'static str> {
        let sound =
            |text: &str| !text.is_empty() && text.len() <= LONGEST && !text.contains(['"', '\\', '\r', '\n', '\0']);
        if !sound(user) || user.contains(':') {
            return Err(
                "the user name cannot be used to log in with: no quotation marks, backslashes or colons, 256 bytes at most",
            );
        }
        if !sound(realm) {
            return Err("the realm cannot be used: no quotation marks or backslashes, 256 bytes at most");
        }
        if password.is_empty() || password.contains(['\r', '\n', '\0']) {
            return Err("the password is empty, or has more than one line");
        }
        let secret = |algorithm: &Algorithm| {
            let secret = Secret::new(*algorithm, user, realm, password);
            (algorithm.name().to_owned(), secret.digits().to_owned())
        };
        let secrets = algorithms.iter().map(secret).collect();
        Ok(Account { user: user.to_owned(), realm: realm.to_owned(), secrets })
    }

    /// The name to log in with.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The realm that the password was hashed for.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The algorithms that it can log in by.
    pub fn algorithms(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// The secret for an algorithm, if there is one.
    pub fn secret(&self, algorithm: Algorithm) -> Option<Secret> {
        Secret::kept(algorithm, self.secrets.get(algorithm.name())?)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Broken::Value`].
    pub fn parse(value: &[u8]) -> Result<Account, Broken> {
        let account: Account = serde_json::from_slice(value).map_err(|e| Broken::Value(e.to_string()))?;
        let known = Algorithm::ALL.iter().any(|algorithm| account.secret(*algorithm).is_some());
        known.then_some(account).ok_or_else(|| Broken::Value("there is no hash that can be used".to_owned()))
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The clock and the run of the gateway that records are read by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The date of [`Time::ZERO`].
    pub(super) epoch: u64,
    /// Which one it is.
    pub(super) number: u64,
    /// The longest registration, in seconds.
    pub(super) longest: u32,
}

/// Where the phones of an account are.
#[derive(Serialize, Deserialize)]
struct Contacts {
    contacts: Vec<Stored>,
}

/// The contacts of an account as a record has them; nothing if there are none.
pub(super) fn of_bindings(bindings: &[Binding], run: Run) -> Option<Vec<u8>> {
    let contacts: Vec<Stored> = bindings.iter().map(|binding| Stored::of(binding, run.epoch, run.number)).collect();
    (!contacts.is_empty()).then(|| serde_json::to_vec(&Contacts { contacts }).unwrap_or_default())
}

/// The contacts of a record, those that are not over.
pub(super) fn bindings(value: &[u8], now: Time, run: Run) -> Result<Bindings, Broken> {
    let stored = check_bindings(value)?;
    Ok(stored.iter().filter_map(|stored| stored.binding(now, run.epoch, run.number, run.longest)).collect())
}

/// Reads a record without using it.
///
/// # Errors
/// [`Broken::Value`].
pub fn check_bindings(value: &[u8]) -> Result<Vec<Stored>, Broken> {
    let read: Result<Contacts, _> = serde_json::from_slice(value);
    read.map(|read| read.contacts).map_err(|e| Broken::Value(e.to_string()))
}

/// The user part of an account's address as it logs in: decoded. None: it is no text.
pub fn user_of(uri: &sip::SipUri) -> Option<Str> {
    uri.user_octets().and_then(|octets| String::from_utf8(octets).ok()).map(Str::from)
}
