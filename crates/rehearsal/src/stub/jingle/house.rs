//! The devices of the users of a server: what is for a user goes to each of them, what one of them says of a call the others hear.

use super::Device;
use base::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::carbons::is_private;
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

/// Devices by their addresses.
#[derive(Debug, Default)]
pub struct House {
    devices: BTreeMap<String, Device>,
    due: BTreeSet<(Time, String)>,
    out: VecDeque<Stanza>,
}

impl House {
    /// A device is switched on. One that had its address is thrown away.
    pub fn switch_on(&mut self, device: Device) {
        self.devices.insert(device.jid().to_string(), device);
    }

    /// A device is gone without a word, and with it all that it knew.
    pub fn switch_off(&mut self, jid: &str) -> Option<Device> {
        self.devices.remove(jid)
    }

    /// A device.
    pub fn device(&self, jid: &str) -> Option<&Device> {
        self.devices.get(jid)
    }

    /// All devices, by address.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// Something is done with a device, if it is there.
    pub fn with<T>(&mut self, jid: &str, act: impl FnOnce(&mut Device) -> T) -> Option<T> {
        let device = self.devices.get_mut(jid)?;
        let done = act(device);
        let mut said = Vec::new();
        while let Some(stanza) = device.poll() {
            said.push(stanza);
        }
        if let Some(at) = device.deadline() {
            self.due.insert((at, jid.to_owned()));
        }
        for stanza in said {
            self.copy(jid, &stanza);
            self.out.push_back(stanza);
        }
        Some(done)
    }

    /// A stanza for one of the users has come.
    pub fn received(&mut self, now: Time, stanza: &Stanza) {
        let Some(to) = &stanza.to else { return };
        let there = self.devices.contains_key(&to.to_string());
        match stanza.kind {
            Kind::Iq if !there => {
                let request = matches!(stanza.type_.as_deref(), Some("get" | "set"));
                let error = StanzaError::new(Condition::ServiceUnavailable);
                self.out.extend(stanza.error(&error).filter(|_| request));
            }
            Kind::Iq => drop(self.with(&to.to_string(), |device| device.received(now, stanza))),
            Kind::Message | Kind::Presence => {
                // What was for a device that is gone is for the others (RFC 6121 §8.5.3.2.1), and they get copies of chat messages.
                let private = stanza.elements().any(is_private);
                let all = !there || stanza.kind == Kind::Message && !private;
                let for_it = |jid: &Jid| if all { jid.same_bare(to) } else { jid == to };
                let jids: Vec<_> =
                    self.devices.values().map(Device::jid).filter(|jid| for_it(jid)).map(Jid::to_string).collect();
                for jid in jids {
                    let own = !there || jid == to.to_string();
                    // A copy is only heard by who is meant by all: a retraction, a proposal.
                    if own
                        || Jmi::of(stanza).is_some_and(|said| matches!(said, Jmi::Retract { .. } | Jmi::Finish { .. }))
                    {
                        self.with(&jid, |device| device.received(now, stanza));
                    }
                }
            }
        }
    }

    /// The other devices of a user hear what one of them says of a call (XEP-0280).
    fn copy(&mut self, jid: &str, stanza: &Stanza) {
        let (Some(said), Some(from)) = (Jmi::of(stanza), &stanza.from) else { return };
        for device in self.devices.values_mut() {
            if device.jid().same_bare(from) && device.jid().to_string() != jid {
                device.overhear(&said);
            }
        }
    }

    /// When the first of them wants to be told that time has gone by.
    pub fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Time has gone by.
    pub fn timeout(&mut self, now: Time) {
        while self.deadline().is_some_and(|at| at <= now)
            && let Some((_, jid)) = self.due.pop_first()
        {
            self.with(&jid, |device| device.timeout(now));
        }
    }

    /// What one of them says next.
    pub fn poll(&mut self) -> Option<Stanza> {
        self.out.pop_front()
    }
}
