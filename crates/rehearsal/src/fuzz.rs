//! Fuzz targets: each takes any bytes and asserts what must hold for them, not only that nothing panics. `fuzz/` calls them one by
//! one under cargo-fuzz; a test replays the corpora and mutations of them on every run of the tests.

mod bodies;
mod chat;
mod conference;
mod digest;
mod gateway;
mod invite;
mod jingle;
mod media;
mod msrp;
mod muc;
mod occupants;
mod presence;
mod relay;
mod room;
mod s2s;
mod sdp;
mod sip;
mod subscription;
mod websocket;
mod xmpp;

pub use self::bodies::{cpim, html_cleaner, multipart, pidf};
pub use self::chat::chat;
pub use self::conference::conference;
pub use self::digest::digest;
pub use self::gateway::{gateway, jid_sip_mapping};
pub use self::invite::invite;
pub use self::jingle::jingle;
pub use self::media::media_description;
pub use self::msrp::{msrp_framing, msrp_session, nickname};
pub use self::muc::muc;
pub use self::occupants::occupants;
pub use self::presence::presence;
pub use self::relay::relay;
pub use self::room::room;
pub use self::s2s::s2s;
pub use self::sdp::sdp;
pub use self::sip::{framing, header, sip_message, uri};
pub use self::subscription::subscription;
pub use self::websocket::websocket;
pub use self::xmpp::{component_stream, xml_stream};

use ::base::Tokens;

/// A target.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("sip_message", sip_message),
    ("uri", uri),
    ("header", header),
    ("framing", framing),
    ("cpim", cpim),
    ("multipart", multipart),
    ("jid_sip_mapping", jid_sip_mapping),
    ("html_cleaner", html_cleaner),
    ("pidf", pidf),
    ("sdp", sdp),
    ("xml_stream", xml_stream),
    ("component_stream", component_stream),
    ("gateway", gateway),
    ("subscription", subscription),
    ("presence", presence),
    ("invite", invite),
    ("msrp_framing", msrp_framing),
    ("msrp_session", msrp_session),
    ("chat", chat),
    ("conference", conference),
    ("nickname", nickname),
    ("muc", muc),
    ("room", room),
    ("occupants", occupants),
    ("media_description", media_description),
    ("relay", relay),
    ("jingle", jingle),
    ("digest", digest),
    ("websocket", websocket),
    ("s2s", s2s),
];

/// A mutation of `seed`, always the same for the same `tokens`: bytes changed, cut out, put in, doubled, or a piece of `other` put in.
pub fn mutation(seed: &[u8], other: &[u8], tokens: &mut Tokens) -> Vec<u8> {
    /// What breaks things more often than chance does.
    const PIECES: &[&[u8]] = &[
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"%",
        b"%00",
        b"\\",
        b"\\20",
        b"\"",
        b"<",
        b">",
        b"&",
        b";",
        b",",
        b":",
        b"@",
        b"=",
        b"?",
        b"'",
        b"[",
        b"]",
        b" ",
        b"\t",
        b"--",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbe",
        b"\xe2\x80\xae",
        b"4294967296",
        b"18446744073709551616",
        b"-1",
        b"<![CDATA[",
        b"]]>",
        b"&#0;",
        b"</stream:stream>",
        b"\r\n\r\n",
    ];
    let mut bytes = seed.to_vec();
    let below = |tokens: &mut Tokens, n: usize| usize::try_from(tokens.below(n as u64 + 1)).unwrap_or(0);
    for _ in 0..=below(tokens, 3) {
        let at = below(tokens, bytes.len());
        let end = bytes.len().min(at + below(tokens, 12));
        match tokens.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            2 => drop(bytes.splice(at..at, PIECES[below(tokens, PIECES.len() - 1)].iter().copied())),
            3 => drop(bytes.splice(at..end, PIECES[below(tokens, PIECES.len() - 1)].iter().copied())),
            4 => {
                let from = below(tokens, other.len());
                let to = other.len().min(from + below(tokens, 40));
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << tokens.below(8);
                }
            }
        }
    }
    bytes
}

/// The first byte as a number, and the rest.
fn split(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
