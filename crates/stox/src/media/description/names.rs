//! Names and groups: contents by their names, media descriptions by their `a=mid`.

use super::line::Line;
use base::{Str, format_compact};
use bodies::sdp::rtp::{self, Mid, Value, is_token};
use bodies::sdp::{Media, Sdp};
use xmpp::ext::jingle::{Group, MAX_NAME};

/// Streams that share one transport (RFC 9143).
pub(super) const BUNDLE: &str = "BUNDLE";

/// The attributes that such a stream leaves to the first one (RFC 9143 §7.1.3: those of the categories IDENTICAL and TRANSPORT).
const SHARED: [&str; 9] = [
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "candidate",
    "end-of-candidates",
    "fingerprint",
    "setup",
    "tls-id",
    "rtcp-mux",
];

/// A name for a media description: that of the content, if SDP lets it (draft §5.1, table 1).
pub(super) fn mid(lines: &[Line], name: &str) -> Str {
    let taken = |mid: &str| lines.iter().any(|line| line.scope.mid.as_deref() == Some(mid));
    if is_token(name) && !taken(name) {
        return name.into();
    }
    first_free(|n| format_compact!("m{n}"), taken)
}

/// A name for a content: that of the media description, or else what it is.
pub(super) fn name(lines: &[Line], mid: Option<&str>, kind: &str) -> Str {
    let taken = |name: &str| lines.iter().any(|line| line.is_there() && line.scope.name == name);
    if let Some(mid) = mid.filter(|mid| mid.len() <= MAX_NAME && !taken(mid)) {
        return mid.into();
    }
    first_free(|n| if n == 1 { kind.into() } else { format_compact!("{kind}{n}") }, taken)
}

/// The first name of a row that nobody has: there are fewer lines than names.
fn first_free(name: impl Fn(usize) -> Str, taken: impl Fn(&str) -> bool) -> Str {
    (1..).map(name).find(|name| !taken(name)).unwrap_or_default()
}

/// `a=mid` of a media description.
pub(super) fn mid_of(media: &Media) -> Option<Str> {
    Mid::first(&media.attributes).map(|mid| mid.0)
}

/// The groups of a description, by the names of the contents.
pub(super) fn of_sdp(sdp: &Sdp, lines: &[Line]) -> Vec<Group> {
    let name = |mid: &Str| lines.iter().find(|line| line.is_there() && line.scope.mid.as_ref() == Some(mid));
    rtp::Group::all(&sdp.attributes)
        .take(xmpp::ext::jingle::MAX_GROUPS)
        .map(|group| Group {
            semantics: group.semantics,
            contents: group.mids.iter().filter_map(name).map(|line| line.scope.name.clone()).collect(),
        })
        .filter(|group| !group.contents.is_empty())
        .collect()
}

/// The groups of contents, by their media descriptions; of those that these lines have.
pub(super) fn to_sdp(groups: &[Group], lines: &[&Line]) -> Vec<rtp::Group> {
    let mid = |name: &Str| lines.iter().find(|line| line.scope.name == *name)?.scope.mid.clone();
    groups
        .iter()
        .map(|group| rtp::Group {
            semantics: group.semantics.clone(),
            mids: group.contents.iter().filter_map(mid).collect(),
        })
        .filter(|group| !group.mids.is_empty())
        .collect()
}

/// Whether these two share one transport.
pub(super) fn are_bundled(groups: &[Group], one: &str, other: &str) -> bool {
    let has = |group: &Group, name: &str| group.contents.iter().any(|content| content == name);
    groups.iter().any(|group| group.semantics == BUNDLE && has(group, one) && has(group, other))
}

/// The media description with what it shares with the first one of its bundle and leaves to that; None where it says all by itself.
pub(super) fn unbundled(sdp: &Sdp, media: &Media) -> Option<Media> {
    let mid = mid_of(media)?;
    let bundle =
        rtp::Group::all(&sdp.attributes).find(|group| group.semantics == BUNDLE && group.mids.contains(&mid))?;
    let first = sdp.media.iter().find(|first| mid_of(first).as_ref() == bundle.mids.first())?;
    if std::ptr::eq(first, media) || media.attributes.has("ice-ufrag") && media.attributes.has("fingerprint") {
        return None;
    }
    let mut whole = media.clone();
    for shared in SHARED.iter().filter(|shared| !media.attributes.has(shared)) {
        whole.attributes.extend(first.attributes.all(shared).cloned());
    }
    if media.port == 0 {
        (whole.port, whole.connections) = (first.port, first.connections.clone());
    }
    Some(whole)
}

/// Whether a media description is refused or at its end; one of a bundle can have a port of 0 for another reason (RFC 9143 §6).
pub(super) fn is_refused(media: &Media) -> bool {
    media.port == 0 && !media.attributes.has("bundle-only")
}
