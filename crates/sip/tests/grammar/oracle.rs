//! Another implementation (sipx-sip) reads the same messages. Where the two differ, the reason stands here.

use crate::corpus::{CASES, Verdict};
use sipx_sip::headers::{CSeq, CallId, From, To, Via};
use verona_sip::{Limits, Message, NameAddr, parse_datagram};

/// Cases where the verdicts differ, whether the other one takes the message, and why. A missing Max-Forwards, which it
/// reports as repairable, is none (RFC 3261 §16.3).
const DIFFERENCES: &[(&str, bool, &str)] = &[
    ("text beyond ASCII", false, "phones send unquoted display names beyond ASCII: we take them"),
    ("line ends before the start line", false, "RFC 3261 §7.5 skips them; it does so on streams only"),
    ("no tag in From", true, "RFC 3261 §8.1.1.3: our profile is strict"),
    ("a quoted tag", true, "a tag is a token: RFC 3261 §25.1"),
    ("an empty branch", true, "RFC 4475 §3.2.1 lets an element choose"),
    ("a comma too much in Via", true, "it reads the top value only"),
    ("a semicolon too much in Contact", true, "it reads Contact when asked"),
    ("a star beside a contact", true, "the same"),
    ("a negative expiry", true, "it reads Expires when asked"),
    ("a Call-ID of two words with a space", true, "it takes any octets as a Call-ID"),
    ("a content type without a subtype", true, "it reads Content-Type when asked"),
    ("a NUL in a subject", true, "it takes any octets but CR and LF as text"),
];

fn their_verdict(bytes: bytes::Bytes) -> bool {
    sipx_sip::parse_datagram(bytes, &sipx_sip::Limits::datagram()).is_ok_and(|message| {
        sipx_sip::validate::validate(&message).iter().all(sipx_sip::validate::Finding::is_repairable)
    })
}

#[test]
fn another_implementation_agrees_or_we_know_why() {
    let mut differences = Vec::new();
    for case in CASES {
        let theirs = their_verdict(case.bytes());
        if (case.verdict == Verdict::Sound) != theirs {
            differences.push((case.name, theirs));
        }
    }
    let known: Vec<_> = DIFFERENCES.iter().map(|(name, theirs, _)| (*name, *theirs)).collect();
    assert_eq!(differences, known);
}

#[test]
fn both_read_the_same_values() {
    let mut compared = 0;
    for case in CASES.iter().filter(|case| case.verdict == Verdict::Sound) {
        let Ok(theirs) = sipx_sip::parse_datagram(case.bytes(), &sipx_sip::Limits::datagram()) else { continue };
        let Ok(ours) = parse_datagram(&case.bytes(), &Limits::default()) else { continue };
        let (ours, theirs) = (&ours, &theirs);
        let (h, t) = (ours.headers(), theirs.headers());
        let via = h.via().expect(case.name);
        let their_via = t.typed::<Via>().expect(case.name).expect(case.name);
        assert!(via.transport.as_bytes().eq_ignore_ascii_case(&their_via.transport), "{}", case.name);
        assert_eq!(via.host.to_string(), their_via.host.to_string().to_lowercase(), "{}", case.name);
        assert_eq!((via.port, via.branch().map(str::as_bytes)), (their_via.port, their_via.branch()), "{}", case.name);
        let cseq = h.cseq().expect(case.name);
        let their_cseq = t.typed::<CSeq>().expect(case.name).expect(case.name);
        assert_eq!(cseq.number, their_cseq.sequence, "{}", case.name);
        assert_eq!(cseq.method.as_str().as_bytes(), their_cseq.method.as_bytes(), "{}", case.name);
        assert_eq!(h.call_id().expect(case.name).as_bytes(), t.typed::<CallId>().expect(case.name).expect(case.name).0);
        // Display names beyond ASCII without quotes: we take them, it does not.
        if case.name == "text beyond ASCII" {
            continue;
        }
        same_address(case.name, &h.from().expect(case.name), &t.typed::<From>().expect(case.name).expect(case.name));
        same_address(case.name, &h.to().expect(case.name), &t.typed::<To>().expect(case.name).expect(case.name));
        assert_eq!(ours.body(), theirs.body(), "{}", case.name);
        assert!(matches!(
            (ours, theirs),
            (Message::Request(_), sipx_sip::Message::Request(_))
                | (Message::Response(_), sipx_sip::Message::Response(_))
        ));
        compared += 1;
    }
    assert!(compared >= 13, "{compared} messages were compared");
}

fn same_address(case: &str, ours: &NameAddr, theirs: &sipx_sip::headers::Address) {
    assert_eq!(ours.tag().map(str::as_bytes), theirs.tag(), "{case}");
    assert_eq!(ours.uri.to_string().to_lowercase(), theirs.uri.to_string().to_lowercase(), "{case}");
    let display = theirs.display_name.as_deref().filter(|name| !name.is_empty());
    assert_eq!(ours.display.as_deref().map(str::as_bytes), display, "{case}");
}
