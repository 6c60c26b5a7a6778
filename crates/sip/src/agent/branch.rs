//! The branches that we mint: RFC 3261 §8.1.1.7.
//!
//! `z9hG4bK`, two characters for the shard, thirteen for 64 random bits, and, where the user wants one, `_` and a suffix. The
//! random bits are the transaction's name, so the answer finds it without a table of branches, and nobody who has not seen the
//! request can guess an answer to it.

use base::{Str, format_compact};

/// What a branch of RFC 3261 begins with.
pub(super) const COOKIE: &str = "z9hG4bK";
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const SHARD: usize = 2;
const TOKEN: usize = 13;

/// A branch with this shard, these random bits and this suffix, which must be of the characters of a token.
pub(super) fn mint(shard: u8, bits: u64, suffix: Option<&str>) -> Str {
    let mut branch = Str::from(COOKIE);
    encode(&mut branch, u64::from(shard), SHARD);
    encode(&mut branch, bits, TOKEN);
    if let Some(suffix) = suffix {
        branch = format_compact!("{branch}_{suffix}");
    }
    branch
}

/// Eighty bits as a tag: RFC 3261 §19.3 wants 32 random ones at least.
pub(super) fn tag(bits: u128) -> Str {
    let mut tag = [0; 16];
    for (n, b) in tag.iter_mut().enumerate() {
        *b = ALPHABET[(bits >> (5 * n)) as usize & 31];
    }
    Str::from_utf8_lossy(&tag)
}

/// The shard that minted `branch`; `None` if it is none of ours.
pub fn shard_of_branch(branch: &str) -> Option<u8> {
    parse(branch).map(|(shard, _, _)| shard)
}

/// The suffix that `branch` was minted with; `None` if it has none or is none of ours.
pub fn branch_suffix(branch: &str) -> Option<&str> {
    parse(branch).and_then(|(_, _, suffix)| suffix)
}

/// Whether a Via in its text may have a branch of our form: a look that costs less than reading it.
pub(super) fn may_be_ours(via: &str) -> bool {
    // The G of the cookie is the rarest of its letters in a Via.
    memchr::memchr_iter(b'G', via.as_bytes()).any(|at| {
        let cookie = at.checked_sub(3).and_then(|start| via.as_bytes().get(start..)).unwrap_or_default();
        cookie.strip_prefix(COOKIE.as_bytes()).is_some_and(|behind| {
            behind.get(..SHARD + TOKEN).is_some_and(|token| token.iter().all(|b| value(*b).is_some()))
        })
    })
}

/// Shard, random bits and suffix of a branch of our form.
pub(super) fn parse(branch: &str) -> Option<(u8, u64, Option<&str>)> {
    let rest = branch.strip_prefix(COOKIE)?;
    let (shard, rest) = rest.split_at_checked(SHARD)?;
    let (token, rest) = rest.split_at_checked(TOKEN)?;
    let suffix = match rest {
        "" => None,
        rest => Some(rest.strip_prefix('_')?),
    };
    Some((u8::try_from(decode(shard)?).ok()?, u64::try_from(decode(token)?).ok()?, suffix))
}

fn encode(out: &mut Str, mut bits: u64, characters: usize) {
    for _ in 0..characters {
        out.push(char::from(ALPHABET[(bits & 31) as usize]));
        bits >>= 5;
    }
}

fn decode(text: &str) -> Option<u128> {
    text.bytes().rev().try_fold(0u128, |bits, b| Some(bits << 5 | u128::from(value(b)?)))
}

fn value(b: u8) -> Option<u8> {
    // The alphabet without the letters l and o and the digits 0 and 1.
    match b {
        b'a'..=b'k' => Some(b - b'a'),
        b'm'..=b'n' => Some(b - b'm' + 11),
        b'p'..=b'z' => Some(b - b'p' + 13),
        b'2'..=b'9' => Some(b - b'2' + 24),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_alphabet_is_its_own_inverse() {
        for (n, b) in ALPHABET.iter().enumerate() {
            assert_eq!(value(*b).map(usize::from), Some(n));
        }
        assert_eq!((0..=255).filter_map(value).count(), 32);
    }

    #[test]
    fn a_branch_has_its_form() {
        let branch = mint(3, 1, None);
        assert_eq!(branch, "z9hG4bKdabaaaaaaaaaaaa");
        assert!(!branch.is_heap_allocated());
        assert_eq!(mint(3, 1, Some("x%20y")), "z9hG4bKdabaaaaaaaaaaaa_x%20y");
        assert_eq!(tag(0), "aaaaaaaaaaaaaaaa");
    }

    #[test]
    fn a_foreign_branch_is_none_of_ours() {
        assert!(!may_be_ours("SIP/2.0/UDP a.example;branch=z9hG4bK776sgdkse;rport"));
        for foreign in [
            "",
            "z9hG4bK",
            "z9hG4bK776sgdkse",
            "z9hG4bKdabaaaaaaaaaaaa-x",
            "z9hG4bKdabaaaaaaaaaaaaa",
            "z9hG4bK99baaaaaaaaaaaa",
            "z9hG4bKda9999999999999",
            "Z9hG4bKdabaaaaaaaaaaaa",
            "z9hG4bKdabaaaaaaaaa\u{e9}\u{e9}",
            "z9hG4bKl0baaaaaaaaaaaa",
        ] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn what_is_minted_is_read(shard: u8, bits: u64, suffix in prop::option::of("[a-z0-9._%-]{0,64}")) {
            let branch = mint(shard, bits, suffix.as_deref());
            prop_assert_eq!(parse(&branch), Some((shard, bits, suffix.as_deref())));
            prop_assert_eq!(shard_of_branch(&branch), Some(shard));
            let via = format!("SIP/2.0/UDP a.example;x=z9hG4bK;branch={branch};rport");
            prop_assert!(may_be_ours(&via));
            prop_assert_eq!(branch_suffix(&branch), suffix.as_deref());
        }

        #[test]
        fn anything_is_read_without_panic(text in "\\PC{0,40}", tail in "[a-z2-9_]{0,20}") {
            let _ = parse(&text);
            let _ = parse(&format!("{COOKIE}{tail}"));
            let _ = parse(&format!("{COOKIE}{text}"));
        }
    }
}
