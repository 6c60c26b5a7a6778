//! The protocol crates have no clock, socket, thread or random source: by their dependencies, and by a clippy.toml that is the same
//! in each of them.

use super::Finding;
use super::files::Tree;
use super::metadata::Metadata;

/// The pure crates, by folder.
const PURE: &[&str] = &["base", "xml", "bodies", "sip", "msrp", "ng", "xmpp", "stox"];

/// Libraries that do what a pure crate must not.
const SHELLS: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "async-io",
    "async-std",
    "smol",
    "hyper",
    "reqwest",
    "getrandom",
    "chrono",
    "time",
    "quanta",
];

/// What the source of a pure crate does not name, not even in tests: clippy's list covers what has a path of its own, not what is
/// reached through a prelude or a macro.
const WORDS: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::",
    "std::process::",
    "std::thread::",
    "SystemTime::now",
    "Instant::now",
];

pub(super) fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = vec![];
    let folders: Vec<&str> = PURE.iter().copied().filter(|f| tree.has(&format!("crates/{f}/Cargo.toml"))).collect();
    let Some(model) = folders.first().and_then(|f| tree.text(&format!("crates/{f}/clippy.toml"))) else {
        return vec![Finding::new("crates/base/clippy.toml", "missing: it says what a pure crate must not use")];
    };
    for folder in &folders {
        let path = format!("crates/{folder}/clippy.toml");
        match tree.text(&path) {
            None => findings.push(Finding::new(path, "missing: every pure crate has the same")),
            Some(text) if text != model => findings.push(Finding::new(path, "differs from crates/base/clippy.toml")),
            Some(_) => {}
        }
        let source = format!("crates/{folder}/src/");
        for (path, text) in tree.files().filter(|(path, _)| path.starts_with(&source) && path.ends_with(".rs")) {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or(line);
                for word in WORDS.iter().filter(|word| code.contains(**word)) {
                    findings.push(Finding::new(format!("{path}:{}", number + 1), format!("{word} in a pure crate")));
                }
            }
        }
    }
    for package in metadata.ours().filter(|p| folders.iter().any(|f| p.name == format!("verona-{f}"))) {
        for (id, way) in metadata.linked(package) {
            if SHELLS.contains(&metadata.name(id)) {
                findings
                    .push(Finding::new(&package.name, format!("is linked with {} in a pure crate", way.join(" -> "))));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::Package;

    #[test]
    fn what_is_not_pure_is_found() {
        let good: &[(&str, &str)] = &[
            ("crates/base/Cargo.toml", ""),
            ("crates/base/clippy.toml", "a"),
            ("crates/base/src/lib.rs", "// std::thread::sleep is for others\n"),
            ("crates/sip/Cargo.toml", ""),
            ("crates/sip/clippy.toml", "a"),
            ("crates/verona/src/io.rs", "use std::thread::spawn;"),
        ];
        assert_eq!(check(&Tree::of(good), &Metadata::default()), []);

        let mut bad = good.to_vec();
        bad[4].1 = "b";
        bad[2].1 = "fn f() {\n    std::thread::sleep(d)\n}";
        assert_eq!(
            check(&Tree::of(&bad), &Metadata::default()),
            [
                Finding::new("crates/base/src/lib.rs:2", "std::thread:: in a pure crate"),
                Finding::new("crates/sip/clippy.toml", "differs from crates/base/clippy.toml"),
            ]
        );
    }

    #[test]
    fn a_socket_far_down_is_found_with_the_way_to_it() {
        let package = |name: &str, ours, normal: &[&str]| {
            let normal = normal.iter().map(|n| (*n).to_owned()).collect();
            (name.to_owned(), Package { name: name.to_owned(), ours, normal, ..Package::default() })
        };
        let packages = [
            package("verona-sip", true, &["parser"]),
            package("parser", false, &["tokio"]),
            package("tokio", false, &[]),
            package("verona", true, &["tokio"]),
        ];
        let tree = Tree::of(&[("crates/sip/Cargo.toml", ""), ("crates/sip/clippy.toml", "a")]);
        assert_eq!(
            check(&tree, &Metadata { packages: packages.into() }),
            [Finding::new("verona-sip", "is linked with parser -> tokio in a pure crate")]
        );
    }
}
