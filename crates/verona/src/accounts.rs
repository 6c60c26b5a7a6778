//! The accounts of phones: what may be asked about them, done on the store. By the command line while the gateway is stopped, and by the gateway itself while it runs
//! ([`crate::control`]): both do the same.

use crate::store::{Engine, Error, Write};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use stox::address::{self, Options};
use stox::phones::{Account, check_bindings};
use stox::store::{About, Key};
use xmpp::jid::{Jid, domain_to_ascii};

/// The most accounts that are listed.
const MOST: usize = 100_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Request {
    /// This is to be an account, or to have another password.
    Add {
        /// Its address.
        account: String,
        /// What is to be kept of it.
        record: Account,
    },
    /// This is no account any more.
    Remove {
        /// Its address.
        account: String,
    },
    /// Which there are.
    List,
}

/// What is answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Whether there was such an account before.
    #[serde(default)]
    pub(crate) was: bool,
    /// Those that there are.
    #[serde(default)]
    pub(crate) accounts: Vec<Listed>,
}

impl Answer {
    /// Nothing was done.
    pub(crate) fn refused(why: impl Into<String>) -> Answer {
        Answer { error: Some(why.into()), ..Answer::default() }
    }
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Its address.
    pub(crate) account: String,
    /// The name that its phones log in with.
    pub(crate) user: String,
    /// What its password is for.
    pub(crate) realm: String,
    /// The hashes that it can log in by.
    pub(crate) algorithms: Vec<String>,
    /// How many contacts are registered.
    pub(crate) contacts: usize,
}

/// Does what is asked. With what was changed, if anything was.
///
/// # Errors
/// The store does not work.
pub(crate) fn perform(store: &mut dyn Engine, request: Request) -> Result<(Answer, Option<Write>), Error> {
    match request {
        Request::Add { account, record } => put(store, &account, Some(record.to_bytes())),
        Request::Remove { account } => put(store, &account, None),
        Request::List => Ok((list(store)?, None)),
    }
}

fn put(store: &mut dyn Engine, account: &str, value: Option<Vec<u8>>) -> Result<(Answer, Option<Write>), Error> {
    let Ok(jid) = Jid::parse(account) else { return Ok((Answer::refused("not an address"), None)) };
    if jid.local().is_none() || !jid.is_bare() {
        return Ok((Answer::refused("not the address of a user"), None));
    }
    let key = Key { about: About::Account, sip: jid.clone(), xmpp: jid }.to_bytes();
    let mut was = false;
    store.load(&mut |known, _| {
        was |= known == key;
        !was && known <= key.as_slice()
    })?;
    let answer = Answer { was, ..Answer::default() };
    if value.is_none() && !was {
        return Ok((answer, None));
    }
    let write = Write { key, value };
    store.commit(std::slice::from_ref(&write))?;
    Ok((answer, Some(write)))
}

fn list(store: &mut dyn Engine) -> Result<Answer, Error> {
    let mut accounts: Vec<Listed> = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    store.load(&mut |key, value| {
        match Key::parse(key) {
            Ok(Key { about: About::Account, sip, .. }) if accounts.len() < MOST => {
                if let Ok(account) = Account::parse(value) {
                    accounts.push(Listed {
                        account: sip.to_string(),
                        user: account.user().to_owned(),
                        realm: account.realm().to_owned(),
                        algorithms: account.algorithms().map(str::to_owned).collect(),
                        contacts: 0,
                    });
                }
            }
            Ok(Key { about: About::Contacts, sip, .. }) => {
                let name = sip.to_string();
                let found = accounts.binary_search_by(|listed| listed.account.cmp(&name)).ok();
                if let (Some(at), Ok(stored)) = (found, check_bindings(value)) {
                    accounts[at].contacts = stored.iter().filter(|stored| stored.expires() > now).count();
                }
            }
            // Accounts and contacts are the first in the order of the keys.
            Ok(_) | Err(_) => return key.first().is_none_or(|kind| *kind <= stox::store::LAST_OF_PHONES),
        }
        true
    })?;
    Ok(Answer { accounts, ..Answer::default() })
}

/// The address of an account as the store has it, and the name that its phones log in with, of what somebody has written: `romeo@example.net`.
///
/// # Errors
/// Why it is none.
pub(crate) fn read(text: &str) -> Result<(Jid, String), String> {
    let text = text.strip_prefix("sip:").unwrap_or(text);
    // SIP writes A-labels; people do not.
    let ascii = text
        .rsplit_once('@')
        .filter(|(_, domain)| !domain.is_ascii())
        .and_then(|(user, domain)| Some(format!("{user}@{}", domain_to_ascii(&xmpp::jid::domain(domain).ok()?).ok()?)));
    let text = ascii.as_deref().unwrap_or(text);
    let uri = sip::SipUri::parse(&format!("sip:{text}")).map_err(|e| format!("not a SIP address: {e}"))?;
    let plain = uri.port.is_none() && uri.password.is_none() && uri.headers.is_none();
    let user = stox::phones::user_of(&uri).filter(|_| plain && !text.contains([';', '?']));
    let user = user.ok_or("not USER@DOMAIN")?;
    let jid = address::to_jid(&uri.into(), &Options::default()).map_err(|e| e.to_string())?;
    Ok((jid, user.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_written_as_people_write_it() {
        for (text, address, user) in [
            ("romeo@example.net", "romeo@example.net", "romeo"),
            ("sip:O%27Malley@EXAMPLE.net", "o\\27malley@example.net", "O'Malley"),
            ("romeo@M\u{fc}nchen.example", "romeo@m\u{fc}nchen.example", "romeo"),
            ("sip:romeo@xn--mnchen-3ya.example", "romeo@m\u{fc}nchen.example", "romeo"),
        ] {
            let (jid, name) = read(text).expect("an account");
            assert_eq!((jid.to_string().as_str(), name.as_str()), (address, user), "{text}");
        }
        for text in [
            "romeo",
            "@m\u{fc}nchen.example",
            "romeo@m\u{fc}nchen.example;x",
            "romeo@m\u{fc}n chen",
            "romeo@example.net:5060",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
