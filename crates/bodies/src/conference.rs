//! Conference documents: `application/conference-info+xml` (RFC 4575), with the nicknames of RFC 6501. What a focus tells of a conference,
//! whole or in parts, and what a subscriber makes of it ([`Conference`]).
//!
//! XML is read strictly, its content leniently: what is not named here is passed over, and so are sidebars, hosts, services and the
//! dialogs of others. A document without a namespace is read, too, as RFC 7702 shows some.

mod keep;
mod merge;
mod read;
mod write;

pub use keep::{Bounds, Change, Changes, Conference, Gap};
pub use write::{UserList, Writer};

use crate::Timestamp;
use crate::sdp::Direction;
use base::Str;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/conference-info+xml";

/// The namespace of the document (§4.2).
pub const NS: &str = "urn:ietf:params:xml:ns:conference-info";

/// The namespace of nicknames (RFC 6501).
pub const XCON_NS: &str = "urn:ietf:params:xml:ns:xcon-conference-info";

/// The most bytes of a document.
pub const MAX_BYTES: usize = 8 << 20;

/// The most bytes of a key: the entity of a user or of an endpoint. What has a longer one is passed over.
pub const MAX_KEY: usize = 1_024;

/// The most bytes of a text; what is beyond is cut off. A nickname beyond 1,023 is none (RFC 7701 §7.1).
pub const MAX_TEXT: usize = 4_096;

/// The most endpoints, addresses, roles of one user, media of one endpoint, and URIs of a conference. Those beyond are passed over.
pub const MAX_PARTS: usize = 16;

/// A conference document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The URI of the conference (§5.2). Only a claim.
    pub entity: Str,
    /// Whether it is all that there is.
    pub state: State,
    /// The number of the document within the subscription; it grows with each (§4.3).
    pub version: u32,
    /// What the conference is. It comes as a whole, or not at all.
    pub description: Option<Description>,
    /// How the conference is, likewise.
    pub conference_state: Option<ConferenceState>,
    /// Who is in it.
    pub users: Option<Users>,
}

/// Whether an element is all that there is of it (§4.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// All: what is not there is not any more.
    #[default]
    Full,
    /// What has changed.
    Partial,
    /// It is no more. What is in it counts for nothing.
    Deleted,
}

/// What the conference is (§5.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub display_text: Option<Str>,
    /// Its subject.
    pub subject: Option<Str>,
    /// More words on it.
    pub free_text: Option<Str>,
    /// How to get into it.
    pub conf_uris: Vec<ConfUri>,
    /// How many may be in it.
    pub maximum_user_count: Option<u32>,
}

/// A way into the conference (§5.3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfUri {
    /// The way.
    pub uri: Str,
    /// What to call it.
    pub display_text: Option<Str>,
    /// What it is for: `participation`, `streaming`...
    pub purpose: Option<Str>,
}

/// How the conference is (§5.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConferenceState {
    /// How many are in it. There may be more than the document shows.
    pub user_count: Option<u32>,
    /// Whether it can be entered.
    pub active: Option<bool>,
    /// Whether nobody else gets in.
    pub locked: Option<bool>,
}

/// Who is in the conference (§5.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// Whether these are all.
    pub state: State,
    /// Each, in the order of the document. An entity may be there twice, though it must not; then the last one counts.
    pub users: Vec<User>,
}

/// Somebody in the conference (§5.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The URI, which is the key. Never empty.
    pub entity: Str,
    /// Whether this is all of it.
    pub state: State,
    /// The name to be shown. Others may have the same.
    pub display_text: Option<Str>,
    /// The nickname, which nobody else in the conference has (RFC 6501, RFC 7701 §7.4).
    pub nickname: Option<Str>,
    /// Other URIs of the same user.
    pub aors: Vec<Str>,
    /// What the user is there, in words for people (§5.6.3).
    pub roles: Vec<Str>,
    /// The devices.
    pub endpoints: Vec<Endpoint>,
}

/// A device of somebody (§5.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The key among the endpoints of the user; may be empty.
    pub entity: Str,
    /// Whether this is all of it.
    pub state: State,
    /// What to call it.
    pub display_text: Option<Str>,
    /// Who has brought it in.
    pub referred: Option<Box<Execution>>,
    /// How it is in the conference.
    pub status: Option<Status>,
    /// How it got in.
    pub joining_method: Option<Joining>,
    /// When and why.
    pub joining_info: Option<Box<Execution>>,
    /// How it got out.
    pub disconnection_method: Option<Disconnection>,
    /// When and why.
    pub disconnection_info: Option<Box<Execution>>,
    /// Its media.
    pub media: Vec<Media>,
}

/// When, why and by whom something was done (§5.7.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    /// When.
    pub when: Option<Timestamp>,
    /// Why, best in the words of RFC 3326.
    pub reason: Option<Str>,
    /// The URI of who did it.
    pub by: Option<Str>,
}

/// How an endpoint is in the conference (§5.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It will come.
    Pending,
    /// It is called.
    DialingOut,
    /// It calls.
    DialingIn,
    /// It rings.
    Alerting,
    /// It has a dialog, and waits.
    OnHold,
    /// It takes part.
    Connected,
    /// It takes part, and is not heard.
    MutedViaFocus,
    /// It is being sent away.
    Disconnecting,
    /// It has no dialog any more.
    Disconnected,
}

/// How an endpoint got in (§5.7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// It called.
    DialedIn,
    /// It was called.
    DialedOut,
    /// It is the focus itself.
    FocusOwner,
}

/// How an endpoint got out (§5.7.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnection {
    /// It left.
    Departed,
    /// It was sent away, or not let in.
    Booted,
    /// It could not be reached, or could not get in.
    Failed,
    /// It was busy, or the focus was.
    Busy,
}

/// A stream of an endpoint (§5.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// The key among the media of the endpoint.
    pub id: Str,
    /// What it carries, as in SDP: `message`.
    pub kind: Option<Str>,
    /// Which way, as the participant sees it.
    pub status: Option<Direction>,
}

impl User {
    /// Whether the user takes part: has an endpoint that does, or none that is told of.
    pub fn is_present(&self) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(Endpoint::is_present)
    }

    /// By what the user is known to the others: the nickname, and without one the name to be shown (RFC 7702 §7.1).
    pub fn name(&self) -> Option<&str> {
        self.nickname.as_deref().or(self.display_text.as_deref())
    }

    /// How the user was put out, as far as one of the endpoints tells.
    pub fn disconnection(&self) -> Option<(Disconnection, Option<&Execution>)> {
        let gone = self.endpoints.iter().filter(|endpoint| !endpoint.is_present());
        gone.filter_map(|e| e.disconnection_method.map(|how| (how, e.disconnection_info.as_deref()))).next_back()
    }
}

impl Endpoint {
    /// Whether it takes part. One that does not say how it is, does.
    pub fn is_present(&self) -> bool {
        match self.status {
            None | Some(Status::Connected | Status::OnHold | Status::MutedViaFocus) => true,
            Some(Status::Pending | Status::DialingOut | Status::DialingIn | Status::Alerting) => false,
            Some(Status::Disconnecting | Status::Disconnected) => false,
        }
    }
}

impl State {
    const ALL: [State; 3] = [State::Full, State::Partial, State::Deleted];

    fn name(self) -> &'static str {
        match self {
            State::Full => "full",
            State::Partial => "partial",
            State::Deleted => "deleted",
        }
    }
}

impl Status {
    const ALL: [Status; 9] = [
        Status::Pending,
        Status::DialingOut,
        Status::DialingIn,
        Status::Alerting,
        Status::OnHold,
        Status::Connected,
        Status::MutedViaFocus,
        Status::Disconnecting,
        Status::Disconnected,
    ];

    fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::DialingOut => "dialing-out",
            Status::DialingIn => "dialing-in",
            Status::Alerting => "alerting",
            Status::OnHold => "on-hold",
            Status::Connected => "connected",
            Status::MutedViaFocus => "muted-via-focus",
            Status::Disconnecting => "disconnecting",
            Status::Disconnected => "disconnected",
        }
    }
}

impl Joining {
    const ALL: [Joining; 3] = [Joining::DialedIn, Joining::DialedOut, Joining::FocusOwner];

    fn name(self) -> &'static str {
        match self {
            Joining::DialedIn => "dialed-in",
            Joining::DialedOut => "dialed-out",
            Joining::FocusOwner => "focus-owner",
        }
    }
}

impl Disconnection {
    const ALL: [Disconnection; 4] =
        [Disconnection::Departed, Disconnection::Booted, Disconnection::Failed, Disconnection::Busy];

    fn name(self) -> &'static str {
        match self {
            Disconnection::Departed => "departed",
            Disconnection::Booted => "booted",
            Disconnection::Failed => "failed",
            Disconnection::Busy => "busy",
        }
    }
}

#[cfg(test)]
mod tests;
