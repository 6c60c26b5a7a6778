//! Keys of the telephone: XEP-0181 <-> INFO with `application/dtmf-relay` or `application/dtmf`, the older usages of RFC 6086 §2 that PBXs have. Keys that
//! are tones in the media (RFC 4733) pass the gateway by.

use base::{Str, format_compact};
use bytes::Bytes;
use sip::Headers;
use sip::invite::{Body, Info};
use xmpp::ext::dtmf::Dtmf;

/// The types of INFOs that are keys, the first of which is what the gateway sends.
pub const TYPES: [&str; 2] = [RELAY, PLAIN];

const RELAY: &str = "application/dtmf-relay";
const PLAIN: &str = "application/dtmf";

/// The longest tone, in milliseconds.
const LONGEST: u32 = 10_000;
/// How many bytes of an INFO may be a key.
const MAX_BODY: usize = 256;

/// The INFO for a key; none for a tone of no length, which XEP-0181 §2 has ignored. How loud it is, such an INFO cannot say.
pub fn info(tone: Dtmf) -> Option<Info> {
    let length = tone.duration.min(LONGEST);
    let content = format!("Signal={}\r\nDuration={length}\r\n", tone.code);
    let body = Body { content_type: Str::const_new(RELAY), content: Bytes::from(content) };
    (length > 0).then_some(Info { package: None, body })
}

/// The key in an INFO; none if it is something else: a hook flash, or nothing that can be read.
pub fn tone(headers: &Headers, body: &[u8]) -> Option<Dtmf> {
    let kind = headers.content_type().ok()??;
    let name = format_compact!("{}/{}", kind.kind, kind.subtype);
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_BODY)?;
    if name.eq_ignore_ascii_case(PLAIN) {
        return key(text.trim());
    }
    if !name.eq_ignore_ascii_case(RELAY) {
        return None;
    }
    let (mut signal, mut length) = (None, None);
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let slot = match name.trim() {
            name if name.eq_ignore_ascii_case("signal") => &mut signal,
            name if name.eq_ignore_ascii_case("duration") => &mut length,
            _ => continue,
        };
        slot.get_or_insert(value.trim());
    }
    let tone = key(signal?)?;
    Some(match length.and_then(|length| length.parse::<u32>().ok()) {
        Some(length) if length > 0 => tone.with_duration(length.min(LONGEST)),
        _ => tone,
    })
}

/// A key by its letter, or by its event code (RFC 4733 §3.2) where it has none of one digit.
fn key(signal: &str) -> Option<Dtmf> {
    let code = match signal {
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        letter => {
            let mut letters = letter.chars();
            letters.next().filter(|_| letters.next().is_none())?
        }
    };
    Dtmf::new(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sip::Name;

    fn heard(kind: &str, body: &[u8]) -> Option<Dtmf> {
        let mut headers = Headers::new();
        headers.push(Name::ContentType, kind);
        tone(&headers, body)
    }

    #[test]
    fn keys_there_and_back() {
        for code in "0123456789#*ABCD".chars() {
            let tone = Dtmf::new(code).expect("a key").with_duration(400);
            let info = info(tone).expect("an INFO");
            assert_eq!((info.package, info.body.content_type.as_str()), (None, "application/dtmf-relay"));
            assert_eq!(heard("Application/DTMF-relay;charset=utf-8", &info.body.content), Some(tone));
        }
        assert!(info(Dtmf::new('1').expect("a key").with_duration(0)).is_none());
        let long = info(Dtmf::new('1').expect("a key").with_duration(u32::MAX)).expect("an INFO");
        assert_eq!(long.body.content, "Signal=1\r\nDuration=10000\r\n");
    }

    #[test]
    fn keys_as_telephones_send_them() {
        let relayed =
            |body: &str| heard("application/dtmf-relay", body.as_bytes()).map(|tone| (tone.code, tone.duration));
        assert_eq!(relayed("Signal= 5\r\nDuration= 160"), Some(('5', 160)));
        assert_eq!(relayed("signal=*\nduration=250\nx"), Some(('*', 250)));
        assert_eq!(relayed("Signal=11"), Some(('#', 100)));
        assert_eq!(relayed("Signal=d\r\nDuration=soon"), Some(('D', 100)));
        assert_eq!(relayed("Duration=0\r\nSignal=7\r\nSignal=8"), Some(('7', 100)));
        assert_eq!(relayed("Signal=7\r\nDuration=4294967295"), Some(('7', 10_000)));
        for nothing in ["", "Signal=", "Signal=!", "Signal=16", "Signal=77", "Duration=100", "Signal=\u{665}"] {
            assert_eq!(relayed(nothing), None, "{nothing:?}");
        }
        assert_eq!(heard("application/dtmf", b" #\r\n").map(|tone| tone.code), Some('#'));
        assert_eq!(heard("application/dtmf", b"12"), heard("application/dtmf", b"A"));
        assert_eq!(heard("application/sdp", b"1"), None);
        assert_eq!(heard("application/dtmf", &[b' '; 257]), None);
        assert_eq!(tone(&Headers::new(), b"1"), None);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in TYPES {
                if let Some(tone) = heard(kind, &body) {
                    prop_assert!(tone.duration <= LONGEST && info(tone).is_some());
                }
            }
        }
    }
}
