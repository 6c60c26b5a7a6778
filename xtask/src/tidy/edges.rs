//! Which crate may stand on which. SIP, MSRP and XMPP do not know each other, and carry bodies without reading them: only so can each
//! be tested, and understood, alone.

use super::Finding;
use super::metadata::{Metadata, Package};

/// The house's crates and what each may be linked with.
const MAY: &[(&str, &[&str])] = &[
    ("verona-base", &[]),
    ("verona-xml", &["verona-base"]),
    ("verona-bodies", &["verona-base", "verona-xml"]),
    ("verona-sip", &["verona-base"]),
    ("verona-msrp", &["verona-base"]),
    ("verona-ng", &["verona-base"]),
    ("verona-xmpp", &["verona-base", "verona-xml"]),
    (
        "verona-stox",
        &["verona-base", "verona-xml", "verona-bodies", "verona-sip", "verona-msrp", "verona-ng", "verona-xmpp"],
    ),
    (
        "verona-rehearsal",
        &[
            "verona-base",
            "verona-xml",
            "verona-bodies",
            "verona-sip",
            "verona-msrp",
            "verona-ng",
            "verona-xmpp",
            "verona-stox",
        ],
    ),
    (
        "verona",
        &[
            "verona-base",
            "verona-xml",
            "verona-bodies",
            "verona-sip",
            "verona-msrp",
            "verona-ng",
            "verona-xmpp",
            "verona-stox",
            "verona-rehearsal",
        ],
    ),
    // What measures the others stands on none of them.
    ("verona-load", &[]),
    ("xtask", &[]),
];

/// What tests may stand on besides.
const TESTS_MAY: &[&str] = &["verona-rehearsal"];

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.ours().flat_map(|package| one(metadata, package)).collect()
}

fn one(metadata: &Metadata, package: &Package) -> Vec<Finding> {
    let Some((_, may)) = MAY.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::new(
            &package.name,
            "a crate without a place: say in xtask/src/tidy/edges.rs what it stands on",
        )];
    };
    let ours = |id: &&String| metadata.packages.get(*id).is_some_and(|p| p.ours);
    let mut findings = vec![];
    for id in package.normal.iter().filter(ours) {
        let name = metadata.name(id);
        if !may.contains(&name) {
            findings.push(Finding::new(&package.name, format!("must not stand on {name}")));
        }
    }
    for id in package.others.iter().filter(ours) {
        let name = metadata.name(id);
        if !may.contains(&name) && !TESTS_MAY.contains(&name) {
            findings.push(Finding::new(&package.name, format!("must not stand on {name}, not even in its tests")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of these packages; each dependency is a name, with a `?` where only tests use it.
    fn workspace(packages: &[(&str, &[&str])]) -> Metadata {
        let mut metadata = Metadata::default();
        for (name, dependencies) in packages {
            let mut package = Package { name: (*name).to_owned(), ours: true, ..Package::default() };
            for dependency in *dependencies {
                match dependency.strip_suffix('?') {
                    Some(name) => package.others.insert(name.to_owned()),
                    None => package.normal.insert((*dependency).to_owned()),
                };
            }
            metadata.packages.insert((*name).to_owned(), package);
        }
        metadata
    }

    #[test]
    fn every_edge_that_must_not_be_is_found() {
        let good = workspace(&[
            ("verona-base", &[]),
            ("verona-sip", &["verona-base", "verona-rehearsal?"]),
            ("verona-xmpp", &["verona-base"]),
            ("verona-rehearsal", &["verona-sip", "verona-xmpp"]),
            ("verona", &["verona-sip", "verona-rehearsal"]),
        ]);
        assert_eq!(check(&good), []);

        for (bad, said) in [
            (vec![("verona-sip", &["verona-xmpp"][..]), ("verona-xmpp", &[])], "must not stand on verona-xmpp"),
            (vec![("verona-sip", &["verona-bodies"][..]), ("verona-bodies", &[])], "must not stand on verona-bodies"),
            (
                vec![("verona-stox", &["verona-rehearsal"][..]), ("verona-rehearsal", &[])],
                "must not stand on verona-rehearsal",
            ),
            (
                vec![("verona-rehearsal", &["verona?"][..]), ("verona", &[])],
                "must not stand on verona, not even in its tests",
            ),
            (
                vec![("verona-new", &[][..])],
                "a crate without a place: say in xtask/src/tidy/edges.rs what it stands on",
            ),
        ] {
            let findings = check(&workspace(&bad));
            assert_eq!(findings, [Finding::new(bad[0].0, said)]);
        }
    }
}
