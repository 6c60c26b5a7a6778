//! Offers and answers (RFC 3264) about MSRP: what RFC 4975 §8 describes, who connects (RFC 6135), past middleboxes (RFC 6714), over TLS with
//! fingerprints (RFC 8122). Functions from descriptions to what is agreed; nothing is kept here and nothing looked up.
//!
//! We can be reached, so we offer `actpass` and answer `passive` wherever we may. Where we are to connect, the place that a peer
//! names has to be one that we may go to ([`place`]): that is where strangers try to have a gateway knock on inner doors.

mod place;

use super::Chatroom;
use crate::error::Refusal;
use base::Str;
use bodies::Error;
use bodies::sdp::message::{self, Message};
use bodies::sdp::{Address, Attribute, Direction, Fingerprint, Media, Origin, Sdp, Setup, Types};
use bytes::Bytes;
use place::Place;
use std::net::IpAddr;

/// What we say of ourselves.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    /// Our path: one URI, or behind a relay its URIs and ours.
    pub path: &'a msrp::Path,
    /// Where we listen.
    pub host: &'a msrp::Host,
    /// At which port.
    pub port: u16,
    /// Whether the session is over TLS.
    pub secure: bool,
    /// The fingerprint of the certificate that we show then.
    pub fingerprint: Option<&'a msrp::Fingerprint>,
    /// What we take, the best first.
    pub accept_types: &'a [&'a str],
    /// What we take only within one of those.
    pub accept_wrapped_types: &'a [&'a str],
    /// The longest message that we take, in bytes.
    pub max_size: u64,
    /// The number of the session in `o=`.
    pub session_id: u64,
    /// The number of this description of it, which grows with each change (RFC 3264 §8).
    pub version: u64,
    /// Whether middleboxes may move the connection (RFC 6714): so, but for a second offer to a peer that cannot have it.
    pub cema: bool,
    /// What we say of rooms (RFC 7701 §8).
    pub chatroom: Option<Chatroom>,
}

/// What is agreed, which is what the other side says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Its path.
    pub path: msrp::Path,
    /// Who connects.
    pub way: msrp::Way,
    /// What it takes.
    pub accept: Accept,
    /// The longest message that it wants, in bytes.
    pub max_size: Option<u64>,
    /// Whether it sends.
    pub sends: bool,
    /// Whether it receives.
    pub receives: bool,
    /// Whether the connection may be moved by middleboxes (RFC 6714).
    pub cema: bool,
    /// What it says of rooms.
    pub chatroom: Option<Chatroom>,
    /// Over TLS: what its certificate must match, if it said. Of use where it connects; where we do, it is in the way.
    pub fingerprints: Vec<msrp::Fingerprint>,
    /// RFC 6714 §4.2: between us and a peer that knows nothing of them is a middlebox, and only a new offer with [`Ours::cema`] unset
    /// has it do what it must for a connection.
    pub offer_again: bool,
}

/// What the other side takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accept {
    types: Types,
    wrapped: Types,
}

impl Accept {
    /// Whether it takes this media type as it is. Parameters count for nothing (RFC 4975 §8.6).
    pub fn takes(&self, content_type: &str) -> bool {
        let (type_, subtype) = essence(content_type);
        self.types.takes(type_, subtype)
    }

    /// Whether it takes this media type within another one that it takes.
    pub fn wraps(&self, content_type: &str) -> bool {
        let (type_, subtype) = essence(content_type);
        self.takes(content_type) || self.wrapped.takes(type_, subtype)
    }

    /// Whether it names this media type, and does not only let anything be tried.
    pub fn names(&self, content_type: &str) -> bool {
        let (type_, subtype) = essence(content_type);
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        self.types.iter().any(|entry| same(entry.type_(), type_) && same(entry.subtype(), subtype))
    }

    /// Whether it takes text in CPIM and not without.
    pub fn cpim_only(&self) -> bool {
        self.takes(CPIM) && !self.takes(TEXT)
    }

    /// A conversation that cannot carry text is none.
    fn has_text(&self) -> bool {
        self.takes(TEXT) || self.takes(CPIM) && self.wraps(TEXT)
    }
}

const TEXT: &str = "text/plain";
const CPIM: &str = "message/cpim";

fn essence(content_type: &str) -> (&str, &str) {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.split_once('/').unwrap_or((essence, ""))
}

/// Our offer.
pub fn offer(ours: &Ours<'_>) -> Bytes {
    let mut sdp = ours.description();
    // RFC 6135 §4.2.2: who can be reached lets the other side choose.
    sdp.media.push(ours.media(Setup::Actpass, ours.cema, Direction::SendRecv));
    sdp.to_bytes().into()
}

/// Whether an offer asks for a session over TLS: so if one of those in it is. Not to be offered it, and to be offered something else, is
/// the peer's choice; our own side has to be opened one way or the other before [`answer`].
pub fn wants_tls(offer: &[u8]) -> bool {
    let offered = |media: &Media| is_offered(media) && media.protocol.eq_ignore_ascii_case(message::TLS);
    Sdp::parse(offer).is_ok_and(|sdp| sdp.media.iter().any(offered))
}

/// Whether an offer is one of ours to answer: it has a conversation in it, or cannot be read, which is for the answer to say.
pub fn is_ours(offer: &[u8]) -> bool {
    Sdp::parse(offer).map_or(true, |sdp| sdp.media.iter().any(is_offered))
}

/// Whether an offer says that it is to a chat room, or from one (RFC 7701 §8).
pub fn is_chatroom(offer: &[u8]) -> bool {
    let chatroom = |media: &Media| is_offered(media) && media.attributes.has("chatroom");
    Sdp::parse(offer).is_ok_and(|sdp| sdp.media.iter().any(chatroom))
}

/// Our answer to an offer: the first conversation in it that we can have; everything else in it is refused.
///
/// # Errors
/// [`Refusal::BadBody`], [`Refusal::TooBig`]: no description. [`Refusal::NotAcceptableHere`]: there is no conversation in it, or none for us.
pub fn answer(ours: &Ours<'_>, offer: &[u8], may_lead_to: &dyn Fn(IpAddr) -> bool) -> Result<(Agreed, Bytes), Refusal> {
    let offer = Sdp::parse(offer).map_err(|e| unread(&e))?;
    let mut refusal = None;
    let chosen = offer.media.iter().enumerate().filter(|(_, media)| is_offered(media)).find_map(|(n, media)| {
        let accepted = accept(ours, &offer, media, may_lead_to);
        accepted.map(|accepted| (n, accepted)).map_err(|e| refusal.get_or_insert(e)).ok()
    });
    let Some((chosen, (agreed, setup, cema))) = chosen else { return Err(refusal.unwrap_or(NO_CONVERSATION)) };
    let mut sdp = ours.description();
    // RFC 3264 §6: the same times, and as many media in the same order.
    sdp.times = offer.times.clone();
    let direction = match (agreed.sends, agreed.receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::RecvOnly,
        (false, true) => Direction::SendOnly,
        (false, false) => Direction::Inactive,
    };
    sdp.media.extend(offer.media.iter().enumerate().map(|(n, media)| match n == chosen {
        true => ours.media(setup, cema, direction),
        false => media.refused(),
    }));
    Ok((agreed, sdp.to_bytes().into()))
}

/// What an answer to our [`offer`] agrees to.
///
/// # Errors
/// [`Refusal::BadBody`], [`Refusal::TooBig`]: no description, or one that is no answer to it. [`Refusal::NotAcceptableHere`]: the conversation is
/// refused, or not as it was offered, or leads where we do not go.
pub fn read_answer(ours: &Ours<'_>, answer: &[u8], may_lead_to: &dyn Fn(IpAddr) -> bool) -> Result<Agreed, Refusal> {
    let answer = Sdp::parse(answer).map_err(|e| unread(&e))?;
    // There may be more of them, if what was offered is an answer of ours said again; those are refused.
    let mut taken = answer.media.iter().filter(|media| media.port != 0);
    let media = match (taken.next(), taken.next()) {
        (None, _) => return Err(NO_CONVERSATION),
        (Some(media), None) if is_offered(media) => media,
        (Some(_), _) => return Err(Refusal::BadBody("An answer to another offer")),
    };
    let theirs = Theirs::read(ours, &answer, media)?;
    // RFC 4975 §8.5: who has offered connects, unless the answer says that it does.
    let active = match theirs.message.setup {
        Some(Setup::Active) => false,
        Some(Setup::Passive | Setup::Actpass | Setup::Holdconn) | None => true,
    };
    let moved = !theirs.is_where_its_path_says();
    let relayed = !theirs.path.is_direct();
    // RFC 6714 §4.2, its three cases.
    let offer_again = ours.cema && !theirs.message.cema && moved && (!active || !ours.path.is_direct() || relayed);
    // Its last two paragraphs: to a relay without a middlebox before it leads the path, to all else the lines that a middlebox would change.
    let by_line = ours.cema && !offer_again && (moved || !relayed);
    let cema = ours.cema && theirs.message.cema;
    theirs.agree(ours, active.then_some(by_line), cema, offer_again, may_lead_to)
}

/// As what a description is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// As an offer.
    Offer,
    /// As an answer.
    Answer,
}

/// What we have said last, for a refresh: the same, and so of the same version (RFC 4975 §8.4), unless what was an answer is now an offer or
/// the other way round. Then it says anew who would connect, for no offer may say `passive` (RFC 6135 §4.2.2) and no answer `actpass`,
/// and is the given version. Who has connected stays so.
pub fn again(said: &Bytes, part: Part, version: u64) -> Bytes {
    let Ok(mut sdp) = Sdp::parse(said) else { return said.clone() };
    let mut changed = false;
    for media in sdp.media.iter_mut().filter(|media| is_offered(media)) {
        let says = media.attributes.get("setup").and_then(|attribute| Setup::from_name(attribute.value()?));
        let setup = match part {
            Part::Offer => Setup::Actpass,
            Part::Answer if says == Some(Setup::Active) => Setup::Active,
            Part::Answer => Setup::Passive,
        };
        if says != Some(setup) {
            media.attributes.set(Attribute::new("setup", setup.name()));
            changed = true;
        }
    }
    if !changed {
        return said.clone();
    }
    sdp.origin = sdp.origin.with_version(version);
    sdp.to_bytes().into()
}

/// Takes one of the offered conversations. Gives back our role, too, and whether the answer has `a=msrp-cema`.
fn accept(
    ours: &Ours<'_>,
    offer: &Sdp,
    media: &Media,
    may_lead_to: &dyn Fn(IpAddr) -> bool,
) -> Result<(Agreed, Setup, bool), Refusal> {
    let theirs = Theirs::read(ours, offer, media)?;
    // RFC 6135 §4.2: with `actpass` who can be reached is passive, and without a word (`holdconn` is none) who has offered connects. No offer
    // may say `passive`; one that does wants to be connected to.
    let (active, waits) = match theirs.message.setup {
        Some(Setup::Passive) => (true, false),
        Some(Setup::Actpass) => (false, true),
        Some(Setup::Active | Setup::Holdconn) | None => (false, false),
    };
    // RFC 6714 §4.3: a middlebox that knows nothing of MSRP has been at it.
    if ours.cema && !theirs.message.cema && !theirs.is_where_its_path_says() {
        return Err(MOVED);
    }
    let [ours_relayed, theirs_relayed] = [ours.path, &theirs.path].map(|path| !path.is_direct());
    let they_connect_by_relay = theirs_relayed && !active && !waits;
    let we_connect_by_relay = ours_relayed && active;
    let falls_back = ours_relayed && theirs_relayed || they_connect_by_relay || we_connect_by_relay;
    // All others are told that we can, those that have not asked too.
    let says = ours.cema && !falls_back;
    let cema = says && theirs.message.cema;
    let agreed = theirs.agree(ours, active.then_some(cema), cema, false, may_lead_to)?;
    Ok((agreed, if active { Setup::Active } else { Setup::Passive }, says))
}

/// What the other side says, as far as it can be used at all.
struct Theirs {
    message: Message,
    path: msrp::Path,
    fingerprints: Vec<msrp::Fingerprint>,
    accept: Accept,
}

impl Theirs {
    fn read(ours: &Ours<'_>, sdp: &Sdp, media: &Media) -> Result<Theirs, Refusal> {
        if sdp.connection(media).is_some_and(Address::is_multicast) {
            return Err(Refusal::NotAcceptableHere { warning: 330, why: "Multicast is not available" });
        }
        let message = Message::read(sdp, media).map_err(|e| unread(&e))?;
        if message.secure != ours.secure {
            return Err(TRANSPORT);
        }
        if message.file {
            return Err(Refusal::NotAcceptableHere { warning: 304, why: "Files are not taken" });
        }
        let path = msrp::Path::parse(&message.path).map_err(|why| Refusal::BadBody(why.0))?;
        if path.uris().any(|uri| uri.port().is_none() || !uri.transport().eq_ignore_ascii_case("tcp")) {
            return Err(Refusal::BadBody("a=path without a port or over another transport"));
        }
        if path.last().session_id().is_none() {
            return Err(Refusal::BadBody("a=path without a session"));
        }
        // What TLS was said for does not go without it, nor the other way round.
        if path.first().is_secure() != message.secure {
            return Err(TRANSPORT);
        }
        for place in path.uris().map(Place::of_uri) {
            place.check(ours)?;
        }
        let mut accept = Accept { types: message.accept_types.clone(), wrapped: message.accept_wrapped_types.clone() };
        if ours.chatroom.is_some() {
            // RFC 7701 §5.2: all is wrapped. It only recommends to say what may be.
            if !accept.takes(CPIM) {
                return Err(Refusal::NotAcceptableHere { warning: 305, why: "No Message/CPIM is taken" });
            }
            if accept.wrapped.is_empty() && !accept.has_text() {
                accept.wrapped = Types::of(&[TEXT]);
            }
        }
        if !accept.has_text() {
            return Err(Refusal::NotAcceptableHere { warning: 305, why: "No text is taken" });
        }
        let fingerprints = trusted(&message)?;
        Ok(Theirs { message, path, fingerprints, accept })
    }

    /// RFC 6714 §4.4: whether the lines that a middlebox would change say the same as the path. Names are not looked up: a name and an
    /// address may be the same. RFC 6135 §4.2.2: who only connects has no port to tell.
    fn is_where_its_path_says(&self) -> bool {
        let line = Place::of_line(&self.message);
        let connects = self.message.setup == Some(Setup::Active) && line.port == 9;
        connects || self.path.uris().any(|uri| Place::of_uri(uri).may_be(&line))
    }

    /// `connect`: whether we connect, and then whether to the place that the `c=` and `m=` lines name.
    fn agree(
        self,
        ours: &Ours<'_>,
        connect: Option<bool>,
        cema: bool,
        offer_again: bool,
        may_lead_to: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Agreed, Refusal> {
        let Theirs { message, path, fingerprints, accept } = self;
        let way = match connect {
            None => msrp::Way::Passive,
            Some(by_line) => {
                let place = if by_line { Place::of_line(&message) } else { Place::of_uri(path.first()) };
                place.check(ours)?;
                place.check_for_us(may_lead_to)?;
                // The certificate is that of the peer, whatever middlebox the way leads by.
                let name = match path.first().host() {
                    msrp::Host::Ip(address) => base::format_compact!("{address}"),
                    msrp::Host::Name(name) => name,
                };
                let tls = message.secure.then(|| msrp::Tls { fingerprints: fingerprints.clone(), name });
                msrp::Way::Active(msrp::Hop { host: place.host, port: place.port, tls })
            }
        };
        Ok(Agreed {
            path,
            way,
            accept,
            // It is a hint, and one that would leave nothing to be said is none.
            max_size: message.max_size.filter(|size| *size > 0),
            sends: message.direction.sends(),
            receives: message.direction.receives(),
            cema,
            chatroom: message.chatroom.as_deref().map(Chatroom::read),
            fingerprints,
            offer_again,
        })
    }
}

impl Ours<'_> {
    /// A description without media.
    fn description(&self) -> Sdp {
        // RFC 3264 §5: numbers that a signed one of 64 bits holds, and that can grow.
        let [id, version] = [self.session_id, self.version].map(|number| number & (u64::MAX >> 2));
        let mut sdp = Sdp::new(Origin::new(id, version, &place::written(self.host)));
        sdp.connection = Some(Address::new(&place::written(&self.place().host)));
        sdp
    }

    /// RFC 4975 §8.1, RFC 6714 §4.2: where the path leads first.
    fn place(&self) -> Place {
        match self.path.is_direct() {
            true => Place { host: self.host.clone(), port: self.port },
            false => Place::of_uri(self.path.first()),
        }
    }

    fn media(&self, setup: Setup, cema: bool, direction: Direction) -> Media {
        let place = self.place();
        let fingerprint = self.fingerprint.filter(|_| self.secure);
        let fingerprint = fingerprint.and_then(|ours| Fingerprint::new(&ours.algorithm, &ours.digest));
        let message = Message {
            port: place.port,
            host: place::written(&place.host),
            secure: self.secure,
            path: self.path.as_str().into(),
            accept_types: Types::of(self.accept_types),
            accept_wrapped_types: Types::of(self.accept_wrapped_types),
            max_size: Some(self.max_size),
            setup: Some(setup),
            cema,
            fingerprints: fingerprint.into_iter().collect(),
            direction,
            chatroom: self.chatroom.map(Chatroom::tokens),
            file: false,
        };
        let mut media = message.to_media();
        // It stands above all media.
        media.connections.clear();
        media
    }
}

impl Chatroom {
    /// Reads the tokens of `a=chatroom`. RFC 7701 §8 calls the first one `nicknames` in its text, and `nickname` in its grammar.
    fn read(tokens: &[Str]) -> Chatroom {
        let says =
            |names: &[&str]| tokens.iter().any(|token| names.iter().any(|name| token.eq_ignore_ascii_case(name)));
        Chatroom { nickname: says(&["nickname", "nicknames"]), private_messages: says(&["private-messages"]) }
    }

    fn tokens(self) -> Vec<Str> {
        let Chatroom { nickname, private_messages } = self;
        let tokens = [(nickname, "nickname"), (private_messages, "private-messages")];
        tokens.into_iter().filter(|(says, _)| *says).map(|(_, token)| Str::const_new(token)).collect()
    }
}

/// Whether it is a conversation that is not refused.
fn is_offered(media: &Media) -> bool {
    media.kind == message::KIND && media.port != 0
}

/// The fingerprints of hash functions that are trusted (RFC 8122 §5 forbids MD2 and MD5, and SHA-1 has had its time).
fn trusted(message: &Message) -> Result<Vec<msrp::Fingerprint>, Refusal> {
    let known = |f: &&Fingerprint| matches!(f.hash(), "sha-256" | "sha-384" | "sha-512");
    let ours = |f: &Fingerprint| msrp::Fingerprint {
        algorithm: Str::from(f.hash()),
        digest: Bytes::copy_from_slice(f.bytes()),
    };
    let trusted: Vec<_> = message.fingerprints.iter().filter(known).map(ours).collect();
    if message.secure && trusted.is_empty() && !message.fingerprints.is_empty() {
        return Err(Refusal::NotAcceptableHere {
            warning: 306,
            why: "No fingerprint of a hash function that is trusted",
        });
    }
    Ok(trusted)
}

/// There is nothing in it that is of ours.
pub const NO_CONVERSATION: Refusal =
    Refusal::NotAcceptableHere { warning: 304, why: "Nothing but conversations over MSRP can be had" };

const TRANSPORT: Refusal = Refusal::NotAcceptableHere { warning: 302, why: "Not over this transport" };

const MOVED: Refusal = Refusal::NotAcceptableHere { warning: 399, why: "The path leads elsewhere than the connection" };

/// The refusal of a description that cannot be read.
fn unread(error: &Error) -> Refusal {
    match error {
        Error::Malformed(why) => Refusal::BadBody(why),
        Error::TooBig { .. } => Refusal::TooBig,
        Error::Unsupported { what: "transport", .. } => TRANSPORT,
        Error::Unsupported { .. } => Refusal::NotAcceptableHere { warning: 301, why: "Not at an address of this kind" },
    }
}

#[cfg(test)]
mod tests;
