//! What the compiler does not check: the edges between the crates, the purity of the protocol crates, the tables of rules, licences,
//! and that nothing of one person's machine is in the tree.

mod edges;
mod files;
mod licences;
mod mappings;
mod metadata;
mod purity;
mod rules;

use crate::say;
use metadata::Metadata;
use std::path::Path;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Warnings are printed and fail nothing.
    pub(crate) warning: bool,
    /// The file, or the package.
    pub(crate) at: String,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Finding {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { warning: false, at: at.into(), what: what.into() }
    }

    fn warning(at: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { warning: true, ..Finding::new(at, what) }
    }
}

/// Runs every check and prints what they find. Whether all is well.
pub(crate) fn run(root: &Path) -> bool {
    let tree = match files::Tree::read(root) {
        Ok(tree) => tree,
        Err(e) => {
            say(&format!("the tree cannot be read: {e}"));
            return false;
        }
    };
    let metadata = match Metadata::of(root) {
        Ok(metadata) => metadata,
        Err(e) => {
            say(&format!("cargo metadata: {e}"));
            return false;
        }
    };
    let checks: [(&str, Vec<Finding>); 7] = [
        ("edges", edges::check(&metadata)),
        ("purity", purity::check(&tree, &metadata)),
        ("mappings", mappings::check(&tree)),
        ("rules", rules::check(&tree)),
        ("licences", licences::check(&metadata)),
        ("files", files::check(&tree)),
        ("cargo deny", licences::cargo_deny(root)),
    ];
    let mut good = true;
    for (name, mut findings) in checks {
        findings.sort();
        findings.dedup();
        let wrong = findings.iter().filter(|f| !f.warning).count();
        good &= wrong == 0;
        say(&format!("{} {name}", if wrong == 0 { "ok   " } else { "WRONG" }));
        for Finding { warning, at, what } in findings {
            say(&format!("      {}{at}: {what}", if warning { "note: " } else { "" }));
        }
    }
    good
}
