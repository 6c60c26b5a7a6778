//! One call, as a telephone has it.

use super::sdp::{Line, Sdp};
use crate::stub::jingle::fingerprint_of;
use crate::wire::{SipText, uri_of};
use xmpp::jid::Jid;

/// Where the telephones are.
pub(super) const HOST: &str = "192.0.2.30";

/// What a call is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// We call.
    Calling,
    /// We are called.
    Ringing,
    /// The two talk.
    Up,
    /// It is over.
    Over,
}

/// A call of a telephone.
#[derive(Debug, Clone)]
pub struct Talk {
    /// Whose telephone it is.
    pub user: u64,
    /// The XMPP user's address.
    pub peer: String,
    /// Whether the telephone has called.
    pub ours: bool,
    /// What it is at.
    pub stage: Stage,
    /// The other side rings.
    pub rings: bool,
    /// Why it is over: the final response; 200 for a BYE.
    pub code: Option<u16>,
    /// What the other side has said of its media last.
    pub theirs: Sdp,
    /// We do not want to hear the other side.
    pub holding: bool,
    /// What came in INFO requests.
    pub infos: Vec<String>,
    pub(super) leaving: bool,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) sequence: u32,
    pub(super) heard: u32,
    pub(super) branch: String,
    pub(super) version: u32,
    /// The INVITE that has no final answer of ours.
    pub(super) invite: Option<SipText>,
    pub(super) lines: Vec<Line>,
}

impl Talk {
    pub(super) fn new(user: u64, peer: &str, ours: bool) -> Talk {
        Talk {
            user,
            peer: peer.to_owned(),
            ours,
            stage: if ours { Stage::Calling } else { Stage::Ringing },
            rings: false,
            code: None,
            theirs: Sdp::default(),
            holding: false,
            infos: Vec::new(),
            leaving: false,
            local: String::new(),
            remote: String::new(),
            target: String::new(),
            sequence: 0,
            heard: 0,
            branch: String::new(),
            version: 0,
            invite: None,
            lines: Vec::new(),
        }
    }

    /// Whether the two talk.
    pub fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The fingerprint of the key that a user's telephone has for a call.
    pub fn fingerprint(user: u64, call: &str) -> String {
        let jid = Jid::parse(&format!("romeo{user}@example.net")).ok();
        jid.map(|jid| fingerprint_of(&jid, call).to_string()).unwrap_or_default()
    }

    pub(super) fn contact(&self) -> String {
        format!("<sip:romeo{}@{HOST}:5060>", self.user)
    }

    /// Learns where the other side is.
    pub(super) fn hears(&mut self, message: &SipText) {
        if let Some(contact) = message.header("Contact") {
            self.target = uri_of(contact).to_owned();
        }
    }

    pub(super) fn request(&self, call: &str, method: &str, sequence: u32, branch: &str) -> SipText {
        // RFC 3261 §9.1, §17.1.1.3: what ends an INVITE is addressed as it was.
        let target = if self.stage == Stage::Calling { format!("sip:{}", self.peer) } else { self.target.clone() };
        let mut request =
            SipText { start: format!("{method} {target} SIP/2.0"), headers: Vec::new(), body: Vec::new() };
        for (name, value) in [
            ("Via", format!("SIP/2.0/UDP 192.0.2.10:5060;branch={branch};rport")),
            ("Max-Forwards", "70".into()),
            ("From", self.local.clone()),
            ("To", self.remote.clone()),
            ("Call-ID", call.to_owned()),
            ("CSeq", format!("{sequence} {method}")),
        ] {
            request.push(name, value);
        }
        request
    }

    /// Our offer.
    pub(super) fn offer(&mut self, call: &str) -> String {
        for line in &mut self.lines {
            line.wanted = if self.holding { "sendonly" } else { "sendrecv" };
        }
        self.write(call, "actpass")
    }

    /// The other side's offer.
    pub(super) fn offered(&mut self, text: &str) {
        self.theirs = Sdp::read(text);
        for (at, theirs) in self.theirs.lines.iter().enumerate() {
            if at < self.lines.len() {
                self.lines[at].follows(theirs);
            } else {
                self.lines.push(theirs.answer());
            }
        }
    }

    /// Our answer to it.
    pub(super) fn answer(&mut self, call: &str) -> String {
        for (line, theirs) in self.lines.iter_mut().zip(&self.theirs.lines) {
            line.wanted = match (theirs.wanted, self.holding) {
                ("sendrecv", false) => "sendrecv",
                ("sendrecv" | "recvonly", _) => "sendonly",
                ("sendonly", false) => "recvonly",
                _ => "inactive",
            };
        }
        self.write(call, "active")
    }

    /// The answer to our offer.
    pub(super) fn answered(&mut self, text: &str) {
        self.theirs = Sdp::read(text);
        for (line, theirs) in self.lines.iter_mut().zip(&self.theirs.lines) {
            line.rejected = theirs.rejected;
        }
    }

    /// Our offer was refused: all is as it was.
    pub(super) fn refused(&mut self) {
        self.lines.truncate(self.theirs.lines.len());
    }

    fn write(&self, call: &str, setup: &str) -> String {
        super::sdp::write(&self.lines, (self.user, self.version), &Talk::fingerprint(self.user, call), setup)
    }
}
