//! What the gateway has sent and nobody has got yet.

use super::msrp::hop_text;
use crate::scene::stanza;
use crate::wire::{MsrpText, SipText};
use ::msrp::{Hop, Ticket};
use std::fmt;
use xml::Element;

/// Something that waits to be got.
#[derive(Debug)]
pub(super) enum Pending {
    Sip {
        to: String,
        message: SipText,
    },
    Xmpp {
        to: String,
        stanza: Element,
    },
    /// A frame on a connection.
    Msrp {
        to: String,
        connection: usize,
        frame: MsrpText,
    },
    /// The gateway asks for a connection.
    Open {
        to: String,
        ticket: Ticket,
        hop: Hop,
    },
    /// The gateway has closed a connection.
    Closed {
        to: String,
        connection: usize,
    },
}

/// What it is that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sip,
    Xmpp,
    Msrp,
    Open,
    Closed,
}

impl Pending {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Pending::Sip { .. } => Kind::Sip,
            Pending::Xmpp { .. } => Kind::Xmpp,
            Pending::Msrp { .. } => Kind::Msrp,
            Pending::Open { .. } => Kind::Open,
            Pending::Closed { .. } => Kind::Closed,
        }
    }

    pub(super) fn is_for(&self, actor: &str, kind: Kind) -> bool {
        let (Pending::Sip { to, .. }
        | Pending::Xmpp { to, .. }
        | Pending::Msrp { to, .. }
        | Pending::Open { to, .. }
        | Pending::Closed { to, .. }) = self;
        self.kind() == kind && (actor == "anyone" || actor == to || to.split('@').next() == Some(actor))
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pending::Sip { message, .. } => write!(f, "{message}"),
            Pending::Xmpp { stanza, .. } => {
                let mut out = Vec::new();
                xml::write(stanza, stanza::NS, &mut out);
                writeln!(f, "{}", String::from_utf8_lossy(&out))
            }
            Pending::Msrp { frame, .. } => write!(f, "{frame}"),
            Pending::Open { to, hop, .. } => writeln!(f, "a connection to {to} is asked for: {}", hop_text(hop)),
            Pending::Closed { to, connection } => writeln!(f, "connection {connection} of {to} is closed"),
        }
    }
}

/// Something that an actor gets, for tests that do not know what it will be.
#[derive(Debug)]
pub enum Seen {
    /// A SIP user gets this.
    Sip(SipText),
    /// A SIP user gets this over a connection.
    Frame(MsrpText),
    /// An XMPP user gets this.
    Stanza(Element),
}
