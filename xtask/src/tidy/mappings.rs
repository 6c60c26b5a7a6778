//! One folder per RFC, and none knows another: what two of them need moves down to what they share.

use super::Finding;
use super::files::Tree;
use std::collections::BTreeSet;

/// The folder that holds the mappings.
const STOX: &str = "crates/stox/src/";

/// What is below the mappings and must not know them.
const SHARED: &[&str] = &["address", "content", "error", "leg"];

/// What owns the mappings, and so knows them all.
const ABOVE: &[&str] = &["gateway"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = || tree.files().filter(|(path, _)| path.starts_with(STOX) && path.ends_with(".rs"));
    let place = |path: &str| path[STOX.len()..].split(['/', '.']).next().unwrap_or_default().to_owned();
    let mappings: BTreeSet<String> = sources()
        .filter(|(path, _)| path[STOX.len()..].contains('/'))
        .map(|(path, _)| place(path))
        .filter(|name| !SHARED.contains(&name.as_str()) && !ABOVE.contains(&name.as_str()))
        .collect();
    let mut findings = vec![];
    for (path, text) in sources() {
        let own = place(path);
        let is_mapping = mappings.contains(&own);
        if !is_mapping && !SHARED.contains(&own.as_str()) {
            continue;
        }
        // src/error.rs and src/message/mod.rs are one step below the root, src/message/x2s.rs two.
        let level = path[STOX.len()..].matches('/').count() + usize::from(!path.ends_with("/mod.rs"));
        for other in mappings.iter().filter(|other| **other != own) {
            for (number, line) in text.lines().enumerate() {
                if names(line, other, level) {
                    let what = match is_mapping {
                        true => format!("the mapping {own} uses the mapping {other}: move what both need down"),
                        false => format!("{own} is below the mappings and must not know {other}"),
                    };
                    findings.push(Finding::new(format!("{path}:{}", number + 1), what));
                }
            }
        }
    }
    findings
}

/// Whether a line of code names a module of the crate's root, by `crate::` or by so many `super::` as lead there.
fn names(line: &str, module: &str, level: usize) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    let ways =
        [format!("crate::{module}"), format!("{}{module}", "super::".repeat(level)), format!("crate::{{{module}")];
    ways.iter().filter(|way| !way.starts_with(module)).any(|way| {
        code.match_indices(way.as_str()).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            let after = code[at + way.len()..].chars().next();
            let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !in_word(after) && !in_word(before) && before != Some(':')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_know_each_other_are_found() {
        let good: &[(&str, &str)] = &[
            ("crates/stox/src/address/mod.rs", "use crate::error::Refusal;"),
            ("crates/stox/src/error.rs", "// crate::message says more"),
            ("crates/stox/src/gateway.rs", "use crate::message::Messages; use crate::presence;"),
            ("crates/stox/src/gateway/access.rs", "use crate::presence;"),
            ("crates/stox/src/message/mod.rs", "use crate::address; mod x2s; use crate::messages_of_others;"),
            ("crates/stox/src/message/x2s.rs", "use super::presence_of_mind; use crate::message::content;"),
            ("crates/stox/src/presence/mod.rs", "use crate::error;"),
        ];
        assert_eq!(check(&Tree::of(good)), []);

        let bad: &[(&str, &str)] = &[
            ("crates/stox/src/error.rs", "use crate::presence::Pidf;"),
            ("crates/stox/src/message/mod.rs", "mod x2s;\nuse super::presence::X;"),
            ("crates/stox/src/message/x2s.rs", "use super::super::presence;"),
            ("crates/stox/src/presence/mod.rs", "fn f() -> crate::message::Kind {}"),
        ];
        let lines: Vec<String> = check(&Tree::of(bad)).into_iter().map(|f| format!("{}: {}", f.at, f.what)).collect();
        assert_eq!(
            lines,
            [
                "crates/stox/src/error.rs:1: error is below the mappings and must not know presence",
                "crates/stox/src/message/mod.rs:2: the mapping message uses the mapping presence: move what both need down",
                "crates/stox/src/message/x2s.rs:1: the mapping message uses the mapping presence: move what both need down",
                "crates/stox/src/presence/mod.rs:1: the mapping presence uses the mapping message: move what both need down",
            ]
        );
    }
}
