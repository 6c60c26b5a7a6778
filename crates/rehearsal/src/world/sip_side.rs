//! All SIP users of a world behind one address: a small user agent with the retransmissions of RFC 3261 §17, written without the
//! gateway's own agent.

use super::letters::Letters;
use crate::wire::SipText;
use base::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const TIMER_F: Duration = Duration::from_secs(32);

/// A request of ours that has no final response yet.
#[derive(Debug)]
struct Client {
    letter: u64,
    bytes: Vec<u8>,
    interval: Duration,
    next: Time,
    end: Time,
}

#[derive(Debug, Default)]
pub(super) struct SipSide {
    clients: BTreeMap<String, Client>,
    due: BTreeSet<(Time, String)>,
    /// The answers given, by branch: timer J, without its end, as a late doublet must not count as a second delivery.
    answered: BTreeMap<String, Vec<u8>>,
    /// Nobody is there: nothing is heard and nothing said.
    pub(super) gone: bool,
    minted: u64,
    pub(super) codes: BTreeMap<u16, u64>,
}

impl SipSide {
    /// `letter` is sent to a user of the XMPP side. Gives back the first datagram.
    pub(super) fn write(&mut self, now: Time, letter: u64, from: &str, to: &str) -> Vec<u8> {
        self.minted += 1;
        let branch = format!("z9hG4bKworld{}", self.minted);
        let mut request = SipText { start: format!("MESSAGE sip:{to} SIP/2.0"), headers: Vec::new(), body: Vec::new() };
        for (name, value) in [
            ("Via", format!("SIP/2.0/UDP {}:{};branch={branch};rport", "192.0.2.10", 5060)),
            ("Max-Forwards", "70".into()),
            ("From", format!("<sip:{from}>;tag=t{letter}")),
            ("To", format!("<sip:{to}>")),
            ("Call-ID", format!("c{letter}@world")),
            ("CSeq", "1 MESSAGE".into()),
            ("Content-Type", "text/plain".into()),
        ] {
            request.push(name, value);
        }
        request.body = format!("letter {letter}").into_bytes();
        let bytes = request.to_bytes();
        let next = now + T1;
        self.due.insert((next, branch.clone()));
        self.clients.insert(branch, Client { letter, bytes: bytes.clone(), interval: T1, next, end: now + TIMER_F });
        bytes
    }

    /// A datagram came. Gives back the answer, if there is one.
    pub(super) fn received(&mut self, bytes: &[u8], letters: &mut Letters) -> Option<Vec<u8>> {
        if self.gone {
            return None;
        }
        let message = SipText::parse(bytes)?;
        let branch = message.branch()?.to_owned();
        let Some(code) = message.status() else { return Some(self.answer(&message, &branch, letters)) };
        if code < 200 {
            return None;
        }
        // Only the first final response counts: the client transaction is over then.
        let client = self.clients.remove(&branch)?;
        self.due.remove(&(client.next, branch));
        *self.codes.entry(code).or_default() += 1;
        let letter = letters.of(client.letter);
        match code {
            200..=299 => letter.accepted = true,
            _ => letter.errors += 1,
        }
        None
    }

    fn answer(&mut self, request: &SipText, branch: &str, letters: &mut Letters) -> Vec<u8> {
        if let Some(answer) = self.answered.get(branch) {
            return answer.clone();
        }
        if let Some(number) = number_of(&request.text()) {
            letters.of(number).delivered += 1;
        }
        let answer = request.response(200, "OK", "world").to_bytes();
        self.answered.insert(branch.to_owned(), answer.clone());
        answer
    }

    /// What is to be sent again at `now`.
    pub(super) fn timeout(&mut self, now: Time, letters: &mut Letters) -> Vec<Vec<u8>> {
        let mut again = Vec::new();
        while let Some((at, branch)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, branch.clone()));
            let Some(client) = self.clients.get_mut(&branch) else { continue };
            if client.end <= now {
                letters.of(client.letter).errors += 1;
                *self.codes.entry(408).or_default() += 1;
                self.clients.remove(&branch);
                continue;
            }
            again.push(client.bytes.clone());
            client.interval = (client.interval * 2).min(T2);
            client.next = (now + client.interval).min(client.end);
            self.due.insert((client.next, branch));
        }
        again
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }
}

/// The text of a letter in a session; that of some is long.
pub(super) fn words_of(letter: u64) -> String {
    let long = if letter.is_multiple_of(5) { 6000 } else { 0 };
    format!("letter {letter}{}", " ".repeat(long))
}

/// The number of a letter by its text.
pub(super) fn number_of(text: &str) -> Option<u64> {
    text.strip_prefix("letter ")?.trim().parse().ok()
}
