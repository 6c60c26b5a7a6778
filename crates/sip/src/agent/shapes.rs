//! The few forms that nearly all answers have.

use crate::agent::answer::Answer;
use crate::message::reason_phrase;
use base::{HashKey, Str, Table};

/// How many forms there may be. A form is never forgotten, because the memory may refer to it.
const MOST: usize = 256;
/// The longest reason phrase and headers that are a form.
const LONGEST: usize = 512;
/// The first number that is no status.
const FIRST: u16 = 1000;

/// An answer without a body is its status, its reason phrase and its own headers, and a gateway gives the same few over and over.
/// Each of these gets a number, so that the memory holds 16 bits for an answer. An answer in the default words is its status.
#[derive(Debug)]
pub(super) struct Shapes {
    numbers: Table<(u16, Str, Box<[u8]>), u16>,
    shapes: Vec<(u16, Str, Box<[u8]>)>,
}

impl Shapes {
    pub(super) fn new(key: HashKey) -> Shapes {
        Shapes { numbers: Table::new(key), shapes: Vec::new() }
    }

    /// The number of an answer's form; `None` if it has a body, is too long, or there are too many forms already.
    pub(super) fn number(&mut self, answer: &Answer<'_>) -> Option<u16> {
        if !answer.body.is_empty() {
            return None;
        }
        if answer.headers.is_empty() && answer.reason == reason_phrase(answer.code) {
            return Some(answer.code);
        }
        if answer.reason.len() + answer.headers.len() > LONGEST {
            return None;
        }
        let shape = (answer.code, Str::from(answer.reason), Box::from(answer.headers));
        if let Some(number) = self.numbers.get(&shape) {
            return Some(*number);
        }
        if self.shapes.len() >= MOST {
            return None;
        }
        let number = FIRST + self.shapes.len() as u16;
        self.shapes.push(shape.clone());
        self.numbers.insert(shape, number);
        Some(number)
    }

    /// The answer of this number.
    pub(super) fn answer(&self, number: u16) -> Answer<'_> {
        match number.checked_sub(FIRST).and_then(|n| self.shapes.get(usize::from(n))) {
            Some((code, reason, headers)) => Answer { code: *code, reason, headers, body: &[] },
            None => Answer::plain(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_its_number() {
        let mut shapes = Shapes::new(HashKey::new(1, 2));
        assert_eq!(shapes.number(&Answer::plain(200)), Some(200));
        assert_eq!(shapes.answer(200), Answer::plain(200));
        let busy = Answer { code: 503, reason: "Busy", headers: b"Retry-After: 5\r\n", body: b"" };
        assert_eq!(shapes.number(&busy), Some(1000));
        assert_eq!(shapes.number(&busy), Some(1000));
        assert_eq!(shapes.number(&Answer { code: 500, ..busy.clone() }), Some(1001));
        assert_eq!(shapes.answer(1000), busy);
        assert_eq!(shapes.answer(1001).code, 500);
    }

    #[test]
    fn what_is_no_form() {
        let mut shapes = Shapes::new(HashKey::new(1, 2));
        assert_eq!(shapes.number(&Answer { body: b"x", ..Answer::plain(200) }), None);
        assert_eq!(shapes.number(&Answer { headers: &[b'x'; LONGEST], ..Answer::plain(200) }), None);
        for n in 0..MOST {
            let reason = n.to_string();
            assert_eq!(shapes.number(&Answer { reason: &reason, ..Answer::plain(403) }), Some(FIRST + n as u16));
        }
        assert_eq!(shapes.number(&Answer { reason: "one more", ..Answer::plain(403) }), None);
        assert_eq!(shapes.number(&Answer { reason: "7", ..Answer::plain(403) }), Some(1007));
    }
}
