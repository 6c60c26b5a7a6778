//! Which shard an event belongs to.
//!
//! The shard of a pair is chosen by the two bare addresses in canonical form, without order, so it is the same whichever
//! side speaks. What answers our own messages carries a token that names the shard that minted it.
//!
//! Only the local parts count, and of telephone numbers the last digits: what else there is of those comes by configuration alone
//! ([`crate::numbers`]), which may change while messages are under way, and an error must find the shard that waits for it.

use crate::address;
use crate::config::LinkId;
use crate::gateway::Input;
use crate::numbers::shard_key;
use crate::store::Key;
use base::{HashKey, Str};
use sip::{Message, Method, Request, Response, Uri};
use xmpp::jid::Jid;
use xmpp::stanza::{Kind, Stanza};

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

    /// What each shard that a stanza concerns is told. It belongs to one; but what a server says about a user to the gateway itself, any of
    /// them may have asked.
    pub fn inputs(&self, link: LinkId, stanza: Stanza) -> impl Iterator<Item = (usize, Input)> {
        let own = self.stanza(&stanza);
        let asks = matches!(stanza.type_.as_deref(), Some("subscribe" | "unsubscribe" | "probe"));
        let to_gateway = stanza.to.as_ref().is_some_and(|to| to.local().is_none());
        let told = match stanza.kind {
            Kind::Presence => !asks,
            // What a server lets the gateway do is for all to know.
            Kind::Message => stanza.from.as_ref().is_some_and(|from| from.local().is_none()),
            Kind::Iq => false,
        };
        let others = if told && to_gateway { self.shards } else { 0 };
        let overheard: Vec<_> =
            (0..others).filter(|shard| *shard != own).map(|shard| (shard, stanza.clone())).collect();
        let overheard = overheard.into_iter().map(move |(shard, stanza)| (shard, Input::Overheard(link, stanza)));
        std::iter::once((own, Input::Stanza(link, stanza))).chain(overheard)
    }

    /// The shard of a record.
    pub fn record(&self, key: &[u8]) -> usize {
        match Key::parse(key) {
            Ok(key) if self.shards > 1 => self.pair(&key.sip, &key.xmpp),
            Ok(_) | Err(_) => 0,
        }
    }

    fn request(&self, request: &Request) -> usize {
        // Any domain for telephone numbers will do.
        let options = address::Options { phone_domain: Some(Str::const_new("phone.invalid")) };
        let jid = |uri: &Uri| address::to_jid(uri, &options).ok();
        let from = request.headers.from().ok().and_then(|f| jid(&f.uri));
        // A REGISTER is between an account and nobody: its record has the account twice.
        if let (Method::Register, Some(account)) = (&request.method, &from) {
            return self.pair(account, account);
        }
        match (from, jid(&request.uri)) {
            (Some(a), Some(b)) => self.pair(&a, &b),
            _ => 0,
        }
    }

    fn response(response: &Response) -> Option<usize> {
        sip::agent::shard_of_branch(response.headers.via().ok()?.branch()?).map(usize::from)
    }

    fn pair(&self, a: &Jid, b: &Jid) -> usize {
        let (a, b) = (shard_key(a.local().unwrap_or("")), shard_key(b.local().unwrap_or("")));
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let bits = self.key.fingerprint(&[a.as_bytes(), b.as_bytes()]).bits() as u64;
        usize::try_from(bits % self.shards as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the From is written like, an error to its message comes to the shard that holds the request.
    #[test]
    fn both_sides_of_a_pair_go_to_one_shard() {
        let router = Router::new(16, HashKey::new(1, 2));
        let mut used = std::collections::BTreeSet::new();
        for n in 0..64 {
            for (from, jid) in [
                (format!("tel:+358-555-{n:04}"), format!("+358555{n:04}@example.net")),
                (format!("sip:Romeo{n}@EXAMPLE.net;gr=x"), format!("romeo{n}@example.net/y")),
                (format!("im:o'malley{n}@example.net"), format!("o\\27malley{n}@example.net")),
                // By a rule that writes the country for a zero.
                (format!("sip:0555{n:04}@trunk.example;user=phone"), format!("+358555{n:04}@example.net")),
            ] {
                let mut request = Request::new(Method::Message, Uri::parse("sip:juliet@example.com").unwrap());
                request.headers.push(sip::Name::From, format!("<{from}>;tag=1"));
                let mut error = Stanza::message().with_type("error");
                error.from = Some(Jid::parse("juliet@example.com/balcony").unwrap());
                error.to = Some(Jid::parse(&jid).unwrap());
                let shard = router.sip(&Message::Request(request));
                assert_eq!(shard, router.stanza(&error), "{from}");
                used.insert(shard);
            }
        }
        assert_eq!(used.len(), 16);
    }
    /// What a server says to the gateway itself comes to all, and one of them acts on it: the one that a request of the same user gets.
    #[test]
    fn what_is_said_to_the_gateway_is_overheard() {
        let router = Router::new(4, HashKey::new(1, 2));
        let presence = |type_: &str, to: &str| {
            let mut stanza = Stanza::presence();
            stanza.from = Some(Jid::parse("juliet@example.com/balcony").unwrap());
            stanza.to = Some(Jid::parse(to).unwrap());
            stanza.type_ = (!type_.is_empty()).then(|| type_.into());
            stanza
        };
        let shards = |stanza| {
            let inputs: Vec<_> = router.inputs(0, stanza).collect();
            let (own, rest) = inputs.split_first().unwrap();
            assert!(matches!(own.1, Input::Stanza(..)) && rest.iter().all(|(_, i)| matches!(i, Input::Overheard(..))));
            (own.0, rest.len())
        };
        let (own, rest) = shards(presence("subscribe", "example.net"));
        assert_eq!(rest, 0);
        for type_ in ["", "unavailable", "subscribed", "unsubscribed", "error"] {
            assert_eq!(shards(presence(type_, "example.net")), (own, 3), "{type_}");
            assert_eq!(shards(presence(type_, "romeo@example.net")).1, 0);
        }
        let mut iq = presence("result", "example.net");
        iq.kind = Kind::Iq;
        assert_eq!(shards(iq), (own, 0));
    }
}
