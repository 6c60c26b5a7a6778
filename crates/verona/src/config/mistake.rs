//! What is wrong in a configuration, where, and what would be right.

use std::fmt;

/// One thing to put right (or, for a warning, to think about).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Whether it stops the gateway from starting.
    pub severity: Severity,
    /// Where the value stands.
    pub place: Place,
    /// The key's path, such as `sip.listen[1]`; empty where the whole file is meant.
    pub key: String,
    /// The value as it may be shown: shortened, control characters escaped. None for a secret and for what is missing.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What may stand there; empty where the problem says it.
    pub allowed: String,
}

/// Whether a mistake stops the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// The configuration is used; the operator should know.
    Warning,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file; line and column count from 1, the column in characters.
    File {
        /// The file as it was named.
        name: String,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Place::Environment(variable) => write!(f, "environment variable {variable}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.problem)?;
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        Ok(())
    }
}

/// Why a value is not taken: what a parser of one value returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) allowed: String,
}

impl Wrong {
    pub(crate) fn new(problem: impl Into<String>, allowed: impl Into<String>) -> Wrong {
        Wrong { problem: problem.into(), allowed: allowed.into() }
    }
}
