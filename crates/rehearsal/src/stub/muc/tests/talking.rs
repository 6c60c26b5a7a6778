use super::*;
use xmpp::ext::occupant_id::OccupantId;
use xmpp::ext::stanza_id::{OriginId, StanzaId};

fn three() -> Service {
    let mut s = service();
    join(&mut s, "otto", "boss");
    join(&mut s, "romeo", "Romeo");
    join(&mut s, "juliet", "Juliet");
    s
}

#[test]
fn what_is_said_to_all() {
    let mut s = three();
    let text = "<message type='groupchat' id='1' xml:lang='en'><body>hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o'/>\
                <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='den@muc.example.com'/>\
                <delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/><unknown xmlns='urn:x'/></message>";
    let out = answers(&mut s, "romeo", "den", text);
    assert_eq!(
        brief(&out),
        [
            "juliet < den/Romeo: groupchat \"hi\"",
            "romeo < den/Romeo: groupchat \"hi\"",
            "otto < den/Romeo: groupchat \"hi\"",
        ]
    );
    let room = Jid::parse("den@muc.example.com").expect("an address");
    let ids: Vec<_> = out.iter().map(|m| StanzaId::of(m, &room).expect("the room's id").id).collect();
    assert!(ids[0] != "forged" && ids.iter().all(|id| *id == ids[0]), "one id for one message");
    for m in &out {
        assert_eq!((m.id.as_deref(), m.lang.as_deref()), (Some("1"), Some("en")));
        assert_eq!(OriginId::of(m), Some(OriginId("o".into())));
        assert!(OccupantId::of(m).is_some() && m.child("unknown", "urn:x").is_some());
        assert!(m.child("delay", ns::DELAY).is_none(), "nobody speaks in the past");
    }
    s.options.stable_ids = false;
    let out = answers(&mut s, "romeo", "den", text);
    assert!(out.iter().all(|m| m.id.as_deref() != Some("1") && OriginId::of(m).is_some()));
    assert_eq!(s.said("den").len(), 2);
    // No body: to all, but no part of the past.
    send(
        &mut s,
        "romeo",
        "den",
        "<message type='groupchat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    assert_eq!(s.said("den").len(), 2);
}

#[test]
fn who_may_not_speak() {
    let mut s = three();
    assert_eq!(groupchat(&mut s, "paris", "1", "x"), ["paris < den: error modify not-acceptable"]);
    s.make("den", Settings { moderated: true, ..Settings::default() });
    assert!(send(&mut s, "paris", "den/Paris", JOIN).iter().any(|l| l.contains("none/visitor 110")));
    assert_eq!(groupchat(&mut s, "paris", "1", "x"), ["paris < den: error auth forbidden"]);
    assert!(groupchat(&mut s, "romeo", "1", "x").len() > 1);
    let subject = "<message type='groupchat'><subject>Mine</subject></message>";
    assert_eq!(send(&mut s, "romeo", "den", subject), ["romeo < den: error auth forbidden"]);
    s.make("den", Settings { change_subject: true, ..Settings::default() });
    assert_eq!(send(&mut s, "romeo", "den", subject).len(), 4);
    assert_eq!(s.subject("den"), "Mine");
    let both = "<message type='groupchat'><subject>No</subject><body>x</body></message>";
    send(&mut s, "romeo", "den", both);
    assert_eq!(s.subject("den"), "Mine", "with a body it is no change of the subject");
    send(&mut s, "otto", "den", "<message type='groupchat'><subject/></message>");
    assert_eq!(s.subject("den"), "");
}

#[test]
fn what_is_said_to_one() {
    let mut s = three();
    join(&mut s, "juliet@example.com/phone", "Juliet");
    let text = "<message type='chat' id='p'><body>psst</body></message>";
    let out = answers(&mut s, "romeo", "den/Juliet", text);
    assert_eq!(brief(&out), ["juliet < den/Romeo: chat \"psst\"", "juliet@/phone < den/Romeo: chat \"psst\""]);
    assert!(out.iter().all(|m| User::of(m) == Some(User::default()) && m.id.as_deref() == Some("p")));
    assert_eq!(send(&mut s, "romeo", "den/Nobody", text), ["romeo < den/Nobody: error cancel item-not-found"]);
    assert_eq!(send(&mut s, "paris", "den/Juliet", text), ["paris < den/Juliet: error modify not-acceptable"]);
    let loud = text.replace("chat", "groupchat");
    assert_eq!(send(&mut s, "romeo", "den/Juliet", &loud), ["romeo < den/Juliet: error modify bad-request"]);
    assert_eq!(send(&mut s, "romeo", "den", text), ["romeo < den: error modify bad-request"]);
    s.make("den", Settings { private_messages: false, ..Settings::default() });
    assert_eq!(send(&mut s, "romeo", "den/Juliet", text), ["romeo < den/Juliet: error auth forbidden"]);
    assert_eq!(s.said("den"), []);
}

#[test]
fn what_comes_back() {
    let mut s = three();
    let error = |condition: &str| {
        format!(
            "<message type='error'><error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    // What he did not like goes to who said it in private; nobody is thrown out for it.
    assert_eq!(
        send(&mut s, "juliet", "den/Romeo", &error("not-acceptable")),
        ["romeo < den/Juliet: error cancel not-acceptable"]
    );
    assert_eq!(send(&mut s, "juliet", "den", &error("not-acceptable")), [""; 0]);
    // What did not reach her means that she is gone.
    assert_eq!(
        send(&mut s, "juliet", "den/Romeo", &error("service-unavailable")),
        [
            "romeo < den/Juliet: unavailable none/none \"Kicked: service-unavailable\" 307 333",
            "otto < den/Juliet: unavailable none/none is juliet \"Kicked: service-unavailable\" 307 333",
            "juliet < den/Juliet: unavailable none/none \"Kicked: service-unavailable\" 307 333 110",
        ]
    );
    join(&mut s, "romeo@example.com/phone", "Romeo");
    let gone = "<presence type='error'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
    assert_eq!(
        send(&mut s, "romeo@example.com/phone", "den/boss", gone),
        ["romeo@/phone < den/Romeo: unavailable none/none 110"],
        "one device is gone, he is not"
    );
    assert_eq!(send(&mut s, "nobody", "den/boss", gone), [""; 0]);
    assert_eq!(s.people("den").len(), 2);
}

#[test]
fn invitations() {
    let mut s = three();
    s.make("den", Settings { password: Some("pw".into()), ..Settings::default() });
    let invite = |to: &str| {
        format!(
            "<message><x xmlns='http://jabber.org/protocol/muc#user'><invite to='{to}'><reason>Come</reason>\
             <continue thread='t'/></invite></x></message>"
        )
    };
    let out = answers(&mut s, "romeo", "den", &invite("paris@example.org"));
    let [message] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(line(message), "paris@example.org < den: normal");
    let user = User::of(message).expect("an invitation");
    let [invited] = user.invites.as_slice() else { panic!("{user:?}") };
    assert_eq!(user.password.as_deref(), Some("pw"));
    assert_eq!((short(invited.from.as_ref()).as_str(), invited.to.as_ref()), ("romeo", None));
    assert_eq!(invited.reason.as_deref(), Some("Come"));
    assert_eq!(invited.continues.clone().and_then(|c| c.thread).as_deref(), Some("t"));
    let direct = message.elements().find_map(xmpp::ext::invitation::Invitation::parse).expect("XEP-0249, too");
    assert_eq!((short(Some(&direct.room)).as_str(), direct.password.as_deref()), ("den", Some("pw")));

    let decline = |to: &str| {
        format!(
            "<message><x xmlns='http://jabber.org/protocol/muc#user'><decline to='{to}'><reason>No</reason></decline></x></message>"
        )
    };
    for to in ["romeo@example.com/x", "romeo@example.com", "den@muc.example.com/Romeo"] {
        let out = answers(&mut s, "paris", "den", &decline(to));
        let [message] = out.as_slice() else { panic!("{out:?}") };
        let declined = User::of(message).and_then(|u| u.decline).expect("a decline");
        assert_eq!((line(message).as_str(), declined.reason.as_deref()), ("romeo < den: normal", Some("No")));
        assert_eq!((short(declined.from.as_ref()).as_str(), declined.to), ("paris", None));
    }
    assert_eq!(
        send(&mut s, "paris", "den", &decline("nobody@example.com")),
        ["paris < den: error cancel item-not-found"]
    );
    assert_eq!(send(&mut s, "paris", "den", &invite("x@example.org")), ["paris < den: error modify not-acceptable"]);

    s.make("den", Settings { members_only: true, ..Settings::default() });
    assert_eq!(send(&mut s, "romeo", "den", &invite("paris@example.com")), ["romeo < den: error auth forbidden"]);
    assert_eq!(send(&mut s, "otto", "den", &invite("paris@example.com")).len(), 1);
    assert!(send(&mut s, "paris", "den/Paris", JOIN).iter().any(|l| l.contains("member/participant 110")));
    s.make("den", Settings { allow_invites: false, ..Settings::default() });
    assert_eq!(send(&mut s, "romeo", "den", &invite("x@example.com")), ["romeo < den: error auth forbidden"]);
}

#[test]
fn questions_through_the_room() {
    let mut s = three();
    let ping = "<iq type='get' id='7'><ping xmlns='urn:xmpp:ping'/></iq>";
    // XEP-0410.
    assert_eq!(send(&mut s, "romeo", "den/Romeo", ping), ["romeo < den/Romeo: result"]);
    assert_eq!(send(&mut s, "paris", "den/Romeo", ping), ["paris < den/Romeo: error modify not-acceptable"]);
    assert_eq!(send(&mut s, "romeo", "den/Nobody", ping), ["romeo < den/Nobody: error cancel item-not-found"]);
    let out = answers(&mut s, "romeo", "den/Juliet", ping);
    assert_eq!(brief(&out), ["juliet < den/Romeo: get"]);
    let id = out[0].id.clone().expect("an id");
    let result = format!("<iq type='result' id='{id}'/>");
    let back = answers(&mut s, "juliet", "den/Romeo", &result);
    assert_eq!(brief(&back), ["romeo < den/Juliet: result"]);
    assert_eq!(back[0].id.as_deref(), Some("7"));
    assert_eq!(send(&mut s, "juliet", "den/Romeo", &result), [""; 0], "once");
    s.options.self_ping = false;
    assert_eq!(send(&mut s, "romeo", "den/Romeo", ping), ["romeo < den/Romeo: get"], "to the device itself");
}

#[test]
fn what_it_says_of_itself() {
    use xmpp::ext::disco::{Info, Items};
    let mut s = three();
    let info = "<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    let items = info.replace("#info", "#items");
    let payload = |s: &mut Service, to: &str, text: &str| {
        answers(s, "paris", to, text).remove(0).elements().next().cloned().expect("a payload")
    };
    let of_room = Info::parse(&payload(&mut s, "den", info)).expect("info");
    assert!(of_room.has(ns::MUC) && of_room.has("muc_open") && of_room.has(ns::MUC_SELF_PING));
    s.make("den", Settings { public: false, members_only: true, name: Some("The Den".into()), ..Settings::default() });
    let of_room = Info::parse(&payload(&mut s, "den", info)).expect("info");
    assert!(of_room.has("muc_hidden") && of_room.has("muc_membersonly"));
    assert_eq!(of_room.identities[0].name.as_deref(), Some("The Den"));
    assert_eq!(Items::parse(&payload(&mut s, "", &items)).expect("items").items, []);
    s.make("den", Settings::default());
    assert_eq!(Items::parse(&payload(&mut s, "", &items)).expect("items").items.len(), 1);
    assert_eq!(Items::parse(&payload(&mut s, "den", &items)).expect("items").items.len(), 3);
    assert!(Info::parse(&payload(&mut s, "", info)).expect("info").has(ns::MUC));
    let reserved = info.replace("'/>", "' node='x-roomuser-item'/>");
    assert_eq!(send(&mut s, "paris", "den", &reserved), ["paris < den: error cancel feature-not-implemented"]);
    let ping = "<iq type='get' id='7'><ping xmlns='urn:xmpp:ping'/></iq>";
    assert_eq!(send(&mut s, "paris", "", ping), ["paris < muc.example.com: result"]);
    assert_eq!(send(&mut s, "paris", "", "<message/>"), ["paris < muc.example.com: error cancel service-unavailable"]);
    assert_eq!(send(&mut s, "paris", "", "<iq type='result' id='1'/>"), [""; 0]);
}
