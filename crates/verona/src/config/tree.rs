//! The configuration before anybody asks what it means: a tree of values that know where they stand.
//!
//! serde stops at the first mistake; an operator wants all of them, each with its line. So the file is read into this tree,
//! the environment is laid over it, and [`super::read::Reader`] asks it for values.

use super::mistake::{Mistake, Place, Severity};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A TOML value, or the text of an environment variable, which takes the type of its key.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i128),
    Float(String),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    Environment(String),
}

impl Value {
    /// The type's name, as in "a number".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Flag(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Environment(_) => "a text from the environment",
        }
    }

    /// The value for a person's eyes: short, and harmless on a terminal.
    pub(crate) fn show(&self) -> Option<String> {
        let text = match self {
            Value::Text(t) | Value::Environment(t) => format!("{t:?}"),
            Value::Integer(n) => n.to_string(),
            Value::Float(t) | Value::Date(t) => t.clone(),
            Value::Flag(b) => b.to_string(),
            Value::List(_) | Value::Table(_) => return None,
        };
        const LONGEST: usize = 80;
        match text.char_indices().nth(LONGEST) {
            Some((cut, _)) => Some(format!("{}...", &text[..cut])),
            None => Some(text),
        }
    }
}

/// The whole tree.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Node,
}

impl Tree {
    /// Reads the text of a file. Every syntax mistake is found; what stands in a file with one is not looked at further,
    /// because a broken line may hide or change what comes behind it.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Tree, Vec<Mistake>> {
        let lines = Lines::new(name, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Tree { root: Node { value: from_table(table.get_ref(), &lines), place: lines.place(0) } });
        }
        Err(errors
            .iter()
            .map(|e| Mistake {
                severity: Severity::Error,
                place: lines.place(e.span().map_or(0, |s| s.start)),
                key: String::new(),
                value: None,
                problem: format!("not TOML: {}", e.message().replace('\n', ", ")),
                allowed: String::new(),
            })
            .collect())
    }

    /// The node at a path such as `xmpp.component[0].domain`; the empty path is the root.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        let mut node = &self.root;
        for step in path.split('.').filter(|s| !s.is_empty()) {
            let (key, index) = match step.split_once('[') {
                Some((key, index)) => (key, Some(index.trim_end_matches(']').parse::<usize>().ok()?)),
                None => (step, None),
            };
            let Value::Table(entries) = &node.value else { return None };
            node = entries.get(key)?;
            if let Some(index) = index {
                let Value::List(items) = &node.value else { return None };
                node = items.get(index)?;
            }
        }
        Some(node)
    }

    /// The place of a path, or of the nearest table around it.
    pub(crate) fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            match (self.get(path), path.rfind(['.', '['])) {
                (Some(node), _) => return node.place.clone(),
                (None, Some(cut)) => path = &path[..cut],
                (None, None) => return self.root.place.clone(),
            }
        }
    }

    /// Lays one environment variable over the tree: `VERONA_SIP__LISTEN` is `sip.listen`, and a number is a place in a
    /// list: `VERONA_XMPP__COMPONENT__0__SECRET`. The place after the last one adds an entry.
    pub(crate) fn overlay(&mut self, variable: &str, text: String) -> Result<(), Box<Mistake>> {
        let place = Place::Environment(variable.to_owned());
        let wrong = |severity, problem: &str, allowed: &str| {
            Box::new(Mistake {
                severity,
                place: place.clone(),
                key: String::new(),
                value: None,
                problem: problem.to_owned(),
                allowed: allowed.to_owned(),
            })
        };
        let steps = variable.trim_start_matches(super::ENVIRONMENT_PREFIX).to_lowercase();
        if !steps.contains("__") {
            let problem = "names no key: every key stands in a table, so two underscores are missing";
            return Err(wrong(Severity::Warning, problem, "such as VERONA_SIP__LISTEN for sip.listen"));
        }
        let mut node = &mut self.root;
        let mut steps = steps.split("__").peekable();
        while let Some(step) = steps.next() {
            node = match &mut node.value {
                Value::List(items) => {
                    let count = items.len();
                    let index = step.parse::<usize>().ok().filter(|i| *i <= count).ok_or_else(|| {
                        wrong(Severity::Error, "names no entry of the list", &format!("a number from 0 to {count}"))
                    })?;
                    if index == count {
                        items.push(Node { value: Value::Table(BTreeMap::new()), place: place.clone() });
                    }
                    &mut items[index]
                }
                Value::Table(entries) => entries.entry(step.to_owned()).or_insert_with(|| {
                    let in_list = steps.peek().is_some_and(|next| next.parse::<usize>().is_ok());
                    let value = if in_list { Value::List(vec![]) } else { Value::Table(BTreeMap::new()) };
                    Node { value, place: place.clone() }
                }),
                _ => return Err(wrong(Severity::Error, "leads into a value that is neither table nor list", "")),
            };
        }
        *node = Node { value: Value::Environment(text), place };
        Ok(())
    }

    /// Walks over all keys, parents first, with the path of the table around each. `visit` says whether to look inside.
    /// A key that is no bare word stands in quotation marks, so that it is never taken for a path.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(&str, &str, &Node) -> bool) {
        fn bare(c: char) -> bool {
            c.is_ascii_alphanumeric() || c == '_' || c == '-'
        }
        fn inside(path: &str, node: &Node, visit: &mut dyn FnMut(&str, &str, &Node) -> bool) {
            match &node.value {
                Value::Table(entries) => {
                    for (key, child) in entries {
                        let key = if key.chars().all(bare) { key.clone() } else { format!("{key:?}") };
                        let dot = if path.is_empty() { "" } else { "." };
                        let full = format!("{path}{dot}{key}");
                        if visit(path, &full, child) {
                            inside(&full, child, visit);
                        }
                    }
                }
                Value::List(items) => {
                    for (i, item) in items.iter().enumerate() {
                        inside(&format!("{path}[{i}]"), item, visit);
                    }
                }
                _ => {}
            }
        }
        inside("", &self.root, visit);
    }
}

/// Where each line of a text starts.
struct Lines<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Lines<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        Lines { name, text }
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        Place::File {
            name: self.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

fn from_table(table: &DeTable<'_>, lines: &Lines<'_>) -> Value {
    Value::Table(
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), from_value(value.get_ref(), value.span().start, lines)))
            .collect(),
    )
}

fn from_value(value: &DeValue<'_>, start: usize, lines: &Lines<'_>) -> Node {
    let value = match value {
        DeValue::String(t) => Value::Text(t.to_string()),
        DeValue::Integer(n) => {
            // Too large for i128 is too large for every key.
            Value::Integer(i128::from_str_radix(n.as_str(), n.radix()).unwrap_or(i128::MAX))
        }
        DeValue::Float(n) => Value::Float(n.as_str().to_owned()),
        DeValue::Boolean(b) => Value::Flag(*b),
        DeValue::Datetime(d) => Value::Date(d.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|i| from_value(i.get_ref(), i.span().start, lines)).collect())
        }
        DeValue::Table(table) => from_table(table, lines),
    };
    Node { value, place: lines.place(start) }
}
