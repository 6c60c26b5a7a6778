//! XEP-0166: Jingle, sessions of media and how they change, with what calls need of its applications (XEP-0167, 0262, 0293, 0294, 0339)
//! and transports (XEP-0176, 0177, 0320, 0371), and groups of contents (XEP-0338). Values only: what may be said when is for whoever keeps
//! sessions.
//!
//! What breaks the protocol so that two readers could understand two things is refused, in words for the sender; what is merely unknown is
//! kept. No value that was read holds a control character, so none can end a line of SDP. Lists end at the bounds given here; candidates
//! beyond theirs are left out, anything else beyond its bound is refused.

mod content;
mod error;
mod ice;
mod info;
mod raw_udp;
mod read;
mod reason;
mod rtp;
#[cfg(test)]
mod tests;

pub use content::{Content, Creator, Description, Group, Senders, Transport};
pub use error::Error;
pub use ice::{Candidate, Fingerprint, Form, Ice, RemoteCandidate};
pub use info::Info;
pub use raw_udp::{RawCandidate, RawUdp};
pub use reason::{Condition, Reason, RtpError};
pub use rtp::{
    Bandwidth, Crypto, Encryption, Extension, Feedback, Parameter, Payload, Rtp, Source, SourceGroup, ZrtpHash,
};

use super::{address, element};
use crate::error::conditions;
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Kind, Stanza};
use base::{Str, Syntax};
use std::fmt;
use xml::Element;

pub(super) use read::name;

/// The longest value that is read, in bytes: parameters of video codecs can be long.
pub const MAX_VALUE: usize = 4096;
/// The longest name of a session or of a content, in bytes.
pub const MAX_NAME: usize = 256;
/// The most contents of a session, and the most that one group names.
pub const MAX_CONTENTS: usize = 16;
/// The most groups of a session.
pub const MAX_GROUPS: usize = 16;
/// The most candidates of one content that are kept; the rest is left out.
pub const MAX_CANDIDATES: usize = 64;
/// The most of anything else in one list: parameters of a payload type, kinds of feedback, extensions of headers, keys.
pub const MAX_LIST: usize = 64;
/// The most sources of RTP in one description.
pub const MAX_SOURCES: usize = 128;
/// The most elements kept in one place that are not understood; the rest is left out.
pub const MAX_OTHER: usize = 16;

conditions! {
    /// What is done to a session (XEP-0166 §7.2).
    Action {
        /// A content that the other side wanted to add is welcome.
        ContentAccept = "content-accept",
        /// A content is to be added.
        ContentAdd = "content-add",
        /// Who sends in a content is to change.
        ContentModify = "content-modify",
        /// A content that the other side wanted to add is not welcome.
        ContentReject = "content-reject",
        /// A content is removed.
        ContentRemove = "content-remove",
        /// Hints about a description.
        DescriptionInfo = "description-info",
        /// Hints about security.
        SecurityInfo = "security-info",
        /// The session is accepted: the call is answered.
        SessionAccept = "session-accept",
        /// What happens in a session: ringing, on hold. An empty one asks whether the session is there.
        SessionInfo = "session-info",
        /// A new session: a call.
        SessionInitiate = "session-initiate",
        /// The end of a session, or its refusal.
        SessionTerminate = "session-terminate",
        /// A transport that was to replace another one is welcome.
        TransportAccept = "transport-accept",
        /// News of a transport: more candidates.
        TransportInfo = "transport-info",
        /// A transport that was to replace another one is not welcome.
        TransportReject = "transport-reject",
        /// Another transport is to replace the one that there is.
        TransportReplace = "transport-replace",
    }
}

/// `<jingle/>`: something is done to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jingle {
    /// What is done.
    pub action: Action,
    /// The session's name, unique between two full addresses: 1 to [`MAX_NAME`] bytes.
    pub sid: Str,
    /// Who began the session, if that is told. Anybody can write anything here; who sent the stanza is another question.
    pub initiator: Option<Jid>,
    /// Who answers it, if that is told: a session-accept can name another resource than the one that was called.
    pub responder: Option<Jid>,
    /// The streams that are meant, each name at most once for each creator, at most [`MAX_CONTENTS`].
    pub contents: Vec<Content>,
    /// Which contents belong together (XEP-0338), at most [`MAX_GROUPS`].
    pub groups: Vec<Group>,
    /// Why.
    pub reason: Option<Reason>,
    /// What happens in the session; with [`Action::SessionInfo`] all that it tells, with other actions only what XEP-0167 §8 knows.
    pub infos: Vec<Info>,
    /// What else it holds: never with [`Action::SessionInfo`].
    pub other: Vec<Element>,
}

impl Jingle {
    /// An action without anything in it.
    pub fn new(action: Action, sid: impl Into<Str>) -> Jingle {
        Jingle {
            action,
            sid: sid.into(),
            initiator: None,
            responder: None,
            contents: Vec::new(),
            groups: Vec::new(),
            reason: None,
            infos: Vec::new(),
            other: Vec::new(),
        }
    }

    /// The end of a session.
    pub fn terminate(sid: impl Into<Str>, reason: Reason) -> Jingle {
        Jingle { reason: Some(reason), ..Jingle::new(Action::SessionTerminate, sid) }
    }

    /// Tells what happens in a session.
    pub fn info(sid: impl Into<Str>, info: Info) -> Jingle {
        Jingle { infos: vec![info], ..Jingle::new(Action::SessionInfo, sid) }
    }

    /// Sets who began the session.
    #[must_use]
    pub fn with_initiator(mut self, initiator: Jid) -> Jingle {
        self.initiator = Some(initiator);
        self
    }

    /// Sets who answers it.
    #[must_use]
    pub fn with_responder(mut self, responder: Jid) -> Jingle {
        self.responder = Some(responder);
        self
    }

    /// Adds a content.
    #[must_use]
    pub fn with_content(mut self, content: Content) -> Jingle {
        self.contents.push(content);
        self
    }

    /// The content of that name and creator.
    pub fn content(&self, creator: Creator, name: &str) -> Option<&Content> {
        self.contents.iter().find(|c| c.creator == creator && c.name == name)
    }

    /// Whether an element wants to be one, well-formed or not.
    pub fn is(e: &Element) -> bool {
        e.is("jingle", ns::JINGLE)
    }

    /// The element of an iq of type set that wants to be one, well-formed or not.
    pub fn of(iq: &Stanza) -> Option<&Element> {
        let set = iq.kind == Kind::Iq && iq.type_.as_deref() == Some("set");
        iq.elements().find(|e| set && Jingle::is(e))
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, for the sender: `<bad-request/>`.
    pub fn parse(e: &Element) -> Result<Jingle, Syntax> {
        if !Jingle::is(e) {
            return Err(Syntax("not a jingle element"));
        }
        let action = e.attr("action").ok_or(Syntax("no action"))?;
        let action = Action::from_name(action).ok_or(Syntax("no known action"))?;
        let sid = name(e.attr("sid").ok_or(Syntax("no sid"))?)?;
        let mut jingle = Jingle {
            initiator: address(e, "initiator"),
            responder: address(e, "responder"),
            ..Jingle::new(action, sid)
        };
        for child in e.elements() {
            jingle.read(child)?;
        }
        jingle.is_whole()?;
        Ok(jingle)
    }

    /// What begins something says what (XEP-0166 §7.2, §7.3).
    fn is_whole(&self) -> Result<(), Syntax> {
        let bare = |content: &Content| content.description.is_none() || content.transport.is_none();
        match self.action {
            Action::SessionInitiate if self.contents.is_empty() => Err(Syntax("a session without contents")),
            Action::SessionInitiate | Action::ContentAdd if self.contents.iter().any(bare) => {
                Err(Syntax("a content without a description or a transport"))
            }
            Action::SessionInitiate
            | Action::ContentAccept
            | Action::ContentAdd
            | Action::ContentModify
            | Action::ContentReject
            | Action::ContentRemove
            | Action::DescriptionInfo
            | Action::SecurityInfo
            | Action::SessionAccept
            | Action::SessionInfo
            | Action::SessionTerminate
            | Action::TransportAccept
            | Action::TransportInfo
            | Action::TransportReject
            | Action::TransportReplace => Ok(()),
        }
    }

    fn read(&mut self, e: &Element) -> Result<(), Syntax> {
        match (e.name.as_str(), e.ns.as_str()) {
            ("content", ns::JINGLE) => {
                let content = Content::parse(e)?;
                if self.content(content.creator, &content.name).is_some() {
                    return Err(Syntax("two contents of one name"));
                }
                read::add(&mut self.contents, content, MAX_CONTENTS)?;
            }
            ("reason", ns::JINGLE) => self.reason = Reason::parse(e),
            ("group", ns::GROUPING) => read::add(&mut self.groups, Group::parse(e)?, MAX_GROUPS)?,
            _ => match Info::parse(e)? {
                Some(info) => read::add(&mut self.infos, info, MAX_OTHER)?,
                None if self.action == Action::SessionInfo => {
                    read::add(&mut self.infos, Info::Other(e.clone()), MAX_OTHER)?;
                }
                None => read::keep(&mut self.other, e),
            },
        }
        Ok(())
    }

    /// Writes it.
    pub fn to_element(&self) -> Element {
        let mut e = element("jingle", ns::JINGLE);
        e.set_attr("action", Str::const_new(self.action.name()));
        for (name, jid) in [("initiator", &self.initiator), ("responder", &self.responder)] {
            if let Some(jid) = jid {
                e.set_attr(name, jid.to_string());
            }
        }
        e.set_attr("sid", self.sid.clone());
        self.groups.iter().for_each(|group| e.push(group.to_element()));
        self.contents.iter().for_each(|content| e.push(content.to_element()));
        self.reason.iter().for_each(|reason| e.push(reason.to_element()));
        self.infos.iter().for_each(|info| e.push(info.to_element()));
        self.other.iter().for_each(|other| e.push(other.clone()));
        e
    }

    /// The iq that carries it; it wants addresses and an id.
    pub fn to_iq(&self) -> Stanza {
        Stanza::iq(Str::const_new("set")).with_child(self.to_element())
    }
}
