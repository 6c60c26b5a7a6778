//! `[chat]`, `[msrp]` and `[tls]`.

use super::*;

/// What stands behind [`GOOD`], and everything that is said.
const SESSIONS: &[(&str, &[&str])] = &[
    (
        "[msrp]\nlisten = [\"tcp:127.0.0.1:2855\", \"tls:[::]:2856\", \"udp:127.0.0.1:1\", \"127.0.0.1:1\", \"tls:127.0.0.1:2855\"]\n\
         advertise = [\"tcp:a.example:1\", \"tcp:b.example:1\", \"tls:10.1:1\"]\nmax_size = 1\nmax_sizes = 1\n",
        &[
            "v.toml:12:33: msrp.listen[1] = \"tls:[::]:2856\": an address that cannot be written into a path: nobody could \
             connect to it; allowed: msrp.advertise = [\"tls:HOST:PORT\"] beside it",
            "v.toml:12:50: msrp.listen[2] = \"udp:127.0.0.1:1\": a transport that MSRP does not have here; allowed: \
             \"tcp:ADDRESS:PORT\" or \"tls:ADDRESS:PORT\" with an IP address, such as \"tcp:192.0.2.1:2855\"",
            "v.toml:12:69: msrp.listen[3] = \"127.0.0.1:1\": no transport in front; allowed: \"tcp:ADDRESS:PORT\" or \
             \"tls:ADDRESS:PORT\" with an IP address, such as \"tcp:192.0.2.1:2855\"",
            "v.toml:12:84: msrp.listen[4] = \"tls:127.0.0.1:2855\": the same socket twice",
            "v.toml:13:33: msrp.advertise[1] = \"tcp:b.example:1\": a second one for this transport; allowed: one for each \
             transport",
            "v.toml:13:52: msrp.advertise[2] = \"tls:10.1:1\": not a host: neither an IPv4 address nor a name; allowed: \
             \"tcp:HOST:PORT\" or \"tls:HOST:PORT\", such as \"tls:chat.example.net:2856\"",
            "v.toml:14:12: msrp.max_size = 1: too small; allowed: a whole number from 2048 to 16777216",
            "v.toml:15:13: msrp.max_sizes = 1: unknown key; did you mean max_size?; allowed: advertise, listen, max_size, \
             relay, relay_password, relay_password_file",
        ],
    ),
    (
        "[chat]\nmode = \"session\"\nidle = \"8d\"\nring = \"0s\"\n",
        &[
            "v.toml:12:8: chat.mode = \"session\": there are no sessions without msrp.listen; allowed: \"message\", or a \
             socket for them: msrp.listen = [\"tcp:127.0.0.1:2855\"]",
            "v.toml:13:8: chat.idle = \"8d\": too long; allowed: from \"0s\" to \"7d\"",
            "v.toml:14:8: chat.ring = \"0s\": too short; allowed: from \"1s\" to \"3m\"",
        ],
    ),
    (
        "[chat]\nmode = \"sms\"\n",
        &["v.toml:12:8: chat.mode = \"sms\": not a mode; allowed: \"session\", \"message\" or \"auto\""],
    ),
    (
        "[msrp]\nrelay = \"msrps://relay.example\"\nrelay_password = 1234\n",
        &[
            "v.toml:12:9: msrp.relay = \"msrps://relay.example\": no user; allowed: \"msrps://USER@HOST[:PORT]\"",
            "v.toml:13:18: msrp.relay_password: a whole number is not what belongs here; allowed: a text in quotation marks",
        ],
    ),
    (
        "[msrp]\nlisten = [\"tcp:127.0.0.1:2855\"]\nrelay = \"msrp://a@relay.example\"\n",
        &[
            "v.toml:11:1: msrp.relay_password: missing; allowed: relay_password = \"...\", or relay_password_file = \"PATH\"",
            "v.toml:13:9: warning: msrp.relay = \"msrp://a@relay.example\": not msrps: what is said goes to the relay in the clear",
        ],
    ),
    (
        "[msrp]\nlisten = [\"tcp:127.0.0.1:2855\"]\nrelay = \"msrps://a@relay.example/x;tcp\"\nrelay_password = \"\"\n",
        &[
            "v.toml:13:9: msrp.relay = \"msrps://a@relay.example/x;tcp\": more than a host and a port behind the user; allowed: \
             \"msrps://USER@HOST[:PORT]\"",
            "v.toml:14:18: msrp.relay_password: empty; allowed: the password of the user at the relay",
        ],
    ),
    (
        "[tls]\ncertificates = [{ chain = \"/nowhere/c\", key = \"/nowhere/k\" }, { chain = \"/nowhere/c\" }]\ntrust = [\"/nowhere/t\"]\n",
        &[
            "v.toml:12:27: tls.certificates[0].chain = \"/nowhere/c\": cannot be read: No such file or directory (os error 2)",
            "v.toml:12:63: tls.certificates[1].key: missing; allowed: a PEM file with the private key",
            "v.toml:13:10: tls.trust[0] = \"/nowhere/t\": cannot be read: No such file or directory (os error 2); allowed: \
             \"system\", or a PEM file of certificates",
        ],
    ),
];

#[test]
fn mistakes_about_sessions_are_said_with_what_would_be_right() {
    for (text, expected) in SESSIONS {
        assert_eq!(said(&format!("{GOOD}{text}"), none()), *expected, "{text}");
    }
}

#[test]
fn sessions_where_there_are_sockets_for_them() {
    let text = format!(
        "{GOOD}[msrp]\nlisten = [\"tcp:127.0.0.1:2855\", \"tls:[::]:2856\"]\nadvertise = [\"tls:Chat.Example:1\"]\nrelay = \
         \"MSRPS://a@b@[2001:db8::1]\"\nrelay_password = \"s3cret\"\n[[xmpp.component]]\ndomain = \"b.example\"\nserver = \
         \"127.0.0.1:1\"\nsecret = \"x\"\nchat = \"message\"\n"
    );
    let c = good(&text);
    assert_eq!(c.chat.mode, Mode::Auto);
    assert_eq!(c.xmpp.components.iter().map(|c| c.chat).collect::<Vec<_>>(), [Mode::Auto, Mode::Message]);
    let listen: Vec<String> = c.msrp.listen.iter().map(|l| format!("{l} {}", l.advertise)).collect();
    assert_eq!(listen, ["tcp:127.0.0.1:2855 127.0.0.1:2855", "tls:[::]:2856 chat.example:1"]);
    let relay = c.msrp.relay.clone().unwrap();
    assert_eq!(relay.to_string(), "msrps://a@b@[2001:db8::1]:2855");
    assert_eq!((relay.username.as_str(), relay.password.reveal()), ("a@b", "s3cret"));
    assert!(!format!("{c:?}").contains("s3cret"));
}
