//! Two gateways back to back keep what RFC 7573 maps: text, order, thread, states, receipts.

use crate::facing::Mirror;
use crate::talk::{JIDS, RECEIPTS, body, chat, jid, state, text};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use xml::Element;
use xmpp::ext::chatstates::ChatState;
use xmpp::ext::markers::Marker;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// What came out at one side since the last time.
fn got(mirror: &mut Mirror, side: usize) -> Vec<Stanza> {
    mirror.run(Duration::from_secs(1));
    std::mem::take(&mut mirror.stanzas[side])
}

fn only(mirror: &mut Mirror, side: usize) -> Stanza {
    let got = got(mirror, side);
    let [one] = &got[..] else { panic!("one stanza comes out, not {got:?}") };
    one.clone()
}

/// A session that Juliet has opened and Romeo has answered in.
fn opened() -> Mirror {
    let mut mirror = Mirror::of_chat();
    mirror.stanza(0, chat(0, "m1", Some("t1")).with_child(body("Art thou not Romeo?")));
    let first = only(&mut mirror, 1);
    assert_eq!(
        (text(&first, "body").unwrap().as_str(), text(&first, "thread").unwrap().as_str()),
        ("Art thou not Romeo?", "t1")
    );
    assert_eq!((first.from.as_ref().unwrap().to_string().as_str(), first.type_.as_deref()), (JIDS[0], Some("chat")));
    mirror.stanza(1, chat(1, "m2", Some("t1")).with_child(body("Neither, fair saint")));
    let second = only(&mut mirror, 0);
    assert_eq!(text(&second, "thread").as_deref(), Some("t1"));
    assert_eq!(second.to.as_ref().unwrap().to_string(), JIDS[0]);
    assert_eq!(mirror.sessions(), [1; 4], "one session, which both use");
    mirror
}

#[test]
fn a_chat_and_its_end() {
    let mut mirror = opened();
    mirror.stanza(0, chat(0, "bye", Some("t1")).with_child(ChatState::Gone.to_element()));
    let gone = only(&mut mirror, 1);
    assert_eq!((state(&gone), text(&gone, "thread").as_deref()), (Some(ChatState::Gone), Some("t1")));
    assert_eq!((got(&mut mirror, 0).len(), mirror.sessions(), mirror.pipes.open_ones()), (0, [0; 4], 0));
    // The other one may end it, too.
    let mut mirror = opened();
    mirror.stanza(1, chat(1, "bye", Some("t1")).with_child(ChatState::Gone.to_element()));
    assert_eq!(state(&only(&mut mirror, 0)), Some(ChatState::Gone));
    assert_eq!(mirror.sessions(), [0; 4]);
}

#[test]
fn states_come_through() {
    let mut mirror = opened();
    // RFC 3994 knows two states, and Table 4 makes those of them.
    let tables = [
        (ChatState::Composing, ChatState::Composing),
        (ChatState::Paused, ChatState::Active),
        (ChatState::Composing, ChatState::Composing),
        (ChatState::Inactive, ChatState::Active),
        (ChatState::Composing, ChatState::Composing),
        (ChatState::Active, ChatState::Active),
    ];
    for side in [0, 1] {
        mirror.stanza(
            1 - side,
            chat(1 - side, "s", Some("t1")).with_child(body("x")).with_child(ChatState::Active.to_element()),
        );
        got(&mut mirror, side);
        for (said, heard) in tables {
            mirror.stanza(side, chat(side, "s", Some("t1")).with_child(said.to_element()));
            assert_eq!(state(&only(&mut mirror, 1 - side)), Some(heard), "{said:?} of {side}");
        }
    }
}

#[test]
fn receipts_and_markers_go_round() {
    let mut mirror = opened();
    for side in [0, 1] {
        let asks = chat(side, "asks", Some("t1"))
            .with_child(body("hearest thou?"))
            .with_child(Element::new("request", RECEIPTS))
            .with_child(Marker::Markable.to_element());
        mirror.stanza(side, asks);
        let asked = only(&mut mirror, 1 - side);
        assert!(asked.child("request", RECEIPTS).is_some(), "{asked:?}");
        assert!(asked.elements().filter_map(Marker::parse).any(|m| m == Marker::Markable), "{asked:?}");
        assert_eq!(got(&mut mirror, side).len(), 0, "nobody has said so yet");
        let id = asked.id.clone().unwrap();
        let received = Element::new("received", RECEIPTS).with_attr("id", id.clone());
        mirror.stanza(1 - side, chat(1 - side, "r", None).with_child(received));
        let receipt = only(&mut mirror, side);
        assert_eq!(receipt.child("received", RECEIPTS).unwrap().attr("id"), Some("asks"));
        mirror.stanza(1 - side, chat(1 - side, "d", None).with_child(Marker::Displayed { id }.to_element()));
        let seen: Vec<_> = only(&mut mirror, side).elements().filter_map(Marker::parse).collect();
        assert_eq!(seen, [Marker::Displayed { id: "asks".into() }]);
    }
}

#[test]
fn several_sessions_at_once() {
    let mut mirror = Mirror::of_chat();
    for n in 0..5 {
        let thread = format!("t{n}");
        mirror.stanza(0, chat(0, "a", Some(&thread)).with_child(body(&thread)));
        assert_eq!(text(&only(&mut mirror, 1), "thread"), Some(thread));
    }
    assert_eq!((mirror.sessions(), mirror.pipes.open_ones()), ([5; 4], 1), "all over one connection");
    for n in [3, 1, 4, 0, 2] {
        let thread = format!("t{n}");
        mirror.stanza(1, chat(1, "b", Some(&thread)).with_child(body("yes")));
        assert_eq!(text(&only(&mut mirror, 0), "thread"), Some(thread));
    }
    // RFC 7573 §6.1: ten minutes of silence.
    mirror.run(Duration::from_secs(660));
    assert_eq!((mirror.sessions(), mirror.pipes.open_ones()), ([0; 4], 0));
}

#[test]
fn two_who_open_at_once() {
    let mut mirror = Mirror::of_chat();
    // Neither gateway has polled when the other one's user writes.
    mirror.stanza_only(0, chat(0, "a", Some("t0")).with_child(body("mine")));
    mirror.stanza_only(1, chat(1, "b", Some("t1")).with_child(body("thine")));
    assert_eq!(text(&only(&mut mirror, 1), "body").as_deref(), Some("mine"));
    assert_eq!(text(&only(&mut mirror, 0), "body").as_deref(), Some("thine"));
    assert_eq!(mirror.sessions(), [2; 4]);
    for side in [0, 1] {
        for thread in ["t0", "t1"] {
            mirror.stanza(side, chat(side, "c", Some(thread)).with_child(body("still")));
            assert_eq!(text(&only(&mut mirror, 1 - side), "thread").as_deref(), Some(thread));
        }
    }
    assert_eq!(mirror.sessions(), [2; 4]);
}

/// What a message says, besides its addresses.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    lang: Option<String>,
    bodies: BTreeMap<Option<String>, String>,
    subject: Option<String>,
}

impl Said {
    fn stanza(&self, side: usize, thread: &str) -> Stanza {
        let mut stanza = chat(side, "m", Some(thread));
        stanza.lang = self.lang.as_deref().map(Into::into);
        for (lang, words) in &self.bodies {
            stanza.push(match lang {
                Some(lang) if *lang != self.lang.clone().unwrap_or_default() => body(words).with_lang(lang.as_str()),
                _ => body(words),
            });
        }
        if let Some(subject) = &self.subject {
            stanza.push(Element::new("subject", ns::CLIENT).with_text(subject));
        }
        stanza
    }

    fn of(stanza: &Stanza) -> Said {
        let lang = stanza.lang.as_ref().map(ToString::to_string);
        let own = |e: &Element| e.lang().map(str::to_owned).or_else(|| lang.clone());
        let bodies = stanza.elements().filter(|e| e.is("body", ns::CLIENT));
        Said {
            bodies: bodies.map(|e| (own(e), e.text().into_owned())).collect(),
            subject: text(stanza, "subject"),
            lang,
        }
    }
}

/// Text that XML can hold, with line breaks.
fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec("[\\PC\t]{0,40}", 1..4)
        .prop_map(|l| l.join("\n"))
        .prop_filter("empty", |s| !s.is_empty() && s.chars().all(xml::is_xml_char))
}

/// A subject: one line, as it is a header.
fn subject() -> impl Strategy<Value = String> {
    "[a-zà-ÿ一-十\"<>:;=&\\\\-]{1,12}( [a-zà-ÿ一-十\"<>:;=&\\\\-]{1,12}){0,2}"
}

fn said() -> impl Strategy<Value = Said> {
    let lang = || "[a-z]{2,3}(-[A-Z]{2})?";
    let long = prop_oneof![9 => lines(), 1 => "[a-zäß\n ]{3000,9000}".prop_map(|s| format!("x{s}x"))];
    let more = prop::collection::btree_map(lang(), lines(), 0..3);
    (prop::option::of(lang()), long, more, prop::option::of(subject())).prop_map(|(lang, words, more, subject)| {
        let mut bodies: BTreeMap<_, _> = more.into_iter().map(|(l, b)| (Some(l), b)).collect();
        bodies.insert(lang.clone(), words);
        Said { lang, bodies, subject }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_conversation_comes_through(
        thread in prop_oneof!["[a-zA-Z0-9-]{1,36}", "[ -~]{1,40}", "[\\PC]{1,20}"],
        words in prop::collection::vec((0..2usize, said()), 1..12),
    ) {
        prop_assume!(!thread.trim().is_empty());
        let mut mirror = Mirror::of_chat();
        let mut sent: [Vec<Said>; 2] = [Vec::new(), Vec::new()];
        for (side, said) in words {
            mirror.stanza_only(side, said.stanza(side, &thread));
            sent[1 - side].push(said);
            // Whoever has not heard the other yet opens a session of that name, too: those are other conversations.
            mirror.run(Duration::from_millis(100));
        }
        for side in [0, 1] {
            let there = got(&mut mirror, side);
            for stanza in &there {
                prop_assert_eq!(text(stanza, "thread"), Some(thread.clone()));
                // The device of whoever was called is not known to who called.
                prop_assert_eq!(stanza.from.as_ref().map(xmpp::jid::Jid::bare), Some(jid(JIDS[1 - side]).bare()));
            }
            let heard: Vec<Said> = there.iter().map(Said::of).collect();
            prop_assert_eq!(&heard, &sent[side]);
        }
        prop_assert_eq!(mirror.sessions(), [1; 4]);
    }
}
