//! Bencode, as ng has it: byte strings, whole numbers, lists, and dictionaries whose keys come in any order.
//!
//! What comes over the network is read strictly, and bounded before anything is kept: lengths by what is there, depth by [`MAX_DEPTH`], values
//! by [`MAX_VALUES`].

use std::fmt;

/// How deep lists and dictionaries may be in each other. Answers to `query` have eight levels.
pub const MAX_DEPTH: usize = 16;

/// How many values a document may have, in all.
pub const MAX_VALUES: usize = 16_384;

/// A value; strings are those of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `4:spam`.
    Bytes(&'a [u8]),
    /// `i42e`.
    Integer(i64),
    /// `l...e`.
    List(Vec<Value<'a>>),
    /// `d...e`, in the order of the document. Of two entries with one key the first counts.
    Dictionary(Vec<(&'a [u8], Value<'a>)>),
}

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It ends within a value.
    Short,
    /// Something stands where no value can.
    Byte,
    /// A number that is none, has more digits than it needs, or does not fit into 64 bits.
    Number,
    /// More than [`MAX_DEPTH`] levels.
    Deep,
    /// More than [`MAX_VALUES`] values.
    Many,
    /// Something stands behind the value.
    Long,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Short => "it ends too soon",
            Malformed::Byte => "no value",
            Malformed::Number => "a number that is none",
            Malformed::Deep => "too deep",
            Malformed::Many => "too many values",
            Malformed::Long => "more than one value",
        })
    }
}

impl std::error::Error for Malformed {}

impl<'a> Value<'a> {
    /// A string.
    pub fn text(text: &'a str) -> Value<'a> {
        Value::Bytes(text.as_bytes())
    }

    /// A list of strings.
    pub fn texts(texts: &[&'a str]) -> Value<'a> {
        Value::List(texts.iter().map(|text| Value::text(text)).collect())
    }

    /// Reads a document: one value, and nothing behind it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Value<'a>, Malformed> {
        let mut reader = Reader { rest: bytes, left: MAX_VALUES };
        let value = reader.value(MAX_DEPTH)?;
        if reader.rest.is_empty() { Ok(value) } else { Err(Malformed::Long) }
    }

    /// Writes the value behind what is in `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Bytes(bytes) => write_bytes(out, bytes),
            Value::Integer(n) => out.extend_from_slice(format!("i{n}e").as_bytes()),
            Value::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Value::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_bytes(out, key);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }

    /// The value as a document.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// What a dictionary has under `key`; None for anything else.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dictionary(entries) = self else { return None };
        entries.iter().find(|(k, _)| *k == key.as_bytes()).map(|(_, value)| value)
    }

    /// The octets of a string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Integer(_) | Value::List(_) | Value::Dictionary(_) => None,
        }
    }

    /// The text of a string that is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The number.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(n) => Some(*n),
            Value::Bytes(_) | Value::List(_) | Value::Dictionary(_) => None,
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Value<'a>] {
        match self {
            Value::List(items) => items,
            Value::Bytes(_) | Value::Integer(_) | Value::Dictionary(_) => &[],
        }
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a> {
    rest: &'a [u8],
    /// The values that may still come.
    left: usize,
}

impl<'a> Reader<'a> {
    /// The next value, which may have `depth` levels.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        self.left = self.left.checked_sub(1).ok_or(Malformed::Many)?;
        match self.rest.first().ok_or(Malformed::Short)? {
            b'0'..=b'9' => Ok(Value::Bytes(self.bytes()?)),
            b'i' => {
                self.rest = &self.rest[1..];
                let digits = self.until(b'e', MOST_DIGITS + 1)?;
                integer(digits).map(Value::Integer).ok_or(Malformed::Number)
            }
            b'l' => {
                let depth = self.enter(depth)?;
                let mut items = Vec::new();
                while !self.leave()? {
                    items.push(self.value(depth)?);
                }
                Ok(Value::List(items))
            }
            b'd' => {
                let depth = self.enter(depth)?;
                let mut entries = Vec::new();
                while !self.leave()? {
                    let key = self.bytes()?;
                    entries.push((key, self.value(depth)?));
                }
                Ok(Value::Dictionary(entries))
            }
            _ => Err(Malformed::Byte),
        }
    }

    fn enter(&mut self, depth: usize) -> Result<usize, Malformed> {
        self.rest = &self.rest[1..];
        depth.checked_sub(1).ok_or(Malformed::Deep)
    }

    /// Whether the list or dictionary ends here.
    fn leave(&mut self) -> Result<bool, Malformed> {
        let ends = *self.rest.first().ok_or(Malformed::Short)? == b'e';
        if ends {
            self.rest = &self.rest[1..];
        }
        Ok(ends)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.rest.first().ok_or(Malformed::Short)?.is_ascii_digit() {
            return Err(Malformed::Byte);
        }
        let digits = self.until(b':', MOST_DIGITS)?;
        let len = integer(digits).and_then(|n| usize::try_from(n).ok()).ok_or(Malformed::Number)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// What stands before the next `end`, which is passed; it may have `most` bytes.
    fn until(&mut self, end: u8, most: usize) -> Result<&'a [u8], Malformed> {
        let found = self.rest.iter().take(most + 1).position(|b| *b == end);
        let short = if self.rest.len() > most { Malformed::Number } else { Malformed::Short };
        let at = found.ok_or(short)?;
        let before = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        Ok(before)
    }
}

/// The digits of the largest number.
const MOST_DIGITS: usize = 19;

/// A number in the one form that it has: no `+`, no `-0`, no zeros in front.
fn integer(digits: &[u8]) -> Option<i64> {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let canonical = match unsigned {
        [b'0'] => unsigned.len() == digits.len(),
        [b'0', ..] | [] => false,
        _ => unsigned.iter().all(u8::is_ascii_digit),
    };
    if canonical { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
