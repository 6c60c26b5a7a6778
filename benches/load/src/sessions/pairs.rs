//! Who talks to whom: pairs by number, so that nothing has to be remembered of them.

use crate::bytes::find;
use crate::options::Options;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It opens a session.
    Opening,
    /// It goes from MSRP to XMPP, or through the forwarder.
    FromPhone,
    /// It goes from XMPP to MSRP.
    ToPhone,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Opening => 'o',
            Kind::FromPhone => 's',
            Kind::ToPhone => 'x',
        }
    }

    fn of(letter: u8) -> Option<Kind> {
        [Kind::Opening, Kind::FromPhone, Kind::ToPhone].into_iter().find(|kind| kind.letter() == char::from(letter))
    }
}

/// The sessions: each is that of two users of its own, who have a resource or a phone with an address of its own.
#[derive(Debug)]
pub(super) struct Pairs {
    /// A name that no other run has.
    pub(super) name: String,
    /// How many sessions there are.
    pub(super) sessions: usize,
    /// How many of them have a connection of their own; the others use those of the first ones.
    pub(super) lines: usize,
    /// Who opens them.
    pub(super) opened: Opened,
    sip_domain: String,
    xmpp_domain: String,
    listen: SocketAddr,
    msrp_port: u16,
    body: usize,
}

/// Who opens sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    Sip,
    Xmpp,
    /// In turns.
    Both,
}

impl Pairs {
    pub(super) fn new(options: &Options, name: String, lines: usize, opened: Opened, msrp_port: u16) -> Pairs {
        Pairs {
            name,
            sessions: options.users,
            // In turns, so that a connection is that of sessions of one kind.
            lines: lines.min(options.users).next_multiple_of(2),
            opened,
            sip_domain: options.sip_domain.clone(),
            xmpp_domain: options.xmpp_domain.clone(),
            listen: options.listen,
            msrp_port,
            body: options.body,
        }
    }

    /// Whether the phone opens this one.
    pub(super) fn by_phone(&self, session: usize) -> bool {
        match self.opened {
            Opened::Sip => true,
            Opened::Xmpp => false,
            Opened::Both => session.is_multiple_of(2),
        }
    }

    /// The SIP user.
    pub(super) fn sip(&self, session: usize) -> String {
        format!("romeo{session:06}@{}", self.sip_domain)
    }

    /// The XMPP user's bare address.
    pub(super) fn xmpp(&self, session: usize) -> String {
        format!("juliet{session:06}@{}", self.xmpp_domain)
    }

    /// The session of a SIP user.
    pub(super) fn session_of_sip(&self, address: &[u8]) -> Option<usize> {
        let user = address.strip_prefix(b"romeo")?;
        self.number(&user[..find(user, b"@")?])
    }

    /// The thread and the Call-ID.
    pub(super) fn thread(&self, session: usize) -> String {
        format!("{}-4e27-8958-{session:012}", self.name)
    }

    /// The session of a Call-ID.
    pub(super) fn session_of_thread(&self, thread: &[u8]) -> Option<usize> {
        self.number(thread.strip_prefix(self.name.as_bytes())?.strip_prefix(b"-4e27-8958-")?)
    }

    /// The session's name in our path. The other end's of the forwarder has another.
    pub(super) fn msrp_session(&self, session: usize, other_end: bool) -> String {
        format!("{}-{session:08}-{}", self.name, if other_end { 'b' } else { 'a' })
    }

    /// The session of our path, and whether it is the other end's.
    pub(super) fn session_of_path(&self, path: &[u8]) -> Option<(usize, bool)> {
        let rest = path.strip_prefix(self.name.as_bytes())?.strip_prefix(b"-")?;
        let (number, end) = rest.split_at_checked(8)?;
        Some((self.number(number)?, end == b"-b"))
    }

    /// The phone's address for MSRP.
    pub(super) fn phone(&self, session: usize, other_end: bool) -> SocketAddr {
        let line = session % self.lines;
        let [high, low] = [line / 250, line % 250 + 1].map(|part| u8::try_from(part).unwrap_or(250));
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, if other_end { 2 } else { 1 }, high, low)), self.msrp_port)
    }

    /// The session before it whose connection is used, if it has none of its own.
    pub(super) fn lent_by(&self, session: usize) -> Option<usize> {
        (session >= self.lines).then(|| session % self.lines)
    }

    /// Our path.
    pub(super) fn path(&self, session: usize, other_end: bool) -> String {
        format!("msrp://{}/{};tcp", self.phone(session, other_end), self.msrp_session(session, other_end))
    }

    /// Our description: who has opened the session connects.
    pub(super) fn description(&self, session: usize, setup: &str) -> String {
        let phone = self.phone(session, false);
        format!(
            "v=0\r\no=- {} 1 IN IP4 {}\r\ns=-\r\nc=IN IP4 {}\r\nt=0 0\r\nm=message {} TCP/MSRP *\r\n\
             a=accept-types:text/plain\r\na=path:{}\r\na=setup:{setup}\r\n",
            session + 1,
            phone.ip(),
            phone.ip(),
            phone.port(),
            self.path(session, false)
        )
    }

    /// Where the phone takes SIP.
    pub(super) fn contact(&self, session: usize) -> String {
        format!("<sip:romeo{session:06}@{}>", self.listen)
    }

    /// The transaction or the stanza's id of a text.
    pub(super) fn id(&self, kind: Kind, number: usize) -> String {
        format!("{}.{}{number:07}", self.name, kind.letter())
    }

    /// What a transaction or id is of.
    pub(super) fn of_id(&self, id: &[u8]) -> Option<(Kind, usize)> {
        let rest = id.strip_prefix(self.name.as_bytes())?.strip_prefix(b".")?;
        let (letter, number) = rest.split_first()?;
        Some((Kind::of(*letter)?, std::str::from_utf8(number).ok()?.parse().ok()?))
    }

    /// A text: what it is of, and as much filler as it takes.
    pub(super) fn text(&self, kind: Kind, number: usize) -> String {
        const FILLER: &str = "Art thou not Romeo, and a Montague? <Neither>, fair maid & if either thee dislike. ";
        let mut text = self.id(kind, number);
        text.push(' ');
        while text.len() < self.body {
            text.push_str(&FILLER[..FILLER.len().min(self.body - text.len())]);
        }
        text
    }

    /// What a text is of.
    pub(super) fn of_text(&self, text: &[u8]) -> Option<(Kind, usize)> {
        self.of_id(&text[..memchr::memchr(b' ', text)?])
    }

    fn number(&self, digits: &[u8]) -> Option<usize> {
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (number < self.sessions).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        let options = Options::parse(["--users".to_owned(), "9".to_owned()].into_iter()).unwrap();
        let pairs = Pairs::new(&options, "n1".to_owned(), 5, Opened::Both, 25_285);
        assert_eq!((pairs.lines, pairs.lent_by(5), pairs.lent_by(7)), (6, None, Some(1)));
        assert_eq!(pairs.phone(7, false), pairs.phone(1, false));
        assert_ne!(pairs.phone(2, false), pairs.phone(1, false));
        assert_ne!(pairs.phone(1, true), pairs.phone(1, false));
        assert_eq!((pairs.by_phone(0), pairs.by_phone(1)), (true, false));
        assert_eq!(pairs.session_of_sip(pairs.sip(8).as_bytes()), Some(8));
        assert_eq!(pairs.session_of_thread(pairs.thread(8).as_bytes()), Some(8));
        assert_eq!(pairs.session_of_path(pairs.msrp_session(8, true).as_bytes()), Some((8, true)));
        assert_eq!(pairs.session_of_path(pairs.msrp_session(9, true).as_bytes()), None);
        for kind in [Kind::Opening, Kind::FromPhone, Kind::ToPhone] {
            assert_eq!(pairs.of_id(pairs.id(kind, 12_345_678).as_bytes()), Some((kind, 12_345_678)));
            let text = pairs.text(kind, 5);
            assert_eq!((text.len(), pairs.of_text(text.as_bytes())), (64, Some((kind, 5))));
        }
    }
}
