//! Which shard an event belongs to.
//!
//! The shard of a pair is chosen by the two bare addresses in canonical form, without order, so it is the same whichever
//! side speaks. What answers our own messages carries a token that names the shard that minted it.

use crate::address;
use base::HashKey;
use sip::{Message, Request, Response, Uri};
use xmpp::jid::Jid;
use xmpp::stanza::Stanza;

/// How many shards there are, and the key that spreads the pairs over them. The key must be the same in all processes that
/// share the work.
#[derive(Debug, Clone, Copy)]
pub struct Router {
    shards: usize,
    key: HashKey,
}

impl Router {
    /// A router over `shards` shards, at least one and at most 256 (a branch names its shard in one byte).
    pub fn new(shards: usize, key: HashKey) -> Router {
        Router { shards: shards.clamp(1, 256), key }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The shard of a SIP message. What cannot be placed (an address that maps to nothing, a response to a branch that is not
    /// ours) goes to the first: it is refused or dropped there.
    pub fn sip(&self, message: &Message) -> usize {
        if self.shards == 1 {
            return 0;
        }
        match message {
            Message::Request(r) => self.request(r),
            Message::Response(r) => Self::response(r).filter(|s| *s < self.shards).unwrap_or(0),
        }
    }

    /// The shard of a stanza.
    pub fn stanza(&self, stanza: &Stanza) -> usize {
        match (&stanza.from, &stanza.to) {
            (Some(a), Some(b)) if self.shards > 1 => self.pair(a, b),
            _ => 0,
        }
    }

    fn request(&self, request: &Request) -> usize {
        let options = address::Options::default();
        let jid = |uri: &Uri| address::to_jid(uri, &options).ok();
        let from = request.headers.from().ok().and_then(|f| jid(&f.uri));
        match (from, jid(&request.uri)) {
            (Some(a), Some(b)) => self.pair(&a, &b),
            _ => 0,
        }
    }

    fn response(response: &Response) -> Option<usize> {
        sip::agent::shard_of_branch(response.headers.via().ok()?.branch()?).map(usize::from)
    }

    fn pair(&self, a: &Jid, b: &Jid) -> usize {
        let (a, b) = ((a.local().unwrap_or(""), a.domain()), (b.local().unwrap_or(""), b.domain()));
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let parts = [a.0.as_bytes(), a.1.as_bytes(), b.0.as_bytes(), b.1.as_bytes()];
        let bits = self.key.fingerprint(&parts).bits() as u64;
        usize::try_from(bits % self.shards as u64).unwrap_or(0)
    }
}
