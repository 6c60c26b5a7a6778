//! `[[sip.trunk]]`.

use super::*;
use std::time::Duration;

const TRUNK: &str = "[[sip.trunk]]\nname = \"carrier\"\ndomains = [\"Carrier.example\"]\nserver = \"sip:sip.carrier.example;transport=tcp;lr\"\n";

#[test]
fn trunks_that_are_right() {
    let text = format!(
        "{GOOD}{TRUNK}numbers = [\"+49\", \"0\"]\nusername = \"4930123\"\npassword = \"secret\"\nrealm = \"carrier\"\nmd5 = false\n\
         registrar = \"carrier.example\"\nexpires = \"10m\"\nretry = \"5s\"\nuser = \"juliet@example.com\"\noutbound = true\n\
         sources = [\"192.0.2.0/24\"]\n{}",
        TRUNK.replace("carrier\"\n", "pbx\"\n") + "address = \"sip:verona@pbx.example\"\n"
    );
    assert_eq!(said(&text, none()), [""; 0]);
    let c = good(&text);
    let [first, second] = &c.sip.trunks[..] else { panic!("two trunks") };
    assert_eq!(
        (first.name.as_str(), &first.domains[..], &first.numbers[..]),
        ("carrier", &["carrier.example".to_owned()][..], &["+49".to_owned(), "0".to_owned()][..])
    );
    assert_eq!(first.address.to_string(), "sip:4930123@carrier.example");
    assert_eq!(
        (first.registrar.as_deref(), first.expires, first.retry),
        (Some("carrier.example"), Duration::from_secs(600), Duration::from_secs(5))
    );
    assert!(first.speaks && !first.md5 && first.outbound && first.user.is_some() && first.sources.len() == 1);
    assert!(!format!("{first:?}").contains("secret\""), "the password is not shown");
    assert_eq!((second.registrar.as_deref(), second.speaks, second.md5), (None, false, true));
    assert_eq!(second.address.to_string(), "sip:verona@pbx.example");
    assert!(good(GOOD).sip.trunks.is_empty());
}

#[test]
fn mistakes_about_trunks() {
    for (text, mistakes) in [
        (
            "[[sip.trunk]]\nname = \"x y\"\ndomains = [\"example.com\"]\nserver = \"sip:u@h.example\"\npassword = \"x\"\n",
            &["not a name", "an XMPP domain in sip.domains", "more than a place", "a password without a user"][..],
        ),
        ("[[sip.trunk]]\n", &["name: missing", "domains: missing", "server: missing"]),
        (TRUNK, &["address: missing"]),
        (&format!("{TRUNK}username = \"u\"\n"), &["password: missing"]),
        (
            &format!(
                "{TRUNK}address = \"sip:h.example\"\nfrom = \"me\"\nuser = \"x@elsewhere.example\"\nexpires = \"1s\"\n"
            ),
            &["not the address of a SIP user", "nobody", "nobody whom SIP users reach here", "expires"],
        ),
        (
            &format!("{}address = \"sip:u@h.example\"\n", TRUNK.replace("sip:sip", "sips:sip").replace("tcp", "udp")),
            &["a transport that does not fit"],
        ),
        (
            &format!("{TRUNK}address = \"sip:u@h.example\"\n{TRUNK}address = \"sip:u@h.example\"\n"),
            &["a second trunk of this name"],
        ),
    ] {
        let all = said(&format!("{GOOD}{text}"), none());
        for mistake in mistakes {
            assert!(all.iter().any(|said| said.contains(mistake)), "{mistake}: {all:#?}");
        }
    }
}

/// What nobody could send to would be a trunk that registers nowhere, and nobody would hear of it.
#[test]
fn a_trunk_is_reached_by_a_transport_that_is_listened_on() {
    let with = |listen: &str, server: &str| {
        let good = GOOD.replace("listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]", listen);
        let good = good.replace("outbound_proxy = \"sip:127.0.0.1:5080;transport=udp;lr\"\n", "");
        let trunk = TRUNK.replace("sip:sip.carrier.example;transport=tcp;lr", server);
        let text = format!("{good}{trunk}address = \"sip:u@carrier.example\"\nregister = true\n");
        said(&text, none()).into_iter().filter(|said| said.contains("is reached over")).collect::<Vec<_>>()
    };
    const TCP: &str = "listen = [\"tcp:127.0.0.1:5060\"]";
    const BOTH: &str = "listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]";
    for (listen, server, wanted) in [
        (TCP, "sip:sip.carrier.example", Some("udp")),
        (TCP, "sip:192.0.2.1", Some("udp")),
        (TCP, "sip:sip.carrier.example:5060;transport=udp", Some("udp")),
        (TCP, "sip:sip.carrier.example;transport=tcp", None),
        (BOTH, "sip:sip.carrier.example", None),
        (BOTH, "sip:sip.carrier.example;transport=tls", Some("tls")),
        (BOTH, "sips:sip.carrier.example", Some("tls")),
        (BOTH, "sip:sip.carrier.example;transport=wss", Some("wss")),
    ] {
        let said = with(listen, server);
        let wanted = wanted.map(|name| format!("is reached over {name}, but sip.listen has no {name} socket"));
        assert_eq!(said.len(), usize::from(wanted.is_some()), "{server}: {said:?}");
        for (said, wanted) in said.iter().zip(wanted) {
            assert!(said.contains("sip.trunk") && said.contains(".server") && said.contains(&wanted), "{said}");
        }
    }
}

#[test]
fn trunks_change_while_the_gateway_runs() {
    let trunk = format!("{TRUNK}username = \"u\"\npassword = \"one\"\n");
    let old = good(&format!("{GOOD}{trunk}"));
    let plan = ReloadPlan::between(&old, good(&format!("{GOOD}{}", trunk.replace("one", "two"))));
    assert_eq!(
        (plan.live, plan.restart),
        (vec!["sip.trunk(carrier)".to_owned()], vec![]),
        "another password is a change"
    );
    assert!(ReloadPlan::between(&old, good(GOOD)).applicable());
}
