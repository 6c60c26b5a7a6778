//! The tables `rfc/NNNN.toml`: every MUST and SHOULD of an RFC, and which test shows it, or why there is none. Those of a XEP are called
//! `xep-NNNN.toml` and begin with `[xep]`, those of a draft `NAME.toml` with `[draft]` and its `name`.
//!
//! ```toml
//! [rfc]
//! number = 7572               # the number in the file's name
//! title = "..."
//! [[rule]]
//! id = "4-body"               # no other rule has it
//! section = "4"
//! level = "MUST"              # as the RFC has it, or "rule without a keyword"
//! gist = "..."                # in our words
//! where = "crates/stox/src/message/x2s.rs"              # a file or folder that exists; or a list of them
//! test = "stox::message::tests::a_test"                 # a function, or a file such as "rfc7572-4.scene"; or a list
//! reason = "..."                                        # instead: why it is not done, or cannot be tested
//! ```
//!
//! `rfc/errata.toml` has `[[erratum]]` entries: rfc, section, fault, reading; and test, where there is one.

use super::Finding;
use super::files::Tree;
use std::collections::BTreeSet;
use toml::{Table, Value};

const LEVELS: &[&str] = &[
    "MUST",
    "MUST NOT",
    "REQUIRED",
    "SHALL",
    "SHALL NOT",
    "SHOULD",
    "SHOULD NOT",
    "RECOMMENDED",
    "NOT RECOMMENDED",
    "MAY",
    "OPTIONAL",
    "rule without a keyword",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    let index = tree.text("rfc/index.md").unwrap_or_default();
    let tables = tree.files().filter(|(path, _)| path.starts_with("rfc/") && path.ends_with(".toml"));
    for (path, content) in tables {
        let name = &path["rfc/".len()..];
        if !index.contains(name) {
            findings.push(Finding::new("rfc/index.md", format!("does not name {name}")));
        }
        let table = match content.parse::<Table>() {
            Ok(table) => table,
            Err(e) => {
                findings.push(Finding::new(path, format!("not TOML: {}", e.message())));
                continue;
            }
        };
        let rfc = name != "errata.toml";
        if rfc && title(&table).as_deref() != name.strip_suffix(".toml") {
            findings.push(Finding::new(path, "its [rfc], [xep] or [draft] has not the number or name of the file"));
        }
        let entries = if rfc { "rule" } else { "erratum" };
        let list = table.get(entries).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if list.is_empty() {
            findings.push(Finding::new(path, format!("has no [[{entries}]]")));
        }
        let mut ids = BTreeSet::new();
        for (place, entry) in list.iter().enumerate() {
            let Some(entry) = entry.as_table() else { continue };
            let id = text(entry, "id").or_else(|| text(entry, "section")).unwrap_or("?");
            let at = format!("{path}: {entries} {} ({id})", place + 1);
            let mut faults = if rfc { rule(tree, entry) } else { erratum(tree, entry) };
            if rfc && !ids.insert(id) {
                faults.push("another rule has this id".to_owned());
            }
            findings.extend(faults.into_iter().map(|what| Finding::new(&at, what)));
        }
    }
    findings
}

/// What the file of a table is called.
fn title(table: &Table) -> Option<String> {
    let number = |of| table.get(of).and_then(|of| of.get("number")).and_then(Value::as_integer);
    let rfc = number("rfc").map(|n| n.to_string());
    let draft = || table.get("draft").and_then(|draft| draft.get("name")).and_then(Value::as_str).map(str::to_owned);
    rfc.or_else(|| number("xep").map(|n| format!("xep-{n:04}"))).or_else(draft)
}

fn rule(tree: &Tree, rule: &Table) -> Vec<String> {
    let mut faults = keys(rule, &["id", "section", "gist"], &["level", "where", "test", "reason"]);
    if !text(rule, "level").is_some_and(|level| LEVELS.contains(&level)) {
        faults.push(format!("level is none of {}", LEVELS.join(", ")));
    }
    for path in texts(rule, "where") {
        let folder = format!("{}/", path.trim_end_matches('/'));
        if !tree.has(path) && !tree.files().any(|(file, _)| file.starts_with(&folder)) {
            faults.push(format!("{path} does not exist"));
        }
    }
    let tests = texts(rule, "test");
    let reason = text(rule, "reason").is_some_and(|t| !t.trim().is_empty());
    if tests.is_empty() && !reason {
        faults.push("neither test nor reason".to_owned());
    }
    faults.extend(missing_tests(tree, &tests));
    faults
}

fn erratum(tree: &Tree, erratum: &Table) -> Vec<String> {
    let mut faults = keys(erratum, &["section", "fault", "reading"], &["rfc", "test"]);
    if !erratum.contains_key("rfc") {
        faults.push("rfc is missing".to_owned());
    }
    faults.extend(missing_tests(tree, &texts(erratum, "test")));
    faults
}

/// Texts that must be there, and no keys but those that may.
fn keys(entry: &Table, must: &[&str], may: &[&str]) -> Vec<String> {
    let missing = must.iter().filter(|key| text(entry, key).is_none_or(|t| t.trim().is_empty()));
    let unknown = entry.keys().filter(|key| !must.contains(&key.as_str()) && !may.contains(&key.as_str()));
    missing.map(|key| format!("{key} is missing")).chain(unknown.map(|key| format!("unknown key {key}"))).collect()
}

fn missing_tests(tree: &Tree, tests: &[&str]) -> Vec<String> {
    tests.iter().filter(|test| !exists(tree, test)).map(|test| format!("there is no test {test}")).collect()
}

/// A test is a function behind a `#[test]` attribute in the crate that its path starts with, or a file.
fn exists(tree: &Tree, test: &str) -> bool {
    if test.contains('.') || test.contains('/') {
        return tree.files().any(|(path, _)| path == test || path.ends_with(&format!("/{test}")));
    }
    let (folder, name) = match (test.split_once("::"), test.rsplit_once("::")) {
        (Some((package, _)), Some((_, name))) => (format!("crates/{package}/"), name),
        _ => (String::new(), test),
    };
    let function = format!("fn {name}(");
    tree.files().filter(|(path, _)| path.starts_with(&folder) && path.ends_with(".rs")).any(|(_, source)| {
        source.match_indices(&function).any(|(at, _)| {
            // The attributes stand between the function and whatever ends what is before them.
            let before = &source[..at];
            let attributes = &before[before.rfind(['}', ';']).map_or(0, |end| end + 1)..];
            attributes.contains("test]") || attributes.contains("test(") || in_proptest(before)
        })
    })
}

/// Property tests stand in a macro, where the attribute may be further away.
fn in_proptest(before: &str) -> bool {
    before.rfind("proptest!").is_some_and(|at| !before[at..].contains("\n}"))
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key).and_then(Value::as_str)
}

fn texts<'t>(table: &'t Table, key: &str) -> Vec<&'t str> {
    match table.get(key) {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
fn helper() {}

#[test]
fn shown() {}

#[tokio::test(start_paused = true)]
async fn also_shown() {}

proptest! {
    #[test]
    fn always(x in any::<u8>()) {
        assert!(x < 255);
    }
    fn for_all(x in any::<u8>()) {}
}
";

    fn said(table: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("rfc/index.md", "see 7572.toml"),
            ("rfc/7572.toml", table),
            ("crates/a/src/lib.rs", SOURCE),
            ("crates/a/scenes/one.scene", ""),
        ]);
        check(&tree).into_iter().map(|f| format!("{}: {}", f.at, f.what)).collect()
    }

    #[test]
    fn a_rule_has_a_test_or_a_reason() {
        let good = r#"
            [rfc]
            number = 7572
            [[rule]]
            id = "4-body"
            section = "4"
            level = "MUST"
            gist = "the body becomes the payload"
            where = ["crates/a/src/lib.rs", "crates/a/src"]
            test = ["shown", "a::also_shown", "a::b::always", "for_all", "one.scene"]
            [[rule]]
            id = "5"
            section = "5"
            level = "MAY"
            gist = "something else"
            reason = "needs a clock"
        "#;
        assert_eq!(said(good), [""; 0]);

        let bad = r#"
            [rfc]
            number = 7573
            [[rule]]
            id = "4"
            section = "4"
            level = "must"
            gist = ""
            where = "crates/b"
            test = ["helper", "shown_not", "b::shown", "two.scene"]
            [[rule]]
            id = "4"
            section = "5"
            level = "MUST"
            gist = "g"
            tests = "shown"
        "#;
        let rule = |n| format!("rfc/7572.toml: rule {n} (4)");
        assert_eq!(
            said(bad),
            [
                "rfc/7572.toml: its [rfc], [xep] or [draft] has not the number or name of the file".to_owned(),
                format!("{}: gist is missing", rule(1)),
                format!("{}: level is none of {}", rule(1), LEVELS.join(", ")),
                format!("{}: crates/b does not exist", rule(1)),
                format!("{}: there is no test helper", rule(1)),
                format!("{}: there is no test shown_not", rule(1)),
                format!("{}: there is no test b::shown", rule(1)),
                format!("{}: there is no test two.scene", rule(1)),
                format!("{}: unknown key tests", rule(2)),
                format!("{}: neither test nor reason", rule(2)),
                format!("{}: another rule has this id", rule(2)),
            ]
        );
        assert_eq!(said("[rfc]\nnumber = 7572"), ["rfc/7572.toml: has no [[rule]]"]);
        assert!(said("rfc = ")[0].starts_with("rfc/7572.toml: not TOML"));
    }

    #[test]
    fn xeps_and_drafts_have_tables_too() {
        let rule = "[[rule]]\nid = \"3\"\nsection = \"3\"\nlevel = \"MUST\"\ngist = \"g\"\nreason = \"r\"";
        let (xep, draft) = (format!("[xep]\nnumber = 353\n{rule}"), format!("[draft]\nname = \"stox-media\"\n{rule}"));
        let index = ("rfc/index.md", "xep-0353.toml, stox-media.toml");
        let tree = Tree::of(&[index, ("rfc/xep-0353.toml", &*xep), ("rfc/stox-media.toml", &*draft)]);
        assert_eq!(check(&tree), []);
        let tree = Tree::of(&[index, ("rfc/xep-0353.toml", &*draft), ("rfc/stox-media.toml", &*xep)]);
        assert_eq!(check(&tree).len(), 2);
    }

    #[test]
    fn the_index_names_every_table() {
        let erratum = "[[erratum]]\nrfc = 7572\nsection = \"example 3\"\nfault = \"no gr\"\nreading = \"with gr\"";
        let tree = Tree::of(&[("rfc/index.md", "nothing"), ("rfc/errata.toml", erratum)]);
        assert_eq!(check(&tree), [Finding::new("rfc/index.md", "does not name errata.toml")]);
    }
}
