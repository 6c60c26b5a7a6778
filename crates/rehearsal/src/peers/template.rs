//! The files under `interop/`: configurations with `@NAMES@` to fill in, and scripts.

use std::fs;
use std::path::{Path, PathBuf};

/// The file `name` under `interop/`.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop").join(name)
}

/// The template `name` with each `@KEY@` replaced by its value. A key that the template does not have, or one of its
/// own that was not filled in, is a mistake in the test.
#[track_caller]
pub(super) fn fill(name: &str, values: &[(&str, &str)]) -> String {
    let path = path(name);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    // What the file says of itself is not to be filled in.
    text = text.replace("@NAMES@", "Names in at signs");
    for (key, value) in values {
        let mark = format!("@{key}@");
        assert!(text.contains(&mark), "{name} has no {mark}");
        text = text.replace(&mark, value);
    }
    let left = text.split('@').skip(1).step_by(2).find(|w| !w.is_empty() && w.bytes().all(is_key));
    assert!(left.is_none(), "{name}: @{}@ was not filled in", left.unwrap_or_default());
    text
}

fn is_key(b: u8) -> bool {
    b.is_ascii_uppercase() || b == b'_'
}
