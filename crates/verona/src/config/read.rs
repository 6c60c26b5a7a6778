//! Asks the tree for typed values and keeps every mistake.

use super::mistake::{Mistake, Place, Severity, Wrong};
use super::tree::{Node, Tree, Value};
use super::value;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A value of a list with its key, such as `sip.listen[1]`, for checks that compare values with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item<T> {
    pub(crate) key: String,
    pub(crate) value: T,
}

/// The reader. A method that finds a wrong value notes the mistake and returns `None`, as for a missing one: the caller
/// goes on with its default and finds the next mistake.
pub(crate) struct Reader<'t> {
    tree: &'t Tree,
    asked: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(tree: &'t Tree) -> Self {
        Reader { tree, asked: BTreeSet::new(), mistakes: Vec::new() }
    }

    /// Every mistake, keys that nobody asked for among them, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Mistake> {
        let (tree, asked) = (self.tree, std::mem::take(&mut self.asked));
        tree.walk(&mut |table, path, node| {
            let known = asked.contains(path);
            if !known {
                let problem = match nearest(table, path, &asked) {
                    Some(near) => format!("unknown key; did you mean {near}?"),
                    None => "unknown key".to_owned(),
                };
                self.push(Severity::Error, path, Some(node), Wrong::new(problem, siblings(table, &asked)));
            }
            // Inside a value of the wrong kind nothing is known, and nothing more is to be said.
            known && !self.mistakes.iter().any(|m| m.severity == Severity::Error && m.key == path)
        });
        self.mistakes.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        self.mistakes.dedup();
        self.mistakes
    }

    /// Notes a mistake of the value at `key`.
    pub(crate) fn wrong(&mut self, key: &str, wrong: Wrong) {
        self.note(Severity::Error, key, wrong);
    }

    /// Notes something to think about.
    pub(crate) fn warn(&mut self, key: &str, problem: impl Into<String>) {
        self.note(Severity::Warning, key, Wrong::new(problem, ""));
    }

    /// Notes that a key must be there.
    pub(crate) fn missing(&mut self, key: &str, allowed: &str) {
        self.wrong(key, Wrong::new("missing", allowed));
    }

    /// Whether anything stands at `key`, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.tree.get(key).is_some()
    }

    /// The text at `key`, unchecked.
    pub(crate) fn peek(&self, key: &str) -> Option<&'t str> {
        match &self.tree.get(key)?.value {
            Value::Text(text) | Value::Environment(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the value at `key` comes from a variable.
    pub(crate) fn is_overridden(&self, key: &str) -> bool {
        self.tree.get(key).is_some_and(|n| matches!(n.place, Place::Environment(_)))
    }

    /// Whether a mistake was noted for the value at `key` or one inside it.
    pub(crate) fn is_wrong(&self, key: &str) -> bool {
        self.mistakes.iter().any(|m| m.severity == Severity::Error && m.key.starts_with(key))
    }

    /// Makes a key known that is not asked for, so that suggestions name it and it is not unknown.
    pub(crate) fn expect_key(&mut self, key: &str) {
        self.asked.insert(key.to_owned());
    }

    /// A table that may be missing.
    pub(crate) fn table(&mut self, key: &str) {
        if let Some(node) = self.node(key)
            && !matches!(node.value, Value::Table(_))
        {
            self.wrong_kind::<()>(key, node, &format!("a table: [{key}]"));
        }
    }

    /// The keys of a list of tables: `sip.peer[0]`, ...
    pub(crate) fn tables(&mut self, key: &str) -> Vec<String> {
        let allowed = format!("a list of tables: [[{key}]]");
        let Some(node) = self.node(key) else { return vec![] };
        let Value::List(items) = &node.value else {
            self.wrong_kind::<()>(key, node, &allowed);
            return vec![];
        };
        let mut keys = vec![];
        for (i, item) in items.iter().enumerate() {
            let key = format!("{key}[{i}]");
            match item.value {
                Value::Table(_) => keys.push(key),
                _ => {
                    self.wrong_kind::<()>(&key, item, &allowed);
                }
            }
        }
        keys
    }

    /// A text, understood by `parse`.
    pub(crate) fn text<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) | Value::Environment(text) => self.keep(key, parse(text)),
            _ => self.wrong_kind(key, node, "a text in quotation marks"),
        }
    }

    /// A list of texts, each understood by `parse`. In the environment: a TOML list, or texts between commas.
    pub(crate) fn texts<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<Vec<Item<T>>> {
        const ALLOWED: &str = "a list of texts: [\"...\", \"...\"]";
        let node = self.node(key)?;
        let mut read = vec![];
        match &node.value {
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    let key = format!("{key}[{i}]");
                    let value = match &item.value {
                        Value::Text(text) | Value::Environment(text) => self.keep(&key, parse(text)),
                        _ => self.wrong_kind(&key, item, "a text in quotation marks"),
                    };
                    read.extend(value.map(|value| Item { key, value }));
                }
            }
            Value::Environment(text) if text.trim_start().starts_with('[') => {
                match toml::from_str::<toml::Table>(&format!("list = {text}")) {
                    Ok(table) => {
                        for item in table.get("list").and_then(toml::Value::as_array).into_iter().flatten() {
                            let value = match item.as_str() {
                                Some(text) => self.keep(key, parse(text)),
                                None => self.keep(key, Err(Wrong::new(format!("{item} is not a text"), ALLOWED))),
                            };
                            read.extend(value.map(|value| Item { key: key.to_owned(), value }));
                        }
                    }
                    Err(e) => self.wrong(key, Wrong::new(format!("not TOML: {}", e.message()), ALLOWED)),
                }
            }
            Value::Environment(text) => {
                for text in text.split(',').map(str::trim).filter(|t| !t.is_empty()) {
                    let value = self.keep(key, parse(text));
                    read.extend(value.map(|value| Item { key: key.to_owned(), value }));
                }
            }
            _ => {
                self.wrong_kind::<()>(key, node, ALLOWED);
                return None;
            }
        }
        Some(read)
    }

    /// The same, or one text alone.
    pub(crate) fn text_or_texts<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<Item<T>>> {
        match self.tree.get(key).map(|node| &node.value) {
            Some(Value::Text(_)) => {
                let value = self.text(key, parse)?;
                Some(vec![Item { key: key.to_owned(), value }])
            }
            _ => self.texts(key, parse),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, key: &str, range: &RangeInclusive<u64>) -> Option<u64> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let node = self.node(key)?;
        let n = match &node.value {
            Value::Integer(n) => Some(*n),
            Value::Environment(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(n) = n else { return self.wrong_kind(key, node, &allowed) };
        match u64::try_from(n) {
            Ok(n) if range.contains(&n) => Some(n),
            _ => {
                let problem = if n < i128::from(*range.start()) { "too small" } else { "too large" };
                self.keep(key, Err(Wrong::new(problem, allowed)))
            }
        }
    }

    /// True or false.
    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match &node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Environment(text) if text == "true" => Some(true),
            Value::Environment(text) if text == "false" => Some(false),
            _ => self.wrong_kind(key, node, "true or false"),
        }
    }

    /// A length of time within bounds, with its unit.
    pub(crate) fn duration(&mut self, key: &str, range: &RangeInclusive<Duration>) -> Option<Duration> {
        let bounds =
            format!("from \"{}\" to \"{}\"", value::show_duration(*range.start()), value::show_duration(*range.end()));
        let node = self.node(key)?;
        let (Value::Text(text) | Value::Environment(text)) = &node.value else {
            return self.wrong_kind(key, node, &format!("a text with a unit, {bounds}"));
        };
        let parsed = value::duration(text).and_then(|d| match range {
            r if d < *r.start() => Err(Wrong::new("too short", bounds)),
            r if d > *r.end() => Err(Wrong::new("too long", bounds)),
            _ => Ok(d),
        });
        self.keep(key, parsed)
    }

    fn node(&mut self, key: &str) -> Option<&'t Node> {
        self.asked.insert(key.to_owned());
        self.tree.get(key)
    }

    fn keep<T>(&mut self, key: &str, read: Result<T, Wrong>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(key, wrong);
                None
            }
        }
    }

    fn wrong_kind<T>(&mut self, key: &str, node: &Node, allowed: &str) -> Option<T> {
        self.keep(key, Err(Wrong::new(format!("{} is not what belongs here", node.value.kind()), allowed)))
    }

    fn note(&mut self, severity: Severity, key: &str, wrong: Wrong) {
        self.push(severity, key, self.tree.get(key), wrong);
    }

    fn push(&mut self, severity: Severity, key: &str, node: Option<&Node>, wrong: Wrong) {
        let hidden = |last: &str| (last.contains("secret") || last.contains("password")) && !last.ends_with("_file");
        let secret = key.rsplit('.').next().is_some_and(hidden);
        self.mistakes.push(Mistake {
            severity,
            place: node.map_or_else(|| self.tree.place(key), |n| n.place.clone()),
            key: key.to_owned(),
            value: node.filter(|_| !secret).and_then(|n| n.value.show()),
            problem: wrong.problem,
            allowed: wrong.allowed,
        });
    }
}

/// The names of the keys that are known in a table.
fn names<'a>(table: &str, asked: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
    asked.iter().filter_map(move |known| {
        let name = match table {
            "" => known,
            _ => known.strip_prefix(table)?.strip_prefix('.')?,
        };
        Some(name).filter(|n| !n.contains(['.', '[']))
    })
}

fn siblings(table: &str, asked: &BTreeSet<String>) -> String {
    names(table, asked).collect::<Vec<_>>().join(", ")
}

/// The key that was probably meant: a slip of the pen away.
fn nearest<'a>(table: &str, path: &str, asked: &'a BTreeSet<String>) -> Option<&'a str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    names(table, asked)
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, known)| known)
}

/// The number of letters to add, take away or change between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
