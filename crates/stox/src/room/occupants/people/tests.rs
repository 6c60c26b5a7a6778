use super::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn nick(text: &str) -> Nickname {
    Nickname::parse(text).unwrap()
}

fn people() -> People {
    let mut people =
        People::new(HashKey::new(1, 2), jid("room@chat.example"), jid("juliet@example.com"), nick("JuliC"));
    let _ = people.call_me(nick("JuliC"), true);
    people
}

fn person(name: &str, address: &str) -> Person {
    let addresses: Vec<Jid> = jid_of(address).into_iter().collect();
    let (affiliation, role) = (Affiliation::None, Role::Participant);
    Person { nick: nick(name), certain: false, affiliation, role, jid: None, addresses }
}

fn here(name: &str, entity: &str) -> (Str, Says) {
    (entity.into(), Says::Here(person(name, entity)))
}

fn gone(entity: &str) -> (Str, Says) {
    (entity.into(), Says::Gone(Gone::default()))
}

fn told(news: &[News]) -> Vec<String> {
    news.iter()
        .map(|news| match news {
            News::There(person) => format!("+{}", person.nick),
            News::Renamed(old, person) => format!("{old}>{}", person.nick),
            News::Left(nick, _) => format!("-{nick}"),
            News::Me(old, person) => format!("me {old}>{}", person.nick),
            News::NotMe(_) => "not me".to_owned(),
        })
        .collect()
}

const ROMEO: &str = "sip:room@chat.example;gr=Romeo";
const BEN: &str = "sip:ben@example.net";
const ME: &str = "sip:room@chat.example;gr=JuliC";
const AOR: &str = "sip:juliet@example.com";

#[test]
fn the_user_is_told_of_last() {
    let mut people = people();
    let news = people.apply(vec![here("Romeo", ROMEO), here("JuliC", ME), here("Ben", BEN)]);
    assert_eq!(told(&news), ["+Romeo", "+Ben", "me JuliC>JuliC"]);
    assert_eq!(people.len(), 2);
    assert_eq!(people.apply(vec![here("Romeo", ROMEO), here("JuliC", ME)]), [], "nothing new");
    assert_eq!(told(&people.apply(vec![gone(BEN), gone(BEN), gone("sip:nobody@x")])), ["-Ben"]);
    assert_eq!(people.others().map(|p| p.nick.as_str()).collect::<Vec<_>>(), ["Romeo"]);
}

/// RFC 7702 names users by their nicknames: another nickname is another key.
#[test]
fn a_new_key_of_the_user_is_no_going() {
    let mut people = people();
    people.apply(vec![here("JuliC", ME)]);
    let _ = people.call_me(nick("Capulet"), true);
    let news = people.apply(vec![gone(ME), here("Capulet", "sip:room@chat.example;gr=Capulet")]);
    assert_eq!(told(&news), [""; 0]);
    assert_eq!(told(&people.apply(vec![gone("sip:room@chat.example;gr=Capulet")])), ["not me"]);
}

/// A document may have been written before the switch has granted the name.
#[test]
fn an_old_document_takes_no_name_back() {
    let mut people = people();
    people.apply(vec![here("JuliC", AOR)]);
    let _ = people.call_me(nick("Capulet"), true);
    assert_eq!(people.apply(vec![here("JuliC", AOR)]), []);
    assert_eq!(people.nick().as_str(), "Capulet");
    assert_eq!(people.apply(vec![here("Capulet", AOR)]), []);
    // The focus calls the user otherwise.
    let mut renamed = person("Girl", AOR);
    renamed.certain = true;
    assert_eq!(told(&people.apply(vec![(AOR.into(), Says::Here(renamed))])), ["me Capulet>Girl"]);
}

/// Where no nickname was granted the room's own name for the user holds.
#[test]
fn a_room_without_nicknames_names_the_user() {
    let mut people = people();
    let _ = people.call_me(nick("JuliC"), false);
    assert_eq!(told(&people.apply(vec![here("Romeo", ROMEO), here("Juliet", AOR)])), ["+Romeo", "me JuliC>Juliet"]);
}

#[test]
fn no_two_have_one_nickname() {
    let mut people = people();
    let news = people.apply(vec![
        here("Romeo", "sip:a@example.net"),
        here("ROMEO", "sip:b@example.net"),
        here("julic", "sip:c@example.net"),
        here("JuliC", AOR),
    ]);
    assert_eq!(told(&news), ["+Romeo", "+ROMEO (2)", "+julic (2)", "me JuliC>JuliC"]);
    // It stays as it was told, whoever goes.
    assert_eq!(told(&people.apply(vec![gone("sip:a@example.net"), here("ROMEO", "sip:b@example.net")])), ["-Romeo"]);
    assert_eq!(people.entity_of("ROMEO (2)").map(Str::as_str), Some("sip:b@example.net"));
    assert_eq!(people.entity_of("romeo (2)"), None, "exactly so");
    assert_eq!(people.entity_of("Romeo"), None);
    assert_eq!(people.entity_of("JuliC"), None, "nobody writes to oneself");
}

#[test]
fn others_change_their_names() {
    let mut people = people();
    people.apply(vec![here("Ben", BEN), here("JuliC", AOR)]);
    assert_eq!(told(&people.apply(vec![here("Benvolio", BEN)])), ["Ben>Benvolio"]);
    assert_eq!(people.entity_of("Ben"), None);
    assert_eq!(people.entity_of("Benvolio").map(Str::as_str), Some(BEN));
}

#[test]
fn who_speaks_is_known_by_any_address() {
    let mut people = people();
    let mut romeo = person("Romeo", ROMEO);
    romeo.addresses.push(jid("romeo@example.org/dr4"));
    romeo.addresses.push(jid("romeo@example.org"));
    people.apply(vec![(ROMEO.into(), Says::Here(romeo)), here("JuliC", AOR)]);
    for from in [
        ROMEO,
        "sip:ROOM@chat.example:5060;transport=tcp;gr=Romeo",
        "xmpp:romeo@example.org/dr4",
        "sip:romeo@example.org;gr=other",
    ] {
        assert_eq!(people.speaker(from).map(|p| p.nick.as_str()), Some("Romeo"), "{from}");
        assert!(!people.is_me(from));
    }
    for from in ["sip:room@chat.example;gr=Ben", "sip:room@chat.example", "sip:tybalt@example.org", "", "x"] {
        assert_eq!(people.speaker(from), None, "{from}");
    }
    assert!(people.is_me(AOR) && people.is_me("sip:juliet@example.com;gr=balcony"));
}

/// Who has several places in a room is in each of them under the nickname of that place.
#[test]
fn of_two_places_of_a_user_the_name_tells() {
    let mut people = people();
    let own = |name: &str| {
        let mut person = person(name, AOR);
        person.certain = true;
        (Str::from(format!("sip:room@chat.example;gr={name}")), Says::Here(person))
    };
    assert_eq!(told(&people.apply(vec![own("Chamber"), own("JuliC")])), ["+Chamber", "me JuliC>JuliC"]);
}

/// One goes and the user takes the name: a document that tells of both at once has the key of the one for the other.
#[test]
fn the_key_of_one_who_has_gone_is_the_users() {
    let mut people = people();
    let at = |name: &str| (Str::from(format!("sip:room@chat.example;gr={name}")), Says::Here(person(name, "")));
    assert_eq!(told(&people.apply(vec![at("Romeo"), at("JuliC")])), ["+Romeo", "me JuliC>JuliC"]);
    let moved = people.call_me(nick("Romeo"), true);
    assert_eq!(told(&moved.into_iter().collect::<Vec<_>>()), ["Romeo>Romeo (2)"]);
    let news = people.apply(vec![gone("sip:room@chat.example;gr=JuliC"), at("Romeo")]);
    assert_eq!(told(&news), ["-Romeo (2)"]);
    assert_eq!(people.others().count(), 0);
    assert_eq!(people.entity_of("Romeo"), None);
}

/// The old key may be somebody else's at once.
#[test]
fn the_former_key_of_the_user_is_somebody_elses() {
    let mut people = people();
    people.apply(vec![here("JuliC", ME)]);
    let _ = people.call_me(nick("Capulet"), true);
    assert_eq!(people.take_former(), None, "the room has not told yet");
    assert_eq!(told(&people.apply(vec![here("Ben", BEN)])), ["+Ben"]);
    assert_eq!(people.apply(vec![here("Capulet", "sip:room@chat.example;gr=Capulet")]), []);
    assert_eq!(people.take_former().as_deref(), Some(ME));
    assert_eq!(told(&people.apply(vec![here("JuliC", ME)])), ["+JuliC"]);
}

/// Who knows whether a switch that does not answer has done what it was asked for: the focus.
#[test]
fn a_name_that_nobody_has_confirmed() {
    let mut people = people();
    people.apply(vec![here("JuliC", ME)]);
    people.doubt(nick("Capulet"));
    let news = people.apply(vec![gone(ME), here("Capulet", "sip:room@chat.example;gr=Capulet")]);
    assert_eq!(told(&news), ["me JuliC>Capulet"]);
    assert_eq!(people.nick().as_str(), "Capulet");
}

/// Nobody becomes the user by a name: what that one said would be taken for the user's own words.
#[test]
fn a_stranger_is_not_the_user() {
    let mut people = people();
    let mut tybalt = person("JuliC", "sip:tybalt@example.org");
    tybalt.jid = Some(jid("tybalt@example.org"));
    let news = people.apply(vec![("sip:tybalt@example.org".into(), Says::Here(tybalt))]);
    assert_eq!(told(&news), ["+JuliC (2)"]);
    assert!(!people.is_me("sip:tybalt@example.org"));
}

/// Who has lost the name without our knowledge is not to be taken for the user.
#[test]
fn a_granted_name_is_nobody_elses() {
    let mut people = people();
    people.apply(vec![here("Ben", BEN), here("JuliC", AOR)]);
    let moved = people.call_me(nick("Ben"), true);
    assert_eq!(told(&moved.into_iter().collect::<Vec<_>>()), ["Ben>Ben (2)"]);
    assert_eq!(people.entity_of("Ben (2)").map(Str::as_str), Some(BEN));
    assert_eq!(told(&people.apply(vec![gone(BEN)])), ["-Ben (2)"]);
}

/// A document from before the change of the name, in a room that shows the addresses of all.
#[test]
fn an_old_document_of_a_room_that_shows_addresses() {
    let mut people = people();
    let own = |name: &str| {
        let mut person = person(name, AOR);
        person.certain = true;
        (Str::from(format!("sip:room@chat.example;gr={name}")), Says::Here(person))
    };
    people.apply(vec![own("Chamber"), own("JuliC")]);
    let _ = people.call_me(nick("Capulet"), true);
    people.apply(vec![own("Chamber"), own("JuliC")]);
    assert_eq!(people.nick().as_str(), "Capulet");
    people.apply(vec![gone("sip:room@chat.example;gr=JuliC"), own("Capulet"), own("Chamber")]);
    assert_eq!(people.others().map(|p| p.nick.as_str()).collect::<Vec<_>>(), ["Chamber"]);
    assert!(people.me().is_some() && people.nick().as_str() == "Capulet");
}
