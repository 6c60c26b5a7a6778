//! Who calls whom: pairs by number, so that nothing has to be remembered of them.

use super::said::Media;
use crate::bytes::find;
use crate::options::Options;
use std::net::SocketAddr;

/// Who begins the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    Sip,
    Xmpp,
    /// In turns.
    Both,
}

/// What an XMPP user's request is of: the letter before its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Propose,
    Initiate,
    Accept,
    Terminate,
}

impl Said {
    fn letter(self) -> char {
        match self {
            Said::Propose => 'p',
            Said::Initiate => 'i',
            Said::Accept => 'a',
            Said::Terminate => 't',
        }
    }

    fn of(letter: u8) -> Option<Said> {
        [Said::Propose, Said::Initiate, Said::Accept, Said::Terminate]
            .into_iter()
            .find(|s| s.letter() == char::from(letter))
    }
}

/// The calls: each is that of two users of its own.
#[derive(Debug)]
pub(super) struct Cast {
    /// A name that no other run has.
    pub(super) name: String,
    pub(super) calls: usize,
    began: Began,
    media: Option<Media>,
    sip_domain: String,
    xmpp_domain: String,
}

impl Cast {
    pub(super) fn new(options: &Options, name: String, began: Began, media: Option<Media>) -> Cast {
        Cast {
            name,
            calls: options.users,
            began,
            media,
            sip_domain: options.sip_domain.clone(),
            xmpp_domain: options.xmpp_domain.clone(),
        }
    }

    /// Whether a phone begins it.
    pub(super) fn by_phone(&self, call: usize) -> bool {
        match self.began {
            Began::Sip => true,
            Began::Xmpp => false,
            Began::Both => call.is_multiple_of(2),
        }
    }

    /// What both ends have.
    pub(super) fn media(&self, call: usize) -> Media {
        match self.media {
            Some(media) => media,
            None if (call / 2).is_multiple_of(2) => Media::Browser,
            None => Media::Plain,
        }
    }

    /// The SIP user.
    pub(super) fn sip(&self, call: usize) -> String {
        format!("romeo{call:06}@{}", self.sip_domain)
    }

    /// The XMPP user's bare address.
    pub(super) fn xmpp(&self, call: usize) -> String {
        format!("juliet{call:06}@{}", self.xmpp_domain)
    }

    /// The device on which the XMPP user takes calls.
    pub(super) fn device(&self, call: usize) -> String {
        format!("{}/balcony", self.xmpp(call))
    }

    /// The call of a SIP user.
    pub(super) fn of_sip(&self, address: &[u8]) -> Option<usize> {
        let user = address.strip_prefix(b"romeo")?;
        self.number(&user[..find(user, b"@")?])
    }

    /// Where a phone takes SIP.
    pub(super) fn contact(&self, call: usize, listen: SocketAddr) -> String {
        format!("<sip:romeo{call:06}@{listen}>")
    }

    /// The Call-ID and the Jingle session.
    pub(super) fn sid(&self, call: usize) -> String {
        format!("{}-4e27-8958-{call:012}", self.name)
    }

    /// The call of a Call-ID or of a Jingle session.
    pub(super) fn of_sid(&self, sid: &[u8]) -> Option<usize> {
        self.number(sid.strip_prefix(self.name.as_bytes())?.strip_prefix(b"-4e27-8958-")?)
    }

    /// The id of an XMPP user's stanza.
    pub(super) fn id(&self, said: Said, call: usize) -> String {
        format!("{}.{}{call:07}", self.name, said.letter())
    }

    /// What an id is of.
    pub(super) fn of_id(&self, id: &[u8]) -> Option<(Said, usize)> {
        let (letter, number) = id.strip_prefix(self.name.as_bytes())?.strip_prefix(b".")?.split_first()?;
        Some((Said::of(*letter)?, self.number(number)?))
    }

    fn number(&self, digits: &[u8]) -> Option<usize> {
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (number < self.calls).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        let options = Options::parse(["--users".to_owned(), "9".to_owned()].into_iter()).unwrap();
        let cast = Cast::new(&options, "n1".to_owned(), Began::Both, None);
        assert_eq!([0, 1, 2, 3].map(|n| cast.by_phone(n)), [true, false, true, false]);
        assert_eq!([0, 1, 2, 3].map(|n| cast.media(n) == Media::Plain), [false, false, true, true]);
        assert_eq!(cast.of_sip(cast.sip(8).as_bytes()), Some(8));
        assert_eq!(cast.of_sid(cast.sid(8).as_bytes()), Some(8));
        assert_eq!(cast.of_sid(cast.sid(9).as_bytes()), None);
        for said in [Said::Propose, Said::Initiate, Said::Accept, Said::Terminate] {
            assert_eq!(cast.of_id(cast.id(said, 7).as_bytes()), Some((said, 7)));
        }
    }
}
