//! The demo and both stubs, against a gateway in this process on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use base::{Time, Tokens};
use msrp::{ConnectionId, Decoder};
use rehearsal::demo::{Settings, Stage};
use rehearsal::ladder::Ladder;
use rehearsal::scene;
use sip::agent::{Flow, SendTo, Target, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output, Wire};
use stox::network::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::Instant;
use xmpp::stream::component::{self, Component};

/// Bytes for the phone, as it has connected to us; one connection at a time, under another number each.
struct Line {
    stream: Option<TcpStream>,
    number: u64,
    decoder: Decoder,
}

impl Line {
    async fn obey(&mut self, wire: Wire, gateway: &mut Gateway, now: Time) {
        match wire {
            Wire::Write { connection, bytes } if connection.0 == self.number => {
                self.stream.as_mut().unwrap().write_all(&bytes).await.unwrap();
            }
            Wire::Open { ticket, .. } => gateway.handle(now, Input::MsrpOpened(ticket, None)),
            Wire::Release(connection) if connection.0 == self.number => self.stream = None,
            Wire::Write { .. } | Wire::Release(_) | Wire::Bind(_) => {}
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> usize {
        match &mut self.stream {
            Some(stream) => stream.read(buffer).await.unwrap_or(0),
            None => std::future::pending().await,
        }
    }
}

/// One gateway with one component stream, one UDP socket and one connection for MSRP: the least shell that there can be.
async fn shell(udp: UdpSocket, phone: SocketAddr, server: SocketAddr) {
    let local = udp.local_addr().unwrap();
    let mut settings = scene::Settings::default();
    settings.set("chat", "auto").unwrap();
    settings.set("muc_domains", "rooms.example.com").unwrap();
    settings.set("calls", "true").unwrap();
    settings.config.links.truncate(1);
    settings.config.peers[0].source = Some(Network { address: [127, 0, 0, 0].into(), prefix: 24 });
    if let Some(proxy) = &mut settings.config.proxy {
        proxy.target = Target::new(Transport::Udp, phone);
    }
    settings.sip.sent_by = vec![(Transport::Udp, sip::Host::parse("127.0.0.1").unwrap(), Some(local.port()))];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let advertised = listener.local_addr().unwrap();
    if let Some(msrp) = &mut settings.config.msrp {
        let host = msrp::Host::Ip(advertised.ip());
        msrp.advertise = vec![msrp::Advertised { secure: false, host, port: advertised.port() }];
    }
    let mut gateway = Gateway::new(Arc::new(settings.config), settings.sip, Tokens::seeded(1));
    let mut stream = TcpStream::connect(server).await.unwrap();
    let start = Instant::now();
    let now = || Time::from_micros(start.elapsed().as_micros() as u64);
    let mut component = Component::new(component::Config::new("example.net", "montague"), Tokens::seeded(2), now());
    let mut line = Line { stream: None, number: 0, decoder: Decoder::new(msrp::Limits::default()) };
    let (mut datagram, mut bytes, mut frames) = ([0; 65_536], [0; 65_536], [0; 65_536]);
    loop {
        loop {
            let mut idle = true;
            while let Some(output) = gateway.poll() {
                idle = false;
                match output {
                    Output::Sip { to: SendTo::Flow { flow, .. }, bytes, .. } => {
                        drop(udp.send_to(&bytes, flow.remote).await);
                    }
                    Output::Sip { to: SendTo::Target(target), bytes, .. } => {
                        drop(udp.send_to(&bytes, target.remote).await);
                    }
                    Output::Stanza { bytes, token, .. } => component.send(now(), &bytes, Some(token)).unwrap(),
                    Output::Save { token, .. } => gateway.handle(now(), Input::Saved(token)),
                    Output::Msrp(wire) => line.obey(wire, &mut gateway, now()).await,
                    Output::Lookup { .. } | Output::Relay { .. } | Output::Offence(..) | Output::Note(_) => {}
                }
            }
            component.flushed(now());
            while let Some(output) = component.poll() {
                idle = false;
                match output {
                    component::Output::Connect => component.connected(now()),
                    component::Output::Bytes(bytes) => stream.write_all(&bytes).await.unwrap(),
                    component::Output::Up => gateway.handle(now(), Input::LinkUp(0)),
                    component::Output::Stanza(stanza) => gateway.handle(now(), Input::Stanza(0, stanza)),
                    component::Output::Taken(token) => gateway.handle(now(), Input::Taken(token)),
                    component::Output::Lost(token) => gateway.handle(now(), Input::Lost(token)),
                    other => panic!("{other:?}"),
                }
            }
            if idle {
                break;
            }
        }
        let due = [gateway.deadline(), component.deadline()].into_iter().flatten().min();
        let left = due.map_or(Duration::from_secs(1), |at| at.since(now()));
        tokio::select! {
            n = stream.read(&mut bytes) => component.received(now(), &bytes[..n.unwrap()]),
            received = udp.recv_from(&mut datagram) => {
                let (n, remote) = received.unwrap();
                let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
                let bytes = bytes::Bytes::copy_from_slice(&datagram[..n]);
                let message = sip::parse_datagram(&bytes, &sip::Limits::default()).unwrap();
                gateway.handle(now(), Input::Sip(message, flow));
            }
            connected = listener.accept() => {
                let decoder = Decoder::new(msrp::Limits::default());
                line = Line { stream: Some(connected.unwrap().0), number: line.number + 1, decoder };
            }
            n = line.read(&mut frames) => {
                let connection = ConnectionId(line.number);
                if n == 0 {
                    line.stream = None;
                    gateway.handle(now(), Input::MsrpLost(connection));
                    continue;
                }
                line.decoder.push(&frames[..n]);
                while let Some(arrival) = line.decoder.next() {
                    gateway.handle(now(), Input::Msrp(connection, arrival.unwrap()));
                }
            }
            () = tokio::time::sleep(left) => {
                gateway.timeout(now());
                component.timeout(now());
            }
        }
    }
}

#[tokio::test]
async fn the_script_is_played_and_drawn() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut stage = Stage::open(Settings::new(udp.local_addr().unwrap()), Ladder::new()).await.unwrap();
    let gateway = tokio::spawn(shell(udp, stage.phone(), stage.xmpp()));
    stage.play().await.unwrap();
    stage.chat().await.unwrap();
    stage.room().await.unwrap();
    stage.call().await.unwrap();
    gateway.abort();
    let ladder = stage.ladder();
    println!("{ladder}");
    // Without the rails, and lines that were too long in one again.
    let ladder = ladder.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "MESSAGE sip:romeo@example.net SIP/2.0",
        "Art thou not Romeo, and a Montague?",
        "<body>Neither, fair saint, if either thee dislike.</body>",
        "xml:lang='cs'",
        "SIP/2.0 200 OK",
        "<item-not-found",
        "SIP/2.0 604 Nobody of that name",
        "What man art thou ...?",
        "(Juliet makes the room capulet@rooms.example.com and is called JuliC in it)",
        "<subject>Today in Verona</subject>",
        "<display-text>JuliC</display-text>",
        "(JuliC sees: Romeo says to all: Romeo is here!)",
        "(JuliC sees: Romeo is called montecchi now)",
        "(The room invites Benvolio)",
        "(JuliC sees: montecchi leaves the room)",
        "<propose",
        "SIP/2.0 180 Ringing",
        "<proceed",
        "action='session-initiate'",
        "action='session-accept'",
        "(Juliet and Romeo talk)",
        "action='session-terminate'",
        "BYE sip:romeo@127.0.0.1",
        "<finish",
    ] {
        assert!(ladder.contains(part), "{part} is missing");
    }
}
