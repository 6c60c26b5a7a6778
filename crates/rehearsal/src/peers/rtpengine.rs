//! rtpengine: the relay of media that the gateway drives.

use super::{Place, Process, until};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const START: Duration = Duration::from_secs(10);
/// Ports for media: those above are the system's to give out, which it may do at the same time.
const PORTS: (&str, &str) = ("20000", "29999");

/// A running rtpengine, all of it in user space, on the place's address.
#[derive(Debug)]
pub struct Rtpengine {
    process: Process,
    control: SocketAddr,
}

impl Rtpengine {
    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(place: &Place) -> Rtpengine {
        let control = place.free();
        let mut rtpengine = Rtpengine { process: run(place, control), control };
        rtpengine.wait_until_up();
        rtpengine
    }

    /// Where it takes orders, over UDP.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// SIGKILL: it forgets every call, and nothing is said.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again at the same address, stopped first if it runs.
    #[track_caller]
    pub fn restart(&mut self, place: &Place) {
        if self.process.is_running() {
            self.process.stop();
        }
        self.process = run(place, self.control);
        self.wait_until_up();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How many calls it knows.
    #[track_caller]
    pub fn calls(&self) -> usize {
        let answer = self.ask("d7:command4:liste").expect("rtpengine answers");
        // A list of call ids: each a length and a text.
        let list = answer.split_once("5:callsl").map_or("e", |(_, list)| list);
        let mut count = 0;
        let mut rest = list;
        while let Some((length, text)) = rest.split_once(':') {
            let Some(after) = length.parse().ok().and_then(|length: usize| text.get(length..)) else { break };
            count += 1;
            rest = after;
        }
        count
    }

    /// Sends one order of its protocol (bencode) and gives the answer.
    fn ask(&self, order: &str) -> Option<String> {
        // Whoever says the same cookie twice gets the same answer twice.
        static COOKIES: AtomicU64 = AtomicU64::new(1);
        let cookie = COOKIES.fetch_add(1, Ordering::Relaxed);
        let socket = UdpSocket::bind((self.control.ip(), 0)).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
        socket.send_to(format!("{cookie} {order}").as_bytes(), self.control).ok()?;
        let mut answer = vec![0; 65_536];
        let length = socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    #[track_caller]
    fn wait_until_up(&mut self) {
        until("rtpengine answers", START, || {
            self.process.assert_running();
            self.ask("d7:command4:pinge").is_some_and(|answer| answer.contains("pong"))
        });
    }
}

#[track_caller]
fn run(place: &Place, control: SocketAddr) -> Process {
    // Nobody asks there, but else it takes one port of 127.0.0.1, and a second one does not start.
    let (ip, control, console) = (place.ip().to_string(), control.to_string(), place.free().to_string());
    let arguments = [
        "--config-file=none",
        "--foreground",
        "--log-stderr",
        "--log-level=7",
        "--table=-1",
        "--no-redis-required",
        "--interface",
        &ip,
        "--listen-ng",
        &control,
        "--listen-cli",
        &console,
        "--port-min",
        PORTS.0,
        "--port-max",
        PORTS.1,
        "--num-threads=1",
        "--timeout=60",
        "--silent-timeout=600",
    ];
    Process::start(place, "rtpengine", "rtpengine", &arguments)
}
