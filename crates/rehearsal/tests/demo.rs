//! The demo and both stubs, against a gateway in this process on real sockets.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are tests")]

use base::{Time, Tokens};
use rehearsal::demo::{Settings, Stage};
use rehearsal::ladder::Ladder;
use rehearsal::scene;
use sip::agent::{Flow, SendTo, Target, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stox::gateway::{Gateway, Input, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;
use xmpp::stream::component::{self, Component};

/// One gateway with one component stream and one UDP socket: the least shell that there can be.
async fn shell(udp: UdpSocket, phone: SocketAddr, server: SocketAddr) {
    let local = udp.local_addr().unwrap();
    let mut settings = scene::Settings::default();
    settings.config.links.truncate(1);
    settings.config.peers[0].source.address = [127, 0, 0, 0].into();
    if let Some(proxy) = &mut settings.config.proxy {
        proxy.target = Target { transport: Transport::Udp, remote: phone };
    }
    settings.sip.sent_by = vec![(Transport::Udp, sip::Host::parse("127.0.0.1").unwrap(), Some(local.port()))];
    let mut gateway = Gateway::new(Arc::new(settings.config), settings.sip, Tokens::seeded(1));
    let mut stream = TcpStream::connect(server).await.unwrap();
    let start = Instant::now();
    let now = || Time::from_micros(start.elapsed().as_micros() as u64);
    let mut component = Component::new(component::Config::new("example.net", "montague"), Tokens::seeded(2), now());
    let (mut datagram, mut bytes) = ([0; 65_536], [0; 65_536]);
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
                    Output::Msrp(_) | Output::Note(_) => {}
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
    ] {
        assert!(ladder.contains(part), "{part} is missing");
    }
}
