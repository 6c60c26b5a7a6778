//! When media go through a relay, and how: rtpengine, which takes a description, and gives back its own in its place.
//!
//! Where both ends can talk directly the gateway stays out of it. What Jingle clients have is ICE and DTLS-SRTP; a telephone that has neither
//! needs somebody between. Of a SIP user who is called that is found out by trying (RFC 3261 §21.4.26), and remembered for a while; of one who
//! calls, the offer says it.

mod admit;
mod passage;
mod style;

pub(super) use passage::{Heard, Passage, forget};
pub(super) use style::Style;

use crate::error::Refusal;
use crate::prints;
use base::{Fingerprint, HashKey, Recent, Str, Time};
use bodies::sdp::rtp::{Group, Mid, Value as _};
use bodies::sdp::{Media, Sdp};
use std::time::Duration;
use xmpp::jid::Jid;

/// When media go through a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Where it is needed.
    #[default]
    Auto,
    /// Never: descriptions go as they are, whatever comes of it.
    Never,
    /// Always: no end learns where the other is.
    Always,
}

/// How relays are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When.
    pub mode: Mode,
    /// SIP domains whose telephones are known to have neither ICE nor SRTP: they are not tried without a relay.
    pub plain: Vec<Str>,
    /// SIP domains whose telephones are known to have SRTP with keys in descriptions (RFC 4568), and no ICE.
    pub sdes: Vec<Str>,
    /// What the relays call their interfaces towards SIP and towards XMPP; None: they have one.
    pub interfaces: Option<(Str, Str)>,
    /// How long it is remembered what a telephone takes.
    pub remember: Duration,
    /// Of how many telephones, in one shard; beyond, the oldest are forgotten.
    pub remembered: usize,
    /// How often the relay is asked whether it still knows of a call.
    pub check: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::Auto,
            plain: Vec::new(),
            sdes: Vec::new(),
            interfaces: None,
            remember: Duration::from_secs(3600),
            remembered: 4096,
            check: Duration::from_secs(20),
        }
    }
}

/// Which way the media of a call go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From end to end.
    Direct,
    /// Through a relay, which the SIP user is shown so.
    Relayed(Style),
}

/// What there is to decide with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) options: &'a Options,
    /// Whether there is a relay.
    pub(super) relay: bool,
    pub(super) now: Time,
}

/// What SIP users' telephones take, as far as that was found out.
#[derive(Debug)]
pub(super) struct Ways {
    key: HashKey,
    known: Recent<Fingerprint, (Style, Time)>,
}

impl Ways {
    /// Nothing is known yet; `key` is secret.
    pub(super) fn new(options: &Options, key: HashKey) -> Ways {
        Ways { key, known: Recent::new(key, options.remembered) }
    }

    /// The first way to try for a call to a SIP user.
    ///
    /// # Errors
    /// A relay is needed, and there is none.
    pub(super) fn to_sip(&self, means: Means<'_>, sip: &Jid, offer: &Sdp) -> Result<Way, Refusal> {
        let known = configured(means.options, sip).or_else(|| self.remembered(means.now, sip));
        match means.options.mode {
            Mode::Never => Ok(Way::Direct),
            Mode::Always => relayed(means, known.unwrap_or(Style::SECURE)),
            Mode::Auto => match known.filter(|_| is_of_jingle(offer)) {
                Some(style) => relayed(means, style),
                None => Ok(Way::Direct),
            },
        }
    }

    /// Whether a call to a SIP user will go through a relay from the first.
    pub(super) fn expects_relay(&self, means: Means<'_>, sip: &Jid) -> bool {
        let known = configured(means.options, sip).or_else(|| self.remembered(means.now, sip)).is_some();
        match means.options.mode {
            Mode::Never => false,
            Mode::Always => true,
            Mode::Auto => known,
        }
    }

    /// The next way, where a telephone has refused this one with this status; None: that was all.
    pub(super) fn after(means: Means<'_>, sip: &Jid, way: Way, code: u16, offer: &Sdp) -> Option<Style> {
        // RFC 3261 §21.4.13, §21.4.26, §21.6.4; the rest is about something else than the description.
        let about_media = matches!(code, 415 | 488 | 606);
        if !about_media || !means.relay || means.options.mode == Mode::Never || configured(means.options, sip).is_some()
        {
            return None;
        }
        match way {
            Way::Direct => is_of_jingle(offer).then_some(Style::PLAIN),
            Way::Relayed(Style::PLAIN) => Some(Style::SDES),
            Way::Relayed(Style::SDES) => None,
            Way::Relayed(_) => Some(Style::PLAIN),
        }
    }

    /// What a telephone is to be shown in place of an offer that went to it directly, and that it has answered so that no Jingle client can take the answer.
    pub(super) fn instead(means: Means<'_>, way: Way, offer: &Sdp, answer: &Sdp) -> Option<Style> {
        if way != Way::Direct || means.options.mode != Mode::Auto || !means.relay || !is_of_jingle(offer) {
            return None;
        }
        if active(answer).next().is_none() {
            return Some(Style::PLAIN);
        }
        let lacks = |(asked, said): (&Media, &Media)| {
            let (asked, said) = (way_of(offer, asked), way_of(answer, said));
            let keys = |sdp: &Sdp, media| sdp.attribute(media, "fingerprint").is_some();
            let ice = has_ice(offer, asked) && !has_ice(answer, said);
            said.port != 0 && (ice || keys(offer, asked) && !keys(answer, said))
        };
        offer.media.iter().zip(&answer.media).any(lacks).then(|| Style::of(answer))
    }

    /// A telephone has taken this.
    pub(super) fn accepted(&mut self, means: Means<'_>, sip: &Jid, way: Way) {
        let print = self.print(sip);
        match way {
            Way::Relayed(style) if style != Style::SECURE => {
                self.known.insert(print, (style, means.now + means.options.remember));
            }
            Way::Direct | Way::Relayed(_) => drop(self.known.remove(&print)),
        }
    }

    /// The way for a call from a SIP user.
    ///
    /// # Errors
    /// A relay is needed, and there is none.
    pub(super) fn to_xmpp(means: Means<'_>, offer: &Sdp) -> Result<Way, Refusal> {
        match means.options.mode {
            Mode::Never => Ok(Way::Direct),
            Mode::Auto if suits_jingle(offer) && !(means.relay && is_lite(offer)) => Ok(Way::Direct),
            Mode::Auto | Mode::Always => relayed(means, Style::of(offer)),
        }
    }

    fn remembered(&self, now: Time, sip: &Jid) -> Option<Style> {
        self.known.get(&self.print(sip)).filter(|(_, until)| now < *until).map(|(style, _)| *style)
    }

    fn print(&self, sip: &Jid) -> Fingerprint {
        prints::user(&self.key, sip)
    }
}

fn configured(options: &Options, sip: &Jid) -> Option<Style> {
    let has = |domains: &[Str]| domains.iter().any(|domain| domain == sip.domain());
    if has(&options.plain) {
        Some(Style::PLAIN)
    } else if has(&options.sdes) {
        Some(Style::SDES)
    } else {
        None
    }
}

fn relayed(means: Means<'_>, style: Style) -> Result<Way, Refusal> {
    if means.relay { Ok(Way::Relayed(style)) } else { Err(NEEDED) }
}

/// There should be a relay.
const NEEDED: Refusal =
    Refusal::NotAcceptableHere { warning: 302, why: "The two ends cannot talk directly, and there is no media relay" };

/// What is neither refused nor over.
fn active(sdp: &Sdp) -> impl Iterator<Item = &Media> {
    sdp.media.iter().filter(|media| media.port != 0 || media.attributes.has("bundle-only"))
}

/// Whether who wrote it only answers the checks of ICE. A client cannot be told (XEP-0176 §5.4), and with an offer in its hands it would wait for the caller to choose
/// (RFC 8445 §6.1.1); a relay chooses. Where there is none they find out by their conflict of roles, or not at all.
fn is_lite(sdp: &Sdp) -> bool {
    sdp.attributes.has("ice-lite")
}

/// Whether a description has what only some telephones have: ICE or SRTP.
fn is_of_jingle(sdp: &Sdp) -> bool {
    active(sdp).any(|media| has_ice(sdp, media) || media.protocol.contains("SAVP"))
}

/// Whether a Jingle client can take it: everything in it has ICE and DTLS-SRTP.
fn suits_jingle(sdp: &Sdp) -> bool {
    let suits = |media: &Media| has_ice(sdp, media) && sdp.attribute(media, "fingerprint").is_some();
    active(sdp).all(|media| suits(way_of(sdp, media)))
}

/// The medium whose way this one shares: the first of its bundle, which alone says where it leads (RFC 9143 §7.1.3).
fn way_of<'a>(sdp: &'a Sdp, media: &'a Media) -> &'a Media {
    let named = |media: &Media| Mid::first(&media.attributes).map(|mid| mid.0);
    let Some(mid) = named(media) else { return media };
    let bundle = Group::all(&sdp.attributes).find(|group| admit::is_bundle(group) && group.mids.contains(&mid));
    let first = bundle.and_then(|bundle| bundle.mids.into_iter().next());
    first.and_then(|first| sdp.media.iter().find(|media| named(media).as_ref() == Some(&first))).unwrap_or(media)
}

fn has_ice(sdp: &Sdp, media: &Media) -> bool {
    sdp.attribute(media, "ice-ufrag").is_some() && sdp.attribute(media, "ice-pwd").is_some()
}

#[cfg(test)]
mod tests;
