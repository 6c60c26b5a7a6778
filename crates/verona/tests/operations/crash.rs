//! kill -9: what was promised was kept, and what was not promised can be asked for again.

use crate::rig::{PATIENCE, SILENCE, Settings, World, body};
use rehearsal::wire::SipText;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// A phone whose retransmissions the test decides on.
struct Sender {
    socket: UdpSocket,
    gateway: SocketAddr,
}

impl Sender {
    async fn new(world: &World) -> Sender {
        Sender { socket: UdpSocket::bind((world.place.phone, 0)).await.unwrap(), gateway: world.sip }
    }

    async fn send(&self, number: usize) {
        let address = self.socket.local_addr().unwrap();
        let mut request = SipText {
            start: "MESSAGE sip:juliet@example.com SIP/2.0".to_owned(),
            headers: vec![],
            body: format!("text {number}").into_bytes(),
        };
        for (name, value) in [
            ("Via", format!("SIP/2.0/UDP {address};branch=z9hG4bKcrash{number};rport")),
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("<sip:romeo@example.net>;tag=t{number}")),
            ("To", "<sip:juliet@example.com>".to_owned()),
            ("Call-ID", format!("crash{number}")),
            ("CSeq", "1 MESSAGE".to_owned()),
            ("Content-Type", "text/plain".to_owned()),
        ] {
            request.push(name, value);
        }
        self.socket.send_to(&request.to_bytes(), self.gateway).await.unwrap();
    }

    /// The status of the next answer, and to which text.
    async fn answer(&self) -> (Option<u16>, String) {
        let mut buffer = [0; 4096];
        let received = tokio::time::timeout(PATIENCE, self.socket.recv(&mut buffer)).await.unwrap().unwrap();
        let answer = SipText::parse(&buffer[..received]).unwrap();
        (answer.status(), answer.header("Call-ID").unwrap_or_default().to_owned())
    }

    async fn is_silent(&self) -> bool {
        tokio::time::timeout(SILENCE, self.socket.recv(&mut [0; 4096])).await.is_err()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_is_asked_for_again_and_served_once() {
    let mut world = World::new("held", &Settings::default()).await;
    let sender = Sender::new(&world).await;
    world.server.hold(true);
    for number in 0..20 {
        sender.send(number).await;
    }
    assert!(world.server.wait_held(20, PATIENCE).await);
    // Retransmissions of what is held change nothing.
    for number in 0..20 {
        sender.send(number).await;
    }
    assert!(sender.is_silent().await, "nothing is promised that is not kept");
    world.program.kill();

    // What the server has not done, it does not do: it has taken another connection.
    world.restart();
    world.program.wait_ready();
    world.server.hold(false);
    assert_eq!(world.server.next(SILENCE).await, None);
    for number in 0..20 {
        sender.send(number).await;
        assert_eq!(sender.answer().await, (Some(200), format!("crash{number}")));
        assert_eq!(body(&world.at_juliet().await), format!("text {number}"));
    }
    for number in 0..20 {
        sender.send(number).await;
        assert_eq!(sender.answer().await, (Some(200), format!("crash{number}")));
    }
    assert_eq!(world.server.next(SILENCE).await, None, "and each arrived once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrived_and_is_asked_for_again_comes_under_the_same_id() {
    let mut world = World::new("answered", &Settings::default()).await;
    let sender = Sender::new(&world).await;
    sender.send(1).await;
    let first = world.at_juliet().await;
    // The answer is as good as lost, as the sender of a real network may see it.
    assert_eq!(sender.answer().await.0, Some(200));
    world.program.kill();
    world.restart();
    world.program.wait_ready();
    sender.send(1).await;
    assert_eq!(sender.answer().await.0, Some(200));
    let second = world.at_juliet().await;
    assert_eq!((first.id.as_deref(), body(&first)), (Some("z9hG4bKcrash1"), body(&second)));
    assert_eq!(first.id, second.id, "so that whoever gets both can tell");
}
