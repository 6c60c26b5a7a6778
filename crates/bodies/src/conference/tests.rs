use super::*;
use crate::Error;

mod keep;
mod model;

fn parse(document: &str) -> Result<Info, Error> {
    Info::parse(document.as_bytes(), 100)
}

/// A document with this inside.
fn document(attributes: &str, inner: &str) -> String {
    format!("<conference-info xmlns='{NS}' {attributes}>{inner}</conference-info>")
}

fn full(inner: &str) -> Info {
    parse(&document("entity='sip:room@example.com' state='full' version='1'", inner)).unwrap()
}

/// In the manner of RFC 4575 §7: what is not for us is passed over.
const RICH: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sips:conf233@example.com" state="partial" version="5">
 <!-- the conference -->
 <conference-description xml:lang="en-us">
  <display-text>Weekly Sales Meeting</display-text>
  <subject>Agenda: This month's goals</subject>
  <free-text>We will start strictly on time</free-text>
  <keywords>sales meeting weekly</keywords>
  <conf-uris>
   <entry><uri>tel:+18005671234</uri><display-text>TTI Bridge</display-text><purpose>participation</purpose></entry>
   <entry><uri>h323:conf545@h323.example.com</uri><purpose>participation</purpose></entry>
   <entry><purpose>streaming</purpose></entry>
  </conf-uris>
  <service-uris><entry><uri>http://sharepoint/salesgroup/</uri><purpose>web-page</purpose></entry></service-uris>
  <maximum-user-count>100</maximum-user-count>
  <available-media><entry label="34567"><display-text>main audio</display-text><type>audio</type></entry></available-media>
 </conference-description>
 <host-info><display-text>Sales Host</display-text></host-info>
 <conference-state><user-count>32</user-count><active>true</active><locked>0</locked></conference-state>
 <users state="partial">
  <user entity="sip:bob@example.com" state="full">
   <display-text>Bob Hoskins</display-text>
   <associated-aors><entry><uri>mailto:bob@example.com</uri><display-text>email</display-text></entry></associated-aors>
   <roles><entry>participant</entry><entry> speaker </entry></roles>
   <languages>en</languages>
   <cascaded-focus>sips:conf233@example.org</cascaded-focus>
   <endpoint entity="sip:bob@pc33.example.com">
    <display-text>Bob's Laptop</display-text>
    <referred><when>2005-03-04T20:00:00Z</when><reason>expert required</reason><by>sip:mike@example.com</by></referred>
    <status>disconnecting</status>
    <joining-method>dialed-out</joining-method>
    <joining-info><when>2013-12-12T10:01:03.691128+01:00</when></joining-info>
    <disconnection-method>booted</disconnection-method>
    <disconnection-info><reason>bad voice quality</reason><by>sip:mike@example.com</by></disconnection-info>
    <media id="1"><display-text>main audio</display-text><type>audio</type><src-id>432424</src-id><status>sendrecv</status></media>
    <call-info><sip><call-id>hsjh8980vhsb78</call-id><from-tag>vav738dvbs</from-tag><to-tag>8954jgjg8432</to-tag></sip></call-info>
   </endpoint>
  </user>
  <user entity="sip:alice@example.com" state="deleted"><display-text>ignored</display-text></user>
 </users>
 <sidebars-by-val state="partial"><entry entity="sips:conf233@example.com;grid=77" state="partial">
  <users><user entity="sip:bob@example.com"/></users></entry></sidebars-by-val>
</conference-info>"#;

fn texts(texts: &[&str]) -> Vec<Str> {
    texts.iter().copied().map(Str::from).collect()
}

#[test]
fn a_rich_document() {
    let info = parse(RICH).unwrap();
    assert_eq!((info.entity.as_str(), info.state, info.version), ("sips:conf233@example.com", State::Partial, 5));
    let description = info.description.unwrap();
    assert_eq!(description.display_text.as_deref(), Some("Weekly Sales Meeting"));
    assert_eq!(description.subject.as_deref(), Some("Agenda: This month's goals"));
    assert_eq!(description.free_text.as_deref(), Some("We will start strictly on time"));
    assert_eq!(description.maximum_user_count, Some(100));
    let uris: Vec<_> = description.conf_uris.iter().map(|e| (e.uri.as_str(), e.purpose.as_deref())).collect();
    let participation = Some("participation");
    assert_eq!(uris, [("tel:+18005671234", participation), ("h323:conf545@h323.example.com", participation)]);
    let state = ConferenceState { user_count: Some(32), active: Some(true), locked: Some(false) };
    assert_eq!(info.conference_state, Some(state));
    let users = info.users.unwrap();
    assert_eq!(users.state, State::Partial);
    let [bob, alice] = &users.users[..] else { panic!("{users:?}") };
    assert_eq!((bob.entity.as_str(), bob.state), ("sip:bob@example.com", State::Full));
    assert_eq!((bob.name(), bob.nickname.as_deref()), (Some("Bob Hoskins"), None));
    assert_eq!((&bob.aors, &bob.roles), (&texts(&["mailto:bob@example.com"]), &texts(&["participant", "speaker"])));
    let execution = |when: &str, reason: Option<&str>, by: Option<&str>| {
        let when = Timestamp::parse(when);
        Some(Box::new(Execution { when, reason: reason.map(Str::from), by: by.map(Str::from) }))
    };
    let mike = Some("sip:mike@example.com");
    let endpoint = Endpoint {
        entity: "sip:bob@pc33.example.com".into(),
        state: State::Full,
        display_text: Some("Bob's Laptop".into()),
        referred: execution("2005-03-04T20:00:00Z", Some("expert required"), mike),
        status: Some(Status::Disconnecting),
        joining_method: Some(Joining::DialedOut),
        joining_info: execution("2013-12-12T09:01:03.691128Z", None, None),
        disconnection_method: Some(Disconnection::Booted),
        disconnection_info: execution("", Some("bad voice quality"), mike),
        media: vec![Media { id: "1".into(), kind: Some("audio".into()), status: Some(Direction::SendRecv) }],
    };
    assert_eq!(bob.endpoints, [endpoint]);
    assert!(!bob.is_present());
    let (how, why) = bob.disconnection().unwrap();
    assert_eq!((how, why.unwrap().by.as_deref()), (Disconnection::Booted, mike));
    assert_eq!(*alice, User { entity: "sip:alice@example.com".into(), state: State::Deleted, ..User::default() });
}

/// RFC 7702 examples 9 and 32: no namespace, two URIs in one entry, `roles` before `associated-aors`.
#[test]
fn the_documents_of_rfc_7702() {
    let info = parse(
        r#"<conference-info version="0" state="full" entity="sip:capulet@rooms.example.com">
             <conference-description><subject>Today in Verona</subject>
               <conf-uris><entry><uri>tel:+18882934234</uri><uri>sip:capulet@rooms.example.com</uri></entry></conf-uris>
             </conference-description>
             <users><user entity="sip:capulet@rooms.example.com;gr=JuliC" state="full">
               <display-text>JuliC</display-text><roles><entry>participant</entry></roles>
               <associated-aors><entry><uri>xmpp:juliet@example.com/balcony</uri></entry></associated-aors>
               <endpoint entity="sip:capulet@rooms.example.com;gr=JuliC" state="full"><status>connected</status>
                 <media id="211835821"><type>message</type></media></endpoint>
             </user></users>
           </conference-info>"#,
    )
    .unwrap();
    assert_eq!((info.version, info.state), (0, State::Full));
    assert_eq!(info.description.unwrap().conf_uris[0].uri, "tel:+18882934234");
    let user = &info.users.unwrap().users[0];
    assert_eq!(user.aors, ["xmpp:juliet@example.com/balcony"]);
    assert!(user.is_present() && user.disconnection().is_none());
}

/// RFC 6501 has it in its namespace; many have not.
#[test]
fn nicknames() {
    let nickname = |attributes: &str| {
        let info =
            full(&format!("<users><user entity='sip:a' {attributes}><display-text>A</display-text></user></users>"));
        let user = info.users.unwrap().users.remove(0);
        (user.nickname.as_deref().map(str::to_owned), user.name().map(str::to_owned))
    };
    let (nick, a) = (Some("Nick".to_owned()), Some("A".to_owned()));
    assert_eq!(
        nickname(&format!("xmlns:x='{XCON_NS}' x:nickname='Nick' nickname='Other'")),
        (nick.clone(), nick.clone())
    );
    assert_eq!(nickname("nickname='Nick'"), (nick.clone(), nick));
    assert_eq!(nickname("xmlns:x='urn:other' x:nickname='Nick'"), (None, a.clone()));
    assert_eq!(nickname("nickname=''"), (None, a.clone()));
    assert_eq!(nickname(&format!("nickname='{}'", "x".repeat(1024))), (None, a));
}

#[test]
fn who_takes_part() {
    let present = |statuses: &[&str]| {
        let endpoints: String = statuses.iter().map(|s| format!("<endpoint><status>{s}</status></endpoint>")).collect();
        full(&format!("<users><user entity='sip:a'>{endpoints}</user></users>")).users.unwrap().users[0].is_present()
    };
    for here in ["connected", "on-hold", "muted-via-focus", "sleeping"] {
        assert!(present(&[here]), "{here}");
    }
    for gone in ["pending", "dialing-out", "dialing-in", "alerting", "disconnecting", "disconnected"] {
        assert!(!present(&[gone]), "{gone}");
        assert!(present(&[gone, "connected"]), "{gone}");
    }
    assert!(present(&[]));
}

#[test]
fn what_is_no_document() {
    for bad in [
        "".to_owned(),
        "conference".into(),
        "<presence xmlns='urn:ietf:params:xml:ns:pidf'/>".into(),
        "<conference-info xmlns='urn:other' entity='sip:a' version='1'/>".into(),
        "<!DOCTYPE x [<!ENTITY a 'b'>]><conference-info entity='sip:a' version='1'/>".into(),
        document("version='1'", ""),
        document("entity='' version='1'", ""),
        document("entity='sip:a'", ""),
        document("entity='sip:a' version='-1'", ""),
        document("entity='sip:a' version='4294967296'", ""),
        document("entity='sip:a' version='1' state='empty'", ""),
        document("entity='sip:a' version='1'", "<users state='x'/>"),
        document("entity='sip:a' version='1'", "<users><user entity='b' state='x'/></users>"),
        document("entity='sip:a' version='1'", "<users><user entity='b'><endpoint state=''/></user></users>"),
        document("entity='sip:a' version='1'", "<users>&b;</users>"),
    ] {
        assert!(matches!(parse(&bad), Err(Error::Malformed(_))), "{bad}: {:?}", parse(&bad));
    }
}

#[test]
fn what_is_too_much() {
    let users = |n: usize| {
        let users: String = (0..n).map(|n| format!("<user entity='sip:u{n}'/>")).collect();
        document("entity='sip:a' version='1'", &format!("<users>{users}</users>"))
    };
    assert_eq!(parse(&users(100)).unwrap().users.unwrap().users.len(), 100);
    assert_eq!(parse(&users(101)), Err(Error::TooBig { what: "users", limit: 100 }));
    let deep = document("entity='sip:a' version='1'", &format!("{}{}", "<x>".repeat(20_000), "</x>".repeat(20_000)));
    assert!(matches!(parse(&deep), Err(Error::TooBig { .. })));
    let wide = document("entity='sip:a' version='1'", &"<x/>".repeat(10_000));
    assert!(matches!(parse(&wide), Err(Error::TooBig { .. })));
    let huge = document("entity='sip:a' version='1'", &" ".repeat(10 << 20));
    assert_eq!(parse(&huge), Err(Error::TooBig { what: "bytes", limit: MAX_BYTES }));
    let attributes: String = (0..17).map(|n| format!("a{n}='' ")).collect();
    assert!(matches!(parse(&document(&attributes, "")), Err(Error::TooBig { .. })));
}

/// Bounded parts of one thing; what is beyond is passed over.
#[test]
fn what_is_beyond_is_passed_over() {
    let long = "x".repeat(MAX_KEY + 1);
    let entry = "<entry><uri>u</uri></entry>".repeat(20);
    let info = full(&format!(
        "<conference-description><subject>{}</subject><conf-uris>{entry}</conf-uris></conference-description>\
         <users><user/><user entity=''/><user entity='{long}'/><user entity='sip:a'>\
         <associated-aors>{entry}</associated-aors><roles>{entry}</roles>{}\
         <endpoint entity='{long}'/></user></users>",
        "й".repeat(3000),
        format!("<endpoint>{}<media/></endpoint>", "<media id='1'/>".repeat(20)).repeat(20),
    ));
    let description = info.description.unwrap();
    assert_eq!(description.subject.unwrap(), "й".repeat(2048));
    assert_eq!(description.conf_uris.len(), 16);
    let users = info.users.unwrap().users;
    let [user] = &users[..] else { panic!("{} users", users.len()) };
    assert_eq!((user.aors.len(), user.roles.len(), user.endpoints.len()), (16, 16, 16));
    assert!(user.endpoints.iter().all(|endpoint| endpoint.media.len() == 16));
}

/// What a full document must have (§5.2), it has; markup in names stays text.
#[test]
fn what_is_written() {
    let text = |info: &Info| String::from_utf8(info.to_document()).unwrap();
    let empty = Info { entity: "sip:room@example.com".into(), ..Info::default() };
    assert_eq!(
        text(&empty),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" \
         xmlns:xcon=\"urn:ietf:params:xml:ns:xcon-conference-info\" entity=\"sip:room@example.com\" state=\"full\" version=\"0\">\
         <conference-description></conference-description><users state=\"full\"></users></conference-info>"
    );
    let juliet = User {
        entity: "sip:room@example.com;gr=J&amp;".into(),
        nickname: Some("\"><user entity='x'/>".into()),
        display_text: Some("<b>&</b>\u{0}\u{8}".into()),
        roles: texts(&["participant"]),
        aors: texts(&["xmpp:juliet@example.com"]),
        endpoints: vec![Endpoint { entity: "e".into(), status: Some(Status::Connected), ..Endpoint::default() }],
        ..User::default()
    };
    let gone = User { entity: "sip:b".into(), state: State::Deleted, roles: texts(&["x"]), ..User::default() };
    let users = Users { state: State::Partial, users: vec![juliet.clone(), gone] };
    let info = Info { state: State::Partial, version: 7, users: Some(users), ..empty };
    let written = text(&info);
    assert!(written.contains("state=\"partial\" version=\"7\"><users state=\"partial\"><user entity"), "{written}");
    assert!(written.contains("<user entity=\"sip:b\" state=\"deleted\"/></users></conference-info>"), "{written}");
    let order =
        ["<display-text>", "<associated-aors>", "<roles>", "<endpoint "].map(|name| written.find(name).unwrap());
    assert!(order.is_sorted(), "{written}");
    let read = parse(&written).unwrap().users.unwrap().users;
    assert_eq!(read[0], User { display_text: Some("<b>&</b>\u{FFFD}\u{FFFD}".into()), ..juliet });
}

/// 10,000 people fit, and what they take is what they are.
#[test]
fn ten_thousand() {
    let user = |n: usize| User {
        entity: base::format_compact!("sip:room@example.com;gr=user{n}"),
        display_text: Some(base::format_compact!("user{n}")),
        nickname: Some(base::format_compact!("user{n}")),
        roles: texts(&["participant"]),
        endpoints: vec![Endpoint {
            entity: base::format_compact!("sip:room@example.com;gr=user{n}"),
            status: Some(Status::Connected),
            ..Endpoint::default()
        }],
        ..User::default()
    };
    let users = Users { state: State::Full, users: (0..10_000).map(user).collect() };
    let info = Info { entity: "sip:room@example.com".into(), version: 1, users: Some(users), ..Info::default() };
    let written = info.to_document();
    assert!((1 << 20..4 << 20).contains(&written.len()), "{} bytes", written.len());
    let read = Info::parse(&written, 10_000).unwrap();
    let mut conference = Conference::new(base::HashKey::new(1, 2), Bounds { users: 10_000, bytes: 8 << 20 });
    let changes = conference.apply(read).unwrap();
    assert_eq!((changes.users.len(), changes.passed_over, conference.len()), (10_000, 0, 10_000));
    assert!(conference.weight() < 6 << 20, "{} bytes", conference.weight());
}
