//! `[media]`.

use super::*;

#[test]
fn calls_that_are_right() {
    let nothing = good(GOOD);
    assert_eq!(nothing.media, Media::default());
    assert!(!nothing.media.settings.enabled);
    let text = format!(
        "{GOOD}[media]\nenabled = true\nrelay = \"ng:127.0.0.1\"\nmode = \"always\"\nplain = [\"Example.net\"]\nring = \"1m\"\n\
         interfaces = [\"in\", \"out\"]\n[limits]\ncalls = 7\n"
    );
    let c = good(&text);
    assert_eq!(c.media.relay.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:2223"]);
    assert_eq!((c.media.mode, c.media.plain), (RelayMode::Always, vec!["example.net".to_owned()]));
    assert_eq!(c.media.interfaces, Some(("in".to_owned(), "out".to_owned())));
    assert_eq!((c.media.settings.ring, c.limits.calls), (Duration::from_secs(60), 7));
    let several = good(&format!("{GOOD}[media]\nenabled = true\nrelay = [\"ng:[::1]:22222\", \"ng:localhost:1\"]\n"));
    let relays: Vec<_> = several.media.relay.iter().map(ToString::to_string).collect();
    assert_eq!(relays, ["[::1]:22222", "localhost:1"]);
}

#[test]
fn mistakes_about_calls() {
    let cases: [(&str, &[&str]); 6] = [
        (
            "[media]\nenabled = true\nrelay = \"rtpengine:127.0.0.1\"\nmode = \"maybe\"\n",
            &[
                "v.toml:13:9: media.relay = \"rtpengine:127.0.0.1\": not a relay; allowed: \"ng:HOST[:PORT]\", such as \"ng:127.0.0.1:2223\"",
                "v.toml:14:8: media.mode = \"maybe\": not a mode; allowed: \"auto\", \"never\" or \"always\"",
            ],
        ),
        (
            "[media]\nenabled = true\nmode = \"always\"\nplain = [\"example.net\"]\n",
            &[
                "v.toml:13:8: media.mode = \"always\": there is no media.relay; allowed: \"auto\" or \"never\"",
                "v.toml:14:9: media.plain: these can only be called through a relay; allowed: media.relay beside it",
            ],
        ),
        (
            "[media]\nenabled = true\nrelay = [\"ng:127.0.0.1\", \"ng:127.0.0.1:2223\"]\n",
            &["v.toml:13:26: media.relay[1] = \"ng:127.0.0.1:2223\": the same relay twice"],
        ),
        (
            "[media]\nenabled = true\nrelay = \"ng:127.0.0.1\"\nplain = [\"x.example\"]\nsdes = [\"x.example\"]\n",
            &[
                "v.toml:14:10: media.plain[0] = \"x.example\": no component stands for this domain; allowed: example.net",
                "v.toml:15:9: media.sdes[0] = \"x.example\": no component stands for this domain; allowed: example.net",
                "v.toml:15:9: media.sdes[0] = \"x.example\": in media.plain, too; allowed: one or the other",
            ],
        ),
        (
            "[media]\ninterfaces = [\"in\"]\n",
            &[
                "v.toml:12:14: media.interfaces: not two; allowed: what the relays call two of their interfaces, towards SIP and towards XMPP: \
               [\"inside\", \"outside\"]",
            ],
        ),
        (
            "[media]\nenabled = true\nrelay = \"ng:192.0.2.9:2223\"\nmode = \"never\"\nring = \"1s\"\n",
            &[
                "v.toml:13:9: warning: media.relay = \"ng:192.0.2.9:2223\": not a loopback address: whoever sees what it is asked can \
                 listen, so the way there must be safe",
                "v.toml:13:9: warning: media.relay = \"ng:192.0.2.9:2223\": never asked, as media.mode says",
                "v.toml:15:8: media.ring = \"1s\": too short; allowed: from \"5s\" to \"10m\"",
            ],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(&format!("{GOOD}{text}"), none()), expected, "{text}");
    }
}

#[test]
fn calls_change_while_the_gateway_runs() {
    let old = good(&format!("{GOOD}[media]\nenabled = true\nrelay = \"ng:127.0.0.1\"\n"));
    let new = good(&format!(
        "{GOOD}[media]\nenabled = true\nrelay = \"ng:127.0.0.1\"\nplain = [\"example.net\"]\nring = \"1m\"\n"
    ));
    let plan = ReloadPlan::between(&old, new.clone());
    assert_eq!((plan.live, plan.restart), (vec!["media.plain".to_owned(), "media.ring".to_owned()], vec![]));
    let plan = ReloadPlan::between(&new, good(GOOD));
    assert_eq!(plan.restart, ["media.enabled", "media.relay"]);
}
