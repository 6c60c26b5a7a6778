//! Publications where there are several shards: a server says what it says to the gateway itself to all of them, and one publishes it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use base::{HashKey, Time};
use rehearsal::scene::Settings;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use stox::route::Router;
use xml::Element;
use xmpp::stanza::Stanza;

const SHARDS: usize = 4;

/// All shards of one gateway.
struct Shards {
    router: Router,
    gateways: Vec<Gateway>,
    now: Time,
    /// What each shard sent to the XMPP side, and how often it published.
    stanzas: Vec<(usize, String)>,
    published: Vec<(usize, String)>,
}

impl Shards {
    fn new() -> Shards {
        let mut settings = Settings::default();
        settings.set("publish", "true").unwrap();
        let gateway = |shard: usize| {
            settings.sip.shard = u8::try_from(shard).unwrap();
            settings.gateway(shard as u64)
        };
        let gateways = (0..SHARDS).map(gateway).collect();
        let router = Router::new(SHARDS, HashKey::new(1, 2));
        let mut shards =
            Shards { router, gateways, now: Time::from_secs(1), stanzas: Vec::new(), published: Vec::new() };
        for shard in 0..SHARDS {
            shards.input(shard, Input::LinkUp(0));
        }
        shards
    }

    fn input(&mut self, shard: usize, input: Input) {
        self.gateways[shard].handle(self.now, input);
        self.drain(shard);
    }

    fn drain(&mut self, shard: usize) {
        while let Some(output) = self.gateways[shard].poll() {
            match output {
                Output::Stanza { token, bytes, .. } => {
                    self.stanzas.push((shard, String::from_utf8(bytes).unwrap()));
                    self.gateways[shard].handle(self.now, Input::Taken(token));
                }
                Output::Save { token, .. } => self.gateways[shard].handle(self.now, Input::Saved(token)),
                Output::Sip { bytes, .. } => self.published.push((shard, String::from_utf8(bytes.to_vec()).unwrap())),
                Output::Lookup { .. }
                | Output::Msrp(_)
                | Output::Relay { .. }
                | Output::Offence(..)
                | Output::Note(_) => {}
            }
        }
    }

    fn says(&mut self, presence: &str) {
        let text = presence.replacen("<presence", &format!("<presence xmlns='{}'", xmpp::ns::CLIENT), 1);
        let element = Element::parse(text.as_bytes(), &xml::Limits::default()).unwrap();
        let stanza = Stanza::from_element(element, xmpp::ns::CLIENT).unwrap();
        let inputs: Vec<_> = self.router.inputs(0, stanza).collect();
        inputs.into_iter().for_each(|(shard, input)| self.input(shard, input));
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        for shard in 0..SHARDS {
            self.gateways[shard].timeout(self.now);
            self.drain(shard);
        }
    }
}

#[test]
fn one_shard_publishes_what_all_of_them_hear() {
    let mut shards = Shards::new();
    let mut used = std::collections::BTreeSet::new();
    for user in 0..32 {
        shards.says(&format!("<presence from='u{user}@example.com' to='example.net' type='subscribe'/>"));
        let asked: Vec<_> = shards.stanzas.drain(..).filter(|(_, s)| s.contains("type='subscribe'")).collect();
        assert_eq!(asked.len(), 1, "{asked:?}");
        let own = asked[0].0;
        used.insert(own);
        shards.says(&format!("<presence from='u{user}@example.com' to='example.net' type='subscribed'/>"));
        shards.says(&format!("<presence from='u{user}@example.com/r' to='example.net'/>"));
        let published: Vec<_> = shards.published.drain(..).collect();
        assert_eq!(published.len(), 1, "{published:?}");
        assert!(published[0].1.starts_with(&format!("PUBLISH sip:u{user}@example.com SIP/2.0\r\n")));
        assert_eq!(published[0].0, own);
    }
    assert_eq!(used.len(), SHARDS);
    // A shard that has nothing to do with it says nothing more of it, either.
    shards.stanzas.clear();
    shards.says("<presence from='u0@example.com' to='example.net' type='unsubscribed'/>");
    shards.wait(1);
    assert!(shards.stanzas.is_empty(), "{:?}", shards.stanzas);
}
