//! ACKs for 2xx (RFC 3261 §13.2.2.4): they have no transaction, and may still have to find their way.

use crate::agent::context::{Asker, MTU, aim, downgrades};
use crate::agent::{AccountId, Agent, Hop, Next, Output, Refused, SendTo, Target, Transport};
use crate::locate::{Search, Step};
use crate::message::Request;
use base::dns::Answer;
use base::{Time, Tokens};

/// What an ACK for a 2xx waits for: nothing but where it goes.
#[derive(Debug)]
pub(super) struct Errand {
    ack: Request,
    search: Search,
    foreign: bool,
    account: Option<AccountId>,
}

impl Errand {
    /// What was asked for it is answered.
    pub(super) fn answered(&mut self, answer: &Answer, tokens: &mut Tokens) {
        self.search.answered(answer, tokens);
    }
}

impl Agent {
    /// Sends an ACK as soon as it is known where to.
    pub(super) fn open_errand(&mut self, now: Time, mut ack: Request, hop: &Hop) -> Result<(), Refused> {
        let place = match hop {
            Hop::Target(target) => return self.send_ack(ack, target, None),
            Hop::Place(place) => place,
            Hop::Fork(branches) => {
                let branch = branches.first().ok_or(Refused::NoTransport)?;
                aim(&mut ack, Some(&branch.uri), branch.route.as_ref());
                match &branch.next {
                    Next::Target(target) => return self.send_ack(ack, target, None),
                    Next::Place(place) => place,
                }
            }
        };
        let means: Vec<Transport> = self.config.sent_by.iter().map(|(transport, ..)| *transport).collect();
        let large = ack.to_bytes().len() + self.via_length(Transport::Udp, None) > MTU;
        let search = Search::new(place, &means, large);
        if search.is_hopeless() {
            return Err(Refused::NoTransport);
        }
        // One that is lost is like any other: the 2xx comes again.
        if self.asked.len() >= self.config.max_client {
            return Err(Refused::Full);
        }
        self.run_errand(now, Errand { ack, search, foreign: place.foreign, account: place.account });
        Ok(())
    }

    pub(super) fn run_errand(&mut self, now: Time, mut errand: Errand) {
        let mut last = None;
        let target = loop {
            match errand.search.step() {
                Step::Ask(question) => {
                    let id = self.ask(Asker::Errand(self.asks + 1));
                    self.out.push_back(Output::Locate { id, question });
                    self.errands.insert(id, Box::new(errand));
                    return;
                }
                Step::Try(target) if !self.may_go(errand.foreign, &target) => {}
                Step::Try(target) if self.quarantine.holds(now, &target) => last = last.or(Some(target)),
                Step::Try(target) => break Some(target),
                Step::End(_) => break last,
            }
        };
        if let Some(target) = target {
            // One that cannot be sent is lost as well.
            let _ = self.send_ack(errand.ack, &target, errand.account);
        }
    }

    fn send_ack(&mut self, mut ack: Request, target: &Target, account: Option<AccountId>) -> Result<(), Refused> {
        if downgrades(&ack, target.transport) {
            return Err(Refused::NoTransport);
        }
        if let Some(account) = account {
            // RFC 3261 §22.1.
            self.wallet.authorize(account, &mut ack, &mut self.tokens);
        }
        let bits = self.tokens.u64();
        self.add_via(&mut ack, target, bits, None)?;
        self.out.push_back(Output::Send { to: SendTo::Target(target.clone()), bytes: ack.to_bytes(), client: None });
        Ok(())
    }
}
