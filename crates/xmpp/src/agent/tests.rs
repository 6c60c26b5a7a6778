use super::*;
use xml::Limits;

const IDENTITY: Identity<'_> = Identity {
    domain: "sip.example.net",
    version: "Verona/0.1.0",
    conference: false,
    calls: false,
    numbers: false,
    accounts: false,
};
const GATEWAY: &str = "sip.example.net";
const USER: &str = "romeo@sip.example.net";

fn ask(attrs: &str, to: &str, payload: &str) -> Option<String> {
    let text = format!("<iq xmlns='jabber:client' from='juliet@example.com/b' to='{to}' {attrs}>{payload}</iq>");
    let element = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
    let iq = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
    let answer = answer(&IDENTITY, &iq, Asked::of(iq.to.as_ref(), Some("Romeo Montague")))?;
    assert_eq!((&answer.from, &answer.to), (&iq.to, &iq.from));
    Some(String::from_utf8(answer.to_bytes(ns::CLIENT)).expect("UTF-8"))
}

fn get(to: &str, payload: &str) -> String {
    let answer = ask("type='get' id='1'", to, payload).expect("an answer");
    let head = format!("<iq from='{to}' to='juliet@example.com/b' id='1' type=");
    answer.strip_prefix(&head).expect("addresses and id").to_owned()
}

fn refused(condition: &str) -> String {
    let kind = if condition == "bad-request" { "modify" } else { "cancel" };
    format!("'error'><error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
}

const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
const VERSION: &str = "<query xmlns='jabber:iq:version'/>";
const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

#[test]
fn what_the_gateway_is() {
    assert_eq!(
        get(GATEWAY, INFO),
        "'result'><query xmlns='http://jabber.org/protocol/disco#info'>\
         <identity category='gateway' type='simple' name='SIP gateway'/>\
         <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>\
         <feature var='jabber:iq:version'/><feature var='urn:xmpp:ping'/><feature var='vcard-temp'/></query></iq>"
    );
    assert_eq!(get(GATEWAY, ITEMS), "'result'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
    assert_eq!(
        get(GATEWAY, VERSION),
        "'result'><query xmlns='jabber:iq:version'><name>Verona</name><version>0.1.0</version></query></iq>"
    );
    assert_eq!(get(GATEWAY, PING), "'result'/>");
}

#[test]
fn what_a_sip_user_is() {
    for user in [USER, "romeo@sip.example.net/gr1"] {
        assert_eq!(
            get(user, INFO),
            "'result'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='phone'/>\
             <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>\
             <feature var='jabber:iq:version'/><feature var='urn:xmpp:ping'/><feature var='vcard-temp'/>\
             <feature var='http://jabber.org/protocol/chatstates'/><feature var='urn:xmpp:receipts'/>\
             <feature var='urn:xmpp:chat-markers:0'/><feature var='http://jabber.org/protocol/xhtml-im'/></query></iq>"
        );
        assert_eq!(get(user, ITEMS), "'result'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
        assert_eq!(get(user, VERSION), get(GATEWAY, VERSION));
        assert_eq!(get(user, PING), "'result'/>");
    }
    assert_eq!(get("sip.example.net/nobody", INFO), refused("service-unavailable"));
    assert_eq!(get("sip.example.net/nobody", PING), refused("service-unavailable"));
}

#[test]
fn cards() {
    let asked = "<vCard xmlns='vcard-temp'/>";
    assert_eq!(get(GATEWAY, asked), "'result'><vCard xmlns='vcard-temp'><FN>SIP gateway</FN></vCard></iq>");
    for user in [USER, "romeo@sip.example.net/gr1"] {
        assert_eq!(
            get(user, asked),
            "'result'><vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><NICKNAME>Romeo Montague</NICKNAME></vCard></iq>"
        );
    }
    assert_eq!(get("sip.example.net/nobody", asked), refused("service-unavailable"));
    assert_eq!(card(None, "o\\27malley"), VCard { full_name: Some("o'malley".into()), nickname: None });
    for to in [GATEWAY, USER] {
        let set = ask("type='set' id='1'", to, asked).expect("an answer");
        assert!(set.ends_with(&refused("service-unavailable")), "nobody's card is changed here");
    }
}

#[test]
fn nodes() {
    let caps = caps(&IDENTITY);
    let node = caps.disco_node();
    let asked = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
    let whole = get(GATEWAY, INFO).replacen("disco#info'>", &format!("disco#info' node='{node}'>"), 1);
    assert_eq!(get(GATEWAY, &asked), whole);
    assert_eq!(get(USER, &asked), refused("item-not-found"));
    for query in [INFO, ITEMS] {
        let asked = query.replace("/>", " node='x'/>");
        assert_eq!(get(GATEWAY, &asked), refused("item-not-found"));
        assert_eq!(get(USER, &asked), refused("item-not-found"));
    }
}

#[test]
fn what_is_malformed_or_unknown() {
    let no_id = "<iq from='sip.example.net' to='juliet@example.com/b' id='' type=".to_owned() + &refused("bad-request");
    assert_eq!(ask("type='get'", GATEWAY, PING), Some(no_id));
    let bad = |attrs, payload| ask(attrs, GATEWAY, payload).expect("an answer").ends_with(&refused("bad-request"));
    assert!(bad("id='1'", PING), "no type");
    assert!(bad("id='1' type='fetch'", PING), "a type that is none");
    assert!(bad("id='1' type='get'", ""), "no child");
    assert!(bad("id='1' type='get'", "text"), "text alone");
    assert!(bad("id='1' type='set'", &format!("{INFO}{PING}")), "two children");
    assert_eq!(get(GATEWAY, "<x xmlns='urn:x'/>"), refused("service-unavailable"));
    assert_eq!(get(USER, "<ping xmlns='urn:x'/>"), refused("service-unavailable"));
    let set = ask("type='set' id='1'", GATEWAY, PING).expect("an answer");
    assert!(set.ends_with(&refused("service-unavailable")));
}

#[test]
fn what_is_never_answered() {
    for kind in ["result", "error"] {
        assert_eq!(ask(&format!("type='{kind}' id='1'"), GATEWAY, PING), None);
        assert_eq!(ask(&format!("type='{kind}'"), GATEWAY, ""), None);
    }
    let message = Stanza::message().with_type("get").with_id("1").with_child(Ping.to_element());
    assert_eq!(answer(&IDENTITY, &message, Asked::Gateway), None);
}

fn ask_room(room: &RoomInfo, type_: &str, payload: &str) -> String {
    let text = format!(
        "<iq xmlns='jabber:client' from='juliet@example.com/b' to='verona@sip.example.net' id='1' type='{type_}'>{payload}</iq>"
    );
    let element = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
    let iq = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
    let answer = answer(&IDENTITY, &iq, Asked::Room(room)).expect("an answer");
    let text = String::from_utf8(answer.to_bytes(ns::CLIENT)).expect("UTF-8");
    let head = "<iq from='verona@sip.example.net' to='juliet@example.com/b' id='1' type=";
    text.strip_prefix(head).expect("addresses and id").to_owned()
}

#[test]
fn what_a_room_is() {
    let common = "<feature var='http://jabber.org/protocol/disco#info'/>\
                  <feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>\
                  <feature var='http://jabber.org/protocol/muc#self-ping-optimization'/><feature var='urn:xmpp:ping'/>\
                  <feature var='muc_hidden'/><feature var='muc_unmoderated'/>";
    let query = "'result'><query xmlns='http://jabber.org/protocol/disco#info'>";
    let unknown = RoomInfo::default();
    assert_eq!(
        ask_room(&unknown, "get", INFO),
        format!(
            "{query}<identity category='conference' type='text'/>{common}<feature var='muc_semianonymous'/></query></iq>"
        )
    );
    let room = RoomInfo {
        name: Some("Verona & its streets".into()),
        description: Some("Where we lay our scene".into()),
        subject: Some("Ancient <grudge>".into()),
        occupants: Some(3),
        members_only: Some(false),
        password: Some(true),
        non_anonymous: true,
        features: vec![ns::STANZA_ID.into()],
    };
    let field = |var, value| format!("<field var='muc#roominfo_{var}'><value>{value}</value></field>");
    assert_eq!(
        ask_room(&room, "get", INFO),
        format!(
            "{query}<identity category='conference' type='text' name='Verona &amp; its streets'/>{common}\
             <feature var='muc_open'/><feature var='muc_passwordprotected'/><feature var='muc_nonanonymous'/>\
             <feature var='urn:xmpp:sid:0'/><x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/muc#roominfo</value></field>{}{}{}</x></query></iq>",
            field("description", "Where we lay our scene"),
            field("subject", "Ancient &lt;grudge&gt;"),
            field("occupants", "3"),
        )
    );
    let features = |room: &RoomInfo| Info::parse(&room.to_element()).expect("an answer").features;
    let both = RoomInfo { members_only: Some(true), password: Some(false), ..RoomInfo::default() };
    assert!(features(&both).iter().any(|f| f == "muc_membersonly"));
    assert!(features(&both).iter().any(|f| f == "muc_unsecured"));
}

#[test]
fn what_is_asked_of_a_room() {
    let room = RoomInfo::default();
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    assert_eq!(ask_room(&room, "get", items), format!("'result'>{items}</iq>"));
    assert_eq!(ask_room(&room, "get", PING), "'result'/>");
    let reserved = INFO.replace("/>", " node='x-roomuser-item'/>");
    assert_eq!(ask_room(&room, "get", &reserved), refused("feature-not-implemented"));
    for query in [INFO, items] {
        assert_eq!(ask_room(&room, "get", &query.replace("/>", " node='x'/>")), refused("item-not-found"));
    }
    for other in [VERSION, "<vCard xmlns='vcard-temp'/>", "<query xmlns='http://jabber.org/protocol/muc#owner'/>"] {
        assert_eq!(ask_room(&room, "get", other), refused("service-unavailable"));
    }
    assert_eq!(ask_room(&room, "set", INFO), refused("service-unavailable"));
}

#[test]
fn what_a_domain_of_rooms_is() {
    let identity = Identity { conference: true, ..IDENTITY };
    let caps = caps(&identity);
    assert_ne!(caps.ver, super::caps(&IDENTITY).ver);
    let ask = |node: &str| {
        let text = format!(
            "<iq xmlns='jabber:client' type='get' id='1' to='sip.example.net'>{}</iq>",
            INFO.replace("/>", &format!(" node='{node}'/>"))
        );
        let element = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
        let iq = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
        answer(&identity, &iq, Asked::of(iq.to.as_ref(), None)).expect("an answer")
    };
    let answer = ask(&caps.disco_node());
    let info = Info::parse(answer.elements().next().expect("a payload")).expect("info");
    let types: Vec<_> = info.identities.iter().map(|i| (i.category.as_str(), i.type_.as_str())).collect();
    assert_eq!(types, [("conference", "text"), ("gateway", "simple")]);
    assert!(info.has(ns::MUC));
    assert_eq!(Caps::of(&info, "").ver, caps.ver, "what stands behind the node is what the node says");
    assert!(ask(&super::caps(&IDENTITY).disco_node()).is_error());
}

#[test]
fn who_can_be_called() {
    let info = |identity: &Identity<'_>, to: &str| {
        let text = format!("<iq xmlns='jabber:client' type='get' id='1' to='{to}'>{INFO}</iq>");
        let element = Element::parse(text.as_bytes(), &Limits::default()).expect("well-formed");
        let iq = Stanza::from_element(element, ns::CLIENT).expect("a stanza");
        let answer = answer(identity, &iq, Asked::of(iq.to.as_ref(), None)).expect("an answer");
        Info::parse(answer.elements().next().expect("a payload")).expect("info")
    };
    let calls = Identity { calls: true, ..IDENTITY };
    // What Conversations, Dino and Gajim look for before they show that somebody can be called.
    let wanted = [ns::JINGLE, ns::JINGLE_MESSAGE, ns::ICE_UDP, ns::RTP, ns::RTP_AUDIO, ns::RTP_VIDEO, ns::DTLS];
    for user in [USER, "romeo@sip.example.net/gr1"] {
        assert!(wanted.iter().all(|feature| info(&calls, user).has(feature)));
        assert!(!wanted.iter().any(|feature| info(&IDENTITY, user).has(feature)));
    }
    for identity in [IDENTITY, calls] {
        assert_eq!(Caps::of(&info(&identity, USER), "").ver, user_caps(&identity).ver);
        assert!(!info(&identity, GATEWAY).has(ns::JINGLE), "the gateway itself takes no calls");
    }
    assert_ne!(user_caps(&calls).ver, user_caps(&IDENTITY).ver);

    let types = |identity: &Identity<'_>| {
        let info = info(identity, GATEWAY);
        assert_eq!(Caps::of(&info, "").ver, caps(identity).ver);
        info.identities.iter().map(|i| i.type_.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(types(&calls), ["simple"]);
    assert_eq!(types(&Identity { numbers: true, ..IDENTITY }), ["simple"], "numbers alone do not ring");
    assert_eq!(types(&Identity { numbers: true, ..calls }), ["simple", "pstn"]);
}
