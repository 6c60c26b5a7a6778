//! A call: Romeo's phone calls Juliet, her device rings, she takes the call, and hangs up (draft-ietf-stox-media-07 §8, XEP-0353). What they would say goes from one to the other
//! by itself, and there is nothing here that could say it.

use super::{PATIENCE, Stage, expect};
use crate::ladder::Side;
use crate::stub::Server;
use crate::stub::jingle::{Device, House, Manners};
use crate::wire::SipText;
use base::{Time, Tokens};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;
use xmpp::ext::jingle::Condition;
use xmpp::ext::jmi::Jmi;
use xmpp::jid::Jid;

/// How long Juliet lets it ring.
const RINGS: Duration = Duration::from_millis(200);

/// Juliet's devices, on the stub server.
struct Rings<'a> {
    house: House,
    server: &'a mut Server,
    start: Instant,
}

impl Stage {
    /// Plays a call.
    ///
    /// # Errors
    /// Something else happens than should.
    pub async fn call(&mut self) -> io::Result<()> {
        let bad = |e: xmpp::jid::JidError| io::Error::new(io::ErrorKind::InvalidInput, e.to_string());
        let juliet = Jid::new(Some("juliet"), &self.settings.xmpp_domain, Some("balcony")).map_err(bad)?;
        let manners = Manners { video: false, rings_for: RINGS, trickle: None, ..Manners::default() };
        let balcony = juliet.to_string();
        let mut house = House::default();
        house.switch_on(Device::new(juliet, manners, Tokens::seeded(1)));
        let mut rings = Rings { house, server: &mut self.server, start: Instant::now() };

        let (from, to) =
            (format!("<sip:romeo@{}>", self.settings.sip_domain), format!("sip:juliet@{}", self.settings.xmpp_domain));
        let headers = vec![
            ("From", from),
            ("To", format!("<{to}>")),
            ("Contact", format!("<sip:romeo@{}>", self.phone.address())),
            ("Content-Type", "application/sdp".to_owned()),
        ];
        let invite = request("INVITE", &to, headers, description(self.phone.address()));
        let answer = self.phone.request(self.settings.gateway, invite);
        let ok = tokio::select! {
            ok = answer => ok?,
            e = rings.live() => return Err(e),
        };
        expect(ok.status() == Some(200), "the answer to Romeo's call")?;
        let target =
            ok.header("Contact").unwrap_or_default().trim_start_matches('<').split('>').next().unwrap_or_default();
        let dialog = ["From", "To", "Call-ID"].map(|name| (name, ok.header(name).unwrap_or_default().to_owned()));
        let headers = dialog.into_iter().chain([("CSeq", "1 ACK".to_owned())]).collect();
        self.phone.acknowledge(self.settings.gateway, request("ACK", target, headers, String::new())).await?;
        self.ladder.aside(Side::Xmpp, "(Juliet and Romeo talk)");

        let now = rings.now();
        let hung_up = rings.house.with(&balcony, |device| {
            let sid = device.calls().keys().next().cloned();
            sid.is_some_and(|sid| device.hang_up(now, &sid, Condition::Success))
        });
        expect(hung_up == Some(true), "the call of Juliet's device")?;
        let told = async {
            loop {
                let stanza = rings.step().await?;
                if stanza.is_some_and(|stanza| matches!(Jmi::of(&stanza), Some(Jmi::Finish { .. }))) {
                    return Ok::<(), io::Error>(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        loop {
            // What he was told of the room is there, too.
            let request = self.phone.next(PATIENCE).await.ok_or(io::ErrorKind::TimedOut)?;
            if request.start.starts_with("BYE ") && request.header("Call-ID") == ok.header("Call-ID") {
                return Ok(());
            }
        }
    }
}

impl Rings<'_> {
    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Lets the devices live, for ever: whatever it gives back has gone wrong.
    async fn live(&mut self) -> io::Error {
        loop {
            if let Err(e) = self.step().await {
                return e;
            }
        }
    }

    /// One stanza for the devices, or one moment at which they want something.
    async fn step(&mut self) -> io::Result<Option<xmpp::stanza::Stanza>> {
        while let Some(stanza) = self.house.poll() {
            self.server.send(stanza);
        }
        let left = self.house.deadline().map_or(PATIENCE, |at| at.since(self.now()));
        let stanza = self.server.next(left).await;
        let now = self.now();
        match &stanza {
            Some(stanza) => self.house.received(now, stanza),
            None if self.house.deadline().is_some_and(|at| at <= now) => self.house.timeout(now),
            None => return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing happens to the call")),
        }
        Ok(stanza)
    }
}

/// What Romeo's phone offers: ICE, and keys that are agreed on in the media.
fn description(phone: SocketAddr) -> String {
    let (ip, fingerprint) = (phone.ip(), vec!["5A"; 32].join(":"));
    format!(
        "v=0\r\no=romeo 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 49170 UDP/TLS/RTP/SAVPF 96 0\r\n\
         a=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtcp-mux\r\na=ice-ufrag:8hhY\r\n\
         a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=candidate:1 1 UDP 2130706431 {ip} 49170 typ host\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n"
    )
}

fn request(method: &str, uri: &str, headers: Vec<(&str, String)>, body: String) -> SipText {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    SipText { start: format!("{method} {uri} SIP/2.0"), headers, body: body.into_bytes() }
}
