//! Each mistake with its exact message; the environment; what a reload takes over.

use super::*;
use std::time::Duration;

mod accounts;
mod example;
mod federation;
mod media;
mod numbers;
mod rooms;
mod sessions;
mod trunk;

const GOOD: &str = r#"
[[xmpp.component]]
domain = "example.net"
server = "127.0.0.1:5347"
secret = "s3cret"

[sip]
domains = ["example.com"]
listen = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
outbound_proxy = "sip:127.0.0.1:5080;transport=udp;lr"
"#;

fn none() -> Environment {
    Environment::default()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
}

fn good(text: &str) -> Config {
    match parse("v.toml", text, none()) {
        Ok(loaded) => loaded.config,
        Err(e) => panic!("{e}"),
    }
}

/// All that is said about a text, one mistake in each line, whether it stops the gateway or not.
fn said(text: &str, environment: Environment) -> Vec<String> {
    let mistakes = match parse("v.toml", text, environment) {
        Ok(loaded) => loaded.warnings,
        Err(AllMistakes(mistakes)) => mistakes,
    };
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn the_smallest_file_has_defaults_for_everything_else() {
    let loaded = parse("v.toml", GOOD, none()).unwrap();
    assert_eq!(loaded.warnings, []);
    let c = loaded.config;
    let component = &c.xmpp.components[0];
    assert_eq!(component.domain, "example.net");
    assert_eq!(component.server.to_string(), "127.0.0.1:5347");
    assert_eq!(component.secret.reveal(), "s3cret");
    assert_eq!(component.allow_from, Domains::These(vec!["example.com".into()]));
    assert_eq!(c.xmpp.times.barrier_timeout, Duration::from_secs(2));
    assert_eq!(c.sip.domains, ["example.com"]);
    assert_eq!(
        c.sip.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
    );
    assert_eq!(c.sip.listen[0].advertise.to_string(), "127.0.0.1:5060");
    let proxy = c.sip.outbound_proxy.unwrap();
    assert_eq!(proxy.uri, "sip:127.0.0.1:5080;transport=udp;lr");
    assert_eq!(
        (proxy.host.to_string(), proxy.port, proxy.transport, proxy.lr),
        ("127.0.0.1".into(), 5080, Transport::Udp, true)
    );
    let sources: Vec<String> = c.sip.peers.entries.iter().filter_map(|p| p.source).map(|s| s.to_string()).collect();
    assert_eq!(sources, ["127.0.0.0/8", "::1/128"]);
    assert_eq!(c.sip.peers.entries[0].domains, ["example.net"]);
    assert_eq!(c.security.allow_networks, []);
    assert_eq!(c.store.url.to_string(), "redb:verona.redb");
    assert_eq!((c.sip.contact, c.sip.publish), (ContactHost::Address, false));
    assert_eq!(c.presence, PresenceConfig::default());
    assert_eq!(
        (c.chat.mode, component.chat, &c.chat.settings),
        (Mode::Message, Mode::Message, &ChatSettings::default())
    );
    assert_eq!((&c.msrp.listen[..], c.msrp.settings.max_size, &c.msrp.relay), (&[][..], 65_536, &None));
    assert_eq!((&c.tls.certificates[..], &c.tls.trust[..]), (&[][..], &[Trust::System][..]));
    assert_eq!(c.admin.listen, None);
    assert_eq!((c.log.level.as_str(), c.log.format), ("info", LogFormat::Text));
    assert_eq!(c.limits, Limits::default());
}

#[test]
fn the_secret_is_never_printed() {
    assert!(!format!("{:?}", good(GOOD)).contains("s3cret"));
    for text in [GOOD.replace("\"s3cret\"", "[\"s3cret\"]"), GOOD.replace("\"s3cret\"", "\"s3cret\\nmore\"")] {
        assert!(!said(&text, none()).is_empty());
        assert!(!said(&text, none()).join("\n").contains("s3cret"), "{:?}", said(&text, none()));
    }
}

/// A line of [`GOOD`], what stands there instead, and everything that is said.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    // Syntax: the file is not looked at further.
    ("[sip]", "[sip", &["v.toml:7:5: not TOML: unclosed table, expected `]`"]),
    ("secret = \"s3cret\"", "secret = \"a\"\nsecret = \"b\"", &["v.toml:6:1: not TOML: duplicate key"]),
    // Unknown keys.
    (
        "outbound_proxy",
        "outbond_proxy",
        &[
            "v.toml:7:1: warning: sip.outbound_proxy: missing: requests to SIP go where the name servers say (RFC 3263)",
            "v.toml:10:17: sip.outbond_proxy = \"sip:127.0.0.1:5080;transport=udp;lr\": unknown key; did you mean \
             outbound_proxy?; allowed: advertise, anonymous, contact, domains, keep_alive, listen, origins, outbound_proxy, peer, phone_domain, \
             publish, registrar, t1, trunk",
        ],
    ),
    ("[sip]", "[tls]\nkey = 1\n[sip]", &["v.toml:8:7: tls.key = 1: unknown key; allowed: acme, certificates, trust"]),
    (
        "secret = \"s3cret\"",
        "secret = \"s3cret\"\n\"a.b\" = 1",
        &[
            "v.toml:6:9: xmpp.component[0].\"a.b\" = 1: unknown key; allowed: allow_from, chat, domain, secret, secret_file, server",
        ],
    ),
    // Missing keys.
    (
        "secret = \"s3cret\"",
        "",
        &["v.toml:2:1: xmpp.component[0].secret: missing; allowed: secret = \"...\", or secret_file = \"PATH\""],
    ),
    (
        "domains = [\"example.com\"]",
        "",
        &["v.toml:7:1: sip.domains: missing; allowed: the XMPP domains that SIP users reach here: [\"example.com\"]"],
    ),
    (
        "listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]",
        "listen = []",
        &["v.toml:9:10: sip.listen: missing; allowed: at least one socket: [\"udp:127.0.0.1:5060\", \
             \"tls:127.0.0.1:5061\"]"],
    ),
    // Types.
    (
        "domains = [\"example.com\"]",
        "domains = \"example.com\"",
        &["v.toml:8:11: sip.domains = \"example.com\": a text is not what belongs here; allowed: a list of texts: \
             [\"...\", \"...\"]"],
    ),
    (
        "secret = \"s3cret\"",
        "secret = 12345",
        &["v.toml:5:10: xmpp.component[0].secret: a whole number is not what belongs here; allowed: a text in \
             quotation marks"],
    ),
    (
        "[[xmpp.component]]",
        "[xmpp.component]",
        &[
            "v.toml:2:1: xmpp.component: a table is not what belongs here; allowed: a list of tables: [[xmpp.component]]",
        ],
    ),
    // Values.
    (
        "domain = \"example.net\"",
        "domain = \"user@example.net\"",
        &["v.toml:3:10: xmpp.component[0].domain = \"user@example.net\": an address, not a domain; allowed: a domain \
             name such as \"example.com\""],
    ),
    (
        "server = \"127.0.0.1:5347\"",
        "server = \"127.0.0.1\"",
        &["v.toml:4:10: xmpp.component[0].server = \"127.0.0.1\": no port; allowed: \"HOST:PORT\", such as \
             \"127.0.0.1:5347\""],
    ),
    (
        "server = \"127.0.0.1:5347\"",
        "server = \"192.0.2.9:5347\"",
        &[
            "v.toml:4:10: warning: xmpp.component[0].server = \"192.0.2.9:5347\": not a loopback address: the component \
             stream is not encrypted, so the way there must be safe",
        ],
    ),
    (
        "\"tcp:127.0.0.1:5060\"",
        "\"tls:127.0.0.1:5061\", \"127.0.0.1:5060\", \"udp:localhost:5060\", \"udp:127.0.0.1:5060\"",
        &[
            "v.toml:9:10: sip.listen: tls without a certificate: nobody would take us for us; allowed: tls.certificates = \
             [{ chain = \"cert.pem\", key = \"key.pem\" }]",
            "v.toml:9:55: sip.listen[2] = \"127.0.0.1:5060\": no transport in front; allowed: \"TRANSPORT:ADDRESS:PORT\": \
             udp, tcp, tls, ws or wss, with an IP address, such as \"udp:192.0.2.1:5060\"",
            "v.toml:9:73: sip.listen[3] = \"udp:localhost:5060\": not an IP address with a port; allowed: \
             \"TRANSPORT:ADDRESS:PORT\": udp, tcp, tls, ws or wss, with an IP address, such as \"udp:192.0.2.1:5060\"",
            "v.toml:9:95: sip.listen[4] = \"udp:127.0.0.1:5060\": the same socket twice",
        ],
    ),
    (
        "\"tcp:127.0.0.1:5060\"",
        "\"tcp:0.0.0.0:5060\"",
        &[
            "v.toml:9:33: sip.listen[1] = \"tcp:0.0.0.0:5060\": an address that cannot be written into Via: nobody could \
             answer to it; allowed: sip.advertise = [\"tcp:HOST:PORT\"] beside it",
        ],
    ),
    (
        "[sip]",
        "[sip]\nadvertise = [\"udp:a.example:1\", \"udp:b.example:1\", \"tcp:10.1:5060\"]",
        &[
            "v.toml:8:33: sip.advertise[1] = \"udp:b.example:1\": a second one for this transport; allowed: one for each \
             transport",
            "v.toml:8:52: sip.advertise[2] = \"tcp:10.1:5060\": not a host: neither an IPv4 address nor a name; allowed: \
             \"TRANSPORT:HOST:PORT\": udp, tcp, tls, ws or wss, such as \"tls:sip.example.net:5061\"",
        ],
    ),
    (
        "sip:127.0.0.1:5080;transport=udp;lr",
        "sips:proxy.example;transport=udp",
        &[
            "v.toml:10:18: sip.outbound_proxy = \"sips:proxy.example;transport=udp\": a sips URI asks for TLS, which UDP has \
             not; allowed: \"sip:HOST[:PORT][;transport=udp|tcp|tls|ws|wss][;lr]\", or sips: for TLS",
        ],
    ),
    (
        "listen = [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]",
        "listen = [\"tcp:127.0.0.1:5060\"]",
        &[
            "v.toml:10:18: sip.outbound_proxy = \"sip:127.0.0.1:5080;transport=udp;lr\": goes over udp, but sip.listen has \
             no udp socket; allowed: an entry \"udp:ADDRESS:PORT\" in sip.listen, or another transport",
        ],
    ),
    // Values against each other.
    (
        "domains = [\"example.com\"]",
        "domains = [\"example.com\", \"EXAMPLE.net.\", \"Example.com\"]\nphone_domain = \"tel.example\"",
        &[
            "v.toml:3:10: xmpp.component[0].domain = \"example.net\": also an XMPP domain in sip.domains: messages would \
             go in a circle",
            "v.toml:8:43: sip.domains[2] = \"Example.com\": the same domain twice",
            "v.toml:9:16: sip.phone_domain = \"tel.example\": no component stands for this domain; allowed: example.net",
        ],
    ),
    (
        "secret = \"s3cret\"",
        "secret = \"s3cret\"\nsecret_file = \"x\"\nallow_from = [\"example.net\"]",
        &[
            "v.toml:6:15: xmpp.component[0].secret_file = \"x\": beside secret; allowed: one of secret and secret_file",
            "v.toml:7:15: xmpp.component[0].allow_from[0] = \"example.net\": the component's own domain: messages would \
             go in a circle",
        ],
    ),
    (
        "[sip]",
        "[[sip.peer]]\nsource = \"10.0.0.1/8\"\ndomains = [\"example.com\", \"other.example\"]\n[[sip.peer]]\n[sip]",
        &[
            "v.toml:8:10: sip.peer[0].source = \"10.0.0.1/8\": has bits beyond its prefix; the network is 10.0.0.0/8; \
             allowed: an address, or a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
            "v.toml:9:12: sip.peer[0].domains[0] = \"example.com\": an XMPP domain in sip.domains: nobody may send SIP for \
             it; allowed: SIP domains",
            "v.toml:9:27: warning: sip.peer[0].domains[1] = \"other.example\": no component stands for this domain, so \
             nothing from it can go on to XMPP",
            "v.toml:10:1: sip.peer[1].domains: missing; allowed: the SIP domains that it may send for, or [\"*\"] for \
             those of all components",
            "v.toml:10:1: sip.peer[1].source: missing; allowed: a network such as \"192.0.2.0/24\", or certificate = \
             \"example.org\" for who proves by TLS to be that",
        ],
    ),
    // Settings.
    (
        "[sip]",
        "[limits]\nstanza_bytes = 9_999\nheld = -1\nshards = \"2\"\ndrain = \"1h\"\nretry_after = 5\nhalf_message = \"ten\"\n\
         queued = 99999999999999999999999999999999999999999\n[sip]",
        &[
            "v.toml:8:16: limits.stanza_bytes = 9999: too small; allowed: a whole number from 10000 to 4194304",
            "v.toml:9:8: limits.held = -1: too small; allowed: a whole number from 16 to 1000000",
            "v.toml:10:10: limits.shards = \"2\": a text is not what belongs here; allowed: a whole number from 0 to 64",
            "v.toml:11:9: limits.drain = \"1h\": too long; allowed: from \"100ms\" to \"10m\"",
            "v.toml:12:15: limits.retry_after = 5: a whole number is not what belongs here; allowed: a text with a unit, \
             from \"1s\" to \"1h\"",
            "v.toml:13:16: limits.half_message = \"ten\": not a length of time; allowed: a whole number with its unit: \
             \"500ms\", \"10s\", \"2m\", \"1h\", \"7d\"",
            "v.toml:14:10: limits.queued = 170141183460469231731687303715884105727: too large; allowed: a whole number \
             from 1 to 1000000",
        ],
    ),
    (
        "[sip]",
        "[store]\nurl = \"sqlite:x\"\n[admin]\nlisten = \"8480\"\n[log]\nlevel = \"loud\"\nformat = \"xml\"\n[message]\n\
         rich = \"yes\"\n[security]\nallow_networks = [\"::1/129\"]\n[sip]",
        &[
            "v.toml:8:7: store.url = \"sqlite:x\": not a store; allowed: \"memory:\", or \"redb:PATH\" such as \
             \"redb:data/verona.redb\"",
            "v.toml:10:10: admin.listen = \"8480\": not an IP address with a port; allowed: such as \"127.0.0.1:8480\" or \
             \"[::1]:8480\"",
            "v.toml:12:9: log.level = \"loud\": \"loud\" is not a level; allowed: off, error, warn, info, debug or trace; \
             by module: \"info,verona::io=debug\"",
            "v.toml:13:10: log.format = \"xml\": not a format; allowed: \"text\" or \"json\"",
            "v.toml:15:8: message.rich = \"yes\": a text is not what belongs here; allowed: true or false",
            "v.toml:17:19: security.allow_networks[0] = \"::1/129\": the prefix is not a number from 0 to 128; allowed: an \
             address, or a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ],
    ),
    (
        "[sip]",
        "[presence]\nrefresh = \"30s\"\nmin_expires = \"1h\"\nmax_expires = \"60s\"\nkeep = \"2y\"\nprobe_wait = \"1m\"\n\
         dialogs_per_pair = 0\nrich = 1\nkeeps = \"1d\"\n[limits]\nsubscriptions = 1\nauthorizations_per_user = 0\n[sip]\n\
         contact = \"name\"\npublish = \"no\"",
        &[
            "v.toml:8:11: presence.refresh = \"30s\": too short; allowed: from \"1m\" to \"1d\"",
            "v.toml:9:15: presence.min_expires = \"1h\": longer than presence.max_expires",
            "v.toml:11:8: presence.keep = \"2y\": not a length of time; allowed: a whole number with its unit: \"500ms\", \
             \"10s\", \"2m\", \"1h\", \"7d\"",
            "v.toml:12:14: presence.probe_wait = \"1m\": too long; allowed: from \"100ms\" to \"20s\"",
            "v.toml:13:20: presence.dialogs_per_pair = 0: too small; allowed: a whole number from 1 to 1000",
            "v.toml:14:8: presence.rich = 1: a whole number is not what belongs here; allowed: true or false",
            "v.toml:15:9: presence.keeps = \"1d\": unknown key; did you mean keep?; allowed: dialogs_per_pair, enabled, keep, \
             max_expires, min_expires, notify_interval, probe_wait, refresh, rich, watchers_per_contact",
            "v.toml:17:17: limits.subscriptions = 1: too small; allowed: a whole number from 16 to 10000000",
            "v.toml:18:27: limits.authorizations_per_user = 0: too small; allowed: a whole number from 1 to 1000000",
            "v.toml:20:11: sip.contact = \"name\": neither of the two; allowed: \"address\" or \"domain\"",
            "v.toml:21:11: sip.publish = \"no\": a text is not what belongs here; allowed: true or false",
        ],
    ),
    (
        "server = \"127.0.0.1:5347\"",
        "server = \"\\u001b[31m\\u202e:1\"",
        &[
            "v.toml:4:10: xmpp.component[0].server = \"\\u{1b}[31m\\u{202e}:1\": not a host: it has a character that names of \
             hosts do not have; allowed: \"HOST:PORT\", such as \"127.0.0.1:5347\"",
        ],
    ),
];

#[test]
fn every_mistake_has_its_line_its_value_and_what_is_allowed() {
    let mut failed = String::new();
    for (line, instead, expected) in MISTAKES {
        assert!(GOOD.contains(line), "{line}");
        let said = said(&GOOD.replacen(line, instead, 1), none());
        if said != *expected {
            failed += &format!("with {instead}\n    {}\nnot {}\n", said.join("\n    "), expected.join("\n    "));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn an_empty_file_says_everything_that_is_needed() {
    let said = said("", none());
    let keys = [
        "sip.domains: missing",
        "sip.listen: missing",
        "warning: sip.outbound_proxy: missing",
        "xmpp.component: missing",
    ];
    assert_eq!(said.len(), keys.len(), "{said:#?}");
    for (line, key) in said.iter().zip(keys) {
        assert!(line.starts_with(&format!("v.toml:1:1: {key}")), "{line}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let c = parse(
        "v.toml",
        GOOD,
        environment(&[
            ("VERONA_XMPP__COMPONENT__0__SECRET", "other"),
            ("VERONA_XMPP__COMPONENT__1__DOMAIN", "second.example"),
            ("VERONA_XMPP__COMPONENT__1__SERVER", "[::1]:5348"),
            ("VERONA_XMPP__COMPONENT__1__SECRET", "x"),
            ("VERONA_SIP__OUTBOUND_PROXY", "sip:[::1];transport=TCP"),
            ("VERONA_SIP__LISTEN", "udp:127.0.0.1:5070, tcp:[::1]:5070"),
            ("VERONA_SIP__DOMAINS", "[\"a.example\", \"b.example\"]"),
            ("VERONA_SIP__PEER__0__SOURCE", "10.0.0.0/8"),
            ("VERONA_SIP__PEER__0__DOMAINS", "*"),
            ("VERONA_LIMITS__HELD", "100"),
            ("VERONA_LIMITS__DRAIN", "5s"),
            ("VERONA_MESSAGE__RICH", "false"),
            ("HOME", "/nowhere"),
        ]),
    )
    .unwrap()
    .config;
    assert_eq!(c.xmpp.components[0].secret.reveal(), "other");
    assert_eq!(c.xmpp.components[1].server.to_string(), "[::1]:5348");
    assert_eq!(c.sip.outbound_proxy.unwrap().uri, "sip:[::1]:5060;transport=tcp");
    assert_eq!(c.sip.listen[1].to_string(), "tcp:[::1]:5070");
    assert_eq!(c.sip.domains, ["a.example", "b.example"]);
    assert_eq!(c.sip.peers.entries.len(), 1);
    assert_eq!(c.sip.peers.entries[0].domains, ["example.net", "second.example"]);
    assert_eq!((c.limits.held, c.limits.drain, c.message.rich), (100, Duration::from_secs(5), false));
}

#[test]
fn mistakes_of_the_environment_name_the_variable() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "VERONA_SIP__OUTBOUND_PROXY",
            "nonsense",
            "environment variable VERONA_SIP__OUTBOUND_PROXY: sip.outbound_proxy = \"nonsense\": not a sip URI; allowed: \
             \"sip:HOST[:PORT][;transport=udp|tcp|tls|ws|wss][;lr]\", or sips: for TLS",
        ),
        (
            "VERONA_LIMITS__HELD",
            "many",
            "environment variable VERONA_LIMITS__HELD: limits.held = \"many\": a text from the environment is not what \
             belongs here; allowed: a whole number from 16 to 1000000",
        ),
        (
            "VERONA_SIP_DOMAINS",
            "a",
            "environment variable VERONA_SIP_DOMAINS: warning: names no key: every key stands in a table, so two \
             underscores are missing; allowed: such as VERONA_SIP__LISTEN for sip.listen",
        ),
        (
            "VERONA_XMPP__COMPONENT__2__SECRET",
            "a",
            "environment variable VERONA_XMPP__COMPONENT__2__SECRET: names no entry of the list; allowed: a number from 0 \
             to 1",
        ),
        (
            "VERONA_SIP__OUTBOUND_PROXY__HOST",
            "a",
            "environment variable VERONA_SIP__OUTBOUND_PROXY__HOST: leads into a value that is neither table nor list",
        ),
        (
            "VERONA_LIMITS__HOLD",
            "1",
            "environment variable VERONA_LIMITS__HOLD: limits.hold = \"1\": unknown key; did you mean held?",
        ),
        (
            "VERONA_SIP__LISTEN",
            "[1]",
            "environment variable VERONA_SIP__LISTEN: sip.listen = \"[1]\": 1 is not a text; allowed: a list of texts: \
             [\"...\", \"...\"]",
        ),
    ];
    for (variable, value, expected) in cases {
        let said = said(GOOD, environment(&[(variable, value)]));
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].starts_with(expected), "{}\n{expected}", said[0]);
    }
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("verona-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("secret");
    let text = GOOD.replace("secret = \"s3cret\"", &format!("secret_file = {:?}", file.display().to_string()));
    let write = |secret: &str, mode| {
        std::fs::write(&file, secret).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };

    write("from the file\n", 0o600);
    let loaded = parse("v.toml", &text, none()).unwrap();
    assert_eq!((loaded.config.xmpp.components[0].secret.reveal(), loaded.warnings), ("from the file", vec![]));

    write("from the file", 0o644);
    assert!(said(&text, none())[0].ends_with("everybody on this machine can read this file: chmod o-r"));

    write("", 0o600);
    assert!(said(&text, none())[0].contains("empty"));
    write("a\nb", 0o600);
    assert!(said(&text, none())[0].contains("more than one line"));
    write(&"a".repeat(5000), 0o600);
    assert!(said(&text, none())[0].contains("longer than 4096 bytes"));

    // The environment wins over the other kind in the file, too.
    let c = parse("v.toml", &text, environment(&[("VERONA_XMPP__COMPONENT__0__SECRET", "e")])).unwrap().config;
    assert_eq!(c.xmpp.components[0].secret.reveal(), "e");

    std::fs::remove_file(&file).unwrap();
    assert!(said(&text, none())[0].contains("cannot be read: No such file or directory"));

    // A file with a secret in it that everybody can read.
    let config = folder.join("verona.toml");
    std::fs::write(&config, GOOD).unwrap();
    for (mode, warnings) in [(0o644, 1), (0o640, 0)] {
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(load(&config, none()).unwrap().warnings.len(), warnings, "{mode:o}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let gone = load(&config, none()).unwrap_err();
    assert!(gone.to_string().contains("the file cannot be read: No such file"), "{gone}");
}

#[test]
fn a_relative_path_starts_at_the_folder_of_the_file() {
    let url = |name: &str, text: &str| parse(name, text, none()).unwrap().config.store.url.to_string();
    let named = |path: &str| format!("{GOOD}[store]\nurl = \"redb:{path}\"\n");
    assert_eq!(url("/etc/verona/verona.toml", GOOD), "redb:/etc/verona/verona.redb");
    assert_eq!(url("/etc/verona/verona.toml", &named("data/v.redb")), "redb:/etc/verona/data/v.redb");
    assert_eq!(url("/etc/verona/verona.toml", &named("/var/lib/v.redb")), "redb:/var/lib/v.redb");
    assert_eq!(url("here.toml", &named("v.redb")), "redb:v.redb");
    let memory = parse("v.toml", &format!("{GOOD}[store]\nurl = \"memory:\"\n"), none()).unwrap().config.store.url;
    assert_eq!((&memory, memory.to_string().as_str()), (&Store::Memory, "memory:"));
}

#[test]
fn peers_stand_for_the_proxy_where_none_are_written() {
    let with = |proxy: &str| good(&GOOD.replace("sip:127.0.0.1:5080", proxy)).sip.peers;
    let addressed = with("sip:192.0.2.7");
    assert!(
        addressed.entries.iter().any(|p| p.source.is_some_and(|s| s.to_string() == "192.0.2.7/32"))
            && !addressed.proxy_by_name
    );
    let named = with("sip:Proxy.Example");
    assert!(named.entries.len() == 2 && named.proxy_by_name);
    let mapped = with("sip:[::ffff:192.0.2.7]");
    assert!(mapped.entries[2].source.unwrap().contains("192.0.2.7".parse().unwrap()));
}

#[test]
fn a_network_holds_its_addresses_and_no_others() {
    let holds = |network: &str, address: &str| value::network(network).unwrap().contains(address.parse().unwrap());
    assert!(holds("127.0.0.0/8", "127.1.2.3") && holds("127.0.0.0/8", "::ffff:127.0.0.1"));
    assert!(!holds("127.0.0.0/8", "128.0.0.1") && !holds("127.0.0.0/8", "::1"));
    assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1"));
    assert!(holds("::/0", "2001:db8::1") && holds("2001:db8::/32", "2001:db8:ffff::"));
    assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
}

#[test]
fn a_reload_says_what_changes_and_what_needs_a_restart() {
    let old = good(GOOD);
    let plan = |text: &str| ReloadPlan::between(&old, good(text));
    let same = plan(&GOOD.replace("example.net", "EXAMPLE.NET."));
    assert!(same.applicable() && same.live.is_empty(), "{same:?}");

    let live = plan(&(GOOD.replace("5080", "5081") + "[log]\nlevel = \"debug\"\n[message]\nrich = false\n"));
    assert_eq!(live.live, ["log.level", "message.rich", "sip.outbound_proxy"]);
    assert!(live.applicable());

    let presence =
        plan(&format!("{GOOD}[presence]\nkeep = \"30d\"\nnotify_interval = \"0s\"\n[limits]\nsubscriptions = 100\n"));
    assert_eq!(presence.live, ["limits.subscriptions", "presence.keep", "presence.notify_interval"]);
    assert!(presence.applicable());
    let presence = plan(
        &(GOOD.replace("[sip]", "[sip]\npublish = true\ncontact = \"domain\"")
            + "[presence]\nenabled = false\n[store]\nurl = \"memory:\"\n"),
    );
    assert_eq!(presence.restart, ["presence.enabled", "sip.contact", "sip.publish", "store.url"]);

    let sessions = format!("{GOOD}[msrp]\nlisten = [\"tcp:127.0.0.1:2855\"]\n");
    let old_sessions = good(&sessions);
    let chat = format!("{sessions}max_size = 9999\n[chat]\nidle = \"1m\"\nsessions_per_pair = 2\n");
    let chat = ReloadPlan::between(&old_sessions, good(&chat));
    assert_eq!(chat.live, ["chat.idle", "chat.sessions_per_pair", "msrp.max_size"]);
    assert!(chat.applicable());
    let chat = ReloadPlan::between(&old, good(&sessions.replace("2855", "2856")));
    assert_eq!(chat.restart, ["chat.mode", "msrp.advertise", "msrp.listen", "xmpp.component(example.net).chat"]);

    let restart = plan(
        &(GOOD.replace("s3cret", "new").replace("tcp:127.0.0.1:5060", "tcp:127.0.0.1:5061")
            + "[limits]\nrate_per_sender = 5\nheld = 99\n"),
    );
    assert_eq!(restart.live, ["limits.rate_per_sender"]);
    assert_eq!(restart.restart, ["limits.held", "sip.advertise", "sip.listen", "xmpp.component(example.net).secret"]);
    assert!(!restart.applicable());

    let more = plan(&format!("{GOOD}[[xmpp.component]]\ndomain='b.example'\nserver='localhost:1'\nsecret='x'\n"));
    assert!(more.restart.contains(&"xmpp.component(b.example)".to_owned()), "{more:?}");
}
