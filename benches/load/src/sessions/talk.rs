//! What the phones hear by MSRP, and what comes out anywhere.

use super::lines::{Line, Taker};
use super::msrp::{Frame, answer};
use super::pairs::Kind;
use super::run::Shared;
use crate::ledger::{ACCEPTED, DELIVERED, Ledger, REFUSED, settled_from_sip, settled_from_xmpp};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// The phones.
pub(super) struct Phones<'a>(pub(super) &'a Shared);

impl Taker for Phones<'_> {
    fn came(&mut self, line: &Arc<Line>, frame: &Frame<'_>, answers: &mut Vec<u8>) {
        let shared = self.0;
        if let Some(code) = frame.code() {
            return shared.answered(frame.tid, code);
        }
        match frame.what {
            b"SEND" => {
                answer(frame, answers);
                shared.came(line, frame);
            }
            // There is no answer to a REPORT. We have asked for those of failures only.
            _ => {
                shared.counts.strange.fetch_add(1, SeqCst);
            }
        }
    }

    fn gone(&mut self, _line: &Line) {
        self.0.counts.lines_gone.fetch_add(1, SeqCst);
    }
}

/// Whether a message of this kind has nothing more to wait for.
pub(super) fn settling(kind: Kind) -> fn(u8) -> bool {
    match kind {
        Kind::FromPhone => settled_from_sip,
        Kind::Opening | Kind::ToPhone => settled_from_xmpp,
    }
}

impl Shared {
    /// The answer to a SEND of ours.
    fn answered(&self, tid: &[u8], code: u16) {
        let Some((kind, number)) = self.pairs.of_id(tid) else { return };
        let ledger = self.ledger(kind);
        if number >= ledger.marks.len() {
            return;
        }
        match (kind, code) {
            (Kind::Opening, 200) => drop(ledger.mark(number, DELIVERED, self.now(), settling(kind))),
            (_, 200) => drop(ledger.mark(number, ACCEPTED, self.now(), settling(kind))),
            (_, code) => self.refused(kind, number, format!("MSRP {code}")),
        }
    }

    /// A SEND to one of our sessions.
    fn came(&self, line: &Arc<Line>, frame: &Frame<'_>) {
        let Some((session, other_end)) = self.pairs.session_of_path(frame.session()) else {
            self.counts.strange.fetch_add(1, SeqCst);
            return;
        };
        if !other_end {
            let mut leg = self.leg(session);
            if leg.line.is_none() {
                leg.line = Some(Arc::clone(line));
                leg.theirs = String::from_utf8_lossy(frame.from()).into_owned();
            }
        }
        let Some(text) = frame.body else { return };
        let Some((kind, number)) = self.pairs.of_text(text).filter(|_| frame.flag == b'$') else {
            self.counts.strange.fetch_add(1, SeqCst);
            return;
        };
        self.delivered(kind, number, text, kind == Kind::FromPhone && !other_end);
    }

    /// A text has come out: it is compared, and its place in the order of its session.
    pub(super) fn delivered(&self, kind: Kind, number: usize, text: &[u8], astray: bool) {
        let ledger = self.ledger(kind);
        if number >= ledger.marks.len() {
            self.counts.strange.fetch_add(1, SeqCst);
            return;
        }
        if !ledger.mark(number, DELIVERED, self.now(), settling(kind)) {
            ledger.duplicates.fetch_add(1, SeqCst);
            return;
        }
        if text != self.pairs.text(kind, number).as_bytes() {
            ledger.wrong_texts.fetch_add(1, SeqCst);
        }
        if astray {
            ledger.wrong_addresses.fetch_add(1, SeqCst);
        }
        if kind != Kind::Opening {
            self.in_order(kind, number);
        }
    }

    /// Messages of one session come in the order in which they were sent: each is as many after the one before as there are sessions.
    fn in_order(&self, kind: Kind, number: usize) {
        let sessions = self.pairs.sessions;
        let order = self.order(kind);
        let before = order.last[number % sessions].swap(number + 1, SeqCst);
        if before != (number + 1).saturating_sub(sessions) {
            order.wrong.fetch_add(1, SeqCst);
        }
    }

    /// A set-up or a message came to nothing.
    pub(super) fn refused(&self, kind: Kind, number: usize, why: String) {
        let ledger: &Ledger = self.ledger(kind);
        if number < ledger.marks.len() && ledger.mark(number, REFUSED, self.now(), settling(kind)) {
            ledger.refused(why);
        }
    }
}
