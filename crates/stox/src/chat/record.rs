//! What is kept of a chat, so that after a crash both sides learn that it is over.

use crate::store::Broken;
use serde::{Deserialize, Serialize};
use sip::Dialog;

/// A chat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Chat {
    /// The SIP user's device: the resource.
    pub device: Option<String>,
    /// The XMPP user's resource.
    pub resource: Option<String>,
    /// The thread.
    pub thread: String,
    /// The dialog, once there is one.
    pub dialog: Option<Dialog>,
    /// The ids of what the XMPP user has written and what waits for the session: their senders are to hear that it did not arrive.
    pub waiting: Vec<Option<String>>,
}

impl Chat {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Broken::Value`].
    pub(crate) fn parse(value: &[u8]) -> Result<Chat, Broken> {
        serde_json::from_slice(value).map_err(|e| Broken::Value(e.to_string()))
    }

    /// Writes it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
