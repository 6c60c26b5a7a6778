//! Calls in a world: the devices of its XMPP users and the telephones of its SIP users.

use super::telephones::{Habits, Talk};
use super::{DOMAIN, World};
use crate::stub::jingle::{Device, House, Manners};
use base::{Str, Time};
use std::collections::BTreeMap;
use stox::gateway::Gateway;
use xmpp::ext::jingle::Condition;
use xmpp::jid::Jid;

impl World {
    /// An XMPP user has a device from now on, switched on anew if there was one.
    ///
    /// # Panics
    /// `resource` is none.
    pub fn device(&mut self, user: u64, resource: &str, manners: Manners) {
        let jid = Jid::parse(&format!("juliet{user}@example.com/{resource}")).expect("an address");
        self.houses.switch_on(Device::new(jid, manners, self.chance.fork()));
        self.listen_to_users();
    }

    /// The devices of the XMPP users.
    pub fn house(&self) -> &House {
        &self.houses
    }

    /// A device is gone without a word. Whether it was there.
    pub fn device_dies(&mut self, user: u64, resource: &str) -> bool {
        self.houses.switch_off(&format!("juliet{user}@example.com/{resource}")).is_some()
    }

    /// An XMPP user calls a SIP user, from a device that is there. Gives back the name of the session.
    pub fn user_calls(&mut self, user: u64, resource: &str, to: u64, media: &[&str]) -> Option<Str> {
        let to = Jid::parse(&format!("romeo{to}@{DOMAIN}")).ok()?;
        let now = self.now;
        let sid = self.with_device(user, resource, |device| device.dial(now, &to, media));
        self.houses_act();
        sid
    }

    /// Something is done with a device, if it is there.
    pub fn with_device<T>(&mut self, user: u64, resource: &str, act: impl FnOnce(&mut Device) -> T) -> Option<T> {
        self.with_jid(&format!("juliet{user}@example.com/{resource}"), act)
    }

    /// The same, with a device that is known by its address.
    pub fn with_jid<T>(&mut self, jid: &str, act: impl FnOnce(&mut Device) -> T) -> Option<T> {
        let done = self.houses.with(jid, act);
        self.houses_act();
        done
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// An XMPP user ends a call. Whether there is one to end.
    pub fn user_hangs_up(&mut self, jid: &str, sid: &str) -> bool {
        let now = self.now;
        let done = self.houses.with(jid, |device| device.hang_up(now, sid, Condition::Success));
        self.houses_act();
        done.unwrap_or_default()
    }

    /// A SIP user calls an XMPP user. Gives back the Call-ID.
    pub fn phone_calls(&mut self, user: u64, to: u64, media: &[&str]) -> String {
        let call = self.telephones.dial(self.now, user, &format!("juliet{to}@example.com"), media);
        self.telephones_act();
        call
    }

    /// A SIP user ends a call. Whether there is one to end.
    pub fn phone_hangs_up(&mut self, call: &str) -> bool {
        let done = self.telephones.hang_up(self.now, call);
        self.telephones_act();
        done
    }

    /// A SIP user puts a call on hold, or takes it off.
    pub fn phone_holds(&mut self, call: &str, hold: bool) {
        self.telephones.hold(self.now, call, hold);
        self.telephones_act();
    }

    /// A SIP user wants one more medium in a call.
    pub fn phone_adds(&mut self, call: &str, kind: &str) {
        self.telephones.add(self.now, call, kind);
        self.telephones_act();
    }

    /// What telephones do with calls from now on.
    pub fn phone_habits(&mut self, habits: Habits) {
        self.telephones.habits = habits;
    }

    /// The calls of the telephones by their Call-IDs, those that are over too.
    pub fn talks(&self) -> &BTreeMap<String, Talk> {
        self.telephones.talks()
    }

    /// What is left of calls: transactions of the telephones; calls and dialogs of the gateway, and its records.
    pub fn calls_left(&self) -> [usize; 4] {
        [
            self.telephones.open(),
            self.shards.iter().map(Gateway::call_count).sum(),
            self.shards
                .iter()
                .map(|shard| {
                    let counts = shard.session_counts();
                    counts.sessions + counts.ending
                })
                .sum(),
            self.store.len(),
        ]
    }

    pub(super) fn telephones_act(&mut self) {
        for bytes in self.telephones.said() {
            self.phones_send(bytes);
        }
    }

    /// What the users got reaches their devices, and what those say goes out.
    pub(super) fn houses_act(&mut self) {
        if self.houses.devices().next().is_none() {
            return;
        }
        loop {
            for stanza in self.users_got() {
                self.houses.received(self.now, &stanza);
            }
            let Some(stanza) = self.houses.poll() else { return };
            self.user_sends(stanza);
        }
    }
}
