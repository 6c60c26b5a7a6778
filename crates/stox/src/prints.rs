//! What stands for users, pairs and messages in tables: their bare addresses under the table's key. The order of two addresses counts.

use base::{Fingerprint, HashKey};
use xmpp::jid::Jid;

fn parts(jid: &Jid) -> [&[u8]; 2] {
    [jid.local().unwrap_or("").as_bytes(), jid.domain().as_bytes()]
}

/// A user.
pub(crate) fn user(key: &HashKey, user: &Jid) -> Fingerprint {
    key.fingerprint(&parts(user))
}

/// All users of a domain.
pub(crate) fn domain(key: &HashKey, domain: &str) -> Fingerprint {
    key.fingerprint(&[domain.as_bytes()])
}

/// A pair of users.
pub(crate) fn pair(key: &HashKey, one: &Jid, other: &Jid) -> Fingerprint {
    let ([a, b], [c, d]) = (parts(one), parts(other));
    key.fingerprint(&[a, b, c, d])
}

/// What one user said to another under an id.
pub(crate) fn said(key: &HashKey, id: &str, from: &Jid, to: &Jid) -> Fingerprint {
    let ([a, b], [c, d]) = (parts(from), parts(to));
    key.fingerprint(&[id.as_bytes(), a, b, c, d])
}
