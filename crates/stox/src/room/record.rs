//! What is kept of a place in a room, so that after a crash nobody sits there who is not there.

use crate::store::Broken;
use serde::{Deserialize, Serialize};
use sip::Dialog;

/// A place in a room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seat {
    /// The user's resource.
    pub resource: Option<String>,
    /// The nickname.
    pub nick: String,
    /// The dialog, once there is one.
    pub dialog: Option<Dialog>,
}

impl Seat {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Broken::Value`].
    pub(crate) fn parse(value: &[u8]) -> Result<Seat, Broken> {
        serde_json::from_slice(value).map_err(|e| Broken::Value(e.to_string()))
    }

    /// Writes it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
