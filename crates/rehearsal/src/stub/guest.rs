//! A phone in a chat room: a session with the room's focus, messages in CPIM, a nickname, and what the focus tells of the others (RFC 7701).

use super::{Phone, Session};
use crate::stub::session::Wish;
use crate::wire::uri_of;
use base::Str;
use msrp::Method;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Somebody who sits in a room.
#[derive(Debug)]
pub struct Guest {
    session: Session,
    /// As whom he speaks: a name and an address.
    from: String,
    room: String,
}

/// What was said in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The name of who said it.
    pub name: String,
    /// For whom it is: the room, or the one who hears it.
    pub to: String,
    /// The words.
    pub text: String,
}

impl Guest {
    /// Enters `room`, the address of a room, as the user with the address `user` and the nickname `name`.
    ///
    /// # Errors
    /// The room does not let him in, or does not answer.
    pub async fn enter(
        phone: &Phone,
        gateway: SocketAddr,
        (name, user): (&str, &str),
        room: &str,
    ) -> io::Result<Guest> {
        let from = format!("\"{name}\" <{user}>");
        let wish = Wish {
            from: &from,
            to: room,
            subject: None,
            session: "gu3st0fcapul3t",
            attributes: &[
                "accept-types:message/cpim",
                "accept-wrapped-types:text/plain",
                "chatroom:nickname private-messages",
            ],
        };
        let session = Session::call(phone, gateway, wish).await?;
        Ok(Guest { session, from, room: room.to_owned() })
    }

    /// Asks to be told who is there. The phone gets the NOTIFYs.
    ///
    /// # Errors
    /// It is refused, or not answered.
    pub async fn subscribe(&mut self, phone: &Phone) -> io::Result<()> {
        let headers = [("Event", "conference"), ("Expires", "600"), ("Accept", "application/conference-info+xml")];
        self.session.within(phone, "SUBSCRIBE", &headers.map(|(name, value)| (name, value.to_owned()))).await
    }

    /// Says something to all, or in private to `to`, and waits for the answer: its code.
    ///
    /// # Errors
    /// The connection's own, or no answer in time.
    pub async fn say(&mut self, phone: &Phone, to: Option<&str>, text: &str, patience: Duration) -> io::Result<u16> {
        let to = to.map_or_else(|| self.room.clone(), |nick| format!("{};gr={nick}", self.room));
        let body =
            format!("From: {}\r\nTo: <{to}>\r\n\r\nContent-Type: text/plain;charset=utf-8\r\n\r\n{text}", self.from);
        self.session.send(phone, "message/cpim", body, patience).await
    }

    /// What is said next, which is answered 200.
    ///
    /// # Errors
    /// The connection's own, what is no CPIM, or nothing in time.
    pub async fn hear(&mut self, phone: &Phone, patience: Duration) -> io::Result<Heard> {
        let request = self.session.take(phone, patience).await?;
        let body = request.body.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
        let mut parts = body.splitn(3, "\r\n\r\n");
        let (head, _, text) = (parts.next(), parts.next(), parts.next());
        let (head, text) = head.zip(text).ok_or_else(|| io::Error::other(format!("no CPIM: {body}")))?;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let name = header("From: ").split('<').next().unwrap_or_default();
        Ok(Heard {
            name: name.trim().trim_matches('"').to_owned(),
            to: uri_of(header("To: ")).to_owned(),
            text: text.to_owned(),
        })
    }

    /// Wants to have another name, and waits for the answer: its code.
    ///
    /// # Errors
    /// The connection's own, or no answer in time.
    pub async fn rename(&mut self, phone: &Phone, name: &str, patience: Duration) -> io::Result<u16> {
        let mut request = self.session.frame(Method::Nickname);
        request.headers.push((Str::from("Use-Nickname"), format!("\"{name}\"").into()));
        self.session.exchange(phone, request, patience).await
    }

    /// Asks the room to invite somebody. What became of it the phone gets in a NOTIFY.
    ///
    /// # Errors
    /// It is refused, or not answered.
    pub async fn invite(&mut self, phone: &Phone, whom: &str) -> io::Result<()> {
        self.session.within(phone, "REFER", &[("Refer-To", format!("<{whom}>"))]).await
    }

    /// Leaves.
    ///
    /// # Errors
    /// The BYE is not answered 200.
    pub async fn leave(self, phone: &Phone) -> io::Result<()> {
        self.session.bye(phone).await
    }
}
