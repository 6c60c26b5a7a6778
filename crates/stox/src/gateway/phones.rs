//! Phones that register here, in the gateway: who has to prove who it is, and REGISTER.

use super::Gateway;
use super::value::{Note, Offence, Output};
use crate::address;
use crate::error::Refusal;
use crate::mapping::Side;
use crate::phones::{Unproved, WRONG};
use crate::store::{Broken, Key, SaveToken};
use sip::agent::{Flow, ServerId};
use sip::registrar;
use sip::{Floor, Method, Request};
use xmpp::jid::Jid;

/// REGISTERs of one account: so many in a second, and so many at once.
const RATE: u32 = 2;
const BURST: u32 = 20;

impl Gateway {
    /// Whether whoever sent this is who it says, where it says to be a user that registers here: RFC 3261 §22.1, RFC 8760. Nothing else that it says is looked at before, and
    /// no network that it may come from makes up for it. If not, it is answered.
    pub(super) fn proves_itself(&mut self, id: ServerId, request: &Request, flow: Flow) -> bool {
        let from = request.headers.from().ok().and_then(|from| address::to_jid(&from.uri, &self.addresses).ok());
        let Some(from) = from.filter(|from| self.phones.serves(from.domain())) else { return true };
        let message = request.method == Method::Message;
        match self.phones.prove(self.now, &mut self.tokens, request, flow.remote.ip(), &from) {
            Ok(()) => true,
            Err(Unproved::Challenge(response, refusal)) => {
                self.out.push_back(Output::Note(Note::Refused { refusal, towards: Side::Sip, message }));
                // By UDP anybody can say to come from anywhere, but the nonce was given to that address.
                if refusal == WRONG && !self.passes_on(flow) {
                    self.out.push_back(Output::Offence(flow, Offence::Credentials));
                }
                self.sip.challenge(self.now, id, *response);
                false
            }
            Err(Unproved::Refuse(refusal)) => {
                self.note_sender(&refusal, flow);
                let (mut stage, _) = self.stage();
                stage.note_refused(&refusal, Side::Sip, message);
                stage.sip.refuse_stranger(stage.now, id, refusal.response());
                false
            }
        }
    }

    /// A REGISTER: RFC 3261 §10.3 steps 1 to 5. Its sender has proved to be its From, where that is a user that registers here.
    pub(super) fn register(&mut self, id: ServerId, request: Request, flow: Flow) {
        let refused = match self.may_register(&request) {
            Ok(account) => {
                let mut ground = Floor { now: self.now, agent: &mut self.sip, tokens: &mut self.tokens };
                self.phones.register(&mut ground, &account, id, request, flow).err()
            }
            Err(refusal) => Some((refusal, id)),
        };
        if let Some((refusal, id)) = refused {
            self.refuse_request(id, &refusal, false);
        }
    }

    /// Whose contacts a REGISTER is about.
    fn may_register(&mut self, request: &Request) -> Result<Jid, Refusal> {
        self.accepting()?;
        let headers = &request.headers;
        let jid = |uri: &sip::Uri| address::to_jid(uri, &self.addresses).map_err(Refusal::Address);
        let from = headers.from().map_err(|_| Refusal::BadRequest("Bad From"))?;
        let to = headers.to().map_err(|_| Refusal::BadRequest("Bad To"))?;
        if [&request.uri, &to.uri].into_iter().any(|uri| uri.scheme() == "sips") {
            return Err(Refusal::SipsNotAllowed);
        }
        let (domain, from, to) = (jid(&request.uri)?, jid(&from.uri)?, jid(&to.uri)?);
        if !self.phones.serves(domain.domain()) || domain.local().is_some() {
            return Err(Refusal::NotServed);
        }
        // §10.2: others could register for a user, but nobody here may.
        if !self.phones.is_account(&from) || !from.same_bare(&to) || to.domain() != domain.domain() {
            return Err(Refusal::SenderNotAllowed);
        }
        if !self.rates.allows_as(self.now, self.phones.print(&from), RATE, BURST) {
            return Err(Refusal::RateExceeded { retry_after: self.config.limits.retry_after });
        }
        Ok(from.bare())
    }

    /// Asks for what the registrar wants saved. Whether there was anything.
    pub(super) fn save_contacts(&mut self) -> bool {
        let Some((key, value)) = self.phones.poll(self.next_save) else { return false };
        self.out.push_back(Output::Save { token: self.next_save, key, value });
        self.next_save += 1;
        true
    }

    /// Whether a wish was the registrar's.
    pub(super) fn contacts_saved(&mut self, token: SaveToken, saved: bool) -> bool {
        let mut ground = Floor { now: self.now, agent: &mut self.sip, tokens: &mut self.tokens };
        self.phones.saved(&mut ground, token, saved)
    }

    /// A record of an account or of its contacts. None: it is about something else.
    pub(super) fn phone_record(&mut self, key: &Key, value: Option<&[u8]>, own: bool) -> Option<Result<(), Broken>> {
        let mut ground = Floor { now: self.now, agent: &mut self.sip, tokens: &mut self.tokens };
        self.phones.changed(&mut ground, key, value, own)
    }

    /// What there is of phones: accounts, and what the registrar has counted.
    pub fn phone_counts(&self) -> (usize, registrar::Counts) {
        (self.phones.accounts(), self.phones.counts())
    }
}
