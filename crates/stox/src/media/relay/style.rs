//! What a relay makes of a description for each side.

use super::{active, has_ice};
use crate::mapping::Side;
use base::Str;
use bodies::sdp::Sdp;
use bodies::sdp::rtp::Profile;
use ng::{Dtls, Ice, Mux, Rewriting, Sdes};

/// What a SIP user is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) struct Style {
    ice: bool,
    dtls: bool,
    profile: Profile,
}

impl Style {
    /// What Jingle clients have: ICE and DTLS-SRTP.
    pub(in crate::media) const SECURE: Style =
        Style { ice: true, dtls: true, profile: Profile { secure: true, dtls: true, feedback: true } };
    /// RTP, and nothing besides.
    pub(in crate::media) const PLAIN: Style =
        Style { ice: false, dtls: false, profile: Profile { secure: false, dtls: false, feedback: false } };
    /// SRTP with keys in the description.
    pub(in crate::media) const SDES: Style =
        Style { ice: false, dtls: false, profile: Profile { secure: true, dtls: false, feedback: false } };

    /// What somebody has who writes such descriptions.
    pub(in crate::media) fn of(sdp: &Sdp) -> Style {
        let Some(media) = active(sdp).next() else { return Style::PLAIN };
        let Some(profile) = Profile::from_name(&media.protocol) else { return Style::PLAIN };
        let dtls = profile.secure && sdp.attribute(media, "fingerprint").is_some();
        Style { ice: has_ice(sdp, media), dtls, profile }
    }

    /// What becomes of a description on its way to this side.
    pub(super) fn rewriting(self, towards: Side, interfaces: Option<&(Str, Str)>) -> Rewriting {
        match towards {
            Side::Xmpp => Rewriting {
                ice: Ice::Force,
                dtls: Dtls::Passive,
                sdes: Sdes::Off,
                mux: Some(Mux::Offer),
                protocol: Some(Style::SECURE.profile.name()),
                trickle: true,
                mid: true,
                interfaces: interfaces.cloned(),
            },
            Side::Sip => Rewriting {
                ice: if self.ice { Ice::Force } else { Ice::Remove },
                dtls: if self.dtls { Dtls::Passive } else { Dtls::Off },
                sdes: if self.profile.secure && !self.dtls { Sdes::On } else { Sdes::Off },
                mux: Some(if self.ice { Mux::Offer } else { Mux::Demux }),
                protocol: Some(self.profile.name()),
                trickle: false,
                mid: false,
                interfaces: interfaces.map(|(sip, xmpp)| (xmpp.clone(), sip.clone())),
            },
        }
    }
}
