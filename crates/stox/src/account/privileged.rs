//! What servers let the gateway do in their users' names (XEP-0356): contacts in rosters, and what a user's telephone has sent shown on the user's other
//! devices (XEP-0280).

use super::Accounts;
use crate::config::LinkId;
use crate::gateway::Note;
use crate::mapping::{Copies, Stage};
use base::{Str, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use xmpp::ext::carbons;
use xmpp::ext::privilege::Privileges;
use xmpp::ext::roster::Item;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// How the ids of what is asked of servers begin.
const ID: &str = "privileged-";

/// The most servers whose word is kept.
const SERVERS: usize = 256;

/// The most servers that are waited for at one time, in one shard; beyond, clients are asked at once.
const ASKED: usize = 256;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The group that contacts are put into.
const GROUP: &str = "SIP";

/// The most messages that copies are kept of until they have arrived, in one shard; of others none are made.
const MOST_COPIED: usize = 256;

/// What was granted, by stream and domain; and what all have who keep copies.
#[derive(Debug, Default)]
pub(crate) struct Granted(BTreeMap<(LinkId, Str), Privileges>, Arc<()>);

impl Granted {
    /// What the server of `user` grants on this stream.
    fn of(&self, link: LinkId, user: &Jid) -> Option<&Privileges> {
        self.0.get(&(link, Str::from(user.domain())))
    }
}

/// Whether this tells of privileges.
pub(super) fn is_grant(stanza: &Stanza) -> bool {
    let server = stanza.from.as_ref().is_some_and(|from| from.local().is_none() && from.is_bare());
    let has = |ns| stanza.child("privilege", ns).is_some();
    server && stanza.kind == Kind::Message && (has(ns::PRIVILEGE) || has(ns::PRIVILEGE_1))
}

/// Whether this is an answer to what a server was asked.
pub(super) fn is_of_ours(stanza: &Stanza) -> bool {
    stanza.id.as_deref().is_some_and(|id| id.starts_with(ID))
}

impl Accounts {
    /// A server says what it grants. It speaks for its own users alone, and only those are heard whose users may link accounts.
    pub(super) fn granted(&mut self, stage: &mut Stage<'_>, link: LinkId, stanza: &Stanza) {
        let (Some(from), Some(granted)) = (&stanza.from, Privileges::parse(stanza)) else {
            return stage.note(Note::Ignored { why: "privileges" });
        };
        let known =
            self.options.as_ref().is_some_and(|options| options.domains.iter().any(|domain| domain == from.domain()));
        let all = &mut stage.linked.granted.0;
        let key = (link, Str::from(from.domain()));
        if known && (all.len() < SERVERS || all.contains_key(&key)) {
            all.insert(key, granted);
        } else {
            stage.note(Note::Ignored { why: "privileges" });
        }
    }

    /// A stream is up again: what holds now its server says anew.
    pub(super) fn forget_granted(stage: &mut Stage<'_>, link: LinkId) {
        stage.linked.granted.0.retain(|(of, _), _| *of != link);
    }
}

/// A server that was asked to put a contact into a roster.
#[derive(Debug)]
pub(super) struct Asked {
    until: Time,
    id: Str,
    link: LinkId,
    /// The user's client, which is asked where the server does nothing.
    user: Jid,
    item: Item,
}

impl Accounts {
    /// Puts a contact into the list of a user who wants that: by the server's leave, or else as a proposal to the user's client (XEP-0144). What is
    /// said to the user.
    pub(super) fn add_contact(
        &mut self,
        stage: &mut Stage<'_>,
        link: LinkId,
        user: &Jid,
        contact: &Jid,
        name: Option<Str>,
    ) -> &'static str {
        let item = Item { jid: contact.clone(), name, groups: vec![Str::const_new(GROUP)] };
        let id = base::format_compact!("{ID}{}", stage.tokens.token(12));
        let gateway = stage.gateway(link);
        let granted = stage.linked.granted.of(link, user).filter(|_| self.asked.len() < ASKED);
        let iq = granted.zip(gateway).and_then(|(granted, gateway)| granted.add_to_roster(&gateway, &id, user, &item));
        let Some(iq) = iq else {
            stage.propose(link, user, &item);
            return "The contact was proposed to your program, which asks you if it knows how to.";
        };
        stage.answer(link, &iq);
        self.asked.push_back(Asked { until: stage.now + PATIENCE, id, link, user: user.clone(), item });
        "Your server was asked to add the contact."
    }

    /// A server has answered; `done`: as it was to. What it does not do the user's client is asked for.
    pub(super) fn server_says(&mut self, stage: &mut Stage<'_>, stanza: &Stanza, done: bool) {
        let from = |asked: &Asked| stanza.from.as_ref().is_some_and(|from| from.same_bare(&asked.user));
        let at = self.asked.iter().position(|asked| stanza.id.as_ref() == Some(&asked.id) && from(asked));
        let asked = at.and_then(|at| self.asked.remove(at));
        if let Some(asked) = asked.filter(|_| !done) {
            stage.propose(asked.link, &asked.user, &asked.item);
        }
    }

    /// Servers that have said nothing for too long.
    pub(super) fn servers_are_silent(&mut self, stage: &mut Stage<'_>) {
        while let Some(asked) = self.asked.pop_front_if(|asked| asked.until <= stage.now) {
            stage.propose(asked.link, &asked.user, &asked.item);
        }
    }

    /// When the next one has been silent for too long.
    pub(super) fn patience(&self) -> Option<Time> {
        self.asked.front().map(|asked| asked.until)
    }
}

impl Stage<'_> {
    /// The gateway's own address on a stream.
    fn gateway(&self, link: LinkId) -> Option<Jid> {
        Jid::new(None, &self.config.links.get(link)?.domain, None).ok()
    }

    /// Proposes a contact to a user's client (XEP-0144).
    fn propose(&mut self, link: LinkId, user: &Jid, item: &Item) {
        if let Some(gateway) = self.gateway(link) {
            let message = Stanza::message().with_from(gateway).with_to(user.clone()).with_child(item.to_proposal());
            self.answer(link, &message);
        }
    }

    /// A message came from `sip` and goes on as `stanza`: if `sip` is an account that XMPP users have linked, one of their own telephones has sent it, and their other
    /// devices are to be told (XEP-0280 §7), where their server lets the gateway do so: by [`Stage::tell_owners`], when it has arrived. What comes back was not sent, as
    /// far as they are concerned: the telephone says so.
    pub(crate) fn copies_for_owners(&mut self, link: LinkId, sip: &Jid, stanza: &Stanza) -> Option<Box<Copies>> {
        let owners: Vec<Jid> = self.linked.owners(&sip.bare()).map(|account| account.user.clone()).collect();
        let to = stanza.to.as_ref().filter(|_| !owners.is_empty())?;
        let gateway = Jid::new(None, sip.domain(), None).ok()?;
        let room = Arc::clone(&self.linked.granted.1);
        if Arc::strong_count(&room) > MOST_COPIED {
            return None;
        }
        let mut messages = Vec::new();
        for owner in owners {
            // What somebody writes to themselves they get as it is.
            if owner.same_bare(to) {
                continue;
            }
            let said = Stanza { from: Some(owner.clone()), type_: Some(Str::const_new("chat")), ..stanza.clone() };
            let copy = Stanza::message()
                .with_from(owner.clone())
                .with_to(owner.clone())
                .with_type("chat")
                .with_id(self.tokens.token(12))
                .with_child(carbons::sent(&said));
            let id = base::format_compact!("{ID}{}", self.tokens.token(12));
            let granted = self.linked.granted.of(link, &owner);
            messages.extend(granted.and_then(|granted| granted.send(&gateway, &id, copy)));
        }
        (!messages.is_empty()).then(|| Box::new(Copies { link, messages, room }))
    }

    /// The message has arrived.
    pub(crate) fn tell_owners(&mut self, copies: Option<Box<Copies>>) {
        if let Some(copies) = copies {
            copies.messages.iter().for_each(|message| self.answer(copies.link, message));
        }
    }
}
