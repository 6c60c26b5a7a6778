//! Properties there and back, what clients write, and what is refused.

mod any;
mod clients;

use super::*;
use crate::ext::tests::over_the_wire;
use proptest::prelude::*;

fn element_of(text: &str) -> Element {
    Element::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed")
}

fn read(text: &str) -> Result<Jingle, Syntax> {
    Jingle::parse(&element_of(text))
}

/// A session-accept whose one content is this.
fn with(inner: &str) -> Result<Jingle, Syntax> {
    read(&format!(
        "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='a'>\
         <content creator='initiator' name='v'>{inner}</content></jingle>"
    ))
}

/// A session-accept whose one description is this.
fn described(inner: &str) -> Result<Jingle, Syntax> {
    with(&format!("<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>{inner}</description>"))
}

/// A session-accept whose one transport is this.
fn transported(inner: &str) -> Result<Jingle, Syntax> {
    with(&format!("<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'>{inner}</transport>"))
}

proptest! {
    #[test]
    fn there_and_back(jingle in any::jingle()) {
        let e = over_the_wire(&jingle.to_element());
        prop_assert_eq!(Jingle::parse(&e), Ok(jingle.clone()));
        let iq = jingle.to_iq();
        prop_assert_eq!(Jingle::of(&iq).map(Jingle::parse), Some(Ok(jingle)));
    }

    #[test]
    fn reasons_there_and_back(reason in any::reason()) {
        prop_assert_eq!(Reason::parse(&over_the_wire(&reason.to_element())), Some(reason));
    }

    /// Whatever stands in an attribute, no line of SDP can end in what is read, and it can be written again.
    #[test]
    fn nothing_ends_a_line(jingle in any::jingle(), at in any::<prop::sample::Index>(), evil in "[\\r\\n\\t\0-\x1f a-z]{1,4}") {
        let mut e = jingle.to_element();
        let n = attributes(&mut e, usize::MAX, &evil);
        attributes(&mut e, at.index(n), &evil);
        if let Ok(read) = Jingle::parse(&e) {
            let controls = |e: &Element| e.attrs.iter().any(|a| a.value.contains(char::is_control));
            prop_assert!(!understood(&read.to_element(), &controls), "{read:?}");
            prop_assert_eq!(Jingle::parse(&read.to_element()), Ok(read));
        }
    }
}

/// Puts another value into that attribute, counted over the whole tree, and tells how many there are.
fn attributes(e: &mut Element, at: usize, value: &str) -> usize {
    let mut n = 0;
    for attr in &mut e.attrs {
        if n == at {
            attr.value = value.into();
        }
        n += 1;
    }
    for child in &mut e.children {
        if let xml::Node::Element(child) = child {
            n += attributes(child, at.wrapping_sub(n), value);
        }
    }
    n
}

/// Whether anything of that kind is in the elements that are understood.
fn understood(e: &Element, is: &impl Fn(&Element) -> bool) -> bool {
    e.ns.starts_with("urn:xmpp:jingle") && (is(e) || e.elements().any(|child| understood(child, is)))
}

#[test]
fn what_is_no_jingle() {
    let jingle = |attrs: &str| read(&format!("<jingle xmlns='urn:xmpp:jingle:1' {attrs}/>"));
    assert!(jingle("action='session-info' sid='a'").is_ok());
    for attrs in ["sid='a'", "action='session-info'", "action='session-info' sid=''", "action='dance' sid='a'"] {
        assert!(jingle(attrs).is_err(), "{attrs}");
    }
    assert!(jingle("action='session-info' sid='a&#13;&#10;b'").is_err());
    let long = "a".repeat(MAX_NAME);
    assert!(jingle(&format!("action='session-info' sid='{long}'")).is_ok());
    assert!(jingle(&format!("action='session-info' sid='{long}a'")).is_err());
    assert!(read("<jingle xmlns='urn:xmpp:jingle:0' action='session-info' sid='a'/>").is_err());
    // Addresses that are none say nothing; they decide nothing either.
    let odd = jingle("action='session-info' sid='a' initiator='@' responder=''").expect("read");
    assert_eq!((odd.initiator, odd.responder), (None, None));
}

#[test]
fn contents_have_names_of_their_own() {
    let contents = |inner: &str| {
        read(&format!("<jingle xmlns='urn:xmpp:jingle:1' action='content-modify' sid='a'>{inner}</jingle>"))
    };
    let two = "<content creator='initiator' name='v'/><content creator='responder' name='v' senders='none'/>";
    let read = contents(two).expect("read");
    assert_eq!(read.contents.len(), 2);
    assert_eq!(read.content(Creator::Responder, "v").and_then(|c| c.senders), Some(Senders::None));
    let no_creator = contents("<content name='v'/>").expect("read");
    assert_eq!(no_creator.contents[0].creator, Creator::Initiator);
    for inner in [
        "<content creator='initiator' name='v'/><content creator='initiator' name='v'/>",
        "<content creator='somebody' name='v'/>",
        "<content creator='initiator' name='v' senders='all'/>",
        "<content creator='initiator' name=''/>",
        "<content creator='initiator'/>",
        "<content creator='initiator' name='a&#10;b'/>",
    ] {
        assert!(contents(inner).is_err(), "{inner}");
    }
    let many = |n: usize| (0..n).map(|i| format!("<content creator='initiator' name='{i}'/>")).collect::<String>();
    assert!(contents(&many(MAX_CONTENTS)).is_ok());
    assert!(contents(&many(MAX_CONTENTS + 1)).is_err());
}

#[test]
fn what_begins_something_says_what() {
    let (description, transport) = ("<description xmlns='d'/>", "<transport xmlns='t'/>");
    let whole = format!("<content name='v'>{description}{transport}</content>");
    let half = format!("{whole}<content name='w'>{description}</content>");
    let other_half = format!("<content name='v'>{transport}</content>");
    for (action, contents, good) in [
        ("session-initiate", &*whole, true),
        ("session-initiate", "", false),
        ("session-initiate", &half, false),
        ("session-initiate", &other_half, false),
        ("content-add", &whole, true),
        ("content-add", &half, false),
        ("session-accept", &half, true),
        ("content-modify", &other_half, true),
    ] {
        let text = format!("<jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='a'>{contents}</jingle>");
        assert_eq!(read(&text).is_ok(), good, "{text}");
    }
}

#[test]
fn descriptions_that_are_refused() {
    assert!(
        described("<payload-type id='0'/><payload-type id='127' name='opus' clockrate='48000' channels='2'/>").is_ok()
    );
    for inner in [
        "<payload-type id='256'/>",
        "<payload-type id='128'/>",
        "<payload-type id='-1'/>",
        "<payload-type id='+1'/>",
        "<payload-type name='PCMU'/>",
        "<payload-type id='0'/><payload-type id='0' name='PCMA'/>",
        "<payload-type id='0' clockrate='0'/>",
        "<payload-type id='0' clockrate='8000000000'/>",
        "<payload-type id='0' name='PCMU/8000&#13;&#10;m=audio'/>",
        "<payload-type id='0' name='PCMU 8000'/>",
        "<payload-type id='0'><parameter/></payload-type>",
        "<payload-type id='0'><parameter name='a' value='&#10;'/></payload-type>",
        "<bandwidth type='AS'>much</bandwidth>",
        "<bandwidth>128</bandwidth>",
        "<encryption/><encryption/>",
        "<encryption><crypto crypto-suite='A' key-params='inline:x'/></encryption>",
        "<encryption><crypto crypto-suite='A' key-params='inline:x y' tag='1'/></encryption>",
        "<rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='0' uri='u'/>",
        "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='one'/>",
        "<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1'><parameter name='a b'/></source>",
        "<rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0'/>",
    ] {
        assert!(described(inner).is_err(), "{inner}");
    }
    assert!(with("<description xmlns='urn:xmpp:jingle:apps:rtp:1'/>").is_err());
    assert!(with("<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio 9'/>").is_err());
    assert!(with("<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><description xmlns='x'/>").is_err());
    assert!(with("<transport xmlns='x'/><transport xmlns='y'/>").is_err());
}

#[test]
fn candidates_that_are_refused_or_left_out() {
    const GOOD: &str = "<candidate component='1' foundation='1' generation='0' id='i' ip='192.0.2.1' port='9' \
                        priority='1' protocol='udp' type='host'/>";
    let count = |read: Result<Jingle, Syntax>| read.map(|j| j.contents[0].ice().map(|ice| ice.candidates.len()));
    assert_eq!(count(transported(GOOD)), Ok(Some(1)));
    assert_eq!(count(transported(&GOOD.replace("192.0.2.1", "host.example"))), Ok(Some(1)));
    for (good, bad) in [
        ("port='9'", "port='70000'"),
        ("port='9'", "port='-1'"),
        ("port='9'", ""),
        ("component='1'", "component='0'"),
        ("component='1'", "component='256'"),
        ("component='1'", ""),
        ("priority='1'", "priority='4294967296'"),
        ("ip='192.0.2.1'", "ip='192.0.2.1 9'"),
        ("ip='192.0.2.1'", "ip='192.0.2.1&#10;a=b'"),
        ("ip='192.0.2.1'", ""),
        ("type='host'", "type='host tcptype active'"),
        ("foundation='1'", ""),
        ("id='i'", "id='i' x='&#10;'"),
    ] {
        assert!(transported(&GOOD.replace(good, bad)).is_err(), "{bad}");
    }
    // Any number of them is as good as the first.
    assert_eq!(count(transported(&GOOD.repeat(1000))), Ok(Some(MAX_CANDIDATES)));
    for fingerprint in ["", "AA:GG", "AA BB"] {
        let e = format!("<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256'>{fingerprint}</fingerprint>");
        assert!(transported(&e).is_err(), "{fingerprint}");
    }
}

#[test]
fn reasons_are_never_lost() {
    let reason =
        |inner: &str| Reason::parse(&element_of(&format!("<reason xmlns='urn:xmpp:jingle:1'>{inner}</reason>")));
    assert_eq!(reason(""), Some(Reason::new(Condition::GeneralError)));
    assert_eq!(reason("<bored/><busy/>"), Some(Reason::new(Condition::Busy)));
    assert_eq!(
        reason("<text>Gone fishing</text><gone/>"),
        Some(Reason::new(Condition::Gone).with_text("Gone fishing"))
    );
    let sid = |sid: &str| {
        reason(&format!("<alternative-session><sid>{sid}</sid></alternative-session>")).and_then(|r| r.alternative)
    };
    assert_eq!(sid("b84tkkwlmb48kgfb").as_deref(), Some("b84tkkwlmb48kgfb"));
    assert_eq!(sid("a&#10;b"), None);
    assert_eq!(sid(&"a".repeat(MAX_NAME + 1)), None);
    let crypto = reason("<security-error/><invalid-crypto xmlns='urn:xmpp:jingle:apps:rtp:errors:1'/>").expect("read");
    assert_eq!((crypto.condition, crypto.rtp_error), (Condition::SecurityError, Some(RtpError::InvalidCrypto)));
}

#[test]
fn errors_there_and_back() {
    for error in Error::ALL {
        assert_eq!(Error::of(&error.to_stanza_error()), Some(*error));
    }
    assert_eq!(Error::of(&crate::error::StanzaError::new(crate::error::Condition::Conflict)), None);
}
