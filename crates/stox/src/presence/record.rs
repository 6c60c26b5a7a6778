//! What is kept of a presence authorization, so that nobody is asked again after a crash and the notification dialogs go on.

use crate::store::Broken;
use base::Time;
use serde::{Deserialize, Serialize};
use sip::subscription::Usage;
use std::time::Duration;

/// A SIP user who watches an XMPP user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// The contact has approved (RFC 8048 §5.3.1).
    pub granted: bool,
    /// The notification dialogs.
    pub dialogs: Vec<Saved>,
}

/// An XMPP user who watches a SIP user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscription {
    /// The SIP side has sent an active NOTIFY (RFC 8048 §5.2.1).
    pub granted: bool,
    /// The notification dialog, if there is one now.
    pub dialog: Option<Saved>,
    /// The resources that the XMPP user was told are available; an empty one stands for none.
    pub online: Vec<String>,
    /// The user may have a presence session, so there is to be a dialog, or to be one again.
    pub wanted: bool,
    /// The user has unsubscribed, but was not told yet that it is done.
    pub leaving: bool,
}

/// One side of a notification dialog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The dialog.
    pub usage: Usage,
    /// When it expires, in seconds since 1970.
    pub expires: u64,
}

/// The wall clock at [`Time::ZERO`]: what the shell's clock said at the start. Records outlive the process, its own clock does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch(pub(super) u64);

impl Epoch {
    /// A moment as the record has it. Rounded up, so that what was promised is not over before it was to be.
    pub(super) fn seconds(self, at: Time) -> u64 {
        self.0.saturating_add(at.as_micros().div_ceil(1_000_000))
    }

    /// When a dialog of a record expires; `None` if it has. Never later than it had left when it was saved: the clock may have been years
    /// ahead then.
    pub(super) fn expiry(self, saved: &Saved, now: Time) -> Option<Time> {
        let at = Time::ZERO + Duration::from_secs(saved.expires.checked_sub(self.0)?);
        let latest = now + Duration::from_secs(saved.usage.expires_in.into());
        (at > now).then_some(at.min(latest))
    }
}

macro_rules! json {
    ($record:ident) => {
        impl $record {
            /// Reads a record.
            ///
            /// # Errors
            /// [`Broken::Value`].
            pub fn parse(value: &[u8]) -> Result<$record, Broken> {
                serde_json::from_slice(value).map_err(|e| Broken::Value(e.to_string()))
            }

            /// Writes it. JSON, because what is read years later by another version, or by a person, must say what it is.
            pub(super) fn to_bytes(&self) -> Vec<u8> {
                // Strings, numbers and lists of them always have a JSON form.
                serde_json::to_vec(self).unwrap_or_default()
            }
        }
    };
}

json!(Watch);
json!(Subscription);
