//! The corpus as it lies on the disk, and what is expected of the gateway.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// One line of a table.
pub(crate) struct Row(BTreeMap<String, String>);

impl Row {
    pub(crate) fn get(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }
}

/// A case: its line and its bytes.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) row: Row,
    pub(crate) bytes: Vec<u8>,
}

/// The directory of the corpus. `None` where there is none: then the project's own torture tests stand alone.
pub(crate) fn corpus() -> Option<PathBuf> {
    let found = match std::env::var_os("VERONA_CORPUS") {
        Some(path) => Some(PathBuf::from(path)),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus").canonicalize().ok(),
    };
    let found = found.filter(|path| path.is_dir());
    if found.is_none() {
        eprintln!("no corpus (VERONA_CORPUS): this test shows nothing; the project's own torture tests stand alone");
    }
    found
}

/// A table of tab-separated values whose first line names the columns.
pub(crate) fn table(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let row =
        |line: &str| Row(columns.iter().map(|c| (*c).to_owned()).zip(line.split('\t').map(str::to_owned)).collect());
    lines.filter(|line| !line.is_empty()).map(row).collect()
}

/// The cases of a folder, in the order of its table.
pub(crate) fn cases(folder: &Path) -> Vec<Case> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        files.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), path);
    }
    let case = |row: Row| {
        let name = row.get("name").to_owned();
        let bytes = std::fs::read(&files[&name]).unwrap();
        assert_eq!(bytes.len().to_string(), row.get("bytes"), "{name}: the file is not what the table says");
        Case { name, row, bytes }
    };
    table(&folder.join("EXPECT.tsv")).into_iter().map(case).collect()
}

/// What became of a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A final response with this status.
    Code(u16),
    /// No answer.
    Silence,
    /// No answer, and the connection was closed.
    Closed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Code(code) => write!(f, "{code}"),
            Outcome::Silence => f.write_str("silence"),
            Outcome::Closed => f.write_str("close"),
        }
    }
}

impl Outcome {
    /// Whether a cell of the table allows this: alternatives with `;` or `|` between.
    pub(crate) fn fits(self, cell: &str) -> bool {
        cell.split([';', '|']).any(|word| match (word.trim(), self) {
            ("", _) => false,
            ("drop" | "none", outcome) => outcome == Outcome::Silence,
            ("200-to-source", outcome) => outcome == Outcome::Code(200),
            (word, outcome) if word.starts_with("accept") => matches!(outcome, Outcome::Code(200..=299)),
            (word, outcome) if word.ends_with("close") => outcome == Outcome::Closed,
            (word, outcome) => {
                outcome == Outcome::Code(word.parse().unwrap_or_else(|_| panic!("unknown verdict {word}")))
            }
        })
    }
}

/// Where the gateway answers otherwise than the corpus says, and why.
pub(crate) struct Deviation {
    pub(crate) case: &'static str,
    pub(crate) seen: Outcome,
    pub(crate) why: &'static str,
}

/// What the table says against what was seen: `None` if they agree, or if the deviation is a known one.
pub(crate) fn disagreement(case: &Case, seen: Outcome, known: &[Deviation]) -> Option<String> {
    let (uas, alt) = (case.row.get("uas"), case.row.get("alt"));
    let fits = seen.fits(uas) || seen.fits(alt);
    match (fits, known.iter().find(|d| d.case == case.name)) {
        (true, None) => None,
        (false, Some(deviation)) if deviation.seen == seen => None,
        (true, Some(deviation)) => Some(format!("{}: {seen} fits by now; no longer: {}", case.name, deviation.why)),
        (false, _) => Some(format!("{}: {seen} in place of {uas} (or {alt}): {}", case.name, case.row.get("reason"))),
    }
}
