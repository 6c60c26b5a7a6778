//! What is said of an RTP stream besides its formats: bandwidth (XEP-0167 §6), keys in the description (XEP-0167 §7, XEP-0262), header
//! extensions (XEP-0294 §5), sources (XEP-0339 §2).

use super::formats::{parameter_of_word, word_of_parameter};
use super::scope::Scope;
use base::{Str, format_compact};
use bodies::sdp::rtp::{self, Extmap, Profile, Ssrc, SsrcGroup, Value, is_token};
use bodies::sdp::{Attribute, Bandwidth, Direction, Media, Sdp};
use xmpp::ext::jingle::{
    self, Crypto, Encryption, Extension, MAX_LIST, MAX_SOURCES, Rtp, Senders, Source, SourceGroup, ZrtpHash,
};

/// The attribute of a source that says to which stream and track it belongs, and that of a media description (RFC 8830).
const MSID: &str = "msid";

/// The flag for header extensions of both lengths in one stream.
const MIXED: &str = "extmap-allow-mixed";

/// Writes it.
pub(super) fn write(rtp: &Rtp, scope: &Scope, media: &mut Media) {
    let bandwidth = |bandwidth: &jingle::Bandwidth| {
        let value = bandwidth.value.parse().ok().filter(|_| is_token(&bandwidth.kind))?;
        Some(Bandwidth::new(&bandwidth.kind, value))
    };
    media.bandwidths.extend(rtp.bandwidths.iter().filter_map(bandwidth));
    let attributes = &mut media.attributes;
    if let Some(encryption) = &rtp.encryption {
        attributes.extend(encryption.cryptos.iter().filter_map(crypto));
        let hash =
            |hash: &ZrtpHash| rtp::ZrtpHash { version: hash.version.clone(), hash: hash.value.clone() }.attribute();
        attributes.extend(encryption.zrtp_hashes.iter().filter_map(hash));
    }
    attributes.extend(rtp.extensions.iter().filter_map(|extension| extmap(extension, scope)));
    if rtp.extmap_allow_mixed {
        attributes.push(Attribute::flag(MIXED));
    }
    let groups = rtp.source_groups.iter().filter_map(|group| {
        let sources = group.sources.iter().map(|source| source.parse().ok()).collect::<Option<_>>()?;
        SsrcGroup { semantics: group.semantics.clone(), sources }.attribute()
    });
    let sources = rtp.sources.iter().filter_map(|source| Some((source.ssrc.parse().ok()?, source)));
    let sources = sources.flat_map(|(id, source)| {
        let line = move |(name, value): &(Str, Option<Str>)| {
            let value = value.clone().filter(|value| !value.is_empty());
            Ssrc { id, attribute: name.clone(), value }.attribute()
        };
        source.parameters.iter().filter_map(line)
    });
    // Whoever knows a=msid alone shall know the stream, too.
    let msid = rtp.sources.iter().flat_map(|source| &source.parameters).find(|(name, _)| name == MSID);
    let msid = msid.and_then(|(_, value)| value.as_deref()).filter(|value| is_msid(value));
    attributes.extend(msid.map(|value| Attribute::new(MSID, value)));
    attributes.extend(groups.chain(sources));
}

/// Reads it.
pub(super) fn read(sdp: &Sdp, media: &Media, scope: &Scope, rtp: &mut Rtp) {
    let bandwidth = |bandwidth: &Bandwidth| {
        let value = format_compact!("{}", bandwidth.value()?);
        Some(jingle::Bandwidth { kind: bandwidth.kind().into(), value })
    };
    rtp.bandwidths = media.bandwidths.iter().filter_map(bandwidth).take(MAX_LIST).collect();
    rtp.encryption = encryption(media);
    for extmap in Extmap::of_media(&media.attributes, &sdp.attributes) {
        // What is said of a medium comes first and counts.
        let free = rtp.extensions.len() < MAX_LIST && rtp.extensions.iter().all(|there| there.id != extmap.id);
        if free {
            rtp.extensions.push(extension(extmap, scope));
        }
    }
    rtp.extmap_allow_mixed = media.attributes.has(MIXED) || sdp.attributes.has(MIXED);
    for ssrc in Ssrc::all(&media.attributes) {
        let id = format_compact!("{}", ssrc.id);
        let place = rtp.sources.iter().position(|source| source.ssrc == id).unwrap_or(rtp.sources.len());
        if place == MAX_SOURCES {
            continue;
        }
        if place == rtp.sources.len() {
            rtp.sources.push(Source { ssrc: id, parameters: Vec::new() });
        }
        let source = &mut rtp.sources[place];
        if source.parameters.len() < MAX_LIST {
            source.parameters.push((ssrc.attribute, ssrc.value));
        }
    }
    // Jingle has it at the sources alone.
    let msid = media.attributes.get(MSID).and_then(Attribute::value).filter(|value| is_msid(value));
    let said = rtp.sources.iter().flat_map(|source| &source.parameters).any(|(name, _)| name == MSID);
    if let (Some(msid), false) = (msid, said) {
        for source in rtp.sources.iter_mut().filter(|source| source.parameters.len() < MAX_LIST) {
            source.parameters.push((Str::const_new(MSID), Some(msid.into())));
        }
    }
    let group = |group: SsrcGroup| {
        let sources = group.sources.iter().map(|source| format_compact!("{source}")).collect();
        SourceGroup { semantics: group.semantics, sources }
    };
    rtp.source_groups = SsrcGroup::all(&media.attributes).map(group).take(MAX_LIST).collect();
}

/// `stream track`, or the stream alone.
fn is_msid(value: &str) -> bool {
    let mut words = value.split(' ');
    let visible = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    words.clone().count() <= 2 && words.all(visible)
}

fn crypto(crypto: &Crypto) -> Option<Attribute> {
    let words = crypto.session_params.as_deref().unwrap_or_default().split(' ');
    let session_params = words.filter(|word| !word.is_empty()).map(Str::from).collect();
    let tag = crypto.tag.parse().ok()?;
    rtp::Crypto { tag, suite: crypto.suite.clone(), key_params: crypto.key_params.clone(), session_params }.attribute()
}

fn encryption(media: &Media) -> Option<Encryption> {
    let crypto = |crypto: rtp::Crypto| Crypto {
        tag: format_compact!("{}", crypto.tag),
        suite: crypto.suite,
        key_params: crypto.key_params,
        session_params: (!crypto.session_params.is_empty()).then(|| crypto.session_params.join(" ").into()),
    };
    let cryptos: Vec<Crypto> = rtp::Crypto::all(&media.attributes).map(crypto).take(MAX_LIST).collect();
    let hash = |hash: rtp::ZrtpHash| ZrtpHash { version: hash.version, value: hash.hash };
    let zrtp_hashes: Vec<ZrtpHash> = rtp::ZrtpHash::all(&media.attributes).map(hash).take(MAX_LIST).collect();
    // RFC 4568 §5.1.1: with the profile the offer stands and falls, unless DTLS may give the keys.
    let secure = Profile::from_name(&media.protocol).is_some_and(|profile| profile.secure && !profile.dtls);
    let required = secure && !cryptos.is_empty() && !media.attributes.has("fingerprint");
    let some = !cryptos.is_empty() || !zrtp_hashes.is_empty();
    some.then(|| Encryption { required, cryptos, zrtp_hashes, ..Encryption::default() })
}

fn extmap(extension: &Extension, scope: &Scope) -> Option<Attribute> {
    let direction = extension.senders.filter(|senders| *senders != Senders::Both);
    let words: Vec<Str> = extension.parameters.iter().map(word_of_parameter).collect();
    let extmap = Extmap {
        id: extension.id,
        direction: direction.map(|senders| scope.direction(senders)),
        uri: extension.uri.clone(),
        attributes: (!words.is_empty()).then(|| words.join(" ").into()),
    };
    extmap.attribute()
}

fn extension(extmap: Extmap, scope: &Scope) -> Extension {
    let senders = extmap.direction.filter(|direction| *direction != Direction::SendRecv);
    let words = extmap.attributes.as_deref().unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let parameters = words.map(parameter_of_word).take(MAX_LIST).collect();
    let senders = senders.map(|direction| scope.senders(direction.reverse()));
    Extension { id: extmap.id, uri: extmap.uri, senders, parameters }
}
