//! The example that is installed with the daemon.

use super::*;

/// The example that is installed with the daemon shows every key with its default.
#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let example = include_str!("../../../../../packaging/verona.toml");
    let config = good(example);
    let words = [Message::default().keys(), ChatSettings::default().keys(), RoomSettings::default().keys()];
    let rest = [PresenceConfig::default().keys(), MediaSettings::default().keys(), MsrpSettings::default().keys()];
    let times = [Limits::default().keys(), XmppTimes::default().keys(), SipTimes::default().keys()];
    let door =
        [AbuseSettings::default().keys(), AccountSettings::default().keys(), RegistrarSettings::default().keys()];
    for (key, value) in words.into_iter().chain(rest).chain(times).chain(door).flatten() {
        let name = key.rsplit_once('.').unwrap().1;
        let line = format!("# {name} = {value}");
        assert!(example.lines().any(|l| l.starts_with(&line)), "packaging/verona.toml lacks: {line}");
    }
    // Every comment that looks like a key is one: taken out of its comment, the file is right.
    let commented: Vec<&str> = example
        .lines()
        .map(|l| match l.strip_prefix("# ") {
            Some(table @ ("[[numbers]]" | "[tls.acme]")) => table,
            Some(inside)
                if inside
                    .split_once(" = ")
                    .is_some_and(|(k, _)| k.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '1')) =>
            {
                inside
            }
            _ => l,
        })
        .filter(|l| {
            !["secret_file", "certi", "relay_password_file", "muc_", "sip_", "sdes", "trust = \"a"]
                .iter()
                .any(|k| l.starts_with(k))
        })
        .collect();
    let full = good(&commented.join("\n"));
    assert_eq!(full.acme.unwrap().settings, AcmeSettings::default());
    assert_eq!((full.limits, full.abuse), (config.limits, config.abuse));
    assert_eq!(
        (full.presence, full.sip.contact, full.sip.publish),
        (config.presence, config.sip.contact, config.sip.publish)
    );
    assert_eq!((&full.chat, full.msrp.settings), (&config.chat, config.msrp.settings));
    assert_eq!(full.media.settings, config.media.settings);
    assert_eq!(full.sip.registrar.settings, config.sip.registrar.settings);
    assert_eq!(full.sip.registrar.domains, ["example.net"]);
    assert_eq!(full.media.mode, config.media.mode);
    assert_eq!(full.msrp.relay.unwrap().to_string(), "msrps://gateway@relay.example.net:2855");
    assert_eq!((full.message, full.xmpp.times, full.sip.times), (config.message, config.xmpp.times, config.sip.times));
}
