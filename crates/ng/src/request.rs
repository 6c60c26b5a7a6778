//! What a server is asked.

use crate::bencode::Value;
use base::Str;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Is anybody there?
    Ping,
    /// Make a description that was offered one of the server's own.
    Offer(Box<Exchange>),
    /// The same with the answer to it.
    Answer(Box<Exchange>),
    /// The call is over: all that was made for it may go, at once.
    Delete {
        /// The call.
        call: Str,
    },
    /// Is the call still known?
    Query {
        /// The call.
        call: Str,
    },
}

/// A description on its way through the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What the server knows the call by.
    pub call: Str,
    /// The side that made the offer, also in an answer to it.
    pub from: Str,
    /// The other side. In the first offer of a call it may be missing.
    pub to: Option<Str>,
    /// The description.
    pub sdp: Vec<u8>,
    /// What it becomes.
    pub rewriting: Rewriting,
}

/// What a description becomes. Addresses become the server's in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewriting {
    /// What becomes of ICE.
    pub ice: Ice,
    /// What becomes of DTLS-SRTP.
    pub dtls: Dtls,
    /// What becomes of keys in the description (RFC 4568).
    pub sdes: Sdes,
    /// What becomes of RTP and RTCP on one port (RFC 5761); None: the server goes along with whoever wrote it.
    pub mux: Option<Mux>,
    /// The protocol of each medium, in an offer; None: as it is. An answer has that of the offer.
    pub protocol: Option<&'static str>,
    /// In an offer: whether the other side is told that candidates may come later (RFC 8838).
    pub trickle: bool,
    /// Whether media without `a=mid` get one.
    pub mid: bool,
    /// In an offer: the server's interfaces towards the side that offers and towards the other one.
    pub interfaces: Option<(Str, Str)>,
}

/// What becomes of ICE (RFC 8445).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ice {
    /// There is none.
    #[default]
    Remove,
    /// There is, with the server's own candidates and no others.
    Force,
}

/// What becomes of DTLS-SRTP (RFC 5763).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dtls {
    /// There is none.
    #[default]
    Off,
    /// Where there is, the server waits for the other side to begin: where ICE has yet to find a way, nothing that it sends arrives.
    Passive,
}

/// What becomes of keys in the description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sdes {
    /// There are none.
    #[default]
    Off,
    /// The server's own are there, where the protocol is one of SRTP.
    On,
}

/// What becomes of RTP and RTCP on one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mux {
    /// It is offered, whatever came.
    Offer,
    /// It is not offered, but granted to who offered it.
    Demux,
}

impl Request {
    /// The call that it is about.
    pub fn call(&self) -> Option<&str> {
        match self {
            Request::Ping => None,
            Request::Offer(exchange) | Request::Answer(exchange) => Some(&exchange.call),
            Request::Delete { call } | Request::Query { call } => Some(call),
        }
    }

    /// The request as a dictionary.
    pub fn to_value(&self) -> Value<'_> {
        let mut entries = Vec::new();
        let mut put = |key: &'static str, value| entries.push((key.as_bytes(), value));
        match self {
            Request::Ping => put("command", Value::text("ping")),
            Request::Offer(exchange) => {
                put("command", Value::text("offer"));
                exchange.put(true, &mut put);
            }
            Request::Answer(exchange) => {
                put("command", Value::text("answer"));
                exchange.put(false, &mut put);
            }
            Request::Delete { call } => {
                put("command", Value::text("delete"));
                put("call-id", Value::text(call));
                put("delete delay", Value::Integer(0));
            }
            Request::Query { call } => {
                put("command", Value::text("query"));
                put("call-id", Value::text(call));
            }
        }
        Value::Dictionary(entries)
    }
}

/// Keys with the padding of base64, without which some telephones read them wrong; and none of the suites that encrypt nothing, which a server offers, too, if
/// it is let.
const KEYS: [&str; 3] = ["pad", "no-NULL_HMAC_SHA1_80", "no-NULL_HMAC_SHA1_32"];

impl Exchange {
    fn put<'a>(&'a self, offer: bool, put: &mut impl FnMut(&'static str, Value<'a>)) {
        put("call-id", Value::text(&self.call));
        put("from-tag", Value::text(&self.from));
        if let Some(to) = &self.to {
            put("to-tag", Value::text(to));
        }
        put("sdp", Value::Bytes(&self.sdp));
        let rewriting = &self.rewriting;
        put("ICE", Value::text(if rewriting.ice == Ice::Force { "force" } else { "remove" }));
        put("DTLS", Value::text(if rewriting.dtls == Dtls::Passive { "passive" } else { "off" }));
        if offer {
            // Towards who offers as well: it would begin as soon as ICE has found a way, and be told to wait in the answer; what it had begun would be in
            // the way of a client that begins.
            put("DTLS-reverse", Value::text("passive"));
        }
        put("SDES", Value::texts(if rewriting.sdes == Sdes::Off { &["off"] } else { &KEYS }));
        match rewriting.mux {
            Some(Mux::Offer) => put("rtcp-mux", Value::texts(&["offer"])),
            Some(Mux::Demux) => put("rtcp-mux", Value::texts(&["demux"])),
            None => {}
        }
        if let (true, Some(protocol)) = (offer, rewriting.protocol) {
            put("transport-protocol", Value::text(protocol));
        }
        if let (true, Some((from, to))) = (offer, &rewriting.interfaces) {
            put("direction", Value::texts(&[from, to]));
        }
        let mut flags = vec!["trust-address"];
        if rewriting.trickle {
            flags.push("trickle-ICE");
        }
        if rewriting.mid {
            flags.push("generate-mid");
        }
        put("flags", Value::texts(&flags));
        put("replace", Value::texts(&["session-connection"]));
        // A server that is full says so, and is no broken one.
        put("supports", Value::texts(&["load limit"]));
    }
}
