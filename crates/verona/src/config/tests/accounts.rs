//! `[xmpp.accounts]`.

use super::*;
use std::path::PathBuf;

#[test]
fn accounts_that_are_right() {
    let off = good(GOOD).xmpp.accounts;
    assert!(!off.settings.enabled);
    assert_eq!((off.domains, off.registrar.as_str()), (vec!["example.com".to_owned()], "sip:{domain}"));
    assert_eq!(off.key_file, PathBuf::from("accounts.key"));

    let text = format!(
        "{GOOD}[xmpp.accounts]\nenabled = true\ndomains = [\"Example.com\", \"b.example\"]\nkey_file = \"/run/k\"\n\
         registrar = \"sip:{{domain}}:5070;transport=tcp\"\nexpires = \"2m\"\naccounts = 7\nattempts = 3\n"
    );
    let on = good(&text).xmpp.accounts;
    assert_eq!(on.domains, ["example.com", "b.example"]);
    assert_eq!((on.key_file, on.registrar.as_str()), (PathBuf::from("/run/k"), "sip:{domain}:5070;transport=tcp"));
    assert_eq!((on.settings.expires, on.settings.accounts, on.settings.attempts), (Duration::from_secs(120), 7, 3));
}

#[test]
fn mistakes_about_accounts() {
    let cases = [
        ("registrar = \"sip:romeo@example.net\"", "a registrar has no user"),
        ("registrar = \"tel:+49301234\"", "not a SIP URI"),
        ("registrar = \"{domain}\"", "not a SIP URI"),
        ("domains = []", "empty"),
        ("key_file = \"\"", "empty"),
        ("expires = \"1s\"", "expires"),
        ("attempts = 0", "attempts"),
    ];
    for (line, problem) in cases {
        let said = said(&format!("{GOOD}[xmpp.accounts]\nenabled = true\n{line}\n"), none());
        assert!(said.len() == 1 && said[0].contains("xmpp.accounts") && said[0].contains(problem), "{line}: {said:?}");
    }
}

/// The registrar is reached from a socket of ours, where no proxy and no trunk is in between.
#[test]
fn the_registrar_is_reached_by_a_transport_that_is_listened_on() {
    const PROXY: &str = "outbound_proxy = \"sip:127.0.0.1:5080;transport=udp;lr\"\n";
    let wrong = |good: &str, registrar: &str, rest: &str| {
        let text = format!("{good}[xmpp.accounts]\nenabled = true\nregistrar = \"{registrar}\"\n{rest}");
        said(&text, none()).iter().any(|said| said.contains("is reached over tls, but sip.listen has no tls socket"))
    };
    let alone = GOOD.replace(PROXY, "");
    assert!(wrong(&alone, "sip:{domain};transport=tls", "") && wrong(&alone, "sips:registrar.example", ""));
    assert!(!wrong(GOOD, "sip:{domain};transport=tls", ""), "the proxy is asked");
    assert!(!wrong(&alone, "sip:{domain}", "") && !wrong(&alone, "sip:registrar.example;transport=tcp", ""));
    let trunk = "[[sip.trunk]]\nname = \"a\"\ndomains = [\"registrar.example\"]\nserver = \"sip:h.example\"\naddress = \"sip:u@h.example\"\n";
    assert!(!wrong(&alone, "sips:registrar.example", trunk) && wrong(&alone, "sips:other.example", trunk));
}

#[test]
fn accounts_change_while_the_gateway_runs() {
    let with = |lines: &str| good(&format!("{GOOD}[xmpp.accounts]\n{lines}\n"));
    let plan = |before: &str, after: &str| {
        let plan = ReloadPlan::between(&with(before), with(after));
        (plan.live.join(" "), plan.restart.join(" "))
    };
    let live = plan("enabled = true", "enabled = true\ndomains = [\"b.example\"]\nattempts = 3");
    assert_eq!(live, ("xmpp.accounts.attempts xmpp.accounts.domains".to_owned(), String::new()));
    let restart = plan("enabled = true", "enabled = true\nkey_file = \"/run/k\"");
    assert_eq!(restart, (String::new(), "xmpp.accounts.key_file".to_owned()));
    assert_eq!(plan("", "enabled = true").1, "xmpp.accounts.enabled xmpp.accounts.key_file");
    // What is off is nobody's, whatever else is written.
    assert_eq!(plan("", "domains = [\"b.example\"]"), (String::new(), String::new()));
}
