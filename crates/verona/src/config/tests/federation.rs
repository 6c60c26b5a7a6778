//! `[xmpp.federation]`.

use super::*;
use xmpp::stream::s2s::{Pattern, Policy, Rules};

const FEDERATED: &str = r#"
[xmpp.federation]
domains = ["example.net", "b.example.net"]
listen = ["tcp:127.0.0.20:5269", "tls:127.0.0.20:5270"]

[sip]
domains = ["*"]
listen = ["udp:127.0.0.1:5060"]
outbound_proxy = "sip:127.0.0.1:5080;lr"
"#;

#[test]
fn federation_alone_is_enough() {
    let loaded = parse("v.toml", FEDERATED, none()).unwrap();
    assert_eq!(loaded.warnings, []);
    let c = loaded.config;
    assert_eq!(c.sip_domains().collect::<Vec<_>>(), ["example.net", "b.example.net"]);
    assert_eq!((c.sip.domains.len(), c.sip.any_domain), (0, true));
    assert_eq!(c.sip.peers.entries[0].domains, ["example.net", "b.example.net"]);
    let federation = c.xmpp.federation.unwrap();
    let listen: Vec<String> = federation.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["tcp:127.0.0.20:5269", "tls:127.0.0.20:5270"]);
    assert_eq!((federation.rules, federation.chat), (Rules::default(), Mode::Message));
    assert_eq!(federation.settings, FederationSettings::default());
}

#[test]
fn it_stands_beside_components() {
    let text = format!("{GOOD}\n[xmpp.federation]\ndomains = [\"sip.example\"]\nlisten = [\"tcp:127.0.0.1:5269\"]\n");
    let c = good(&text);
    assert_eq!(c.sip_domains().collect::<Vec<_>>(), ["example.net", "sip.example"]);
    assert_eq!(c.xmpp.components[0].allow_from, Domains::These(vec!["example.com".into()]));
    // A component's own server may pass on what comes from anywhere, where SIP users may speak to anybody.
    let c = good(&text.replace("domains = [\"example.com\"]", "domains = [\"*\", \"example.com\"]"));
    assert_eq!(c.xmpp.components[0].allow_from, Domains::Any);
    assert_eq!((c.sip.domains, c.sip.any_domain), (vec!["example.com".to_owned()], true));
}

#[test]
fn policies() {
    let more = r#"
dialback = false
deny = ["spam.example", "*.spam.example"]
allow = ["*.example"]
[[xmpp.federation.domain]]
name = "old.example"
dialback = true
require_tls = false
[[xmpp.federation.domain]]
name = "*.bank.example"
require_certificate = true
"#;
    let c = good(&FEDERATED.replace("\n\n[sip]", &format!("{more}\n[sip]")));
    let rules = c.xmpp.federation.unwrap().rules;
    let pattern = |text| Pattern::parse(text).unwrap();
    let general = Policy { dialback: false, ..Policy::default() };
    let old = Policy { require_tls: false, ..Policy::default() };
    let bank = Policy { require_certificate: true, ..general };
    let expected = Rules {
        allow: vec![pattern("*.example")],
        deny: vec![pattern("spam.example"), pattern("*.spam.example")],
        policy: general,
        exceptions: vec![(pattern("old.example"), old), (pattern("*.bank.example"), bank)],
    };
    assert_eq!(rules, expected);
}

#[test]
fn each_mistake_is_named() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "domains = [\"example.net\", \"b.example.net\"]",
            "",
            &[
                "v.toml:2:1: xmpp.federation.domains: missing; allowed: the SIP domains that the gateway is the XMPP server of: \
               [\"example.net\"]",
            ],
        ),
        (
            "\"b.example.net\"",
            "\"example.net\"",
            &["v.toml:3:27: xmpp.federation.domains[1] = \"example.net\": the gateway stands for this domain already"],
        ),
        (
            "domains = [\"*\"]",
            "domains = [\"example.net\"]",
            &[
                "v.toml:3:12: xmpp.federation.domains[0] = \"example.net\": also an XMPP domain in sip.domains: messages would go \
               in a circle",
            ],
        ),
        (
            "\"tls:127.0.0.20:5270\"",
            "\"udp:127.0.0.20:5270\"",
            &[
                "v.toml:4:34: xmpp.federation.listen[1] = \"udp:127.0.0.20:5270\": a transport that servers do not speak; allowed: \
               \"tcp:ADDRESS:PORT\" or \"tls:ADDRESS:PORT\" with an IP address, such as \"tcp:192.0.2.1:5269\"",
            ],
        ),
        (
            "\"tls:127.0.0.20:5270\"",
            "\"tls:127.0.0.20:5269\"",
            &["v.toml:4:34: xmpp.federation.listen[1] = \"tls:127.0.0.20:5269\": the same socket twice"],
        ),
        (
            "listen = [\"tcp:127.0.0.20:5269\", \"tls:127.0.0.20:5270\"]",
            "",
            &[
                "v.toml:2:1: warning: xmpp.federation: no listen: other servers only answer, and do not get here by themselves",
            ],
        ),
        (
            "\n\n[sip]",
            "\nrequire_tls = false\nrequire_certificate = true\n[sip]",
            &[
                "v.toml:5:15: xmpp.federation.require_tls = false: certificates are shown over TLS alone, and one is required; \
               allowed: true",
            ],
        ),
        (
            "\n\n[sip]",
            "\nallow = [\"a@b\"]\n[sip]",
            &[
                "v.toml:5:10: xmpp.federation.allow[0] = \"a@b\": domainpart has U+0040, which it may not; allowed: a domain, \
               \"*.example.com\" for those below one, or \"*\" for any",
            ],
        ),
        (
            "\n\n[sip]",
            "\n[[xmpp.federation.domain]]\ndialback = false\n[sip]",
            &[
                "v.toml:5:1: xmpp.federation.domain[0].name: missing; allowed: the XMPP domain that this is about: \"example.com\", \
               \"*.example.com\"",
            ],
        ),
    ];
    for (old, new, expected) in cases {
        let text = FEDERATED.replace(old, new);
        assert_ne!(text, FEDERATED, "{old}");
        assert_eq!(said(&text, none()), *expected, "{new}");
    }
    // Only federation leads to everybody.
    let any = GOOD.replace("domains = [\"example.com\"]", "domains = [\"*\"]");
    assert_eq!(
        said(&any, none()),
        [
            "v.toml:8:12: sip.domains[0] = \"*\": only federated domains reach every XMPP domain; allowed: XMPP domains, or \
          [xmpp.federation] beside it"
        ]
    );
}

#[test]
fn a_reload_changes_all_but_who_we_are() {
    let old = good(FEDERATED);
    let plan = |text: &str| {
        let plan = ReloadPlan::between(&old, good(text));
        (plan.live.join(" "), plan.restart.join(" "))
    };
    let live = FEDERATED.replace("\n\n[sip]", "\ndialback = false\ndeny = [\"a.example\"]\nidle = \"5m\"\n[sip]");
    let keys = "xmpp.federation.deny xmpp.federation.dialback xmpp.federation.idle";
    assert_eq!(plan(&live), (keys.to_owned(), String::new()));
    let restart = FEDERATED.replace("5270", "5271").replace(", \"b.example.net\"", "");
    let (live, restart) = plan(&restart);
    assert_eq!((live.as_str(), restart.as_str()), ("sip.peer", "xmpp.federation.domains xmpp.federation.listen"));
}
