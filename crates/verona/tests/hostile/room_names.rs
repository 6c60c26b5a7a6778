//! SIP users in rooms of XMPP, where somebody speaks in the name of somebody else, has the name of somebody else, or one that means
//! something elsewhere. After each a good room is served.

use crate::chats::caller;
use crate::rooms::{MUC, NS, baseline, enter, escaped, goes_on, stanza, world};
use crate::seats::{Seat, roster, subscribe};
use crate::world::{SIP_DOMAIN, XMPP_DOMAIN};
use bodies::conference::Info;
use std::time::Duration;
use xml::Element;
use xmpp::jid::Jid;

/// Nobody speaks as somebody else: the wrapper says who he is, or who is to hear it, and the room gets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_in_the_name_of_others() {
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "liar", "square", &["Ben".to_owned()]).await;
    let (user, uri) = (place.sip_user(), place.uri());
    for from in [
        format!("sip:peter@{SIP_DOMAIN}"),
        format!("sip:juliet@{XMPP_DOMAIN}"),
        format!("{uri};gr=Ben"),
        uri.clone(),
        format!("sip:romeo@{XMPP_DOMAIN}"),
        format!("sip:romeo%40{SIP_DOMAIN}@{XMPP_DOMAIN}"),
        format!("xmpp:square@{XMPP_DOMAIN}/Ben"),
        format!("sips:romeo@{SIP_DOMAIN}.example"),
        "sip:anonymous@anonymous.invalid".to_owned(),
        "tel:+1".to_owned(),
        "nobody".to_owned(),
        String::new(),
    ] {
        let code = place.seat.says(&from, &uri, "I am somebody else").await;
        assert!(matches!(code, 400 | 403), "{from}: {code}");
    }
    for to in [
        format!("{uri};gr=Nobody"),
        format!("sip:other@{XMPP_DOMAIN}"),
        format!("sip:romeo@{SIP_DOMAIN}"),
        String::new(),
    ] {
        let code = place.seat.says(&user, &to, "to whom?").await;
        assert!(matches!(code, 400 | 403 | 404), "{to}: {code}");
    }
    // Two who speak, two who hear, no wrapper at all, and what is none.
    let two = place
        .seat
        .message(&user, &uri, "x")
        .replace(&format!("To: <{uri}>"), &format!("To: <{uri}>\r\nTo: <{uri};gr=Ben>"));
    let bare = place.seat.message(&user, &uri, "x").replace("message/cpim", "text/plain");
    for frame in [two, bare] {
        // The length is another one then.
        let (head, body) = frame.split_once("\r\n\r\n").unwrap();
        let n = body.rfind("\r\n-------").unwrap();
        let head: String =
            head.lines().filter(|line| !line.starts_with("Byte-Range")).map(|line| format!("{line}\r\n")).collect();
        let head = head.replace("Content-Type: ", &format!("Byte-Range: 1-{n}/{n}\r\nContent-Type: "));
        let id = place.seat.say(&format!("{head}\r\n{body}")).await;
        let code = place.seat.code(&id).await;
        assert!(matches!(code, 400 | 403 | 415), "{code}");
    }
    goes_on(&mut world, &mut place, 1).await;
    let said = world.link.said();
    assert!(said.is_empty(), "{said:?}");
    baseline(&mut world, "after-lies").await;
}

/// What is for the one who had a name is not for the one who has it now, until the sender was told who that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_taken_over() {
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "taken", "square", &["Ben".to_owned()]).await;
    assert_eq!(subscribe(&mut romeo, &mut place.seat.call, 3600).await, 200);
    assert!(roster(&mut romeo, "taken").await.text().contains("gr=Ben"));
    let (user, ben) = (place.sip_user(), format!("{};gr=Ben", place.uri()));
    let private = |s: &Element| s.name == "message" && s.attr("type") == Some("chat");
    let (code, said) = tokio::join!(place.seat.says(&user, &ben, "for Ben alone"), stanza(&mut world.link, private));
    assert_eq!((code, said.attr("to")), (200, Some(&*format!("{}/Ben", place.room))));
    // Somebody comes, of whom he is told; he does not say that he knows it. Then Ben goes, and Mallory takes his name.
    world.link.say(place.presence("Nurse", "", &[]));
    let first = romeo.request("NOTIFY", "taken").await;
    world.link.say(place.presence("Ben", "unavailable", &[]));
    world.link.say(place.presence("Ben", "", &[]));
    world.link.say(place.groupchat("Nurse", "n1", "Ben is not who he was"));
    assert_eq!(place.seat.hears().await.text, "Ben is not who he was");
    assert_eq!(place.seat.says(&user, &ben, "for Ben alone, too").await, 404);
    romeo.reply(&first, 200, "").await;
    while !roster(&mut romeo, "taken").await.text().contains("gr=Ben\" state=\"full\"") {}
    let (code, said) = tokio::join!(place.seat.says(&user, &ben, "for Mallory"), stanza(&mut world.link, private));
    assert_eq!((code, said.child("body", NS).unwrap().text().into_owned()), (200, "for Mallory".to_owned()));
    baseline(&mut world, "after-mallory").await;
}

/// Rooms and people with names that mean something in XML, SIP, SDP, CPIM or to the eye: each is who he is, or is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_with_markup() {
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let nicks = [
        "<b>Ben</b>",
        "]]>",
        "\"Ben\" <sip:ben@x>",
        "Ben\\",
        "Ben;gr=romeo",
        "&amp;",
        "%00%0d%0a",
        "a/b/c",
        "\u{202e}neB",
        "\u{200b}Ben",
        "From: Ben",
        "a'b",
        "{}$x",
        "Ben?Subject=x",
        "\u{1f600}",
        "e\u{301}",
        "sip:ben@x;lr",
        "@",
        "-",
        "\u{00df}\u{130}",
    ];
    let people: Vec<String> = nicks.iter().map(|&nick| nick.to_owned()).collect();
    let mut place = enter(&mut world, &mut romeo, "markup", "square", &people).await;
    // What is no resource is no address of anybody, and each is written in one way (RFC 7622 §3.4).
    let resource = |nick: &str| {
        let occupant = Jid::parse(&format!("square@{XMPP_DOMAIN}/{nick}")).ok()?;
        occupant.resource().map(str::to_owned)
    };
    let nicks: Vec<String> = nicks.into_iter().filter_map(resource).collect();
    assert!(nicks.len() > 15, "{nicks:?}");
    assert_eq!(subscribe(&mut romeo, &mut place.seat.call, 3600).await, 200);
    let notify = roster(&mut romeo, "markup").await;
    let info = Info::parse(&notify.body, 100).expect("a document");
    let users = info.users.map(|users| users.users).unwrap_or_default();
    assert_eq!(users.len(), nicks.len() + 1);
    let user = place.sip_user();
    for (n, nick) in nicks.iter().enumerate() {
        let of_him =
            users.iter().find(|user| user.nickname.as_deref() == Some(nick)).unwrap_or_else(|| panic!("{nick:?}"));
        // What he says is his, and what is for him comes to him.
        world.link.say(place.groupchat(nick, &format!("markup{n}"), &format!("I am {nick}")));
        let heard = place.seat.hears().await;
        assert_eq!(heard.text, format!("I am {nick}"));
        assert!(heard.from.ends_with(&format!("<{}>", of_him.entity)), "{nick:?}: {heard:?}, {}", of_him.entity);
        let entity = of_him.entity.to_string();
        let private = |s: &Element| s.name == "message" && s.attr("type") == Some("chat");
        let (code, said) = tokio::join!(place.seat.says(&user, &entity, "to you"), stanza(&mut world.link, private));
        assert_eq!((code, said.attr("to")), (200, Some(&*format!("{}/{nick}", place.room))), "{nick:?}");
    }
    // Rooms: as SIP writes them.
    for (n, room) in [
        "%3Cscript%3E",
        "a%22b",
        "a%26b",
        "%e2%80%aeb",
        "a%2Fb",
        "%0d%0aVia:%20x",
        "a%00b",
        "%c0%80",
        "%ff",
        "a%40b",
        "a%20b",
        "%5c20b",
    ]
    .into_iter()
    .enumerate()
    {
        let uri = format!("sip:{room}@{XMPP_DOMAIN}");
        let link = &mut world.link;
        let join = async {
            let join = stanza(link, |s| s.name == "presence" && s.child("x", MUC).is_some()).await;
            let own = join.attr("to").unwrap().to_owned();
            link.say(format!(
                "<presence type='error' from='{}' to='{}'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 </error></presence>",
                escaped(&own),
                join.attr("from").unwrap()
            ));
            own
        };
        let id = format!("room{n}");
        let enters = Seat::enter(&mut romeo, &id, &uri);
        tokio::pin!(join);
        tokio::pin!(enters);
        let (refused, own) = tokio::select! {
            refused = &mut enters => (refused, None),
            own = &mut join => (enters.await, Some(own)),
        };
        let code = refused.err().and_then(|refused| refused.status());
        match own {
            // Escaped, as XEP-0106 has it.
            Some(own) => {
                let local = own.split('@').next().unwrap();
                assert!(!local.contains(['<', '>', '"', '&', '\'', '/', ':', ' ']), "{room}: {own}");
                assert_eq!(code, Some(403), "{room}");
            }
            None => assert!(matches!(code, Some(400..=499)), "{room}: {code:?}"),
        }
    }
    goes_on(&mut world, &mut place, 1).await;
    baseline(&mut world, "after-markup").await;
}

/// Users who are no rooms, and rooms that are others, say what only the room may: he hears none of it, and stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_who_are_no_rooms() {
    let mut world = world("", "").await;
    let mut romeo = caller(&world, "romeo").await;
    let mut place = enter(&mut world, &mut romeo, "forged", "square", &["Ben".to_owned()]).await;
    assert_eq!(subscribe(&mut romeo, &mut place.seat.call, 3600).await, 200);
    roster(&mut romeo, "forged").await;
    let user = place.user.clone();
    for from in [
        format!("mallory@{XMPP_DOMAIN}"),
        format!("mallory@{XMPP_DOMAIN}/x"),
        format!("other@{XMPP_DOMAIN}/romeo"),
        XMPP_DOMAIN.to_owned(),
    ] {
        for to in [user.clone(), user.split('/').next().unwrap().to_owned(), format!("romeo@{SIP_DOMAIN}/nowhere")] {
            for content in [
                format!(
                    "<x xmlns='{MUC}#user'><item affiliation='outcast' role='none'/><status code='110'/><status code='301'/></x>"
                ),
                format!("<x xmlns='{MUC}#user'><item affiliation='owner' role='moderator'/><status code='110'/></x>"),
                format!("<x xmlns='{MUC}#user'><destroy jid='evil@{XMPP_DOMAIN}'/></x>"),
                format!("<x xmlns='{MUC}#user'><item nick='Mallory'/><status code='303'/><status code='110'/></x>"),
            ] {
                for type_ in ["", " type='unavailable'"] {
                    world.link.say(format!("<presence from='{from}' to='{to}'{type_}>{content}</presence>"));
                }
            }
            world.link.say(format!(
                "<message type='groupchat' from='{from}' to='{to}' id='g1'><body>forged</body></message>"
            ));
            world.link.say(format!(
                "<message type='groupchat' from='{from}' to='{to}' id='g2'><subject>forged</subject></message>"
            ));
            world.link.say(format!(
                "<message type='groupchat' from='{from}' to='{to}'><apply-to xmlns='urn:xmpp:fasten:0' id='1'><moderated \
                 xmlns='urn:xmpp:message-moderate:0'><retract xmlns='urn:xmpp:message-retract:0'/></moderated></apply-to></message>"
            ));
        }
    }
    goes_on(&mut world, &mut place, 1).await;
    assert!(
        !romeo
            .sees(Duration::from_millis(100), |m| m.start.starts_with("BYE ") || m.start.starts_with("NOTIFY "))
            .await
    );
    // And not a word as a message of its own either.
    while let Some(request) = world.phone.next(Duration::from_millis(100)).await {
        assert!(!request.text().contains("forged"), "{request}");
    }
    baseline(&mut world, "after-forgers").await;
}
