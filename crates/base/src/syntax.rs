//! What is wrong with a text.

use std::fmt;

/// Why something does not follow its grammar: a few words in ASCII that may be shown to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax(pub &'static str);

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Syntax {}
