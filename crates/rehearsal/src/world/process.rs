//! The gateway's process: it begins, it is killed.

use super::{DOMAIN, Event, SECRET, World};
use crate::scene::Settings;
use base::Tokens;
use std::sync::Arc;
use stox::gateway::{Gateway, Input};
use xmpp::stream::component::{self, Component};

/// The shards of a process.
pub(super) fn shards(settings: &Settings, shards: u8, tokens: &mut Tokens) -> Vec<Gateway> {
    let config = Arc::new(settings.config.clone());
    (0..shards)
        .map(|shard| {
            let sip = sip::agent::Config { shard, ..settings.sip.clone() };
            Gateway::new(Arc::clone(&config), sip, tokens.fork())
        })
        .collect()
}

impl World {
    /// The gateway's process is killed, and another one begins with what it has saved. What XMPP users had written and nobody has had yet
    /// is lost with it, perhaps without a word.
    pub fn gateway_dies(&mut self) {
        self.letters.doom();
        if let Some(generation) = self.generation.take() {
            self.server.hung_up(generation);
            self.server_has_work();
        }
        self.queue.clear();
        self.unwritten.clear();
        self.in_flight = 0;
        self.events.retain(|_, event| !matches!(event, Event::Connect(_) | Event::LineOpens { .. }));
        self.lines_die();
        self.component = Component::new(component::Config::new(DOMAIN, SECRET), self.chance.fork(), self.now);
        self.shards = shards(&self.settings, self.shards.len() as u8, &mut self.chance);
        for (key, value) in &self.store {
            let shard = self.router.record(key);
            self.shards[shard].handle(self.now, Input::Restore { key: key.clone(), value: value.clone() });
        }
        self.drain();
    }
}
