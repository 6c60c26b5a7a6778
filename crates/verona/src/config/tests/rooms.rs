//! `[rooms]`.

use super::*;

const MSRP: &str = "[msrp]\nlisten = [\"tcp:127.0.0.1:2855\"]\n";

#[test]
fn rooms_that_are_right() {
    let text = format!(
        "{GOOD}{MSRP}[rooms]\nmuc_domains = [\"Example.com\"]\nsip_domains = [\"example.net\"]\nhistory = 0\ncreate = false\n\
         join = \"5s\"\n[[rooms.password]]\nroom = \"Den@example.com\"\npassword = \"s3same\"\n[limits]\nseats = 7\n"
    );
    let c = good(&text);
    assert_eq!(c.rooms.muc_domains, ["example.com"]);
    assert_eq!(c.rooms.sip_domains, ["example.net"]);
    assert_eq!((c.rooms.settings.history, c.rooms.settings.create), (0, false));
    assert_eq!(c.rooms.settings.join, Duration::from_secs(5));
    assert_eq!(c.limits.seats, 7);
    let [RoomPassword { room, password }] = c.rooms.passwords.as_slice() else { panic!("one password") };
    assert_eq!((room.to_string().as_str(), password.reveal()), ("den@example.com", "s3same"));
    assert!(!format!("{c:?}").contains("s3same"));
    let nothing = good(GOOD);
    assert_eq!(nothing.rooms, Rooms::default());
}

#[test]
fn mistakes_about_rooms() {
    let cases: [(&str, &[&str]); 5] = [
        (
            "[rooms]\nmuc_domains = [\"example.com\"]\n",
            &["v.toml:12:15: rooms.muc_domains: there are no rooms without msrp.listen; allowed: a socket for them: \
               msrp.listen = [\"tcp:127.0.0.1:2855\"]"],
        ),
        (
            "[msrp]\nlisten = [\"tcp:127.0.0.1:2855\"]\n[rooms]\nmuc_domains = [\"muc.example.com\", \"a b\"]\nsip_domains = [\"x.example\"]\n",
            &[
                "v.toml:14:16: rooms.muc_domains[0] = \"muc.example.com\": not one of sip.domains: SIP users do not reach it; allowed: \
                 example.com",
                "v.toml:14:35: rooms.muc_domains[1] = \"a b\": domainpart has U+0020, which it may not; allowed: \
                 a domain name such as \"example.com\"",
                "v.toml:15:16: rooms.sip_domains[0] = \"x.example\": no component stands for this domain; allowed: example.net",
            ],
        ),
        (
            "[rooms]\nhistory = 1001\ncreate = 1\njoins = \"1s\"\n",
            &[
                "v.toml:12:11: rooms.history = 1001: too large; allowed: a whole number from 0 to 1000",
                "v.toml:13:10: rooms.create = 1: a whole number is not what belongs here; allowed: true or false",
                "v.toml:14:9: rooms.joins = \"1s\": unknown key; did you mean join?; allowed: backlog, create, history, join, \
                 muc_domains, password, roster, seats_per_pair, sip_domains",
            ],
        ),
        (
            "[[rooms.password]]\nroom = \"den@example.com/x\"\npassword = 1\n[[rooms.password]]\nroom = \"example.com\"\n",
            &[
                "v.toml:12:8: rooms.password[0].room = \"den@example.com/x\": not the address of a room; allowed: the address of a room: \
                 \"garden@conference.example.com\"",
                "v.toml:13:12: rooms.password[0].password: a whole number is not what belongs here; allowed: a text in quotation marks",
                "v.toml:14:1: rooms.password[1].password: missing; allowed: password = \"...\", or password_file = \"PATH\"",
                "v.toml:15:8: rooms.password[1].room = \"example.com\": not the address of a room; allowed: the address of a room: \
                 \"garden@conference.example.com\"",
            ],
        ),
        (
            "[[rooms.password]]\nroom = \"den@example.com\"\npassword = \"a\"\n[[rooms.password]]\nroom = \"DEN@example.com\"\npassword = \"b\"\n",
            &["v.toml:15:8: rooms.password[1].room = \"DEN@example.com\": the same room twice"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(&format!("{GOOD}{text}"), none()), expected, "{text}");
    }
}

#[test]
fn rooms_change_while_the_gateway_runs() {
    let old = good(&format!("{GOOD}{MSRP}"));
    let new = good(&format!(
        "{GOOD}{MSRP}[rooms]\nmuc_domains = [\"example.com\"]\nhistory = 3\n[[rooms.password]]\nroom = \"den@example.com\"\npassword = \"a\"\n"
    ));
    let plan = ReloadPlan::between(&old, new.clone());
    assert_eq!(plan.live, ["rooms.history", "rooms.muc_domains", "rooms.password(den@example.com)"]);
    assert!(plan.applicable());
    let mut changed = new.clone();
    changed.limits.seats = 1;
    changed.rooms.passwords[0].password = Secret::new("b");
    let plan = ReloadPlan::between(&new, changed);
    assert_eq!(
        (plan.live.as_slice(), plan.restart.as_slice()),
        (&["rooms.password(den@example.com)".to_owned()][..], &["limits.seats".to_owned()][..])
    );
}
