//! `[[numbers]]`.

use super::*;

#[test]
fn numbers_that_are_right() {
    let text = format!(
        "{GOOD}anonymous = true\n[[sip.peer]]\nsource = \"198.51.100.0/24\"\ndomains = [\"carrier.example\"]\ntrusted = true\n\
         [[numbers]]\nprefix = \"+49\"\nstrip = 3\nprepend = \"0\"\ntrunk = \"Carrier.example\"\ncaller = \"+4930123\"\n\
         [[numbers]]\n"
    );
    assert_eq!(said(&text, none()), [""; 0]);
    let c = good(&text);
    assert!(c.sip.anonymous && c.sip.peers.entries[0].trusted);
    let rule = |prefix: &str, strip, prepend: &str, other: [Option<&str>; 2]| NumberRule {
        domain: "example.net".into(),
        prefix: prefix.into(),
        strip,
        prepend: prepend.into(),
        trunk: other[0].map(str::to_owned),
        caller: other[1].map(str::to_owned),
    };
    let rules = [rule("+49", 3, "0", [Some("carrier.example"), Some("+4930123")]), rule("", 0, "", [None, None])];
    assert_eq!(c.numbers, rules);
    let nothing = good(GOOD);
    assert!(nothing.numbers.is_empty() && !nothing.sip.anonymous && !nothing.sip.peers.entries[0].trusted);
}

#[test]
fn mistakes_about_numbers() {
    let cases: [(&str, &[&str]); 5] = [
        (
            "[[numbers]]\nprefix = \"0049 30\"\nprepend = \"x\"\ncaller = \"1\"\ntrunk = \"a@b\"\n",
            &[
                "v.toml:12:10: numbers[0].prefix = \"0049 30\": not how a number begins; allowed: digits, perhaps behind a plus sign: \
                 \"+49\", \"0\"",
                "v.toml:13:11: numbers[0].prepend = \"x\": not how a number begins; allowed: digits, perhaps behind a plus sign: \"+49\", \
                 \"0\"",
                "v.toml:14:10: numbers[0].caller = \"1\": not a telephone number; allowed: digits, perhaps behind a plus sign: \"+49301234\"",
                "v.toml:15:9: numbers[0].trunk = \"a@b\": an address, not a domain; allowed: a domain name such as \"example.com\"",
            ],
        ),
        (
            "[[numbers]]\nprefix = \"+49\"\nstrip = 4\n",
            &[
                "v.toml:13:9: numbers[0].strip = 4: more than the prefix has; allowed: at most 3: what is stripped is part of the prefix",
            ],
        ),
        (
            "[[numbers]]\nprefix = \"+49\"\nprepend = \"0\"\ntrunk = \"example.com\"\ndomain = \"x.example\"\n",
            &[
                "v.toml:13:11: numbers[0].prepend = \"0\": a plus sign would stand in the middle of a number; allowed: strip = 1, or more",
                "v.toml:14:9: numbers[0].trunk = \"example.com\": an XMPP domain in sip.domains: calls would go in a circle; allowed: a SIP \
                 domain",
                "v.toml:15:10: numbers[0].domain = \"x.example\": no component stands for this domain; allowed: example.net",
            ],
        ),
        (
            "[[numbers]]\nprefix = \"1\"\n[[numbers]]\nprefix = \"1\"\n",
            &["v.toml:14:10: numbers[1].prefix = \"1\": two rules for the same numbers of one domain"],
        ),
        (
            "[[numbers]]\nprefix = \"+49\"\nstrip = 3\n[[numbers]]\nprefix = \"+43\"\nstrip = 3\n",
            &[
                "v.toml:14:1: warning: numbers[1]: an earlier rule writes its numbers in the same way: callers are taken for those of one \
                 of them",
            ],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(&format!("{GOOD}{text}"), none()), expected, "{text}");
    }
    let second = "[[xmpp.component]]\ndomain = \"second.example\"\nserver = \"127.0.0.1:5347\"\nsecret = \"s\"\n";
    assert_eq!(
        said(&format!("{GOOD}[[numbers]]\nprefix = \"+\"\n{second}"), none()),
        ["v.toml:11:1: numbers[0].domain: missing; allowed: example.net, second.example; or set sip.phone_domain"]
    );
    let c = good(&format!("{GOOD}phone_domain = \"second.example\"\n[[numbers]]\nprefix = \"+\"\n{second}"));
    assert_eq!(c.numbers[0].domain, "second.example");
}

#[test]
fn numbers_change_while_the_gateway_runs() {
    let old = good(GOOD);
    let new = good(&format!("{GOOD}anonymous = true\n[[numbers]]\nprefix = \"+49\"\n"));
    let plan = ReloadPlan::between(&old, new);
    assert_eq!((plan.live, plan.restart), (vec!["numbers".to_owned(), "sip.anonymous".to_owned()], vec![]));
}
