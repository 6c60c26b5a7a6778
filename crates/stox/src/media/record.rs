//! What is kept of a call, so that after a crash both sides learn that it is over.

use crate::store::Broken;
use serde::{Deserialize, Serialize};
use sip::Dialog;

/// A call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Call {
    /// The resource by which the SIP user is known in the Jingle session.
    pub device: Option<String>,
    /// The XMPP user's resource; none while all of them ring.
    pub resource: Option<String>,
    /// The Jingle session.
    pub sid: String,
    /// Whether the SIP user has begun it.
    pub from_sip: bool,
    /// Whether it was proposed (XEP-0353), so that its end is to be told there as well.
    pub proposed: bool,
    /// The dialog, once there is one.
    pub dialog: Option<Dialog>,
}

impl Call {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Broken::Value`].
    pub(crate) fn parse(value: &[u8]) -> Result<Call, Broken> {
        serde_json::from_slice(value).map_err(|e| Broken::Value(e.to_string()))
    }

    /// Writes it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and flags always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
