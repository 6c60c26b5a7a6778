//! The XMPP server of a town, with its accounts and their rosters.

use super::*;

impl Town {
    pub fn account(&mut self, bare: &str, policy: Policy) {
        let account = Account {
            policy,
            resources: BTreeMap::new(),
            subscribers: BTreeSet::new(),
            asked: BTreeMap::new(),
            roster: BTreeMap::new(),
            open_to_gateway: true,
            left: Vec::new(),
            errors: Vec::new(),
        };
        self.accounts.insert(bare.to_owned(), account);
    }

    pub fn user(&mut self, bare: &str) -> &mut Account {
        self.accounts.get_mut(bare).unwrap()
    }

    pub fn roster(&self, bare: &str, sip: &str) -> &Entry {
        &self.accounts[bare].roster[sip]
    }

    /// The XMPP server sends a stanza.
    pub fn says(&mut self, stanza: Stanza) {
        let stream = self.stream;
        if self.up {
            self.at(ms(1), Event::ToGateway { stream, stanza });
        }
    }

    pub fn presence(&mut self, from: &str, to: &str, type_: &'static str) {
        let stanza = Stanza::presence().with_from(jid(from)).with_to(jid(to));
        self.says(if type_.is_empty() { stanza } else { stanza.with_type(type_) });
    }

    pub(super) fn available(&mut self, bare: &str, resource: &str, status: &str, to: &str) {
        let stanza = Stanza::presence().with_from(jid(&format!("{bare}/{resource}"))).with_to(jid(to));
        self.says(stanza.with_child(Element::new("status", ns::CLIENT).with_text(status)));
    }

    /// A resource comes, or says something new: the server tells whoever may know, and asks for those in the roster.
    pub fn comes(&mut self, bare: &str, resource: &str, status: &str) {
        let account = self.user(bare);
        let first = account.resources.insert(resource.to_owned(), status.to_owned()).is_none();
        let (subscribers, roster) = (account.subscribers.clone(), account.roster.keys().cloned().collect::<Vec<_>>());
        for to in subscribers {
            self.available(bare, resource, status, &to);
        }
        for to in roster.iter().filter(|_| first) {
            if self.accounts[bare].roster[to].approved {
                self.presence(&format!("{bare}/{resource}"), to, "probe");
            } else {
                self.presence(bare, to, "subscribe");
            }
        }
    }

    pub fn goes(&mut self, bare: &str, resource: &str) {
        let account = self.user(bare);
        account.resources.remove(resource);
        account.roster.values_mut().filter(|_| account.resources.is_empty()).for_each(|entry| entry.online.clear());
        for to in account.subscribers.clone() {
            self.presence(&format!("{bare}/{resource}"), &to, "unavailable");
        }
    }

    /// An XMPP user wants to see a SIP user.
    pub fn adds(&mut self, bare: &str, sip: &str) {
        self.user(bare).roster.entry(sip.to_owned()).or_default();
        self.presence(bare, sip, "subscribe");
    }

    /// What it was asked by this SIP user is approved now.
    pub fn approves(&mut self, bare: &str, sip: &str) {
        self.user(bare).subscribers.insert(sip.to_owned());
        self.presence(bare, sip, "subscribed");
        self.tells_all(bare, sip);
    }

    pub fn revokes(&mut self, bare: &str, sip: &str) {
        self.user(bare).subscribers.remove(sip);
        self.presence(bare, sip, "unsubscribed");
    }

    pub(super) fn tells_all(&mut self, bare: &str, to: &str) {
        let resources = self.user(bare).resources.clone();
        if resources.is_empty() {
            self.presence(bare, to, "unavailable");
        }
        for (resource, status) in resources {
            self.available(bare, &resource, &status, to);
        }
    }

    pub(super) fn stanza_came(&mut self, bytes: &[u8]) {
        let stanza = read_stanza(bytes);
        let (from, to) = (stanza.from.clone().unwrap(), stanza.to.clone().unwrap());
        let (bare, sip) = (to.bare().to_string(), from.bare().to_string());
        if stanza.kind != Kind::Presence {
            return self.fault(&format!("no presence: {stanza:?}"));
        }
        let for_gateway = from.local().is_none();
        let Some(account) = self.accounts.get_mut(&bare) else {
            // RFC 6121 §8.5.1: a request for an account that is not there is ignored, a probe gets what all get who may not know.
            if stanza.type_.as_deref() == Some("probe") {
                self.presence(&bare, &sip, "unsubscribed");
            }
            return;
        };
        match stanza.type_.as_deref() {
            Some("subscribe") => {
                *account.asked.entry(sip.clone()).or_default() += 1;
                if account.subscribers.contains(&sip) {
                    // RFC 6121 §3.1.3: the server answers by itself. What the gateway has on disk it need not ask.
                    let key = [b"ps", sip.as_bytes(), &[0], bare.as_bytes()].concat();
                    if self
                        .disk
                        .get(&key)
                        .is_some_and(|record| String::from_utf8_lossy(record).contains("\"granted\":true"))
                    {
                        self.fault(&format!("{bare} is asked again by {sip}"));
                    }
                    return self.approves(&bare, &sip);
                }
                match account.policy {
                    Policy::Approve => self.approves(&bare, &sip),
                    Policy::Leave => {}
                }
            }
            Some("probe") if for_gateway => match (account.open_to_gateway, account.resources.keys().next().cloned()) {
                (true, Some(resource)) => self.presence(&format!("{bare}/{resource}"), &sip, ""),
                (true, None) => self.presence(&bare, &sip, "unavailable"),
                (false, _) => self.presence(&bare, &sip, "unsubscribed"),
            },
            Some("probe") if account.subscribers.contains(&sip) => self.tells_all(&bare, &sip),
            Some("probe") => self.presence(&bare, &sip, "unsubscribed"),
            Some("subscribed") => {
                let entry = account.roster.entry(sip).or_default();
                entry.approved = true;
                entry.yes += 1;
            }
            Some("unsubscribed") => {
                if let Some(entry) = account.roster.get_mut(&sip) {
                    entry.approved = false;
                    entry.no += 1;
                    if !entry.online.is_empty() {
                        self.fault(&format!("{sip} is unsubscribed and still online for {bare}"));
                    }
                }
            }
            Some("unavailable") => match account.roster.get_mut(&sip) {
                Some(entry) => drop(entry.online.remove(from.resource().unwrap_or(""))),
                None => account.left.push(sip),
            },
            None => {
                let status = stanza.child("status", ns::CLIENT).map(|e| e.text().into_owned()).unwrap_or_default();
                let known = account.roster.get(&sip).is_some_and(|entry| entry.approved);
                let there = !account.resources.is_empty();
                if !known {
                    self.fault(&format!("{bare} is told of {sip}, whom it has not in its roster"));
                } else if there && let Some(entry) = self.user(&bare).roster.get_mut(&sip) {
                    entry.online.insert(from.resource().unwrap_or("").to_owned(), status);
                }
            }
            Some("error") => account.errors.push(format!("{stanza:?}")),
            Some(other) => {
                let what = format!("presence of type {other}");
                self.fault(&what);
            }
        }
    }
}
