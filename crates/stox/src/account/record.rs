//! What is kept of a linked account. Whoever keeps it seals it ([`crate::store::is_sealed`]): a registrar wants the password itself, by whichever algorithm
//! it asks next.

use crate::store::Broken;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A linked account; its user and the domain of ours stand in the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The account's address as the XMPP side sees it.
    pub address: String,
    /// The name that the registrar knows.
    pub name: String,
    /// The password.
    pub password: String,
    /// The realm that the registrar asks for.
    #[serde(default)]
    pub realm: Option<String>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Broken::Value`], without a word of what stands there.
    pub(crate) fn parse(value: &[u8]) -> Result<Record, Broken> {
        serde_json::from_slice(value).map_err(|e| Broken::Value(format!("no account, seen at column {}", e.column())))
    }

    /// Writes it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Strings always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
