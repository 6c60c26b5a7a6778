use super::super::tests::over_the_wire;
use super::*;
use crate::ext::element;
use crate::jid::Jid;
use xml::Element;

fn jid(text: &str) -> Option<Jid> {
    Some(Jid::parse(text).expect("an address"))
}

fn parse(text: &str) -> Element {
    Element::parse(text.as_bytes(), &xml::Limits::default()).expect("well-formed")
}

#[test]
fn names() {
    for a in Affiliation::ALL {
        assert_eq!(Affiliation::from_name(a.name()), Some(a));
    }
    for r in Role::ALL {
        assert_eq!(Role::from_name(r.name()), Some(r));
    }
    assert_eq!((Affiliation::from_name("boss"), Role::from_name("owner")), (None, None));
    assert!(Affiliation::Owner > Affiliation::Admin && Affiliation::None > Affiliation::Outcast);
    assert!(Role::Moderator > Role::Participant && Role::Visitor > Role::None);
}

#[test]
fn joins() {
    let full = Join {
        password: Some("cauldron&burn".into()),
        history: Some(History {
            maxchars: Some(65000),
            maxstanzas: Some(20),
            seconds: Some(180),
            since: Some("1970-01-01T00:00:00Z".into()),
        }),
    };
    let none = Join { history: Some(History::NONE), ..Join::default() };
    for join in [Join::default(), full, none, Join { history: Some(History::stanzas(7)), password: None }] {
        let e = over_the_wire(&join.to_element());
        assert_eq!(Join::parse(&e).as_ref(), Some(&join));
        let presence = Stanza::presence().with_child(element("show", ns::CLIENT)).with_child(e);
        assert_eq!(Join::of(&presence).as_ref(), Some(&join));
        assert_eq!(Join::of(&presence.clone().with_type("unavailable")), None);
        assert_eq!(Join::of(&Stanza { kind: Kind::Message, ..presence }), None);
    }
    let odd =
        "<x xmlns='http://jabber.org/protocol/muc'><history maxchars='-1' maxstanzas='x' seconds='99999999999'/></x>";
    assert_eq!(Join::parse(&parse(odd)), Some(Join { password: None, history: Some(History::default()) }));
    assert_eq!(Join::parse(&element("x", ns::MUC_USER)), None);
    assert_eq!(Join::of(&Stanza::presence()), None);
}

#[test]
fn what_rooms_say() {
    let full = User {
        items: vec![
            Item {
                affiliation: Some(Affiliation::Admin),
                role: Some(Role::Moderator),
                jid: jid("crone1@shakespeare.lit/desktop"),
                nick: Some("oldhag".into()),
                actor: Some(Actor { jid: jid("fluellen@shakespeare.lit"), nick: Some("Fluellen".into()) }),
                reason: Some("Avaunt, you <cullion>!".into()),
                continues: Some(Continue { thread: Some("e0ff".into()) }),
            },
            Item::default(),
        ],
        statuses: vec![110, 301],
        invites: vec![
            Invite {
                from: jid("crone1@shakespeare.lit/desktop"),
                to: jid("hecate@shakespeare.lit"),
                reason: Some("Hey".into()),
                continues: Some(Continue::default()),
            },
            Invite::default(),
        ],
        decline: Some(Decline {
            from: jid("hecate@shakespeare.lit"),
            to: jid("crone1@shakespeare.lit"),
            reason: Some("Sorry".into()),
        }),
        destroy: Some(Destroy {
            jid: jid("coven@chat.shakespeare.lit"),
            reason: Some("Macbeth doth come.".into()),
            password: Some("secret".into()),
        }),
        password: Some("cauldronburn".into()),
    };
    let joined = User::of_item(Item::new(Affiliation::None, Role::Participant)).with_status(110);
    assert!(joined.has(status::SELF_PRESENCE) && !joined.has(status::CREATED));
    assert_eq!(joined.item().and_then(|i| i.role), Some(Role::Participant));
    for user in [User::default(), full, joined] {
        let e = over_the_wire(&user.to_element());
        assert_eq!(User::parse(&e).as_ref(), Some(&user));
        assert_eq!(User::of(&Stanza::message().with_child(element("x", ns::MUC)).with_child(e)), Some(user));
    }
    assert_eq!(User::parse(&element("x", ns::MUC)), None);
}

#[test]
fn what_is_unknown_is_left_out() {
    let text = "<x xmlns='http://jabber.org/protocol/muc#user'><status code='-7'/><status/><status code='99999'/><new/>text\
                <item affiliation='boss' role='' jid='@'><reason> </reason><x xmlns='urn:x'/></item><status code='110'/>\
                <item xmlns='urn:x' role='visitor'/></x>";
    let user = User { items: vec![Item::default()], statuses: vec![110], ..User::default() };
    assert_eq!(User::parse(&parse(text)), Some(user));
}

#[test]
fn lists_end() {
    let many = |name, ns| (0..MAX_ITEMS + 1).fold(element("x", ns), |e, _| e.with_child(element(name, ns)));
    let user = User::parse(&many("item", ns::MUC_USER)).expect("what a room says");
    assert_eq!(user.items.len(), MAX_ITEMS);
    assert_eq!(User::parse(&many("invite", ns::MUC_USER)).map(|u| u.invites.len()), Some(MAX_ITEMS));
    let mut query = many("item", ns::MUC_ADMIN);
    query.name = "query".into();
    assert_eq!(Admin::parse(&query), None);
    query.children.pop();
    assert_eq!(Admin::parse(&query).map(|a| a.items.len()), Some(MAX_ITEMS));
}

#[test]
fn queries() {
    let kick =
        Item { nick: Some("pistol".into()), role: Some(Role::None), reason: Some("Avaunt".into()), ..Item::default() };
    let ban = Item {
        jid: jid("earlofcambridge@shakespeare.lit"),
        affiliation: Some(Affiliation::Outcast),
        ..Item::default()
    };
    for admin in [Admin::default(), Admin { items: vec![kick, ban] }] {
        assert_eq!(Admin::parse(&over_the_wire(&admin.to_element())), Some(admin));
    }
    assert_eq!(Admin::parse(&element("query", ns::MUC_OWNER)), None);
    let destroy = Destroy { jid: jid("coven@chat.shakespeare.lit"), reason: Some("x".into()), password: None };
    for owner in [Owner::Ask, Owner::instant(), Owner::Destroy(destroy), Owner::Destroy(Destroy::default())] {
        assert_eq!(Owner::parse(&over_the_wire(&owner.to_element())), Some(owner));
    }
    assert_eq!(Owner::parse(&element("query", ns::MUC_ADMIN)), None);
}

#[test]
fn subjects() {
    let own = |name, text| element(name, ns::CLIENT).with_text(text);
    let message = Stanza::message().with_type("groupchat").with_child(own("subject", "Fire Burn"));
    assert_eq!(subject(&message).as_deref(), Some("Fire Burn"));
    let none = Stanza::message().with_type("groupchat").with_child(own("subject", ""));
    assert_eq!(subject(&none).as_deref(), Some(""));
    // §8.1: with a body or a thread it is a message that has a subject.
    assert_eq!(subject(&message.clone().with_child(own("body", ""))), None);
    assert_eq!(subject(&message.clone().with_child(own("thread", "x"))), None);
    assert_eq!(subject(&message.clone().with_type("normal")), None);
    assert_eq!(subject(&Stanza { kind: Kind::Presence, ..message.clone() }), None);
    assert_eq!(subject(&Stanza::message().with_type("groupchat")), None);
    assert!(is_groupchat(&message) && !is_groupchat(&Stanza::message()));
}
