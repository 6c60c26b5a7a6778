//! What is kept of a contact, so that a restart does not make phones unreachable.

use super::value::{Binding, Secret};
use crate::agent::{Flow, Transport};
use crate::uri::SipUri;
use base::{Str, Time};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// A contact as a record has it. Its times are seconds since 1970: records outlive the process, its own clock does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    contact: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reg_id: Option<u32>,
    q: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    call_id: String,
    cseq: u32,
    expires: u64,
    transport: String,
    local: SocketAddr,
    remote: SocketAddr,
    /// The connection, and the run of the gateway that had it: its name means nothing in another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection: Option<(u64, u64)>,
    /// What temporary GRUUs are made with.
    secret: (u64, u64),
}

impl Stored {
    /// The record of a contact. `epoch` is the date of [`Time::ZERO`] in seconds since 1970, `run` names this run of the gateway.
    pub fn of(binding: &Binding, epoch: u64, run: u64) -> Stored {
        Stored {
            contact: binding.contact.to_string(),
            instance: binding.instance.as_ref().map(Str::to_string),
            reg_id: binding.reg_id,
            q: binding.q,
            path: binding.path.as_ref().map(Str::to_string),
            call_id: binding.call_id.to_string(),
            cseq: binding.cseq,
            expires: epoch.saturating_add(binding.expires_at.as_micros().div_ceil(1_000_000)),
            transport: binding.flow.transport.as_str().to_owned(),
            local: binding.flow.local,
            remote: binding.flow.remote,
            connection: binding.flow.connection.map(|connection| (run, connection)),
            secret: (binding.secret.0, binding.secret.1),
        }
    }

    /// When it is over, in seconds since 1970.
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// The contact of a record; nothing if it is over, or makes no sense. It lasts no longer than `longest` from now on: the clock may have been years ahead when
    /// it was saved.
    pub fn binding(&self, now: Time, epoch: u64, run: u64, longest: u32) -> Option<Binding> {
        let transport = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .find(|transport| transport.as_str() == self.transport)?;
        let expires_at = Time::ZERO + Duration::from_secs(self.expires.checked_sub(epoch)?);
        let connection = self.connection.filter(|(of, _)| *of == run).map(|(_, connection)| connection);
        Some(Binding {
            contact: SipUri::parse(&self.contact).ok()?,
            instance: self.instance.as_deref().map(Str::from),
            reg_id: self.reg_id,
            q: self.q.min(1000),
            path: self.path.as_deref().map(Str::from),
            call_id: Str::from(self.call_id.as_str()),
            cseq: self.cseq,
            expires_at: expires_at.min(now + Duration::from_secs(longest.into())),
            flow: Flow { transport, local: self.local, remote: self.remote, connection },
            secret: Secret(self.secret.0, self.secret.1),
        })
        .filter(|binding: &Binding| binding.expires_at > now)
    }
}
