//! The tables `rfc/NNNN.toml`: every MUST and SHOULD of an RFC, and which test shows it, or why there is none.
//!
//! ```toml
//! rfc = 7572                  # the number in the file's name
//! title = "..."
//! [[rule]]
//! section = "4"
//! level = "MUST"              # MUST, MUST NOT, SHOULD, SHOULD NOT, MAY, or TABLE for a row of a table
//! gist = "..."                # in our words
//! done = ["crates/stox/src/message/x2s.rs"]              # files or folders that exist
//! tests = ["a_test_function", "rfc7572-4.scene"]         # functions, or files by the end of their path
//! # or
//! reason = "why it is not done, or cannot be tested"
//! ```
//!
//! `rfc/errata.toml` has `[[erratum]]` entries: text (such as "RFC 7572"), where, wrong, reading; and tests, where there are any.

use super::Finding;
use super::files::Tree;
use toml::{Table, Value};

const LEVELS: &[&str] = &["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "TABLE"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = vec![];
    let index = tree.text("rfc/index.md").unwrap_or_default();
    let tables = tree.files().filter(|(path, _)| path.starts_with("rfc/") && path.ends_with(".toml"));
    for (path, text) in tables {
        let name = &path["rfc/".len()..];
        if !index.contains(name) {
            findings.push(Finding::new("rfc/index.md", format!("does not name {name}")));
        }
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(e) => {
                findings.push(Finding::new(path, format!("not TOML: {}", e.message())));
                continue;
            }
        };
        let (entries, number) = match name {
            "errata.toml" => ("erratum", None),
            _ => ("rule", Some(name.trim_end_matches(".toml"))),
        };
        if let Some(number) = number
            && table.get("rfc").and_then(Value::as_integer).map(|n| n.to_string()).as_deref() != Some(number)
        {
            findings.push(Finding::new(path, format!("rfc = {number} is missing")));
        }
        let list = table.get(entries).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if list.is_empty() {
            findings.push(Finding::new(path, format!("has no [[{entries}]]")));
        }
        for (place, entry) in list.iter().enumerate() {
            let Some(entry) = entry.as_table() else { continue };
            let section = entry.get("section").or_else(|| entry.get("where")).and_then(Value::as_str).unwrap_or("?");
            let at = format!("{path}: {entries} {} (section {section})", place + 1);
            let faults = if number.is_some() { rule(tree, entry) } else { erratum(tree, entry) };
            findings.extend(faults.into_iter().map(|what| Finding::new(&at, what)));
        }
    }
    findings
}

fn rule(tree: &Tree, rule: &Table) -> Vec<String> {
    let mut faults = vec![];
    for key in rule.keys() {
        if !["section", "level", "gist", "done", "tests", "reason"].contains(&key.as_str()) {
            faults.push(format!("unknown key {key}"));
        }
    }
    for key in ["section", "gist"] {
        if text(rule, key).is_none_or(|t| t.trim().is_empty()) {
            faults.push(format!("{key} is missing"));
        }
    }
    if !text(rule, "level").is_some_and(|level| LEVELS.contains(&level)) {
        faults.push(format!("level is none of {}", LEVELS.join(", ")));
    }
    for path in texts(rule, "done") {
        let folder = format!("{}/", path.trim_end_matches('/'));
        if !tree.has(path) && !tree.files().any(|(file, _)| file.starts_with(&folder)) {
            faults.push(format!("{path} does not exist"));
        }
    }
    let tests = texts(rule, "tests");
    let reason = text(rule, "reason").is_some_and(|t| !t.trim().is_empty());
    if tests.is_empty() && !reason {
        faults.push("neither tests nor a reason".to_owned());
    }
    faults.extend(missing_tests(tree, &tests));
    faults
}

fn erratum(tree: &Tree, erratum: &Table) -> Vec<String> {
    let mut faults = vec![];
    for key in ["text", "where", "wrong", "reading"] {
        if text(erratum, key).is_none_or(|t| t.trim().is_empty()) {
            faults.push(format!("{key} is missing"));
        }
    }
    faults.extend(missing_tests(tree, &texts(erratum, "tests")));
    faults
}

fn missing_tests(tree: &Tree, tests: &[&str]) -> Vec<String> {
    tests.iter().filter(|test| !exists(tree, test)).map(|test| format!("there is no test {test}")).collect()
}

/// A test is a function behind a `#[test]` attribute, possibly with its module's path before it, or a file.
fn exists(tree: &Tree, test: &str) -> bool {
    if test.contains('.') || test.contains('/') {
        return tree.files().any(|(path, _)| path == test || path.ends_with(&format!("/{test}")));
    }
    let name = test.rsplit("::").next().unwrap_or(test);
    let function = format!("fn {name}(");
    tree.files().filter(|(path, _)| path.ends_with(".rs")).any(|(_, source)| {
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
            rfc = 7572
            [[rule]]
            section = "4"
            level = "MUST"
            gist = "the body becomes the payload"
            done = ["crates/a/src/lib.rs", "crates/a/src"]
            tests = ["shown", "also_shown", "a::b::always", "for_all", "one.scene"]
            [[rule]]
            section = "5"
            level = "MAY"
            gist = "something else"
            reason = "needs a clock"
        "#;
        assert_eq!(said(good), [""; 0]);

        let bad = r#"
            rfc = 7573
            [[rule]]
            section = "4"
            level = "must"
            gist = ""
            done = "crates/b"
            tests = ["helper", "shown_not", "two.scene"]
            [[rule]]
            section = "5"
            level = "MUST"
            gist = "g"
            test = "shown"
        "#;
        let rule = "rfc/7572.toml: rule";
        assert_eq!(
            said(bad),
            [
                "rfc/7572.toml: rfc = 7572 is missing".to_owned(),
                format!("{rule} 1 (section 4): gist is missing"),
                format!("{rule} 1 (section 4): level is none of MUST, MUST NOT, SHOULD, SHOULD NOT, MAY, TABLE"),
                format!("{rule} 1 (section 4): crates/b does not exist"),
                format!("{rule} 1 (section 4): there is no test helper"),
                format!("{rule} 1 (section 4): there is no test shown_not"),
                format!("{rule} 1 (section 4): there is no test two.scene"),
                format!("{rule} 2 (section 5): unknown key test"),
                format!("{rule} 2 (section 5): neither tests nor a reason"),
            ]
        );
        assert_eq!(said("rfc = 7572"), ["rfc/7572.toml: has no [[rule]]"]);
        assert!(said("rfc = ")[0].starts_with("rfc/7572.toml: not TOML"));
    }

    #[test]
    fn the_index_names_every_table() {
        let erratum =
            "[[erratum]]\ntext = \"RFC 7572\"\nwhere = \"example 3\"\nwrong = \"no gr\"\nreading = \"with gr\"";
        let tree = Tree::of(&[("rfc/index.md", "nothing"), ("rfc/errata.toml", erratum)]);
        assert_eq!(check(&tree), [Finding::new("rfc/index.md", "does not name errata.toml")]);
    }
}
