//! The identifiers of the tables of RFC 7572 and RFC 7573: thread <-> Call-ID, id <-> transaction identifier.

use base::Str;

/// Opens a Call-ID that carries a thread which is no legal Call-ID by itself.
const ENCODED: &str = "~t~";

/// The longest thread that becomes a Call-ID, in bytes after encoding. A longer one is left out: a MESSAGE holds 1300.
const LONGEST: usize = 400;

/// RFC 7572 Table 1: the thread is the Call-ID. One that RFC 3261's `callid` does not allow is carried percent-encoded behind
/// a mark, so that the way back gives the same thread. `None` for a thread that is empty or too long to carry.
pub(crate) fn call_id_of_thread(thread: &str) -> Option<Str> {
    let plain = is_call_id(thread) && !thread.starts_with(ENCODED);
    let call_id = if plain { Str::from(thread) } else { encode(ENCODED, thread.as_bytes()) };
    (!thread.is_empty() && call_id.len() <= LONGEST).then_some(call_id)
}

/// RFC 7572 Table 2: the Call-ID is the thread; what [`call_id_of_thread`] encoded is decoded again.
pub(crate) fn thread_of_call_id(call_id: &str) -> Str {
    let decoded = call_id.strip_prefix(ENCODED).and_then(decode);
    match decoded {
        // Only our own spelling is undone: two Call-IDs never become one thread.
        Some(thread) if call_id_of_thread(&thread).as_deref() == Some(call_id) => thread,
        _ => Str::from(call_id),
    }
}

/// The suffix of a branch that carries a stanza id (RFC 7572 Table 1: id is the transaction identifier). `None` for an id that is
/// empty or too long (64 bytes encoded): the branch is unique without it.
pub(crate) fn branch_suffix_of_id(id: &str) -> Option<Str> {
    let suffix = encode("", id.as_bytes());
    (!suffix.is_empty() && suffix.len() <= 64).then_some(suffix)
}

/// RFC 7572 Table 2: the transaction identifier is the id. A branch of Verona's own form carries the stanza id of the other side.
pub(crate) fn id_of_branch(branch: &str) -> Str {
    let carried = sip::agent::branch_suffix(branch).and_then(decode);
    match carried {
        Some(id) if branch_suffix_of_id(&id).as_deref() == sip::agent::branch_suffix(branch) => id,
        _ => Str::from(branch),
    }
}

/// The imdn.Message-ID (RFC 5438 §6.3, a token) for a message with this stanza id. `None` for an id that is empty or too long (200
/// bytes encoded).
pub(crate) fn message_id_of_id(id: &str) -> Option<Str> {
    let message_id = encode("", id.as_bytes());
    (!message_id.is_empty() && message_id.len() <= 200).then_some(message_id)
}

/// The stanza id that [`message_id_of_id`] made this of; any other Message-ID as it is.
pub(crate) fn id_of_message_id(message_id: &str) -> Str {
    match decode(message_id) {
        Some(id) if message_id_of_id(&id).as_deref() == Some(message_id) => id,
        _ => Str::from(message_id),
    }
}

/// RFC 3261 §25.1: `callid = word [ "@" word ]`.
fn is_call_id(s: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&b))
    };
    match s.split_once('@') {
        Some((left, right)) => word(left) && word(right),
        None => word(s),
    }
}

/// Percent-encodes all but the characters that stand for themselves in a token (RFC 3261) and in a Call-ID.
fn encode(prefix: &str, bytes: &[u8]) -> Str {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Str::from(prefix);
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
    out
}

fn decode(s: &str) -> Option<Str> {
    let bytes = sip::uri::percent_decode(s).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| Str::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_thread_that_is_a_call_id_stays_as_it_is() {
        for t in ["711609sa", "D9AA95FD-2BD5-46E2-AF0F-6CFAA96BDDFA", "a@b", "e0ffe42b28561960c6b12b944a092794b9683a38"]
        {
            assert_eq!(call_id_of_thread(t).as_deref(), Some(t));
            assert_eq!(thread_of_call_id(t), t);
        }
    }

    #[test]
    fn a_thread_that_is_none_is_carried() {
        assert_eq!(call_id_of_thread("a b").as_deref(), Some("~t~a%20b"));
        assert_eq!(thread_of_call_id("~t~a%20b"), "a b");
        assert_eq!(call_id_of_thread("a@b@c").as_deref(), Some("~t~a%40b%40c"));
        assert_eq!(call_id_of_thread("x\r\nVia: y").as_deref(), Some("~t~x%0D%0AVia%3A%20y"));
        assert_eq!(call_id_of_thread(""), None);
        assert_eq!(call_id_of_thread(&"x".repeat(401)), None);
    }

    #[test]
    fn what_only_looks_encoded_is_left_alone() {
        for foreign in ["~t~%41", "~t~a%2", "~t~%0A", "~t~", "~t~%FF", "~t~plain"] {
            assert_eq!(thread_of_call_id(foreign), foreign);
        }
        assert_eq!(id_of_branch("z9hG4bK776sgdkse"), "z9hG4bK776sgdkse");
    }

    proptest! {
        #[test]
        fn threads_come_back(t in "\\PC{1,40}") {
            let call_id = call_id_of_thread(&t).unwrap();
            prop_assert!(is_call_id(&call_id));
            prop_assert_eq!(thread_of_call_id(&call_id), t);
        }

        #[test]
        fn two_call_ids_are_never_one_thread(a in "(~t~)?[a-c%0-9A-F~]{1,8}", b in "(~t~)?[a-c%0-9A-F~]{1,8}") {
            prop_assume!(a != b);
            prop_assert_ne!(thread_of_call_id(&a), thread_of_call_id(&b));
        }
    }
}
