//! The stub XMPP server with rooms, on sockets: its users, and somebody behind the component.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use base::{Time, Tokens};
use rehearsal::ladder::Ladder;
use rehearsal::stub::muc::{self, Service};
use rehearsal::stub::{Rooms, Server, ServerSettings, Verdict};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xml::Element;
use xmpp::ext::muc::Join;
use xmpp::jid::Jid;
use xmpp::ns;
use xmpp::stanza::Stanza;
use xmpp::stream::component::{Component, Config, Output};

const PATIENCE: Duration = Duration::from_secs(10);

/// A component that is connected.
struct Behind {
    machine: Component,
    stream: TcpStream,
}

impl Behind {
    async fn connect(server: &mut Server) -> Behind {
        let mut machine = Component::new(Config::new("example.net", "s3cret"), Tokens::seeded(1), Time::ZERO);
        let stream = TcpStream::connect(server.address()).await.unwrap();
        while machine.poll().is_some() {}
        machine.connected(Time::ZERO);
        let mut behind = Behind { machine, stream };
        while !behind.machine.is_up() {
            behind.turn().await;
        }
        assert!(server.wait_up(PATIENCE).await);
        behind
    }

    async fn send(&mut self, stanza: &Stanza) {
        self.machine.send(Time::ZERO, &stanza.to_bytes(ns::COMPONENT_ACCEPT), None).unwrap();
        self.flush().await;
    }

    /// Writes what there is; gives back what came.
    async fn flush(&mut self) -> Vec<Stanza> {
        self.machine.flushed(Time::ZERO);
        let mut stanzas = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Bytes(bytes) => self.stream.write_all(&bytes).await.unwrap(),
                Output::Stanza(stanza) => stanzas.push(stanza),
                Output::Connect
                | Output::Close
                | Output::Abort
                | Output::Up
                | Output::Down(_)
                | Output::Taken(_)
                | Output::Lost(_)
                | Output::Fault(_) => {}
            }
        }
        stanzas
    }

    async fn turn(&mut self) -> Vec<Stanza> {
        self.flush().await;
        let mut buffer = vec![0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "the connection has ended");
        self.machine.received(Time::ZERO, &buffer[..read]);
        self.flush().await
    }

    /// The next words in a room that come.
    async fn words(&mut self) -> String {
        loop {
            for stanza in self.turn().await {
                if let Some(body) = stanza.child("body", ns::CLIENT) {
                    return body.text().into_owned();
                }
            }
        }
    }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn join(who: &str, nick: &str) -> Stanza {
    let to = jid(&format!("den@muc.example.com/{nick}"));
    Stanza::presence().with_from(jid(who)).with_to(to).with_child(Join::default().to_element())
}

fn said(who: &str, words: &str) -> Stanza {
    let message = Stanza::message().with_type("groupchat").with_from(jid(who)).with_to(jid("den@muc.example.com"));
    message.with_child(Element::new("body", ns::CLIENT).with_text(words))
}

fn people(rooms: &Rooms) -> Vec<String> {
    rooms.lock().unwrap().people("den").iter().map(|p| p.nick.to_string()).collect()
}

/// The next words that a user of the server hears.
async fn heard(server: &mut Server) -> String {
    loop {
        let stanza = server.next(PATIENCE).await.unwrap();
        let body = stanza.child("body", ns::CLIENT).map(|b| b.text().into_owned());
        if let Some(words) = body.filter(|_| stanza.to.as_ref().map(Jid::domain) == Some("example.com")) {
            return words;
        }
    }
}

#[tokio::test]
async fn people_on_both_sides_of_the_component() {
    let mut service = Service::new("muc.example.com", 1);
    service.make("den", muc::Settings::default());
    let rooms: Rooms = Arc::new(Mutex::new(service));
    let settings = ServerSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        component: "example.net".to_owned(),
        secret: "s3cret".to_owned(),
    };
    let mut server =
        Server::start_with_rooms(settings, Ladder::new(), Some(Arc::clone(&rooms)), |_| Verdict::Delivered)
            .await
            .unwrap();
    let mut behind = Behind::connect(&mut server).await;
    let (juliet, romeo) = ("juliet@example.com/balcony", "romeo@example.net/phone");
    server.send(join(juliet, "Juliet"));
    behind.send(&join(romeo, "Romeo")).await;
    behind.send(&said(romeo, "I am here")).await;
    assert_eq!(heard(&mut server).await, "I am here");
    assert_eq!(behind.words().await, "I am here", "his own words come back");
    assert_eq!(people(&rooms), ["Juliet", "Romeo"]);
    server.send(said(juliet, "So am I"));
    assert_eq!((heard(&mut server).await, behind.words().await), ("So am I".to_owned(), "So am I".to_owned()));

    // The component goes; what is said then does not reach Romeo, and he is out when it is there again.
    drop(behind);
    server.cut();
    server.send(said(juliet, "Romeo?"));
    let _behind = Behind::connect(&mut server).await;
    loop {
        let stanza = server.next(PATIENCE).await.unwrap();
        if stanza.type_.as_deref() == Some("unavailable") {
            assert_eq!(stanza.from, Some(jid("den@muc.example.com/Romeo")));
            break;
        }
    }
    assert_eq!(people(&rooms), ["Juliet"]);
}
