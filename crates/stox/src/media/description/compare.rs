//! What the SIP side says of a content, and in what it differs from what it has said before.

use super::line::{Awaits, Flow, Line, Stage, kept};
use super::say::Say;
use super::scope::Scope;
use super::value::Unfit;
use super::{names, s2x, x2s};
use base::Str;
use bodies::sdp::rtp::{Profile, Static};
use bodies::sdp::{Media, Sdp, Setup};
use xmpp::ext::jingle::{
    Candidate, Condition, Content, Description, Fingerprint, Ice, MAX_CANDIDATES, Payload, RawUdp, Transport,
};

/// What the SIP side says of a content.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) content: Content,
    pub(super) flow: Flow,
    pub(super) scope: Scope,
}

/// Reads what it says of one that there is.
pub(super) fn read(sdp: &Sdp, media: &Media, line: &Line, answer: bool) -> Result<Heard, Unfit> {
    let mut scope = line.scope.clone();
    scope.answer = answer;
    let whole = names::unbundled(sdp, media);
    let content = s2x::content(sdp, whole.as_ref().unwrap_or(media), &mut scope)
        .map_err(|refusal| Unfit::new(refusal, Condition::IncompatibleParameters))?;
    let senders = content.senders.unwrap_or(xmpp::ext::jingle::Senders::Both);
    let flow = Flow::of(scope.direction(senders)).reversed();
    Ok(Heard { content, flow, scope })
}

impl Line {
    /// The SIP side takes what the XMPP side wants.
    pub(super) fn answered_by_sip(&mut self, heard: Heard) -> Result<(), Unfit> {
        let Some(ours) = &self.ours else { return Err(Unfit::bad("An answer to nothing")) };
        agree(&heard.content, ours, false)?;
        // RFC 3264 §6.1: at least one of those that were offered.
        if common(&payloads(&heard.content), &payloads(ours)).is_empty() {
            return Err(Unfit::not_here(305, "No codec in common", Condition::IncompatibleParameters));
        }
        self.role = setup_of(&heard.content).map(opposite);
        self.hear_flow(heard.flow);
        self.scope = heard.scope;
        self.theirs = Some(kept(&heard.content));
        (self.stage, self.awaits) = (Stage::Open, None);
        Ok(())
    }

    /// The XMPP side takes what the SIP side wants.
    pub(super) fn accepted_by_xmpp(&mut self, ours: Content) -> Result<(), Unfit> {
        let Some(theirs) = &self.theirs else { return Err(Unfit::bad("An answer to nothing")) };
        let profile = self.scope.protocol.as_deref().and_then(Profile::from_name);
        agree(theirs, &ours, profile.is_some_and(|profile| !profile.secure))?;
        if common(&payloads(&ours), &payloads(theirs)).is_empty() {
            return Err(Unfit::not_here(305, "No codec in common", Condition::IncompatibleParameters));
        }
        let role = match (setup_of(&ours), setup_of(theirs)) {
            (Some(role @ (Setup::Active | Setup::Passive)), _) => Some(role),
            // RFC 5763 §5: an answer says which of both; whoever answers actpass should begin.
            (_, Some(Setup::Active)) => Some(Setup::Passive),
            (_, Some(Setup::Passive | Setup::Actpass | Setup::Holdconn)) => Some(Setup::Active),
            // What the SIP side has not said yet, it is offered.
            (_, None) => None,
        };
        let mut scope = self.scope.clone();
        scope.answer = true;
        x2s::media(&ours, &scope).map_err(|refusal| Unfit::new(refusal, Condition::IncompatibleParameters))?;
        self.role = role;
        if let Some(senders) = ours.senders {
            self.hear_senders(senders);
        }
        self.ours = Some(Box::new(ours));
        (self.stage, self.awaits) = (Stage::Open, None);
        Ok(())
    }

    /// The SIP side speaks again of what both have: what is new to the XMPP side. In an offer there can be something that it has to say first.
    pub(super) fn compare(&mut self, heard: Heard, offer: bool, say: &mut Say) -> Result<(), Unfit> {
        let Heard { mut content, flow, scope } = heard;
        let (Some(old), Some(ours)) = (self.theirs.take(), &self.ours) else {
            return Err(Unfit::bad("Nothing was said of this before"));
        };
        let known = codecs(&old);
        let name = self.name();
        let mut awaits = None;
        let change = difference(old.transport.as_ref(), content.transport.as_ref());
        if change != Difference::Other {
            agree(&content, ours, false)?;
        }
        let ice = |transport: Ice| Transport::Ice(Box::new(transport));
        match (change, old.transport, &mut content.transport) {
            (Difference::None, Some(Transport::Ice(before)), Some(Transport::Ice(now))) => {
                let new =
                    now.candidates.iter().filter(|candidate| !before.candidates.iter().any(|c| same(c, candidate)));
                let candidates: Vec<Candidate> = new.cloned().collect();
                let gathering_complete = now.gathering_complete && !before.gathering_complete;
                if !candidates.is_empty() {
                    let news = Ice { candidates, gathering_complete, ..half(now) };
                    say.candidates.push(name.clone().with_transport(ice(news)));
                }
                // What was told is told: an offer after ICE has found its way may name only that.
                keep_candidates(now, before.candidates);
            }
            (Difference::First, _, Some(Transport::Ice(now))) => {
                say.candidates.push(name.clone().with_transport(Transport::Ice(now.clone())));
            }
            (Difference::Half, _, Some(Transport::Ice(now))) if offer => {
                // XEP-0176 §5.9. Without candidates it is an offer to the programs that there are, and with some an answer.
                say.restarted.push(name.clone().with_transport(ice(half(now))));
                if !now.candidates.is_empty() {
                    let news = Ice { fingerprints: Vec::new(), ..now.as_ref().clone() };
                    say.candidates.push(name.clone().with_transport(ice(news)));
                }
                awaits = Some(Awaits::Restart);
            }
            (Difference::Half, _, Some(Transport::Ice(now))) => {
                let news = Ice { fingerprints: Vec::new(), ..now.as_ref().clone() };
                say.restarted.push(name.clone().with_transport(ice(news)));
            }
            (Difference::Silent, Some(before), now) => *now = Some(before),
            (Difference::Other, _, Some(transport)) => {
                say.replaced.push(name.clone().with_transport(transport.clone()));
                awaits = offer.then_some(Awaits::Transport);
            }
            (
                Difference::None | Difference::First | Difference::Half | Difference::Silent | Difference::Other,
                _,
                _,
            ) => {}
        }
        if self.role.is_none() {
            self.role = setup_of(&content).map(opposite);
        }
        if offer && codecs(&content) != known {
            say.described.extend(content.description.clone().map(|description| name.with_description(description)));
        }
        self.scope = scope;
        self.theirs = Some(kept(&content));
        self.awaits = awaits;
        self.hear_flow(flow);
        Ok(())
    }
}

/// In what a transport differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// At most in candidates.
    None,
    /// There was no half of ICE before.
    First,
    /// ICE was started anew.
    Half,
    /// No address is given: an old way to put on hold (RFC 3264 §8.4).
    Silent,
    /// It is another one.
    Other,
}

fn difference(before: Option<&Transport>, now: Option<&Transport>) -> Difference {
    match (before, now) {
        (Some(Transport::Ice(before)), Some(Transport::Ice(now))) => {
            if before.ufrag.is_none() {
                Difference::First
            } else if !same_keys(&before.fingerprints, &now.fingerprints) {
                Difference::Other
            } else if (&before.ufrag, &before.pwd) != (&now.ufrag, &now.pwd) {
                Difference::Half
            } else {
                Difference::None
            }
        }
        (Some(Transport::RawUdp(before)), Some(Transport::RawUdp(now))) => {
            if now.candidates.is_empty() {
                Difference::Silent
            } else if places(before) != places(now) || !same_keys(&before.fingerprints, &now.fingerprints) {
                Difference::Other
            } else {
                Difference::None
            }
        }
        (Some(Transport::Ice(_)), Some(Transport::RawUdp(now))) if now.candidates.is_empty() => Difference::Silent,
        (Some(_), None) => Difference::Silent,
        (Some(_) | None, Some(_)) => Difference::Other,
        (None, None) => Difference::None,
    }
}

/// Whether two sides can talk to each other: the same transport and keys of the same kind; `plain` says that the SIP side has offered to do
/// without keys.
fn agree(sip: &Content, xmpp: &Content, plain: bool) -> Result<(), Unfit> {
    let (Some(theirs), Some(ours)) = (sip.rtp(), xmpp.rtp()) else {
        return Err(Unfit::not_here(304, "No RTP", Condition::IncompatibleParameters));
    };
    if theirs.media != ours.media {
        return Err(Unfit::not_here(304, "Another medium", Condition::IncompatibleParameters));
    }
    let same = match (&sip.transport, &xmpp.transport) {
        (Some(Transport::Ice(_)), Some(Transport::Ice(_))) => true,
        (Some(Transport::RawUdp(_)), Some(Transport::RawUdp(_))) => true,
        // Nothing is known of either yet.
        (Some(_) | None, Some(_) | None) => false,
    };
    if !same {
        return Err(Unfit::not_here(
            302,
            "One side speaks ICE and the other one does not",
            Condition::UnsupportedTransports,
        ));
    }
    let keys = |content: &Content| {
        let dtls = !fingerprints(content).is_empty();
        let sdes = content.rtp().and_then(|rtp| rtp.encryption.as_ref()).is_some_and(|e| !e.cryptos.is_empty());
        (dtls, sdes)
    };
    match (keys(sip), keys(xmpp)) {
        ((true, _), (true, _)) | ((_, true), (_, true)) | ((false, false), (false, false)) => Ok(()),
        // The half of the SIP side is not known before it has answered (an INVITE without an offer).
        _ if sip.ice().is_some_and(|ice| ice.ufrag.is_none()) => Ok(()),
        (_, (false, false)) if plain => Ok(()),
        _ => Err(Unfit::not_here(302, "One side encrypts and the other one does not", Condition::SecurityError)),
    }
}

fn payloads(content: &Content) -> Vec<Payload> {
    content.rtp().map(|rtp| rtp.payloads.clone()).unwrap_or_default()
}

/// The payloads of `own` that the other side has too, by what they are and not by number.
pub(super) fn common(own: &[Payload], other: &[Payload]) -> Vec<Payload> {
    let has = |payload: &&Payload| other.iter().any(|there| same_codec(payload, there));
    own.iter().filter(has).cloned().collect()
}

fn same_codec(one: &Payload, other: &Payload) -> bool {
    match (codec(one), codec(other)) {
        (Some(one), Some(other)) => one == other,
        // Neither has a name, and nobody knows one.
        (None, None) => one.id == other.id,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A name in lower case, a clock rate and a number of channels.
type Codec = Option<(Str, u32, u8)>;

/// What a payload is; None where nobody says so.
fn codec(payload: &Payload) -> Codec {
    let known = Static::of(payload.id);
    let name = payload.name.as_deref().or(known.as_ref().map(|known| known.encoding))?;
    let clockrate = payload.clockrate.or(known.as_ref().map(|known| known.clock_rate)).unwrap_or(0);
    let lower: Str = name.chars().map(|c| c.to_ascii_lowercase()).collect();
    // RFC 7587 §7: of Opus both are always the same, and not all clients say so.
    if lower == "opus" {
        return Some((lower, 48_000, 2));
    }
    Some((lower, clockrate, payload.channels.unwrap_or(1)))
}

/// The codecs of a content, to see whether there are others.
fn codecs(content: &Content) -> Vec<(u8, Codec)> {
    let payloads = content.rtp().map(|rtp| rtp.payloads.as_slice()).unwrap_or_default();
    payloads.iter().map(|payload| (payload.id, codec(payload))).collect()
}

/// The half of ICE alone: no candidates, and no keys, as they would be taken for new ones.
fn half(ice: &Ice) -> Ice {
    Ice { form: ice.form, ufrag: ice.ufrag.clone(), pwd: ice.pwd.clone(), ..Ice::default() }
}

/// Candidates for the same place.
pub(super) fn same(one: &Candidate, other: &Candidate) -> bool {
    (one.component, one.port, &one.ip) == (other.component, other.port, &other.ip)
        && one.protocol.eq_ignore_ascii_case(&other.protocol)
        && one.kind == other.kind
}

/// Adds candidates that are not there yet, up to a bound.
pub(super) fn keep_candidates(ice: &mut Ice, more: Vec<Candidate>) {
    for candidate in more {
        if ice.candidates.len() < MAX_CANDIDATES && !ice.candidates.iter().any(|there| same(there, &candidate)) {
            ice.candidates.push(candidate);
        }
    }
}

fn places(raw: &RawUdp) -> Vec<(u8, &str, u16)> {
    raw.candidates.iter().map(|candidate| (candidate.component, candidate.ip.as_str(), candidate.port)).collect()
}

fn same_keys(one: &[Fingerprint], other: &[Fingerprint]) -> bool {
    let has = |all: &[Fingerprint], wanted: &Fingerprint| {
        let is =
            |f: &Fingerprint| f.hash.eq_ignore_ascii_case(&wanted.hash) && f.value.eq_ignore_ascii_case(&wanted.value);
        all.iter().any(is)
    };
    one.is_empty() == other.is_empty() && other.iter().all(|fingerprint| has(one, fingerprint))
}

/// The keys of a content.
pub(super) fn fingerprints(content: &Content) -> &[Fingerprint] {
    match &content.transport {
        Some(Transport::Ice(ice)) => &ice.fingerprints,
        Some(Transport::RawUdp(raw)) => &raw.fingerprints,
        Some(Transport::Other(_)) | None => &[],
    }
}

/// Says of its keys who begins.
pub(super) fn set_role(content: &mut Content, role: Setup) {
    let fingerprints = match &mut content.transport {
        Some(Transport::Ice(ice)) => &mut ice.fingerprints,
        Some(Transport::RawUdp(raw)) => &mut raw.fingerprints,
        Some(Transport::Other(_)) | None => return,
    };
    fingerprints.iter_mut().for_each(|fingerprint| fingerprint.setup = Some(Str::const_new(role.name())));
}

fn setup_of(content: &Content) -> Option<Setup> {
    fingerprints(content).iter().find_map(|fingerprint| Setup::from_name(fingerprint.setup.as_deref()?))
}

/// The role of the other side.
fn opposite(role: Setup) -> Setup {
    match role {
        Setup::Active | Setup::Actpass => Setup::Passive,
        Setup::Passive => Setup::Active,
        Setup::Holdconn => Setup::Holdconn,
    }
}

/// Only for the exhaustive look at what carries RTP.
pub(super) fn payloads_mut(content: &mut Content) -> Option<&mut Vec<Payload>> {
    match content.description.as_mut()? {
        Description::Rtp(rtp) => Some(&mut rtp.payloads),
        Description::Other(_) => None,
    }
}
