//! The files of the tree: what is in none of them, and how long they are.

use super::Finding;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Beyond this a file says in its first lines why it is so long.
const LONGEST: usize = 600;

/// How a file says so, in a comment near its start.
const EXPLANATION: &str = "Longer than most:";

/// Parts of paths and names that belong to one machine or to a registry that is not the public one.
const NOWHERE: &[&str] = &[
    "/home/",
    "/root/",
    "/Users/",
    "/var/tmp/",
    "[source.crates-io]",
    "replace-with",
    "[registries",
    "index = \"http",
];

/// The text files under version control, or about to be, by path from the root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Tree, String> {
        let out = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|e| e.to_string())?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        let mut files = BTreeMap::new();
        for path in String::from_utf8_lossy(&out.stdout).split('\0').filter(|p| !p.is_empty()) {
            // What is no text has nothing to read; what was deleted and not committed is not there.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Tree { files })
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    for (path, text) in tree.files() {
        // This file holds the words that it looks for; corpora hold whatever their authors wanted.
        let looked_at = !path.starts_with("xtask/src/tidy/") && !path.contains("/corpus/");
        for (number, line) in text.lines().enumerate().filter(|_| looked_at) {
            for word in NOWHERE.iter().filter(|word| line.contains(**word)) {
                let what = format!("{word:?} belongs to one machine or one registry");
                findings.push(Finding::new(format!("{path}:{}", number + 1), what));
            }
        }
        let lines = text.lines().count();
        if path.ends_with(".rs") && lines > LONGEST && !text.lines().take(30).any(|l| l.contains(EXPLANATION)) {
            let what = format!("{lines} lines: split it, or say why not behind \"// {EXPLANATION}\"");
            findings.push(Finding::new(path, what));
        }
        if path == "Cargo.lock" {
            findings.extend(sources(text));
        }
    }
    findings
}

/// Every package comes from the public registry or from this tree.
fn sources(lock: &str) -> Vec<Finding> {
    const PUBLIC: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let other = |(number, line): (usize, &str)| {
        let elsewhere = line.starts_with("source = ") && line != PUBLIC;
        elsewhere.then(|| Finding::new(format!("Cargo.lock:{}", number + 1), format!("not from crates.io: {line}")))
    };
    lock.lines().enumerate().filter_map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_machine_is_found() {
        let tree = Tree::of(&[
            ("README.md", "fine\nsee /home/me/notes"),
            ("crates/sip/corpus/x", "/home/me"),
            (
                "Cargo.lock",
                "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://example.org/x\"",
            ),
        ]);
        assert_eq!(
            check(&tree),
            [
                Finding::new("Cargo.lock:2", "not from crates.io: source = \"git+https://example.org/x\""),
                Finding::new("README.md:2", "\"/home/\" belongs to one machine or one registry"),
            ]
        );
    }

    #[test]
    fn a_long_file_says_why() {
        let long = "x\n".repeat(LONGEST + 1);
        let explained = format!("//! A table.\n// {EXPLANATION} it is one table.\n{long}");
        let tree = Tree::of(&[("a.rs", &long), ("b.rs", &explained), ("c.md", &long)]);
        assert_eq!(
            check(&tree),
            [Finding::new("a.rs", "601 lines: split it, or say why not behind \"// Longer than most:\"")]
        );
    }
}
