//! Places to connect to, as peers name them.

use super::Ours;
use crate::error::Refusal;
use bodies::sdp;
use bodies::sdp::message::Message;
use std::net::IpAddr;

/// Below are the services of the system, which no peer listens among.
const FIRST_PORT: u16 = 1024;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: msrp::Host,
    pub(super) port: u16,
}

impl Place {
    /// Of a URI in a path. One without a port leads to port 0, which is none.
    pub(super) fn of_uri(uri: msrp::Uri<'_>) -> Place {
        Place { host: uri.host(), port: uri.port().unwrap_or(0) }
    }

    /// Of the `c=` and `m=` lines.
    pub(super) fn of_line(message: &Message) -> Place {
        let host = match &message.host {
            sdp::Host::Ip(address) => msrp::Host::Ip(*address),
            sdp::Host::Name(name) => msrp::Host::Name(name.to_ascii_lowercase()),
        };
        Place { host, port: message.port }
    }

    /// What holds for each place in a path, whoever connects: addresses are written as what they are, and it is not ourselves.
    ///
    /// # Errors
    /// [`Refusal::NotAcceptableHere`].
    pub(super) fn check(&self, ours: &Ours<'_>) -> Result<(), Refusal> {
        let plain = match &self.host {
            msrp::Host::Ip(address) => is_plain(*address),
            msrp::Host::Name(name) => sdp::Host::name(name).is_some(),
        };
        if !plain {
            return Err(BAD_PLACE);
        }
        let own = Place { host: ours.host.clone(), port: ours.port };
        if self.is(&own) { Err(OWN) } else { Ok(()) }
    }

    /// What holds, besides, for a place that we are to connect to. A name is looked up later, and what it stands for checked then.
    ///
    /// # Errors
    /// [`Refusal::NotAcceptableHere`].
    pub(super) fn check_for_us(&self, may_lead_to: &dyn Fn(IpAddr) -> bool) -> Result<(), Refusal> {
        let host = match &self.host {
            msrp::Host::Ip(address) => may_lead_to(*address),
            msrp::Host::Name(_) => true,
        };
        if host && self.port >= FIRST_PORT { Ok(()) } else { Err(BAD_PLACE) }
    }

    /// Whether both are the same.
    fn is(&self, other: &Place) -> bool {
        self.port == other.port && written(&self.host).same(&written(&other.host))
    }

    /// Whether both may be the same: so also if one is a name and the other an address.
    pub(super) fn may_be(&self, other: &Place) -> bool {
        match (&self.host, &other.host) {
            (msrp::Host::Ip(_), msrp::Host::Name(_)) | (msrp::Host::Name(_), msrp::Host::Ip(_)) => {
                self.port == other.port
            }
            (msrp::Host::Ip(_), msrp::Host::Ip(_)) | (msrp::Host::Name(_), msrp::Host::Name(_)) => self.is(other),
        }
    }
}

const BAD_PLACE: Refusal = Refusal::NotAcceptableHere { warning: 399, why: "The path leads where nobody may go" };

const OWN: Refusal = Refusal::NotAcceptableHere { warning: 399, why: "The path leads back here" };

/// A host as descriptions write it.
pub(super) fn written(host: &msrp::Host) -> sdp::Host {
    match host {
        msrp::Host::Ip(address) => sdp::Host::Ip(*address),
        msrp::Host::Name(name) => sdp::Host::Name(name.clone()),
    }
}

/// Whether it is the address of one host and no other address in disguise: not `::ffff:127.0.0.1`, which is 127.0.0.1, nor 0.0.0.0,
/// which leads to this host too.
fn is_plain(address: IpAddr) -> bool {
    let disguised = match address {
        IpAddr::V4(a) => a.is_broadcast() || a.octets()[0] == 0,
        IpAddr::V6(a) => a.segments()[..5] == [0; 5] && !a.is_loopback(),
    };
    !(disguised || address.is_unspecified() || address.is_multicast())
}
