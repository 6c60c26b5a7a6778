//! The licences of everything that is linked, and one version of what matters.

use super::Finding;
use super::metadata::Metadata;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What the house may be linked with. MPL-2.0: unmodified only, and its files stay under it. deny.toml says the same.
const MAY: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Libraries of which two versions at once would hurt: their types meet, or they own something of the process.
const ONCE: &[&str] =
    &["axum", "bytes", "hyper", "idna", "metrics", "mio", "precis-profiles", "rand_core", "serde", "tokio", "tracing"];

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = vec![];
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.packages.values() {
        versions.entry(&package.name).or_default().insert(&package.version);
        let at = format!("{} {}", package.name, package.version);
        match package.licence.as_deref().map(|text| (text, allowed(text))) {
            None => findings.push(Finding::new(at, "says nothing of its licence")),
            Some((text, None)) => findings.push(Finding::new(at, format!("a licence that cannot be read: {text}"))),
            Some((text, Some(false))) => findings.push(Finding::new(at, format!("{text} is not on the list"))),
            Some((_, Some(true))) => {}
        }
    }
    for (name, versions) in versions.iter().filter(|(name, versions)| ONCE.contains(name) && versions.len() > 1) {
        let versions: Vec<&str> = versions.iter().copied().collect();
        findings.push(Finding::warning(*name, format!("several versions: {}", versions.join(", "))));
    }
    findings
}

/// Runs cargo-deny where it is installed: it knows advisories, too.
pub(super) fn cargo_deny(root: &Path) -> Vec<Finding> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|out| out.status.success());
    if !installed {
        return vec![Finding::warning(
            "cargo deny",
            "not installed; licences and sources were checked here, advisories were not",
        )];
    }
    match Command::new("cargo").args(["deny", "check", "licenses", "bans", "sources"]).current_dir(root).output() {
        Ok(out) if out.status.success() => vec![],
        Ok(out) => vec![Finding::new("cargo deny", String::from_utf8_lossy(&out.stderr).into_owned())],
        Err(e) => vec![Finding::new("cargo deny", e.to_string())],
    }
}

/// Whether an SPDX expression leaves a choice that is on the list; `None` where it is no such expression. The old form `MIT/Apache-2.0`
/// is read as "or".
fn allowed(expression: &str) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = either(&mut words)?;
    words.next().is_none().then_some(verdict)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `a OR b`
fn either(words: &mut Words<'_>) -> Option<bool> {
    let mut verdict = both(words)?;
    while words.next_if_eq(&"OR").is_some() {
        verdict |= both(words)?;
    }
    Some(verdict)
}

/// `a AND b`
fn both(words: &mut Words<'_>) -> Option<bool> {
    let mut verdict = single(words)?;
    while words.next_if_eq(&"AND").is_some() {
        verdict &= single(words)?;
    }
    Some(verdict)
}

/// A licence, a licence with an exception, or an expression in parentheses.
fn single(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let verdict = either(words)?;
            words.next_if_eq(&")")?;
            Some(verdict)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        licence => match words.next_if_eq(&"WITH") {
            Some(_) => Some(MAY.contains(&format!("{licence} WITH {}", words.next()?).as_str())),
            None => Some(MAY.contains(&licence)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::Package;

    #[test]
    fn licences_are_read_as_spdx_means_them() {
        for (expression, verdict) in [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("MIT OR GPL-3.0-only", Some(true)),
            ("MIT AND GPL-3.0-only", Some(false)),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true)),
            ("MIT AND GPL-3.0-only OR ISC", Some(true)),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", Some(true)),
            ("MIT WITH LLVM-exception", Some(false)),
            ("MIT/Apache-2.0", Some(true)),
            ("", None),
            ("MIT Apache-2.0", None),
            ("(MIT", None),
            ("MIT OR", None),
            ("MIT)", None),
        ] {
            assert_eq!(allowed(expression), verdict, "{expression}");
        }
    }

    #[test]
    fn packages_are_looked_at_one_by_one() {
        let package = |name: &str, version: &str, licence: Option<&str>| {
            let (name, version, licence) = (name.to_owned(), version.to_owned(), licence.map(str::to_owned));
            (format!("{name} {version}"), Package { name, version, licence, ..Package::default() })
        };
        let packages = [
            package("good", "1.0.0", Some("MIT")),
            package("bad", "1.0.0", Some("SSPL-1.0")),
            package("silent", "1.0.0", None),
            package("tokio", "1.0.0", Some("MIT")),
            package("tokio", "2.0.0", Some("MIT")),
        ];
        assert_eq!(
            check(&Metadata { packages: packages.into() }),
            [
                Finding::new("bad 1.0.0", "SSPL-1.0 is not on the list"),
                Finding::new("silent 1.0.0", "says nothing of its licence"),
                Finding::warning("tokio", "several versions: 1.0.0, 2.0.0"),
            ]
        );
    }
}
