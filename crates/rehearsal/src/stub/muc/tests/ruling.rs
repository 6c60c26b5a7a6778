use super::*;
use xmpp::ext::moderation::{Moderate, Retraction, Version};
use xmpp::ext::muc::Owner;
use xmpp::ext::stanza_id::StanzaId;

fn three() -> Service {
    let mut s = service();
    join(&mut s, "otto", "boss");
    join(&mut s, "romeo", "Romeo");
    join(&mut s, "juliet", "Juliet");
    s
}

#[test]
fn kicks_and_bans() {
    let mut s = three();
    assert_eq!(admin(&mut s, "romeo", "<item nick='Juliet' role='none'/>"), ["romeo < den: error auth forbidden"]);
    assert_eq!(
        admin(&mut s, "otto", "<item nick='Juliet' role='none'><reason>Hush</reason></item>"),
        [
            "romeo < den/Juliet: unavailable none/none by boss \"Hush\" 307",
            "otto < den/Juliet: unavailable none/none is juliet by boss \"Hush\" 307",
            "juliet < den/Juliet: unavailable none/none by boss \"Hush\" 307 110",
            "otto < den: result",
        ]
    );
    join(&mut s, "juliet", "Juliet");
    assert_eq!(
        admin(&mut s, "otto", "<item jid='juliet@example.com' affiliation='outcast'/>"),
        [
            "romeo < den/Juliet: unavailable outcast/none by boss 301",
            "otto < den/Juliet: unavailable outcast/none is juliet by boss 301",
            "juliet < den/Juliet: unavailable outcast/none by boss 301 110",
            "otto < den: result",
        ]
    );
    assert_eq!(send(&mut s, "juliet", "den/Juliet", JOIN), ["juliet < den/Juliet: error auth forbidden"]);
    assert_eq!(admin(&mut s, "otto", "<item nick='Juliet' role='none'/>"), ["otto < den: error cancel item-not-found"]);
    admin(&mut s, "otto", "<item jid='juliet@example.com' affiliation='none'/>");
    join(&mut s, "juliet", "Juliet");
}

#[test]
fn roles_and_affiliations() {
    let mut s = three();
    assert_eq!(
        admin(&mut s, "otto", "<item nick='Romeo' role='moderator'><reason>Help</reason></item>"),
        [
            "juliet < den/Romeo: here none/moderator by boss \"Help\"",
            "otto < den/Romeo: here none/moderator is romeo by boss \"Help\"",
            "romeo < den/Romeo: here none/moderator is romeo by boss \"Help\" 110",
            "otto < den: result",
        ]
    );
    assert_eq!(admin(&mut s, "romeo", "<item nick='boss' role='none'/>"), ["romeo < den: error cancel not-allowed"]);
    assert_eq!(admin(&mut s, "romeo", "<item nick='boss' role='visitor'/>"), ["romeo < den: error cancel not-allowed"]);
    assert_eq!(admin(&mut s, "romeo", "<item nick='Juliet' role='moderator'/>"), ["romeo < den: error auth forbidden"]);
    assert!(admin(&mut s, "romeo", "<item nick='Juliet' role='visitor'/>")[1].contains("none/visitor"));
    let ban = "<item jid='juliet@example.com' affiliation='outcast'/>";
    assert_eq!(admin(&mut s, "romeo", ban), ["romeo < den: error auth forbidden"]);
    let out = admin(&mut s, "otto", "<item jid='juliet@example.com' affiliation='admin'/>");
    assert_eq!(out[0], "romeo < den/Juliet: here admin/moderator is juliet by boss");
    assert_eq!(
        admin(&mut s, "juliet", "<item jid='paris@example.com' affiliation='member'/>"),
        ["juliet < den: result"]
    );
    let owner = "<item jid='paris@example.com' affiliation='owner'/>";
    assert_eq!(admin(&mut s, "juliet", owner), ["juliet < den: error cancel not-allowed"]);
    let demote = "<item jid='otto@example.com' affiliation='member'/>";
    assert_eq!(admin(&mut s, "juliet", demote), ["juliet < den: error cancel not-allowed"]);
    assert_eq!(admin(&mut s, "otto", demote), ["otto < den: error cancel conflict"], "somebody must own it");
    // All or nothing.
    let two = "<item nick='Romeo' role='none'/><item nick='Nobody' role='none'/>";
    assert_eq!(admin(&mut s, "otto", two), ["otto < den: error cancel item-not-found"]);
    assert_eq!(s.people("den").len(), 3);
    assert_eq!(admin(&mut s, "otto", "<item nick='Romeo'/>"), ["otto < den: error modify bad-request"]);
}

#[test]
fn lists() {
    let mut s = three();
    let mut list = |who: &str, item: &str| {
        let query = format!("<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query>");
        let out = answers(&mut s, who, "den", &format!("<iq type='get' id='1'>{query}</iq>"));
        match StanzaError::from_stanza(&out[0]) {
            Some(error) => vec![error.condition.to_string()],
            None => {
                let admin = xmpp::ext::muc::Admin::parse(out[0].elements().next().expect("a list")).expect("a list");
                let name =
                    |i: &xmpp::ext::muc::Item| i.nick.as_ref().map_or(short(i.jid.as_ref()), ToString::to_string);
                admin.items.iter().map(name).collect()
            }
        }
    };
    assert_eq!(list("otto", "<item affiliation='owner'/>"), ["otto@"]);
    assert_eq!(list("otto", "<item role='participant'/>"), ["Juliet", "Romeo"]);
    assert_eq!(list("otto", "<item affiliation='outcast'/>"), [""; 0]);
    assert_eq!(list("romeo", "<item affiliation='outcast'/>"), ["forbidden"]);
    assert_eq!(list("romeo", "<item role='participant'/>"), ["forbidden"]);
    assert_eq!(list("otto", "<item/>"), ["bad-request"]);
    assert_eq!(list("otto", ""), ["bad-request"]);
}

#[test]
fn members_only_from_now_on() {
    let mut s = three();
    admin(&mut s, "otto", "<item jid='juliet@example.com' affiliation='member'/>");
    let form = |var: &str, value: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_{var}'><value>{value}</value></field></x>"
        )
    };
    assert_eq!(owner(&mut s, "romeo", &form("membersonly", "1")), ["romeo < den: error auth forbidden"]);
    assert_eq!(
        owner(&mut s, "otto", &form("membersonly", "1")),
        [
            "juliet < den/Romeo: unavailable none/none 322",
            "otto < den/Romeo: unavailable none/none is romeo 322",
            "romeo < den/Romeo: unavailable none/none 322 110",
            "juliet < den: groupchat 104",
            "otto < den: groupchat 104",
            "otto < den: result",
        ]
    );
    assert_eq!(
        admin(&mut s, "otto", "<item jid='juliet@example.com' affiliation='none'/>")[1],
        "juliet < den/Juliet: unavailable none/none by boss 321 110"
    );
    assert_eq!(owner(&mut s, "otto", &form("whois", "anyone"))[0], "otto < den: groupchat 172");
    assert_eq!(owner(&mut s, "otto", &form("enablelogging", "1"))[0], "otto < den: groupchat 170");
    assert_eq!(owner(&mut s, "otto", &form("whois", "anyone")), ["otto < den: result"], "nothing has changed");
    let ask = "<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>";
    let out = answers(&mut s, "otto", "den", ask);
    let Some(Owner::Form(form)) = out[0].elements().next().and_then(Owner::parse) else { panic!("{out:?}") };
    assert_eq!(s.rooms["den"].settings.filled_in(&form), s.rooms["den"].settings, "the form says how it is");
}

#[test]
fn the_end_of_a_room() {
    let mut s = three();
    let destroy = "<destroy jid='new@muc.example.com'><reason>Moved</reason></destroy>";
    assert_eq!(owner(&mut s, "romeo", destroy), ["romeo < den: error auth forbidden"]);
    assert_eq!(
        owner(&mut s, "otto", destroy),
        [
            "juliet < den/Juliet: unavailable none/none destroyed, see new Some(\"Moved\") 110",
            "romeo < den/Romeo: unavailable none/none destroyed, see new Some(\"Moved\") 110",
            "otto < den/boss: unavailable none/none destroyed, see new Some(\"Moved\") 110",
            "otto < den: result",
        ]
    );
    assert_eq!(s.rooms(), [""; 0]);
}

#[test]
fn what_a_moderator_takes_back() {
    for version in [Version::Zero, Version::One] {
        let mut s = three();
        let said = answers(&mut s, "romeo", "den", "<message type='groupchat' id='1'><body>spam</body></message>");
        let room = Jid::parse("den@muc.example.com").expect("an address");
        let id = StanzaId::of(&said[0], &room).expect("an id").id;
        let wish = Moderate { id: id.clone(), reason: Some("Spam".into()) };
        let iq = |from: &str| {
            let iq = Stanza::iq("set").with_id("m").with_child(wish.to_element(version));
            let jid = Jid::parse(&format!("{from}@example.com/x")).expect("an address");
            iq.with_from(jid).with_to(room.clone())
        };
        let out = s.handle(Time::ZERO, iq("juliet"));
        assert_eq!(brief(&out), ["juliet < den: error auth forbidden"]);
        let out = s.handle(Time::ZERO, iq("otto"));
        assert_eq!(
            brief(&out),
            ["juliet < den: groupchat", "romeo < den: groupchat", "otto < den: groupchat", "otto < den: result"]
        );
        let retraction = Retraction::of(&out[0]).expect("a retraction");
        assert_eq!((retraction.id, retraction.reason.as_deref()), (id, Some("Spam")));
        assert_eq!(short(retraction.moderated.and_then(|m| m.by).as_ref()), "den/boss");
        assert_eq!(s.said("den"), []);
        assert_eq!(brief(&s.handle(Time::ZERO, iq("otto"))), ["otto < den: error cancel item-not-found"]);
    }
}

#[test]
fn the_service_goes_down() {
    let mut s = three();
    send(&mut s, "romeo", "other/Romeo", JOIN);
    let out = brief(&s.shut_down());
    assert_eq!(
        out,
        [
            "juliet < den/Juliet: unavailable none/none 332 110",
            "romeo < den/Romeo: unavailable none/none 332 110",
            "otto < den/boss: unavailable none/none 332 110",
            "romeo < other/Romeo: unavailable none/none 332 110",
        ]
    );
    assert_eq!(s.rooms(), ["den"]);
    join(&mut s, "otto", "boss");
    s.restart();
    assert_eq!(s.people("den"), []);
    assert_eq!(groupchat(&mut s, "otto", "1", "x"), ["otto < den: error modify not-acceptable"]);
    assert_eq!(
        send(&mut s, "otto", "den/boss", "<presence><show>away</show></presence>"),
        ["otto < den/boss: error cancel item-not-found"],
        "nobody becomes an occupant unawares"
    );
}
