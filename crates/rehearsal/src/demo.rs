//! Shows a gateway at work: the messages of RFC 7572 in both directions, an error each way, a chat session of RFC 7573, a room of RFC 7702 with people of
//! both kinds, and a call, between a stub XMPP server and a stub phone on real sockets.

mod call;
mod room;

use crate::ladder::Ladder;
use crate::stub::muc::Service;
use crate::stub::{Phone, Server, ServerSettings, Session, Verdict};
use crate::wire::SipText;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use xml::Element;
use xmpp::error::{Condition, StanzaError};
use xmpp::ext::chatstates::ChatState;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;

/// How long the gateway may take to connect, and for each step.
const PATIENCE: Duration = Duration::from_secs(35);

/// Where everybody is. The gateway has to be told: component `sip_domain` with `secret` at `xmpp`, XMPP domains `xmpp_domain` and `room_domain`, SIP
/// domain `sip_domain` from and to the phone's address.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the stub XMPP server listens for the gateway; port 0: anywhere.
    pub xmpp: SocketAddr,
    /// Where the stub phone is, the gateway's SIP next hop; port 0: anywhere.
    pub phone: SocketAddr,
    /// The gateway's own SIP address (UDP).
    pub gateway: SocketAddr,
    /// Juliet's domain.
    pub xmpp_domain: String,
    /// Where the rooms are.
    pub room_domain: String,
    /// Romeo's domain.
    pub sip_domain: String,
    /// The component's secret.
    pub secret: String,
}

impl Settings {
    /// The domains of the RFC, for a gateway at `gateway`; both stubs on the loopback interface at any port.
    pub fn new(gateway: SocketAddr) -> Settings {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Settings {
            xmpp: any,
            phone: any,
            gateway,
            xmpp_domain: "example.com".to_owned(),
            room_domain: "rooms.example.com".to_owned(),
            sip_domain: "example.net".to_owned(),
            secret: "montague".to_owned(),
        }
    }
}

/// The stubs are there and wait for the gateway.
#[derive(Debug)]
pub struct Stage {
    settings: Settings,
    ladder: Ladder,
    server: Server,
    phone: Phone,
}

/// Opens both stubs, plays the script and gives back the ladder. See [`Stage`] for the steps one by one.
///
/// # Errors
/// See [`Stage::open`] and [`Stage::play`].
pub async fn run(settings: Settings) -> io::Result<String> {
    let mut stage = Stage::open(settings, Ladder::new()).await?;
    stage.play().await?;
    Ok(stage.ladder())
}

impl Stage {
    /// Opens both stubs. Give a [`Ladder::watched`] to see what happens while it happens.
    ///
    /// # Errors
    /// An address cannot be had.
    pub async fn open(settings: Settings, ladder: Ladder) -> io::Result<Stage> {
        let component = ServerSettings {
            listen: settings.xmpp,
            component: settings.sip_domain.clone(),
            secret: settings.secret.clone(),
        };
        let rooms = Arc::new(Mutex::new(Service::new(&settings.room_domain, 1)));
        let policy = |stanza: &Stanza| match stanza.to.as_ref().and_then(Jid::local) {
            Some("juliet" | "benvolio") => Verdict::Delivered,
            _ => Verdict::Refused(StanzaError::new(Condition::ItemNotFound).with_text("Nobody of that name")),
        };
        let server = Server::start_with_rooms(component, ladder.clone(), Some(rooms), policy);
        let phone = Phone::start(settings.phone, ladder.clone(), |request| match request.addressee() {
            Some("romeo") => (200, "OK".to_owned()),
            _ => (404, "Not Found".to_owned()),
        });
        Ok(Stage { server: server.await?, phone: phone.await?, ladder, settings })
    }

    /// Where the stub XMPP server listens: the gateway's component stream goes there.
    pub fn xmpp(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where the stub phone is: the gateway's next hop.
    pub fn phone(&self) -> SocketAddr {
        self.phone.address()
    }

    /// Tells the stubs where the gateway is, once that is known.
    pub fn gateway_at(&mut self, gateway: SocketAddr) {
        self.settings.gateway = gateway;
    }

    /// Everything so far.
    pub fn ladder(&self) -> String {
        self.ladder.text()
    }

    /// Plays the script: RFC 7572 examples 1 to 7, then an error each way.
    ///
    /// # Errors
    /// The gateway does not connect, or something else happens than should.
    pub async fn play(&mut self) -> io::Result<()> {
        if !self.server.wait_up(PATIENCE).await {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the gateway did not connect to the XMPP server"));
        }
        self.to_sip("romeo", "Art thou not Romeo, and a Montague?").await?;
        let next = self.phone.next(PATIENCE).await;
        expect(next.is_some_and(|m| m.text() == "Art thou not Romeo, and a Montague?"), "the message to Romeo")?;

        let said = "Neither, fair saint, if either thee dislike.";
        self.to_xmpp("juliet", &[], said, 200).await?;
        let next = self.next_body().await;
        expect(next.as_deref() == Some(said), "the message to Juliet")?;

        let said = "Nic z obého, má děvo spanilá, nenavidíš-li jedno nebo druhé.";
        self.to_xmpp("juliet", &[("Content-Language", "cs"), ("Subject", "Česky")], said, 200).await?;
        let next = self.next_body().await;
        expect(next.as_deref() == Some(said), "the Czech message to Juliet")?;

        self.to_sip("rosaline", "Thou art not here?").await?;
        expect(self.phone.next(PATIENCE).await.is_some(), "the message to Rosaline")?;
        let error = self.server.next(PATIENCE).await.and_then(|s| StanzaError::from_stanza(&s));
        expect(error.is_some_and(|e| e.condition == Condition::ItemNotFound), "the error for Juliet")?;

        // RFC 7247 §7.1 note 2: a bare address is the user, so 604.
        self.to_xmpp("nobody", &[], "Is anybody there?", 604).await
    }

    /// Plays a chat session: RFC 7573 examples 10 to 18, with a reply that Juliet is seen to write.
    ///
    /// # Errors
    /// Something else happens than should.
    pub async fn chat(&mut self) -> io::Result<()> {
        let (from, to) =
            (format!("sip:romeo@{}", self.settings.sip_domain), format!("sip:juliet@{}", self.settings.xmpp_domain));
        let mut session = Session::open(&self.phone, self.settings.gateway, &from, &to).await?;
        let said = "I take thee at thy word ...";
        // The gateway answers when the XMPP server has it.
        session.say(&self.phone, said, PATIENCE).await?;
        let heard = loop {
            let heard = self.server.next(PATIENCE).await.ok_or(io::ErrorKind::TimedOut)?;
            // What the server has refused is there, too.
            if heard.type_.as_deref() == Some("chat") {
                break heard;
            }
        };
        let body = heard.child("body", ns::CLIENT).map(|body| body.text().into_owned());
        expect(body.as_deref() == Some(said), "what Juliet hears in the chat")?;
        let thread = heard.child("thread", ns::CLIENT).map(|thread| thread.text().into_owned()).unwrap_or_default();
        let romeo = heard.from.clone().ok_or(io::ErrorKind::InvalidData)?;

        let juliet = format!("juliet@{}/yn0cl4bnw0yr3vym", self.settings.xmpp_domain);
        let juliet = Jid::parse(&juliet).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
        let stanza = Stanza::message().with_type("chat").with_from(juliet).with_to(romeo);
        let thread = Element::new("thread", ns::CLIENT).with_text(&thread);
        let stanza = stanza.with_child(thread);
        self.server.send(stanza.clone().with_child(ChatState::Composing.to_element()));
        let said = "What man art thou ...?";
        let body = Element::new("body", ns::CLIENT).with_text(said);
        self.server.send(stanza.with_id("ms53b7z9").with_child(body).with_child(ChatState::Active.to_element()));
        let heard = session.hear(&self.phone, PATIENCE).await?;
        expect(heard == said, "what Romeo hears in the chat")?;

        session.bye(&self.phone).await?;
        let gone = self.server.next(PATIENCE).await;
        let gone = gone.is_some_and(|s| s.elements().any(|e| ChatState::parse(e) == Some(ChatState::Gone)));
        expect(gone, "that Romeo is gone")
    }

    /// Lets the ladder's watcher see what comes, until something is to be said. It never ends by itself.
    pub async fn listen(&mut self) {
        loop {
            tokio::select! {
                _ = self.server.next(Duration::from_secs(3600)) => {}
                _ = self.phone.next(Duration::from_secs(3600)) => {}
            }
        }
    }

    /// Juliet says something to a SIP user.
    ///
    /// # Errors
    /// The user's name makes no address.
    pub async fn juliet_says(&self, user: &str, text: &str) -> io::Result<()> {
        self.to_sip(user, text).await
    }

    /// Romeo says something to an XMPP user. Gives back the status of the answer.
    ///
    /// # Errors
    /// No answer came.
    pub async fn romeo_says(&self, user: &str, text: &str) -> io::Result<Option<u16>> {
        Ok(self.message(user, &[], text).await?.status())
    }

    async fn to_sip(&self, user: &str, text: &str) -> io::Result<()> {
        let (from, to) = (
            format!("juliet@{}/yn0cl4bnw0yr3vym", self.settings.xmpp_domain),
            format!("{user}@{}", self.settings.sip_domain),
        );
        let jid = |j: &str| Jid::parse(j).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()));
        let body = Element::new("body", ns::CLIENT).with_text(text);
        let stanza = Stanza::message().with_from(jid(&from)?).with_to(jid(&to)?).with_id(format!("to-{user}"));
        self.server.send(stanza.with_child(body));
        Ok(())
    }

    async fn to_xmpp(&self, user: &str, headers: &[(&str, &str)], text: &str, code: u16) -> io::Result<()> {
        let response = self.message(user, headers, text).await?;
        expect(response.status() == Some(code), "the answer to Romeo")
    }

    async fn message(&self, user: &str, headers: &[(&str, &str)], text: &str) -> io::Result<SipText> {
        let (from, to) =
            (format!("sip:romeo@{}", self.settings.sip_domain), format!("sip:{user}@{}", self.settings.xmpp_domain));
        self.phone.message(self.settings.gateway, &from, &to, headers, text).await
    }

    /// The body of the next message that the XMPP side gets.
    async fn next_body(&mut self) -> Option<String> {
        let stanza = self.server.next(PATIENCE).await?;
        stanza.child("body", ns::CLIENT).map(|body| body.text().into_owned())
    }
}

fn expect(happened: bool, what: &str) -> io::Result<()> {
    if happened { Ok(()) } else { Err(io::Error::other(format!("{what} is not what it should be"))) }
}
