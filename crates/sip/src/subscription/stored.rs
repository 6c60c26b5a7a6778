//! What outlives the process: subscriptions that have a dialog for themselves.

use super::usage::{Entry, Made, Part, Role, Usage, UsageState, Wish};
use super::value::{Event, Kind, Refused, UsageId};
use super::{Subscriptions, notifier, subscriber};
use crate::ground::Ground;
use base::{Str, Time, format_compact};

impl Subscriptions {
    /// What to store of a usage. `None` if it is not known, has no dialog yet or not for itself, was made by a REFER, or is about to end. A SUBSCRIBE that came can be stored
    /// before it is accepted; then with what it gets at most.
    pub fn snapshot(&self, now: Time, id: UsageId) -> Option<Usage> {
        let entry = self.usages.get(&id)?;
        let fetch = entry.role() == Role::Subscriber && entry.expires == 0;
        if entry.dialog.remote_tag.is_empty() || entry.fleeting || entry.ending || fetch {
            return None;
        }
        let asked = entry.unanswered.iter().rev().find_map(|u| match u.wish {
            Wish::Watch { kind: Kind::New | Kind::Refresh, expires, .. } => Some(expires),
            Wish::Watch { .. } | Wish::Notify { .. } => None,
        });
        let (state, expires, expires_in) = match entry.state {
            UsageState::Init => (UsageState::RespWait, asked?, asked?),
            UsageState::Terminated => return None,
            state => (state, asked.unwrap_or(entry.expires), asked.unwrap_or_else(|| entry.left(now))),
        };
        let (accept, source) = match &entry.part {
            Part::Subscriber(part) => (part.accept.clone(), None),
            Part::Notifier(part) => (Str::default(), part.source),
        };
        let local_cseq = entry.dialog.local_cseq().saturating_add(self.config.reserve);
        Some(Usage {
            role: entry.role(),
            dialog: entry.dialog.at(local_cseq),
            package: Str::const_new(entry.package),
            event_id: entry.event_id.clone(),
            state,
            contact: stored_contact(&entry.contact),
            accept,
            expires,
            expires_in,
            source,
        })
    }

    /// A snapshot is on disk: `ceiling` is its dialog's `local_cseq`. Numbers up to that may be used.
    pub fn confirmed(&mut self, id: UsageId, ceiling: u32) {
        if let Some(entry) = self.usages.get_mut(&id) {
            entry.ceiling = entry.ceiling.max(ceiling);
            entry.save_again = Time::ZERO;
            self.settle(id);
        }
    }

    /// Goes on with a stored usage. Nothing is sent by itself; what ran out meanwhile ends with the next [`Subscriptions::timeout`]. Before it
    /// sends anything but a last word it asks to be stored again, as its numbers up to the stored one may have been used.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was changed.
    pub fn restore(&mut self, ground: &mut Ground<'_>, usage: Usage, expires_at: Time) -> Result<UsageId, Refused> {
        self.now = ground.now;
        let package = self.package(&usage.package).ok_or(Refused::Package)?;
        let dialog = usage.dialog;
        let sound = !dialog.local_tag.is_empty() && !dialog.remote_tag.is_empty() && dialog.target().is_some();
        if !sound {
            return Err(Refused::Broken);
        }
        let (part, state) = match (usage.role, usage.state) {
            (Role::Subscriber, state @ (UsageState::NotifyWait | UsageState::Pending | UsageState::Active)) => {
                (Part::Subscriber(subscriber::Part::restored(usage.accept, state)), state)
            }
            (Role::Notifier, state @ (UsageState::RespWait | UsageState::Pending | UsageState::Active)) => {
                (Part::Notifier(notifier::Part::new(usage.source)), state)
            }
            (Role::Subscriber | Role::Notifier, _) => return Err(Refused::Broken),
        };
        if self.usages.len() >= self.config.max_usages {
            return Err(Refused::Full);
        }
        let contact = restored_contact(usage.contact);
        let made = Made::BySubscribe;
        let mut entry = Entry::new(package, usage.event_id, made, contact, dialog, part, &self.config);
        if self.is_known(&entry) {
            return Err(Refused::Known);
        }
        entry.state = state;
        // All numbers up to this one may have been used, and the next process would begin here again.
        entry.ceiling = entry.dialog.local_cseq();
        entry.expires = usage.expires;
        entry.expires_at = Some(expires_at);
        if let Part::Subscriber(part) = &mut entry.part {
            part.set_refresh(ground, expires_at);
        }
        let id = self.insert(entry);
        self.settle(id);
        Ok(id)
    }

    /// Asks the layer above to store a usage.
    pub(super) fn save(&mut self, id: UsageId) {
        if let Some(entry) = self.usages.get_mut(&id)
            && !entry.save_waits
            && !entry.fleeting
        {
            entry.save_waits = true;
            self.events.push_back(Event::Save { id, package: entry.package });
        }
    }
}

/// Our Contact as it is stored: a URI, as it always was, unless there is more to it.
fn stored_contact(contact: &str) -> Str {
    let uri = contact.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    Str::new(uri.unwrap_or(contact))
}

/// The name-addr that a stored Contact is.
fn restored_contact(stored: Str) -> Str {
    if stored.starts_with(['<', '"']) { stored } else { format_compact!("<{stored}>") }
}
