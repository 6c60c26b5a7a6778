//! What is said in one phase, and what the phones hear by MSRP.

use super::run::Shared;
use crate::bytes::{between, find};
use crate::ledger::{ACCEPTED, DELIVERED, Ledger, REFUSED, settled_from_sip, settled_from_xmpp};
use crate::options::Way;
use crate::sessions::lines::{Line, Taker};
use crate::sessions::msrp::{Frame, answer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

/// One phase: texts of one way. The ledger has an entry for each delivery.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) way: Way,
    pub(super) phase: usize,
    pub(super) ledger: Ledger,
    /// Where in the order of its room each text was said.
    pub(super) turn: Vec<AtomicU32>,
    /// For each place, where the text was that it heard last.
    heard: Vec<AtomicU32>,
    /// How many came behind one that was said later.
    pub(super) out_of_order: AtomicUsize,
    sip: usize,
}

impl Talk {
    /// `count` deliveries, or as few more as whole texts make.
    pub(super) fn new(shared: &Shared, way: Way, phase: usize, count: usize) -> Talk {
        let texts = count.div_ceil(shared.cast.sip);
        let zeros = |n: usize| (0..n).map(|_| AtomicU32::new(0)).collect();
        Talk {
            way,
            phase,
            ledger: Ledger::new(texts * shared.cast.sip),
            turn: zeros(texts),
            heard: zeros(shared.cast.places()),
            out_of_order: AtomicUsize::new(0),
            sip: shared.cast.sip,
        }
    }

    /// The delivery of a text to its room.
    pub(super) fn first(&self, shared: &Shared, text: usize) -> usize {
        text * shared.cast.sip
    }

    /// Whether somebody waits for an answer to this delivery: the SIP user who has said it.
    pub(super) fn asks(&self, number: usize) -> bool {
        self.way == Way::SipToXmpp && number.is_multiple_of(self.sip)
    }

    /// What has an answer to come is settled by it, too.
    fn settling(&self, number: usize) -> fn(u8) -> bool {
        if self.asks(number) { settled_from_sip } else { settled_from_xmpp }
    }

    /// Somebody has a text. Whether it is the first time.
    pub(super) fn delivered(&self, shared: &Shared, number: usize, text: usize, words: &[u8], astray: bool) -> bool {
        let ledger = &self.ledger;
        if number >= ledger.marks.len() {
            shared.counts.strange.fetch_add(1, SeqCst);
            return false;
        }
        if !ledger.mark(number, DELIVERED, shared.now(), self.settling(number)) {
            ledger.duplicates.fetch_add(1, SeqCst);
            return false;
        }
        if words != shared.cast.text(self.phase, text).as_bytes() {
            ledger.wrong_texts.fetch_add(1, SeqCst);
        }
        if astray {
            ledger.wrong_addresses.fetch_add(1, SeqCst);
        }
        true
    }

    /// A SIP user was told what became of what he has said.
    pub(super) fn answered(&self, shared: &Shared, text: usize, code: u16) {
        let first = self.first(shared, text);
        if first >= self.ledger.marks.len() {
            return;
        }
        if code == 200 {
            self.ledger.mark(first, ACCEPTED, shared.now(), self.settling(first));
        } else {
            self.refused(shared, text, format!("MSRP {code}"));
        }
    }

    /// A text came to nothing: nobody will hear it.
    pub(super) fn refused(&self, shared: &Shared, text: usize, why: String) {
        let first = self.first(shared, text);
        let numbers = (first..first + self.sip).filter(|number| *number < self.ledger.marks.len());
        let some = numbers.filter(|number| self.ledger.mark(*number, REFUSED, shared.now(), self.settling(*number)));
        if some.count() > 0 {
            self.ledger.refused(why);
        }
    }

    /// A phone hears a text.
    fn heard(&self, shared: &Shared, place: usize, text: usize, words: &[u8], from: &[u8], to: &[u8]) {
        let cast = &shared.cast;
        let (room, who) = (place / cast.sip, place % cast.sip);
        if text >= self.turn.len() {
            shared.counts.strange.fetch_add(1, SeqCst);
            return;
        }
        let speaker = cast.speaker(self.way, text);
        let own = speaker == (room, who);
        let nick = find(from, b";gr=").map(|at| &from[at + 4..]).and_then(|nick| cast.who(room, nick));
        let wrong = speaker.0 != room || nick != Some(speaker.1) || to != format!("sip:{}", cast.room(room)).as_bytes();
        if own {
            // A room's copy for its author is not for him to hear again.
            self.ledger.duplicates.fetch_add(1, SeqCst);
            return;
        }
        if self.delivered(shared, cast.delivery(self.way, text, who), text, words, wrong) {
            let turn = self.turn[text].load(SeqCst);
            if self.heard[place].swap(turn, SeqCst) >= turn {
                self.out_of_order.fetch_add(1, SeqCst);
            }
        }
    }
}

/// The phones.
pub(super) struct Phones<'a>(pub(super) &'a Shared);

impl Taker for Phones<'_> {
    fn came(&mut self, _line: &Arc<Line>, frame: &Frame<'_>, answers: &mut Vec<u8>) {
        let shared = self.0;
        if let Some(code) = frame.code() {
            if let Some(place) = shared.cast.place_of_session(frame.tid) {
                return shared.bound(place, code);
            }
            if let Some((phase, text)) = shared.cast.of_id(frame.tid)
                && let Some(talk) = shared.talk(phase)
            {
                talk.answered(shared, text, code);
            }
            return;
        }
        let Some(place) = shared.cast.place_of_session(frame.session()).filter(|_| frame.what == b"SEND") else {
            shared.counts.strange.fetch_add(1, SeqCst);
            return;
        };
        answer(frame, answers);
        let Some(cpim) = frame.body else { return };
        if parts(cpim).filter(|_| frame.flag == b'$').and_then(|parts| told(shared, place, parts)).is_none() {
            shared.counts.strange.fetch_add(1, SeqCst);
        }
    }

    fn gone(&mut self, _line: &Line) {
        self.0.counts.lines_gone.fetch_add(1, SeqCst);
    }
}

/// The wrapper and the words of a message in CPIM (RFC 3862).
fn parts(cpim: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = find(cpim, b"\r\n\r\n")?;
    let words = head + 4 + find(&cpim[head + 4..], b"\r\n\r\n")? + 4;
    Some((&cpim[..head], &cpim[words..]))
}

fn told(shared: &Shared, place: usize, (head, words): (&[u8], &[u8])) -> Option<()> {
    let (phase, text) = shared.cast.of_text(words)?;
    let talk = shared.talk(phase)?;
    let uri = |name: &[u8]| between(&head[find(head, name)?..], b"<", b">");
    talk.heard(shared, place, text, words, uri(b"From:")?, uri(b"To:")?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpim_is_taken_apart() {
        let cpim = b"From: A <sip:r@s;gr=x000001>\r\nTo: <sip:r@s>\r\n\r\nContent-Type: text/plain\r\n\r\na\r\n\r\nb";
        let (head, words) = parts(cpim).unwrap();
        assert!(head.ends_with(b"To: <sip:r@s>"));
        assert_eq!(words, b"a\r\n\r\nb");
        assert_eq!(parts(b"From: <a:b>\r\n\r\nx"), None);
    }
}
