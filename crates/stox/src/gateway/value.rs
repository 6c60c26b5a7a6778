//! What goes into the gateway and comes out of it.

use crate::config::LinkId;
use crate::links::StanzaToken;
use crate::mapping::Side;
use crate::store::SaveToken;
use base::Str;
use base::dns::{Answer, Question};
use msrp::{Arrival, ConnectionId, Fingerprint, Ticket};
use sip::agent::{ClientId, Flow, SendTo, Target};
use sip::{Message, Rejected};
use std::net::SocketAddr;
use std::sync::Arc;
use xmpp::stanza::Stanza;

/// What the shell hands in.
#[derive(Debug)]
pub enum Input {
    /// A SIP message and where it came from.
    Sip(Message, Flow),
    /// Bytes that came as a SIP message and are none.
    SipRejected(Rejected, Flow),
    /// A request of ours could not be sent.
    SipSendFailed(ClientId),
    /// A connection for requests to this target has ended: what was sent over it has no answer any more, and these have not been sent.
    SipConnectionLost(Target, Vec<ClientId>),
    /// Whoever is at the other end of a SIP connection has proved to be these: the SIP domains that a valid certificate names (RFC 5922 §7.1). This
    /// comes before anything that comes over it.
    SipSecured {
        /// The shell's name for the connection, as in [`Flow::connection`].
        connection: u64,
        /// The domains.
        names: Arc<[Str]>,
    },
    /// A SIP connection is no more.
    SipClosed(u64),
    /// What was to be looked up is known, or known not to be.
    Looked {
        /// The question's name.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// A stanza that came by a link.
    Stanza(LinkId, Stanza),
    /// One that another shard gets as [`Input::Stanza`], but that may answer what this one has asked.
    Overheard(LinkId, Stanza),
    /// A component stream is authenticated. For a federated domain this is said once, at the start.
    LinkUp(LinkId),
    /// A component stream ended.
    LinkDown(LinkId),
    /// The server took a stanza. What could not be delivered has come back as an error before.
    Taken(StanzaToken),
    /// The stream ended, or refused to carry more, before the server took a stanza.
    Lost(StanzaToken),
    /// Something came over an MSRP connection, about a session of this shard or of none.
    Msrp(ConnectionId, Arrival),
    /// An MSRP connection is over TLS, and its other end has shown a certificate with these hashes; none: it has shown none. This comes
    /// before anything that comes over it.
    MsrpSecured(ConnectionId, Arc<[Fingerprint]>),
    /// The connection that was asked for is there, or cannot be made.
    MsrpOpened(Ticket, Option<ConnectionId>),
    /// An MSRP connection is no more.
    MsrpLost(ConnectionId),
    /// A datagram came to the socket that this shard's media relays are asked by.
    Relay {
        /// Where from.
        from: SocketAddr,
        /// What came.
        bytes: bytes::Bytes,
    },
    /// A record from the store. All of them come before anything else.
    Restore {
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// A record for all shards ([`crate::store::is_shared`]) that belongs to another one: it was there at the start, or was changed since.
    Changed {
        /// Its key.
        key: Vec<u8>,
        /// Its value; none: it was forgotten.
        value: Option<Vec<u8>>,
    },
    /// A record is saved: it survives whatever happens now.
    Saved(SaveToken),
    /// A record could not be saved.
    NotSaved(SaveToken),
}

/// What the shell is asked to do.
#[derive(Debug)]
pub enum Output {
    /// Send a SIP message. If that fails for a request, the shell says [`Input::SipSendFailed`].
    Sip {
        /// Where to.
        to: SendTo,
        /// The message.
        bytes: bytes::Bytes,
        /// The request it belongs to, if it is one of ours.
        client: Option<ClientId>,
    },
    /// Ask a name server, and say [`Input::Looked`], always and within a bounded time.
    Lookup {
        /// The question's name.
        id: u64,
        /// The question.
        question: Question,
    },
    /// Send a stanza and say what became of it, [`Input::Taken`] or [`Input::Lost`].
    Stanza {
        /// The link.
        link: LinkId,
        /// The domain of the recipient, where the link leads to many servers ([`LinkKind::Federation`](crate::config::LinkKind)); None on a component stream.
        domain: Option<Str>,
        /// The stanza in the link's [namespace](crate::config::LinkKind::namespace).
        bytes: Vec<u8>,
        /// Its name.
        token: StanzaToken,
    },
    /// Do something with an MSRP connection.
    Msrp(Wire),
    /// Send a datagram to a media relay, from a socket that is this shard's own. If it is lost, it is sent again.
    Relay {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: bytes::Bytes,
    },
    /// Save a record, or forget it where there is no value, and say what became of it: [`Input::Saved`] or [`Input::NotSaved`]. Records of one
    /// key are saved in the order in which they come.
    Save {
        /// The wish's name.
        token: SaveToken,
        /// The record's key.
        key: Vec<u8>,
        /// The record.
        value: Option<Vec<u8>>,
    },
    /// Whoever sent something this way has done what decent ones do not, and has shown that the address is theirs.
    Offence(Flow, Offence),
    /// Count something.
    Note(Note),
}

/// What somebody has done that decent ones do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// Spoke for somebody else.
    Spoof,
    /// Showed wrong credentials.
    Credentials,
}

/// What the shell is to do with MSRP connections.
#[derive(Debug)]
pub enum Wire {
    /// Write this behind what was to be written before.
    Write {
        /// Where.
        connection: ConnectionId,
        /// One or more whole frames.
        bytes: bytes::Bytes,
    },
    /// Make a connection, or reuse one of ours that leads to the same place with the same TLS identity, and say [`Input::MsrpOpened`].
    Open {
        /// What it is called until then.
        ticket: Ticket,
        /// Where it leads. A name has yet to be looked up, and its addresses judged by [`Config::may_lead_to`].
        hop: msrp::Hop,
    },
    /// One more session uses the connection.
    Bind(ConnectionId),
    /// One session less uses the connection. What nobody uses is closed when all is written.
    Release(ConnectionId),
}

/// Something worth counting or logging. No note carries a body; none carries an address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note {
    /// A message arrived on one side.
    Received {
        /// The side it came from.
        from: Side,
    },
    /// A message was handed over to the other side.
    Delivered {
        /// The side it went to.
        to: Side,
        /// How long the gateway had it, in microseconds.
        micros: u64,
    },
    /// The other side refused a message: the SIP status that its sender got or that was translated.
    Failed {
        /// The side that refused.
        by: Side,
        /// The SIP status of the refusal.
        code: u16,
    },
    /// The gateway itself refused something.
    Refused {
        /// The refusal's name.
        refusal: &'static str,
        /// The side that sent what was refused.
        towards: Side,
        /// Whether it was a message, of which a [`Note::Received`] told.
        message: bool,
    },
    /// A stanza that may not be answered was dropped.
    Ignored {
        /// Why.
        why: &'static str,
    },
    /// Presence was told to the other side: a NOTIFY with a document, or a presence stanza.
    Presence {
        /// The side it went to.
        to: Side,
    },
    /// A session has its connection.
    SessionOpened {
        /// Who opened it.
        by: Side,
        /// How long that took, in microseconds.
        micros: u64,
    },
    /// A session did not come to be.
    SessionFailed {
        /// Who wanted it.
        by: Side,
        /// The SIP status that says why.
        code: u16,
    },
    /// A session is over.
    SessionEnded {
        /// Who had opened it.
        by: Side,
        /// Its connection was lost, or the other side did not answer any more.
        lost: bool,
    },
    /// A call was answered.
    CallAnswered {
        /// Who called.
        by: Side,
        /// How long that took, from the first word of it, in microseconds.
        micros: u64,
    },
    /// A call was not answered.
    CallFailed {
        /// Who called.
        by: Side,
        /// Why, in Jingle's words (XEP-0166 §7.4).
        reason: &'static str,
    },
    /// A call that was answered is over.
    CallEnded {
        /// Who called.
        by: Side,
        /// Why, in the same words.
        reason: &'static str,
        /// How long it was, in microseconds.
        micros: u64,
    },
    /// An answer was dropped because a stream was down for too long.
    AnswerDropped,
    /// A record from the store could not be read. It stays where it is.
    RecordBroken,
}
