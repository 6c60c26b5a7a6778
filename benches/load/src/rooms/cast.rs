//! Who sits in which room: everybody by number, so that nothing has to be remembered of them.

use crate::bytes::find;
use crate::options::{Options, Way};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The MUC service.
pub(super) const SERVICE: &str = "rooms.example.com";

/// The rooms, each with as many SIP users as every other, and as many XMPP users. A SIP user has one place, and by its number he is known.
#[derive(Debug)]
pub(super) struct Cast {
    /// A name that no other run has.
    pub(super) name: String,
    pub(super) rooms: usize,
    /// SIP users in each.
    pub(super) sip: usize,
    /// XMPP users in each.
    pub(super) xmpp: usize,
    sip_domain: String,
    listen: SocketAddr,
    msrp_port: u16,
    body: usize,
}

impl Cast {
    pub(super) fn new(
        options: &Options,
        name: String,
        (rooms, sip, xmpp): (usize, usize, usize),
        msrp_port: u16,
    ) -> Cast {
        Cast {
            name,
            rooms,
            sip,
            xmpp,
            sip_domain: options.sip_domain.clone(),
            listen: options.listen,
            msrp_port,
            body: options.body,
        }
    }

    /// Places of SIP users, in all rooms.
    pub(super) fn places(&self) -> usize {
        self.rooms * self.sip
    }

    /// People in a room.
    pub(super) fn people(&self) -> usize {
        self.sip + self.xmpp
    }

    /// The room's name.
    pub(super) fn room(&self, room: usize) -> String {
        format!("room{room:06}@{SERVICE}")
    }

    /// The room of a name.
    pub(super) fn room_of(&self, address: &[u8]) -> Option<usize> {
        number(address.strip_prefix(b"room")?, b"@", self.rooms)
    }

    /// The SIP user of a place.
    pub(super) fn user(&self, place: usize) -> String {
        format!("romeo{place:06}@{}", self.sip_domain)
    }

    /// The place of a SIP user.
    pub(super) fn place_of(&self, address: &[u8]) -> Option<usize> {
        number(address.strip_prefix(b"romeo")?, b"@", self.places())
    }

    /// What somebody is called in his room: those with the lower numbers are on the SIP side.
    pub(super) fn nick(&self, room: usize, who: usize) -> String {
        match who.checked_sub(self.sip) {
            None => format!("s{:06}", room * self.sip + who),
            Some(other) => format!("x{:06}", room * self.xmpp + other),
        }
    }

    /// Who in this room has this name.
    pub(super) fn who(&self, room: usize, nick: &[u8]) -> Option<usize> {
        let (side, digits) = nick.split_first()?;
        let number: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        match side {
            b's' => number.checked_sub(room * self.sip).filter(|who| *who < self.sip),
            b'x' => number.checked_sub(room * self.xmpp).filter(|who| *who < self.xmpp).map(|who| who + self.sip),
            _ => None,
        }
    }

    /// The Call-ID of a place.
    pub(super) fn call(&self, place: usize) -> String {
        format!("{}-c{place:06}", self.name)
    }

    /// The place of a Call-ID.
    pub(super) fn place_of_call(&self, call: &[u8]) -> Option<usize> {
        let digits = call.strip_prefix(self.name.as_bytes())?.strip_prefix(b"-c")?;
        number(digits, b"", self.places())
    }

    /// The name of a place's session in our path.
    pub(super) fn session(&self, place: usize) -> String {
        format!("{}-p{place:08}", self.name)
    }

    /// The place of our path.
    pub(super) fn place_of_session(&self, session: &[u8]) -> Option<usize> {
        let digits = session.strip_prefix(self.name.as_bytes())?.strip_prefix(b"-p")?;
        number(digits, b"", self.places())
    }

    /// The phone's address for MSRP.
    pub(super) fn phone(&self, place: usize) -> SocketAddr {
        let [high, low] = [place / 250, place % 250 + 1].map(|part| u8::try_from(part).unwrap_or(250));
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), self.msrp_port)
    }

    /// Our path.
    pub(super) fn path(&self, place: usize) -> String {
        format!("msrp://{}/{};tcp", self.phone(place), self.session(place))
    }

    /// Our description.
    pub(super) fn description(&self, place: usize) -> String {
        let phone = self.phone(place);
        format!(
            "v=0\r\no=- {} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=message {} TCP/MSRP *\r\n\
             a=accept-types:message/cpim\r\na=accept-wrapped-types:text/plain\r\na=path:{}\r\na=setup:active\r\n\
             a=chatroom:nickname private-messages\r\n",
            place + 1,
            phone.port(),
            self.path(place),
            ip = phone.ip(),
        )
    }

    /// Where the phone takes SIP.
    pub(super) fn contact(&self, place: usize) -> String {
        format!("<sip:romeo{place:06}@{};gr=orchard>", self.listen)
    }

    /// Who says a text: the room, and who in it.
    pub(super) fn speaker(&self, way: Way, text: usize) -> (usize, usize) {
        let (room, turn) = (text % self.rooms, text / self.rooms);
        match way {
            Way::SipToXmpp => (room, turn % self.sip),
            Way::XmppToSip => (room, self.sip + turn % self.xmpp.max(1)),
        }
    }

    /// Each text has as many deliveries as its room has SIP users: a copy for each, but that the speaker's own, if he is one of them, is the
    /// stanza that the room gets. The delivery of a text to the SIP user `who`.
    pub(super) fn delivery(&self, way: Way, text: usize, who: usize) -> usize {
        let first = if way == Way::SipToXmpp { self.speaker(way, text).1 } else { 0 };
        text * self.sip + (who + self.sip - first) % self.sip
    }

    /// A text: the phase and what it is of, and as much filler as it takes.
    pub(super) fn text(&self, phase: usize, text: usize) -> String {
        const FILLER: &str = "Art thou not Romeo, and a Montague? <Neither>, fair maid & if either thee dislike. ";
        let mut words = self.id(phase, text);
        words.push(' ');
        while words.len() < self.body {
            words.push_str(&FILLER[..FILLER.len().min(self.body - words.len())]);
        }
        words
    }

    /// The phase and the number of a text.
    pub(super) fn of_text(&self, words: &[u8]) -> Option<(usize, usize)> {
        self.of_id(&words[..memchr::memchr(b' ', words)?])
    }

    /// The transaction or the stanza's id of a text.
    pub(super) fn id(&self, phase: usize, text: usize) -> String {
        format!("{}.{phase}.{text:07}", self.name)
    }

    /// What a transaction or id is of.
    pub(super) fn of_id(&self, id: &[u8]) -> Option<(usize, usize)> {
        let rest = std::str::from_utf8(id.strip_prefix(self.name.as_bytes())?.strip_prefix(b".")?).ok()?;
        let (phase, text) = rest.split_once('.')?;
        Some((phase.parse().ok()?, text.parse().ok()?))
    }
}

fn number(digits: &[u8], end: &[u8], below: usize) -> Option<usize> {
    let digits = if end.is_empty() { digits } else { &digits[..find(digits, end)?] };
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number < below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn cast() -> Cast {
        let options = Options::parse(["--users".to_owned(), "9".to_owned()].into_iter()).unwrap();
        Cast::new(&options, "n1".to_owned(), (3, 4, 2), 25_285)
    }

    #[test]
    fn names_lead_back() {
        let cast = cast();
        assert_eq!((cast.places(), cast.people()), (12, 6));
        assert_eq!(cast.room_of(cast.room(2).as_bytes()), Some(2));
        assert_eq!(cast.room_of(cast.room(3).as_bytes()), None);
        assert_eq!(cast.place_of(cast.user(11).as_bytes()), Some(11));
        assert_eq!(cast.place_of_call(cast.call(11).as_bytes()), Some(11));
        assert_eq!(cast.place_of_session(cast.session(11).as_bytes()), Some(11));
        for (room, who) in (0..3).flat_map(|room| (0..6).map(move |who| (room, who))) {
            assert_eq!(cast.who(room, cast.nick(room, who).as_bytes()), Some(who));
            assert_eq!(cast.who((room + 1) % 3, cast.nick(room, who).as_bytes()), None);
        }
        let text = cast.text(7, 12_345_678);
        assert_eq!((text.len(), cast.of_text(text.as_bytes())), (64, Some((7, 12_345_678))));
        assert_eq!(cast.of_id(cast.id(7, 8).as_bytes()), Some((7, 8)));
    }

    #[test]
    fn each_text_has_its_own_deliveries_and_all_of_them() {
        let cast = cast();
        for way in [Way::SipToXmpp, Way::XmppToSip] {
            let deliveries: BTreeSet<usize> = (0..24)
                .flat_map(|text| (0..4).map(move |who| (text, who)))
                .map(|(t, w)| cast.delivery(way, t, w))
                .collect();
            assert_eq!(deliveries, (0..96).collect());
        }
        let (room, who) = cast.speaker(Way::SipToXmpp, 10);
        assert_eq!((room, who, cast.delivery(Way::SipToXmpp, 10, who)), (1, 3, 40));
    }
}
