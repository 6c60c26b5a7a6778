//! A room with an XMPP user and a SIP user in it: RFC 7702 §6. What happens between the XMPP user and the room does not cross the gateway; the ladder
//! tells it in words.

use super::{PATIENCE, Stage, expect};
use crate::ladder::Side;
use crate::stub::Guest;
use crate::wire::SipText;
use std::io;
use xml::Element;
use xmpp::ext::muc::{Join, User, status};
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::{Kind, Stanza};

/// The room's name, and what the two are called in it.
const ROOM: &str = "capulet";
const JULIET: &str = "JuliC";
const ROMEO: &str = "Romeo";
const MASK: &str = "montecchi";

impl Stage {
    /// Plays a room: RFC 7702 examples 29 to 44. Juliet has made it; Romeo enters, hears and is heard, by all and in private, changes his name, invites
    /// Benvolio and leaves.
    ///
    /// # Errors
    /// Something else happens than should.
    pub async fn room(&mut self) -> io::Result<()> {
        self.juliet_enters().await?;
        let (xmpp, sip) = (self.settings.xmpp_domain.clone(), self.settings.sip_domain.clone());
        let room = format!("sip:{ROOM}@{}", self.settings.room_domain);
        let romeo = format!("sip:romeo@{sip}");

        let mut guest = Guest::enter(&self.phone, self.settings.gateway, (ROMEO, &romeo), &room).await?;
        self.juliet_sees(ROMEO, "enters the room", |s| s.kind == Kind::Presence && s.type_.is_none()).await?;
        guest.subscribe(&self.phone).await?;
        let roster = self.told("conference").await?.text();
        expect([JULIET, ROMEO].iter().all(|nick| roster.contains(&format!("gr={nick}"))), "who Romeo sees")?;

        let said = "Romeo is here!";
        expect(guest.say(&self.phone, None, said, PATIENCE).await? == 200, "the answer to Romeo in the room")?;
        self.juliet_sees(ROMEO, &format!("says to all: {said}"), |s| body(s).as_deref() == Some(said)).await?;
        let said = "What man art thou?";
        self.aside(&format!("({JULIET} says to all: {said})"));
        self.server.send(self.of_juliet(Stanza::message().with_type("groupchat"), None)?.with_child(words(said)));
        let heard = guest.hear(&self.phone, PATIENCE).await?;
        let for_all = (heard.name.as_str(), heard.text.as_str(), heard.to.as_str()) == (JULIET, said, &room);
        expect(for_all, "what Romeo hears in the room")?;

        let said = "I take thee at thy word";
        let code = guest.say(&self.phone, Some(JULIET), said, PATIENCE).await?;
        expect(code == 200, "the answer to Romeo's private message")?;
        self.juliet_sees(ROMEO, &format!("says in private: {said}"), |s| body(s).as_deref() == Some(said)).await?;
        let said = "Thou hast amazed me";
        self.aside(&format!("({JULIET} says to {ROMEO} in private: {said})"));
        let whisper = self.of_juliet(Stanza::message().with_type("chat"), Some(ROMEO))?;
        self.server.send(whisper.with_child(words(said)).with_child(User::default().to_element()));
        let heard = guest.hear(&self.phone, PATIENCE).await?;
        let for_him = heard.name == JULIET && heard.text == said && heard.to.starts_with(&romeo);
        expect(for_him, "what Romeo hears in private")?;

        expect(guest.rename(&self.phone, JULIET, PATIENCE).await? == 425, "the answer to a name that is taken")?;
        expect(guest.rename(&self.phone, MASK, PATIENCE).await? == 200, "the answer to another name")?;
        let renamed = |s: &Stanza| User::of(s).is_some_and(|user| user.has(status::NICK_CHANGED));
        self.juliet_sees(ROMEO, &format!("is called {MASK} now"), renamed).await?;

        guest.invite(&self.phone, &format!("sip:benvolio@{xmpp}")).await?;
        let outcome = self.told("refer").await?;
        expect(outcome.text().starts_with("SIP/2.0 "), "what became of the invitation")?;
        let invited = |s: &Stanza| {
            let to_him = s.to.as_ref().and_then(Jid::local) == Some("benvolio");
            to_him && User::of(s).is_some_and(|user| !user.invites.is_empty())
        };
        self.seen(ROOM, "the invitation of Benvolio", invited).await?;
        self.aside("(The room invites Benvolio)");

        guest.leave(&self.phone).await?;
        self.juliet_sees(MASK, "leaves the room", |s| s.type_.as_deref() == Some("unavailable")).await
    }

    async fn juliet_enters(&mut self) -> io::Result<()> {
        let join = self.of_juliet(Stanza::presence(), Some(JULIET))?.with_child(Join::default().to_element());
        self.server.send(join);
        let own = |s: &Stanza| User::of(s).is_some_and(|user| user.has(status::SELF_PRESENCE));
        self.seen(JULIET, "Juliet's own presence", own).await?;
        let subject = Element::new("subject", ns::CLIENT).with_text("Today in Verona");
        self.server.send(self.of_juliet(Stanza::message().with_type("groupchat"), None)?.with_child(subject));
        self.seen(JULIET, "the subject", |s| xmpp::ext::muc::subject(s).is_some()).await?;
        let room = format!("{ROOM}@{}", self.settings.room_domain);
        self.aside(&format!("(Juliet makes the room {room} and is called {JULIET} in it)"));
        Ok(())
    }

    /// A stanza from Juliet to the room, or to somebody in it.
    fn of_juliet(&self, stanza: Stanza, nick: Option<&str>) -> io::Result<Stanza> {
        let bad = |e: xmpp::jid::JidError| io::Error::new(io::ErrorKind::InvalidInput, e.to_string());
        let juliet = Jid::new(Some("juliet"), &self.settings.xmpp_domain, Some("balcony")).map_err(bad)?;
        let to = Jid::new(Some(ROOM), &self.settings.room_domain, nick).map_err(bad)?;
        Ok(stanza.with_from(juliet).with_to(to).with_id("balcony"))
    }

    /// Waits until Juliet sees what this person does, and tells it.
    async fn juliet_sees(&mut self, nick: &str, what: &str, is_it: impl Fn(&Stanza) -> bool) -> io::Result<()> {
        self.seen(nick, what, is_it).await?;
        self.aside(&format!("({JULIET} sees: {nick} {what})"));
        Ok(())
    }

    /// Waits for something that an XMPP user gets from somebody in the room, or from the room itself.
    async fn seen(&mut self, who: &str, what: &str, is_it: impl Fn(&Stanza) -> bool) -> io::Result<()> {
        loop {
            let missing = || io::Error::new(io::ErrorKind::TimedOut, format!("{who}: {what} was not seen"));
            let stanza = self.server.next(PATIENCE).await.ok_or_else(missing)?;
            let from = stanza.from.as_ref();
            let of_him = from.is_some_and(|from| from.resource().or(from.local()) == Some(who));
            if of_him && is_it(&stanza) {
                return Ok(());
            }
        }
    }

    /// The next NOTIFY of this event package.
    async fn told(&mut self, package: &str) -> io::Result<SipText> {
        loop {
            let request = self.phone.next(PATIENCE).await.ok_or(io::ErrorKind::TimedOut)?;
            let event = request.header("Event").and_then(|event| event.split(';').next());
            if event == Some(package) {
                return Ok(request);
            }
        }
    }

    fn aside(&self, text: &str) {
        self.ladder.aside(Side::Xmpp, text);
    }
}

fn words(text: &str) -> Element {
    Element::new("body", ns::CLIENT).with_text(text)
}

fn body(stanza: &Stanza) -> Option<String> {
    stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned())
}
