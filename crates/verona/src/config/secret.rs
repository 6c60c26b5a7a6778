//! Secrets: in the file itself, or in a file of their own.

use super::mistake::Wrong;
use super::read::Reader;
use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// Bytes of the longest file with a secret.
const LONGEST: u64 = 4096;

/// A shared secret. It has no way to be printed: `Debug` shows that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret from its text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one place that proves knowledge of it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// The two keys of a secret: with the secret itself, or with the path of a file that holds it.
pub(crate) struct SecretKeys<'a> {
    pub(crate) table: &'a str,
    pub(crate) inline: &'a str,
    pub(crate) file: &'a str,
    /// What should stand where nothing does.
    pub(crate) empty: &'a str,
}

impl SecretKeys<'_> {
    /// Makes both known.
    pub(crate) fn expect(&self, r: &mut Reader<'_>) {
        r.expect_key(&format!("{}.{}", self.table, self.inline));
        r.expect_key(&format!("{}.{}", self.table, self.file));
    }

    /// The secret, or the file with the secret. From the environment either wins over the other one in the file.
    pub(crate) fn read(&self, r: &mut Reader<'_>, folder: &Path, world_readable: bool) -> Option<Secret> {
        let (inline, file) = (format!("{}.{}", self.table, self.inline), format!("{}.{}", self.table, self.file));
        self.expect(r);
        let use_inline = match (r.has(&inline), r.has(&file)) {
            (false, false) => {
                r.missing(&inline, &format!("{} = \"...\", or {} = \"PATH\"", self.inline, self.file));
                return None;
            }
            (true, true) if r.is_overridden(&inline) == r.is_overridden(&file) => {
                let problem = format!("beside {}", self.inline);
                r.wrong(&file, Wrong::new(problem, format!("one of {} and {}", self.inline, self.file)));
                return None;
            }
            (true, true) => r.is_overridden(&inline),
            (inline, _) => inline,
        };
        if use_inline {
            if world_readable && !r.is_overridden(&inline) {
                let problem = format!("everybody on this machine can read the file: chmod o-r, or use {}", self.file);
                r.warn(&inline, problem);
            }
            return r.text(&inline, |text| self.not_empty(text)).map(Secret::new);
        }
        let secret = r.text(&file, |path| match read(&folder.join(path)) {
            Ok(text) if text.len() as u64 > LONGEST => Err(Wrong::new("the file is longer than 4096 bytes", "")),
            Ok(text) => self.not_empty(text.trim_end_matches(['\r', '\n'])),
            Err(e) => Err(Wrong::new(format!("cannot be read: {e}"), "a file with the secret as its only line")),
        });
        let path = r.text(&file, |path| Ok(path.to_owned())).unwrap_or_default();
        if super::world_readable(&folder.join(path)) {
            r.warn(&file, "everybody on this machine can read this file: chmod o-r");
        }
        secret.map(Secret::new)
    }

    fn not_empty(&self, text: &str) -> Result<String, Wrong> {
        match text {
            "" => Err(Wrong::new("empty", self.empty)),
            _ if text.contains(['\n', '\r']) => Err(Wrong::new("more than one line", "the secret alone")),
            _ => Ok(text.to_owned()),
        }
    }
}

/// A file's text. One byte more than the longest is read: a longer file is a mistake, not a reason to read it.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    Ok(text)
}
