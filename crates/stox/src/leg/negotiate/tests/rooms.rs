//! What is said of rooms (RFC 7701 §5.2, §8).

use super::*;

const BOTH: Chatroom = Chatroom { nickname: true, private_messages: true };

/// A gateway that says this of rooms.
fn answered_by(chatroom: Option<Chatroom>, offer: &str) -> Result<(Agreed, String), Refusal> {
    let gateway = gateway();
    let ours = Ours { chatroom, accept_types: &["message/cpim"], accept_wrapped_types: &["*"], ..gateway.ours() };
    let (agreed, bytes) = answer(&ours, offer.as_bytes(), &outside)?;
    Ok((agreed, String::from_utf8(bytes.to_vec()).unwrap()))
}

/// What a phone in a room describes.
fn participant(types: &str, attributes: &str) -> String {
    theirs(attributes).replace("accept-types:text/plain", &format!("accept-types:{types}"))
}

/// RFC 7701 §9.1.
#[test]
fn the_rfcs_own() {
    let offer = participant("message/cpim text/plain text/html", "a=chatroom:nickname private-messages\r\n");
    let (agreed, said) = answered_by(Some(BOTH), &offer).unwrap();
    assert_eq!(agreed.chatroom, Some(BOTH));
    assert!(agreed.accept.takes("message/cpim") && agreed.accept.wraps("text/html"));
    for line in
        ["a=accept-types:message/cpim\r\n", "a=accept-wrapped-types:*\r\n", "a=chatroom:nickname private-messages\r\n"]
    {
        assert!(said.contains(line), "{said}");
    }
    let gateway = gateway();
    let ours = Ours { chatroom: Some(BOTH), ..gateway.ours() };
    let answer =
        participant("message/cpim", "a=accept-wrapped-types:text/plain text/html *\r\na=chatroom:nickname\r\n");
    let agreed = read_answer(&ours, answer.as_bytes(), &outside).unwrap();
    assert_eq!(agreed.chatroom, Some(Chatroom { nickname: true, private_messages: false }));
}

/// §8: each declares its own, in any order; what nobody knows counts for nothing, and the plural of the text is the singular of the grammar.
#[test]
fn each_side_declares_its_own() {
    let said = |chatroom: Option<Chatroom>| {
        let (_, said) = answered_by(chatroom, &participant("message/cpim text/plain", "")).unwrap();
        said.lines().find(|line| line.starts_with("a=chatroom")).map(str::to_owned)
    };
    assert_eq!(said(None), None);
    assert_eq!(said(Some(Chatroom::default())).as_deref(), Some("a=chatroom"));
    assert_eq!(
        said(Some(Chatroom { nickname: true, private_messages: false })).as_deref(),
        Some("a=chatroom:nickname")
    );
    assert_eq!(
        said(Some(Chatroom { nickname: false, private_messages: true })).as_deref(),
        Some("a=chatroom:private-messages")
    );
    for (attribute, (nickname, private_messages)) in [
        ("a=chatroom", (false, false)),
        ("a=chatroom:", (false, false)),
        ("a=chatroom:com.example.chat.foo", (false, false)),
        ("a=chatroom:private-messages com.example.chat.foo Nickname", (true, true)),
        ("a=chatroom:nicknames", (true, false)),
        ("a=chatroom:private-messages", (false, true)),
    ] {
        for ours in [None, Some(BOTH)] {
            let offer = participant("message/cpim text/plain", &format!("{attribute}\r\n"));
            let (agreed, _) = answered_by(ours, &offer).unwrap();
            assert_eq!(agreed.chatroom, Some(Chatroom { nickname, private_messages }), "{attribute}");
        }
    }
    assert_eq!(answered_by(Some(BOTH), &participant("message/cpim", "")).unwrap().0.chatroom, None);
}

/// §5.2: all is wrapped in CPIM. Who does not say what it takes within takes text.
#[test]
fn in_a_room_all_is_wrapped() {
    assert_eq!(refused(answered_by(Some(BOTH), &participant("text/plain", ""))), (488, 305));
    assert_eq!(
        refused(answered_by(Some(BOTH), &participant("message/cpim", "a=accept-wrapped-types:image/png\r\n"))),
        (488, 305)
    );
    let (agreed, _) = answered_by(Some(BOTH), &participant("message/cpim", "")).unwrap();
    assert!(agreed.accept.cpim_only() && agreed.accept.wraps("text/plain") && !agreed.accept.wraps("text/html"));
    // Elsewhere that is as it was.
    assert_eq!(refused(answered_by(None, &participant("message/cpim", ""))), (488, 305));
    assert!(answered_by(None, &participant("text/plain", "")).is_ok());
}

/// The same description again says the same of rooms.
#[test]
fn a_refresh_says_it_again() {
    let (_, said) = answered_by(Some(BOTH), &participant("message/cpim", "")).unwrap();
    let again = again(&Bytes::from(said), Part::Offer, 2);
    let again = std::str::from_utf8(&again).unwrap();
    assert!(again.contains("a=chatroom:nickname private-messages\r\n") && again.contains("a=setup:actpass"), "{again}");
}
