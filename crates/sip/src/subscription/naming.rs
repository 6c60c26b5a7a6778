//! By what a usage is found: the name of its dialog where it has that for itself; where usages share a dialog (RFC 5057 §3), its role, its
//! package and its id as well.

use super::usage::{Entry, Made, Role};
use super::value::UsageId;
use super::{REFER, Subscriptions};
use crate::dialog::{name, name_of};
use crate::header::{Event, Name};
use crate::message::Request;
use crate::method::Method;
use base::{HashKey, ToCompactString};

/// What one usage may be found by: one that a REFER made by its number and, if no other one is, without it (RFC 3515 §2.4.6).
type Names = [Option<u128>; 2];

impl Subscriptions {
    /// The usage that a request within a dialog is about, if there is one. What belongs to a session whose dialog is shared with no
    /// usage of this package is none.
    pub fn find(&self, request: &Request) -> Option<UsageId> {
        let role = if request.method == Method::Notify { Role::Subscriber } else { Role::Notifier };
        // Whatever else has an Event means nothing by it.
        let speaks = matches!(request.method, Method::Subscribe | Method::Notify);
        let event = if speaks { request.headers.event().ok().flatten() } else { None };
        self.usage_of(request, role, event.as_ref())
    }

    /// The usage that has the request's dialog for itself, or else the one in our role and of that package and id in it.
    pub(super) fn usage_of(&self, request: &Request, role: Role, event: Option<&Event>) -> Option<UsageId> {
        let headers = &request.headers;
        let call_id = headers.get(Name::CallId).unwrap_or_default();
        let (ours, theirs) = (headers.to_tag().unwrap_or_default(), headers.from_tag().unwrap_or_default());
        let whole = name_of(&self.key, call_id, ours, theirs);
        // A NOTIFY may be the first that is heard of the other tag.
        let half = || name_of(&self.key, call_id, ours, "");
        let shared = || event.map(|event| name_in(&self.key, whole, role, &event.package, event.id()));
        let found = self.dialogs.get(&whole).or_else(|| self.dialogs.get(&half()));
        found.or_else(|| self.dialogs.get(&shared()?)).copied()
    }

    /// Whether the names of a usage that is to be are another one's.
    pub(super) fn is_known(&self, entry: &Entry) -> bool {
        names(&self.key, entry)[0].is_some_and(|name| self.dialogs.contains(&name))
    }

    /// Changes something by which a usage is found.
    pub(super) fn rename(&mut self, id: UsageId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.usages.get_mut(&id) else { return };
        let before = names(&self.key, entry);
        change(entry);
        let after = names(&self.key, entry);
        if before != after {
            self.remove_names(id, before);
            self.insert_names(id, after);
        }
    }

    pub(super) fn name(&mut self, id: UsageId) {
        if let Some(entry) = self.usages.get(&id) {
            self.insert_names(id, names(&self.key, entry));
        }
    }

    pub(super) fn unname(&mut self, id: UsageId, entry: &Entry) {
        self.remove_names(id, names(&self.key, entry));
    }

    fn insert_names(&mut self, id: UsageId, names: Names) {
        for name in names.into_iter().flatten() {
            self.dialogs.or_insert_with(name, || id);
        }
    }

    fn remove_names(&mut self, id: UsageId, names: Names) {
        for name in names.into_iter().flatten() {
            if self.dialogs.get(&name) == Some(&id) {
                self.dialogs.remove(&name);
            }
        }
    }
}

fn names(key: &HashKey, entry: &Entry) -> Names {
    let whole = name(key, &entry.dialog);
    if !entry.dialog.is_shared() {
        return [Some(whole), None];
    }
    let role = entry.role();
    match entry.made {
        Made::BySubscribe => [Some(name_in(key, whole, role, entry.package, entry.event_id.as_deref())), None],
        Made::ByRefer(None) => [None, None],
        Made::ByRefer(Some(number)) => {
            let id = number.to_compact_string();
            [Some(name_in(key, whole, role, REFER, Some(&id))), Some(name_in(key, whole, role, REFER, None))]
        }
    }
}

/// The name of a usage in a dialog of this name.
fn name_in(key: &HashKey, dialog: u128, role: Role, package: &str, id: Option<&str>) -> u128 {
    let role: &[u8] = match role {
        Role::Subscriber => b"subscriber",
        Role::Notifier => b"notifier",
    };
    let (some, id): (&[u8], _) = id.map_or((b"", ""), |id| (b"id", id));
    key.fingerprint(&[&dialog.to_be_bytes(), role, package.as_bytes(), some, id.as_bytes()]).bits()
}
