//! What an operator sees at level debug: each message on its way in and out, by its envelope. Never a body, never a subject; addresses
//! appear here and nowhere above debug.

use msrp::{Arrival, ConnectionId, Frame};
use stox::gateway::{Input, Output, Wire};

/// Whether anybody listens. Asked once for each input and output, so it must cost nothing when nobody does.
pub(crate) fn on() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// Logs what comes in.
pub(crate) fn input(input: &Input) {
    match input {
        Input::Sip(sip::Message::Request(r), flow) => tracing::debug!(
            remote = %flow.remote,
            method = %r.method,
            uri = %r.uri,
            from = r.headers.get(sip::Name::From).unwrap_or_default(),
            call_id = r.headers.get(sip::Name::CallId).unwrap_or_default(),
            bytes = r.body.len(),
            "SIP request came"
        ),
        Input::Sip(sip::Message::Response(r), flow) => tracing::debug!(
            remote = %flow.remote,
            code = r.code,
            call_id = r.headers.get(sip::Name::CallId).unwrap_or_default(),
            "SIP response came"
        ),
        Input::SipRejected(rejected, flow) => {
            tracing::debug!(remote = %flow.remote, code = rejected.code, reason = rejected.reason, "SIP message refused");
        }
        Input::Msrp(connection, arrival) => msrp(*connection, arrival),
        Input::MsrpSecured(connection, _) => {
            tracing::debug!(connection = connection.0, "an MSRP connection is over TLS");
        }
        Input::MsrpOpened(_, connection) => tracing::debug!(connection = connection.map(|c| c.0), "MSRP connected"),
        Input::MsrpLost(connection) => tracing::debug!(connection = connection.0, "MSRP connection lost"),
        Input::Relay { from, bytes } => tracing::debug!(%from, bytes = bytes.len(), "a media relay answers"),
        Input::Stanza(link, stanza) => tracing::debug!(
            link,
            kind = stanza.kind.name(),
            from = stanza.from.as_ref().map(tracing::field::display),
            to = stanza.to.as_ref().map(tracing::field::display),
            id = stanza.id.as_deref(),
            r#type = stanza.type_.as_deref(),
            "stanza came"
        ),
        Input::SipSendFailed(_) => tracing::debug!("a SIP request could not be sent"),
        Input::SipConnectionLost(target, _) => {
            tracing::debug!(remote = %target.remote, "a SIP connection of ours ended");
        }
        Input::SipSecured { connection, names } => {
            tracing::debug!(connection, ?names, "a SIP connection is over TLS with a certificate");
        }
        Input::SipClosed(connection) => tracing::debug!(connection, "a SIP connection ended"),
        Input::Looked { id, answer } => tracing::debug!(id, ?answer, "a name server has answered"),
        Input::NotSaved(_) => tracing::debug!("a record could not be saved"),
        Input::LinkUp(_)
        | Input::LinkDown(_)
        | Input::Taken(_)
        | Input::Lost(_)
        | Input::Restore { .. }
        | Input::Changed { .. }
        | Input::Overheard(..)
        | Input::Saved(_) => {}
    }
}

/// Logs a frame by its start, its paths and the length of its body.
fn msrp(connection: ConnectionId, arrival: &Arrival) {
    let connection = connection.0;
    let request = |r: &msrp::Request, what: &'static str| {
        tracing::debug!(
            connection,
            method = r.method.as_str(),
            to = r.to.as_str(),
            from = r.from.as_str(),
            message_id = r.message_id.as_deref(),
            range = r.range.as_ref().map(tracing::field::display),
            bytes = r.body.as_ref().map(bytes::Bytes::len),
            "{what}"
        );
    };
    match arrival {
        Arrival::Frame(Frame::Request(r)) => request(r, "MSRP request came"),
        Arrival::TooLarge(r) => request(r, "MSRP request too large"),
        Arrival::Frame(Frame::Response(r)) => {
            tracing::debug!(connection, code = r.code, to = r.to.as_str(), "MSRP response came");
        }
        Arrival::Malformed { why, .. } => tracing::debug!(connection, why, "MSRP frame refused"),
    }
}

/// Logs what goes out.
pub(crate) fn output(output: &Output) {
    match output {
        Output::Sip { to, bytes, .. } => {
            let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
            tracing::debug!(to = ?to, line = %String::from_utf8_lossy(line), "SIP message goes");
        }
        Output::Lookup { id, question } => tracing::debug!(id, %question, "a name server is asked"),
        Output::Stanza { link, bytes, .. } => {
            // The start tag: XML has no ">" before its end, as our writer escapes it in attributes.
            let tag = bytes.split(|b| *b == b'>').next().unwrap_or_default();
            tracing::debug!(link, tag = %String::from_utf8_lossy(tag), "stanza goes");
        }
        Output::Msrp(Wire::Write { connection, bytes }) => {
            tracing::debug!(connection = connection.0, bytes = bytes.len(), "MSRP goes");
        }
        Output::Msrp(Wire::Open { hop, .. }) => tracing::debug!(host = %hop.host, port = hop.port, "MSRP connects"),
        Output::Msrp(Wire::Bind(_) | Wire::Release(_)) => {}
        Output::Relay { to, bytes } => tracing::debug!(%to, bytes = bytes.len(), "a media relay is asked"),
        Output::Save { value, .. } => tracing::debug!(bytes = value.as_ref().map_or(0, Vec::len), "record goes"),
        Output::Offence(flow, offence) => tracing::debug!(remote = %flow.remote, ?offence, "gateway"),
        Output::Note(note) => tracing::debug!(?note, "gateway"),
    }
}
